//! Keying anew: which fingerprints of one version became which of another.
//!
//! Fingerprints of two versions are never compared as such; the raw texts are normalised again and tell which belong
//! together. A cluster may split, and several may become one.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

/// Failures that had one fingerprint and have another now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mapping {
    /// The fingerprint under the old version.
    pub from: String,
    /// The fingerprint under the new version.
    pub to: String,
    /// How many failures.
    pub failures: u64,
}

/// What keying anew did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rekeyed {
    /// All pairs that occur, sorted.
    pub mappings: Vec<Mapping>,
    /// Old fingerprints that became more than one.
    pub split: u64,
    /// New fingerprints that several old ones became.
    pub merged: u64,
}

/// Pairs the old and the new fingerprint of each failure.
pub fn rekey(failures: impl IntoIterator<Item = (String, String)>) -> Rekeyed {
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for pair in failures {
        *counts.entry(pair).or_insert(0) += 1;
    }
    let (mut forth, mut back) = (BTreeMap::new(), BTreeMap::new());
    for (from, to) in counts.keys() {
        forth.entry(from.clone()).or_insert_with(BTreeSet::new).insert(to.clone());
        back.entry(to.clone()).or_insert_with(BTreeSet::new).insert(from.clone());
    }
    let several =
        |sets: &BTreeMap<String, BTreeSet<String>>| sets.values().filter(|s| s.len() > 1).count() as u64;
    Rekeyed {
        split: several(&forth),
        merged: several(&back),
        mappings: counts.into_iter().map(|((from, to), failures)| Mapping { from, to, failures }).collect(),
    }
}
