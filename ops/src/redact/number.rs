//! Phone numbers, payment cards and bank accounts, told from dates, ids and amounts by their shape.
//!
//! Digits alone are an id; they are a phone number with a `+`, with the spaces or hyphens of a phone number, or
//! behind a word such as `phone`. Cards and accounts have a check digit that must be right.

use super::secret::names;
use super::{Found, Place, is_word_end, word_end};

const PHONE: &str = "[redacted-phone]";
const CARD: &str = "[redacted-card]";
const ACCOUNT: &str = "[redacted-iban]";
/// Words before a phone number, without hyphens and underscores.
const PHONE_WORDS: [&str; 18] = [
    "phone",
    "phonenumber",
    "phoneno",
    "telephone",
    "telephonenumber",
    "tel",
    "telefon",
    "mobile",
    "mobilenumber",
    "mobil",
    "cell",
    "cellphone",
    "handy",
    "fax",
    "faxnumber",
    "whatsapp",
    "msisdn",
    "sms",
];
/// Words that may stand between such a word and the number.
const BETWEEN: [&str; 9] = ["number", "no", "nr", "is", "at", "on", "me", "us", "to"];

/// Groups of digits with what separates them.
#[derive(Debug)]
struct Run {
    /// Where each group begins, how many digits it has, and what separates it from the group before.
    groups: Vec<Group>,
}

#[derive(Debug, Clone, Copy)]
struct Group {
    start: usize,
    digits: usize,
    /// The character before the group; a space when there are several.
    separator: char,
    is_in_brackets: bool,
}

impl Group {
    fn end(self) -> usize {
        self.start + self.digits
    }
}

/// Digits of at most eight groups from `at`, which may begin with a bracket.
fn run(text: &str, mut at: usize) -> Run {
    let mut groups: Vec<Group> = Vec::new();
    let bytes = text.as_bytes();
    let (mut separator, mut is_open) = (' ', false);
    while groups.len() < 8 {
        if bytes.get(at) == Some(&b'(') {
            (is_open, at) = (true, at + 1);
        }
        let digits = bytes[at.min(bytes.len())..].iter().take(24).take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            break;
        }
        let is_closed = bytes.get(at + digits) == Some(&b')');
        if is_open && !is_closed {
            break;
        }
        groups.push(Group { start: at, digits, separator, is_in_brackets: is_open });
        at += digits + usize::from(is_open);
        is_open = false;
        let rest = &text[at..];
        let gap = rest.find(|c| !is_separator(c)).unwrap_or(rest.len());
        let gap_chars = rest[..gap].chars().count();
        let is_bracket = rest[gap..].starts_with('(');
        if gap_chars > 2
            || (gap_chars == 0 && !is_bracket && !groups.last().is_some_and(|g| g.is_in_brackets))
        {
            break;
        }
        // `555 - 123` and `555. 123` are separated by the sign, not by the space.
        separator = rest[..gap].chars().find(|c| !c.is_whitespace()).unwrap_or(' ');
        at += gap;
    }
    Run { groups }
}

fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | '/' | '\u{a0}' | '\u{2009}' | '\u{202f}' | '\u{2010}'..='\u{2013}')
}

impl Run {
    fn sizes(&self) -> Vec<usize> {
        self.groups.iter().map(|group| group.digits).collect()
    }

    /// The end of the longest beginning with a number of digits in `allowed` that a word can end behind.
    fn end(&self, text: &str, allowed: std::ops::RangeInclusive<usize>) -> Option<(usize, usize)> {
        let mut digits = 0;
        let mut best = None;
        for (i, group) in self.groups.iter().enumerate() {
            digits += group.digits;
            let end = group.end() + usize::from(group.is_in_brackets);
            if allowed.contains(&digits) && ends_number(text, end) {
                best = Some((end, i + 1));
            }
        }
        best
    }

    /// Whether the first groups are a date: year, month and day in either order.
    fn begins_with_date(&self, text: &str) -> bool {
        let [a, b, c, ..] = self.groups.as_slice() else { return false };
        let value = |group: &Group| text[group.start..group.end()].parse::<u32>().unwrap_or(u32::MAX);
        let is_small = |group: &Group| group.digits <= 2 && (1..=31).contains(&value(group));
        let is_year = |group: &Group| group.digits == 4 && (1000..3000).contains(&value(group));
        b.separator == c.separator
            && is_small(b)
            && ((is_year(a) && is_small(c)) || (is_small(a) && is_year(c)))
    }
}

/// Whether a number can end before `at`: no letter follows, and no digit behind a sign that would join it.
fn ends_number(text: &str, at: usize) -> bool {
    let mut rest = text[at..].chars();
    match rest.next() {
        Some('x' | 'X' | 'e') => is_extension(&text[at..]),
        Some(c) if c.is_alphanumeric() || c == '_' => false,
        Some(':' | ',') => !rest.next().is_some_and(|c| c.is_ascii_digit()),
        _ => true,
    }
}

fn is_extension(text: &str) -> bool {
    extension(text) > 0
}

/// The length of `x12` or ` ext. 12` at the beginning.
fn extension(text: &str) -> usize {
    let rest = text.trim_start_matches(' ');
    let lower = rest.get(..4).unwrap_or(rest).to_ascii_lowercase();
    let word = ["ext.", "ext", "x"].into_iter().find(|word| lower.starts_with(word));
    let Some(word) = word else { return 0 };
    let number = rest[word.len()..].trim_start_matches(' ');
    let digits = number.bytes().take(6).take_while(u8::is_ascii_digit).count();
    let end = text.len() - number.len() + digits;
    if (1..=5).contains(&digits) && is_word_end(text, end) { end } else { 0 }
}

fn found(text: &str, start: usize, end: usize) -> Found {
    Found { start, end: end + extension(&text[end..]), mask: PHONE }
}

/// Whether a number can begin here: not in the middle of a word, a version, a path or a longer id.
fn begins_number(place: Place<'_>) -> bool {
    if !place.is_word_start() {
        return false;
    }
    let mut before = place.text[place.done..place.at].chars().rev();
    let is_joined =
        before.next().is_some_and(|c| "-./:+,#=_\\%".contains(c) || matches!(c, '\u{2010}'..='\u{2013}'));
    let beyond = before.next();
    match place.text[place.done..place.at].chars().next_back() {
        // `key=555-123-4567` and `tel:555…` begin behind the sign; an id `#…` does not.
        Some('=' | ':' | '/') => !beyond.is_some_and(|c| c.is_ascii_digit()),
        Some('#') => false,
        _ => !(is_joined && beyond.is_some_and(char::is_alphanumeric)),
    }
}

/// `+` and a country, or an area code in brackets, at this place.
pub(super) fn phone(place: Place<'_>) -> Option<Found> {
    let Place { text, at, .. } = place;
    let before = place.before();
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '+') {
        return None;
    }
    if text.as_bytes()[at] == b'(' {
        // `(+49) 30 …`
        if let Some(inner) = text[at + 1..].strip_prefix('+') {
            let close = inner.bytes().take(5).position(|b| b == b')')?;
            let country = &inner[..close];
            let rest = text.len() - inner.len() + close + 1;
            let space = text[rest..].len() - text[rest..].trim_start_matches([' ', '-']).len();
            let run = run(text, rest + space);
            let (end, _) = run.end(text, 6..=13)?;
            return country.bytes().all(|b| b.is_ascii_digit()).then(|| found(text, at, end));
        }
        return national(place, &run(text, at));
    }
    let space = usize::from(text[at + 1..].starts_with([' ', '(']) && !text[at + 1..].starts_with('('));
    let run = run(text, at + 1 + space);
    let first = *run.groups.first()?;
    let digit = text.as_bytes()[first.start];
    if digit == b'0' || (space > 0 && run.groups.len() < 3) {
        return None;
    }
    // In North America a number has ten digits behind the country.
    let exact = if digit == b'1' { run.end(text, 11..=11) } else { None };
    let (end, _) = exact.or_else(|| run.end(text, 8..=15))?;
    Some(found(text, at, end))
}

/// A card or a phone number that begins with the digit at this place.
pub(super) fn at_digit(place: Place<'_>) -> Option<Found> {
    if !begins_number(place) {
        return None;
    }
    let run = run(place.text, place.at);
    card(place.text, &run).or_else(|| national(place, &run))
}

/// A phone number as it is written inside a country.
fn national(place: Place<'_>, run: &Run) -> Option<Found> {
    let text = place.text;
    if run.begins_with_date(text) {
        return None;
    }
    let sizes = run.sizes();
    let start = place.at;
    // 555-123-4567, (555) 123-4567 and 1-555-123-4567.
    let skip = usize::from(sizes.first() == Some(&1) && text.as_bytes()[run.groups[0].start] == b'1');
    if sizes.get(skip..skip + 3) == Some(&[3, 3, 4]) && is_area(text, &run.groups[skip..skip + 3]) {
        let end = run.groups[skip + 2].end();
        let is_longer = sizes.len() > skip + 3 && run.groups[skip + 3].separator != ' ';
        return (!is_longer && ends_number(text, end)).then(|| found(text, start, end));
    }
    // 030 1234567, (030) 1234567, 0171/1234567, 01 23 45 67 89 and 0049 30 1234567.
    let first = *run.groups.first()?;
    let digits = &text.as_bytes()[first.start..first.end()];
    let is_trunk = digits.len() >= 2 && digits[0] == b'0' && digits[1] != b'0';
    // In the middle of a longer number, zeros mean nothing.
    let before = text[..start].trim_end_matches(' ');
    let is_inner = before.bytes().rev().take(3).filter(u8::is_ascii_digit).count() == 3;
    let is_abroad = digits.len() >= 3 && digits.starts_with(b"00") && digits[2] != b'0';
    let allowed = if is_trunk { 9..=12 } else { 10..=16 };
    let (end, groups) = run.end(text, allowed)?;
    let is_spaced =
        groups >= 2 && run.groups[1..groups].iter().all(|group| group.separator != '.' || groups > 3);
    ((is_trunk || is_abroad) && is_spaced && !is_inner).then(|| found(text, start, end))
}

/// Whether three groups of 3, 3 and 4 digits are written as a phone number.
fn is_area(text: &str, groups: &[Group]) -> bool {
    let [area, exchange, line] = groups else { return false };
    let is_hyphen = |group: &Group| matches!(group.separator, '-' | '\u{2010}'..='\u{2013}');
    if is_hyphen(line) && (is_hyphen(exchange) || area.is_in_brackets || exchange.separator == ' ') {
        return true;
    }
    // With spaces or dots only what is assigned: numbers in a row look the same.
    let is_assigned = text.as_bytes()[area.start] >= b'2';
    (area.is_in_brackets || exchange.separator == line.separator) && is_assigned
}

/// A number behind a word that announces it.
pub(super) fn at_word(place: Place<'_>) -> Option<Found> {
    if !place.is_word_start() {
        return None;
    }
    let end = names::end(place.text, place.at);
    let name = names::plain(&place.text[place.at..end]);
    if let Some(account) = account(place) {
        return Some(account);
    }
    let is_call = name == "call" || name == "text";
    if !is_call && !PHONE_WORDS.contains(&name.as_str()) {
        return None;
    }
    let (at, words) = number_behind(place.text, end)?;
    let text = place.text;
    let is_plus = text[at..].starts_with('+');
    let run = run(text, at + usize::from(is_plus));
    let (end, groups) = run.end(text, 7..=15)?;
    let is_announced = !is_call || words > 0 || groups > 1;
    (is_announced && !run.begins_with_date(text)).then(|| found(text, at, end))
}

/// Where the digits begin behind the word that ends at `end`, past signs and up to three small words.
fn number_behind(text: &str, end: usize) -> Option<(usize, usize)> {
    let mut at = end;
    for words in 0..=3 {
        let rest = &text[at..];
        let signs = rest.bytes().take(6).take_while(|b| b" :=.\"'\\#-".contains(b)).count();
        at += signs;
        let next = *text.as_bytes().get(at)?;
        if next.is_ascii_digit() || next == b'+' || next == b'(' {
            return (signs > 0).then_some((at, words));
        }
        let word = word_end(text, at);
        if !BETWEEN.contains(&text[at..word].to_ascii_lowercase().as_str()) {
            return None;
        }
        at = word;
    }
    None
}

/// A card: 13 to 19 digits, in groups of four or together, of a known issuer, with the right check digit.
fn card(text: &str, run: &Run) -> Option<Found> {
    let first = *run.groups.first()?;
    let is_plain = |group: &Group| matches!(group.separator, ' ' | '-') && !group.is_in_brackets;
    let groups: usize = match run.sizes().as_slice() {
        [13..=19, ..] => 1,
        [4, 4, 4, 4, 1..=3, ..] => 5,
        [4, 4, 4, 4, ..] => 4,
        [4, 6, 4 | 5, ..] => 3,
        _ => return None,
    };
    let parts = &run.groups[..groups];
    let end = parts.last()?.end();
    let digits: Vec<u8> =
        text.as_bytes()[first.start..end].iter().filter(|b| b.is_ascii_digit()).map(|b| b - b'0').collect();
    let is_joined = run.groups.get(groups).is_some_and(|next| next.separator != ' ');
    let is_card = is_issuer(&digits) && luhn(&digits) && parts[1..].iter().all(is_plain) && !is_joined;
    (is_card && ends_number(text, end)).then_some(Found { start: first.start, end, mask: CARD })
}

fn is_issuer(digits: &[u8]) -> bool {
    let number = digits.iter().take(4).fold(0_u32, |n, digit| n * 10 + u32::from(*digit));
    let length = digits.len();
    match number {
        4000..=4999 => matches!(length, 13 | 16 | 19),
        2221..=2720 | 3528..=3589 | 5100..=5599 => length == 16,
        3400..=3499 | 3700..=3799 => length == 15,
        3000..=3059 | 3600..=3699 | 3800..=3899 => length == 14,
        6011 | 6440..=6599 | 6200..=6299 | 5000..=5099 | 5600..=5899 => (16..=19).contains(&length),
        _ => false,
    }
}

/// Whether the check digit is right.
fn luhn(digits: &[u8]) -> bool {
    let doubled = |(i, digit): (usize, &u8)| {
        let value = if i % 2 == 1 { u32::from(*digit) * 2 } else { u32::from(*digit) };
        value / 10 + value % 10
    };
    digits.iter().rev().enumerate().map(doubled).sum::<u32>().is_multiple_of(10)
}

/// An international account number, whose check digits are right, with or without spaces.
fn account(place: Place<'_>) -> Option<Found> {
    let bytes = place.rest().as_bytes();
    let [a, b, c, d, ..] = bytes else { return None };
    let is_account =
        a.is_ascii_uppercase() && b.is_ascii_uppercase() && c.is_ascii_digit() && d.is_ascii_digit();
    if !is_account {
        return None;
    }
    let is_sign = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit();
    // Groups of four with spaces, or all together: at most 34 signs.
    let mut ends = Vec::new();
    let (mut at, mut signs) = (4, 4);
    while signs <= 34 {
        at += usize::from(bytes.get(at) == Some(&b' '));
        let group = bytes[at..].iter().take(34).take_while(|c| is_sign(**c)).count();
        (at, signs) = (at + group, signs + group);
        if group == 0 || signs > 34 {
            break;
        }
        ends.push((at, signs));
    }
    let is_right = |(end, signs): &&(usize, usize)| {
        *signs >= 15 && is_word_end(place.text, place.at + *end) && remainder(bytes, *end) == 1
    };
    let (end, _) = ends.iter().rev().find(is_right)?;
    Some(Found { start: place.at, end: place.at + end, mask: ACCOUNT })
}

/// The account of `length` bytes, country and check digits moved to its end, modulo 97.
fn remainder(bytes: &[u8], length: usize) -> u32 {
    let signs = bytes[4..length].iter().chain(&bytes[..4]).filter(|c| **c != b' ');
    signs.fold(0, |value, c| {
        let n = char::from(*c).to_digit(36).unwrap_or(0);
        (value * if n < 10 { 10 } else { 100 } + n) % 97
    })
}
