//! One value of a row in SQL: a constant in any of its spellings, or a reason why it is none.
//!
//! Texts are texts, whatever they are cast to. What SQL writes without quotes becomes the JSON that says the same:
//! numbers (`.5` is `0.5`), `true`, `false` and `null`, `ARRAY[…]` as an array, bytes as `{"$bytes":"00ff"}`.
//! Nothing is computed, except what SQLite's own dump writes around line ends.

use super::super::scan::Stop;
use super::super::{Form, Span};
use super::lex::{self, Rules, blanks, byte, fault};

/// Parentheses, casts and arrays inside each other.
const DEPTH_MAX: usize = 64;
/// Bytes that one value may grow to.
pub(super) const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where values are put: a part of the row as it stands, or of `made`.
#[derive(Debug, Default)]
pub(in super::super) struct Values {
    pub(in super::super) spans: Vec<Span>,
    pub(in super::super) made: Vec<u8>,
    opens: Vec<Open>,
    pub(super) swap: Vec<u8>,
}

/// Something that is open around a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Parenthesis,
    Cast,
    Replace,
    Unistr,
}

/// A value: where it stands.
pub(super) type Found = (usize, usize, Form);

impl Values {
    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.made.clear();
    }

    /// Reads the value at `at`, whose row begins at `origin`; gives the offset of what follows it and its blanks.
    pub(super) fn value(
        &mut self,
        bytes: &[u8],
        origin: usize,
        mut at: usize,
        rules: &mut Rules,
    ) -> Result<usize, Stop> {
        self.opens.clear();
        let mut found = loop {
            if let Some((open, next)) = opening(bytes, at, rules)? {
                self.opens.push(open);
                if self.opens.len() > DEPTH_MAX {
                    return fault(at, format!("nested deeper than {DEPTH_MAX} levels"));
                }
                at = next;
                blanks(bytes, &mut at, rules)?;
            } else {
                break self.constant(bytes, &mut at, rules)?;
            }
        };
        loop {
            blanks(bytes, &mut at, rules)?;
            if bytes[at] == b':' && byte(bytes, at + 1)? == b':' {
                at = type_name(bytes, at + 2, rules)?;
            } else if let Some(open) = self.opens.pop() {
                at = self.close(open, bytes, at, rules, &mut found)?;
            } else {
                break;
            }
        }
        let start = if found.2.is_made() || found.2 == Form::Absent { 0 } else { origin };
        let offset = |n: usize| u32::try_from(n - start).expect("a record is smaller than 4 GiB");
        self.spans.push(Span { from: offset(found.0), to: offset(found.1), form: found.2 });
        Ok(at)
    }

    /// Goes behind the end of something that is open.
    fn close(
        &mut self,
        open: Open,
        bytes: &[u8],
        mut at: usize,
        rules: &mut Rules,
        found: &mut Found,
    ) -> Result<usize, Stop> {
        match open {
            Open::Parenthesis => {}
            Open::Cast => {
                if !bytes[at..].get(..2).ok_or(Stop::End)?.eq_ignore_ascii_case(b"as") {
                    return fault(at, "a cast without a type");
                }
                at = type_name(bytes, at + 2, rules)?;
                blanks(bytes, &mut at, rules)?;
            }
            Open::Replace => {
                self.replace(bytes, found, &mut at, rules)?;
            }
            Open::Unistr => self.unistr(bytes, found, at)?,
        }
        if byte(bytes, at)? != b')' {
            return fault(at, "an expression, where only constants are read");
        }
        Ok(at + 1)
    }

    /// A constant without anything around it.
    pub(super) fn constant(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        rules: &mut Rules,
    ) -> Result<Found, Stop> {
        match byte(bytes, *at)? {
            b'\'' => self.text(bytes, at, rules.backslash, rules),
            b'"' if rules.is_mysql() => self.text(bytes, at, rules.backslash, rules),
            b'"' | b'`' => fault(*at, "a name in quotes, where a value was expected"),
            b'0' if matches!(byte(bytes, *at + 1)?, b'x' | b'X') => {
                let end = lex::word(bytes, *at)?;
                let start = std::mem::replace(at, end) + 2;
                self.bytes(bytes, start, (start, end, Form::Quoted))
            }
            b'0'..=b'9' | b'.' | b'+' | b'-' => self.number(bytes, at),
            b'$' => match lex::dollar(bytes, *at)? {
                Some((from, to, end)) => {
                    *at = end;
                    Ok((from, to, Form::Quoted))
                }
                None => fault(*at, "a parameter, where a value was expected"),
            },
            b'a' | b'A' if is_word(bytes, *at, b"array")? => self.array(bytes, at, rules),
            b if lex::is_word_start(b) => self.worded(bytes, at, rules),
            b')' | b',' => fault(*at, "a value is missing"),
            _ => fault(*at, "an expression, where only constants are read"),
        }
    }

    /// NULL, TRUE, FALSE, DEFAULT, and texts with words before them.
    fn worded(&mut self, bytes: &[u8], at: &mut usize, rules: &mut Rules) -> Result<Found, Stop> {
        let from = *at;
        let end = lex::word(bytes, from)?;
        let word = &bytes[from..end];
        *at = end;
        if bytes[end] == b'\'' {
            match word {
                [b'e' | b'E'] => return self.text(bytes, at, true, rules),
                [b'x' | b'X'] => {
                    let found = self.text(bytes, at, false, rules)?;
                    return self.bytes(bytes, end + 1, found);
                }
                _ => {}
            }
        }
        if let [b'u' | b'U'] = word
            && bytes[end] == b'&'
            && byte(bytes, end + 1)? == b'\''
        {
            *at += 1;
            return self.unicode(bytes, at, rules);
        }
        for (name, json) in [("null", "null"), ("true", "true"), ("false", "false")] {
            if word.eq_ignore_ascii_case(name.as_bytes()) {
                return Ok(self.made(json));
            }
        }
        if word.eq_ignore_ascii_case(b"default") {
            return Ok((0, 0, Form::Absent));
        }
        // A type before a text: DATE '…', TIMESTAMP WITH TIME ZONE '…', _utf8mb4 '…'.
        for _ in 0..5 {
            blanks(bytes, at, rules)?;
            match bytes[*at] {
                b'\'' if word.eq_ignore_ascii_case(b"_binary") => {
                    let found = self.text(bytes, at, rules.backslash, rules)?;
                    return Ok(self.hexadecimal(bytes, found));
                }
                b'\'' => return self.text(bytes, at, rules.backslash, rules),
                b if lex::is_word_start(b) => *at = lex::word(bytes, *at)?,
                _ => break,
            }
        }
        let name = String::from_utf8_lossy(&word[..word.len().min(40)]).into_owned();
        fault(from, format!("`{name}` begins an expression, where only constants are read"))
    }

    fn made(&mut self, json: &str) -> Found {
        let start = self.made.len();
        self.made.extend_from_slice(json.as_bytes());
        (start, self.made.len(), Form::MadeJson)
    }
}

/// Whether this word, in any case, stands at `at`.
pub(super) fn is_word(bytes: &[u8], at: usize, wanted: &[u8]) -> Result<bool, Stop> {
    let found = &bytes[at.min(bytes.len())..bytes.len().min(at + wanted.len())];
    if !wanted[..found.len()].eq_ignore_ascii_case(found) {
        return Ok(false);
    }
    Ok(lex::word(bytes, at)? == at + wanted.len())
}

/// What opens at `at`, and the offset behind that.
fn opening(bytes: &[u8], at: usize, rules: &mut Rules) -> Result<Option<(Open, usize)>, Stop> {
    let (name, open) = match byte(bytes, at)? {
        b'(' => return Ok(Some((Open::Parenthesis, at + 1))),
        b'c' | b'C' => (&b"cast"[..], Open::Cast),
        b'r' | b'R' => (&b"replace"[..], Open::Replace),
        b'u' | b'U' => (&b"unistr"[..], Open::Unistr),
        _ => return Ok(None),
    };
    // A row ends with a parenthesis, so that there is always a byte behind a word that is not cut off.
    if !is_word(bytes, at, name)? {
        return Ok(None);
    }
    let mut next = at + name.len();
    blanks(bytes, &mut next, rules)?;
    Ok((bytes[next] == b'(').then_some((open, next + 1)))
}

/// Words that go on with the name of a type.
const TYPE_WORDS: [&[u8]; 7] = [b"precision", b"varying", b"with", b"without", b"time", b"zone", b"unsigned"];

/// The offset behind the name of a type: `uuid`, `public."Kind"[]`, `character varying(20)`.
pub(super) fn type_name(bytes: &[u8], mut at: usize, rules: &mut Rules) -> Result<usize, Stop> {
    blanks(bytes, &mut at, rules)?;
    let start = at;
    loop {
        at = match byte(bytes, at)? {
            b'"' => lex::text(bytes, at, false)?.0 + 1,
            b if lex::is_word_start(b) => lex::word(bytes, at)?,
            _ => return fault(start, "a cast without a type"),
        };
        let mut next = at;
        loop {
            blanks(bytes, &mut next, rules)?;
            match bytes[next] {
                b'(' | b'[' => {
                    let stop = if bytes[next] == b'(' { b')' } else { b']' };
                    let length = memchr::memchr(stop, &bytes[next..]).ok_or(Stop::End)?;
                    if bytes[next + 1..next + length].iter().any(|b| !matches!(b, b'0'..=b'9' | b',' | b' '))
                    {
                        return fault(next, "an expression, where only constants are read");
                    }
                    next += length + 1;
                    at = next;
                }
                b'.' => {
                    next += 1;
                    blanks(bytes, &mut next, rules)?;
                    at = next;
                    break;
                }
                b if lex::is_word_start(b) => {
                    let end = lex::word(bytes, next)?;
                    if !TYPE_WORDS.iter().any(|word| bytes[next..end].eq_ignore_ascii_case(word)) {
                        return Ok(at);
                    }
                    (at, next) = (end, end);
                }
                _ => return Ok(at),
            }
        }
    }
}

impl Values {
    pub(super) fn push_null(&mut self) {
        let (from, to, form) = self.made("null");
        let offset = |n: usize| u32::try_from(n).expect("a record is smaller than 4 GiB");
        self.spans.push(Span { from: offset(from), to: offset(to), form });
    }
}
