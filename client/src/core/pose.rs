//! Where an entity is shown: vectors between two states, beyond the newest, and while an error fades.

use glam::Vec3;
use tickwire_protocol::TickTime;
use tickwire_protocol::schema::{Field, FieldId, FieldType, Interpolation, Kind};
use tickwire_sim::blend::{self as interpolation, CUBIC_SECONDS_MAX, GUESS_SECONDS, Moving};

use super::timeline::{Blend, FADING_FIELDS_MAX, Fading, Timeline};

/// A difference fades in this time at least, seconds.
const FADE_SECONDS_MIN: f32 = 0.06;
/// And never so fast that the entity, with its own motion, seems to move faster than this many times the field's greatest speed: who
/// is set right seems to run, not to jump. Slower would be smoother, and wrong for longer.
const SHOWN_SPEED: f32 = 1.5;
/// By how much its own motion may change meanwhile, as a share of the greatest speed.
const OWN_CHANGE: f32 = 0.5;
/// How far something may be off and be moved back, as the way that takes so long at its greatest speed, seconds. From further off it
/// is set right at once.
const FADE_WAY_SECONDS: f32 = 0.5;

/// One entity at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pose<'a> {
    pub(crate) kind: &'a Kind,
    pub(crate) timeline: &'a Timeline,
    pub(crate) blend: Blend,
    /// The moment.
    pub(crate) time: TickTime,
    /// Seconds a tick.
    pub(crate) dt: f32,
}

impl Pose<'_> {
    /// A vector that is not held.
    pub(crate) fn vector(&self, field: &Field) -> Vec3 {
        self.known(field) + self.fading(field.id)
    }

    /// As the states have it.
    fn known(&self, field: &Field) -> Vec3 {
        let Self { kind, timeline, blend, dt, .. } = *self;
        let velocity = kind.velocity_of(field.id);
        let ((from, from_sight), (to, to_sight)) = (timeline.from(kind, blend), timeline.to(kind, blend));
        let is_told = |sight, field: &Field| kind.visible(sight).contains(field.columns().start);
        if is_told(from_sight, field) != is_told(to_sight, field) {
            return if blend.fraction < 1.0 { from.vec3(field.id) } else { to.vec3(field.id) };
        }
        let velocity =
            velocity.filter(|velocity| is_told(from_sight, velocity) && is_told(to_sight, velocity));
        let Some(velocity) = velocity else {
            return from.vec3(field.id).lerp(to.vec3(field.id), blend.fraction);
        };
        let mut begin = Moving { position: from.vec3(field.id), velocity: from.vec3(velocity.id) };
        if blend.beyond > 0.0 {
            return within(field, begin.guess(blend.beyond * dt));
        }
        let end = Moving { position: to.vec3(field.id), velocity: to.vec3(velocity.id) };
        let seconds = blend.span as f32 * dt;
        if seconds > CUBIC_SECONDS_MAX {
            return begin.position.lerp(end.position, blend.fraction);
        }
        if blend.is_from_rest {
            begin.velocity = Vec3::ZERO;
        }
        within(field, interpolation::hermite(begin, end, seconds, blend.fraction))
    }

    /// How fast it moves by itself, units a second.
    fn speed(&self, field: &Field) -> f32 {
        let velocity = self.kind.velocity_of(field.id);
        velocity
            .map_or(0.0, |velocity| self.timeline.from(self.kind, self.blend).0.vec3(velocity.id).length())
    }

    /// What is left of differences that fade.
    fn fading(&self, id: FieldId) -> Vec3 {
        let Some(Fading { since, fields }) = &self.timeline.fading else { return Vec3::ZERO };
        let elapsed = elapsed(*since, self.time);
        let faded = fields.iter().flatten().find(|(field, ..)| *field == id);
        match faded {
            Some((_, difference, ticks)) if elapsed >= 0.0 => {
                *difference * interpolation::faded(elapsed / ticks)
            }
            _ => Vec3::ZERO,
        }
    }

    /// Whether more than what is known goes into this picture.
    pub(crate) fn is_guessed(&self) -> bool {
        self.blend.beyond > 0.0 && self.blend.beyond * self.dt <= GUESS_SECONDS
    }
}

/// Where the vectors of an entity are shown.
pub(crate) type Places = [Option<(FieldId, Vec3)>; FADING_FIELDS_MAX];

/// The vectors that move by a velocity: of these a guess can be wrong.
pub(crate) fn places(pose: &Pose<'_>) -> Places {
    let moves = |field: &&Field| {
        field.interpolation != Interpolation::Hold
            && pose.kind.velocity_of(field.id).is_some()
            && is_vector(field)
    };
    let mut places = Places::default();
    for (place, field) in places.iter_mut().zip(pose.kind.fields().iter().filter(moves)) {
        *place = Some((field.id, pose.vector(field)));
    }
    places
}

/// What is to fade, now that an entity is known to be at `pose` and was shown elsewhere before.
pub(crate) fn differences(before: &Places, pose: &Pose<'_>) -> Option<Fading> {
    let mut fields = [None; FADING_FIELDS_MAX];
    for (fading, &(id, place)) in fields.iter_mut().zip(before.iter().flatten()) {
        let field = pose.kind.field(id);
        let difference = place - pose.known(field);
        let greatest = greatest_speed(pose.kind, field);
        let length = difference.length();
        if length <= greatest * FADE_WAY_SECONDS && length > 0.0 {
            let own = (pose.speed(field) + OWN_CHANGE * greatest).min(greatest);
            let seconds = (length / (SHOWN_SPEED * greatest - own)).max(FADE_SECONDS_MIN);
            *fading = Some((id, difference, seconds / pose.dt));
        }
    }
    fields.iter().any(Option::is_some).then_some(Fading { since: pose.time, fields })
}

/// Units a second along one axis.
fn greatest_speed(kind: &Kind, field: &Field) -> f32 {
    match kind.velocity_of(field.id).map(|velocity| &velocity.ty) {
        Some(FieldType::Velocity { max, .. }) => *max as f32,
        _ => 0.0,
    }
}

pub(crate) fn is_vector(field: &Field) -> bool {
    matches!(field.ty, FieldType::Position { .. })
}

/// Ticks from one moment to another.
fn elapsed(since: TickTime, now: TickTime) -> f32 {
    now.tick.since(since.tick) as f32 + now.fraction - since.fraction
}

/// Nothing is shown where it cannot be: below the floor, if that is where the field ends.
fn within(field: &Field, position: Vec3) -> Vec3 {
    let FieldType::Position { axes, .. } = &field.ty else { return position };
    let mut position = position.to_array();
    for (axis, (min, max)) in position.iter_mut().zip(axes) {
        *axis = axis.clamp(*min as f32, *max as f32);
    }
    Vec3::from_array(position)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use tickwire_protocol::schema::{KindId, Schema, Sight};
    use tickwire_protocol::snapshot::DecodedRow;
    use tickwire_protocol::{EntityId, Tick};

    const POSITION: FieldId = FieldId(0);
    const VELOCITY: FieldId = FieldId(1);
    const K: KindId = KindId(0);
    const ID: EntityId = EntityId { slot: 1, generation: 1 };
    /// 50 ticks a second, a state every 5.
    const DT: f32 = 0.02;
    const INTERVAL: u32 = 5;

    fn schema() -> Arc<Schema> {
        let position = FieldType::position([0.0..=100.0], 0.01);
        let fields = [
            Field::new(POSITION, "position", position),
            Field::new(VELOCITY, "velocity", FieldType::velocity(POSITION, 10.0, 0.01)),
        ];
        Schema::builder("s").kind(Kind::new(K, "k", fields)).build().unwrap()
    }

    fn row(teleported: Option<Tick>) -> DecodedRow {
        DecodedRow {
            id: ID,
            kind: K,
            sight: Sight::Public,
            is_whole: false,
            is_at_rest: false,
            held_until: None,
            teleported,
            payload: None,
            values: 0..2,
        }
    }

    /// A state at a tick, metres and m/s.
    fn insert(timeline: &mut Timeline, tick: u32, position: f32, velocity: f32) {
        let values = [(position * 100.0) as i32, (velocity * 100.0) as i32];
        timeline.insert_state(Tick(tick), &row(None), &values, Tick(0));
    }

    fn pose<'a>(kind: &'a Kind, timeline: &'a Timeline, ticks: f32) -> Pose<'a> {
        let time = TickTime { tick: Tick(ticks as u32), fraction: ticks.fract() };
        Pose { kind, timeline, blend: timeline.blend(time, INTERVAL).unwrap(), time, dt: DT }
    }

    fn shown(schema: &Schema, timeline: &Timeline, ticks: f32) -> f32 {
        let kind = schema.kind(K);
        pose(kind, timeline, ticks).vector(kind.field(POSITION)).x
    }

    #[test]
    fn between_states_the_way_has_their_velocities() {
        let schema = schema();
        let mut timeline = Timeline::new(ID, 2);
        insert(&mut timeline, 100, 10.0, 0.0);
        insert(&mut timeline, 105, 10.2, 4.0);
        // An even acceleration of 40 m/s2 from rest.
        for (ticks, x) in [(100.0, 10.0), (102.5, 10.05), (104.0, 10.128), (105.0, 10.2)] {
            assert!((shown(&schema, &timeline, ticks) - x).abs() < 1e-3, "at {ticks}");
        }
        insert(&mut timeline, 130, 13.0, 0.0);
        let straight = shown(&schema, &timeline, 117.5);
        assert!((straight - 11.6).abs() < 1e-3, "{straight}: half a second is joined by a line");
    }

    #[test]
    fn beyond_the_newest_it_goes_on_and_stops_within_its_bounds() {
        let schema = schema();
        let mut timeline = Timeline::new(ID, 2);
        insert(&mut timeline, 100, 10.0, 8.0);
        let at = |ticks| shown(&schema, &timeline, ticks);
        assert!((at(101.0) - 10.16).abs() < 0.01);
        assert!(at(110.0) > 11.0 && (at(200.0) - at(150.0)).abs() < 1e-3);
        assert!(pose(schema.kind(K), &timeline, 101.0).is_guessed());
        let mut timeline = Timeline::new(ID, 2);
        insert(&mut timeline, 100, 0.1, -8.0);
        assert!(shown(&schema, &timeline, 110.0).abs() < 1e-6, "not below where the field ends");
    }

    #[test]
    fn a_wrong_guess_fades_no_faster_than_things_move() {
        let schema = schema();
        let kind = schema.kind(K);
        let mut timeline = Timeline::new(ID, 2);
        insert(&mut timeline, 100, 10.0, 5.0);
        // At 108 it turns out that it stood at 10 since.
        let before = pose(kind, &timeline, 108.0);
        let (guessed, places) = (before.vector(kind.field(POSITION)).x, places(&before));
        assert!(guessed > 10.5 && timeline.is_seen(Tick(105), before.time));
        insert(&mut timeline, 105, 10.0, 0.0);
        timeline.fading = differences(&places, &pose(kind, &timeline, 108.0));
        assert!((shown(&schema, &timeline, 108.0) - guessed).abs() < 1e-4, "no jump");
        let ways: Vec<_> = (0..60).map(|step| shown(&schema, &timeline, 108.0 + step as f32 * 0.2)).collect();
        for pair in ways.windows(2) {
            let speed = (pair[1] - pair[0]).abs() / (0.2 * DT);
            assert!(speed <= 10.0 * SHOWN_SPEED + 0.1, "{speed} m/s");
        }
        assert!((ways[59] - 10.0).abs() < 1e-3);
    }

    #[test]
    fn what_is_too_far_off_is_set_right_at_once() {
        let schema = schema();
        let kind = schema.kind(K);
        let mut timeline = Timeline::new(ID, 2);
        insert(&mut timeline, 100, 10.0, 0.0);
        let places = places(&pose(kind, &timeline, 108.0));
        insert(&mut timeline, 105, 60.0, 0.0);
        assert!(differences(&places, &pose(kind, &timeline, 108.0)).is_none());
    }
}
