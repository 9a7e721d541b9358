//! Recordings: what comes out is what was published, wherever one starts; and what is damaged is named, never trusted.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use tickwire_protocol::frame::write_frame;
use tickwire_protocol::history::History;
use tickwire_protocol::limits::{COLUMNS_PER_CUE_MAX, RECORDING_RECORD_BYTES_MAX};
use tickwire_protocol::recording::{
    Content, Event, Recorder, RecorderOptions, Recording, RecordingError, RecordingHeader, RecordingPlayer,
    RecordingWriter,
};
use tickwire_protocol::schema::{Field, FieldType, Kind, Sight};
use tickwire_protocol::snapshot::{
    BodyPlan, Codec, EncodedBody, Prior, RowCache, SectionPlan, SnapshotHeader, TickWidth,
};
use tickwire_protocol::{
    Cue, CueId, EntityId, FieldId, FrameType, KindId, PlayerId, RowHead, RowMut, Schema, Tables, Tick,
    TickRate,
};

const BODY: KindId = KindId(0);
const DOOR: KindId = KindId(1);
const CART: KindId = KindId(2);

/// Every third of 60 steps is recorded.
const INTERVAL: u32 = 3;

/// A kind with owner's fields, one without, and one that is told late.
fn schema() -> Arc<Schema> {
    let f = |id: u8, name: &str, ty| Field::new(FieldId(id), name, ty);
    let place = || FieldType::position([-100.0..=100.0, -100.0..=100.0], 0.01);
    let body = [
        f(0, "position", place()),
        f(1, "velocity", FieldType::velocity(FieldId(0), 40.0, 0.01)),
        f(2, "plan", FieldType::integer(0..=9)).team_only(),
        f(3, "secret", FieldType::integer(i32::MIN..=i32::MAX)).owner_only(),
    ];
    let cart = [
        f(0, "position", place()).rate_hz(10),
        f(1, "load", FieldType::integer(0..=1000)).threshold(20.0).team_only(),
        f(2, "fuel", FieldType::integer(0..=1000)).owner_only(),
    ];
    Schema::builder("recorded")
        .kind(Kind::new(BODY, "body", body))
        .kind(Kind::new(DOOR, "door", [f(0, "angle", FieldType::angle(8)), f(1, "by", FieldType::entity())]))
        .kind(Kind::new(CART, "cart", cart))
        .cue(Kind::cue(CueId(0), "bang", [f(0, "power", FieldType::integer(0..=9))]))
        .input([f(0, "move", FieldType::position([-1.0..=1.0], 0.01)), f(1, "fire", FieldType::boolean())])
        .build()
        .unwrap()
}

fn header() -> RecordingHeader {
    let mut header = RecordingHeader::new(schema(), TickRate::new(60).unwrap(), 20);
    header.seed = 77;
    header
}

/// What a recorded tick must come out as.
#[derive(Clone)]
struct Wanted {
    exact: Tables,
    told: Tables,
    cues: Vec<Cue>,
    inputs: Vec<(Tick, PlayerId, Vec<i32>)>,
}

/// A world of random rows, recorded as it goes.
struct World {
    rng: TestRng,
    history: History,
    rows: BTreeMap<u16, (KindId, RowHead, Vec<i32>)>,
    tick: Tick,
    recorder: Recorder<Vec<u8>>,
    cues: Vec<Cue>,
    inputs: Vec<(Tick, PlayerId, Vec<i32>)>,
    jumped: Vec<EntityId>,
    wanted: Vec<(Tick, Wanted)>,
}

fn payload_of(id: EntityId) -> Option<Bytes> {
    id.slot.is_multiple_of(3).then(|| Bytes::from(vec![id.generation as u8; usize::from(id.slot % 256) + 1]))
}

impl World {
    fn new(keyframe_ticks: u32) -> Self {
        let header = header();
        let codec = header.codec().unwrap();
        Self {
            rng: TestRng::deterministic_rng(RngAlgorithm::ChaCha),
            history: History::new(schema(), header.tick_rate),
            rows: BTreeMap::new(),
            // Ticks wrap on the way.
            tick: Tick(u32::MAX - 40),
            recorder: Recorder::new(Vec::new(), &header, codec, RecorderOptions { keyframe_ticks }).unwrap(),
            cues: Vec::new(),
            inputs: Vec::new(),
            jumped: Vec::new(),
            wanted: Vec::new(),
        }
    }

    fn random(&mut self, below: u32) -> u32 {
        self.rng.next_u32() % below
    }

    fn change_rows(&mut self, slots: u16) {
        let schema = schema();
        for slot in 0..slots {
            let dice = self.random(100);
            let generation = self.tick.0 as u16 % 1000 + 1;
            if !self.rows.contains_key(&slot) && dice < 30 {
                let kind = KindId((slot % 3) as u8);
                let mut values = vec![0; schema.kind(kind).column_count()];
                RowMut::new(schema.kind(kind), &mut values).reset();
                self.rows.insert(slot, (kind, RowHead::new(EntityId { slot, generation }), values));
            } else if dice == 0 {
                self.rows.remove(&slot);
            }
        }
        let slots: Vec<u16> = self.rows.keys().copied().collect();
        for slot in slots {
            let (dice, reach) = (self.random(100), [1, 20, 3_000, 1 << 30][self.random(4) as usize]);
            let steps: Vec<i32> = (0..8).map(|_| self.random(reach) as i32 - reach as i32 / 2).collect();
            let Some((kind, head, values)) = self.rows.get_mut(&slot) else { continue };
            head.teleported = dice == 1;
            if dice == 1 {
                self.jumped.push(head.id);
            }
            if dice == 2 {
                head.owner = head.owner.xor(Some(PlayerId(u32::from(slot))));
                head.teams ^= 5;
            }
            if dice < 70 {
                for ((value, column), step) in values.iter_mut().zip(schema.kind(*kind).columns()).zip(steps)
                {
                    *value = value.saturating_add(step).clamp(column.min, column.max);
                }
            }
        }
    }

    fn step(&mut self, slots: u16) {
        self.tick = self.tick + 1;
        let tick = self.tick;
        self.change_rows(slots);
        let mut tables = Tables::new(schema());
        for (kind, head, values) in self.rows.values() {
            tables.insert(*kind, *head).copy_from(values);
        }
        tables.finish();
        self.history.publish(tick, &tables);
        if self.random(3) == 0 {
            let mut values = [0; COLUMNS_PER_CUE_MAX];
            values[0] = self.random(10) as i32;
            let source = self.rows.values().next().map(|(_, head, _)| head.id);
            self.cues.push(Cue { tick, id: CueId(0), source, nth: 0, values });
            self.recorder.cues(&self.cues[self.cues.len() - 1..]);
        }
        for player in [1, 2, 900] {
            let row = vec![self.random(201) as i32 - 100, self.random(2) as i32];
            let row = if self.random(3) == 0 { vec![0, 0] } else { row };
            self.recorder.events().input(tick, PlayerId(player), &row).unwrap();
            self.inputs.push((tick, PlayerId(player), row));
        }
        if tick.0.is_multiple_of(INTERVAL) {
            self.record();
        }
    }

    fn record(&mut self) {
        self.recorder.record(&self.history, &payload_of).unwrap();
        // Once more is not once too often.
        self.recorder.record(&self.history, &payload_of).unwrap();
        let newest = self.history.newest().unwrap();
        let with_jumps = |tables: &Tables| {
            let mut copy = Tables::new(tables.schema().clone());
            for (kind, table) in tables.iter() {
                for (index, head) in table.heads().iter().enumerate() {
                    let head = head.teleported(self.jumped.contains(&head.id));
                    let mut values = vec![0; kind.column_count()];
                    table.row(kind, index).copy_to(&mut values);
                    copy.insert(KindId(kind.index()), head).copy_from(&values);
                }
            }
            copy.finish();
            copy
        };
        let mut told = with_jumps(newest.tables(Sight::Public));
        // The owner's fields of what is told late are in the exact rows alone.
        let fuel = schema().kind(CART).field(FieldId(2)).columns().start;
        let carts = told.table_mut(CART);
        (0..carts.len()).for_each(|row| carts.values_mut(row)[fuel] = 0);
        let wanted = Wanted {
            exact: with_jumps(newest.tables(Sight::Own)),
            told,
            cues: std::mem::take(&mut self.cues),
            inputs: std::mem::take(&mut self.inputs),
        };
        self.jumped.clear();
        self.wanted.push((self.tick, wanted));
    }

    fn finish(self) -> (Vec<u8>, Vec<(Tick, Wanted)>) {
        (self.recorder.finish().unwrap(), self.wanted)
    }
}

fn recorded(ticks: u32, slots: u16, keyframe_ticks: u32) -> (Vec<u8>, Vec<(Tick, Wanted)>) {
    let mut world = World::new(keyframe_ticks);
    (0..ticks).for_each(|_| world.step(slots));
    world.finish()
}

fn player(bytes: &[u8]) -> RecordingPlayer<Cursor<&[u8]>> {
    RecordingPlayer::new(Recording::open(Cursor::new(bytes)).unwrap()).unwrap()
}

fn check_rows(player: &RecordingPlayer<Cursor<&[u8]>>, wanted: &Wanted, with_jumps: bool) {
    for (sight, wanted) in [(Sight::Own, &wanted.exact), (Sight::Public, &wanted.told)] {
        let found = player.tables(sight);
        for (kind, table) in wanted.iter() {
            let other = found.table(KindId(kind.index()));
            let heads = |heads: &[RowHead]| -> Vec<RowHead> {
                heads.iter().map(|head| head.teleported(head.teleported && with_jumps)).collect()
            };
            assert_eq!(heads(other.heads()), heads(table.heads()), "{sight:?} {}", kind.name());
            for row in 0..table.len() {
                assert_eq!(other.values(row), table.values(row), "{sight:?} {}", kind.name());
            }
        }
    }
    for (_, table) in wanted.exact.iter() {
        for head in table.heads() {
            assert_eq!(player.payload(head.id).cloned(), payload_of(head.id), "{}", head.id);
        }
    }
    assert_eq!(player.cues(), wanted.cues);
}

fn inputs(player: &RecordingPlayer<Cursor<&[u8]>>) -> Vec<(Tick, PlayerId, Vec<i32>)> {
    let events = player.events();
    let input = |event: &Event| match event {
        Event::Input { tick, player, row } => Some((*tick, *player, events.input(row).to_vec())),
        _ => None,
    };
    events.iter().filter_map(input).collect()
}

#[test]
fn every_recorded_tick_comes_out_as_it_was_published() {
    let (bytes, wanted) = recorded(600, 40, 90);
    let mut player = player(&bytes);
    assert_eq!((player.header().seed, player.header().snapshot_hz), (77, 20));
    assert_eq!(player.header().prior, None, "every reader has the default one");
    assert_eq!(player.header().schema.hash(), schema().hash());
    for (tick, wanted) in &wanted {
        assert_eq!(player.advance().unwrap(), Some(*tick));
        check_rows(&player, wanted, true);
        assert_eq!(inputs(&player), wanted.inputs);
    }
    assert_eq!(player.advance().unwrap(), None);
    assert_eq!(player.damage(), []);
    assert!(player.recording().is_complete());
    assert_eq!(player.recording().index().unwrap().len(), 600 / 90 + 1);
}

#[test]
fn a_world_that_needs_many_frames_is_told_whole() {
    let (bytes, wanted) = recorded(30, 9_000, 90);
    let mut player = player(&bytes);
    let mut frames = 0;
    for (tick, wanted) in &wanted {
        assert_eq!(player.advance_watched(|_| frames += 1).unwrap(), Some(*tick));
        check_rows(&player, wanted, true);
    }
    assert!(frames > 2 * wanted.len(), "{frames} frames");
}

#[test]
fn any_tick_can_be_gone_to() {
    let (bytes, wanted) = recorded(400, 12, 60);
    // The last bytes are the record that points to the index: without them it is found by reading.
    for bytes in [&bytes[..], &bytes[..bytes.len() - 1]] {
        let mut player = player(bytes);
        let first = wanted[0].0;
        assert_eq!(player.seek(first - 100).unwrap(), Some(first));
        for (place, (tick, at)) in wanted.iter().enumerate().rev() {
            let next = wanted.get(place + 1);
            for between in 0..INTERVAL {
                // Where ticks wrap the next recorded one comes earlier.
                if next.is_some_and(|(next, _)| !next.is_newer_than(*tick + between)) {
                    continue;
                }
                assert_eq!(player.seek(*tick + between).unwrap(), Some(*tick));
                check_rows(&player, at, false);
            }
            assert_eq!(player.advance().unwrap(), next.map(|(tick, _)| *tick));
            if let Some((_, next)) = next {
                check_rows(&player, next, true);
                assert_eq!(inputs(&player), next.inputs);
            }
        }
    }
}

#[test]
fn joins_leaves_and_owners_are_told_in_their_order() {
    let header = header();
    let mut writer = RecordingWriter::new(Vec::new(), &header).unwrap();
    let entity = EntityId { slot: 7, generation: 3 };
    writer.begin_keyframe().unwrap();
    writer.joined(Tick(5), PlayerId(1)).unwrap();
    writer.joined(Tick(5), PlayerId(0)).unwrap();
    writer.input(Tick(6), PlayerId(0), &[1_000, -5]).unwrap();
    writer.input(Tick(6), PlayerId(0), &[1, 1]).unwrap();
    writer.input(Tick(6), PlayerId(u32::MAX), &[]).unwrap();
    writer.left(Tick(7), PlayerId(1)).unwrap();
    writer.entity(Tick(8), entity, Some(PlayerId(4)), u32::MAX, Bytes::from_static(b"red")).unwrap();
    let mut frames = Vec::new();
    let history = History::new(schema(), header.tick_rate);
    let payload = nothing_new(&header.codec().unwrap(), &history, Tick(8));
    write_frame(&mut frames, FrameType::Snapshot, &payload);
    writer.snapshot(Tick(8), Some(0), &frames).unwrap();
    assert!(writer.snapshot(Tick(8), None, &frames).is_err(), "not newer");
    assert!(writer.snapshot(Tick(9), None, &vec![0; RECORDING_RECORD_BYTES_MAX]).is_err(), "too large");
    let bytes = writer.finish().unwrap();
    let mut player = player(&bytes);
    assert_eq!(player.advance().unwrap(), Some(Tick(8)));
    let told: Vec<_> = player.events().iter().cloned().collect();
    let last = PlayerId(u32::MAX);
    let expected = [
        Event::Joined { tick: Tick(5), player: PlayerId(1) },
        Event::Joined { tick: Tick(5), player: PlayerId(0) },
        Event::Input { tick: Tick(6), player: PlayerId(0), row: 0..2 },
        Event::Input { tick: Tick(6), player: last, row: 2..4 },
        Event::Left { tick: Tick(7), player: PlayerId(1) },
        Event::Entity {
            tick: Tick(8),
            entity,
            owner: Some(PlayerId(4)),
            teams: u32::MAX,
            payload: Bytes::from_static(b"red"),
        },
    ];
    assert_eq!(told, expected);
    assert_eq!(inputs(&player), [(Tick(6), PlayerId(0), vec![100, 0]), (Tick(6), last, vec![0, 0])]);
    assert_eq!(player.payload(entity), Some(&Bytes::from_static(b"red")));
}

/// A small file for damaging.
fn small() -> (Vec<u8>, Vec<(Tick, Wanted)>) {
    recorded(60, 4, 15)
}

/// Plays all that can be played; every tick that comes out must be right.
fn play(bytes: &[u8], wanted: &[(Tick, Wanted)]) -> Result<(usize, u64), RecordingError> {
    let mut player = RecordingPlayer::new(Recording::open(Cursor::new(bytes))?)?;
    let mut ticks = 0;
    let mut before = None;
    while let Some(tick) = player.advance()? {
        let place = wanted.iter().position(|(wanted, _)| *wanted == tick).expect("a tick that was recorded");
        // Behind a damaged stretch it is not known how long ago a jump may count.
        let is_next = before.is_some_and(|before: usize| before + 1 == place);
        check_rows(&player, &wanted[place].1, is_next);
        before = Some(place);
        ticks += 1;
    }
    Ok((ticks, player.damage_count()))
}

#[test]
fn a_file_that_ends_anywhere_is_read_up_to_there() {
    let (bytes, wanted) = small();
    let first = Recording::open(Cursor::new(&bytes)).unwrap().first_record();
    let mut ticks_before = 0;
    for len in 0..bytes.len() {
        let result = play(&bytes[..len], &wanted);
        if (len as u64) < first {
            assert!(result.is_err(), "{len} bytes of header");
            continue;
        }
        let (ticks, damage) = result.unwrap();
        assert!(ticks >= ticks_before && damage <= 1, "{len}: {ticks} ticks, {damage} damaged");
        assert!(!Recording::open(Cursor::new(&bytes[..len])).unwrap().is_complete());
        ticks_before = ticks;
    }
    assert_eq!(ticks_before, wanted.len(), "the last bytes are the index alone");
}

#[test]
fn a_flipped_bit_costs_at_most_the_ticks_up_to_the_next_keyframe() {
    let (bytes, wanted) = small();
    let mut recording = Recording::open(Cursor::new(&bytes)).unwrap();
    let first = recording.first_record() as usize;
    // One more where ticks wrap, which is no multiple of the interval.
    let group = 15 / INTERVAL as usize + 1;
    let index_at = {
        let mut index_at = 0;
        while let Some(record) = recording.next_record().unwrap() {
            if record.content == Content::Index {
                index_at = record.offset as usize;
            }
        }
        index_at
    };
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if bit / 8 < first {
            assert!(Recording::open(Cursor::new(&damaged)).is_err(), "bit {bit} of the header");
            continue;
        }
        let (ticks, damage) = play(&damaged, &wanted).unwrap();
        assert!(ticks + group >= wanted.len(), "bit {bit}: {ticks} of {} ticks", wanted.len());
        assert!(damage == 1, "bit {bit}: {damage} damaged stretches");
        if bit / 8 >= index_at {
            assert_eq!(ticks, wanted.len());
        }
    }
}

#[test]
fn damage_is_named_and_left_out_of_seeking() {
    let (bytes, wanted) = small();
    let mut recording = Recording::open(Cursor::new(&bytes)).unwrap();
    let second = recording.index().unwrap()[1];
    let mut damaged = bytes.clone();
    damaged[second.offset as usize..][..30].fill(0xee);
    let mut player = player(&damaged);
    let mut reached = Vec::new();
    while let Some(tick) = player.advance().unwrap() {
        reached.push(tick);
    }
    let [damage] = *player.damage() else { panic!("{:?}", player.damage()) };
    assert_eq!((damage.offset, damage.what), (second.offset, "the head of a record is damaged"));
    let third = player.recording().index().unwrap()[2];
    assert_eq!(damage.offset + damage.bytes, third.offset);
    let lost = |tick: Tick| !second.tick.is_newer_than(tick) && third.tick.is_newer_than(tick);
    let kept: Vec<_> = wanted.iter().map(|(tick, _)| *tick).filter(|tick| !lost(*tick)).collect();
    assert_eq!(reached, kept);
    // The index still names the damaged keyframe: it is seen through.
    assert_eq!(player.seek(second.tick).unwrap(), Some(second.tick - INTERVAL));
    assert_eq!(player.advance().unwrap(), Some(third.tick));
}

#[test]
fn what_is_no_recording_is_refused_in_words() {
    let (bytes, _) = small();
    let refusal = |bytes: &[u8]| Recording::open(Cursor::new(bytes)).err().unwrap().to_string();
    let with = |at: usize, byte: u8| {
        let mut copy = bytes.clone();
        copy[at] = byte;
        copy
    };
    assert_eq!(refusal(b""), "not a recording: it does not begin as one");
    assert_eq!(refusal(&with(3, b'x')), "not a recording: it does not begin as one");
    assert_eq!(refusal(&with(8, 9)), "a recording of format 9, this program reads format 1");
    assert_eq!(refusal(&with(20, 9)), "the header is damaged: header of a recording is damaged");
    assert!(refusal(&with(13, 255)).contains("above the limit"), "{}", refusal(&with(13, 255)));
    assert!(refusal(&bytes[..50]).contains("truncated"));
    let mut unknown = header();
    unknown.coder = 200;
    let bytes = RecordingWriter::new(Vec::new(), &unknown).unwrap().finish().unwrap();
    let error = RecordingPlayer::new(Recording::open(Cursor::new(bytes)).unwrap()).err().unwrap();
    let hash = Prior::default_prior().hash();
    assert_eq!(error.to_string(), format!("its coder 200 with prior {hash:016x} is not known here"));
}

/// A snapshot that tells nothing.
fn nothing_new(codec: &Codec, history: &History, tick: Tick) -> Vec<u8> {
    let header = SnapshotHeader {
        tick,
        tick_width: TickWidth::Usual,
        sequence: None,
        feedback: None,
        own_is_whole: false,
    };
    let (mut body, mut payload) = (EncodedBody::default(), Vec::new());
    let (mut rows, none) = (RowCache::default(), SectionPlan::default());
    codec.write_body(history, &BodyPlan::default(), &|_| None, 1_000, &mut rows, &mut body);
    codec.write_snapshot(&header, history, &none, 1_000, None, &body, &mut rows, &mut payload);
    payload
}

/// The recording of docs/RECORDING.md.
fn example() -> Vec<u8> {
    let fire = Field::new(FieldId(0), "fire", FieldType::boolean());
    let schema = Schema::builder("tiny").input([fire]).build().unwrap();
    let mut header = RecordingHeader::new(schema, TickRate::new(60).unwrap(), 20);
    header.seed = 7;
    let history = History::new(header.schema.clone(), header.tick_rate);
    let mut frame = Vec::new();
    let payload = nothing_new(&header.codec().unwrap(), &history, Tick(6));
    write_frame(&mut frame, FrameType::Snapshot, &payload);
    let mut writer = RecordingWriter::new(Vec::new(), &header).unwrap();
    writer.joined(Tick(5), PlayerId(1)).unwrap();
    writer.input(Tick(6), PlayerId(1), &[1]).unwrap();
    writer.snapshot(Tick(6), Some(0), &frame).unwrap();
    writer.finish().unwrap()
}

#[test]
fn the_example_of_the_page_is_written_and_read_as_it_says() {
    let page = include_str!("../../docs/RECORDING.md");
    let mut lines = page.lines().skip_while(|line| *line != "```recording example").skip(1);
    let hex: Vec<_> =
        lines.by_ref().take_while(|line| *line != "```").flat_map(str::split_whitespace).collect();
    let written = example();
    // Dots stand for what follows from the default prior.
    let byte = |(place, hex): (usize, &&str)| match *hex {
        ".." => written[place],
        hex => u8::from_str_radix(hex, 16).unwrap(),
    };
    let bytes: Vec<u8> = hex.iter().enumerate().map(byte).collect();
    assert!(bytes == written, "the page should have\n{written:02x?}");

    let mut player = player(&bytes);
    assert_eq!((player.header().seed, player.header().schema.name()), (7, "tiny"));
    assert_eq!(player.advance().unwrap(), Some(Tick(6)));
    let events: Vec<_> = player.events().iter().cloned().collect();
    let one = PlayerId(1);
    assert_eq!(
        events,
        [
            Event::Joined { tick: Tick(5), player: one },
            Event::Input { tick: Tick(6), player: one, row: 0..1 },
        ]
    );
    assert_eq!(inputs(&player), [(Tick(6), one, vec![1])]);
    assert_eq!(player.advance().unwrap(), None);
    assert_eq!((player.damage_count(), player.recording().is_complete()), (0, true));
    let starts: Vec<_> = player.recording().index().unwrap().iter().map(|entry| entry.tick).collect();
    assert_eq!(starts, [Tick(6)]);
}

#[test]
fn a_file_of_nothing_but_lures_is_read_in_time_that_grows_with_it() {
    let (bytes, _) = small();
    let mut recording = Recording::open(Cursor::new(&bytes)).unwrap();
    let first = recording.first_record() as usize;
    let sync = recording.index().unwrap()[0].offset as usize;
    let mut lures = bytes[..first].to_vec();
    for _ in 0..40_000 {
        lures.extend_from_slice(&bytes[sync..sync + 12]);
        lures.extend_from_slice(&[0xff; 12]);
    }
    let mut player = player(&lures);
    assert_eq!(player.advance().unwrap(), None);
    assert_eq!(player.damage_count(), 40_000);
    assert!(player.damage().len() < 1_000, "they are counted, not all kept");
}
