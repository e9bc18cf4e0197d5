//! What producers of telemetry measure and how they say it: typed measures, as rows of tables that are declared once.
//!
//! A producer is pure until it is recorded: time is an argument, nothing is written before the end, and everything that
//! belongs together is one job. Numbers that cannot be known are NULL, never zero and never a timestamp. Text from
//! outside is masked on its way into a row.

pub mod byline;
pub mod cleaning;
mod days;
pub mod detection;
pub mod discovery;
pub mod extraction;
pub mod job_run;
pub mod operation;
pub mod outcome;
pub mod stage;
pub mod verification;

pub use byline::{Byline, BylineResult, BylineSource, BylineStep};
pub use cleaning::{Cleaning, CleaningTerms, Locality, Segment, WireEvent};
pub use detection::Detection;
pub use extraction::{Extraction, Found, MethodEnd, Proxy};
pub use job_run::{Exit, JobRun};
pub use operation::{Operation, Progress};
pub use outcome::{Article, ExtractionOutcome, Outcome};
pub use stage::Stage;
pub use verification::Verification;

use crate::clock::Stamp;
use crate::telemetry::store::Table;

/// Every table of a producer. A store that is opened with them makes them, and refuses a database where one is newer.
pub static TABLES: &[&Table] = &[
    &byline::BYLINES,
    &byline::BYLINE_STEPS,
    &byline::BYLINE_DAYS,
    &cleaning::CLEANING_SESSIONS,
    &cleaning::CLEANING_SEGMENTS,
    &cleaning::CLEANING_WIRE_EVENTS,
    &cleaning::CLEANING_LOCALITY_EVENTS,
    &cleaning::BOILERPLATE_PATTERNS,
    &cleaning::CLEANING_DAYS,
    &cleaning::PATTERN_DAYS,
    &detection::DETECTIONS,
    &discovery::DISCOVERY_OUTCOMES,
    &discovery::HTTP_STATUS,
    &discovery::METHOD_EFFECTIVENESS,
    &extraction::EXTRACTIONS,
    &extraction::EXTRACTION_DAYS,
    &extraction::METHOD_DAYS,
    &extraction::HTTP_ERRORS,
    &job_run::JOBS,
    &operation::OPERATIONS,
    &outcome::OUTCOMES,
    &stage::STAGES,
    &verification::VERIFICATIONS,
];

fn milliseconds(from: Stamp, to: Stamp) -> f64 {
    to.since(from).as_secs_f64() * 1000.0
}
