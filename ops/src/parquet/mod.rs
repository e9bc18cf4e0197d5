//! Parquet read: columns of values, a few thousand rows at a time, in memory that the size of a page bounds.
//!
//! Only the columns that are asked for are read, and each thread may read other row groups of one file. Values come as they
//! are stored. Whatever a file says, reading it ends in values or in an error that names the column; nothing is made up for
//! what is not understood. Nested columns, `DELTA_BYTE_ARRAY`, and compression with LZ4, LZO and Brotli are not read.
//! `ops::export` writes.

mod cursor;
mod encoding;
mod footer;
mod page;
mod thrift;

use std::io;

pub use cursor::{Cell, Rows};
pub use footer::Layout;

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Whether a row may have no value.
    pub(self) optional: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Truth values.
    Flag,
    /// Whole numbers.
    Int {
        /// Bytes of each.
        bytes: u8,
        /// Whether they have no sign.
        unsigned: bool,
    },
    /// Floating-point numbers.
    Real {
        /// Bytes of each.
        bytes: u8,
    },
    /// Points in time, counted from 1970.
    Time {
        /// How many of its units a second has.
        per_second: i64,
    },
    /// Texts.
    Text,
    /// What is not read, in words.
    Other(&'static str),
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    None,
    Snappy,
    Gzip,
    Zstd,
    Other(&'static str),
}

impl Codec {
    fn of(number: i64) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Snappy,
            2 => Self::Gzip,
            3 => Self::Other("LZO"),
            4 => Self::Other("Brotli"),
            5 | 7 => Self::Other("LZ4"),
            6 => Self::Zstd,
            _ => Self::Other("an unknown method"),
        }
    }
}

/// Why a file cannot be read. Values are not repeated.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    /// The file could not be read.
    #[error("the file cannot be read")]
    Read(#[from] io::Error),
    /// It is something else.
    #[error("this is not a Parquet file")]
    NotParquet,
    /// It begins as one.
    #[error("this Parquet file is cut: its end is missing")]
    Cut,
    /// Its metadata is encrypted.
    #[error("this Parquet file is encrypted")]
    Encrypted,
    /// Its metadata cannot be understood.
    #[error("the footer of this Parquet file is damaged")]
    Footer,
    /// A part of a column cannot be where it is said to be.
    #[error("column `{column}` of row group {group} {what}")]
    Chunk {
        /// The column.
        column: String,
        /// The row group, from 1.
        group: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A column cannot be decoded.
    #[error("column `{column}` cannot be read: {what}")]
    Column {
        /// The column.
        column: String,
        /// Why.
        what: Fault,
    },
}

/// What is wrong with a column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its bytes are not what its type and encoding say.
    #[error("a page is damaged")]
    Damaged,
    /// Its pages do not add up to the rows of their group.
    #[error("a row group has other values than rows")]
    Rows,
    /// A page is larger than this reader takes.
    #[error("a page is larger than {} MiB", page::PAGE_BYTES_MAX >> 20)]
    Large,
    /// Its encoding is not read.
    #[error("its encoding {0} is not supported")]
    Encoding(&'static str),
    /// Its compression is not read.
    #[error("it is compressed with {0}, which is not supported: write it with zstd, Snappy or gzip")]
    Codec(&'static str),
    /// Its type is not read.
    #[error("it is {0}, which is not supported")]
    Kind(&'static str),
}
