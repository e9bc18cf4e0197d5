//! The words of a row that say most, put behind those that somebody chose.
//!
//! Chosen words are never dropped and never moved. What says nothing is left out before the best are taken, not after.
//! Where a title is flagged, its suggestion is read in its place: half a word is no keyword.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

use super::super::list;
use super::super::note::Note;
use super::super::row::{Cell, Row};
use super::super::rules::{Keywords, Role, Rules, Scratch, content};
use super::super::words::{Entry, Splits, first_bytes, fold, hash, words};
use super::values::array;
use super::{change, ids, is_empty};
use crate::value::write_json_int;

/// The column that a suggestion stands in for has no text of its own.
const SUGGESTION: usize = u32::MAX as usize;

/// One of the words that say most.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Ranked {
    weight: u64,
    /// Its first eight bytes in small letters, as a number that sorts like them; 0 if not all of it is ASCII.
    first: u64,
    /// Its number in the tally.
    number: u32,
}

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
        count(rules, (number, keywords), (splits, suggested), scratch);
        let text_of = |source: usize| match suggested {
            Some((_, text)) if source == SUGGESTION => text.as_str(),
            _ => content(&row.cells[source]).unwrap_or_default(),
        };
        best(scratch, wanted + kept, &text_of);
        let best = scratch.best.iter().map(|ranked| scratch.tally.entries()[ranked.number as usize]);
        if kept == 0 && !scratch.best.is_empty() {
            let spelled = spell(best, &text_of);
            let evidence = evidence(0, scratch.best.len());
            let list = Cell::Json(Cow::Owned(spelled));
            change(&mut row.cells[column], list, column, ids::KEYWORDS, evidence, notes);
            return;
        }
        for word in best {
            let word: String =
                text_of(word.source())[word.place()].chars().flat_map(char::to_lowercase).collect();
            if chosen.len() < keywords.max && !chosen[..kept].iter().any(|item| hash(item) == hash(&word)) {
                chosen.push(word);
            }
        }
    }
    write(column, &mut row.cells[column], &chosen, kept, notes);
}

/// A JSON array of words in small letters; no character of a word needs an escape.
fn spell<'t>(words: impl Iterator<Item = Entry> + Clone, text_of: &impl Fn(usize) -> &'t str) -> String {
    let mut list = String::with_capacity(2 + words.clone().map(|word| word.place().len() + 3).sum::<usize>());
    for word in words {
        list.push_str(if list.is_empty() { "[\"" } else { "\",\"" });
        let text = &text_of(word.source())[word.place()];
        if word.is_ascii() {
            list.push_str(text);
        } else {
            list.extend(text.chars().flat_map(char::to_lowercase));
        }
    }
    list.push_str("\"]");
    // Those that are not ASCII have small letters already.
    list.make_ascii_lowercase();
    list
}

/// How many words were there, and how many were added.
fn evidence(kept: usize, added: usize) -> String {
    let mut text = Vec::with_capacity(64);
    write_json_int(kept as u64, &mut text);
    text.extend_from_slice(b" chosen, ");
    write_json_int(added as u64, &mut text);
    text.extend_from_slice(b" most frequent of the row");
    String::from_utf8(text).expect("digits and words")
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
    let evidence = evidence(kept, added);
    let rule = if kept == 0 { ids::KEYWORDS } else { ids::LIST };
    change(cell, Cell::Json(Cow::Owned(spelled)), column, rule, evidence, notes);
}

/// Counts the words of the row that may be taken.
fn count(
    rules: &Rules,
    (number, keywords): (usize, &Keywords),
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
                splits.count(scan.column, tally, |hash, chars, is_known| {
                    // Most words mean nothing: their length decides.
                    if is_known { counts(hash, chars) } else { chars >= keywords.min_chars }
                });
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
    let (words, best) = (scratch.tally.entries(), &mut scratch.best);
    best.clear();
    let text = |number: u32| {
        let word = &words[number as usize];
        &text_of(word.source())[word.place()]
    };
    let is_before = |a: &Ranked, b: &Ranked| {
        if a.weight != b.weight {
            return a.weight > b.weight;
        }
        let is_told = a.first != b.first && a.first != 0 && b.first != 0;
        if is_told { a.first < b.first } else { order(text(a.number), text(b.number)) == Ordering::Less }
    };
    for (word, number) in words.iter().zip(0..) {
        let weight = word.weight();
        // Most words are no match for the last one that is kept.
        if best.len() == wanted && best.last().is_some_and(|last| weight < last.weight) {
            continue;
        }
        let Range { start, end } = word.place();
        let first =
            if word.is_ascii() { first_bytes(text_of(word.source()).as_bytes(), start, end) } else { 0 };
        let ranked = Ranked { weight, first, number };
        let at = best.iter().rposition(|other| !is_before(&ranked, other)).map_or(0, |last| last + 1);
        if at < wanted {
            best.truncate(wanted - 1);
            best.insert(at, ranked);
        }
    }
}

/// The order of words that came equally often and are equally long.
fn order(a: &str, b: &str) -> Ordering {
    a.chars().flat_map(fold).cmp(b.chars().flat_map(fold))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_best_words_are_the_first_ones_in_order(
            list in proptest::collection::vec("[a-cA-CéÉß]{1,3}|harbor[abé'’]{0,3}[a-c]|[ab]{9}|é[a-b]{8}", 0..40),
            wanted in 1..8_usize,
        ) {
            let text = list.join(" ");
            let mut scratch = Scratch::default();
            scratch.tally.clear();
            words(&text, |word| scratch.tally.add(word, 0));
            best(&mut scratch, wanted, &|_| text.as_str());
            let folded = |word: &Entry| text[word.place()].chars().flat_map(fold).collect::<String>();
            let told = |word: &Entry| (!word.weight(), folded(word));
            let mut expected: Vec<_> = scratch.tally.entries().iter().map(told).collect();
            expected.sort();
            expected.truncate(wanted);
            let found: Vec<_> = scratch.best.iter().map(|ranked| told(&scratch.tally.entries()[ranked.number as usize])).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
