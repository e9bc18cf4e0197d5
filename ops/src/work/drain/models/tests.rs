//! Both APIs against a server that says what a test tells it to: answers, streams that are cut, storms, nonsense.

#![cfg(unix)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::phases::{Claim, PhaseKey, PhaseState, Scope};
use crate::tokens::canonical::Complexity;
use crate::tokens::estimator::{Coefficients, Estimate, EstimateInput, Features};
use crate::work::drain::classify;
use crate::work::drain::executor::Purse;

/// What the server does with one request.
#[derive(Debug, Clone)]
enum Act {
    /// Answers with this status, these further header lines and this body.
    Answer(u16, &'static str, String),
    /// Announces more than it sends, and hangs up.
    Cut(String),
    /// Reads and says nothing for as long as the test lasts.
    Silence,
    /// Reads and hangs up.
    HangUp,
}

struct Service {
    origin: String,
    requests: Arc<Mutex<Vec<(String, Value)>>>,
}

/// Does these acts, one a request; the last again and again.
fn service(acts: Vec<Act>) -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let (seen, next) = (Arc::clone(&requests), AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let Some(request) = request(&mut stream) else { continue };
            seen.lock().unwrap().push(request);
            let act = next.fetch_add(1, Ordering::Relaxed).min(acts.len() - 1);
            do_it(&mut stream, acts[act].clone());
        }
    });
    Service { origin, requests }
}

/// The head and the body of a request.
fn request(stream: &mut TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, serde_json::from_slice(&body).unwrap()))
}

fn do_it(stream: &mut TcpStream, act: Act) {
    let (head, body, more) = match act {
        Act::Answer(status, headers, body) => (format!("HTTP/1.1 {status} X\r\n{headers}"), body, 0),
        Act::Cut(body) => ("HTTP/1.1 200 OK\r\n".to_owned(), body, 1000),
        Act::HangUp => return,
        Act::Silence => {
            std::thread::sleep(Duration::from_secs(3));
            return;
        }
    };
    let length = body.len() + more;
    // In small pieces, so that lines and characters are torn.
    let _ = write!(stream, "{head}content-length: {length}\r\nconnection: close\r\n\r\n");
    for piece in body.as_bytes().chunks(7) {
        let _ = stream.write_all(piece);
        let _ = stream.flush();
    }
}

const FILE: &str = "<file path=\"out.md\">\nGrüße\n</file>\n";

/// A stream of the Messages API that says `text` and stops for `reason`.
fn messages(text: &str, reason: &str, output: u64) -> String {
    let mut stream = format!(
        "event: message_start\ndata: {}\n\nevent: ping\ndata: {{\"type\": \"ping\"}}\n\n",
        json!({"type": "message_start", "message": {"model": "m-1", "content": [],
            "usage": {"input_tokens": 100, "cache_read_input_tokens": 11, "output_tokens": 1}}})
    );
    for part in text.split_inclusive(' ') {
        let delta = json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": part}});
        stream.push_str(&format!("event: content_block_delta\ndata: {delta}\n\n"));
    }
    let delta = json!({"type": "message_delta", "delta": {"stop_reason": reason},
        "usage": {"output_tokens": output}});
    stream + &format!("data: {delta}\n\ndata: {{\"type\": \"message_stop\"}}\n\n")
}

/// A stream of the Chat API that says the same.
fn chat(text: &str, reason: &str, output: u64) -> String {
    let mut stream = String::new();
    for part in text.split_inclusive(' ') {
        let chunk = json!({"model": "m-1", "choices": [{"delta": {"content": part}, "finish_reason": null}]});
        stream.push_str(&format!("data: {chunk}\n\n"));
    }
    let last = json!({"model": "m-1", "choices": [{"delta": {}, "finish_reason": reason}], "usage": null});
    let usage = json!({"model": "m-1", "choices": [],
        "usage": {"prompt_tokens": 111, "completion_tokens": output}});
    stream + &format!("data: {last}\r\n\r\ndata: {usage}\n\ndata: [DONE]\n\n")
}

fn claim(tokens_left: Option<u64>) -> Claim {
    Claim {
        key: PhaseKey { run_id: "r".to_owned(), phase_id: "p".to_owned() },
        phase_pk: 1,
        prior: PhaseState::Queued,
        fencing_token: 1,
        owner: "o".to_owned(),
        name: "Greet".to_owned(),
        description: "Write a greeting".to_owned(),
        category: "docs".to_owned(),
        complexity: "low".to_owned(),
        scope: Scope { deliverables: vec!["out.md".to_owned()], ..Scope::default() },
        scope_error: None,
        attempt: 1,
        successes: 0,
        failures: 0,
        template_attempts: 0,
        tokens_left,
        raised_budget: None,
        samples_target: 1,
        failures_max: 3,
    }
}

fn estimate(claim: &Claim) -> Estimate {
    Features::of(&EstimateInput {
        deliverables: &claim.scope.deliverables,
        files: &[],
        category: &claim.category,
        complexity: Complexity::Low,
        scope_path_count: 0,
    })
    .estimate(&Coefficients::default())
}

/// A run of which nobody else has a part.
struct Cap(Option<u64>);

impl Purse for Cap {
    fn reserve(&self, tokens: u64) -> Result<(), NotReserved> {
        self.0.filter(|left| tokens > *left).map_or(Ok(()), |left| Err(NotReserved::Short(left)))
    }
}

struct Lab {
    dir: TempDir,
    service: Service,
    options: ModelOptions,
}

fn lab(api: Api, acts: Vec<Act>) -> Lab {
    let dir = tempfile::tempdir().unwrap();
    let service = service(acts);
    let options = ModelOptions {
        api,
        origin: service.origin.clone(),
        key: Some(SecretString::from("s3cret")),
        model: "asked-for".to_owned(),
        timeout: Duration::from_secs(20),
        pause: Duration::from_millis(20),
        directory: dir.path().join("attempts"),
        context: dir.path().to_path_buf(),
        check: Vec::new(),
    };
    Lab { dir, service, options }
}

impl Lab {
    fn attempt(&self, claim: &Claim) -> Attempted {
        let mut executor = ModelExecutor::new(self.options.clone()).unwrap();
        let estimate = estimate(claim);
        let purse = Cap(claim.tokens_left);
        executor.execute(Order { claim, estimate: &estimate, purse: &purse }, &AtomicBool::new(false))
    }

    fn requests(&self) -> Vec<(String, Value)> {
        self.service.requests.lock().unwrap().clone()
    }
}

fn reported(attempted: &Attempted) -> (&Report, &[String]) {
    match &attempted.execution {
        Execution::Reported { report, missing } => (report, missing),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_broken(attempted: &Attempted, word: &str, says: &str) {
    let Execution::Broken { reason, detail } = &attempted.execution else { panic!("{attempted:?}") };
    assert_eq!(*reason, word, "{detail}");
    assert!(detail.contains(says) && !detail.contains("s3cret"), "{detail}");
}

fn stream(api: Api, text: &str, reason: &str, output: u64) -> Act {
    let body = match api {
        Api::Messages => messages(text, reason, output),
        Api::Chat => chat(text, reason, output),
    };
    Act::Answer(200, "content-type: text/event-stream\r\n", body)
}

#[test]
fn an_answer_becomes_files_and_a_report_of_what_it_took() {
    for (api, reason, key) in [
        (Api::Messages, "end_turn", "x-api-key: s3cret"),
        (Api::Chat, "stop", "authorization: bearer s3cret"),
    ] {
        let lab = lab(api, vec![stream(api, &format!("Well: \n{FILE}"), reason, 222)]);
        std::fs::create_dir(lab.dir.path().join("src")).unwrap();
        files::write_atomic(&lab.dir.path().join("src/a.rs"), b"fn a() {}\n").unwrap();
        let mut claim = claim(Some(1_000_000));
        claim.scope.read_only_context = vec!["src/a.rs".to_owned(), "none.rs".to_owned()];
        let attempted = lab.attempt(&claim);
        let (report, missing) = reported(&attempted);
        assert!(missing.is_empty(), "{attempted:?}");
        assert_eq!(
            (report.status, report.input_tokens, report.output_tokens),
            (Status::Success, Some(111), Some(222))
        );
        assert_eq!((report.stop_reason.as_deref(), report.model.as_deref()), (Some(reason), Some("m-1")));
        let budget = estimate(&claim).selected_budget;
        assert_eq!((report.max_tokens, report.earlier_tokens), (Some(budget), None));
        let reached = [Milestone::PreflightOk, Milestone::ModelCallStarted, Milestone::ModelCallEnded];
        assert_eq!(attempted.milestones.reached, reached);
        let written = files::read_text(&lab.options.directory.join("r/p/1/workspace/out.md")).unwrap();
        assert_eq!(written, "Grüße\n");
        let (head, body) = lab.requests().remove(0);
        assert!(head.contains(key), "{head}");
        assert_eq!(
            (&body["model"], &body["max_tokens"], &body["stream"]),
            (&json!("asked-for"), &json!(budget), &json!(true))
        );
        let prompt = body["messages"][0]["content"].as_str().unwrap();
        for said in ["Write a greeting", "- out.md", "fn a() {}", "none.rs is not there"] {
            assert!(prompt.contains(said), "{prompt}");
        }
    }
}

#[test]
fn a_server_that_does_not_stream_is_understood() {
    let whole = json!({"model": "m-2", "content": [{"type": "text", "text": FILE}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 5, "output_tokens": 60}});
    let choice =
        json!({"model": "m-2", "choices": [{"message": {"content": FILE}, "finish_reason": "stop"}]});
    for (api, document, tokens) in [(Api::Messages, whole, Some(60)), (Api::Chat, choice, None)] {
        let lab = lab(api, vec![Act::Answer(200, "", document.to_string())]);
        let attempted = lab.attempt(&claim(None));
        let (report, missing) = reported(&attempted);
        // What was not counted is not known.
        assert_eq!((report.output_tokens, missing.len()), (tokens, 0), "{attempted:?}");
    }
}

#[test]
fn a_storm_is_waited_out_and_nothing_that_may_have_cost_is_sent_twice() {
    let busy = |status| Act::Answer(status, "", r#"{"error": {"message": "busy"}}"#.to_owned());
    let later = Act::Answer(429, "retry-after: 1\r\n", String::new());
    for api in [Api::Messages, Api::Chat] {
        let acts = vec![busy(429), later.clone(), busy(529), busy(503), stream(api, FILE, "stop", 60)];
        let lab = lab(api, acts);
        let began = Instant::now();
        let attempted = lab.attempt(&claim(None));
        assert!(reported(&attempted).1.is_empty());
        assert_eq!(lab.requests().len(), 5);
        assert!(began.elapsed() >= Duration::from_secs(1), "Retry-After is honoured");
    }
    for (act, word, says) in [
        (Act::Cut(messages(FILE, "end_turn", 60)[..400].to_owned()), "stream_cut", ""),
        (
            Act::Answer(200, "", messages(FILE, "end_turn", 60)[..400].to_owned()),
            "stream_cut",
            "before the answer did",
        ),
        (Act::HangUp, "stream_cut", ""),
        (Act::Answer(200, "", "data: {\"type\": \n\n".to_owned()), "model_answer_invalid", "cannot be read"),
        (Act::Answer(200, "", "{\"hello\": 1}".to_owned()), "model_answer_invalid", "no answer of this API"),
        (
            Act::Answer(
                200,
                "",
                "data: {\"type\": \"error\", \"error\": {\"message\": \"overloaded\"}}\n\n".to_owned(),
            ),
            "model_failed",
            "overloaded",
        ),
        (
            Act::Answer(400, "", r#"{"error": {"message": "too long"}}"#.to_owned()),
            "model_call_refused",
            "400: too long",
        ),
        (Act::Answer(401, "", "nope".to_owned()), "model_call_refused", "401"),
        (Act::Answer(404, "", r#"{"error": "no such model"}"#.to_owned()), "api_not_found", "no such model"),
    ] {
        let lab = lab(Api::Messages, vec![act]);
        let attempted = lab.attempt(&claim(None));
        assert_broken(&attempted, word, says);
        assert_eq!(lab.requests().len(), 1, "{word}");
        assert!(!attempted.milestones.has(Milestone::ModelCallEnded));
    }
}

#[test]
fn the_time_of_an_attempt_holds_for_storms_and_for_silence() {
    let mut storm = lab(Api::Chat, vec![Act::Answer(503, "", String::new())]);
    storm.options.timeout = Duration::from_millis(400);
    assert_broken(&storm.attempt(&claim(None)), "api_unreachable", "503");
    assert!(storm.requests().len() > 2);
    let mut silent = lab(Api::Chat, vec![Act::Silence]);
    silent.options.timeout = Duration::from_millis(300);
    let began = Instant::now();
    let attempted = silent.attempt(&claim(None));
    assert!(matches!(attempted.execution, Execution::TimedOut { .. }), "{attempted:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
    let mut nobody = lab(Api::Chat, vec![Act::Silence]);
    nobody.options.origin = "http://127.0.0.1:1".to_owned();
    nobody.options.timeout = Duration::from_millis(300);
    let attempted = nobody.attempt(&claim(None));
    assert_broken(&attempted, "api_unreachable", "");
    assert!(attempted.milestones.has(Milestone::ApiUnreachable));
}

#[test]
fn a_stop_is_heard_while_a_model_thinks() {
    let lab = lab(Api::Messages, vec![Act::Silence]);
    let mut executor = ModelExecutor::new(lab.options.clone()).unwrap();
    let (claim, stop) = (claim(None), AtomicBool::new(false));
    let estimate = estimate(&claim);
    let began = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            stop.store(true, Ordering::Relaxed);
        });
        let attempted =
            executor.execute(Order { claim: &claim, estimate: &estimate, purse: &Cap(None) }, &stop);
        assert_eq!(attempted.execution, Execution::Interrupted);
    });
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_cut_answer_is_asked_for_once_more_with_a_larger_budget() {
    let api = Api::Messages;
    let cut = stream(api, "<file path=\"out.md\">\nGr", "max_tokens", 4000);
    let lab = lab(api, vec![cut.clone(), stream(api, FILE, "end_turn", 4500)]);
    let claim_of = claim(None);
    let attempted = lab.attempt(&claim_of);
    let (report, missing) = reported(&attempted);
    let budget = estimate(&claim_of).selected_budget;
    let larger = budget.max(4000) * 125 / 100;
    assert_eq!((report.max_tokens, report.output_tokens), (Some(larger), Some(4500)));
    assert_eq!((report.earlier_tokens, missing.len()), (Some(4111), 0));
    assert!(attempted.milestones.has(Milestone::BudgetEscalated));
    assert_eq!(lab.requests()[1].1["max_tokens"], json!(larger));
    let calls = files::read_text(&lab.options.directory.join("r/p/1/calls.ndjson")).unwrap();
    assert_eq!(calls.lines().count(), 2, "{calls}");
    let verdict = classify(attempted.execution.clone(), 1).unwrap();
    assert_eq!((verdict.outcome, verdict.tokens_used()), ("success", 4111 + 4500 + 111));

    let raised = attempted.escalation.clone().unwrap();
    assert_eq!((raised.selected_budget, raised.retry_max_tokens), (budget, larger));
    assert!(raised.was_truncated);

    // Only once: what is cut off again has failed.
    let lab = self::lab(api, vec![cut.clone()]);
    let attempted = lab.attempt(&claim_of);
    assert_eq!(lab.requests().len(), 2);
    assert_eq!(attempted.escalation.unwrap(), raised);
    assert_eq!(classify(attempted.execution, 1).unwrap().outcome, "truncated");
    // And only once for a phase: an earlier attempt has raised it.
    let lab = self::lab(api, vec![cut.clone()]);
    let attempted = lab.attempt(&Claim { raised_budget: Some(larger), ..claim(None) });
    assert_eq!((lab.requests().len(), attempted.escalation.is_none()), (1, true));
    // What the second call may take is set aside with what the first has taken.
    let lab = self::lab(api, vec![cut]);
    let attempted = lab.attempt(&claim(Some(budget + 4111)));
    assert_broken(&attempted, "token_cap", "the cap of the run leaves");
    assert_eq!((lab.requests().len(), attempted.tokens_at_risk), (1, 4111));
    let lab = self::lab(api, vec![Act::HangUp]);
    assert!(lab.attempt(&claim_of).tokens_at_risk > budget, "it may have cost all of it");
    let lab = self::lab(api, vec![Act::Answer(401, "", String::new())]);
    let attempted = lab.attempt(&claim_of);
    assert_eq!(attempted.tokens_at_risk, 0, "what was refused has cost nothing");
}

#[test]
fn the_cap_of_a_run_is_kept_before_a_call() {
    let api = Api::Chat;
    let lab = lab(api, vec![stream(api, FILE, "stop", 60)]);
    let budget = estimate(&claim(None)).selected_budget;
    let attempted = lab.attempt(&claim(Some(budget)));
    assert_broken(&attempted, "token_cap", "the cap of the run leaves");
    assert_eq!(lab.requests().len(), 0);
    assert_eq!(attempted.milestones.reached, [Milestone::PreflightOk]);
    assert!(reported(&lab.attempt(&claim(Some(budget + 1000)))).1.is_empty());
}

#[test]
fn a_refusal_a_foreign_file_and_a_failed_check_are_failures_with_their_tokens() {
    let foreign = format!("{FILE}<file path=\"../x\">\ny\n</file>\n");
    for (api, text, reason, says) in [
        (Api::Messages, "I cannot.", "refusal", "refused"),
        (Api::Chat, "", "content_filter", "refused"),
        (Api::Chat, foreign.as_str(), "stop", "`../x`"),
    ] {
        let lab = lab(api, vec![stream(api, text, reason, 70)]);
        let attempted = lab.attempt(&claim(None));
        let (report, _) = reported(&attempted);
        assert_eq!((report.status, report.output_tokens), (Status::Failed, Some(70)));
        assert!(report.error.as_deref().unwrap().contains(says), "{report:?}");
    }
    for (script, expected) in
        [("grep -q Gr out.md", Status::Success), ("echo wrong >&2; exit 3", Status::Failed)]
    {
        let mut lab = lab(Api::Chat, vec![stream(Api::Chat, FILE, "stop", 70)]);
        lab.options.check = ["sh", "-c", script].map(str::to_owned).to_vec();
        let attempted = lab.attempt(&claim(None));
        let (report, _) = reported(&attempted);
        assert_eq!(report.status, expected, "{report:?}");
        if expected == Status::Failed {
            assert_eq!(report.error.as_deref(), Some("the check failed: exit status 3: wrong"));
        }
    }
    let mut leads_out = claim(None);
    leads_out.scope.read_only_context = vec!["../secret".to_owned()];
    let lab = lab(Api::Chat, vec![stream(Api::Chat, FILE, "stop", 70)]);
    assert_broken(&lab.attempt(&leads_out), "scope_invalid", "leads out");
    assert_eq!(lab.requests().len(), 0);
}
