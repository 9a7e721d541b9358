//! The ways into a room's task, and what comes through them.

use bytes::Bytes;
use tickwire_protocol::handshake::FreshReason;
use tickwire_protocol::{Micros, PeerId, PlayerId, SessionId};
use tokio::sync::{mpsc, oneshot};

use super::place::Place;
use super::seat::{Closing, Ending, Seat};
use super::stats::RoomStats;
use crate::core::{Broadcast, Join, Reach};

/// Messages that wait in a room's inbox from tick to tick: more than 1,000 players send in two of them. Connections that
/// would add more wait, and TCP holds their peers back.
pub(super) const INBOX_MESSAGES_MAX: usize = 4096;

/// Joins that wait for a later tick; further ones wait in the tasks of their connections.
const JOINS_WAITING_MAX: usize = 64;

/// What reaches a room from outside.
#[derive(Debug)]
pub(super) enum ToRoom {
    /// A transport message of a peer, stamped at the socket.
    Message { peer: PeerId, at: Micros, message: Bytes },
    /// Part of a message of a peer, which takes its time.
    Part { peer: PeerId, at: Micros },
    /// A WebSocket ping of a peer.
    Ping { peer: PeerId, payload: Bytes },
    /// A connection wants out; it gets its writer back. With a goodbye its session is over.
    Leave { peer: PeerId, is_goodbye: bool },
    /// An account has begun another session elsewhere: this one is over.
    Replace { session: SessionId },
    /// Somebody has said something elsewhere that may be for those in here. In a box: what is seldom makes no message larger.
    Deliver(Box<Delivery>),
    /// The server's owner lets a player go, and is told whether it was here.
    Remove { player: PlayerId, reason: String, answer: oneshot::Sender<bool> },
    /// The server's owner ends the room, and is told when it is off the list.
    End { reason: String, answer: oneshot::Sender<()> },
    /// Someone wants to know.
    Stats(oneshot::Sender<RoomStats>),
}

/// What was said elsewhere, and who wants to know how many it has come to, if anybody does.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) broadcast: Broadcast,
    pub(super) answer: Option<oneshot::Sender<Reach>>,
}

/// A connection that wants in.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) join: Join,
    pub(super) seat: Seat,
    /// Where it is let in.
    pub(super) place: Place,
    /// Who is not let in gets its writer back instead.
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What a room says to a connection that wants in.
#[derive(Debug)]
pub(super) enum Answer {
    /// Who it has become, and the sessions in other rooms that are over because of it.
    Joined { peer: PeerId, replaced: Vec<SessionId> },
    /// The session that it wants to go on does not: it has no place here by that, and looks for one as everybody does.
    NotResumed { reason: FreshReason, seat: Seat },
}

/// The ways into a room.
#[derive(Clone, Debug)]
pub(super) struct Doors {
    pub(super) inbox: mpsc::Sender<ToRoom>,
    pub(super) joins: mpsc::Sender<Joining>,
}

/// The room's end of its doors.
pub(super) struct Inlets {
    pub(super) inbox: mpsc::Receiver<ToRoom>,
    pub(super) joins: mpsc::Receiver<Joining>,
}

impl Inlets {
    /// Who waits to be let in gets its writer back.
    pub(super) fn refuse(&mut self, closing: &Closing) {
        self.joins.close();
        while let Ok(joining) = self.joins.try_recv() {
            joining.seat.end(Ending::Closed(closing.clone()));
        }
    }
}

impl Drop for Inlets {
    fn drop(&mut self) {
        self.refuse(&Closing::too_late());
    }
}

/// Both ends.
pub(super) fn doors() -> (Doors, Inlets) {
    let (inbox_sender, inbox) = mpsc::channel(INBOX_MESSAGES_MAX);
    let (joins_sender, joins) = mpsc::channel(JOINS_WAITING_MAX);
    (Doors { inbox: inbox_sender, joins: joins_sender }, Inlets { inbox, joins })
}
