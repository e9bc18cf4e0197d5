//! Extraction metrics: which methods were tried on an article, how long each took, and what the server said.
//!
//! One definition of success: after [`Extraction::finish`] it is what was found, a title or more than 100 characters of
//! content; what a method claims about itself is kept beside it, as `successful_method`. The class of an HTTP error is
//! that of the final status, and errors are counted per day, so that "the last seven days" are just those. Texts from
//! outside are masked before they are cut.

mod days;

use serde_json::{Map, Value as Json, json};

use super::milliseconds;
use crate::clock::Stamp;
use crate::redact::redact;
use crate::telemetry::store::{Column, Event, Job, Kind, Refused, RowWriter, Store, Table};
use crate::text;

/// Content of more characters than this is an article without a title.
const CONTENT_CHARS_MIN: usize = 100;
/// What is kept of an alternative value, in characters.
const ALTERNATIVE_CHARS_MAX: usize = 200;
/// What is kept of the error of a proxy, in characters.
const PROXY_ERROR_CHARS_MAX: usize = 500;

/// One row for each extraction.
pub static EXTRACTIONS: Table = Table {
    name: "extraction_telemetry_v2",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("operation_id", Kind::Text),
        Column::required("article_id", Kind::Text),
        Column::required("url", Kind::Text),
        Column::new("publisher", Kind::Text),
        Column::new("host", Kind::Text),
        Column::required("start_time", Kind::Text),
        Column::new("end_time", Kind::Text),
        Column::new("total_duration_ms", Kind::Real),
        Column::new("http_status_code", Kind::Int),
        Column::new("http_error_type", Kind::Text),
        Column::new("response_size_bytes", Kind::Int),
        Column::new("response_time_ms", Kind::Real),
        Column::new("proxy_used", Kind::Bool),
        Column::new("proxy_status", Kind::Int),
        Column::new("proxy_error", Kind::Text),
        Column::required("methods_attempted", Kind::Text),
        Column::required("method_timings", Kind::Text),
        Column::required("method_success", Kind::Text),
        Column::required("method_errors", Kind::Text),
        Column::required("field_extraction", Kind::Text),
        Column::required("extracted_fields", Kind::Text),
        Column::required("final_field_attribution", Kind::Text),
        Column::required("alternative_extractions", Kind::Text),
        Column::new("successful_method", Kind::Text),
        Column::new("content_length", Kind::Int),
        Column::required("is_success", Kind::Bool),
        Column::new("error_message", Kind::Text),
        Column::new("error_type", Kind::Text),
        Column::required("created_at", Kind::Text),
    ],
    constraints: &[],
    indexes: &["created_at, http_error_type", "host"],
    on_conflict: "",
};

pub use self::days::{EXTRACTION_DAYS, METHOD_DAYS};

/// How often a host answered with an error on a day; empty where the host is not known.
pub static HTTP_ERRORS: Table = Table {
    name: "http_error_summary",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("host", Kind::Text),
        Column::required("status_code", Kind::Int),
        Column::required("error_type", Kind::Text),
        Column::required("day", Kind::Text),
        Column::required("count", Kind::Int),
        Column::required("first_seen", Kind::Text),
        Column::required("last_seen", Kind::Text),
    ],
    constraints: &["UNIQUE (host, status_code, day)"],
    indexes: &["day"],
    on_conflict: "ON CONFLICT (host, status_code, day) DO UPDATE SET count = http_error_summary.count + excluded.count, \
                  first_seen = CASE WHEN excluded.first_seen < http_error_summary.first_seen THEN excluded.first_seen \
                  ELSE http_error_summary.first_seen END, last_seen = CASE WHEN excluded.last_seen > \
                  http_error_summary.last_seen THEN excluded.last_seen ELSE http_error_summary.last_seen END",
};

/// What an extraction or one of its methods found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found<'a> {
    /// The headline.
    pub title: Option<&'a str>,
    /// Who wrote it.
    pub author: Option<&'a str>,
    /// The text.
    pub content: Option<&'a str>,
    /// When it was published.
    pub publish_date: Option<&'a str>,
}

impl<'a> Found<'a> {
    /// The fields by name; what is empty was not found.
    fn fields(self) -> [(&'static str, Option<&'a str>); 4] {
        let some = |text: Option<&'a str>| text.filter(|text| !text.trim().is_empty());
        [
            ("title", some(self.title)),
            ("author", some(self.author)),
            ("content", some(self.content)),
            ("publish_date", some(self.publish_date)),
        ]
    }

    fn flags(self) -> Json {
        Json::Object(
            self.fields()
                .map(|(name, value)| (name.to_owned(), value.is_some().into()))
                .into_iter()
                .collect(),
        )
    }

    fn get(self, field: &str) -> Option<&'a str> {
        self.fields().into_iter().find(|(name, _)| *name == field).and_then(|(_, value)| value)
    }
}

/// How a method ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct MethodEnd<'a> {
    /// What it says of itself.
    pub is_success: bool,
    /// Why not.
    pub error: Option<&'a str>,
    /// What it found.
    pub found: Found<'a>,
    /// The status of its request, where it made one.
    pub http_status: Option<u16>,
}

/// What a proxy had to do with it.
#[derive(Debug, Clone, Copy)]
pub struct Proxy<'a> {
    /// Whether the request went through it.
    pub is_used: bool,
    /// `disabled`, `success`, `failed` or `bypassed`, in any case.
    pub status: Option<&'a str>,
    /// What went wrong.
    pub error: Option<&'a str>,
}

/// The stored number of a proxy status.
pub fn proxy_status(word: &str) -> Option<i64> {
    const WORDS: [&str; 4] = ["disabled", "success", "failed", "bypassed"];
    let place = WORDS.iter().position(|known| word.eq_ignore_ascii_case(known))?;
    i64::try_from(place).ok()
}

/// The class of a status; `None` for those that are no error.
pub fn http_error_class(status: u16) -> Option<&'static str> {
    match status {
        300..=399 => Some("3xx_redirect"),
        400..=499 => Some("4xx_client_error"),
        500.. => Some("5xx_server_error"),
        _ => None,
    }
}

/// The status that an error text speaks of, as in "Status code 403".
pub fn status_in(text: &str) -> Option<u16> {
    let lower = text.to_lowercase();
    lower.match_indices("status code").find_map(|(at, word)| {
        let rest = lower[at + word.len()..].trim_start_matches([' ', ':', '=']);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        rest[..digits].parse().ok().filter(|status| (100..600).contains(status))
    })
}

/// The host of a URL with its port, in lower case and without a user.
pub fn host(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (!host.is_empty()).then(|| host.to_lowercase())
}

/// A method while the extraction goes on.
#[derive(Debug, Clone)]
struct Method {
    name: String,
    began: Stamp,
    elapsed_ms: Option<f64>,
    end: Option<(bool, Option<String>, Json)>,
}

/// One extraction, from its start to its record.
#[derive(Debug, Clone)]
pub struct Extraction {
    operation_id: String,
    article_id: String,
    url: String,
    publisher: Option<String>,
    host: Option<String>,
    began: Stamp,
    ended: Option<Stamp>,
    methods: Vec<Method>,
    http_status: Option<u16>,
    response_bytes: Option<u64>,
    response_ms: Option<f64>,
    proxy: Option<(bool, Option<i64>, Option<String>)>,
    alternatives: Map<String, Json>,
    extracted: Json,
    attribution: Json,
    content_length: Option<u64>,
    found: Option<bool>,
    error: Option<(String, String)>,
}

impl Extraction {
    /// An extraction that begins now. Credentials in the URL are not kept.
    pub fn begin(
        operation_id: &str,
        article_id: &str,
        url: &str,
        publisher: Option<&str>,
        now: Stamp,
    ) -> Self {
        Self {
            operation_id: operation_id.to_owned(),
            article_id: article_id.to_owned(),
            url: without_user(url),
            publisher: publisher.map(str::to_owned),
            host: host(url),
            began: now,
            ended: None,
            methods: Vec::new(),
            http_status: None,
            response_bytes: None,
            response_ms: None,
            proxy: None,
            alternatives: Map::new(),
            extracted: json!({}),
            attribution: json!({}),
            content_length: None,
            found: None,
            error: None,
        }
    }

    /// A method is tried.
    pub fn start_method(&mut self, name: &str, now: Stamp) {
        self.methods.push(Method { name: name.to_owned(), began: now, elapsed_ms: None, end: None });
    }

    /// A method has ended; one that was not started has no duration.
    pub fn end_method(&mut self, name: &str, end: &MethodEnd<'_>, now: Stamp) {
        let open = self.methods.iter_mut().rev().find(|method| method.name == name && method.end.is_none());
        let result = Some((end.is_success, end.error.map(str::to_owned), end.found.flags()));
        match open {
            Some(method) => {
                method.elapsed_ms = Some(milliseconds(method.began, now));
                method.end = result;
            }
            None => {
                self.methods.push(Method {
                    name: name.to_owned(),
                    began: now,
                    elapsed_ms: None,
                    end: result,
                });
            }
        }
        self.http_status = end.http_status.or(self.http_status);
    }

    /// The final answer of the server.
    pub fn set_response(&mut self, status: u16, bytes: Option<u64>, elapsed_ms: Option<f64>) {
        self.http_status = Some(status);
        self.response_bytes = bytes;
        self.response_ms = elapsed_ms;
    }

    /// What a proxy had to do with it; the first account is kept.
    pub fn set_proxy(&mut self, proxy: Proxy<'_>) {
        self.proxy.get_or_insert_with(|| {
            let error = proxy.error.map(|error| text::ellipsis(&redact(error), PROXY_ERROR_CHARS_MAX));
            (proxy.is_used, proxy.status.and_then(proxy_status), error)
        });
    }

    /// Another method found another value for a field.
    pub fn add_alternative(&mut self, method: &str, field: &str, alternative: &str, current: &str) {
        let entry = json!({
            "alternative_value": text::ellipsis(&redact(alternative), ALTERNATIVE_CHARS_MAX),
            "current_value": text::ellipsis(&redact(current), ALTERNATIVE_CHARS_MAX),
            "values_differ": alternative != current,
        });
        let fields = self.alternatives.entry(method).or_insert_with(|| json!({}));
        fields[field] = entry;
    }

    /// The extraction failed.
    pub fn fail(&mut self, kind: &str, message: &str) {
        self.error = Some((kind.to_owned(), message.to_owned()));
    }

    /// The end: what was found, and which method each field is from.
    pub fn finish(&mut self, found: Found<'_>, attribution: &[(&str, &str)], now: Stamp) {
        self.ended = Some(now);
        self.extracted = found.flags();
        let pairs = attribution.iter().map(|(field, method)| ((*field).to_owned(), Json::from(*method)));
        self.attribution = Json::Object(pairs.collect());
        let chars = found.get("content").map_or(0, |content| content.chars().count());
        self.content_length = Some(chars as u64);
        self.found = Some(found.get("title").is_some() || chars > CONTENT_CHARS_MIN);
    }

    /// Whether it succeeded: by what was found, or while that is open, by what a method says.
    pub fn is_success(&self) -> bool {
        self.found.unwrap_or_else(|| self.successful_method().is_some())
    }

    /// The first method that says it succeeded.
    pub fn successful_method(&self) -> Option<&str> {
        let is_success = |method: &&Method| method.end.as_ref().is_some_and(|(is_success, ..)| *is_success);
        self.methods.iter().find(is_success).map(|method| method.name.as_str())
    }

    /// Hands everything to the store as one job.
    pub fn record(&self, store: &Store) -> Result<(), Refused> {
        let mut job = Job::new();
        job.add(self);
        self.add_days(&mut job);
        let class = self.http_status.and_then(http_error_class);
        if let (Some(status), Some(class)) = (self.http_status, class) {
            let host = self.host.as_deref().unwrap_or_default();
            job.add(&HttpError { host, status, class, at: self.ended.unwrap_or(self.began) });
        }
        store.submit(&job)
    }

    /// One value of each method that has it, by name.
    fn by_method(&self, of: impl Fn(&Method) -> Option<Json>) -> String {
        let pairs = self.methods.iter().filter_map(|method| Some((method.name.clone(), of(method)?)));
        Json::Object(pairs.collect()).to_string()
    }
}

impl Event for Extraction {
    const TABLE: &'static Table = &EXTRACTIONS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let names: Vec<&str> = self.methods.iter().map(|method| method.name.as_str()).collect();
        let total = self.ended.map(|ended| milliseconds(self.began, ended));
        let ended = self.ended.map(Stamp::db);
        row.put(&self.operation_id).put(&self.article_id).put_masked(self.url.as_str());
        row.put(self.publisher.as_ref()).put(self.host.as_ref());
        row.put(&self.began.db()).put(ended.as_ref()).put(total);
        row.put(self.http_status.map(i64::from)).put(self.http_status.and_then(http_error_class));
        row.put(self.response_bytes).put(self.response_ms);
        let proxy = self.proxy.as_ref();
        row.put(proxy.map(|p| p.0)).put(proxy.and_then(|p| p.1)).put(proxy.and_then(|p| p.2.as_ref()));
        row.put(&json!(names).to_string());
        row.put(&self.by_method(|method| method.elapsed_ms.map(Json::from)));
        row.put(&self.by_method(|method| method.end.as_ref().map(|(is_success, ..)| (*is_success).into())));
        row.put(
            &self.by_method(|method| method.end.as_ref()?.1.as_ref().map(|error| (*redact(error)).into())),
        );
        row.put(&self.by_method(|method| method.end.as_ref().map(|(_, _, fields)| fields.clone())));
        row.put(&self.extracted.to_string()).put(&self.attribution.to_string());
        row.put(&Json::Object(self.alternatives.clone()).to_string());
        row.put(self.successful_method()).put(self.content_length).put(self.is_success());
        let error = self.error.as_ref();
        row.put_masked(error.map(|(_, message)| message.as_str())).put(error.map(|(kind, _)| kind));
        row.put(&self.ended.unwrap_or(self.began).db());
    }
}

struct HttpError<'a> {
    host: &'a str,
    status: u16,
    class: &'a str,
    at: Stamp,
}

impl Event for HttpError<'_> {
    const TABLE: &'static Table = &HTTP_ERRORS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let at = self.at.db();
        row.put(self.host)
            .put(i64::from(self.status))
            .put(self.class)
            .put(&at[..10])
            .put(1_i64)
            .put(&at)
            .put(&at);
    }
}

pub(super) fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn words_numbers_and_hosts() {
        let words = ["disabled", "success", "failed", "bypassed", "DISABLED", "unknown"].map(proxy_status);
        assert_eq!(words, [Some(0), Some(1), Some(2), Some(3), Some(0), None]);
        let classes = [200, 301, 404, 500, 599, 100].map(http_error_class);
        let (client, server) = (Some("4xx_client_error"), Some("5xx_server_error"));
        assert_eq!(classes, [None, Some("3xx_redirect"), client, server, server, None]);
        let texts = [
            "x Status code 403...",
            "Status code 404 Not Found",
            "HTTP Error: Status code 500",
            "No status code here",
        ];
        assert_eq!(texts.map(status_in), [Some(403), Some(404), Some(500), None]);
        assert_eq!(host("https://u:p@Example.COM:8080/a@b").as_deref(), Some("example.com:8080"));
        assert_eq!(host("no url"), None);
        assert_eq!(without_user("https://u:p@example.com/a@b?c"), "https://example.com/a@b?c");
    }

    #[test]
    fn a_method_that_did_not_end_has_no_duration() {
        let now = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
        let mut extraction = Extraction::begin("o", "a", "https://example.com/x", None, now);
        extraction.start_method("one", now);
        extraction.start_method("two", now);
        let end = MethodEnd { is_success: true, ..MethodEnd::default() };
        extraction.end_method("two", &end, now.plus(Duration::from_millis(200)));
        assert_eq!(extraction.by_method(|method| method.elapsed_ms.map(Json::from)), r#"{"two":200.0}"#);
        assert!(extraction.is_success(), "as long as nobody knows better");
        extraction.finish(Found::default(), &[], now);
        assert!(!extraction.is_success(), "what was found decides");
        assert_eq!(extraction.successful_method(), Some("two"));
    }

    #[test]
    fn the_class_follows_the_final_status() {
        let now = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
        let mut extraction = Extraction::begin("o", "a", "https://example.com/x", None, now);
        extraction.set_response(301, None, None);
        extraction.set_response(200, Some(10), Some(1.5));
        assert_eq!(extraction.http_status.and_then(http_error_class), None);
    }
}
