//! The rules, in the order in which they are tried, and the plain ones among them.
//!
//! A rule looks from one place on and takes a piece or nothing. A piece that a rule wants kept as it is has no rule
//! in its finding: it is no parameter.

mod number;
mod path;
mod time;

use serde::{Deserialize, Serialize};

pub(super) use path::{has_extension, token as path_token};

use super::scan::{self, Here};

/// What a replaced piece was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// An id of the attempt itself.
    KnownId,
    /// A quoted value.
    Quoted,
    /// An address with a scheme, or a host with a path.
    Url,
    /// A mail address.
    Email,
    /// A UUID.
    Uuid,
    /// A date, a time of day, or both.
    Time,
    /// A span of time.
    Duration,
    /// An amount of bytes.
    Size,
    /// An IPv4 address.
    Ip,
    /// A version with dots.
    Version,
    /// A path; its last part is kept.
    Path,
    /// `0x` and hex digits.
    Hex,
    /// A hash.
    Hash,
    /// Letters and digits at random.
    Id,
    /// The number of a line or column.
    Line,
    /// Any other number.
    Number,
}

impl Rule {
    /// The word that reports use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::KnownId => "known id",
            Self::Quoted => "quoted value",
            Self::Url => "URL",
            Self::Email => "mail address",
            Self::Uuid => "UUID",
            Self::Time => "time",
            Self::Duration => "duration",
            Self::Size => "size",
            Self::Ip => "IP address",
            Self::Version => "version",
            Self::Path => "path",
            Self::Hex => "hex",
            Self::Hash => "hash",
            Self::Id => "id",
            Self::Line => "line number",
            Self::Number => "number",
        }
    }
}

/// What a rule takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Bytes, more than 0.
    pub(super) len: usize,
    /// `None`: the piece is kept.
    pub(super) rule: Option<Rule>,
    /// What goes into the template.
    pub(super) token: String,
}

impl Found {
    pub(super) fn new(len: usize, rule: Rule, token: impl Into<String>) -> Self {
        Self { len, rule: Some(rule), token: token.into() }
    }

    /// Keeps a piece as it is, in lower case.
    pub(super) fn kept(piece: &str) -> Self {
        Self { len: piece.len(), rule: None, token: piece.to_lowercase() }
    }
}

/// The tokens that stand for something in a template.
const TOKENS: &[&str] = &[
    "<id>",
    "<str>",
    "<url>",
    "<email>",
    "<uuid>",
    "<time>",
    "<duration>",
    "<size>",
    "<ip>",
    "<version>",
    "<path>",
    "<hex>",
    "<hash>",
    "<num>",
];

/// A token of a template stays.
pub(super) fn placeholder(here: &Here<'_>) -> Option<Found> {
    let token = TOKENS.iter().find(|token| scan::starts_with(here.rest, token))?;
    Some(Found::kept(&here.rest[..token.len()]))
}

/// The first rule that fits.
pub(super) fn find(here: &Here<'_>) -> Option<Found> {
    const RULES: &[fn(&Here<'_>) -> Option<Found>] = &[
        url,
        email,
        uuid,
        time::stamp,
        number::ip,
        path::windows,
        path::absolute,
        hex,
        path::relative,
        number::version,
        number::measured,
        segment,
    ];
    RULES.iter().find_map(|rule| rule(here))
}

fn url(here: &Here<'_>) -> Option<Found> {
    let is_first = here.rest.starts_with(|c: char| c.is_ascii_alphabetic());
    if !here.starts_segment() || !is_first {
        return None;
    }
    let scheme = scan::run(here.rest, |c| c.is_ascii_alphanumeric() || "+.-".contains(c));
    let after = here.rest[scheme..].strip_prefix("://")?;
    let body = scan::run(after, |c| !c.is_whitespace() && !"\"'`<>()[]{}|,;".contains(c));
    let body = after[..body].trim_end_matches(['.', ':', '!', '?']).len();
    Some(Found::new(scheme + 3 + body, Rule::Url, "<url>"))
}

fn email(here: &Here<'_>) -> Option<Found> {
    if !here.starts_word() {
        return None;
    }
    let local = scan::run(here.rest, |c| c.is_ascii_alphanumeric() || "._%+-".contains(c));
    let host = here.rest[local..].strip_prefix('@').filter(|_| local > 0)?;
    let long = scan::run(host, |c| c.is_ascii_alphanumeric() || ".-".contains(c));
    let host = host[..long].trim_end_matches(['.', '-']);
    let has_domain = host
        .rsplit_once('.')
        .is_some_and(|(_, end)| end.len() >= 2 && end.chars().all(|c| c.is_ascii_alphabetic()));
    has_domain.then(|| Found::new(local + 1 + host.len(), Rule::Email, "<email>"))
}

fn uuid(here: &Here<'_>) -> Option<Found> {
    if !here.starts_segment() {
        return None;
    }
    let mut at = 0;
    for (index, length) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            here.rest[at..].starts_with('-').then_some(())?;
            at += 1;
        }
        (scan::run(&here.rest[at..], |c| c.is_ascii_hexdigit()) == length).then_some(())?;
        at += length;
    }
    ends_segment(here.rest, at).then(|| Found::new(at, Rule::Uuid, "<uuid>"))
}

fn hex(here: &Here<'_>) -> Option<Found> {
    if !here.starts_segment() || !scan::starts_with(here.rest, "0x") {
        return None;
    }
    let digits = scan::run(&here.rest[2..], |c| c.is_ascii_hexdigit() || c == '_');
    (digits > 0 && ends_segment(here.rest, 2 + digits)).then(|| Found::new(2 + digits, Rule::Hex, "<hex>"))
}

/// A run of letters and digits: a hash, an id, or a word that stays.
fn segment(here: &Here<'_>) -> Option<Found> {
    let long = scan::run(here.rest, char::is_alphanumeric);
    if long == 0 || !here.starts_segment() {
        return None;
    }
    let piece = &here.rest[..long];
    Some(if is_hash(piece) {
        Found::new(long, Rule::Hash, "<hash>")
    } else if is_id(piece) {
        Found::new(long, Rule::Id, "<id>")
    } else {
        Found::kept(piece)
    })
}

/// Hex digits that no word has: long enough, and digits and letters mixed, the more the shorter.
fn is_hash(piece: &str) -> bool {
    if !piece.bytes().all(|b| b.is_ascii_hexdigit()) {
        return false;
    }
    match piece.len() {
        32 | 40 | 56 | 64 | 96 | 128 => true,
        7..=11 => scan::transitions(piece) >= 2,
        12.. => scan::transitions(piece) >= 1,
        _ => false,
    }
}

/// Letters and digits that change places too often for a word.
fn is_id(piece: &str) -> bool {
    piece.is_ascii() && piece.len() >= 10 && scan::transitions(piece) >= 3
}

/// Whether neither a letter nor a digit follows.
fn ends_segment(text: &str, at: usize) -> bool {
    text[at..].chars().next().is_none_or(|c| !c.is_alphanumeric())
}
