//! The codec on random worlds: whatever was published comes out as it went in, and damage is an error.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tickwire_protocol::ack::Sequence;
use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::history::History;
use tickwire_protocol::limits::{BODY_BYTES_MAX, COLUMNS_PER_CUE_MAX, DATAGRAM_BYTES_MAX};
use tickwire_protocol::schema::{Field, FieldType, Kind, Schema, Sight};
use tickwire_protocol::snapshot::replica::table_row_hash;
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, Coder, DecodedSnapshot, EncodedBody, Feedback, Leave, Packing, PlannedRow, Prior,
    References, Replica, RowCache, SectionPlan, SnapshotHeader, StateLookup, TickWidth, Written,
};
use tickwire_protocol::{
    Cue, CueId, DecodeError, EntityId, FieldId, KindId, PlayerId, RowHead, RowMut, Tables, Tick, TickRate,
};

const BODY: KindId = KindId(0);
const DOOR: KindId = KindId(1);
const RATE: u32 = 60;

fn schema() -> std::sync::Arc<Schema> {
    let f = |id: u8, name: &str, ty| Field::new(FieldId(id), name, ty);
    let everything = [
        f(0, "position", FieldType::position([-100.0..=100.0, -10.0..=50.0, -100.0..=100.0], 0.01)),
        f(1, "velocity", FieldType::velocity(FieldId(0), 40.0, 0.01)),
        f(2, "rotation", FieldType::rotation(11)),
        f(3, "spin", FieldType::velocity(FieldId(2), 10.0, 0.01)),
        f(4, "yaw", FieldType::angle(12)),
        f(5, "turn", FieldType::velocity(FieldId(4), 10.0, 0.01)),
        f(6, "health", FieldType::integer(0..=100)),
        f(7, "target", FieldType::entity()),
        f(8, "plan", FieldType::scalar(-1.0..=1.0, 0.001)).team_only(),
        f(9, "secret", FieldType::integer(i32::MIN..=i32::MAX)).owner_only(),
        f(10, "drift", FieldType::velocity(FieldId(0), 40.0, 0.5)),
        f(11, "edge", FieldType::integer(i32::MAX - 1..=i32::MAX)),
    ];
    Schema::builder("codec")
        .kind(Kind::new(BODY, "body", everything))
        .kind(Kind::new(DOOR, "door", [f(0, "place", FieldType::position([0.0..=9.0, 0.0..=9.0], 0.1))]))
        .cue(Kind::cue(CueId(0), "bang", [f(0, "where", FieldType::position([-100.0..=100.0], 0.1))]))
        .cue(Kind::cue(CueId(1), "ping", []))
        .build()
        .unwrap()
}

fn payload_of(id: EntityId) -> Option<Bytes> {
    id.slot.is_multiple_of(4).then(|| Bytes::from(vec![id.slot as u8; usize::from(id.slot % 250) + 1]))
}

/// A world whose rows wander at random within their bounds, and its history.
struct World {
    rng: TestRng,
    rows: Vec<(KindId, RowHead, Vec<i32>)>,
    history: History,
    tick: Tick,
    /// Whether most rows stand still.
    stand: bool,
}

impl World {
    fn new(rng: TestRng, rows: u16) -> Self {
        let history = History::new(schema(), TickRate::new(RATE).unwrap());
        let mut world = Self { rng, rows: Vec::new(), history, tick: Tick(u32::MAX - 20), stand: false };
        (0..rows).for_each(|row| world.spawn(EntityId { slot: row * 3, generation: 1 }));
        world
    }

    fn spawn(&mut self, id: EntityId) {
        let kind = if id.slot.is_multiple_of(5) { DOOR } else { BODY };
        let shape = self.history.schema().kind(kind);
        let mut values = vec![0; shape.column_count()];
        RowMut::new(shape, &mut values).reset();
        self.rows.push((kind, RowHead::new(id).owned_by(PlayerId(u32::from(id.slot))), values));
    }

    fn random(&mut self, below: u32) -> u32 {
        self.rng.next_u32() % below
    }

    /// Moves each row a little, far, or not, and publishes.
    fn step(&mut self) {
        self.tick = self.tick + 1;
        let schema = self.history.schema().clone();
        let mut tables = Tables::new(schema.clone());
        for index in 0..self.rows.len() {
            let is_still = self.stand && !self.rows[index].1.id.slot.is_multiple_of(9);
            let reach = [0, 1, 30, 100_000, i32::MAX.unsigned_abs()][self.random(5) as usize];
            let reach = if is_still { 0 } else { reach };
            self.rows[index].1.teleported = self.random(if is_still { 400 } else { 40 }) == 0;
            for (column, shape) in schema.kind(self.rows[index].0).columns().iter().enumerate() {
                let way = i64::from(self.random(2 * reach + 1)) - i64::from(reach);
                let value = &mut self.rows[index].2[column];
                let moved = i64::from(*value) + way;
                *value = if shape.wraps {
                    (moved & i64::from(shape.max)) as i32
                } else {
                    moved.clamp(i64::from(shape.min), i64::from(shape.max)) as i32
                };
            }
            let (kind, head, values) = &self.rows[index];
            tables.insert(*kind, *head).copy_from(values);
        }
        tables.finish();
        self.history.publish(self.tick, &tables);
    }

    /// All rows of the newest tick, each naming some of the states that the replica holds of it.
    fn plan_all(&mut self, replica: &Replica, is_own: bool) -> SectionPlan {
        let mut plan = SectionPlan::default();
        let mut ids = Vec::new();
        for (kind, table) in self.history.newest().unwrap().tables(Sight::Public).iter() {
            let of_kind =
                table.heads().iter().enumerate().map(|(row, head)| (KindId(kind.index()), row, head.id));
            ids.extend(of_kind.filter(|(_, _, id)| !is_own || id.slot < 9));
        }
        for (kind, row, id) in ids {
            let sight = match is_own {
                true => Sight::Own,
                false if id.slot.is_multiple_of(2) || kind == DOOR => Sight::Public,
                false => Sight::Team,
            };
            let mut references = References::NONE;
            let now = self.tick;
            for tick in (1..127).map(|distance| now - distance) {
                let is_held = replica.state(is_own, id.slot, tick).is_some_and(|held| held.id == id);
                if is_held && self.random(2) == 0 {
                    references.push(tick);
                }
            }
            plan.rows.push(PlannedRow { kind, row: row as u32, sight, references });
        }
        plan
    }

    fn header(&self, is_datagram: bool) -> SnapshotHeader {
        let tick = self.tick;
        SnapshotHeader {
            tick,
            tick_width: if tick.0.is_multiple_of(7) { TickWidth::Full } else { TickWidth::Usual },
            sequence: is_datagram.then_some(Sequence(tick.0 as u16)),
            feedback: tick.0.is_multiple_of(2).then_some(Feedback {
                newest_input: (!tick.0.is_multiple_of(3)).then_some(tick + 3),
                margin_ticks: -5,
                substituted: tick.0 % 3,
            }),
            own_is_whole: tick.0.is_multiple_of(3),
        }
    }

    fn cues(&self) -> Vec<Cue> {
        let mut values = [0; COLUMNS_PER_CUE_MAX];
        values[0] = -500;
        let source = Some(EntityId { slot: 3, generation: 1 });
        vec![
            Cue { tick: self.tick - 2, id: CueId(0), source, nth: 0, values },
            Cue { tick: self.tick, id: CueId(1), source: None, nth: 255, values: [0; COLUMNS_PER_CUE_MAX] },
        ]
    }
}

/// Plays a while, sends everything each time, cut into as many frames as it takes.
fn play(rng: TestRng, rows: u16, snapshots: u32, is_datagram: bool, codec: &Codec) {
    let mut world = World::new(rng, rows);
    let (mut replica, mut packing) = (Replica::new(schema(), 128), Packing::default());
    for snapshot in 0..snapshots {
        for _ in 0..=world.random(4) {
            world.step();
        }
        let mut leaves = Vec::new();
        if snapshot % 10 == 9 {
            // A row goes; a new tenant takes its slot a snapshot later.
            let EntityId { slot, generation } = world.rows.remove(0).1.id;
            world.step();
            leaves.push(Leave { slot, despawned: true });
            world.spawn(EntityId { slot, generation: generation + 1 });
        }
        let mut plan = BodyPlan { cues: world.cues(), section: world.plan_all(&replica, false) };
        plan.section.leaves = leaves;
        let mut own = world.plan_all(&replica, true);
        check_packing(&mut world, codec, &replica, &mut packing);
        while !(plan.section.is_empty() && own.is_empty()) {
            send_frame(&world, codec, &mut replica, &mut plan, &mut own, is_datagram);
        }
    }
}

/// One frame of what is left of the plans: encoded, damaged in many ways, decoded, applied, compared.
fn send_frame(
    world: &World,
    codec: &Codec,
    replica: &mut Replica,
    plan: &mut BodyPlan,
    own: &mut SectionPlan,
    is_datagram: bool,
) {
    let (body_limit, own_limit) = if is_datagram { (600, 500) } else { (BODY_BYTES_MAX, 9000) };
    let (mut body, mut payload, mut decoded) =
        (EncodedBody::default(), Vec::new(), DecodedSnapshot::default());
    let mut rows = RowCache::default();
    codec.write_body(&world.history, plan, &payload_of, body_limit, &mut rows, &mut body);
    assert!(body.byte_len() <= body_limit);
    lean(world, own, &plan.section.rows[..body.written.rows]);
    let header = world.header(is_datagram);
    let mut digest = |_| 42;
    let digest: Option<&mut dyn FnMut(Written) -> u64> = if is_datagram { None } else { Some(&mut digest) };
    let own_written =
        codec.write_snapshot(&header, &world.history, own, own_limit, digest, &body, &mut rows, &mut payload);
    assert!(!is_datagram || payload.len() + 4 <= DATAGRAM_BYTES_MAX, "{}", payload.len());
    assert!(body.written != Written::default() || own_written != Written::default(), "no progress");
    check_damage(codec, &payload, world.tick, replica);
    let all_own = Written { leaves: own.leaves.len(), rows: own.rows.len() };
    let header = SnapshotHeader { own_is_whole: header.own_is_whole && own_written == all_own, ..header };
    assert_eq!(codec.read_snapshot(&payload, world.tick - 3, replica, &mut decoded), Ok(header));
    assert_eq!(SnapshotHeader::peek(&payload, world.tick - 3), Ok(header));
    assert_eq!(decoded.digest, (!is_datagram).then_some(42));
    assert_eq!(decoded.cues, plan.cues[..body.cues]);
    replica.apply(&decoded);
    check_replica(replica, &world.history);
    plan.cues.drain(..body.cues);
    plan.section.drain(body.written);
    own.drain(own_written);
}

/// Has every other own row told beside everyone's, where that is among those told.
fn lean(world: &World, own: &mut SectionPlan, told: &[PlannedRow]) {
    for row in &mut own.rows {
        let has_team_fields = world.history.schema().kind(row.kind).has_team_fields();
        let tells_all_but = |told: &PlannedRow| told.sight == Sight::Team || !has_team_fields;
        let is_told =
            told.iter().any(|told| (told.kind, told.row) == (row.kind, row.row) && tells_all_but(told));
        let is_beside = is_told && !row.references.is_empty() && (world.tick.0 + row.row).is_multiple_of(2);
        row.sight = if is_beside { Sight::Beside } else { Sight::Own };
    }
}

/// Packed to some limit in some order, a plan is written as a whole, in no more than the limit, and nothing more important was left out
/// for which there was room.
fn check_packing(world: &mut World, codec: &Codec, replica: &Replica, packing: &mut Packing) {
    let section =
        SectionPlan { leaves: vec![Leave { slot: 900, despawned: true }], ..world.plan_all(replica, false) };
    let whole = BodyPlan { cues: world.cues(), section };
    let mut order: Vec<u32> = (0..whole.section.rows.len() as u32).collect();
    (1..order.len()).for_each(|end| order.swap(end, world.random(end as u32 + 1) as usize));
    let history = world.history.clone();
    let encode = |plan: &BodyPlan| {
        let (mut rows, mut body) = (RowCache::default(), EncodedBody::default());
        codec.write_body(&history, plan, &payload_of, BODY_BYTES_MAX, &mut rows, &mut body);
        let all = Written { leaves: plan.section.leaves.len(), rows: plan.section.rows.len() };
        assert_eq!((body.written, body.cues), (all, plan.cues.len()), "what is packed is written");
        body.byte_len()
    };
    let limit = 20 + world.random(encode(&whole) as u32 + 20) as usize;
    let (mut plan, mut rows) = (whole.clone(), RowCache::default());
    let is_all = codec.pack(&history, &mut plan, &order, &payload_of, limit, &mut rows, packing);
    let (bytes, kept) = (encode(&plan), plan.section.rows.len());
    assert!(bytes <= limit, "{bytes} of {limit} bytes");
    let is_same = plan.section.rows == whole.section.rows && plan.cues == whole.cues;
    assert_eq!(is_all, is_same && plan.section.leaves == whole.section.leaves);
    let first: Vec<_> = order[..kept].iter().map(|place| &whole.section.rows[*place as usize]).collect();
    assert!(plan.section.rows.iter().all(|row| first.contains(&row)), "the most important");
    // Whole rows are compressed where that helps: then there was room after all.
    let is_delta = |row: &PlannedRow| !row.references.is_empty();
    if let Some(next) =
        order.get(kept).filter(|_| whole.section.rows.iter().all(is_delta) && !plan.section.leaves.is_empty())
    {
        plan.section.rows.push(whole.section.rows[*next as usize]);
        plan.section.rows.sort_unstable_by_key(|row| (row.kind, row.row));
        assert!(encode(&plan) + 3 > limit, "there was room for one more in {limit} bytes");
    }
}

fn check_replica(replica: &Replica, history: &History) {
    for (is_own, track) in
        replica.view().map(|track| (false, track)).chain(replica.own().map(|track| (true, track)))
    {
        let kind = history.schema().kind(track.kind());
        let sample = track.newest().unwrap();
        let table = history.at(sample.tick).unwrap().tables(sample.sight).table(track.kind());
        let row = table.row(kind, table.find(track.id()).expect("only what exists is held"));
        let held = track.row(kind, track.samples().len() - 1);
        for column in (0..kind.column_count()).filter(|&column| kind.visible(sample.sight).contains(column)) {
            assert_eq!(held.column(column), row.column(column), "{} own={is_own} {column}", track.id());
        }
        assert_eq!(track.payload().cloned(), if is_own { None } else { payload_of(track.id()) });
    }
}

/// Whatever cuts and flipped bits do is no panic. The `fast` coder finds every byte that is missing or too much; to the
/// `dense` one what is behind the end are zeros.
fn check_damage(codec: &Codec, payload: &[u8], tick: Tick, replica: &Replica) {
    let mut out = DecodedSnapshot::default();
    let stride = payload.len().div_ceil(40).max(1);
    for cut in (0..payload.len()).step_by(stride) {
        let read = codec.read_snapshot(&payload[..cut], tick, replica, &mut out);
        assert!(read.is_err() || codec.coder() == Coder::Dense, "cut at {cut}");
    }
    let mut damaged = payload.to_vec();
    damaged.push(0);
    let trailing = codec.read_snapshot(&damaged, tick, replica, &mut out);
    let is_refused = matches!(trailing, Err(DecodeError::Trailing(_) | DecodeError::Compression));
    assert!(is_refused || codec.coder() == Coder::Dense, "{trailing:?}");
    damaged.pop();
    for bit in (0..payload.len() * 8).step_by(stride * 5) {
        damaged[bit / 8] ^= 1 << (bit % 8);
        // What can be read as a whole begins as it seems to at a glance.
        if let Ok(header) = codec.read_snapshot(&damaged, tick, replica, &mut out) {
            assert_eq!(SnapshotHeader::peek(&damaged, tick), Ok(header));
        }
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn what_is_published_is_what_is_held(
        seed: [u8; 32], rows in 1_u16..40, is_datagram: bool, is_dense: bool, is_trained: bool
    ) {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        play(rng, rows, 40, is_datagram, &codec(is_dense, is_trained));
    }

    #[test]
    fn what_is_told_against_ticks_is_what_is_held(
        seed: [u8; 32], rows in 1_u16..60, is_dense: bool, is_trained: bool
    ) {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        Spectator::watch(World::new(rng, rows), &codec(is_dense, is_trained));
    }
}

fn codec(is_dense: bool, is_trained: bool) -> Codec {
    let coder = if is_dense { Coder::Dense } else { Coder::Fast };
    let prior = if is_trained { Prior::default_prior() } else { Prior::untrained() };
    Codec::with(schema(), TickRate::new(RATE).unwrap(), coder, prior)
}

/// Who is told every change, in order: at each tick told it holds what was published then.
struct Spectator {
    replica: Replica,
    /// From which tick on each entity is held.
    held: BTreeMap<EntityId, Tick>,
    told: Vec<Tick>,
}

impl Spectator {
    /// Everything happens: rows move, rest, wake, jump, come and go, between snapshots that are a few ticks or a second
    /// apart.
    fn watch(mut world: World, codec: &Codec) {
        let mut spectator =
            Self { replica: Replica::new(schema(), 0), held: BTreeMap::new(), told: Vec::new() };
        let mut generation = 1;
        for snapshot in 0..60 {
            world.stand = snapshot % 20 < 12;
            for _ in 0..[1, 3, 3, 3, 50][world.random(5) as usize] {
                world.step();
            }
            if world.random(3) == 0 && world.rows.len() > 1 {
                let gone = world.random(world.rows.len() as u32) as usize;
                world.rows.remove(gone);
                generation += 1;
                world.spawn(EntityId { slot: 300 + generation, generation });
                world.step();
            }
            spectator.tell(&world, codec);
        }
    }

    fn tell(&mut self, world: &World, codec: &Codec) {
        let newest = world.history.newest().unwrap();
        let mut section = SectionPlan::default();
        let in_ring = |tick: &&Tick| newest.tick().since(**tick) < 128;
        self.told.iter().rev().take_while(in_ring).for_each(|tick| section.against.push(*tick));
        let mut seen = BTreeMap::new();
        for (kind, table) in newest.tables(Sight::Public).iter() {
            let kind_id = KindId(kind.index());
            for (row, head) in table.heads().iter().enumerate() {
                let sight =
                    if head.id.slot % 2 == 1 && kind_id == BODY { Sight::Team } else { Sight::Public };
                let since = self.held.get(&head.id).copied().unwrap_or(newest.tick());
                seen.insert(head.id, since);
                let mut references = References::NONE;
                let held = section.against.ticks().take_while(|tick| !since.is_newer_than(*tick));
                held.for_each(|tick| references.push(tick));
                let planned = PlannedRow { kind: kind_id, row: row as u32, sight, references };
                let changed = world.history.track(kind_id, row).changed(sight);
                if !references.is_empty() {
                    section.held.push(planned);
                }
                // Who comes, and all if nothing recent is held, is told whole.
                if references.newest().is_none_or(|held| changed.is_newer_than(held)) {
                    section.rows.push(planned);
                }
            }
        }
        let gone = self.held.keys().filter(|id| !seen.contains_key(id));
        section.leaves = gone.map(|id| Leave { slot: id.slot, despawned: true }).collect();
        let plan = BodyPlan { cues: Vec::new(), section };
        self.send(world, codec, &plan);
        self.held = seen;
        self.told.push(newest.tick());
    }

    fn send(&mut self, world: &World, codec: &Codec, plan: &BodyPlan) {
        let (mut body, mut payload, mut decoded) =
            (EncodedBody::default(), Vec::new(), DecodedSnapshot::default());
        let (mut rows, none) = (RowCache::default(), SectionPlan::default());
        codec.write_body(&world.history, plan, &payload_of, BODY_BYTES_MAX, &mut rows, &mut body);
        assert_eq!(body.written.rows, plan.section.rows.len(), "all fits");
        let near = self.told.last().copied().unwrap_or(world.tick);
        let gap = self.told.last().map(|&last| world.tick.since(last));
        let tick_width = TickWidth::of(gap, StreamKind::Ordered);
        let header = SnapshotHeader {
            tick: world.tick,
            tick_width,
            sequence: None,
            feedback: None,
            own_is_whole: false,
        };
        codec.write_snapshot(&header, &world.history, &none, 0, None, &body, &mut rows, &mut payload);
        check_damage(codec, &payload, near, &self.replica);
        let read = codec.read_snapshot(&payload, near, &self.replica, &mut decoded).unwrap();
        assert_eq!(read.tick, world.tick);
        assert_eq!(SnapshotHeader::peek(&payload, near), Ok(read));
        let told: Vec<_> = decoded.view.rows.iter().map(|row| (row.kind, row.id)).collect();
        let table = |kind| world.history.newest().unwrap().tables(Sight::Public).table(kind);
        let planned = plan.section.rows.iter();
        let planned: Vec<_> =
            planned.map(|row| (row.kind, table(row.kind).heads()[row.row as usize].id)).collect();
        assert_eq!(told, planned);
        self.replica.apply(&decoded);
        self.check_digest(world);
    }

    /// What is held is what was published last: every value, nothing more, nothing less.
    fn check_digest(&self, world: &World) {
        let tables = world.history.newest().unwrap().tables(Sight::Public);
        let mut digest: u64 = 0;
        for track in self.replica.view() {
            let (kind, table) = (tables.schema().kind(track.kind()), tables.table(track.kind()));
            let row = table.find(track.id()).expect("only what exists is held");
            let sight = track.newest().unwrap().sight;
            digest = digest.wrapping_add(table_row_hash(kind, table, row, sight, false));
        }
        assert_eq!(self.replica.digest(), (digest, tables.row_count()));
    }
}

#[test]
fn a_row_that_names_a_state_that_is_not_held_is_refused_and_changes_nothing() {
    let mut world = World::new(TestRng::deterministic_rng(RngAlgorithm::ChaCha), 4);
    (1..=9).for_each(|_| world.step());
    for is_dense in [false, true] {
        refuse_what_is_not_held(&world, &codec(is_dense, true));
    }
}

fn refuse_what_is_not_held(world: &World, codec: &Codec) {
    let mut references = References::NONE;
    references.push(world.tick - 3);
    let row = PlannedRow { kind: BODY, row: 0, sight: Sight::Public, references };
    let section = SectionPlan { rows: vec![row], ..SectionPlan::default() };
    let plan = BodyPlan { cues: Vec::new(), section };
    let (mut body, mut payload) = (EncodedBody::default(), Vec::new());
    let (mut rows, none) = (RowCache::default(), SectionPlan::default());
    codec.write_body(&world.history, &plan, &payload_of, BODY_BYTES_MAX, &mut rows, &mut body);
    let header = world.header(false);
    codec.write_snapshot(&header, &world.history, &none, 0, None, &body, &mut rows, &mut payload);
    let replica = Replica::new(schema(), 128);
    let refused = codec.read_snapshot(&payload, world.tick, &replica, &mut DecodedSnapshot::default());
    assert_eq!(refused, Err(DecodeError::UnknownState { slot: 3, distance: 3 }));
    assert_eq!((replica.newest_tick(), replica.digest()), (None, (0, 0)));
}

/// A room with one door, or none.
struct OneDoor {
    history: History,
    codec: Codec,
    tick: Tick,
    replica: Replica,
}

impl OneDoor {
    const ID: EntityId = EntityId { slot: 5, generation: 1 };

    fn new() -> Self {
        let history = History::new(schema(), TickRate::new(RATE).unwrap());
        let codec = Codec::new(schema(), history.rate());
        Self { history, codec, tick: Tick(u32::MAX - 20), replica: Replica::new(schema(), 128) }
    }

    /// Publishes some ticks, in which the door does not move.
    fn publish(&mut self, ticks: u32, place: Option<i32>) {
        for _ in 0..ticks {
            self.tick = self.tick + 1;
            let mut tables = Tables::new(schema());
            if let Some(place) = place {
                tables.insert(DOOR, RowHead::new(Self::ID)).copy_from(&[place, 0]);
            }
            tables.finish();
            self.history.publish(self.tick, &tables);
        }
    }

    fn frame(&self, section: SectionPlan) -> Vec<u8> {
        let plan = BodyPlan { cues: Vec::new(), section };
        let (mut body, mut payload) = (EncodedBody::default(), Vec::new());
        let (mut rows, none) = (RowCache::default(), SectionPlan::default());
        self.codec.write_body(&self.history, &plan, &|_| None, BODY_BYTES_MAX, &mut rows, &mut body);
        let tick_width = TickWidth::Full;
        let header = SnapshotHeader {
            tick: self.tick,
            tick_width,
            sequence: None,
            feedback: None,
            own_is_whole: false,
        };
        self.codec.write_snapshot(&header, &self.history, &none, 0, None, &body, &mut rows, &mut payload);
        payload
    }

    fn row(&self, named: &[Tick]) -> Vec<u8> {
        let mut references = References::NONE;
        for tick in named {
            references.push(*tick);
        }
        let row = PlannedRow { kind: DOOR, row: 0, sight: Sight::Public, references };
        self.frame(SectionPlan { rows: vec![row], ..SectionPlan::default() })
    }

    fn leave(&self) -> Vec<u8> {
        let leave = Leave { slot: Self::ID.slot, despawned: true };
        self.frame(SectionPlan { leaves: vec![leave], ..SectionPlan::default() })
    }

    fn apply(&mut self, payload: &[u8]) {
        let mut decoded = DecodedSnapshot::default();
        self.codec.read_snapshot(payload, Tick(0), &self.replica, &mut decoded).unwrap();
        self.replica.apply(&decoded);
    }

    /// At rest or not, and until when it was before, as told by a row that names these ticks.
    fn told_rest(&mut self, named: &[Tick]) -> (bool, Option<i32>) {
        self.apply(&self.row(named));
        let sample = self.replica.find(Self::ID).unwrap().newest().unwrap();
        (sample.is_at_rest, sample.held_until.map(|until| until.since(self.tick)))
    }
}

#[test]
fn a_row_that_was_overtaken_by_its_leave_does_not_come_into_view() {
    let mut door = OneDoor::new();
    door.publish(1, Some(7));
    let row = door.row(&[]);
    door.publish(1, None);
    let leave = door.leave();
    door.apply(&leave);
    door.apply(&row);
    assert_eq!((door.replica.view().count(), door.replica.drain_changes().count()), (0, 0));
    door.publish(1, Some(8));
    door.apply(&door.row(&[]));
    assert_eq!((door.replica.view().count(), door.replica.drain_changes().count()), (1, 1), "it is back");
}

#[test]
fn what_moves_after_a_rest_tells_until_when_it_rested() {
    let mut door = OneDoor::new();
    door.publish(10, Some(7));
    let rested = door.tick;
    assert_eq!(door.told_rest(&[]), (true, None), "whole, and at rest since it is known");
    door.publish(2, Some(8));
    assert_eq!(door.told_rest(&[rested]), (false, Some(-2)));
    let moving = door.tick;
    door.publish(1, Some(9));
    assert_eq!(door.told_rest(&[moving]), (false, None), "the state before was not at rest");
    door.publish(4, Some(9));
    assert_eq!(door.told_rest(&[rested]), (true, Some(-7)), "it moved in between, and rests again");
    let rested = door.tick;
    door.publish(3, Some(9));
    assert_eq!(door.told_rest(&[rested]), (true, Some(0)), "it still does");
    door.publish(200, Some(9));
    door.publish(1, Some(0));
    assert_eq!(
        door.told_rest(&[]),
        (false, Some(-1)),
        "whole, because the ring lost what the receiver holds"
    );
    door.publish(127, Some(1));
    assert_eq!(door.told_rest(&[]), (true, None), "too long ago to be told");
}
