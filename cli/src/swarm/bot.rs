//! One bot: a client with a brain that plays the arena, and notes all that it sees.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tickwire_client::net::{self, ConnectError, Wake};
use tickwire_client::{ClientConfig, ClientFault, ClientStats, DisconnectReason, Event};
use tickwire_netsim::Profile;
use tickwire_protocol::{Micros, Tick, TickRate};
use tickwire_sim::arena::{self, Arena, LEVEL_EXTENSION, Level, PLAYER};
use tickwire_sim::bots::{BotBody, BotView, Brain};
use tokio::sync::{Semaphore, watch};

use super::gauges::Gauges;
use super::link::{Conditioned, Link};
use super::report::{BotOutcome, Measured};

/// Input frames a second; each carries the inputs of all ticks since the one before.
const INPUT_HZ: u32 = 20;

/// Bots that predict their own player: a room's worth tells how good that is, and the load generator's time is short.
const PREDICTING_BOTS: usize = 64;

/// How long a bot waits before it tries again after its connection was lost.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// What a bot's row would take as plain 32-bit floats and integers, with its id.
const RAW_ID_BYTES: u64 = 4;

/// Where the swarm is in its life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// Bots are connecting.
    Gathering,
    /// What they see counts.
    Measuring,
    /// They shall leave.
    Over,
}

/// What all bots of a swarm share.
pub(super) struct Hive {
    pub(super) url: String,
    pub(super) seed: u64,
    /// The links' profile, and when their weather began.
    pub(super) weather: Option<(&'static Profile, tokio::time::Instant)>,
    pub(super) gauges: Arc<Gauges>,
    pub(super) phase: watch::Receiver<Phase>,
    /// The level that the server plays on: one for all bots, as soon as one was told.
    pub(super) level: OnceLock<Option<Arc<Level>>>,
    /// How many may be connecting at once: the server's accept queue is short.
    pub(super) gates: Arc<Semaphore>,
}

type Connection = net::Connection<Link>;

impl Hive {
    /// The level that a server has told of.
    fn level(&self, told: &[u8]) -> Option<Arc<Level>> {
        self.level.get_or_init(|| Level::told(told).map(Arc::new)).clone()
    }
}

struct Bot {
    index: usize,
    hive: Arc<Hive>,
    brain: Brain,
    outcome: BotOutcome,
    /// When the newest snapshot arrived on the connection that lasts.
    last_arrival: Option<Micros>,
    /// When the last picture was drawn, and of which moment of the server's.
    last_picture: Option<(Micros, Micros)>,
    /// What had been counted when measuring began, and what has been since the last look.
    counted: Counted,
    raw_row_bytes: u64,
}

/// Counters of a connection as they were at some moment.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    stats: ClientStats,
    down_bytes: u64,
    up_bytes: u64,
}

/// Plays until the swarm is over; what it saw.
pub(super) async fn run(index: usize, hive: Arc<Hive>) -> BotOutcome {
    let brain = Brain::new(hive.seed.wrapping_mul(0x9e37_79b9).wrapping_add(index as u64));
    let columns = arena::schema().kind(PLAYER).column_count() as u64;
    let mut bot = Bot {
        index,
        hive,
        brain,
        outcome: BotOutcome::new(),
        last_arrival: None,
        last_picture: None,
        counted: Counted::default(),
        raw_row_bytes: RAW_ID_BYTES + 4 * columns,
    };
    let mut phase = bot.hive.phase.clone();
    loop {
        if bot.live(&mut phase).await {
            return bot.outcome;
        }
        bot.outcome.reconnects += 1;
        tokio::select! {
            () = tokio::time::sleep(RECONNECT_PAUSE) => {}
            _ = phase.wait_for(|phase| *phase == Phase::Over) => return bot.outcome,
        }
    }
}

impl Bot {
    /// Connects and plays; whether this bot is done. If not, the connection was lost.
    async fn live(&mut self, phase: &mut watch::Receiver<Phase>) -> bool {
        let mut over = phase.clone();
        let connection = tokio::select! {
            connection = self.connect() => connection,
            // Whoever is still connecting when all is over stays out.
            _ = over.wait_for(|phase| *phase == Phase::Over) => return true,
        };
        let Some(mut connection) = connection else {
            // A bot that never came in stays out: its failure is the finding.
            return self.outcome.join_micros.is_none();
        };
        let mut known = *phase.borrow_and_update();
        // The first snapshot came while connecting, perhaps with a digest: count from nothing.
        self.counted = Counted::default();
        self.last_arrival = None;
        self.last_picture = None;
        loop {
            tokio::select! {
                wake = connection.next() => {
                    let Some(wake) = wake else {
                        self.count(&connection, known);
                        return *self.hive.phase.borrow() == Phase::Over;
                    };
                    self.handle(wake, &mut connection, known);
                }
                _ = phase.changed() => {
                    self.count(&connection, known);
                    known = *phase.borrow_and_update();
                    if known == Phase::Over {
                        connection.close().await;
                        return true;
                    }
                }
            }
        }
    }

    async fn connect(&mut self) -> Option<Connection> {
        let Ok(_gate) = self.hive.gates.clone().acquire_owned().await else { return None };
        let started = Instant::now();
        let mut config = ClientConfig::new(concat!("tickwire-swarm ", env!("CARGO_PKG_VERSION")));
        config.input_hz = Some(INPUT_HZ);
        let mut connection = match self.open(config).await {
            Ok(connection) => connection,
            Err(error) => {
                self.fail(&error);
                return None;
            }
        };
        self.predict(&mut connection);
        let connected = started.elapsed();
        self.outcome.connect_micros.get_or_insert(connected.as_micros() as u64);
        // In is who has state.
        while connection.client().stats(connection.now()).snapshots == 0 {
            if let Some(Wake::Event(Event::Disconnected(reason))) = connection.next().await {
                self.note_end(&reason);
            }
            if connection.client().is_closed() {
                self.outcome.decode_errors += connection.client().stats(connection.now()).decode_errors;
                self.note_failure();
                return None;
            }
        }
        if self.outcome.join_micros.is_none() {
            self.outcome.join_micros = Some(started.elapsed().as_micros() as u64);
            self.hive.gauges.joined.fetch_add(1, Ordering::Relaxed);
        }
        Some(connection)
    }

    async fn open(&self, config: ClientConfig) -> Result<Connection, ConnectError> {
        let Hive { url, seed, weather, .. } = &*self.hive;
        let stream = net::dial(url, &config).await?;
        let link = match *weather {
            None => Link::Plain(stream),
            Some((profile, epoch)) => {
                let number = self.index as u64;
                Link::Conditioned(Box::new(Conditioned::new(stream, profile, *seed, number, epoch)))
            }
        };
        net::connect_over(link, url, config, arena::schema().clone()).await
    }

    /// Predicts the own player, if the server says on which level it plays.
    fn predict(&self, connection: &mut Connection) {
        if self.index >= PREDICTING_BOTS {
            return;
        }
        let told = connection.client().welcome().into_iter().flat_map(|welcome| &welcome.extensions);
        let mut level = told.filter(|extension| extension.id == LEVEL_EXTENSION);
        let Some(level) = level.next().and_then(|extension| self.hive.level(&extension.value)) else {
            return;
        };
        connection.client_mut().predict(Box::new(Arena::new(level)));
    }

    fn fail(&mut self, error: &ConnectError) {
        self.outcome.note_error(error.to_string());
        // Bytes before the welcome are decoded as well.
        let is_malformed =
            matches!(error, ConnectError::Ended(DisconnectReason::Fault(ClientFault::Malformed(_))));
        self.outcome.decode_errors += u64::from(is_malformed);
        self.note_failure();
    }

    /// Counts a bot out that was never in.
    fn note_failure(&self) {
        if self.outcome.join_micros.is_none() {
            self.hive.gauges.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn note_end(&mut self, reason: &DisconnectReason) {
        self.outcome.note_error(reason.to_string());
    }

    fn handle(&mut self, wake: Wake, connection: &mut Connection, phase: Phase) {
        match wake {
            Wake::Snapshot => {
                self.note_snapshot(connection, phase);
                self.count(connection, phase);
            }
            Wake::Input(tick) => self.give_inputs(tick, connection, phase),
            Wake::Event(Event::Disconnected(reason)) => self.note_end(&reason),
            Wake::Event(_) => {}
        }
    }

    /// The brain thinks once for all ticks that are due, as one picture's inputs of a game would.
    fn give_inputs(&mut self, first: Tick, connection: &mut Connection, phase: Phase) {
        let now = connection.now();
        let rate = connection.client().welcome().map(|welcome| welcome.timing.tick_rate);
        let dt = rate.map_or(0.0, TickRate::dt);
        let mut due = Some(first);
        while let Some(tick) = due {
            let mut others = Vec::new();
            if self.brain.decides_within(dt) || self.brain.aims_within(dt) {
                let view = connection.client().view(now);
                let strangers = view.entities(PLAYER).filter(|entity| !entity.is_own());
                others.extend(strangers.map(|entity| BotBody {
                    position: entity.vec3(arena::player::POSITION),
                    velocity: entity.vec3(arena::player::VELOCITY),
                }));
            }
            let client = connection.client();
            let own = client.predicted(now).entities(PLAYER).next().map(|own| own.latest());
            let own = own.or_else(|| client.own_row(PLAYER)).map(BotBody::read);
            let brain = &mut self.brain;
            // The level is the server's: it decides what a shot at somebody hidden hits.
            let seen = BotView { own, others: &others, targets: &others, level: None };
            connection.client_mut().push_input(now, tick, |row| brain.think(dt, &seen, row));
            due = connection.client().due_input_tick(now);
        }
        self.draw(now, connection, phase);
    }

    /// What a picture at this moment would show.
    fn draw(&mut self, now: Micros, connection: &Connection, phase: Phase) {
        let client = connection.client();
        let view = client.view(now);
        let last = self.last_picture.replace((now, view.server_time()));
        if phase != Phase::Measuring {
            return;
        }
        self.outcome.measured.frames += 1;
        self.outcome.measured.starved_frames += u64::from(view.is_starved());
        self.outcome.measured.predicted_frames += u64::from(client.predicted_tick().is_some());
        if let Some(clock) = client.clock() {
            let delay = clock.server_time(now).saturating_since(view.server_time());
            self.outcome.view_delay_micros.saturating_record(delay.0.max(1));
        }
        if let Some((last_now, last_shown)) = last
            && now > last_now
        {
            let advance = view.server_time().saturating_since(last_shown).0 * 1_000_000;
            self.outcome.view_rate_ppm.saturating_record((advance / now.saturating_since(last_now).0).max(1));
        }
    }

    fn note_snapshot(&mut self, connection: &Connection, phase: Phase) {
        let now = connection.now();
        let client = connection.client();
        let stats = client.stats(now);
        let rtt = client.clock().map_or(0, |clock| clock.newest_rtt().0);
        let age = client.snapshot_age(now).unwrap_or_default();
        self.hive.gauges.tell(self.index, rtt, age.0);
        if let (Some(last), Some(arrival)) = (self.last_arrival, stats.newest_arrival)
            && phase == Phase::Measuring
        {
            let interval = arrival.saturating_since(last).0;
            self.outcome.snapshot_interval_micros.saturating_record(interval.max(1));
            self.outcome.snapshot_age_micros.saturating_record(age.0.max(1));
        }
        self.last_arrival = stats.newest_arrival;
    }

    /// Takes over what was counted since the last time.
    fn count(&mut self, connection: &Connection, phase: Phase) {
        let (then, now) = (self.counted, Counted::of(connection));
        self.counted = now;
        let gauges = &self.hive.gauges;
        let snapshots = now.stats.snapshots - then.stats.snapshots;
        let (down, up) = (now.down_bytes - then.down_bytes, now.up_bytes - then.up_bytes);
        gauges.snapshots.fetch_add(snapshots, Ordering::Relaxed);
        gauges.down_bytes.fetch_add(down, Ordering::Relaxed);
        gauges.up_bytes.fetch_add(up, Ordering::Relaxed);
        self.outcome.decode_errors += now.stats.decode_errors - then.stats.decode_errors;
        let digests = &mut self.outcome.digests;
        digests.mismatches += now.stats.digest_mismatches - then.stats.digest_mismatches;
        if phase != Phase::Measuring {
            return;
        }
        digests.checked += now.stats.digests_checked - then.stats.digests_checked;
        digests.rows += now.stats.digest_rows - then.stats.digest_rows;
        if now.stats.pongs > then.stats.pongs
            && let Some(clock) = connection.client().clock()
        {
            self.outcome.rtt_micros.saturating_record(clock.newest_rtt().0.max(1));
        }
        let measured: &mut Measured = &mut self.outcome.measured;
        measured.snapshots += snapshots;
        let rows_in_view = connection.client().view(connection.now()).all().count() as u64;
        measured.raw_bytes += snapshots * rows_in_view * self.raw_row_bytes;
        measured.down_bytes += down;
        measured.up_bytes += up;
        measured.corrections += now.stats.corrections - then.stats.corrections;
        measured.corrections_substituted +=
            now.stats.corrections_substituted - then.stats.corrections_substituted;
    }
}

impl Counted {
    fn of(connection: &Connection) -> Self {
        let socket = connection.socket_stats();
        let stats = connection.client().stats(connection.now());
        Self { stats, down_bytes: socket.down_bytes, up_bytes: socket.up_bytes }
    }
}
