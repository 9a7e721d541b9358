//! Who goes first when not everything fits.
//!
//! Nothing here is asked while a peer's news fit into what it may be sent. When they do not, each row of news has a **score**,
//!
//! ```text
//!  score = weight x (ticks since a row of the entity was last sent; if none was, since it came into view and was passed over)
//!  weight = near / max(distance, near) x (1 + min(speed / 10, 1)) x facing x the game's own    from 1/8 to 8, in eighths
//!  facing = 2 ahead (within 60 degrees), 1/2 behind (beyond 100), else 1; 1 if nobody has said where the peer looks
//! ```
//!
//! and as many of the highest as fit are sent. It is the accumulator of `Iris` and `Tribes` (what waits grows by its weight each tick, what is
//! sent starts from zero), with nothing to keep and nothing to add up: the wait is in what the room knows of the peer already. The two
//! differ only while a weight changes: here the present weight counts for all of the wait.
//!
//! What has jumped since the newest state that the peer holds weighs the most: it is shown where it was, which may be anywhere, until it is sent.
//!
//! **Nothing starves.** Let `N` rows be in view that change all the time, `K` the least number of them that fit into a snapshot, and `r` the ratio of
//! the greatest to the least weight among them (at most 64). A row that has waited for `n` snapshots is sent, unless `K` others go before
//! it, each of which has waited for at least `n / r`. So, of its last `n / 2` snapshots of waiting, every other row went before it at
//! most `1 + r` times, as each time it had to wait for `n / 2r` again:
//!
//! ```text
//!  K n / 2 <= (N - 1) (1 + r)        n <= 2 (1 + r) N / K snapshots
//! ```
//!
//! and where all weigh the same they take turns: `n <= N / K`, rounded up. Whatever rests and then changes has waited since it was last sent, and
//! goes at once; that does not change the bound, which counts from sending to sending.

use core::fmt;
use std::sync::Arc;

use glam::Vec3;
use tickwire_protocol::history::Published;
use tickwire_protocol::snapshot::PlannedRow;
use tickwire_protocol::{RowHead, RowRef};

use super::interest::Looker;
use super::knowledge::Knowledge;
use super::scene::{Place, place_field, position_of, row_at};

/// The least and the greatest weight: within them nothing waits for ever.
pub(crate) const WEIGHTS: core::ops::RangeInclusive<f32> = 0.125..=8.0;

/// Weights are counted in eighths.
const WEIGHTS_A_UNIT: f32 = 8.0;
const WEIGHT_MAX: u64 = (*WEIGHTS.end() * WEIGHTS_A_UNIT) as u64;

/// Speed from which on an entity counts twice, metres a second.
const FAST: f32 = 10.0;

/// Which rows go first when not all of a peer's news fit into its budget, or through its link.
///
/// By default what is near, fast and ahead of the peer goes first: within 10 m of its [focus](super::Interest) in full, further away less as
/// it gets smaller to the eye. The peer's own rows always come before all others.
///
/// ```
/// use tickwire_protocol::{RowHead, RowRef};
/// use tickwire_server::core::{Looker, Priority, PriorityRule};
/// # const BALL: u8 = 2;
///
/// /// Everybody looks at the ball.
/// #[derive(Debug)]
/// struct Ball;
///
/// impl PriorityRule for Ball {
///     fn weight(&self, _: &Looker, _: &RowHead, row: RowRef<'_>) -> f32 {
///         if row.kind().index() == BALL { 8.0 } else { 1.0 }
///     }
/// }
///
/// let priority = Priority::near(20.0).rule(Ball);
/// # let _ = priority;
/// ```
#[derive(Clone, Debug)]
pub struct Priority {
    near: f32,
    rule: Option<Arc<dyn PriorityRule>>,
}

/// What a game has to say about who goes first.
pub trait PriorityRule: fmt::Debug + Send + Sync {
    /// How much an entity matters to a peer, beside distance, speed and direction, by which this is multiplied: 1 for most. The product is kept from
    /// 1/8 to 8, so nothing is never sent. Asked only if not everything fits, then of every row of news.
    fn weight(&self, looker: &Looker, head: &RowHead, row: RowRef<'_>) -> f32;
}

impl Default for Priority {
    fn default() -> Self {
        Self::near(10.0)
    }
}

impl Priority {
    /// What is within this distance counts in full. Metres, or what the game measures in; at least a millimetre.
    pub fn near(distance: f32) -> Self {
        Self { near: distance.max(1e-3), rule: None }
    }

    /// The game has its say.
    #[must_use]
    pub fn rule(mut self, rule: impl PriorityRule + 'static) -> Self {
        self.rule = Some(Arc::new(rule));
        self
    }

    /// How much a row weighs to one who looks, in eighths: 1 to 64.
    fn weight(&self, looker: &Looker, head: &RowHead, row: RowRef<'_>) -> u64 {
        let mut weight = 1.0;
        if let (Some(focus), Some(position)) = (looker.focus, position_of(row)) {
            let way = position - focus;
            weight *= self.near / way.length().max(self.near);
            weight *= looker.facing.map_or(1.0, |facing| ahead(facing, way));
        }
        let kind = row.kind();
        if let Some(field) = place_field(kind).and_then(|place| kind.velocity_of(place)) {
            weight *= 1.0 + (row.vec3(field.id).length() / FAST).min(1.0);
        }
        if let Some(rule) = &self.rule {
            weight *= rule.weight(looker, head, row);
        }
        // What is no number is the least.
        (weight.max(*WEIGHTS.start()).min(*WEIGHTS.end()) * WEIGHTS_A_UNIT) as u64
    }

    /// Puts the places of `rows` into `order`, the highest score first.
    pub(crate) fn sort(
        &self,
        newest: &Published,
        looker: &Looker,
        known: &Knowledge,
        rows: &[PlannedRow],
        haste: impl Fn(&PlannedRow) -> Haste,
        order: &mut Order,
    ) {
        let Order { scores, places } = order;
        scores.clear();
        scores.extend(rows.iter().enumerate().map(|(place, row)| {
            let (head, values) = row_at(newest, Place { kind: row.kind, row: row.row });
            let waited = u64::from(known.waited(newest.tick(), head.id));
            let score = match haste(row) {
                Haste::Usual => self.weight(looker, &head, values) * waited,
                Haste::Weighty => WEIGHT_MAX * waited,
                Haste::First => (self.weight(looker, &head, values) * waited) | (1 << 63),
            };
            (u64::MAX - score, place as u32)
        }));
        scores.sort_unstable();
        places.clear();
        places.extend(scores.iter().map(|(_, place)| *place));
    }
}

/// What a row has before others.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Haste {
    /// Its score.
    Usual,
    /// It weighs the most.
    Weighty,
    /// It goes before all that are not first.
    First,
}

/// An order of rows; reused from peer to peer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    scores: Vec<(u64, u32)>,
    pub(crate) places: Vec<u32>,
}

/// How much more something matters that lies this way from one who looks that way.
fn ahead(facing: Vec3, way: Vec3) -> f32 {
    match facing.normalize_or_zero().dot(way.normalize_or_zero()) {
        cosine if cosine > 0.5 => 2.0,
        cosine if cosine < -0.17 => 0.5,
        _ => 1.0,
    }
}
