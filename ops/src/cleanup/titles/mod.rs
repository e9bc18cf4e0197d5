//! Titles that are missing, too short or cut off: flagged with a suggestion, never rewritten.
//!
//! A mark of a cut (`...`) needs no more evidence. Whether a title without one was cut is judged from its row and from
//! what a first reading of the table taught ([`Learned`]). Nothing here changes a cell or a score.

mod evidence;
mod survey;
mod vocabulary;

use self::evidence::Cut;
use super::note::{Finding, Note, Rule};
use super::row::Row;
use super::rules::{Rules, TitleRule, content};
use super::words::{Splits, Word, words};

pub use survey::{Learned, Survey};
pub(super) use vocabulary::COMMON_CHARS;

/// A title is there and was cut off.
pub const TRUNCATED: Rule = Rule { id: "truncated_name", version: 1 };
/// A title has too few characters to be one.
pub const SHORT: Rule = Rule { id: "short_name", version: 1 };
/// There is no title.
pub const MISSING: Rule = Rule { id: "missing_name", version: 1 };

/// A text was cut off.
pub const TRUNCATED_TEXT: Rule = Rule { id: "truncated_text", version: 1 };

/// Flags the titles and the scored texts of a row, whose texts are split. Returns what words are read of in place of a
/// title that its own row shows to be damaged, and the column of that. What the table teaches has no say in it: what is
/// filled in must be the same when the cleaned table is cleaned again.
pub(super) fn check(
    rules: &Rules,
    learned: &Learned,
    row: &Row<'_>,
    splits: &Splits,
    notes: &mut Vec<Note>,
) -> Option<(usize, String)> {
    let mut stand_in = None;
    for (number, title) in rules.titles.iter().enumerate() {
        let whole = content(&row.cells[title.column]).unwrap_or_default();
        let text = Text::of(whole, title.column, splits);
        let Judgement { reason, is_shown } = judge(rules, learned, (number, title), &text, row);
        if reason.is_none() && !is_shown {
            continue;
        }
        let body = title.text.and_then(|column| content(&row.cells[column]));
        let candidate = body.and_then(|body| suggestion(body, title.suggest_words));
        if is_shown && stand_in.is_none() {
            stand_in = candidate.clone().map(|text| (title.column, text));
        }
        if let Some((rule, detail)) = reason {
            notes.push(Note::Finding(Some(title.column), Finding { rule, detail, candidate }));
        }
    }
    for (number, column) in rules.texts.iter().enumerate() {
        let whole = row.cells.get(*column).and_then(content).unwrap_or_default();
        let text = Text::of(whole, *column, splits);
        let detail = if text.trimmed.is_empty() {
            None
        } else if ends_in_mark(text.trimmed) {
            Some(MARK.to_owned())
        } else {
            evidence::of_text(learned, rules, number, &text)
        };
        if let Some(detail) = detail {
            notes.push(Note::Finding(
                Some(*column),
                Finding { rule: TRUNCATED_TEXT, detail, candidate: None },
            ));
        }
    }
    stand_in
}

/// A text without the blanks around it, and how it ends.
struct Text<'t> {
    trimmed: &'t str,
    last: Option<Word<'t>>,
    /// How many words it has.
    count: usize,
}

impl<'t> Text<'t> {
    fn of(whole: &'t str, column: usize, splits: &Splits) -> Self {
        let text = whole.trim();
        if text.len() == whole.len() && !text.is_empty() {
            let mut words = splits.words(column, text);
            return Self { trimmed: text, count: words.len(), last: words.next_back() };
        }
        // Without the blanks behind it its last word is open.
        let (mut last, mut count) = (None, 0);
        words(text, |word| {
            last = Some(word);
            count += 1;
        });
        Self { trimmed: text, last, count }
    }

    /// The last of several words.
    fn last_of_several(&self) -> Option<Word<'t>> {
        self.last.filter(|_| self.count > 1)
    }
}

pub(super) const MARK: &str = "ends in a mark of a cut";

/// Whether a text begins with its title.
pub(super) fn repeats(text: &str, title: &str) -> bool {
    survey::goes_on(text, title).is_some()
}

/// What speaks against a title.
struct Judgement {
    /// The surest reason.
    reason: Option<(Rule, String)>,
    /// Whether its own row shows that it is damaged, whatever the table teaches.
    is_shown: bool,
}

fn judge(
    rules: &Rules,
    learned: &Learned,
    (number, title): (usize, &TitleRule),
    text: &Text<'_>,
    row: &Row<'_>,
) -> Judgement {
    let shown = |rule, why| Judgement { reason: Some((rule, why)), is_shown: true };
    if rules.is_missing(title.column, &row.cells[title.column]) {
        return shown(MISSING, "there is no title".to_owned());
    }
    if ends_in_mark(text.trimmed) {
        return shown(TRUNCATED, MARK.to_owned());
    }
    let chars = text.trimmed.chars().count();
    if chars < title.min_chars {
        return shown(SHORT, format!("{chars} of at least {} characters", title.min_chars));
    }
    let body = title.text.and_then(|column| content(&row.cells[column]));
    let Cut { why, is_shown } = evidence::of_title(learned, (number, title), (text, chars), body);
    Judgement { reason: why.map(|why| (TRUNCATED, why)), is_shown }
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
