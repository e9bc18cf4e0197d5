//! Output tokens: what a phase was predicted to write, what it wrote, and how far apart the two are.
//!
//! Everything here is pure: no database, no files, no clock. Readers hand events in; reports come out.

pub mod analysis;
pub mod calibration;
pub mod canonical;
pub mod columns;
mod document;
pub mod estimator;
pub mod event;
pub mod input;
pub mod logs;
pub mod metrics;
pub mod ndjson;
mod prometheus;
pub mod replay;
pub mod sample;
pub mod study;
pub mod summary;
