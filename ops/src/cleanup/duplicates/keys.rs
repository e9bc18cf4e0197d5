//! What is compared of a row: digests of what must be equal, and a sketch of its words.

use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use super::super::words::Splits;
use super::super::{Cell, Dataset, Survivor};
use super::find::{Keyed, blocks_per_row, similarity_of};
use super::words::{Sketch, Sketcher};
use crate::value::{ValueRef, encode};

/// What is compared of one row.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowKeys<'a> {
    /// Of all declared columns; what a cluster's id is made of.
    pub(super) row: u128,
    /// Of all declared columns but the key; `None` when they are all missing.
    pub(super) exact: Option<u128>,
    pub(super) slug: Option<u128>,
    pub(super) near: Option<&'a Sketch>,
    /// Of the columns within which duplicates are looked for; `None` when they are all missing.
    pub(super) within: Option<u128>,
    /// More stays.
    pub(super) rank: u32,
}

/// Makes the keys of rows; its buffers are reused.
#[derive(Debug)]
pub struct Keys {
    columns: usize,
    /// Columns that are not the key.
    content: Picked,
    /// Those of them that say something of a row alone.
    telling: Vec<usize>,
    within: Picked,
    near: Vec<usize>,
    survivor: Rank,
    has_slug: bool,
    /// How many hashes of a sketch are looked up to find texts that are near.
    blocks: usize,
    encoded: Encoded,
    sketcher: Sketcher,
    /// The hashes that are looked up.
    least: Vec<u64>,
}

#[derive(Debug)]
enum Rank {
    First,
    Longest(Option<usize>),
    Best,
}

impl Keys {
    /// Compares rows as the dataset declares.
    pub fn new(dataset: &Dataset) -> Self {
        let place = |name: &String| dataset.columns.iter().position(|column| column.name == *name);
        let places = |names: &[String]| -> Vec<usize> { names.iter().filter_map(place).collect() };
        let is_content = |at: &usize| !dataset.key.contains(&dataset.columns[*at].name);
        let content: Vec<usize> = (0..dataset.columns.len()).filter(is_content).collect();
        let within = places(&dataset.duplicates.within);
        Self {
            columns: dataset.columns.len(),
            content: Picked::new(&content),
            telling: content.into_iter().filter(|at| !within.contains(at)).collect(),
            within: Picked::new(&within),
            near: places(&dataset.duplicates.near),
            survivor: match &dataset.duplicates.survivor {
                Survivor::First => Rank::First,
                Survivor::Longest(column) => Rank::Longest(place(column)),
                Survivor::Best => Rank::Best,
            },
            has_slug: dataset.slug.is_some(),
            blocks: blocks_per_row(similarity_of(dataset)),
            encoded: Encoded::default(),
            sketcher: Sketcher::default(),
            least: Vec::new(),
        }
    }

    /// Appends the keys of the repaired row at this place of the input to others: its cells in the order of the
    /// dataset's columns, its slug, and its score, 0 to 1.
    pub fn add(&mut self, ordinal: u64, row: (&[Cell<'_>], Option<&str>, f64), to: &mut Keyed) {
        self.add_split(ordinal, row, &Splits::default(), to);
    }

    /// The same of a row whose texts were split into words.
    pub(in super::super) fn add_split(
        &mut self,
        ordinal: u64,
        (cells, slug, score): (&[Cell<'_>], Option<&str>, f64),
        splits: &Splits,
        to: &mut Keyed,
    ) {
        let cell = |at: usize| cells.get(at).unwrap_or(&Cell::Absent);
        let text = |at: usize| cell(at).text().unwrap_or_default();
        self.encoded.fill((0..self.columns).map(|at| value(cell(at))));
        let has_content = self.telling.iter().any(|at| !is_missing(cell(*at)));
        let within_of = self
            .within
            .columns()
            .any(|at| value(cell(at)) != ValueRef::Null)
            .then(|| self.encoded.digest(&self.within));
        let slug = slug.filter(|slug| self.has_slug && !slug.is_empty());
        let keys = RowKeys {
            row: xxh3_128(&self.encoded.bytes),
            exact: has_content.then(|| self.encoded.digest(&self.content)),
            slug: slug.map(|slug| within(within_of, xxh3_128(slug.as_bytes()))),
            near: self.sketcher.sketch(self.near.iter().map(|at| (text(*at), splits.plain(*at, text(*at))))),
            within: within_of,
            rank: match self.survivor {
                Rank::First => 0,
                Rank::Longest(at) => {
                    at.map_or(0, |at| u32::try_from(text(at).chars().count()).unwrap_or(u32::MAX))
                }
                Rank::Best => of_score(score),
            },
        };
        match keys.near {
            Some(near) => near.least(self.blocks, &mut self.least),
            None => self.least.clear(),
        }
        to.push(ordinal, &keys, &self.least);
    }
}

/// Columns that a digest is made of: runs of those that stand side by side.
#[derive(Debug)]
struct Picked(Vec<Range<usize>>);

impl Picked {
    fn new(columns: &[usize]) -> Self {
        let runs = columns.chunk_by(|a, b| a + 1 == *b);
        Self(runs.map(|run| run[0]..run[run.len() - 1] + 1).collect())
    }

    fn columns(&self) -> impl Iterator<Item = usize> {
        self.0.iter().cloned().flatten()
    }
}

/// The cells of a row, encoded once for all digests.
#[derive(Debug, Default)]
struct Encoded {
    bytes: Vec<u8>,
    /// Where each cell starts, and where the last one ends.
    starts: Vec<usize>,
    /// Columns that do not stand side by side.
    picked: Vec<u8>,
}

impl Encoded {
    fn fill<'v>(&mut self, values: impl Iterator<Item = ValueRef<'v>>) {
        self.bytes.clear();
        self.starts.clear();
        for value in values {
            self.starts.push(self.bytes.len());
            encode(value, &mut self.bytes);
        }
        self.starts.push(self.bytes.len());
    }

    /// What [`digest_row`](crate::value::digest_row) makes of these columns.
    fn digest(&mut self, columns: &Picked) -> u128 {
        let bytes = |run: &Range<usize>| &self.bytes[self.starts[run.start]..self.starts[run.end]];
        if let [run] = &columns.0[..] {
            return xxh3_128(bytes(run));
        }
        self.picked.clear();
        columns.0.iter().for_each(|run| self.picked.extend_from_slice(bytes(run)));
        xxh3_128(&self.picked)
    }
}

/// A score, 0 to 1, as a number that sorts like it and tells any two apart that differ by a millionth.
#[expect(clippy::cast_possible_truncation, reason = "scores have four digits")]
fn of_score(score: f64) -> u32 {
    // Bits of numbers from 0 up sort like the numbers.
    (score.max(0.0) as f32).to_bits()
}

/// A key that counts only within some columns.
pub(super) fn within(within: Option<u128>, key: u128) -> u128 {
    within.map_or(key, |within| mixed(within, key))
}

/// One digest of two.
pub(super) fn mixed(a: u128, b: u128) -> u128 {
    let mut both = [0; 32];
    both[..16].copy_from_slice(&a.to_le_bytes());
    both[16..].copy_from_slice(&b.to_le_bytes());
    xxh3_128(&both)
}

fn value<'a>(cell: &'a Cell<'_>) -> ValueRef<'a> {
    match cell {
        Cell::Absent | Cell::Null => ValueRef::Null,
        Cell::Text(text) => ValueRef::Text(text),
        Cell::Json(json) => ValueRef::Json(json),
    }
}

fn is_missing(cell: &Cell<'_>) -> bool {
    match cell {
        Cell::Absent | Cell::Null => true,
        Cell::Text(text) => text.trim().is_empty(),
        Cell::Json(_) => false,
    }
}
