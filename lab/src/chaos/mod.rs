//! Chaos: sessions whose connections end at every possible moment, and whether what was promised of them holds.
//!
//! A room and its clients talk over simulated links that are cut in the handshake, between a message and its ack, just after a
//! token was used, twice in a row; the server starts anew; a client stays away for too long, pauses, sleeps, is started anew with its
//! session, or leaves with a word still on its lips; somebody tries a token that was overheard, or to enter a full room. Then all is left in peace for a while, and what every side has said and heard is compared.

mod game;
mod report;
mod run;
mod seat;

pub use report::ChaosReport;
pub use run::run_chaos;
