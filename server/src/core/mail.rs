//! Messages between a room's step and its sessions.

use core::ops::Bound;
use std::collections::BTreeMap;

use bytes::Bytes;
use tickwire_protocol::message::{Message, MessageTypeId, SendError};
use tickwire_protocol::{Micros, PlayerId, SessionId};
use tickwire_sim::{Audience, BulkMail, Mail};

use super::bulk::BulkTurn;
use super::session::Session;

/// The sessions of a room while it steps.
#[derive(Debug)]
pub(crate) struct RoomMail<'a> {
    pub(crate) now: Micros,
    pub(crate) players: &'a BTreeMap<PlayerId, SessionId>,
    pub(crate) sessions: &'a mut BTreeMap<SessionId, Session>,
    /// Whose messages were polled last: nobody is heard twice as often as another.
    pub(crate) turn: &'a mut PlayerId,
    pub(crate) bulk: &'a mut BulkTurn,
}

impl Mail for RoomMail<'_> {
    fn poll(&mut self) -> Option<(PlayerId, Message)> {
        let Self { players, sessions, turn, .. } = self;
        let last = **turn;
        let behind = players.range((Bound::Excluded(last), Bound::Unbounded));
        let all = behind.chain(players.range(..=last));
        for (&player, session) in all {
            let message = sessions.get_mut(session).and_then(|session| session.inbox.poll());
            if let Some(message) = message {
                **turn = player;
                return Some((player, message));
            }
        }
        None
    }

    fn send(&mut self, to: Audience, ty: MessageTypeId, key: u32, body: Bytes) -> Result<(), SendError> {
        let now = self.now;
        self.for_each(to, |session| session.send(now, ty, key, body.clone()))
    }

    fn emit(&mut self, to: Audience, ty: MessageTypeId, event: Bytes) -> Result<(), SendError> {
        let now = self.now;
        self.for_each(to, |session| session.emit(now, ty, event.clone()))
    }

    fn bulk(&mut self) -> Option<&mut dyn BulkMail> {
        Some(self)
    }
}

impl RoomMail<'_> {
    /// Gives each session of an audience what there is for it; bodies are shared. Of several errors the last is told.
    fn for_each(
        &mut self,
        to: Audience,
        mut give: impl FnMut(&mut Session) -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let Self { players, sessions, .. } = self;
        if let Audience::Player(player) = to {
            let session = players.get(&player).and_then(|session| sessions.get_mut(session));
            return session.map_or(Ok(()), give);
        }
        let mut result = Ok(());
        for session in sessions.values_mut() {
            let is_left_out = matches!(to, Audience::Except(player) if session.player_id() == Some(player));
            if !is_left_out && let Err(error) = give(session) {
                result = Err(error);
            }
        }
        result
    }
}
