//! The arena's weapon: judged by what the shooter was shown, decided by the authority.

use std::sync::Arc;

use tickwire_sim::arena::{
    Arena, EYE_HEIGHT, HEALTH_MAX, HEIGHT, Level, PLAYER, RELOAD_SECONDS, SHIELD_SECONDS, SHOT, SHOT_DAMAGE,
    cue, disturbed_ticks, input, player, schema,
};
use tickwire_sim::prelude::*;
use tickwire_sim::protocol::Table;
use tickwire_sim::{Eyes, Outside};

const ONE: PlayerId = PlayerId(1);
const OTHER: PlayerId = PlayerId(2);
const RATE: TickRate = TickRate::new(60).unwrap();

/// Two players on an empty floor.
struct Duel {
    world: World,
    inputs: PlayerInputs,
}

/// Shows one player a body; of others nothing is known.
#[derive(Debug)]
struct Vision {
    player: PlayerId,
    seen: Tables,
}

impl Vision {
    fn of(player: PlayerId, id: EntityId, place: Vec3) -> Self {
        let mut seen = Tables::new(schema().clone());
        seen.insert(PLAYER, RowHead::new(id)).set_vec3(player::POSITION, place);
        seen.finish();
        Self { player, seen }
    }
}

impl Eyes for Vision {
    fn seen_by(&mut self, player: PlayerId, kind: KindId) -> Option<&Table> {
        (player == self.player).then(|| self.seen.table(kind))
    }
}

impl Duel {
    fn on(level: Level) -> Self {
        let config = WorldConfig { seed: 2, tick_rate: RATE, first_tick: Tick(0) };
        let world = World::new(Box::new(Arena::new(Arc::new(level))), config);
        let mut duel = Self { world, inputs: PlayerInputs::new(schema().clone()) };
        duel.inputs.join(ONE);
        duel.inputs.join(OTHER);
        duel.world.step(&duel.inputs);
        duel
    }

    fn new() -> Self {
        Self::on(Level::new(40, Vec::new()))
    }

    fn head(&self, player: PlayerId) -> RowHead {
        self.world.tables().rows(PLAYER).find(|(head, _)| head.owner == Some(player)).unwrap().0
    }

    fn row(&self, player: PlayerId) -> RowRef<'_> {
        self.world.tables().rows(PLAYER).find(|(head, _)| head.owner == Some(player)).unwrap().1
    }

    fn place(&self, player: PlayerId) -> Vec3 {
        self.row(player).vec3(player::POSITION)
    }

    /// Steps while `shooters` fire at these places; whom each hit.
    fn fire(
        &mut self,
        shooters: &[(PlayerId, Vec3)],
        eyes: Option<&mut dyn Eyes>,
    ) -> Vec<(EntityId, Option<EntityId>)> {
        self.inputs.clear();
        for player in [ONE, OTHER] {
            self.inputs.insert(player);
        }
        for &(shooter, at) in shooters {
            let way = at + Vec3::Y * (HEIGHT / 2.0) - self.place(shooter) - Vec3::Y * EYE_HEIGHT;
            self.inputs
                .insert(shooter)
                .set_angle(input::YAW, Vec2::new(-way.z, -way.x).to_angle())
                .set_scalar(input::PITCH, Vec2::new(way.x.hypot(way.z), way.y).to_angle())
                .set_boolean(input::FIRE, true);
        }
        self.world.step_with(&self.inputs, Outside { eyes, ..Outside::default() });
        let shots = self.world.cues().iter().filter(|cue| cue.id == SHOT);
        let target = |cue: &Cue| RowRef::new(schema().cue(SHOT), &cue.values).entity(cue::OTHER);
        shots.map(|cue| (cue.source.unwrap(), target(cue))).collect()
    }

    fn wait(&mut self, seconds: f32) {
        for _ in 0..(seconds * 60.0) as u32 {
            self.fire(&[], None);
        }
    }
}

#[test]
fn shots_hit_whom_the_shooter_was_shown_where_it_was_shown() {
    let mut duel = Duel::new();
    let (one, other, place) = (duel.head(ONE).id, duel.head(OTHER).id, duel.place(OTHER));
    // 3 m away from where it is, towards the middle: within the walls.
    let shown = place - place.normalize() * 3.0;
    let mut eyes = Vision::of(ONE, other, shown);
    assert_eq!(duel.fire(&[(ONE, shown)], Some(&mut eyes)), [(one, Some(other))], "there it was seen");
    duel.wait(1.0);
    assert_eq!(duel.fire(&[(ONE, place)], Some(&mut eyes)), [(one, None)], "there it is");
    duel.wait(1.0);
    assert_eq!(duel.fire(&[(ONE, place)], None), [(one, Some(other))], "without eyes the present counts");
    duel.wait(1.0);
    let of_another = &mut Vision::of(OTHER, one, shown);
    assert_eq!(duel.fire(&[(ONE, place)], Some(of_another)), [(one, Some(other))], "nor do those of others");
    assert_eq!(duel.row(OTHER).integer(player::HEALTH), HEALTH_MAX - 3 * SHOT_DAMAGE);
}

#[test]
fn a_trigger_that_is_held_fires_whenever_the_weapon_is_loaded() {
    let mut duel = Duel::new();
    let at = duel.place(OTHER) + Vec3::Y * 9.0;
    let shots: usize = (0..120).map(|_| duel.fire(&[(ONE, at)], None).len()).sum();
    assert_eq!(shots, (2.0 / RELOAD_SECONDS) as usize);
}

#[test]
fn who_is_knocked_out_comes_back_elsewhere_unhurt_shielded_and_the_other_scores() {
    let mut duel = Duel::new();
    let hits = (HEALTH_MAX / SHOT_DAMAGE) as usize;
    for hit in 1..=hits {
        let (place, other) = (duel.place(OTHER), duel.head(OTHER).id);
        assert_eq!(duel.fire(&[(ONE, place)], None)[0].1, Some(other));
        assert_eq!(duel.head(OTHER).teleported, hit == hits);
        let named = duel.row(OTHER).integer(player::DISTURBED_TICKS);
        assert_eq!(named, disturbed_ticks(RATE) as i32, "a hit is named");
        if hit < hits {
            assert_eq!(
                duel.row(ONE).integer(player::DISTURBED_TICKS),
                0,
                "a shot is the shooter's own doing"
            );
            duel.wait(1.0);
            assert_eq!(duel.row(OTHER).integer(player::DISTURBED_TICKS), 0, "for a second");
        }
    }
    assert_eq!(
        (duel.row(ONE).integer(player::SCORE), duel.row(OTHER).integer(player::HEALTH)),
        (1, HEALTH_MAX)
    );
    assert_eq!(
        duel.row(ONE).integer(player::DISTURBED_TICKS),
        disturbed_ticks(RATE) as i32,
        "a point is named"
    );
    duel.wait(RELOAD_SECONDS);
    let place = duel.place(OTHER);
    let (_, target) = duel.fire(&[(ONE, place)], None)[0];
    assert_eq!(target, Some(duel.head(OTHER).id), "it is seen to be hit");
    assert_eq!(
        duel.row(OTHER).integer(player::HEALTH),
        HEALTH_MAX,
        "but was aimed at, perhaps, as its former self"
    );
    duel.wait(SHIELD_SECONDS);
    duel.fire(&[(ONE, place)], None);
    assert_eq!(duel.row(OTHER).integer(player::HEALTH), HEALTH_MAX - SHOT_DAMAGE);
}

#[test]
fn two_who_shoot_in_the_same_tick_both_hit() {
    let mut duel = Duel::new();
    for _ in 0..HEALTH_MAX / SHOT_DAMAGE {
        let places = [(ONE, duel.place(OTHER)), (OTHER, duel.place(ONE))];
        assert_eq!(duel.fire(&places, None).len(), 2);
        duel.wait(1.0);
    }
    for player in [ONE, OTHER] {
        assert_eq!(duel.row(player).integer(player::SCORE), 1, "{player:?}");
    }
}

#[test]
fn where_there_is_peace_there_are_no_weapons() {
    let mut duel = Duel::on(Level::cells(2));
    let at = duel.place(OTHER);
    assert_eq!(duel.fire(&[(ONE, at)], None), []);
    assert_eq!(duel.row(ONE).integer(player::RELOAD_TICKS), 0);
}

/// A client steps the same shot, and shows it; what it does to others is for the server to say.
#[test]
fn a_prediction_shoots_and_hurts_nobody() {
    let mut duel = Duel::new();
    let config = WorldConfig { seed: 0, tick_rate: RATE, first_tick: Tick(0) };
    let mut partial = World::partial(Box::new(Arena::new(Level::new(40, Vec::new()))), config);
    partial.restore(duel.world.tick(), duel.world.tables());
    let place = duel.place(OTHER);
    duel.fire(&[(ONE, place)], None);
    let own = duel.inputs.get(ONE).unwrap();
    let (mut values, mut inputs) = (vec![0; own.kind().column_count()], PlayerInputs::new(schema().clone()));
    own.copy_to(&mut values);
    inputs.insert(ONE).copy_from(&values);
    partial.step(&inputs);
    assert_eq!(partial.cues(), duel.world.cues());
    let row =
        |world: &World, slot: usize, field| world.tables().rows(PLAYER).nth(slot).unwrap().1.integer(field);
    assert_eq!(row(&partial, 1, player::HEALTH), HEALTH_MAX);
    let reload = [&partial, &duel.world].map(|world| row(world, 0, player::RELOAD_TICKS));
    assert!(reload[0] > 0 && reload[0] == reload[1]);
}
