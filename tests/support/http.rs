//! One HTTP request over a socket of its own: no retries, no pool, nothing that could hide what a server did.
//!
//! HTTP/1.0, so the answer is everything until the server closes the connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than anything takes that ends; a test that waits for ever would say nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; numbers keep what `serde_json` can hold.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends a request to `origin` (`http://127.0.0.1:port`).
///
/// # Errors
/// `ConnectionReset` when the server reset the connection, `UnexpectedEof` when it closed it too early,
/// `WouldBlock` when it said nothing for 30 s.
pub(crate) fn send(
    origin: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&str>,
) -> io::Result<Reply> {
    let address = origin.strip_prefix("http://").expect("an origin begins with http://");
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: {address}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if let Some(body) = body {
        head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{head}\r\n{}", body.unwrap_or_default()).as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    parse(&answer, method).ok_or_else(|| io::Error::new(ErrorKind::UnexpectedEof, "the answer is incomplete"))
}

/// `None` when less came than was announced.
fn parse(answer: &[u8], method: &str) -> Option<Reply> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).expect("headers are text");
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status is a number");
    let pair = |line: &str| line.split_once(':').map(|(k, v)| (k.to_lowercase(), v.trim().to_owned()));
    let body = String::from_utf8(answer[end + 4..].to_vec()).expect("bodies are text");
    let reply = Reply { status, headers: lines.filter_map(pair).collect(), body };
    let length = reply.header("content-length").and_then(|length| length.parse::<usize>().ok());
    let is_whole = method == "HEAD" || length.is_none_or(|length| length == reply.body.len());
    is_whole.then_some(reply)
}
