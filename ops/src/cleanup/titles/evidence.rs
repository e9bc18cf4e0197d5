//! Why a title or a text without a mark is taken for cut: each reason in words, the surest first.
//!
//! What can be known: a cut inside a word, an open bracket, a last word that ends no title, a text that goes on where
//! other texts of the table do not, a length that many share and none exceeds. What cannot: a title cut behind a word
//! that could be its last, in a row whose text does not repeat it.

use super::super::rules::{Rules, TitleRule};
use super::super::words::{Word, hash};
use super::Text;
use super::survey::{Learned, ends_a_sentence, goes_on};

/// Share of texts that end a sentence from which one that does not was cut.
const CLOSED_SHARE: f64 = 0.9;
/// Endings that make another form of a word, which is then no sign of a cut.
const FORMS: [&str; 8] = ["s", "es", "d", "ed", "ing", "ly", "er", "y"];

/// Why title number `number` was cut.
pub(super) fn of_title(
    learned: &Learned,
    number: usize,
    title: &TitleRule,
    title_text: &Text<'_>,
    body: Option<&str>,
) -> Option<String> {
    let (text, last) = (title_text.trimmed, title_text.last_of_several());
    open_bracket(text)
        .or_else(|| body.and_then(|body| of_body(learned, number, text, body, title_text.last)))
        .or_else(|| ends_inside(title, text, last))
        .or_else(|| cut_word(learned, last))
        .or_else(|| {
            let (cap, others) = learned.cap(number)?;
            let is_cut = text.chars().count() == cap && !ends_a_sentence(text);
            is_cut.then(|| format!("exactly {cap} characters, as {others} titles have and none exceeds"))
        })
}

/// Why text number `number` was cut.
pub(super) fn of_text(learned: &Learned, rules: &Rules, number: usize, text: &Text<'_>) -> Option<String> {
    let last = text.last_of_several();
    let text = text.trimmed;
    let inner = || rules.titles.iter().find_map(|title| ends_inside(title, text, last));
    open_bracket(text).or_else(inner).or_else(|| cut_word(learned, last)).or_else(|| {
        let share = learned.closed(number).filter(|share| *share >= CLOSED_SHARE)?;
        (!ends_a_sentence(text))
            .then(|| format!("no end of a sentence, which {:.0} % of texts have", share * 100.0))
    })
}

fn open_bracket(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let is_plain =
        memchr::memchr3(b'(', b'[', b'{', bytes).is_none() && memchr::memchr(b'"', bytes).is_none();
    if is_plain && text.is_ascii() {
        return None;
    }
    for (open, close) in [('(', ')'), ('[', ']'), ('{', '}'), ('\u{201c}', '\u{201d}'), ('\u{ab}', '\u{bb}')]
    {
        if !text.contains(open) {
            continue;
        }
        let mut depth = 0_usize;
        for c in text.chars() {
            if c == open {
                depth += 1;
            } else if c == close {
                depth = depth.saturating_sub(1);
            }
        }
        if depth > 0 {
            return Some(format!("`{open}` is not closed"));
        }
    }
    let quotes = text.matches('"').count();
    let opens = text.rfind('"').is_some_and(|at| text[at + 1..].starts_with(char::is_alphanumeric));
    (quotes % 2 == 1 && opens).then(|| "a quote is not closed".to_owned())
}

fn ends_inside(title: &TitleRule, text: &str, last: Option<Word<'_>>) -> Option<String> {
    let last = last.filter(|word| text.ends_with(word.text) && title.inner.get(word.hash).is_some())?;
    Some(format!("ends in `{}`, which needs a word behind it", last.text))
}

fn of_body(
    learned: &Learned,
    number: usize,
    title: &str,
    body: &str,
    last: Option<Word<'_>>,
) -> Option<String> {
    let rest = goes_on(body, title)?;
    if let Some(last) =
        last.filter(|word| title.ends_with(word.text) && rest.text.starts_with(char::is_alphanumeric))
    {
        let end = rest.text.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.text.len());
        let is_form =
            FORMS.contains(&&rest.text[..end]) && !learned.repeats(number) && learned.is_word(last.hash);
        return (!is_form)
            .then(|| format!("the text goes on inside the word: `{}|{}`", last.text, &rest.text[..end]));
    }
    let (this, most, all) = learned.follows(number, rest.word?);
    let is_odd = all >= 20 && most.saturating_mul(2) >= all && this.saturating_mul(5) < most;
    is_odd.then(|| format!("its text goes on with a word that {this} of {all} have behind their title; {most} have the same other word"))
}

fn cut_word(learned: &Learned, last: Option<Word<'_>>) -> Option<String> {
    let last = last.filter(|word| !word.closed && word.text.chars().all(char::is_alphabetic))?;
    if !learned.knows_words() || learned.is_word(last.hash) {
        return None;
    }
    let is_short = last.chars < 3 && last.text.chars().all(|c| c.is_ascii_lowercase());
    let is_form = || FORMS.iter().any(|form| learned.is_word(hash(&format!("{}{form}", last.text))));
    let is_cut = is_short || (last.chars >= 3 && learned.is_beginning(last.hash) && !is_form());
    is_cut.then(|| format!("`{}` is the beginning of other words and no word of the table", last.text))
}
