//! A session's place in a room.

use std::fmt;
use std::sync::{Arc, Mutex};

use tickwire_protocol::RoomId;
use tickwire_protocol::handshake::Role;

use super::room_task::lock;
use crate::core::Directory;

/// A place in a room, given back when this is dropped: however the session ends.
pub(super) struct Place {
    directory: Arc<Mutex<Directory>>,
    room: RoomId,
    role: Role,
}

impl Place {
    /// One that the directory has counted.
    pub(super) fn taken(directory: Arc<Mutex<Directory>>, room: RoomId, role: Role) -> Self {
        Self { directory, room, role }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.directory).leave(self.room, self.role);
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("room", &self.room).field("role", &self.role).finish_non_exhaustive()
    }
}
