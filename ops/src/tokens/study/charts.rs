//! The charts of a study. Each says the same as a table beside it and is readable without colour.

use super::super::analysis::Bucket;
use super::super::metrics;
use super::super::sample::{Sample, Samples};
use super::{Study, key};
use crate::report::Document;
use crate::report::chart::{Axis, Chart, Series};
use crate::text::{ellipsis, one_line};

/// At most this many points are drawn.
const POINTS_MAX: usize = 2_000;
/// At most this many strata have distributions of their own.
const STRATA_MAX: usize = 12;
/// Fewer outputs have no distribution.
const DRAWN_MIN: usize = 5;
/// Parts of time.
const PERIODS: i64 = 24;

impl Study {
    /// Predicted against actual tokens, SMAPE and waste by stratum, truncation over time.
    pub fn charts(&self, samples: &Samples) -> Document {
        let mut document = Document::new();
        document.heading(2, "Charts").chart(scatter(&samples.list));
        document.chart(shares(self));
        if let Some(chart) = over_time(&samples.list) {
            document.chart(chart);
        }
        let exact: Vec<&Sample> = samples.list.iter().filter(|s| s.is_measured() && !s.is_cut()).collect();
        distributions(&mut document, "all", &exact);
        let mut drawn = 0;
        for group in &self.strata {
            let of = |s: &&&Sample| {
                let (category, complexity, bucket): (&str, _, Bucket) = key(s);
                group.category.as_deref() == Some(category)
                    && group.complexity == Some(complexity)
                    && group.deliverables == Some(bucket)
            };
            let own: Vec<&Sample> = exact.iter().filter(of).copied().collect();
            if own.len() >= DRAWN_MIN && drawn < STRATA_MAX {
                drawn += 1;
                distributions(&mut document, &super::document::name(group), &own);
            }
        }
        document
    }
}

/// How SMAPE and waste are spread.
fn distributions(document: &mut Document, name: &str, samples: &[&Sample]) {
    let smape: Vec<f64> = samples.iter().map(|s| metrics::smape_percent(s.predicted, s.actual)).collect();
    let waste: Vec<f64> = samples.iter().map(|s| s.predicted as f64 / s.actual as f64).collect();
    document.chart(Chart::distribution(format!("SMAPE: {name}"), Axis::linear("SMAPE %"), &smape));
    let axis = Axis::log("predicted over actual tokens");
    document.chart(Chart::distribution(format!("Waste: {name}"), axis, &waste).mark(1.0, "as predicted"));
}

/// Every so many, so that no more than [`POINTS_MAX`] are drawn.
fn thinned<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> (Vec<[f64; 2]>, usize) {
    let all = samples.clone().count();
    let step = all.div_ceil(POINTS_MAX).max(1);
    let points = samples.step_by(step).map(|s| [s.predicted as f64, s.actual as f64]).collect();
    (points, step)
}

fn scatter(samples: &[Sample]) -> Chart {
    let (uncut, step) = thinned(samples.iter().filter(|s| s.is_measured() && !s.is_cut()));
    let (cut, _) = thinned(samples.iter().filter(|s| s.is_measured() && s.is_cut()));
    let series = [Series::new("output", uncut), Series::new("cut: longer than this", cut)];
    let (x, y) = (Axis::log("predicted tokens"), Axis::log("actual tokens"));
    let chart =
        Chart::scatter("Predicted against actual output tokens", x, y, series).diagonal("as predicted");
    if step > 1 { chart.note(format!("One of {step} attempts is drawn.")) } else { chart }
}

fn shares(study: &Study) -> Chart {
    let rows = study.strata.iter().map(|g| {
        let percent = |value: Option<f64>| value.unwrap_or_default();
        let (covered, under) =
            (percent(g.measures.covered_percent), percent(g.measures.underestimated_percent));
        let name = ellipsis(&one_line(&super::document::name(g)), 60);
        (name, vec![covered, under, (100.0 - covered - under).max(0.0)])
    });
    let parts = ["enough", "too small", "not known: cut early"];
    Chart::stacked("Whether the prediction was enough", Axis::linear("% of attempts"), parts, rows)
}

fn over_time(samples: &[Sample]) -> Option<Chart> {
    let dated: Vec<(i64, bool)> = samples.iter().filter_map(|s| Some((s.at?, s.truncated?))).collect();
    let (first, last) = (dated.iter().map(|d| d.0).min()?, dated.iter().map(|d| d.0).max()?);
    let span = ((last - first) / PERIODS + 1).max(1);
    let points = (0..PERIODS).filter_map(|i| {
        let (from, to) = (first + i * span, first + (i + 1) * span);
        let of: Vec<bool> = dated.iter().filter(|d| (from..to).contains(&d.0)).map(|d| d.1).collect();
        let cut = of.iter().filter(|cut| **cut).count();
        (!of.is_empty()).then(|| [(from + span / 2) as f64, 100.0 * cut as f64 / of.len() as f64])
    });
    let series = [Series::new("truncated", points)];
    let chart =
        Chart::lines("Truncation over time", Axis::time("time, UTC"), Axis::linear("% of attempts"), series);
    Some(chart.mark(2.0, "gate"))
}
