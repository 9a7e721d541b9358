//! What events, entities and figures are called.

use std::fmt::Display;

use tickwire_client::net::SocketStats;
use tickwire_client::{Client, EntityView, Event, Traffic, View};
use tickwire_protocol::message::{Lane, Message};
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

/// What was counted and measured, a line for each.
pub(super) fn stats(client: &Client, now: Micros, socket: SocketStats) -> Vec<String> {
    let stats = client.stats(now);
    vec![
        format!("state      {:?}", client.connection_state(now)),
        format!(
            "ids        session {}, connection {}, player {}",
            name(stats.session),
            name(stats.connection),
            name(stats.player)
        ),
        format!(
            "up         session {:.1} s, connection {:.1} s, {} reconnects ({} resumed)",
            stats.session_uptime.as_secs_f64(),
            stats.connection_uptime.as_secs_f64(),
            stats.reconnects,
            stats.resumes
        ),
        format!(
            "health     {} of 100: round trip {}, jitter {}, loss {:.1} %",
            stats.health,
            millis(stats.rtt),
            millis(stats.jitter),
            stats.loss * 100.0
        ),
        format!(
            "errors     {}: {} connections lost, {} attempts failed, {} sends refused, {} digests differ",
            stats.errors(),
            stats.connections_lost,
            stats.attempts_failed,
            stats.sends_refused,
            stats.digest_mismatches
        ),
        traffic("received", &stats.received),
        traffic("sent", &stats.sent),
        format!(
            "socket     {} B in {} messages down, {} B in {} up",
            socket.down_bytes, socket.down_messages, socket.up_bytes, socket.up_messages
        ),
        format!("snapshots  {}, the newest {} old", stats.snapshots, millis(client.snapshot_age(now))),
        format!("digests    {} checked, {} differ", stats.digests_checked, stats.digest_mismatches),
        format!("pings      {} sent, {} answered", stats.pings, stats.pongs),
        format!("inputs     {} in {} frames", stats.inputs, stats.input_frames),
    ]
}

/// What went one way, and how much of it the lanes of messages carried.
fn traffic(way: &str, traffic: &Traffic) -> String {
    let Traffic { messages, bytes, play_bytes, bulk_bytes, talk } = traffic;
    let lanes = [
        ("control", Some(Lane::Control)),
        ("events", Some(Lane::Events)),
        ("requests", Some(Lane::Requests)),
        ("latest", Some(Lane::Latest)),
        ("reliable", Some(Lane::Messages)),
        ("unreliable", None),
    ];
    let lanes = lanes.into_iter().map(|(name, lane)| (name, talk.of(lane)));
    let lanes = lanes.filter(|(_, volume)| volume.messages > 0);
    let lanes = lanes.map(|(name, volume)| format!(", {name} {} B in {}", volume.bytes, volume.messages));
    let lanes: String = lanes.collect();
    format!("{way:10} {bytes} B in {messages} messages: play {play_bytes} B, bulk {bulk_bytes} B{lanes}")
}

fn name(id: Option<impl Display>) -> String {
    id.map_or("-".to_owned(), |id| id.to_string())
}

fn millis(time: Option<Micros>) -> String {
    time.map_or("-".to_owned(), |time| format!("{:.1} ms", time.0 as f64 / 1e3))
}
