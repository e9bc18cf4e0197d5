//! Escape sequences of terminals: colours, cursor movements, titles and links that were copied with the text.
//!
//! Only complete sequences go. An escape character without one is a control character like others.

const ESCAPE: char = '\u{1B}';
const CSI: char = '\u{9B}';

/// Without escape sequences; `None` when there are none. Where one moved the cursor between words, a blank stays.
pub(super) fn without_escapes(text: &str) -> Option<String> {
    let mut kept = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some(at) = rest.find([ESCAPE, CSI]) {
        kept.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some((length, moves)) = escape(rest) {
            rest = &rest[length..];
            found = true;
            let is_between = kept.ends_with(char::is_alphanumeric) && rest.starts_with(char::is_alphanumeric);
            if moves && is_between {
                kept.push(' ');
            }
        } else {
            let mut chars = rest.chars();
            kept.extend(chars.next());
            rest = chars.as_str();
        }
    }
    kept.push_str(rest);
    found.then_some(kept)
}

/// Length of the sequence that `text` starts with, and whether it does more than colours.
fn escape(text: &str) -> Option<(usize, bool)> {
    let (start, kind) = match text.strip_prefix(CSI) {
        Some(_) => (CSI.len_utf8(), b'['),
        None => (2, *text.as_bytes().get(1)?),
    };
    let body = text.as_bytes().get(start..)?;
    match kind {
        b'[' => {
            let parameters = body.iter().take_while(|byte| matches!(byte, 0x20..=0x3F)).count();
            let last = *body.get(parameters)?;
            let is_colour = matches!(last, b'm' | b'K');
            matches!(last, 0x40..=0x7E).then_some((start + parameters + 1, !is_colour))
        }
        b']' | b'P' | b'^' | b'_' | b'X' => string_end(&text[start..]).map(|end| (start + end, false)),
        b'(' | b')' => matches!(body.first()?, b'0' | b'A' | b'B').then_some((start + 1, false)),
        b'7' | b'8' | b'=' | b'>' => Some((start, false)),
        _ => None,
    }
}

/// Where the string of a command ends, behind its end mark; it has none of its own line ends.
fn string_end(text: &str) -> Option<usize> {
    let end = text.find(['\u{7}', ESCAPE, '\u{9C}', '\n', '\r'])?;
    match &text[end..] {
        rest if rest.starts_with("\u{1B}\\") => Some(end + 2),
        rest if rest.starts_with('\u{7}') => Some(end + 1),
        rest if rest.starts_with('\u{9C}') => Some(end + '\u{9C}'.len_utf8()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complete_sequences_go_and_nothing_else() {
        for (text, clean) in [
            ("\u{1B}[31mred\u{1B}[0m text", "red text"),
            ("\u{1B}[1;38;5;208mcolour\u{1B}[m", "colour"),
            ("a\u{1B}[2Cb", "a b"),
            ("\u{1B}]0;title\u{7}text", "text"),
            ("\u{1B}]8;;https://example.org\u{1B}\\link\u{1B}]8;;\u{1B}\\", "link"),
            ("\u{9B}32mgreen\u{1B}(B", "green"),
        ] {
            assert_eq!(without_escapes(text).as_deref(), Some(clean), "{text:?}");
        }
        for text in ["\u{1B}Hello", "\u{1B}", "\u{1B}[31", "\u{1B}]0;no end", "[31m as text"] {
            assert_eq!(without_escapes(text), None, "{text:?}");
        }
    }
}
