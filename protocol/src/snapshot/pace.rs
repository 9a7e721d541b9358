//! How far apart the states lie that a row names: worked out once for all rows that name the same ticks.

use super::context;
use super::lanes::Lanes;
use super::links::State;

/// Times to guess over, and classes of weights that follow from them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Seconds a tick.
    pub(super) dt: f32,
    /// Seconds from the newest state to the row; on every lane, as the two that follow; and their square.
    pub(super) t: Lanes,
    pub(super) t_squared: Lanes,
    /// The same in units of the time between the two newest states, and between the two before, or the two newest if there is
    /// no third; 0 where there are none.
    pub(super) near: Lanes,
    pub(super) far: Lanes,
    /// That of a row's flags, and of all that has no steadiness of its own.
    pub(super) class: u8,
}

impl Pace {
    /// That of states so many ticks before the row, newest first.
    pub(super) fn of(distances: &[u32], dt: f32) -> Self {
        let ticks = distances.first().map_or(1, |distance| *distance as i32) as f32;
        let share = |newer: usize| match distances.get(newer..newer + 2) {
            Some(&[newer, older]) if older > newer => Some(ticks / (older - newer) as i32 as f32),
            Some(_) => Some(0.0),
            None => None,
        };
        let near = share(0).unwrap_or(0.0);
        let t = ticks * dt;
        Self {
            dt,
            t: Lanes::splat(t),
            t_squared: Lanes::splat(t * t),
            near: Lanes::splat(near),
            far: Lanes::splat(share(1).unwrap_or(near)),
            class: context::class_of(distances.len(), t, 0),
        }
    }

    /// That of these states.
    pub(super) fn of_states(states: &[State<'_>], dt: f32) -> Self {
        let mut distances = [0; crate::limits::REFERENCES_PER_ROW_MAX];
        for (distance, state) in distances.iter_mut().zip(states) {
            *distance = state.distance;
        }
        Self::of(&distances[..states.len().min(distances.len())], dt)
    }
}
