//! `tickwire serve`: the headless server.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::anyhow;
use hdrhistogram::Histogram;
use tickwire_protocol::handshake::Extension;
use tickwire_server::net::{Game, Server, ServerConfig, ServerStats};
use tickwire_sim::arena::{self, Arena, LEVEL_EXTENSION, Level};

use crate::config::ServeArgs;
use crate::signals::Interrupt;
use crate::stats_file::StatsFile;

pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::listen()?;
    let json_stats = args.json_stats();
    let (server, scheme) = match args.resolve() {
        Ok(config) => {
            let scheme = if config.tls.is_some() { "wss" } else { "ws" };
            (bind(config).await?, scheme)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    let stats = json_stats.map(|path| StatsFile::create(path, server.handle()));
    let stats = match stats.transpose() {
        Ok(stats) => stats,
        Err(error) => {
            eprintln!("error: --json-stats {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    println!("listening on {scheme}://{}", server.local_addr()?);
    match stats {
        Some(file) => serve(server, file.keep_until(interrupt.received())).await,
        None => serve(server, interrupt.received()).await,
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves until `interrupted` comes to its end.
pub(crate) async fn serve(server: Server, interrupted: impl Future<Output = ()> + Send + 'static) {
    let handle = server.handle();
    tokio::spawn(async move {
        interrupted.await;
        report(&handle.stats().await);
        handle.shutdown();
    });
    server.run().await;
}

/// How the rooms that are open have kept their time.
fn report(stats: &ServerStats) {
    let quantile = |micros: &Histogram<u64>, quantile| micros.value_at_quantile(quantile) as f64 / 1e3;
    let (step, flush, late) = (stats.step_micros(), stats.flush_micros(), stats.late_micros());
    tracing::info!(
        rooms = stats.rooms.len(),
        players = stats.players,
        tick_ms_p50 = quantile(&step, 0.5),
        tick_ms_p99 = quantile(&step, 0.99),
        tick_ms_max = quantile(&step, 1.0),
        flush_ms_p99 = quantile(&flush, 0.99),
        late_ms_p99 = quantile(&late, 0.99),
        skipped_ticks = stats.skipped_steps(),
        "shutting down"
    );
}

/// Binds a server for the arena.
pub(crate) async fn bind(mut config: ServerConfig) -> anyhow::Result<Server> {
    let players = config.room.players_max;
    let value = players.to_le_bytes().to_vec();
    config.room.extensions.push(Extension { id: LEVEL_EXTENSION, value });
    let game = Game::new(arena::schema().clone(), move |_| {
        Box::new(Arena::new(Level::for_players(players as usize)))
    });
    bind_game(config, game).await
}

/// Binds a server for any game.
pub(crate) async fn bind_game(config: ServerConfig, game: Game) -> anyhow::Result<Server> {
    let listen = config.listen;
    Server::bind(config, game)
        .await
        .map_err(|error| anyhow!("{}: {error}", bind_advice(listen, error.kind())))
}

fn bind_advice(listen: SocketAddr, error: io::ErrorKind) -> String {
    match error {
        io::ErrorKind::AddrInUse => {
            format!("{listen} is taken: end the other program, or choose another address with --listen")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{listen} is no address of this machine: choose another with --listen")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{listen} is not ours to take: choose a port above 1023 with --listen")
        }
        // Says by itself what to do.
        io::ErrorKind::InvalidInput => "not started".to_owned(),
        _ => format!("cannot listen on {listen}"),
    }
}
