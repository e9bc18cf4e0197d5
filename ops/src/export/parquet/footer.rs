//! The metadata of Parquet: what a reader needs to find and decode the pages.

use super::thrift::Struct;
use crate::export::shape::Type;

/// Numbers that the format gives to what is used of it.
const OPTIONAL: u64 = 1;
const UTF8: u64 = 0;
const PLAIN: u64 = 0;
const RLE: u64 = 3;
const ZSTD: u64 = 6;
const DATA_PAGE: u64 = 0;
/// The version whose features are used.
const VERSION: u64 = 1;
/// Field numbers of the types that texts are marked with: the older and the newer way.
const CONVERTED: u8 = 6;
const LOGICAL: u8 = 10;

/// One column of a row group.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Where its page begins in the file.
    pub(super) offset: u64,
    /// Bytes of its page with the header, before compression.
    pub(super) raw_size: u64,
    /// Bytes of its page with the header, in the file.
    pub(super) size: u64,
    /// How many rows have no value.
    pub(super) nulls: u64,
}

/// A row group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) rows: u64,
    pub(super) chunks: Vec<Chunk>,
}

fn physical(kind: Type) -> u64 {
    match kind {
        Type::Bool => 0,
        Type::Int => 2,
        Type::Real => 5,
        Type::Text | Type::Bytes => 6,
    }
}

/// The header of a page of `rows` rows.
pub(super) fn page_header(raw: usize, packed: usize, rows: u64) -> Vec<u8> {
    let data = Struct::default().i32(1, rows).i32(2, PLAIN).i32(3, RLE).i32(4, RLE);
    Struct::default().i32(1, DATA_PAGE).i32(2, raw as u64).i32(3, packed as u64).nested(5, data).finish()
}

/// The metadata of the file.
pub(super) fn metadata(columns: &[(&str, Type)], rows: u64, groups: &[Group]) -> Vec<u8> {
    let root = Struct::default().text(4, "schema").i32(5, columns.len() as u64);
    let schema = [root].into_iter().chain(columns.iter().map(|(name, kind)| element(name, *kind))).collect();
    let groups = groups.iter().map(|group| row_group(columns, group)).collect();
    Struct::default()
        .i32(1, VERSION)
        .structs(2, schema)
        .i64(3, rows)
        .structs(4, groups)
        .text(6, concat!("ops ", env!("CARGO_PKG_VERSION")))
        .finish()
}

fn element(name: &str, kind: Type) -> Struct {
    let element = Struct::default().i32(1, physical(kind)).i32(3, OPTIONAL).text(4, name);
    if kind != Type::Text {
        return element;
    }
    let text = Struct::default().nested(1, Struct::default());
    element.i32(CONVERTED, UTF8).nested(LOGICAL, text)
}

fn row_group(columns: &[(&str, Type)], group: &Group) -> Struct {
    let chunk = |((name, kind), chunk): (&(&str, Type), &Chunk)| {
        let metadata = Struct::default()
            .i32(1, physical(*kind))
            .numbers(2, &[PLAIN, RLE])
            .texts(3, &[name])
            .i32(4, ZSTD)
            .i64(5, group.rows)
            .i64(6, chunk.raw_size)
            .i64(7, chunk.size)
            .i64(9, chunk.offset)
            .nested(12, Struct::default().i64(3, chunk.nulls));
        Struct::default().i64(2, chunk.offset).nested(3, metadata)
    };
    let size = group.chunks.iter().map(|chunk| chunk.raw_size).sum();
    let chunks = columns.iter().zip(&group.chunks).map(chunk).collect();
    Struct::default().structs(1, chunks).i64(2, size).i64(3, group.rows)
}
