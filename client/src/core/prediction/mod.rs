//! The own player, ahead of the server: the game's step on what is known of the world, and what is made good when the server
//! says otherwise.
//!
//! ```text
//!  push_input(T) ──> log ──> world.step(T) ──> rows of T in the log, cues told, T - 1 .. T shown
//!  snapshot of S ──> own rows of S = those predicted for S?   yes: nothing to do
//!                                                             no: restore S, step S + 1 .. newest again
//! ```
//!
//! **Exact.** Rows are compared integer for integer: both worlds quantize at the end of each step, so they are the same or they
//! are not. **Bounded.** No more than [`LOG_TICKS`] ticks are ever stepped again for a snapshot, with [`OWN_ROWS_MAX`] own rows and
//! [`OTHERS_MAX`] others; beyond that nothing is predicted until it is less. Nor is it predicted further than [`LOG_TICKS`] beyond
//! the last tick that was compared.
//!
//! | file | what it decides |
//! |---|---|
//! | `log` | inputs and rows by tick; what stands for inputs that were not given |
//! | `compare` | whether what was predicted is so, and which real entities were spawned ahead |
//! | `cues` | which cues are told at once, and that none is told twice |
//! | `shown`, `smoothing` | what the eyes get |
//!
//! Modelled on the prediction of Valve's Source engine and of Overwatch (T. Ford, "Overwatch Gameplay Architecture and Netcode", GDC
//! 2017); G. Gambetta, "Fast-Paced Multiplayer", explains it from the beginning.

mod compare;
mod cues;
mod log;
mod shown;
mod smoothing;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tickwire_protocol::handshake::Welcome;
use tickwire_protocol::input::MissingInput;
use tickwire_protocol::schema::KindId;
use tickwire_protocol::snapshot::Replica;
use tickwire_protocol::snapshot::replica::Track;
use tickwire_protocol::{Cue, EntityId, Micros, PlayerId, RowHead, RowRef, Schema, Tables, Tick, TickTime};
use tickwire_sim::{PlayerInputs, Simulation, World, WorldConfig};

use super::event::Event;
use super::inputs::SET_BACK_TICKS;
use super::stats::{ClientStats, Correction};
use super::view::EntityView;
use compare::{Comparison, Difference, is_same};
use cues::OwnCues;
use log::{LOG_TICKS, Log};
use shown::{Scene, Shown};

pub(crate) use smoothing::Offsets;

/// Own rows that are predicted; a player with more is shown as it is told. A hero and all that it has thrown are a few. The server
/// sets a limit as well: only a snapshot's first message can be whole, so what changes of them must fit there.
const OWN_ROWS_MAX: usize = 256;
/// Entities of others that are predicted on request: those that the player may touch.
pub(crate) const OTHERS_MAX: usize = 64;
/// Ticks without an input of the game's that are filled with what the server puts there. After a longer pause the prediction
/// begins anew with the next state.
const GAP_TICKS_MAX: i32 = 64;
/// Renamed entities that wait for the game to poll.
const RENAMED_MAX: usize = 1024;

/// The player's world, ahead of the server.
#[derive(Debug)]
pub(crate) struct Prediction {
    schema: Arc<Schema>,
    player: PlayerId,
    policy: MissingInput,
    /// Seconds a tick.
    dt: f32,
    world: World,
    inputs: PlayerInputs,
    log: Log,
    /// What the newest step was made with.
    input: Vec<i32>,
    /// The newest tick predicted; nothing while there is nothing to begin with.
    newest: Option<Tick>,
    /// The newest tick at which the server's own rows were compared or taken over.
    agreed: Option<Tick>,
    /// The server's rows at the tick that is compared.
    authority: Tables,
    /// The slots of the own ones among them, in ascending order.
    own_slots: Vec<u16>,
    /// Memory for one of the others.
    row: Vec<i32>,
    others: Vec<EntityId>,
    former_others: Vec<EntityId>,
    /// Whether the game has asked for others since those rows were taken over.
    has_other_others: bool,
    comparison: Comparison,
    /// What entities that were spawned ahead were spawned with, for the real ones.
    payloads: Vec<(EntityId, Bytes)>,
    cues: OwnCues,
    /// Entities that were spawned ahead, and their real ids.
    renamed: VecDeque<(EntityId, EntityId)>,
    shown: Shown,
}

/// Whose the source of a cue is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Whose {
    /// The player's.
    Own,
    /// Surely not the player's.
    Others,
    /// Of one that has not been told of yet, or is gone already.
    Unknown,
}

/// A snapshot that tells all own rows of its tick.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a> {
    pub(crate) tick: Tick,
    pub(crate) replica: &'a Replica,
    pub(crate) now: Micros,
    /// The tick that inputs are given for, and how far time has gone towards the next.
    pub(crate) input_time: TickTime,
}

impl Prediction {
    /// Nothing predicted yet. `simulation` must be of the schema of the room; nothing where there is no player.
    pub(crate) fn new(simulation: Box<dyn Simulation>, welcome: &Welcome) -> Option<Self> {
        let player = welcome.player?;
        let schema = simulation.schema().clone();
        let tick_rate = welcome.timing.tick_rate;
        let config = WorldConfig { seed: welcome.room_seed, tick_rate, first_tick: welcome.tick };
        Some(Self {
            player,
            policy: welcome.missing_input,
            dt: tick_rate.dt(),
            world: World::partial(simulation, config),
            inputs: PlayerInputs::new(schema.clone()),
            log: Log::new(schema.clone()),
            input: Vec::new(),
            newest: None,
            agreed: None,
            authority: Tables::new(schema.clone()),
            own_slots: Vec::new(),
            row: Vec::new(),
            others: Vec::new(),
            former_others: Vec::new(),
            has_other_others: false,
            comparison: Comparison::default(),
            payloads: Vec::new(),
            cues: OwnCues::default(),
            renamed: VecDeque::new(),
            shown: Shown::default(),
            schema,
        })
    }

    /// The game, to predict with over another connection.
    pub(crate) fn into_simulation(self) -> Box<dyn Simulation> {
        self.world.into_simulation()
    }

    /// From the next state on these are part of the player's world, too.
    pub(crate) fn set_others(&mut self, ids: impl IntoIterator<Item = EntityId>) {
        core::mem::swap(&mut self.others, &mut self.former_others);
        self.others.clear();
        self.others.extend(ids.into_iter().take(OTHERS_MAX));
        self.others.sort_unstable();
        self.others.dedup();
        self.has_other_others |= self.others != self.former_others;
    }

    /// The newest tick that is predicted.
    pub(crate) fn newest(&self) -> Option<Tick> {
        self.newest
    }

    // ---- inputs ------------------------------------------------------------------------------------------------

    /// The game has given its input for a tick: steps as far.
    pub(crate) fn handle_input(&mut self, tick: Tick, values: &[i32]) {
        let is_set_back = |last: Tick| tick.since(last) <= -SET_BACK_TICKS;
        if self.newest.is_some_and(is_set_back) || self.log.newest_input().is_some_and(is_set_back) {
            // The server's time was set back: what was given and told before belongs to another time.
            self.stop();
            self.log.clear();
            self.cues.set_back(tick);
        }
        self.log.enter_input(tick, values);
        let Some(newest) = self.newest else { return };
        // Without the server's word for so long, every tick would be a guess that nothing bounds.
        let is_alone = self.agreed.is_none_or(|agreed| tick.since(agreed) >= LOG_TICKS as i32 - 1);
        if is_alone || tick.since(newest) > GAP_TICKS_MAX {
            self.stop();
        } else if tick.is_newer_than(newest) {
            self.step_to(tick);
            self.shown.update(&self.log, &self.world, self.player, tick);
        }
    }

    /// Forgets what was predicted, but not the inputs that were given. It begins anew with the next state of the server's.
    fn stop(&mut self) {
        self.newest = None;
        self.agreed = None;
        self.comparison.clear();
        self.shown.clear();
    }

    /// Makes all steps behind the world's tick up to `tick`; how many there were.
    fn step_to(&mut self, tick: Tick) -> u64 {
        let mut steps = 0;
        while tick.is_newer_than(self.world.tick()) {
            let next = self.world.tick() + 1;
            self.log.advance_input(self.schema.input(), self.policy, next, &mut self.input);
            self.inputs.clear();
            self.inputs.insert(self.player).copy_from(&self.input);
            self.world.step(&self.inputs);
            self.log.enter_rows(next, self.world.tables());
            self.note_cues(next);
            steps += 1;
        }
        self.newest = Some(tick);
        steps
    }

    fn note_cues(&mut self, tick: Tick) {
        let before = self.log.rows(tick - 1);
        for cue in self.world.cues() {
            // A source may have come in this step, or ended in it.
            let is_own = |source: EntityId| {
                let owner = |tables: &Tables| Some(head_of(tables, source)?.owner == Some(self.player));
                owner(self.world.tables()).or_else(|| before.and_then(owner)) == Some(true)
            };
            if let Some(source) = cue.source.filter(|source| is_own(*source)) {
                self.cues.predict(cue, source);
            }
        }
    }

    // ---- what the server says ----------------------------------------------------------------------------------

    /// The server has said which of the 32 ticks up to `tick` it stepped without their own input.
    pub(crate) fn handle_substituted(&mut self, tick: Tick, mask: u32) {
        self.log.note_substituted(tick, mask);
    }

    /// Compares what was predicted for a tick with what is so, and makes good what is not.
    pub(crate) fn handle_told(&mut self, told: Told<'_>, stats: &mut ClientStats) {
        if self.agreed.is_some_and(|agreed| !told.tick.is_newer_than(agreed)) {
            return;
        }
        if !self.gather(told) {
            return self.stop();
        }
        let predicted = self.log.rows(told.tick).filter(|_| self.newest.is_some());
        let difference = predicted.map(|rows| self.comparison.compare(rows, &self.authority, self.player));
        if let (Some(Difference { own: true, error, .. }), Some(agreed)) = (difference, self.agreed) {
            let is_substituted = self.log.has_substituted(agreed, told.tick);
            stats.note_correction(Correction { agreed, tick: told.tick, is_substituted, error });
        }
        if self.authority.row_count() == 0 {
            return self.stop();
        }
        let before = self.agreed.replace(told.tick);
        if self.has_other_others || difference.is_none_or(Difference::is_any) {
            stats.replayed_ticks += self.make_good(told, before);
        }
        self.take_payloads(told.replica);
    }

    /// Takes down the rows that the server says, as a world begins with them. Nothing at all without own rows; false if there
    /// are more than are predicted.
    fn gather(&mut self, told: Told<'_>) -> bool {
        self.authority.clear();
        self.own_slots.clear();
        for track in told.replica.own() {
            if self.own_slots.len() == OWN_ROWS_MAX {
                return false;
            }
            self.own_slots.push(track.id().slot);
            let head = RowHead::new(track.id()).owned_by(self.player);
            insert(&mut self.authority, track, head);
        }
        self.own_slots.sort_unstable();
        if !self.own_slots.is_empty() {
            self.gather_others(told);
        }
        self.authority.finish();
        true
    }

    /// The others that the game has asked for, as they are at that tick.
    fn gather_others(&mut self, told: Told<'_>) {
        for place in 0..self.others.len() {
            let id = self.others[place];
            let is_own = self.own_slots.binary_search(&id.slot).is_ok();
            let Some(track) = told.replica.find(id).filter(|_| !is_own) else { continue };
            let head = RowHead::new(track.id());
            let mut row = core::mem::take(&mut self.row);
            row.resize(self.schema.kind(track.kind()).column_count(), 0);
            let predicted = self.predicted_as_told(track, told.tick).map(|known| known.copy_to(&mut row));
            match predicted {
                Some(()) => _ = self.authority.insert(track.kind(), head).copy_from(&row),
                None => insert(&mut self.authority, track, head),
            }
            self.row = row;
        }
    }

    /// The predicted row of another at `tick`, if what is told of it is older and does not say otherwise. An old row, as of who
    /// was held back or comes in a later part of the snapshot, is no truth about this tick.
    fn predicted_as_told(&self, track: &Track, tick: Tick) -> Option<RowRef<'_>> {
        self.newest?;
        let sample = track.newest().filter(|sample| sample.tick != tick && !sample.is_at_rest)?;
        let kind = self.schema.kind(track.kind());
        let row_at = |tick| {
            let table = self.log.rows(tick)?.table(track.kind());
            Some(table.row(kind, table.find(track.id())?))
        };
        let predicted = row_at(tick)?;
        let is_judged = self.agreed.is_some_and(|agreed| agreed.is_newer_than(sample.tick));
        let told = track.row(kind, track.samples().len() - 1);
        (is_judged || is_same(row_at(sample.tick)?, told)).then_some(predicted)
    }

    /// Goes back to the server's rows and steps again what was stepped since; how many steps that took.
    fn make_good(&mut self, told: Told<'_>, agreed: Option<Tick>) -> u64 {
        let Told { tick, now, input_time, .. } = told;
        let given = self.log.newest_input().filter(|given| given.is_newer_than(tick));
        let newest = self.newest.filter(|newest| newest.is_newer_than(tick)).or(given).unwrap_or(tick);
        if newest.since(tick) >= LOG_TICKS as i32 - 1 {
            self.stop();
            return 0;
        }
        let schema = self.schema.clone();
        let scene = Scene { schema: &schema, dt: self.dt };
        if let Some(time) = self.shown_at(input_time) {
            self.shown.hold(scene, time, now);
        }
        self.restore(told);
        self.rename(scene);
        self.cues.begin_replay(tick);
        let steps = self.step_to(newest);
        self.shown.update(&self.log, &self.world, self.player, newest);
        let has_jumped = |track: &&Track| {
            let jumped = track.newest().and_then(|sample| sample.teleported);
            jumped.is_some_and(|jumped| agreed.is_none_or(|agreed| jumped.is_newer_than(agreed)))
        };
        told.replica.own().filter(has_jumped).for_each(|track| self.shown.snap(track.id()));
        if let Some(time) = self.shown_at(input_time) {
            self.shown.release(scene, time, now);
        }
        steps
    }

    fn restore(&mut self, told: Told<'_>) {
        let payload_of = |&(guess, id): &_| Some((id, self.world.payload(guess)?.clone()));
        self.payloads.extend(self.comparison.renamed().iter().filter_map(payload_of));
        self.world.restore(told.tick, &self.authority);
        for (id, payload) in self.payloads.drain(..) {
            self.world.set_payload(id, payload);
        }
        self.take_payloads(told.replica);
        self.has_other_others = false;
        self.log.enter_rows(told.tick, self.world.tables());
        self.log.last_used(self.schema.input(), told.tick, &mut self.input);
    }

    /// What an entity was spawned with is told in the view of all, perhaps later than its own row.
    fn take_payloads(&mut self, replica: &Replica) {
        for head in self.authority.iter().flat_map(|(_, table)| table.heads()) {
            if self.world.payload(head.id).is_none()
                && let Some(payload) = replica.find(head.id).and_then(Track::payload)
            {
                self.world.set_payload(head.id, payload.clone());
            }
        }
    }

    /// Who was spawned ahead has its real id from now on.
    fn rename(&mut self, scene: Scene<'_>) {
        for &(guess, id) in self.comparison.renamed() {
            self.shown.rename(scene, guess, id);
            self.cues.rename(guess, id);
            if self.renamed.len() == RENAMED_MAX {
                self.renamed.pop_front();
            }
            self.renamed.push_back((guess, id));
        }
        self.comparison.clear();
    }

    /// The server's copy of a cue has come. Returns it if it is to be told when the view of all gets there, as those of others
    /// are; an own one that was not predicted is told at once.
    pub(crate) fn sort_cue(&mut self, cue: Cue, whose: Whose) -> Option<Cue> {
        if self.cues.confirm(&cue, whose != Whose::Others) {
            return None;
        }
        if whose == Whose::Own && self.newest.is_some() {
            self.cues.tell(cue);
            return None;
        }
        Some(cue)
    }

    // ---- what there is to tell and to see ----------------------------------------------------------------------

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        if let Some((guess, id)) = self.renamed.pop_front() {
            return Some(Event::Confirmed { guess, id });
        }
        self.cues.pop().map(Event::Cue)
    }

    /// What is shown when inputs are given for this time: between the last two ticks that are predicted. Nothing if none is.
    pub(crate) fn shown_at(&self, input_time: TickTime) -> Option<TickTime> {
        let newest = self.newest?;
        let ahead = input_time.tick.since(newest).clamp(-1, 1) as f32 + input_time.fraction;
        Some(if ahead >= 1.0 {
            TickTime { tick: newest, fraction: 0.0 }
        } else {
            TickTime { tick: newest - 1, fraction: ahead.max(0.0) }
        })
    }

    fn scene(&self) -> Scene<'_> {
        Scene { schema: &self.schema, dt: self.dt }
    }

    pub(crate) fn views(
        &self,
        kind: KindId,
        time: TickTime,
        now: Micros,
    ) -> impl Iterator<Item = EntityView<'_>> {
        self.shown.views(self.scene(), kind, time, now)
    }

    pub(crate) fn find(&self, id: EntityId, time: TickTime, now: Micros) -> Option<EntityView<'_>> {
        self.shown.find(self.scene(), id, time, now)
    }
}

fn insert(tables: &mut Tables, track: &Track, head: RowHead) {
    let Some(newest) = track.samples().len().checked_sub(1) else { return };
    tables.insert(track.kind(), head).copy_from(track.values(newest));
}

fn head_of(tables: &Tables, id: EntityId) -> Option<RowHead> {
    tables.iter().find_map(|(_, table)| Some(table.heads()[table.find(id)?]))
}
