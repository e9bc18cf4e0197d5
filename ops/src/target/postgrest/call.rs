//! Calling a function of the database as the public does: with a key that browsers have, and with GET, which the server
//! runs in a transaction that cannot write.
//!
//! What a function says is told apart from that nothing was heard: only an answer can be a refusal. No part of an answer
//! is kept but whether there was data in it.

use super::fault::{Class, Fault};
use super::http::{Http, PostgrestOptions, Request};
use super::key::ApiKey;
use super::query;
use crate::target::TargetError;
use crate::url::PostgrestUrl;

/// What a function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// At least one value that is not null.
    Data,
    /// No row, or nothing but nulls.
    Nothing,
    /// An error of the database or of the function, by its code.
    Denied(String),
    /// There is no function that takes such parameters.
    Unknown,
}

/// Someone of the public.
pub struct Caller {
    roots: Vec<Http>,
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").finish_non_exhaustive()
    }
}

impl Caller {
    /// Prepares calls; sends nothing. The key is one of [`ApiKey::check_public`].
    pub fn new(url: &PostgrestUrl, key: &ApiKey, options: &PostgrestOptions) -> Result<Self, TargetError> {
        let roots: Result<_, Fault> =
            url.roots().into_iter().map(|root| Http::new(root, key, options)).collect();
        Ok(Self { roots: roots.map_err(|fault| fault.during(&format!("call {url}")))? })
    }

    /// Calls a function. The error says why there was no answer to rely on.
    pub fn call(&self, function: &str, parameters: &[(&str, &str)]) -> Result<Called, String> {
        let path = format!("/rpc{}", query::path_of(function));
        let query: String = parameters.iter().map(|(name, value)| query::parameter(name, value)).collect();
        let mut missing = Fault::failed("there is no address to try");
        for http in &self.roots {
            let request = Request { path: path.clone(), query: query.clone(), ..Request::default() };
            match http.read(&request) {
                Ok(answer) => return told(&answer.body),
                // A gateway that has no API there, or an API without a gateway.
                Err(fault) if fault.status == 404 && fault.code.is_empty() => missing = fault,
                Err(fault) => return of_fault(fault),
            }
        }
        Err(format!("nobody answers: {}", missing.reason))
    }
}

fn told(body: &[u8]) -> Result<Called, String> {
    let body = body.trim_ascii();
    if body.is_empty() {
        return Ok(Called::Nothing);
    }
    let value: serde_json::Value =
        serde_json::from_slice(body).map_err(|_| "the answer is not JSON".to_owned())?;
    Ok(if has_data(&value) { Called::Data } else { Called::Nothing })
}

fn has_data(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => false,
        serde_json::Value::Array(items) => items.iter().any(has_data),
        serde_json::Value::Object(members) => members.values().any(has_data),
        _ => true,
    }
}

fn of_fault(fault: Fault) -> Result<Called, String> {
    let Fault { class, status, code, reason, .. } = fault;
    let is_key = matches!(status, 401 | 403) && (code.is_empty() || code.starts_with("PGRST3"));
    match (class, status) {
        _ if is_key => Err(format!("the server does not take the public key: {reason}")),
        _ if code == "PGRST202" => Ok(Called::Unknown),
        (Class::Transient | Class::TooSlow | Class::InDoubt, _) | (_, 0 | 300..=399 | 404 | 500..) => {
            Err(reason)
        }
        _ => Ok(Called::Denied(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_nulls_is_no_data() {
        for (body, expected) in [
            ("", Called::Nothing),
            ("[]", Called::Nothing),
            ("null", Called::Nothing),
            (r#"{"id":null,"at":null}"#, Called::Nothing),
            (r#"[{"id":null},{"a":[null,{}]}]"#, Called::Nothing),
            (r#"{"id":null,"n":0}"#, Called::Data),
            (r#"[{"id":"x"}]"#, Called::Data),
            ("false", Called::Data),
        ] {
            assert_eq!(told(body.as_bytes()), Ok(expected), "{body}");
        }
        assert!(told(b"<html>").is_err());
    }

    #[test]
    fn only_an_answer_is_a_refusal() {
        let fault = |status, body: &str| of_fault(Fault::of_answer(status, None, body.as_bytes(), false));
        for (status, code) in [(401, "42501"), (403, "42501"), (400, "P0001"), (403, "PT403"), (400, "22P02")]
        {
            assert!(matches!(fault(status, &body(code)), Ok(Called::Denied(_))), "{status} {code}");
        }
        assert_eq!(fault(404, &body("PGRST202")), Ok(Called::Unknown));
        for (status, said) in [
            (401, "Invalid API key".to_owned()),
            (401, body("PGRST301")),
            (500, "<html>".to_owned()),
            (503, body("PGRST002")),
            (504, String::new()),
            (429, String::new()),
            (404, "{}".to_owned()),
            (302, String::new()),
            (500, body("57014")),
        ] {
            assert!(fault(status, &said).is_err(), "{status} {said}");
        }
        assert!(of_fault(Fault::lost("no answer", false, true)).is_err());
    }

    fn body(code: &str) -> String {
        format!(r#"{{"code":"{code}","message":"m"}}"#)
    }
}
