//! Quoted pieces: a value varies, a name identifies, a message is a text of its own.
//!
//! `no module named 'x'` is about x; `invalid literal: 'x'` is not. What stands before and behind the quotes decides.

use super::normalise::pass;
use super::rules::{Found, Rule, has_extension, path_token};
use super::scan::{self, Here};
use super::words;

/// A quote that does not close after so many bytes is none.
const BYTES_MAX: usize = 2048;
/// A message in a message in a message is a value.
const DEPTH_MAX: u8 = 3;

/// A quoted piece.
pub(super) fn quoted(here: &Here<'_>, known: &[&str], depth: u8) -> Option<Found> {
    let open = here.rest.chars().next()?;
    let close = match open {
        '\'' | '"' | '`' => open,
        '‘' | '‚' => '’',
        '“' | '„' => '”',
        '«' => '»',
        _ => return None,
    };
    let is_prefix = |out: &str| {
        let mut last = out.chars().rev();
        matches!(last.next(), Some('b' | 'u' | 'r' | 'f')) && last.next().is_none_or(|c| !scan::is_word(c))
    };
    // An apostrophe inside a word opens nothing.
    if open == '\'' && !here.starts_word() && !is_prefix(here.out) {
        return None;
    }
    let body = &here.rest[open.len_utf8()..];
    let end = closing(body, close)?;
    let content = &body[..end];
    let len = open.len_utf8() + end + close.len_utf8();
    let after = &here.rest[len..];
    let token = token(here, content, after, known, depth);
    Some(
        token
            .map_or_else(|| Found::new(len, Rule::Quoted, "<str>"), |token| Found { len, rule: None, token }),
    )
    .map(|found| named_rule(found, content))
}

/// A path in quotes is replaced by the rule for paths.
fn named_rule(found: Found, content: &str) -> Found {
    if found.rule.is_none() && is_path(content) { Found { rule: Some(Rule::Path), ..found } } else { found }
}

/// Where the quote closes. An apostrophe does not close before a letter, and a backslash takes the next character.
fn closing(body: &str, close: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if at > BYTES_MAX || c == '\n' {
            return None;
        }
        if c == close && !escaped {
            let next = body[at + c.len_utf8()..].chars().next();
            if close != '\'' || next.is_none_or(|c| !scan::is_word(c)) {
                return Some(at);
            }
        }
        escaped = c == '\\' && !escaped && close != '`';
    }
    None
}

/// What stands for a quoted piece that is more than a value.
fn token(here: &Here<'_>, content: &str, after: &str, known: &[&str], depth: u8) -> Option<String> {
    let trimmed = content.trim();
    let (word, gap) = here.last_word();
    if depth < DEPTH_MAX && is_message(here, word, gap, trimmed) {
        return Some(pass(trimmed, known, depth + 1).template).filter(|message| !message.is_empty());
    }
    if is_path(trimmed) {
        return Some(path_token(trimmed));
    }
    let is_key = after.trim_start().starts_with(':') && here.rest.starts_with('"');
    let next = after.trim_start();
    let next = next[..scan::run(next, char::is_alphabetic)].to_lowercase();
    let is_near = gap.len() <= 8 && gap.chars().all(|c| " :=,([{_-".contains(c));
    let is_named =
        is_key || (words::NAMING.contains(&word) && is_near) || words::NAMED.contains(&next.as_str());
    (is_name(trimmed) && (is_named || has_extension(trimmed)))
        .then(|| pass(trimmed, known, DEPTH_MAX).template)
}

/// `"message": "…"`, `ValueError('…')`.
fn is_message(here: &Here<'_>, word: &str, gap: &str, content: &str) -> bool {
    let is_said = words::MESSAGES.contains(&word) && gap.contains([':', '=']);
    let is_raised = here.before == Some('(')
        && ["error", "exception", "warning", "failure"].iter().any(|end| word.ends_with(end));
    (is_said || is_raised) && content.contains(' ')
}

/// Letters, digits and what joins them; begins with a letter.
fn is_name(content: &str) -> bool {
    content.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && content.chars().all(|c| scan::is_word(c) || ".-:".contains(c))
}

/// Whether all of it is one path.
fn is_path(content: &str) -> bool {
    let bytes = content.as_bytes();
    let is_rooted = ["/", "./", "../", "~/", r"\\", r".\"].iter().any(|start| content.starts_with(start))
        || (bytes.len() > 2
            && bytes[0].is_ascii_alphabetic()
            && bytes[1] == b':'
            && b"\\/".contains(&bytes[2]));
    let is_long = content.contains(['/', '\\']) && has_extension(content) && !content.contains("://");
    let fits = content.chars().all(|c| !c.is_control() && !"<>|\"*?;".contains(c));
    let has_name = content.contains(char::is_alphanumeric);
    has_name && fits && ((is_rooted && !content.starts_with("//")) || (is_long && !content.contains(' ')))
}
