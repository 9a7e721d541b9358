//! Whether what was predicted is so.

use glam::Vec3;
use tickwire_protocol::schema::{FieldType, KindId};
use tickwire_protocol::{EntityId, PlayerId, RowRef, Tables};
use tickwire_sim::is_provisional;

/// In what a prediction and the truth differ.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Difference {
    /// An integer of an own row, or which own rows there are.
    pub(super) own: bool,
    /// Nothing but the id of an own entity that was spawned ahead of the server.
    pub(super) name: bool,
    /// A row of somebody else's.
    pub(super) other: bool,
    /// The greatest distance between a predicted and a true position, in the field's unit.
    pub(super) error: f32,
}

impl Difference {
    pub(super) fn is_any(self) -> bool {
        self.own || self.name || self.other
    }
}

/// Compares worlds; keeps its memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Comparison {
    /// Places of predicted own rows that the server does not have, and the other way around; of one kind.
    guesses: Vec<usize>,
    news: Vec<usize>,
    renamed: Vec<(EntityId, EntityId)>,
}

impl Comparison {
    /// Entities that were spawned ahead, and the real ones that they turned out to be, since the last [`Comparison::clear`].
    pub(super) fn renamed(&self) -> &[(EntityId, EntityId)] {
        &self.renamed
    }

    pub(super) fn clear(&mut self) {
        self.renamed.clear();
    }

    /// In what two states of a tick differ. Of the truth every row counts, of the prediction those of the player.
    pub(super) fn compare(&mut self, predicted: &Tables, truth: &Tables, player: PlayerId) -> Difference {
        self.renamed.clear();
        let mut difference = Difference::default();
        for kind in truth.schema().kinds() {
            let kind = KindId(kind.index());
            self.compare_kind(kind, predicted, truth, player, &mut difference);
        }
        difference
    }

    fn compare_kind(
        &mut self,
        kind: KindId,
        predicted: &Tables,
        truth: &Tables,
        player: PlayerId,
        difference: &mut Difference,
    ) {
        let (guessed, real) = (predicted.table(kind), truth.table(kind));
        let shape = truth.schema().kind(kind);
        self.guesses.clear();
        self.news.clear();
        for (place, head) in real.heads().iter().enumerate() {
            let is_own = head.owner == Some(player);
            match guessed.find(head.id) {
                Some(guess) => {
                    let (guess, real) = (guessed.row(shape, guess), real.row(shape, place));
                    let is_other = !is_same(guess, real);
                    difference.note(is_own, is_other, if is_other { distance(guess, real) } else { 0.0 });
                }
                None if is_own => self.news.push(place),
                None => difference.other = true,
            }
        }
        for (place, head) in guessed.heads().iter().enumerate() {
            if head.owner == Some(player) && real.find(head.id).is_none() {
                self.guesses.push(place);
            }
        }
        for &place in &self.news {
            let real_row = real.row(shape, place);
            let is_guess = |guess: &usize| is_provisional(guessed.heads()[*guess].id);
            // Who is where it should be is surely the one; otherwise the order counts.
            let is_exact = |guess: &usize| is_guess(guess) && is_same(guessed.row(shape, *guess), real_row);
            let found = self.guesses.iter().position(is_exact);
            let Some(found) = found.or_else(|| self.guesses.iter().position(is_guess)) else {
                difference.own = true;
                continue;
            };
            let guess = self.guesses.remove(found);
            let guess_row = guessed.row(shape, guess);
            difference.name = true;
            difference.note(true, !is_same(guess_row, real_row), distance(guess_row, real_row));
            self.renamed.push((guessed.heads()[guess].id, real.heads()[place].id));
        }
        difference.own |= !self.guesses.is_empty();
    }
}

impl Difference {
    fn note(&mut self, is_own: bool, is_other: bool, error: f32) {
        if is_own {
            self.own |= is_other;
            self.error = self.error.max(error);
        } else {
            self.other |= is_other;
        }
    }
}

fn is_same(a: RowRef<'_>, b: RowRef<'_>) -> bool {
    (0..a.kind().column_count()).all(|column| a.column(column) == b.column(column))
}

/// The greatest distance between two positions.
fn distance(a: RowRef<'_>, b: RowRef<'_>) -> f32 {
    let places = a.kind().fields().iter().filter(|field| matches!(field.ty, FieldType::Position { .. }));
    let distance = |id| Vec3::distance(a.vec3(id), b.vec3(id));
    places.map(|field| distance(field.id)).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use tickwire_protocol::schema::{Field, FieldId, Kind};
    use tickwire_protocol::{RowHead, Schema};

    const K: KindId = KindId(0);
    const ME: PlayerId = PlayerId(7);

    fn schema() -> Arc<Schema> {
        let fields = [
            Field::new(FieldId(0), "place", FieldType::position([-9.0..=9.0, -9.0..=9.0], 0.5)),
            Field::new(FieldId(1), "number", FieldType::integer(0..=9)),
        ];
        Schema::builder("compare").kind(Kind::new(K, "k", fields)).build().unwrap()
    }

    fn id(slot: u16) -> EntityId {
        EntityId { slot, generation: 1 }
    }

    fn guess(slot: u16) -> EntityId {
        EntityId { slot, generation: u16::MAX }
    }

    /// Rows by id, owner and columns.
    fn tables(rows: &[(EntityId, bool, [i32; 3])]) -> Tables {
        let mut tables = Tables::new(schema());
        for (id, is_own, values) in rows {
            let head = RowHead { owner: is_own.then_some(ME), ..RowHead::new(*id) };
            tables.insert(K, head).copy_from(values);
        }
        tables.finish();
        tables
    }

    fn compare(predicted: &Tables, truth: &Tables) -> (Difference, Vec<(EntityId, EntityId)>) {
        let mut comparison = Comparison::default();
        let difference = comparison.compare(predicted, truth, ME);
        (difference, comparison.renamed().to_vec())
    }

    #[test]
    fn an_integer_is_a_difference() {
        let predicted = tables(&[(id(1), true, [4, 4, 1]), (id(2), false, [0, 0, 3])]);
        let truth = |own, other| tables(&[(id(1), true, own), (id(2), false, other)]);
        let of = |own, other| compare(&predicted, &truth(own, other)).0;
        assert!(!of([4, 4, 1], [0, 0, 3]).is_any());
        assert!(of([4, 4, 2], [0, 0, 3]).own);
        let away = of([10, 12, 1], [0, 0, 3]);
        assert!(away.own && (away.error - 5.0).abs() < 1e-6, "{away:?}");
        let other = of([4, 4, 1], [0, 0, 4]);
        assert!(other.other && !other.own);
    }

    #[test]
    fn who_was_spawned_ahead_is_found_by_where_it_is_and_then_by_order() {
        let predicted = tables(&[(guess(1), true, [1, 1, 1]), (guess(2), true, [2, 2, 2])]);
        let (difference, renamed) =
            compare(&predicted, &tables(&[(id(8), true, [2, 2, 2]), (id(9), true, [1, 1, 1])]));
        assert!(difference.name && !difference.own);
        assert_eq!(renamed, [(guess(2), id(8)), (guess(1), id(9))]);
        let (difference, renamed) = compare(&predicted, &tables(&[(id(8), true, [3, 3, 3])]));
        assert!(difference.own, "one is elsewhere, one is not at all");
        assert_eq!(renamed, [(guess(1), id(8))]);
    }

    #[test]
    fn who_comes_or_goes_is_a_difference_if_it_is_ours() {
        let nobody = tables(&[]);
        let mine = tables(&[(id(1), true, [0; 3])]);
        assert!(compare(&mine, &nobody).0.own && compare(&nobody, &mine).0.own);
        assert!(!compare(&tables(&[(id(2), false, [0; 3])]), &nobody).0.is_any(), "not asked for");
    }
}
