//! How far behind the server's time others are shown: the jitter buffer.
//!
//! A view starves when it is later than the newest state. So what the delay must exceed is told by each arrival: how old the
//! state before had become. The delay is what few arrivals exceed, one in [`DRY_SECONDS`] seconds: less would save
//! milliseconds and cost as many of guessing, more would cost all players delay for what hardly happens.
//!
//! ```text
//!                arrival of the state of 100        of 103              of 106 (late)
//!  age of newest        |\                            |\                  .|
//!                       | \   grows with time         | \          . '     |
//!  delay  ──────────────┼──\──────────────────────────┼──\──── . ' ────────┼──── the view is starved above
//!                       '   ' . _ _ _ _ _ _ _ _ _ _ _ '   ' slower   still
//! ```
//!
//! The delay never changes by a jump but by a view that runs slower or faster. And before a buffer runs dry, the view gives way:
//! when the next state is overdue it runs slower, and at the very end it stands still for a moment, as seldom as not to be
//! noticed; only then is motion guessed.
//!
//! All this is settled when a state arrives, for any moment until the next one does: asking changes nothing.

use tickwire_protocol::Micros;

use super::lateness::{Guess, Lateness};

/// How often the buffer may run dry, seconds from one time to the next.
const DRY_SECONDS: f32 = 12.0;
/// In which time what was late counts half: long, for what happens once in [`DRY_SECONDS`] is soon mistaken.
const HALF_LIFE: Micros = Micros(120_000_000);
/// What is thought to be late before it is known.
const GUESS: Guess = Guess { above: 0, deviations: 26, weight: 10.0 };
/// States that come within this of the one before were held up with it: one event, not as many as there are states.
/// Otherwise a second without any would look like a link on which all is late.
pub(crate) const TOGETHER: Micros = Micros(3_000);
/// The delay is longer than needed by this, microseconds: half a class of lateness, and what rounding costs.
const MARGIN: i64 = 1_000;
/// A state is overdue when so few come later.
const OVERDUE_SHARE: f32 = 0.15;
/// No more is waited for what is late than this beyond what usually is, microseconds: worse links are not to be played on as if
/// they were good.
const EXTRA_MAX: i64 = 150_000;

/// How much slower the view runs to gain delay, and faster to lose it, seconds a second.
const SLOWER: f64 = 0.045;
const FASTER: f64 = 0.03;
/// No more than this together with the slew of the clock: with its drift and a rounding that is a twentieth.
const RATE_MAX: f64 = 0.048;
/// Share of the time in which the view may stand still for want of states: less than one picture in a thousand.
const STILL_SHARE: f64 = 0.000_85;
/// For how long it may at once, microseconds: so long that no three pictures of 60 a second stand still, and shorter than 50 ms is
/// not seen as a freeze. And for how long it must be able to: less does not pay for the pictures in which it begins and ends.
const STILL_MAX: i64 = 43_000;
const STILL_MIN: i64 = 28_000;
/// What these two pictures count, microseconds.
const STILL_COST: i64 = 12_000;
/// What is there at the beginning, and how much may gather, microseconds: stalls come in swarms.
const STILL_SAVED_AT_FIRST: i64 = 52_000;
const STILL_SAVED_MAX: i64 = 120_000;
/// It stands by so much before the newest state, microseconds: when that is due is rounded, and a picture that is later by one
/// is a guess.
const STILL_BEFORE: i64 = 2;
/// From further off the delay is set at once, microseconds.
const STEP_MIN: i64 = 400_000;

/// The delay, and what it follows from. All times are the server's, microseconds; they may be below 0.
#[derive(Clone, Debug)]
pub(crate) struct Playout {
    /// A delay that the game asks for.
    fixed: Option<i64>,
    advice: i64,
    delay_max: i64,
    lateness: Lateness,
    /// Share of arrivals that may exceed the delay.
    dry_share: f32,
    /// When the newest state was due.
    newest: Option<i64>,
    /// When it arrived.
    newest_arrival: i64,
    plan: Option<Plan>,
    /// What has gathered for standing still.
    saved: i64,
}

/// What the delay does until the next arrival.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// From when on.
    since: i64,
    from: i64,
    to: i64,
    /// How fast the delay may grow and shrink, seconds a second.
    slower: f64,
    faster: f64,
    /// When the next state is overdue.
    overdue: i64,
    /// When nothing is left to show, as far as the view goes on as it does before.
    dry: i64,
    /// For how long it then stands still.
    still: i64,
}

impl Plan {
    fn at(&self, now: i64) -> i64 {
        if now <= self.dry {
            return self.flowing_at(now);
        }
        let stood = (now - self.dry).min(self.still);
        let rest = (now - self.dry - stood).min(1 << 40) as f64;
        self.flowing_at(self.dry) + stood + (rest * self.slower) as i64
    }

    /// Without the standing still.
    fn flowing_at(&self, now: i64) -> i64 {
        let ramped = (now.min(self.overdue) - self.since).max(0) as f64;
        let way = self.to - self.from;
        let speed = if way > 0 { self.slower } else { self.faster };
        let overdue = (now - self.overdue).clamp(0, 1 << 40) as f64;
        let ramp = ((ramped * speed) as i64).min(way.abs()) * way.signum();
        self.from + ramp + (overdue * self.slower) as i64
    }

    /// When the view comes to `newest` by flowing.
    fn dry_at(&self, newest: i64) -> i64 {
        let is_dry = |now: i64| now - self.flowing_at(now) >= newest;
        let (mut before, mut span) = (self.since, 1);
        if is_dry(before) {
            return before;
        }
        while !is_dry(before + span) {
            before += span;
            span *= 2;
        }
        let mut after = before + span;
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if is_dry(middle) { after = middle } else { before = middle }
        }
        after
    }
}

impl Playout {
    /// With the server's advice on the delay, or one that the game asks for; none is longer than `delay_max`.
    pub(crate) fn new(advice: Micros, fixed: Option<Micros>, delay_max: Micros, snapshot_hz: u32) -> Self {
        let hz = i64::from(snapshot_hz.max(1));
        let signed = |span: Micros| span.0.min(1 << 40) as i64;
        let delay_max = signed(delay_max);
        let advice = signed(advice).min(delay_max);
        Self {
            fixed: fixed.map(|fixed| signed(fixed).min(delay_max)),
            advice,
            delay_max,
            lateness: Lateness::new(HALF_LIFE, GUESS),
            dry_share: 1.0 / (DRY_SECONDS * hz as f32),
            newest: None,
            newest_arrival: 0,
            plan: None,
            saved: STILL_SAVED_AT_FIRST,
        }
    }

    /// The delay at the server's time `now`, microseconds.
    pub(crate) fn delay(&self, now: i64) -> i64 {
        match (self.fixed, &self.plan) {
            (Some(fixed), _) => fixed,
            (None, Some(plan)) => plan.at(now).min(self.delay_max),
            (None, None) => self.advice,
        }
    }

    /// By how much slower the view runs for the next `span` microseconds from the server's time `now` on because the delay grows, seconds a
    /// second; as far as is known now.
    pub(crate) fn slowed(&self, now: i64, span: i64) -> f64 {
        let grows = |plan: &&Plan| (plan.to - plan.at(now)) as f64 > span as f64 * plan.slower;
        let plan = self.plan.as_ref().filter(|_| self.fixed.is_none());
        plan.filter(grows).map_or(0.0, |plan| plan.slower)
    }

    /// A state newer than all before has arrived at the server's time `now`; it was due at `due`. `local` is the client's time; the server's
    /// time runs faster by `slew`, seconds a second, than it does in truth.
    pub(crate) fn handle_state(&mut self, now: i64, local: Micros, due: i64, slew: f64) {
        let waited = now.saturating_sub(core::mem::replace(&mut self.newest_arrival, now));
        let before = self.newest.replace(due);
        if let Some(before) = before.filter(|_| waited > TOGETHER.0 as i64) {
            self.lateness.add(local, now - before);
        }
        if self.fixed.is_some() {
            return;
        }
        let needed = self.lateness.above(self.dry_share).unwrap_or(now - due + self.advice);
        let usual = self.lateness.above(OVERDUE_SHARE).unwrap_or(needed);
        let to = (needed.min(usual + EXTRA_MAX) + MARGIN).clamp(0, self.delay_max);
        let mut from = to;
        if let Some(plan) = &self.plan {
            let passed = (now - plan.since).clamp(0, 1 << 40);
            if now > plan.dry && plan.still > 0 {
                self.saved -= (now - plan.dry).min(plan.still) + STILL_COST;
            }
            self.saved = (self.saved + (passed as f64 * STILL_SHARE) as i64).min(STILL_SAVED_MAX);
            let held = plan.at(now);
            from = if held.abs_diff(to) > STEP_MIN.unsigned_abs() { to } else { held };
        }
        let overdue = (due + usual).max(now);
        let slower = (RATE_MAX + slew).clamp(0.0, SLOWER);
        let faster = (RATE_MAX - slew).clamp(0.0, FASTER);
        let still = self.still(needed - usual);
        let mut plan = Plan { since: now, from, to, slower, faster, overdue, dry: 0, still };
        plan.dry = plan.dry_at(due - STILL_BEFORE);
        self.plan = Some(plan);
    }

    /// For how long the view may stand still, if what is late is so much later than what usually is.
    fn still(&self, extra: i64) -> i64 {
        let still = (self.saved - STILL_COST).min(STILL_MAX);
        // Where stalls are longer than is waited for, it would only be one more hitch before the guess.
        if still < STILL_MIN || extra > EXTRA_MAX { 0 } else { still }
    }

    /// By how much arrivals vary usually, microseconds.
    pub(crate) fn deviation(&self) -> i64 {
        self.lateness.deviation()
    }

    /// The estimate of the server's time was found to be right.
    pub(crate) fn handle_clock_confirmed(&mut self) {
        self.lateness.confirm();
    }

    /// The estimate of the server's time was set anew.
    pub(crate) fn handle_clock_jump(&mut self) {
        self.lateness.reset_level();
        self.newest = None;
        self.plan = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000;
    const INTERVAL: i64 = 50 * MS;

    fn playout() -> Playout {
        Playout::new(Micros(125_000), None, Micros(2_000_000), 20)
    }

    /// Arrivals every 50 ms for so many seconds, each as late as `way` says; checks every millisecond that the view neither goes
    /// back nor jumps. Returns how much of the time it ran slower or faster than is promised, and starved.
    fn play(playout: &mut Playout, seconds: core::ops::Range<i64>, way: impl Fn(i64) -> i64) -> (f64, f64) {
        let mut arrivals: Vec<_> = (seconds.start * 20..seconds.end * 20)
            .map(|number| (number * INTERVAL + way(number), number * INTERVAL))
            .collect();
        arrivals.sort_unstable();
        let (mut outside, mut starved, mut total) = (0.0, 0.0, 0.0);
        let mut next = arrivals.iter().peekable();
        let mut before: Option<i64> = None;
        for now in (seconds.start * 1_000..seconds.end * 1_000).map(|millis| millis * MS) {
            while let Some(&&(arrival, due)) = next.peek().filter(|(arrival, _)| *arrival <= now) {
                if playout.newest.is_none_or(|newest| due > newest) {
                    playout.handle_state(arrival, Micros(arrival as u64), due, 0.0);
                }
                next.next();
            }
            let Some(newest) = playout.newest else { continue };
            let view = now - playout.delay(now);
            if let Some(before) = before {
                let rate = (view - before) as f64 / MS as f64;
                assert!((0.0..=1.05).contains(&rate), "{rate} at {now}");
                total += 1.0;
                outside += f64::from(rate < 0.95);
                starved += f64::from(view > newest);
            }
            before = Some(view);
        }
        (outside / total, starved / total)
    }

    #[test]
    fn on_an_even_link_the_delay_is_the_way_and_an_interval() {
        let mut playout = playout();
        play(&mut playout, 0..60, |_| 10 * MS);
        let (outside, starved) = play(&mut playout, 60..70, |_| 10 * MS);
        assert_eq!((outside, starved), (0.0, 0.0));
        let delay = playout.delay(70_000 * MS);
        assert!((60 * MS..65 * MS).contains(&delay), "{delay}");
    }

    #[test]
    fn what_is_late_often_is_waited_for_and_what_is_late_once_is_not() {
        let often = |number: i64| if number % 60 == 7 { 80 * MS } else { 10 * MS };
        let mut playout = playout();
        play(&mut playout, 0..60, often);
        let (_, starved) = play(&mut playout, 60..120, often);
        assert!(starved < 1e-9, "{starved}");
        assert!(playout.delay(120_000 * MS) > 105 * MS);
        let once = |number: i64| if number == 800 { 300 * MS } else { 10 * MS };
        let mut playout = self::playout();
        play(&mut playout, 0..60, once);
        assert!(playout.delay(60_000 * MS) < 70 * MS);
    }

    #[test]
    fn a_way_that_grows_longer_is_followed() {
        let wander = |number: i64| 20 * MS + 30 * MS * ((number % 400) - 200).abs() / 200;
        let mut playout = playout();
        play(&mut playout, 0..60, wander);
        let (outside, starved) = play(&mut playout, 60..120, wander);
        assert!(outside < 0.001 && starved < 0.001, "{outside} {starved}");
        let delays: Vec<_> = (100..120).map(|second| playout.delay(second * 1_000 * MS)).collect();
        assert!(delays.iter().all(|&delay| delay < 120 * MS), "{delays:?}");
    }

    #[test]
    fn the_view_stands_still_before_it_starves_but_seldom() {
        // Every 6 s nothing comes for 120 ms more.
        let held = |number: i64| if number % 120 == 60 { 130 * MS } else { 10 * MS };
        let mut playout = playout();
        play(&mut playout, 0..60, held);
        let (outside, starved) = play(&mut playout, 60..360, held);
        assert!(outside < 0.001, "{outside}");
        let fixed = (130 - 60) as f64 / 6_000.0;
        assert!(starved < fixed, "{starved}");
    }

    #[test]
    fn where_stalls_are_longer_than_is_waited_for_the_view_does_not_stand_still() {
        // Every 6 s nothing comes for half a second more.
        let held = |number: i64| if number % 120 >= 110 { (120 - number % 120) * INTERVAL } else { 10 * MS };
        let mut playout = playout();
        play(&mut playout, 0..60, held);
        let (outside, starved) = play(&mut playout, 60..360, held);
        assert!(outside < 1e-9 && starved > 0.0, "{outside} {starved}");
    }

    #[test]
    fn what_is_held_up_together_is_late_once() {
        // In the first seconds nothing comes for 1.3 s, then all of it at once.
        let held =
            |number: i64| if (100..126).contains(&number) { (126 - number) * INTERVAL } else { 10 * MS };
        let mut playout = playout();
        play(&mut playout, 0..10, held);
        let delay = playout.delay(10_000 * MS);
        assert!(delay < 250 * MS, "{delay}: not as if all came a second late");
    }

    #[test]
    fn no_picture_is_a_guess_while_the_view_stands_still() {
        let mut playout = playout();
        play(&mut playout, 0..60, |_| 10 * MS);
        let dry = playout.plan.expect("states have come").dry;
        let newest = playout.newest.expect("they have");
        let views = (0..STILL_MIN).step_by(100).map(|passed| dry + passed - playout.delay(dry + passed));
        assert!(views.into_iter().all(|view| view == newest - STILL_BEFORE));
    }

    #[test]
    fn how_slow_the_view_runs_while_the_delay_grows_is_foretold() {
        let mut playout = playout();
        play(&mut playout, 0..60, |_| 10 * MS);
        assert!(playout.slowed(60_000 * MS, INTERVAL).abs() < 1e-9, "long enough");
        // A tenth is late, too little to be usual.
        let way = |number: i64| if number % 20 < 2 { (90 - number % 20 * 50) * MS } else { 10 * MS };
        let arrival = |number: i64| number * INTERVAL + way(number);
        let mut foretold = 0;
        for number in 1_200..1_400 {
            let (now, next) = (arrival(number), arrival(number + 1));
            playout.handle_state(now, Micros(now as u64), number * INTERVAL, 0.0);
            let slowed = playout.slowed(now, INTERVAL);
            if slowed > 0.0 && next - now == INTERVAL {
                let view = |now: i64| now - playout.delay(now);
                let ran = (view(next) - view(now)) as f64 / INTERVAL as f64;
                assert!((ran + slowed - 1.0).abs() < 1e-3, "{ran}, {slowed} at {now}");
                foretold += 1;
            }
        }
        assert!(foretold > 5, "{foretold}");
    }

    #[test]
    fn a_fixed_delay_is_kept() {
        let mut playout = Playout::new(Micros(125_000), Some(Micros(80_000)), Micros(2_000_000), 20);
        for number in 0..40 {
            playout.handle_state(
                number * INTERVAL + 90 * MS,
                Micros(number as u64 * 50_000),
                number * INTERVAL,
                0.0,
            );
            assert_eq!(playout.delay(number * INTERVAL + 90 * MS), 80 * MS);
        }
    }

    #[test]
    fn hostile_times_do_no_harm() {
        let extremes = [-(1 << 56), -1, 0, 1, 1 << 56];
        for now in extremes {
            for due in extremes {
                let mut playout = playout();
                playout.handle_state(0, Micros(0), 0, 0.0);
                playout.handle_state(now, Micros(now.unsigned_abs()), due, 0.0);
                playout.handle_state(due, Micros(u64::MAX), now, 0.0);
                for asked in extremes {
                    assert!(playout.delay(asked) <= 2_000_000);
                }
            }
        }
    }
}
