//! Every call in every state: the table of docs/SESSIONS.md, executed.

use bytes::Bytes;
use tickwire_client::{Client, ClientConfig, DisconnectReason, Event, Network};
use tickwire_protocol::bulk::{Bulk, BulkEvent, Side};
use tickwire_protocol::handshake::{FreshReason, Reject, RejectReason, SessionOutcome, Token};
use tickwire_protocol::message::{
    Direction, MessageFrame, Outbox, RequestError, RequestId, Requests, Standing,
};
use tickwire_protocol::room::{
    GroupChange, GroupsFrame, MatchChange, MatchFrame, MatchInfo, MemberChange, MembersFrame, Profile,
    TableHead,
};
use tickwire_protocol::{GroupId, Micros, Tick};

use super::prediction::Walk;
use super::states::{config, fail, lose, see, send, state, welcomed};
use super::support::*;

const SECOND: Micros = Micros::from_secs(1);

/// How a client comes into the state of a column. All ways to one state are the same to every call.
#[derive(Clone, Copy, Debug)]
enum Way {
    Connecting,
    Connected,
    /// Lost, and the next attempt is waited for.
    Waits,
    /// Lost, and the next hello is out.
    Tries,
    /// Lost too often.
    GivesUp,
    /// The server broke the protocol.
    Fault,
    /// It came back and was not let in, for what does not pass.
    Refused,
    /// It came back to a server that does not know its session, and wants no other.
    Fresh,
    Leaves,
}

impl Way {
    fn to(column: &str) -> &'static [Self] {
        match column {
            "Connecting" => &[Self::Connecting],
            "Connected" => &[Self::Connected],
            "Reconnecting, waits" => &[Self::Waits],
            "Reconnecting, tries" => &[Self::Tries],
            "Failed, may go on" => &[Self::GivesUp],
            "Failed, session over" => &[Self::Fault, Self::Refused, Self::Fresh],
            "Disconnected" => &[Self::Leaves],
            other => panic!("a column {other}"),
        }
    }

    fn state(self) -> &'static str {
        match self {
            Self::Connecting => "Connecting",
            Self::Connected => "Connected",
            Self::Waits | Self::Tries => "Reconnecting",
            Self::GivesUp | Self::Fault | Self::Refused | Self::Fresh => "Failed",
            Self::Leaves => "Disconnected",
        }
    }

    fn go(self, pair: &mut Pair) {
        match self {
            Self::Connecting | Self::Connected => {}
            Self::Waits => lose(pair),
            Self::Tries => try_again(pair),
            Self::GivesUp => {
                lose(pair);
                fail(pair);
                fail(pair);
            }
            Self::Fault => assert!(pair.client.handle_message(pair.now, NONSENSE).is_err()),
            Self::Refused => {
                try_again(pair);
                answer(pair, |_, out| Reject::from(RejectReason::Magic).encode(out));
            }
            Self::Fresh => {
                try_again(pair);
                pair.server.session_outcome = Some(SessionOutcome::Fresh(FreshReason::Unknown));
                answer(pair, |server, out| server.welcome_value().encode(out));
            }
            Self::Leaves => pair.client.close(pair.now, None),
        }
    }
}

/// No frame begins so.
const NONSENSE: Bytes = Bytes::from_static(&[9]);

/// The connection is lost, and the hello of the next is out.
fn try_again(pair: &mut Pair) {
    lose(pair);
    pair.now = pair.now + SECOND;
    assert!(pair.client.poll_connect(pair.now));
    pair.hear();
}

fn answer(pair: &mut Pair, encode: impl FnOnce(&FakeServer, &mut Vec<u8>)) {
    let mut message = Vec::new();
    encode(&pair.server, &mut message);
    pair.client.handle_message(pair.now, message.into()).unwrap();
}

/// A client that has come into a state, in which this was so before.
fn in_state(way: Way, before: impl FnOnce(&mut Pair)) -> Pair {
    let mut pair = welcomed(ClientConfig { rejoin: !matches!(way, Way::Fresh), ..config() });
    see(&mut pair);
    if matches!(way, Way::Connecting) {
        pair.client = Client::new(config(), schema().clone(), pair.now);
        pair.hear();
    }
    pair.events();
    before(&mut pair);
    way.go(&mut pair);
    assert_eq!(state(&pair), way.state());
    pair.heard = Heard::default();
    pair
}

/// A server says nothing to who is not in yet.
fn tell(pair: &mut Pair, message: Vec<u8>) {
    if pair.client.is_playing() {
        pair.client.handle_message(pair.now, message.into()).unwrap();
    }
}

/// The own player is predicted for a while.
fn predicted(pair: &mut Pair) {
    if !pair.client.is_playing() {
        return;
    }
    pair.client.predict(Walk::new());
    pair.server.head(id(3)).owner = Some(PLAYER);
    for _ in 0..20 {
        pair.send();
        while let Some(tick) = pair.client.due_input_tick(pair.now) {
            pair.client.push_input(pair.now, tick, |_| {});
        }
        pair.hear();
        pair.answer_pings();
    }
}

/// What the room's tables say.
fn tables(pair: &mut Pair) {
    let head = TableHead { version: 1, is_anew: true, is_whole: true };
    let mut out = Vec::new();
    let here = MemberChange::Here { player: PLAYER, is_connected: true, profile: Profile::default() };
    MembersFrame { head, changes: vec![here] }.encode(&mut out);
    let round = MatchChange::Info(MatchInfo { round: 2, ..MatchInfo::default() });
    MatchFrame { head, changes: vec![round] }.encode(&mut out);
    let group = GroupChange::With { group: GroupId(7), players: vec![PLAYER] };
    GroupsFrame { head, changes: vec![group] }.encode(&mut out);
    tell(pair, out);
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

fn told(standing: Standing) -> String {
    match standing {
        Standing::Queued => "queued",
        Standing::Sent => "sent",
        Standing::InFlight => "in flight",
    }
    .to_owned()
}

/// The state behind a call.
fn then(way: Way, before: impl FnOnce(&mut Pair), call: impl FnOnce(&mut Pair)) -> String {
    let mut pair = in_state(way, before);
    call(&mut pair);
    state(&pair)
}

fn nothing(_: &mut Pair) {}

/// What a call does in a state, as its row has it in the table; nothing if it is of another group.
type Group = fn(call: &str, way: Way) -> Option<String>;

const GROUPS: [Group; 7] = [messages, requests, transfers, play, looks, standings, connections];

fn messages(call: &str, way: Way) -> Option<String> {
    let sent = |pair: &mut Pair| {
        let sending = pair.client.send(pair.now, SAY, 0, vec![1]).unwrap();
        pair.hear();
        assert!(pair.client.standing(sending.id).is_some());
    };
    Some(match call {
        "`send`" => {
            let mut pair = in_state(way, nothing);
            match pair.client.send(pair.now, SAY, 0, vec![1]) {
                Ok(sending) => told(sending.standing),
                Err(error) => format!("error `{error:?}`"),
            }
        }
        "`standing` of what was sent" => {
            let mut id = None;
            let pair = in_state(way, |pair| {
                id = pair.client.send(pair.now, SAY, 0, vec![1]).ok();
                pair.hear();
            });
            pair.client.standing(id.expect("it is taken").id).map_or("none".to_owned(), told)
        }
        "`remaining` of requests" => {
            let pair = in_state(way, nothing);
            word(pair.client.remaining(pair.now, ASK).is_some(), "a number", "none")
        }
        "`poll_transmit` of what was sent" => {
            let mut pair = in_state(way, sent);
            let _ = send(&mut pair);
            word(pair.client.poll_transmit(pair.now, &mut Vec::new()), "written", "none")
        }
        "`poll_event` of what came" => {
            let mut pair = in_state(way, |pair| tell(pair, said()));
            let is_told = pair.events().iter().any(|event| matches!(event, Event::Message(_)));
            word(is_told, "told", "none")
        }
        "`handle_message`" => {
            let mut pair = in_state(way, nothing);
            let result = pair.client.handle_message(pair.now, said().into());
            let is_told = pair.events().iter().any(|event| matches!(event, Event::Message(_)));
            match result {
                Err(_) => format!("error, {}", state(&pair)),
                Ok(()) => word(is_told, "taken", "passed over"),
            }
        }
        "`handle_message` of nonsense" => {
            let mut pair = in_state(way, nothing);
            let result = pair.client.handle_message(pair.now, NONSENSE);
            word(result.is_err(), &format!("error, {}", state(&pair)), "passed over")
        }
        _ => return None,
    })
}

fn requests(call: &str, way: Way) -> Option<String> {
    Some(match call {
        "`request`" => {
            let mut pair = in_state(way, nothing);
            taken(pair.client.request(pair.now, ASK, b"?", SECOND))
        }
        "`cancel_request`" => {
            let mut id = None;
            let mut pair = in_state(way, |pair| {
                id = pair.client.request(pair.now, ASK, b"?", Micros::from_secs(60)).ok();
            });
            pair.events();
            pair.client.cancel_request(pair.now, id.expect("it is asked"));
            let end = Event::Response(id.expect("it is asked"), Err(RequestError::Cancelled));
            word(pair.events() == [end], "cancelled", "passed over")
        }
        "`respond`" => {
            let mut pair = in_state(way, asked);
            taken(pair.client.respond(pair.now, RequestId(0), Ok(Bytes::new())))
        }
        _ => return None,
    })
}

fn transfers(call: &str, way: Way) -> Option<String> {
    Some(match call {
        "`offer_bulk`" => {
            let mut pair = in_state(way, nothing);
            taken(pair.client.offer_bulk(pair.now, 1, Bytes::new(), vec![7; 9]))
        }
        "`accept_bulk`" => {
            let mut pair = in_state(way, offered);
            let id = offer_of(&mut pair);
            taken(pair.client.accept_bulk(id))
        }
        "`cancel_bulk`" => {
            let mut pair = in_state(way, offered);
            let id = offer_of(&mut pair);
            taken(pair.client.cancel_bulk(id))
        }
        _ => return None,
    })
}

fn play(call: &str, way: Way) -> Option<String> {
    let mut pair = in_state(way, nothing);
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
        "`export_session`" => match pair.client.export_session(now) {
            Ok(bytes) => word(!bytes.is_empty(), "bytes", "none"),
            Err(error) => format!("error `{error:?}`"),
        },
        _ => return None,
    })
}

/// What there is to see.
fn looks(call: &str, way: Way) -> Option<String> {
    let before = |pair: &mut Pair| {
        predicted(pair);
        tables(pair);
    };
    let Pair { client, now, .. } = in_state(way, before);
    let (shown, some) = (|is| word(is, "shown", "empty"), |is| word(is, "some", "none"));
    Some(match call {
        "`view`" => shown(client.view(now).all().count() > 0),
        "`view_at`" => shown(client.view_at(now + AHEAD).all().count() > 0),
        "`own`" => shown(client.own().count() > 0),
        "`own_row`" => some(client.own_row(BODY).is_some()),
        "`predicted`" => shown(client.predicted(now).all().count() > 0),
        "`predicted_tick`" => word(client.predicted_tick().is_some(), "a tick", "none"),
        "`members`" => shown(!client.members().is_empty()),
        "`match_state`" => shown(client.match_state().info().round == 2),
        "`groups`" => shown(client.groups().iter().count() == 1),
        "`welcome`" => some(client.welcome().is_some()),
        "`prior`" => some(client.prior().is_some()),
        "`clock`" => some(client.clock().is_some()),
        "`snapshot_age`" => some(client.snapshot_age(now).is_some()),
        "`loss` on a stream" => word(client.loss() > 0.0, "some", "0"),
        "`stats`, health" => word(client.stats(now).health > 0, "above 0", "0"),
        "`into_timekeeper`" => some(client.into_timekeeper().is_some()),
        _ => return None,
    })
}

/// What is said of the state itself.
fn standings(call: &str, way: Way) -> Option<String> {
    let Pair { client, .. } = in_state(way, |pair| pair.client.pause(pair.now));
    Some(match call {
        "`is_playing`" => client.is_playing().to_string(),
        "`is_reconnecting`" => client.is_reconnecting().to_string(),
        "`is_closed`" => client.is_closed().to_string(),
        "`is_paused` of what was paused" => client.is_paused().to_string(),
        "`disconnect_reason`" => word(client.disconnect_reason().is_some(), "some", "none"),
        _ => return None,
    })
}

fn connections(call: &str, way: Way) -> Option<String> {
    let network = |network| then(way, nothing, |pair| pair.client.set_network(pair.now, network));
    let close = |before: fn(&mut Pair), flush| then(way, before, |pair| pair.client.close(pair.now, flush));
    let waits = |pair: &mut Pair| drop(send(pair));
    Some(match call {
        "`poll_connect`" => {
            let mut pair = in_state(way, nothing);
            word(pair.client.poll_connect(pair.now), "true", "false")
        }
        "`poll_connect`, a second later" => {
            let mut pair = in_state(way, nothing);
            word(pair.client.poll_connect(pair.now + SECOND), "true", "false")
        }
        // After four of five seconds of silence.
        "`handle_progress` before silence" => {
            let mut pair = in_state(way, nothing);
            for half_seconds in 1..=12 {
                pair.now = pair.now + Micros::from_millis(500);
                if half_seconds == 8 {
                    pair.client.handle_progress(pair.now);
                }
                pair.hear();
            }
            state(&pair)
        }
        "`poll_timeout`" => word(in_state(way, nothing).client.poll_timeout().is_some(), "some", "none"),
        "`handle_disconnect(Lost)`" => then(way, nothing, lose),
        "`handle_disconnect(Left)`" => then(way, nothing, |pair| {
            pair.client.handle_disconnect(pair.now, DisconnectReason::Left);
        }),
        "`reconnect`" => then(way, nothing, |pair| pair.client.reconnect(pair.now)),
        "`set_network(Down)`" => network(Network::Down),
        "`set_network(Up)`" => network(Network::Up),
        "`set_network(Changed)`" => network(Network::Changed),
        "`close(None)`" => close(nothing, None),
        "`close(Some)`, nothing waits" => close(nothing, Some(SECOND)),
        "`close(Some)`, a message waits" => close(waits, Some(SECOND)),
        _ => return None,
    })
}

fn outcome(call: &str, way: Way) -> String {
    let found = GROUPS.iter().find_map(|group| group(call, way));
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
    assert_eq!((states.len(), calls.len()), (8, 56), "no row is lost on the way");
    let mut wrong = Vec::new();
    for call in calls {
        for (name, told) in states.iter().zip(call).skip(1) {
            for way in Way::to(name) {
                let found = outcome(call[0], *way);
                if found != *told {
                    wrong.push(format!("{} in {name} ({way:?}): {found}, not {told}", call[0]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
