//! Byline traces: what was printed as the author, step by step to what is taken for the authors.
//!
//! A byline holds names, and often addresses: every text is masked on its way into the store, so `removed_content` says
//! that an address was removed and not which. A step lasts from the one before it to its own end.

use serde_json::{Value as Json, json};

use super::days::grow;
use crate::clock::Stamp;
use crate::redact::redact;
use crate::telemetry::store::{Column, Event, Job, Kind, Refused, RowWriter, Store, Table};

/// One row for each byline.
pub static BYLINES: Table = Table {
    name: "byline_cleaning_telemetry",
    version: 1,
    columns: &[
        Column::required("id", Kind::Text),
        Column::new("article_id", Kind::Text),
        Column::new("candidate_link_id", Kind::Text),
        Column::new("source_id", Kind::Text),
        Column::new("source_name", Kind::Text),
        Column::required("raw_byline", Kind::Text),
        Column::required("raw_byline_length", Kind::Int),
        Column::required("raw_byline_words", Kind::Int),
        Column::required("extraction_timestamp", Kind::Text),
        Column::required("cleaning_method", Kind::Text),
        Column::required("final_authors_json", Kind::Text),
        Column::required("final_authors_count", Kind::Int),
        Column::required("final_authors_display", Kind::Text),
        Column::required("confidence_score", Kind::Real),
        Column::required("processing_time_ms", Kind::Real),
        Column::required("has_wire_service", Kind::Bool),
        Column::required("has_email", Kind::Bool),
        Column::required("has_title", Kind::Bool),
        Column::required("has_organization", Kind::Bool),
        Column::required("source_name_removed", Kind::Bool),
        Column::required("duplicates_removed_count", Kind::Int),
        Column::new("likely_valid_authors", Kind::Bool),
        Column::new("likely_noise", Kind::Bool),
        Column::new("requires_manual_review", Kind::Bool),
        Column::required("is_changed", Kind::Bool),
        Column::required("cleaning_errors", Kind::Text),
        Column::required("parsing_warnings", Kind::Text),
        Column::new("human_label", Kind::Text),
        Column::new("human_notes", Kind::Text),
        Column::new("reviewed_by", Kind::Text),
        Column::new("reviewed_at", Kind::Text),
        Column::required("created_at", Kind::Text),
    ],
    constraints: &["PRIMARY KEY (id)"],
    indexes: &["created_at"],
    on_conflict: "",
};

/// One row for each step of a byline.
pub static BYLINE_STEPS: Table = Table {
    name: "byline_transformation_steps",
    version: 1,
    columns: &[
        Column::new("id", Kind::Id),
        Column::required("telemetry_id", Kind::Text),
        Column::required("step_number", Kind::Int),
        Column::required("step_name", Kind::Text),
        Column::required("input_text", Kind::Text),
        Column::required("output_text", Kind::Text),
        Column::required("transformation_type", Kind::Text),
        Column::new("removed_content", Kind::Text),
        Column::new("added_content", Kind::Text),
        Column::required("confidence_delta", Kind::Real),
        Column::required("processing_time_ms", Kind::Real),
        Column::new("notes", Kind::Text),
        Column::required("timestamp", Kind::Text),
    ],
    constraints: &["UNIQUE (telemetry_id, step_number)"],
    indexes: &[],
    on_conflict: "",
};

/// Bylines of a day, by source; empty where it is not known.
pub static BYLINE_DAYS: Table = Table {
    name: "byline_days",
    version: 1,
    columns: &[
        Column::required("day", Kind::Text),
        Column::required("source", Kind::Text),
        Column::required("bylines", Kind::Int),
        Column::required("valid", Kind::Int),
        Column::required("noise", Kind::Int),
        Column::required("review", Kind::Int),
        Column::required("changed", Kind::Int),
        Column::required("wire", Kind::Int),
        Column::required("email", Kind::Int),
        Column::required("authors", Kind::Int),
        Column::required("confidence", Kind::Real),
        Column::required("duration_ms", Kind::Real),
    ],
    constraints: &["PRIMARY KEY (day, source)"],
    indexes: &[],
    on_conflict: grow!("byline_days" ("day, source")
        "bylines", "valid", "noise", "review", "changed", "wire", "email", "authors", "confidence", "duration_ms"),
};

/// Where a byline is from.
#[derive(Debug, Clone, Copy, Default)]
pub struct BylineSource<'a> {
    /// The article.
    pub article_id: Option<&'a str>,
    /// The link that led to it.
    pub candidate_link_id: Option<&'a str>,
    /// Who published it, as an id.
    pub source_id: Option<&'a str>,
    /// Who published it, by name.
    pub source_name: Option<&'a str>,
}

/// What a step did.
#[derive(Debug, Clone, Copy, Default)]
pub struct BylineStep<'a> {
    /// `email_removal`, `source_removal`, `wire_service_detection`, `duplicate_removal`, `title_removal`,
    /// `organization_removal` set what the row of the byline says; any other name is kept as it is.
    pub name: &'a str,
    /// The text before.
    pub input: &'a str,
    /// The text after.
    pub output: &'a str,
    /// The kind of change.
    pub kind: &'a str,
    /// What was taken away.
    pub removed: Option<&'a str>,
    /// What was added.
    pub added: Option<&'a str>,
    /// By how much the result is more (or less) to be trusted.
    pub confidence_delta: f64,
    /// Anything else.
    pub notes: Option<&'a str>,
}

/// What a byline came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct BylineResult<'a> {
    /// The authors.
    pub authors: &'a [&'a str],
    /// Whether they look like authors; `None` when nobody said.
    pub is_valid: Option<bool>,
    /// Whether it was no byline at all.
    pub is_noise: Option<bool>,
    /// Whether a person should look at it.
    pub needs_review: Option<bool>,
}

/// A byline while it is cleaned.
#[derive(Debug, Clone)]
pub struct Byline {
    id: String,
    source: [Option<String>; 4],
    raw: String,
    method: String,
    began: Stamp,
    last: Stamp,
    steps: Vec<Step>,
    confidence: f64,
    duplicates: i64,
    flags: Flags,
    errors: Vec<Json>,
    warnings: Vec<Json>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    wire: bool,
    email: bool,
    title: bool,
    organization: bool,
    source: bool,
}

#[derive(Debug, Clone)]
struct Step {
    name: String,
    texts: [String; 2],
    kind: String,
    content: [Option<String>; 2],
    delta: f64,
    elapsed_ms: f64,
    notes: Option<String>,
    at: Stamp,
}

impl Byline {
    /// A byline that begins to be cleaned; `id` is new.
    pub fn begin(id: &str, raw: &str, method: &str, source: BylineSource<'_>, now: Stamp) -> Self {
        let BylineSource { article_id, candidate_link_id, source_id, source_name } = source;
        let source = [article_id, candidate_link_id, source_id, source_name].map(|id| id.map(str::to_owned));
        Self {
            id: id.to_owned(),
            source,
            raw: raw.to_owned(),
            method: method.to_owned(),
            began: now,
            last: now,
            steps: Vec::new(),
            confidence: 0.0,
            duplicates: 0,
            flags: Flags::default(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// A step is done.
    pub fn step(&mut self, step: &BylineStep<'_>, now: Stamp) {
        let has_removed = step.removed.is_some_and(|removed| !removed.trim().is_empty());
        match step.name {
            "email_removal" => self.flags.email |= has_removed,
            "source_removal" => self.flags.source |= has_removed,
            "title_removal" => self.flags.title |= has_removed,
            "organization_removal" => self.flags.organization |= has_removed,
            "wire_service_detection" => {
                let notes = step.notes.unwrap_or_default().to_lowercase();
                self.flags.wire |= notes.contains("wire service");
            }
            "duplicate_removal" => {
                let parts = step.removed.unwrap_or_default().split(',');
                let count = parts.filter(|part| !part.trim().is_empty()).count();
                self.duplicates += i64::try_from(count).unwrap_or(i64::MAX);
            }
            _ => {}
        }
        self.confidence += step.confidence_delta;
        self.steps.push(Step {
            name: step.name.to_owned(),
            texts: [step.input, step.output].map(str::to_owned),
            kind: step.kind.to_owned(),
            content: [step.removed, step.added].map(|content| content.map(str::to_owned)),
            delta: step.confidence_delta,
            elapsed_ms: super::milliseconds(self.last, now),
            notes: step.notes.map(str::to_owned),
            at: now,
        });
        self.last = now;
    }

    /// Something went wrong, in a step or before all of them.
    pub fn error(&mut self, kind: &str, message: &str, now: Stamp) {
        let note = self.note(kind, message, now);
        self.errors.push(note);
    }

    /// Something looks odd.
    pub fn warning(&mut self, kind: &str, message: &str, now: Stamp) {
        let note = self.note(kind, message, now);
        self.warnings.push(note);
    }

    fn note(&self, kind: &str, message: &str, now: Stamp) -> Json {
        let step = self.steps.last().map(|step| step.name.as_str());
        json!({ "type": kind, "message": redact(message), "timestamp": now.db(), "step": step })
    }

    /// The sum of what the steps said, without the dust of adding binary fractions.
    pub fn confidence(&self) -> f64 {
        (self.confidence * 1e9).round() / 1e9
    }

    /// The end: hands the byline, its steps and its day to the store as one job.
    pub fn finish(self, result: &BylineResult<'_>, now: Stamp, store: &Store) -> Result<(), Refused> {
        let mut job = Job::new();
        let done = Done { byline: &self, result, now };
        job.add(&done);
        for (number, step) in (1..).zip(&self.steps) {
            job.add(&StepRow { id: &self.id, number, step });
        }
        job.add(&Day(&done));
        store.submit(&job)
    }
}

struct Done<'a> {
    byline: &'a Byline,
    result: &'a BylineResult<'a>,
    now: Stamp,
}

impl Done<'_> {
    fn display(&self) -> String {
        self.result.authors.join(", ")
    }

    fn is_changed(&self) -> bool {
        self.display() != self.byline.raw
    }

    fn elapsed_ms(&self) -> f64 {
        super::milliseconds(self.byline.began, self.now)
    }
}

impl Event for Done<'_> {
    const TABLE: &'static Table = &BYLINES;

    fn values(&self, row: &mut RowWriter<'_>) {
        let Self { byline, result, now } = self;
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        row.put(&byline.id);
        for id in &byline.source {
            row.put_masked(id.as_deref());
        }
        row.put_masked(byline.raw.as_str());
        row.put(count(byline.raw.chars().count())).put(count(byline.raw.split_whitespace().count()));
        row.put(&byline.began.db()).put(&byline.method);
        let authors: Vec<_> = result.authors.iter().map(|author| redact(author)).collect();
        row.put(&json!(authors).to_string()).put(count(authors.len())).put_masked(self.display().as_str());
        row.put(byline.confidence()).put(self.elapsed_ms());
        let Flags { wire, email, title, organization, source } = byline.flags;
        row.put(wire).put(email).put(title).put(organization).put(source).put(byline.duplicates);
        row.put(result.is_valid).put(result.is_noise).put(result.needs_review).put(self.is_changed());
        row.put(&Json::from(byline.errors.clone()).to_string());
        row.put(&Json::from(byline.warnings.clone()).to_string());
        for _ in 0..4 {
            row.put(None::<&str>);
        }
        row.put(&now.db());
    }
}

struct StepRow<'a> {
    id: &'a str,
    number: i64,
    step: &'a Step,
}

impl Event for StepRow<'_> {
    const TABLE: &'static Table = &BYLINE_STEPS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let Step { name, texts, kind, content, delta, elapsed_ms, notes, at } = self.step;
        row.put(self.id).put(self.number).put(name);
        row.put_masked(texts[0].as_str()).put_masked(texts[1].as_str()).put(kind);
        row.put_masked(content[0].as_deref()).put_masked(content[1].as_deref());
        row.put(*delta).put(*elapsed_ms).put_masked(notes.as_deref()).put(&at.db());
    }
}

struct Day<'a>(&'a Done<'a>);

impl Event for Day<'_> {
    const TABLE: &'static Table = &BYLINE_DAYS;

    fn values(&self, row: &mut RowWriter<'_>) {
        let Self(done) = self;
        let (byline, result) = (done.byline, done.result);
        let yes = |flag: Option<bool>| i64::from(flag == Some(true));
        row.put(&done.now.db()[..10]).put_masked(byline.source[3].as_deref().unwrap_or_default()).put(1_i64);
        row.put(yes(result.is_valid)).put(yes(result.is_noise)).put(yes(result.needs_review));
        row.put(i64::from(done.is_changed()));
        row.put(i64::from(byline.flags.wire)).put(i64::from(byline.flags.email));
        row.put(i64::try_from(result.authors.len()).unwrap_or(i64::MAX));
        row.put(byline.confidence()).put(done.elapsed_ms());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn steps_set_flags_and_last_from_one_to_the_next() {
        let now = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
        let mut byline = Byline::begin("b1", "By A", "rules", BylineSource::default(), now);
        let step = |name, removed, notes| BylineStep { name, removed, notes, ..BylineStep::default() };
        byline.step(&step("email_removal", Some(" "), None), now.plus(Duration::from_millis(5)));
        byline.step(&step("title_removal", Some("Dr."), None), now.plus(Duration::from_millis(12)));
        byline.step(&step("wire_service_detection", None, Some("a WIRE Service")), now);
        byline.step(&step("duplicate_removal", Some("A, ,B,"), None), now);
        let Flags { wire, email, title, .. } = byline.flags;
        assert_eq!((wire, email, title, byline.duplicates), (true, false, true, 2));
        let took: Vec<String> = byline.steps.iter().map(|step| step.elapsed_ms.to_string()).collect();
        assert_eq!(took, ["5", "7", "0", "0"]);
    }

    #[test]
    fn confidence_is_a_sum_without_dust() {
        let now = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
        let mut byline = Byline::begin("b1", "x", "rules", BylineSource::default(), now);
        for confidence_delta in [0.1, 0.2, 0.15, -0.05] {
            byline.step(&BylineStep { confidence_delta, ..BylineStep::default() }, now);
        }
        assert!((byline.confidence() - 0.4).abs() < f64::EPSILON, "{}", byline.confidence());
    }
}
