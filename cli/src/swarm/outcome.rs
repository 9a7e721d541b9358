//! What bots saw, as they count it.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use tickwire_protocol::Micros;

use super::load::Plan;
use super::sessions::Account;

/// Parts of the measured time: before somebody comes half-way, and from then on.
pub(super) const STAGES: usize = 2;

/// Where the swarm is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Bots are connecting.
    Gathering,
    /// What they see counts.
    Measuring,
    /// It still does, and others come.
    Disturbed,
    /// All is left in peace, so that what was on its way arrives.
    Healing,
    /// Each says what it knows of its session, while all are there.
    Settling,
    /// They shall leave.
    Over,
}

impl Phase {
    /// The stage of the measured time, if this is one.
    pub(super) fn stage(self) -> Option<usize> {
        match self {
            Self::Measuring => Some(0),
            Self::Disturbed => Some(1),
            Self::Gathering | Self::Healing | Self::Settling | Self::Over => None,
        }
    }
}

/// What one bot saw.
#[derive(Debug)]
pub(super) struct BotOutcome {
    pub(super) plan: Plan,
    /// TCP, WebSocket, hello and welcome, microseconds; none if it never came that far.
    pub(super) connect_micros: Option<u64>,
    /// From the start of connecting to the first snapshot applied, microseconds.
    pub(super) join_micros: Option<u64>,
    /// Of each stage.
    pub(super) snapshots: [u64; STAGES],
    pub(super) measured: Measured,
    pub(super) digests: Digests,
    pub(super) decode_errors: u64,
    pub(super) reconnects: u64,
    /// By kind.
    pub(super) errors: BTreeMap<String, u64>,
    /// How long it looked away within the measured time, and how often: it was told no state then.
    pub(super) paused: Micros,
    pub(super) pauses: u64,
    /// Of its session, where these are checked.
    pub(super) account: Account,
}

/// Counted from when all bots are in until the end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// Bytes of WebSocket messages.
    pub(super) down_bytes: u64,
    pub(super) up_bytes: u64,
    /// Input frames.
    pub(super) input_frames: u64,
    /// Steps of the server that it told a light bot of; those of them made without the bot's input.
    pub(super) steps: u64,
    pub(super) steps_without_input: u64,
    /// What the rows in view would have taken as plain floats and integers of 32 bits.
    pub(super) raw_bytes: u64,
    /// Rendered frames, starved ones, and those in which the own player was predicted.
    pub(super) frames: u64,
    pub(super) starved_frames: u64,
    pub(super) predicted_frames: u64,
    /// Times that a prediction turned out to be wrong; those of them behind an input that came too late.
    pub(super) corrections: u64,
    pub(super) corrections_substituted: u64,
}

/// How often a bot's state was compared with the server's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Digests {
    pub(super) checked: u64,
    pub(super) rows: u64,
    pub(super) mismatches: u64,
}

impl BotOutcome {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            connect_micros: None,
            join_micros: None,
            snapshots: [0; STAGES],
            measured: Measured::default(),
            digests: Digests::default(),
            decode_errors: 0,
            reconnects: 0,
            errors: BTreeMap::new(),
            paused: Micros::ZERO,
            pauses: 0,
            account: Account::default(),
        }
    }

    pub(super) fn note_error(&mut self, kind: impl Into<String>) {
        *self.errors.entry(kind.into()).or_default() += 1;
    }

    /// Whether it got in, and had state.
    pub(super) fn is_joined(&self) -> bool {
        self.join_micros.is_some()
    }
}

/// What many bots saw, as distributions.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    pub(super) rtt_micros: Histogram<u64>,
    /// Of each stage.
    pub(super) interval_micros: [Histogram<u64>; STAGES],
    pub(super) age_micros: Histogram<u64>,
    /// How far behind its estimate of the server's time others are shown.
    pub(super) view_delay_micros: Histogram<u64>,
    /// How fast the shown time runs from picture to picture, in millionths of the true rate.
    pub(super) view_rate_ppm: Histogram<u64>,
    /// How much later than due light bots sent.
    pub(super) late_micros: Histogram<u64>,
    /// From the loss of a connection to the welcome by which its session goes on.
    pub(super) resume_micros: Histogram<u64>,
}

impl Figures {
    pub(super) fn new() -> Self {
        Self {
            rtt_micros: histogram(),
            interval_micros: [histogram(), histogram()],
            age_micros: histogram(),
            view_delay_micros: histogram(),
            view_rate_ppm: histogram(),
            late_micros: histogram(),
            resume_micros: histogram(),
        }
    }

    /// Takes in what others saw.
    pub(super) fn add(&mut self, other: &Self) {
        let [before, since] = &mut self.interval_micros;
        let [other_before, other_since] = &other.interval_micros;
        for (to, from) in [
            (&mut self.rtt_micros, &other.rtt_micros),
            (before, other_before),
            (since, other_since),
            (&mut self.age_micros, &other.age_micros),
            (&mut self.view_delay_micros, &other.view_delay_micros),
            (&mut self.view_rate_ppm, &other.view_rate_ppm),
            (&mut self.late_micros, &other.late_micros),
            (&mut self.resume_micros, &other.resume_micros),
        ] {
            // Same range and precision everywhere, so this cannot fail.
            let _ = to.add(from);
        }
    }

    /// The intervals of the whole measured time.
    pub(super) fn intervals(&self) -> Histogram<u64> {
        let mut all = histogram();
        for stage in &self.interval_micros {
            let _ = all.add(stage);
        }
        all
    }
}

impl Default for Figures {
    fn default() -> Self {
        Self::new()
    }
}

/// 1 microsecond to a minute, two digits.
pub(super) fn histogram() -> Histogram<u64> {
    #[expect(clippy::unwrap_used, reason = "the bounds are constants that hdrhistogram takes")]
    Histogram::new_with_bounds(1, 60_000_000, 2).unwrap()
}

/// From one snapshot to the next, on the swarm's clock, through whatever happens to the connection: a player who hears nothing
/// waits, be it for a snapshot or for a new connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arrivals {
    last: Option<Micros>,
}

impl Arrivals {
    /// A snapshot has come.
    pub(super) fn arrive(&mut self, at: Micros, phase: Phase, figures: &mut Figures) {
        if let (Some(last), Some(stage)) = (self.last, phase.stage()) {
            figures.interval_micros[stage].saturating_record(at.saturating_since(last).0.max(1));
        }
        self.last = Some(at);
    }

    /// Nobody waits any more: the next interval begins with the next snapshot.
    pub(super) fn rest(&mut self) {
        self.last = None;
    }

    /// The measured time ends at `at` in this phase. An interval that is longer by now than the usual one, `due`, counts as far as
    /// it has come; of one that is not nobody knows how long it would have been.
    pub(super) fn end(&mut self, at: Micros, due: Micros, phase: Phase, figures: &mut Figures) {
        let Some(last) = self.last.take() else { return };
        if let Some(stage) = phase.stage()
            && at.saturating_since(last) > due
        {
            figures.interval_micros[stage].saturating_record(at.saturating_since(last).0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: Micros = Micros(50_000);

    #[test]
    fn an_interval_that_never_ended_counts_as_far_as_it_came() {
        for (end, counted) in [(40_000, 0), (1_000_000, 1)] {
            let (mut figures, mut arrivals) = (Figures::new(), Arrivals::default());
            arrivals.arrive(Micros(1_000), Phase::Gathering, &mut figures);
            arrivals.end(Micros(1_000 + end), DUE, Phase::Disturbed, &mut figures);
            assert_eq!(figures.interval_micros[1].len(), counted);
            assert!(counted == 0 || figures.intervals().max() >= end);
        }
    }

    #[test]
    fn an_interval_belongs_to_the_stage_in_which_it_ends() {
        let (mut figures, mut arrivals) = (Figures::new(), Arrivals::default());
        for (at, phase) in
            [(0, Phase::Gathering), (50, Phase::Measuring), (100, Phase::Measuring), (900, Phase::Disturbed)]
        {
            arrivals.arrive(Micros(at * 1_000), phase, &mut figures);
        }
        assert_eq!(figures.interval_micros.each_ref().map(Histogram::len), [2, 1]);
        assert!(figures.interval_micros[1].max() >= 800_000);
        // Nothing is recorded before measuring begins, and nothing after its end.
        arrivals.arrive(Micros(2_000_000), Phase::Over, &mut figures);
        assert_eq!(figures.intervals().len(), 3);
    }
}
