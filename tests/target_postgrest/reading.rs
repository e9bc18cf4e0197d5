//! Reading: complete, or refused with numbers; by GET and HEAD alone.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ops::target::postgrest::{ApiKey, Postgrest, PostgrestOptions};
use ops::target::schema::{Table, TableName};
use ops::target::{ScanProof, Target, TargetError};
use ops::value::{Row, Value};
use secrecy::SecretString;
use serde_json::{Value as Json, json};

use crate::stack::Stack;
use crate::{
    assert_refused, chain, key, methods, name, now, open, open_with, options, pauses, plain, row, rule,
    table, url, with_functions,
};

/// Every row, and the proof. `meanwhile` is told how many rows were read.
fn scan_while(
    target: &mut Postgrest,
    table: &Table,
    meanwhile: &mut dyn FnMut(usize),
) -> Result<(Vec<Row>, ScanProof), TargetError> {
    let mut rows = Vec::new();
    let proof = target.scan(table, &mut |row| {
        rows.push(row.iter().map(|value| value.to_value()).collect());
        meanwhile(rows.len());
        Ok(())
    })?;
    assert_eq!(proof.rows, rows.len() as u64);
    Ok((rows, proof))
}

fn scan(target: &mut Postgrest, table: &Table) -> Result<(Vec<Row>, ScanProof), TargetError> {
    scan_while(target, table, &mut |_| {})
}

fn ids(rows: &[Row]) -> BTreeSet<i64> {
    let id = |row: &Row| if let Value::Int(id) = row[0] { id } else { panic!("{row:?}") };
    rows.iter().map(id).collect()
}

#[test]
fn the_keys_of_a_real_project_that_do_not_see_everything_are_refused() {
    let Some(stack) = plain() else { return };
    for (name, reason) in [("anon", "anonymous"), ("publishable", "publishable"), ("expired", "expired")] {
        let key = SecretString::from(stack.key(name));
        // The expired one expired in the year in which the stack runs.
        let now = ops::clock::Clock::System.now();
        let refusal = ApiKey::check(&key, &url(stack.url()), now).unwrap_err().to_string();
        assert!(refusal.contains(reason) && !refusal.contains(&stack.key(name)[..8]), "{refusal}");
    }
}

#[test]
fn a_key_that_the_server_does_not_know_is_refused_and_not_shown() {
    let Some(stack) = plain() else { return };
    let other = "sb_secret_confidential0000000000_01234567";
    let key = ApiKey::check(&SecretString::from(other), &url(stack.url()), now()).unwrap();
    let error = Postgrest::open(&url(stack.url()), &key, &options()).unwrap_err();
    assert!(chain(&error).contains("HTTP 401"), "{error}");
    assert!(matches!(error, TargetError::Refused(_)));
}

#[test]
fn the_api_is_found_behind_a_gateway_and_without_one() {
    let Some(stack) = plain() else { return };
    stack.sql("CREATE TABLE found (id int PRIMARY KEY)");
    stack.reload();
    let token = key(stack, "service_role");
    for base in [
        stack.url().to_owned(),
        format!("{}/", stack.url()),
        format!("{}/rest/v1", stack.url()),
        stack.fact("postgrest_url").to_owned(),
    ] {
        let mut target = Postgrest::open(&url(&base), &token, &options()).unwrap();
        assert_eq!(target.table(&name("found")).unwrap().columns.len(), 1, "{base}");
        let identity = target.identity().unwrap();
        assert_eq!((identity.driver.as_str(), identity.lineage), ("postgrest", None));
        assert!(!identity.url.ends_with('/') && !identity.url.contains("rest"), "{}", identity.url);
    }
    // Nothing there, and nothing that is a PostgREST.
    let error = Postgrest::open(&url("http://127.0.0.1:9"), &token, &options()).unwrap_err();
    assert!(matches!(error, TargetError::Transient { .. }) && chain(&error).contains("refused"), "{error}");
    let error = Postgrest::open(&url(stack.fact("admin_url")), &token, &options()).unwrap_err();
    assert!(matches!(error, TargetError::Failed { .. }), "{error}");
    // Encryption where there is none.
    let secure = stack.url().replace("http:", "https:");
    let error = Postgrest::open(&url(&secure), &token, &options()).unwrap_err();
    assert!(matches!(error, TargetError::Failed { .. }) && chain(&error).contains("secure"), "{error}");
}

#[test]
fn the_lineage_is_part_of_the_identity() {
    let Some((stack, _turn)) = with_functions() else { return };
    assert_eq!(open(stack).identity().unwrap().lineage, None);
    stack.sql(
        "CREATE TABLE ops_lineage (singleton int PRIMARY KEY, lineage text, purpose text, stamped_at text, tool_version text);
         INSERT INTO ops_lineage VALUES (1, '00ff', 'staging', '2026-01-02T03:04:05Z', '1')",
    );
    stack.reload();
    let lineage = open(stack).identity().unwrap().lineage.unwrap();
    assert_eq!((lineage.id.as_str(), lineage.purpose.as_str()), ("00ff", "staging"));
    stack.sql("DROP TABLE ops_lineage");
}

/// 2,505 rows of `stack`, while another session changes them.
fn complete_with_an_updater(stack: &Stack, table_name: &str, cap: u64) {
    let (mut target, table) = table(stack, table_name, 2_505);
    let is_over = AtomicBool::new(false);
    let (rows, proof) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = postgres::Client::connect(stack.fact("database_url"), postgres::NoTls).unwrap();
            let update = format!("UPDATE {table_name} SET v = 'later ' || id WHERE id % 7 = $1");
            for i in (0..7_i64).cycle().take_while(|_| !is_over.load(Ordering::Relaxed)) {
                client.execute(&update, &[&i]).unwrap();
            }
        });
        let read = scan(&mut target, &table);
        is_over.store(true, Ordering::Relaxed);
        read.unwrap()
    });
    assert_eq!(ids(&rows), (1..=2_505).collect());
    assert_eq!((proof.rows, proof.count_before, proof.count_after), (2_505, 2_505, 2_505));
    assert_eq!(proof.pages, 2_505 / cap + 2, "the last page is empty");
    assert!(!proof.snapshot);
    let sent = methods(stack, table_name);
    assert!(sent.iter().all(|(method, _)| ["GET", "HEAD"].contains(&method.as_str())), "{sent:?}");
}

#[test]
fn every_row_is_read_behind_a_cap_of_1000_while_they_are_updated() {
    let Some((stack, _turn)) = with_functions() else { return };
    complete_with_an_updater(stack, "behind_1000", 1_000);
}

#[test]
fn every_row_is_read_behind_a_cap_of_100_while_they_are_updated() {
    let Some(stack) = plain() else { return };
    complete_with_an_updater(stack, "behind_100", 100);
}

#[test]
fn rows_that_come_and_go_are_told_from_rows_that_are_left_out() {
    let Some(stack) = plain() else { return };
    let (mut target, table) = table(stack, "in_motion", 1_000);
    // Behind the page that is being read and before it, more than a page each.
    let (rows, proof) = scan_while(&mut target, &table, &mut |count| {
        if count == 250 {
            stack.sql(
                "INSERT INTO in_motion SELECT -i, 'behind' FROM generate_series(1, 150) i;
                 INSERT INTO in_motion SELECT i, 'ahead' FROM generate_series(2001, 2150) i;
                 DELETE FROM in_motion WHERE id BETWEEN 1 AND 110 OR id BETWEEN 701 AND 810",
            );
        }
    })
    .unwrap();
    assert_eq!((proof.count_before, proof.count_after), (1_000, 1_080));
    let now: BTreeSet<i64> =
        stack.sql("SELECT id FROM in_motion").lines().map(|id| id.parse().unwrap()).collect();
    let read = ids(&rows);
    assert_eq!(rows.len(), read.len(), "no row twice");
    assert_eq!(now.difference(&read).count(), 0, "every row that is there");
    assert!(read.difference(&now).all(|id| (1..=110).contains(id)), "and some that were");
    // With the same number of rows before and after nothing shows that rows moved.
    let moved = scan_while(&mut target, &table, &mut |count| {
        if count == 250 {
            stack.sql("DELETE FROM in_motion WHERE id > 2100; INSERT INTO in_motion SELECT -i FROM generate_series(1001, 1050) i");
        }
    });
    assert_refused(
        moved,
        "expected: 1080 rows, as the server counted before and after\n  found:    1030 rows",
    );
}

/// What comes of scanning 250 rows behind a cap of 100 with one fault.
fn scan_of_liar(
    stack: &Stack,
    text: &str,
    method: &str,
    after: u64,
    action: &Json,
) -> Result<u64, TargetError> {
    let (mut target, table) = table(stack, text, 250);
    let faults = stack.misbehave(&rule(method, text, after, 1, action));
    let scanned = scan(&mut target, &table).map(|(rows, _)| ids(&rows).len() as u64);
    assert_eq!(faults.fired(), [1]);
    scanned
}

#[test]
fn a_server_that_does_not_tell_the_truth_is_refused() {
    let Some(stack) = plain() else { return };
    let lie =
        |text: &str, method: &str, after, action: Json| scan_of_liar(stack, text, method, after, &action);
    let repeated = lie("lie_repeat", "GET", 3, json!({ "do": "repeat" }));
    assert_refused(repeated, "expected: every key once");
    let empty = lie("lie_empty", "GET", 2, json!({ "do": "rows", "keep": 0 }));
    assert_refused(empty, "expected: 250 rows, as the server counted before and after\n  found:    200 rows");
    let more = lie("lie_more", "HEAD", 1, json!({ "do": "range", "range": "*/251" }));
    assert_refused(more, "between 250 and 250");
    let fewer = lie("lie_fewer", "HEAD", 1, json!({ "do": "range", "range": "*/249" }));
    assert_refused(fewer, "found:    249 rows");
    let none = lie("lie_none", "HEAD", 0, json!({ "do": "range", "range": "*/*" }));
    assert_refused(none, "the server does not say how many rows there are");
    let estimate = lie("lie_words", "HEAD", 0, json!({ "do": "range", "range": "0-99/many" }));
    assert_refused(estimate, "the server does not say");
    // A short page does no harm: the next begins behind its last row. Nor does a first count that two readings and the
    // second count contradict.
    assert_eq!(lie("lie_short", "GET", 2, json!({ "do": "rows", "keep": 7 })).unwrap(), 250);
    assert_eq!(lie("lie_first", "HEAD", 0, json!({ "do": "range", "range": "*/9999" })).unwrap(), 250);
}

#[test]
fn a_scan_goes_on_when_the_server_is_not_available_for_a_while() {
    let Some(stack) = plain() else { return };
    let (mut target, table) = table(stack, "weather", 250);
    for (after, action) in [
        (1, json!({ "do": "answer", "status": 503, "headers": { "Retry-After": "0" }, "body": "<html>" })),
        (1, json!({ "do": "answer", "status": 429, "headers": { "Retry-After": "3" }, "body": {} })),
        (2, json!({ "do": "answer", "status": 503, "body": { "code": "PGRST002" } })),
        (2, json!({ "do": "answer", "status": 504, "body": "<html>" })),
        (0, json!({ "do": "answer", "status": 502, "body": "<html>" })),
        (3, json!({ "do": "reset" })),
        (3, json!({ "do": "cut" })),
    ] {
        pauses();
        let faults = stack.misbehave(&rule("GET", "weather", after, 2, &action));
        assert_eq!(scan(&mut target, &table).unwrap().0.len(), 250, "{action}");
        assert_eq!(faults.fired(), [2], "{action}");
        let asked = if action["status"] == 429 { Duration::from_secs(3) } else { Duration::from_millis(250) };
        assert!(pauses()[0] >= asked, "{action}");
    }
    // A statement that takes too long is asked for fewer rows at once, and not for ever.
    let slow = json!({ "do": "answer", "status": 500, "body": { "code": "57014" } });
    let faults = stack.misbehave(&rule("GET", "weather", 1, 2, &slow));
    assert_eq!(scan(&mut target, &table).unwrap().0.len(), 250);
    assert!(stack.requests("weather").iter().any(|r| r["path"].as_str().unwrap().contains("limit=250")));
    drop(faults);
    let faults = stack.misbehave(&rule("GET", "weather", 0, 99, &slow));
    let error = scan(&mut target, &table).unwrap_err();
    assert!(matches!(error, TargetError::TooSlow { .. }), "{error}");
    assert!(faults.fired()[0] < 20);
}

#[test]
fn nothing_is_waited_for_longer_than_the_deadline() {
    let Some(stack) = plain() else { return };
    let (_, table) = table(stack, "patience", 1);
    let brief = PostgrestOptions { request_timeout: Duration::from_millis(300), ..options() };
    let mut target = open_with(stack, &brief);
    let hang = stack.misbehave(&rule("HEAD", "patience", 0, 99, &json!({ "do": "hang" })));
    let started = std::time::Instant::now();
    let error = scan(&mut target, &table).unwrap_err();
    assert!(matches!(error, TargetError::Transient { .. }), "{error}");
    assert!(chain(&error).contains("no answer within the time allowed"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    assert!(hang.fired()[0] > 1);
    drop(hang);
    let busy = json!({ "do": "answer", "status": 429, "headers": { "Retry-After": "3600" }, "body": {} });
    let _busy = stack.misbehave(&rule("HEAD", "patience", 0, 99, &busy));
    let error = scan(&mut target, &table).unwrap_err();
    let TargetError::Transient { retry_after, .. } = error else { panic!("{error}") };
    assert_eq!(retry_after, Some(Duration::from_hours(1)), "for whoever has more patience");
}

#[test]
fn looking_sends_nothing_but_questions() {
    let Some((stack, _turn)) = with_functions() else { return };
    let before = stack.requests("").len();
    let (mut target, table) = table(stack, "looked_at", 20);
    target.identity().unwrap();
    target.table(&name("looked_att")).unwrap_err();
    scan(&mut target, &table).unwrap();
    target.read(&table, &[0], &[vec![Value::Int(3)], vec![Value::Int(99)]]).unwrap();
    let run = ops::target::RunId { plan: "f".repeat(64), direction: "apply".into() };
    assert!(target.recorded(&run, 0).unwrap().is_empty());
    assert_refused(target.measure("SELECT 1"), "does not run queries");
    let requests = stack.requests("");
    let sent: Vec<&str> = requests[before..].iter().map(|r| r["method"].as_str().unwrap()).collect();
    assert!(sent.len() > 6 && sent.iter().all(|method| ["GET", "HEAD"].contains(method)), "{sent:?}");
}

#[test]
fn keys_and_names_mean_themselves() {
    let Some(stack) = plain() else { return };
    stack.sql(
        r#"CREATE TABLE "Odd, t" ("order" text, "a.b,c" int, "q""\(d)%" text, "sel ect" timestamptz, PRIMARY KEY ("order", "a.b,c"));
        INSERT INTO "Odd, t" SELECT k, n, k, '2026-01-02 03:04:05+00' FROM generate_series(1, 40) n,
            unnest(ARRAY['', ' ', 'a,b', 'a"b', 'a\b', '(a)', '{a}', 'a+b%26', 'é日🦀', 'null', 'eq.x', '*', '"a"', E'a\nb']) k"#,
    );
    stack.reload();
    let mut target = open(stack);
    let table = target.table(&TableName { schema: None, name: "Odd, t".into() }).unwrap();
    let (rows, proof) = scan(&mut target, &table).unwrap();
    assert_eq!((rows.len(), proof.pages), (560, 7));
    assert!(
        rows.iter().all(|row| row[0] == row[2] && row[3] == Value::Text("2026-01-02 03:04:05+00".into()))
    );
    let keys: Vec<Row> = rows.iter().map(|row| row[..2].to_vec()).collect();
    let found = target.read(&table, &[0, 1], &keys).unwrap();
    assert!(found.iter().zip(&rows).all(|(found, row)| found.as_ref() == Some(row)));
    // Each by its own address as well.
    for row in rows.iter().step_by(40) {
        assert_eq!(target.read(&table, &[0, 1], &[row[..2].to_vec()]).unwrap(), [Some(row.clone())]);
    }
}

#[test]
fn values_do_not_depend_on_the_time_zone_of_the_server() {
    let Some(stack) = plain() else { return };
    assert_eq!(stack.sql("SHOW timezone"), "Asia/Kolkata");
    stack.sql(
        "CREATE TABLE zones (id int PRIMARY KEY, at timestamptz, many timestamptz[], span tstzrange, every interval);
         INSERT INTO zones VALUES (1, '2026-01-02 03:04:05.123456+00', '{2026-01-02 03:04:05+00}', '[2026-01-02 00:00+00,)',
            '1 year 2 mons -3 days 04:05:06.7')",
    );
    stack.reload();
    let mut target = open(stack);
    let table = target.table(&name("zones")).unwrap();
    let (rows, _) = scan(&mut target, &table).unwrap();
    let texts = [
        "2026-01-02 03:04:05.123456+00",
        "{\"2026-01-02 03:04:05+00\"}",
        "[\"2026-01-02 00:00:00+00\",)",
        "P1Y2M-3DT4H5M6.7S",
    ];
    let expected: Vec<Value> =
        std::iter::once(Value::Int(1)).chain(texts.map(|t| Value::Text(t.to_owned()))).collect();
    assert_eq!(rows, std::slice::from_ref(&expected));
    assert_eq!(target.read(&table, &[0], &[vec![Value::Int(1)]]).unwrap(), [Some(expected)]);
}

#[test]
fn other_schemas_are_asked_for_by_name() {
    let Some(stack) = plain() else { return };
    stack.sql(
        "CREATE TABLE ops_stack.twin (id int PRIMARY KEY, there text); INSERT INTO ops_stack.twin VALUES (1, 'yes');
         CREATE TABLE twin (id int PRIMARY KEY, here text); GRANT ALL ON ops_stack.twin TO service_role",
    );
    stack.reload();
    let mut target = open(stack);
    let table = target.table(&name("ops_stack.twin")).unwrap();
    assert_eq!(table.columns[1].name, "there");
    let (rows, _) = scan(&mut target, &table).unwrap();
    assert_eq!(rows, [row(1, "yes")]);
    assert_eq!(target.table(&name("twin")).unwrap().columns[1].name, "here");
    let error = target.table(&name("hidden.twin")).unwrap_err();
    assert!(chain(&error).contains("PGRST106"), "{error}");
}

#[test]
fn what_is_no_table_is_refused() {
    let Some(stack) = plain() else { return };
    stack.sql(
        "CREATE TABLE ground (id int PRIMARY KEY); CREATE VIEW window_ AS SELECT id FROM ground;
         CREATE VIEW counted AS SELECT count(*) FROM ground; CREATE MATERIALIZED VIEW stale AS SELECT id FROM ground",
    );
    stack.reload();
    let mut target = open(stack);
    for view in ["window_", "counted", "stale"] {
        assert_refused(target.table(&name(view)), "a view");
    }
    assert_refused(target.table(&name("grund")), "`ground`");
}
