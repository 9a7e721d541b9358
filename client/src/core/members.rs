//! Who is in the room, as far as the server has told.

use std::collections::VecDeque;

use tickwire_protocol::limits::MEMBERS_MAX;
use tickwire_protocol::room::{LeaveReason, MemberChange, MembersFrame, Profile};
use tickwire_protocol::{DecodeError, PlayerId};

use super::rows::Rows;

/// News of members that wait to be polled: all that may be there, and as many changes.
const EVENTS_MAX: usize = 2 * MEMBERS_MAX;

/// A member of the room: one of its players, this client's own among them. Spectators are not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member {
    /// Who.
    pub player: PlayerId,
    /// Whether there is a connection to it now; its session waits for it otherwise.
    pub is_connected: bool,
    /// What it says of itself.
    pub profile: Profile,
}

/// What has happened to a member; [`Client::members`](crate::Client::members) has it as it is now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MemberEvent {
    /// Was there when this client came, or is that client itself.
    Present(PlayerId),
    /// Has come.
    Joined(PlayerId),
    /// Calls itself otherwise.
    Changed(PlayerId),
    /// Its connection was lost. It may come back.
    ConnectionLost(PlayerId),
    /// Is back.
    Back(PlayerId),
    /// Is no longer there.
    Left {
        /// Who, as it was.
        member: Member,
        /// Why; nothing if it went while this client was away for long.
        reason: Option<LeaveReason>,
    },
    /// More has happened than was polled, and was not kept: only the table tells.
    TooMany,
}

/// The members of the room.
#[derive(Debug, Default)]
pub struct Members {
    rows: Rows<PlayerId, Member>,
    /// It was told to the end once.
    was_whole: bool,
    events: VecDeque<MemberEvent>,
}

impl Members {
    /// Everyone, in ascending id.
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.rows.iter().map(|(_, member)| member)
    }

    /// The one that has this id.
    pub fn get(&self, player: PlayerId) -> Option<&Member> {
        self.rows.get(player)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nobody is there, or nobody was told of yet.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Whether all were told of who are there, as of the newest news.
    pub fn is_whole(&self) -> bool {
        self.rows.is_whole()
    }

    /// What to name in the next hello.
    pub(crate) fn version(&self) -> u64 {
        self.rows.version()
    }

    /// Another session begins, which has been told nothing.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn poll_event(&mut self) -> Option<MemberEvent> {
        self.events.pop_front()
    }

    /// Takes in the payload of a MEMBERS frame. After an error the table is of no use.
    pub(crate) fn handle_frame(&mut self, payload: &[u8]) -> Result<(), DecodeError> {
        let MembersFrame { head, changes } = MembersFrame::decode(payload)?;
        self.rows.begin(head);
        for change in changes {
            self.handle_change(change)?;
        }
        for member in self.rows.end(head) {
            self.tell(MemberEvent::Left { member, reason: None });
        }
        self.was_whole |= head.is_whole;
        Ok(())
    }

    fn handle_change(&mut self, change: MemberChange) -> Result<(), DecodeError> {
        match change {
            MemberChange::Here { player, is_connected, profile } => {
                self.put(Member { player, is_connected, profile })?;
            }
            MemberChange::Connection { player, is_connected } => {
                let Some(member) = self.rows.change(player) else {
                    let value = u64::from(player.0);
                    return Err(DecodeError::Invalid { what: "member, which was not told of", value });
                };
                if core::mem::replace(&mut member.is_connected, is_connected) != is_connected {
                    self.tell_connection(player, is_connected);
                }
            }
            MemberChange::Gone { player, reason } => {
                if let Some(member) = self.rows.remove(player) {
                    self.tell(MemberEvent::Left { member, reason: Some(reason) });
                }
            }
        }
        Ok(())
    }

    fn put(&mut self, member: Member) -> Result<(), DecodeError> {
        let (player, profile, is_connected) = (member.player, member.profile.clone(), member.is_connected);
        let Some(before) = self.rows.put(player, member, ("members", MEMBERS_MAX))? else {
            let (joined, present) = (MemberEvent::Joined(player), MemberEvent::Present(player));
            self.tell(if self.was_whole { joined } else { present });
            return Ok(());
        };
        if before.profile != profile {
            self.tell(MemberEvent::Changed(player));
        }
        if before.is_connected != is_connected {
            self.tell_connection(player, is_connected);
        }
        Ok(())
    }

    fn tell_connection(&mut self, player: PlayerId, is_connected: bool) {
        let back = MemberEvent::Back(player);
        self.tell(if is_connected { back } else { MemberEvent::ConnectionLost(player) });
    }

    /// A game that does not poll hears that it has missed something, and no more.
    fn tell(&mut self, event: MemberEvent) {
        if self.events.len() >= EVENTS_MAX {
            self.events.clear();
            self.events.push_back(MemberEvent::TooMany);
        }
        self.events.push_back(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tickwire_protocol::room::TableHead;

    fn here(player: u32, name: &str) -> MemberChange {
        let profile = Profile::new(name, []).unwrap();
        MemberChange::Here { player: PlayerId(player), is_connected: true, profile }
    }

    fn payload(version: u64, is_anew: bool, is_whole: bool, changes: Vec<MemberChange>) -> Vec<u8> {
        let mut out = Vec::new();
        MembersFrame { head: TableHead { version, is_anew, is_whole }, changes }.encode(&mut out);
        let header = 2 + usize::from(out[0] >= 0x80);
        out.split_off(header)
    }

    fn told(members: &mut Members) -> Vec<MemberEvent> {
        core::iter::from_fn(|| members.poll_event()).collect()
    }

    #[test]
    fn who_is_there_is_present_and_who_comes_has_joined() {
        let mut members = Members::default();
        members.handle_frame(&payload(1, true, false, vec![here(1, "a")])).unwrap();
        members.handle_frame(&payload(2, false, true, vec![here(2, "b")])).unwrap();
        members.handle_frame(&payload(3, false, true, vec![here(3, "c"), here(1, "z")])).unwrap();
        let [one, two, three] = [1, 2, 3].map(PlayerId);
        let present = [MemberEvent::Present(one), MemberEvent::Present(two)];
        assert_eq!(told(&mut members)[..2], present);
        members.handle_frame(&payload(4, false, true, vec![])).unwrap();
        let lost = MemberChange::Connection { player: two, is_connected: false };
        let gone = MemberChange::Gone { player: three, reason: LeaveReason::Left };
        members.handle_frame(&payload(5, false, true, vec![lost, gone])).unwrap();
        let events = told(&mut members);
        assert_eq!(events[0], MemberEvent::ConnectionLost(two));
        assert!(
            matches!(&events[1], MemberEvent::Left { member, reason: Some(LeaveReason::Left) } if member.profile.name() == "c")
        );
        assert_eq!((members.len(), members.version()), (2, 5));
    }

    #[test]
    fn who_is_not_in_a_table_that_begins_anew_has_left_at_its_end() {
        let mut members = Members::default();
        let all = vec![here(1, "a"), here(2, "b"), here(3, "c")];
        members.handle_frame(&payload(3, true, true, all)).unwrap();
        told(&mut members);
        members.handle_frame(&payload(8, true, false, vec![here(3, "c")])).unwrap();
        assert_eq!(told(&mut members), [], "it is not known yet who is still there");
        members.handle_frame(&payload(9, false, true, vec![here(1, "x"), here(4, "d")])).unwrap();
        let events = told(&mut members);
        assert_eq!(events[..2], [MemberEvent::Changed(PlayerId(1)), MemberEvent::Joined(PlayerId(4))]);
        assert!(
            matches!(&events[2], MemberEvent::Left { member, reason: None } if member.player == PlayerId(2))
        );
        assert_eq!(events.len(), 3);
    }

    #[test]
    fn a_server_that_tells_of_too_many_is_not_believed() {
        let mut members = Members::default();
        for player in 0..MEMBERS_MAX as u32 {
            members.handle_frame(&payload(1, false, true, vec![here(player, "")])).unwrap();
        }
        let fault = members.handle_frame(&payload(1, false, true, vec![here(u32::MAX, "")])).unwrap_err();
        assert_eq!(fault.to_string(), "members: 16385 is above the limit of 16384");
        let unknown = MemberChange::Connection { player: PlayerId(u32::MAX), is_connected: true };
        assert!(members.handle_frame(&payload(1, false, true, vec![unknown])).is_err());
    }

    #[test]
    fn a_game_that_does_not_poll_hears_that_it_has_missed_something() {
        let mut members = Members::default();
        for round in 0..=EVENTS_MAX {
            let name = if round % 2 == 0 { "a" } else { "b" };
            members.handle_frame(&payload(1, false, true, vec![here(1, name)])).unwrap();
        }
        assert_eq!(told(&mut members), [MemberEvent::TooMany, MemberEvent::Changed(PlayerId(1))]);
    }
}
