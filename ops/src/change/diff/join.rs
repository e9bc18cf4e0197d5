//! The second half: both sides meet partition by partition, and what is not settled by digests becomes a hit.

use std::io;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::faults::{Held, Repeats};
use super::read::{LOOK, Read};
use super::spill::{Entry, Partitions};
use super::{DiffError, Job, both};
use crate::sort::{Sorted, Sorter};
use crate::value::Digest128;

/// Times that a partition is split again. Digests of different keys differ long before.
const DEPTH_MAX: u32 = 3;

/// A row or a pair that is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hit {
    /// Live and desired with different digests, or not comparable by digest.
    Pair { live: u64, desired: u64 },
    /// Only desired, with the digest of its key.
    Insert { desired: u64, key: Digest128 },
    /// Only live, and to be deleted.
    Delete { live: u64 },
}

impl Hit {
    pub(super) fn live(self) -> Option<u64> {
        match self {
            Self::Pair { live, .. } | Self::Delete { live } => Some(live),
            Self::Insert { .. } => None,
        }
    }

    pub(super) fn desired(self) -> Option<u64> {
        match self {
            Self::Pair { desired, .. } | Self::Insert { desired, .. } => Some(desired),
            Self::Delete { .. } => None,
        }
    }

    /// Sorts by live place, and inserts last by desired place.
    fn push(self, hits: &mut Sorter) -> io::Result<()> {
        let at = |first: u8, place: u64| {
            let mut key = [first; 9];
            key[1..].copy_from_slice(&place.to_be_bytes());
            key
        };
        match self {
            Self::Pair { live, desired } => hits.push(&at(0, live), &desired.to_be_bytes()),
            Self::Delete { live } => hits.push(&at(0, live), &[]),
            Self::Insert { desired, key } => hits.push(&at(1, desired), &key.to_be_bytes()),
        }
    }

    /// The next hit of a sorted list.
    pub(super) fn next(hits: &mut Sorted) -> io::Result<Option<Self>> {
        let word = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).map_err(io::Error::other);
        let Some((sorted_by, payload)) = hits.next()? else { return Ok(None) };
        let place = word(&sorted_by[1..])?;
        Ok(Some(match (sorted_by[0], payload) {
            (0, []) => Self::Delete { live: place },
            (0, desired) => Self::Pair { live: place, desired: word(desired)? },
            (_, key) => {
                let key = key.try_into().map(Digest128::from_be_bytes).map_err(io::Error::other)?;
                Self::Insert { desired: place, key }
            }
        }))
    }
}

/// What the join found.
#[derive(Debug)]
pub(super) struct Joined {
    pub(super) hits: Sorted,
    /// Rows of both sides with equal digests.
    pub(super) unchanged: u64,
    /// Rows that are only live and stay.
    pub(super) only_live: u64,
    /// The places of some of them.
    pub(super) sample: Vec<u64>,
    pub(super) live_repeats: Repeats,
    pub(super) desired_repeats: Repeats,
    /// What was read, without its partitions.
    pub(super) read: Read,
}

/// Joins both sides: half of the partitions on a thread of its own.
pub(super) fn join(job: &Job<'_>, mut read: Read) -> Result<Joined, DiffError> {
    let hits = Mutex::new(Sorter::new(job.dir, job.limits.sort_bytes));
    let (live, desired) = (&read.live.partitions, &read.desired.partitions);
    let (count, half) = (live.count(), live.count() / 2);
    let run = |parts: Range<usize>| job.part(|| Join::new(job, &hits).run(live, desired, parts));
    let (mut first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| run(half..count));
        let first = run(0..half);
        both(first, second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    read.live.partitions.clear();
    read.desired.partitions.clear();
    first.sample.extend(second.sample);
    first.sample.truncate(job.limits.sample_rows);
    first.live_repeats.merge(second.live_repeats);
    first.desired_repeats.merge(second.desired_repeats);
    let hits = hits.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Joined {
        hits: job.scratch(hits.finish())?,
        unchanged: first.unchanged + second.unchanged,
        only_live: first.only_live + second.only_live,
        sample: first.sample,
        live_repeats: first.live_repeats,
        desired_repeats: first.desired_repeats,
        read,
    })
}

/// What one thread found.
#[derive(Debug, Default)]
struct Part {
    unchanged: u64,
    only_live: u64,
    sample: Vec<u64>,
    live_repeats: Repeats,
    desired_repeats: Repeats,
}

struct Join<'a> {
    job: &'a Job<'a>,
    /// Of both threads.
    hits: &'a Mutex<Sorter>,
    /// Of this one, until a partition is done.
    waiting: Vec<Hit>,
    live: Held,
    desired: Held,
    found: Part,
}

impl<'a> Join<'a> {
    fn new(job: &'a Job<'a>, hits: &'a Mutex<Sorter>) -> Self {
        let (live, desired) = (Held::default(), Held::default());
        Self { job, hits, waiting: Vec::new(), live, desired, found: Part::default() }
    }

    fn run(
        mut self,
        live: &Partitions,
        desired: &Partitions,
        parts: Range<usize>,
    ) -> Result<Part, DiffError> {
        self.partitions(live, desired, parts, 0)?;
        Ok(self.found)
    }

    fn partitions(
        &mut self,
        live: &Partitions,
        desired: &Partitions,
        parts: Range<usize>,
        depth: u32,
    ) -> Result<(), DiffError> {
        let entries_max = self.job.limits.entries_max;
        for part in parts {
            self.job.check()?;
            let entries = live.entries(part) + desired.entries(part);
            if entries > entries_max as u64 && depth < DEPTH_MAX {
                let live = self.split(live, part, depth + 1)?;
                let desired = self.split(desired, part, depth + 1)?;
                self.partitions(&live, &desired, 0..live.count(), depth + 1)?;
                continue;
            }
            for (side, held) in [(live, &mut self.live), (desired, &mut self.desired)] {
                held.clear();
                let read = side.each(part, &mut |entry| {
                    held.push(entry, entries_max);
                    Ok(())
                });
                self.job.scratch(read)?;
                held.sort();
            }
            self.merge();
            self.hand_over()?;
        }
        Ok(())
    }

    fn split(&self, from: &Partitions, part: usize, depth: u32) -> Result<Partitions, DiffError> {
        let mut parts = Partitions::new(self.job.dir, self.job.limits.partitions, depth);
        self.job.scratch(from.each(part, &mut |entry| parts.push(entry)))?;
        Ok(parts)
    }

    fn hand_over(&mut self) -> Result<(), DiffError> {
        let mut hits = self.hits.lock().unwrap_or_else(PoisonError::into_inner);
        let pushed = self.waiting.drain(..).try_for_each(|hit| hit.push(&mut hits));
        self.job.scratch(pushed)
    }

    fn merge(&mut self) {
        let (live, desired) = (std::mem::take(&mut self.live), std::mem::take(&mut self.desired));
        let same_key = |a: &Entry, b: &Entry| a.key == b.key;
        let mut lives = live.entries.chunk_by(same_key).peekable();
        let mut desireds = desired.entries.chunk_by(same_key).peekable();
        loop {
            let (l, d) = match (lives.peek(), desireds.peek()) {
                (None, None) => break,
                (Some(l), Some(d)) if l[0].key == d[0].key => (lives.next(), desireds.next()),
                (Some(l), Some(d)) if l[0].key > d[0].key => (None, desireds.next()),
                (None, Some(_)) => (None, desireds.next()),
                (Some(_), _) => (lives.next(), None),
            };
            for (group, held, repeats) in
                [(l, &live, &mut self.found.live_repeats), (d, &desired, &mut self.found.desired_repeats)]
            {
                if let Some(group) = group.filter(|g| held.rows(g) > 1) {
                    repeats.add(group, held.rows(group));
                }
            }
            self.meet(l.map(|g| g[0]), d.map(|g| g[0]));
        }
        (self.live, self.desired) = (live, desired);
    }

    fn meet(&mut self, live: Option<Entry>, desired: Option<Entry>) {
        let found = &mut self.found;
        let hit = match (live, desired) {
            (Some(live), Some(desired)) if live.row == desired.row && desired.row != LOOK => {
                found.unchanged += 1;
                return;
            }
            (Some(live), Some(desired)) => Hit::Pair { live: live.at, desired: desired.at },
            (None, Some(desired)) => Hit::Insert { desired: desired.at, key: desired.key },
            (Some(live), None) if self.job.options.allow_delete => Hit::Delete { live: live.at },
            (Some(live), None) => {
                found.only_live += 1;
                if found.sample.len() < self.job.limits.sample_rows {
                    found.sample.push(live.at);
                }
                return;
            }
            (None, None) => return,
        };
        self.waiting.push(hit);
    }
}
