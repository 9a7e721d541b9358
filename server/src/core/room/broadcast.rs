//! What is said beyond this room, and what comes from beyond it.

use tickwire_protocol::Micros;

use super::Room;
use crate::core::broadcast::{Broadcast, Reach};

impl Room {
    /// The next message of the game's that is for others as well. Those in this room have it: it is to be [given](Room::deliver) to all other
    /// rooms of the server, in the order in which they are polled. Ask until there is none; where there are no other rooms, for nothing. What
    /// waits when 64 do, or 256 KiB, keeps the game from saying more.
    pub fn poll_broadcast(&mut self) -> Option<Broadcast> {
        self.broadcasts.poll()
    }

    /// Whether [`Room::poll_broadcast`] has something.
    pub fn has_broadcast(&self) -> bool {
        !self.broadcasts.is_empty()
    }

    /// Gives a message that was said elsewhere, by the game of another room of the same schema or by the server's owner, to those in this room whom
    /// it is for. It comes behind what the game here has said to them so far; of latest messages it takes the place of one of its key. The game
    /// here hears nothing of it.
    pub fn deliver(&mut self, now: Micros, broadcast: &Broadcast) -> Reach {
        self.now = self.now.max(now);
        let id = self.outcomes.name();
        let mut reach = Reach::default();
        for session in self.sessions.values_mut() {
            if broadcast.is_for(self.identities.get(&session.id)) {
                let Broadcast { ty, key, ref body, .. } = *broadcast;
                reach.note(session.send_untold(now, id, ty, key, body.clone()).is_ok());
            }
        }
        reach
    }
}
