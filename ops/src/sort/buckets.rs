//! Sorts records of one size by their place in a range that they fill evenly, as digests do: each goes into the bucket of
//! its part of the range, and a bucket is sorted when its turn comes. Nothing is merged, so however many records there
//! are, each is written once and read once. A bucket that does not fit into memory is sorted as any records are. Nothing
//! here knows what a record means.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Sorted, Sorter, prefix};
use crate::os;

/// Collects records.
#[derive(Debug)]
pub(crate) struct Buckets<const N: usize> {
    dir: PathBuf,
    /// Records in memory, and how many there may be.
    held: usize,
    held_max: usize,
    all: Vec<Bucket<N>>,
    /// One file for all: a process may have open a few hundred only.
    file: Option<Arc<File>>,
    written: u64,
}

impl<const N: usize> Buckets<N> {
    /// So many buckets that hold about `bytes_max` bytes in memory; the rest goes into a file without a name in `dir`.
    pub(crate) fn new(dir: &Path, count: usize, bytes_max: usize) -> Self {
        let all = std::iter::repeat_with(Bucket::default).take(count).collect();
        Self { dir: dir.to_owned(), held: 0, held_max: bytes_max / N, all, file: None, written: 0 }
    }

    /// Adds a record to one of the buckets.
    pub(crate) fn push(&mut self, bucket: usize, record: [u8; N]) -> io::Result<()> {
        self.all[bucket].held.push(record);
        self.held += 1;
        if self.held >= self.held_max { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(Arc::new(tempfile::tempfile_in(&self.dir)?)),
        };
        for bucket in &mut self.all {
            let bytes = bucket.held.as_flattened();
            (&**file).write_all(bytes)?;
            bucket.stored.push((self.written, bucket.held.len()));
            self.written += bytes.len() as u64;
            bucket.held.clear();
        }
        self.held = 0;
        Ok(())
    }

    /// All buckets, from the first to the last. Where some records are in the file, all are: what comes next needs the
    /// memory.
    pub(crate) fn into_buckets(mut self) -> io::Result<Vec<Bucket<N>>> {
        if self.file.is_some() {
            self.spill()?;
            for bucket in &mut self.all {
                bucket.held = Vec::new();
                bucket.file.clone_from(&self.file);
            }
        }
        Ok(self.all)
    }

    /// All records, bucket by bucket in the order of their bytes, with about `bytes_max` bytes of memory for one bucket.
    pub(crate) fn sorted(self, bytes_max: usize) -> io::Result<SortedBuckets<N>> {
        let dir = self.dir.clone();
        let left = self.into_buckets()?.into_iter();
        Ok(SortedBuckets { dir, bytes_max, left, current: Current::Memory(Vec::new().into_iter()) })
    }
}

/// Records in memory or in a file.
#[derive(Debug)]
pub(crate) struct Bucket<const N: usize> {
    held: Vec<[u8; N]>,
    file: Option<Arc<File>>,
    /// Where records are in the file, and how many.
    stored: Vec<(u64, usize)>,
}

impl<const N: usize> Default for Bucket<N> {
    fn default() -> Self {
        Self { held: Vec::new(), file: None, stored: Vec::new() }
    }
}

impl<const N: usize> Bucket<N> {
    /// How many records it has.
    pub(crate) fn count(&self) -> usize {
        self.held.len() + self.stored.iter().map(|(_, count)| count).sum::<usize>()
    }

    /// Reads what is in the file, if all records need no more memory than this; says whether they do.
    pub(crate) fn load(&mut self, bytes_max: usize) -> io::Result<bool> {
        let fits = self.count().saturating_mul(N) <= bytes_max;
        if let Some(file) = self.file.take_if(|_| fits) {
            self.held.reserve_exact(self.count() - self.held.len());
            for (at, count) in self.stored.drain(..) {
                let before = self.held.len();
                self.held.resize(before + count, [0; N]);
                os::read_exact_at(&file, self.held[before..].as_flattened_mut(), at)?;
            }
        }
        Ok(fits)
    }

    /// Gives every record, in no order; those that are not loaded are read into this buffer.
    pub(crate) fn each(
        &self,
        buffer: &mut Vec<[u8; N]>,
        mut see: impl FnMut(&[u8; N]) -> io::Result<()>,
    ) -> io::Result<()> {
        if let Some(file) = &self.file {
            for (at, count) in &self.stored {
                buffer.resize(*count, [0; N]);
                os::read_exact_at(file, buffer.as_flattened_mut(), *at)?;
                buffer.iter().try_for_each(&mut see)?;
            }
        }
        self.held.iter().try_for_each(see)
    }
}

/// Records in order, read once.
#[derive(Debug)]
pub(crate) struct SortedBuckets<const N: usize> {
    dir: PathBuf,
    bytes_max: usize,
    left: std::vec::IntoIter<Bucket<N>>,
    current: Current<N>,
}

/// The bucket whose turn it is.
#[derive(Debug)]
enum Current<const N: usize> {
    Memory(std::vec::IntoIter<[u8; N]>),
    /// Too many for memory.
    Runs(Sorted),
}

impl<const N: usize> SortedBuckets<N> {
    /// The next record.
    pub(crate) fn next(&mut self) -> io::Result<Option<[u8; N]>> {
        loop {
            let record = match &mut self.current {
                Current::Memory(records) => records.next(),
                Current::Runs(sorted) => {
                    sorted.next()?.map(|(key, _)| *key.first_chunk().expect("records have one size"))
                }
            };
            if record.is_some() || !self.turn()? {
                return Ok(record);
            }
        }
    }

    /// Sorts the next bucket, if there is one.
    fn turn(&mut self) -> io::Result<bool> {
        // What is behind is freed before.
        self.current = Current::Memory(Vec::new().into_iter());
        let Some(mut bucket) = self.left.next() else { return Ok(false) };
        self.current = if bucket.load(self.bytes_max)? {
            let mut records = bucket.held;
            records.sort_unstable_by(|a, b| prefix(a).cmp(&prefix(b)).then_with(|| a.cmp(b)));
            Current::Memory(records.into_iter())
        } else {
            let mut sorter = Sorter::new(&self.dir, self.bytes_max);
            bucket.each(&mut Vec::new(), |record| sorter.push(record, &[]))?;
            Current::Runs(sorter.finish()?)
        };
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COUNT: usize = 4;

    /// As much in memory while they are collected as while they are sorted.
    fn buckets(records: &[[u8; 12]], bytes_max: usize) -> (Buckets<12>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let mut buckets = Buckets::new(dir.path(), COUNT, bytes_max);
        for record in records {
            buckets.push(usize::from(record[0]) % COUNT, *record).unwrap();
        }
        (buckets, dir)
    }

    proptest! {
        #[test]
        fn like_a_sort_in_memory(
            mut records in prop::collection::vec(prop::array::uniform12(0..4_u8), 0..300),
            bytes_max in 1..4000_usize,
        ) {
            let (buckets, _dir) = buckets(&records, bytes_max);
            let mut sorted = buckets.sorted(bytes_max).unwrap();
            records.sort_unstable();
            for record in records {
                prop_assert_eq!(sorted.next().unwrap(), Some(record));
            }
            prop_assert_eq!((sorted.next().unwrap(), sorted.next().unwrap()), (None, None));
        }

        /// As often as one asks, loaded or not.
        #[test]
        fn a_bucket_gives_what_was_put_into_it(
            records in prop::collection::vec(prop::array::uniform12(0..4_u8), 0..300),
            (held, loaded) in (1..4000_usize, 1..4000_usize),
        ) {
            let (buckets, _dir) = buckets(&records, held);
            for (number, mut bucket) in buckets.into_buckets().unwrap().into_iter().enumerate() {
                let own = records.iter().filter(|record| usize::from(record[0]) == number).copied();
                let mut expected: Vec<[u8; 12]> = own.collect();
                expected.sort_unstable();
                prop_assert_eq!(bucket.count(), expected.len());
                bucket.load(loaded).unwrap();
                for _ in 0..2 {
                    let mut found = Vec::new();
                    bucket.each(&mut Vec::new(), |record| {
                        found.push(*record);
                        Ok(())
                    }).unwrap();
                    found.sort_unstable();
                    prop_assert_eq!(&found, &expected);
                }
            }
        }
    }
}
