//! What became of what the game says.

use std::collections::VecDeque;

use tickwire_protocol::message::{MessageId, Outcome, SendError};
use tickwire_protocol::{Micros, PlayerId};

use super::session::Session;

/// Names for what the game says, and who keeps what became of it.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    last: u64,
    /// The game asks. Until it does, nobody keeps anything for it.
    are_asked: bool,
    /// Of players whose sessions ended since the last step.
    lost: VecDeque<(PlayerId, MessageId, Outcome)>,
}

impl Outcomes {
    /// Names a message: the same for all who get it. 0 names none.
    pub(crate) fn name(&mut self) -> MessageId {
        self.last += 1;
        MessageId(self.last)
    }

    /// The game asks, from now on; whether it did not before.
    pub(crate) fn ask(&mut self) -> bool {
        !core::mem::replace(&mut self.are_asked, true)
    }

    /// What is said to a player is kept until it is asked for; spectators have no name that the game knows.
    pub(crate) fn follow(&self, session: &mut Session) {
        if self.are_asked && session.player.is_some() {
            session.outbox.tell_outcomes();
        }
    }

    /// A session is over: what its client has not polled is lost.
    pub(crate) fn handle_end(&mut self, player: PlayerId, session: &mut Session) {
        let outbox = &mut session.outbox;
        outbox.handle_end();
        let known = core::iter::from_fn(|| outbox.poll_outcome(Micros::ZERO));
        self.lost.extend(known.map(|(id, outcome)| (player, id, outcome)));
    }

    pub(crate) fn poll_lost(&mut self) -> Option<(PlayerId, MessageId, Outcome)> {
        self.lost.pop_front()
    }

    /// A step was made: what it has not asked for of those who left is told to nobody.
    pub(crate) fn handle_step(&mut self) {
        self.lost.clear();
    }
}

/// How a message is taken by those whom it is for.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    takers: usize,
    missed: usize,
    error: Option<SendError>,
}

impl Taken {
    pub(crate) fn note(&mut self, result: Result<(), SendError>) {
        match result {
            Ok(()) => self.takers += 1,
            Err(error) => {
                self.missed += 1;
                self.error.get_or_insert(error);
            }
        }
    }

    /// An error if somebody does not get it; which one, if nobody does.
    pub(crate) fn result(self, id: MessageId) -> Result<MessageId, SendError> {
        match self.error {
            None => Ok(id),
            Some(error) if self.takers == 0 => Err(error),
            Some(error) => Err(SendError::NotAll { id, missed: self.missed, error: Box::new(error) }),
        }
    }
}
