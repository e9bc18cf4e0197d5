//! The books of a run: one line for each thing that was about to be done and that came of it.
//!
//! Lines are gathered and put on disk together, before anything is sent that rests on them. A last line that a crash cut
//! off is cut away; any other damage stops the run. For each candidate the last `end` counts; what was begun and has
//! no `end` is in doubt.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::BackfillError;
use super::image::{Images, RowChange, Shape, read_changes, read_images, write_changes, write_images};
use crate::clock::Stamp;
use crate::files::{self, FileError};
use crate::guard::Refusal;

/// Version of the lines.
const FORMAT: u32 = 1;

/// The first line: which run this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    /// Full id of the plan.
    pub(super) plan: String,
    /// Id of this run.
    pub(super) run: String,
    /// When it began.
    pub(super) at: String,
    /// Name of the script that takes it back.
    pub(super) script: String,
    /// The columns of the rows, by table.
    pub(super) columns: Vec<Vec<String>>,
}

/// How a candidate, or one operation, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Ended {
    /// Written by this run, and read back with the stamp that was expected.
    Verified = 1,
    /// Nothing to do: every result was current.
    Current = 2,
    /// Nothing to do: there is a result of another version, and only missing ones are made.
    Kept = 3,
    /// It was said to be done, and no row was written.
    NoData = 4,
    /// A row was written, with another stamp than the expected one.
    WrongStamp = 5,
    /// The server refused the call (4xx), or the database a statement.
    Refused = 6,
    /// The server failed (5xx), and wrote nothing.
    Failed = 7,
    /// No answer in time, and nothing written.
    TimedOut = 8,
    /// No connection, or it ended before the answer; nothing written.
    Lost = 9,
}

impl Ended {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Verified,
        Self::Current,
        Self::Kept,
        Self::NoData,
        Self::WrongStamp,
        Self::Refused,
        Self::Failed,
        Self::TimedOut,
        Self::Lost,
    ];

    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Current => "current",
            Self::Kept => "kept",
            Self::NoData => "no_data",
            Self::WrongStamp => "wrong_stamp",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Lost => "lost",
        }
    }

    /// Whether nothing is left to do.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Verified | Self::Current | Self::Kept)
    }
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'l> {
    Run {
        format: u32,
        #[serde(flatten)]
        header: Header,
    },
    Resume {
        at: String,
    },
    Begin {
        n: u64,
        at: String,
        #[serde(borrow)]
        before: &'l RawValue,
    },
    Call {
        n: u64,
        step: usize,
        tries: u32,
        at: String,
    },
    Result(OperationResult),
    End {
        n: u64,
        at: String,
        end: Ended,
        #[serde(default)]
        late: bool,
        #[serde(default)]
        why: String,
        #[serde(borrow)]
        changes: &'l RawValue,
    },
    Canary {
        candidates: u64,
        failed: u64,
        at: String,
    },
    Approved {
        at: String,
    },
    Closed {
        at: String,
    },
}

/// What came of one operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct OperationResult {
    pub(super) n: u64,
    pub(super) step: usize,
    pub(super) tries: u32,
    /// When it was sent.
    pub(super) sent: String,
    pub(super) at: String,
    pub(super) ms: u64,
    pub(super) status: Option<u16>,
    pub(super) end: Ended,
    pub(super) why: String,
}

/// What is known of a candidate that an earlier attempt did not finish well.
#[derive(Debug, Clone, Default)]
pub(super) struct Prior {
    /// Its rows when the attempt that is in doubt began.
    pub(super) before: Option<Images>,
    /// When its last operation was sent, where that is in doubt.
    pub(super) called: Option<String>,
    /// The step of that operation.
    pub(super) step: usize,
    /// What earlier attempts changed for sure.
    pub(super) changes: Vec<RowChange>,
}

/// Where a run stands according to its books.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) header: Header,
    /// By place in the list: 0, or the number of its [`Ended`].
    pub(super) ended: Vec<u8>,
    /// What is in doubt or was not good.
    pub(super) open: HashMap<u64, Prior>,
    /// When a candidate was last begun, or something was last sent for one.
    pub(super) begun_at: Option<String>,
    pub(super) canary: Option<(u64, u64)>,
    pub(super) is_approved: bool,
    pub(super) is_closed: bool,
    /// Bytes that were cut off.
    pub(super) torn: u64,
    whole: u64,
}

impl Past {
    /// How many candidates ended in this way.
    pub(super) fn count(&self, end: Ended) -> u64 {
        self.ended.iter().map(|state| u64::from(*state == end as u8)).sum()
    }
}

/// Reads the books of a plan with `total` candidates; `None` when there are none.
pub(super) fn read(path: &Path, shapes: &[Shape], total: u64) -> Result<Option<Past>, BackfillError> {
    let Some(mut lines) = Lines::open(path)? else { return Ok(None) };
    let Some(first) = lines.next_line()? else { return Ok(None) };
    let Ok(Line::Run { format: FORMAT, header }) = serde_json::from_str(first) else {
        return Err(damaged(path, 1).into());
    };
    let columns: Vec<Vec<String>> =
        shapes.iter().map(|shape| shape.names().map(str::to_owned).collect()).collect();
    if header.columns != columns {
        return Err(Refusal::new("the books are about other columns", "those of the tables", "others").into());
    }
    let mut past = Past {
        header,
        ended: vec![0; usize::try_from(total).unwrap_or(usize::MAX)],
        open: HashMap::new(),
        begun_at: None,
        canary: None,
        is_approved: false,
        is_closed: false,
        torn: 0,
        whole: lines.end,
    };
    while let Some(text) = lines.next_line()? {
        let noted = serde_json::from_str(text).ok().map(|line| past.note(shapes, line));
        match noted {
            Some(Some(())) => {}
            None if lines.is_last()? => break,
            _ => return Err(damaged(path, lines.number).into()),
        }
        past.whole = lines.end;
    }
    past.torn = lines.length - past.whole;
    Ok(Some(past))
}

impl Past {
    fn note(&mut self, shapes: &[Shape], line: Line<'_>) -> Option<()> {
        match line {
            Line::Run { .. } => return None,
            Line::Resume { .. } => {}
            Line::Begin { n, at, before } => {
                *self.ended.get_mut(usize::try_from(n).ok()?)? = 0;
                let prior = self.open.entry(n).or_default();
                prior.before = Some(read_images(shapes, before)?);
                prior.called = None;
                self.begun_at = Some(at);
            }
            Line::Call { n, step, at, .. } => {
                let prior = self.open.get_mut(&n)?;
                (prior.called, prior.step) = (Some(at.clone()), step);
                self.begun_at = Some(at);
            }
            Line::Result(result) => self.open.get_mut(&result.n)?.called = Some(result.sent),
            Line::End { n, end, changes, .. } => {
                *self.ended.get_mut(usize::try_from(n).ok()?)? = end as u8;
                if end.is_good() {
                    self.open.remove(&n);
                } else {
                    let changes = read_changes(shapes, changes)?;
                    self.open.insert(n, Prior { changes, ..Prior::default() });
                }
            }
            Line::Canary { candidates, failed, .. } => self.canary = Some((candidates, failed)),
            Line::Approved { .. } => self.is_approved = true,
            Line::Closed { .. } => self.is_closed = true,
        }
        Some(())
    }
}

fn damaged(path: &Path, line: u64) -> Refusal {
    Refusal::new(
        "the books of the run are damaged",
        "whole lines that follow each other; only the last may be cut off",
        format!("line {line} of `{}` cannot be read or does not follow", path.display()),
    )
    .next("restore the folder of the plan; without its books a run cannot be taken back")
}

/// Books that are written to.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
}

impl Journal {
    /// Begins books, or continues those that were read.
    pub(super) fn open(
        path: &Path,
        header: &Header,
        past: Option<&Past>,
        at: Stamp,
    ) -> Result<Self, BackfillError> {
        if let Some(parent) = path.parent() {
            files::create_dir(parent)?;
        }
        let opened = (|| {
            let file = File::options().create(true).truncate(false).append(true).open(path)?;
            file.set_len(past.map_or(0, |past| past.whole))?;
            Ok(file)
        })();
        let file = opened.map_err(|e| FileError::new("open", path, e))?;
        let mut journal = Self { path: path.to_path_buf(), file, buffer: Vec::new() };
        match past {
            None => journal.put(&Line::Run { format: FORMAT, header: header.clone() }),
            Some(_) => journal.put(&Line::Resume { at: at.db() }),
        }
        journal.commit()?;
        files::sync_parent(path)?;
        Ok(journal)
    }

    /// Adds a line, for the next [`Journal::commit`].
    pub(super) fn put(&mut self, line: &Line<'_>) {
        serde_json::to_writer(&mut self.buffer, line).expect("names and numbers are JSON");
        self.buffer.push(b'\n');
    }

    /// Adds a `begin` line.
    pub(super) fn begin(&mut self, n: u64, at: Stamp, before: &Images) {
        let head = format!("{{\"begin\":{{\"n\":{n},\"at\":\"{}\",\"before\":", at.db());
        self.buffer.extend_from_slice(head.as_bytes());
        write_images(before, &mut self.buffer);
        self.buffer.extend_from_slice(b"}}\n");
    }

    /// Adds an `end` line.
    pub(super) fn end(
        &mut self,
        n: u64,
        at: Stamp,
        (end, late, why): (Ended, bool, &str),
        changes: &[RowChange],
    ) {
        let why = serde_json::to_string(why).expect("a text is JSON");
        let head = format!(
            "{{\"end\":{{\"n\":{n},\"at\":\"{}\",\"end\":\"{}\",\"late\":{late},\"why\":{why},\"changes\":",
            at.db(),
            end.as_str()
        );
        self.buffer.extend_from_slice(head.as_bytes());
        write_changes(changes, &mut self.buffer);
        self.buffer.extend_from_slice(b"}}\n");
    }

    /// Puts the lines on disk.
    pub(super) fn commit(&mut self) -> Result<(), BackfillError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.file.write_all(&self.buffer).and_then(|()| self.file.sync_data());
        self.buffer.clear();
        Ok(written.map_err(|e| FileError::new("write", &self.path, e))?)
    }
}

/// Whole lines of a file.
#[derive(Debug)]
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    buffer: String,
    number: u64,
    /// Where the last line began.
    pub(super) start: u64,
    end: u64,
    length: u64,
}

impl Lines {
    /// The lines of a file; `None` when it is not there.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, FileError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(FileError::new("open", path, e)),
        };
        let length = file.metadata().map_err(|e| FileError::new("read", path, e))?.len();
        let reader = BufReader::with_capacity(1 << 16, file);
        let path = path.to_path_buf();
        Ok(Some(Self { path, reader, buffer: String::new(), number: 0, start: 0, end: 0, length }))
    }

    /// The next line that ends in a line feed.
    pub(super) fn next_line(&mut self) -> Result<Option<&str>, FileError> {
        self.buffer.clear();
        // Bytes that are no text are a line that cannot be read.
        let mut bytes = std::mem::take(&mut self.buffer).into_bytes();
        let read =
            self.reader.read_until(b'\n', &mut bytes).map_err(|e| FileError::new("read", &self.path, e))?;
        let is_whole = bytes.pop() == Some(b'\n');
        self.buffer = String::from_utf8(bytes).unwrap_or_default();
        if !is_whole {
            return Ok(None);
        }
        self.number += 1;
        self.start = self.end;
        self.end += read as u64;
        Ok(Some(&self.buffer))
    }

    /// Back to the first line.
    fn rewind(&mut self) -> Result<(), FileError> {
        self.reader.seek(SeekFrom::Start(0)).map_err(|e| FileError::new("read", &self.path, e))?;
        (self.start, self.end, self.number) = (0, 0, 0);
        Ok(())
    }

    fn is_last(&mut self) -> Result<bool, FileError> {
        let rest = self.reader.fill_buf().map_err(|e| FileError::new("read", &self.path, e))?;
        Ok(!rest.contains(&b'\n'))
    }
}

/// How one candidate ended, as the books have it.
#[derive(Debug)]
pub(super) struct EndRecord {
    pub(super) n: u64,
    pub(super) end: Ended,
    pub(super) late: bool,
    pub(super) why: String,
    pub(super) changes: Vec<RowChange>,
    /// How long they are in the books.
    pub(super) bytes: usize,
}

/// The last `end` of each candidate, in the order of the books. Where each is, is found out in a first reading; nothing but
/// one number a candidate is held.
#[derive(Debug)]
pub(super) struct Ends {
    lines: Lines,
    /// Where the last `end` of each candidate begins.
    last: Vec<u64>,
}

impl Ends {
    /// Those of a plan with `total` candidates; `None` when there are no books.
    pub(super) fn open(path: &Path, total: u64) -> Result<Option<Self>, BackfillError> {
        let mut last = vec![u64::MAX; usize::try_from(total).unwrap_or(0)];
        let Some(mut lines) = Lines::open(path)? else { return Ok(None) };
        while let Some(text) = lines.next_line()? {
            if !text.starts_with("{\"end\"") {
                continue;
            }
            if let Ok(Line::End { n, .. }) = serde_json::from_str(text) {
                let start = lines.start;
                if let Some(slot) = usize::try_from(n).ok().and_then(|n| last.get_mut(n)) {
                    *slot = start;
                }
            }
        }
        lines.rewind()?;
        Ok(Some(Self { lines, last }))
    }

    /// The next one.
    pub(super) fn take_next(&mut self, shapes: &[Shape]) -> Result<Option<EndRecord>, BackfillError> {
        let Self { lines, last } = self;
        loop {
            let (start, number) = (lines.end, lines.number + 1);
            let Some(text) = lines.next_line()? else { return Ok(None) };
            if !text.starts_with("{\"end\"") {
                continue;
            }
            let Ok(Line::End { n, end, late, why, changes, .. }) = serde_json::from_str(text) else {
                continue;
            };
            if usize::try_from(n).ok().and_then(|n| last.get(n)) == Some(&start) {
                let bytes = changes.get().len();
                let changes = read_changes(shapes, changes);
                let changes = changes.ok_or_else(|| damaged(&lines.path, number))?;
                return Ok(Some(EndRecord { n, end, late, why, changes, bytes }));
            }
        }
    }

    /// Begins anew.
    pub(super) fn rewind(&mut self) -> Result<(), FileError> {
        self.lines.rewind()
    }
}

/// Hands out the last `end` of each candidate, in the order of the books.
pub(super) fn each_end(
    path: &Path,
    shapes: &[Shape],
    total: u64,
    each: &mut dyn FnMut(EndRecord) -> Result<(), BackfillError>,
) -> Result<(), BackfillError> {
    let Some(mut ends) = Ends::open(path, total)? else { return Ok(()) };
    while let Some(record) = ends.take_next(shapes)? {
        each(record)?;
    }
    Ok(())
}

/// Hands out every line of the books that can be read.
pub(super) fn each_line(path: &Path, each: &mut dyn FnMut(Line<'_>)) -> Result<(), BackfillError> {
    let Some(mut lines) = Lines::open(path)? else { return Ok(()) };
    while let Some(text) = lines.next_line()? {
        if let Ok(line) = serde_json::from_str(text) {
            each(line);
        }
    }
    Ok(())
}
