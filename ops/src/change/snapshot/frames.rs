//! Lines in a file of independent zstd frames: written in one go, read in one go or from anywhere.
//!
//! The file is an ordinary `.zst` that `zstd -d` reads. The index says where each frame starts, so that one line
//! costs one frame. Compressing and hashing happen on a thread of their own while the caller makes the next lines.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::BackupError;
use crate::files::FileError;
use crate::ids::hex;

/// Bytes of lines after which a frame ends.
const FRAME_BYTES: usize = 512 << 10;
/// Frames that may wait for the compressor.
const WAITING: usize = 2;
/// The fastest level that still halves what rows usually hold.
const LEVEL: i32 = 1;

/// Where a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frame {
    /// Offset of its first byte among the uncompressed lines.
    pub(crate) start: u64,
    /// Uncompressed bytes.
    pub(crate) size: u64,
    /// Lines.
    pub(crate) rows: u64,
    /// Offset in the file.
    pub(crate) offset: u64,
    /// Bytes in the file.
    pub(crate) bytes: u64,
}

/// What a finished file of frames holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) frames: Vec<Frame>,
    /// SHA-256 of the uncompressed lines.
    pub(crate) lines_sha256: String,
    /// SHA-256 of the file.
    pub(crate) file_sha256: String,
}

impl Contents {
    /// Uncompressed bytes.
    pub(crate) fn lines_bytes(&self) -> u64 {
        self.frames.last().map_or(0, |f| f.start + f.size)
    }

    /// Bytes of the file.
    pub(crate) fn file_bytes(&self) -> u64 {
        self.frames.last().map_or(0, |f| f.offset + f.bytes)
    }
}

struct Chunk {
    lines: Vec<u8>,
    rows: u64,
}

/// Writes frames.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    path: PathBuf,
    lines: Vec<u8>,
    rows: u64,
    start: u64,
    spare: Receiver<Vec<u8>>,
    /// Where chunks go, until the compressor ended.
    compressor: Option<(SyncSender<Chunk>, JoinHandle<io::Result<Contents>>)>,
}

impl FrameWriter {
    /// Creates the file, which must not exist.
    pub(crate) fn create(path: &Path) -> Result<Self, BackupError> {
        let file = File::create_new(path).map_err(|e| FileError::new("create", path, e))?;
        Ok(Self::start(path, file))
    }

    fn start(path: &Path, file: File) -> Self {
        let (chunks, waiting) = sync_channel(WAITING);
        let (give_back, spare) = sync_channel(WAITING + 1);
        let thread = std::thread::spawn(move || compress(file, &waiting, &give_back));
        let compressor = Some((chunks, thread));
        Self { path: path.to_owned(), lines: Vec::new(), rows: 0, start: 0, spare, compressor }
    }

    /// Appends one line that `write` makes, with its line feed; gives back where it starts.
    pub(crate) fn line(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Result<u64, BackupError> {
        if self.lines.len() >= FRAME_BYTES {
            self.flush()?;
        }
        let at = self.start + self.lines.len() as u64;
        write(&mut self.lines);
        self.rows += 1;
        Ok(at)
    }

    fn flush(&mut self) -> Result<(), BackupError> {
        let spare = self.spare.try_recv().unwrap_or_default();
        let lines = std::mem::replace(&mut self.lines, spare);
        self.start += lines.len() as u64;
        let chunk = Chunk { lines, rows: std::mem::take(&mut self.rows) };
        let is_taken = self.compressor.as_ref().is_some_and(|(chunks, _)| chunks.send(chunk).is_ok());
        if is_taken { Ok(()) } else { self.end().map(drop) }
    }

    /// Waits for the compressor, and says how it ended.
    fn end(&mut self) -> Result<Contents, BackupError> {
        let failed = |e| FileError::new("write", &self.path, e);
        let gone = || failed(io::ErrorKind::BrokenPipe.into());
        let (chunks, thread) = self.compressor.take().ok_or_else(gone)?;
        drop(chunks);
        let contents = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(contents.map_err(failed)?)
    }

    /// Writes what is left and flushes the file to disk.
    pub(crate) fn finish(mut self) -> Result<Contents, BackupError> {
        if self.rows > 0 {
            self.flush()?;
        }
        self.end()
    }
}

fn compress(mut file: File, chunks: &Receiver<Chunk>, spare: &SyncSender<Vec<u8>>) -> io::Result<Contents> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    compressor.set_parameter(zstd::zstd_safe::CParameter::ChecksumFlag(true))?;
    let (mut lines_hash, mut file_hash) = (Sha256::new(), Sha256::new());
    let mut frames: Vec<Frame> = Vec::new();
    let (mut start, mut offset) = (0, 0);
    let mut frame = Vec::new();
    for Chunk { mut lines, rows } in chunks {
        frame.clear();
        frame.reserve(zstd::zstd_safe::compress_bound(lines.len()));
        compressor.compress_to_buffer(&lines, &mut frame)?;
        lines_hash.update(&lines);
        file_hash.update(&frame);
        file.write_all(&frame)?;
        let (size, bytes) = (lines.len() as u64, frame.len() as u64);
        frames.push(Frame { start, size, rows, offset, bytes });
        (start, offset) = (start + size, offset + bytes);
        lines.clear();
        let _ = spare.try_send(lines);
    }
    file.sync_all()?;
    let (lines_sha256, file_sha256) = (hex(&lines_hash.finalize()), hex(&file_hash.finalize()));
    Ok(Contents { frames, lines_sha256, file_sha256 })
}

/// Reads frames, any of them or all in order.
pub(crate) struct FrameReader {
    path: PathBuf,
    file: File,
    frames: Vec<Frame>,
    decompressor: zstd::bulk::Decompressor<'static>,
    compressed: Vec<u8>,
}

impl std::fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl FrameReader {
    /// Opens a file whose index is `frames`.
    pub(crate) fn open(path: &Path, frames: Vec<Frame>) -> Result<Self, BackupError> {
        let failed = |e| FileError::new("open", path, e);
        let file = File::open(path).map_err(failed)?;
        let decompressor = zstd::bulk::Decompressor::new().map_err(failed)?;
        Ok(Self { path: path.to_owned(), file, frames, decompressor, compressed: Vec::new() })
    }

    pub(crate) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Which frame holds the line that starts at `at`.
    pub(crate) fn frame_of(&self, at: u64) -> Option<usize> {
        let after = self.frames.partition_point(|f| f.start <= at);
        let number = after.checked_sub(1)?;
        (at < self.frames[number].start + self.frames[number].size).then_some(number)
    }

    /// Reads one frame into `lines`, and gives back its bytes as they are in the file.
    pub(crate) fn read(&mut self, number: usize, lines: &mut Vec<u8>) -> Result<&[u8], BackupError> {
        let frame = self.frames[number];
        let failed = |e| FileError::new("read", &self.path, e);
        let damaged = || BackupError::Damaged(format!("frame {number} is not what the index says"));
        let size = usize::try_from(frame.size).map_err(|_| damaged())?;
        self.file.seek(SeekFrom::Start(frame.offset)).map_err(failed)?;
        self.compressed.clear();
        let read = (&mut self.file).take(frame.bytes).read_to_end(&mut self.compressed).map_err(failed)?;
        if read as u64 != frame.bytes {
            return Err(BackupError::Damaged(format!("the file ends within frame {number}")));
        }
        lines.clear();
        lines.reserve(size);
        let size = self.decompressor.decompress_to_buffer(&self.compressed, lines);
        if size.is_ok_and(|size| size as u64 == frame.size) { Ok(&self.compressed) } else { Err(damaged()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_independent_and_any_zstd_reads_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.zst");
        let mut writer = FrameWriter::create(&path).unwrap();
        let line = |i: u32| format!("{i} {}\n", "x".repeat(i as usize % 3000));
        let places: Vec<u64> =
            (0..2000).map(|i| writer.line(|out| out.extend(line(i).bytes())).unwrap()).collect();
        let contents = writer.finish().unwrap();
        assert!(contents.frames.len() > 3, "{}", contents.frames.len());

        let whole = zstd::decode_all(File::open(&path).unwrap()).unwrap();
        let expected: String = (0..2000).map(line).collect();
        assert_eq!(whole, expected.as_bytes());
        assert_eq!(contents.lines_sha256, crate::ids::sha256(&whole));
        assert_eq!(contents.file_sha256, crate::ids::sha256(&std::fs::read(&path).unwrap()));

        let mut reader = FrameReader::open(&path, contents.frames.clone()).unwrap();
        let mut lines = Vec::new();
        for (i, at) in (0..2000).zip(places).step_by(97) {
            let number = reader.frame_of(at).unwrap();
            reader.read(number, &mut lines).unwrap();
            let from = usize::try_from(at - reader.frames()[number].start).unwrap();
            assert!(lines[from..].starts_with(line(i).as_bytes()));
        }
        assert_eq!(reader.frame_of(contents.lines_bytes()), None);
    }

    #[test]
    fn the_reason_why_a_file_cannot_be_written_is_given() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.zst");
        File::create(&path).unwrap();
        let read_only = || FrameWriter::start(&path, File::open(&path).unwrap());
        let line = |writer: &mut FrameWriter| writer.line(|out| out.resize(FRAME_BYTES, b'x'));

        let mut writer = read_only();
        let errors: Vec<BackupError> = (0..20).filter_map(|_| line(&mut writer).err()).collect();
        let reason = |error: &BackupError| std::error::Error::source(error).unwrap().to_string();
        assert!(errors[0].to_string().contains("rows.zst"), "{}", errors[0]);
        assert!(reason(&errors[0]).contains("os error"), "{}", reason(&errors[0]));
        assert!(errors.len() > 1 && writer.finish().is_err());

        let mut writer = read_only();
        line(&mut writer).unwrap();
        assert!(reason(&writer.finish().unwrap_err()).contains("os error"));
    }

    #[test]
    fn an_existing_file_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("rows.zst");
        FrameWriter::create(&path).unwrap().finish().unwrap();
        let error = FrameWriter::create(&path).unwrap_err();
        assert!(error.to_string().contains("create"), "{error}");
    }
}
