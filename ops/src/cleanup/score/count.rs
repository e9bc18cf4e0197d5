//! How many different words speak for a row.
//!
//! Closed words are counted once each. The open word of each text (see `words`) is counted when nothing shows that it
//! is only the beginning of another: of a counted word, of a word that says nothing, or of another open word. Cutting a
//! text takes its last closed word away and gives at most its beginning for it, so the count never grows.

use super::super::fields::says_something;
use super::super::list;
use super::super::row::Row;
use super::super::rules::{FillKind, Keywords, Rules, Scratch, content};
use super::super::words::{Splits, Word, begins, hash};

/// Different words of a list and of the texts that fill it; counting ends at `most`.
pub(super) fn words_of(
    rules: &Rules,
    (column, fill, most): (usize, Option<usize>, usize),
    row: &Row<'_>,
    splits: &Splits,
    scratch: &mut Scratch,
) -> usize {
    let keywords = fill.and_then(|number| match &rules.fills[number].kind {
        FillKind::Keywords(keywords) => Some((number, keywords)),
        FillKind::FirstOf { .. } | FillKind::Constant(_) => None,
    });
    let counts = |hash: u64, chars: usize| {
        keywords.is_none_or(|(number, keywords)| says_something(rules, number, keywords, hash, chars))
    };
    let min_chars = keywords.map_or(0, |(_, keywords)| keywords.min_chars);
    let is_counted = |word: Word<'_>, counts: &dyn Fn(u64, usize) -> bool| {
        if word.is_known { counts(word.hash, word.chars) } else { word.chars >= min_chars }
    };
    let Scratch { tally, list: buffer, open, .. } = scratch;
    tally.clear();
    open.clear();
    // The end may be what a cut inside a character left.
    let cell = row.cells.get(column).and_then(content).unwrap_or_default();
    let cell = cell.trim_end_matches(char::REPLACEMENT_CHARACTER);
    let mut items: Vec<String> = Vec::new();
    list::items(cell, buffer, |item| {
        if !item.closed {
            open.push(item.text.to_owned());
        } else if items.len() < most && counts(hash(item.text), item.text.chars().count()) {
            let known = tally.len();
            tally.add_hash(hash(item.text));
            items.extend((tally.len() > known).then(|| item.text.to_owned()));
        }
    });
    for scan in &rules.scans {
        if tally.len() >= most {
            return most;
        }
        if keywords.is_none_or(|(number, _)| scan.fills & (1 << number) == 0) {
            continue;
        }
        let Some(text) = row.cells.get(scan.column).and_then(content) else { continue };
        for word in splits.words(scan.column, text) {
            if !word.closed {
                open.push(word.text.to_owned());
            } else if is_counted(word, &counts) {
                tally.add(word, scan.column);
                if tally.len() >= most {
                    return most;
                }
            }
        }
    }
    let text_of = |source: usize| row.cells.get(source).and_then(content).unwrap_or_default();
    let known = tally.entries().iter().map(|entry| &text_of(entry.source())[entry.place()]);
    let known: Vec<&str> = known.chain(items.iter().map(String::as_str)).collect();
    let more = open.iter().enumerate().filter(|(i, word)| {
        let is_piece =
            |(j, other): (usize, &String)| j != *i && begins(other, word) && (j < *i || !begins(word, other));
        is_new(keywords.map(|(_, keywords)| keywords), word, &counts)
            && !known.iter().any(|known| begins(known, word))
            && !open.iter().enumerate().any(is_piece)
    });
    (tally.len() + more.count()).min(most)
}

/// Whether an open word could count if no other word were there.
fn is_new(keywords: Option<&Keywords>, word: &str, counts: &impl Fn(u64, usize) -> bool) -> bool {
    let chars = word.chars().count();
    let is_long = keywords.is_none_or(|keywords| chars >= keywords.min_chars);
    let is_mute = keywords.is_some_and(|keywords| keywords.mute.iter().any(|mute| begins(mute, word)));
    is_long && !is_mute && counts(hash(word), chars)
}
