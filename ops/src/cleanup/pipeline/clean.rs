//! The second pass: every row is cleaned, and its cells go to the spool; what happened to it goes to the lists.

use super::cells;
use super::columns::Columns;
use super::resolve::digest;
use std::borrow::Cow;
use std::path::Path;

use super::layout::{FLAG, Layout, SCORE};
use super::lines;
use super::packed;
use super::render::{self, Verdict};
use super::rows::rows;
use super::source::Source;
use super::spool::{Entry, Rows, Spool};
use super::stage::StageFile;
use super::steps::{Evidence, Steps};
use super::survey::Survey;
use super::tally::Tally;
use super::threads::{self, Flow, Worker};
use super::{CleanupError, Request, Surroundings};
use crate::cleanup::duplicates::{Clusters, Finder, Keyed, Keys};
use crate::cleanup::{Cell, Clash, Dataset, Edit, Kind, Note, Row, Rule};
use crate::files::FileError;
use crate::records::{Batch, Reject};
use crate::value::write_json_string;

/// A record without a column that others have.
const ABSENT: Rule = Rule { id: "absent", version: 1 };
/// A value that is spelled otherwise than most of its column.
const SPELLED: Rule = Rule { id: "spelled", version: 1 };
/// The share of evidence that the input brought.
const SCORED: Rule = Rule { id: "score", version: 1 };

/// Memory for sorting the keys of rows.
const SORT_BYTES: usize = 48 << 20;

fn failed(error: std::io::Error) -> CleanupError {
    FileError::new("sort rows in", Path::new("the folder of the cleanup"), error).into()
}

/// What came out of one batch; used again.
#[derive(Debug, Default)]
pub(super) struct Cleaned {
    rows: Rows,
    changes: Vec<u8>,
    findings: Vec<u8>,
    rejects: Vec<Reject>,
    keys: Keyed,
    slugs: Vec<u64>,
    /// Runs of bytes that are no text.
    replaced: u64,
}

/// One thread's means of cleaning.
pub(super) struct Cleaner<'a> {
    survey: &'a Survey,
    dataset: &'a Dataset,
    steps: Steps<'a>,
    columns: Columns,
    keys: Keys,
    slug: Option<usize>,
    tally: Tally,
    /// Which declared columns are of a kind that has a spelling of its own.
    is_typed: Vec<bool>,
    /// Declared columns that some records have and others not.
    patchy: Vec<usize>,
    /// Columns of the input with the names of those that are made.
    given: [Option<usize>; 2],
    notes: Vec<Note>,
    before: Vec<Spelling>,
    name: Vec<u8>,
    /// Column and rule of changes as their lines have them, in the order of the tally.
    heads: Vec<Vec<u8>>,
}

/// How a cell stood in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spelling {
    Nothing,
    Text,
    Json,
}

impl<'a> Cleaner<'a> {
    pub(super) fn new(request: &Request<'a>, survey: &'a Survey) -> Self {
        let layout = &survey.layout;
        let is_typed = |kind: &Kind| matches!(kind, Kind::Integer { .. } | Kind::Boolean | Kind::List);
        let patchy = (0..layout.declared)
            .filter(|place| !survey.is_absent(*place) && survey.spelled[*place].present < survey.rows)
            .collect();
        Self {
            survey,
            dataset: request.dataset(),
            steps: Steps::new(request.rules, &survey.learned, &survey.decisions),
            columns: layout.columns.clone(),
            keys: Keys::new(request.dataset()),
            slug: request.dataset().slug.as_ref().and_then(|slug| layout.place(&slug.to)),
            tally: Tally::default(),
            is_typed: request.dataset().columns.iter().map(|column| is_typed(&column.kind)).collect(),
            patchy,
            given: [layout.place(SCORE), layout.place(FLAG)],
            notes: Vec::new(),
            before: Vec::new(),
            name: Vec::new(),
            heads: Vec::new(),
        }
    }

    fn row(&mut self, row: &mut Row<'_>, out: &mut Cleaned) {
        self.notes.clear();
        self.before.clear();
        self.before.extend(row.cells[..self.survey.layout.declared].iter().map(|cell| match cell {
            Cell::Absent | Cell::Null => Spelling::Nothing,
            Cell::Text(_) => Spelling::Text,
            Cell::Json(_) => Spelling::Json,
        }));
        for place in &self.patchy {
            if row.cells[*place] == Cell::Absent {
                self.notes.push(Note::Edit(*place, absent()));
            }
        }
        let evidence = self.steps.clean(row, &mut self.notes);
        self.note_spellings(row);
        self.note_given(row, evidence.verdict);
        self.write_notes(row, out);
        let slug = self.slug.and_then(|place| row.cells[place].text());
        let score = f64::from(evidence.verdict.score) / 10_000.0;
        out.slugs.push(slug.map_or(0, digest));
        let keyed = (&row.cells[..self.survey.layout.declared], slug, score);
        self.keys.add_split(row.ordinal, keyed, self.steps.splits(), &mut out.keys);
        push(&mut out.rows, &self.survey.layout, self.dataset, row, &evidence);
    }

    /// A value that merely gets the spelling of its column's kind is not a change where the whole column does; where
    /// single values do, each of them is.
    fn note_spellings(&mut self, row: &Row<'_>) {
        for place in (0..self.before.len()).filter(|place| self.is_typed[*place]) {
            let is_usual = match self.before[place] {
                Spelling::Nothing => continue,
                Spelling::Text => self.survey.is_text(place),
                Spelling::Json => !self.survey.is_text(place),
            };
            let mut own = self
                .notes
                .iter()
                .enumerate()
                .filter(|(_, note)| matches!(note, Note::Edit(p, _) if *p == place));
            match (own.next(), own.next()) {
                (Some((index, Note::Edit(_, edit))), None) if is_usual && is_respelled(edit) => {
                    self.notes.remove(index);
                }
                (None, _) if !is_usual => {
                    let mut json = Vec::new();
                    render::json_compact(&mut json, &row.cells[place]);
                    let after = String::from_utf8(json).expect("JSON is text");
                    let before =
                        if self.before[place] == Spelling::Text { as_text(&after) } else { after.clone() };
                    let evidence = "not spelled as most values of the column".into();
                    let (before, after) = (before.into(), after.into());
                    self.notes.push(Note::Edit(place, Edit { rule: SPELLED, before, after, evidence }));
                }
                _ => {}
            }
        }
    }

    /// What the input said about evidence is replaced by what was measured.
    fn note_given(&mut self, row: &mut Row<'_>, verdict: Verdict) {
        if self.given == [None, None] {
            return;
        }
        let mut score = Vec::new();
        render::score_text(&mut score, verdict.score);
        let score = String::from_utf8(score).expect("digits");
        for (place, after) in self.given.into_iter().zip([score, verdict.is_fragment.to_string()]) {
            let Some(place) = place.filter(|place| row.cells[*place] != Cell::Absent) else { continue };
            let mut before = Vec::new();
            render::json_compact(&mut before, &row.cells[place]);
            let before = String::from_utf8(before).expect("JSON is text");
            if before != after {
                let (before, after, evidence) = (before.into(), after.into(), "measured again".into());
                self.notes.push(Note::Edit(place, Edit { rule: SCORED, before, after, evidence }));
            }
        }
    }

    fn write_notes(&mut self, row: &Row<'_>, out: &mut Cleaned) {
        if self.notes.is_empty() {
            return;
        }
        let layout = &self.survey.layout;
        self.name.clear();
        lines::name(&mut self.name, layout, row);
        let (mut is_edited, mut is_flagged) = (false, false);
        for note in &self.notes {
            let number = self.tally.note(note);
            match note {
                Note::Edit(place, edit) => {
                    is_edited = true;
                    if number == self.heads.len() {
                        self.heads.push(lines::head(&layout.quoted[*place], edit.rule));
                    }
                    lines::edit_of(&mut out.changes, &self.name, &self.heads[number], edit);
                }
                Note::Finding(place, finding) => {
                    is_flagged = true;
                    let column = place.map(|place| layout.quoted[place].as_slice());
                    lines::finding(&mut out.findings, &self.name, column, finding);
                }
            }
        }
        self.tally.edited_rows += u64::from(is_edited);
        self.tally.flagged_rows += u64::from(is_flagged);
    }
}

fn absent() -> Edit {
    Edit {
        rule: ABSENT,
        before: Cow::Borrowed(""),
        after: Cow::Borrowed("null"),
        evidence: Cow::Borrowed("the record does not have the column"),
    }
}

/// Whether nothing but the spelling changed: `"3"` to 3, `"false"` to false, a list in a text to the list.
fn is_respelled(edit: &Edit) -> bool {
    // A value that was no text before can only be spelled as it is.
    edit.before == edit.after || edit.before.starts_with('"') && edit.before == as_text(&edit.after)
}

/// The JSON text that a column of texts has for a JSON value.
fn as_text(json: &str) -> String {
    if json.starts_with('"') {
        return json.to_owned();
    }
    let mut text = Vec::new();
    write_json_string(&cells::as_text(json), &mut text);
    String::from_utf8(text).expect("JSON is text")
}

/// Appends a cleaned row.
pub(super) fn push(out: &mut Rows, layout: &Layout, dataset: &Dataset, row: &Row<'_>, evidence: &Evidence) {
    let length = |from: usize, to: usize| u32::try_from(to - from).expect("a row is smaller than 4 GiB");
    let start = out.bytes.len();
    packed::keep(&mut out.bytes, layout, row);
    let cells = out.bytes.len();
    if evidence.verdict.is_fragment {
        render::fragment(&mut out.bytes, &dataset.score.parts, &evidence.parts, &evidence.advice);
    }
    out.entries.push(Entry {
        ordinal: row.ordinal,
        cells: length(start, cells),
        fragment: length(cells, out.bytes.len()),
        verdict: evidence.verdict,
    });
}

impl Worker for Cleaner<'_> {
    type Job = (Batch, Cleaned);
    type Done = (Batch, Cleaned);

    fn work(&mut self, (mut batch, mut out): (Batch, Cleaned)) -> (Batch, Cleaned) {
        let mut columns = std::mem::take(&mut self.columns);
        let mut rejects = std::mem::take(&mut out.rejects);
        rows(&mut batch, &mut columns, |row, _| self.row(row, &mut out), |reject| rejects.push(reject));
        (self.columns, out.rejects) = (columns, rejects);
        out.replaced = batch.replaced();
        (batch, out)
    }
}

/// The lists that are written while rows are cleaned.
#[derive(Debug)]
pub(super) struct Lists {
    pub(super) changes: StageFile,
    pub(super) findings: StageFile,
    pub(super) rejects: StageFile,
    pub(super) quarantine: StageFile,
}

struct Cleaning<'a, 'b> {
    source: Source,
    replaced: u64,
    finder: Finder,
    /// Addresses that are taken, as digests; only where new ones are made.
    slugs: Option<Vec<u64>>,
    spare: Vec<(Batch, Cleaned)>,
    spool: Spool,
    lists: &'a mut Lists,
    rejected: u64,
    around: &'a mut Surroundings<'b>,
    records: u64,
    line: Vec<u8>,
}

impl Flow<(Batch, Cleaned), (Batch, Cleaned)> for Cleaning<'_, '_> {
    type Error = CleanupError;

    fn next(&mut self) -> Result<Option<(Batch, Cleaned)>, CleanupError> {
        self.around.check()?;
        let (mut batch, cleaned) = self.spare.pop().unwrap_or_default();
        Ok(self.source.fill(&mut batch)?.then_some((batch, cleaned)))
    }

    fn take(&mut self, (batch, mut cleaned): (Batch, Cleaned)) -> Result<(), CleanupError> {
        self.spool.push(&cleaned.rows)?;
        self.finder.add(&cleaned.keys).map_err(failed)?;
        if let Some(slugs) = &mut self.slugs {
            slugs.extend(cleaned.slugs.iter().filter(|slug| **slug != 0));
        }
        self.lists.changes.write(&cleaned.changes)?;
        self.lists.findings.write(&cleaned.findings)?;
        for reject in &cleaned.rejects {
            self.line.clear();
            lines::reject(&mut self.line, reject);
            self.lists.rejects.write(&self.line)?;
        }
        let ended = cleaned.rows.entries.len() + cleaned.rejects.len();
        self.rejected += cleaned.rejects.len() as u64;
        self.replaced += cleaned.replaced;
        self.records += ended as u64;
        self.around.progress("cleaned", self.records);
        cleaned.rows.clear();
        cleaned.changes.clear();
        cleaned.findings.clear();
        cleaned.rejects.clear();
        cleaned.keys.clear();
        cleaned.slugs.clear();
        self.spare.push((batch, cleaned));
        Ok(())
    }
}

/// What the second pass leaves.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) spool: Spool,
    pub(super) tally: Tally,
    pub(super) rejected: u64,
    /// Runs of bytes that are no text, and were replaced.
    pub(super) replaced: u64,
    pub(super) clusters: Clusters,
    pub(super) slugs: Vec<u64>,
}

/// Cleans every row.
pub(super) fn clean(
    request: &Request<'_>,
    around: &mut Surroundings<'_>,
    survey: &Survey,
    spool: Spool,
    scratch: &Path,
    lists: &mut Lists,
) -> Result<Pass, CleanupError> {
    let source = Source::open_again(request, around)?;
    let mut cleaners: Vec<Cleaner<'_>> =
        (0..around.threads.max(1)).map(|_| Cleaner::new(request, survey)).collect();
    let (spare, line) = (Vec::new(), Vec::new());
    let finder = Finder::new(request.dataset(), scratch, SORT_BYTES);
    let is_suffixed = request.dataset().slug.as_ref().is_some_and(|slug| slug.clash == Clash::Suffix);
    let slugs = is_suffixed.then(Vec::new);
    let mut cleaning = Cleaning {
        source,
        replaced: 0,
        finder,
        slugs,
        spare,
        spool,
        lists,
        rejected: 0,
        around,
        records: 0,
        line,
    };
    threads::run(&mut cleaners, &mut cleaning)?;
    let Cleaning { source, spool, rejected, replaced, finder, slugs, .. } = cleaning;
    let width = survey.layout.names().len();
    if source.identity() != Some(survey.identity)
        || cleaners.iter().any(|cleaner| cleaner.columns.names.len() != width)
    {
        return Err(CleanupError::Changed);
    }
    let mut tally = Tally::default();
    for cleaner in cleaners {
        tally.absorb(&cleaner.tally);
    }
    let clusters = finder.finish().map_err(failed)?;
    Ok(Pass { spool, tally, rejected, replaced, clusters, slugs: slugs.unwrap_or_default() })
}
