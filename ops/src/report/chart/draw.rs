//! Draws a chart as SVG: the frame with its axes here, the plots in the order of [`Plot`] below.

use super::data::range;
use super::scale::{Scale, brief, shown};
use super::svg::{Anchor, LOOKS, Svg, px};
use super::{Chart, Mark, Plot, Series};
use crate::text::{ellipsis, one_line, thousands};

const WIDTH: f64 = 720.0;
/// Height of the plot of lines and histograms.
const HEIGHT: f64 = 260.0;
/// Height of a horizontal bar with the space below it.
const ROW: f64 = 24.0;
/// More bars than this are left to the table.
const BARS_MAX: usize = 60;
/// More points than this have no title of their own.
const TITLES_MAX: usize = 400;
/// Of more points than this not every one can be seen.
const POINTS_FINE: usize = 4_000;
/// Longer names beside bars and lines are cut; the table holds them whole.
const NAME_CHARS: usize = 34;

/// The part of the drawing where values are.
#[derive(Debug, Clone, Copy)]
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// The chart as an `svg` element; `number` tells the charts of a document apart.
pub(in crate::report) fn svg(chart: &Chart, number: usize) -> String {
    let id = format!("chart-{number}");
    let mut svg = Svg::default();
    let height = match &chart.plot {
        Plot::Bars(rows) => bars(&mut svg, chart, rows),
        Plot::Stacked { parts, rows } => stacked(&mut svg, chart, parts, rows, &id),
        Plot::Histogram(_) => histogram(&mut svg, chart),
        Plot::Lines(series) => lines(&mut svg, chart, series),
        Plot::Scatter(series) => scatter(&mut svg, chart, series),
    };
    svg.finish((WIDTH, height), &id, &one_line(&chart.title), &chart.summary())
}

/// About how wide a text is.
fn width(text: &str) -> f64 {
    text.chars().count() as f64 * 7.0
}

fn name(text: &str) -> String {
    ellipsis(&one_line(text), NAME_CHARS)
}

/// Space on the left for the labels of a scale.
fn margin(scale: &Scale) -> f64 {
    scale.ticks.iter().map(|tick| width(&tick.label)).fold(28.0, f64::max) + 12.0
}

fn x_axis(svg: &mut Svg, frame: Frame, x: &Scale, label: &str) {
    for tick in &x.ticks {
        let at = x.place(tick.at);
        svg.line("grid", (at, frame.top), (at, frame.bottom));
        svg.text("tick", (at, frame.bottom + 16.0), Anchor::Middle, &tick.label);
        if let Some(below) = &tick.below {
            svg.text("tick", (at, frame.bottom + 30.0), Anchor::Middle, below);
        }
    }
    let drop = if x.ticks.iter().any(|tick| tick.below.is_some()) { 48.0 } else { 36.0 };
    svg.text("label", (frame.right, frame.bottom + drop), Anchor::End, &one_line(label));
}

fn y_axis(svg: &mut Svg, frame: Frame, y: &Scale, label: &str) {
    for tick in &y.ticks {
        let at = y.place(tick.at);
        svg.line("grid", (frame.left, at), (frame.right, at));
        svg.text("tick", (frame.left - 8.0, at + 4.0), Anchor::End, &tick.label);
    }
    svg.text("label", (4.0, frame.top - 12.0), Anchor::Start, &one_line(label));
}

fn base_lines(svg: &mut Svg, frame: Frame) {
    svg.line("axis", (frame.left, frame.bottom), (frame.right, frame.bottom));
    svg.line("axis", (frame.left, frame.top), (frame.left, frame.bottom));
}

/// Height that vertical reference lines need for their labels.
fn mark_rows(chart: &Chart) -> f64 {
    chart.marks().count() as f64 * 15.0
}

/// Vertical reference lines, each with its label in a row of its own above the plot.
fn vertical_marks(svg: &mut Svg, chart: &Chart, frame: Frame, x: &Scale) {
    for (i, mark) in chart.marks().enumerate() {
        let (at, row) = (x.place(mark.at), frame.top - 6.0 - 15.0 * i as f64);
        let label = mark_label(chart, mark);
        let anchor = if at > f64::midpoint(frame.left, frame.right) { Anchor::End } else { Anchor::Start };
        svg.line("mark", (at, row - 8.0), (at, frame.bottom));
        let beside = if matches!(anchor, Anchor::End) { -5.0 } else { 5.0 };
        svg.text("label", (at + beside, row), anchor, &label);
    }
}

/// A reference line in words.
fn mark_label(chart: &Chart, mark: &Mark) -> String {
    format!("{}: {}", name(&mark.label), shown(chart.mark_axis(), mark.at))
}

/// Horizontal reference lines with their labels on them.
fn horizontal_marks(svg: &mut Svg, chart: &Chart, frame: Frame, y: &Scale) {
    for mark in chart.marks() {
        let at = y.place(mark.at);
        let label = mark_label(chart, mark);
        svg.line("mark", (frame.left, at), (frame.right, at));
        svg.text("label halo", (frame.left + 6.0, at - 5.0), Anchor::Start, &label);
    }
}

/// The frame of horizontal bars, whose names are `names`, with room for values on the right.
fn bar_frame(names: &[String], top: f64) -> Frame {
    let left = names.iter().map(|name| width(name)).fold(20.0, f64::max) + 12.0;
    Frame { left, right: WIDTH - 64.0, top, bottom: top + ROW * names.len().max(1) as f64 + 4.0 }
}

fn bars(svg: &mut Svg, chart: &Chart, rows: &[(String, f64)]) -> f64 {
    let rows = &rows[..rows.len().min(BARS_MAX)];
    let names: Vec<String> = rows.iter().map(|(text, _)| name(text)).collect();
    let frame = bar_frame(&names, 10.0 + mark_rows(chart));
    let values = rows.iter().map(|(_, value)| *value).chain(chart.marks().map(|mark| mark.at)).chain([0.0]);
    let x = Scale::new(&chart.x, values, 6.0).between(frame.left, frame.right);
    let zero = x.place(x.min().max(0.0));
    x_axis(svg, frame, &x, &chart.x.label);
    let tops = (0..rows.len()).map(|i| frame.top + ROW * i as f64 + 4.0);
    for (((full, value), name), top) in rows.iter().zip(&names).zip(tops.clone()) {
        svg.text("name", (frame.left - 8.0, top + 14.0), Anchor::End, name);
        if chart.x.holds(*value) {
            let end = x.place(*value);
            let title = format!("{}: {}", one_line(full), shown(&chart.x, *value));
            svg.rect("class=\"s0\"", (zero.min(end), top), ((end - zero).abs(), ROW - 6.0), &title);
        }
    }
    svg.line("axis", (zero, frame.top), (zero, frame.bottom));
    vertical_marks(svg, chart, frame, &x);
    // Last, so that no reference line crosses a number.
    for ((_, value), top) in rows.iter().zip(tops) {
        let at = if chart.x.holds(*value) { zero.max(x.place(*value)) } else { frame.left };
        svg.text("tick halo", (at + 5.0, top + 13.0), Anchor::Start, &brief(&chart.x, *value));
    }
    frame.bottom + 46.0
}

fn stacked(svg: &mut Svg, chart: &Chart, parts: &[String], rows: &[(String, Vec<f64>)], id: &str) -> f64 {
    let rows = &rows[..rows.len().min(BARS_MAX)];
    let names: Vec<String> = rows.iter().map(|(text, _)| name(text)).collect();
    let fill = |i: usize| format!("class=\"part\" fill=\"url(#{id}-fill-{i})\"");
    svg.patterns(&format!("{id}-fill-"), parts.len());
    let legend =
        legend(svg, parts, |svg, i, at| svg.rect(&fill(i), (at.0 - 6.0, at.1 - 6.0), (12.0, 12.0), ""));
    let frame = bar_frame(&names, legend + 10.0 + mark_rows(chart));
    let sizes = |values: &[f64]| -> Vec<f64> {
        values.iter().map(|v| if v.is_finite() { v.max(0.0) } else { 0.0 }).collect()
    };
    let totals = rows.iter().map(|(_, values)| sizes(values).iter().sum::<f64>());
    let values = totals.chain(chart.marks().map(|mark| mark.at)).chain([0.0]);
    let x = Scale::new(&chart.x, values, 6.0).between(frame.left, frame.right);
    x_axis(svg, frame, &x, &chart.x.label);
    for (i, ((full, values), name)) in rows.iter().zip(&names).enumerate() {
        let top = frame.top + ROW * i as f64 + 4.0;
        svg.text("name", (frame.left - 8.0, top + 14.0), Anchor::End, name);
        let mut sum = 0.0;
        for (part, size) in sizes(values).into_iter().enumerate().filter(|(_, size)| *size > 0.0) {
            let (from, to) = (x.place(sum), x.place(sum + size));
            let title = format!("{}, {}: {}", one_line(full), one_line(&parts[part]), shown(&chart.x, size));
            svg.rect(&fill(part), (from, top), (to - from, ROW - 6.0), &title);
            sum += size;
        }
        svg.text("tick halo", (x.place(sum) + 5.0, top + 13.0), Anchor::Start, &brief(&chart.x, sum));
    }
    svg.line("axis", (frame.left, frame.top), (frame.left, frame.bottom));
    vertical_marks(svg, chart, frame, &x);
    frame.bottom + 46.0
}

/// Names with their samples in rows above the plot; where the next thing may begin.
fn legend(svg: &mut Svg, names: &[String], sample: impl Fn(&mut Svg, usize, (f64, f64))) -> f64 {
    let (mut x, mut y) = (12.0, 14.0);
    for (i, text) in names.iter().enumerate() {
        let text = name(text);
        if x > 12.0 && x + width(&text) + 16.0 > WIDTH {
            (x, y) = (12.0, y + 20.0);
        }
        sample(svg, i, (x, y));
        svg.text("name", (x + 12.0, y + 4.0), Anchor::Start, &text);
        x += width(&text) + 36.0;
    }
    y + 16.0
}

fn histogram(svg: &mut Svg, chart: &Chart) -> f64 {
    let Plot::Histogram(bins) = &chart.plot else { return HEIGHT };
    let counts = bins.iter().map(|bin| bin.count as f64).chain([0.0]);
    let y = Scale::new(&chart.y, counts, 5.0);
    let top = 30.0 + mark_rows(chart);
    let frame = Frame { left: margin(&y), right: WIDTH - 20.0, top, bottom: top + HEIGHT };
    let y = y.between(frame.bottom, frame.top);
    let ends = bins.iter().flat_map(|bin| [bin.from, bin.to]).chain(chart.marks().map(|mark| mark.at));
    let x = Scale::new(&chart.x, ends, 10.0).between(frame.left, frame.right);
    y_axis(svg, Frame { top: 26.0, ..frame }, &y, &chart.y.label);
    x_axis(svg, frame, &x, &chart.x.label);
    for bin in bins.iter().filter(|bin| bin.count > 0) {
        let (from, to, high) = (x.place(bin.from), x.place(bin.to), y.place(bin.count as f64));
        let title = format!("{}: {}", range(&chart.x, bin), thousands(bin.count));
        // Something is always seen of a bin that is not empty.
        let (wide, tall) = ((to - from - 1.0).max(1.0), (frame.bottom - high).max(1.0));
        svg.rect("class=\"s0\"", (from + 0.5, frame.bottom - tall), (wide, tall), &title);
        if to - from >= width(&thousands(bin.count)) {
            svg.text(
                "tick halo",
                (f64::midpoint(from, to), frame.bottom - tall - 4.0),
                Anchor::Middle,
                &thousands(bin.count),
            );
        }
    }
    base_lines(svg, frame);
    vertical_marks(svg, chart, frame, &x);
    frame.bottom + 46.0
}

fn lines(svg: &mut Svg, chart: &Chart, series: &[Series]) -> f64 {
    let xs = series.iter().flat_map(|s| s.points.iter().map(|p| p[0]).chain(s.band.iter().map(|b| b[0])));
    let ys = series
        .iter()
        .flat_map(|s| s.points.iter().map(|p| p[1]).chain(s.band.iter().flat_map(|b| [b[1], b[2]])));
    let y = Scale::new(&chart.y, ys.chain(chart.marks().map(|mark| mark.at)), 5.0);
    let marks = chart.marks().map(|mark| mark_label(chart, mark));
    let names: Vec<String> = series.iter().map(|s| name(&s.name)).chain(marks).collect();
    let room = names.iter().map(|name| width(name)).fold(0.0, f64::max) + 30.0;
    let frame = Frame { left: margin(&y), right: WIDTH - room, top: 30.0, bottom: 30.0 + HEIGHT };
    let y = y.between(frame.bottom, frame.top);
    let x = Scale::new(&chart.x, xs, 6.0).between(frame.left, frame.right);
    y_axis(svg, frame, &y, &chart.y.label);
    x_axis(svg, frame, &x, &chart.x.label);
    base_lines(svg, frame);
    let mut ends = Vec::new();
    for (look, s) in series.iter().enumerate() {
        svg.path(&format!("band s{}", look % LOOKS), &band(chart, s, &x, &y));
        let places = placed(chart, s, &x, &y);
        svg.path(&format!("line s{0} dash{0}", look % LOOKS), &path(&thinned(&places)));
        let held: Vec<(usize, (f64, f64))> =
            places.iter().enumerate().filter_map(|(i, place)| place.map(|place| (i, place))).collect();
        // All points while they are few, else some, to tell the lines apart.
        let stride = if held.len() <= 60 { 1 } else { held.len().div_ceil(8) };
        for (i, place) in held.iter().step_by(stride) {
            let [at, value] = s.points[*i];
            let title = format!("{}, {}: {}", one_line(&s.name), shown(&chart.x, at), shown(&chart.y, value));
            svg.marker(look, *place, &title);
        }
        if let Some((_, place)) = held.last() {
            ends.push((*place, Some(look), &names[look]));
        }
    }
    for (mark, label) in chart.marks().zip(&names[series.len()..]) {
        let at = y.place(mark.at);
        svg.line("mark", (frame.left, at), (frame.right, at));
        ends.push(((frame.right, at), None, label));
    }
    end_labels(svg, frame, ends);
    frame.bottom + 58.0
}

/// Where the points of a series lie; `None` where the line is interrupted.
fn placed(chart: &Chart, series: &Series, x: &Scale, y: &Scale) -> Vec<Option<(f64, f64)>> {
    let place =
        |[a, b]: &[f64; 2]| (chart.x.holds(*a) && chart.y.holds(*b)).then(|| (x.place(*a), y.place(*b)));
    series.points.iter().map(place).collect()
}

/// Of points that fall into one column of pixels only the first, the lowest, the highest and the last.
fn thinned(places: &[Option<(f64, f64)>]) -> Vec<Option<(f64, f64)>> {
    let column = |place: &Option<(f64, f64)>| place.map(|(x, _)| x.round().to_bits());
    let mut kept = Vec::new();
    for group in places.chunk_by(|a, b| column(a) == column(b)) {
        if group.len() <= 4 || group[0].is_none() {
            kept.extend_from_slice(&group[..group.len().min(4)]);
            continue;
        }
        let height = |i: &usize| group[*i].map_or(0.0, |(_, y)| y);
        let by_height = |a: &usize, b: &usize| height(a).total_cmp(&height(b));
        let least = (0..group.len()).min_by(by_height).unwrap_or(0);
        let most = (0..group.len()).max_by(by_height).unwrap_or(0);
        let mut at = vec![0, least, most, group.len() - 1];
        at.sort_unstable();
        at.dedup();
        kept.extend(at.into_iter().map(|i| group[i]));
    }
    kept
}

fn path(places: &[Option<(f64, f64)>]) -> String {
    let mut d = String::new();
    for run in places.split(Option::is_none).filter(|run| !run.is_empty()) {
        for (i, (x, y)) in run.iter().flatten().enumerate() {
            d.push_str(&format!("{}{} {}", if i == 0 { 'M' } else { 'L' }, px(*x), px(*y)));
        }
        if run.len() == 1 {
            // A lone point is a dot, drawn by the round end of the line.
            d.push_str("h0");
        }
    }
    d
}

/// The outline of the band: along its upper ends and back along the lower ones.
fn band(chart: &Chart, series: &Series, x: &Scale, y: &Scale) -> String {
    let holds =
        |[at, low, high]: &[f64; 3]| chart.x.holds(*at) && chart.y.holds(*low) && chart.y.holds(*high);
    let mut d = String::new();
    for run in series.band.split(|b| !holds(b)).filter(|run| !run.is_empty()) {
        let upper = thinned(
            &run.iter().map(|[at, _, high]| Some((x.place(*at), y.place(*high)))).collect::<Vec<_>>(),
        );
        let lower =
            thinned(&run.iter().map(|[at, low, _]| Some((x.place(*at), y.place(*low)))).collect::<Vec<_>>());
        for (i, (x, y)) in upper.iter().chain(lower.iter().rev()).flatten().enumerate() {
            d.push_str(&format!("{}{} {}", if i == 0 { 'M' } else { 'L' }, px(*x), px(*y)));
        }
        d.push('z');
    }
    d
}

/// The names of lines at their ends with the markers of those lines, moved apart where they would overlap.
fn end_labels(svg: &mut Svg, frame: Frame, mut ends: Vec<((f64, f64), Option<usize>, &String)>) {
    ends.sort_by(|a, b| a.0.1.total_cmp(&b.0.1));
    let total = 15.0 * ends.len() as f64;
    let mut free = frame.top - 7.0;
    for (i, ((_, y), look, name)) in ends.iter().enumerate() {
        let below = total - 15.0 * i as f64;
        let at = y.max(free).min((frame.bottom + 15.0 - below).max(free));
        if let Some(look) = look {
            svg.marker(*look, (frame.right + 12.0, at), "");
        }
        svg.text("name halo", (frame.right + 20.0, at + 4.0), Anchor::Start, name);
        free = at + 15.0;
    }
}

fn scatter(svg: &mut Svg, chart: &Chart, series: &[Series]) -> f64 {
    let names: Vec<String> = series.iter().map(|s| s.name.clone()).collect();
    let top = if series.len() > 1 { legend(svg, &names, |svg, i, at| svg.marker(i, at, "")) } else { 8.0 };
    let all = |part: usize| series.iter().flat_map(move |s| s.points.iter().map(move |p| p[part]));
    // With the diagonal, both axes reach equally far.
    let shared = chart.diagonal.is_some();
    let both = |part: usize| all(part).chain(all(1 - part).filter(move |_| shared));
    let y = Scale::new(&chart.y, both(1).chain(chart.marks().map(|mark| mark.at)), 6.0);
    let marks = chart.marks().map(|mark| mark.at).filter(|_| shared);
    let frame =
        Frame { left: margin(&y), right: WIDTH - 20.0, top: top + 26.0, bottom: top + 26.0 + 1.5 * HEIGHT };
    let y = y.between(frame.bottom, frame.top);
    let x = Scale::new(&chart.x, both(0).chain(marks), 6.0).between(frame.left, frame.right);
    y_axis(svg, frame, &y, &chart.y.label);
    x_axis(svg, frame, &x, &chart.x.label);
    base_lines(svg, frame);
    if let Some(label) = &chart.diagonal {
        svg.line("mark", (x.place(x.min()), y.place(x.min())), (x.place(x.max()), y.place(x.max())));
        svg.text(
            "label",
            (frame.right, frame.top - 12.0),
            Anchor::End,
            &format!("dotted: {}", one_line(label)),
        );
    }
    let is_few = series.iter().map(|s| s.points.len()).sum::<usize>() <= TITLES_MAX;
    for (look, s) in series.iter().enumerate() {
        // Points that would cover each other are drawn once; the more there are, the sooner they do.
        let cell = if s.points.len() > POINTS_FINE { 3.0 } else { 1.0 };
        let bits = |place: f64| (place / cell).round().to_bits();
        let mut seen = std::collections::BTreeSet::new();
        for ([a, b], place) in s.points.iter().zip(placed(chart, s, &x, &y)) {
            let Some(at) = place.filter(|(x, y)| seen.insert((bits(*x), bits(*y)))) else { continue };
            let title = || format!("{}: {}, {}", one_line(&s.name), shown(&chart.x, *a), shown(&chart.y, *b));
            svg.marker(look, at, &if is_few { title() } else { String::new() });
        }
    }
    horizontal_marks(svg, chart, frame, &y);
    frame.bottom + 50.0
}
