//! `tickwire demo`: the main job in one command.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use tickwire_server::net::{ServerHandle, ServerStats};

use crate::config::RoomArgs;
use crate::files;
use crate::serve;
use crate::signals::Interrupt;
use crate::status::Status;
use crate::swarm::{self, Gauges, Meter, Report, SwarmConfig};

/// A server and bots in one process over real WebSockets on loopback.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Bots to connect
    #[arg(long, default_value_t = 64, value_name = "N")]
    bots: usize,

    /// Seconds to run once all bots are in; without, until Ctrl-C
    #[arg(long, value_name = "N")]
    seconds: Option<f64>,

    /// Print the summary as one JSON object on stdout
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    rooms: RoomArgs,
}

/// What the demo has to say in the end.
#[derive(Debug, Serialize)]
struct Summary {
    tick: u32,
    rooms: usize,
    tick_ms: TickTimes,
    flush_ms: TickTimes,
    late_ms: TickTimes,
    skipped_ticks: u64,
    swarm: Report,
}

/// Wall time per tick.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct TickTimes {
    p50: f64,
    p99: f64,
    max: f64,
}

pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let checked = swarm::check(args.bots, args.seconds, 0)
        // Both ends of each connection are here.
        .and_then(|()| files::check(2 * args.bots as u64))
        .and_then(|()| args.rooms.server_config(listen));
    let config = match checked {
        Ok(config) => config,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let server = serve::bind(config).await?;
    let url = format!("ws://{}", server.local_addr()?);
    let handle = server.handle();
    eprintln!("serving {} bots on {url}; Ctrl-C ends", args.bots);
    let serving = tokio::spawn(server.run());
    let gauges = Arc::new(Gauges::new(args.bots));
    let length = args.seconds.map(Duration::from_secs_f64);
    let config = SwarmConfig { length, ..SwarmConfig::new(url, args.bots) };
    let playing = swarm::conduct(config, gauges.clone(), interrupt.received());
    let report = tokio::select! {
        report = playing => report?,
        () = show(&handle, gauges) => unreachable!("the status is shown until the swarm is done"),
    };
    let stats = handle.stats().await;
    handle.shutdown();
    serving.await?;
    let summary = Summary::new(&stats, report);
    let is_clean = summary.swarm.is_clean && summary.skipped_ticks == 0;
    if args.json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        print!("{summary}");
    }
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Draws the live status for ever.
async fn show(handle: &ServerHandle, gauges: Arc<Gauges>) {
    let (mut status, mut meter) = (Status::new(), Meter::new(gauges));
    loop {
        tokio::time::sleep(status.interval()).await;
        let stats = handle.stats().await;
        let (_, words) = meter.look();
        status.draw(&[server_line(&stats), format!("a bot: {words}")]);
    }
}

fn server_line(stats: &ServerStats) -> String {
    let TickTimes { p50, p99, max } = TickTimes::of(&stats.step_micros());
    let tick = stats.rooms.first().map_or(0, |room| room.tick.0);
    format!(
        "tick {tick}  step p50 {p50:.2} p99 {p99:.2} max {max:.2} ms  players {} in {} rooms",
        stats.players,
        stats.rooms.len()
    )
}

impl TickTimes {
    fn of(micros: &hdrhistogram::Histogram<u64>) -> Self {
        let ms = |value: u64| value as f64 / 1e3;
        Self {
            p50: ms(micros.value_at_quantile(0.5)),
            p99: ms(micros.value_at_quantile(0.99)),
            max: ms(micros.max()),
        }
    }
}

impl Summary {
    fn new(stats: &ServerStats, swarm: Report) -> Self {
        Self {
            tick: stats.rooms.iter().map(|room| room.tick.0).max().unwrap_or(0),
            rooms: stats.rooms.len(),
            tick_ms: TickTimes::of(&stats.step_micros()),
            flush_ms: TickTimes::of(&stats.flush_micros()),
            late_ms: TickTimes::of(&stats.late_micros()),
            skipped_ticks: stats.skipped_steps(),
            swarm,
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TickTimes { p50, p99, max } = self.tick_ms;
        writeln!(
            f,
            "server      tick {}, {} rooms, {} ticks skipped",
            self.tick, self.rooms, self.skipped_ticks
        )?;
        writeln!(f, "tick time   p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")?;
        let TickTimes { p50, p99, max } = self.flush_ms;
        writeln!(f, "flush time  p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")?;
        let TickTimes { p50, p99, max } = self.late_ms;
        writeln!(f, "lateness    p50 {p50:.2} ms, p99 {p99:.2} ms, max {max:.2} ms")?;
        write!(f, "{}", self.swarm)
    }
}
