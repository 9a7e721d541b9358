//! Transfers between a game's server code and its clients: over pure cores and a simulated network, and over sockets.

#![allow(clippy::disallowed_types, reason = "a test looks into the game while a server runs it")]

mod cores;
mod depot;
mod ends;
#[cfg(feature = "net")]
mod sockets;
mod uplink;
