//! Same arguments, same transcript: whatever was sent besides, whatever was asked, on every target.

use tickwire_netsim::{DatagramLink, Direction, OrderedLink, Profile, SLOT_MICROS, Weather};

/// A small generator for the tests' own scripts: not the crate's, so that the two cannot agree by accident.
struct Script(u64);

impl Script {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// FNV-1a over the numbers of a transcript.
fn fold(digest: u64, number: u64) -> u64 {
    let add = |digest: u64, &byte: &u8| (digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3);
    number.to_le_bytes().iter().fold(digest, add)
}

fn transcript(profile: &Profile, seed: u64, link: u64) -> u64 {
    let mut digest = 0xCBF2_9CE4_8422_2325;
    for direction in [Direction::Down, Direction::Up] {
        let mut script = Script(99);
        let mut datagrams = DatagramLink::new(profile, seed, link, direction);
        let mut stream = OrderedLink::new(profile, seed, link, direction);
        let mut now_micros = 0;
        for number in 0..20_000_u64 {
            now_micros += script.below(30_000);
            datagrams.send(now_micros, script.below(1_200), number);
            digest =
                fold(digest, u64::from(stream.try_send(now_micros, script.below(5_000), number).is_ok()));
            while let Some((arrival_micros, number)) = datagrams.receive(now_micros) {
                digest = fold(fold(digest, arrival_micros), number);
            }
            while let Some((arrival_micros, number)) = stream.receive(now_micros) {
                digest = fold(fold(digest, arrival_micros), number);
            }
        }
    }
    digest
}

#[test]
fn same_seed_same_transcript_and_no_other() {
    for profile in Profile::ALL.iter().filter(|profile| profile.jitter_mean_micros > 0) {
        let first = transcript(profile, 1, 0);
        assert_eq!(first, transcript(profile, 1, 0), "{}", profile.name);
        assert_ne!(first, transcript(profile, 2, 0), "{}", profile.name);
        assert_ne!(first, transcript(profile, 1, 1), "{}", profile.name);
    }
}

/// Recorded once: another target, compiler or version of a dependency has to give the same bits. A change
/// here changes every lab figure, and belongs in a decision.
#[test]
fn transcripts_are_the_recorded_ones() {
    let measured: Vec<_> =
        Profile::ALL.iter().map(|profile| (profile.name, transcript(profile, 7, 3))).collect();
    let recorded: [(&str, u64); 7] = [
        ("perfect", 0x1A59_06FE_ECD7_00AD),
        ("lan", 0xF8A2_219C_F6C9_5917),
        ("wifi", 0x029E_FDC2_36EC_60BF),
        ("cable", 0x7CDB_5AA3_D93E_6D30),
        ("4g", 0x519A_A06B_61EA_ECC4),
        ("lossy", 0x4893_0595_53C7_5DB6),
        ("satellite", 0xFDC3_5023_B3FB_54D7),
    ];
    assert_eq!(measured, recorded);
}

#[test]
fn weather_does_not_depend_on_what_is_asked() {
    for profile in Profile::ALL {
        let slots = 200_000;
        let mut weather = Weather::new(profile, 5, 0, Direction::Up);
        let dense: Vec<_> = (0..slots).map(|slot| weather.at(slot * SLOT_MICROS)).collect();
        let mut sparse = Weather::new(profile, 5, 0, Direction::Up);
        for slot in (0..slots).step_by(1_013) {
            assert_eq!(sparse.at(slot * SLOT_MICROS), dense[slot as usize], "{} {slot}", profile.name);
        }
        let mut script = Script(17);
        let mut scattered = Weather::new(profile, 5, 0, Direction::Up);
        for _ in 0..2_000 {
            let slot = script.below(slots);
            assert_eq!(
                scattered.at(slot * SLOT_MICROS + 999),
                dense[slot as usize],
                "{} {slot}",
                profile.name
            );
        }
    }
}

/// Arrivals of datagrams sent every 50 ms, `None` for lost ones, with `extra` others in each gap.
fn arrivals(profile: &Profile, extra: u64) -> Vec<Option<u64>> {
    let mut link = DatagramLink::new(profile, 8, 0, Direction::Down);
    let count = 10_000;
    for number in 0..count {
        link.send(number * 50_000, 100, Some(number));
        for other in 1..=extra {
            link.send(number * 50_000 + other * 1_000, 100, None);
        }
    }
    let mut arrivals = vec![None; count as usize];
    while let Some((arrival_micros, payload)) = link.receive(u64::MAX) {
        if let Some(number) = payload {
            arrivals[number as usize].get_or_insert(arrival_micros);
        }
    }
    arrivals
}

#[test]
fn weather_does_not_depend_on_how_much_is_sent() {
    for profile in Profile::ALL {
        let losses = |extra| arrivals(profile, extra).iter().map(Option::is_none).collect::<Vec<_>>();
        let alone = losses(0);
        assert!(alone == losses(20), "{}: other losses", profile.name);
        assert_eq!(alone.contains(&true), profile.loss_ratio > 0.0, "{}", profile.name);
        // One's own traffic may only fill the queue and hold up what comes after it in order: with neither a
        // rate nor delays beyond the gap, the instants are the same too.
        let short = Profile {
            down_bits_per_second: None,
            jitter_cap_micros: profile.jitter_cap_micros.min(20_000),
            episode_interval_millis: 0,
            ..*profile
        };
        assert!(arrivals(&short, 0) == arrivals(&short, 20), "{}: other instants", profile.name);
    }
}

#[test]
fn datagrams_do_not_depend_on_polls() {
    for profile in Profile::ALL {
        let run = |poll_micros: Option<u64>| {
            let mut script = Script(3);
            let mut link = DatagramLink::new(profile, 4, 0, Direction::Up);
            let mut received = Vec::new();
            let mut now_micros = 0;
            for number in 0..5_000 {
                let next_micros = now_micros + script.below(20_000);
                while let Some(step_micros) = poll_micros
                    && now_micros < next_micros
                {
                    now_micros = next_micros.min(now_micros + step_micros);
                    received.extend(std::iter::from_fn(|| link.receive(now_micros)));
                }
                now_micros = next_micros;
                link.send(now_micros, 500, number);
            }
            received.extend(std::iter::from_fn(|| link.receive(u64::MAX)));
            (received, link.counters())
        };
        let at_the_end = run(None);
        assert_eq!(at_the_end, run(Some(1_000)), "{}", profile.name);
        assert_eq!(at_the_end, run(Some(7_777)), "{}", profile.name);
    }
}
