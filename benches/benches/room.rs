//! A room's tick with all its peers, in virtual time: no socket, but every byte that one would be handed.
//!
//! | bench | one iteration |
//! |---|---|
//! | `room_tick` | a step with its share of a snapshot: `advance`, then `poll_transmit` to whom something is due |
//! | `room_step` | `advance` alone: simulation and publishing |
//! | `room_snapshot` | one snapshot delivered to one client, with its share of the three steps before it |
//! | `room_transmit` | one snapshot delivered to one client, `poll_transmit` alone |
//! | `room_inbox` | one message of a client, with the inputs of three ticks |
//!
//! `arena` and `arena_fast`: everybody is shown everybody, and all share their bytes. `crowd`: a thousand who are each shown the nearest 64.

use std::cell::RefCell;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickwire_benches::SNAPSHOT_TICKS;
use tickwire_benches::arena::{Interval, Match};
use tickwire_protocol::snapshot::Coder;

/// How many bots play.
const BOTS: [u32; 2] = [16, 64];

/// How many play where each is shown the nearest, and how many these are.
const CROWD: u32 = 1_000;
const NEAREST: usize = 64;

/// How their room codes rows.
const CODERS: [Coder; 2] = [Coder::Dense, Coder::Fast];

/// What is timed of an interval, and in how many parts an interval falls.
struct Part {
    name: &'static str,
    time: fn(&Interval) -> Duration,
    count: fn(u32) -> u32,
}

const PARTS: [Part; 5] = [
    Part { name: "room_tick", time: |it| it.advance + it.transmit, count: |_| SNAPSHOT_TICKS },
    Part { name: "room_step", time: |it| it.advance, count: |_| SNAPSHOT_TICKS },
    Part { name: "room_snapshot", time: |it| it.advance + it.transmit, count: |bots| bots },
    Part { name: "room_transmit", time: |it| it.transmit, count: |bots| bots },
    Part { name: "room_inbox", time: |it| it.inbox, count: |bots| bots },
];

fn rooms(criterion: &mut Criterion) {
    for (bots, coder) in BOTS.into_iter().flat_map(|bots| CODERS.map(|coder| (bots, coder))) {
        let arena = if coder == Coder::Dense { "arena" } else { "arena_fast" };
        measure(criterion, arena, bots, || Match::new(bots, coder));
    }
    for coder in CODERS {
        let crowd = if coder == Coder::Dense { "crowd" } else { "crowd_fast" };
        measure(criterion, crowd, CROWD, || Match::crowd(CROWD, coder, NEAREST));
    }
}

/// Every part of a match; it is opened when the first of them is to be measured.
fn measure(criterion: &mut Criterion, name: &str, bots: u32, open: impl Fn() -> Match) {
    let game = RefCell::new(None);
    for Part { name: part, time, count } in &PARTS {
        let mut group = criterion.benchmark_group(*part);
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new(name, bots), |bencher| {
            let mut game = game.borrow_mut();
            let game = game.get_or_insert_with(&open);
            bencher.iter_custom(|iterations| {
                // Whole intervals are played, so that every step has its share of a snapshot.
                let intervals = iterations.div_ceil(u64::from(count(bots)));
                let spent: Duration = (0..intervals).map(|_| time(&play(game, bots))).sum();
                let played = intervals * u64::from(count(bots));
                spent.mul_f64(iterations as f64 / played as f64)
            });
        });
        group.finish();
    }
}

fn play(game: &mut Match, bots: u32) -> Interval {
    let interval = game.play_interval();
    assert_eq!(interval.snapshots, bots as usize);
    assert!(interval.bytes > interval.snapshots * 16, "{interval:?}");
    interval
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = rooms
}
criterion_main!(benches);
