//! What one peer is known to hold of one domain (everyone's view, or its own rows), and what it must be sent.
//!
//! No copy of the world: per entity that it is shown the ticks of at most three states that the peer holds. From these and
//! the shared history follow which rows are news to it, and which states a row may name.
//!
//! On an ordered stream a peer that was told all that was news at some tick holds, at that tick, just what was published
//! then. A section told **against** such ticks need not say which rows it tells, nor what they name.

mod plan;
mod told;
mod waiting;

use tickwire_protocol::limits::HISTORY_TICKS;
use tickwire_protocol::schema::Sight;
use tickwire_protocol::snapshot::References;
use tickwire_protocol::{EntityId, Tick};

pub(crate) use told::SentRow;

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

    /// Whether the same can be said of it at any tick after `now` as of another, where no ticks before `oldest` are told against. Both
    /// are current. States that the ring has lost are named no more, whichever they were.
    fn is_same(&self, other: &Self, now: Tick, oldest: Option<Tick>) -> bool {
        let since_before =
            |oldest: Tick| !self.since.is_newer_than(oldest) && !other.since.is_newer_than(oldest);
        let in_ring = |tick: &Tick| now.since(*tick) < HISTORY_TICKS as i32;
        (self.id, self.sight) == (other.id, other.sight)
            && (self.since == other.since || oldest.is_none_or(since_before))
            && (self.states == other.states
                || self.states.ticks().take_while(in_ring).eq(other.states.ticks().take_while(in_ring)))
    }
}

/// What one peer holds of one domain.
#[derive(Debug)]
pub(crate) struct Knowledge {
    is_own: bool,
    /// By slot.
    known: Vec<Known>,
    /// Where the last one was found: rows come in the order of slots, so the next is not far.
    hint: usize,
    digest: u64,
    /// The tick of the last plan.
    planned: Option<Tick>,
    /// Whether the last plan tells of entities of which nothing is known.
    has_newcomers: bool,
    /// Whose rows were passed over before any was sent, by slot, and since when; and who those were the last time.
    waiting: Vec<(EntityId, Tick)>,
    waited: Vec<(EntityId, Tick)>,
    /// A row was sent to which older states that the peer keeps of its slot do not belong: they were told with other eyes, or of another
    /// tenant.
    is_broken: bool,
}

impl Knowledge {
    /// Nothing of everyone's view.
    pub(crate) fn of_view() -> Self {
        Self {
            is_own: false,
            known: Vec::new(),
            hint: 0,
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

    /// Whether nothing was ever planned.
    pub(crate) fn is_new(&self) -> bool {
        self.planned.is_none()
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

    /// Whether the peer holds any state of this entity.
    pub(crate) fn knows(&self, id: EntityId) -> bool {
        self.place_of(id.slot).is_ok_and(|place| self.known[place].id == id)
    }

    /// Whether the newest that the peer holds of this entity is its state at `tick`, seen with these eyes.
    pub(crate) fn holds(&self, id: EntityId, sight: Sight, tick: Tick) -> bool {
        let known = self.place_of(id.slot).ok().map(|place| &self.known[place]);
        known.is_some_and(|known| {
            (known.id, known.sight) == (id, sight) && known.states.newest() == Some(tick)
        })
    }

    /// Those that the peer was shown by the last plan, as far as they were sent.
    pub(crate) fn shown(&self) -> impl Iterator<Item = EntityId> {
        self.known.iter().filter(|known| Some(known.seen) == self.planned).map(|known| known.id)
    }

    /// Makes room for so many entities.
    pub(crate) fn reserve(&mut self, entities: usize) {
        self.known.reserve_exact(entities.saturating_sub(self.known.len()));
    }

    /// For how many entities there is room.
    pub(crate) fn room(&self) -> usize {
        self.known.capacity()
    }

    /// Of how many entities something is known.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether this peer can go on with what another is known to hold, both of which have just been told all that is news at `now`: the
    /// same will be news to both. No ticks before `oldest` are told against.
    pub(crate) fn may_become(&self, other: &Self, now: Tick, oldest: Option<Tick>) -> bool {
        let is_settled = |of: &Self| of.waiting.is_empty() && !of.is_broken;
        self.digest == other.digest
            && self.known.len() == other.known.len()
            && self.planned == other.planned
            && is_settled(self)
            && is_settled(other)
            && self.known.iter().zip(&other.known).all(|(one, other)| one.is_same(other, now, oldest))
    }

    fn place_of(&self, slot: u16) -> Result<usize, usize> {
        self.known.binary_search_by_key(&slot, |known| known.id.slot)
    }

    /// As [`Self::place_of`], for slots that are asked for in ascending order, each once or several times.
    fn next_place(&mut self, slot: u16) -> Option<usize> {
        let ahead = self.known.get(self.hint..).unwrap_or_default().iter().take(SLOTS_AHEAD);
        let place = match ahead.zip(self.hint..).find(|(known, _)| known.id.slot == slot) {
            Some((_, place)) => place,
            None => self.place_of(slot).ok()?,
        };
        self.hint = place;
        Some(place)
    }
}

/// Among so many the next slot is looked for one by one: the same as the last, mostly the one behind it, or soon after.
const SLOTS_AHEAD: usize = 4;

impl Clone for Knowledge {
    fn clone(&self) -> Self {
        let mut copy = Self::of_view();
        copy.clone_from(self);
        copy
    }

    /// In the memory that there is.
    fn clone_from(&mut self, other: &Self) {
        let Self { is_own, known, hint, digest, planned, has_newcomers, waiting, waited, is_broken } = self;
        (*is_own, *hint, *digest, *planned) = (other.is_own, other.hint, other.digest, other.planned);
        (*has_newcomers, *is_broken) = (other.has_newcomers, other.is_broken);
        known.clone_from(&other.known);
        waiting.clone_from(&other.waiting);
        waited.clone_from(&other.waited);
    }
}
