//! `tickwire swarm`: bots that play the arena, check what they are sent, and report.
//!
//! | file | what it decides |
//! |---|---|
//! | `args` | what can be asked for |
//! | `conduct` | the life of a swarm: who starts when, what is measured |
//! | `load`, `schedule` | who plays which part; when connections and inputs are due |
//! | `full` | a bot that decodes everything, by the client's own driver |
//! | `light` | bots that count snapshots, thousands to a thread |
//! | `pilot` | what bots do that see nothing |
//! | `churn` | connections that end when chance wants |
//! | `chatter` | what bots say, and what they hear |
//! | `course`, `sessions` | what becomes of a bot's session; whether sessions kept what is promised of them |
//! | `hive`, `gauges`, `link`, `cpu` | what bots share; live numbers; simulated links; CPU time |
//! | `outcome`, `report`, `summary`, `verdict` | what was seen; the figures; those in words; what is wrong with them |

mod args;
mod chatter;
mod churn;
mod conduct;
mod course;
mod cpu;
mod full;
mod gauges;
mod hive;
mod light;
mod link;
mod load;
mod outcome;
mod pilot;
mod report;
mod schedule;
mod sessions;
mod summary;
#[cfg(test)]
mod tests;
mod verdict;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use crate::signals::Interrupt;
use crate::status::Status;

pub(crate) use args::{SwarmArgs, check};
pub(crate) use conduct::{SwarmConfig, run as conduct};
use gauges::Reading;
pub(crate) use gauges::{Gauges, Meter};
pub(crate) use report::Report;

/// Seed of the bots' brains if none is given.
pub(crate) const DEFAULT_SEED: u64 = 1;
/// Bots that decode everything: a room's worth finds what is wrong, and leaves the cores to the server.
pub(crate) const DEFAULT_FULL: usize = 64;
/// Input frames a second of each bot; each carries the inputs of all ticks since the one before.
pub(crate) const DEFAULT_INPUT_HZ: u32 = 20;
/// Bots that join within a second in a `join_storm`.
pub(crate) const DEFAULT_STORM: usize = 500;
/// Bots that stop reading in `slow_readers`.
pub(crate) const DEFAULT_SLOW: usize = 100;

pub(crate) async fn run(args: SwarmArgs) -> anyhow::Result<ExitCode> {
    let is_json = args.json;
    let config = match args.resolve() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let interrupt = Interrupt::listen()?;
    let gauges = Arc::new(Gauges::new(config.bots));
    let playing = conduct(config, gauges.clone(), interrupt.received());
    let report = tokio::select! {
        report = playing => report?,
        () = show(gauges) => unreachable!("the status is shown until the swarm is done"),
    };
    if is_json {
        println!("{}", serde_json::to_string(&report)?);
        // Findings are for people as well, so they go where people look.
        eprint!("{report}");
    } else {
        print!("{report}");
    }
    if let (0, Some(error)) = (report.connected, report.errors.keys().next()) {
        eprintln!("error: no bot came in: {error}");
    }
    Ok(if report.is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Draws progress for ever.
async fn show(gauges: Arc<Gauges>) {
    let (mut status, mut meter, started) = (Status::new(), Meter::new(gauges), Instant::now());
    loop {
        tokio::time::sleep(status.interval()).await;
        let (Reading { bots, joined, failed, .. }, words) = meter.look();
        let seconds = started.elapsed().as_secs_f64();
        status.draw(&[format!("{seconds:.0} s  {joined} of {bots} bots in, {failed} failed  {words}")]);
    }
}
