//! Where the bits of a row's values go.

use super::code::DenseTeller;
use super::dense;
use super::fast;
use super::predict::State;
use super::range::Symbol;
use super::row::{Guess, RowCoder, walk};
use super::section::RowSource;
use super::shared::copy_states;
use super::{Codec, Coder, SectionPlan};
use crate::history::History;
use crate::limits::{COLUMNS_PER_KIND_MAX, REFERENCES_PER_ROW_MAX};
use crate::schema::{Column, KindId};

/// Something that was told of a column: one of `parts` in `1 << bits`, so it took `bits - log2(parts)` bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Told {
    /// Of which kind.
    pub kind: KindId,
    /// The entity's slot.
    pub slot: u16,
    /// Which column; of several that are told of together, the first.
    pub column: usize,
    /// How many parts of all.
    pub parts: u32,
    /// The binary logarithm of all.
    pub bits: u32,
}

impl Codec {
    /// Says of each row of a plan that names states what its values take. The newest tick of `history` is the one told.
    pub fn explain(&self, history: &History, plan: &SectionPlan, tell: &mut dyn FnMut(Told)) {
        let Some(source) = RowSource::of(self, history, &|_| None) else { return };
        for row in plan.rows.iter().filter(|row| !row.references.is_empty()) {
            let kind = self.schema.kind(row.kind);
            let mut columns = [[0; COLUMNS_PER_KIND_MAX]; REFERENCES_PER_ROW_MAX];
            let mut states = [State { distance: 0, values: &[] }; REFERENCES_PER_ROW_MAX];
            let was_at_rest = copy_states(source, kind, row, &mut columns, &mut states);
            let mut values = [0; COLUMNS_PER_KIND_MAX];
            source.newest.tables(row.sight).table(row.kind).row(kind, row.row as usize).copy_to(&mut values);
            if source.comes_to_rest(kind, row, &states[0], was_at_rest) {
                continue;
            }
            let context = self.row_context(kind, row.sight, &states[..row.references.len()]);
            let slot = source.id(row).slot;
            let mut told = |column: usize, parts: u32, bits: u32| {
                tell(Told { kind: row.kind, slot, column, parts, bits });
            };
            let mut known = [0; COLUMNS_PER_KIND_MAX];
            match self.coder {
                Coder::Dense => {
                    let mut symbols = Vec::new();
                    let teller = DenseTeller {
                        learned: self.prior.learned(),
                        sets: &context.plan.sets,
                        values: &values,
                        out: &mut symbols,
                    };
                    walk::<_, true>(&context, &mut known, &mut DenseExplainer { teller, told: &mut told });
                }
                Coder::Fast => {
                    walk::<_, false>(
                        &context,
                        &mut known,
                        &mut FastExplainer { values: &values, told: &mut told },
                    );
                }
            }
        }
    }
}

struct DenseExplainer<'a, F> {
    teller: DenseTeller<'a>,
    told: &'a mut F,
}

impl<F: FnMut(usize, u32, u32)> DenseExplainer<'_, F> {
    fn flush(&mut self, column: usize) {
        for Symbol { size, bits, .. } in self.teller.out.drain(..) {
            (self.told)(column, u32::from(size) + 1, u32::from(bits));
        }
    }
}

impl<F: FnMut(usize, u32, u32)> RowCoder for DenseExplainer<'_, F> {
    fn number(&mut self, shape: &Column, guess: Guess) -> i32 {
        let value = self.teller.number(shape, guess);
        self.flush(guess.column);
        value
    }

    fn is(&mut self, column: usize, value: i32, odds: f32) -> bool {
        let is = self.teller.is(column, value, odds);
        self.flush(column);
        is
    }

    fn are(&mut self, columns: &[usize], values: &[i32], odds: f32) -> bool {
        let are = self.teller.are(columns, values, odds);
        self.flush(columns.first().copied().unwrap_or(0));
        are
    }
}

struct FastExplainer<'a, F> {
    values: &'a [i32],
    told: &'a mut F,
}

impl<F: FnMut(usize, u32, u32)> RowCoder for FastExplainer<'_, F> {
    fn number(&mut self, shape: &Column, guess: Guess) -> i32 {
        let value = self.values[guess.column];
        let residual = dense::residual(shape, value, guess.point);
        let told = &mut *self.told;
        fast::tell(shape, fast::parameter(guess.scale), residual, value, |_, count| {
            told(guess.column, 1, count);
        });
        value
    }

    fn is(&mut self, column: usize, value: i32, _: f32) -> bool {
        (self.told)(column, 1, 1);
        self.values[column] == value
    }

    fn are(&mut self, columns: &[usize], values: &[i32], _: f32) -> bool {
        (self.told)(columns.first().copied().unwrap_or(0), 1, 1);
        columns.iter().all(|&column| self.values[column] == values[column])
    }
}
