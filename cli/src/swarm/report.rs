//! From what each bot saw to one report. docs/SWARM.md says what each figure means.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::load::{Load, Part};
use super::outcome::{BotOutcome, Figures, Measured, STAGES};
use super::sessions::SessionReport;
use super::verdict;

/// How far a bot's snapshot rate may be from the server's, as a share of it: 19 to 21 of 20.
const RATE_SHARE: f64 = 0.05;

/// What a swarm did, and what it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) load: Load,
    /// Bots that were to play from the beginning.
    pub(super) bots: usize,
    /// Snapshots a second that the server means to send; 0 if no welcome told.
    pub(super) snapshot_hz: u32,
    /// Of each stage.
    pub(super) seconds: [f64; STAGES],
    /// CPU time within the measured time, of the process and of the threads of light bots.
    pub(super) cpu_s: f64,
    pub(super) light_cpu_s: f64,
    /// How long connections lasted on average, if they were cut.
    pub(super) churn: Option<Duration>,
    /// Whether bots talked.
    pub(super) chatters: bool,
}

/// What all bots saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) outcomes: Vec<BotOutcome>,
    /// Of those who play from the beginning on the plain link.
    pub(super) players: Figures,
    /// Of those behind narrow links.
    pub(super) narrow: Figures,
    /// Bots that failed themselves.
    pub(super) lost: usize,
}

/// Of a distribution.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    #[serde(rename = "p99.9")]
    pub(crate) p99_9: f64,
    pub(crate) max: f64,
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

/// What bots saw in a part of the measured time, or behind a link of their own.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct StageReport {
    pub(crate) seconds: f64,
    pub(crate) snapshots_per_bot_per_s: Spread,
    pub(crate) snapshot_interval_ms: Quantiles,
}

/// The measured time before somebody came, and from then on.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Phases {
    pub(crate) before: StageReport,
    pub(crate) disturbed: StageReport,
    /// Of the interval's p99, disturbed by before.
    pub(crate) interval_p99_ratio: f64,
}

/// Bots behind links of 64 kbit/s.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct SlowLinks {
    pub(crate) bots: usize,
    pub(crate) snapshots_per_bot_per_s: Spread,
    pub(crate) snapshot_interval_ms: Quantiles,
    pub(crate) snapshot_age_ms: Quantiles,
    pub(crate) down_bytes_per_bot_per_s: Quantiles,
}

/// Bots that came half-way.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latecomers {
    pub(crate) bots: usize,
    pub(crate) joined: usize,
    pub(crate) join_ms: Quantiles,
    /// Whose connection the server ended.
    pub(crate) closed: usize,
}

/// The whole swarm. Bytes are WebSocket messages with header and mask.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) load: &'static str,
    pub(crate) bots: usize,
    pub(crate) full: usize,
    pub(crate) light: usize,
    pub(crate) connected: usize,
    pub(crate) failed: usize,
    pub(crate) seconds: f64,
    pub(crate) cpu_s: f64,
    pub(crate) light_cpu_us_per_bot_per_s: f64,
    pub(crate) connect_ms: Quantiles,
    pub(crate) join_ms: Quantiles,
    pub(crate) snapshots_per_bot_per_s: Spread,
    /// The least and the greatest rate that are as they should be; none if the server's is not known.
    pub(crate) rate_bounds: Option<(f64, f64)>,
    pub(crate) bots_outside_rate: usize,
    pub(crate) down_bytes_per_bot_per_s: Quantiles,
    pub(crate) up_bytes_per_bot_per_s: Quantiles,
    pub(crate) raw_bytes_per_bot_per_s: Quantiles,
    pub(crate) rtt_ms: Quantiles,
    pub(crate) snapshot_interval_ms: Quantiles,
    pub(crate) snapshot_age_ms: Quantiles,
    pub(crate) view_delay_ms: Quantiles,
    pub(crate) view_rate: Extremes,
    pub(crate) send_late_ms: Quantiles,
    pub(crate) input_frames_per_bot_per_s: Spread,
    pub(crate) steps_without_input_ratio: f64,
    pub(crate) reconnects: u64,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) decode_errors: u64,
    pub(crate) digests_checked: u64,
    pub(crate) digest_rows: u64,
    pub(crate) digest_mismatches: u64,
    /// One a second to each full bot that has the link to itself.
    pub(crate) digests_due: f64,
    pub(crate) unchecked_bots: usize,
    pub(crate) starved_ratio: f64,
    pub(crate) predicted_ratio: f64,
    pub(crate) corrections_per_bot_per_min: f64,
    pub(crate) corrections_substituted: u64,
    pub(crate) phases: Option<Phases>,
    pub(crate) slow_links: Option<SlowLinks>,
    pub(crate) latecomers: Option<Latecomers>,
    /// Where connections are cut or bots talk; its keys stand among the others.
    #[serde(flatten)]
    pub(crate) sessions: Option<SessionReport>,
    pub(crate) findings: Vec<String>,
    pub(crate) is_clean: bool,
}

impl Run {
    fn checks_sessions(&self) -> bool {
        self.churn.is_some() || self.chatters
    }

    /// The measured time.
    fn seconds(&self) -> f64 {
        self.seconds.iter().sum::<f64>().max(f64::MIN_POSITIVE)
    }

    /// Of that, for how long a bot was to be told the state.
    fn seconds_of(&self, outcome: &BotOutcome) -> f64 {
        (self.seconds() - outcome.paused.as_secs_f64()).max(f64::MIN_POSITIVE)
    }

    /// Digests that a bot is told. They are a second apart, to the next snapshot: so many are in any stretch of that length, and a pause
    /// may cost one.
    fn digests_due(&self, outcome: &BotOutcome) -> f64 {
        ((self.seconds_of(outcome) - 0.1).floor() - outcome.pauses as f64).max(0.0)
    }
}

impl Report {
    /// Adds up what the bots saw.
    pub(super) fn new(seen: &Seen, run: &Run) -> Self {
        let all = Group::new(seen, |outcome| outcome.plan.part.is_first());
        let joined = all.only(BotOutcome::is_joined);
        let players = joined.part(Part::Player);
        let full = joined.only(|outcome| outcome.plan.is_full);
        let mut report = Self {
            load: run.load.name(),
            bots: run.bots,
            full: all.only(|outcome| outcome.plan.is_full).0.len(),
            light: all.only(|outcome| !outcome.plan.is_full).0.len(),
            connected: joined.0.len(),
            failed: run.bots - joined.0.len(),
            seconds: run.seconds(),
            cpu_s: run.cpu_s,
            connect_ms: all.millis(|outcome| outcome.connect_micros),
            join_ms: all.millis(|outcome| outcome.join_micros),
            reconnects: all.sum(|outcome| outcome.reconnects),
            errors: errors(seen),
            decode_errors: Group::new(seen, |_| true).sum(|outcome| outcome.decode_errors),
            phases: run.load.is_disturbed().then(|| Phases::new(&players, &seen.players, run.seconds)),
            slow_links: SlowLinks::new(&joined.part(Part::Narrow), &seen.narrow, run.seconds()),
            latecomers: Latecomers::new(seen),
            sessions: run.checks_sessions().then(|| sessions(&joined, seen, run)),
            ..Self::default()
        };
        report.tell_times(&seen.players);
        report.tell_rates(&players, run);
        report.tell_traffic(&players, &full);
        report.tell_light(&joined.only(|outcome| !outcome.plan.is_full), run);
        report.tell_digests(&full, run);
        report.tell_pictures(&full);
        (report.findings, report.is_clean) = verdict::find(&report);
        report
    }

    fn tell_times(&mut self, players: &Figures) {
        self.rtt_ms = of_micros(&players.rtt_micros);
        self.snapshot_interval_ms = of_micros(&players.intervals());
        self.snapshot_age_ms = of_micros(&players.age_micros);
        self.view_delay_ms = of_micros(&players.view_delay_micros);
        self.view_rate = extremes(&players.view_rate_ppm);
        self.send_late_ms = of_micros(&players.late_micros);
    }

    fn tell_rates(&mut self, players: &Group<'_>, run: &Run) {
        let rates =
            players.each(|outcome| outcome.snapshots.iter().sum::<u64>() as f64 / run.seconds_of(outcome));
        // Who is cut off has no rate.
        let is_judged = run.snapshot_hz > 0 && run.churn.is_none();
        self.rate_bounds = is_judged.then(|| rate_bounds(run.snapshot_hz, self.seconds));
        let is_outside =
            |rate: &&f64| self.rate_bounds.is_some_and(|(low, high)| !(low..=high).contains(*rate));
        self.bots_outside_rate = rates.iter().filter(is_outside).count();
        self.snapshots_per_bot_per_s = spread(rates);
    }

    fn tell_traffic(&mut self, players: &Group<'_>, full: &Group<'_>) {
        let seconds = self.seconds;
        let per_second = |group: &Group<'_>, count: fn(&Measured) -> u64| {
            group.each(|outcome| count(&outcome.measured) as f64 / seconds)
        };
        self.down_bytes_per_bot_per_s = quantiles(per_second(players, |measured| measured.down_bytes));
        self.up_bytes_per_bot_per_s = quantiles(per_second(players, |measured| measured.up_bytes));
        self.raw_bytes_per_bot_per_s = quantiles(per_second(full, |measured| measured.raw_bytes));
        self.input_frames_per_bot_per_s = spread(per_second(players, |measured| measured.input_frames));
    }

    fn tell_light(&mut self, light: &Group<'_>, run: &Run) {
        let bot_seconds = self.seconds * light.0.len().max(1) as f64;
        self.light_cpu_us_per_bot_per_s = run.light_cpu_s * 1e6 / bot_seconds;
        let steps = light.sum(|outcome| outcome.measured.steps).max(1);
        let missed = light.sum(|outcome| outcome.measured.steps_without_input);
        self.steps_without_input_ratio = missed as f64 / steps as f64;
    }

    fn tell_digests(&mut self, full: &Group<'_>, run: &Run) {
        self.digests_checked = full.sum(|outcome| outcome.digests.checked);
        self.digest_rows = full.sum(|outcome| outcome.digests.rows);
        self.digest_mismatches = full.sum(|outcome| outcome.digests.mismatches);
        // Who is cut off is told fewer.
        let checking = full.only(|outcome| outcome.plan.part == Part::Player && run.churn.is_none());
        self.digests_due = checking.each(|outcome| run.digests_due(outcome)).iter().sum();
        let is_unchecked = |outcome: &BotOutcome| {
            let seconds = run.seconds_of(outcome).floor();
            (outcome.digests.checked as f64) < (seconds / 2.0 - outcome.pauses as f64)
        };
        self.unchecked_bots = checking.only(is_unchecked).0.len();
    }

    fn tell_pictures(&mut self, full: &Group<'_>) {
        let frames = full.sum(|outcome| outcome.measured.frames);
        let of_frames = |count: fn(&BotOutcome) -> u64| full.sum(count) as f64 / (frames as f64).max(1.0);
        self.starved_ratio = of_frames(|outcome| outcome.measured.starved_frames);
        self.predicted_ratio = of_frames(|outcome| outcome.measured.predicted_frames);
        let minutes = full.0.len() as f64 * self.seconds / 60.0 * self.predicted_ratio;
        let corrections = full.sum(|outcome| outcome.measured.corrections);
        self.corrections_per_bot_per_min = corrections as f64 / minutes.max(f64::MIN_POSITIVE);
        self.corrections_substituted = full.sum(|outcome| outcome.measured.corrections_substituted);
    }
}

fn sessions(joined: &Group<'_>, seen: &Seen, run: &Run) -> SessionReport {
    let accounts: Vec<_> = joined.0.iter().map(|outcome| &outcome.account).collect();
    let mean = run.churn.map_or(f64::INFINITY, |mean| mean.as_secs_f64());
    let cuts_due = accounts.len() as f64 * run.seconds() / mean;
    SessionReport { cuts_due, ..SessionReport::new(&accounts, &seen.players.resume_micros) }
}

/// Some of the bots.
struct Group<'a>(Vec<&'a BotOutcome>);

impl<'a> Group<'a> {
    fn new(seen: &'a Seen, which: impl Fn(&BotOutcome) -> bool) -> Self {
        Self(seen.outcomes.iter().filter(|outcome| which(outcome)).collect())
    }

    fn only(&self, which: impl Fn(&BotOutcome) -> bool) -> Self {
        Self(self.0.iter().copied().filter(|outcome| which(outcome)).collect())
    }

    fn part(&self, part: Part) -> Self {
        self.only(|outcome| outcome.plan.part == part)
    }

    fn each(&self, value: impl Fn(&BotOutcome) -> f64) -> Vec<f64> {
        self.0.iter().map(|outcome| value(outcome)).collect()
    }

    fn sum(&self, count: impl Fn(&BotOutcome) -> u64) -> u64 {
        self.0.iter().map(|outcome| count(outcome)).sum()
    }

    fn millis(&self, time: impl Fn(&BotOutcome) -> Option<u64>) -> Quantiles {
        quantiles(
            self.0.iter().filter_map(|outcome| time(outcome)).map(|micros| micros as f64 / 1e3).collect(),
        )
    }
}

impl Phases {
    fn new(players: &Group<'_>, figures: &Figures, seconds: [f64; STAGES]) -> Self {
        let stage = |stage: usize| StageReport {
            seconds: seconds[stage],
            snapshots_per_bot_per_s: spread(
                players
                    .each(|outcome| outcome.snapshots[stage] as f64 / seconds[stage].max(f64::MIN_POSITIVE)),
            ),
            snapshot_interval_ms: of_micros(&figures.interval_micros[stage]),
        };
        let (before, disturbed) = (stage(0), stage(1));
        let p99 = |report: &StageReport| report.snapshot_interval_ms.p99;
        let interval_p99_ratio = p99(&disturbed) / p99(&before).max(f64::MIN_POSITIVE);
        Self { before, disturbed, interval_p99_ratio }
    }
}

impl SlowLinks {
    fn new(group: &Group<'_>, figures: &Figures, seconds: f64) -> Option<Self> {
        (!group.0.is_empty()).then(|| Self {
            bots: group.0.len(),
            snapshots_per_bot_per_s: spread(
                group.each(|outcome| outcome.snapshots.iter().sum::<u64>() as f64 / seconds),
            ),
            snapshot_interval_ms: of_micros(&figures.intervals()),
            snapshot_age_ms: of_micros(&figures.age_micros),
            down_bytes_per_bot_per_s: quantiles(
                group.each(|outcome| outcome.measured.down_bytes as f64 / seconds),
            ),
        })
    }
}

impl Latecomers {
    fn new(seen: &Seen) -> Option<Self> {
        let group = Group::new(seen, |outcome| !outcome.plan.part.is_first());
        (!group.0.is_empty()).then(|| Self {
            bots: group.0.len(),
            joined: group.only(BotOutcome::is_joined).0.len(),
            join_ms: group.millis(|outcome| outcome.join_micros),
            closed: group.only(|outcome| outcome.is_joined() && !outcome.errors.is_empty()).0.len(),
        })
    }
}

/// The rates of snapshots that are as they should be. In a short time one snapshot more or less says nothing.
fn rate_bounds(snapshot_hz: u32, seconds: f64) -> (f64, f64) {
    let (hz, one) = (f64::from(snapshot_hz), 1.0 / seconds);
    (hz * (1.0 - RATE_SHARE) - one, hz * (1.0 + RATE_SHARE) + one)
}

/// By kind. That the server ends the connection of who reads nothing is as it should be.
fn errors(seen: &Seen) -> BTreeMap<String, u64> {
    let mut errors = BTreeMap::new();
    let expected = |outcome: &&BotOutcome| outcome.plan.part == Part::Deaf && outcome.is_joined();
    for (kind, count) in
        seen.outcomes.iter().filter(|outcome| !expected(outcome)).flat_map(|outcome| &outcome.errors)
    {
        *errors.entry(kind.clone()).or_default() += count;
    }
    if seen.lost > 0 {
        errors.insert("the bot itself failed".to_owned(), seen.lost as u64);
    }
    errors
}

/// In milliseconds, from microseconds.
pub(super) fn of_micros(all: &Histogram<u64>) -> Quantiles {
    let ms = |quantile| all.value_at_quantile(quantile) as f64 / 1e3;
    Quantiles { p50: ms(0.5), p99: ms(0.99), p99_9: ms(0.999), max: all.max() as f64 / 1e3 }
}

/// As a share, from millionths.
fn extremes(all: &Histogram<u64>) -> Extremes {
    let share = |quantile| all.value_at_quantile(quantile) as f64 / 1e6;
    Extremes { low: share(0.001), high: share(0.999) }
}

fn quantiles(mut values: Vec<f64>) -> Quantiles {
    values.sort_unstable_by(f64::total_cmp);
    let [p50, p99, p99_9, max] = [0.5, 0.99, 0.999, 1.0].map(|quantile| nearest_rank(&values, quantile));
    Quantiles { p50, p99, p99_9, max }
}

fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_unstable_by(f64::total_cmp);
    let [min, p50, max] = [0.0, 0.5, 1.0].map(|quantile| nearest_rank(&values, quantile));
    Spread { min, p50, max }
}

/// The quantile of sorted values by nearest rank; 0 of none.
fn nearest_rank(sorted: &[f64], quantile: f64) -> f64 {
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).or(sorted.last()).copied().unwrap_or(0.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::swarm::load::Plan;
    use crate::swarm::outcome::{Arrivals, Phase};
    use tickwire_protocol::Micros;

    /// A bot that was in for 10 s.
    pub(in crate::swarm) fn outcome(is_full: bool, snapshots: u64, digests: u64) -> BotOutcome {
        let mut outcome = BotOutcome::new(Plan { index: 0, part: Part::Player, is_full });
        outcome.join_micros = Some(1000);
        outcome.snapshots[0] = snapshots;
        outcome.digests.checked = digests;
        outcome
    }

    pub(in crate::swarm) fn report(outcomes: Vec<BotOutcome>) -> Report {
        let bots = outcomes.iter().filter(|outcome| outcome.plan.part.is_first()).count();
        let seen = Seen { outcomes, ..Seen::default() };
        Report::new(&seen, &run(Load::Brawl, bots, [10.0, 0.0]))
    }

    fn run(load: Load, bots: usize, seconds: [f64; STAGES]) -> Run {
        Run {
            load,
            bots,
            snapshot_hz: 20,
            seconds,
            cpu_s: 3.0,
            light_cpu_s: 0.5,
            churn: None,
            chatters: false,
        }
    }

    #[test]
    fn full_and_light_bots_are_told_apart() {
        let mut light = outcome(false, 201, 0);
        light.measured.steps = 600;
        light.measured.steps_without_input = 3;
        let report = report(vec![outcome(true, 200, 10), light]);
        assert_eq!((report.full, report.light, report.digests_checked), (1, 1, 10));
        assert!((report.steps_without_input_ratio - 0.005).abs() < 1e-9);
        assert!((report.light_cpu_us_per_bot_per_s - 50_000.0).abs() < 1e-6);
        let rate = report.snapshots_per_bot_per_s;
        assert_eq!([rate.min, rate.max].map(|rate| (rate * 10.0) as u32), [200, 201]);
    }

    #[test]
    fn stages_are_compared_and_who_comes_late_counts_apart() {
        let mut seen = Seen::default();
        let mut arrivals = Arrivals::default();
        for number in 0..=200 {
            arrivals.arrive(Micros(number * 50_000), Phase::Measuring, &mut seen.players);
        }
        for number in 1..=100 {
            arrivals.arrive(Micros(10_000_000 + number * 100_000), Phase::Disturbed, &mut seen.players);
        }
        let mut player = outcome(true, 200, 20);
        player.snapshots[1] = 100;
        let mut late = outcome(false, 0, 0);
        late.plan.part = Part::Deaf;
        late.note_error("closed");
        let mut never = BotOutcome::new(Plan { part: Part::Deaf, ..late.plan });
        never.note_error("refused");
        seen.outcomes = vec![player, late, never];
        let report = Report::new(&seen, &run(Load::SlowReaders, 1, [10.0, 10.0]));
        assert_eq!((report.bots, report.connected, report.light), (1, 1, 0));
        let phases = report.phases.unwrap();
        assert!((phases.interval_p99_ratio - 2.0).abs() < 0.05, "{phases:?}");
        assert!((phases.disturbed.snapshots_per_bot_per_s.p50 - 10.0).abs() < 1e-9);
        let late = report.latecomers.unwrap();
        assert_eq!((late.bots, late.joined, late.closed), (2, 1, 1));
        assert_eq!(report.errors.keys().collect::<Vec<_>>(), ["refused"], "a deaf one is closed rightly");
    }

    #[test]
    fn narrow_links_do_not_touch_the_figures_of_the_others() {
        let mut narrow = outcome(true, 80, 0);
        narrow.plan.part = Part::Narrow;
        let report = report(vec![outcome(true, 200, 10), narrow]);
        assert_eq!((report.snapshots_per_bot_per_s.min as u32, report.bots_outside_rate), (20, 0));
        let slow = report.slow_links.as_ref().unwrap();
        assert_eq!((slow.bots, slow.snapshots_per_bot_per_s.max as u32), (1, 8));
        assert!(report.is_clean, "nor their verdict");
    }

    #[test]
    fn a_report_is_one_json_object_with_the_names_of_the_field() {
        let json = serde_json::to_value(report(vec![outcome(true, 200, 10)])).unwrap();
        assert!(json["snapshot_interval_ms"]["p99.9"].is_number());
        assert!(json["phases"].is_null() && json["rate_bounds"].is_array());
    }

    #[test]
    fn quantiles_go_by_nearest_rank() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let ranks = [0.0, 0.5, 0.99, 1.0].map(|quantile| nearest_rank(&values, quantile) as i32);
        assert_eq!(ranks, [1, 50, 99, 100]);
        assert_eq!(nearest_rank(&[], 0.5) as i32, 0);
        assert!(of_micros(&Figures::new().rtt_micros).max < 1e-9);
    }
}
