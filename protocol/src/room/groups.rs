//! GROUPS: which groups a player is in, and with whom, by change.

use serde::{Deserialize, Serialize};

use super::{TableChange, TableFrame};
use crate::cold;
use crate::fault::DecodeError;
use crate::frame::FrameType;
use crate::ids::{GroupId, PlayerId};
use crate::limits::GROUP_MEMBERS_MAX;

/// One change in a player's groups.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum GroupChange {
    /// It is in this group, with these: all of them, itself among them. May have been told before, and then others are in it.
    With {
        /// Which.
        group: GroupId,
        /// Its members, in ascending id; at most 256.
        #[serde(deserialize_with = "cold::list")]
        players: Vec<PlayerId>,
    },
    /// It is not in this group any more; who was never told of it passes it over.
    Gone {
        /// Which.
        group: GroupId,
    },
}

impl TableChange for GroupChange {
    const FRAME: FrameType = FrameType::Groups;
    const TABLE: &str = "groups";

    fn check(&self) -> Result<(), DecodeError> {
        let Self::With { group, players } = self else { return Ok(()) };
        let (value, limit) = (players.len() as u64, GROUP_MEMBERS_MAX as u64);
        if value > limit {
            return Err(DecodeError::TooLarge { what: "group's members", value, limit });
        }
        if !players.is_sorted_by(|a, b| a < b) {
            return Err(DecodeError::Invalid { what: "group out of order", value: group.0.into() });
        }
        Ok(())
    }
}

/// What has changed in a player's groups since the last such frame.
pub type GroupsFrame = TableFrame<GroupChange>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::frames;
    use crate::room::TableHead;
    use bytes::Bytes;

    fn with(players: impl IntoIterator<Item = u32>) -> GroupsFrame {
        let players = players.into_iter().map(PlayerId).collect();
        let changes =
            vec![GroupChange::Gone { group: GroupId(9) }, GroupChange::With { group: GroupId(7), players }];
        GroupsFrame { head: TableHead { version: 3, is_anew: false, is_whole: true }, changes }
    }

    fn payload(frame: &GroupsFrame) -> Bytes {
        let mut out = Vec::new();
        frame.encode(&mut out);
        frames(out.into()).next().unwrap().unwrap().payload
    }

    #[test]
    fn groups_arrive_as_they_were_told_and_keep_to_their_bounds() {
        let largest = with(0..256);
        assert_eq!(GroupsFrame::decode(&payload(&largest)), Ok(largest));
        for (frame, fault) in [
            (with(0..257), "group's members: 257 is above the limit of 256"),
            (with([2, 1]), "group out of order: 7 has no meaning"),
            (with([1, 1]), "group out of order: 7 has no meaning"),
        ] {
            assert_eq!(GroupsFrame::decode(&payload(&frame)).unwrap_err().to_string(), fault);
        }
    }
}
