//! Who is in a room, and what they say of themselves: a table, and which reader was told how much of it.

use std::collections::BTreeMap;

use tickwire_protocol::limits::MEMBERS_GONE_MAX;
use tickwire_protocol::room::{
    ChangeLog, LeaveReason, MemberChange, MembersFrame, Profile, TableChange, TableHead,
};
use tickwire_protocol::{Micros, PlayerId};
use tickwire_sim::Roster;

use super::news::{Chunk, Known, Reader};

/// How often a member can call itself otherwise: everybody is told each time. What is newer takes the place of what still waits.
const PROFILE_INTERVAL: Micros = Micros::from_secs(1);

#[derive(Debug)]
struct Member {
    profile: Profile,
    is_connected: bool,
    /// The table's version as of which the profile is this one.
    told_with: u64,
    /// When its profile may change.
    next_change: Micros,
    /// What it is to be.
    wish: Option<Profile>,
}

/// The table of a room's members: its players, absent ones included.
#[derive(Debug)]
pub(crate) struct Members {
    log: ChangeLog<PlayerId>,
    table: BTreeMap<PlayerId, Member>,
    /// Who has gone and is in the log yet.
    gone: BTreeMap<PlayerId, LeaveReason>,
    /// How many wait to be called otherwise.
    wishes: usize,
}

impl Roster for Members {
    fn profile(&self, player: PlayerId) -> Option<&Profile> {
        Some(&self.table.get(&player)?.profile)
    }

    fn is_connected(&self, player: PlayerId) -> bool {
        self.table.get(&player).is_some_and(|member| member.is_connected)
    }
}

impl Members {
    pub(crate) fn new() -> Self {
        Self {
            log: ChangeLog::new(MEMBERS_GONE_MAX),
            table: BTreeMap::new(),
            gone: BTreeMap::new(),
            wishes: 0,
        }
    }

    pub(crate) fn insert(&mut self, now: Micros, player: PlayerId, profile: Profile) {
        let (told_with, next_change) = (self.log.note(player), now + PROFILE_INTERVAL);
        let member = Member { profile, is_connected: true, told_with, next_change, wish: None };
        self.table.insert(player, member);
    }

    /// A connection was lost, or is there again.
    pub(crate) fn set_connected(&mut self, player: PlayerId, is_connected: bool) {
        if let Some(member) = self.table.get_mut(&player)
            && member.is_connected != is_connected
        {
            member.is_connected = is_connected;
            self.log.note(player);
        }
    }

    /// A member wants to be called otherwise.
    pub(crate) fn wish(&mut self, player: PlayerId, profile: Profile) {
        if let Some(member) = self.table.get_mut(&player) {
            let before = member.wish.replace(profile);
            self.wishes += usize::from(before.is_none());
        }
    }

    /// Calls those otherwise who wish it, and have not changed too lately.
    pub(crate) fn grant(&mut self, now: Micros) {
        if self.wishes == 0 {
            return;
        }
        for (&player, member) in &mut self.table {
            let Some(profile) = member.wish.take_if(|_| now >= member.next_change) else { continue };
            self.wishes -= 1;
            if profile != member.profile {
                member.profile = profile;
                member.next_change = now + PROFILE_INTERVAL;
                member.told_with = self.log.note(player);
            }
        }
    }

    pub(crate) fn remove(&mut self, player: PlayerId, reason: LeaveReason) {
        let Some(member) = self.table.remove(&player) else { return };
        self.wishes -= usize::from(member.wish.is_some());
        self.gone.insert(player, reason);
        if let Some(forgotten) = self.log.note_gone(player) {
            self.gone.remove(&forgotten);
        }
    }

    pub(crate) fn log(&self) -> &ChangeLog<PlayerId> {
        &self.log
    }

    /// Appends a MEMBERS frame with what a reader has not been told: as many changes as have room in so many bytes, and one at least.
    pub(crate) fn write(&self, reader: &mut Reader, bytes_max: usize, out: &mut Vec<u8>) {
        let Chunk { rows, version, is_anew, is_whole } =
            reader.read(&self.log, bytes_max, |player, known, out| self.write_change(player, known, out));
        MembersFrame::encode_with(TableHead { version, is_anew, is_whole }, &rows, out);
    }

    fn write_change(&self, player: PlayerId, known: Known, out: &mut Vec<u8>) {
        let change = match (self.table.get(&player), self.gone.get(&player)) {
            (Some(member), _) if member.told_with <= known.up_to => {
                MemberChange::Connection { player, is_connected: member.is_connected }
            }
            (Some(&Member { ref profile, is_connected, .. }), _) => {
                MemberChange::Here { player, is_connected, profile: profile.clone() }
            }
            (None, Some(&reason)) if known.of_end => MemberChange::Gone { player, reason },
            (None, _) => return,
        };
        change.encode(out);
    }
}
