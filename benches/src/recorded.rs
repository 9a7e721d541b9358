//! Recorded states, and the moments at which a snapshot of them is due: all coders are measured on the same ones.
//!
//! A moment is what a server has at hand then, and the receiver's replica as it was just before. Moments can be encoded and
//! decoded in any order, as often as it takes to measure.

use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::history::{History, Published};
use tickwire_protocol::limits::BODY_BYTES_MAX;
use tickwire_protocol::schema::Sight;
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, Coder, DecodedSnapshot, EncodedBody, PlannedRow, Prior, References, Replica, RowCache,
    SectionPlan, SnapshotHeader, TickWidth,
};
use tickwire_protocol::{EntityId, KindId, PlayerId, RowRef, Schema, Tables, Tick};
use tickwire_sim::arena::{Arena, Level, PLAYER, schema};
use tickwire_sim::bots::{BotBody, BotView, Brain};
use tickwire_sim::{PlayerInputs, World, WorldConfig};

use crate::scene::{self, Load, Scene};
use crate::{SEED, SNAPSHOT_TICKS, TICK_RATE};

/// Ticks before the first moment: by then everything is under way.
const WARM_TICKS: u32 = 4 * TICK_RATE.hz();

/// How long a receiver on an ordered stream keeps states.
const KEEP_TICKS: u32 = 16;

/// The first moments come before the receiver holds as many states as it ever does.
const COLD_MOMENTS: usize = KEEP_TICKS as usize;

/// The states of a world, tick by tick.
#[derive(Clone, Debug)]
pub struct Recorded {
    name: String,
    schema: Arc<Schema>,
    ticks: Vec<Tables>,
}

impl Recorded {
    /// A match of bots in the arena.
    pub fn arena(bots: u32, moments: usize) -> Self {
        let config = WorldConfig { seed: SEED, tick_rate: TICK_RATE, first_tick: Tick(0) };
        let mut world = World::new(Box::new(Arena::new(Level::for_players(bots as usize))), config);
        let mut brains: Vec<_> = (0..bots).map(|bot| Brain::new(SEED << 16 | u64::from(bot))).collect();
        let mut inputs = PlayerInputs::new(schema().clone());
        let step = || {
            think(&world, &mut brains, &mut inputs);
            world.step(&inputs);
            world.tables().clone()
        };
        Self::new(format!("arena_{bots}"), schema(), moments, step)
    }

    /// Bodies that stand, run, jump and tumble.
    pub fn scene(entities: u16, load: Load, moments: usize) -> Self {
        let mut scene = Scene::new(entities, load);
        let step = || {
            scene.step();
            scene.tables().clone()
        };
        Self::new(format!("{}_{entities}", load.name()), scene::schema(), moments, step)
    }

    fn new(name: String, schema: &Arc<Schema>, moments: usize, mut step: impl FnMut() -> Tables) -> Self {
        (0..WARM_TICKS).for_each(|_| drop(step()));
        let count = (moments + COLD_MOMENTS) * SNAPSHOT_TICKS as usize;
        Self { name, schema: schema.clone(), ticks: (0..count).map(|_| step()).collect() }
    }

    /// What it is called in reports.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its rows are made of.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// A codec for its states.
    pub fn codec(&self, coder: Coder, prior: Arc<Prior>) -> Codec {
        Codec::with(self.schema.clone(), TICK_RATE, coder, prior)
    }

    /// Its moments, one after the other.
    pub fn moments(&self) -> impl Iterator<Item = Moment> {
        let mut history = History::new(self.schema.clone(), TICK_RATE);
        let mut replica = Replica::new(self.schema.clone(), KEEP_TICKS);
        let mut against = References::NONE;
        // Every coder arrives at the same replica: this one is merely the quickest.
        let mut writer = Writer::new(self.codec(Coder::Fast, Prior::untrained()));
        let moments = self.ticks.chunks(SNAPSHOT_TICKS as usize).enumerate().map(move |(index, tables)| {
            for (tick, tables) in (1..).zip(tables) {
                history.publish(Tick(index as u32 * SNAPSHOT_TICKS + tick), tables);
            }
            let moment = Moment::new(&history, against, &replica);
            let (mut payload, mut decoded) = (Vec::new(), DecodedSnapshot::default());
            writer.write(&moment, &moment.plan, &mut payload);
            moment.read(&writer.codec, &payload, &mut decoded);
            moment.check(&decoded);
            replica.apply(&decoded);
            replica.drain_changes().for_each(drop);
            let mut newer = References::NONE;
            newer.push(moment.header.tick);
            against.ticks().for_each(|tick| newer.push(tick));
            against = newer;
            moment
        });
        moments.skip(COLD_MOMENTS)
    }
}

/// What each bot wants next.
fn think(world: &World, brains: &mut [Brain], inputs: &mut PlayerInputs) {
    let rows = world.tables().rows(PLAYER);
    let bodies: Vec<_> = rows.map(|(head, row)| (head.owner, BotBody::read(row))).collect();
    inputs.clear();
    let mut others = Vec::new();
    for (player, brain) in (0..).map(PlayerId).zip(brains) {
        let is_own = |owner: Option<PlayerId>| owner == Some(player);
        let own = bodies.iter().find(|(owner, _)| is_own(*owner)).map(|(_, body)| *body);
        others.clear();
        others.extend(bodies.iter().filter(|(owner, _)| !is_own(*owner)).map(|(_, body)| *body));
        let mut row = if own.is_some() { inputs.insert(player) } else { inputs.join(player) };
        brain.think(
            TICK_RATE.dt(),
            &BotView { own, others: &others, targets: &others, level: None },
            &mut row,
        );
    }
}

/// A snapshot that is due.
#[derive(Clone, Debug)]
pub struct Moment {
    /// What was published.
    pub history: History,
    /// What is news to a receiver that got every snapshot before, as a server on an ordered stream plans it.
    pub plan: BodyPlan,
    /// The receiver before it.
    pub replica: Replica,
    header: SnapshotHeader,
}

impl Moment {
    fn new(history: &History, against: References, replica: &Replica) -> Self {
        let Some(newest) = history.newest() else { unreachable!("a tick was just published") };
        let mut section = SectionPlan { against, ..SectionPlan::default() };
        for (kind, table) in newest.tables(Sight::Public).iter() {
            let kind = KindId(kind.index());
            for (row, head) in table.heads().iter().enumerate() {
                let was_there = |tick: &Tick| {
                    let published = history.at(*tick).map(|old| old.tables(Sight::Public).table(kind));
                    published.is_some_and(|table| table.find_near(head.id, row).is_some())
                };
                let mut references = References::NONE;
                against.ticks().take_while(was_there).for_each(|tick| references.push(tick));
                let planned = PlannedRow { kind, row: row as u32, sight: Sight::Public, references };
                let changed = history.track(kind, row).changed(Sight::Public);
                if references.newest().is_none_or(|known| changed.is_newer_than(known)) {
                    section.rows.push(planned);
                }
                if !references.is_empty() {
                    section.held.push(planned);
                }
            }
        }
        let tick_width = if against.is_empty() { TickWidth::Full } else { TickWidth::Near };
        let header = SnapshotHeader {
            tick: newest.tick(),
            tick_width,
            sequence: None,
            feedback: None,
            own_is_whole: false,
        };
        let plan = BodyPlan { cues: Vec::new(), section };
        Self { history: history.clone(), plan, replica: replica.clone(), header }
    }

    /// How many rows are told.
    pub fn rows(&self) -> usize {
        self.plan.section.rows.len()
    }

    /// The rows told: whose, as they were in the newest named state, and as they are.
    ///
    /// # Panics
    /// If one is new: there is no older state of it.
    pub fn updates(&self) -> impl Iterator<Item = (EntityId, RowRef<'_>, RowRef<'_>)> {
        self.plan.section.rows.iter().map(|row| {
            let kind = self.history.schema().kind(row.kind);
            let now = self.newest().tables(row.sight).table(row.kind);
            let known = row.references.newest().and_then(|tick| self.history.at(tick));
            let Some(known) = known else { panic!("row {} is new", row.row) };
            let old = known.tables(row.sight).table(row.kind);
            let id = now.heads()[row.row as usize].id;
            let Some(place) = old.find_near(id, row.row as usize) else { panic!("{id} is new") };
            (id, old.row(kind, place), now.row(kind, row.row as usize))
        })
    }

    /// The plan for a receiver that does not see one of the rows.
    pub fn plan_without(&self, row: u32) -> BodyPlan {
        let mut plan = self.plan.clone();
        plan.section.rows.retain(|planned| planned.row != row);
        plan.section.held.retain(|planned| planned.row != row);
        plan
    }

    /// Decodes a payload against what the receiver holds.
    ///
    /// # Panics
    /// If it cannot be decoded.
    pub fn read(&self, codec: &Codec, payload: &[u8], decoded: &mut DecodedSnapshot) {
        let near = self.replica.newest_tick().unwrap_or_default();
        if let Err(error) = codec.read_snapshot(payload, near, &self.replica, decoded) {
            panic!("a snapshot after tick {near} cannot be read: {error}");
        }
    }

    /// Checks that exactly the rows of the plan were decoded, with every value as published.
    ///
    /// # Panics
    /// If not.
    pub fn check(&self, decoded: &DecodedSnapshot) {
        assert_eq!(decoded.header.map(|header| header.tick), Some(self.header.tick));
        assert_eq!(decoded.view.rows.len(), self.rows());
        for (planned, told) in self.plan.section.rows.iter().zip(&decoded.view.rows) {
            let kind = self.history.schema().kind(planned.kind);
            let table = self.newest().tables(planned.sight).table(planned.kind);
            assert_eq!(told.id, table.heads()[planned.row as usize].id);
            let row = table.row(kind, planned.row as usize);
            let values = &decoded.view.values[told.values.clone()];
            for column in
                (0..kind.column_count()).filter(|&column| kind.visible(planned.sight).contains(column))
            {
                assert_eq!(values[column], row.column(column), "{} column {column}", told.id);
            }
        }
    }

    fn newest(&self) -> &Published {
        match self.history.newest() {
            Some(newest) => newest,
            None => unreachable!("a moment has a tick"),
        }
    }
}

/// Encodes moments; keeps its memory from one to the next.
#[derive(Clone, Debug)]
pub struct Writer {
    codec: Codec,
    cache: RowCache,
    body: EncodedBody,
}

impl Writer {
    /// One that has written nothing.
    pub fn new(codec: Codec) -> Self {
        Self { codec, cache: RowCache::default(), body: EncodedBody::default() }
    }

    /// What it writes with.
    pub fn codec(&self) -> &Codec {
        &self.codec
    }

    /// Appends the payload of a SNAPSHOT frame to `out`. Work on rows is kept until a moment of another tick comes.
    ///
    /// # Panics
    /// If not all of the plan fits.
    pub fn write(&mut self, moment: &Moment, plan: &BodyPlan, out: &mut Vec<u8>) {
        let payload_of = |_: EntityId| -> Option<Bytes> { None };
        let Self { codec, cache, body } = self;
        codec.write_body(&moment.history, plan, &payload_of, BODY_BYTES_MAX, cache, body);
        assert_eq!(body.written.rows, plan.section.rows.len(), "all rows fit");
        let own = SectionPlan::default();
        codec.write_snapshot(&moment.header, &moment.history, &own, 0, None, body, cache, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_tell_of_what_moves_against_three_states() {
        let half = Recorded::scene(40, Load::HalfMoving, 5);
        let moments: Vec<_> = half.moments().collect();
        assert_eq!(moments.len(), 5);
        for moment in &moments {
            assert_eq!(moment.rows(), 20);
            assert_eq!(moment.plan.section.held.len(), 40);
            assert!(moment.plan.section.rows.iter().all(|row| row.references.len() == 3));
            assert!(moment.updates().all(|(_, old, new)| (0..10).any(|c| old.column(c) != new.column(c))));
        }
    }

    #[test]
    fn a_moment_is_read_as_it_was_written_by_both_coders() {
        for moment in Recorded::arena(16, 20).moments() {
            for coder in [Coder::Fast, Coder::Dense] {
                let codec = Codec::with(schema().clone(), TICK_RATE, coder, Prior::untrained());
                let (mut payload, mut decoded) = (Vec::new(), DecodedSnapshot::default());
                Writer::new(codec.clone()).write(&moment, &moment.plan, &mut payload);
                moment.read(&codec, &payload, &mut decoded);
                moment.check(&decoded);
                assert!(moment.rows() > 10);
            }
        }
    }
}
