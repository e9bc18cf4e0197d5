//! The base URL of a Supabase project or of any PostgREST server.
//!
//! Such a URL names a server and nothing else: it must hold no key, no password and no query, because it is
//! printed everywhere. Plain HTTP would send the key in the open, so it is taken for loopback hosts only.

use std::fmt;

use super::UrlError;

/// A PostgREST server by its base URL. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgrestUrl {
    /// `scheme://host[:port][/path]`, in lower case up to the path, without a slash or `/rest/v1` at the end.
    base: String,
    host: String,
    /// Whether the tables are known to be below `/rest/v1`.
    is_below_rest: bool,
}

/// Where Supabase's gateway keeps the REST API.
const REST: &str = "/rest/v1";

impl PostgrestUrl {
    /// `rest` is what follows the colon of `scheme`, which is `http` or `https`.
    pub(super) fn parse(scheme: &str, rest: &str) -> Result<Self, UrlError> {
        let bad = UrlError::Postgrest;
        let rest = rest.strip_prefix("//").ok_or(bad("no `//` after the scheme"))?;
        // Before anything that could be shown: credentials and queries are not shown at all.
        if rest.contains('@') {
            return Err(bad("it must not hold a user or a password; the key comes from the environment"));
        }
        if rest.contains(['?', '#']) {
            return Err(bad("it must not have a query or a fragment"));
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = authority_of(authority).ok_or(bad("its host or port is not valid"))?;
        if scheme == "http" && !is_loopback(&host) {
            return Err(bad(
                "plain http would send the key in the open; write https (http is for loopback hosts)",
            ));
        }
        let path = path_of(path).ok_or(bad("its path is not valid"))?;
        let parent = path.strip_suffix(REST);
        let is_below_rest = parent.is_some() || project_of(&host).is_some();
        let standard = if scheme == "http" { 80 } else { 443 };
        let port = port.filter(|port| *port != standard).map(|port| format!(":{port}")).unwrap_or_default();
        let base = format!("{scheme}://{host}{port}{}", parent.unwrap_or(&path));
        Ok(Self { base, host, is_below_rest })
    }

    /// The project of a `<ref>.supabase.co` host.
    pub fn project(&self) -> Option<&str> {
        project_of(&self.host)
    }

    /// Where the tables may be, most likely first: a Supabase project and a URL that ends in `/rest/v1` leave no
    /// choice; otherwise a gateway has them below `/rest/v1` and a bare PostgREST at the base.
    pub fn roots(&self) -> Vec<String> {
        let below = format!("{}{REST}", self.base);
        if self.is_below_rest { vec![below] } else { vec![below, self.base.clone()] }
    }
}

impl fmt::Display for PostgrestUrl {
    /// The base; equal for every spelling of one server.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// The host in lower case, with brackets around IPv6, and the port.
fn authority_of(authority: &str) -> Option<(String, Option<u16>)> {
    let after_bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[after_bracket..].split_once(':') {
        Some((rest, port)) => (&authority[..after_bracket + rest.len()], Some(port.parse().ok()?)),
        None => (authority, None),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_valid = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(is_name),
    };
    is_valid.then(|| (host.to_ascii_lowercase(), port))
}

/// The path with a slash before each part, none at the end.
fn path_of(path: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '/');
    let trimmed = path.trim_end_matches('/');
    let is_valid = trimmed.chars().all(is_plain)
        && (trimmed.is_empty() || trimmed.split('/').all(|part| !matches!(part, "" | "." | "..")));
    is_valid.then(|| if trimmed.is_empty() { String::new() } else { format!("/{trimmed}") })
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn project_of(host: &str) -> Option<&str> {
    host.strip_suffix(".supabase.co").filter(|project| !project.is_empty() && !project.contains('.'))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::DbUrl;
    use super::*;

    fn parse(text: &str) -> Result<PostgrestUrl, UrlError> {
        match DbUrl::parse(text, Path::new("/"))? {
            DbUrl::PostgRest(url) => Ok(url),
            other => panic!("{text} is {other}"),
        }
    }

    #[test]
    fn every_spelling_of_a_server_is_one_base() {
        for (text, base, roots) in [
            ("https://abc.supabase.co", "https://abc.supabase.co", 1),
            ("HTTPS://ABC.Supabase.co:443/", "https://abc.supabase.co", 1),
            ("https://abc.supabase.co/rest/v1/", "https://abc.supabase.co", 1),
            ("http://127.0.0.1:3000", "http://127.0.0.1:3000", 2),
            ("http://localhost:80//", "http://localhost", 2),
            ("http://[::1]:3000/rest/v1", "http://[::1]:3000", 1),
            ("https://db.example.com:8443/api/", "https://db.example.com:8443/api", 2),
            ("https://db.example.com/api/rest/v1", "https://db.example.com/api", 1),
        ] {
            let url = parse(text).unwrap();
            assert_eq!(url.to_string(), base, "{text}");
            assert_eq!(url.roots()[0], format!("{base}/rest/v1"), "{text}");
            assert_eq!(url.roots().len(), roots, "{text}");
        }
    }

    #[test]
    fn only_a_project_s_own_host_names_a_project() {
        let project = |text: &str| parse(text).unwrap().project().map(str::to_owned);
        assert_eq!(project("https://abc.supabase.co").as_deref(), Some("abc"));
        for other in ["https://a.b.supabase.co", "https://abc.supabase.co.example", "https://supabase.co"] {
            assert_eq!(project(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_not_a_base_is_refused_without_being_shown() {
        for (text, reason) in [
            ("https:abc.supabase.co", "no `//`"),
            ("https://user:hunter2@abc.supabase.co", "user or a password"),
            ("https://hunter2@abc.supabase.co", "user or a password"),
            ("https://abc.supabase.co/?apikey=hunter2", "query"),
            ("https://abc.supabase.co/#hunter2", "query"),
            ("http://abc.supabase.co", "plain http"),
            ("http://10.0.0.1:3000", "plain http"),
            ("http://localhost.example.com", "plain http"),
            ("https://", "host"),
            ("https://a b", "host"),
            ("https://host:99999", "host"),
            ("https://[::1", "host"),
            ("https://h/../x", "path"),
            ("https://h/a%20b", "path"),
            ("https://h/a//b", "path"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(reason) && !error.contains("hunter2"), "{text}: {error}");
        }
    }
}
