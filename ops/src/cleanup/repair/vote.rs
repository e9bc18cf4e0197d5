//! Which encodings damaged a table: every damaged cell of a column is a witness.
//!
//! A sequence of three characters is hardly evidence alone; twenty cells that all decode, and none that does not, are.
//! Counts only add up, so that the order of the rows and the number of threads make no difference.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::Dataset;
use super::codec::{CODECS, Codec};
use super::mojibake::Reading;
use super::scan::{Needs, codecs, may_be_damaged, needs};

/// Sequences of a column, or cells of the whole input, from which an encoding is known.
const KNOWN_FROM: u64 = 3;
/// How often text can have been damaged on top of damage.
pub(super) const LAYERS_MAX: usize = 4;

/// What was seen of one encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Cells with a sequence that can be put back.
    pub cells: u64,
    /// Those of them that decode without a rest.
    pub whole: u64,
    /// Sequences that are certainly damage.
    pub sequences: u64,
    /// Cells with a sequence that lacks a byte.
    pub lossy: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.cells += other.cells;
        self.whole += other.whole;
        self.sequences += other.sequences;
        self.lossy += other.lossy;
    }
}

/// Collects what the cells of a table say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vote {
    columns: Vec<[Tally; CODECS]>,
}

impl Vote {
    /// Nothing was seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hears the text of one cell; `column` is its place in the row. Costs one look at the bytes of a text without
    /// damage.
    pub fn observe(&mut self, column: usize, text: &str) {
        if may_be_damaged(text) && needs(text).has(Needs::MOJIBAKE) {
            if self.columns.len() <= column {
                self.columns.resize(column + 1, Default::default());
            }
            witness(text, &mut self.columns[column], LAYERS_MAX);
        }
    }

    /// Adds what another vote heard.
    pub fn absorb(&mut self, other: &Self) {
        if self.columns.len() < other.columns.len() {
            self.columns.resize(other.columns.len(), Default::default());
        }
        for (tallies, others) in self.columns.iter_mut().zip(&other.columns) {
            for (tally, other) in tallies.iter_mut().zip(others) {
                tally.add(*other);
            }
        }
    }

    /// What the vote says about the columns of `dataset`.
    pub fn decide(&self, dataset: &Dataset) -> Decisions {
        let mut document = [Tally::default(); CODECS];
        let mut columns = BTreeMap::new();
        for (at, tallies) in self.columns.iter().enumerate() {
            for (sum, tally) in document.iter_mut().zip(tallies) {
                sum.add(*tally);
            }
            if let Some(column) = dataset.columns.get(at) {
                let verdicts = verdicts(tallies);
                if !verdicts.is_empty() {
                    columns.insert(column.name.clone(), verdicts);
                }
            }
        }
        Decisions { document: verdicts(&document), columns }
    }
}

fn witness(text: &str, tallies: &mut [Tally; CODECS], layers: usize) {
    let mut best: Option<(usize, Reading)> = None;
    let possible = codecs(text);
    for codec in Codec::ALL.into_iter().filter(|codec| possible.has(*codec)) {
        let reading = Reading::of(text, codec, false);
        let tally = &mut tallies[codec as usize];
        tally.lossy += u64::from(reading.is_lossy());
        let damage = reading.damage() as u64;
        if damage > 0 {
            let decodes = u64::from(reading.certain() > 0);
            tally.cells += decodes;
            tally.whole += decodes * u64::from(reading.is_whole());
            tally.sequences += damage;
            let explained = reading.explained();
            if best.as_ref().is_none_or(|(most, _)| explained > *most) {
                best = Some((explained, reading));
            }
        }
    }
    let next = best.and_then(|(_, reading)| reading.mend(text));
    if let Some((next, _)) = next.filter(|(next, _)| layers > 1 && !next.is_ascii()) {
        witness(&next, tallies, layers - 1);
    }
}

/// Encodings with evidence, the most first.
fn verdicts(tallies: &[Tally; CODECS]) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = Codec::ALL
        .into_iter()
        .zip(tallies)
        .filter(|(_, tally)| tally.sequences + tally.lossy > 0)
        .map(|(codec, tally)| Verdict { codec, tally: *tally })
        .collect();
    verdicts.sort_by_key(|verdict| (std::cmp::Reverse(verdict.tally.sequences), verdict.codec));
    verdicts
}

/// An encoding and the evidence for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What UTF-8 was read as.
    pub codec: Codec,
    /// What was seen of it.
    #[serde(flatten)]
    pub tally: Tally,
}

/// What a vote says: for each column, and for the whole input, encodings and the evidence for them, most first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Decisions {
    /// All columns together.
    pub document: Vec<Verdict>,
    /// By the names of columns; those without damage are not listed.
    pub columns: BTreeMap<String, Vec<Verdict>>,
}

/// An encoding that damaged a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) codec: Codec,
    /// Whether any cell decodes.
    pub(super) seen: bool,
    /// Whether other cells prove it.
    pub(super) known: bool,
    /// For people.
    pub(super) evidence: String,
}

impl Decisions {
    /// Encodings to try on a column, the likeliest first.
    pub(super) fn suspects(&self, column: &str) -> Vec<Suspect> {
        let own = self.columns.get(column).map_or(&[][..], Vec::as_slice);
        let foreign = self.document.iter().filter(|verdict| own.iter().all(|own| own.codec != verdict.codec));
        let suspect = |verdict: &Verdict, scope: &str| {
            let Tally { cells, sequences, lossy, .. } = verdict.tally;
            Suspect {
                codec: verdict.codec,
                seen: sequences > 0,
                known: sequences >= KNOWN_FROM && sequences > lossy,
                evidence: format!(
                    "{}: {cells} of {} damaged cells of this {scope} decode",
                    verdict.codec.name(),
                    cells + lossy
                ),
            }
        };
        own.iter()
            .map(|verdict| suspect(verdict, "column"))
            .chain(foreign.map(|verdict| suspect(verdict, "input")))
            .collect()
    }
}
