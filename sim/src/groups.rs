//! Which players of a room belong together, as the simulation says.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use tickwire_protocol::limits::{GROUP_MEMBERS_MAX, GROUPS_GONE_MAX, GROUPS_PER_PLAYER_MAX};
use tickwire_protocol::room::ChangeLog;
use tickwire_protocol::{GroupId, PlayerId};

/// The groups of a room: teams, parties, channels, whatever a game makes of them. A step fills them through
/// [`StepContext::groups`](crate::StepContext::groups), and speaks to one as [`Audience::Group`](crate::Audience::Group). Numbers are the game's to choose.
///
/// A player is in as many as 64 at a time, and a group has as many as 256 players. Each client is told who is in its own groups, and
/// nothing of others. Who leaves the room leaves its groups; a group without players is none.
#[derive(Debug, Default)]
pub struct Groups {
    groups: BTreeMap<GroupId, BTreeSet<PlayerId>>,
    /// Everyone who may be in one.
    players: BTreeMap<PlayerId, Membership>,
}

#[derive(Debug)]
struct Membership {
    groups: BTreeSet<GroupId>,
    /// The order in which its groups changed, and it was put into them or out of them.
    log: ChangeLog<GroupId>,
}

/// Why a player is not put into a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GroupError {
    /// It is not in the room.
    NoSuchPlayer,
    /// The group has so many members.
    GroupFull {
        /// Which is as many as it can have.
        max: usize,
    },
    /// The player is in so many groups.
    TooManyGroups {
        /// Which is as many as it can be in.
        max: usize,
    },
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPlayer => f.write_str("this player is not in the room"),
            Self::GroupFull { max } => write!(f, "the group has {max} members, which is all that it takes"),
            Self::TooManyGroups { max } => {
                write!(f, "the player is in {max} groups, which is as many as it can be in")
            }
        }
    }
}

impl core::error::Error for GroupError {}

impl Groups {
    /// Puts a player into a group, which begins with its first. Who is in it stays.
    ///
    /// # Errors
    /// As [`GroupError`] says; then all stays as it was.
    pub fn join(&mut self, group: GroupId, player: PlayerId) -> Result<(), GroupError> {
        let taken = self.members(group).len();
        let membership = self.players.get_mut(&player).ok_or(GroupError::NoSuchPlayer)?;
        if membership.groups.contains(&group) {
            return Ok(());
        }
        if membership.groups.len() >= GROUPS_PER_PLAYER_MAX {
            return Err(GroupError::TooManyGroups { max: GROUPS_PER_PLAYER_MAX });
        }
        if taken >= GROUP_MEMBERS_MAX {
            return Err(GroupError::GroupFull { max: GROUP_MEMBERS_MAX });
        }
        membership.groups.insert(group);
        self.groups.entry(group).or_default().insert(player);
        self.note(group);
        Ok(())
    }

    /// Takes a player out of a group, if it is in it.
    pub fn leave(&mut self, group: GroupId, player: PlayerId) {
        let Some(membership) = self.players.get_mut(&player) else { return };
        if membership.groups.remove(&group) {
            membership.log.note_gone(group);
            self.take_out(group, player);
        }
    }

    /// Takes everyone out of a group.
    pub fn dissolve(&mut self, group: GroupId) {
        for player in self.groups.remove(&group).into_iter().flatten() {
            if let Some(membership) = self.players.get_mut(&player) {
                membership.groups.remove(&group);
                membership.log.note_gone(group);
            }
        }
    }

    /// Who is in a group, in ascending id; nobody if there is none of that number.
    pub fn members(&self, group: GroupId) -> impl ExactSizeIterator<Item = PlayerId> {
        const NOBODY: &BTreeSet<PlayerId> = &BTreeSet::new();
        self.groups.get(&group).unwrap_or(NOBODY).iter().copied()
    }

    /// The groups that a player is in, in ascending number.
    pub fn of(&self, player: PlayerId) -> impl Iterator<Item = GroupId> {
        self.players.get(&player).into_iter().flat_map(|membership| membership.groups.iter().copied())
    }

    /// A player has come into the room: for who runs the room.
    pub fn admit(&mut self, player: PlayerId) {
        let none = || Membership { groups: BTreeSet::new(), log: ChangeLog::new(GROUPS_GONE_MAX) };
        self.players.entry(player).or_insert_with(none);
    }

    /// A player has left the room: for who runs the room.
    pub fn remove(&mut self, player: PlayerId) {
        for group in self.players.remove(&player).into_iter().flat_map(|membership| membership.groups) {
            self.take_out(group, player);
        }
    }

    /// The order of the changes that a player is told of, for who tells them; nothing of who is not in the room.
    pub fn log(&self, player: PlayerId) -> Option<&ChangeLog<GroupId>> {
        self.players.get(&player).map(|membership| &membership.log)
    }

    fn take_out(&mut self, group: GroupId, player: PlayerId) {
        let Some(members) = self.groups.get_mut(&group) else { return };
        members.remove(&player);
        if members.is_empty() {
            self.groups.remove(&group);
        }
        self.note(group);
    }

    /// Everyone in a group is to hear who is in it.
    fn note(&mut self, group: GroupId) {
        for player in self.groups.get(&group).into_iter().flatten() {
            if let Some(membership) = self.players.get_mut(player) {
                membership.log.note(group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: GroupId = GroupId(7);

    fn room(players: u32) -> Groups {
        let mut groups = Groups::default();
        (0..players).for_each(|player| groups.admit(PlayerId(player)));
        groups
    }

    fn members(groups: &Groups) -> Vec<u32> {
        groups.members(RED).map(|player| player.0).collect()
    }

    /// How often each player has something to be told.
    fn versions(groups: &Groups) -> Vec<u64> {
        groups.players.values().map(|membership| membership.log.version()).collect()
    }

    #[test]
    fn those_in_a_group_hear_of_it_and_others_do_not() {
        let mut groups = room(3);
        for player in [1, 0, 1] {
            groups.join(RED, PlayerId(player)).unwrap();
        }
        assert_eq!((members(&groups), versions(&groups)), (vec![0, 1], vec![1, 2, 0]));
        groups.leave(RED, PlayerId(2));
        groups.leave(RED, PlayerId(1));
        assert_eq!((members(&groups), versions(&groups)), (vec![0], vec![2, 3, 0]));
        assert_eq!(groups.of(PlayerId(0)).collect::<Vec<_>>(), [RED]);
        groups.dissolve(RED);
        assert_eq!((groups.groups.len(), versions(&groups)), (0, vec![3, 3, 0]));
    }

    #[test]
    fn who_leaves_the_room_leaves_its_groups_and_nothing_is_kept_of_it() {
        let mut groups = room(2);
        for player in [0, 1] {
            groups.join(RED, PlayerId(player)).unwrap();
        }
        groups.remove(PlayerId(1));
        assert_eq!((members(&groups), versions(&groups)), (vec![0], vec![3]));
        assert_eq!(groups.join(RED, PlayerId(1)), Err(GroupError::NoSuchPlayer));
        groups.remove(PlayerId(0));
        assert!(groups.groups.is_empty() && groups.players.is_empty());
    }

    #[test]
    fn groups_and_memberships_are_bounded() {
        let mut groups = room(GROUP_MEMBERS_MAX as u32 + 1);
        for player in 0..GROUP_MEMBERS_MAX as u32 {
            groups.join(RED, PlayerId(player)).unwrap();
        }
        let late = PlayerId(GROUP_MEMBERS_MAX as u32);
        assert_eq!(groups.join(RED, late), Err(GroupError::GroupFull { max: 256 }));
        for number in 100..100 + GROUPS_PER_PLAYER_MAX as u32 {
            groups.join(GroupId(number), late).unwrap();
        }
        assert_eq!(groups.join(GroupId(1), late), Err(GroupError::TooManyGroups { max: 64 }));
        assert_eq!(groups.join(GroupId(100), late), Ok(()), "it is in it already");
        assert_eq!(groups.of(late).count(), 64);
    }
}
