//! Charts in characters: a table with bars, a line of blocks, or a grid of marks, with the numbers beside them.

use super::data::{plain, range, spread};
use super::scale::{Scale, shown};
use super::{Align, Chart, Plot, Series, Table};
use crate::report::Block;
use crate::text::{one_line, thousands};

/// Characters that the longest bar takes.
const BAR: f64 = 24.0;
/// Characters that a line of blocks takes at most.
const SPARK: usize = 40;
/// At most so many points are listed one by one.
const POINTS_MAX: usize = 24;
const GRID_WIDTH: usize = 60;
const GRID_HEIGHT: usize = 16;
/// What the points of a series look like in a grid.
const MARKERS: [char; 6] = ['o', 'x', '+', '#', '*', '@'];
/// What the parts of a bar look like.
const PARTS: [char; 6] = ['█', '▒', '▞', '░', '▓', '▚'];

/// The chart as blocks that every text renderer has.
pub(in crate::report) fn blocks(chart: &Chart) -> Vec<Block> {
    let mut blocks = vec![Block::Heading(4, one_line(&chart.title))];
    match &chart.plot {
        Plot::Bars(rows) => {
            let rows = rows.iter().map(|(name, value)| (one_line(name), shown(&chart.x, *value), *value));
            blocks.push(Block::Table(bar_table(("", Align::Left), &chart.value_name(), rows.collect())));
        }
        Plot::Histogram(bins) => {
            let rows = bins.iter().map(|bin| (range(&chart.x, bin), thousands(bin.count), bin.count as f64));
            blocks.push(Block::Table(bar_table(
                (&chart.value_name(), Align::Right),
                "count",
                rows.collect(),
            )));
        }
        Plot::Stacked { parts, rows } => blocks.push(Block::Table(stacked_table(chart, parts, rows))),
        Plot::Lines(series) => {
            blocks.push(Block::Table(line_table(chart, series)));
            blocks.extend(points(chart, series));
        }
        Plot::Scatter(series) => {
            blocks.push(Block::Code(grid(chart, series)));
            blocks.push(Block::Table(scatter_table(chart, series)));
            blocks.extend(points(chart, series));
        }
    }
    let diagonal = chart.diagonal.iter().map(|label| format!("Dots: {}.", one_line(label)));
    let marks = chart
        .marks()
        .map(|mark| format!("{}: {}.", one_line(&mark.label), shown(chart.mark_axis(), mark.at)));
    let said: Vec<String> = diagonal.chain(marks).chain(chart.caption()).collect();
    if !said.is_empty() {
        blocks.push(Block::Text(said.join(" ")));
    }
    blocks
}

/// Rows of a name, a number as text, and the number; the longest bar is the greatest of them.
fn bar_table(first: (&str, Align), value: &str, rows: Vec<(String, String, f64)>) -> Table {
    let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
    let most = rows.iter().map(|row| finite(row.2).abs()).fold(0.0, f64::max);
    let mut table = Table::new([(first.0, first.1), (value, Align::Right), ("", Align::Left)]);
    for (name, text, value) in rows {
        let bar = bar(finite(value).abs() / most);
        table.row([name, text, if value < 0.0 { format!("-{bar}") } else { bar }]);
    }
    table
}

/// A whole number of characters or steps.
fn whole(value: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what a line can hold"
    )]
    let whole = value.round().clamp(0.0, 1000.0) as usize;
    whole
}

/// A bar of a share of the longest one, to an eighth of a character.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if share.is_nan() || share <= 0.0 {
        return String::new();
    }
    let eighths = whole(share * BAR * 8.0).max(1);
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
}

fn stacked_table(chart: &Chart, parts: &[String], rows: &[(String, Vec<f64>)]) -> Table {
    let mark = |i: usize| PARTS[i % PARTS.len()];
    let heads =
        parts.iter().enumerate().map(|(i, part)| (format!("{} {}", mark(i), one_line(part)), Align::Right));
    let ends = [(String::new(), Align::Left)];
    let mut table = Table::new(ends.clone().into_iter().chain(heads).chain(ends));
    let size = |value: &f64| if value.is_finite() { value.max(0.0) } else { 0.0 };
    let most = rows.iter().map(|(_, values)| values.iter().map(size).sum::<f64>()).fold(0.0, f64::max);
    for (name, values) in rows {
        let (mut sum, mut drawn, mut bar) = (0.0, 0, String::new());
        for (i, value) in values.iter().enumerate() {
            sum += size(value);
            let end = whole(if most > 0.0 { sum / most * BAR } else { 0.0 }).max(drawn);
            bar.extend(std::iter::repeat_n(mark(i), end - drawn));
            drawn = end;
        }
        let values = values.iter().map(|value| shown(&chart.x, *value));
        table.row([one_line(name)].into_iter().chain(values).chain([bar]));
    }
    table
}

fn line_table(chart: &Chart, series: &[Series]) -> Table {
    let right = |name: &str| (name.to_owned(), Align::Right);
    let left = |name: &str| (name.to_owned(), Align::Left);
    let heads = ["points", "first", "min", "median", "max", "last"].map(right);
    let mut table = Table::new([left("series")].into_iter().chain(heads).chain([left("shape")]));
    for s in series {
        let values = || s.points.iter().map(|p| p[1]).filter(|value| chart.y.holds(*value));
        let end = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), plain);
        let [min, median, max] = spread(values()).map_or([None; 3], |found| found.map(Some));
        let numbers = [values().next(), min, median, max, values().next_back()].map(end);
        let count = thousands(values().count() as u64);
        table.row([one_line(&s.name), count].into_iter().chain(numbers).chain([spark(chart, s)]));
    }
    table
}

/// The course of a series in blocks of eight heights; a dot where it is interrupted.
fn spark(chart: &Chart, series: &Series) -> String {
    const HEIGHTS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values: Vec<f64> = series.points.iter().map(|p| p[1]).collect();
    let scale = Scale::new(&chart.y, values.iter().copied(), 5.0);
    let places: Vec<Option<f64>> =
        values.iter().map(|v| chart.y.holds(*v).then(|| scale.place(*v))).collect();
    let held = || places.iter().copied().flatten();
    let (min, max) = (held().fold(1.0, f64::min), held().fold(0.0, f64::max));
    let block = |group: &[Option<f64>]| {
        let held: Vec<f64> = group.iter().copied().flatten().collect();
        if held.is_empty() {
            return '·';
        }
        let mean = held.iter().sum::<f64>() / held.len() as f64;
        HEIGHTS[whole(if max > min { (mean - min) / (max - min) * 7.0 } else { 3.0 }).min(7)]
    };
    let count = places.len().min(SPARK);
    (0..count).map(|i| block(&places[i * places.len() / count..(i + 1) * places.len() / count])).collect()
}

fn scatter_table(chart: &Chart, series: &[Series]) -> Table {
    let heads = ["points", "x min", "x median", "x max", "y min", "y median", "y max"];
    let mut table =
        Table::new([("series", Align::Left)].into_iter().chain(heads.map(|name| (name, Align::Right))));
    for (i, s) in series.iter().enumerate() {
        let held = || s.points.iter().filter(|[x, y]| chart.x.holds(*x) && chart.y.holds(*y));
        let of = |part: usize| {
            spread(held().map(move |p| p[part])).map_or([f64::NAN; 3], |found| found).map(plain)
        };
        let name = format!("{} {}", MARKERS[i % MARKERS.len()], one_line(&s.name));
        let count = thousands(held().count() as u64);
        table.row([name, count].into_iter().chain(of(0)).chain(of(1)));
    }
    table
}

/// The points one by one, while they are few.
fn points(chart: &Chart, series: &[Series]) -> Option<Block> {
    let count: usize = series.iter().map(|s| s.points.len()).sum();
    (1..=POINTS_MAX).contains(&count).then(|| Block::Table(chart.table(POINTS_MAX).0))
}

/// Points as characters on a grid with the ends of both axes.
fn grid(chart: &Chart, series: &[Series]) -> String {
    let all = |part: usize| series.iter().flat_map(move |s| s.points.iter().map(move |p| p[part]));
    let shared = chart.diagonal.is_some();
    let both = |part: usize| all(part).chain(all(1 - part).filter(move |_| shared));
    let (width, height) = ((GRID_WIDTH - 1) as f64, (GRID_HEIGHT - 1) as f64);
    let x = Scale::new(&chart.x, both(0), 5.0).between(0.0, width);
    let y = Scale::new(&chart.y, both(1), 5.0).between(height, 0.0);
    let mut cells = vec![[' '; GRID_WIDTH]; GRID_HEIGHT];
    if shared {
        for (column, row) in (0..GRID_WIDTH).map(|c| (c, whole(height - c as f64 / width * height))) {
            cells[row.min(GRID_HEIGHT - 1)][column] = '.';
        }
    }
    for (i, s) in series.iter().enumerate() {
        for [a, b] in s.points.iter().filter(|[a, b]| chart.x.holds(*a) && chart.y.holds(*b)) {
            let (column, row) = (whole(x.place(*a)), whole(y.place(*b)));
            cells[row.min(GRID_HEIGHT - 1)][column.min(GRID_WIDTH - 1)] = MARKERS[i % MARKERS.len()];
        }
    }
    let (top, bottom) = (shown(&chart.y, y.max()), shown(&chart.y, y.min()));
    let margin = top.chars().count().max(bottom.chars().count());
    let mut text = format!("{} ↑\n", one_line(&chart.y.label));
    for (i, row) in cells.iter().enumerate() {
        let label = if i == 0 {
            &top
        } else if i + 1 == GRID_HEIGHT {
            &bottom
        } else {
            ""
        };
        let row: String = row.iter().collect();
        text.push_str(&format!("{label:>margin$} |{}\n", row.trim_end()));
    }
    let (first, last) = (shown(&chart.x, x.min()), shown(&chart.x, x.max()));
    text.push_str(&format!("{:margin$} +{}\n", "", "-".repeat(GRID_WIDTH)));
    let gap = GRID_WIDTH.saturating_sub(first.chars().count() + last.chars().count()).max(1);
    text.push_str(&format!(
        "{:margin$}  {first}{}{last} → {}\n",
        "",
        " ".repeat(gap),
        one_line(&chart.x.label)
    ));
    text
}
