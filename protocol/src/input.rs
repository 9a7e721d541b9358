//! The INPUT frame: what a player wants, for consecutive ticks, and what it sees.
//!
//! ```text
//!  has ack: 1 | [ack] | view tick: 16 | view fraction: 8 | newest tick: 16 | rows - 1: 5 | row ... (oldest first)
//!  row:    same as the one before: 1 | else for every field: changed: 1 | [columns, each value - min in its bits]
//! ```
//!
//! A row holds the columns of [`Schema::input`](crate::schema::Schema::input); the one before the first is the reset
//! row (all zeros, or the bounds nearest to it). So a frame stands alone: on datagrams the newest rows are sent again
//! until they are acked, on ordered streams each is sent once. Ticks travel as their low 16 bits.
//!
//! Invariants: a decoded row is within the schema's bounds; every frame has one encoding (a row or field that is
//! marked as changed does change); once warm nothing is allocated. Whether the ticks make sense, and whether the
//! view is believed, is decided by the room.

use serde::{Deserialize, Serialize};

use crate::ack::Ack;
use crate::bits::{BitReader, BitWriter, Stretch};
use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame_with};
use crate::limits::INPUTS_PER_FRAME_MAX;
use crate::schema::{Column, Field, Kind};
use crate::time::{Tick, TickTime};

/// What a room steps a player with when the input for a tick has not come. The client that predicts does the same.
///
/// Every choice is wrong now and then. To hold is wrong least: who ran a tick ago mostly runs still, but who pressed once
/// has mostly let go.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum MissingInput {
    /// The last input that was used, as it was.
    Repeat,
    /// The same with all [momentary](crate::schema::Field::momentary) fields released.
    #[default]
    Hold,
    /// Nothing is pressed.
    Neutral,
}

impl MissingInput {
    /// Turns the columns of the last input that was used into those that stand for a missing one.
    pub fn substitute(self, kind: &Kind, row: &mut [i32]) {
        let is_released = |field: &Field| match self {
            Self::Repeat => false,
            Self::Hold => field.is_momentary,
            Self::Neutral => true,
        };
        for field in kind.fields().iter().filter(|field| is_released(field)) {
            for index in field.columns() {
                if let (Some(value), Some(column)) = (row.get_mut(index), kind.columns().get(index)) {
                    *value = reset(column);
                }
            }
        }
    }
}

/// Stands for the input in [`DecodeError::OutOfBounds`], where others have the number of a kind.
pub const INPUT_KIND: u8 = 255;

/// The content of an INPUT frame, for writing as for reading. Reused from frame to frame: it keeps its memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputFrame {
    /// Which snapshots were applied; nothing before the first one.
    pub ack: Option<Ack>,
    /// The moment that the player was shown when it gave the newest input: what lag compensation rewinds to. On the
    /// wire in steps of 1/256 tick, rounded down. Before the first snapshot: the tick of the welcome.
    pub view: TickTime,
    newest: Tick,
    rows: usize,
    columns: usize,
    /// Row after row, the oldest first.
    values: Vec<i32>,
}

impl InputFrame {
    /// A frame without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many ticks have a row here, at most [`INPUTS_PER_FRAME_MAX`]. Never 0 in a frame that was decoded.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether no tick has a row: then there is nothing to be sent.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The tick of the newest row.
    pub fn newest(&self) -> Option<Tick> {
        (!self.is_empty()).then_some(self.newest)
    }

    /// Tick and columns of every row, the oldest first.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = (Tick, &[i32])> {
        (0..self.rows).map(|row| {
            let start = row * self.columns;
            let values = self.values.get(start..start + self.columns).unwrap_or_default();
            (self.newest - (self.rows - 1 - row) as u32, values)
        })
    }

    /// Takes all rows out; keeps the memory.
    pub fn clear(&mut self) {
        self.rows = 0;
        self.values.clear();
    }

    /// Adds the input for `tick`, in the columns of `kind`; values beyond their bounds are clamped.
    ///
    /// Rows are of consecutive ticks: one that does not follow the newest starts the frame anew. Where there is no
    /// room for a further row the oldest makes way: it is the one that comes too late first.
    pub fn push(&mut self, kind: &Kind, tick: Tick, row: &[i32]) {
        if self.columns != kind.column_count() || (!self.is_empty() && tick != self.newest + 1) {
            self.clear();
        }
        if self.rows == INPUTS_PER_FRAME_MAX {
            self.values.drain(..self.columns);
            self.rows -= 1;
        }
        let to = self.push_copy(kind);
        for ((to, column), value) in to.iter_mut().zip(kind.columns()).zip(row) {
            *to = (*value).clamp(column.min, column.max);
        }
        self.newest = tick;
    }

    /// Appends an INPUT frame, or nothing if there is no row. `kind` is that of the rows.
    pub fn encode(&self, kind: &Kind, out: &mut Vec<u8>) {
        if self.is_empty() {
            return;
        }
        debug_assert_eq!(self.columns, kind.column_count(), "the rows are of another kind");
        write_frame_with(out, FrameType::Input, |out| {
            let mut w = BitWriter::new(out);
            w.flag(self.ack.is_some());
            if let Some(ack) = &self.ack {
                ack.write(&mut w);
            }
            w.bits(u32::from(self.view.tick.0 as u16), TICK_BITS);
            w.bits(u32::from((self.view.fraction * FRACTION_STEPS) as u8), FRACTION_BITS);
            w.bits(u32::from(self.newest.0 as u16), TICK_BITS);
            w.bits(self.rows as u32 - 1, COUNT_BITS);
            let mut before: Option<&[i32]> = None;
            for (_, row) in self.rows() {
                write_row(&mut w, kind, before, row);
                before = Some(row);
            }
            w.finish();
        });
    }

    /// Reads the payload of an INPUT frame whose rows are of `kind`. Short ticks become the whole ones nearest to
    /// `near`, the receiver's tick. After an error there are no rows.
    pub fn decode(&mut self, payload: &[u8], kind: &Kind, near: Tick) -> Result<(), DecodeError> {
        self.clear();
        let result = self.read(payload, kind, near);
        if result.is_err() {
            self.clear();
        }
        result
    }

    fn read(&mut self, payload: &[u8], kind: &Kind, near: Tick) -> Result<(), DecodeError> {
        let mut r = BitReader::new(payload);
        let what = "input";
        self.ack = if r.flag(what)? { Some(Ack::read(&mut r)?) } else { None };
        let tick = near.nearest_with_low_bits(r.bits(TICK_BITS, what)?, TICK_BITS);
        let fraction = r.bits(FRACTION_BITS, what)? as f32 / FRACTION_STEPS;
        self.view = TickTime { tick, fraction };
        self.newest = near.nearest_with_low_bits(r.bits(TICK_BITS, what)?, TICK_BITS);
        let rows = r.bits(COUNT_BITS, what)? + 1;
        for _ in 0..rows {
            read_row(&mut r, kind, self.push_copy(kind))?;
        }
        r.finish(what)
    }

    /// Adds a row equal to the newest one, or to the reset row.
    fn push_copy(&mut self, kind: &Kind) -> &mut [i32] {
        let start = self.values.len();
        if self.rows == 0 {
            self.columns = kind.column_count();
            self.values.extend(kind.columns().iter().map(reset));
        } else {
            self.values.extend_from_within(start - self.columns..);
        }
        self.rows += 1;
        self.values.get_mut(start..).unwrap_or_default()
    }
}

/// A row as what differs from the one before, or from the reset row.
pub(crate) fn write_row(w: &mut BitWriter<'_>, kind: &Kind, before: Option<&[i32]>, row: &[i32]) {
    let columns = kind.columns();
    let differs =
        |index: usize| row[index] != before.map_or_else(|| reset(&columns[index]), |row| row[index]);
    let is_same = !(0..row.len()).any(differs);
    w.flag(is_same);
    if is_same {
        return;
    }
    for field in kind.fields() {
        let is_changed = field.columns().any(differs);
        w.flag(is_changed);
        if is_changed {
            for index in field.columns() {
                let column = columns[index];
                w.bits(row[index].wrapping_sub(column.min) as u32, column.bits);
            }
        }
    }
}

/// Turns the row before into the next one.
pub(crate) fn read_row(r: &mut BitReader<'_>, kind: &Kind, row: &mut [i32]) -> Result<(), DecodeError> {
    let result = read_changes(r, kind, row);
    // Behind the end there are zeros, which mean something else.
    if r.is_overrun() { Err(DecodeError::Truncated("input row")) } else { result }
}

/// The same, where nothing is refused for lying behind the end: that is looked at once a row.
fn read_changes(r: &mut BitReader<'_>, kind: &Kind, row: &mut [i32]) -> Result<(), DecodeError> {
    let mut stretch = Stretch::new(r);
    if stretch.flag() {
        return Ok(());
    }
    let mut is_row_changed = false;
    for field in kind.fields() {
        if !stretch.flag() {
            continue;
        }
        let (first, mut is_changed) = (field.columns().start, false);
        let (Some(columns), Some(values)) =
            (kind.columns().get(field.columns()), row.get_mut(field.columns()))
        else {
            continue;
        };
        for (index, (column, to)) in columns.iter().zip(values).enumerate() {
            let steps = stretch.bits(column.bits);
            if steps > column.max.wrapping_sub(column.min) as u32 {
                return Err(DecodeError::OutOfBounds { kind: INPUT_KIND, column: (first + index) as u8 });
            }
            let value = column.min.wrapping_add(steps as i32);
            is_changed |= *to != value;
            *to = value;
        }
        if !is_changed {
            let value = u64::from(field.id.0);
            return Err(DecodeError::Invalid { what: "input field sent without a change", value });
        }
        is_row_changed = true;
    }
    if is_row_changed {
        Ok(())
    } else {
        Err(DecodeError::Invalid { what: "input row sent without a change", value: 0 })
    }
}

/// What a column holds before anything was said of it.
pub(crate) fn reset(column: &Column) -> i32 {
    0.clamp(column.min, column.max)
}

/// Bits of a tick.
const TICK_BITS: u32 = 16;
/// Bits of a view's fraction.
const FRACTION_BITS: u32 = 8;
/// Parts of a tick that a view is told in.
const FRACTION_STEPS: f32 = (1 << FRACTION_BITS) as f32;
/// Bits of the number of rows less one: every value is allowed.
const COUNT_BITS: u32 = 5;

const _: () = assert!(INPUTS_PER_FRAME_MAX == 1 << COUNT_BITS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ack::{AckWindow, Sequence};
    use crate::schema::{Field, FieldId, FieldType, Schema};
    use proptest::prelude::*;
    use std::sync::Arc;

    /// Moves and looks about like an arena player; one column holds 5 to 9, so its reset value is 5.
    fn schema() -> Arc<Schema> {
        Schema::builder("t")
            .input([
                Field::new(FieldId(0), "move", FieldType::position([-1.0..=1.0, -1.0..=1.0], 1.0 / 127.0)),
                Field::new(FieldId(1), "yaw", FieldType::angle(12)),
                Field::new(FieldId(2), "pitch", FieldType::scalar(-1.5..=1.5, 0.003)),
                Field::new(FieldId(3), "weapon", FieldType::integer(5..=9)),
                Field::new(FieldId(4), "nothing", FieldType::integer(3..=3)),
                Field::new(FieldId(5), "jump", FieldType::boolean()),
            ])
            .build()
            .unwrap()
    }

    fn payload(frame: &InputFrame, kind: &Kind) -> Vec<u8> {
        let mut out = Vec::new();
        frame.encode(kind, &mut out);
        let header = if out[0] < 0x80 { 2 } else { 3 };
        out.split_off(header)
    }

    fn frame_of(kind: &Kind, newest: Tick, rows: &[Vec<i32>]) -> InputFrame {
        let mut frame = InputFrame::new();
        for (index, row) in rows.iter().enumerate() {
            frame.push(kind, newest - (rows.len() - 1 - index) as u32, row);
        }
        frame
    }

    fn decoded(bytes: &[u8], kind: &Kind, near: Tick) -> Result<InputFrame, DecodeError> {
        let mut frame = InputFrame::new();
        frame.decode(bytes, kind, near)?;
        Ok(frame)
    }

    #[test]
    fn typical_frames_are_small() {
        let schema = schema();
        let kind = schema.input();
        let ack = Some(Ack::new(Sequence(9)));
        let still = InputFrame { ack, ..frame_of(kind, Tick(7), &vec![vec![0, 0, 0, 0, 5, 3, 0]; 3]) };
        assert_eq!(payload(&still, kind).len(), 9, "three ticks without any key");
        let turning: Vec<_> = (0..3).map(|n| vec![127, 0, 700 + 9 * n, -40 + n, 5, 3, 0]).collect();
        let turning = InputFrame { ack, ..frame_of(kind, Tick(7), &turning) };
        assert_eq!(payload(&turning, kind).len(), 22, "three ticks of running and turning");
    }

    #[test]
    fn rows_follow_each_other() {
        let schema = schema();
        let kind = schema.input();
        let row = |n| vec![n, 0, 0, 0, 5, 3, 0];
        let mut frame = InputFrame::new();
        for tick in 0..40 {
            frame.push(kind, Tick(u32::MAX - 19) + tick, &row(tick as i32));
        }
        assert_eq!(frame.len(), 32, "the oldest made way");
        assert_eq!(frame.rows().next(), Some((Tick(u32::MAX - 11), &row(8)[..])));
        assert_eq!(frame.rows().next_back(), Some((Tick(19), &row(39)[..])), "across the wrap");
        frame.push(kind, Tick(21), &row(500));
        assert_eq!(frame.rows().collect::<Vec<_>>(), [(Tick(21), &row(127)[..])], "a gap starts anew");
        assert_eq!(frame.newest(), Some(Tick(21)));
        frame.clear();
        assert_eq!(frame.newest(), None);
        let mut out = Vec::new();
        frame.encode(kind, &mut out);
        assert_eq!(out, [0_u8; 0]);
    }

    #[test]
    fn what_stands_for_a_missing_input() {
        let fields = [
            Field::new(FieldId(0), "walk", FieldType::integer(-9..=9)),
            Field::new(FieldId(1), "weapon", FieldType::integer(5..=9)).momentary(),
            Field::new(FieldId(2), "fire", FieldType::boolean()).momentary(),
        ];
        let schema = Schema::builder("t").input(fields).build().unwrap();
        let substituted = |policy: MissingInput| {
            let mut row = vec![-3, 8, 1];
            policy.substitute(schema.input(), &mut row);
            row
        };
        assert_eq!(substituted(MissingInput::Repeat), [-3, 8, 1]);
        assert_eq!(substituted(MissingInput::Hold), [-3, 5, 0]);
        assert_eq!(substituted(MissingInput::Neutral), [0, 5, 0]);
    }

    #[test]
    fn a_game_without_input_has_rows_of_nothing() {
        let schema = Schema::builder("t").build().unwrap();
        let frame = frame_of(schema.input(), Tick(3), &[vec![], vec![]]);
        let bytes = payload(&frame, schema.input());
        let back = decoded(&bytes, schema.input(), Tick(0)).unwrap();
        assert_eq!(back.rows().collect::<Vec<_>>(), [(Tick(2), &[][..]), (Tick(3), &[][..])]);
    }

    /// A frame without ack whose one row is made of these bits.
    fn one_row(write: impl FnOnce(&mut BitWriter<'_>)) -> Vec<u8> {
        let mut out = Vec::new();
        let mut w = BitWriter::new(&mut out);
        w.flag(false);
        w.bits(0, 2 * TICK_BITS - 1);
        w.bits(0, 1 + FRACTION_BITS);
        w.bits(0, COUNT_BITS);
        w.flag(false);
        write(&mut w);
        w.finish();
        out
    }

    #[test]
    fn rows_that_no_writer_makes_are_refused() {
        let schema = schema();
        let read = |bytes: Vec<u8>| decoded(&bytes, schema.input(), Tick(0)).map(|_| ());
        let row = |changed: [u32; 6], value: u32, bits: u32| {
            one_row(|w| {
                for flag in changed {
                    w.bits(flag, 1);
                    if flag == 1 {
                        w.bits(value, bits);
                    }
                }
            })
        };
        assert_eq!(read(row([0, 0, 0, 1, 0, 0], 4, 3)), Ok(()));
        let beyond = DecodeError::OutOfBounds { kind: 255, column: 4 };
        assert_eq!(read(row([0, 0, 0, 1, 0, 0], 5, 3)), Err(beyond));
        let unchanged =
            |value| Err(DecodeError::Invalid { what: "input field sent without a change", value });
        assert_eq!(read(row([0, 0, 0, 1, 0, 0], 0, 3)), unchanged(3));
        assert_eq!(read(row([0, 0, 0, 0, 1, 0], 0, 0)), unchanged(4));
        assert!(matches!(read(row([0; 6], 0, 0)), Err(DecodeError::Invalid { .. })));
    }

    #[test]
    fn after_an_error_there_is_no_row() {
        let schema = schema();
        let mut frame = frame_of(schema.input(), Tick(3), &[vec![1; 7], vec![2; 7]]);
        let bytes = payload(&frame, schema.input());
        assert!(frame.decode(&bytes[..bytes.len() - 1], schema.input(), Tick(0)).is_err());
        assert_eq!((frame.len(), frame.rows().count()), (0, 0));
    }

    fn any_rows() -> impl Strategy<Value = Vec<Vec<i32>>> {
        let row = (any::<[i32; 7]>(), any::<bool>()).prop_map(|(values, small)| {
            values.iter().map(|value| if small { value & 1 } else { *value >> 18 }).collect::<Vec<_>>()
        });
        prop::collection::vec(row, 1..=32)
    }

    proptest! {
        #[test]
        fn frames_arrive_as_they_were_sent(
            rows in any_rows(), newest in any::<u32>(), off in -30_000..30_000_i32, view in any::<u8>(),
            applied in prop::collection::vec(any::<u16>(), 0..5)
        ) {
            let schema = schema();
            let near = Tick(newest.wrapping_add(off as u32));
            let mut window = AckWindow::new();
            for sequence in applied {
                window.insert(Sequence(sequence));
            }
            let view = TickTime { tick: near - u32::from(view), fraction: f32::from(view) / 256.0 };
            let rows = frame_of(schema.input(), Tick(newest), &rows);
            let frame = InputFrame { ack: window.ack(), view, ..rows };
            let bytes = payload(&frame, schema.input());
            prop_assert_eq!(decoded(&bytes, schema.input(), near), Ok(frame));
            for cut in 0..bytes.len() {
                prop_assert!(decoded(&bytes[..cut], schema.input(), near).is_err());
            }
        }

        #[test]
        fn any_bytes_are_refused_or_have_one_encoding(
            bytes in prop::collection::vec(any::<u8>(), 0..60), no_ack in any::<bool>()
        ) {
            let (schema, mut bytes) = (schema(), bytes);
            if let Some(first) = bytes.first_mut() && no_ack {
                *first &= 0xfe;
            }
            if let Ok(frame) = decoded(&bytes, schema.input(), Tick(77)) {
                prop_assert_eq!(payload(&frame, schema.input()), bytes);
            }
        }

        #[test]
        fn damaged_frames_are_refused_or_have_one_encoding(
            rows in any_rows(), place in any::<prop::sample::Index>(), flip in 1..=255_u8
        ) {
            let schema = schema();
            let mut bytes = payload(&frame_of(schema.input(), Tick(5), &rows), schema.input());
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            if let Ok(frame) = decoded(&bytes, schema.input(), Tick(5)) {
                prop_assert_eq!(payload(&frame, schema.input()), bytes);
            }
        }
    }
}
