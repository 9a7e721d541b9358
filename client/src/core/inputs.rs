//! The player's inputs on their way out: the newest of them, which were sent, and which the server has.

use tickwire_protocol::handshake::StreamKind;
use tickwire_protocol::input::InputFrame;
use tickwire_protocol::limits::{INPUT_AHEAD_TICKS_MAX, INPUTS_PER_FRAME_MAX};
use tickwire_protocol::schema::Kind;
use tickwire_protocol::{RowMut, Tick, TickTime};

/// Bytes of a message that are not input rows: headers, a ping, an ack.
const OVERHEAD_BYTES: usize = 96;

/// Inputs are never this far ahead of what is due: if they seem to be, the server's time was set back.
pub(crate) const SET_BACK_TICKS: i32 = INPUT_AHEAD_TICKS_MAX as i32;

/// The newest inputs, tick by tick.
#[derive(Clone, Debug)]
pub(crate) struct Inputs {
    stream: StreamKind,
    /// As many as a frame can hold, oldest first; what is not needed any more is kept.
    recent: InputFrame,
    /// The newest that was sent.
    sent: Option<Tick>,
    /// The newest that the server has.
    received: Option<Tick>,
    /// Ticks from one frame to the next.
    interval: u32,
    /// Rows in one frame, at most.
    rows_max: usize,
    /// Per tick, modulo their number: what the player was shown when it gave the input.
    views: [TickTime; INPUTS_PER_FRAME_MAX],
    row: Vec<i32>,
    frame: InputFrame,
}

impl Inputs {
    /// No inputs yet. A frame is to go every `interval` ticks, to hold at most `rows_max` rows and to fit a message of
    /// `message_bytes`.
    pub(crate) fn new(
        kind: &Kind,
        stream: StreamKind,
        interval: u32,
        rows_max: usize,
        message_bytes: usize,
    ) -> Self {
        let row_bits =
            1 + kind.fields().len() + kind.columns().iter().map(|c| c.bits as usize).sum::<usize>();
        let fitting = message_bytes.saturating_sub(OVERHEAD_BYTES) * 8 / row_bits;
        let rows_max = rows_max.min(fitting).max(1);
        Self {
            stream,
            recent: InputFrame::new(),
            sent: None,
            received: None,
            interval: interval.clamp(1, rows_max as u32),
            rows_max,
            views: [TickTime::default(); INPUTS_PER_FRAME_MAX],
            row: Vec::new(),
            frame: InputFrame::new(),
        }
    }

    /// Ticks from one frame to the next.
    pub(crate) fn interval(&self) -> u32 {
        self.interval
    }

    /// How many ticks may be sampled at once after a pause.
    pub(crate) fn catch_up(&self) -> u32 {
        self.rows_max as u32
    }

    /// The newest tick that has an input.
    pub(crate) fn newest(&self) -> Option<Tick> {
        self.recent.newest()
    }

    /// The newest inputs, oldest first.
    pub(crate) fn recent(&self) -> impl Iterator<Item = (Tick, &[i32])> {
        self.recent.rows()
    }

    /// The newest tick of the next frame, if inputs go on as they should.
    pub(crate) fn next_frame(&self) -> Option<Tick> {
        match (self.sent, self.recent.newest()) {
            (Some(sent), _) => Some(sent + self.interval),
            (None, Some(newest)) => Some(newest + self.interval.saturating_sub(self.recent.len() as u32)),
            (None, None) => None,
        }
    }

    /// Adds the input for a tick, as `fill` writes it for a player who is shown `view`; its columns. Nothing happens if the tick
    /// has one already.
    pub(crate) fn push(
        &mut self,
        kind: &Kind,
        tick: Tick,
        view: TickTime,
        fill: impl FnOnce(&mut RowMut<'_>),
    ) -> Option<&[i32]> {
        let newest = self.recent.newest();
        if newest.is_some_and(|newest| (0..SET_BACK_TICKS).contains(&newest.since(tick))) {
            return None;
        }
        if newest.is_some_and(|newest| tick != newest + 1) {
            // A pause, or another time altogether: nothing before it is of use.
            self.sent = None;
            self.received = None;
        }
        self.row.resize(kind.column_count(), 0);
        let mut row = RowMut::new(kind, &mut self.row);
        row.reset();
        fill(&mut row);
        self.recent.push(kind, tick, &self.row);
        self.views[place_of(tick)] = view;
        Some(&self.row)
    }

    /// The server has inputs up to this tick.
    pub(crate) fn handle_received(&mut self, newest: Tick) {
        let is_ours = self.sent.is_some_and(|sent| !newest.is_newer_than(sent));
        if is_ours && self.received.is_none_or(|received| newest.is_newer_than(received)) {
            self.received = Some(newest);
        }
    }

    /// The frame that is due: on an ordered stream what was not sent yet, on datagrams what has not arrived yet.
    pub(crate) fn take_frame(&mut self, kind: &Kind) -> Option<&mut InputFrame> {
        let newest = self.recent.newest()?;
        let unsent = self.sent.map_or(self.recent.len() as i32, |sent| newest.since(sent));
        if unsent < self.interval as i32 {
            return None;
        }
        let is_resending = self.stream == StreamKind::Datagram;
        let settled = if is_resending { self.received } else { self.sent };
        let rows = settled.map_or(self.recent.len(), |settled| newest.since(settled).max(1) as usize);
        let rows = rows.min(self.recent.len());
        let skipped = self.recent.len() - rows;
        // What does not fit: on datagrams the oldest do without, on an ordered stream the newest go next time.
        let dropped = if is_resending { rows.saturating_sub(self.rows_max) } else { 0 };
        self.frame.clear();
        for (tick, row) in self.recent.rows().skip(skipped + dropped).take(self.rows_max) {
            self.frame.push(kind, tick, row);
        }
        self.sent = self.frame.newest();
        self.frame.view = self.views[place_of(self.sent.unwrap_or_default())];
        Some(&mut self.frame)
    }
}

/// Where the view of a tick is; as many as a frame has rows are kept.
fn place_of(tick: Tick) -> usize {
    tick.0 as usize % INPUTS_PER_FRAME_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::schema::{Field, FieldId, FieldType, Schema};

    const VALUE: FieldId = FieldId(0);

    fn schema() -> std::sync::Arc<Schema> {
        Schema::builder("t")
            .input([Field::new(VALUE, "value", FieldType::integer(0..=1000))])
            .build()
            .unwrap()
    }

    fn push(inputs: &mut Inputs, ticks: impl IntoIterator<Item = u32>) {
        for tick in ticks {
            let view = TickTime { tick: Tick(tick) - 8, fraction: 0.5 };
            inputs.push(schema().input(), Tick(tick), view, |row| {
                row.set_integer(VALUE, tick as i32 & 511);
            });
        }
    }

    fn take(inputs: &mut Inputs) -> Vec<u32> {
        let frame = inputs.take_frame(schema().input());
        frame.map_or(Vec::new(), |frame| {
            let newest = frame.newest().unwrap();
            assert_eq!(frame.view, TickTime { tick: newest - 8, fraction: 0.5 }, "of the newest row");
            frame
                .rows()
                .map(|(tick, row)| {
                    assert_eq!(row, [tick.0 as i32 & 511]);
                    tick.0
                })
                .collect()
        })
    }

    fn inputs(stream: StreamKind, interval: u32, rows_max: usize) -> Inputs {
        Inputs::new(schema().input(), stream, interval, rows_max, 4096)
    }

    #[test]
    fn an_ordered_stream_gets_each_input_once() {
        let mut inputs = inputs(StreamKind::Ordered, 1, 32);
        assert_eq!(take(&mut inputs), []);
        push(&mut inputs, [10]);
        assert_eq!(take(&mut inputs), [10]);
        assert_eq!(take(&mut inputs), []);
        push(&mut inputs, [11, 12]);
        assert_eq!(take(&mut inputs), [11, 12]);
    }

    #[test]
    fn fewer_frames_take_more_ticks() {
        let mut inputs = inputs(StreamKind::Ordered, 3, 32);
        push(&mut inputs, [10]);
        assert_eq!((take(&mut inputs), inputs.next_frame()), (vec![], Some(Tick(12))));
        push(&mut inputs, [11, 12]);
        assert_eq!((take(&mut inputs), inputs.next_frame()), (vec![10, 11, 12], Some(Tick(15))));
    }

    #[test]
    fn datagrams_repeat_what_has_not_arrived() {
        let mut inputs = inputs(StreamKind::Datagram, 1, 4);
        push(&mut inputs, [u32::MAX - 1]);
        assert_eq!(take(&mut inputs), [u32::MAX - 1]);
        push(&mut inputs, [u32::MAX]);
        assert_eq!(take(&mut inputs), [u32::MAX - 1, u32::MAX]);
        inputs.handle_received(Tick(u32::MAX - 1));
        push(&mut inputs, [0]);
        assert_eq!(take(&mut inputs), [u32::MAX, 0]);
        push(&mut inputs, [1, 2, 3, 4]);
        assert_eq!(take(&mut inputs), [1, 2, 3, 4], "the newest that fit");
        inputs.handle_received(Tick(u32::MAX));
        inputs.handle_received(Tick(4));
        inputs.handle_received(Tick(99));
        push(&mut inputs, [5]);
        assert_eq!(take(&mut inputs), [5], "what was never sent cannot have arrived");
    }

    #[test]
    fn a_tick_has_one_input_and_a_pause_starts_anew() {
        let mut inputs = inputs(StreamKind::Ordered, 1, 8);
        push(&mut inputs, [10, 10, 11, 10]);
        assert_eq!(take(&mut inputs), [10, 11]);
        push(&mut inputs, [30, 31]);
        assert_eq!(take(&mut inputs), [30, 31]);
        push(&mut inputs, [u32::MAX - 40]);
        assert_eq!(take(&mut inputs), [u32::MAX - 40], "the server's time was set back");
    }

    #[test]
    fn large_inputs_go_in_several_frames() {
        let mut inputs = Inputs::new(schema().input(), StreamKind::Ordered, 1, 32, OVERHEAD_BYTES + 3);
        push(&mut inputs, 1..=3);
        assert_eq!(take(&mut inputs), [1, 2]);
        assert_eq!(take(&mut inputs), [3]);
        assert_eq!(take(&mut inputs), []);
    }
}
