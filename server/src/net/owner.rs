//! What the server's owner says to its rooms and to those who are in them.

use std::fmt;

use bytes::Bytes;
use tickwire_protocol::message::MessageTypeId;
use tickwire_protocol::{PlayerId, RoomId};
use tickwire_sim::Audience;
use tokio::sync::oneshot;

use super::doors::{Delivery, ToRoom};
use super::listener::ServerHandle;
use crate::core::{Broadcast, BroadcastError, Reach};

/// What the owner speaks of is not there (any more).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OwnerError {
    /// No room has this number.
    NoSuchRoom(RoomId),
    /// The room has no such player, connected or not.
    NoSuchPlayer(PlayerId),
}

impl fmt::Display for OwnerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchRoom(room) => write!(f, "there is no room {room}"),
            Self::NoSuchPlayer(player) => write!(f, "there is no player {player} in this room"),
        }
    }
}

impl std::error::Error for OwnerError {}

impl ServerHandle {
    /// Lets a player go, as its game does with [`StepContext::remove_player`](tickwire_sim::StepContext::remove_player): its client is closed with
    /// 4006 and the reason, at most 123 bytes of it, and does not come back by itself. Its session is over and its place free when this returns.
    ///
    /// # Errors
    /// There is no such room or player.
    pub async fn remove_player(
        &self,
        room: RoomId,
        player: PlayerId,
        reason: &str,
    ) -> Result<(), OwnerError> {
        let reason = reason.to_owned();
        let was_here = self.tell(room, |answer| ToRoom::Remove { player, reason, answer }).await?;
        if was_here { Ok(()) } else { Err(OwnerError::NoSuchPlayer(player)) }
    }

    /// Ends a room, also one that is there for good, as its game does with [`StepContext::end_room`](tickwire_sim::StepContext::end_room): every
    /// client in it is closed with 4007 and the reason, at most 123 bytes of it, and does not come back by itself. The room is off the list and
    /// its name free when this returns.
    ///
    /// # Errors
    /// There is no such room.
    pub async fn end_room(&self, room: RoomId, reason: &str) -> Result<(), OwnerError> {
        let reason = reason.to_owned();
        self.tell(room, |answer| ToRoom::End { reason, answer }).await
    }

    /// Tells a room something, and waits for its answer. One that ends before it answers is none.
    async fn tell<T>(
        &self,
        room: RoomId,
        what: impl FnOnce(oneshot::Sender<T>) -> ToRoom,
    ) -> Result<T, OwnerError> {
        let inbox = self.shared.inbox(room).ok_or(OwnerError::NoSuchRoom(room))?;
        let (answer, told) = oneshot::channel();
        // If this fails the answer fails as well.
        let _ = inbox.send(what(answer)).await;
        told.await.map_err(|_| OwnerError::NoSuchRoom(room))
    }

    /// Says something to [all](Audience::All) who are in a room, or to an [account](Audience::Account) wherever it is: as the game does with
    /// [`StepContext::send`](tickwire_sim::StepContext::send), and of the types that this may send. Waits until each room has given it to its
    /// own; how many have it then, connected or not.
    ///
    /// # Errors
    /// The schema does not let it be sent, or the audience is in one room: then nobody gets it.
    pub async fn broadcast(
        &self,
        to: Audience<'_>,
        ty: MessageTypeId,
        key: u32,
        body: Bytes,
    ) -> Result<Reach, BroadcastError> {
        let broadcast = Broadcast::new(self.shared.game.schema(), to, ty, key, body)?;
        let mut answers = Vec::new();
        for (_, inbox) in self.shared.inboxes() {
            let (answer, told) = oneshot::channel();
            // A room that has ended has nobody in it, and does not answer.
            let delivery = Delivery { broadcast: broadcast.clone(), answer: Some(answer) };
            let _ = inbox.send(ToRoom::Deliver(Box::new(delivery))).await;
            answers.push(told);
        }
        let mut reach = Reach::default();
        for told in answers {
            reach += told.await.unwrap_or_default();
        }
        Ok(reach)
    }
}
