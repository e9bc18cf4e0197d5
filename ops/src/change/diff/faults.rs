//! Keys that cannot tell rows apart: on either side they end a comparison, listed and counted exactly.

use std::collections::BTreeMap;
use std::fmt;

use super::spill::Entry;
use crate::value::{Digest128, Row};

/// Keys, rows and lines of one sort that are listed; all of them are counted.
pub(super) const LISTED_MAX: usize = 20;
/// Rows of one key that are listed.
pub(super) const PLACES_MAX: usize = 8;

/// What is wrong with the keys. Whoever shows the lists shows contents of rows; the message itself has counts only.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeyFaults {
    /// Keys that more than one desired row has.
    pub desired_duplicates: Duplicates,
    /// Keys that more than one live row has.
    pub live_duplicates: Duplicates,
    /// Desired rows with a column of the key missing or NULL.
    pub desired_unkeyed: u64,
    /// The lines of the first of them.
    pub desired_unkeyed_lines: Vec<u64>,
    /// Live rows with NULL in a column of the key.
    pub live_unkeyed: u64,
    /// The keys of the first of them.
    pub live_unkeyed_keys: Vec<Row>,
}

impl KeyFaults {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.desired_duplicates.keys == 0
            && self.live_duplicates.keys == 0
            && self.desired_unkeyed == 0
            && self.live_unkeyed == 0
    }
}

impl fmt::Display for KeyFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (side, duplicates) in [("desired", &self.desired_duplicates), ("live", &self.live_duplicates)] {
            if duplicates.keys > 0 {
                parts.push(format!("{} {side} rows share {} keys", duplicates.rows, duplicates.keys));
            }
        }
        for (side, rows) in [("desired", self.desired_unkeyed), ("live", self.live_unkeyed)] {
            if rows > 0 {
                parts.push(format!("{rows} {side} rows have no key"));
            }
        }
        f.write_str(&parts.join(", "))
    }
}

/// Keys that more than one row has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Duplicates {
    /// How many such keys.
    pub keys: u64,
    /// How many rows have them.
    pub rows: u64,
    /// The ones that come first in their source.
    pub listed: Vec<Duplicate>,
}

/// One key that more than one row has.
#[derive(Debug, Clone, PartialEq)]
pub struct Duplicate {
    /// The key.
    pub key: Row,
    /// How many rows have it.
    pub rows: u64,
    /// The lines of the first of them in the desired file; empty for live rows.
    pub lines: Vec<u64>,
}

/// Duplicates of one side by their places, before keys and lines are known.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    keys: u64,
    rows: u64,
    /// By the first place.
    pub(super) listed: BTreeMap<u64, (u64, Vec<u64>)>,
}

impl Repeats {
    /// Notes a key that `rows` rows have; `entries` are the first of them, in the order of their places.
    pub(super) fn add(&mut self, entries: &[Entry], rows: u64) {
        self.keys += 1;
        self.rows += rows;
        let places: Vec<u64> = entries.iter().take(PLACES_MAX).map(|entry| entry.at).collect();
        self.listed.insert(places[0], (rows, places));
        if self.listed.len() > LISTED_MAX {
            self.listed.pop_last();
        }
    }

    /// Adds those of other keys.
    pub(super) fn merge(&mut self, other: Self) {
        self.keys += other.keys;
        self.rows += other.rows;
        self.listed.extend(other.listed);
        while self.listed.len() > LISTED_MAX {
            self.listed.pop_last();
        }
    }

    /// With what was found at the places.
    pub(super) fn with(&self, listed: Vec<Duplicate>) -> Duplicates {
        Duplicates { keys: self.keys, rows: self.rows, listed }
    }
}

/// Entries of a partition that is held in memory: sorted by key, then by place. Of a key that very many rows have
/// only the first are kept, and the others counted, so that a column that is no key at all does not fill the memory.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) entries: Vec<Entry>,
    surplus: BTreeMap<Digest128, u64>,
}

impl Held {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.surplus.clear();
    }

    /// Adds an entry; condenses at every `max` entries.
    pub(super) fn push(&mut self, entry: Entry, max: usize) {
        self.entries.push(entry);
        if self.entries.len().is_multiple_of(max) {
            self.condense();
        }
    }

    pub(super) fn sort(&mut self) {
        self.entries.sort_unstable_by_key(|entry| (entry.key, entry.at));
    }

    fn condense(&mut self) {
        self.sort();
        let (mut key, mut count) = (None, 0);
        let surplus = &mut self.surplus;
        self.entries.retain(|entry| {
            count = if key == Some(entry.key) { count + 1 } else { 1 };
            key = Some(entry.key);
            if count > PLACES_MAX {
                *surplus.entry(entry.key).or_default() += 1;
            }
            count <= PLACES_MAX
        });
    }

    /// How many rows have the key of these entries.
    pub(super) fn rows(&self, entries: &[Entry]) -> u64 {
        entries.len() as u64 + self.surplus.get(&entries[0].key).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_very_many_rows_is_counted_and_not_held() {
        let mut held = Held::default();
        for at in (0..10_000).rev() {
            held.push(Entry { key: u128::from(at % 3 == 0), row: 0, at }, 100);
        }
        held.sort();
        assert!(held.entries.len() < 200, "{}", held.entries.len());
        let groups: Vec<&[Entry]> = held.entries.chunk_by(|a, b| a.key == b.key).collect();
        assert_eq!(groups.iter().map(|g| held.rows(g)).collect::<Vec<_>>(), [6666, 3334]);
        assert_eq!(groups[0].iter().take(3).map(|e| e.at).collect::<Vec<_>>(), [1, 2, 4]);
    }

    #[test]
    fn the_first_places_are_listed() {
        let mut repeats = Repeats::default();
        let entry = |at| Entry { key: 0, row: 0, at };
        for at in (0..100).rev() {
            repeats.add(&[entry(at), entry(at + 100)], 2);
        }
        assert_eq!(repeats.listed.keys().copied().collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
        let duplicates = repeats.with(vec![]);
        assert_eq!((duplicates.keys, duplicates.rows), (100, 200));
        let faults = KeyFaults { desired_duplicates: duplicates, live_unkeyed: 3, ..KeyFaults::default() };
        assert_eq!(faults.to_string(), "200 desired rows share 100 keys, 3 live rows have no key");
        assert!(!faults.is_empty() && KeyFaults::default().is_empty());
    }
}
