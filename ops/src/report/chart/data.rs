//! What a chart shows, as words and as a table: the alternative for those who do not see it.

use super::scale::{shown, significant};
use super::{Align, Axis, Bin, Chart, Plot, Series, Table};
use crate::stats::median;
use crate::text::{one_line, plural, thousands};

impl Chart {
    /// All of its numbers, in rows of at most `limit`; the second part counts the rows that are left out.
    pub(in crate::report) fn table(&self, limit: usize) -> (Table, usize) {
        match &self.plot {
            Plot::Bars(rows) => {
                let mut table = Table::new([(String::new(), Align::Left), (self.value_name(), Align::Right)]);
                for (name, value) in rows.iter().take(limit) {
                    table.row([one_line(name), shown(&self.x, *value)]);
                }
                (table, rows.len().saturating_sub(limit))
            }
            Plot::Stacked { parts, rows } => {
                let parts = parts.iter().map(|part| (one_line(part), Align::Right));
                let mut table = Table::new([(String::new(), Align::Left)].into_iter().chain(parts));
                for (name, values) in rows.iter().take(limit) {
                    table.row([one_line(name)].into_iter().chain(values.iter().map(|v| shown(&self.x, *v))));
                }
                (table, rows.len().saturating_sub(limit))
            }
            Plot::Histogram(bins) => {
                let mut table =
                    Table::new([(self.value_name(), Align::Right), ("count".to_owned(), Align::Right)]);
                for bin in bins.iter().take(limit) {
                    table.row([range(&self.x, bin), thousands(bin.count)]);
                }
                (table, bins.len().saturating_sub(limit))
            }
            Plot::Lines(series) | Plot::Scatter(series) => self.point_table(series, limit),
        }
    }

    fn point_table(&self, series: &[Series], limit: usize) -> (Table, usize) {
        let has_bands = series.iter().any(|s| !s.band.is_empty());
        let is_one = series.len() == 1;
        let mut columns =
            vec![(axis_name(&self.x, "x"), Align::Right), (axis_name(&self.y, "y"), Align::Right)];
        if !is_one {
            columns.insert(0, ("series".to_owned(), Align::Left));
        }
        if has_bands {
            columns.extend(["from", "to"].map(|name| (name.to_owned(), Align::Right)));
        }
        let mut table = Table::new(columns);
        let rows = series.iter().flat_map(|s| s.points.iter().map(move |point| (s, point)));
        for (s, [x, y]) in rows.clone().take(limit) {
            let mut cells = vec![shown(&self.x, *x), shown(&self.y, *y)];
            if !is_one {
                cells.insert(0, one_line(&s.name));
            }
            let at = s.band.partition_point(|[at, ..]| at < x);
            if let Some([_, from, to]) = s.band.get(at).filter(|[at, ..]| at.total_cmp(x).is_eq()) {
                cells.extend([shown(&self.y, *from), shown(&self.y, *to)]);
            }
            table.row(cells);
        }
        (table, rows.count().saturating_sub(limit))
    }

    /// The name of what bars and histograms measure.
    pub(super) fn value_name(&self) -> String {
        axis_name(&self.x, "value")
    }

    /// What the chart shows, in a sentence or two.
    pub(super) fn summary(&self) -> String {
        let mut text = match &self.plot {
            Plot::Bars(rows) => bars_summary(rows, &self.x),
            Plot::Stacked { parts, rows } => {
                format!(
                    "{} divided into {}.",
                    plural(rows.len() as u64, "bar"),
                    plural(parts.len() as u64, "part")
                )
            }
            Plot::Histogram(bins) => histogram_summary(bins, &self.x),
            Plot::Lines(series) | Plot::Scatter(series) => {
                let each: Vec<String> = series.iter().map(|s| self.series_summary(s)).collect();
                if each.is_empty() { "No data.".to_owned() } else { each.join(" ") }
            }
        };
        for mark in self.marks() {
            let at = shown(self.mark_axis(), mark.at);
            text.push_str(&format!(" Reference: {} at {at}.", one_line(&mark.label)));
        }
        if let Some(label) = &self.diagonal {
            text.push_str(&format!(" Diagonal: {}.", one_line(label)));
        }
        text
    }

    fn series_summary(&self, series: &Series) -> String {
        let held = || series.points.iter().filter(|[x, y]| self.x.holds(*x) && self.y.holds(*y));
        let name = one_line(&series.name);
        let (count, lost) = (held().count(), series.points.len() - held().count());
        let mut text = if count == 0 {
            format!("{name}: no data.")
        } else {
            let ends = |axis: &Axis, part: usize| {
                let (min, max) =
                    held().fold((f64::MAX, f64::MIN), |(a, b), p| (a.min(p[part]), b.max(p[part])));
                if min < max {
                    format!("{} to {}", shown(axis, min), shown(axis, max))
                } else {
                    shown(axis, min)
                }
            };
            let named = |axis: &Axis, name: &str| axis_name(axis, name);
            format!(
                "{name}: {}, {} {}, {} {}.",
                plural(count as u64, "point"),
                named(&self.x, "x"),
                ends(&self.x, 0),
                named(&self.y, "y"),
                ends(&self.y, 1)
            )
        };
        if lost > 0 {
            text.push_str(&format!(" {} without a place on the axes.", plural(lost as u64, "point")));
        }
        if self.diagonal.is_some() {
            let [above, on, below] = sides(series);
            text.push_str(&format!(" {above} above the diagonal, {on} on it, {below} below."));
        }
        text
    }

    /// The caption: the note, and how many values have no place in the drawing.
    pub(in crate::report) fn caption(&self) -> Option<String> {
        let lost = match &self.plot {
            Plot::Bars(rows) => rows.iter().filter(|(_, value)| !self.x.holds(*value)).count(),
            Plot::Stacked { rows, .. } => {
                rows.iter().flat_map(|(_, v)| v).filter(|v| !(v.is_finite() && **v >= 0.0)).count()
            }
            Plot::Histogram(_) => 0,
            Plot::Lines(series) | Plot::Scatter(series) => {
                let points = series.iter().flat_map(|s| &s.points);
                points.filter(|[x, y]| !(self.x.holds(*x) && self.y.holds(*y))).count()
            }
        };
        let lost =
            (lost > 0).then(|| format!("{} without a place in the drawing.", plural(lost as u64, "value")));
        let parts: Vec<String> = self.note.clone().into_iter().chain(lost).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// How many points lie above the diagonal, on it, and below.
fn sides(series: &Series) -> [usize; 3] {
    let mut sides = [0; 3];
    for [x, y] in series.points.iter().filter(|[x, y]| x.is_finite() && y.is_finite()) {
        sides[if y > x {
            0
        } else if y < x {
            2
        } else {
            1
        }] += 1;
    }
    sides
}

fn axis_name(axis: &Axis, otherwise: &str) -> String {
    if axis.label.is_empty() { otherwise.to_owned() } else { one_line(&axis.label) }
}

/// `0.2 to 0.4`.
pub(super) fn range(axis: &Axis, bin: &Bin) -> String {
    format!("{} to {}", shown(axis, bin.from), shown(axis, bin.to))
}

fn bars_summary(rows: &[(String, f64)], axis: &Axis) -> String {
    let finite = || rows.iter().filter(|(_, value)| value.is_finite());
    let most = finite().reduce(|a, b| if b.1 > a.1 { b } else { a });
    let least = finite().reduce(|a, b| if b.1 < a.1 { b } else { a });
    match (most, least) {
        (Some((high, most)), Some((low, least))) => format!(
            "{}; highest {} with {}, lowest {} with {}.",
            plural(rows.len() as u64, "bar"),
            one_line(high),
            shown(axis, *most),
            one_line(low),
            shown(axis, *least)
        ),
        _ => "No data.".to_owned(),
    }
}

fn histogram_summary(bins: &[Bin], axis: &Axis) -> String {
    let count: u64 = bins.iter().map(|bin| bin.count).fold(0, u64::saturating_add);
    let Some(most) = bins.iter().reduce(|a, b| if b.count > a.count { b } else { a }) else {
        return "No data.".to_owned();
    };
    let (from, to) = (bins[0].from, bins[bins.len() - 1].to);
    format!(
        "{} from {} to {}; most of them, {}, from {}.",
        plural(count, "value"),
        shown(axis, from),
        shown(axis, to),
        thousands(most.count),
        range(axis, most)
    )
}

/// Least, median and greatest of finite values.
pub(super) fn spread(values: impl Iterator<Item = f64>) -> Option<[f64; 3]> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    let least = values.iter().copied().reduce(f64::min)?;
    let greatest = values.iter().copied().fold(least, f64::max);
    Some([least, median(&mut values)?, greatest])
}

/// A number for people, without its axis.
pub(super) fn plain(value: f64) -> String {
    if value.is_finite() { significant(value) } else { "–".to_owned() }
}
