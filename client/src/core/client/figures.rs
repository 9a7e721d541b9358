//! What is counted and measured.

use tickwire_protocol::Micros;
use tickwire_protocol::handshake::SessionOutcome;

use super::{Client, State};
use crate::core::clock::Clock;
use crate::core::stats::ClientStats;

impl Client {
    /// What has been counted up to `now`, and how the connection is.
    pub fn stats(&self, now: Micros) -> ClientStats {
        let (welcome, clock) = (self.welcome(), self.clock());
        let mut stats = ClientStats {
            session: welcome.map(|welcome| welcome.session),
            connection: welcome.map(|welcome| welcome.peer),
            player: welcome.and_then(|welcome| welcome.player),
            rtt: clock.map(Clock::rtt),
            jitter: clock.map(Clock::jitter),
            loss: self.loss(),
            ..self.stats
        };
        stats.received.talk = self.continuity.inbox.read();
        stats.sent.talk = self.continuity.outbox.written();
        if self.continuity.has_session() && welcome.is_some() {
            stats.session_uptime = now.saturating_since(self.session_began);
        }
        if let State::Playing(session) = &self.state {
            stats.connection_uptime = now.saturating_since(self.welcomed);
            stats.health = session.condition(now).health();
            session.add_watched(now, &mut stats);
        }
        stats
    }

    /// Snapshots applied.
    #[cfg(feature = "net")]
    pub(crate) fn snapshots(&self) -> u64 {
        self.stats.snapshots
    }

    /// That a message of so many bytes goes out; whether there is one.
    pub(super) fn note_sent(&mut self, bytes: usize) -> bool {
        self.stats.sent.messages += u64::from(bytes > 0);
        self.stats.sent.bytes += bytes as u64;
        bytes > 0
    }

    /// That a welcome has come, to which a connection before has `before`; the first of this session here, or not.
    pub(super) fn note_welcome(&mut self, now: Micros, is_back: bool, outcome: SessionOutcome) {
        let goes_on = !matches!(outcome, SessionOutcome::Fresh(_));
        self.stats.reconnects += u64::from(is_back);
        self.stats.resumes += u64::from(is_back && goes_on);
        if !(is_back && goes_on) {
            self.session_began = now;
        }
    }

    /// That what was to be sent was not taken, if it was not.
    pub(super) fn note_refusal<T, E>(&mut self, result: Result<T, E>) -> Result<T, E> {
        self.stats.sends_refused += u64::from(result.is_err());
        result
    }
}
