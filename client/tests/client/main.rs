//! A client against a server that is made of the wire alone.

mod handshake;
mod hostile;
mod inputs;
mod motion;
mod polls;
mod prediction;
mod saved;
mod states;
mod stats;
mod support;
mod tokens;
#[cfg(feature = "net")]
mod websocket;
