//! What events, entities and figures are called.

use std::fmt::Display;

use tickwire_client::net::SocketStats;
use tickwire_client::{Client, EntityView, Event, Member, MemberEvent, ToldEvent, Traffic, View};
use tickwire_protocol::bulk::BulkEvent;
use tickwire_protocol::message::{GameEvent, Lane, Message, MessageTypeId, Refusal, RequestError, Response};
use tickwire_protocol::room::Score;
use tickwire_protocol::schema::Sight;
use tickwire_protocol::{Cue, GroupId, Micros, PlayerId, Schema};

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
        Event::Rejected(reject) => format!("rejected: {reject}"),
        Event::Entered { id, kind } => format!("entered {} {id}", schema.kind(*kind).name()),
        Event::Left { id, kind, despawned } => {
            let how = if *despawned { "gone" } else { "out of view" };
            format!("left {} {id}, {how}", schema.kind(*kind).name())
        }
        Event::Cue(cue) => cue_line(schema, cue),
        Event::Message(message) => message_line(schema, message),
        Event::Sent(id, outcome) => format!("message {} is {outcome:?}", id.0),
        Event::Request(request) => {
            let name = type_name(schema, request.ty);
            format!("request {} {name}: {}", request.id.0, body_words(&request.body))
        }
        Event::Response(id, response) => format!("response {}: {}", id.0, response_words(response)),
        Event::Game(told) => game_line(schema, told),
        Event::Member(event) => member_line(event),
        Event::Match(_) => "the match stands otherwise".to_owned(),
        Event::Groups => "in other groups, or with others".to_owned(),
        Event::Bulk(event) => bulk_line(event),
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
    format!("message {}#{key}: {}", type_name(schema, *ty), body_words(body))
}

fn type_name(schema: &Schema, ty: MessageTypeId) -> &str {
    schema.message(ty).map_or("?", |ty| ty.name())
}

fn response_words(response: &Response) -> String {
    match response {
        Ok(body) => body_words(body),
        Err(RequestError::Refused(Refusal::Game(why))) => format!("refused, {}", body_words(why)),
        Err(error) => error.to_string(),
    }
}

fn game_line(schema: &Schema, told: &ToldEvent) -> String {
    let GameEvent { source, target, position, body } = &told.event;
    let source = source.map_or(String::new(), |id| format!(" of {id}"));
    let target = target.map_or(String::new(), |id| format!(" to {id}"));
    let place = position.map_or(String::new(), |place| format!(" at {place}"));
    let name = type_name(schema, told.ty);
    format!("event {name} in tick {}{source}{target}{place}: {}", told.tick, body_words(body))
}

fn member_line(event: &MemberEvent) -> String {
    match event {
        MemberEvent::Present(player) => format!("member {player} is here"),
        MemberEvent::Joined(player) => format!("member {player} has come"),
        MemberEvent::Changed(player) => format!("member {player} has changed"),
        MemberEvent::ConnectionLost(player) => format!("member {player} has lost its connection"),
        MemberEvent::Back(player) => format!("member {player} is back"),
        MemberEvent::Left { member, reason } => match reason {
            Some(reason) => format!("member {} has left: {reason:?}", member.player),
            None => format!("member {} has left", member.player),
        },
        MemberEvent::TooMany => "more has happened to members than was told".to_owned(),
    }
}

fn bulk_line(event: &BulkEvent) -> String {
    match event {
        BulkEvent::Offered { id, offer } => {
            let said = body_words(&offer.metadata);
            format!("bulk {} is offered: kind {}, {} bytes, {said}", id.0, offer.kind, offer.bytes)
        }
        BulkEvent::Receiving { id, bytes, of } => format!("bulk {}: {bytes} of {of} bytes have come", id.0),
        BulkEvent::Received { id, content } => format!("bulk {} is here: {} bytes", id.0, content.len()),
        BulkEvent::Sending { id, bytes, of } => format!("bulk {}: {bytes} of {of} bytes are sent", id.0),
        BulkEvent::Sent { id } => format!("bulk {} is sent", id.0),
        BulkEvent::NotReceived { id, why } | BulkEvent::NotSent { id, why } => {
            format!("bulk {}: {why}", id.0)
        }
    }
}

/// Who is in the room, and with whom the own player is in groups.
pub(super) fn members(client: &Client) -> Vec<String> {
    let member = |member: &Member| {
        let away = if member.is_connected { "" } else { ", away" };
        format!("member {} {:?}{away}", member.player, member.profile.name())
    };
    let group = |(group, players): (GroupId, &[PlayerId])| {
        let players: Vec<_> = players.iter().map(ToString::to_string).collect();
        format!("group {group}: {}", players.join(", "))
    };
    client.members().iter().map(member).chain(client.groups().iter().map(group)).collect()
}

/// How the match stands.
pub(super) fn match_state(client: &Client) -> Vec<String> {
    let state = client.match_state();
    let info = state.info();
    let mode = if info.mode.is_empty() { "no mode" } else { &info.mode };
    let mut lines = vec![format!("match {:?}, {mode}, round {}", info.status, info.round)];
    let score = |(player, score): (PlayerId, &Score)| format!("score of {player}: {}", score.points);
    lines.extend(state.scores().map(score));
    lines
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
