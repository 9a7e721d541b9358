//! From the world to frames and back, every value compared and folded.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::hash::WordHash;
use tickwire_protocol::history::Published;
use tickwire_protocol::limits::{BODY_BYTES_MAX, COLUMNS_PER_CUE_MAX, HISTORY_TICKS, OWN_BYTES_MAX};
use tickwire_protocol::schema::Sight;
use tickwire_protocol::snapshot::replica::Track;
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, Coder, DecodedSection, DecodedSnapshot, EncodedBody, Feedback, Leave, PlannedRow, Prior,
    References, Replica, RowCache, SectionPlan, SnapshotHeader, StateLookup, TickWidth, Written,
};
use tickwire_protocol::{Cue, CueId, EntityId, KindId, RowHead, Sequence, Tick};

use super::world::{Random, World, is_own};

/// Rows that a part must have told: fewer, and it does not test what it is for.
const ROWS_MIN: usize = 10_000;

/// How frames travel, and what their rows name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Link {
    /// Every frame arrives: sections are told against the last three snapshots.
    Ordered,
    /// One of four frames is lost: rows name states that are held, up to the oldest that can be named.
    Lossy,
}

impl Link {
    const fn snapshot_ticks(self) -> u32 {
        match self {
            Self::Ordered => 3,
            Self::Lossy => 2,
        }
    }
}

/// One receiver of the world.
pub(super) struct Session {
    world: World,
    codec: Codec,
    link: Link,
    random: Random,
    steps: u32,
    /// The last snapshots of an ordered link, newest first.
    against: References,
    /// Since which snapshot an ordered link tells of an entity.
    since: BTreeMap<EntityId, Tick>,
    cache: RowCache,
    replica: Replica,
    decoded: DecodedSnapshot,
    hash: WordHash,
    rows: usize,
}

impl Session {
    pub(super) fn new(coder: Coder, prior: Arc<Prior>, link: Link) -> Self {
        let world = World::new();
        let (schema, rate) = (world.history.schema().clone(), world.history.rate());
        let keep_ticks = if link == Link::Ordered { 16 } else { HISTORY_TICKS };
        Self {
            codec: Codec::with(schema.clone(), rate, coder, prior),
            replica: Replica::new(schema, keep_ticks),
            world,
            link,
            random: Random(11),
            steps: 0,
            against: References::NONE,
            since: BTreeMap::new(),
            cache: RowCache::default(),
            decoded: DecodedSnapshot::default(),
            hash: WordHash::new(0, 0),
            rows: 0,
        }
    }

    pub(super) fn step(&mut self) {
        self.world.step();
        self.steps += 1;
        if self.steps.is_multiple_of(self.link.snapshot_ticks()) {
            self.tell();
        }
    }

    /// The digest of all that was written, read and held in this part.
    pub(super) fn finish(self, part: &str) -> u64 {
        assert!(self.rows >= ROWS_MIN, "{part}: {} rows are too few", self.rows);
        self.hash.finish()
    }

    fn newest(&self) -> &Published {
        self.world.history.newest().expect("a tick was published")
    }

    fn tell(&mut self) {
        let section = match self.link {
            Link::Ordered => self.plan_against(),
            Link::Lossy => self.plan_by_slot(false),
        };
        let (plan, own) = (BodyPlan { cues: self.cues(), section }, self.plan_by_slot(true));
        let is_short = self.link == Link::Lossy && self.random.below(2) == 0;
        let limit = if is_short { 700 } else { BODY_BYTES_MAX };
        let header = self.header();
        let (mut body, mut payload) = (EncodedBody::default(), Vec::new());
        let (history, cache) = (&self.world.history, &mut self.cache);
        self.codec.write_body(history, &plan, &payload_of, limit, cache, &mut body);
        let own_written = self.codec.write_snapshot(
            &header,
            history,
            &own,
            OWN_BYTES_MAX,
            None,
            &body,
            cache,
            &mut payload,
        );
        self.fold(payload.iter().map(|byte| u32::from(*byte)));
        if self.link == Link::Lossy && self.random.below(4) == 0 {
            return;
        }
        let near = self.replica.newest_tick().unwrap_or_default();
        let read = self.codec.read_snapshot(&payload, near, &self.replica, &mut self.decoded);
        // A near tick travels as a usual one where there is more to tell.
        let read = read.map(|told| SnapshotHeader { tick_width: header.tick_width, ..told });
        assert_eq!(read, Ok(header), "what was written can be read");
        assert_eq!(self.decoded.cues, plan.cues[..body.cues]);
        let decoded = core::mem::take(&mut self.decoded);
        self.check(&plan.section, body.written, &decoded.view);
        self.check(&own, own_written, &decoded.own);
        self.replica.apply(&decoded);
        self.decoded = decoded;
        let held = self.replica.digest().0;
        self.fold([held as u32, (held >> 32) as u32]);
    }

    fn header(&mut self) -> SnapshotHeader {
        let tick = self.newest().tick();
        let is_datagram = self.link == Link::Lossy;
        let feedback = Feedback {
            newest_input: Some(tick + 3),
            margin_ticks: (self.steps % 7) as i8 - 3,
            substituted: 0,
        };
        SnapshotHeader {
            tick,
            tick_width: match self.link {
                _ if self.replica.newest_tick().is_none() => TickWidth::Full,
                Link::Ordered => TickWidth::Near,
                Link::Lossy => TickWidth::Usual,
            },
            sequence: is_datagram.then_some(Sequence(self.steps as u16)),
            feedback: self.steps.is_multiple_of(4).then_some(feedback),
            own_is_whole: is_datagram,
        }
    }

    fn cues(&mut self) -> Vec<Cue> {
        let tick = self.newest().tick();
        let mut values = [0; COLUMNS_PER_CUE_MAX];
        values[..3].copy_from_slice(&[-500, 7, self.steps as i32]);
        let source = Some(EntityId { slot: 3, generation: 1 });
        let cue = Cue { tick: tick - 2, id: CueId(0), source, nth: self.steps as u8, values };
        if self.random.below(5) == 0 { vec![cue] } else { Vec::new() }
    }

    /// Everything that is news to a receiver of all snapshots before.
    fn plan_against(&mut self) -> SectionPlan {
        let mut plan = SectionPlan { against: self.against, ..SectionPlan::default() };
        plan.leaves = self.leaves(false);
        let now = self.newest().tick();
        let mut since = core::mem::take(&mut self.since);
        for (kind, row, head) in rows(self.newest()) {
            let entered = *since.entry(head.id).or_insert(now);
            let mut references = References::NONE;
            let is_held = |tick: &Tick| !entered.is_newer_than(*tick);
            self.against.ticks().take_while(is_held).for_each(|tick| references.push(tick));
            let planned = PlannedRow { kind, row, sight: Sight::Public, references };
            let changed = self.world.history.track(kind, row as usize).changed(Sight::Public);
            if references.newest().is_none_or(|newest| changed.is_newer_than(newest)) {
                plan.rows.push(planned);
            }
            if !references.is_empty() {
                plan.held.push(planned);
            }
        }
        self.since = since;
        let mut against = References::NONE;
        against.push(now);
        self.against.ticks().for_each(|tick| against.push(tick));
        self.against = against;
        plan
    }

    /// Each row against some of the states that the receiver holds of it.
    fn plan_by_slot(&mut self, is_own_section: bool) -> SectionPlan {
        let sight = if is_own_section { Sight::Own } else { Sight::Public };
        let rows: Vec<_> =
            rows(self.newest()).filter(|(_, _, head)| !is_own_section || is_own(head.id)).collect();
        let mut plan = SectionPlan { leaves: self.leaves(is_own_section), ..SectionPlan::default() };
        for (kind, row, head) in rows {
            let (references, newest_held) = self.references(head.id, is_own_section);
            let changed = self.world.history.track(kind, row as usize).changed(sight);
            let is_news = newest_held.is_none_or(|held| changed.is_newer_than(held));
            if is_news || self.random.below(30) == 0 {
                plan.rows.push(PlannedRow { kind, row, sight, references });
            }
        }
        plan
    }

    /// Some states held of an entity, perhaps old ones; and the newest held.
    fn references(&mut self, id: EntityId, is_own_section: bool) -> (References, Option<Tick>) {
        let now = self.newest().tick();
        let youngest = [1, 1, 20, 90][self.random.below(4) as usize];
        let (mut references, mut newest) = (References::NONE, None);
        for distance in 1..HISTORY_TICKS {
            let tick = now - distance;
            if self.replica.state(is_own_section, id.slot, tick).is_some_and(|held| held.id == id) {
                newest.get_or_insert(tick);
                if distance >= youngest && self.random.below(2) == 0 {
                    references.push(tick);
                }
            }
        }
        (references, newest)
    }

    fn leaves(&self, is_own_section: bool) -> Vec<Leave> {
        let tables = self.newest().tables(Sight::Public);
        let is_gone = |id: &EntityId| tables.iter().all(|(_, table)| table.find(*id).is_none());
        let leave = |id: EntityId| Leave { slot: id.slot, despawned: true };
        if is_own_section {
            self.replica.own().map(Track::id).filter(is_gone).map(leave).collect()
        } else {
            self.replica.view().map(Track::id).filter(is_gone).map(leave).collect()
        }
    }

    /// What was read is what was published.
    fn check(&mut self, plan: &SectionPlan, written: Written, decoded: &DecodedSection) {
        assert_eq!(decoded.leaves, plan.leaves[..written.leaves]);
        assert_eq!(decoded.rows.len(), written.rows);
        for (planned, told) in plan.rows.iter().zip(&decoded.rows) {
            let kind = self.codec.schema().kind(planned.kind);
            let newest = self.newest();
            let table = newest.tables(planned.sight).table(planned.kind);
            let row = table.row(kind, planned.row as usize);
            assert_eq!((told.id, told.kind), (table.heads()[planned.row as usize].id, planned.kind));
            assert_eq!(told.is_whole, planned.references.is_empty());
            assert_eq!(told.is_at_rest, newest.is_at_rest(planned.kind, planned.row as usize));
            let values = &decoded.values[told.values.clone()];
            for (column, value) in values.iter().enumerate() {
                if kind.visible(planned.sight).contains(column) {
                    assert_eq!(*value, row.column(column), "{} column {column}", told.id);
                }
            }
            let word = |tick: Option<Tick>| tick.map_or(0, |tick| tick.0);
            self.fold([told.id.pack(), word(told.held_until), word(told.teleported)]);
            self.fold(values.iter().map(|value| *value as u32));
        }
        self.rows += written.rows;
    }

    fn fold(&mut self, words: impl IntoIterator<Item = u32>) {
        self.hash = words.into_iter().fold(self.hash, WordHash::word);
    }
}

/// Kind, place and head of every row.
fn rows(published: &Published) -> impl Iterator<Item = (KindId, u32, RowHead)> {
    let of_kind = |kind: u8, heads: &[RowHead]| -> Vec<_> {
        heads.iter().enumerate().map(|(row, head)| (KindId(kind), row as u32, *head)).collect()
    };
    published.tables(Sight::Public).iter().flat_map(move |(kind, table)| of_kind(kind.index(), table.heads()))
}

/// Some entities were spawned with bytes.
fn payload_of(id: EntityId) -> Option<Bytes> {
    id.slot.is_multiple_of(5).then(|| Bytes::from(vec![id.slot as u8; usize::from(id.slot % 40) + 1]))
}
