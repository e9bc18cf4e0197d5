//! Short marks of keys, kept apart by their first bits: which of them come more than once is all that is asked.
//!
//! A mark that comes once belongs to a key that no other row has. Two keys may have one mark by accident; whoever reads
//! the keys again sees that. Nothing here knows what a key is.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
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
    pub(super) fn met(mut self) -> io::Result<Sorted> {
        let mut met = Sorter::new(&self.dir, self.memory_bytes / 2);
        for (index, marks) in std::mem::take(&mut self.parts).into_iter().enumerate() {
            let mut part = Part { marks, file: self.files.get_mut(index), buffer: vec![0; BUFFER] };
            part.twice(self.memory_bytes, &mut met)?;
        }
        met.finish()
    }
}

/// Bytes that are read at once; whole marks.
const BUFFER: usize = 16 * 1024 * BYTES;

fn push(met: &mut Sorter, place: u64) -> io::Result<()> {
    met.push(&place.to_be_bytes(), &[])
}

/// Marks with the same first bits, in a file and in memory.
struct Part<'a> {
    marks: Vec<(u64, u64)>,
    file: Option<&'a mut File>,
    buffer: Vec<u8>,
}

impl Part<'_> {
    fn count(&self) -> io::Result<u64> {
        let in_file = self.file.as_ref().map_or(Ok(0), |file| file.metadata().map(|facts| facts.len()))?;
        Ok(in_file / BYTES as u64 + self.marks.len() as u64)
    }

    /// Gives every mark with its place.
    fn each(&mut self, mut see: impl FnMut(u64, u64) -> io::Result<()>) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            let mut left = file.metadata()?.len();
            file.rewind()?;
            while left > 0 {
                let length = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let bytes = &mut self.buffer[..length];
                file.read_exact(bytes)?;
                left -= length as u64;
                for mark in bytes.chunks_exact(BYTES) {
                    let word =
                        |at: usize| u64::from_le_bytes(mark[at..at + 8].try_into().expect("eight bytes"));
                    see(word(0), word(8))?;
                }
            }
        }
        self.marks.iter().try_for_each(|(mark, place)| see(*mark, *place))
    }

    /// Gives the places of marks that come more than once.
    fn twice(&mut self, memory_bytes: usize, met: &mut Sorter) -> io::Result<()> {
        let mut filter = Filter::new(self.count()?, memory_bytes);
        self.each(|mark, _| {
            filter.add(mark);
            Ok(())
        })?;
        let mut found: Vec<(u64, u64)> = Vec::new();
        let mut is_whole = true;
        self.each(|mark, place| {
            if filter.is_again(mark) {
                found.push((mark, place));
                if found.len() * BYTES >= memory_bytes {
                    is_whole = false;
                    found.drain(..).try_for_each(|(_, place)| push(met, place))?;
                }
            }
            Ok(())
        })?;
        if !is_whole {
            return found.iter().try_for_each(|(_, place)| push(met, *place));
        }
        found.sort_unstable();
        for same in found.chunk_by(|a, b| a.0 == b.0).filter(|same| same.len() > 1) {
            same.iter().try_for_each(|(_, place)| push(met, *place))?;
        }
        Ok(())
    }
}

/// Which marks came more than once, and few others.
struct Filter {
    seen: Vec<u64>,
    again: Vec<u64>,
    mask: u64,
}

impl Filter {
    /// For so many marks, in at most so much memory.
    fn new(count: u64, memory_bytes: usize) -> Self {
        let most = (memory_bytes as u64 * 4).max(64);
        let bits = (count * 16).clamp(64, most).next_power_of_two();
        let words = usize::try_from(bits / 64).unwrap_or(1);
        Self { seen: vec![0; words], again: vec![0; words], mask: bits - 1 }
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
        // Of a part that does not fit more may come, but never less.
        let all = met(16, 1000);
        assert!(expected.iter().all(|key| all.contains(key)));
        assert!(all.is_sorted());
    }
}
