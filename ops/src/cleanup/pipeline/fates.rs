//! What becomes of rows that are not simply written: they went into another, wait for a person, or were written anew.

use std::collections::{BTreeMap, btree_map};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::iter::Peekable;
use std::path::Path;

use super::spool::{Entry, RowRef, Rows};
use super::stage::Stage;
use crate::files::FileError;
use crate::os;

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    /// It is a part of another row now.
    Merged,
    /// It goes to the quarantine file.
    Quarantined,
    /// It is written like this instead.
    Replaced(Patch),
}

/// Where a row is that was written anew.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Patch {
    at: u64,
    pub(super) entry: Entry,
}

/// The fates of rows; all others are written as they are.
#[derive(Debug)]
pub(super) struct Fates {
    rows: BTreeMap<u64, Fate>,
    patches: BufWriter<File>,
    at: u64,
}

fn fail(error: std::io::Error) -> FileError {
    FileError::new("write", Path::new("the spool of merged rows"), error)
}

impl Fates {
    pub(super) fn new(stage: &Stage) -> Result<Self, FileError> {
        Ok(Self { rows: BTreeMap::new(), patches: BufWriter::new(stage.scratch()?), at: 0 })
    }

    /// Decides about a row that is not written.
    pub(super) fn set(&mut self, ordinal: u64, fate: Fate) {
        self.rows.insert(ordinal, fate);
    }

    pub(super) fn get(&self, ordinal: u64) -> Option<Fate> {
        self.rows.get(&ordinal).copied()
    }

    /// The fates again, for somebody who goes through the rows in their order.
    pub(super) fn forward(&self) -> Forward<'_> {
        Forward { fates: self.rows.iter().peekable(), patches: self.reader() }
    }

    /// Writes a row, the only one in `row`, anew.
    pub(super) fn replace(&mut self, row: &Rows) -> Result<(), FileError> {
        let [entry] = row.entries[..] else { return Ok(()) };
        self.rows.insert(entry.ordinal, Fate::Replaced(Patch { at: self.at, entry }));
        self.at += row.bytes.len() as u64;
        self.patches.write_all(&row.bytes).map_err(fail)
    }

    /// How many rows have this kind of fate.
    pub(super) fn count(&self, is_counted: impl Fn(&Fate) -> bool) -> u64 {
        self.rows.values().filter(|fate| is_counted(fate)).count() as u64
    }

    /// Ends writing rows for now, so that they can be read.
    pub(super) fn flush(&mut self) -> Result<(), FileError> {
        self.patches.flush().map_err(fail)
    }

    /// Another reader of rows that were written anew.
    pub(super) fn reader(&self) -> Patches<'_> {
        Patches { file: self.patches.get_ref() }
    }
}

/// Fates in the order of the rows.
#[derive(Debug)]
pub(super) struct Forward<'a> {
    fates: Peekable<btree_map::Iter<'a, u64, Fate>>,
    patches: Patches<'a>,
}

impl Forward<'_> {
    /// Gives a row as it is to be written, if it is. It comes behind all that were given before.
    pub(super) fn decide(
        &mut self,
        row: RowRef<'_>,
        write: impl FnOnce(RowRef<'_>) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        let ordinal = row.entry.ordinal;
        while self.fates.next_if(|(decided, _)| **decided < ordinal).is_some() {}
        match self.fates.next_if(|(decided, _)| **decided == ordinal) {
            None => write(row),
            Some((_, Fate::Replaced(patch))) => {
                let bytes = self.patches.row(*patch)?;
                write(RowRef::new(patch.entry, &bytes))
            }
            Some((_, Fate::Merged | Fate::Quarantined)) => Ok(()),
        }
    }
}

/// Reads rows that were written anew.
#[derive(Debug)]
pub(super) struct Patches<'a> {
    file: &'a File,
}

impl Patches<'_> {
    /// The bytes of a row.
    pub(super) fn row(&self, patch: Patch) -> Result<Vec<u8>, FileError> {
        let mut bytes = vec![0; patch.entry.length()];
        os::read_exact_at(self.file, &mut bytes, patch.at).map_err(fail)?;
        Ok(bytes)
    }
}
