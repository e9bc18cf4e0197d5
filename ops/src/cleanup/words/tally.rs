//! Small maps from the hashes of words: what they stand for, and how often they came.

use std::ops::Range;

use super::Word;
use super::splits::{Spot, offset};

/// A small map from hashes to numbers.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Table {
    slots: Vec<(u64, u32)>,
}

impl Table {
    /// Of these; the last of equal keys wins.
    pub(in super::super) fn new(entries: &[(u64, u32)]) -> Self {
        let size = (entries.len() * 4).next_power_of_two().max(16);
        let mut table = Self { slots: vec![(0, u32::MAX); size] };
        for &(key, value) in entries {
            let at = table.slot(key);
            table.slots[at] = (key, value);
        }
        table
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked")]
    fn slot(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = key as usize & mask;
        while self.slots[at].1 != u32::MAX && self.slots[at].0 != key {
            at = (at + 1) & mask;
        }
        at
    }

    pub(in super::super) fn get(&self, key: u64) -> Option<u32> {
        let (_, value) = self.slots[self.slot(key)];
        (value != u32::MAX).then_some(value)
    }
}

/// Words with how often they came, reused from row to row.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Tally {
    slots: Vec<u32>,
    entries: Vec<Entry>,
}

/// A word of a [`Tally`]: where it first stood, and how often it came.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Entry {
    hash: u64,
    start: u32,
    end: u32,
    chars: u32,
    count: u32,
    /// Which text.
    source: u32,
}

impl Entry {
    /// Which text it stands in.
    pub(in super::super) fn source(&self) -> usize {
        self.source as usize
    }

    /// Where it stands there, in bytes.
    pub(in super::super) fn place(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// A word with as many characters as bytes is ASCII.
    pub(in super::super) fn is_ascii(&self) -> bool {
        self.chars == self.end - self.start
    }

    /// What says most has the highest weight: what came most often, then what is longest.
    pub(in super::super) fn weight(&self) -> u64 {
        u64::from(self.count) << 32 | u64::from(self.chars)
    }
}

const TALLY_SLOTS: usize = 256;

impl Tally {
    pub(in super::super) fn clear(&mut self) {
        self.entries.clear();
        self.slots.truncate(TALLY_SLOTS);
        self.slots.fill(0);
        self.slots.resize(TALLY_SLOTS, 0);
    }

    pub(in super::super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(in super::super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Counts a word that stands in text number `source`.
    pub(in super::super) fn add(&mut self, word: Word<'_>, source: usize) {
        self.add_spot(&Spot::new(word), offset(source));
    }

    /// The same, without its text.
    #[inline]
    pub(super) fn add_spot(&mut self, spot: &Spot, source: u32) {
        let Spot { hash, start, end, chars, .. } = *spot;
        self.count(Entry { hash, start, end, chars, count: 1, source });
    }

    /// Counts a word that is known by its hash only.
    pub(in super::super) fn add_hash(&mut self, hash: u64) {
        self.count(Entry { hash, start: 0, end: 0, chars: 0, count: 1, source: 0 });
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "masked; a text of 2^32 words is no cell")]
    fn count(&mut self, entry: Entry) {
        if self.entries.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = entry.hash as usize & mask;
        loop {
            match self.slots[at] {
                0 => break,
                taken if self.entries[taken as usize - 1].hash == entry.hash => {
                    let entry = &mut self.entries[taken as usize - 1];
                    entry.count = entry.count.saturating_add(1);
                    return;
                }
                _ => at = (at + 1) & mask,
            }
        }
        self.entries.push(entry);
        self.slots[at] = self.entries.len() as u32;
    }

    #[cold]
    #[expect(clippy::cast_possible_truncation, reason = "as in `count`")]
    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(TALLY_SLOTS);
        self.slots.clear();
        self.slots.resize(size, 0);
        for (i, entry) in self.entries.iter().enumerate() {
            let mut at = entry.hash as usize & (size - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = i as u32 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash;
    use super::*;

    #[test]
    fn a_table_finds_what_it_was_given() {
        let entries: Vec<(u64, u32)> = (0..100).map(|i| (hash(&format!("w{i}")), i)).collect();
        let table = Table::new(&entries);
        assert!(entries.iter().all(|(key, value)| table.get(*key) == Some(*value)));
        assert_eq!(table.get(hash("other")), None);
        assert_eq!(Table::new(&[]).get(0), None);
    }

    #[test]
    fn a_tally_counts_beyond_its_first_size() {
        let mut tally = Tally::default();
        for _ in 0..2 {
            tally.clear();
            for i in 0..2000 {
                tally.add_hash(hash(&format!("w{}", i % 1000)));
            }
            assert_eq!(tally.len(), 1000);
            assert!(tally.entries().iter().all(|entry| entry.count == 2));
        }
    }
}
