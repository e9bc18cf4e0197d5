//! The words of a row that say most, put behind those that somebody chose.
//!
//! Chosen words are never dropped and never moved. What says nothing is left out before the best are taken, not after.
//! Where a title is flagged, its suggestion is read in its place: half a word is no keyword.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::super::list;
use super::super::note::Note;
use super::super::row::{Cell, Row};
use super::super::rules::{Keywords, Role, Rules, Scratch, content};
use super::super::words::{Entry, Splits, fold, hash, words};
use super::values::array;
use super::{change, ids, is_empty};

/// The column that a suggestion stands in for has no text of its own.
const SUGGESTION: usize = usize::MAX;

pub(super) fn fill(
    rules: &Rules,
    (number, column, keywords): (usize, usize, &Keywords),
    row: &mut Row<'_>,
    (splits, suggested): (&Splits, Option<&(usize, String)>),
    notes: &mut Vec<Note>,
    scratch: &mut Scratch,
) {
    let text = content(&row.cells[column]);
    let mut chosen = text.map(|text| list::different(text, &mut scratch.list)).unwrap_or_default();
    let (kept, wanted) = (chosen.len(), keywords.max.saturating_sub(chosen.len()));
    if wanted > 0 {
        count(rules, (number, keywords), row, (splits, suggested), scratch);
        let text_of = |source: usize| match suggested {
            Some((_, text)) if source == SUGGESTION => text.as_str(),
            _ => content(&row.cells[source]).unwrap_or_default(),
        };
        best(scratch, wanted + kept, &text_of);
        if kept == 0 && !scratch.best.is_empty() {
            let spelled = spell(&scratch.best, &text_of);
            let evidence = format!("0 chosen, {} most frequent of the row", scratch.best.len());
            let list = Cell::Json(Cow::Owned(spelled));
            change(&mut row.cells[column], list, column, ids::KEYWORDS, evidence, notes);
            return;
        }
        for entry in &scratch.best {
            let word: String =
                text_of(entry.source)[entry.start..entry.end].chars().flat_map(char::to_lowercase).collect();
            if chosen.len() < keywords.max && !chosen[..kept].iter().any(|item| hash(item) == hash(&word)) {
                chosen.push(word);
            }
        }
    }
    write(column, &mut row.cells[column], &chosen, kept, notes);
}

/// A JSON array of words in small letters; no character of a word needs an escape.
fn spell<'t>(words: &[Entry], text_of: &impl Fn(usize) -> &'t str) -> String {
    let mut list =
        String::with_capacity(2 + words.iter().map(|word| word.end - word.start + 3).sum::<usize>());
    for word in words {
        list.push_str(if list.is_empty() { "[\"" } else { ",\"" });
        let text = &text_of(word.source)[word.start..word.end];
        if text.is_ascii() {
            let from = list.len();
            list.push_str(text);
            list[from..].make_ascii_lowercase();
        } else {
            list.extend(text.chars().flat_map(char::to_lowercase));
        }
        list.push('"');
    }
    list.push(']');
    list
}

fn write(column: usize, cell: &mut Cell<'_>, chosen: &[String], kept: usize, notes: &mut Vec<Note>) {
    if chosen.is_empty() && is_empty(cell) {
        return;
    }
    let spelled = array(chosen);
    let same =
        |json: &str| serde_json::from_str::<Vec<String>>(json).is_ok_and(|items| items.as_slice() == chosen);
    if kept == chosen.len() && content(cell).is_some_and(same) {
        *cell = Cell::Json(Cow::Owned(spelled));
        return;
    }
    let added = chosen.len() - kept;
    let evidence = format!("{kept} chosen, {added} most frequent of the row");
    let rule = if kept == 0 { ids::KEYWORDS } else { ids::LIST };
    change(cell, Cell::Json(Cow::Owned(spelled)), column, rule, evidence, notes);
}

/// Counts the words of the row that may be taken.
fn count(
    rules: &Rules,
    (number, keywords): (usize, &Keywords),
    row: &Row<'_>,
    (splits, suggested): (&Splits, Option<&(usize, String)>),
    scratch: &mut Scratch,
) {
    let tally = &mut scratch.tally;
    tally.clear();
    let counts = |hash, chars| says_something(rules, number, keywords, hash, chars);
    for scan in rules.scans.iter().filter(|scan| scan.fills & (1 << number) != 0) {
        match suggested {
            Some((column, text)) if *column == scan.column => words(text, |word| {
                if counts(word.hash, word.chars) {
                    tally.add(word, SUGGESTION);
                }
            }),
            _ => {
                let Some(text) = content(&row.cells[scan.column]) else { continue };
                for word in splits.words(scan.column, text) {
                    // Most words mean nothing: their length decides.
                    let is_counted = if word.is_known {
                        counts(word.hash, word.chars)
                    } else {
                        word.chars >= keywords.min_chars
                    };
                    if is_counted {
                        tally.add(word, scan.column);
                    }
                }
            }
        }
    }
}

/// Whether a word of this hash and length can be a keyword.
pub(in super::super) fn says_something(
    rules: &Rules,
    number: usize,
    keywords: &Keywords,
    hash: u64,
    chars: usize,
) -> bool {
    let mut counts = chars >= keywords.min_chars;
    for (fill, role) in rules.lexicon.uses(hash) {
        match role {
            Role::Mute | Role::Generic if *fill as usize == number => return false,
            Role::Short if *fill as usize == number => counts = true,
            Role::Mute | Role::Generic | Role::Short | Role::Group(_) => {}
        }
    }
    counts
}

/// The best words, best first: frequent, then long, then in order of the alphabet.
fn best<'t>(scratch: &mut Scratch, wanted: usize, text_of: &impl Fn(usize) -> &'t str) {
    let best = &mut scratch.best;
    best.clear();
    for entry in scratch.tally.entries() {
        let is_worse = |worst: &Entry| order(worst, entry, text_of) == Ordering::Less;
        if best.len() == wanted && best.last().is_some_and(is_worse) {
            continue;
        }
        let at = best.partition_point(|other| order(other, entry, text_of) == Ordering::Less);
        if at < wanted {
            best.truncate(wanted - 1);
            best.insert(at, *entry);
        }
    }
}

fn order<'t>(a: &Entry, b: &Entry, text_of: &impl Fn(usize) -> &'t str) -> Ordering {
    let by_size = (b.count, b.chars).cmp(&(a.count, a.chars));
    if by_size != Ordering::Equal {
        return by_size;
    }
    let is_ascii = a.is_ascii() && b.is_ascii();
    if is_ascii && a.first != b.first {
        return a.first.cmp(&b.first);
    }
    let text = |entry: &Entry| &text_of(entry.source)[entry.start..entry.end];
    if is_ascii {
        let small = |entry| text(entry).bytes().map(|byte| byte.to_ascii_lowercase());
        return small(a).cmp(small(b));
    }
    let folded = |text: &'t str| text.chars().flat_map(fold);
    folded(text(a)).cmp(folded(text(b)))
}
