//! Every call in every state: the table of docs/SESSIONS.md, executed.

use bytes::Bytes;
use tickwire_client::{Client, DisconnectReason, Event, Network};
use tickwire_protocol::bulk::{Bulk, BulkEvent, Side};
use tickwire_protocol::handshake::Token;
use tickwire_protocol::message::{
    Direction, MessageFrame, Outbox, RequestError, RequestId, Requests, Standing,
};
use tickwire_protocol::room::Profile;
use tickwire_protocol::{Micros, Tick};

use super::states::{config, connected, fail, lose, send, state};
use super::support::*;

const SECOND: Micros = Micros::from_secs(1);

/// A client in the state of a column, in which this was so before.
fn in_state(name: &str, before: impl FnOnce(&mut Pair)) -> Pair {
    let mut pair = connected();
    if name == "Connecting" {
        pair.client = Client::new(config(), schema().clone(), pair.now);
        pair.hear();
    }
    pair.events();
    before(&mut pair);
    match name {
        "Connecting" | "Connected" => {}
        "Reconnecting" => lose(&mut pair),
        "Failed" => {
            lose(&mut pair);
            fail(&mut pair);
            fail(&mut pair);
        }
        "Disconnected" => pair.client.close(pair.now, None),
        other => panic!("a column {other}"),
    }
    assert_eq!(state(&pair), name);
    pair.heard = Heard::default();
    pair
}

/// A server says nothing to who is not in yet.
fn tell(pair: &mut Pair, message: Vec<u8>) {
    if pair.client.is_playing() {
        pair.client.handle_message(pair.now, message.into()).unwrap();
    }
}

fn said() -> Vec<u8> {
    let mut out = Vec::new();
    let class = schema().message(SAY).unwrap().class();
    MessageFrame { ty: SAY, number: 0, key: 0, body: vec![7].into() }.encode(class, &mut out);
    out
}

/// What the server's game asks the client.
fn asked(pair: &mut Pair) {
    let mut outbox = Outbox::new(schema().clone(), Direction::ToClient);
    Requests::default().ask(pair.now, &mut outbox, ASK, b"?", SECOND).unwrap();
    let mut out = Vec::new();
    outbox.poll_transmit(pair.now, 4_096, &mut out);
    tell(pair, out);
    pair.events();
}

/// What the server's game offers the client.
fn offered(pair: &mut Pair) {
    let mut bulk = Bulk::new(Side::Server);
    bulk.offer(pair.now, 1, Bytes::new(), Bytes::from_static(b"map")).unwrap();
    let mut out = Vec::new();
    bulk.poll_filler(pair.now, 4_096, &mut out);
    tell(pair, out);
}

fn offer_of(pair: &mut Pair) -> tickwire_protocol::bulk::BulkId {
    let offers = pair.events().into_iter().find_map(|event| match event {
        Event::Bulk(BulkEvent::Offered { id, .. }) => Some(id),
        _ => None,
    });
    offers.unwrap_or(NO_OFFER)
}

const NO_OFFER: tickwire_protocol::bulk::BulkId = tickwire_protocol::bulk::BulkId(0);

fn word(is_so: bool, yes: &str, no: &str) -> String {
    if is_so { yes } else { no }.to_owned()
}

fn taken<T, E: std::fmt::Debug>(result: Result<T, E>) -> String {
    result.map_or_else(|error| format!("error `{error:?}`"), |_| "taken".to_owned())
}

/// The state behind a call.
fn then(name: &str, before: impl FnOnce(&mut Pair), call: impl FnOnce(&mut Pair)) -> String {
    let mut pair = in_state(name, before);
    call(&mut pair);
    state(&pair)
}

fn nothing(_: &mut Pair) {}

/// What a call does in a state, as its row has it in the table; nothing if it is of another group.
type Group = fn(call: &str, name: &str) -> Option<String>;

const GROUPS: [Group; 5] = [messages, requests, transfers, play, connections];

fn messages(call: &str, name: &str) -> Option<String> {
    let sent = |pair: &mut Pair| {
        let id = pair.client.send(pair.now, SAY, 0, vec![1]).unwrap();
        pair.hear();
        assert!(pair.client.standing(id).is_some());
    };
    Some(match call {
        "`send`" => taken(send(&mut in_state(name, nothing))),
        "`standing` of what was sent" => {
            let mut id = None;
            let pair = in_state(name, |pair| {
                id = pair.client.send(pair.now, SAY, 0, vec![1]).ok();
                pair.hear();
            });
            match pair.client.standing(id.expect("it is taken")) {
                Some(Standing::Queued) => "queued".to_owned(),
                Some(Standing::InFlight) => "in flight".to_owned(),
                None => "none".to_owned(),
            }
        }
        "`poll_transmit` of what was sent" => {
            let mut pair = in_state(name, sent);
            let _ = send(&mut pair);
            word(pair.client.poll_transmit(pair.now, &mut Vec::new()), "written", "none")
        }
        "`poll_event` of what came" => {
            let mut pair = in_state(name, |pair| tell(pair, said()));
            let is_told = pair.events().iter().any(|event| matches!(event, Event::Message(_)));
            word(is_told, "told", "none")
        }
        "`handle_message`" => {
            let mut pair = in_state(name, nothing);
            let result = pair.client.handle_message(pair.now, said().into());
            let is_told = pair.events().iter().any(|event| matches!(event, Event::Message(_)));
            match result {
                Err(_) => format!("error, {}", state(&pair)),
                Ok(()) => word(is_told, "taken", "passed over"),
            }
        }
        "`handle_message` of nonsense" => {
            let mut pair = in_state(name, nothing);
            let result = pair.client.handle_message(pair.now, Bytes::from_static(&[9]));
            word(result.is_err(), &format!("error, {}", state(&pair)), "passed over")
        }
        _ => return None,
    })
}

fn requests(call: &str, name: &str) -> Option<String> {
    Some(match call {
        "`request`" => {
            let mut pair = in_state(name, nothing);
            taken(pair.client.request(pair.now, ASK, b"?", SECOND))
        }
        "`cancel_request`" => {
            let mut id = None;
            let mut pair = in_state(name, |pair| {
                id = pair.client.request(pair.now, ASK, b"?", Micros::from_secs(60)).ok();
            });
            pair.events();
            pair.client.cancel_request(pair.now, id.expect("it is asked"));
            let end = Event::Response(id.expect("it is asked"), Err(RequestError::Cancelled));
            word(pair.events() == [end], "cancelled", "passed over")
        }
        "`respond`" => {
            let mut pair = in_state(name, asked);
            taken(pair.client.respond(pair.now, RequestId(0), Ok(Bytes::new())))
        }
        _ => return None,
    })
}

fn transfers(call: &str, name: &str) -> Option<String> {
    Some(match call {
        "`offer_bulk`" => {
            let mut pair = in_state(name, nothing);
            taken(pair.client.offer_bulk(pair.now, 1, Bytes::new(), vec![7; 9]))
        }
        "`accept_bulk`" => {
            let mut pair = in_state(name, offered);
            let id = offer_of(&mut pair);
            taken(pair.client.accept_bulk(id))
        }
        "`cancel_bulk`" => {
            let mut pair = in_state(name, offered);
            let id = offer_of(&mut pair);
            taken(pair.client.cancel_bulk(id))
        }
        _ => return None,
    })
}

fn play(call: &str, name: &str) -> Option<String> {
    let mut pair = in_state(name, nothing);
    let now = pair.now;
    Some(match call {
        "`due_input_tick`" => word(pair.client.due_input_tick(now).is_some(), "a tick", "none"),
        "`input_timeout`" => word(pair.client.input_timeout().is_some(), "some", "none"),
        "`push_input`" => {
            let before = pair.client.stats(now).inputs;
            let tick: Tick = pair.server.tick + 9;
            pair.client.push_input(now, tick, |_| {});
            word(pair.client.stats(now).inputs > before, "taken", "passed over")
        }
        "`set_budget`" => {
            pair.client.set_budget(Some(5_000));
            pair.hear();
            word(pair.heard.budgets == [Some(5_000)], "told", "kept")
        }
        "`set_profile`" => {
            pair.client.set_profile(Profile::new("bob", Vec::new()).unwrap());
            pair.hear();
            word(pair.heard.profiles == 1, "told", "kept")
        }
        "`renew_token`" => {
            pair.client.renew_token(Token::new("newer").unwrap());
            pair.hear();
            word(pair.heard.tokens == 1, "told", "passed over")
        }
        "`pause`" => {
            pair.client.pause(now);
            pair.hear();
            word(pair.heard.pauses == [true], "told", "kept")
        }
        "`resume` of what was paused" => {
            pair.client.pause(now);
            pair.hear();
            pair.client.resume(now);
            pair.hear();
            word(pair.heard.pauses == [true, false], "told", "kept")
        }
        "`view`" => word(pair.client.view(now).all().count() > 0, "shown", "empty"),
        "`clock`" => word(pair.client.clock().is_some(), "some", "none"),
        "`stats`, health" => word(pair.client.stats(now).health > 0, "above 0", "0"),
        "`export_session`" => match pair.client.export_session(now) {
            Ok(bytes) => word(!bytes.is_empty(), "bytes", "none"),
            Err(error) => format!("error `{error:?}`"),
        },
        _ => return None,
    })
}

fn connections(call: &str, name: &str) -> Option<String> {
    let network = |network| then(name, nothing, |pair| pair.client.set_network(pair.now, network));
    let close = |before: fn(&mut Pair), flush| then(name, before, |pair| pair.client.close(pair.now, flush));
    let waits = |pair: &mut Pair| drop(send(pair));
    Some(match call {
        "`poll_connect`" => {
            let mut pair = in_state(name, nothing);
            word(pair.client.poll_connect(pair.now), "true", "false")
        }
        "`poll_connect`, a second later" => {
            let mut pair = in_state(name, nothing);
            word(pair.client.poll_connect(pair.now + SECOND), "true", "false")
        }
        // After four of five seconds of silence.
        "`handle_progress` before silence" => {
            let mut pair = in_state(name, nothing);
            for half_seconds in 1..=12 {
                pair.now = pair.now + Micros::from_millis(500);
                if half_seconds == 8 {
                    pair.client.handle_progress(pair.now);
                }
                pair.hear();
            }
            state(&pair)
        }
        "`poll_timeout`" => word(in_state(name, nothing).client.poll_timeout().is_some(), "some", "none"),
        "`handle_disconnect(Lost)`" => then(name, nothing, lose),
        "`handle_disconnect(Left)`" => then(name, nothing, |pair| {
            pair.client.handle_disconnect(pair.now, DisconnectReason::Left);
        }),
        "`reconnect`" => then(name, nothing, |pair| pair.client.reconnect(pair.now)),
        "`set_network(Down)`" => network(Network::Down),
        "`set_network(Up)`" => network(Network::Up),
        "`set_network(Changed)`" => network(Network::Changed),
        "`close(None)`" => close(nothing, None),
        "`close(Some)`, nothing waits" => close(nothing, Some(SECOND)),
        "`close(Some)`, a message waits" => close(waits, Some(SECOND)),
        _ => return None,
    })
}

fn outcome(call: &str, name: &str) -> String {
    let found = GROUPS.iter().find_map(|group| group(call, name));
    found.unwrap_or_else(|| panic!("a call {call}"))
}

#[test]
fn every_call_in_every_state_does_what_the_table_says() {
    const PAGE: &str = include_str!("../../../docs/SESSIONS.md");
    let rows =
        PAGE.lines().skip_while(|line| !line.starts_with("| call ")).take_while(|line| !line.is_empty());
    let rows = rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    let rows: Vec<_> = rows.filter(|row| !row[0].starts_with('-')).collect();
    let (states, calls) = rows.split_first().expect("a table");
    assert_eq!((states.len(), calls.len()), (6, 37), "no row is lost on the way");
    let wrong = calls.iter().flat_map(|call| {
        let cells = states.iter().zip(call).skip(1);
        cells.filter_map(|(name, told)| {
            let found = outcome(call[0], name);
            (found != *told).then(|| format!("{} in {name}: {found}, not {told}", call[0]))
        })
    });
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
}
