//! A room that publishes, a receiver, and between them a link that damages and forges.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::prior::any_prior;
use super::{Script, are_within};
use crate::ack::Sequence;
use crate::cue::Cue;
use crate::history::{History, Published};
use crate::ids::EntityId;
use crate::limits::{
    BODY_BYTES_MAX, COLUMNS_PER_CUE_MAX, HISTORY_TICKS, REFERENCES_PER_ROW_MAX, SPAWN_PAYLOAD_BYTES_MAX,
};
use crate::row::RowMut;
use crate::schema::{Column, CueId, Field, FieldId, FieldType, Kind, KindId, Schema, Sight};
use crate::snapshot::replica::{Change, Track};
use crate::snapshot::{
    BodyPlan, Codec, Coder, DecodedSection, DecodedSnapshot, EncodedBody, Feedback, HeldState, Leave,
    PlannedRow, Prior, References, Replica, RowCache, SectionPlan, SnapshotHeader, StateLookup, TickWidth,
    Written,
};
use crate::table::{RowHead, Tables};
use crate::time::{Tick, TickRate};

/// Things that happen in one script.
const ACTS_MAX: usize = 64;

/// Entities of the room.
const ROWS_MAX: usize = 24;

/// Plays in a room with this prior, or one that the script chooses. How many sections were told against ticks.
pub(super) fn play(script: &mut Script<'_>, prior: Option<Arc<Prior>>) -> usize {
    let Some(schema) = any_schema(script) else { return 0 };
    let mut scene = Scene::new(schema, script, prior);
    for _ in 0..ACTS_MAX {
        if script.is_empty() {
            break;
        }
        match script.byte() {
            0..=99 => scene.publish(script),
            100..=199 => scene.tell(script, false),
            200..=224 => scene.tell(script, true),
            225..=249 => {
                let count = script.pick(64);
                scene.receive(script.take(count));
            }
            _ => break,
        }
    }
    scene.receive(script.take(usize::MAX));
    scene.told_against
}

/// A schema that keeps every rule, of up to three kinds.
fn any_schema(script: &mut Script<'_>) -> Option<Arc<Schema>> {
    let mut builder = Schema::builder("scene");
    for index in 0..=script.pick(3) as u8 {
        builder = builder.kind(Kind::new(KindId(index), "kind", any_fields(script)));
    }
    for index in 0..script.pick(4) as u8 {
        let field = Field::new(FieldId(0), "field", any_plain_type(script));
        builder = builder.cue(Kind::cue(CueId(index), "cue", [field]));
    }
    builder.build().ok()
}

fn any_fields(script: &mut Script<'_>) -> Vec<Field> {
    let mut moving = None;
    let fields = (0..=script.pick(6) as u8).map(|id| {
        let ty = match (script.pick(3), moving.take()) {
            (0, Some(of)) => FieldType::velocity(of, f64::from(script.byte()), 0.5),
            _ => any_plain_type(script),
        };
        if let FieldType::Position { .. } | FieldType::Angle { .. } | FieldType::Rotation { .. } = ty {
            moving = Some(FieldId(id));
        }
        let field = Field::new(FieldId(id), "field", ty);
        match script.pick(8) {
            0 => field.team_only(),
            1 => field.owner_only(),
            2 => field.rate_hz(20),
            3 => field.threshold(2.0),
            _ => field,
        }
    });
    fields.collect()
}

fn any_plain_type(script: &mut Script<'_>) -> FieldType {
    let size = script.byte();
    let reach = f64::from(size);
    match script.pick(9) {
        0 => FieldType::position([-reach..=reach], 0.5),
        1 => FieldType::position([-reach..=reach, 0.0..=reach, 1.0..=1.0], 0.25),
        2 => FieldType::rotation(9 + size % 10),
        3 => FieldType::angle(1 + size % 20),
        4 => FieldType::scalar(-1.0..=1.0, 1.0 / (1.0 + reach)),
        5 => FieldType::integer(-i32::from(size)..=i32::from(size / 2)),
        6 => FieldType::integer(i32::MIN..=i32::MAX),
        7 => FieldType::integer(7..=7),
        _ => FieldType::entity(),
    }
}

struct Scene {
    codec: Codec,
    history: History,
    rows: BTreeMap<EntityId, Row>,
    tick: Tick,
    replica: Replica,
    /// Who is in view, by what the replica said of who came and went.
    in_view: BTreeMap<EntityId, KindId>,
    decoded: DecodedSnapshot,
    told_against: usize,
}

struct Row {
    kind: KindId,
    teleported: bool,
    values: Vec<i32>,
}

impl Scene {
    fn new(schema: Arc<Schema>, script: &mut Script<'_>, prior: Option<Arc<Prior>>) -> Self {
        let rate = TickRate::new(1 + script.pick(240) as u32).expect("a rate within the limit");
        let keep_ticks = [0, 3, HISTORY_TICKS][script.pick(3)];
        let coder = [Coder::Dense, Coder::Fast][script.pick(2)];
        let prior = prior.unwrap_or_else(|| any_prior(script));
        Self {
            codec: Codec::with(schema.clone(), rate, coder, prior),
            history: History::new(schema.clone(), rate),
            rows: BTreeMap::new(),
            tick: Tick(u32::from(script.byte()).wrapping_sub(128)),
            replica: Replica::new(schema, keep_ticks),
            in_view: BTreeMap::new(),
            decoded: DecodedSnapshot::default(),
            told_against: 0,
        }
    }

    /// A few rows come, go or change; then one tick is published, or several.
    fn publish(&mut self, script: &mut Script<'_>) {
        let schema = self.codec.schema().clone();
        for _ in 0..script.pick(8) {
            let slot = script.pick(32) as u16;
            let tenant = self.rows.keys().find(|id| id.slot == slot).copied();
            match (tenant, script.pick(8)) {
                (Some(id), 0) => drop(self.rows.remove(&id)),
                (Some(id), _) => self.change(id, script),
                (None, _) if self.rows.len() < ROWS_MAX => {
                    let generation = 1 + (script.word() % 65_534) as u16;
                    let kind = KindId(script.pick(schema.kinds().len()) as u8);
                    let mut values = vec![0; schema.kind(kind).column_count()];
                    RowMut::new(schema.kind(kind), &mut values).reset();
                    self.rows.insert(EntityId { slot, generation }, Row { kind, teleported: false, values });
                }
                (None, _) => {}
            }
        }
        for _ in 0..=script.pick(8) {
            self.tick = self.tick + 1;
            let mut tables = Tables::new(schema.clone());
            for (id, row) in &mut self.rows {
                let head = RowHead::new(*id).teleported(core::mem::take(&mut row.teleported));
                tables.insert(row.kind, head).copy_from(&row.values);
            }
            tables.finish();
            self.history.publish(self.tick, &tables);
        }
    }

    fn change(&mut self, id: EntityId, script: &mut Script<'_>) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        row.teleported = script.pick(8) == 0;
        let columns = self.codec.schema().kind(row.kind).columns();
        let place = script.pick(columns.len());
        row.values[place] = match script.pick(4) {
            0 => any_value(&columns[place], script),
            small => row.values[place].saturating_add(small as i32 - 2),
        };
    }

    /// Tells the receiver the newest tick, or as much of it as the script wants.
    fn tell(&mut self, script: &mut Script<'_>, is_damaged: bool) {
        if self.history.newest().is_none() {
            return;
        }
        let mut own = self.plan(script, true);
        let plan = BodyPlan { cues: self.cues(script), section: self.plan(script, false) };
        let header = self.header(script);
        let limits = [BODY_BYTES_MAX, 400, 64];
        let (mut body_limit, own_limit) = (limits[script.pick(3)], limits[script.pick(3)]);
        if !plan.section.against.is_empty() {
            // What is told against ticks is told whole or not at all.
            body_limit = BODY_BYTES_MAX;
            self.told_against += usize::from(!plan.section.held.is_empty());
        }
        let (mut body, mut payload) = (EncodedBody::default(), Vec::new());
        let mut rows = RowCache::default();
        self.codec.write_body(&self.history, &plan, &payload_of, body_limit, &mut rows, &mut body);
        assert!(body.byte_len() <= body_limit, "a body is kept within its limit");
        self.lean(script, &mut own, &plan.section.rows[..body.written.rows]);
        let mut digest = |_: Written| 7;
        let digest: Option<&mut dyn FnMut(Written) -> u64> =
            if header.sequence.is_none() { Some(&mut digest) } else { None };
        let history = &self.history;
        let own_written = self.codec.write_snapshot(
            &header,
            history,
            &own,
            own_limit,
            digest,
            &body,
            &mut rows,
            &mut payload,
        );
        if is_damaged {
            damage(&mut payload, script);
            return self.receive(&payload);
        }
        let read = self.codec.read_snapshot(&payload, self.tick - 5, &self.replica, &mut self.decoded);
        let is_whole = own_written == Written { leaves: own.leaves.len(), rows: own.rows.len() };
        let header = SnapshotHeader { own_is_whole: header.own_is_whole && is_whole, ..header };
        // A header that has more to say than a near tick says it with the usual one.
        let usual = SnapshotHeader { tick_width: TickWidth::Usual, ..header };
        assert!(read == Ok(header) || header.tick_width == TickWidth::Near && read == Ok(usual), "{read:?}");
        assert_eq!(self.decoded.cues, plan.cues[..body.cues]);
        self.check_told(&own, own_written, &self.decoded.own);
        self.check_told(&plan.section, body.written, &self.decoded.view);
        self.take_in();
    }

    /// Has some own rows told beside everyone's of those that are told.
    fn lean(&self, script: &mut Script<'_>, own: &mut SectionPlan, told: &[PlannedRow]) {
        for row in own.rows.iter_mut().filter(|row| !row.references.is_empty()) {
            let has_team_fields = self.codec.schema().kind(row.kind).has_team_fields();
            let tells_all_but = |told: &PlannedRow| told.sight == Sight::Team || !has_team_fields;
            let is_told =
                told.iter().any(|told| (told.kind, told.row) == (row.kind, row.row) && tells_all_but(told));
            if is_told && script.pick(2) == 0 {
                row.sight = Sight::Beside;
            }
        }
    }

    fn header(&self, script: &mut Script<'_>) -> SnapshotHeader {
        let byte = script.byte();
        let feedback = Feedback {
            newest_input: Some(self.tick + 3),
            margin_ticks: (byte as i8) >> 1,
            substituted: u32::from(byte & 1) * u32::from(byte),
        };
        SnapshotHeader {
            tick: self.tick,
            tick_width: [TickWidth::Full, TickWidth::Usual, TickWidth::Near][script.pick(3)],
            sequence: (script.pick(2) == 0).then_some(Sequence(script.word() as u16)),
            feedback: (script.pick(2) == 0).then_some(feedback),
            own_is_whole: byte & 2 != 0,
        }
    }

    /// All rows or some of them, each against some states of which the receiver holds what was published; or a section
    /// against some ticks at which it holds all of that.
    fn plan(&self, script: &mut Script<'_>, is_own: bool) -> SectionPlan {
        let mut plan = SectionPlan::default();
        let Some(newest) = self.history.newest() else { return plan };
        let skipped = [0, 1, 4][script.pick(3)];
        for (kind, table) in newest.tables(Sight::Public).iter() {
            for (row, head) in table.heads().iter().enumerate() {
                if script.pick(8) < skipped {
                    continue;
                }
                let sight = match script.pick(2) {
                    _ if is_own => Sight::Own,
                    0 if kind.has_team_fields() => Sight::Team,
                    _ => Sight::Public,
                };
                let kind = KindId(kind.index());
                let references = self.nameable(script, kind, head.id, sight);
                plan.rows.push(PlannedRow { kind, row: row as u32, sight, references });
            }
        }
        let is_gone = |track: &&Track| !self.rows.contains_key(&track.id());
        let gone = self.replica.view().filter(is_gone).filter(|_| !is_own);
        plan.leaves = gone.take(8).map(|track| Leave { slot: track.id().slot, despawned: true }).collect();
        if !is_own && script.pick(2) == 0 {
            self.plan_against(script, &mut plan);
        }
        plan
    }

    /// Tells the section against some ticks, if the receiver holds what was published at each.
    fn plan_against(&self, script: &mut Script<'_>, plan: &mut SectionPlan) {
        let mut against = References::NONE;
        let mut tick = self.tick;
        for _ in 0..=script.pick(3) {
            tick = tick - (1 + script.pick(12) as u32);
            if self.tick.since(tick) < HISTORY_TICKS as i32 {
                against.push(tick);
            }
        }
        let mut held = Vec::new();
        for kind in self.codec.schema().kinds() {
            let kind_id = KindId(kind.index());
            let mut slots = Vec::new();
            let noted = self.replica.held_at(kind_id, against, &mut |held| {
                slots.push(held.newest.id.slot);
                Ok(())
            });
            debug_assert!(noted.is_ok(), "noting slots cannot fail");
            slots.retain(|slot| plan.leaves.iter().all(|leave| leave.slot != *slot));
            for slot in slots {
                match self.held_row(kind_id, slot, against) {
                    Some(row) => held.push(row),
                    None => return,
                }
            }
        }
        let place = |row: &PlannedRow| (row.kind, row.row);
        held.sort_by_key(place);
        for row in &mut plan.rows {
            match held.binary_search_by_key(&place(row), place) {
                Ok(index) => *row = held[index],
                Err(_) => row.references = References::NONE,
            }
        }
        (plan.against, plan.held) = (against, held);
    }

    /// A row that the receiver holds, naming as many of the ticks as it was held at; nothing if it does not hold there what
    /// was published.
    fn held_row(&self, kind: KindId, slot: u16, against: References) -> Option<PlannedRow> {
        let newest = self.replica.state_by(slot, against.newest()?)?;
        let row = self.history.newest()?.tables(Sight::Public).table(kind).find(newest.id)? as u32;
        let mut references = References::NONE;
        for tick in against.ticks() {
            let Some(held) = self.replica.state_by(slot, tick).filter(|held| held.id == newest.id) else {
                break;
            };
            let is_same_sight = held.sight == newest.sight;
            let published = self.history.at(tick).filter(|_| is_same_sight)?;
            self.agrees(published, kind, &held, held.sight).then(|| references.push(tick))?;
        }
        Some(PlannedRow { kind, row, sight: newest.sight, references })
    }

    fn nameable(&self, script: &mut Script<'_>, kind: KindId, id: EntityId, sight: Sight) -> References {
        let mut references = References::NONE;
        let mut skip = script.pick(8);
        for tick in (1..HISTORY_TICKS).map(|distance| self.tick - distance) {
            if references.len() == REFERENCES_PER_ROW_MAX || skip == 7 {
                break;
            }
            let is_held =
                self.history.at(tick).is_some_and(|published| self.holds(published, kind, id, sight));
            if is_held && skip == 0 {
                references.push(tick);
            }
            skip = if is_held { skip.saturating_sub(1) } else { skip };
        }
        references
    }

    /// Whether the receiver holds this state as it was published. Forged frames may have given it another one.
    fn holds(&self, published: &Published, kind: KindId, id: EntityId, sight: Sight) -> bool {
        let held = self.replica.state(sight == Sight::Own, id.slot, published.tick());
        held.is_some_and(|held| held.id == id && self.agrees(published, kind, &held, sight))
    }

    /// Whether a state is as it was published at this tick.
    fn agrees(&self, published: &Published, kind: KindId, held: &HeldState<'_>, sight: Sight) -> bool {
        let table = published.tables(sight).table(kind);
        let shape = self.codec.schema().kind(kind);
        (held.kind, held.sight) == (kind, sight)
            && table.find(held.id).is_some_and(|row| {
                let values = table.row(shape, row);
                let mut told =
                    (0..shape.column_count()).filter(|&column| shape.visible(sight).contains(column));
                published.is_at_rest(kind, row) == held.is_at_rest
                    && told.all(|column| values.column(column) == held.values[column])
            })
    }

    fn cues(&self, script: &mut Script<'_>) -> Vec<Cue> {
        let schema = self.codec.schema();
        let count = if schema.cues().is_empty() { 0 } else { script.pick(4) };
        let cue = |_| {
            let id = CueId(script.pick(schema.cues().len()) as u8);
            let mut values = [0; COLUMNS_PER_CUE_MAX];
            for (value, column) in values.iter_mut().zip(schema.cue(id).columns()) {
                *value = any_value(column, script);
            }
            let source = EntityId { slot: script.word() as u16, generation: 1 };
            let source = (script.pick(2) == 0).then_some(source);
            let tick = self.tick - script.pick(HISTORY_TICKS as usize) as u32;
            Cue { tick, id, source, nth: script.byte(), values }
        };
        (0..count).map(cue).collect()
    }

    /// What was decoded is what was published.
    fn check_told(&self, plan: &SectionPlan, written: Written, decoded: &DecodedSection) {
        assert_eq!(decoded.leaves, plan.leaves[..written.leaves]);
        assert_eq!(decoded.rows.len(), written.rows);
        let newest = self.history.newest().expect("something was told");
        for (planned, told) in plan.rows.iter().zip(&decoded.rows) {
            let kind = self.codec.schema().kind(planned.kind);
            // However an own row is told, the receiver knows all of it then.
            let sight = if planned.sight == Sight::Beside { Sight::Own } else { planned.sight };
            let table = newest.tables(sight).table(planned.kind);
            let row = table.row(kind, planned.row as usize);
            assert_eq!(told.id, table.heads()[planned.row as usize].id);
            assert_eq!((told.kind, told.sight), (planned.kind, sight));
            assert_eq!(told.is_whole, planned.references.is_empty());
            assert_eq!(told.is_at_rest, newest.is_at_rest(planned.kind, planned.row as usize));
            let values = &decoded.values[told.values.clone()];
            for (column, value) in values.iter().enumerate() {
                if kind.visible(sight).contains(column) {
                    assert_eq!(*value, row.column(column), "{} column {column}", told.id);
                }
            }
        }
    }

    /// Whatever this is, it is taken in or refused.
    fn receive(&mut self, payload: &[u8]) {
        let is_whole = self.codec.read_snapshot(payload, self.tick, &self.replica, &mut self.decoded).is_ok();
        assert_eq!(is_whole, self.decoded.header.is_some());
        self.take_in();
    }

    fn take_in(&mut self) {
        self.replica.apply(&self.decoded);
        for change in self.replica.drain_changes() {
            match change {
                Change::Entered { id, kind, .. } => {
                    assert_eq!(self.in_view.insert(id, kind), None, "{id} came twice");
                }
                Change::Left { id, kind, .. } => assert_eq!(self.in_view.remove(&id), Some(kind)),
            }
        }
        let view: BTreeMap<_, _> = self.replica.view().map(|track| (track.id(), track.kind())).collect();
        assert_eq!(view, self.in_view);
        assert!(self.replica.view().all(|track| self.replica.find(track.id()).is_some()));
        self.replica.view().for_each(|track| self.check_track(track, false));
        self.replica.own().for_each(|track| self.check_track(track, true));
        let digest = self.replica.digest();
        assert_eq!(digest.1, self.replica.view().chain(self.replica.own()).count());
        assert_eq!(digest, self.replica.digest());
    }

    fn check_track(&self, track: &Track, is_own: bool) {
        let kind = self.codec.schema().kind(track.kind());
        let newest = track.newest().expect("who is in view has a state");
        let held = self.replica.state(is_own, track.id().slot, newest.tick).expect("it can be named");
        assert_eq!((held.id, held.kind), (track.id(), track.kind()));
        assert!(are_within(kind.columns(), held.values), "{} left its bounds", track.id());
        let row = track.row(kind, track.samples().len() - 1);
        assert_eq!(row.column(0), held.values[0]);
        assert!(track.samples().len() <= HISTORY_TICKS as usize + 1 + REFERENCES_PER_ROW_MAX);
        assert!(track.payload().is_none_or(|payload| payload.len() <= SPAWN_PAYLOAD_BYTES_MAX));
    }
}

fn any_value(column: &Column, script: &mut Script<'_>) -> i32 {
    let range = column.max.abs_diff(column.min);
    let steps = u64::from(script.word()) % (u64::from(range) + 1);
    column.min.wrapping_add(steps as i32)
}

/// Some entities were spawned with bytes, as many as their slot says.
fn payload_of(id: EntityId) -> Option<Bytes> {
    id.slot.is_multiple_of(3).then(|| Bytes::from(vec![7; usize::from(id.slot) * 8]))
}

fn damage(payload: &mut Vec<u8>, script: &mut Script<'_>) {
    for _ in 0..=script.pick(3) {
        let place = script.word() as usize % payload.len();
        payload[place] ^= 1 << script.pick(8);
    }
    match script.pick(8) {
        0 => payload.truncate(script.word() as usize % payload.len()),
        1 => payload.push(script.byte()),
        _ => {}
    }
}
