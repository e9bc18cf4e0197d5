//! Typed producers: what a program measures, as rows of tables that are declared once.
//!
//! A producer is pure until it is recorded: time is an argument, nothing is written before the end, and everything that
//! belongs together is one job. Numbers that cannot be known are NULL, never zero and never a timestamp.

pub mod extraction;
pub mod operation;

pub use extraction::{Extraction, Found, MethodEnd, Proxy};
pub use operation::{Operation, Progress};
