//! What a failed request means: whether it is worth another try, and whether something may have been written.
//!
//! Decided by status and code, never by the text of a message. Neither `message` nor `details` nor `hint` is ever
//! shown: they hold rows. What is shown is the code, and of a constraint its name.

use std::time::Duration;

use serde::Deserialize;

use crate::guard::Refusal;
use crate::target::TargetError;

/// What to do about a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The server does not accept the key, or the role may not do this.
    Refused,
    /// Nothing was done; later it may work.
    Transient,
    /// Nothing was done, because it took too long; less may work.
    TooSlow,
    /// It may or may not have been done.
    InDoubt,
    /// Nothing was done, because the database refused a row.
    Rejected,
    /// The API does not know a table or column, perhaps not yet.
    Stale,
    /// Anything else.
    Failed,
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) class: Class,
    /// 0 without an answer.
    pub(super) status: u16,
    /// SQLSTATE or PostgREST's own code; empty without one.
    pub(super) code: String,
    /// What is shown: without rows, keys and credentials.
    pub(super) reason: String,
    pub(super) retry_after: Option<Duration>,
}

impl Fault {
    /// A fault of this client's own making.
    pub(super) fn failed(reason: impl Into<String>) -> Self {
        Self {
            class: Class::Failed,
            status: 0,
            code: String::new(),
            reason: reason.into(),
            retry_after: None,
        }
    }

    /// No answer came back: `reason` says why, `was_sent` whether the request may have arrived.
    pub(super) fn lost(reason: impl Into<String>, is_write: bool, was_sent: bool) -> Self {
        let class = if is_write && was_sent { Class::InDoubt } else { Class::Transient };
        Self { class, status: 0, code: String::new(), reason: reason.into(), retry_after: None }
    }

    /// An answer that is not a success.
    pub(super) fn of_answer(status: u16, retry_after: Option<Duration>, body: &[u8], is_write: bool) -> Self {
        // A gateway answers in HTML, PostgREST at times with `{}`: no field can be relied upon.
        let said: Said = serde_json::from_slice(body).unwrap_or_default();
        let code = said.code.filter(|code| is_code(code)).unwrap_or_default();
        let class = classify(status, &code, is_write);
        let reason = match class {
            Class::Rejected => rejection(&code, said.message.as_deref().unwrap_or_default()),
            _ if code.is_empty() => format!("HTTP {status}"),
            _ => format!("HTTP {status}, {}", named(&code)),
        };
        Self { class, status, code, reason, retry_after }
    }

    /// The error to hand up, of trying `action` (a verb phrase).
    pub(super) fn during(self, action: &str) -> TargetError {
        let Self { class, reason, retry_after, .. } = self;
        match class {
            Class::Refused => Refusal::new(
                format!("the server does not let this key {action}"),
                "a key and a role that may",
                reason,
            )
            .next("check the key, that it is of this project, and what its role has been granted")
            .into(),
            Class::Transient => TargetError::Transient { reason, retry_after },
            Class::TooSlow => TargetError::TooSlow { reason },
            Class::InDoubt => TargetError::InDoubt { reason },
            Class::Rejected => TargetError::Rejected { reason },
            Class::Stale => TargetError::failed(
                action,
                format!("{reason}: the API does not know it; if it is there: NOTIFY pgrst, 'reload schema'"),
            ),
            Class::Failed => TargetError::failed(action, reason),
        }
    }
}

impl Fault {
    /// Whether sending a write again does no harm, if it does none to make it twice: its answer was lost, or the database
    /// rolled it back for the sake of another.
    pub(super) fn asks_for_repetition(&self) -> bool {
        self.class == Class::InDoubt || matches!(self.code.as_str(), "40001" | "40P01")
    }
}

impl From<Fault> for TargetError {
    fn from(fault: Fault) -> Self {
        fault.during("use the API")
    }
}

#[derive(Default, Deserialize)]
struct Said {
    code: Option<String>,
    message: Option<String>,
}

/// Codes are shown, so they must look like one.
fn is_code(code: &str) -> bool {
    (5..=10).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

fn named(code: &str) -> String {
    if code.len() == 5 { format!("SQLSTATE {code}") } else { code.to_owned() }
}

fn classify(status: u16, code: &str, is_write: bool) -> Class {
    let lost = if is_write { Class::InDoubt } else { Class::Transient };
    let rejected = if is_write { Class::Rejected } else { Class::Failed };
    let sqlstate_class = if code.len() == 5 { &code[..2] } else { "" };
    match (code, sqlstate_class, status) {
        (_, _, 429) => Class::Transient,
        // Cancelled by a timeout, HTTP 500: asking again takes as long again. And bodies that are too large for a gateway.
        ("57014", ..) | ("", _, 413) => Class::TooSlow,
        // Nothing has arrived (no connection to the database, no schema yet, no free connection), or the database rolled it
        // back (a conflict, a deadlock, a lock, a lack of connections or memory).
        ("PGRST000" | "PGRST002" | "PGRST003" | "40001" | "40P01" | "55P03" | "57P03", ..) | (_, "53", _) => {
            Class::Transient
        }
        // The connection to the database broke while it worked.
        ("PGRST001" | "57P01" | "57P02", ..) | (_, "08", _) => lost,
        ("42501" | "PGRST301" | "PGRST302" | "PGRST303", ..) | ("", _, 401 | 403) => Class::Refused,
        ("PGRST204" | "PGRST205" | "42P01", ..) => Class::Stale,
        (_, "21" | "22" | "23" | "27" | "44" | "P0" | "PT", _) | ("428C9", ..) => rejected,
        // Written to a table that is not in the schema cache: no code at all.
        ("", _, 404) if is_write => Class::Stale,
        // A gateway's own answers say nothing of what became of the request.
        ("", _, 408 | 500..) => lost,
        _ => Class::Failed,
    }
}

/// What was refused, as the functions in the database say it.
fn rejection(code: &str, message: &str) -> String {
    let of = |noun: &str| {
        let (_, rest) = message.split_once(&format!("{noun} \""))?;
        Some(format!(", {noun} {}", crate::text::ellipsis(rest.split_once('"')?.0, 63)))
    };
    // Other messages quote values.
    let what = if code == "23502" { of("column") } else { of("constraint") };
    let what = what.filter(|_| code.starts_with("23")).unwrap_or_default();
    format!("SQLSTATE {code}{what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, code: &str, is_write: bool) -> Class {
        let body = format!(r#"{{"code":"{code}","message":"m","details":"Key (a)=(s3cret)","hint":null}}"#);
        let body = if code.is_empty() { "<html>s3cret</html>" } else { &body };
        let fault = Fault::of_answer(status, None, body.as_bytes(), is_write);
        assert!(!format!("{fault:?}").contains("s3cret"), "{fault:?}");
        fault.class
    }

    #[test]
    fn status_and_code_decide() {
        use Class::{Failed, InDoubt, Refused, Rejected, Stale, Transient};
        for (status, code, read, write) in [
            (500, "57014", Class::TooSlow, Class::TooSlow),
            (413, "", Class::TooSlow, Class::TooSlow),
            (413, "54023", Failed, Failed),
            (429, "", Transient, Transient),
            (503, "PGRST000", Transient, Transient),
            (503, "PGRST001", Transient, InDoubt),
            (503, "PGRST002", Transient, Transient),
            (504, "PGRST003", Transient, Transient),
            (503, "", Transient, InDoubt),
            (502, "", Transient, InDoubt),
            (504, "", Transient, InDoubt),
            (500, "", Transient, InDoubt),
            (520, "", Transient, InDoubt),
            (503, "08006", Transient, InDoubt),
            (503, "57P01", Transient, InDoubt),
            (503, "53300", Transient, Transient),
            (500, "40001", Transient, Transient),
            (500, "40P01", Transient, Transient),
            (401, "", Refused, Refused),
            (401, "PGRST301", Refused, Refused),
            (401, "PGRST303", Refused, Refused),
            (403, "42501", Refused, Refused),
            (401, "42501", Refused, Refused),
            (404, "PGRST205", Stale, Stale),
            (404, "PGRST202", Failed, Failed),
            (404, "42P01", Stale, Stale),
            (400, "PGRST204", Stale, Stale),
            (404, "", Failed, Stale),
            (409, "23505", Failed, Rejected),
            (409, "23503", Failed, Rejected),
            (400, "22P02", Failed, Rejected),
            (400, "21000", Failed, Rejected),
            (400, "428C9", Failed, Rejected),
            (400, "P0001", Failed, Rejected),
            (403, "PT403", Failed, Rejected),
            (400, "42703", Failed, Failed),
            (400, "PGRST102", Failed, Failed),
            (406, "PGRST106", Failed, Failed),
            (414, "", Failed, Failed),
            (400, "", Failed, Failed),
            (302, "", Failed, Failed),
        ] {
            assert_eq!(
                (class(status, code, false), class(status, code, true)),
                (read, write),
                "{status} {code}"
            );
        }
    }

    #[test]
    fn a_constraint_is_named_and_no_value_is() {
        for (code, message, expected) in [
            (
                "23505",
                r#"duplicate key value violates unique constraint \"t_slug_key\""#,
                "SQLSTATE 23505, constraint t_slug_key",
            ),
            (
                "23514",
                r#"new row for relation \"t\" violates check constraint \"positive\""#,
                "SQLSTATE 23514, constraint positive",
            ),
            (
                "23502",
                r#"null value in column \"a\" of relation \"t\" violates not-null constraint"#,
                "SQLSTATE 23502, column a",
            ),
            ("22P02", r#"invalid input syntax for type integer: \"s3cret\""#, "SQLSTATE 22P02"),
            ("P0001", r#"the constraint \"s3cret\" of a trigger"#, "SQLSTATE P0001"),
        ] {
            let body = format!(r#"{{"code":"{code}","message":"{message}","details":"s3cret"}}"#);
            assert_eq!(Fault::of_answer(400, None, body.as_bytes(), true).reason, expected);
        }
        for body in ["", "{}", "null", r#"{"code":5}"#, r#"{"code":"s3cret"}"#, r#"{"code":"S3CRET EVEN"}"#] {
            assert_eq!(Fault::of_answer(400, None, body.as_bytes(), true).reason, "HTTP 400", "{body}");
        }
    }

    #[test]
    fn a_schema_that_is_not_known_yet_comes_with_what_to_do() {
        let error = Fault::of_answer(404, None, b"{}", true).during("write rows");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("NOTIFY pgrst"), "{source}");
        let error = Fault::of_answer(401, None, b"", false).during("read rows").to_string();
        assert!(error.contains("does not let this key read rows") && error.contains("HTTP 401"), "{error}");
    }
}
