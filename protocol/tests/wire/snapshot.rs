//! Vectors of SNAPSHOT: a small world is published tick by tick, a receiver is given the states that the rows name,
//! and the frame is written from the one and read by the other.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::ack::Sequence;
use tickwire_protocol::frame::{FrameType, write_frame};
use tickwire_protocol::history::History;
use tickwire_protocol::limits::{BODY_BYTES_MAX, COLUMNS_PER_CUE_MAX};
use tickwire_protocol::schema::{Column, Kind, Sight};
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, Coder, DecodedRow, DecodedSection, DecodedSnapshot, EncodedBody, Feedback, Leave,
    PlannedRow, Prior, References, Replica, RowCache, SectionPlan, SnapshotHeader, TickWidth, Written,
};
use tickwire_protocol::{Cue, CueId, DecodeError, EntityId, KindId, RowHead, Schema, Tables, Tick, TickRate};

use super::frames::{Vector, yard};
use super::page::{Fields, bytes, hex, numbers, parse};

const RATE: u32 = 60;

/// Decodes a payload as a receiver that holds nothing; what the page has to be refused is refused for its form.
pub(crate) fn decode_with_nothing_held(payload: &[u8]) -> Result<SnapshotHeader, DecodeError> {
    let codec = codec(Coder::Fast, Prior::untrained());
    codec.read_snapshot(payload, Tick(0), &Replica::new(yard(), 128), &mut DecodedSnapshot::default())
}

pub(crate) fn vector(fields: &mut Fields) -> Vector {
    let coder = match fields.take("coder").as_str() {
        "dense" => Coder::Dense,
        _ => Coder::Fast,
    };
    let prior = match fields.take("prior").as_str() {
        "default" => Prior::default_prior(),
        _ => Prior::untrained(),
    };
    let told = Told::take(fields, codec(coder, prior));
    let mut world = World::take(fields);
    let is_compressed = fields.take_if_there("compressed").is_some();
    let mut replica = Replica::new(yard(), 128);
    world.play(&told, &mut replica);

    let payload = told.encode(&world);
    let mut encoded = Vec::new();
    write_frame(&mut encoded, FrameType::Snapshot, &payload);
    let has_near_tick = payload[0] >> 6 == 1;
    assert_eq!(!has_near_tick && payload[0] >> 5 & 1 == 1, is_compressed, "{}: compressed", fields.name);
    assert_eq!(has_near_tick, told.header.tick_width == TickWidth::Near, "{}: tick", fields.name);
    let decode = move |payload: &[u8]| told.agrees_with(payload, &replica).map_err(|fault| fault.to_string());
    Vector { encoded, decode: Some(Box::new(decode)), is_compressed, is_cut_by_zeros: coder == Coder::Dense }
}

fn codec(coder: Coder, prior: Arc<Prior>) -> Codec {
    Codec::with(yard(), TickRate::new(RATE).unwrap(), coder, prior)
}

/// What a vector's room publishes.
struct World {
    /// By tick: the rows that change in it, and those that go.
    changes: BTreeMap<u32, Vec<(EntityId, Option<PublishedRow>)>>,
    rows: BTreeMap<EntityId, PublishedRow>,
    history: History,
}

#[derive(Clone)]
struct PublishedRow {
    kind: KindId,
    teleported: bool,
    values: Vec<i32>,
}

impl World {
    fn take(fields: &mut Fields) -> Self {
        let mut changes: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for line in fields.take_all("published") {
            let (head, values) = line.split_once(" = ").unwrap();
            let words: Vec<_> = head.split(' ').collect();
            let row = PublishedRow {
                kind: kind_named(words[1]),
                teleported: words.get(3) == Some(&"teleported"),
                values: numbers(values),
            };
            changes.entry(parse(words[0])).or_default().push((entity(words[2]), Some(row)));
        }
        for line in fields.take_all("gone") {
            let (tick, id) = line.split_once(' ').unwrap();
            changes.entry(parse(tick)).or_default().push((entity(id), None));
        }
        let history = History::new(yard(), TickRate::new(RATE).unwrap());
        Self { changes, rows: BTreeMap::new(), history }
    }

    /// Publishes every tick up to the one told, and gives the receiver the states that are named.
    fn play(&mut self, told: &Told, replica: &mut Replica) {
        let first = self.changes.keys().next().map_or(told.header.tick, |tick| Tick(*tick));
        let steps = told.header.tick.since(first);
        for tick in (0..=steps).map(|step| first + step.unsigned_abs()) {
            self.rows.values_mut().for_each(|row| row.teleported = false);
            for (id, row) in self.changes.get(&tick.0).into_iter().flatten() {
                match row {
                    Some(row) => self.rows.insert(*id, row.clone()),
                    None => self.rows.remove(id),
                };
            }
            let mut tables = Tables::new(yard());
            for (id, row) in &self.rows {
                let head = RowHead::new(*id).teleported(row.teleported);
                tables.insert(row.kind, head).copy_from(&row.values);
            }
            tables.finish();
            self.history.publish(tick, &tables);
            self.tell_named(told, tick, replica);
        }
    }

    /// Sends whole rows of the states that are named at this tick, by rows or by the section.
    fn tell_named(&self, told: &Told, tick: Tick, replica: &mut Replica) {
        let planned = |rows: &[ToldRow]| {
            let named = rows.iter().filter(|row| row.references.ticks().any(|named| named == tick));
            let whole = |row: PlannedRow| PlannedRow {
                sight: if row.sight == Sight::Beside { Sight::Own } else { row.sight },
                references: References::NONE,
                ..row
            };
            let rows = named.map(|row| whole(row.planned(&self.history)));
            SectionPlan { rows: rows.collect(), ..SectionPlan::default() }
        };
        let header = SnapshotHeader {
            tick,
            tick_width: TickWidth::Full,
            sequence: None,
            feedback: None,
            own_is_whole: false,
        };
        let mut section = planned(&told.view.rows);
        if told.view.against.ticks().any(|named| named == tick) {
            section.rows = all_rows(&self.history, |_| References::NONE);
        }
        let body = BodyPlan { cues: Vec::new(), section };
        let own = planned(&told.own.rows);
        let payload = write(&told.codec, &self.history, &header, &own, &body, None, &|_| None);
        let mut decoded = DecodedSnapshot::default();
        told.codec.read_snapshot(&payload, tick, replica, &mut decoded).unwrap();
        if !(decoded.own.rows.is_empty() && decoded.view.rows.is_empty()) {
            replica.apply(&decoded);
        }
    }
}

/// Every row in everyone's view, naming what `references` says.
fn all_rows(history: &History, references: impl Fn(EntityId) -> References) -> Vec<PlannedRow> {
    let newest = history.newest().unwrap();
    let tables = newest.tables(Sight::Public).iter();
    let rows = tables.flat_map(|(kind, table)| {
        table.heads().iter().enumerate().map(move |(row, head)| (KindId(kind.index()), row as u32, head.id))
    });
    let planned =
        |(kind, row, id)| PlannedRow { kind, row, sight: Sight::Public, references: references(id) };
    rows.map(planned).collect()
}

fn write(
    codec: &Codec,
    history: &History,
    header: &SnapshotHeader,
    own: &SectionPlan,
    plan: &BodyPlan,
    digest: Option<u64>,
    payload_of: &dyn Fn(EntityId) -> Option<Bytes>,
) -> Vec<u8> {
    let (mut body, mut payload) = (EncodedBody::default(), Vec::new());
    let mut rows = RowCache::default();
    codec.write_body(history, plan, payload_of, BODY_BYTES_MAX, &mut rows, &mut body);
    let mut tell = |_: Written| digest.unwrap();
    let digest: Option<&mut dyn FnMut(Written) -> u64> =
        if digest.is_some() { Some(&mut tell) } else { None };
    codec.write_snapshot(header, history, own, BODY_BYTES_MAX, digest, &body, &mut rows, &mut payload);
    payload
}

/// What a vector's frame tells.
struct Told {
    codec: Codec,
    header: SnapshotHeader,
    near: Tick,
    digest: Option<u64>,
    own: ToldSection,
    view: ToldSection,
    cues: Vec<Cue>,
    /// The lines of the above, as they must come out again.
    lines: Vec<String>,
}

struct ToldSection {
    against: References,
    leaves: Vec<Leave>,
    rows: Vec<ToldRow>,
}

struct ToldRow {
    kind: KindId,
    id: EntityId,
    sight: Sight,
    /// Held, and not told: it follows everyone's row.
    follows: bool,
    references: References,
    payload: Option<Bytes>,
}

impl Told {
    fn take(fields: &mut Fields, codec: Codec) -> Self {
        let mut lines = Vec::new();
        let mut one = |fields: &mut Fields, key: &str| {
            let value = fields.take_if_there(key)?;
            lines.push(format!("{key}: {value}"));
            Some(value)
        };
        let tick = fields.take("tick");
        let sequence = one(fields, "sequence").map(|number| Sequence(parse(&number)));
        let feedback = one(fields, "feedback").map(|text| {
            let (newest, rest) = text.strip_prefix("newest input ").unwrap().split_once(", margin ").unwrap();
            let (margin, substituted) = rest.split_once(", substituted ").unwrap_or((rest, "0"));
            let substituted = u32::from_str_radix(substituted, 2).unwrap();
            let newest_input = (newest != "none").then(|| Tick(parse(newest)));
            Feedback { newest_input, margin_ticks: parse(margin), substituted }
        });
        let own_is_whole = one(fields, "own rows").is_some();
        let digest = one(fields, "digest").map(|word| u64::from_str_radix(&word, 16).unwrap());
        let (tick, tick_width, near) = match (tick.split_once(" near "), tick.split_once(" soon after ")) {
            (Some((tick, near)), _) => (tick, TickWidth::Usual, near),
            (_, Some((tick, near))) => (tick, TickWidth::Near, near),
            _ => (tick.trim_end_matches(" in full"), TickWidth::Full, "0"),
        };
        let header = SnapshotHeader { tick: Tick(parse(tick)), tick_width, sequence, feedback, own_is_whole };
        let own = ToldSection::take(fields, "own ", &mut lines);
        let cue_lines = fields.take_all("cue");
        lines.extend(cue_lines.iter().map(|line| format!("cue: {line}")));
        let cues = cue_lines.iter().map(|line| cue(line)).collect();
        let view = ToldSection::take(fields, "", &mut lines);
        Self { codec, header, near: Tick(parse(near)), digest, own, view, cues, lines }
    }

    fn encode(&self, world: &World) -> Vec<u8> {
        let body = BodyPlan { cues: self.cues.clone(), section: self.view.plan(&world.history) };
        let rows = || self.view.rows.iter().chain(&self.own.rows);
        let payload_of = |id| rows().find(|row| row.id == id).and_then(|row| row.payload.clone());
        let own = self.own.plan(&world.history);
        write(&self.codec, &world.history, &self.header, &own, &body, self.digest, &payload_of)
    }

    /// Whether a payload tells the same to a receiver that holds the named states.
    fn agrees_with(&self, payload: &[u8], replica: &Replica) -> Result<bool, DecodeError> {
        let mut decoded = DecodedSnapshot::default();
        let header = self.codec.read_snapshot(payload, self.near, replica, &mut decoded)?;
        let mut lines = Vec::new();
        lines.extend(header.sequence.map(|sequence| format!("sequence: {sequence}")));
        lines.extend(header.feedback.map(|Feedback { newest_input, margin_ticks, substituted }| {
            let told =
                if substituted == 0 { String::new() } else { format!(", substituted {substituted:b}") };
            let newest = newest_input.map_or("none".to_owned(), |newest| newest.to_string());
            format!("feedback: newest input {newest}, margin {margin_ticks}{told}")
        }));
        lines.extend(header.own_is_whole.then(|| "own rows: all that is news".to_owned()));
        lines.extend(decoded.digest.map(|digest| format!("digest: {digest:016x}")));
        lines.extend(section_lines("own ", &decoded.own));
        lines.extend(decoded.cues.iter().map(|cue| format!("cue: {}", cue_text(cue))));
        lines.extend(section_lines("", &decoded.view));
        let mut after = replica.clone();
        after.apply(&decoded);
        let is_digest_right = decoded.digest.is_none_or(|digest| digest == after.digest().0);
        if lines != self.lines || !is_digest_right {
            eprintln!("decoded, digest {:016x}:\n{}", after.digest().0, lines.join("\n"));
        }
        Ok(lines == self.lines && header == self.header && is_digest_right)
    }
}

impl ToldSection {
    fn take(fields: &mut Fields, prefix: &str, lines: &mut Vec<String>) -> Self {
        let leaves = fields.take_all(&format!("{prefix}leave")).into_iter().map(|line| {
            lines.push(format!("{prefix}leave: {line}"));
            let (slot, why) = line.split_once(", ").unwrap();
            Leave { slot: parse(slot.strip_prefix("slot ").unwrap()), despawned: why == "despawned" }
        });
        let leaves = leaves.collect();
        let mut against = References::NONE;
        let ticks = fields.take_if_there(&format!("{prefix}against"));
        ticks.iter().flat_map(|ticks| numbers(ticks)).for_each(|tick| against.push(Tick(tick)));
        let rows = fields.take_all(&format!("{prefix}row"));
        let rows = rows.iter().map(|line| ToldRow::take(line, prefix, lines)).collect();
        Self { against, leaves, rows }
    }

    fn plan(&self, history: &History) -> SectionPlan {
        // As many of the section's ticks as the entity was there.
        let was_there = |id: EntityId, tick: &Tick| {
            let mut tables = history.at(*tick).unwrap().tables(Sight::Public).iter();
            tables.any(|(_, table)| table.find(id).is_some())
        };
        let held_at = |id: EntityId| {
            let mut references = References::NONE;
            let ticks = self.against.ticks().take_while(|tick| was_there(id, tick));
            ticks.for_each(|tick| references.push(tick));
            references
        };
        let told = self.rows.iter().filter(|row| !row.follows);
        let mut rows: Vec<_> = told.map(|row| row.planned(history)).collect();
        let mut held = Vec::new();
        if !self.against.is_empty() {
            held = all_rows(history, held_at);
            held.retain(|row| !row.references.is_empty());
            for (planned, row) in rows.iter_mut().zip(&self.rows) {
                planned.references = held_at(row.id);
            }
        }
        SectionPlan { leaves: self.leaves.clone(), rows, against: self.against, held }
    }
}

/// How an own row is told, not what: beside everyone's row.
const BESIDE: &str = "beside";

impl ToldRow {
    /// `KIND ID, names TICK TICK, ... = COLUMNS`
    fn take(line: &str, prefix: &str, lines: &mut Vec<String>) -> Self {
        let (head, values) = line.split_once(" = ").unwrap_or((line.trim_end_matches(" ="), ""));
        let clauses: Vec<_> = head.split(", ").collect();
        let named = clauses.iter().find_map(|clause| clause.strip_prefix("names "));
        let is_how = |clause: &&&str| clause.starts_with("names ") || **clause == BESIDE;
        let kept: Vec<_> = clauses.iter().filter(|clause| !is_how(clause)).copied().collect();
        let follows = clauses.contains(&"follows");
        if !follows {
            lines.push(format!("{prefix}row: {} = {values}", kept.join(", ")));
        }
        let mut references = References::NONE;
        named.into_iter().flat_map(numbers).for_each(|tick| references.push(Tick(tick)));
        let (kind, id) = clauses[0].split_once(' ').unwrap();
        let sight = match prefix {
            "own " if clauses.contains(&BESIDE) => Sight::Beside,
            "own " => Sight::Own,
            _ if clauses.contains(&"team") => Sight::Team,
            _ => Sight::Public,
        };
        let payload = clauses.iter().find_map(|clause| clause.strip_prefix("payload ")).map(payload);
        Self { kind: kind_named(kind), id: entity(id), sight, references, follows, payload }
    }

    fn planned(&self, history: &History) -> PlannedRow {
        let table = history.newest().unwrap().tables(self.sight).table(self.kind);
        let row = table.find(self.id).expect("told rows are published") as u32;
        PlannedRow { kind: self.kind, row, sight: self.sight, references: self.references }
    }
}

fn section_lines(prefix: &str, section: &DecodedSection) -> Vec<String> {
    let leave = |leave: &Leave| {
        let why = if leave.despawned { "despawned" } else { "hidden" };
        format!("{prefix}leave: slot {}, {why}", leave.slot)
    };
    let row =
        |row: &DecodedRow| format!("{prefix}row: {}", row_text(row, &section.values[row.values.clone()]));
    section.leaves.iter().map(leave).chain(section.rows.iter().map(row)).collect()
}

fn row_text(row: &DecodedRow, values: &[i32]) -> String {
    let schema = yard();
    let kind = schema.kind(row.kind);
    let mut text = format!("{} {}", kind.name(), row.id);
    for (clause, is_true) in
        [("whole", row.is_whole), ("team", row.sight == Sight::Team), ("at rest", row.is_at_rest)]
    {
        if is_true {
            write!(text, ", {clause}").unwrap();
        }
    }
    for (clause, tick) in [("held until", row.held_until), ("teleported at", row.teleported)] {
        if let Some(tick) = tick {
            write!(text, ", {clause} {tick}").unwrap();
        }
    }
    if let Some(payload) = &row.payload {
        write!(text, ", payload {}", payload_text(payload)).unwrap();
    }
    text.push_str(" =");
    for (column, value) in values.iter().enumerate() {
        if kind.visible(row.sight).contains(column) {
            write!(text, " {value}").unwrap();
        } else {
            assert_eq!(*value, reset(&kind.columns()[column]), "what is not told is reset");
            text.push_str(" -");
        }
    }
    text
}

fn reset(column: &Column) -> i32 {
    0.clamp(column.min, column.max)
}

/// `CUE by ID, tick TICK, nth N = COLUMNS`
fn cue(line: &str) -> Cue {
    let (head, columns) = line.split_once(" =").unwrap();
    let clauses: Vec<_> = head.split(", ").collect();
    let (name, source) = clauses[0].split_once(" by ").unwrap_or((clauses[0], ""));
    let id = yard().cues().iter().position(|cue| cue.name() == name).unwrap();
    let mut values = [0; COLUMNS_PER_CUE_MAX];
    for (place, value) in values.iter_mut().zip(numbers(columns)) {
        *place = value;
    }
    Cue {
        tick: Tick(parse(clauses[1].strip_prefix("tick ").unwrap())),
        id: CueId(id as u8),
        source: (!source.is_empty()).then(|| entity(source)),
        nth: parse(clauses[2].strip_prefix("nth ").unwrap()),
        values,
    }
}

fn cue_text(cue: &Cue) -> String {
    let schema = yard();
    let kind: &Kind = schema.cue(cue.id);
    let by = cue.source.map_or(String::new(), |source| format!(" by {source}"));
    let mut text = format!("{}{by}, tick {}, nth {} =", kind.name(), cue.tick, cue.nth);
    for value in &cue.values[..kind.column_count()] {
        write!(text, " {value}").unwrap();
    }
    text
}

/// `01 02 03`, or `250 x 07`.
fn payload(text: &str) -> Bytes {
    Bytes::from(match text.split_once(" x ") {
        Some((count, byte)) => vec![bytes(byte)[0]; parse(count)],
        None => bytes(text),
    })
}

fn payload_text(payload: &[u8]) -> String {
    match payload {
        [first, .., last] if payload.len() > 16 && first == last => {
            format!("{} x {first:02x}", payload.len())
        }
        _ => hex(payload),
    }
}

fn kind_named(name: &str) -> KindId {
    let schema: Arc<Schema> = yard();
    let index = schema.kinds().iter().position(|kind| kind.name() == name);
    KindId(index.unwrap_or_else(|| panic!("no kind is called {name}")) as u8)
}

/// `5v1`: slot 5, generation 1.
fn entity(text: &str) -> EntityId {
    let (slot, generation) = text.split_once('v').unwrap();
    EntityId { slot: parse(slot), generation: parse(generation) }
}
