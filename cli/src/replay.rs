//! `tickwire replay`: a server whose rooms publish a recording.

use std::fs::File;
use std::io::BufReader;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Args;
use tickwire_protocol::limits::TICK_HZ_MAX;
use tickwire_protocol::recording::{Recording, RecordingHeader, RecordingPlayer};
use tickwire_protocol::{Tick, TickRate};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::{Game, ServerConfig};
use tickwire_sim::replay::{Replay, ReplayOptions};

use crate::config::DEFAULT_LISTEN;
use crate::serve;
use crate::signals::Interrupt;

/// Serve a recording. Clients watch as spectators, or join as players without an entity, whose inputs do nothing; the
/// schema comes from the file. Each room begins when its first client comes.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReplayArgs {
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Address to listen on; port 0 lets the system choose
    #[arg(long, env = "TICKWIRE_LISTEN", default_value = DEFAULT_LISTEN, value_name = "ADDR:PORT")]
    listen: SocketAddr,

    /// Where to begin: a tick, or seconds from the start as in `12.5s` [default: the start]
    #[arg(long, value_name = "TICK|SECONDS")]
    from: Option<Moment>,

    /// How fast: 1 is as it was
    #[arg(long, default_value_t = 1.0, value_name = "X")]
    speed: f64,

    /// Begin anew at the end; otherwise the last state stands still
    #[arg(long = "loop")]
    repeats: bool,
}

/// A moment of a recording, as a user says it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Moment {
    Tick(u32),
    Seconds(f64),
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse().ok());
        match (seconds, text.parse()) {
            (Some(seconds), _) if (0.0..1e9).contains(&seconds) => Ok(Self::Seconds(seconds)),
            (None, Ok(tick)) => Ok(Self::Tick(tick)),
            _ => Err("a tick such as `1800`, or seconds such as `12.5s`".to_owned()),
        }
    }
}

impl Moment {
    /// The tick that is meant in a recording that begins with `first`.
    pub(crate) fn tick(self, first: Tick, rate: TickRate) -> Tick {
        match self {
            Self::Tick(tick) => Tick(tick),
            Self::Seconds(seconds) => first + (seconds * f64::from(rate.hz())) as u32,
        }
    }
}

pub(crate) type FilePlayer = RecordingPlayer<BufReader<File>>;

/// Opens a recording; what is wrong with it is said in words.
pub(crate) fn open(path: &Path) -> anyhow::Result<FilePlayer> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let recording = Recording::open(BufReader::new(file)).and_then(RecordingPlayer::new);
    recording.with_context(|| path.display().to_string())
}

/// The first recorded tick; the player stands behind it.
pub(crate) fn first_tick(player: &mut FilePlayer, path: &Path) -> anyhow::Result<Tick> {
    match player.advance()? {
        Some(first) => Ok(first),
        None => bail!("{}: no recorded tick can be read", path.display()),
    }
}

/// How a room runs a recording at a speed, and how many recorded steps each of its steps makes.
fn rates(header: &RecordingHeader, speed: f64) -> anyhow::Result<(TickRate, u32, f64)> {
    if !(0.01..=100.0).contains(&speed) {
        bail!("--speed {speed}: must be from 0.01 to 100");
    }
    let wanted = f64::from(header.tick_rate.hz()) * speed;
    let hz = (wanted.round() as u32).clamp(1, TICK_HZ_MAX);
    let snapshot_hz = (f64::from(header.snapshot_hz) * speed).round() as u32;
    let rate = TickRate::new(hz).context("a tick rate within its limits")?;
    Ok((rate, snapshot_hz.clamp(1, hz), wanted / f64::from(hz)))
}

pub(crate) async fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let mut player = open(&args.file)?;
    let header = player.header().clone();
    let (tick_rate, snapshot_hz, stride) = match rates(&header, args.speed) {
        Ok(rates) => rates,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let first = first_tick(&mut player, &args.file)?;
    let from = args.from.map_or(first, |moment| moment.tick(first, header.tick_rate));
    let options = ReplayOptions { from, repeats: args.repeats, stride };
    let mut room = RoomConfig::new(tick_rate, snapshot_hz);
    // What was published is published again, as it was.
    room.hold_back = false;
    let replay = Replay::new(player, options)?.context("no recorded tick can be read")?;
    room.first_tick = replay.first_tick();
    drop(replay);
    let path = args.file.clone();
    let game = Game::new(header.schema, move |_| {
        let replay = open(&path).and_then(|player| Ok(Replay::new(player, options)?));
        match replay {
            Ok(Some(replay)) => Box::new(replay),
            // The room fails, and says why; the file was there a moment ago.
            Ok(None) => panic!("{} can no longer be read", path.display()),
            Err(error) => panic!("{error:#}"),
        }
    });
    let mut config = ServerConfig::new(args.listen, room);
    // Whoever serves a recording elsewhere has said so with --listen: there is nobody to be known in it.
    config.access.guests = true;
    let server = serve::bind_game(config, game).await?;
    println!("listening on ws://{}", server.local_addr()?);
    serve::serve(server, interrupt.received()).await;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_sim::arena;

    #[test]
    fn moments_are_ticks_or_seconds() {
        let rate = TickRate::new(60).unwrap();
        for (text, tick) in [("1800", 1_800), ("12.5s", 850), ("0s", 100)] {
            assert_eq!(text.parse::<Moment>().unwrap().tick(Tick(100), rate), Tick(tick));
        }
        for text in ["", "s", "-1s", "12.5", "soon", "-3", "nans"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }

    #[test]
    fn speed_is_the_tick_rate_as_far_as_it_goes() {
        let header = RecordingHeader::new(arena::schema().clone(), TickRate::new(60).unwrap(), 20);
        let rates = |speed| {
            let (rate, snapshot_hz, stride) = rates(&header, speed).unwrap();
            (rate.hz(), snapshot_hz, stride)
        };
        assert_eq!(rates(1.0), (60, 20, 1.0));
        assert_eq!(rates(0.5), (30, 10, 1.0));
        assert_eq!(rates(4.0), (240, 80, 1.0));
        assert_eq!(rates(16.0), (240, 240, 4.0));
        let (hz, snapshot_hz, stride) = rates(0.01);
        assert_eq!((hz, snapshot_hz), (1, 1));
        assert!((stride - 0.6).abs() < 1e-9);
        assert!(super::rates(&header, 0.0).is_err() && super::rates(&header, f64::NAN).is_err());
    }
}
