//! Values on one line for people: quoted, and cut so that what differs stays in sight.

use crate::value::{Value, ValueRef, write_json};

/// Characters of a long value that stay on each side of the difference.
const CONTEXT: usize = 12;
const CUT: &str = "…";

/// A value of at most about `width` characters: `NULL`, text in quotes, other values as they are.
pub(super) fn show(value: &Value, width: usize) -> String {
    match value.as_ref() {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Text(text) => quoted(&middle(&chars(text), width)),
        other => {
            let mut out = Vec::new();
            super::sheet::plain(other, &mut out);
            let text = String::from_utf8(out).expect("values are written as UTF-8");
            crate::text::one_line(&middle(&chars(&text), width))
        }
    }
}

/// Both values of a changed cell, each of at most about `width` characters. Long texts are cut around what differs.
pub(super) fn show_pair(before: &Value, after: &Value, width: usize) -> (String, String) {
    let texts = match (before, after) {
        (Value::Text(a), Value::Text(b)) | (Value::Json(a), Value::Json(b)) => Some((chars(a), chars(b))),
        _ => None,
    };
    let Some((a, b)) = texts.filter(|(a, b)| a.len() > width || b.len() > width) else {
        return (show(before, width), show(after, width));
    };
    let shortest = a.len().min(b.len());
    let start = a.iter().zip(&b).take_while(|(x, y)| x == y).count();
    let (rest_a, rest_b) = (a[start..].iter().rev(), b[start..].iter().rev());
    let end = rest_a.zip(rest_b).take_while(|(x, y)| x == y).count().min(shortest - start);
    let piece = |all: &[char]| {
        let from = start.saturating_sub(CONTEXT);
        let to = (all.len() - end + CONTEXT).min(all.len());
        let head = if from > 0 { CUT } else { "" };
        let tail = if to < all.len() { CUT } else { "" };
        format!("{head}{}{tail}", middle(&all[from..to], width))
    };
    let mark = |text: String| match before {
        Value::Text(_) => quoted(&text),
        _ => crate::text::one_line(&text),
    };
    (mark(piece(&a)), mark(piece(&b)))
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

/// The text with its middle left out when it is longer than `width`.
fn middle(text: &[char], width: usize) -> String {
    if text.len() <= width {
        return text.iter().collect();
    }
    let half = width.saturating_sub(1) / 2;
    let (head, tail) = (&text[..half], &text[text.len() - half..]);
    head.iter().chain(CUT.chars().collect::<Vec<_>>().iter()).chain(tail).collect()
}

/// The text as JSON, with the control characters that JSON lets pass escaped as well.
fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    write_json(ValueRef::Text(text), &mut out);
    let json = String::from_utf8(out).expect("JSON is UTF-8");
    let escape = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn values() {
        for (value, expected) in [
            (Value::Null, "NULL"),
            (text("NULL"), "\"NULL\""),
            (text(""), "\"\""),
            (text("a\nb\"é"), "\"a\\nb\\\"é\""),
            (text("\u{1b}[\u{9b}"), "\"\\u001b[\\u009b\""),
            (text("0123456789abc"), "\"0123…9abc\""),
            (Value::Int(-5), "-5"),
            (Value::Bytes(vec![1, 2]), "\\x0102"),
            (Value::Json("{\n \"a\": 1}".into()), "{ \"a\": 1}"),
        ] {
            assert_eq!(show(&value, 10), expected);
        }
    }

    #[test]
    fn a_long_text_is_cut_around_what_differs() {
        let (before, after) = show_pair(
            &text(format!("{}old{}", "a".repeat(50), "b".repeat(50))),
            &text(format!("{}new word{}", "a".repeat(50), "b".repeat(50))),
            40,
        );
        assert_eq!(before, "\"…aaaaaaaaaaaaoldbbbbbbbbbbb…\"");
        assert_eq!(after, "\"…aaaaaaaaaaaanew wordbbbbbbbbbbb…\"");
        let (before, after) = show_pair(&text("x".repeat(100)), &text("x".repeat(101)), 40);
        assert_ne!(before, "");
        assert_ne!(before, after);
        assert_eq!(show_pair(&text("a"), &Value::Null, 40), ("\"a\"".to_owned(), "NULL".to_owned()));
    }

    proptest! {
        #[test]
        fn what_differs_looks_different(a in "[ab\n]{0,120}|.{0,80}", b in "[ab\n]{0,120}|.{0,80}", width in 30_usize..60) {
            let (shown_a, shown_b) = show_pair(&text(&a), &text(&b), width);
            prop_assert_eq!(shown_a == shown_b, a == b);
            // A character may take six to be spelled.
            let limit = (width + 4) * 6;
            prop_assert!(shown_a.chars().count() <= limit && shown_b.chars().count() <= limit);
        }
    }
}
