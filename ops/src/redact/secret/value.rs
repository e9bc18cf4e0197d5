//! Where the value behind a secret name begins and ends, and which values are none: placeholders, types, code, prose.

use super::names::Class;
use crate::redact::MASK;

/// Values that give nothing away.
const HARMLESS: [&str; 53] = [
    "true",
    "false",
    "null",
    "none",
    "nil",
    "undefined",
    "yes",
    "no",
    "on",
    "off",
    "string",
    "str",
    "text",
    "varchar",
    "bytes",
    "int",
    "integer",
    "number",
    "bool",
    "boolean",
    "any",
    "object",
    "option",
    "required",
    "optional",
    "invalid",
    "incorrect",
    "wrong",
    "missing",
    "expired",
    "changed",
    "reset",
    "hidden",
    "masked",
    "redacted",
    "removed",
    "empty",
    "unset",
    "unknown",
    "must",
    "should",
    "is",
    "was",
    "not",
    "the",
    "a",
    "an",
    "at",
    "in",
    "of",
    "for",
    "self",
    "here",
];

/// What is known of the name before a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    pub(super) class: Class,
    /// It is a flag of a command line, whose value follows behind a space.
    pub(super) is_flag: bool,
    /// It is a word that sentences have too.
    pub(super) is_word: bool,
}

/// The value that follows a name which ends at `end`; `None` when there is none that must be hidden.
pub(super) fn behind(text: &str, end: usize, name: Name) -> Option<(usize, usize)> {
    let class = name.class;
    let (at, link) = link(text, end, name.is_flag)?;
    let quote = opening(&text[at..]);
    let start = at + quote.len();
    if class == Class::Authorization {
        return authorization(text, start, quote);
    }
    if class == Class::Cookie && !(link == Link::Colon && begins_cookie(&text[start..])) {
        return None;
    }
    let stop = match (quote, class) {
        ("", Class::Cookie) => line_end(text, start),
        ("", _) => start + unquoted(&text[start..], link),
        _ => start + quoted(&text[start..], quote),
    };
    let value = &text[start..stop];
    if class == Class::Cookie {
        return Some((start, stop));
    }
    let is_harmless = is_placeholder(value)
        || (class == Class::Token && is_small_number(value))
        || (quote.is_empty() && is_code_or_prose(text, start, stop, name, link));
    (!is_harmless).then_some((start, stop))
}

/// What joins a name and its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// `=` without a space.
    Tight,
    /// `=`, `=>` or `:=` with spaces.
    Spaced,
    /// `:`
    Colon,
    /// A space behind a flag.
    Flag,
    /// `is`
    Is,
}

/// Where the value begins, past the quote that ends the name, the sign and up to three spaces.
fn link(text: &str, end: usize, is_flag: bool) -> Option<(usize, Link)> {
    let rest = &text[end..];
    let closing = opening(rest);
    let rest = &rest[closing.len()..];
    let rest = if closing.is_empty() { rest } else { rest.trim_start_matches(']') };
    let gap = spaces(rest);
    let sign = &rest[gap..];
    let (length, link) = if sign.starts_with("==") || sign.starts_with("::") {
        return None;
    } else if sign.starts_with(":=") || sign.starts_with("=>") {
        (2, Link::Spaced)
    } else if let Some(behind) = sign.strip_prefix('=') {
        (1, if gap == 0 && spaces(behind) == 0 { Link::Tight } else { Link::Spaced })
    } else if sign.starts_with(':') && gap <= 1 {
        (1, Link::Colon)
    } else if gap == 1 && closing.is_empty() && (sign.starts_with("is ") || sign.starts_with("was ")) {
        (sign.find(' ').unwrap_or(0), Link::Is)
    } else if gap == 1 && is_flag && !sign.starts_with('-') {
        (0, Link::Flag)
    } else {
        return None;
    };
    let behind = &sign[length..];
    Some((text.len() - behind.len() + spaces(behind), link))
}

fn spaces(text: &str) -> usize {
    text.bytes().take(3).take_while(|b| *b == b' ').count()
}

/// The quote that a text begins with, as a program or as JSON inside a string spells it.
fn opening(text: &str) -> &str {
    let length = match text.as_bytes() {
        [b'\\', b'"' | b'\'', ..] => 2,
        [b'"' | b'\'' | b'`', ..] => 1,
        _ => 0,
    };
    &text[..length]
}

fn line_end(text: &str, at: usize) -> usize {
    at + memchr::memchr2(b'\n', b'\r', &text.as_bytes()[at..]).unwrap_or(text.len() - at)
}

/// Whether a text begins with a name, `=` and a value.
fn begins_cookie(text: &str) -> bool {
    let name = text.bytes().take(128).take_while(|b| b.is_ascii_graphic() && !b"=;,\"".contains(b)).count();
    name > 0 && text[name..].starts_with('=')
}

/// The length of what stands before the closing quote, or before the end of the line.
fn quoted(text: &str, quote: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(offset) = memchr::memchr3(b'\n', b'\\', quote.as_bytes()[quote.len() - 1], &bytes[at..]) {
        at += offset;
        if bytes[at] == b'\n' || text[at..].starts_with(quote) {
            return at;
        }
        // An escaped sign, whatever it is.
        at += if bytes[at] == b'\\' { 2 } else { 1 };
        if at >= bytes.len() {
            break;
        }
    }
    text.len()
}

/// The length of a value without quotes.
fn unquoted(text: &str, link: Link) -> usize {
    let is_end = |c: char| c.is_whitespace() || c.is_control() || "\"'`,;<>|)]}»”".contains(c);
    let is_query_end = |c: char| link == Link::Tight && c == '&';
    // A template such as `${NAME}` or `[redacted-secret]` has brackets of its own.
    let own = match text.as_bytes() {
        [b'$', b'{' | b'(', ..] | [b'{' | b'[' | b'<' | b'%' | b'(', ..] => {
            text.bytes().take(80).position(|b| matches!(b, b'}' | b']' | b'>' | b')')).map_or(0, |at| at + 1)
        }
        _ => 0,
    };
    let rest = text.get(own..).unwrap_or_default();
    let length = own + rest.find(|c| is_end(c) || is_query_end(c)).unwrap_or(rest.len());
    // A backslash begins what JSON writes for the end of the line or of the string.
    let length = text[..length].find('\\').unwrap_or(length);
    text[..length].trim_end_matches(['.', '!', '?', ':']).len()
}

/// Whether a value says that it is not shown, or where it comes from.
fn is_placeholder(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let is_masked = || value.chars().all(|c| "*•xX.…_-?#".contains(c));
    let is_variable = || {
        let name = value.trim_start_matches('$');
        name.len() < value.len()
            && name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit())
    };
    let is_template = || {
        let ends = [("${", "}"), ("$(", ")"), ("{", "}"), ("<", ">"), ("%(", ")s"), ("[", "]")];
        ends.iter().any(|(start, end)| value.starts_with(start) && value.ends_with(end))
    };
    value.is_empty()
        || value.starts_with(MASK)
        || HARMLESS.contains(&lower.as_str())
        || matches!(value, "%s" | "?" | "&str")
        || is_masked()
        || is_variable()
        || is_template()
}

fn is_small_number(value: &str) -> bool {
    let digits = value.trim_start_matches('-').replace([',', '.', '_'], "");
    digits.len() <= 9 && digits.bytes().all(|b| b.is_ascii_digit())
}

/// Whether a value without quotes is an expression of a program, or the next word of a sentence.
fn is_code_or_prose(text: &str, start: usize, stop: usize, name: Name, link: Link) -> bool {
    let class = name.class;
    let value = &text[start..stop];
    let next = text[stop..].chars().next();
    let has_digit = value.bytes().any(|b| b.is_ascii_digit());
    let is_path = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b));
    let is_word = value.chars().all(char::is_alphabetic);
    let is_mixed = value.chars().skip(1).any(char::is_uppercase) && value.chars().any(char::is_lowercase);
    match link {
        Link::Tight | Link::Flag => value.starts_with(['&', '(', '[', '{', '|']) && class == Class::Token,
        Link::Is => !(value.len() >= 5 && value.chars().any(|c| !c.is_alphabetic() && !"'’-".contains(c))),
        Link::Spaced | Link::Colon if value.starts_with(['&', '(', '[', '{', '|', '*', '!']) => true,
        Link::Spaced => {
            // The end of the line ends an assignment of a configuration; code goes on.
            let is_last = matches!(next, None | Some('\n' | '\r'));
            let is_call = is_path && value.contains('(') || value.contains('.') && is_path && !has_digit;
            let is_plain = is_path && !has_digit && !(class == Class::Password && is_last);
            is_call || is_plain || value.contains(['(', '['])
        }
        Link::Colon => {
            let is_type = is_path && value.contains("::") || next == Some('<') || value.contains('(');
            // Names of types are written with a capital; words of sentences follow names that are words.
            let is_capital = value.starts_with(char::is_uppercase) && value.chars().any(char::is_lowercase);
            let is_sentence = is_word && class == Class::Token && (name.is_word && !is_mixed || is_capital);
            is_type || is_sentence
        }
    }
}

/// The credentials behind the scheme, if they are more than a word.
fn authorization(text: &str, start: usize, quote: &str) -> Option<(usize, usize)> {
    let rest = &text[start..];
    let word = rest.bytes().take(16).take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
    let is_scheme = rest[word..].starts_with(' ')
        && ["bearer", "basic", "token", "digest", "apikey", "negotiate", "aws4-hmac-sha256"]
            .contains(&rest[..word].to_ascii_lowercase().as_str());
    let start = if is_scheme { start + word + spaces(&rest[word..]) } else { start };
    let rest = &text[start..];
    let length = if quote.is_empty() {
        // Some schemes have lists of parameters; they end with the line.
        let head = &rest.as_bytes()[..rest.len().min(256)];
        let head = head.split(|b| *b == b'\n').next().unwrap_or_default();
        let is_list = [&b"=\""[..], b"Signature=", b"Credential="]
            .iter()
            .any(|sign| memchr::memmem::find(head, sign).is_some());
        if is_list {
            line_end(rest, 0)
        } else {
            rest.find(|c: char| c.is_whitespace() || "\"'`,;)]}»”".contains(c)).unwrap_or(rest.len())
        }
    } else {
        quoted(rest, quote)
    };
    let value = &rest[..length];
    let is_credentials = value.len() >= 8 && (is_scheme || value.bytes().any(|b| b.is_ascii_digit()));
    (is_credentials && !is_placeholder(value)).then_some((start, start + length))
}
