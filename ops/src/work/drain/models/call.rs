//! One question to a service: sent, waited for, and sent again only when the service says that it has begun nothing.

use std::fmt;
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client, Request};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::json;

use super::heard::{Heard, Listener};
use super::{Api, ModelOptions};
use crate::target::postgrest::{innermost, tls};
use crate::text;

/// How often a question is looked at that may have to be given up.
const TICK: Duration = Duration::from_millis(20);
/// The longest pause that is made of the caller's own accord.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an error's body that are read.
const ERROR_BYTES_MAX: usize = 64 * 1024;

/// How a question ended.
#[derive(Debug)]
pub(super) enum Ended {
    Heard(Heard),
    /// Nothing was sent, or nothing begun, for as long as the deadline allowed.
    Unreachable(String),
    /// The service does not know the model, or the path.
    NotFound(String),
    /// The service will not.
    Refused {
        status: u16,
        why: String,
    },
    /// It may have been answered, and the answer is not there.
    Lost {
        reason: &'static str,
        why: String,
    },
    TimedOut,
    Stopped,
}

/// Speaks to one service.
pub(super) struct Caller {
    client: Client,
    api: Api,
    url: String,
    headers: HeaderMap,
    model: String,
    pause: Duration,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("url", &self.url).field("model", &self.model).finish_non_exhaustive()
    }
}

/// What comes from the thread that speaks.
enum Piece {
    Head { status: u16, retry_after: Option<Duration> },
    Body(Vec<u8>),
    End,
    Lost { was_sent: bool, why: String },
}

/// One sending.
enum Sent {
    Over(Ended),
    /// Nothing was begun; after this pause, if any is asked for, it may be.
    Again {
        pause: Option<Duration>,
        why: String,
    },
}

impl Caller {
    pub(super) fn new(options: &ModelOptions) -> Result<Self, String> {
        let is_secure = options.origin.starts_with("https:");
        let client = Client::builder()
            .user_agent(concat!("ops/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .https_only(is_secure)
            .tls_backend_preconfigured(tls(is_secure)?)
            .timeout(None)
            .build()
            .map_err(|error| innermost(&error))?;
        let path = match options.api {
            Api::Messages => "/v1/messages",
            Api::Chat => "/v1/chat/completions",
        };
        Ok(Self {
            client,
            api: options.api,
            url: format!("{}{path}", options.origin.trim_end_matches('/')),
            headers: headers(options)?,
            model: options.model.clone(),
            pause: options.pause,
        })
    }

    /// Asks until there is an answer, the service will not, or the time is over.
    pub(super) fn ask(&self, prompt: &str, max_tokens: u64, deadline: Instant, stop: &AtomicBool) -> Ended {
        let body = self.body(prompt, max_tokens);
        let mut pause = self.pause;
        loop {
            let (wait, why) = match self.once(&body, deadline, stop) {
                Sent::Over(ended) => return ended,
                Sent::Again { pause: asked, why } => (asked.unwrap_or_default().max(pause), why),
            };
            if Instant::now() + wait >= deadline {
                return Ended::Unreachable(why);
            }
            let until = Instant::now() + wait;
            while Instant::now() < until {
                if stop.load(Ordering::Relaxed) {
                    return Ended::Stopped;
                }
                std::thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn body(&self, prompt: &str, max_tokens: u64) -> String {
        let messages = json!([{ "role": "user", "content": prompt }]);
        let mut body = json!({
            "model": self.model, "max_tokens": max_tokens, "messages": messages, "stream": true,
        });
        if self.api == Api::Chat {
            body["stream_options"] = json!({ "include_usage": true });
        }
        body.to_string()
    }

    fn once(&self, body: &str, deadline: Instant, stop: &AtomicBool) -> Sent {
        let left = deadline.saturating_duration_since(Instant::now());
        let request = self
            .client
            .post(&self.url)
            .headers(self.headers.clone())
            .timeout(left)
            .body(body.to_owned())
            .build();
        let request = match request {
            Ok(request) => request,
            Err(error) => return Sent::Over(Ended::Unreachable(innermost(&error))),
        };
        let (sender, pieces) = sync_channel(16);
        let client = self.client.clone();
        // A call cannot be taken back while it waits. Whoever no longer wants it lets go of the channel, and the thread
        // ends with the next piece or with its own deadline.
        std::thread::spawn(move || speak(&client, request, &sender));
        self.listen(&pieces, deadline, stop)
    }

    fn listen(&self, pieces: &Receiver<Piece>, deadline: Instant, stop: &AtomicBool) -> Sent {
        let mut listener = Listener::new(self.api);
        let mut refused: Option<(u16, Option<Duration>, Vec<u8>)> = None;
        loop {
            if stop.load(Ordering::Relaxed) {
                return Sent::Over(Ended::Stopped);
            }
            let piece = match pieces.recv_timeout(TICK) {
                Ok(Piece::Head { status, retry_after }) => {
                    let is_refused = !(200..300).contains(&status);
                    refused = is_refused.then(|| (status, retry_after, Vec::new()));
                    continue;
                }
                Ok(piece) => piece,
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => continue,
                Err(RecvTimeoutError::Timeout) => return Sent::Over(Ended::TimedOut),
                Err(RecvTimeoutError::Disconnected) => Piece::End,
            };
            match (piece, &mut refused) {
                (Piece::Body(bytes), Some((.., kept))) if kept.len() < ERROR_BYTES_MAX => kept.extend(bytes),
                // The head is the first of all, and taken above.
                (Piece::Body(_), Some(_)) | (Piece::Head { .. }, _) => {}
                (Piece::Body(bytes), None) => {
                    if let Err(not) = listener.hear(&bytes) {
                        return Sent::Over(Ended::Lost { reason: not.reason, why: not.why });
                    }
                }
                (Piece::End | Piece::Lost { .. }, Some((status, retry_after, kept))) => {
                    return answered(*status, *retry_after, kept);
                }
                (Piece::End, None) => {
                    return Sent::Over(match listener.end() {
                        Ok(heard) => Ended::Heard(heard),
                        Err(not) => Ended::Lost { reason: not.reason, why: not.why },
                    });
                }
                (Piece::Lost { was_sent: false, why }, None) => return Sent::Again { pause: None, why },
                (Piece::Lost { .. }, None) if Instant::now() >= deadline => {
                    return Sent::Over(Ended::TimedOut);
                }
                (Piece::Lost { why, .. }, None) => {
                    return Sent::Over(Ended::Lost { reason: "stream_cut", why });
                }
            }
        }
    }
}

/// What a service means that does not answer the question.
fn answered(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Sent {
    let said: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let error = &said["error"];
    let said = error["message"].as_str().or(error.as_str()).unwrap_or("it does not say why");
    let why = text::ellipsis(&text::one_line(said), 300);
    match status {
        // Too many requests, overloaded, or a failure before anything was begun.
        429 | 500 | 502 | 503 | 504 | 529 => {
            Sent::Again { pause: retry_after, why: format!("the service answered {status}: {why}") }
        }
        404 => Sent::Over(Ended::NotFound(format!("the service answered 404: {why}"))),
        _ => Sent::Over(Ended::Refused { status, why }),
    }
}

/// Sends the request and passes on what comes.
fn speak(client: &Client, request: Request, out: &SyncSender<Piece>) {
    let mut response = match client.execute(request) {
        Ok(response) => response,
        Err(error) => {
            let was_sent = !error.is_connect() && !error.is_builder();
            let _ = out.send(Piece::Lost { was_sent, why: innermost(&error) });
            return;
        }
    };
    let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
    let mut piece = Piece::Head { status: response.status().as_u16(), retry_after };
    let mut buffer = vec![0; 8192];
    while out.send(piece).is_ok() {
        piece = match response.read(&mut buffer) {
            Ok(0) => {
                let _ = out.send(Piece::End);
                return;
            }
            Ok(length) => Piece::Body(buffer[..length].to_vec()),
            Err(error) => {
                let _ = out.send(Piece::Lost { was_sent: true, why: innermost(&error) });
                return;
            }
        };
    }
}

fn headers(options: &ModelOptions) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let mut put = |name: &'static str, text: &str, is_secret: bool| {
        let mut value = HeaderValue::from_str(text).map_err(|_| "the key is no header".to_owned())?;
        value.set_sensitive(is_secret);
        headers.insert(HeaderName::from_static(name), value);
        Ok::<_, String>(())
    };
    put("content-type", "application/json", false)?;
    let key = options.key.as_ref().map(ExposeSecret::expose_secret);
    match options.api {
        Api::Messages => {
            put("anthropic-version", "2023-06-01", false)?;
            key.map_or(Ok(()), |key| put("x-api-key", key, true))?;
        }
        Api::Chat => key.map_or(Ok(()), |key| put("authorization", &format!("Bearer {key}"), true))?,
    }
    Ok(headers)
}
