//! What is to be seen of one entity: its states, and when it was away, from the view's moment on.
//!
//! ```text
//!  tick      100      103      106        112      115
//!  state      A        B       away        C        D         shown: A..B, B until 106, nothing, C..D, D
//! ```
//!
//! Between two states the view goes from one to the other, unless the newer one says otherwise: the older one was
//! held for a while (it had come to rest), or the entity jumped: then it goes on from the older one until the jump, and from there
//! on the way to the newer.

use bytes::Bytes;
use glam::Vec3;
use tickwire_protocol::limits::{HISTORY_TICKS, VIEW_ENTRY_WORDS};
use tickwire_protocol::schema::{FieldId, Kind, Sight};
use tickwire_protocol::snapshot::DecodedRow;
use tickwire_protocol::{EntityId, Micros, RowRef, Tick, TickTime};

/// Entries of a timeline, at most. Of what is kept by age there is never so much; ticks that no server sends can be in no
/// order by age.
pub(crate) const ENTRIES_MAX: usize = 3 * HISTORY_TICKS as usize;

/// Fields of one entity whose differences fade; of further ones they vanish at once.
pub(crate) const FADING_FIELDS_MAX: usize = 2;

const _: () = assert!(size_of::<Entry>() <= VIEW_ENTRY_WORDS * size_of::<i32>());

/// Something that begins at a tick and lasts until the next entry.
#[derive(Clone, Copy, Debug)]
struct Entry {
    tick: Tick,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    State(State),
    Away { despawned: bool },
}

/// What was told of a state beside its values.
#[derive(Clone, Copy, Debug)]
struct State {
    sight: Sight,
    is_at_rest: bool,
    held_until: Option<Tick>,
    teleported: Option<Tick>,
}

impl Entry {
    fn is_present(&self) -> bool {
        matches!(self.what, What::State(_))
    }
}

/// A moment between two states of a timeline, or at one of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Blend {
    /// Index of the older state.
    from: usize,
    /// Index of the newer one.
    to: usize,
    /// How far from one to the other, 0 to 1.
    pub(crate) fraction: f32,
    /// How long the way from one to the other takes, ticks.
    pub(crate) span: u32,
    /// Whether the older one lasted for a while and then began to move.
    pub(crate) is_from_rest: bool,
    /// How far beyond a state after which nothing is known, ticks: the newest, or the last before a jump; below 0, how far before
    /// the first state after a jump. 0 if the state is known to last.
    pub(crate) beyond: f32,
}

impl Blend {
    /// One state as it is.
    fn hold(index: usize) -> Self {
        Self { from: index, to: index, fraction: 0.0, span: 0, is_from_rest: false, beyond: 0.0 }
    }
}

/// Differences that a picture had from what turned out to be so, and that fade.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fading {
    /// When the view was set right, by the client's clock.
    pub(crate) settled: Micros,
    /// What it showed then.
    pub(crate) since: TickTime,
    /// The tick at which the entity jumps next: from then on there is nothing to fade.
    pub(crate) until: Option<Tick>,
    /// What fades, field by field.
    pub(crate) fields: [Option<Fade>; FADING_FIELDS_MAX],
}

/// The difference of one field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Fade {
    pub(crate) field: FieldId,
    /// By how much it was wrong.
    pub(crate) difference: Vec3,
    /// Which share of that vanishes a tick until the next state is due, when all is settled anew.
    pub(crate) soon: f32,
    /// And from then on, if that state does not come.
    pub(crate) later: f32,
}

impl Fade {
    /// Of a field that was set right at once: nothing of the difference is left.
    pub(crate) fn at_once(field: FieldId) -> Self {
        Self { field, difference: Vec3::ZERO, soon: 0.0, later: 0.0 }
    }
}

/// The states of one entity.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    id: EntityId,
    payload: Option<Bytes>,
    /// Oldest first, at different ticks.
    entries: Vec<Entry>,
    /// The columns of all entries, entry by entry; those of an absence mean nothing.
    values: Vec<i32>,
    columns: usize,
    /// Whether there was something before the first entry.
    is_cut: bool,
    /// Whether the game was told that it is in view.
    pub(crate) is_announced: bool,
    pub(crate) fading: Option<Fading>,
}

/// A change of presence that an entry brings about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Edge {
    pub(crate) tick: Tick,
    pub(crate) enters: bool,
}

impl Timeline {
    /// An entity of which nothing is known.
    pub(crate) fn new(id: EntityId, columns: usize) -> Self {
        let (entries, values) = (Vec::new(), Vec::new());
        Self { id, payload: None, entries, values, columns, is_cut: false, is_announced: false, fading: None }
    }

    pub(crate) fn id(&self) -> EntityId {
        self.id
    }

    /// What it was spawned with.
    pub(crate) fn payload(&self) -> Option<&Bytes> {
        self.payload.as_ref()
    }

    /// Adds a state. What lies before `oldest`, and does not last until then, is forgotten.
    pub(crate) fn insert_state(
        &mut self,
        tick: Tick,
        row: &DecodedRow,
        values: &[i32],
        oldest: Tick,
    ) -> [Option<Edge>; 2] {
        if row.is_whole {
            self.payload.clone_from(&row.payload);
        }
        let &DecodedRow { sight, is_at_rest, held_until, teleported, .. } = row;
        let what = What::State(State { sight, is_at_rest, held_until, teleported });
        let edges = self.insert(Entry { tick, what }, values);
        self.forget_before(oldest);
        edges
    }

    /// Adds that it is not in view from `tick` on. Kept even if it is away then anyway: a late state from between the two
    /// absences lasts until the second.
    pub(crate) fn insert_absence(&mut self, tick: Tick, despawned: bool) -> [Option<Edge>; 2] {
        if self.entries.is_empty() {
            return [None; 2];
        }
        let edges = self.insert(Entry { tick, what: What::Away { despawned } }, &[]);
        self.keep_newest(ENTRIES_MAX);
        edges
    }

    fn insert(&mut self, entry: Entry, values: &[i32]) -> [Option<Edge>; 2] {
        let was_present = self.at(entry.tick).map_or(self.is_cut, |before| self.entries[before].is_present());
        let place = self.place(entry, values);
        let enters = entry.is_present();
        if was_present == enters {
            return [None; 2];
        }
        let next = self.entries.get(place + 1).filter(|next| next.is_present() != enters);
        [Some(Edge { tick: entry.tick, enters }), next.map(|next| Edge { tick: next.tick, enters: !enters })]
    }

    /// Every change of presence, oldest first; what was before the first entry counts as unknown.
    pub(crate) fn edges(&self) -> impl Iterator<Item = Edge> {
        let mut before = None;
        self.entries.iter().filter_map(move |entry| {
            let enters = entry.is_present();
            (before.replace(enters) != Some(enters)).then_some(Edge { tick: entry.tick, enters })
        })
    }

    /// Puts an entry where it belongs by its tick, in place of another of the same; says where.
    fn place(&mut self, entry: Entry, values: &[i32]) -> usize {
        let is_newest = self.entries.last().is_none_or(|last| entry.tick.is_newer_than(last.tick));
        let place = if is_newest {
            self.entries.len()
        } else {
            self.entries.partition_point(|held| entry.tick.is_newer_than(held.tick))
        };
        let at = place * self.columns;
        if self.entries.get(place).is_none_or(|held| held.tick != entry.tick) {
            self.entries.insert(place, entry);
            let end = self.values.len();
            self.values.resize(end + self.columns, 0);
            self.values.copy_within(at..end, at + self.columns);
        }
        self.entries[place] = entry;
        self.values[at..at + values.len()].copy_from_slice(values);
        place
    }

    fn forget_before(&mut self, oldest: Tick) {
        let forgotten = self.at(oldest).unwrap_or(0);
        // An absence at the front says nothing that no entry would not say; the last entry says how it is now.
        let is_away = self.entries.get(forgotten).is_some_and(|entry| !entry.is_present());
        let forgotten = (forgotten + usize::from(is_away)).min(self.entries.len().saturating_sub(1));
        // By half, not one by one: what stays behind has to move up.
        if forgotten * 2 >= self.entries.len() {
            self.drop_oldest(forgotten);
        }
        self.keep_newest(ENTRIES_MAX);
    }

    /// Forgets all but the newest `count` entries.
    pub(crate) fn keep_newest(&mut self, count: usize) {
        self.drop_oldest(self.entries.len().saturating_sub(count));
    }

    fn drop_oldest(&mut self, count: usize) {
        let Some(last) = count.checked_sub(1).and_then(|last| self.entries.get(last)) else { return };
        self.is_cut = last.is_present();
        self.entries.drain(..count);
        self.values.drain(..count * self.columns);
        // What was once crowded must not stay large: only what is kept is counted.
        let kept = self.entries.len();
        if self.entries.capacity() > 4 * kept.max(4) {
            self.entries.shrink_to(2 * kept);
            self.values.shrink_to(2 * kept * self.columns);
        }
    }

    /// How much is kept, in the unit of [`VIEW_WORDS_MAX`](tickwire_protocol::limits::VIEW_WORDS_MAX).
    pub(crate) fn words(&self) -> usize {
        self.entries.len() * (self.columns + VIEW_ENTRY_WORDS)
    }

    /// Whether it is away from `tick` on, as far as is known.
    pub(crate) fn is_over(&self, tick: Tick) -> bool {
        let end = self.entries.iter().rposition(Entry::is_present).map_or(0, |last| last + 1);
        match self.entries.get(end) {
            Some(away) => !away.tick.is_newer_than(tick),
            None => self.entries.is_empty(),
        }
    }

    /// Why it is away at `tick`, if it is: whether it is gone from the world.
    pub(crate) fn is_despawned(&self, tick: Tick) -> bool {
        let entry = self.at(tick).map(|index| self.entries[index].what);
        matches!(entry, Some(What::Away { despawned: true }))
    }

    /// Whether a state of `tick` that is added now changes what the view shows at `view`.
    pub(crate) fn is_seen(&self, tick: Tick, view: TickTime) -> bool {
        let Some(before) = self.entries.iter().rposition(|entry| tick.is_newer_than(entry.tick)) else {
            return false;
        };
        let is_over = |entry: &Entry| !entry.tick.is_newer_than(view.tick);
        is_over(&self.entries[before]) && !self.entries.get(before + 1).is_some_and(is_over)
    }

    /// The tick of the state that is shown at a tick, or gone on from.
    pub(crate) fn shown_from(&self, tick: Tick) -> Option<Tick> {
        self.at(tick).map(|index| self.entries[index].tick)
    }

    /// What to show at a moment, if the entity is in view then. `interval` is the time between two states, ticks.
    #[inline]
    pub(crate) fn blend(&self, view: TickTime, interval: u32) -> Option<Blend> {
        let Some(from) = self.at(view.tick) else {
            let is_held = self.is_cut && self.entries.first().is_some_and(Entry::is_present);
            return is_held.then_some(Blend::hold(0));
        };
        let What::State(older) = self.entries[from].what else { return None };
        let (hold, begin) = (Blend::hold(from), self.entries[from].tick);
        let Some(Entry { tick, what: What::State(newer) }) = self.entries.get(from + 1) else {
            let beyond = view.tick.since(begin) as f32 + view.fraction;
            return Some(if older.is_at_rest { hold } else { Blend { beyond, ..hold } });
        };
        if let Some(jump) = newer.teleported.filter(|jump| jump.is_newer_than(begin)) {
            let is_before = jump.is_newer_than(view.tick);
            if is_before {
                let beyond = view.tick.since(begin) as f32 + view.fraction;
                return Some(if older.is_at_rest { hold } else { Blend { beyond, ..hold } });
            }
            let beyond = view.tick.since(*tick) as f32 + view.fraction;
            return Some(Blend { fraction: 1.0, beyond, ..Blend::hold(from + 1) });
        }
        // From rest, if nothing was said of how long it lasted, the way takes one interval.
        let held_until = newer.held_until.or(older.is_at_rest.then_some(*tick - interval));
        let rest = held_until.filter(|held| held.is_newer_than(begin));
        let start = rest.unwrap_or(begin);
        let elapsed = view.tick.since(start) as f32 + view.fraction;
        let span = tick.since(start);
        if elapsed <= 0.0 || span <= 0 {
            return Some(hold);
        }
        let fraction = (elapsed / span as f32).min(1.0);
        Some(Blend { to: from + 1, fraction, span: span as u32, is_from_rest: rest.is_some(), ..hold })
    }

    /// The older row of a blend, and how much of it is told.
    pub(crate) fn from<'a>(&'a self, kind: &'a Kind, blend: Blend) -> (RowRef<'a>, Sight) {
        (self.row(kind, blend.from), self.sight(blend.from))
    }

    /// The newer row of a blend, and how much of it is told.
    pub(crate) fn to<'a>(&'a self, kind: &'a Kind, blend: Blend) -> (RowRef<'a>, Sight) {
        (self.row(kind, blend.to), self.sight(blend.to))
    }

    /// When it jumps next after `tick`, as far as is known.
    pub(crate) fn next_jump(&self, tick: Tick) -> Option<Tick> {
        let jumps = self.entries.iter().filter_map(|entry| match entry.what {
            What::State(state) => state.teleported,
            What::Away { .. } => None,
        });
        jumps.filter(|jump| jump.is_newer_than(tick)).min_by_key(|jump| jump.since(tick))
    }

    /// The newest state: its tick and row.
    pub(crate) fn newest<'a>(&'a self, kind: &'a Kind) -> Option<(Tick, RowRef<'a>)> {
        let index = self.entries.iter().rposition(Entry::is_present)?;
        Some((self.entries[index].tick, self.row(kind, index)))
    }

    fn row<'a>(&'a self, kind: &'a Kind, index: usize) -> RowRef<'a> {
        RowRef::new(kind, &self.values[index * self.columns..(index + 1) * self.columns])
    }

    fn sight(&self, index: usize) -> Sight {
        match self.entries[index].what {
            What::State(state) => state.sight,
            What::Away { .. } => Sight::Public,
        }
    }

    /// The entry that lasts at a tick.
    fn at(&self, tick: Tick) -> Option<usize> {
        self.entries.iter().rposition(|entry| !entry.tick.is_newer_than(tick))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::schema::KindId;

    const ID: EntityId = EntityId { slot: 4, generation: 2 };
    const LONG_AGO: Tick = Tick(u32::MAX - 1_000);

    fn row() -> DecodedRow {
        DecodedRow {
            id: ID,
            kind: KindId(0),
            sight: Sight::Public,
            is_whole: false,
            is_at_rest: false,
            held_until: None,
            teleported: None,
            payload: None,
            values: 0..1,
        }
    }

    fn timeline(ticks: &[u32]) -> Timeline {
        let mut timeline = Timeline::new(ID, 1);
        for &tick in ticks {
            timeline.insert_state(Tick(tick), &row(), &[tick as i32], LONG_AGO);
        }
        timeline
    }

    /// The tick that the values of one column, which are the ticks of their states, are shown for.
    fn shown(timeline: &Timeline, tick: u32, fraction: f32) -> Option<f32> {
        let blend = timeline.blend(TickTime { tick: Tick(tick), fraction }, 3)?;
        let value = |index: usize| timeline.values[index] as f32;
        Some(value(blend.from) + (value(blend.to) - value(blend.from)) * blend.fraction)
    }

    #[test]
    fn states_are_shown_from_the_first_to_the_last_and_then_held() {
        let timeline = timeline(&[100, 104, 106]);
        assert_eq!(shown(&timeline, 99, 0.9), None);
        assert_eq!(shown(&timeline, 100, 0.0), Some(100.0));
        assert_eq!(shown(&timeline, 103, 0.5), Some(103.5));
        assert_eq!(shown(&timeline, 104, 0.25), Some(104.25));
        assert_eq!(shown(&timeline, 500, 0.0), Some(106.0));
    }

    #[test]
    fn late_states_find_their_place() {
        assert_eq!(shown(&timeline(&[106, 100, 104]), 102, 0.0), Some(102.0));
    }

    #[test]
    fn a_jump_happens_at_its_tick() {
        let mut timeline = timeline(&[100]);
        let jumped = DecodedRow { teleported: Some(Tick(102)), ..row() };
        timeline.insert_state(Tick(104), &jumped, &[900], LONG_AGO);
        assert_eq!(shown(&timeline, 101, 0.99), Some(100.0));
        assert_eq!(shown(&timeline, 102, 0.0), Some(900.0));
        timeline.insert_state(Tick(103), &row(), &[900], LONG_AGO);
        assert_eq!(shown(&timeline, 103, 0.5), Some(900.0), "the jump lies before both");
    }

    #[test]
    fn rest_lasts_until_it_is_left() {
        let resting = DecodedRow { is_at_rest: true, ..row() };
        let woken = DecodedRow { held_until: Some(Tick(200)), ..row() };
        let mut timeline = timeline(&[]);
        timeline.insert_state(Tick(100), &resting, &[0], LONG_AGO);
        timeline.insert_state(Tick(204), &woken, &[8], LONG_AGO);
        assert_eq!(shown(&timeline, 200, 0.0), Some(0.0));
        assert_eq!(shown(&timeline, 201, 0.0), Some(2.0));
        assert_eq!(shown(&timeline, 203, 0.5), Some(7.0));
        timeline.insert_state(Tick(204), &row(), &[6], LONG_AGO);
        assert_eq!(shown(&timeline, 202, 0.0), Some(2.0), "unsaid: one interval of 3 ticks");
    }

    #[test]
    fn absences_hide_and_edges_tell_when() {
        let mut timeline = timeline(&[]);
        let enter = |tick| Some(Edge { tick: Tick(tick), enters: true });
        let leave = |tick| Some(Edge { tick: Tick(tick), enters: false });
        assert_eq!(timeline.insert_state(Tick(100), &row(), &[0], LONG_AGO), [enter(100), None]);
        assert_eq!(timeline.insert_state(Tick(106), &row(), &[0], LONG_AGO), [None, None]);
        assert_eq!(timeline.insert_absence(Tick(99), false), [None, None], "it was not there yet");
        assert_eq!(timeline.insert_absence(Tick(103), false), [leave(103), enter(106)], "came late");
        assert_eq!(timeline.insert_absence(Tick(104), true), [None, None], "away already");
        assert_eq!(timeline.insert_absence(Tick(110), true), [leave(110), None]);
        let visible = |tick| shown(&timeline, tick, 0.0).is_some();
        assert_eq!(
            [99, 100, 102, 103, 105, 106, 109, 110].map(visible),
            [false, true, true, false, false, true, true, false]
        );
        assert!(timeline.is_despawned(Tick(110)) && !timeline.is_despawned(Tick(103)));
        assert!(timeline.is_over(Tick(110)) && !timeline.is_over(Tick(109)));
    }

    #[test]
    fn a_late_state_lasts_no_longer_than_until_the_next_absence() {
        let mut timeline = timeline(&[100]);
        timeline.insert_absence(Tick(103), false);
        timeline.insert_absence(Tick(109), false);
        assert!(timeline.is_over(Tick(103)), "as far as is known");
        let edges = timeline.insert_state(Tick(106), &row(), &[0], LONG_AGO);
        assert_eq!(
            edges.map(|edge| edge.map(|edge| (edge.tick.0, edge.enters))),
            [Some((106, true)), Some((109, false))]
        );
        let visible = |tick| shown(&timeline, tick, 0.0).is_some();
        assert_eq!([102, 103, 106, 108, 109, 500].map(visible), [true, false, true, true, false, false]);
        assert!(!timeline.is_over(Tick(108)) && timeline.is_over(Tick(109)));
        let ticks: Vec<_> = timeline.edges().map(|edge| (edge.tick.0, edge.enters)).collect();
        assert_eq!(ticks, [(100, true), (103, false), (106, true), (109, false)]);
    }

    #[test]
    fn absences_do_not_pile_up_and_what_is_forgotten_takes_no_room() {
        let mut timeline = timeline(&[100]);
        for tick in 101..5_000 {
            timeline.insert_absence(Tick(tick), false);
        }
        assert_eq!(timeline.entries.len(), ENTRIES_MAX);
        timeline.keep_newest(1);
        assert!(timeline.entries.capacity() <= 16 && timeline.values.capacity() <= 16);
        assert_eq!(timeline.words(), 1 + VIEW_ENTRY_WORDS);
    }

    #[test]
    fn what_lasts_until_the_oldest_moment_is_kept() {
        let mut timeline = timeline(&[91, 94, 97, 100, 103, 106]);
        timeline.insert_state(Tick(109), &row(), &[109], Tick(105));
        assert_eq!(timeline.entries.len(), 3);
        assert_eq!(shown(&timeline, 105, 0.0), Some(105.0));
        assert_eq!(shown(&timeline, 50, 0.0), Some(103.0), "before what is kept: better old than gone");
        timeline.insert_absence(Tick(110), false);
        timeline.insert_state(Tick(120), &row(), &[120], Tick(115));
        assert_eq!((timeline.entries.len(), shown(&timeline, 115, 0.0)), (1, None));
    }

    #[test]
    fn ticks_in_no_order_do_not_pile_up() {
        let mut timeline = timeline(&[]);
        for step in 0..2_000_u32 {
            let tick = Tick(step.wrapping_mul(0x4000_0001));
            timeline.insert_state(tick, &row(), &[1], tick - HISTORY_TICKS);
            let _ = shown(&timeline, tick.0, 0.5);
        }
        assert!(timeline.entries.len() <= ENTRIES_MAX);
        assert_eq!(timeline.values.len(), timeline.entries.len());
    }
}
