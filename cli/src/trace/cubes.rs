//! The layout of Glenn Fiedler's delta compression challenge: 901 cubes at 60 Hz as plain integers, nothing before
//! them and nothing between. Without a magic it is known by its size and by every value being in its range.

use core::ops::RangeInclusive;

use anyhow::Context as _;
use tickwire_protocol::schema::FieldType;
use tickwire_protocol::schema::RotationLattice::Full;
use tickwire_protocol::{Tick, TickRate};

use super::lattice::{Lattice, Layout, SourceField, SourceKind, Value, own_rotation_floats};
use super::recording::{Builder, Recording};

const CUBES: usize = 901;
const VALUES: usize = 8;

/// Bytes of one recorded tick.
pub(super) const FRAME_BYTES: usize = CUBES * VALUES * 4;

const TICK_HZ: u32 = 60;

/// Positions are in this many parts of a metre.
const POSITION_PARTS: f64 = 512.0;

const ROTATION_BITS: u8 = 9;

/// Index of the largest component, the other three, position in three axes, whether the player touches it.
const RANGES: [RangeInclusive<i32>; VALUES] =
    [0..=3, 0..=511, 0..=511, 0..=511, -16_383..=16_383, -16_383..=16_383, 0..=8_191, 0..=1];

/// Whether bytes without a magic are cubes.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes.len().is_multiple_of(FRAME_BYTES)
        && cubes(bytes).all(|cube| cube.iter().zip(&RANGES).all(|(value, range)| range.contains(value)))
}

/// Reads what [`is_one`].
pub(super) fn read(bytes: &[u8], lattice: &Lattice) -> anyhow::Result<Recording> {
    let layout = Layout::new("cubes", &[kind()], lattice)?;
    let rate = TickRate::new(TICK_HZ).context("60 Hz is a tick rate")?;
    let mut builder = Builder::new(layout, rate);
    for (tick, frame) in bytes.chunks_exact(FRAME_BYTES).enumerate() {
        for (number, cube) in cubes(frame).enumerate() {
            let [rotation @ .., x, y, z, interacting] = cube;
            let quat = own_rotation_floats(rotation, ROTATION_BITS);
            let position = [x, y, z].map(|parts| (f64::from(parts) / POSITION_PARTS) as f32);
            let values = [
                Value::Vector(position),
                Value::Rotation { quat, largest: rotation[0] as usize },
                Value::Integer(interacting),
            ];
            builder
                .object(0, number as u16, &values)
                .with_context(|| format!("frame {tick}, cube {number}"))?;
        }
        builder.frame(Tick(tick as u32), None);
    }
    builder.finish("cubes", true)
}

fn kind() -> SourceKind {
    let axis = |range: &RangeInclusive<i32>| {
        f64::from(*range.start()) / POSITION_PARTS..=f64::from(*range.end()) / POSITION_PARTS
    };
    let axes = || [axis(&RANGES[4]), axis(&RANGES[5]), axis(&RANGES[6])];
    let position = SourceField::new("position", FieldType::position(axes(), 1.0 / POSITION_PARTS))
        .game(FieldType::position(axes(), 0.01));
    // Nine bits are coarser than the engine's usual eleven already: the game's lattice keeps them.
    let rotation = SourceField::new("rotation", FieldType::Rotation { bits: ROTATION_BITS, lattice: Full });
    let interacting = SourceField::new("interacting", FieldType::boolean());
    SourceKind { name: "cube", fields: vec![position, rotation, interacting] }
}

fn cubes(bytes: &[u8]) -> impl Iterator<Item = [i32; VALUES]> {
    let (values, _) = bytes.as_chunks::<4>();
    let (cubes, _) = values.as_chunks::<VALUES>();
    cubes.iter().map(|cube| cube.map(i32::from_le_bytes))
}
