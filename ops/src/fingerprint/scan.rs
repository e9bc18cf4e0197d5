//! Looking at a text: where a rule stands, what is before it, how far a run of characters goes.
//!
//! Nothing here replaces anything.

/// A place in a text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Here<'a> {
    /// From here to the end.
    pub(super) rest: &'a str,
    /// The character before.
    pub(super) before: Option<char>,
    /// The template so far.
    pub(super) out: &'a str,
}

impl<'a> Here<'a> {
    pub(super) fn new(text: &'a str, at: usize, out: &'a str) -> Self {
        Self { rest: &text[at..], before: text[..at].chars().next_back(), out }
    }

    /// Whether a word could begin here: letters, digits and `_` do not stand before.
    pub(super) fn starts_word(&self) -> bool {
        self.before.is_none_or(|c| !is_word(c))
    }

    /// Whether a segment of a word could begin here: letters and digits do not stand before.
    pub(super) fn starts_segment(&self) -> bool {
        self.before.is_none_or(|c| !c.is_alphanumeric())
    }

    /// Whether a path could begin here.
    pub(super) fn starts_path(&self) -> bool {
        self.before.is_none_or(|c| c.is_whitespace() || "\"'`([{=:,;|<@!".contains(c))
    }

    /// The last word of the template, and what stands between it and here.
    pub(super) fn last_word(&self) -> (&'a str, &'a str) {
        last_word(self.out)
    }
}

/// The last run of letters in `out`, and what follows it.
pub(super) fn last_word(out: &str) -> (&str, &str) {
    let end = out.trim_end_matches(|c: char| !c.is_alphabetic() && c != '>').len();
    let start = out[..end].trim_end_matches(char::is_alphabetic).len();
    (&out[start..end], &out[end..])
}

/// A letter, a digit or `_`.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Bytes of the longest prefix of `text` whose characters are all `fit`.
pub(super) fn run(text: &str, fit: impl Fn(char) -> bool) -> usize {
    text.find(|c: char| !fit(c)).unwrap_or(text.len())
}

/// Bytes of the digits that `text` begins with.
pub(super) fn digits(text: &str) -> usize {
    run(text, |c| c.is_ascii_digit())
}

/// Whether `text` begins with `prefix`, in any case; ASCII only.
pub(super) fn starts_with(text: &str, prefix: &str) -> bool {
    text.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// How often digits and letters change places.
pub(super) fn transitions(text: &str) -> usize {
    let kinds = text.chars().map(|c| c.is_ascii_digit());
    kinds.clone().zip(kinds.skip(1)).filter(|(a, b)| a != b).count()
}

/// The text without the colours of terminals, at most `limit` characters.
pub(super) fn clean(text: &str, limit: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(limit));
    let mut chars = text.chars().take(limit).peekable();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' && chars.next_if_eq(&'[').is_some() {
            while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else if c == 'İ' {
            // The one letter whose lower case is two characters.
            clean.push('I');
        } else if !matches!(c, '\u{1b}' | '\u{feff}' | '\u{200b}' | '\u{307}') {
            clean.push(c);
        }
    }
    clean
}
