//! The edge functions of a Supabase project, below `/functions/v1` of the same base URL.
//!
//! One request a call, never repeated here, no redirects, no proxies: the key goes to the server that was named. Of an
//! answer only status, `Retry-After` and a message are looked at; a success's body is read to its end, because a
//! success that is cut is none.

use std::time::Duration;

use reqwest::blocking::Client;
use reqwest::header::{HeaderMap, HeaderValue};

use super::http::{PostgrestOptions, innermost, tls};
use super::key::ApiKey;
use crate::redact;
use crate::target::TargetError;
use crate::target::calls::{Functions, Lost, Reply};
use crate::text::one_line;
use crate::url::PostgrestUrl;

/// Characters of a message that are kept.
const MESSAGE: usize = 200;

/// The functions of one project.
pub struct EdgeFunctions {
    client: Client,
    root: String,
    headers: HeaderMap,
}

impl std::fmt::Debug for EdgeFunctions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EdgeFunctions").field("root", &self.root).finish_non_exhaustive()
    }
}

impl EdgeFunctions {
    /// Prepares calls below `url`; sends nothing.
    pub fn new(url: &PostgrestUrl, key: &ApiKey, options: &PostgrestOptions) -> Result<Self, TargetError> {
        let failed = |why: String| TargetError::failed("prepare calls of edge functions", why);
        let root = format!("{url}/functions/v1");
        let is_secure = root.starts_with("https:");
        let client = Client::builder()
            .user_agent(&options.user_agent)
            .connect_timeout(options.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .https_only(is_secure)
            .tls_backend_preconfigured(tls(is_secure).map_err(failed)?)
            .build()
            .map_err(|e| failed(innermost(&e)))?;
        let mut headers = HeaderMap::new();
        let secret = |text: &str| {
            let mut value =
                HeaderValue::from_str(text).map_err(|_| failed("the key is no header".to_owned()))?;
            value.set_sensitive(true);
            Ok::<_, TargetError>(value)
        };
        headers.insert("apikey", secret(key.expose())?);
        if key.is_token() {
            headers.insert("authorization", secret(&format!("Bearer {}", key.expose()))?);
        }
        Ok(Self { client, root, headers })
    }
}

impl Functions for EdgeFunctions {
    fn call(&self, name: &str, body: &str, timeout: Duration) -> Reply {
        let request = self
            .client
            .post(format!("{}/{name}", self.root))
            .timeout(timeout)
            .headers(self.headers.clone())
            .header("content-type", "application/json")
            .body(body.to_owned());
        let response = match request.send() {
            Ok(response) => response,
            Err(error) => return Reply::lost(lost(&error)),
        };
        let status = response.status();
        let retry_after = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let retry_after = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        let body = match response.bytes() {
            Ok(body) => body,
            Err(error) => return Reply { status: None, ..Reply::lost(lost(&error)) },
        };
        let message = (!status.is_success()).then(|| message_of(&body)).flatten();
        Reply { status: Some(status.as_u16()), lost: None, retry_after, message }
    }
}

fn lost(error: &reqwest::Error) -> Lost {
    if error.is_connect() || error.is_builder() {
        Lost::NotSent
    } else if error.is_timeout() {
        Lost::TimedOut
    } else {
        Lost::CutOff
    }
}

/// The `message` or `error` of an answer in JSON; nothing of any other.
fn message_of(body: &[u8]) -> Option<String> {
    let said: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = ["message", "error", "msg"].iter().find_map(|name| match &said[*name] {
        serde_json::Value::String(text) => Some(text.as_str()),
        other => other.get("message").and_then(|inner| inner.as_str()),
    })?;
    Some(redact::snippet(&one_line(text), MESSAGE)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_found_and_masked() {
        assert_eq!(message_of(br#"{"error":"no answers"}"#).as_deref(), Some("no answers"));
        assert_eq!(message_of(br#"{"error":{"message":"a\nb"}}"#).as_deref(), Some("a b"));
        let masked = message_of(br#"{"message":"unknown person ann@example.org"}"#).unwrap();
        assert!(!masked.contains("ann@example.org"), "{masked}");
        assert_eq!(message_of(b"<html>Bad Gateway</html>"), None);
        assert_eq!(message_of(b"{}"), None);
    }
}
