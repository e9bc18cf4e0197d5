//! What PostgreSQL's errors mean for a caller: one row was refused, try again, make the batch smaller, give up.
//!
//! A reason that leaves this module holds an SQLSTATE and names of things in the schema, and nothing of what rows hold.

use ::postgres::Error;
use ::postgres::error::{DbError, SqlState};

use crate::db::postgres::{Cause, Connection};
use crate::guard::Refusal;
use crate::target::TargetError;

/// An operation that did not end well.
#[derive(Debug)]
pub(super) enum Fault {
    /// The driver or the server said so.
    Sql(Error),
    /// One of our own checks said so.
    Target(TargetError),
    /// One of our own checks refused a row for this reason.
    Row(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Sql(error)
    }
}

impl From<TargetError> for Fault {
    fn from(error: TargetError) -> Self {
        Self::Target(error)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Target(refusal.into())
    }
}

impl Fault {
    /// A check that failed while trying `action`.
    pub(super) fn failed(action: &str, why: impl Into<String>) -> Self {
        Self::Target(TargetError::failed(action, why.into()))
    }

    /// The reason, when it is a row that the database refused and other rows may go on.
    pub(super) fn refused_row(&self) -> Option<String> {
        match self {
            Self::Sql(error) => error.as_db_error().and_then(refused_row),
            Self::Target(_) => None,
            Self::Row(reason) => Some(reason.clone()),
        }
    }

    /// Whether the same statements may succeed at once: two transactions were in each other's way.
    pub(super) fn is_conflict(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        let conflicts = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
        error.code().is_some_and(|code| conflicts.contains(code))
    }

    /// Whether the connection is of no more use, so that what the server did last is not known.
    pub(super) fn is_broken(&self) -> bool {
        let Self::Sql(error) = self else { return false };
        match error.as_db_error() {
            Some(db) => {
                matches!(db.severity(), "FATAL" | "PANIC") || matches!(&db.code().code()[..2], "57" | "08")
            }
            None => true,
        }
    }

    /// What to tell the caller, who tried `action` over `connection`.
    pub(super) fn explain(self, connection: &Connection, action: &str) -> TargetError {
        match self {
            Self::Target(error) => error,
            Self::Row(reason) => TargetError::Rejected { reason },
            Self::Sql(error) => explain(connection.cause(&error), action),
        }
    }
}

/// Classes that are about the values of a row: data, integrity, a trigger's own errors, a view's check. Of another class
/// is what some types say of a text that they cannot read (`tsquery`, `regclass`), and what identity columns say.
fn refused_row(error: &DbError) -> Option<String> {
    let code = error.code().code();
    let is_about_values = matches!(&code[..2], "22" | "23" | "27" | "44" | "P0");
    if !is_about_values && !matches!(code, "42601" | "42704" | "428C9") {
        return None;
    }
    let mut reason = format!("SQLSTATE {code}");
    for (what, name) in [("constraint", error.constraint()), ("column", error.column())] {
        if let Some(name) = name {
            reason.push_str(&format!(", {what} {name}"));
        }
    }
    Some(reason)
}

/// Whether a row that was refused for this reason may be accepted after other rows: they may hold the value that it
/// wants, or be the parent that it needs.
pub(super) fn may_wait(reason: &str) -> bool {
    reason.starts_with("SQLSTATE 23")
}

/// Sorts an error by what to do about it. Only to be asked where nothing can have been committed.
pub(super) fn explain(cause: Cause, action: &str) -> TargetError {
    let reason = || cause.to_string();
    match cause.code() {
        Some("57014") => TargetError::TooSlow { reason: reason() },
        Some("40001" | "40P01" | "55P03" | "25P03") => {
            TargetError::Transient { reason: reason(), retry_after: None }
        }
        Some(code) if matches!(&code[..2], "08" | "53" | "57") => {
            TargetError::Transient { reason: reason(), retry_after: None }
        }
        None if cause.is_lost() => TargetError::Transient { reason: reason(), retry_after: None },
        _ => TargetError::failed(action, cause),
    }
}
