//! Linear least squares.

#![expect(clippy::needless_range_loop, reason = "rows and columns of a matrix are numbers")]

use super::super::lanes::{FEATURES, Features};

/// Least squares: the sums of products that the best weights follow from.
#[derive(Debug)]
pub(super) struct Equations {
    products: [[f64; FEATURES]; FEATURES],
    targets: [f64; FEATURES],
    /// How much was added up.
    pub(super) seen: f64,
    /// What their weights are for.
    pub(super) of: Of,
}

/// What weights are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Of {
    /// By how much a number changes.
    Change,
    /// The logarithm of its error's size.
    Octaves,
    /// Its error's size.
    Steps,
    /// The odds of a flag.
    Flag,
}

impl Default for Equations {
    fn default() -> Self {
        Self { products: [[0.0; FEATURES]; FEATURES], targets: [0.0; FEATURES], seen: 0.0, of: Of::Change }
    }
}

impl Equations {
    /// One more example; features that are not there are 0.
    pub(super) fn add(&mut self, features: &[f32], target: f64, weight: f64, seen: f64) {
        self.seen += seen;
        let mut values = [0.0; FEATURES];
        for (value, feature) in values.iter_mut().zip(features) {
            *value = f64::from(*feature);
        }
        for row in 0..features.len() {
            let weighted = weight * values[row];
            if weighted == 0.0 {
                continue;
            }
            for column in 0..=row {
                self.products[row][column] += weighted * values[column];
            }
            self.targets[row] += weighted * target;
        }
    }

    /// The weights with the least squares, drawn a little towards zero.
    pub(super) fn solve(&self, ridge: f64) -> Features {
        let mut matrix = self.products;
        let mut right = self.targets;
        for row in 0..FEATURES {
            for column in row + 1..FEATURES {
                matrix[row][column] = matrix[column][row];
            }
            matrix[row][row] += matrix[row][row] * 1e-5 + ridge;
        }
        eliminate(&mut matrix, &mut right);
        right.map(|weight| weight as f32)
    }

    /// The same without negative weights: a feature that would have one is left out.
    pub(super) fn solve_positive(&self, ridge: f64) -> Features {
        let mut left = Self { products: self.products, targets: self.targets, ..Self::default() };
        loop {
            let weights = left.solve(ridge);
            let mut is_done = true;
            for place in (0..FEATURES).filter(|&place| weights[place] < 0.0) {
                is_done = false;
                left.leave_out(place);
            }
            if is_done {
                return weights;
            }
        }
    }

    fn leave_out(&mut self, place: usize) {
        self.targets[place] = 0.0;
        self.products[place] = [0.0; FEATURES];
        self.products.iter_mut().for_each(|row| row[place] = 0.0);
    }
}

/// Solves a system by elimination with pivots; leaves the solution in `right`.
fn eliminate(matrix: &mut [[f64; FEATURES]; FEATURES], right: &mut [f64; FEATURES]) {
    for step in 0..FEATURES {
        let pivot = (step..FEATURES)
            .max_by(|&a, &b| matrix[a][step].abs().total_cmp(&matrix[b][step].abs()))
            .unwrap_or(step);
        matrix.swap(step, pivot);
        right.swap(step, pivot);
        if matrix[step][step].abs() < 1e-30 {
            continue;
        }
        for row in step + 1..FEATURES {
            let factor = matrix[row][step] / matrix[step][step];
            if factor != 0.0 {
                for column in step..FEATURES {
                    matrix[row][column] -= factor * matrix[step][column];
                }
                right[row] -= factor * right[step];
            }
        }
    }
    for row in (0..FEATURES).rev() {
        let known: f64 = (row + 1..FEATURES).map(|column| matrix[row][column] * right[column]).sum();
        let pivot = matrix[row][row];
        right[row] = if pivot.abs() < 1e-30 { 0.0 } else { (right[row] - known) / pivot };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What grows with one feature and shrinks with another.
    fn seen() -> Equations {
        let mut equations = Equations::default();
        for [a, b] in [[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [3.0, 5.0]] {
            equations.add(&[1.0, a, b], f64::from(9.0 + 2.0 * a - b), 1.0, 1.0);
        }
        equations
    }

    #[test]
    fn exact_equations_are_solved() {
        let weights = seen().solve(0.0);
        let is_near = |place: usize, weight: f32| (weights[place] - weight).abs() < 1e-3;
        assert!(is_near(0, 9.0) && is_near(1, 2.0) && is_near(2, -1.0), "{weights:?}");
    }

    #[test]
    fn without_negative_weights_the_others_are_the_best() {
        let weights = seen().solve_positive(0.0);
        let mut without = Equations::default();
        for [a, b] in [[1.0, 0.0], [0.0, 1.0], [2.0, 1.0], [3.0, 5.0]] {
            without.add(&[1.0, a], f64::from(9.0 + 2.0 * a - b), 1.0, 1.0);
        }
        assert!(weights[2].abs() < 1e-6, "{weights:?}");
        assert_eq!(weights[..2], without.solve(0.0)[..2]);
    }
}
