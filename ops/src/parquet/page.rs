//! Pages: their headers, and their bytes unpacked.

use std::io::{Read, Seek, SeekFrom};

use super::encoding::PADDING;
use super::footer::Chunk;
use super::thrift::{Broken, Reader};
use super::{Codec, Fault, ParquetError};

/// A larger page is not unpacked.
pub(super) const PAGE_BYTES_MAX: u64 = 256 << 20;
/// Headers are mostly shorter; a longer one is read again.
const HEADER_GUESS: u64 = 512;

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Data {
        values: u64,
        encoding: i64,
        levels: i64,
    },
    /// With levels beside the values, never compressed.
    Data2 {
        values: u64,
        encoding: i64,
        levels: u64,
        repetition: u64,
        compressed: bool,
    },
    Dictionary {
        values: u64,
        encoding: i64,
    },
    /// What readers may pass over.
    Other,
}

#[derive(Debug)]
struct Header {
    raw: u64,
    packed: u64,
    content: Content,
}

/// What unpacks pages, kept from one to the next.
#[derive(Default)]
pub(super) struct Unpacker {
    zstd: Option<zstd::bulk::Decompressor<'static>>,
    snappy: snap::raw::Decoder,
    packed: Vec<u8>,
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

/// Reads one page at `at` of a chunk into `page`, with padding behind it: what it holds, its length, and where the next begins.
pub(super) fn read(
    source: &mut (impl Read + Seek),
    chunk: &Chunk,
    at: u64,
    unpacker: &mut Unpacker,
    page: &mut Vec<u8>,
) -> Result<(Content, usize, u64), PageError> {
    let (header, from) = header(source, chunk, at, unpacker)?;
    let next = from.checked_add(header.packed).filter(|next| *next <= chunk.to).ok_or(Fault::Damaged)?;
    if header.raw.max(header.packed) > PAGE_BYTES_MAX {
        return Err(Fault::Large.into());
    }
    if header.content == Content::Other {
        return Ok((header.content, 0, next));
    }
    read_at(source, from, header.packed, &mut unpacker.packed)?;
    let raw = usize::try_from(header.raw).map_err(|_| Fault::Large)?;
    // What was there is written over; only what is new is cleared.
    page.resize(raw + PADDING, 0);
    let plain = match header.content {
        Content::Data2 { levels, repetition, compressed, .. } => {
            let plain = usize::try_from(levels.saturating_add(repetition)).map_err(|_| Fault::Damaged)?;
            if plain > raw || plain > unpacker.packed.len() {
                return Err(Fault::Damaged.into());
            }
            page[..plain].copy_from_slice(&unpacker.packed[..plain]);
            if !compressed {
                unpacker.unpack(Codec::None, plain, &mut page[plain..raw])?;
                return Ok((header.content, raw, next));
            }
            plain
        }
        _ => 0,
    };
    unpacker.unpack(chunk.codec, plain, &mut page[plain..raw])?;
    Ok((header.content, raw, next))
}

/// Why there is no page.
#[derive(Debug)]
pub(super) enum PageError {
    Fault(Fault),
    Read(std::io::Error),
}

impl From<Fault> for PageError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<std::io::Error> for PageError {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

impl PageError {
    /// The error of the column.
    pub(super) fn of(self, column: &str) -> ParquetError {
        match self {
            Self::Fault(what) => ParquetError::Column { column: column.to_owned(), what },
            Self::Read(error) => ParquetError::Read(error),
        }
    }
}

fn read_at(
    source: &mut (impl Read + Seek),
    at: u64,
    length: u64,
    out: &mut Vec<u8>,
) -> Result<(), PageError> {
    source.seek(SeekFrom::Start(at))?;
    let length = usize::try_from(length).map_err(|_| Fault::Large)?;
    out.resize(length, 0);
    source.read_exact(out)?;
    Ok(())
}

/// The header at `at`, and where its page begins. Statistics may make a header long, so what ends too early is read again.
fn header(
    source: &mut (impl Read + Seek),
    chunk: &Chunk,
    at: u64,
    unpacker: &mut Unpacker,
) -> Result<(Header, u64), PageError> {
    let mut length = HEADER_GUESS;
    loop {
        let there = length.min(chunk.to.saturating_sub(at));
        read_at(source, at, there, &mut unpacker.packed)?;
        let mut reader = Reader::new(&unpacker.packed);
        match Header::read(&mut reader) {
            Ok(header) => return Ok((header, at + reader.position() as u64)),
            Err(Broken::Short) if there == length && length < PAGE_BYTES_MAX => length *= 8,
            Err(_) => return Err(Fault::Damaged.into()),
        }
    }
}

impl Header {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Broken> {
        let (mut raw, mut packed, mut content) = (None, None, Content::Other);
        reader.fields(|id, kind, reader| match id {
            2 => reader.count(kind).map(|n| raw = Some(n)),
            3 => reader.count(kind).map(|n| packed = Some(n)),
            5 => {
                let (mut values, mut encoding, mut levels) = (0, -1, -1);
                reader.nested(kind, |id, kind, reader| match id {
                    1 => reader.count(kind).map(|n| values = n),
                    2 => reader.int(kind).map(|n| encoding = n),
                    3 => reader.int(kind).map(|n| levels = n),
                    _ => reader.skip(kind),
                })?;
                content = Content::Data { values, encoding, levels };
                Ok(())
            }
            7 => {
                let (mut values, mut encoding) = (0, -1);
                reader.nested(kind, |id, kind, reader| match id {
                    1 => reader.count(kind).map(|n| values = n),
                    2 => reader.int(kind).map(|n| encoding = n),
                    _ => reader.skip(kind),
                })?;
                content = Content::Dictionary { values, encoding };
                Ok(())
            }
            8 => {
                let (mut values, mut encoding, mut levels, mut repetition) = (0, -1, 0, 0);
                let mut compressed = true;
                reader.nested(kind, |id, kind, reader| match id {
                    1 => reader.count(kind).map(|n| values = n),
                    4 => reader.int(kind).map(|n| encoding = n),
                    5 => reader.count(kind).map(|n| levels = n),
                    6 => reader.count(kind).map(|n| repetition = n),
                    7 => Reader::flag(kind).map(|flag| compressed = flag),
                    _ => reader.skip(kind),
                })?;
                content = Content::Data2 { values, encoding, levels, repetition, compressed };
                Ok(())
            }
            _ => reader.skip(kind),
        })?;
        let (raw, packed) = raw.zip(packed).ok_or(Broken::Wrong)?;
        Ok(Self { raw, packed, content })
    }
}

impl Unpacker {
    /// Unpacks what was read, from `from`, so that it fills `out`.
    fn unpack(&mut self, codec: Codec, from: usize, out: &mut [u8]) -> Result<(), Fault> {
        let packed = &self.packed[from..];
        let length = match codec {
            Codec::None => {
                if packed.len() == out.len() {
                    out.copy_from_slice(packed);
                }
                packed.len()
            }
            // Of nothing there may be nothing to unpack.
            _ if out.is_empty() => 0,
            Codec::Snappy => {
                let length = snap::raw::decompress_len(packed).map_err(|_| Fault::Damaged)?;
                if length == out.len() {
                    self.snappy.decompress(packed, out).map_err(|_| Fault::Damaged)?;
                }
                length
            }
            Codec::Gzip => {
                let mut decoder = flate2::read::MultiGzDecoder::new(packed);
                decoder.read_exact(out).map_err(|_| Fault::Damaged)?;
                let is_over = decoder.read(&mut [0]).is_ok_and(|n| n == 0);
                if is_over { out.len() } else { usize::MAX }
            }
            Codec::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = Some(zstd::bulk::Decompressor::new().map_err(|_| Fault::Damaged)?);
                }
                let zstd = self.zstd.as_mut().ok_or(Fault::Damaged)?;
                zstd.decompress_to_buffer(packed, out).map_err(|_| Fault::Damaged)?
            }
            Codec::Other(name) => return Err(Fault::Codec(name)),
        };
        if length == out.len() { Ok(()) } else { Err(Fault::Damaged) }
    }
}
