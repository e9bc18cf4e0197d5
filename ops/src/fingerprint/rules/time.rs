//! Dates and times of day, in the spellings that logs use.
//!
//! What could be a plain number stays one: eight digits are a date only with a time behind them.

use super::super::scan::{self, Here};
use super::super::words;
use super::{Found, Rule};

/// A date with or without a time, or a time alone.
pub(super) fn stamp(here: &Here<'_>) -> Option<Found> {
    if !here.starts_segment() || here.before.is_some_and(|c| ".:_".contains(c)) {
        return None;
    }
    let text = here.rest;
    let day = weekday(text);
    let date = date(&text[day..]).map(|long| day + long);
    let end = match date {
        None => clock(text)?,
        Some(end) => {
            let gap = scan::run(&text[end..], |c| "Tt ,:_-".contains(c)).min(2);
            let time = clock(&text[end + gap..]).filter(|_| gap > 0);
            time.map_or(end, |time| end + gap + time)
        }
    };
    let end = end + zone(&text[end..]);
    super::ends_segment(text, end).then(|| Found::new(end, Rule::Time, "<time>"))
}

/// `Mon, `.
fn weekday(text: &str) -> usize {
    let letters = scan::run(text, |c| c.is_ascii_alphabetic());
    let is_day =
        ["mon", "tue", "wed", "thu", "fri", "sat", "sun"].iter().any(|day| scan::starts_with(text, day));
    let gap = scan::run(&text[letters..], |c| c == ',' || c == ' ');
    if is_day && (3..=9).contains(&letters) && gap > 0 { letters + gap } else { 0 }
}

fn date(text: &str) -> Option<usize> {
    compact(text).or_else(|| numeric(text)).or_else(|| with_month(text))
}

/// `20251228-162203`, `20251228T162203`: date and time at once; the rest of the time is taken here.
fn compact(text: &str) -> Option<usize> {
    let in_range = |range: std::ops::Range<usize>, low, high| {
        text.get(range).and_then(|d| d.parse::<u32>().ok()).is_some_and(|n| (low..=high).contains(&n))
    };
    let is_date = scan::digits(text) == 8
        && in_range(0..4, 1970, 2199)
        && in_range(4..6, 1, 12)
        && in_range(6..8, 1, 31);
    let gap = text.get(8..9).filter(|_| is_date)?;
    ("Tt-_ ".contains(gap) && scan::digits(&text[9..]) == 6 && in_range(9..11, 0, 23)).then_some(15)
}

/// `2025-12-28`, `2025/12/28`, `28.12.2025`, `12/28/2025`.
fn numeric(text: &str) -> Option<usize> {
    let mut parts = [(0, 0); 3];
    let mut at = 0;
    let mut separator = None;
    for (index, part) in parts.iter_mut().enumerate() {
        if index > 0 {
            let found = text[at..].chars().next().filter(|c| "-/.".contains(*c))?;
            (*separator.get_or_insert(found) == found).then_some(())?;
            at += 1;
        }
        let digits = scan::digits(&text[at..]);
        *part = (digits, text[at..at + digits].parse::<u32>().ok()?);
        at += digits;
    }
    let is_year = |n: u32| (1970..2200).contains(&n);
    let is_day = |n: u32| (1..=31).contains(&n);
    let fits = match parts {
        [(4, year), (1..=2, month), (1..=2, day)] => {
            is_year(year) && (1..=12).contains(&month) && is_day(day)
        }
        [(1..=2, one), (1..=2, two), (4, year)] => {
            is_year(year) && is_day(one) && is_day(two) && one.min(two) <= 12
        }
        _ => false,
    };
    fits.then_some(at)
}

/// `28 Dec 2025`, `28/Dec/2025`, `Dec 28, 2025`, and `Dec 28` before a time.
fn with_month(text: &str) -> Option<usize> {
    let month = |text: &str| {
        let letters = scan::run(text, |c| c.is_ascii_alphabetic());
        let known = (3..=9).contains(&letters) && words::MONTHS.iter().any(|m| scan::starts_with(text, m));
        known.then_some(letters)
    };
    let gap = |text: &str| scan::run(text, |c| " ,/-".contains(c));
    let year = |text: &str| {
        let gap = gap(text);
        (gap > 0 && scan::digits(&text[gap..]) == 4).then_some(gap + 4)
    };
    let days = scan::digits(text);
    if (1..=2).contains(&days) {
        let at = days + gap(&text[days..]);
        let month = month(&text[at..]).filter(|_| at > days)?;
        return Some(at + month + year(&text[at + month..])?);
    }
    let letters = month(text)?;
    let at = letters + gap(&text[letters..]);
    let days = scan::digits(&text[at..]);
    if at == letters || !(1..=2).contains(&days) {
        return None;
    }
    let end = at + days;
    year(&text[end..])
        .map(|year| end + year)
        .or_else(|| text[end..].strip_prefix(' ').and_then(clock).map(|_| end))
}

/// `16:22`, `16:22:03`, `16:22:03,123`.
fn clock(text: &str) -> Option<usize> {
    let hours = scan::digits(text);
    let number = |from: usize, len: usize| text.get(from..from + len).and_then(|d| d.parse::<u32>().ok());
    if !(1..=2).contains(&hours) || number(0, hours)? > 23 {
        return None;
    }
    let minutes = text[hours..].strip_prefix(':').filter(|rest| scan::digits(rest) == 2)?;
    if number(hours + 1, 2)? > 59 {
        return None;
    }
    let seconds = minutes[2..].strip_prefix(':').filter(|rest| scan::digits(rest) == 2);
    let Some(seconds) = seconds else {
        return (hours == 2 && !minutes[2..].starts_with(':')).then_some(hours + 3);
    };
    let mut end = hours + 6;
    if seconds[2..].starts_with(['.', ',']) {
        let fraction = scan::digits(&seconds[3..]);
        end += if fraction > 0 { fraction + 1 } else { 0 };
    }
    Some(end)
}

/// `Z`, ` UTC`, `+01:00`, ` +0000`, ` GMT`, ` PM`.
fn zone(text: &str) -> usize {
    let gap = scan::run(text, |c| c == ' ').min(1);
    let rest = &text[gap..];
    for word in ["utc", "gmt", "cet", "cest", "est", "pst", "pdt", "edt", "am", "pm", "z"] {
        if scan::starts_with(rest, word) && super::ends_segment(rest, word.len()) && (gap == 0 || word != "z")
        {
            return gap + word.len();
        }
    }
    let Some(offset) = rest.strip_prefix(['+', '-']) else { return 0 };
    match scan::digits(offset) {
        4 => gap + 5,
        2 if offset[2..].starts_with(':') && scan::digits(&offset[3..]) == 2 => gap + 6,
        2 if gap == 0 => gap + 3,
        _ => 0,
    }
}
