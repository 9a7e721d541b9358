//! What a peer is told of its room beside the world: tables, by change, at a bounded pace.

use tickwire_protocol::room::{ChangeLog, Introduction};
use tickwire_protocol::{Micros, PlayerId};
use tickwire_sim::{Groups, MatchBoard};

use super::groups::GroupReader;
use super::match_state::write_match;
use super::members::Members;

/// What a peer is told of its room's tables, bytes a second. 64 members with short names are told at once; 1,000 take some six seconds, and so
/// do 1,000 who join one after another: what all of them are told grows with the square of their number, and must not come at once.
const BYTES_PER_SECOND: u64 = 4_096;

/// What may be told at once, bytes.
const BURST_BYTES: i64 = 4_096;

/// The tables of a room.
#[derive(Clone, Copy)]
pub(crate) struct Bulletin<'a> {
    pub(crate) members: &'a Members,
    pub(crate) match_state: &'a MatchBoard,
    pub(crate) groups: &'a Groups,
}

#[derive(Clone, Copy)]
enum Table {
    Match,
    Members,
    Groups,
}

const TABLES: [Table; 3] = [Table::Match, Table::Members, Table::Groups];

/// How far one peer was told of its room's tables.
#[derive(Debug)]
pub(crate) struct News {
    members: Reader,
    match_state: Reader,
    /// Of a player.
    groups: Option<GroupReader>,
    /// With which the next writing begins, another each time: what changes all the time would leave nothing for the others.
    first: usize,
    /// Bytes that may be told as of `since`; below 0 after a large row.
    balance: i64,
    since: Micros,
}

impl News {
    /// `told` is what the peer says that it was told up to, if its session goes on.
    pub(crate) fn new(
        now: Micros,
        tables: Bulletin<'_>,
        player: Option<PlayerId>,
        told: Option<&Introduction>,
    ) -> Self {
        let groups = |player| GroupReader::new(tables.groups, player, told.map(|told| told.groups));
        Self {
            members: Reader::new(tables.members.log(), told.map(|told| told.members)),
            match_state: Reader::new(tables.match_state.log(), told.map(|told| told.match_state)),
            groups: player.and_then(groups),
            first: 0,
            balance: BURST_BYTES,
            since: now,
        }
    }

    pub(crate) fn is_due(&self, now: Micros, tables: Bulletin<'_>) -> bool {
        self.has_news(tables) && self.available(now) > 0
    }

    fn has_news(&self, tables: Bulletin<'_>) -> bool {
        TABLES.iter().any(|table| self.has_news_of(*table, tables))
    }

    fn has_news_of(&self, table: Table, Bulletin { members, match_state, groups }: Bulletin<'_>) -> bool {
        match table {
            Table::Match => self.match_state.has_news(match_state.log()),
            Table::Members => self.members.has_news(members.log()),
            Table::Groups => self.groups.as_ref().is_some_and(|reader| reader.has_news(groups)),
        }
    }

    /// Appends what is due: the match first, and the next time another table.
    pub(crate) fn write(&mut self, now: Micros, tables: Bulletin<'_>, out: &mut Vec<u8>) {
        if !self.is_due(now, tables) {
            return;
        }
        let (start, available) = (out.len(), self.available(now));
        let left = |out: &Vec<u8>| available - (out.len() - start) as i64;
        for table in TABLES.iter().cycle().skip(self.first).take(TABLES.len()) {
            let bytes_max = left(out).max(0) as usize;
            if bytes_max == 0 {
                break;
            }
            if self.has_news_of(*table, tables) {
                self.write_table(*table, tables, bytes_max, out);
            }
        }
        self.first = (self.first + 1) % TABLES.len();
        (self.balance, self.since) = (left(out), now);
    }

    fn write_table(&mut self, table: Table, tables: Bulletin<'_>, bytes_max: usize, out: &mut Vec<u8>) {
        match table {
            Table::Match => write_match(tables.match_state, &mut self.match_state, bytes_max, out),
            Table::Members => tables.members.write(&mut self.members, bytes_max, out),
            Table::Groups => {
                if let Some(reader) = &mut self.groups {
                    reader.write(tables.groups, bytes_max, out);
                }
            }
        }
    }

    fn available(&self, now: Micros) -> i64 {
        let earned = now.saturating_since(self.since).0.saturating_mul(BYTES_PER_SECOND) / 1_000_000;
        self.balance.saturating_add_unsigned(earned).min(BURST_BYTES)
    }
}

/// Where one reader is in a table's log.
#[derive(Debug)]
pub(crate) struct Reader {
    /// All up to this version was told.
    told: u64,
    /// The newest version at which there was nothing left to tell: every row that is not newer is known there.
    whole_at: u64,
    /// Who has gone up to this version was never told of.
    silent_until: u64,
    /// The table begins anew with the next chunk.
    is_anew: bool,
    is_whole: bool,
}

/// What a reader gets at once.
pub(crate) struct Chunk {
    pub(crate) rows: Vec<u8>,
    /// The version behind it.
    pub(crate) version: u64,
    pub(crate) is_anew: bool,
    pub(crate) is_whole: bool,
}

/// What the encoder of a row has to know of the reader.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    /// Rows of up to this version are known to it.
    pub(crate) up_to: u64,
    /// Whether the end of this row is news to it.
    pub(crate) of_end: bool,
}

impl Reader {
    /// Begins where the reader says that it was told up to; at the beginning if it says nothing that counts.
    pub(crate) fn new<K: Copy + Ord>(log: &ChangeLog<K>, told: Option<u64>) -> Self {
        match told.filter(|told| *told > 0 && log.covers(*told)) {
            Some(told) => Self { told, whole_at: 0, silent_until: 0, is_anew: false, is_whole: false },
            None => {
                Self { told: 0, whole_at: 0, silent_until: log.version(), is_anew: true, is_whole: false }
            }
        }
    }

    pub(crate) fn has_news<K: Copy + Ord>(&self, log: &ChangeLog<K>) -> bool {
        !self.is_whole || self.told != log.version()
    }

    /// The next rows: as many as have room in so many bytes, and one at least. `encode` appends a row, or nothing.
    pub(crate) fn read<K: Copy + Ord>(
        &mut self,
        log: &ChangeLog<K>,
        bytes_max: usize,
        mut encode: impl FnMut(K, Known, &mut Vec<u8>),
    ) -> Chunk {
        if self.told > 0 && !log.covers(self.told) {
            *self = Self::new(log, None);
        }
        let mut rows = Vec::new();
        for (version, key) in log.since(self.told) {
            let start = rows.len();
            let known = Known { up_to: self.whole_at, of_end: version > self.silent_until };
            encode(key, known, &mut rows);
            if start > 0 && rows.len() > bytes_max {
                rows.truncate(start);
                break;
            }
            self.told = version;
        }
        self.is_whole = log.since(self.told).next().is_none();
        if self.is_whole {
            (self.told, self.whole_at) = (log.version(), log.version());
        }
        let is_anew = core::mem::take(&mut self.is_anew);
        Chunk { rows, version: self.told, is_anew, is_whole: self.is_whole }
    }
}

#[cfg(test)]
mod tests {
    use tickwire_protocol::PlayerId;
    use tickwire_protocol::frame::{FrameType, frames};
    use tickwire_protocol::room::{MatchInfo, Profile};

    use super::*;

    /// A table of letters, each of which is a byte; upper case once it has gone.
    struct Letters(ChangeLog<u8>, Vec<u8>);

    impl Letters {
        fn new(letters: &str) -> Self {
            let mut table = Self(ChangeLog::new(2), Vec::new());
            for letter in letters.bytes() {
                table.0.note(letter);
            }
            table
        }

        fn remove(&mut self, letters: &str) {
            self.1.extend(letters.bytes());
            for letter in letters.bytes() {
                self.0.note_gone(letter);
            }
        }

        fn read(&self, reader: &mut Reader, bytes_max: usize) -> String {
            let chunk = reader.read(&self.0, bytes_max, |letter, known, out| {
                let is_gone = self.1.contains(&letter);
                if !is_gone || known.of_end {
                    out.push(if is_gone { letter.to_ascii_uppercase() } else { letter });
                }
            });
            let rows = String::from_utf8(chunk.rows).unwrap();
            let mark = |is_so, mark| if is_so { mark } else { "" };
            format!("{}{rows}{}", mark(chunk.is_anew, "!"), mark(chunk.is_whole, "."))
        }
    }

    #[test]
    fn a_match_that_changes_all_the_time_leaves_room_for_the_members() {
        let (mut members, mut board) = (Members::new(), MatchBoard::default());
        let groups = Groups::default();
        let tables = Bulletin { members: &members, match_state: &board, groups: &groups };
        let mut news = News::new(Micros::ZERO, tables, None, None);
        members.insert(Micros::ZERO, PlayerId(1), Profile::default());
        let mut told = Vec::new();
        for tick in 0..600_u32 {
            // Far more than the pace: four kilobytes a second.
            board.set_info(MatchInfo { settings: vec![tick as u8; 900], ..MatchInfo::default() }).unwrap();
            let tables = Bulletin { members: &members, match_state: &board, groups: &groups };
            news.write(Micros(u64::from(tick) * 20_000), tables, &mut told);
            if tick == 300 {
                members.insert(Micros::ZERO, PlayerId(2), Profile::default());
            }
        }
        let count = |ty| frames(told.clone().into()).filter(|frame| frame.as_ref().unwrap().ty == ty).count();
        assert_eq!(count(FrameType::Members), 2, "each once");
        assert!(count(FrameType::Match) > 40);
    }

    #[test]
    fn a_table_is_told_in_chunks_and_then_by_change() {
        let mut letters = Letters::new("abcd");
        letters.remove("a");
        let mut reader = Reader::new(&letters.0, None);
        assert_eq!(letters.read(&mut reader, 2), "!bc", "of who was gone before nobody hears");
        letters.remove("b");
        assert_eq!(letters.read(&mut reader, 9), "dB.");
        assert!(!reader.has_news(&letters.0));
        letters.0.note(b'e');
        assert!(reader.has_news(&letters.0));
        assert_eq!(letters.read(&mut reader, 0), "e.", "one row goes in any case");
    }

    #[test]
    fn who_has_missed_too_many_ends_is_told_anew() {
        let mut letters = Letters::new("abcde");
        let mut reader = Reader::new(&letters.0, None);
        assert_eq!(letters.read(&mut reader, 4), "!abcd");
        letters.remove("abc");
        assert_eq!(letters.read(&mut reader, 9), "!de.");
        let resumed = |told| letters.read(&mut Reader::new(&letters.0, Some(told)), 9);
        assert_eq!([5, 6, 7].map(resumed), ["!de.", "BC.", "C."]);
        assert_eq!(resumed(99), "!de.", "nobody was told of the future");
    }

    #[test]
    fn what_a_reader_knows_is_what_it_was_told_to_the_end() {
        let letters = Letters::new("abc");
        let mut reader = Reader::new(&letters.0, None);
        let mut known = Vec::new();
        let mut read = |reader: &mut Reader, log: &ChangeLog<u8>, bytes_max| {
            reader.read(log, bytes_max, |letter, told, out| {
                known.push(told.up_to);
                out.push(letter);
            });
        };
        let mut log = letters.0;
        read(&mut reader, &log, 1);
        log.note(b'c');
        read(&mut reader, &log, 9);
        log.note(b'a');
        read(&mut reader, &log, 9);
        assert_eq!(known, [0, 0, 0, 0, 4]);
    }
}
