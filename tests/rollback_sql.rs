//! `rollback.sql` in the programs that operators have: the sqlite3 shell and psql.
//!
//! Each test makes a table, changes it as a plan would, and lets the script take that back.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

#[path = "rollback_sql/postgres.rs"]
mod postgres_script;
#[path = "rollback_sql/sqlite.rs"]
mod sqlite_script;
mod support {
    #[expect(dead_code, reason = "each test binary uses a part of the support")]
    pub(crate) mod postgres;
}

use std::io::Write;
use std::process::{Command, Output, Stdio};

use ops::change::plan::Layout;
use ops::change::sql::{About, Undone, rollback};
use ops::target::schema::{Column, Origin, Table, TableName};
use ops::target::{Change, TargetIdentity};
use ops::value::{Kind, Row, Value};

fn layout(schema: Option<&str>, name: &str, columns: &[(&str, Kind, Origin)], key: &[usize]) -> Layout {
    let column = |(name, kind, origin): &(&str, Kind, Origin)| Column {
        name: (*name).to_owned(),
        type_name: String::new(),
        kind: *kind,
        nullable: true,
        default: None,
        origin: *origin,
    };
    let table = Table {
        name: TableName { schema: schema.map(str::to_owned), name: name.to_owned() },
        columns: columns.iter().map(column).collect(),
        primary_key: key.to_vec(),
        unique: vec![],
        notes: vec![],
    };
    Layout::new(table, (0..columns.len()).collect(), key.to_vec()).unwrap()
}

fn script(driver: &str, layout: &Layout, changes: &[(Change, Option<Row>)]) -> String {
    let target = TargetIdentity {
        driver: driver.to_owned(),
        url: "somewhere\n; DROP TABLE t".to_owned(),
        fingerprint: "0123456789ab".to_owned(),
        lineage: None,
    };
    let about = About {
        plan: "0123456789abcdef",
        created_at: "2026-01-02T03:04:05Z",
        target: &target,
        what: "It takes back a test.",
        is_for_clone: false,
    };
    let mut out = Vec::new();
    let mut sink = |piece: &[u8]| {
        out.extend_from_slice(piece);
        Ok::<(), ()>(())
    };
    let each = changes.iter().map(|change| Ok(change.clone()));
    let undone = rollback(&about, layout, Undone::default(), each, &mut sink).unwrap();
    assert_eq!(undone.insert + undone.update + undone.delete, changes.len() as u64);
    String::from_utf8(out).unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Texts that some program on the way could take for something else.
fn strange_texts() -> Vec<String> {
    let mut all = vec![
        "it's \"quoted\" \\ back".to_owned(),
        ".quit\n.exit\n;\n/\ngo\n--".to_owned(),
        "line\r\nline\rline\n".to_owned(),
        "é ñ 漢字 \u{1f642} \u{feff}\u{2028}".to_owned(),
        "\u{1}\u{1b}[1m\u{7f}\t".to_owned(),
        "$ops$ $$ :name :'x' \\gexec \\! ls".to_owned(),
        "{\"a\": [1, \"\\u0000\"]}".to_owned(),
        String::new(),
        " ".to_owned(),
        "a\n".repeat(3000),
    ];
    all.push((1..128_u8).map(char::from).collect());
    all
}

#[expect(clippy::disallowed_methods, reason = "a test starts the programs that it tests")]
fn run(program: &str, args: &[&str], input: &str) -> Option<Output> {
    let piped = Stdio::piped;
    let child = Command::new(program).args(args).stdin(piped()).stdout(piped()).stderr(piped()).spawn();
    let Ok(mut child) = child else {
        let is_required = std::env::var("OPS_REQUIRE_LIVE").is_ok_and(|value| value == "1");
        assert!(!is_required, "{program} is needed");
        let _ = writeln!(std::io::stderr(), "skipped: a test needs {program}");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Some(output)
}

fn shown(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// One change of each kind: a value that must be unique moves from row 1 to the new row 4.
fn small_changes() -> Vec<(Change, Option<Row>)> {
    let row = |k, a: &str, b| vec![Value::Int(k), text(a), Value::Int(b), Value::Int(7)];
    vec![
        (Change::Update { before: row(1, "one", 1), after: row(1, "ONE", 10) }, None),
        (Change::Delete { before: row(2, "two", 2) }, None),
        (
            Change::Insert {
                after: vec![Some(Value::Int(4)), Some(text("four")), Some(Value::Int(1)), None],
            },
            None,
        ),
    ]
}
