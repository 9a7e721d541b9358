//! Small reliable messages, all the way: sent, numbered, written, read, told from those that came before, polled, acked, and
//! their sender told. Both ends on one core.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickwire_benches::talk::{MESSAGES, Talk};

/// Each carried once, and once more as after a lost connection.
fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("messages");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for (name, times) in [("carried_once", 1), ("carried_twice", 2)] {
        let mut talk = Talk::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(talk.turn(times), MESSAGES));
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(3));
    targets = messages
}
criterion_main!(benches);
