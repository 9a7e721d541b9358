//! The inputs of one player, by tick, until their step comes.

use tickwire_protocol::input::MissingInput;
use tickwire_protocol::limits::INPUT_AHEAD_TICKS_MAX;
use tickwire_protocol::schema::Kind;
use tickwire_protocol::snapshot::{Feedback, MARGIN_TICKS};
use tickwire_protocol::{Misbehavior, RowMut, Tick};

use super::tick_ring::TickRing;

/// Inputs that have arrived and wait for their tick, and what stands for those that have not.
#[derive(Clone, Debug)]
pub(crate) struct InputQueue {
    policy: MissingInput,
    waiting: TickRing<i32>,
    /// What the last step was made with: its own input, or what stood for it.
    last_used: Vec<i32>,
    newest: Option<Tick>,
    /// Its input.
    newest_given: Vec<i32>,
    /// How many ticks before its step the newest input came.
    margin_ticks: i8,
    /// The least of those that have come since the last feedback.
    least_margin: Option<i8>,
    /// Bit `n`: the step `n` before the last one was made without its own input.
    substituted: u32,
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
    /// Steps made without their own input because it was not there; those before the first one do not count.
    pub substituted: u64,
}

impl InputQueue {
    pub(crate) fn new(kind: &Kind, policy: MissingInput) -> Self {
        let columns = kind.column_count();
        let mut last_used = vec![0; columns];
        RowMut::new(kind, &mut last_used).reset();
        Self {
            policy,
            waiting: TickRing::new(columns, 0),
            newest_given: last_used.clone(),
            last_used,
            newest: None,
            margin_ticks: 0,
            least_margin: None,
            substituted: 0,
            counters: InputCounters::default(),
        }
    }

    /// Takes in the input for `tick`, where `next` is the tick that will be stepped next. Whether somebody plays: it is newer than all before it,
    /// and another. The first is compared with an input of nothing.
    pub(crate) fn push(&mut self, next: Tick, tick: Tick, values: &[i32]) -> Result<bool, Misbehavior> {
        let ahead = tick.since(next);
        if ahead > INPUT_AHEAD_TICKS_MAX as i32 {
            return Err(Misbehavior::FutureInput(ahead));
        }
        let is_newest = self.newest.is_none_or(|newest| tick.is_newer_than(newest));
        let is_another = is_newest && self.newest_given != values;
        if is_newest {
            self.newest = Some(tick);
            self.newest_given.copy_from_slice(values);
            let margin = ahead.clamp((*MARGIN_TICKS.start()).into(), (*MARGIN_TICKS.end()).into()) as i8;
            self.margin_ticks = margin;
            self.least_margin = Some(self.least_margin.map_or(margin, |least| least.min(margin)));
        }
        if ahead < 0 {
            self.counters.late += 1;
        } else if !self.waiting.insert(next, tick, values) {
            self.counters.repeated += 1;
        }
        Ok(is_another)
    }

    /// The input for the step of `tick`: its own, or what stands for it.
    pub(crate) fn take(&mut self, kind: &Kind, tick: Tick) -> &[i32] {
        let input = self.waiting.take(tick);
        self.substituted = self.substituted << 1 | u32::from(input.is_none());
        if let Some(input) = input {
            self.last_used.copy_from_slice(input);
            self.counters.on_time += 1;
        } else {
            self.policy.substitute(kind, &mut self.last_used);
            self.counters.substituted += u64::from(self.newest.is_some());
        }
        &self.last_used
    }

    /// Another connection, another clock: nothing of the one before stands for what comes now.
    pub(crate) fn restart(&mut self, kind: &Kind) {
        self.waiting.clear();
        (self.newest, self.least_margin, self.substituted) = (None, None, 0);
        RowMut::new(kind, &mut self.last_used).reset();
        self.newest_given.copy_from_slice(&self.last_used);
    }

    /// Nobody gives inputs for now.
    pub(crate) fn rest(&mut self) {
        self.waiting.reset();
    }

    /// What the player is told with the tick that was stepped last, once an input has come.
    pub(crate) fn take_feedback(&mut self) -> Option<Feedback> {
        let newest_input = Some(self.newest?);
        let margin_ticks = self.least_margin.take().unwrap_or(self.margin_ticks);
        Some(Feedback { newest_input, margin_ticks, substituted: self.substituted })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use tickwire_protocol::Schema;
    use tickwire_protocol::schema::{Field, FieldId, FieldType};

    fn schema() -> Arc<Schema> {
        let fields = [
            Field::new(FieldId(0), "n", FieldType::integer(0..=100)),
            Field::new(FieldId(1), "jump", FieldType::boolean()).momentary(),
        ];
        Schema::builder("i").input(fields).build().unwrap()
    }

    struct Queue {
        queue: InputQueue,
        schema: Arc<Schema>,
    }

    impl Queue {
        fn new(policy: MissingInput) -> Self {
            let schema = schema();
            Self { queue: InputQueue::new(schema.input(), policy), schema }
        }

        fn push(&mut self, next: Tick, tick: Tick, n: i32) -> Result<bool, Misbehavior> {
            self.queue.push(next, tick, &[n, 1])
        }

        fn take(&mut self, tick: Tick) -> Vec<i32> {
            self.queue.take(self.schema.input(), tick).to_vec()
        }
    }

    #[test]
    fn inputs_wait_for_their_tick_across_the_wrap() {
        let mut queue = Queue::new(MissingInput::Hold);
        let first = Tick(u32::MAX);
        for step in (0..10).rev() {
            queue.push(first, first + step, step as i32 + 1).unwrap();
        }
        for step in 0..10 {
            assert_eq!(queue.take(first + step), [step as i32 + 1, 1]);
        }
        assert_eq!(queue.queue.counters, InputCounters { on_time: 10, ..Default::default() });
        let told = queue.queue.take_feedback();
        assert_eq!(told, Some(Feedback { newest_input: Some(first + 9), margin_ticks: 9, substituted: 0 }));
    }

    #[test]
    fn a_missing_input_is_replaced_as_the_room_wants() {
        for (policy, stands) in
            [(MissingInput::Repeat, [7, 1]), (MissingInput::Hold, [7, 0]), (MissingInput::Neutral, [0, 0])]
        {
            let mut queue = Queue::new(policy);
            assert_eq!(queue.take(Tick(1)), [0, 0], "before the first, nothing is pressed");
            queue.push(Tick(2), Tick(2), 7).unwrap();
            assert_eq!(queue.take(Tick(2)), [7, 1]);
            assert_eq!(queue.take(Tick(3)), stands);
            queue.push(Tick(4), Tick(3), 9).unwrap();
            assert_eq!(queue.take(Tick(4)), stands, "late is late");
            queue.push(Tick(5), Tick(5), 3).unwrap();
            assert_eq!(queue.take(Tick(5)), [3, 1]);
            let counters = InputCounters { on_time: 2, late: 1, repeated: 0, substituted: 2 };
            assert_eq!(queue.queue.counters, counters);
            assert_eq!(queue.queue.take_feedback().map(|told| told.substituted), Some(0b10110));
        }
    }

    #[test]
    fn the_margin_told_is_the_least_since_it_was_told_last() {
        let mut queue = Queue::new(MissingInput::Hold);
        assert_eq!(queue.queue.take_feedback(), None);
        for (tick, next) in [(10, 6), (11, 10), (12, 7)] {
            queue.push(Tick(next), Tick(tick), 1).unwrap();
        }
        let margin = |queue: &mut Queue| queue.queue.take_feedback().map(|told| told.margin_ticks);
        assert_eq!(margin(&mut queue), Some(1));
        assert_eq!(margin(&mut queue), Some(5), "of the newest, as none has come since");
        queue.push(Tick(500), Tick(13), 1).unwrap();
        assert_eq!(margin(&mut queue), Some(-64), "too late by more than can be told");
    }

    #[test]
    fn time_travel_is_refused_and_leaves_no_trace() {
        let mut queue = Queue::new(MissingInput::Hold);
        let limit = INPUT_AHEAD_TICKS_MAX;
        queue.push(Tick(10), Tick(10) + limit, 1).unwrap();
        let far = limit as i32 + 1;
        assert_eq!(queue.push(Tick(10), Tick(11) + limit, 2), Err(Misbehavior::FutureInput(far)));
        assert_eq!(queue.queue.newest, Some(Tick(10) + limit));
        queue.push(Tick(10), Tick(10) + limit, 3).unwrap();
        assert_eq!(queue.take(Tick(10) + limit), [1, 1], "the first copy counts");
        assert_eq!(queue.queue.counters.repeated, 1);
    }

    #[test]
    fn what_is_given_anew_counts_and_what_is_given_again_does_not() {
        let mut queue = Queue::new(MissingInput::Hold);
        let given = [(1, 4, true), (2, 4, false), (3, 5, true), (2, 9, false), (3, 9, false), (5, 5, false)];
        for (tick, n, is_another) in given {
            assert_eq!(queue.push(Tick(1), Tick(tick), n), Ok(is_another), "{n} for {tick}");
        }
    }
}
