//! A room's recording: what the room publishes and its players want, as bytes for whoever has a disk.

use std::io;

use bytes::Bytes;
use tickwire_protocol::history::{History, Published};
use tickwire_protocol::recording::{Recorder, RecorderOptions, RecordingHeader};
use tickwire_protocol::snapshot::Codec;
use tickwire_protocol::{Cue, EntityId};
use tickwire_sim::PlayerInputs;

/// Records a room into a buffer that is taken away now and then.
#[derive(Debug)]
pub(crate) struct RoomRecording {
    recorder: Recorder<Vec<u8>>,
    hz: u32,
    row: Vec<i32>,
    /// Why nothing more is recorded.
    error: Option<io::Error>,
}

/// What a step has brought.
pub(crate) struct Stepped<'a> {
    /// Steps of the room so far, this one included.
    pub(crate) steps: u64,
    pub(crate) inputs: &'a PlayerInputs,
    pub(crate) cues: &'a [Cue],
    pub(crate) history: &'a History,
    pub(crate) payload_of: &'a dyn Fn(EntityId) -> Option<Bytes>,
}

impl RoomRecording {
    pub(crate) fn new(header: &RecordingHeader, codec: Codec) -> io::Result<Self> {
        let recorder = Recorder::new(Vec::new(), header, codec, RecorderOptions::new(header))?;
        Ok(Self { recorder, hz: header.snapshot_hz, row: Vec::new(), error: None })
    }

    /// A step was made and published. Whether its tick is in the recording, so that later ones may name it.
    pub(crate) fn step(&mut self, step: &Stepped<'_>) -> bool {
        if self.error.is_some() {
            return false;
        }
        self.record(step).unwrap_or_else(|error| {
            self.error = Some(error);
            false
        })
    }

    fn record(&mut self, step: &Stepped<'_>) -> io::Result<bool> {
        let Some(tick) = step.history.newest().map(Published::tick) else {
            return Ok(false);
        };
        let writer = self.recorder.events();
        step.inputs.left().iter().try_for_each(|player| writer.left(tick, *player))?;
        step.inputs.joined().iter().try_for_each(|player| writer.joined(tick, *player))?;
        for (player, row) in step.inputs.iter() {
            self.row.resize(row.kind().column_count(), 0);
            row.copy_to(&mut self.row);
            writer.input(tick, player, &self.row)?;
        }
        self.recorder.cues(step.cues);
        let is_recorded = is_turn(step.steps, self.hz, step.history.rate().hz());
        if is_recorded {
            self.recorder.record(step.history, step.payload_of)?;
        }
        Ok(is_recorded)
    }

    /// Swaps what was recorded for the empty `spare`. An error is the end of the recording.
    pub(crate) fn take(&mut self, spare: Vec<u8>) -> io::Result<Vec<u8>> {
        match self.error.take() {
            Some(error) => Err(error),
            None => Ok(core::mem::replace(self.recorder.events().get_mut(), spare)),
        }
    }

    /// The last bytes, with the index.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self.error {
            Some(error) => Err(error),
            None => self.recorder.finish(),
        }
    }
}

/// Whether something that happens `hz` times a second has its turn at this step: evenly, whether or not the rates divide.
pub(crate) fn is_turn(steps: u64, hz: u32, tick_hz: u32) -> bool {
    let turns = |steps: u64| steps * u64::from(hz) / u64::from(tick_hz);
    turns(steps) != turns(steps - 1)
}
