//! Sorts more records than fit into memory: sorted runs on disk, merged when they are read. A run is made by a thread of
//! its own while the next records are collected. Nothing here knows what a record means.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

mod buckets;

pub(crate) use buckets::{Bucket, Buckets, SortedBuckets};

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
    held: Held,
    /// Records that a thread sorts and writes while others are collected.
    leaving: Option<JoinHandle<io::Result<(Held, File)>>>,
    /// Runs by how often their records were merged.
    generations: Vec<Vec<File>>,
}

/// Records in memory.
#[derive(Debug, Default)]
struct Held {
    arena: Vec<u8>,
    /// The first bytes of the key, and the place in the arena.
    places: Vec<(u64, usize)>,
}

impl Held {
    fn bytes(&self) -> usize {
        self.arena.len() + self.places.len() * OVERHEAD
    }

    fn sort(&mut self) {
        let arena = &self.arena;
        self.places.sort_unstable_by(|(a_prefix, a), (b_prefix, b)| {
            a_prefix.cmp(b_prefix).then_with(|| record(arena, *a).cmp(&record(arena, *b)))
        });
    }

    /// Moves the records into a file, sorted.
    fn write(mut self, run: File) -> io::Result<(Self, File)> {
        self.sort();
        let mut run = BufWriter::with_capacity(BUFFER_BYTES, run);
        for (_, at) in &self.places {
            let (key, payload) = record(&self.arena, *at);
            run.write_all(&self.arena[*at..at + HEADER_BYTES + key.len() + payload.len()])?;
        }
        self.arena.clear();
        self.places.clear();
        Ok((self, run.into_inner()?))
    }
}

impl Sorter {
    /// Holds about `bytes_max` bytes in memory; runs go into files without names in `dir`.
    pub fn new(dir: &Path, bytes_max: usize) -> Self {
        Self { dir: dir.to_owned(), bytes_max, held: Held::default(), leaving: None, generations: Vec::new() }
    }

    /// Adds a record.
    pub fn push(&mut self, key: &[u8], payload: &[u8]) -> io::Result<()> {
        let Held { arena, places } = &mut self.held;
        let mut header = [0; HEADER_BYTES];
        for (place, part) in header.as_chunks_mut().0.iter_mut().zip([key, payload]) {
            *place = u32::try_from(part.len()).map_err(io::Error::other)?.to_le_bytes();
        }
        places.push((prefix(key), arena.len()));
        arena.extend_from_slice(&header);
        arena.extend_from_slice(key);
        arena.extend_from_slice(payload);
        // The other half is for those that leave.
        if self.held.bytes() >= self.bytes_max / 2 { self.spill() } else { Ok(()) }
    }

    /// Lets a thread sort and write what is in memory.
    fn spill(&mut self) -> io::Result<()> {
        let spare = self.settle()?;
        let held = std::mem::replace(&mut self.held, spare);
        let run = tempfile::tempfile_in(&self.dir)?;
        self.leaving = Some(thread::spawn(move || held.write(run)));
        Ok(())
    }

    /// Waits for the run that is written; gives its memory back.
    fn settle(&mut self) -> io::Result<Held> {
        let Some(leaving) = self.leaving.take() else { return Ok(Held::default()) };
        let (spare, run) = leaving.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        self.add_run(run, 0)?;
        Ok(spare)
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
        if self.leaving.is_none() {
            self.held.sort();
            return Ok(Sorted(Source::Memory { held: self.held, next: 0 }));
        }
        if !self.held.places.is_empty() {
            self.spill()?;
        }
        drop(self.settle()?);
        let runs = std::mem::take(&mut self.generations).into_iter().flatten().collect();
        Ok(Sorted(Source::Runs(Merge::new(runs)?)))
    }
}

const HEADER_BYTES: usize = 8;

fn length(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[..4].try_into().expect("4 bytes")) as usize
}

/// The first bytes of a key as a number that sorts like them.
fn prefix(key: &[u8]) -> u64 {
    if let Some(first) = key.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut prefix = [0; 8];
    prefix[..key.len()].copy_from_slice(key);
    u64::from_be_bytes(prefix)
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
    Memory { held: Held, next: usize },
    Runs(Merge),
}

impl Sorted {
    /// The next key and payload.
    #[expect(clippy::should_implement_trait, reason = "what it returns is borrowed, and it can fail")]
    pub fn next(&mut self) -> io::Result<Option<(&[u8], &[u8])>> {
        match &mut self.0 {
            Source::Memory { held, next } => {
                let place = held.places.get(*next);
                *next += 1;
                Ok(place.map(|(_, at)| record(&held.arena, *at)))
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
    /// The first bytes of the key, which nearly always tell two records apart.
    prefix: u64,
    record: Record,
    run: BufReader<File>,
}

impl Merge {
    fn new(runs: Vec<File>) -> io::Result<Self> {
        let mut heads = Vec::with_capacity(runs.len());
        for mut run in runs {
            run.rewind()?;
            let run = BufReader::with_capacity(BUFFER_BYTES, run);
            let mut head = Head { prefix: 0, record: Record::default(), run };
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
        self.prefix = prefix(self.record.parts().0);
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
        self.prefix.cmp(&other.prefix).then_with(|| self.record.parts().cmp(&other.record.parts()))
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
        assert_eq!(sorted(&records, 120), expected);
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
