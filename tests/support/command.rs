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

/// Replaces what no seed can fix in a text about the database of this identity: the place `dir`, the inode and
/// the fingerprint that is made from it, and the time of the file.
pub(crate) fn without_place(dir: &Path, text: &str, identity: &serde_json::Value) -> String {
    let file = &identity["file"];
    let place = std::fs::canonicalize(dir).expect("the folder is there");
    let word = |value: &serde_json::Value| value.as_str().expect("the identity is of a file").to_owned();
    let mut replacements = vec![
        (place.display().to_string(), "<dir>".to_owned()),
        (dir.display().to_string(), "<dir>".to_owned()),
        (word(&identity["fingerprint"]), "<fingerprint>".to_owned()),
        (word(&file["modified_at"]), "<modified>".to_owned()),
        (
            format!("device {}, inode {}", file["id"]["device"], file["id"]["inode"]),
            "device <device>, inode <inode>".to_owned(),
        ),
    ];
    for key in ["device", "inode"] {
        replacements.push((format!("\"{key}\": {}", file["id"][key]), format!("\"{key}\": \"<{key}>\"")));
    }
    let pairs: Vec<(&str, &str)> = replacements.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    // A text with two identities has the earlier one's time too, perhaps of another second.
    let earlier = |line: &str| match line.trim_start().strip_prefix("modified ") {
        Some(time) => line.replace(time.trim(), "<modified>"),
        None => line.to_owned(),
    };
    redact(text, &pairs).split_inclusive('\n').map(earlier).collect()
}
