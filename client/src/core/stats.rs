//! What a client counts.

use tickwire_protocol::message::Carried;
use tickwire_protocol::{Micros, PeerId, PlayerId, SessionId, Tick};

/// The server's own rows were other than those predicted: what was predicted since was made anew.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Correction {
    /// The newest tick before at which server and prediction agreed, or were made to.
    pub agreed: Tick,
    /// The tick at which they did not.
    pub tick: Tick,
    /// Whether the server has stepped any of the ticks between without its input: then it is nobody's fault but the link's.
    pub is_substituted: bool,
    /// How far apart predicted and true positions were at most, in the field's unit; 0 if other fields differed.
    pub error: f32,
}

/// What went one way, over all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Messages of the transport.
    pub messages: u64,
    /// Their bytes, without what the transport adds.
    pub bytes: u64,
    /// Of these, bytes of play: snapshots the one way, inputs, acks and pings the other.
    pub play_bytes: u64,
    /// Of these, bytes of [transfers](crate::Client::offer_bulk).
    pub bulk_bytes: u64,
    /// What the games said to each other, by lane.
    pub talk: Carried,
}

/// What a client has counted and measured: [`Client::stats`](crate::Client::stats).
///
/// Counters go on over all connections and sessions of the client, from when it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClientStats {
    /// The session that it has, or had last.
    pub session: Option<SessionId>,
    /// The connection, as the server calls it; that of now, or the last one.
    pub connection: Option<PeerId>,
    /// The player, if it has one.
    pub player: Option<PlayerId>,
    /// How long the client has had this session, whatever connections it went over; 0 without one.
    pub session_uptime: Micros,
    /// How long the connection of now has been there; 0 without one.
    pub connection_uptime: Micros,
    /// How good the connection is: 0, there is none or it is of no use, to 100, nothing is to be felt of it. The formula is in
    /// `docs/SESSIONS.md`.
    pub health: u8,
    /// The round trip, smoothed, of the connection of now or the last; until the first ping is answered that of the hello.
    pub rtt: Option<Micros>,
    /// By how much it varies: its mean deviation.
    pub jitter: Option<Micros>,
    /// The share of newest snapshot datagrams that did not come, 0 to 1: [`Client::loss`](crate::Client::loss).
    pub loss: f32,
    /// Welcomes behind a lost connection.
    pub reconnects: u64,
    /// Those of them by which the session went on.
    pub resumes: u64,
    /// Connections that were lost behind their welcome, or ended by a fault or by the server with another code than 1000.
    pub connections_lost: u64,
    /// Attempts to connect that came to no welcome.
    pub attempts_failed: u64,
    /// Messages, requests, answers and offers that were not taken.
    pub sends_refused: u64,
    /// What came in.
    pub received: Traffic,
    /// What went out.
    pub sent: Traffic,
    /// Snapshot frames applied.
    pub snapshots: u64,
    /// Datagrams that came again, or too late to be told from those.
    pub stale_snapshots: u64,
    /// Datagrams dropped because they name a state that is not held; the server sends anew what was in them.
    pub unknown_states: u64,
    /// Messages that were not the format. At most 1: the connection ends with it.
    pub decode_errors: u64,
    /// Digests of the server that were compared with what is held.
    pub digests_checked: u64,
    /// Rows in them.
    pub digest_rows: u64,
    /// Digests that were not equal: a fault of the engine.
    pub digest_mismatches: u64,
    /// Cues taken in, each once.
    pub cues: u64,
    /// Events lost because the game did not poll for them.
    pub events_dropped: u64,
    /// Pings sent.
    pub pings: u64,
    /// Answers to them.
    pub pongs: u64,
    /// Times that the two clocks turned out to have jumped against each other.
    pub clock_jumps: u64,
    /// Ticks for which the game gave an input.
    pub inputs: u64,
    /// Input frames sent.
    pub input_frames: u64,
    /// How many ticks before its step the last of the inputs arrived that the server told of; negative: too late.
    pub input_margin_ticks: Option<i8>,
    /// The newest tick applied.
    pub newest_tick: Option<Tick>,
    /// When it arrived, on the client's clock.
    pub newest_arrival: Option<Micros>,
    /// Time since the first snapshot.
    pub watched: Micros,
    /// How much of that the view was later than the newest state.
    pub starved: Micros,
    /// Times that own rows of the server's were other than those predicted, by as little as one integer.
    pub corrections: u64,
    /// Those of them behind an input that came too late.
    pub corrections_substituted: u64,
    /// The last one.
    pub last_correction: Option<Correction>,
    /// The greatest [`Correction::error`].
    pub correction_error_max: f32,
    /// Ticks that were stepped again.
    pub replayed_ticks: u64,
}

impl ClientStats {
    pub(crate) fn note_correction(&mut self, correction: Correction) {
        self.corrections += 1;
        self.corrections_substituted += u64::from(correction.is_substituted);
        self.correction_error_max = self.correction_error_max.max(correction.error);
        self.last_correction = Some(correction);
    }

    /// All that went wrong: connections lost, attempts that failed, what was not taken, digests that differ.
    pub fn errors(&self) -> u64 {
        self.connections_lost + self.attempts_failed + self.sends_refused + self.digest_mismatches
    }

    /// Share of the time in which the view was later than the newest state, 0 to 1.
    pub fn starved_ratio(&self) -> f64 {
        if self.watched == Micros::ZERO { 0.0 } else { self.starved.0 as f64 / self.watched.0 as f64 }
    }
}
