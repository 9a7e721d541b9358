//! One client of a run: its machine, its game loop at 120 pictures a second, its bot, and what is noted.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use glam::Vec3;
use tickwire_client::{Client, ClientConfig};
use tickwire_netsim::Direction;
use tickwire_protocol::{Micros, RowMut, RowRef, StreamKind, Tick};
use tickwire_sim::Random;
use tickwire_sim::arena::{self, Arena, EYE_HEIGHT, Level, PLAYER, Ray, input, player};
use tickwire_sim::bots::{BotBody, BotView, Brain};

use crate::config::{FIXED_DELAY_MS_MAX, FRAME_HZ, LabConfig, Policy, SNAPSHOT_HZ, TICK_HZ};
use crate::figures::Figures;
use crate::liar::Liar;
use crate::link::Link;
use crate::local_clock::LocalClock;
use crate::mirror::Mirror;
use crate::motion::{Motion, Picture};
use crate::own::Own;
use crate::shots::{Shots, Sight};
use crate::truth::Truth;

/// After a join and after a clock's jump nothing is sampled for so long, microseconds.
const SETTLING: u64 = 2_000_000;
/// Clients begin within this, microseconds.
const BEGIN_WITHIN: u32 = 500_000;
/// How wrong a clock that counts as recovered may be, milliseconds.
const RECOVERED_MS: f64 = 20.0;

/// A client and its machine.
pub(crate) struct Player {
    pub(crate) client: Client,
    pub(crate) link: Link,
    pub(crate) clock: LocalClock,
    brain: Brain,
    level: Arc<Level>,
    pub(crate) shots: Shots,
    pub(crate) liar: Option<Liar>,
    mirror: Option<Mirror>,
    motion: Motion,
    own: Own,
    /// When it says hello, true microseconds.
    pub(crate) begin: u64,
    frames: u64,
    /// When the first picture was drawn.
    joined: Option<u64>,
    has_company: bool,
    /// When the estimate was last wrong after the jump.
    last_wrong: Option<u64>,
    newest: Option<Tick>,
    /// When it arrived, true microseconds.
    newest_arrival: u64,
    /// When the client wants to be polled, true microseconds.
    pub(crate) wake: u64,
    /// When the inputs that have not arrived yet were given, true microseconds; oldest first.
    given: VecDeque<(Tick, u64)>,
    stream: StreamKind,
    /// The server has let it go.
    pub(crate) is_dropped: bool,
    message: Vec<u8>,
    pub(crate) figures: Figures,
}

impl Player {
    pub(crate) fn new(config: &LabConfig, level: &Arc<Level>, seed: u64, number: u32, opens: u64) -> Self {
        let mut random = Random::from_seed(seed.wrapping_mul(0x9e37_79b9) ^ (u64::from(number) << 40));
        let begin = opens + u64::from(random.below(BEGIN_WITHIN));
        let clock = LocalClock::new(&mut random, config.seconds);
        let interpolation_delay = match config.policy {
            Policy::Adaptive | Policy::Hindsight => None,
            Policy::Fixed(delay) => Some(delay),
            // Its moments are chosen here; states are kept for all that it may choose.
            Policy::Mirror => Some(Micros::from_millis(FIXED_DELAY_MS_MAX)),
        };
        let client_config = ClientConfig {
            stream: config.stream,
            interpolation_delay,
            ..ClientConfig::new(concat!("lab ", env!("CARGO_PKG_VERSION")))
        };
        let now = Micros(clock.local(begin));
        let mut client = Client::new(client_config, arena::schema().clone(), now);
        client.predict(Box::new(Arena::new(level.clone())));
        Self {
            client,
            link: Link::new(config.stream, config.profile, seed, u64::from(number)),
            brain: Brain::new(random.next_u64()),
            level: level.clone(),
            shots: Shots::default(),
            liar: None,
            mirror: (config.policy == Policy::Mirror).then(|| Mirror::new(SNAPSHOT_HZ)),
            clock,
            motion: Motion::default(),
            own: Own::default(),
            begin,
            frames: 0,
            joined: None,
            has_company: false,
            last_wrong: None,
            newest: None,
            newest_arrival: 0,
            wake: begin,
            given: VecDeque::new(),
            stream: config.stream,
            is_dropped: false,
            message: Vec::new(),
            figures: Figures::default(),
        }
    }

    fn local(&self, now: u64) -> Micros {
        Micros(self.clock.local(now))
    }

    /// When the next picture is drawn, true microseconds.
    fn next_frame(&self) -> u64 {
        self.begin + self.frames * 1_000_000 / u64::from(FRAME_HZ)
    }

    /// When something happens at the client next, true microseconds.
    pub(crate) fn next_event(&self, now: u64) -> u64 {
        let arrival = self.link.next_event(now, Direction::Down);
        let next = self.next_frame().min(self.wake).min(arrival.unwrap_or(u64::MAX));
        if self.clock.is_asleep(next.max(now)) { self.clock.jump_over() } else { next }
    }

    /// Does all that is due at `now`: messages, timeouts, a picture.
    pub(crate) fn run(&mut self, now: u64, truth: &Truth) {
        if now < self.begin || self.clock.is_asleep(now) {
            return;
        }
        self.link.flush(now, Direction::Up);
        while let Some((_, message)) = self.link.receive(now, Direction::Down) {
            self.handle_message(now, message, truth);
        }
        if now >= self.next_frame() {
            // Pictures that were slept through are not drawn.
            while self.next_frame() <= now {
                self.frames += 1;
            }
            self.draw(now, truth);
        }
        self.transmit(now);
    }

    fn handle_message(&mut self, now: u64, message: Bytes, truth: &Truth) {
        let local = self.local(now);
        // A fault ends the connection, which is counted with the others that ended.
        let _ = self.client.handle_message(local, message);
        let is_sampled = self.is_sampled(now);
        self.own.note_corrections(&self.client, local, truth, is_sampled, &mut self.figures);
        let newest = self.client.stats(local).newest_tick;
        if let Some(tick) = newest.filter(|_| newest != self.newest) {
            self.newest = newest;
            self.newest_arrival = now;
            if let Some(mirror) = &mut self.mirror {
                mirror.handle_snapshot(local, Micros(truth.time_of(tick)));
            }
        }
    }

    fn transmit(&mut self, now: u64) {
        let local = self.local(now);
        while self.link.is_free(Direction::Up) && self.client.poll_transmit(local, &mut self.message) {
            if let Some(liar) = &mut self.liar {
                liar.tamper(&mut self.message);
            }
            self.link.send(now, Direction::Up, &self.message);
            self.message.clear();
        }
        let timeout = self.client.poll_timeout().map_or(u64::MAX, |timeout| self.clock.when(timeout.0, now));
        // What is due and was not sent waits for the link.
        self.wake = timeout.max(now + 1);
    }

    /// One turn of the game's loop.
    fn draw(&mut self, now: u64, truth: &Truth) {
        let local = self.local(now);
        let shown = self.mirror.as_mut().and_then(|mirror| mirror.advance(local));
        self.give_inputs(now, local, shown, truth);
        while self.client.poll_event(local).is_some() {}
        let is_sampled = self.is_sampled(now);
        self.own.look(now, local, &self.client, is_sampled, &mut self.figures);
        let Some(newest) = self.newest else { return };
        self.joined.get_or_insert(now);
        let view = shown.map_or_else(|| self.client.view(local), |shown| self.client.view_at(shown));
        let server_time = view.server_time().0;
        let newest_time = truth.time_of(newest);
        let picture = Picture {
            now,
            view,
            server_time,
            newest_time,
            is_starved: server_time > newest_time,
            is_sampled: self.is_sampled(now),
        };
        let is_sampled = picture.is_sampled;
        let figures = &mut self.figures;
        let last = self.motion.last();
        if is_sampled {
            figures.frames += 1;
            figures.starved_frames += u64::from(picture.is_starved);
            figures.view_delay_ms.add((now as f64 - server_time as f64) / 1e3);
            figures.snapshot_age_ms.add((now - newest_time) as f64 / 1e3);
            if let Some((last_now, last_time)) = last {
                let rate = (server_time as f64 - last_time as f64) / (now - last_now) as f64;
                figures.view_rate.add(rate);
                figures.view_rate_outside += u64::from(!(0.95..=1.05).contains(&rate));
            }
        }
        let is_anyone = self.motion.look(&picture, truth, TICK_HZ / SNAPSHOT_HZ, figures);
        if is_anyone && !core::mem::replace(&mut self.has_company, true) {
            figures.join_ms.add((now - self.begin) as f64 / 1e3);
        }
        self.look_at_the_clock(now, local, newest_time, is_sampled);
    }

    fn look_at_the_clock(&mut self, now: u64, local: Micros, newest_time: u64, is_sampled: bool) {
        let Some(clock) = self.client.clock() else { return };
        let estimate = clock.server_time(local).0 as i64;
        let error_ms = (estimate - now as i64).abs() as f64 / 1e3;
        if is_sampled {
            self.figures.clock_error_ms.add(error_ms);
            self.figures.note_newest(now, estimate, newest_time, self.newest_arrival);
        }
        let over = self.clock.jump_over();
        if error_ms > RECOVERED_MS && (over..over + SETTLING).contains(&now) {
            self.last_wrong = Some(now);
        }
    }

    /// The player decides, with the picture before its eyes.
    fn give_inputs(&mut self, now: u64, local: Micros, shown: Option<Micros>, truth: &Truth) {
        let dt = 1.0 / TICK_HZ as f32;
        let is_sampled = self.is_sampled(now);
        while let Some(tick) = self.client.due_input_tick(local) {
            let mut others = Vec::new();
            if self.brain.decides_within(dt) {
                // What is newest, not what is shown: so that bots go the same ways whatever the policy is.
                let newest = self.newest.map_or(0, |newest| truth.time_of(newest));
                let view = self.client.view_at(Micros(newest));
                let strangers = view.entities(PLAYER).filter(|entity| !entity.is_own());
                others.extend(strangers.map(|entity| BotBody::read(entity.latest())));
            }
            let own = self.client.predicted(local).entities(PLAYER).next().map(|own| own.latest());
            let mut own = own.or_else(|| self.client.own_row(PLAYER)).map(BotBody::read);
            let view = shown.map_or_else(|| self.client.view(local), |shown| self.client.view_at(shown));
            let mut targets = Vec::new();
            if self.brain.aims_within(dt) && !self.level.is_peaceful() {
                // Where its eye will be at the end of this tick, if it goes on as it does.
                own = own.map(|own| BotBody { position: own.position + own.velocity * dt, ..own });
                let strangers = view.entities(PLAYER).filter(|entity| !entity.is_own());
                targets.extend(strangers.map(|entity| BotBody {
                    position: entity.vec3(player::POSITION),
                    velocity: entity.vec3(player::VELOCITY),
                }));
            }
            let seen = BotView { own, others: &others, targets: &targets, level: Some(&self.level) };
            let kind = arena::schema().input();
            let mut values = vec![0; kind.column_count()];
            self.brain.think(dt, &seen, &mut RowMut::new(kind, &mut values));
            self.client.push_input(local, tick, |row| {
                row.copy_from(&values);
            });
            self.note_shot(tick, RowRef::new(kind, &values), local, shown, is_sampled);
            self.given.push_back((tick, now));
            self.own.note_input(now, local, tick, &self.client, is_sampled, &mut self.figures);
        }
    }

    /// Notes what an input that was just given does, if it shoots.
    fn note_shot(
        &mut self,
        tick: Tick,
        row: RowRef<'_>,
        local: Micros,
        shown: Option<Micros>,
        is_sampled: bool,
    ) {
        if !row.boolean(input::FIRE) {
            return;
        }
        let is_predicted = self.client.predicted_tick() == Some(tick);
        let own = self.client.predicted(local).entities(PLAYER).next().filter(|_| is_predicted);
        let Some(own) = own else {
            self.figures.shots_unpredicted += u64::from(is_sampled);
            return;
        };
        let eye = own.latest().vec3(player::POSITION) + Vec3::Y * EYE_HEIGHT;
        let ray = Ray::of_look(eye, row.angle(input::YAW), row.scalar(input::PITCH));
        let view = shown.map_or_else(|| self.client.view(local), |shown| self.client.view_at(shown));
        let sight = Sight { view, newest: self.newest, level: &self.level };
        self.shots.note(tick, &ray, &sight, is_sampled);
        if let Some(liar) = &mut self.liar {
            liar.handle_shot(tick, ray, &self.client, view.server_time(), &self.level);
        }
    }

    /// The room has stepped.
    pub(crate) fn settle(&mut self, now: u64, newest: Tick, truth: &Truth) {
        let is_sampled = self.is_sampled(now);
        self.own.settle(newest, truth, is_sampled, &mut self.figures);
        if !is_sampled {
            self.own.forget();
        }
    }

    /// What carries the frames.
    pub(crate) fn stream(&self) -> StreamKind {
        self.stream
    }

    /// The first copy of an input has arrived at the server.
    pub(crate) fn note_arrival(&mut self, tick: Tick, now: u64) {
        // Those before it that have not arrived were given up.
        while let Some((given_tick, given)) = self.given.pop_front() {
            if given_tick == tick {
                if self.is_sampled(now) {
                    self.figures.input_transit.add((now - given) as i64);
                }
                return;
            }
            if given_tick.is_newer_than(tick) {
                self.given.push_front((given_tick, given));
                return;
            }
        }
    }

    /// Whether what happens at `now` counts.
    pub(crate) fn is_sampled(&self, now: u64) -> bool {
        let jumped = self.clock.jump_at..self.clock.jump_over() + SETTLING;
        let is_settled = self.joined.is_some_and(|joined| now >= joined + SETTLING) && !jumped.contains(&now);
        is_settled && !self.client.is_closed() && !self.is_dropped
    }

    /// Adds up what is known at the end of the run.
    pub(crate) fn finish(&mut self, end: u64) {
        let figures = &mut self.figures;
        figures.down_bytes = self.link.down_bytes;
        figures.up_bytes = self.link.up_bytes;
        figures.connected_seconds = end.saturating_sub(self.begin) as f64 / 1e6;
        figures.disconnects += u64::from(self.client.is_closed() || self.is_dropped);
        let over = self.clock.jump_over();
        if self.joined.is_some_and(|joined| joined < self.clock.jump_at) && over + SETTLING <= end {
            figures.clock_recovery_ms.add(self.last_wrong.map_or(0, |wrong| wrong - over) as f64 / 1e3);
        }
    }
}
