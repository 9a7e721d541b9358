//! The cues of one step.

use tickwire_protocol::limits::{COLUMNS_PER_CUE_MAX, CUES_PER_TICK_MAX};
use tickwire_protocol::{Cue, CueId, EntityId, RowMut, Schema, Tick};

/// What a step has emitted so far.
#[derive(Clone, Debug)]
pub(crate) struct Cues {
    emitted: Vec<Cue>,
    /// Where a cue goes that is one too many.
    spare: Cue,
    dropped: u32,
}

impl Cues {
    pub(crate) fn new() -> Self {
        let spare =
            Cue { tick: Tick(0), id: CueId(0), source: None, nth: 0, values: [0; COLUMNS_PER_CUE_MAX] };
        Self { emitted: Vec::with_capacity(CUES_PER_TICK_MAX), spare, dropped: 0 }
    }

    pub(crate) fn clear(&mut self) {
        self.emitted.clear();
        self.dropped = 0;
    }

    pub(crate) fn emitted(&self) -> &[Cue] {
        &self.emitted
    }

    pub(crate) fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Adds a cue of this tick and gives its values to write.
    pub(crate) fn emit<'a>(
        &'a mut self,
        schema: &'a Schema,
        tick: Tick,
        id: CueId,
        source: Option<EntityId>,
    ) -> RowMut<'a> {
        let kind = schema.cue(id);
        let nth = self.emitted.iter().filter(|cue| cue.source == source).count() as u8;
        let cue = Cue { tick, id, source, nth, values: [0; COLUMNS_PER_CUE_MAX] };
        let slot = if self.emitted.len() < CUES_PER_TICK_MAX {
            self.emitted.push(cue);
            self.emitted.last_mut().unwrap_or(&mut self.spare)
        } else {
            self.dropped += 1;
            &mut self.spare
        };
        let mut row = RowMut::new(kind, &mut slot.values);
        row.reset();
        row
    }
}
