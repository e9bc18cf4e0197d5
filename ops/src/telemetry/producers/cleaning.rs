//! Content cleaning: which parts of the articles of a site repeat, which were removed, and the library of patterns that
//! is learnt from it.
//!
//! A text is known by a digest that is the same in every process and on every machine; texts themselves are masked. All of
//! a session is one job: its row, its segments and events, the patterns and the counts of the day.

use serde_json::{Value as Json, json};

use super::days::grow;
use crate::clock::Stamp;
use crate::ids;
use crate::telemetry::store::{Column, Event, Job, Kind, Refused, RowWriter, Store, Table};

/// A removed segment whose ends are less sure than this teaches nothing.
const PATTERN_SCORE_MIN: f64 = 0.5;
/// Patterns that are like this on every site, so that a model may learn from them.
const GENERAL: [&str; 4] = ["subscription", "navigation", "footer", "social_share_header"];
/// Patterns of one site.
const LOCAL: [&str; 3] = ["sidebar", "trending", "other"];

/// One row for each session.
pub static CLEANING_SESSIONS: Table = Table {
    name: "content_cleaning_sessions",
    version: 1,
    columns: &[
        Column::required("telemetry_id", Kind::Text),
        Column::required("session_id", Kind::Text),
        Column::required("domain", Kind::Text),
        Column::required("article_count", Kind::Int),
        Column::required("min_occurrences", Kind::Int),
        Column::required("min_boundary_score", Kind::Real),
        Column::required("start_time", Kind::Text),
        Column::required("end_time", Kind::Text),
        Column::required("processing_time_ms", Kind::Real),
        Column::required("rough_candidates_found", Kind::Int),
        Column::required("segments_detected", Kind::Int),
        Column::required("segments_removed", Kind::Int),
        Column::required("total_removable_chars", Kind::Int),
        Column::required("removal_percentage", Kind::Real),
        Column::required("created_at", Kind::Text),
    ],
    constraints: &["PRIMARY KEY (telemetry_id)"],
    indexes: &["created_at"],
    on_conflict: "",
};

/// One row for each segment that was found.
pub static CLEANING_SEGMENTS: Table = Table {
    name: "content_cleaning_segments",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("telemetry_id", Kind::Text),
        Column::required("detection_number", Kind::Int),
        Column::required("segment_text", Kind::Text),
        Column::required("segment_text_hash", Kind::Text),
        Column::required("boundary_score", Kind::Real),
        Column::required("occurrences", Kind::Int),
        Column::required("pattern_type", Kind::Text),
        Column::new("position_consistency", Kind::Real),
        Column::required("segment_length", Kind::Int),
        Column::required("affected_article_count", Kind::Int),
        Column::required("was_removed", Kind::Bool),
        Column::new("removal_reason", Kind::Text),
        Column::required("article_ids_json", Kind::Text),
        Column::required("timestamp", Kind::Text),
    ],
    constraints: &["UNIQUE (telemetry_id, detection_number)"],
    indexes: &["segment_text_hash"],
    on_conflict: "",
};

/// Articles that turned out to be a news agency's.
pub static CLEANING_WIRE_EVENTS: Table = Table {
    name: "content_cleaning_wire_events",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("telemetry_id", Kind::Text),
        Column::required("domain", Kind::Text),
        Column::required("provider", Kind::Text),
        Column::required("detection_method", Kind::Text),
        Column::new("detection_stage", Kind::Text),
        Column::new("confidence", Kind::Real),
        Column::new("pattern_text", Kind::Text),
        Column::new("pattern_text_hash", Kind::Text),
        Column::required("article_ids_json", Kind::Text),
        Column::required("metadata_json", Kind::Text),
        Column::required("timestamp", Kind::Text),
    ],
    constraints: &[],
    indexes: &["telemetry_id"],
    on_conflict: "",
};

/// Whether an agency's article is about the place of its paper.
pub static CLEANING_LOCALITY_EVENTS: Table = Table {
    name: "content_cleaning_locality_events",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("telemetry_id", Kind::Text),
        Column::required("domain", Kind::Text),
        Column::required("provider", Kind::Text),
        Column::required("detection_method", Kind::Text),
        Column::new("article_id", Kind::Text),
        Column::required("is_local", Kind::Bool),
        Column::new("confidence", Kind::Real),
        Column::new("raw_score", Kind::Real),
        Column::new("threshold", Kind::Real),
        Column::required("signals_json", Kind::Text),
        Column::required("locality_json", Kind::Text),
        Column::required("timestamp", Kind::Text),
    ],
    constraints: &[],
    indexes: &["telemetry_id"],
    on_conflict: "",
};

/// What is known to be boilerplate on a site.
pub static BOILERPLATE_PATTERNS: Table = Table {
    name: "persistent_boilerplate_patterns",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("domain", Kind::Text),
        Column::required("pattern_type", Kind::Text),
        Column::required("text_content", Kind::Text),
        Column::required("text_hash", Kind::Text),
        Column::required("confidence_score", Kind::Real),
        Column::required("occurrences_total", Kind::Int),
        Column::required("first_seen", Kind::Text),
        Column::required("last_seen", Kind::Text),
        Column::new("removal_reason", Kind::Text),
        Column::required("is_active", Kind::Bool),
        Column::required("is_ml_training_eligible", Kind::Bool),
        Column::required("updated_at", Kind::Text),
    ],
    constraints: &["UNIQUE (domain, text_hash)"],
    indexes: &[],
    on_conflict: "ON CONFLICT (domain, text_hash) DO UPDATE SET \
        occurrences_total = persistent_boilerplate_patterns.occurrences_total + excluded.occurrences_total, \
        confidence_score = CASE WHEN excluded.confidence_score > persistent_boilerplate_patterns.confidence_score \
        THEN excluded.confidence_score ELSE persistent_boilerplate_patterns.confidence_score END, \
        first_seen = CASE WHEN excluded.first_seen < persistent_boilerplate_patterns.first_seen \
        THEN excluded.first_seen ELSE persistent_boilerplate_patterns.first_seen END, \
        last_seen = CASE WHEN excluded.last_seen > persistent_boilerplate_patterns.last_seen \
        THEN excluded.last_seen ELSE persistent_boilerplate_patterns.last_seen END, \
        updated_at = excluded.updated_at",
};

/// Sessions of a day, by domain.
pub static CLEANING_DAYS: Table = Table {
    name: "content_cleaning_days",
    version: 1,
    columns: &[
        Column::required("day", Kind::Text),
        Column::required("domain", Kind::Text),
        Column::required("sessions", Kind::Int),
        Column::required("articles", Kind::Int),
        Column::required("segments", Kind::Int),
        Column::required("removed", Kind::Int),
        Column::required("removable_chars", Kind::Int),
        Column::required("removal_percentage", Kind::Real),
        Column::required("duration_ms", Kind::Real),
    ],
    constraints: &["PRIMARY KEY (day, domain)"],
    indexes: &[],
    on_conflict: grow!("content_cleaning_days" ("day, domain")
        "sessions", "articles", "segments", "removed", "removable_chars", "removal_percentage", "duration_ms"),
};

/// Segments of a day, by domain and type of pattern.
pub static PATTERN_DAYS: Table = Table {
    name: "content_cleaning_pattern_days",
    version: 1,
    columns: &[
        Column::required("day", Kind::Text),
        Column::required("domain", Kind::Text),
        Column::required("pattern_type", Kind::Text),
        Column::required("segments", Kind::Int),
        Column::required("removed", Kind::Int),
        Column::required("boundary_score", Kind::Real),
    ],
    constraints: &["PRIMARY KEY (day, domain, pattern_type)"],
    indexes: &[],
    on_conflict: grow!("content_cleaning_pattern_days" ("day, domain, pattern_type")
        "segments", "removed", "boundary_score"),
};

/// 32 hexadecimal digits that are the same for the same text, however it is spaced, in every process.
pub fn text_hash(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut digest = ids::sha256(words.join(" ").as_bytes());
    digest.truncate(32);
    digest
}

/// What a session looks at, and how sure it wants to be.
#[derive(Debug, Clone, Copy)]
pub struct CleaningTerms<'a> {
    /// The caller's session.
    pub session_id: &'a str,
    /// The site.
    pub domain: &'a str,
    /// Articles that are looked at.
    pub articles: u64,
    /// How often a text must occur.
    pub min_occurrences: u32,
    /// How sure its ends must be, from 0 to 1.
    pub min_boundary_score: f64,
}

/// A text that repeats.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// The text.
    pub text: &'a str,
    /// What it looks like, such as `navigation`.
    pub pattern: &'a str,
    /// How sure its ends are, from 0 to 1.
    pub boundary_score: f64,
    /// How often it occurs.
    pub occurrences: u64,
    /// How regular its place is, from 0 to 1.
    pub position_consistency: Option<f64>,
    /// The articles that have it.
    pub article_ids: &'a [&'a str],
    /// Why it was removed; `None` when it was not.
    pub removed: Option<&'a str>,
}

/// A sign of a news agency.
#[derive(Debug, Clone, Copy, Default)]
pub struct WireEvent<'a> {
    /// The agency.
    pub provider: &'a str,
    /// How it was found.
    pub method: &'a str,
    /// When in the course of things.
    pub stage: Option<&'a str>,
    /// How sure it is, from 0 to 1.
    pub confidence: Option<f64>,
    /// What gave it away.
    pub pattern: Option<&'a str>,
    /// Its site; that of the session when it is left out.
    pub domain: Option<&'a str>,
    /// The articles.
    pub article_ids: &'a [&'a str],
    /// Anything else, as a JSON object.
    pub metadata: Option<&'a Json>,
}

/// A judgement on an agency's article.
#[derive(Debug, Clone, Copy)]
pub struct Locality<'a> {
    /// The agency.
    pub provider: &'a str,
    /// How it was judged.
    pub method: &'a str,
    /// The article.
    pub article_id: Option<&'a str>,
    /// Whether it is about the place of the paper.
    pub is_local: bool,
    /// How sure it is, from 0 to 1.
    pub confidence: Option<f64>,
    /// The score before the threshold.
    pub raw_score: Option<f64>,
    /// The threshold.
    pub threshold: Option<f64>,
    /// What spoke for it, as JSON.
    pub signals: &'a Json,
    /// The places, as JSON; what is empty is no judgement and is not kept.
    pub locality: &'a Json,
}

/// A session while it goes on. Nothing is written before [`Cleaning::finish`].
#[derive(Debug)]
pub struct Cleaning {
    id: String,
    session_id: String,
    domain: String,
    articles: u64,
    min_occurrences: u32,
    min_boundary_score: f64,
    began: Stamp,
    segments: Vec<Kept>,
    events: Job,
}

#[derive(Debug)]
struct Kept {
    text: String,
    hash: String,
    pattern: String,
    boundary_score: f64,
    occurrences: u64,
    position_consistency: Option<f64>,
    article_ids: Vec<String>,
    removed: Option<String>,
    at: Stamp,
}

impl Cleaning {
    /// A session that begins; `id` is new.
    pub fn begin(id: &str, terms: CleaningTerms<'_>, now: Stamp) -> Self {
        Self {
            id: id.to_owned(),
            session_id: terms.session_id.to_owned(),
            domain: terms.domain.to_owned(),
            articles: terms.articles,
            min_occurrences: terms.min_occurrences,
            min_boundary_score: terms.min_boundary_score,
            began: now,
            segments: Vec::new(),
            events: Job::new(),
        }
    }

    /// A segment was found. They are numbered from 1.
    pub fn segment(&mut self, segment: &Segment<'_>, now: Stamp) {
        self.segments.push(Kept {
            text: segment.text.to_owned(),
            hash: text_hash(segment.text),
            pattern: segment.pattern.to_owned(),
            boundary_score: segment.boundary_score,
            occurrences: segment.occurrences,
            position_consistency: segment.position_consistency,
            article_ids: segment.article_ids.iter().map(|&id| id.to_owned()).collect(),
            removed: segment.removed.map(str::to_owned),
            at: now,
        });
    }

    /// A news agency was recognised.
    pub fn wire(&mut self, event: &WireEvent<'_>, now: Stamp) {
        self.events.add(&WireRow { id: &self.id, domain: event.domain.unwrap_or(&self.domain), event, now });
    }

    /// An agency's article was judged; a judgement without places is none.
    pub fn locality(&mut self, locality: &Locality<'_>, now: Stamp) {
        let is_empty = match locality.locality {
            Json::Null => true,
            Json::Object(fields) => fields.is_empty(),
            Json::Array(items) => items.is_empty(),
            _ => false,
        };
        if !is_empty {
            self.events.add(&LocalityRow { id: &self.id, domain: &self.domain, locality, now });
        }
    }

    /// The end: hands everything to the store as one job. `candidates` were looked at before they became segments;
    /// `chars` is the length of all articles together, in characters.
    pub fn finish(self, candidates: u64, chars: u64, now: Stamp, store: &Store) -> Result<(), Refused> {
        let mut job = self.events.clone();
        let done = Done { cleaning: &self, candidates, chars, now };
        job.add(&done);
        for (number, segment) in (1..).zip(&self.segments) {
            job.add(&SegmentRow { id: &self.id, number, segment });
            job.add(&PatternDay { domain: &self.domain, segment, now });
            if let Some(is_general) = segment.teaches() {
                job.add(&PatternRow { domain: &self.domain, segment, is_general });
            }
        }
        job.add(&Day(&done));
        store.submit(&job)
    }
}

impl Kept {
    fn chars(&self) -> u64 {
        self.text.chars().count() as u64
    }

    /// Whether it belongs into the library, and then whether a model may learn from it.
    fn teaches(&self) -> Option<bool> {
        let is_sure = self.removed.is_some() && self.boundary_score >= PATTERN_SCORE_MIN;
        let is_general = GENERAL.contains(&self.pattern.as_str());
        (is_sure && (is_general || LOCAL.contains(&self.pattern.as_str()))).then_some(is_general)
    }
}

struct Done<'a> {
    cleaning: &'a Cleaning,
    candidates: u64,
    chars: u64,
    now: Stamp,
}

impl Done<'_> {
    fn removed(&self) -> impl Iterator<Item = &Kept> {
        self.cleaning.segments.iter().filter(|segment| segment.removed.is_some())
    }

    /// Characters that go from all articles together.
    fn removable_chars(&self) -> u64 {
        self.removed().map(|segment| segment.chars() * segment.occurrences).sum()
    }

    /// Their share in percent; overlapping segments can never make it more than everything.
    fn removal_percentage(&self) -> f64 {
        crate::stats::percent(self.removable_chars().min(self.chars), self.chars).unwrap_or(0.0)
    }

    fn elapsed_ms(&self) -> f64 {
        super::milliseconds(self.cleaning.began, self.now)
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl Event for Done<'_> {
    const TABLE: &'static Table = &CLEANING_SESSIONS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let Self { cleaning, candidates, now, .. } = self;
        row.put(&cleaning.id).put(&cleaning.session_id).put(&cleaning.domain).put(cleaning.articles);
        row.put(i64::from(cleaning.min_occurrences)).put(cleaning.min_boundary_score);
        row.put(&cleaning.began.db()).put(&now.db()).put(self.elapsed_ms()).put(*candidates);
        row.put(count(cleaning.segments.len())).put(count(self.removed().count()));
        row.put(self.removable_chars()).put(self.removal_percentage()).put(&now.db());
    }
}

struct SegmentRow<'a> {
    id: &'a str,
    number: i64,
    segment: &'a Kept,
}

impl Event for SegmentRow<'_> {
    const TABLE: &'static Table = &CLEANING_SEGMENTS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let segment = self.segment;
        row.put(self.id).put(self.number).put_masked(segment.text.as_str()).put(&segment.hash);
        row.put(segment.boundary_score).put(segment.occurrences).put(&segment.pattern);
        row.put(segment.position_consistency).put(segment.chars()).put(count(segment.article_ids.len()));
        row.put(segment.removed.is_some()).put_masked(segment.removed.as_deref());
        row.put(&json!(segment.article_ids).to_string()).put(&segment.at.db());
    }
}

struct WireRow<'a> {
    id: &'a str,
    domain: &'a str,
    event: &'a WireEvent<'a>,
    now: Stamp,
}

impl Event for WireRow<'_> {
    const TABLE: &'static Table = &CLEANING_WIRE_EVENTS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let event = self.event;
        row.put(self.id).put(self.domain).put(event.provider).put(event.method).put(event.stage);
        row.put(event.confidence).put_masked(event.pattern);
        row.put(event.pattern.map(text_hash).as_ref()).put(&json!(event.article_ids).to_string());
        row.put_masked(event.metadata.map_or_else(|| "{}".to_owned(), Json::to_string).as_str());
        row.put(&self.now.db());
    }
}

struct LocalityRow<'a> {
    id: &'a str,
    domain: &'a str,
    locality: &'a Locality<'a>,
    now: Stamp,
}

impl Event for LocalityRow<'_> {
    const TABLE: &'static Table = &CLEANING_LOCALITY_EVENTS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let locality = self.locality;
        row.put(self.id).put(self.domain).put(locality.provider).put(locality.method);
        row.put(locality.article_id).put(locality.is_local);
        row.put(locality.confidence).put(locality.raw_score).put(locality.threshold);
        row.put_masked(locality.signals.to_string().as_str());
        row.put_masked(locality.locality.to_string().as_str()).put(&self.now.db());
    }
}

struct PatternRow<'a> {
    domain: &'a str,
    segment: &'a Kept,
    is_general: bool,
}

impl Event for PatternRow<'_> {
    const TABLE: &'static Table = &BOILERPLATE_PATTERNS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let Self { domain, segment, is_general } = self;
        let at = segment.at.db();
        row.put(*domain).put(&segment.pattern).put_masked(segment.text.as_str()).put(&segment.hash);
        row.put(segment.boundary_score).put(segment.occurrences).put(&at).put(&at);
        row.put_masked(segment.removed.as_deref()).put(true).put(*is_general).put(&at);
    }
}

struct Day<'a>(&'a Done<'a>);

impl Event for Day<'_> {
    const TABLE: &'static Table = &CLEANING_DAYS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let Self(done) = self;
        let cleaning = done.cleaning;
        row.put(&done.now.db()[..10]).put(&cleaning.domain).put(1_i64).put(cleaning.articles);
        row.put(count(cleaning.segments.len())).put(count(done.removed().count()));
        row.put(done.removable_chars()).put(done.removal_percentage()).put(done.elapsed_ms());
    }
}

struct PatternDay<'a> {
    domain: &'a str,
    segment: &'a Kept,
    now: Stamp,
}

impl Event for PatternDay<'_> {
    const TABLE: &'static Table = &PATTERN_DAYS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let Self { domain, segment, now } = self;
        row.put(&now.db()[..10]).put(*domain).put(&segment.pattern).put(1_i64);
        row.put(i64::from(segment.removed.is_some())).put(segment.boundary_score);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_same_everywhere_and_does_not_see_spaces() {
        assert_eq!(text_hash("Sign up\n for our  newsletter "), text_hash("Sign up for our newsletter"));
        assert_eq!(text_hash("a"), "ca978112ca1bbdcafac231b39a23dc4d");
        assert_ne!(text_hash("a b"), text_hash("ab"));
    }

    #[test]
    fn what_teaches_is_removed_sure_and_of_a_known_type() {
        let kept = |pattern: &str, boundary_score, removed: bool| Kept {
            text: "x".to_owned(),
            hash: String::new(),
            pattern: pattern.to_owned(),
            boundary_score,
            occurrences: 3,
            position_consistency: None,
            article_ids: Vec::new(),
            removed: removed.then(|| "repeats".to_owned()),
            at: Stamp::parse("2026-01-02T03:04:05Z").unwrap(),
        };
        assert_eq!(kept("navigation", 0.5, true).teaches(), Some(true));
        assert_eq!(kept("trending", 0.7, true).teaches(), Some(false));
        let not = [kept("navigation", 0.49, true), kept("footer", 0.9, false), kept("dynamic", 0.9, true)];
        assert!(not.iter().all(|kept| kept.teaches().is_none()));
    }
}
