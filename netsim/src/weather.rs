//! The conditions on a link: a function of seed, link, direction and 1 ms slot, and of nothing else.

use crate::profile::{Direction, Profile};
use crate::rng;
use crate::spells::Spells;

/// The weather of one direction of one link. Asking changes nothing but the cost of the next question: any
/// order, count and gap of slots gives the same answers, in constant memory.
#[derive(Clone, Debug)]
pub struct Weather {
    profile: Profile,
    key: u64,
    /// Share of the wander's period, 0 to 1, by which this link is ahead.
    wander_phase: f64,
    loss: Option<Spells>,
    episodes: Option<Spells>,
}

/// What whatever leaves in one slot meets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Conditions {
    /// It never arrives.
    pub is_lost: bool,
    /// End of the episode the slot lies in, microseconds: it starts on its way only then.
    pub held_until_micros: Option<u64>,
    /// Base delay one way, microseconds, wander included. Alike in both directions.
    pub base_micros: u64,
    /// Jitter on top, microseconds, at most the profile's cap.
    pub jitter_micros: u64,
    /// It is held back by this, microseconds, and others may overtake it.
    pub reorder_micros: Option<u64>,
    /// A copy of it arrives this much later, microseconds.
    pub duplicate_micros: Option<u64>,
}

impl Conditions {
    /// When what leaves at `departure_micros` arrives, reordering and those ahead of it apart.
    pub fn arrival_micros(&self, departure_micros: u64) -> u64 {
        self.released_micros(departure_micros) + self.base_micros + self.jitter_micros
    }

    /// When what leaves at `departure_micros` starts on its way: then, or at the end of the episode.
    pub fn released_micros(&self, departure_micros: u64) -> u64 {
        self.held_until_micros.map_or(departure_micros, |end_micros| end_micros.max(departure_micros))
    }
}

impl Weather {
    /// The weather on `link` in `direction`.
    ///
    /// Panics with [`Profile::fault`]'s text if a parameter is out of range.
    pub fn new(profile: &Profile, seed: u64, link: u64, direction: Direction) -> Self {
        let fault = profile.fault();
        assert!(fault.is_none(), "profile {}: {}", profile.name, fault.unwrap_or_default());
        let link_key = rng::hash(rng::hash(seed, 0), link);
        let key = rng::hash(link_key, 1 + direction as u64);
        let interval_slots = profile.loss_burst_interval_micros(direction) as f64 / SLOT_MICROS as f64;
        Self {
            profile: *profile,
            key,
            // From the link's key, not the direction's: both directions have the same base delay.
            wander_phase: rng::unit(rng::hash(link_key, 0)),
            loss: (profile.loss_ratio > 0.0).then(|| {
                let key = rng::hash(key, Purpose::Loss as u64);
                Spells::bursts(key, profile.loss_ratio, profile.loss_burst_packets, interval_slots)
            }),
            episodes: (profile.episode_interval_millis > 0).then(|| {
                let key = rng::hash(key, Purpose::Episode as u64);
                let interval_slots = profile.episode_interval_millis;
                Spells::episodes(key, interval_slots, profile.episode_min_millis, profile.episode_max_millis)
            }),
        }
    }

    /// The conditions in the slot that contains `micros`.
    pub fn at(&mut self, micros: u64) -> Conditions {
        let slot = micros / SLOT_MICROS;
        Conditions {
            is_lost: self.is_lost(micros),
            held_until_micros: self.held_until_micros(micros),
            base_micros: self.base_micros(micros),
            jitter_micros: self.jitter_micros(slot),
            reorder_micros: self.reorder_micros(slot),
            duplicate_micros: self.duplicate_micros(slot),
        }
    }

    /// Base delay one way in the slot that contains `micros`, microseconds, wander included.
    pub fn base_micros(&self, micros: u64) -> u64 {
        let Profile { base_micros, base_wander_micros, base_wander_period_micros, .. } = self.profile;
        if base_wander_micros == 0 {
            return base_micros;
        }
        let slot_start_micros = micros - micros % SLOT_MICROS;
        let turn = (slot_start_micros % base_wander_period_micros) as f64 / base_wander_period_micros as f64;
        let swing = libm::sin(core::f64::consts::TAU * (turn + self.wander_phase));
        base_micros.saturating_add_signed(libm::round(swing * base_wander_micros as f64) as i64)
    }

    pub(crate) fn is_lost(&mut self, micros: u64) -> bool {
        self.loss.as_mut().is_some_and(|loss| loss.active_until(micros / SLOT_MICROS).is_some())
    }

    pub(crate) fn held_until_micros(&mut self, micros: u64) -> Option<u64> {
        let end_slot = self.episodes.as_mut()?.active_until(micros / SLOT_MICROS)?;
        Some(end_slot * SLOT_MICROS)
    }

    fn jitter_micros(&self, slot: u64) -> u64 {
        if self.profile.jitter_mean_micros == 0 {
            return 0;
        }
        let jitter_micros =
            rng::exponential(self.word(Purpose::Jitter, slot), self.profile.jitter_mean_micros as f64);
        (libm::round(jitter_micros) as u64).min(self.profile.jitter_cap_micros)
    }

    fn reorder_micros(&self, slot: u64) -> Option<u64> {
        let Profile { reorder_ratio, reorder_min_micros, reorder_max_micros, .. } = self.profile;
        let is_reordered = rng::chance(self.word(Purpose::Reorder, slot), reorder_ratio);
        is_reordered
            .then(|| rng::range(self.word(Purpose::ReorderBy, slot), reorder_min_micros, reorder_max_micros))
    }

    fn duplicate_micros(&self, slot: u64) -> Option<u64> {
        let is_duplicated = rng::chance(self.word(Purpose::Duplicate, slot), self.profile.duplicate_ratio);
        is_duplicated.then(|| {
            rng::range(self.word(Purpose::DuplicateBy, slot), DUPLICATE_MIN_MICROS, DUPLICATE_MAX_MICROS)
        })
    }

    fn word(&self, purpose: Purpose, slot: u64) -> u64 {
        rng::hash(rng::hash(self.key, purpose as u64), slot)
    }
}

/// Keys of the independent streams. Their numbers are part of every recorded transcript.
#[derive(Clone, Copy)]
enum Purpose {
    Loss = 0,
    Episode = 1,
    Jitter = 2,
    Reorder = 3,
    ReorderBy = 4,
    Duplicate = 5,
    DuplicateBy = 6,
}

/// Length of a slot, microseconds: the grain of the weather.
pub const SLOT_MICROS: u64 = 1_000;

/// How far behind its original a copy arrives: from almost at once to more than a tick at 60 Hz, so that newer
/// datagrams come between.
const DUPLICATE_MIN_MICROS: u64 = 1_000;
const DUPLICATE_MAX_MICROS: u64 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 11;

    fn weather(profile: &Profile, link: u64, direction: Direction) -> Weather {
        Weather::new(profile, SEED, link, direction)
    }

    #[test]
    fn perfect_weather_does_nothing() {
        let expected = Conditions {
            is_lost: false,
            held_until_micros: None,
            base_micros: 0,
            jitter_micros: 0,
            reorder_micros: None,
            duplicate_micros: None,
        };
        let mut perfect = weather(&Profile::PERFECT, 0, Direction::Up);
        assert!((0..10_000).all(|slot| perfect.at(slot * SLOT_MICROS) == expected));
    }

    #[test]
    fn a_slot_is_one_millisecond() {
        let mut lossy = weather(&Profile::LOSSY, 0, Direction::Up);
        let first = lossy.at(5_000);
        assert_eq!(first, lossy.at(5_999));
        assert_ne!(first.jitter_micros, lossy.at(6_000).jitter_micros);
    }

    #[test]
    fn directions_and_links_share_nothing_but_the_base() {
        let mut down = weather(&Profile::MOBILE_4G, 1, Direction::Down);
        let mut up = weather(&Profile::MOBILE_4G, 1, Direction::Up);
        let mut other = weather(&Profile::MOBILE_4G, 2, Direction::Down);
        let mut equal_jitter = 0;
        for slot in 0..10_000 {
            let micros = slot * SLOT_MICROS;
            assert_eq!(down.base_micros(micros), up.base_micros(micros));
            let jitter_micros = down.at(micros).jitter_micros;
            equal_jitter += u32::from(jitter_micros == up.at(micros).jitter_micros);
            equal_jitter += u32::from(jitter_micros == other.at(micros).jitter_micros);
        }
        assert!(equal_jitter < 20, "{equal_jitter}");
        assert_ne!(down.base_micros(0), other.base_micros(0));
    }

    #[test]
    fn base_wanders_over_its_whole_range_and_returns() {
        let mobile = weather(&Profile::MOBILE_4G, 3, Direction::Down);
        let bases: Vec<_> = (0..20_000).map(|slot| mobile.base_micros(slot * SLOT_MICROS)).collect();
        assert_eq!(bases.iter().min(), Some(&20_000));
        assert_eq!(bases.iter().max(), Some(&50_000));
        assert!(
            (0..20_000).all(|slot| mobile.base_micros((slot + 60_000) * SLOT_MICROS) == bases[slot as usize])
        );
    }

    #[test]
    fn an_episode_holds_until_its_end() {
        let held =
            Conditions { held_until_micros: Some(9_000), ..weather(&Profile::LAN, 0, Direction::Up).at(0) };
        assert_eq!(held.released_micros(2_500), 9_000);
        assert_eq!(held.arrival_micros(2_500), 9_300 + held.jitter_micros);
    }
}
