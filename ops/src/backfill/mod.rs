//! Backfill: computing what rows lack, one candidate at a time, slowly, and so that it can be taken back.
//!
//! A plan freezes which rows lack a result, and what will be done to each. A run takes one candidate after the other: it
//! writes down the rows that it may touch, does the steps, reads back, and believes only what it reads. Every operation is
//! on disk before the next one, so that a killed run can be resumed, and everything that it changed can be restored,
//! at any moment. What an edge function answers decides nothing by itself.

pub mod artifacts;
mod flight;
pub mod gate;
mod image;
mod journal;
pub mod plan;
mod pool;
pub mod predicate;
mod rate;
pub mod report;
pub mod rollback;
pub mod run;
mod script;
mod seed;
pub mod seed_plan;
pub mod select;
pub mod settings;
mod undo;

pub use journal::Ended;

use crate::change::error::RunError;

/// Why a backfill could not be planned, run or taken back; the errors of [`crate::change`], because the rules are.
pub type BackfillError = RunError;
