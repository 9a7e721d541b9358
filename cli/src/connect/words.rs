//! What events, entities and figures are called.

use tickwire_client::net::SocketStats;
use tickwire_client::{Client, Clock, EntityView, Event, View};
use tickwire_protocol::message::Message;
use tickwire_protocol::schema::Sight;
use tickwire_protocol::{Cue, Micros, Schema};

use crate::fields::{fields_value, named_values};

/// An event, in a line.
pub(super) fn event(client: &Client, event: &Event) -> String {
    let schema = client.schema();
    match event {
        Event::Connected { session, player, outcome, .. } => {
            let room = client.welcome().map_or("", |welcome| &welcome.room_name);
            let who = player.map_or("watching".to_owned(), |player| format!("player {player}"));
            format!("connected to `{}`, room {room}, session {session}, {who}: {outcome:?}", schema.name())
        }
        Event::Reconnecting { attempt, of, last_error, .. } => {
            format!("reconnecting, attempt {attempt} of {of}: {last_error}")
        }
        Event::Rejected(reason) => format!("rejected: {reason}"),
        Event::Entered { id, kind } => format!("entered {} {id}", schema.kind(*kind).name()),
        Event::Left { id, kind, despawned } => {
            let how = if *despawned { "gone" } else { "out of view" };
            format!("left {} {id}, {how}", schema.kind(*kind).name())
        }
        Event::Cue(cue) => cue_line(schema, cue),
        Event::Message(message) => message_line(schema, message),
        Event::Sent(id, outcome) => format!("message {} is {outcome:?}", id.0),
        Event::Disconnected(reason) => format!("disconnected: {reason}"),
        other => format!("{other:?}"),
    }
}

fn cue_line(schema: &Schema, cue: &Cue) -> String {
    let kind = schema.cue(cue.id);
    let source = cue.source.map_or(String::new(), |source| format!(" of {source}"));
    format!("cue {}{source} {}", kind.name(), fields_value(kind, Sight::Own, &cue.values))
}

fn message_line(schema: &Schema, Message { ty, key, body, .. }: &Message) -> String {
    let name = schema.message(*ty).map_or("?", |ty| ty.name());
    format!("message {name}#{key}: {}", body_words(body))
}

/// Text if it can be read; what is none of it as escapes.
fn body_words(body: &[u8]) -> String {
    match str::from_utf8(body) {
        Ok(text) if !text.contains(char::is_control) => format!("{text:?}"),
        _ => format!("b\"{}\"", body.escape_ascii()),
    }
}

/// What can be sent and heard.
pub(super) fn message_types(schema: &Schema) -> Vec<String> {
    let line = |ty: &tickwire_protocol::message::MessageType| {
        let (id, name, bytes) = (ty.id(), ty.name(), ty.bytes_max());
        format!("type {id} {name}: {:?}, {:?}, at most {bytes} bytes", ty.direction(), ty.class())
    };
    schema.messages().iter().map(line).collect()
}

/// All in view.
pub(super) fn entities(view: &View<'_>) -> Vec<String> {
    let mut lines: Vec<_> = view.all().map(|entity| entity_line(&entity)).collect();
    lines.push(format!("{} entities in view", lines.len()));
    lines
}

fn entity_line(entity: &EntityView<'_>) -> String {
    let row = entity.latest();
    let own = if entity.is_own() { " own" } else { "" };
    let told = row.kind().fields().iter().filter(|field| entity.is_told(field.id));
    format!("{} {}{own} {}", row.kind().name(), entity.id(), named_values(row, told))
}

/// What was counted, a line for each.
pub(super) fn stats(client: &Client, now: Micros, socket: SocketStats) -> Vec<String> {
    let stats = client.stats(now);
    let millis =
        |time: Option<Micros>| time.map_or("-".to_owned(), |time| format!("{:.1} ms", time.0 as f64 / 1e3));
    vec![
        format!("state      {:?}", client.connection_state(now)),
        format!(
            "socket     {} B in {} messages down, {} B in {} up",
            socket.down_bytes, socket.down_messages, socket.up_bytes, socket.up_messages
        ),
        format!("snapshots  {}, the newest {} old", stats.snapshots, millis(client.snapshot_age(now))),
        format!("digests    {} checked, {} differ", stats.digests_checked, stats.digest_mismatches),
        format!("round trip {} of {} pings", millis(client.clock().map(Clock::newest_rtt)), stats.pings),
        format!("inputs     {} in {} frames", stats.inputs, stats.input_frames),
    ]
}
