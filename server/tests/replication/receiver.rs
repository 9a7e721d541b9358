//! A receiver with nothing but the protocol.

use std::collections::BTreeSet;

use bytes::Bytes;
use tickwire_protocol::ack::{Ack, AckWindow, Sequence};
use tickwire_protocol::frame::{FrameType, frames};
use tickwire_protocol::handshake::{StreamKind, Welcome};
use tickwire_protocol::schema::Sight;
use tickwire_protocol::snapshot::replica::Track;
use tickwire_protocol::snapshot::{Codec, DecodedSnapshot, Replica};
use tickwire_protocol::{Cue, DecodeError, EntityId, Micros, PeerId, PlayerId, Tick};
use tickwire_server::core::{Room, RoomConfig};

use crate::turmoil::schema;

/// A receiver with nothing but the protocol: decodes, applies, acks, and checks all it can.
pub(crate) struct Receiver {
    pub(crate) stream: StreamKind,
    pub(crate) peer: PeerId,
    pub(crate) codec: Codec,
    pub(crate) replica: Replica,
    pub(crate) decoded: DecodedSnapshot,
    pub(crate) window: AckWindow,
    pub(crate) applied: u16,
    /// Bytes of the largest snapshot.
    pub(crate) largest: usize,
    pub(crate) near: Tick,
    pub(crate) cues: BTreeSet<(u32, Option<EntityId>, u8)>,
    pub(crate) duplicate_cues: usize,
    pub(crate) digests: usize,
    pub(crate) unknown_states: usize,
}

impl Receiver {
    pub(crate) fn new(stream: StreamKind, peer: PeerId, config: &RoomConfig) -> Self {
        // On an ordered stream no more than the newest three states are named.
        let keep_ticks = if stream == StreamKind::Ordered { 0 } else { 128 };
        Self {
            stream,
            peer,
            codec: Codec::with(schema(), config.tick_rate, config.coder, config.prior.clone()),
            replica: Replica::new(schema(), keep_ticks),
            decoded: DecodedSnapshot::default(),
            window: AckWindow::new(),
            applied: 0,
            largest: 0,
            near: Tick(0),
            cues: BTreeSet::new(),
            duplicate_cues: 0,
            digests: 0,
            unknown_states: 0,
        }
    }

    /// Takes in a message; what it would answer, if anything.
    pub(crate) fn receive(&mut self, message: Bytes) -> Option<Vec<u8>> {
        let mut acks = false;
        for frame in frames(message) {
            let frame = frame.unwrap();
            match frame.ty {
                FrameType::Welcome => self.near = Welcome::decode(&frame.payload).unwrap().tick,
                FrameType::Snapshot => acks |= self.apply(&frame.payload),
                FrameType::Pong => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        let ack = match self.stream {
            StreamKind::Ordered => Ack::new(Sequence(self.applied.wrapping_sub(1))),
            StreamKind::Datagram => self.window.ack()?,
        };
        let mut out = Vec::new();
        ack.encode(&mut out);
        acks.then_some(out)
    }

    /// Takes in at once what the room has for it, and answers.
    pub(crate) fn poll(&mut self, room: &mut Room, now: Micros) {
        let mut messages = Vec::new();
        room.poll_transmit(now, self.peer, |message| messages.push(Bytes::copy_from_slice(message)));
        for message in messages {
            if let Some(answer) = self.receive(message) {
                room.handle_message(now, self.peer, Bytes::from(answer)).unwrap();
            }
        }
        self.check(room);
    }

    fn apply(&mut self, payload: &[u8]) -> bool {
        let near = self.replica.newest_tick().unwrap_or(self.near);
        let header = match self.codec.read_snapshot(payload, near, &self.replica, &mut self.decoded) {
            Ok(header) => header,
            Err(DecodeError::UnknownState { .. }) if self.stream == StreamKind::Datagram => {
                self.unknown_states += 1;
                return false;
            }
            Err(error) => panic!("{error}"),
        };
        if header.sequence.is_some_and(|sequence| self.window.insert(sequence)) {
            return false;
        }
        self.applied = self.applied.wrapping_add(1);
        self.largest = self.largest.max(payload.len());
        self.replica.apply(&self.decoded);
        for cue in &self.decoded.cues {
            let Cue { tick, source, nth, .. } = *cue;
            self.duplicate_cues += usize::from(!self.cues.insert((tick.0, source, nth)));
        }
        if let Some(digest) = self.decoded.digest {
            assert_eq!(self.replica.digest().0, digest, "tick {}", header.tick);
            self.digests += 1;
        }
        true
    }

    /// Every state held is one that was published, in every column that is told.
    pub(crate) fn check(&self, room: &Room) {
        let tracks = self.replica.view().map(|track| (false, track));
        for (is_own, track) in tracks.chain(self.replica.own().map(|track| (true, track))) {
            let kind = room.history().schema().kind(track.kind());
            let sample = track.newest().unwrap();
            let Some(published) = room.history().at(sample.tick) else { continue };
            let sight = if is_own { Sight::Own } else { sample.sight };
            let table = published.tables(sight).table(track.kind());
            let index = table.find(track.id()).unwrap_or_else(|| panic!("{} at {}", track.id(), sample.tick));
            let held = track.row(kind, track.samples().len() - 1);
            for column in (0..kind.column_count()).filter(|&column| kind.visible(sight).contains(column)) {
                assert_eq!(
                    held.column(column),
                    table.row(kind, index).column(column),
                    "{} {column}",
                    track.id()
                );
            }
        }
    }

    /// Everything is held, exactly as it now is, and nothing else.
    pub(crate) fn check_whole(&self, room: &Room) {
        let newest = room.history().newest().unwrap();
        let mut expected = Vec::new();
        for (kind, table) in newest.tables(Sight::Public).iter() {
            expected.extend(table.heads().iter().map(|head| (head.id, kind.index())));
        }
        expected.sort_unstable();
        let held: Vec<_> = self.replica.view().map(|track| (track.id(), track.kind().0)).collect();
        assert_eq!(held, expected);
        let player = PlayerId(self.peer.0);
        let heads = newest.tables(Sight::Public).iter().flat_map(|(_, table)| table.heads());
        let mut owned: Vec<_> = heads.filter(|head| head.owner == Some(player)).map(|head| head.id).collect();
        owned.sort_unstable();
        assert_eq!(self.replica.own().map(Track::id).collect::<Vec<_>>(), owned);
        for track in self.replica.view() {
            let kind = room.history().schema().kind(track.kind());
            let table = newest.tables(Sight::Public).table(track.kind());
            let row = table.row(kind, table.find(track.id()).unwrap());
            let sample = track.newest().unwrap();
            let held = track.row(kind, track.samples().len() - 1);
            for column in
                (0..kind.column_count()).filter(|&column| kind.visible(sample.sight).contains(column))
            {
                assert_eq!(held.column(column), row.column(column), "{} {column} is stale", track.id());
            }
            assert!(track.payload().is_some_and(|payload| payload.starts_with(b"tick ")));
        }
    }
}
