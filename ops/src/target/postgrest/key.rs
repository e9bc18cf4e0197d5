//! Which kind of key this is, decided before the first request and without asking anybody.
//!
//! A wrong key does not fail at the server: an anonymous one reads every table as empty, and a token without a role
//! is anonymous. The signature cannot be checked here, so this keeps out the wrong key, not a forged one. Nothing
//! in this file may show more than the first six characters of a key.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::clock::Stamp;
use crate::guard::Refusal;
use crate::url::PostgrestUrl;

/// A key that may do everything its project allows, and how it is sent.
pub struct ApiKey {
    secret: SecretString,
    is_token: bool,
    wanted: For,
    project: Option<String>,
}

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    Everything,
    Public,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl ApiKey {
    /// Takes `key` if it is a service role token of this project that has not expired at `now`, or a secret key.
    /// White space around it is dropped.
    pub fn check(key: &SecretString, url: &PostgrestUrl, now: Stamp) -> Result<Self, Refusal> {
        Self::of(key, url, now, For::Everything)
    }

    /// Takes `key` if it is one that browsers have: for seeing what the public sees.
    pub fn check_public(key: &SecretString, url: &PostgrestUrl, now: Stamp) -> Result<Self, Refusal> {
        Self::of(key, url, now, For::Public)
    }

    fn of(key: &SecretString, url: &PostgrestUrl, now: Stamp, wanted: For) -> Result<Self, Refusal> {
        let text = key.expose_secret().trim();
        let refuse = |found: Unfit| Err(found.refusal(text, url, wanted));
        let project = match text {
            "" => return refuse(Unfit::Empty),
            _ if text.starts_with("sb_") || text.starts_with("sbp_") => {
                if let Err(unfit) = opaque(text, wanted) {
                    return refuse(unfit);
                }
                None
            }
            _ => match token(text, url, now, wanted) {
                Ok(project) => project,
                Err(unfit) => return refuse(unfit),
            },
        };
        let is_token = !text.starts_with("sb_");
        Ok(Self { secret: SecretString::from(text), is_token, wanted, project })
    }

    /// `service role token`, `secret key`, `anonymous token` or `publishable key`.
    pub fn kind(&self) -> &'static str {
        match (self.wanted, self.is_token) {
            (For::Everything, true) => "service role token",
            (For::Everything, false) => "secret key",
            (For::Public, true) => "anonymous token",
            (For::Public, false) => "publishable key",
        }
    }

    /// The project that a token names.
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// The key itself, for the headers of a request only.
    pub(super) fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// Whether it goes into `Authorization` too. The opaque keys are no tokens and must not.
    pub(super) fn is_token(&self) -> bool {
        self.is_token
    }
}

/// Why a key is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unfit {
    Empty,
    Malformed(&'static str),
    Publishable,
    Secret,
    Personal,
    Anonymous,
    User,
    NoRole,
    Role,
    Expired(Stamp),
    OtherProject(String),
}

impl Unfit {
    fn refusal(&self, key: &str, url: &PostgrestUrl, wanted: For) -> Refusal {
        let what = match self {
            Self::Empty => "there is no API key",
            Self::Malformed(_) => "the API key is not one that Supabase or PostgREST knows",
            Self::Publishable => "the API key is a publishable one, which browsers have",
            Self::Secret => {
                "the API key sees everything: with it nothing can be said of what the public sees"
            }
            Self::Personal => "the API key is a personal access token, which is for the management API",
            Self::Anonymous => "the API key is the anonymous one: it may see no rows where there are some",
            Self::User => "the API key is a signed-in user's: it sees that user's rows only",
            Self::NoRole => "the API key names no role, so the server would take it for an anonymous one",
            Self::Role => "the API key is for a role that is not known to see every row",
            Self::Expired(_) => "the API key has expired",
            Self::OtherProject(_) => "the API key belongs to another project",
        };
        let found = match self {
            Self::Empty => "nothing".to_owned(),
            Self::Malformed(why) => format!("{}, {why}", shown(key)),
            Self::Expired(at) => format!("{}, which expired at {at}", shown(key)),
            Self::OtherProject(project) => format!("{} of the project `{project}`", shown(key)),
            _ => shown(key),
        };
        let expected = match self {
            Self::OtherProject(_) => format!("a key of {url}"),
            Self::Expired(_) => "a key that is valid now".to_owned(),
            _ if wanted == For::Public => {
                "a publishable key (sb_publishable_…) or an anonymous token".to_owned()
            }
            _ => "a secret key (sb_secret_…) or a token of the service role".to_owned(),
        };
        Refusal::new(what, expected, found).next(match wanted {
            For::Everything => "put the project's secret key into SUPABASE_SERVICE_ROLE_KEY or SUPABASE_KEY",
            For::Public => "put the project's publishable key into SUPABASE_ANON_KEY",
        })
    }
}

/// The start of a key, enough to tell two apart; nothing of a text so short that it may be a password.
fn shown(key: &str) -> String {
    let length = key.chars().count();
    if length < 40 {
        return format!("a text of {length} characters");
    }
    format!("`{}…`", key.chars().take(6).collect::<String>())
}

/// `sb_secret_` and `sb_publishable_`, 22 characters, `_`, and a checksum of 8, which is not checked: how it is made is not
/// documented for hosted projects.
fn opaque(key: &str, wanted: For) -> Result<(), Unfit> {
    if key.starts_with("sbp_") {
        return Err(Unfit::Personal);
    }
    let (secret, publishable) = (key.strip_prefix("sb_secret_"), key.strip_prefix("sb_publishable_"));
    let rest = match (wanted, secret, publishable) {
        (For::Everything, None, Some(_)) => return Err(Unfit::Publishable),
        (For::Public, Some(_), None) => return Err(Unfit::Secret),
        (_, secret, publishable) => secret.or(publishable),
    };
    let rest = rest.ok_or(Unfit::Malformed("of an unknown kind `sb_`"))?;
    let is_base64 = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    let is_whole = rest.len() == 31 && rest.bytes().all(is_base64) && rest.as_bytes()[22] == b'_';
    if is_whole { Ok(()) } else { Err(Unfit::Malformed("cut or longer than a secret key")) }
}

#[derive(Deserialize)]
struct Claims {
    role: Option<String>,
    exp: Option<f64>,
    #[serde(rename = "ref")]
    project: Option<String>,
}

/// The project that the token names, if it may do what is needed here.
fn token(key: &str, url: &PostgrestUrl, now: Stamp, wanted: For) -> Result<Option<String>, Unfit> {
    let parts: Vec<&str> = key.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        return Err(Unfit::Malformed("which has no three parts with dots between"));
    };
    let decode = |part| base64url(part).ok_or(Unfit::Malformed("whose parts are not base64url"));
    let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
    let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&header).is_ok();
    if !is_object || signature.is_empty() {
        return Err(Unfit::Malformed("which is no signed token"));
    }
    let claims: Claims =
        serde_json::from_slice(&payload).map_err(|_| Unfit::Malformed("whose claims cannot be read"))?;
    match (claims.role.as_deref(), wanted) {
        (Some("service_role"), For::Everything) | (Some("anon"), For::Public) => {}
        (Some("service_role"), For::Public) => return Err(Unfit::Secret),
        (Some("anon"), For::Everything) => return Err(Unfit::Anonymous),
        (Some("authenticated"), _) => return Err(Unfit::User),
        (Some(_), _) => return Err(Unfit::Role),
        (None, _) => return Err(Unfit::NoRole),
    }
    if let Some(at) = claims.exp.and_then(stamp).filter(|at| *at <= now) {
        return Err(Unfit::Expired(at));
    }
    match (url.project(), &claims.project) {
        (Some(host), Some(project)) if host != project => Err(Unfit::OtherProject(shown_project(project))),
        _ => Ok(claims.project),
    }
}

/// Seconds since 1970, which may have a fraction. What lies outside of representable time lies in the future.
fn stamp(seconds: f64) -> Option<Stamp> {
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates, and from_unix checks the range")]
    let whole = seconds.floor() as i64;
    Stamp::from_unix(whole).or_else(|| (seconds < 0.0).then(|| Stamp::from_unix(0)).flatten())
}

/// A project's name is public, but a forged token could hold anything.
fn shown_project(project: &str) -> String {
    project.chars().filter(char::is_ascii_alphanumeric).take(20).collect()
}

/// The bytes of unpadded base64url.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'-' => Some(62),
        b'_' => Some(63),
        _ => None,
    };
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for group in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for &c in group {
            bits = bits << 6 | u32::from(digit(c)?);
        }
        bits <<= 6 * (4 - group.len());
        let [_, a, b, c] = bits.to_be_bytes();
        match group.len() {
            4 => bytes.extend([a, b, c]),
            3 => bytes.extend([a, b]),
            2 => bytes.push(a),
            _ => return None,
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::url::DbUrl;

    const NOW: &str = "2026-06-01T00:00:00Z";

    fn url(text: &str) -> PostgrestUrl {
        match DbUrl::parse(text, Path::new("/")).unwrap() {
            DbUrl::PostgRest(url) => url,
            other => panic!("{other}"),
        }
    }

    fn encode(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let mut wide = [0; 4];
            wide[1..=group.len()].copy_from_slice(group);
            let bits = u32::from_be_bytes(wide);
            let digits = (0..4).map(|i| char::from(DIGITS[(bits >> (18 - 6 * i) & 63) as usize]));
            text.extend(digits.take(group.len() + 1));
        }
        text
    }

    fn jwt(claims: &str) -> String {
        let header = encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        format!("{header}.{}.{}", encode(claims.as_bytes()), encode(&[0xa7; 32]))
    }

    fn check(key: &str, base: &str) -> Result<ApiKey, Refusal> {
        ApiKey::check(&SecretString::from(key), &url(base), Stamp::parse(NOW).unwrap())
    }

    const SECRET: &str = "sb_secret_abcdefghijklmnopqrstuv_01234567";

    #[test]
    fn keys_that_see_every_row_are_taken() {
        let hosted = "https://abcdefghijklmnopqrst.supabase.co";
        let local = "http://127.0.0.1:3000";
        let full =
            jwt(r#"{"iss":"supabase","ref":"abcdefghijklmnopqrst","role":"service_role","exp":4000000000}"#);
        for (key, base, kind) in [
            (full.clone(), hosted, "service role token"),
            (format!(" {full}\n"), hosted, "service role token"),
            (full, local, "service role token"),
            (jwt(r#"{"role":"service_role","exp":4000000000.5}"#), hosted, "service role token"),
            (jwt(r#"{"role":"service_role"}"#), local, "service role token"),
            (jwt(r#"{"role":"service_role","exp":1e300}"#), local, "service role token"),
            (SECRET.to_owned(), hosted, "secret key"),
        ] {
            let taken = check(&key, base).unwrap();
            assert_eq!((taken.kind(), taken.expose()), (kind, key.trim()));
            assert_eq!(taken.is_token(), kind == "service role token");
            assert!(!format!("{taken:?}").contains(&key.trim()[6..]), "{taken:?}");
        }
    }

    #[test]
    fn every_other_key_is_refused_by_its_kind_and_not_shown() {
        let hosted = "https://abcdefghijklmnopqrst.supabase.co";
        let service = |more: &str| jwt(&format!(r#"{{"role":"service_role"{more}}}"#));
        let whole = service("");
        let cases = [
            (String::new(), "there is no API key"),
            ("  \n".to_owned(), "there is no API key"),
            (jwt(r#"{"role":"anon","exp":4000000000}"#), "anonymous one: it may see no rows"),
            (jwt(r#"{"role":"authenticated","exp":4000000000}"#), "a signed-in user's"),
            (jwt(r#"{"exp":4000000000}"#), "names no role"),
            (jwt(r#"{"role":null}"#), "names no role"),
            (jwt(r#"{"role":"postgres"}"#), "a role that is not known"),
            (jwt(r#"{"role":"SERVICE_ROLE"}"#), "a role that is not known"),
            (service(r#","exp":1000000000"#), "expired at 2001-09-09T01:46:40Z"),
            (service(r#","exp":1780272000"#), "expired at 2026-06-01T00:00:00Z"),
            (service(r#","exp":-1e300"#), "expired at 1970-01-01"),
            (service(r#","ref":"zzzzzzzzzzzzzzzzzzzz""#), "belongs to another project"),
            (service(r#","exp":"tomorrow""#), "claims cannot be read"),
            (jwt("[]"), "claims cannot be read"),
            (jwt("not json at all, but long enough to be a key"), "claims cannot be read"),
            (whole[..whole.rfind('.').unwrap()].to_owned(), "no three parts"),
            (whole[..=whole.rfind('.').unwrap()].to_owned(), "no signed token"),
            (format!("{whole}=="), "not base64url"),
            (format!("Bearer {whole}"), "not base64url"),
            (format!("x.{}", &whole[whole.find('.').unwrap() + 1..]), "not base64url"),
            ("correct-horse-battery".to_owned(), "no three parts"),
            ("sb_publishable_abcdefghijklmnopqrstuv_01234567".to_owned(), "a publishable one"),
            ("sbp_0123456789abcdef0123456789abcdef01234567".to_owned(), "management API"),
            (SECRET[..SECRET.len() - 1].to_owned(), "cut or longer"),
            (format!("{SECRET}0"), "cut or longer"),
            (SECRET.replace("uv_0", "uv.0"), "cut or longer"),
            ("sb_temporary_abcdefghijklmnopqrstuv_01234567".to_owned(), "of an unknown kind"),
        ];
        for (key, reason) in cases {
            let refusal = check(&key, hosted).unwrap_err();
            let text = format!("{refusal} {refusal:?}");
            assert!(text.contains(reason), "{key}: {text}");
            let is_shown = |(at, _): (usize, char)| key.get(at..at + 7).is_some_and(|run| text.contains(run));
            let runs: Vec<_> = key.trim().char_indices().filter(|c| is_shown(*c)).collect();
            // The words of the text itself may be part of a kind's public prefix.
            let public = ["sb_secret_", "sb_publishable_", "Bearer "].iter().any(|p| key.starts_with(p));
            assert!(runs.is_empty() || public && runs.len() <= 15, "{key}: {text}");
        }
    }
}
