//! What went wrong, in words that can be shown: the driver's and the server's errors name the user, so they
//! are turned into text here and dropped. No other module of this folder may wrap a driver error.

use std::error::Error as _;
use std::fmt;
use std::io;

use ::postgres::Config;
use ::postgres::error::SqlState;
use secrecy::{ExposeSecret, SecretString};

/// The credentials of a session, kept to take them out of messages.
pub(crate) struct Secrets {
    user: Option<SecretString>,
    password: Option<SecretString>,
}

impl Secrets {
    pub(super) fn of(config: &Config) -> Self {
        let password = config.get_password().map(|p| String::from_utf8_lossy(p).into_owned());
        Self { user: config.get_user().map(SecretString::from), password: password.map(SecretString::from) }
    }

    /// The server quotes a user's name, and only that spelling is replaced: a user `a` must not eat letters.
    /// Refused logins speak of the user in the server's language and quotes, so there the name goes anywhere.
    /// Passwords are not quoted by anything; those shorter than four letters would spoil the text instead.
    fn hide(&self, text: &str, is_login: bool) -> String {
        let mut text = text.to_owned();
        if let Some(user) = self.user.as_ref().map(ExposeSecret::expose_secret) {
            text = text.replace(&format!("\"{user}\""), "\"***\"");
            if is_login && user.len() > 1 {
                text = text.replace(user, "***");
            }
        }
        match &self.password {
            Some(password) if password.expose_secret().len() >= 4 => {
                text.replace(password.expose_secret(), "***")
            }
            _ => text,
        }
    }
}

/// Why an operation failed and what to check, without credentials.
#[derive(Debug)]
pub(crate) struct Cause {
    message: String,
    check: Option<&'static str>,
    code: Option<SqlState>,
    is_lost: bool,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(code) = &self.code {
            write!(f, " (SQLSTATE {})", code.code())?;
        }
        self.check.map_or(Ok(()), |check| write!(f, "; {check}"))
    }
}

impl std::error::Error for Cause {}

impl Cause {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), check: None, code: None, is_lost: false }
    }

    pub(super) fn check(mut self, check: &'static str) -> Self {
        self.check = Some(check);
        self
    }

    pub(super) fn driver(error: &::postgres::Error, secrets: &Secrets) -> Self {
        if let Some(db) = error.as_db_error() {
            let more = [db.detail(), db.hint()].into_iter().flatten();
            let message = more.fold(db.message().to_owned(), |text, more| format!("{text}; {more}"));
            return Self {
                message: secrets.hide(&message, db.code().code().starts_with("28")),
                check: check_for_code(db.code()),
                code: Some(db.code().clone()),
                is_lost: false,
            };
        }
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            message = format!("{message}: {inner}");
            source = inner.source();
        }
        let check = match error.source() {
            Some(source) => check_for_source(source),
            None => error.is_closed().then_some("the server ended the connection, see its log"),
        };
        let is_lost = error.is_closed() || error.source().is_some_and(is_network);
        Self { message: secrets.hide(&message, false), check, code: None, is_lost }
    }

    /// Like [`Cause::driver`], without anything that may quote a row: no detail, and no message where that is about
    /// data or comes from a trigger.
    pub(crate) fn discreet(error: &::postgres::Error, secrets: &Secrets) -> Self {
        let Some(db) = error.as_db_error() else { return Self::driver(error, secrets) };
        let quotes_data = matches!(&db.code().code()[..2], "22" | "23" | "38" | "39" | "44" | "P0")
            || *db.code() == SqlState::SYNTAX_ERROR;
        let message = if quotes_data { "the server refused a value or the statement" } else { db.message() };
        Self {
            message: secrets.hide(message, false),
            check: check_for_code(db.code()),
            code: Some(db.code().clone()),
            is_lost: false,
        }
    }

    /// Nothing answers: another try may reach the server.
    pub(super) fn timed_out(message: impl Into<String>) -> Self {
        Self { is_lost: true, ..Self::new(message) }.check(CHECK_TIMEOUT)
    }

    /// The five characters of the SQLSTATE, when the server said no.
    pub(crate) fn code(&self) -> Option<&str> {
        self.code.as_ref().map(SqlState::code)
    }

    /// Whether the connection failed, or was never made, for reasons of the network or of a server that is down.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Whether the server refused for want of a privilege.
    pub(super) fn is_not_permitted(&self) -> bool {
        self.code.as_ref() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
    }
}

fn check_for_code(code: &SqlState) -> Option<&'static str> {
    Some(match *code {
        SqlState::INVALID_PASSWORD => "check the user and the password in the URL",
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "check the user and `sslmode` in the URL; the server's pg_hba.conf decides who may connect and how"
        }
        SqlState::INVALID_CATALOG_NAME => "check the name of the database in the URL",
        SqlState::TOO_MANY_CONNECTIONS => "the server has no free connection; close others or try later",
        SqlState::CANNOT_CONNECT_NOW => "the server is starting or stopping; try later",
        SqlState::QUERY_CANCELED => "look for what blocks or slows the statement, or allow it more time",
        SqlState::INSUFFICIENT_PRIVILEGE => "check what this user has been granted",
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            "a reading session never writes, and a replica cannot: write to its primary"
        }
        _ => return None,
    })
}

/// Whether the network failed, and not an agreement about encryption.
fn is_network(source: &(dyn std::error::Error + 'static)) -> bool {
    let Some(error) = source.downcast_ref::<io::Error>() else { return false };
    error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_none()
}

const CHECK_TLS: &str = "check `sslmode` and `sslrootcert` in the URL against the server's certificate";
const CHECK_SERVER: &str =
    "check the host and the port in the URL, and that the server runs and listens there";

fn check_for_source(source: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
    let Some(error) = source.downcast_ref::<io::Error>() else {
        let text = source.to_string();
        return (text.contains("TLS") || text.contains("hostname")).then_some(CHECK_TLS);
    };
    if error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some() {
        return Some(CHECK_TLS);
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Some(CHECK_SERVER),
        io::ErrorKind::TimedOut => Some(CHECK_TIMEOUT),
        // The kind of a failed name lookup is not stable, its text is the resolver's.
        _ if error.to_string().contains("lookup") => Some("check the host in the URL and the name service"),
        _ => None,
    }
}

/// What to check when nothing answers.
const CHECK_TIMEOUT: &str =
    "check the host and the port in the URL and any firewall between, or allow more time";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_quoted_users_and_passwords() {
        let hide = |user: &str, text: &str, is_login| {
            let config: Config = format!("postgres://{user}:s3cret@h/d").parse().unwrap();
            Secrets::of(&config).hide(text, is_login)
        };
        let text = "authentication failed for user \"a\": s3cret";
        assert_eq!(hide("a", text, true), "authentication failed for user \"***\": ***");
        assert_eq!(hide("ann", "le rôle « ann » n'existe pas", true), "le rôle « *** » n'existe pas");
        assert_eq!(hide("app", "no such table app.items", false), "no such table app.items");
    }

    #[test]
    fn says_what_to_check_about_the_network() {
        let check = |error: io::Error| check_for_source(&error).unwrap_or_default();
        assert_eq!(check(io::ErrorKind::ConnectionRefused.into()), CHECK_SERVER);
        assert_eq!(check(io::ErrorKind::TimedOut.into()), CHECK_TIMEOUT);
        assert!(check(io::Error::other("failed to lookup address information")).contains("name service"));
        assert_eq!(check(io::Error::other(rustls::Error::DecryptError)), CHECK_TLS);
    }
}
