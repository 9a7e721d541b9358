//! The server's time, learned from pings, and which tick it is then.
//!
//! ```text
//!  client's now --course--> server's time --line--> tick and fraction       both ways, exact to the microsecond
//! ```
//!
//! What pings say is weighed in `estimate`. The course follows it gently: it runs a little faster or slower until it is
//! right, so that server time neither jumps nor goes back. Only if it is wrong by more than [`STEP_MIN`], or a clock has
//! jumped, it is set at once.

use tickwire_protocol::ping::Pong;
use tickwire_protocol::{Micros, Tick, TickRate, TickTime};

use super::estimate::{Estimate, Fit, Measurement};

/// How wrong server time must be to be set at once, microseconds. Less is made good by running faster or slower.
const STEP_MIN: u64 = 100_000;

/// In which time an error is to be made good, seconds.
const CORRECTION_SECONDS: f64 = 1.0;

/// How much faster or slower server time runs at least until it is right: small errors are made good soon.
const SLEW_MIN: f64 = 0.005;

/// And at most: a view that also gains or loses delay stays within a twentieth of true time.
const SLEW_MAX: f64 = 0.02;

/// How much shorter than half the shortest round trip a state's way may seem to be, microseconds, and by an eighth of that round
/// trip. What came quicker came from a tick that the clock does not know to be over: the clock is wrong.
const EARLY_MAX: i64 = 30_000;

/// Any time and offset is clamped to this, microseconds either way, 1,100 years: sums of three do not overflow.
const TIME_MAX: i64 = 1 << 55;

/// The estimate of the server's time.
#[derive(Clone, Debug)]
pub struct Clock {
    line: TickLine,
    /// When the server told the line.
    line_told: Micros,
    estimate: Estimate,
    course: Course,
    round_trips: RoundTrips,
    jumps: u64,
}

impl Clock {
    /// From the welcome alone: it was written when `tick` was the newest tick due, somewhen between `asked` and `now`.
    pub(crate) fn new(rate: TickRate, tick: Tick, tick_time: Micros, asked: Micros, now: Micros) -> Self {
        let interval = rate.due(1).0;
        let round_trip = now.saturating_since(asked);
        let told = Micros(tick_time.0.saturating_add(interval / 2));
        let offset = signed(told) - signed(midpoint(asked, now));
        let mut estimate = Estimate::default();
        estimate.add(Measurement { offset, round_trip: round_trip.0.saturating_add(interval), at: now });
        Self {
            line: TickLine { tick, time: signed(tick_time), hz: i64::from(rate.hz()) },
            line_told: Micros::ZERO,
            estimate,
            course: Course::set(now, offset),
            round_trips: RoundTrips::guess(round_trip),
            jumps: 0,
        }
    }

    /// Takes in the answer to a ping of ours; whether it shows that a clock has jumped.
    pub(crate) fn handle_pong(&mut self, now: Micros, pong: &Pong) -> bool {
        let waited = pong.server_sent.saturating_since(pong.server_received);
        let round_trip = now.saturating_since(pong.client_time).saturating_since(waited);
        let was_guess = self.round_trips.is_guess;
        if was_guess {
            self.estimate = Estimate::default();
        }
        self.round_trips.add(round_trip);
        let has_jumped = self.measure(Measurement {
            offset: signed(midpoint(pong.server_received, pong.server_sent))
                - signed(midpoint(pong.client_time, now)),
            round_trip: round_trip.0,
            at: now,
        });
        // Before the first pong there was only a guess: nothing to be gentle with.
        self.follow(now, was_guess || has_jumped);
        if pong.server_sent >= self.line_told {
            self.line_told = pong.server_sent;
            self.line = TickLine { tick: pong.tick, time: signed(pong.tick_time), ..self.line };
        }
        has_jumped
    }

    /// Takes in that the state of `tick` has arrived; whether that shows that a clock has jumped: a tick that is hardly over
    /// cannot be here.
    pub(crate) fn handle_tick(&mut self, now: Micros, tick: Tick) -> bool {
        let due = self.line.time_of(tick);
        let way = (self.rtt_min().0 / 2).min(TIME_MAX as u64) as i64;
        if self.round_trips.is_guess || due + way - self.at(now) <= EARLY_MAX + way / 4 {
            return false;
        }
        self.estimate = Estimate::default();
        self.jumps += 1;
        // Until the next ping is answered: as if it had come the shortest way.
        let round_trip = self.round_trips.smoothed.0.saturating_mul(2);
        self.estimate.add(Measurement { offset: due + way - signed(now), round_trip, at: now });
        self.follow(now, true);
        true
    }

    fn measure(&mut self, new: Measurement) -> bool {
        let has_jumped = !self.estimate.add(new);
        self.jumps += u64::from(has_jumped);
        has_jumped
    }

    fn follow(&mut self, now: Micros, at_once: bool) {
        let Some(Fit { offset, drift }) = self.estimate.fit(self.round_trips.deviation) else { return };
        let offset = offset.clamp(-TIME_MAX, TIME_MAX);
        let error = signed(now) + offset - self.at(now);
        self.course = if at_once || error.unsigned_abs() > STEP_MIN {
            Course { drift, ..Course::set(now, offset) }
        } else {
            let slew = (error.unsigned_abs() as f64 / 1e6 / CORRECTION_SECONDS).clamp(SLEW_MIN, SLEW_MAX);
            Course { from: signed(now), server: self.at(now), drift, error, slew }
        };
    }

    /// The server's time at the client's `now`. Does not go back while `now` does not, except after a jump.
    pub fn server_time(&self, now: Micros) -> Micros {
        Micros(self.at(now).max(0) as u64)
    }

    /// The tick that is due at the client's `now`, and how far time has gone towards the next one.
    pub fn tick_time(&self, now: Micros) -> TickTime {
        self.line.position(self.at(now))
    }

    /// The tick that is due at a server time, and how far time has gone towards the next one.
    pub fn tick_at(&self, server_time: Micros) -> TickTime {
        self.line.position(signed(server_time))
    }

    /// When a tick is due, on the server's clock.
    pub fn time_of(&self, tick: Tick) -> Micros {
        Micros(self.line.time_of(tick).max(0) as u64)
    }

    /// The time that a message takes there and back, smoothed.
    pub fn rtt(&self) -> Micros {
        self.round_trips.smoothed
    }

    /// The same, as the newest pong measured it.
    pub fn newest_rtt(&self) -> Micros {
        self.round_trips.newest
    }

    /// How much that varies: its mean deviation.
    pub fn jitter(&self) -> Micros {
        self.round_trips.deviation
    }

    /// By how much the server's clock gains on the client's, parts per million; from -500 to 500.
    pub fn drift_ppm(&self) -> f64 {
        self.course.drift * 1e6
    }

    /// The shortest round trip of the last half minute; nothing before the first one was measured. How long the answer to
    /// the hello took does not count: a busy server may have let it wait.
    pub(crate) fn rtt_min(&self) -> Micros {
        let best = self.estimate.best().filter(|_| !self.round_trips.is_guess);
        Micros(best.map_or(0, |best| best.round_trip))
    }

    /// Times that a clock has jumped.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps
    }

    /// How much faster than true time the server's time runs at `now` to make an error good, seconds a second; below 0 slower.
    pub(crate) fn slew(&self, now: Micros) -> f64 {
        self.course.slew_at(signed(now))
    }

    /// When a tick is due, microseconds of the server's time; before its beginning it is below 0.
    pub(crate) fn due(&self, tick: Tick) -> i64 {
        self.line.time_of(tick)
    }

    /// The server's time at `now`, microseconds; before its beginning it is below 0.
    pub(crate) fn at(&self, now: Micros) -> i64 {
        self.course.at(signed(now))
    }

    /// The tick of a server time that may be before its beginning.
    pub(crate) fn position(&self, server_time: i64) -> TickTime {
        self.line.position(server_time)
    }

    /// The first moment on the client's clock at which `lead` past the server's time of then is `due` or later. `lead` is asked for
    /// moments on the client's clock; it must lose less in a time than passes.
    pub(crate) fn when(&self, due: i64, lead: impl Fn(Micros) -> i64) -> Micros {
        let is_reached = |now: i64| self.course.at(now) + lead(Micros(now.max(0) as u64)) >= due;
        // Leads are seconds at most; beyond that the course is even.
        let guess = due.saturating_sub(self.course.server - self.course.from).clamp(0, TIME_MAX);
        let (mut before, mut after, mut span) = (guess, guess, 1);
        while after < TIME_MAX && !is_reached(after) {
            before = after;
            after = (after + span).min(TIME_MAX);
            span *= 2;
        }
        span = 1;
        while before > 0 && is_reached(before) {
            after = before;
            before = (before - span).max(0);
            span *= 2;
        }
        if is_reached(before) {
            return Micros(before as u64);
        }
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if is_reached(middle) { after = middle } else { before = middle }
        }
        Micros(after as u64)
    }
}

/// How server time goes on from the last measurement.
#[derive(Clone, Copy, Debug)]
struct Course {
    /// The client's time of the last measurement, microseconds.
    from: i64,
    /// The server's time then.
    server: i64,
    /// Seconds a second.
    drift: f64,
    /// What is to be made good, microseconds.
    error: i64,
    /// How fast, seconds a second; at most [`SLEW_MAX`].
    slew: f64,
}

impl Course {
    fn set(now: Micros, offset: i64) -> Self {
        Self { from: signed(now), server: signed(now) + offset, drift: 0.0, error: 0, slew: 0.0 }
    }

    fn at(&self, now: i64) -> i64 {
        let passed = now - self.from;
        if passed <= 0 {
            return self.server + passed;
        }
        let made_good = ((passed as f64 * self.slew) as i64).min(self.error.abs());
        self.server + passed + (passed as f64 * self.drift) as i64 + made_good * self.error.signum()
    }

    fn slew_at(&self, now: i64) -> f64 {
        let is_right = (now - self.from).max(0) as f64 * self.slew >= self.error.abs() as f64;
        if is_right { 0.0 } else { self.slew * self.error.signum() as f64 }
    }
}

/// Which time is which tick's.
#[derive(Clone, Copy, Debug)]
struct TickLine {
    tick: Tick,
    /// When it is due.
    time: i64,
    hz: i64,
}

impl TickLine {
    fn position(&self, time: i64) -> TickTime {
        // 2^50 us are 35 years; times 240 they fit.
        let parts = (time - self.time).clamp(-(1 << 50), 1 << 50) * self.hz;
        let fraction = parts.rem_euclid(SECOND) as f32 / SECOND as f32;
        TickTime { tick: self.tick + parts.div_euclid(SECOND) as u32, fraction }
    }

    /// The first microsecond of a tick.
    fn time_of(&self, tick: Tick) -> i64 {
        let parts = i64::from(tick.since(self.tick)) * SECOND;
        self.time - (-parts).div_euclid(self.hz)
    }
}

/// Statistics of the link.
#[derive(Clone, Copy, Debug)]
struct RoundTrips {
    smoothed: Micros,
    deviation: Micros,
    newest: Micros,
    is_guess: bool,
}

impl RoundTrips {
    fn guess(round_trip: Micros) -> Self {
        Self { smoothed: round_trip, deviation: Micros::ZERO, newest: round_trip, is_guess: true }
    }

    /// Gains of RFC 6298; the first measurement counts alone.
    fn add(&mut self, round_trip: Micros) {
        self.newest = round_trip;
        if self.is_guess {
            *self = Self { is_guess: false, ..Self::guess(round_trip) };
            return;
        }
        let mix = |old: Micros, new: u64, part: u64| Micros(old.0 - old.0 / part + new / part);
        self.deviation = mix(self.deviation, self.smoothed.0.abs_diff(round_trip.0), 4);
        self.smoothed = mix(self.smoothed, round_trip.0, 8);
    }
}

fn signed(time: Micros) -> i64 {
    time.0.min(TIME_MAX as u64) as i64
}

fn midpoint(a: Micros, b: Micros) -> Micros {
    Micros(a.0.midpoint(b.0))
}

/// Microseconds.
const SECOND: i64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000;

    /// A server whose clock is `offset` ahead of the client's; ticks of 20 ms, tick 0 at its time 0.
    struct Server {
        offset: u64,
    }

    impl Server {
        fn pong(&self, sent: u64, up: u64, wait: u64) -> Pong {
            let server_received = Micros(sent + up + self.offset);
            let server_sent = Micros(server_received.0 + wait);
            let tick = (server_sent.0 / 20_000) as u32;
            let tick_time = Micros(u64::from(tick) * 20_000);
            Pong { client_time: Micros(sent), server_received, server_sent, tick: Tick(tick), tick_time }
        }

        /// The exchange that began at `sent`, taken in when it ends.
        fn exchange(&self, clock: &mut Clock, sent: u64, up: u64, wait: u64, down: u64) -> Micros {
            let now = Micros(sent + up + wait + down);
            clock.handle_pong(now, &self.pong(sent, up, wait));
            now
        }
    }

    fn error(clock: &Clock, server: &Server, now: Micros) -> i64 {
        clock.server_time(now).0 as i64 - (now.0 + server.offset) as i64
    }

    /// A client at its time 0, welcomed after 30 ms.
    fn welcomed(server: &Server) -> Clock {
        let tick = ((server.offset + 15 * MS) / 20_000) as u32;
        let rate = TickRate::new(50).unwrap();
        Clock::new(rate, Tick(tick), Micros(u64::from(tick) * 20_000), Micros(0), Micros(30 * MS))
    }

    #[test]
    fn the_welcome_alone_is_right_to_half_the_handshake_and_half_a_tick() {
        for offset in (0..200).map(|step| 5_000_000 + step * MS) {
            let server = Server { offset };
            let clock = welcomed(&server);
            assert!(error(&clock, &server, Micros(30 * MS)).abs() <= 25_000);
        }
    }

    #[test]
    fn the_servers_waits_do_not_count_and_uneven_round_trips_hardly_do() {
        let server = Server { offset: 7_000_000 };
        let mut clock = welcomed(&server);
        let now = server.exchange(&mut clock, 100 * MS, 5 * MS, 40 * MS, 5 * MS);
        assert_eq!((clock.rtt(), error(&clock, &server, now)), (Micros(10 * MS), 0));
        // 100 ms on the way there alone: worth 50 ms of error if it were believed.
        let now = server.exchange(&mut clock, 1_000 * MS, 105 * MS, 0, 5 * MS);
        assert_eq!(clock.newest_rtt(), Micros(110 * MS));
        assert!(error(&clock, &server, now + Micros(SECOND as u64)).abs() < 15_000, "one of two");
        assert!(clock.rtt() > Micros(20 * MS) && clock.jitter() > Micros(20 * MS));
        assert_eq!((clock.rtt_min(), clock.jumps()), (Micros(10 * MS), 0));
    }

    #[test]
    fn a_route_that_became_longer_is_believed_when_the_shorter_one_is_forgotten() {
        let server = Server { offset: 7_000_000 };
        let mut clock = welcomed(&server);
        server.exchange(&mut clock, 100 * MS, 5 * MS, 0, 5 * MS);
        for second in 1..=32 {
            server.exchange(&mut clock, second * 1_000 * MS, 30 * MS, 0, 30 * MS);
        }
        assert_eq!(clock.rtt_min(), Micros(60 * MS));
    }

    #[test]
    fn a_clock_that_jumped_is_noticed_with_the_next_pong() {
        let mut server = Server { offset: 50_000_000 };
        let mut clock = welcomed(&server);
        server.exchange(&mut clock, 100 * MS, 5 * MS, 0, 5 * MS);
        for offset in [60_000_000, 40_000_000] {
            server.offset = offset;
            let now = server.exchange(&mut clock, 2_000 * MS, 20 * MS, 0, 30 * MS);
            assert_eq!(error(&clock, &server, now), -5_000, "half the difference of the ways");
        }
        assert_eq!(clock.jumps(), 2);
    }

    #[test]
    fn errors_are_made_good_by_running_faster_or_slower_and_not_by_a_jump() {
        let server = Server { offset: 50_000_000 };
        let mut clock = welcomed(&server);
        // Late on the way there: the estimate is 30 ms ahead. Then good ones.
        server.exchange(&mut clock, 50 * MS, 60 * MS, 0, 0);
        let (mut before, mut begin) = (0, 200 * MS);
        for _ in 0..20 {
            let now = server.exchange(&mut clock, begin, 2 * MS, 0, 2 * MS);
            for step in 0..=100 {
                let time = clock.at(now + Micros(step * MS));
                let advance = if before == 0 { 1_000 } else { time - before };
                assert!((979..=1_021).contains(&advance) || step == 0, "{advance}");
                assert!(advance >= 0);
                before = time;
            }
            begin = now.0 + 100 * MS;
        }
        let left = error(&clock, &server, Micros(begin));
        assert!(left.abs() < 5_000, "{left}: gently, and less each time");
        assert_eq!(clock.jumps(), 0);
    }

    #[test]
    fn a_state_from_the_future_shows_that_the_machine_slept() {
        let server = Server { offset: 50_000_000 };
        let mut clock = welcomed(&server);
        server.exchange(&mut clock, 100 * MS, 10 * MS, 0, 10 * MS);
        let now = Micros(200 * MS);
        let due_at = |ahead: u64| Tick(((now.0 + server.offset + ahead) / 20_000) as u32);
        assert!(!clock.handle_tick(now, due_at(0)));
        assert!(!clock.handle_tick(now, due_at(10 * MS)), "the estimate may be a little wrong");
        assert!(clock.handle_tick(now, due_at(800 * MS)));
        assert!((error(&clock, &server, now) - 800_000).abs() <= 20_000);
        assert_eq!(clock.jumps(), 1);
    }

    #[test]
    fn a_room_that_dropped_ticks_is_followed() {
        let server = Server { offset: 0 };
        let mut clock = welcomed(&server);
        let now = server.exchange(&mut clock, 100 * MS, 0, 0, 0);
        assert_eq!(clock.tick_time(now), TickTime { tick: Tick(5), fraction: 0.0 });
        let mut pong = server.pong(1_000 * MS, 0, 0);
        pong.tick = Tick(45);
        clock.handle_pong(Micros(1_000 * MS), &pong);
        assert_eq!(clock.tick_time(Micros(1_010 * MS)), TickTime { tick: Tick(45), fraction: 0.5 });
        clock.handle_pong(Micros(1_020 * MS), &server.pong(500 * MS, 0, 0));
        assert_eq!(
            clock.tick_time(Micros(1_020 * MS)).tick,
            Tick(46),
            "an older pong does not bring it back"
        );
    }

    #[test]
    fn hostile_times_do_no_harm() {
        let server = Server { offset: 1_000_000 };
        let extremes = [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX];
        for a in extremes {
            for b in extremes {
                let mut clock = welcomed(&server);
                let pong = Pong {
                    client_time: Micros(a.min(40 * MS)),
                    server_received: Micros(a.min(b)),
                    server_sent: Micros(a.max(b)),
                    tick: Tick(a as u32),
                    tick_time: Micros(b),
                };
                clock.handle_pong(Micros(50 * MS), &pong);
                clock.handle_pong(Micros(60 * MS), &server.pong(55 * MS, 0, 0));
                clock.handle_tick(Micros(b), Tick(a as u32));
                let _ = (clock.tick_at(Micros(b)), clock.when(clock.due(Tick(b as u32)), |_| 1 << 40));
                let _ = (clock.tick_time(Micros(a)), clock.time_of(Tick(7)), clock.drift_ppm());
            }
        }
    }

    proptest! {
        #[test]
        fn a_tick_is_there_exactly_from_its_time_on(
            hz in 1_u32..=240, tick: u32, steps in -100_000_i32..100_000, time in 0_u64..1 << 50, shift in -500_000_i64..500_000
        ) {
            let rate = TickRate::new(hz).unwrap();
            let clock = Clock::new(rate, Tick(tick), Micros(time), Micros(1 << 50), Micros((1 << 50) + 7));
            let wanted = Tick(tick.wrapping_add(steps as u32));
            let due = clock.due(wanted);
            let when = clock.when(due, |_| shift);
            prop_assume!(when > Micros(1));
            let reached = clock.position(clock.at(when) + shift);
            prop_assert_eq!(reached.tick, wanted);
            prop_assert!(reached.fraction < 0.001);
            prop_assert_eq!(clock.position(clock.at(Micros(when.0 - 1)) + shift).tick, wanted - 1);
        }
    }
}
