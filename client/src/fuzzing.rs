//! The body of the fuzz target `client`: a hostile server's messages, as a script, against a client whose game polls and
//! looks all the while.
//!
//! Chance alone hardly ever makes a snapshot. So the script can also have an honest room publish and send, and then
//! damage what is sent; as long as nothing was damaged, every digest must be right. The same for what a session carries: an honest
//! server's game says, asks and offers things, over connections that are lost, and the client's own game does as well.

mod books;
mod game;
mod speaker;

use std::sync::Arc;

use bytes::Bytes;
use glam::Vec3;
use tickwire_protocol::ack::Sequence;
use tickwire_protocol::frame::{FrameType, frames, write_frame, write_frame_with};
use tickwire_protocol::handshake::{ClientLimits, Extension, Features, StreamKind, Timing, Welcome};
use tickwire_protocol::history::History;
use tickwire_protocol::input::MissingInput;
use tickwire_protocol::limits::{BODY_BYTES_MAX, COLUMNS_PER_CUE_MAX, DATAGRAM_BYTES_MAX, FRAME_BYTES_MAX};
use tickwire_protocol::message::{Direction, MessageClass, MessageType, MessageTypeId};
use tickwire_protocol::ping::{Ping, Pong};
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, Sight};
use tickwire_protocol::snapshot::replica::table_row_hash;
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, Coder, EncodedBody, Feedback, Leave, PlannedRow, Prior, References, RowCache,
    SectionPlan, SnapshotHeader, TickWidth, Written,
};
use tickwire_protocol::{
    Cue, CueId, EntityId, Micros, PeerId, PlayerId, RoomId, RowHead, RowMut, Schema, SessionId, Tables, Tick,
    TickRate,
};

use self::books::Books;
use self::game::Game;
use self::speaker::Speaker;
use crate::core::{Backoff, Client, ClientConfig, ClientStats, Reconnect};

const PLAYER: PlayerId = PlayerId(1);
const BODY: KindId = KindId(0);
const POSITION: FieldId = FieldId(0);
const YAW: FieldId = FieldId(2);
const ROTATION: FieldId = FieldId(3);

const CHAT: MessageTypeId = MessageTypeId(0);
const EMOTE: MessageTypeId = MessageTypeId(1);
const MARK: MessageTypeId = MessageTypeId(2);
const ASK: MessageTypeId = MessageTypeId(3);
/// Events: told at once, and when the view shows them.
const TOLD: MessageTypeId = MessageTypeId(4);
const HAPPENED: MessageTypeId = MessageTypeId(5);

/// Bytes of the longest body, of whatever type.
const BODY_MAX: u32 = 255;

/// Slots of the honest room's entities.
const SLOTS: usize = 8;

/// Steps of a script.
const STEPS_MAX: usize = 400;

/// Frame types from this number on are none: these steps are those of what a session carries.
const SESSION: u8 = 24;
const _: () = assert!(FrameType::ALL.len() == SESSION as usize);

fn schema() -> Option<Arc<Schema>> {
    let f = Field::new;
    let fields = [
        f(POSITION, "position", FieldType::position([-50.0..=50.0, -50.0..=50.0, -50.0..=50.0], 0.01)),
        f(FieldId(1), "velocity", FieldType::velocity(POSITION, 20.0, 0.01)),
        f(YAW, "yaw", FieldType::angle(12)),
        f(ROTATION, "rotation", FieldType::rotation(11)),
        f(FieldId(4), "health", FieldType::integer(0..=100)),
        f(FieldId(5), "target", FieldType::entity()),
        f(FieldId(6), "secret", FieldType::scalar(0.0..=1.0, 0.01)).owner_only(),
    ];
    let cue = Kind::cue(CueId(0), "bang", [f(FieldId(0), "force", FieldType::integer(0..=9))]);
    let schema = Schema::builder("fuzz").kind(Kind::new(BODY, "body", fields)).cue(cue);
    let schema = schema.input([f(FieldId(0), "move", FieldType::integer(-9..=9))]);
    message_types().into_iter().fold(schema, tickwire_protocol::schema::SchemaBuilder::message).build().ok()
}

fn message_types() -> [MessageType; 6] {
    let ty = |id, name, way, class| MessageType::new(id, name, way, class, BODY_MAX);
    [
        ty(CHAT, "chat", Direction::BothWays, MessageClass::Reliable),
        ty(EMOTE, "emote", Direction::BothWays, MessageClass::Latest),
        ty(MARK, "mark", Direction::BothWays, MessageClass::Unreliable),
        ty(ASK, "ask", Direction::BothWays, MessageClass::Request).answered_within(BODY_MAX),
        ty(TOLD, "told", Direction::ToClient, MessageClass::Event),
        ty(HAPPENED, "happened", Direction::ToClient, MessageClass::Event).in_view_time(),
    ]
}

/// An honest room of a few entities, and what the client holds of it.
struct Room {
    codec: Codec,
    history: History,
    stream: StreamKind,
    tick: Tick,
    rows: [Option<(RowHead, Vec<i32>)>; SLOTS],
    /// Per slot: whose state the client was last told, and when.
    told: [[Option<(EntityId, Tick)>; SLOTS]; 2],
    generations: u16,
    sequence: Sequence,
    /// The tick of the last snapshot.
    last_told: Option<Tick>,
}

struct Scene {
    client: Client,
    room: Room,
    speaker: Speaker,
    books: Books,
    now: Micros,
    pings: Vec<Ping>,
    /// Whether all that the client got was what an honest server sends.
    is_honest: bool,
}

/// Runs a script: each step is one byte of what, then what it needs.
pub fn client(script: &[u8]) {
    run(script);
}

/// Runs a script; what the client has counted in the end.
fn run(script: &[u8]) -> ClientStats {
    let (Some(schema), Some(rate), Some((&first, mut script))) =
        (schema(), TickRate::new(60), script.split_first())
    else {
        return ClientStats::default();
    };
    let stream = if first & 1 == 0 { StreamKind::Ordered } else { StreamKind::Datagram };
    let backoff = Backoff::Listed(Arc::from([Micros::from_millis(20)]));
    let reconnect = (first & 16 == 0).then_some(Reconnect { backoff, attempts: u32::MAX });
    let config = ClientConfig { stream, reconnect, ..ClientConfig::new("fuzz") };
    let tick = Tick(u32::MAX - 30);
    let coder = if first & 2 == 0 { Coder::Dense } else { Coder::Fast };
    let prior = if first & 4 == 0 { Prior::default_prior() } else { Prior::untrained() };
    let room = Room {
        codec: Codec::with(schema.clone(), rate, coder, prior),
        history: History::new(schema.clone(), rate),
        stream,
        tick,
        rows: Default::default(),
        told: Default::default(),
        generations: 0,
        sequence: Sequence(0),
        last_told: None,
    };
    let now = Micros::from_secs(1);
    let mut client = Client::new(config, schema.clone(), now);
    if first & 8 == 0 {
        client.predict(Box::new(Game::new(schema.clone())));
    }
    let (speaker, books) = (Speaker::new(&schema), Books::default());
    let mut scene = Scene { client, room, speaker, books, now, pings: Vec::new(), is_honest: true };
    scene.play();
    for _ in 0..STEPS_MAX {
        let Some((&op, rest)) = script.split_first() else { break };
        script = scene.step(op, rest);
        scene.play();
    }
    scene.now = scene.now + Micros::from_secs(2);
    scene.play();
    let stats = scene.client.stats(scene.now);
    scene.client.close(scene.now, None);
    scene.play();
    scene.books.settle();
    stats
}

impl Scene {
    /// One step of the script; what is left of it.
    fn step<'a>(&mut self, op: u8, rest: &'a [u8]) -> &'a [u8] {
        let parameter = op >> 3;
        match op % 8 {
            0 => {
                self.speaker = Speaker::new(self.client.schema());
                self.send(self.room.welcome(parameter, SessionId(1), Vec::new()), &mut &[][..]);
            }
            1 => {
                self.now = self.now + Micros::from_millis(u64::from(parameter) * 5);
            }
            2 => {
                let Some((&value, rest)) = rest.split_first() else { return rest };
                self.room.change(parameter, value);
                return rest;
            }
            3 => {
                let snapshot = self.room.snapshot(parameter);
                self.send(snapshot, &mut &[][..]);
            }
            // The same, damaged.
            4 => {
                let mut rest = rest;
                let snapshot = self.room.snapshot(parameter);
                self.is_honest = false;
                self.send(snapshot, &mut rest);
                return rest;
            }
            5 => {
                if let Some(ping) = self.pings.pop() {
                    let pong = self.room.pong(ping, u64::from(parameter));
                    self.send(pong, &mut &[][..]);
                }
            }
            6 if parameter >= SESSION => return self.session_step(parameter - SESSION, rest),
            // A frame that is well formed on the outside, or a whole message of arbitrary bytes.
            which => {
                let Some((&len, rest)) = rest.split_first() else { return rest };
                let (body, rest) = rest.split_at(usize::from(len).min(rest.len()));
                let mut message = Vec::new();
                match FrameType::ALL.get(usize::from(parameter)) {
                    Some(&ty) if which == 6 => write_frame(&mut message, ty, body),
                    _ => message.extend_from_slice(body),
                }
                self.is_honest = false;
                self.send(message, &mut &[][..]);
                return rest;
            }
        }
        rest
    }

    /// One step of what a session carries: what, and whatever else it needs.
    fn session_step<'a>(&mut self, which: u8, rest: &'a [u8]) -> &'a [u8] {
        let [what, much, rest @ ..] = rest else { return &[] };
        match which {
            0..3 => self.books.step(self.now, &mut self.client, *what, *much),
            3..5 => self.speaker.step(self.now, self.room.tick, *what, *much),
            5 => {
                let (session, terms) = self.speaker.welcome();
                self.send(self.room.welcome(*what, session, terms), &mut &[][..]);
            }
            6 => {
                for _ in 0..=what % 8 {
                    let said = self.speaker.poll_transmit(self.now);
                    if !said.is_empty() {
                        self.send(said, &mut &[][..]);
                    }
                }
            }
            _ => {
                let said = self.speaker.poll_transmit(self.now);
                self.is_honest = false;
                self.send(said, &mut &[*what, *much][..]);
            }
        }
        rest
    }

    /// Hands a message to the client; `damage` says with what some of its bytes are changed.
    fn send(&mut self, mut message: Vec<u8>, damage: &mut &[u8]) {
        while let [place, bits, rest @ ..] = *damage {
            *damage = rest;
            if *bits == 0 {
                break;
            }
            let place = usize::from(*place) % message.len().max(1);
            message.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= bits);
        }
        let was_closed = self.client.is_closed();
        let result = self.client.handle_message(self.now, Bytes::from(message));
        assert!(result.is_ok() || !was_closed, "who is gone finds no faults");
        assert!(result.is_ok() || self.client.is_closed(), "a fault ends the connection");
    }

    /// What a game does in each of its frames.
    fn play(&mut self) {
        let Self { client, now, .. } = self;
        let now = *now;
        client.poll_connect(now);
        let mut inputs = 0;
        while let Some(tick) = client.due_input_tick(now) {
            client.push_input(now, tick, |row| {
                row.set_integer(FieldId(0), tick.0 as i32 & 15);
            });
            inputs += 1;
            assert!(inputs <= 64, "inputs without end");
        }
        self.talk();
        self.look();
    }

    /// What goes between the game, the client and an honest server.
    fn talk(&mut self) {
        let Self { client, speaker, books, now, .. } = self;
        let now = *now;
        // What was polled is acked: so it comes first.
        while let Some(event) = client.poll_event(now) {
            books.hear(now, event);
        }
        let mut out = Vec::new();
        while client.poll_transmit(now, &mut out) {
            for frame in frames(Bytes::from(core::mem::take(&mut out))) {
                let frame =
                    frame.unwrap_or_else(|error| panic!("the client wrote what nobody can read: {error}"));
                if let (FrameType::Ping, Ok(ping)) = (frame.ty, Ping::decode(&frame.payload)) {
                    self.pings.push(ping);
                }
                let heard = speaker.hear(now, frame);
                assert!(heard.is_ok() || !self.is_honest, "an honest server refuses what is said: {heard:?}");
            }
        }
        while let Some(event) = client.poll_event(now) {
            books.hear(now, event);
        }
        assert!(!client.poll_transmit(now, &mut out), "a poll changed what is to be sent");
    }

    fn look(&mut self) {
        let Self { client, now, .. } = self;
        let now = *now;
        client.view(now).check();
        for view in [client.view(now), client.predicted(now)] {
            for entity in view.entities(BODY) {
                assert!(entity.vec3(POSITION).is_finite() && entity.angle(YAW).is_finite());
                assert!(entity.rotation(ROTATION).is_normalized());
                assert!(view.find(entity.id()).is_some());
            }
        }
        client.predict_others(client.view(now).entities(BODY).map(|entity| entity.id()).collect::<Vec<_>>());
        let _ =
            (client.own().count(), client.poll_timeout(), client.input_timeout(), client.snapshot_age(now));
        let stats = client.stats(now);
        assert!(stats.digest_mismatches == 0 || !self.is_honest, "an honest room's digest is wrong");
    }
}

impl Room {
    fn welcome(&self, parameter: u8, session: SessionId, extensions: Vec<Extension>) -> Vec<u8> {
        let mut out = Vec::new();
        Welcome {
            session,
            peer: PeerId(1),
            player: (parameter & 1 == 0).then_some(PLAYER),
            room: RoomId(1),
            room_name: String::new(),
            room_seed: 0,
            tick: self.tick,
            tick_time: Micros::from_secs(7),
            timing: Timing {
                tick_rate: self.history.rate(),
                snapshot_hz: 20,
                interpolation_delay: Micros::from_millis(u64::from(parameter >> 1) * 50),
                ping_interval: Micros::from_millis(50),
                silence_timeout: Micros::from_secs(60),
                digest_interval: Micros::ZERO,
            },
            limits: ClientLimits {
                message_bytes_max: 4096,
                inputs_per_frame_max: 32,
                input_ahead_ticks_max: 64,
            },
            missing_input: MissingInput::Hold,
            coder: self.codec.coder().wire(),
            prior_hash: self.codec.prior().hash(),
            prior: self.prior_if_unknown(),
            features: Features::NONE,
            server_build: String::new(),
            schema: None,
            extensions,
        }
        .encode(&mut out);
        out
    }

    /// The room's prior, if it is not the one that every client has.
    fn prior_if_unknown(&self) -> Option<Vec<u8>> {
        let prior = self.codec.prior();
        (prior.hash() != Prior::default_prior().hash()).then(|| prior.encoded().to_vec())
    }

    fn pong(&self, ping: Ping, parameter: u64) -> Vec<u8> {
        let mut out = Vec::new();
        let server_received = ping.client_time + Micros::from_secs(6) + Micros(parameter * 1_000);
        let server_sent = server_received + Micros(parameter);
        let (tick, tick_time) = (self.tick, server_sent);
        Pong { client_time: ping.client_time, server_received, server_sent, tick, tick_time }
            .encode(&mut out);
        out
    }

    /// Puts an entity in, takes it out, or moves it, and lets a tick pass.
    fn change(&mut self, parameter: u8, value: u8) {
        let slot = usize::from(parameter) % SLOTS;
        let schema = self.history.schema().clone();
        let kind = schema.kind(BODY);
        match (&mut self.rows[slot], parameter >> 3) {
            (place @ None, _) => {
                self.generations += 1;
                let head = RowHead::new(EntityId { slot: slot as u16, generation: self.generations });
                let mut values = vec![0; kind.column_count()];
                RowMut::new(kind, &mut values).reset();
                let head = if slot == 0 { head.owned_by(PLAYER) } else { head };
                *place = Some((head, values));
            }
            (place @ Some(_), 3) => *place = None,
            (Some((head, values)), way) => {
                let reach = f32::from(value) - 128.0;
                let mut row = RowMut::new(kind, values);
                row.set_vec3(POSITION, Vec3::new(reach / 3.0, reach, -reach)).set_angle(YAW, reach);
                row.set_rotation(ROTATION, glam::Quat::from_xyzw(reach, 1.0, f32::from(way), 3.0));
                row.set_integer(FieldId(4), i32::from(value)).set_scalar(FieldId(6), reach);
                head.teleported = way == 2;
            }
        }
        self.tick = self.tick + 1;
        let mut tables = Tables::new(schema.clone());
        for (head, values) in self.rows.iter_mut().flatten() {
            tables.insert(BODY, *head).copy_from(values);
            head.teleported = false;
        }
        tables.finish();
        self.history.publish(self.tick, &tables);
    }

    /// All that the client does not know yet, as one message.
    fn snapshot(&mut self, parameter: u8) -> Vec<u8> {
        let mut out = Vec::new();
        let Some(newest) = self.history.newest() else { return out };
        let (tick, is_datagram) = (newest.tick(), self.stream == StreamKind::Datagram);
        let table = newest.tables(Sight::Public).table(BODY);
        let mut digest = 0_u64;
        for (row, head) in table.heads().iter().enumerate() {
            digest = digest.wrapping_add(table_row_hash(
                self.history.schema().kind(BODY),
                table,
                row,
                Sight::Public,
                false,
            ));
            if head.owner == Some(PLAYER) {
                digest = digest.wrapping_add(table_row_hash(
                    self.history.schema().kind(BODY),
                    table,
                    row,
                    Sight::Own,
                    true,
                ));
            }
        }
        let mut values = [0; COLUMNS_PER_CUE_MAX];
        values[0] = i32::from(parameter & 7);
        let source = table.heads().first().map(|head| head.id);
        let cue = Cue { tick, id: CueId(0), source, nth: parameter & 3, values };
        let plan = BodyPlan { cues: vec![cue], section: self.plan(false) };
        let own = self.plan(true);
        let mut body = EncodedBody::default();
        let payload_of = |id: EntityId| (id.slot == 1).then(|| Bytes::from_static(b"payload"));
        let limit = if is_datagram { DATAGRAM_BYTES_MAX } else { BODY_BYTES_MAX };
        let mut rows = RowCache::default();
        self.codec.write_body(&self.history, &plan, &payload_of, limit, &mut rows, &mut body);
        let gap = self.last_told.replace(tick).map(|last| tick.since(last));
        let header = SnapshotHeader {
            tick,
            tick_width: TickWidth::of(gap.filter(|_| parameter & 8 == 0), self.stream),
            sequence: is_datagram.then_some(self.sequence),
            feedback: (parameter & 16 != 0).then_some(Feedback {
                newest_input: Some(tick),
                margin_ticks: 1,
                substituted: u32::from(parameter & 7),
            }),
            own_is_whole: true,
        };
        self.sequence = self.sequence.next();
        let mut tell = |_: Written| digest;
        let tell: Option<&mut dyn FnMut(Written) -> u64> = if is_datagram { None } else { Some(&mut tell) };
        write_frame_with(&mut out, FrameType::Snapshot, |out| {
            self.codec.write_snapshot(
                &header,
                &self.history,
                &own,
                FRAME_BYTES_MAX / 8,
                tell,
                &body,
                &mut rows,
                out,
            );
        });
        out
    }

    /// Every row, told against the last state if that can still be named; and who is gone.
    fn plan(&mut self, is_own: bool) -> SectionPlan {
        let mut plan = SectionPlan::default();
        let Some(newest) = self.history.newest() else { return plan };
        let sight = if is_own { Sight::Own } else { Sight::Public };
        let told = &mut self.told[usize::from(is_own)];
        let mut is_there = [false; SLOTS];
        for (row, head) in newest.tables(sight).table(BODY).heads().iter().enumerate() {
            if is_own && head.owner != Some(PLAYER) {
                continue;
            }
            let slot = usize::from(head.id.slot);
            is_there[slot] = true;
            let mut references = References::NONE;
            let nameable =
                |&(id, at): &(EntityId, Tick)| id == head.id && (1..100).contains(&newest.tick().since(at));
            if let Some((_, at)) = told[slot].filter(nameable) {
                references.push(at);
            }
            told[slot] = Some((head.id, newest.tick()));
            plan.rows.push(PlannedRow { kind: BODY, row: row as u32, sight, references });
        }
        for (slot, place) in told.iter_mut().enumerate().filter(|(slot, _)| !is_there[*slot]) {
            if place.take().is_some() {
                plan.leaves.push(Leave { slot: slot as u16, despawned: true });
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::message::Lane;

    use super::*;
    use proptest::prelude::*;

    /// An honest session: welcome, then changes, snapshots, waits and pongs as they come.
    fn honest() -> impl Strategy<Value = Vec<u8>> {
        let step = prop_oneof![
            (0..32_u8).prop_map(|parameter| vec![parameter << 3 | 1]),
            (0..32_u8, any::<u8>()).prop_map(|(parameter, value)| vec![parameter << 3 | 2, value]),
            (0..32_u8).prop_map(|parameter| vec![parameter << 3 | 3]),
            (0..32_u8).prop_map(|parameter| vec![parameter << 3 | 5]),
        ];
        (0..32_u8, any::<u8>(), prop::collection::vec(step, 0..120))
            .prop_map(|(welcome, stream, steps)| [vec![stream, welcome << 3], steps.concat()].concat())
    }

    #[test]
    fn scripts_reach_what_they_are_for() {
        let (wait, snapshot, pong) = (6 << 3 | 1, 3, 5);
        // Both streams, both coders, both priors.
        for stream in 0..8 {
            let mut script = vec![stream, 0];
            for value in 0..40 {
                script.extend([(value % 16) << 3 | 2, value, snapshot, wait, pong]);
            }
            let stats = run(&script);
            // What the honest room does is not what the game predicts.
            assert!(stats.corrections > 10 && stats.replayed_ticks > 50, "{stats:?}");
            assert_eq!((stats.snapshots, stats.decode_errors, stats.digest_mismatches), (40, 0, 0));
            assert!(stats.pongs > 10 && stats.inputs > 30 && stats.cues > 30, "{stats:?}");
            assert_eq!(stats.digests_checked, if stream & 1 == 0 { 40 } else { 0 });
        }
    }

    /// A session over three connections, in which both games do all that they can.
    #[test]
    fn scripts_reach_what_a_session_carries() {
        let step = |which: u8, what: u8, much: u8| vec![(SESSION + which) << 3 | 6, what, much];
        let (game, server, welcome, said) = (0, 3, step(5, 0, 0), step(6, 7, 0));
        let wait = vec![10 << 3 | 1];
        let mut script = vec![0];
        for _ in 0..3 {
            script.extend(welcome.clone());
            for much in [8, 9, 77] {
                (0..13).for_each(|what| script.extend(step(game, what, much)));
                (0..12).for_each(|what| script.extend(step(server, what, much)));
                (0..6).for_each(|_| script.extend([said.clone(), wait.clone()].concat()));
            }
            script.extend([step(game, 13, 0), wait.clone(), wait.clone()].concat());
        }
        let stats = run(&script);
        assert_eq!((stats.reconnects, stats.resumes, stats.decode_errors), (2, 2, 0), "{stats:?}");
        let lanes = [Lane::Events, Lane::Requests, Lane::Messages, Lane::Latest];
        for lane in lanes.map(Some).into_iter().chain([None]) {
            assert!(stats.received.talk.of(lane).messages >= 9, "{lane:?}: {stats:?}");
            let is_to_server = lane != Some(Lane::Events);
            assert!(stats.sent.talk.of(lane).messages >= 3 || !is_to_server, "{lane:?}: {stats:?}");
        }
        assert!(stats.sent.bulk_bytes > 10_000 && stats.received.bulk_bytes > 10_000, "{stats:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        #[test]
        fn no_script_breaks_the_client(script in prop::collection::vec(any::<u8>(), 0..600)) {
            client(&script);
        }

        #[test]
        fn an_honest_script_is_believed(script in honest()) {
            client(&script);
        }

        #[test]
        fn damage_behind_an_honest_script_does_no_harm(script in honest(), end in prop::collection::vec(any::<u8>(), 0..200)) {
            client(&[script, end].concat());
        }
    }
}
