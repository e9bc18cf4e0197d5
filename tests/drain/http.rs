//! A backlog whose phases a service attempts: the service is one of the test, which sees what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::support::command::xtask;
use crate::world::World;

/// A service for the database of this lineage, which gives these answers to attempts; what it was sent, with its heads.
fn service(lineage: &str, answers: Vec<(u16, Value)>) -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let health = json!({
        "service": "ops", "format": 1, "url": "postgres://elsewhere/db", "fingerprint": "f",
        "lineage": {"id": lineage, "purpose": "seed", "stamped_at": "2026-01-02T03:04:05Z"},
    });
    let (sent, seen) = channel();
    std::thread::spawn(move || {
        let mut answers = answers.into_iter();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(&stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap() == 0 {
                    return;
                }
            }
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            let (status, answer) = if head.starts_with("get /health ") {
                (200, health.clone())
            } else {
                let _ = sent.send((head, serde_json::from_slice(&body).unwrap()));
                answers.next().unwrap()
            };
            let answer = answer.to_string();
            let head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", answer.len());
            stream.write_all(format!("{head}\r\n{answer}").as_bytes()).unwrap();
        }
    });
    (origin, seen)
}

fn drain(world: &World, origin: &str, check: &[&str]) -> (i32, Value, String) {
    let output = xtask(world.path())
        .args(["drain", "--db", "x.db", "--json", "--executor", "http", "--executor-url", origin, "--"])
        .args(check)
        .env("TELEMETRY_DB_ENABLED", "1")
        .env("OPS_EXECUTOR_TOKEN", "t0ken-4711")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("t0ken-4711"));
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

fn report(status: &str) -> Value {
    json!({"status": status, "output_tokens": 1832, "input_tokens": 1204, "stop_reason": "end_turn", "model": "m"})
}

#[test]
fn what_a_service_delivers_is_written_and_verified_here() {
    let world = World::new(2);
    let lineage: String = world.one("SELECT lineage FROM ops_lineage");
    let good = json!({
        "report": report("success"), "files": {"out.txt": "right\n"},
        "milestones": ["preflight_ok", "model_call_started", "model_call_ended"],
    });
    // One that says success and delivers nothing, one whose file is wrong, one that delivers too much.
    let lies = json!({"report": report("success")});
    let wrong = json!({"report": report("success"), "files": {"out.txt": "wrong\n"}});
    let foreign = json!({"report": report("success"), "files": {"out.txt": "right\n", "../up.txt": "x"}});
    let answers = [&good, &lies, &wrong, &foreign].map(|answer| (200, answer.clone()));
    let (origin, seen) = service(&lineage, answers.into());
    let (code, report, said) = drain(&world, &origin, &["grep", "-q", "right", "out.txt"]);
    assert_eq!(code, 1, "the second phase fails three times: {said}");
    assert_eq!(report["attempts"], json!({"total": 4, "ended": {"failed": 3, "success": 1}}));
    let reasons =
        "SELECT phase_id, outcome_source, coalesce(reason, '-'), coalesce(detail, '-') FROM phase_attempts";
    assert_eq!(
        world.rows(reasons),
        "p1 | http | - | -\n\
         p2 | http | not_verified | not delivered: out.txt\n\
         p2 | http | reported_failure | the check failed: exit status 1\n\
         p2 | http | reported_failure | a file was not asked for: `../up.txt`"
    );
    assert_eq!(
        world.rows("SELECT count(*), max(actual_output_tokens) FROM token_estimation_v2_events"),
        "4 | 1832"
    );
    assert_eq!(world.read(world.attempts("p1").join("1/workspace/out.txt")), "right\n");
    assert!(!world.attempts("p2").join("3/up.txt").exists());
    let (head, phase) = seen.try_iter().next().unwrap();
    assert!(
        head.starts_with("post /v1/attempt ") && head.contains("authorization: bearer t0ken-4711"),
        "{head}"
    );
    assert!(head.contains(&format!("x-ops-lineage: {lineage}")), "{head}");
    assert_eq!((&phase["phase_id"], &phase["deliverables"]), (&json!("p1"), &json!(["out.txt"])));
    assert!(phase["selected_budget"].as_u64().is_some() && phase.get("workspace").is_none());
}

#[test]
fn a_service_of_another_database_is_refused_before_the_first_phase_and_during_it() {
    let world = World::new(1);
    let lineage: String = world.one("SELECT lineage FROM ops_lineage");
    let (origin, seen) = service("fedcba9876543210", Vec::new());
    let (code, _, said) = drain(&world, &origin, &["true"]);
    assert_eq!(code, 3, "{said}");
    assert!(said.contains(&lineage) && said.contains("fedcba9876543210"), "{said}");
    assert_eq!(seen.try_iter().count(), 0);
    assert_eq!(world.rows("SELECT state, builder_attempts FROM phases"), "QUEUED | 0");
    let problem = |why: &str| json!({"error": why});
    let answers = vec![
        (412, problem("I have another database by now")),
        (404, problem("no such run")),
        (503, problem("not now")),
    ];
    let (origin, _seen) = service(&lineage, answers);
    let (_, report, _) = drain(&world, &origin, &["true"]);
    let none = json!({"api_not_found": 1, "api_unreachable": 1, "database_mismatch": 1});
    assert_eq!(report["zero_yield"]["ended"], none);
    assert!(world.rows("SELECT detail FROM phase_attempts").contains("I have another database by now"));
    let (code, _, said) = drain(&world, "http://127.0.0.1:9", &["true"]);
    assert_eq!(code, 1, "{said}");
    let (code, _, said) = drain(&world, "http://example.com", &["true"]);
    assert_eq!(code, 3, "{said}");
}
