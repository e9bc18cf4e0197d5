//! Short marks of keys, kept apart by their first bits: which of them come more than once is all that is asked.
//!
//! A mark that comes once belongs to a key that no other row has. Two keys may have one mark by accident; whoever reads
//! the keys again sees that. Nothing here knows what a key is.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::sort::{Sorted, Sorter};

/// Parts that are looked at one after the other.
const PARTS: usize = 128;
/// Bits that say which part.
const PART_BITS: u32 = PARTS.trailing_zeros();
/// Bytes of a mark in a file.
const BYTES: usize = 16;
/// Bits of a place that say which key of the row it is.
const KEY_BITS: u32 = 5;

/// Which key a mark is of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark {
    /// Where the keys of the row are.
    pub(super) at: u64,
    /// Which of them, below 32.
    pub(super) key: u8,
}

impl Mark {
    /// Reads what [`Marks::met`] gives.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let place = bytes.iter().fold(0, |place, byte| place << 8 | u64::from(*byte));
        let key = (place & ((1 << KEY_BITS) - 1)).to_le_bytes()[0];
        Self { at: place >> KEY_BITS, key }
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

    /// Adds the mark of a key.
    pub(super) fn add(&mut self, mark: u64, of: Mark) -> io::Result<()> {
        let part = (mark >> (u64::BITS - PART_BITS)) as usize;
        self.parts[part].push((mark, of.at << KEY_BITS | u64::from(of.key)));
        self.held += BYTES;
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
            bytes.extend(
                part.iter().flat_map(|(mark, place)| [mark.to_le_bytes(), place.to_le_bytes()]).flatten(),
            );
            file.write_all(&bytes)?;
            part.clear();
        }
        Ok(())
    }

    /// The keys whose marks come more than once, in the order of their rows.
    pub(super) fn met(mut self) -> io::Result<Sorted> {
        let mut met = Sorter::new(&self.dir, self.memory_bytes / 2);
        for (index, part) in std::mem::take(&mut self.parts).into_iter().enumerate() {
            let file = self.files.get_mut(index);
            if part_bytes(file.as_deref(), &part)? <= self.memory_bytes as u64 {
                twice(file, part, &mut met)?;
            } else {
                all(file, &part, &mut met)?;
            }
        }
        met.finish()
    }
}

fn part_bytes(file: Option<&File>, part: &[(u64, u64)]) -> io::Result<u64> {
    Ok(file.map_or(Ok(0), |file| file.metadata().map(|facts| facts.len()))? + (part.len() * BYTES) as u64)
}

fn push(met: &mut Sorter, place: u64) -> io::Result<()> {
    met.push(&place.to_be_bytes(), &[])
}

/// Gives the marks of a file.
fn each(file: &mut File, mut see: impl FnMut(u64, u64) -> io::Result<()>) -> io::Result<()> {
    file.rewind()?;
    let length = file.metadata()?.len();
    let mut from = BufReader::with_capacity(256 << 10, file);
    let mut bytes = [0; BYTES];
    for _ in 0..length / BYTES as u64 {
        from.read_exact(&mut bytes)?;
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        see(word(0), word(8))?;
    }
    Ok(())
}

/// Takes the marks of a part that come more than once.
fn twice(file: Option<&mut File>, mut part: Vec<(u64, u64)>, met: &mut Sorter) -> io::Result<()> {
    if let Some(file) = file {
        each(file, |mark, place| {
            part.push((mark, place));
            Ok(())
        })?;
    }
    part.sort_unstable();
    for same in part.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
        same.iter().try_for_each(|(_, place)| push(met, *place))?;
    }
    Ok(())
}

/// Takes all marks of a part that is too large: nearly all rows of a table share a key.
fn all(file: Option<&mut File>, part: &[(u64, u64)], met: &mut Sorter) -> io::Result<()> {
    if let Some(file) = file {
        each(file, |_, place| push(met, place))?;
    }
    part.iter().try_for_each(|(_, place)| push(met, *place))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn met(memory_bytes: usize, rows: u64) -> Vec<(u64, u8)> {
        let dir = tempfile::tempdir().unwrap();
        let mut marks = Marks::new(dir.path(), memory_bytes);
        for n in 0..rows {
            let mark = (n % 700).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            marks.add(mark, Mark { at: n * 100, key: (n % 7) as u8 }).unwrap();
        }
        let mut sorted = marks.met().unwrap();
        let mut found = Vec::new();
        while let Some((mark, _)) = sorted.next().unwrap() {
            let Mark { at, key } = Mark::read(mark);
            found.push((at, key));
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
        // A part that does not fit is given whole.
        let all = met(16, 1000);
        assert!(expected.iter().all(|key| all.contains(key)));
        assert!(all.is_sorted());
    }
}
