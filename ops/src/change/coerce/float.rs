//! Floats as PostgreSQL prints them with `extra_float_digits = 1`: the fewest digits that read back as the same
//! float.
//!
//! It differs from Rust in one point: of digits that lie exactly between two floats it takes one more, so that no
//! reader has to know how to round.

use std::fmt::Write;

/// The float that reading PostgreSQL's text of a `real` gives, which was itself read from `spelled`.
pub(super) fn widen(x: f32, spelled: &str) -> f64 {
    let spelled_as = || spelled.parse().unwrap_or(f64::NAN);
    // A decimal of six digits is the shortest of its float, unless it lies exactly between two.
    let is_middle = |x: f64| x.to_bits() & ((1 << 29) - 1) == 1 << 28;
    if x.is_normal() && spelled.bytes().filter(u8::is_ascii_digit).count() <= 6 && !is_middle(spelled_as()) {
        return spelled_as();
    }
    let mut text = String::new();
    print_single(x, &mut text);
    text.parse().unwrap_or(f64::NAN)
}

/// Appends a `real`.
pub(super) fn print_single(x: f32, out: &mut String) {
    let size = x.abs();
    let neighbour = |bits: u32| f64::from(f32::from_bits(bits));
    let middles = [size.to_bits().saturating_sub(1), size.to_bits() + 1]
        .map(|bits| f64::midpoint(f64::from(size), neighbour(bits)));
    // The middle of two singles is a double, and a text of few digits that reads as that double is equal to it.
    let is_between = |text: &str| text.parse().is_ok_and(|x: f64| middles.contains(&x));
    let digits = shortest(
        format!("{size:e}"),
        |places| format!("{size:.places$e}"),
        |text| text.parse() == Ok(size) && !(size.is_normal() && is_between(text)),
    );
    print(x.is_sign_negative(), f64::from(size), &digits, 6, out);
}

/// Appends a `double precision`.
pub(super) fn print_double(x: f64, out: &mut String) {
    let size = x.abs();
    let digits = shortest(
        format!("{size:e}"),
        |places| format!("{size:.places$e}"),
        |text| text.parse() == Ok(size) && !(size.is_normal() && is_between(text, size)),
    );
    print(x.is_sign_negative(), size, &digits, 15, out);
}

/// The fewest digits that are fine: of those the nearest, and of two as near the even one.
fn shortest(rust: String, exact: impl Fn(usize) -> String, is_fine: impl Fn(&str) -> bool) -> String {
    let mantissa = rust.split_once('e').map_or("", |(mantissa, _)| mantissa);
    let places = mantissa.len().saturating_sub(2);
    let nearest = exact(places);
    if is_fine(&nearest) {
        return nearest;
    }
    if is_fine(&rust) {
        return rust;
    }
    // Twenty digits are always enough; only NaN and infinity get there.
    (places + 1..20).map(exact).find(|text| is_fine(text)).unwrap_or(rust)
}

/// Whether a decimal `d.ddde±x` lies exactly between `x` and one of its neighbours.
fn is_between(text: &str, x: f64) -> bool {
    let Some((mantissa, exponent)) = text.split_once('e') else { return false };
    let digits: u128 = mantissa.replace('.', "").parse().unwrap_or(0);
    let fraction = mantissa.len().saturating_sub(2);
    let exponent = exponent.parse::<i32>().unwrap_or(0) - i32::try_from(fraction).unwrap_or(0);
    let Some(decimal) = binary(digits, exponent) else { return false };
    let bits = x.to_bits();
    let (below, above) = (parts(bits.saturating_sub(1)), parts(bits + 1));
    let here = parts(bits);
    [middle(here, below), middle(here, above)].contains(&decimal)
}

/// An odd factor and a power of two; `None` for what no double and no middle of two can be.
fn binary(digits: u128, exponent: i32) -> Option<(u128, i32)> {
    let fives = 5_u128.checked_pow(exponent.unsigned_abs())?;
    let factor = if exponent >= 0 {
        digits.checked_mul(fives)?
    } else if digits.is_multiple_of(fives) {
        digits / fives
    } else {
        return None;
    };
    Some(odd(factor, exponent))
}

fn odd(factor: u128, power: i32) -> (u128, i32) {
    let zeros = if factor == 0 { 0 } else { factor.trailing_zeros() };
    (factor >> zeros, power + i32::try_from(zeros).unwrap_or(0))
}

/// Mantissa and power of two of a double's bits.
fn parts(bits: u64) -> (u128, i32) {
    let exponent = i32::try_from(bits >> 52 & 0x7ff).unwrap_or(0);
    let fraction = u128::from(bits & ((1 << 52) - 1));
    if exponent == 0 { (fraction, -1074) } else { (fraction | 1 << 52, exponent - 1075) }
}

/// The middle of two neighbours.
fn middle(a: (u128, i32), b: (u128, i32)) -> (u128, i32) {
    let power = a.1.min(b.1);
    let at = |(factor, own): (u128, i32)| factor << (own - power).unsigned_abs();
    odd(at(a) + at(b), power - 1)
}

/// Appends digits such as `1.2345e-7`: plain from 0.0001 up to `plain_max` places, otherwise with an exponent of at
/// least two places.
fn print(is_negative: bool, size: f64, digits: &str, plain_max: i32, out: &mut String) {
    if size.is_nan() {
        out.push_str("NaN");
        return;
    }
    if is_negative {
        out.push('-');
    }
    if size.is_infinite() {
        out.push_str("Infinity");
        return;
    }
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let mantissa =
        if mantissa.contains('.') { mantissa.trim_end_matches('0').trim_end_matches('.') } else { mantissa };
    if !(-4..plain_max).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        write!(out, "{mantissa}e{sign}{:02}", exponent.abs()).expect("writing to memory");
        return;
    }
    let all = mantissa.replace('.', "");
    if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', exponent.unsigned_abs() as usize - 1));
        out.push_str(&all);
        return;
    }
    let whole = exponent.unsigned_abs() as usize + 1;
    out.extend(all.chars().chain(std::iter::repeat('0')).take(whole));
    if all.len() > whole {
        out.push('.');
        out.push_str(&all[whole..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn double(x: f64) -> String {
        let mut out = String::new();
        print_double(x, &mut out);
        out
    }

    fn single(x: f32) -> String {
        let mut out = String::new();
        print_single(x, &mut out);
        out
    }

    #[test]
    fn prints_as_postgresql_does() {
        for (x, expected) in [
            (0.1, "0.1"),
            (-0.0, "-0"),
            (1e20, "1e+20"),
            (1e15, "1e+15"),
            (1e14, "100000000000000"),
            (123_456_789_012_345_678.0, "1.2345678901234568e+17"),
            (1234.5, "1234.5"),
            (1e-4, "0.0001"),
            (1.5e-5, "1.5e-05"),
            (5e-324, "5e-324"),
            (1e-307, "1e-307"),
            (f64::NEG_INFINITY, "-Infinity"),
            (f64::NAN, "NaN"),
            // Exactly between two doubles with 16 digits.
            (1e23, "9.999999999999999e+22"),
        ] {
            assert_eq!(double(x), expected, "{x:e}");
        }
        for (x, expected) in [
            (0.1, "0.1"),
            (1e6, "1e+06"),
            (123_456.0, "123456"),
            (16_777_216.0, "1.6777216e+07"),
            (1e-45, "1e-45"),
            (8_589_934_592.0, "8.589935e+09"),
        ] {
            assert_eq!(single(x), expected, "{x:e}");
        }
        for (text, expected) in
            [("0.1", 0.1), ("9.111e8", 9.111_000_3e8), ("16777217", 16_777_216.0), ("1e-45", 1e-45)]
        {
            assert_eq!(widen(text.parse().unwrap(), text).to_bits(), f64::to_bits(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(bits in any::<u64>(), small in any::<u32>()) {
            let x = f64::from_bits(bits);
            let y: f64 = double(x).parse().unwrap();
            prop_assert!(x.to_bits() == y.to_bits() || x.is_nan());
            let x = f32::from_bits(small);
            let y: f32 = single(x).parse().unwrap();
            prop_assert!(x.to_bits() == y.to_bits() || x.is_nan());
        }
    }
}
