//! The last pass: the spool becomes the cleaned files, without the rows that are no more and with the new spellings.
//!
//! The JSON side and the sheet are written by a thread each; both see the same rows in the same order.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::thread;

use tempfile::NamedTempFile;

use super::fates::{Fate, Fates};
use super::layout::Layout;
use super::render;
use super::review::Review;
use super::spool::{Entry, SEPARATOR, Spooled, Stream, Streams};
use super::stage::{Artifact, Stage};
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
    spooled: Spooled,
    fates: &Fates,
    layout: &Layout,
    review: &Review,
    names: &FileNames,
    sample: usize,
) -> Result<Written, FileError> {
    let Streams { json, csv, fragments } = spooled.streams()?;
    let (array, sheet) = thread::scope(|scope| {
        let sheet = scope.spawn(|| write_sheet(stage, csv, fates, layout, &names.csv));
        let array = Array::write(stage, (json, fragments), fates, review, &names.json, sample);
        (array, sheet.join().expect("writing does not panic"))
    });
    let (mut written, sheet) = (array?, sheet?);
    written.artifacts.insert(1, sheet);
    Ok(written)
}

fn write_sheet(
    stage: &Stage,
    mut stream: Stream,
    fates: &Fates,
    layout: &Layout,
    name: &str,
) -> Result<Artifact, FileError> {
    let mut file = stage.file(name)?;
    let mut header = Vec::new();
    render::csv_header(&mut header, layout);
    file.write(&header)?;
    let patches = fates.reader();
    let mut decided = fates.forward();
    while let Some(entry) = stream.next()? {
        let length = u64::from(entry.csv);
        let Some(fate) = decided.of(entry.ordinal) else {
            stream.keep(length);
            continue;
        };
        stream.copy(&mut file)?;
        stream.skip(length)?;
        if let Fate::Replaced(patch) = fate {
            file.write(&patches.csv(patch)?)?;
        }
    }
    stream.copy(&mut file)?;
    // To free a big file takes a while, in which the digest goes on.
    drop(stream);
    file.seal()
}

/// The array and all that is seen on the way through it.
struct Array<'a> {
    review: &'a Review,
    rows: u64,
    scores: Vec<u64>,
    sample: Vec<Vec<u8>>,
    sample_rows: usize,
    /// Score, ordinal and line of the sheet of those with the least evidence.
    lowest: BTreeSet<(u16, u64, Vec<u8>)>,
    fragments: Vec<Fragment>,
    lines: BufWriter<NamedTempFile>,
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
    fn write(
        stage: &Stage,
        (mut stream, mut extra): (Stream, Stream),
        fates: &Fates,
        review: &'a Review,
        name: &str,
        sample_rows: usize,
    ) -> Result<Written, FileError> {
        let mut seen = Self {
            review,
            rows: 0,
            scores: vec![0; 10_001],
            sample: Vec::new(),
            sample_rows,
            lowest: BTreeSet::new(),
            fragments: Vec::new(),
            lines: BufWriter::new(stage.scratch()?),
            lines_at: 0,
        };
        let (mut rows, mut fragments) = (List::new(stage.file(name)?), List::new(stage.file(FRAGMENTS)?));
        let patches = fates.reader();
        let (mut json, mut fragment) = (Vec::new(), Vec::new());
        let mut decided = fates.forward();
        while let Some(entry) = stream.next()? {
            let fate = decided.of(entry.ordinal);
            if fate.is_none() && !seen.is_looked_at(entry) {
                seen.count(entry);
                stream.keep(SEPARATOR.len() as u64 + u64::from(entry.json));
                continue;
            }
            stream.copy(&mut rows.file)?;
            stream.skip(SEPARATOR.len() as u64)?;
            stream.read(entry.json, &mut json)?;
            extra.read(entry.fragment, &mut fragment)?;
            match fate {
                None => seen.row(entry, &json, &fragment, &mut rows, &mut fragments)?,
                Some(Fate::Replaced(patch)) => {
                    let (entry, json, fragment) = patches.json(patch)?;
                    seen.row(entry, &json, &fragment, &mut rows, &mut fragments)?;
                }
                Some(Fate::Merged | Fate::Quarantined) => {}
            }
        }
        stream.copy(&mut rows.file)?;
        drop((stream, extra));
        let mut artifacts = vec![rows.end()?, fragments.end()?];
        let fragment_count = seen.fragments.len() as u64;
        artifacts.push(seen.write_lowest(stage)?);
        artifacts.push(seen.write_fragments(stage)?);
        let Self { rows, scores, sample, .. } = seen;
        Ok(Written { artifacts, rows, fragments: fragment_count, scores, sample })
    }

    fn count(&mut self, entry: Entry) {
        self.rows += 1;
        self.scores[usize::from(entry.verdict.score.min(10_000))] += 1;
    }

    fn is_low(&self, score: u16) -> bool {
        self.lowest.len() < LOWEST || self.lowest.last().is_some_and(|(highest, _, _)| score < *highest)
    }

    /// Whether more than its place in the array is asked of a row. The first row always is.
    fn is_looked_at(&self, entry: Entry) -> bool {
        entry.verdict.is_fragment || self.sample.len() < self.sample_rows || self.is_low(entry.verdict.score)
    }

    fn row(
        &mut self,
        entry: Entry,
        json: &[u8],
        fragment: &[u8],
        rows: &mut List,
        fragments: &mut List,
    ) -> Result<(), FileError> {
        rows.push(&[json])?;
        let score = entry.verdict.score;
        self.count(entry);
        if self.sample.len() < self.sample_rows {
            self.sample.push(json.to_vec());
        }
        let is_low = self.is_low(score);
        if !is_low && !entry.verdict.is_fragment {
            return Ok(());
        }
        let line = self.review.line(json);
        if entry.verdict.is_fragment {
            fragments.push(&[render::without_end(json), fragment, b"\n  }"])?;
            let length = u32::try_from(line.len()).expect("a line is smaller than 4 GiB");
            self.fragments.push(Fragment { score, length, ordinal: entry.ordinal, at: self.lines_at });
            self.lines.write_all(&line).map_err(fail)?;
            self.lines_at += line.len() as u64;
        }
        if is_low {
            self.lowest.insert((score, entry.ordinal, line));
            if self.lowest.len() > LOWEST {
                self.lowest.pop_last();
            }
        }
        Ok(())
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
        let lines = self.lines.get_ref().as_file();
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
    file: super::stage::StageFile,
    is_empty: bool,
}

impl List {
    fn new(file: super::stage::StageFile) -> Self {
        Self { file, is_empty: true }
    }

    /// Appends an element that is there in pieces.
    fn push(&mut self, pieces: &[&[u8]]) -> Result<(), FileError> {
        self.file.write(if self.is_empty { b"[\n" } else { SEPARATOR })?;
        self.is_empty = false;
        pieces.iter().try_for_each(|piece| self.file.write(piece))
    }

    fn end(mut self) -> Result<Artifact, FileError> {
        self.file.write(if self.is_empty { b"[]" } else { b"\n]" })?;
        self.file.seal()
    }
}
