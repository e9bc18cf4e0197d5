//! The `http` executor: a service attempts the phase and answers with what it delivers.
//!
//! The phase is posted as JSON to `/v1/attempt`, with the lineage of the database that it is from: a service that works for
//! another one says 412. What the answer delivers is written into a workspace here, and verified here.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, Request};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::command;
use super::executor::{Attempted, Execution, Executor, Order, Report, Status};
use super::milestones::{Milestone, Milestones};
use super::models::answer;
use crate::files::{self, FileError};
use crate::target::postgrest::{innermost, tls};
use crate::text;
use crate::work::serve::LINEAGE;

/// How often a service is looked at that may have to be given up.
const TICK: Duration = Duration::from_millis(20);
/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Which service, and how patiently.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Scheme, host and port.
    pub origin: String,
    /// What the service asks for.
    pub token: Option<SecretString>,
    /// The lineage of the database that phases are from.
    pub lineage: String,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// Where attempts keep their files: `<directory>/<run>/<phase>/<attempt>/`.
    pub directory: PathBuf,
    /// The program that checks what was delivered, in the workspace; empty for none.
    pub check: Vec<String>,
}

/// Has a service attempt phases.
pub struct HttpExecutor {
    options: HttpOptions,
    client: Client,
}

impl fmt::Debug for HttpExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpExecutor").field("origin", &self.options.origin).finish_non_exhaustive()
    }
}

/// What a service answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    report: Report,
    /// What it delivers: texts by path.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// How far it came, in words that programs write too.
    #[serde(default)]
    milestones: Vec<String>,
}

/// How a request ended.
enum Ended {
    Answered(u16, Vec<u8>),
    Lost { was_sent: bool, why: String },
    TimedOut,
    Stopped,
}

impl HttpExecutor {
    /// Prepares; sends nothing. The error says why no connection can be made.
    pub fn new(options: HttpOptions) -> Result<Self, String> {
        let is_secure = options.origin.starts_with("https:");
        let client = Client::builder()
            .user_agent(concat!("ops/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(is_secure)
            .tls_backend_preconfigured(tls(is_secure)?)
            .build()
            .map_err(|error| innermost(&error))?;
        Ok(Self { options, client })
    }

    fn attempt(
        &self,
        order: Order<'_>,
        stop: &AtomicBool,
        milestones: &mut Milestones,
    ) -> Result<Execution, FileError> {
        let (began, claim) = (Instant::now(), order.claim);
        if let Some(path) = claim.scope.deliverables.iter().find(|path| command::leads_out(path)) {
            milestones.reached.push(Milestone::ScopeFailed);
            let detail = format!("deliverable `{path}` leads out of the workspace");
            return Ok(Execution::Broken { reason: "scope_invalid", detail });
        }
        let place = command::fresh_place(&self.options.directory, claim)?;
        let workspace = place.join("workspace");
        files::create_dir(&workspace)?;
        let phase = phase(order);
        files::write_atomic(&place.join("phase.json"), phase.as_bytes())?;
        let deadline = began + self.options.timeout;
        let broken = |reason, detail| Ok(Execution::Broken { reason, detail });
        let body = match self.ask(phase, deadline, stop) {
            Ended::Answered(200, body) => body,
            Ended::Answered(status, body) => {
                let (milestone, reason) = refused(status);
                milestones.reached.extend(milestone);
                return broken(reason, format!("the service answered {status}: {}", said(&body)));
            }
            Ended::Lost { was_sent: false, why } => {
                milestones.reached.push(Milestone::ApiUnreachable);
                return broken("api_unreachable", why);
            }
            Ended::Lost { why, .. } => return broken("answer_lost", why),
            Ended::TimedOut => {
                let detail = format!("no answer after {} s", self.options.timeout.as_secs_f64());
                return Ok(Execution::TimedOut { detail });
            }
            Ended::Stopped => return Ok(Execution::Interrupted),
        };
        files::write_atomic(&place.join("answer.json"), &body)?;
        let Answer { mut report, files, milestones: reached } = match serde_json::from_slice(&body) {
            Ok(answer) => answer,
            Err(error) => return broken("result_invalid", format!("the answer is not a result: {error}")),
        };
        let lines: String = reached.iter().map(|word| format!("{}\n", text::one_line(word))).collect();
        *milestones = Milestones::parse(&lines);
        let wanted = &claim.scope.deliverables;
        let delivered = files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
        let foreign = answer::place(delivered, wanted, &workspace)?;
        let missing: Vec<String> =
            wanted.iter().filter(|path| !command::is_written(&workspace.join(path))).cloned().collect();
        let mut error = foreign.first().map(|path| format!("a file was not asked for: `{path}`"));
        let is_worth_checking = report.status == Status::Success && missing.is_empty() && error.is_none();
        if is_worth_checking && !self.options.check.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            match command::checked(&self.options.check, &place, &workspace, left, stop)? {
                Ok(said) => error = said,
                Err(execution) => return Ok(*execution),
            }
        }
        if error.is_some() {
            report.status = Status::Failed;
            report.error = error;
        }
        Ok(Execution::Reported { report, missing })
    }

    /// Posts the phase once: an attempt may cost something.
    fn ask(&self, phase: String, deadline: Instant, stop: &AtomicBool) -> Ended {
        let left = deadline.saturating_duration_since(Instant::now());
        let origin = self.options.origin.trim_end_matches('/');
        let mut request = self
            .client
            .post(format!("{origin}/v1/attempt"))
            .timeout(left)
            .header("content-type", "application/json")
            .header(LINEAGE, &self.options.lineage);
        if let Some(token) = &self.options.token {
            request = request.bearer_auth(token.expose_secret());
        }
        let request = match request.body(phase).build() {
            Ok(request) => request,
            Err(error) => return Ended::Lost { was_sent: false, why: innermost(&error) },
        };
        let (sender, ended) = sync_channel(1);
        let client = self.client.clone();
        // A call cannot be taken back while it waits: whoever no longer wants it lets go of the channel.
        std::thread::spawn(move || {
            let _ = sender.send(speak(&client, request));
        });
        loop {
            if stop.load(Ordering::Relaxed) {
                return Ended::Stopped;
            }
            match ended.recv_timeout(TICK) {
                Ok(ended) => return ended,
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(_) => return Ended::TimedOut,
            }
        }
    }
}

impl Executor for HttpExecutor {
    fn source(&self) -> &'static str {
        "http"
    }

    fn execute(&mut self, order: Order<'_>, stop: &AtomicBool) -> Attempted {
        let mut milestones = Milestones::default();
        let execution = self.attempt(order, stop, &mut milestones).unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Execution::Broken { reason: "executor_error", detail: format!("{error}: {cause}") }
        });
        Attempted { milestones, ..execution.into() }
    }
}

/// The phase as a service reads it: what the program of `command` reads, without the places of files here.
fn phase(order: Order<'_>) -> String {
    let claim = order.claim;
    json!({
        "format": 1, "run_id": claim.key.run_id, "phase_id": claim.key.phase_id, "attempt": claim.attempt,
        "name": claim.name, "description": claim.description, "category": claim.category,
        "complexity": claim.complexity, "deliverables": claim.scope.deliverables,
        "read_only_context": claim.scope.read_only_context,
        "predicted_output_tokens": order.estimate.output_tokens,
        "selected_budget": order.estimate.selected_budget,
    })
    .to_string()
}

fn speak(client: &Client, request: Request) -> Ended {
    let lost = |error: &reqwest::Error| {
        if error.is_timeout() && !error.is_connect() {
            return Ended::TimedOut;
        }
        Ended::Lost { was_sent: !error.is_connect(), why: innermost(error) }
    };
    let response = match client.execute(request) {
        Ok(response) => response,
        Err(error) => return lost(&error),
    };
    let (status, mut body) = (response.status().as_u16(), Vec::new());
    match response.take(ANSWER_BYTES_MAX).read_to_end(&mut body) {
        Ok(_) => Ended::Answered(status, body),
        Err(error) => Ended::Lost { was_sent: true, why: error.to_string() },
    }
}

/// What a status means that is no answer.
fn refused(status: u16) -> (Option<Milestone>, &'static str) {
    match status {
        404 => (Some(Milestone::ApiNotFound), "api_not_found"),
        412 => (Some(Milestone::DatabaseMismatch), "database_mismatch"),
        502..=504 => (Some(Milestone::ApiUnreachable), "api_unreachable"),
        _ => (None, "service_refused"),
    }
}

/// Why, in the words of the service.
fn said(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    text::ellipsis(&text::one_line(body["error"].as_str().unwrap_or("it does not say why")), 300)
}
