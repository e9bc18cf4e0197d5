//! The spelling of one line of a journal.
//!
//! Outcomes are written as runs, `[198,"applied"]`, so that a batch in which nothing special happened takes some
//! dozen bytes; a stored row is written in full, because only it says what a rollback must find.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Canary, Header};
use crate::change::outcome::RowOutcome;
use crate::clock::Stamp;
use crate::value::{Kind, Row, parse_json, write_json};

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Run {
        format: u32,
        #[serde(flatten)]
        header: Header,
    },
    Intent {
        first: u64,
        rows: u64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        already: Vec<u64>,
    },
    Done(DoneLine),
    Canary {
        #[serde(flatten)]
        canary: Canary,
        at: String,
    },
    Approved {
        at: String,
    },
    Closed {
        at: String,
    },
}

/// The outcomes of changes that follow each other.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DoneLine {
    pub(super) first: u64,
    at: String,
    outcomes: Box<RawValue>,
}

impl DoneLine {
    /// The outcomes, one a change; `None` when they cannot be read.
    pub(super) fn outcomes(&self, kinds: &[Kind]) -> Option<Vec<RowOutcome>> {
        let runs: Vec<Vec<&RawValue>> = serde_json::from_str(self.outcomes.get()).ok()?;
        let mut outcomes = Vec::new();
        for run in runs {
            let (count, word, rest) = match run[..] {
                [count, word] => (count, word, None),
                [count, word, rest] => (count, word, Some(rest)),
                _ => return None,
            };
            let count: usize = count.get().parse().ok()?;
            let outcome = read_outcome(word.get(), rest.map(RawValue::get), kinds)?;
            outcomes.extend(std::iter::repeat_n(outcome, count));
        }
        Some(outcomes)
    }
}

fn read_outcome(word: &str, rest: Option<&str>, kinds: &[Kind]) -> Option<RowOutcome> {
    Some(match (word, rest) {
        (r#""applied""#, None) => RowOutcome::Applied { stored: None },
        (r#""applied""#, Some(row)) => RowOutcome::Applied { stored: Some(read_row(row, kinds)?) },
        (r#""already""#, None) => RowOutcome::Already,
        (r#""drifted""#, Some(columns)) => {
            RowOutcome::Drifted { columns: serde_json::from_str(columns).ok()? }
        }
        (r#""failed""#, Some(reason)) => RowOutcome::Failed { reason: serde_json::from_str(reason).ok()? },
        _ => return None,
    })
}

fn read_row(row: &str, kinds: &[Kind]) -> Option<Row> {
    let cells: Vec<&RawValue> = serde_json::from_str(row).ok()?;
    let values = cells.iter().zip(kinds).map(|(cell, kind)| parse_json(cell.get(), *kind).ok());
    (cells.len() == kinds.len()).then(|| values.collect()).flatten()
}

/// Appends a `done` line with its line feed.
pub(super) fn write_done(first: u64, outcomes: &[RowOutcome], at: Stamp, out: &mut Vec<u8>) {
    let start = format!(r#"{{"done":{{"first":{first},"at":"{}","outcomes":["#, at.iso());
    out.extend_from_slice(start.as_bytes());
    for (i, run) in outcomes.chunk_by(|a, b| a == b).enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(format!(r#"[{},"{}""#, run.len(), run[0].word()).as_bytes());
        write_rest(&run[0], out);
        out.push(b']');
    }
    out.extend_from_slice(b"]}}\n");
}

fn write_rest(outcome: &RowOutcome, out: &mut Vec<u8>) {
    match outcome {
        RowOutcome::Applied { stored: None } | RowOutcome::Already => {}
        RowOutcome::Applied { stored: Some(row) } => {
            out.extend_from_slice(b",[");
            for (i, value) in row.iter().enumerate() {
                if i > 0 {
                    out.push(b',');
                }
                write_json(value.as_ref(), out);
            }
            out.push(b']');
        }
        RowOutcome::Drifted { columns } => {
            out.push(b',');
            serde_json::to_writer(out, columns).expect("names are JSON");
        }
        RowOutcome::Failed { reason } => {
            out.push(b',');
            serde_json::to_writer(out, reason).expect("a text is JSON");
        }
    }
}
