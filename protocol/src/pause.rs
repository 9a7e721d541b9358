//! A client tells that it is paused: a tab in the background, a game behind a menu.

use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame};

/// Whether a client wants to be sent state, and its player counts as present.
///
/// It holds for the session: a client that comes back while it is paused says so anew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pause {
    /// Whether it is.
    pub is_paused: bool,
}

impl Pause {
    /// Appends a PAUSE frame: 3 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame(out, FrameType::Pause, &[u8::from(self.is_paused)]);
    }

    /// Reads the payload of a PAUSE frame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        match payload {
            [] => Err(DecodeError::Truncated("pause")),
            [0] => Ok(Self { is_paused: false }),
            [1] => Ok(Self { is_paused: true }),
            [other] => Err(DecodeError::Invalid { what: "pause", value: u64::from(*other) }),
            _ => Err(DecodeError::Trailing("pause")),
        }
    }
}
