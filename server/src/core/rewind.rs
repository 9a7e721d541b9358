//! Lag compensation: the world as a player was shown it, from what was published.
//!
//! ```text
//!  published   . . S . . S . . S . . S . . S . T      S: states of which snapshots told; T: the step
//!  the client has  S     S           S                by its acks
//!  its view                    ^                      between the two around it, as it blends them
//! ```
//!
//! A client shows others between the states that it has, not where they were in between: on a straight way where they took a
//! turn, if a snapshot was lost. So the same is done here, with the states that it has acked, the moment that is
//! [believed](super::belief), and the same arithmetic ([`tickwire_sim::blend`]).
//!
//! Modelled on Yahn Bernier, "Latency Compensating Methods in Client/Server In-game Protocol Design and Optimization" (2001).

use std::sync::Arc;

use tickwire_protocol::history::{History, Published};
use tickwire_protocol::limits::{HISTORY_TICKS, REWIND_MICROS_MAX, TICK_HZ_MAX};
use tickwire_protocol::schema::{Kind, Schema, Sight};
use tickwire_protocol::table::Table;
use tickwire_protocol::{EntityId, KindId, PlayerId, RowHead, Tables, Tick, TickTime};
use tickwire_sim::Eyes;
use tickwire_sim::blend::{self, Between, CUBIC_SECONDS_MAX};

use super::knowledge::{Viewer, own_teams};
use super::tick_set::TickSet;

// The state before the oldest moment is in the ring: 20 snapshots a second are at most 12 ticks apart.
const _: () = assert!(
    REWIND_MICROS_MAX * TICK_HZ_MAX as u64 / 1_000_000 + TICK_HZ_MAX as u64 / 20 < HISTORY_TICKS as u64
);

/// What every player was shown for its input of a step.
#[derive(Debug)]
pub(crate) struct Rewind {
    /// Ticks of which snapshots were due.
    due: TickSet,
    /// Of this step, in ascending player.
    looks: Vec<Look>,
    /// What was asked for last.
    seen: Tables,
    seen_by: Option<PlayerId>,
    /// The kinds that are in it, a bit each.
    filled: u64,
}

/// What one player was shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) player: PlayerId,
    pub(crate) moment: TickTime,
    /// The states that its client has.
    pub(crate) held: TickSet,
}

impl Rewind {
    pub(crate) fn new(schema: Arc<Schema>) -> Self {
        Self {
            due: TickSet::default(),
            looks: Vec::new(),
            seen: Tables::new(schema),
            seen_by: None,
            filled: 0,
        }
    }

    /// Snapshots tell of this tick.
    pub(crate) fn handle_due(&mut self, tick: Tick) {
        self.due.insert(tick);
    }

    /// A step begins; the looks of its players follow.
    pub(crate) fn clear(&mut self) {
        self.looks.clear();
        self.seen_by = None;
    }

    /// What a player was shown; players come in ascending id.
    pub(crate) fn push(&mut self, look: Look) {
        debug_assert!(self.looks.last().is_none_or(|last| last.player < look.player));
        self.looks.push(look);
    }

    /// The states to show a moment between: those that the client has, or, where it should have had some in between and is
    /// silent about them for long, those that were due. Later than all of them, the newest there is.
    fn states_around(&self, look: &Look, newest: Tick, gap_max: i32) -> (Tick, Tick) {
        let tick = look.moment.tick;
        let around = |set: &TickSet| set.at_or_before(tick).zip(set.after(tick));
        around(&look.held)
            .filter(|(from, to)| to.since(*from) <= gap_max)
            .or_else(|| around(&self.due))
            .unwrap_or_else(|| (self.due.at_or_before(tick).unwrap_or(newest), newest))
    }
}

/// The eyes of a step: they see into the history.
#[derive(Debug)]
pub(crate) struct RewoundEyes<'a> {
    pub(crate) rewind: &'a mut Rewind,
    pub(crate) history: &'a History,
}

impl Eyes for RewoundEyes<'_> {
    fn seen_by(&mut self, player: PlayerId, kind: KindId) -> Option<&Table> {
        let Self { rewind, history } = self;
        let place = rewind.looks.binary_search_by_key(&player, |look| look.player).ok()?;
        if rewind.seen_by != Some(player) {
            rewind.seen.clear();
            (rewind.seen_by, rewind.filled) = (Some(player), 0);
        }
        if rewind.filled >> kind.0 & 1 == 0 {
            let look = rewind.looks[place];
            let newest = history.newest()?;
            let gap_max = (CUBIC_SECONDS_MAX * history.rate().hz() as f32) as i32;
            let (from, to) = rewind.states_around(&look, newest.tick(), gap_max);
            let scene = Scene { history, newest, from: history.at(from)?, to: history.at(to)?, look };
            scene.fill(kind, &mut rewind.seen);
            rewind.filled |= 1 << kind.0;
        }
        Some(rewind.seen.table(kind))
    }
}

/// Two published states, and a moment between them.
struct Scene<'a> {
    history: &'a History,
    newest: &'a Published,
    from: &'a Published,
    to: &'a Published,
    look: Look,
}

impl Scene<'_> {
    /// Whoever was there in both states and is there still.
    fn fill(&self, id: KindId, out: &mut Tables) {
        let viewer = Viewer { player: Some(self.look.player), delta: true };
        let [from, to, newest] =
            [self.from, self.to, self.newest].map(|state| state.tables(Sight::Public).table(id));
        let kind = self.history.schema().kind(id);
        let own_teams = own_teams(self.history, self.from, viewer);
        for (row, head) in from.heads().iter().enumerate() {
            if viewer.owns(head) || newest.find_near(head.id, row).is_none() {
                continue;
            }
            let Some(row_then) = to.find_near(head.id, row) else { continue };
            let told = kind.visible(viewer.sight(kind, head, own_teams));
            let (older, newer) = (from.row(kind, row), to.row(kind, row_then));
            let between = self.between(kind, head.id, row);
            blend::row(older, newer, between, told, &mut out.insert(id, RowHead::new(head.id)));
        }
    }

    /// How far an entity was shown on its way from one state to the other. As a client does it: from where it last rested, if it
    /// did on the way; and not at all, if it jumped.
    fn between(&self, kind: &Kind, id: EntityId, row: usize) -> Between {
        let (begin, end) = (self.from.tick(), self.to.tick());
        let moment = self.look.moment;
        let (mut start, mut is_from_rest) = (begin, false);
        let mut jump = None;
        for state in (0..=end.since(begin).max(0) as u32).filter_map(|step| self.history.at(begin + step)) {
            let kind = KindId(kind.index());
            let table = state.tables(Sight::Public).table(kind);
            let Some(row) = table.find_near(id, row) else { continue };
            if state.tick() != begin && table.heads()[row].teleported {
                jump = Some(state.tick());
            }
            if state.tick() != end && state.is_at_rest(kind, row) {
                (start, is_from_rest) = (state.tick(), true);
            }
        }
        let hold = |fraction| Between { fraction, seconds: 0.0, is_from_rest: false };
        if let Some(jump) = jump {
            return hold(if jump.is_newer_than(moment.tick) { 0.0 } else { 1.0 });
        }
        let elapsed = moment.tick.since(start) as f32 + moment.fraction;
        let span = end.since(start) as f32;
        if elapsed <= 0.0 || span <= 0.0 {
            return hold(0.0);
        }
        let seconds = span * self.history.rate().dt();
        Between { fraction: (elapsed / span).min(1.0), seconds, is_from_rest }
    }
}
