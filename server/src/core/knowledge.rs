//! What one peer is known to hold of one domain (everyone's view, or its own rows), and what it must be sent.
//!
//! No copy of the world: per entity that it is shown the ticks of at most three states that the peer holds. From these and
//! the shared history follow which rows are news to it, and which states a row may name.
//!
//! On an ordered stream a peer that was told all that was news at some tick holds, at that tick, just what was published
//! then. A section told **against** such ticks need not say which rows it tells, nor what they name.

use tickwire_protocol::history::{History, Published};
use tickwire_protocol::limits::{HISTORY_TICKS, ROWS_PER_SNAPSHOT_MAX};
use tickwire_protocol::schema::{Kind, Sight};
use tickwire_protocol::snapshot::replica::table_row_hash;
use tickwire_protocol::snapshot::{Leave, PlannedRow, References, SectionPlan};
use tickwire_protocol::{EntityId, RowHead, Tick};

use super::scene::{Place, row_at};

/// A section is told against ticks while it has at least one row of news for so many rows held, beside
/// [`HELD_ROWS_FREE`]. Of 2,000 bodies, one in 16 of which moves, a body so told has a quarter fewer bytes and takes twice
/// the time to encode. With one in 128 it still has a seventh fewer, but takes ten times the time: every row that is held
/// costs some, and there are few bytes to be saved.
const HELD_ROWS_PER_NEWS: usize = 16;

/// So few rows are always told against ticks: their flags are some bytes, and states that rows at rest name are newer.
const HELD_ROWS_FREE: usize = 64;

/// Room for so many entities is made with the first: what a player sees of a small world, or of a large one.
const KNOWN_AT_FIRST: usize = 32;

/// What a peer knows of the tenant of one slot.
#[derive(Clone, Copy, Debug)]
struct Known {
    id: EntityId,
    sight: Sight,
    /// States that it holds, newest first. None yet while nothing that was sent has been acked.
    states: References,
    /// The hash of the newest of them; what the digest sums.
    hash: u64,
    /// The newest plan that found the entity in view.
    seen: Tick,
    /// When a row of it was last sent, heard of or not.
    sent: Tick,
    /// It holds the entity, with these eyes, from this tick on. Acks of states from before are of no use: the peer has
    /// been told to forget them, or may have been.
    since: Tick,
}

impl Known {
    fn nothing(id: EntityId, sight: Sight, tick: Tick) -> Self {
        Self { id, sight, states: References::NONE, hash: 0, seen: tick, sent: tick, since: tick }
    }

    /// As many of the ticks, newest first, as the peer has held the entity at.
    fn held_at(&self, ticks: References) -> References {
        // Nearly always at all of them.
        if ticks.oldest().is_none_or(|oldest| !self.since.is_newer_than(oldest)) {
            return ticks;
        }
        let mut held = References::NONE;
        ticks.ticks().take_while(|tick| !self.since.is_newer_than(*tick)).for_each(|tick| held.push(tick));
        held
    }
}

/// A row that was sent: to be known when it is acked, or at once on an ordered stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentRow {
    pub(crate) id: EntityId,
    pub(crate) sight: Sight,
    hash: u64,
}

/// Who the peer is, as far as it decides what it sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewer {
    pub(crate) player: Option<tickwire_protocol::PlayerId>,
    /// Whether rows may name states at all.
    pub(crate) delta: bool,
}

impl Viewer {
    pub(crate) fn owns(self, head: &RowHead) -> bool {
        self.player.is_some() && head.owner == self.player
    }

    /// What the peer sees of a row in everyone's view. A viewer without an entity has no team; the owner counts as
    /// of its entity's team.
    pub(crate) fn sight(self, kind: &Kind, head: &RowHead, own_teams: u32) -> Sight {
        if kind.has_team_fields() && (self.owns(head) || head.teams & own_teams != 0) {
            Sight::Team
        } else {
            Sight::Public
        }
    }
}

/// What one peer holds of one domain.
#[derive(Clone, Debug)]
pub(crate) struct Knowledge {
    is_own: bool,
    /// By slot.
    known: Vec<Known>,
    /// Where the next one is likely to be looked for: rows come in the order of slots.
    hint: usize,
    /// By slot: whose leaving the peer knows of. It may keep their states.
    left: Vec<EntityId>,
    digest: u64,
    /// The tick of the last plan.
    planned: Option<Tick>,
    /// Whether the last plan tells of entities of which nothing is known.
    has_newcomers: bool,
    /// Whose rows were passed over before any was sent, by slot, and since when; and who those were the last time.
    waiting: Vec<(EntityId, Tick)>,
    waited: Vec<(EntityId, Tick)>,
    /// A row was sent to which older states that the peer may keep of its entity do not belong: it was told with other
    /// eyes then, or has been away.
    is_broken: bool,
}

impl Knowledge {
    /// Nothing of everyone's view.
    pub(crate) fn of_view() -> Self {
        Self {
            is_own: false,
            known: Vec::new(),
            hint: 0,
            left: Vec::new(),
            digest: 0,
            planned: None,
            has_newcomers: false,
            waiting: Vec::new(),
            waited: Vec::new(),
            is_broken: false,
        }
    }

    /// Nothing of the peer's own rows.
    pub(crate) fn of_own_rows() -> Self {
        Self { is_own: true, ..Self::of_view() }
    }

    /// Whether the peer was told of nobody.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The sum of the hashes of what the peer holds.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    /// Whether the peer may keep states from before what was sent since the last call that do not belong to what it holds
    /// now: ticks from before cannot be told against.
    pub(crate) fn take_broken(&mut self) -> bool {
        core::mem::take(&mut self.is_broken)
    }

    /// Whether the peer was shown this entity by the last plan, as far as it was sent.
    pub(crate) fn was_shown(&self, id: EntityId) -> bool {
        let known = self.place_of(id.slot).ok().map(|place| &self.known[place]);
        known.is_some_and(|known| known.id == id && Some(known.seen) == self.planned)
    }

    fn place_of(&self, slot: u16) -> Result<usize, usize> {
        self.known.binary_search_by_key(&slot, |known| known.id.slot)
    }

    /// As [`Self::place_of`], for slots that are asked for in ascending order, each once or several times.
    fn next_place(&mut self, slot: u16) -> Option<usize> {
        let is_there = |place: &usize| self.known.get(*place).is_some_and(|known| known.id.slot == slot);
        let near = [self.hint, self.hint.wrapping_sub(1)].into_iter().find(is_there);
        let place = near.or_else(|| self.place_of(slot).ok())?;
        self.hint = place + 1;
        Some(place)
    }

    /// Writes down what is news to the peer at the newest tick, at which it is shown `shown`, in the order of the wire.
    ///
    /// `against` are ticks, newest first, at which the peer holds just what was published of what it was shown; the
    /// newest one is that of the last snapshot that it was sent. The plan is told against them if that is likely to be
    /// shorter.
    pub(crate) fn plan(
        &mut self,
        history: &History,
        viewer: Viewer,
        own_teams: u32,
        shown: impl Iterator<Item = Place>,
        against: References,
        plan: &mut SectionPlan,
    ) {
        plan.clear();
        self.has_newcomers = false;
        let Some(newest) = history.newest() else { return };
        self.planned = Some(newest.tick());
        let (mut is_told_anew, mut has_newcomers) = (false, false);
        let tables = newest.tables(Sight::Public);
        let mut before: Option<(_, &Kind, &[RowHead])> = None;
        for Place { kind, row } in shown {
            let (_, of_kind, heads) = match before {
                Some(same @ (of, ..)) if of == kind => same,
                _ => *before.insert((kind, history.schema().kind(kind), tables.table(kind).heads())),
            };
            let head = &heads[row as usize];
            let sight = if self.is_own { Sight::Own } else { viewer.sight(of_kind, head, own_teams) };
            let changed = history.track(kind, row as usize).changed(sight);
            let planned = |references| PlannedRow { kind, row, sight, references };
            match self.find(newest.tick(), head.id, sight) {
                Found::Nothing => {
                    has_newcomers = true;
                    plan.rows.push(planned(References::NONE));
                }
                Found::Another => {
                    is_told_anew = true;
                    plan.rows.push(planned(References::NONE));
                }
                Found::Held(known) => {
                    if !against.is_empty() {
                        plan.held.push(planned(known.held_at(against)));
                    }
                    if let Some(references) = news(newest.tick(), known, changed, viewer.delta) {
                        plan.rows.push(planned(references));
                    }
                }
            }
        }
        self.has_newcomers = has_newcomers;
        self.plan_leaves(newest, plan);
        // A receiver cannot tell that the tenant of a slot, or the eyes, are about to change.
        let is_worth_it = plan.held.len() <= HELD_ROWS_FREE + HELD_ROWS_PER_NEWS * plan.rows.len();
        if against.is_empty() || is_told_anew || !is_worth_it || plan.rows.len() > ROWS_PER_SNAPSHOT_MAX {
            plan.held.clear();
        } else {
            plan.against = against;
            if plan.rows.len() == plan.held.len() && !has_newcomers {
                // All that is held is news: then a row stands where it is held.
                plan.rows.clone_from(&plan.held);
            } else {
                name_ticks_of_section(plan);
            }
        }
    }

    /// What the peer knows of the tenant of a slot that is in view.
    fn find(&mut self, tick: Tick, id: EntityId, sight: Sight) -> Found<'_> {
        let Some(place) = self.next_place(id.slot) else { return Found::Nothing };
        let known = &mut self.known[place];
        known.seen = tick;
        // A replaced tenant is replaced on the other side by the whole row of the new one. A state told to other
        // eyes names columns that the peer does not have, or must forget: the row is sent whole as well.
        if known.id == id && known.sight == sight { Found::Held(known) } else { Found::Another }
    }

    /// Says which entities are gone, or out of view, that the peer may hold a state of.
    fn plan_leaves(&self, newest: &Published, plan: &mut SectionPlan) {
        let tables = newest.tables(Sight::Public);
        for known in self.known.iter().filter(|known| known.seen != newest.tick()) {
            let is_present = tables.iter().any(|(_, table)| table.find(known.id).is_some());
            plan.leaves.push(Leave { slot: known.id.slot, despawned: !is_present });
        }
    }

    /// Not all of these rows may be sent: those of which nothing was sent yet wait from now on, or still.
    pub(crate) fn wait(&mut self, newest: &Published, rows: &[PlannedRow]) {
        core::mem::swap(&mut self.waiting, &mut self.waited);
        self.waiting.clear();
        for row in rows {
            let (head, _) = row_at(newest, Place { kind: row.kind, row: row.row });
            if self.sent_at(head.id).is_none() {
                self.waiting.push((head.id, since(&self.waited, head.id).unwrap_or(newest.tick())));
            }
        }
        self.waiting.sort_unstable_by_key(|(id, _)| id.slot);
    }

    /// All that was news is sent: nobody waits.
    pub(crate) fn wait_no_more(&mut self) {
        self.waiting.clear();
    }

    /// How long ago a row of an entity was last sent, heard of or not; if none was, for how long it has waited. Ticks, at least 1.
    pub(crate) fn waited(&self, now: Tick, id: EntityId) -> u32 {
        let from = self.sent_at(id).or_else(|| since(&self.waiting, id));
        from.map_or(1, |from| now.since(from).max(1).unsigned_abs())
    }

    fn sent_at(&self, id: EntityId) -> Option<Tick> {
        let known = &self.known[self.place_of(id.slot).ok()?];
        (known.id == id).then_some(known.sent)
    }

    /// Notes that these rows are sent, and hands on what each becomes: to be remembered until it is acked.
    pub(crate) fn send(
        &mut self,
        history: &History,
        newest: &Published,
        rows: &[PlannedRow],
        mut note: impl FnMut(SentRow),
    ) {
        if self.has_newcomers {
            self.make_room(newest, rows);
        }
        for row in rows {
            let sent = self.sent_row(history, newest, row);
            self.enter(newest.tick(), &sent);
            note(sent);
        }
    }

    /// Enters all who are not known yet at once: one by one, a view that changes as a whole would cost the square of its size.
    fn make_room(&mut self, newest: &Published, rows: &[PlannedRow]) {
        let (sorted, mut next) = (self.known.len(), 0);
        for row in rows {
            let (head, _) = row_at(newest, Place { kind: row.kind, row: row.row });
            let known = &self.known[..sorted];
            if known.get(next).is_some_and(|known| known.id.slot == head.id.slot) {
                next += 1;
                continue;
            }
            let found = known.binary_search_by_key(&head.id.slot, |known| known.id.slot);
            next = found.map_or_else(|place| place, |place| place + 1);
            if found.is_err() {
                if self.known.is_empty() {
                    self.known.reserve(KNOWN_AT_FIRST);
                }
                self.known.push(Known::nothing(head.id, row.sight, newest.tick()));
            }
        }
        if self.known.len() > sorted {
            self.known.sort_unstable_by_key(|known| known.id.slot);
        }
    }

    /// What a row is that is sent.
    fn sent_row(&self, history: &History, newest: &Published, row: &PlannedRow) -> SentRow {
        let tables = newest.tables(row.sight);
        let table = tables.table(row.kind);
        let index = row.row as usize;
        let hash = match row.sight {
            Sight::Public => history.track(row.kind, index).public_hash,
            sight => table_row_hash(tables.schema().kind(row.kind), table, index, sight, self.is_own),
        };
        SentRow { id: table.heads()[index].id, sight: row.sight, hash }
    }

    /// Where a row that is sent now is noted.
    fn enter(&mut self, tick: Tick, &SentRow { id, sight, .. }: &SentRow) -> Option<usize> {
        let place = self.next_place(id.slot);
        if let Some(place) = place {
            let known = &mut self.known[place];
            if (known.id, known.sight) != (id, sight) {
                self.digest = self.digest.wrapping_sub(known.hash);
                self.is_broken = true;
                *known = Known::nothing(id, sight, tick);
            }
            (known.seen, known.sent) = (tick, tick);
        }
        if !self.left.is_empty()
            && let Ok(place) = self.left.binary_search_by_key(&id.slot, |left| left.slot)
        {
            self.is_broken |= self.left.remove(place) == id;
        }
        place
    }

    /// These rows are sent on a stream that loses nothing: the peer holds them from now on.
    pub(crate) fn hold(&mut self, history: &History, newest: &Published, rows: &[PlannedRow]) {
        if self.has_newcomers {
            self.make_room(newest, rows);
        }
        let tick = newest.tick();
        for row in rows {
            let sent = self.sent_row(history, newest, row);
            let Some(place) = self.enter(tick, &sent) else { continue };
            let known = &mut self.known[place];
            self.digest = self.digest.wrapping_sub(known.hash).wrapping_add(sent.hash);
            known.hash = sent.hash;
            known.states.push_newest(tick);
        }
    }

    /// The peer holds this state from now on.
    pub(crate) fn acked(&mut self, tick: Tick, row: SentRow) {
        let Some(place) = self.next_place(row.id.slot) else { return };
        let known = &mut self.known[place];
        let is_foreign = known.id != row.id || known.sight != row.sight;
        if is_foreign || known.since.is_newer_than(tick) {
            return;
        }
        if known.states.newest().is_none_or(|newest| tick.is_newer_than(newest)) {
            self.digest = self.digest.wrapping_sub(known.hash).wrapping_add(row.hash);
            known.hash = row.hash;
            known.states.push_newest(tick);
            return;
        }
        if known.states.ticks().any(|state| state == tick) {
            return;
        }
        let mut states = References::NONE;
        let mut added = Some(tick);
        for state in known.states.ticks() {
            if let Some(tick) = added.take_if(|tick| tick.is_newer_than(state)) {
                states.push(tick);
            }
            states.push(state);
        }
        if let Some(tick) = added {
            states.push(tick);
        }
        known.states = states;
    }

    /// The peer is told that the tenant of this slot left at `tick`. Whether it hears that or not, nothing that it
    /// held before counts on: should the tenant come back, it is sent whole.
    pub(crate) fn leave_sent(&mut self, tick: Tick, leave: Leave) {
        if let Ok(place) = self.place_of(leave.slot) {
            let known = &mut self.known[place];
            self.digest = self.digest.wrapping_sub(known.hash);
            (known.states, known.hash, known.since) = (References::NONE, 0, tick + 1);
        }
    }

    /// The peer knows that the tenants of these slots left at `tick`. They come in ascending order.
    pub(crate) fn leaves_acked(&mut self, tick: Tick, leaves: &[Leave]) {
        if leaves.is_empty() {
            return;
        }
        let Self { known, left, digest, .. } = self;
        let (mut leaves, sorted) = (leaves.iter().peekable(), left.len());
        known.retain(|known| {
            while leaves.next_if(|leave| leave.slot < known.id.slot).is_some() {}
            let is_told = leaves.peek().is_some_and(|leave| leave.slot == known.id.slot);
            // Not if it has come back since: `seen` is then newer.
            if !is_told || known.seen.is_newer_than(tick) {
                return true;
            }
            *digest = digest.wrapping_sub(known.hash);
            match left[..sorted].binary_search_by_key(&known.id.slot, |left| left.slot) {
                Ok(place) => left[place] = known.id,
                Err(_) => left.push(known.id),
            }
            false
        });
        if left.len() > sorted {
            left.sort_unstable_by_key(|left| left.slot);
        }
    }
}

/// Since when an entity waits, of those that do.
fn since(waiting: &[(EntityId, Tick)], id: EntityId) -> Option<Tick> {
    let place = waiting.binary_search_by_key(&id.slot, |(id, _)| id.slot).ok()?;
    (waiting[place].0 == id).then_some(waiting[place].1)
}

/// What is known of an entity that is in view.
enum Found<'a> {
    /// Nothing of its slot.
    Nothing,
    /// Another tenant of its slot, or the same one seen with other eyes.
    Another,
    Held(&'a Known),
}

/// What a row may name if it is to be sent; nothing if the peer holds its current state.
fn news(tick: Tick, known: &Known, changed: Tick, delta: bool) -> Option<References> {
    let is_current = known.states.newest().is_some_and(|state| !changed.is_newer_than(state));
    if is_current && delta {
        return None;
    }
    let mut references = References::NONE;
    if delta {
        let in_ring = |state: &Tick| (1..HISTORY_TICKS as i32).contains(&tick.since(*state));
        if known.states.newest().as_ref().is_some_and(in_ring)
            && known.states.oldest().as_ref().is_some_and(in_ring)
        {
            return Some(known.states);
        }
        known.states.ticks().filter(in_ring).for_each(|state| references.push(state));
    }
    Some(references)
}

/// Rows of entities that are held name the ticks of the section.
fn name_ticks_of_section(plan: &mut SectionPlan) {
    let place = |row: &PlannedRow| (row.kind, row.row);
    let mut held = plan.held.iter().peekable();
    for row in &mut plan.rows {
        while held.next_if(|held| place(held) < place(row)).is_some() {}
        if let Some(held) = held.next_if(|held| place(held) == place(row)) {
            row.references = held.references;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use tickwire_protocol::schema::{Field, FieldId, FieldType, KindId, Schema};
    use tickwire_protocol::{RowMut, Tables, TickRate};

    const K: KindId = KindId(0);

    fn schema() -> Arc<Schema> {
        let number = Field::new(FieldId(0), "number", FieldType::integer(0..=9_999));
        Schema::builder("known").kind(Kind::new(K, "kind", [number])).build().unwrap()
    }

    /// Publishes rows by slot, each with a number.
    fn publish(history: &mut History, tick: u32, rows: &[(u16, i32)]) {
        let mut tables = Tables::new(history.schema().clone());
        for &(slot, number) in rows {
            let mut row: RowMut<'_> = tables.insert(K, RowHead::new(EntityId { slot, generation: 1 }));
            row.copy_from(&[number]);
        }
        tables.finish();
        history.publish(Tick(tick), &tables);
    }

    fn ticks(ticks: &[u32]) -> References {
        let mut references = References::NONE;
        for tick in ticks {
            references.push(Tick(*tick));
        }
        references
    }

    /// A plan of everyone's view, which is then all known.
    fn tell(knowledge: &mut Knowledge, history: &History, against: &[u32]) -> SectionPlan {
        let (viewer, mut plan) = (Viewer { player: None, delta: true }, SectionPlan::default());
        let newest = history.newest().unwrap();
        let shown = (0..newest.tables(Sight::Public).table(K).len() as u32).map(|row| Place { kind: K, row });
        knowledge.plan(history, viewer, 0, shown, ticks(against), &mut plan);
        knowledge.leaves_acked(newest.tick(), &plan.leaves);
        knowledge.hold(history, newest, &plan.rows);
        plan
    }

    #[test]
    fn a_section_against_ticks_names_what_was_held_at_each() {
        let mut history = History::new(schema(), TickRate::new(60).unwrap());
        let mut knowledge = Knowledge::of_view();
        publish(&mut history, 3, &[(1, 10), (2, 20)]);
        let first = tell(&mut knowledge, &history, &[]);
        assert!(first.against.is_empty() && first.rows.iter().all(|row| row.references.is_empty()));
        publish(&mut history, 4, &[(1, 11), (2, 20), (5, 50)]);
        tell(&mut knowledge, &history, &[3]);
        publish(&mut history, 5, &[(1, 12), (5, 50), (7, 70)]);
        let plan = tell(&mut knowledge, &history, &[4, 3]);
        assert_eq!(plan.against, ticks(&[4, 3]));
        assert_eq!(plan.leaves.iter().map(|leave| leave.slot).collect::<Vec<_>>(), [2]);
        let named =
            |rows: &[PlannedRow]| rows.iter().map(|row| (row.row, row.references)).collect::<Vec<_>>();
        assert_eq!(named(&plan.held), [(0, ticks(&[4, 3])), (1, ticks(&[4]))], "slot 5 came in tick 4");
        assert_eq!(named(&plan.rows), [(0, ticks(&[4, 3])), (2, References::NONE)], "slot 7 comes now");
        assert!(!knowledge.take_broken());
        // One that was away and is back may be kept by the peer as it was.
        publish(&mut history, 6, &[(1, 12), (2, 21), (5, 50), (7, 70)]);
        assert_eq!(named(&tell(&mut knowledge, &history, &[5]).rows), [(1, References::NONE)]);
        assert!(knowledge.take_broken() && !knowledge.take_broken());
    }

    #[test]
    fn few_news_of_many_rows_are_told_by_slot() {
        let mut history = History::new(schema(), TickRate::new(60).unwrap());
        let mut knowledge = Knowledge::of_view();
        let rows = (HELD_ROWS_FREE + 2 * HELD_ROWS_PER_NEWS) as u16;
        let world =
            |moved: u16, number| (0..=rows).map(move |slot| (slot, if slot < moved { number } else { 0 }));
        // Until all are at rest.
        (0..10).for_each(|tick| publish(&mut history, tick, &world(0, 0).collect::<Vec<_>>()));
        for (tick, moved, is_against) in [(10, 0, false), (11, 1, false), (12, 2, false), (13, 3, true)] {
            publish(&mut history, tick, &world(moved, tick as i32).collect::<Vec<_>>());
            let before = [tick - 1];
            let plan = tell(&mut knowledge, &history, if tick == 10 { &[] } else { &before });
            assert_eq!(!plan.against.is_empty(), is_against, "{} news at {tick}", plan.rows.len());
            assert_eq!(plan.held.is_empty(), !is_against);
        }
    }
}
