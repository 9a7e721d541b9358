//! One connection: moves bytes between the client and its socket, stamps the time, and waits.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink, Stream};
use tickwire_protocol::message::Outcome;
use tickwire_protocol::{CloseCode, Micros, RowMut, Schema, Tick};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::error::{ConnectError, printable};
use super::transport::Transport;
use crate::core::{
    AsProblem, Client, ClientConfig, ClientFault, DisconnectReason, Event, Problem, ProblemKind,
};

/// Messages that one wake-up takes in before it lets others have their turn.
const MESSAGES_PER_WAKE: usize = 32;

/// While events are told one by one the socket rests, so that what is said about them, acks above all, goes out together. It is looked at
/// again with the first call that comes so long after the first of them.
const TELLING_MAX: Micros = Micros(1_000);

/// How soon to look again when the socket does not take what should have been sent by now.
const RETRY: Micros = Micros(1_000);

/// How long the goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A client and its socket: a WebSocket over TCP, or over another [stream of bytes](super::connect_over), with TLS or without.
pub struct Connection<S = TcpStream> {
    client: Client,
    /// The last one; there is none before the first was opened.
    socket: Option<WebSocketStream<Transport<S>>>,
    /// The start of the client's clock.
    epoch: Instant,
    timer: Pin<Box<Sleep>>,
    /// What `timer` is set to; nothing if it has to be set.
    armed: Option<Micros>,
    /// While events are told: how long the socket rests.
    telling_until: Option<Micros>,
    message: Vec<u8>,
    needs_flush: bool,
    /// Nothing goes over this socket any more.
    is_over: bool,
    /// How to open another, if that is possible.
    redial: Option<Redial<S>>,
    dialing: Option<Dialing<S>>,
    /// Snapshots that [`Connection::next`] has woken for.
    snapshots_told: u64,
    stats: SocketStats,
}

impl<S> fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("client", &self.client)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

/// Opens another socket to the server.
pub(super) type Redial<S> = Box<dyn FnMut() -> Dialing<S> + Send>;
type Dialing<S> = Pin<Box<dyn Future<Output = Result<WebSocketStream<Transport<S>>, ConnectError>> + Send>>;

/// What went over a socket: WebSocket messages with their headers, and masks where there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SocketStats {
    /// Bytes that came in.
    pub down_bytes: u64,
    /// Bytes that went out.
    pub up_bytes: u64,
    /// Messages that came in.
    pub down_messages: u64,
    /// Messages that went out.
    pub up_messages: u64,
}

/// What [`Connection::next`] wakes for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wake {
    /// Something happened.
    Event(Event),
    /// Snapshots were applied, one or more: the world is newer than it was.
    Snapshot,
    /// The input for this tick is due: give it with [`Connection::push_input`] before the next call, or be asked again.
    Input(Tick),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(
        socket: Option<WebSocketStream<Transport<S>>>,
        config: ClientConfig,
        schema: Arc<Schema>,
    ) -> Self {
        let is_over = socket.is_none();
        let epoch = Instant::now();
        Self {
            client: Client::new(config, schema, Micros::ZERO),
            socket,
            epoch,
            timer: Box::pin(sleep_until(epoch)),
            armed: None,
            telling_until: None,
            message: Vec::new(),
            needs_flush: false,
            is_over,
            redial: None,
            dialing: None,
            snapshots_told: 0,
            stats: SocketStats::default(),
        }
    }

    /// One whose first attempt has failed, and which comes back by itself as after any loss: it has a session to go on with. The error
    /// back if that is no way out of it.
    pub(super) fn coming_back(
        config: ClientConfig,
        schema: Arc<Schema>,
        error: ConnectError,
    ) -> Result<Self, ConnectError> {
        let is_vain =
            |problem: Problem| matches!(problem.kind, ProblemKind::Invalid | ProblemKind::Untrusted);
        let is_in_vain = error.problem().is_some_and(is_vain);
        let mut connection = Self::new(None, config, schema);
        connection.client.handle_disconnect(Micros::ZERO, error.reason());
        if is_in_vain || connection.client.is_closed() { Err(error) } else { Ok(connection) }
    }

    /// From now on the client can come back when its connection is lost.
    pub(super) fn redial_by(&mut self, redial: Redial<S>) {
        self.redial = Some(redial);
    }

    /// The client: what there is to see.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client: to give inputs, and to poll events where [`Connection::next`] is not used.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Gives the player's input for a tick, now: [`Client::push_input`].
    pub fn push_input(&mut self, tick: Tick, fill: impl FnOnce(&mut RowMut<'_>)) {
        let now = self.now();
        self.client.push_input(now, tick, fill);
    }

    /// The time on the client's clock: what its methods want as `now`.
    pub fn now(&self) -> Micros {
        Micros(self.epoch.elapsed().as_micros() as u64)
    }

    /// What went over the socket.
    pub fn socket_stats(&self) -> SocketStats {
        self.stats
    }

    /// Moves bytes until something happens, a snapshot came or an input is due. Nothing once the connection is over and
    /// all was told.
    ///
    /// While there are events to be told the socket rests, for calls within a millisecond: what the game says about them goes out together.
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Wake> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Moves bytes until the client's clock is at `deadline`, or the connection is over: what a game calls between two
    /// of its pictures. Events and inputs are left for the game to poll.
    ///
    /// Once the connection is over it returns at once, every time: a loop around it asks [`Client::is_closed`], or it
    /// spins.
    ///
    /// Cancel safe: dropping the future loses nothing.
    pub async fn run_until(&mut self, deadline: Micros) {
        poll_fn(|cx| {
            loop {
                self.poll_socket(cx);
                if self.is_over || self.now() >= deadline {
                    return Poll::Ready(());
                }
                let wake = self.client.poll_timeout().map_or(deadline, |timeout| timeout.min(deadline));
                if self.poll_timer(cx, wake).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }

    /// Leaves at once, and tells the server so. What was sent a moment ago may not arrive: [`Connection::close_flushed`] sees to it.
    pub async fn close(mut self) {
        self.client.close(self.now(), None);
        self.end();
        self.hear_goodbye().await;
    }

    /// Leaves once all that was sent is delivered, over another connection if need be, or when `bound` has passed; whether nothing was
    /// [lost](Outcome::Lost). Other events are not told any more.
    pub async fn close_flushed(mut self, bound: Micros) -> bool {
        self.client.close(self.now(), Some(bound));
        let mut is_whole = true;
        while let Some(wake) = self.next().await {
            is_whole &= !matches!(wake, Wake::Event(Event::Sent(_, Outcome::Lost)));
        }
        self.hear_goodbye().await;
        is_whole
    }

    /// Goes on until the server has closed its end too. One that does not answer is left all the same.
    async fn hear_goodbye(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        let goodbye = poll_fn(|cx| {
            loop {
                match Pin::new(&mut *socket).poll_next(cx) {
                    Poll::Ready(Some(Ok(Message::Close(_)) | Err(_)) | None) => return Poll::Ready(()),
                    Poll::Ready(Some(Ok(_))) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        let _ = timeout(CLOSE_TIMEOUT, goodbye).await;
    }

    /// Goes on until the welcome.
    pub(super) async fn handshake(&mut self) -> Result<(), ConnectError> {
        poll_fn(|cx| {
            loop {
                self.poll_socket(cx);
                if self.client.is_playing() {
                    return Poll::Ready(());
                }
                // The client itself waits no longer than connecting may take.
                // Who comes back does so in its owner's time.
                if self.is_left() {
                    return Poll::Ready(());
                }
                let Some(timeout) = self.client.poll_timeout() else { return Poll::Ready(()) };
                if self.poll_timer(cx, timeout).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
        if self.client.is_playing() {
            return Ok(());
        }
        let now = self.now();
        let reason = match self.client.poll_event(now) {
            Some(Event::Rejected(reason)) => return Err(ConnectError::Rejected(reason)),
            Some(Event::Disconnected(reason) | Event::Reconnecting { last_error: reason, .. }) => reason,
            _ => DisconnectReason::Lost,
        };
        Err(match reason {
            DisconnectReason::Rejected(reason) => ConnectError::Rejected(reason),
            reason => ConnectError::Ended(reason),
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Wake>> {
        loop {
            let is_telling = self.telling_until.is_some_and(|until| self.now() < until) && !self.is_left();
            if !is_telling {
                self.telling_until = None;
                self.poll_socket(cx);
            }
            let now = self.now();
            if let Some(event) = self.client.poll_event(now) {
                self.telling_until.get_or_insert(now + TELLING_MAX);
                // Whoever is told of the end may look no further.
                self.end_if_left();
                return Poll::Ready(Some(Wake::Event(event)));
            }
            if is_telling {
                self.telling_until = None;
                continue;
            }
            if self.client.is_closed() {
                self.end();
                return Poll::Ready(None);
            }
            let snapshots = self.client.snapshots();
            if core::mem::replace(&mut self.snapshots_told, snapshots) < snapshots {
                return Poll::Ready(Some(Wake::Snapshot));
            }
            if let Some(tick) = self.client.due_input_tick(now) {
                return Poll::Ready(Some(Wake::Input(tick)));
            }
            let timeouts = [self.client.poll_timeout(), self.client.input_timeout()];
            let Some(wake) = timeouts.into_iter().flatten().min() else { return Poll::Pending };
            if self.poll_timer(cx, wake).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Ready when `wake` has come. What should have happened by now, and did not, is waited for a little.
    fn poll_timer(&mut self, cx: &mut Context<'_>, wake: Micros) -> Poll<()> {
        let now = self.now();
        let wake = if wake > now { wake } else { now + RETRY };
        if self.armed != Some(wake) {
            self.timer.as_mut().reset(self.epoch + Duration::from_micros(wake.0));
            self.armed = Some(wake);
        }
        let result = self.timer.as_mut().poll(cx);
        if result.is_ready() {
            self.armed = None;
        }
        result
    }

    // ---- the socket --------------------------------------------------------------------------------------------

    fn poll_socket(&mut self, cx: &mut Context<'_>) {
        self.poll_dial(cx);
        self.poll_read(cx);
        self.poll_write(cx);
        self.end_if_left();
    }

    /// The client wants nothing more of this socket.
    fn is_left(&self) -> bool {
        self.client.is_closed() || self.client.is_waiting()
    }

    fn end_if_left(&mut self) {
        if self.is_left() {
            self.end();
        }
    }

    /// Opens another socket when the client wants to come back.
    fn poll_dial(&mut self, cx: &mut Context<'_>) {
        let now = self.now();
        if let Some(redial) = &mut self.redial
            && self.client.poll_connect(now)
        {
            self.dialing = Some(redial());
        }
        let Some(dialing) = &mut self.dialing else { return };
        match dialing.as_mut().poll(cx) {
            Poll::Pending => return,
            Poll::Ready(Ok(socket)) => {
                (self.socket, self.is_over, self.needs_flush) = (Some(socket), false, false);
            }
            Poll::Ready(Err(error)) => {
                self.client.handle_disconnect(now, error.reason());
            }
        }
        self.dialing = None;
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) {
        for _ in 0..MESSAGES_PER_WAKE {
            let Some(socket) = self.socket.as_mut().filter(|_| !self.is_over) else { return };
            match Pin::new(socket).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) => self.take_message(message),
                Poll::Ready(Some(Err(error))) => self.fail(&error),
                Poll::Ready(None) => self.client.handle_disconnect(self.now(), DisconnectReason::Lost),
                Poll::Pending => return self.note_progress(),
            }
            if self.is_left() {
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    /// A part of a message is a sign of life as well: a large one may take a slow link longer than the server may be silent.
    fn note_progress(&mut self) {
        if self.socket.as_mut().is_some_and(|socket| socket.get_mut().take_has_read()) {
            self.client.handle_progress(self.now());
        }
    }

    fn take_message(&mut self, message: Message) {
        self.stats.down_messages += 1;
        self.stats.down_bytes += wire_bytes(message.len(), false);
        match message {
            Message::Binary(bytes) => {
                let now = self.now();
                // A fault is kept by the client: it ends the connection.
                let _ = self.client.handle_message(now, bytes);
            }
            Message::Text(_) => {
                self.client.handle_disconnect(self.now(), DisconnectReason::Fault(ClientFault::Text));
            }
            Message::Close(close) => self.client.handle_disconnect(self.now(), close_reason(close)),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) {
        while let Some(socket) = self.socket.as_mut().filter(|_| !self.is_over) {
            let mut socket = Pin::new(socket);
            if self.needs_flush {
                match socket.as_mut().poll_flush(cx) {
                    Poll::Ready(Ok(())) => self.needs_flush = false,
                    Poll::Ready(Err(error)) => return self.fail_to_write(cx, &error),
                    Poll::Pending => return,
                }
            }
            let now = Micros(self.epoch.elapsed().as_micros() as u64);
            self.message.clear();
            if !self.client.poll_transmit(now, &mut self.message) {
                return;
            }
            self.stats.up_messages += 1;
            self.stats.up_bytes += wire_bytes(self.message.len(), true);
            let message = Message::Binary(Bytes::copy_from_slice(&self.message));
            if let Err(error) = socket.start_send(message) {
                return self.fail_to_write(cx, &error);
            }
            self.needs_flush = true;
        }
    }

    /// A server that has hung up may have said why: what has come is heard before the connection counts as lost.
    fn fail_to_write(&mut self, cx: &mut Context<'_>, error: &Error) {
        self.poll_read(cx);
        self.fail(error);
    }

    fn fail(&mut self, error: &Error) {
        self.client.handle_disconnect(self.now(), failure(error));
    }

    /// The client is closed: so is the socket, with the reason if it is ours.
    fn end(&mut self) {
        if !self.is_over {
            self.say_goodbye();
        }
    }

    /// Sends what must still be said, if the socket takes it at once; nobody waits for it.
    fn say_goodbye(&mut self) {
        self.is_over = true;
        let Some(socket) = &mut self.socket else { return };
        let mut socket = Pin::new(socket);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let reason = self.client.disconnect_reason();
        if let Some((code, reason)) = reason.and_then(|reason| Some((reason.close_code()?, reason))) {
            let words = match reason {
                DisconnectReason::Fault(fault) => fault.to_string(),
                reason => reason.to_string(),
            };
            let close = CloseFrame { code: code.0.into(), reason: words.into() };
            let _ = socket.as_mut().start_send(Message::Close(Some(close)));
        }
        let _ = socket.poll_flush(&mut cx);
    }
}

/// What it means that a socket cannot be read or written any more.
pub(super) fn failure(error: &Error) -> DisconnectReason {
    match error {
        Error::Capacity(_) => DisconnectReason::Fault(ClientFault::Oversized),
        Error::Utf8(_) => DisconnectReason::Fault(ClientFault::Text),
        _ => DisconnectReason::Lost,
    }
}

/// What the server's close says.
pub(super) fn close_reason(close: Option<CloseFrame>) -> DisconnectReason {
    match close {
        Some(CloseFrame { code, reason }) => {
            DisconnectReason::Closed { code: CloseCode(code.into()), reason: printable(&reason) }
        }
        // RFC 6455: 1005 stands for a close without a code.
        None => DisconnectReason::Closed { code: CloseCode(1005), reason: String::new() },
    }
}

/// Bytes of a message on the wire: RFC 6455, section 5.2. One in fragments counts as one in a piece.
fn wire_bytes(payload: usize, is_masked: bool) -> u64 {
    let length = match payload {
        0..126 => 0,
        126..0x1_0000 => 2,
        _ => 8,
    };
    (2 + length + if is_masked { 4 } else { 0 } + payload) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use tokio::io::ReadBuf;
    use tokio_tungstenite::tungstenite::protocol::Role;

    /// A server that has said something and hung up: that is found out by who writes.
    struct HungUp {
        said: &'static [u8],
        is_noticed: bool,
    }

    impl AsyncRead for HungUp {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.is_noticed {
                return Poll::Pending;
            }
            buffer.put_slice(core::mem::take(&mut self.said));
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for HungUp {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            self.is_noticed = true;
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn why_a_server_hung_up_is_heard_by_who_finds_out_while_it_writes() {
        let schema = Schema::builder("test").build().unwrap();
        for (said, reason) in [
            (
                &b"\x88\x02\x03\xf5"[..],
                close_reason(Some(CloseFrame { code: 1013.into(), reason: "".into() })),
            ),
            (b"", DisconnectReason::Lost),
        ] {
            let stream = Transport::plain(HungUp { said, is_noticed: false });
            let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
            let config = ClientConfig { reconnect: None, ..ClientConfig::new("test") };
            let mut connection = Connection::new(Some(socket), config, schema.clone());
            assert_eq!(connection.next().await, Some(Wake::Event(Event::Disconnected(reason))));
        }
    }

    #[test]
    fn messages_cost_what_the_standard_says() {
        let sizes = [(0, 2), (125, 127), (126, 130), (65_535, 65_539), (65_536, 65_546)];
        for (payload, bytes) in sizes {
            assert_eq!(wire_bytes(payload, false), bytes);
            assert_eq!(wire_bytes(payload, true), bytes + 4);
        }
    }
}
