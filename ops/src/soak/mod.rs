//! Watching a release for hours, and saying GO or NO-GO with a known error rate.
//!
//! Pure: evidence in, judgement out, on whatever clock the evidence was taken. The same evidence gives the same
//! bytes, now or in a replay. A soak must never take silence for health: missing, stuck or impossible data is
//! INSUFFICIENT or INVALID and never GO.

mod ask;
mod coverage;
mod evidence;
mod history;
mod judge;
mod power;
mod prometheus;
mod report;
mod sequential;
pub mod settings;
mod store;
mod tokens;
mod watch;

pub use ask::Asking;
pub use coverage::{Coverage, Jump};
pub use evidence::{Counting, Log, LogError, Look, Metric, PlanFacts, Reading, Rule, Soak};
pub use history::{Point, history};
pub use judge::{Judgement, MetricJudgement, Verdict, judge};
pub use power::{Outcome, Scenario, power};
pub use prometheus::state;
pub use report::power_document;
pub use sequential::{Bounds, bounds, log_evidence_below};
pub use store::{Evidence, EvidenceError};
pub use tokens::Public;
pub use watch::{Ended, Source, watch};
