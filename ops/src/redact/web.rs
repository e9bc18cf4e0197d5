//! E-mail addresses, and user names with passwords inside URLs.

use super::{Found, MASK, Place};

const EMAIL: &str = "[redacted-email]";
const CREDENTIALS: &str = "[redacted-credentials]";
/// More bytes before the `@` are no name.
const LOCAL_MAX: usize = 320;
/// A password with a slash in it is looked for so far.
const AUTHORITY_MAX: usize = 512;
/// What stands behind the last dot of files and services, but never of an address.
const NOT_DOMAINS: [&str; 17] = [
    "png", "jpg", "jpeg", "gif", "webp", "svg", "tgz", "gz", "whl", "jar", "js", "css", "json", "service",
    "socket", "timer", "mount",
];

/// An address around the `@` (or `%40`) at this place.
pub(super) fn email(place: Place<'_>) -> Option<Found> {
    let sign = if place.rest().starts_with('@') { "@" } else { "%40" };
    let after = place.rest().strip_prefix(sign)?;
    let start = local_start(place)?;
    let end = place.at + sign.len() + domain_length(after)?;
    let is_remote_user = &place.text[start..place.at] == "git";
    (!is_remote_user).then_some(Found { start, end, mask: EMAIL })
}

/// Where the part before the `@` begins. It is looked for so far back as names reach.
fn local_start(place: Place<'_>) -> Option<usize> {
    let from = place.text.floor_char_boundary(place.at.saturating_sub(LOCAL_MAX).max(place.done));
    let before = &place.text[from..place.at];
    if let Some(inside) = before.strip_suffix('"') {
        let start = inside.rfind(['"', '@', '\n'])?;
        let is_quoted = inside[start..].starts_with('"') && inside.len() - start > 1;
        return is_quoted.then_some(from + start);
    }
    let is_local = |c: char| c.is_alphanumeric() || ".!#$&'*+/=?^_`{|}~-%".contains(c) || is_mark(c);
    let part = before.rsplit(|c| !is_local(c)).next()?;
    // A path, a key or a quote before an address does not belong to it.
    let part = part.rsplit(['/', '=', '\'', '`', '?', '&', '|', '{', '}']).next()?;
    let part = part.trim_start_matches(['.', '!', '#', '$', '*', '^', '~', '-', '%']);
    let is_text = part.chars().any(char::is_alphanumeric) && !part.ends_with('.');
    is_text.then_some(place.at - part.len())
}

/// Combining marks and joiners, which are part of words in many scripts.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{900}'..='\u{97f}' | '\u{200c}' | '\u{200d}')
}

/// The length of the domain that `text` begins with: labels and dots, the last label of letters.
fn domain_length(text: &str) -> Option<usize> {
    if text.starts_with('[') && !text.starts_with(MASK) {
        let end = text.bytes().take(64).position(|b| b == b']')?;
        let inside = text[1..end].trim_start_matches("IPv6:");
        let is_address =
            inside.len() > 2 && inside.bytes().all(|b| b.is_ascii_hexdigit() || b == b'.' || b == b':');
        return is_address.then_some(end + 1);
    }
    let is_domain = |c: char| c.is_alphanumeric() || c == '.' || c == '-' || is_mark(c);
    let run = &text[..text.find(|c| !is_domain(c)).unwrap_or(text.len())];
    let mut run = run.trim_end_matches(['.', '-']);
    // What follows the last label that can end a domain may be the next sentence.
    loop {
        let (rest, last) = run.rsplit_once('.')?;
        if rest.is_empty() || rest.ends_with('.') || rest.starts_with(['.', '-']) {
            return None;
        }
        if is_top_level(last) {
            let is_file = NOT_DOMAINS.contains(&last.to_ascii_lowercase().as_str());
            return (!is_file).then_some(run.len());
        }
        run = rest;
    }
}

fn is_top_level(label: &str) -> bool {
    let is_letters = label.chars().count() >= 2 && label.chars().all(|c| c.is_alphabetic() || is_mark(c));
    is_letters || label.to_ascii_lowercase().starts_with("xn--")
}

/// `user:password@` behind the `://` at this place.
pub(super) fn credentials(place: Place<'_>) -> Option<Found> {
    let rest = place.rest().strip_prefix("://")?;
    if !place.before().is_some_and(|c| c.is_ascii_alphanumeric()) || rest.starts_with(MASK) {
        return None;
    }
    let start = place.at + 3;
    let is_end = |b: u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'<' | b'>' | b'`');
    let whole = rest.bytes().take(AUTHORITY_MAX).position(is_end).unwrap_or(rest.len().min(AUTHORITY_MAX));
    let whole = &rest.as_bytes()[..whole];
    let authority = whole.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(whole.len());
    let at_sign = whole[..authority].iter().rposition(|b| *b == b'@').or_else(|| {
        // `user:pa/ss@host`: what follows the colon is no port, so it is not the end of the authority yet.
        let colon = whole[..authority].iter().position(|b| *b == b':')?;
        let port = &whole[colon + 1..authority];
        let is_port = port.iter().all(u8::is_ascii_digit) || port.ends_with(b"]");
        if is_port { None } else { whole.iter().rposition(|b| *b == b'@') }
    })?;
    let colon = whole[..at_sign].iter().position(|b| *b == b':')?;
    (colon + 1 < at_sign).then_some(Found { start, end: start + at_sign, mask: CREDENTIALS })
}
