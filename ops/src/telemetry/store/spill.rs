//! The spill file: jobs that the database could not take, kept on disk until it can.
//!
//! A record is its length (4 bytes), the xxh3 checksum of its content (8 bytes), and the content: the SQL of a table,
//! before the first job that needs it, or a job as it was in the queue. A record counts once the file was flushed.
//! Whoever holds the lock of the file owns it; a file that nobody holds was left by a store that is gone, and the next
//! one takes it over. How much of it is in the database is written there, in the same transaction, so nothing is
//! written twice.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use super::group::Shape;
use super::value::{length, take_content};

const SUFFIX: &str = ".spill";
const HEAD: usize = 12;
const TABLE: u8 = b'T';
const JOB: u8 = b'J';

/// A spill file that this store owns.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    path: PathBuf,
    /// Its name in the database.
    pub(super) id: String,
    /// Where the next record goes.
    end: u64,
    /// Everything before is in the database.
    pub(super) replayed: u64,
    /// How many tables it defines, from the first on.
    defined: usize,
}

/// The spill files of a database, with their sizes, whoever owns them.
pub(crate) fn spill_files(dir: &Path, prefix: &str) -> Vec<(String, u64)> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| {
        let name = entry.file_name().to_str()?.to_owned();
        let is_ours = name.strip_prefix(prefix)?.starts_with('-') && name.ends_with(SUFFIX);
        is_ours.then_some((name, entry.metadata().ok()?.len()))
    };
    let mut found: Vec<(String, u64)> = entries.filter_map(size).collect();
    found.sort();
    found
}

/// A part of a spill file.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// Jobs, each with its length in four bytes before it, as in the queue.
    pub(super) bytes: Vec<u8>,
    pub(super) jobs: u64,
    /// Where the part ends.
    pub(super) end: u64,
    /// Records that have a wrong checksum.
    pub(super) damaged: u64,
    /// The file ends within a record.
    pub(super) is_torn: bool,
}

impl Spill {
    /// Makes the file.
    pub(super) fn create(dir: &Path, prefix: &str, id: &str) -> io::Result<Self> {
        let path = dir.join(format!("{prefix}-{id}{SUFFIX}"));
        let file = OpenOptions::new().read(true).append(true).create_new(true).open(&path)?;
        file.try_lock().map_err(|_| io::Error::other("another process holds the new spill file"))?;
        crate::files::sync_parent(&path).map_err(io::Error::other)?;
        Ok(Self { file, path, id: id.to_owned(), end: 0, replayed: 0, defined: 0 })
    }

    /// Takes over the files that stores of the same database left behind.
    pub(super) fn orphans(dir: &Path, prefix: &str) -> Vec<Self> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let adopt = |path: PathBuf| {
            let name = path.file_name()?.to_str()?;
            let id = name.strip_prefix(prefix)?.strip_prefix('-')?.strip_suffix(SUFFIX)?.to_owned();
            let file = OpenOptions::new().read(true).append(true).open(&path).ok()?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => return None,
            }
            let end = file.metadata().ok()?.len();
            Some(Self { file, path, id, end, replayed: 0, defined: 0 })
        };
        let mut found: Vec<Self> = entries.filter_map(|entry| adopt(entry.path())).collect();
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// Whether all of it is in the database.
    pub(super) fn is_done(&self) -> bool {
        self.replayed >= self.end
    }

    /// Bytes that are not in the database yet.
    pub(super) fn waiting(&self) -> u64 {
        self.end.saturating_sub(self.replayed)
    }

    /// Appends jobs (each with its length before it) and flushes them to disk; all of them or none.
    pub(super) fn append(&mut self, jobs: &[u8], shapes: &[Shape], max: u64) -> io::Result<()> {
        let mut out = Vec::with_capacity(jobs.len() + jobs.len() / 8);
        for (index, shape) in shapes.iter().enumerate().skip(self.defined) {
            record(&mut out, &define(index, shape));
        }
        let mut rest = jobs;
        let mut content = Vec::new();
        while let Some((job, more)) = take_content(rest) {
            content.clear();
            content.push(JOB);
            content.extend_from_slice(job);
            record(&mut out, &content);
            rest = more;
        }
        if self.end + out.len() as u64 > max {
            return Err(io::Error::other("the spill file has its largest size"));
        }
        let written = self.file.write_all(&out).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What came of it is cut off again, so that the file ends with a whole record.
            let _ = self.file.set_len(self.end);
            return Err(error);
        }
        self.end += out.len() as u64;
        self.defined = shapes.len().max(self.defined);
        Ok(())
    }

    /// Reads up to `jobs_max` jobs from where the database left off, and the tables that they need into `shapes`.
    pub(super) fn read(&self, jobs_max: u64, bytes_max: usize, shapes: &mut Vec<Shape>) -> io::Result<Chunk> {
        let mut file = &self.file;
        let skips = shapes.is_empty() && self.replayed > 0;
        let mut at = if skips { 0 } else { self.replayed };
        file.seek(SeekFrom::Start(at))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut chunk = Chunk { end: at, ..Chunk::default() };
        let mut content = Vec::new();
        while chunk.jobs < jobs_max && chunk.bytes.len() < bytes_max && at < self.end {
            let mut head = [0; HEAD];
            let found = self.end - at;
            if found < HEAD as u64 {
                return Ok(self.torn(chunk));
            }
            reader.read_exact(&mut head)?;
            let (long, sum) = split_head(&head);
            if found - (HEAD as u64) < long {
                return Ok(self.torn(chunk));
            }
            content.resize(usize::try_from(long).map_err(io::Error::other)?, 0);
            reader.read_exact(&mut content)?;
            at += HEAD as u64 + long;
            let is_new = at > self.replayed;
            match content.split_first() {
                _ if xxh3_64(&content) != sum => chunk.damaged += u64::from(is_new),
                Some((&TABLE, table)) => chunk.damaged += u64::from(!keep(table, shapes)),
                Some((&JOB, job)) if is_new => {
                    chunk.bytes.extend_from_slice(&length(job.len()));
                    chunk.bytes.extend_from_slice(job);
                    chunk.jobs += 1;
                }
                Some((&JOB, _)) => {}
                _ => chunk.damaged += u64::from(is_new),
            }
            chunk.end = at;
        }
        Ok(chunk)
    }

    fn torn(&self, chunk: Chunk) -> Chunk {
        Chunk { end: self.end, is_torn: true, ..chunk }
    }

    /// Removes the file; everything in it is in the database.
    pub(super) fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

fn split_head(head: &[u8; HEAD]) -> (u64, u64) {
    let (long, sum) = head.split_at(4);
    let long = u32::from_le_bytes(long.try_into().expect("it has four bytes"));
    (u64::from(long), u64::from_le_bytes(sum.try_into().expect("it has eight bytes")))
}

fn record(out: &mut Vec<u8>, content: &[u8]) {
    out.extend_from_slice(&length(content.len()));
    out.extend_from_slice(&xxh3_64(content).to_le_bytes());
    out.extend_from_slice(content);
}

/// A table with its index: the insert, then what makes the table.
fn define(index: usize, shape: &Shape) -> Vec<u8> {
    let mut content = vec![TABLE];
    content.extend_from_slice(&length(index));
    for sql in std::iter::once(&shape.insert).chain(&shape.make) {
        content.extend_from_slice(&length(sql.len()));
        content.extend_from_slice(sql.as_bytes());
    }
    content
}

/// Reads what [`define`] wrote; `false` when it is something else.
fn keep(content: &[u8], shapes: &mut Vec<Shape>) -> bool {
    let read = || {
        let (index, mut rest) = content.split_first_chunk::<4>()?;
        let mut texts = Vec::new();
        while !rest.is_empty() {
            let (text, more) = take_content(rest)?;
            texts.push(std::str::from_utf8(text).ok()?.to_owned());
            rest = more;
        }
        let make = texts.split_off(1.min(texts.len()));
        Some((u32::from_le_bytes(*index) as usize, Shape { table: None, insert: texts.pop()?, make }))
    };
    let Some((index, shape)) = read().filter(|(index, _)| u16::try_from(*index).is_ok()) else {
        return false;
    };
    if shapes.len() <= index {
        shapes.resize_with(index + 1, Shape::default);
    }
    shapes[index] = shape;
    true
}
