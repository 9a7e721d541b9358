//! The rows of a table that the server tells by change, and from time to time anew.

use std::collections::{BTreeMap, BTreeSet};

use tickwire_protocol::DecodeError;
use tickwire_protocol::room::TableHead;

/// A table as far as it was told. After an error it is of no use.
#[derive(Debug)]
pub(crate) struct Rows<K, V> {
    version: u64,
    is_whole: bool,
    table: BTreeMap<K, V>,
    /// Rows that were not told since the table began anew: gone, if they are not told until it is whole.
    stale: BTreeSet<K>,
}

impl<K, V> Default for Rows<K, V> {
    fn default() -> Self {
        Self { version: 0, is_whole: false, table: BTreeMap::new(), stale: BTreeSet::new() }
    }
}

impl<K: Copy + Ord, V> Rows<K, V> {
    /// In ascending key.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.table.iter().map(|(key, row)| (*key, row))
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.table.get(&key)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Whether all was told, as of the newest news.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// What to name in the next hello.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// A frame begins. Behind its changes comes [`Rows::end`].
    pub(crate) fn begin(&mut self, head: TableHead) {
        if head.is_anew {
            self.stale = self.table.keys().copied().collect();
        }
    }

    /// A row that is told of changes, if it is there.
    pub(crate) fn change(&mut self, key: K) -> Option<&mut V> {
        self.stale.remove(&key);
        self.table.get_mut(&key)
    }

    /// A row is told, of at most `max` of `what`. The one before.
    pub(crate) fn put(
        &mut self,
        key: K,
        row: V,
        (what, max): (&'static str, usize),
    ) -> Result<Option<V>, DecodeError> {
        self.stale.remove(&key);
        if !self.table.contains_key(&key) {
            within(what, self.table.len() + 1, max)?;
        }
        Ok(self.table.insert(key, row))
    }

    /// The end of a row is told. What it was.
    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        self.stale.remove(&key);
        self.table.remove(&key)
    }

    /// A frame ends. Whoever is gone by it without a word.
    pub(crate) fn end(&mut self, head: TableHead) -> Vec<V> {
        (self.version, self.is_whole) = (head.version, head.is_whole);
        if head.is_whole { self.drop_stale() } else { Vec::new() }
    }

    /// Rows that were not told since the table began anew are gone: these.
    pub(crate) fn drop_stale(&mut self) -> Vec<V> {
        let gone = core::mem::take(&mut self.stale);
        gone.into_iter().filter_map(|key| self.table.remove(&key)).collect()
    }
}

/// Not more than there may be.
pub(crate) fn within(what: &'static str, count: usize, max: usize) -> Result<(), DecodeError> {
    let (value, limit) = (count as u64, max as u64);
    if value > limit { Err(DecodeError::TooLarge { what, value, limit }) } else { Ok(()) }
}
