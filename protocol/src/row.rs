//! Typed access to one row of quantized columns.

use glam::{Quat, Vec2, Vec3};

use crate::ids::EntityId;
use crate::quantize;
use crate::schema::{Field, FieldId, FieldType, Kind};

/// Reads a row in the game's own terms.
///
/// Each getter panics if the field does not exist or is of another type: that is a mistake of the code that holds
/// the schema, never a consequence of a peer's bytes.
#[derive(Clone, Copy, Debug)]
pub struct RowRef<'a> {
    kind: &'a Kind,
    values: &'a [i32],
}

/// Writes a row in the game's own terms; values are quantized and clamped to the schema's bounds.
///
/// Panics as [`RowRef`] does.
#[derive(Debug)]
pub struct RowMut<'a> {
    kind: &'a Kind,
    values: &'a mut [i32],
}

impl<'a> RowRef<'a> {
    /// A row whose columns lie side by side.
    pub fn new(kind: &'a Kind, values: &'a [i32]) -> Self {
        Self { kind, values }
    }

    /// What the row is made of.
    pub fn kind(&self) -> &'a Kind {
        self.kind
    }

    /// The quantized value of a column.
    pub fn column(&self, column: usize) -> i32 {
        self.values[column]
    }

    /// All columns, side by side, into `out`.
    pub fn copy_to(&self, out: &mut [i32]) {
        let columns = self.kind.column_count();
        out[..columns].copy_from_slice(&self.values[..columns]);
    }

    /// A vector of 1 to 3 axes; axes that the field does not have are 0.
    #[inline]
    pub fn vec3(&self, id: FieldId) -> Vec3 {
        self.vec3_of(self.kind.field(id))
    }

    /// The same, of a field of the row's kind that is at hand.
    #[inline]
    pub fn vec3_of(&self, field: &Field) -> Vec3 {
        let step = vector_step(self.kind, field);
        match &self.values[field.columns()] {
            &[x, y, z] => Vec3::from_array([x, y, z].map(|point| quantize::lattice_value(point, step))),
            points => vector_of_fewer(points, step),
        }
    }

    /// The first two axes of a vector.
    pub fn vec2(&self, id: FieldId) -> Vec2 {
        self.vec3(id).truncate()
    }

    /// A scalar, or a vector of one axis.
    #[inline]
    pub fn scalar(&self, id: FieldId) -> f32 {
        let field = self.kind.field(id);
        match field.ty {
            FieldType::Scalar { step, .. } => quantize::lattice_value(self.column(field.columns.start), step),
            _ => self.vec3(id).x,
        }
    }

    /// An angle in radians, from -π to π.
    #[inline]
    pub fn angle(&self, id: FieldId) -> f32 {
        let field = self.kind.field(id);
        match field.ty {
            FieldType::Angle { bits } => quantize::angle_value(self.column(field.columns.start), bits),
            _ => mistyped(self.kind, field, "angle"),
        }
    }

    /// A rotation of unit length.
    #[inline]
    pub fn rotation(&self, id: FieldId) -> Quat {
        self.rotation_of(self.kind.field(id))
    }

    /// The same, of a field of the row's kind that is at hand.
    #[inline]
    pub fn rotation_of(&self, field: &Field) -> Quat {
        match (&field.ty, &self.values[field.columns()]) {
            (&FieldType::Rotation { bits, lattice }, &[largest, a, b, c]) => {
                quantize::rotation_value([largest, a, b, c], bits, lattice)
            }
            _ => mistyped(self.kind, field, "rotation"),
        }
    }

    /// An integer.
    #[inline]
    pub fn integer(&self, id: FieldId) -> i32 {
        let field = self.kind.field(id);
        match field.ty {
            FieldType::Integer { .. } => self.column(field.columns.start),
            _ => mistyped(self.kind, field, "integer"),
        }
    }

    /// An integer that is not zero.
    pub fn boolean(&self, id: FieldId) -> bool {
        self.integer(id) != 0
    }

    /// The entity referred to, if any. It may be one that this client does not see.
    pub fn entity(&self, id: FieldId) -> Option<EntityId> {
        let field = self.kind.field(id);
        match field.ty {
            FieldType::Entity => EntityId::unpack(self.column(field.columns.start) as u32),
            _ => mistyped(self.kind, field, "entity"),
        }
    }
}

impl<'a> RowMut<'a> {
    /// A row whose columns lie side by side.
    pub fn new(kind: &'a Kind, values: &'a mut [i32]) -> Self {
        Self { kind, values }
    }

    /// What has been written so far.
    pub fn as_ref(&self) -> RowRef<'_> {
        RowRef { kind: self.kind, values: self.values }
    }

    /// Every column to zero, or to the bound nearest to zero.
    pub fn reset(&mut self) -> &mut Self {
        self.values[..self.kind.column_count()].copy_from_slice(self.kind.blank());
        self
    }

    /// The quantized value of a column, clamped to its bounds.
    pub fn set_column(&mut self, column: usize, value: i32) -> &mut Self {
        let bounds = self.kind.columns()[column];
        self.values[column] = value.clamp(bounds.min, bounds.max);
        self
    }

    /// Every column from values that lie side by side, clamped to their bounds.
    pub fn copy_from(&mut self, values: &[i32]) -> &mut Self {
        for ((to, column), value) in self.values.iter_mut().zip(self.kind.columns()).zip(values) {
            *to = (*value).clamp(column.min, column.max);
        }
        self
    }

    /// A vector: as many axes as the field has.
    pub fn set_vec3(&mut self, id: FieldId, value: Vec3) -> &mut Self {
        let field = self.kind.field(id);
        let step = vector_step(self.kind, field);
        let range = field.columns();
        let (values, columns) = (&mut self.values[range.clone()], &self.kind.columns()[range]);
        for ((to, column), axis) in values.iter_mut().zip(columns).zip(value.to_array()) {
            *to = quantize::lattice(axis, step, column);
        }
        self
    }

    /// A vector in the plane.
    pub fn set_vec2(&mut self, id: FieldId, value: Vec2) -> &mut Self {
        self.set_vec3(id, value.extend(0.0))
    }

    /// A scalar, or a vector of one axis.
    pub fn set_scalar(&mut self, id: FieldId, value: f32) -> &mut Self {
        let field = self.kind.field(id);
        match field.ty {
            FieldType::Scalar { step, .. } => {
                let column = field.columns.start;
                self.values[column] = quantize::lattice(value, step, &self.kind.columns()[column]);
                self
            }
            _ => self.set_vec3(id, Vec3::new(value, 0.0, 0.0)),
        }
    }

    /// An angle in radians; any number of turns.
    pub fn set_angle(&mut self, id: FieldId, radians: f32) -> &mut Self {
        let field = self.kind.field(id);
        match field.ty {
            FieldType::Angle { bits } => {
                self.values[field.columns.start] = quantize::angle(radians, bits);
                self
            }
            _ => mistyped(self.kind, field, "angle"),
        }
    }

    /// A rotation; need not be of unit length.
    pub fn set_rotation(&mut self, id: FieldId, rotation: Quat) -> &mut Self {
        let field = self.kind.field(id);
        match field.ty {
            FieldType::Rotation { bits, lattice } => {
                for (column, value) in field.columns().zip(quantize::rotation(rotation, bits, lattice)) {
                    self.values[column] = value;
                }
                self
            }
            _ => mistyped(self.kind, field, "rotation"),
        }
    }

    /// An integer.
    #[inline]
    pub fn set_integer(&mut self, id: FieldId, value: i32) -> &mut Self {
        let field = self.kind.field(id);
        match field.ty {
            FieldType::Integer { min, max } => {
                self.values[field.columns.start] = value.clamp(min, max);
                self
            }
            _ => mistyped(self.kind, field, "integer"),
        }
    }

    /// Yes or no, in an integer field.
    pub fn set_boolean(&mut self, id: FieldId, value: bool) -> &mut Self {
        self.set_integer(id, i32::from(value))
    }

    /// A reference to an entity, or to none.
    pub fn set_entity(&mut self, id: FieldId, entity: Option<EntityId>) -> &mut Self {
        let field = self.kind.field(id);
        match field.ty {
            FieldType::Entity => {
                self.values[field.columns.start] = entity.map_or(0, EntityId::pack) as i32;
                self
            }
            _ => mistyped(self.kind, field, "entity"),
        }
    }
}

/// Apart, so that vectors of three axes, which most are, take no more than they need.
#[inline(never)]
fn vector_of_fewer(points: &[i32], step: f64) -> Vec3 {
    let mut axes = [0.0; 3];
    for (axis, point) in axes.iter_mut().zip(points) {
        *axis = quantize::lattice_value(*point, step);
    }
    Vec3::from_array(axes)
}

#[inline]
fn vector_step(kind: &Kind, field: &Field) -> f64 {
    match field.ty {
        FieldType::Position { step, .. } | FieldType::Velocity { step, .. } => step,
        _ => mistyped(kind, field, "vector"),
    }
}

#[cold]
fn mistyped(kind: &Kind, field: &Field, wanted: &str) -> ! {
    panic!("field `{}` of `{}` is no {wanted}: it is {:?}", field.name, kind.name(), field.ty)
}
