//! The one place that hides what must not leave: addresses, phone and card numbers, passwords, keys and tokens.
//!
//! Every sink of text that users typed goes through here before anything is cut, because half an address is still an
//! address. What is found is replaced by a word that says what it was. Dates, ids, versions, hashes and amounts must
//! survive. One pass looks at each byte a bounded number of times; nothing here may search backwards without a bound.

mod number;
mod secret;
mod web;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;

/// What every mask begins with.
const MASK: &str = "[redacted-";
/// A mask can uncover a boundary that lets a neighbour be seen; more rounds than this were never needed.
const ROUNDS_MAX: usize = 6;

/// A part of the text, and the mask that takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found {
    start: usize,
    end: usize,
    mask: &'static str,
}

/// The text with everything that must not leave replaced by masks such as `[redacted-email]`.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut masked = Cow::Borrowed(text);
    for _ in 0..ROUNDS_MAX {
        match pass(&masked) {
            Some(next) => masked = Cow::Owned(next),
            None => break,
        }
    }
    masked
}

/// The beginning of the masked text: at most `limit` code points, and neither a grapheme nor a mask is cut.
pub fn snippet(text: &str, limit: usize) -> String {
    let masked = redact(text);
    let mut rest: &str = &masked;
    let mut taken = 0;
    while let Some(unit) = first_unit(rest) {
        let length = unit.chars().count();
        if taken + length > limit {
            break;
        }
        taken += length;
        rest = &rest[unit.len()..];
    }
    masked[..masked.len() - rest.len()].to_owned()
}

/// The mask or the grapheme that a text begins with.
fn first_unit(text: &str) -> Option<&str> {
    let mask = text.starts_with(MASK).then(|| text.find(']')).flatten().filter(|end| *end < 32);
    mask.map(|end| &text[..=end]).or_else(|| text.graphemes(true).next())
}

/// One pass from left to right; `None` when nothing was found.
fn pass(text: &str) -> Option<String> {
    let mut out = String::new();
    let (mut at, mut done) = (0, 0);
    while let Some(trigger) = next_trigger(text, at) {
        let place = Place { text, at: trigger, done };
        if let Some(found) = place.find() {
            out.push_str(&text[done..found.start]);
            out.push_str(found.mask);
            (at, done) = (found.end, found.end);
        } else {
            at = place.next();
        }
    }
    (done > 0).then(|| out + &text[done..])
}

/// Where something may begin: a letter or digit, or a sign that stands in something.
fn next_trigger(text: &str, from: usize) -> Option<usize> {
    let is_trigger =
        |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'@' | b'+' | b'(' | b'-' | b':' | b'%');
    text.as_bytes()[from..].iter().position(is_trigger).map(|offset| from + offset)
}

/// A place in a text, where everything before `done` has been dealt with.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    text: &'a str,
    at: usize,
    done: usize,
}

impl<'a> Place<'a> {
    fn find(self) -> Option<Found> {
        match self.text.as_bytes()[self.at] {
            b'@' | b'%' => web::email(self),
            b':' => web::credentials(self),
            b'-' => secret::key_block(self),
            b'+' | b'(' => number::phone(self),
            b'0'..=b'9' => number::at_digit(self).or_else(|| secret::at_word(self)),
            _ => secret::at_word(self).or_else(|| number::at_word(self)),
        }
    }

    /// Where to go on when nothing was found: behind the word, or behind the sign.
    fn next(self) -> usize {
        let word = word_end(self.text, self.at);
        word.max(self.at + 1)
    }

    /// The character before this place, as the reader of the result sees it; a mask ends in a bracket.
    fn before(self) -> Option<char> {
        if self.at == self.done && self.done > 0 {
            Some(']')
        } else {
            self.text[..self.at].chars().next_back()
        }
    }

    /// Whether a word can begin here.
    fn is_word_start(self) -> bool {
        self.before().is_none_or(|c| !c.is_alphanumeric() && c != '_')
    }

    /// The text from here on.
    fn rest(self) -> &'a str {
        &self.text[self.at..]
    }
}

/// The end of the word of ASCII letters, digits and underscores that begins at `at`.
fn word_end(text: &str, at: usize) -> usize {
    let is_word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let bytes = &text.as_bytes()[at..];
    at + bytes.iter().position(|b| !is_word(b)).unwrap_or(bytes.len())
}

/// Whether a word can end before `at`.
fn is_word_end(text: &str, at: usize) -> bool {
    text[at..].chars().next().is_none_or(|c| !c.is_alphanumeric() && c != '_')
}
