//! The states of a client: what leads from one to the next, and what each tells.

use bytes::Bytes;
use tickwire_client::{Backoff, ClientConfig, ConnectionState, DisconnectReason, Event, Network, Reconnect};
use tickwire_protocol::bulk::{BulkEvent, BulkFailure};
use tickwire_protocol::handshake::{
    FreshReason, Reject, RejectReason, Resume, Role, SessionOutcome, StreamKind, Welcome,
};
use tickwire_protocol::message::{Lane, MessageAck, Outcome, SendError};
use tickwire_protocol::{CloseCode, Micros};

use super::support::*;

/// Comes back twice, a second after each loss.
pub(super) fn config() -> ClientConfig {
    let backoff = Backoff::Listed([Micros::from_secs(1)].into());
    ClientConfig { reconnect: Some(Reconnect { backoff, attempts: 2 }), ..ClientConfig::new("test 1") }
}

/// Welcomed, with an entity in view.
pub(super) fn connected() -> Pair {
    let mut pair = welcomed(config());
    see(&mut pair);
    pair
}

/// An entity comes into view.
pub(super) fn see(pair: &mut Pair) {
    pair.server.set_x(id(3), 1.0);
    for _ in 0..8 {
        pair.send();
    }
    pair.hear();
    pair.heard = Heard::default();
}

/// Welcomed, as the server's first.
pub(super) fn welcomed(config: ClientConfig) -> Pair {
    let mut server = FakeServer::new(StreamKind::Ordered, 1_000);
    server.session_outcome = Some(SessionOutcome::Fresh(FreshReason::First));
    let welcome = server.welcome_value();
    Pair::with(server, config, &welcome)
}

pub(super) fn lose(pair: &mut Pair) {
    pair.client.handle_disconnect(pair.now, DisconnectReason::Lost);
}

/// The next attempt is made, and fails.
pub(super) fn fail(pair: &mut Pair) {
    pair.now = pair.now + Micros::from_secs(1);
    assert!(pair.client.poll_connect(pair.now));
    lose(pair);
}

pub(super) fn state(pair: &Pair) -> String {
    match pair.client.connection_state(pair.now) {
        ConnectionState::Disconnected => "Disconnected",
        ConnectionState::Connecting => "Connecting",
        ConnectionState::Connected => "Connected",
        ConnectionState::Reconnecting { .. } => "Reconnecting",
        ConnectionState::Failed { .. } => "Failed",
    }
    .to_owned()
}

pub(super) fn send(pair: &mut Pair) -> Result<(), SendError> {
    pair.client.send(pair.now, SAY, 0, vec![1]).map(drop)
}

const SECOND: Micros = Micros::from_secs(1);

#[test]
fn states_tell_the_attempt_and_why() {
    let mut pair = connected();
    pair.events();
    lose(&mut pair);
    let reconnecting = |attempt, next_in: Option<u64>, last_error| ConnectionState::Reconnecting {
        attempt,
        of: 2,
        next_in: next_in.map(Micros),
        last_error,
    };
    let lost = DisconnectReason::Lost;
    let later = pair.now + Micros(300_000);
    assert_eq!(pair.client.connection_state(later), reconnecting(1, Some(700_000), lost.clone()));
    let told =
        Event::Reconnecting { attempt: 1, of: 2, next_in: Some(SECOND), last_error: DisconnectReason::Lost };
    assert_eq!(pair.events(), [told]);
    pair.now = pair.now + SECOND;
    assert!(pair.client.poll_connect(pair.now));
    assert_eq!(pair.client.connection_state(pair.now), reconnecting(1, Some(0), lost.clone()));
    let unreachable = DisconnectReason::Unreachable("nobody".into());
    pair.client.handle_disconnect(pair.now, unreachable.clone());
    assert_eq!(pair.client.connection_state(pair.now), reconnecting(2, Some(1_000_000), unreachable));
    fail(&mut pair);
    assert_eq!(pair.client.connection_state(pair.now), ConnectionState::Failed { last_error: lost });
}

#[test]
fn a_client_comes_back_unless_it_is_told_not_to() {
    let lost = |config| {
        let mut pair = welcomed(config);
        pair.events();
        lose(&mut pair);
        pair
    };
    let told = lost(ClientConfig::new("test 1")).events();
    let is_soon = |wait| wait <= Micros::from_millis(50);
    assert!(
        matches!(told[..], [Event::Reconnecting { attempt: 1, of: 10, next_in: Some(wait), .. }] if is_soon(wait)),
        "{told:?}"
    );
    let mut pair = lost(ClientConfig { reconnect: None, ..ClientConfig::new("test 1") });
    assert_eq!(pair.events(), [Event::Disconnected(DisconnectReason::Lost)]);
    assert_eq!(state(&pair), "Failed");
}

#[test]
fn a_server_that_wants_to_be_left_alone_is() {
    const HOUR: Micros = Micros::from_secs(3_600);
    let full = || DisconnectReason::Refused {
        status: 429,
        reason: "full".to_owned(),
        retry_after: Some(Micros::from_secs(30)),
    };
    let never =
        DisconnectReason::Refused { status: 503, reason: String::new(), retry_after: Some(Micros(u64::MAX)) };
    let close = |code| DisconnectReason::Closed { code, reason: String::new() };
    let rejected = |wait| DisconnectReason::Rejected(Reject::naming(RejectReason::ShuttingDown, wait));
    // One second is what this client waits by itself, and the attempts of many go on lying apart.
    for (reason, wait) in [
        (full(), Micros::from_secs(31)),
        (never, HOUR + SECOND),
        (close(CloseCode::TRY_AGAIN_LATER), Micros::from_secs(2)),
        (close(CloseCode::GOING_AWAY), SECOND),
        (DisconnectReason::Rejected(RejectReason::ShuttingDown.into()), Micros::from_secs(2)),
        // What the server names counts, but no more than an hour.
        (rejected(Micros::from_secs(20)), Micros::from_secs(21)),
        (rejected(Micros(u64::MAX)), HOUR + SECOND),
    ] {
        let mut pair = connected();
        pair.events();
        pair.client.handle_disconnect(pair.now, reason.clone());
        let told = Event::Reconnecting { attempt: 1, of: 2, next_in: Some(wait), last_error: reason };
        assert_eq!(pair.events(), [told]);
        assert!(!pair.client.poll_connect(pair.now + Micros(wait.0 - 1)));
        assert!(pair.client.poll_connect(pair.now + wait));
    }
    let mut pair = connected();
    pair.client.handle_disconnect(pair.now, full());
    // Another network is no reason for the server, but none to wait for longer than it wants either.
    pair.client.set_network(pair.now, Network::Down);
    pair.client.set_network(pair.now, Network::Changed);
    assert!(!pair.client.poll_connect(pair.now + Micros(30 * SECOND.0 - 1)));
    let mut by_hand = connected();
    by_hand.client.handle_disconnect(by_hand.now, full());
    by_hand.client.reconnect(by_hand.now);
    assert!(by_hand.client.poll_connect(by_hand.now), "the player asked for it");
    assert!(pair.client.poll_connect(pair.now + Micros::from_secs(30)));
}

#[test]
fn no_attempt_is_made_while_there_is_no_network_and_one_at_once_when_there_is() {
    let mut pair = connected();
    pair.client.set_network(pair.now, Network::Down);
    pair.events();
    lose(&mut pair);
    assert!(matches!(pair.events()[..], [Event::Reconnecting { attempt: 1, next_in: None, .. }]));
    pair.now = pair.now + Micros::from_secs(3_600);
    assert!(!pair.client.poll_connect(pair.now) && pair.client.poll_timeout().is_none());
    pair.client.set_network(pair.now, Network::Up);
    assert!(pair.client.poll_connect(pair.now), "at once");
    lose(&mut pair);
    assert!(!pair.client.poll_connect(pair.now), "as usual again");
    pair.client.set_network(pair.now, Network::Down);
    pair.client.reconnect(pair.now);
    assert!(pair.client.poll_connect(pair.now), "the player knows better");
}

#[test]
fn a_hint_while_an_attempt_is_made_counts_for_the_next() {
    for network in [Network::Up, Network::Changed, Network::Down] {
        let mut pair = connected();
        lose(&mut pair);
        pair.now = pair.now + SECOND;
        assert!(pair.client.poll_connect(pair.now));
        pair.events();
        pair.client.set_network(pair.now, network);
        assert!(!pair.client.poll_connect(pair.now), "one at a time: {network:?}");
        assert_eq!((state(&pair).as_str(), pair.events()), ("Reconnecting", vec![]));
        pair.hear();
        assert_eq!(pair.heard.hellos.len(), 1, "it goes on: {network:?}");
        lose(&mut pair);
        let next_in = (network != Network::Down).then_some(SECOND);
        let told = pair.events();
        assert!(
            matches!(told[..], [Event::Reconnecting { attempt: 2, next_in: told, .. }] if told == next_in),
            "{told:?}"
        );
    }
}

#[test]
fn hints_that_come_all_the_time_make_no_storm_of_attempts() {
    use Network::{Changed, Down, Up};
    let backoff = Backoff::Listed([Micros::from_secs(100)].into());
    for hints in [&[Up][..], &[Changed], &[Down, Up], &[Up, Changed]] {
        let reconnect = Some(Reconnect { backoff: backoff.clone(), attempts: u32::MAX });
        let mut pair = welcomed(ClientConfig { reconnect, ..config() });
        lose(&mut pair);
        let mut attempts = 0;
        // Ten seconds, with a hint or two every 10 ms.
        for _ in 0..1_000 {
            for hint in hints {
                pair.client.set_network(pair.now, *hint);
            }
            if pair.client.poll_connect(pair.now) {
                attempts += 1;
                lose(&mut pair);
            }
            pair.now = pair.now + Micros::from_millis(10);
        }
        assert_eq!(attempts, 10, "{hints:?}: at once, then one a second");
    }
}

#[test]
fn a_server_that_is_silent_on_another_network_is_given_up_soon() {
    let mut pair = connected();
    pair.client.set_network(pair.now, Network::Changed);
    pair.hear();
    assert_eq!(pair.heard.pings.len(), 1, "asked at once");
    let deadline = pair.now + Micros::from_secs(2);
    assert!(pair.client.poll_timeout().unwrap() <= deadline);
    let mut silent = pair.client.poll_timeout().unwrap();
    while silent < deadline {
        pair.client.poll_transmit(silent, &mut Vec::new());
        silent = pair.client.poll_timeout().unwrap();
    }
    pair.events();
    pair.now = deadline;
    assert!(
        matches!(&pair.events()[..], [Event::Reconnecting { last_error: DisconnectReason::Silent, .. }]),
        "far earlier than by silence alone"
    );

    let mut pair = connected();
    pair.client.set_network(pair.now, Network::Changed);
    pair.send();
    pair.now = pair.now + Micros::from_secs(3);
    pair.events();
    assert_eq!(state(&pair), "Connected", "any word is enough");
}

#[test]
fn who_gave_up_and_tries_by_hand_goes_on_with_its_messages() {
    let mut pair = connected();
    send(&mut pair).unwrap();
    pair.hear();
    lose(&mut pair);
    fail(&mut pair);
    fail(&mut pair);
    let ends = |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Sent(..))).count();
    let events = pair.events();
    assert_eq!((state(&pair), ends(&events)), ("Failed".to_owned(), 0), "its fate is not known yet");
    pair.client.reconnect(pair.now);
    assert!(pair.client.poll_connect(pair.now));
    pair.heard = Heard::default();
    pair.hear();
    assert_eq!(pair.heard.hellos.len(), 1);
    pair.client.close(pair.now, None);
    let events = pair.events();
    assert!(matches!(
        events[..],
        [Event::Sent(_, Outcome::Lost), Event::Disconnected(DisconnectReason::Left)]
    ));
}

#[test]
fn what_was_sent_is_delivered_before_the_game_has_left_but_not_for_ever() {
    let mut pair = connected();
    send(&mut pair).unwrap();
    pair.client.close(pair.now, Some(SECOND));
    assert_eq!(send(&mut pair), Err(SendError::Closed));
    assert_eq!(pair.client.due_input_tick(pair.now), None);
    pair.hear();
    assert_eq!((pair.heard.messages, state(&pair).as_str()), (1, "Connected"), "written, not delivered");
    let mut ack = Vec::new();
    MessageAck::default().with(Lane::Messages, 1).encode(&mut ack);
    pair.client.handle_message(pair.now, ack.into()).unwrap();
    let ends = |events: Vec<Event>| {
        let sent = |event| match event {
            Event::Sent(_, outcome) => Some(outcome),
            _ => None,
        };
        events.into_iter().filter_map(sent).collect::<Vec<_>>()
    };
    assert_eq!(ends(pair.events()), [Outcome::Delivered]);
    assert_eq!(state(&pair), "Disconnected");

    let mut pair = connected();
    send(&mut pair).unwrap();
    pair.client.close(pair.now, Some(SECOND));
    pair.hear();
    lose(&mut pair);
    assert_eq!(state(&pair), "Reconnecting", "over another connection");
    pair.now = pair.client.poll_timeout().unwrap();
    assert_eq!(ends(pair.events()), [Outcome::Lost], "the time is up");
    assert_eq!(state(&pair), "Disconnected");
}

#[test]
fn who_is_not_to_rejoin_ends_with_its_session() {
    let mut pair = welcomed(ClientConfig { rejoin: false, ..config() });
    pair.events();
    lose(&mut pair);
    pair.now = pair.now + SECOND;
    assert!(pair.client.poll_connect(pair.now));
    pair.heard = Heard::default();
    pair.hear();
    let claim = Resume::find(&pair.heard.hellos[0].extensions).unwrap();
    assert!(claim.is_some(), "it asks for its session");
    pair.server.session_outcome = Some(SessionOutcome::Fresh(FreshReason::Unknown));
    let mut message = Vec::new();
    pair.server.welcome_value().encode(&mut message);
    pair.client.handle_message(pair.now, message.into()).unwrap();
    let over = DisconnectReason::SessionOver(FreshReason::Unknown);
    assert_eq!(pair.client.connection_state(pair.now), ConnectionState::Failed { last_error: over.clone() });
    assert_eq!(pair.events().last(), Some(&Event::Disconnected(over)));
}

#[test]
fn after_each_close_code_the_client_does_what_its_row_says() {
    let page = include_str!("../../../docs/WIRE.md");
    let table = page.split_once("\n## Close codes\n").unwrap().1.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        Some((cells.get(1)?.parse().ok().map(CloseCode)?, cells[3]))
    });
    let mut count = 0;
    for (code, told) in rows {
        let mut pair = connected();
        let reason = DisconnectReason::Closed { code, reason: String::new() };
        pair.client.handle_disconnect(pair.now, reason);
        let expected = match told.split([' ', ',']).next() {
            Some("reconnects") => "Reconnecting",
            _ if code == CloseCode::NORMAL => "Disconnected",
            _ => "Failed",
        };
        assert_eq!(state(&pair), expected, "{code:?}");
        count += 1;
    }
    assert!(count >= 20, "{count} rows");
}

#[test]
fn an_end_is_told_before_the_next_beginning_however_late_the_game_asks() {
    let mut pair = connected();
    pair.events();
    lose(&mut pair);
    fail(&mut pair);
    fail(&mut pair);
    pair.client.reconnect(pair.now);
    assert!(pair.client.poll_connect(pair.now));
    pair.hear();
    pair.server.session_outcome = Some(SessionOutcome::Resumed);
    let mut message = Vec::new();
    pair.server.welcome_value().encode(&mut message);
    pair.client.handle_message(pair.now, message.into()).unwrap();
    let events = pair.events();
    let place = |is_it: fn(&Event) -> bool| events.iter().position(is_it);
    let end = place(|event| matches!(event, Event::Disconnected(DisconnectReason::Lost)));
    let beginning = place(|event| matches!(event, Event::Connected { .. }));
    assert!(end.is_some() && beginning > end, "{events:?}");
}

#[test]
fn whoever_leaves_after_giving_up_is_told_the_end_of_transfers() {
    let mut pair = connected();
    lose(&mut pair);
    let mine = pair.client.offer_bulk(pair.now, 1, Bytes::new(), vec![7; 100]).unwrap();
    fail(&mut pair);
    fail(&mut pair);
    pair.client.close(pair.now, None);
    let lost = BulkEvent::NotSent { id: mine, why: BulkFailure::Lost };
    assert!(pair.events().contains(&Event::Bulk(lost)));
}

#[test]
fn who_was_refused_while_it_was_leaving_stays_when_it_tries_again() {
    let mut pair = connected();
    send(&mut pair).unwrap();
    pair.client.close(pair.now, Some(Micros::from_secs(9)));
    lose(&mut pair);
    pair.now = pair.now + SECOND;
    assert!(pair.client.poll_connect(pair.now));
    pair.hear();
    let mut message = Vec::new();
    Reject::from(RejectReason::Magic).encode(&mut message);
    pair.client.handle_message(pair.now, message.into()).unwrap();
    pair.events();
    pair.client.reconnect(pair.now);
    assert!(pair.client.poll_connect(pair.now));
    pair.hear();
    assert_eq!((pair.events(), state(&pair).as_str()), (vec![], "Reconnecting"));
}

#[test]
fn a_spectator_is_told_that_it_says_nothing_instead_of_being_thrown_out() {
    let server = FakeServer::new(StreamKind::Ordered, 1_000);
    let welcome = Welcome { player: None, ..server.welcome_value() };
    let mut pair = Pair::with(server, ClientConfig { role: Role::Spectator, ..config() }, &welcome);
    assert_eq!(send(&mut pair), Err(SendError::OnlyWatches));
    let asked = pair.client.request(pair.now, SAY, b"?", SECOND);
    assert_eq!(asked, Err(SendError::OnlyWatches));
    pair.hear();
    assert_eq!(pair.heard.messages, 0);
}

#[test]
fn a_pause_that_ends_before_a_word_is_said_over_another_connection_ends_for_the_server_too() {
    let mut pair = connected();
    pair.client.pause(pair.now);
    pair.hear();
    lose(&mut pair);
    pair.now = pair.now + SECOND;
    assert!(pair.client.poll_connect(pair.now));
    pair.hear();
    pair.server.session_outcome = Some(SessionOutcome::Resumed);
    let mut message = Vec::new();
    pair.server.welcome_value().encode(&mut message);
    pair.client.handle_message(pair.now, message.into()).unwrap();
    pair.client.resume(pair.now);
    pair.hear();
    assert_eq!(pair.heard.pauses, [true, false], "the server takes the session for paused");
}
