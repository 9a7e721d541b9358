//! docs/DEFAULTS.md says what the code does.

use std::collections::BTreeMap;

use tickwire_client::{Backoff, ClientConfig, Reconnect};
use tickwire_protocol::limits::{
    BULK_BYTES_MAX, CLIENT_MESSAGE_BYTES_MAX, MESSAGE_BODY_BYTES_MAX, MESSAGE_BYTES_QUEUED_MAX,
    MESSAGES_QUEUED_MAX, PAUSED_PING_INTERVAL_MICROS, PAUSED_SILENCE_TIMEOUT_MICROS,
};
use tickwire_protocol::message::{Direction, MessageClass, MessageType, MessageTypeId};
use tickwire_protocol::{Micros, TickRate};
use tickwire_server::core::{Absence, RoomConfig};
use tickwire_server::net::{AccountPolicy, ServerConfig};

type Rows = BTreeMap<String, String>;

/// What stands in the first two columns of the page's tables.
fn page() -> Rows {
    let rows = include_str!("../../docs/DEFAULTS.md").lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| ")?.split('|').map(str::trim).collect();
        let is_row = cells.len() == 5 && cells[0] != "default" && !cells[0].starts_with("--");
        is_row.then(|| (cells[0].to_owned(), cells[1].to_owned()))
    });
    rows.collect()
}

/// Seconds or milliseconds.
fn time(time: Micros) -> String {
    match time.0 {
        micros if micros % 1_000_000 == 0 => format!("{} s", micros / 1_000_000),
        micros => format!("{} ms", micros / 1_000),
    }
}

fn number(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().ok().unwrap().to_string();
    let (first, rest) = digits.split_at((digits.len() - 1) % 3 + 1);
    rest.as_bytes()
        .chunks(3)
        .fold(first.to_owned(), |text, group| text + "," + str::from_utf8(group).unwrap())
}

fn of_clients(row: &mut impl FnMut(&str, String)) {
    let client = ClientConfig::new("defaults");
    row("connect timeout", time(client.connect_timeout));
    let Reconnect { backoff: Backoff::Jittered { first_within, base, cap }, attempts } = Reconnect::default()
    else {
        panic!("the default is a backoff with jitter")
    };
    row("reconnecting: first attempt within", time(first_within));
    row("reconnecting: next attempts within", format!("{}, doubling", time(base)));
    row("reconnecting: at most", time(cap));
    row("reconnecting: attempts", number(attempts));
    assert!(client.rejoin && client.input_hz.is_none() && client.interpolation_delay.is_none());
    row("after *fresh*", "plays on".to_owned());
    row("input frames", "one a tick".to_owned());
    row("interpolation delay", "measured".to_owned());
}

fn of_servers(config: &ServerConfig, row: &mut impl FnMut(&str, String)) {
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs());
    let addresses = config.access.addresses;
    row("connections", number(config.connections_max as u64));
    row("connections of an address", number(addresses.connections_max));
    row("handshakes of an address a second", number(addresses.handshakes_per_second));
    row("messages of an address a second", number(addresses.messages_per_second));
    row("handshake timeout", seconds(config.handshake_timeout));
    row("stalled writes", seconds(config.write_timeout));
    row("wait that is named with 1013", seconds(config.retry_after));
    assert_eq!(config.access.accounts, AccountPolicy::Replace);
    row("the same account again", "replaces".to_owned());
    row("players of a server", number(config.directory.players_max));
    row("rooms", number(config.directory.rooms_max));
    row("rooms that one account or address opens", number(config.directory.rooms_per_opener_max));
    row("spectators of a room", number(config.directory.room_spectators_max));
    row("empty room lives", seconds(config.room_lifetime));
}

fn of_rooms(room: &RoomConfig, row: &mut impl FnMut(&str, String)) {
    row("players of a room", number(room.players_max));
    row("session window", time(room.session_window));
    row("place kept for who is away, where others need it", time(room.place_kept));
    assert_eq!(room.absence, Absence::Stand);
    row("absent player", "stands".to_owned());
    row("ping", time(room.ping_interval));
    row("silent connection", time(room.silence_timeout));
    row("paused: ping", time(Micros(PAUSED_PING_INTERVAL_MICROS)));
    row("paused: silent connection", time(Micros(PAUSED_SILENCE_TIMEOUT_MICROS)));
    row("nothing acked", time(room.stall_timeout));
    row("nobody plays", time(room.idle_timeout.unwrap()));
    row("snapshot budget of a client, bytes a second", number(room.budget.unwrap()));
    row("rewind", time(room.rewind_max));
    let limits = room.message_limits;
    row("messages of a client a second", number(limits.messages.per_minute / 60));
    row("messages of a client at once", number(limits.messages.burst));
    row("bytes of these a second", number(limits.bytes.per_minute / 60));
    row("bytes of these at once", number(limits.bytes.burst));
}

fn of_messages(row: &mut impl FnMut(&str, String)) {
    let (id, class) = (MessageTypeId(0), MessageClass::Request);
    let request = MessageType::new(id, "request", Direction::ToServer, class, 100);
    row("requests of a type a second", number(request.rate().unwrap().per_minute / 60));
    row("waiting at the sender, messages", number(MESSAGES_QUEUED_MAX as u64));
    row("waiting at the sender, bytes", number(MESSAGE_BYTES_QUEUED_MAX as u64));
    row("largest message of a client, bytes", number(CLIENT_MESSAGE_BYTES_MAX as u64));
    row("largest body to a client, bytes", number(MESSAGE_BODY_BYTES_MAX as u64));
    row("largest transfer, bytes", number(BULK_BYTES_MAX as u64));
}

#[test]
fn the_page_says_what_the_code_does() {
    let mut code = Rows::new();
    let mut row = |name: &str, value: String| {
        assert_eq!(code.insert(name.to_owned(), value), None, "{name}");
    };
    let room = RoomConfig::new(TickRate::new(60).unwrap(), 20);
    of_clients(&mut row);
    of_rooms(&room, &mut row);
    of_servers(&ServerConfig::new(([127, 0, 0, 1], 0).into(), room), &mut row);
    of_messages(&mut row);
    assert_eq!(page(), code);
}
