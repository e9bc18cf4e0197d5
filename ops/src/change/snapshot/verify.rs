//! Reads a backup from its first to its last byte and says what is there.
//!
//! One thread reads, hashes and decompresses; a second one takes the lines apart into values and digests these, so
//! that what is proved is that the rows can be restored, not only that the bytes are the same.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use sha2::{Digest, Sha256};

use super::frames::{Frame, FrameReader};
use super::line::{Cell, Lines};
use super::{BackupError, Certificate, ROWS_FILE, TableDigest};
use crate::files::FileError;
use crate::ids::hex;
use crate::value::digest_row;

/// Frames that may wait to be taken apart.
const WAITING: usize = 2;

/// Reads the whole backup in a folder and compares it with its certificate.
pub fn verify(dir: &Path, stop: &AtomicBool) -> Result<Certificate, BackupError> {
    let certificate = Certificate::read(dir)?;
    let frames = certificate.index(dir)?;
    let found = read_back(&dir.join(ROWS_FILE), &frames, &Lines::whole(&certificate.table), &|| {
        stop.load(Ordering::Relaxed)
    })?;
    found.expect(&certificate.lines_sha256, &certificate.file_sha256, &certificate.rows_digest)?;
    Ok(certificate)
}

/// What is in a file of rows.
pub(super) struct Found {
    lines_sha256: String,
    file_sha256: String,
    rows_digest: String,
}

impl Found {
    pub(super) fn expect(&self, lines: &str, file: &str, rows: &str) -> Result<(), BackupError> {
        for (what, found, expected) in [
            ("SHA-256 of the file", &self.file_sha256, file),
            ("SHA-256 of the lines", &self.lines_sha256, lines),
            ("digest of the rows", &self.rows_digest, rows),
        ] {
            if found != expected {
                return Err(BackupError::Damaged(format!("the {what} is {found}, it was {expected}")));
            }
        }
        Ok(())
    }
}

/// Reads every frame; the frames must follow each other and fill the file.
pub(super) fn read_back(
    path: &Path,
    frames: &[Frame],
    lines: &Lines,
    is_stopped: &(dyn Fn() -> bool + Sync),
) -> Result<Found, BackupError> {
    let size = std::fs::metadata(path).map_err(|e| FileError::new("read", path, e))?.len();
    if frames.last().map_or(0, |f| f.offset + f.bytes) != size {
        return Err(BackupError::Damaged(format!("the file has {size} bytes, not those of its index")));
    }
    let mut reader = FrameReader::open(path, frames.to_vec())?;
    std::thread::scope(|scope| {
        let (chunks, waiting) = sync_channel(WAITING);
        let (give_back, spare) = sync_channel(WAITING + 1);
        let digests = scope.spawn(move || digest(lines, &waiting, &give_back));
        let hashes = hash(&mut reader, &chunks, &spare, is_stopped);
        drop(chunks);
        let digest = digests.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let (lines_sha256, file_sha256) = hashes?;
        Ok(Found { lines_sha256, file_sha256, rows_digest: digest?.to_string() })
    })
}

fn hash(
    reader: &mut FrameReader,
    chunks: &SyncSender<(usize, u64, Vec<u8>)>,
    spare: &Receiver<Vec<u8>>,
    is_stopped: &dyn Fn() -> bool,
) -> Result<(String, String), BackupError> {
    let (mut lines_hash, mut file_hash) = (Sha256::new(), Sha256::new());
    let (mut start, mut offset) = (0, 0);
    for number in 0..reader.frames().len() {
        if is_stopped() {
            return Err(BackupError::Stopped);
        }
        let frame = reader.frames()[number];
        if (frame.start, frame.offset) != (start, offset) {
            return Err(BackupError::Damaged(format!("frame {number} does not follow the one before it")));
        }
        (start, offset) = (start + frame.size, offset + frame.bytes);
        let mut lines = spare.try_recv().unwrap_or_default();
        file_hash.update(reader.read(number, &mut lines)?);
        lines_hash.update(&lines);
        if chunks.send((number, frame.rows, lines)).is_err() {
            break; // the other side found damage and says so
        }
    }
    Ok((hex(&lines_hash.finalize()), hex(&file_hash.finalize())))
}

fn digest(
    lines: &Lines,
    chunks: &Receiver<(usize, u64, Vec<u8>)>,
    spare: &SyncSender<Vec<u8>>,
) -> Result<TableDigest, BackupError> {
    let mut digest = TableDigest::default();
    let mut scratch = Vec::new();
    for (number, rows, chunk) in chunks {
        let damaged =
            || BackupError::Damaged(format!("frame {number} does not hold the rows that it should"));
        let text = crate::text::utf8(&chunk).map_err(|_| damaged())?;
        let before = digest.rows();
        let mut cells = Vec::new();
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', &chunk) {
            lines.cells(&text[from..end], &mut cells).ok_or_else(damaged)?;
            digest.add(digest_row(cells.iter().map(Cell::get), &mut scratch));
            from = end + 1;
        }
        if from != text.len() || digest.rows() - before != rows {
            return Err(damaged());
        }
        drop(cells);
        let _ = spare.try_send(chunk);
    }
    Ok(digest)
}
