//! From a recording back to tables, tick by tick.

use core::cell::RefCell;
use std::io::{Read, Seek};

use bytes::{Bytes, BytesMut};

use super::events::{self, LastInputs};
use super::{Content, Damage, Event, Events, Recording, RecordingError, RecordingHeader, Sections};
use crate::cue::Cue;
use crate::fault::DecodeError;
use crate::frame::{FrameType, split_frame};
use crate::ids::{EntityId, PlayerId};
use crate::limits::{COLUMNS_PER_KIND_MAX, RECORDING_FRAMES_PER_TICK_MAX};
use crate::schema::{Kind, KindId, Sight};
use crate::snapshot::replica::Track;
use crate::snapshot::{Codec, DecodedSnapshot, HeldState, HeldStates, References, Replica, StateLookup};
use crate::table::{RowHead, Tables};
use crate::time::Tick;

/// Damaged stretches that are remembered; more are only counted.
const DAMAGE_KEPT_MAX: usize = 256;

/// A state that a row of a frame named.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NamedState {
    /// Whether the row is in the owner's section.
    pub is_own: bool,
    /// The slot of the row's entity.
    pub slot: u16,
    /// The tick of the state.
    pub tick: Tick,
}

/// One SNAPSHOT frame of a recorded tick, as it was decoded.
#[derive(Clone, Copy, Debug)]
pub struct FrameReport<'a> {
    /// The recorded tick.
    pub tick: Tick,
    /// Where the tick's record begins in the file.
    pub offset: u64,
    /// Whether it belongs to a keyframe.
    pub is_keyframe: bool,
    /// Bytes of its payload.
    pub payload_bytes: usize,
    /// What it says.
    pub decoded: &'a DecodedSnapshot,
    /// The states that its rows named, in the order of the rows, the newest state of a row first.
    pub named: &'a [NamedState],
}

/// Plays a recording: every recorded tick as tables, with its cues and what happened since the one before.
///
/// What is damaged is left out up to the next keyframe, and [named](RecordingPlayer::damage).
#[derive(Debug)]
pub struct RecordingPlayer<R> {
    recording: Recording<R>,
    codec: Codec,
    replica: Replica,
    decoded: DecodedSnapshot,
    named: RefCell<Vec<NamedState>>,
    /// Whether the replica holds what the next frames name.
    state: State,
    tick: Option<Tick>,
    events: Events,
    inputs: LastInputs,
    /// Per slot.
    entities: Vec<Option<Note>>,
    exact: Tables,
    /// What everyone is told, kept apart only where the schema lets it stay behind.
    told: Option<Tables>,
    /// Per slot, while tables are filled: whether they have its row.
    taken: Vec<bool>,
    cues: Vec<Cue>,
    damage: Vec<Damage>,
    damage_count: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Nothing can be relied on until the next SYNC.
    Lost,
    /// Behind a SYNC or the start of the file, before the keyframe.
    Synced,
    Playing,
}

/// What was said of an entity beside its rows.
#[derive(Clone, Debug)]
struct Note {
    id: EntityId,
    owner: Option<PlayerId>,
    teams: u32,
    payload: Bytes,
}

impl<R: Read + Seek> RecordingPlayer<R> {
    /// Plays from the first recorded tick on.
    pub fn new(mut recording: Recording<R>) -> Result<Self, RecordingError> {
        recording.rewind();
        let codec = recording.header().codec()?;
        let schema = codec.schema().clone();
        let is_lazy = schema.kinds().iter().any(Kind::is_lazy);
        let exact = Tables::new(schema.clone());
        Ok(Self {
            recording,
            codec,
            replica: Replica::new(schema, 0),
            decoded: DecodedSnapshot::default(),
            named: RefCell::default(),
            state: State::Synced,
            tick: None,
            events: Events::default(),
            inputs: LastInputs::default(),
            entities: Vec::new(),
            told: is_lazy.then(|| exact.clone()),
            exact,
            taken: vec![false; 1 << 16],
            cues: Vec::new(),
            damage: Vec::new(),
            damage_count: 0,
        })
    }

    /// What the file says of itself.
    pub fn header(&self) -> &RecordingHeader {
        self.recording.header()
    }

    /// The file.
    pub fn recording(&mut self) -> &mut Recording<R> {
        &mut self.recording
    }

    /// Goes on to the next recorded tick; which one it is, or nothing at the end.
    pub fn advance(&mut self) -> Result<Option<Tick>, RecordingError> {
        self.advance_watched(|_| ())
    }

    /// As [`RecordingPlayer::advance`]; `watch` is shown every frame of the tick.
    pub fn advance_watched(
        &mut self,
        mut watch: impl FnMut(FrameReport<'_>),
    ) -> Result<Option<Tick>, RecordingError> {
        self.events.clear();
        let Self { recording, codec, replica, decoded, named, state, .. } = self;
        loop {
            let Some(record) = recording.next_record()? else { return Ok(None) };
            let what = match record.content {
                Content::Sync => {
                    *replica = Replica::new(codec.schema().clone(), 0);
                    self.inputs.sync();
                    self.entities.clear();
                    *state = State::Synced;
                    continue;
                }
                Content::Events(payload) if *state != State::Lost => {
                    let start = self.events.len();
                    let input = codec.schema().input();
                    let read = events::read(payload, &mut self.inputs, input, &mut self.events);
                    note_entities(&mut self.entities, self.events.iter().skip(start));
                    match read {
                        Ok(()) => continue,
                        Err(_) => "events are malformed",
                    }
                }
                Content::Snapshot { tick, keyframe, frames }
                    if *state == State::Playing || (*state == State::Synced && keyframe.is_some()) =>
                {
                    let is_newer = self.tick.is_none_or(|last| tick.is_newer_than(last));
                    let place = Place { tick, offset: record.offset, is_keyframe: *state == State::Synced };
                    let mut decoder = Decoder { codec, replica, decoded, named, cues: &mut self.cues };
                    let result = decoder.decode(place, frames, &mut watch);
                    let is_whole = !place.is_keyframe || keyframe == Some(replica.digest().0);
                    if is_newer && result.is_ok() && is_whole {
                        *state = State::Playing;
                        let before = self.tick.replace(tick);
                        self.fill_tables(before, tick);
                        return Ok(Some(tick));
                    }
                    if is_newer {
                        "a recorded tick is malformed"
                    } else {
                        "a recorded tick is older than one before"
                    }
                }
                Content::Damaged(what) => what,
                _ => continue,
            };
            *state = State::Lost;
            self.damage_count += 1;
            if self.damage.len() < DAMAGE_KEPT_MAX {
                self.damage.push(Damage { offset: record.offset, bytes: record.bytes, what });
            }
        }
    }

    /// Goes to the newest recorded tick that is not newer than `tick`, or to the first one; which one it is. Where that
    /// one is damaged, to the next that can be read. Nothing if none can.
    pub fn seek(&mut self, tick: Tick) -> Result<Option<Tick>, RecordingError> {
        if self.recording.seek(tick)?.is_none() {
            return Ok(None);
        }
        self.forget();
        let mut found = self.advance()?;
        // Looked ahead first: what is behind the wanted tick is left to the next advance.
        while let Some(next) = self.recording.peek_tick()?
            && !next.is_newer_than(tick)
            && let Some(reached) = self.advance()?
        {
            found = Some(reached);
        }
        Ok(found)
    }

    /// Goes back to before the first recorded tick.
    pub fn rewind(&mut self) {
        self.recording.rewind();
        self.forget();
        self.start();
    }

    /// The recorded tick that is shown.
    pub fn tick(&self) -> Option<Tick> {
        self.tick
    }

    /// The rows: with [`Sight::Own`] exactly as simulated, otherwise what everyone and every team is told. The two differ
    /// in kinds with a field that has a send rate or a threshold; there the owner's fields are 0 in the latter. A row
    /// counts as having jumped if it did since the recorded tick before.
    pub fn tables(&self, sight: Sight) -> &Tables {
        match (&self.told, sight) {
            (Some(told), Sight::Public | Sight::Team) => told,
            _ => &self.exact,
        }
    }

    /// What an entity was spawned with, if with something.
    pub fn payload(&self, entity: EntityId) -> Option<&Bytes> {
        let note = self.entities.get(usize::from(entity.slot))?.as_ref()?;
        Some(&note.payload).filter(|payload| note.id == entity && !payload.is_empty())
    }

    /// The cues since the recorded tick before.
    pub fn cues(&self) -> &[Cue] {
        &self.cues
    }

    /// What happened since the recorded tick before.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The rows as they were decoded.
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// The first damaged stretches that were met.
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// How many damaged stretches were met.
    pub fn damage_count(&self) -> u64 {
        self.damage_count
    }

    /// Nothing is held, and nothing that follows needs it: behind a SYNC, and at the start of the file, where what
    /// happened before the first recorded tick is told.
    fn start(&mut self) {
        self.replica = Replica::new(self.codec.schema().clone(), 0);
        self.inputs.sync();
        self.entities.clear();
        self.state = State::Synced;
    }

    fn forget(&mut self) {
        self.state = State::Lost;
        self.tick = None;
        self.exact.clear();
        if let Some(told) = &mut self.told {
            told.clear();
        }
        self.cues.clear();
        self.events.clear();
    }

    fn fill_tables(&mut self, before: Option<Tick>, tick: Tick) {
        let before = before.unwrap_or(tick - 1);
        let Self { codec, replica, entities, exact, told, taken, .. } = self;
        // A forged file may tell two rows of one slot; no table may hold both.
        taken.fill(false);
        let mut values = [0; COLUMNS_PER_KIND_MAX];
        exact.clear();
        if let Some(told) = told.as_mut() {
            told.clear();
        }
        let tracks =
            replica.own().map(|track| (true, track)).chain(replica.view().map(|track| (false, track)));
        for (is_own, track) in tracks {
            let kind = codec.schema().kind(track.kind());
            let sections = Sections::of(kind);
            let is_expected = if is_own { sections.own } else { sections.view };
            let is_second = !is_own && sections.own;
            let slot = usize::from(track.id().slot);
            if !is_expected || (taken[slot] && !is_second) {
                continue;
            }
            let head = head_of(track, entities, before);
            track.row(kind, track.samples().len().saturating_sub(1)).copy_to(&mut values);
            if !is_second {
                taken[slot] = true;
                exact.insert(track.kind(), head).copy_from(&values);
            }
            if let Some(told) = told.as_mut().filter(|_| !is_own || !sections.view) {
                told.insert(track.kind(), head).copy_from(&values);
            }
        }
        exact.finish();
        if let Some(told) = told {
            told.finish();
        }
    }
}

/// The head of a row; it jumped if it did behind `before`.
fn head_of(track: &Track, entities: &[Option<Note>], before: Tick) -> RowHead {
    let teleported = track.newest().and_then(|newest| newest.teleported);
    let head = RowHead::new(track.id()).teleported(teleported.is_some_and(|jump| jump.is_newer_than(before)));
    let note = entities.get(usize::from(head.id.slot)).and_then(Option::as_ref);
    match note.filter(|note| note.id == head.id) {
        Some(note) => RowHead { owner: note.owner, teams: note.teams, ..head },
        None => head,
    }
}

fn note_entities<'a>(entities: &mut Vec<Option<Note>>, events: impl Iterator<Item = &'a Event>) {
    for event in events {
        let Event::Entity { entity, owner, teams, payload, .. } = event else { continue };
        let slot = usize::from(entity.slot);
        if entities.len() <= slot {
            entities.resize(slot + 1, None);
        }
        entities[slot] = Some(Note { id: *entity, owner: *owner, teams: *teams, payload: payload.clone() });
    }
}

/// Which frames are decoded.
#[derive(Clone, Copy)]
struct Place {
    tick: Tick,
    offset: u64,
    is_keyframe: bool,
}

struct Decoder<'a> {
    codec: &'a Codec,
    replica: &'a mut Replica,
    decoded: &'a mut DecodedSnapshot,
    named: &'a RefCell<Vec<NamedState>>,
    cues: &'a mut Vec<Cue>,
}

impl Decoder<'_> {
    fn decode(
        &mut self,
        place: Place,
        frames: &[u8],
        watch: &mut impl FnMut(FrameReport<'_>),
    ) -> Result<(), DecodeError> {
        self.cues.clear();
        let what = "recorded tick";
        let mut rest = BytesMut::from(frames);
        let mut count = 0;
        while let Some(frame) = split_frame(&mut rest)? {
            count += 1;
            if count > RECORDING_FRAMES_PER_TICK_MAX {
                let limit = RECORDING_FRAMES_PER_TICK_MAX as u64;
                return Err(DecodeError::TooLarge { what, value: limit + 1, limit });
            }
            if frame.ty != FrameType::Snapshot {
                return Err(DecodeError::UnknownFrame(frame.ty as u8));
            }
            self.named.borrow_mut().clear();
            let states = Watched { replica: self.replica, named: self.named };
            let header = self.codec.read_snapshot(&frame.payload, place.tick, &states, self.decoded)?;
            if header.tick != place.tick {
                return Err(DecodeError::Invalid { what, value: u64::from(header.tick.0) });
            }
            self.replica.apply(self.decoded);
            self.cues.extend_from_slice(&self.decoded.cues);
            let Place { tick, offset, is_keyframe } = place;
            let payload_bytes = frame.payload.len();
            let named = &self.named.borrow();
            watch(FrameReport { tick, offset, is_keyframe, payload_bytes, decoded: self.decoded, named });
        }
        // Nobody asks who came and went: left alone, the list would grow.
        drop(self.replica.drain_changes());
        if rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(what)) }
    }
}

/// A replica that notes what it was asked for.
struct Watched<'a> {
    replica: &'a Replica,
    named: &'a RefCell<Vec<NamedState>>,
}

impl StateLookup for Watched<'_> {
    fn state(&self, is_own: bool, slot: u16, tick: Tick) -> Option<HeldState<'_>> {
        self.named.borrow_mut().push(NamedState { is_own, slot, tick });
        self.replica.state(is_own, slot, tick)
    }

    fn held_at(
        &self,
        kind: KindId,
        ticks: References,
        show: &mut dyn FnMut(&HeldStates<'_>) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.replica.held_at(kind, ticks, &mut |held| {
            let slot = held.newest.id.slot;
            // The first that was not found was asked for as well.
            let asked = ticks.ticks().take(held.count + 1);
            self.named.borrow_mut().extend(asked.map(|tick| NamedState { is_own: false, slot, tick }));
            show(held)
        })
    }
}
