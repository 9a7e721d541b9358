//! A client asks to be sent less: on a phone that saves data, in a tab that nobody looks at.

use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame};

/// How much a client wants to be sent of snapshots.
///
/// The server sends no more than that, but never less than
/// [`BUDGET_BYTES_PER_SECOND_MIN`](crate::limits::BUDGET_BYTES_PER_SECOND_MIN), and never more than the room gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    /// Engine frames and what the transport puts around them, bytes a second; nothing: as much as the room gives.
    pub bytes_per_second: Option<u32>,
}

impl Budget {
    /// Appends a BUDGET frame: 6 bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        write_frame(out, FrameType::Budget, &self.bytes_per_second.unwrap_or(UNLIMITED).to_le_bytes());
    }

    /// Reads the payload of a BUDGET frame.
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (word, rest) = payload.split_first_chunk().ok_or(DecodeError::Truncated("budget"))?;
        if !rest.is_empty() {
            return Err(DecodeError::Trailing("budget"));
        }
        let word = u32::from_le_bytes(*word);
        Ok(Self { bytes_per_second: (word != UNLIMITED).then_some(word) })
    }
}

/// As much as the room gives.
const UNLIMITED: u32 = u32::MAX;
