//! The changes that undo what a run has written: a sealed file, read from its end.
//!
//! The file holds them in the order of the plan, so it is written in one pass; they are handed out in the opposite
//! order, because a row may only be free to come back when a later one has gone. Memory does not grow with it.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::change::apply::{ChangeIter, Changes};
use crate::change::error::RunError;
use crate::change::plan::{
    FileSeal, INDEX_LINES, Index, Layout, PlanError, SealedWriter, names, parse_line, seal_of, write_line,
};
use crate::files::{self, FileError};
use crate::target::Change;

/// A file of changes that undo others.
#[derive(Debug)]
pub(super) struct InverseFile<'l> {
    path: PathBuf,
    layout: &'l Layout,
    index: Index,
    /// Its SHA-256.
    pub(super) sha256: String,
}

/// Takes the changes in the order of the plan.
#[derive(Debug)]
pub(super) struct InverseWriter<'l> {
    folder: PathBuf,
    layout: &'l Layout,
    file: SealedWriter,
    index: Index,
    buffer: Vec<u8>,
}

impl<'l> InverseWriter<'l> {
    /// Begins the file in `folder`; one that was left there by a run that never began is replaced.
    pub(super) fn create(folder: &Path, layout: &'l Layout) -> Result<Self, FileError> {
        files::create_dir(folder)?;
        let path = folder.join(names::CHANGES);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(FileError::new("replace", &path, error));
            }
            _ => {}
        }
        let file = SealedWriter::create(folder, names::CHANGES)?;
        let (index, buffer) = (Index::default(), Vec::new());
        Ok(Self { folder: folder.to_path_buf(), layout, file, index, buffer })
    }

    pub(super) fn push(&mut self, change: &Change) -> Result<(), FileError> {
        self.buffer.clear();
        write_line(self.layout, self.index.lines(), change, &mut self.buffer);
        self.index.see(&self.buffer);
        self.file.write(&self.buffer)
    }

    pub(super) fn finish(self) -> Result<InverseFile<'l>, FileError> {
        let FileSeal { sha256, .. } = self.file.finish()?;
        files::sync_parent(&self.folder.join(names::CHANGES))?;
        let path = self.folder.join(names::CHANGES);
        Ok(InverseFile { path, layout: self.layout, index: self.index, sha256 })
    }
}

impl<'l> InverseFile<'l> {
    /// The file that is there, whatever its digest.
    pub(super) fn open(folder: &Path, layout: &'l Layout) -> Result<Self, FileError> {
        let mut index = Index::default();
        let FileSeal { sha256, .. } = seal_of(folder, names::CHANGES, |bytes| index.see(bytes))?;
        Ok(Self { path: folder.join(names::CHANGES), layout, index, sha256 })
    }

    /// The changes of a block of lines, in the order of the file.
    fn block(&self, file: &mut BufReader<File>, block: usize) -> Result<Vec<Change>, RunError> {
        let failed = |e| FileError::new("read", &self.path, e);
        let first = block as u64 * INDEX_LINES;
        let last = (first + INDEX_LINES).min(self.index.lines());
        file.seek(SeekFrom::Start(self.index.offset(block).unwrap_or_default())).map_err(failed)?;
        let mut line = Vec::new();
        let mut changes = Vec::new();
        for n in first..last {
            line.clear();
            file.read_until(b'\n', &mut line).map_err(failed)?;
            line.pop();
            let wrong = |what| PlanError::Line { file: names::CHANGES, line: n + 1, what };
            changes.push(parse_line(self.layout, n, &line).map_err(wrong)?);
        }
        Ok(changes)
    }
}

impl Changes for InverseFile<'_> {
    fn total(&self) -> u64 {
        self.index.lines()
    }

    fn read(&self, position: u64) -> Result<ChangeIter<'_>, RunError> {
        let left = self.total().saturating_sub(position);
        let file = File::open(&self.path).map_err(|e| FileError::new("open", &self.path, e))?;
        let file = BufReader::with_capacity(1 << 18, file);
        Ok(Box::new(Backwards { source: self, file, left, block: Vec::new() }))
    }
}

struct Backwards<'a> {
    source: &'a InverseFile<'a>,
    file: BufReader<File>,
    /// Lines before the one that was handed out last.
    left: u64,
    /// Changes of a block that are still to be handed out, the next one at the end.
    block: Vec<Change>,
}

impl Iterator for Backwards<'_> {
    type Item = Result<Change, RunError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        if self.block.is_empty() {
            let last = self.left - 1;
            let block = usize::try_from(last / INDEX_LINES).expect("blocks are counted in memory");
            let keep = usize::try_from(last % INDEX_LINES).expect("a block is small") + 1;
            match self.source.block(&mut self.file, block) {
                Ok(changes) => self.block = changes,
                Err(error) => {
                    self.left = 0;
                    return Some(Err(error));
                }
            }
            self.block.truncate(keep);
        }
        self.left -= 1;
        self.block.pop().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::apply::double::{COLUMNS, KEY, row, table};

    #[test]
    fn everything_comes_back_from_any_position_in_the_opposite_order() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(table(), COLUMNS.to_vec(), KEY.to_vec()).unwrap();
        let changes: Vec<Change> =
            (0..2500).map(|id| Change::Update { before: row(id, "a"), after: row(id, "b\n") }).collect();
        let mut writer = InverseWriter::create(dir.path(), &layout).unwrap();
        for change in &changes {
            writer.push(change).unwrap();
        }
        let written = writer.finish().unwrap();
        let opened = InverseFile::open(dir.path(), &layout).unwrap();
        assert_eq!(opened.sha256, written.sha256);
        for file in [written, opened] {
            assert_eq!(file.total(), 2500);
            for position in [0, 1, 451, 452, 453, 1475, 1476, 1477, 2499, 2500, 9999] {
                let read: Vec<Change> = file.read(position).unwrap().map(Result::unwrap).collect();
                let skip = usize::try_from(position).unwrap();
                let expected: Vec<Change> = changes.iter().rev().skip(skip).cloned().collect();
                assert_eq!(read, expected, "from {position}");
            }
        }
        InverseWriter::create(dir.path(), &layout).unwrap().finish().unwrap();
        assert_eq!(InverseFile::open(dir.path(), &layout).unwrap().total(), 0, "an old file is replaced");
    }
}
