//! From a URL to a connection. The URL is read here in full before anything is sent, so that a parameter is
//! either honoured or refused; it must not fall back to a weaker connection than the URL asks for.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ::postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::ConnectOptions;
use super::cause::{Cause, Secrets};
use super::tls::Tls;
use crate::url::PostgresUrl;

/// What the driver reads from a URL besides `sslmode`, which is read here.
const KNOWN: [&str; 17] = [
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Connects with the server setting `setting` (`-c name=value`) and runs `first`. The connector is for requests to
/// cancel a statement.
pub(super) fn open(
    url: &PostgresUrl,
    options: &ConnectOptions,
    setting: &str,
    first: &'static str,
) -> Result<(Client, Secrets, MakeRustlsConnect), Cause> {
    let (mut config, tls) = parse(url.expose())?;
    let timeout = *config.get_connect_timeout().unwrap_or(&options.connect_timeout);
    config.connect_timeout(timeout).ssl_mode(tls.driver_mode());
    if config.get_application_name().is_none() {
        config.application_name(&options.application_name);
    }
    // Of two settings of one name the server takes the last, so these win over the URL's own options.
    let theirs = config.get_options().unwrap_or_default();
    let statement_timeout = options.statement_timeout.as_millis().max(1);
    let settings = format!(
        "{theirs} {setting} -c statement_timeout={statement_timeout} -c timezone=UTC -c datestyle=ISO \
         -c intervalstyle=iso_8601 -c bytea_output=hex -c extra_float_digits=1"
    );
    config.options(settings.trim_start());
    let secrets = Secrets::of(&config);
    let connector = MakeRustlsConnect::new(tls.client_config()?);
    let connects = connector.clone();
    let client = within(timeout, move || {
        let mut client = config.connect(connects)?;
        client.batch_execute(first)?;
        Ok(client)
    });
    match client {
        Some(Ok(client)) => Ok((client, secrets, connector)),
        Some(Err(error)) => Err(Cause::driver(&error, &secrets)),
        None => {
            let seconds = timeout.as_secs_f64();
            Err(Cause::timed_out(format!("connecting timed out after {seconds} s")))
        }
    }
}

/// The driver's own timeout ends with the TCP connection; a server that then says nothing would hold the
/// caller for ever. The thread is left behind in that case, waiting on a socket that nobody uses.
fn within<T: Send + 'static>(timeout: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let _ = sender.send(work());
    });
    receiver.recv_timeout(timeout).ok()
}

/// Splits what this folder reads itself from what the driver reads.
fn parse(url: &str) -> Result<(Config, Tls), Cause> {
    let rest = url.strip_prefix("postgres://").unwrap_or(url);
    // The driver ends the credentials at the first `@`, other tools at the last: only one reading is allowed.
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if rest.matches('@').count() > authority.matches('@').count().min(1) {
        return Err(Cause::new("the URL can be read in two ways").check(
            "write `@`, `/`, `?` and `#` in a user, a password or a parameter as %40, %2F, %3F and %23",
        ));
    }
    let (location, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut tls = Tls::default();
    let mut kept = Vec::new();
    for parameter in query.split('&').filter(|p| !p.is_empty()) {
        match parameter.split_once('=') {
            Some(("sslmode", value)) => tls.set_mode(value)?,
            Some(("sslrootcert", value)) => tls.set_roots(value)?,
            Some((name, _)) if KNOWN.contains(&name) => kept.push(parameter),
            Some((name, _)) => return Err(unknown(name)),
            None => return Err(Cause::new("a parameter in the URL has no value")),
        }
    }
    let config = format!("postgres://{location}?{}", kept.join("&")).parse::<Config>();
    // The driver names the parameter that it cannot read, never the value.
    let config = config.map_err(|error| {
        let why = std::error::Error::source(&error).map_or_else(String::new, |why| format!(": {why}"));
        Cause::new(format!("the URL is not valid{why}"))
    })?;
    Ok((config, tls))
}

/// Only what looks like a parameter's name is shown: with a stray `&` it may be the end of a password.
fn unknown(name: &str) -> Cause {
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let name = if is_name { format!("`{name}` ") } else { String::new() };
    Cause::new(format!("the URL parameter {name}is not supported")).check("remove it from the URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(url: &str) -> String {
        parse(url).map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn parameters_are_honoured_or_refused_by_name() {
        let (config, _) = parse("postgres://u:p%40ss@h:7/d?sslmode=verify-full&application_name=x").unwrap();
        assert_eq!(config.get_password(), Some(b"p@ss".as_slice()));
        assert_eq!((config.get_ports(), config.get_application_name()), ([7].as_slice(), Some("x")));
        assert!(error_of("postgres://h/d?sslcert=x").contains("`sslcert`"));
        assert!(error_of("postgres://h/d?gssencmode=x").contains("`gssencmode`"));
        assert!(error_of("postgres://h/d?keepalives").contains("no value"));
        assert!(error_of("postgres://h:x/d").contains("`port`"), "{}", error_of("postgres://h:x/d"));
        assert!(!error_of("postgres://h/d?password=a&S3cret=b").contains("S3cret"));
    }

    #[test]
    fn a_url_with_two_readings_is_refused_without_showing_it() {
        for url in ["postgres://u:s3@cret@h/d", "postgres://u:s3/cret@h/d", "postgres://u:s3?cret@h/d"] {
            let error = error_of(url);
            assert!(error.contains("%40") && !error.contains("cret"), "{error}");
        }
    }

    #[test]
    fn waits_no_longer_than_told() {
        let (_keep, never) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(20), move || never.recv().is_ok()), None);
        assert_eq!(within(Duration::from_mins(1), || 7), Some(7));
    }
}
