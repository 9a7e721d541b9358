//! Which entities a peer is shown.

use core::fmt;
use std::sync::Arc;

use glam::Vec3;
use tickwire_protocol::history::Published;
use tickwire_protocol::{EntityId, KindId, PlayerId, RowHead, RowRef};

use super::row_set::RowSet;
use super::scene::{Place, Scene, row_at};

/// Cells of the grid along the way to the farthest entity that is shown. Larger cells are fewer to look into.
const CELLS_PER_REACH: f32 = 4.0;

/// An entity in view counts as nearer by this factor where only the nearest are shown, and is let go at a tenth more
/// than the distance at which it came: so that two on the border do not take turns.
const KEPT: f32 = 0.9;

/// Which entities a peer is shown: everything, or what is near its focus and what it is shown wherever that is.
///
/// The **focus** is the place of the first of the player's entities (in the order of kinds and ids) that has one, or what
/// [`Room::set_focus`](super::Room::set_focus) says. It stays where it was while the player has no entity. A peer without
/// a focus sees nothing by distance.
///
/// Shown wherever they are: the peer's own entities; kinds without a position that everybody is told, and those named by
/// [`always`](Interest::always); with [`teammates`](Interest::teammates) those of the player's teams; what a
/// [rule](Interest::rule) reveals.
///
/// ```
/// use tickwire_server::core::Interest;
/// # const FLAG: tickwire_protocol::KindId = tickwire_protocol::KindId(1);
/// // The nearest 64 within 50 m, gone beyond 60 m; flags from everywhere.
/// let interest = Interest::within(50.0).until(60.0).nearest(64).always(FLAG);
/// # let _ = interest;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Interest {
    reach: Option<Reach>,
    nearest: Option<usize>,
    /// A bit a kind.
    always: [u64; 4],
    teammates: bool,
    rule: Option<Arc<dyn InterestRule>>,
}

/// Distances, metres (or what the game measures in).
#[derive(Clone, Copy, Debug)]
struct Reach {
    enter: f32,
    leave: f32,
}

/// What a game has to say about who sees what, beyond distance: fog, walls, radar.
pub trait InterestRule: fmt::Debug + Send + Sync {
    /// Whether an entity that would be shown is hidden all the same. Asked of every one within reach, at each snapshot of the peer
    /// and before the nearest are counted, so it has to be quick. Not asked of the peer's own entities.
    fn hides(&self, looker: &Looker, head: &RowHead, row: RowRef<'_>) -> bool {
        let _ = (looker, head, row);
        false
    }

    /// Names entities that are to be shown although they are far away.
    fn reveal(&self, looker: &Looker, reveal: &mut dyn FnMut(EntityId)) {
        let _ = (looker, reveal);
    }
}

/// Whose eyes look.
#[derive(Clone, Copy, Debug, Default)]
pub struct Looker {
    /// None for a spectator.
    pub player: Option<PlayerId>,
    /// The teams of the player's entities.
    pub teams: u32,
    /// From where.
    pub focus: Option<Vec3>,
    /// Where to, of any length, if [`Room::set_facing`](super::Room::set_facing) has said so.
    pub facing: Option<Vec3>,
}

/// What a peer is shown at one tick: worked out for one after another, in the same memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    /// In the order of the wire.
    pub(crate) places: Vec<Place>,
    /// The same as a set.
    pub(crate) rows: RowSet,
    /// Who was shown last.
    known: RowSet,
    /// What is near: the bits of the square of its distance, which ascend as it does, and below them the number of its row.
    near: Vec<u64>,
    /// The numbers of the cues that are shown, and the one after all that there are.
    pub(crate) cue_numbers: Vec<u64>,
    pub(crate) cues_end: u64,
}

impl Selection {
    /// The number of the first cue that is neither among the first `written` nor passed over before these.
    pub(crate) fn cue_after(&self, written: usize) -> u64 {
        self.cue_numbers.get(written).copied().unwrap_or(self.cues_end)
    }

    /// No cues but those from `number` on, which are none.
    pub(crate) fn take_cues_from(&mut self, number: u64) {
        self.cue_numbers.clear();
        self.cues_end = number;
    }
}

impl Interest {
    /// Every peer is shown everything. The cheapest for small worlds: all peers share their bytes.
    pub fn everything() -> Self {
        Self::default()
    }

    /// What is within this distance of the focus, until it is a ninth further away. At least a millimetre.
    pub fn within(distance: f32) -> Self {
        let enter = distance.max(1e-3);
        Self { reach: Some(Reach { enter, leave: enter / KEPT }), ..Self::default() }
    }

    /// An entity in view stays until it is further away than this.
    ///
    /// # Panics
    /// If everything is shown: there is nothing to leave.
    #[must_use]
    pub fn until(mut self, distance: f32) -> Self {
        let reach = self.reach.as_mut().expect("`within` comes first");
        reach.leave = distance.max(reach.enter);
        self
    }

    /// At most the nearest `count` of them. Those already in view count as a tenth nearer than they are.
    ///
    /// # Panics
    /// If everything is shown: say [`within`](Interest::within) which distance first.
    #[must_use]
    pub fn nearest(mut self, count: usize) -> Self {
        assert!(self.reach.is_some(), "`within` comes first");
        self.nearest = Some(count);
        self
    }

    /// Entities of this kind are shown wherever they are.
    #[must_use]
    pub fn always(mut self, kind: KindId) -> Self {
        self.always[usize::from(kind.0 / 64)] |= 1 << (kind.0 % 64);
        self
    }

    /// Entities that share a team with the player are shown wherever they are.
    #[must_use]
    pub fn teammates(mut self) -> Self {
        self.teammates = true;
        self
    }

    /// The game has its say.
    #[must_use]
    pub fn rule(mut self, rule: impl InterestRule + 'static) -> Self {
        self.rule = Some(Arc::new(rule));
        self
    }

    /// Whether every peer is shown everything.
    pub fn is_everything(&self) -> bool {
        self.reach.is_none() && self.rule.is_none()
    }

    pub(crate) fn shows_everywhere(&self, kind: KindId) -> bool {
        self.reach.is_none() || self.always[usize::from(kind.0 / 64)] >> (kind.0 % 64) & 1 != 0
    }

    /// How many are shown at most of those within reach.
    pub(crate) fn nearest_count(&self) -> Option<usize> {
        self.nearest
    }

    /// The side of a grid's cells, metres; smaller where only the nearest of many are shown.
    pub(crate) fn cell_side(&self) -> f32 {
        self.reach.map_or(1.0, |reach| reach.leave / CELLS_PER_REACH)
    }

    /// Writes down what the peer is shown. `known` are those that were shown last.
    pub(crate) fn select(
        &self,
        scene: &Scene,
        newest: &Published,
        looker: &Looker,
        known: impl Iterator<Item = EntityId>,
        selection: &mut Selection,
    ) {
        let Selection { places, rows, known: known_rows, near, .. } = selection;
        let all = scene.all();
        rows.clear(all.len());
        let is_hidden = |row: u32| self.hides(newest, looker, all[row as usize]);
        let mut show = |row: u32| {
            if !is_hidden(row) {
                rows.insert(row);
            }
        };
        scene.everywhere().iter().for_each(|place| show(scene.number(*place)));
        if self.teammates {
            scene.of_teams(looker.teams).for_each(|place| show(scene.number(place)));
        }
        if let Some(rule) = &self.rule {
            rule.reveal(looker, &mut |id| scene.find(id).into_iter().for_each(&mut show));
        }
        if let (Some(reach), Some(focus)) = (self.reach, looker.focus) {
            known_rows.clear(all.len());
            known.filter_map(|id| scene.find(id)).for_each(|row| known_rows.insert(row));
            self.find_near(reach, focus, scene, known_rows, is_hidden, near);
            for key in near.iter() {
                rows.insert(row_of(*key));
            }
        }
        scene.owned_by(looker.player).for_each(|place| rows.insert(scene.number(place)));
        places.clear();
        places.extend(rows.iter().map(|row| all[row as usize]));
    }

    fn hides(&self, newest: &Published, looker: &Looker, place: Place) -> bool {
        self.rule.as_ref().is_some_and(|rule| {
            let (head, row) = row_at(newest, place);
            rule.hides(looker, &head, row)
        })
    }

    /// Finds who is near, of those who are not hidden.
    fn find_near(
        &self,
        reach: Reach,
        focus: Vec3,
        scene: &Scene,
        known: &RowSet,
        is_hidden: impl Fn(u32) -> bool,
        near: &mut Vec<u64>,
    ) {
        let grid = scene.grid();
        let (enter, leave) = (reach.enter * reach.enter, reach.leave * reach.leave);
        let count = self.nearest.unwrap_or(usize::MAX);
        near.clear();
        for ring in 0.. {
            grid.visit_ring(focus, ring, |point| {
                let distance = point.position.distance_squared(focus);
                if distance <= leave {
                    let is_known = known.contains(point.row);
                    if (is_known || distance <= enter) && !is_hidden(point.row) {
                        let counted = if is_known { distance * KEPT * KEPT } else { distance };
                        near.push(near_key(counted, point.row));
                    }
                }
            });
            // All that is nearer was found; what is known may yet come from a little further and count as this near.
            let covered = ring as f32 * grid.cell_side();
            let sure = near_key((covered * KEPT) * (covered * KEPT), u32::MAX);
            let is_enough = near.len() >= count && near.iter().filter(|key| **key <= sure).count() >= count;
            if is_enough || covered >= reach.leave {
                break;
            }
        }
        if near.len() > count {
            near.select_nth_unstable(count.saturating_sub(1));
            near.truncate(count);
        }
    }
}

/// Orders what is near by the square of its distance, and then by row. Squares are not negative: their bits are in order.
fn near_key(distance_squared: f32, row: u32) -> u64 {
    u64::from(distance_squared.to_bits()) << u32::BITS | u64::from(row)
}

fn row_of(near_key: u64) -> u32 {
    near_key as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::history::History;
    use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, Schema};
    use tickwire_protocol::{Tables, Tick, TickRate};

    const K: KindId = KindId(0);
    const PLACE: FieldId = FieldId(0);

    /// Entities by slot at these places of a line.
    fn world(places: &[f32]) -> History {
        let place = Field::new(PLACE, "place", FieldType::position([-500.0..=500.0], 0.01));
        let schema = Schema::builder("line").kind(Kind::new(K, "kind", [place])).build().unwrap();
        let mut tables = Tables::new(schema.clone());
        for (slot, place) in places.iter().enumerate() {
            let id = EntityId { slot: slot as u16, generation: 1 };
            tables.insert(K, RowHead::new(id)).set_scalar(PLACE, *place);
        }
        tables.finish();
        let mut history = History::new(schema, TickRate::new(60).unwrap());
        history.publish(Tick(1), &tables);
        history
    }

    /// The slots that are shown to one who looks from 0 and was shown `known` before.
    fn shown(interest: &Interest, places: &[f32], known: &[u16]) -> Vec<u32> {
        let history = world(places);
        let (mut scene, mut selection) = (Scene::default(), Selection::default());
        scene.refresh(&history, interest);
        let looker = Looker { focus: Some(Vec3::ZERO), ..Looker::default() };
        let known = known.iter().map(|slot| EntityId { slot: *slot, generation: 1 });
        interest.select(&scene, history.newest().unwrap(), &looker, known, &mut selection);
        selection.places.iter().map(|place| place.row).collect()
    }

    #[test]
    fn who_is_in_view_stays_a_little_longer() {
        let places = [0.0, 79.9, 80.1, -119.0, 121.0];
        let interest = Interest::within(80.0).until(120.0);
        assert_eq!(shown(&interest, &places, &[]), [0, 1]);
        assert_eq!(shown(&interest, &places, &[2, 3, 4]), [0, 1, 2, 3]);
        let usual = Interest::within(90.0);
        assert_eq!(shown(&usual, &[89.0, 99.0, 101.0], &[1, 2]), [0, 1]);
    }

    #[test]
    fn of_two_on_the_border_the_one_in_view_stays() {
        let places = [1.0, 50.0, -52.0, 70.0];
        let interest = Interest::within(200.0).nearest(2);
        assert_eq!(shown(&interest, &places, &[]), [0, 1]);
        assert_eq!(shown(&interest, &places, &[0, 2]), [0, 2]);
        assert_eq!(shown(&interest, &places, &[3]), [0, 1], "but not at any distance");
        assert_eq!(shown(&interest.clone().nearest(0), &places, &[]), [0_u32; 0]);
        assert_eq!(shown(&interest.nearest(9), &places, &[]), [0, 1, 2, 3]);
    }

    #[test]
    fn the_nearest_of_a_crowd_are_those_that_a_search_through_all_finds() {
        let places: Vec<f32> = (0..400).map(|n| ((n * 7919) % 9973) as f32 / 10.0 - 498.0).collect();
        for count in [1, 7, 64, 399] {
            let mut rows: Vec<u32> = (0..400).collect();
            rows.sort_by(|&a, &b| places[a as usize].abs().total_cmp(&places[b as usize].abs()));
            rows.truncate(count);
            rows.sort_unstable();
            assert_eq!(shown(&Interest::within(600.0).nearest(count), &places, &[]), rows);
        }
    }

    #[test]
    fn without_a_focus_nothing_is_near() {
        let history = world(&[0.0]);
        for (interest, count) in [(Interest::within(5.0), 0), (Interest::within(5.0).always(K), 1)] {
            let (mut scene, mut selection) = (Scene::default(), Selection::default());
            scene.refresh(&history, &interest);
            let newest = history.newest().unwrap();
            interest.select(&scene, newest, &Looker::default(), core::iter::empty(), &mut selection);
            assert_eq!(selection.places.len(), count);
        }
    }
}
