//! Predicts recorded events again with other coefficients, from the features that were recorded with them.
//!
//! An output that was cut is a bound: it is never compared as if it were the output. An event without features is counted
//! and left out; none are made up for it.

use serde::Serialize;

use super::canonical::Complexity;
use super::estimator::{Coefficients, Features};
use super::sample::{Sample, Samples};
use super::study::measures::{Judged, Measures};
use super::study::paired::Paired;
use crate::report::chart::{Axis, Chart};
use crate::report::{Align, Document, Table, number};
use crate::text::{one_line, plural, thousands};

/// Recorded predictions beside those of other coefficients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replay {
    /// Version of this artifact.
    pub format: u32,
    /// Digest of the other coefficients.
    pub coefficient_digest: String,
    /// Digests of the coefficients that predicted at the time, with how many events of each.
    pub recorded_digests: Vec<(Option<String>, u64)>,
    /// Events that were predicted again.
    pub replayed: u64,
    /// Of these, events whose features were rebuilt from the names of their deliverables.
    pub rebuilt: u64,
    /// Events whose features are not known.
    pub without_features: u64,
    /// Events beyond the first, which were not read.
    pub left_out: u64,
    /// All of them, old against new.
    pub all: Paired,
    /// By category and complexity.
    pub strata: Vec<(String, Complexity, Paired)>,
}

/// The pair of the recorded prediction and another one.
pub fn pair<'a>(sample: &'a Sample, features: &Features, coefficients: &Coefficients) -> [Judged<'a>; 2] {
    let again = features.estimate(coefficients);
    [
        Judged::from(sample),
        Judged { sample, predicted: again.output_tokens, budget: Some(again.selected_budget) },
    ]
}

impl Replay {
    /// Predicts the samples again.
    pub fn of(samples: &Samples, coefficients: &Coefficients, quantile: f64, seed: u64) -> Self {
        let replayable: Vec<(&Sample, &Features)> =
            samples.list.iter().filter_map(|s| Some((s, s.features.as_ref()?))).collect();
        let pairs: Vec<[Judged<'_>; 2]> = replayable.iter().map(|(s, f)| pair(s, f, coefficients)).collect();
        let mut strata = std::collections::BTreeMap::<(&str, Complexity), Vec<[Judged<'_>; 2]>>::new();
        for pair in &pairs {
            strata.entry((&pair[0].sample.category, pair[0].sample.complexity)).or_default().push(*pair);
        }
        let mut digests = std::collections::BTreeMap::<Option<String>, u64>::new();
        for (sample, _) in &replayable {
            *digests.entry(sample.digest.clone()).or_default() += 1;
        }
        Self {
            format: 1,
            coefficient_digest: coefficients.digest(),
            recorded_digests: digests.into_iter().collect(),
            replayed: pairs.len() as u64,
            rebuilt: replayable.iter().filter(|(s, _)| s.rebuilt).count() as u64,
            without_features: (samples.list.len() - replayable.len()) as u64,
            left_out: samples.left_out,
            strata: strata
                .into_iter()
                .map(|(key, pairs)| (key.0.to_owned(), key.1, Paired::of(&pairs, quantile, seed)))
                .collect(),
            all: Paired::of(&pairs, quantile, seed),
        }
    }

    /// The report about `source`, replayed with the coefficients of `origin`.
    pub fn document(&self, source: &str, origin: &str) -> Document {
        let mut document = Document::new();
        let digests: Vec<String> = self
            .recorded_digests
            .iter()
            .map(|(digest, n)| {
                format!(
                    "{} ({})",
                    digest.as_deref().map_or("not recorded".to_owned(), one_line),
                    thousands(*n)
                )
            })
            .collect();
        document.heading(1, "Replay").facts([
            ("source", one_line(source)),
            ("old coefficients", digests.join(", ")),
            ("new coefficients", format!("{} of {}", self.coefficient_digest, one_line(origin))),
            ("replayed", plural(self.replayed, "event")),
            ("features rebuilt without files", thousands(self.rebuilt)),
            ("features not known, left out", thousands(self.without_features)),
            ("beyond the first, not read", thousands(self.left_out)),
        ]);
        document.heading(2, "Old and new predictions").table(self.all.table());
        document.text(format!(
            "Means and medians are of outputs that were not cut. The {} cut outputs are bounds: they show which prediction is too \
             small, never which is right.",
            thousands(self.all.bounds)
        ));
        let mut table = Table::new([
            ("category", Align::Left),
            ("complexity", Align::Left),
            ("n", Align::Right),
            ("cut", Align::Right),
            ("SMAPE median old", Align::Right),
            ("new", Align::Right),
            ("waste median old", Align::Right),
            ("new", Align::Right),
            ("underestimated old", Align::Right),
            ("new", Align::Right),
        ]);
        for (category, complexity, paired) in &self.strata {
            table.row([
                one_line(category),
                complexity.as_str().to_owned(),
                thousands(paired.attempts),
                thousands(paired.bounds),
                number(paired.old.smape_percent_median, 2),
                number(paired.new.smape_percent_median, 2),
                number(paired.old.waste_ratio_median, 3),
                number(paired.new.waste_ratio_median, 3),
                thousands(paired.underestimated[0]),
                thousands(paired.underestimated[1]),
            ]);
        }
        document.heading(2, "By category and complexity").table(table);
        document
    }

    /// What the tables say, drawn: for which share of attempts the old and the new predictions are enough.
    pub fn charts(&self) -> Document {
        let rows = self.strata.iter().flat_map(|(category, complexity, paired)| {
            let name = format!("{}, {}", one_line(category), complexity.as_str());
            let percent = |measures: &Measures| measures.covered_percent.unwrap_or_default();
            [
                (format!("{name}: before"), percent(&paired.old)),
                (format!("{name}: after"), percent(&paired.new)),
            ]
        });
        let mut document = Document::new();
        let chart = Chart::bars("Predictions that are enough", Axis::linear("% of attempts"), rows);
        document.heading(2, "Charts").chart(chart);
        document
    }
}
