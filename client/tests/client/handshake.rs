//! Hello, welcome, refusal, silence, goodbye.

use tickwire_client::{Client, ClientConfig, ClientFault, DisconnectReason, Event, Reconnect};
use tickwire_protocol::handshake::{
    FreshReason, NewRoom, Reject, RejectReason, Role, RoomWish, SessionOutcome, StreamKind, Welcome,
};
use tickwire_protocol::snapshot::Prior;
use tickwire_protocol::{CloseCode, DecodeError, Micros, PlayerId, RoomId, SessionId, TickTime};

use super::support::*;

fn client() -> Client {
    Client::new(ClientConfig::new("test 1"), schema().clone(), Micros(1_000_000))
}

fn say_hello(client: &mut Client, now: Micros) {
    assert!(client.poll_transmit(now, &mut Vec::new()));
}

fn welcome(change: impl FnOnce(&mut Welcome)) -> bytes::Bytes {
    let mut welcome = FakeServer::new(StreamKind::Ordered, 1_000).welcome_value();
    change(&mut welcome);
    let mut out = Vec::new();
    welcome.encode(&mut out);
    out.into()
}

#[test]
fn the_hello_says_who_and_what() {
    let config = ClientConfig {
        room: RoomWish::Named("duel".into()),
        role: Role::Spectator,
        ..ClientConfig::new("game 3")
    };
    let mut client = Client::new(config, schema().clone(), Micros(5));
    assert_eq!(client.poll_timeout(), Some(Micros(5)), "at once");
    let mut out = Vec::new();
    assert!(client.poll_transmit(Micros(5), &mut out));
    assert!(!client.poll_transmit(Micros(6), &mut out), "once");
    let mut heard = Heard::default();
    hear(&out, tickwire_protocol::Tick(0), &mut heard);
    let hello = &heard.hellos[0];
    assert_eq!((hello.schema_hash, hello.game_build.as_str()), (schema().hash(), "game 3"));
    assert_eq!((hello.room.clone(), hello.role), (RoomWish::Named("duel".into()), Role::Spectator));
}

#[test]
fn who_had_a_room_opened_wants_that_very_room_when_it_comes_back() {
    let room = NewRoom { mode: "duel".into(), ..NewRoom::default() };
    let config = ClientConfig {
        room: RoomWish::New(room.clone()),
        reconnect: Some(Reconnect::default()),
        ..ClientConfig::new("test 1")
    };
    let now = Micros(1_000_000);
    let mut client = Client::new(config, schema().clone(), now);
    let wish = |client: &mut Client, now| {
        let mut out = Vec::new();
        assert!(client.poll_transmit(now, &mut out));
        let mut heard = Heard::default();
        hear(&out, tickwire_protocol::Tick(0), &mut heard);
        heard.hellos.remove(0).room
    };
    assert_eq!(wish(&mut client, now), RoomWish::New(room.clone()));
    client.handle_message(now, welcome(|welcome| welcome.room_name = "room-3".into())).unwrap();
    client.handle_disconnect(now, DisconnectReason::Lost);
    let later = now + Micros::from_secs(1);
    assert!(client.poll_connect(later));
    let again = NewRoom { name: "room-3".into(), or_join: true, ..room };
    assert_eq!(wish(&mut client, later), RoomWish::New(again));
}

#[test]
fn a_welcome_connects_and_the_clock_runs() {
    let mut pair = Pair::ordered();
    let connected = Event::Connected {
        session: SessionId(1),
        player: Some(PLAYER),
        room: RoomId(3),
        outcome: SessionOutcome::Fresh(FreshReason::First),
    };
    assert_eq!(pair.events(), [connected]);
    assert!(pair.client.is_playing());
    let clock = pair.client.clock().unwrap();
    assert_eq!(clock.server_time(pair.now), pair.now + AHEAD);
    assert_eq!(
        clock.tick_time(pair.now + Micros(30_000)),
        TickTime { tick: pair.server.tick + 1, fraction: 0.5 }
    );
    assert_eq!(clock.rtt(), Micros(0));
    assert_eq!(pair.client.view(pair.now).all().count(), 0, "nothing to see yet");
}

#[test]
fn a_refusal_is_told_with_both_values() {
    let mut client = client();
    say_hello(&mut client, Micros(1_000_000));
    let reason = Reject::from(RejectReason::Schema { ours: 0xabc, yours: schema().hash() });
    let mut message = Vec::new();
    reason.encode(&mut message);
    client.handle_message(Micros(1_100_000), message.into()).unwrap();
    client.handle_disconnect(
        Micros::ZERO,
        DisconnectReason::Closed { code: CloseCode::REJECTED, reason: String::new() },
    );
    assert_eq!(client.poll_event(Micros(1_100_000)), Some(Event::Rejected(reason)));
    assert_eq!(client.poll_event(Micros(1_100_000)), None, "the close behind it says nothing new");
    assert!(client.is_closed() && client.poll_timeout().is_none());
    assert!(!client.poll_transmit(Micros(1_200_000), &mut Vec::new()));
}

#[test]
fn an_unknown_coder_is_refused() {
    for (message, fault) in [
        (welcome(|w| w.coder = 9), ClientFault::UnknownCoder(9)),
        (welcome(|w| w.prior_hash = 5), ClientFault::UnknownPrior(5)),
    ] {
        let mut client = client();
        say_hello(&mut client, Micros(1_000_000));
        assert_eq!(client.handle_message(Micros(1_000_000), message), Err(fault));
        let reason = client.disconnect_reason().and_then(DisconnectReason::close_code);
        assert_eq!(reason, Some(CloseCode::POLICY));
    }
}

#[test]
fn a_room_has_its_own_prior() {
    let own = Prior::untrained();
    let begin = |config: ClientConfig, prior: Option<Vec<u8>>| {
        let mut client = Client::new(config, schema().clone(), Micros(1_000_000));
        let mut out = Vec::new();
        assert!(client.poll_transmit(Micros(1_000_000), &mut out));
        let mut heard = Heard::default();
        hear(&out, tickwire_protocol::Tick(0), &mut heard);
        let welcome = welcome(|w| (w.prior_hash, w.prior) = (own.hash(), prior));
        let answer = client.handle_message(Micros(1_000_000), welcome);
        (answer, client.prior().map(|prior| prior.hash()), heard.hellos.remove(0).priors)
    };
    let lacking = || ClientConfig::new("test 1");
    let (default, bytes) = (Prior::default_prior(), own.encoded().to_vec());
    let sent = begin(lacking(), Some(bytes.clone()));
    assert_eq!(sent, (Ok(()), Some(own.hash()), vec![default.hash()]));
    let knowing = ClientConfig { priors: vec![own.clone()], ..lacking() };
    assert_eq!(begin(knowing, None), (Ok(()), Some(own.hash()), vec![default.hash(), own.hash()]));
    let other = ClientFault::OtherPrior { named: own.hash(), sent: default.hash() };
    assert_eq!(begin(lacking(), Some(default.encoded().to_vec())).0, Err(other));
    let damaged = begin(lacking(), Some(bytes[1..].to_vec())).0;
    assert_eq!(damaged, Err(ClientFault::Malformed(DecodeError::Damaged("prior"))));
}

#[test]
fn who_is_not_answered_or_hears_nothing_gives_up() {
    let mut client = client();
    say_hello(&mut client, Micros(1_000_000));
    assert_eq!(client.poll_timeout(), Some(Micros(11_000_000)));
    assert_eq!(client.poll_event(Micros(10_999_999)), None);
    let given_up = Event::Disconnected(DisconnectReason::NoWelcome);
    assert_eq!(client.poll_event(Micros(11_000_000)), Some(given_up));

    let mut pair = Pair::ordered();
    pair.events();
    let silent = pair.now + Micros::from_secs(5);
    while pair.now + Micros::from_secs(1) < silent {
        pair.now = pair.now + Micros::from_secs(1);
        pair.hear();
    }
    pair.now = silent;
    assert!(!pair.client.poll_transmit(silent, &mut Vec::new()), "no ping to one who is gone");
    assert_eq!(pair.client.poll_event(silent), Some(Event::Disconnected(DisconnectReason::Silent)));
    assert_eq!(pair.client.poll_event(silent), None);
}

#[test]
fn the_first_reason_is_told_and_the_last_picture_stays() {
    let mut pair = Pair::ordered();
    pair.server.set_x(id(3), 1.0);
    pair.send();
    pair.events();
    let closed = DisconnectReason::Closed { code: CloseCode::GOING_AWAY, reason: "restart".into() };
    pair.client.handle_disconnect(Micros::ZERO, closed.clone());
    pair.client.handle_disconnect(Micros::ZERO, DisconnectReason::Lost);
    assert_eq!(pair.events(), [Event::Disconnected(closed.clone())]);
    assert_eq!(pair.client.disconnect_reason(), Some(&closed));
    assert_eq!(pair.x_at(id(3), 9.0), Some(1.0));
    assert_eq!(pair.client.due_input_tick(pair.now), None);
    let snapshot = {
        pair.server.step();
        pair.server.snapshot()
    };
    assert_eq!(pair.client.handle_message(pair.now, snapshot), Ok(()), "too late to matter");
}

#[test]
fn pings_go_at_the_pace_that_the_server_wants() {
    let mut pair = Pair::ordered();
    let mut times = Vec::new();
    for _ in 0..7 {
        pair.now = pair.client.poll_timeout().unwrap();
        pair.hear();
        times.extend(pair.heard.pings.iter().map(|ping| ping.client_time.0));
        pair.answer_pings();
    }
    // A few follow each other quickly at the beginning.
    let seconds = [1.1, 1.2, 1.3, 1.4, 1.5, 2.5, 3.5];
    assert_eq!(times, seconds.map(|seconds: f64| (seconds * 1e6) as u64));
    let stats = pair.client.stats(pair.now);
    assert_eq!((stats.pings, stats.pongs, stats.clock_jumps), (8, 8, 0));
}

#[test]
fn a_budget_is_told_when_it_changes_and_on_datagrams_with_every_ping() {
    for (stream, again) in [(StreamKind::Ordered, 0), (StreamKind::Datagram, 2)] {
        let mut pair = Pair::new(stream, 1_000);
        let ask = |pair: &mut Pair, budget, pings| {
            pair.client.set_budget(budget);
            pair.hear();
            for _ in 0..pings {
                pair.now = pair.client.poll_timeout().unwrap();
                pair.hear();
                pair.answer_pings();
            }
            std::mem::take(&mut pair.heard.budgets)
        };
        assert_eq!(ask(&mut pair, None, 2), [], "nothing was asked for");
        assert_eq!(ask(&mut pair, Some(2_000), 2), vec![Some(2_000); 1 + again]);
        assert_eq!(ask(&mut pair, Some(2_000), 0), []);
        assert_eq!(ask(&mut pair, None, 2), [None]);
    }
}

#[test]
fn a_budget_asked_for_before_the_welcome_is_told_after_it() {
    let mut client = client();
    client.set_budget(Some(5_000));
    say_hello(&mut client, Micros(1_000_000));
    client.handle_message(Micros(1_000_000), welcome(|_| ())).unwrap();
    let (mut message, mut heard) = (Vec::new(), Heard::default());
    client.poll_transmit(Micros(1_000_000), &mut message);
    hear(&message, tickwire_protocol::Tick(1_000), &mut heard);
    assert_eq!(heard.budgets, [Some(5_000)]);
}

#[test]
fn pongs_that_nobody_asked_for_say_nothing() {
    let mut pair = Pair::ordered();
    let pong = pair.server.pong(tickwire_protocol::ping::Ping { client_time: Micros(1) });
    pair.client.handle_message(pair.now, pong).unwrap();
    assert_eq!(pair.client.clock().unwrap().server_time(pair.now), pair.now + AHEAD);
    assert_eq!(pair.client.stats(pair.now).pongs, 1);
}

#[test]
fn own_rows_are_there_at_once_exact_and_in_full() {
    let mut pair = Pair::ordered();
    let me = id(2);
    pair.server.set(BODY, me, |row| {
        row.set_integer(HEALTH, 80).set_integer(SECRET, 999);
    });
    pair.server.set_x(id(3), 5.0);
    pair.server.head(me).owner = Some(PLAYER);
    pair.server.head(id(3)).owner = Some(PlayerId(99));
    pair.send();
    let own: Vec<_> = pair.client.own().map(|own| (own.id, own.kind, own.tick)).collect();
    assert_eq!(own, [(me, BODY, pair.server.tick)]);
    let row = pair.client.own_row(BODY).unwrap();
    assert_eq!((row.integer(HEALTH), row.integer(SECRET)), (80, 999));
    assert!(pair.client.own_row(DOOR).is_none());
    let later = pair.client.view(pair.now + DELAY);
    let shown: Vec<_> = later.entities(BODY).map(|entity| (entity.id(), entity.is_own())).collect();
    assert_eq!(shown, [(me, true), (id(3), false)]);
    let public = later.find(me).unwrap();
    assert_eq!(
        (public.integer(SECRET), public.is_told(SECRET)),
        (0, false),
        "the public row does not have it"
    );
    assert!(public.is_told(HEALTH) && public.is_told(POSITION));
    pair.server.remove(me);
    pair.send();
    assert!(pair.client.own_row(BODY).is_none());
}

#[test]
fn digests_are_compared() {
    let mut pair = Pair::ordered();
    pair.server.set_x(id(3), 5.0);
    pair.server.set_x(id(4), 6.0);
    pair.server.head(id(4)).owner = Some(PLAYER);
    for step in 0..10_u8 {
        pair.server.set_x(id(3), f32::from(step));
        pair.send();
    }
    let stats = pair.client.stats(pair.now);
    assert_eq!((stats.digests_checked, stats.digest_rows, stats.digest_mismatches), (10, 30, 0));
    pair.server.digest_error = 1;
    pair.send();
    assert_eq!(pair.client.stats(pair.now).digest_mismatches, 1);
    assert!(pair.client.is_playing(), "counted, not fatal");
}
