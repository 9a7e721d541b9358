//! What a server does with what its clients send: taking messages apart, reading inputs and acks.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tickwire_benches::SNAPSHOT_TICKS;
use tickwire_benches::client::{
    DATAGRAMS_ACKED, ORDERED_ACK, TICK, datagram_ack_payload, input_payloads, ordered_ack_payload,
    small_frames, small_frames_of,
};
use tickwire_protocol::ack::Ack;
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::limits::FRAMES_PER_MESSAGE_MAX;
use tickwire_protocol::ping::Ping;
use tickwire_sim::arena::schema;

/// One message of 64 frames: taken apart, and also with every frame read.
fn messages(criterion: &mut Criterion) {
    let message = small_frames();
    let mut group = criterion.benchmark_group("frames");
    group.throughput(throughput(FRAMES_PER_MESSAGE_MAX, message.len()));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| {
            let parsed = frames(black_box(message.clone())).filter(|frame| black_box(frame).is_ok()).count();
            assert_eq!(parsed, FRAMES_PER_MESSAGE_MAX);
        });
    });
    let mut input = InputFrame::new();
    group.bench_function("parse_and_read", |bencher| {
        bencher.iter(|| {
            let read = |ty| small_frames_of(ty);
            let wanted = (read(FrameType::Input), read(FrameType::Ack), read(FrameType::Ping));
            assert_eq!(read_all(black_box(message.clone()), &mut input), wanted);
        });
    });
    group.finish();
}

/// Frames of 3 ticks of input each.
fn inputs(criterion: &mut Criterion) {
    let payloads = input_payloads();
    let bytes = payloads.iter().map(Bytes::len).sum();
    let mut group = criterion.benchmark_group("input");
    group.throughput(throughput(payloads.len(), bytes));
    let mut input = InputFrame::new();
    group.bench_function("read_3_ticks", |bencher| {
        bencher.iter(|| {
            let mut rows = 0;
            for payload in &payloads {
                let result = input.decode(black_box(payload), schema().input(), TICK);
                rows += if result.is_ok() { input.len() } else { 0 };
            }
            assert_eq!(rows, payloads.len() * SNAPSHOT_TICKS as usize);
        });
    });
    group.finish();
}

/// The ack of an ordered stream, of which the newest frame counts, and one of datagrams with every frame that it tells
/// of.
fn acks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ack");
    let (ordered, datagram) = (ordered_ack_payload(), datagram_ack_payload());
    group.throughput(throughput(1, ordered.len()));
    group.bench_function("ordered", |bencher| {
        bencher.iter(|| {
            let newest = Ack::decode(black_box(&ordered)).map(|ack| ack.newest);
            assert_eq!(newest, Ok(ORDERED_ACK));
        });
    });
    group.throughput(throughput(1, datagram.len()));
    group.bench_function("datagram", |bencher| {
        bencher.iter(|| {
            let told = Ack::decode(black_box(&datagram)).map(|ack| ack.acked().count());
            assert_eq!(told, Ok(DATAGRAMS_ACKED));
        });
    });
    group.finish();
}

/// How many inputs, acks and pings a message holds that can all be read.
fn read_all(message: Bytes, input: &mut InputFrame) -> (usize, usize, usize) {
    let (mut inputs, mut acks, mut pings) = (0, 0, 0);
    for frame in frames(message).flatten() {
        let payload = &frame.payload;
        match frame.ty {
            FrameType::Input => {
                inputs += usize::from(input.decode(payload, schema().input(), TICK).is_ok());
            }
            FrameType::Ack => acks += usize::from(black_box(Ack::decode(payload)).is_ok()),
            FrameType::Ping => pings += usize::from(black_box(Ping::decode(payload)).is_ok()),
            _ => {}
        }
    }
    (inputs, acks, pings)
}

fn throughput(frames: usize, bytes: usize) -> Throughput {
    Throughput::ElementsAndBytes { elements: frames as u64, bytes: bytes as u64 }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = messages, inputs, acks
}
criterion_main!(benches);
