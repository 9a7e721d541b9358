//! The ordered stream's rules, each by instants computed by hand, and all of them together against an oracle
//! that knows the future.

use tickwire_netsim::{Direction, OrderedLink, Profile, SEGMENT_BYTES, SEND_BUFFER_BYTES, Weather};

const SEED: u64 = 32;

/// Base 40 ms, so a round trip of 80 ms: recovery by a follower takes 1.25 x 80 + 10 = 110 ms and the resend
/// leaves after 70; by timeout it takes max(200, 160) = 200 ms and the resend leaves after 160.
const BARE: Profile = Profile {
    name: "bare",
    base_micros: 40_000,
    loss_ratio: 0.2,
    loss_burst_packets: 1.25,
    ..Profile::PERFECT
};

fn link(profile: &Profile) -> OrderedLink<u64> {
    OrderedLink::new(profile, SEED, 0, Direction::Down)
}

/// The first slot start, microseconds, at which exactly these of the slots `offsets` ms later are lost.
fn find(profile: &Profile, offsets: &[(u64, bool)]) -> u64 {
    let mut weather = Weather::new(profile, SEED, 0, Direction::Down);
    let mut is_match = |millis: u64| {
        offsets.iter().all(|&(offset, is_lost)| weather.at((millis + offset) * 1_000).is_lost == is_lost)
    };
    (1_000..10_000_000).find(|&millis| is_match(millis)).expect("somewhere it is so") * 1_000
}

fn drain(link: &mut OrderedLink<u64>) -> Vec<(u64, u64)> {
    std::iter::from_fn(|| link.receive(u64::MAX)).collect()
}

/// Sends messages of 100 B at `sent_millis` after `start_micros`, and expects their deliveries in ms after
/// it.
fn check(profile: &Profile, start_micros: u64, sent_millis: &[u64], delivered_millis: &[u64]) {
    let mut link = link(profile);
    for (number, millis) in sent_millis.iter().enumerate() {
        assert_eq!(link.try_send(start_micros + millis * 1_000, 100, number as u64), Ok(()));
    }
    let expected: Vec<_> =
        (0..).zip(delivered_millis).map(|(number, millis)| (start_micros + millis * 1_000, number)).collect();
    assert_eq!(drain(&mut link), expected);
}

#[test]
fn nothing_lost_arrives_after_the_base() {
    let start_micros = find(&BARE, &[(0, false), (7, false)]);
    check(&BARE, start_micros, &[0, 7], &[40, 47]);
}

#[test]
fn a_follower_within_a_round_trip_brings_it_after_110_ms() {
    let start_micros = find(&BARE, &[(0, true), (70, false), (80, false)]);
    check(&BARE, start_micros, &[0, 80], &[110, 120]);
}

#[test]
fn a_lost_follower_counts_as_sent() {
    // The follower at 50 is lost itself, alone, and timed out at 50 + 200.
    let start_micros = find(&BARE, &[(0, true), (50, true), (70, false), (210, false)]);
    check(&BARE, start_micros, &[0, 50], &[110, 250]);
}

#[test]
fn without_a_follower_it_takes_200_ms() {
    let start_micros = find(&BARE, &[(0, true), (160, false)]);
    check(&BARE, start_micros, &[0], &[200]);
}

#[test]
fn a_follower_after_the_round_trip_comes_too_late() {
    let start_micros = find(&BARE, &[(0, true), (81, false), (160, false)]);
    check(&BARE, start_micros, &[0, 81], &[200, 200]);
    let mut link = link(&BARE);
    assert_eq!(link.try_send(start_micros, 100, 0), Ok(()));
    assert_eq!(link.try_send(start_micros + 80_001, 100, 1), Ok(()));
    assert_eq!(link.next_arrival(), Some(start_micros + 200_000));
}

#[test]
fn without_a_follower_on_a_long_path_it_takes_two_round_trips() {
    let far = Profile { base_micros: 300_000, ..BARE };
    let start_micros = find(&far, &[(0, true), (900, false)]);
    check(&far, start_micros, &[0], &[1_200]);
    // And with one: 1.25 x 600 + 10, resent at 460.
    let start_micros = find(&far, &[(0, true), (460, false), (600, false)]);
    check(&far, start_micros, &[0, 600], &[760, 900]);
}

#[test]
fn all_behind_waits_and_comes_at_the_same_instant() {
    let start_micros = find(&BARE, &[(0, true), (10, false), (60, false), (70, false), (75, false)]);
    check(&BARE, start_micros, &[0, 10, 60, 75], &[110, 110, 110, 115]);
}

#[test]
fn lost_resends_add_200_then_400_then_800() {
    let start_micros = find(&BARE, &[(0, true), (1, false), (70, true), (270, false)]);
    check(&BARE, start_micros, &[0, 1], &[310, 310]);
    let start_micros = find(&BARE, &[(0, true), (1, false), (70, true), (270, true), (670, false)]);
    check(&BARE, start_micros, &[0, 1], &[710, 710]);
    let all_three = [(0, true), (1, false), (70, true), (270, true), (670, true), (1_470, false)];
    check(&BARE, find(&BARE, &all_three), &[0, 1], &[1_510, 1_510]);
    // After a timeout too: 200 + 200.
    let start_micros = find(&BARE, &[(0, true), (160, true), (360, false)]);
    check(&BARE, start_micros, &[0], &[400]);
}

#[test]
fn a_burst_is_recovered_segment_by_segment() {
    // 0 by 10, 10 by 20, 20 by nothing.
    let start_micros =
        find(&BARE, &[(0, true), (10, true), (20, true), (70, false), (80, false), (180, false)]);
    check(&BARE, start_micros, &[0, 10, 20], &[110, 120, 220]);
}

#[test]
fn a_message_ends_with_its_last_segment() {
    // A full segment takes 10 ms at 0.96 Mbit/s: three of them leave 10, 20 and 30 ms after the start.
    let slow = Profile { down_bits_per_second: Some(960_000), queue_micros: 1_000_000, ..BARE };
    let check_segments = |offsets: &[(u64, bool)], delivered_millis: u64, lost: u64| {
        let start_micros = find(&slow, offsets);
        let mut link = link(&slow);
        assert_eq!(link.try_send(start_micros, 3 * SEGMENT_BYTES, 1), Ok(()));
        assert_eq!(drain(&mut link), [(start_micros + delivered_millis * 1_000, 1)]);
        assert_eq!((link.counters().segments, link.counters().segments_lost), (3, lost));
    };
    check_segments(&[(10, false), (20, false), (30, false)], 70, 0);
    // The second follows the first: 10 + 110. Nothing follows the third: 30 + 200.
    check_segments(&[(10, true), (20, false), (30, false), (80, false)], 120, 1);
    check_segments(&[(10, false), (20, false), (30, true), (190, false)], 230, 1);
}

#[test]
fn an_episode_holds_a_resend() {
    let held =
        Profile { episode_interval_millis: 300, episode_min_millis: 30, episode_max_millis: 60, ..BARE };
    let mut weather = Weather::new(&held, SEED, 0, Direction::Down);
    // Lost, timed out, and resent at 160 ms into an episode.
    let (start_micros, end_micros) = (1_000..1_000_000)
        .map(|millis| millis * 1_000)
        .find_map(|start_micros| {
            let resend = weather.at(start_micros + 160_000);
            let is_lost = weather.at(start_micros).is_lost && !resend.is_lost;
            resend.held_until_micros.filter(|_| is_lost).map(|end_micros| (start_micros, end_micros))
        })
        .expect("somewhere it is so");
    let mut link = link(&held);
    assert_eq!(link.try_send(start_micros, 100, 1), Ok(()));
    assert_eq!(drain(&mut link), [(end_micros + 40_000, 1)]);
}

#[test]
fn reordering_is_a_wait_and_duplicates_are_unseen() {
    let shuffled = Profile {
        base_micros: 40_000,
        reorder_ratio: 0.2,
        reorder_min_micros: 30_000,
        reorder_max_micros: 30_000,
        duplicate_ratio: 1.0,
        ..Profile::PERFECT
    };
    let mut weather = Weather::new(&shuffled, SEED, 0, Direction::Down);
    let mut is_reordered = |millis: u64| weather.at(millis * 1_000).reorder_micros.is_some();
    let start_millis = (0..1_000).find(|&millis| is_reordered(millis) && !is_reordered(millis + 5));
    check(&shuffled, start_millis.expect("somewhere it is so") * 1_000, &[0, 5], &[70, 70]);
}

#[test]
fn the_send_buffer_is_freed_by_acknowledgements() {
    let clear = Profile { loss_ratio: 0.0, ..BARE };
    let mut link = link(&clear);
    assert_eq!(link.writable_bytes(0), SEND_BUFFER_BYTES);
    assert_eq!(link.try_send(0, 60_000, 1), Ok(()));
    assert_eq!(link.try_send(10_000, 5_537, 2), Err(2));
    assert_eq!(link.try_send(10_000, 5_536, 3), Ok(()));
    assert_eq!(link.writable_bytes(10_000), 0);
    // Delivered after 40 ms, acknowledged after 80.
    assert_eq!(link.writable_bytes(79_999), 0);
    assert_eq!(link.writable_bytes(80_000), 60_000);
    assert_eq!(link.writable_bytes(90_000), SEND_BUFFER_BYTES);
    assert_eq!(link.writable_at(20_000, 60_000), Some(80_000));
    assert_eq!(link.writable_at(20_000, 60_001), Some(90_000));
    assert_eq!(link.writable_at(85_000, 60_000), Some(85_000));
    assert_eq!(link.writable_at(85_000, 0), Some(85_000));
    assert_eq!(link.writable_at(85_000, SEND_BUFFER_BYTES + 1), None);
    assert_eq!(link.try_send(79_999, 1, 4), Err(4));
    assert_eq!(link.try_send(80_000, 60_000, 5), Ok(()));
    // Receiving late changes nothing for the sender.
    assert_eq!(drain(&mut link), [(40_000, 1), (50_000, 3), (120_000, 5)]);
    let counters = link.counters();
    assert_eq!((counters.sent, counters.delivered, counters.refused), (3, 3, 2));
    assert_eq!(counters.segments, 50 + 5 + 50);
}

#[test]
fn what_waits_for_a_resend_stays_in_the_send_buffer() {
    let start_micros = find(&BARE, &[(0, true), (10, false), (70, false), (160, false)]);
    let mut link = link(&BARE);
    assert_eq!(link.try_send(start_micros, 1_000, 1), Ok(()));
    // Alone it is delivered after 200 ms and acknowledged after 240. The follower makes that 110 and 150 for
    // both.
    assert_eq!(link.writable_at(start_micros, SEND_BUFFER_BYTES), Some(start_micros + 240_000));
    assert_eq!(link.try_send(start_micros + 10_000, 500, 2), Ok(()));
    assert_eq!(link.writable_bytes(start_micros + 149_999), SEND_BUFFER_BYTES - 1_500);
    assert_eq!(link.writable_bytes(start_micros + 150_000), SEND_BUFFER_BYTES);
}

#[test]
fn room_comes_in_order_even_if_the_base_delay_falls() {
    // Falls by up to 0.9 ms a millisecond, so later deliveries could be acknowledged sooner.
    let falling = Profile {
        base_micros: 50_000,
        base_wander_micros: 50_000,
        base_wander_period_micros: 350_000,
        ..Profile::PERFECT
    };
    let mut link = link(&falling);
    for number in 0..400 {
        assert_eq!(link.try_send(number * 617, 100, number), Ok(()));
        if number % 100 != 99 {
            continue;
        }
        for size_bytes in (0..=SEND_BUFFER_BYTES).rev().take(20_000).step_by(50) {
            let now_micros = number * 617;
            let at_micros = link.writable_at(now_micros, size_bytes).expect("it fits");
            assert!(link.writable_bytes(at_micros) >= size_bytes);
            assert!(at_micros == now_micros || link.writable_bytes(at_micros - 1) < size_bytes);
        }
    }
}

#[test]
fn an_empty_message_and_one_too_large() {
    let mut link = link(&Profile::PERFECT);
    assert_eq!(link.try_send(3, 0, 1), Ok(()));
    assert_eq!(link.try_send(3, SEND_BUFFER_BYTES + 1, 2), Err(2));
    assert_eq!(link.try_send(3, SEND_BUFFER_BYTES, 3), Ok(()));
    assert_eq!(drain(&mut link), [(3, 1), (3, 3)]);
}

#[test]
fn a_queue_drop_is_a_loss() {
    // One segment a 10 ms and no queue: of three at once, the second waits too long, and the third.
    let narrow = Profile { loss_ratio: 0.0, down_bits_per_second: Some(960_000), queue_micros: 0, ..BARE };
    let mut link = link(&narrow);
    for number in 0..3 {
        assert_eq!(link.try_send(1_000_000, SEGMENT_BYTES, number), Ok(()));
    }
    // The first leaves after 10 ms; the second has the third behind it, the third nothing.
    assert_eq!(drain(&mut link), [(1_050_000, 0), (1_110_000, 1), (1_200_000, 2)]);
    assert_eq!(link.counters().segments_lost, 2);
}

#[test]
fn no_named_queue_drops_what_the_send_buffer_holds() {
    for profile in Profile::ALL {
        for direction in [Direction::Down, Direction::Up] {
            let Some(bits_per_second) = profile.bits_per_second(direction) else {
                continue;
            };
            let buffer_micros = SEND_BUFFER_BYTES * 8 * 1_000_000 / bits_per_second;
            assert!(buffer_micros < profile.queue_micros, "{} {direction:?}", profile.name);
        }
    }
}

/// Small messages and large, close and far apart: instants, sizes.
fn script(mut word: u64, count: usize) -> Vec<(u64, u64)> {
    let mut below = |limit: u64| {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        word % limit
    };
    let mut now_micros = 0;
    let mut script = Vec::new();
    for _ in 0..count {
        now_micros += if below(4) == 0 { below(300_000) } else { below(20_000) };
        script.push((now_micros, if below(8) == 0 { below(2_600) } else { below(40) }));
    }
    script
}

/// Deliveries computed with all segments known beforehand, straight from the rules.
fn oracle(profile: &Profile, script: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut weather = Weather::new(profile, SEED, 0, Direction::Down);
    let segments: Vec<(u64, usize)> = script
        .iter()
        .enumerate()
        .flat_map(|(message, &(now, bytes))| {
            std::iter::repeat_n((now, message), bytes.div_ceil(SEGMENT_BYTES).max(1) as usize)
        })
        .collect();
    let mut delivered = 0;
    let mut deliveries = vec![(0, 0); script.len()];
    for (index, &(sent, message)) in segments.iter().enumerate() {
        let here = weather.at(sent);
        let base = here.base_micros;
        let mut arrival = sent.max(here.held_until_micros.unwrap_or(0))
            + base
            + here.jitter_micros
            + here.reorder_micros.unwrap_or(0);
        if here.is_lost {
            let has_follower = segments[index + 1..].iter().any(|&(later, _)| later - sent <= 2 * base);
            arrival = sent + if has_follower { 2 * base * 5 / 4 + 10_000 } else { 200_000.max(4 * base) };
            let mut added = 200_000;
            while weather.at(arrival - base).is_lost {
                arrival += added;
                added *= 2;
            }
            let held_until = weather.at(arrival - base).held_until_micros.unwrap_or(0);
            arrival = arrival.max(held_until + base);
        }
        delivered = delivered.max(arrival);
        deliveries[message] = (delivered, message as u64);
    }
    deliveries
}

/// Polls before each sending, every `poll_micros` or exactly when told (`None`), and after the last.
fn polled(profile: &Profile, script: &[(u64, u64)], poll_micros: Option<u64>) -> Vec<(u64, u64)> {
    let mut link = link(profile);
    let mut received = Vec::new();
    let mut now_micros = 0;
    for (number, &(sent_micros, bytes)) in script.iter().enumerate() {
        loop {
            let wake_micros = match poll_micros {
                Some(poll_micros) => now_micros + poll_micros,
                None => link.next_arrival().unwrap_or(u64::MAX),
            };
            if wake_micros > sent_micros {
                break;
            }
            now_micros = wake_micros;
            let before = received.len();
            received.extend(std::iter::from_fn(|| link.receive(now_micros)));
            // Woken when told, there is something to receive, and it is not late.
            assert!(poll_micros.is_some() || received[before..].iter().all(|&(at, _)| at == now_micros));
            assert!(poll_micros.is_some() || received.len() > before);
        }
        now_micros = sent_micros;
        let was_taken = link.try_send(now_micros, bytes, number as u64).is_ok();
        assert!(was_taken, "{}: the script does not fit into the send buffer", profile.name);
    }
    received.extend(drain(&mut link));
    received
}

#[test]
fn every_way_of_polling_agrees_with_the_oracle() {
    // Without a rate the sending is the call, which keeps the oracle free of a queue.
    let wild = Profile {
        down_bits_per_second: None,
        loss_ratio: 0.1,
        loss_burst_packets: 1.3,
        ..Profile::MOBILE_4G
    };
    let rough = Profile { down_bits_per_second: None, ..Profile::LOSSY };
    let near = Profile { base_micros: 3_000, ..BARE };
    for profile in [BARE, wild, rough, near] {
        for seed in 1..=10 {
            let script = script(seed, 1_000);
            let expected = oracle(&profile, &script);
            let agree = |poll_micros| polled(&profile, &script, poll_micros) == expected;
            assert!(agree(None), "{} script {seed}: woken when told", profile.name);
            assert!(agree(Some(1_000)), "{} script {seed}: every millisecond", profile.name);
            assert!(agree(Some(u64::MAX / 2)), "{} script {seed}: at the end only", profile.name);
        }
    }
}
