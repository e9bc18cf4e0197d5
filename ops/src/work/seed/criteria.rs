//! The seed's own success criteria as a checklist, each measured in the database.

use std::collections::BTreeSet;

use crate::phases::{Distribution, StratumCount};
use crate::report::Check;
use crate::tokens::canonical::canonical_category;

/// Verified samples that a seed database should hold at least.
const SAMPLES_MIN: u64 = 20;
/// Attempts whose output was cut off must stay below this share, in percent.
const TRUNCATION_PERCENT_MAX: u64 = 10;

/// Checks what was measured: the phases of all runs, the usable samples, and how many of all events were
/// truncated. Missing data is never a pass.
pub fn criteria(
    runs: u64,
    phases: &Distribution,
    samples: &[StratumCount],
    events: u64,
    truncated: u64,
) -> Vec<Check> {
    let complete = phases.by_state.get("COMPLETE").copied().unwrap_or(0);
    let total: u64 = samples.iter().map(|s| s.samples).sum();
    let truncation = crate::stats::percent(truncated, events);
    let check = |claim: &str, met: bool, measured: String| Check { claim: claim.to_owned(), met, measured };
    vec![
        check(
            "at least 1 run with 10 phases",
            runs >= 1 && phases.phases >= 10,
            format!("{}, {}", crate::text::plural(runs, "run"), crate::text::plural(phases.phases, "phase")),
        ),
        check(
            "most phases are complete",
            phases.phases > 0 && complete * 2 > phases.phases,
            format!("{complete} of {}", phases.phases),
        ),
        check(
            &format!("at least {SAMPLES_MIN} successful events, each of a verified attempt"),
            total >= SAMPLES_MIN,
            total.to_string(),
        ),
        covers(
            "samples of implementation, tests and docs",
            &["docs", "implementation", "tests"],
            samples,
            |s| canonical_category(&s.category).into_owned(),
        ),
        covers("samples of low and medium complexity", &["low", "medium"], samples, |s| s.complexity.clone()),
        covers("samples with 1 to 5 deliverables", &["1", "2", "3", "4", "5"], samples, |s| {
            s.deliverables.to_string()
        }),
        check(
            &format!("less than {TRUNCATION_PERCENT_MAX} % of all attempts truncated"),
            events > 0 && truncated * 100 < TRUNCATION_PERCENT_MAX * events,
            format!("{truncated} of {events} ({})", crate::report::percentage(truncation)),
        ),
    ]
}

fn covers(
    claim: &str,
    wanted: &[&str],
    samples: &[StratumCount],
    of: impl Fn(&StratumCount) -> String,
) -> Check {
    let mut found = std::collections::BTreeMap::new();
    for sample in samples {
        *found.entry(of(sample)).or_insert(0) += sample.samples;
    }
    let missing: BTreeSet<&str> = wanted.iter().filter(|w| !found.contains_key(**w)).copied().collect();
    let counted: Vec<String> = found.iter().map(|(name, n)| format!("{n} × {name}")).collect();
    let mut measured = if counted.is_empty() { "none".to_owned() } else { counted.join(", ") };
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().copied().collect();
        measured = format!("{measured}; missing: {}", names.join(", "));
    }
    Check { claim: claim.to_owned(), met: missing.is_empty(), measured }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_measured_is_nothing_passed() {
        let checks = criteria(0, &Distribution::default(), &[], 0, 0);
        assert_eq!(checks.len(), 7);
        assert!(checks.iter().all(|c| !c.met), "{checks:#?}");
    }

    #[test]
    fn a_missing_kind_is_named() {
        let sample = |category: &str, deliverables| StratumCount {
            category: category.into(),
            complexity: "low".into(),
            deliverables,
            samples: 4,
        };
        let checks = criteria(1, &Distribution::default(), &[sample("testing", 1), sample("docs", 2)], 8, 0);
        assert_eq!(checks[3].measured, "4 × docs, 4 × tests; missing: implementation");
        assert!(!checks[4].met && checks[4].measured.ends_with("missing: medium"));
        assert!(checks[6].met);
    }

    #[test]
    fn ten_percent_is_not_less_than_ten_percent() {
        assert!(!criteria(1, &Distribution::default(), &[], 10, 1)[6].met);
        assert!(criteria(1, &Distribution::default(), &[], 11, 1)[6].met);
    }
}
