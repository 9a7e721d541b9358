//! Where the bits of a row's values go.

use super::code::DenseTeller;
use super::dense;
use super::fast::{self, Codes};
use super::lanes::Ints;
use super::links::Columns;
use super::range::Symbol;
use super::row::{FieldCoder, Guess, RowCoder, walk_dense, walk_fast};
use super::section::RowSource;
use super::shared::{Past, Shown};
use super::{Codec, Coder, SectionPlan};
use crate::history::History;
use crate::limits::COLUMNS_PER_KIND_MAX;
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
            let mut shown = Shown::default();
            let past = Past::of(&source, kind, row);
            let mut named = past.named(row);
            past.hide(&mut named, &mut shown);
            let values = named.current;
            if source.comes_to_rest(row, &named) {
                continue;
            }
            let context = past.context(&named);
            let slot = source.id(row).slot;
            let mut told = |column: usize, parts: u32, bits: u32| {
                tell(Told { kind: row.kind, slot, column, parts, bits });
            };
            let mut known = [0; COLUMNS_PER_KIND_MAX];
            match self.coder.of(row.sight) {
                Coder::Dense => {
                    let mut symbols = Vec::new();
                    let teller = DenseTeller {
                        learned: self.prior.learned(),
                        first_tables: &context.plan.first_tables,
                        values,
                        out: &mut symbols,
                    };
                    walk_dense(&context, &mut known, &mut DenseExplainer { teller, told: &mut told });
                }
                Coder::Fast => {
                    walk_fast(
                        &context,
                        &mut known,
                        &mut FastExplainer { codes: &self.prior.learned().codes, values, told: &mut told },
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
    fn numbers(&mut self, shapes: &[Column], guess: &Guess, known: &mut [i32]) -> [i32; 4] {
        core::array::from_fn(|axis| {
            if axis >= guess.axes {
                return 0;
            }
            let guess = guess.axis(axis);
            let [residual, ..] = self.teller.numbers(shapes, &guess, known);
            self.flush(guess.first);
            residual
        })
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
    codes: &'a Codes,
    values: &'a [i32],
    told: &'a mut F,
}

impl<F: FnMut(usize, u32, u32)> RowCoder for FastExplainer<'_, F> {
    fn numbers(&mut self, shapes: &[Column], guess: &Guess, known: &mut [i32]) -> [i32; 4] {
        let mut residuals = [0; 4];
        for (axis, residual) in residuals.iter_mut().enumerate().take(guess.axes) {
            let column = guess.first + axis;
            let (shape, value) = (&shapes[column], self.values[column]);
            *residual = dense::residual(shape, value, guess.points[axis]);
            let (_, count) = fast::tell(
                self.codes,
                fast::place(guess.thirds[axis]),
                *residual,
                (shape.min, shape.bits),
                value,
            );
            (self.told)(column, 1, count);
            known[column] = value;
        }
        residuals
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

impl<F: FnMut(usize, u32, u32)> FieldCoder for FastExplainer<'_, F> {
    fn vector(&mut self, columns: &Columns, points: Ints, thirds: Ints, known: &mut [i32]) -> Ints {
        let values = Ints::of(self.values, columns.first);
        let residuals = (values - points).and(columns.there);
        for (axis, residual) in residuals.values().into_iter().enumerate().take(columns.axes) {
            let (_, count) = fast::tell(
                self.codes,
                fast::place(thirds.values()[axis]),
                residual,
                columns.whole(axis),
                values.values()[axis],
            );
            (self.told)(columns.first + axis, 1, count);
        }
        columns.put(values, known);
        values
    }
}
