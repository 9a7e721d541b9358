//! The player's inputs and the acks that go with them.

use tickwire_client::{Client, ClientConfig, Event};
use tickwire_protocol::ack::Sequence;
use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::ping::Pong;
use tickwire_protocol::snapshot::Feedback;
use tickwire_protocol::{Micros, Tick, TickTime};

use super::support::*;

/// Gives all inputs that are due.
fn play(pair: &mut Pair) -> Vec<u32> {
    let mut given = Vec::new();
    while let Some(tick) = pair.client.due_input_tick(pair.now) {
        given.push(tick.0);
        pair.client.push_input(pair.now, tick, |row| {
            row.set_integer(MOVE, (tick.0 % 100) as i32);
        });
    }
    given
}

fn sent(pair: &mut Pair) -> Vec<Vec<u32>> {
    pair.hear();
    let frames = pair.heard.inputs.drain(..);
    frames
        .map(|frame| {
            frame
                .rows()
                .map(|(tick, row)| {
                    assert_eq!(row, [(tick.0 % 100) as i32]);
                    tick.0
                })
                .collect()
        })
        .collect()
}

#[test]
fn each_tick_has_one_input_ahead_of_its_step() {
    let mut pair = Pair::ordered();
    assert_eq!(play(&mut pair), [1_002], "two ticks of margin, no way to go");
    assert_eq!(sent(&mut pair), [[1_002]]);
    assert_eq!(play(&mut pair), []);
    let due = pair.client.input_timeout().unwrap();
    assert_eq!(due, pair.now + Micros(20_000));
    pair.now = Micros(due.0 - 1);
    assert_eq!(play(&mut pair), []);
    pair.now = due;
    assert_eq!(play(&mut pair), [1_003]);
    pair.now = pair.now + Micros(60_000);
    assert_eq!(play(&mut pair), [1_004, 1_005, 1_006], "a slow frame");
    assert_eq!(sent(&mut pair), [[1_003, 1_004, 1_005, 1_006]]);
}

#[test]
fn after_a_long_pause_what_is_too_late_is_left_out() {
    let mut pair = Pair::ordered();
    play(&mut pair);
    sent(&mut pair);
    for _ in 0..100 {
        pair.send();
    }
    assert_eq!(play(&mut pair), (1_071..=1_102).collect::<Vec<_>>());
    assert_eq!(sent(&mut pair), [(1_071..=1_102).collect::<Vec<_>>()]);
}

#[test]
fn inputs_stop_before_the_server_would_take_them_for_an_attack() {
    let mut pair = Pair::ordered();
    pair.send();
    let mut newest = 0;
    for _ in 0..200 {
        pair.now = pair.now + Micros(20_000);
        newest = play(&mut pair).last().copied().unwrap_or(newest);
        pair.hear();
    }
    assert_eq!(newest, 1_001 + 48, "three quarters of 64 ticks beyond what was heard of");
    assert_eq!(pair.client.input_timeout(), None, "there is nothing to wait for but the server");
}

#[test]
fn fewer_frames_mean_longer_lead_and_fewer_wakes() {
    let server = FakeServer::new(StreamKind::Ordered, 1_000);
    let welcome = server.welcome_value();
    let mut pair =
        Pair::with(server, ClientConfig { input_hz: Some(12), ..ClientConfig::new("t") }, &welcome);
    let mut frames = Vec::new();
    for _ in 0..4 {
        pair.now = pair.client.input_timeout().unwrap().max(pair.now);
        play(&mut pair);
        frames.extend(sent(&mut pair));
    }
    assert_eq!(
        frames,
        [[1_005, 1_006, 1_007, 1_008], [1_009, 1_010, 1_011, 1_012], [1_013, 1_014, 1_015, 1_016]]
    );
}

#[test]
fn a_spectator_gives_no_inputs_and_acks_by_itself() {
    let server = FakeServer::new(StreamKind::Ordered, 1_000);
    let mut welcome = server.welcome_value();
    welcome.player = None;
    let mut pair = Pair::with(server, ClientConfig::new("t"), &welcome);
    assert_eq!((play(&mut pair), pair.client.input_timeout()), (vec![], None));
    pair.client.push_input(pair.now, Tick(1_002), |_| panic!("nobody asked"));
    for count in 0..3 {
        pair.send();
        assert_eq!(sent(&mut pair), Vec::<Vec<u32>>::new());
        assert_eq!(pair.heard.acks.last().unwrap().newest, Sequence(count));
    }
    assert_eq!(pair.heard.ack_frames, 3);
}

#[test]
fn acks_ride_on_inputs_or_go_after_sixteen() {
    let mut pair = Pair::ordered();
    for _ in 0..3 {
        pair.send();
    }
    play(&mut pair);
    sent(&mut pair);
    assert_eq!((pair.heard.ack_frames, pair.heard.acks.last().unwrap().newest), (0, Sequence(2)));
    for _ in 0..15 {
        pair.send();
    }
    pair.hear();
    assert_eq!(pair.heard.ack_frames, 0);
    pair.send();
    pair.hear();
    pair.hear();
    assert_eq!((pair.heard.ack_frames, pair.heard.acks.last().unwrap().newest), (1, Sequence(18)));
}

#[test]
fn the_view_is_told_as_it_is_shown() {
    let mut pair = Pair::ordered();
    play(&mut pair);
    pair.hear();
    assert_eq!(pair.heard.inputs[0].view, TickTime { tick: Tick(1_000), fraction: 0.0 }, "of the welcome");
    for _ in 0..10 {
        pair.send();
    }
    pair.now = pair.now + Micros(5_000);
    play(&mut pair);
    pair.hear();
    assert_eq!(pair.heard.inputs[1].view, TickTime { tick: Tick(1_005), fraction: 0.25 });
    pair.now = pair.now + Micros(200_000);
    play(&mut pair);
    pair.hear();
    let newest = TickTime { tick: Tick(1_010), fraction: 0.0 };
    assert_eq!(pair.heard.inputs[2].view, newest, "starved: what is held, not what is missing");
}

#[test]
fn datagrams_repeat_inputs_until_the_server_has_them() {
    let mut pair = Pair::new(StreamKind::Datagram, u32::MAX - 3);
    let mut last = Vec::new();
    for _ in 0..5 {
        pair.send();
        play(&mut pair);
        last = sent(&mut pair).pop().unwrap();
    }
    assert_eq!(last, [u32::MAX, 0, 1, 2, 3]);
    pair.server.feedback = Some(Feedback { newest_input: Some(Tick(1)), margin_ticks: 2, substituted: 0 });
    pair.send();
    play(&mut pair);
    assert_eq!(sent(&mut pair), [[2, 3, 4]]);
    assert_eq!(pair.client.stats(pair.now).input_margin_ticks, Some(2));
    // Feedback that was overtaken takes nothing back.
    pair.server.feedback = Some(Feedback { newest_input: Some(Tick(0)), margin_ticks: 2, substituted: 0 });
    pair.send();
    play(&mut pair);
    assert_eq!(sent(&mut pair), [[2, 3, 4, 5]]);
}

#[test]
fn a_datagram_acks_what_was_applied_and_nothing_else() {
    let mut pair = Pair::new(StreamKind::Datagram, 1_000);
    pair.server.set_x(id(3), 0.0);
    pair.step();
    let first = pair.server.snapshot();
    let mut later = Vec::new();
    for step in 1..=3_u8 {
        pair.server.set_x(id(3), f32::from(step));
        pair.step();
        later.push(pair.server.snapshot());
    }
    // The first is lost: the others name states that are not held.
    for snapshot in &later {
        pair.client.handle_message(pair.now, snapshot.clone()).unwrap();
    }
    assert_eq!(pair.client.stats(pair.now).unknown_states, 3);
    play(&mut pair);
    pair.hear();
    assert_eq!(pair.heard.acks, []);
    // It was only late. Doubles count once.
    pair.client.handle_message(pair.now, first.clone()).unwrap();
    pair.client.handle_message(pair.now, first).unwrap();
    pair.client.handle_message(pair.now, later[1].clone()).unwrap_or_default();
    let stats = pair.client.stats(pair.now);
    assert_eq!((stats.snapshots, stats.stale_snapshots, stats.unknown_states), (1, 1, 4));
    pair.client.handle_message(pair.now, later[0].clone()).unwrap();
    pair.now = pair.now + Micros(20_000);
    play(&mut pair);
    pair.hear();
    let acked: Vec<_> = pair.heard.acks[0].acked().collect();
    assert_eq!(acked, [Sequence(1), Sequence(0)]);
}

#[test]
fn a_late_datagram_finds_its_place_and_revives_nobody() {
    let mut pair = Pair::new(StreamKind::Datagram, 1_000);
    pair.events();
    let mut snapshots = Vec::new();
    pair.server.is_acked = false;
    for step in 1..=4_u8 {
        pair.server.set_x(id(3), f32::from(step));
        pair.step();
        snapshots.push(pair.server.snapshot());
    }
    pair.server.remove(id(3));
    pair.step();
    snapshots.push(pair.server.snapshot());
    for order in [2, 4, 0] {
        pair.client.handle_message(pair.now, snapshots[order].clone()).unwrap();
    }
    for (ticks, x) in [(1.0, Some(1.0)), (2.0, Some(2.0)), (3.0, Some(3.0)), (4.5, Some(3.0)), (5.0, None)] {
        assert_eq!(pair.x_at(id(3), ticks), x, "at {ticks}");
    }
    pair.now = pair.when_shown(6.0);
    pair.events();
    pair.client.handle_message(pair.now, snapshots[1].clone()).unwrap();
    assert_eq!(pair.events(), Vec::<Event>::new());
    assert_eq!(pair.client.view(pair.now).all().count(), 0);
}

/// A busy server may let a hello wait for seconds. That wait is no round trip, and no licence to run ahead: an input too
/// far ahead of the room is taken for an attack.
#[test]
fn a_welcome_that_was_long_in_coming_does_not_send_inputs_too_far_ahead() {
    for seconds in [1, 3, 9] {
        let server = FakeServer::new(StreamKind::Ordered, 1_000);
        let asked = Micros(1_000_000);
        let mut client = Client::new(ClientConfig::new("test 1"), schema().clone(), asked);
        assert!(client.poll_transmit(asked, &mut Vec::new()), "the hello");
        let now = asked + Micros::from_secs(seconds);
        let welcome = server.welcome_value();
        let mut message = Vec::new();
        welcome.encode(&mut message);
        client.handle_message(now, message.into()).unwrap();
        let first = client.due_input_tick(now).unwrap();
        let ahead = first.since(welcome.tick);
        assert!(ahead <= welcome.limits.input_ahead_ticks_max as i32, "{ahead} ticks after {seconds} s");
    }
}

/// A bot on a busy machine hears everything a second late: the round trips that it measures are its own. When it catches up, its
/// inputs must not be further ahead of the room than the server takes.
#[test]
fn a_busy_machine_is_no_licence_to_run_ahead() {
    let mut pair = Pair::ordered();
    for _ in 0..600 {
        // Nothing is taken in for a second; then all at once, and answered with inputs.
        pair.hear();
        let mut waiting = Vec::new();
        for _ in 0..50 {
            pair.step();
            waiting.push(pair.server.snapshot());
        }
        let pings: Vec<_> = pair.heard.pings.drain(..).collect();
        for ping in pings {
            let mut message = Vec::new();
            // It was answered at once, and read only now.
            let server_time = ping.client_time + AHEAD;
            let (tick, tick_time) = (pair.server.tick, pair.server.time_of(pair.server.tick) + AHEAD);
            Pong {
                client_time: ping.client_time,
                server_received: server_time,
                server_sent: server_time,
                tick,
                tick_time,
            }
            .encode(&mut message);
            pair.client.handle_message(pair.now, message.into()).unwrap();
        }
        for snapshot in waiting {
            pair.client.handle_message(pair.now, snapshot).unwrap();
        }
        for tick in play(&mut pair) {
            let ahead = Tick(tick).since(pair.server.tick + 1);
            assert!(ahead <= 64, "{ahead} ticks ahead");
        }
    }
}

#[test]
fn a_round_trip_that_was_an_outlier_costs_no_lead() {
    let mut pair = Pair::ordered();
    let lead = |pair: &mut Pair| {
        let newest = play(pair).last().copied();
        newest.map(|newest| Tick(newest).since(pair.server.tick))
    };
    assert_eq!(lead(&mut pair), Some(2));
    // The next ping is answered 2 s late.
    pair.now = pair.client.poll_timeout().unwrap();
    pair.hear();
    for _ in 0..100 {
        pair.send();
    }
    pair.now = pair.now + Micros(1_000);
    pair.answer_pings();
    for _ in 0..20 {
        pair.send();
        if let Some(lead) = lead(&mut pair) {
            assert!((1..=8).contains(&lead), "{lead} ticks");
        }
    }
}
