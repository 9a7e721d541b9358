//! Views and bodies of nobody, kept for their memory.

use std::sync::Arc;

use tickwire_protocol::Tick;
use tickwire_protocol::limits::HISTORY_TICKS;
use tickwire_protocol::snapshot::EncodedBody;

use super::scene::Place;
use super::view::View;

/// Views that are kept at the most: those that the steps of a tick lead from, and those that nobody went on to.
const VIEWS_MAX: usize = 64;

/// Entities by which the room of a view grows.
const ENTITIES_GRAIN: usize = 16;

/// A view has room for so many times what it needs, at the most, beside [`ENTITIES_GRAIN`].
const SPACIOUS: usize = 4;

/// Views that are kept although nobody has needed them for a while: so many peers more or fewer go alone from one second to the next.
const VIEWS_IDLE: usize = 16;

/// Ticks after which what was needed before them is forgotten.
const PERIOD: i32 = HISTORY_TICKS as i32;

/// Memory for copies of views, and for bodies. A copy has room for the largest view of the last seconds at once: else each would grow in its
/// own time, for minutes. But one that is much smaller than that has no more than twice what it needs: a peer that sees everything makes
/// nobody else's view large.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    views: Vec<Arc<View>>,
    /// Of the views, those that nobody has needed since `since`.
    idle: usize,
    bodies: Vec<(EncodedBody, Vec<Place>)>,
    /// What is needed, and of that what was since `since`.
    peak: Size,
    recent: Size,
    since: Option<Tick>,
}

/// The most entities of a view, and bytes of a body.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    entities: usize,
    bytes: usize,
}

impl Size {
    fn max(self, other: Self) -> Self {
        Self { entities: self.entities.max(other.entities), bytes: self.bytes.max(other.bytes) }
    }

    fn is_half_of(self, other: Self) -> bool {
        2 * self.entities < other.entities || 2 * self.bytes < other.bytes
    }
}

impl Spares {
    /// Once in a while: forgets what is no longer needed.
    pub(crate) fn handle_tick(&mut self, tick: Tick) {
        if tick.since(*self.since.get_or_insert(tick)) < PERIOD {
            return;
        }
        if self.recent.is_half_of(self.peak) {
            *self = Self { peak: self.recent, ..Self::default() };
        }
        // After a storm of joins most peers come to share a view.
        self.views.drain(..self.idle.min(self.views.len()).saturating_sub(VIEWS_IDLE));
        self.idle = self.views.len();
        (self.recent, self.since) = (Size::default(), Some(tick));
    }

    /// A copy that nobody else has.
    pub(crate) fn copy(&mut self, from: &View) -> Arc<View> {
        let entities = from.known.len();
        self.note(Size { entities: entities.next_multiple_of(ENTITIES_GRAIN), bytes: 0 });
        let room = self.room_for(entities);
        let is_fit = |view: &Arc<View>| (room..=spacious(room)).contains(&view.known.room());
        let mut copy = match self.views.iter().rposition(is_fit) {
            Some(place) => self.views.swap_remove(place),
            None => Arc::new(View::new(0)),
        };
        self.idle = self.idle.min(self.views.len());
        let view = Arc::make_mut(&mut copy);
        view.known.reserve(room);
        view.clone_from(from);
        copy
    }

    /// Somebody has this view no more.
    pub(crate) fn give_back(&mut self, mut view: Arc<View>) {
        if Arc::get_mut(&mut view).is_none() || view.known.room() > spacious(self.peak.entities) {
            return;
        }
        if self.views.len() == VIEWS_MAX {
            // The longest unused.
            self.views.remove(0);
        }
        self.views.push(view);
    }

    /// A body to be written, and these places as a list of what it shows.
    pub(crate) fn body(&mut self, shown: &[Place]) -> (EncodedBody, Vec<Place>) {
        let (mut body, mut places) = self.bodies.pop().unwrap_or_default();
        body.reserve(self.peak.bytes);
        places.clear();
        places.reserve(self.room_for(shown.len()).max(shown.len()));
        places.extend_from_slice(shown);
        (body, places)
    }

    /// Nobody needs this body any more.
    pub(crate) fn give_back_body(&mut self, body: EncodedBody, places: Vec<Place>) {
        self.note(Size { entities: 0, bytes: body.byte_len() });
        self.bodies.push((body, places));
    }

    /// Room for as many entities as the largest view has, but for not many more than these.
    fn room_for(&self, entities: usize) -> usize {
        self.peak.entities.min(2 * entities + ENTITIES_GRAIN)
    }

    fn note(&mut self, size: Size) {
        (self.recent, self.peak) = (self.recent.max(size), self.peak.max(size));
    }
}

fn spacious(room: usize) -> usize {
    SPACIOUS * (room + ENTITIES_GRAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_needed_for_a_while_is_not_kept_for_few() {
        let (mut spares, view) = (Spares::default(), View::new(0));
        let mut turn = |tick, copies: usize| {
            spares.handle_tick(Tick(tick));
            let copies: Vec<_> = (0..copies).map(|_| spares.copy(&view)).collect();
            for copy in copies {
                spares.give_back(copy);
            }
            spares.views.len()
        };
        assert_eq!(turn(0, 40), 40);
        for tick in (3..3 * HISTORY_TICKS).step_by(3) {
            turn(tick, 2);
        }
        assert_eq!(turn(3 * HISTORY_TICKS, 2), VIEWS_IDLE + 2);
        assert_eq!(turn(9 * HISTORY_TICKS, 2), VIEWS_IDLE + 2, "and these are");
    }
}
