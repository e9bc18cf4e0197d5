//! Why a title or a text without a mark is taken for cut: each reason in words, the surest first.
//!
//! What can be known: a cut inside a word, an open bracket, a last word that ends no title, a text that goes on where
//! other texts of the table do not, a length that many share and none exceeds. What cannot: a title cut behind a word
//! that could be its last, in a row whose text does not repeat it.

use super::super::rules::{Rules, TitleRule};
use super::super::words::{Word, hash};
use super::Text;
use super::survey::{Learned, Rest, ends_a_sentence, goes_on};

/// Share of texts that end a sentence from which one that does not was cut.
const CLOSED_SHARE: f64 = 0.9;
/// Endings that make another form of a word, which is then no sign of a cut.
const FORMS: [&str; 8] = ["s", "es", "d", "ed", "ing", "ly", "er", "y"];

/// Whether a title was cut.
#[derive(Default)]
pub(super) struct Cut {
    /// Why it is taken for cut.
    pub(super) why: Option<String>,
    /// Whether its own row shows it, whatever the table teaches.
    pub(super) is_shown: bool,
}

/// Whether title number `number`, which has `chars` characters, was cut.
pub(super) fn of_title(
    learned: &Learned,
    (number, title): (usize, &TitleRule),
    (title_text, chars): (&Text<'_>, usize),
    body: Option<&str>,
) -> Cut {
    let (text, last) = (title_text.trimmed, title_text.last_of_several());
    if let why @ Some(_) = open_bracket(text) {
        return Cut { why, is_shown: true };
    }
    let rest = body.and_then(|body| goes_on(body, text));
    let inside = rest.as_ref().and_then(|rest| goes_on_inside(rest, text, title_text.last));
    let inner = ends_inside(title, text, last);
    let is_shown = inside.is_some() || inner.is_some();
    let of_body = match inside {
        Some((word, end)) => {
            let is_form = FORMS.contains(&end) && !learned.repeats(number) && learned.is_word(word.hash);
            (!is_form).then(|| format!("the text goes on inside the word: `{}|{end}`", word.text))
        }
        None => rest.and_then(|rest| goes_on_oddly(learned, number, rest.word?)),
    };
    let why = of_body.or(inner).or_else(|| cut_word(learned, last)).or_else(|| {
        let (cap, others) = learned.cap(number)?;
        let is_cut = chars == cap && !ends_a_sentence(text);
        is_cut.then(|| format!("exactly {cap} characters, as {others} titles have and none exceeds"))
    });
    Cut { why, is_shown }
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
    let has_brackets = memchr::memchr3(b'(', b'[', b'{', bytes).is_some();
    // Quotes; the last two begin those that are not ASCII.
    let has_quotes = memchr::memchr3(b'"', 0xe2, 0xc2, bytes).is_some();
    if !has_brackets && !has_quotes {
        return None;
    }
    for (open, close) in [("(", ")"), ("[", "]"), ("{", "}"), ("\u{201c}", "\u{201d}"), ("\u{ab}", "\u{bb}")]
    {
        if !(if open.is_ascii() { has_brackets } else { has_quotes }) {
            continue;
        }
        let mut depth = 0_usize;
        for at in memchr::memchr2_iter(open.as_bytes()[0], close.as_bytes()[0], bytes) {
            if bytes[at..].starts_with(open.as_bytes()) {
                depth += 1;
            } else if bytes[at..].starts_with(close.as_bytes()) {
                depth = depth.saturating_sub(1);
            }
        }
        if depth > 0 {
            return Some(format!("`{open}` is not closed"));
        }
    }
    let is_open = has_quotes
        && memchr::memchr_iter(b'"', bytes).count() % 2 == 1
        && text.rfind('"').is_some_and(|at| text[at + 1..].starts_with(char::is_alphanumeric));
    is_open.then(|| "a quote is not closed".to_owned())
}

fn ends_inside(title: &TitleRule, text: &str, last: Option<Word<'_>>) -> Option<String> {
    let last = last.filter(|word| text.ends_with(word.text) && title.inner.get(word.hash).is_some())?;
    Some(format!("ends in `{}`, which needs a word behind it", last.text))
}

/// The last word of a title and what the text has behind it, where that is no end of a word.
fn goes_on_inside<'t>(rest: &Rest<'t>, title: &str, last: Option<Word<'t>>) -> Option<(Word<'t>, &'t str)> {
    let last =
        last.filter(|word| title.ends_with(word.text) && rest.text.starts_with(char::is_alphanumeric))?;
    let end = rest.text.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.text.len());
    Some((last, &rest.text[..end]))
}

fn goes_on_oddly(learned: &Learned, number: usize, word: u64) -> Option<String> {
    let (this, most, all) = learned.follows(number, word);
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
