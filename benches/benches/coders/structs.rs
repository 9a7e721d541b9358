//! Codings of whole rows: a game's own structs through a serializer.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::contest::{Case, Coding, Told};

/// The name of the coding that others are compared with.
pub(crate) const BINCODE: &str = "bincode";

/// A game's own struct of a row: the same steps as in the schema, in the smallest integers that hold them.
pub(crate) trait Row:
    Serialize + DeserializeOwned + bitcode::Encode + for<'a> bitcode::Decode<'a> + 'static
{
    fn new(slot: u16, columns: &[i32]) -> Self;

    fn told(&self) -> Told;
}

/// A player of the arena, as others see it.
#[derive(Serialize, serde::Deserialize, bitcode::Encode, bitcode::Decode)]
pub(crate) struct ArenaRow {
    slot: u16,
    position: [i16; 3],
    velocity: [i16; 3],
    yaw: u16,
    pitch: i16,
    action: u8,
    health: u8,
    score: u16,
}

impl Row for ArenaRow {
    fn new(slot: u16, columns: &[i32]) -> Self {
        let &[x, y, z, vx, vy, vz, yaw, pitch, action, health, score] = columns else {
            panic!("a player has 11 columns that all see, not {}", columns.len());
        };
        Self {
            slot,
            position: [x, y, z].map(|axis| axis as i16),
            velocity: [vx, vy, vz].map(|axis| axis as i16),
            yaw: yaw as u16,
            pitch: pitch as i16,
            action: action as u8,
            health: health as u8,
            score: score as u16,
        }
    }

    fn told(&self) -> Told {
        let rest =
            [self.yaw.into(), self.pitch.into(), self.action.into(), self.health.into(), self.score.into()];
        (self.slot, [&wide(self.position)[..], &wide(self.velocity), &rest].concat())
    }
}

/// A body of the scenes.
#[derive(Serialize, serde::Deserialize, bitcode::Encode, bitcode::Decode)]
pub(crate) struct BodyRow {
    slot: u16,
    position: [i16; 3],
    velocity: [i16; 3],
    largest: u8,
    rotation: [i16; 3],
}

impl Row for BodyRow {
    fn new(slot: u16, columns: &[i32]) -> Self {
        let &[x, y, z, vx, vy, vz, largest, first, second, third] = columns else {
            panic!("a body has 10 columns, not {}", columns.len());
        };
        Self {
            slot,
            position: [x, y, z].map(|axis| axis as i16),
            velocity: [vx, vy, vz].map(|axis| axis as i16),
            largest: largest as u8,
            rotation: [first, second, third].map(|component| component as i16),
        }
    }

    fn told(&self) -> Told {
        let (position, velocity, rotation) = (wide(self.position), wide(self.velocity), wide(self.rotation));
        (self.slot, [&position[..], &velocity, &[self.largest.into()], &rotation].concat())
    }
}

fn wide(values: [i16; 3]) -> [i32; 3] {
    values.map(i32::from)
}

/// A serializer.
trait Format<R> {
    const NAME: &'static str;

    fn write(&mut self, rows: &[R], out: &mut Vec<u8>);

    fn read(&mut self, payload: &[u8]) -> Vec<R>;
}

/// Every serializer.
pub(crate) fn codings_of_structs<R: Row>() -> [Box<dyn Coding<R>>; 4] {
    [
        Box::new(Structs { format: Bincode, rows: Vec::new() }),
        Box::new(Structs { format: BincodeLz4::default(), rows: Vec::new() }),
        Box::new(Structs { format: Postcard, rows: Vec::new() }),
        Box::new(Structs { format: Bitcode::default(), rows: Vec::new() }),
    ]
}

struct Structs<F, R> {
    format: F,
    rows: Vec<R>,
}

impl<F: Format<R>, R: Row> Coding<R> for Structs<F, R> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn encode(&mut self, case: &Case<R>, out: &mut Vec<u8>) {
        self.format.write(&case.structs, out);
    }

    fn decode(&mut self, _: &Case<R>, payload: &[u8]) {
        self.rows = self.format.read(payload);
    }

    fn told(&self) -> Vec<Told> {
        self.rows.iter().map(Row::told).collect()
    }
}

/// Room for rows of any serializer here, bytes a row.
const ROW_BYTES_MAX: usize = 64;

struct Bincode;

impl<R: Row> Format<R> for Bincode {
    const NAME: &'static str = BINCODE;

    fn write(&mut self, rows: &[R], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + (rows.len() + 1) * ROW_BYTES_MAX, 0);
        let written = bincode::serde::encode_into_slice(rows, &mut out[start..], bincode::config::standard());
        out.truncate(start + written.expect("there is room"));
    }

    fn read(&mut self, payload: &[u8]) -> Vec<R> {
        let read = bincode::serde::decode_from_slice(payload, bincode::config::standard());
        read.expect("it was just written").0
    }
}

#[derive(Default)]
struct BincodeLz4 {
    plain: Vec<u8>,
}

impl<R: Row> Format<R> for BincodeLz4 {
    const NAME: &'static str = "bincode + LZ4";

    fn write(&mut self, rows: &[R], out: &mut Vec<u8>) {
        self.plain.clear();
        Bincode.write(rows, &mut self.plain);
        out.extend_from_slice(&lz4_flex::compress_prepend_size(&self.plain));
    }

    fn read(&mut self, payload: &[u8]) -> Vec<R> {
        Bincode.read(&lz4_flex::decompress_size_prepended(payload).expect("it was just written"))
    }
}

struct Postcard;

impl<R: Row> Format<R> for Postcard {
    const NAME: &'static str = "postcard";

    fn write(&mut self, rows: &[R], out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + (rows.len() + 1) * ROW_BYTES_MAX, 0);
        let written = postcard::to_slice(rows, &mut out[start..]).expect("there is room").len();
        out.truncate(start + written);
    }

    fn read(&mut self, payload: &[u8]) -> Vec<R> {
        postcard::from_bytes(payload).expect("it was just written")
    }
}

#[derive(Default)]
struct Bitcode {
    buffer: bitcode::Buffer,
}

impl<R: Row> Format<R> for Bitcode {
    const NAME: &'static str = "bitcode";

    fn write(&mut self, rows: &[R], out: &mut Vec<u8>) {
        out.extend_from_slice(self.buffer.encode(rows));
    }

    fn read(&mut self, payload: &[u8]) -> Vec<R> {
        self.buffer.decode(payload).expect("it was just written")
    }
}
