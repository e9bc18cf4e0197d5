//! A metric from look to look, with the bounds that the evidence left at each.

use serde::Serialize;

use super::evidence::{Counting, Log, Metric, Reading};
use super::judge::left;
use super::sequential::Bounds;

/// A metric at one look.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// When, RFC 3339.
    pub at: String,
    /// Units so far; none where the reading failed.
    pub units: Option<u64>,
    /// Good ones so far.
    pub good: Option<u64>,
    /// Rates of good units that the evidence left then.
    pub bounds: Option<Bounds>,
}

/// Every look of a metric, by its number in the soak.
pub fn history(log: &Log, index: usize) -> Vec<Point> {
    let (metric, error_rate) = (&log.soak.metrics[index], log.soak.error_rate_each());
    let mut sum = (0, 0);
    log.looks
        .iter()
        .map(|look| point(metric, error_rate, &look.at, &look.readings[index], &mut sum))
        .collect()
}

fn point(metric: &Metric, error_rate: f64, at: &str, reading: &Reading, sum: &mut (u64, u64)) -> Point {
    let at = at.to_owned();
    // What cannot be is no point of a line; the judgement says so.
    let Reading::Counted { units, good, .. } = reading else {
        return Point { at, units: None, good: None, bounds: None };
    };
    let (units, good) = match metric.counting {
        Counting::SinceStart => (*units, *good),
        Counting::ThisLook => (sum.0 + units, sum.1 + good),
    };
    if good > units {
        return Point { at, units: None, good: None, bounds: None };
    }
    *sum = (units, good);
    Point { at, units: Some(units), good: Some(good), bounds: Some(left(metric, good, units, error_rate)) }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::Rule;
    use super::super::evidence::tests::{counted, look, metric, soak};
    use super::super::judge::judge;
    use super::*;

    #[test]
    fn the_last_point_is_what_is_judged() {
        let rate = metric("conversion", Rule::AtLeast { rate: 0.85, margin: 0.05 });
        let tries = Metric { counting: Counting::ThisLook, ..metric("t", Rule::Never { hidden_max: 0.1 }) };
        let (mut log, _) = Log::begin(soak(vec![rate, tries]));
        log.add(look(0, vec![counted(4, 4), counted(5, 5)]));
        log.add(look(300, vec![Reading::Failed("no".to_owned()), counted(5, 5)]));
        log.add(look(600, vec![counted(8, 7), counted(3, 4)]));
        let points = history(&log, 0);
        assert_eq!(points.iter().map(|point| point.units).collect::<Vec<_>>(), [Some(4), None, Some(8)]);
        assert_eq!(points[2].bounds, Some(judge(&log).metrics[0].bounds));
        let tries: Vec<_> = history(&log, 1).into_iter().map(|point| point.good).collect();
        assert_eq!(tries, [Some(5), Some(10), None], "a lie is no point");
    }
}
