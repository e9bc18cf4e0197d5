//! Token events with everything that is known of them: whose attempt, made with which coefficients, resting on what.
//!
//! The analysis of millions reads [`TokenEvent`]s; what looks at single attempts (intervals, replay, calibration) reads
//! these, up to a number that memory holds. Nothing is made up here: what a source does not record is `None`.

use super::canonical::{Complexity, canonical_category};
use super::estimator::{EstimateInput, Features};
use super::event::TokenEvent;
use crate::clock::Stamp;

/// At most this many samples are held.
pub const SAMPLES_MAX: usize = 200_000;

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The event id, or the line where the source has no ids.
    pub id: i64,
    /// The run; empty where it is not known.
    pub run: String,
    /// The phase; empty where it is not known.
    pub phase: String,
    /// When, in seconds since 1970.
    pub at: Option<i64>,
    /// Canonical category.
    pub category: String,
    /// Canonical complexity.
    pub complexity: Complexity,
    /// How many deliverables were asked for.
    pub deliverable_count: u64,
    /// Output tokens predicted.
    pub predicted: u64,
    /// Output tokens written; a lower bound of an output that was cut.
    pub actual: u64,
    /// The ceiling chosen from the prediction.
    pub budget: Option<u64>,
    /// Whether the output could be used.
    pub success: bool,
    /// Whether the output was cut; `None` where the source does not record it.
    pub truncated: Option<bool>,
    /// Whether the two columns that say so disagree.
    pub flags_disagree: bool,
    /// Which executor the outcome is from.
    pub source: Option<String>,
    /// Whether somebody other than the executor verified the outcome.
    pub verified: Option<bool>,
    /// Version of the formulas that predicted.
    pub version: Option<String>,
    /// Digest of the coefficients that predicted.
    pub digest: Option<String>,
    /// What the prediction rests on.
    pub features: Option<Features>,
    /// Whether the features were rebuilt from the deliverables, without their files and scope.
    pub rebuilt: bool,
}

/// What a source knows of an event beside its counts.
#[derive(Debug, Clone, Default)]
pub struct Extra<'a> {
    /// The run.
    pub run: &'a str,
    /// The phase.
    pub phase: &'a str,
    /// When, in any spelling that can be read.
    pub at: Option<&'a str>,
    /// The deliverables as a JSON array.
    pub deliverables: Option<&'a str>,
    /// The features as JSON.
    pub features: Option<&'a str>,
    /// The other column about truncation.
    pub is_truncated_output: Option<bool>,
    /// Which executor the outcome is from.
    pub source: Option<&'a str>,
    /// Whether the outcome was verified.
    pub verified: Option<bool>,
    /// Version of the formulas.
    pub version: Option<&'a str>,
    /// Digest of the coefficients.
    pub digest: Option<&'a str>,
}

impl Sample {
    /// The sample of an event.
    pub fn new(event: &TokenEvent<'_>, extra: &Extra<'_>) -> Self {
        let complexity = Complexity::or_medium(event.complexity).0;
        let recorded = extra.features.and_then(Features::parse);
        let rebuilt = recorded.is_none();
        let features = recorded.or_else(|| rebuild(event, extra.deliverables?, complexity));
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            id: event.id,
            run: extra.run.to_owned(),
            phase: extra.phase.to_owned(),
            at: extra.at.and_then(Stamp::parse_db).map(Stamp::unix),
            category: canonical_category(event.category).into_owned(),
            complexity,
            deliverable_count: event.deliverable_count,
            predicted: event.predicted,
            actual: event.actual,
            budget: event.selected_budget,
            success: event.success,
            truncated: event.truncated,
            flags_disagree: matches!((event.truncated, extra.is_truncated_output), (Some(a), Some(b)) if a != b),
            source: owned(extra.source),
            verified: extra.verified,
            version: owned(extra.version),
            digest: owned(extra.digest),
            rebuilt: rebuilt && features.is_some(),
            features,
        }
    }

    /// Whether the output was cut, as far as is known.
    pub fn is_cut(&self) -> bool {
        self.truncated == Some(true)
    }

    /// Whether it is a measurement: both counts are above 0.
    pub fn is_measured(&self) -> bool {
        self.predicted > 0 && self.actual > 0
    }
}

/// Features from the deliverables that were stored; `None` where some of them were cut away.
fn rebuild(event: &TokenEvent<'_>, deliverables: &str, complexity: Complexity) -> Option<Features> {
    let deliverables: Vec<String> = serde_json::from_str(deliverables).ok()?;
    let is_whole = deliverables.len() as u64 == event.deliverable_count
        && !deliverables.iter().any(|text| text.chars().count() >= 200 && text.ends_with("..."));
    is_whole.then(|| {
        Features::of(&EstimateInput {
            deliverables: &deliverables,
            files: &[],
            category: event.category,
            complexity,
            scope_path_count: 0,
        })
    })
}

/// Samples as they come from a source, up to [`SAMPLES_MAX`].
#[derive(Debug, Clone, Default)]
pub struct Samples {
    /// Those that are held, in the order of the source.
    pub list: Vec<Sample>,
    /// How many are not.
    pub left_out: u64,
}

impl Samples {
    /// Adds a sample, or counts it when there are too many.
    pub fn push(&mut self, sample: impl FnOnce() -> Sample) {
        if self.list.len() < SAMPLES_MAX {
            self.list.push(sample());
        } else {
            self.left_out += 1;
        }
    }
}

/// Samples of one phase of one run, which are attempts at one task; a sample without a phase is alone.
pub fn by_phase<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Vec<Vec<&'a Sample>> {
    let mut groups: std::collections::BTreeMap<(&str, &str, i64), Vec<&Sample>> =
        std::collections::BTreeMap::new();
    for sample in samples {
        let alone = if sample.phase.is_empty() { sample.id } else { 0 };
        groups.entry((&sample.run, &sample.phase, alone)).or_default().push(sample);
    }
    groups.into_values().collect()
}
