//! What `serve` is told: flags beat the environment (`TICKWIRE_*`), which beats the file, which beats the defaults.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use tickwire_protocol::limits::{BUDGET_BYTES_PER_SECOND_MIN, REWIND_MICROS_MAX};
use tickwire_protocol::snapshot::{Coder, Prior};
use tickwire_protocol::{Micros, TickRate};
use tickwire_server::core::{Interest, RoomConfig};
use tickwire_server::net::{RecordConfig, ServerConfig, TlsFiles};
use tickwire_sim::arena;

use crate::access::AccessArgs;
use crate::connections::ConnectionArgs;
use crate::directory::DirectoryArgs;
use crate::sessions::SessionArgs;

/// The address that server and swarm agree on if told nothing.
pub(crate) const DEFAULT_LISTEN: &str = "127.0.0.1:7777";

const DEFAULT_TICK_HZ: u32 = 60;
const DEFAULT_SNAPSHOT_HZ: u32 = 20;
const DEFAULT_ROOM_SIZE: u32 = 64;
const DEFAULT_PLAYERS_MAX: u32 = 10_000;

/// What a room's history can be asked for, ms.
const REWIND_MILLIS_MAX: u32 = (REWIND_MICROS_MAX / 1_000) as u32;

/// Whether rows are sent as differences.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    On,
    Off,
}

/// How rows become bits.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CoderName {
    /// Static tables and a range coder: the fewest bytes
    Dense,
    /// Packed bits: cheaper to write and read
    Fast,
}

/// How the server runs. Every setting can also be given as an environment variable or in the file.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct ServeArgs {
    /// Address to listen on; port 0 lets the system choose [default: 127.0.0.1:7777]
    #[arg(long, env = "TICKWIRE_LISTEN", value_name = "ADDR:PORT")]
    pub(crate) listen: Option<SocketAddr>,

    /// The server's certificate and those that vouch for it, PEM: connections are encrypted then (wss://). Read again when it changes
    #[arg(long, env = "TICKWIRE_TLS_CERT", value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of the certificate, PEM
    #[arg(long, env = "TICKWIRE_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Players in all rooms together [default: 10000]
    #[arg(long, env = "TICKWIRE_MAX_PLAYERS", value_name = "N")]
    pub(crate) max_players: Option<u32>,

    /// Record the first room to this file; later rooms have their number before its extension. No file that is there is
    /// written over
    #[arg(long, env = "TICKWIRE_RECORD", value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Recorded ticks a second, at most the tick rate [default: as many as snapshots]
    #[arg(long, env = "TICKWIRE_RECORD_HZ", value_name = "HZ")]
    pub(crate) record_hz: Option<u32>,

    /// Write what the server measures of itself to this file, as one JSON object, each second and at the end
    #[arg(long, env = "TICKWIRE_JSON_STATS", value_name = "FILE")]
    pub(crate) json_stats: Option<PathBuf>,

    /// TOML file with these settings by their long names, such as `tick-hz = 60`; those of access, connections, sessions and which rooms
    /// there are in tables `[access]`, `[connections]`, `[sessions]` and `[directory]`
    #[arg(long, env = "TICKWIRE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) access: AccessArgs,

    #[command(flatten)]
    pub(crate) connections: ConnectionArgs,

    #[command(flatten)]
    pub(crate) sessions: SessionArgs,

    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,

    #[command(flatten)]
    pub(crate) rooms: RoomArgs,
}

/// How rooms run: shared by `serve` and `demo`.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[command(next_help_heading = "How rooms run")]
pub(crate) struct RoomArgs {
    /// Steps of the simulation a second, 1 to 240 [default: 60]
    #[arg(long, env = "TICKWIRE_TICK_HZ", value_name = "HZ")]
    pub(crate) tick_hz: Option<u32>,

    /// Snapshots a second to each client, at most the tick rate [default: 20]
    #[arg(long, env = "TICKWIRE_SNAPSHOT_HZ", value_name = "HZ")]
    pub(crate) snapshot_hz: Option<u32>,

    /// Players in a room; the next one opens another room [default: 64]
    #[arg(long, env = "TICKWIRE_ROOM_SIZE", value_name = "N")]
    pub(crate) room_size: Option<u32>,

    /// Whether rows are sent as differences; off sends every row whole in every snapshot, for debugging [default: on]
    #[arg(long, env = "TICKWIRE_DELTA", value_name = "SWITCH")]
    pub(crate) delta: Option<Switch>,

    /// How rows become bits: `dense` makes the fewest bytes, `fast` is cheaper to write and read [default: dense]
    #[arg(long, env = "TICKWIRE_CODER", value_name = "CODER")]
    pub(crate) coder: Option<CoderName>,

    /// What the coder has learned, as `trace --train` wrote it; clients that lack it are sent it [default: built in]
    #[arg(long, env = "TICKWIRE_PRIOR", value_name = "FILE")]
    pub(crate) prior: Option<PathBuf>,

    /// Shows each client only what is within so many metres of its player [default: everything]
    #[arg(long, env = "TICKWIRE_INTEREST", value_name = "METRES")]
    pub(crate) interest: Option<f32>,

    /// Of that, only so many entities, the nearest [default: all]
    #[arg(long, env = "TICKWIRE_NEAREST", value_name = "N")]
    pub(crate) nearest: Option<usize>,

    /// What each client is sent of snapshots over any second, kbit/s, with the WebSocket headers; at least 8. 0: as much as its
    /// link takes [default: 64]
    #[arg(long, env = "TICKWIRE_BUDGET", value_name = "KBIT")]
    pub(crate) budget: Option<u32>,

    /// How far back shots are judged by what the shooter saw, ms, at most 400 [default: 250]
    #[arg(long, env = "TICKWIRE_REWIND", value_name = "MS")]
    pub(crate) rewind: Option<u32>,

    /// Seed of the rooms' chance [default: 0]
    #[arg(long, env = "TICKWIRE_SEED", value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// The file: the same names as the flags.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FileConfig {
    listen: Option<SocketAddr>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    #[serde(default)]
    access: AccessArgs,
    #[serde(default)]
    connections: ConnectionArgs,
    #[serde(default)]
    sessions: SessionArgs,
    #[serde(default)]
    directory: DirectoryArgs,
    max_players: Option<u32>,
    record: Option<PathBuf>,
    record_hz: Option<u32>,
    json_stats: Option<PathBuf>,
    log: Option<String>,
    tick_hz: Option<u32>,
    snapshot_hz: Option<u32>,
    room_size: Option<u32>,
    delta: Option<Switch>,
    coder: Option<CoderName>,
    prior: Option<PathBuf>,
    interest: Option<f32>,
    nearest: Option<usize>,
    budget: Option<u32>,
    rewind: Option<u32>,
    seed: Option<u64>,
}

impl ServeArgs {
    /// What the file says about logging. A file that cannot be read is a mistake that [`ServeArgs::resolve`] tells of.
    pub(crate) fn log_of_file(&self) -> Option<String> {
        FileConfig::read(self.config.as_deref()?).ok()?.log
    }

    /// Where the server's own figures go, if anywhere; of the file as [`ServeArgs::log_of_file`].
    pub(crate) fn json_stats(&self) -> Option<PathBuf> {
        let of_file = || FileConfig::read(self.config.as_deref()?).ok()?.json_stats;
        self.json_stats.clone().or_else(of_file)
    }

    /// Fills what was not given from the file and the defaults, and checks it all.
    pub(crate) fn resolve(self) -> anyhow::Result<ServerConfig> {
        let file = match &self.config {
            Some(path) => FileConfig::read(path)?,
            None => FileConfig::default(),
        };
        let default_listen = DEFAULT_LISTEN.parse().context("the default address")?;
        let listen = self.listen.or(file.listen).unwrap_or(default_listen);
        let rooms = RoomArgs {
            tick_hz: self.rooms.tick_hz.or(file.tick_hz),
            snapshot_hz: self.rooms.snapshot_hz.or(file.snapshot_hz),
            room_size: self.rooms.room_size.or(file.room_size),
            delta: self.rooms.delta.or(file.delta),
            coder: self.rooms.coder.or(file.coder),
            prior: self.rooms.prior.or(file.prior),
            interest: self.rooms.interest.or(file.interest),
            nearest: self.rooms.nearest.or(file.nearest),
            budget: self.rooms.budget.or(file.budget),
            rewind: self.rooms.rewind.or(file.rewind),
            seed: self.rooms.seed.or(file.seed),
        };
        let mut config = rooms.server_config(listen)?;
        self.directory.or(file.directory).apply(&mut config);
        config.tls = tls_files(self.tls_cert.or(file.tls_cert), self.tls_key.or(file.tls_key))?;
        config.access = self.access.or(file.access).resolve()?;
        self.sessions.or(file.sessions).apply(&mut config.room)?;
        let players_max = self.max_players.or(file.max_players);
        self.connections.or(file.connections).apply(players_max, &mut config)?;
        config.directory.players_max = players_max.unwrap_or(DEFAULT_PLAYERS_MAX);
        let hz = self.record_hz.or(file.record_hz);
        config.record = match self.record.or(file.record) {
            Some(path) => Some(record_config(path, hz, config.room.tick_rate)?),
            None => None,
        };
        Ok(config)
    }
}

/// Refuses a number that is given and out of its range; `unit` says what it counts.
pub(crate) fn check_range(
    flag: &str,
    given: Option<u32>,
    range: RangeInclusive<u32>,
    unit: &str,
) -> anyhow::Result<()> {
    match given.filter(|given| !range.contains(given)) {
        Some(given) => bail!("{flag} {given}: must be from {} to {} {unit}", range.start(), range.end()),
        None => Ok(()),
    }
}

fn tls_files(certificate: Option<PathBuf>, key: Option<PathBuf>) -> anyhow::Result<Option<TlsFiles>> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            bail!("--tls-cert: give the private key of the certificate as well, with --tls-key")
        }
        (None, Some(_)) => {
            bail!("--tls-key: give the certificate that it belongs to as well, with --tls-cert")
        }
    }
}

/// Says now what would go wrong when the first room opens.
fn record_config(path: PathBuf, hz: Option<u32>, tick_rate: TickRate) -> anyhow::Result<RecordConfig> {
    if let Some(hz) = hz.filter(|hz| !(1..=tick_rate.hz()).contains(hz)) {
        bail!("--record-hz {hz}: must be from 1 to the tick rate, {}", tick_rate.hz());
    }
    let shown = path.display();
    if path.exists() {
        bail!("--record {shown}: it is there already; remove it, or choose another name");
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if path.file_name().is_none() || folder.is_some_and(|folder| !folder.is_dir()) {
        bail!("--record {shown}: there is no such folder");
    }
    Ok(RecordConfig { path, hz })
}

impl RoomArgs {
    /// A server on this address with rooms as told.
    pub(crate) fn server_config(&self, listen: SocketAddr) -> anyhow::Result<ServerConfig> {
        let tick_hz = self.tick_hz.unwrap_or(DEFAULT_TICK_HZ);
        let Some(tick_rate) = TickRate::new(tick_hz) else {
            bail!(
                "--tick-hz {tick_hz}: the tick rate must be from 1 to {}",
                tickwire_protocol::limits::TICK_HZ_MAX
            );
        };
        let snapshot_hz = self.snapshot_hz.unwrap_or(DEFAULT_SNAPSHOT_HZ.min(tick_hz));
        if snapshot_hz == 0 || snapshot_hz > tick_hz {
            bail!("--snapshot-hz {snapshot_hz}: must be from 1 to the tick rate, {tick_hz}");
        }
        let room_size = self.room_size.unwrap_or(DEFAULT_ROOM_SIZE);
        if room_size == 0 {
            bail!("--room-size 0: a room must take at least one player");
        }
        let mut room = RoomConfig::new(tick_rate, snapshot_hz);
        room.players_max = room_size;
        room.delta = self.delta != Some(Switch::Off);
        room.coder = match self.coder {
            Some(CoderName::Fast) => Coder::Fast,
            Some(CoderName::Dense) | None => Coder::Dense,
        };
        if let Some(path) = &self.prior {
            room.prior = read_prior(path)?;
        }
        room.interest = self.interest()?;
        if let Some(kbit) = self.budget {
            room.budget = budget(kbit)?;
        }
        check_range("--rewind", self.rewind, 0..=REWIND_MILLIS_MAX, "ms")?;
        room.rewind_max = self.rewind.map_or(room.rewind_max, |millis| Micros::from_millis(millis.into()));
        let mut config = ServerConfig::new(listen, room);
        config.seed = self.seed.unwrap_or(0);
        Ok(config)
    }

    /// Which entities clients are shown.
    fn interest(&self) -> anyhow::Result<Interest> {
        let Some(metres) = self.interest else {
            if let Some(count) = self.nearest {
                bail!("--nearest {count}: say within which distance, such as --interest 50");
            }
            return Ok(Interest::everything());
        };
        ensure!(metres.is_finite() && metres > 0.0, "--interest {metres}: must be a distance above 0 m");
        let interest = Interest::within(metres);
        Ok(self.nearest.map_or(interest.clone(), |count| interest.nearest(count)))
    }
}

/// Bytes a second from kbit/s; none where there is to be no limit.
fn budget(kbit: u32) -> anyhow::Result<Option<u32>> {
    let bytes = kbit.checked_mul(125).filter(|bytes| kbit == 0 || *bytes >= BUDGET_BYTES_PER_SECOND_MIN);
    let least = BUDGET_BYTES_PER_SECOND_MIN / 125;
    let bytes = bytes
        .with_context(|| format!("--budget {kbit}: must be at least {least} kbit/s, or 0 for no limit"))?;
    Ok((bytes > 0).then_some(bytes))
}

fn read_prior(path: &Path) -> anyhow::Result<Arc<Prior>> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("--prior {shown}: cannot be read"))?;
    let prior = Prior::decode(&bytes).with_context(|| {
        format!("--prior {shown}: not a prior of this version; make one with `trace --train`")
    })?;
    // Of another schema it would be used for none of its columns, and all guesses would be bad.
    ensure!(
        prior.fits(arena::schema()),
        "--prior {shown}: learned for another schema than the room's; train one from recordings of this game"
    );
    Ok(prior)
}

impl FileConfig {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not a valid configuration", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tickwire-config-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    #[test]
    fn a_number_of_entities_needs_a_distance() {
        let listen = DEFAULT_LISTEN.parse().unwrap();
        let resolve = |interest, nearest| {
            let rooms = RoomArgs { interest, nearest, ..RoomArgs::default() };
            rooms.server_config(listen).map(|config| format!("{:?}", config.room.interest))
        };
        assert!(resolve(None, Some(8)).unwrap_err().to_string().contains("--interest 50"));
        assert!(resolve(Some(0.0), None).unwrap_err().to_string().contains("above 0"));
        assert!(resolve(Some(f32::NAN), None).is_err());
        let near = Interest::within(30.0).nearest(8);
        assert_eq!(resolve(Some(30.0), Some(8)).unwrap(), format!("{near:?}"));
        assert_eq!(resolve(None, None).unwrap(), format!("{:?}", Interest::everything()));
    }

    #[test]
    fn a_budget_is_told_in_kilobits() {
        let budget =
            |budget| with_rooms(RoomArgs { budget, ..RoomArgs::default() }).resolve().unwrap().room.budget;
        assert_eq!(
            [None, Some(0), Some(8), Some(500)].map(budget),
            [Some(8_000), None, Some(1_000), Some(62_500)]
        );
    }

    #[test]
    fn flags_beat_the_file_and_the_file_beats_the_defaults() {
        let path = file(
            "layers",
            "listen = '127.0.0.1:1234'\ntick-hz = 30\nsnapshot-hz = 15\ndelta = 'off'\nlog = 'warn'\n\
             record = 'from-file.twr'\nrecord-hz = 5\ncoder = 'fast'",
        );
        let rooms = RoomArgs { snapshot_hz: Some(10), ..RoomArgs::default() };
        let args = ServeArgs { rooms, config: Some(path.clone()), ..ServeArgs::default() };
        assert_eq!(args.log_of_file().as_deref(), Some("warn"));
        let config = args.resolve().unwrap();
        std::fs::remove_file(path).unwrap();
        assert_eq!(config.listen.port(), 1234);
        assert_eq!((config.room.tick_rate.hz(), config.room.snapshot_hz), (30, 10));
        assert!(!config.room.delta);
        assert_eq!(config.room.coder, Coder::Fast);
        let record = config.record.unwrap();
        assert_eq!((record.path, record.hz), ("from-file.twr".into(), Some(5)));
        assert_eq!((config.room.players_max, config.directory.players_max), (64, 10_000));
    }

    #[test]
    fn rooms_guess_with_the_prior_of_the_file() {
        let path = std::env::temp_dir().join(format!("tickwire-config-{}.prior", std::process::id()));
        std::fs::write(&path, Prior::untrained().encoded()).unwrap();
        let rooms = RoomArgs { prior: Some(path.clone()), ..RoomArgs::default() };
        let room = with_rooms(rooms).resolve().unwrap().room;
        std::fs::remove_file(path).unwrap();
        assert_eq!((room.prior.hash(), room.coder), (Prior::untrained().hash(), Coder::Dense));
        let room = with_rooms(RoomArgs::default()).resolve().unwrap().room;
        assert_eq!(room.prior.hash(), Prior::default_prior().hash());
    }

    #[test]
    fn tables_of_the_file_are_read() {
        let path = file(
            "tables",
            "max-players = 50000\n[access]\nguests = true\n[connections]\nwrite-timeout = 3\n\
             [sessions]\nidle-timeout = 0\n[directory]\nmax-rooms = 7",
        );
        let config = ServeArgs { config: Some(path.clone()), ..ServeArgs::default() }.resolve().unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(config.access.guests && config.connections_max > 50_000);
        assert_eq!((config.write_timeout.as_secs(), config.room.idle_timeout), (3, None));
        assert_eq!(config.directory.rooms_max, 7);
    }

    #[test]
    fn mistakes_are_named() {
        let unknown = file("unknown", "tick-herz = 30");
        let cases = [
            (ServeArgs { config: Some(unknown.clone()), ..ServeArgs::default() }, "tick-herz"),
            (
                ServeArgs { config: Some("/nowhere.toml".into()), ..ServeArgs::default() },
                "cannot read /nowhere.toml",
            ),
            (with_rooms(RoomArgs { tick_hz: Some(241), ..RoomArgs::default() }), "from 1 to 240"),
            (
                with_rooms(RoomArgs { snapshot_hz: Some(61), ..RoomArgs::default() }),
                "from 1 to the tick rate, 60",
            ),
            (with_rooms(RoomArgs { room_size: Some(0), ..RoomArgs::default() }), "at least one player"),
            (with_prior(Path::new("/nowhere.prior")), "--prior /nowhere.prior: cannot be read"),
            (with_prior(&unknown), "not a prior of this version"),
            (with_rooms(RoomArgs { budget: Some(7), ..RoomArgs::default() }), "at least 8 kbit/s, or 0"),
            (with_rooms(RoomArgs { budget: Some(u32::MAX), ..RoomArgs::default() }), "at least 8 kbit/s"),
            (ServeArgs { tls_cert: Some("cert.pem".into()), ..ServeArgs::default() }, "--tls-key"),
            (ServeArgs { tls_key: Some("key.pem".into()), ..ServeArgs::default() }, "--tls-cert"),
            (with_record(&unknown, None), "it is there already"),
            (with_record(Path::new("/nowhere/match.twr"), None), "no such folder"),
            (with_record(Path::new("match.twr"), Some(61)), "from 1 to the tick rate, 60"),
        ];
        for (args, part) in cases {
            let text = format!("{:#}", args.resolve().unwrap_err());
            assert!(text.contains(part), "{text:?} should say {part:?}");
        }
        std::fs::remove_file(unknown).unwrap();
    }

    fn with_prior(path: &Path) -> ServeArgs {
        with_rooms(RoomArgs { prior: Some(path.to_owned()), ..RoomArgs::default() })
    }

    fn with_record(path: &Path, record_hz: Option<u32>) -> ServeArgs {
        ServeArgs { record: Some(path.to_owned()), record_hz, ..ServeArgs::default() }
    }

    fn with_rooms(rooms: RoomArgs) -> ServeArgs {
        ServeArgs { rooms, ..ServeArgs::default() }
    }
}
