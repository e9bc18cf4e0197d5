//! The PostgREST driver against real servers behind a gateway that misbehaves: reads that are complete or refused
//! (`target_postgrest/reading.rs`), writes whose answers are lost (`target_postgrest/writing.rs`).

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

#[path = "support/http.rs"]
mod http;
#[path = "target_postgrest/reading.rs"]
mod reading;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/stack.rs"]
mod stack;
#[path = "target_postgrest/writing.rs"]
mod writing;

use std::cell::RefCell;
use std::error::Error;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ops::clock::Stamp;
use ops::target::postgrest::{ApiKey, Postgrest, PostgrestOptions};
use ops::target::schema::{Table, TableName};
use ops::target::{Target, TargetError};
use ops::url::{DbUrl, PostgrestUrl};
use ops::value::{Row, Value};
use secrecy::SecretString;
use serde_json::Value as Json;
use stack::{Stack, own};

/// A server without the functions, 100 rows a request, whose database is not in UTC.
fn plain() -> Option<&'static Stack> {
    static STACK: OnceLock<Option<Stack>> = OnceLock::new();
    let start = || {
        let stack = own(&["--max-rows", "100"])?;
        stack.sql("ALTER DATABASE postgres SET timezone = 'Asia/Kolkata'");
        stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'authenticator'");
        stack.reload();
        Some(stack)
    };
    STACK.get_or_init(start).as_ref()
}

/// A server with the functions and 1,000 rows a request, for one test at a time: their address is the same for every
/// table, so a fault of one test would hit another.
fn with_functions() -> Option<(&'static Stack, MutexGuard<'static, ()>)> {
    static STACK: OnceLock<Option<Stack>> = OnceLock::new();
    static TURN: Mutex<()> = Mutex::new(());
    let start = || {
        let stack = own(&[])?;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres/change_functions.sql");
        stack.install(&file);
        stack.reload();
        Some(stack)
    };
    let stack = STACK.get_or_init(start).as_ref()?;
    Some((stack, TURN.lock().unwrap_or_else(PoisonError::into_inner)))
}

thread_local! {
    /// The pauses that the driver has made on this thread.
    static PAUSES: RefCell<Vec<Duration>> = const { RefCell::new(Vec::new()) };
}

/// Takes note of a pause instead of making it.
fn note_pause(pause: Duration) {
    PAUSES.with_borrow_mut(|pauses| pauses.push(pause));
}

/// The pauses since the last time.
fn pauses() -> Vec<Duration> {
    PAUSES.take()
}

/// Little patience, so that a test that waits for it is short.
fn options() -> PostgrestOptions {
    PostgrestOptions {
        request_timeout: Duration::from_secs(5),
        deadline: Duration::from_secs(10),
        sleep: note_pause,
        ..PostgrestOptions::default()
    }
}

fn url(text: &str) -> PostgrestUrl {
    match DbUrl::parse(text, Path::new("/")).unwrap() {
        DbUrl::PostgRest(url) => url,
        other => panic!("{other}"),
    }
}

fn now() -> Stamp {
    Stamp::parse("2026-01-02T03:04:05Z").unwrap()
}

fn key(stack: &Stack, name: &str) -> ApiKey {
    ApiKey::check(&SecretString::from(stack.key(name)), &url(stack.url()), now()).unwrap()
}

fn open_with(stack: &Stack, options: &PostgrestOptions) -> Postgrest {
    Postgrest::open(&url(stack.url()), &key(stack, "secret"), options).unwrap()
}

fn open(stack: &Stack) -> Postgrest {
    open_with(stack, &options())
}

fn name(text: &str) -> TableName {
    TableName::parse(text).unwrap()
}

/// Makes a table of this test alone, `id` and `v`, with rows 1 to `rows`, and opens a driver.
fn table(stack: &Stack, text: &str, rows: u64) -> (Postgrest, Table) {
    stack.sql(&format!(
        "CREATE TABLE {text} (id bigint PRIMARY KEY, v text);
         INSERT INTO {text} SELECT i, 'value ' || i FROM generate_series(1, {rows}) i"
    ));
    stack.reload();
    let mut target = open(stack);
    let table = target.table(&name(text)).unwrap();
    (target, table)
}

fn row(id: i64, v: &str) -> Row {
    vec![Value::Int(id), Value::Text(v.to_owned())]
}

/// Everything that a person could get to see of an error, which must hold no key and nothing confidential.
fn chain(error: &TargetError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    for secret in ["eyJhbG", "sb_secret_", "confidential"] {
        assert!(!text.contains(secret), "{text}");
    }
    text
}

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(result: Result<T, TargetError>, what: &str) {
    let error = result.unwrap_err();
    let text = chain(&error);
    assert!(matches!(error, TargetError::Refused(_)) && text.contains(what), "{text}, not {what}");
}

/// How many requests there were of each method about something.
fn methods(stack: &Stack, text: &str) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for request in stack.requests(text) {
        *counts.entry(request["method"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

/// A rule for the gateway.
fn rule(method: &str, path: &str, after: u64, times: u64, action: &Json) -> Json {
    serde_json::json!([{ "match": { "method": method, "path": path }, "after": after, "times": times, "action": action }])
}
