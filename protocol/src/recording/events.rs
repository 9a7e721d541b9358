//! What happened beside the state: players that came and went, their inputs, and whose entities are whose.
//!
//! ```text
//!  tick: 32 | events: 1 | ticks since the event before: gamma | kind: 2 | ... | 0
//!    0 joined, 1 left:  player: 32
//!    2 input:           steps from the last player of this tick, less one: gamma | row as in an INPUT frame
//!    3 entity:          id: 32 | owner: 1 [32] | teams: 1 [32] | payload: 1 [length - 1: 8 | bytes]
//! ```
//!
//! An input's row is told against the last one of the same player since the SYNC, or against the reset row.

use core::ops::Range;
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::bits::{BitReader, BitWriter};
use crate::fault::DecodeError;
use crate::ids::{EntityId, PlayerId};
use crate::input;
use crate::limits::{
    RECORDING_EVENTS_PER_RECORD_MAX, RECORDING_EVENTS_PER_TICK_MAX, RECORDING_PLAYERS_MAX,
    SPAWN_PAYLOAD_BYTES_MAX,
};
use crate::schema::Kind;
use crate::time::Tick;

/// Something that happened in a tick.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Event {
    /// A player is present from this tick on.
    Joined {
        /// The step.
        tick: Tick,
        /// Who.
        player: PlayerId,
    },
    /// A player is no longer present from this tick on.
    Left {
        /// The step.
        tick: Tick,
        /// Who.
        player: PlayerId,
    },
    /// What a player wanted in this tick.
    Input {
        /// The step.
        tick: Tick,
        /// Who.
        player: PlayerId,
        /// Where the columns are; see [`Events::input`].
        row: Range<usize>,
    },
    /// What the rows of an entity do not tell of it: said when it is first recorded, and when it changes.
    Entity {
        /// The recorded tick.
        tick: Tick,
        /// Which entity.
        entity: EntityId,
        /// Whose it is.
        owner: Option<PlayerId>,
        /// The teams that see its team's fields.
        teams: u32,
        /// What it was spawned with; empty for nothing.
        payload: Bytes,
    },
}

impl Event {
    /// When it happened.
    pub fn tick(&self) -> Tick {
        match *self {
            Self::Joined { tick, .. }
            | Self::Left { tick, .. }
            | Self::Input { tick, .. }
            | Self::Entity { tick, .. } => tick,
        }
    }
}

/// Events in the order in which they happened. Reused: it keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct Events {
    list: Vec<Event>,
    /// The columns of all inputs.
    values: Vec<i32>,
}

impl Events {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Event> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The columns of an input's row.
    pub fn input(&self, row: &Range<usize>) -> &[i32] {
        self.values.get(row.clone()).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.values.clear();
    }

    pub(super) fn push(&mut self, event: Event) {
        self.list.push(event);
    }

    /// Adds an input, clamped to the bounds of its columns.
    pub(super) fn push_input(&mut self, tick: Tick, player: PlayerId, kind: &Kind, row: &[i32]) {
        let start = self.values.len();
        let within =
            kind.columns().iter().zip(row).map(|(column, value)| (*value).clamp(column.min, column.max));
        self.values.extend(within);
        self.values.extend(kind.columns().iter().skip(row.len()).map(input::reset));
        self.list.push(Event::Input { tick, player, row: start..self.values.len() });
    }
}

/// The last input of each player since the SYNC: kept alike by writer and reader.
#[derive(Clone, Debug, Default)]
pub(super) struct LastInputs {
    /// Counts SYNCs, so that memory is kept over them.
    epoch: u32,
    of_players: BTreeMap<PlayerId, (u32, Vec<i32>)>,
}

impl LastInputs {
    /// A SYNC: nothing from before counts.
    pub(super) fn sync(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
    }

    fn forget(&mut self, player: PlayerId) {
        self.of_players.remove(&player);
    }

    /// The last row of a player, the reset row if there is none; nothing if too many players are remembered.
    fn row(&mut self, player: PlayerId, kind: &Kind) -> Option<&mut Vec<i32>> {
        if !self.of_players.contains_key(&player) && self.of_players.len() >= RECORDING_PLAYERS_MAX {
            let epoch = self.epoch;
            self.of_players.retain(|_, (since, _)| *since == epoch);
            if self.of_players.len() >= RECORDING_PLAYERS_MAX {
                return None;
            }
        }
        let (since, row) =
            self.of_players.entry(player).or_insert_with(|| (self.epoch.wrapping_sub(1), Vec::new()));
        if *since != self.epoch {
            *since = self.epoch;
            row.clear();
            row.extend(kind.columns().iter().map(input::reset));
        }
        Some(row)
    }
}

/// Where we are in a list of events: what the next one is told against.
#[derive(Clone, Copy)]
struct Place {
    tick: Tick,
    player: u32,
}

impl Place {
    fn new(tick: Tick) -> Self {
        Self { tick, player: u32::MAX }
    }

    fn after(self, ticks: u32) -> Self {
        if ticks > 0 { Self::new(self.tick + ticks) } else { self }
    }
}

/// Appends the payload of an EVENTS record. Inputs of more players than can be remembered, and second ones of a player in
/// a tick, are left out.
pub(super) fn write(events: &Events, inputs: &mut LastInputs, kind: &Kind, out: &mut Vec<u8>) {
    let Some(first) = events.list.first() else { return };
    let mut w = BitWriter::new(out);
    w.bits(first.tick().0, 32);
    let mut place = Place::new(first.tick());
    for event in &events.list {
        let ticks = event.tick().since(place.tick).max(0) as u32;
        let here = place.after(ticks);
        if let Event::Input { player, row, .. } = event {
            let steps = player.0.wrapping_sub(here.player);
            let Some(last) = inputs.row(*player, kind).filter(|_| steps > 0) else { continue };
            write_start(&mut w, ticks, 2);
            w.gamma(steps - 1);
            let row = events.input(row);
            input::write_row(&mut w, kind, Some(last), row);
            last.copy_from_slice(row);
            place = Place { player: player.0, ..here };
            continue;
        }
        place = here;
        match event {
            Event::Joined { player, .. } => {
                write_start(&mut w, ticks, 0);
                w.bits(player.0, 32);
            }
            Event::Left { player, .. } => {
                inputs.forget(*player);
                write_start(&mut w, ticks, 1);
                w.bits(player.0, 32);
            }
            Event::Entity { entity, owner, teams, payload, .. } => {
                write_start(&mut w, ticks, 3);
                w.bits(entity.pack(), 32);
                write_word_if(&mut w, owner.map(|player| player.0));
                write_word_if(&mut w, (*teams != 0).then_some(*teams));
                let payload = &payload[..payload.len().min(SPAWN_PAYLOAD_BYTES_MAX)];
                w.flag(!payload.is_empty());
                if !payload.is_empty() {
                    w.bits(payload.len() as u32 - 1, 8);
                    w.bytes(payload);
                }
            }
            Event::Input { .. } => {}
        }
    }
    w.flag(false);
    w.finish();
}

fn write_start(w: &mut BitWriter<'_>, ticks: u32, kind: u32) {
    w.flag(true);
    w.gamma(ticks);
    w.bits(kind, 2);
}

const WHAT: &str = "events";

/// Adds the events of a record's payload to `out`.
pub(super) fn read(
    payload: &[u8],
    inputs: &mut LastInputs,
    kind: &Kind,
    out: &mut Events,
) -> Result<(), DecodeError> {
    let mut r = BitReader::new(payload);
    let mut place = Place::new(Tick(r.bits(32, WHAT)?));
    let mut count = 0;
    while r.flag(WHAT)? {
        count += 1;
        let limit = RECORDING_EVENTS_PER_RECORD_MAX as u64;
        if count > limit || out.len() >= RECORDING_EVENTS_PER_TICK_MAX {
            return Err(DecodeError::TooLarge { what: WHAT, value: count, limit });
        }
        place = place.after(r.gamma(WHAT)?);
        let tick = place.tick;
        match r.bits(2, WHAT)? {
            0 => out.push(Event::Joined { tick, player: PlayerId(r.bits(32, WHAT)?) }),
            1 => {
                let player = PlayerId(r.bits(32, WHAT)?);
                inputs.forget(player);
                out.push(Event::Left { tick, player });
            }
            2 => {
                place.player = place.player.wrapping_add(r.gamma(WHAT)?).wrapping_add(1);
                let player = PlayerId(place.player);
                let limit = RECORDING_PLAYERS_MAX as u64;
                let too_many = DecodeError::TooLarge { what: "players", value: limit + 1, limit };
                let last = inputs.row(player, kind).ok_or(too_many)?;
                input::read_row(&mut r, kind, last)?;
                out.push_input(tick, player, kind, last);
            }
            _ => out.push(read_entity(&mut r, tick)?),
        }
    }
    r.finish(WHAT)
}

fn read_entity(r: &mut BitReader<'_>, tick: Tick) -> Result<Event, DecodeError> {
    let word = r.bits(32, WHAT)?;
    let invalid = DecodeError::Invalid { what: "entity of an event", value: u64::from(word) };
    let entity = EntityId::from_wire(word as u16, (word >> 16) as u16).ok_or(invalid)?;
    let owner = read_word_if(r)?.map(PlayerId);
    let teams = read_word_if(r)?.unwrap_or(0);
    let mut payload = Vec::new();
    if r.flag(WHAT)? {
        let len = r.bits(8, WHAT)? + 1;
        for _ in 0..len {
            payload.push(r.bits(8, WHAT)? as u8);
        }
    }
    Ok(Event::Entity { tick, entity, owner, teams, payload: payload.into() })
}

fn write_word_if(w: &mut BitWriter<'_>, word: Option<u32>) {
    w.flag(word.is_some());
    if let Some(word) = word {
        w.bits(word, 32);
    }
}

fn read_word_if(r: &mut BitReader<'_>) -> Result<Option<u32>, DecodeError> {
    if r.flag(WHAT)? { r.bits(32, WHAT).map(Some) } else { Ok(None) }
}
