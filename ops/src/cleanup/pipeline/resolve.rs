//! What becomes of rows that are the same: merged as the dataset declares, given another address, put in quarantine, or
//! only shown. Nothing is decided by which row happens to come last.
//!
//! Clusters that are merged come first, then those of addresses that clash. A row that has gone into another is that
//! other row from then on.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;

use super::clean::push;
use super::fates::{Fate, Fates};
use super::layout::{FLAG, Layout, SCORE};
use super::lines;
use super::packed::Cells;
use super::render::{self, Verdict};
use super::sorted::Sorted;
use super::spool::{Entry, RowRef, Rows, Spooled};
use super::stage::{Stage, StageFile};
use super::steps::{Evidence, Steps};
use super::summary::Duplicated;
use super::{CleanupError, Surroundings};
use crate::cleanup::duplicates::{self, Cluster, Clusters};
use crate::cleanup::{Cause, Cell, Clash, Dataset, Edit, Note, Policy, Row, Rule};
use crate::files::FileError;
use crate::value::write_json_string;

/// A row went into another, or took from one.
const MERGE: Rule = Rule { id: "merge", version: 1 };
/// A row had the address of another.
const CLASH: Rule = Rule { id: "slug_clash", version: 1 };

/// What became of a cluster: an element of `duplicates.json`.
#[derive(Debug, Serialize)]
struct Resolved<'a> {
    id: &'a str,
    causes: &'a [Cause],
    outcome: &'static str,
    survivor: u64,
    rows: Vec<Member>,
}

#[derive(Debug, Serialize)]
struct Member {
    row: u64,
    key: Box<RawValue>,
}

/// What was decided about all clusters.
#[derive(Debug)]
pub(super) struct Resolution {
    pub(super) fates: Fates,
    /// Changes that are about several rows.
    pub(super) joint: Sorted,
    pub(super) quarantine: Sorted,
    pub(super) duplicated: Vec<Duplicated>,
    /// `duplicates.json`.
    pub(super) clusters: StageFile,
}

/// Decides about clusters, one after the other.
pub(super) struct Resolver<'a> {
    dataset: &'a Dataset,
    layout: &'a Layout,
    /// The rows of all clusters.
    members: &'a Spooled,
    steps: &'a mut Steps<'a>,
    /// Addresses that are taken, as digests; only where new ones are made.
    slugs: HashSet<u64>,
    /// Rows that went into others.
    into: HashMap<u64, u64>,
    /// Whether a cluster is written already.
    has_written: bool,
    out: Resolution,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        stage: &Stage,
        dataset: &'a Dataset,
        layout: &'a Layout,
        members: &'a Spooled,
        steps: &'a mut Steps<'a>,
        slugs: Vec<u64>,
    ) -> Result<Self, CleanupError> {
        let out = Resolution {
            fates: Fates::new(stage)?,
            joint: Sorted::new(stage)?,
            quarantine: Sorted::new(stage)?,
            duplicated: Vec::new(),
            clusters: stage.file("duplicates.json")?,
        };
        let slugs = slugs.into_iter().collect();
        Ok(Self { dataset, layout, members, steps, slugs, into: HashMap::new(), has_written: false, out })
    }

    /// Decides about all clusters.
    pub(super) fn resolve(
        mut self,
        mut clusters: Clusters,
        input_sha256: &str,
        around: &Surroundings<'_>,
    ) -> Result<Resolution, CleanupError> {
        let start = format!("{{\"format\":1,\"input_sha256\":\"{input_sha256}\",\"clusters\":[");
        self.out.clusters.write(start.as_bytes())?;
        let mut later = Vec::new();
        while let Some(cluster) = clusters.next().map_err(failed)? {
            around.check()?;
            if self.is_merged(&cluster) {
                self.cluster(&cluster)?;
            } else {
                later.push(cluster);
            }
        }
        for cluster in later {
            around.check()?;
            self.cluster(&cluster)?;
        }
        let skipped = clusters.skipped();
        let end =
            format!("\n],\"not_compared\":{{\"blocks\":{},\"pairs\":{}}}}}\n", skipped.blocks, skipped.pairs);
        self.out.clusters.write(end.as_bytes())?;
        self.out.fates.flush()?;
        Ok(self.out)
    }

    fn cluster(&mut self, cluster: &Cluster) -> Result<(), CleanupError> {
        let members = self.present(cluster);
        let survivor = self.root(cluster.survivor);
        let survivor = if members.contains(&survivor) { Some(survivor) } else { members.first().copied() };
        let clash = self.dataset.slug.as_ref().map(|slug| slug.clash);
        let mut counts = (0, 0);
        let Some(survivor) = survivor.filter(|_| members.len() > 1) else {
            self.count(cluster, counts);
            return self.write_cluster(cluster, "settled");
        };
        let outcome = if self.is_merged(cluster) {
            counts.0 = self.merge(cluster, survivor, &members)?;
            "merged"
        } else if !cluster.causes.contains(&Cause::Slug) {
            "proposed"
        } else if clash == Some(Clash::Suffix) {
            self.suffix(cluster, survivor, &members)?;
            "suffixed"
        } else {
            counts.1 = self.quarantine(cluster, survivor, &members)?;
            "quarantined"
        };
        self.count(cluster, counts);
        self.write_cluster(cluster, outcome)
    }

    fn is_merged(&self, cluster: &Cluster) -> bool {
        let clash = self.dataset.slug.as_ref().map(|slug| slug.clash);
        cluster.merged || (cluster.causes.contains(&Cause::Slug) && clash == Some(Clash::Merge))
    }

    /// What the rows of a cluster are by now, in order, none twice.
    fn present(&self, cluster: &Cluster) -> Vec<u64> {
        let roots: BTreeSet<u64> = cluster.members.iter().map(|row| self.root(*row)).collect();
        roots.into_iter().filter(|row| self.out.fates.get(*row) != Some(Fate::Quarantined)).collect()
    }

    fn root(&self, mut row: u64) -> u64 {
        while let Some(into) = self.into.get(&row) {
            row = *into;
        }
        row
    }

    fn count(&mut self, cluster: &Cluster, (merged, quarantined): (u64, u64)) {
        let cause = cluster.causes.first().copied().unwrap_or(Cause::Exact);
        let duplicated = &mut self.out.duplicated;
        let at = duplicated.iter().position(|known| known.cause == cause).unwrap_or_else(|| {
            duplicated.push(Duplicated { cause, clusters: 0, rows: 0, merged: 0, quarantined: 0 });
            duplicated.len() - 1
        });
        let counts = &mut duplicated[at];
        counts.clusters += 1;
        counts.rows += cluster.members.len() as u64;
        counts.merged += merged;
        counts.quarantined += quarantined;
    }

    /// The other rows go into the survivor, which takes what it has not.
    fn merge(&mut self, cluster: &Cluster, survivor: u64, members: &[u64]) -> Result<u64, CleanupError> {
        let mut kept = Vec::with_capacity(members.len());
        for &ordinal in members {
            kept.push(self.kept(ordinal)?);
        }
        let rows: Vec<Row<'_>> = kept.iter().map(|kept| self.row(kept)).collect();
        let at = members.iter().position(|row| *row == survivor).unwrap_or_default();
        let before = kept[at].entry.verdict;
        let mut row = rows[at].clone();
        let (mut notes, mut start) = (Vec::new(), Vec::new());
        lines::name(&mut start, self.layout, &row);
        self.fill(&mut row, &rows, at, &cluster.id, &mut notes);
        for (other, goes) in members.iter().zip(&rows).filter(|(other, _)| **other != survivor) {
            self.gone(goes, MERGE, &format!("{}: into row {survivor}", cluster.id))?;
            self.out.fates.set(*other, Fate::Merged);
            self.into.insert(*other, survivor);
        }
        let evidence = self.steps.assess_again(&row, before);
        self.note_scores(before, &evidence, &cluster.id, &mut notes);
        self.replace(&row, &start, &notes, &evidence)?;
        Ok(members.len() as u64 - 1)
    }

    /// Takes what the dataset's policy lets a row take from others; columns that nobody declared too, where it has none.
    fn fill<'r>(&self, row: &mut Row<'r>, rows: &[Row<'r>], at: usize, id: &str, notes: &mut Vec<Note>) {
        let cells: Vec<&[Cell<'r>]> = rows.iter().map(|row| &row.cells[..self.layout.declared]).collect();
        let merged = duplicates::merge(self.dataset, &cells, at);
        let mut changes: Vec<(usize, Cell<'r>, Vec<usize>)> = Vec::new();
        for (place, (cell, from)) in merged.cells.into_iter().zip(merged.from).enumerate() {
            if !same(&cell, &row.cells[place]) {
                changes.push((place, cell, from));
            }
        }
        if self.dataset.duplicates.policy == Policy::FillGaps {
            for place in self.layout.carried().filter(|place| row.cells[*place] == Cell::Absent) {
                let found = rows.iter().position(|other| other.cells[place] != Cell::Absent);
                if let Some(found) = found {
                    changes.push((place, rows[found].cells[place].clone(), vec![found]));
                }
            }
        }
        for (place, cell, from) in changes {
            let before =
                if row.cells[place] == Cell::Absent { String::new() } else { json(&row.cells[place]) };
            let others = from.iter().filter(|from| **from != at).map(|from| rows[*from].ordinal.to_string());
            let evidence = format!("{id}: from row {}", others.collect::<Vec<_>>().join(", "));
            let (before, after) = (before.into(), json(&cell).into());
            notes.push(Note::Edit(place, Edit { rule: MERGE, before, after, evidence: evidence.into() }));
            row.cells[place] = cell;
        }
    }

    /// A score that the input brought changes with the row.
    fn note_scores(&self, before: Verdict, after: &Evidence, id: &str, notes: &mut Vec<Note>) {
        let (before, now) = (made(before), made(after.verdict));
        for ((name, before), (_, after)) in before.into_iter().zip(now) {
            let Some(place) = self.layout.place(name).filter(|_| before != after) else { continue };
            let (before, after) = (before.into(), after.into());
            let evidence = format!("{id}: measured again").into();
            notes.push(Note::Edit(place, Edit { rule: MERGE, before, after, evidence }));
        }
    }

    /// The other rows wait for a person.
    fn quarantine(&mut self, cluster: &Cluster, survivor: u64, members: &[u64]) -> Result<u64, CleanupError> {
        for &other in members.iter().filter(|other| **other != survivor) {
            let kept = self.kept(other)?;
            let row = self.row(&kept);
            let mut line = Vec::new();
            lines::name(&mut line, self.layout, &row);
            lines::gone(
                &mut line,
                CLASH,
                &format!("{}: row {survivor} has the address", cluster.id),
                "cleaned",
            );
            self.whole(&mut line, &row);
            line.extend_from_slice(b"}\n");
            self.out.quarantine.push(other, &line)?;
            self.out.fates.set(other, Fate::Quarantined);
        }
        Ok(members.len() as u64 - 1)
    }

    /// The other rows get an address of their own.
    fn suffix(&mut self, cluster: &Cluster, survivor: u64, members: &[u64]) -> Result<(), CleanupError> {
        let Some(place) = self.dataset.slug.as_ref().and_then(|slug| self.layout.place(&slug.to)) else {
            return Ok(());
        };
        let mut number = 2;
        for &other in members.iter().filter(|other| **other != survivor) {
            let kept = self.kept(other)?;
            let mut row = self.row(&kept);
            let Some(slug) = row.cells[place].text().map(str::to_owned) else { continue };
            let mut own = format!("{slug}_{number}");
            while !self.slugs.insert(digest(&own)) {
                number += 1;
                own = format!("{slug}_{number}");
            }
            let (mut before, mut after, mut start) = (Vec::new(), Vec::new(), Vec::new());
            write_json_string(&slug, &mut before);
            write_json_string(&own, &mut after);
            lines::name(&mut start, self.layout, &row);
            row.cells[place] = Cell::Text(own.into());
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("JSON is text").into();
            let evidence = format!("{}: row {survivor} has the address", cluster.id).into();
            let edit = Edit { rule: CLASH, before: text(before), after: text(after), evidence };
            let evidence = self.steps.assess_again(&row, kept.entry.verdict);
            self.replace(&row, &start, &[Note::Edit(place, edit)], &evidence)?;
        }
        Ok(())
    }

    fn replace(
        &mut self,
        row: &Row<'_>,
        start: &[u8],
        notes: &[Note],
        evidence: &Evidence,
    ) -> Result<(), CleanupError> {
        for note in notes {
            if let Note::Edit(place, edit) = note {
                let mut line = Vec::new();
                lines::edit(&mut line, start, &self.layout.quoted[*place], edit);
                self.out.joint.push(row.ordinal, &line)?;
            }
        }
        let mut rows = Rows::default();
        push(&mut rows, self.layout, self.dataset, row, evidence);
        Ok(self.out.fates.replace(&rows)?)
    }

    /// Notes that a row is no more, and what it was.
    fn gone(&mut self, row: &Row<'_>, rule: Rule, evidence: &str) -> Result<(), CleanupError> {
        let mut line = Vec::new();
        lines::name(&mut line, self.layout, row);
        lines::gone(&mut line, rule, evidence, "before");
        self.whole(&mut line, row);
        line.extend_from_slice(b"}\n");
        Ok(self.out.joint.push(row.ordinal, &line)?)
    }

    /// Appends a row as an object on one line.
    fn whole(&self, out: &mut Vec<u8>, row: &Row<'_>) {
        out.push(b'{');
        let mut is_first = true;
        let places = (0..self.layout.declared).chain(self.layout.declared..self.layout.names().len());
        for place in places.filter(|place| *place < self.layout.declared || row.cells[*place] != Cell::Absent)
        {
            if !is_first {
                out.push(b',');
            }
            is_first = false;
            write_json_string(&self.layout.names()[place], out);
            out.push(b':');
            render::json_compact(out, &row.cells[place]);
        }
        out.push(b'}');
    }

    /// What a row is by now.
    fn kept(&mut self, ordinal: u64) -> Result<Kept, CleanupError> {
        if let Some(Fate::Replaced(patch)) = self.out.fates.get(ordinal) {
            self.out.fates.flush()?;
            return Ok(Kept { entry: patch.entry, bytes: self.out.fates.reader().row(patch)? });
        }
        self.original(ordinal)
    }

    /// What a row was before any cluster was looked at.
    fn original(&self, ordinal: u64) -> Result<Kept, CleanupError> {
        let mut bytes = Vec::new();
        let entry = self.members.row(ordinal, &mut bytes)?.ok_or(CleanupError::Changed)?;
        Ok(Kept { entry, bytes })
    }

    fn row<'r>(&self, kept: &'r Kept) -> Row<'r> {
        let mut cells = vec![Cell::Absent; self.layout.names().len()];
        for (place, cell) in self.layout.kept().zip(Cells(RowRef::new(kept.entry, &kept.bytes).cells)) {
            cells[place] = cell.cell();
        }
        for (name, value) in made(kept.entry.verdict) {
            if let Some(place) = self.layout.place(name) {
                cells[place] = Cell::Json(value.into());
            }
        }
        Row { ordinal: kept.entry.ordinal, at: 0, line: 0, open: None, cells }
    }

    fn write_cluster(&mut self, cluster: &Cluster, outcome: &'static str) -> Result<(), CleanupError> {
        let mut rows = Vec::with_capacity(cluster.members.len());
        for &ordinal in &cluster.members {
            let mut key = Vec::new();
            lines::key(&mut key, self.layout, &self.row(&self.original(ordinal)?));
            let key =
                RawValue::from_string(String::from_utf8(key).expect("JSON is text")).expect("an object");
            rows.push(Member { row: ordinal, key });
        }
        let Cluster { id, causes, survivor, .. } = cluster;
        let resolved = Resolved { id, causes, outcome, survivor: *survivor, rows };
        let mut line = if self.has_written { b",\n".to_vec() } else { b"\n".to_vec() };
        self.has_written = true;
        serde_json::to_writer(&mut line, &resolved).expect("a cluster is JSON");
        Ok(self.out.clusters.write(&line)?)
    }
}

/// A cleaned row that was read back.
#[derive(Debug)]
struct Kept {
    entry: Entry,
    bytes: Vec<u8>,
}

/// The members that a row gets besides its cells.
fn made(verdict: Verdict) -> [(&'static str, String); 2] {
    let mut score = Vec::new();
    render::score_text(&mut score, verdict.score);
    let score = String::from_utf8(score).expect("digits");
    [(SCORE, score), (FLAG, verdict.is_fragment.to_string())]
}

/// What an address is remembered by.
pub(super) fn digest(slug: &str) -> u64 {
    xxhash_rust::xxh3::xxh3_64(slug.as_bytes())
}

/// A cell as JSON on one line.
fn json(cell: &Cell<'_>) -> String {
    let mut out = Vec::new();
    render::json_compact(&mut out, cell);
    String::from_utf8(out).expect("JSON is text")
}

/// Whether two cells say the same, whatever blanks their JSON has.
fn same(a: &Cell<'_>, b: &Cell<'_>) -> bool {
    a == b || json(a) == json(b)
}

fn failed(error: std::io::Error) -> CleanupError {
    FileError::new("sort rows in", Path::new("the folder of the cleanup"), error).into()
}
