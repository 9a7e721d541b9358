//! A client against a server that is made of the wire alone.

mod calls;
mod handshake;
mod hostile;
mod inputs;
mod motion;
mod polls;
mod prediction;
mod problems;
mod saved;
mod states;
mod stats;
mod support;
mod tokens;
#[cfg(feature = "net")]
mod websocket;
