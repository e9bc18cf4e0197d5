//! The catalogue of seed phases: ten small utilities, their tests and their documentation.
//!
//! The mix is what the seed promises: categories implementation, tests and docs; complexity low and medium;
//! one to five deliverables. Goals avoid the words by which an estimator takes a document for a synthesis
//! of others ("examples", "endpoints", "comprehensive"), because that would change the stratum.

use crate::phases::{NewPhase, NewRun, Scope};

/// The run that is seeded unless another id is given.
pub const SEED_RUN_ID: &str = "telemetry-collection-v4";
/// Everything a seed phase may write is under this directory.
const SANDBOX: &str = "examples/telemetry_utils";

/// One entry of the catalogue. Paths are relative to the sandbox directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The phase id, and the name of its recordings.
    pub template: &'static str,
    /// What is to be written.
    pub goal: &'static str,
    /// `implementation`, `tests` or `docs`.
    pub category: &'static str,
    /// `low` or `medium`.
    pub complexity: &'static str,
    /// Files to write.
    pub deliverables: &'static [&'static str],
    /// Files to read.
    pub context: &'static [&'static str],
}

const fn entry(
    template: &'static str,
    category: &'static str,
    complexity: &'static str,
    goal: &'static str,
    deliverables: &'static [&'static str],
    context: &'static [&'static str],
) -> Entry {
    Entry { template, goal, category, complexity, deliverables, context }
}

/// The ten entries, in the order in which they are drained.
pub const CATALOGUE: [Entry; 10] = [
    entry(
        "telemetry-p1-string-util",
        "implementation",
        "low",
        "String helpers: capitalise words, reverse, truncate with an ellipsis, count vowels.",
        &["string_helper.py"],
        &[],
    ),
    entry(
        "telemetry-p2-number-util",
        "implementation",
        "low",
        "Number helpers: is_even, is_prime, greatest common divisor, clamp.",
        &["number_helper.py"],
        &[],
    ),
    entry(
        "telemetry-p3-list-util",
        "implementation",
        "medium",
        "List helpers in two modules: chunk, flatten and unique in one, stable grouping in the other.",
        &["list_helper.py", "list_grouping.py"],
        &[],
    ),
    entry(
        "telemetry-p4-date-util",
        "implementation",
        "medium",
        "Date helpers: parsing, business-day arithmetic and formatting, one module each.",
        &["date_parsing.py", "date_business.py", "date_format.py"],
        &[],
    ),
    entry(
        "telemetry-p5-dict-util",
        "implementation",
        "medium",
        "Dictionary helpers: deep merge, pick, omit, invert, dotted access.",
        &["dict_helper.py"],
        &[],
    ),
    entry(
        "telemetry-p6-string-tests",
        "tests",
        "medium",
        "Tests of the string helpers with shared fixtures, at least eight cases.",
        &["tests/test_string_helper.py", "tests/conftest.py"],
        &["string_helper.py"],
    ),
    entry(
        "telemetry-p7-number-tests",
        "tests",
        "low",
        "Tests of the number helpers, borders included.",
        &["tests/test_number_helper.py"],
        &["number_helper.py", "tests/conftest.py"],
    ),
    entry(
        "telemetry-p8-list-tests",
        "tests",
        "medium",
        "Tests of the list and date helpers, one file for each module.",
        &[
            "tests/test_list_helper.py",
            "tests/test_list_grouping.py",
            "tests/test_date_parsing.py",
            "tests/test_date_business.py",
        ],
        &["list_helper.py", "list_grouping.py", "date_parsing.py", "date_business.py"],
    ),
    entry(
        "telemetry-p9-readme",
        "docs",
        "low",
        "A readme for the helpers: what there is, how to install it, how to run the tests.",
        &["README.md"],
        &["string_helper.py", "number_helper.py", "list_helper.py"],
    ),
    entry(
        "telemetry-p10-file-util",
        "implementation",
        "medium",
        "File helpers: safe reading, atomic writing, walking, temporary files, and the package that exports them.",
        &["file_reading.py", "file_writing.py", "file_walking.py", "file_temp.py", "__init__.py"],
        &[],
    ),
];

impl Entry {
    /// The phase that collects `samples` samples of this entry.
    pub(super) fn phase(&self, phase_id: String, samples: u64) -> NewPhase {
        let place = |path: &&str| format!("{SANDBOX}/{path}");
        NewPhase {
            phase_id,
            name: self.template.trim_start_matches("telemetry-").to_owned(),
            description: self.goal.to_owned(),
            category: self.category.to_owned(),
            complexity: self.complexity.to_owned(),
            scope: Scope {
                paths: vec![SANDBOX.to_owned()],
                read_only_context: self.context.iter().map(place).collect(),
                deliverables: self.deliverables.iter().map(place).collect(),
                template: Some(self.template.to_owned()),
            },
            samples_target: samples,
        }
    }
}

/// The seed run: every entry once, each to be attempted until it has `samples_per_phase` good attempts.
pub fn seed_run(run_id: &str, samples_per_phase: u64) -> NewRun {
    let phases =
        CATALOGUE.iter().map(|entry| entry.phase(entry.template.to_owned(), samples_per_phase)).collect();
    new_run(run_id, "Collect token telemetry from small, achievable phases", phases)
}

pub(super) fn new_run(run_id: &str, goal: &str, phases: Vec<NewPhase>) -> NewRun {
    NewRun {
        run_id: run_id.to_owned(),
        goal: goal.to_owned(),
        token_cap: 500_000,
        phases_max: 15.max(phases.len() as u64),
        duration_minutes_max: 120,
        tier_name: "Telemetry Collection Tier".to_owned(),
        phases,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_mix_is_what_the_seed_promises() {
        let all = |of: fn(&Entry) -> &'static str| CATALOGUE.iter().map(of).collect::<BTreeSet<_>>();
        assert_eq!(all(|e| e.category), BTreeSet::from(["docs", "implementation", "tests"]));
        assert_eq!(all(|e| e.complexity), BTreeSet::from(["low", "medium"]));
        let counts: BTreeSet<usize> = CATALOGUE.iter().map(|e| e.deliverables.len()).collect();
        assert_eq!(counts, BTreeSet::from([1, 2, 3, 4, 5]));
        assert_eq!(all(|e| e.template).len(), 10);
    }

    #[test]
    fn no_two_entries_write_one_file() {
        let files: Vec<&str> = CATALOGUE.iter().flat_map(|e| e.deliverables).copied().collect();
        assert_eq!(files.iter().collect::<BTreeSet<_>>().len(), files.len());
    }
}
