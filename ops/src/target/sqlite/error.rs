//! What SQLite's errors mean for a caller: wait, give up, or one row was refused.

use rusqlite::{Error, ErrorCode};

use crate::db::sqlite::OpenError;
use crate::target::TargetError;

/// An error of trying `action`, by what to do about it.
pub(super) fn failed(action: impl Into<String>, error: Error) -> TargetError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => TargetError::Transient {
            reason: "the database is locked by another process".to_owned(),
            retry_after: None,
        },
        _ => TargetError::failed(action, error),
    }
}

/// An error of opening the file.
pub(super) fn open_failed(error: OpenError) -> TargetError {
    match error {
        OpenError::Locked(_) | OpenError::Changed(_) => {
            TargetError::Transient { reason: error.to_string(), retry_after: None }
        }
        error => TargetError::failed("open the database", error),
    }
}

/// An error of a commit.
pub(super) fn commit_failed(error: Error) -> TargetError {
    match error.sqlite_error_code() {
        // A deferred foreign key is checked only here.
        Some(ErrorCode::ConstraintViolation) => TargetError::Rejected { reason: reason(&error, "") },
        Some(ErrorCode::SystemIoFailure) => TargetError::InDoubt { reason: error.to_string() },
        _ => failed("commit a batch", error),
    }
}

/// Whether only the row of the statement is refused, and other rows may go on.
pub(super) fn is_about_the_row(error: &Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
    )
}

/// SQLite's name of a refusal, and the constraint. A trigger can put contents of rows into its message, so that is
/// shown only where it stands in `triggers`, the text of the table's triggers, word for word.
pub(super) fn reason(error: &Error, triggers: &str) -> String {
    let Error::SqliteFailure(code, message) = error else { return "refused".to_owned() };
    let message = message.as_deref().unwrap_or_default();
    let name = match code.extended_code {
        rusqlite::ffi::SQLITE_CONSTRAINT_CHECK => "SQLITE_CONSTRAINT_CHECK",
        rusqlite::ffi::SQLITE_CONSTRAINT_DATATYPE => "SQLITE_CONSTRAINT_DATATYPE",
        rusqlite::ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "SQLITE_CONSTRAINT_FOREIGNKEY",
        rusqlite::ffi::SQLITE_CONSTRAINT_NOTNULL => "SQLITE_CONSTRAINT_NOTNULL",
        rusqlite::ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "SQLITE_CONSTRAINT_PRIMARYKEY",
        rusqlite::ffi::SQLITE_CONSTRAINT_ROWID => "SQLITE_CONSTRAINT_ROWID",
        rusqlite::ffi::SQLITE_CONSTRAINT_UNIQUE => "SQLITE_CONSTRAINT_UNIQUE",
        rusqlite::ffi::SQLITE_CONSTRAINT_TRIGGER if !triggers.contains(message) => {
            return "SQLITE_CONSTRAINT_TRIGGER".to_owned();
        }
        rusqlite::ffi::SQLITE_CONSTRAINT_TRIGGER => "SQLITE_CONSTRAINT_TRIGGER",
        _ => match code.code {
            ErrorCode::ConstraintViolation => "SQLITE_CONSTRAINT",
            ErrorCode::TypeMismatch => "SQLITE_MISMATCH",
            ErrorCode::TooBig => "SQLITE_TOOBIG",
            _ => "SQLITE_ERROR",
        },
    };
    format!("{name}: {message}")
}
