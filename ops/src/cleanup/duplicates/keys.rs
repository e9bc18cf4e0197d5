//! What is compared of a row: digests of what must be equal, and a sketch of its words.

use std::io::{self, Read};

use xxhash_rust::xxh3::xxh3_128;

use super::super::{Cell, Dataset, Survivor};
use super::find::{Keyed, blocks_per_row, similarity_of};
use super::words::{Sketch, Sketcher};
use crate::value::{ValueRef, digest_row};

/// What is compared of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RowKeys {
    /// Of all declared columns; what a cluster's id is made of.
    pub(super) row: u128,
    /// Of all declared columns but the key; `None` when they are all missing.
    pub(super) exact: Option<u128>,
    pub(super) slug: Option<u128>,
    pub(super) near: Option<Sketch>,
    /// Of the columns within which duplicates are looked for.
    pub(super) within: u128,
    /// More stays.
    pub(super) rank: u64,
}

/// Makes the keys of rows; its buffers are reused.
#[derive(Debug)]
pub struct Keys {
    columns: usize,
    /// Columns that are not the key.
    content: Vec<usize>,
    within: Vec<usize>,
    near: Vec<usize>,
    survivor: Rank,
    has_slug: bool,
    /// How many hashes of a sketch are looked up to find texts that are near.
    blocks: usize,
    scratch: Vec<u8>,
    sketcher: Sketcher,
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
        let places = |names: &[String]| names.iter().filter_map(place).collect();
        let is_content = |at: &usize| !dataset.key.contains(&dataset.columns[*at].name);
        Self {
            columns: dataset.columns.len(),
            content: (0..dataset.columns.len()).filter(is_content).collect(),
            within: places(&dataset.duplicates.within),
            near: places(&dataset.duplicates.near),
            survivor: match &dataset.duplicates.survivor {
                Survivor::First => Rank::First,
                Survivor::Longest(column) => Rank::Longest(place(column)),
                Survivor::Best => Rank::Best,
            },
            has_slug: dataset.slug.is_some(),
            blocks: blocks_per_row(similarity_of(dataset)),
            scratch: Vec::new(),
            sketcher: Sketcher::default(),
        }
    }

    /// Appends the keys of the repaired row at this place of the input to others: its cells in the order of the
    /// dataset's columns, its slug, and its score, 0 to 1.
    pub fn add(
        &mut self,
        ordinal: u64,
        (cells, slug, score): (&[Cell<'_>], Option<&str>, f64),
        to: &mut Keyed,
    ) {
        let keys = self.of(cells, slug, score);
        to.push(ordinal, &keys, self.blocks);
    }

    pub(super) fn of(&mut self, cells: &[Cell<'_>], slug: Option<&str>, score: f64) -> RowKeys {
        let cell = |at: usize| cells.get(at).unwrap_or(&Cell::Absent);
        let text = |at: usize| cell(at).text().unwrap_or_default();
        let mut digest = |columns: &mut dyn Iterator<Item = usize>| {
            digest_row(columns.map(|at| value(cell(at))), &mut self.scratch)
        };
        let row = digest(&mut (0..self.columns));
        let has_content = self.content.iter().any(|at| !self.within.contains(at) && !is_missing(cell(*at)));
        let exact = has_content.then(|| digest(&mut self.content.iter().copied()));
        let within = digest(&mut self.within.iter().copied());
        let slug = slug.filter(|slug| self.has_slug && !slug.is_empty());
        RowKeys {
            row,
            exact,
            slug: slug.map(|slug| mixed(within, xxh3_128(slug.as_bytes()))),
            near: self.sketcher.sketch(self.near.iter().map(|at| text(*at))),
            within,
            rank: match self.survivor {
                Rank::First => 0,
                Rank::Longest(at) => at.map_or(0, |at| text(at).chars().count() as u64),
                // Bits of numbers from 0 up sort like the numbers.
                Rank::Best => score.max(0.0).to_bits(),
            },
        }
    }
}

/// Bytes of keys on disk without the hashes of the sketch.
const HEAD: usize = 8 + 8 + 5 * 16 + 1 + 4 + 2;

impl RowKeys {
    /// Appends them as they are on disk.
    pub(super) fn write(&self, ordinal: u64, out: &mut Vec<u8>) {
        let near = self.near.as_ref();
        let given = u8::from(self.exact.is_some())
            | u8::from(self.slug.is_some()) << 1
            | u8::from(near.is_some()) << 2;
        out.extend_from_slice(&ordinal.to_le_bytes());
        out.extend_from_slice(&self.rank.to_le_bytes());
        let digests = [self.row, self.exact.unwrap_or_default(), self.slug.unwrap_or_default(), self.within];
        for digest in digests.into_iter().chain([near.map_or(0, |near| near.fingerprint)]) {
            out.extend_from_slice(&digest.to_le_bytes());
        }
        out.push(given);
        let (size, hashes) = near.map_or((0, &[][..]), |near| (near.size, near.hashes.as_slice()));
        let count = u16::try_from(hashes.len()).expect("a sketch is small");
        out.extend_from_slice(&size.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
        out.reserve(8 * hashes.len());
        for hash in hashes {
            out.extend_from_slice(&hash.to_le_bytes());
        }
    }

    /// Reads what `write` wrote: the place of the row, its keys, and how many bytes they are.
    pub(super) fn read(from: &mut impl Read) -> io::Result<(u64, Self, u64)> {
        let mut head = [0; HEAD];
        from.read_exact(&mut head)?;
        let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"));
        let digest =
            |place: usize| u128::from(word(16 + 16 * place)) | u128::from(word(24 + 16 * place)) << 64;
        let is_given = |bit: u8| head[96] & 1 << bit != 0;
        let size = u32::from_le_bytes(head[97..101].try_into().expect("four bytes"));
        let count = usize::from(u16::from_le_bytes([head[101], head[102]]));
        let mut bytes = vec![0; 8 * count];
        from.read_exact(&mut bytes)?;
        let (hashes, _) = bytes.as_chunks();
        let hashes = hashes.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        let keys = Self {
            row: digest(0),
            exact: is_given(0).then(|| digest(1)),
            slug: is_given(1).then(|| digest(2)),
            near: is_given(2).then(|| Sketch { fingerprint: digest(4), size, hashes }),
            within: digest(3),
            rank: word(8),
        };
        Ok((word(0), keys, (HEAD + bytes.len()) as u64))
    }
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
