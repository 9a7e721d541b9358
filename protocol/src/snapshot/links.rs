//! How the fields of a kind belong together: what the coders make of a schema.
//!
//! A schema links fields to **bodies**: a position, its velocity, a rotation and its angular velocity. Other columns move by
//! themselves, or stay or change.

use core::ops::Range;

use super::lanes::{FEATURES, Features, Ints, Lanes};
use crate::schema::{Column, ColumnMask, Field, FieldType, Kind};

/// One published state that a row names.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'a> {
    /// Ticks from the state to the row, 1 to 127.
    pub(super) distance: u32,
    /// Its columns, side by side.
    pub(super) values: &'a [i32],
}

/// Up to three columns side by side, none of them around a circle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Columns {
    pub(super) first: usize,
    pub(super) axes: usize,
    /// All ones on each axis that there is; 0 on others.
    pub(super) there: Ints,
    /// Bounds; of axes that there are not, those of all numbers.
    pub(super) least: Ints,
    pub(super) most: Ints,
    /// Bits of their values above the least.
    bits: [u32; 4],
}

impl Columns {
    fn new(first: usize, shapes: &[Column]) -> Self {
        let lanes = |of: fn(&Column) -> i32, other: i32| {
            Ints::new(core::array::from_fn(|axis| shapes.get(axis).map_or(other, of)))
        };
        Self {
            first,
            axes: shapes.len(),
            there: lanes(|_| -1, 0),
            least: lanes(|shape| shape.min, i32::MIN),
            most: lanes(|shape| shape.max, i32::MAX),
            bits: core::array::from_fn(|axis| shapes.get(axis).map_or(0, |shape| shape.bits)),
        }
    }

    /// The least value of an axis, and how many bits values above it have.
    pub(super) fn whole(&self, axis: usize) -> (i32, u32) {
        (self.least.values()[axis], self.bits[axis])
    }

    /// Puts values into these columns of a row.
    #[inline]
    pub(super) fn put(&self, values: Ints, row: &mut [i32]) {
        let values = values.values();
        let row = row.get_mut(self.first..).unwrap_or_default();
        // A length that is known is copied without a call.
        if let Some(three) = row.first_chunk_mut::<3>().filter(|_| self.axes == 3) {
            three.copy_from_slice(&values[..3]);
        } else {
            row.iter_mut().zip(values).take(self.axes).for_each(|(column, value)| *column = value);
        }
    }
}

/// Columns that are multiples of a step: a position, a velocity, an angle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) first: usize,
    pub(super) axes: usize,
    pub(super) columns: Columns,
    /// 1 on each axis that there is; 0 on others.
    pub(super) there: Lanes,
    /// The step likewise.
    pub(super) step: Lanes,
    /// Steps a unit.
    pub(super) per_unit: f32,
}

/// The four columns of a rotation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Turn {
    pub(super) first: usize,
    /// Those of the three smaller components.
    pub(super) columns: Columns,
    pub(super) zero: f32,
    pub(super) step: f32,
    pub(super) per_unit: f32,
}

/// Fields that move together; those that a receiver does not see are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Body {
    pub(super) position: Option<Line>,
    pub(super) velocity: Option<Line>,
    pub(super) rotation: Option<Turn>,
    pub(super) spin: Option<Line>,
}

/// A column that moves by itself: an angle or a scalar, perhaps with its velocity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lone {
    pub(super) column: usize,
    /// Half of the steps of the circle, if it is one.
    pub(super) half_circle: Option<i32>,
    pub(super) velocity: Option<usize>,
    /// Steps of this column per step of the velocity and second.
    pub(super) steps_per_velocity: f32,
}

/// How the fields of a kind, as far as a receiver sees them, are coded.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    pub(super) bodies: Vec<Body>,
    pub(super) lone: Vec<Lone>,
    /// Columns that stay or change: integers and references to entities.
    pub(super) states: Vec<usize>,
}

impl Links {
    /// Links what is visible of a kind.
    pub(super) fn of(kind: &Kind, visible: ColumnMask) -> Self {
        let mut links = Self::default();
        let mut turns = Vec::new();
        let shown = |field: &&Field| visible.contains(field.columns().start);
        for field in kind.fields().iter().filter(shown) {
            let velocity = kind.velocity_of(field.id).filter(shown);
            match field.ty {
                FieldType::Position { step, .. } => links.bodies.push(Body {
                    position: Some(line(kind, &field.columns(), step)),
                    velocity: velocity.map(|field| velocity_line(kind, field)),
                    ..Body::default()
                }),
                FieldType::Rotation { .. } => {
                    turns.push((turn_columns(kind, field), velocity.map(|field| velocity_line(kind, field))));
                }
                FieldType::Angle { .. } | FieldType::Scalar { .. } => {
                    // Its velocity comes first, as a column that moves by itself.
                    links.lone.extend(velocity.into_iter().flat_map(Field::columns).map(Lone::alone));
                    links.lone.push(lone(kind, field, velocity));
                }
                FieldType::Integer { .. } | FieldType::Entity => links.states.extend(field.columns()),
                // Coded with what they drive; alone if that is hidden, or driven by another one.
                FieldType::Velocity { of, .. } => {
                    let drives = kind.velocity_of(of).is_some_and(|driver| driver.id == field.id);
                    if !drives || !shown(&kind.field(of)) {
                        links.lone.extend(field.columns().map(Lone::alone));
                    }
                }
            }
        }
        // A rotation belongs to the first position that has none.
        for (rotation, spin) in turns {
            let turning = Body { rotation: Some(rotation), spin, ..Body::default() };
            match links.bodies.iter_mut().find(|body| body.rotation.is_none()) {
                Some(body) => (body.rotation, body.spin) = (turning.rotation, turning.spin),
                None => links.bodies.push(turning),
            }
        }
        links
    }
}

fn line(kind: &Kind, columns: &Range<usize>, step: f64) -> Line {
    let axes = columns.len();
    let there = Lanes::new(core::array::from_fn(|axis| f32::from(u8::from(axis < axes))));
    Line {
        first: columns.start,
        axes,
        columns: Columns::new(columns.start, &kind.columns()[columns.clone()]),
        there,
        step: there * step as f32,
        per_unit: (1.0 / step) as f32,
    }
}

fn velocity_line(kind: &Kind, field: &Field) -> Line {
    match field.ty {
        FieldType::Velocity { step, .. } => line(kind, &field.columns(), step),
        _ => unreachable!("`velocity_of` gives velocities"),
    }
}

fn turn_columns(kind: &Kind, field: &Field) -> Turn {
    let FieldType::Rotation { bits, lattice } = field.ty else { unreachable!("called for rotations") };
    let step = lattice.step(bits);
    let Range { start: first, end } = field.columns();
    Turn {
        first,
        columns: Columns::new(first + 1, &kind.columns()[first + 1..end]),
        zero: lattice.zero(bits) as f32,
        step: step as f32,
        per_unit: (1.0 / step) as f32,
    }
}

fn lone(kind: &Kind, field: &Field, velocity: Option<&Field>) -> Lone {
    let (step, half_circle) = match field.ty {
        FieldType::Angle { bits } => {
            (core::f64::consts::TAU / f64::from(1_u32 << bits), Some(1 << (bits - 1)))
        }
        FieldType::Scalar { step, .. } => (step, None),
        _ => unreachable!("called for angles and scalars"),
    };
    let velocity = velocity.map(|field| velocity_line(kind, field));
    Lone {
        column: field.columns().start,
        half_circle,
        velocity: velocity.map(|line| line.first),
        steps_per_velocity: velocity.map_or(0.0, |line| (1.0 / (f64::from(line.per_unit) * step)) as f32),
    }
}

/// The guessed change of a column that moves by itself.
pub(super) struct LoneMotion {
    pub(super) motion: f32,
    pub(super) before: f32,
    pub(super) velocity: f32,
    pub(super) push: f32,
}

impl Lone {
    fn alone(column: usize) -> Self {
        Self { column, half_circle: None, velocity: None, steps_per_velocity: 0.0 }
    }

    /// The way between two values; the shorter one around a circle.
    pub(super) fn way(&self, newer: i32, older: i32) -> i32 {
        let way = newer.wrapping_sub(older);
        match self.half_circle {
            Some(half) => (way.wrapping_add(half) & (2 * half - 1)) - half,
            None => way,
        }
    }

    /// How it moved through the states; `coded` holds its velocity already.
    pub(super) fn motion(&self, states: &[State<'_>], dt: f32, coded: &[i32]) -> LoneMotion {
        let newest = &states[0];
        let t = newest.distance as f32;
        let between = |newer: &State<'_>, older: &State<'_>| {
            let way = self.way(newer.values[self.column], older.values[self.column]) as f32;
            way * t / older.distance.saturating_sub(newer.distance).max(1) as f32
        };
        let motion = states.get(1).map_or(0.0, |before| between(newest, before));
        let before = states.get(2).map_or(motion, |last| between(&states[1], last));
        let per_step = self.steps_per_velocity * t * dt;
        let old = self.velocity.map_or(0, |column| newest.values[column]);
        let new = self.velocity.map_or(0, |column| coded[column]);
        LoneMotion {
            motion,
            before,
            velocity: old as f32 * per_step,
            push: new.wrapping_sub(old) as f32 * per_step,
        }
    }
}

impl LoneMotion {
    pub(super) fn features(&self) -> Features {
        let mut features = [0.0; FEATURES];
        features[..4].copy_from_slice(&[self.motion, self.motion - self.before, self.velocity, self.push]);
        features
    }
}
