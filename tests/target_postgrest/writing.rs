//! Writing: whatever becomes of the answer, each change is made once, and a row that others wrote is left alone.

use std::time::{Duration, Instant};

use ops::target::postgrest::{Postgrest, PostgrestOptions};
use ops::target::schema::Table;
use ops::target::{Batch, Change, Outcome, RunId, Target, TargetError};
use ops::value::Value;
use serde_json::{Value as Json, json};

use crate::stack::Stack;
use crate::{
    assert_refused, chain, methods, name, now, open, open_with, options, plain, row, rule, table,
    with_functions,
};

const APPLIED: Outcome = Outcome::Applied { stored: None };

fn run(plan: &str) -> RunId {
    RunId { plan: format!("{plan:x<64}"), direction: "apply".to_owned() }
}

fn begin(target: &mut Postgrest, table: &Table, run: &RunId) {
    let until = now().plus(Duration::from_hours(1));
    target.begin(table, run, "owner", now(), until).unwrap();
}

fn apply_at(
    target: &mut Postgrest,
    table: &Table,
    run: &RunId,
    first: u64,
    changes: &[Change],
) -> Result<Vec<Outcome>, TargetError> {
    let columns = table.writable();
    let key = &table.primary_key;
    target.apply(&Batch { table, columns: &columns, key, run, first, changes, now: now() })
}

fn insert(id: i64, v: &str) -> Change {
    Change::Insert { after: row(id, v).into_iter().map(Some).collect() }
}

fn update(id: i64, from: &str, to: &str) -> Change {
    Change::Update { before: row(id, from), after: row(id, to) }
}

fn delete(id: i64, v: &str) -> Change {
    Change::Delete { before: row(id, v) }
}

/// Changes of rows 1 to 4 of [`table`].
fn changes() -> Vec<Change> {
    vec![
        update(1, "value 1", "new 1"),
        update(2, "value 2", "new 2"),
        delete(3, "value 3"),
        insert(5, "new 5"),
        insert(6, "new 6"),
    ]
}

const BEFORE: &str = "1|value 1\n2|value 2\n3|value 3\n4|value 4";
const AFTER: &str = "1|new 1\n2|new 2\n4|value 4\n5|new 5\n6|new 6";

fn rows(stack: &Stack, table: &str) -> String {
    stack.sql(&format!("SELECT * FROM {table} ORDER BY id"))
}

/// Answers that say nothing of what became of the request: each is tried before and after the server did its work.
fn lost_answers() -> Vec<Json> {
    let mut all = Vec::new();
    for forward in [false, true] {
        all.extend([
            json!({ "do": "answer", "status": 503, "headers": { "Retry-After": "0" }, "body": "<html>", "forward": forward }),
            json!({ "do": "answer", "status": 502, "body": "<html>", "forward": forward }),
            json!({ "do": "answer", "status": 504, "body": "<html>", "forward": forward }),
            json!({ "do": "answer", "status": 503, "body": { "code": "PGRST001" }, "forward": forward }),
            json!({ "do": "reset", "forward": forward }),
            json!({ "do": "hang", "forward": forward }),
        ]);
    }
    all.push(json!({ "do": "cut" }));
    // The database took it back for the sake of another.
    all.push(json!({ "do": "answer", "status": 500, "body": { "code": "40P01" } }));
    all
}

#[test]
fn with_functions_a_lost_answer_is_asked_for_again() {
    let Some((stack, _turn)) = with_functions() else { return };
    for (i, action) in lost_answers().iter().enumerate() {
        let text = format!("lost_batch_{i}");
        let (_, table) = table(stack, &text, 4);
        let brief = PostgrestOptions { request_timeout: Duration::from_millis(500), ..options() };
        let mut target = open_with(stack, &brief);
        let run = run(&format!("a{i}"));
        begin(&mut target, &table, &run);
        let faults = stack.misbehave(&rule("POST", "ops_change_apply", 0, 2, action));
        let outcomes = apply_at(&mut target, &table, &run, 0, &changes()).unwrap();
        assert_eq!(faults.fired(), [2], "{action}");
        assert_eq!(outcomes, vec![APPLIED; 5], "{action}");
        assert_eq!(rows(stack, &text), AFTER, "{action}");
        let books = target.recorded(&run, 0).unwrap();
        assert_eq!((books.len(), books[0].first, &books[0].outcomes), (1, 0, &outcomes), "{action}");
        target.close(&run, "owner", true).unwrap();
    }
}

#[test]
fn with_functions_an_answer_that_stays_away_leaves_it_open_what_became_of_the_batch() {
    let Some((stack, _turn)) = with_functions() else { return };
    let (_, table) = table(stack, "lost_for_good", 4);
    let brief = PostgrestOptions { deadline: Duration::from_secs(2), ..options() };
    let mut target = open_with(stack, &brief);
    let run = run("b");
    begin(&mut target, &table, &run);
    let lost = json!({ "do": "reset", "forward": true });
    let faults = stack.misbehave(&rule("POST", "ops_change_apply", 0, 99, &lost));
    let started = Instant::now();
    let error = apply_at(&mut target, &table, &run, 0, &changes()).unwrap_err();
    assert!(matches!(error, TargetError::InDoubt { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(4));
    drop(faults);
    // The books know, and so does whoever asks again.
    let books = open(stack).recorded(&run, 0).unwrap();
    assert_eq!(books[0].outcomes, vec![APPLIED; 5]);
    assert_eq!(apply_at(&mut target, &table, &run, 0, &changes()).unwrap(), vec![APPLIED; 5]);
    assert_eq!(rows(stack, "lost_for_good"), AFTER);
}

type IsRight = fn(&TargetError) -> bool;

/// Answers after which nothing was done: how the driver hands them up.
fn refusals() -> Vec<(Json, IsRight)> {
    let answer = |status: u16, body: Json| json!({ "do": "answer", "status": status, "body": body });
    let row = "Failing row contains (confidential).";
    let said = |code: &str| json!({ "code": code, "message": row, "details": row, "hint": row });
    vec![
        (
            json!({ "do": "answer", "status": 429, "headers": { "Retry-After": "7" }, "body": {} }),
            |e| matches!(e, TargetError::Transient { retry_after: Some(t), .. } if t.as_secs() == 7),
        ),
        (answer(503, said("PGRST002")), |e| matches!(e, TargetError::Transient { .. })),
        (answer(504, said("PGRST003")), |e| matches!(e, TargetError::Transient { .. })),
        (answer(500, said("57014")), |e| matches!(e, TargetError::TooSlow { .. })),
        (answer(413, json!("<html>")), |e| matches!(e, TargetError::TooSlow { .. })),
        (answer(401, json!({ "message": row })), |e| matches!(e, TargetError::Refused(_))),
        (answer(403, said("42501")), |e| matches!(e, TargetError::Refused(_))),
        (answer(400, json!("<html>confidential")), |e| matches!(e, TargetError::Failed { .. })),
    ]
}

#[test]
fn with_functions_a_batch_that_is_turned_away_changed_nothing() {
    let Some((stack, _turn)) = with_functions() else { return };
    let (mut target, table) = table(stack, "turned_away", 4);
    let run = run("c");
    begin(&mut target, &table, &run);
    let mut all = refusals();
    let rejected =
        json!({ "do": "answer", "status": 409, "body": { "code": "23505", "details": "confidential" } });
    all.push((rejected, |e| matches!(e, TargetError::Rejected { .. })));
    for (action, is_right) in all {
        let faults = stack.misbehave(&rule("POST", "ops_change_apply", 0, 1, &action));
        let error = apply_at(&mut target, &table, &run, 0, &changes()).unwrap_err();
        assert!(is_right(&error), "{action}: {}", chain(&error));
        assert_eq!(faults.fired(), [1], "{action}");
        assert_eq!(rows(stack, "turned_away"), BEFORE, "{action}");
    }
    // What the API does not know it may know a moment later; if not, there is something to do about it.
    let stale = json!({ "do": "answer", "status": 404, "body": {} });
    let faults = stack.misbehave(&rule("POST", "ops_change_apply", 0, 2, &stale));
    let error = apply_at(&mut target, &table, &run, 0, &changes()).unwrap_err();
    assert!(chain(&error).contains("NOTIFY pgrst, 'reload schema'"), "{error}");
    assert_eq!(faults.fired(), [2]);
    drop(faults);
    assert_eq!(apply_at(&mut target, &table, &run, 0, &changes()).unwrap(), vec![APPLIED; 5]);
    assert_eq!(rows(stack, "turned_away"), AFTER);
    assert_eq!(
        stack.read_by_supabase_js("turned_away", "id", "*"),
        "{\"id\":1,\"v\":\"new 1\"}\n{\"id\":2,\"v\":\"new 2\"}\n{\"id\":4,\"v\":\"value 4\"}\n\
         {\"id\":5,\"v\":\"new 5\"}\n{\"id\":6,\"v\":\"new 6\"}\n"
    );
}

#[test]
fn without_functions_a_lost_answer_is_settled_row_by_row() {
    let Some(stack) = plain() else { return };
    for (i, action) in lost_answers().iter().enumerate() {
        for method in ["PATCH", "DELETE", "POST"] {
            let text = format!("lost_{}_{i}", method.to_lowercase());
            let (_, table) = table(stack, &text, 4);
            let brief = PostgrestOptions { request_timeout: Duration::from_millis(500), ..options() };
            let mut target = open_with(stack, &brief);
            let faults = stack.misbehave(&rule(method, &text, 0, 2, action));
            let outcomes = apply_at(&mut target, &table, &run("d"), 0, &changes()).unwrap();
            assert_eq!(faults.fired(), [2], "{method} {action}");
            assert_eq!(outcomes, vec![APPLIED; 5], "{method} {action}");
            assert_eq!(rows(stack, &text), AFTER, "{method} {action}");
        }
    }
}

#[test]
fn without_functions_a_batch_that_failed_half_way_is_finished_by_applying_it_again() {
    let Some(stack) = plain() else { return };
    let (mut target, table) = table(stack, "half_way", 4);
    let run = run("e");
    for (method, after) in [("PATCH", 1), ("DELETE", 0), ("POST", 0)] {
        for (action, is_right) in refusals() {
            if method == "POST" && action["body"]["code"] == "57014" {
                continue;
            }
            stack.sql("TRUNCATE half_way; INSERT INTO half_way SELECT i, 'value ' || i FROM generate_series(1, 4) i");
            let faults = stack.misbehave(&rule(method, "half_way", after, 1, &action));
            let error = match apply_at(&mut target, &table, &run, 0, &changes()) {
                Err(error) => error,
                // Inserts that are too much for one request go in two.
                Ok(outcomes) => {
                    assert_eq!((method, outcomes), ("POST", vec![APPLIED; 5]), "{action}");
                    continue;
                }
            };
            assert!(is_right(&error), "{method} {action}: {}", chain(&error));
            assert_eq!(faults.fired(), [1]);
            assert_eq!(apply_at(&mut target, &table, &run, 0, &changes()).unwrap(), vec![APPLIED; 5]);
            assert_eq!(rows(stack, "half_way"), AFTER);
        }
    }
    // In another run the same rows are as they should be already.
    let other = RunId { direction: "rollback".into(), ..run };
    assert_eq!(apply_at(&mut target, &table, &other, 0, &changes()).unwrap(), vec![Outcome::Already; 5]);
}

#[test]
fn without_functions_a_row_that_changes_under_a_request_is_left_alone() {
    let Some(stack) = plain() else { return };
    for (method, change) in [("PATCH", update(1, "value 1", "ours")), ("DELETE", delete(1, "value 1"))] {
        let text = format!("raced_{}", method.to_lowercase());
        let (mut target, table) = table(stack, &text, 1);
        let faults = stack.misbehave(&rule(method, &text, 0, 1, &json!({ "do": "delay", "ms": 1500 })));
        let outcomes = std::thread::scope(|scope| {
            scope.spawn(|| {
                while faults.fired() == [0] {
                    std::thread::sleep(Duration::from_millis(5));
                }
                stack.sql(&format!("UPDATE {text} SET v = 'theirs'"));
            });
            apply_at(&mut target, &table, &run("f"), 0, std::slice::from_ref(&change)).unwrap()
        });
        assert_eq!(outcomes, [Outcome::Drifted { found: Some(row(1, "theirs")) }]);
        assert_eq!(rows(stack, &text), "1|theirs");
        // Written again, but as the batch says it is: that is the row that was meant.
        stack.sql(&format!("UPDATE {text} SET v = 'value 1'"));
        assert_eq!(apply_at(&mut target, &table, &run("f"), 1, &[change]).unwrap(), [APPLIED]);
    }
}

#[test]
fn without_functions_no_request_can_reach_further_than_its_row() {
    let Some(stack) = plain() else { return };
    let (mut target, table) = table(stack, "narrow", 300);
    let changes: Vec<Change> =
        (1..=250).map(|i| update(i, &format!("value {i}"), &format!("new {i}"))).collect();
    assert_eq!(apply_at(&mut target, &table, &run("g"), 0, &changes).unwrap(), vec![APPLIED; 250]);
    assert_eq!(stack.sql("SELECT count(*) FROM narrow WHERE v LIKE 'new %'"), "250");
    for request in stack.requests("narrow") {
        if ["PATCH", "DELETE"].contains(&request["method"].as_str().unwrap()) {
            let path = request["path"].as_str().unwrap();
            assert!(path.contains("%22id%22=eq.") && path.contains("xmin=eq."), "{path}");
        }
    }
    // Other keys than the primary one are not known to be unique.
    let columns = table.writable();
    let batch = Batch {
        table: &table,
        columns: &columns,
        key: &[1],
        run: &run("g"),
        first: 0,
        changes: &[delete(300, "value 300")],
        now: now(),
    };
    assert_refused(target.apply(&batch), "by their primary key only");
    assert_eq!(methods(stack, "narrow").iter().filter(|(method, _)| method == "DELETE").count(), 0);
}

#[test]
fn what_the_database_refuses_is_named_without_what_it_holds() {
    let Some(stack) = plain() else { return };
    stack.sql(
        "CREATE TABLE strict (id bigint PRIMARY KEY, v text NOT NULL CONSTRAINT short CHECK (length(v) < 20));
         INSERT INTO strict VALUES (1, 'a'), (2, 'b');
         CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN IF NEW.v = ''slow'' THEN RAISE query_canceled; END IF;
          IF NEW.v = ''no'' THEN RAISE ''confidential''; END IF; RETURN NEW; END';
         CREATE TRIGGER no BEFORE INSERT OR UPDATE ON strict FOR EACH ROW EXECUTE FUNCTION no()",
    );
    stack.reload();
    let mut target = open(stack);
    let table = target.table(&name("strict")).unwrap();
    let null = Change::Update { before: row(2, "b"), after: vec![Value::Int(2), Value::Null] };
    let changes = [
        update(1, "a", "confidential confidential"),
        null,
        insert(3, "no"),
        insert(4, "good"),
        insert(5, "\0"),
    ];
    let outcomes = apply_at(&mut target, &table, &run("h"), 0, &changes).unwrap();
    let failed = |reason: &str| Outcome::Failed { reason: reason.to_owned() };
    let expected = [
        failed("SQLSTATE 23514, constraint short"),
        failed("SQLSTATE 23502, column v"),
        failed("SQLSTATE P0001"),
        APPLIED,
        failed("SQLSTATE 22P05"),
    ];
    assert_eq!(outcomes, expected);
    // A real cancellation is HTTP 500 with a code of its own.
    let error = apply_at(&mut target, &table, &run("h"), 9, &[update(1, "a", "slow")]).unwrap_err();
    assert!(matches!(error, TargetError::TooSlow { .. }), "{error}");
}
