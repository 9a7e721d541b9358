//! Chaos: sessions whose connections end at every possible moment, and whether what was promised of them holds.
//!
//! A room and its clients talk over simulated links that are cut in the handshake, between a message and its ack, just after a
//! token was used, twice in a row; the server starts anew; a client stays away for too long, pauses, sleeps, is started anew with its
//! session as it was last or some time before, or leaves with a word still on its lips; somebody tries a token that was overheard, or to enter
//! a full room. All the while both sides talk, ask and answer, tell what happens, and hand each other large contents; players are put into
//! groups, and the match stands otherwise. Then all is left in peace for a while, and what every side has said and heard is compared.
//!
//! ```text
//!  game ── desk ─────── facts ──> ledger ──┐
//!    rows of counts ───────────────────────┤
//!                                          ├──> settle ──> report
//!  seat ── say, hear ── memory ────────────┘
//!            asks, hauls, scene: checked at once
//! ```

mod asks;
mod desk;
mod facts;
mod game;
mod hauls;
mod memory;
mod report;
mod run;
mod scene;
mod seat;
mod settle;
mod tag;

pub use report::ChaosReport;
pub use run::run_chaos;
