//! Numbers and what they count: durations, sizes, versions, addresses, lines. Codes stay.

use super::super::scan::{self, Here};
use super::super::words;
use super::{Found, Rule};

/// Digits behind a `_` are part of a name, unless there are so many.
const NAME_DIGITS_MAX: usize = 4;
/// No code has more digits.
const CODE_DIGITS_MAX: usize = 5;

/// Four numbers up to 255 with dots.
pub(super) fn ip(here: &Here<'_>) -> Option<Found> {
    if !here.starts_segment() || here.before == Some('.') {
        return None;
    }
    let mut at = 0;
    for index in 0..4 {
        if index > 0 {
            here.rest[at..].starts_with('.').then_some(())?;
            at += 1;
        }
        let digits = scan::digits(&here.rest[at..]);
        here.rest[at..at + digits].parse::<u8>().ok()?;
        at += digits;
    }
    let goes_on = here.rest[at..].starts_with('.') && scan::digits(&here.rest[at + 1..]) > 0;
    (super::ends_segment(here.rest, at) && !goes_on).then(|| Found::new(at, Rule::Ip, "<ip>"))
}

/// `1.2.3`, `v1.2`, `1.2.3-rc.1`.
pub(super) fn version(here: &Here<'_>) -> Option<Found> {
    if !here.starts_word() || here.before == Some('.') {
        return None;
    }
    let has_v = here.rest.starts_with(['v', 'V']);
    let mut at = usize::from(has_v);
    let mut dots = 0;
    let first = scan::digits(&here.rest[at..]);
    at += first;
    while here.rest[at..].starts_with('.') && scan::digits(&here.rest[at + 1..]) > 0 {
        at += 1 + scan::digits(&here.rest[at + 1..]);
        dots += 1;
    }
    if first == 0 || dots < if has_v { 1 } else { 2 } {
        return None;
    }
    let pre = here.rest[at..].trim_start_matches(['-', '+', '.']);
    for word in ["rc", "alpha", "beta", "dev", "post", "pre", "a", "b"] {
        let gap = here.rest.len() - at - pre.len();
        if gap <= 1 && scan::starts_with(pre, word) {
            let tail = &pre[word.len()..];
            let tail_digits = scan::run(tail, |c| c.is_ascii_digit() || c == '.');
            let tail_digits = tail[..tail_digits].trim_end_matches('.').len();
            let end = at + gap + word.len() + tail_digits;
            if super::ends_segment(here.rest, end) {
                at = end;
                break;
            }
        }
    }
    super::ends_segment(here.rest, at).then(|| Found::new(at, Rule::Version, "<version>"))
}

/// A number with its sign, and the unit behind it.
pub(super) fn measured(here: &Here<'_>) -> Option<Found> {
    let sign = usize::from(here.rest.starts_with(['-', '+']));
    let opens = here.before.is_none_or(|c| c.is_whitespace() || "([{=:,;<>|\"'`".contains(c));
    if !here.starts_segment() || (sign == 1 && !opens) {
        return None;
    }
    let number = number(&here.rest[sign..])?;
    let end = sign + number;
    if here.before == Some('_') {
        return name_part(here, end);
    }
    if let Some(long) = duration(&here.rest[sign..]) {
        return Some(Found::new(sign + long, Rule::Duration, "<duration>"));
    }
    if let Some(long) = unit(&here.rest[end..], words::SIZE_UNITS) {
        return Some(Found::new(end + long, Rule::Size, "<size>"));
    }
    let letters = scan::run(&here.rest[end..], char::is_alphanumeric);
    if letters > 0 {
        let suffix = here.rest[end..end + letters].to_lowercase();
        let is_ordinal = words::ORDINALS.contains(&suffix.as_str());
        return is_ordinal.then(|| Found::new(end + letters, Rule::Number, "<num>"));
    }
    let (word, gap) = here.last_word();
    if belongs_to_name(word, gap) || is_code(here, &here.rest[sign..end], end) {
        return Some(Found::kept(&here.rest[..end]));
    }
    let rule = if is_place(here, word, gap) { Rule::Line } else { Rule::Number };
    Some(Found::new(end, rule, "<num>"))
}

/// Bytes of a number without a sign: `1,234`, `1_000`, `0.5`, `1e-9`.
fn number(text: &str) -> Option<usize> {
    let mut at = scan::digits(text);
    if at == 0 {
        return None;
    }
    for separator in [',', '_'] {
        while at > 0 && text[at..].starts_with(separator) && scan::digits(&text[at + 1..]) == 3 {
            at += 4;
        }
    }
    if text[at..].starts_with('.') && scan::digits(&text[at + 1..]) > 0 {
        at += 1 + scan::digits(&text[at + 1..]);
    }
    if text[at..].starts_with(['e', 'E']) {
        let signed = 1 + usize::from(text[at + 1..].starts_with(['-', '+']));
        let digits = scan::digits(&text[at + signed..]);
        if digits > 0 && super::ends_segment(text, at + signed + digits) {
            at += signed + digits;
        }
    }
    Some(at)
}

/// Digits behind `_`: few belong to a name, many are an id.
fn name_part(here: &Here<'_>, end: usize) -> Option<Found> {
    let digits = scan::digits(here.rest);
    (digits > NAME_DIGITS_MAX && digits == end && super::ends_segment(here.rest, end))
        .then(|| Found::new(end, Rule::Number, "<num>"))
}

/// Bytes of a span of time: `30s`, `1.5 s`, `2m30s`, `1h 5m`, `3 minutes`.
fn duration(text: &str) -> Option<usize> {
    let mut at = 0;
    let mut pieces = 0;
    loop {
        let gap = if pieces == 0 { 0 } else { scan::run(&text[at..], |c| c == ' ').min(1) };
        let Some(number) = number(&text[at + gap..]) else { break };
        let end = at + gap + number;
        let Some(unit) = unit(&text[end..], words::TIME_UNITS).or_else(|| glued(&text[end..])) else { break };
        at = end + unit;
        pieces += 1;
    }
    (pieces > 0 && super::ends_segment(text, at)).then_some(at)
}

/// A unit of time with another piece glued to it: the `m` of `2m30s`.
fn glued(text: &str) -> Option<usize> {
    let letters = scan::run(text, char::is_alphabetic);
    let unit = text[..letters].to_lowercase();
    let goes_on = text[letters..].starts_with(|c: char| c.is_ascii_digit());
    (goes_on && words::TIME_UNITS.contains(&unit.as_str())).then_some(letters)
}

/// Bytes of a unit with the blank before it. A unit of one letter touches its number; `s` alone may stand apart.
fn unit(text: &str, units: &[&str]) -> Option<usize> {
    let gap = scan::run(text, |c| c == ' ' || c == '-').min(1);
    let letters = scan::run(&text[gap..], char::is_alphabetic);
    let word = text[gap..gap + letters].to_lowercase();
    let fits = units.contains(&word.as_str()) && super::ends_segment(text, gap + letters);
    let touches = gap == 0 || word.chars().count() > 1 || (word == "s" && text.starts_with(' '));
    (fits && touches).then_some(gap + letters)
}

/// `utf-8`, `sha-256`, `iso-8859-1`, `ora-00942`.
fn belongs_to_name(word: &str, gap: &str) -> bool {
    let is_tail = gap.len() > 1
        && gap.ends_with('-')
        && gap[..gap.len() - 1].bytes().all(|b| b.is_ascii_digit() || b == b'-');
    words::NUMBERED.contains(&word) && (gap == "-" || (is_tail && gap.starts_with('-')))
}

/// `line 3`, `file.py:3`, `file.py:3:14`, `col 5`.
fn is_place(here: &Here<'_>, word: &str, gap: &str) -> bool {
    let names_a_place =
        matches!(word, "line" | "lines" | "ln" | "col" | "column" | "offset" | "row" | "char");
    (names_a_place && gap.chars().all(|c| " :=#".contains(c)))
        || (here.before == Some(':') && !gap.starts_with("://"))
}

/// Whether a number is a code: behind a word for one, short, and not the first part of a count (`3 of 7`).
fn is_code(here: &Here<'_>, digits: &str, end: usize) -> bool {
    if digits.len() > CODE_DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let counts = ["of ", "/"].iter().any(|word| here.rest[end..].trim_start().starts_with(word));
    let (word, gap) = behind_version(here);
    let is_near = |allowed: &str| gap.len() <= 4 && gap.chars().all(|c| allowed.contains(c));
    !counts
        && ((words::CODES.contains(&word) && is_near(" :=#('\"[_-"))
            || (words::CODES_NEXT.contains(&word) && is_near(" =#(") && !gap.is_empty()))
}

/// The word before; behind `http/1.1` it is `http`.
fn behind_version<'a>(here: &Here<'a>) -> (&'a str, &'a str) {
    match here.out.strip_suffix("/<num> ").filter(|before| before.ends_with("http")) {
        Some(_) => ("http", " "),
        None => here.last_word(),
    }
}
