//! Digests of rows, split by key into partitions that are joined one by one.
//!
//! Each partition collects entries in memory and writes full blocks to one file that all of them share; what fits
//! into the blocks never touches the disk. Memory is partitions times block size, whatever the number of rows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::value::Digest128;

/// One row as its digests and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Digest128,
    pub(super) row: Digest128,
    pub(super) at: u64,
}

/// Bytes of an entry on disk.
const ENTRY_BYTES: usize = 40;

impl Entry {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key.to_le_bytes());
        out.extend_from_slice(&self.row.to_le_bytes());
        out.extend_from_slice(&self.at.to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Self {
        Self {
            key: u128::from_le_bytes(bytes[..16].try_into().expect("16 bytes")),
            row: u128::from_le_bytes(bytes[16..32].try_into().expect("16 bytes")),
            at: u64::from_le_bytes(bytes[32..40].try_into().expect("8 bytes")),
        }
    }
}

/// How partitions are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// 2 to this many partitions.
    pub(super) bits: u32,
    /// Bytes that a partition collects before it writes them.
    pub(super) block_bytes: usize,
}

/// Entries of one side by partition.
#[derive(Debug)]
pub(super) struct Partitions {
    dir: PathBuf,
    shape: Shape,
    /// How far a key is shifted so that its lowest bits name the partition.
    shift: u32,
    /// Locked for as long as one block is read.
    file: Option<Mutex<File>>,
    written: u64,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Default)]
struct Part {
    buffer: Vec<u8>,
    /// Blocks in the file: where, and how many bytes.
    blocks: Vec<(u64, u32)>,
    entries: u64,
}

impl Partitions {
    /// Empty partitions by the highest bits of the keys; at `depth` n by the n-th highest ones. Blocks go into a
    /// file without a name in `dir`.
    pub(super) fn new(dir: &Path, shape: Shape, depth: u32) -> Self {
        Self {
            dir: dir.to_owned(),
            shape,
            shift: Digest128::BITS - shape.bits * (depth + 1),
            file: None,
            written: 0,
            parts: vec![Part::default(); 1 << shape.bits],
        }
    }

    pub(super) fn count(&self) -> usize {
        self.parts.len()
    }

    /// Entries in one partition.
    pub(super) fn entries(&self, part: usize) -> u64 {
        self.parts[part].entries
    }

    pub(super) fn push(&mut self, entry: Entry) -> io::Result<()> {
        let mask = (1 << self.shape.bits) - 1;
        let number = usize::try_from((entry.key >> self.shift) & mask).expect("few partitions");
        let part = &mut self.parts[number];
        entry.write(&mut part.buffer);
        part.entries += 1;
        if part.buffer.len() + ENTRY_BYTES <= self.shape.block_bytes {
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(Mutex::new(tempfile::tempfile_in(&self.dir)?)),
        };
        file.get_mut().unwrap_or_else(PoisonError::into_inner).write_all(&part.buffer)?;
        part.blocks.push((self.written, u32::try_from(part.buffer.len()).expect("a small block")));
        self.written += part.buffer.len() as u64;
        part.buffer.clear();
        Ok(())
    }

    /// Hands out the entries of one partition in the order in which they came.
    pub(super) fn each(&self, part: usize, entry: &mut dyn FnMut(Entry) -> io::Result<()>) -> io::Result<()> {
        let Part { buffer, blocks, .. } = &self.parts[part];
        let mut block = Vec::new();
        for (at, bytes) in blocks {
            block.resize(*bytes as usize, 0);
            self.read(*at, &mut block)?;
            block.chunks_exact(ENTRY_BYTES).try_for_each(|bytes| entry(Entry::read(bytes)))?;
        }
        buffer.chunks_exact(ENTRY_BYTES).try_for_each(|bytes| entry(Entry::read(bytes)))
    }

    /// Forgets all entries.
    pub(super) fn clear(&mut self) {
        self.file = None;
        self.parts.clear();
    }

    fn read(&self, at: u64, block: &mut [u8]) -> io::Result<()> {
        let file = self.file.as_ref().expect("blocks are in a file");
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(count: u64) -> Vec<Entry> {
        let entry = |i: u64| {
            let key = xxhash_rust::xxh3::xxh3_128(&i.to_le_bytes());
            Entry { key, row: key ^ 1, at: i }
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn every_entry_comes_back_once_from_the_partition_of_its_key() {
        let dir = tempfile::tempdir().unwrap();
        for (bits, block_bytes, depth) in [(1, 40, 0), (3, 100, 2), (8, 1 << 14, 0)] {
            let mut partitions = Partitions::new(dir.path(), Shape { bits, block_bytes }, depth);
            let all = entries(1000);
            for entry in &all {
                partitions.push(*entry).unwrap();
            }
            let mut seen = Vec::new();
            for part in 0..partitions.count() {
                let (before, entries) = (seen.len(), partitions.entries(part));
                partitions
                    .each(part, &mut |entry| {
                        let bits = (entry.key << (bits * depth)) >> (128 - bits);
                        assert_eq!(bits, part as u128);
                        seen.push(entry);
                        Ok(())
                    })
                    .unwrap();
                assert_eq!((seen.len() - before) as u64, entries);
            }
            seen.sort_by_key(|e| e.at);
            assert_eq!(seen, all);
        }
    }
}
