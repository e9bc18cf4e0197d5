//! Seeding: a run of small, achievable phases whose only purpose is to collect token telemetry.
//!
//! Planning is pure: a catalogue and what is there already in, a [`NewRun`](crate::phases::NewRun) out. What the seed promises
//! (a mix of categories, complexities and deliverable counts; enough verified samples; few truncations) is
//! checked against what the database holds, never against what was planned.

mod catalogue;
mod criteria;
mod report;
mod top_up;

pub use catalogue::{CATALOGUE, Entry, SEED_RUN_ID, seed_run};
pub use criteria::criteria;
pub use report::{SeedReport, distribution_document};
pub use top_up::{Deficit, Needs, deficits, needed_run, top_up_run};
