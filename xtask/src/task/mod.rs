//! One file per task: arguments, and a `run` that parses, calls `ops` and prints. No logic lives here.

pub(crate) mod analyze;
pub(crate) mod backfill;
pub(crate) mod backup_plan;
pub(crate) mod cleanup;
mod database;
pub(crate) mod db_identity;
pub(crate) mod drain;
mod executor;
mod fresh;
pub(crate) mod gates;
pub(crate) mod health;
pub(crate) mod migrate;
pub(crate) mod pipeline;
pub(crate) mod plan;
pub(crate) mod rehearse;
pub(crate) mod rollback;
mod run;
pub(crate) mod seed_telemetry;
pub(crate) mod serve;
pub(crate) mod soak;
mod soak_run;
mod target;
pub(crate) mod upsert;
mod watched;
