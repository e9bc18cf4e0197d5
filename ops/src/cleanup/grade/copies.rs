//! Near copies: rows that are put into the table a second time with a word changed, added or left out.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::super::dataset::Cause;
use super::super::duplicates::{Finder, Keyed, Keys};
use super::super::row::{Cell, Row};
use super::super::rules::{Rules, content};
use super::faults::Random;
use super::{ENOUGH, FaultGrade};

/// Memory for sorting, in bytes.
const MEMORY: usize = 16 << 20;

/// Grades the search for near duplicates; none where the dataset has none.
pub(super) fn grade(
    rules: &Rules,
    rows: &[Row<'_>],
    good: &[usize],
    seed: u64,
    dir: &Path,
) -> io::Result<Option<FaultGrade>> {
    let column = rules.dataset.duplicates.near.first().and_then(|name| rules.dataset.column(name));
    let Some(column) = column else { return Ok(None) };
    let mut random = Random::new(seed, "near_copy");
    let most = usize::try_from(ENOUGH).unwrap_or(usize::MAX);
    let chosen = &good[..most.min(good.len().div_ceil(2))];
    let copies: Vec<(usize, Row<'_>)> =
        chosen.iter().filter_map(|i| Some((*i, copy(&rows[*i], column, &mut random)?))).collect();
    let mut keys = Keys::new(&rules.dataset);
    let mut finder = Finder::new(&rules.dataset, dir, MEMORY);
    let mut keyed = Keyed::default();
    for (ordinal, row) in (0..).zip(rows.iter().chain(copies.iter().map(|(_, row)| row))) {
        keyed.clear();
        keys.add(ordinal, (&row.cells, None, 0.0), &mut keyed);
        finder.add(&keyed)?;
    }
    let mut found: BTreeSet<usize> = BTreeSet::new();
    let mut alone: BTreeSet<u64> = BTreeSet::new();
    let mut clusters = finder.finish()?;
    while let Some(cluster) = clusters.next()? {
        let is_near = cluster.causes.contains(&Cause::Near);
        let has_copy = cluster.members.iter().any(|member| *member >= rows.len() as u64);
        for (at, (i, _)) in copies.iter().enumerate().filter(|_| is_near && has_copy) {
            let both = [*i as u64, (rows.len() + at) as u64];
            if both.iter().all(|ordinal| cluster.members.contains(ordinal)) {
                found.insert(at);
            }
        }
        if is_near && !has_copy {
            alone.extend(&cluster.members);
        }
    }
    let mut grade = FaultGrade::new("near_copy");
    for at in 0..copies.len() {
        grade.recall.add(found.contains(&at));
    }
    for i in &good[chosen.len()..] {
        grade.false_positives.add(alone.contains(&(*i as u64)));
    }
    Ok(Some(grade))
}

/// A copy of a row that differs in one word.
fn copy<'a>(row: &Row<'a>, column: usize, random: &mut Random) -> Option<Row<'a>> {
    let text = content(&row.cells[column])?;
    let mut words: Vec<&str> = text.split(' ').collect();
    if words.len() < 4 {
        return None;
    }
    let at = random.below(words.len());
    match random.below(3) {
        0 => words[at] = "otherwise",
        1 => words.insert(at, "again"),
        _ => {
            words.remove(at);
        }
    }
    let text = words.join(" ");
    let mut row = row.clone();
    row.cells[column] = Cell::Text(Cow::Owned(text));
    Some(row)
}
