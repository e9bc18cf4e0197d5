//! The names that records have: interned, because a million records have the same ones.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::scan::Range;

/// Different sets of names that are remembered; a file with more is slower, not wrong.
const KNOWN_MAX: usize = 1000;
/// Names that are remembered in all sets.
const NAMES_MAX: usize = 100_000;

/// The id of the next set of names.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// The names of the fields of a record, in order, none twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    id: u64,
    names: Vec<String>,
}

impl Names {
    /// Names with the same id are the same. The same names may have several ids.
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
    by_spelling: HashMap<Box<[u8]>, Arc<Names>>,
    /// Names in all sets.
    count: usize,
    spelling: Vec<u8>,
}

impl Known {
    /// The set of the names of one object, with their quotes, at these ranges of `object`.
    pub(super) fn of_object(&mut self, object: &[u8], ranges: &[Range]) -> Result<Arc<Names>, String> {
        let raw = |&(from, to): &Range| &object[from as usize..to as usize];
        self.spelling.clear();
        for range in ranges {
            self.spelling.extend_from_slice(raw(range));
        }
        if let Some(set) = self.by_spelling.get(self.spelling.as_slice()) {
            return Ok(Arc::clone(set));
        }
        let names = ranges.iter().map(|range| {
            serde_json::from_slice(raw(range)).map_err(|_| "the name of a field is not text".to_owned())
        });
        self.insert(names.collect::<Result<Vec<String>, _>>()?)
    }

    /// The set of these names.
    pub(super) fn of_list(&mut self, names: Vec<String>) -> Result<Arc<Names>, String> {
        self.spelling.clear();
        for name in &names {
            self.spelling.extend_from_slice(name.as_bytes());
            self.spelling.push(0xff);
        }
        match self.by_spelling.get(self.spelling.as_slice()) {
            Some(set) => Ok(Arc::clone(set)),
            None => self.insert(names),
        }
    }

    fn insert(&mut self, names: Vec<String>) -> Result<Arc<Names>, String> {
        let mut seen = HashSet::new();
        if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(format!("the name `{twice}` is there twice"));
        }
        self.count += names.len();
        if self.by_spelling.len() >= KNOWN_MAX || self.count > NAMES_MAX {
            self.by_spelling.clear();
            self.count = names.len();
        }
        let set = Arc::new(Names { id: NEXT.fetch_add(1, Ordering::Relaxed), names });
        self.by_spelling.insert(self.spelling.as_slice().into(), Arc::clone(&set));
        Ok(set)
    }
}

impl Names {
    /// No names at all.
    pub(super) fn none() -> Arc<Self> {
        Arc::new(Self { id: 0, names: Vec::new() })
    }
}
