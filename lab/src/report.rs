//! What is told of runs that belong together.

use core::fmt;

use serde::Serialize;

use crate::config::{LabConfig, stream_name};
use crate::figures::{FigureReport, Figures};

/// The figures of several seeds, pooled.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The link's name.
    pub profile: &'static str,
    /// The stream's name.
    pub stream: &'static str,
    /// Clients in each run.
    pub players: u32,
    /// Length of each run, seconds.
    pub seconds: u32,
    /// The seeds, in ascending order.
    pub seeds: Vec<u64>,
    /// The policy's name.
    pub interpolation: String,
    /// Whether each player was in a cell of its own.
    pub peaceful: bool,
    /// Over all seeds.
    pub figures: FigureReport,
    /// What the best fixed delay, known in hindsight, would have starved at no more mean delay.
    pub hindsight: Hindsight,
    /// Of each figure that has one value, the greatest that a seed had by itself.
    pub worst: Worst,
}

/// The fixed delay on a grid of 5 ms, chosen for each seed after its run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Hindsight {
    /// Mean over the seeds, milliseconds.
    pub delay_ms: f64,
    /// Share of all pictures. Exact: what is shown has no effect on what arrives.
    pub starved_ratio: f64,
}

impl Hindsight {
    fn of(runs: &[(u64, Figures)]) -> Self {
        let count = runs.len().max(1) as f64;
        let frames: u64 = runs.iter().map(|(_, figures)| figures.frames).sum();
        let of_run = |(_, figures): &(u64, Figures)| {
            let delay = figures.hindsight_delay();
            (delay.as_millis_f64(), figures.starved_ratio_at(delay) * figures.frames as f64)
        };
        let sums = runs.iter().map(of_run).fold((0.0, 0.0), |sums, run| (sums.0 + run.0, sums.1 + run.1));
        Self { delay_ms: sums.0 / count, starved_ratio: sums.1 / frames.max(1) as f64 }
    }
}

/// The worst seed of some figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names are those of the fields of `Figures`")]
pub struct Worst {
    pub view_delay_ms_mean: f64,
    pub starved_ratio: f64,
    pub remote_error_cm_rms: f64,
    pub remote_error_fresh_cm_rms: f64,
    pub clock_error_ms_p99: f64,
    pub input_late_ratio: f64,
    pub jumps_per_min: f64,
    pub freezes_per_min: f64,
    pub own_latency_ms_p99: f64,
    pub prediction_error_cm_rms: f64,
    pub corrections_per_min: f64,
    pub corrections_unexplained: u64,
}

impl Worst {
    fn of(reports: impl Iterator<Item = FigureReport>) -> Self {
        reports.fold(Self::default(), |worst, figures| Self {
            view_delay_ms_mean: worst.view_delay_ms_mean.max(figures.view_delay_ms.mean),
            starved_ratio: worst.starved_ratio.max(figures.starved_ratio),
            remote_error_cm_rms: worst.remote_error_cm_rms.max(figures.remote_error_cm.rms),
            remote_error_fresh_cm_rms: worst.remote_error_fresh_cm_rms.max(figures.remote_error_fresh_cm.rms),
            clock_error_ms_p99: worst.clock_error_ms_p99.max(figures.clock_error_ms.p99),
            input_late_ratio: worst.input_late_ratio.max(figures.input_late_ratio),
            jumps_per_min: worst.jumps_per_min.max(figures.jumps_per_min),
            freezes_per_min: worst.freezes_per_min.max(figures.freezes_per_min),
            own_latency_ms_p99: worst.own_latency_ms_p99.max(figures.own_latency_ms.p99),
            prediction_error_cm_rms: worst.prediction_error_cm_rms.max(figures.prediction_error_cm.rms),
            corrections_per_min: worst.corrections_per_min.max(figures.corrections_per_min),
            corrections_unexplained: worst.corrections_unexplained.max(figures.corrections_unexplained),
        })
    }
}

impl Report {
    /// The report of runs of one configuration, by seed.
    pub fn new(config: &LabConfig, runs: &[(u64, Figures)]) -> Self {
        let mut pooled = Figures::default();
        for (_, figures) in runs {
            pooled.merge(figures);
        }
        Self {
            profile: config.profile.name,
            stream: stream_name(config.stream),
            players: config.players,
            seconds: config.seconds,
            seeds: runs.iter().map(|&(seed, _)| seed).collect(),
            interpolation: config.policy.name(),
            peaceful: config.is_peaceful,
            figures: pooled.report(),
            hindsight: Hindsight::of(runs),
            worst: Worst::of(runs.iter().map(|(_, figures)| figures.report())),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { profile, stream, players, seconds, seeds, interpolation, worst, .. } = self;
        let seeds = match seeds.as_slice() {
            [seed] => format!("seed {seed}"),
            [first, .., last] => format!("seeds {first} to {last}"),
            [] => "no seed".to_owned(),
        };
        let peaceful = if self.peaceful { ", peaceful" } else { "" };
        writeln!(
            f,
            "{profile}, {stream}, {players} players, {seconds} s, {seeds}, {interpolation}{peaceful}"
        )?;
        write!(f, "{}", self.figures)?;
        let Hindsight { delay_ms, starved_ratio } = self.hindsight;
        writeln!(f, "{:24}delay {delay_ms:.1} ms, starved {:.4} %", "hindsight", starved_ratio * 100.0)?;
        writeln!(
            f,
            "worst seed              delay {:.1} ms, starved {:.4} %, error {:.2} cm, fresh {:.2} cm, clock {:.2} ms, late {:.4} %",
            worst.view_delay_ms_mean,
            worst.starved_ratio * 100.0,
            worst.remote_error_cm_rms,
            worst.remote_error_fresh_cm_rms,
            worst.clock_error_ms_p99,
            worst.input_late_ratio * 100.0
        )
    }
}
