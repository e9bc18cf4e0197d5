//! Version 1 of the normaliser: plain replacements, one after the other, as older sessions were keyed.
//!
//! Kept so that what is keyed by it can be keyed anew; it takes any word behind a slash for a path and lets ids survive.

use super::scan;

/// Characters of the text that a key of version 1 has.
const CHARS_MAX: usize = 200;

/// The text of a key of version 1.
pub fn normalise(text: &str) -> String {
    const STEPS: &[Step] = &[date, time, windows, path, address, line, place, session, integer];
    let clean = scan::clean(text, usize::MAX).to_lowercase();
    let text = STEPS.iter().fold(clean, |text, step| replace(&text, *step));
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(CHARS_MAX).collect()
}

/// What a step takes at a place, given the character before: bytes and what stands for them.
type Step = fn(&str, Option<char>) -> Option<(usize, String)>;

fn replace(text: &str, step: Step) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let (len, token) = step(&text[at..], text[..at].chars().next_back())
            .unwrap_or_else(|| (c.len_utf8(), c.to_string()));
        out.push_str(&token);
        at += len;
    }
    out
}

/// Whether `text` has the shape: `0` is a digit, all else itself.
fn shaped(text: &str, shape: &str) -> bool {
    let fits =
        |(found, wanted): (u8, u8)| if wanted == b'0' { found.is_ascii_digit() } else { found == wanted };
    text.len() >= shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

fn date(text: &str, _: Option<char>) -> Option<(usize, String)> {
    shaped(text, "0000-00-00").then(|| (10, "date".to_owned()))
}

fn time(text: &str, _: Option<char>) -> Option<(usize, String)> {
    shaped(text, "00:00:00").then(|| (8, "time".to_owned()))
}

fn windows(text: &str, _: Option<char>) -> Option<(usize, String)> {
    let bytes = text.as_bytes();
    let is_drive = bytes.len() > 3 && bytes[0].is_ascii_lowercase() && &bytes[1..3] == b":\\";
    is_drive.then(|| (scan::run(text, |c| !c.is_whitespace()), "path".to_owned()))
}

fn path(text: &str, _: Option<char>) -> Option<(usize, String)> {
    let long = scan::run(text.strip_prefix('/')?, |c| scan::is_word(c) || "/.-".contains(c));
    (long > 0).then(|| (long + 1, "path".to_owned()))
}

fn address(text: &str, _: Option<char>) -> Option<(usize, String)> {
    let digits = scan::run(text.strip_prefix("0x")?, |c| c.is_ascii_hexdigit());
    (digits > 0).then(|| (digits + 2, "addr".to_owned()))
}

fn line(text: &str, _: Option<char>) -> Option<(usize, String)> {
    let rest = text.strip_prefix("line")?;
    let gap = scan::run(rest, char::is_whitespace);
    let digits = scan::digits(&rest[gap..]);
    (gap > 0 && digits > 0).then(|| (4 + gap + digits, "line num".to_owned()))
}

fn place(text: &str, _: Option<char>) -> Option<(usize, String)> {
    let digits = scan::digits(text.strip_prefix(':')?);
    (digits > 0).then(|| (digits + 1, ":num".to_owned()))
}

fn session(text: &str, _: Option<char>) -> Option<(usize, String)> {
    let word = ["session", "run", "batch", "drain"].into_iter().find(|word| text.starts_with(*word))?;
    shaped(&text[word.len()..], "-00000000-000000").then(|| (word.len() + 16, format!("{word}-id")))
}

fn integer(text: &str, before: Option<char>) -> Option<(usize, String)> {
    let digits = scan::digits(text);
    let ends = text[digits..].chars().next().is_none_or(|c| !scan::is_word(c));
    (digits > 0 && ends && before.is_none_or(|c| !scan::is_word(c))).then(|| (digits, "num".to_owned()))
}
