//! Runs, phases and what is done with them: seeding a run, draining its phases.
//!
//! A *run* owns *tiers*, a tier owns *phases*; a phase is one unit of work that an executor attempts. The
//! workflows (`seed`, `drain`) see the database only through the [`Store`] trait.

pub mod drain;
pub mod seed;
mod store;

pub use store::{
    AttemptRecord, Claim, Distribution, EventWrite, NewPhase, NewRun, PhaseKey, PhaseState, Scope, Selection, Store,
    StoreError, StratumCount,
};
