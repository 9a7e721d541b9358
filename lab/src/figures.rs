//! What a run is judged by. Every figure's definition stands with it, and in docs/NETCODE.md.

use core::fmt;

use serde::Serialize;
use tickwire_protocol::Micros;

use crate::distribution::{Distribution, Summary};

/// The grid of [`Policy::Hindsight`](crate::Policy::Hindsight), microseconds.
const HINDSIGHT_STEP: u64 = 5_000;
/// What a view that keeps to the rules is slower by, and the share of pictures in which it may stand still.
const SLOWER: u64 = 20;
const OUTSIDE: f64 = 0.001;
/// Width of a class of [`Classes`], microseconds.
const CLASS: i64 = 100;
/// Classes; beyond the last, 3 s, all is one.
const CLASSES: usize = 30_000;

/// Counts of times by classes of 0.1 ms: exact enough for shares at delays that lie on class borders.
#[derive(Clone, Debug)]
pub struct Classes {
    counts: Vec<u32>,
    total: u64,
}

impl Default for Classes {
    fn default() -> Self {
        Self { counts: vec![0; CLASSES], total: 0 }
    }
}

impl Classes {
    /// Adds a time in microseconds; below 0 it counts as 0.
    pub(crate) fn add(&mut self, micros: i64) {
        // The last microsecond of a class belongs to it: `above` a border means more than it.
        let class = ((micros - 1).max(0) / CLASS) as usize;
        self.counts[class.min(CLASSES - 1)] += 1;
        self.total += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.total += other.total;
    }

    /// The share of times above `micros`, a multiple of 100.
    pub fn share_above(&self, micros: u64) -> f64 {
        let first = (micros / CLASS as u64) as usize;
        let above: u64 = self.counts.iter().skip(first).map(|&count| u64::from(count)).sum();
        above as f64 / self.total.max(1) as f64
    }

    /// The least multiple of 100 us that at most this share of times is above.
    pub fn quantile_above(&self, share: f64) -> u64 {
        let allowed = (share * self.total as f64) as u64;
        let mut above = 0;
        for (class, &count) in self.counts.iter().enumerate().rev() {
            above += u64::from(count);
            if above > allowed {
                return (class as u64 + 1) * CLASS as u64;
            }
        }
        0
    }
}

/// The samples of a run, or of several pooled.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// True server time minus `View::server_time`, milliseconds.
    pub view_delay_ms: Distribution,
    /// Advance of `View::server_time` over true advance.
    pub view_rate: Distribution,
    /// Pictures whose view rate is outside of 0.95 to 1.05.
    pub view_rate_outside: u64,
    /// Pictures that were sampled.
    pub frames: u64,
    /// Pictures whose `View::server_time` is later than the tick of the newest applied snapshot.
    pub starved_frames: u64,
    /// Distance between shown and true position of every remote row shown, centimetres.
    pub remote_error_cm: Distribution,
    /// The same without starved pictures.
    pub remote_error_fresh_cm: Distribution,
    /// What nobody could have fallen short of in the same pictures: the way to those whom the room set down elsewhere later than the
    /// newest applied snapshot, centimetres.
    pub remote_error_bound_cm: Distribution,
    /// What nobody could have fallen short of in the same fresh pictures: the way from where somebody was shown when the view last
    /// starved, as far as it is longer than one without a jump, centimetres.
    pub remote_error_fresh_bound_cm: Distribution,
    /// Shown steps longer than 1.5 times the greatest speed allows, and 2 cm.
    pub jumps: u64,
    /// Times of at least 50 ms in which the truth moved faster than 1 m/s and the shown less than 20 % of it.
    pub freezes: u64,
    /// Estimated against true server time, milliseconds.
    pub clock_error_ms: Distribution,
    /// Ticks of players connected for 2 s.
    pub input_ticks: u64,
    /// Those of them stepped without their own input.
    pub input_late: u64,
    /// From an input's arrival to the start of its step, milliseconds.
    pub input_wait_ms: Distribution,
    /// Shots that the bots fired and that are compared.
    pub shots: u64,
    /// Those of them whose rewind is within the room's cap.
    pub shots_within_cap: u64,
    /// Those of these in which the server hit whom the client hit, or both nobody.
    pub shots_agreed: u64,
    /// Shots whose input was not there for its step.
    pub shots_lost: u64,
    /// Shots that hit somebody, as the server judged.
    pub shots_hit: u64,
    /// Beside these: shots of those who had been set down elsewhere by the room and did not know it yet.
    pub shots_unknowing: u64,
    /// Beside these: shots while nothing was predicted.
    pub shots_unpredicted: u64,
    /// True server time minus the tick time of the newest applied snapshot, milliseconds.
    pub snapshot_age_ms: Distribution,
    /// Towards the clients: frames, and WebSocket headers on an ordered stream.
    pub down_bytes: u64,
    /// Towards the server: the same, and masks.
    pub up_bytes: u64,
    /// Time that clients were connected, added up, seconds.
    pub connected_seconds: f64,
    /// From the hello to the first picture with somebody else in it, milliseconds.
    pub join_ms: Distribution,
    /// From a clock's jump until the estimate is right to 20 ms and stays so, milliseconds.
    pub clock_recovery_ms: Distribution,
    /// Connections that ended before the run did.
    pub disconnects: u64,
    /// Estimated server time minus the tick time of the newest applied snapshot, per sampled picture: what a fixed delay must
    /// exceed not to starve in it.
    pub newest_behind: Classes,
    /// True server time minus that tick time, less what a view gains that runs slower by a twentieth since the newest applied snapshot
    /// came: what the delay must exceed not to starve in that picture, of one who knew then how long nothing would come.
    pub foreseen_behind: Classes,
    /// Inputs that were given.
    pub own_inputs: u64,
    /// Those of them given while nothing was predicted: they are in no figure of the own player.
    pub unpredicted_inputs: u64,
    /// From `push_input` to the first picture that shows its effect on the own player, milliseconds.
    pub own_latency_ms: Distribution,
    /// The same to the first picture that shows all of it.
    pub own_latency_whole_ms: Distribution,
    /// The first prediction for each tick against where the room had the player then, centimetres.
    pub prediction_error_cm: Distribution,
    /// Reconciliations in which any integer of an own row differed.
    pub corrections: u64,
    /// Those behind a tick that the room stepped without the player's input.
    pub corrections_substituted: u64,
    /// Those behind neither that nor a contact, a hit, a teleport or a respawn.
    pub corrections_unexplained: u64,
    /// From an input's giving to its arrival: what a constant lead must exceed for it to be in time.
    pub input_transit: Classes,
}

impl Figures {
    /// Adds the samples of another run.
    pub fn merge(&mut self, other: &Self) {
        let pairs = [
            (&mut self.view_delay_ms, &other.view_delay_ms),
            (&mut self.view_rate, &other.view_rate),
            (&mut self.remote_error_cm, &other.remote_error_cm),
            (&mut self.remote_error_fresh_cm, &other.remote_error_fresh_cm),
            (&mut self.remote_error_bound_cm, &other.remote_error_bound_cm),
            (&mut self.remote_error_fresh_bound_cm, &other.remote_error_fresh_bound_cm),
            (&mut self.clock_error_ms, &other.clock_error_ms),
            (&mut self.input_wait_ms, &other.input_wait_ms),
            (&mut self.snapshot_age_ms, &other.snapshot_age_ms),
            (&mut self.join_ms, &other.join_ms),
            (&mut self.clock_recovery_ms, &other.clock_recovery_ms),
            (&mut self.own_latency_ms, &other.own_latency_ms),
            (&mut self.own_latency_whole_ms, &other.own_latency_whole_ms),
            (&mut self.prediction_error_cm, &other.prediction_error_cm),
        ];
        for (mine, theirs) in pairs {
            mine.merge(theirs);
        }
        let counts = [
            (&mut self.view_rate_outside, other.view_rate_outside),
            (&mut self.frames, other.frames),
            (&mut self.starved_frames, other.starved_frames),
            (&mut self.jumps, other.jumps),
            (&mut self.freezes, other.freezes),
            (&mut self.input_ticks, other.input_ticks),
            (&mut self.input_late, other.input_late),
            (&mut self.shots, other.shots),
            (&mut self.shots_within_cap, other.shots_within_cap),
            (&mut self.shots_agreed, other.shots_agreed),
            (&mut self.shots_lost, other.shots_lost),
            (&mut self.shots_hit, other.shots_hit),
            (&mut self.shots_unknowing, other.shots_unknowing),
            (&mut self.shots_unpredicted, other.shots_unpredicted),
            (&mut self.own_inputs, other.own_inputs),
            (&mut self.unpredicted_inputs, other.unpredicted_inputs),
            (&mut self.down_bytes, other.down_bytes),
            (&mut self.up_bytes, other.up_bytes),
            (&mut self.disconnects, other.disconnects),
            (&mut self.corrections, other.corrections),
            (&mut self.corrections_substituted, other.corrections_substituted),
            (&mut self.corrections_unexplained, other.corrections_unexplained),
        ];
        for (mine, theirs) in counts {
            *mine += theirs;
        }
        self.connected_seconds += other.connected_seconds;
        self.newest_behind.merge(&other.newest_behind);
        self.foreseen_behind.merge(&other.foreseen_behind);
        self.input_transit.merge(&other.input_transit);
    }

    /// The fixed delay on a grid of 5 ms that starves least at no more mean delay than this run had: less delay never
    /// starves less, so it is the longest.
    pub fn hindsight_delay(&self) -> Micros {
        let mean = (self.view_delay_ms.mean() * 1_000.0) as u64;
        Micros(mean / HINDSIGHT_STEP * HINDSIGHT_STEP)
    }

    /// The share of pictures that starve at a fixed delay, a multiple of 0.1 ms. Exact: with a fixed delay, what is shown
    /// has no effect on what arrives.
    pub fn starved_ratio_at(&self, delay: Micros) -> f64 {
        self.newest_behind.share_above(delay.0)
    }

    /// Notes what there was to show at `now`: a snapshot of `newest_time` that came at `arrival`; `estimate` is the client's server time.
    /// True times, microseconds.
    pub(crate) fn note_newest(&mut self, now: u64, estimate: i64, newest_time: u64, arrival: u64) {
        self.newest_behind.add(estimate - newest_time as i64);
        let gained = now.saturating_sub(arrival) / SLOWER;
        self.foreseen_behind.add(now as i64 - newest_time as i64 - gained as i64);
    }

    /// What nobody starves less than at this mean delay who learns, when a stall begins, how long it will last, but not when the next one
    /// begins, and who keeps the view between 0.95 and 1.05 of true time but for a thousandth of the pictures. A constant delay is the
    /// best before a stall: what starves is convex in the delay, and the weather has no memory. All else is in its favour: slowing
    /// down costs it no mean delay, and each picture in which it stands still saves a whole one.
    pub fn starved_bound_ratio(&self) -> f64 {
        let mean = (self.view_delay_ms.mean() * 1_000.0).ceil() as u64;
        let class = CLASS as u64;
        (self.foreseen_behind.share_above(mean.div_ceil(class) * class) - OUTSIDE).max(0.0)
    }

    /// The median wait of inputs with the constant lead that, known in hindsight, makes as many late as this run had,
    /// milliseconds. Inputs are given at the same moments of the link's weather as they were.
    pub fn input_wait_hindsight_ms(&self) -> f64 {
        let lead = self.input_transit.quantile_above(self.input_late_ratio());
        let median = self.input_transit.quantile_above(0.5);
        lead.saturating_sub(median) as f64 / 1_000.0
    }

    /// Share of (player, tick) stepped without that tick's own input.
    pub fn input_late_ratio(&self) -> f64 {
        self.input_late as f64 / self.input_ticks.max(1) as f64
    }

    /// Share of pictures that starved.
    pub fn starved_ratio(&self) -> f64 {
        self.starved_frames as f64 / self.frames.max(1) as f64
    }

    /// How a report tells it.
    pub fn report(&self) -> FigureReport {
        let minutes = (self.frames as f64 / f64::from(crate::config::FRAME_HZ) / 60.0).max(f64::MIN_POSITIVE);
        let seconds = self.connected_seconds.max(f64::MIN_POSITIVE);
        let shots_fired = self.shots + self.shots_unknowing + self.shots_unpredicted;
        FigureReport {
            view_delay_ms: self.view_delay_ms.summary(),
            view_rate: RateSummary {
                mean: self.view_rate.mean(),
                p0_1: self.view_rate.quantile(0.001),
                p99_9: self.view_rate.quantile(0.999),
                outside_ratio: self.view_rate_outside as f64 / self.view_rate.count().max(1) as f64,
            },
            starved_ratio: self.starved_ratio(),
            starved_bound_ratio: self.starved_bound_ratio(),
            remote_error_cm: self.remote_error_cm.summary(),
            remote_error_fresh_cm: self.remote_error_fresh_cm.summary(),
            remote_error_bound_cm: self.remote_error_bound_cm.summary(),
            remote_error_fresh_bound_cm: self.remote_error_fresh_bound_cm.summary(),
            jumps_per_min: self.jumps as f64 / minutes,
            freezes_per_min: self.freezes as f64 / minutes,
            own_latency_ms: self.own_latency_ms.summary(),
            own_latency_whole_ms: self.own_latency_whole_ms.summary(),
            unpredicted_inputs_ratio: share(self.unpredicted_inputs, self.own_inputs),
            prediction_error_cm: self.prediction_error_cm.summary(),
            corrections_per_min: self.corrections as f64 / minutes,
            corrections_substituted: self.corrections_substituted,
            corrections_unexplained: self.corrections_unexplained,
            corrections: self.corrections,
            clock_error_ms: self.clock_error_ms.summary(),
            input_late_ratio: self.input_late_ratio(),
            input_wait_ms: self.input_wait_ms.summary(),
            input_wait_hindsight_ms: self.input_wait_hindsight_ms(),
            shots_agreed_ratio: (self.shots_within_cap > 0)
                .then(|| share(self.shots_agreed, self.shots_within_cap)),
            shots_within_cap_ratio: share(self.shots_within_cap, self.shots),
            shots_lost_ratio: share(self.shots_lost, self.shots),
            shots_hit_ratio: share(self.shots_hit, self.shots),
            shots_unknowing_ratio: share(self.shots_unknowing, shots_fired),
            shots_unpredicted_ratio: share(self.shots_unpredicted, shots_fired),
            shots_per_min: self.shots as f64 / minutes,
            snapshot_age_ms: self.snapshot_age_ms.summary(),
            bytes: BytesReport {
                down_per_second: self.down_bytes as f64 / seconds,
                up_per_second: self.up_bytes as f64 / seconds,
            },
            join_ms: self.join_ms.summary(),
            clock_recovery_ms: self.clock_recovery_ms.summary(),
            disconnects: self.disconnects,
        }
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// Figures by the names that everyone uses for them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names are those of the fields of `Figures`")]
pub struct FigureReport {
    pub view_delay_ms: Summary,
    pub view_rate: RateSummary,
    pub starved_ratio: f64,
    /// Of whoever has the same mean delay.
    pub starved_bound_ratio: f64,
    pub remote_error_cm: Summary,
    pub remote_error_fresh_cm: Summary,
    /// Of whoever shows the same moments.
    pub remote_error_bound_cm: Summary,
    /// Of whoever shows the same moments.
    pub remote_error_fresh_bound_cm: Summary,
    /// A client's minute, over all whom it sees.
    pub jumps_per_min: f64,
    /// A client's minute, over all whom it sees.
    pub freezes_per_min: f64,
    pub own_latency_ms: Summary,
    pub own_latency_whole_ms: Summary,
    /// Of all inputs given.
    pub unpredicted_inputs_ratio: f64,
    pub prediction_error_cm: Summary,
    /// A client's minute.
    pub corrections_per_min: f64,
    pub corrections: u64,
    pub corrections_substituted: u64,
    pub corrections_unexplained: u64,
    pub clock_error_ms: Summary,
    pub input_late_ratio: f64,
    pub input_wait_ms: Summary,
    /// The median with the best constant lead.
    pub input_wait_hindsight_ms: f64,
    /// Of the shots whose rewind is within the cap; nothing if there is none.
    pub shots_agreed_ratio: Option<f64>,
    /// Of all shots that are compared.
    pub shots_within_cap_ratio: f64,
    /// Of all shots that are compared.
    pub shots_lost_ratio: f64,
    /// Of all shots that are compared.
    pub shots_hit_ratio: f64,
    /// Of all shots fired.
    pub shots_unknowing_ratio: f64,
    /// Of all shots fired.
    pub shots_unpredicted_ratio: f64,
    /// A client's minute.
    pub shots_per_min: f64,
    pub snapshot_age_ms: Summary,
    pub bytes: BytesReport,
    pub join_ms: Summary,
    pub clock_recovery_ms: Summary,
    pub disconnects: u64,
}

/// The view's rate in a report.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RateSummary {
    /// Of all pictures.
    pub mean: f64,
    /// One in a thousand is slower.
    #[serde(rename = "p0.1")]
    pub p0_1: f64,
    /// One in a thousand is faster.
    #[serde(rename = "p99.9")]
    pub p99_9: f64,
    /// Share of pictures outside of 0.95 to 1.05.
    pub outside_ratio: f64,
}

/// Traffic of one client.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BytesReport {
    /// Towards the client, bytes a second.
    pub down_per_second: f64,
    /// Towards the server, bytes a second.
    pub up_per_second: f64,
}

impl FigureReport {
    fn write_distributions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let distributions = [
            ("view_delay_ms", self.view_delay_ms),
            ("remote_error_cm", self.remote_error_cm),
            ("remote_error_fresh_cm", self.remote_error_fresh_cm),
            ("remote_error_bound_cm", self.remote_error_bound_cm),
            ("remote_error_fresh_bound", self.remote_error_fresh_bound_cm),
            ("own_latency_ms", self.own_latency_ms),
            ("own_latency_whole_ms", self.own_latency_whole_ms),
            ("prediction_error_cm", self.prediction_error_cm),
            ("clock_error_ms", self.clock_error_ms),
            ("input_wait_ms", self.input_wait_ms),
            ("snapshot_age_ms", self.snapshot_age_ms),
            ("join_ms", self.join_ms),
            ("clock_recovery_ms", self.clock_recovery_ms),
        ];
        writeln!(f, "{:24}{:>10}{:>10}{:>10}{:>10}{:>10}", "", "mean", "p50", "p99", "max", "rms")?;
        for (name, Summary { mean, p50, p99, max, rms }) in distributions {
            writeln!(f, "{name:24}{mean:10.2}{p50:10.2}{p99:10.2}{max:10.2}{rms:10.2}")?;
        }
        Ok(())
    }
}

impl fmt::Display for FigureReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_distributions(f)?;
        let rate = self.view_rate;
        writeln!(
            f,
            "{:24}p0.1 {:.4}   p99.9 {:.4}   outside of 0.95 to 1.05: {:.4} %",
            "view_rate",
            rate.p0_1,
            rate.p99_9,
            rate.outside_ratio * 100.0
        )?;
        let [starved, bound] = [self.starved_ratio, self.starved_bound_ratio].map(|ratio| ratio * 100.0);
        writeln!(f, "{:24}{starved:.4} %, bound {bound:.4} %", "starved_ratio")?;
        writeln!(f, "{:24}{:.4} %", "input_late_ratio", self.input_late_ratio * 100.0)?;
        writeln!(f, "{:24}{:.2}", "input_wait_hindsight_ms", self.input_wait_hindsight_ms)?;
        let agreed =
            self.shots_agreed_ratio.map_or("-".to_owned(), |ratio| format!("{:.3} %", ratio * 100.0));
        writeln!(
            f,
            "{:24}{agreed}   within the cap {:.2} %   lost {:.3} %   hit {:.1} %   {:.1} a minute",
            "shots_agreed_ratio",
            self.shots_within_cap_ratio * 100.0,
            self.shots_lost_ratio * 100.0,
            self.shots_hit_ratio * 100.0,
            self.shots_per_min
        )?;
        writeln!(
            f,
            "{:24}unknowing {:.3} %   unpredicted {:.3} %",
            "shots_left_out",
            self.shots_unknowing_ratio * 100.0,
            self.shots_unpredicted_ratio * 100.0
        )?;
        writeln!(f, "{:24}{:.3} %", "unpredicted_inputs", self.unpredicted_inputs_ratio * 100.0)?;
        writeln!(f, "{:24}{:.3}", "jumps_per_min", self.jumps_per_min)?;
        writeln!(f, "{:24}{:.3}", "freezes_per_min", self.freezes_per_min)?;
        writeln!(
            f,
            "{:24}{:.2} a minute, {} in all, {} substituted, {} unexplained",
            "corrections",
            self.corrections_per_min,
            self.corrections,
            self.corrections_substituted,
            self.corrections_unexplained
        )?;
        let bytes = self.bytes;
        writeln!(
            f,
            "{:24}{:.0} B/s down, {:.0} B/s up",
            "bytes", bytes.down_per_second, bytes.up_per_second
        )?;
        writeln!(f, "{:24}{}", "disconnects", self.disconnects)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact values are expected")]
mod tests {
    use super::*;

    #[test]
    fn shares_above_a_border_do_not_count_what_is_on_it() {
        let mut classes = Classes::default();
        for micros in [-5, 0, 100, 101, 200, 5_000_000] {
            classes.add(micros);
        }
        assert_eq!(classes.share_above(100), 0.5);
        assert_eq!(classes.share_above(200), 1.0 / 6.0);
        assert_eq!(classes.quantile_above(0.5), 100);
        assert_eq!(classes.quantile_above(0.2), 200);
        assert_eq!(Classes::default().quantile_above(0.0), 0);
    }

    #[test]
    fn hindsight_takes_the_longest_delay_on_its_grid() {
        let mut figures = Figures::default();
        for delay in [101.0, 112.0] {
            figures.view_delay_ms.add(delay);
        }
        for behind in [90_000, 106_000, 120_000, 10_000] {
            figures.newest_behind.add(behind);
        }
        assert_eq!(figures.hindsight_delay(), Micros(105_000));
        assert_eq!(figures.starved_ratio_at(Micros(105_000)), 0.5);
    }

    #[test]
    fn the_bound_starves_when_a_twentieth_of_a_stall_is_not_enough() {
        let mut figures = Figures::default();
        figures.view_delay_ms.add(100.0);
        // A state that was 20 ms old when it came is the newest for so long: 80 ms are shown, and 4 ms more by going slower.
        for since in [10_000, 84_000, 84_300] {
            let now = 1_000_000 + since;
            figures.note_newest(now, now as i64, 980_000, 1_000_000);
        }
        assert!((figures.starved_bound_ratio() - (1.0 / 3.0 - OUTSIDE)).abs() < 1e-12);
        assert_eq!(figures.starved_ratio_at(Micros(100_000)), 2.0 / 3.0);
    }
}
