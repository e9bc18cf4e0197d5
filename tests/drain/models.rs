//! A backlog drained by a model: the service is one of the test, which sees what was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::support::command::xtask;
use crate::support::files_below;
use crate::world::World;

/// Answers every question of the Chat Completions API with the file `out.txt`; the questions, with their heads.
fn service() -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let (asked, questions) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(&stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
            }
            let head = head.to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let answer = json!({
                "model": "small-1", "usage": {"prompt_tokens": 40, "completion_tokens": 120},
                "choices": [{"message": {"content": "<file path=\"out.txt\">\nhello\n</file>"}, "finish_reason": "stop"}],
            })
            .to_string();
            if asked.send((head, serde_json::from_slice(&body).unwrap())).is_err() {
                return;
            }
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
            stream.write_all((head + &answer).as_bytes()).unwrap();
        }
    });
    (origin, questions)
}

fn drain(world: &World, origin: Option<&str>, key: Option<&str>, check: &str) -> (i32, Value, String) {
    let mut command = xtask(world.path());
    command.args(["drain", "--db", "x.db", "--json", "--executor", "chat", "--model", "small"]);
    if let Some(origin) = origin {
        command.args(["--model-url", origin]);
    }
    if let Some(key) = key {
        command.env("OPENAI_API_KEY", key);
    }
    let output = command.env("TELEMETRY_DB_ENABLED", "1").args(["--", "sh", "-c", check]).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code().unwrap(), report, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_model_delivers_and_a_program_checks() {
    let world = World::new(2);
    let (origin, questions) = service();
    let (code, report, said) = drain(&world, Some(&origin), Some("k3y-4711"), "grep -q hello out.txt");
    assert_eq!(code, 0, "{said}");
    assert_eq!(report["attempts"], json!({"total": 2, "ended": {"success": 2}}));
    assert_eq!(report["events"], json!({"total": 2, "ended": {"written": 2}}));
    let events = "SELECT DISTINCT outcome_source, model, stop_reason, input_tokens, actual_output_tokens,
        actual_max_tokens = selected_budget FROM token_estimation_v2_events";
    assert_eq!(world.rows(events), "chat | small-1 | stop | 40 | 120 | 1");
    let reached =
        r#"{"reached":["preflight_ok","model_call_started","model_call_ended"],"not_understood":0}"#;
    assert_eq!(world.rows("SELECT DISTINCT milestones FROM phase_attempts"), reached);
    assert_eq!(world.rows("SELECT tokens_used FROM runs"), "320");
    for (head, body) in questions.try_iter().collect::<Vec<_>>() {
        assert!(head.contains("authorization: bearer k3y-4711"), "{head}");
        assert_eq!(body["model"], "small");
    }
    // The key is in no file, and was not said.
    assert!(!said.contains("k3y-4711") && !report.to_string().contains("k3y-4711"));
    for file in files_below(world.path()) {
        let bytes = std::fs::read(world.path().join(&file)).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("k3y-4711"), "{file}");
    }
}

#[test]
fn what_the_check_refuses_has_failed_and_its_tokens_count() {
    let world = World::new(1);
    world.sql("UPDATE phases SET max_builder_attempts = 1");
    let (origin, _questions) = service();
    let (code, report, said) = drain(&world, Some(&origin), None, "echo no >&2; exit 1");
    assert_eq!(code, 1, "{said}");
    assert_eq!(report["attempts"]["ended"], json!({"failed": 1}));
    let failed = world.rows("SELECT state, last_failure_reason, tokens_used FROM phases");
    assert_eq!(failed, "FAILED | REPORTED_FAILURE: the check failed: exit status 1: no | 160");
}

#[test]
fn a_run_without_tokens_left_asks_nobody() {
    let world = World::new(1);
    world.sql("UPDATE phases SET max_builder_attempts = 1; UPDATE runs SET token_cap = 1000");
    let (origin, questions) = service();
    let (code, report, said) = drain(&world, Some(&origin), None, "true");
    assert_eq!(code, 1, "{said}");
    assert_eq!(report["zero_yield"]["ended"], json!({"never_reached_model": 1}));
    assert_eq!(world.rows("SELECT reason FROM phase_attempts"), "token_cap");
    assert_eq!(questions.try_iter().count(), 0);
}

#[test]
fn keys_and_phases_go_nowhere_in_the_clear_and_no_key_is_a_refusal() {
    let world = World::new(1);
    for (origin, key, says) in [
        (None, None, "OPENAI_API_KEY"),
        (Some("http://example.com"), Some("k3y-4711"), "not in the clear"),
        (Some("http://127.0.0.1:80@example.com"), Some("k3y-4711"), "not in the clear"),
    ] {
        let (code, _, said) = drain(&world, origin, key, "true");
        assert_eq!(code, 3, "{said}");
        assert!(said.contains(says) && !said.contains("k3y-4711"), "{said}");
    }
    assert_eq!(world.rows("SELECT state FROM phases"), "QUEUED");
}
