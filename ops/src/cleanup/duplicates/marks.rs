//! Short marks of keys, kept apart by their first bits: which of them come more than once is all that is asked.
//!
//! A mark that comes once belongs to a key that no other row has. Two keys may have one mark by accident; whoever
//! compares the rows sees that. Nothing here knows what a key is.

use std::io;
use std::path::Path;

use crate::sort::{Bucket, Buckets, SortedBuckets};

/// Parts that are looked at one after the other.
const PARTS: usize = 128;
/// Bits of a mark that say which part it is in.
const PART_BITS: u32 = PARTS.trailing_zeros();
/// Bits of a mark that are kept in its part: with those that the part implies enough that of a hundred million marks
/// hardly any two are the same by accident.
const KEPT_BITS: u32 = 48;
/// Bits of a mark that are not kept.
const LOST_BITS: u32 = u64::BITS - PART_BITS - KEPT_BITS;
/// Bits of a place, enough for 64 TB of keys.
const PLACE_BITS: u32 = 48;
/// Bits of a place that say what kind of key a mark is of.
const KIND_BITS: u32 = 2;

/// A mark of a key, and where the key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    bits: u64,
    place: u64,
}

impl Mark {
    /// A mark for a key of a kind below 4 of the row whose keys are at `at`.
    pub(super) fn new(bits: u64, at: u64, kind: u8) -> Self {
        Self { bits, place: at << KIND_BITS | u64::from(kind) }
    }

    /// Where the keys of the row are.
    pub(super) fn at(self) -> u64 {
        self.place >> KIND_BITS
    }

    /// What kind of key it is of.
    pub(super) fn kind(self) -> u8 {
        self.place.to_le_bytes()[0] & ((1 << KIND_BITS) - 1)
    }

    /// The mark itself, but for its last bits.
    pub(super) fn bits(self) -> u64 {
        self.bits >> LOST_BITS << LOST_BITS
    }

    fn part(self) -> usize {
        (self.bits >> (u64::BITS - PART_BITS)) as usize
    }
}

/// Bytes of a mark in its part.
const BYTES: usize = ((KEPT_BITS + PLACE_BITS) / u8::BITS) as usize;

/// A mark in its part: its place, and before that what is kept of its bits, as a little-endian number.
type Packed = [u8; BYTES];

fn pack(mark: Mark, base: u64) -> Packed {
    let kept = mark.bits << PART_BITS >> (u64::BITS - KEPT_BITS);
    let number = u128::from(kept) << PLACE_BITS | u128::from(mark.place + (base << KIND_BITS));
    *number.to_le_bytes().first_chunk().expect("most of it")
}

/// A number that sorts by mark and place.
fn number(packed: &Packed) -> u128 {
    let mut bytes = [0; 16];
    bytes[..BYTES].copy_from_slice(packed);
    u128::from_le_bytes(bytes)
}

/// What is kept of the mark's bits.
fn kept(number: u128) -> u64 {
    u64::try_from(number >> PLACE_BITS).expect("48 bits")
}

/// Collects marks.
#[derive(Debug)]
pub(super) struct Marks {
    parts: Buckets<BYTES>,
    /// The last place of a mark.
    last: u64,
}

impl Marks {
    /// Holds about `memory_bytes` in memory; the rest goes into a file without a name in `dir`.
    pub(super) fn new(dir: &Path, memory_bytes: usize) -> Self {
        Self { parts: Buckets::new(dir, PARTS, memory_bytes), last: 0 }
    }

    /// Adds marks of keys, whose places count from `base`.
    pub(super) fn add(&mut self, marks: &[Mark], base: u64) -> io::Result<()> {
        for mark in marks {
            self.last = self.last.max(mark.place + (base << KIND_BITS));
            self.parts.push(mark.part(), pack(*mark, base))?;
        }
        Ok(())
    }

    /// Two halves that have no mark in common.
    pub(super) fn halves(self) -> io::Result<[Half; 2]> {
        let Self { parts, last } = self;
        let mut lower = parts.into_buckets()?;
        let upper = lower.split_off(PARTS / 2);
        Ok([(lower, 0), (upper, PARTS as u64 / 2)].map(|(parts, first)| Half { parts, first, last }))
    }
}

/// Some of the parts.
#[derive(Debug)]
pub(super) struct Half {
    parts: Vec<Bucket<BYTES>>,
    /// The number of the first of them.
    first: u64,
    /// The last place of a mark.
    last: u64,
}

impl Half {
    /// The keys whose marks come more than once, in the order of their rows. Of a part in which too many do, some come
    /// that are alone.
    pub(super) fn met(self, dir: &Path, memory_bytes: usize) -> io::Result<Met> {
        let mut met = Buckets::new(dir, PARTS, memory_bytes / 2);
        let span = self.last / PARTS as u64 + 1;
        let mut search = Search { memory_bytes: memory_bytes / 4, ..Search::default() };
        // A part is freed before the next one is read.
        for (number, mut part) in (self.first..).zip(self.parts) {
            let upper = number << (u64::BITS - PART_BITS);
            search.twice(&mut part, &mut |found| {
                found.iter().try_for_each(|number| {
                    let place = number & ((1 << PLACE_BITS) - 1);
                    let place = u64::try_from(place).expect("48 bits");
                    let bits = upper | kept(*number) << LOST_BITS;
                    let record = u128::from(place) << u64::BITS | u128::from(bits);
                    let part = usize::try_from(place / span).expect("one of the parts");
                    met.push(part, record.to_be_bytes())
                })
            })?;
        }
        Ok(Met(met.sorted(memory_bytes / 2)?))
    }
}

/// The keys whose marks met.
#[derive(Debug)]
pub(super) struct Met(SortedBuckets<16>);

impl Met {
    /// The next one; they come in the order of their rows.
    pub(super) fn next(&mut self) -> io::Result<Option<Mark>> {
        let record = self.0.next()?.map(u128::from_be_bytes);
        let low = |number: u128| u64::try_from(number & u128::from(u64::MAX)).expect("64 bits");
        Ok(record.map(|record| Mark { bits: low(record), place: low(record >> u64::BITS) }))
    }
}

/// Means to look for marks that come more than once; used again for each part.
#[derive(Default)]
struct Search {
    memory_bytes: usize,
    buffer: Vec<Packed>,
    filter: Filter,
    found: Vec<u128>,
}

impl Search {
    /// Gives the marks that come more than once.
    fn twice(
        &mut self,
        part: &mut Bucket<BYTES>,
        give: &mut dyn FnMut(&[u128]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self { memory_bytes, buffer, filter, found } = self;
        part.load(*memory_bytes)?;
        filter.clear(part.count() as u64, *memory_bytes);
        found.clear();
        part.each(buffer, |mark| {
            filter.add(kept(number(mark)));
            Ok(())
        })?;
        let mut is_whole = true;
        part.each(buffer, |mark| {
            let mark = number(mark);
            if filter.is_again(kept(mark)) {
                found.push(mark);
                if found.len() * size_of::<u128>() >= *memory_bytes {
                    is_whole = false;
                    give(found)?;
                    found.clear();
                }
            }
            Ok(())
        })?;
        if is_whole {
            found.sort_unstable();
            retain_repeated(found);
        }
        give(found)
    }
}

/// Leaves only the marks that come more than once, of marks that are sorted.
fn retain_repeated(marks: &mut Vec<u128>) {
    let mut left = 0;
    let mut before = None;
    for at in 0..marks.len() {
        let mark = kept(marks[at]);
        if before == Some(mark) || marks.get(at + 1).is_some_and(|next| kept(*next) == mark) {
            marks[left] = marks[at];
            left += 1;
        }
        before = Some(mark);
    }
    marks.truncate(left);
}

/// Which marks came more than once, and few others.
#[derive(Default)]
struct Filter {
    seen: Vec<u64>,
    again: Vec<u64>,
    mask: u64,
}

impl Filter {
    /// Forgets all, and makes room for so many marks in at most so much memory.
    fn clear(&mut self, count: u64, memory_bytes: usize) {
        let most = (memory_bytes as u64 * 4).max(64);
        let bits = (count * 16).clamp(64, most).next_power_of_two();
        let words = usize::try_from(bits / 64).unwrap_or(1);
        for bits in [&mut self.seen, &mut self.again] {
            bits.clear();
            bits.resize(words, 0);
        }
        self.mask = bits - 1;
    }

    fn place(&self, mark: u64) -> (usize, u64) {
        let bit = mark & self.mask;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    fn add(&mut self, mark: u64) {
        let (at, bit) = self.place(mark);
        self.again[at] |= self.seen[at] & bit;
        self.seen[at] |= bit;
    }

    fn is_again(&self, mark: u64) -> bool {
        let (at, bit) = self.place(mark);
        self.again[at] & bit != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn met(memory_bytes: usize, rows: u64) -> Vec<(u64, u8)> {
        let dir = tempfile::tempdir().unwrap();
        let mut marks = Marks::new(dir.path(), memory_bytes);
        for n in 0..rows {
            let bits = (n % 700).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            // As if the marks came in batches of seven.
            marks.add(&[Mark::new(bits, n % 7 * 100, (n % 4) as u8)], n / 7 * 700).unwrap();
        }
        let mut found = Vec::new();
        for half in marks.halves().unwrap() {
            let mut sorted = half.met(dir.path(), memory_bytes).unwrap();
            let before = found.len();
            while let Some(mark) = sorted.next().unwrap() {
                let bits = (mark.at() / 100 % 700).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                assert_eq!(mark.bits(), Mark::new(bits, 0, 0).bits());
                found.push((mark.at(), mark.kind()));
            }
            assert!(found[before..].is_sorted(), "in the order of the rows");
        }
        found.sort_unstable();
        found
    }

    #[test]
    fn only_keys_whose_marks_meet_are_given() {
        let expected: Vec<(u64, u8)> =
            (0..1000).filter(|n| *n < 300 || *n >= 700).map(|n| (n * 100, (n % 4) as u8)).collect();
        for memory_bytes in [1 << 20, 4000] {
            assert_eq!(met(memory_bytes, 1000), expected);
        }
        // Of a part that does not fit more may come, but never less.
        let all = met(16, 1000);
        assert!(expected.iter().all(|key| all.contains(key)));
    }

    proptest! {
        #[test]
        fn a_mark_is_in_its_part_what_it_was(bits: u64, at in 0..1_u64 << 40, base in 0..1_u64 << 40, kind in 0..4_u8) {
            let mark = Mark::new(bits, at, kind);
            let number = number(&pack(mark, base));
            let whole = (mark.part() as u64) << (u64::BITS - PART_BITS) | kept(number) << LOST_BITS;
            prop_assert_eq!(whole, mark.bits());
            prop_assert_eq!(number & ((1 << PLACE_BITS) - 1), u128::from(Mark::new(0, at + base, kind).place));
        }
    }
}
