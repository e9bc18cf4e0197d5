//! What becomes of rows that are not simply written: they went into another, wait for a person, or were written anew.

use std::collections::{BTreeMap, btree_map};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::iter::Peekable;
use std::path::Path;

use tempfile::NamedTempFile;

use super::spool::{Entry, Rendered};
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

/// Where a row's new spelling is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Patch {
    at: u64,
    entry: Entry,
}

/// The fates of rows; all others are written as they are.
#[derive(Debug)]
pub(super) struct Fates {
    rows: BTreeMap<u64, Fate>,
    patches: BufWriter<NamedTempFile>,
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
        Forward(self.rows.iter().peekable())
    }

    /// Gives a row, the only one in `row`, a new spelling.
    pub(super) fn replace(&mut self, row: &Rendered) -> Result<(), FileError> {
        let [entry] = row.entries[..] else { return Ok(()) };
        self.rows.insert(entry.ordinal, Fate::Replaced(Patch { at: self.at, entry }));
        for bytes in [&row.json, &row.csv, &row.fragments] {
            self.patches.write_all(bytes).map_err(fail)?;
            self.at += bytes.len() as u64;
        }
        Ok(())
    }

    /// How many rows have this kind of fate.
    pub(super) fn count(&self, is_counted: impl Fn(&Fate) -> bool) -> u64 {
        self.rows.values().filter(|fate| is_counted(fate)).count() as u64
    }

    /// Ends writing new spellings for now, so that they can be read.
    pub(super) fn flush(&mut self) -> Result<(), FileError> {
        self.patches.flush().map_err(fail)
    }

    /// Another reader of new spellings.
    pub(super) fn reader(&self) -> Patches<'_> {
        Patches { file: self.patches.get_ref().as_file() }
    }
}

/// Fates in the order of the rows.
#[derive(Debug)]
pub(super) struct Forward<'a>(Peekable<btree_map::Iter<'a, u64, Fate>>);

impl Forward<'_> {
    /// What becomes of a row that comes behind all that were asked for before.
    pub(super) fn of(&mut self, ordinal: u64) -> Option<Fate> {
        while self.0.next_if(|(row, _)| **row < ordinal).is_some() {}
        self.0.next_if(|(row, _)| **row == ordinal).map(|(_, fate)| *fate)
    }
}

/// Reads new spellings.
#[derive(Debug)]
pub(super) struct Patches<'a> {
    file: &'a File,
}

impl Patches<'_> {
    /// The element of the array and what a fragment has besides.
    pub(super) fn json(&self, patch: Patch) -> Result<(Entry, Vec<u8>, Vec<u8>), FileError> {
        let Entry { json, csv, fragment, .. } = patch.entry;
        let json_bytes = self.read(patch.at, json)?;
        let fragment = self.read(patch.at + u64::from(json) + u64::from(csv), fragment)?;
        Ok((patch.entry, json_bytes, fragment))
    }

    /// The line of the sheet.
    pub(super) fn csv(&self, patch: Patch) -> Result<Vec<u8>, FileError> {
        self.read(patch.at + u64::from(patch.entry.json), patch.entry.csv)
    }

    fn read(&self, at: u64, length: u32) -> Result<Vec<u8>, FileError> {
        let mut bytes = vec![0; length as usize];
        os::read_exact_at(self.file, &mut bytes, at).map_err(fail)?;
        Ok(bytes)
    }
}
