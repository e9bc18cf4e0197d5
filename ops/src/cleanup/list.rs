//! Items of a list cell: a JSON array, or text with separators, read by one scanner that never fails.
//!
//! It goes from left to right and never looks ahead, so what it found in the beginning of a list it finds in the whole
//! list too; a broken array is read the same way. That is why the count of items cannot grow when a list is cut.

use std::collections::HashSet;

/// An item.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    /// Lower case, blanks squeezed.
    pub(super) text: &'a str,
    /// Its end was seen; the end of the cell is none.
    pub(super) closed: bool,
}

/// What an item is read into, reused from row to row.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffer {
    item: String,
    blank: bool,
}

impl Buffer {
    fn push(&mut self, c: char) {
        if c.is_whitespace() || c.is_control() {
            self.blank = !self.item.is_empty();
            return;
        }
        if self.blank {
            self.item.push(' ');
            self.blank = false;
        }
        self.item.extend(c.to_lowercase());
    }

    fn emit(&mut self, closed: bool, each: &mut impl FnMut(Item<'_>)) {
        if !self.item.is_empty() {
            each(Item { text: &self.item, closed });
        }
        self.item.clear();
        self.blank = false;
    }
}

/// Calls `each` with every item of `list`.
pub(super) fn items(list: &str, buffer: &mut Buffer, mut each: impl FnMut(Item<'_>)) {
    buffer.item.clear();
    buffer.blank = false;
    if list.trim_start().starts_with(['[', '{']) {
        array(list, buffer, &mut each);
        return;
    }
    for c in list.chars() {
        match c {
            ';' | '|' | ',' | '/' | '\\' => buffer.emit(true, &mut each),
            c => buffer.push(c),
        }
    }
    buffer.emit(false, &mut each);
}

/// The different items of `list`, in their order.
pub(super) fn different(list: &str, buffer: &mut Buffer) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut known: HashSet<String> = HashSet::new();
    items(list, buffer, |item| {
        if found.len() < FEW {
            if !found.iter().any(|known| known == item.text) {
                found.push(item.text.to_owned());
            }
            return;
        }
        if known.is_empty() {
            known.extend(found.iter().cloned());
        }
        if known.insert(item.text.to_owned()) {
            found.push(item.text.to_owned());
        }
    });
    found
}

/// Items that are compared one by one; more are looked up.
const FEW: usize = 16;

/// The items of a JSON array or of PostgreSQL's `{a,"b c"}`, whether it is whole or not.
fn array(list: &str, buffer: &mut Buffer, each: &mut impl FnMut(Item<'_>)) {
    let mut chars = list.chars();
    while let Some(c) = chars.next() {
        match c {
            '[' | ']' | '{' | '}' | ',' | ';' | '|' | '/' | '\\' => bare(buffer, each),
            '"' => {
                bare(buffer, each);
                let closed = string(&mut chars, buffer);
                buffer.emit(closed, each);
            }
            c => buffer.push(c),
        }
    }
    // What stands without quotes at the end of the text may be half of `null`.
    buffer.item.clear();
}

fn bare(buffer: &mut Buffer, each: &mut impl FnMut(Item<'_>)) {
    if buffer.item == "null" {
        buffer.item.clear();
    }
    buffer.emit(true, each);
}

/// Reads a JSON string behind its first quote; whether it ended.
fn string(chars: &mut std::str::Chars<'_>, buffer: &mut Buffer) -> bool {
    let mut high = None;
    while let Some(c) = chars.next() {
        match c {
            '"' => return true,
            '\\' => match chars.next() {
                Some('u') => match unit(chars) {
                    Some(unit) => high = unit_char(unit, high, buffer),
                    None => return false,
                },
                Some('n' | 't' | 'r' | 'b' | 'f') => buffer.push(' '),
                Some(c) => buffer.push(c),
                None => return false,
            },
            c => buffer.push(c),
        }
    }
    false
}

/// The number of `\uXXXX`; none at the end of the text.
fn unit(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit * 16 + chars.next()?.to_digit(16).unwrap_or_default();
    }
    Some(unit)
}

/// Pushes the character of a unit, or returns it as the first half of one.
fn unit_char(unit: u32, high: Option<u32>, buffer: &mut Buffer) -> Option<u32> {
    match (high, unit) {
        (_, 0xd800..=0xdbff) => return Some(unit),
        (Some(high), 0xdc00..=0xdfff) => {
            buffer.push(char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (unit - 0xdc00)).unwrap_or(' '));
        }
        (_, unit) => {
            if let Some(c) = char::from_u32(unit) {
                buffer.push(c);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(list: &str) -> Vec<(String, bool)> {
        let mut found = Vec::new();
        items(list, &mut Buffer::default(), |item| found.push((item.text.to_owned(), item.closed)));
        found
    }

    fn texts(list: &str) -> Vec<String> {
        all(list).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn separators_and_arrays() {
        assert_eq!(
            texts(r"Joy; Grief | LOVE, rest/peace\calm"),
            ["joy", "grief", "love", "rest", "peace", "calm"]
        );
        assert_eq!(texts(r#"["harbor light","tide"]"#), ["harbor light", "tide"]);
        assert_eq!(
            texts(r#"["a, b/c", 3, null, true, "caf\u00e9", "\ud83d\udca1x"]"#),
            ["a, b/c", "3", "true", "café", "💡x"]
        );
        assert_eq!(texts(r#"{harbor,"low tide",NULL}"#), ["harbor", "low tide"]);
        assert_eq!(texts(r#"["harbor li"#), ["harbor li"]);
        assert_eq!(texts("  "), [""; 0]);
        assert_eq!(all("tide; mo"), [("tide".to_owned(), true), ("mo".to_owned(), false)]);
    }

    #[test]
    fn many_items_are_told_apart_like_few() {
        for count in [3_u32, 40, 200_000] {
            let list: Vec<String> = (0..count).map(|n| format!("i{}", n / 2)).collect();
            let found = different(&list.join("; "), &mut Buffer::default());
            assert_eq!(found, (0..count.div_ceil(2)).map(|n| format!("i{n}")).collect::<Vec<_>>());
        }
    }

    proptest! {
        #[test]
        fn a_cut_closes_no_item(list in r#"[\["\\,;/ abÉnul\]{}]{0,24}|\[("a|"b c"|null|"\\u00e9"|3|[, \]"]){0,6}"#) {
            let whole = all(&list);
            for (cut, _) in list.char_indices() {
                for (i, (item, closed)) in all(&list[..cut]).iter().enumerate() {
                    let other = whole.get(i);
                    prop_assert!(other.is_some_and(|other| if *closed { other == &(item.clone(), true) } else { other.0.starts_with(item.as_str()) }), "{list} {cut}");
                }
            }
        }
    }
}
