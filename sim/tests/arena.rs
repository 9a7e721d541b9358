//! The arena as a whole: the same everywhere, rebuilt from its tables, predicted without error, and sound.

mod support;

use std::sync::Arc;

use glam::Vec3Swizzles;
use proptest::prelude::*;
use support::{Bots, arena, config};
use tickwire_sim::arena::{self, Action, JUMPED, Level, PLAYER, RADIUS, SPEED_MAX, player};
use tickwire_sim::prelude::{
    EntityId, PlayerId, PlayerInputs, RowHead, RowMut, RowRef, Tables, Tick, TickRate, Vec3, World,
    WorldConfig,
};
use tickwire_sim::testing;

/// The digests of 3600 ticks with 32 bots, folded. It changes with every change to the arena, to the bots or to the
/// arithmetic below them; it must be the same on every target.
const GOLDEN: u64 = 0x6f2b_0a27_ccfb_1dd0;

fn play(world: &mut World, log: &[PlayerInputs]) -> Vec<u64> {
    let digest = |inputs| {
        world.step(inputs);
        world.digest()
    };
    log.iter().map(digest).collect()
}

fn record(players: u32, seed: u64, level: &Arc<Level>, ticks: u32) -> (Vec<PlayerInputs>, Vec<u64>) {
    let mut world = World::new(arena(level), config(seed));
    let mut bots = Bots::new(players, seed, level);
    let mut inputs = PlayerInputs::new(world.tables().schema().clone());
    let (mut log, mut digests) = (Vec::new(), Vec::new());
    for _ in 0..ticks {
        inputs.clear();
        bots.fill(&world, &mut inputs);
        world.step(&inputs);
        log.push(inputs.clone());
        digests.push(world.digest());
    }
    (log, digests)
}

#[test]
fn a_seed_and_a_log_of_inputs_give_the_same_bits_for_ever() {
    let level = Arc::new(Level::for_players(32));
    let (log, digests) = record(32, 7, &level, 3600);
    let joins: usize = log.iter().map(|inputs| inputs.joined().len()).sum();
    let leaves: usize = log.iter().map(|inputs| inputs.left().len()).sum();
    assert!(joins > 120 && leaves > 100, "{joins} joins, {leaves} leaves");

    assert!(play(&mut World::new(arena(&level), config(7)), &log) == digests, "a replay is the same");
    assert!(play(&mut World::new(arena(&level), config(8)), &log) != digests, "another seed is not");

    let folded = digests.iter().fold(0_u64, |folded, digest| folded.rotate_left(5) ^ digest);
    assert_eq!(folded, GOLDEN, "{folded:#018x}: the arena's bits changed");
}

#[test]
fn at_every_tick_the_world_is_rebuilt_from_its_tables() {
    let level = Arc::new(Level::for_players(16));
    let mut bots = Bots::new(24, 3, &level);
    let make = || arena(&level);
    let world = testing::assert_rebuilds(make, config(3), 1800, |world, inputs| bots.fill(world, inputs));
    assert!(world.tables().row_count() > 10);
}

/// A client that knows its own row and its own input, and nothing else.
#[test]
fn a_player_is_predicted_without_an_error_but_for_what_the_server_names() {
    let level = Arc::new(Level::square(120));
    let mut world = World::new(arena(&level), config(5));
    let mut client = World::partial(arena(&level), config(99));
    let mut bots = Bots { are_steady: true, ..Bots::new(12, 5, &level) };
    let own = PlayerId(4);
    let mut inputs = PlayerInputs::new(world.tables().schema().clone());
    let mut own_inputs = inputs.clone();
    let mut own_tables = world.tables().clone();
    let (mut predicted, mut met) = (0, 0);
    for _ in 0..7200 {
        inputs.clear();
        bots.fill(&world, &mut inputs);
        world.step(&inputs);
        own_inputs.clear();
        copy(inputs.get(own).unwrap(), own_inputs.insert(own));
        client.step(&own_inputs);

        let (head, row) = world.tables().rows(PLAYER).find(|(head, _)| head.owner == Some(own)).unwrap();
        own_tables.clear();
        copy(row, own_tables.insert(PLAYER, head));
        // What others did to it, and nothing else, is unforeseen; the server names it.
        let named = arena::disturbed_ticks(world.config().tick_rate) as i32;
        let is_named = row.integer(player::DISTURBED_TICKS) == named;
        met += u32::from(is_named);
        if is_named || client.tables().row_count() == 0 {
            client.restore(world.tick(), &own_tables);
        } else {
            assert_eq!(
                testing::first_difference(&own_tables, client.tables()),
                None,
                "tick {}",
                world.tick()
            );
            predicted += 1;
        }
    }
    assert!(predicted > 6_000 && met > 100, "{predicted} ticks predicted, disturbed in {met}");
}

fn copy(row: RowRef<'_>, mut to: RowMut<'_>) {
    let mut values = vec![0; row.kind().column_count()];
    row.copy_to(&mut values);
    to.copy_from(&values);
}

#[test]
fn players_stay_in_bounds_out_of_blocks_and_out_of_each_other() {
    let level = Arc::new(Level::default());
    let mut world = World::new(arena(&level), config(11));
    let mut bots = Bots::new(16, 11, &level);
    let mut inputs = PlayerInputs::new(world.tables().schema().clone());
    let mut seen = Seen::default();
    for _ in 0..60 * 180 {
        inputs.clear();
        bots.fill(&world, &mut inputs);
        world.step(&inputs);
        let bodies: Vec<Body> =
            world.tables().rows(PLAYER).map(|(head, row)| Body::read(head, row)).collect();
        for (index, body) in bodies.iter().enumerate() {
            check_place(&level, body);
            assert!(body.position.y < 3.0, "higher than a jump from a crate: {}", body.position);
            if let Some(before) = seen.bodies.iter().find(|before| before.head.id == body.head.id) {
                check_motion(before, body);
            }
            for other in &bodies[index + 1..] {
                seen.note_overlap(body, other);
            }
            seen.actions[body.action as usize] += 1;
            seen.teleports += u32::from(body.head.teleported);
        }
        for cue in world.cues() {
            seen.cues[usize::from(cue.id.0)] += 1;
        }
        seen.bodies = bodies;
    }
    seen.check();
}

struct Body {
    head: RowHead,
    position: Vec3,
    velocity: Vec3,
    action: Action,
}

#[derive(Default)]
struct Seen {
    bodies: Vec<Body>,
    cues: [u32; 4],
    actions: [u32; 5],
    teleports: u32,
    /// Pairs that are in each other, and for how many ticks on end.
    overlaps: std::collections::BTreeMap<(EntityId, EntityId), u32>,
    longest_overlap: u32,
}

impl Body {
    fn read(head: RowHead, row: RowRef<'_>) -> Self {
        Self {
            head,
            position: row.vec3(player::POSITION),
            velocity: row.vec3(player::VELOCITY),
            action: Action::from_integer(row.integer(player::ACTION)),
        }
    }
}

/// Half a step of position in x and in z.
const ROUNDING: f32 = 0.0072;

fn check_place(level: &Level, body: &Body) {
    let (at, y) = (body.position.xz(), body.position.y);
    assert!(
        at.abs().max_element() <= level.half_side() - RADIUS + ROUNDING,
        "out of bounds: {}",
        body.position
    );
    assert!(y >= 0.0, "{}", body.position);
    for block in level.blocks().iter().filter(|block| y < block.height - 0.01) {
        let distance = at.distance(at.clamp(block.min, block.max));
        assert!(distance >= RADIUS - ROUNDING, "{} is in {block:?}", body.position);
    }
}

fn check_motion(before: &Body, body: &Body) {
    assert!(body.velocity.xz().length() <= SPEED_MAX + ROUNDING, "too fast: {}", body.velocity);
    if !body.head.teleported {
        let way = body.position.distance(before.position);
        assert!(way <= 1.5 * SPEED_MAX / 60.0 + 0.02, "{way} m in a tick: {}", body.position);
        let change = body.velocity.distance(before.velocity);
        assert!(change < 2.5 * SPEED_MAX, "{} after {}", body.velocity, before.velocity);
    }
}

impl Seen {
    fn note_overlap(&mut self, a: &Body, b: &Body) {
        let depth = 2.0 * RADIUS - a.position.xz().distance(b.position.xz());
        let pair = (a.head.id, b.head.id);
        if depth > 0.05 && (a.position.y - b.position.y).abs() < arena::HEIGHT {
            let ticks = self.overlaps.entry(pair).or_default();
            *ticks += 1;
            self.longest_overlap = self.longest_overlap.max(*ticks);
        } else {
            self.overlaps.remove(&pair);
        }
    }

    fn check(&self) {
        assert!(self.longest_overlap <= 3, "two were in each other for {} ticks", self.longest_overlap);
        assert!(self.cues.iter().all(|&count| count > 100), "cues: {:?}", self.cues);
        assert!(self.cues[usize::from(JUMPED.0)] > 400);
        assert!(self.actions.iter().all(|&count| count > 1000), "actions: {:?}", self.actions);
        assert!(self.teleports > 5, "{} knock-outs", self.teleports);
    }
}

proptest! {
    /// Any row that the wire can say and any input: a step goes no farther than the speeds allow, and ends in the open.
    #[test]
    fn no_state_and_no_input_break_the_step(
        place in prop::array::uniform3(0.0_f32..1.0),
        columns in prop::collection::vec(any::<i32>(), 16),
        wishes in prop::collection::vec(prop::collection::vec(any::<i32>(), 7), 8),
        hz in prop::sample::select(vec![20, 30, 60, 128, 240]),
        first in any::<u32>(),
    ) {
        let level = Arc::new(Level::square(60));
        let tick_rate = TickRate::new(hz).unwrap();
        let rates = WorldConfig { seed: 0, tick_rate, first_tick: Tick(0) };
        let mut world = World::partial(arena(&level), rates);
        let mut tables = Tables::new(arena::schema().clone());
        let head = RowHead::new(EntityId { slot: 2, generation: 3 }).owned_by(PlayerId(1));
        let position = (Vec3::from(place) * 2.0 - 1.0) * Vec3::new(29.6, 0.0, 29.6) + Vec3::Y * place[1] * 2.0;
        prop_assume!(level.is_free(position));
        tables.insert(PLAYER, head).copy_from(&columns).set_vec3(player::POSITION, position);
        tables.finish();
        world.restore(Tick(first), &tables);
        let mut inputs = PlayerInputs::new(arena::schema().clone());
        for wish in &wishes {
            let before = Body::read(head, world.tables().rows(PLAYER).next().unwrap().1);
            inputs.clear();
            inputs.insert(PlayerId(1)).copy_from(wish);
            world.step(&inputs);
            let (head, row) = world.tables().rows(PLAYER).next().unwrap();
            let body = Body::read(head, row);
            check_place(&level, &body);
            prop_assert!(body.velocity.xz().length() <= SPEED_MAX + ROUNDING, "{}", body.velocity);
            let way = body.position.distance(before.position);
            prop_assert!(head.teleported || way <= 18.0 * tick_rate.dt() + 0.03, "{way} from {}", before.position);
        }
    }
}
