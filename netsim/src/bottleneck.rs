//! The slowest hop of a link: a rate and a drop-tail queue before it.

/// Serves what is admitted one after the other at the rate.
#[derive(Clone, Debug)]
pub(crate) struct Bottleneck {
    bits_per_second: Option<u64>,
    queue_nanos: u64,
    /// When the last admitted bit will have left. Nanoseconds, for at 1 Gbit/s a byte takes 8 of them.
    free_at_nanos: u64,
}

impl Bottleneck {
    pub(crate) fn new(bits_per_second: Option<u64>, queue_micros: u64) -> Self {
        Self { bits_per_second, queue_nanos: queue_micros.saturating_mul(1_000), free_at_nanos: 0 }
    }

    /// The instant, rounded up to microseconds, at which the last of `size_bytes` leaves; `None` if the queue
    /// is full.
    pub(crate) fn admit(&mut self, now_micros: u64, size_bytes: u64) -> Option<u64> {
        let Some(bits_per_second) = self.bits_per_second else {
            return Some(now_micros);
        };
        let now_nanos = now_micros.saturating_mul(1_000);
        let start_nanos = self.free_at_nanos.max(now_nanos);
        if start_nanos - now_nanos > self.queue_nanos {
            return None;
        }
        let serialization_nanos = u128::from(size_bytes) * 8_000_000_000 / u128::from(bits_per_second);
        self.free_at_nanos =
            start_nanos.saturating_add(u64::try_from(serialization_nanos).unwrap_or(u64::MAX));
        Some(self.free_at_nanos.div_ceil(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn departures_are_spaced_by_the_rate() {
        // 1,200 B at 9.6 Mbit/s take exactly 1 ms.
        let mut bottleneck = Bottleneck::new(Some(9_600_000), 10_000);
        assert_eq!(bottleneck.admit(500, 1_200), Some(1_500));
        assert_eq!(bottleneck.admit(500, 1_200), Some(2_500));
        assert_eq!(bottleneck.admit(9_000, 600), Some(9_500));
    }

    #[test]
    fn what_would_wait_longer_than_the_queue_is_dropped() {
        let mut bottleneck = Bottleneck::new(Some(9_600_000), 3_000);
        for departure_micros in [1_000, 2_000, 3_000, 4_000] {
            assert_eq!(bottleneck.admit(0, 1_200), Some(departure_micros));
        }
        assert_eq!(bottleneck.admit(0, 1_200), None);
        assert_eq!(bottleneck.admit(999, 1_200), None);
        assert_eq!(bottleneck.admit(1_000, 1_200), Some(5_000));
    }

    #[test]
    fn small_sizes_at_a_high_rate_add_up() {
        // 100 B at 1 Gbit/s take 800 ns: ten of them 8 us, although each alone is below one.
        let mut bottleneck = Bottleneck::new(Some(1_000_000_000), 20_000);
        let last = (0..10).filter_map(|_| bottleneck.admit(0, 100)).last();
        assert_eq!(last, Some(8));
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut bottleneck = Bottleneck::new(None, 0);
        assert_eq!(bottleneck.admit(7, u64::MAX), Some(7));
        assert_eq!(bottleneck.admit(7, u64::MAX), Some(7));
    }
}
