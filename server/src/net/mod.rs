//! The tokio shell: sockets, tasks and clocks around the pure core.
//!
//! ```text
//!  listener ── accepts ──> connection task ── hello ──> directory ── place ──> room task
//!                            reader ── messages, stamped ──────────────────────> inbox (bounded)
//!                            writer <── mailbox: one message, and the next only once that one is flushed
//!                                        room task ── recorded bytes (bounded) ──> a file's thread
//! ```
//!
//! A room is owned by its task alone, so nothing is locked on the way of a tick. A room that panics takes nobody
//! else with it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the shell is where clocks and locks live"
)]

mod config;
mod connection;
mod listener;
mod mailbox;
mod recording;
mod room_task;
mod stats;

pub use config::{DirectoryLimits, Game, RecordConfig, ServerConfig};
pub use listener::{Server, ServerHandle};
pub use stats::{RoomStats, ServerStats};
