//! What was predicted, tick by tick: the inputs that were given, and the rows that followed from them.

use std::sync::Arc;

use tickwire_protocol::input::MissingInput;
use tickwire_protocol::limits::HISTORY_TICKS;
use tickwire_protocol::schema::Kind;
use tickwire_protocol::{RowMut, Schema, Tables, Tick};

/// Ticks that are remembered: all that can lie between a state of the server's and the newest input.
pub(super) const LOG_TICKS: u32 = HISTORY_TICKS;

/// One tick.
#[derive(Clone, Debug)]
struct Record {
    tick: Tick,
    /// The columns that the game gave, if it did.
    input: Option<Vec<i32>>,
    /// Memory for them.
    spare: Vec<i32>,
    /// Whether the server has said that it had no input for this tick.
    is_substituted: bool,
    /// Whether `rows` are of this tick.
    is_stepped: bool,
    rows: Tables,
}

/// The newest ticks, in places by their number.
#[derive(Clone, Debug)]
pub(super) struct Log {
    schema: Arc<Schema>,
    ring: Vec<Option<Box<Record>>>,
    newest_input: Option<Tick>,
    /// The newest input whose place was given to another tick: after a pause the server may still go on with it.
    outlived: Option<Tick>,
    outlived_input: Vec<i32>,
}

impl Log {
    pub(super) fn new(schema: Arc<Schema>) -> Self {
        let ring = (0..LOG_TICKS).map(|_| None).collect();
        Self { schema, ring, newest_input: None, outlived: None, outlived_input: Vec::new() }
    }

    /// Forgets everything; keeps the memory.
    pub(super) fn clear(&mut self) {
        self.ring.iter_mut().flatten().for_each(|record| record.begin(record.tick));
        self.newest_input = None;
        self.outlived = None;
    }

    /// The record of a tick, begun anew if its place held another.
    fn enter(&mut self, tick: Tick) -> &mut Record {
        let Self { schema, ring, outlived, outlived_input, .. } = self;
        let place = &mut ring[(tick.0 % LOG_TICKS) as usize];
        let record = place.get_or_insert_with(|| Box::new(Record::new(tick, schema)));
        if record.tick != tick {
            if let Some(used) = record.used()
                && outlived.is_none_or(|tick| record.tick.is_newer_than(tick))
            {
                *outlived = Some(record.tick);
                outlived_input.clear();
                outlived_input.extend_from_slice(used);
            }
            record.begin(tick);
        }
        record
    }

    fn at(&self, tick: Tick) -> Option<&Record> {
        self.ring[(tick.0 % LOG_TICKS) as usize].as_deref().filter(|record| record.tick == tick)
    }

    /// The game's input for a tick.
    pub(super) fn enter_input(&mut self, tick: Tick, values: &[i32]) {
        let record = self.enter(tick);
        let mut input = core::mem::take(&mut record.spare);
        input.clear();
        input.extend_from_slice(values);
        record.input = Some(input);
        self.newest_input = Some(tick);
    }

    /// The newest tick that was given an input.
    pub(super) fn newest_input(&self) -> Option<Tick> {
        self.newest_input
    }

    /// What the world holds after a tick.
    pub(super) fn enter_rows(&mut self, tick: Tick, rows: &Tables) {
        let record = self.enter(tick);
        record.rows.copy_from(rows);
        record.is_stepped = true;
    }

    /// What the world held after a tick, if it was predicted.
    pub(super) fn rows(&self, tick: Tick) -> Option<&Tables> {
        Some(&self.at(tick).filter(|record| record.is_stepped)?.rows)
    }

    /// The server has said which of the 32 ticks up to `tick` were stepped without their own input.
    pub(super) fn note_substituted(&mut self, tick: Tick, mask: u32) {
        for ago in (0..u32::BITS).filter(|ago| mask >> ago & 1 == 1) {
            let substituted = tick - ago;
            let place = &mut self.ring[(substituted.0 % LOG_TICKS) as usize];
            if let Some(record) = place.as_deref_mut().filter(|record| record.tick == substituted) {
                record.is_substituted = true;
            }
        }
    }

    /// Whether the server is known to have stepped any of the ticks behind `agreed`, up to `tick`, without its input.
    pub(super) fn has_substituted(&self, agreed: Tick, tick: Tick) -> bool {
        let ticks = tick.since(agreed).clamp(0, LOG_TICKS as i32) as u32;
        (0..ticks).filter_map(|ago| self.at(tick - ago)).any(|record| record.is_substituted)
    }

    /// Writes the input that the server has used last at `tick` or before, as far as is known.
    pub(super) fn last_used(&self, kind: &Kind, tick: Tick, out: &mut Vec<i32>) {
        out.resize(kind.column_count(), 0);
        let records = self.ring.iter().flatten().filter_map(|record| Some((record.tick, record.used()?)));
        let outlived = self.outlived.map(|outlived| (outlived, self.outlived_input.as_slice()));
        let is_before = |(used, _): &(Tick, _)| !used.is_newer_than(tick);
        let used = records.chain(outlived).filter(is_before).min_by_key(|(used, _)| tick.since(*used));
        match used.map(|(_, input)| input) {
            Some(input) => out.copy_from_slice(input),
            None => {
                RowMut::new(kind, out).reset();
            }
        }
    }

    /// Turns the input of the tick before into what the server will use for this one: its own, or what stands for it.
    pub(super) fn advance_input(&self, kind: &Kind, policy: MissingInput, tick: Tick, input: &mut [i32]) {
        match self.at(tick).and_then(|record| record.input.as_ref()) {
            Some(own) => input.copy_from_slice(own),
            None => policy.substitute(kind, input),
        }
    }
}

impl Record {
    fn new(tick: Tick, schema: &Arc<Schema>) -> Self {
        let rows = Tables::new(schema.clone());
        Self { tick, input: None, spare: Vec::new(), is_substituted: false, is_stepped: false, rows }
    }

    /// The input, if the server has used it as far as is known.
    fn used(&self) -> Option<&[i32]> {
        self.input.as_deref().filter(|_| !self.is_substituted)
    }

    fn begin(&mut self, tick: Tick) {
        self.tick = tick;
        self.spare = self.input.take().unwrap_or_else(|| core::mem::take(&mut self.spare));
        self.is_substituted = false;
        self.is_stepped = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::schema::{Field, FieldId, FieldType};

    fn schema() -> Arc<Schema> {
        let fields = [
            Field::new(FieldId(0), "walk", FieldType::integer(-9..=9)),
            Field::new(FieldId(1), "jump", FieldType::boolean()).momentary(),
        ];
        Schema::builder("log").input(fields).build().unwrap()
    }

    #[test]
    fn a_gap_is_filled_as_the_server_does() {
        let schema = schema();
        let mut log = Log::new(schema.clone());
        let kind = schema.input();
        let first = Tick(u32::MAX - 1);
        log.enter_input(first, &[5, 1]);
        log.enter_input(first + 1, &[6, 1]);
        log.enter_input(first + 4, &[7, 1]);
        let mut input = Vec::new();
        log.last_used(kind, first, &mut input);
        let mut used = |tick: Tick| {
            log.advance_input(kind, MissingInput::Hold, tick, &mut input);
            input.clone()
        };
        assert_eq!(used(first + 1), [6, 1]);
        assert_eq!([used(first + 2), used(first + 3)], [[6, 0], [6, 0]]);
        assert_eq!(used(first + 4), [7, 1]);
    }

    #[test]
    fn what_came_too_late_was_never_used() {
        let schema = schema();
        let mut log = Log::new(schema.clone());
        (0..4).for_each(|tick| log.enter_input(Tick(tick), &[tick as i32, 0]));
        log.note_substituted(Tick(5), 0b1100);
        let mut input = Vec::new();
        log.last_used(schema.input(), Tick(3), &mut input);
        assert_eq!(input, [1, 0]);
        assert!(log.has_substituted(Tick(1), Tick(2)) && !log.has_substituted(Tick(3), Tick(5)));
        assert!(log.has_substituted(Tick(2), Tick(3)) && !log.has_substituted(Tick(0), Tick(1)));
    }

    #[test]
    fn the_last_input_outlives_a_pause_of_any_length() {
        let schema = schema();
        let mut log = Log::new(schema.clone());
        log.enter_input(Tick(1), &[5, 1]);
        log.enter_input(Tick(2), &[6, 1]);
        let rows = Tables::new(schema.clone());
        (3..1_000).for_each(|tick| log.enter_rows(Tick(tick), &rows));
        let mut input = Vec::new();
        log.last_used(schema.input(), Tick(999), &mut input);
        assert_eq!(input, [6, 1]);
        log.clear();
        log.last_used(schema.input(), Tick(999), &mut input);
        assert_eq!(input, [0, 0], "of another time");
    }

    #[test]
    fn old_ticks_make_way() {
        let mut log = Log::new(schema());
        let rows = Tables::new(schema());
        log.enter_rows(Tick(1), &rows);
        log.enter_input(Tick(1 + LOG_TICKS), &[1, 1]);
        assert!(log.rows(Tick(1)).is_none() && log.rows(Tick(1 + LOG_TICKS)).is_none());
        log.clear();
        assert_eq!(log.newest_input(), None);
    }
}
