//! MEMBERS: who is in a room, by change.

use serde::{Deserialize, Serialize};

use super::{Profile, TableChange, TableFrame};
use crate::fault::DecodeError;
use crate::frame::FrameType;
use crate::ids::PlayerId;

/// Why somebody is no longer in a room.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum LeaveReason {
    /// It said goodbye.
    Left,
    /// Its connection was lost, and it did not come back in time.
    Lost,
    /// The server let it go: it broke the protocol, or the game wanted it.
    Removed,
}

/// One change in the table of members.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum MemberChange {
    /// Is here, and so is its profile; may have been told before, and then calls itself otherwise.
    Here {
        /// Who.
        player: PlayerId,
        /// Whether there is a connection to it now.
        is_connected: bool,
        /// What it says of itself.
        profile: Profile,
    },
    /// Its connection was lost, or is back.
    Connection {
        /// Who: one that was told before.
        player: PlayerId,
        /// Whether there is a connection to it now.
        is_connected: bool,
    },
    /// Is no longer here; who was never told of it passes it over.
    Gone {
        /// Who.
        player: PlayerId,
        /// Why.
        reason: LeaveReason,
    },
}

impl TableChange for MemberChange {
    const FRAME: FrameType = FrameType::Members;
    const TABLE: &str = "members";

    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Here { profile, .. } => profile.check(),
            Self::Connection { .. } | Self::Gone { .. } => Ok(()),
        }
    }
}

/// What has changed in a room's members since the last such frame.
pub type MembersFrame = TableFrame<MemberChange>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::frames;
    use crate::room::TableHead;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn frame() -> MembersFrame {
        let player = PlayerId(300);
        let profile = Profile::new("ada", [1, 2]).unwrap();
        MembersFrame {
            head: TableHead { version: 9, is_anew: true, is_whole: false },
            changes: vec![
                MemberChange::Here { player, is_connected: true, profile },
                MemberChange::Connection { player, is_connected: false },
                MemberChange::Gone { player, reason: LeaveReason::Lost },
            ],
        }
    }

    fn payload(frame: &MembersFrame) -> Bytes {
        let mut out = Vec::new();
        frame.encode(&mut out);
        frames(out.into()).next().unwrap().unwrap().payload
    }

    #[test]
    fn changes_arrive_as_they_were_told() {
        assert_eq!(MembersFrame::decode(&payload(&frame())), Ok(frame()));
        let empty = MembersFrame { changes: Vec::new(), ..frame() };
        assert_eq!(MembersFrame::decode(&payload(&empty)), Ok(empty));
    }

    #[test]
    fn a_name_that_rings_is_refused_wherever_it_stands() {
        let mut bytes = payload(&frame()).to_vec();
        let place = bytes.windows(3).position(|part| part == b"ada").unwrap();
        bytes[place] = 7;
        assert_eq!(MembersFrame::decode(&bytes), Err(DecodeError::Invalid { what: "member name", value: 7 }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_have_one_encoding(
            place in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()
        ) {
            let mut bytes = payload(&frame()).to_vec();
            let place = place.index(bytes.len());
            bytes[place] = byte;
            if byte & 1 == 0 {
                bytes.truncate(cut.index(bytes.len()) + 1);
            }
            if let Ok(decoded) = MembersFrame::decode(&bytes) {
                prop_assert_eq!(&payload(&decoded)[..], &bytes);
            }
        }
    }
}
