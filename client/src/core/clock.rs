//! The server's time, learned from pings, and which tick it is then.
//!
//! A pong measures the offset between the two clocks, and is wrong by at most half its round trip, however unevenly
//! that went there and back. Of the last few measurements the one with the shortest round trip counts. If one
//! contradicts it by more than both can be wrong, a clock has jumped (a laptop slept): what was measured before is
//! forgotten.
//!
//! ```text
//!  client's now --offset--> server's time --line--> tick and fraction       both ways, exact to the microsecond
//! ```
//!
//! Modelled on NTP's clock filter (RFC 5905, section 10), and for the jumps on Marzullo's intersection.

use std::collections::VecDeque;

use tickwire_protocol::ping::Pong;
use tickwire_protocol::{Micros, Tick, TickRate, TickTime};

/// Measurements among which the best is chosen: at a ping a second a route that became longer is noticed in 8 s.
const MEASUREMENTS_MAX: usize = 8;

/// How fast two clocks may drift apart and not be taken for having jumped, parts per million: five times what
/// quartz does.
const DRIFT_PPM_MAX: u64 = 500;

/// How far the estimate may have been ahead and be waited for, microseconds. Time then stands still instead of going
/// back; from further off it goes back at once.
const WAIT_MAX: i64 = 250_000;

/// Any time and offset is clamped to this, microseconds either way, 1,100 years: sums of three do not overflow.
const TIME_MAX: i64 = 1 << 55;

/// The estimate of the server's time.
#[derive(Clone, Debug)]
pub struct Clock {
    line: TickLine,
    /// When the server told the line.
    line_told: Micros,
    /// Oldest first.
    measurements: VecDeque<Measurement>,
    /// Server time minus client time, microseconds.
    offset: i64,
    /// Server time is not before this.
    floor: i64,
    round_trips: RoundTrips,
    jumps: u64,
}

/// What one exchange tells of the offset.
#[derive(Clone, Copy, Debug)]
struct Measurement {
    offset: i64,
    round_trip: u64,
    /// When it was made, on the client's clock.
    at: Micros,
}

impl Measurement {
    /// Whether both can be right.
    fn agrees_with(&self, older: &Self) -> bool {
        let age = self.at.saturating_since(older.at).0;
        let slack = 1_000 + age / 1_000_000 * DRIFT_PPM_MAX;
        self.offset.abs_diff(older.offset)
            <= (self.round_trip / 2).saturating_add(older.round_trip / 2) + slack
    }
}

impl Clock {
    /// From the welcome alone: it was written when `tick` was the newest tick due, somewhen between `asked` and `now`.
    pub(crate) fn new(rate: TickRate, tick: Tick, tick_time: Micros, asked: Micros, now: Micros) -> Self {
        let interval = rate.due(1).0;
        let round_trip = now.saturating_since(asked);
        let told = Micros(tick_time.0.saturating_add(interval / 2));
        let mut clock = Self {
            line: TickLine { tick, time: signed(tick_time), hz: i64::from(rate.hz()) },
            line_told: Micros::ZERO,
            measurements: VecDeque::with_capacity(MEASUREMENTS_MAX),
            offset: 0,
            floor: -TIME_MAX,
            round_trips: RoundTrips::guess(round_trip),
            jumps: 0,
        };
        clock.measure(Measurement {
            offset: signed(told) - signed(midpoint(asked, now)),
            round_trip: round_trip.0.saturating_add(interval),
            at: now,
        });
        clock
    }

    /// Takes in the answer to a ping of ours.
    pub(crate) fn handle_pong(&mut self, now: Micros, pong: &Pong) {
        // Before the first pong there was only a guess: nothing to be kept to.
        let before = if self.round_trips.is_guess { -TIME_MAX } else { self.at(now) };
        let waited = pong.server_sent.saturating_since(pong.server_received);
        let round_trip = now.saturating_since(pong.client_time).saturating_since(waited);
        self.measure(Measurement {
            offset: signed(midpoint(pong.server_received, pong.server_sent))
                - signed(midpoint(pong.client_time, now)),
            round_trip: round_trip.0,
            at: now,
        });
        self.round_trips.add(round_trip);
        if pong.server_sent >= self.line_told {
            self.line_told = pong.server_sent;
            self.line = TickLine { tick: pong.tick, time: signed(pong.tick_time), ..self.line };
        }
        let after = signed(now) + self.offset;
        self.floor = if before - after > WAIT_MAX { -TIME_MAX } else { before };
    }

    fn measure(&mut self, new: Measurement) {
        if self.best().is_some_and(|best| !new.agrees_with(best)) {
            self.measurements.clear();
            self.jumps += 1;
        }
        if self.measurements.len() == MEASUREMENTS_MAX {
            self.measurements.pop_front();
        }
        self.measurements.push_back(new);
        self.offset = self.best().map_or(0, |best| best.offset.clamp(-TIME_MAX, TIME_MAX));
    }

    /// The shortest round trip of all; of equals the newest.
    fn best(&self) -> Option<&Measurement> {
        self.measurements.iter().rev().min_by_key(|measurement| measurement.round_trip)
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

    /// The shortest of the last few round trips; nothing before the first one was measured. How long the answer to the
    /// hello took does not count: a busy server may have let it wait.
    pub(crate) fn rtt_min(&self) -> Micros {
        let best = self.best().filter(|_| !self.round_trips.is_guess);
        Micros(best.map_or(0, |best| best.round_trip))
    }

    /// Times that a clock has jumped.
    pub(crate) fn jumps(&self) -> u64 {
        self.jumps
    }

    /// The moment that lies `shift` microseconds from the server's time at `now`: in the past if below 0.
    pub(crate) fn shifted(&self, now: Micros, shift: i64) -> TickTime {
        self.line.position(self.at(now) + shift)
    }

    /// When, on the client's clock, [`Clock::shifted`] by `shift` comes to `tick`.
    pub(crate) fn when(&self, tick: Tick, shift: i64) -> Micros {
        let time = self.line.time_of(tick).saturating_sub(shift).saturating_sub(self.offset);
        Micros(time.max(0) as u64)
    }

    /// How long ago [`Clock::shifted`] by `shift` was at `tick`, microseconds; below 0 if it is yet to come.
    pub(crate) fn since(&self, tick: Tick, now: Micros, shift: i64) -> i64 {
        self.at(now) + shift - self.line.time_of(tick)
    }

    fn at(&self, now: Micros) -> i64 {
        (signed(now) + self.offset).max(self.floor)
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
    fn the_servers_waits_do_not_count_and_the_shortest_round_trip_wins() {
        let server = Server { offset: 7_000_000 };
        let mut clock = welcomed(&server);
        let now = server.exchange(&mut clock, 100 * MS, 5 * MS, 40 * MS, 5 * MS);
        assert_eq!((clock.rtt(), error(&clock, &server, now)), (Micros(10 * MS), 0));
        // 100 ms on the way there alone: worth 50 ms of error if it were believed.
        let now = server.exchange(&mut clock, 1_000 * MS, 105 * MS, 0, 5 * MS);
        assert_eq!((clock.newest_rtt(), error(&clock, &server, now)), (Micros(110 * MS), 0));
        assert!(clock.rtt() > Micros(20 * MS) && clock.jitter() > Micros(20 * MS));
        assert_eq!((clock.rtt_min(), clock.jumps()), (Micros(10 * MS), 0));
    }

    #[test]
    fn a_route_that_became_longer_is_believed_when_the_shorter_one_is_forgotten() {
        let server = Server { offset: 7_000_000 };
        let mut clock = welcomed(&server);
        server.exchange(&mut clock, 100 * MS, 5 * MS, 0, 5 * MS);
        for second in 1..=8 {
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
    fn time_waits_rather_than_go_back() {
        let server = Server { offset: 50_000_000 };
        let mut clock = welcomed(&server);
        // Late on the way there: the estimate is 19 ms ahead. Then a good one.
        server.exchange(&mut clock, 50 * MS, 100 * MS, 0, 0);
        let now = server.exchange(&mut clock, 200 * MS, 40 * MS, 0, 2 * MS);
        let before = clock.server_time(now);
        let ahead = error(&clock, &server, now);
        assert_eq!(ahead, 19_000);
        let now = server.exchange(&mut clock, now.0, 2 * MS, 0, 2 * MS);
        assert!(clock.server_time(now) >= before);
        assert_eq!(error(&clock, &server, now + Micros(WAIT_MAX as u64)), 0);
        assert_eq!(clock.jumps(), 0);
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
                let _ = (clock.shifted(Micros(b), -1 << 40), clock.when(Tick(b as u32), 1 << 40));
                let _ =
                    (clock.tick_time(Micros(a)), clock.time_of(Tick(7)), clock.since(Tick(7), Micros(a), 0));
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
            let when = clock.when(wanted, shift);
            prop_assume!(when > Micros(1) && clock.floor < clock.at(when));
            let reached = clock.shifted(when, shift);
            prop_assert_eq!(reached.tick, wanted);
            prop_assert!(reached.fraction < 0.001);
            prop_assert_eq!(clock.shifted(Micros(when.0 - 1), shift).tick, wanted - 1);
            prop_assert_eq!(clock.since(wanted, when, shift), 0);
        }
    }
}
