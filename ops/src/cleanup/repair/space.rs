//! White space: trimmed at the ends, runs of blanks made one, and spaces of other widths made blanks.
//!
//! Lines and tabs are layout: a text that has them keeps its indents, columns and double blanks, and is only trimmed.
//! A no-break space stays where typography wants it: before or behind punctuation, digits and one-letter words.

use std::borrow::Cow;

use crate::swar;

/// The text with its white space in order; `None` when it is.
pub(super) fn tidy(text: &str) -> Option<String> {
    let spaced = spaced(text);
    let has_layout = memchr::memchr3(b'\n', b'\t', b'\r', spaced.as_bytes()).is_some();
    let trimmed = if has_layout { trim_lines(&spaced) } else { trim(&spaced) };
    let tidy = if has_layout { trimmed.to_owned() } else { single(trimmed, matches!(spaced, Cow::Owned(_))) };
    (tidy != text).then_some(tidy)
}

/// The text with blanks in place of wider spaces, and line ends in place of separators of lines.
fn spaced(text: &str) -> Cow<'_, str> {
    let is_changed = |(_, c)| is_space(c) || matches!(c, '\u{2028}' | '\u{2029}');
    if !swar::beyond_ascii(text, 0).any(is_changed) {
        return Cow::Borrowed(text);
    }
    let mut spaced = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        spaced.push(match c {
            '\u{2028}' | '\u{2029}' => '\n',
            _ if is_space(c) && !belongs(&spaced, c, chars.peek().copied()) => ' ',
            _ => c,
        });
    }
    Cow::Owned(spaced)
}

/// Spaces that are no plain blank.
fn is_space(c: char) -> bool {
    matches!(c, '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}')
}

fn is_blank(c: char) -> bool {
    c == ' ' || is_space(c)
}

/// Whether this space is there for a reason.
fn belongs(before: &str, c: char, next: Option<char>) -> bool {
    let mut back = before.chars().rev();
    let (Some(last), Some(next)) = (back.next(), next) else { return c == '\u{3000}' && before.is_empty() };
    if last.is_whitespace() || next.is_whitespace() {
        return false;
    }
    match c {
        '\u{3000}' => !last.is_ascii() || !next.is_ascii(),
        '\u{A0}' | '\u{202F}' => {
            let is_one_letter = last.is_alphabetic() && back.next().is_none_or(|c| !c.is_alphanumeric());
            is_one_letter || !last.is_alphabetic() || !next.is_alphabetic()
        }
        _ => !last.is_alphabetic() || !next.is_alphabetic(),
    }
}

/// One blank for each run of spaces, of which some may be wider than a blank.
fn single(text: &str, may_be_wide: bool) -> String {
    let mut out = String::with_capacity(text.len());
    if !may_be_wide {
        let (mut rest, two) = (text, memchr::memmem::Finder::new(b"  "));
        while let Some(at) = two.find(rest.as_bytes()) {
            out.push_str(&rest[..=at]);
            rest = rest[at..].trim_start_matches(' ');
        }
        out.push_str(rest);
        return out;
    }
    let mut run = 0;
    for c in text.chars() {
        run = if is_blank(c) { run + 1 } else { 0 };
        match run {
            0 | 1 => out.push(c),
            2 => {
                out.pop();
                out.push(' ');
            }
            _ => {}
        }
    }
    out
}

/// Without blanks at the ends; the wide space that starts a paragraph of Japanese is an indent.
fn trim(text: &str) -> &str {
    let is_indent = text.starts_with('\u{3000}') && !text[3..].starts_with(is_blank);
    let end = text.trim_end_matches(is_blank);
    if is_indent && !end.is_empty() { end } else { end.trim_start_matches(is_blank) }
}

/// Without empty lines at the start and white space at the end; the first line keeps its indent.
fn trim_lines(text: &str) -> &str {
    let text = text.trim_end();
    let start = text.trim_start();
    if !start.contains(['\n', '\t', '\r']) {
        return start;
    }
    let head = &text[..text.len() - start.len()];
    let line = head.rfind('\n').map_or(0, |at| at + 1);
    &text[line..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_are_trimmed_and_made_one() {
        for (text, tidied) in [
            ("  a  b ", "a b"),
            ("a\u{A0}\u{A0}b", "a b"),
            ("two\u{A0}words", "two words"),
            ("wide\u{2003}space", "wide space"),
            ("\u{A0}a\u{3000}", "a"),
            ("end\n\n", "end"),
            ("\n\nstart\n  more", "start\n  more"),
            ("one\u{2028}two", "one\ntwo"),
            ("a \u{A0}b", "a b"),
            ("   ", ""),
            (" a\n", "a"),
        ] {
            assert_eq!(tidy(text).as_deref(), Some(tidied), "{text:?}");
            assert_eq!(tidy(tidied), None, "{tidied:?}");
        }
    }

    #[test]
    fn layout_and_typography_stay() {
        for text in [
            "« Bonjour »".replace(' ', "\u{A0}").as_str(),
            "100\u{202F}000\u{A0}€",
            "10\u{A0}km",
            "w\u{A0}domu",
            "Qui\u{A0}?",
            "全角\u{3000}空白",
            "\u{3000}吾輩は猫である。",
            "def f():\n    return  1",
            "    indented\n    code",
            "a\tb  c",
            "line  \nbreak",
        ] {
            assert_eq!(tidy(text), None, "{text:?}");
        }
    }
}
