//! Whose entities are whose, and where they are: worked out once a tick for all peers.

use core::ops::Range;

use glam::Vec3;
use tickwire_protocol::history::{History, Published};
use tickwire_protocol::schema::{Audience, Field, FieldId, FieldType, Kind, KindId, Schema, Sight};
use tickwire_protocol::{EntityId, PlayerId, RowHead, RowRef, Tick};

use super::grid::Grid;
use super::interest::Interest;

/// A row of the newest tick. In the order of the wire.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Place {
    pub(crate) kind: KindId,
    pub(crate) row: u32,
}

/// The newest tick, sorted by what peers ask of it. Its rows have **numbers**, from 0 on in the order of the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scene {
    tick: Option<Tick>,
    /// By number.
    all: Vec<Place>,
    /// Per kind: the number of its first row.
    first: Vec<u32>,
    /// By slot. Only where not everything is shown: nobody else asks.
    tenants: Vec<Option<Tenant>>,
    owned: Vec<(PlayerId, Place)>,
    /// By bit of the team mask.
    teams: Vec<(u32, Place)>,
    /// Rows that are shown wherever they are.
    everywhere: Vec<Place>,
    grid: Grid,
}

/// Who is in a slot.
#[derive(Clone, Copy, Debug)]
struct Tenant {
    generation: u16,
    row: u32,
}

impl Scene {
    /// Takes in the newest tick, unless it has.
    pub(crate) fn refresh(&mut self, history: &History, interest: &Interest) {
        let Some(newest) = history.newest() else { return };
        if self.tick == Some(newest.tick()) {
            return;
        }
        self.tick = Some(newest.tick());
        self.all.clear();
        self.first.clear();
        self.tenants.fill(None);
        self.owned.clear();
        self.teams.clear();
        self.everywhere.clear();
        self.grid.clear(wide_axes(history.schema()), interest.cell_side());
        for (kind, table) in newest.tables(Sight::Public).iter() {
            let kind_id = KindId(kind.index());
            let position = place_field(kind).filter(|_| !interest.shows_everywhere(kind_id));
            self.first.push(self.all.len() as u32);
            for (row, head) in table.heads().iter().enumerate() {
                let (place, number) = (Place { kind: kind_id, row: row as u32 }, self.all.len() as u32);
                self.all.push(place);
                self.owned.extend(head.owner.map(|owner| (owner, place)));
                if interest.is_everything() {
                    continue;
                }
                self.settle(head.id, number);
                let bits = (0..u32::BITS).filter(|bit| head.teams >> bit & 1 != 0);
                self.teams.extend(bits.map(|bit| (bit, place)));
                match position {
                    Some(field) => self.grid.push(number, table.row(kind, row).vec3(field)),
                    None => self.everywhere.push(place),
                }
            }
        }
        self.owned.sort_unstable();
        self.teams.sort_unstable();
        if let Some(count) = interest.nearest_count() {
            self.grid.fit_cells(count);
        }
        self.grid.finish();
    }

    fn settle(&mut self, EntityId { slot, generation }: EntityId, row: u32) {
        let slot = usize::from(slot);
        if self.tenants.len() <= slot {
            self.tenants.resize(slot + 1, None);
        }
        self.tenants[slot] = Some(Tenant { generation, row });
    }

    /// Every row, by number.
    pub(crate) fn all(&self) -> &[Place] {
        &self.all
    }

    /// The number of a row.
    pub(crate) fn number(&self, place: Place) -> u32 {
        self.first[usize::from(place.kind.0)] + place.row
    }

    /// The number of an entity's row, where not everything is shown.
    pub(crate) fn find(&self, id: EntityId) -> Option<u32> {
        let tenant = (*self.tenants.get(usize::from(id.slot))?)?;
        (tenant.generation == id.generation).then_some(tenant.row)
    }

    /// The rows of a player's own entities.
    pub(crate) fn owned_by(&self, player: Option<PlayerId>) -> impl Iterator<Item = Place> + Clone {
        let range = player.map_or(0..0, |player| range_of(&self.owned, player));
        self.owned[range].iter().map(|(_, place)| *place)
    }

    /// The rows of entities that are in any of these teams; of several teams, several times.
    pub(crate) fn of_teams(&self, mask: u32) -> impl Iterator<Item = Place> {
        let bits = (0..u32::BITS).filter(move |bit| mask >> bit & 1 != 0);
        bits.flat_map(|bit| &self.teams[range_of(&self.teams, bit)]).map(|(_, place)| *place)
    }

    /// Rows that are shown wherever they are.
    pub(crate) fn everywhere(&self) -> &[Place] {
        &self.everywhere
    }

    /// The others, by where they are.
    pub(crate) fn grid(&self) -> &Grid {
        &self.grid
    }
}

fn range_of<K: Copy + Ord>(sorted: &[(K, Place)], key: K) -> Range<usize> {
    let start = sorted.partition_point(|(other, _)| *other < key);
    start..start + sorted[start..].iter().take_while(|(other, _)| *other == key).count()
}

/// A row of the newest tick.
pub(crate) fn row_at(newest: &Published, place: Place) -> (RowHead, RowRef<'_>) {
    let tables = newest.tables(Sight::Public);
    let (table, row) = (tables.table(place.kind), place.row as usize);
    (table.heads()[row], table.row(tables.schema().kind(place.kind), row))
}

/// Where an entity of a kind is: its first position that everybody is told.
pub(crate) fn place_field(kind: &Kind) -> Option<FieldId> {
    let is_place =
        |field: &&Field| matches!(field.ty, FieldType::Position { .. }) && field.audience == Audience::All;
    kind.fields().iter().find(is_place).map(|field| field.id)
}

/// Where a row's entity is, if its kind has a place.
pub(crate) fn position_of(row: RowRef<'_>) -> Option<Vec3> {
    place_field(row.kind()).map(|field| row.vec3(field))
}

/// The two axes along which the world is widest: along the third, as high as a house, cells would be empty or all alike.
fn wide_axes(schema: &Schema) -> [usize; 2] {
    let mut widths = [0_i64; 3];
    for kind in schema.kinds() {
        let Some(field) = place_field(kind) else { continue };
        for (axis, column) in kind.field(field).columns().enumerate() {
            let column = kind.columns()[column];
            widths[axis] = widths[axis].max(i64::from(column.max) - i64::from(column.min));
        }
    }
    match (0..3).min_by_key(|&axis| (widths[axis], core::cmp::Reverse(axis))) {
        Some(0) => [1, 2],
        Some(1) => [0, 2],
        _ => [0, 1],
    }
}
