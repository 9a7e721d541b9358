//! Where an entity is shown: vectors between two states, beyond the newest, and while an error fades.

use glam::Vec3;
use tickwire_protocol::TickTime;
use tickwire_protocol::schema::{Field, FieldId, FieldType, Interpolation, Kind};

use super::interpolation::{self, CUBIC_SECONDS_MAX, GUESS_SECONDS, Moving};
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
