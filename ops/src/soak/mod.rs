//! Watching a release for hours, and saying GO or NO-GO with a known error rate.
//!
//! Pure: evidence in, judgement out, on whatever clock the evidence was taken. The same evidence gives the same
//! bytes, now or in a replay. A soak must never take silence for health: missing, stuck or impossible data is
//! INSUFFICIENT or INVALID and never GO.

mod coverage;
mod evidence;
mod judge;
mod power;
mod report;
mod sequential;
pub mod settings;
mod store;
mod watch;

pub use coverage::{Coverage, Jump};
pub use evidence::{Counting, Log, LogError, Look, Metric, Reading, Rule, Soak};
pub use judge::{Judgement, MetricJudgement, Verdict, judge};
pub use power::{Outcome, Scenario, power};
pub use report::power_document;
pub use sequential::{Bounds, bounds, log_evidence_below};
pub use store::{Evidence, EvidenceError};
pub use watch::{Ended, Source, watch};
