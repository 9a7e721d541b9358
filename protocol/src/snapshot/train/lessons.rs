//! What rows taught together.

use super::super::context::CLASSES;
use super::super::dense::{SETS, TABLES, TOKENS};
use super::super::fast::{CODES, FAST_TOKENS};
use super::super::models::untrained;
use super::super::prior::{Learned, Model, ODDS};
use super::equations::{Equations, Of};
use super::keys::Keys;

/// A class is learned apart if it was seen so often.
pub(super) const SEEN_MIN: f64 = 100.0;

/// What one pass adds up.
pub(super) struct Lessons {
    pub(super) pass: u32,
    /// Per key and class.
    pub(super) means: Vec<Option<Box<Equations>>>,
    pub(super) scales: Vec<Option<Box<Equations>>>,
    /// Per table.
    pub(super) tokens: Vec<[f64; TOKENS]>,
    /// Per code of the `fast` coder.
    pub(super) fast_tokens: [[f64; FAST_TOKENS]; CODES],
    /// Per step of the odds: how often no and yes came.
    pub(super) odds: [[f64; 2]; ODDS],
}

impl Lessons {
    pub(super) fn new(keys: usize, pass: u32) -> Self {
        let none = || (0..keys * CLASSES).map(|_| None).collect();
        Self {
            pass,
            means: none(),
            scales: none(),
            tokens: vec![[0.0; TOKENS]; TABLES * SETS],
            fast_tokens: [[0.0; FAST_TOKENS]; CODES],
            odds: [[0.0; 2]; ODDS],
        }
    }

    pub(super) fn seen(&self, keys: &Keys, key: u32, class: u8) -> f64 {
        let place =
            keys.all.binary_search_by_key(&key, |(key, _)| *key).unwrap_or(0) * CLASSES + usize::from(class);
        let seen = |equations: &Option<Box<Equations>>| equations.as_ref().map_or(0.0, |e| e.seen);
        seen(&self.scales[place]).max(seen(&self.means[place]))
    }

    /// The weights that solve what was added up; those of before where too little was.
    pub(super) fn models(&self, keys: &Keys, before: &Learned, is_dense: bool, pass: u32) -> Vec<Model> {
        let mut models = Vec::new();
        let old = &before.models[usize::from(is_dense)];
        for (place, (means, scales)) in self.means.iter().zip(&self.scales).enumerate() {
            let ((key, role), class) = (keys.all[place / CLASSES], (place % CLASSES) as u8);
            let seen = |equations: &Option<Box<Equations>>| equations.as_ref().map_or(0.0, |e| e.seen);
            if seen(means).max(seen(scales)) < SEEN_MIN {
                continue;
            }
            let mut weights = old
                .iter()
                .find(|model| (model.key, model.class) == (key, class))
                .map_or_else(|| untrained(role), |model| model.weights);
            if let Some(means) = means.as_ref().filter(|means| means.seen >= SEEN_MIN) {
                weights.mean = Learned::rounded(&means.solve(1e-9), 3);
            }
            if let Some(scales) = scales.as_ref().filter(|scales| scales.seen >= SEEN_MIN) {
                // A first guess of what the scale is worth needs means first.
                if pass > 0 || scales.of == Of::Flag {
                    let solved = match scales.of {
                        Of::Steps => scales.solve_positive(1e-9),
                        Of::Flag => scales.solve(3.0),
                        Of::Change | Of::Octaves => scales.solve(1e-3),
                    };
                    weights.scale = Learned::rounded(&solved, 2);
                }
            }
            models.push(Model { key, class, weights });
        }
        models
    }
}
