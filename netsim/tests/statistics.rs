//! Every named profile against the lab's table of links: first the parameters, then what a stream really
//! meets.
//!
//! The table is written out here a second time, so that a change in the profiles alone cannot pass.
//! `cargo test -p tickwire-netsim --test statistics -- --nocapture` prints what was measured.

use tickwire_netsim::{DatagramLink, Direction, Profile, SLOT_MICROS, Weather};

/// A row of the table: milliseconds, per cent and Mbit/s as they are written there.
struct Row {
    name: &'static str,
    base_ms: f64,
    wander_ms: f64,
    jitter_ms: (f64, f64),
    /// Every, shortest, longest.
    episodes_ms: Option<(u64, u64, u64)>,
    loss_percent: f64,
    burst: f64,
    /// Per cent, least, greatest ms.
    reorder: (f64, u64, u64),
    duplicate_percent: f64,
    mbit_down_up: Option<(u64, u64)>,
    queue_ms: u64,
}

const TABLE: [Row; 7] = [
    row("perfect", 0.0, (0.0, 0.0), None, (0.0, 1.0), None, 0),
    row("lan", 0.3, (0.05, 1.0), None, (0.0, 1.0), Some((1_000, 1_000)), 20),
    row("wifi", 10.0, (2.0, 30.0), Some((4_000, 20, 80)), (0.3, 2.0), Some((50, 20)), 100),
    row("cable", 12.0, (1.0, 15.0), None, (0.05, 1.0), Some((100, 10)), 150),
    Row {
        wander_ms: 15.0,
        reorder: (0.1, 5, 20),
        ..row("4g", 35.0, (6.0, 60.0), Some((6_000, 50, 200)), (0.5, 3.0), Some((12, 4)), 300)
    },
    Row {
        reorder: (2.0, 5, 30),
        duplicate_percent: 1.0,
        ..row("lossy", 40.0, (5.0, 50.0), None, (5.0, 2.0), Some((10, 5)), 200)
    },
    row("satellite", 300.0, (8.0, 80.0), Some((15_000, 100, 400)), (1.0, 4.0), Some((8, 2)), 500),
];

const fn row(
    name: &'static str,
    base_ms: f64,
    jitter_ms: (f64, f64),
    episodes_ms: Option<(u64, u64, u64)>,
    (loss_percent, burst): (f64, f64),
    mbit_down_up: Option<(u64, u64)>,
    queue_ms: u64,
) -> Row {
    let (wander_ms, reorder, duplicate_percent) = (0.0, (0.0, 0, 0), 0.0);
    Row {
        name,
        base_ms,
        wander_ms,
        jitter_ms,
        episodes_ms,
        loss_percent,
        burst,
        reorder,
        duplicate_percent,
        mbit_down_up,
        queue_ms,
    }
}

const SEED: u64 = 2_024;
const HOUR_MICROS: u64 = 3_600_000_000;
const DIRECTIONS: [Direction; 2] = [Direction::Down, Direction::Up];

fn profile(row: &Row) -> &'static Profile {
    Profile::named(row.name).expect("every row is a profile")
}

/// Within `relative` of what is expected, or equal.
fn check_near(what: &str, row: &Row, measured: f64, expected: f64, relative: f64) {
    let is_near = (measured - expected).abs() <= relative * expected.abs();
    assert!(is_near, "{} {what}: measured {measured}, expected {expected}", row.name);
}

#[test]
fn parameters_are_those_of_the_table() {
    for row in &TABLE {
        let profile = profile(row);
        let ms = |micros: u64| micros as f64 / 1_000.0;
        let exact = |what: &str, measured, expected| check_near(what, row, measured, expected, 1e-12);
        exact("base", ms(profile.base_micros), row.base_ms);
        exact("wander", ms(profile.base_wander_micros), row.wander_ms);
        exact("jitter", ms(profile.jitter_mean_micros), row.jitter_ms.0);
        exact("jitter cap", ms(profile.jitter_cap_micros), row.jitter_ms.1);
        exact("loss", profile.loss_ratio * 100.0, row.loss_percent);
        exact("burst", profile.loss_burst_packets, row.burst);
        exact("reorder", profile.reorder_ratio * 100.0, row.reorder.0);
        exact("duplicate", profile.duplicate_ratio * 100.0, row.duplicate_percent);
        let held_back = (profile.reorder_min_micros, profile.reorder_max_micros);
        assert_eq!(held_back, (row.reorder.1 * 1_000, row.reorder.2 * 1_000));
        let episodes =
            (profile.episode_interval_millis, profile.episode_min_millis, profile.episode_max_millis);
        assert_eq!(episodes, row.episodes_ms.unwrap_or((0, 0, 0)));
        assert_eq!(profile.down_bits_per_second, row.mbit_down_up.map(|(down, _)| down * 1_000_000));
        assert_eq!(profile.up_bits_per_second, row.mbit_down_up.map(|(_, up)| up * 1_000_000));
        assert_eq!(profile.queue_micros, row.queue_ms * 1_000);
    }
    assert_eq!(Profile::MOBILE_4G.base_wander_period_micros, 20_000_000);
}

/// What one stream met over many links.
#[derive(Default)]
struct Stream {
    sent: u64,
    lost: u64,
    bursts: u64,
    delay_sum_micros: u64,
    delay_max_micros: u64,
}

impl Stream {
    /// Small datagrams at the lab's own spacing, one hour a link.
    fn run(row: &Row, direction: Direction, links: u64) -> Self {
        let interval_micros = match direction {
            Direction::Down => 50_000,
            Direction::Up => 16_667,
        };
        let mut stream = Self::default();
        for link in 0..links {
            stream.run_link(DatagramLink::new(profile(row), SEED, link, direction), interval_micros);
        }
        stream
    }

    fn run_link(&mut self, mut link: DatagramLink<u64>, interval_micros: u64) {
        let mut was_lost = false;
        for sent_micros in (0..HOUR_MICROS).step_by(interval_micros as usize) {
            let lost_before = link.counters().lost;
            link.send(sent_micros, 100, sent_micros);
            let is_lost = link.counters().lost > lost_before;
            self.bursts += u64::from(is_lost && !was_lost);
            was_lost = is_lost;
            while let Some((arrival_micros, sent_micros)) = link.receive(sent_micros) {
                self.delay_sum_micros += arrival_micros - sent_micros;
                self.delay_max_micros = self.delay_max_micros.max(arrival_micros - sent_micros);
            }
        }
        self.sent += link.counters().sent;
        self.lost += link.counters().lost;
    }

    fn delay_mean_ms(&self) -> f64 {
        self.delay_sum_micros as f64 / (self.sent - self.lost) as f64 / 1_000.0
    }
}

#[test]
fn loss_burst_and_delay_of_the_lab_streams() {
    println!("profile    way   datagrams   loss %   burst   delay mean ms   max ms");
    for row in &TABLE {
        for direction in DIRECTIONS {
            // Some 1,500 bursts: the mean rate is then good to about 4 %.
            let hourly = if direction == Direction::Down { 72_000.0 } else { 216_000.0 };
            let links = 1_500.0 * row.burst / (row.loss_percent / 100.0) / hourly;
            let stream = Stream::run(row, direction, if links.is_finite() { links.ceil() as u64 } else { 1 });
            let loss_percent = stream.lost as f64 * 100.0 / stream.sent as f64;
            let burst = stream.lost as f64 / stream.bursts.max(1) as f64;
            let delay_ms = stream.delay_mean_ms();
            let (name, sent, max_ms) = (row.name, stream.sent, stream.delay_max_micros as f64 / 1_000.0);
            print!("{name:<10} {direction:?}  {sent:>9}   {loss_percent:>6.3}   {burst:>5.3}");
            println!("   {delay_ms:>13.3}   {max_ms:>6.1}");
            check_near("loss", row, loss_percent, row.loss_percent, 0.1);
            if row.loss_percent > 0.0 {
                check_near("burst", row, burst, row.burst, 0.06);
            }
            check_delay(row, direction, delay_ms, stream.delay_max_micros);
        }
    }
}

fn check_delay(row: &Row, direction: Direction, delay_ms: f64, delay_max_micros: u64) {
    // A share of D / interval of the time lies in an episode of length D, and waits D / 2 on average.
    let (held_ms, episode_max_ms) = row.episodes_ms.map_or((0.0, 0.0), |(interval, min, max)| {
        let (min, max) = (min as f64, max as f64);
        let mean_square = (min * min + min * max + max * max) / 3.0;
        (mean_square / 2.0 / interval as f64, max)
    });
    let reordered_ms = row.reorder.0 / 100.0 * (row.reorder.1 + row.reorder.2) as f64 / 2.0;
    let duplicate_ms = row.duplicate_percent / 100.0 * (row.base_ms + row.jitter_ms.0 + 10.5);
    let mbit = row.mbit_down_up.map(|(down, up)| if direction == Direction::Down { down } else { up });
    let serialization_ms = mbit.map_or(0.0, |mbit| 0.8 / mbit as f64);
    let expected_ms =
        row.base_ms + row.jitter_ms.0 + held_ms + reordered_ms + duplicate_ms + serialization_ms;
    check_near("delay mean", row, delay_ms, expected_ms, 0.03);
    // In order, the slowest is bounded by what one alone may meet; held back or copied, by that on top.
    let extra_ms = row.reorder.2 as f64 + if row.duplicate_percent > 0.0 { 20.0 } else { 0.0 };
    let bound_ms = row.base_ms + row.wander_ms + row.jitter_ms.1 + episode_max_ms + extra_ms;
    assert!(delay_max_micros as f64 / 1_000.0 <= bound_ms + serialization_ms + 0.001, "{}", row.name);
}

#[test]
fn jitter_is_exponential_and_capped() {
    println!("profile    jitter mean ms   P(> mean)   P(> 3 means)   max ms");
    for row in TABLE.iter().filter(|row| row.jitter_ms.0 > 0.0) {
        let mut weather = Weather::new(profile(row), SEED, 0, Direction::Down);
        let slots = 1_000_000;
        let micros = |slot: u64| slot * SLOT_MICROS;
        let jitters: Vec<_> =
            (0..slots).map(|slot| weather.at(micros(slot)).jitter_micros as f64 / 1_000.0).collect();
        let (mean_ms, cap_ms) = row.jitter_ms;
        let measured_ms = jitters.iter().sum::<f64>() / slots as f64;
        let above =
            |limit: f64| jitters.iter().filter(|&&jitter| jitter > limit).count() as f64 / slots as f64;
        let max_ms = jitters.iter().copied().fold(0.0, f64::max);
        let (one, three) = (above(mean_ms), above(3.0 * mean_ms));
        println!("{:<10} {measured_ms:>14.4}   {one:>9.4}   {three:>12.4}   {max_ms:>6.3}", row.name);
        check_near("jitter mean", row, measured_ms, mean_ms, 0.005);
        // A microsecond is 2 % of the lan's mean, hence the tolerance.
        check_near("P(jitter > mean)", row, one, 0.367_9, 0.02);
        check_near("P(jitter > 3 means)", row, three, 0.049_8, 0.03);
        assert!(max_ms <= cap_ms && max_ms > 0.6 * cap_ms, "{}: {max_ms}", row.name);
    }
}

#[test]
fn episodes_come_as_often_and_last_as_long_as_told() {
    println!("profile    way   episodes   every ms   mean ms   min   max");
    for row in &TABLE {
        let Some((interval_ms, min_ms, max_ms)) = row.episodes_ms else {
            let mut weather = Weather::new(profile(row), SEED, 0, Direction::Down);
            assert!((0..100_000).all(|slot| weather.at(slot * SLOT_MICROS).held_until_micros.is_none()));
            continue;
        };
        for direction in DIRECTIONS {
            let lengths = episode_lengths_ms(row, direction, interval_ms * 3_000);
            let count = lengths.len() as f64;
            let every_ms = (interval_ms * 3_000) as f64 / count;
            let mean_ms = lengths.iter().sum::<u64>() as f64 / count;
            let (min, max) = (lengths.iter().min().copied(), lengths.iter().max().copied());
            println!(
                "{:<10} {direction:?} {count:>9}   {every_ms:>8.0}   {mean_ms:>7.1}   {min:?} {max:?}",
                row.name
            );
            check_near("episode interval", row, every_ms, interval_ms as f64, 0.05);
            check_near("episode length", row, mean_ms, (min_ms + max_ms) as f64 / 2.0, 0.03);
            assert_eq!((min, max), (Some(min_ms), Some(max_ms)), "3,000 draws reach both ends");
        }
    }
}

fn episode_lengths_ms(row: &Row, direction: Direction, total_ms: u64) -> Vec<u64> {
    let mut weather = Weather::new(profile(row), SEED, 0, direction);
    let mut lengths = Vec::new();
    let mut slot = 0;
    while slot < total_ms {
        if let Some(end_micros) = weather.at(slot * SLOT_MICROS).held_until_micros {
            let end_slot = end_micros / SLOT_MICROS;
            lengths.push(end_slot - slot);
            slot = end_slot;
        } else {
            slot += 1;
        }
    }
    lengths
}

#[test]
fn reordered_and_doubled_shares() {
    println!("profile    reordered %   by ms          doubled %");
    for row in &TABLE {
        let mut weather = Weather::new(profile(row), SEED, 0, Direction::Up);
        let slots = 2_000_000;
        let mut held_back = Vec::new();
        let mut doubled = 0;
        for slot in 0..slots {
            let conditions = weather.at(slot * SLOT_MICROS);
            held_back.extend(conditions.reorder_micros);
            doubled += u64::from(conditions.duplicate_micros.is_some());
        }
        let percent = |count: u64| count as f64 * 100.0 / slots as f64;
        let (percent_reordered, percent_doubled) = (percent(held_back.len() as u64), percent(doubled));
        let (min, max) = (held_back.iter().min().copied(), held_back.iter().max().copied());
        println!("{:<10} {percent_reordered:>11.4}   {min:?} {max:?}   {percent_doubled:.4}", row.name);
        check_near("reordered", row, percent_reordered, row.reorder.0, 0.06);
        check_near("doubled", row, percent_doubled, row.duplicate_percent, 0.03);
        let mean_ms = held_back.iter().sum::<u64>() as f64 / held_back.len().max(1) as f64 / 1_000.0;
        check_near("held back", row, mean_ms, (row.reorder.1 + row.reorder.2) as f64 / 2.0, 0.03);
        let (least, greatest) = (row.reorder.1 * 1_000, row.reorder.2 * 1_000);
        assert!(held_back.iter().all(|micros| (least..=greatest).contains(micros)));
    }
}

#[test]
fn rate_and_queue_hold_a_flood() {
    println!("profile    way   Mbit/s    longest wait ms");
    for row in TABLE.iter().filter(|row| row.mbit_down_up.is_some()) {
        let (down, up) = row.mbit_down_up.unwrap_or_default();
        for (direction, mbit) in [(Direction::Down, down), (Direction::Up, up)] {
            // Only rate and queue: whatever else delays would blur the two.
            let bare = Profile {
                queue_micros: profile(row).queue_micros,
                down_bits_per_second: profile(row).down_bits_per_second,
                up_bits_per_second: profile(row).up_bits_per_second,
                ..Profile::PERFECT
            };
            let mut link = DatagramLink::new(&bare, SEED, 0, direction);
            // Twice the rate for two seconds.
            let spacing_nanos = 1_200 * 8 * 1_000 / mbit / 2;
            let flood = 2_000_000_000 / spacing_nanos;
            let mut longest_wait_micros = 0;
            let mut delivered = 0_u64;
            for number in 0..flood {
                let now_micros = number * spacing_nanos / 1_000;
                link.send(now_micros, 1_200, now_micros);
                while let Some((arrival_micros, sent_micros)) = link.receive(now_micros) {
                    longest_wait_micros = longest_wait_micros.max(arrival_micros - sent_micros);
                    delivered += 1;
                }
            }
            let measured = delivered as f64 * 9_600.0 / 2e6;
            let wait_ms = longest_wait_micros as f64 / 1_000.0;
            println!("{:<10} {direction:?} {measured:>9.3}   {wait_ms:>14.3}", row.name);
            check_near("rate", row, measured, mbit as f64, 0.005);
            // The longest wait before the first bit, and then the datagram itself.
            check_near("queue", row, wait_ms, row.queue_ms as f64 + 9.6 / mbit as f64, 0.01);
            assert!(link.counters().queue_dropped > 0);
        }
    }
}
