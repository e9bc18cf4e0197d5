//! Charts as data: what is shown, on which axes, with which reference lines.
//!
//! A chart is drawn by `svg` for HTML and by `text` for terminals and Markdown, and both show the same numbers. It must
//! never panic on what it is given: values that cannot be placed are left out and counted in the caption.

mod data;
mod draw;
mod scale;
mod svg;
#[cfg(test)]
mod tests;
mod text;

pub(super) use draw::svg;
pub(super) use text::blocks;

use super::{Align, Table};

/// A chart: a plot on two axes, with reference lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    title: String,
    note: Option<String>,
    x: Axis,
    y: Axis,
    plot: Plot,
    marks: Vec<Mark>,
    diagonal: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
enum Plot {
    /// One number for each name.
    Bars(Vec<(String, f64)>),
    /// Parts of each name.
    Stacked { parts: Vec<String>, rows: Vec<(String, Vec<f64>)> },
    /// How many values lie in each range.
    Histogram(Vec<Bin>),
    /// Numbers in the order of another, usually time.
    Lines(Vec<Series>),
    /// Pairs of numbers.
    Scatter(Vec<Series>),
}

/// What an axis measures, and how its numbers are spread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    label: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Linear,
    Log,
    Time,
}

/// Values from `from` up to but not including `to`; the last bin includes both ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bin {
    /// The lower end.
    pub from: f64,
    /// The upper end.
    pub to: f64,
    /// How many values.
    pub count: u64,
}

/// Named points, in the order in which a line joins them.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    name: String,
    points: Vec<[f64; 2]>,
    band: Vec<[f64; 3]>,
}

/// A reference line at a value.
#[derive(Debug, Clone, PartialEq)]
struct Mark {
    at: f64,
    label: String,
}

impl Axis {
    /// Equal distances are equal differences.
    pub fn linear(label: impl Into<String>) -> Self {
        Self { label: label.into(), kind: Kind::Linear }
    }

    /// Equal distances are equal ratios; values that are not above zero have no place.
    pub fn log(label: impl Into<String>) -> Self {
        Self { label: label.into(), kind: Kind::Log }
    }

    /// Values are seconds since 1970-01-01 UTC, shown as dates and times.
    pub fn time(label: impl Into<String>) -> Self {
        Self { label: label.into(), kind: Kind::Time }
    }

    /// Whether a value has a place on this axis.
    fn holds(&self, value: f64) -> bool {
        value.is_finite() && (self.kind != Kind::Log || value > 0.0)
    }
}

impl Series {
    /// A series; a point whose second number is not finite interrupts the line.
    pub fn new(name: impl Into<String>, points: impl IntoIterator<Item = [f64; 2]>) -> Self {
        Self { name: name.into(), points: points.into_iter().collect(), band: Vec::new() }
    }

    /// Adds a band around the line, such as an interval: place, lower end and upper end.
    #[must_use]
    pub fn band(mut self, band: impl IntoIterator<Item = [f64; 3]>) -> Self {
        self.band = band.into_iter().collect();
        self
    }
}

impl Chart {
    /// A bar for each name, in the order given.
    pub fn bars<N: Into<String>>(
        title: impl Into<String>,
        value: Axis,
        rows: impl IntoIterator<Item = (N, f64)>,
    ) -> Self {
        let rows = rows.into_iter().map(|(name, value)| (name.into(), value)).collect();
        Self::new(title, value, Axis::linear(""), Plot::Bars(rows))
    }

    /// A bar for each name that is divided into `parts`; a missing part is zero, and so is one below zero.
    pub fn stacked<P: Into<String>, N: Into<String>>(
        title: impl Into<String>,
        value: Axis,
        parts: impl IntoIterator<Item = P>,
        rows: impl IntoIterator<Item = (N, Vec<f64>)>,
    ) -> Self {
        let parts: Vec<String> = parts.into_iter().map(Into::into).collect();
        let fit = |mut values: Vec<f64>| {
            values.resize(parts.len(), 0.0);
            values
        };
        let rows = rows.into_iter().map(|(name, values)| (name.into(), fit(values))).collect();
        // Parts are added up, which only equal differences show.
        let value = Axis::linear(value.label);
        Self::new(title, value, Axis::linear(""), Plot::Stacked { parts, rows })
    }

    /// How often values occur, counted by the caller.
    pub fn histogram(title: impl Into<String>, x: Axis, bins: impl IntoIterator<Item = Bin>) -> Self {
        Self::new(title, x, Axis::linear("count"), Plot::Histogram(bins.into_iter().collect()))
    }

    /// How often values occur, in about twenty ranges with round ends.
    pub fn distribution(title: impl Into<String>, x: Axis, values: &[f64]) -> Self {
        let held = values.iter().filter(|value| x.holds(**value)).count();
        let bins = scale::bins(&x, values);
        let chart = Self::histogram(title, x, bins);
        match values.len() - held {
            0 => chart,
            n => chart.note(format!(
                "{} without a place on the axis left out.",
                crate::text::plural(n as u64, "value")
            )),
        }
    }

    /// Lines over `x`.
    pub fn lines(
        title: impl Into<String>,
        x: Axis,
        y: Axis,
        series: impl IntoIterator<Item = Series>,
    ) -> Self {
        Self::new(title, x, y, Plot::Lines(series.into_iter().collect()))
    }

    /// Points on two axes.
    pub fn scatter(
        title: impl Into<String>,
        x: Axis,
        y: Axis,
        series: impl IntoIterator<Item = Series>,
    ) -> Self {
        Self::new(title, x, y, Plot::Scatter(series.into_iter().collect()))
    }

    fn new(title: impl Into<String>, x: Axis, y: Axis, plot: Plot) -> Self {
        Self { title: title.into(), note: None, x, y, plot, marks: Vec::new(), diagonal: None }
    }

    /// Adds a sentence below the chart.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Adds a reference line at a value: on the axis of values of bars and histograms, on `y` of lines and points.
    #[must_use]
    pub fn mark(mut self, at: f64, label: impl Into<String>) -> Self {
        self.marks.push(Mark { at, label: label.into() });
        self
    }

    /// Adds the line where both numbers of a point are equal; both axes reach equally far and are of the kind of `x`.
    #[must_use]
    pub fn diagonal(mut self, label: impl Into<String>) -> Self {
        self.y.kind = self.x.kind;
        self.diagonal = Some(label.into());
        self
    }

    /// What the chart is called.
    pub(super) fn title(&self) -> &str {
        &self.title
    }

    /// The axis that reference lines stand on.
    fn mark_axis(&self) -> &Axis {
        match self.plot {
            Plot::Lines(_) | Plot::Scatter(_) => &self.y,
            Plot::Bars(_) | Plot::Stacked { .. } | Plot::Histogram(_) => &self.x,
        }
    }

    /// The reference lines that have a place.
    fn marks(&self) -> impl Iterator<Item = &Mark> {
        self.marks.iter().filter(|mark| self.mark_axis().holds(mark.at))
    }
}
