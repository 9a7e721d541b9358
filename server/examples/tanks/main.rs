//! A second game, unlike the arena: tanks on a plane hunt each other and the drones above it.
//!
//! Server and players run in this one process, over real WebSockets: `cargo run --release --example tanks -- 10` plays
//! for ten seconds (five, if nothing is said) and prints what one of the players sees.
//!
//! | file | what a game of your own has in its place |
//! |---|---|
//! | `schema.rs` | what server and clients must agree on |
//! | `game.rs` | the rules: what steps on the server |
//! | `orders.rs` | the input, and who gives it |
//! | `screen.rs` | what a client shows |
//! | `tests.rs` | the checks that every game should have, and how to run a match in virtual time |

mod game;
mod orders;
mod schema;
mod screen;
#[cfg(test)]
mod tests;

use std::error::Error;

use tickwire_client::net::{self, ConnectError, Wake};
use tickwire_client::{ClientConfig, DisconnectReason};
use tickwire_server::core::RoomConfig;
use tickwire_server::net::{Game, Server, ServerConfig};
use tickwire_sim::prelude::Micros;

use game::TankGame;
use orders::Orders;
use schema::{TICK_RATE, schema};
use screen::Screen;

const PLAYERS: usize = 4;
/// Pictures a second; nothing that the server has to know.
const PICTURE_HZ: u64 = 60;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds = match std::env::args().nth(1) {
        Some(text) => {
            text.parse().map_err(|_| format!("`{text}` is no number of seconds: try `tanks 10`"))?
        }
        None => 5,
    };
    let server = bind().await?;
    let url = format!("ws://{}", server.local_addr()?);
    println!("listening on {url}");
    let handle = server.handle();
    let serving = tokio::spawn(server.run());
    let others: Vec<_> = (1..PLAYERS).map(|_| tokio::spawn(play(url.clone()))).collect();
    watch(&url, seconds).await?;
    // Everyone hears of it, so all ends by itself.
    handle.shutdown();
    for other in others {
        println!("another player: {}", other.await??);
    }
    serving.await?;
    Ok(())
}

/// The server, on a port of the system's choice.
async fn bind() -> std::io::Result<Server> {
    let schema = schema();
    let game = Game::new(schema.clone(), move |_| Box::new(TankGame::new(schema.clone())));
    Server::bind(ServerConfig::new(([127, 0, 0, 1], 0).into(), room()), game).await
}

/// How a match runs: every other step is sent.
fn room() -> RoomConfig {
    RoomConfig { players_max: 16, ..RoomConfig::new(TICK_RATE, 15) }
}

/// A player that nobody watches: told when its inputs are due, it plays until the server goes.
async fn play(url: String) -> Result<DisconnectReason, ConnectError> {
    // The server is of this very program: once it goes there is none to come back to.
    let config = ClientConfig { reconnect: None, ..ClientConfig::new("tanks 1") };
    let mut connection = net::connect(&url, config, schema()).await?;
    while let Some(wake) = connection.next().await {
        if let Wake::Input(tick) = wake {
            let orders = Orders::scripted(connection.client(), connection.now());
            connection.push_input(tick, |row| orders.write(row));
        }
    }
    Ok(connection.client().disconnect_reason().cloned().unwrap_or(DisconnectReason::Lost))
}

/// A player with a screen: it plays in the rhythm of its pictures, and then leaves.
async fn watch(url: &str, seconds: u64) -> Result<(), ConnectError> {
    let mut connection = net::connect(url, ClientConfig::new("tanks 1"), schema()).await?;
    let mut screen = Screen::default();
    for picture in 1..=seconds * PICTURE_HZ {
        connection.run_until(Micros(picture * 1_000_000 / PICTURE_HZ)).await;
        let now = connection.now();
        let client = connection.client_mut();
        let orders = Orders::scripted(client, now);
        while let Some(tick) = client.due_input_tick(now) {
            client.push_input(now, tick, |row| orders.write(row));
        }
        screen.tell(client, now);
        if picture % PICTURE_HZ == 0 {
            screen.draw(client, now);
        }
    }
    connection.close().await;
    Ok(())
}
