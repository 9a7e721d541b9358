//! What a client makes of what it is told of its own rows, and of what it is not.

use std::sync::Arc;

use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::snapshot::Feedback;
use tickwire_protocol::{EntityId, PlayerId, Schema, Tables, Tick};
use tickwire_sim::{Simulation, StepContext};

use super::support::*;

/// Bodies that go as far in a tick as their players say, in steps of position.
pub(super) struct Walk {
    rows: Tables,
    scratch: Tables,
}

impl Walk {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self { rows: Tables::new(schema().clone()), scratch: Tables::new(schema().clone()) })
    }
}

impl Simulation for Walk {
    fn schema(&self) -> &Arc<Schema> {
        schema()
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.scratch.clear();
        let mut values = vec![0; schema().kind(BODY).column_count()];
        for (head, row) in self.rows.rows(BODY) {
            row.copy_to(&mut values);
            values[0] += head.owner.and_then(|owner| ctx.input(owner)).map_or(0, |input| input.integer(MOVE));
            self.scratch.insert(BODY, head).copy_from(&values);
        }
        self.scratch.finish();
        core::mem::swap(&mut self.rows, &mut self.scratch);
    }

    fn save(&self, out: &mut Tables) {
        let mut values = vec![0; schema().kind(BODY).column_count()];
        for (head, row) in self.rows.rows(BODY) {
            row.copy_to(&mut values);
            out.insert(BODY, head).copy_from(&values);
        }
    }

    fn load(&mut self, tables: &Tables) {
        self.rows.copy_from(tables);
    }
}

const OWN: u16 = 3;
const STEP: i32 = 5;

/// A player who walks evenly, and a server that has it so.
struct Walking {
    pair: Pair,
    /// The first tick with an input.
    first: Option<Tick>,
    /// How far the server has put it beyond its own way, steps.
    gust: i32,
    /// Ticks that the server says it has stepped without an input.
    substituted: u32,
}

impl Walking {
    fn new(stream: StreamKind) -> Self {
        let mut pair = Pair::new(stream, u32::MAX - 40);
        pair.client.predict(Walk::new());
        let mut walking = Self { pair, first: None, gust: 0, substituted: 0 };
        (0..20).for_each(|_| walking.tick(true));
        assert!(walking.pair.client.predicted_tick().is_some());
        walking
    }

    /// A tick passes; its snapshot comes if it is to.
    fn tick(&mut self, arrives: bool) {
        let Self { pair, first, .. } = self;
        let tick = pair.server.tick + 1;
        let x = first.map_or(0, |first| (tick.since(first) + 1).max(0) * STEP) + self.gust;
        pair.server.set_x(id(OWN), x as f32 / 100.0);
        pair.server.head(id(OWN)).owner = Some(PLAYER);
        let newest_input = Some(tick + 2);
        pair.server.feedback =
            Some(Feedback { newest_input, margin_ticks: 2, substituted: self.substituted });
        self.substituted <<= 1;
        pair.step();
        let snapshot = pair.server.snapshot();
        if arrives {
            pair.client.handle_message(pair.now, snapshot).unwrap();
        }
        while let Some(tick) = pair.client.due_input_tick(pair.now) {
            first.get_or_insert(tick);
            pair.client.push_input(pair.now, tick, |row| {
                row.set_integer(MOVE, STEP);
            });
        }
        pair.hear();
        pair.answer_pings();
    }

    /// How often something was made good, and where the player is predicted to be, steps from where it should be.
    fn found(&self) -> (u64, i32) {
        let Pair { client, now, .. } = &self.pair;
        let view = client.predicted(*now);
        let own = view.find(id(OWN)).expect("it is predicted");
        let (tick, x) = (own.latest_tick().unwrap(), own.latest().column(0));
        (client.stats(*now).corrections, x - (tick.since(self.first.unwrap()) + 1) * STEP)
    }
}

#[test]
fn what_is_not_said_of_own_rows_is_no_difference() {
    let mut walking = Walking::new(StreamKind::Datagram);
    let before = walking.found();
    assert_eq!(before.1, 0);
    // Frames that say nothing of own rows: they may be in others, which are lost.
    walking.pair.server.is_acked = false;
    walking.pair.server.tells_own = false;
    (0..5).for_each(|_| walking.tick(true));
    assert_eq!(walking.found(), before);
    walking.pair.server.tells_own = true;
    walking.tick(true);
    assert_eq!(walking.found(), before);
}

#[test]
fn a_row_that_is_not_told_again_is_as_it_was() {
    let mut walking = Walking::new(StreamKind::Ordered);
    // The server holds the player where it is: its row does not change, so it is not told.
    let (corrections, _) = walking.found();
    for held in 1..=4 {
        walking.gust -= STEP;
        walking.tick(true);
        assert_eq!(walking.found(), (corrections + held, -STEP * held as i32));
    }
    walking.tick(true);
    assert_eq!(walking.found(), (corrections + 4, -4 * STEP), "it goes on");
}

#[test]
fn a_correction_says_since_when_and_whether_an_input_was_missing() {
    for is_substituted in [false, true] {
        let mut walking = Walking::new(StreamKind::Datagram);
        let agreed = walking.pair.server.tick;
        walking.gust = 40;
        walking.substituted = u32::from(is_substituted);
        // The snapshots of two ticks are lost; the third still tells what befell the first.
        walking.pair.server.is_acked = false;
        walking.tick(false);
        walking.tick(false);
        walking.tick(true);
        let stats = walking.pair.client.stats(walking.pair.now);
        let correction = stats.last_correction.unwrap();
        assert_eq!((correction.agreed, correction.tick), (agreed, agreed + 3));
        assert_eq!(correction.is_substituted, is_substituted);
        assert!((correction.error - 0.4).abs() < 1e-4, "{correction:?}");
        assert_eq!(walking.found().1, 40);
    }
}

#[test]
fn a_late_snapshot_takes_nothing_back() {
    let mut walking = Walking::new(StreamKind::Datagram);
    walking.pair.server.is_acked = false;
    walking.gust = 40;
    let tick = walking.pair.server.step();
    walking.pair.now = walking.pair.server.time_of(tick);
    let late = walking.pair.server.snapshot();
    // A newer one tells of a row, but not that it is all.
    walking.gust = 0;
    walking.pair.server.tells_all_own = false;
    walking.tick(true);
    let before = walking.found();
    walking.pair.client.handle_message(walking.pair.now, late).unwrap();
    assert_eq!(walking.found(), before);
}

#[test]
fn who_is_taken_away_is_predicted_no_more_and_begins_anew() {
    let mut walking = Walking::new(StreamKind::Ordered);
    walking.pair.server.head(id(OWN)).owner = Some(PlayerId(1));
    walking.pair.step();
    let snapshot = walking.pair.server.snapshot();
    walking.pair.client.handle_message(walking.pair.now, snapshot).unwrap();
    let stats = walking.pair.client.stats(walking.pair.now);
    assert_eq!(walking.pair.client.predicted_tick(), None);
    assert_eq!(walking.pair.client.predicted(walking.pair.now).all().count(), 0);
    walking.tick(true);
    assert_eq!(walking.found(), (stats.corrections, 0), "to begin is no correction");
}

#[test]
fn a_crowd_is_shown_as_it_is_told() {
    let mut pair = Pair::ordered();
    pair.client.predict(Walk::new());
    for slot in 0..300 {
        let id = EntityId { slot, generation: 1 };
        pair.server.set_x(id, f32::from(slot));
        pair.server.head(id).owner = Some(PLAYER);
    }
    pair.send();
    assert_eq!((pair.client.own().count(), pair.client.predicted_tick()), (300, None));
    for slot in 100..300 {
        pair.server.remove(EntityId { slot, generation: 1 });
    }
    pair.send();
    assert!(pair.client.predicted_tick().is_some());
    assert_eq!(pair.client.predicted(pair.now).all().count(), 100);
}

#[test]
fn another_game_is_refused() {
    let panic = std::panic::catch_unwind(|| {
        Pair::ordered().client.predict(Box::new(tickwire_sim::arena::Arena::default()));
    })
    .unwrap_err();
    let said = panic.downcast_ref::<String>().unwrap();
    assert_eq!(said, "a client of `test` cannot predict `arena`");
}
