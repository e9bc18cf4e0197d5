//! What would bring a fragment over the threshold: single changes, the cheapest first, in words.

use super::super::dataset::Part;
use super::super::row::Row;
use super::super::rules::{PartRule, Rules, content};
use super::{Score, measure, round};

/// A change of one part that is enough alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// Which part, by its place in the score.
    pub part: usize,
    /// What to add, as a fragment: `19 more characters of name (24 instead of 5)`.
    pub text: String,
    /// Characters that somebody would have to write, roughly; what the list is sorted by.
    pub effort: usize,
}

/// Characters of a word that somebody adds, for comparing efforts.
const WORD_CHARS: usize = 7;

/// Single changes that bring a row over the threshold; none for a row that is over it, or that no single change saves.
pub fn advise(rules: &Rules, row: &Row<'_>, score: &Score) -> Vec<Advice> {
    let threshold = round(rules.dataset.score.threshold);
    if !score.is_fragment(&rules.dataset.score) {
        return Vec::new();
    }
    let mut found: Vec<Advice> = Vec::new();
    for (i, part) in rules.parts.iter().enumerate() {
        let settings = &rules.dataset.score.parts[i];
        let is_enough =
            |value: f64| round(score.total + settings.weight() * (value - score.parts[i])) >= threshold;
        if is_enough(1.0)
            && let Some((text, effort)) = change(rules, part, settings, row, score.parts[i], &is_enough)
        {
            found.push(Advice { part: i, text, effort });
        }
    }
    found.sort_by_key(|advice| advice.effort);
    found
}

fn change(
    rules: &Rules,
    part: &PartRule,
    settings: &Part,
    row: &Row<'_>,
    value: f64,
    is_enough: &impl Fn(f64) -> bool,
) -> Option<(String, usize)> {
    let text = |column: usize| row.cells.get(column).and_then(content).unwrap_or_default();
    let name = |column: usize| &rules.dataset.columns[column].name;
    let longer = |column: usize, has: usize, needs: usize| {
        let more = needs.saturating_sub(has);
        (format!("{more} more characters of {} ({needs} instead of {has})", name(column)), more)
    };
    match part {
        PartRule::Title { column, min_chars, full_chars, .. } => {
            let needs =
                (*min_chars..=*full_chars).find(|chars| is_enough(*chars as f64 / *full_chars as f64))?;
            Some(longer(*column, measure::title_chars(text(*column), *full_chars), needs))
        }
        PartRule::Steps { column, steps } => {
            let (needs, _) = steps.iter().find(|(_, value)| is_enough(*value))?;
            Some(longer(*column, measure::chars(text(*column), *needs), *needs))
        }
        PartRule::Count { column, full, .. } => {
            let needs = (1..=*full).find(|count| is_enough(*count as f64 / *full as f64))?;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most `full`")]
            let has = (value * *full as f64).round() as usize;
            let more = needs.saturating_sub(has);
            let word = if more == 1 { "word" } else { "words" };
            Some((
                format!("{more} more {word} in {} ({needs} instead of {has})", name(*column)),
                more * WORD_CHARS,
            ))
        }
        PartRule::Present { columns } => {
            let Part::Present { .. } = settings else { return None };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of the columns"
            )]
            let has = (value * columns.len() as f64).round() as usize;
            let needs =
                (has..=columns.len()).find(|count| is_enough(*count as f64 / columns.len() as f64))?;
            let more = needs - has;
            let empty = columns.iter().filter(|(column, _)| {
                row.cells.get(*column).is_none_or(|cell| rules.is_missing(*column, cell))
            });
            let names: Vec<&str> = empty.map(|(column, _)| name(*column).as_str()).collect();
            let values = if more == 1 { "a value in one".to_owned() } else { format!("values in {more}") };
            Some((format!("{values} of {}", names.join(", ")), more * WORD_CHARS))
        }
    }
}
