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
//! [believed](super::belief), and the same arithmetic ([`tickwire_sim::between`]).
//!
//! Nobody is seen who was not in the player's view then ([`Sightings`](super::sightings::Sightings)).
//!
//! Modelled on Yahn Bernier, "Latency Compensating Methods in Client/Server In-game Protocol Design and Optimization" (2001).

use core::fmt;
use std::sync::Arc;

use tickwire_protocol::history::{History, Published};
use tickwire_protocol::limits::{HISTORY_TICKS, REWIND_MICROS_MAX, TICK_HZ_MAX};
use tickwire_protocol::schema::{Kind, Schema, Sight};
use tickwire_protocol::table::Table;
use tickwire_protocol::{EntityId, KindId, PeerId, PlayerId, RowHead, Tables, Tick, TickRate, TickTime};
use tickwire_sim::Eyes;
use tickwire_sim::between::{self, Between, Told};
use tickwire_sim::blend::CUBIC_SECONDS_MAX;

use super::room::RoomConfig;
use super::tick_set::TickSet;
use super::viewer::Viewer;

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
    /// Its connection, which was shown what it saw.
    pub(crate) peer: PeerId,
    pub(crate) moment: TickTime,
    /// The states that its client has.
    pub(crate) held: TickSet,
    /// The teams of its own entities at its newest snapshot.
    pub(crate) teams: u32,
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

    /// How many ticks a step looks at, whether or not anybody was told of them: back to the oldest moment, and on from there to the state
    /// before it.
    pub(crate) fn reach(config: &RoomConfig) -> u32 {
        let rate = config.tick_rate;
        let oldest = (config.rewind_max.as_secs_f64() * f64::from(rate.hz())).ceil() as u32;
        oldest + gap_max(rate).max(rate.hz().div_ceil(config.snapshot_hz))
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
    fn states_around(&self, look: &Look, newest: Tick, gap_max: u32) -> (Tick, Tick) {
        let tick = look.moment.tick;
        let around = |set: &TickSet| set.at_or_before(tick).zip(set.after(tick));
        around(&look.held)
            .filter(|(from, to)| to.since(*from) <= gap_max as i32)
            .or_else(|| around(&self.due))
            .unwrap_or_else(|| (self.due.at_or_before(tick).unwrap_or(newest), newest))
    }
}

/// How far apart, in ticks, two states of a client may be to show a moment between them.
fn gap_max(rate: TickRate) -> u32 {
    (CUBIC_SECONDS_MAX * rate.hz() as f32) as u32
}

/// The eyes of a step: they see into the history.
pub(crate) struct RewoundEyes<'a> {
    pub(crate) rewind: &'a mut Rewind,
    pub(crate) history: &'a History,
    /// Whether snapshots told a peer of an entity at a tick.
    pub(crate) was_shown: &'a dyn Fn(PeerId, EntityId, Tick) -> bool,
}

impl fmt::Debug for RewoundEyes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewoundEyes").field("rewind", &self.rewind).finish_non_exhaustive()
    }
}

impl Eyes for RewoundEyes<'_> {
    fn seen_by(&mut self, player: PlayerId, kind: KindId) -> Option<&Table> {
        let Self { rewind, history, was_shown } = self;
        let place = rewind.looks.binary_search_by_key(&player, |look| look.player).ok()?;
        if rewind.seen_by != Some(player) {
            rewind.seen.clear();
            (rewind.seen_by, rewind.filled) = (Some(player), 0);
        }
        if rewind.filled >> kind.0 & 1 == 0 {
            let look = rewind.looks[place];
            let newest = history.newest()?;
            let (from, to) = rewind.states_around(&look, newest.tick(), gap_max(history.rate()));
            let stretch = Stretch { history, newest, from: history.at(from)?, to: history.at(to)?, look };
            stretch.fill(kind, |id| was_shown(look.peer, id, from), &mut rewind.seen);
            rewind.filled |= 1 << kind.0;
        }
        Some(rewind.seen.table(kind))
    }
}

/// Two published states, and a moment between them.
struct Stretch<'a> {
    history: &'a History,
    newest: &'a Published,
    from: &'a Published,
    to: &'a Published,
    look: Look,
}

impl Stretch<'_> {
    /// Whoever was there in both states and is there still, of those that the player was shown when it had the older one.
    fn fill(&self, id: KindId, was_shown: impl Fn(EntityId) -> bool, out: &mut Tables) {
        let viewer = Viewer { player: Some(self.look.player), teams: self.look.teams, delta: true };
        let [from, to, newest] =
            [self.from, self.to, self.newest].map(|state| state.tables(Sight::Public).table(id));
        let kind = self.history.schema().kind(id);
        let told = |head: &RowHead, row| {
            let sight = viewer.sight(kind, head);
            Told { row, columns: kind.visible(sight) }
        };
        for (row, head) in from.heads().iter().enumerate() {
            if viewer.owns(head) || newest.find_near(head.id, row).is_none() {
                continue;
            }
            let Some(row_then) = to.find_near(head.id, row).filter(|_| was_shown(head.id)) else { continue };
            let older = told(head, from.row(kind, row));
            let newer = told(&to.heads()[row_then], to.row(kind, row_then));
            let between = self.between(kind, head.id, row);
            between::row(&older, &newer, &between, &mut out.insert(id, RowHead::new(head.id)));
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

#[cfg(test)]
mod tests {
    use tickwire_protocol::Micros;
    use tickwire_protocol::schema::{Field, FieldId, FieldType};

    use super::*;

    const BODY: KindId = KindId(0);
    const PLACE: FieldId = FieldId(0);
    const SPEED: FieldId = FieldId(1);
    const LOOK: FieldId = FieldId(2);
    const SECRET: FieldId = FieldId(3);
    const SIGNAL: FieldId = FieldId(4);
    const SHOOTER: PlayerId = PlayerId(3);
    const PEER: PeerId = PeerId(3);
    /// The body is in it from tick 10 to 22.
    const TEAM: u32 = 0b100;
    const RATE: TickRate = TickRate::new(60).unwrap();

    const fn id(slot: u16) -> EntityId {
        EntityId { slot, generation: 1 }
    }

    /// One body at a tick: metres, m/s, whether it has jumped.
    type At = Option<(f32, f32, bool)>;

    /// A room's history, in which a body is where `at` says at every tick from 1 on, and the shooter stands.
    fn history(ticks: u32, at: impl Fn(u32) -> At) -> (History, Rewind) {
        thinned_history(HISTORY_TICKS, ticks, at)
    }

    /// The same, but what is older than `dense` ticks is thinned out.
    fn thinned_history(dense: u32, ticks: u32, at: impl Fn(u32) -> At) -> (History, Rewind) {
        let fields = [
            Field::new(PLACE, "place", FieldType::position([-100.0..=100.0], 0.01)),
            Field::new(SPEED, "speed", FieldType::velocity(PLACE, 30.0, 0.01)),
            Field::new(LOOK, "look", FieldType::angle(12)),
            Field::new(SECRET, "secret", FieldType::integer(5..=9)).owner_only(),
            Field::new(SIGNAL, "signal", FieldType::scalar(0.0..=100.0, 0.01)).team_only(),
        ];
        let schema = Schema::builder("s").kind(Kind::new(BODY, "body", fields)).build().unwrap();
        let mut history = History::new(schema.clone(), RATE).thinned_after(dense);
        let mut rewind = Rewind::new(schema.clone());
        for tick in 1..=ticks {
            let mut tables = Tables::new(schema.clone());
            if let Some((place, speed, has_jumped)) = at(tick) {
                let teams = if (10..=22).contains(&tick) { TEAM } else { 0 };
                let head = RowHead::new(id(1)).owned_by(PlayerId(1)).teleported(has_jumped).teams(teams);
                tables
                    .insert(BODY, head)
                    .set_scalar(PLACE, place)
                    .set_scalar(SPEED, speed)
                    .set_integer(SECRET, 7)
                    .set_scalar(SIGNAL, tick.min(24) as f32);
            }
            tables.insert(BODY, RowHead::new(id(2)).owned_by(SHOOTER));
            tables.finish();
            history.publish(Tick(tick), &tables);
            if tick % 3 == 0 {
                rewind.handle_due(Tick(tick));
                history.keep_newest();
            }
        }
        (history, rewind)
    }

    fn everybody(_: PeerId, _: EntityId, _: Tick) -> bool {
        true
    }

    /// Where the body was shown at a moment, to one who has these snapshots.
    fn seen(world: &mut (History, Rewind), held: &[u32], tick: u32, fraction: f32) -> Option<f32> {
        let mut set = TickSet::default();
        for &tick in held {
            set.insert(Tick(tick));
        }
        let (history, rewind) = world;
        rewind.clear();
        let moment = TickTime { tick: Tick(tick), fraction };
        rewind.push(Look { player: SHOOTER, peer: PEER, moment, held: set, teams: 0 });
        let kind = history.schema().kind(BODY).clone();
        let mut eyes = RewoundEyes { rewind, history, was_shown: &everybody };
        let table = eyes.seen_by(SHOOTER, BODY).unwrap();
        assert!(table.find(id(2)).is_none(), "the shooter's own");
        let row = table.row(&kind, table.find(id(1))?);
        assert_eq!(row.integer(SECRET), 5, "what only the owner knows");
        Some(row.scalar(PLACE))
    }

    fn near(place: Option<f32>, expected: f32) -> bool {
        place.is_some_and(|place| (place - expected).abs() < 0.011)
    }

    #[test]
    fn who_moves_is_seen_where_it_was_on_its_way() {
        // 6 m/s: 0.1 m a tick.
        let mut world = history(60, |tick| Some((tick as f32 * 0.1, 6.0, false)));
        for (tick, fraction) in [(30, 0.0), (31, 0.5), (35, 0.9)] {
            assert!(near(seen(&mut world, &[30, 33, 36], tick, fraction), (tick as f32 + fraction) * 0.1));
        }
    }

    #[test]
    fn between_its_states_it_is_where_the_client_drew_it_not_where_it_was() {
        // It stands, but for one tick that was told of to nobody who lost snapshot 33.
        let mut world = history(60, |tick| Some((if tick == 33 { 9.0 } else { 1.0 }, 0.0, false)));
        assert!(near(seen(&mut world, &[30, 33, 36], 33, 0.0), 9.0));
        assert!(near(seen(&mut world, &[30, 36], 33, 0.0), 1.0));
    }

    /// The oldest moments and the longest ways between two states, of a body that rests until it moves or jumps.
    #[test]
    fn no_moment_needs_what_was_thinned_out() {
        const NEWEST: u32 = 100;
        let config = RoomConfig { rewind_max: Micros(REWIND_MICROS_MAX), ..RoomConfig::new(RATE, 20) };
        let oldest = NEWEST + 1 - (config.rewind_max.as_secs_f64() * f64::from(RATE.hz())) as u32;
        for (start, has_jumped) in (oldest - 25..NEWEST).flat_map(|start| [(start, false), (start, true)]) {
            let way = |tick: u32| {
                let moved = tick.saturating_sub(start) as f32;
                Some((moved * 0.1, if moved > 0.0 { 6.0 } else { 0.0 }, has_jumped && tick == start + 1))
            };
            let mut whole = history(NEWEST, way);
            let mut thinned = thinned_history(Rewind::reach(&config), NEWEST, way);
            assert!(thinned.0.at(Tick(oldest - 25)).is_none() && thinned.0.at(Tick(oldest - 26)).is_some());
            for tick in oldest..NEWEST {
                for (back, ahead) in (0..9).flat_map(|back| [(back, 0), (back, 8 - back)]) {
                    let (before, after) = (tick - tick % 3, tick - tick % 3 + 3);
                    let mut held = vec![before - 3 * back, after + 3 * ahead];
                    held.retain(|tick| *tick <= NEWEST);
                    let [expected, found] =
                        [&mut whole, &mut thinned].map(|world| seen(world, &held, tick, 0.5));
                    assert_eq!(found, expected, "from {start}, at {tick}, between {held:?}");
                }
            }
        }
    }

    #[test]
    fn silence_about_too_many_states_is_not_believed() {
        // To and fro: whoever has only the ends would see it stand.
        let mut world =
            history(60, |tick| Some((if (20..40).contains(&tick) { 5.0 } else { 1.0 }, 0.0, false)));
        assert!(near(seen(&mut world, &[12, 48], 30, 0.0), 5.0));
        assert!(near(seen(&mut world, &[], 30, 0.0), 5.0), "nothing acked: what was due");
    }

    /// What one whose own entities were in these teams at its newest snapshot was told of the signal, at tick 21.5.
    fn signal(held: [u32; 2], teams: u32) -> f32 {
        let (history, mut rewind) = history(60, |_| Some((1.0, 0.0, false)));
        let mut set = TickSet::default();
        for tick in held {
            set.insert(Tick(tick));
        }
        let moment = TickTime { tick: Tick(21), fraction: 0.5 };
        rewind.push(Look { player: SHOOTER, peer: PEER, moment, held: set, teams });
        let mut eyes = RewoundEyes { rewind: &mut rewind, history: &history, was_shown: &everybody };
        let table = eyes.seen_by(SHOOTER, BODY).unwrap();
        table.row(history.schema().kind(BODY), table.find(id(1)).unwrap()).scalar(SIGNAL)
    }

    #[test]
    fn a_team_sees_what_it_was_told_by_the_teams_that_snapshots_went_by() {
        let told = signal([20, 22], TEAM);
        assert!((told - 21.5).abs() < 0.011, "{told}: whatever teams the history has of the shooter");
        assert!(signal([20, 22], TEAM << 1).abs() < 0.011);
    }

    #[test]
    fn what_only_one_of_its_states_told_is_held_as_a_client_holds_it() {
        assert!((signal([20, 23], TEAM) - 20.0).abs() < 0.011, "no team-mate any more at 23");
        assert!(signal([8, 23], TEAM).abs() < 0.011, "at neither");
        assert!(signal([8, 22], TEAM).abs() < 0.011, "not yet at 8");
    }

    #[test]
    fn who_was_not_shown_is_not_seen_whoever_is_shown_now() {
        let (history, mut rewind) = history(60, |tick| Some((tick as f32 * 0.1, 6.0, false)));
        let moment = TickTime { tick: Tick(31), fraction: 0.5 };
        for player in [SHOOTER, PlayerId(5)] {
            rewind.push(Look { player, peer: PeerId(player.0), moment, held: TickSet::default(), teams: 0 });
        }
        // By the older of the two states around the moment.
        let was_shown = |peer, entity, tick| peer == PEER && entity == id(1) && tick == Tick(30);
        let mut eyes = RewoundEyes { rewind: &mut rewind, history: &history, was_shown: &was_shown };
        let mut count = |player| eyes.seen_by(player, BODY).unwrap().len();
        assert_eq!((count(SHOOTER), count(PlayerId(5)), count(SHOOTER)), (1, 0, 1));
    }

    #[test]
    fn what_is_later_than_all_that_it_has_is_where_it_was() {
        let mut world = history(60, |tick| Some((tick as f32 * 0.1, 6.0, false)));
        assert!(near(seen(&mut world, &[30], 47, 0.0), 4.7));
        assert!(near(seen(&mut world, &[30], 60, 0.0), 6.0));
        assert!(near(seen(&mut world, &[30], 90, 0.0), 6.0), "never later than the newest");
    }

    #[test]
    fn a_jump_is_not_smeared() {
        let mut world = history(60, |tick| Some((if tick < 32 { 1.0 } else { 50.0 }, 0.0, tick == 32)));
        assert!(near(seen(&mut world, &[30, 33], 31, 0.9), 1.0));
        assert!(near(seen(&mut world, &[30, 33], 32, 0.0), 50.0));
    }

    #[test]
    fn who_rested_sets_out_when_it_did() {
        let way = |tick: u32| tick.saturating_sub(41) as f32 * 0.1;
        let mut world = history(60, |tick| Some((way(tick), if tick > 41 { 6.0 } else { 0.0 }, false)));
        assert!(near(seen(&mut world, &[36, 45], 40, 0.0), 0.0));
        let begun = seen(&mut world, &[36, 45], 43, 0.0).unwrap();
        assert!(begun > 0.05 && begun < 0.2, "{begun}: not along the way since 36");
    }

    #[test]
    fn who_was_not_there_yet_or_is_there_no_longer_is_not_seen() {
        let mut world = history(60, |tick| (32..50).contains(&tick).then_some((1.0, 0.0, false)));
        let held: Vec<_> = (1..=20).map(|turn| turn * 3).collect();
        assert_eq!(seen(&mut world, &held, 31, 0.9), None, "not there");
        assert_eq!(seen(&mut world, &held, 45, 0.0), None, "there then, gone now");
        let mut world = history(60, |tick| (tick >= 32).then_some((1.0, 0.0, false)));
        assert_eq!(seen(&mut world, &held, 32, 0.5), None, "there, but in no state that was told");
        assert!(near(seen(&mut world, &held, 33, 0.0), 1.0));
    }

    #[test]
    fn a_question_that_is_asked_again_has_the_same_answer_and_strangers_have_none() {
        let (history, mut rewind) = history(60, |tick| Some((tick as f32 * 0.1, 6.0, false)));
        let held = TickSet::default();
        for (player, tick) in [(SHOOTER, 30), (PlayerId(5), 45)] {
            rewind.push(Look {
                player,
                peer: PEER,
                moment: TickTime { tick: Tick(tick), fraction: 0.0 },
                held,
                teams: 0,
            });
        }
        let kind = history.schema().kind(BODY).clone();
        let mut eyes = RewoundEyes { rewind: &mut rewind, history: &history, was_shown: &everybody };
        for (player, place) in [(3, 3.0), (3, 3.0), (5, 4.5), (3, 3.0)] {
            let table = eyes.seen_by(PlayerId(player), BODY).unwrap();
            assert!(
                near(table.find(id(1)).map(|row| table.row(&kind, row).scalar(PLACE)), place),
                "{player}"
            );
        }
        assert!(eyes.seen_by(PlayerId(4), BODY).is_none(), "of whom nothing is known");
    }
}
