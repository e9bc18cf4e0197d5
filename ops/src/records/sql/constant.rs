//! What constants of SQL say: texts without their escapes, numbers and bytes and arrays as JSON spells them.

use super::super::Form;
use super::super::scan::Stop;
use super::lex::{self, Rules, blanks, byte, fault};
use super::value::{Found, VALUE_BYTES_MAX, Values, is_word};

/// Levels of an array.
const ARRAY_DEPTH_MAX: usize = 64;

impl Values {
    /// A text in quotes at `at`, and those that continue it on further lines.
    pub(super) fn text(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        backslash: bool,
        rules: &mut Rules,
    ) -> Result<Found, Stop> {
        let quote = bytes[*at];
        let from = *at + 1;
        let (to, is_plain) = lex::text(bytes, *at, backslash)?;
        *at = to + 1;
        if is_plain && !is_continued(bytes, *at, rules)? {
            return Ok((from, to, Form::Quoted));
        }
        let start = self.made.len();
        unescape(bytes, from, to, quote, backslash, *rules, &mut self.made)?;
        while is_continued(bytes, *at, rules)? {
            blanks(bytes, at, rules)?;
            let from = *at + 1;
            let (to, _) = lex::text(bytes, *at, backslash)?;
            unescape(bytes, from, to, quote, backslash, *rules, &mut self.made)?;
            *at = to + 1;
        }
        Ok((start, self.made.len(), Form::MadeText))
    }

    /// `U&'…' [UESCAPE 'c']`, `at` being at the quote.
    pub(super) fn unicode(&mut self, bytes: &[u8], at: &mut usize, rules: &mut Rules) -> Result<Found, Stop> {
        let from = *at;
        let found = self.text(bytes, at, false, rules)?;
        let mut escape = b'\\';
        let mut next = *at;
        blanks(bytes, &mut next, rules)?;
        if is_word(bytes, next, b"uescape")? {
            next += b"uescape".len();
            blanks(bytes, &mut next, rules)?;
            match bytes.get(next..next + 3).ok_or(Stop::End)? {
                [b'\'', c, b'\''] => escape = *c,
                _ => return fault(next, "an escape character that is not one character"),
            }
            *at = next + 3;
        }
        self.change(bytes, found, |text, out| code_points(text, escape, out))
            .or_else(|what| fault(from, what))
    }

    /// Replaces the text that was found by what `change` makes of it.
    fn change(
        &mut self,
        bytes: &[u8],
        (from, to, form): Found,
        change: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), &'static str>,
    ) -> Result<Found, &'static str> {
        self.swap.clear();
        let text = if form.is_made() { &self.made[from..to] } else { &bytes[from..to] };
        change(text, &mut self.swap)?;
        if form.is_made() {
            self.made.truncate(from);
        }
        let start = self.made.len();
        self.made.extend_from_slice(&self.swap);
        Ok((start, self.made.len(), Form::MadeText))
    }

    /// `replace(…, 'a', 'b')` or `replace(…, 'a', char(10))`, with which SQLite writes line ends.
    pub(super) fn replace(
        &mut self,
        bytes: &[u8],
        found: &mut Found,
        at: &mut usize,
        rules: &mut Rules,
    ) -> Result<(), Stop> {
        let from = *at;
        let wanted = argument(bytes, at, rules)?;
        let other = argument(bytes, at, rules)?;
        if wanted.is_empty() || !matches!(found.2, Form::Quoted | Form::MadeText) {
            return fault(from, "an expression, where only constants are read");
        }
        let replaced = self.change(bytes, *found, |text, out| {
            let mut rest = 0;
            for place in memchr::memmem::find_iter(text, &wanted) {
                out.extend_from_slice(&text[rest..place]);
                out.extend_from_slice(&other);
                rest = place + wanted.len();
                if out.len() > VALUE_BYTES_MAX {
                    return Err("a text that becomes too large");
                }
            }
            out.extend_from_slice(&text[rest..]);
            Ok(())
        });
        *found = replaced.or_else(|what| fault(from, what))?;
        Ok(())
    }

    /// `unistr('…')`, with which newer SQLite writes control characters.
    pub(super) fn unistr(&mut self, bytes: &[u8], found: &mut Found, at: usize) -> Result<(), Stop> {
        let changed = self.change(bytes, *found, |text, out| code_points(text, b'\\', out));
        *found = changed.or_else(|what| fault(at, what))?;
        Ok(())
    }

    /// Bytes that are written in hexadecimal digits, by a constant at `at`.
    pub(super) fn bytes(&mut self, bytes: &[u8], at: usize, found: Found) -> Result<Found, Stop> {
        let (start, to, _) = self
            .change(bytes, found, |digits, out| {
                if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err("bytes that are not pairs of hexadecimal digits");
                }
                out.extend_from_slice(b"{\"$bytes\":\"");
                out.extend(digits.iter().map(u8::to_ascii_lowercase));
                out.extend_from_slice(b"\"}");
                Ok(())
            })
            .or_else(|what| fault(at, what))?;
        Ok((start, to, Form::MadeJson))
    }

    /// The bytes of a text that was found, as such.
    pub(super) fn hexadecimal(&mut self, bytes: &[u8], (from, to, form): Found) -> Found {
        let text = if form.is_made() { &self.made[from..to] } else { &bytes[from..to] };
        let digits = crate::ids::hex(text);
        let start = self.made.len();
        self.made.extend_from_slice(format!("{{\"$bytes\":\"{digits}\"}}").as_bytes());
        (start, self.made.len(), Form::MadeJson)
    }

    /// A number; what JSON spells otherwise is spelled anew, digit by digit.
    pub(super) fn number(&mut self, bytes: &[u8], at: &mut usize) -> Result<Found, Stop> {
        let from = *at;
        let sign = matches!(bytes[from], b'+' | b'-');
        let mut next = from + usize::from(sign);
        let digits = |next: &mut usize| -> Result<(usize, usize), Stop> {
            let start = *next;
            while byte(bytes, *next)?.is_ascii_digit() {
                *next += 1;
            }
            Ok((start, *next))
        };
        let whole = digits(&mut next)?;
        let mut part = (next, next);
        let mut exponent = None;
        let has_point = bytes[next] == b'.';
        if has_point {
            next += 1;
            part = digits(&mut next)?;
        }
        if whole.0 == whole.1 && part.0 == part.1 {
            return fault(from, "an expression, where only constants are read");
        }
        if matches!(bytes[next], b'e' | b'E') {
            let start = next;
            next += 1 + usize::from(matches!(byte(bytes, next + 1)?, b'+' | b'-'));
            let (first, last) = digits(&mut next)?;
            if first == last {
                return fault(next, "a number without the digits of its exponent");
            }
            exponent = Some((start, last));
        }
        if lex::is_word_start(bytes[next]) || bytes[next] == b'.' {
            return fault(from, "what begins like a number and is none");
        }
        *at = next;
        let (first, last) = whole;
        let is_json = bytes[from] != b'+'
            && first < last
            && (bytes[first] != b'0' || last == first + 1)
            && (!has_point || part.0 < part.1);
        if is_json {
            return Ok((from, next, Form::Json));
        }
        let start = self.made.len();
        if bytes[from] == b'-' {
            self.made.push(b'-');
        }
        let zeros = bytes[first..last].iter().take_while(|b| **b == b'0').count();
        let significant = &bytes[first + zeros..last];
        self.made.extend_from_slice(if significant.is_empty() { b"0" } else { significant });
        if part.0 < part.1 {
            self.made.push(b'.');
            self.made.extend_from_slice(&bytes[part.0..part.1]);
        }
        if let Some((from, to)) = exponent {
            self.made.extend_from_slice(&bytes[from..to]);
        }
        Ok((start, self.made.len(), Form::MadeJson))
    }

    /// `ARRAY[…]` as a JSON array.
    pub(super) fn array(&mut self, bytes: &[u8], at: &mut usize, rules: &mut Rules) -> Result<Found, Stop> {
        let from = *at;
        let mut json = Vec::new();
        let mut depth = 0;
        loop {
            blanks(bytes, at, rules)?;
            // An element, or an array that opens.
            if bytes[*at] == b'[' || is_word(bytes, *at, b"array")? {
                if bytes[*at] != b'[' {
                    *at += b"array".len();
                    blanks(bytes, at, rules)?;
                }
                if bytes[*at] != b'[' {
                    return fault(*at, "an expression, where only constants are read");
                }
                depth += 1;
                if depth > ARRAY_DEPTH_MAX {
                    return fault(from, format!("nested deeper than {ARRAY_DEPTH_MAX} levels"));
                }
                *at += 1;
                json.push(b'[');
                blanks(bytes, at, rules)?;
                if bytes[*at] != b']' {
                    continue;
                }
            } else {
                let start = self.made.len();
                let found = self.constant(bytes, at, rules)?;
                push_json(&mut json, bytes, &self.made, found).or_else(|what| fault(*at, what))?;
                self.made.truncate(start);
            }
            // What follows an element: a cast, ends of arrays, a comma.
            loop {
                blanks(bytes, at, rules)?;
                match bytes[*at] {
                    b':' if byte(bytes, *at + 1)? == b':' => {
                        *at = super::value::type_name(bytes, *at + 2, rules)?;
                    }
                    b']' => {
                        json.push(b']');
                        *at += 1;
                        depth -= 1;
                        if depth == 0 {
                            let start = self.made.len();
                            self.made.extend_from_slice(&json);
                            return Ok((start, self.made.len(), Form::MadeJson));
                        }
                    }
                    b',' => {
                        json.push(b',');
                        *at += 1;
                        break;
                    }
                    _ => return fault(*at, "an expression, where only constants are read"),
                }
            }
        }
    }
}

/// Appends an element of an array.
fn push_json(
    json: &mut Vec<u8>,
    bytes: &[u8],
    made: &[u8],
    (from, to, form): Found,
) -> Result<(), &'static str> {
    let text = if form.is_made() { &made[from..to] } else { &bytes[from..to] };
    match form {
        Form::Absent => return Err("DEFAULT inside an array"),
        Form::Json | Form::MadeJson => json.extend_from_slice(text),
        _ => {
            let text = std::str::from_utf8(text).map_err(|_| "a text that is not UTF-8")?;
            serde_json::to_writer(json, text).map_err(|_| "a text that cannot be written")?;
        }
    }
    Ok(())
}

/// Whether a text goes on behind its end: in MySQL behind any blanks, elsewhere on another line.
fn is_continued(bytes: &[u8], at: usize, rules: &mut Rules) -> Result<bool, Stop> {
    let mut next = at;
    blanks(bytes, &mut next, rules)?;
    Ok(bytes[next] == b'\''
        && next > at
        && (rules.is_mysql() || memchr::memchr(b'\n', &bytes[at..next]).is_some()))
}

/// `, 'text'` or `, char(10)`: the text.
fn argument(bytes: &[u8], at: &mut usize, rules: &mut Rules) -> Result<Vec<u8>, Stop> {
    let expected = |at: usize, b: u8| match byte(bytes, at)? {
        found if found == b => Ok(at + 1),
        _ => fault(at, "an expression, where only constants are read"),
    };
    blanks(bytes, at, rules)?;
    *at = expected(*at, b',')?;
    blanks(bytes, at, rules)?;
    let mut values = Values::default();
    if bytes[*at] == b'\'' {
        let (from, to, form) = values.text(bytes, at, rules.backslash, rules)?;
        blanks(bytes, at, rules)?;
        return Ok(if form.is_made() { values.made[from..to].to_vec() } else { bytes[from..to].to_vec() });
    }
    if !is_word(bytes, *at, b"char")? {
        return fault(*at, "an expression, where only constants are read");
    }
    let open = expected(*at + b"char".len(), b'(')?;
    let length = bytes[open..].iter().position(|b| !b.is_ascii_digit()).ok_or(Stop::End)?;
    let code = std::str::from_utf8(&bytes[open..open + length]).ok().and_then(|n| n.parse().ok());
    let Some(c) = code.and_then(char::from_u32) else {
        return fault(open, "no such character");
    };
    *at = expected(open + length, b')')?;
    blanks(bytes, at, rules)?;
    Ok(c.encode_utf8(&mut [0; 4]).as_bytes().to_vec())
}

/// Appends a text without its escapes and doubled quotes.
fn unescape(
    bytes: &[u8],
    from: usize,
    to: usize,
    quote: u8,
    backslash: bool,
    rules: Rules,
    out: &mut Vec<u8>,
) -> Result<(), Stop> {
    let mut at = from;
    loop {
        let rest = &bytes[at..to];
        let found = if backslash { memchr::memchr2(quote, b'\\', rest) } else { memchr::memchr(quote, rest) };
        let Some(length) = found else {
            out.extend_from_slice(rest);
            return Ok(());
        };
        out.extend_from_slice(&rest[..length]);
        at += length + 2;
        if rest[length] == quote {
            out.push(quote);
        } else if rules.is_mysql() {
            mysql_escape(rest[length + 1], out);
        } else {
            at = postgres_escape(bytes, at - 1, to, out).or_else(|what| fault(at - 2, what))?;
        }
    }
}

fn mysql_escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'0' => out.push(0),
        b'b' => out.push(8),
        b'n' => out.push(b'\n'),
        b'r' => out.push(b'\r'),
        b't' => out.push(b'\t'),
        b'Z' => out.push(26),
        b'%' | b'_' => out.extend_from_slice(&[b'\\', byte]),
        _ => out.push(byte),
    }
}

/// The escape whose letter is at `at`; gives the offset behind it.
pub(super) fn postgres_escape(
    bytes: &[u8],
    at: usize,
    to: usize,
    out: &mut Vec<u8>,
) -> Result<usize, &'static str> {
    let number = |from: usize, most: usize, radix: u32| {
        let mut value = 0;
        let mut next = from;
        while next < to.min(from + most) {
            let Some(digit) = char::from(bytes[next]).to_digit(radix) else { break };
            (value, next) = (value * radix + digit, next + 1);
        }
        (value, next)
    };
    let simple = match bytes[at] {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'0'..=b'7' => {
            let (value, next) = number(at, 3, 8);
            out.push((value & 0xff) as u8);
            return Ok(next);
        }
        b'x' => match number(at + 1, 2, 16) {
            (_, next) if next == at + 1 => b'x',
            (value, next) => {
                out.push((value & 0xff) as u8);
                return Ok(next);
            }
        },
        letter @ (b'u' | b'U') => {
            let most = if letter == b'u' { 4 } else { 8 };
            let unit = |at: usize| match number(at, most, 16) {
                (value, next) if next == at + most => Ok((value, next)),
                _ => Err("an escape without all of its hexadecimal digits"),
            };
            let (mut code, mut next) = unit(at + 1)?;
            if (0xd800..0xdc00).contains(&code) && bytes[next..to].starts_with(&[b'\\', letter]) {
                let (low, behind) = unit(next + 2)?;
                (code, next) = (pair(code, low)?, behind);
            }
            push_char(code, out)?;
            return Ok(next);
        }
        other => other,
    };
    out.push(simple);
    Ok(at + 1)
}

fn pair(high: u32, low: u32) -> Result<u32, &'static str> {
    match low {
        0xdc00..=0xdfff => Ok(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)),
        _ => Err("half a pair of surrogates"),
    }
}

fn push_char(code: u32, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let c = char::from_u32(code).ok_or("no such character")?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(())
}

/// Appends a text whose characters may be written as `\0041`, `\u0041` or `\+000041`.
fn code_points(text: &[u8], escape: u8, out: &mut Vec<u8>) -> Result<(), &'static str> {
    let mut at = 0;
    let mut high = None;
    while at < text.len() {
        let is_code = text[at] == escape && text.get(at + 1) != Some(&escape);
        if high.is_some() && !is_code {
            return Err("half a pair of surrogates");
        }
        if !is_code {
            out.push(text[at]);
            at += 1 + usize::from(text[at] == escape);
            continue;
        }
        let (skip, digits) = match text.get(at + 1) {
            Some(b'+') => (2, 6),
            Some(b'u') => (2, 4),
            Some(b'U') => (2, 8),
            _ => (1, 4),
        };
        let digits = text.get(at + skip..at + skip + digits).and_then(|d| std::str::from_utf8(d).ok());
        let is_hex = |d: &&str| d.bytes().all(|b| b.is_ascii_hexdigit());
        let code = digits.filter(is_hex).and_then(|d| u32::from_str_radix(d, 16).ok().map(|c| (c, d.len())));
        let (code, length) = code.ok_or("an escape without all of its hexadecimal digits")?;
        at += skip + length;
        match (high.take(), code) {
            (Some(first), low) => push_char(pair(first, low)?, out)?,
            (None, 0xd800..0xdc00) => high = Some(code),
            (None, _) => push_char(code, out)?,
        }
    }
    if high.is_some() { Err("half a pair of surrogates") } else { Ok(()) }
}
