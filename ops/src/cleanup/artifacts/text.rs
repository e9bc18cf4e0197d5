//! Debris in one text: markers, addresses, markup, sizes.

use super::super::note::Rule;
use super::super::rules::{Recent, Rules};
use super::super::words::Word;

/// Calls `flag` with every rule that holds for a text, whose words these are.
pub(super) fn check<'t>(
    rules: &Rules,
    text: &'t str,
    words: impl Iterator<Item = Word<'t>>,
    is_title: bool,
    mut flag: impl FnMut(Rule, String),
) {
    if text.is_empty() {
        return;
    }
    let seen = Seen::of(text);
    sizes(rules, text, &seen, is_title, &mut flag);
    markers(rules, text, words, &mut flag);
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
/// Of symbols, in the table.
const SYMBOL: u16 = 1 << 8;

/// What each byte is: bits of marks, and whether it is a symbol.
const BYTES: [u16; 256] = {
    let mut table = [0_u16; 256];
    let mut byte = 0;
    while byte < 256 {
        let plain = byte >= 128
            || (byte as u8).is_ascii_alphanumeric()
            || matches!(byte as u8, b' ' | b'-' | b'\'' | b',' | b':' | b'.' | b'(' | b')' | 9..=13);
        table[byte] = if plain { 0 } else { SYMBOL };
        byte += 1;
    }
    let mut mark = 0;
    while mark < MARKS.len() {
        table[MARKS[mark] as usize] |= 1 << mark;
        mark += 1;
    }
    byte = 128;
    while byte < 256 {
        table[byte] = WIDE as u16;
        byte += 1;
    }
    table
};

impl Seen {
    fn of(text: &str) -> Self {
        let (mut marks, mut symbols) = (0, 0);
        for byte in text.bytes() {
            let kind = BYTES[usize::from(byte)];
            marks |= kind;
            symbols += usize::from(kind >> 8);
        }
        let lines = if text.len() < 16 {
            text.bytes().filter(|byte| *byte == b'\n').count()
        } else {
            memchr::memchr_iter(b'\n', text.as_bytes()).count()
        };
        Self { chars: text.chars().count(), lines, symbols, marks: (marks & 0xff) as u8 }
    }

    fn has(&self, mark: u8) -> bool {
        BYTES[usize::from(mark)] & u16::from(self.marks) != 0
    }

    fn is_wide(&self) -> bool {
        self.marks & WIDE != 0
    }
}

fn sizes(rules: &Rules, text: &str, seen: &Seen, is_title: bool, flag: &mut impl FnMut(Rule, String)) {
    let settings = &rules.dataset.artifacts;
    let Seen { chars, lines, mut symbols, .. } = *seen;
    if seen.is_wide() {
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
    let share = symbols as f64 / chars as f64;
    if share >= settings.symbols {
        flag(super::SYMBOLS, format!("{symbols} of {chars} characters are symbols"));
    }
}

/// Letters of every script beyond ASCII, blanks, and what sentences need.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric()
        || matches!(c, '\u{300}'..='\u{36f}' | '\u{2010}'..='\u{2015}' | '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '\u{2026}')
        || c.is_whitespace()
}

fn markers<'t>(
    rules: &Rules,
    text: &'t str,
    words: impl Iterator<Item = Word<'t>>,
    flag: &mut impl FnMut(Rule, String),
) {
    let mut recent = Recent::default();
    let mut seen = 0_u64;
    for word in words {
        recent.phrases(word.hash, rules.marker_words, |hash| {
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
    if seen.has(b'`') && text.contains("```") {
        flag(super::CODE_FENCE, "three backticks".to_owned());
    }
    if seen.has(b'*') && text.contains("***") {
        flag(super::EMPHASIS_RUN, "three asterisks".to_owned());
    }
    if seen.has(b'#') && text.split('\n').any(is_heading) {
        flag(super::HEADING, "a heading of Markdown".to_owned());
    }
    if seen.has(b'<') && text.match_indices('<').any(|(at, _)| is_tag(&text[at + 1..])) {
        flag(super::HTML, "a tag of HTML".to_owned());
    }
    let cards = ['\u{1f4dc}', '\u{1f4da}', '\u{1f4c7}', '\u{1f5c2}', '\u{1f5c3}'];
    if seen.is_wide() && text.contains(cards) {
        flag(super::ARCHIVE_EMOJI, "an emoji of archives".to_owned());
    }
}

fn is_heading(line: &str) -> bool {
    let rest = line.trim_start().trim_start_matches('#');
    (2..=6).contains(&(line.trim_start().len() - rest.len())) && rest.starts_with(' ')
}

/// Whether what follows a `<` is the rest of a tag, and no comparison.
fn is_tag(rest: &str) -> bool {
    const TAGS: [&str; 16] = [
        "a", "b", "body", "br", "div", "em", "head", "html", "i", "img", "li", "p", "script", "span",
        "strong", "ul",
    ];
    let name = rest.strip_prefix('/').unwrap_or(rest);
    let end = name.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(name.len());
    let (name, rest) = name.split_at(end);
    let is_known = TAGS.iter().any(|tag| name.eq_ignore_ascii_case(tag));
    let closes = rest.trim_start().starts_with(['>', '/']) || rest.contains("=\"");
    is_known && (closes || name.eq_ignore_ascii_case("html"))
}

/// `[3]` or `(12)`.
fn is_numbered(title: &str) -> bool {
    title.match_indices(['[', '(']).any(|(at, open)| {
        let rest = &title[at + 1..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0 && rest[digits..].starts_with(if open == "[" { ']' } else { ')' })
    })
}
