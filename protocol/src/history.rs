//! The ring of published ticks: what baselines are named from, and what digests are taken from.
//!
//! Simulated, then published (ARCHITECTURE.md, law 4): a field with a send rate or a threshold stays at its last published
//! value until its turn, or until it has moved by the threshold from what was published, and takes its exact value
//! when its row comes to rest. Everything here is shared by all peers of a room.

use std::sync::Arc;

use wide::i32x4;

use crate::limits::HISTORY_TICKS;
use crate::schema::{Column, Field, Kind, KindId, Schema, Sight};
use crate::snapshot::replica::row_hash_start;
use crate::table::{Table, Tables};
use crate::time::{Tick, TickRate};

/// Ticks for which a row must not have changed to count as at rest. Slow motion changes a lattice value only every
/// few ticks; this tells it from standing still.
pub const REST_TICKS: i32 = 4;

/// One published tick.
#[derive(Clone, Debug)]
pub struct Published {
    tick: Tick,
    /// Somebody may name it, for as long as it is in the ring.
    is_kept: bool,
    tables: Tables,
    /// The exact values, kept apart only where the schema lets published ones stay behind.
    simulated: Option<Tables>,
    /// Per kind and row: whether it was at rest.
    rest: Vec<Vec<bool>>,
}

impl Published {
    /// Of nothing yet.
    fn empty(schema: &Arc<Schema>) -> Self {
        let tables = Tables::new(schema.clone());
        let is_lazy = schema.kinds().iter().any(Kind::is_lazy);
        let rest = schema.kinds().iter().map(|_| Vec::new()).collect();
        Self {
            tick: Tick::default(),
            is_kept: false,
            simulated: is_lazy.then(|| tables.clone()),
            tables,
            rest,
        }
    }

    /// Which tick.
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// What a peer with this sight is told: the published values, or for its own rows the simulated ones.
    pub fn tables(&self, sight: Sight) -> &Tables {
        match (&self.simulated, sight) {
            (Some(simulated), Sight::Own | Sight::Beside) => simulated,
            _ => &self.tables,
        }
    }

    /// Whether each row of a kind was at rest.
    pub(crate) fn rest(&self, kind: KindId) -> &[bool] {
        &self.rest[usize::from(kind.0)]
    }

    /// Whether this row was at rest.
    pub fn is_at_rest(&self, kind: KindId, row: usize) -> bool {
        self.rest[usize::from(kind.0)][row]
    }
}

/// What the newest tick knows of a row's past.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RowTrack {
    changed: [Tick; Sight::ALL.len()],
    simulated_changed: Tick,
    /// Whether it has been still for [`REST_TICKS`], with its exact values published.
    pub is_at_rest: bool,
    /// The last tick of its latest rest that has ended, as long as a row can still tell it.
    pub held_until: Option<Tick>,
    /// The last tick in which it jumped.
    pub teleported: Option<Tick>,
    /// The row's hash in the digest of whoever sees what everyone is told.
    pub public_hash: u64,
}

impl RowTrack {
    fn new(tick: Tick) -> Self {
        Self {
            changed: [tick; Sight::ALL.len()],
            simulated_changed: tick,
            is_at_rest: false,
            held_until: None,
            teleported: None,
            public_hash: 0,
        }
    }

    /// The newest tick in which anything changed that this sight is told: a state known from then on is current.
    pub fn changed(&self, sight: Sight) -> Tick {
        self.changed[sight as usize]
    }
}

/// Ticks that were given up, of which the memory is kept for the next ones. Where every third is named two wait for that; where now and then
/// somebody is told out of turn, as a budget or a link allows, so many more or fewer are named from one second to the next.
const SPARES_MAX: usize = 16;

/// The last [`HISTORY_TICKS`] published ticks of a room.
#[derive(Clone, Debug)]
pub struct History {
    schema: Arc<Schema>,
    rate: TickRate,
    ring: Vec<Option<Box<Published>>>,
    /// How old a tick is when it is given up, unless somebody may name it.
    thinned_after: u32,
    #[expect(clippy::vec_box, reason = "the ring's boxes, which go back into it as they are")]
    spares: Vec<Box<Published>>,
    newest: Option<Tick>,
    /// Per kind and row of the newest tick.
    tracks: Vec<Vec<RowTrack>>,
    /// Per kind: since which tick the same entities have had the same rows.
    settled: Vec<Tick>,
    /// Whether published values stay behind simulated ones where the schema says so.
    holds_back: bool,
    scratch: Scratch,
}

/// Buffers that publishing reuses.
#[derive(Clone, Debug, Default)]
struct Scratch {
    tracks: Vec<RowTrack>,
    /// Per row: where the entity was in the tick before.
    previous_rows: Vec<Option<u32>>,
    /// Per row: which columns differ from the tick before, published and simulated.
    published_changes: Vec<u64>,
    simulated_changes: Vec<u64>,
}

impl History {
    /// An empty ring.
    pub fn new(schema: Arc<Schema>, rate: TickRate) -> Self {
        let tracks = schema.kinds().iter().map(|_| Vec::new()).collect();
        let settled = vec![Tick(0); schema.kinds().len()];
        let ring = (0..HISTORY_TICKS).map(|_| None).collect();
        Self {
            schema,
            rate,
            ring,
            thinned_after: HISTORY_TICKS,
            spares: Vec::with_capacity(SPARES_MAX),
            newest: None,
            tracks,
            settled,
            holds_back: true,
            scratch: Scratch::default(),
        }
    }

    /// Gives up what is older than so many ticks, but for those that [were kept](Self::keep_newest).
    pub fn thinned_after(mut self, ticks: u32) -> Self {
        self.thinned_after = ticks.clamp(1, HISTORY_TICKS);
        self
    }

    /// Publishes everything as it comes: what is replayed was held back when it was published first.
    pub fn without_holding_back(mut self) -> Self {
        self.holds_back = false;
        self
    }

    /// What the tables are made of.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Steps a second of the room.
    pub fn rate(&self) -> TickRate {
        self.rate
    }

    /// The newest published tick.
    pub fn newest(&self) -> Option<&Published> {
        self.at(self.newest?)
    }

    /// Somebody is told of the newest tick, and may name it for as long as it can be named.
    pub fn keep_newest(&mut self) {
        let Some(tick) = self.newest else { return };
        self.ring[slot_of(tick)].iter_mut().for_each(|newest| newest.is_kept = true);
    }

    /// A published tick, while it is in the ring.
    pub fn at(&self, tick: Tick) -> Option<&Published> {
        let entry = self.ring[slot_of(tick)].as_deref()?;
        (entry.tick == tick).then_some(entry)
    }

    /// What the newest tick knows of the past of one of its rows.
    pub fn track(&self, kind: KindId, row: usize) -> &RowTrack {
        &self.tracks[usize::from(kind.0)][row]
    }

    /// The same of all rows of a kind.
    pub(crate) fn tracks(&self, kind: KindId) -> &[RowTrack] {
        &self.tracks[usize::from(kind.0)]
    }

    /// Whether the entities of a kind have had the rows that they have now at this tick, and since.
    pub(crate) fn is_settled_since(&self, kind: KindId, tick: Tick) -> bool {
        !self.settled[usize::from(kind.0)].is_newer_than(tick)
    }

    /// Publishes a tick, newer than every one before. Nothing is allocated once the ring is full and tables have
    /// grown to their size.
    pub fn publish(&mut self, tick: Tick, simulated: &Tables) {
        let mut entry = self.make_place(tick);
        (entry.tick, entry.is_kept) = (tick, false);
        entry.tables.copy_from(simulated);
        if let Some(kept) = &mut entry.simulated {
            kept.copy_from(simulated);
        }
        let schema = self.schema.clone();
        for kind in schema.kinds() {
            self.publish_kind(kind, tick, &mut entry);
        }
        self.ring[slot_of(tick)] = Some(entry);
        self.newest = Some(tick);
    }

    /// Gives up the tick that leaves the ring, and the one that is thinned out; memory for a new one.
    fn make_place(&mut self, tick: Tick) -> Box<Published> {
        let thinned = self.ring[slot_of(tick - self.thinned_after)].take_if(|entry| !entry.is_kept);
        let oldest = self.ring[slot_of(tick)].take();
        let free = SPARES_MAX - self.spares.len();
        self.spares.extend(thinned.into_iter().chain(oldest).take(free));
        self.spares.pop().unwrap_or_else(|| Box::new(Published::empty(&self.schema)))
    }

    fn publish_kind(&mut self, kind: &Kind, tick: Tick, entry: &mut Published) {
        let id = KindId(kind.index());
        let mut scratch = core::mem::take(&mut self.scratch);
        let previous = self.newest.and_then(|newest| self.at(newest));
        let old_tracks = &self.tracks[usize::from(kind.index())];
        match previous {
            Some(previous) => {
                let simulated = entry.simulated.as_ref().unwrap_or(&entry.tables).table(id);
                scratch.match_rows(previous.tables.table(id), simulated);
                scratch.compare(previous.tables(Sight::Own).table(id), simulated, true);
            }
            None => scratch.all_new(entry.tables.table(id).len()),
        }
        let is_settled = scratch.is_settled(previous.map_or(0, |previous| previous.tables.table(id).len()));
        scratch.tracks.clear();
        for (row, head) in entry.tables.table(id).heads().iter().enumerate() {
            let old = scratch.previous_rows[row].map(|row| old_tracks[row as usize]);
            let mut track = old.unwrap_or_else(|| RowTrack::new(tick));
            if scratch.simulated_changes[row] != 0 {
                track.simulated_changed = tick;
            }
            if head.teleported {
                track.teleported = Some(tick);
            }
            let is_at_rest = old.is_some() && tick.since(track.simulated_changed) >= REST_TICKS;
            track.held_until = track.held_until.filter(|until| tick.since(*until) < HISTORY_TICKS as i32);
            if track.is_at_rest && !is_at_rest {
                track.held_until = previous.map(Published::tick);
            }
            track.is_at_rest = is_at_rest;
            scratch.tracks.push(track);
        }
        match previous {
            Some(previous) if kind.is_lazy() && self.holds_back => {
                let turn = Turn { tick, hz: self.rate.hz() };
                hold_back(kind, turn, previous.tables.table(id), entry.tables.table_mut(id), &scratch);
                scratch.compare(previous.tables.table(id), entry.tables.table(id), false);
            }
            _ => scratch.published_changes.clone_from(&scratch.simulated_changes),
        }
        scratch.note_changes(kind, tick, old_tracks);
        scratch.hash_rows(kind, entry.tables.table(id));
        let rest = &mut entry.rest[usize::from(kind.index())];
        rest.clear();
        rest.extend(scratch.tracks.iter().map(|track| track.is_at_rest));
        core::mem::swap(&mut self.tracks[usize::from(kind.index())], &mut scratch.tracks);
        if !is_settled {
            self.settled[usize::from(kind.index())] = tick;
        }
        self.scratch = scratch;
    }
}

impl Scratch {
    fn all_new(&mut self, rows: usize) {
        self.previous_rows.clear();
        self.previous_rows.resize(rows, None);
        self.published_changes.clear();
        self.published_changes.resize(rows, u64::MAX);
        self.simulated_changes.clear();
        self.simulated_changes.resize(rows, u64::MAX);
    }

    /// Finds each row's entity in the table before: both ascend, so one walk does.
    fn match_rows(&mut self, previous: &Table, current: &Table) {
        self.all_new(0);
        let mut older = previous.heads().iter().enumerate().peekable();
        for head in current.heads() {
            while older.next_if(|(_, old)| old.id < head.id).is_some() {}
            let same = older.peek().filter(|(_, old)| old.id == head.id).map(|&(row, _)| row as u32);
            self.previous_rows.push(same);
        }
    }

    /// Whether each row is where it was in the tick before, which had so many.
    fn is_settled(&self, previous: usize) -> bool {
        self.previous_rows.len() == previous
            && self.previous_rows.iter().zip(0..).all(|(old, row)| *old == Some(row))
    }

    /// Notes, per row, the columns that differ from the tick before.
    fn compare(&mut self, previous: &Table, current: &Table, simulated: bool) {
        let changes = if simulated { &mut self.simulated_changes } else { &mut self.published_changes };
        changes.clear();
        changes.extend(self.previous_rows.iter().enumerate().map(|(row, old)| match old {
            Some(old) => differences(previous.values(*old as usize), current.values(row)),
            None => u64::MAX,
        }));
    }

    /// Hashes what everyone is told of each row that changed: once for all the digests that sum it.
    fn hash_rows(&mut self, kind: &Kind, table: &Table) {
        let visible = kind.visible(Sight::Public).0;
        for (row, (track, changes)) in self.tracks.iter_mut().zip(&self.published_changes).enumerate() {
            if changes & visible == 0 && self.previous_rows[row].is_some() {
                continue;
            }
            let start = row_hash_start(kind, table.heads()[row].id, false);
            let (values, mut hash, mut left) = (table.values(row), start, visible);
            while left != 0 {
                hash = hash.word(values[left.trailing_zeros() as usize] as u32);
                left &= left - 1;
            }
            track.public_hash = hash.finish();
        }
    }

    /// Dates the newest change per sight. Coming to rest, and leaving it, are changes too, but not of what is told beside a row that
    /// says so.
    fn note_changes(&mut self, kind: &Kind, tick: Tick, old_tracks: &[RowTrack]) {
        let visible = Sight::ALL.map(|sight| (sight, kind.visible(sight).0));
        for (row, track) in self.tracks.iter_mut().enumerate() {
            let previous = self.previous_rows[row];
            let was_at_rest = previous.is_some_and(|old| old_tracks[old as usize].is_at_rest);
            let turned =
                previous.is_none() || was_at_rest != track.is_at_rest || track.teleported == Some(tick);
            for (sight, visible) in visible {
                let changes = if sight.is_own() { &self.simulated_changes } else { &self.published_changes };
                let has_turned = turned && (sight != Sight::Beside || previous.is_none());
                if has_turned || changes[row] & visible != 0 {
                    track.changed[sight as usize] = tick;
                }
            }
        }
    }
}

/// Where a tick stands in the ring.
fn slot_of(tick: Tick) -> usize {
    (tick.0 % HISTORY_TICKS) as usize
}

/// A bit for each column in which two rows differ.
fn differences(old: &[i32], new: &[i32]) -> u64 {
    let (old_fours, old_rest) = old.as_chunks();
    let (new_fours, new_rest) = new.as_chunks();
    let mut mask = 0;
    for (place, (old, new)) in old_fours.iter().zip(new_fours).enumerate() {
        let equal = i32x4::new(*old).simd_eq(i32x4::new(*new)).to_bitmask();
        mask |= u64::from(!equal & 0b1111) << (4 * place);
    }
    for (place, (old, new)) in old_rest.iter().zip(new_rest).enumerate() {
        mask |= u64::from(old != new) << (4 * old_fours.len() + place);
    }
    mask
}

/// When a send rate's turn comes.
#[derive(Clone, Copy)]
struct Turn {
    tick: Tick,
    hz: u32,
}

impl Turn {
    fn is_due(self, rate_hz: Option<u16>) -> bool {
        rate_hz.is_none_or(|rate| {
            // Rounded up: 25 Hz at 60 steps a second is every third step, not every second.
            let interval = self.hz.div_ceil(u32::from(rate));
            self.tick.0.is_multiple_of(interval)
        })
    }
}

/// Puts back to the published value what is not to be published yet. Field by field: the columns of a vector or a
/// rotation mean something only together.
fn hold_back(kind: &Kind, turn: Turn, previous: &Table, current: &mut Table, scratch: &Scratch) {
    for field in kind.fields().iter().filter(|field| field.is_lazy()) {
        let is_due = turn.is_due(field.rate_hz);
        for (row, old) in scratch.previous_rows.iter().enumerate() {
            let Some(old) = old.map(|old| old as usize) else { continue };
            // What has jumped is where it is now: held back, it would be seen to slide there later.
            let is_exact = scratch.tracks[row].is_at_rest || current.heads()[row].teleported;
            let (old, new) = (previous.values(old), current.values_mut(row));
            if !(is_exact || is_due && has_moved(kind, field, old, new)) {
                new[field.columns()].copy_from_slice(&old[field.columns()]);
            }
        }
    }
}

/// Whether a field is its threshold away from what was published, on any of its columns.
fn has_moved(kind: &Kind, field: &Field, old: &[i32], new: &[i32]) -> bool {
    field.columns().any(|column| {
        let shape = &kind.columns()[column];
        distance(shape, old[column], new[column]) >= shape.threshold.max(1)
    })
}

/// Steps between two values; around the circle where that is shorter.
fn distance(column: &Column, a: i32, b: i32) -> u32 {
    let direct = a.abs_diff(b);
    if column.wraps { direct.min((1 << column.bits) - direct) } else { direct }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::EntityId;
    use crate::schema::{FieldId, FieldType};
    use crate::table::RowHead;

    const K: KindId = KindId(0);
    const EXACT: FieldId = FieldId(0);
    const SLOW: FieldId = FieldId(1);
    const ROUGH: FieldId = FieldId(2);
    const SECRET: FieldId = FieldId(3);

    fn history() -> History {
        let any = || FieldType::integer(-1000..=1000);
        let fields = [
            Field::new(EXACT, "exact", any()),
            Field::new(SLOW, "slow", any()).rate_hz(10),
            Field::new(ROUGH, "rough", any()).threshold(5.0),
            Field::new(SECRET, "secret", any()).owner_only(),
        ];
        let schema = Schema::builder("h").kind(Kind::new(K, "k", fields)).build().unwrap();
        History::new(schema, TickRate::new(60).unwrap())
    }

    fn publish(history: &mut History, tick: u32, values: [i32; 4]) -> [i32; 4] {
        let mut tables = Tables::new(history.schema().clone());
        let head = RowHead::new(EntityId { slot: 3, generation: 1 });
        tables.insert(K, head).copy_from(&values);
        tables.finish();
        history.publish(Tick(tick), &tables);
        let newest = history.newest().unwrap();
        assert!(*newest.tables(Sight::Own) == tables, "own rows are exact");
        let mut published = [0; 4];
        newest.tables(Sight::Public).table(K).row(history.schema().kind(K), 0).copy_to(&mut published);
        published
    }

    #[test]
    fn rates_wait_for_their_turn_and_thresholds_for_their_distance() {
        let mut history = history();
        assert_eq!(publish(&mut history, 60, [0, 0, 0, 0]), [0, 0, 0, 0]);
        assert_eq!(publish(&mut history, 61, [1, 1, 1, 1]), [1, 0, 0, 1]);
        assert_eq!(publish(&mut history, 65, [2, 2, 4, 2]), [2, 0, 0, 2]);
        assert_eq!(publish(&mut history, 66, [3, 3, 5, 3]), [3, 3, 5, 3], "six ticks on, five steps away");
        assert_eq!(publish(&mut history, 67, [4, 4, 9, 4]), [4, 3, 5, 4], "measured from what was published");
    }

    #[test]
    fn what_comes_to_rest_is_published_exactly_and_dated_once() {
        let mut history = history();
        publish(&mut history, 0, [0, 0, 0, 0]);
        publish(&mut history, 1, [7, 7, 3, 0]);
        for tick in 2..5 {
            assert_eq!(publish(&mut history, tick, [7, 7, 3, 0]), [7, 0, 0, 0]);
            assert!(!history.track(K, 0).is_at_rest);
        }
        for tick in 5..20 {
            assert_eq!(publish(&mut history, tick, [7, 7, 3, 0]), [7, 7, 3, 0]);
            assert!(history.track(K, 0).is_at_rest);
            assert_eq!(
                history.track(K, 0).changed(Sight::Public),
                Tick(5),
                "nothing new after coming to rest"
            );
        }
        publish(&mut history, 20, [8, 7, 3, 0]);
        let track = history.track(K, 0);
        assert_eq!((track.is_at_rest, track.held_until), (false, Some(Tick(19))));
        assert_eq!(track.changed(Sight::Public), Tick(20));
        for tick in 21..=19 + HISTORY_TICKS {
            publish(&mut history, tick, [8, 7, 3, 0]);
            let until = history.track(K, 0).held_until;
            assert_eq!(until, (tick < 19 + HISTORY_TICKS).then_some(Tick(19)), "{tick}");
        }
        assert!(history.track(K, 0).is_at_rest, "again");
    }

    #[test]
    fn a_rate_is_not_exceeded() {
        let due = |hz, rate| (0..60).filter(|&tick| Turn { tick: Tick(tick), hz }.is_due(Some(rate))).count();
        assert_eq!([due(60, 10), due(60, 60), due(60, 200)], [10, 60, 60]);
        assert_eq!([due(60, 25), due(60, 40)], [20, 30], "what does not divide the tick rate");
    }

    #[test]
    fn what_jumps_is_published_exactly_at_once() {
        let mut history = history();
        publish(&mut history, 0, [0, 0, 0, 0]);
        let mut tables = Tables::new(history.schema().clone());
        let head = RowHead::new(EntityId { slot: 3, generation: 1 }).teleported(true);
        tables.insert(K, head).copy_from(&[0, 9, 4, 0]);
        tables.finish();
        history.publish(Tick(1), &tables);
        let published = history.newest().unwrap().tables(Sight::Public).table(K);
        assert_eq!(
            (published.values(0)[1], published.values(0)[2]),
            (9, 4),
            "neither rate nor threshold holds it back"
        );
    }

    #[test]
    fn a_secret_change_is_news_to_its_owner_alone() {
        let mut history = history();
        publish(&mut history, 0, [0, 0, 0, 0]);
        publish(&mut history, 1, [0, 0, 0, 9]);
        let track = *history.track(K, 0);
        assert_eq!(track.changed(Sight::Public), Tick(0));
        assert_eq!(track.changed(Sight::Own), Tick(1));
        publish(&mut history, 2, [0, 1, 0, 9]);
        let track = *history.track(K, 0);
        assert_eq!(track.changed(Sight::Public), Tick(0), "held back by its rate");
        assert_eq!(track.changed(Sight::Own), Tick(2), "the owner gets it as simulated");
    }

    #[test]
    fn the_ring_forgets_after_its_length_across_the_wrap_of_ticks() {
        let mut history = history();
        let first = u32::MAX - 50;
        for step in 0..200_u32 {
            publish(&mut history, first.wrapping_add(step), [step as i32, 0, 0, 0]);
        }
        let newest = Tick(first) + 199;
        assert_eq!(history.newest().unwrap().tick(), newest);
        assert!(history.at(newest - (HISTORY_TICKS - 1)).is_some());
        assert!(history.at(newest - HISTORY_TICKS).is_none());
    }

    #[test]
    fn what_nobody_may_name_is_thinned_out_and_the_rest_is_as_it_was() {
        const DENSE: u32 = 10;
        let (mut whole, mut thinned) = (history(), history().thinned_after(DENSE));
        let first = Tick(u32::MAX - 200);
        for step in 0..600_u32 {
            let (tick, values) = (first + step, [step as i32 % 7, step as i32, 0, step as i32 / 5]);
            publish(&mut whole, tick.0, values);
            publish(&mut thinned, tick.0, values);
            // Now and then one out of turn, and for a while all of them.
            let is_kept = |step: u32| step.is_multiple_of(3) || step % 50 == 7 || (300..350).contains(&step);
            if is_kept(step) {
                thinned.keep_newest();
            }
            for age in 0..=step.min(HISTORY_TICKS) {
                let [all, left] = [&whole, &thinned].map(|history| history.at(tick - age));
                let is_there = age < HISTORY_TICKS && (age < DENSE || is_kept(step - age));
                assert_eq!(left.is_some(), is_there, "{age} before {step}");
                let same = |(all, left): (&Published, &Published)| {
                    all.tables == left.tables && all.simulated == left.simulated && all.rest == left.rest
                };
                assert!(all.zip(left).is_none_or(same), "{age} before {step}");
            }
        }
    }
}
