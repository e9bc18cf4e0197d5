//! From what an executor said to the one outcome of an attempt.
//!
//! An executor's own opinion is not enough: a success must have its deliverables. A phase that names none can
//! succeed but nothing verifies it, and what is not verified is no sample.

use super::executor::{Execution, Report, Status};

/// The outcome of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `success`, `failed`, `truncated` or `timed_out`.
    pub outcome: &'static str,
    /// Why it was no success, as a stable word.
    pub reason: Option<&'static str>,
    /// Why, for people.
    pub detail: Option<String>,
    /// Whether every deliverable was found, and there was one to find.
    pub verified: bool,
    /// Whether the output was cut off.
    pub truncated: bool,
    /// What the executor reported, if it did.
    pub report: Option<Report>,
}

impl Verdict {
    /// Whether the work was done.
    pub fn is_success(&self) -> bool {
        self.outcome == "success"
    }

    /// Input and output tokens of all calls together; 0 where nobody counted them.
    pub fn tokens_used(&self) -> u64 {
        self.report.as_ref().map_or(0, |report| {
            let counts = [report.output_tokens, report.input_tokens, report.earlier_tokens];
            counts.into_iter().flatten().fold(0, u64::saturating_add)
        })
    }

    fn failed(outcome: &'static str, reason: &'static str, detail: String, report: Option<Report>) -> Self {
        let truncated = report.as_ref().is_some_and(Report::is_truncated);
        Self { outcome, reason: Some(reason), detail: Some(detail), verified: false, truncated, report }
    }
}

/// Decides the outcome of an attempt at a phase with this many deliverables; `None` when it was stopped and
/// does not count.
pub fn classify(execution: Execution, deliverables: usize) -> Option<Verdict> {
    Some(match execution {
        Execution::Interrupted => return None,
        Execution::TimedOut { detail } => Verdict::failed("timed_out", "timeout", detail, None),
        Execution::Broken { reason, detail } => Verdict::failed("failed", reason, detail, None),
        Execution::Reported { report, missing } => reported(report, &missing, deliverables),
    })
}

fn reported(report: Report, missing: &[String], deliverables: usize) -> Verdict {
    if report.is_truncated() {
        let stop = report.stop_reason.clone().unwrap_or_else(|| "not said".to_owned());
        let detail = format!("the output was cut off (stop reason {stop})");
        return Verdict::failed("truncated", "truncated", detail, Some(report));
    }
    if report.status == Status::Failed {
        let detail = report.error.clone().unwrap_or_else(|| "the executor gave no error text".to_owned());
        return Verdict::failed("failed", "reported_failure", detail, Some(report));
    }
    if !missing.is_empty() {
        let detail = format!("not delivered: {}", missing.join(", "));
        return Verdict::failed("failed", "not_verified", detail, Some(report));
    }
    Verdict {
        outcome: "success",
        reason: None,
        detail: None,
        verified: deliverables > 0,
        truncated: false,
        report: Some(report),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: Status, stop_reason: &str) -> Report {
        Report {
            status,
            output_tokens: Some(900),
            input_tokens: Some(100),
            earlier_tokens: None,
            max_tokens: None,
            stop_reason: Some(stop_reason.to_owned()),
            model: None,
            truncated: None,
            error: Some("boom".to_owned()),
        }
    }

    fn of(report: Report, missing: &[&str]) -> Verdict {
        let missing = missing.iter().map(ToString::to_string).collect();
        classify(Execution::Reported { report, missing }, 1).unwrap()
    }

    #[test]
    fn success_needs_the_deliverables() {
        let good = of(report(Status::Success, "end_turn"), &[]);
        assert!(good.is_success() && good.verified);
        assert_eq!(good.tokens_used(), 1000);
        let bad = of(report(Status::Success, "end_turn"), &["a.py"]);
        assert_eq!((bad.outcome, bad.reason), ("failed", Some("not_verified")));
        assert_eq!(bad.detail.unwrap(), "not delivered: a.py");
    }

    #[test]
    fn without_a_deliverable_nothing_is_verified() {
        let report = report(Status::Success, "end_turn");
        let verdict = classify(Execution::Reported { report, missing: Vec::new() }, 0).unwrap();
        assert!(verdict.is_success() && !verdict.verified);
    }

    #[test]
    fn a_token_limit_is_a_truncation_whatever_the_status_says() {
        for stop in ["max_tokens", "length"] {
            let verdict = of(report(Status::Success, stop), &[]);
            assert_eq!((verdict.outcome, verdict.truncated, verdict.verified), ("truncated", true, false));
        }
        let contradicted = Report { truncated: Some(false), ..report(Status::Success, "max_tokens") };
        assert!(of(contradicted, &[]).is_success());
    }

    #[test]
    fn the_other_ends() {
        assert_eq!(of(report(Status::Failed, "end_turn"), &[]).detail.unwrap(), "boom");
        assert_eq!(classify(Execution::Interrupted, 1), None);
        let timed_out = classify(Execution::TimedOut { detail: "late".into() }, 1).unwrap();
        assert_eq!((timed_out.outcome, timed_out.tokens_used()), ("timed_out", 0));
    }
}
