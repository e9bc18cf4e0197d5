//! The names that records have: interned, because a million records have the same ones.

use std::collections::{HashMap, HashSet};

use super::scan::Range;

/// Different sets of names that are remembered; a file with more is slower, not wrong.
const KNOWN_MAX: usize = 1000;

/// The names of the fields of a record, in order, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    id: u64,
    names: Vec<String>,
}

impl Names {
    /// Names with the same id are the same, within one reader.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// All names seen so far.
#[derive(Debug, Default)]
pub(super) struct Known {
    sets: Vec<Names>,
    by_spelling: HashMap<Box<[u8]>, usize>,
    next: u64,
    spelling: Vec<u8>,
}

impl Known {
    /// Takes the names of a header; `Err` names one that is missing or there twice.
    pub(super) fn header(&mut self, names: Vec<String>) -> Result<usize, String> {
        self.insert(names)
    }

    /// The set of the names of one object, with their quotes, at these ranges of `object`.
    pub(super) fn of_object(&mut self, object: &[u8], ranges: &[Range]) -> Result<usize, String> {
        let raw = |&(from, to): &Range| &object[from as usize..to as usize];
        self.spelling.clear();
        for range in ranges {
            self.spelling.extend_from_slice(raw(range));
        }
        if let Some(&set) = self.by_spelling.get(self.spelling.as_slice()) {
            return Ok(set);
        }
        let names = ranges.iter().map(|range| {
            serde_json::from_slice(raw(range)).map_err(|_| "the name of a field is not text".to_owned())
        });
        let names = names.collect::<Result<Vec<String>, _>>()?;
        if self.sets.len() >= KNOWN_MAX {
            self.sets.clear();
            self.by_spelling.clear();
        }
        let set = self.insert(names)?;
        self.by_spelling.insert(self.spelling.as_slice().into(), set);
        Ok(set)
    }

    fn insert(&mut self, names: Vec<String>) -> Result<usize, String> {
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(format!("the name `{twice}` is there twice"));
        }
        self.next += 1;
        self.sets.push(Names { id: self.next, names });
        Ok(self.sets.len() - 1)
    }

    pub(super) fn get(&self, set: usize) -> &Names {
        &self.sets[set]
    }
}
