//! Which rows of a table changed when.

use std::collections::{BTreeMap, BTreeSet};

/// The order in which the rows of a table changed last: each row once, under the version of its newest change. A reader keeps the version
/// that it was told up to.
///
/// Rows that are gone stay in it for a while, so that readers hear of their end; of more than a bound the oldest are forgotten, and whoever
/// is behind these has to be told the table [anew](ChangeLog::covers).
#[derive(Clone, Debug)]
pub struct ChangeLog<K> {
    version: u64,
    changed: BTreeMap<u64, K>,
    versions: BTreeMap<K, u64>,
    /// Versions of rows that are gone.
    gone: BTreeSet<u64>,
    gone_max: usize,
    /// The newest version that was forgotten.
    horizon: u64,
}

impl<K: Copy + Ord> ChangeLog<K> {
    /// An empty table, version 0. So many rows that are gone are remembered.
    pub fn new(gone_max: usize) -> Self {
        let (changed, versions, gone) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { version: 0, changed, versions, gone, gone_max, horizon: 0 }
    }

    /// The version of the newest change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// A row was put in, or changed. Its version.
    pub fn note(&mut self, key: K) -> u64 {
        if let Some(before) = self.versions.remove(&key) {
            self.changed.remove(&before);
            self.gone.remove(&before);
        }
        self.version += 1;
        self.changed.insert(self.version, key);
        self.versions.insert(key, self.version);
        self.version
    }

    /// A row was taken out. A row that was taken out long ago and is forgotten for it.
    pub fn note_gone(&mut self, key: K) -> Option<K> {
        let version = self.note(key);
        self.gone.insert(version);
        if self.gone.len() <= self.gone_max {
            return None;
        }
        let oldest = self.gone.pop_first()?;
        self.horizon = oldest;
        let forgotten = self.changed.remove(&oldest)?;
        self.versions.remove(&forgotten);
        Some(forgotten)
    }

    /// Whether who was told up to this version lacks nothing but what is in the log.
    pub fn covers(&self, version: u64) -> bool {
        (self.horizon..=self.version).contains(&version)
    }

    /// The rows that changed behind a version, in the order of their versions.
    pub fn since(&self, version: u64) -> impl Iterator<Item = (u64, K)> {
        self.changed.range(version.saturating_add(1)..).map(|(version, key)| (*version, *key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(log: &ChangeLog<char>, version: u64) -> String {
        log.since(version).map(|(_, key)| key).collect()
    }

    #[test]
    fn each_row_is_told_once_at_its_newest_change() {
        let mut log = ChangeLog::new(2);
        for key in "abcab".chars() {
            log.note(key);
        }
        assert_eq!((log.version(), since(&log, 0), since(&log, 3)), (5, "cab".to_owned(), "ab".to_owned()));
        assert_eq!(since(&log, 5), "");
        assert_eq!(since(&log, u64::MAX), "");
    }

    #[test]
    fn what_is_gone_is_told_for_a_while() {
        let mut log = ChangeLog::new(2);
        for key in "abcd".chars() {
            log.note(key);
        }
        assert_eq!("ab".chars().filter_map(|key| log.note_gone(key)).count(), 0);
        assert_eq!((since(&log, 4), log.covers(0), log.covers(7)), ("ab".to_owned(), true, false));
        assert_eq!(log.note_gone('c'), Some('a'), "more than two are too many");
        assert_eq!(since(&log, 4), "bc");
        assert_eq!([4, 5].map(|version| log.covers(version)), [false, true]);
        log.note('b');
        assert_eq!(log.note_gone('d'), None, "who comes back is not gone");
    }
}
