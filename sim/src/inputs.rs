//! Who plays in a tick, and what they want.

use std::sync::Arc;

use tickwire_protocol::{PlayerId, RowMut, RowRef, Schema};

/// The players of one tick in ascending id, each with its quantized input; and who came and went.
///
/// The room fills one per tick, always the same one: it keeps its memory.
///
/// ```
/// # use tickwire_sim::prelude::*;
/// # use tickwire_sim::PlayerInputs;
/// # const JUMP: FieldId = FieldId(0);
/// let schema = Schema::builder("s").input([Field::new(JUMP, "jump", FieldType::boolean())]).build()?;
/// let mut inputs = PlayerInputs::new(schema);
/// inputs.join(PlayerId(7)).set_boolean(JUMP, true);
/// inputs.insert(PlayerId(3));
/// assert_eq!(inputs.iter().map(|(player, _)| player.0).collect::<Vec<_>>(), [3, 7]);
/// assert_eq!(inputs.joined(), [PlayerId(7)]);
/// # Ok::<(), tickwire_sim::protocol::schema::SchemaError>(())
/// ```
#[derive(Clone, Debug)]
pub struct PlayerInputs {
    schema: Arc<Schema>,
    players: Vec<PlayerId>,
    /// One input row after another, in the order of `players`.
    values: Vec<i32>,
    joined: Vec<PlayerId>,
    left: Vec<PlayerId>,
}

impl PlayerInputs {
    /// Nobody is present.
    pub fn new(schema: Arc<Schema>) -> Self {
        Self { schema, players: Vec::new(), values: Vec::new(), joined: Vec::new(), left: Vec::new() }
    }

    /// Nobody is present, nobody came or went; keeps the memory.
    pub fn clear(&mut self) {
        self.players.clear();
        self.values.clear();
        self.joined.clear();
        self.left.clear();
    }

    /// The player is present in this tick; gives its input to write, neutral at first. Calling it in ascending order
    /// of players is cheapest.
    pub fn insert(&mut self, player: PlayerId) -> RowMut<'_> {
        let width = self.schema.input().column_count();
        let index = self.place(player, width);
        let mut row = RowMut::new(self.schema.input(), &mut self.values[index * width..][..width]);
        row.reset();
        row
    }

    /// Where a player stands; from now on, if it did not yet.
    fn place(&mut self, player: PlayerId, width: usize) -> usize {
        let last = self.players.len();
        if self.players.last().is_none_or(|last| *last < player) {
            self.players.push(player);
            self.values.resize((last + 1) * width, 0);
            return last;
        }
        self.players.binary_search(&player).unwrap_or_else(|index| {
            self.players.insert(index, player);
            let at = index * width;
            self.values.splice(at..at, core::iter::repeat_n(0, width));
            index
        })
    }

    /// The player is present from this tick on; gives its input to write, as [`PlayerInputs::insert`] does.
    pub fn join(&mut self, player: PlayerId) -> RowMut<'_> {
        insert_sorted(&mut self.joined, player);
        self.insert(player)
    }

    /// The player is no longer present. One who leaves and joins in one tick has left first.
    pub fn leave(&mut self, player: PlayerId) {
        insert_sorted(&mut self.left, player);
    }

    /// Makes `self` equal to `other`, which is of the same schema; keeps the memory.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.players.clone_from(&other.players);
        self.values.clone_from(&other.values);
        self.joined.clone_from(&other.joined);
        self.left.clone_from(&other.left);
    }

    /// Hands every input to `change`.
    pub(crate) fn for_each_row(&mut self, mut change: impl FnMut(&mut RowMut<'_>)) {
        let kind = self.schema.input();
        let width = kind.column_count();
        for index in 0..self.players.len() {
            change(&mut RowMut::new(kind, &mut self.values[index * width..][..width]));
        }
    }

    /// How many players are present.
    pub fn len(&self) -> usize {
        self.players.len()
    }

    /// Whether nobody is present.
    pub fn is_empty(&self) -> bool {
        self.players.is_empty()
    }

    /// The players present, in ascending id, with their inputs.
    pub fn iter(&self) -> impl Iterator<Item = (PlayerId, RowRef<'_>)> {
        self.players.iter().enumerate().map(|(index, &player)| (player, self.row(index)))
    }

    /// The input of a player, if it is present.
    pub fn get(&self, player: PlayerId) -> Option<RowRef<'_>> {
        Some(self.row(self.players.binary_search(&player).ok()?))
    }

    /// Who is present for the first time, in ascending id.
    pub fn joined(&self) -> &[PlayerId] {
        &self.joined
    }

    /// Who was present in the tick before and is no longer, in ascending id.
    pub fn left(&self) -> &[PlayerId] {
        &self.left
    }

    fn row(&self, index: usize) -> RowRef<'_> {
        let width = self.schema.input().column_count();
        RowRef::new(self.schema.input(), &self.values[index * width..][..width])
    }
}

fn insert_sorted(players: &mut Vec<PlayerId>, player: PlayerId) {
    if let Err(index) = players.binary_search(&player) {
        players.insert(index, player);
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::FieldId;
    use tickwire_protocol::schema::{Field, FieldType};

    use super::*;

    const A: FieldId = FieldId(0);
    const B: FieldId = FieldId(1);

    #[test]
    fn players_stand_in_ascending_order_with_their_own_input() {
        let fields =
            [Field::new(A, "a", FieldType::integer(0..=99)), Field::new(B, "b", FieldType::integer(5..=9))];
        let mut inputs = PlayerInputs::new(Schema::builder("s").input(fields).build().unwrap());
        for round in 0..3 {
            inputs.clear();
            for player in [5, 1, 9, 3] {
                inputs.insert(PlayerId(player)).set_integer(A, player as i32 + round);
            }
            inputs.insert(PlayerId(9)).set_integer(A, 42);
            let rows: Vec<_> =
                inputs.iter().map(|(player, row)| (player.0, row.integer(A), row.integer(B))).collect();
            assert_eq!(rows, [(1, 1 + round, 5), (3, 3 + round, 5), (5, 5 + round, 5), (9, 42, 5)]);
        }
        assert_eq!(inputs.get(PlayerId(5)).unwrap().integer(A), 7);
        assert!(inputs.get(PlayerId(4)).is_none());
    }

    #[test]
    fn coming_and_going_is_told_once_and_in_order() {
        let mut inputs = PlayerInputs::new(Schema::builder("s").build().unwrap());
        for player in [4, 2, 4] {
            inputs.join(PlayerId(player));
            inputs.leave(PlayerId(player + 1));
        }
        assert_eq!(inputs.joined(), [PlayerId(2), PlayerId(4)]);
        assert_eq!(inputs.left(), [PlayerId(3), PlayerId(5)]);
        assert_eq!(inputs.len(), 2, "who joined is present");
    }
}
