//! `tickwire inspect`: a recording in words.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};
use tickwire_protocol::recording::{Content, Damage, Event, FrameReport, NamedState, VERSION};
use tickwire_protocol::schema::Sight;
use tickwire_protocol::snapshot::DecodedRow;
use tickwire_protocol::{Cue, Schema, Tick};

use crate::fields::fields_value;
use crate::replay::{self, FilePlayer, Moment};

/// Explain a recording. All of it is read and checked; some ticks are shown row by row.
#[derive(Args, Clone, Debug)]
pub(crate) struct InspectArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The first tick to show: a tick, or seconds from the start as in `12.5s` [default: the start]
    #[arg(long, value_name = "TICK|SECONDS")]
    from: Option<Moment>,

    /// How many recorded ticks to show
    #[arg(long, default_value_t = 2, value_name = "N")]
    frames: usize,

    /// Print all as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

/// All that is said of a file.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    bytes: u64,
    is_complete: bool,
    header: Header,
    /// By type: how many, and their bytes.
    records: BTreeMap<&'static str, Sum>,
    first_tick: Option<u32>,
    last_tick: Option<u32>,
    recorded_ticks: u64,
    seconds: f64,
    bytes_per_second: f64,
    /// By kind: rows told, and how many of them whole.
    rows: BTreeMap<String, Rows>,
    cues: BTreeMap<String, u64>,
    inputs: u64,
    joined: u64,
    left: u64,
    damage_count: u64,
    damage: Vec<Value>,
    ticks: Vec<TickReport>,
}

#[derive(Debug, Serialize)]
struct Header {
    format: u16,
    schema: String,
    schema_hash: String,
    tick_hz: u32,
    snapshot_hz: u32,
    coder: u8,
    prior_hash: String,
    prior_bytes: usize,
    seed: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Sum {
    count: u64,
    bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Rows {
    told: u64,
    whole: u64,
}

/// One recorded tick.
#[derive(Debug, Serialize)]
struct TickReport {
    tick: u32,
    offset: u64,
    is_keyframe: bool,
    events: Vec<Value>,
    frames: Vec<Value>,
}

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let mut player = replay::open(&args.file)?;
    let mut report = Report::of_header(args.file.display().to_string(), &mut player);
    report.sum_records(&mut player)?;
    report.sum_ticks(&mut player)?;
    if let Some(first) = report.first_tick {
        let rate = player.header().tick_rate;
        let from = args.from.map_or(Tick(first), |moment| moment.tick(Tick(first), rate));
        report.show_ticks(&mut player, from, args.frames)?;
    }
    let text = if args.json { serde_json::to_string(&report)? + "\n" } else { report.to_string() };
    // Whoever has seen enough, as `head` has, closes the pipe: no failure.
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => return Err(error.into()),
        _ => {}
    }
    let is_sound = report.damage_count == 0 && report.recorded_ticks > 0;
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Report {
    fn of_header(file: String, player: &mut FilePlayer) -> Self {
        let header = player.header().clone();
        Self {
            file,
            bytes: player.recording().len(),
            is_complete: player.recording().is_complete(),
            header: Header {
                format: VERSION,
                schema: header.schema.name().to_owned(),
                schema_hash: format!("{:016x}", header.schema.hash()),
                tick_hz: header.tick_rate.hz(),
                snapshot_hz: header.snapshot_hz,
                coder: header.coder,
                prior_hash: format!("{:016x}", header.prior_hash),
                prior_bytes: header.prior.map_or(0, |prior| prior.len()),
                seed: header.seed,
            },
            records: BTreeMap::new(),
            first_tick: None,
            last_tick: None,
            recorded_ticks: 0,
            seconds: 0.0,
            bytes_per_second: 0.0,
            rows: BTreeMap::new(),
            cues: BTreeMap::new(),
            inputs: 0,
            joined: 0,
            left: 0,
            damage_count: 0,
            damage: Vec::new(),
            ticks: Vec::new(),
        }
    }

    fn sum_records(&mut self, player: &mut FilePlayer) -> anyhow::Result<()> {
        let recording = player.recording();
        recording.rewind();
        while let Some(record) = recording.next_record()? {
            let name = match record.content {
                Content::Sync => "sync",
                Content::Snapshot { keyframe: Some(_), .. } => "keyframe",
                Content::Snapshot { .. } => "snapshot",
                Content::Events(_) => "events",
                Content::Index => "index",
                Content::End => "end",
                Content::Unknown(_) => "unknown",
                Content::Damaged(_) => "damaged",
            };
            let sum = self.records.entry(name).or_default();
            sum.count += 1;
            sum.bytes += record.bytes;
        }
        Ok(())
    }

    /// Plays all of it: what cannot be decoded is found, too.
    fn sum_ticks(&mut self, player: &mut FilePlayer) -> anyhow::Result<()> {
        player.rewind();
        let header = player.header().clone();
        let schema = &header.schema;
        loop {
            let rows = &mut self.rows;
            let reached = player.advance_watched(|frame| {
                for row in frame.decoded.view.rows.iter().chain(&frame.decoded.own.rows) {
                    let sum = rows.entry(schema.kind(row.kind).name().to_owned()).or_default();
                    sum.told += 1;
                    sum.whole += u64::from(row.is_whole);
                }
            })?;
            let Some(tick) = reached else { break };
            self.first_tick.get_or_insert(tick.0);
            self.last_tick = Some(tick.0);
            self.recorded_ticks += 1;
            for cue in player.cues() {
                *self.cues.entry(schema.cue(cue.id).name().to_owned()).or_default() += 1;
            }
            for event in player.events().iter() {
                match event {
                    Event::Joined { .. } => self.joined += 1,
                    Event::Left { .. } => self.left += 1,
                    Event::Input { .. } => self.inputs += 1,
                    Event::Entity { .. } => {}
                }
            }
        }
        if let (Some(first), Some(last)) = (self.first_tick, self.last_tick) {
            let ticks = Tick(last).since(Tick(first)).max(0) as u32;
            // The last state lasts as long as the others.
            self.seconds =
                f64::from(ticks) / f64::from(self.header.tick_hz) + 1.0 / f64::from(header.snapshot_hz);
            self.bytes_per_second = self.bytes as f64 / self.seconds;
        }
        let damage =
            |damage: &Damage| json!({"offset": damage.offset, "bytes": damage.bytes, "what": damage.what});
        self.damage = player.damage().iter().map(damage).collect();
        self.damage_count = player.damage_count();
        Ok(())
    }

    fn show_ticks(&mut self, player: &mut FilePlayer, from: Tick, count: usize) -> anyhow::Result<()> {
        // The tick that is gone to must be watched as it is decoded: so one goes to before it.
        let before = player.seek(from - 1)?;
        let is_before = before.is_some_and(|tick| from.is_newer_than(tick));
        if !is_before {
            player.rewind();
        }
        let schema = player.header().schema.clone();
        while self.ticks.len() < count {
            let mut frames = Vec::new();
            let (mut offset, mut is_keyframe) = (0, false);
            let reached = player.advance_watched(|frame| {
                (offset, is_keyframe) = (frame.offset, frame.is_keyframe);
                frames.push(frame_value(&schema, &frame));
            })?;
            let Some(tick) = reached else { break };
            if from.is_newer_than(tick) {
                continue;
            }
            let events = player.events();
            let events =
                events.iter().map(|event| event_value(&schema, event, |row| events.input(row))).collect();
            self.ticks.push(TickReport { tick: tick.0, offset, is_keyframe, events, frames });
        }
        Ok(())
    }
}

fn frame_value(schema: &Schema, frame: &FrameReport<'_>) -> Value {
    let mut rows = Vec::new();
    for (section, is_own) in [(&frame.decoded.own, true), (&frame.decoded.view, false)] {
        for row in &section.rows {
            let values = &section.values[row.values.clone()];
            rows.push(row_value(schema, row, values, is_own, frame.named));
        }
    }
    let leaves = frame.decoded.own.leaves.iter().chain(&frame.decoded.view.leaves);
    let leaves: Vec<_> =
        leaves.map(|leave| json!({"slot": leave.slot, "despawned": leave.despawned})).collect();
    let cues: Vec<_> = frame.decoded.cues.iter().map(|cue| cue_value(schema, cue)).collect();
    json!({"payload_bytes": frame.payload_bytes, "leaves": leaves, "rows": rows, "cues": cues})
}

fn row_value(schema: &Schema, row: &DecodedRow, values: &[i32], is_own: bool, named: &[NamedState]) -> Value {
    let kind = schema.kind(row.kind);
    let names = named.iter().filter(|state| state.is_own == is_own && state.slot == row.id.slot);
    let names: Vec<_> = names.map(|state| state.tick.0).collect();
    json!({
        "kind": kind.name(),
        "entity": row.id.to_string(),
        "section": if is_own { "own" } else { "view" },
        "names": names,
        "is_at_rest": row.is_at_rest,
        "jumped_at": row.teleported.map(|tick| tick.0),
        "fields": fields_value(kind, row.sight, values),
    })
}

fn cue_value(schema: &Schema, cue: &Cue) -> Value {
    let kind = schema.cue(cue.id);
    json!({
        "cue": kind.name(),
        "tick": cue.tick.0,
        "source": cue.source.map(|source| source.to_string()),
        "fields": fields_value(kind, Sight::Own, &cue.values),
    })
}

fn event_value<'a>(
    schema: &Schema,
    event: &Event,
    input: impl Fn(&std::ops::Range<usize>) -> &'a [i32],
) -> Value {
    match event {
        Event::Joined { tick, player } => json!({"event": "joined", "tick": tick.0, "player": player.0}),
        Event::Left { tick, player } => json!({"event": "left", "tick": tick.0, "player": player.0}),
        Event::Input { tick, player, row } => json!({
            "event": "input",
            "tick": tick.0,
            "player": player.0,
            "fields": fields_value(schema.input(), Sight::Own, input(row)),
        }),
        Event::Entity { tick, entity, owner, teams, payload } => json!({
            "event": "entity",
            "tick": tick.0,
            "entity": entity.to_string(),
            "owner": owner.map(|player| player.0),
            "teams": teams,
            "payload_bytes": payload.len(),
        }),
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Header {
            format,
            schema,
            schema_hash,
            tick_hz,
            snapshot_hz,
            coder,
            prior_hash,
            prior_bytes,
            seed,
        } = &self.header;
        let ending =
            if self.is_complete { "ended cleanly" } else { "without its end: cut off, or still written" };
        writeln!(f, "{}: {} bytes, {ending}", self.file, self.bytes)?;
        writeln!(f, "header      format {format}, schema `{schema}` {schema_hash}, seed {seed}")?;
        writeln!(f, "            {tick_hz} steps and {snapshot_hz} recorded ticks a second")?;
        writeln!(f, "            coder {coder}, prior {prior_hash} ({prior_bytes} bytes in the file)")?;
        match (self.first_tick, self.last_tick) {
            (Some(first), Some(last)) => writeln!(
                f,
                "ticks       {} from {first} to {last}: {:.1} s, {:.0} bytes a second",
                self.recorded_ticks, self.seconds, self.bytes_per_second
            )?,
            _ => writeln!(f, "ticks       none can be read")?,
        }
        for (name, Sum { count, bytes }) in &self.records {
            writeln!(f, "records     {name}: {count}, {bytes} bytes")?;
        }
        for (kind, Rows { told, whole }) in &self.rows {
            writeln!(f, "rows        {kind}: {told}, {whole} of them whole")?;
        }
        for (cue, count) in &self.cues {
            writeln!(f, "cues        {cue}: {count}")?;
        }
        writeln!(f, "players     {} joined, {} left, {} inputs", self.joined, self.left, self.inputs)?;
        for damage in &self.damage {
            let [offset, bytes, what] = ["offset", "bytes", "what"].map(|key| words(&damage[key]));
            writeln!(f, "DAMAGED     at {offset}, {bytes} bytes: {what}")?;
        }
        if self.damage_count > self.damage.len() as u64 {
            writeln!(f, "DAMAGED     {} more", self.damage_count - self.damage.len() as u64)?;
        }
        self.ticks.iter().try_for_each(|tick| tick.fmt(f))
    }
}

impl Display for TickReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_keyframe { "keyframe" } else { "snapshot" };
        writeln!(f, "\ntick {}, {what} at {}", self.tick, self.offset)?;
        for event in &self.events {
            let subject = if event["entity"].is_null() { "player" } else { "entity" };
            let [name, tick, who] = ["event", "tick", subject].map(|key| words(&event[key]));
            write!(f, "  tick {tick} {name}: {subject} {who}")?;
            for key in ["owner", "teams", "payload_bytes"].into_iter().filter(|key| !event[*key].is_null()) {
                write!(f, ", {key} {}", words(&event[key]))?;
            }
            writeln!(f, "{}", fields_words(&event["fields"]))?;
        }
        for frame in &self.frames {
            let list = |key: &str| frame[key].as_array().into_iter().flatten();
            writeln!(f, "  frame of {} bytes, {} rows", frame["payload_bytes"], list("rows").count())?;
            for leave in list("leaves") {
                let how = if leave["despawned"] == true { "gone" } else { "out of view" };
                writeln!(f, "    slot {} left: {how}", leave["slot"])?;
            }
            for row in list("rows") {
                let [kind, entity, section] = ["kind", "entity", "section"].map(|key| words(&row[key]));
                let names: Vec<_> = row["names"].as_array().into_iter().flatten().map(words).collect();
                let against =
                    if names.is_empty() { "whole".to_owned() } else { format!("names {}", names.join(" ")) };
                let rest = if row["is_at_rest"] == true { ", at rest" } else { "" };
                let jump =
                    row["jumped_at"].as_u64().map_or(String::new(), |tick| format!(", jumped at {tick}"));
                let fields = fields_words(&row["fields"]);
                writeln!(f, "    {kind} {entity} ({section}, {against}{rest}{jump}){fields}")?;
            }
            for cue in list("cues") {
                let [name, tick, source] = ["cue", "tick", "source"].map(|key| words(&cue[key]));
                writeln!(f, "    cue {name} of {source} at tick {tick}{}", fields_words(&cue["fields"]))?;
            }
        }
        Ok(())
    }
}

fn fields_words(fields: &Value) -> String {
    let mut out = String::new();
    for field in fields.as_array().into_iter().flatten() {
        let _ = write!(out, "  {} {}", words(&field[0]), words(&field[1]));
    }
    out
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        Value::Array(parts) => format!("({})", parts.iter().map(words).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
