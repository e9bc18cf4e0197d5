//! Runs the program as a person would, in a world that holds nothing but what the test put there.
//!
//! Cargo names the program to the tests of its own package only, so every test file that runs it belongs to xtask.

use std::path::Path;

use assert_cmd::Command;

/// The program with `dir` as working directory and home, a fixed clock and seed, and no other environment.
pub(crate) fn xtask(dir: &Path) -> Command {
    Command::from_std(xtask_std(dir))
}

/// The same as a command of the standard library, for tests that kill or signal it.
pub(crate) fn xtask_std(dir: &Path) -> std::process::Command {
    #[expect(clippy::disallowed_methods, reason = "running the program is what these tests are for")]
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.env_clear().current_dir(dir).env("HOME", dir);
    for name in ["PATH", "SystemRoot"] {
        #[expect(clippy::disallowed_methods, reason = "a test binary has no settings to ask")]
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs([
        ("COLUMNS", "100"),
        ("NO_COLOR", "1"),
        ("OPS_NOW", "2026-01-02T03:04:05Z"),
        ("OPS_SEED", "1"),
    ]);
    command
}

/// Replaces what the program cannot know beforehand (temporary paths, device and inode numbers). What it can
/// know must be made deterministic instead.
pub(crate) fn redact(text: &str, replacements: &[(&str, &str)]) -> String {
    replacements.iter().fold(text.to_owned(), |text, (needle, replacement)| {
        assert!(!needle.is_empty(), "an empty needle would match everywhere");
        text.replace(needle, replacement)
    })
}
