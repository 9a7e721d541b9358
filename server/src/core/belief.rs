//! How far in the past a player saw the others when it gave an input: what its client says, as far as that is believed.
//!
//! ```text
//!   rewind = tick of the input - view told with it           a client's delay, and how early it gives inputs
//!
//!   claims     . . . .  .  .  .   '  '  .  .                 a client that tells the truth
//!   believed  [band that moves by 5 % of the time]           what is in it counts at once
//! ```
//!
//! A client chooses how late it shows the others, so nobody else knows; but it cannot choose anew for each shot. An honest
//! view goes at 0.95 to 1.03 of true time, so what it is behind changes slowly; only when a link gets worse does it stand
//! still or give inputs earlier, and the rewind grows at once. So:
//!
//! - a claim **later than the newest snapshot** that the client acked is not believed: nobody saw that;
//! - claims may come and go within a band of [`BAND_SECONDS`]: games sample inputs when they draw;
//! - the band follows the claims by at most [`SHARE`] of the time that passes;
//! - while acks come later than they use to, something did happen on the link: then it follows upwards at once, by as much as
//!   they are late, and by up to [`SAVED_SECONDS_MAX`], saved up in steady times at [`SAVED_SHARE`] of their length;
//! - a claim out of the band moves it as far as is allowed, and the edge of the band counts instead: the **estimate**;
//! - in the first second of a connection the band is wherever the claims are: the client still gets to know the clock;
//! - what a starved client tells is the newest state that it has, not what it goes on to guess: such claims change nothing;
//! - time without a claim to follow is steady time, no more: of [`SHARE`] nothing is kept for later.
//!
//! So whoever lies is judged by a moment close to the one that it really saw, whatever it says at the shot. Who holds back acks
//! or inputs before it shoots gets what is saved up, once in 10 s. Who shows the others late all the time is believed, up to the room's
//! cap: that is no advantage but to the patient.

use tickwire_protocol::input::InputFrame;
use tickwire_protocol::limits::{HISTORY_TICKS, INPUT_AHEAD_TICKS_MAX};
use tickwire_protocol::{Micros, Tick, TickRate, TickTime};

use super::tick_ring::TickRing;
use super::tick_set::TickSet;

/// The share of the time that passes by which a believed rewind may change.
const SHARE: f32 = 0.05;
/// Width of the band in which claims are believed as they come, seconds: a picture at 120 Hz.
const BAND_SECONDS: f32 = 1.0 / 120.0;
/// By how much a rewind may grow at once after steady times, seconds: a little more than a view stands still for at most.
const SAVED_SECONDS_MAX: f32 = 0.05;
/// The share of steady time that is saved up for that: at most once in 10 s all of it. Were it all of [`SHARE`], a liar could
/// use it for every shot.
const SAVED_SHARE: f32 = 0.005;
/// How late acks have to be before that is a reason, seconds: as much as they come and go with the snapshots.
const LATE_SECONDS: f32 = 1.0 / 120.0;
/// How fast a late ack is forgotten: by this share of the time that passes.
const LATE_DECAY: f32 = 0.25;
/// For how long after its first claim a client is believed whatever it tells, seconds: it gets to know the server's time.
const ACQUAINTANCE_SECONDS: f32 = 1.0;

/// What became of the views that a player's client told with its inputs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ViewCounters {
    /// Believed as they were told.
    pub believed: u64,
    /// Not believed, or not there because the input was not: the server's estimate was used.
    pub estimated: u64,
    /// Of both: further back than the room rewinds, so that the oldest allowed moment was used.
    pub capped: u64,
}

/// What is believed of one player's view.
#[derive(Clone, Debug)]
pub(crate) struct ViewBelief {
    hz: f32,
    /// Ticks that are rewound at most.
    cap: f32,
    /// What was told with the first copy of the input for a tick.
    claims: TickRing<Claim>,
    /// The newest state that its client had when it was last heard.
    newest: Option<Tick>,
    band: Option<Band>,
    pub(crate) counters: ViewCounters,
}

/// What a client says that it shows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Claim {
    /// So many ticks before the input, when the newest state that it had was so old.
    View { rewind: f32, age: u8 },
    /// The newest state that it has, of this age: it shows that, or guesses.
    Starved { age: u8 },
    /// What it cannot have seen.
    Future,
}

/// Rewinds that are believed, ticks.
#[derive(Clone, Copy, Debug)]
struct Band {
    least: f32,
    /// The last one that counted.
    rewind: f32,
    /// By how much it may grow at once.
    saved: f32,
    /// The tick of the first claim.
    first: Tick,
    /// Up to when the time that passed is used or saved up.
    followed: Tick,
    lateness: Lateness,
}

/// How old the newest state was that a client had when it gave its inputs, ticks.
#[derive(Clone, Copy, Debug)]
struct Lateness {
    /// The oldest of late.
    recent: f32,
    /// What that use to be; changes as slowly as a view.
    usual: f32,
    /// The tick of the last one.
    heard: Tick,
}

impl ViewBelief {
    pub(crate) fn new(rate: TickRate, rewind_max: Micros) -> Self {
        let hz = rate.hz() as f32;
        Self {
            hz,
            cap: rewind_max.as_secs_f64() as f32 * hz,
            claims: TickRing::new(1, Claim::Future),
            newest: None,
            band: None,
            counters: ViewCounters::default(),
        }
    }

    /// Nobody tells anything for now.
    pub(crate) fn rest(&mut self) {
        self.claims.reset();
    }

    /// Takes in what a frame tells, where `next` is the tick that will be stepped next and `held` what the client has acked. The
    /// view belongs to the newest input; those before it were given as much earlier as their ticks are.
    pub(crate) fn handle_frame(&mut self, frame: &InputFrame, next: Tick, held: &TickSet) {
        let Some(newest) = frame.newest() else { return };
        self.newest = held.newest();
        let claim = Claim::of(frame.view, newest, held);
        for (tick, _) in frame.rows() {
            if (0..=INPUT_AHEAD_TICKS_MAX as i32).contains(&tick.since(next)) {
                self.claims.insert(next, tick, &[claim]);
            }
        }
    }

    /// The moment that the others are to be shown at for the input of `tick`; nothing while nothing was believed. To be asked
    /// once for each step.
    pub(crate) fn take(&mut self, tick: Tick) -> Option<TickTime> {
        let claim = self.claims.take(tick).and_then(|claims| claims.first().copied());
        let hz = self.hz;
        match claim {
            Some(Claim::View { rewind: claimed, age }) => {
                let band = self.band.get_or_insert_with(|| Band::new(claimed, tick, hz));
                band.lateness.hear(age.into(), tick);
                band.follow(claimed, tick, hz);
                // Bit for bit: in the band it is taken over as it is.
                let is_believed = band.rewind.to_bits() == claimed.to_bits();
                self.counters.believed += u64::from(is_believed);
                self.counters.estimated += u64::from(!is_believed);
            }
            Some(Claim::Starved { .. } | Claim::Future) | None => {
                let band = self.band.as_mut()?;
                let age = match claim {
                    Some(Claim::Starved { age }) => Some(age.into()),
                    // Where inputs stay out, acks do.
                    None => self.newest.map(|newest| tick.since(newest)),
                    _ => None,
                };
                if let Some(age) = age {
                    band.lateness.hear(age, tick);
                }
                match claim {
                    // What it has is later than this band allows: so is what it shows.
                    Some(Claim::Starved { age }) if f32::from(age) < band.least => {
                        band.follow(age.into(), tick, hz);
                    }
                    _ => band.wait(tick, hz),
                }
                self.counters.estimated += 1;
            }
        }
        let rewind = self.band?.rewind;
        self.counters.capped += u64::from(rewind > self.cap);
        Some(before(tick, rewind.min(self.cap)))
    }
}

impl Claim {
    /// What is told with the newest input of a frame, and with those before it: they were given as much earlier as they are older.
    fn of(view: TickTime, input: Tick, held: &TickSet) -> Self {
        let Some(newest) = held.newest() else { return Self::Future };
        let age = input.since(newest).clamp(0, HISTORY_TICKS as i32) as u8;
        let ahead = view.tick.since(newest) as f32 + view.fraction;
        if ahead > 0.0 {
            Self::Future
        } else if ahead < 0.0 {
            Self::View { rewind: rewind_of(input, view), age }
        } else {
            Self::Starved { age }
        }
    }
}

impl Band {
    fn new(claimed: f32, tick: Tick, hz: f32) -> Self {
        let least = (claimed - BAND_SECONDS * hz / 2.0).max(0.0);
        let lateness = Lateness { recent: 0.0, usual: 0.0, heard: tick };
        Self { least, rewind: claimed, saved: SAVED_SECONDS_MAX * hz, first: tick, followed: tick, lateness }
    }

    /// Moves it towards a claim, as far as that is believed.
    fn follow(&mut self, claimed: f32, tick: Tick, hz: f32) {
        if (tick.since(self.first) as f32) < ACQUAINTANCE_SECONDS * hz {
            let lateness = Lateness { usual: self.lateness.recent, ..self.lateness };
            *self = Self { first: self.first, lateness, ..Self::new(claimed, tick, hz) };
            return;
        }
        let width = BAND_SECONDS * hz;
        let passed = tick.since(self.followed).max(0) as f32;
        let share = SHARE * passed;
        let growth = (claimed - (self.least + width)).max(0.0);
        let shrinkage = (self.least - claimed).max(0.0).min(share);
        let at_once = (growth - share).clamp(0.0, self.saved.min(self.lateness.unusual(hz)));
        let used = growth.min(share).max(shrinkage);
        self.least += growth.min(share) + at_once - shrinkage;
        self.saved =
            (self.saved - at_once + (SAVED_SHARE * passed).min(share - used)).min(SAVED_SECONDS_MAX * hz);
        self.rewind = claimed.clamp(self.least, self.least + width);
        self.followed = tick;
    }

    /// There is no claim to follow. Whoever says nothing has no more to use afterwards than who says that nothing changes: the
    /// time that passes so is as steady as any.
    fn wait(&mut self, tick: Tick, hz: f32) {
        let passed = tick.since(self.followed).max(0) as f32;
        self.saved = (self.saved + SAVED_SHARE * passed).min(SAVED_SECONDS_MAX * hz);
        self.followed = tick;
    }
}

impl Lateness {
    /// With the input of `tick` came an ack of a state that was this old.
    fn hear(&mut self, age: i32, tick: Tick) {
        let passed = tick.since(self.heard).max(0) as f32;
        let age = age.clamp(0, HISTORY_TICKS as i32) as f32;
        self.recent = age.max(self.recent - LATE_DECAY * passed);
        let share = SHARE * passed;
        self.usual += (self.recent - self.usual).clamp(-share, share);
        self.heard = tick;
    }

    /// By how much acks are later than they use to be.
    fn unusual(&self, hz: f32) -> f32 {
        (self.recent - self.usual - LATE_SECONDS * hz).max(0.0)
    }
}

/// Ticks from a view to the step of its input. No more than there is history, whatever is told.
fn rewind_of(tick: Tick, view: TickTime) -> f32 {
    (tick.since(view.tick) as f32 - view.fraction).clamp(0.0, HISTORY_TICKS as f32)
}

/// The moment so many ticks before a tick.
fn before(tick: Tick, ticks: f32) -> TickTime {
    let whole = ticks.ceil();
    TickTime { tick: tick - whole as u32, fraction: (whole - ticks).min(1.0 - f32::EPSILON) }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact values are expected")]
mod tests {
    use tickwire_protocol::Schema;

    use super::*;

    const HZ: u32 = 60;

    /// A belief, and a client that tells it a view with every input.
    struct Talk {
        belief: ViewBelief,
        tick: Tick,
    }

    impl Talk {
        fn new() -> Self {
            Self {
                belief: ViewBelief::new(TickRate::new(HZ).unwrap(), Micros::from_millis(250)),
                tick: Tick(u32::MAX - 100),
            }
        }

        /// For so many ticks it tells that its view is this far behind, ticks; how far each was believed to be.
        fn tell(&mut self, ticks: u32, rewind: f32) -> Vec<f32> {
            self.tell_with(ticks, rewind, 1.0)
        }

        /// The newest snapshot that it has acked is `age` ticks older than the step.
        fn tell_with(&mut self, ticks: u32, rewind: f32, age: f32) -> Vec<f32> {
            let step = |_| {
                self.tick = self.tick + 1;
                let mut held = TickSet::default();
                held.insert(self.tick - age as u32);
                let frame = frame(self.tick, before(self.tick, rewind), 1);
                self.belief.handle_frame(&frame, self.tick, &held);
                let moment = self.belief.take(self.tick);
                moment.map_or(f32::NAN, |moment| rewind_of(self.tick, moment))
            };
            (0..ticks).map(step).collect()
        }

        /// None of its inputs come.
        fn be_silent(&mut self, ticks: u32) {
            for _ in 0..ticks {
                self.tick = self.tick + 1;
                self.belief.take(self.tick);
            }
        }

        /// How far back it is believed to be, ticks.
        fn rewind(&self) -> f32 {
            self.belief.band.unwrap().rewind
        }

        /// A client that has been honest for a minute.
        fn settled(rewind: f32) -> Self {
            let mut talk = Self::new();
            talk.tell(60 * HZ, rewind);
            talk
        }
    }

    fn frame(newest: Tick, view: TickTime, rows: u32) -> InputFrame {
        let schema = Schema::builder("s").build().unwrap();
        let mut frame = InputFrame::new();
        (0..rows).rev().for_each(|row| frame.push(schema.input(), newest - row, &[]));
        frame.view = view;
        frame
    }

    fn near(a: f32, b: f32) -> bool {
        (a - b).abs() < 0.01
    }

    #[test]
    fn a_steady_view_is_believed_to_the_bit() {
        let mut talk = Talk::new();
        assert!(talk.tell(600, 7.25).iter().all(|&rewind| rewind == 7.25));
        assert_eq!(talk.belief.counters, ViewCounters { believed: 600, estimated: 0, capped: 0 });
        // 0.95 and 1.03 of true time: as fast as views go.
        for rate in [0.05_f32, -0.03] {
            let mut talk = Talk::settled(10.0);
            let told = (1..100_u8).map(|step| 10.0 + rate * f32::from(step));
            assert!(told.map(|rewind| (talk.tell(1, rewind)[0], rewind)).all(|(a, b)| near(a, b)), "{rate}");
        }
    }

    #[test]
    fn pictures_that_do_not_fit_the_ticks_are_believed() {
        let mut talk = Talk::settled(10.0);
        let before = talk.belief.counters;
        for step in 0..600_u16 {
            talk.tell(1, 9.8 + f32::from(step % 5) * 0.1);
        }
        assert_eq!(talk.belief.counters.estimated, before.estimated);
    }

    #[test]
    fn a_view_that_stood_still_is_believed_at_once_but_not_twice() {
        // The states that it waits for are 4 ticks late.
        let mut talk = Talk::settled(10.0);
        assert!(near(talk.tell_with(1, 13.0, 5.0)[0], 13.0), "50 ms");
        talk.tell(300, 13.0);
        let jumped = talk.tell_with(1, 16.0, 5.0)[0];
        assert!(jumped < 15.0, "5 s later not half of it is saved up: {jumped}");
    }

    #[test]
    fn without_a_late_ack_no_view_stood_still() {
        let mut talk = Talk::settled(10.0);
        let jumped = talk.tell(1, 13.0)[0];
        assert!(jumped < 10.5, "{jumped}");
        // The same when it was late two seconds ago, and when acks come that late all the time.
        talk.tell_with(1, 10.0, 5.0);
        talk.tell(120, 10.0);
        assert!(talk.tell(1, 13.0)[0] < 10.5);
        talk.tell_with(60 * HZ, 10.0, 5.0);
        assert!(talk.tell_with(1, 13.0, 5.0)[0] < 10.5);
    }

    /// There and back for one shot a second, for a minute; `between` is what is told from one shot to the next. How far older and
    /// newer than just before the shots were judged, ticks on average.
    fn shots(mut between: impl FnMut(&mut Talk)) -> (f32, f32) {
        let mut talk = Talk::settled(10.0);
        let (mut older, mut newer) = (0.0, 0.0);
        for second in 0..60 {
            // Acks that are held back until then make a reason.
            let (before, (lie, age)) =
                (talk.rewind(), if second % 2 == 0 { (24.0, 9.0) } else { (-9.0, 1.0) });
            talk.tell_with(1, before + lie, age);
            let by = talk.rewind() - before;
            older += by.max(0.0);
            newer += (-by).max(0.0);
            between(&mut talk);
        }
        (older / 30.0, newer / 30.0)
    }

    #[test]
    fn no_jump_at_a_shot_is_followed_by_more_than_its_share() {
        let (older, newer) = shots(|talk| drop(talk.tell(HZ - 1, 10.0)));
        // 400 ms are 24 ticks.
        assert!(older < 1.5, "{older} ticks older on average");
        assert!(newer < 0.4, "{newer} ticks newer on average");
    }

    #[test]
    fn who_is_silent_between_shots_saves_up_no_more() {
        let future = |talk: &mut Talk| drop(talk.tell_with(HZ - 1, 2.0, 6.0));
        let newest_acked = |talk: &mut Talk| drop(talk.tell_with(HZ - 1, 30.0, 30.0));
        let nothing = |talk: &mut Talk| talk.be_silent(HZ - 1);
        for (name, (older, newer)) in
            [("future", shots(future)), ("newest acked", shots(newest_acked)), ("nothing", shots(nothing))]
        {
            // A jump may cross the band.
            assert!(older < 1.5, "{name}: {older} ticks older on average");
            assert!(newer < 0.6, "{name}: {newer} ticks newer on average");
        }
    }

    #[test]
    fn who_was_silent_for_a_while_is_believed_again_at_once() {
        // Starved, or its inputs lost: its view went on at 0.95 of true time, or stood still for 50 ms.
        for pause in [6_u8, 30, 60] {
            let mut talk = Talk::settled(10.0);
            talk.tell_with(u32::from(pause), 12.0, 12.0);
            let now = 10.0 + 0.05 * f32::from(pause);
            assert!(near(talk.tell(1, now)[0], now), "after {pause} ticks");
            let mut talk = Talk::settled(10.0);
            talk.be_silent(u32::from(pause));
            let now = 10.0 + 2.5_f32.min(0.05 * f32::from(pause) + 1.0);
            assert!(near(talk.tell(1, now)[0], now), "after {pause} ticks without inputs");
        }
    }

    #[test]
    fn over_any_stretch_a_believed_rewind_changes_by_five_percent_and_what_was_saved_up() {
        let mut talk = Talk::settled(10.0);
        let mut random = tickwire_sim::Random::from_seed(4);
        let rewinds: Vec<f32> = (0..3_600).map(|_| talk.tell(1, random.range_f32(0.0..34.0))[0]).collect();
        for length in [1, 10, 60, 600] {
            let most =
                rewinds.windows(length + 1).map(|pair| (pair[length] - pair[0]).abs()).fold(0.0, f32::max);
            let (share, band) = (SHARE * length as f32, BAND_SECONDS * 60.0);
            assert!(most <= share + band + SAVED_SECONDS_MAX * 60.0 + 0.01, "{most} ticks in {length}");
        }
    }

    #[test]
    fn what_nobody_can_have_seen_is_not_believed() {
        let mut talk = Talk::settled(10.0);
        let before = talk.belief.counters.believed;
        assert!(talk.tell_with(100, 2.0, 6.0).iter().all(|&rewind| near(rewind, 10.0)));
        assert_eq!(talk.belief.counters.believed, before);
        let mut talk = Talk::new();
        assert!(talk.tell_with(10, 2.0, 6.0).iter().all(|rewind| rewind.is_nan()), "and never was");
    }

    #[test]
    fn acks_that_are_held_back_change_nothing() {
        let mut talk = Talk::settled(10.0);
        let frozen = (11..40_u8).map(|age| talk.tell_with(1, f32::from(age), f32::from(age))[0]);
        assert!(frozen.collect::<Vec<_>>().iter().all(|&rewind| near(rewind, 10.0)), "it seems to starve");
    }

    #[test]
    fn what_is_further_back_than_the_cap_is_cut_and_counted() {
        let mut talk = Talk::new();
        assert!(talk.tell(10, 40.0).iter().all(|&rewind| near(rewind, 15.0)), "250 ms");
        assert_eq!(talk.belief.counters, ViewCounters { believed: 10, estimated: 0, capped: 10 });
        assert_eq!(talk.belief.band.unwrap().rewind, 40.0, "it is known how late it really is");
    }

    #[test]
    fn older_inputs_of_a_frame_saw_as_much_earlier_and_the_first_copy_counts() {
        let mut belief = ViewBelief::new(TickRate::new(HZ).unwrap(), Micros::from_millis(250));
        let mut held = TickSet::default();
        held.insert(Tick(98));
        let view = TickTime { tick: Tick(95), fraction: 0.5 };
        belief.handle_frame(&frame(Tick(102), view, 3), Tick(100), &held);
        let later = TickTime { tick: Tick(97), fraction: 0.0 };
        belief.handle_frame(&frame(Tick(103), later, 4), Tick(100), &held);
        let moments: Vec<_> = (100..104).map(|tick| belief.take(Tick(tick)).unwrap()).collect();
        let at = |tick, fraction| TickTime { tick: Tick(tick), fraction };
        assert_eq!(moments, [at(93, 0.5), at(94, 0.5), at(95, 0.5), at(97, 0.0)]);
        assert_eq!(belief.take(Tick(104)), Some(at(98, 0.0)), "without an input: as before");
    }

    #[test]
    fn ticks_out_of_all_order_do_no_harm() {
        let mut talk = Talk::settled(10.0);
        for view in [Tick(0), Tick(u32::MAX / 2), talk.tick + 1_000, talk.tick - 100_000] {
            let frame = frame(talk.tick + 1, TickTime { tick: view, fraction: 0.99 }, 32);
            let mut held = TickSet::default();
            held.insert(talk.tick);
            talk.belief.handle_frame(&frame, talk.tick + 1, &held);
            let rewind = talk.tell(1, 10.0)[0];
            assert!((9.0..14.0).contains(&rewind), "{rewind}");
        }
    }
}
