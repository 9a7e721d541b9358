//! Some of the rows of a tick.

/// A set of rows, by their [numbers](super::scene::Scene::number): a bit each. To go through it is to go through them in the order of
/// the wire, so nothing needs to be sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowSet {
    words: Vec<u64>,
}

impl RowSet {
    /// Empty, with room for so many rows.
    pub(crate) fn clear(&mut self, rows: usize) {
        self.words.clear();
        self.words.resize(rows.div_ceil(u64::BITS as usize), 0);
    }

    pub(crate) fn insert(&mut self, row: u32) {
        self.words[(row / u64::BITS) as usize] |= 1 << (row % u64::BITS);
    }

    pub(crate) fn contains(&self, row: u32) -> bool {
        self.words.get((row / u64::BITS) as usize).is_some_and(|word| word >> (row % u64::BITS) & 1 != 0)
    }

    /// In ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        self.words.iter().zip(0..).flat_map(|(&word, place): (&u64, u32)| {
            let mut left = word;
            core::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(place * u64::BITS + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_put_in_in_order() {
        let mut set = RowSet::default();
        assert_eq!((set.iter().count(), set.contains(0)), (0, false));
        for rows in [1, 64, 65, 300] {
            set.clear(rows as usize);
            let some = || (0..rows).filter(|row| row % 7 == 0 || row % 64 == 63);
            // Some of them twice, from the last to the first.
            some().rev().chain([0]).for_each(|row| set.insert(row));
            assert_eq!(set.iter().collect::<Vec<_>>(), some().collect::<Vec<_>>());
            assert!((0..rows + 100).all(|row| set.contains(row) == some().any(|other| other == row)));
        }
    }
}
