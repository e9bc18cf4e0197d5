//! Titles that are missing, too short or cut off: flagged with a suggestion, never rewritten.
//!
//! A mark of a cut (`...`) needs no more evidence. Whether a title without one was cut is judged from its row and from
//! what a first reading of the table taught ([`Learned`]). Nothing here changes a cell or a score.

use super::note::{Finding, Note, Rule};
use super::row::Row;
use super::rules::{Rules, TitleRule, content};

/// A title is there and was cut off.
pub const TRUNCATED: Rule = Rule { id: "truncated_name", version: 1 };
/// A title has too few characters to be one.
pub const SHORT: Rule = Rule { id: "short_name", version: 1 };
/// There is no title.
pub const MISSING: Rule = Rule { id: "missing_name", version: 1 };

/// What a first reading of the table taught about its titles.
#[derive(Debug, Clone, Default)]
pub struct Learned {}

/// Flags the titles of a row.
pub fn check(rules: &Rules, learned: &Learned, row: &Row<'_>, notes: &mut Vec<Note>) {
    for title in &rules.titles {
        let text = content(&row.cells[title.column]).unwrap_or_default().trim();
        let Some((rule, detail)) = judge(rules, learned, title, text, row) else { continue };
        let body = title.text.and_then(|column| content(&row.cells[column]));
        let candidate = body.and_then(|body| suggestion(body, title.suggest_words));
        notes.push(Note::Finding(Some(title.column), Finding { rule, detail, candidate }));
    }
}

fn judge(
    rules: &Rules,
    _learned: &Learned,
    title: &TitleRule,
    text: &str,
    row: &Row<'_>,
) -> Option<(Rule, String)> {
    if rules.is_missing(title.column, &row.cells[title.column]) {
        return Some((MISSING, "there is no title".to_owned()));
    }
    if ends_in_mark(text) {
        return Some((TRUNCATED, "ends in a mark of a cut".to_owned()));
    }
    let chars = text.chars().count();
    if chars < title.min_chars {
        return Some((SHORT, format!("{chars} of at least {} characters", title.min_chars)));
    }
    None
}

/// Whether a title ends with `..`, `...` or `…`, quotes and brackets behind it aside. One dot ends a sentence.
pub(super) fn ends_in_mark(title: &str) -> bool {
    let end = title.trim_end_matches(|c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '\u{201d}' | '\u{2019}' | ')' | ']')
    });
    end.ends_with("..") || end.ends_with('\u{2026}')
}

/// The first words of a text; a single letter at the end is left out.
fn suggestion(text: &str, words: usize) -> Option<String> {
    let is_letter =
        |c: char| c.is_alphabetic() || matches!(c, '\'' | '\u{2019}' | '-' | '\u{300}'..='\u{36f}');
    let mut parts: Vec<&str> = text
        .split(|c| !is_letter(c))
        .filter(|part| part.chars().any(char::is_alphabetic))
        .take(words)
        .collect();
    if parts.len() > 1 && parts.last().is_some_and(|last| last.len() == 1) {
        parts.pop();
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}
