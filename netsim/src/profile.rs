//! What a link is: every parameter with its unit, and the named profiles of the lab.

/// Which way a link carries. The two directions of a link have weather of their own, but the same base delay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Server to client.
    Down,
    /// Client to server.
    Up,
}

/// The parameters of a link.
///
/// Delay is base + jitter + what an episode holds. Loss is Gilbert-Elliott: everything that leaves in a bad
/// slot is lost, nothing in a good one. Build your own from a named one:
///
/// ```
/// use tickwire_netsim::Profile;
/// let hotel = Profile { name: "hotel", loss_ratio: 0.02, loss_burst_packets: 5.0, ..Profile::WIFI };
/// assert_eq!(hotel.fault(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// For reports; decides nothing.
    pub name: &'static str,
    /// Mean base delay one way, microseconds, alike in both directions; at most 60 s, like every delay here.
    pub base_micros: u64,
    /// The base delay swings by plus and minus this as a sine, microseconds; at most `base_micros`. The phase
    /// belongs to seed and link, not to the direction, so that a clock can be estimated without error.
    pub base_wander_micros: u64,
    /// Period of that swing, microseconds; at least 1 where there is one.
    pub base_wander_period_micros: u64,
    /// Mean of the exponential jitter before the cap, microseconds.
    pub jitter_mean_micros: u64,
    /// Greatest jitter, microseconds. Larger draws are set to it: at ten means that takes 0.005 % off the
    /// mean.
    pub jitter_cap_micros: u64,
    /// Mean time from the start of an episode to the start of the next, milliseconds; 0 = no episodes. More
    /// than `episode_max_millis`.
    pub episode_interval_millis: u64,
    /// Shortest episode, milliseconds; at least 1 where there are any.
    pub episode_min_millis: u64,
    /// Longest episode, milliseconds; at least `episode_min_millis`. Lengths are uniform.
    pub episode_max_millis: u64,
    /// Mean share of slots, and so of datagrams or segments, lost: 0 up to but not including 1.
    pub loss_ratio: f64,
    /// Mean number of successive losses in a stream that sends one every `loss_burst_interval_*_micros`; at
    /// least 1. Independent slots are the floor: less than 1 / (1 - `loss_ratio`) gives that.
    pub loss_burst_packets: f64,
    /// Spacing at which `loss_burst_packets` holds downwards, microseconds; at least 1,000. Bad weather lasts
    /// for a time, so a stream at another spacing sees bursts of another number.
    pub loss_burst_interval_down_micros: u64,
    /// Spacing at which `loss_burst_packets` holds upwards, microseconds; at least 1,000.
    pub loss_burst_interval_up_micros: u64,
    /// Share of slots in which a datagram is held back and others may overtake it: 0 to 1.
    pub reorder_ratio: f64,
    /// Least time it is held back, microseconds.
    pub reorder_min_micros: u64,
    /// Greatest time it is held back, microseconds; at least the least. Uniform between them.
    pub reorder_max_micros: u64,
    /// Share of slots in which a datagram arrives twice: 0 to 1.
    pub duplicate_ratio: f64,
    /// Rate towards the client, bits per second, at least 1; `None` = no limit.
    pub down_bits_per_second: Option<u64>,
    /// Rate towards the server, bits per second, at least 1; `None` = no limit.
    pub up_bits_per_second: Option<u64>,
    /// Longest wait in the queue before the first bit leaves, microseconds; what would wait longer is
    /// dropped. Without a rate nothing waits.
    pub queue_micros: u64,
}

impl Profile {
    /// Nothing is delayed, lost or limited.
    pub const PERFECT: Self = Self {
        name: "perfect",
        base_micros: 0,
        base_wander_micros: 0,
        base_wander_period_micros: 0,
        jitter_mean_micros: 0,
        jitter_cap_micros: 0,
        episode_interval_millis: 0,
        episode_min_millis: 0,
        episode_max_millis: 0,
        loss_ratio: 0.0,
        loss_burst_packets: 1.0,
        // The lab's two streams: snapshots at 20 Hz down, inputs at 60 Hz up.
        loss_burst_interval_down_micros: 50_000,
        loss_burst_interval_up_micros: 16_667,
        reorder_ratio: 0.0,
        reorder_min_micros: 0,
        reorder_max_micros: 0,
        duplicate_ratio: 0.0,
        down_bits_per_second: None,
        up_bits_per_second: None,
        queue_micros: 0,
    };

    /// A wired local network.
    pub const LAN: Self = Self {
        name: "lan",
        base_micros: 300,
        jitter_mean_micros: 50,
        jitter_cap_micros: 1_000,
        down_bits_per_second: Some(1_000_000_000),
        up_bits_per_second: Some(1_000_000_000),
        queue_micros: 20_000,
        ..Self::PERFECT
    };

    /// A home radio network: short holds, little loss.
    pub const WIFI: Self = Self {
        name: "wifi",
        base_micros: 10_000,
        jitter_mean_micros: 2_000,
        jitter_cap_micros: 30_000,
        episode_interval_millis: 4_000,
        episode_min_millis: 20,
        episode_max_millis: 80,
        loss_ratio: 0.003,
        loss_burst_packets: 2.0,
        down_bits_per_second: Some(50_000_000),
        up_bits_per_second: Some(20_000_000),
        queue_micros: 100_000,
        ..Self::PERFECT
    };

    /// A good wired access.
    pub const CABLE: Self = Self {
        name: "cable",
        base_micros: 12_000,
        jitter_mean_micros: 1_000,
        jitter_cap_micros: 15_000,
        loss_ratio: 0.0005,
        loss_burst_packets: 1.0,
        down_bits_per_second: Some(100_000_000),
        up_bits_per_second: Some(10_000_000),
        queue_micros: 150_000,
        ..Self::PERFECT
    };

    /// A mobile network: a base delay that wanders, long holds, a deep queue.
    pub const MOBILE_4G: Self = Self {
        name: "4g",
        base_micros: 35_000,
        base_wander_micros: 15_000,
        base_wander_period_micros: 20_000_000,
        jitter_mean_micros: 6_000,
        jitter_cap_micros: 60_000,
        episode_interval_millis: 6_000,
        episode_min_millis: 50,
        episode_max_millis: 200,
        loss_ratio: 0.005,
        loss_burst_packets: 3.0,
        reorder_ratio: 0.001,
        reorder_min_micros: 5_000,
        reorder_max_micros: 20_000,
        down_bits_per_second: Some(12_000_000),
        up_bits_per_second: Some(4_000_000),
        queue_micros: 300_000,
        ..Self::PERFECT
    };

    /// A bad path: much loss, reordering, duplicates.
    pub const LOSSY: Self = Self {
        name: "lossy",
        base_micros: 40_000,
        jitter_mean_micros: 5_000,
        jitter_cap_micros: 50_000,
        loss_ratio: 0.05,
        loss_burst_packets: 2.0,
        reorder_ratio: 0.02,
        reorder_min_micros: 5_000,
        reorder_max_micros: 30_000,
        duplicate_ratio: 0.01,
        down_bits_per_second: Some(10_000_000),
        up_bits_per_second: Some(5_000_000),
        queue_micros: 200_000,
        ..Self::PERFECT
    };

    /// A geostationary hop.
    pub const SATELLITE: Self = Self {
        name: "satellite",
        base_micros: 300_000,
        jitter_mean_micros: 8_000,
        jitter_cap_micros: 80_000,
        episode_interval_millis: 15_000,
        episode_min_millis: 100,
        episode_max_millis: 400,
        loss_ratio: 0.01,
        loss_burst_packets: 4.0,
        down_bits_per_second: Some(8_000_000),
        up_bits_per_second: Some(2_000_000),
        queue_micros: 500_000,
        ..Self::PERFECT
    };

    /// What is left of a link that others use as well: 64 kbit/s each way, and a buffer that takes seconds to run empty.
    /// Whoever fills it shows old state. It is none of the lab's links.
    pub const NARROW: Self = Self {
        name: "64k",
        base_micros: 30_000,
        jitter_mean_micros: 2_000,
        jitter_cap_micros: 20_000,
        down_bits_per_second: Some(64_000),
        up_bits_per_second: Some(64_000),
        // More than the send buffer of an ordered stream takes to run empty.
        queue_micros: 10_000_000,
        ..Self::PERFECT
    };

    /// The lab's profiles, from the best to the worst delay.
    pub const ALL: &'static [Self] =
        &[Self::PERFECT, Self::LAN, Self::WIFI, Self::CABLE, Self::MOBILE_4G, Self::LOSSY, Self::SATELLITE];

    /// The profile of that name: one of [`Profile::ALL`], or [`Profile::NARROW`].
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().chain([&Self::NARROW]).find(|profile| profile.name == name)
    }

    /// What is wrong with the first parameter outside its range, for profiles that are not built in. A link
    /// made of such a profile panics with this text.
    pub fn fault(&self) -> Option<&'static str> {
        let has_episodes = self.episode_interval_millis > 0;
        let share = 0.0..=1.0;
        let longest_micros = self
            .base_micros
            .max(self.jitter_cap_micros)
            .max(self.reorder_max_micros)
            .max(self.episode_max_millis.saturating_mul(1_000));
        let rules = [
            (longest_micros <= DELAY_MICROS_MAX, "a delay is more than 60 s"),
            (self.base_wander_micros <= self.base_micros, "base_wander_micros is more than base_micros"),
            (
                self.base_wander_micros == 0 || self.base_wander_period_micros > 0,
                "base_wander_period_micros is 0 with a wander",
            ),
            (
                !has_episodes || (1..=self.episode_max_millis).contains(&self.episode_min_millis),
                "episode_min_millis is not in 1..=episode_max_millis",
            ),
            (
                !has_episodes || self.episode_interval_millis > self.episode_max_millis,
                "episode_interval_millis is not more than episode_max_millis",
            ),
            ((0.0..1.0).contains(&self.loss_ratio), "loss_ratio is not in 0..1"),
            (
                self.loss_burst_packets >= 1.0 && self.loss_burst_packets.is_finite(),
                "loss_burst_packets is less than 1 or not finite",
            ),
            (
                self.loss_burst_interval_down_micros >= 1_000 && self.loss_burst_interval_up_micros >= 1_000,
                "loss_burst_interval_micros is less than 1,000",
            ),
            (share.contains(&self.reorder_ratio), "reorder_ratio is not in 0..=1"),
            (
                self.reorder_min_micros <= self.reorder_max_micros,
                "reorder_min_micros is more than reorder_max_micros",
            ),
            (share.contains(&self.duplicate_ratio), "duplicate_ratio is not in 0..=1"),
            (
                self.down_bits_per_second != Some(0) && self.up_bits_per_second != Some(0),
                "bits_per_second is 0: say None for no limit",
            ),
        ];
        rules.iter().find(|(is_kept, _)| !is_kept).map(|&(_, text)| text)
    }

    /// Rate in that direction, bits per second; `None` = no limit.
    pub const fn bits_per_second(&self, direction: Direction) -> Option<u64> {
        match direction {
            Direction::Down => self.down_bits_per_second,
            Direction::Up => self.up_bits_per_second,
        }
    }

    /// Spacing at which `loss_burst_packets` holds in that direction, microseconds.
    pub const fn loss_burst_interval_micros(&self, direction: Direction) -> u64 {
        match direction {
            Direction::Down => self.loss_burst_interval_down_micros,
            Direction::Up => self.loss_burst_interval_up_micros,
        }
    }
}

/// 60 s: no link is worse, and no sum of delays comes near the end of the clock.
const DELAY_MICROS_MAX: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_profile_is_found_and_in_range() {
        let names: Vec<_> = Profile::ALL.iter().map(|profile| profile.name).collect();
        assert_eq!(names, ["perfect", "lan", "wifi", "cable", "4g", "lossy", "satellite"]);
        for profile in Profile::ALL.iter().chain([&Profile::NARROW]) {
            assert_eq!(Profile::named(profile.name), Some(profile));
            assert_eq!(profile.fault(), None, "{}", profile.name);
        }
        assert_eq!(Profile::named("dial-up"), None);
    }

    #[test]
    fn faults_are_named() {
        let check =
            |profile: Profile, word: &str| assert!(profile.fault().expect("a fault").starts_with(word));
        check(Profile { base_micros: 60_000_001, ..Profile::LOSSY }, "a delay");
        check(Profile { episode_max_millis: u64::MAX, ..Profile::WIFI }, "a delay");
        check(Profile { loss_ratio: 1.0, ..Profile::LOSSY }, "loss_ratio");
        check(Profile { loss_ratio: f64::NAN, ..Profile::LOSSY }, "loss_ratio");
        check(Profile { loss_burst_packets: 0.5, ..Profile::LOSSY }, "loss_burst_packets");
        check(Profile { base_wander_micros: 1, ..Profile::PERFECT }, "base_wander_micros");
        check(Profile { base_wander_period_micros: 0, ..Profile::MOBILE_4G }, "base_wander_period");
        check(Profile { episode_min_millis: 0, ..Profile::WIFI }, "episode_min");
        check(Profile { episode_interval_millis: 80, ..Profile::WIFI }, "episode_interval");
        check(Profile { reorder_min_micros: 40_000, ..Profile::LOSSY }, "reorder_min");
        check(Profile { duplicate_ratio: 1.5, ..Profile::LOSSY }, "duplicate_ratio");
        check(Profile { up_bits_per_second: Some(0), ..Profile::LOSSY }, "bits_per_second");
    }
}
