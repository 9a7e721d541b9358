//! What is too large for a message: up to 16 MiB, offered, accepted, sent in pieces, checked, over any number of connections of a session.
//!
//! ```text
//!  offering side                                     receiving side
//!  offer      BULK_OFFER  ───────────────────────>   Offered       the game accepts, or refuses
//!             <───────────────────────  BULK_CREDIT                so much may come
//!  Sending    BULK_CHUNK  ───────────────────────>   Receiving     in order, never beyond the credit
//!             <───────────────────────  BULK_CREDIT                so much has come, so much more may
//!             BULK_STOP complete, checksum ──────>   Received      the game has polled it
//!  Sent       <──────────────────────────  BULK_END
//!             BULK_STOP released  ───────────────>                 both forget it
//! ```
//!
//! Either side ends it earlier: the offering one with BULK_STOP, the receiving one with BULK_END. In any case the receiving side says how it ended,
//! and keeps that until it is released: so the outcome is told on both sides, whenever a connection ends.
//!
//! A transfer is a filler: [`Bulk::poll_filler`] is asked when nothing else is to be sent, and gives no more than what is gone from the link within
//! a twentieth of a second. The checksum is that of the whole content, from game to game: it finds what is wrong in memory, in a proxy or in the
//! putting together of pieces over several connections. It is no protection against somebody who means to change it: TLS is.

mod frame;
mod pace;
mod receiver;
mod resume;
mod sender;

use bytes::Bytes;
use thiserror::Error;

use crate::fault::DecodeError;
use crate::frame::Frame;
use crate::limits::{BULK_BYTES_MAX, BULK_METADATA_BYTES_MAX, BULK_TRANSFERS_MAX};
use crate::time::Micros;

pub use frame::{BulkEnd, BulkFrame, BulkStop};
pub use resume::{BulkReceived, ReceivedOf};

use receiver::Receiver;
use sender::Sender;

/// Who offers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Side {
    /// A client.
    Client,
    /// The server.
    Server,
}

impl Side {
    const fn first(self) -> BulkId {
        BulkId(match self {
            Self::Client => 0,
            Self::Server => 1,
        })
    }

    const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Names a transfer within its session. Those that a client offers are even, those of a server odd.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BulkId(pub u32);

impl BulkId {
    /// Who offers it.
    pub const fn side(self) -> Side {
        if self.0.is_multiple_of(2) { Side::Client } else { Side::Server }
    }
}

/// What the other side may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BulkOffer {
    /// What it is, as the game numbers it.
    pub kind: u16,
    /// Its size.
    pub bytes: u32,
    /// What the game says of it, at most [`BULK_METADATA_BYTES_MAX`] bytes: a name, a version.
    pub metadata: Bytes,
}

/// What becomes of a transfer. Each that was offered by the game ends with `Sent` or `NotSent`, each that was offered to it and accepted with
/// `Received` or `NotReceived`, unless the game itself has cancelled it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BulkEvent {
    /// The other side offers something: accept it, or cancel it to refuse. It waits for a minute.
    Offered {
        /// Its name.
        id: BulkId,
        /// What.
        offer: BulkOffer,
    },
    /// More of what was accepted has come.
    Receiving {
        /// Of which.
        id: BulkId,
        /// So much is there.
        bytes: u32,
        /// Of so much.
        of: u32,
    },
    /// All of it has come, with the right checksum.
    Received {
        /// Which.
        id: BulkId,
        /// What was offered.
        content: Bytes,
    },
    /// It will not come.
    NotReceived {
        /// Which.
        id: BulkId,
        /// Why not.
        why: BulkFailure,
    },
    /// The other side has more of what was offered.
    Sending {
        /// Of which.
        id: BulkId,
        /// So much is there.
        bytes: u32,
        /// Of so much.
        of: u32,
    },
    /// The other side's game has it.
    Sent {
        /// Which.
        id: BulkId,
    },
    /// The other side's game does not get it; with [`BulkFailure::Lost`] it may have it.
    NotSent {
        /// Which.
        id: BulkId,
        /// Why not.
        why: BulkFailure,
    },
}

/// Why a transfer came to nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BulkFailure {
    /// The other side's game does not want it.
    #[error("it was refused")]
    Refused,
    /// The offer was not answered within a minute.
    #[error("nobody answered the offer in time")]
    Expired,
    /// One side's game has stopped it.
    #[error("it was cancelled")]
    Cancelled,
    /// What came is not what was sent.
    #[error("its checksum is wrong")]
    Damaged,
    /// The session it belonged to is no more.
    #[error("its session is over")]
    Lost,
}

impl BulkFailure {
    fn of(end: BulkEnd) -> Option<Self> {
        match end {
            BulkEnd::Received => None,
            BulkEnd::Refused => Some(Self::Refused),
            BulkEnd::Cancelled => Some(Self::Cancelled),
            BulkEnd::Expired => Some(Self::Expired),
            BulkEnd::Damaged => Some(Self::Damaged),
        }
    }
}

/// Why something cannot be done with a transfer.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum BulkError {
    /// The content or what is said of it is too large.
    #[error(
        "{bytes} bytes with {metadata} bytes of metadata: at most {BULK_BYTES_MAX} and {BULK_METADATA_BYTES_MAX} may be"
    )]
    TooLarge {
        /// Of content.
        bytes: usize,
        /// Of metadata.
        metadata: usize,
    },
    /// There are too many transfers that way, or they are too large together: try again when one has ended and its event was polled.
    #[error(
        "{transfers} transfers with {bytes} bytes are under way: at most {BULK_TRANSFERS_MAX} and {BULK_BYTES_MAX} may be"
    )]
    Full {
        /// So many.
        transfers: usize,
        /// Bytes of their contents.
        bytes: usize,
    },
    /// There is no such transfer, or it has come too far for that.
    #[error("no such transfer, or none of which this can be asked any more")]
    Unknown,
    /// Transfers need a connection that keeps order.
    #[error("a connection of datagrams carries no transfers")]
    NotOrdered,
    /// The session is over, or there is no such player.
    #[error("there is nobody at the other end")]
    Closed,
}

/// All transfers of one side of a session.
#[derive(Debug)]
pub struct Bulk {
    sender: Sender,
    receiver: Receiver,
}

impl Bulk {
    /// None yet.
    pub fn new(side: Side) -> Self {
        Self { sender: Sender::new(side), receiver: Receiver::new(side.other()) }
    }

    // ---- the game ----------------------------------------------------------------------------------------------

    /// Offers a content to the other side. It is kept until its outcome is known.
    ///
    /// # Errors
    /// If it is too large, or there are too many.
    pub fn offer(
        &mut self,
        now: Micros,
        kind: u16,
        metadata: Bytes,
        content: Bytes,
    ) -> Result<BulkId, BulkError> {
        self.sender.offer(now, kind, metadata, content)
    }

    /// Accepts what is offered.
    ///
    /// # Errors
    /// If it is no offer that waits, or too much was accepted already; then it still waits.
    pub fn accept(&mut self, id: BulkId) -> Result<(), BulkError> {
        self.receiver.accept(id)
    }

    /// Refuses what is offered, takes back what was, or stops what is under way, whichever side it is of. What was sent whole cannot be taken
    /// back. What the game itself offered still ends with an event: it may have arrived all the same.
    ///
    /// # Errors
    /// If there is nothing to be stopped.
    pub fn cancel(&mut self, id: BulkId) -> Result<(), BulkError> {
        self.sender.cancel(id).or_else(|_| self.receiver.cancel(id))
    }

    /// What the game is to be told next. Ask until there is nothing: who offers goes no further than a window ahead of what is asked here.
    pub fn poll_event(&mut self, now: Micros) -> Option<BulkEvent> {
        // A room asks every player in every step, and nearly nobody has anything.
        if self.receiver.is_idle() && self.sender.is_idle() {
            return None;
        }
        self.receiver.poll_event(now).or_else(|| self.sender.poll_event(now))
    }

    /// As [`Bulk::poll_event`], of what was lost with a session before.
    pub fn poll_former(&mut self) -> Option<BulkEvent> {
        self.receiver.poll_former()
    }

    // ---- the connection ----------------------------------------------------------------------------------------

    /// Takes in a frame of one of the five types. A fault means that the other side does not keep to the protocol.
    pub fn handle_frame(&mut self, now: Micros, frame: Frame) -> Result<(), DecodeError> {
        match BulkFrame::decode(frame.ty, frame.payload)? {
            BulkFrame::Offer { id, offer } => self.receiver.handle_offer(now, id, offer),
            BulkFrame::Chunk { id, offset, content } => self.receiver.handle_chunk(id, offset, &content),
            BulkFrame::Stop { id, stop } => self.receiver.handle_stop(id, stop),
            BulkFrame::Credit { id, received, limit } => self.sender.handle_credit(now, id, received, limit),
            BulkFrame::End { id, end } => self.sender.handle_end(id, end),
        }
    }

    /// Whether [`Bulk::poll_control`] has something to write.
    pub fn has_control(&self) -> bool {
        self.receiver.has_control() || self.sender.has_control()
    }

    /// Appends what does not wait for an idle moment: a few bytes of credit, ends and stops, at most `bytes_max` in all.
    pub fn poll_control(&mut self, bytes_max: usize, out: &mut Vec<u8>) {
        let end = out.len() + bytes_max;
        self.receiver.poll_control(end, out);
        self.sender.poll_control(end, out);
    }

    /// When [`Bulk::poll_filler`] has something to write; nothing if it has nothing, or must hear from the other side first.
    pub fn next_filler(&self) -> Option<Micros> {
        self.sender.next_filler()
    }

    /// Appends one offer or one piece of content, if the link has taken what went before: to be asked when nothing else is to be sent.
    pub fn poll_filler(&mut self, now: Micros, bytes_max: usize, out: &mut Vec<u8>) {
        let end = out.len() + bytes_max;
        self.sender.poll_filler(now, end, out);
    }

    // ---- another connection ------------------------------------------------------------------------------------

    /// What the other side has to know to go on over another connection.
    pub fn received(&self) -> BulkReceived {
        self.receiver.received()
    }

    /// The session goes on over another connection, whose other side has received so much.
    ///
    /// # Errors
    /// If that cannot be. Nothing has changed then.
    pub fn handle_resumed(&mut self, told: &BulkReceived) -> Result<(), DecodeError> {
        self.sender.handle_resumed(told)?;
        self.receiver.handle_resumed();
        Ok(())
    }

    /// The other side knows nothing of the transfers: all that it had heard of are lost.
    pub fn handle_fresh(&mut self) {
        self.sender.handle_fresh(false);
        self.receiver.handle_fresh();
    }

    /// There will be no other session: all are lost.
    pub fn handle_end(&mut self) {
        self.sender.handle_fresh(true);
        self.receiver.handle_fresh();
    }

    /// Gives back the memory that was needed at some time and is not now.
    pub fn shrink_to_fit(&mut self) {
        self.sender.shrink_to_fit();
        self.receiver.shrink_to_fit();
    }
}
