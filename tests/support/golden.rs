//! Golden files: what a program produced, compared byte for byte with what a person once accepted.
//!
//! A golden lives at `fixtures/<task>/<case>/expected/<file>` and is reviewed by `git diff`. Accepting is
//! explicit (`UPDATE_GOLDEN=1`) and refused under `CI`, so that no server can approve its own output.

use std::path::Path;

use similar::TextDiff;

use super::cases::CASES;

/// What to do with a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Report it.
    Compare,
    /// Take the actual text as the new golden.
    Update,
    /// An update was asked for where no person looks at it.
    Refuse,
}

impl Mode {
    /// From the values of `UPDATE_GOLDEN` and `CI`.
    pub(crate) fn of(update: Option<&str>, ci: Option<&str>) -> Self {
        let is_on = |value: Option<&str>| !matches!(value, None | Some("" | "0" | "false"));
        match (is_on(update), is_on(ci)) {
            (false, _) => Self::Compare,
            (true, false) => Self::Update,
            (true, true) => Self::Refuse,
        }
    }

    /// As the environment says.
    #[expect(clippy::disallowed_methods, reason = "a test binary has no settings to ask")]
    pub(crate) fn read() -> Self {
        let var = |name| std::env::var(name).ok();
        Self::of(var("UPDATE_GOLDEN").as_deref(), var("CI").as_deref())
    }
}

/// Compares `actual` with the golden at `fixtures/<path>`; newlines are normalised, a missing file is empty.
#[track_caller]
pub(crate) fn assert_golden(path: &str, actual: &str) {
    assert!(CASES.contains(&path), "`{path}` is not listed in tests/support/cases.rs; add it there");
    if let Err(report) = check(&super::root().join("fixtures"), path, actual, Mode::read()) {
        panic!("{report}");
    }
}

/// [`assert_golden`] without the list and the environment.
pub(crate) fn check(fixtures: &Path, path: &str, actual: &str, mode: Mode) -> Result<(), String> {
    let file = fixtures.join(path);
    let expected = std::fs::read_to_string(&file).unwrap_or_default().replace("\r\n", "\n");
    let actual = actual.replace("\r\n", "\n");
    if mode == Mode::Refuse {
        return Err("UPDATE_GOLDEN is refused while CI is set: goldens are accepted by people".to_owned());
    }
    if expected == actual {
        return Ok(());
    }
    if mode == Mode::Update {
        return ops::files::write_atomic(&file, actual.as_bytes()).map_err(|error| error.to_string());
    }
    let diff = TextDiff::from_lines(&expected, &actual);
    let (old, new) = (format!("fixtures/{path}"), "actual".to_owned());
    let diff = diff.unified_diff().context_radius(3).header(&old, &new).to_string();
    Err(format!("{diff}\nTo accept:\n  {}\n", accept_command()))
}

/// The command that runs the current test again and accepts what it produces.
fn accept_command() -> String {
    let (package, file) = (env!("CARGO_PKG_NAME"), env!("CARGO_CRATE_NAME"));
    let thread = std::thread::current();
    let test = thread.name().filter(|name| *name != "main").unwrap_or_default();
    format!("UPDATE_GOLDEN=1 cargo test --profile xtask -p {package} --test {file} -- {test}")
}
