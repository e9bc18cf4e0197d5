//! What an API refuses, and what it bears: read from raw answers, so that no client hides what a server did.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use ops::phases::{PhaseState, Store, StoreError};
use ops::work::serve::Limits;

use super::suite::{event, record, why};
use super::world::{LINEAGE, Serving, World, all, claim, client, now, waiting};

/// Sends bytes and reads until the server closes the connection.
fn exchange(origin: &str, bytes: &str) -> String {
    let mut stream = connect(origin);
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn connect(origin: &str) -> TcpStream {
    let stream = TcpStream::connect(origin.strip_prefix("http://").unwrap()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// A request with these headers beside its length.
fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

#[track_caller]
fn assert_says(answer: &str, status: u16, says: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(says), "{answer}");
}

#[test]
fn only_what_is_meant_for_this_server_is_heard() {
    let world = World::api();
    let origin = world.url();
    let good = format!("host: localhost:1\r\ncontent-type: application/json\r\nx-ops-lineage: {LINEAGE}\r\n");
    let ask = |headers: &str| exchange(&origin, &request("POST", "/v1/runs", headers, "{}"));
    assert_says(&ask(&good), 200, "[]");
    for (from, to, status, says) in [
        ("host: localhost:1", "host: evil.example", 403, "address of this machine"),
        ("host: localhost:1", "host: 127.0.0.1.evil.example:80", 403, "address of this machine"),
        ("application/json", "text/plain", 415, "a call is JSON"),
        (LINEAGE, "fedcba9876543210", 412, "lineage 0123456789abcdef, not of fedcba9876543210"),
        ("x-ops-lineage", "x-other", 428, "name the lineage"),
    ] {
        assert_says(&ask(&good.replace(from, to)), status, says);
    }
    for (method, path, body, status) in [
        ("POST", "/v1/claim", "{\"phase_pk\": \"x\"}", 400),
        ("POST", "/v1/claim", "{", 400),
        ("GET", "/v1/claim", "", 405),
        ("POST", "/v1/nothing", "{}", 404),
        ("GET", "/../Cargo.toml", "", 404),
        ("POST", "/", "{}", 405),
    ] {
        assert_says(&exchange(&origin, &request(method, path, &good, body)), status, "");
    }
    let page = exchange(&origin, &request("GET", "/", &good, ""));
    assert_says(&page, 200, "default-src 'none'");
    assert!(!page.contains("http://") && !page.contains("https://"), "nothing is from elsewhere: {page}");
}

#[test]
fn what_is_too_large_or_too_slow_is_turned_away() {
    let world = World::sqlite();
    let short = Duration::from_millis(300);
    let limits = Limits { idle: short, request: short, body_bytes: 100, ..Limits::default() };
    let server = Serving::start(&world.url(), limits);
    let good = format!("host: localhost\r\ncontent-type: application/json\r\nx-ops-lineage: {LINEAGE}\r\n");
    let large = " ".repeat(101);
    assert_says(&exchange(&server.origin, &request("POST", "/v1/runs", &good, &large)), 413, "100 bytes");
    // A length that is announced is not waited for, and one that is not is counted.
    let announced = format!("POST /v1/runs HTTP/1.1\r\n{good}content-length: 1000000000\r\n\r\n");
    assert_says(&exchange(&server.origin, &announced), 413, "100 bytes");
    let chunked = format!(
        "POST /v1/runs HTTP/1.1\r\n{good}transfer-encoding: chunked\r\n\r\n65\r\n{large}\r\n0\r\n\r\n"
    );
    assert_says(&exchange(&server.origin, &chunked), 413, "100 bytes");
    for (begun, says) in [
        (format!("POST /v1/runs HTTP/1.1\r\n{good}content-length: 2\r\n\r\n{{"), "HTTP/1.1 408"),
        ("POST /v1/runs HTTP/1.1\r\nhost:".to_owned(), ""),
        (String::new(), ""),
    ] {
        let began = Instant::now();
        let answer = exchange(&server.origin, &begun);
        assert!(answer.starts_with(says), "{answer}");
        assert!((short..Duration::from_secs(10)).contains(&began.elapsed()), "{begun}");
    }
    assert_says(&exchange(&server.origin, &request("POST", "/v1/runs", &good, "{}")), 200, "[]");
}

#[test]
fn one_connection_too_many_is_turned_away_and_a_kept_one_ends() {
    let world = World::sqlite();
    let limits = Limits { connections: 2, kept: Duration::from_millis(600), ..Limits::default() };
    let server = Serving::start(&world.url(), limits);
    let (mut first, second) = (connect(&server.origin), connect(&server.origin));
    // Both are taken when the first is answered.
    let ask = "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n";
    first.write_all(ask.as_bytes()).unwrap();
    let mut head = [0; 12];
    first.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let mut turned_away = String::new();
    connect(&server.origin).read_to_string(&mut turned_away).unwrap();
    assert_says(&turned_away, 503, "too many connections");
    // However busy it is, a connection is not kept for ever.
    let began = Instant::now();
    let mut rest = Vec::new();
    first.read_to_end(&mut rest).unwrap();
    assert!(began.elapsed() < Duration::from_secs(5));
    drop((first, second));
    // A client waits until there is room.
    assert!(client(&server.origin).run_ids().unwrap().is_empty());
}

#[test]
fn a_server_that_ends_answers_first_and_one_that_is_away_is_waited_for() {
    let world = World::sqlite();
    drop(world.with(&["p"]));
    let server = Serving::start(&world.url(), Limits::default());
    let mut store = client(&server.origin);
    let held = claim(&mut store);
    drop(server);
    let began = Instant::now();
    let error = store.release(&held, now()).unwrap_err();
    assert!(matches!(error, StoreError::Db(_)) && began.elapsed() >= Duration::from_secs(1), "{error:?}");
    assert_eq!(world.sql("SELECT state FROM phases"), "EXECUTING");
    // What was held is held still when it comes back.
    let server = Serving::start(&world.url(), Limits::default());
    client(&server.origin).finish(&held, &record(PhaseState::Complete), Ok(&event(&held)), &why).unwrap();
    assert_eq!(world.sql("SELECT state FROM phases"), "COMPLETE");
}

/// Passes on what it is sent, and cuts off the answer to the first request for `path`.
fn cutting(origin: &str, path: &'static str) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let here = format!("http://{}", listener.local_addr().unwrap());
    let origin = origin.to_owned();
    std::thread::spawn(move || {
        let mut has_cut = false;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = whole_request(&mut stream);
            let is_it = request.starts_with(format!("POST {path} ").as_bytes());
            let line = request.windows(2).position(|two| two == b"\r\n").unwrap() + 2;
            request.splice(line..line, *b"connection: close\r\n");
            let mut behind = connect(&origin);
            behind.write_all(&request).unwrap();
            let mut answer = Vec::new();
            behind.read_to_end(&mut answer).unwrap();
            if is_it && !std::mem::replace(&mut has_cut, true) {
                continue;
            }
            let _ = stream.write_all(&answer);
        }
    });
    here
}

fn whole_request(stream: &mut TcpStream) -> Vec<u8> {
    let (mut request, mut buffer) = (Vec::new(), [0; 8192]);
    loop {
        let read = stream.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request).to_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if request.len() >= head.len() + 4 + length.map_or(0, |n| n.parse::<usize>().unwrap()) {
            return request;
        }
    }
}

#[test]
fn what_was_done_while_its_answer_was_lost_is_not_done_again() {
    for (path, ends_well) in [("/v1/complete", true), ("/v1/complete", false), ("/v1/release", true)] {
        let world = World::sqlite();
        drop(world.with(&["p"]));
        let server = Serving::start(&world.url(), Limits::default());
        let mut direct = client(&server.origin);
        let held = claim(&mut direct);
        if !ends_well {
            // Somebody else has it by now.
            direct.recover_from("me", now()).unwrap();
            let (pk, seen, _) = waiting(&mut direct, &all()).remove(0);
            direct.claim(pk, seen, "other", now(), Duration::from_mins(1)).unwrap().unwrap();
        }
        let mut store = client(&cutting(&server.origin, path));
        let ended = if path == "/v1/release" {
            store.release(&held, now())
        } else {
            store.finish(&held, &record(PhaseState::Complete), Ok(&event(&held)), &why).map(drop)
        };
        match ended {
            Ok(()) => assert!(ends_well),
            Err(StoreError::LeaseLost(key)) => assert!(!ends_well && key == held.key),
            Err(error) => panic!("{path}: {error:?}"),
        }
        let accounts = if path == "/v1/complete" && ends_well { "1" } else { "0" };
        assert_eq!(world.sql("SELECT count(*) FROM phase_attempts"), accounts);
    }
}
