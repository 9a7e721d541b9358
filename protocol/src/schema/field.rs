//! One field of a kind: its type, who sees it, how often it is sent, how it is shown.

use core::ops::{Range, RangeInclusive};

use serde::{Deserialize, Serialize};

use crate::cold;

/// Which field of its kind: its place in the declaration.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct FieldId(pub u8);

/// What a field holds, and the lattice that its values lie on.
///
/// Every field becomes one or more columns of `i32`. Values outside of the bounds are clamped when they are
/// written, NaN becomes the value nearest to zero, and a column from the wire that leaves its bounds is a fault.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub enum FieldType {
    /// A point in 1, 2 or 3 dimensions, a column an axis. Metres, or whatever the game measures in.
    Position {
        /// Least and greatest value per axis.
        #[serde(deserialize_with = "cold::list")]
        axes: Vec<(f64, f64)>,
        /// Distance of two neighbouring values; the error is at most half of it.
        step: f64,
    },
    /// The change per second of a [`FieldType::Position`] (same dimensions), of a [`FieldType::Rotation`]
    /// (3 axes, radians) or of a [`FieldType::Angle`] (1 axis, radians). Coded first; it predicts the other.
    Velocity {
        /// The field that this one is the change of.
        of: FieldId,
        /// Greatest magnitude per axis, units a second.
        max: f64,
        /// Distance of two neighbouring values, units a second.
        step: f64,
    },
    /// A unit quaternion as the index of its largest component and the three others: four columns.
    Rotation {
        /// Bits per component, 9 to 18. The error is at most `7 / 2^bits` radians, usually a third of it.
        bits: u8,
        /// Where the values of a component lie.
        lattice: RotationLattice,
    },
    /// A direction in the plane, in radians; wraps around.
    Angle {
        /// Bits for the full circle, 1 to 20.
        bits: u8,
    },
    /// A bounded real number.
    Scalar {
        /// Least value.
        min: f64,
        /// Greatest value.
        max: f64,
        /// Distance of two neighbouring values.
        step: f64,
    },
    /// A bounded integer, also for booleans and enums.
    Integer {
        /// Least value.
        min: i32,
        /// Greatest value.
        max: i32,
    },
    /// A reference to an entity, or to none. The entity need not be in the receiver's view.
    Entity,
}

impl FieldType {
    /// A point with these bounds per axis (1 to 3 axes).
    pub fn position<const AXES: usize>(axes: [RangeInclusive<f64>; AXES], step: f64) -> Self {
        Self::Position { axes: axes.map(RangeInclusive::into_inner).to_vec(), step }
    }

    /// The velocity of the position, rotation or angle field `of`, at most `max` per axis.
    pub fn velocity(of: FieldId, max: f64, step: f64) -> Self {
        Self::Velocity { of, max, step }
    }

    /// A unit quaternion with 9 to 18 bits a component.
    pub fn rotation(bits: u8) -> Self {
        Self::Rotation { bits, lattice: RotationLattice::WithZero }
    }

    /// A direction in the plane with 1 to 20 bits for the circle.
    pub fn angle(bits: u8) -> Self {
        Self::Angle { bits }
    }

    /// A real number within bounds.
    pub fn scalar(bounds: RangeInclusive<f64>, step: f64) -> Self {
        Self::Scalar { min: *bounds.start(), max: *bounds.end(), step }
    }

    /// An integer within bounds.
    pub fn integer(bounds: RangeInclusive<i32>) -> Self {
        Self::Integer { min: *bounds.start(), max: *bounds.end() }
    }

    /// Yes or no.
    pub fn boolean() -> Self {
        Self::integer(0..=1)
    }

    /// A reference to an entity.
    pub fn entity() -> Self {
        Self::Entity
    }
}

/// Where the values of a rotation's component lie between the bounds of ±1/√2.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum RotationLattice {
    /// `2^bits - 1` values, columns from `-(2^(bits-1) - 1)`: zero is one of them, so that the identity and the quarter
    /// turns are exact.
    #[default]
    WithZero,
    /// `2^bits` values, columns from 0: zero lies between two of them. Many games pack rotations so; theirs can be
    /// taken over without loss.
    Full,
}

impl RotationLattice {
    /// The least and the greatest column of a component.
    pub fn bounds(self, bits: u8) -> (i32, i32) {
        match self {
            Self::WithZero => (1 - (1 << (bits - 1)), (1 << (bits - 1)) - 1),
            Self::Full => (0, (1 << bits) - 1),
        }
    }

    /// The column, perhaps between two, where a component is zero.
    pub fn zero(self, bits: u8) -> f64 {
        match self {
            Self::WithZero => 0.0,
            Self::Full => f64::from((1 << bits) - 1) / 2.0,
        }
    }

    /// The distance of two neighbouring values of a component.
    pub fn step(self, bits: u8) -> f64 {
        let (min, max) = self.bounds(bits);
        core::f64::consts::SQRT_2 / f64::from(max - min)
    }
}

/// Who is told a field's value.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Audience {
    /// Everyone who sees the entity.
    #[default]
    All,
    /// Those who share a team with the entity (team masks have a bit in common), and its owner.
    Team,
    /// The owner alone.
    Owner,
}

/// How a client shows a field between two samples.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Interpolation {
    /// The older sample until the newer one's time has come.
    Hold,
    /// Evenly from one to the other: along the line, the shortest arc (angles) or the great circle (rotations).
    Linear,
}

/// One field: a name, a type, and how it travels.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Field {
    /// Its place in the kind.
    pub id: FieldId,
    /// For tools and messages; 1 to 64 bytes.
    #[serde(deserialize_with = "cold::text")]
    pub name: String,
    /// What it holds.
    pub ty: FieldType,
    /// Who is told.
    pub audience: Audience,
    /// New values are published at most this often, in hertz; every tick if absent.
    pub rate_hz: Option<u16>,
    /// A new value is published only once it has moved by this much (in the field's unit) from the **published**
    /// one, so slow drift is never lost. 0: any change.
    pub threshold: f64,
    /// How it is shown between samples.
    pub interpolation: Interpolation,
    /// Of an input: it is pressed for a tick, not held down. See
    /// [`MissingInput::Hold`](crate::input::MissingInput::Hold).
    pub is_momentary: bool,
    /// Its columns in the kind's; set when the schema is built.
    #[serde(skip)]
    pub(crate) columns: Range<usize>,
    /// The velocity that drives it, if one does; set when the schema is built.
    #[serde(skip)]
    pub(crate) driver: Option<FieldId>,
}

impl Field {
    /// A field that everyone sees, published every tick, interpolated if it is a quantity.
    pub fn new(id: FieldId, name: &str, ty: FieldType) -> Self {
        let interpolation = match ty {
            FieldType::Integer { .. } | FieldType::Entity => Interpolation::Hold,
            _ => Interpolation::Linear,
        };
        Self {
            id,
            name: name.to_owned(),
            ty,
            audience: Audience::All,
            rate_hz: None,
            threshold: 0.0,
            interpolation,
            is_momentary: false,
            columns: 0..0,
            driver: None,
        }
    }

    /// Told to the entity's owner alone.
    pub fn owner_only(mut self) -> Self {
        self.audience = Audience::Owner;
        self
    }

    /// Told to the entity's team (and owner) alone.
    pub fn team_only(mut self) -> Self {
        self.audience = Audience::Team;
        self
    }

    /// Published at most `hz` times a second.
    pub fn rate_hz(mut self, hz: u16) -> Self {
        self.rate_hz = Some(hz);
        self
    }

    /// Published only when moved by `threshold` (in the field's unit) from the published value, or at rest.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Shown unchanged until the next sample.
    pub fn hold(mut self) -> Self {
        self.interpolation = Interpolation::Hold;
        self
    }

    /// Of an input: pressed for a tick (a jump, a shot, a choice), not held down. Where the input of a tick is missing
    /// and the last one is held, this field is as if nothing was pressed.
    pub fn momentary(mut self) -> Self {
        self.is_momentary = true;
        self
    }

    /// The columns of this field in its kind.
    #[inline]
    pub fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Whether values may stay back behind the simulation's.
    pub(crate) fn is_lazy(&self) -> bool {
        self.rate_hz.is_some() || self.threshold > 0.0
    }
}
