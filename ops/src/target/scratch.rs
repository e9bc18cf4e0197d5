//! A private copy of one table, on which changes can be tried: made, filled, opened as a target, and removed again.
//!
//! The rows come from the caller, never from the original; only what the table looks like is read there. A copy is
//! named after its plan, so that one that a killed process left behind is found, and replaced, by the next.

use super::schema::TableName;
use super::{Target, TargetError};
use crate::value::Row;

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// What of the original it lacks, or has otherwise, in sentences for people.
    pub lacks: Vec<String>,
}

/// The copy of a table.
pub trait Scratch: Send {
    /// Where it is, without secrets.
    fn place(&self) -> String;

    /// The table's name there.
    fn table(&self) -> TableName;

    /// Removes what an earlier process left, and makes the table without rows.
    fn create(&mut self) -> Result<(), TargetError>;

    /// Adds rows: a value for each column in the order of the table, of which computed ones are passed over.
    fn load(&mut self, rows: &[Row]) -> Result<(), TargetError>;

    /// Ends the loading: makes what acts when rows change, and was not to act on rows that were loaded.
    fn finish(&mut self) -> Result<Made, TargetError>;

    /// Opens the copy, which is finished. Can be asked again and again, and by another process than made it.
    fn open(&self) -> Result<Box<dyn Target>, TargetError>;

    /// Removes the books of runs, so that the same plan can be applied again.
    fn forget(&mut self) -> Result<(), TargetError>;

    /// Removes everything. What is not there is no error.
    fn remove(&mut self) -> Result<(), TargetError>;
}
