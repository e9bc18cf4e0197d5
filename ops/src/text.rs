//! Small text rules shared by reports and stored rows: cutting, counting, masking of control characters.
//!
//! Nothing here knows what the text means.

/// At most `limit` characters; a longer text keeps `limit - 3` and ends in `...`.
pub fn ellipsis(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit.saturating_sub(3)).collect();
    kept + "..."
}

/// Bytes as text. This runs over all that is read from files and tables; the slower way is for what is none, to say
/// where.
pub fn utf8(bytes: &[u8]) -> Result<&str, std::str::Utf8Error> {
    simdutf8::basic::from_utf8(bytes).or_else(|_| std::str::from_utf8(bytes))
}

/// `1234567` as `1,234,567`.
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 phase`, `2 phases`: the plural is the singular with an `s`.
pub fn plural(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", thousands(n), if n == 1 { "" } else { "s" })
}

/// Bytes as `512 B`, `1.9 KiB`, `2.0 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Text of unknown origin on one line: control characters become spaces, runs of spaces one.
pub fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Those of `names` that may have been meant by `wanted`, the closest first, at most three: equal but for case, one
/// the beginning of the other, or few letters apart.
pub fn alike<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = wanted.to_lowercase();
    let limit = 1 + wanted.chars().count() / 4;
    let mut found: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let is_part = lower.starts_with(&wanted) || (!lower.is_empty() && wanted.starts_with(&lower));
            let distance = edits(&wanted, &lower);
            (is_part || distance <= limit).then_some((distance, name))
        })
        .collect();
    found.sort_unstable();
    found.into_iter().take(3).map(|(_, name)| name).collect()
}

/// How many letters must be added, removed or replaced to get from one text to the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_by_characters() {
        assert_eq!(ellipsis("short", 5), "short");
        assert_eq!(ellipsis("ééééééé", 6), "ééé...");
        assert_eq!(ellipsis(&"x".repeat(257), 200).chars().count(), 200);
    }

    #[test]
    fn groups_digits() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(plural(1, "phase"), "1 phase");
        assert_eq!(plural(0, "phase"), "0 phases");
    }

    #[test]
    fn sizes_and_lines() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(2_134_016), "2.0 MiB");
        assert_eq!(one_line("a\tb\n\u{1b}[1m  c"), "a b [1m c");
    }

    #[test]
    fn names_that_may_have_been_meant() {
        let names = ["glyphs", "glyph_parts", "users", "Orders", "order_lines"];
        let alike = |wanted| alike(wanted, names.iter().copied());
        assert_eq!(alike("glyps"), ["glyphs"]);
        assert_eq!(alike("glyph"), ["glyphs", "glyph_parts"]);
        assert_eq!(alike("ORDERS"), ["Orders"]);
        assert_eq!(alike("order"), ["Orders", "order_lines"]);
        assert_eq!(alike("invoices"), [""; 0]);
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "ab"), 2);
    }
}
