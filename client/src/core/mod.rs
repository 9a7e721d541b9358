//! The pure client: bytes, time and the player's wishes in; bytes, events and pictures out.

mod agenda;
mod client;
mod clock;
mod config;
mod continuity;
mod estimate;
mod event;
mod inputs;
mod lateness;
mod lead;
mod members;
mod moments;
mod playout;
mod pose;
mod prediction;
mod receipts;
mod reconnect;
mod session;
mod stage;
mod state;
mod stats;
mod timekeeper;
mod timeline;
mod view;

pub use client::Client;
pub use clock::Clock;
pub use config::ClientConfig;
pub use event::{ClientFault, DisconnectReason, Event};
pub use members::{Member, MemberEvent, Members};
pub use moments::ToldEvent;
pub use reconnect::{Backoff, Network, Reconnect};
pub use session::OwnEntity;
pub use state::ConnectionState;
pub use stats::{ClientStats, Correction};
pub use timekeeper::Timekeeper;
pub use view::{EntityView, View};
