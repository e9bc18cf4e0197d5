//! What is done with phases: seeding a run of them, draining those that wait, serving them to drains elsewhere.
//!
//! A workflow sees the database only through [`crate::phases::Store`] and never a driver.

pub mod drain;
pub mod seed;
pub mod serve;
