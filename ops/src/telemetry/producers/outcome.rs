//! Extraction outcomes: what came of an article in one word, and how good it is.
//!
//! What counts as success is decided by the word alone, here and nowhere else. Quality is two numbers with their reasons:
//! how much of an article there is, and how much is wrong with it.

use serde_json::json;

use super::extraction::host;
use crate::clock::Stamp;
use crate::telemetry::store::{Column, Event, Job, Kind, Refused, RowWriter, Store, Table};

/// One row for each outcome.
pub static OUTCOMES: Table = Table {
    name: "extraction_outcomes",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("operation_id", Kind::Text),
        Column::required("article_id", Kind::Text),
        Column::required("url", Kind::Text),
        Column::new("host", Kind::Text),
        Column::new("publisher", Kind::Text),
        Column::required("outcome", Kind::Text),
        Column::required("is_success", Kind::Bool),
        Column::required("is_content_success", Kind::Bool),
        Column::required("is_technical_failure", Kind::Bool),
        Column::required("is_bot_protection", Kind::Bool),
        Column::new("extraction_time_ms", Kind::Real),
        Column::new("http_status_code", Kind::Int),
        Column::new("response_size_bytes", Kind::Int),
        Column::required("has_title", Kind::Bool),
        Column::required("has_content", Kind::Bool),
        Column::required("has_author", Kind::Bool),
        Column::required("has_publish_date", Kind::Bool),
        Column::required("title_length", Kind::Int),
        Column::required("content_length", Kind::Int),
        Column::required("author_length", Kind::Int),
        Column::required("title_quality_issues", Kind::Text),
        Column::required("content_quality_issues", Kind::Text),
        Column::required("author_quality_issues", Kind::Text),
        Column::required("publish_date_quality_issues", Kind::Text),
        Column::required("content_quality_score", Kind::Real),
        Column::required("overall_quality_score", Kind::Real),
        Column::new("error_type", Kind::Text),
        Column::new("error_message", Kind::Text),
        Column::required("created_at", Kind::Text),
    ],
    constraints: &[],
    indexes: &["created_at"],
    on_conflict: "",
};

macro_rules! outcomes {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "the names say it")]
        pub enum $name { $($variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As it is stored.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }
    };
}

pub(super) use outcomes;

outcomes! {
    /// What came of an article.
    Outcome {
        ContentExtracted = "content_extracted",
        PartialContent = "partial_content",
        NoContentFound = "no_content_found",
        EmptyResponse = "empty_response",
        PaywallDetected = "paywall_detected",
        HttpError = "http_error",
        Timeout = "timeout",
        ConnectionError = "connection_error",
        SslError = "ssl_error",
        DnsError = "dns_error",
        CloudflareBlocked = "cloudflare_blocked",
        CaptchaRequired = "captcha_required",
        BotProtection = "bot_protection",
        RateLimited = "rate_limited",
        ParsingError = "parsing_error",
        EncodingError = "encoding_error",
        JavascriptRequired = "javascript_required",
        DatabaseError = "database_error",
        UnknownError = "unknown_error",
    }
}

impl Outcome {
    /// Whether there is an article, whole or in part.
    pub fn is_success(self) -> bool {
        matches!(self, Self::ContentExtracted | Self::PartialContent)
    }

    /// Whether there is a whole article.
    pub fn is_content_success(self) -> bool {
        self == Self::ContentExtracted
    }

    /// Whether the site did not want us.
    pub fn is_bot_protection(self) -> bool {
        matches!(
            self,
            Self::CloudflareBlocked | Self::CaptchaRequired | Self::BotProtection | Self::RateLimited
        )
    }

    /// Whether something did not work.
    pub fn is_technical_failure(self) -> bool {
        matches!(
            self,
            Self::HttpError
                | Self::Timeout
                | Self::ConnectionError
                | Self::SslError
                | Self::DnsError
                | Self::DatabaseError
                | Self::ParsingError
                | Self::EncodingError
                | Self::UnknownError
        )
    }
}

/// What was found of an article.
#[derive(Debug, Clone, Copy, Default)]
pub struct Article<'a> {
    /// The headline.
    pub title: Option<&'a str>,
    /// The text.
    pub content: Option<&'a str>,
    /// Who wrote it.
    pub author: Option<&'a str>,
    /// When it was published, as RFC 3339 or `YYYY-MM-DD`.
    pub publish_date: Option<&'a str>,
}

/// An outcome and what goes with it.
#[derive(Debug, Clone, Copy)]
pub struct ExtractionOutcome<'a> {
    /// The operation.
    pub operation_id: &'a str,
    /// The article.
    pub article_id: &'a str,
    /// Where it was asked for.
    pub url: &'a str,
    /// Who publishes it.
    pub publisher: Option<&'a str>,
    /// What came of it.
    pub outcome: Outcome,
    /// What was found.
    pub article: Article<'a>,
    /// How long it took, in milliseconds.
    pub elapsed_ms: Option<f64>,
    /// The final status of the server.
    pub http_status: Option<u16>,
    /// Size of its answer.
    pub response_bytes: Option<u64>,
    /// The kind of error and its text.
    pub error: Option<(&'a str, &'a str)>,
    /// When.
    pub at: Stamp,
}

impl ExtractionOutcome<'_> {
    /// Hands it to the store.
    pub fn record(&self, store: &Store) -> Result<(), Refused> {
        let mut job = Job::new();
        job.add(self);
        store.submit(&job)
    }

    /// The share of title, content, author and date that is there, from 0 to 1; 0 where nothing was extracted.
    pub fn content_quality(&self) -> f64 {
        let Article { title, content, author, publish_date } = self.article;
        let there = [title, content, author, publish_date].into_iter().filter(|part| text(*part).is_some());
        if self.outcome.is_success() { there.count() as f64 / 4.0 } else { 0.0 }
    }

    /// 1 less a tenth for each thing that is wrong, never below 0.
    pub fn overall_quality(&self) -> f64 {
        let issues = issues(self.article, self.at).iter().map(Vec::len).sum::<usize>();
        (10.0 - issues as f64).max(0.0) / 10.0
    }
}

fn text(part: Option<&str>) -> Option<&str> {
    part.map(str::trim).filter(|part| !part.is_empty())
}

/// What is wrong with title, content, author and date.
pub fn issues(article: Article<'_>, now: Stamp) -> [Vec<&'static str>; 4] {
    let judge = |part: Option<&str>, min: usize, max: usize| match text(part) {
        None => vec!["missing"],
        Some(text) => {
            let mut found = wrong_in(text);
            let chars = text.chars().count();
            found.extend((chars < min).then_some("too_short"));
            found.extend((chars > max).then_some("too_long"));
            found
        }
    };
    [
        judge(article.title, 10, 200),
        judge(article.content, 100, usize::MAX),
        judge(article.author, 2, 100),
        match text(article.publish_date) {
            None => vec!["missing"],
            Some(date) => wrong_date(date, now).into_iter().collect(),
        },
    ]
}

/// What does not belong into any text.
fn wrong_in(text: &str) -> Vec<&'static str> {
    let lower = text.to_lowercase();
    let has = |marks: &[&str]| marks.iter().any(|mark| lower.contains(mark));
    let mut found = Vec::new();
    let has_tag =
        |(at, _): (usize, &str)| lower[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    if lower.match_indices('<').any(has_tag) && lower.contains('>') {
        found.push("html");
    }
    if has(&["function(", "function (", "var ", "window.", "document."]) && has(&[";", "{", "}"]) {
        found.push("javascript");
    }
    if has(&["lorem ipsum", "placeholder", "insert text here", "sample text"]) {
        found.push("placeholder");
    }
    if has(&["page not found", "404 error", "access denied", "internal server error", "an error occurred"]) {
        found.push("error_text");
    }
    found.extend(is_navigation(&lower).then_some("navigation"));
    found
}

/// A short text of mostly what menus say.
fn is_navigation(lower: &str) -> bool {
    const MENU: [&str; 11] = [
        "home",
        "menu",
        "search",
        "login",
        "subscribe",
        "contact",
        "about",
        "news",
        "sports",
        "next",
        "previous",
    ];
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.len() < 50 && MENU.iter().filter(|entry| words.contains(entry)).count() > 3
}

fn wrong_date(date: &str, now: Stamp) -> Option<&'static str> {
    const OLD_DAYS: u64 = 3650;
    let whole = if date.len() == 10 { format!("{date} 00:00:00") } else { date.to_owned() };
    match Stamp::parse_db(&whole) {
        None => Some("invalid"),
        Some(date) if date > now => Some("future"),
        Some(date) if now.since(date).as_secs() > OLD_DAYS * 86_400 => Some("too_old"),
        Some(_) => None,
    }
}

impl Event for ExtractionOutcome<'_> {
    const TABLE: &'static Table = &OUTCOMES;

    fn values(&self, row: &mut RowWriter<'_>) {
        let outcome = self.outcome;
        row.put(self.operation_id).put(self.article_id);
        row.put_masked(super::extraction::without_user(self.url).as_str());
        row.put(host(self.url).as_ref()).put(self.publisher).put(outcome.word());
        row.put(outcome.is_success()).put(outcome.is_content_success());
        row.put(outcome.is_technical_failure()).put(outcome.is_bot_protection());
        row.put(self.elapsed_ms).put(self.http_status.map(i64::from)).put(self.response_bytes);
        let Article { title, content, author, publish_date } = self.article;
        for part in [title, content, author, publish_date] {
            row.put(text(part).is_some());
        }
        for part in [title, content, author] {
            row.put(text(part).map_or(0, |part| part.chars().count() as u64));
        }
        for found in issues(self.article, self.at) {
            row.put(&json!(found).to_string());
        }
        row.put(self.content_quality()).put(self.overall_quality());
        row.put(self.error.map(|(kind, _)| kind)).put_masked(self.error.map(|(_, message)| message));
        row.put(&self.at.db());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_of_one_kind() {
        for outcome in Outcome::ALL {
            let kinds = [outcome.is_success(), outcome.is_bot_protection(), outcome.is_technical_failure()];
            assert!(kinds.iter().filter(|is| **is).count() <= 1, "{outcome:?}");
        }
        let count = |is: fn(Outcome) -> bool| Outcome::ALL.iter().filter(|o| is(**o)).count();
        let kinds: [fn(Outcome) -> bool; 4] = [
            Outcome::is_success,
            Outcome::is_content_success,
            Outcome::is_bot_protection,
            Outcome::is_technical_failure,
        ];
        assert_eq!((Outcome::ALL.len(), kinds.map(count)), (19, [2, 1, 4, 9]));
    }

    #[test]
    fn what_is_wrong_has_a_name() {
        let now = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
        let words = "A good sentence about the town council and its budget. ".repeat(3);
        let good = Article {
            title: Some("Council approves budget"),
            content: Some(&words),
            author: Some("A. Writer"),
            publish_date: Some("2026-01-01"),
        };
        assert_eq!(issues(good, now), [const { Vec::<&str>::new() }; 4]);
        let bad = Article {
            title: Some("404 error"),
            content: Some("<p>Home | News | Sports | Contact | Login</p>"),
            author: Some("x"),
            publish_date: Some("2027-01-01"),
        };
        assert_eq!(
            issues(bad, now),
            [
                vec!["error_text", "too_short"],
                vec!["html", "navigation", "too_short"],
                vec!["too_short"],
                vec!["future"]
            ]
        );
        assert_eq!(wrong_date("2015-01-01", now), Some("too_old"));
        assert_eq!(wrong_date("soon", now), Some("invalid"));
        assert_eq!(wrong_in("3 < 4 and 5 > 4"), Vec::<&str>::new());
    }
}
