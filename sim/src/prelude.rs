//! All that a game names: `use tickwire_sim::prelude::*`.

pub use bytes::Bytes;
pub use glam::{Quat, Vec2, Vec3};
pub use tickwire_protocol::schema::{CueId, Field, FieldId, FieldType, Kind, KindId, Schema, SchemaError};
pub use tickwire_protocol::{
    Cue, EntityId, Micros, PlayerId, RowHead, RowMut, RowRef, Tables, Tick, TickRate,
};

pub use crate::{PlayerInputs, Random, Simulation, StepContext, World, WorldConfig};
