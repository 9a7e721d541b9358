//! Encode and decode of whole snapshots, per entity of the scene and per byte of the frames.
//!
//! `encode` is everything that the codec does for one peer: finding out what is news (a comparison a row), the body,
//! the peer part and the frame's header. `decode` is reading a frame's payload and taking it into a replica that holds
//! as many states as it ever does (an empty one for `keyframe`). Every stream is checked value by value before it is
//! timed, and every snapshot that is timed is asked how many rows it carried.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickwire_benches::scene::Load;
use tickwire_benches::stream::{Receiver, Sender, Stream, WARM_FRAMES, moments};
use tickwire_protocol::snapshot::Coder;

/// How many bodies a scene has.
const ENTITIES: [u16; 4] = [1, 16, 100, 1000];

/// Different snapshots that the encoder goes round: enough that no branch is learned by heart.
const MOMENTS: usize = 16;

/// Frames that are timed in one go.
const FRAMES: usize = 100;

fn encode(criterion: &mut Criterion) {
    for_each_case(criterion, "encode", |group, id, Case { load, coder, entities, rows }| {
        let moments: Vec<_> = moments(entities, load).take(MOMENTS).collect();
        let mut next = moments.iter().cycle();
        let (mut sender, mut frame) = (Sender::new(coder), Vec::new());
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                frame.clear();
                if let Some(moment) = next.next() {
                    assert_eq!(sender.send(black_box(moment), load, &mut frame), rows);
                }
                black_box(&frame).len()
            });
        });
    });
}

fn decode(criterion: &mut Criterion) {
    for_each_case(criterion, "decode", |group, id, Case { load, coder, entities, rows }| {
        let stream = Stream::of_scene(entities, load, WARM_FRAMES + FRAMES, coder);
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|iterations| {
                let (mut spent, mut left) = (Duration::ZERO, iterations);
                while left > 0 {
                    let (time, frames) = match load {
                        Load::Keyframe => (time_keyframe(&stream, coder, rows), 1),
                        _ => time_deltas(&stream, coder, rows, left),
                    };
                    spent += time;
                    left -= frames;
                }
                spent
            });
        });
    });
}

/// A replica from nothing.
fn time_keyframe(stream: &Stream, coder: Coder, rows: usize) -> Duration {
    let mut receiver = Receiver::of_scene(coder);
    let start = Instant::now();
    assert_eq!(receiver.receive(black_box(&stream.keyframe)), rows);
    let spent = start.elapsed();
    black_box(receiver);
    spent
}

/// Up to `most` frames of a stream that has been going on for a while; how many it were.
fn time_deltas(stream: &Stream, coder: Coder, rows: usize, most: u64) -> (Duration, u64) {
    let mut receiver = Receiver::of_scene(coder);
    receiver.receive(&stream.keyframe);
    let (warm, timed) = stream.deltas.split_at(WARM_FRAMES);
    for payload in warm {
        assert_eq!(receiver.receive(payload), rows);
    }
    let timed = &timed[..timed.len().min(usize::try_from(most).unwrap_or(usize::MAX))];
    let start = Instant::now();
    for payload in timed {
        assert_eq!(receiver.receive(black_box(payload)), rows);
    }
    let spent = start.elapsed();
    black_box(receiver);
    (spent, timed.len() as u64)
}

/// A scene, how it is coded, and the rows that a snapshot of it must carry.
#[derive(Clone, Copy)]
struct Case {
    load: Load,
    coder: Coder,
    entities: u16,
    rows: usize,
}

/// Runs a bench on every load and size of scene, by both coders.
fn for_each_case(
    criterion: &mut Criterion,
    name: &str,
    mut run: impl FnMut(&mut BenchmarkGroup<'_, WallTime>, BenchmarkId, Case),
) {
    for (coder, coder_name) in [(Coder::Dense, "dense"), (Coder::Fast, "fast")] {
        let mut group = criterion.benchmark_group(format!("{name}_{coder_name}"));
        for (load, entities) in Load::ALL.into_iter().flat_map(|load| ENTITIES.map(|count| (load, count))) {
            let bytes = Stream::of_scene(entities, load, MOMENTS, coder).frame_bytes(load) as u64;
            assert!(bytes > 0);
            group.throughput(Throughput::ElementsAndBytes { elements: u64::from(entities), bytes });
            let id = BenchmarkId::new(load.name(), entities);
            let rows = load.rows(usize::from(entities));
            run(&mut group, id, Case { load, coder, entities, rows });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = encode, decode
}
criterion_main!(benches);
