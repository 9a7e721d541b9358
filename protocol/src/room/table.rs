//! What MEMBERS, MATCH and GROUPS have in common: each tells a table, by change.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::cold;
use crate::fault::DecodeError;
use crate::frame::{FrameType, write_frame_with};

/// What a frame that tells a table by change says of its changes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TableHead {
    /// The table's version behind them: to be named in the hello of the next connection.
    pub version: u64,
    /// The table is told anew from here on: a row that is not in what comes up to the next frame that is whole, is gone.
    pub is_anew: bool,
    /// Nothing more is to be told for now.
    pub is_whole: bool,
}

/// One change in a table that a frame tells.
pub trait TableChange: DeserializeOwned + Serialize {
    /// The frame that tells of this table.
    const FRAME: FrameType;

    /// The table, in the words of an error.
    const TABLE: &str;

    /// Whether it keeps to its bounds.
    fn check(&self) -> Result<(), DecodeError>;

    /// Appends the change to those of a frame.
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&cold::write(self));
    }
}

/// What has changed in a table since the last such frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TableFrame<C> {
    /// What it says of the changes.
    pub head: TableHead,
    /// In the order in which they are to be taken in.
    pub changes: Vec<C>,
}

impl<C: TableChange> TableFrame<C> {
    /// Appends a frame with changes that were [encoded](TableChange::encode) before.
    pub fn encode_with(head: TableHead, changes: &[u8], out: &mut Vec<u8>) {
        write_frame_with(out, C::FRAME, |out| {
            out.extend_from_slice(&cold::write(&head));
            out.extend_from_slice(changes);
        });
    }

    /// Appends a frame.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut changes = Vec::new();
        self.changes.iter().for_each(|change| change.encode(&mut changes));
        Self::encode_with(self.head, &changes, out);
    }

    /// Reads the payload of a frame.
    pub fn decode(mut payload: &[u8]) -> Result<Self, DecodeError> {
        let head = cold::take(&mut payload, C::TABLE)?;
        let mut changes = Vec::new();
        while !payload.is_empty() {
            let change: C = cold::take(&mut payload, C::TABLE)?;
            change.check()?;
            changes.push(change);
        }
        Ok(Self { head, changes })
    }
}
