//! A server that does exactly what a test says, made of the wire alone.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use tickwire_client::{Client, ClientConfig, Event};
use tickwire_protocol::ack::{Ack, Sequence};
use tickwire_protocol::budget::Budget;
use tickwire_protocol::frame::{FrameType, frames, write_frame_with};
use tickwire_protocol::handshake::{
    ClientLimits, Features, Hello, ResumeToken, SessionOutcome, SessionTerms, StreamKind, Timing, Welcome,
};
use tickwire_protocol::history::History;
use tickwire_protocol::input::{InputFrame, MissingInput};
use tickwire_protocol::message::{Direction, MessageClass, MessageType, MessageTypeId, Received};
use tickwire_protocol::pause::Pause;
use tickwire_protocol::ping::{Ping, Pong};
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, Schema, Sight};
use tickwire_protocol::snapshot::replica::table_row_hash;
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, EncodedBody, Feedback, Leave, PlannedRow, References, RowCache, SectionPlan,
    SnapshotHeader, TickWidth, Written,
};
use tickwire_protocol::{
    Cue, CueId, EntityId, Micros, PeerId, PlayerId, RoomId, RowHead, RowMut, SessionId, Tables, Tick,
    TickRate,
};

pub(crate) const BODY: KindId = KindId(0);
pub(crate) const DOOR: KindId = KindId(1);
pub(crate) const POSITION: FieldId = FieldId(0);
pub(crate) const YAW: FieldId = FieldId(1);
pub(crate) const ROTATION: FieldId = FieldId(2);
pub(crate) const HEALTH: FieldId = FieldId(3);
pub(crate) const TARGET: FieldId = FieldId(4);
pub(crate) const SECRET: FieldId = FieldId(5);
pub(crate) const WIDTH: FieldId = FieldId(0);
pub(crate) const MOVE: FieldId = FieldId(0);
pub(crate) const BANG: CueId = CueId(0);
pub(crate) const SAY: MessageTypeId = MessageTypeId(0);
pub(crate) const ASK: MessageTypeId = MessageTypeId(1);
/// Expires after a second.
pub(crate) const BRIEF: MessageTypeId = MessageTypeId(2);

/// Who the client is.
pub(crate) const PLAYER: PlayerId = PlayerId(7);
/// Ticks of 20 ms.
pub(crate) const HZ: u32 = 50;
/// How far the server's clock is ahead of the client's.
pub(crate) const AHEAD: Micros = Micros(5_000_000);
/// How far behind the view is: 5 ticks.
pub(crate) const DELAY: Micros = Micros(100_000);

pub(crate) fn schema() -> &'static Arc<Schema> {
    static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
        let f = Field::new;
        let body = [
            f(
                POSITION,
                "position",
                FieldType::position([-1000.0..=1000.0, -1000.0..=1000.0, -9.0..=9.0], 0.01),
            ),
            f(YAW, "yaw", FieldType::angle(12)),
            f(ROTATION, "rotation", FieldType::rotation(14)),
            f(HEALTH, "health", FieldType::integer(0..=100)),
            f(TARGET, "target", FieldType::entity()),
            f(SECRET, "secret", FieldType::integer(0..=1_000)).owner_only(),
        ];
        Schema::builder("test")
            .kind(Kind::new(BODY, "body", body))
            .kind(Kind::new(DOOR, "door", [f(WIDTH, "width", FieldType::scalar(0.0..=4.0, 0.125))]))
            .cue(Kind::cue(BANG, "bang", [f(FieldId(0), "force", FieldType::integer(0..=9))]))
            .message(MessageType::new(SAY, "say", Direction::BothWays, MessageClass::Reliable, 16))
            .message(MessageType::new(ASK, "ask", Direction::BothWays, MessageClass::Request, 16))
            .message(
                MessageType::new(BRIEF, "brief", Direction::ToServer, MessageClass::Reliable, 16)
                    .expires_after(1_000),
            )
            .input([f(MOVE, "move", FieldType::integer(-1000..=1000))])
            .build()
            .unwrap()
    });
    &SCHEMA
}

pub(crate) fn id(slot: u16) -> EntityId {
    EntityId { slot, generation: 1 }
}

/// What the server believes that the client holds of a slot.
#[derive(Clone, Debug)]
struct Known {
    id: EntityId,
    states: Vec<Tick>,
}

/// A row of the server's world.
#[derive(Clone, Debug)]
struct Row {
    kind: KindId,
    head: RowHead,
    values: Vec<i32>,
}

/// What came from the client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) budgets: Vec<Option<u32>>,
    pub(crate) hellos: Vec<Hello>,
    pub(crate) messages: usize,
    pub(crate) pauses: Vec<bool>,
    pub(crate) pings: Vec<Ping>,
    pub(crate) profiles: usize,
    pub(crate) tokens: usize,
    pub(crate) acks: Vec<Ack>,
    /// Acks that came by themselves.
    pub(crate) ack_frames: usize,
    pub(crate) inputs: Vec<InputFrame>,
}

pub(crate) struct FakeServer {
    pub(crate) stream: StreamKind,
    pub(crate) history: History,
    codec: Codec,
    pub(crate) tick: Tick,
    first_tick: Tick,
    rows: BTreeMap<u16, Row>,
    known: [BTreeMap<u16, Known>; 2],
    pub(crate) cues: Vec<Cue>,
    sequence: Sequence,
    snapshots: u32,
    /// The tick told last.
    told: Option<Tick>,
    pub(crate) feedback: Option<Feedback>,
    /// What its welcome says of the session; nothing of one that cannot go on.
    pub(crate) session_outcome: Option<SessionOutcome>,
    pub(crate) received: Received,
    pub(crate) digest_error: u64,
    /// Whether what is sent counts as known at once.
    pub(crate) is_acked: bool,
    /// Whether snapshots tell of own rows; if not, they say so.
    pub(crate) tells_own: bool,
    /// Whether it says that these are all.
    pub(crate) tells_all_own: bool,
}

impl FakeServer {
    /// An empty world at a tick that is due when the client's clock is at 1 s.
    pub(crate) fn new(stream: StreamKind, tick: u32) -> Self {
        let rate = TickRate::new(HZ).unwrap();
        Self {
            stream,
            history: History::new(schema().clone(), rate),
            codec: Codec::new(schema().clone(), rate),
            tick: Tick(tick),
            first_tick: Tick(tick),
            rows: BTreeMap::new(),
            known: Default::default(),
            cues: Vec::new(),
            sequence: Sequence(0),
            snapshots: 0,
            told: None,
            feedback: None,
            session_outcome: None,
            received: Received::default(),
            digest_error: 0,
            is_acked: true,
            tells_own: true,
            tells_all_own: true,
        }
    }

    pub(crate) fn time_of(&self, tick: Tick) -> Micros {
        Micros((1_000_000 + i64::from(tick.since(self.first_tick)) * 20_000) as u64)
    }

    pub(crate) fn welcome_value(&self) -> Welcome {
        let tick_rate = TickRate::new(HZ).unwrap();
        Welcome {
            session: SessionId(1),
            peer: PeerId(2),
            player: Some(PLAYER),
            room: RoomId(3),
            room_name: "test".into(),
            room_seed: 4,
            tick: self.tick,
            tick_time: self.time_of(self.tick) + AHEAD,
            timing: Timing {
                tick_rate,
                snapshot_hz: 25,
                interpolation_delay: DELAY,
                ping_interval: Micros::from_secs(1),
                silence_timeout: Micros::from_secs(5),
                digest_interval: Micros::from_secs(1),
            },
            limits: ClientLimits {
                message_bytes_max: 4096,
                inputs_per_frame_max: 32,
                input_ahead_ticks_max: 64,
            },
            missing_input: MissingInput::Hold,
            coder: self.codec.coder().wire(),
            prior_hash: self.codec.prior().hash(),
            prior: None,
            features: Features::NONE,
            server_build: "fake".into(),
            schema: None,
            extensions: self.session_terms().map(|terms| terms.extension()).into_iter().collect(),
        }
    }

    fn session_terms(&self) -> Option<SessionTerms> {
        let (token, window) = (ResumeToken([5; 16]), Micros::from_secs(60));
        let outcome = self.session_outcome?;
        Some(SessionTerms { outcome, token, window, received: self.received })
    }

    /// Puts an entity into the world, or moves it.
    pub(crate) fn set(&mut self, kind: KindId, id: EntityId, fill: impl FnOnce(&mut RowMut<'_>)) {
        let shape = schema().kind(kind);
        let row = self.rows.entry(id.slot).or_insert_with(|| {
            let mut values = vec![0; shape.column_count()];
            RowMut::new(shape, &mut values).reset();
            Row { kind, head: RowHead::new(id), values }
        });
        assert_eq!(row.head.id, id, "take the old one out first");
        fill(&mut RowMut::new(shape, &mut row.values));
    }

    pub(crate) fn set_x(&mut self, id: EntityId, x: f32) {
        self.set(BODY, id, |row| {
            row.set_vec3(POSITION, glam::Vec3::new(x, 0.0, 0.0));
        });
    }

    pub(crate) fn head(&mut self, id: EntityId) -> &mut RowHead {
        &mut self.rows.get_mut(&id.slot).unwrap().head
    }

    pub(crate) fn remove(&mut self, id: EntityId) {
        self.rows.remove(&id.slot).unwrap();
    }

    pub(crate) fn cue(&mut self, source: EntityId, nth: u8) {
        let mut values = [0; tickwire_protocol::limits::COLUMNS_PER_CUE_MAX];
        values[0] = 5;
        self.cues.push(Cue { tick: self.tick, id: BANG, source: Some(source), nth, values });
    }

    /// Publishes the world as it is at the next tick.
    pub(crate) fn step(&mut self) -> Tick {
        self.tick = self.tick + 1;
        let mut tables = Tables::new(schema().clone());
        for row in self.rows.values_mut() {
            tables.insert(row.kind, row.head).copy_from(&row.values);
            row.head.teleported = false;
        }
        tables.finish();
        self.history.publish(self.tick, &tables);
        self.tick
    }

    fn plan(&mut self, is_own: bool) -> SectionPlan {
        let mut plan = SectionPlan::default();
        let newest = self.history.newest().unwrap();
        let sight = if is_own { Sight::Own } else { Sight::Public };
        let known = &mut self.known[usize::from(is_own)];
        let mut present = Vec::new();
        for (kind, table) in newest.tables(sight).iter() {
            let kind_id = KindId(kind.index());
            for (row, head) in table.heads().iter().enumerate() {
                if is_own && head.owner != Some(PLAYER) {
                    continue;
                }
                present.push(head.id.slot);
                let entry = known.entry(head.id.slot).or_insert(Known { id: head.id, states: Vec::new() });
                if entry.id != head.id {
                    *entry = Known { id: head.id, states: Vec::new() };
                }
                let changed = self.history.track(kind_id, row).changed(sight);
                if entry.states.first().is_some_and(|&state| !changed.is_newer_than(state)) {
                    continue;
                }
                let mut references = References::NONE;
                let nameable = entry.states.iter().filter(|&&state| self.tick.since(state) < 128);
                nameable.take(2).for_each(|&state| references.push(state));
                plan.rows.push(PlannedRow { kind: kind_id, row: row as u32, sight, references });
                if self.is_acked {
                    entry.states.insert(0, self.tick);
                    entry.states.truncate(3);
                }
            }
        }
        known.retain(|slot, known| {
            let is_gone = !present.contains(slot);
            if is_gone {
                let despawned = self.rows.get(slot).is_none_or(|row| row.head.id != known.id);
                plan.leaves.push(Leave { slot: *slot, despawned });
            }
            !(is_gone && self.is_acked)
        });
        plan
    }

    fn digest(&self) -> u64 {
        let newest = self.history.newest().unwrap();
        let mut digest = self.digest_error;
        for (is_own, sight) in [(false, Sight::Public), (true, Sight::Own)] {
            for (kind, table) in newest.tables(sight).iter() {
                for (row, head) in table.heads().iter().enumerate() {
                    if !is_own || head.owner == Some(PLAYER) {
                        digest = digest.wrapping_add(table_row_hash(kind, table, row, sight, is_own));
                    }
                }
            }
        }
        digest
    }

    /// The newest tick as one message.
    pub(crate) fn snapshot(&mut self) -> Bytes {
        let mut view = self.plan(false);
        view.leaves.sort_by_key(|leave| leave.slot);
        let own = if self.tells_own { self.plan(true) } else { SectionPlan::default() };
        let is_datagram = self.stream == StreamKind::Datagram;
        let body_plan = BodyPlan { cues: self.cues.clone(), section: view };
        let mut body = EncodedBody::default();
        let payload_of = |id: EntityId| (id.slot == 1).then(|| Bytes::from_static(b"one"));
        let mut rows = RowCache::default();
        self.codec.write_body(&self.history, &body_plan, &payload_of, 30_000, &mut rows, &mut body);
        let gap = self.told.replace(self.tick).map(|last| self.tick.since(last));
        let header = SnapshotHeader {
            tick: self.tick,
            tick_width: TickWidth::of(gap, self.stream),
            sequence: is_datagram.then_some(self.sequence),
            feedback: self.feedback,
            own_is_whole: self.tells_own && self.tells_all_own,
        };
        let sum = self.digest();
        let mut digest = |_: Written| sum;
        let digest: Option<&mut dyn FnMut(Written) -> u64> =
            if is_datagram { None } else { Some(&mut digest) };
        let mut out = Vec::new();
        write_frame_with(&mut out, FrameType::Snapshot, |out| {
            self.codec.write_snapshot(&header, &self.history, &own, 9_000, digest, &body, &mut rows, out);
        });
        self.sequence = self.sequence.next();
        self.snapshots += 1;
        if self.is_acked {
            self.cues.clear();
        }
        out.into()
    }

    /// The answer to a ping that took no time.
    pub(crate) fn pong(&self, ping: Ping) -> Bytes {
        let server_time = ping.client_time + AHEAD;
        let mut out = Vec::new();
        Pong {
            client_time: ping.client_time,
            server_received: server_time,
            server_sent: server_time,
            tick: self.tick,
            tick_time: self.time_of(self.tick) + AHEAD,
        }
        .encode(&mut out);
        out.into()
    }
}

/// Takes a message of the client apart.
pub(crate) fn hear(message: &[u8], near: Tick, heard: &mut Heard) {
    for frame in frames(Bytes::copy_from_slice(message)) {
        let frame = frame.unwrap();
        match frame.ty {
            FrameType::Hello => heard.hellos.push(Hello::decode(&frame.payload).unwrap()),
            FrameType::Ping => heard.pings.push(Ping::decode(&frame.payload).unwrap()),
            FrameType::Ack => {
                heard.acks.push(Ack::decode(&frame.payload).unwrap());
                heard.ack_frames += 1;
            }
            FrameType::Input => {
                let mut input = InputFrame::new();
                input.decode(&frame.payload, schema().input(), near).unwrap();
                heard.acks.extend(input.ack);
                heard.inputs.push(input);
            }
            FrameType::Budget => heard.budgets.push(Budget::decode(&frame.payload).unwrap().bytes_per_second),
            FrameType::Pause => heard.pauses.push(Pause::decode(&frame.payload).unwrap().is_paused),
            FrameType::Message => heard.messages += 1,
            FrameType::Auth => heard.tokens += 1,
            FrameType::Profile => heard.profiles += 1,
            FrameType::MessageAck => {}
            other => panic!("a client sent {other}"),
        }
    }
}

/// A client and its server, with nothing in between, and one clock.
pub(crate) struct Pair {
    pub(crate) server: FakeServer,
    pub(crate) client: Client,
    pub(crate) now: Micros,
    pub(crate) heard: Heard,
    delay: Micros,
}

impl Pair {
    pub(crate) fn new(stream: StreamKind, tick: u32) -> Self {
        let server = FakeServer::new(stream, tick);
        let welcome = server.welcome_value();
        // Nobody opens another connection here.
        let config = ClientConfig { stream, reconnect: None, ..ClientConfig::new("test 1") };
        Self::with(server, config, &welcome)
    }

    pub(crate) fn ordered() -> Self {
        Self::new(StreamKind::Ordered, 1_000)
    }

    /// Connected, and with one answered ping: the clock is exact.
    ///
    /// The delay is fixed, so that tests know what is shown when: how it is chosen is tested in `playout`.
    pub(crate) fn with(server: FakeServer, mut config: ClientConfig, welcome: &Welcome) -> Self {
        let now = Micros(1_000_000);
        let delay = *config.interpolation_delay.get_or_insert(DELAY);
        let client = Client::new(config, schema().clone(), now);
        let mut pair = Self { delay, ..Self::meet(server, client, now) };
        pair.hear();
        assert_eq!(pair.heard.hellos.len(), 1);
        let mut message = Vec::new();
        welcome.encode(&mut message);
        pair.client.handle_message(now, message.into()).unwrap();
        pair.hear();
        pair.answer_pings();
        pair
    }

    /// Before either has said a word.
    pub(crate) fn meet(server: FakeServer, client: Client, now: Micros) -> Self {
        Self { server, client, now, heard: Heard::default(), delay: DELAY }
    }

    pub(crate) fn hear(&mut self) {
        let mut out = Vec::new();
        while self.client.poll_transmit(self.now, &mut out) {
            hear(&out, self.server.tick, &mut self.heard);
            out.clear();
        }
    }

    pub(crate) fn answer_pings(&mut self) {
        for ping in self.heard.pings.drain(..) {
            let pong = self.server.pong(ping);
            self.client.handle_message(self.now, pong).unwrap();
        }
    }

    /// A tick passes, without a snapshot.
    pub(crate) fn step(&mut self) {
        let tick = self.server.step();
        self.now = self.server.time_of(tick);
    }

    /// A tick passes, and its snapshot arrives at once.
    pub(crate) fn send(&mut self) {
        self.step();
        let snapshot = self.server.snapshot();
        self.client.handle_message(self.now, snapshot).unwrap();
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.poll_event(self.now)).collect()
    }

    /// The client's time at which the view is `ticks` after the server's first tick.
    pub(crate) fn when_shown(&self, ticks: f64) -> Micros {
        Micros((1_000_000.0 + ticks * 20_000.0) as u64 + self.delay.0)
    }

    /// Where an entity is shown when the view is `ticks` after the first.
    pub(crate) fn x_at(&self, id: EntityId, ticks: f64) -> Option<f32> {
        Some(self.client.view(self.when_shown(ticks)).find(id)?.vec3(POSITION).x)
    }
}
