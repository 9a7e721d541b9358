//! One task per connection: upgrade, hello, then bytes in both directions until something ends it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{Hello, RejectReason, StreamKind};
use tickwire_protocol::limits::{CLIENT_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX, REASON_BYTES_MAX};
use tickwire_protocol::{CloseCode, DecodeError, Misbehavior, PeerFault, PeerId};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as WsCloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::listener::Shared;
use super::mailbox::{Closing, Letters, mailbox};
use super::room_task::ToRoom;
use crate::core::{Join, admit};

type Socket = WebSocketStream<TcpStream>;

/// Bytes read from the socket at once: inputs are tens of bytes.
const READ_BUFFER_BYTES: usize = 4 * 1024;

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

/// Serves one accepted socket to its end.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Without it, Nagle's algorithm would hold a snapshot back for the ack of the one before.
    let _ = stream.set_nodelay(true);
    let patience = shared.config.handshake_timeout;
    let upgrade = tokio_tungstenite::accept_async_with_config(stream, Some(limits()));
    let started = tokio::time::Instant::now();
    let Ok(Ok(mut socket)) = timeout(patience, upgrade).await else { return };
    let left = patience.saturating_sub(started.elapsed());
    let closing = match timeout(left, receive_hello(&mut socket, &shared)).await {
        Err(_) => Some(PeerFault::HandshakeTimeout.into()),
        Ok(Err(fault)) => fault.map(Closing::from),
        Ok(Ok(Err(reason))) => Some(reject(&mut socket, &reason, &shared).await),
        Ok(Ok(Ok(hello))) => return play(socket, hello, shared).await,
    };
    if let Some(closing) = closing {
        tracing::debug!(code = closing.code.0, reason = %closing.reason, "connection refused");
        let (mut sink, mut stream) = socket.split();
        close(&mut sink, &mut stream, closing).await;
    }
}

/// Waits for the hello. `Err(None)` is a connection that ended before.
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
            // tungstenite answers pings and closes by itself.
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
            Ok(Message::Close(_)) => return Err(None),
            Err(WsError::Capacity(CapacityError::MessageTooLong { .. })) => {
                return Err(Some(PeerFault::Oversized));
            }
            Err(WsError::Protocol(_) | WsError::Utf8(_)) => {
                return Err(Some(PeerFault::Malformed(DecodeError::Damaged("WebSocket frame"))));
            }
            Err(_) => return Err(None),
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

/// A place in a room, given back when it is dropped: however the connection ends.
struct Seat {
    shared: Arc<Shared>,
    room: tickwire_protocol::RoomId,
    role: tickwire_protocol::handshake::Role,
}

impl Drop for Seat {
    fn drop(&mut self) {
        super::room_task::lock(&self.shared.directory).leave(self.room, self.role);
    }
}

/// Finds a room for an admitted connection and plays in it.
async fn play(mut socket: Socket, hello: Hello, shared: Arc<Shared>) {
    let (seat, room) = match shared.find_room(&hello) {
        Ok((room_id, room)) => (Seat { shared: shared.clone(), room: room_id, role: hello.role }, room),
        Err(reason) => {
            let closing = reject(&mut socket, &reason, &shared).await;
            let (mut sink, mut stream) = socket.split();
            return close(&mut sink, &mut stream, closing).await;
        }
    };
    let join = Join {
        session: shared.next_session(),
        role: hello.role,
        stream: StreamKind::Ordered,
        wants_schema: hello.schema_hash == 0,
    };
    let (mailbox, mut letters) = mailbox();
    let (answer, joined) = oneshot::channel();
    let asked = room.send(ToRoom::Join { join, mailbox, answer }).await;
    let peer = match (asked, joined.await) {
        (Ok(()), Ok(Ok(peer))) => peer,
        (Ok(()), Ok(Err(reason))) => {
            let closing = reject(&mut socket, &reason, &shared).await;
            let (mut sink, mut stream) = socket.split();
            return close(&mut sink, &mut stream, closing).await;
        }
        // The room has ended in between.
        _ => {
            let closing =
                Closing { code: CloseCode::TRY_AGAIN_LATER, reason: "the room has ended".to_owned() };
            let (mut sink, mut stream) = socket.split();
            return close(&mut sink, &mut stream, closing).await;
        }
    };
    tracing::debug!(room = %seat.room, %peer, build = %hello.game_build, platform = %hello.platform, "joined");
    let (mut sink, mut stream) = socket.split();
    let closing = tokio::select! {
        ended = read(&mut stream, &room, peer, &shared) => ended,
        closing = write(&mut sink, &mut letters, &shared) => Some(closing),
    };
    let _ = room.send(ToRoom::Leave { peer }).await;
    drop(seat);
    if let Some(closing) = closing {
        close(&mut sink, &mut stream, closing).await;
    }
}

/// Passes messages to the room, stamped with their arrival, until the connection ends or breaks the protocol.
async fn read(
    stream: &mut SplitStream<Socket>,
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
async fn write(sink: &mut SplitSink<Socket, Message>, letters: &mut Letters, shared: &Shared) -> Closing {
    loop {
        let message = match letters.next().await {
            Ok(message) => message,
            Err(closing) => return closing,
        };
        let bytes = framed_bytes(message.len(), false);
        match timeout(shared.config.write_timeout, sink.send(Message::Binary(message))).await {
            Ok(Ok(())) => letters.flushed(),
            Ok(Err(_)) => return Closing { code: CloseCode::NORMAL, reason: String::new() },
            Err(_) => return PeerFault::Stalled.into(),
        }
        shared.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Says why, and waits a moment for the other side to hear it: a socket dropped at once can lose the reason.
async fn close(sink: &mut SplitSink<Socket, Message>, stream: &mut SplitStream<Socket>, closing: Closing) {
    let frame = CloseFrame {
        code: WsCloseCode::from(closing.code.0),
        reason: Utf8Bytes::from(truncated(&closing.reason, REASON_BYTES_MAX)),
    };
    let farewell = async {
        if sink.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = stream.next().await {}
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

impl From<PeerFault> for Closing {
    fn from(fault: PeerFault) -> Self {
        Self { code: fault.into(), reason: fault.to_string() }
    }
}
