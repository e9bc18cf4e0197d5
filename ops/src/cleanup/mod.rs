//! Cleans rows of text: repairs what can be proved to be damaged, scores and flags the rest, and never guesses.
//!
//! Rows flow through four pure steps, each with its own module: `repair` (characters), `fields` (types, words,
//! slugs), `score` (evidence, truncation, debris) and `duplicates` (which rows are the same). What they do to a row is
//! a list of [`Note`]s, and every report, and the way back, is a view of that list. Nothing here knows a table: what
//! the columns of a table are, and which rules hold for them, is a [`Dataset`]. Cleanup must not delete text, rename a
//! row, or let a row vanish: rows in = rows out + merged + quarantined + rejected.

pub mod artifacts;
mod check;
mod dataset;
pub mod duplicates;
pub mod fields;
pub mod grade;
mod list;
mod note;
pub mod pipeline;
pub mod repair;
pub mod revert;
mod row;
mod rules;
pub mod score;
pub mod slug;
pub mod titles;
mod words;

pub use check::Problem;
pub use dataset::{
    Artifacts, Cause, Clash, Column, Dataset, Duplicates, Fill, Kind, Part, Policy, Scoring, Slug, Step,
    Survivor, Title, Words,
};
pub use note::{Edit, Finding, Note, Rule};
pub use row::{Cell, Row};
pub use rules::{Rules, Scratch};
