//! One number for the contents of a table, whatever the order of its rows.

use std::fmt;

use crate::value::{Digest128, ValueRef, digest_row};

/// The digest of a set of rows: how many there are, and the sum modulo 2^128 of their digests, each being
/// [`digest_row`] over all columns in the order of the table.
///
/// A sum and not an exclusive or, so that two equal rows do not cancel out. Equal tables have equal digests; it
/// finds differences, and is no proof against somebody who wants a collision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableDigest {
    rows: u64,
    sum: u128,
}

impl TableDigest {
    /// Adds one row by its digest.
    pub fn add(&mut self, row: Digest128) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(row);
    }

    /// Adds one row by its values: all columns in the order of the table. `scratch` is reused from row to row.
    pub fn add_row(&mut self, row: &[ValueRef<'_>], scratch: &mut Vec<u8>) {
        self.add(digest_row(row.iter().copied(), scratch));
    }

    /// Takes one row away that was added.
    pub fn remove(&mut self, row: Digest128) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(row);
    }

    /// Rows that were added.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl fmt::Display for TableDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:032x}", self.rows, self.sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_equal_rows_do_not_cancel() {
        let digest = |rows: &[i64]| {
            let mut digest = TableDigest::default();
            for n in rows {
                digest.add_row(&[ValueRef::Int(*n)], &mut Vec::new());
            }
            digest
        };
        assert_eq!(digest(&[1, 2, 3]), digest(&[3, 1, 2]));
        assert_ne!(digest(&[1, 2, 2]), digest(&[1, 3, 3]));
        assert_ne!(digest(&[1]), digest(&[2]));
        assert_eq!(digest(&[]).to_string(), format!("0-{}", "0".repeat(32)));
    }
}
