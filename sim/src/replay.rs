//! A recording as a simulation: a room that runs it publishes what was published then, to whoever watches.

use std::collections::VecDeque;
use std::io::{Read, Seek};
use std::sync::Arc;

use tickwire_protocol::limits::COLUMNS_PER_KIND_MAX;
use tickwire_protocol::recording::{RecordingError, RecordingPlayer};
use tickwire_protocol::schema::Sight;
use tickwire_protocol::{Cue, KindId, RowHead, Schema, Tables, Tick};

use crate::context::StepContext;
use crate::simulation::Simulation;

/// How a recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplayOptions {
    /// The first recorded tick to be shown; the newest one before it where it was not recorded.
    pub from: Tick,
    /// Whether it begins anew at its end. Otherwise the last state stands still.
    pub repeats: bool,
    /// Recorded steps in a step: above 1 where the tick rate cannot be as high as the wanted speed.
    pub stride: f64,
}

/// Shows recorded states, each from its tick on, under the ids that they had.
///
/// Players may join, but have no entity, and their inputs do nothing. Rows belong to nobody: so nobody is told the
/// owner's fields, as everyone who only watches. Where the recording is damaged, the last state before stands still.
pub struct Replay<R> {
    player: RecordingPlayer<R>,
    schema: Arc<Schema>,
    options: ReplayOptions,
    /// The recorded tick that is decoded and not shown yet; nothing once the last one is shown.
    ahead: Option<Tick>,
    /// Cues of decoded ticks that are not emitted yet.
    cues: VecDeque<Cue>,
    /// The recorded tick of the first step of this pass, and steps since then.
    start: Tick,
    steps: u32,
    /// Passes begun, and of which one the shown state is; 0 before there is one.
    passes: u64,
    shown_pass: u64,
    shown: Tables,
    jumps: Jumps,
}

/// Which of the shown rows have jumped in this very step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Jumps {
    None,
    /// Those that are marked.
    Marked,
    /// All: between the end and the beginning nothing moves.
    All,
}

impl<R: Read + Seek + Send> Replay<R> {
    /// Goes to where it is to start. Nothing if no tick of the recording can be read.
    pub fn new(
        mut player: RecordingPlayer<R>,
        options: ReplayOptions,
    ) -> Result<Option<Self>, RecordingError> {
        let Some(first) = player.seek(options.from)? else { return Ok(None) };
        let schema = player.header().schema.clone();
        let mut replay = Self {
            shown: Tables::new(schema.clone()),
            player,
            schema,
            options,
            ahead: None,
            cues: VecDeque::new(),
            start: first,
            steps: 0,
            passes: 0,
            shown_pass: 0,
            jumps: Jumps::None,
        };
        replay.begin(first);
        Ok(Some(replay))
    }

    /// The tick that the first step is to have, for a room that shows every recorded tick under its own number: its first
    /// snapshot then falls on the first one shown.
    pub fn first_tick(&self) -> Tick {
        self.start
    }

    /// A pass begins with this recorded tick, which the player has reached. It is shown once the state before it has
    /// stood for as long as all others.
    fn begin(&mut self, first: Tick) {
        let header = self.player.header();
        let interval = header.tick_rate.hz().div_ceil(header.snapshot_hz);
        self.ahead = Some(first);
        (self.start, self.steps) = (first - (interval - 1), 0);
        self.passes += 1;
        // Cues from before are of states that are not shown.
        self.cues.clear();
        self.cues.extend(self.player.cues().iter().filter(|cue| cue.tick == first));
    }

    /// Decodes the next recorded tick; at the end, the first one again if it is to be repeated. A file that cannot be
    /// read any more has ended.
    fn look_ahead(&mut self) {
        self.ahead = self.player.advance().ok().flatten();
        if self.ahead.is_some() {
            self.cues.extend(self.player.cues());
        } else if self.options.repeats
            && let Ok(Some(first)) = self.player.seek(self.options.from)
        {
            self.begin(first);
        }
    }

    /// Shows what is decoded.
    fn show(&mut self, ctx: &mut StepContext<'_>) {
        self.shown.copy_from(self.player.tables(Sight::Public));
        for (kind, table) in self.shown.iter() {
            let kind = KindId(kind.index());
            for head in table.heads() {
                if ctx.kind(head.id) != Some(kind) {
                    let payload = self.player.payload(head.id).cloned().unwrap_or_default();
                    ctx.place(kind, head.id, payload);
                }
            }
        }
        let is_seam = self.shown_pass > 0 && self.shown_pass != self.passes;
        self.jumps = if is_seam { Jumps::All } else { Jumps::Marked };
        self.shown_pass = self.passes;
    }

    fn emit_cues(&mut self, now: Tick, ctx: &mut StepContext<'_>) {
        while self.cues.front().is_some_and(|cue| !cue.tick.is_newer_than(now))
            && let Some(cue) = self.cues.pop_front()
        {
            ctx.cue(cue.id, cue.source).copy_from(&cue.values);
        }
    }
}

impl<R: Read + Seek + Send> Simulation for Replay<R> {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn start(&mut self, ctx: &mut StepContext<'_>) {
        // Nothing stands before the first state: it is there from the first step on.
        self.show(ctx);
    }

    fn step(&mut self, ctx: &mut StepContext<'_>) {
        let now = self.start + (f64::from(self.steps) * self.options.stride) as u32;
        self.steps += 1;
        self.jumps = Jumps::None;
        self.emit_cues(now, ctx);
        let pass = self.passes;
        while self.passes == pass && self.ahead.is_some_and(|tick| !tick.is_newer_than(now)) {
            self.show(ctx);
            self.look_ahead();
            if self.passes == pass {
                self.emit_cues(now, ctx);
            }
        }
    }

    fn save(&self, out: &mut Tables) {
        let mut values = [0; COLUMNS_PER_KIND_MAX];
        for (kind, table) in self.shown.iter() {
            for (index, head) in table.heads().iter().enumerate() {
                let has_jumped = match self.jumps {
                    Jumps::None => false,
                    Jumps::Marked => head.teleported,
                    Jumps::All => true,
                };
                table.row(kind, index).copy_to(&mut values);
                let head = RowHead::new(head.id).teleported(has_jumped);
                out.insert(KindId(kind.index()), head).copy_from(&values);
            }
        }
    }

    fn load(&mut self, tables: &Tables) {
        // What is shown comes from the file.
        let _ = tables;
    }
}
