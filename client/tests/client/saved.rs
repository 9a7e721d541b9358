//! Sessions that go on in another program.

use tickwire_client::{
    Client, ClientConfig, ConnectionState, DisconnectReason, Event, SavedSession, SavedSessionError,
};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{
    AuthRefusal, FreshReason, Reject, RejectReason, Resume, SessionOutcome, StreamKind,
};
use tickwire_protocol::hash::bytes_hash;
use tickwire_protocol::message::{Lane, MessageAck, MessageFrame, Outcome};
use tickwire_protocol::{Micros, Schema, SessionId};

use super::states;
use super::support::*;

/// A client that has heard two messages and polled one, has said three, and knows of one that it was polled.
pub(super) fn talking() -> Pair {
    let mut server = FakeServer::new(StreamKind::Ordered, 1_000);
    server.session_outcome = Some(SessionOutcome::Fresh(FreshReason::First));
    let welcome = server.welcome_value();
    let mut pair = Pair::with(server, ClientConfig::new("test 1"), &welcome);
    pair.events();
    let mut told = Vec::new();
    for number in 0..2 {
        let frame = MessageFrame { ty: SAY, number, key: 0, body: vec![number as u8].into() };
        frame.encode(tickwire_protocol::message::MessageClass::Reliable, &mut told);
    }
    pair.client.handle_message(pair.now, told.into()).unwrap();
    assert!(matches!(pair.client.poll_event(pair.now), Some(Event::Message(_))));
    for number in 0..2 {
        pair.client.send(pair.now, SAY, 0, vec![number]).unwrap();
    }
    pair.hear();
    let mut ack = Vec::new();
    MessageAck::default().with(Lane::Messages, 1).encode(&mut ack);
    pair.client.handle_message(pair.now, ack.into()).unwrap();
    pair.client.send(pair.now, SAY, 0, vec![2]).unwrap();
    pair
}

/// Goes on with an export, where the server has received so many messages; what is told then, and what is written.
fn go_on(bytes: &[u8], received: u64) -> (Vec<Event>, Vec<u8>) {
    let saved = SavedSession::decode(bytes, schema()).unwrap();
    let config = ClientConfig { session: Some(saved), ..ClientConfig::new("test 1") };
    let mut client = Client::new(config, schema().clone(), Micros(7));
    let mut out = Vec::new();
    assert!(client.poll_transmit(Micros(7), &mut out));
    let mut heard = Heard::default();
    hear(&out, tickwire_protocol::Tick(0), &mut heard);
    let resume = Resume::find(&heard.hellos[0].extensions).unwrap().unwrap();
    assert_eq!((resume.session, resume.received.of(Lane::Messages)), (SessionId(1), 1), "one was polled");
    let mut server = FakeServer::new(StreamKind::Ordered, 2_000);
    server.session_outcome = Some(SessionOutcome::Resumed);
    server.received = server.received.with(Lane::Messages, received);
    let mut message = Vec::new();
    server.welcome_value().encode(&mut message);
    client.handle_message(Micros(7), message.into()).unwrap();
    let mut written = Vec::new();
    let mut out = Vec::new();
    while client.poll_transmit(Micros(7), &mut out) {
        for frame in frames(std::mem::take(&mut out).into()).map(Result::unwrap) {
            if frame.ty == FrameType::Message {
                let (_, message) = MessageFrame::decode(frame.payload, schema()).unwrap();
                assert_eq!(message.number, u16::from(message.body[0]), "under the number that it had");
                written.push(message.body[0]);
            }
        }
    }
    let mut ack = Vec::new();
    MessageAck::default().with(Lane::Messages, 3).encode(&mut ack);
    client.handle_message(Micros(7), ack.into()).unwrap();
    (std::iter::from_fn(|| client.poll_event(Micros(7))).collect(), written)
}

#[test]
fn what_was_sent_and_polled_goes_on_in_another_program() {
    let mut pair = talking();
    let bytes = pair.client.export_session(pair.now).unwrap();
    for (received, rest) in [(1, vec![1, 2]), (2, vec![2]), (3, vec![])] {
        let (events, written) = go_on(&bytes, received);
        assert_eq!(written, rest);
        assert!(matches!(events[0], Event::Connected { outcome: SessionOutcome::Resumed, .. }));
        let delivered = events[1..].iter().map(|event| match event {
            Event::Sent(id, Outcome::Delivered) => id.0,
            other => panic!("{other:?}"),
        });
        assert_eq!(delivered.collect::<Vec<_>>(), [1, 2], "under their names; the first was known");
    }
}

#[test]
fn what_is_no_saved_session_is_refused_for_what_it_is() {
    let mut pair = talking();
    let bytes = pair.client.export_session(pair.now).unwrap();
    let refused = |bytes: &[u8]| SavedSession::decode(bytes, schema()).unwrap_err();
    assert_eq!(refused(b"GIF89a"), SavedSessionError::Foreign);
    assert_eq!(refused(&[]), SavedSessionError::Foreign);
    assert_eq!(refused(&vec![b'T'; 5 << 20]), SavedSessionError::Foreign);
    let mut other = bytes.clone();
    other[4] = 2;
    assert_eq!(refused(&other), SavedSessionError::Version(2));
    for end in 5..bytes.len() {
        assert_eq!(refused(&bytes[..end]), SavedSessionError::Damaged, "{end} bytes");
    }
    for place in 5..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x10;
        assert_eq!(refused(&damaged), SavedSessionError::Damaged, "at {place}");
        // Somebody who makes the hash right as well gets no further than its own client.
        let end = damaged.len() - 8;
        let check = bytes_hash(&damaged[..end]);
        damaged[end..].copy_from_slice(&check.to_le_bytes());
        let _ = SavedSession::decode(&damaged, schema());
    }
    let foreign = Schema::builder("another").build().unwrap();
    let told = SavedSession::decode(&bytes, &foreign).unwrap_err();
    assert_eq!(told, SavedSessionError::OtherSchema { ours: foreign.hash(), theirs: schema().hash() });
}

#[test]
fn there_is_no_session_before_the_welcome_or_after_the_end() {
    let none = Err(SavedSessionError::NoSession);
    let mut client = Client::new(ClientConfig::new("test 1"), schema().clone(), Micros(0));
    assert_eq!(client.export_session(Micros(0)), none);
    let mut pair = talking();
    pair.client.handle_disconnect(pair.now, DisconnectReason::Lost);
    assert!(pair.client.export_session(pair.now).is_ok(), "a lost connection is no end");
    pair.client.close(pair.now, None);
    assert_eq!(pair.client.export_session(pair.now), none);
}

/// A program that was started anew with the session of another, and has said hello; it tries twice more by itself.
fn started_anew() -> Pair {
    started_with(&talking().client.export_session(Micros(2_000_000)).unwrap())
}

fn started_with(bytes: &[u8]) -> Pair {
    let session = Some(SavedSession::decode(bytes, schema()).unwrap());
    let now = Micros(7);
    let client = Client::new(ClientConfig { session, ..states::config() }, schema().clone(), now);
    let mut server = FakeServer::new(StreamKind::Ordered, 2_000);
    server.session_outcome = Some(SessionOutcome::Resumed);
    server.received = server.received.with(Lane::Messages, 1);
    let mut pair = Pair::meet(server, client, now);
    pair.hear();
    pair
}

fn refuse(pair: &mut Pair, reason: &RejectReason) {
    let mut message = Vec::new();
    Reject::from(reason.clone()).encode(&mut message);
    pair.client.handle_message(pair.now, message.into()).unwrap();
}

#[test]
fn a_server_that_cannot_take_a_session_now_does_not_end_it() {
    for refusal in [RejectReason::ShuttingDown, RejectReason::Unauthorized(AuthRefusal::Unavailable)] {
        let mut pair = started_anew();
        let reason = DisconnectReason::Rejected(refusal.clone().into());
        for attempt in 1..=2 {
            refuse(&mut pair, &refusal);
            // What the server wants, and what this client waits by itself.
            let next_in = Some(Micros::from_secs(2));
            let told = Event::Reconnecting { attempt, of: 2, next_in, last_error: reason.clone() };
            assert_eq!(pair.events(), [told]);
            let state = ConnectionState::Reconnecting { attempt, of: 2, next_in, last_error: reason.clone() };
            assert_eq!(pair.client.connection_state(pair.now), state);
            pair.now = pair.now + Micros::from_secs(2);
            assert!(pair.client.poll_connect(pair.now));
            pair.hear();
        }
        refuse(&mut pair, &refusal);
        assert_eq!(pair.events(), [Event::Disconnected(reason.clone())], "nothing is lost");
        assert!(pair.client.export_session(pair.now).is_ok());
        pair.client.reconnect(pair.now);
        assert!(pair.client.is_reconnecting() && pair.client.poll_connect(pair.now));
        pair.heard = Heard::default();
        pair.hear();
        assert!(Resume::find(&pair.heard.hellos[0].extensions).unwrap().is_some(), "its own session");
        let mut welcome = Vec::new();
        pair.server.welcome_value().encode(&mut welcome);
        pair.client.handle_message(pair.now, welcome.into()).unwrap();
        pair.hear();
        assert_eq!(pair.heard.messages, 2, "all that the server has not received");
    }
}

#[test]
fn a_session_that_cannot_be_reached_at_first_is_tried_as_one_that_was_lost() {
    let mut pair = started_anew();
    assert_eq!(pair.client.connection_state(pair.now), ConnectionState::Connecting);
    states::lose(&mut pair);
    assert!(matches!(pair.events()[..], [Event::Reconnecting { attempt: 1, of: 2, .. }]));
    assert!(pair.client.is_reconnecting());
    states::fail(&mut pair);
    states::fail(&mut pair);
    let events = pair.events();
    assert_eq!(events.last(), Some(&Event::Disconnected(DisconnectReason::Lost)));
    assert!(!events.iter().any(|event| matches!(event, Event::Sent(..))));
}

#[test]
fn a_refusal_that_does_not_pass_ends_the_session_that_was_restored() {
    let mut pair = started_anew();
    refuse(&mut pair, &RejectReason::Magic);
    let events = pair.events();
    assert!(
        matches!(
            events[..],
            [
                Event::Sent(_, Outcome::Lost),
                Event::Sent(_, Outcome::Lost),
                Event::Rejected(Reject { reason: RejectReason::Magic, .. })
            ]
        ),
        "{events:?}"
    );
    assert_eq!(pair.client.export_session(pair.now), Err(SavedSessionError::NoSession));
}

#[test]
fn what_is_exported_expires_in_both_programs_when_its_time_is_over() {
    let fates = |pair: &mut Pair| {
        let fate = |event| if let Event::Sent(_, outcome) = event { Some(outcome) } else { None };
        pair.events().into_iter().filter_map(fate).collect::<Vec<_>>()
    };
    let mut pair = talking();
    assert_eq!(fates(&mut pair), [Outcome::Delivered]);
    states::lose(&mut pair);
    pair.client.send(pair.now, BRIEF, 0, vec![1]).unwrap();
    let mut bytes = Vec::new();
    // It saves all the time.
    for _ in 0..4 {
        pair.now = pair.now + Micros::from_millis(100);
        bytes = pair.client.export_session(pair.now).unwrap();
    }
    pair.now = pair.now + Micros(599_999);
    assert_eq!(fates(&mut pair), []);
    pair.now = pair.now + Micros(1);
    assert_eq!(fates(&mut pair), [Outcome::Expired]);

    let mut pair = started_with(&bytes);
    let mut welcome = Vec::new();
    pair.server.welcome_value().encode(&mut welcome);
    pair.client.handle_message(pair.now, welcome.into()).unwrap();
    pair.now = pair.now + Micros(599_999);
    assert_eq!(fates(&mut pair), []);
    pair.now = pair.now + Micros(1);
    assert_eq!(fates(&mut pair), [Outcome::Expired], "the time that it had left");
}
