//! Snapshot tables: per kind, rows in ascending entity id, the columns of each side by side.

use core::ops::Range;
use std::sync::Arc;

use crate::ids::{EntityId, PlayerId};
use crate::row::{RowMut, RowRef};
use crate::schema::{Kind, KindId, Schema};

/// What the engine knows of a row beside its columns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RowHead {
    /// Whose row it is.
    pub id: EntityId,
    /// The player that it belongs to: gets the owner's fields, and the row exactly as simulated.
    pub owner: Option<PlayerId>,
    /// Teams that see the team's fields, a bit each.
    pub teams: u32,
    /// Whether it has jumped in this very tick, so that the way from the last position must not be shown.
    pub teleported: bool,
}

impl RowHead {
    /// A row that belongs to nobody and has not jumped.
    pub fn new(id: EntityId) -> Self {
        Self { id, owner: None, teams: 0, teleported: false }
    }

    /// The row belongs to this player.
    pub fn owned_by(mut self, player: PlayerId) -> Self {
        self.owner = Some(player);
        self
    }

    /// These teams see the team's fields.
    pub fn teams(mut self, mask: u32) -> Self {
        self.teams = mask;
        self
    }

    /// It has jumped (or not) in this tick.
    pub fn teleported(mut self, teleported: bool) -> Self {
        self.teleported = teleported;
        self
    }
}

/// Rows by which the room of a copied table grows.
const ROWS_GRAIN: usize = 16;

/// All rows of one kind at one tick.
#[derive(Clone, Debug)]
pub struct Table {
    heads: Vec<RowHead>,
    /// Row by row.
    values: Vec<i32>,
    /// How many there are in a row.
    columns: usize,
}

impl Table {
    fn new(columns: usize) -> Self {
        Self { heads: Vec::new(), values: Vec::new(), columns }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// The heads of all rows, in ascending id.
    pub fn heads(&self) -> &[RowHead] {
        &self.heads
    }

    /// Where the entity's row is.
    pub fn find(&self, id: EntityId) -> Option<usize> {
        self.heads.binary_search_by_key(&id, |head| head.id).ok()
    }

    /// The same, looked for first where it stood in another table.
    pub fn find_near(&self, id: EntityId, place: usize) -> Option<usize> {
        if self.heads.get(place).is_some_and(|head| head.id.pack() == id.pack()) {
            Some(place)
        } else {
            self.find(id)
        }
    }

    /// Where the row in this slot is, whatever its generation.
    pub fn find_slot(&self, slot: u16) -> Option<usize> {
        self.heads.binary_search_by_key(&slot, |head| head.id.slot).ok()
    }

    /// A row by its place.
    pub fn row<'a>(&'a self, kind: &'a Kind, index: usize) -> RowRef<'a> {
        RowRef::new(kind, self.values(index))
    }

    /// The quantized values of a row, by its place.
    #[inline]
    pub fn values(&self, index: usize) -> &[i32] {
        &self.values[self.span(index)]
    }

    /// Where the values of a row lie among all, in each table of the kind.
    #[inline]
    pub(crate) fn span(&self, index: usize) -> Range<usize> {
        let start = index * self.columns;
        start..start + self.columns
    }

    /// The values that lie there.
    #[inline]
    pub(crate) fn in_span(&self, span: &Range<usize>) -> &[i32] {
        &self.values[span.clone()]
    }

    /// The quantized values of a row, by its place.
    pub fn values_mut(&mut self, index: usize) -> &mut [i32] {
        &mut self.values[index * self.columns..][..self.columns]
    }

    fn clear(&mut self) {
        self.heads.clear();
        self.values.clear();
    }

    /// Makes `self` equal to `other`, in the memory that there is; where that is too little, in not much more than it takes: a history has a
    /// hundred of these.
    fn copy_from(&mut self, other: &Self) {
        self.clear();
        if self.heads.capacity() < other.len() {
            let room = other.len().next_multiple_of(ROWS_GRAIN);
            self.heads.reserve_exact(room);
            self.values.reserve_exact(room * self.columns);
        }
        self.heads.extend_from_slice(&other.heads);
        self.values.extend_from_slice(&other.values);
    }

    fn push<'a>(&'a mut self, kind: &'a Kind, head: RowHead) -> RowMut<'a> {
        let index = self.heads.len();
        self.heads.push(head);
        self.values.extend_from_slice(kind.blank());
        RowMut::new(kind, self.values_mut(index))
    }

    /// Brings rows into ascending order; says which id stands twice, if one does.
    fn sort(&mut self, scratch: &mut SortScratch) -> Result<(), EntityId> {
        if !self.heads.is_sorted_by_key(|head| head.id) {
            let SortScratch { order, values } = scratch;
            order.clear();
            order.extend(0..self.heads.len() as u32);
            order.sort_unstable_by_key(|&row| self.heads[row as usize].id);
            values.clear();
            for &row in &*order {
                values.extend_from_slice(self.values(row as usize));
            }
            core::mem::swap(&mut self.values, values);
            self.heads.sort_unstable_by_key(|head| head.id);
        }
        match self.heads.windows(2).find(|pair| pair[0].id.slot == pair[1].id.slot) {
            Some(pair) => Err(pair[1].id),
            None => Ok(()),
        }
    }
}

/// Buffers that sorting reuses.
#[derive(Clone, Debug, Default)]
struct SortScratch {
    /// Where the rows stand that are to be first, second...
    order: Vec<u32>,
    /// All values in that order.
    values: Vec<i32>,
}

/// One table per kind: the whole state of a world at one tick.
#[derive(Clone, Debug)]
pub struct Tables {
    schema: Arc<Schema>,
    by_kind: Vec<Table>,
    scratch: SortScratch,
}

impl Tables {
    /// Empty tables for the kinds of this schema.
    pub fn new(schema: Arc<Schema>) -> Self {
        let by_kind = schema.kinds().iter().map(|kind| Table::new(kind.column_count())).collect();
        Self { schema, by_kind, scratch: SortScratch::default() }
    }

    /// What the tables are made of.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The table of a kind.
    pub fn table(&self, kind: KindId) -> &Table {
        &self.by_kind[usize::from(kind.0)]
    }

    /// The table of a kind.
    pub fn table_mut(&mut self, kind: KindId) -> &mut Table {
        &mut self.by_kind[usize::from(kind.0)]
    }

    /// Kind and table, in the order of the schema.
    pub fn iter(&self) -> impl Iterator<Item = (&Kind, &Table)> {
        self.schema.kinds().iter().zip(&self.by_kind)
    }

    /// The rows of a kind in ascending id.
    pub fn rows(&self, kind: KindId) -> impl Iterator<Item = (RowHead, RowRef<'_>)> {
        let (table, kind) = (self.table(kind), self.schema.kind(kind));
        table.heads.iter().enumerate().map(move |(index, head)| (*head, table.row(kind, index)))
    }

    /// How many rows there are in all kinds together.
    pub fn row_count(&self) -> usize {
        self.by_kind.iter().map(Table::len).sum()
    }

    /// Takes all rows out; keeps the memory.
    pub fn clear(&mut self) {
        self.by_kind.iter_mut().for_each(Table::clear);
    }

    /// Adds a row, in any order of ids; [`Tables::finish`] sorts. Columns that are not set stay at zero (or at the
    /// bound nearest to it).
    pub fn insert(&mut self, kind: KindId, head: RowHead) -> RowMut<'_> {
        self.by_kind[usize::from(kind.0)].push(self.schema.kind(kind), head)
    }

    /// Ends filling: rows are brought into ascending order.
    ///
    /// # Panics
    /// If an entity has two rows: a mistake of the simulation's `save`.
    pub fn finish(&mut self) {
        for (kind, table) in self.schema.kinds().iter().zip(&mut self.by_kind) {
            if let Err(id) = table.sort(&mut self.scratch) {
                panic!("entity {id} was saved twice as `{}`", kind.name());
            }
        }
    }

    /// Makes `self` equal to `other`, reusing memory.
    pub fn copy_from(&mut self, other: &Self) {
        self.by_kind.iter_mut().zip(&other.by_kind).for_each(|(to, from)| to.copy_from(from));
    }
}

/// Equal if they hold the same rows with the same heads and values.
impl PartialEq for Tables {
    fn eq(&self, other: &Self) -> bool {
        self.schema.hash() == other.schema.hash()
            && self
                .by_kind
                .iter()
                .zip(&other.by_kind)
                .all(|(a, b)| a.heads == b.heads && a.values == b.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Field, FieldId, FieldType};

    const K: KindId = KindId(0);
    const N: FieldId = FieldId(0);
    const M: FieldId = FieldId(1);

    fn tables() -> Tables {
        let fields =
            [Field::new(N, "n", FieldType::integer(0..=1000)), Field::new(M, "m", FieldType::integer(5..=9))];
        Tables::new(Schema::builder("t").kind(Kind::new(K, "k", fields)).build().unwrap())
    }

    fn id(slot: u16) -> EntityId {
        EntityId { slot, generation: 1 }
    }

    #[test]
    fn rows_come_out_sorted_whatever_the_order_of_saving() {
        let mut tables = tables();
        for slot in [7_u16, 3, 99, 0, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33] {
            tables.insert(K, RowHead::new(id(slot))).set_integer(N, i32::from(slot));
        }
        tables.finish();
        let rows: Vec<_> =
            tables.rows(K).map(|(head, row)| (head.id.slot, row.integer(N), row.integer(M))).collect();
        assert!(rows.is_sorted());
        assert!(rows.iter().all(|&(slot, n, m)| i32::from(slot) == n && m == 5), "{rows:?}");
        assert_eq!(tables.table(K).find(id(99)), Some(17));
        assert_eq!(tables.table(K).find_slot(98), None);
    }

    #[test]
    fn copies_are_equal_and_independent() {
        let mut a = tables();
        a.insert(K, RowHead::new(id(1)).owned_by(PlayerId(4)).teams(2)).set_integer(N, 8);
        a.finish();
        let mut b = tables();
        assert!(a != b);
        b.copy_from(&a);
        assert!(a == b);
        b.table_mut(K).values_mut(0)[0] = 9;
        assert!(a != b);
    }

    #[test]
    fn saving_an_entity_twice_is_named() {
        let mut tables = tables();
        tables.insert(K, RowHead::new(id(1)));
        tables.insert(K, RowHead::new(id(1)));
        let panic = std::panic::catch_unwind(move || tables.finish()).unwrap_err();
        assert_eq!(panic.downcast_ref::<String>().unwrap(), "entity 1v1 was saved twice as `k`");
    }
}
