//! Texts as the input functions of PostgreSQL's types read them.

use super::CellError;
use crate::change::decimal::{Spelled, is_integer};

pub(super) fn no_nul(text: &str) -> Result<(), CellError> {
    match memchr::memchr(0, text.as_bytes()) {
        None => Ok(()),
        Some(_) => Err(CellError::new("a text without NUL characters")),
    }
}

/// Bytes of the first `max` characters, if only blanks come behind them.
pub(super) fn kept(text: &str, max: usize) -> Option<usize> {
    if text.len() <= max {
        return Some(text.len());
    }
    let kept = text.char_indices().nth(max).map_or(text.len(), |(at, _)| at);
    text[kept..].bytes().all(|b| b == b' ').then_some(kept)
}

/// The words of PostgreSQL and what they begin with.
pub(super) fn boolean(text: &str) -> Option<bool> {
    let text = text.trim_ascii();
    let begins = |word: &str| {
        !text.is_empty() && text.len() <= word.len() && word[..text.len()].eq_ignore_ascii_case(text)
    };
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ if begins("true") || begins("yes") || text.eq_ignore_ascii_case("on") => Some(true),
        _ if begins("false") || begins("no") => Some(false),
        _ if text.len() > 1 && begins("off") => Some(false),
        _ => None,
    }
}

/// A whole number in any spelling: `7`, `+7`, `7.0`, `70e-1`.
pub(super) fn integer(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    text.parse().ok().or_else(|| {
        let digits = Spelled::parse(text).filter(|_| !is_integer(text))?.digits();
        if !digits.is_whole() || digits.magnitude() > 19 {
            return None;
        }
        let mut plain = digits;
        plain.round(0);
        let mut out = String::new();
        plain.print(&mut out);
        out.parse().ok()
    })
}

/// Whether numeric prints this as it is: no exponent, no `+`, no zeros in front, digits on both sides of a point.
pub(super) fn is_plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').map_or((digits, None), |(w, f)| (w, Some(f)));
    let is_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    let is_positive = digits.len() == text.len();
    is_digits(whole)
        && fraction.is_none_or(is_digits)
        && (!whole.starts_with('0') || (whole.len() == 1 && is_positive))
}

pub(super) fn not_finite(text: &str) -> Option<&'static str> {
    let (sign, word) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (0, text),
    };
    if word.eq_ignore_ascii_case("nan") && sign == 0 {
        return Some("NaN");
    }
    let is_infinite = word.eq_ignore_ascii_case("inf") || word.eq_ignore_ascii_case("infinity");
    is_infinite.then_some(if sign < 0 { "-Infinity" } else { "Infinity" })
}

/// `\x00ff`, blanks between the bytes allowed.
pub(super) fn hexadecimal(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let mut digits = text.strip_prefix("\\x")?.bytes().filter(|b| !matches!(b, b' ' | b'\n' | b'\t' | b'\r'));
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    while let Some(high) = digits.next() {
        let Some((high, low)) = digit(high).zip(digits.next().and_then(digit)) else {
            out.truncate(start);
            return None;
        };
        out.push(high << 4 | low);
    }
    Some(())
}

pub(super) fn is_canonical_uuid(text: &str) -> bool {
    let is_fine = |(at, b): (usize, u8)| match at {
        8 | 13 | 18 | 23 => b == b'-',
        _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
    };
    text.len() == 36 && text.bytes().enumerate().all(is_fine)
}

/// The spellings that PostgreSQL reads: braces around it, either case, hyphens behind any four digits or none.
pub(super) fn uuid(text: &str, out: &mut String) -> Option<()> {
    let inner = match text.strip_prefix('{') {
        Some(rest) => rest.strip_suffix('}')?,
        None => text,
    };
    let start = out.len();
    let mut digits = 0;
    let mut may_part = false;
    for c in inner.chars() {
        match c {
            '-' if may_part && digits < 32 => may_part = false,
            c if c.is_ascii_hexdigit() && digits < 32 => {
                if matches!(digits, 8 | 12 | 16 | 20) {
                    out.push('-');
                }
                out.push(c.to_ascii_lowercase());
                digits += 1;
                may_part = digits % 4 == 0;
            }
            _ => {
                out.truncate(start);
                return None;
            }
        }
    }
    if digits < 32 {
        out.truncate(start);
        return None;
    }
    Some(())
}
