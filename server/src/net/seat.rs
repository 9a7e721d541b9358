//! A connection's place in its room: its writing half, lent to the room until its stay is over.

use std::net::IpAddr;
use std::ops::Range;

use bytes::Bytes;
use tickwire_protocol::handshake::RejectReason;
use tickwire_protocol::limits::FRAMES_PER_TICK_MAX;
use tickwire_protocol::{CloseCode, Micros, Misbehavior, PeerFault, PeerId};
use tokio::sync::oneshot;

use super::meters::Meters;
use super::websocket::{WebSocketWriter, framed_bytes};
use crate::core::Room;

/// Why and how a connection is to be closed.
#[derive(Clone, Debug)]
pub(super) struct Closing {
    pub(super) code: CloseCode,
    pub(super) reason: String,
}

impl Closing {
    /// The server ends.
    pub(super) fn shutdown() -> Self {
        Self { code: CloseCode::GOING_AWAY, reason: "the server is shutting down".to_owned() }
    }

    /// The room has failed.
    pub(super) fn failed() -> Self {
        Self { code: CloseCode::INTERNAL, reason: "the room has failed".to_owned() }
    }

    /// The room closed while somebody was on the way to it.
    pub(super) fn too_late() -> Self {
        Self { code: CloseCode::TRY_AGAIN_LATER, reason: "the room has ended".to_owned() }
    }

    /// A client that closes is answered with its own code.
    pub(super) fn answer(code: CloseCode) -> Self {
        Self { code, reason: String::new() }
    }
}

impl From<PeerFault> for Closing {
    fn from(fault: PeerFault) -> Self {
        Self { code: fault.into(), reason: fault.to_string() }
    }
}

/// How a connection comes to its end.
#[derive(Debug)]
pub(super) enum Ending {
    /// There is nobody left to be told anything.
    Gone,
    /// It may not play: told in a reject frame, then closed.
    Rejected(RejectReason),
    /// It is closed.
    Closed(Closing),
}

impl From<PeerFault> for Ending {
    fn from(fault: PeerFault) -> Self {
        Self::Closed(fault.into())
    }
}

/// What a connection gets back from its room.
#[derive(Debug)]
pub(super) struct Returned {
    pub(super) writer: WebSocketWriter,
    pub(super) ending: Ending,
}

/// The room's end of a connection.
#[derive(Debug)]
pub(super) struct Seat {
    writer: WebSocketWriter,
    address: IpAddr,
    back: oneshot::Sender<Returned>,
    /// A WebSocket ping that is to be answered; a newer one takes its place.
    ping: Option<Bytes>,
    /// Pings since the last transmission.
    pings: u32,
    /// When the socket last took something, while it has not taken all.
    stuck_since: Option<Micros>,
    /// Where what was encoded for it lies.
    encoded: Range<usize>,
}

/// What encoding and writing for one peer need beside its seat.
pub(super) struct Transmission<'a> {
    pub(super) room: &'a mut Room,
    /// What was encoded for one seat after the other, framed.
    pub(super) framed: &'a mut Vec<u8>,
    pub(super) meters: &'a mut Meters,
    /// How long a socket may take nothing.
    pub(super) write_timeout: Micros,
}

impl Seat {
    /// Lends a writer to a room; the connection gets it back through the receiver.
    pub(super) fn new(writer: WebSocketWriter, address: IpAddr) -> (Self, oneshot::Receiver<Returned>) {
        let (back, returned) = oneshot::channel();
        let seat = Self { writer, address, back, ping: None, pings: 0, stuck_since: None, encoded: 0..0 };
        (seat, returned)
    }

    /// Gives the connection its writer back, and says how it ends. A connection that has ended by itself does not care.
    pub(super) fn end(self, ending: Ending) {
        let _ = self.back.send(Returned { writer: self.writer, ending });
    }

    /// Where the other end is.
    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    /// For who was not seated after all.
    pub(super) fn into_writer(self) -> WebSocketWriter {
        self.writer
    }

    /// A WebSocket ping, answered with the next transmission. No more of them are taken than of frames.
    pub(super) fn handle_ping(&mut self, payload: Bytes) -> Result<(), PeerFault> {
        self.ping = Some(payload);
        self.pings += 1;
        if self.pings > FRAMES_PER_TICK_MAX {
            return Err(Misbehavior::Flood(FRAMES_PER_TICK_MAX).into());
        }
        Ok(())
    }

    /// Encodes what is due to the peer, if its socket has taken all that was written before.
    pub(super) fn encode(&mut self, now: Micros, peer: PeerId, with: Transmission<'_>) -> Result<(), Ending> {
        let Transmission { room, framed, meters, write_timeout } = with;
        self.encoded = 0..0;
        self.pings = 0;
        if !self.writer.is_ready() {
            let has_moved = self.writer.flush().map_err(gone)?;
            if !self.writer.is_ready() {
                let since = if has_moved { now } else { self.stuck_since.unwrap_or(now) };
                self.stuck_since = Some(since);
                let is_over = now.saturating_since(since) > write_timeout;
                return if is_over { Err(PeerFault::Stalled.into()) } else { Ok(()) };
            }
        }
        let start = framed.len();
        if let Some(ping) = self.ping.take() {
            WebSocketWriter::frame_pong(framed, &ping);
        }
        room.poll_transmit(now, peer, |message| {
            meters.messages_sent += 1;
            meters.bytes_out += framed_bytes(message.len(), false);
            WebSocketWriter::frame(framed, message);
        });
        self.encoded = start..framed.len();
        Ok(())
    }

    /// Writes what was encoded, and where the socket takes all of it, what may wait for that.
    pub(super) fn write(&mut self, now: Micros, peer: PeerId, with: Transmission<'_>) -> Result<(), Ending> {
        let Transmission { room, framed, meters, .. } = with;
        if !self.writer.is_ready() {
            return Ok(());
        }
        let encoded = &framed[std::mem::take(&mut self.encoded)];
        let mut written = if encoded.is_empty() { Ok(()) } else { self.writer.write(encoded) };
        if written.is_ok() && self.writer.is_ready() {
            room.poll_filler(now, peer, |message| {
                meters.messages_sent += 1;
                meters.bytes_out += framed_bytes(message.len(), false);
                written = self.writer.send(message);
            });
        }
        self.stuck_since = (!self.writer.is_ready()).then_some(now);
        written.map_err(gone)
    }
}

/// A socket that cannot be written to: whoever is there can no longer be told anything.
fn gone(_: std::io::Error) -> Ending {
    Ending::Gone
}
