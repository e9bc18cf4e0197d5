//! Compares a live table with the rows that are desired, whatever the size of either.

mod source;

pub use source::{Comparators, Desired, DesiredRow, Exact, Same, SourceError};
