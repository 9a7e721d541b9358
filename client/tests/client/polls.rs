//! Polls only take out what is ready: none of them, however often and in whatever order, changes anything.

use proptest::prelude::*;
use tickwire_client::{Client, ClientConfig, Event};
use tickwire_protocol::frame::frames;
use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::{Micros, Pong};

use super::support::*;

/// All that came out of a client at one moment.
#[derive(Debug, Default, PartialEq)]
struct Output {
    messages: Vec<Vec<u8>>,
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug)]
enum Poll {
    Transmit,
    Event,
    Timeout,
    DueInput,
    View,
    Own,
    Stats,
}

const POLLS: [Poll; 7] =
    [Poll::Transmit, Poll::Event, Poll::Timeout, Poll::DueInput, Poll::View, Poll::Own, Poll::Stats];

fn poll(client: &mut Client, now: Micros, poll: Poll, output: &mut Output) {
    match poll {
        Poll::Transmit => {
            let mut message = Vec::new();
            if client.poll_transmit(now, &mut message) {
                output.messages.push(message);
            }
        }
        Poll::Event => output.events.extend(client.poll_event(now)),
        Poll::Timeout => {
            let _ = (client.poll_timeout(), client.input_timeout());
        }
        Poll::DueInput => {
            let _ = client.due_input_tick(now);
        }
        Poll::View => {
            client.view(now).entities(BODY).for_each(|entity| {
                let _ = (entity.vec3(POSITION), entity.rotation(ROTATION), entity.is_own());
            });
        }
        Poll::Own => client.own().for_each(drop),
        Poll::Stats => {
            let _ = (client.stats(now), client.snapshot_age(now));
        }
    }
}

/// One step of a game: what happens at the server, and how much time passes.
#[derive(Clone, Debug)]
struct Step {
    change: Change,
    cues: u8,
    snapshot_arrives: bool,
    late_by: u64,
    gives_inputs: bool,
    /// Polls that nobody needs, and whether they come before the needed ones.
    extra: Vec<(u8, bool)>,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    Walk,
    ComeOrGo,
}

fn step() -> impl Strategy<Value = Step> {
    let change =
        prop_oneof![2 => Just(Change::Walk), 1 => Just(Change::Nothing), 1 => Just(Change::ComeOrGo)];
    let extra = prop::collection::vec((0..POLLS.len() as u8, any::<bool>()), 0..8);
    (change, 0..3_u8, any::<bool>(), 0..30_000_u64, any::<bool>(), extra).prop_map(
        |(change, cues, snapshot_arrives, late_by, gives_inputs, extra)| Step {
            change,
            cues,
            snapshot_arrives,
            late_by,
            gives_inputs,
            extra,
        },
    )
}

/// What happens at the server in one tick.
fn advance(server: &mut FakeServer, number: usize, step: &Step, is_there: &mut bool) {
    match step.change {
        Change::Nothing => {}
        Change::Walk => server.set_x(id(3), number as f32),
        Change::ComeOrGo => {
            if *is_there {
                server.remove(id(5));
            } else {
                server.set_x(id(5), 1.0);
            }
            *is_there = !*is_there;
        }
    }
    (0..step.cues).for_each(|nth| server.cue(id(3), nth));
    server.step();
}

/// What comes out moment by moment; `with_extra` polls are strewn in, and the needed ones shuffled with them.
fn run(stream: StreamKind, steps: &[Step], with_extra: bool) -> Vec<(Output, String)> {
    let mut pair = Pair::new(stream, u32::MAX - 10);
    let mut log = Vec::new();
    let mut is_there = false;
    for (number, step) in steps.iter().enumerate() {
        advance(&mut pair.server, number, step, &mut is_there);
        pair.now = pair.now.max(Micros(pair.server.time_of(pair.server.tick).0 + step.late_by));
        if step.snapshot_arrives {
            let snapshot = pair.server.snapshot();
            pair.client.handle_message(pair.now, snapshot).unwrap();
        }
        if step.gives_inputs {
            while let Some(tick) = pair.client.due_input_tick(pair.now) {
                pair.client.push_input(pair.now, tick, |row| {
                    row.set_integer(MOVE, number as i32);
                });
            }
        }
        let mut output = Output::default();
        let extra = if with_extra { step.extra.as_slice() } else { &[] };
        for &(which, _) in extra.iter().filter(|(_, before)| *before) {
            poll(&mut pair.client, pair.now, POLLS[usize::from(which)], &mut output);
        }
        let needed = if with_extra && number % 2 == 0 {
            [Poll::Event, Poll::Transmit]
        } else {
            [Poll::Transmit, Poll::Event]
        };
        for needed in needed {
            // Until nothing comes any more.
            loop {
                let before = (output.messages.len(), output.events.len());
                poll(&mut pair.client, pair.now, needed, &mut output);
                if (output.messages.len(), output.events.len()) == before {
                    break;
                }
            }
        }
        for &(which, _) in extra.iter().filter(|(_, before)| !*before) {
            poll(&mut pair.client, pair.now, POLLS[usize::from(which)], &mut output);
        }
        let mut heard = Heard::default();
        output.messages.iter().for_each(|message| hear(message, pair.server.tick, &mut heard));
        for ping in heard.pings {
            let pong = pair.server.pong(ping);
            pair.client.handle_message(pair.now, pong).unwrap();
        }
        let view = pair.client.view(pair.now);
        let shown: Vec<_> = view.all().map(|entity| (entity.id(), entity.vec3(POSITION))).collect();
        let seen = format!("{shown:?} {:?} {:?}", pair.client.stats(pair.now), pair.client.poll_timeout());
        log.push((output, seen));
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn extra_and_shuffled_polls_change_nothing(
        is_datagram: bool, steps in prop::collection::vec(step(), 1..80)
    ) {
        let stream = if is_datagram { StreamKind::Datagram } else { StreamKind::Ordered };
        prop_assert_eq!(run(stream, &steps, true), run(stream, &steps, false));
    }
}

#[test]
fn who_keeps_only_the_time_goes_on_pinging() {
    let server = FakeServer::new(StreamKind::Ordered, 1_000);
    let new = || Client::new(ClientConfig::new("test 1"), schema().clone(), Micros::ZERO);
    assert!(new().into_timekeeper().is_none(), "nobody has told the time");
    let mut client = new();
    let mut hello = Vec::new();
    client.poll_transmit(Micros::ZERO, &mut hello);
    let mut welcome = Vec::new();
    server.welcome_value().encode(&mut welcome);
    client.handle_message(Micros::ZERO, welcome.into()).unwrap();
    let mut time = client.into_timekeeper().unwrap();

    let (mut heard, mut sent_at) = (Heard::default(), Vec::new());
    for now in (0..3_000_000).step_by(10_000).map(Micros) {
        let mut out = Vec::new();
        assert_eq!(time.poll_transmit(now, &mut out), !out.is_empty());
        assert!(!time.poll_transmit(now, &mut out), "once");
        if out.is_empty() {
            continue;
        }
        sent_at.push(now.0 / 1_000);
        hear(&out, server.tick, &mut heard);
        let pong = server.pong(*heard.pings.last().unwrap());
        let frame = frames(pong).next().unwrap().unwrap();
        let pong = Pong::decode(&frame.payload).unwrap();
        assert_eq!(time.handle_pong(now, &pong), Some(false));
        assert_eq!(time.handle_pong(now, &pong), None, "twice is not an answer");
    }
    assert_eq!(sent_at, [0, 100, 200, 300, 400, 500, 1_500, 2_500], "a few quickly, then one a second");
    assert_eq!(time.poll_timeout(), Micros(3_500_000));
    assert_eq!(time.clock().server_time(Micros(5)), Micros(5) + AHEAD);
}
