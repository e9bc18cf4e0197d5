//! The second half: both sides meet partition by partition, and what is not settled by digests becomes a hit.

use std::io;

use super::faults::{Held, Repeats};
use super::read::{LOOK, Read};
use super::spill::{Entry, Partitions};
use super::{DiffError, Job};
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

/// Joins both sides.
pub(super) fn join(job: &Job<'_>, mut read: Read) -> Result<Joined, DiffError> {
    let mut join = Join {
        job,
        hits: Sorter::new(job.dir, job.limits.sort_bytes),
        live: Held::default(),
        desired: Held::default(),
        unchanged: 0,
        only_live: 0,
        sample: Vec::new(),
        live_repeats: Repeats::default(),
        desired_repeats: Repeats::default(),
    };
    join.partitions(&mut read.live.partitions, &mut read.desired.partitions, 0)?;
    Ok(Joined {
        hits: job.scratch(join.hits.finish())?,
        unchanged: join.unchanged,
        only_live: join.only_live,
        sample: join.sample,
        live_repeats: join.live_repeats,
        desired_repeats: join.desired_repeats,
        read,
    })
}

struct Join<'a> {
    job: &'a Job<'a>,
    hits: Sorter,
    live: Held,
    desired: Held,
    unchanged: u64,
    only_live: u64,
    sample: Vec<u64>,
    live_repeats: Repeats,
    desired_repeats: Repeats,
}

impl Join<'_> {
    fn partitions(
        &mut self,
        live: &mut Partitions,
        desired: &mut Partitions,
        depth: u32,
    ) -> Result<(), DiffError> {
        let entries_max = self.job.limits.entries_max;
        for part in 0..live.count() {
            self.job.check()?;
            let entries = live.entries(part) + desired.entries(part);
            if entries > entries_max as u64 && depth < DEPTH_MAX {
                let mut live = self.split(live, part, depth + 1)?;
                let mut desired = self.split(desired, part, depth + 1)?;
                self.partitions(&mut live, &mut desired, depth + 1)?;
                continue;
            }
            for (side, held) in [(&mut *live, &mut self.live), (&mut *desired, &mut self.desired)] {
                held.clear();
                let drained = side.drain(part, &mut |entry| {
                    held.push(entry, entries_max);
                    Ok(())
                });
                self.job.scratch(drained)?;
                held.sort();
            }
            self.merge()?;
        }
        Ok(())
    }

    fn split(&self, from: &mut Partitions, part: usize, depth: u32) -> Result<Partitions, DiffError> {
        let mut parts = Partitions::new(self.job.dir, self.job.limits.partitions, depth);
        self.job.scratch(from.drain(part, &mut |entry| parts.push(entry)))?;
        Ok(parts)
    }

    fn merge(&mut self) -> Result<(), DiffError> {
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
                [(l, &live, &mut self.live_repeats), (d, &desired, &mut self.desired_repeats)]
            {
                if let Some(group) = group.filter(|g| held.rows(g) > 1) {
                    repeats.add(group, held.rows(group));
                }
            }
            self.job.scratch(self.meet(l.map(|g| g[0]), d.map(|g| g[0])))?;
        }
        (self.live, self.desired) = (live, desired);
        Ok(())
    }

    fn meet(&mut self, live: Option<Entry>, desired: Option<Entry>) -> io::Result<()> {
        match (live, desired) {
            (Some(live), Some(desired)) if live.row == desired.row && desired.row != LOOK => {
                self.unchanged += 1;
                Ok(())
            }
            (Some(live), Some(desired)) => {
                Hit::Pair { live: live.at, desired: desired.at }.push(&mut self.hits)
            }
            (None, Some(desired)) => {
                Hit::Insert { desired: desired.at, key: desired.key }.push(&mut self.hits)
            }
            (Some(live), None) if self.job.options.allow_delete => {
                Hit::Delete { live: live.at }.push(&mut self.hits)
            }
            (Some(live), None) => {
                self.only_live += 1;
                if self.sample.len() < self.job.limits.sample_rows {
                    self.sample.push(live.at);
                }
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }
}
