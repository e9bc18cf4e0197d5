//! A look at a database from outside: which one it is, and complete answers to questions that cannot change it.
//!
//! A question is written once, as a table with conditions, and asked of SQLite, PostgreSQL and PostgREST alike: one snapshot
//! that can only read, or GET requests whose rows are counted before and after. An answer is complete or it is an error;
//! nothing here may turn a failed or short read into "none found". Errors hold no secrets.

mod condition;
mod look;
mod rows;

pub use condition::{Condition, Names};
pub use look::{Answers, Patience, Probe};
pub use rows::{Line, Question, Rows};
