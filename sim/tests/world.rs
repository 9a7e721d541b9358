//! What a world does around any simulation: ids, cues, chance, partial worlds, and mistakes that it names.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use tickwire_sim::prelude::*;
use tickwire_sim::protocol::limits::{CUES_PER_TICK_MAX, SLOT_REST_TICKS};
use tickwire_sim::{is_provisional, testing};

const STONE: KindId = KindId(0);
const BIRD: KindId = KindId(1);
const N: FieldId = FieldId(0);
const HIT: CueId = CueId(0);

static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
    let n = || [Field::new(N, "n", FieldType::integer(-1000..=1000))];
    Schema::builder("toy")
        .kind(Kind::new(STONE, "stone", n()))
        .kind(Kind::new(BIRD, "bird", n()))
        .cue(Kind::cue(HIT, "hit", [Field::new(N, "n", FieldType::integer(5..=1000))]))
        .build()
        .unwrap()
});

#[derive(Clone, Copy, Debug, PartialEq)]
struct Thing {
    kind: KindId,
    id: EntityId,
    n: i32,
}

/// A game whose step is a closure over its things.
struct Toy<Step> {
    things: Vec<Thing>,
    step: Step,
}

impl<Step> Simulation for Toy<Step>
where
    Step: FnMut(&mut Vec<Thing>, &mut StepContext<'_>) + Send,
{
    fn schema(&self) -> &Arc<Schema> {
        &SCHEMA
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        self.things.push(Thing { kind: STONE, id: ctx.spawn(STONE), n: 1 });
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        (self.step)(&mut self.things, ctx);
    }

    fn save(&self, out: &mut Tables) {
        for thing in &self.things {
            out.insert(thing.kind, RowHead::new(thing.id)).set_integer(N, thing.n);
        }
    }

    fn load(&mut self, tables: &Tables) {
        self.things.clear();
        for kind in [STONE, BIRD] {
            let things = tables.rows(kind).map(|(head, row)| Thing { kind, id: head.id, n: row.integer(N) });
            self.things.extend(things);
        }
    }
}

fn toy<Step>(step: Step) -> Box<dyn Simulation>
where
    Step: FnMut(&mut Vec<Thing>, &mut StepContext<'_>) + Send + 'static,
{
    Box::new(Toy { things: Vec::new(), step })
}

fn config() -> WorldConfig {
    // The ticks wrap in the middle of most tests.
    WorldConfig { seed: 3, tick_rate: TickRate::new(30).unwrap(), first_tick: Tick(u32::MAX - 1) }
}

fn run(world: &mut World, ticks: u32) {
    let inputs = PlayerInputs::new(SCHEMA.clone());
    (0..ticks).for_each(|_| world.step(&inputs));
}

/// What the world says when its step fails.
fn complaint(step: impl FnMut(&mut Vec<Thing>, &mut StepContext<'_>) + Send + 'static) -> String {
    let mut world = World::new(toy(step), config());
    let panic = catch_unwind(AssertUnwindSafe(|| run(&mut world, 3))).unwrap_err();
    *panic.downcast::<String>().unwrap()
}

#[test]
fn the_scene_is_set_once_and_by_the_authority_alone() {
    let mut world = World::new(toy(|_, _| {}), config());
    assert_eq!((world.tick(), world.tables().row_count()), (Tick(u32::MAX - 2), 0));
    run(&mut world, 1);
    assert_eq!((world.tick(), world.tables().row_count()), (Tick(u32::MAX - 1), 1));
    run(&mut world, 4);
    assert_eq!((world.tick(), world.tables().row_count()), (Tick(2), 1));

    let mut client = World::partial(toy(|_, _| {}), config());
    run(&mut client, 2);
    assert_eq!(client.tables().row_count(), 0);
}

#[test]
fn a_step_can_keep_up_a_number_where_it_knows_them_all() {
    let keep_three = |things: &mut Vec<Thing>, ctx: &mut StepContext<'_>| {
        while ctx.is_authority() && things.len() < 3 {
            things.push(Thing { kind: BIRD, id: ctx.spawn(BIRD), n: 0 });
        }
    };
    let mut world = World::new(toy(keep_three), config());
    run(&mut world, 2);
    assert_eq!(world.tables().row_count(), 3);

    let mut known = Tables::new(SCHEMA.clone());
    known.insert(STONE, world.tables().table(STONE).heads()[0]);
    known.finish();
    let mut client = World::partial(toy(keep_three), config());
    client.restore(world.tick(), &known);
    run(&mut client, 2);
    assert_eq!(client.tables().row_count(), 1, "it makes up none of those that it does not know");
    let mut rebuilt = world.rebuild(toy(keep_three));
    run(&mut rebuilt, 1);
    assert_eq!(rebuilt.tables().row_count(), 3, "a rebuilt world decides as well");
}

#[test]
fn a_step_continues_from_what_the_tables_say() {
    // Nothing above the schema's bound of 1000 is ever seen by a step.
    let step = |things: &mut Vec<Thing>, _: &mut StepContext<'_>| {
        let thing = &mut things[0];
        thing.n = if thing.n > 1000 { -1 } else { thing.n + 600 };
    };
    let mut world = World::new(toy(step), config());
    run(&mut world, 3);
    assert_eq!(world.tables().rows(STONE).next().unwrap().1.integer(N), 1000);
}

#[test]
fn ids_name_one_entity_for_ever_and_slots_rest() {
    // Every tick a bird is born and the one of the tick before is gone.
    let mut world = World::new(
        toy(|things, ctx| {
            things.retain(|thing| thing.kind == STONE);
            let id = ctx.spawn_with(BIRD, Bytes::from(ctx.tick().to_string()));
            things.push(Thing { kind: BIRD, id, n: 0 });
        }),
        config(),
    );
    let mut last_use = vec![None; 1 << 16];
    let mut ids = std::collections::BTreeSet::new();
    for tick in 0..3 * SLOT_REST_TICKS {
        run(&mut world, 1);
        let id = world.tables().table(BIRD).heads()[0].id;
        assert!(ids.insert(id), "{id} was given twice");
        if let Some(last) = last_use[usize::from(id.slot)].replace(tick) {
            assert!(tick - last > SLOT_REST_TICKS, "slot {} rested {} ticks", id.slot, tick - last);
        }
        assert_eq!(world.kind(id), Some(BIRD));
        assert_eq!(world.payload(id).unwrap(), world.tick().to_string().as_bytes());
    }
    assert_eq!(ids.iter().map(|id| id.slot).max(), Some(SLOT_REST_TICKS as u16 + 1), "slots are used again");
    let stone = world.tables().table(STONE).heads()[0].id;
    assert_eq!(world.payload(stone), None, "spawned with nothing");
}

#[test]
fn cues_are_numbered_per_source_and_tick_and_too_many_are_counted() {
    let mut world = World::new(
        toy(|things, ctx| {
            let stone = Some(things[0].id);
            for source in [stone, None, stone, stone, None] {
                ctx.cue(HIT, source).set_integer(N, 7);
            }
            ctx.cue(HIT, None);
        }),
        config(),
    );
    for _ in 0..2 {
        run(&mut world, 1);
        let stone = Some(world.tables().table(STONE).heads()[0].id);
        let names: Vec<_> = world.cues().iter().map(|cue| (cue.tick, cue.source, cue.nth)).collect();
        let expected = [(stone, 0), (None, 0), (stone, 1), (stone, 2), (None, 1), (None, 2)];
        assert_eq!(names, expected.map(|(source, nth)| (world.tick(), source, nth)));
        let values = world.cues().iter().map(|cue| cue.row(&SCHEMA).integer(N)).collect::<Vec<_>>();
        assert_eq!(values, [7, 7, 7, 7, 7, 5], "what is not written is at the bound nearest to zero");
        assert_eq!(world.cues_dropped(), 0);
    }

    let flood = |_: &mut Vec<Thing>, ctx: &mut StepContext<'_>| {
        for n in 0..300 {
            ctx.cue(HIT, None).set_integer(N, n);
        }
    };
    let mut world = World::new(toy(flood), config());
    run(&mut world, 2);
    assert_eq!((world.cues().len(), world.cues_dropped()), (CUES_PER_TICK_MAX, 44));
    assert_eq!(world.cues()[255].nth, 255);
    assert_eq!(world.cues()[255].row(&SCHEMA).integer(N), 255);
}

#[test]
fn chance_depends_on_seed_tick_and_entity_and_on_nothing_else() {
    let draw = |things: &mut Vec<Thing>, ctx: &mut StepContext<'_>| {
        let (mut own, mut room) = (ctx.random(things[0].id), ctx.random_for_room());
        let twice = [ctx.random(things[0].id).next_u32(), own.next_u32()];
        assert_eq!(twice[0], twice[1]);
        things[0].n = own.below(1000) as i32 - room.below(1000) as i32;
    };
    let numbers = |seed| {
        let mut world = World::new(toy(draw), WorldConfig { seed, ..config() });
        let number = |_| {
            run(&mut world, 1);
            world.tables().rows(STONE).next().unwrap().1.integer(N)
        };
        (0..20).map(number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(1), numbers(1));
    assert_ne!(numbers(1), numbers(2));
    let mut once = numbers(1);
    once.sort_unstable();
    once.dedup();
    assert!(once.len() > 15, "ticks differ");
}

#[test]
fn mistakes_of_a_simulation_are_named() {
    let id = |slot| EntityId { slot, generation: 1 };
    let stray = complaint(move |things, _| things.push(Thing { kind: BIRD, id: id(9), n: 0 }));
    assert!(stray.contains("entity 9v1 was saved as `bird` but does not live"), "{stray}");
    let turned = complaint(|things, _| things.iter_mut().for_each(|thing| thing.kind = BIRD));
    assert!(turned.contains("entity 0v1 was spawned as `stone` but saved as `bird`"), "{turned}");
    let twice = complaint(|things, _| things.push(things[0]));
    assert!(twice.contains("entity 0v1 was saved twice as `stone`"), "{twice}");
    let mut gone = None;
    let back = complaint(move |things, _| match gone {
        None => gone = things.pop(),
        Some(gone) => things.push(gone),
    });
    assert!(back.contains("entity 0v1 was saved as `stone` but does not live"), "{back}");
}

#[test]
fn a_partial_world_holds_what_it_is_told_and_guesses_on() {
    let step = |things: &mut Vec<Thing>, ctx: &mut StepContext<'_>| {
        things[0].n += 1;
        if things[0].n == 5 {
            things.push(Thing { kind: BIRD, id: ctx.spawn(BIRD), n: 0 });
        }
    };
    let mut world = World::new(toy(step), config());
    let mut client = World::partial(toy(step), config());
    run(&mut world, 2);
    client.restore(world.tick(), world.tables());
    assert_eq!((client.tick(), client.digest()), (world.tick(), world.digest()));
    let stone = client.tables().table(STONE).heads()[0].id;
    assert!(client.set_payload(stone, Bytes::from_static(b"granite")));
    run(&mut world, 1);
    run(&mut client, 1);
    assert_eq!(client.digest(), world.digest());

    run(&mut client, 3);
    let guess = client.tables().table(BIRD).heads()[0].id;
    assert!(is_provisional(guess) && !is_provisional(stone));
    client.restore(world.tick(), world.tables());
    assert_eq!(
        (client.kind(guess), client.tables().row_count()),
        (None, 1),
        "the server's word replaces guesses"
    );
    assert_eq!(client.payload(stone).unwrap(), "granite");
    assert!(client.set_payload(stone, Bytes::new()));
    assert_eq!(client.payload(stone), None, "empty is nothing");

    let copy = world.tables().clone();
    let panic = catch_unwind(AssertUnwindSafe(|| world.restore(Tick(0), &copy))).unwrap_err();
    assert!(panic.downcast_ref::<&str>().unwrap().contains("only a partial world can be restored"));
}

#[test]
fn a_game_that_remembers_outside_of_its_tables_is_caught() {
    let forgetful = || {
        let mut hidden = 0;
        toy(move |things, _| {
            hidden += 1;
            things[0].n = hidden / 4;
        })
    };
    let check = || testing::assert_rebuilds(forgetful, config(), 10, |_, _| {});
    let panic = catch_unwind(AssertUnwindSafe(check)).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("`stone` 0v1, `n` (column 0): 1 or 0"), "{message}");
}

/// A weather vane that points where it drifts to, and jumps back now and then.
struct Vane {
    id: Option<EntityId>,
    x: f32,
    heading: f32,
    has_teleported: bool,
    /// The mutant: the heading comes from the wrong field.
    confuses_fields: bool,
}

impl Vane {
    const X: FieldId = FieldId(0);
    const HEADING: FieldId = FieldId(1);

    fn make(confuses_fields: bool) -> Box<dyn Simulation> {
        Box::new(Self { id: None, x: 0.0, heading: 0.0, has_teleported: false, confuses_fields })
    }
}

impl Simulation for Vane {
    fn schema(&self) -> &Arc<Schema> {
        static SCHEMA: LazyLock<Arc<Schema>> = LazyLock::new(|| {
            let fields = [
                Field::new(Vane::X, "x", FieldType::scalar(-9.0..=9.0, 0.01)),
                Field::new(Vane::HEADING, "heading", FieldType::scalar(-9.0..=9.0, 0.01)),
            ];
            Schema::builder("vane").kind(Kind::new(STONE, "vane", fields)).build().unwrap()
        });
        &SCHEMA
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        self.id = Some(ctx.spawn(STONE));
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.has_teleported = ctx.tick().0 % 4 == 3;
        self.x = if self.has_teleported { 0.0 } else { self.x + 0.5 };
        self.heading += 0.1;
    }

    fn save(&self, out: &mut Tables) {
        let Some(id) = self.id else { return };
        out.insert(STONE, RowHead::new(id).teleported(self.has_teleported))
            .set_scalar(Self::X, self.x)
            .set_scalar(Self::HEADING, self.heading);
    }

    fn load(&mut self, tables: &Tables) {
        self.id = None;
        for (head, row) in tables.rows(STONE) {
            let heading = if self.confuses_fields { Self::X } else { Self::HEADING };
            (self.id, self.x, self.heading) = (Some(head.id), row.scalar(Self::X), row.scalar(heading));
            self.has_teleported = false;
        }
    }
}

#[test]
fn a_game_that_loads_a_field_from_another_is_caught() {
    let check = |confuses_fields| {
        let config = WorldConfig { first_tick: Tick(0), ..config() };
        testing::assert_rebuilds(|| Vane::make(confuses_fields), config, 20, |_, _| {})
    };
    let jumped = check(false).tables().rows(STONE).any(|(head, _)| head.teleported);
    assert!(jumped, "a jump is a fact of one tick, and not to be loaded");

    // Both instances go on from the same wrong heading, so their steps do not part.
    let panic = catch_unwind(|| check(true)).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.starts_with("tick 0: `load` and `save` disagree"), "{message}");
    assert!(message.contains("`vane` 0v1, `heading` (column 1): 10 or 50"), "{message}");
}
