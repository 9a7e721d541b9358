//! When in the tick period each room ticks, so that not all rooms of a server do it at once.

use tickwire_protocol::{Micros, RoomId, TickRate};

/// 2^32 divided by the golden ratio: multiples of it, taken modulo 2^32, fall into the largest gap that the ones before
/// have left (Steinhaus's three-gap theorem), however many there are.
const GOLDEN: u32 = 0x9e37_79b9;

/// The latest instant up to `now` at which this room's tick is due. Instants of one room are whole periods apart, whenever
/// it is opened; those of different rooms are spread over the period.
pub(super) fn start(room: RoomId, rate: TickRate, now: Micros) -> Micros {
    let period = rate.due(1).0;
    let phase = Micros((u64::from(room.0.wrapping_mul(GOLDEN)) * period) >> 32);
    // In the first period of a server's life there is no such instant yet.
    let Some(since) = now.0.checked_sub(phase.0) else { return now };
    phase + rate.due(rate.steps_in(Micros(since)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_whole_periods_apart_and_not_in_the_future() {
        let rate = TickRate::new(60).unwrap();
        let first = start(RoomId(5), rate, Micros::from_secs(1));
        for millis in 1_001..3_000 {
            let now = Micros::from_millis(millis);
            let started = start(RoomId(5), rate, now);
            assert!(started <= now && now.saturating_since(started) <= rate.due(1) + Micros(1));
            let apart = started.saturating_since(first);
            let off = (0..=120).map(|count| rate.due(count).0.abs_diff(apart.0)).min().unwrap();
            assert!(off <= 1, "{off} us beside the room's instants");
        }
    }

    #[test]
    fn rooms_are_spread_over_the_period() {
        let rate = TickRate::new(60).unwrap();
        let period = rate.due(1).0;
        for rooms in [2_u32, 8, 64, 500] {
            let now = Micros::from_secs(10);
            let mut phases: Vec<_> =
                (1..=rooms).map(|room| start(RoomId(room), rate, now).0 % period).collect();
            phases.sort_unstable();
            let gaps = phases.windows(2).map(|pair| pair[1] - pair[0]);
            let around = period - phases[phases.len() - 1] + phases[0];
            let widest = gaps.chain([around]).max().unwrap();
            assert!(widest <= 2 * period / u64::from(rooms), "{rooms} rooms, widest gap {widest} us");
        }
    }

    #[test]
    fn the_first_room_of_a_young_server_starts_at_once() {
        assert_eq!(start(RoomId(1), TickRate::new(1).unwrap(), Micros(3)), Micros(3));
    }
}
