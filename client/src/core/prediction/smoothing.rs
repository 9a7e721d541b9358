//! What is shown of a correction: the state is right at once, the picture within a tenth of a second or so.
//!
//! A correction moves what the player sees of itself. The difference is kept for the eyes alone and fades evenly, so that nothing
//! jumps; the predicted state knows nothing of it. Modelled on the `cl_smooth` of Valve's Source engine, whose `cl_smoothtime` is
//! a tenth of a second as well.

use glam::{Quat, Vec3};
use tickwire_protocol::Micros;
use tickwire_protocol::schema::{Field, FieldId, FieldType, Interpolation, Kind};

use crate::core::view::EntityView;
use tickwire_sim::blend as interpolation;

/// A difference fades in this time at least, seconds.
const FADE_SECONDS_MIN: f32 = 0.1;
/// And so slowly that it adds no more than this share of a field's greatest speed to what is seen.
const FADE_SPEED: f32 = 0.5;
/// Who is further off than the way of so long a time at the greatest speed is shown in the right place at once, seconds.
const SNAP_SECONDS: f32 = 0.5;
/// The same of angles and rotations, radians.
const SNAP_ANGLE: f32 = core::f32::consts::FRAC_PI_2;

/// What is shown of a field, or a difference of it.
#[derive(Clone, Copy, Debug)]
enum Value {
    Vector(Vec3),
    Angle(f32),
    Rotation(Quat),
}

/// What was shown of the fields of an entity before a correction.
#[derive(Clone, Debug, Default)]
pub(super) struct Picture(Vec<(FieldId, Value)>);

/// A difference that fades.
#[derive(Clone, Copy, Debug)]
struct Offset {
    field: FieldId,
    value: Value,
    seconds: f32,
}

/// The differences of one entity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offsets {
    /// When they were made, on the client's clock.
    since: Micros,
    fading: Vec<Offset>,
}

impl Picture {
    /// Takes down what is shown.
    pub(super) fn take(&mut self, kind: &Kind, view: &EntityView<'_>) {
        let moving = kind.fields().iter().filter(|field| field.interpolation != Interpolation::Hold);
        self.0.clear();
        self.0.extend(moving.filter_map(|field| Some((field.id, Value::of(field, view)?))));
    }

    /// What was shown does not matter: whatever comes next is another place.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Value {
    fn of(field: &Field, view: &EntityView<'_>) -> Option<Self> {
        match field.ty {
            FieldType::Position { .. } => Some(Self::Vector(view.vec3(field.id))),
            FieldType::Angle { .. } => Some(Self::Angle(view.angle(field.id))),
            FieldType::Rotation { .. } => Some(Self::Rotation(view.rotation(field.id))),
            _ => None,
        }
    }

    /// What leads from `other` to this, and for how long it is to be seen; nothing if that is nothing, or too much.
    fn beyond(self, other: Self, greatest_speed: Option<f32>) -> Option<(Self, f32)> {
        match (self, other) {
            (Self::Vector(shown), Self::Vector(known)) => {
                let (difference, length) = (shown - known, shown.distance(known));
                let is_far = greatest_speed.is_some_and(|speed| length > speed * SNAP_SECONDS);
                let seconds = greatest_speed.map_or(0.0, |speed| length / (FADE_SPEED * speed));
                let is_seen = length > 0.0 && !is_far && length.is_finite();
                is_seen.then(|| (Self::Vector(difference), seconds.max(FADE_SECONDS_MIN)))
            }
            (Self::Angle(shown), Self::Angle(known)) => {
                let difference = interpolation::wrap(shown - known);
                let is_seen = difference != 0.0 && difference.abs() <= SNAP_ANGLE;
                is_seen.then_some((Self::Angle(difference), FADE_SECONDS_MIN))
            }
            (Self::Rotation(shown), Self::Rotation(known)) => {
                let is_seen = shown != known && shown.angle_between(known) <= SNAP_ANGLE;
                is_seen.then(|| (Self::Rotation((shown * known.inverse()).normalize()), FADE_SECONDS_MIN))
            }
            _ => None,
        }
    }
}

impl Offsets {
    /// No differences.
    pub(super) fn clear(&mut self) {
        self.fading.clear();
    }

    /// From `picture`, which was shown, to the state that `view` shows now: what is between them fades from `now` on. The
    /// view must be one without differences.
    pub(super) fn begin(&mut self, now: Micros, kind: &Kind, picture: &Picture, view: &EntityView<'_>) {
        self.since = now;
        self.fading.clear();
        self.fading.extend(picture.0.iter().filter_map(|&(field, shown)| {
            let known = Value::of(kind.field(field), view)?;
            let velocity = kind.velocity_of(field).map(|velocity| &velocity.ty);
            let greatest = match velocity {
                Some(FieldType::Velocity { max, .. }) => Some(*max as f32),
                _ => None,
            };
            let (value, seconds) = shown.beyond(known, greatest)?;
            Some(Offset { field, value, seconds })
        }));
    }

    fn find(&self, field: FieldId, now: Micros) -> Option<(Value, f32)> {
        let offset = self.fading.iter().find(|offset| offset.field == field)?;
        let passed = now.saturating_since(self.since).0 as f32 / 1e6;
        Some((offset.value, interpolation::faded(passed / offset.seconds)))
    }

    /// What is added to a vector.
    pub(crate) fn vector(&self, field: FieldId, now: Micros) -> Vec3 {
        match self.find(field, now) {
            Some((Value::Vector(difference), left)) => difference * left,
            _ => Vec3::ZERO,
        }
    }

    /// The angle that is shown for one that is known.
    pub(crate) fn angle(&self, field: FieldId, now: Micros, known: f32) -> f32 {
        match self.find(field, now) {
            Some((Value::Angle(difference), left)) => interpolation::wrap(known + difference * left),
            _ => known,
        }
    }

    /// The rotation that is shown for one that is known.
    pub(crate) fn rotation(&self, field: FieldId, now: Micros, known: Quat) -> Quat {
        match self.find(field, now) {
            Some((Value::Rotation(difference), left)) => {
                (interpolation::rotation(Quat::IDENTITY, difference, left) * known).normalize()
            }
            _ => known,
        }
    }
}
