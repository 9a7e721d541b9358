//! The groups of a player, told by change to it alone.

use tickwire_protocol::GroupId;
use tickwire_protocol::PlayerId;
use tickwire_protocol::room::{ChangeLog, GroupChange, GroupsFrame, TableChange, TableHead};
use tickwire_sim::Groups;

use super::news::{Chunk, Known, Reader};

/// How far a player's client was told of its groups.
#[derive(Debug)]
pub(crate) struct GroupReader {
    player: PlayerId,
    reader: Reader,
}

impl GroupReader {
    /// Nothing for who is not in the room as a player.
    pub(crate) fn new(groups: &Groups, player: PlayerId, told: Option<u64>) -> Option<Self> {
        Some(Self { player, reader: Reader::new(groups.log(player)?, told) })
    }

    /// Of who never was in a group there is nothing to tell.
    pub(crate) fn has_news(&self, groups: &Groups) -> bool {
        let is_told = |log: &ChangeLog<GroupId>| log.version() > 0 && self.reader.has_news(log);
        groups.log(self.player).is_some_and(is_told)
    }

    /// Appends a GROUPS frame with what was not told: as many changes as have room in so many bytes, and one at least.
    pub(crate) fn write(&mut self, groups: &Groups, bytes_max: usize, out: &mut Vec<u8>) {
        let Self { player, reader } = self;
        let Some(log) = groups.log(*player) else { return };
        let Chunk { rows, version, is_anew, is_whole } =
            reader.read(log, bytes_max, |group, known, out| write_change(groups, *player, group, known, out));
        GroupsFrame::encode_with(TableHead { version, is_anew, is_whole }, &rows, out);
    }
}

fn write_change(groups: &Groups, player: PlayerId, group: GroupId, known: Known, out: &mut Vec<u8>) {
    let players: Vec<_> = groups.members(group).collect();
    if players.binary_search(&player).is_ok() {
        GroupChange::With { group, players }.encode(out);
    } else if known.of_end {
        GroupChange::Gone { group }.encode(out);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tickwire_protocol::frame::frames;
    use tickwire_protocol::limits::GROUPS_PER_PLAYER_MAX;
    use tickwire_sim::Random;

    use super::*;

    const READER: PlayerId = PlayerId(0);

    type Table = BTreeMap<GroupId, Vec<PlayerId>>;

    fn read(reader: &mut GroupReader, groups: &Groups, table: &mut Table) {
        let mut out = Vec::new();
        reader.write(groups, 12, &mut out);
        let payload = frames(out.into()).next().unwrap().unwrap().payload;
        for change in GroupsFrame::decode(&payload).unwrap().changes {
            match change {
                GroupChange::With { group, players } => drop(table.insert(group, players)),
                GroupChange::Gone { group } => drop(table.remove(&group)),
            }
        }
    }

    /// Lets somebody join or leave, most often the reader: that it is in as many groups as it can be.
    fn change(groups: &mut Groups, random: &mut Random) {
        let mut below = |bound| (random.next_u64() % bound) as u32;
        let (player, group) = (PlayerId(below(8).saturating_sub(4)), GroupId(below(80)));
        if below(4) == 0 {
            groups.leave(group, player);
        } else {
            let _ = groups.join(group, player);
        }
    }

    #[test]
    fn who_reads_slowly_gets_to_what_is_so_and_never_far_beyond() {
        let (mut groups, mut random) = (Groups::default(), Random::from_seed(7));
        (0..4).for_each(|player| groups.admit(PlayerId(player)));
        let mut reader = GroupReader::new(&groups, READER, None).unwrap();
        let (mut table, mut most) = (Table::new(), 0);
        assert!(!reader.has_news(&groups), "of groups that never were");
        for _ in 0..100 {
            for _ in 0..200 {
                change(&mut groups, &mut random);
                if random.next_u64() % 8 == 0 && reader.has_news(&groups) {
                    read(&mut reader, &groups, &mut table);
                }
                most = most.max(table.len());
            }
            while reader.has_news(&groups) {
                read(&mut reader, &groups, &mut table);
            }
            let so: Table = groups.of(READER).map(|group| (group, groups.members(group).collect())).collect();
            assert_eq!(table, so);
        }
        assert!((GROUPS_PER_PLAYER_MAX + 1..=4 * GROUPS_PER_PLAYER_MAX).contains(&most), "{most}");
    }
}
