//! A session's place in a room.

use std::fmt;
use std::sync::{Arc, Mutex};

use tickwire_protocol::handshake::Role;
use tickwire_protocol::{RoomId, SessionId};

use super::accounts::Claim;
use super::lock::lock;
use crate::core::Directory;

/// A place in a room and what its account has of it, given back when this is dropped: however the session ends.
pub(super) struct Place {
    directory: Arc<Mutex<Directory>>,
    room: RoomId,
    role: Role,
    /// Some until this is dropped.
    claim: Option<Claim>,
}

impl Place {
    /// One that the directory has counted.
    pub(super) fn taken(directory: Arc<Mutex<Directory>>, room: RoomId, role: Role, claim: Claim) -> Self {
        Self { directory, room, role, claim: Some(claim) }
    }

    /// Sessions of this room that are over once somebody is let in here.
    pub(super) fn replaces(&self) -> Vec<SessionId> {
        let others = self.claim.as_ref().map(Claim::replaces).unwrap_or_default();
        others.into_iter().map(|(session, _)| session).filter(|session| session.room() == self.room).collect()
    }

    /// It has become this session's; the sessions of other rooms that are over because of it.
    pub(super) fn settle(&self, session: SessionId) -> Vec<SessionId> {
        self.claim.as_ref().map(|claim| claim.settle(session, self.role)).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // First: whoever finds the claim counts on a place that is still taken.
        self.claim = None;
        lock(&self.directory).leave(self.room, self.role);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("room", &self.room).field("role", &self.role).finish_non_exhaustive()
    }
}
