//! Raising a budget that was too small for an answer: once for a phase, by a quarter of the largest number in sight.

use std::borrow::Cow;

use super::classify::Verdict;
use super::executor::Report;
use crate::phases::{Claim, Escalation, PhaseState};

/// A budget may not be larger than this, whoever gives the answer. Tokens.
pub(super) const CEILING: u64 = 64_000;
/// An answer that has so much of its ceiling, in percent, and is of no use, did not fit.
const NEARLY: f64 = 95.0;

/// The larger budget for an answer that did not fit into `selected`; `None` where it did, or no larger one is to be had.
/// An answer that was not cut off did not fit only if it is of no use.
pub(super) fn raised(selected: u64, report: &Report, is_useful: bool) -> Option<Escalation> {
    let numbers = [
        ("selected_budget", Some(selected)),
        ("actual_max_tokens", report.max_tokens),
        ("tokens_used", report.output_tokens),
    ];
    let known = numbers.into_iter().filter_map(|(source, number)| Some((source, number?)));
    // The first of several that are equal.
    let (source, base) = known.rev().max_by_key(|(_, number)| *number)?;
    let escalation = Escalation {
        was_truncated: report.is_truncated(),
        selected_budget: selected,
        actual_max_tokens: report.max_tokens,
        tokens_used: report.output_tokens,
        base_value: base,
        base_source: Cow::Borrowed(source),
        retry_max_tokens: (base + base / 4).min(CEILING),
    };
    let nearly = || !is_useful && escalation.utilization().is_some_and(|percent| percent >= NEARLY);
    let did_not_fit = escalation.was_truncated || nearly();
    let ceiling = report.max_tokens.unwrap_or(selected);
    (did_not_fit && escalation.retry_max_tokens > ceiling).then_some(escalation)
}

/// The larger budget for the next attempt at a phase that is to have one, unless it was raised before.
pub(super) fn of_attempt(
    claim: &Claim,
    selected: u64,
    verdict: &Verdict,
    next: PhaseState,
) -> Option<Escalation> {
    let report = verdict.report.as_ref().filter(|_| next == PhaseState::Queued)?;
    if claim.raised_budget.is_some() || verdict.is_success() {
        return None;
    }
    raised(selected, report, false)
}

#[cfg(test)]
mod tests {
    use super::super::executor::Status;
    use super::*;

    fn report(max_tokens: Option<u64>, output_tokens: Option<u64>, truncated: bool) -> Report {
        Report {
            status: Status::Failed,
            output_tokens,
            input_tokens: None,
            earlier_tokens: None,
            max_tokens,
            stop_reason: None,
            model: None,
            truncated: Some(truncated),
            error: None,
        }
    }

    #[test]
    fn the_largest_number_is_the_base_and_a_quarter_is_added() {
        for (selected, max_tokens, output, base, source, next) in [
            (4096, None, None, 4096, "selected_budget", 5120),
            (4096, Some(4096), Some(4096), 4096, "selected_budget", 5120),
            (4096, Some(8192), Some(8000), 8192, "actual_max_tokens", 10240),
            (4096, Some(4096), Some(9999), 9999, "tokens_used", 12498),
            (60_000, Some(60_000), None, 60_000, "selected_budget", 64_000),
        ] {
            let found = raised(selected, &report(max_tokens, output, true), false).unwrap();
            let seen = (found.base_value, found.base_source.as_ref(), found.retry_max_tokens);
            assert_eq!(seen, (base, source, next));
            assert_eq!(found.reason(), "truncation");
        }
        assert_eq!(raised(64_000, &report(Some(64_000), Some(64_000), true), false), None);
    }

    #[test]
    fn what_came_close_and_is_of_no_use_did_not_fit_either() {
        let close = raised(1000, &report(Some(1000), Some(950), false), false).unwrap();
        assert_eq!((close.reason(), close.utilization()), ("utilization", Some(95.0)));
        assert_eq!(raised(1000, &report(Some(1000), Some(949), false), false), None);
        assert_eq!(raised(1000, &report(Some(1000), Some(999), false), true), None, "a useful one fits");
        assert_eq!(raised(1000, &report(None, None, false), false), None, "nothing is known");
    }
}
