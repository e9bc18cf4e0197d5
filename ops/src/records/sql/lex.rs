//! The words, texts and comments of SQL: where each ends, in the dialects that dumps are written in.
//!
//! Nothing is decoded here and nothing is understood. Every function goes forward over the bytes once and keeps
//! no stack, so that nesting costs nothing.

use super::super::error::Fault;
use super::super::scan::Stop;

/// Whose spelling holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The standard's and PostgreSQL's.
    Standard,
    /// SQLite's.
    Sqlite,
    /// MySQL's and MariaDB's.
    Mysql,
}

/// How texts and comments are read from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Rules {
    pub(super) dialect: Dialect,
    /// Whether a backslash in a plain text is an escape.
    pub(super) backslash: bool,
}

impl Rules {
    pub(super) const STANDARD: Self = Self { dialect: Dialect::Standard, backslash: false };
    pub(super) const MYSQL: Self = Self { dialect: Dialect::Mysql, backslash: true };

    pub(super) fn is_mysql(self) -> bool {
        self.dialect == Dialect::Mysql
    }
}

pub(super) fn fault<T>(at: usize, what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Fault(Fault::new(at, what)))
}

/// The byte at an offset, or the end.
pub(super) fn byte(bytes: &[u8], at: usize) -> Result<u8, Stop> {
    bytes.get(at).copied().ok_or(Stop::End)
}

/// Passes over blanks and comments. At the end of the bytes `at` is where reading must begin again.
pub(super) fn blanks(bytes: &[u8], at: &mut usize, rules: &mut Rules) -> Result<(), Stop> {
    loop {
        match byte(bytes, *at)? {
            b' ' | b'\n' | b'\r' | b'\t' | 0x0b | 0x0c => *at += 1,
            b'-' if bytes.get(*at + 1).is_none() => return Err(Stop::End),
            b'-' if is_comment(bytes, *at, *rules)? => {
                let end = line_end(bytes, *at)?;
                if MYSQL_TOOLS.iter().any(|tool| bytes[*at..end].starts_with(tool)) {
                    *rules = Rules::MYSQL;
                }
                *at = end;
            }
            b'#' if rules.is_mysql() => *at = line_end(bytes, *at)?,
            b'/' if byte(bytes, *at + 1)? == b'*' => *at = comment(bytes, *at, rules)?,
            _ => return Ok(()),
        }
    }
}

/// What the tools of MySQL write on the first lines of their dumps.
const MYSQL_TOOLS: [&[u8]; 3] = [b"-- MySQL dump", b"-- MariaDB dump", b"-- phpMyAdmin"];

/// Two dashes begin a comment; in MySQL only with a blank behind them.
fn is_comment(bytes: &[u8], at: usize, rules: Rules) -> Result<bool, Stop> {
    Ok(byte(bytes, at + 1)? == b'-' && (!rules.is_mysql() || byte(bytes, at + 2)? <= b' '))
}

/// The offset of the next line end.
pub(super) fn line_end(bytes: &[u8], at: usize) -> Result<usize, Stop> {
    memchr::memchr(b'\n', &bytes[at..]).map(|length| at + length).ok_or(Stop::End)
}

/// The offset behind a comment. In PostgreSQL comments nest; only MySQL has those that begin with `/*!`.
fn comment(bytes: &[u8], from: usize, rules: &mut Rules) -> Result<usize, Stop> {
    let mut at = from + 2;
    if bytes[at..].starts_with(b"!") || bytes[at..].starts_with(b"M!") {
        *rules = Rules::MYSQL;
    }
    let mut depth = 1_usize;
    while let Some(length) = memchr::memchr2(b'*', b'/', &bytes[at..]) {
        at += length;
        match (bytes[at], byte(bytes, at + 1)?) {
            (b'*', b'/') => (depth, at) = (depth - 1, at + 2),
            (b'/', b'*') if rules.dialect == Dialect::Standard => (depth, at) = (depth + 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Ok(at);
        }
    }
    Err(Stop::End)
}

pub(super) fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_in_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

/// The offset behind the word that starts at `from`.
pub(super) fn word(bytes: &[u8], from: usize) -> Result<usize, Stop> {
    let length = bytes[from..].iter().position(|b| !is_in_word(*b));
    length.map(|length| from + length).ok_or(Stop::End)
}

/// A text in quotes: the offset of the quote that closes it, and whether anything inside stands for something else.
pub(super) fn text(bytes: &[u8], from: usize, backslash: bool) -> Result<(usize, bool), Stop> {
    let quote = bytes[from];
    let mut at = from + 1;
    let mut is_plain = true;
    loop {
        let rest = &bytes[at..];
        let found = if backslash { memchr::memchr2(quote, b'\\', rest) } else { memchr::memchr(quote, rest) };
        at += found.ok_or(Stop::End)?;
        if bytes[at] == quote && byte(bytes, at + 1)? != quote {
            return Ok((at, is_plain));
        }
        byte(bytes, at + 1)?;
        (is_plain, at) = (false, at + 2);
    }
}

/// A text between two equal tags, if there is a tag at `from`: offsets of the text's start and end, and behind it.
pub(super) fn dollar(bytes: &[u8], from: usize) -> Result<Option<(usize, usize, usize)>, Stop> {
    let mut at = from + 1;
    while is_in_word(byte(bytes, at)?) && bytes[at] != b'$' {
        at += 1;
    }
    if bytes[at] != b'$' || bytes[from + 1].is_ascii_digit() {
        return Ok(None);
    }
    let tag = &bytes[from..=at];
    let end = at + 1 + memchr::memmem::find(&bytes[at + 1..], tag).ok_or(Stop::End)?;
    Ok(Some((at + 1, end, end + tag.len())))
}

/// The offset behind one token, whatever it is: a word, a text with its quotes, or one byte.
pub(super) fn token(bytes: &[u8], at: usize, rules: Rules) -> Result<usize, Stop> {
    match bytes[at] {
        b'\'' => text(bytes, at, rules.backslash).map(|(end, _)| end + 1),
        b'"' => text(bytes, at, rules.backslash).map(|(end, _)| end + 1),
        b'`' => text(bytes, at, false).map(|(end, _)| end + 1),
        b'$' if rules.dialect == Dialect::Standard => {
            Ok(dollar(bytes, at)?.map_or(at + 1, |(_, _, end)| end))
        }
        byte if is_word_start(byte) => {
            let end = word(bytes, at)?;
            let is_escaped = matches!(byte, b'E' | b'e') && end == at + 1 && bytes[end] == b'\'';
            if is_escaped && !rules.is_mysql() {
                return text(bytes, end, true).map(|(end, _)| end + 1);
            }
            Ok(end)
        }
        _ => Ok(at + 1),
    }
}

/// The offset behind the parenthesis that closes the one at `from`.
pub(super) fn parentheses(bytes: &[u8], from: usize, mut rules: Rules) -> Result<usize, Stop> {
    let mut at = from;
    let mut depth = 0_usize;
    loop {
        blanks(bytes, &mut at, &mut rules)?;
        match bytes[at] {
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        at = token(bytes, at, rules)?;
        if depth == 0 {
            return Ok(at);
        }
    }
}
