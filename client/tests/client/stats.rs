//! What a client counts and measures of itself.

use tickwire_client::{Backoff, Client, ClientConfig, ClientStats, DisconnectReason, Reconnect, Traffic};
use tickwire_protocol::handshake::{FreshReason, SessionOutcome, StreamKind};
use tickwire_protocol::message::{Carried, Lane, MessageFrame, MessageTypeId, Volume};
use tickwire_protocol::{Micros, PeerId, SessionId};

use super::support::*;

const SECOND: Micros = Micros::from_secs(1);

/// Welcomed a moment ago, and comes back at once when it is lost.
fn connected() -> Pair {
    let mut server = FakeServer::new(StreamKind::Ordered, 1_000);
    server.session_outcome = Some(SessionOutcome::Fresh(FreshReason::First));
    let welcome = server.welcome_value();
    let backoff = Backoff::Listed([Micros::ZERO].into());
    let reconnect = Some(Reconnect { backoff, attempts: 5 });
    Pair::with(server, ClientConfig { reconnect, ..ClientConfig::new("test 1") }, &welcome)
}

fn stats(pair: &Pair) -> ClientStats {
    pair.client.stats(pair.now)
}

fn come_back(pair: &mut Pair, outcome: SessionOutcome, session: u64, peer: u32) {
    assert!(pair.client.poll_connect(pair.now));
    pair.hear();
    pair.server.session_outcome = Some(outcome);
    let mut welcome = pair.server.welcome_value();
    (welcome.session, welcome.peer) = (SessionId(session), PeerId(peer));
    let mut message = Vec::new();
    welcome.encode(&mut message);
    pair.client.handle_message(pair.now, message.into()).unwrap();
}

#[test]
fn nothing_is_known_before_the_welcome() {
    let client = Client::new(ClientConfig::new("test 1"), schema().clone(), SECOND);
    assert_eq!(client.stats(SECOND + SECOND), ClientStats::default());
}

#[test]
fn a_session_outlasts_connections_and_counters_outlast_both() {
    let mut pair = connected();
    let first = stats(&pair);
    assert_eq!((first.session, first.connection), (Some(SessionId(1)), Some(PeerId(2))));
    assert_eq!((first.player, first.rtt, first.jitter), (Some(PLAYER), Some(Micros(0)), Some(Micros(0))));
    assert_eq!((first.session_uptime, first.connection_uptime, first.reconnects), (Micros(0), Micros(0), 0));

    pair.now = pair.now + SECOND;
    assert_eq!((stats(&pair).session_uptime, stats(&pair).connection_uptime), (SECOND, SECOND));
    pair.client.handle_disconnect(pair.now, DisconnectReason::Lost);
    pair.now = pair.now + SECOND;
    let lost = stats(&pair);
    assert_eq!((lost.connection_uptime, lost.session_uptime), (Micros(0), SECOND + SECOND));
    assert_eq!((lost.connections_lost, lost.health, lost.errors()), (1, 0, 1));

    come_back(&mut pair, SessionOutcome::Resumed, 1, 3);
    let back = stats(&pair);
    assert_eq!((back.connection, back.reconnects, back.resumes), (Some(PeerId(3)), 1, 1));
    assert_eq!((back.connection_uptime, back.session_uptime), (Micros(0), SECOND + SECOND));
    assert!(back.sent.messages > first.sent.messages && back.received.bytes > first.received.bytes);

    pair.client.handle_disconnect(pair.now, DisconnectReason::Lost);
    pair.now = pair.now + SECOND;
    come_back(&mut pair, SessionOutcome::Fresh(FreshReason::Unknown), 9, 4);
    let anew = stats(&pair);
    assert_eq!((anew.session, anew.reconnects, anew.resumes), (Some(SessionId(9)), 2, 1));
    assert_eq!(anew.session_uptime, Micros(0), "another session");

    pair.client.close(pair.now, None);
    pair.now = pair.now + SECOND;
    let left = stats(&pair);
    assert_eq!((left.session_uptime, left.connection_uptime, left.health), (Micros(0), Micros(0), 0));
    assert_eq!((left.connections_lost, left.session), (2, Some(SessionId(9))), "leaving is no loss");
}

#[test]
fn an_attempt_without_a_welcome_has_failed() {
    let mut pair = connected();
    pair.client.handle_disconnect(pair.now, DisconnectReason::Lost);
    assert!(pair.client.poll_connect(pair.now));
    pair.client.handle_disconnect(pair.now, DisconnectReason::NoWelcome);
    assert_eq!((stats(&pair).attempts_failed, stats(&pair).connections_lost), (1, 1));
    assert_eq!(stats(&pair).errors(), 2);
}

#[test]
fn what_was_refused_is_counted_and_nothing_of_it_is_carried() {
    let mut pair = connected();
    let before = stats(&pair).sent;
    assert!(pair.client.send(pair.now, MessageTypeId(9), 0, vec![1]).is_err());
    assert!(pair.client.request(pair.now, SAY, &[], SECOND).is_err());
    assert!(pair.client.offer_bulk(pair.now, 1, vec![0; 70_000], vec![1]).is_err());
    pair.hear();
    assert_eq!((stats(&pair).sends_refused, stats(&pair).sent.talk), (3, before.talk));
}

#[test]
fn traffic_is_counted_by_what_it_carries() {
    let mut pair = connected();
    let before = stats(&pair);
    for _ in 0..3 {
        pair.client.send(pair.now, SAY, 0, vec![1; 5]).unwrap();
    }
    pair.hear();
    pair.send();
    let mut message = Vec::new();
    let said = MessageFrame { ty: SAY, number: 0, key: 0, body: vec![7; 9].into() };
    said.encode(schema().message(SAY).unwrap().class(), &mut message);
    pair.client.handle_message(pair.now, message.into()).unwrap();

    let Traffic { messages, bytes, play_bytes, bulk_bytes, talk } = stats(&pair).received;
    assert_eq!((messages, bulk_bytes), (before.received.messages + 2, 0));
    assert!(play_bytes > before.received.play_bytes && bytes > play_bytes + 9);
    assert_eq!(talk.of(Some(Lane::Messages)), Volume { messages: 1, bytes: 9 });
    let sent = stats(&pair).sent;
    assert_eq!(sent.talk.of(Some(Lane::Messages)), Volume { messages: 3, bytes: 15 });
    assert_eq!(
        (sent.talk.total(), sent.talk.of(None)),
        (sent.talk.of(Some(Lane::Messages)), Volume::default())
    );
    assert_eq!(before.sent.talk, Carried::default());
    assert!(sent.bytes >= before.sent.bytes + 15 && sent.messages == before.sent.messages + 1);

    // What is carried again counts again.
    pair.client.handle_disconnect(pair.now, DisconnectReason::Lost);
    come_back(&mut pair, SessionOutcome::Resumed, 1, 3);
    pair.hear();
    assert_eq!(stats(&pair).sent.talk.total(), Volume { messages: 6, bytes: 30 });
}

#[test]
fn health_sinks_with_silence_and_comes_back_with_a_word() {
    let mut pair = connected();
    let heard = pair.now;
    let health_after = |pair: &Pair, millis| pair.client.stats(heard + Micros::from_millis(millis)).health;
    // It is given up after 5 s.
    assert_eq!([0, 1_666, 2_500, 4_990].map(|millis| health_after(&pair, millis)), [100, 100, 75, 0]);
    pair.now = heard + Micros::from_millis(2_500);
    pair.hear();
    pair.answer_pings();
    assert_eq!(stats(&pair).health, 100);
    // A pause is no silence: pings come every 20 s, and it is given up after a minute.
    pair.client.pause(pair.now);
    pair.now = pair.now + Micros::from_secs(19);
    assert_eq!(stats(&pair).health, 100);
}
