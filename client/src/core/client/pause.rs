//! Pauses: those that the game wants, and those that the machine makes.

use tickwire_protocol::Micros;
use tickwire_protocol::pause::Pause;

use super::{Client, State};

/// Who comes to look so much later than it was asked to was asleep: a laptop that was closed, a page whose timers were stopped.
const SLEPT: Micros = Micros::from_secs(2);

/// What the server knows of pauses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pausing {
    pub(super) is_paused: bool,
    /// Whether this session was ever said to be paused: what it believes when it is taken up again is not known.
    was_told: bool,
    /// What it was told over this connection, if anything was.
    told: Option<bool>,
}

impl Pausing {
    /// Of a session that may have been paused before this program was started.
    pub(super) fn new(is_restored: bool) -> Self {
        Self { was_told: is_restored, ..Self::default() }
    }

    /// A connection begins, of the same session or another.
    pub(super) fn handle_connected(&mut self, is_same: bool) {
        self.was_told &= is_same;
        // Not yet by what the game wants now: it may want another before anything is written.
        self.told = None;
    }
}

impl Client {
    /// Nobody looks: a tab in the background, a game behind a menu. The server sends no state, and the player is what the room's
    /// policy for absence says; no inputs are given. Messages go on, and wait if the game does not poll. Pings come every 20 s, and
    /// the connection counts as dead after a minute of silence, so that a page whose timers are slow keeps it.
    ///
    /// Told with the next [`Client::poll_transmit`], and over each connection until [`Client::resume`].
    pub fn pause(&mut self, now: Micros) {
        self.set_paused(now, true);
    }

    /// The game goes on: with the next snapshot it sees what has changed meanwhile.
    pub fn resume(&mut self, now: Micros) {
        self.set_paused(now, false);
    }

    /// Whether the game has paused.
    pub fn is_paused(&self) -> bool {
        self.pausing.is_paused
    }

    fn set_paused(&mut self, now: Micros, is_paused: bool) {
        self.pausing.is_paused = is_paused;
        if let State::Playing(session) = &mut self.state {
            session.set_paused(now, is_paused, &mut self.stats);
        }
    }

    /// Appends what the server has not been told of a pause; what it was told as well if that `is_repeated`, as with each ping on
    /// datagrams, which may be lost.
    pub(super) fn write_pause(pausing: &mut Pausing, is_repeated: bool, out: &mut Vec<u8>) {
        let Pausing { is_paused, told, was_told } = *pausing;
        // A session that was never told of a pause goes on without one.
        let is_news = told.map_or(is_paused || was_told, |told| told != is_paused);
        if is_news || (is_repeated && was_told) {
            Pause { is_paused }.encode(out);
            (pausing.told, pausing.was_told) = (Some(is_paused), true);
        }
    }

    /// Somebody is here, for the first time in a while: if that is far longer than was asked for, this machine was asleep, and what the
    /// server has said or not said meanwhile tells nothing.
    pub(super) fn note_awake(&mut self, now: Micros) {
        if let State::Playing(session) = &mut self.state
            && now >= self.last_seen.max(session.next_ping()) + SLEPT
        {
            session.handle_sleep(now);
        }
        self.last_seen = self.last_seen.max(now);
    }
}
