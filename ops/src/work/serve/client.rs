//! A store behind the API of another process: each call is one request.
//!
//! A call is sent again while the server is away. What ends a claim is not made twice: when an answer was lost, an account
//! that is there, or a phase that is ours no more, was the doing of the request before. A claim whose answer was lost is
//! one that nobody renews, and it expires.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, RequestBuilder, Response};
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::{
    Completed, Health, Heartbeat, LINEAGE, Line, Nothing, OfRun, OfSession, Problem, Recover, Reserve,
    SERVICE, Wanted, Which, millis,
};
use crate::clock::Stamp;
use crate::db::DbError;
use crate::phases::{
    AccountedAttempt, AttemptRecord, Candidate, Claim, Distribution, EventWrite, KeyedAnew, KeyedFailure,
    LeaseKey, NewRun, Overview, PhaseKey, PhaseState, Selection, Store, StoreError, StratumCount,
};
use crate::target::postgrest::{innermost, tls};
use crate::telemetry::{EventRow, Rejection};

/// How long before a server that is away is asked again.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest wait for one answer.
const TIMEOUT: Duration = Duration::from_mins(2);
/// The longest that the list of phases may take.
const LIST_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a connection may be kept unused; the server keeps it a little longer.
const IDLE: Duration = Duration::from_secs(15);
/// Bytes of a refusal that are read.
const PROBLEM_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of one phase in the list that are read.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Where an API is, and how it is asked.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Scheme, host and port.
    pub origin: String,
    /// What the server asks everybody for.
    pub token: Option<SecretString>,
    /// How long a server that is away is waited for.
    pub patience: Duration,
}

/// Asks which database a server has opened.
pub fn health(options: &ApiOptions) -> Result<Health, DbError> {
    let caller = Caller::new(options)?;
    let failed = |why: String| DbError::new(format!("reach the API at {}", options.origin), why);
    let request = caller.client.get(format!("{}/health", caller.origin)).timeout(CONNECT_TIMEOUT * 2);
    let response = caller.send(request).map_err(|no| failed(no.why))?;
    let health: Health =
        response.json_body().map_err(|_| failed("it is not the API of a drain".to_owned()))?;
    if health.service == SERVICE { Ok(health) } else { Err(failed(format!("it is `{}`", health.service))) }
}

/// The phases of the database that a server has opened.
pub struct ApiStore {
    caller: Caller,
    lineage: String,
    patience: Duration,
}

impl fmt::Debug for ApiStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ApiStore");
        shown.field("origin", &self.caller.origin).field("lineage", &self.lineage).finish_non_exhaustive()
    }
}

/// Speaks to one server.
struct Caller {
    client: Client,
    origin: String,
    token: Option<SecretString>,
}

/// Why there was no answer.
struct NoAnswer {
    why: String,
    /// The lease on this phase was lost.
    lost: Option<PhaseKey>,
    /// Whether the server may have done what was asked.
    is_in_doubt: bool,
    /// Whether it would say the same again.
    is_final: bool,
}

/// What came of a call, and whether an earlier sending may have been what did it.
struct Answered<A> {
    answer: Result<A, StoreError>,
    was_in_doubt: bool,
}

trait JsonBody {
    fn json_body<A: DeserializeOwned>(self) -> Result<A, NoAnswer>;
}

impl JsonBody for Response {
    fn json_body<A: DeserializeOwned>(self) -> Result<A, NoAnswer> {
        let body = self.bytes().map_err(|error| NoAnswer::lost(&error))?;
        serde_json::from_slice(&body).map_err(|_| NoAnswer {
            why: "it gave another answer than was asked for".to_owned(),
            lost: None,
            is_in_doubt: true,
            is_final: true,
        })
    }
}

impl NoAnswer {
    fn lost(error: &reqwest::Error) -> Self {
        let is_in_doubt = !error.is_connect() && !error.is_builder();
        Self { why: innermost(error), lost: None, is_in_doubt, is_final: error.is_builder() }
    }

    /// What a server means that does not answer.
    fn said(status: u16, response: Response) -> Self {
        let mut body = Vec::new();
        let _ = response.take(PROBLEM_BYTES_MAX).read_to_end(&mut body);
        let problem = serde_json::from_slice(&body)
            .unwrap_or(Problem { error: "it does not say why".to_owned(), lost: None });
        // Too many connections, or a proxy whose server is away: that passes.
        let is_final = ![502, 503, 504].contains(&status);
        let why = format!("the server answered {status}: {}", problem.error);
        Self { why, lost: problem.lost, is_in_doubt: status == 504, is_final }
    }
}

impl Caller {
    fn new(options: &ApiOptions) -> Result<Self, DbError> {
        let origin = options.origin.trim_end_matches('/').to_owned();
        let failed = |why: String| DbError::new(format!("prepare calls to {origin}"), why);
        let is_secure = origin.starts_with("https:");
        let client = Client::builder()
            .user_agent(concat!("ops/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .https_only(is_secure)
            .tls_backend_preconfigured(tls(is_secure).map_err(failed)?)
            .build()
            .map_err(|error| failed(innermost(&error)))?;
        Ok(Self { client, origin, token: options.token.clone() })
    }

    fn send(&self, request: RequestBuilder) -> Result<Response, NoAnswer> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        };
        let response = request.send().map_err(|error| NoAnswer::lost(&error))?;
        let status = response.status();
        if status.is_success() { Ok(response) } else { Err(NoAnswer::said(status.as_u16(), response)) }
    }
}

impl ApiStore {
    /// Prepares calls about the database of this lineage; sends nothing. A server that has another one refuses them.
    pub fn new(options: &ApiOptions, lineage: &str) -> Result<Self, DbError> {
        let caller = Caller::new(options)?;
        Ok(Self { caller, lineage: lineage.to_owned(), patience: options.patience })
    }

    fn failed(&self, why: impl Into<String>) -> StoreError {
        DbError::new(format!("work through the API at {}", self.caller.origin), why.into()).into()
    }

    /// Sends a call until there is an answer.
    fn send(
        &self,
        name: &str,
        question: &impl Serialize,
        timeout: Duration,
    ) -> (Result<Response, NoAnswer>, bool) {
        let body = serde_json::to_vec(question).expect("a call is plain data");
        let deadline = Instant::now() + self.patience;
        let mut was_in_doubt = false;
        loop {
            let request = self.caller.client.post(format!("{}/v1/{name}", self.caller.origin));
            let request = request.timeout(timeout).header(LINEAGE, &self.lineage);
            let request = request.header(CONTENT_TYPE, "application/json").body(body.clone());
            match self.caller.send(request) {
                Err(no) if !no.is_final && Instant::now() + PAUSE < deadline => {
                    was_in_doubt |= no.is_in_doubt;
                    std::thread::sleep(PAUSE);
                }
                sent => return (sent, was_in_doubt),
            }
        }
    }

    fn call<A: DeserializeOwned>(&self, name: &str, question: &impl Serialize) -> Answered<A> {
        let (sent, was_in_doubt) = self.send(name, question, TIMEOUT);
        let answer = sent.and_then(JsonBody::json_body).map_err(|no| match no.lost {
            Some(key) => StoreError::LeaseLost(key),
            None => self.failed(no.why),
        });
        Answered { answer, was_in_doubt }
    }

    fn ask<A: DeserializeOwned>(&self, name: &str, question: &impl Serialize) -> Result<A, StoreError> {
        self.call(name, question).answer
    }

    /// What became of an attempt that was accounted for by a request whose answer was lost.
    fn accounted(&self, ended: &Completed, lost: PhaseKey) -> Result<EventWrite, StoreError> {
        let session_id = ended.record.session_id.clone();
        let accounts: Vec<AccountedAttempt> = self.ask("events", &OfSession { session_id })?;
        let is_ours = |a: &&AccountedAttempt| a.key == ended.claim.key && a.attempt == ended.claim.attempt;
        let Some(account) = accounts.iter().find(is_ours) else { return Err(StoreError::LeaseLost(lost)) };
        Ok(match &ended.event {
            Err(rejection) => EventWrite::NotWritten(rejection.clone()),
            // Which number it has is not known here.
            Ok(_) if account.telemetry == "written" => EventWrite::Written(0),
            Ok(_) => EventWrite::NotWritten(Rejection::Database(account.telemetry.clone())),
        })
    }

    fn not_here<T>(&self) -> Result<T, StoreError> {
        Err(self.failed("this is done where the database is"))
    }
}

impl Store for ApiStore {
    fn recover_stale(&mut self, _: Stamp) -> Result<Vec<PhaseKey>, StoreError> {
        self.ask("recover", &Recover { owner: None })
    }

    fn recover_from(&mut self, owner: &str, _: Stamp) -> Result<Vec<PhaseKey>, StoreError> {
        self.ask("recover", &Recover { owner: Some(owner.to_owned()) })
    }

    fn waiting(&mut self, selection: &Selection) -> Result<u64, StoreError> {
        self.ask("waiting", &Which { selection: selection.clone() })
    }

    fn executing(&mut self, selection: &Selection) -> Result<u64, StoreError> {
        self.ask("executing", &Which { selection: selection.clone() })
    }

    fn live_owners(&mut self, _: Stamp) -> Result<Vec<String>, StoreError> {
        self.ask("owners", &Nothing {})
    }

    fn candidates(
        &mut self,
        selection: &Selection,
        each: &mut dyn FnMut(Candidate<'_>),
    ) -> Result<(), StoreError> {
        let (sent, _) = self.send("phases", &Which { selection: selection.clone() }, LIST_TIMEOUT);
        let mut lines = BufReader::new(sent.map_err(|no| self.failed(no.why))?);
        let (mut line, mut count) = (Vec::new(), 0);
        loop {
            line.clear();
            let read = lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            read.map_err(|error| self.failed(format!("the list of phases was cut off: {error}")))?;
            match serde_json::from_slice(&line) {
                Ok(Line::Phase(listed)) => {
                    count += 1;
                    each(listed.candidate());
                }
                Ok(Line::End(all)) if all == count => return Ok(()),
                Ok(Line::Failed(why)) => return Err(self.failed(why)),
                Ok(Line::End(_)) | Err(_) => return Err(self.failed("the list of phases was cut off")),
            }
        }
    }

    fn claim(
        &mut self,
        phase_pk: i64,
        (state, attempts): (PhaseState, u64),
        owner: &str,
        _: Stamp,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        let wanted = Wanted { phase_pk, state, attempts, owner: owner.to_owned(), lease_ms: millis(lease) };
        self.ask("claim", &wanted)
    }

    fn renew(&mut self, lease: &LeaseKey, _: Stamp, span: Duration) -> Result<(), StoreError> {
        self.ask("heartbeat", &Heartbeat { lease: lease.clone(), span_ms: millis(span) })
    }

    fn reserve(&mut self, lease: &LeaseKey, tokens: u64) -> Result<Option<u64>, StoreError> {
        self.ask("reserve", &Reserve { lease: lease.clone(), tokens })
    }

    fn session_attempts(&mut self, session_id: &str) -> Result<Vec<AccountedAttempt>, StoreError> {
        self.ask("events", &OfSession { session_id: session_id.to_owned() })
    }

    fn release(&mut self, claim: &Claim, _: Stamp) -> Result<(), StoreError> {
        let called: Answered<()> = self.call("release", claim);
        match called.answer {
            // The sending before gave it back.
            Err(StoreError::LeaseLost(_)) if called.was_in_doubt => Ok(()),
            answer => answer,
        }
    }

    fn finish(
        &mut self,
        claim: &Claim,
        record: &AttemptRecord,
        event: Result<&EventRow, Rejection>,
        zero_yield: &dyn Fn(&Rejection) -> &'static str,
    ) -> Result<EventWrite, StoreError> {
        let why = event.as_ref().err().map_or("", zero_yield);
        let ended = Completed {
            claim: claim.clone(),
            record: record.clone(),
            event: event.cloned(),
            zero_yield: why.to_owned(),
        };
        let called = self.call("complete", &ended);
        match called.answer {
            Err(StoreError::LeaseLost(key)) if called.was_in_doubt => self.accounted(&ended, key),
            answer => answer,
        }
    }

    fn keyed_otherwise(&mut self, _: u32, _: i64, _: u32) -> Result<Vec<KeyedFailure>, StoreError> {
        self.not_here()
    }

    fn key_anew(&mut self, _: &[KeyedAnew]) -> Result<(), StoreError> {
        self.not_here()
    }

    fn settle_runs(&mut self, _: Stamp) -> Result<(), StoreError> {
        self.ask("settle", &Nothing {})
    }

    fn insert_run(&mut self, _: &NewRun, _: Stamp) -> Result<bool, StoreError> {
        self.not_here()
    }

    fn run_ids(&mut self) -> Result<Vec<String>, StoreError> {
        self.ask("runs", &Nothing {})
    }

    fn distribution(&mut self, run_id: Option<&str>) -> Result<Distribution, StoreError> {
        self.ask("distribution", &OfRun { run_id: run_id.map(str::to_owned) })
    }

    fn overview(&mut self, _: Stamp) -> Result<Overview, StoreError> {
        self.not_here()
    }

    fn sample_counts(&mut self) -> Result<Vec<StratumCount>, StoreError> {
        self.ask("samples", &Nothing {})
    }
}
