//! When a bot looks away, as a page in the background does: it is sent no state then, and messages go on.

use tickwire_client::Client;
use tickwire_protocol::Micros;
use tickwire_sim::Random;

use super::chance_of;

/// From the end of a pause to the next, and how long it takes, on average.
const APART: Micros = Micros::from_secs(4);
const LENGTH: Micros = Micros::from_millis(700);

/// One bot's pauses.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// When the one of now began.
    since: Option<Micros>,
    /// When the next begins, or the one of now ends.
    turn: Option<Micros>,
    count: u64,
    total: Micros,
}

impl Pauses {
    /// How long they took in all, and how many there were.
    pub(super) fn total(&self) -> (Micros, u64) {
        (self.total, self.count)
    }

    /// Begins one or ends it, if it is time to.
    pub(super) fn act(&mut self, now: Micros, client: &mut Client, random: &mut Random) {
        match self.turn {
            None => self.turn = Some(now + chance_of(random, APART)),
            Some(turn) if now < turn => {}
            Some(_) if self.since.is_some() => {
                self.end(now, client);
                self.turn = Some(now + chance_of(random, APART));
            }
            Some(_) => {
                self.since = Some(now);
                self.count += 1;
                self.turn = Some(now + chance_of(random, LENGTH));
                client.pause(now);
            }
        }
    }

    /// Ends the one of now, if there is one.
    pub(super) fn end(&mut self, now: Micros, client: &mut Client) {
        if let Some(since) = self.since.take() {
            self.total = self.total + now.saturating_since(since);
            client.resume(now);
        }
    }
}
