//! What a client counts.

use tickwire_protocol::{Micros, Tick};

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

/// Counters since the client was made.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClientStats {
    /// Bytes of the messages that came in, without what the transport adds.
    pub received_bytes: u64,
    /// Bytes of the messages that went out, without what the transport adds.
    pub sent_bytes: u64,
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

    /// Share of the time in which the view was later than the newest state, 0 to 1.
    pub fn starved_ratio(&self) -> f64 {
        if self.watched == Micros::ZERO { 0.0 } else { self.starved.0 as f64 / self.watched.0 as f64 }
    }
}
