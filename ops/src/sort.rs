//! Sorts more records than fit into memory: sorted runs on disk, merged when they are read. Nothing here knows what a
//! record means.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Runs that are merged into one as soon as there are so many of the same generation.
const FAN_IN: usize = 64;
/// Bytes that a run is read and written with.
const BUFFER_BYTES: usize = 64 << 10;
/// What a record costs beyond its bytes: its place and the start of its key.
const OVERHEAD: usize = 24;

/// Collects records, each a key by whose bytes it is sorted and a payload that breaks ties.
#[derive(Debug)]
pub struct Sorter {
    dir: PathBuf,
    bytes_max: usize,
    arena: Vec<u8>,
    /// The first bytes of the key, and the place in the arena.
    places: Vec<(u64, usize)>,
    /// Runs by how often their records were merged.
    generations: Vec<Vec<File>>,
}

impl Sorter {
    /// Holds about `bytes_max` bytes in memory; runs go into files without names in `dir`.
    pub fn new(dir: &Path, bytes_max: usize) -> Self {
        Self {
            dir: dir.to_owned(),
            bytes_max,
            arena: Vec::new(),
            places: Vec::new(),
            generations: Vec::new(),
        }
    }

    /// Adds a record.
    pub fn push(&mut self, key: &[u8], payload: &[u8]) -> io::Result<()> {
        let mut prefix = [0; 8];
        let length = key.len().min(prefix.len());
        prefix[..length].copy_from_slice(&key[..length]);
        self.places.push((u64::from_be_bytes(prefix), self.arena.len()));
        for part in [key, payload] {
            let length = u32::try_from(part.len()).map_err(io::Error::other)?;
            self.arena.extend_from_slice(&length.to_le_bytes());
        }
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(payload);
        if self.arena.len() + self.places.len() * OVERHEAD >= self.bytes_max { self.spill() } else { Ok(()) }
    }

    fn sort(&mut self) {
        let arena = &self.arena;
        self.places.sort_unstable_by(|(a_prefix, a), (b_prefix, b)| {
            a_prefix.cmp(b_prefix).then_with(|| record(arena, *a).cmp(&record(arena, *b)))
        });
    }

    fn spill(&mut self) -> io::Result<()> {
        self.sort();
        let mut run = BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile_in(&self.dir)?);
        for (_, at) in &self.places {
            let (key, payload) = record(&self.arena, *at);
            run.write_all(&self.arena[*at..at + HEADER_BYTES + key.len() + payload.len()])?;
        }
        self.arena.clear();
        self.places.clear();
        self.add_run(run.into_inner()?, 0)
    }

    fn add_run(&mut self, run: File, generation: usize) -> io::Result<()> {
        if self.generations.len() == generation {
            self.generations.push(Vec::new());
        }
        self.generations[generation].push(run);
        if self.generations[generation].len() < FAN_IN {
            return Ok(());
        }
        let mut runs = Merge::new(std::mem::take(&mut self.generations[generation]))?;
        let mut merged = BufWriter::with_capacity(BUFFER_BYTES, tempfile::tempfile_in(&self.dir)?);
        while runs.advance()? {
            merged.write_all(&runs.current.header())?;
            merged.write_all(&runs.current.bytes)?;
        }
        self.add_run(merged.into_inner()?, generation + 1)
    }

    /// The records in order.
    pub fn finish(mut self) -> io::Result<Sorted> {
        if self.generations.is_empty() {
            self.sort();
            return Ok(Sorted(Source::Memory { arena: self.arena, places: self.places, next: 0 }));
        }
        if !self.places.is_empty() {
            self.spill()?;
        }
        let runs = std::mem::take(&mut self.generations).into_iter().flatten().collect();
        Ok(Sorted(Source::Runs(Merge::new(runs)?)))
    }
}

const HEADER_BYTES: usize = 8;

fn length(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[..4].try_into().expect("4 bytes")) as usize
}

fn record(arena: &[u8], at: usize) -> (&[u8], &[u8]) {
    let (key, payload) = (length(&arena[at..]), length(&arena[at + 4..]));
    arena[at + HEADER_BYTES..at + HEADER_BYTES + key + payload].split_at(key)
}

/// Sorted records, read once.
#[derive(Debug)]
pub struct Sorted(Source);

#[derive(Debug)]
enum Source {
    Memory { arena: Vec<u8>, places: Vec<(u64, usize)>, next: usize },
    Runs(Merge),
}

impl Sorted {
    /// The next key and payload.
    #[expect(clippy::should_implement_trait, reason = "what it returns is borrowed, and it can fail")]
    pub fn next(&mut self) -> io::Result<Option<(&[u8], &[u8])>> {
        match &mut self.0 {
            Source::Memory { arena, places, next } => {
                let place = places.get(*next);
                *next += 1;
                Ok(place.map(|(_, at)| record(arena, *at)))
            }
            Source::Runs(merge) => {
                let more = merge.advance()?;
                Ok(more.then(|| merge.current.bytes.split_at(merge.current.key)))
            }
        }
    }
}

/// The smallest record of several runs, again and again.
#[derive(Debug)]
struct Merge {
    heads: BinaryHeap<Reverse<Head>>,
    current: Record,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Record {
    /// The key, then the payload.
    bytes: Vec<u8>,
    /// Length of the key.
    key: usize,
}

#[derive(Debug)]
struct Head {
    record: Record,
    run: BufReader<File>,
}

impl Merge {
    fn new(runs: Vec<File>) -> io::Result<Self> {
        let mut heads = Vec::with_capacity(runs.len());
        for mut run in runs {
            run.rewind()?;
            let run = BufReader::with_capacity(BUFFER_BYTES, run);
            let mut head = Head { record: Record::default(), run };
            if head.advance()? {
                heads.push(Reverse(head));
            }
        }
        Ok(Self { heads: heads.into(), current: Record::default() })
    }

    fn advance(&mut self) -> io::Result<bool> {
        let Some(mut head) = self.heads.peek_mut() else { return Ok(false) };
        std::mem::swap(&mut self.current, &mut head.0.record);
        if !head.0.advance()? {
            PeekMut::pop(head);
        }
        Ok(true)
    }
}

impl Head {
    fn advance(&mut self) -> io::Result<bool> {
        if self.run.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut header = [0; HEADER_BYTES];
        self.run.read_exact(&mut header)?;
        self.record.key = length(&header);
        self.record.bytes.resize(self.record.key + length(&header[4..]), 0);
        self.run.read_exact(&mut self.record.bytes)?;
        Ok(true)
    }
}

impl Record {
    fn parts(&self) -> (&[u8], &[u8]) {
        self.bytes.split_at(self.key)
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let length = |n: usize| u32::try_from(n).expect("it was read from 32 bits").to_le_bytes();
        let mut header = [0; HEADER_BYTES];
        header[..4].copy_from_slice(&length(self.key));
        header[4..].copy_from_slice(&length(self.bytes.len() - self.key));
        header
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.record == other.record
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.record.parts().cmp(&other.record.parts())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Records = Vec<(Vec<u8>, Vec<u8>)>;

    fn sorted(records: &Records, bytes_max: usize) -> Records {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(dir.path(), bytes_max);
        for (key, payload) in records {
            sorter.push(key, payload).unwrap();
        }
        let mut merged = sorter.finish().unwrap();
        let mut out = Vec::new();
        while let Some((key, payload)) = merged.next().unwrap() {
            out.push((key.to_vec(), payload.to_vec()));
        }
        out
    }

    #[test]
    fn runs_of_runs_are_merged() {
        // Two records a run: 5,000 runs, which is three generations.
        let records: Records =
            (0..10_000_u32).map(|i| (i.wrapping_mul(2_654_435_761).to_be_bytes().to_vec(), vec![])).collect();
        let mut expected = records.clone();
        expected.sort();
        assert_eq!(sorted(&records, 60), expected);
    }

    proptest! {
        #[test]
        fn like_a_sort_in_memory(records in prop::collection::vec((prop::collection::vec(0..3_u8, 0..12), prop::collection::vec(any::<u8>(), 0..4)), 0..200), bytes_max in 1..2000_usize) {
            let mut expected = records.clone();
            expected.sort();
            prop_assert_eq!(sorted(&records, bytes_max), expected);
        }
    }
}
