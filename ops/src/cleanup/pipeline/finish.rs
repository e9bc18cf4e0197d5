//! The last pass: the spool becomes the cleaned files, without the rows that are no more and with the new spellings.
//!
//! The JSON side and the sheet are written by a thread each; both see the same rows in the same order.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread;

use super::fates::Fates;
use super::layout::Layout;
use super::render::{self, Verdict};
use super::review::Review;
use super::spool::{Entry, RowRef, Spooled, Stream};
use super::stage::{Artifact, Stage, StageFile};
use crate::files::FileError;
use crate::os;

/// Rows of the sample with the least evidence.
const LOWEST: usize = 50;

/// What the last pass wrote and saw.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) artifacts: Vec<Artifact>,
    pub(super) rows: u64,
    pub(super) fragments: u64,
    /// Rows by score in ten-thousandths.
    pub(super) scores: Vec<u64>,
    /// The first rows, as elements of the array.
    pub(super) sample: Vec<Vec<u8>>,
}

/// Names of the files of a dataset.
#[derive(Debug)]
pub(super) struct FileNames {
    pub(super) json: String,
    pub(super) csv: String,
}

/// Writes everything that holds cleaned rows.
pub(super) fn write(
    stage: &Stage,
    spooled: &Spooled,
    fates: &Fates,
    layout: &Layout,
    review: &Review,
    names: &FileNames,
    sample: usize,
) -> Result<Written, FileError> {
    let [for_array, for_sheet] = spooled.streams()?;
    let (array, sheet) = thread::scope(|scope| {
        let sheet = scope.spawn(|| write_sheet(stage, for_sheet, fates, layout, &names.csv));
        let array = Array::new(stage, layout, review, &names.json, sample);
        let array = array.and_then(|array| array.write(stage, for_array, fates));
        (array, sheet.join().expect("writing does not panic"))
    });
    let (mut written, sheet) = (array?, sheet?);
    written.artifacts.insert(1, sheet);
    Ok(written)
}

fn write_sheet(
    stage: &Stage,
    mut rows: Stream<'_>,
    fates: &Fates,
    layout: &Layout,
    name: &str,
) -> Result<Artifact, FileError> {
    let mut file = stage.file(name)?;
    file.append(|out| render::csv_header(out, layout))?;
    let mut fates = fates.forward();
    while let Some(row) = rows.next()? {
        fates.decide(row, |row| file.append(|out| render::csv_row(out, layout, row.cells)))?;
    }
    file.seal()
}

/// The array and all that is seen on the way through it.
struct Array<'a> {
    layout: &'a Layout,
    review: &'a Review,
    rows_out: List,
    fragments_out: List,
    rows: u64,
    scores: Vec<u64>,
    sample: Vec<Vec<u8>>,
    sample_rows: usize,
    /// Score, ordinal and line of the sheet of those with the least evidence.
    lowest: BTreeSet<(u16, u64, Vec<u8>)>,
    fragments: Vec<Fragment>,
    lines: BufWriter<File>,
    lines_at: u64,
}

/// Where the line of a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Fragment {
    score: u16,
    length: u32,
    ordinal: u64,
    at: u64,
}

impl<'a> Array<'a> {
    fn new(
        stage: &Stage,
        layout: &'a Layout,
        review: &'a Review,
        name: &str,
        sample_rows: usize,
    ) -> Result<Self, FileError> {
        Ok(Self {
            layout,
            review,
            rows_out: List::new(stage.file(name)?),
            fragments_out: List::new(stage.file(FRAGMENTS)?),
            rows: 0,
            scores: vec![0; 10_001],
            sample: Vec::new(),
            sample_rows,
            lowest: BTreeSet::new(),
            fragments: Vec::new(),
            lines: BufWriter::new(stage.scratch()?),
            lines_at: 0,
        })
    }

    fn write(mut self, stage: &Stage, mut rows: Stream<'_>, fates: &Fates) -> Result<Written, FileError> {
        let mut fates = fates.forward();
        while let Some(row) = rows.next()? {
            fates.decide(row, |row| self.row(row))?;
        }
        let fragment_count = self.fragments.len() as u64;
        let (lowest, review) = (self.write_lowest(stage)?, self.write_fragments(stage)?);
        let Self { rows_out, fragments_out, rows, scores, sample, .. } = self;
        let artifacts = vec![rows_out.end()?, fragments_out.end()?, lowest, review];
        Ok(Written { artifacts, rows, fragments: fragment_count, scores, sample })
    }

    fn is_low(&self, score: u16) -> bool {
        self.lowest.len() < LOWEST || self.lowest.last().is_some_and(|(highest, _, _)| score < *highest)
    }

    fn row(&mut self, row: RowRef<'_>) -> Result<(), FileError> {
        let Verdict { score, is_fragment } = row.entry.verdict;
        self.rows += 1;
        self.scores[usize::from(score.min(10_000))] += 1;
        let (is_shown, is_low) = (self.sample.len() < self.sample_rows, self.is_low(score));
        if !is_shown && !is_low && !is_fragment {
            // Nearly all of them: they need not be anywhere else.
            return self
                .rows_out
                .push(|out| render::json_row(out, self.layout, row.cells, row.entry.verdict));
        }
        let mut json = Vec::new();
        render::json_row(&mut json, self.layout, row.cells, row.entry.verdict);
        self.rows_out.push(|out| out.extend_from_slice(&json))?;
        if is_low || is_fragment {
            let line = self.review.line(&json);
            if is_fragment {
                self.fragment(&row, &json, &line)?;
            }
            if is_low {
                self.lowest.insert((score, row.entry.ordinal, line));
            }
            if self.lowest.len() > LOWEST {
                self.lowest.pop_last();
            }
        }
        if is_shown {
            self.sample.push(json);
        }
        Ok(())
    }

    fn fragment(&mut self, row: &RowRef<'_>, json: &[u8], line: &[u8]) -> Result<(), FileError> {
        self.fragments_out.push(|out| {
            for bytes in [render::without_end(json), row.fragment, b"\n  }"] {
                out.extend_from_slice(bytes);
            }
        })?;
        let length = u32::try_from(line.len()).expect("a line is smaller than 4 GiB");
        let Entry { ordinal, verdict, .. } = row.entry;
        self.fragments.push(Fragment { score: verdict.score, length, ordinal, at: self.lines_at });
        self.lines_at += line.len() as u64;
        self.lines.write_all(line).map_err(fail)
    }

    fn write_lowest(&self, stage: &Stage) -> Result<Artifact, FileError> {
        let mut file = stage.file("lowest_integrity_sample.csv")?;
        file.write(&self.review.header())?;
        for (_, _, line) in &self.lowest {
            file.write(line)?;
        }
        file.seal()
    }

    /// All fragments, the least evidence first.
    fn write_fragments(&mut self, stage: &Stage) -> Result<Artifact, FileError> {
        self.lines.flush().map_err(fail)?;
        let lines = self.lines.get_ref();
        self.fragments.sort_unstable_by_key(|fragment| (fragment.score, fragment.ordinal));
        let mut file = stage.file("fragments_review.csv")?;
        file.write(&self.review.header())?;
        let mut line = Vec::new();
        for fragment in &self.fragments {
            line.resize(fragment.length as usize, 0);
            os::read_exact_at(lines, &mut line, fragment.at).map_err(fail)?;
            file.write(&line)?;
        }
        file.seal()
    }
}

const FRAGMENTS: &str = "fragments_to_review.json";

fn fail(error: std::io::Error) -> FileError {
    FileError::new("write", Path::new("the list of fragments"), error)
}

/// A JSON array while it is written.
struct List {
    file: StageFile,
    is_empty: bool,
}

impl List {
    fn new(file: StageFile) -> Self {
        Self { file, is_empty: true }
    }

    /// Appends an element.
    fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), FileError> {
        let before: &[u8] = if self.is_empty { b"[\n" } else { b",\n" };
        self.is_empty = false;
        self.file.append(|out| {
            out.extend_from_slice(before);
            write(out);
        })
    }

    fn end(mut self) -> Result<Artifact, FileError> {
        self.file.write(if self.is_empty { b"[]" } else { b"\n]" })?;
        self.file.seal()
    }
}
