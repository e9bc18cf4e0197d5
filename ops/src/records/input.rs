//! The bytes of a file, decompressed, in windows: forward once with a digest of what is on disk, then anywhere.
//!
//! What cannot be read twice as it is (compressed files, pipes) is copied once into a nameless file that only
//! this process can see. Nothing here knows records.

use std::cell::Cell;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

use super::ReadError;
use crate::hash::Hasher;
use crate::long::{Behind, LongFile};

/// What is smaller than this is unpacked whatever its ratio is.
const UNPACKED_FREE: u64 = 256 * 1024 * 1024;
/// Bytes that are read at once going forward.
const CHUNK: usize = 256 * 1024;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// gzip, of one member or several.
    Gzip,
    /// Zstandard, of one frame or several.
    Zstd,
}

impl Compression {
    fn of(magic: &[u8]) -> Option<Self> {
        match magic {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// An open file.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) path: PathBuf,
    pub(super) compression: Option<Compression>,
    file: File,
    digests: Digests,
    /// Whether the digest was taken while copying, and reading forward must not take it again.
    is_copy: bool,
    /// How far it was read forward.
    behind: Behind,
}

/// Digests of what is on disk: one that others can check, and a quick one that tells whether it is still the same.
struct Digests {
    /// Only where the file is read for the first time.
    seal: Option<Hasher>,
    quick: Xxh3Default,
    bytes: u64,
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digests").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Digests {
    fn update(&mut self, bytes: &[u8]) {
        if let Some(seal) = &mut self.seal {
            seal.update(bytes);
        }
        self.quick.update(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl Input {
    /// Opens a file, and copies it into `scratch` if it cannot be read twice as it is. What is unpacked
    /// may be `ratio_max` times as large as what is on disk. It gets a SHA-256 if it `is_sealed`.
    pub(super) fn open(
        path: &Path,
        scratch: &Path,
        ratio_max: u64,
        is_sealed: bool,
    ) -> Result<Self, ReadError> {
        let fail = |source| ReadError::io("read", path, source);
        let mut file = File::open(path).map_err(fail)?;
        let mut magic = [0; 4];
        let length = read_full(&mut file, &mut magic).map_err(fail)?;
        let magic = &magic[..length];
        let compression = Compression::of(magic);
        let seal = is_sealed.then(Hasher::default);
        let digests = Digests { seal, quick: Xxh3Default::new(), bytes: 0 };
        let (path, behind) = (path.to_path_buf(), Behind::default());
        let mut input = Self { path, compression, file, digests, is_copy: false, behind };
        let is_regular = input.file.metadata().map_err(fail)?.is_file();
        if compression.is_some() || !is_regular {
            let copy = tempfile::tempfile_in(scratch)
                .map_err(|e| ReadError::io("create a temporary file in", scratch, e))?;
            input.copy_to(LongFile::new(copy), magic, scratch, ratio_max)?;
        }
        Ok(input)
    }

    fn copy_to(
        &mut self,
        mut copy: LongFile,
        magic: &[u8],
        scratch: &Path,
        ratio_max: u64,
    ) -> Result<(), ReadError> {
        let packed = Cell::new(0);
        let mut unpacked = 0;
        let source = Hashing { inner: magic.chain(&self.file), digests: &mut self.digests, bytes: &packed };
        let source = BufReader::with_capacity(CHUNK, source);
        let mut plain: Box<dyn Read + '_> = match self.compression {
            Some(Compression::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
            Some(Compression::Zstd) => Box::new(
                zstd::Decoder::with_buffer(source).map_err(|e| ReadError::io("read", &self.path, e))?,
            ),
            None => Box::new(source),
        };
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = plain.read(&mut chunk).map_err(|source| match self.compression {
                Some(_) => ReadError::Unpack { path: self.path.clone(), source },
                None => ReadError::io("read", &self.path, source),
            })?;
            if length == 0 {
                break;
            }
            unpacked += length as u64;
            let is_large = unpacked > UNPACKED_FREE && unpacked / ratio_max.max(1) > packed.get();
            if is_large && self.compression.is_some() {
                return Err(ReadError::Bomb { path: self.path.clone(), ratio: ratio_max, unpacked });
            }
            copy.write_all(&chunk[..length])
                .map_err(|e| ReadError::io("write a temporary file in", scratch, e))?;
        }
        drop(plain);
        self.file = copy.into_file();
        self.is_copy = true;
        Ok(())
    }

    /// Everything was read forward.
    pub(super) fn end(&mut self) {
        if let Some(seal) = &mut self.digests.seal {
            seal.end();
        }
    }

    /// SHA-256 and number of the bytes on disk, after the end; `None` where it is not sealed.
    pub(super) fn facts(&self) -> Option<(String, u64)> {
        self.digests.seal.as_ref().map(|seal| (seal.hex(), seal.bytes()))
    }

    /// The quick digest and number of the bytes on disk that were read.
    pub(super) fn identity(&self) -> (u128, u64) {
        (self.digests.quick.digest128(), self.digests.bytes)
    }

    fn read_at(&mut self, at: u64, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| read_full(&mut self.file, buffer));
        read.map_err(|source| ReadError::io("read", &self.path, source))
    }
}

/// Fills the buffer unless the file ends.
fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match file.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

struct Hashing<'a, R> {
    inner: R,
    digests: &'a mut Digests,
    bytes: &'a Cell<u64>,
}

impl<R: Read> Read for Hashing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        self.digests.update(&buffer[..length]);
        self.bytes.set(self.bytes.get() + length as u64);
        Ok(length)
    }
}

/// A part of the file in memory, which moves and grows.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    /// Offset in the file of `bytes[0]`.
    origin: u64,
    /// Whether the file ends where the window does.
    pub(super) is_end: bool,
    /// Whether what is read counts for the digest.
    is_forward: bool,
}

impl Window {
    /// A window that goes forward from the start; `size` bytes are read at once.
    pub(super) fn forward(size: usize) -> Self {
        Self { bytes: vec![0; size], from: 0, to: 0, origin: 0, is_end: false, is_forward: true }
    }

    /// A window that jumps; `size` bytes are read at once.
    pub(super) fn jumping(size: usize) -> Self {
        Self { bytes: vec![0; size], from: 0, to: 0, origin: 0, is_end: false, is_forward: false }
    }

    /// What is in memory and not consumed.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// Offset in the file of the rest.
    pub(super) fn at(&self) -> u64 {
        self.origin + self.from as u64
    }

    /// Leaves bytes behind.
    pub(super) fn consume(&mut self, length: usize) {
        self.from += length;
    }

    /// Continues at an offset, which costs nothing if it is in memory.
    pub(super) fn jump(&mut self, at: u64) {
        let within = at.checked_sub(self.origin).and_then(|n| usize::try_from(n).ok());
        if let Some(from) = within.filter(|from| *from <= self.to) {
            self.from = from;
        } else {
            (self.from, self.to, self.origin, self.is_end) = (0, 0, at, false);
        }
    }

    /// Reads on; a window without room gets twice as large.
    pub(super) fn fill(&mut self, input: &mut Input) -> Result<(), ReadError> {
        self.bytes.copy_within(self.from..self.to, 0);
        self.origin += self.from as u64;
        (self.from, self.to) = (0, self.to - self.from);
        if self.to == self.bytes.len() {
            self.bytes.resize(self.bytes.len() * 2, 0);
        }
        let room = &mut self.bytes[self.to..];
        let length = input.read_at(self.origin + self.to as u64, room)?;
        self.is_end = length < room.len();
        if self.is_forward && !input.is_copy {
            input.digests.update(&room[..length]);
        }
        self.to += length;
        if self.is_forward {
            input.behind.pass(&input.file, self.origin + self.from as u64);
        }
        Ok(())
    }
}
