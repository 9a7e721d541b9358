//! What it costs a client to find out that it was wrong.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickwire_benches::predicted::{Mispredicted, REPLAYED_TICKS};

/// Taking in a snapshot that differs from what was predicted: decoding, comparing, going back, 30 steps of the arena, and what is
/// shown of it. Giving inputs and what the room does are not counted.
fn reconciliation(criterion: &mut Criterion) {
    let mut game = Mispredicted::new();
    let mut group = criterion.benchmark_group("prediction");
    group.throughput(Throughput::Elements(REPLAYED_TICKS));
    group.bench_function("reconcile_30_ticks", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _ in 0..iterations {
                let (now, snapshot) = game.next_snapshot();
                let started = Instant::now();
                let replayed = game.take(now, black_box(snapshot));
                spent += started.elapsed();
                assert_eq!(replayed, REPLAYED_TICKS, "ticks stepped again");
            }
            spent
        });
    });
    group.finish();
}

criterion_group!(benches, reconciliation);
criterion_main!(benches);
