//! The life of a swarm: gathering, measuring, the end.
//!
//! ```text
//!  gathering | settling | measuring ............ | disturbed ............ | over
//!  all connect           half of the time          others come, or all of it if none do
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};

use tickwire_client::net::Roots;
use tickwire_netsim::Profile;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::cpu;
use super::full;
use super::gauges::Gauges;
use super::hive::Hive;
use super::light::{self, Flocks};
use super::load::{Load, Part, Plan, plans};
use super::outcome::{BotOutcome, Figures, Phase};
use super::report::{Report, Run, Seen};

/// How long gathering may take, beside the ramp, before the swarm goes on with the bots it has.
const GATHERING_MAX: Duration = Duration::from_secs(30);

/// How long all is left in peace before sessions are looked at: so that each bot is told a digest or two.
const HEALING: Duration = Duration::from_secs(3);

/// How long bots may take to say what they know before the first of them leaves: who is gone is missing in what the others are told.
const SETTLING: Duration = Duration::from_secs(1);

/// How long after the end the bots may take to say goodbye.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

/// What a swarm is to do.
#[derive(Clone, Debug)]
pub(crate) struct SwarmConfig {
    pub(crate) url: String,
    pub(crate) bots: usize,
    /// Bots that decode all that they are sent.
    pub(crate) full: usize,
    /// Rooms that the bots are spread over by name; any room that has a place if none.
    pub(crate) rooms: Option<usize>,
    /// Input frames a second.
    pub(crate) input_hz: u32,
    /// Within which time the bots connect.
    pub(crate) ramp: Duration,
    /// How long to measure; until it is interrupted if none.
    pub(crate) length: Option<Duration>,
    pub(crate) seed: u64,
    pub(crate) load: Load,
    /// Bots that join half-way in a `join_storm`, and in `slow_readers`.
    pub(crate) storm: usize,
    pub(crate) slow: usize,
    /// The link of every bot, if there is one.
    pub(crate) profile: Option<&'static Profile>,
    /// Bots behind links of 64 kbit/s.
    pub(crate) narrow: usize,
    /// The file of the key that their tokens are signed with; guests if none.
    pub(crate) token_key: Option<Arc<[u8]>>,
    /// Who may vouch for the server.
    pub(crate) roots: Roots,
    /// How long a connection lasts on average; until the end if none.
    pub(crate) churn: Option<Duration>,
    /// Whether the bots talk to each other.
    pub(crate) chatter: bool,
}

impl SwarmConfig {
    /// A brawl of so many bots, 64 of which decode everything, until it is interrupted.
    pub(crate) fn new(url: String, bots: usize) -> Self {
        Self {
            url,
            bots,
            full: super::DEFAULT_FULL,
            rooms: None,
            input_hz: super::DEFAULT_INPUT_HZ,
            ramp: Duration::ZERO,
            length: None,
            seed: super::DEFAULT_SEED,
            load: Load::Brawl,
            storm: super::DEFAULT_STORM,
            slow: super::DEFAULT_SLOW,
            profile: None,
            narrow: 0,
            token_key: None,
            roots: Roots::default(),
            churn: None,
            chatter: false,
        }
    }

    /// Whether what is promised of sessions is looked at.
    pub(super) fn checks_sessions(&self) -> bool {
        self.churn.is_some() || self.chatter
    }

    /// Who comes half-way, and how many.
    pub(super) fn latecomers(&self) -> (Part, usize) {
        self.load.latecomers(self.storm, self.slow)
    }

    /// The bots that are there from the beginning. Behind a simulated link, or where sessions are looked at, each is a full one: it
    /// takes the client's own driver.
    fn plans(&self) -> Vec<Plan> {
        let full = if self.profile.is_some() || self.checks_sessions() { self.bots } else { self.full };
        plans(self.bots, full, self.narrow).collect()
    }
}

type BotTask = JoinHandle<(BotOutcome, Option<Box<Figures>>)>;

/// Gathers all bots, measures for the configured time or until `interrupt`, and reports.
pub(crate) async fn run(
    config: SwarmConfig,
    gauges: Arc<Gauges>,
    interrupt: impl Future<Output = ()>,
) -> anyhow::Result<Report> {
    let (phase, phases) = watch::channel(Phase::Gathering);
    let hive = Arc::new(Hive::new(config, gauges, phases));
    let config = &hive.config;
    let plans = config.plans();
    let light = plans.iter().filter(|plan| !plan.is_full).count() + config.latecomers().1;
    let flocks = Flocks::start(&hive, light)?;
    let mut tasks: Vec<_> = plans.iter().map(|plan| spawn(*plan, &hive, &flocks)).collect();
    let mut clock = StageClock::default();
    let life = async {
        gather(&hive).await;
        tokio::time::sleep(config.load.settling()).await;
        clock.start();
        phase.send_replace(Phase::Measuring);
        // With nobody in there is nothing to measure.
        if hive.gauges.read().joined == 0 {
            return;
        }
        let Some(length) = config.length else { return std::future::pending().await };
        if !config.load.is_disturbed() {
            return tokio::time::sleep(length).await;
        }
        tokio::time::sleep(length / 2).await;
        clock.next();
        phase.send_replace(Phase::Disturbed);
        let (part, count) = config.latecomers();
        let late = (config.bots..config.bots + count).map(|index| Plan { index, part, is_full: false });
        tasks.extend(late.map(|plan| spawn(plan, &hive, &flocks)));
        tokio::time::sleep(length / 2).await;
    };
    tokio::select! {
        () = life => {}
        () = interrupt => {}
    }
    let run = clock.end(&hive);
    if config.checks_sessions() {
        phase.send_replace(Phase::Healing);
        tokio::time::sleep(HEALING).await;
        phase.send_replace(Phase::Settling);
        tokio::time::sleep(SETTLING).await;
    }
    phase.send_replace(Phase::Over);
    let mut seen = collect(tasks).await;
    let reports = tokio::task::spawn_blocking(move || flocks.join()).await?;
    let mut run = Run { light_cpu_s: 0.0, ..run };
    for flock in reports {
        seen.players.add(&flock.figures);
        run.light_cpu_s += flock.cpu_s;
    }
    seen.players.add(&hive.take_loose());
    Ok(Report::new(&seen, &run))
}

fn spawn(plan: Plan, hive: &Arc<Hive>, flocks: &Flocks) -> BotTask {
    let hive = hive.clone();
    if plan.is_full {
        return tokio::spawn(full::run(plan, hive));
    }
    let entrance = flocks.entrance(plan);
    tokio::spawn(async move { (light::run(plan, hive, entrance).await, None) })
}

/// What all bots saw, once they have said goodbye.
async fn collect(tasks: Vec<BotTask>) -> Seen {
    let mut seen = Seen::default();
    let deadline = tokio::time::Instant::now() + GOODBYE_MAX;
    for task in tasks {
        let ended = tokio::time::timeout_at(deadline, task).await;
        let Ok(Ok((outcome, figures))) = ended else {
            seen.lost += 1;
            continue;
        };
        if let Some(figures) = figures {
            let all = if outcome.plan.part == Part::Narrow { &mut seen.narrow } else { &mut seen.players };
            all.add(&figures);
        }
        seen.outcomes.push(outcome);
    }
    seen
}

/// Waits until every bot is in or has failed.
async fn gather(hive: &Hive) {
    let all_settled = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        loop {
            ticks.tick().await;
            let now = hive.gauges.read();
            if now.joined + now.failed >= now.bots {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(GATHERING_MAX + hive.config.ramp, all_settled).await;
}

/// How long each stage of the measured time took, and what CPU time.
#[derive(Debug, Default)]
struct StageClock {
    since: Option<Instant>,
    first_seconds: Option<f64>,
    cpu_before: f64,
}

impl StageClock {
    fn start(&mut self) {
        self.since = Some(Instant::now());
        self.cpu_before = cpu::process_seconds();
    }

    fn next(&mut self) {
        self.first_seconds = self.since.replace(Instant::now()).map(|since| since.elapsed().as_secs_f64());
    }

    fn end(&self, hive: &Hive) -> Run {
        let last = self.since.map_or(0.0, |since| since.elapsed().as_secs_f64());
        Run {
            load: hive.config.load,
            bots: hive.config.bots,
            snapshot_hz: hive.snapshot_hz(),
            seconds: self.first_seconds.map_or([last, 0.0], |first| [first, last]),
            cpu_s: if self.since.is_some() { cpu::process_seconds() - self.cpu_before } else { 0.0 },
            light_cpu_s: 0.0,
            churn: hive.config.churn,
            chatters: hive.config.chatter,
        }
    }
}
