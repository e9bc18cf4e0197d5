//! Why an attempt yielded no event: exactly one reason of a closed list.
//!
//! The reason is the first thing in the course of an attempt that kept the event away. It is derived from milestones,
//! from the outcome and from what became of the event. What is not known is said to be unknown; it is not zero.

use serde::Serialize;

use super::classify::Verdict;
use super::milestones::{Milestone, Milestones};
use crate::telemetry::Rejection;

/// The reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ZeroYield {
    /// Telemetry is off; the attempt would have yielded an event.
    TelemetryDisabled,
    /// The table of events is not there.
    TablesMissing,
    /// The executor worked on another database.
    DatabaseMismatch,
    /// The service that the executor needs did not answer.
    ApiUnreachable,
    /// It does not know the run or phase.
    ApiNotFound,
    /// What the attempt needs was not there.
    PreflightFailed,
    /// Code could not be loaded.
    ImportFailed,
    /// The scope cannot be read, or asks for what it may not.
    ScopeFailed,
    /// It ended in failure without having asked a model.
    NeverReachedModel,
    /// A model was asked, and the attempt failed without a count of tokens.
    ModelFailed,
    /// The output was cut off, and its tokens were not counted.
    Truncated,
    /// There were fewer tokens than an answer has.
    BelowValidityLimit,
    /// A constraint of the database refused the event.
    RejectedByConstraint,
    /// The database failed with the event, not with the attempt.
    NotFlushed,
    /// It ran out of time after it was claimed.
    TimedOutAfterClaim,
    /// It ran out of time after its preflight.
    TimedOutAfterPreflight,
    /// It ran out of time while a model was working.
    TimedOutInModelCall,
    /// It ran out of time after a model had answered.
    TimedOutAfterModelCall,
    /// It succeeded and asked no model.
    SucceededWithoutModelCalls,
    /// Nobody counted the tokens, and nothing says whether a model was asked.
    CountUnknown,
}

impl ZeroYield {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::TelemetryDisabled,
        Self::TablesMissing,
        Self::DatabaseMismatch,
        Self::ApiUnreachable,
        Self::ApiNotFound,
        Self::PreflightFailed,
        Self::ImportFailed,
        Self::ScopeFailed,
        Self::NeverReachedModel,
        Self::ModelFailed,
        Self::Truncated,
        Self::BelowValidityLimit,
        Self::RejectedByConstraint,
        Self::NotFlushed,
        Self::TimedOutAfterClaim,
        Self::TimedOutAfterPreflight,
        Self::TimedOutInModelCall,
        Self::TimedOutAfterModelCall,
        Self::SucceededWithoutModelCalls,
        Self::CountUnknown,
    ];

    /// The stable word of accounts and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TelemetryDisabled => "telemetry_disabled",
            Self::TablesMissing => "tables_missing",
            Self::DatabaseMismatch => "database_mismatch",
            Self::ApiUnreachable => "api_unreachable",
            Self::ApiNotFound => "api_not_found",
            Self::PreflightFailed => "preflight_failed",
            Self::ImportFailed => "import_failed",
            Self::ScopeFailed => "scope_failed",
            Self::NeverReachedModel => "never_reached_model",
            Self::ModelFailed => "model_failed",
            Self::Truncated => "truncated",
            Self::BelowValidityLimit => "below_validity_limit",
            Self::RejectedByConstraint => "rejected_by_constraint",
            Self::NotFlushed => "not_flushed",
            Self::TimedOutAfterClaim => "timed_out_after_claim",
            Self::TimedOutAfterPreflight => "timed_out_after_preflight",
            Self::TimedOutInModelCall => "timed_out_in_model_call",
            Self::TimedOutAfterModelCall => "timed_out_after_model_call",
            Self::SucceededWithoutModelCalls => "succeeded_without_model_calls",
            Self::CountUnknown => "count_unknown",
        }
    }

    /// The reason of an attempt whose event was not written.
    pub fn derive(verdict: &Verdict, milestones: &Milestones, rejection: &Rejection) -> Self {
        let tokens = verdict.report.as_ref().and_then(|report| report.output_tokens);
        match rejection {
            Rejection::TableMissing(_) => Self::TablesMissing,
            Rejection::Constraint(_) => Self::RejectedByConstraint,
            Rejection::Database(_) => Self::NotFlushed,
            Rejection::Disabled if tokens.is_some_and(|tokens| tokens > 0) => Self::TelemetryDisabled,
            Rejection::BelowValidityLimit if tokens != Some(0) => Self::BelowValidityLimit,
            Rejection::Disabled | Rejection::BelowValidityLimit | Rejection::OutputTokensUnknown => {
                let why = Self::in_course(verdict, milestones, tokens);
                if why == Self::CountUnknown && *rejection == Rejection::Disabled {
                    Self::TelemetryDisabled
                } else {
                    why
                }
            }
        }
    }

    /// What kept the attempt from producing something to count.
    fn in_course(verdict: &Verdict, milestones: &Milestones, tokens: Option<u64>) -> Self {
        const STOPS: [(Milestone, ZeroYield); 6] = [
            (Milestone::DatabaseMismatch, ZeroYield::DatabaseMismatch),
            (Milestone::ApiUnreachable, ZeroYield::ApiUnreachable),
            (Milestone::ApiNotFound, ZeroYield::ApiNotFound),
            (Milestone::PreflightFailed, ZeroYield::PreflightFailed),
            (Milestone::ImportFailed, ZeroYield::ImportFailed),
            (Milestone::ScopeFailed, ZeroYield::ScopeFailed),
        ];
        let asked = milestones.has(Milestone::ModelCallStarted) || milestones.has(Milestone::ModelCallEnded);
        if verdict.outcome == "timed_out" {
            return Self::timed_out(milestones);
        }
        if verdict.is_success() {
            return match (asked, milestones.is_recorded() || tokens == Some(0)) {
                (false, true) => Self::SucceededWithoutModelCalls,
                _ => Self::CountUnknown,
            };
        }
        // Once a model was asked, what stopped earlier tries of the same attempt is past.
        if let Some((_, why)) = STOPS.iter().find(|(stop, _)| !asked && milestones.has(*stop)) {
            return *why;
        }
        match verdict.reason {
            Some("scope_invalid") => Self::ScopeFailed,
            Some("program_not_started" | "no_recording") => Self::PreflightFailed,
            Some("truncated") => Self::Truncated,
            _ if asked => Self::ModelFailed,
            _ if milestones.is_recorded() || tokens == Some(0) => Self::NeverReachedModel,
            _ => Self::CountUnknown,
        }
    }

    fn timed_out(milestones: &Milestones) -> Self {
        match milestones.reached.last() {
            Some(Milestone::ModelCallStarted) => Self::TimedOutInModelCall,
            Some(Milestone::ModelCallEnded) => Self::TimedOutAfterModelCall,
            Some(_) => Self::TimedOutAfterPreflight,
            None => Self::TimedOutAfterClaim,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::drain::classify;
    use crate::work::drain::executor::{Execution, Report, Status};

    fn reported(status: Status, output_tokens: Option<u64>) -> Verdict {
        let report = Report {
            status,
            output_tokens,
            input_tokens: None,
            earlier_tokens: None,
            max_tokens: None,
            stop_reason: None,
            model: None,
            truncated: None,
            error: None,
        };
        classify(Execution::Reported { report, missing: Vec::new() }, 1).unwrap()
    }

    fn broken(reason: &'static str) -> Verdict {
        classify(Execution::Broken { reason, detail: String::new() }, 1).unwrap()
    }

    fn timed_out() -> Verdict {
        classify(Execution::TimedOut { detail: String::new() }, 1).unwrap()
    }

    #[track_caller]
    fn check(verdict: &Verdict, recorded: &str, rejection: &Rejection, expected: &str) {
        let found = ZeroYield::derive(verdict, &Milestones::parse(recorded), rejection);
        assert_eq!(found.as_str(), expected, "{verdict:?} {recorded:?} {rejection:?}");
        let json = serde_json::to_value(found).unwrap();
        assert_eq!(json, expected);
    }

    #[test]
    fn the_list_is_closed_and_every_reason_has_a_word_of_its_own() {
        let words: std::collections::BTreeSet<&str> = ZeroYield::ALL.iter().map(|why| why.as_str()).collect();
        assert_eq!(words.len(), ZeroYield::ALL.len());
        // As serde spells them, which is how reports do.
        for why in ZeroYield::ALL {
            assert_eq!(serde_json::to_value(why).unwrap(), why.as_str());
        }
    }

    #[test]
    fn the_first_thing_that_kept_the_event_away() {
        let unknown = Rejection::OutputTokensUnknown;
        let failed = || broken("exit_status");
        let asked = "preflight_ok\nmodel_call_started\n";
        for (recorded, expected) in [
            ("", "count_unknown"),
            ("preflight_failed\n", "preflight_failed"),
            ("import_failed\n", "import_failed"),
            ("scope_failed\n", "scope_failed"),
            ("api_unreachable\n", "api_unreachable"),
            ("api_not_found\n", "api_not_found"),
            ("preflight_ok\ndatabase_mismatch\n", "database_mismatch"),
            ("preflight_ok\n", "never_reached_model"),
            (asked, "model_failed"),
            ("api_unreachable\npreflight_ok\nmodel_call_started\n", "model_failed"),
        ] {
            check(&failed(), recorded, &unknown, expected);
        }
        check(&broken("scope_invalid"), "", &unknown, "scope_failed");
        check(&broken("program_not_started"), "", &Rejection::Disabled, "preflight_failed");
    }

    #[test]
    fn a_timeout_names_its_stage_whatever_else_is_known() {
        for (recorded, expected) in [
            ("", "timed_out_after_claim"),
            ("preflight_ok\n", "timed_out_after_preflight"),
            ("preflight_ok\nmodel_call_started\n", "timed_out_in_model_call"),
            ("model_call_started\nmodel_call_ended\n", "timed_out_after_model_call"),
        ] {
            check(&timed_out(), recorded, &Rejection::OutputTokensUnknown, expected);
            check(&timed_out(), recorded, &Rejection::Disabled, expected);
        }
    }

    #[test]
    fn unknown_is_not_zero() {
        let success = |tokens| reported(Status::Success, tokens);
        let unknown = Rejection::OutputTokensUnknown;
        check(&success(None), "", &unknown, "count_unknown");
        check(&success(None), "preflight_ok\n", &unknown, "succeeded_without_model_calls");
        check(&success(None), "model_call_started\n", &unknown, "count_unknown");
        check(&success(Some(0)), "", &Rejection::BelowValidityLimit, "succeeded_without_model_calls");
        check(&success(Some(49)), "", &Rejection::BelowValidityLimit, "below_validity_limit");
        check(&reported(Status::Failed, Some(0)), "", &Rejection::BelowValidityLimit, "never_reached_model");
    }

    #[test]
    fn what_the_database_had_against_the_event_is_the_reason() {
        let success = reported(Status::Success, Some(900));
        check(&success, "", &Rejection::Disabled, "telemetry_disabled");
        check(&success, "", &Rejection::TableMissing(String::new()), "tables_missing");
        check(&success, "", &Rejection::Constraint("check:x".into()), "rejected_by_constraint");
        check(&success, "", &Rejection::Database("disk".into()), "not_flushed");
        check(&reported(Status::Success, None), "", &Rejection::Disabled, "telemetry_disabled");
    }
}
