//! Which groups the player is in, as far as the server has told.

use tickwire_protocol::limits::GROUPS_PER_PLAYER_MAX;
use tickwire_protocol::room::{GroupChange, GroupsFrame};
use tickwire_protocol::{DecodeError, GroupId, PlayerId};

use super::rows::{Rows, within};

/// Of a table that is told in parts: its end may be those that were left.
const GROUPS_UNTIL_WHOLE_MAX: usize = 4 * GROUPS_PER_PLAYER_MAX;

/// The groups that the player is in. It is told of no others.
#[derive(Debug, Default)]
pub struct Groups {
    rows: Rows<GroupId, Vec<PlayerId>>,
    is_news: bool,
}

impl Groups {
    /// Each with its members, in ascending number.
    pub fn iter(&self) -> impl Iterator<Item = (GroupId, &[PlayerId])> {
        self.rows.iter().map(|(group, players)| (group, players.as_slice()))
    }

    /// Who is in a group, in ascending id, the player itself among them; nobody if the player is not in it.
    pub fn members(&self, group: GroupId) -> &[PlayerId] {
        self.rows.get(group).map_or(&[], Vec::as_slice)
    }

    /// What to name in the next hello.
    pub(crate) fn version(&self) -> u64 {
        self.rows.version()
    }

    /// Another session begins, which is in none.
    pub(crate) fn clear(&mut self) {
        let is_news = self.is_news || !self.rows.is_empty();
        *self = Self { is_news, ..Self::default() };
    }

    /// Whether something has changed since the last call.
    pub(crate) fn poll_news(&mut self) -> bool {
        core::mem::take(&mut self.is_news)
    }

    /// Takes in the payload of a GROUPS frame. After an error the table is of no use.
    pub(crate) fn handle_frame(&mut self, payload: &[u8]) -> Result<(), DecodeError> {
        let GroupsFrame { head, changes } = GroupsFrame::decode(payload)?;
        if head.is_anew {
            // What was not told the last time either is no more: a game that changes its groups all the time would pile them up.
            self.is_news |= !self.rows.drop_stale().is_empty();
        }
        self.rows.begin(head);
        for change in changes {
            self.handle_change(change)?;
        }
        self.is_news |= !self.rows.end(head).is_empty();
        if head.is_whole { within("groups", self.rows.len(), GROUPS_PER_PLAYER_MAX) } else { Ok(()) }
    }

    fn handle_change(&mut self, change: GroupChange) -> Result<(), DecodeError> {
        match change {
            GroupChange::With { group, players } => {
                self.is_news |= self.members(group) != players;
                self.rows.put(group, players, ("groups", GROUPS_UNTIL_WHOLE_MAX))?;
            }
            GroupChange::Gone { group } => self.is_news |= self.rows.remove(group).is_some(),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::room::TableHead;

    use super::*;

    fn with(group: u32, players: &[u32]) -> GroupChange {
        GroupChange::With { group: GroupId(group), players: players.iter().copied().map(PlayerId).collect() }
    }

    fn hear(
        groups: &mut Groups,
        version: u64,
        flags: (bool, bool),
        changes: Vec<GroupChange>,
    ) -> Result<bool, DecodeError> {
        let head = TableHead { version, is_anew: flags.0, is_whole: flags.1 };
        let mut out = Vec::new();
        GroupsFrame { head, changes }.encode(&mut out);
        let header = 2 + usize::from(out[0] >= 0x80);
        groups.handle_frame(&out[header..])?;
        Ok(groups.poll_news())
    }

    #[test]
    fn news_is_what_has_changed() {
        let (mut groups, all, rest) = (Groups::default(), (true, true), (false, true));
        assert_eq!(hear(&mut groups, 2, all, vec![with(7, &[1, 2]), with(9, &[1])]), Ok(true));
        assert_eq!(
            hear(&mut groups, 3, (false, false), vec![with(7, &[1, 2, 3])]),
            Ok(true),
            "not all yet, and seen"
        );
        assert_eq!(hear(&mut groups, 4, rest, vec![]), Ok(false));
        assert_eq!(hear(&mut groups, 5, rest, vec![with(9, &[1])]), Ok(false), "as before");
        assert_eq!(hear(&mut groups, 6, rest, vec![GroupChange::Gone { group: GroupId(9) }]), Ok(true));
        assert_eq!(groups.iter().collect::<Vec<_>>(), [(GroupId(7), &[1, 2, 3].map(PlayerId)[..])]);
        assert_eq!(hear(&mut groups, 9, all, vec![with(8, &[1])]), Ok(true), "anew: 7 is gone");
        assert_eq!((groups.members(GroupId(7)), groups.version()), (&[][..], 9));
        groups.clear();
        assert_eq!((groups.poll_news(), groups.iter().count(), groups.version()), (true, 0, 0));
    }

    #[test]
    fn a_server_that_tells_of_too_many_is_not_believed() {
        let mut groups = Groups::default();
        for group in 0..64 {
            hear(&mut groups, 1, (false, true), vec![with(group, &[1])]).unwrap();
        }
        let fault = hear(&mut groups, 1, (false, true), vec![with(64, &[1])]).unwrap_err();
        assert_eq!(fault.to_string(), "groups: 65 is above the limit of 64");
        assert!(hear(&mut groups, 1, (true, true), vec![with(64, &[1])]).is_ok(), "the others are gone");
        let many = (100..).take(300).map(|group| with(group, &[1])).collect();
        let fault = hear(&mut groups, 1, (false, false), many).unwrap_err();
        assert_eq!(fault.to_string(), "groups: 257 is above the limit of 256");
    }
}
