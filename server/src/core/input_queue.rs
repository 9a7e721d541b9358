//! The inputs of one player, by tick, until their step comes.

use tickwire_protocol::limits::INPUT_AHEAD_TICKS_MAX;
use tickwire_protocol::schema::Kind;
use tickwire_protocol::{Misbehavior, RowMut, Tick};

/// Ticks that the queue has room for: any input that is not refused as too far ahead.
const CAPACITY: usize = INPUT_AHEAD_TICKS_MAX.next_power_of_two() as usize * 2;

/// Inputs that have arrived and wait for their tick. A missing one is replaced by the last one used.
#[derive(Clone, Debug)]
pub(crate) struct InputQueue {
    columns: usize,
    /// Per place (tick modulo capacity): the tick that it holds an input for.
    ticks: Vec<Option<Tick>>,
    values: Vec<i32>,
    last_used: Vec<i32>,
    newest: Option<Tick>,
    margin_ticks: i8,
    pub(crate) counters: InputCounters,
}

/// What became of a player's inputs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InputCounters {
    /// Used in their own tick's step.
    pub on_time: u64,
    /// Arrived after their step; thrown away.
    pub late: u64,
    /// Arrived again; thrown away.
    pub repeated: u64,
    /// Steps that had to repeat the last input because their own was not there.
    pub substituted: u64,
}

impl InputQueue {
    pub(crate) fn new(kind: &Kind) -> Self {
        let columns = kind.column_count();
        let mut last_used = vec![0; columns];
        RowMut::new(kind, &mut last_used).reset();
        Self {
            columns,
            ticks: vec![None; CAPACITY],
            values: vec![0; columns * CAPACITY],
            last_used,
            newest: None,
            margin_ticks: 0,
            counters: InputCounters::default(),
        }
    }

    /// Takes in the input for `tick`, where `next` is the tick that will be stepped next.
    pub(crate) fn push(&mut self, next: Tick, tick: Tick, values: &[i32]) -> Result<(), Misbehavior> {
        let ahead = tick.since(next);
        if ahead > INPUT_AHEAD_TICKS_MAX as i32 {
            return Err(Misbehavior::FutureInput(ahead));
        }
        if self.newest.is_none_or(|newest| tick.is_newer_than(newest)) {
            self.newest = Some(tick);
            self.margin_ticks = ahead.clamp(i32::from(i8::MIN), i32::from(i8::MAX)) as i8;
        }
        let place = tick.0 as usize % CAPACITY;
        if ahead < 0 {
            self.counters.late += 1;
        } else if self.ticks[place] == Some(tick) {
            self.counters.repeated += 1;
        } else {
            self.ticks[place] = Some(tick);
            self.values[place * self.columns..][..self.columns].copy_from_slice(values);
        }
        Ok(())
    }

    /// The input for the step of `tick`: its own, or the last one used.
    pub(crate) fn take(&mut self, tick: Tick) -> &[i32] {
        let place = tick.0 as usize % CAPACITY;
        if self.ticks[place].take_if(|held| *held == tick).is_some() {
            self.last_used.copy_from_slice(&self.values[place * self.columns..][..self.columns]);
            self.counters.on_time += 1;
        } else if self.newest.is_some() {
            self.counters.substituted += 1;
        }
        &self.last_used
    }

    /// The newest tick for which an input has come, and how many ticks before its step it did.
    pub(crate) fn newest(&self) -> Option<(Tick, i8)> {
        self.newest.map(|tick| (tick, self.margin_ticks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::Schema;
    use tickwire_protocol::schema::{Field, FieldId, FieldType};

    fn queue() -> InputQueue {
        let field = Field::new(FieldId(0), "n", FieldType::integer(0..=100));
        InputQueue::new(Schema::builder("i").input([field]).build().unwrap().input())
    }

    #[test]
    fn inputs_wait_for_their_tick_across_the_wrap() {
        let mut queue = queue();
        let first = Tick(u32::MAX);
        for step in (0..10).rev() {
            queue.push(first, first + step, &[step as i32 + 1]).unwrap();
        }
        for step in 0..10 {
            assert_eq!(queue.take(first + step), [step as i32 + 1]);
        }
        assert_eq!(queue.counters, InputCounters { on_time: 10, ..Default::default() });
        assert_eq!(queue.newest(), Some((first + 9, 9)));
    }

    #[test]
    fn a_missing_input_is_replaced_by_the_last() {
        let mut queue = queue();
        assert_eq!(queue.take(Tick(1)), [0], "before the first, nothing is pressed");
        queue.push(Tick(2), Tick(2), &[7]).unwrap();
        assert_eq!(queue.take(Tick(2)), [7]);
        assert_eq!(queue.take(Tick(3)), [7]);
        queue.push(Tick(4), Tick(3), &[9]).unwrap();
        assert_eq!(queue.take(Tick(4)), [7], "late is late");
        assert_eq!(queue.counters, InputCounters { on_time: 1, late: 1, repeated: 0, substituted: 2 });
    }

    #[test]
    fn time_travel_is_refused_and_leaves_no_trace() {
        let mut queue = queue();
        let limit = INPUT_AHEAD_TICKS_MAX;
        queue.push(Tick(10), Tick(10) + limit, &[1]).unwrap();
        let far = limit as i32 + 1;
        assert_eq!(queue.push(Tick(10), Tick(11) + limit, &[2]), Err(Misbehavior::FutureInput(far)));
        assert_eq!(queue.newest(), Some((Tick(10) + limit, limit as i8)));
        queue.push(Tick(10), Tick(10) + limit, &[3]).unwrap();
        assert_eq!(queue.take(Tick(10) + limit), [1], "the first copy counts");
        assert_eq!(queue.counters.repeated, 1);
    }
}
