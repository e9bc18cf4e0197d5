//! Whether the settings of a dataset hold together, so that no row is ever judged by half of a rule.
//!
//! Some checks are what the law of the score rests on: steps that ascend, a damaged title that is worth no more than
//! the shortest one that counts. Nothing here reads a row.

use std::fmt;

use super::artifacts;
use super::dataset::{Column, Dataset, Fill, Kind, Part};
use super::rules::{phrase, sources};

/// A setting that does not fit, by its path below the dataset: `score.parts.2.weight`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path of the key.
    pub key: String,
    /// What is wrong, as a fragment.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.key, self.what)
    }
}

impl std::error::Error for Problem {}

/// Most parts of a score and most fills.
pub(super) const PARTS_MAX: usize = 8;
const FILLS_MAX: usize = 32;

#[derive(Default)]
struct Check(Vec<Problem>);

impl Check {
    fn that(&mut self, holds: bool, key: impl Into<String>, what: impl Into<String>) {
        if !holds {
            self.0.push(Problem { key: key.into(), what: what.into() });
        }
    }
}

/// Everything that does not fit, in the order of the file.
pub(super) fn problems(dataset: &Dataset) -> Vec<Problem> {
    let mut check = Check::default();
    check.that(!dataset.columns.is_empty(), "columns", "there are none");
    check.that(!dataset.key.is_empty(), "key", "names no column");
    let known = |name: &str| dataset.column(name).is_some();
    let column = |check: &mut Check, key: String, name: &str| {
        check.that(known(name), key, format!("no column is called `{name}`"));
    };
    for name in &dataset.key {
        column(&mut check, "key".to_owned(), name);
    }
    for (i, one) in dataset.columns.iter().enumerate() {
        let is_first = dataset.column(&one.name) == Some(i);
        check.that(is_first, format!("columns.{i}.name"), format!("`{}` is there twice", one.name));
        columns(dataset, one, &format!("columns.{i}"), &mut check);
    }
    let fills = dataset.columns.iter().filter(|column| column.fill.is_some()).count();
    check.that(fills <= FILLS_MAX, "columns", format!("{fills} fills, at most {FILLS_MAX}"));
    if let Some(slug) = &dataset.slug {
        column(&mut check, "slug.from".to_owned(), &slug.from);
        check.that(slug.max_chars > 0, "slug.max_chars", "must be at least 1");
    }
    duplicates(dataset, &mut check);
    scoring(dataset, &mut check);
    debris(dataset, &mut check);
    check.0
}

fn columns(dataset: &Dataset, column: &Column, key: &str, check: &mut Check) {
    let known = |name: &String| dataset.column(name).is_some();
    if let Kind::Integer { min, max, default } = column.kind {
        let fits = |value| (min..=max).contains(&value);
        check.that(min <= max, format!("{key}.kind"), format!("min {min} is above max {max}"));
        check.that(default.is_none_or(fits), format!("{key}.kind"), "the default is outside of min and max");
    }
    for text in &column.placeholders {
        let inner = text.trim_end_matches('*');
        let what = format!("`{text}`: a `*` can only stand at the end, behind something");
        check.that(!inner.contains('*') && !inner.trim().is_empty(), format!("{key}.placeholders"), what);
    }
    if let Some(title) = &column.title {
        check.that(column.kind == Kind::Text, format!("{key}.title"), "a title is of kind text");
        let text = title.text.as_ref().filter(|name| !known(name));
        check.that(text.is_none(), format!("{key}.title.text"), "no such column");
    }
    let Some(fill) = &column.fill else { return };
    for from in sources(fill) {
        check.that(known(from), format!("{key}.fill"), format!("no column is called `{from}`"));
    }
    match fill {
        Fill::FirstOf { values, .. } => {
            for word in values.iter().flat_map(|value| &value.words) {
                let what = format!("`{word}` is not one, two or three words");
                check.that((1..=3).contains(&phrase(word).1), format!("{key}.fill"), what);
            }
        }
        Fill::Keywords { max, .. } => {
            check.that(
                column.kind == Kind::List,
                format!("{key}.fill"),
                "keywords fill a column of kind list",
            );
            check.that(*max > 0, format!("{key}.fill"), "max must be at least 1");
        }
        Fill::Constant(_) => {}
    }
}

fn duplicates(dataset: &Dataset, check: &mut Check) {
    let settings = &dataset.duplicates;
    for (key, names) in [("duplicates.within", &settings.within), ("duplicates.near", &settings.near)] {
        for name in names {
            check.that(dataset.column(name).is_some(), key, format!("no column is called `{name}`"));
        }
    }
    let what = "must be between 0 and 1";
    check.that((0.0..=1.0).contains(&settings.similarity), "duplicates.similarity", what);
    if let super::dataset::Survivor::Longest(name) = &settings.survivor {
        let what = format!("no column is called `{name}`");
        check.that(dataset.column(name).is_some(), "duplicates.survivor", what);
    }
}

/// How far weights may be from 1 in sum: decimal fractions are not exact.
const WEIGHTS_OFF: f64 = 1e-9;

fn scoring(dataset: &Dataset, check: &mut Check) {
    let score = &dataset.score;
    check.that((0.0..=1.0).contains(&score.threshold), "score.threshold", "must be between 0 and 1");
    let count = score.parts.len();
    check.that(count <= PARTS_MAX, "score.parts", format!("{count} parts, at most {PARTS_MAX}"));
    let sum: f64 = score.parts.iter().map(Part::weight).sum();
    let is_one = score.parts.is_empty() || (sum - 1.0).abs() < WEIGHTS_OFF;
    check.that(is_one, "score.parts", format!("the weights add up to {sum}, not to 1"));
    for name in score.fragment.keys() {
        let what = format!("no column is called `{name}`");
        check.that(dataset.column(name).is_some(), "score.fragment", what);
    }
    for (i, part) in score.parts.iter().enumerate() {
        let key = format!("score.parts.{i}");
        check.that((0.0..=1.0).contains(&part.weight()), format!("{key}.weight"), "must be between 0 and 1");
        self::part(dataset, part, &key, check);
    }
}

fn part(dataset: &Dataset, part: &Part, key: &str, check: &mut Check) {
    let known = |check: &mut Check, name: &String| {
        let what = format!("no column is called `{name}`");
        check.that(dataset.column(name).is_some(), format!("{key}.column"), what);
    };
    match part {
        Part::Title { column, full_chars, damaged, .. } => {
            known(check, column);
            let title = dataset.column(column).and_then(|at| dataset.columns[at].title.as_ref());
            check.that(title.is_some(), format!("{key}.column"), "the column is no title");
            check.that(*full_chars > 0, format!("{key}.full_chars"), "must be at least 1");
            let shortest = title.map_or(1.0, |title| title.min_chars as f64 / (*full_chars).max(1) as f64);
            let what = format!("must be between 0 and {shortest}, what the shortest title is worth");
            check.that((0.0..=shortest.min(1.0)).contains(damaged), format!("{key}.damaged"), what);
        }
        Part::Steps { column, steps, .. } => {
            known(check, column);
            let ascends = steps.is_sorted_by(|a, b| a.chars < b.chars && a.value <= b.value);
            check.that(ascends, format!("{key}.steps"), "characters and values must ascend");
            let fits = steps.iter().all(|step| (0.0..=1.0).contains(&step.value) && step.chars > 0);
            check.that(fits, format!("{key}.steps"), "values are between 0 and 1, from at least 1 character");
        }
        Part::Count { column, full, .. } => {
            known(check, column);
            let kind = dataset.column(column).map(|at| dataset.columns[at].kind);
            check.that(kind.is_none_or(|kind| kind == Kind::List), format!("{key}.column"), "is no list");
            check.that(*full > 0, format!("{key}.full"), "must be at least 1");
        }
        Part::Present { columns, .. } => {
            check.that(!columns.is_empty(), format!("{key}.columns"), "there are none");
            for name in columns {
                known(check, name);
            }
        }
    }
}

fn debris(dataset: &Dataset, check: &mut Check) {
    let settings = &dataset.artifacts;
    for id in &settings.without {
        let what = format!("no rule is called `{id}`; there are {}", artifacts::IDS.join(", "));
        check.that(artifacts::IDS.contains(&id.as_str()), "artifacts.without", what);
    }
    for name in &settings.columns {
        let what = format!("no column is called `{name}`");
        check.that(dataset.column(name).is_some(), "artifacts.columns", what);
    }
    for marker in &settings.markers {
        let what = format!("`{marker}` is not one, two or three words");
        check.that((1..=3).contains(&phrase(marker).1), "artifacts.markers", what);
    }
    let share = |value: f64| value > 0.0 && value <= 1.0;
    check.that(share(settings.symbols), "artifacts.symbols", "must be above 0 and at most 1");
    check.that(share(settings.template), "artifacts.template", "must be above 0 and at most 1");
}
