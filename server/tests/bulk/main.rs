//! Transfers between a game's server code and its clients: over pure cores and a simulated network, and over sockets.

mod cores;
mod depot;
mod ends;
#[cfg(feature = "net")]
mod sockets;
