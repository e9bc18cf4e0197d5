//! Every golden file, by its path below `fixtures/`, in order of the alphabet.
//!
//! `assert_golden` refuses a path that is not listed and the orphan test a file that is not, so a golden
//! cannot be left behind by the test that once compared it.

/// The list.
pub(crate) const CASES: &[&str] = &[
    "analyze/ndjson/expected/report.json",
    "analyze/ndjson/expected/report.md",
    "analyze/ndjson/expected/stdout.txt",
    "db-identity/legacy/expected/identity.json",
    "db-identity/legacy/expected/stdout.txt",
    "exit/no-database/expected/stderr.txt",
    "help/analyze/expected/help.txt",
    "help/analyze/tokens/expected/help.txt",
    "help/bench/expected/help.txt",
    "help/cargo-xtask/expected/help.txt",
    "help/ci/expected/help.txt",
    "help/db-identity/expected/help.txt",
    "help/drain/expected/help.txt",
    "help/migrate/expected/help.txt",
    "help/seed-telemetry/expected/help.txt",
    "help/stack/down/expected/help.txt",
    "help/stack/expected/help.txt",
    "help/stack/status/expected/help.txt",
    "help/stack/up/expected/help.txt",
    "migrate/legacy/expected/again.json",
    "migrate/legacy/expected/again.txt",
    "migrate/legacy/expected/check.txt",
    "migrate/legacy/expected/identity.json",
    "migrate/legacy/expected/stdout.txt",
    "seed-telemetry/fresh/expected/report.json",
    "seed-telemetry/fresh/expected/report.md",
    "seed-telemetry/fresh/expected/stdout.txt",
    "usage/unknown-flag/expected/stderr.txt",
    "usage/unknown-task/expected/stderr.txt",
];
