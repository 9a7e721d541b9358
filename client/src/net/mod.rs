//! The tokio shell: a socket and a clock around the pure [`Client`](crate::Client).
//!
//! ```text
//!  game or bot <── events, due inputs ── Connection ── moves bytes, stamps time, waits ──> WebSocket (over TLS) over TCP
//!                                          └ owns the Client
//! ```
//!
//! One connection is one future: no task of its own, no channel, no lock. It wakes for messages, for the moment at which
//! inputs are due, and for pings; between them it costs nothing.
//!
//! ```no_run
//! use tickwire_client::net::{self, Wake};
//! use tickwire_client::{ClientConfig, Event};
//! # async fn play(schema: std::sync::Arc<tickwire_client::protocol::Schema>) -> Result<(), net::ConnectError> {
//! let mut connection = net::connect("ws://127.0.0.1:7777", ClientConfig::new("mygame 1.0"), schema).await?;
//! while let Some(wake) = connection.next().await {
//!     match wake {
//!         Wake::Input(tick) => connection.push_input(tick, |row| {
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
//! That is for bots and tools, which act when something comes. A game that draws has frames of its own: it calls
//! [`Connection::run_until`] the next one, then polls the client itself. After the end of the connection `run_until`
//! returns at once, so the loop must look whether the client is closed.
//!
//! ```no_run
//! use tickwire_client::protocol::Micros;
//! # use tickwire_client::net::Connection;
//! # async fn play(connection: &mut Connection) {
//! while !connection.client().is_closed() {
//!     let next_frame = connection.now() + Micros(16_667); // Or when the display wants it.
//!     connection.run_until(next_frame).await;
//!     let now = connection.now();
//!     let client = connection.client_mut();
//!     while let Some(tick) = client.due_input_tick(now) {
//!         client.push_input(now, tick, |row| {
//!             // What the player wants: row.set_vec2(MOVE, stick);
//!         });
//!     }
//!     while let Some(event) = client.poll_event(now) {
//!         println!("{event:?}"); // The last one is `Disconnected`, with the reason.
//!     }
//!     for entity in client.view(now).all() {
//!         println!("draw {}", entity.id());
//!     }
//! }
//! # }
//! ```
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell is where clocks and sockets live"
)]

mod connection;
mod discover;
mod error;
mod list;
mod open;
mod options;
mod question;
mod tls;
mod transport;

pub use crate::core::TokenProvider;
pub use connection::{Connection, SocketStats, Wake};
pub use discover::discover;
pub use error::{CertificateProblem, ConnectError};
pub use list::list_rooms;
pub use open::{connect, connect_by, connect_over, connect_with, dial, upgrade};
pub use options::Options;
pub use tls::Roots;
pub use transport::Transport;
