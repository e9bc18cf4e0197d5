//! Debris in one text: markers, addresses, markup, sizes.

use super::super::note::Rule;
use super::super::rules::Rules;
use super::super::words::{Meaning, Splits, is_letter};
use crate::swar;

/// Calls `flag` with every rule that holds for the text of a column, which is split.
pub(super) fn check(
    rules: &Rules,
    text: &str,
    (column, splits): (usize, &Splits),
    is_title: bool,
    mut flag: impl FnMut(Rule, String),
) {
    if text.is_empty() {
        return;
    }
    let seen = Seen::of(text);
    sizes(rules, text, &seen, is_title, &mut flag);
    markers(rules, text, (column, splits), &mut flag);
    markup(text, &seen, &mut flag);
    if is_title {
        if seen.has(b'[') {
            flag(super::BRACKET_IN_TITLE, "`[` in a title".to_owned());
        }
        if seen.has(b'\t') {
            flag(super::TAB_IN_TITLE, "a tabulator in a title".to_owned());
        }
        if (seen.has(b'[') || seen.has(b'(')) && is_numbered(text) {
            flag(super::NUMBERED_TITLE, "a number in brackets in a title".to_owned());
        }
    }
}

/// A byte that is no symbol and that no rule looks for.
const USUAL: u8 = 0;
const ODD: u8 = 1;

/// Which bytes are odd, and which are beyond ASCII.
const CLASSES: [u8; 256] = swar::classes_of(&[
    (0, b' ' - 1, ODD),
    (b'!', b'&', ODD),
    (b'(', b'+', ODD),
    (b'/', b'/', ODD),
    (b';', b'@', ODD),
    (b'[', b'`', ODD),
    (b'{', 0x7f, ODD),
    (0x80, 0xff, WIDE),
]);

/// The class of a byte, without branches.
#[expect(clippy::needless_bitwise_bool, reason = "without branches the compiler takes many bytes at once")]
fn class(byte: u8) -> u8 {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let is_digit = byte.wrapping_sub(b'0') < 11;
    let is_sign = (byte == b' ') | (byte == b'\'') | (byte.wrapping_sub(b',') < 3);
    let odd = if is_letter | is_digit | is_sign | (byte >= 0x80) { USUAL } else { ODD };
    odd | byte & WIDE
}

/// What one look at the bytes of a text tells.
struct Seen {
    chars: usize,
    lines: usize,
    /// ASCII characters that are symbols.
    symbols: usize,
    /// Bits of [`MARKS`].
    marks: u8,
}

/// Bytes that some rule looks for.
const MARKS: [u8; 7] = *b"[(\t`*#<";
/// The bit of bytes beyond ASCII.
const WIDE: u8 = 1 << 7;
/// Bytes that are looked at at once.
const BLOCK: usize = 32;

/// Whether an ASCII character is none of text.
#[expect(clippy::needless_bitwise_bool, reason = "without branches the compiler takes many bytes at once")]
fn is_symbol(byte: u8) -> bool {
    let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let is_digit = byte.wrapping_sub(b'0') < 10;
    let is_blank = (byte == b' ') | (byte.wrapping_sub(9) < 5);
    let is_sign = (byte == b'-') | (byte == b'\'') | (byte == b',') | (byte == b':') | (byte == b'.');
    let is_bracket = (byte == b'(') | (byte == b')');
    !(is_letter | is_digit | is_blank | is_sign | is_bracket | (byte >= 0x80))
}

/// The bits of a byte.
fn marks(byte: u8) -> u8 {
    let mut bits = if byte >= 0x80 { WIDE } else { 0 };
    let mut mark = 0;
    while mark < MARKS.len() {
        bits |= if byte == MARKS[mark] { 1 << mark } else { 0 };
        mark += 1;
    }
    bits
}

impl Seen {
    fn of(text: &str) -> Self {
        let classes = swar::classes(text.as_bytes(), &CLASSES, class);
        let chars = if classes & WIDE == 0 { text.len() } else { text.chars().count() };
        let mut seen = Self { chars, lines: 0, symbols: 0, marks: classes & WIDE };
        if classes & ODD == USUAL {
            return seen;
        }
        for block in text.as_bytes().chunks(BLOCK) {
            let (symbols, lines, bits) =
                block.iter().fold((0_u8, 0_u8, 0_u8), |(symbols, lines, bits), byte| {
                    let (is_symbol, is_line) = (u8::from(is_symbol(*byte)), u8::from(*byte == b'\n'));
                    (symbols.wrapping_add(is_symbol), lines.wrapping_add(is_line), bits | marks(*byte))
                });
            seen.symbols += usize::from(symbols);
            seen.lines += usize::from(lines);
            seen.marks |= bits;
        }
        seen
    }

    fn has(&self, mark: u8) -> bool {
        self.marks & marks(mark) != 0
    }

    fn is_wide(&self) -> bool {
        self.marks & WIDE != 0
    }
}

fn sizes(rules: &Rules, text: &str, seen: &Seen, is_title: bool, flag: &mut impl FnMut(Rule, String)) {
    let settings = &rules.dataset.artifacts;
    let Seen { chars, lines, mut symbols, .. } = *seen;
    let are_many = |symbols: usize| symbols as f64 / chars as f64 >= settings.symbols;
    // Characters beyond ASCII have at least one byte more each: few of them need not be looked at.
    if seen.is_wide() && are_many(symbols + text.len() - chars) {
        symbols += text.chars().filter(|c| !c.is_ascii() && !is_plain(*c)).count();
    }
    let (longest, rule) = if is_title {
        (settings.title_chars_max, super::LONG_TITLE)
    } else {
        (settings.text_chars_max, super::LONG_TEXT)
    };
    if chars > longest {
        flag(rule, format!("{chars} characters, more than {longest}"));
    }
    if lines > settings.lines_max {
        flag(super::MANY_LINES, format!("{lines} line breaks, more than {}", settings.lines_max));
    }
    if are_many(symbols) {
        flag(super::SYMBOLS, format!("{symbols} of {chars} characters are symbols"));
    }
}

/// Letters of every script beyond ASCII, blanks, and what sentences need.
fn is_plain(c: char) -> bool {
    is_letter(c)
        || matches!(c, '\u{300}'..='\u{36f}' | '\u{2010}'..='\u{2015}' | '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '\u{2026}')
        || c.is_whitespace()
}

/// The words that are looked for in every dataset, besides its markers.
pub(in super::super) const WORDS: [&str; 7] =
    ["deprecated", "file", "http", "https", "www", "module", "title"];

fn markers(
    rules: &Rules,
    text: &str,
    (column, splits): (usize, &Splits),
    flag: &mut impl FnMut(Rule, String),
) {
    let mut seen = 0_u64;
    for (number, word) in splits.known(column, text, Meaning::Marker) {
        splits.phrases(column, number, rules.marker_words, |hash| {
            let Some(marker) = rules.markers.get(hash).filter(|marker| seen & (1 << (marker % 64)) == 0)
            else {
                return;
            };
            seen |= 1 << (marker % 64);
            let marker = &rules.dataset.artifacts.markers[marker as usize];
            flag(super::EXPORT_MARKER, format!("the marker `{marker}`"));
        });
        let first = word.text.as_bytes()[0].to_ascii_lowercase();
        if !matches!(first, b'd' | b'f' | b'h' | b'm' | b't' | b'w') {
            continue;
        }
        let rest = &text[word.start + word.text.len()..];
        let is = |name: &str| word.text.eq_ignore_ascii_case(name);
        let dash =
            || rest.starts_with(" - ") || rest.starts_with(" \u{2014}") || rest.starts_with(" \u{2013}");
        if is("deprecated") {
            flag(super::DEPRECATED, "says that it is deprecated".to_owned());
        } else if is("file") && rest.starts_with(':') {
            flag(super::FILE_REFERENCE, "`file:`".to_owned());
        } else if (is("http") || is("https")) && rest.starts_with("://") || is("www") && rest.starts_with('.')
        {
            flag(super::URL, "an address of the web".to_owned());
        } else if is("module") && dash() {
            flag(super::MODULE_HEADING, "the heading of a module".to_owned());
        } else if is("title") && rest.starts_with(':') {
            flag(super::TITLE_LABEL, "`title:`".to_owned());
        }
    }
}

fn markup(text: &str, seen: &Seen, flag: &mut impl FnMut(Rule, String)) {
    let has_three = |mark: u8| {
        let bytes = text.as_bytes();
        seen.has(mark) && memchr::memchr_iter(mark, bytes).any(|at| bytes[at..].starts_with(&[mark; 3]))
    };
    if has_three(b'`') {
        flag(super::CODE_FENCE, "three backticks".to_owned());
    }
    if has_three(b'*') {
        flag(super::EMPHASIS_RUN, "three asterisks".to_owned());
    }
    if seen.has(b'#') && text.split('\n').any(is_heading) {
        flag(super::HEADING, "a heading of Markdown".to_owned());
    }
    if seen.has(b'<') && text.match_indices('<').any(|(at, _)| is_tag(&text[at + 1..])) {
        flag(super::HTML, "a tag of HTML".to_owned());
    }
    let is_card = |c| matches!(c, '\u{1f4dc}' | '\u{1f4da}' | '\u{1f4c7}' | '\u{1f5c2}' | '\u{1f5c3}');
    // They all begin with this byte, which few texts have.
    let mut far = memchr::memchr_iter(0xf0, text.as_bytes());
    if seen.is_wide() && far.any(|at| text[at..].starts_with(is_card)) {
        flag(super::ARCHIVE_EMOJI, "an emoji of archives".to_owned());
    }
}

fn is_heading(line: &str) -> bool {
    let rest = line.trim_start().trim_start_matches('#');
    (2..=6).contains(&(line.trim_start().len() - rest.len())) && rest.starts_with(' ')
}

/// Bytes in which a tag ends, or has an attribute.
const TAG_MAX: usize = 1000;

/// Whether what follows a `<` is the rest of a tag, and no comparison.
fn is_tag(rest: &str) -> bool {
    const TAGS: [&str; 16] = [
        "a", "b", "body", "br", "div", "em", "head", "html", "i", "img", "li", "p", "script", "span",
        "strong", "ul",
    ];
    let name = rest.strip_prefix('/').unwrap_or(rest);
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    let (name, rest) = name.split_at(end);
    if !TAGS.iter().any(|tag| name.eq_ignore_ascii_case(tag)) {
        return false;
    }
    let near = &rest[..rest.floor_char_boundary(TAG_MAX)];
    near.trim_start().starts_with(['>', '/']) || near.contains("=\"") || name.eq_ignore_ascii_case("html")
}

/// `[3]` or `(12)`.
fn is_numbered(title: &str) -> bool {
    title.match_indices(['[', '(']).any(|(at, open)| {
        let rest = &title[at + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && rest[digits..].starts_with(if open == "[" { ']' } else { ')' })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_neither_a_symbol_nor_looked_for() {
        for byte in 0..=u8::MAX {
            assert_eq!(CLASSES[usize::from(byte)], class(byte), "{byte}");
            let is_looked_for = is_symbol(byte) || byte == b'\n' || marks(byte) & !WIDE != 0;
            assert!(class(byte) & ODD != 0 || !is_looked_for, "{byte}");
            assert_eq!(class(byte) & WIDE, marks(byte) & WIDE, "{byte}");
        }
    }
}
