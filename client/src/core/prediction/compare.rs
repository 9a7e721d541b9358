//! Whether what was predicted is so.

use glam::Vec3;
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId};

use tickwire_protocol::{EntityId, PlayerId, RowRef, Table, Tables};
use tickwire_sim::is_provisional;

/// In what a prediction and the truth differ.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Difference {
    /// An integer of an own row, or which own rows there are.
    pub(super) own: bool,
    /// Nothing but the id of an own entity that was spawned ahead of the server, there or where it is referred to.
    pub(super) name: bool,
    /// A row of somebody else's, or whether there is one.
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
    /// Guesses that predicted own rows refer to, and to whom the true ones refer there.
    references: Vec<(EntityId, Option<EntityId>)>,
}

impl Comparison {
    /// Entities that were spawned ahead, and the real ones that they turned out to be, since the last [`Comparison::clear`].
    pub(super) fn renamed(&self) -> &[(EntityId, EntityId)] {
        &self.renamed
    }

    pub(super) fn clear(&mut self) {
        self.renamed.clear();
    }

    /// In what two states of a tick differ. Of the truth every row counts; of the prediction those of the player, and those of
    /// others that are not there any more.
    pub(super) fn compare(&mut self, predicted: &Tables, truth: &Tables, player: PlayerId) -> Difference {
        self.renamed.clear();
        self.references.clear();
        let mut difference = Difference::default();
        for kind in truth.schema().kinds() {
            let pair = Pair {
                kind,
                guessed: predicted.table(KindId(kind.index())),
                real: truth.table(KindId(kind.index())),
            };
            self.compare_known(pair, player, &mut difference);
            self.find_guesses(pair, &mut difference);
        }
        // Who refers to a guess refers to whom it turned out to be.
        let is_renamed = |&(guess, id): &(EntityId, Option<EntityId>)| {
            id.is_some_and(|id| self.renamed.contains(&(guess, id)))
        };
        difference.name |= !self.references.is_empty();
        difference.own |= !self.references.iter().all(is_renamed);
        difference
    }

    /// Compares rows of the same id, and takes down those that only one side has.
    fn compare_known(&mut self, pair: Pair<'_>, player: PlayerId, difference: &mut Difference) {
        let Pair { guessed, real, .. } = pair;
        self.guesses.clear();
        self.news.clear();
        for (place, head) in real.heads().iter().enumerate() {
            let is_own = head.owner == Some(player);
            match guessed.find(head.id) {
                Some(guess) if is_own => self.compare_own(pair, guess, place, difference),
                Some(guess) => difference.other |= !is_same(pair.guess(guess), pair.real(place)),
                None if is_own => self.news.push(place),
                None => difference.other = true,
            }
        }
        for (place, head) in guessed.heads().iter().enumerate() {
            if real.find(head.id).is_some() {
                continue;
            }
            if head.owner == Some(player) {
                self.guesses.push(place);
            } else {
                // What the step has spawned for nobody is never told as the player's.
                difference.other |= !is_provisional(head.id);
            }
        }
    }

    fn compare_own(&mut self, pair: Pair<'_>, guess: usize, real: usize, difference: &mut Difference) {
        let (guess, real) = (pair.guess(guess), pair.real(real));
        if !is_like(guess, real) {
            difference.own = true;
            difference.error = difference.error.max(distance(guess, real));
        }
        let references = references(guess.kind()).filter_map(|field| {
            let guessed = guess.entity(field).filter(|id| is_provisional(*id))?;
            Some((guessed, real.entity(field)))
        });
        self.references.extend(references);
    }

    /// Finds out who was spawned ahead. Who is where it should be is surely the one; among the rest the order counts.
    fn find_guesses(&mut self, pair: Pair<'_>, difference: &mut Difference) {
        for is_by_order in [false, true] {
            for _ in 0..self.news.len() {
                let new = self.news.remove(0);
                let is_it = |guess: &usize| {
                    is_provisional(pair.guessed.heads()[*guess].id)
                        && (is_by_order || is_like(pair.guess(*guess), pair.real(new)))
                };
                let Some(found) = self.guesses.iter().position(is_it) else {
                    self.news.push(new);
                    continue;
                };
                let guess = self.guesses.remove(found);
                difference.name = true;
                self.compare_own(pair, guess, new, difference);
                self.renamed.push((pair.guessed.heads()[guess].id, pair.real.heads()[new].id));
            }
        }
        difference.own |= !self.guesses.is_empty() || !self.news.is_empty();
    }
}

/// The rows of one kind.
#[derive(Clone, Copy)]
struct Pair<'a> {
    kind: &'a Kind,
    guessed: &'a Table,
    real: &'a Table,
}

impl<'a> Pair<'a> {
    fn guess(self, place: usize) -> RowRef<'a> {
        self.guessed.row(self.kind, place)
    }

    fn real(self, place: usize) -> RowRef<'a> {
        self.real.row(self.kind, place)
    }
}

/// Whether every column is the same.
pub(super) fn is_same(a: RowRef<'_>, b: RowRef<'_>) -> bool {
    (0..a.kind().column_count()).all(|column| a.column(column) == b.column(column))
}

/// As [`is_same`], but a reference to a guess is like one to anybody: to whom is known once all guesses are found.
fn is_like(guess: RowRef<'_>, real: RowRef<'_>) -> bool {
    let is_open = |field: &Field| {
        let is_reference = matches!(field.ty, FieldType::Entity);
        is_reference && guess.entity(field.id).is_some_and(is_provisional) && real.entity(field.id).is_some()
    };
    let columns_agree =
        |field: &Field| field.columns().all(|column| guess.column(column) == real.column(column));
    guess.kind().fields().iter().all(|field| columns_agree(field) || is_open(field))
}

/// The fields that refer to entities.
fn references(kind: &Kind) -> impl Iterator<Item = FieldId> {
    let fields = kind.fields().iter().filter(|field| matches!(field.ty, FieldType::Entity));
    fields.map(|field| field.id)
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

    /// A second kind, whose rows refer to entities.
    const SHIP: KindId = KindId(1);

    fn schema() -> Arc<Schema> {
        let ship = [
            Field::new(FieldId(0), "number", FieldType::integer(0..=9)),
            Field::new(FieldId(1), "towed", FieldType::entity()),
        ];
        let fields = [
            Field::new(FieldId(0), "place", FieldType::position([-9.0..=9.0, -9.0..=9.0], 0.5)),
            Field::new(FieldId(1), "number", FieldType::integer(0..=9)),
        ];
        Schema::builder("compare")
            .kind(Kind::new(K, "k", fields))
            .kind(Kind::new(SHIP, "ship", ship))
            .build()
            .unwrap()
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
    fn nobody_takes_the_name_of_one_who_is_found_exactly() {
        let predicted = tables(&[(guess(1), true, [1, 1, 1]), (guess(2), true, [2, 2, 2])]);
        let (difference, mut renamed) =
            compare(&predicted, &tables(&[(id(8), true, [3, 3, 3]), (id(9), true, [1, 1, 1])]));
        assert!(difference.own, "8 is not where 2 was");
        renamed.sort_unstable();
        assert_eq!(renamed, [(guess(1), id(9)), (guess(2), id(8))]);
    }

    /// A bolt, and a ship that was there before and refers to somebody.
    fn towing(bolt: EntityId, towed: Option<EntityId>, number: i32) -> Tables {
        let mut tables = Tables::new(schema());
        tables.insert(K, RowHead::new(bolt).owned_by(ME)).copy_from(&[1, 1, 1]);
        let mut ship = tables.insert(SHIP, RowHead::new(id(3)).owned_by(ME));
        ship.set_integer(FieldId(0), number).set_entity(FieldId(1), towed);
        tables.finish();
        tables
    }

    #[test]
    fn a_reference_to_a_guess_is_one_to_whom_it_turns_out_to_be() {
        let predicted = towing(guess(1), Some(guess(1)), 0);
        let (difference, renamed) = compare(&predicted, &towing(id(8), Some(id(8)), 0));
        assert!(difference.name && !difference.own, "{difference:?}");
        assert_eq!(renamed, [(guess(1), id(8))]);
        for truth in [towing(id(8), Some(id(9)), 0), towing(id(8), None, 0), towing(id(8), Some(id(8)), 1)] {
            assert!(compare(&predicted, &truth).0.own);
        }
    }

    #[test]
    fn those_who_refer_to_each_other_are_found_where_they_are() {
        let ships = |ids: [(EntityId, i32, EntityId); 2]| {
            let mut tables = Tables::new(schema());
            for (id, number, towed) in ids {
                let mut ship = tables.insert(SHIP, RowHead::new(id).owned_by(ME));
                ship.set_integer(FieldId(0), number).set_entity(FieldId(1), Some(towed));
            }
            tables.finish();
            tables
        };
        let predicted = ships([(guess(1), 1, guess(2)), (guess(2), 2, guess(1))]);
        let (difference, mut renamed) = compare(&predicted, &ships([(id(8), 2, id(9)), (id(9), 1, id(8))]));
        assert!(difference.name && !difference.own, "{difference:?}");
        renamed.sort_unstable();
        assert_eq!(renamed, [(guess(1), id(9)), (guess(2), id(8))]);
    }

    #[test]
    fn who_comes_or_goes_is_a_difference_if_it_is_ours() {
        let nobody = tables(&[]);
        let mine = tables(&[(id(1), true, [0; 3])]);
        assert!(compare(&mine, &nobody).0.own && compare(&nobody, &mine).0.own);
        let other = compare(&tables(&[(id(2), false, [0; 3])]), &nobody).0;
        assert!(other.other && !other.own, "who is gone is in nobody's way");
        let spawned = compare(&tables(&[(guess(2), false, [0; 3])]), &nobody).0;
        assert!(!spawned.is_any(), "of nobody, and of this world alone");
    }
}
