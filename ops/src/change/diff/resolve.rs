//! The last part: hits are read again, compared cell by cell, and sorted by key.

use std::collections::BTreeMap;

use super::faults::{Duplicate, KeyFaults, Repeats};
use super::join::{Hit, Joined};
use super::source::{Desired, DesiredRow, Same};
use super::store::{Batch, LiveRows};
use super::wire::{self, Tag};
use super::{DiffError, Job};
use crate::change::Counts;
use crate::change::snapshot::{BackupError, Cell, Lines};
use crate::sort;
use crate::value::{Row, Value, ValueRef, digest_row, order_key};

/// What is left to hand out.
pub(super) struct Found {
    pub(super) counts: Counts,
    pub(super) only_live: Vec<Row>,
    pub(super) changes: sort::Sorted,
}

/// Looks at everything that the join did not settle. Fails with the lists of bad keys when there are any.
pub(super) fn resolve(
    job: &Job<'_>,
    mut joined: Joined,
    mut live: LiveRows<'_>,
    desired: &mut dyn Desired,
) -> Result<Found, DiffError> {
    let faults = key_faults(job, &joined, &mut live, desired)?;
    if !faults.is_empty() {
        return Err(DiffError::Keys(Box::new(faults)));
    }
    let mut only_live = joined.sample.iter().map(|at| live.key_at(*at)).collect::<Result<Vec<_>, _>>()?;
    only_live.sort_by_cached_key(|key| ordered(key));
    let mut resolver = Resolver::new(job, &joined, live.lines());
    let mut batch = Batch::default();
    let mut hits = Vec::new();
    loop {
        job.check()?;
        batch.clear();
        hits.clear();
        while !batch.is_full(job)
            && let Some(hit) = job.scratch(Hit::next(&mut joined.hits))?
        {
            live.add(hit.live(), &mut batch)?;
            hits.push(hit);
        }
        if hits.is_empty() {
            break;
        }
        live.complete(&mut batch)?;
        resolver.batch(&hits, &batch, desired)?;
    }
    let counts = resolver.counts();
    if !counts.balance() {
        return Err(DiffError::Unbalanced(Box::new(counts)));
    }
    Ok(Found { counts, only_live, changes: job.scratch(resolver.changes.finish())? })
}

fn ordered(key: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    order_key(key, &mut bytes);
    bytes
}

struct Resolver<'a> {
    job: &'a Job<'a>,
    writable: Vec<usize>,
    lines: Lines,
    changes: sort::Sorter,
    counts: Counts,
    /// By column of the table.
    cells_changed: Vec<u64>,
    suppressed: Vec<u64>,
    /// Reused: the bytes of the key and of the change.
    key: Vec<u8>,
    change: Vec<u8>,
}

impl<'a> Resolver<'a> {
    fn new(job: &'a Job<'a>, joined: &Joined, lines: Lines) -> Self {
        let table = job.options.table;
        let counts = Counts {
            desired: joined.read.desired.rows,
            live: joined.read.live.rows,
            unchanged: joined.unchanged,
            only_live: joined.only_live,
            ..Counts::default()
        };
        Self {
            job,
            writable: table.writable(),
            lines,
            changes: sort::Sorter::new(job.dir, job.limits.sort_bytes),
            counts,
            cells_changed: vec![0; table.columns.len()],
            suppressed: vec![0; table.columns.len()],
            key: Vec::new(),
            change: Vec::new(),
        }
    }

    fn counts(&self) -> Counts {
        let by_name = |cells: &[u64]| -> BTreeMap<String, u64> {
            let columns = self.job.options.table.columns.iter().map(|c| c.name.clone());
            columns.zip(cells.iter().copied()).filter(|(_, count)| *count > 0).collect()
        };
        Counts {
            cells_changed: by_name(&self.cells_changed),
            suppressed: by_name(&self.suppressed),
            ..self.counts.clone()
        }
    }

    fn batch(&mut self, hits: &[Hit], batch: &Batch, desired: &mut dyn Desired) -> Result<(), DiffError> {
        let mut order: Vec<usize> = (0..hits.len()).collect();
        order.sort_unstable_by_key(|i| hits[*i].desired());
        let mut cells = Vec::new();
        for i in order {
            let line = batch.line(i)?;
            let row =
                hits[i].desired().map(|at| desired.row_at(at).map_err(DiffError::Desired)).transpose()?;
            if let Some(line) = line {
                self.lines
                    .cells(line, &mut cells)
                    .ok_or_else(|| BackupError::Damaged("a line is no row".to_owned()))?;
            } else if hits[i].live().is_some() {
                // It was read again from the target, and is gone.
                self.counts.live -= 1;
            }
            match (line, row) {
                (Some(_), Some(row)) => self.pair(&cells, &row)?,
                (Some(_), None) => self.delete(&cells)?,
                (None, Some(row)) => self.insert(hits[i], &row)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn insert(&mut self, hit: Hit, row: &DesiredRow<'_>) -> Result<(), DiffError> {
        let values = self.job.options.key.iter().map(|i| row.values[*i].unwrap_or(ValueRef::Null));
        let found = digest_row(values, &mut self.key);
        if matches!(hit, Hit::Insert { key, .. } if key != found) {
            return Err(DiffError::OtherKey);
        }
        self.counts.insert += 1;
        self.begin(Tag::Insert, |i| row.values[i].unwrap_or(ValueRef::Null));
        self.writable.iter().for_each(|i| wire::put_option(row.values[*i], &mut self.change));
        self.end()
    }

    fn delete(&mut self, live: &[Cell<'_>]) -> Result<(), DiffError> {
        self.counts.delete += 1;
        self.begin(Tag::Delete, |i| live[i].get());
        self.writable.iter().for_each(|i| wire::put(live[*i].get(), &mut self.change));
        self.end()
    }

    fn pair(&mut self, live: &[Cell<'_>], row: &DesiredRow<'_>) -> Result<(), DiffError> {
        let options = self.job.options;
        let is_same = |i: &usize| row.values[*i].is_some_and(|v| v.same(live[*i].get()));
        if !options.key.iter().all(is_same) {
            return Err(DiffError::OtherKey);
        }
        self.begin(Tag::Update, |i| live[i].get());
        self.writable.iter().for_each(|i| wire::put(live[*i].get(), &mut self.change));
        let mut is_changed = false;
        for &i in &self.writable {
            let given = row.values[i].filter(|_| !options.key.contains(&i));
            let same = given.map_or(Same::Equal, |given| options.comparators.same(i, live[i].get(), given));
            self.suppressed[i] += u64::from(same == Same::Suppressed);
            self.cells_changed[i] += u64::from(same == Same::Different);
            is_changed |= same == Same::Different;
            wire::put_option(given.filter(|_| same == Same::Different), &mut self.change);
        }
        if is_changed {
            self.counts.update += 1;
            return self.end();
        }
        self.counts.unchanged += 1;
        Ok(())
    }

    /// Starts a change of the row whose column `i` is `value(i)`.
    fn begin<'v>(&mut self, tag: Tag, value: impl Fn(usize) -> ValueRef<'v>) {
        let key: Row = self.job.options.key.iter().map(|i| value(*i).to_value()).collect();
        self.key.clear();
        order_key(&key, &mut self.key);
        self.change.clear();
        self.change.push(tag as u8);
    }

    fn end(&mut self) -> Result<(), DiffError> {
        self.job.scratch(self.changes.push(&self.key, &self.change))
    }
}

/// The lists of what is wrong with the keys, read again where only places are known.
fn key_faults(
    job: &Job<'_>,
    joined: &Joined,
    live: &mut LiveRows<'_>,
    desired: &mut dyn Desired,
) -> Result<KeyFaults, DiffError> {
    let mut live_listed = Vec::new();
    for (at, (rows, _)) in &joined.live_repeats.listed {
        live_listed.push(Duplicate { key: live.key_at(*at)?, rows: *rows, lines: Vec::new() });
    }
    Ok(KeyFaults {
        desired_duplicates: joined.desired_repeats.with(desired_listed(
            job,
            &joined.desired_repeats,
            desired,
        )?),
        live_duplicates: joined.live_repeats.with(live_listed),
        desired_unkeyed: joined.read.desired.unkeyed,
        desired_unkeyed_lines: joined.read.desired.unkeyed_first.clone(),
        live_unkeyed: joined.read.live.unkeyed,
        live_unkeyed_keys: joined.read.live.unkeyed_first.clone(),
    })
}

fn desired_listed(
    job: &Job<'_>,
    repeats: &Repeats,
    desired: &mut dyn Desired,
) -> Result<Vec<Duplicate>, DiffError> {
    let mut listed = Vec::new();
    for (rows, places) in repeats.listed.values() {
        let (mut key, mut lines) = (Row::new(), Vec::new());
        for at in places {
            let row = desired.row_at(*at).map_err(DiffError::Desired)?;
            lines.push(row.line);
            key =
                job.options.key.iter().map(|i| row.values[*i].unwrap_or(ValueRef::Null).to_value()).collect();
        }
        listed.push(Duplicate { key, rows: *rows, lines });
    }
    Ok(listed)
}
