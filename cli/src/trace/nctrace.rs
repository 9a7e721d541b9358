//! `NCTRACE2`: matches of other games, as positions and rotations of each object in each frame.
//!
//! Little-endian, without padding: magic, JSON about the recording, then frames of entries. An entry that was not updated
//! repeats the state of before. The recording's name of a lattice decides what game it is from.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use tickwire_protocol::limits::TICK_HZ_MAX;
use tickwire_protocol::schema::RotationLattice::Full;
use tickwire_protocol::schema::{FieldId, FieldType};
use tickwire_protocol::{Tick, TickRate};

use super::lattice::{Lattice, Layout, SourceField, SourceKind, Value};
use super::recording::{Builder, Recording, damaged};

const MAGIC: &[u8; 8] = b"NCTRACE2";

/// Kinds of entries.
const BALL: u8 = 0;
const CAR: u8 = 1;

const FLAG_UPDATED: u8 = 1;
const FLAG_SLEEPING: u8 = 2;

/// Slots of players; none is -1.
const PLAYER_SLOTS: core::ops::RangeInclusive<i32> = -1..=62;

/// What the header says.
#[derive(Debug, Deserialize)]
struct Meta {
    tick_hz: u32,
    tick_exact: bool,
    /// Rocket League: on which lattice the game sends.
    lattice: Option<MetaLattice>,
    /// QuakeWorld: whether positions are floats instead of eighths.
    float_coords: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct MetaLattice {
    pos: f64,
    lin: f64,
    ang: f64,
    rot_bits: u8,
}

/// Which game was recorded.
#[derive(Debug)]
enum Game {
    RocketLeague {
        /// Whether entries tell how old their update is: where objects of a frame come from different ticks.
        has_age: bool,
    },
    QuakeWorld,
}

/// One object in one frame.
#[derive(Debug)]
struct Entry {
    instance: u16,
    kind: u8,
    slot: i8,
    flags: u8,
    aux: u8,
    position: [f32; 3],
    rotation: [f32; 4],
    velocity: [f32; 3],
    /// QuakeWorld: pitch, yaw and roll in degrees.
    angular_velocity: [f32; 3],
}

/// Whether these bytes claim to be one.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Reads what [`is_one`].
pub(super) fn read(bytes: &[u8], lattice: &Lattice) -> anyhow::Result<Recording> {
    let mut cursor = Cursor { rest: &bytes[MAGIC.len()..] };
    let meta_len = u32::from_le_bytes(cursor.take("the length of its header")?);
    let meta: Meta = serde_json::from_slice(cursor.slice(meta_len as usize, "its header")?)
        .context(damaged("its header is not the JSON of a recording"))?;
    let (game, kinds, source) = meta.game()?;
    let layout = Layout::new(source, &kinds, lattice)?;
    // Finer clocks than a room can have are rounded to its finest.
    let rate = TickRate::new(meta.tick_hz.min(TICK_HZ_MAX)).context(damaged("its tick_hz is 0"))?;
    let mut reader = Reader {
        ticks_per_tick: f64::from(rate.hz()) / f64::from(meta.tick_hz),
        builder: Builder::new(layout, rate),
        game,
        ages: BTreeMap::new(),
        last_tick: 0,
    };
    for number in 0..u32::from_le_bytes(cursor.take("its number of frames")?) {
        reader.frame(&mut cursor).with_context(|| format!("frame {number}"))?;
    }
    ensure!(
        cursor.rest.is_empty(),
        damaged(format_args!("{} bytes follow its last frame", cursor.rest.len()))
    );
    reader.builder.finish(source, false)
}

impl Meta {
    fn game(&self) -> anyhow::Result<(Game, Vec<SourceKind>, &'static str)> {
        match (&self.lattice, self.float_coords) {
            (Some(lattice), None) => {
                let is_sound = [lattice.pos, lattice.lin, lattice.ang].iter().all(|step| *step > 0.0);
                ensure!(is_sound, damaged("a step of its lattice is not above 0"));
                let has_age = !self.tick_exact;
                let kinds = vec![
                    rocket_league_kind("ball", lattice, 8_000.0, has_age),
                    rocket_league_kind("car", lattice, 2_600.0, has_age),
                ];
                Ok((Game::RocketLeague { has_age }, kinds, "Rocket League"))
            }
            (None, Some(_)) => Ok((Game::QuakeWorld, vec![quake_world_kind()], "QuakeWorld")),
            _ => bail!(
                "its header names neither the lattice of Rocket League (`lattice`) nor that of QuakeWorld \
                 (`float_coords`): recordings of other games are not known here"
            ),
        }
    }
}

/// Bounds are wider than any recording needed, as far as that takes no more bits.
fn rocket_league_kind(
    name: &'static str,
    lattice: &MetaLattice,
    velocity_max: f64,
    has_age: bool,
) -> SourceKind {
    let axes = || [-8_190.0..=8_190.0, -8_190.0..=8_190.0, -256.0..=2_304.0];
    let velocity = |step| FieldType::velocity(FieldId(0), velocity_max, step);
    let angular_velocity = |step| FieldType::velocity(FieldId(2), 6.5, step);
    let mut fields = vec![
        SourceField::new("position", FieldType::position(axes(), lattice.pos))
            .game(FieldType::position(axes(), 1.0)),
        SourceField::new("velocity", velocity(lattice.lin)).game(velocity(1.0)),
        SourceField::new("rotation", FieldType::Rotation { bits: lattice.rot_bits, lattice: Full })
            .game(FieldType::rotation(11)),
        // The recorder divided the game's integers by 100 to a float, and multiplied that by 0.01.
        SourceField::new("angular_velocity", angular_velocity(lattice.ang))
            .game(angular_velocity(0.01))
            .float(|value| (value * 100.0) as f32 * 0.01),
        SourceField::new("sleeping", FieldType::boolean()),
    ];
    if name == "car" {
        fields.push(SourceField::new("player", FieldType::integer(PLAYER_SLOTS)));
    }
    if has_age {
        fields.push(SourceField::new("age", FieldType::integer(0..=255)));
    }
    SourceKind { name, fields }
}

fn quake_world_kind() -> SourceKind {
    // What 16 bits of eighths hold: the game's own bounds.
    let axes = || [-4_096.0..=4_095.875, -4_096.0..=4_095.875, -4_096.0..=4_095.875];
    let angle = |name| SourceField::new(name, FieldType::angle(16)).game(FieldType::angle(12));
    let position = SourceField::new("position", FieldType::position(axes(), 0.125))
        .game(FieldType::position(axes(), 0.25));
    let slot = SourceField::new("slot", FieldType::integer(PLAYER_SLOTS));
    SourceKind { name: "player", fields: vec![position, angle("pitch"), angle("yaw"), angle("roll"), slot] }
}

/// Reads frames one after the other.
struct Reader {
    builder: Builder,
    game: Game,
    ticks_per_tick: f64,
    /// By instance: how old its last update was. Entries that repeat a state do not say it again.
    ages: BTreeMap<u16, u8>,
    last_tick: i32,
}

impl Reader {
    fn frame(&mut self, cursor: &mut Cursor<'_>) -> anyhow::Result<()> {
        let _time: [u8; 8] = cursor.take("its time")?;
        let tick = i32::from_le_bytes(cursor.take("its tick")?);
        ensure!(tick >= self.last_tick, damaged(format_args!("tick {tick} is before {}", self.last_tick)));
        self.last_tick = tick;
        let entries = u16::from_le_bytes(cursor.take("its number of entries")?);
        let updated = u16::from_le_bytes(cursor.take("its number of updates")?);
        let _source_bits: [u8; 4] = cursor.take("its bits")?;
        let mut instances = BTreeSet::new();
        let mut updates = 0;
        for _ in 0..entries {
            let entry = Entry::read(cursor)?;
            updates += u16::from(entry.flags & FLAG_UPDATED != 0);
            let instance = entry.instance;
            ensure!(
                instances.insert(instance),
                damaged(format_args!("object {instance} stands there twice"))
            );
            self.entry(&entry).with_context(|| format!("object {instance}"))?;
        }
        ensure!(updates == updated, damaged(format_args!("{updates} updates instead of {updated}")));
        let tick = (f64::from(tick) * self.ticks_per_tick).round();
        self.builder.frame(Tick(tick as u32), Some(updates.into()));
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> anyhow::Result<()> {
        let slot = Value::Integer(entry.slot.into());
        match (&self.game, entry.kind) {
            (Game::RocketLeague { has_age }, BALL | CAR) => {
                let largest = usize::from(entry.flags >> 4 & 3);
                let mut values = vec![
                    Value::Vector(entry.position),
                    Value::Vector(entry.velocity),
                    Value::Rotation { quat: entry.rotation, largest },
                    Value::Vector(entry.angular_velocity),
                    Value::Integer(i32::from(entry.flags & FLAG_SLEEPING != 0)),
                ];
                if entry.kind == CAR {
                    values.push(slot);
                }
                if *has_age {
                    let age = self.ages.entry(entry.instance).or_insert(entry.aux);
                    if entry.flags & FLAG_UPDATED != 0 {
                        *age = entry.aux;
                    }
                    values.push(Value::Integer((*age).into()));
                }
                self.builder.object(usize::from(entry.kind), entry.instance, &values)
            }
            (Game::QuakeWorld, CAR) => {
                let [pitch, yaw, roll] = entry.angular_velocity.map(Value::Degrees);
                let values = [Value::Vector(entry.position), pitch, yaw, roll, slot];
                self.builder.object(0, entry.instance, &values)
            }
            (game, kind) => bail!(damaged(format_args!("{game:?} has no kind {kind}"))),
        }
    }
}

impl Entry {
    fn read(cursor: &mut Cursor<'_>) -> anyhow::Result<Self> {
        let instance = u16::from_le_bytes(cursor.take("an entry")?);
        let [kind, slot, flags, aux] = cursor.take("an entry")?;
        let _source_bits: [u8; 4] = cursor.take("an entry")?;
        Ok(Self {
            instance,
            kind,
            slot: slot as i8,
            flags,
            aux,
            position: cursor.floats()?,
            rotation: cursor.floats()?,
            velocity: cursor.floats()?,
            angular_velocity: cursor.floats()?,
        })
    }
}

/// The bytes that are still to be read.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take<const BYTES: usize>(&mut self, what: &str) -> anyhow::Result<[u8; BYTES]> {
        let (taken, rest) = self.rest.split_first_chunk().with_context(|| ends_in(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn slice(&mut self, len: usize, what: &str) -> anyhow::Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).with_context(|| ends_in(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn floats<const COUNT: usize>(&mut self) -> anyhow::Result<[f32; COUNT]> {
        let mut floats = [0.0; COUNT];
        for float in &mut floats {
            *float = f32::from_le_bytes(self.take("an entry")?);
        }
        Ok(floats)
    }
}

fn ends_in(what: &str) -> String {
    damaged(format_args!("it ends before {what} does"))
}
