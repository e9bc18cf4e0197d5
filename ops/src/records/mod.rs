//! Rows from files, whatever the format: one record at a time, with the place it came from.
//!
//! A reader gives fields as they stand in the file and guesses no types; what a field means for a column is
//! decided where the column is known. Memory does not grow with the file.

/// One field as it stands in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field<'a> {
    /// One JSON value as it is spelled, without blanks around it.
    Json(&'a str),
    /// One CSV or TSV cell, unquoted.
    Cell(&'a str),
}
