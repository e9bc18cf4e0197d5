//! What is done with phases: seeding a run of them, draining those that wait.
//!
//! A workflow sees the database only through [`crate::phases::Store`] and never a driver.

pub mod drain;
pub mod seed;
