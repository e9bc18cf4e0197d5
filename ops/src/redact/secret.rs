//! Passwords, keys and tokens: known by the name before them, or by the form that their issuer gave them.

pub(super) mod names;
mod value;

use super::{Found, Place, is_word_end};
use names::Class;

const TOKEN: &str = "[redacted-token]";
const SECRET: &str = "[redacted-secret]";
const KEY_BLOCK: &str = "[redacted-private-key]";
/// The end of a key block is looked for so far; the longest keys in use are shorter.
const BLOCK_MAX: usize = 16 * 1024;
/// How tokens begin, and how many signs must follow. Longer beginnings come before their own beginnings.
const PREFIXES: [(&str, usize); 41] = [
    ("sb_secret_", 6),
    ("sbp_", 32),
    ("ghp_", 10),
    ("gho_", 10),
    ("ghu_", 10),
    ("ghs_", 10),
    ("ghr_", 10),
    ("github_pat_", 10),
    ("glpat-", 8),
    ("gldt-", 16),
    ("glrt-", 16),
    ("sk-ant-", 8),
    ("sk-proj-", 8),
    ("sk-or-", 16),
    ("sk-", 20),
    ("sk_live_", 6),
    ("sk_test_", 6),
    ("rk_live_", 10),
    ("rk_test_", 10),
    ("whsec_", 16),
    ("xoxb-", 10),
    ("xoxa-", 10),
    ("xoxp-", 10),
    ("xoxr-", 10),
    ("xoxs-", 10),
    ("xapp-", 10),
    ("npm_", 30),
    ("pypi-", 40),
    ("hf_", 20),
    ("dop_v1_", 32),
    ("doo_v1_", 32),
    ("shpat_", 20),
    ("shpss_", 20),
    ("shpca_", 20),
    ("AGE-SECRET-KEY-1", 20),
    ("AIza", 20),
    ("ya29.", 20),
    ("EAACEdEose0cBA", 8),
    ("SG.", 20),
    ("lin_api_", 20),
    ("dckr_pat_", 20),
];
/// AWS: four letters and sixteen capitals or digits.
const AWS: [&str; 4] = ["AKIA", "ASIA", "AIDA", "AROA"];
const SLACK_HOOK: &str = "hooks.slack.com/services/";

/// A token of a known form, or the value behind a name that says it is secret.
pub(super) fn at_word(place: Place<'_>) -> Option<Found> {
    if !place.is_word_start() {
        return None;
    }
    token(place).or_else(|| bearer(place)).or_else(|| named(place))
}

fn is_token_sign(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'~' | b'+' | b'/' | b'=' | b'%')
}

/// Signs that all tokens are of.
fn token_length(text: &str) -> usize {
    let is_sign = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    text.bytes().position(|b| !is_sign(&b)).unwrap_or(text.len())
}

fn token(place: Place<'_>) -> Option<Found> {
    let rest = place.rest();
    let masked = |length: usize| Some(Found { start: place.at, end: place.at + length, mask: TOKEN });
    if rest.starts_with("eyJ") {
        return jwt(place);
    }
    for (prefix, least) in PREFIXES {
        let Some(behind) = rest.strip_prefix(prefix) else { continue };
        let dotted = matches!(prefix, "SG." | "ya29.");
        let mut length = token_length(behind);
        while dotted && behind[length..].starts_with('.') {
            length += 1 + token_length(&behind[length + 1..]);
        }
        // The shorter the beginning, the more it needs a digit to be no word.
        let is_sure = prefix.len() >= 5 || prefix.starts_with("gh");
        let has_digit = behind.as_bytes()[..length].iter().any(u8::is_ascii_digit);
        if length >= least && (is_sure || has_digit) {
            return masked(prefix.len() + length);
        }
    }
    if AWS.iter().any(|prefix| rest.starts_with(prefix)) {
        let length =
            rest.bytes().take(21).take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit()).count();
        if length == 20 && is_word_end(place.text, place.at + length) {
            return masked(length);
        }
    }
    if let Some(path) = rest.strip_prefix(SLACK_HOOK) {
        let path = path.bytes().take(200).take_while(|b| is_token_sign(*b)).count();
        let start = place.at + SLACK_HOOK.len();
        return (path >= 20).then_some(Found { start, end: start + path, mask: TOKEN });
    }
    None
}

/// A JSON Web Token: a header and a body that both begin as JSON objects do in Base64, and maybe a signature.
fn jwt(place: Place<'_>) -> Option<Found> {
    // Only at the beginning of the whole run of signs, so that a run is read once.
    if place.before() == Some('-') {
        return None;
    }
    let rest = place.rest();
    let header = token_length(rest);
    let body = rest[header..].strip_prefix(".eyJ")?;
    let mut length = header + 4 + token_length(body);
    if rest[length..].starts_with('.') {
        length += 1 + token_length(&rest[length + 1..]);
    }
    (length >= 24).then_some(Found { start: place.at, end: place.at + length, mask: TOKEN })
}

/// `Bearer` and what follows, unless it is a word of a sentence.
fn bearer(place: Place<'_>) -> Option<Found> {
    let rest = place.rest();
    let word = rest.get(..7).filter(|word| word.eq_ignore_ascii_case("bearer "))?;
    let behind = rest[word.len()..].trim_start_matches(' ');
    let length = behind.bytes().position(|b| !is_token_sign(b)).unwrap_or(behind.len());
    let token = behind[..length].trim_end_matches('.');
    let is_odd = |b: u8| b.is_ascii_digit() || b"._~+/=".contains(&b);
    let is_token = token.len() >= 20 || (token.len() >= 8 && token.bytes().any(is_odd));
    let start = place.text.len() - behind.len();
    is_token.then_some(Found { start, end: start + token.len(), mask: TOKEN })
}

/// The value behind a name.
fn named(place: Place<'_>) -> Option<Found> {
    let end = names::end(place.text, place.at);
    let class = names::class(place.text, place.at, end)?;
    let is_flag = place.text[place.done..place.at].ends_with('-');
    let name = names::plain(&place.text[place.at..end]);
    let is_word = matches!(name.as_str(), "token" | "secret" | "credential" | "credentials");
    let (start, end) = value::behind(place.text, end, value::Name { class, is_flag, is_word })?;
    let mask = if class == Class::Authorization { TOKEN } else { SECRET };
    Some(Found { start, end, mask })
}

/// A private key in its armour, whole, or cut off where the text ends.
pub(super) fn key_block(place: Place<'_>) -> Option<Found> {
    let rest = place.rest();
    let label = rest.strip_prefix("-----BEGIN ")?;
    let label_end = label.bytes().take(64).position(|b| b == b'-')?;
    if !label[..label_end].contains("PRIVATE KEY") || !label[label_end..].starts_with("-----") {
        return None;
    }
    let head = rest.len() - label.len() + label_end + 5;
    let mask = |length: usize| Found { start: place.at, end: place.at + length, mask: KEY_BLOCK };
    let window = &rest.as_bytes()[head..rest.len().min(head + BLOCK_MAX)];
    if let Some(foot) = memchr::memmem::find(window, b"-----END ") {
        let behind = head + foot + 9;
        let close = rest.as_bytes()[behind..].iter().take(64).position(|b| *b == b'-');
        let dashes = |at: usize| rest.as_bytes()[at..].iter().take(5).take_while(|b| **b == b'-').count();
        return Some(mask(close.map_or(behind, |close| behind + close + dashes(behind + close))));
    }
    // Without its end: the lines of Base64 that are there.
    let mut length = head;
    loop {
        let behind = &rest[length..];
        let gap = behind.bytes().take(8).take_while(|b| b" \t\r\n\\rn".contains(b)).count();
        let line =
            behind[gap..].bytes().take_while(|b| b.is_ascii_alphanumeric() || b"+/=".contains(b)).count();
        if line < 16 {
            return Some(mask(length));
        }
        length += gap + line;
    }
}
