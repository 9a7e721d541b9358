//! Files of recordings: any bytes, and sound files that are damaged.

use std::io::Cursor;
use std::sync::LazyLock;

use super::{GAME, Script, are_within};
use crate::history::History;
use crate::ids::{EntityId, PlayerId};
use crate::recording::record::write_record;
use crate::recording::{Event, Recorder, RecorderOptions, Recording, RecordingHeader, RecordingPlayer};
use crate::schema::{FieldId, KindId, Sight};
use crate::table::{RowHead, Tables};
use crate::time::{Tick, TickRate};

/// Places where a sound file is damaged by one script.
const WOUNDS_MAX: usize = 16;

/// Ticks that are gone to by one script.
const SEEKS_MAX: usize = 4;

pub(super) fn play(data: &[u8]) {
    let mut script = Script(data);
    let file = match script.pick(3) {
        0 => script.take(usize::MAX).to_vec(),
        1 => damaged(&mut script),
        _ => forged(&mut script),
    };
    let Ok(recording) = Recording::open(Cursor::new(&file)) else { return };
    let Ok(mut player) = RecordingPlayer::new(recording) else { return };
    let mut ticks = Vec::new();
    while let Some(tick) = player.advance().expect("bytes in memory can be read") {
        check(&player);
        ticks.push(tick);
    }
    assert!(ticks.windows(2).all(|pair| pair[1].is_newer_than(pair[0])), "ticks ascend");
    let keyframes = player.recording().index().expect("bytes in memory can be read").len();
    for _ in 0..SEEKS_MAX {
        let wanted = ticks.get(script.pick(ticks.len().max(1))).copied().unwrap_or(Tick(script.word()));
        let found = player.seek(wanted).expect("bytes in memory can be read");
        assert!(found.is_none() || keyframes > 0, "what is gone to stands behind a keyframe");
        check(&player);
    }
}

fn check(player: &RecordingPlayer<Cursor<&Vec<u8>>>) {
    let schema = player.header().schema.clone();
    for sight in [Sight::Public, Sight::Own] {
        for (kind, table) in player.tables(sight).iter() {
            for (index, head) in table.heads().iter().enumerate() {
                let mut values = vec![0; kind.column_count()];
                table.row(kind, index).copy_to(&mut values);
                assert!(are_within(kind.columns(), &values), "{} of {}", head.id, kind.name());
            }
        }
    }
    for event in player.events().iter() {
        if let Event::Input { row, .. } = event {
            assert!(are_within(schema.input().columns(), player.events().input(row)));
        }
    }
}

/// A sound file with a few bytes that the script changes, takes out or puts in.
fn damaged(script: &mut Script<'_>) -> Vec<u8> {
    let mut file = SOUND.clone();
    for _ in 0..WOUNDS_MAX {
        if script.is_empty() {
            break;
        }
        let at = script.word() as usize % (file.len() + 1);
        let count = script.pick(8);
        match script.pick(3) {
            0 => drop(file.drain(at..(at + count).min(file.len()))),
            1 => drop(file.splice(at..at, script.take(count).iter().copied())),
            _ => file[at..].iter_mut().zip(script.take(count)).for_each(|(byte, new)| *byte = *new),
        }
    }
    file
}

/// A file of whole records that say anything.
fn forged(script: &mut Script<'_>) -> Vec<u8> {
    let sound = Recording::open(Cursor::new(&*SOUND)).expect("the sound file is sound");
    let mut file = SOUND[..sound.first_record() as usize].to_vec();
    while !script.is_empty() {
        let ty = script.byte() % 8;
        let len = usize::from(script.byte()) << (script.byte() % 8);
        write_record(&mut file, ty, |out| out.extend_from_slice(script.take(len)));
    }
    file
}

/// Half a second of two kinds, with everything that a recording can tell.
static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let rate = TickRate::new(60).expect("60 Hz is a rate");
    let header = RecordingHeader::new(GAME.clone(), rate, 20);
    let codec = header.codec().expect("the coder of this version is known");
    let options = RecorderOptions { keyframe_ticks: 12 };
    let mut recorder = Recorder::new(Vec::new(), &header, codec, options).expect("memory takes all");
    let mut history = History::new(GAME.clone(), rate);
    for step in 0..30 {
        let tick = Tick(1_000 + step);
        let mut tables = Tables::new(GAME.clone());
        for slot in 0..4 {
            let id = EntityId { slot, generation: 1 + (step / 10) as u16 };
            let head = RowHead::new(id).owned_by(PlayerId(u32::from(slot))).teams(step / 7);
            let kind = KindId((slot % 2) as u8);
            tables.insert(kind, head).set_scalar(FieldId(0), (step * u32::from(slot)) as f32 * 0.05);
        }
        tables.finish();
        history.publish(tick, &tables);
        let told = recorder.events().input(tick, PlayerId(1), &[step as i32, 0, 3, 1]);
        let told = told.and_then(|()| recorder.events().joined(tick, PlayerId(step)));
        told.expect("memory takes all");
        if step % 3 == 0 {
            recorder
                .record(&history, &|_| Some(bytes::Bytes::from_static(b"red")))
                .expect("memory takes all");
        }
    }
    recorder.finish().expect("memory takes all")
});

#[test]
fn the_sound_file_is_sound() {
    let recording = Recording::open(Cursor::new(&*SOUND)).unwrap();
    assert!(recording.is_complete());
    let mut player = RecordingPlayer::new(recording).unwrap();
    let ticks = core::iter::from_fn(|| player.advance().unwrap()).count();
    assert_eq!((ticks, player.damage_count()), (10, 0));
}
