//! `tickwire swarm`: bots that play the arena, check all that they are sent, and report.

mod bot;
mod gauges;
mod link;
mod report;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use tickwire_netsim::Profile;
use tokio::sync::{Semaphore, watch};

use crate::config::DEFAULT_LISTEN;
use crate::files;
use crate::signals::Interrupt;
use crate::status::Status;
use bot::{Hive, Phase};

pub(crate) use gauges::{Gauges, Reading};
pub(crate) use report::Report;

/// Seed of the bots' brains if none is given.
pub(crate) const DEFAULT_SEED: u64 = 1;

/// Bots in one process. More would run out of ports towards one server.
const BOTS_MAX: usize = 25_000;

/// Bots that connect at once.
const GATES: usize = 64;

/// How long gathering may take before the swarm goes on with the bots it has.
const GATHERING_MAX: Duration = Duration::from_secs(30);

/// How long after the end the bots may take to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

/// Connect bots to a server of the arena.
#[derive(Args, Clone, Debug)]
pub(crate) struct SwarmArgs {
    /// The server
    #[arg(long, env = "TICKWIRE_URL", default_value_t = format!("ws://{DEFAULT_LISTEN}"), value_name = "URL")]
    url: String,

    /// How many bots
    #[arg(long, default_value_t = 64, value_name = "N")]
    bots: usize,

    /// Seconds to measure once all bots are in; without, until Ctrl-C
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,

    /// Seed of the bots' brains, and of the weather
    #[arg(long, default_value_t = DEFAULT_SEED, value_name = "N")]
    seed: u64,

    /// Puts a simulated link between each bot and its socket: `lan`, `wifi`, `cable`, `4g`, `lossy` or `satellite`
    #[arg(long, value_name = "NAME", value_parser = crate::lab::profile)]
    profile: Option<&'static Profile>,

    /// Print the report as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// Bots about to connect.
pub(crate) struct Swarm {
    url: String,
    bots: usize,
    length: Option<Duration>,
    seed: u64,
    profile: Option<&'static Profile>,
}

pub(crate) async fn run(args: SwarmArgs) -> anyhow::Result<ExitCode> {
    if let Err(error) = check(args.bots, args.seconds, 1).and_then(|()| check_url(&args.url)) {
        eprintln!("error: {error:#}");
        return Ok(ExitCode::from(2));
    }
    let interrupt = Interrupt::listen()?;
    let gauges = Arc::new(Gauges::new(args.bots));
    let length = args.seconds.map(Duration::from_secs_f64);
    let swarm = Swarm::new(args.url, args.bots, length, args.seed).over(args.profile);
    let playing = swarm.run(gauges.clone(), interrupt.received());
    let report = tokio::select! {
        report = playing => report,
        () = show(&gauges) => unreachable!("the status is shown until the swarm is done"),
    };
    if args.json {
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

/// Refuses what cannot work before anything is started. `files_per_bot` are the sockets of a bot in this process.
pub(crate) fn check(bots: usize, seconds: Option<f64>, files_per_bot: u64) -> anyhow::Result<()> {
    if bots == 0 {
        bail!("--bots 0: there must be at least one");
    }
    if bots > BOTS_MAX {
        bail!("--bots {bots}: one process runs at most {BOTS_MAX}; start several swarms");
    }
    if let Some(seconds) = seconds.filter(|seconds| !(0.1..=1e6).contains(seconds)) {
        bail!("--seconds {seconds}: must be from 0.1 to 1000000");
    }
    files::check(bots as u64 * files_per_bot)
}

fn check_url(url: &str) -> anyhow::Result<()> {
    if !url.starts_with("ws://") {
        bail!("--url {url}: the address of a server starts with ws://, such as ws://{DEFAULT_LISTEN}");
    }
    Ok(())
}

impl Swarm {
    pub(crate) fn new(url: String, bots: usize, length: Option<Duration>, seed: u64) -> Self {
        Self { url, bots, length, seed, profile: None }
    }

    /// Over simulated links of this profile, if there is one.
    pub(crate) fn over(self, profile: Option<&'static Profile>) -> Self {
        Self { profile, ..self }
    }

    /// Gathers all bots, measures for the swarm's length or until `interrupt`, and reports.
    pub(crate) async fn run(self, gauges: Arc<Gauges>, interrupt: impl Future<Output = ()>) -> Report {
        let (phase, phases) = watch::channel(Phase::Gathering);
        let hive = Arc::new(Hive {
            level: OnceLock::new(),
            url: self.url,
            seed: self.seed,
            weather: self.profile.map(|profile| (profile, tokio::time::Instant::now())),
            gauges: gauges.clone(),
            phase: phases,
            gates: Arc::new(Semaphore::new(GATES)),
        });
        let bots: Vec<_> = (0..self.bots).map(|index| tokio::spawn(bot::run(index, hive.clone()))).collect();
        let mut measured_since = Instant::now();
        let life = async {
            gather(&gauges).await;
            measured_since = Instant::now();
            phase.send_replace(Phase::Measuring);
            // With nobody in there is nothing to measure.
            match self.length {
                _ if gauges.read().joined == 0 => {}
                Some(length) => tokio::time::sleep(length).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = life => {}
            () = interrupt => {}
        }
        let seconds = measured_since.elapsed().as_secs_f64();
        phase.send_replace(Phase::Over);
        let mut outcomes = Vec::with_capacity(bots.len());
        let deadline = tokio::time::Instant::now() + GOODBYE_MAX;
        for bot in bots {
            let ended = tokio::time::timeout_at(deadline, bot).await;
            let outcome = ended.ok().and_then(Result::ok).unwrap_or_else(|| {
                let mut lost = report::BotOutcome::new();
                lost.note_error("the bot itself failed");
                lost
            });
            outcomes.push(outcome);
        }
        Report::new(&outcomes, seconds)
    }
}

/// Waits until every bot is in or has failed.
async fn gather(gauges: &Gauges) {
    let all_settled = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            let now = gauges.read();
            if now.joined + now.failed >= now.bots {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(GATHERING_MAX, all_settled).await;
}

/// Draws progress for ever.
async fn show(gauges: &Gauges) {
    let mut status = Status::new();
    let (mut earlier, mut since, started) = (Reading::default(), Instant::now(), Instant::now());
    loop {
        tokio::time::sleep(status.interval()).await;
        let now = gauges.read();
        let seconds = since.elapsed().as_secs_f64();
        let (snapshots, down, up) = now.rates_since(&earlier, seconds);
        status.draw(&[format!(
            "{:.0} s  {} of {} bots in, {} failed  {snapshots:.1} snapshots/s  {down:.0} B/s down  {up:.0} B/s up  \
             RTT {:.2} ms  age {:.1} ms",
            started.elapsed().as_secs_f64(),
            now.joined,
            now.bots,
            now.failed,
            now.rtt_ms_p50,
            now.age_ms_p50
        )]);
        if seconds >= 1.0 {
            (earlier, since) = (now, Instant::now());
        }
    }
}
