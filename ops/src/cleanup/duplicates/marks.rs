//! Short marks of keys, kept apart by their first bits: which of them come more than once is all that is asked.
//!
//! A mark that comes once belongs to a key that no other row has. Two keys may have one mark by accident; whoever reads
//! the keys again sees that. Nothing here knows what a key is.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use crate::sort::{Sorted, Sorter};

/// Parts that are looked at one after the other.
const PARTS: usize = 128;
/// Bits that say which part.
const PART_BITS: u32 = PARTS.trailing_zeros();
/// Bytes of a mark in a file.
const BYTES: usize = 16;
/// Bits of a place that say which key of the row it is.
const KEY_BITS: u32 = 5;

/// Which key a mark is of: where the keys of the row are, and which of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(u64);

impl Mark {
    /// A key below 32 of the row whose keys are at `at`.
    pub(super) fn new(at: u64, key: u8) -> Self {
        Self(at << KEY_BITS | u64::from(key))
    }

    /// Where the keys of the row are.
    pub(super) fn at(self) -> u64 {
        self.0 >> KEY_BITS
    }

    /// Which of them.
    pub(super) fn key(self) -> u8 {
        (self.0 & ((1 << KEY_BITS) - 1)).to_le_bytes()[0]
    }

    /// Reads what [`Marks::met`] gives.
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self(u64::from_be_bytes(bytes.try_into().expect("eight bytes")))
    }
}

/// Collects marks.
#[derive(Debug)]
pub(super) struct Marks {
    dir: PathBuf,
    memory_bytes: usize,
    /// Mark and place, by part.
    parts: Vec<Vec<(u64, u64)>>,
    files: Vec<File>,
    held: usize,
}

impl Marks {
    /// Holds about `memory_bytes` in memory; the rest goes into files without names in `dir`.
    pub(super) fn new(dir: &Path, memory_bytes: usize) -> Self {
        Self { dir: dir.to_owned(), memory_bytes, parts: vec![Vec::new(); PARTS], files: Vec::new(), held: 0 }
    }

    /// Adds marks of keys, whose places count from `base`.
    pub(super) fn add(&mut self, marks: &[(u64, Mark)], base: u64) -> io::Result<()> {
        let base = base << KEY_BITS;
        for (mark, of) in marks {
            let part = (mark >> (u64::BITS - PART_BITS)) as usize;
            self.parts[part].push((*mark, of.0 + base));
        }
        self.held += marks.len() * BYTES;
        if self.held >= self.memory_bytes { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        self.held = 0;
        while self.files.len() < PARTS {
            self.files.push(tempfile::tempfile_in(&self.dir)?);
        }
        let mut bytes = Vec::new();
        for (part, file) in self.parts.iter_mut().zip(&mut self.files) {
            bytes.clear();
            bytes.reserve(part.len() * BYTES);
            for (mark, place) in part.iter() {
                bytes.extend_from_slice(&mark.to_le_bytes());
                bytes.extend_from_slice(&place.to_le_bytes());
            }
            file.write_all(&bytes)?;
            part.clear();
        }
        Ok(())
    }

    /// The keys whose marks come more than once, in the order of their rows. Of a part in which too many do, some come
    /// that are alone.
    pub(super) fn met(self) -> io::Result<Sorted> {
        let met = Mutex::new(Sorter::new(&self.dir, self.memory_bytes / 2));
        let files = self.files.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
        let parts = Mutex::new(self.parts.into_iter().zip(files));
        let next = || parts.lock().expect("nobody fails holding it").next();
        let search = || -> io::Result<()> {
            let mut search = Search::new(self.memory_bytes / 2);
            while let Some((marks, file)) = next() {
                search.twice(Part { marks, file }, &met)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let other = scope.spawn(search);
            search().and(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })?;
        met.into_inner().expect("nobody fails holding it").finish()
    }
}

/// Bytes that are read at once; whole marks.
const BUFFER: usize = 16 * 1024 * BYTES;

/// Marks with the same first bits, in a file and in memory.
struct Part {
    marks: Vec<(u64, u64)>,
    file: Option<File>,
}

impl Part {
    fn count(&self) -> io::Result<u64> {
        let in_file = self.file.as_ref().map_or(Ok(0), |file| file.metadata().map(|facts| facts.len()))?;
        Ok(in_file / BYTES as u64 + self.marks.len() as u64)
    }

    /// Gives every mark with its place.
    fn each(&mut self, buffer: &mut [u8], mut see: impl FnMut(u64, u64) -> io::Result<()>) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            let mut left = file.metadata()?.len();
            file.rewind()?;
            while left > 0 {
                let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let bytes = &mut buffer[..length];
                file.read_exact(bytes)?;
                left -= length as u64;
                let (words, _) = bytes.as_chunks();
                for [mark, place] in words.as_chunks().0 {
                    see(u64::from_le_bytes(*mark), u64::from_le_bytes(*place))?;
                }
            }
        }
        self.marks.iter().try_for_each(|(mark, place)| see(*mark, *place))
    }
}

/// Means to look for marks that come more than once; used again for each part.
struct Search {
    memory_bytes: usize,
    buffer: Vec<u8>,
    filter: Filter,
    found: Vec<(u64, u64)>,
}

impl Search {
    fn new(memory_bytes: usize) -> Self {
        Self { memory_bytes, buffer: vec![0; BUFFER], filter: Filter::default(), found: Vec::new() }
    }

    /// Gives the places of marks that come more than once.
    fn twice(&mut self, mut part: Part, met: &Mutex<Sorter>) -> io::Result<()> {
        let Self { memory_bytes, buffer, filter, found } = self;
        filter.clear(part.count()?, *memory_bytes);
        found.clear();
        part.each(buffer, |mark, _| {
            filter.add(mark);
            Ok(())
        })?;
        let mut is_whole = true;
        part.each(buffer, |mark, place| {
            if filter.is_again(mark) {
                found.push((mark, place));
                if found.len() * BYTES >= *memory_bytes {
                    is_whole = false;
                    give(met, found)?;
                    found.clear();
                }
            }
            Ok(())
        })?;
        if is_whole {
            found.sort_unstable();
            retain_repeated(found);
        }
        give(met, found)
    }
}

/// Leaves only the marks that come more than once, of marks that are sorted.
fn retain_repeated(marks: &mut Vec<(u64, u64)>) {
    let mut kept = 0;
    let mut before = None;
    for at in 0..marks.len() {
        let mark = marks[at].0;
        if before == Some(mark) || marks.get(at + 1).is_some_and(|next| next.0 == mark) {
            marks[kept] = marks[at];
            kept += 1;
        }
        before = Some(mark);
    }
    marks.truncate(kept);
}

fn give(met: &Mutex<Sorter>, found: &[(u64, u64)]) -> io::Result<()> {
    let mut met = met.lock().expect("nobody fails holding it");
    found.iter().try_for_each(|(_, place)| met.push(&place.to_be_bytes(), &[]))
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

    fn met(memory_bytes: usize, rows: u64) -> Vec<(u64, u8)> {
        let dir = tempfile::tempdir().unwrap();
        let mut marks = Marks::new(dir.path(), memory_bytes);
        for n in 0..rows {
            let mark = (n % 700).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            // As if the marks came in batches of seven.
            marks.add(&[(mark, Mark::new(n % 7 * 100, (n % 7) as u8))], n / 7 * 700).unwrap();
        }
        let mut sorted = marks.met().unwrap();
        let mut found = Vec::new();
        while let Some((mark, _)) = sorted.next().unwrap() {
            let mark = Mark::read(mark);
            found.push((mark.at(), mark.key()));
        }
        found
    }

    #[test]
    fn only_keys_whose_marks_meet_are_given_in_the_order_of_their_rows() {
        let expected: Vec<(u64, u8)> =
            (0..1000).filter(|n| *n < 300 || *n >= 700).map(|n| (n * 100, (n % 7) as u8)).collect();
        for memory_bytes in [1 << 20, 4000] {
            assert_eq!(met(memory_bytes, 1000), expected);
        }
        // Of a part that does not fit more may come, but never less.
        let all = met(16, 1000);
        assert!(expected.iter().all(|key| all.contains(key)));
        assert!(all.is_sorted());
    }
}
