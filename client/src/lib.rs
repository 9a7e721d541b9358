//! Tickwire's client: what a player sees of a room, and says to it.
//!
//! [`Client`] is pure: bytes and time go in, bytes, events and pictures come out. `net` (feature `net`) carries it over a
//! WebSocket on tokio. This is one frame of a game that draws, with any transport:
//!
//! ```
//! use tickwire_client::protocol::{FieldId, KindId, Micros};
//! use tickwire_client::{Client, Event};
//!
//! const TANK: KindId = KindId(0);
//! const POSITION: FieldId = FieldId(0);
//! const TURRET: FieldId = FieldId(1);
//! const STICK: FieldId = FieldId(0);
//!
//! fn frame(client: &mut Client, now: Micros, stick: glam::Vec2, send: &mut dyn FnMut(&[u8])) {
//!     while let Some(tick) = client.due_input_tick(now) {
//!         client.push_input(now, tick, |row| {
//!             row.set_vec2(STICK, stick);
//!         });
//!     }
//!     let mut message = Vec::new();
//!     if client.poll_transmit(now, &mut message) {
//!         send(&message);
//!     }
//!     while let Some(event) = client.poll_event(now) {
//!         match event {
//!             Event::Entered { id, kind } => println!("load the model of {id}, kind {}", kind.0),
//!             Event::Cue(cue) => println!("play the sound of {:?}", cue.id),
//!             Event::Disconnected(reason) => println!("{reason}"),
//!             _ => {}
//!         }
//!     }
//!     let view = client.view(now);
//!     for tank in view.entities(TANK).filter(|tank| !tank.is_own()) {
//!         println!("{} at {} looks to {}", tank.id(), tank.vec3(POSITION), tank.angle(TURRET));
//!     }
//!     for own in client.predicted(now).entities(TANK) {
//!         println!("I am at {}", own.vec3(POSITION));
//!     }
//! }
//! # use tickwire_client::ClientConfig;
//! # use tickwire_client::protocol::Schema;
//! # let schema = Schema::builder("tanks").build()?;
//! # let mut client = Client::new(ClientConfig::new("tanks 1"), schema, Micros::ZERO);
//! # let mut sent = 0;
//! # frame(&mut client, Micros::ZERO, glam::Vec2::X, &mut |bytes| sent += bytes.len());
//! # assert!(sent > 0, "the hello");
//! # Ok::<(), tickwire_client::protocol::schema::SchemaError>(())
//! ```
//!
//! What the client does, by file of `core`:
//!
//! | file | what it decides |
//! |---|---|
//! | `client` | hello, welcome, refusal, silence, end: the states of a connection |
//! | `session` | what each frame after the welcome does, and what goes out |
//! | `clock`, `estimate` | the server's time from pings, and which tick it is then |
//! | `playout`, `lateness` | how far behind that others are shown: the jitter buffer |
//! | `lead` | how far ahead of it inputs are given |
//! | `inputs`, `receipts` | which inputs and acks are still to be sent |
//! | `uplink` | how many bytes of messages may be on their way, so that inputs do not wait behind them |
//! | `stage`, `timeline` | the states that a view may need, per entity |
//! | `view`, `pose`, `interpolation` | what is shown between two states, and beyond the newest |
//! | `prediction` | the own player ahead of the server: steps, comparison, replay, cues told at once, smoothing |
//! | `agenda` | what is told when the view gets there: cues, entering, leaving |
//!
//! The own player is predicted once the client has the game's [`Simulation`](tickwire_sim::Simulation): [`Client::predict`]. Without,
//! [`Client::own_row`] has it as the server last told.

/// The code of the guide is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guides/prediction.md")]
struct Guide;

pub mod core;
#[doc(hidden)]
pub mod fuzzing;
mod handlers;
#[cfg(feature = "net")]
pub mod net;

pub use crate::core::*;
pub use handlers::Handlers;
pub use tickwire_protocol as protocol;
