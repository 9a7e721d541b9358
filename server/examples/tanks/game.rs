//! The rules: two teams of tanks hunt each other, and the drones that circle over the field.

use core::f32::consts::PI;
use std::sync::Arc;

use tickwire_sim::prelude::*;

use crate::orders::Orders;
use crate::schema::{DRONE, FIRED, HIT, TANK, TICK_RATE, cue, drone, tank};

/// The field reaches from `-FIELD` to `FIELD`, metres.
pub(crate) const FIELD: Vec2 = Vec2::new(30.0, 20.0);
/// Where tanks of a team come in: along the left and the right side.
pub(crate) const BASES: [f32; 2] = [-26.0, 26.0];
/// The round of the drones; out of range of the bases.
pub(crate) const ROUTE: [Vec2; 4] =
    [Vec2::new(-8.0, -10.0), Vec2::new(8.0, -10.0), Vec2::new(8.0, 10.0), Vec2::new(-8.0, 10.0)];

/// m/s.
pub(crate) const SPEED_MAX: f32 = 8.0;
/// m/s^2.
const ACCELERATION: f32 = 6.0;
/// Radians a second.
const TURN_SPEED: f32 = 1.5;
/// Radians a second.
const TURRET_SPEED: f32 = 2.5;

/// How far a gun shoots, metres.
const RANGE: f32 = 12.0;
/// Cosine of how far off the gun's line a target may be: 4 degrees.
const SIGHTS_COS: f32 = 0.9976;
pub(crate) const HEALTH_MAX: i32 = 100;
const DAMAGE: i32 = 25;
/// Shots in a magazine.
pub(crate) const MAGAZINE: i32 = 5;
/// From shot to shot: 0.4 s.
pub(crate) const SHOT_TICKS: i32 = TICK_RATE.hz() as i32 * 2 / 5;
/// From the last shot to a full magazine: 2 s.
pub(crate) const MAGAZINE_TICKS: i32 = TICK_RATE.hz() as i32 * 2;

pub(crate) const DRONES: usize = 2;
/// Hits that a drone takes.
pub(crate) const DRONE_HULL: i32 = 2;
/// m/s.
const DRONE_SPEED: f32 = 3.0;

const NAMES: [&str; 8] = ["Badger", "Otter", "Heron", "Lynx", "Marten", "Stoat", "Raven", "Viper"];

/// The whole state of a match.
pub(crate) struct TankGame {
    schema: Arc<Schema>,
    tanks: Vec<Tank>,
    drones: Vec<Drone>,
}

struct Tank {
    id: EntityId,
    /// Nobody, where the world is a client's and this is someone else's tank.
    owner: Option<PlayerId>,
    team: i32,
    position: Vec2,
    velocity: Vec2,
    heading: f32,
    turret: f32,
    target: Option<EntityId>,
    hit_by: Option<EntityId>,
    score: i32,
    health: i32,
    ammo: i32,
    reload_ticks: i32,
    /// A fact of this tick, not remembered.
    has_teleported: bool,
}

struct Drone {
    id: EntityId,
    position: Vec2,
    hull: i32,
    next: usize,
}

impl TankGame {
    pub(crate) fn new(schema: Arc<Schema>) -> Self {
        Self { schema, tanks: Vec::new(), drones: Vec::new() }
    }

    fn join(&mut self, player: PlayerId, ctx: &mut StepContext<'_>) {
        let in_first = self.tanks.iter().filter(|tank| tank.team == 0).count();
        let team = i32::from(in_first * 2 > self.tanks.len());
        // All that a step is told of a player is its number; a name that it chose has no way here yet.
        let name = format!("{} {player}", NAMES[player.0 as usize % NAMES.len()]);
        let id = ctx.spawn_with(TANK, Bytes::from(name));
        self.tanks.push(Tank::new(id, Some(player), team, &mut ctx.random(id)));
    }

    /// Everyone's sights, after all have moved.
    fn aim(&mut self) {
        for index in 0..self.tanks.len() {
            self.tanks[index].target = self.in_sights_of(&self.tanks[index]);
        }
    }

    /// The nearest enemy or drone that the gun points at.
    fn in_sights_of(&self, shooter: &Tank) -> Option<EntityId> {
        let gun = Vec2::from_angle(shooter.turret);
        let enemies = self.tanks.iter().filter(|tank| tank.team != shooter.team);
        let enemies = enemies.map(|tank| (tank.id, tank.position));
        let drones = self.drones.iter().map(|drone| (drone.id, drone.position));
        enemies
            .chain(drones)
            .map(|(id, place)| (id, place - shooter.position))
            .filter(|(_, way)| way.length() <= RANGE && way.normalize_or_zero().dot(gun) >= SIGHTS_COS)
            .min_by(|(_, a), (_, b)| a.length_squared().total_cmp(&b.length_squared()))
            .map(|(id, _)| id)
    }

    fn fire(&mut self, ctx: &mut StepContext<'_>) {
        for shooter in 0..self.tanks.len() {
            let tank = &mut self.tanks[shooter];
            if !orders_for(tank, ctx).is_some_and(|orders| orders.fire) || !tank.shoot() {
                continue;
            }
            let (id, target) = (tank.id, tank.target);
            ctx.cue(FIRED, Some(id)).set_entity(cue::TARGET, target);
            if target.is_some_and(|target| self.hit(target, id, ctx)) {
                self.tanks[shooter].score += 1;
            }
        }
    }

    /// Hits the target; returns whether that was the end of it. It may be gone already: two can shoot at one.
    fn hit(&mut self, target: EntityId, by: EntityId, ctx: &mut StepContext<'_>) -> bool {
        let tell = |ctx: &mut StepContext<'_>, place| {
            ctx.cue(HIT, Some(target)).set_vec2(cue::PLACE, place).set_entity(cue::BY, Some(by));
        };
        if let Some(tank) = self.tanks.iter_mut().find(|tank| tank.id == target) {
            tell(ctx, tank.position);
            tank.hit(by, &mut ctx.random(target))
        } else if let Some(index) = self.drones.iter().position(|drone| drone.id == target) {
            tell(ctx, self.drones[index].position);
            self.drones[index].hull -= 1;
            let is_down = self.drones[index].hull == 0;
            if is_down {
                // One falls, another rises: a new entity. To count the drones and fill up would be wrong on a
                // client, which has only some of them.
                self.drones.remove(index);
                let id = ctx.spawn(DRONE);
                self.drones.push(Drone::new(id, &mut ctx.random(id)));
            }
            is_down
        } else {
            false
        }
    }
}

impl Simulation for TankGame {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        for _ in 0..DRONES {
            let id = ctx.spawn(DRONE);
            self.drones.push(Drone::new(id, &mut ctx.random(id)));
        }
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        self.tanks.retain(|tank| tank.owner.is_none_or(|owner| !ctx.left().contains(&owner)));
        for &player in ctx.joined() {
            self.join(player, ctx);
        }
        for tank in &mut self.tanks {
            tank.drive(orders_for(tank, ctx), ctx.dt());
        }
        for drone in &mut self.drones {
            drone.fly(ctx.dt());
        }
        self.aim();
        self.fire(ctx);
    }

    fn save(&self, out: &mut Tables) {
        self.tanks.iter().for_each(|tank| tank.save(out));
        self.drones.iter().for_each(|drone| drone.save(out));
    }

    fn load(&mut self, tables: &Tables) {
        self.tanks.clear();
        self.tanks.extend(tables.rows(TANK).map(|(head, row)| Tank::load(head, row)));
        self.drones.clear();
        self.drones.extend(tables.rows(DRONE).map(|(head, row)| Drone::load(head, row)));
    }
}

fn orders_for(tank: &Tank, ctx: &StepContext<'_>) -> Option<Orders> {
    ctx.input(tank.owner?).map(Orders::read)
}

impl Tank {
    /// A tank that comes in at its team's base.
    fn new(id: EntityId, owner: Option<PlayerId>, team: i32, random: &mut Random) -> Self {
        let heading = if team == 0 { 0.0 } else { PI };
        Self {
            id,
            owner,
            team,
            position: Vec2::new(BASES[team as usize], random.range_f32(-15.0..15.0)),
            velocity: Vec2::ZERO,
            heading,
            turret: heading,
            target: None,
            hit_by: None,
            score: 0,
            health: HEALTH_MAX,
            ammo: MAGAZINE,
            // Not 0: it may be its turn to fire in the very tick in which it was hit.
            reload_ticks: SHOT_TICKS,
            has_teleported: false,
        }
    }

    /// A function of its own row, its orders and constants alone: so a client can predict it without an error.
    fn drive(&mut self, orders: Option<Orders>, dt: f32) {
        // Without orders (someone else's tank, on a client) it rolls on.
        if let Some(orders) = orders {
            let speed = self.velocity.dot(Vec2::from_angle(self.heading));
            let change = orders.throttle * SPEED_MAX - speed;
            let speed = speed + change.clamp(-ACCELERATION * dt, ACCELERATION * dt);
            self.heading += orders.steer * TURN_SPEED * dt;
            self.velocity = Vec2::from_angle(self.heading) * speed;
            self.turret = turned(self.turret, orders.aim, TURRET_SPEED * dt);
        }
        let way = self.position + self.velocity * dt;
        self.position = way.clamp(-FIELD, FIELD);
        if self.position != way {
            // The wall.
            self.velocity = Vec2::ZERO;
        }
        self.reload_ticks = (self.reload_ticks - 1).max(0);
        if self.reload_ticks == 0 && self.ammo == 0 {
            self.ammo = MAGAZINE;
        }
    }

    /// Fires if the gun is ready.
    fn shoot(&mut self) -> bool {
        let is_ready = self.reload_ticks == 0 && self.ammo > 0;
        if is_ready {
            self.ammo -= 1;
            self.reload_ticks = if self.ammo == 0 { MAGAZINE_TICKS } else { SHOT_TICKS };
        }
        is_ready
    }

    /// Takes a hit; returns whether that was its end, and it starts anew at its base.
    fn hit(&mut self, by: EntityId, random: &mut Random) -> bool {
        self.hit_by = Some(by);
        // 0 is what a client holds that is not told the health of an enemy: it cannot know what a hit does.
        let is_over = (1..=DAMAGE).contains(&self.health);
        if is_over {
            // It stays the same entity, so clients must be told not to show it racing across the field.
            let anew = Self::new(self.id, self.owner, self.team, random);
            *self = Self { hit_by: self.hit_by, score: self.score, has_teleported: true, ..anew };
        } else {
            self.health = (self.health - DAMAGE).max(0);
        }
        is_over
    }

    fn save(&self, out: &mut Tables) {
        let mut head = RowHead::new(self.id).teams(1 << self.team).teleported(self.has_teleported);
        head.owner = self.owner;
        out.insert(TANK, head)
            .set_vec2(tank::POSITION, self.position)
            .set_vec2(tank::VELOCITY, self.velocity)
            .set_angle(tank::HEADING, self.heading)
            .set_angle(tank::TURRET, self.turret)
            .set_integer(tank::TEAM, self.team)
            .set_entity(tank::TARGET, self.target)
            .set_entity(tank::HIT_BY, self.hit_by)
            .set_integer(tank::SCORE, self.score)
            .set_integer(tank::HEALTH, self.health)
            .set_integer(tank::AMMO, self.ammo)
            .set_integer(tank::RELOAD_TICKS, self.reload_ticks);
    }

    fn load(head: RowHead, row: RowRef<'_>) -> Self {
        Self {
            id: head.id,
            owner: head.owner,
            team: row.integer(tank::TEAM),
            position: row.vec2(tank::POSITION),
            velocity: row.vec2(tank::VELOCITY),
            heading: row.angle(tank::HEADING),
            turret: row.angle(tank::TURRET),
            target: row.entity(tank::TARGET),
            hit_by: row.entity(tank::HIT_BY),
            score: row.integer(tank::SCORE),
            health: row.integer(tank::HEALTH),
            ammo: row.integer(tank::AMMO),
            reload_ticks: row.integer(tank::RELOAD_TICKS),
            has_teleported: false,
        }
    }
}

impl Drone {
    /// A drone that comes in somewhere on the route.
    fn new(id: EntityId, random: &mut Random) -> Self {
        let from = random.below(ROUTE.len() as u32) as usize;
        Self { id, position: ROUTE[from], hull: DRONE_HULL, next: (from + 1) % ROUTE.len() }
    }

    fn fly(&mut self, dt: f32) {
        self.position = self.position.move_towards(ROUTE[self.next], DRONE_SPEED * dt);
        if self.position == ROUTE[self.next] {
            self.next = (self.next + 1) % ROUTE.len();
        }
    }

    fn save(&self, out: &mut Tables) {
        out.insert(DRONE, RowHead::new(self.id))
            .set_vec2(drone::POSITION, self.position)
            .set_integer(drone::HULL, self.hull)
            .set_integer(drone::NEXT, self.next as i32);
    }

    fn load(head: RowHead, row: RowRef<'_>) -> Self {
        Self {
            id: head.id,
            position: row.vec2(drone::POSITION),
            hull: row.integer(drone::HULL),
            next: row.integer(drone::NEXT) as usize,
        }
    }
}

/// `angle`, turned the shorter way towards `wish` by at most `step`. By glam, whose trigonometry gives the same bits
/// on every target; the platform's `sin` does not.
fn turned(angle: f32, wish: f32, step: f32) -> f32 {
    Vec2::from_angle(angle).rotate_towards(Vec2::from_angle(wish), step).to_angle()
}
