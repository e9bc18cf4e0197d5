//! Parquet: optional columns of five types, plain values in zstd pages, one page for each column of a row group.
//!
//! Written by hand because the little that is needed of the format is smaller than what the crates for it bring. Other
//! programs read the result in `tests/export.rs`.

mod footer;
mod thrift;

use std::io::Write;

use super::shape::{Shape, Type, shapes};
use super::{ExportError, Rows, Written};
use crate::ids::hex;
use crate::value::ValueRef;
use footer::{Chunk, Group};

/// What the file begins and ends with.
const MAGIC: &[u8; 4] = b"PAR1";
/// A row group ends after so many rows.
const GROUP_ROWS: u64 = 1 << 17;
/// Or after so many bytes of values, which bounds the memory that writing takes.
const GROUP_BYTES: usize = 64 << 20;
/// Higher levels cost more time than they save.
const LEVEL: i32 = 3;

/// The values of one column of a row group, as a page holds them.
struct Buffer {
    name: String,
    kind: Type,
    /// Which of the rows have a value.
    present: Vec<bool>,
    values: Vec<u8>,
    /// Truth values that do not fill a byte yet.
    bits: u8,
    bit_count: u8,
}

/// Reads the rows twice: once for the types, once to write them.
pub(super) fn write(rows: &mut dyn Rows, out: &mut dyn Write) -> Result<Written, ExportError> {
    let (shapes, expected) = shapes(rows)?;
    let mut file = Counting { out, written: 0 };
    file.write_all(MAGIC)?;
    let mut buffers: Vec<Buffer> = shapes.iter().flat_map(buffers_of).collect();
    let mut groups = Vec::new();
    let (mut count, mut in_group) = (0, 0);
    rows.read(&mut |values| {
        count += 1;
        in_group += 1;
        let mut at = 0;
        for (shape, value) in shapes.iter().zip(values) {
            let is_typed = buffers[at].push(*value);
            at += 1;
            if shape.raw.is_some() {
                buffers[at].push_raw(if is_typed { ValueRef::Null } else { *value });
                at += 1;
            }
        }
        let bytes: usize = if in_group % 256 == 0 { buffers.iter().map(|b| b.values.len()).sum() } else { 0 };
        if in_group == GROUP_ROWS || bytes >= GROUP_BYTES {
            groups.push(group(&mut buffers, in_group, &mut file)?);
            in_group = 0;
        }
        Ok(())
    })?;
    if in_group > 0 {
        groups.push(group(&mut buffers, in_group, &mut file)?);
    }
    if count != expected {
        return Err(ExportError::Changed(expected, count));
    }
    let columns: Vec<(&str, Type)> =
        buffers.iter().map(|buffer| (buffer.name.as_str(), buffer.kind)).collect();
    let footer = footer::metadata(&columns, count, &groups);
    file.write_all(&footer)?;
    file.write_all(&u32::try_from(footer.len()).unwrap_or(u32::MAX).to_le_bytes())?;
    file.write_all(MAGIC)?;
    let mixed = shapes.iter().filter_map(Shape::mixed).collect();
    Ok(Written { rows: count, columns: shapes.len() as u64, mixed })
}

fn buffers_of(shape: &Shape) -> Vec<Buffer> {
    let buffer = |name: &str, kind| Buffer {
        name: name.to_owned(),
        kind,
        present: Vec::new(),
        values: Vec::new(),
        bits: 0,
        bit_count: 0,
    };
    let raw = shape.raw.as_ref().map(|name| buffer(name, Type::Text));
    [buffer(&shape.name, shape.kind)].into_iter().chain(raw).collect()
}

impl Buffer {
    /// Adds a value; `false` when it is of another type, which leaves a gap.
    fn push(&mut self, value: ValueRef<'_>) -> bool {
        let fits = match (self.kind, value) {
            (_, ValueRef::Null) => {
                self.present.push(false);
                return true;
            }
            (Type::Bool, ValueRef::Bool(b)) => self.push_bit(b),
            (Type::Bool, ValueRef::Int(n)) => self.push_bit(n != 0),
            (Type::Int, ValueRef::Int(n)) => self.push_bytes(&n.to_le_bytes()),
            (Type::Real, ValueRef::Real(x)) => self.push_bytes(&x.to_le_bytes()),
            (Type::Real, ValueRef::Int(n)) => self.push_bytes(&(n as f64).to_le_bytes()),
            (Type::Text, ValueRef::Text(text) | ValueRef::Number(text) | ValueRef::Json(text)) => {
                self.push_text(text.as_bytes())
            }
            (Type::Bytes, ValueRef::Bytes(bytes)) => self.push_text(bytes),
            _ => false,
        };
        self.present.push(fits);
        fits
    }

    /// Adds a value of any type as text.
    fn push_raw(&mut self, value: ValueRef<'_>) {
        let text = match value {
            ValueRef::Bool(b) => b.to_string(),
            ValueRef::Int(n) => n.to_string(),
            ValueRef::Real(x) => format!("{x:?}"),
            ValueRef::Bytes(bytes) => format!("\\x{}", hex(bytes)),
            other => {
                self.push(other);
                return;
            }
        };
        self.push(ValueRef::Text(&text));
    }

    fn push_bytes(&mut self, bytes: &[u8]) -> bool {
        self.values.extend_from_slice(bytes);
        true
    }

    /// Text and bytes have their length before them; what is longer than that can say does not fit.
    fn push_text(&mut self, bytes: &[u8]) -> bool {
        let Ok(length) = u32::try_from(bytes.len()) else { return false };
        self.push_bytes(&length.to_le_bytes()) && self.push_bytes(bytes)
    }

    fn push_bit(&mut self, bit: bool) -> bool {
        self.bits |= u8::from(bit) << self.bit_count;
        self.bit_count += 1;
        if self.bit_count == 8 {
            self.flush_bits();
        }
        true
    }

    fn flush_bits(&mut self) {
        if self.bit_count > 0 {
            self.values.push(self.bits);
            (self.bits, self.bit_count) = (0, 0);
        }
    }

    /// The page: which rows have a value, then the values.
    fn page(&mut self) -> Vec<u8> {
        self.flush_bits();
        let levels = levels(&self.present);
        let mut page = Vec::with_capacity(4 + levels.len() + self.values.len());
        page.extend_from_slice(&u32::try_from(levels.len()).unwrap_or(u32::MAX).to_le_bytes());
        page.extend_from_slice(&levels);
        page.extend_from_slice(&self.values);
        page
    }

    fn clear(&mut self) {
        self.present.clear();
        self.values.clear();
    }
}

/// Which rows have a value, in the hybrid of runs and packed bits: one run when all are alike, else packed.
fn levels(present: &[bool]) -> Vec<u8> {
    let mut out = Vec::new();
    let count = present.len() as u64;
    if let Some(first) = present.first().filter(|first| present.iter().all(|p| p == *first)) {
        thrift::varint(count << 1, &mut out);
        out.push(u8::from(*first));
        return out;
    }
    thrift::varint((count.div_ceil(8) << 1) | 1, &mut out);
    let byte = |eight: &[bool]| eight.iter().enumerate().fold(0, |byte, (i, p)| byte | (u8::from(*p) << i));
    out.extend(present.chunks(8).map(byte));
    out
}

/// Writes the columns of a row group and empties the buffers.
fn group(buffers: &mut [Buffer], rows: u64, file: &mut Counting<'_>) -> Result<Group, ExportError> {
    let mut chunks = Vec::new();
    for buffer in buffers {
        let page = buffer.page();
        let packed = zstd::bulk::compress(&page, LEVEL)?;
        let header = footer::page_header(page.len(), packed.len(), rows);
        let offset = file.written;
        file.write_all(&header)?;
        file.write_all(&packed)?;
        let nulls = buffer.present.iter().filter(|present| !**present).count() as u64;
        chunks.push(Chunk {
            offset,
            raw_size: (header.len() + page.len()) as u64,
            size: (header.len() + packed.len()) as u64,
            nulls,
        });
        buffer.clear();
    }
    Ok(Group { rows, chunks })
}

/// Counts bytes, because the footer says where each column begins.
struct Counting<'a> {
    out: &'a mut dyn Write,
    written: u64,
}

impl Counting<'_> {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.out.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}
