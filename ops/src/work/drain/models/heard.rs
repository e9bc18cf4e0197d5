//! What a service says, read as it comes: a stream of events of either API, or one JSON document from a server that does
//! not stream.
//!
//! What is not said stays unknown: no count is made up.

use serde_json::Value;

use super::Api;
use crate::text;

/// An answer that is longer is not read on.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// An answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) text: String,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) stop_reason: Option<String>,
    pub(super) model: Option<String>,
    /// Why the model would not, in its own words.
    pub(super) refusal: Option<String>,
}

impl Heard {
    /// Whether the answer was cut off by its budget.
    pub(super) fn is_truncated(&self) -> bool {
        matches!(self.stop_reason.as_deref(), Some("max_tokens" | "length"))
    }
}

/// Why an answer is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotHeard {
    /// A stable word.
    pub(super) reason: &'static str,
    /// For people.
    pub(super) why: String,
}

/// Listens to an answer.
#[derive(Debug)]
pub(super) struct Listener {
    api: Api,
    heard: Heard,
    /// Bytes of a line that is not over yet, or of a whole document.
    rest: Vec<u8>,
    bytes: usize,
    is_document: Option<bool>,
    is_whole: bool,
}

impl Listener {
    pub(super) fn new(api: Api) -> Self {
        let (heard, rest) = (Heard::default(), Vec::new());
        Self { api, heard, rest, bytes: 0, is_document: None, is_whole: false }
    }

    /// Takes in the next piece.
    pub(super) fn hear(&mut self, piece: &[u8]) -> Result<(), NotHeard> {
        self.bytes += piece.len();
        if self.bytes > BYTES_MAX {
            return Err(invalid("the answer is longer than 16 MiB"));
        }
        self.rest.extend_from_slice(piece);
        if self.is_document.is_none() {
            self.is_document = self.rest.trim_ascii_start().first().map(|first| *first == b'{');
        }
        if self.is_document != Some(false) {
            return Ok(());
        }
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        for line in lines.split(|byte| *byte == b'\n') {
            self.line(line)?;
        }
        Ok(())
    }

    /// The answer, when it is whole.
    pub(super) fn end(mut self) -> Result<Heard, NotHeard> {
        if self.is_document == Some(true) {
            let document: Value =
                serde_json::from_slice(&self.rest).map_err(|error| invalid(&error.to_string()))?;
            self.document(&document)?;
        }
        // A server of the chat API may end without its last mark; the reason why it stopped is one as well.
        let is_whole = self.is_whole || self.api == Api::Chat && self.heard.stop_reason.is_some();
        if is_whole {
            return Ok(self.heard);
        }
        let why = format!("the stream ended after {} bytes, before the answer did", self.bytes);
        Err(NotHeard { reason: "stream_cut", why })
    }

    fn line(&mut self, line: &[u8]) -> Result<(), NotHeard> {
        let Some(data) = line.trim_ascii().strip_prefix(b"data:").map(<[u8]>::trim_ascii) else {
            return Ok(());
        };
        if data == b"[DONE]" {
            self.is_whole = true;
            return Ok(());
        }
        let event: Value = serde_json::from_slice(data).map_err(|error| invalid(&error.to_string()))?;
        failed(&event)?;
        match self.api {
            Api::Messages => self.message_event(&event),
            Api::Chat => self.chunk(&event, "delta"),
        }
        Ok(())
    }

    fn message_event(&mut self, event: &Value) {
        match event["type"].as_str() {
            Some("message_start") => self.message(&event["message"]),
            Some("content_block_delta") => {
                self.heard.text.push_str(event["delta"]["text"].as_str().unwrap_or_default());
            }
            Some("message_delta") => {
                self.usage(&event["usage"]);
                self.stopped(event["delta"]["stop_reason"].as_str());
            }
            Some("message_stop") => self.is_whole = true,
            _ => {}
        }
    }

    fn message(&mut self, message: &Value) {
        self.heard.model = message["model"].as_str().map(str::to_owned);
        for part in message["content"].as_array().into_iter().flatten() {
            self.heard.text.push_str(part["text"].as_str().unwrap_or_default());
        }
        self.usage(&message["usage"]);
        self.stopped(message["stop_reason"].as_str());
    }

    /// A piece of the chat API, or its whole answer, whose text is in `place`.
    fn chunk(&mut self, chunk: &Value, place: &str) {
        if let Some(model) = chunk["model"].as_str() {
            self.heard.model = Some(model.to_owned());
        }
        let choice = &chunk["choices"][0];
        self.heard.text.push_str(choice[place]["content"].as_str().unwrap_or_default());
        if let Some(why) = choice[place]["refusal"].as_str() {
            self.heard.refusal.get_or_insert_default().push_str(why);
        }
        self.usage(&chunk["usage"]);
        self.stopped(choice["finish_reason"].as_str());
    }

    /// What is counted comes more than once; the last count is the one.
    fn usage(&mut self, usage: &Value) {
        let count = |name: &str| usage[name].as_u64();
        let cached = ["cache_creation_input_tokens", "cache_read_input_tokens"];
        if let Some(input) = count("input_tokens").or(count("prompt_tokens")) {
            self.heard.input_tokens = Some(input + cached.iter().filter_map(|name| count(name)).sum::<u64>());
        }
        if let Some(output) = count("output_tokens").or(count("completion_tokens")) {
            self.heard.output_tokens = Some(output);
        }
    }

    fn stopped(&mut self, reason: Option<&str>) {
        let Some(reason) = reason else { return };
        self.heard.stop_reason = Some(reason.to_owned());
        if matches!(reason, "refusal" | "content_filter") {
            self.heard.refusal.get_or_insert_with(|| format!("stop reason {reason}"));
        }
    }

    fn document(&mut self, document: &Value) -> Result<(), NotHeard> {
        failed(document)?;
        match self.api {
            Api::Messages => self.message(document),
            Api::Chat => self.chunk(document, "message"),
        }
        if self.heard.stop_reason.is_none() {
            return Err(invalid("it is JSON, and no answer of this API"));
        }
        self.is_whole = true;
        Ok(())
    }
}

/// A service that fails in the middle says so in the stream.
fn failed(event: &Value) -> Result<(), NotHeard> {
    let error = &event["error"];
    if error.is_null() {
        return Ok(());
    }
    let said = error["message"].as_str().or(error.as_str()).unwrap_or("it does not say why");
    let why = format!("the service failed: {}", text::ellipsis(&text::one_line(said), 300));
    Err(NotHeard { reason: "model_failed", why })
}

fn invalid(why: &str) -> NotHeard {
    NotHeard { reason: "model_answer_invalid", why: format!("the answer cannot be read: {why}") }
}
