//! Who may ask for what, and the answers.
//!
//! Nobody gets further than the page without the token, where there is one; where there is none, only who names this
//! machine. A call says which lineage it is for, so that a server which was started again on another database does not
//! serve those who worked on the one before.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use hyper::body::Frame;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::connections::Limits;
use super::wire::{Health, LINEAGE, Line, Listed, Problem, Which};
use super::{calls, page};
use crate::clock::{Clock, Stamp};
use crate::db::DbError;
use crate::phases::{Store, StoreError};

/// Opens the database that is served; each thread that asks has its own connection.
pub type Opener = Box<dyn Fn() -> Result<Box<dyn Store>, StoreError> + Send + Sync>;

/// What is served, and to whom.
pub struct Served {
    /// Which database it is.
    pub health: Health,
    /// Opens it.
    pub open: Opener,
    /// What everybody must know; needed everywhere but on this machine.
    pub token: Option<SecretString>,
    /// What time it is.
    pub clock: Clock,
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("health", &self.health).finish_non_exhaustive()
    }
}

/// What the requests of a server share.
pub(super) struct Shared {
    served: Served,
    limits: Limits,
    /// Connections to the database that nobody uses now.
    idle: Mutex<Vec<Box<dyn Store>>>,
    /// What the page was told last.
    pub(super) state: Mutex<page::Latest>,
    /// Requests that are being answered.
    busy: AtomicUsize,
}

type Arced = Arc<Shared>;

/// Why a request is not answered.
type Refused = (StatusCode, Cow<'static, str>);

impl Shared {
    pub(super) fn new(served: Served, limits: Limits) -> Arced {
        let (idle, state) = (Mutex::default(), Mutex::default());
        Arc::new(Self { served, limits, idle, state, busy: AtomicUsize::new(0) })
    }

    /// How many requests are being answered.
    pub(super) fn busy(&self) -> usize {
        self.busy.load(Ordering::Relaxed)
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Box<dyn Store>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a store. One that failed is not used again: its connection may be what failed.
    fn ask<T>(
        &self,
        work: impl FnOnce(&mut dyn Store, Stamp) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle().pop();
        let mut store = match idle {
            Some(store) => store,
            None => (self.served.open)()?,
        };
        let result = work(store.as_mut(), self.served.clock.now());
        if !matches!(result, Err(StoreError::Db(_))) {
            self.idle().push(store);
        }
        result
    }

    /// As [`Self::ask`], on a thread that may wait. Goes on to its end if nobody waits for the answer any more.
    pub(super) async fn ask_apart<T: Send + 'static>(
        self: Arced,
        work: impl FnOnce(&mut dyn Store, Stamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let asked = spawn_blocking(move || self.ask(work)).await;
        asked.unwrap_or_else(|panicked| Err(DbError::new("serve a call", panicked).into()))
    }

    /// Whether somebody may ask at all.
    fn admits(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let Some(token) = &self.served.token else {
            // A page of another site in a browser on this machine has the name of that site as host.
            let host = text(header::HOST);
            let name =
                if host.ends_with(']') { host } else { host.rsplit_once(':').map_or(host, |(name, _)| name) };
            if ["127.0.0.1", "localhost", "[::1]"].contains(&name) {
                return Ok(());
            }
            return Err((
                StatusCode::FORBIDDEN,
                "this server is asked by the address of this machine".into(),
            ));
        };
        let given = text(header::AUTHORIZATION).strip_prefix("Bearer ").unwrap_or_default();
        if is_same(given, token.expose_secret()) {
            Ok(())
        } else {
            Err((StatusCode::UNAUTHORIZED, "the token of this server is needed".into()))
        }
    }

    /// Whether a call is meant for this database.
    fn is_meant(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let own = &self.served.health.lineage.id;
        match headers.get(LINEAGE).map(HeaderValue::as_bytes) {
            Some(named) if named == own.as_bytes() => Ok(()),
            Some(named) => {
                let named: String = String::from_utf8_lossy(named).chars().take(40).collect();
                let why = format!("this server has the database of lineage {own}, not of {named}");
                Err((StatusCode::PRECONDITION_FAILED, why.into()))
            }
            None => {
                let why = format!("name the lineage that the call is for in the header {LINEAGE}");
                Err((StatusCode::PRECONDITION_REQUIRED, why.into()))
            }
        }
    }

    /// What a call says, within the limits of size and time.
    async fn read<Q: DeserializeOwned>(&self, request: Request) -> Result<Q, Refused> {
        self.is_meant(request.headers())?;
        // What a form of another site can send is not this.
        if request.headers().get(header::CONTENT_TYPE).is_none_or(|kind| kind != "application/json") {
            return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "a call is JSON".into()));
        }
        let max = self.limits.body_bytes;
        let too_large = (StatusCode::PAYLOAD_TOO_LARGE, format!("at most {max} bytes are read").into());
        if request.body().size_hint().lower() > max as u64 {
            return Err(too_large);
        }
        let body = match timeout(self.limits.request, to_bytes(request.into_body(), max)).await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => return Err(too_large),
            Err(_) => return Err((StatusCode::REQUEST_TIMEOUT, "the call took too long to arrive".into())),
        };
        serde_json::from_slice(&body).map_err(|_| (StatusCode::BAD_REQUEST, "this is no such call".into()))
    }
}

/// Whether two texts are the same, in a time that does not tell how much of them is.
fn is_same(a: &str, b: &str) -> bool {
    Sha256::digest(a.as_bytes()).ct_eq(&Sha256::digest(b.as_bytes())).into()
}

/// Everything that can be asked.
pub(super) fn router(shared: &Arced) -> Router {
    let api = Router::new()
        .route("/health", get(health))
        .route("/v1/state", get(state))
        .route("/v1/runs", call(calls::runs))
        .route("/v1/phases", post(phases))
        .route("/v1/claim", call(calls::claim))
        .route("/v1/heartbeat", call(calls::heartbeat))
        .route("/v1/reserve", call(calls::reserve))
        .route("/v1/release", call(calls::release))
        .route("/v1/complete", call(calls::complete))
        .route("/v1/events", call(calls::events))
        .route("/v1/recover", call(calls::recover))
        .route("/v1/waiting", call(calls::waiting))
        .route("/v1/executing", call(calls::executing))
        .route("/v1/owners", call(calls::owners))
        .route("/v1/settle", call(calls::settle))
        .route("/v1/distribution", call(calls::distribution))
        .route("/v1/samples", call(calls::samples))
        .layer(from_fn_with_state(Arc::clone(shared), admit));
    // The page holds no data; what it shows it must ask for.
    let page = Router::new()
        .route("/", get(|| async { page::part("text/html; charset=utf-8", page::HTML) }))
        .route("/page.js", get(|| async { page::part("text/javascript; charset=utf-8", page::SCRIPT) }))
        .route("/page.css", get(|| async { page::part("text/css; charset=utf-8", page::STYLE) }));
    api.merge(page)
        .fallback(|| async { said(StatusCode::NOT_FOUND, "there is nothing here") })
        .layer(from_fn_with_state(Arc::clone(shared), dress))
        .with_state(Arc::clone(shared))
}

async fn admit(State(shared): State<Arced>, request: Request, next: Next) -> Response {
    match shared.admits(request.headers()) {
        Ok(()) => next.run(request).await,
        Err((status, why)) => said(status, &why),
    }
}

/// Counts what is being answered, and says to browsers what a page may do: ask this server, and nothing else.
async fn dress(State(shared): State<Arced>, request: Request, next: Next) -> Response {
    let _busy = Busy::new(&shared);
    let mut response = next.run(request).await;
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-ancestors 'none'",
        ),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// One that is being answered, until it is.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.busy.fetch_add(1, Ordering::Relaxed);
        Self(&shared.busy)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A call with one answer.
fn call<Q, A>(work: fn(&mut dyn Store, &Q, Stamp) -> Result<A, StoreError>) -> MethodRouter<Arced>
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
{
    post(move |State(shared): State<Arced>, request: Request| async move {
        let question: Q = match shared.read(request).await {
            Ok(question) => question,
            Err((status, why)) => return said(status, &why),
        };
        match shared.ask_apart(move |store, now| work(store, &question, now)).await {
            Ok(answer) => json(StatusCode::OK, &answer),
            Err(error) => failed(error),
        }
    })
}

async fn health(State(shared): State<Arced>) -> Response {
    json(StatusCode::OK, &shared.served.health)
}

async fn state(State(shared): State<Arced>) -> Response {
    match page::state(shared).await {
        Ok(state) => json(StatusCode::OK, state.as_ref()),
        Err(error) => failed(error),
    }
}

/// The phases that could be claimed, one a line, as they are read: neither side holds them all.
async fn phases(State(shared): State<Arced>, request: Request) -> Response {
    let which: Which = match shared.read(request).await {
        Ok(which) => which,
        Err((status, why)) => return said(status, &why),
    };
    let (pieces, body) = channel(4);
    spawn_blocking(move || {
        let mut list = List { pieces, buffer: Vec::new(), is_wanted: true };
        let mut count = 0;
        let listed = shared.ask(|store, _| {
            store.candidates(&which.selection, &mut |candidate| {
                count += 1;
                list.add(&Line::Phase(Listed::of(&candidate)));
            })
        });
        list.add(&listed.map_or_else(|error| Line::Failed(reason(&error)), |()| Line::End(count)));
        list.send();
    });
    let kind = HeaderValue::from_static("application/x-ndjson");
    let mut response = Response::new(Body::new(Pieces(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Bytes that are gathered before they are sent.
const PIECE: usize = 64 * 1024;

struct List {
    pieces: Sender<Bytes>,
    buffer: Vec<u8>,
    is_wanted: bool,
}

impl List {
    fn add(&mut self, line: &Line<'_>) {
        if self.is_wanted {
            serde_json::to_writer(&mut self.buffer, line).expect("a line is plain data");
            self.buffer.push(b'\n');
            if self.buffer.len() >= PIECE {
                self.send();
            }
        }
    }

    fn send(&mut self) {
        let piece = Bytes::from(std::mem::take(&mut self.buffer));
        self.is_wanted = self.is_wanted && self.pieces.blocking_send(piece).is_ok();
    }
}

/// A body that comes from another thread.
struct Pieces(Receiver<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

pub(super) fn json(status: StatusCode, answer: &impl Serialize) -> Response {
    let body = serde_json::to_vec(answer).expect("an answer is plain data");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn said(status: StatusCode, why: &str) -> Response {
    json(status, &Problem { error: why.to_owned(), lost: None })
}

fn failed(error: StoreError) -> Response {
    let why = reason(&error);
    match error {
        StoreError::LeaseLost(key) => json(StatusCode::CONFLICT, &Problem { error: why, lost: Some(key) }),
        StoreError::Db(_) => said(StatusCode::INTERNAL_SERVER_ERROR, &why),
    }
}

/// An error with its cause; the drivers keep credentials and rows out of both.
fn reason(error: &StoreError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

/// How old what the page shows may be; older, if it takes long to find out.
pub(super) fn is_fresh(since: Instant, took: Duration) -> bool {
    since.elapsed() < (took * 10).max(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        assert!(is_same("a-long-enough-token", "a-long-enough-token"));
        for wrong in ["", "a", "a-long-enough-toke", "a-long-enough-token2", "b-long-enough-token"] {
            assert!(!is_same(wrong, "a-long-enough-token"), "{wrong}");
        }
    }
}
