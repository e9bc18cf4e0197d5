//! Requests: how they are sent, how long they are waited for, and which of them are sent again.
//!
//! A question is asked again until it is answered or its deadline has passed. A write is sent again only when its answer
//! was lost, and only such writes are made here as do no harm when they are made twice. PATCH and DELETE without a filter would hit every row: they
//! are refused here, in the one place through which every request goes. Redirects are not followed and proxies
//! not used: the key goes to the server that was named and to nobody else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::blocking::Client;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::fault::{Class, Fault};
use super::key::ApiKey;

/// How patiently a server is asked.
#[derive(Debug, Clone)]
pub struct PostgrestOptions {
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for one answer. Hosted projects give up after 60 seconds themselves.
    pub request_timeout: Duration,
    /// Longest time for one question or one write, all its repetitions and pauses included.
    pub deadline: Duration,
    /// What this program calls itself. It must not look like a browser: secret keys are refused to those.
    pub user_agent: String,
    /// How pauses are made; a test may only note them.
    pub sleep: fn(Duration),
}

impl Default for PostgrestOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(65),
            deadline: Duration::from_mins(3),
            user_agent: concat!("ops/", env!("CARGO_PKG_VERSION")).to_owned(),
            sleep: std::thread::sleep,
        }
    }
}

/// The first pause before a request is sent again; each further one is twice as long, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(8);

/// One request below the root of the API.
#[derive(Debug, Clone, Default)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// `/table`, or `/rpc/function`.
    pub(super) path: String,
    /// Parameters, each with `&` before it.
    pub(super) query: String,
    /// The schema, where one was named.
    pub(super) schema: Option<&'a str>,
    /// What is wished for in `Prefer`.
    pub(super) prefer: &'a str,
    /// What is accepted; JSON when empty.
    pub(super) accept: &'a str,
    pub(super) body: Vec<u8>,
}

/// A success.
#[derive(Debug)]
pub(super) struct Answer {
    /// `Content-Range`.
    pub(super) range: String,
    /// `Preference-Applied`.
    pub(super) applied: String,
    pub(super) body: Vec<u8>,
    /// Whether the request was sent more than once, so that an earlier one may have done it.
    pub(super) was_repeated: bool,
}

impl Answer {
    /// The count behind the slash of the range: how many rows there are, of which this answer has some.
    pub(super) fn total(&self) -> Option<u64> {
        self.range.rsplit_once('/')?.1.parse().ok()
    }
}

/// The connection to one API.
pub(super) struct Http {
    client: Client,
    root: String,
    headers: HeaderMap,
    options: PostgrestOptions,
}

impl Http {
    /// Prepares requests below `root`; sends nothing.
    pub(super) fn new(root: String, key: &ApiKey, options: &PostgrestOptions) -> Result<Self, Fault> {
        let fault = |what: &str| Fault::failed(format!("no connection can be prepared: {what}"));
        let is_secure = root.starts_with("https:");
        let client = Client::builder()
            .user_agent(&options.user_agent)
            .connect_timeout(options.connect_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .https_only(is_secure)
            .tls_backend_preconfigured(tls(is_secure).map_err(|e| fault(&e))?)
            .build()
            .map_err(|e| fault(&innermost(&e)))?;
        let secret = |text: &str| {
            let mut value = HeaderValue::from_str(text).map_err(|_| fault("the key is no header"))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let mut headers = HeaderMap::new();
        headers.insert("apikey", secret(key.expose())?);
        if key.is_token() {
            headers.insert("authorization", secret(&format!("Bearer {}", key.expose()))?);
        }
        Ok(Self { client, root, headers, options: options.clone() })
    }

    /// Asks, and asks again while the server is not available.
    pub(super) fn read(&self, request: &Request<'_>) -> Result<Answer, Fault> {
        assert!(is_read(&request.method), "only GET and HEAD are repeated like this");
        self.repeat(request, self.options.deadline, |fault| fault.class == Class::Transient)
    }

    /// Asks as [`Http::read`] does, but gives up soon: a wrong address should not take minutes to be found out.
    pub(super) fn knock(&self, request: &Request<'_>) -> Result<Answer, Fault> {
        assert!(is_read(&request.method), "only GET and HEAD are repeated like this");
        self.repeat(request, self.options.connect_timeout, |fault| fault.class == Class::Transient)
    }

    /// Writes what can be sent twice without harm: when the answer is lost, or in a deadlock, it is sent again.
    pub(super) fn write_again(&self, request: &Request<'_>) -> Result<Answer, Fault> {
        self.repeat(request, self.options.deadline, Fault::asks_for_repetition)
    }

    /// Sends a request until it succeeds, fails in a way that is not `again`, or the time is over. What the API
    /// does not know it may know a moment later, so that is tried once more in any case: nothing was done.
    fn repeat(
        &self,
        request: &Request<'_>,
        deadline: Duration,
        again: impl Fn(&Fault) -> bool,
    ) -> Result<Answer, Fault> {
        let started = Instant::now();
        let (mut paused, mut pause) = (Duration::ZERO, PAUSE);
        let (mut is_stale, mut was_repeated) = (false, false);
        loop {
            let spent = started.elapsed().max(paused);
            let fault = match self.once(request, deadline.saturating_sub(spent)) {
                Ok(answer) => return Ok(Answer { was_repeated, ..answer }),
                Err(fault) => fault,
            };
            let is_again = again(&fault) || fault.class == Class::Stale && !is_stale;
            is_stale |= fault.class == Class::Stale;
            // A server that says `Retry-After: 0` would be asked in a tight loop.
            let wait = fault.retry_after.unwrap_or_default().max(pause);
            if !is_again || started.elapsed().max(paused) + wait > deadline {
                return Err(fault);
            }
            (self.options.sleep)(wait);
            paused += wait;
            pause = (pause * 2).min(PAUSE_MAX);
            was_repeated |= fault.class == Class::InDoubt;
        }
    }

    fn once(&self, request: &Request<'_>, time: Duration) -> Result<Answer, Fault> {
        let is_write = !is_read(&request.method);
        let needs_filter = matches!(request.method, Method::PATCH | Method::DELETE);
        assert!(!needs_filter || request.query.contains("=eq."), "a PATCH or DELETE has the key of a row");
        let query = request.query.strip_prefix('&').map(|query| format!("?{query}")).unwrap_or_default();
        let url = format!("{}{}{query}", self.root, request.path);
        let mut builder = self
            .client
            .request(request.method.clone(), url)
            .timeout(time.min(self.options.request_timeout))
            .headers(self.headers.clone())
            .header("accept", if request.accept.is_empty() { "application/json" } else { request.accept });
        if let Some(schema) = request.schema {
            let name = if is_write { "content-profile" } else { "accept-profile" };
            builder = builder.header(HeaderName::from_static(name), schema);
        }
        if !request.prefer.is_empty() {
            builder = builder.header("prefer", request.prefer);
        }
        if !request.body.is_empty() {
            builder = builder.header("content-type", "application/json").body(request.body.clone());
        }
        let lost = |error: reqwest::Error| self.lost(&error, is_write);
        let response = builder.send().map_err(lost)?;
        let header = |name| {
            let value = response.headers().get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (status, range, applied) =
            (response.status(), header("content-range"), header("preference-applied"));
        let retry_after = header("retry-after").trim().parse().ok().map(Duration::from_secs);
        // A success whose body is cut is a success that nobody has heard of.
        let body = response.bytes().map_err(lost)?.to_vec();
        if status.is_success() {
            return Ok(Answer { range, applied, body, was_repeated: false });
        }
        Err(Fault::of_answer(status.as_u16(), retry_after, &body, is_write))
    }

    /// A request without a whole answer. The driver's own texts hold the address, and that holds keys of rows.
    fn lost(&self, error: &reqwest::Error, is_write: bool) -> Fault {
        if is_tls(error) {
            return Fault::failed(format!("no secure connection to {}: {}", self.root, innermost(error)));
        }
        let reason = match (error.is_timeout(), error.is_connect()) {
            (true, true) => "no connection within the time allowed".to_owned(),
            (true, false) => "no answer within the time allowed".to_owned(),
            _ => innermost(error),
        };
        Fault::lost(reason, is_write, !error.is_connect() && !error.is_builder())
    }
}

fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The system's root certificates, and ring: nothing is installed for the whole process. Where nothing is encrypted
/// nobody is believed.
pub(crate) fn tls(is_used: bool) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    if is_used {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("the system has no root certificates".to_owned());
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(|e| e.to_string())?.with_root_certificates(roots).with_no_client_auth())
}

/// The last cause, which says what happened; those before it say where, with the address.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    match error.downcast_ref::<reqwest::Error>() {
        Some(_) => "the request failed".to_owned(),
        None => error.to_string(),
    }
}

/// Whether the handshake failed. Its error is wrapped in I/O errors, whose `source` leaves out what they wrap.
fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || wrapped.is_some_and(|wrapped| is_tls(wrapped))
        || error.source().is_some_and(is_tls)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;
    use std::thread::JoinHandle;

    use secrecy::SecretString;

    use super::*;
    use crate::clock::Stamp;
    use crate::url::DbUrl;

    thread_local! {
        static PAUSES: RefCell<Vec<u128>> = const { RefCell::new(Vec::new()) };
    }

    /// Gives one answer a connection, none for an empty text; the requests that came.
    fn serve(answers: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}", listener.local_addr().unwrap());
        let requests = std::thread::spawn(move || {
            let one = |answer: &&str| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                String::from_utf8_lossy(&request[..length]).into_owned()
            };
            answers.iter().map(one).collect()
        });
        (root, requests)
    }

    fn http(root: &str, key: &str) -> Http {
        let DbUrl::PostgRest(url) = DbUrl::parse(root, Path::new("/")).unwrap() else { panic!("{root}") };
        let now = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
        let key = ApiKey::check(&SecretString::from(key), &url, now).unwrap();
        let sleep = |pause: Duration| PAUSES.with_borrow_mut(|pauses| pauses.push(pause.as_millis()));
        let options =
            PostgrestOptions { deadline: Duration::from_mins(1), sleep, ..PostgrestOptions::default() };
        Http::new(root.to_owned(), &key, &options).unwrap()
    }

    const SECRET: &str = "sb_secret_abcdefghijklmnopqrstuv_01234567";
    /// `{"alg":"HS256"}`, `{"role":"service_role"}` and a signature.
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.c2lnbmF0dXJl";

    const OK: &str =
        "HTTP/1.1 206 Partial\r\nContent-Range: 0-0/7\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]";
    const BUSY: &str =
        "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const LATER: &str =
        "HTTP/1.1 429 Later\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    const AWAY: &str = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

    #[test]
    fn a_question_is_repeated_with_longer_pauses() {
        let (root, requests) = serve(&[BUSY, LATER, "", OK]);
        let request = Request { path: "/t".into(), query: "&a=eq.1&b=eq.2".into(), ..Request::default() };
        let answer = http(&root, SECRET).read(&request).unwrap();
        assert_eq!((answer.total(), answer.body, answer.was_repeated), (Some(7), b"[]".to_vec(), false));
        // What a server asks for counts where it is longer, and 0 does not.
        assert_eq!(PAUSES.take(), [250, 5000, 1000]);
        let requests = requests.join().unwrap();
        assert!(requests.iter().all(|request| *request == requests[0]), "{requests:?}");
        let request = requests[0].to_lowercase();
        for line in ["get /t?a=eq.1&b=eq.2 http/1.1\r\n", "accept: application/json\r\n", "user-agent: ops/"]
        {
            assert!(request.contains(line), "{request}");
        }
        assert!(request.contains(&format!("apikey: {SECRET}\r\n")) && !request.contains("authorization"));
    }

    #[test]
    fn a_write_is_repeated_only_when_its_answer_was_lost() {
        let write =
            Request { method: Method::POST, path: "/t".into(), body: b"[]".to_vec(), ..Request::default() };
        let (root, requests) = serve(&["", BUSY, OK]);
        assert!(http(&root, TOKEN).write_again(&write).unwrap().was_repeated);
        let requests = requests.join().unwrap();
        assert!(requests[0].contains(&format!("authorization: Bearer {TOKEN}\r\n")), "{requests:?}");
        let (root, requests) = serve(&[LATER]);
        let fault = http(&root, TOKEN).write_again(&write).unwrap_err();
        assert_eq!((fault.class, fault.retry_after), (Class::Transient, Some(Duration::from_secs(5))));
        assert_eq!(requests.join().unwrap().len(), 1);
    }

    #[test]
    fn the_key_is_not_taken_elsewhere() {
        let (root, requests) = serve(&[AWAY]);
        let fault =
            http(&root, SECRET).read(&Request { path: "/t".into(), ..Request::default() }).unwrap_err();
        assert_eq!((fault.class, fault.reason.as_str()), (Class::Failed, "HTTP 302"));
        assert_eq!(requests.join().unwrap().len(), 1);
    }

    #[test]
    fn a_write_to_rows_without_the_key_of_one_is_never_sent() {
        let http = http("http://127.0.0.1:9", SECRET);
        for method in [Method::PATCH, Method::DELETE] {
            for query in ["", "&select=a", "&a=gt.1"] {
                let request = Request { method: method.clone(), query: query.into(), ..Request::default() };
                assert!(catch_unwind(AssertUnwindSafe(|| http.write_again(&request))).is_err(), "{query}");
            }
        }
    }
}
