//! A full bot: a client with a brain that plays the arena, decodes all that it is sent, checks it, and draws.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use glam::Vec3Swizzles as _;
use tickwire_client::net::{self, ConnectError, Wake};
use tickwire_client::{ClientConfig, ClientFault, ClientStats, DisconnectReason, Event};
use tickwire_protocol::{Micros, RowMut, Tick, TickRate};
use tickwire_sim::arena::{self, Arena, LEVEL_EXTENSION, PLAYER};
use tickwire_sim::bots::{BotBody, BotView, Brain};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::chatter::{BEAT, Chatter};
use super::churn::Shears;
use super::course::{Course, Turn};
use super::hive::{Hive, RECONNECT_PAUSE};
use super::link::{Conditioned, Link};
use super::load::{Load, Plan};
use super::outcome::{Arrivals, BotOutcome, Figures, Phase};
use super::pilot::Gather;
use super::sessions::Account;

/// Bots that predict their own player: a room's worth tells how good that is, and the load generator's time is short.
const PREDICTING_BOTS: usize = 64;

/// What a bot's row would take as plain 32-bit floats and integers, with its id.
const RAW_ID_BYTES: u64 = 4;

type Connection = net::Connection<Link>;

/// What moves a bot's hands.
enum Mind {
    Still,
    Brawls(Box<Brain>),
    Gathers(Gather),
}

struct Bot {
    plan: Plan,
    hive: Arc<Hive>,
    mind: Mind,
    outcome: BotOutcome,
    figures: Box<Figures>,
    arrivals: Arrivals,
    /// When the last picture was drawn, and of which moment of the server's.
    last_picture: Option<(Micros, Micros)>,
    /// What had been counted when measuring began, and what has been since the last look.
    counted: Counted,
    raw_row_bytes: u64,
    shears: Option<Shears>,
    chatter: Option<Box<Chatter>>,
    course: Course,
}

/// Counters of a connection as they were at some moment.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    stats: ClientStats,
    down_bytes: u64,
    up_bytes: u64,
}

/// Plays until the swarm is over; what it saw.
pub(super) async fn run(plan: Plan, hive: Arc<Hive>) -> (BotOutcome, Option<Box<Figures>>) {
    let mut phase = hive.phase.clone();
    let start = hive.start_of(plan);
    let mut bot = Bot::new(plan, hive);
    let has_come = tokio::select! {
        () = tokio::time::sleep(start) => true,
        _ = phase.wait_for(|phase| *phase == Phase::Over) => false,
    };
    if has_come {
        bot.play(&mut phase).await;
    }
    (bot.outcome, Some(bot.figures))
}

impl Bot {
    fn new(plan: Plan, hive: Arc<Hive>) -> Self {
        let seed = hive.seed_of(plan);
        let columns = arena::schema().kind(PLAYER).column_count() as u64;
        let mind = match hive.config.load {
            Load::Idle => Mind::Still,
            Load::Crowd => Mind::Gathers(hive.gather(plan)),
            Load::Brawl | Load::JoinStorm | Load::SlowReaders => Mind::Brawls(Box::new(Brain::new(seed))),
        };
        let shears = hive.shears(plan);
        let mut outcome = BotOutcome::new(plan);
        // Until it says otherwise.
        outcome.account.is_stale = hive.config.checks_sessions();
        let chatter = hive.config.chatter.then(|| Box::new(Chatter::new(seed)));
        Self {
            plan,
            hive,
            mind,
            outcome,
            figures: Box::new(Figures::new()),
            arrivals: Arrivals::default(),
            last_picture: None,
            counted: Counted::default(),
            raw_row_bytes: RAW_ID_BYTES + 4 * columns,
            shears,
            chatter,
            course: Course::default(),
        }
    }

    /// Connects and plays, again and again, until the swarm is over.
    async fn play(&mut self, phase: &mut watch::Receiver<Phase>) {
        let mut known = Phase::Gathering;
        // In a box: between two connections a bot holds no room for one.
        while !Box::pin(self.live(phase, &mut known)).await {
            self.outcome.reconnects += 1;
            tokio::select! {
                () = tokio::time::sleep(RECONNECT_PAUSE) => {}
                _ = phase.wait_for(|phase| *phase == Phase::Over) => break,
            }
        }
        // Without a connection when the swarm is over: what it waits for since counts as well.
        self.pass(&mut known, Phase::Over);
    }

    /// Another phase has begun. What a bot waits for at the end of the measured time counts as far as it has come.
    fn pass(&mut self, known: &mut Phase, phase: Phase) {
        let before = std::mem::replace(known, phase);
        if phase.stage().is_none() {
            self.arrivals.end(self.hive.now(), self.hive.snapshot_interval(), before, &mut self.figures);
        }
    }

    /// Connects and plays; whether this bot is done. If not, the connection was lost.
    async fn live(&mut self, phase: &mut watch::Receiver<Phase>, known: &mut Phase) -> bool {
        let mut over = phase.clone();
        let connection = tokio::select! {
            connection = self.connect() => connection,
            // Whoever is still connecting when all is over stays out.
            _ = over.wait_for(|phase| *phase == Phase::Over) => return true,
        };
        let Some(mut connection) = connection else {
            // A bot that never came in stays out: its failure is the finding.
            return !self.outcome.is_joined();
        };
        self.pass(known, *phase.borrow_and_update());
        // The first snapshot came while connecting, perhaps with a digest: count from nothing.
        self.counted = Counted::default();
        self.last_picture = None;
        let mut beat = interval(Duration::from_micros(BEAT.0));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                wake = connection.next() => {
                    let Some(wake) = wake else {
                        self.count(&connection, *known);
                        return *self.hive.phase.borrow() == Phase::Over;
                    };
                    self.handle(wake, &mut connection, *known);
                }
                _ = beat.tick(), if self.chatter.is_some() => self.chat(&mut connection, *known),
                _ = phase.changed() => {
                    self.count(&connection, *known);
                    self.pass(known, *phase.borrow_and_update());
                    match *known {
                        Phase::Healing => self.heal(&mut connection),
                        Phase::Settling => self.settle(&connection),
                        Phase::Over => {
                            connection.close().await;
                            return true;
                        }
                        Phase::Gathering | Phase::Measuring | Phase::Disturbed => {}
                    }
                }
            }
        }
    }

    async fn connect(&mut self) -> Option<Connection> {
        let _gate = self.hive.gate(self.plan).await;
        let started = Instant::now();
        let mut connection = match self.open(self.hive.client_config(self.plan)).await {
            Ok(connection) => connection,
            Err(error) => {
                self.fail(&error);
                return None;
            }
        };
        self.predict(&mut connection);
        if let Some(welcome) = connection.client().welcome() {
            self.course.begin(welcome);
        }
        let connected = started.elapsed();
        self.outcome.connect_micros.get_or_insert(connected.as_micros() as u64);
        // In is who has state.
        while connection.client().stats(connection.now()).snapshots == 0 {
            if let Some(Wake::Event(event)) = connection.next().await {
                self.handle_event(event, &mut connection);
            }
            if connection.client().is_closed() {
                self.outcome.decode_errors += connection.client().stats(connection.now()).decode_errors;
                self.note_failure();
                return None;
            }
        }
        let is_first = !self.outcome.is_joined();
        self.outcome.join_micros.get_or_insert(started.elapsed().as_micros() as u64);
        self.hive.note_joined(connection.client().welcome(), is_first);
        Some(connection)
    }

    async fn open(&self, config: ClientConfig) -> Result<Connection, ConnectError> {
        let url = &self.hive.config.url;
        if let Some(mut shears) = self.shears.clone() {
            let (url_again, config_again) = (url.clone(), config.clone());
            let open = move || {
                let (url, config, shears) = (url_again.clone(), config_again.clone(), shears.for_next());
                async move {
                    let stream = net::dial(&url, &config).await?;
                    Ok(Link::Churned(Box::new(shears.hold(stream))))
                }
            };
            return net::connect_by(open, url, config, arena::schema().clone(), self.hive.options(self.plan))
                .await;
        }
        let stream = net::dial(url, &config).await?;
        let link = match self.hive.weather(self.plan) {
            None => Link::Plain(stream),
            Some((profile, epoch)) => {
                let (seed, number) = (self.hive.config.seed, self.plan.index as u64);
                Link::Conditioned(Box::new(Conditioned::new(stream, profile, seed, number, epoch)))
            }
        };
        net::connect_over(link, url, config, arena::schema().clone(), self.hive.options(self.plan)).await
    }

    /// Predicts the own player, if the server says on which level it plays.
    fn predict(&self, connection: &mut Connection) {
        if self.plan.index >= PREDICTING_BOTS {
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
        self.outcome.note_error(match error {
            ConnectError::Rejected(reject) => self.hive.words_of(&reject.reason),
            error => error.to_string(),
        });
        // Bytes before the welcome are decoded as well.
        let is_malformed =
            matches!(error, ConnectError::Ended(DisconnectReason::Fault(ClientFault::Malformed(_))));
        self.outcome.decode_errors += u64::from(is_malformed);
        self.note_failure();
    }

    /// Counts a bot out that was never in.
    fn note_failure(&self) {
        if !self.outcome.is_joined() {
            self.hive.note_failed(self.plan);
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
            Wake::Event(event) => self.handle_event(event, connection),
        }
    }

    fn handle_event(&mut self, event: Event, connection: &mut Connection) {
        let cuts = self.shears.as_ref().map_or(0, Shears::cuts);
        match self.course.turn(self.hive.now(), &event, cuts) {
            Turn::Lost => self.outcome.reconnects += 1,
            Turn::Resumed(after) => self.figures.resume_micros.saturating_record(after.0.max(1)),
            Turn::Expected => {}
        }
        if let Some(chatter) = &mut self.chatter {
            let now = connection.now();
            let client = connection.client_mut();
            chatter.handle_event(now, &event, client);
            let is_lost = matches!(event, Event::Reconnecting { .. });
            if is_lost && *self.hive.phase.borrow() == Phase::Measuring {
                chatter.speak_without_connection(now, client);
            }
        }
        if let Event::Disconnected(reason) = event {
            self.note_end(&reason);
        }
    }

    /// Says, asks and shows the others what is due, or looks away.
    fn chat(&mut self, connection: &mut Connection, phase: Phase) {
        let Some(chatter) = self.chatter.as_mut().filter(|_| phase == Phase::Measuring) else { return };
        let (now, client) = (connection.now(), connection.client_mut());
        let was_paused = client.is_paused();
        chatter.act(now, client);
        if client.is_paused() != was_paused {
            // Nobody waits for a snapshot meanwhile.
            self.arrivals.rest();
        }
    }

    /// All is left in peace.
    fn heal(&mut self, connection: &mut Connection) {
        let (now, client) = (connection.now(), connection.client_mut());
        if let Some(chatter) = &mut self.chatter {
            chatter.rest(now, client);
            let (paused, pauses) = chatter.paused();
            (self.outcome.paused, self.outcome.pauses) = (paused, pauses);
        }
        self.course.begin_peace(now, client);
    }

    /// What the bot knows of its session at the end.
    fn settle(&mut self, connection: &Connection) {
        let cuts = self.shears.as_ref().map_or(0, Shears::cuts);
        let account = self.course.settle(connection.now(), connection.client(), cuts);
        let chatter = self.chatter.as_ref().map(|chatter| chatter.tally(connection.client()));
        self.outcome.account = Account { chatter, ..account };
    }

    /// The bot decides once for all ticks that are due, as one picture's inputs of a game would.
    fn give_inputs(&mut self, first: Tick, connection: &mut Connection, phase: Phase) {
        let now = connection.now();
        let rate = connection.client().welcome().map(|welcome| welcome.timing.tick_rate);
        let dt = rate.map_or(0.0, TickRate::dt);
        let mut due = Some(first);
        while let Some(tick) = due {
            self.mind.give_input(tick, dt, now, connection);
            due = connection.client().due_input_tick(now);
        }
        self.draw(now, connection, phase);
    }

    /// What a picture at this moment would show.
    fn draw(&mut self, now: Micros, connection: &Connection, phase: Phase) {
        let client = connection.client();
        let view = client.view(now);
        let last = self.last_picture.replace((now, view.server_time()));
        if phase.stage().is_none() {
            return;
        }
        self.outcome.measured.frames += 1;
        self.outcome.measured.starved_frames += u64::from(view.is_starved());
        self.outcome.measured.predicted_frames += u64::from(client.predicted_tick().is_some());
        if let Some(clock) = client.clock() {
            let delay = clock.server_time(now).saturating_since(view.server_time());
            self.figures.view_delay_micros.saturating_record(delay.0.max(1));
        }
        if let Some((last_now, last_shown)) = last
            && now > last_now
        {
            let advance = view.server_time().saturating_since(last_shown).0 * 1_000_000;
            self.figures.view_rate_ppm.saturating_record((advance / now.saturating_since(last_now).0).max(1));
        }
    }

    fn note_snapshot(&mut self, connection: &Connection, phase: Phase) {
        let now = connection.now();
        let client = connection.client();
        let stats = client.stats(now);
        let rtt = client.clock().map_or(0, |clock| clock.newest_rtt().0);
        let age = client.snapshot_age(now).unwrap_or_default();
        self.hive.gauges.tell(self.plan.index, rtt, age.0);
        if self.hive.config.checks_sessions() {
            self.course.note_state(client);
        }
        let Some(arrival) = stats.newest_arrival else { return };
        // On the swarm's clock, which outlives the connection's.
        let at = Micros(self.hive.now().0.saturating_sub(now.saturating_since(arrival).0));
        self.arrivals.arrive(at, phase, &mut self.figures);
        if phase.stage().is_some() {
            self.figures.age_micros.saturating_record(age.0.max(1));
        }
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
        let Some(stage) = phase.stage() else { return };
        digests.checked += now.stats.digests_checked - then.stats.digests_checked;
        digests.rows += now.stats.digest_rows - then.stats.digest_rows;
        if now.stats.pongs > then.stats.pongs
            && let Some(clock) = connection.client().clock()
        {
            self.figures.rtt_micros.saturating_record(clock.newest_rtt().0.max(1));
        }
        self.outcome.snapshots[stage] += snapshots;
        let measured = &mut self.outcome.measured;
        let rows_in_view = connection.client().view(connection.now()).all().count() as u64;
        measured.raw_bytes += snapshots * rows_in_view * self.raw_row_bytes;
        measured.down_bytes += down;
        measured.up_bytes += up;
        measured.input_frames += now.stats.input_frames - then.stats.input_frames;
        measured.corrections += now.stats.corrections - then.stats.corrections;
        measured.corrections_substituted +=
            now.stats.corrections_substituted - then.stats.corrections_substituted;
    }
}

impl Mind {
    /// Gives the input for a tick.
    fn give_input(&mut self, tick: Tick, dt: f32, now: Micros, connection: &mut Connection) {
        let client = connection.client();
        let own = client.predicted(now).entities(PLAYER).next().map(|own| own.latest());
        let own = own.or_else(|| client.own_row(PLAYER)).map(BotBody::read);
        match self {
            Self::Still => connection.push_input(tick, |_| {}),
            Self::Gathers(gather) => connection.push_input(tick, |row| {
                if let Some(own) = own {
                    gather.steer(own.position.xz(), dt, row);
                }
            }),
            Self::Brawls(brain) => {
                let others = seen_by(brain, dt, now, connection);
                // The level is the server's: it decides what a shot at somebody hidden hits.
                let seen = BotView { own, others: &others, targets: &others, level: None };
                let think = |row: &mut RowMut<'_>| brain.think(dt, &seen, row);
                connection.client_mut().push_input(now, tick, think);
            }
        }
    }
}

/// The others as they are shown, if the brain is about to look at them.
fn seen_by(brain: &Brain, dt: f32, now: Micros, connection: &Connection) -> Vec<BotBody> {
    if !brain.decides_within(dt) && !brain.aims_within(dt) {
        return Vec::new();
    }
    let view = connection.client().view(now);
    let others = view.entities(PLAYER).filter(|entity| !entity.is_own());
    let body = |entity: tickwire_client::EntityView<'_>| BotBody {
        position: entity.vec3(arena::player::POSITION),
        velocity: entity.vec3(arena::player::VELOCITY),
    };
    others.map(body).collect()
}

impl Counted {
    fn of(connection: &Connection) -> Self {
        let socket = connection.socket_stats();
        let stats = connection.client().stats(connection.now());
        Self { stats, down_bytes: socket.down_bytes, up_bytes: socket.up_bytes }
    }
}
