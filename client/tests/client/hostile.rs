//! A server that sends what it must not: named faults, nothing changed, no panic.

use bytes::Bytes;
use proptest::prelude::*;
use tickwire_client::{Client, ClientFault, DisconnectReason, Event};
use tickwire_protocol::frame::{FrameType, write_frame};
use tickwire_protocol::handshake::{Reject, RejectReason, StreamKind};
use tickwire_protocol::ping::Ping;
use tickwire_protocol::{CloseCode, DecodeError, Micros};

use super::support::*;

/// All that a game can see of a client.
fn seen(client: &Client, now: Micros) -> String {
    let own: Vec<_> = client.own().map(|own| (own.id, own.tick, own.row.integer(HEALTH))).collect();
    let mut shown = Vec::new();
    for step in 0..30 {
        let view = client.view(Micros(now.0 + step * 7_000));
        for entity in view.entities(BODY) {
            let (position, yaw) = (entity.vec3(POSITION), entity.angle(YAW));
            shown.push((view.tick_time(), entity.id(), position, yaw, entity.latest_tick()));
        }
    }
    format!("{own:?} {shown:?}")
}

/// A pair in the middle of a game, and the messages that the server could send next.
fn playing(stream: StreamKind) -> (Pair, Vec<Bytes>) {
    let mut pair = Pair::new(stream, u32::MAX - 4);
    for step in 1..=8_u8 {
        pair.server.set_x(id(3), f32::from(step));
        pair.server.set(BODY, id(4), |row| {
            row.set_angle(YAW, f32::from(step)).set_integer(HEALTH, 3);
        });
        pair.server.head(id(4)).owner = Some(PLAYER);
        pair.send();
    }
    pair.events();
    let mut ping = Vec::new();
    pair.now = pair.client.poll_timeout().unwrap();
    assert!(pair.client.poll_transmit(pair.now, &mut ping));
    hear(&ping, pair.server.tick, &mut pair.heard);
    let pong = pair.server.pong(pair.heard.pings.pop().unwrap());
    pair.server.set_x(id(3), 50.0);
    pair.server.set_x(id(9), 1.0);
    pair.server.cue(id(3), 0);
    pair.server.step();
    let snapshot = pair.server.snapshot();
    let both = Bytes::from([snapshot.as_ref(), pong.as_ref()].concat());
    (pair, vec![pong, snapshot, both])
}

/// A client that is about to say hello.
fn silent() -> Client {
    Client::new(tickwire_client::ClientConfig::new("t"), schema().clone(), Micros(1_000_000))
}

/// One that has.
fn greeting() -> Client {
    let mut client = silent();
    client.poll_transmit(Micros(1_000_000), &mut Vec::new());
    client
}

/// What a client does with a message that must be refused: it names the fault, ends, and shows what it showed.
fn refuse(mut client: Client, now: Micros, message: Bytes) -> ClientFault {
    let before = seen(&client, now);
    let fault = client.handle_message(now, message).expect_err("it must be refused");
    assert_eq!(seen(&client, now), before);
    let reason = DisconnectReason::Fault(fault);
    assert_eq!(client.disconnect_reason(), Some(&reason));
    assert_eq!(reason.close_code(), Some(CloseCode::from(fault)));
    let last = std::iter::from_fn(|| client.poll_event(now)).last();
    assert_eq!(last, Some(Event::Disconnected(reason)));
    fault
}

#[test]
fn every_truncation_is_refused() {
    for stream in [StreamKind::Ordered, StreamKind::Datagram] {
        let messages = playing(stream).1;
        let boundary = messages[1].len();
        for message in &messages {
            for cut in 0..message.len() {
                let (mut pair, _) = playing(stream);
                if message.len() > boundary && cut >= boundary {
                    // The first frame is whole: it counts, the second does not.
                    let result = pair.client.handle_message(pair.now, message.slice(..cut));
                    assert_eq!(result.is_ok(), cut == boundary);
                    assert_eq!(pair.client.stats(pair.now).snapshots, 9);
                    continue;
                }
                let fault = refuse(pair.client, pair.now, message.slice(..cut));
                assert!(matches!(fault, ClientFault::Malformed(_)), "{fault}");
            }
        }
    }
}

#[test]
fn every_truncation_of_the_answer_is_refused() {
    let server = FakeServer::new(StreamKind::Ordered, 1_000);
    let (mut welcome, mut reject) = (Vec::new(), Vec::new());
    server.welcome_value().encode(&mut welcome);
    Reject::from(RejectReason::RoomFull { players: 3, max: 3 }).encode(&mut reject);
    for message in [Bytes::from(welcome), Bytes::from(reject)] {
        for cut in 0..message.len() {
            refuse(greeting(), Micros(1_000_000), message.slice(..cut));
        }
        assert!(greeting().handle_message(Micros(1_000_000), message).is_ok());
    }
}

#[test]
fn frames_out_of_place_are_refused() {
    let (pair, messages) = playing(StreamKind::Ordered);
    let mut welcome = Vec::new();
    pair.server.welcome_value().encode(&mut welcome);
    let mut reject = Vec::new();
    Reject::from(RejectReason::ShuttingDown).encode(&mut reject);
    let mut ping = Vec::new();
    Ping { client_time: Micros(1) }.encode(&mut ping);
    for (message, ty) in
        [(welcome.clone(), FrameType::Welcome), (reject, FrameType::Reject), (ping, FrameType::Ping)]
    {
        let client = playing(StreamKind::Ordered).0.client;
        assert_eq!(refuse(client, pair.now, message.into()), ClientFault::Unexpected(ty));
    }
    // Before the hello nobody may speak, and nothing but an answer may follow it.
    assert_eq!(
        refuse(silent(), Micros(1_000_000), welcome.into()),
        ClientFault::Unexpected(FrameType::Welcome)
    );
    assert_eq!(
        refuse(greeting(), Micros(1_000_000), messages[1].clone()),
        ClientFault::Unexpected(FrameType::Snapshot)
    );
}

#[test]
fn snapshots_of_the_other_kind_of_stream_are_refused() {
    for (ours, theirs) in
        [(StreamKind::Ordered, StreamKind::Datagram), (StreamKind::Datagram, StreamKind::Ordered)]
    {
        let pair = Pair::new(ours, 1_000);
        let mut server = FakeServer::new(theirs, 1_000);
        server.set_x(id(3), 1.0);
        server.step();
        let fault = refuse(pair.client, pair.now, server.snapshot());
        assert!(matches!(fault, ClientFault::Malformed(_)), "{fault}");
    }
}

#[test]
fn an_ordered_snapshot_that_names_what_was_never_told_is_refused() {
    let mut pair = Pair::ordered();
    pair.server.set_x(id(3), 1.0);
    pair.step();
    drop(pair.server.snapshot());
    pair.server.set_x(id(3), 2.0);
    pair.step();
    let snapshot = pair.server.snapshot();
    let fault = refuse(pair.client, pair.now, snapshot);
    let unknown = DecodeError::UnknownState { slot: 3, distance: 1 };
    assert_eq!(fault, ClientFault::Malformed(unknown));
}

#[test]
fn extensions_are_skipped_and_unknown_frames_refused() {
    let (mut pair, messages) = playing(StreamKind::Ordered);
    let mut message = vec![2, 200, 1, 2];
    message.extend_from_slice(&messages[1]);
    assert_eq!(pair.client.handle_message(pair.now, message.into()), Ok(()));
    assert_eq!(pair.client.stats(pair.now).snapshots, 9);
    let client = || playing(StreamKind::Ordered).0.client;
    let fault = refuse(client(), pair.now, Bytes::from_static(&[0, 55]));
    assert_eq!(fault, ClientFault::Malformed(DecodeError::UnknownFrame(55)));
    let mut garbage = Vec::new();
    write_frame(&mut garbage, FrameType::Snapshot, &[0xff; 300]);
    refuse(client(), pair.now, garbage.into());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Flipped bits may say something else that is allowed. They never panic, nor do the looks and polls after them.
    #[test]
    fn mutated_messages_do_no_harm(
        is_datagram: bool, which in 0_usize..3, flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8), 1..6)
    ) {
        let (pair, messages) = playing(if is_datagram { StreamKind::Datagram } else { StreamKind::Ordered });
        let mut client = pair.client;
        let mut message = messages[which].to_vec();
        for (place, bit) in flips {
            let place = place.index(message.len());
            message[place] ^= 1_u8 << bit;
        }
        let _ = client.handle_message(pair.now, message.into());
        let _ = client.handle_message(pair.now, messages[which].clone());
        let later = Micros(pair.now.0 + 300_000);
        let _ = seen(&client, later);
        while client.poll_event(later).is_some() {}
        while let Some(tick) = client.due_input_tick(later) {
            client.push_input(later, tick, |_| ());
        }
        let mut out = Vec::new();
        while client.poll_transmit(later, &mut out) {}
        let _ = (client.poll_timeout(), client.input_timeout(), client.snapshot_age(later), client.stats(later));
    }

    /// Whole frames of chance bytes.
    #[test]
    fn garbage_does_no_harm(ty in prop::sample::select(FrameType::ALL.to_vec()), payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let (pair, _) = playing(StreamKind::Ordered);
        let mut client = pair.client;
        let mut message = Vec::new();
        write_frame(&mut message, ty, &payload);
        let _ = client.handle_message(pair.now, message.into());
        let _ = seen(&client, pair.now);
    }
}
