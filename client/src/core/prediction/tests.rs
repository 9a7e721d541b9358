//! The prediction alone, against an authoritative world of the same game.

use std::collections::BTreeSet;

use tickwire_protocol::handshake::{ClientLimits, Features, Timing};
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, Sight};
use tickwire_protocol::snapshot::{
    DecodedRow, DecodedSection, DecodedSnapshot, Leave, SnapshotHeader, TickWidth,
};
use tickwire_protocol::{CueId, PeerId, RoomId, SessionId, TickRate};
use tickwire_sim::{StepContext, is_provisional};

use super::*;

const RUNNER: KindId = KindId(0);
const BOLT: KindId = KindId(1);
/// Of both.
const X: FieldId = FieldId(0);
/// Of the runner.
const BOLT_OF: FieldId = FieldId(1);
const WALK: FieldId = FieldId(0);
const THROW: FieldId = FieldId(1);
const BANG: CueId = CueId(0);
const ME: PlayerId = PlayerId(7);
const FIRST: Tick = Tick(1_000);

/// One who walks and throws bolts, and others who just stand.
#[derive(Debug)]
struct Game {
    schema: Arc<Schema>,
    runners: Vec<(RowHead, i32, Option<EntityId>)>,
    bolts: Vec<(RowHead, i32)>,
}

impl Game {
    fn boxed() -> Box<dyn Simulation> {
        let runner = [
            Field::new(X, "x", FieldType::integer(-30_000..=30_000)),
            Field::new(BOLT_OF, "bolt", FieldType::entity()),
        ];
        let bolt = [Field::new(X, "x", FieldType::integer(-30_000..=30_000))];
        let input = [
            Field::new(WALK, "walk", FieldType::integer(-9..=9)),
            Field::new(THROW, "throw", FieldType::boolean()).momentary(),
        ];
        let schema = Schema::builder("prediction")
            .kind(Kind::new(RUNNER, "runner", runner))
            .kind(Kind::new(BOLT, "bolt", bolt))
            .cue(Kind::cue(BANG, "bang", []))
            .input(input)
            .build()
            .unwrap();
        Box::new(Self { schema, runners: Vec::new(), bolts: Vec::new() })
    }
}

impl Simulation for Game {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        for &player in ctx.joined() {
            self.runners.push((RowHead::new(ctx.spawn(RUNNER)).owned_by(player), 0, None));
        }
        self.bolts.iter_mut().for_each(|(_, x)| *x += 20);
        for (head, x, bolt) in &mut self.runners {
            // Others coast.
            let input = head.owner.and_then(|owner| ctx.input(owner));
            *x += input.map_or(1, |input| input.integer(WALK));
            if input.is_some_and(|input| input.boolean(THROW)) {
                let id = ctx.spawn(BOLT);
                *bolt = Some(id);
                self.bolts.push((RowHead { owner: head.owner, ..RowHead::new(id) }, *x));
                ctx.cue(BANG, Some(id));
            }
        }
    }

    fn save(&self, out: &mut Tables) {
        for (head, x, bolt) in &self.runners {
            out.insert(RUNNER, *head).set_integer(X, *x).set_entity(BOLT_OF, *bolt);
        }
        for (head, x) in &self.bolts {
            out.insert(BOLT, *head).set_integer(X, *x);
        }
    }

    fn load(&mut self, tables: &Tables) {
        self.runners.clear();
        let runners = tables.rows(RUNNER);
        self.runners.extend(runners.map(|(head, row)| (head, row.integer(X), row.entity(BOLT_OF))));
        self.bolts.clear();
        self.bolts.extend(tables.rows(BOLT).map(|(head, row)| (head, row.integer(X))));
    }
}

fn welcome() -> Welcome {
    Welcome {
        session: SessionId(1),
        peer: PeerId(ME.0),
        player: Some(ME),
        room: RoomId(3),
        room_name: "test".into(),
        room_seed: 4,
        tick: FIRST,
        tick_time: Micros::ZERO,
        timing: Timing {
            tick_rate: TickRate::new(50).unwrap(),
            snapshot_hz: 25,
            interpolation_delay: Micros(100_000),
            ping_interval: Micros::from_secs(1),
            silence_timeout: Micros::from_secs(5),
            digest_interval: Micros::from_secs(1),
        },
        limits: ClientLimits { message_bytes_max: 4096, inputs_per_frame_max: 32, input_ahead_ticks_max: 64 },
        missing_input: MissingInput::Hold,
        coder: 0,
        prior_hash: 0,
        prior: None,
        features: Features::NONE,
        server_build: "test".into(),
        schema: None,
        extensions: Vec::new(),
    }
}

/// A room of one player, and that player's client.
struct Match {
    server: World,
    used: Vec<i32>,
    prediction: Prediction,
    replica: Replica,
    own_slots: BTreeSet<u16>,
    stats: ClientStats,
}

impl Match {
    fn new() -> Self {
        let config = WorldConfig { seed: 4, tick_rate: TickRate::new(50).unwrap(), first_tick: FIRST };
        let mut server = World::new(Game::boxed(), config);
        let schema = server.tables().schema().clone();
        let mut inputs = PlayerInputs::new(schema.clone());
        for player in [ME, PlayerId(8)] {
            inputs.join(player);
        }
        server.step(&inputs);
        Self {
            server,
            used: vec![0, 0],
            prediction: Prediction::new(Game::boxed(), &welcome()).unwrap(),
            replica: Replica::new(schema, 0),
            own_slots: BTreeSet::new(),
            stats: ClientStats::default(),
        }
    }

    /// The server steps as far as `tick`, with the inputs that `given` has and what stands for those that it does not have.
    fn serve(&mut self, tick: Tick, given: impl Fn(Tick) -> Option<[i32; 2]>) {
        while tick.is_newer_than(self.server.tick()) {
            let next = self.server.tick() + 1;
            let schema = self.server.tables().schema().clone();
            match given(next) {
                Some(input) => self.used.copy_from_slice(&input),
                None => MissingInput::Hold.substitute(schema.input(), &mut self.used),
            }
            let mut inputs = PlayerInputs::new(schema);
            inputs.insert(ME).copy_from(&self.used);
            self.server.step(&inputs);
        }
    }

    /// A snapshot of the server's tick comes, with whom it tells of the others.
    fn tell(&mut self, others: &[EntityId]) {
        self.send(others);
        self.hear();
    }

    fn send(&mut self, others: &[EntityId]) {
        let mut snapshot =
            DecodedSnapshot { header: Some(header(self.server.tick())), ..DecodedSnapshot::default() };
        let mut slots = BTreeSet::new();
        for (kind, table) in self.server.tables().iter() {
            for (index, head) in table.heads().iter().enumerate() {
                let row = table.row(kind, index);
                if head.owner == Some(ME) {
                    slots.insert(head.id.slot);
                    add(&mut snapshot.own, KindId(kind.index()), head.id, row);
                } else if others.contains(&head.id) {
                    add(&mut snapshot.view, KindId(kind.index()), head.id, row);
                }
            }
        }
        let gone = self.own_slots.difference(&slots);
        snapshot.own.leaves.extend(gone.map(|&slot| Leave { slot, despawned: true }));
        self.own_slots = slots;
        self.replica.apply(&snapshot);
        self.replica.drain_changes().for_each(drop);
    }

    fn hear(&mut self) {
        let input_time = TickTime { tick: self.prediction.newest.unwrap_or_default(), fraction: 0.0 };
        let told = Told { tick: self.server.tick(), replica: &self.replica, now: Micros::ZERO, input_time };
        self.prediction.handle_told(told, &mut self.stats);
    }

    fn give(&mut self, ticks: impl IntoIterator<Item = u32>, input: [i32; 2]) {
        ticks.into_iter().for_each(|tick| self.prediction.handle_input(FIRST + tick, &input));
    }

    /// Where a runner is predicted to be, and where it is.
    fn places(&self, id: EntityId) -> [Option<i32>; 2] {
        [&self.prediction.world, &self.server].map(|world| {
            let mut runners = world.tables().rows(RUNNER);
            runners.find(|(head, _)| head.id == id).map(|(_, row)| row.integer(X))
        })
    }

    /// The player's runner, and another.
    fn ids(&self) -> [EntityId; 2] {
        let heads = self.server.tables().table(RUNNER).heads();
        assert!(heads[0].owner == Some(ME) && heads.len() == 2);
        [heads[0].id, heads[1].id]
    }
}

fn header(tick: Tick) -> SnapshotHeader {
    SnapshotHeader { tick, tick_width: TickWidth::Full, sequence: None, feedback: None, own_is_whole: true }
}

fn add(section: &mut DecodedSection, kind: KindId, id: EntityId, row: RowRef<'_>) {
    let start = section.values.len();
    section.values.extend((0..row.kind().column_count()).map(|column| row.column(column)));
    section.rows.push(DecodedRow {
        id,
        kind,
        sight: Sight::Own,
        is_whole: true,
        is_at_rest: false,
        held_until: None,
        teleported: None,
        payload: None,
        values: start..section.values.len(),
    });
}

#[test]
fn inputs_of_another_time_begin_it_anew() {
    for (ahead, goes_on) in [(64, true), (65, false), (-63, true), (-64, false), (i32::MIN, false)] {
        let mut game = Match::new();
        game.tell(&[]);
        game.give(1..=80, [1, 0]);
        game.serve(FIRST + 70, |_| Some([1, 0]));
        game.tell(&[]);
        let newest = FIRST + 80;
        assert_eq!(game.prediction.newest(), Some(newest));
        game.prediction.handle_input(Tick(newest.0.wrapping_add_signed(ahead)), &[1, 0]);
        assert_eq!(game.prediction.newest().is_some(), goes_on, "{ahead}");
        if ahead <= -64 {
            assert_eq!(game.prediction.log.rows(newest).map(Tables::row_count), None, "forgotten");
        }
    }
}

#[test]
fn without_the_servers_word_nothing_is_predicted_for_ever() {
    let mut game = Match::new();
    game.tell(&[]);
    game.give(1..LOG_TICKS - 1, [1, 0]);
    assert!(game.prediction.newest().is_some());
    game.give(LOG_TICKS - 1..2 * LOG_TICKS, [1, 0]);
    assert_eq!((game.prediction.newest(), game.prediction.shown.is_empty()), (None, true));
    game.serve(FIRST + 2 * LOG_TICKS - 9, |_| Some([1, 0]));
    game.tell(&[]);
    assert_eq!(game.prediction.newest(), Some(FIRST + 2 * LOG_TICKS - 1), "it goes on from what is told");
}

#[test]
fn after_a_pause_the_server_goes_on_with_the_last_input() {
    let mut game = Match::new();
    game.tell(&[]);
    game.give(1..=10, [3, 0]);
    game.serve(FIRST + 10, |_| Some([3, 0]));
    game.tell(&[]);
    game.give([300], [-2, 0]);
    let given = |tick: Tick| (tick == FIRST + 300).then_some([-2, 0]);
    game.serve(FIRST + 290, given);
    game.tell(&[]);
    assert_eq!(game.prediction.newest(), Some(FIRST + 300));
    game.serve(FIRST + 300, given);
    let [predicted, so] = game.places(game.ids()[0]);
    assert_eq!(predicted, so);
    game.tell(&[]);
    assert_eq!(game.stats.corrections, 0);
}

#[test]
fn a_reference_to_a_bolt_thrown_ahead_is_no_correction() {
    let mut game = Match::new();
    game.tell(&[]);
    game.give(1..=4, [1, 0]);
    game.give([5], [1, 1]);
    game.give(6..=20, [1, 0]);
    game.serve(FIRST + 12, |tick| Some([1, i32::from(tick == FIRST + 5)]));
    game.tell(&[]);
    assert_eq!(game.stats.corrections, 0);
    let events: Vec<_> = std::iter::from_fn(|| game.prediction.poll_event()).collect();
    let real = game.server.tables().table(BOLT).heads()[0].id;
    let [Event::Confirmed { guess, id }, Event::Cue(_)] = events[..] else { panic!("{events:?}") };
    assert!(is_provisional(guess) && id == real);
    let (_, runner) = game.prediction.world.tables().rows(RUNNER).next().unwrap();
    assert_eq!(runner.entity(BOLT_OF), Some(real));
}

#[test]
fn an_old_row_of_another_is_no_truth_about_now() {
    let mut game = Match::new();
    let [_, other] = game.ids();
    game.prediction.set_others([other]);
    game.tell(&[other]);
    game.give(1..=40, [1, 0]);
    game.serve(FIRST + 10, |_| Some([1, 0]));
    game.tell(&[other]);
    assert_eq!(game.stats.replayed_ticks, 0, "it coasts as it does here");
    // Held back for a while.
    for tick in [14, 18, 22] {
        game.serve(FIRST + tick, |_| Some([1, 0]));
        game.tell(&[]);
        assert_eq!(game.stats.replayed_ticks, 0, "what was not told is as it was predicted");
    }
    game.serve(FIRST + 40, |_| Some([1, 0]));
    let [predicted, so] = game.places(other);
    assert_eq!(predicted, so);
}

#[test]
fn what_a_later_part_says_of_another_counts() {
    let mut game = Match::new();
    let [_, other] = game.ids();
    game.prediction.set_others([other]);
    game.tell(&[other]);
    game.give(1..=20, [1, 0]);
    game.serve(FIRST + 10, |_| Some([1, 0]));
    game.tell(&[]);
    // The rest of that snapshot: it is elsewhere.
    let mut rows = Tables::new(game.server.tables().schema().clone());
    rows.insert(RUNNER, RowHead::new(other)).set_integer(X, 500);
    rows.finish();
    let mut late = DecodedSnapshot { header: Some(header(FIRST + 10)), ..DecodedSnapshot::default() };
    add(&mut late.view, RUNNER, other, rows.rows(RUNNER).next().unwrap().1);
    game.replica.apply(&late);
    for tick in [12, 14] {
        game.serve(FIRST + tick, |_| Some([1, 0]));
        game.tell(&[]);
        // It goes on from where it is said to be, and is not pulled back to there again.
        assert_eq!(game.places(other)[0], Some(500 + 8), "told at 12 and stepped to 20");
    }
    assert_eq!(game.stats.corrections, 0);
}

#[test]
fn who_left_is_in_nobodys_way() {
    let mut game = Match::new();
    let [_, other] = game.ids();
    game.prediction.set_others([other]);
    game.tell(&[other]);
    game.give(1..=20, [1, 0]);
    assert!(game.places(other)[0].is_some());
    game.replica.apply(&DecodedSnapshot {
        header: Some(header(FIRST + 1)),
        view: {
            let mut view = DecodedSection::default();
            view.leaves.push(Leave { slot: other.slot, despawned: false });
            view
        },
        ..DecodedSnapshot::default()
    });
    game.serve(FIRST + 4, |_| Some([1, 0]));
    game.tell(&[]);
    assert_eq!(game.places(other)[0], None);
    assert_eq!(game.stats.corrections, 0);
}

#[test]
fn a_warm_prediction_allocates_nothing() {
    let mut game = Match::new();
    let [_, other] = game.ids();
    game.prediction.set_others([other]);
    game.tell(&[other]);
    let mut allocated = 0;
    let walk = |tick: u32| (tick / 7 % 5) as i32;
    for tick in 1..1_000 {
        let counted = allocation_counter::measure(|| {
            game.prediction.handle_input(FIRST + tick + 8, &[walk(tick + 8), 0]);
        });
        // The server goes another way, so that all is replayed.
        game.serve(FIRST + tick, |_| Some([walk(tick) + 1, 0]));
        game.send(&[other]);
        let told = allocation_counter::measure(|| game.hear());
        if tick > 300 {
            allocated += counted.count_total + told.count_total;
        }
    }
    assert!(game.stats.replayed_ticks > 2_000, "{}", game.stats.replayed_ticks);
    assert_eq!(allocated, 0);
}
