//! One task per connection: upgrade, hello, then it listens for its room until something ends it, and says goodbye.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use socket2::SockRef;
use tickwire_protocol::bulk::BulkReceived;
use tickwire_protocol::frame::{Frame, FrameType, frames};
use tickwire_protocol::handshake::{
    FreshReason, Hello, Reject, RejectReason, Resume, ResumeToken, StreamKind, Token,
};
use tickwire_protocol::room::Introduction;
use tickwire_protocol::{CloseCode, DecodeError, Micros, Misbehavior, PeerFault, PeerId};
use tokio::net::TcpStream;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant, sleep, timeout, timeout_at};

use super::doors::{Answer, Doors, Joining, ToRoom};
use super::listener::{Found, Shared};
use super::questions::Questions;
use super::seat::{Closing, Ending, Returned, Seat};
use super::slots::{Slot, Standing};
use super::upgrade::{Visitor, arrive};
use super::websocket::{Received, WebSocketReader, WebSocketWriter, framed_bytes};
use crate::core::{Applicant, Identity, Join, admit};

/// What the kernel keeps for a slow client, bytes (Linux doubles it for its own use): a keyframe, or seconds of
/// snapshots. Left to itself it grows to megabytes of state that is old when it comes through.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// How long the other side may take to hear a close before the socket is dropped under it.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves one accepted socket to its end.
pub(super) async fn serve(socket: TcpStream, peer: IpAddr, standing: Standing, shared: Arc<Shared>) {
    // In boxes, so that what beginning and end need takes no memory for as long as the connection lasts.
    let Some(mut stay) = Box::pin(begin(socket, peer, standing, &shared)).await else { return };
    if let Some(returned) = stay.last(&shared).await {
        Box::pin(say_goodbye(stay.reader, returned, shared.config.retry_after)).await;
    }
}

/// From an accepted socket into a room. Nothing if it does not come there: then all was said.
async fn begin(socket: TcpStream, peer: IpAddr, standing: Standing, shared: &Arc<Shared>) -> Option<Stay> {
    // Without it, Nagle's algorithm would hold a snapshot back for the ack of the one before.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(&socket).set_send_buffer_size(SEND_BUFFER_BYTES);
    let deadline = Instant::now() + shared.config.handshake_timeout;
    // In a box of its own: who has a WebSocket and says nothing should cost little.
    let (stream, mut visitor) = tokio::select! {
        arrived = timeout_at(deadline, Box::pin(arrive(socket, peer, standing, shared))) => arrived.ok()??,
        () = shared.is_over() => return None,
    };
    let (mut reader, mut writer) = stream.into_websocket();
    let greeting = tokio::select! {
        greeting = timeout_at(deadline, greet(&mut reader, &mut writer, &mut visitor, shared)) => {
            greeting.unwrap_or_else(|_| Err(PeerFault::HandshakeTimeout.into()))
        }
        () = shared.is_over() => Err(Ending::Closed(Closing::shutdown())),
    };
    let refused = match greeting {
        Ok(greeting) if greeting.hello.schema_hash == 0 => Some(tell_schema(writer, shared)),
        Ok(greeting) => {
            let (seat, mut returned) = Seat::new(writer, visitor.slot.address);
            match join(seat, &mut returned, &greeting, shared).await {
                Ok(Joined { peer, inbox }) => {
                    let Hello { game_build, platform, .. } = &greeting.hello;
                    tracing::debug!(%peer, build = %game_build, %platform, "joined");
                    return Some(Stay { reader, slot: visitor.slot, peer, inbox, returned });
                }
                Err(refused) => refused,
            }
        }
        Err(ending) => Some(Returned { writer, ending }),
    };
    if let Some(refused) = refused {
        say_goodbye(reader, refused, shared.config.retry_after).await;
    }
    None
}

/// What somebody wants, and who it is.
struct Greeting {
    hello: Hello,
    identity: Identity,
    resume: Option<Resume>,
    bulk: Option<BulkReceived>,
    introduction: Option<Introduction>,
}

/// Hears a hello, and finds out whose it is.
async fn greet(
    reader: &mut WebSocketReader,
    writer: &mut WebSocketWriter,
    visitor: &mut Visitor,
    shared: &Shared,
) -> Result<Greeting, Ending> {
    let hello = receive_hello(reader, writer, visitor, shared).await?;
    let resume = Resume::find(&hello.extensions).map_err(PeerFault::from)?;
    let bulk = BulkReceived::find(&hello.extensions).map_err(PeerFault::from)?;
    let introduction = Introduction::find(&hello.extensions)
        .map_err(|_| PeerFault::from(DecodeError::Damaged("introduction")))?;
    let identity = identify(&hello, visitor, shared).await?;
    Ok(Greeting { hello, identity, resume, bulk, introduction })
}

/// The first message must be a hello and nothing else, but for questions which rooms there are.
async fn receive_hello(
    reader: &mut WebSocketReader,
    writer: &mut WebSocketWriter,
    visitor: &Visitor,
    shared: &Shared,
) -> Result<Hello, Ending> {
    let mut questions = Questions::default();
    loop {
        let Frame { ty, payload } = receive_alone(reader, shared).await?;
        match ty {
            FrameType::Hello => {
                return admit(&payload, shared.game.schema(), StreamKind::Ordered)?.map_err(Ending::Rejected);
            }
            FrameType::List => questions.answer(&payload, visitor, writer, shared).await?,
            ty => return Err(PeerFault::from(Misbehavior::UnexpectedFrame(ty as u8)).into()),
        }
    }
}

/// The next frame, alone in its message.
async fn receive_alone(reader: &mut WebSocketReader, shared: &Shared) -> Result<Frame, Ending> {
    let message = loop {
        match reader.receive().await.map_err(ending_of)? {
            Received::Message(message) => break message,
            // The answer to a ping would have to wait until there is somebody to ask.
            Received::Part | Received::Ping(_) => {}
            Received::Close(code) => return Err(Ending::Closed(Closing::answer(code))),
        }
    };
    shared.hello_bytes.fetch_add(framed_bytes(message.len(), true), Ordering::Relaxed);
    let mut frames = frames(message);
    let first = frames.next().unwrap_or(Err(DecodeError::Truncated("hello"))).map_err(PeerFault::from)?;
    match frames.next() {
        Some(_) => Err(PeerFault::from(DecodeError::Trailing("hello")).into()),
        None => Ok(first),
    }
}

/// Tells the schema to one who asks for it: a tool that comes again when it knows the game. It takes no place anywhere.
fn tell_schema(mut writer: WebSocketWriter, shared: &Shared) -> Returned {
    let ending = match writer.send(&shared.schema_welcome) {
        Ok(()) => {
            Ending::Closed(Closing { code: CloseCode::NORMAL, reason: "that is the schema".to_owned() })
        }
        Err(_) => Ending::Gone,
    };
    Returned { writer, ending }
}

/// A connection that is in a room.
struct Stay {
    reader: WebSocketReader,
    slot: Slot,
    peer: PeerId,
    inbox: mpsc::Sender<ToRoom>,
    /// Gives the writing half back when it is over.
    returned: oneshot::Receiver<Returned>,
}

impl Stay {
    /// Goes on until something ends it. Nothing comes back from a room that is gone without a trace.
    async fn last(&mut self, shared: &Shared) -> Option<Returned> {
        let Self { reader, slot, peer, inbox, returned } = self;
        let ending = tokio::select! {
            // What the room has to say goes before what is said to it, or a client that never pauses would not hear it.
            biased;
            returned = &mut *returned => return returned.ok(),
            ending = listen(reader, inbox, *peer, slot, shared) => ending,
        };
        // A room that has ended has given back everything by itself.
        let is_goodbye = is_goodbye(&ending);
        let _ = inbox.send(ToRoom::Leave { peer: *peer, is_goodbye }).await;
        let writer = returned.await.ok()?.writer;
        Some(Returned { writer, ending })
    }
}

/// Who somebody is: by the token of the request, by that of the hello, or a guest.
async fn identify(hello: &Hello, visitor: &mut Visitor, shared: &Shared) -> Result<Identity, Ending> {
    let told = Token::find(&hello.extensions).map_err(PeerFault::from)?;
    let found = match (visitor.known.take(), told) {
        (Some(_), Some(_)) => {
            return Err(PeerFault::from(DecodeError::Trailing("token of the request")).into());
        }
        (Some(known), None) => known,
        (None, Some(token)) => shared.gate.identify(&token, visitor.slot.address).await,
        (None, None) => shared.gate.guest(),
    };
    found.map_err(|refusal| Ending::Rejected(RejectReason::Unauthorized(refusal)))
}

/// Somebody in a room.
struct Joined {
    peer: PeerId,
    inbox: mpsc::Sender<ToRoom>,
}

/// Finds a room and joins it: that of the session that is to go on, or if that is no more, one like everybody's. The error is what comes
/// back of a connection that is not let in.
async fn join(
    mut seat: Seat,
    returned: &mut oneshot::Receiver<Returned>,
    greeting: &Greeting,
    shared: &Arc<Shared>,
) -> Result<Joined, Option<Returned>> {
    let Greeting { hello, identity, bulk, introduction, .. } = greeting;
    let (mut resume, mut fresh) = (greeting.resume, FreshReason::First);
    loop {
        let refuse = |seat: Seat, ending| Err(Some(Returned { writer: seat.into_writer(), ending }));
        let applicant = Applicant { identity, address: shared.slots.counted_as(seat.address()) };
        let found = match find(hello, applicant, resume, shared) {
            Ok(Some(found)) => found,
            Ok(None) => {
                (resume, fresh) = (None, FreshReason::Unknown);
                continue;
            }
            Err(reason) => return refuse(seat, Ending::Rejected(reason)),
        };
        let Found { place, doors: Doors { inbox, joins } } = found;
        let Ok(token) = new_token() else { return refuse(seat, Ending::Closed(Closing::failed())) };
        let join = Join {
            token,
            resume,
            bulk: *bulk,
            fresh,
            identity: identity.clone(),
            introduction: introduction.clone(),
            game_build: hello.game_build.clone(),
            platform: hello.platform.clone(),
            features: hello.features,
            wants_prior: !hello.priors.contains(&shared.config.room.prior.hash()),
            ..Join::new(hello.role, StreamKind::Ordered)
        };
        let (answer, answered) = oneshot::channel();
        if let Err(SendError(Joining { seat, .. })) = joins.send(Joining { join, seat, place, answer }).await
        {
            return refuse(seat, Ending::Closed(Closing::too_late()));
        }
        // A room that ends looks into its doors once more; what comes after that falls with the last who could still knock.
        drop(joins);
        let answer = tokio::select! {
            // What is over because somebody was let in is over, also if the room has ended since.
            biased;
            Ok(answer) = answered => answer,
            returned = &mut *returned => return Err(returned.ok()),
        };
        match answer {
            Answer::Joined { peer, replaced } => {
                for session in replaced {
                    shared.replace(session).await;
                }
                return Ok(Joined { peer, inbox });
            }
            Answer::NotResumed { reason, seat: given_back } => {
                (seat, resume, fresh) = (given_back, None, reason);
            }
        }
    }
}

/// A place for somebody whose account may have one. Nothing if the session that is to go on is no more.
fn find(
    hello: &Hello,
    applicant: Applicant<'_>,
    resume: Option<Resume>,
    shared: &Arc<Shared>,
) -> Result<Option<Found>, RejectReason> {
    let session = resume.map(|resume| resume.session);
    // Before a room is opened for it.
    let claim = shared.accounts.claim(applicant.identity.name(), session)?;
    match session {
        Some(session) => Ok(shared.find_session(session, hello.role, claim)),
        None => shared.find_room(hello, applicant, claim).map(Some),
    }
}

fn new_token() -> Result<ResumeToken, getrandom::Error> {
    let mut token = [0; 16];
    getrandom::fill(&mut token)
        .inspect_err(|error| tracing::error!(%error, "the system has no randomness for a session's token"))?;
    Ok(ResumeToken(token))
}

/// Passes on what a peer says, stamped with its arrival, until it is at an end or breaks the protocol.
async fn listen(
    reader: &mut WebSocketReader,
    room: &mpsc::Sender<ToRoom>,
    peer: PeerId,
    slot: &Slot,
    shared: &Shared,
) -> Ending {
    let between_parts = Micros(shared.config.room.silence_timeout.0 / 4);
    let mut told_of_part = Micros::ZERO;
    loop {
        let received = match reader.receive().await {
            Ok(received) => received,
            Err(fault) => return ending_of(fault),
        };
        let at = shared.clock.now();
        let said = match received {
            // Often enough to be taken for alive, and no oftener.
            Received::Part if at.saturating_since(told_of_part) < between_parts => continue,
            Received::Part => {
                told_of_part = at;
                ToRoom::Part { peer, at }
            }
            Received::Message(message) => ToRoom::Message { peer, at, message },
            Received::Ping(payload) => ToRoom::Ping { peer, payload },
            Received::Close(code) => return Ending::Closed(Closing::answer(code)),
        };
        let wait = slot.hold_message(at);
        if wait > Micros::ZERO {
            // Not read on meanwhile: what else comes waits in the socket, and holds its sender back.
            sleep(Duration::from_micros(wait.0)).await;
        }
        if room.send(said).await.is_err() {
            // The room has ended, and is about to say why.
            return std::future::pending().await;
        }
    }
}

/// Whether a session ends with its connection: its client says so, or broke the protocol. A page that goes away may come back, and
/// a connection that just ends, or is given up for its silence, was lost.
fn is_goodbye(ending: &Ending) -> bool {
    match ending {
        Ending::Gone => false,
        Ending::Rejected(_) => true,
        Ending::Closed(Closing { code, .. }) => !code.may_pass(),
    }
}

fn ending_of(fault: Option<PeerFault>) -> Ending {
    fault.map_or(Ending::Gone, Ending::from)
}

/// Says why the connection ends, and waits a moment for the other side to hear it.
async fn say_goodbye(
    reader: WebSocketReader,
    Returned { mut writer, ending }: Returned,
    retry_after: Duration,
) {
    let closing = match ending {
        Ending::Gone => return,
        Ending::Closed(closing) => closing,
        Ending::Rejected(reason) => {
            let mut frame = Vec::new();
            let code = reason.close_code();
            let wait = Micros(u64::try_from(retry_after.as_micros()).unwrap_or(u64::MAX));
            let reject = Reject::naming(reason, wait);
            reject.encode(&mut frame);
            if writer.send(&frame).is_err() {
                return;
            }
            Closing { code, reason: reject.to_string() }
        }
    };
    tracing::debug!(code = closing.code.0, reason = %closing.reason, "closing a connection");
    let farewell = async {
        if writer.close(closing.code, &closing.reason).await.is_ok() {
            reader.discard().await;
        }
    };
    let _ = timeout(CLOSE_TIMEOUT, farewell).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task holds the largest state of its future for as long as it lives.
    #[test]
    fn what_a_connection_needs_for_long_is_small() {
        fn bytes<A, B, C, D, F>(_: impl FnOnce(A, B, C, D) -> F) -> usize {
            size_of::<F>()
        }
        let served = bytes(serve);
        println!("{served} bytes");
        assert!(served <= 1024, "{served} bytes a connection");
    }
}
