//! Tickwire's two coders beside what games use instead, on the same updates of the same states: bytes and time.
//!
//! | bench | one iteration |
//! |---|---|
//! | `coders/encode/<states>/<coding>` | the updates of one snapshot become bytes |
//! | `coders/decode/<states>/<coding>` | those bytes become the rows of all entities that were updated |
//! | `coders/64_receivers/<coder>` | one snapshot for 64 receivers, each of whom does not see one entity: alone, and with shared rows |
//!
//! A table of both comes first. What is measured begins when it is known which rows are news, and ends before they are
//! applied: publishing, planning, frame headers and `Replica::apply` are left out for all. Every coding is decoded and
//! compared with what was published before it is timed.

mod codings;
mod contest;
mod structs;

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tickwire_benches::recorded::{Moment, Recorded, Writer};
use tickwire_benches::scene::Load;
use tickwire_protocol::snapshot::{BodyPlan, Coder, Prior};

use contest::{Case, Contest, Entry};
use structs::{ArenaRow, BodyRow, Row};

/// Receivers that share the work on rows.
const RECEIVERS: u32 = 64;

/// Moments that they are told.
const SHARED_MOMENTS: usize = 4;

/// Moments between two that are measured, so that these are unlike each other.
const STRIDE: usize = 10;

fn side_by_side(criterion: &mut Criterion) {
    run::<ArenaRow>(criterion, &Recorded::arena(64, 48 * STRIDE));
    run::<BodyRow>(criterion, &Recorded::scene(100, Load::HalfMoving, 48 * STRIDE));
    run::<BodyRow>(criterion, &Recorded::scene(1000, Load::AllMoving, 6 * STRIDE));
}

fn run<R: Row>(criterion: &mut Criterion, recorded: &Recorded) {
    let mut contest = Contest::<R>::new(recorded, recorded.moments().step_by(STRIDE));
    println!("{}", table(recorded.name(), &mut contest));
    for is_encode in [true, false] {
        let what = if is_encode { "encode" } else { "decode" };
        let mut group = criterion.benchmark_group(format!("coders/{what}/{}", recorded.name()));
        let Contest { cases, entries } = &mut contest;
        for Entry { coding, payloads } in entries {
            let bytes = payloads.iter().map(Vec::len).sum::<usize>() / cases.len();
            let rows = cases.iter().map(Case::rows).sum::<usize>() / cases.len();
            group.throughput(Throughput::ElementsAndBytes { elements: rows as u64, bytes: bytes as u64 });
            let mut out = Vec::new();
            let mut next = cases.iter().zip(&*payloads).cycle();
            group.bench_function(coding.name(), |bencher| {
                bencher.iter(|| {
                    let Some((case, payload)) = next.next() else { return };
                    if is_encode {
                        out.clear();
                        coding.encode(black_box(case), &mut out);
                        assert_eq!(out.len(), payload.len());
                    } else {
                        coding.decode(case, black_box(payload));
                    }
                });
            });
        }
        group.finish();
    }
}

/// Bytes and time of every coding, side by side.
fn table<R: Row>(name: &str, contest: &mut Contest<R>) -> String {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let measured = contest.measure(if is_test { 1 } else { 40 });
    let rows: usize = contest.cases.iter().map(Case::rows).sum();
    let whole = measured.iter().find(|it| it.name == structs::BINCODE).map_or(0, |it| it.bytes);
    let mut out = format!("\n{name}: {rows} updates in {} snapshots\n", contest.cases.len());
    let _ = writeln!(
        out,
        "{:<16} {:>12} {:>8} {:>10} {:>10} {:>12} {:>12}",
        "coding", "bytes/update", "ratio", "encode ns", "decode ns", "encode MB/s", "decode MB/s"
    );
    for it in &measured {
        let per_row = |time: Duration| time.as_nanos() as f64 / rows as f64;
        let speed = |time: Duration| it.bytes as f64 / 1e6 / time.as_secs_f64();
        let _ = writeln!(
            out,
            "{:<16} {:>12.2} {:>8.2} {:>10.1} {:>10.1} {:>12.1} {:>12.1}",
            it.name,
            it.bytes as f64 / rows as f64,
            whole as f64 / it.bytes as f64,
            per_row(it.encode),
            per_row(it.decode),
            speed(it.encode),
            speed(it.decode),
        );
    }
    out + "ratio: how often the bytes go into those of bincode's whole rows; ns: of one update\n"
}

/// The same bodies, written in two orders: receiver by receiver no two that follow each other are of one tick, and every
/// row is worked out anew; snapshot by snapshot it is worked out once.
fn receivers(criterion: &mut Criterion) {
    let recorded = Recorded::arena(64, SHARED_MOMENTS * STRIDE);
    let moments: Vec<_> = recorded.moments().step_by(STRIDE).collect();
    let plans: Vec<Vec<_>> =
        moments.iter().map(|moment| (0..RECEIVERS).map(|row| moment.plan_without(row)).collect()).collect();
    let by_moment: Vec<_> = moments
        .iter()
        .zip(&plans)
        .flat_map(|(moment, plans)| plans.iter().map(move |plan| (moment, plan)))
        .collect();
    let by_receiver: Vec<_> = (0..RECEIVERS as usize)
        .flat_map(|receiver| {
            moments.iter().zip(&plans).map(move |(moment, plans)| (moment, &plans[receiver]))
        })
        .collect();
    for coder in [Coder::Fast, Coder::Dense] {
        let codec = recorded.codec(coder, Prior::default_prior());
        let mut writer = Writer::new(codec);
        let bytes = assert_shared_is_alone(&mut writer, &by_moment);
        let rows: usize = by_moment.iter().map(|(_, plan)| plan.section.rows.len()).sum();
        let mut group =
            criterion.benchmark_group(format!("coders/64_receivers/{}", format!("{coder:?}").to_lowercase()));
        group.throughput(Throughput::ElementsAndBytes { elements: rows as u64, bytes: bytes as u64 });
        for (name, order) in [("alone", &by_receiver), ("shared", &by_moment)] {
            time_order(&mut group, name, &mut writer, order);
        }
        group.finish();
    }
}

fn time_order(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    writer: &mut Writer,
    order: &[(&Moment, &BodyPlan)],
) {
    let mut out = Vec::new();
    group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
        bencher.iter(|| {
            for (moment, plan) in black_box(order) {
                out.clear();
                writer.write(moment, plan, &mut out);
                black_box(&out);
            }
        });
    });
}

/// Rows that are shared become the same bytes; how many all of them are.
fn assert_shared_is_alone(writer: &mut Writer, order: &[(&Moment, &BodyPlan)]) -> usize {
    let (mut shared, mut alone, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (moment, plan) in order {
        shared.clear();
        alone.clear();
        writer.write(moment, plan, &mut shared);
        Writer::new(writer.codec().clone()).write(moment, plan, &mut alone);
        assert_eq!(shared, alone, "sharing changes no byte");
        bytes += shared.len();
    }
    bytes
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = side_by_side, receivers
}
criterion_main!(benches);
