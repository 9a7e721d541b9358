//! From a recording's floats to the columns of a schema: which fields are kept, and on which lattice.
//!
//! A source says of each of its fields on which lattice its values lie (`own`) and what the engine would take for it
//! (`game`). A [`Lattice`] chooses; the chosen fields become a schema. On its own lattice a value must be a point up to
//! the rounding of an `f32`; on any other it is rounded, and how far off the client is then is noted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use glam::Quat;
use tickwire_protocol::quantize;
use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, RotationLattice, Schema};

use super::lattice_file::LatticeFile;

/// The field that `game-noang` leaves out.
const ANGULAR_VELOCITY: &str = "angular_velocity";

/// What an `f32` that was made from a lattice point may be off, as a share of its size: two roundings.
const FLOAT_SLACK: f64 = 2.0 * f32::EPSILON as f64;

/// What the largest component of a recorded rotation, which follows from the others, may be off.
const LARGEST_SLACK: f64 = 1e-6;

/// Which lattice the values are put on.
#[derive(Clone, Debug)]
pub(crate) enum Lattice {
    /// The recording's own: nothing is lost.
    Exact,
    /// What the engine would take.
    Game {
        /// Whether angular velocities travel.
        angular_velocity: bool,
    },
    /// What a file says.
    File(LatticeFile),
}

/// A kind of object in a recording.
#[derive(Clone, Debug)]
pub(crate) struct SourceKind {
    pub(crate) name: &'static str,
    pub(crate) fields: Vec<SourceField>,
}

/// A field of a recorded object.
#[derive(Clone, Debug)]
pub(crate) struct SourceField {
    pub(crate) name: &'static str,
    /// The lattice of the recording. A velocity names its field by its place in [`SourceKind::fields`].
    pub(crate) own: FieldType,
    /// What the engine would take for it.
    pub(crate) game: FieldType,
    /// How the recorder made its `f32` from the value of a lattice point.
    pub(crate) float: fn(f64) -> f32,
}

impl SourceField {
    /// A field that is the same on the game's lattice as on its own.
    pub(crate) fn new(name: &'static str, own: FieldType) -> Self {
        Self { name, game: own.clone(), own, float: |value| value as f32 }
    }

    /// What the engine would take for it.
    pub(crate) fn game(mut self, game: FieldType) -> Self {
        self.game = game;
        self
    }

    /// How the recorder made its floats, where that is not plain rounding.
    pub(crate) fn float(mut self, float: fn(f64) -> f32) -> Self {
        self.float = float;
        self
    }
}

/// A recorded value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value {
    /// A position or a velocity.
    Vector([f32; 3]),
    /// A rotation in xyzw order, and which of its components the source game left out.
    Rotation {
        /// Near unit length.
        quat: [f32; 4],
        /// 0 to 3.
        largest: usize,
    },
    /// An angle in degrees.
    Degrees(f32),
    /// A number or a truth.
    Integer(i32),
}

/// The schema of a recording, and how its values become rows.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    schema: Arc<Schema>,
    /// Per kind: the fields that are kept.
    kinds: Vec<Vec<Channel>>,
}

/// A field on its way into columns.
#[derive(Clone, Debug)]
struct Channel {
    name: &'static str,
    /// Its place among the source's fields.
    source: usize,
    target: FieldType,
    is_exact: bool,
    float: fn(f64) -> f32,
}

impl Layout {
    /// The fields of these kinds that the lattice keeps.
    pub(crate) fn new(name: &str, sources: &[SourceKind], lattice: &Lattice) -> anyhow::Result<Self> {
        let mut builder = Schema::builder(name);
        let mut kinds = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let channels = channels(source, lattice)?;
            let fields = channels
                .iter()
                .enumerate()
                .map(|(id, channel)| Field::new(FieldId(id as u8), channel.name, channel.target.clone()));
            builder = builder.kind(Kind::new(KindId(index as u8), source.name, fields));
            kinds.push(channels);
        }
        let schema = builder.build().context("the lattice makes no schema")?;
        Ok(Self { schema, kinds })
    }

    /// What the rows are made of.
    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Puts the columns of an object into `columns`, and raises the largest error of each field by what this row errs.
    pub(crate) fn row(
        &self,
        kind: usize,
        values: &[Value],
        columns: &mut Vec<i32>,
        max_error: &mut BTreeMap<&'static str, f64>,
    ) -> anyhow::Result<()> {
        columns.clear();
        for channel in &self.kinds[kind] {
            let error = channel
                .push(values[channel.source], columns)
                .with_context(|| format!("`{}` of a `{}`", channel.name, self.schema.kinds()[kind].name()))?;
            let worst = max_error.entry(channel.name).or_default();
            *worst = worst.max(error);
        }
        Ok(())
    }
}

/// The kept fields of a kind, with velocities naming their field by its new place.
fn channels(source: &SourceKind, lattice: &Lattice) -> anyhow::Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for (place, field) in source.fields.iter().enumerate() {
        let Some(target) = target(source.name, field, lattice)? else { continue };
        let is_exact = target == field.own;
        channels.push(Channel { name: field.name, source: place, target, is_exact, float: field.float });
    }
    let places: Vec<usize> = channels.iter().map(|channel| channel.source).collect();
    for channel in &mut channels {
        if let FieldType::Velocity { of, .. } = &mut channel.target {
            let moved = places.iter().position(|&place| place == usize::from(of.0));
            let moved = moved.with_context(|| {
                let missing = source.fields[usize::from(of.0)].name;
                format!("`{}` is kept without `{missing}`, whose change it is: keep both", channel.name)
            })?;
            *of = FieldId(moved as u8);
        }
    }
    Ok(channels)
}

/// On which lattice a field is put; nothing if it is not sent.
fn target(kind: &str, field: &SourceField, lattice: &Lattice) -> anyhow::Result<Option<FieldType>> {
    Ok(match lattice {
        Lattice::Exact => Some(field.own.clone()),
        Lattice::Game { angular_velocity } => {
            let is_kept = *angular_velocity || field.name != ANGULAR_VELOCITY;
            is_kept.then(|| field.game.clone())
        }
        Lattice::File(file) => file.field(kind, field.name, &field.own)?,
    })
}

impl Channel {
    /// Appends the columns of a value; how far from it a client is, in the field's unit (rotations: degrees).
    fn push(&self, value: Value, columns: &mut Vec<i32>) -> anyhow::Result<f64> {
        match (&self.target, value) {
            (FieldType::Position { axes, step }, Value::Vector(vector)) => {
                let mut worst = 0.0_f64;
                for (value, bounds) in vector.into_iter().zip(axes) {
                    worst = worst.max(self.push_number(value, *step, *bounds, columns)?);
                }
                Ok(worst)
            }
            (FieldType::Velocity { max, step, .. }, Value::Vector(vector)) => {
                let mut worst = 0.0_f64;
                for value in vector {
                    worst = worst.max(self.push_number(value, *step, (-max, *max), columns)?);
                }
                Ok(worst)
            }
            (FieldType::Rotation { bits, lattice }, Value::Rotation { quat, largest }) => {
                let (packed, error) = if self.is_exact {
                    own_rotation(quat, largest, *bits)?
                } else {
                    nearest_rotation(quat, *bits, *lattice)?
                };
                columns.extend(packed);
                Ok(error)
            }
            (FieldType::Angle { bits }, Value::Degrees(degrees)) => self.push_angle(degrees, *bits, columns),
            (FieldType::Integer { min, max }, Value::Integer(value)) => {
                ensure!((*min..=*max).contains(&value), "{value} is outside of {min} to {max}");
                columns.push(value);
                Ok(0.0)
            }
            (target, value) => unreachable!("a source gives {value:?} for {target:?}"),
        }
    }

    fn push_number(
        &self,
        value: f32,
        step: f64,
        (min, max): (f64, f64),
        columns: &mut Vec<i32>,
    ) -> anyhow::Result<f64> {
        let point = (f64::from(value) / step).round();
        let is_within = ((min / step).ceil()..=(max / step).floor()).contains(&point);
        ensure!(is_within, "{value} is outside of {min} to {max}");
        columns.push(point as i32);
        let told = if self.is_exact {
            (self.float)(point * step)
        } else {
            quantize::lattice_value(point as i32, step)
        };
        let error = (f64::from(told) - f64::from(value)).abs();
        let slack = FLOAT_SLACK * f64::from(value).abs();
        ensure!(!self.is_exact || error <= slack, "{value} is no multiple of {step}");
        Ok(error)
    }

    fn push_angle(&self, degrees: f32, bits: u8, columns: &mut Vec<i32>) -> anyhow::Result<f64> {
        ensure!(degrees.is_finite(), "{degrees} is no angle");
        let steps = f64::from(1_u32 << bits);
        let point = (f64::from(degrees) * steps / 360.0).round();
        let told = (self.float)(point * 360.0 / steps);
        let error = f64::from((told - degrees).abs());
        let slack = FLOAT_SLACK * f64::from(degrees).abs();
        ensure!(!self.is_exact || error <= slack, "{degrees} degrees is no multiple of 360/2^{bits}");
        columns.push(point.rem_euclid(steps) as i32);
        Ok(error)
    }
}

/// The point of a rotation on its source's lattice, and its error in degrees: 0 where the recorded floats are those of
/// the point to the last bit. The largest component follows from the others, and is only looked at.
fn own_rotation(quat: [f32; 4], largest: usize, bits: u8) -> anyhow::Result<([i32; 4], f64)> {
    let levels = f64::from((1_u32 << bits) - 1);
    let mut packed = [largest as i32, 0, 0, 0];
    let others = (0..4).filter(|&index| index != largest);
    for (point, index) in packed[1..].iter_mut().zip(others) {
        let share = f64::from(quat[index]) / core::f64::consts::SQRT_2 + 0.5;
        let nearest = (share * levels).round();
        ensure!((0.0..=levels).contains(&nearest), "a component of {quat:?} is outside of ±0.7071");
        *point = nearest as i32;
    }
    let told = own_rotation_floats(packed, bits);
    let is_near = told.iter().zip(quat).enumerate().all(|(index, (told, quat))| {
        let slack = if index == largest { LARGEST_SLACK } else { FLOAT_SLACK };
        f64::from((told - quat).abs()) <= slack
    });
    ensure!(is_near, "{quat:?} is not on the lattice of {bits} bits a component");
    let is_same = (0..4).all(|index| index == largest || told[index].to_bits() == quat[index].to_bits());
    Ok((packed, if is_same { 0.0 } else { degrees_between(told, quat) }))
}

/// The floats that a source game makes of a point on its lattice of `2^bits` values a component.
pub(crate) fn own_rotation_floats([largest, a, b, c]: [i32; 4], bits: u8) -> [f32; 4] {
    let levels = ((1_u32 << bits) - 1) as f32;
    let component = |point: i32| (point as f32 / levels - 0.5) * 2.0 * core::f32::consts::FRAC_1_SQRT_2;
    let [a, b, c] = [a, b, c].map(component);
    let rest = (1.0 - a * a - b * b - c * c).max(0.0).sqrt();
    match largest {
        0 => [rest, a, b, c],
        1 => [a, rest, b, c],
        2 => [a, b, rest, c],
        _ => [a, b, c, rest],
    }
}

/// The lattice point whose rotation is nearest, and its error in degrees. Where components are about equal, rounding
/// each by itself errs up to 1.7 times as far as the best of the points around.
fn nearest_rotation(quat: [f32; 4], bits: u8, lattice: RotationLattice) -> anyhow::Result<([i32; 4], f64)> {
    let length = Quat::from_array(quat).length();
    ensure!((0.99..1.01).contains(&length), "{quat:?} is no rotation");
    let error_of = |packed| degrees_between(quat, quantize::rotation_value(packed, bits, lattice).to_array());
    let rounded = quantize::rotation(Quat::from_array(quat), bits, lattice);
    let mut best = (rounded, error_of(rounded));
    let (min, max) = lattice.bounds(bits);
    for neighbour in 0..27 {
        let [largest, a, b, c] = rounded;
        let moved = |point: i32, digit: i32| (point + neighbour / digit % 3 - 1).clamp(min, max);
        let packed = [largest, moved(a, 9), moved(b, 3), moved(c, 1)];
        let error = error_of(packed);
        if error < best.1 {
            best = (packed, error);
        }
    }
    Ok(best)
}

/// The angle of the turn from one rotation to the other, degrees.
fn degrees_between(a: [f32; 4], b: [f32; 4]) -> f64 {
    let unit = |quat: [f32; 4]| {
        let length = quat.iter().map(|&part| f64::from(part).powi(2)).sum::<f64>().sqrt();
        quat.map(|part| f64::from(part) / length)
    };
    let (a, b) = (unit(a), unit(b));
    let chord = |sign: f64| a.iter().zip(b).map(|(a, b)| (a - sign * b).powi(2)).sum::<f64>().sqrt();
    // A quaternion and its opposite are one rotation. The chord tells small angles; their cosine would round to 1.
    let half = (chord(1.0).min(chord(-1.0)) / 2.0).min(1.0);
    4.0 * half.asin().to_degrees()
}

impl std::str::FromStr for Lattice {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        Ok(match name {
            "exact" => Self::Exact,
            "game" => Self::Game { angular_velocity: true },
            "game-noang" => Self::Game { angular_velocity: false },
            path if Path::new(path).extension().is_some_and(|extension| extension == "toml") => {
                Self::File(LatticeFile::read(path.as_ref())?)
            }
            other => {
                bail!("`{other}` is no lattice: take exact, game, game-noang or a file that ends in .toml")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_sim::Random;

    const BITS: u8 = 11;

    fn plain_error(quat: [f32; 4]) -> f64 {
        let packed = quantize::rotation(Quat::from_array(quat), BITS, RotationLattice::WithZero);
        degrees_between(quat, quantize::rotation_value(packed, BITS, RotationLattice::WithZero).to_array())
    }

    #[test]
    fn the_nearest_rotation_errs_less_than_the_rounded_one() {
        let mut random = Random::from_seed(1);
        let mut worst = (0.0_f64, 0.0_f64);
        for _ in 0..20_000 {
            // Around where all components are equal: there rounding each by itself is worst.
            let quat = [(); 4].map(|()| 0.5 + random.range_f32(-0.01..0.01));
            let quat = Quat::from_array(quat).normalize().to_array();
            let (packed, error) = nearest_rotation(quat, BITS, RotationLattice::WithZero).unwrap();
            let told = quantize::rotation_value(packed, BITS, RotationLattice::WithZero).to_array();
            assert!((degrees_between(quat, told) - error).abs() < 1e-9);
            worst = (worst.0.max(plain_error(quat)), worst.1.max(error));
        }
        assert!(worst.0 > 0.12, "rounding does: {worst:?}");
        assert!(worst.1 < 0.085, "the nearest point is near: {worst:?}");
    }

    #[test]
    fn turns_are_measured_in_degrees() {
        let about_z = |degrees: f32| Quat::from_rotation_z(degrees.to_radians()).to_array();
        for (from, to, turn) in
            [(0.0, 0.0, 0.0), (10.0, 10.5, 0.5), (0.0, 180.0, 180.0), (-170.0, 170.0, 20.0)]
        {
            let measured = degrees_between(about_z(from), about_z(to));
            assert!((measured - turn).abs() < 1e-4, "{from} to {to}: {measured}");
            let opposite = about_z(to).map(|part| -part);
            assert!((degrees_between(about_z(from), opposite) - turn).abs() < 1e-4);
        }
    }

    #[test]
    fn every_point_of_a_source_is_found_again() {
        let mut random = Random::from_seed(2);
        for bits in [9, 18] {
            for _ in 0..5_000 {
                // Within ±0.57 of what a component can be: further out there may be no fourth component.
                let mut component = || (random.range_f32(0.22..0.78) * ((1 << bits) - 1) as f32) as i32;
                let [a, b, c] = [component(), component(), component()];
                let largest = random.below(4) as i32;
                let quat = own_rotation_floats([largest, a, b, c], bits);
                assert_eq!(own_rotation(quat, largest as usize, bits).unwrap(), ([largest, a, b, c], 0.0));
            }
        }
    }

    #[test]
    fn lattices_have_names() {
        assert!(matches!("exact".parse().unwrap(), Lattice::Exact));
        assert!(matches!("game-noang".parse().unwrap(), Lattice::Game { angular_velocity: false }));
        for (name, words) in
            [("gmae", "`gmae` is no lattice: take exact"), ("/no.toml", "cannot read /no.toml")]
        {
            let error = format!("{:#}", name.parse::<Lattice>().unwrap_err());
            assert!(error.contains(words), "{error:?} should say {words:?}");
        }
    }

    #[test]
    fn a_velocity_needs_what_it_moves() {
        let fields = vec![
            SourceField::new("slot", FieldType::boolean()),
            SourceField::new("position", FieldType::position([const { -1.0..=1.0 }; 3], 0.5)),
            SourceField::new("velocity", FieldType::velocity(FieldId(1), 1.0, 0.5)),
        ];
        let sources = [SourceKind { name: "car", fields }];
        let layout = |text: &str| {
            let file = LatticeFile::parse(text).unwrap();
            Layout::new("l", &sources, &Lattice::File(file)).map_err(|error| format!("{error:#}"))
        };
        let moved = layout("[car]\nvelocity = {}\nposition = {}").unwrap();
        let kind = &moved.schema().kinds()[0];
        assert_eq!(kind.velocity_of(FieldId(0)).unwrap().name, "velocity", "ids follow what is kept");
        let alone = layout("[car]\nvelocity = {}").unwrap_err();
        assert!(alone.contains("`velocity` is kept without `position`"), "{alone}");
        let fine = layout("[car]\nposition = { step = 1e-9 }").unwrap_err();
        assert!(fine.contains("makes no schema") && fine.contains("2^22 steps"), "{fine}");
    }
}
