//! Fields, titles and scores of cleanup by its public interface, with the datasets that are shipped.

#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "scoring/cases.rs"]
mod cases;
#[path = "scoring/kit.rs"]
mod kit;
#[path = "scoring/laws.rs"]
mod laws;
