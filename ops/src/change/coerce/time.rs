//! Times as ISO 8601 spells them and as PostgreSQL prints them, to the microsecond.
//!
//! The calendar is the Gregorian one in both directions, as PostgreSQL's is. Words such as `now` are no times here:
//! a plan must mean the same tomorrow.

use std::fmt::Write;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// 4714-11-24 BC, the first day that PostgreSQL knows, in days from 2000-01-01.
const FIRST_DAY: i64 = -2_451_545;
/// 294277-01-01, the first day without timestamps.
const END_DAY: i64 = 106_751_983;
/// 5874898-01-01, the first day without dates.
const END_DATE: i64 = 2_145_031_949;

/// A time as it is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::change) enum Moment {
    /// `infinity` or `-infinity`.
    Infinity { is_negative: bool },
    /// A day with or without a time.
    Day {
        /// Days from 2000-01-01.
        day: i64,
        /// Microseconds in the day; at most a whole day.
        time: Option<i64>,
        /// Seconds east of Greenwich.
        offset: Option<i64>,
    },
}

impl Moment {
    /// Reads `2026-01-02`, `2026-01-02T03:04:05.678Z`, `2026-01-02 03:04+05:30`, `0044-03-15 BC`, `infinity`.
    pub(in crate::change) fn parse(text: &str) -> Option<Self> {
        let text = text.trim_ascii();
        for (word, is_negative) in [("infinity", false), ("-infinity", true)] {
            if text.eq_ignore_ascii_case(word) {
                return Some(Self::Infinity { is_negative });
            }
        }
        let is_bc = text.len() > 3 && text.as_bytes()[text.len() - 3..].eq_ignore_ascii_case(b" bc");
        let mut cursor = Cursor { rest: if is_bc { &text[..text.len() - 3] } else { text } };
        let year = cursor.digits(4, 7)?;
        let month = cursor.after('-').and_then(|()| cursor.digits(2, 2))?;
        let day = cursor.after('-').and_then(|()| cursor.digits(2, 2))?;
        if year == 0 {
            return None;
        }
        let day = day_number(if is_bc { 1 - year } else { year }, month, day)?;
        if cursor.rest.is_empty() {
            return Some(Self::Day { day, time: None, offset: None });
        }
        cursor.after('T').or_else(|| cursor.after('t')).or_else(|| cursor.after(' '))?;
        let time = Some(cursor.time()?);
        let offset = if cursor.rest.is_empty() { None } else { Some(cursor.offset()?) };
        Some(Self::Day { day, time, offset })
    }

    /// Microseconds from 2000-01-01 in UTC, where a time without an offset is one in UTC.
    pub(in crate::change) fn micros(self) -> Option<i64> {
        match self {
            Self::Infinity { .. } => None,
            Self::Day { day, time, offset } => {
                (FIRST_DAY - 1..=END_DAY).contains(&day).then_some(())?;
                day.checked_mul(DAY)?.checked_add(time.unwrap_or(0) - offset.unwrap_or(0) * SECOND)
            }
        }
    }
}

/// The day in days from 2000-01-01, of a year where 0 is 1 BC.
fn day_number(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that start in March, so that leap days come last.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let days_in_year = (153 * month + 2) / 5 + day - 1;
    let (era, year) = (year.div_euclid(400), year.rem_euclid(400));
    let from_march_0 = era * 146_097 + year * 365 + year / 4 - year / 100 + days_in_year;
    Some(from_march_0 - 730_425)
}

/// Year (0 is 1 BC), month and day.
fn calendar(day: i64) -> (i64, i64, i64) {
    let day = day + 730_425;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

struct Cursor<'a> {
    rest: &'a str,
}

impl Cursor<'_> {
    fn after(&mut self, c: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(c)?;
        Some(())
    }

    /// At least `min` digits; those behind the `max`th stay.
    fn digits(&mut self, min: usize, max: usize) -> Option<i64> {
        let length = self.rest.bytes().take(max).take_while(u8::is_ascii_digit).count();
        if length < min {
            return None;
        }
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        digits.parse().ok()
    }

    /// Two digits up to and with `max`.
    fn two(&mut self, max: i64) -> Option<i64> {
        self.digits(2, 2).filter(|n| *n <= max)
    }

    /// `03:04`, `03:04:05`, `03:04:05.678`; 24:00 and a 60th second without a fraction, as PostgreSQL has them.
    fn time(&mut self) -> Option<i64> {
        let hour = self.two(24)?;
        let minute = self.after(':').and_then(|()| self.two(59))?;
        let (mut second, mut micros) = (0, 0);
        if self.after(':').is_some() {
            second = self.two(60)?;
            micros = self.fraction()?;
        }
        let time = ((hour * 60 + minute) * 60 + second) * SECOND + micros;
        ((second < 60 || micros == 0) && time <= DAY && (hour < 24 || time == DAY)).then_some(time)
    }

    /// Microseconds, rounded by way of a float, as PostgreSQL does.
    fn fraction(&mut self) -> Option<i64> {
        if !self.rest.starts_with('.') {
            return Some(0);
        }
        let length = 1 + self.rest[1..].bytes().take_while(u8::is_ascii_digit).count();
        let (fraction, rest) = self.rest.split_at(length);
        self.rest = rest;
        match length {
            1 => None,
            2..=7 => fraction[1..]
                .parse::<i64>()
                .ok()
                .map(|n| n * 10_i64.pow(7 - u32::try_from(length).unwrap_or(7))),
            _ => {
                let micros = (fraction.parse::<f64>().ok()? * 1e6).round_ties_even();
                #[expect(clippy::cast_possible_truncation, reason = "at most a million")]
                Some(micros as i64)
            }
        }
    }

    /// `Z`, `UTC`, `+05`, `+05:30`, `+0530`, `+05:30:15`, after at most one blank.
    fn offset(&mut self) -> Option<i64> {
        let _ = self.after(' ');
        if self.rest.eq_ignore_ascii_case("z") || self.rest.eq_ignore_ascii_case("utc") {
            return Some(0);
        }
        let sign = if self.after('-').is_some() { -1 } else { self.after('+').map(|()| 1)? };
        let mut seconds = self.two(15)? * 3600;
        let has_colon = self.after(':').is_some();
        if has_colon || !self.rest.is_empty() {
            seconds += self.two(59)? * 60;
        }
        if has_colon && self.after(':').is_some() {
            seconds += self.two(59)?;
        }
        self.rest.is_empty().then_some(sign * seconds)
    }
}

/// Rounds microseconds to `precision` digits (0 to 6) as PostgreSQL does: half away from 2000-01-01.
fn adjust(micros: i64, precision: u32) -> i64 {
    let unit = 10_i64.pow(6 - precision.min(6));
    let size = (micros.abs() + unit / 2) / unit * unit;
    if micros < 0 { -size } else { size }
}

/// Appends a timestamp of microseconds from 2000-01-01 as PostgreSQL prints it; `zone` is `+00` or nothing. `false`
/// where it has no such timestamp.
pub(super) fn print_timestamp(micros: i64, precision: u32, zone: &str, out: &mut String) -> bool {
    let micros = adjust(micros, precision);
    if !(FIRST_DAY * DAY..END_DAY * DAY).contains(&micros) {
        return false;
    }
    let is_bc = push_date(micros.div_euclid(DAY), out);
    out.push(' ');
    push_time(micros.rem_euclid(DAY), out);
    out.push_str(zone);
    out.push_str(if is_bc { " BC" } else { "" });
    true
}

/// Appends a day as PostgreSQL prints it. `false` where it has no such day.
pub(super) fn print_date(day: i64, out: &mut String) -> bool {
    if !(FIRST_DAY..END_DATE).contains(&day) {
        return false;
    }
    let is_bc = push_date(day, out);
    out.push_str(if is_bc { " BC" } else { "" });
    true
}

/// Reads a time of day without an offset and appends it as PostgreSQL prints it.
pub(super) fn print_time(text: &str, precision: u32, out: &mut String) -> bool {
    let mut cursor = Cursor { rest: text.trim_ascii() };
    match cursor.time().filter(|_| cursor.rest.is_empty()) {
        Some(time) => {
            push_time(adjust(time, precision), out);
            true
        }
        None => false,
    }
}

fn push_date(day: i64, out: &mut String) -> bool {
    let (year, month, day) = calendar(day);
    let is_bc = year <= 0;
    push_padded(if is_bc { 1 - year } else { year }, 4, out);
    out.push('-');
    push_padded(month, 2, out);
    out.push('-');
    push_padded(day, 2, out);
    is_bc
}

fn push_time(time: i64, out: &mut String) {
    let seconds = time / SECOND;
    push_padded(seconds / 3600, 2, out);
    out.push(':');
    push_padded(seconds / 60 % 60, 2, out);
    out.push(':');
    push_padded(seconds % 60, 2, out);
    let mut fraction = time % SECOND;
    if fraction != 0 {
        let mut digits = 6;
        while fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        out.push('.');
        push_padded(fraction, digits, out);
    }
}

/// Appends a number that is not negative, with zeros in front up to `width`.
fn push_padded(n: i64, width: usize, out: &mut String) {
    if width == 2 && (0..100).contains(&n) {
        for digit in [n / 10, n % 10] {
            out.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
        }
        return;
    }
    write!(out, "{n:0width$}").expect("writing to memory");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn utc(text: &str) -> Option<String> {
        let mut out = String::new();
        let micros = Moment::parse(text)?.micros()?;
        print_timestamp(micros, 6, "+00", &mut out).then_some(out)
    }

    #[test]
    fn spellings_of_one_moment() {
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02t03:04:05z",
            "2026-01-02 03:04:05+00",
            "2026-01-02 03:04:05 UTC",
            "2026-01-02 08:34:05+05:30",
            "2026-01-02 08:34:05 +0530",
            "2026-01-01T19:04:05-08",
            "2026-01-02 03:04:05",
            " 2026-01-02 03:04:05.0000000 ",
        ] {
            assert_eq!(utc(text).as_deref(), Some("2026-01-02 03:04:05+00"), "{text}");
        }
        for (text, expected) in [
            ("2026-01-02", "2026-01-02 00:00:00+00"),
            ("2026-01-02 03:04", "2026-01-02 03:04:00+00"),
            ("2026-01-02 24:00", "2026-01-03 00:00:00+00"),
            ("2026-12-31 23:59:60", "2027-01-01 00:00:00+00"),
            ("2026-01-02 03:04:05.120", "2026-01-02 03:04:05.12+00"),
            ("2026-01-02 23:59:59.9999999", "2026-01-03 00:00:00+00"),
            ("1969-12-31 23:59:59.5", "1969-12-31 23:59:59.5+00"),
            ("0044-03-15 00:00:00 BC", "0044-03-15 00:00:00+00 BC"),
            ("10000-01-01 00:00:00", "10000-01-01 00:00:00+00"),
            ("2024-02-29", "2024-02-29 00:00:00+00"),
        ] {
            assert_eq!(utc(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_moment() {
        for text in [
            "",
            "now",
            "today",
            "2026",
            "2026-1-2",
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "2026-01-02T",
            "2026-01-02T03",
            "2026-01-02 24:00:01",
            "2026-01-02 03:60",
            "2026-01-02 03:04:61",
            "2026-01-02 03:04:60.5",
            "2026-01-02 03:04:05.",
            "2026-01-02 03:04:05,5",
            "2026-01-02 03:04:05+16",
            "2026-01-02 03:04:05+5",
            "2026-01-02 03:04:05+05:3",
            "0000-01-01",
            "+2026-01-02",
            "2026-01-02 é",
            "2026-01-02 03:04:05 CET",
            "294277-01-01",
            "20260102T030405Z",
            "é BC",
            "2026-01-02  03:04",
        ] {
            assert_eq!(utc(text), None, "{text}");
        }
        assert_eq!(Moment::parse("-Infinity"), Some(Moment::Infinity { is_negative: true }));
    }

    #[test]
    fn the_ends_of_time() {
        assert!(utc("4714-11-24 00:00:00 BC").is_some());
        assert!(utc("4714-11-23 23:59:59 BC").is_none());
        assert!(utc("294276-12-31 23:59:59.999999").is_some());
        assert!(utc("294277-01-01 00:00:00+01").is_some());
        let date = |text: &str| match Moment::parse(text) {
            Some(Moment::Day { day, .. }) => print_date(day, &mut String::new()),
            _ => false,
        };
        assert!(date("5874897-12-31") && !date("5874898-01-01"));
        assert!(date("4714-11-24 BC") && !date("4714-11-23 BC"));
    }

    #[test]
    fn precision_rounds_away_from_2000() {
        for (text, precision, expected) in [
            ("2026-01-02 00:00:00.1235", 3, "2026-01-02 00:00:00.124"),
            ("2026-01-02 00:00:00.1234", 3, "2026-01-02 00:00:00.123"),
            ("1999-12-31 23:59:59.5", 0, "1999-12-31 23:59:59"),
            ("2026-12-31 23:59:59.5", 0, "2027-01-01 00:00:00"),
        ] {
            let mut out = String::new();
            assert!(print_timestamp(Moment::parse(text).unwrap().micros().unwrap(), precision, "", &mut out));
            assert_eq!(out, expected, "{text} to {precision}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(micros in FIRST_DAY * DAY..END_DAY * DAY) {
            let mut out = String::new();
            prop_assert!(print_timestamp(micros, 6, "+00", &mut out));
            prop_assert_eq!(Moment::parse(&out).and_then(Moment::micros), Some(micros), "{}", out);
        }
    }
}
