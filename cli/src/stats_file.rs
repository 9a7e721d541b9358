//! `serve --json-stats FILE`: the server's own side of a load test, for programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde::Serialize;
use tickwire_server::core::Skipped;
use tickwire_server::net::{Meters, ServerHandle, ServerStats};

use crate::usage::Usage;

/// From one writing of the file to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// A file that always holds the newest figures, whole.
pub(crate) struct StatsFile {
    path: PathBuf,
    server: ServerHandle,
    started: Instant,
}

/// The file: all rooms together, those that have closed among them, since the server was started. What each figure means is
/// said at [`Meters`].
#[derive(Debug, Serialize)]
struct Figures {
    seconds: f64,
    connections: usize,
    players: u32,
    rooms: usize,
    ticks: u64,
    late_ticks: u64,
    skipped_ticks: u64,
    tick_ms: Times,
    tick_cpu_ms: Times,
    flush_ms: Times,
    flush_cpu_ms: Times,
    wake_up_late_ms: Times,
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    snapshot_age_ms: Times,
    snapshots_skipped: Skips,
    broadcasts_missed: u64,
    faults: u64,
    #[serde(flatten)]
    usage: Option<Usage>,
}

/// Snapshots that were due and gave way to later ones, by what there was too little of.
#[derive(Debug, Serialize)]
struct Skips {
    budget: u64,
    in_flight: u64,
    transport: u64,
}

/// Quantiles, milliseconds.
#[derive(Debug, Serialize)]
struct Times {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

impl StatsFile {
    /// Of this server, which has just been bound. Fails if the file cannot be written.
    pub(crate) fn create(path: PathBuf, server: ServerHandle) -> anyhow::Result<Self> {
        fs::write(&path, "").with_context(|| format!("{}: cannot be written", path.display()))?;
        Ok(Self { path, server, started: Instant::now() })
    }

    /// Writes the file each second until `end`, and once more.
    pub(crate) async fn keep_until(self, end: impl Future<Output = ()>) {
        let keep = async {
            let mut turns = tokio::time::interval(INTERVAL);
            loop {
                turns.tick().await;
                self.write().await;
            }
        };
        tokio::select! {
            () = keep => {}
            () = end => {}
        }
        self.write().await;
    }

    async fn write(&self) {
        let figures = Figures::new(&self.server.stats().await, self.started.elapsed());
        let path = self.path.clone();
        // A disk may take its time; the threads that tick rooms have none.
        let written = tokio::task::spawn_blocking(move || replace(&path, &figures)).await;
        if let Err(error) = written.unwrap_or_else(|error| Err(error.into())) {
            tracing::warn!(path = %self.path.display(), error = format!("{error:#}"), "the stats cannot be written");
        }
    }
}

/// Whoever reads the file meanwhile finds the old figures or the new ones.
fn replace(path: &Path, figures: &Figures) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    fs::write(&new, serde_json::to_vec_pretty(figures)?)?;
    Ok(fs::rename(new, path)?)
}

impl Figures {
    fn new(stats: &ServerStats, since: Duration) -> Self {
        let Meters {
            steps,
            skipped_steps,
            late_ticks,
            tick_micros,
            tick_cpu_micros,
            flush_micros,
            flush_cpu_micros,
            late_micros,
            messages_received,
            messages_sent,
            snapshot_age_micros,
            snapshots_skipped: Skipped { budget, in_flight, transport },
            broadcasts_missed,
            faults,
            bytes_in: _,
            bytes_out: _,
        } = &stats.total;
        Self {
            seconds: since.as_secs_f64(),
            connections: stats.connections,
            players: stats.players,
            rooms: stats.rooms.len(),
            ticks: *steps,
            late_ticks: *late_ticks,
            skipped_ticks: *skipped_steps,
            tick_ms: Times::of(tick_micros),
            tick_cpu_ms: Times::of(tick_cpu_micros),
            flush_ms: Times::of(flush_micros),
            flush_cpu_ms: Times::of(flush_cpu_micros),
            wake_up_late_ms: Times::of(late_micros),
            messages_in: *messages_received,
            messages_out: *messages_sent,
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
            snapshot_age_ms: Times::of(snapshot_age_micros),
            snapshots_skipped: Skips { budget: *budget, in_flight: *in_flight, transport: *transport },
            broadcasts_missed: *broadcasts_missed,
            faults: *faults,
            usage: Usage::now(),
        }
    }
}

impl Times {
    fn of(micros: &Histogram<u64>) -> Self {
        let ms = |quantile| micros.value_at_quantile(quantile) as f64 / 1e3;
        Self { p50: ms(0.5), p99: ms(0.99), p999: ms(0.999), max: micros.max() as f64 / 1e3 }
    }
}
