//! `tickwire serve`: the headless server.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::anyhow;
use tickwire_server::net::{Game, Server, ServerConfig};
use tickwire_sim::arena::{self, Arena, Level};

use crate::config::ServeArgs;
use crate::signals::interrupted;

pub(crate) async fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    let server = match args.resolve() {
        Ok(config) => bind(config).await?,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Ok(ExitCode::from(2));
        }
    };
    println!("listening on ws://{}", server.local_addr()?);
    let handle = server.handle();
    tokio::spawn(async move {
        interrupted().await;
        tracing::info!("shutting down");
        handle.shutdown();
    });
    server.run().await;
    Ok(ExitCode::SUCCESS)
}

/// Binds a server for the arena.
pub(crate) async fn bind(config: ServerConfig) -> anyhow::Result<Server> {
    let listen = config.listen;
    let players = config.room.players_max;
    let game = Game::new(arena::schema().clone(), move |_| {
        Box::new(Arena::new(Level::for_players(players as usize)))
    });
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
        _ => format!("cannot listen on {listen}"),
    }
}
