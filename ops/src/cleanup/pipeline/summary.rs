//! What a run did, in numbers: the artifact `cleanup_report.json`, of which every other report is a view.

use serde::{Deserialize, Serialize};

use super::stage::Artifact;
use super::tally::RuleCount;
use crate::cleanup::grade::Grade;
use crate::records::{Compression, Format};

/// What a run did. A versioned artifact.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Of this artifact.
    pub format: u32,
    /// Which toolkit made it.
    pub tool_version: String,
    /// When, in RFC 3339.
    pub generated_at: String,
    /// Which kind of rows.
    pub dataset: String,
    /// Where the rows came from.
    pub input: Input,
    /// Rows in and what became of them.
    pub ledger: Books,
    /// Rows with a change.
    pub changed_rows: u64,
    /// Rows with a remark.
    pub flagged_rows: u64,
    /// Changes by rule and column.
    pub changes: Vec<RuleCount>,
    /// Remarks by rule and column.
    pub findings: Vec<RuleCount>,
    /// How much evidence the rows have.
    pub score: Scores,
    /// Clusters of rows that are the same, by cause.
    pub duplicates: Vec<Duplicated>,
    /// Runs of bytes that were no UTF-8, and were replaced.
    pub replaced_bytes: u64,
    /// Columns of the dataset that the input does not have.
    pub absent_columns: Vec<String>,
    /// Columns that only the input has, carried along.
    pub carried_columns: Vec<String>,
    /// How well faults are found in this table, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grade: Option<Grade>,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Name of the file.
    pub file: String,
    /// What it was read as.
    pub format: Format,
    /// How it was compressed.
    pub compression: Option<Compression>,
    /// Bytes on disk.
    pub bytes: u64,
    /// SHA-256 of these.
    pub sha256: String,
}

/// Rows in and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Records of the input.
    pub rows_in: u64,
    /// Rows of the cleaned files.
    pub rows_out: u64,
    /// Rows that went into others.
    pub merged: u64,
    /// Rows that wait for a person.
    pub quarantined: u64,
    /// Records that are no rows.
    pub rejected: u64,
}

impl Books {
    /// Whether every row is somewhere.
    pub fn balance(&self) -> bool {
        self.rows_in == self.rows_out + self.merged + self.quarantined + self.rejected
    }
}

/// How much evidence the rows have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// A row with less is a fragment.
    pub threshold: f64,
    /// How many are.
    pub fragments: u64,
    /// Smallest.
    pub lowest: Option<f64>,
    /// Half of the rows have at most this.
    pub median: Option<f64>,
    /// Mean.
    pub mean: Option<f64>,
    /// Rows by score, in steps of 0.05; the last includes 1.
    pub histogram: Vec<u64>,
    /// How many rows would be fragments at thresholds near the one that was used.
    pub sensitivity: Vec<Sensitivity>,
}

/// What another threshold would do.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Sensitivity {
    /// A row with less would be a fragment.
    pub threshold: f64,
    /// How many would be.
    pub fragments: u64,
}

/// Clusters of one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Duplicated {
    /// Why the rows are the same.
    pub cause: crate::cleanup::Cause,
    /// Clusters.
    pub clusters: u64,
    /// Rows in them.
    pub rows: u64,
    /// Rows that went into others.
    pub merged: u64,
    /// Rows that wait for a person.
    pub quarantined: u64,
}

impl Scores {
    /// From the rows by score in ten-thousandths.
    pub(super) fn new(threshold: f64, fragments: u64, counts: &[u64]) -> Self {
        let rows: u64 = counts.iter().sum();
        let value = |n: usize| n as f64 / 10_000.0;
        let sum: u64 = counts.iter().zip(0..).map(|(count, score): (&u64, u64)| count * score).sum();
        let mut below = 0;
        let median = counts.iter().position(|count| {
            below += count;
            2 * below >= rows && rows > 0
        });
        let mut histogram = vec![0; 20];
        for (score, count) in counts.iter().enumerate() {
            histogram[(score / 500).min(19)] += count;
        }
        let under = |threshold: f64| {
            counts.iter().enumerate().filter(|(n, _)| value(*n) < threshold).map(|(_, c)| c).sum()
        };
        let near = [-0.1, -0.05, -0.02, 0.0, 0.02, 0.05, 0.1];
        let sensitivity = near
            .iter()
            .map(|step| ((threshold + step) * 10_000.0).round() / 10_000.0)
            .filter(|threshold| (0.0..=1.0).contains(threshold))
            .map(|threshold| Sensitivity { threshold, fragments: under(threshold) });
        Self {
            threshold,
            fragments,
            lowest: counts.iter().position(|count| *count > 0).map(value),
            median: median.map(value),
            mean: (rows > 0).then(|| (sum as f64 / rows as f64).round() / 10_000.0),
            histogram,
            sensitivity: sensitivity.collect(),
        }
    }
}

/// What belongs together and how it can be undone: the artifact `cleanup.json`, the last that is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this artifact.
    pub format: u32,
    /// Which toolkit made the set.
    pub tool_version: String,
    /// When, in RFC 3339.
    pub generated_at: String,
    /// Which kind of rows.
    pub dataset: String,
    /// SHA-256 of the dataset's settings as JSON.
    pub dataset_sha256: String,
    /// Where the rows came from.
    pub input: Input,
    /// Rows in and what became of them.
    pub ledger: Books,
    /// Columns that cleaned rows have and the input does not.
    pub made_columns: Vec<String>,
    /// Columns whose values are texts in the input and something else in the cleaned rows.
    pub text_columns: Vec<String>,
    /// Where in the list of changes those begin that are about several rows.
    pub joint_changes_at: u64,
    /// Every other file of the set.
    pub artifacts: Vec<Artifact>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_in_numbers() {
        let mut counts = vec![0; 10_001];
        for score in [4100, 5000, 5000, 10_000] {
            counts[score] += 1;
        }
        let scores = Scores::new(0.5, 1, &counts);
        assert_eq!((scores.lowest, scores.median, scores.mean), (Some(0.41), Some(0.5), Some(0.6025)));
        assert_eq!((scores.histogram[8], scores.histogram[10], scores.histogram[19]), (1, 2, 1));
        let near: Vec<(f64, u64)> = scores.sensitivity.iter().map(|s| (s.threshold, s.fragments)).collect();
        assert_eq!(near, [(0.4, 0), (0.45, 1), (0.48, 1), (0.5, 1), (0.52, 3), (0.55, 3), (0.6, 3)]);
        let none = Scores::new(0.5, 0, &vec![0; 10_001]);
        assert_eq!((none.lowest, none.median, none.mean), (None, None, None));
    }
}
