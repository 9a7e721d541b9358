//! `tickwire`: the headless server, the bot swarm, the demo, what replays and explains recordings, and the codec on
//! recordings of games.
//!
//! Results go to stdout, logs and progress to stderr. Exit status: 0 done and clean, 1 failed or found something
//! wrong, 2 called wrongly.

mod access;
mod config;
mod connect;
mod connections;
mod demo;
mod directory;
mod fields;
mod files;
mod hidden;
mod inspect;
mod lab;
mod replay;
mod rooms;
mod roots;
mod serve;
mod sessions;
mod signals;
mod stats_file;
mod status;
mod swarm;
mod token;
mod trace;
mod usage;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Tickwire: a netcode engine for multiplayer state sync.
#[derive(Debug, Parser)]
#[command(version, about, after_help = AFTER_HELP, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// What is logged to stderr: error, warn, info, debug, trace, or a filter such as `tickwire_server=debug`
    /// [default: info]
    #[arg(long, global = true, env = "TICKWIRE_LOG", value_name = "FILTER")]
    log: Option<String>,
}

const AFTER_HELP: &str = "\
Exit status: 0 done and clean, 1 failed or found something wrong, 2 called wrongly.

Try first:  tickwire demo
Then:       tickwire serve        and in another terminal
            tickwire swarm --url ws://127.0.0.1:7777 --bots 200 --seconds 20
By hand:    tickwire connect      and then `help`
Recordings: tickwire serve --record match.twr, and later
            tickwire inspect match.twr
            tickwire replay match.twr";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the headless server with the example game `arena`
    Serve(Box<config::ServeArgs>),
    /// Connect a swarm of bots to a server, check all that they are sent, and report
    Swarm(swarm::SwarmArgs),
    /// Join a server by hand: see what it tells, send messages, ping
    Connect(connect::ConnectArgs),
    /// List the rooms of a server
    Rooms(rooms::RoomsArgs),
    /// Sign a token for trying out, and make a key for it
    Token(token::TokenArgs),
    /// A server and bots in one process over real WebSockets, with a live status
    Demo(demo::DemoArgs),
    /// Serve a recording to clients, as it was published
    Replay(replay::ReplayArgs),
    /// Explain a recording in words: header, records, frames and rows, and what is damaged
    Inspect(inspect::InspectArgs),
    /// Measure how good the motion is on a simulated link
    Lab(lab::LabArgs),
    /// Send recordings of real matches through the codec, check every frame, and report what it costs
    Trace(trace::TraceArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let from_file = || match &cli.command {
        Command::Serve(args) => args.log_of_file(),
        _ => None,
    };
    let log = cli.log.clone().or_else(from_file).unwrap_or_else(|| "info".to_owned());
    if let Err(error) = init_log(&log) {
        eprintln!("error: --log `{log}`: {error}");
        return ExitCode::from(2);
    }
    files::raise_limit();
    match run(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        match command {
            Command::Serve(args) => serve::run(*args).await,
            Command::Swarm(args) => swarm::run(args).await,
            Command::Connect(args) => Box::pin(connect::run(args)).await,
            Command::Rooms(args) => rooms::run(args).await,
            Command::Token(args) => token::run(args),
            Command::Demo(args) => demo::run(args).await,
            Command::Replay(args) => replay::run(args).await,
            Command::Inspect(args) => inspect::run(&args),
            Command::Lab(args) => lab::run(&args),
            Command::Trace(args) => trace::run(&args),
        }
    });
    // Tasks that are still closing their connections need not be waited for.
    runtime.shutdown_background();
    result
}

fn init_log(filter: &str) -> Result<(), tracing_subscriber::filter::ParseError> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::builder().parse(filter)?)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
