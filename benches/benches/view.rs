//! What a client's picture costs: position and rotation of every entity in view, between two snapshots.
//!
//! | bench | one iteration |
//! |---|---|
//! | `view/16`, `view/100`, `view/1000` | one picture of so many bodies; per element, one body of it |

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickwire_benches::watcher::{PICTURE, Watcher};
use tickwire_protocol::Micros;

/// Pictures between two ticks of the room at 120 a second are two; a few more instants do no harm.
const INSTANTS: u64 = 4;

fn pictures(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("view");
    for bodies in [16, 100, 1000] {
        let watcher = Watcher::new(bodies);
        assert_eq!(watcher.draw(watcher.now()).bodies, usize::from(bodies));
        group.throughput(Throughput::Elements(u64::from(bodies)));
        group.bench_function(BenchmarkId::from_parameter(bodies), |bencher| {
            let mut instant = 0;
            bencher.iter(|| {
                instant = (instant + 1) % INSTANTS;
                black_box(watcher.draw(watcher.now() + Micros(PICTURE.0 * instant / INSTANTS)))
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = pictures
}
criterion_main!(benches);
