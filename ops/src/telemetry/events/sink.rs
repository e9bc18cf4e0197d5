//! Where lines go: anything that takes bytes, a file that is continued, or whatever implements [`Sink`].

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::clock::Stamp;
use crate::files::{self, FileError};

/// An event with what a table of events has columns for.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// When it happened.
    pub at: Stamp,
    /// Its number in the handle, from 1.
    pub sequence: u64,
    /// The run.
    pub run_id: &'a str,
    /// What it is called.
    pub event: &'static str,
    /// All of it as JSON, without a line feed.
    pub line: &'a str,
}

/// What takes events. An error counts the event as dropped and never reaches the caller.
pub trait Sink: Send {
    /// Takes one event.
    fn write(&mut self, record: &Record<'_>) -> io::Result<()>;
}

/// JSON Lines into anything that takes bytes, one write for each line.
#[derive(Debug)]
pub struct Lines<W> {
    out: W,
    buffer: Vec<u8>,
}

impl<W: Write + Send> Lines<W> {
    /// Lines into `out`.
    pub fn new(out: W) -> Self {
        Self { out, buffer: Vec::new() }
    }
}

impl Lines<File> {
    /// Lines at the end of a file, which is made when it is missing.
    pub fn append(path: &Path) -> Result<Self, FileError> {
        if let Some(parent) = path.parent() {
            files::create_dir(parent)?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self::new(file.map_err(|e| FileError::new("open", path, e))?))
    }
}

impl<W: Write + Send> Sink for Lines<W> {
    fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.extend_from_slice(record.line.as_bytes());
        self.buffer.push(b'\n');
        self.out.write_all(&self.buffer)?;
        self.out.flush()
    }
}
