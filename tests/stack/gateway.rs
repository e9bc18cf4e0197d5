//! What the gateway imitates and every way in which it can be told to misbehave, seen by a client that hides
//! nothing (`support/http.rs`: one request over a socket of its own).

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http;
use crate::stack::{Stack, stack};

/// A table of its own for a test, with rows 1 to `rows`.
fn table(stack: &Stack, name: &str, rows: u32) {
    stack.sql(&format!(
        "CREATE TABLE {name} (id bigint PRIMARY KEY); INSERT INTO {name} SELECT generate_series(1, {rows})"
    ));
    stack.reload();
}

fn ids(text: &str) -> Vec<u64> {
    let rows: Vec<Value> = serde_json::from_str(text).unwrap();
    rows.iter().map(|row| row["id"].as_u64().unwrap()).collect()
}

#[test]
fn which_key_opens_what() {
    let Some(stack) = stack() else { return };
    stack.sql("CREATE FUNCTION whoami() RETURNS text LANGUAGE sql STABLE AS 'SELECT current_user::text'");
    stack.reload();
    let ask = |headers: &[(&str, &str)]| {
        let reply = http::send(stack.url(), "GET", "/rest/v1/rpc/whoami", headers, None).unwrap();
        (reply.status, reply.body)
    };
    let with = |key: &str| ask(&[("apikey", stack.key(key))]);
    for (key, role) in [
        ("service_role", "service_role"),
        ("secret", "service_role"),
        ("anon", "anon"),
        ("publishable", "anon"),
    ] {
        assert_eq!(with(key), (200, format!("{role:?}")), "{key}");
        // Twice, and as documented for opaque keys too.
        let bearer = format!("Bearer {}", stack.key(key));
        assert_eq!(ask(&[("apikey", stack.key(key)), ("Authorization", &bearer)]).1, format!("{role:?}"));
    }
    // The role is that of the token where there are two.
    let bearer = format!("Bearer {}", stack.key("service_role"));
    assert_eq!(ask(&[("apikey", stack.key("anon")), ("Authorization", &bearer)]).1, "\"service_role\"");

    let refused = |(status, body): (u16, String), why: &str| {
        assert!(status == 401 && body.contains(why), "{status}: {body}, not {why}");
    };
    refused(ask(&[]), "No API key found");
    refused(ask(&[("apikey", "sb_secret_abc")]), "Invalid API key");
    refused(with("expired"), "JWT expired");
    refused(ask(&[("apikey", stack.key("secret")), ("User-Agent", "Mozilla/5.0")]), "in browser");
    let other = format!("Bearer {}", stack.key("publishable"));
    refused(ask(&[("apikey", stack.key("secret")), ("Authorization", &other)]), "Invalid API key");
    let (head, signature) = stack.key("service_role").rsplit_once('.').unwrap();
    let forged = format!("Bearer {head}.{}", signature.chars().rev().collect::<String>());
    refused(ask(&[("apikey", stack.key("anon")), ("Authorization", &forged)]), "PGRST301");
}

#[test]
fn what_leads_where() {
    let Some(stack) = stack() else { return };
    let hello = stack.ask("POST", "/functions/v1/hello", "anon", Some(r#"{"name":"stack"}"#)).unwrap();
    assert_eq!((hello.status, hello.body.as_str()), (200, r#"{"message":"Hello stack!"}"#));
    let status = |path: &str| stack.ask("GET", path, "service_role", None).unwrap().status;
    let long = format!("/rest/v1/long?id=in.({})", "1,".repeat(5000));
    let paths =
        ["/rest/v1/", "/functions/v1/toString", "/functions/v1/", "/auth/v1/user", "/rest/v10", &long];
    assert_eq!(paths.map(status), [200, 404, 404, 404, 404, 414]);
}

#[test]
fn every_request_is_written_down_and_no_key() {
    let Some(stack) = stack() else { return };
    table(stack, "noted", 3);
    let headers = [("apikey", stack.key("secret")), ("Prefer", "count=exact")];
    http::send(stack.url(), "GET", "/rest/v1/noted?id=gt.1", &headers, None).unwrap();
    stack.ask("POST", "/rest/v1/noted", "anon", Some("[{\"id\":9}]")).unwrap();
    http::send(stack.url(), "GET", "/rest/v1/noted", &[], None).unwrap();
    let mut log = stack.requests("/rest/v1/noted");
    for entry in &mut log {
        assert!(entry["at"].is_string() && entry["ms"].as_f64().unwrap() > 0.0, "{entry}");
        let entry = entry.as_object_mut().unwrap();
        entry.retain(|name, _| name != "at" && name != "ms");
    }
    let expected = |method, path, prefer, key, status, sizes: (u32, u32), rows| {
        json!({"method": method, "path": path, "prefer": prefer, "key": key, "fault": null, "status": status,
            "request_bytes": sizes.0, "response_bytes": sizes.1, "rows": rows})
    };
    let null = Value::Null;
    assert_eq!(
        log,
        [
            expected(
                "GET",
                "/rest/v1/noted?id=gt.1",
                json!("count=exact"),
                json!("secret"),
                200,
                (0, 22),
                json!(2)
            ),
            expected("POST", "/rest/v1/noted", null.clone(), json!("anon"), 201, (10, 0), null.clone()),
            expected("GET", "/rest/v1/noted", null.clone(), null.clone(), 401, (0, 0), null),
        ]
    );
    let path = stack.fact("requests");
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("/rest/v1/noted") && !text.contains(stack.key("secret")), "{text}");
}

#[test]
fn answers_that_the_server_never_gave() {
    let Some(stack) = stack() else { return };
    table(stack, "canned", 0);
    let answer = |status: u16, headers: Value, body: Value| {
        json!({"match": {"method": "POST", "path": "/canned"},
            "action": {"do": "answer", "status": status, "headers": headers, "body": body}})
    };
    let faults = stack.misbehave(&json!([
        answer(429, json!({"Retry-After": "2"}), json!({"message": "slow down"})),
        answer(503, json!({"Retry-After": "0"}), json!({"code": "PGRST000"})),
        answer(502, json!({}), json!("<html>Bad Gateway</html>")),
        answer(
            500,
            json!({}),
            json!({"code": "57014", "message": "canceling statement due to statement timeout"})
        ),
    ]));
    let post = || stack.ask("POST", "/rest/v1/canned", "secret", Some("[{\"id\":1}]")).unwrap();
    let replies = [post(), post(), post(), post()];
    assert_eq!(replies.each_ref().map(|reply| reply.status), [429, 503, 502, 500]);
    assert_eq!([&replies[0], &replies[1]].map(|reply| reply.header("retry-after")), [Some("2"), Some("0")]);
    assert_eq!(
        (replies[2].header("content-type"), replies[2].body.as_str()),
        (Some("text/html"), "<html>Bad Gateway</html>")
    );
    assert_eq!(replies[3].json()["code"], "57014");
    assert_eq!((faults.fired(), stack.sql("TABLE canned")), (vec![1; 4], String::new()));
    assert_eq!((post().status, stack.sql("TABLE canned").as_str()), (201, "1"));
}

#[test]
fn an_answer_that_is_lost_before_or_after_the_commit() {
    let Some(stack) = stack() else { return };
    table(stack, "lost", 0);
    let rule = |forward: bool, action: &str| {
        json!({"match": {"path": "/lost"},
            "action": {"do": action, "forward": forward, "status": 504, "body": "gone"}})
    };
    let post = |id: u32| stack.ask("POST", "/rest/v1/lost", "secret", Some(&format!("[{{\"id\":{id}}}]")));
    let _faults = stack.misbehave(&json!([
        rule(false, "reset"),
        rule(true, "reset"),
        rule(false, "answer"),
        rule(true, "answer"),
    ]));
    for id in [1, 2] {
        assert_eq!(post(id).unwrap_err().kind(), ErrorKind::ConnectionReset, "{id}");
    }
    for id in [3, 4] {
        assert_eq!(post(id).unwrap().status, 504, "{id}");
    }
    assert_eq!(stack.sql("SELECT string_agg(id::text, ',' ORDER BY id) FROM lost"), "2,4");
    let fates: Vec<_> = stack.requests("/lost").iter().map(|entry| entry["status"].clone()).collect();
    assert_eq!(fates, [Value::Null, Value::Null, json!(504), json!(504)]);
}

#[test]
fn a_server_that_never_answers_does_so_until_it_is_told_otherwise() {
    let Some(stack) = stack() else { return };
    table(stack, "hung", 0);
    for (forward, stored) in [(false, ""), (true, "2")] {
        let rule = json!({"match": {"path": "/hung"}, "action": {"do": "hang", "forward": forward}});
        let faults = stack.misbehave(&json!([rule]));
        std::thread::scope(|scope| {
            let body = if forward { "[{\"id\":2}]" } else { "[{\"id\":1}]" };
            let waiting = scope.spawn(|| stack.ask("POST", "/rest/v1/hung", "secret", Some(body)));
            while faults.fired() == [0] || stack.requests("/hung").len() < usize::from(forward) + 1 {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert_eq!(stack.sql("TABLE hung"), stored);
            std::thread::sleep(Duration::from_millis(100));
            assert!(!waiting.is_finished());
            drop(faults);
            assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::UnexpectedEof);
        });
    }
}

#[test]
fn a_body_that_ends_too_early() {
    let Some(stack) = stack() else { return };
    table(stack, "halved", 100);
    let _faults = stack.misbehave(&json!([{"match": {"path": "/halved"}, "action": {"do": "cut"}}]));
    let get = || stack.ask("GET", "/rest/v1/halved", "secret", None);
    assert_eq!(get().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(ids(&get().unwrap().body).len(), 100);
}

#[test]
fn pages_that_lie() {
    let Some(stack) = stack() else { return };
    table(stack, "lying", 30);
    let rule =
        |after: u32, action: Value| json!({"match": {"path": "/lying"}, "after": after, "action": action});
    let get = |offset: u32| {
        let headers = [("apikey", stack.key("secret")), ("Prefer", "count=exact")];
        let path = format!("/rest/v1/lying?order=id&limit=10&offset={offset}");
        let reply = http::send(stack.url(), "GET", &path, &headers, None).unwrap();
        (ids(&reply.body), reply.header("content-range").unwrap().to_owned())
    };
    let page = |ids: std::ops::RangeInclusive<u64>, range: &str| (ids.collect::<Vec<_>>(), range.to_owned());
    {
        let _faults = stack.misbehave(&json!([
            rule(0, json!({"do": "rows", "keep": 4})),
            rule(0, json!({"do": "rows", "keep": 4, "range": "0-9/30"})),
            rule(0, json!({"do": "rows", "keep": 0})),
            rule(0, json!({"do": "range", "range": "0-9/31"})),
        ]));
        assert_eq!(get(0), page(1..=4, "0-3/30"));
        assert_eq!(get(0), page(1..=4, "0-9/30"));
        assert_eq!(get(0), (vec![], "*/30".to_owned()));
        assert_eq!(get(0), page(1..=10, "0-9/31"));
        assert_eq!(get(0), page(1..=10, "0-9/30"));
    }
    let _faults = stack.misbehave(&json!([
        rule(1, json!({"do": "repeat"})),
        rule(2, json!({"do": "repeat", "range": "20-29/30"})),
    ]));
    assert_eq!([get(0), get(10)], [page(1..=10, "0-9/30"), page(1..=10, "0-9/30")]);
    assert_eq!([get(10), get(20)], [page(11..=20, "10-19/30"), page(11..=20, "20-29/30")]);
    assert_eq!(get(20), page(21..=30, "20-29/30"));
}

#[test]
fn rows_are_cut_without_touching_their_numbers() {
    let Some(stack) = stack() else { return };
    let make = r#"CREATE TABLE exact AS
        SELECT 12345678901234567890 AS n, '{"a": ["],[", {}]}'::jsonb AS j FROM generate_series(1, 3)"#;
    stack.sql(make);
    stack.reload();
    let _faults =
        stack.misbehave(&json!([{"match": {"path": "/exact"}, "action": {"do": "rows", "keep": 2}}]));
    let row = r#"{"n":12345678901234567890,"j":{"a": ["],[", {}]}}"#;
    let body = stack.ask("GET", "/rest/v1/exact", "secret", None).unwrap().body;
    assert_eq!(body, format!("[{row}, \n {row}]"));
}

#[test]
fn a_rule_waits_for_its_turn_and_counts() {
    let Some(stack) = stack() else { return };
    table(stack, "counted", 1);
    let reset = json!({"match": {"method": "GET", "path": "/counted\\?id=eq\\.\\d+$"}, "after": 2, "times": 2,
        "action": {"do": "answer", "status": 503}});
    let slow = json!({"match": {"path": "/counted\\?slow"}, "action": {"do": "delay", "ms": 150}});
    let faults = stack.misbehave(&json!([reset, slow]));
    let get =
        |query: &str| stack.ask("GET", &format!("/rest/v1/counted?{query}"), "secret", None).unwrap().status;
    assert_eq!(get("id=gt.0"), 200);
    assert_eq!([(); 6].map(|()| get("id=eq.1")), [200, 200, 503, 503, 200, 200]);
    let start = Instant::now();
    get("slow=eq.1");
    assert!(start.elapsed() >= Duration::from_millis(150));
    assert_eq!(faults.fired(), [2, 1]);
}
