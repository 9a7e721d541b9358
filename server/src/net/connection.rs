//! One task per connection: upgrade, hello, then bytes in both directions until something ends it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use socket2::SockRef;
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{Hello, RejectReason, ResumeToken, Role, StreamKind};
use tickwire_protocol::limits::{CLIENT_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, REASON_BYTES_MAX};
use tickwire_protocol::{CloseCode, DecodeError, Misbehavior, PeerFault, PeerId, RoomId};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, timeout, timeout_at};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as WsCloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::listener::Shared;
use super::mailbox::{Closing, Letters, ROOM_ENDED, mailbox};
use super::room_task::{ToRoom, lock};
use crate::core::{Join, admit};

type Socket = WebSocketStream<TcpStream>;

/// Bytes read from the socket at once: inputs are tens of bytes.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// What the kernel keeps for a slow client, bytes (Linux doubles it for its own use): a keyframe, or seconds of
/// snapshots. Left to itself it grows to megabytes of state that is old when it comes through.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How long the other side may take to answer a close before the socket is dropped under it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Every buffer and size bounded; tungstenite's own defaults are not made for thousands of small connections.
fn limits() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        // Flush each message at once: it is the newest state.
        .write_buffer_size(0)
        .max_write_buffer_size(2 * MESSAGE_BYTES_MAX)
        .max_message_size(Some(CLIENT_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(CLIENT_MESSAGE_BYTES_MAX))
}

/// Why a connection does not get to play.
enum Refusal {
    /// It is told in a reject frame.
    Rejected(RejectReason),
    /// It is closed, or has ended by itself if there is nothing to say.
    Closed(Option<Closing>),
}

impl From<Option<PeerFault>> for Refusal {
    fn from(fault: Option<PeerFault>) -> Self {
        Self::Closed(fault.map(Closing::from))
    }
}

/// A place in a room, given back when this is dropped: however the connection ends.
struct Place {
    shared: Arc<Shared>,
    room: RoomId,
    role: Role,
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.shared.directory).leave(self.room, self.role);
    }
}

/// A peer of a room.
struct Seat {
    place: Place,
    inbox: mpsc::Sender<ToRoom>,
    peer: PeerId,
    letters: Letters,
}

/// Serves one accepted socket to its end.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Without it, Nagle's algorithm would hold a snapshot back for the ack of the one before.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES);
    let deadline = Instant::now() + shared.config.handshake_timeout;
    let upgrade = tokio_tungstenite::accept_async_with_config(stream, Some(limits()));
    let mut socket = tokio::select! {
        upgraded = timeout_at(deadline, upgrade) => match upgraded {
            Ok(Ok(socket)) => socket,
            _ => return,
        },
        () = shared.is_over() => return,
    };
    let entered = tokio::select! {
        entered = timeout_at(deadline, enter(&mut socket, &shared)) => {
            entered.unwrap_or_else(|_| Err(Some(PeerFault::HandshakeTimeout).into()))
        }
        () = shared.is_over() => Err(Refusal::Closed(Some(Closing::shutdown()))),
    };
    let closing = match entered {
        Ok(seat) => play(&mut socket, seat).await,
        Err(Refusal::Rejected(reason)) => Some(reject(&mut socket, &reason, &shared).await),
        Err(Refusal::Closed(closing)) => closing,
    };
    if let Some(closing) = closing {
        tracing::debug!(code = closing.code.0, reason = %closing.reason, "closing a connection");
        close(socket, closing).await;
    } else {
        // The other side closed: tungstenite has the answer ready, and it must still be written.
        let _ = timeout(CLOSE_TIMEOUT, socket.flush()).await;
    }
}

/// Waits for the hello and takes a seat in a room.
async fn enter(socket: &mut Socket, shared: &Arc<Shared>) -> Result<Seat, Refusal> {
    let hello = receive_hello(socket, shared).await?.map_err(Refusal::Rejected)?;
    let (room, inbox) = shared.find_room(&hello).map_err(Refusal::Rejected)?;
    let place = Place { shared: shared.clone(), room, role: hello.role };
    let join = Join {
        token: ResumeToken([0; 16]),
        resume: None,
        role: hello.role,
        stream: StreamKind::Ordered,
        wants_schema: hello.schema_hash == 0,
        wants_prior: !hello.priors.contains(&shared.config.room.prior.hash()),
    };
    let (mailbox, letters) = mailbox();
    let (answer, joined) = oneshot::channel();
    let _ = inbox.send(ToRoom::Join { join, mailbox, answer }).await;
    let ended =
        || Refusal::Closed(Some(Closing { code: CloseCode::TRY_AGAIN_LATER, reason: ROOM_ENDED.to_owned() }));
    let peer = joined.await.map_err(|_| ended())?.map_err(Refusal::Rejected)?;
    tracing::debug!(%room, %peer, build = %hello.game_build, platform = %hello.platform, "joined");
    Ok(Seat { place, inbox, peer, letters })
}

/// The first message must be a hello and nothing else.
async fn receive_hello(
    socket: &mut Socket,
    shared: &Shared,
) -> Result<Result<Hello, RejectReason>, Option<PeerFault>> {
    let message = receive(socket, shared).await?;
    let mut frames = frames(message);
    let first = frames.next().ok_or(PeerFault::Malformed(DecodeError::Truncated("hello")))?;
    let first = first.map_err(PeerFault::Malformed)?;
    if first.ty != FrameType::Hello {
        return Err(Some(Misbehavior::UnexpectedFrame(first.ty as u8).into()));
    }
    if frames.next().is_some() {
        return Err(Some(PeerFault::Malformed(DecodeError::Trailing("hello"))));
    }
    Ok(admit(&first.payload, shared.game.schema(), StreamKind::Ordered)?)
}

/// Moves messages both ways until something ends it; what the connection is then to be closed with, if it still is.
async fn play(socket: &mut Socket, mut seat: Seat) -> Option<Closing> {
    let (mut sink, mut stream) = socket.split();
    let shared = seat.place.shared.clone();
    let closing = tokio::select! {
        ended = read(&mut stream, &seat.inbox, seat.peer, &shared) => ended,
        closing = write(&mut sink, &mut seat.letters, &shared) => Some(closing),
    };
    let _ = seat.inbox.send(ToRoom::Leave { peer: seat.peer }).await;
    closing
}

/// The next binary message. `Err(None)` is an ordinary end.
async fn receive(
    stream: &mut (impl futures_util::Stream<Item = Result<Message, WsError>> + Unpin),
    shared: &Shared,
) -> Result<Bytes, Option<PeerFault>> {
    while let Some(message) = stream.next().await {
        match message {
            Ok(Message::Binary(bytes)) => {
                shared.bytes_in.fetch_add(framed_bytes(bytes.len(), true), Ordering::Relaxed);
                return Ok(bytes);
            }
            Ok(Message::Text(_)) => return Err(Some(PeerFault::Text)),
            // tungstenite has answers to pings and closes ready by itself.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            Err(WsError::Capacity(CapacityError::MessageTooLong { .. })) => {
                return Err(Some(PeerFault::Oversized));
            }
            // A socket that just ends is no fault of what was said.
            Err(WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => return Err(None),
            Err(WsError::Protocol(_) | WsError::Utf8(_)) => {
                return Err(Some(PeerFault::Malformed(DecodeError::Damaged("WebSocket frame"))));
            }
            Ok(Message::Close(_)) | Err(_) => return Err(None),
        }
    }
    Err(None)
}

async fn reject(socket: &mut Socket, reason: &RejectReason, shared: &Shared) -> Closing {
    let mut frame = Vec::new();
    reason.encode(&mut frame);
    shared.bytes_out.fetch_add(framed_bytes(frame.len(), false), Ordering::Relaxed);
    let _ = timeout(shared.config.write_timeout, socket.send(Message::Binary(frame.into()))).await;
    Closing { code: reason.close_code(), reason: reason.to_string() }
}

/// Passes messages to the room, stamped with their arrival, until the connection ends or breaks the protocol.
async fn read(
    stream: &mut SplitStream<&mut Socket>,
    room: &mpsc::Sender<ToRoom>,
    peer: PeerId,
    shared: &Shared,
) -> Option<Closing> {
    loop {
        let message = match receive(stream, shared).await {
            Ok(message) => message,
            Err(fault) => return fault.map(Closing::from),
        };
        let at = shared.clock.now();
        if room.send(ToRoom::Message { peer, at, message }).await.is_err() {
            // The room has ended; the writer knows why.
            return std::future::pending().await;
        }
    }
}

/// Writes what the room gives, one message at a time, until the room wants the connection closed or it stalls.
async fn write(
    sink: &mut SplitSink<&mut Socket, Message>,
    letters: &mut Letters,
    shared: &Shared,
) -> Closing {
    loop {
        let message = match letters.next().await {
            Ok(message) => message,
            Err(closing) => return closing,
        };
        let bytes = framed_bytes(message.len(), false);
        let sent = tokio::select! {
            sent = timeout(shared.config.write_timeout, sink.send(Message::Binary(message))) => sent,
            closing = letters.closing() => return closing,
        };
        match sent {
            Ok(Ok(())) => letters.flushed(),
            Ok(Err(_)) => return Closing { code: CloseCode::NORMAL, reason: String::new() },
            Err(_) => return PeerFault::Stalled.into(),
        }
        shared.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Says why, and waits a moment for the other side to hear it: a socket dropped at once can lose the reason.
async fn close(mut socket: Socket, closing: Closing) {
    let frame = CloseFrame {
        code: WsCloseCode::from(closing.code.0),
        reason: Utf8Bytes::from(truncated(&closing.reason, REASON_BYTES_MAX)),
    };
    let farewell = async {
        if socket.close(Some(frame)).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout(CLOSE_TIMEOUT, farewell).await;
}

/// The longest start of `text` that has at most `bytes_max` bytes.
fn truncated(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Bytes of a WebSocket message with its header, and its mask if a client sent it (RFC 6455, section 5.2).
fn framed_bytes(payload: usize, is_masked: bool) -> u64 {
    let header = match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    (payload + header + if is_masked { 4 } else { 0 }) as u64
}
