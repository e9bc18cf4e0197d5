//! What PostgREST does that can destroy data, asserted on the real server: each of these is a duty of whoever writes
//! a client. When one of them fails after an upgrade, the client may have one duty less, or a new one.

use serde_json::{Value, json};

use crate::http::Reply;
use crate::stack::{Stack, stack};

fn ask(stack: &Stack, method: &str, path: &str, prefer: &str, body: Option<Value>) -> Reply {
    let headers = [("apikey", stack.key("secret")), ("Prefer", prefer)];
    let body = body.map(|body| body.to_string());
    crate::http::send(stack.url(), method, &format!("/rest/v1/{path}"), &headers, body.as_deref()).unwrap()
}

fn table(stack: &Stack, sql: &str) {
    stack.sql(sql);
    stack.reload();
}

fn ids(reply: &Reply) -> Vec<u64> {
    let rows = reply.json();
    rows.as_array().unwrap().iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

/// So a dry run sends no writes at all.
#[test]
fn a_rollback_that_the_client_prefers_is_ignored_and_the_write_commits() {
    let Some(stack) = stack() else { return };
    table(stack, "CREATE TABLE dry (id bigint PRIMARY KEY)");
    for (id, prefer, applied) in
        [(1, "tx=rollback", None), (2, "tx=rollback, handling=strict", Some("handling=strict"))]
    {
        let reply = ask(stack, "POST", "dry", prefer, Some(json!([{"id": id}])));
        assert_eq!((reply.status, reply.header("preference-applied")), (201, applied), "{reply:?}");
    }
    assert_eq!(stack.sql("SELECT count(*) FROM dry"), "2");

    let allowing = Stack::start(&["--tx-end", "commit-allow-override", "--max-rows", "100"]).unwrap();
    table(&allowing, "CREATE TABLE dry (id bigint PRIMARY KEY)");
    let reply = ask(&allowing, "POST", "dry", "tx=rollback", Some(json!([{"id": 1}])));
    assert_eq!((reply.status, reply.header("preference-applied")), (201, Some("tx=rollback")), "{reply:?}");
    assert_eq!(allowing.sql("SELECT count(*) FROM dry"), "0");
    allowing.sql("INSERT INTO dry SELECT generate_series(1, 101)");
    assert_eq!(ids(&ask(&allowing, "GET", "dry", "", None)).len(), 100);
}

/// So the size of a page is what came, and the end is a page without rows.
#[test]
fn a_read_is_cut_at_the_limit_of_the_server_without_an_error() {
    let Some(stack) = stack() else { return };
    table(stack, "CREATE TABLE cut AS SELECT id FROM generate_series(1, 2505) id");
    for path in ["cut", "cut?limit=5000"] {
        let reply = ask(stack, "GET", path, "", None);
        assert_eq!((reply.status, ids(&reply).len()), (200, 1000));
        assert_eq!(reply.header("content-range"), Some("0-999/*"));
    }
    let counted = ask(stack, "GET", "cut?limit=5000", "count=exact", None);
    assert_eq!((counted.status, ids(&counted).len()), (206, 1000));
    assert_eq!(counted.header("content-range"), Some("0-999/2505"));

    let past = |path: &str| {
        let reply = ask(stack, "GET", path, "count=exact", None);
        (reply.status, reply.header("content-range").unwrap().to_owned(), reply.json())
    };
    assert_eq!(past("cut?offset=2505"), (206, "*/2505".to_owned(), json!([])), "the row after the last");
    let (status, range, error) = past("cut?offset=2506");
    assert_eq!((status, range.as_str(), error["code"].as_str()), (416, "*/2505", Some("PGRST103")));
}

/// So pages follow a unique key, and keys are counted.
#[test]
fn a_count_that_agrees_does_not_prove_that_every_row_was_read() {
    let Some(stack) = stack() else { return };
    let make = "CREATE TABLE paged (id bigint PRIMARY KEY, v int);
        INSERT INTO paged SELECT id, 0 FROM generate_series(1, 2505) id";
    table(stack, make);
    let read = |next: &dyn Fn(&[u64]) -> String, disturb: &str| {
        let mut read: Vec<u64> = Vec::new();
        loop {
            let page = ids(&ask(stack, "GET", &next(&read), "", None));
            if page.is_empty() {
                let distinct = read.iter().collect::<std::collections::BTreeSet<_>>().len();
                let count = stack.sql("SELECT count(*) FROM paged").parse().unwrap();
                return (read, count, distinct);
            }
            if read.is_empty() {
                stack.sql(disturb);
            }
            read.extend(page);
        }
    };
    let unordered = |read: &[u64]| format!("paged?select=id&offset={}", read.len());
    let keyset =
        |read: &[u64]| format!("paged?select=id&order=id&id=gt.{}", read.last().copied().unwrap_or_default());
    let update = "UPDATE paged SET v = v + 1 WHERE id <= 100";
    let counts = |(rows, count, distinct): (Vec<u64>, usize, usize)| (rows.len(), count, distinct);
    assert_eq!(counts(read(&unordered, update)), (2505, 2505, 2405), "rows, rows counted, distinct rows");
    assert_eq!(counts(read(&keyset, update)), (2505, 2505, 2505));

    // Ten rows of the page that was read vanish and ten appear at the end: ten rows in between are passed over, and
    // the sum is right all the same.
    let ordered = |read: &[u64]| format!("paged?select=id&order=id&offset={}", read.len());
    let shift = "DELETE FROM paged WHERE id <= 10; INSERT INTO paged SELECT generate_series(3001, 3010), 0";
    let (shifted, count, distinct) = read(&ordered, shift);
    assert_eq!((shifted.len(), count, distinct), (2505, 2505, 2505));
    assert_eq!(
        (1001..=1010).filter(|id| shifted.contains(id)).count(),
        0,
        "these are there and were not read"
    );
}

/// So rows are sent in groups that have the same columns.
#[test]
fn an_upsert_of_unlike_rows_erases_what_a_row_did_not_mention() {
    let Some(stack) = stack() else { return };
    table(stack, "CREATE TABLE unlike (id bigint PRIMARY KEY, a text, b text DEFAULT 'default')");
    let rows = json!([{"id": 1, "a": "new"}, {"id": 2, "a": "new", "b": "new"}]);
    let upsert = |path: &str, prefer: &str, rows: &Value| {
        stack.sql("TRUNCATE unlike; INSERT INTO unlike VALUES (1, 'old', 'old'), (2, 'old', 'old')");
        let prefer = format!("resolution=merge-duplicates{prefer}");
        let status = ask(stack, "POST", path, &prefer, Some(rows.clone())).status;
        (status, stack.sql("SELECT a, coalesce(b, 'ERASED') FROM unlike ORDER BY id"))
    };
    let row = |status, first: &str, second: &str| (status, format!("{first}\n{second}"));
    assert_eq!(upsert("unlike", "", &rows), row(400, "old|old", "old|old"));
    assert_eq!(upsert("unlike?columns=id,a,b", "", &rows), row(200, "new|ERASED", "new|new"));
    assert_eq!(
        upsert("unlike?columns=id,a,b", ",missing=default", &rows),
        row(200, "new|default", "new|new")
    );
    assert_eq!(upsert("unlike", "", &json!([{"id": 1, "a": "new"}])), row(200, "new|old", "old|old"));
}

/// So the primary key is not sent when another key decides.
#[test]
fn an_upsert_by_another_key_moves_the_primary_key() {
    let Some(stack) = stack() else { return };
    table(
        stack,
        "CREATE TABLE moved (id bigint PRIMARY KEY, slug text UNIQUE); INSERT INTO moved VALUES (5, 's')",
    );
    let body = json!([{"id": 77777, "slug": "s"}]);
    let reply = ask(stack, "POST", "moved?on_conflict=slug", "resolution=merge-duplicates", Some(body));
    assert_eq!((reply.status, stack.sql("TABLE moved").as_str()), (200, "77777|s"));
}

/// So a change is never sent without a filter.
#[test]
fn a_change_without_a_filter_changes_every_row() {
    let Some(stack) = stack() else { return };
    table(stack, "CREATE TABLE whole AS SELECT id, 0 AS v FROM generate_series(1, 2503) id");
    let reply = ask(stack, "PATCH", "whole", "count=exact", Some(json!({"v": 1})));
    assert_eq!((reply.status, stack.sql("SELECT count(*) FROM whole WHERE v = 1").as_str()), (204, "2503"));
}

/// So refusals are found by counting rows, not by the status.
#[test]
fn without_rights_a_table_looks_empty_and_a_change_looks_done() {
    let Some(stack) = stack() else { return };
    let guarded = "CREATE TABLE guarded (id bigint PRIMARY KEY, v int); INSERT INTO guarded VALUES (1, 0);
        ALTER TABLE guarded ENABLE ROW LEVEL SECURITY";
    table(stack, guarded);
    let read = stack.ask("GET", "/rest/v1/guarded", "publishable", None).unwrap();
    assert_eq!((read.status, read.body.as_str()), (200, "[]"));
    let change = stack.ask("PATCH", "/rest/v1/guarded?id=eq.1", "anon", Some(r#"{"v":1}"#)).unwrap();
    assert_eq!((change.status, stack.sql("TABLE guarded").as_str()), (204, "1|0"));
    assert_eq!(ids(&stack.ask("GET", "/rest/v1/guarded", "service_role", None).unwrap()), [1]);
}

#[test]
fn the_official_client_reads_what_the_database_holds() {
    let Some(stack) = stack() else { return };
    let make = r#"CREATE TABLE crossed (id bigint PRIMARY KEY, big numeric, j jsonb, t text);
        INSERT INTO crossed SELECT id, 9007199254740993, '{"z": [1, null], "a": {"d": 1, "c": "ö"}}', NULL
        FROM generate_series(1, 2505) id"#;
    table(stack, make);
    let read = stack.read_by_supabase_js("crossed", "id", "id,big::text,j,t");
    let lines: Vec<&str> = read.lines().collect();
    let last = r#"{"big":"9007199254740993","id":2505,"j":{"a":{"c":"ö","d":1},"z":[1,null]},"t":null}"#;
    assert_eq!((lines.len(), lines[2504]), (2505, last));
}
