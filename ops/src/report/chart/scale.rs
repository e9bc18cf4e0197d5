//! Where a value lies on an axis, and at which values its ticks stand.
//!
//! Any set of values gives a usable scale: none, one, equal ones, huge and tiny ones.

use super::{Axis, Bin, Kind};
use crate::clock::Stamp;

/// Values beyond this are drawn at it, so that a difference of two stays finite.
const HUGE: f64 = 1e300;
/// About how many bins a distribution gets.
const BINS: f64 = 20.0;
const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;
/// Steps between ticks of time that are not counted in months.
const TIME_STEPS: [f64; 20] = [
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    MINUTE,
    2.0 * MINUTE,
    5.0 * MINUTE,
    10.0 * MINUTE,
    15.0 * MINUTE,
    30.0 * MINUTE,
    HOUR,
    2.0 * HOUR,
    3.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
    2.0 * DAY,
    7.0 * DAY,
];
/// Steps between ticks of time that are counted in months.
const MONTH_STEPS: [i64; 8] = [1, 2, 3, 6, 12, 24, 60, 120];

/// A place on an axis with its label, and a second line where the day or the year begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) label: String,
    pub(super) below: Option<String>,
}

/// An axis that is fitted to its values and to a stretch of the drawing.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    kind: Kind,
    min: f64,
    max: f64,
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) ticks: Vec<Tick>,
}

impl Scale {
    /// The scale of `axis` that shows all of `values` with about `target` ticks, from 0 to 1 of the drawing.
    pub(super) fn new(axis: &Axis, values: impl Iterator<Item = f64>, target: f64) -> Self {
        let held = values.filter(|value| axis.holds(*value)).map(|value| value.clamp(-HUGE, HUGE));
        let (mut min, mut max) = held.fold((f64::MAX, f64::MIN), |(min, max), v| (min.min(v), max.max(v)));
        if min > max {
            (min, max) = if axis.kind == Kind::Log { (1.0, 10.0) } else { (0.0, 1.0) };
        }
        let (min, max, ticks) = match axis.kind {
            Kind::Linear => linear(min, max, target),
            Kind::Log => log(min, max, target),
            Kind::Time => time(min, max, target),
        };
        Self { kind: axis.kind, min, max, from: 0.0, to: 1.0, ticks }
    }

    /// The same scale between two places of the drawing.
    pub(super) fn between(mut self, from: f64, to: f64) -> Self {
        (self.from, self.to) = (from, to);
        self
    }

    /// Where `value` lies; one outside lies at the nearer end.
    pub(super) fn place(&self, value: f64) -> f64 {
        let fraction = |value: f64, min: f64, max: f64| ((value - min) / (max - min)).clamp(0.0, 1.0);
        let part = match self.kind {
            Kind::Log => fraction(value.log10(), self.min.log10(), self.max.log10()),
            Kind::Linear | Kind::Time => fraction(value.clamp(-HUGE, HUGE), self.min, self.max),
        };
        if part.is_finite() { self.from + part * (self.to - self.from) } else { self.from }
    }

    /// The lowest value that has a place.
    pub(super) fn min(&self) -> f64 {
        self.min
    }

    /// The highest value that has a place.
    pub(super) fn max(&self) -> f64 {
        self.max
    }
}

/// 1, 2 or 5 times a power of ten that is at least `rough`.
fn nice(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.log10().floor());
    let factor = rough / power;
    let factor = [1.0, 2.0, 5.0].into_iter().find(|nice| factor <= nice * 1.000_001).unwrap_or(10.0);
    factor * power
}

/// Round ends around `min` and `max`, and the round step between ticks; the ends differ.
fn round_ends(mut min: f64, mut max: f64, target: f64) -> (f64, f64, f64) {
    // Equal ends, or ends so near that no step between them can be told from rounding.
    let size = min.abs().max(max.abs());
    if max - min <= size * 1e-12 {
        let pad = if size < 1e-290 { 1.0 } else { size * 0.5 };
        (min, max) = (min - pad, max + pad);
        if min < 0.0 && min + pad >= 0.0 {
            min = 0.0;
        }
    }
    let step = nice((max - min) / target.max(1.0));
    ((min / step + 1e-9).floor() * step, (max / step - 1e-9).ceil() * step, step)
}

fn linear(min: f64, max: f64, target: f64) -> (f64, f64, Vec<Tick>) {
    let (min, max, step) = round_ends(min, max, target);
    let count = steps(min, max, step);
    let ticks = (0..=count).map(|i| {
        let at = multiple((min / step).round() + f64::from(i), step);
        Tick { at, label: label(at, step), below: None }
    });
    (min, max, ticks.collect())
}

/// `n` steps, exactly: three times 0.1 is 0.3, because the inverse of a step below one is a whole number.
fn multiple(n: f64, step: f64) -> f64 {
    let inverse = (1.0 / step).round();
    if step < 1.0 && inverse < 1e15 { n / inverse } else { n * step }
}

/// How many steps lie between the ends, few whatever the numbers are.
fn steps(min: f64, max: f64, step: f64) -> u32 {
    let count = ((max - min) / step).round().clamp(1.0, 1000.0);
    (1..=1000).find(|n| f64::from(*n) >= count).unwrap_or(1)
}

/// The highest of 1, 2 and 5 times powers of ten that is not above `value`, or the lowest that is not below.
fn round_log(value: f64, up: bool) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    let rounded = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    let near = |a: f64| (a / value - 1.0).abs() < 1e-9;
    if up {
        rounded.into_iter().find(|a| *a >= value || near(*a)).unwrap_or(value)
    } else {
        rounded.into_iter().rev().find(|a| *a <= value || near(*a)).unwrap_or(value)
    }
}

fn log(min: f64, max: f64, target: f64) -> (f64, f64, Vec<Tick>) {
    let (min, max) = (min.max(1e-300), max.max(1e-300));
    let (mut low, mut high) = (round_log(min, false), round_log(max, true));
    if high / low < 1.5 {
        (low, high) = (round_log(low / 2.0, false), round_log(high * 2.0, true));
    }
    let (first, last) = (low.log10().floor(), high.log10().ceil());
    let decades = last - first;
    let factors: &[f64] = if decades * 3.0 <= target * 1.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let stride = (decades / target.max(1.0)).ceil().max(1.0);
    let count = steps(first, last, stride);
    let mut ticks = Vec::new();
    for i in 0..=count {
        for factor in factors {
            let at = factor * 10_f64.powf(first + f64::from(i) * stride);
            if at >= low * (1.0 - 1e-9) && at <= high * (1.0 + 1e-9) {
                ticks.push(Tick { at, label: label(at, at), below: None });
            }
        }
    }
    (low, high, ticks)
}

fn time(min: f64, max: f64, target: f64) -> (f64, f64, Vec<Tick>) {
    // Beyond these, calendars have no name for the instant.
    let (mut min, mut max) = (min.clamp(-6e10, 2e11), max.clamp(-6e10, 2e11));
    if max - min < 1.0 {
        (min, max) = (min - 30.0, max + 30.0);
    }
    let rough = (max - min) / target.max(1.0);
    let ticks = match TIME_STEPS.into_iter().find(|step| *step >= rough) {
        Some(step) => clock_ticks(min, max, step),
        None => month_ticks(min, max, rough),
    };
    (min, max, ticks)
}

/// `2026-01-02T03:04:05Z` of an instant.
fn iso(at: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "clamped to the years that have a name")]
    let seconds = at.round().clamp(-6e10, 2e11) as i64;
    Stamp::from_unix(seconds).map_or_else(String::new, Stamp::iso)
}

fn clock_ticks(min: f64, max: f64, step: f64) -> Vec<Tick> {
    let first = (min / step).ceil();
    let mut day = String::new();
    let ticks = (0..=50).map(|i| (first + f64::from(i)) * step).take_while(|at| *at <= max);
    let tick = |at: f64| {
        let text = iso(at);
        let (date, clock) = text.split_once('T').unwrap_or_default();
        let (label, group) = if step >= DAY {
            (date.get(5..).unwrap_or_default(), date.get(..4).unwrap_or_default())
        } else {
            (clock.get(..if step < MINUTE { 8 } else { 5 }).unwrap_or_default(), date)
        };
        let below = (group != day).then(|| group.to_owned());
        group.clone_into(&mut day);
        Tick { at, label: label.to_owned(), below }
    };
    ticks.map(tick).collect()
}

fn month_ticks(min: f64, max: f64, rough: f64) -> Vec<Tick> {
    let rough = rough / (30.44 * DAY);
    let step = MONTH_STEPS.into_iter().find(|step| *step as f64 >= rough).unwrap_or(1200);
    let year: i64 = iso(min).get(..4).and_then(|year| year.parse().ok()).unwrap_or(1970);
    let mut month = year * 12 - (year * 12).rem_euclid(step);
    let mut ticks = Vec::new();
    let mut shown = String::new();
    while ticks.len() < 50 {
        let (year, part) = (month.div_euclid(12), month.rem_euclid(12) + 1);
        let Some(at) = Stamp::parse(&format!("{year:04}-{part:02}-01T00:00:00Z")) else { break };
        let at = at.unix() as f64;
        if at > max {
            break;
        }
        if at >= min {
            let year = format!("{year:04}");
            let tick = if step >= 12 {
                Tick { at, label: year, below: None }
            } else {
                let below = (year != shown).then(|| year.clone());
                shown = year;
                Tick { at, label: MONTHS[usize::try_from(part - 1).unwrap_or(0)].to_owned(), below }
            };
            ticks.push(tick);
        }
        month += step;
    }
    ticks
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A number as short as a tick allows: with the decimals that `step` needs, thousands as k, millions as M.
fn label(at: f64, step: f64) -> String {
    let at = if at == 0.0 { 0.0 } else { at };
    let size = at.abs().max(step.abs());
    if !(1e-4..1e15).contains(&size) {
        return exponent(at);
    }
    let (unit, suffix) = match size {
        s if s >= 1e12 => (1e12, "T"),
        s if s >= 1e9 => (1e9, "G"),
        s if s >= 1e6 => (1e6, "M"),
        s if s >= 1e4 => (1e3, "k"),
        _ => (1.0, ""),
    };
    let text = decimals(at / unit, step / unit);
    if at == 0.0 { text } else { text + suffix }
}

/// `1e20` and not `1e20.0`; zero stays zero.
fn exponent(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let text = format!("{value:.2e}");
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{power}", trim(mantissa))
}

fn trim(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// With as many decimals as a step needs, none of them in vain.
fn decimals(value: f64, step: f64) -> String {
    let digits = (0..=9).find(|n| step.abs() * 10_f64.powi(*n) >= 0.999).unwrap_or(9);
    let digits = usize::try_from(digits + 1).unwrap_or(0);
    let text = format!("{value:.digits$}");
    trim(&text).to_owned()
}

/// A value as tables show it: six significant digits, or a date.
pub(super) fn shown(axis: &Axis, value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if axis.kind == Kind::Time {
        return iso(value);
    }
    significant(value)
}

/// A value as it stands beside its bar: four significant digits, or a date.
pub(super) fn brief(axis: &Axis, value: f64) -> String {
    if axis.kind == Kind::Time || !value.is_finite() { shown(axis, value) } else { digits(value, 4) }
}

/// Six significant digits without zeros in vain; whole numbers whole.
pub(super) fn significant(value: f64) -> String {
    digits(value, 6)
}

/// So many significant digits, and never fewer than a whole number has.
fn digits(value: f64, significant: usize) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.fract() == 0.0 && size < 1e15 {
        return format!("{value:.0}");
    }
    if !(1e-4..1e15).contains(&size) {
        let text = format!("{value:.0$e}", significant - 1);
        let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
        return format!("{}e{power}", trim(mantissa));
    }
    let enough = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5][significant - 1];
    let digits = (0..=9).find(|n| size * 10_f64.powi(*n) >= enough).unwrap_or(9);
    let digits = usize::try_from(digits).unwrap_or(0);
    trim(&format!("{value:.digits$}")).to_owned()
}

/// About twenty bins with round ends that hold every value that has a place on `axis`.
pub(super) fn bins(axis: &Axis, values: &[f64]) -> Vec<Bin> {
    let held: Vec<f64> =
        values.iter().copied().filter(|v| axis.holds(*v)).map(|v| v.clamp(-HUGE, HUGE)).collect();
    let Some(min) = held.iter().copied().reduce(f64::min) else { return Vec::new() };
    let max = held.iter().copied().fold(min, f64::max);
    let edges = if axis.kind == Kind::Log { log_edges(min, max) } else { linear_edges(min, max) };
    let mut bins: Vec<Bin> =
        edges.windows(2).map(|pair| Bin { from: pair[0], to: pair[1], count: 0 }).collect();
    for value in held {
        let after = bins.partition_point(|bin| bin.to <= value);
        let at = after.min(bins.len().saturating_sub(1));
        if let Some(bin) = bins.get_mut(at) {
            bin.count += 1;
        }
    }
    bins
}

fn linear_edges(min: f64, max: f64) -> Vec<f64> {
    let (min, max, step) = round_ends(min, max, BINS);
    let start = (min / step).round();
    (0..=steps(min, max, step)).map(|i| multiple(start + f64::from(i), step)).collect()
}

fn log_edges(min: f64, max: f64) -> Vec<f64> {
    let (low, high) = (round_log(min.max(1e-300), false), round_log(max.max(1e-300), true));
    let (first, last) = (low.log10().floor(), high.log10().ceil());
    let stride = ((last - first) / 40.0).ceil().max(1.0);
    let factors: &[f64] = if stride > 1.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let decades =
        (0..=steps(first, last.max(first + 1.0), stride)).map(|i| 10_f64.powf(first + f64::from(i) * stride));
    let edges: Vec<f64> = decades.flat_map(|power| factors.iter().map(move |f| f * power)).collect();
    let begin = edges.iter().rposition(|edge| *edge <= low * (1.0 + 1e-9)).unwrap_or(0);
    let end = edges.iter().position(|edge| *edge >= high * (1.0 - 1e-9)).unwrap_or(edges.len() - 1);
    edges[begin..=end.max(begin + 1).min(edges.len() - 1)].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<&str> {
        scale.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    fn linear_of(values: &[f64]) -> Scale {
        Scale::new(&Axis::linear(""), values.iter().copied(), 5.0)
    }

    #[test]
    fn linear_ticks_are_round() {
        assert_eq!(labels(&linear_of(&[0.0, 1.0])), ["0", "0.2", "0.4", "0.6", "0.8", "1"]);
        assert_eq!(labels(&linear_of(&[3.0, 97.0])), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(&linear_of(&[-1.0, 1.0])), ["-1", "-0.5", "0", "0.5", "1"]);
        assert_eq!(labels(&linear_of(&[0.0, 40_000.0])), ["0", "10k", "20k", "30k", "40k"]);
        assert_eq!(labels(&linear_of(&[0.0, 2e20])), ["0", "5e19", "1e20", "1.5e20", "2e20"]);
    }

    #[test]
    fn any_values_give_a_scale() {
        let hostile = [
            vec![],
            vec![0.0],
            vec![5.0],
            vec![-5.0, -5.0],
            vec![f64::NAN, f64::INFINITY],
            vec![f64::MAX, f64::MIN],
            vec![f64::MIN_POSITIVE, 5e-324],
            vec![1e16, 1e16 + 2.0],
            vec![1.0, 1.0 + f64::EPSILON],
            vec![0.0, 1e-320],
        ];
        for axis in [Axis::linear(""), Axis::log(""), Axis::time("")] {
            for values in &hostile {
                let scale = Scale::new(&axis, values.iter().copied(), 5.0).between(10.0, 20.0);
                assert!(scale.min < scale.max, "{axis:?} {values:?} {scale:?}");
                assert!(scale.ticks.len() < 100, "{axis:?} {values:?}");
                for value in values.iter().chain(&[0.0, -1.0, f64::NAN]) {
                    let place = scale.place(*value);
                    assert!((10.0..=20.0).contains(&place), "{axis:?} {values:?} {value} {place}");
                }
                let count: u64 = bins(&axis, values).iter().map(|bin| bin.count).sum();
                assert_eq!(
                    count,
                    values.iter().filter(|v| axis.holds(**v)).count() as u64,
                    "{axis:?} {values:?}"
                );
            }
        }
    }

    #[test]
    fn log_ticks_are_one_two_five_where_there_is_room() {
        let of = |values: &[f64]| Scale::new(&Axis::log(""), values.iter().copied(), 5.0);
        assert_eq!(labels(&of(&[3.0, 40.0])), ["2", "5", "10", "20", "50"]);
        assert_eq!(labels(&of(&[1.0, 30_000.0])), ["1", "10", "100", "1000", "10k"]);
        assert_eq!(labels(&of(&[10.0])), ["5", "10", "20"]);
        assert!(of(&[1e-12, 1e12]).ticks.len() <= 8);
    }

    #[test]
    fn time_ticks_name_the_day_once() {
        let at = |text: &str| Stamp::parse(text).unwrap().unix() as f64;
        let of = |from: &str, to: &str| Scale::new(&Axis::time(""), [at(from), at(to)].into_iter(), 5.0);
        let shown = |scale: &Scale| -> Vec<String> {
            let one = |tick: &Tick| {
                format!("{} {}", tick.label, tick.below.as_deref().unwrap_or(".")).trim().to_owned()
            };
            scale.ticks.iter().map(one).collect()
        };
        assert_eq!(
            shown(&of("2026-01-01T20:00:00Z", "2026-01-02T02:00:00Z")),
            ["20:00 2026-01-01", "22:00 .", "00:00 2026-01-02", "02:00 ."]
        );
        assert_eq!(
            shown(&of("2025-10-20T00:00:00Z", "2026-02-10T00:00:00Z")),
            ["Nov 2025", "Dec .", "Jan 2026", "Feb ."]
        );
        assert_eq!(
            shown(&of("2001-01-01T00:00:00Z", "2010-02-10T00:00:00Z")),
            ["2002 .", "2004 .", "2006 .", "2008 .", "2010 ."]
        );
    }

    #[test]
    fn numbers_in_tables_have_six_digits() {
        for (value, text) in [
            (0.1 + 0.2, "0.3"),
            (1_234_567.0, "1234567"),
            (12.345_678_9, "12.3457"),
            (1e-9, "1e-9"),
            (-2.5e20, "-2.5e20"),
        ] {
            assert_eq!(significant(value), text);
        }
    }

    #[test]
    fn a_distribution_has_round_ends_and_every_value() {
        let values: Vec<f64> = (0..=100).map(|i| f64::from(i) / 100.0).collect();
        let found = bins(&Axis::linear(""), &values);
        assert_eq!(found.len(), 20);
        assert_eq!((found[0].from, found[19].to, found[19].count), (0.0, 1.0, 6));
        let found = bins(&Axis::log(""), &[1.0, 3.0, 900.0]);
        assert_eq!(found.iter().map(|bin| bin.count).sum::<u64>(), 3);
        assert_eq!((found[0].from, found.last().unwrap().to), (1.0, 1000.0));
    }
}
