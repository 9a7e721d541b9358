//! A link that carries datagrams: each is lost, late, doubled or overtaken on its own.

use std::collections::BTreeMap;

use crate::bottleneck::Bottleneck;
use crate::profile::{Direction, Profile};
use crate::weather::Weather;

/// One direction of a datagram link.
///
/// First in, first out, unless the weather reorders: what it holds back waits for nobody and nobody waits for
/// it. Instants given to [`send`](Self::send) must not decrease.
#[derive(Clone, Debug)]
pub struct DatagramLink<T> {
    weather: Weather,
    bottleneck: Bottleneck,
    /// By arrival, then in the order of sending, then whether it is a copy: the original comes first.
    in_flight: BTreeMap<(u64, u64, bool), T>,
    /// Nothing in order arrives before this.
    fifo_micros: u64,
    next_sequence: u64,
    newest_received: Option<u64>,
    counters: DatagramCounters,
}

/// What became of the datagrams of one direction. Copies are only in `duplicated`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DatagramCounters {
    /// Handed to the link.
    pub sent: u64,
    /// Received, copies not counted.
    pub delivered: u64,
    /// Lost by the weather.
    pub lost: u64,
    /// Dropped at the full queue.
    pub queue_dropped: u64,
    /// Doubled by the weather (the copy is under way or received).
    pub duplicated: u64,
    /// Received after one that was sent later, copies not counted.
    pub reordered: u64,
}

impl<T> DatagramLink<T> {
    /// The `direction` of link number `link`.
    ///
    /// Panics with [`Profile::fault`]'s text if a parameter is out of range.
    pub fn new(profile: &Profile, seed: u64, link: u64, direction: Direction) -> Self {
        Self {
            weather: Weather::new(profile, seed, link, direction),
            bottleneck: Bottleneck::new(profile.bits_per_second(direction), profile.queue_micros),
            in_flight: BTreeMap::new(),
            fifo_micros: 0,
            next_sequence: 0,
            newest_received: None,
            counters: DatagramCounters::default(),
        }
    }

    /// When the next datagram under way arrives, microseconds. It may be in the past, if nobody received it.
    pub fn next_arrival(&self) -> Option<u64> {
        self.in_flight.keys().next().map(|&(arrival_micros, ..)| arrival_micros)
    }

    /// The next datagram that has arrived by `now_micros`, with the instant of its arrival.
    pub fn receive(&mut self, now_micros: u64) -> Option<(u64, T)> {
        let entry = self.in_flight.first_entry()?;
        let &(arrival_micros, sequence, is_copy) = entry.key();
        if arrival_micros > now_micros {
            return None;
        }
        if !is_copy {
            self.counters.delivered += 1;
            self.counters.reordered += u64::from(self.newest_received > Some(sequence));
            self.newest_received = self.newest_received.max(Some(sequence));
        }
        Some((arrival_micros, entry.remove()))
    }

    /// What became of the datagrams so far.
    pub fn counters(&self) -> DatagramCounters {
        self.counters
    }
}

impl<T: Clone> DatagramLink<T> {
    /// Sends a datagram of `size_bytes`, which counts for the rate and the queue only.
    pub fn send(&mut self, now_micros: u64, size_bytes: u64, payload: T) {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.counters.sent += 1;
        let Some(departure_micros) = self.bottleneck.admit(now_micros, size_bytes) else {
            self.counters.queue_dropped += 1;
            return;
        };
        let conditions = self.weather.at(departure_micros);
        if conditions.is_lost {
            self.counters.lost += 1;
            return;
        }
        let in_order_micros = conditions.arrival_micros(departure_micros).max(self.fifo_micros);
        if conditions.reorder_micros.is_none() {
            self.fifo_micros = in_order_micros;
        }
        let arrival_micros = in_order_micros + conditions.reorder_micros.unwrap_or(0);
        if let Some(behind_micros) = conditions.duplicate_micros {
            self.counters.duplicated += 1;
            let key = (arrival_micros + behind_micros, sequence, true);
            self.in_flight.insert(key, payload.clone());
        }
        self.in_flight.insert((arrival_micros, sequence, false), payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(profile: &Profile) -> DatagramLink<u32> {
        DatagramLink::new(profile, 1, 0, Direction::Up)
    }

    #[test]
    fn perfect_delivers_at_once_and_in_order() {
        let mut perfect = link(&Profile::PERFECT);
        perfect.send(5, 1_000_000, 1);
        perfect.send(5, 1_000_000, 2);
        assert_eq!(perfect.next_arrival(), Some(5));
        assert_eq!(perfect.receive(4), None);
        assert_eq!(perfect.receive(5), Some((5, 1)));
        assert_eq!(perfect.receive(9), Some((5, 2)));
        assert_eq!(perfect.receive(9), None);
        assert_eq!(perfect.next_arrival(), None);
    }

    #[test]
    fn delay_is_serialization_and_base_without_jitter() {
        // 1,200 B at 9.6 Mbit/s take 1 ms each.
        let mut steady =
            link(&Profile { base_micros: 30_000, up_bits_per_second: Some(9_600_000), ..Profile::PERFECT });
        steady.send(0, 1_200, 1);
        steady.send(10_000, 1_200, 2);
        assert_eq!(steady.receive(u64::MAX), Some((31_000, 1)));
        assert_eq!(steady.receive(u64::MAX), Some((41_000, 2)));
    }

    #[test]
    fn jitter_never_changes_the_order() {
        let mut jittery =
            link(&Profile { jitter_mean_micros: 20_000, jitter_cap_micros: 200_000, ..Profile::PERFECT });
        (0..5_000).for_each(|number| jittery.send(u64::from(number) * 1_000, 100, number));
        let received: Vec<_> = std::iter::from_fn(|| jittery.receive(u64::MAX)).collect();
        assert!(received.is_sorted());
        assert_eq!(received.len(), 5_000);
        assert_eq!(jittery.counters().reordered, 0);
    }

    #[test]
    fn reordered_ones_wait_for_nobody_and_nobody_waits_for_them() {
        let profile = Profile {
            base_micros: 10_000,
            jitter_mean_micros: 2_000,
            jitter_cap_micros: 20_000,
            reorder_ratio: 0.1,
            reorder_min_micros: 5_000,
            reorder_max_micros: 30_000,
            ..Profile::PERFECT
        };
        let mut weather = Weather::new(&profile, 1, 0, Direction::Up);
        let mut shuffled = link(&profile);
        let mut expected = Vec::new();
        let mut fifo_micros = 0;
        for number in 0..1_000 {
            let sent_micros = u64::from(number) * 1_000;
            shuffled.send(sent_micros, 100, number);
            let conditions = weather.at(sent_micros);
            let in_order_micros = fifo_micros.max(sent_micros + 10_000 + conditions.jitter_micros);
            if conditions.reorder_micros.is_none() {
                fifo_micros = in_order_micros;
            }
            expected.push((in_order_micros + conditions.reorder_micros.unwrap_or(0), number));
        }
        expected.sort_unstable();
        let received: Vec<_> = std::iter::from_fn(|| shuffled.receive(u64::MAX)).collect();
        assert_eq!(received, expected);
        // Overtaken: something sent later was received before.
        let mut newest = 0;
        let is_overtaken = |&&(_, number): &&(u64, u32)| {
            newest = number.max(newest);
            number < newest
        };
        let overtaken = received.iter().filter(is_overtaken).count() as u64;
        assert!(overtaken > 50);
        assert_eq!(shuffled.counters().reordered, overtaken);
    }

    #[test]
    fn a_copy_follows_its_original() {
        let mut doubled = link(&Profile { duplicate_ratio: 1.0, ..Profile::PERFECT });
        doubled.send(0, 100, 7);
        assert_eq!(doubled.receive(u64::MAX), Some((0, 7)));
        let (copy_micros, payload) = doubled.receive(u64::MAX).expect("the copy");
        assert!((1_000..=20_000).contains(&copy_micros));
        assert_eq!(payload, 7);
        let expected =
            DatagramCounters { sent: 1, delivered: 1, duplicated: 1, ..DatagramCounters::default() };
        assert_eq!(doubled.counters(), expected);
    }

    #[test]
    fn a_full_queue_drops_the_newest() {
        // 1,200 B at 9.6 Mbit/s take 1 ms: eleven may wait 0 to 10 ms.
        let mut narrow =
            link(&Profile { up_bits_per_second: Some(9_600_000), queue_micros: 10_000, ..Profile::PERFECT });
        (0..100).for_each(|number| narrow.send(0, 1_200, number));
        let received: Vec<_> = std::iter::from_fn(|| narrow.receive(u64::MAX)).collect();
        let expected: Vec<_> = (0..11).map(|number| (u64::from(number + 1) * 1_000, number)).collect();
        assert_eq!(received, expected);
        assert_eq!(narrow.counters().queue_dropped, 89);
    }
}
