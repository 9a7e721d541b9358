//! What `swarm` can be asked for.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use tickwire_netsim::Profile;
use tickwire_protocol::limits::TICK_HZ_MAX;
use tickwire_server::auth::{Grant, mint};

use super::churn::ABANDONED_MAX;
use super::conduct::SwarmConfig;
use super::load::Load;
use super::{DEFAULT_FULL, DEFAULT_INPUT_HZ, DEFAULT_SEED, DEFAULT_SLOW, DEFAULT_STORM};
use crate::config::DEFAULT_LISTEN;
use crate::files;
use crate::roots::RootArgs;

/// Bots in one process. More would run out of ports towards one server.
const BOTS_MAX: usize = 25_000;

/// Connect bots to a server of the arena.
#[derive(Args, Clone, Debug)]
pub(crate) struct SwarmArgs {
    /// The server
    #[arg(long, env = "TICKWIRE_URL", default_value_t = format!("ws://{DEFAULT_LISTEN}"), value_name = "URL")]
    url: String,

    /// How many bots
    #[arg(long, default_value_t = 64, value_name = "N")]
    bots: usize,

    /// How many of them decode, check, predict and draw everything; the others read how snapshots begin, ack them and send
    /// inputs
    #[arg(long, default_value_t = DEFAULT_FULL, value_name = "N")]
    full: usize,

    /// Rooms to spread the bots over by name; without, they go wherever there is a place
    #[arg(long, value_name = "N")]
    rooms: Option<usize>,

    /// Seconds to measure once all bots are in; without, until Ctrl-C
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,

    /// What the bots do
    #[arg(long, value_enum, default_value_t = Load::Brawl, value_name = "NAME")]
    load: Load,

    /// Bots that join within one second, half-way through `--load join_storm`
    #[arg(long, default_value_t = DEFAULT_STORM, value_name = "N")]
    storm: usize,

    /// Bots that join half-way through `--load slow_readers`, and read nothing after their welcome
    #[arg(long, default_value_t = DEFAULT_SLOW, value_name = "N")]
    slow: usize,

    /// Input frames a second of each bot; each carries the inputs of all ticks since the last
    #[arg(long, default_value_t = DEFAULT_INPUT_HZ, value_name = "HZ")]
    input_hz: u32,

    /// Connects the bots evenly over so many seconds
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    ramp: f64,

    /// Seed of the bots' brains, and of the weather
    #[arg(long, default_value_t = DEFAULT_SEED, value_name = "N")]
    seed: u64,

    /// Puts a simulated link between each bot and its socket: `lan`, `wifi`, `cable`, `4g`, `lossy`, `satellite` or `64k`. All
    /// bots are full ones then
    #[arg(long, value_name = "NAME", value_parser = crate::lab::profile)]
    profile: Option<&'static Profile>,

    /// Puts the first bots behind links of 64 kbit/s, and reports them apart
    #[arg(long, default_value_t = 0, value_name = "N")]
    slow_links: usize,

    /// Cuts each bot's connection about every so many seconds, in all ways in which connections end; the bots come back, and
    /// what is promised of sessions is checked. All bots are full ones then
    #[arg(long, value_name = "SECONDS", conflicts_with_all = ["profile", "slow_links"])]
    churn: Option<f64>,

    /// The bots say, ask and send each other all that a session carries, change teams and names and look away, and what they hear is
    /// checked. All bots are full ones then
    #[arg(long)]
    chatter: bool,

    /// Key file to sign a token for each bot with, as `tickwire token` takes it, for a server that has `--auth-key`; without, bots are
    /// guests
    #[arg(long, env = "TICKWIRE_TOKEN_KEY", value_name = "FILE")]
    token_key: Option<PathBuf>,

    #[command(flatten)]
    roots: RootArgs,

    /// Print the report as one JSON object on stdout
    #[arg(long)]
    pub(super) json: bool,
}

impl SwarmArgs {
    /// Refuses what cannot work before anything is started.
    pub(super) fn resolve(self) -> anyhow::Result<SwarmConfig> {
        let Self { bots, ramp, load, .. } = self;
        let latecomers = load.latecomers(self.storm, self.slow).1;
        check(bots, self.seconds, latecomers)?;
        ensure!(
            self.url.starts_with("ws://") || self.url.starts_with("wss://"),
            "--url {}: the address of a server starts with ws:// or wss://, such as ws://{DEFAULT_LISTEN}",
            self.url
        );
        ensure!(self.rooms != Some(0), "--rooms 0: there must be at least one");
        ensure!(
            (1..=TICK_HZ_MAX).contains(&self.input_hz),
            "--input-hz {}: must be from 1 to {TICK_HZ_MAX}",
            self.input_hz
        );
        ensure!((0.0..=3600.0).contains(&ramp), "--ramp {ramp}: must be from 0 to 3600 seconds");
        ensure!(self.slow_links <= bots, "--slow-links {}: there are only {bots} bots", self.slow_links);
        ensure!(
            !load.is_disturbed() || self.seconds.is_some(),
            "--load {}: say for how many --seconds, to be halved into before and after",
            load.name()
        );
        let churn = self.churn.map(check_churn).transpose()?;
        let abandoned = if churn.is_some() { ABANDONED_MAX } else { 0 };
        files::check((bots + latecomers + abandoned) as u64)?;
        ensure!(
            !load.is_disturbed() || (churn.is_none() && !self.chatter),
            "--load {}: those who come half-way neither talk nor are cut; choose another load for --churn and --chatter",
            load.name()
        );
        let token_key = self.token_key.as_deref().map(read_key).transpose()?;
        Ok(SwarmConfig {
            token_key,
            roots: self.roots.resolve()?,
            full: self.full,
            rooms: self.rooms,
            input_hz: self.input_hz,
            ramp: Duration::from_secs_f64(ramp),
            length: self.seconds.map(Duration::from_secs_f64),
            seed: self.seed,
            load,
            storm: self.storm,
            slow: self.slow,
            profile: self.profile,
            narrow: self.slow_links,
            churn,
            chatter: self.chatter,
            ..SwarmConfig::new(self.url, bots)
        })
    }
}

/// The file of a key that signs.
fn read_key(path: &Path) -> anyhow::Result<Arc<[u8]>> {
    let shown = path.display();
    let key = std::fs::read(path).with_context(|| format!("--token-key {shown}: cannot be read"))?;
    mint(&key, &Grant::new("bot".to_owned(), Duration::from_secs(1)))
        .with_context(|| format!("--token-key {shown}"))?;
    Ok(key.into())
}

/// How long a connection is to last.
fn check_churn(seconds: f64) -> anyhow::Result<Duration> {
    ensure!((0.1..=3600.0).contains(&seconds), "--churn {seconds}: must be from 0.1 to 3600 seconds");
    Ok(Duration::from_secs_f64(seconds))
}

/// Refuses numbers that cannot work; `latecomers` come beside the bots.
pub(crate) fn check(bots: usize, seconds: Option<f64>, latecomers: usize) -> anyhow::Result<()> {
    if bots == 0 {
        bail!("--bots 0: there must be at least one");
    }
    let all = bots.saturating_add(latecomers);
    if all > BOTS_MAX {
        bail!("--bots {bots}: one process runs at most {BOTS_MAX}; start several swarms");
    }
    if let Some(seconds) = seconds.filter(|seconds| !(0.1..=1e6).contains(seconds)) {
        bail!("--seconds {seconds}: must be from 0.1 to 1000000");
    }
    Ok(())
}
