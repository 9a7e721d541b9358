//! Who has to go, and when a room ends: the game's to say.

use core::fmt;
use std::sync::Arc;

use tickwire_protocol::PlayerId;
use tickwire_protocol::limits::REASON_BYTES_MAX;

use crate::context::StepContext;

/// Why somebody has to go, in words that its client is told: at most [`REASON_BYTES_MAX`] bytes, as many as the close of a connection carries.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RemovalReason(Arc<str>);

impl RemovalReason {
    /// What is longer is cut behind the last character that has room.
    pub fn new(text: &str) -> Self {
        Self(text[..text.floor_char_boundary(REASON_BYTES_MAX)].into())
    }

    /// The words.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RemovalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a step wants to become of its players and its room: written by the step, done by the room before the next.
#[derive(Debug, Default)]
pub struct Dismissals {
    players: Vec<(PlayerId, RemovalReason)>,
    room: Option<RemovalReason>,
}

impl Dismissals {
    /// Whether nobody has to go, and the room goes on.
    pub fn is_empty(&self) -> bool {
        self.players.is_empty() && self.room.is_none()
    }

    /// Takes out who has to go. Somebody may be in it twice: the first reason is the one.
    pub fn take_players(&mut self) -> Vec<(PlayerId, RemovalReason)> {
        core::mem::take(&mut self.players)
    }

    /// Takes out why the room ends, if it does.
    pub fn take_room(&mut self) -> Option<RemovalReason> {
        self.room.take()
    }
}

impl StepContext<'_> {
    /// Lets a player go: before the next step its session is over and its place free, and that step is told that it [left](StepContext::left). Its
    /// client is told the reason, at most [`REASON_BYTES_MAX`] bytes of it, with close code 4006, and does not come back by itself; the others are told
    /// that it was [removed](tickwire_protocol::room::LeaveReason::Removed). What is said to it in this step goes out first, as far as its link
    /// takes it at once; nothing else that waits for it does.
    ///
    /// One whose connection is lost at that moment is told nothing, and finds its session gone when it is back. This keeps nobody out: who may not
    /// come back at all is for the server to refuse ([accounts](StepContext::account), tokens), or for the game to let go again when it has
    /// [joined](StepContext::joined). Who is not here is passed over; nothing happens on a client and in a replay.
    ///
    /// ```
    /// # use tickwire_sim::prelude::*;
    /// # use tickwire_sim::protocol::message::{MessageTypeId, Refusal};
    /// /// Only for whom `MessageType::permitted_by("kick")` lets send it.
    /// const KICK: MessageTypeId = MessageTypeId(5);
    /// # fn step(ctx: &mut StepContext<'_>) {
    /// while let Some((from, request)) = ctx.poll_request() {
    ///     if let (KICK, Ok(player)) = (request.ty, <[u8; 4]>::try_from(&request.body[..])) {
    ///         ctx.remove_player(PlayerId(u32::from_le_bytes(player)), "you were voted out");
    ///         let _ = ctx.respond(from, request.id, Ok(Bytes::new()));
    ///     }
    /// }
    /// # }
    /// ```
    pub fn remove_player(&mut self, player: PlayerId, reason: &str) {
        if let Some(dismissals) = &mut self.outside.dismissals {
            dismissals.players.push((player, RemovalReason::new(reason)));
        }
    }

    /// Ends the room: this step is its last. Every session in it is over, spectators' among them, and every client is told the reason, at most
    /// [`REASON_BYTES_MAX`] bytes of it, with close code 4007: none comes back by itself, for where to is theirs to choose. What is said in
    /// this step goes out first, as far as links take it at once. The first reason counts; nothing happens on a client and in a replay.
    pub fn end_room(&mut self, reason: &str) {
        if let Some(dismissals) = &mut self.outside.dismissals {
            dismissals.room.get_or_insert_with(|| RemovalReason::new(reason));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_between_characters() {
        let text = "x".repeat(REASON_BYTES_MAX - 1) + "é";
        assert_eq!(RemovalReason::new(&text).as_str(), "x".repeat(REASON_BYTES_MAX - 1));
        assert_eq!(RemovalReason::new("away").to_string(), "away");
    }
}
