//! Tickwire's wire: frames, schema, snapshot tables and the delta codec.
//!
//! PURE: bytes and values in, bytes and values out. No clock, no socket, no thread.
//!
//! | module | what it decides |
//! |---|---|
//! | [`schema`] | what a game's entities, cues and inputs are made of |
//! | [`row`], [`table`], [`history`] | quantized state: rows, tables of a tick, the ring of published ticks |
//! | [`snapshot`] | the delta codec: which bits a row becomes, and a replica that bits become again |
//! | [`frame`] | how frames lie in a transport message |
//! | [`handshake`], [`input`], [`ping`], [`ack`], [`budget`] | the other frames |
//! | [`message`], [`bulk`] | what games say beside state: messages, and what is too large for one |
//! | [`room`] | who is in a room |
//! | [`recording`] | a room's stream in a file: seekable, and readable after a crash |
//! | [`limits`], [`fault`] | every bound, and what happens to a peer that breaks one |

pub mod ack;
pub mod bits;
pub mod budget;
pub mod bulk;
mod cold;
pub mod cue;
pub mod fault;
pub mod frame;
#[doc(hidden)]
pub mod fuzzing;
pub mod handshake;
pub mod hash;
pub mod history;
pub mod ids;
pub mod input;
pub mod limits;
mod lz4;
pub mod message;
pub mod pause;
pub mod ping;
pub mod quantize;
pub mod recording;
pub mod room;
pub mod row;
pub mod schema;
pub mod snapshot;
pub mod table;
pub mod time;
pub mod typed;

pub use ack::{Ack, AckWindow, Sequence};
pub use cue::Cue;
pub use fault::{CloseCode, DecodeError, Misbehavior, PeerFault};
pub use frame::{Frame, FrameType};
pub use handshake::{Hello, Reject, RejectReason, Role, RoomWish, StreamKind, Welcome};
pub use ids::{EntityId, GroupId, PeerId, PlayerId, RoomId, SessionId};
pub use input::InputFrame;
pub use ping::{Ping, Pong};
pub use row::{RowMut, RowRef};
pub use schema::{CueId, FieldId, KindId, Schema};
pub use table::{RowHead, Table, Tables};
pub use time::{Micros, Tick, TickRate, TickTime};
