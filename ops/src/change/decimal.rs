//! Decimal numbers by their digits: exact, whatever their length.
//!
//! Nothing here becomes a machine float on the way: `0.1` is a tenth.

use std::cmp::Ordering;

/// Digits before the point that PostgreSQL's numeric holds.
const WHOLE_MAX: i64 = 131_072;
/// Digits after the point that PostgreSQL's numeric holds.
const FRACTION_MAX: i64 = 16_383;

/// A decimal that is not in the form or the range of PostgreSQL's numeric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotDecimal;

/// A decimal as it is spelled, which borrows its digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spelled<'a> {
    is_negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Spelled<'a> {
    /// Reads `-1.50e3`, `.5`, `5.` and `+7`, and nothing with blanks or words.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let has_digits = !(whole.is_empty() && fraction.is_empty());
        (has_digits && is_digits(whole) && is_digits(fraction)).then(|| Self {
            is_negative: text.starts_with('-'),
            whole,
            fraction,
            exponent,
        })
    }

    /// Its digits, without leading zeros.
    pub(super) fn digits(&self) -> Digits {
        let all: Vec<u8> = self.whole.bytes().chain(self.fraction.bytes()).map(|b| b - b'0').collect();
        let zeros = all.iter().take_while(|d| **d == 0).count();
        Digits {
            is_negative: self.is_negative,
            point: length(self.whole) + self.exponent - count(zeros),
            scale: (length(self.fraction) - self.exponent).max(0),
            places: all[zeros..].to_vec(),
        }
    }
}

/// Whether a decimal is spelled without a point and without an exponent.
pub(super) fn is_integer(text: &str) -> bool {
    !text.contains(['.', 'e', 'E'])
}

/// An exponent too large for any column is refused, not wrapped.
fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse::<i32>().ok().map(i64::from)
}

fn count(n: usize) -> i64 {
    i64::try_from(n).expect("a text is shorter than 2^63")
}

fn length(text: &str) -> i64 {
    count(text.len())
}

/// A decimal: `0.d1d2d3… × 10^point`, of which `scale` digits behind the point are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digits {
    is_negative: bool,
    /// Values 0 to 9; the first is not 0; none for zero.
    places: Vec<u8>,
    point: i64,
    scale: i64,
}

impl Digits {
    /// Reads a decimal; see [`Spelled::parse`].
    pub(super) fn parse(text: &str) -> Option<Self> {
        Spelled::parse(text).map(|spelled| spelled.digits())
    }

    /// Rounds half away from zero to `scale` digits behind the point; a negative scale rounds before it.
    pub(super) fn round(&mut self, scale: i64) {
        let keep = self.point + scale;
        self.scale = scale.max(0);
        let Ok(keep) = usize::try_from(keep) else {
            self.places.clear();
            return;
        };
        let Some(&next) = self.places.get(keep) else { return };
        self.places.truncate(keep);
        if next >= 5 {
            self.increment();
        }
    }

    /// Leaves out zeros at the end, which change nothing.
    pub(super) fn shorten(&mut self) {
        let zeros = self.places.iter().rev().take_while(|d| **d == 0).count();
        self.places.truncate(self.places.len() - zeros);
        self.scale = if self.is_zero() { 0 } else { (count(self.places.len()) - self.point).max(0) };
    }

    fn increment(&mut self) {
        for digit in self.places.iter_mut().rev() {
            if *digit < 9 {
                *digit += 1;
                return;
            }
            *digit = 0;
        }
        self.places.insert(0, 1);
        self.point += 1;
    }

    /// Whether it is spelled with a minus.
    pub(super) fn is_negative(&self) -> bool {
        self.is_negative
    }

    fn is_zero(&self) -> bool {
        self.places.iter().all(|d| *d == 0)
    }

    /// Digits before the point, negative for zeros behind it.
    pub(super) fn magnitude(&self) -> i64 {
        if self.is_zero() { i64::MIN } else { self.point }
    }

    /// Whether the value is whole.
    pub(super) fn is_whole(&self) -> bool {
        let kept = usize::try_from(self.point.max(0)).unwrap_or(usize::MAX);
        self.places.iter().skip(kept).all(|d| *d == 0)
    }

    /// Whether PostgreSQL's numeric can hold it.
    pub(super) fn check(&self) -> Result<(), NotDecimal> {
        let fits = self.magnitude() <= WHOLE_MAX && self.scale <= FRACTION_MAX;
        if fits { Ok(()) } else { Err(NotDecimal) }
    }

    /// Appends it as PostgreSQL prints numeric. [`Digits::check`] comes first: the text can be long.
    pub(super) fn print(&self, out: &mut String) {
        if self.is_negative && !self.is_zero() {
            out.push('-');
        }
        let digit = |place: i64| {
            let digit = usize::try_from(place).ok().and_then(|place| self.places.get(place));
            char::from(b'0' + digit.copied().unwrap_or(0))
        };
        if self.point <= 0 || self.is_zero() {
            out.push('0');
        } else {
            out.extend((0..self.point).map(digit));
        }
        if self.scale > 0 {
            out.push('.');
            out.extend((self.point..self.point + self.scale).map(digit));
        }
    }

    /// Compares by value, whatever the scale.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let sign = |d: &Self| if d.is_zero() { 0 } else { 1 - 2 * i32::from(d.is_negative) };
        match sign(self).cmp(&sign(other)) {
            Ordering::Equal if sign(self) == 0 => Ordering::Equal,
            Ordering::Equal if self.is_negative => other.compare_size(self),
            Ordering::Equal => self.compare_size(other),
            unequal => unequal,
        }
    }

    fn compare_size(&self, other: &Self) -> Ordering {
        let by_digits = || {
            let length = self.places.len().max(other.places.len());
            let digits = |d: &Self| {
                d.places.iter().copied().chain(std::iter::repeat(0)).take(length).collect::<Vec<_>>()
            };
            digits(self).cmp(&digits(other))
        };
        self.magnitude().cmp(&other.magnitude()).then_with(by_digits)
    }

    /// The distance between two values.
    pub(super) fn distance(&self, other: &Self) -> Self {
        let last = |d: &Self| count(d.places.len()) - d.point;
        let (behind, before) = (last(self).max(last(other)), self.point.max(other.point) + 1);
        // Both as digits over the same places, with one place to carry into.
        let spread = |d: &Self| -> Vec<i32> {
            let place =
                |place| usize::try_from(place).ok().and_then(|p| d.places.get(p)).copied().unwrap_or(0);
            let sign = if d.is_negative { -1 } else { 1 };
            (d.point - before..d.point + behind).map(|p| sign * i32::from(place(p))).collect()
        };
        let mut difference: Vec<i32> = spread(self).iter().zip(spread(other)).map(|(a, b)| a - b).collect();
        if difference.iter().find(|d| **d != 0).is_some_and(|d| *d < 0) {
            for digit in &mut difference {
                *digit = -*digit;
            }
        }
        for place in (1..difference.len()).rev() {
            let carry = difference[place].div_euclid(10);
            difference[place] -= 10 * carry;
            difference[place - 1] += carry;
        }
        let digits: Vec<u8> = difference.iter().map(|d| u8::try_from(*d).expect("a digit")).collect();
        Self { is_negative: false, places: digits, point: before, scale: behind.max(0) }.trimmed()
    }

    /// The product of the sizes of two values.
    pub(super) fn product(&self, other: &Self) -> Self {
        let mut places = vec![0_u64; self.places.len() + other.places.len()];
        for (i, a) in self.places.iter().enumerate() {
            for (j, b) in other.places.iter().enumerate() {
                places[i + j + 1] += u64::from(*a) * u64::from(*b);
            }
        }
        for place in (1..places.len()).rev() {
            places[place - 1] += places[place] / 10;
            places[place] %= 10;
        }
        let digits = places.iter().map(|d| u8::try_from(*d).expect("a digit")).collect();
        Self {
            is_negative: false,
            places: digits,
            point: self.point + other.point,
            scale: self.scale + other.scale,
        }
        .trimmed()
    }

    fn trimmed(mut self) -> Self {
        let zeros = self.places.iter().take_while(|d| **d == 0).count();
        self.places.drain(..zeros);
        self.point -= count(zeros);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn printed(text: &str, scale: Option<i64>) -> String {
        let mut digits = Digits::parse(text).unwrap();
        if let Some(scale) = scale {
            digits.round(scale);
        }
        let mut out = String::new();
        digits.print(&mut out);
        out
    }

    #[test]
    fn prints_as_postgresql_does() {
        for (text, expected) in [
            ("1e10", "10000000000"),
            ("1.50e1", "15.0"),
            ("-0.00", "0.00"),
            ("007", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e-3", "0.001"),
            ("1.500e2", "150.0"),
            ("1.500e5", "150000"),
            ("+12.30", "12.30"),
            ("0e5", "0"),
            ("0e-2", "0.00"),
            ("-12345678901234567890.123456789", "-12345678901234567890.123456789"),
        ] {
            assert_eq!(printed(text, None), expected, "{text}");
        }
        for bad in ["", "-", ".", "e5", "1e", "1e+", "1.2.3", "0x1", " 1", "1_0", "NaN", "1e99999999999"] {
            assert_eq!(Digits::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn rounds_half_away_from_zero() {
        for (text, scale, expected) in [
            ("2.5", 0, "3"),
            ("-2.5", 0, "-3"),
            ("2.4999", 0, "2"),
            ("999.995", 2, "1000.00"),
            ("1234.5", -2, "1200"),
            ("1250", -2, "1300"),
            ("49", -2, "0"),
            ("50", -2, "100"),
            ("0.005", 2, "0.01"),
            ("-0.004", 2, "0.00"),
            ("0.00123", 5, "0.00123"),
            ("1.5", 4, "1.5000"),
            ("1e5", 2, "100000.00"),
        ] {
            assert_eq!(printed(text, Some(scale)), expected, "{text} to {scale}");
        }
    }

    #[test]
    fn limits() {
        assert!(Digits::parse("1e131071").unwrap().check().is_ok());
        assert!(Digits::parse("1e131072").unwrap().check().is_err());
        assert!(Digits::parse("1e-16383").unwrap().check().is_ok());
        assert!(Digits::parse("1e-16384").unwrap().check().is_err());
        assert!(Digits::parse("0e200000").unwrap().check().is_ok());
    }

    proptest! {
        #[test]
        fn agrees_with_integers(a in -1_000_000_i64..1_000_000, b in -1_000_000_i64..1_000_000, shift in 0_i64..5) {
            let of = |n: i64| Digits::parse(&format!("{n}e-{shift}")).unwrap();
            let (x, y) = (of(a), of(b));
            prop_assert_eq!(x.compare(&y), a.cmp(&b));
            prop_assert_eq!(x.distance(&y).compare(&of((a - b).abs())), Ordering::Equal);
            let product = Digits::parse(&format!("{}e-{}", (a * b).abs(), 2 * shift)).unwrap();
            prop_assert_eq!(x.product(&y).compare(&product), Ordering::Equal);
            prop_assert_eq!(x.is_whole(), a % 10_i64.pow(u32::try_from(shift).unwrap()) == 0);
        }

        #[test]
        fn places_far_apart_are_exact(a in 1_i64..1000, b in 1_i64..1000, far in 0_i64..300) {
            let (x, y) = (Digits::parse(&format!("{a}e{far}")).unwrap(), Digits::parse(&format!("{b}e-{far}")).unwrap());
            let back = x.distance(&y);
            if x.compare(&y).is_ge() {
                prop_assert_eq!(x.distance(&back).compare(&y), Ordering::Equal);
            }
        }
    }
}
