//! The tokio shell: a socket and a clock around the pure [`Client`](crate::Client).
//!
//! ```text
//!  game or bot <── events, due inputs ── Connection ── moves bytes, stamps time, waits ──> WebSocket over TCP
//!                                          └ owns the Client
//! ```
//!
//! One connection is one future: no task of its own, no channel, no lock. It wakes for messages, for the moment at which
//! inputs are due, and for pings; between them it costs nothing.
//!
//! ```no_run
//! use tickwire_client::net::{self, Wake};
//! use tickwire_client::{ClientConfig, Event};
//! # async fn play(schema: std::sync::Arc<tickwire_protocol::Schema>) -> Result<(), net::ConnectError> {
//! let mut connection = net::connect("ws://127.0.0.1:7777", ClientConfig::new("mygame 1.0"), schema).await?;
//! while let Some(wake) = connection.next().await {
//!     match wake {
//!         Wake::Input(tick) => connection.client_mut().push_input(tick, |row| {
//!             // What the player wants: row.set_vec2(MOVE, stick);
//!         }),
//!         Wake::Event(Event::Disconnected(reason)) => println!("{reason}"),
//!         Wake::Event(_) | Wake::Snapshot => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A game that draws has frames of its own: it calls [`Connection::run_until`] the next one, then polls the client
//! itself.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell is where clocks and sockets live"
)]

mod connection;
mod error;
mod open;

pub use connection::{Connection, SocketStats, Wake};
pub use error::ConnectError;
pub use open::connect;
