//! The command on small recordings that are made here, and on the first frames of real ones where they are.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::Parser;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use serde_json::Value;

use super::lattice::own_rotation_floats;
use super::recording::Recording;
use super::*;

const ROCKET_LEAGUE: &str = r#"{"tick_hz":120,"tick_exact":true,"more":"is not read",
    "lattice":{"pos":0.01,"lin":0.01,"ang":0.0001,"rot_bits":18}}"#;
const ROCKET_LEAGUE_WITH_AGE: &str = r#"{"tick_hz":120,"tick_exact":false,
    "lattice":{"pos":0.01,"lin":0.01,"ang":0.0001,"rot_bits":18}}"#;
const QUAKE_WORLD: &str = r#"{"tick_hz":1000,"tick_exact":true,"float_coords":false}"#;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    trace: TraceArgs,
}

/// A file that is there as long as this is.
struct TempFile(PathBuf);

impl TempFile {
    fn new(bytes: &[u8]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tickwire-trace-{}-{number}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn trace(&self, options: &str) -> anyhow::Result<Report> {
        let options = options.split_whitespace();
        let args =
            Cli::parse_from(["trace"].into_iter().chain(options).chain([self.0.to_str().unwrap()])).trace;
        args.trace(&self.0, &args.lattice.parse()?, &args.prior()?)
    }

    fn read(&self) -> anyhow::Result<Recording> {
        Recording::read(&self.0, &Lattice::Exact)
    }

    fn error(&self) -> String {
        format!("{:#}", self.read().unwrap_err())
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // Left behind it does no harm; a test that fails for it would.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// One object of a recording that is made here, in the integers of its source.
#[derive(Clone, Copy)]
struct Object {
    instance: u16,
    kind: u8,
    slot: i8,
    flags: u8,
    aux: u8,
    position: [f32; 3],
    rotation: [f32; 4],
    velocity: [f32; 3],
    angular: [f32; 3],
}

impl Object {
    /// A body of Rocket League that moves along with `step`.
    fn body(instance: u16, kind: u8, step: i32) -> Self {
        let hundredths = |raw: i32| raw as f32 / 100.0;
        let largest = step / 7 % 4;
        let turn = |rate: i32| (131_072 + rate * (step - 30) * 40).clamp(0, 262_143);
        let rotation = own_rotation_floats([largest, turn(1), turn(-2), turn(3)], 18);
        let speed = 50_000 - 900 * step;
        Self {
            instance,
            kind,
            slot: if kind == 0 { -1 } else { instance as i8 % 6 },
            flags: 1 | (largest as u8) << 4 | u8::from(step % 16 > 12) << 1,
            aux: 5,
            position: [-400_000 + 2_000 * step + i32::from(instance), 31_415 - step * step, 9_301]
                .map(hundredths),
            rotation,
            velocity: [speed, -speed / 3, 17 * step].map(hundredths),
            angular: [step * 11, -54_321, 40_000 - step].map(|raw| hundredths(raw) * 0.01),
        }
    }

    fn player(instance: u16, step: i32) -> Self {
        let angle = |raw: i32| (f64::from(raw) * 360.0 / 65_536.0) as f32;
        Self {
            slot: instance as i8,
            position: [1_264 * 8 + 40 * step, -2_512 * 8 + i32::from(instance), 333]
                .map(|raw| raw as f32 / 8.0),
            angular: [angle(65_535 - step), angle(777 * step % 65_536), 0.0],
            ..Self::body(instance, 1, step)
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.instance.to_le_bytes());
        out.extend([self.kind, self.slot as u8, self.flags, self.aux, 0, 0, 0, 0]);
        let floats = self.position.iter().chain(&self.rotation).chain(&self.velocity).chain(&self.angular);
        out.extend(floats.flat_map(|float| float.to_le_bytes()));
    }
}

/// An NCTRACE2 file of these frames: a tick and its objects.
fn nctrace(meta: &str, frames: &[(i32, Vec<Object>)]) -> Vec<u8> {
    let mut out = b"NCTRACE2".to_vec();
    out.extend((meta.len() as u32).to_le_bytes());
    out.extend(meta.as_bytes());
    out.extend((frames.len() as u32).to_le_bytes());
    for (tick, objects) in frames {
        out.extend([0; 8]);
        out.extend(tick.to_le_bytes());
        out.extend((objects.len() as u16).to_le_bytes());
        let updated = objects.iter().filter(|object| object.flags & 1 != 0).count();
        out.extend((updated as u16).to_le_bytes());
        out.extend([0; 4]);
        for object in objects {
            object.write(&mut out);
        }
    }
    out
}

/// Bodies that come, go, come back, rest, and are not told of in every frame; ticks that repeat and that are far apart.
fn match_of_bodies(meta: &str) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut tick = 0;
    for step in 0..60 {
        let mut objects = vec![Object::body(0, 0, step), Object::body(7, 1, step)];
        if !(20..23).contains(&step) {
            objects.insert(1, Object::body(9, 1, (step / 10) * 10));
        }
        if step > 40 && step % 4 != 0 {
            objects.push(Object::body(11, 1, step));
        }
        if step % 3 == 1 {
            let before = Object::body(7, 1, step - 1);
            objects.retain(|object| object.instance != 7);
            objects.push(Object { flags: before.flags & !1, aux: 0, ..before });
        }
        frames.push((tick, objects));
        tick += match step {
            10 => 0,
            30 => 500,
            50 => 20_000,
            _ => 5 + step % 2,
        };
    }
    nctrace(meta, &frames)
}

fn match_of_players() -> Vec<u8> {
    let players = |step: i32| (0..8).map(|instance| Object::player(instance, step)).collect();
    nctrace(QUAKE_WORLD, &(0..40).map(|step| (34 * step + step % 3, players(step))).collect::<Vec<_>>())
}

/// A few moving cubes among many that lie.
fn cubes(frames: i32) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in 0..frames {
        for cube in 0..901 {
            let moved = if cube % 90 == 0 { frame * (cube / 90) } else { 0 };
            let values =
                [cube % 4, 200 + moved % 100, 256, 511 - cube % 256, cube * 10 + moved, -cube, 35, moved % 2];
            out.extend(values.iter().flat_map(|value: &i32| value.to_le_bytes()));
        }
    }
    out
}

#[test]
fn every_recording_comes_through_on_every_lattice_and_baseline() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/trace-lattice.toml");
    for bytes in [
        match_of_bodies(ROCKET_LEAGUE),
        match_of_bodies(ROCKET_LEAGUE_WITH_AGE),
        match_of_players(),
        cubes(12),
    ] {
        let file = TempFile::new(&bytes);
        for lattice in ["exact", "game", "game-noang", example] {
            for baseline in ["previous", "ack:2", "ack:2 --lossy 0.4 --seed 1", "previous --lossy 0.4"] {
                let options = format!("--lattice {lattice} --baseline {baseline}");
                let report = file.trace(&options).unwrap();
                assert!(report.verified, "{options}: {:?}", report.failure);
                assert!(report.rows >= report.updates / 2 && report.frame_bytes > 0, "{report}");
                match report.lossy {
                    Some(loss) => {
                        assert_eq!(loss.arrived + loss.dropped, report.frames);
                        assert!(
                            loss.dropped > 0 && loss.arrived > 0 && loss.decoded == loss.arrived,
                            "{loss:?}"
                        );
                    }
                    None => assert!(!options.contains("lossy")),
                }
            }
        }
    }
}

#[test]
fn the_lattice_decides_what_is_lost() {
    let bodies = TempFile::new(&match_of_bodies(ROCKET_LEAGUE));
    let (players, cubes) = (TempFile::new(&match_of_players()), TempFile::new(&cubes(8)));
    for file in [&bodies, &players, &cubes] {
        let exact = file.trace("").unwrap();
        assert!(exact.max_error.len() >= 3 && exact.max_error.values().all(|error| *error == 0.0), "{exact}");
        let game = file.trace("--lattice game").unwrap();
        assert!(game.max_error["position"] > 0.0, "{game}");
    }
    let game = bodies.trace("--lattice game").unwrap();
    for (field, limit) in
        [("position", 0.5), ("velocity", 0.5), ("angular_velocity", 0.005), ("rotation", 0.12)]
    {
        let error = game.max_error[field];
        assert!(error > 0.0 && error <= limit * 1.0001, "{field}: {error}");
    }
    let without = bodies.trace("--lattice game-noang").unwrap();
    assert!(!without.max_error.contains_key("angular_velocity") && without.frame_bytes < game.frame_bytes);
}

#[test]
fn the_challenge_starts_where_both_ends_hold_the_baseline() {
    let file = TempFile::new(&cubes(10));
    let whole = file.trace("").unwrap();
    let challenge = file.trace("--baseline ack:6").unwrap();
    assert_eq!((whole.frames, challenge.frames), (10, 4));
    assert!(whole.updates > 901, "the first frame tells of every cube");
    // Of every ninetieth cube the first stands still, and ten move.
    assert_eq!(challenge.updates, 4 * 10);
    let error = format!("{:#}", file.trace("--baseline ack:10").unwrap_err());
    assert!(error.contains("take a smaller ack:N"), "{error}");
}

#[test]
fn recordings_are_known_by_their_content() {
    for bytes in [match_of_bodies(ROCKET_LEAGUE), match_of_players(), cubes(3)] {
        let plain = TempFile::new(&bytes).read().unwrap();
        // Two zstd frames, one after the other, are one file.
        let (front, back) = bytes.split_at(bytes.len() / 3);
        let mut compressed = compress_to_vec(front, CompressionLevel::Fastest);
        compressed.extend(compress_to_vec(back, CompressionLevel::Fastest));
        let unpacked = TempFile::new(&compressed).read().unwrap();
        assert_eq!(plain.source, unpacked.source);
        assert!(
            plain
                .frames
                .iter()
                .map(|frame| &frame.tables)
                .eq(unpacked.frames.iter().map(|frame| &frame.tables))
        );
        for cut in 1..compressed.len().min(300) {
            assert!(TempFile::new(&compressed[..cut]).read().is_err(), "cut at {cut}");
        }
    }
}

#[test]
fn ticks_are_as_recorded_but_never_twice() {
    let ticks = |bytes: &[u8]| {
        let recording = TempFile::new(bytes).read().unwrap();
        (recording.rate.hz(), recording.frames.iter().map(|frame| frame.tick.0).collect::<Vec<_>>())
    };
    let at = |recorded: &[i32]| {
        recorded.iter().map(|&tick| (tick, vec![Object::body(0, 0, 1)])).collect::<Vec<_>>()
    };
    assert_eq!(ticks(&nctrace(ROCKET_LEAGUE, &at(&[3, 3, 3, 4, 9]))), (120, vec![3, 4, 5, 6, 9]));
    let players = [0, 33, 67, 1_000].map(|tick| (tick, vec![Object::player(0, 1)]));
    assert_eq!(ticks(&nctrace(QUAKE_WORLD, &players)), (240, vec![0, 8, 16, 240]));
    assert_eq!(ticks(&cubes(3)), (60, vec![0, 1, 2]));
}

#[test]
fn an_entry_that_repeats_a_state_repeats_its_age() {
    let body = |flags, aux| vec![Object { flags, aux, ..Object::body(4, 0, 0) }];
    let frames = [(0, body(1, 0)), (4, body(1, 4)), (8, body(0, 0)), (12, body(1, 8))];
    let recording = TempFile::new(&nctrace(ROCKET_LEAGUE_WITH_AGE, &frames)).read().unwrap();
    let kind = &recording.schema().kinds()[0];
    let age = kind.fields().iter().find(|field| field.name == "age").unwrap().columns().start;
    let table = |frame: &super::recording::RecordedFrame| {
        let (_, table) = frame.tables.iter().next().unwrap();
        table.values(0)[age]
    };
    assert_eq!(recording.frames.iter().map(table).collect::<Vec<_>>(), [0, 4, 4, 8]);
    assert_eq!(recording.frames.iter().filter_map(|frame| frame.updates).collect::<Vec<_>>(), [1, 1, 0, 1]);
}

#[test]
fn who_comes_back_is_somebody_else() {
    let frames =
        [0, 1, 2, 3].map(|step| (step, if step == 1 { Vec::new() } else { vec![Object::body(4, 1, step)] }));
    let recording = TempFile::new(&nctrace(ROCKET_LEAGUE, &frames)).read().unwrap();
    let generation = |frame: &super::recording::RecordedFrame| {
        frame.tables.iter().flat_map(|(_, table)| table.heads()).next().map(|head| head.id.generation)
    };
    assert_eq!(
        recording.frames.iter().map(generation).collect::<Vec<_>>(),
        [Some(1), None, Some(2), Some(2)]
    );
}

#[test]
fn damage_anywhere_is_an_error_and_no_panic() {
    let frames = [0, 1].map(|step| (step, vec![Object::body(0, 0, step), Object::body(7, 1, step)]));
    let bytes = nctrace(ROCKET_LEAGUE, &frames);
    TempFile::new(&bytes).read().unwrap();
    for cut in 0..bytes.len() {
        assert!(TempFile::new(&bytes[..cut]).read().is_err(), "cut at {cut}");
    }
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x81;
        // Some bytes mean nothing to us, others make another valid recording; none may make a panic.
        if let Ok(recording) = TempFile::new(&damaged).read() {
            assert_eq!(recording.frames.len(), 2);
        }
    }
    let mut cubes = cubes(2);
    cubes[16..20].copy_from_slice(&16_384_i32.to_le_bytes());
    assert!(TempFile::new(&cubes).error().contains("no recording that is known"));
    assert!(TempFile::new(&cubes[1..]).error().contains("no recording that is known"));
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_what_to_do() {
    let body = Object::body(0, 0, 3);
    let one = |object: Object| nctrace(ROCKET_LEAGUE, &[(0, vec![object])]);
    let [x, y, z] = body.position;
    let [qx, qy, qz, qw] = body.rotation;
    let mut too_long = one(body);
    too_long.push(0);
    let mut miscounted = one(body);
    let count = miscounted.len() - 62 - 6;
    miscounted[count] = 0;
    for (bytes, words) in [
        (Vec::new(), "the file is empty"),
        (b"PNG and so on".to_vec(), "no recording that is known here"),
        (vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0], "zstd: the file is damaged"),
        (nctrace("{}", &[]), "not the JSON of a recording"),
        (nctrace(r#"{"tick_hz":0,"tick_exact":true,"float_coords":false}"#, &[]), "tick_hz is 0"),
        (nctrace(r#"{"tick_hz":60,"tick_exact":true}"#, &[]), "recordings of other games"),
        (nctrace(ROCKET_LEAGUE, &[]), "no frames"),
        (too_long, "1 bytes follow its last frame"),
        (miscounted, "1 updates instead of 0"),
        (nctrace(ROCKET_LEAGUE, &[(5, vec![body]), (4, vec![body])]), "frame 1: tick 4 is before 5"),
        (nctrace(ROCKET_LEAGUE, &[(5, vec![body, body])]), "object 0 stands there twice"),
        (nctrace(ROCKET_LEAGUE, &[(0, vec![body]), (1, vec![Object::body(0, 1, 3)])]), "changes its kind"),
        (nctrace(QUAKE_WORLD, &[(0, vec![body])]), "has no kind 0"),
        (one(Object { kind: 2, ..body }), "has no kind 2"),
        (one(Object { position: [x + 0.004, y, z], ..body }), "no multiple of 0.01"),
        (one(Object { position: [x, f32::NAN, z], ..body }), "NaN is outside of -8190 to 8190"),
        (one(Object { position: [x, y, 9_000.0], ..body }), "`position` of a `ball`: 9000 is outside"),
        (one(Object { rotation: [qx + 2e-6, qy, qz, qw], ..body }), "not on the lattice of 18 bits"),
        (one(Object { rotation: [-qx, qy, qz, qw], ..body }), "not on the lattice of 18 bits"),
        (one(Object { slot: 63, ..Object::body(1, 1, 3) }), "63 is outside of -1 to 62"),
    ] {
        let file = TempFile::new(&bytes);
        let error = file.error();
        assert!(error.contains(words), "{error:?} should say {words:?}");
        assert!(error.starts_with(file.0.to_str().unwrap()), "{error:?} should name the file");
    }
    let missing = Recording::read(Path::new("/nowhere.bin"), &Lattice::Exact).unwrap_err();
    assert!(format!("{missing:#}").starts_with("cannot read /nowhere.bin: give the path"), "{missing:#}");
}

#[test]
fn a_report_is_one_json_object() {
    let file = TempFile::new(&match_of_bodies(ROCKET_LEAGUE));
    let report = file.trace("--by-field --lossy 0.2 --baseline ack:1").unwrap();
    let value = serde_json::to_value(&report).unwrap();
    let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "file",
        "source",
        "options",
        "frames",
        "updates",
        "rows",
        "unchanged_rows",
        "frame_bytes",
        "bits_per_update",
        "bytes_per_frame",
        "max_error",
        "encode_ns_per_update",
        "decode_ns_per_update",
        "verified",
        "lossy",
        "by_field",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(value["options"]["baseline"], "ack:1");
    assert_eq!(value["max_error"]["rotation"], 0.0);
    let (bytes, updates) = (report.frame_bytes as f64, report.updates as f64);
    assert_eq!(value["bits_per_update"].as_f64(), Some(bytes * 8.0 / updates));
    assert_eq!(value["by_field"]["total"].as_f64(), Some(bytes * 8.0));
    assert!(value["decode_ns_per_update"].as_f64().unwrap() > 0.0);
    let nothing = nctrace(ROCKET_LEAGUE, &[(0, vec![Object { flags: 0x30, ..Object::body(0, 0, 22) }])]);
    let report = TempFile::new(&nothing).trace("").unwrap();
    assert!(report.verified && report.updates == 0);
    let value = serde_json::to_value(&report).unwrap();
    assert_eq!(value["bits_per_update"], Value::Null, "a share of nothing is no number");
    assert!(value.get("lossy").is_none() && report.to_string().contains("- bits an update"), "{report}");
}

#[test]
fn the_first_frames_of_real_recordings_come_through() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    for name in ["rl_2v2_dense_eac", "rl_3v3_pro_rlcs2", "qw_4on4_dm2"] {
        let path = folder.join(format!("{name}.bin.zst"));
        if !path.exists() {
            eprintln!("skipped: {} is not here", path.display());
            continue;
        }
        for lattice in ["exact", "game"] {
            let mut recording = Recording::read(&path, &lattice.parse().unwrap()).unwrap();
            recording.frames.truncate(300);
            let worst = recording.max_error.values().fold(0.0_f64, |worst, error| worst.max(*error));
            assert_eq!(worst == 0.0, lattice == "exact", "{name}: {:?}", recording.max_error);
            assert!(recording.max_error.get("rotation").is_none_or(|error| *error <= 0.12));
            for baseline in [Baseline::Previous, Baseline::Ack(2)] {
                let prior = Prior::default_prior();
                let options = Options { baseline, coder: Coder::Dense, prior, lossy: None, by_field: false };
                let outcome = run::run(&recording, &options).unwrap();
                assert_eq!((outcome.failure, outcome.decoded), (None, 300), "{name} {lattice} {baseline}");
            }
        }
    }
}

#[test]
fn what_a_room_recorded_is_read_and_hidden_fields_stay_hidden() {
    use tickwire_protocol::history::History;
    use tickwire_protocol::recording::{Recorder, RecorderOptions, RecordingHeader};
    use tickwire_protocol::schema::{Field, FieldId, FieldType, Kind, KindId, Schema};
    use tickwire_protocol::{EntityId, RowHead, Tables, Tick, TickRate};

    let fields = [
        Field::new(FieldId(0), "place", FieldType::position([0.0..=100.0], 0.01)),
        Field::new(FieldId(1), "secret", FieldType::integer(0..=1000)).owner_only(),
    ];
    let schema = Schema::builder("room").kind(Kind::new(KindId(0), "thing", fields)).build().unwrap();
    let rate = TickRate::new(60).unwrap();
    let header = RecordingHeader::new(schema.clone(), rate, 20);
    let (codec, options) = (header.codec().unwrap(), RecorderOptions::new(&header));
    let mut recorder = Recorder::new(Vec::new(), &header, codec, options).unwrap();
    let mut history = History::new(schema.clone(), rate);
    for step in 0..30 {
        let mut tables = Tables::new(schema.clone());
        let head = RowHead::new(EntityId { slot: 3, generation: 1 });
        tables.insert(KindId(0), head).copy_from(&[step * step, step]);
        tables.finish();
        history.publish(Tick(3 * step as u32), &tables);
        recorder.record(&history, &|_| None).unwrap();
    }
    let file = TempFile::new(&recorder.finish().unwrap());
    let report = file.trace("").unwrap();
    assert!(report.verified && report.frames == 30, "{report}");
    let error = file.trace("--lattice game").unwrap_err();
    assert!(format!("{error:#}").contains("take `exact`"), "{error:#}");
}
