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
    pub(super) is_flag: bool,
}

impl Default for Equations {
    fn default() -> Self {
        Self { products: [[0.0; FEATURES]; FEATURES], targets: [0.0; FEATURES], seen: 0.0, is_flag: false }
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
