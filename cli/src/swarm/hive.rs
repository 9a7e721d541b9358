//! What all bots of a swarm share.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tickwire_client::net::{Options, TokenProvider};
use tickwire_client::{Backoff, ClientConfig, Reconnect};
use tickwire_netsim::Profile;
use tickwire_protocol::handshake::{RejectReason, RoomWish, Welcome};
use tickwire_protocol::{Micros, TickRate};
use tickwire_server::auth::{Grant, mint};
use tickwire_sim::arena::Level;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::churn::{Graveyard, Shears};
use super::conduct::SwarmConfig;
use super::gauges::Gauges;
use super::load::{DISTURBANCE, Load, Part, Plan};
use super::outcome::{Arrivals, Figures, Phase};
use super::pilot::{Gather, Pilot, Script};
use super::schedule::Ramp;

/// How long a bot waits before it tries again after its connection was lost.
pub(super) const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Bots that connect at once: the server's accept queue is short. Who comes half-way is not held back.
const GATES: usize = 64;

/// How bots come back whose connections are cut: each attempt as any client's first. A connection that was cut soon would count as
/// a failed attempt, and the next would wait for longer; here it is no server that is gone.
const RECONNECT: Reconnect = Reconnect {
    backoff: Backoff::Jittered { first_within: RETURN_WITHIN, base: RETURN_WITHIN, cap: RETURN_WITHIN },
    attempts: u32::MAX,
};
const RETURN_WITHIN: Micros = Micros::from_millis(50);

/// A swarm is over before its tokens expire.
const TOKEN_LASTS: Duration = Duration::from_hours(24);

/// The tick rate at which scripts are played before any server has told its own.
const SCRIPT_HZ: u32 = 60;

/// What all bots of a swarm share.
pub(super) struct Hive {
    pub(super) config: SwarmConfig,
    pub(super) gauges: Arc<Gauges>,
    pub(super) phase: watch::Receiver<Phase>,
    /// What bots saw who have no other place for it.
    loose: Mutex<Figures>,
    /// The start of the swarm's clock, and of the weather.
    epoch: Instant,
    /// The level that the server plays on: one for all bots, as soon as one was told.
    level: OnceLock<Option<Arc<Level>>>,
    /// What light bots play in a brawl.
    script: OnceLock<Arc<Script>>,
    /// Snapshots a second, once a welcome has told.
    snapshot_hz: AtomicU32,
    gates: Arc<Semaphore>,
    /// Sockets that bots were cut off from without a word.
    abandoned: Graveyard,
}

impl Hive {
    pub(super) fn new(config: SwarmConfig, gauges: Arc<Gauges>, phase: watch::Receiver<Phase>) -> Self {
        Self {
            config,
            gauges,
            phase,
            loose: Mutex::new(Figures::new()),
            epoch: Instant::now(),
            level: OnceLock::new(),
            script: OnceLock::new(),
            snapshot_hz: AtomicU32::new(0),
            gates: Arc::new(Semaphore::new(GATES)),
            abandoned: Graveyard::default(),
        }
    }

    /// The swarm's clock.
    pub(super) fn now(&self) -> Micros {
        Micros(self.epoch.elapsed().as_micros() as u64)
    }

    /// The link that a bot sits behind, and when its weather began; nothing if it has the socket to itself.
    pub(super) fn weather(&self, plan: Plan) -> Option<(&'static Profile, tokio::time::Instant)> {
        let profile = if plan.part == Part::Narrow { Some(&Profile::NARROW) } else { self.config.profile };
        profile.map(|profile| (profile, tokio::time::Instant::from_std(self.epoch)))
    }

    /// The level that a server has told of.
    pub(super) fn level(&self, told: &[u8]) -> Option<Arc<Level>> {
        self.level.get_or_init(|| Level::told(told).map(Arc::new)).clone()
    }

    /// When a bot is to connect, from when its task was started.
    pub(super) fn start_of(&self, plan: Plan) -> Duration {
        let SwarmConfig { bots, ramp, .. } = self.config;
        if plan.part.is_first() {
            return Ramp::new(ramp, bots).start_of(plan.index);
        }
        Ramp::new(DISTURBANCE, self.config.latecomers().1).start_of(plan.index.saturating_sub(bots))
    }

    /// What a bot says of itself.
    pub(super) fn client_config(&self, plan: Plan) -> ClientConfig {
        let mut config = ClientConfig::new(concat!("tickwire-swarm ", env!("CARGO_PKG_VERSION")));
        config.input_hz = Some(self.config.input_hz);
        config.reconnect = self.config.churn.map(|_| RECONNECT);
        config.seed = self.seed_of(plan);
        if let Some(rooms) = self.config.rooms {
            config.room = RoomWish::Named(format!("swarm-{}", plan.index % rooms));
        }
        config
    }

    /// How a bot connects: with a token of its own, if there is a key for it.
    pub(super) fn options(&self, plan: Plan) -> Options {
        let sign = move |key: &[u8]| {
            let account = format!("bot-{}", plan.index);
            mint(key, &Grant::new(account, TOKEN_LASTS)).ok()
        };
        let key = self.config.token_key.clone();
        let tokens = key.map(|key| TokenProvider::new(move || sign(&key)));
        Options { tokens, roots: self.config.roots.clone() }
    }

    /// A bot's chance.
    pub(super) fn seed_of(&self, plan: Plan) -> u64 {
        self.config.seed.wrapping_mul(0x9e37_79b9).wrapping_add(plan.index as u64)
    }

    /// What cuts a bot's connections, if anything does.
    pub(super) fn shears(&self, plan: Plan) -> Option<Shears> {
        let mean = self.config.churn?;
        // Not the chance by which it comes back.
        let seed = self.seed_of(plan) ^ 1 << 63;
        Some(Shears::new(mean, self.phase.clone(), seed, self.abandoned.clone()))
    }

    /// What a light bot does.
    pub(super) fn pilot(&self, plan: Plan) -> Pilot {
        match self.config.load {
            Load::Idle => Pilot::Still,
            Load::Crowd => Pilot::Gathers { gather: self.gather(plan), position: None },
            Load::Brawl | Load::JoinStorm | Load::SlowReaders => {
                let script = self.script.get_or_init(|| {
                    let Some(rate) = TickRate::new(SCRIPT_HZ) else { unreachable!("a rate that there is") };
                    Arc::new(Script::record(self.config.seed, rate))
                });
                Pilot::Scripted { script: script.clone(), bot: plan.index }
            }
        }
    }

    /// A bot's place in a crowd: there is a crowd in each room.
    pub(super) fn gather(&self, plan: Plan) -> Gather {
        let rooms = self.config.rooms.unwrap_or(1);
        Gather::new(plan.index / rooms, self.config.bots.div_ceil(rooms))
    }

    /// Waits until a bot may connect; the gate is to be kept until it is in.
    pub(super) async fn gate(&self, plan: Plan) -> Option<OwnedSemaphorePermit> {
        if plan.part.is_first() { self.gates.clone().acquire_owned().await.ok() } else { None }
    }

    /// A bot is in: for the first time, or again.
    pub(super) fn note_joined(&self, welcome: Option<&Welcome>, is_first: bool) {
        if let Some(welcome) = welcome {
            self.snapshot_hz.store(welcome.timing.snapshot_hz, Ordering::Relaxed);
        }
        self.gauges.joined.fetch_add(usize::from(is_first), Ordering::Relaxed);
    }

    /// A bot will never be in.
    pub(super) fn note_failed(&self, plan: Plan) {
        self.gauges.failed.fetch_add(usize::from(plan.part.is_first()), Ordering::Relaxed);
    }

    /// Snapshots a second that the server means to send; 0 as long as it is not known.
    pub(super) fn snapshot_hz(&self) -> u32 {
        self.snapshot_hz.load(Ordering::Relaxed)
    }

    /// From one snapshot to the next, as the server means it.
    pub(super) fn snapshot_interval(&self) -> Micros {
        Micros(1_000_000 / u64::from(self.snapshot_hz().max(1)))
    }

    /// The measured time has ended for a bot without a connection.
    pub(super) fn end_arrivals(&self, arrivals: &mut Arrivals, plan: Plan) {
        if plan.part == Part::Player {
            let mut loose = self.loose.lock().unwrap_or_else(PoisonError::into_inner);
            let last = if self.config.load.is_disturbed() { Phase::Disturbed } else { Phase::Measuring };
            arrivals.end(self.now(), self.snapshot_interval(), last, &mut loose);
        }
    }

    /// What such bots saw.
    pub(super) fn take_loose(&self) -> Figures {
        let mut loose = self.loose.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *loose)
    }

    /// A refusal in words that say what to do.
    pub(super) fn words_of(&self, reason: &RejectReason) -> String {
        let SwarmConfig { bots, rooms, .. } = self.config;
        match (reason, rooms) {
            (RejectReason::RoomFull { .. }, Some(rooms)) => {
                let size = (bots + self.config.latecomers().1).div_ceil(rooms);
                format!(
                    "{reason}; start the server with --room-size {size}, or spread the bots over more --rooms"
                )
            }
            _ => reason.to_string(),
        }
    }
}
