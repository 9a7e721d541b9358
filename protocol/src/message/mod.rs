//! Messages beside the state: what a game says in so many bytes, and the engine carries.
//!
//! State is never replayed; a message is. What the schema calls **reliable** arrives exactly once and in order, also across
//! any number of connections of one session; of **latest** messages the newest of each key arrives; **unreliable** ones arrive
//! if there is room for them now.
//!
//! ```text
//!  send ──> Outbox: queued ── written ──> in flight ── acked ──> delivered
//!                     ^          MESSAGE frames, numbered        │ MESSAGE_ACK: what the game there has polled
//!                     └── connection lost: written again ────────┘
//!  poll <── Inbox: in order, each number once
//! ```
//!
//! Both machines need a transport that keeps order and loses nothing while it lasts. It may end at any moment: each side then
//! tells the other what it has [`Received`], and what is missing is written again under the numbers that it had. An ack
//! says that the receiving game has **polled** a message, so an ack moves the sender's window, and a game that does not
//! poll holds its senders back instead of filling its memory.
//!
//! Each class has a [`Lane`] of its own, with numbers and a window of its own: what waits in one holds up no other, and better ones go
//! first.
//!
//! The scheme is that of TCP's cumulative acks (RFC 9293, section 3.4) above connections instead of below them, as in SignalR's
//! stateful reconnect.

mod body;
mod carried;
pub mod engine;
mod event;
mod frame;
mod inbox;
mod lane;
mod newest;
mod notice;
mod outbox;
mod rate;
mod request;
mod saved;
mod send_error;
mod types;
mod waiting;

pub use body::MessageBody;
pub use carried::{Carried, Volume};
pub use event::{EVENT_HEADER_BYTES_MAX, GameEvent};
pub use frame::{MessageAck, MessageFrame};
pub use inbox::{Inbox, Message};
pub use lane::{Lane, Missed, QueueLimits, Received};
pub use notice::Notice;
pub use outbox::Outbox;
pub use rate::{Denial, Governor, MessageLimits, REQUEST_RATE, Rate};
pub use request::{Refusal, Request, RequestError, RequestId, Requests, Response};
pub use send_error::SendError;
pub use types::{Direction, MessageClass, MessageTerms, MessageType, MessageTypeId};
pub use waiting::{MessageId, Outcome, Standing};
