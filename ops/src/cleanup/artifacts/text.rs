//! Debris in one text: markers, addresses, markup, sizes.

use super::super::note::Rule;
use super::super::rules::{Recent, Rules};
use super::super::words::words;

/// Calls `flag` with every rule that holds for a text.
pub(super) fn check(rules: &Rules, text: &str, is_title: bool, mut flag: impl FnMut(Rule, String)) {
    if text.is_empty() {
        return;
    }
    sizes(rules, text, is_title, &mut flag);
    markers(rules, text, &mut flag);
    markup(text, &mut flag);
    if is_title {
        if text.contains('[') {
            flag(super::BRACKET_IN_TITLE, "`[` in a title".to_owned());
        }
        if text.contains('\t') {
            flag(super::TAB_IN_TITLE, "a tabulator in a title".to_owned());
        }
        if is_numbered(text) {
            flag(super::NUMBERED_TITLE, "a number in brackets in a title".to_owned());
        }
    }
}

fn sizes(rules: &Rules, text: &str, is_title: bool, flag: &mut impl FnMut(Rule, String)) {
    let settings = &rules.dataset.artifacts;
    let (mut chars, mut lines, mut symbols) = (0_usize, 0_usize, 0_usize);
    for c in text.chars() {
        chars += 1;
        lines += usize::from(c == '\n');
        symbols += usize::from(!is_plain(c));
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

/// Letters of every script, digits, blanks, and what sentences need.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, ' ' | '-' | '\'' | ',' | ':' | '.' | '(' | ')')
        || (!c.is_ascii()
            && (c.is_alphanumeric()
                || matches!(c, '\u{300}'..='\u{36f}' | '\u{2010}'..='\u{2015}' | '\u{2018}' | '\u{2019}' | '\u{201c}' | '\u{201d}' | '\u{2026}')))
        || c.is_whitespace()
}

fn markers(rules: &Rules, text: &str, flag: &mut impl FnMut(Rule, String)) {
    let mut recent = Recent::default();
    let mut seen = 0_u64;
    words(text, |word| {
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
            return;
        }
        let end = word.text.as_ptr().addr() - text.as_ptr().addr() + word.text.len();
        let rest = &text[end..];
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
    });
}

fn markup(text: &str, flag: &mut impl FnMut(Rule, String)) {
    if text.contains("```") {
        flag(super::CODE_FENCE, "three backticks".to_owned());
    }
    if text.contains("***") {
        flag(super::EMPHASIS_RUN, "three asterisks".to_owned());
    }
    if text.split('\n').any(is_heading) {
        flag(super::HEADING, "a heading of Markdown".to_owned());
    }
    if text.match_indices('<').any(|(at, _)| is_tag(&text[at + 1..])) {
        flag(super::HTML, "a tag of HTML".to_owned());
    }
    let cards = ['\u{1f4dc}', '\u{1f4da}', '\u{1f4c7}', '\u{1f5c2}', '\u{1f5c3}'];
    if !text.is_ascii() && text.contains(cards) {
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
