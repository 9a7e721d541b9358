//! From what each bot saw to one report: numbers for machines, findings in words for people.

use std::collections::BTreeMap;
use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Digests that a bot must have checked per second of playing, as a share of the one per second that it is due.
const DIGESTS_SHARE_MIN: f64 = 0.9;

/// What one bot saw.
#[derive(Debug)]
pub(crate) struct BotOutcome {
    /// TCP, WebSocket, hello and welcome, microseconds; none if it never came that far.
    pub(crate) connect_micros: Option<u64>,
    /// From the start of connecting to the first snapshot applied, microseconds.
    pub(crate) join_micros: Option<u64>,
    /// Within the measured time: snapshots, bytes of WebSocket messages, rendered frames and starved ones.
    pub(crate) measured: Measured,
    pub(crate) rtt_micros: Histogram<u64>,
    pub(crate) snapshot_interval_micros: Histogram<u64>,
    pub(crate) snapshot_age_micros: Histogram<u64>,
    /// How far behind its estimate of the server's time others are shown.
    pub(crate) view_delay_micros: Histogram<u64>,
    /// How fast the shown time runs from picture to picture, in millionths of the true rate.
    pub(crate) view_rate_ppm: Histogram<u64>,
    pub(crate) digests: Digests,
    pub(crate) decode_errors: u64,
    pub(crate) reconnects: u64,
    /// By kind.
    pub(crate) errors: BTreeMap<String, u64>,
}

/// Counted from when all bots are in until the end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) snapshots: u64,
    pub(crate) down_bytes: u64,
    pub(crate) up_bytes: u64,
    /// What the rows in view would have taken as plain floats and integers of 32 bits.
    pub(crate) raw_bytes: u64,
    pub(crate) frames: u64,
    pub(crate) starved_frames: u64,
    /// Frames in which the own player was predicted.
    pub(crate) predicted_frames: u64,
    /// Times that a prediction turned out to be wrong; those of them behind an input that came too late.
    pub(crate) corrections: u64,
    pub(crate) corrections_substituted: u64,
}

/// How often a bot's state was compared with the server's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Digests {
    pub(crate) checked: u64,
    pub(crate) rows: u64,
    pub(crate) mismatches: u64,
}

impl BotOutcome {
    pub(crate) fn new() -> Self {
        Self {
            connect_micros: None,
            join_micros: None,
            measured: Measured::default(),
            rtt_micros: histogram(),
            snapshot_interval_micros: histogram(),
            snapshot_age_micros: histogram(),
            view_delay_micros: histogram(),
            view_rate_ppm: histogram(),
            digests: Digests::default(),
            decode_errors: 0,
            reconnects: 0,
            errors: BTreeMap::new(),
        }
    }

    pub(crate) fn note_error(&mut self, kind: impl Into<String>) {
        *self.errors.entry(kind.into()).or_default() += 1;
    }
}

/// 1 microsecond to a minute, two digits.
pub(crate) fn histogram() -> Histogram<u64> {
    #[expect(clippy::unwrap_used, reason = "the bounds are constants that hdrhistogram takes")]
    Histogram::new_with_bounds(1, 60_000_000, 2).unwrap()
}

/// Median and 99th percentile.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// What one in a thousand is below, and one in a thousand above.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Extremes {
    #[serde(rename = "p0.1")]
    pub(crate) low: f64,
    #[serde(rename = "p99.9")]
    pub(crate) high: f64,
}

/// Least, median and greatest.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) p50: f64,
    pub(crate) max: f64,
}

/// The whole swarm. Bytes are WebSocket messages with header and mask.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) bots: usize,
    pub(crate) connected: usize,
    pub(crate) failed: usize,
    pub(crate) seconds: f64,
    pub(crate) connect_ms: Quantiles,
    pub(crate) join_ms: Quantiles,
    pub(crate) snapshots_per_bot_per_s: Spread,
    pub(crate) down_bytes_per_bot_per_s: Quantiles,
    pub(crate) up_bytes_per_bot_per_s: Quantiles,
    pub(crate) raw_bytes_per_bot_per_s: Quantiles,
    pub(crate) rtt_ms: Quantiles,
    pub(crate) snapshot_interval_ms: Quantiles,
    pub(crate) snapshot_age_ms: Quantiles,
    pub(crate) view_delay_ms: Quantiles,
    pub(crate) view_rate: Extremes,
    pub(crate) reconnects: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) decode_errors: u64,
    pub(crate) digests_checked: u64,
    pub(crate) digest_rows: u64,
    pub(crate) digest_mismatches: u64,
    pub(crate) unchecked_bots: usize,
    pub(crate) starved_ratio: f64,
    /// Share of frames in which the own player was predicted.
    pub(crate) predicted_ratio: f64,
    pub(crate) corrections_per_bot_per_min: f64,
    pub(crate) corrections_substituted: u64,
    pub(crate) findings: Vec<String>,
    pub(crate) is_clean: bool,
}

impl Report {
    /// Adds up what the bots saw in `seconds` of measured time.
    pub(crate) fn new(outcomes: &[BotOutcome], seconds: f64) -> Self {
        let connected: Vec<_> = outcomes.iter().filter(|outcome| outcome.join_micros.is_some()).collect();
        let per_second = |count: fn(&Measured) -> u64| -> Vec<f64> {
            connected.iter().map(|outcome| count(&outcome.measured) as f64 / seconds).collect()
        };
        let sum = |count: fn(&BotOutcome) -> u64| outcomes.iter().map(count).sum::<u64>();
        let mut errors = BTreeMap::new();
        for (kind, count) in outcomes.iter().flat_map(|outcome| &outcome.errors) {
            *errors.entry(kind.clone()).or_default() += count;
        }
        let micros = |time: fn(&BotOutcome) -> Option<u64>| {
            quantiles(outcomes.iter().filter_map(time).map(|micros| micros as f64 / 1e3).collect())
        };
        let frames = sum(|outcome| outcome.measured.frames);
        let of_frames = |count: fn(&BotOutcome) -> u64| sum(count) as f64 / (frames as f64).max(1.0);
        let predicted_ratio = of_frames(|outcome| outcome.measured.predicted_frames);
        let bot_minutes = connected.len() as f64 * seconds / 60.0;
        let predicted_minutes = (bot_minutes * predicted_ratio).max(f64::MIN_POSITIVE);
        let mut report = Self {
            bots: outcomes.len(),
            connected: connected.len(),
            failed: outcomes.len() - connected.len(),
            seconds,
            connect_ms: micros(|outcome| outcome.connect_micros),
            join_ms: micros(|outcome| outcome.join_micros),
            snapshots_per_bot_per_s: spread(per_second(|measured| measured.snapshots)),
            down_bytes_per_bot_per_s: quantiles(per_second(|measured| measured.down_bytes)),
            up_bytes_per_bot_per_s: quantiles(per_second(|measured| measured.up_bytes)),
            raw_bytes_per_bot_per_s: quantiles(per_second(|measured| measured.raw_bytes)),
            rtt_ms: merged(outcomes, |outcome| &outcome.rtt_micros),
            snapshot_interval_ms: merged(outcomes, |outcome| &outcome.snapshot_interval_micros),
            snapshot_age_ms: merged(outcomes, |outcome| &outcome.snapshot_age_micros),
            view_delay_ms: merged(outcomes, |outcome| &outcome.view_delay_micros),
            view_rate: extremes(outcomes, |outcome| &outcome.view_rate_ppm),
            reconnects: sum(|outcome| outcome.reconnects),
            errors,
            decode_errors: sum(|outcome| outcome.decode_errors),
            digests_checked: sum(|outcome| outcome.digests.checked),
            digest_rows: sum(|outcome| outcome.digests.rows),
            digest_mismatches: sum(|outcome| outcome.digests.mismatches),
            unchecked_bots: connected
                .iter()
                .filter(|outcome| (outcome.digests.checked as f64) < seconds.floor() / 2.0)
                .count(),
            starved_ratio: of_frames(|outcome| outcome.measured.starved_frames),
            predicted_ratio,
            corrections_per_bot_per_min: sum(|outcome| outcome.measured.corrections) as f64
                / predicted_minutes,
            corrections_substituted: sum(|outcome| outcome.measured.corrections_substituted),
            findings: Vec::new(),
            is_clean: true,
        };
        report.find();
        report
    }

    /// Says in words what is wrong, or that nothing is.
    fn find(&mut self) {
        let mut findings = Vec::new();
        if self.failed > 0 {
            findings
                .push(format!("{} of {} bots never got a snapshot: see `errors`", self.failed, self.bots));
        }
        if self.decode_errors > 0 {
            findings.push(format!(
                "{} messages could not be decoded: server and swarm disagree",
                self.decode_errors
            ));
        }
        if self.digest_mismatches > 0 {
            findings.push(format!(
                "{} of {} digests differ: replicas went wrong",
                self.digest_mismatches, self.digests_checked
            ));
        }
        // They are a second apart, to the next snapshot: so many are in any stretch of that length.
        let seconds = (self.seconds - 0.1).floor().max(0.0);
        let digests_due = DIGESTS_SHARE_MIN * seconds * self.bots as f64;
        if (self.digests_checked as f64) < digests_due {
            findings.push(format!(
                "only {} digests were checked, {digests_due:.0} are due",
                self.digests_checked
            ));
        }
        if self.unchecked_bots > 0 {
            let bots = self.unchecked_bots;
            findings.push(format!("{bots} bots checked less than half of the digests that are due to each"));
        }
        self.is_clean = findings.is_empty();
        if self.is_clean {
            findings.push(format!(
                "all {} bots held the server's state: {} digests over {} rows agree",
                self.bots, self.digests_checked, self.digest_rows
            ));
        }
        if self.starved_ratio > 0.01 {
            let percent = self.starved_ratio * 100.0;
            findings
                .push(format!("{percent:.1} % of frames had no newer state to show: snapshots came late"));
        }
        if self.reconnects > 0 {
            findings.push(format!("{} connections were lost and made anew", self.reconnects));
        }
        self.findings = findings;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { snapshots_per_bot_per_s: rate, down_bytes_per_bot_per_s: down, .. } = self;
        let (up, raw) = (self.up_bytes_per_bot_per_s, self.raw_bytes_per_bot_per_s);
        writeln!(
            f,
            "bots        {} connected, {} failed, {:.1} s measured",
            self.connected, self.failed, self.seconds
        )?;
        writeln!(f, "connect     p50 {:.1} ms, p99 {:.1} ms", self.connect_ms.p50, self.connect_ms.p99)?;
        writeln!(f, "join        p50 {:.1} ms, p99 {:.1} ms", self.join_ms.p50, self.join_ms.p99)?;
        writeln!(f, "snapshots   {:.2} to {:.2} a second and bot, p50 {:.2}", rate.min, rate.max, rate.p50)?;
        writeln!(
            f,
            "interval    p50 {:.1} ms, p99 {:.1} ms",
            self.snapshot_interval_ms.p50, self.snapshot_interval_ms.p99
        )?;
        writeln!(
            f,
            "age         p50 {:.1} ms, p99 {:.1} ms",
            self.snapshot_age_ms.p50, self.snapshot_age_ms.p99
        )?;
        writeln!(
            f,
            "view        p50 {:.1} ms, p99 {:.1} ms behind; its rate p0.1 {:.3}, p99.9 {:.3}",
            self.view_delay_ms.p50, self.view_delay_ms.p99, self.view_rate.low, self.view_rate.high
        )?;
        writeln!(f, "round trip  p50 {:.2} ms, p99 {:.2} ms", self.rtt_ms.p50, self.rtt_ms.p99)?;
        writeln!(
            f,
            "down        p50 {:.0} B/s, p99 {:.0} B/s a bot (the same rows raw: {:.0} B/s)",
            down.p50, down.p99, raw.p50
        )?;
        writeln!(f, "up          p50 {:.0} B/s, p99 {:.0} B/s a bot", up.p50, up.p99)?;
        writeln!(
            f,
            "digests     {} checked over {} rows, {} differ",
            self.digests_checked, self.digest_rows, self.digest_mismatches
        )?;
        writeln!(
            f,
            "prediction  {:.2} corrections a minute and bot that predicts, {} behind late inputs; in {:.1} % of frames",
            self.corrections_per_bot_per_min,
            self.corrections_substituted,
            self.predicted_ratio * 100.0
        )?;
        writeln!(
            f,
            "decoding    {} errors; starved {:.3} %; {} reconnects",
            self.decode_errors,
            self.starved_ratio * 100.0,
            self.reconnects
        )?;
        for (kind, count) in &self.errors {
            writeln!(f, "error       {count} x {kind}")?;
        }
        for finding in &self.findings {
            writeln!(f, "=> {finding}")?;
        }
        Ok(())
    }
}

fn pooled(outcomes: &[BotOutcome], of: fn(&BotOutcome) -> &Histogram<u64>) -> Histogram<u64> {
    let mut all = histogram();
    for outcome in outcomes {
        // Same range and precision everywhere, so this cannot fail.
        let _ = all.add(of(outcome));
    }
    all
}

/// In milliseconds, from microseconds.
fn merged(outcomes: &[BotOutcome], of: fn(&BotOutcome) -> &Histogram<u64>) -> Quantiles {
    let all = pooled(outcomes, of);
    let ms = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
    Quantiles { p50: ms(0.5), p99: ms(0.99) }
}

/// As a share, from millionths.
fn extremes(outcomes: &[BotOutcome], of: fn(&BotOutcome) -> &Histogram<u64>) -> Extremes {
    let all = pooled(outcomes, of);
    let share = |quantile| all.value_at_quantile(quantile) as f64 / 1e6;
    Extremes { low: share(0.001), high: share(0.999) }
}

fn quantiles(mut values: Vec<f64>) -> Quantiles {
    values.sort_unstable_by(f64::total_cmp);
    Quantiles { p50: nearest_rank(&values, 0.5), p99: nearest_rank(&values, 0.99) }
}

fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_unstable_by(f64::total_cmp);
    Spread {
        min: nearest_rank(&values, 0.0),
        p50: nearest_rank(&values, 0.5),
        max: nearest_rank(&values, 1.0),
    }
}

/// The quantile of sorted values by nearest rank; 0 of none.
fn nearest_rank(sorted: &[f64], quantile: f64) -> f64 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).or(sorted.last()).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(snapshots: u64, digests: u64) -> BotOutcome {
        let mut outcome = BotOutcome::new();
        outcome.join_micros = Some(1000);
        outcome.measured.snapshots = snapshots;
        outcome.digests.checked = digests;
        outcome
    }

    #[test]
    fn a_clean_run_is_clean() {
        let report = Report::new(&[outcome(200, 10), outcome(202, 9)], 10.0);
        assert!(report.is_clean, "{report}");
        let rate = report.snapshots_per_bot_per_s;
        assert_eq!((rate.min, rate.p50, rate.max), (20.0, 20.0, 20.2));
    }

    #[test]
    fn whatever_is_wrong_is_found() {
        let failed = BotOutcome::new();
        let mut wrong = outcome(200, 10);
        wrong.digests.mismatches = 1;
        let mut torn = outcome(200, 10);
        torn.decode_errors = 1;
        for (bad, word) in
            [(failed, "never got"), (wrong, "differ"), (torn, "decoded"), (outcome(200, 7), "due")]
        {
            let report = Report::new(&[bad], 10.0);
            assert!(!report.is_clean);
            assert!(report.findings.iter().any(|finding| finding.contains(word)), "{:?}", report.findings);
        }
    }

    #[test]
    fn quantiles_go_by_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let ranks = [0.0, 0.5, 0.99, 1.0].map(|quantile| nearest_rank(&values, quantile) as i32);
        assert_eq!(ranks, [1, 50, 99, 100]);
        assert_eq!(nearest_rank(&[], 0.5) as i32, 0);
    }
}
