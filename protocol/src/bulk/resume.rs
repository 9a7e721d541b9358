//! What a side has of the other's transfers, when a session goes on over another connection: extension 6 of HELLO and WELCOME.
//!
//! The client says in its hello what it has of the server's transfers; a server that can go on from there says in its welcome what it has of the
//! client's. Where one of them says nothing, all transfers are lost, on both sides: a client that was started anew has none.

use serde::{Deserialize, Serialize};

use super::BulkId;
use super::frame::BulkEnd;
use crate::cold;
use crate::fault::DecodeError;
use crate::handshake::Extension;
use crate::limits::BULK_TRANSFERS_MAX;

/// The extension in HELLO and WELCOME.
const BULK_EXTENSION: u16 = 6;

/// How far a transfer is on its receiving side.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ReceivedOf {
    /// Its offer waits for an answer.
    Offered,
    /// It was accepted, and goes on behind these bytes.
    Open {
        /// Bytes that have come.
        bytes: u32,
    },
    /// It is over.
    Ended(BulkEnd),
}

/// What one side has of the other's transfers.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BulkReceived {
    next: u32,
    /// Those there are first, in ascending id.
    transfers: [Option<(u32, ReceivedOf)>; BULK_TRANSFERS_MAX],
}

impl BulkReceived {
    pub(super) fn new(next: BulkId, all: impl Iterator<Item = (BulkId, ReceivedOf)>) -> Self {
        let mut transfers = [None; BULK_TRANSFERS_MAX];
        for (place, (id, state)) in transfers.iter_mut().zip(all) {
            *place = Some((id.0, state));
        }
        Self { next: next.0, transfers }
    }

    /// As an extension of a hello or a welcome.
    pub fn extension(&self) -> Extension {
        Extension { id: BULK_EXTENSION, value: cold::write(self) }
    }

    /// What a hello or a welcome says, if it says something.
    pub fn find(extensions: &[Extension]) -> Result<Option<Self>, DecodeError> {
        let Some(extension) = extensions.iter().find(|extension| extension.id == BULK_EXTENSION) else {
            return Ok(None);
        };
        let told: Self = cold::read(&extension.value, "bulk transfers")?;
        if told.is_in_order() { Ok(Some(told)) } else { Err(DecodeError::Damaged("bulk transfers")) }
    }

    fn is_in_order(&self) -> bool {
        let places = self.transfers.windows(2);
        let ascend = |pair: &[Option<(u32, ReceivedOf)>]| match pair {
            [Some((first, _)), Some((second, _))] => first < second,
            [before, behind] => before.is_some() || behind.is_none(),
            _ => true,
        };
        places.into_iter().all(ascend)
            && self.iter().all(|(id, _)| id < self.next() && id.side() == self.next().side())
    }

    /// Above all that were offered.
    pub(super) fn next(&self) -> BulkId {
        BulkId(self.next)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (BulkId, ReceivedOf)> {
        self.transfers.iter().flatten().map(|(id, state)| (BulkId(*id), *state))
    }

    pub(super) fn find_transfer(&self, id: BulkId) -> Option<ReceivedOf> {
        self.iter().find(|(other, _)| *other == id).map(|(_, state)| state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(transfers: &[(u32, ReceivedOf)]) -> BulkReceived {
        BulkReceived::new(BulkId(9), transfers.iter().map(|(id, state)| (BulkId(*id), *state)))
    }

    #[test]
    fn what_is_told_arrives() {
        let all = told(&[
            (1, ReceivedOf::Offered),
            (5, ReceivedOf::Open { bytes: 70_000 }),
            (7, ReceivedOf::Ended(BulkEnd::Damaged)),
        ]);
        assert_eq!(BulkReceived::find(&[all.extension()]), Ok(Some(all)));
        assert_eq!(BulkReceived::find(&[]), Ok(None));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let damaged = Err(DecodeError::Damaged("bulk transfers"));
        let offered = ReceivedOf::Offered;
        // Out of order, twice the same, not below the next, of the other side.
        for wrong in [
            &[(5, offered), (1, offered)][..],
            &[(5, offered), (5, offered)],
            &[(9, offered)],
            &[(4, offered)],
        ] {
            assert_eq!(BulkReceived::find(&[told(wrong).extension()]), damaged, "{wrong:?}");
        }
        let mut gap = told(&[(1, offered)]);
        gap.transfers.swap(0, 1);
        assert_eq!(BulkReceived::find(&[gap.extension()]), damaged);
        let cut = Extension { id: BULK_EXTENSION, value: vec![9, 1] };
        assert_eq!(BulkReceived::find(&[cut]), damaged);
    }
}
