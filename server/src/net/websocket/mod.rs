//! WebSocket frames (RFC 6455) straight on a socket, once tungstenite has done the upgrade.
//!
//! A connection here carries tens of bytes up and hundreds down, many times a second, for thousands of peers. What is
//! general about a WebSocket library is in the way of that: buffers for any message, a sink that wants a task of its own,
//! an owned copy of each message. Headers are still tungstenite's; whether a frame is lawful is decided in `frames.rs`.
//!
//! Reading and writing are separate types on the two halves of the socket, with nothing between them, so that different
//! tasks may own them. Neither knows what the messages mean.

mod frames;
mod reader;
mod writer;

pub(super) use frames::Received;
pub(super) use reader::WebSocketReader;
pub use writer::WebSocketWriter;

/// Bytes of a WebSocket message with its header, and its mask if a client sent it (RFC 6455, section 5.2).
pub(super) fn framed_bytes(payload: usize, is_masked: bool) -> u64 {
    let header = match payload {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    (payload + header + if is_masked { 4 } else { 0 }) as u64
}
