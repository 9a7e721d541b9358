//! The tokio shell: sockets, tasks and clocks around the pure core.
//!
//! ```text
//!  listener ── accepts ──> connection task ── hello ──> directory ── doors ──> room task
//!                            listens: messages, stamped ───────────────────────> inbox (bounded, looked into at each tick)
//!                                     its writing half ── joins (bounded) ─────> a seat: the room writes to the socket
//!                                     says goodbye <── writing half, and why ─── when the stay is over
//!                                        room task ── recorded bytes (bounded) ──> a file's thread
//!                                        room task ── what its game says to all (bounded) ──> courier ──> inboxes of the other rooms
//! ```
//!
//! A room is owned by its task alone, so nothing is locked on the way of a tick. A room that panics takes nobody
//! else with it.
//!
//! # Who owns what of a connection
//!
//! | | at first | in a room | at the end |
//! |---|---|---|---|
//! | reading half | connection's task | connection's task | connection's task |
//! | writing half, with what the kernel has not taken of it | connection's task | the room, in the peer's `Seat` | connection's task |
//! | upgrade, reject, closing handshake | connection's task | nobody | connection's task |
//! | the keys of TLS | connection's task | both, by a lock (`tls/session.rs`) | both |
//!
//! Whoever owns the writing half is the only one who writes, so frames never mix and there is nothing to lock. A room never
//! closes a connection: it gives the writing half back with an `Ending`, and the connection's task, which
//! has all the time of the world, says it after what is still pending.
//!
//! # Who learns of what
//!
//! - **A peer leaves**, or its reader finds a fault: the connection's task puts a `Leave` into the inbox and waits for its writing
//!   half. If the room gives that back for a reason of its own at the same time, the `Leave` finds nobody.
//! - **The socket is full**: the room keeps the rest of the frame in the seat, encodes nothing more for this peer, and tries again
//!   at each round (a tick, at most 50 ms apart). Nobody has to tell it: tokio notes writable sockets without a task, and asking
//!   one that is not costs an atomic load. A reader that waits for a place in the inbox is therefore in nobody's way.
//! - **The socket is dead**: writing fails, which ends the stay as a `Leave` does.
//! - **It stays full**: after `write_timeout` without a byte taken the room gives it up, with [`PeerFault::Stalled`](crate::protocol::PeerFault).
//! - **A ping comes**: it goes through the inbox, the newest waits in the seat for the next transmission.
//! - **The room panics, ends, or the server does**: `dismiss` gives all writing halves back, at the latest when the task is
//!   dropped. A join on its way is given back with them, or refused by the closed door.
//! - **The connection's task is gone** (the server's patience is over): its end of the seat is closed, and what is given back
//!   falls, which closes the socket.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell is where clocks and locks live"
)]

mod access;
mod accounts;
mod addresses;
mod clock;
mod config;
mod connection;
mod courier;
mod doors;
mod http;
mod listener;
mod lock;
mod meters;
mod owner;
mod place;
mod proxy;
mod questions;
mod recording;
mod room_task;
mod seat;
mod slots;
mod stagger;
mod stats;
mod stream;
mod tls;
mod upgrade;
mod websocket;

pub use access::{AccessConfig, AccountPolicy, AddressLimits, LetsIn};
pub use config::{DirectoryLimits, Game, RecordConfig, ServerConfig};
pub use listener::{Server, ServerHandle};
pub use meters::Meters;
pub use owner::OwnerError;
pub use proxy::{Network, NetworkError, ProxySpeech, TrustedProxies};
pub use stats::{RoomStats, ServerStats};
pub use tls::TlsFiles;
pub use websocket::WebSocketWriter;
