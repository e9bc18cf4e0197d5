//! Runs every test program of the workspace, some of them side by side: for much of their time they wait for servers,
//! clocks and disks, and one after the other they take nearly twice as long.
//!
//! Which programs there are is what cargo itself built, so none can be forgotten, and each is run as cargo runs it.
//! What a program prints stays together and is printed when it ends.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::Context;
use serde_json::Value;
use xshell::{Shell, cmd};

use super::Cargo;
use crate::output;

const BUILD: &str =
    "test --workspace --profile xtask --locked --no-run --message-format json-render-diagnostics";

/// A test program.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    /// As `cargo test` chooses it.
    choice: String,
    path: PathBuf,
    /// Of its package, where it expects to be run.
    folder: PathBuf,
}

/// Builds and runs all tests, also those of the documentation. What fails is named at the end.
pub(super) fn run(cargo: &Cargo) -> anyhow::Result<()> {
    let built = cargo.command(&BUILD.split(' ').collect::<Vec<_>>()).read()?;
    let programs = programs(&built)?;
    let at_once = std::thread::available_parallelism().map_or(1, NonZero::get) + 1;
    let (waiting, failed) = (Mutex::new(programs.iter()), Mutex::new(Vec::new()));
    let runner = || -> anyhow::Result<()> {
        loop {
            let Some(program) = lock(&waiting).next() else { return Ok(()) };
            if !has_passed(program)? {
                lock(&failed).push(program.choice.as_str());
            }
        }
    };
    std::thread::scope(|scope| {
        let runners: Vec<_> = (0..at_once).map(|_| scope.spawn(runner)).collect();
        runners.into_iter().try_for_each(|runner| runner.join().expect("a runner does not panic"))
    })?;
    let failed = lock(&failed).join(", ");
    anyhow::ensure!(failed.is_empty(), "tests failed: cargo test --profile xtask with {failed}");
    cargo.command(&["test", "--workspace", "--profile", "xtask", "--locked", "--doc"]).run()?;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("no runner panics")
}

/// Whether all tests of the program passed.
fn has_passed(program: &Program) -> anyhow::Result<bool> {
    let (start, sh) = (Instant::now(), Shell::new()?);
    sh.change_dir(&program.folder);
    let path = &program.path;
    // The suite decides by comparing; whoever runs it must not make it accept what it sees.
    let command = cmd!(sh, "{path}").quiet().env_remove("UPDATE_GOLDEN").ignore_status();
    let ended = command.output().with_context(|| format!("failed to run {}", program.choice))?;
    let printed = [ended.stdout, ended.stderr].concat();
    let seconds = start.elapsed().as_secs_f64();
    output::stdout(&format!("{} ({seconds:.1} s)\n{}", program.choice, String::from_utf8_lossy(&printed)));
    Ok(ended.status.success())
}

/// The test programs among what cargo says that it built.
fn programs(built: &str) -> anyhow::Result<Vec<Program>> {
    let mut programs = Vec::new();
    for line in built.lines() {
        let message: Value = serde_json::from_str(line).context("failed to read what cargo says")?;
        let text = |pointer| message.pointer(pointer).and_then(Value::as_str);
        let is_test = message.pointer("/profile/test").and_then(Value::as_bool) == Some(true);
        let (true, Some(path)) = (is_test, text("/executable")) else { continue };
        let manifest = text("/manifest_path").context("cargo names no manifest")?;
        let folder = Path::new(manifest).parent().context("a manifest has no folder")?;
        let package = folder.file_name().context("a package has no folder")?.to_string_lossy();
        let name = text("/target/name").context("cargo names no target")?;
        let choice = match text("/target/kind/0") {
            Some("test") => format!("-p {package} --test {name}"),
            Some("bin") => format!("-p {package} --bin {name}"),
            _ => format!("-p {package} --lib"),
        };
        programs.push(Program { choice, path: path.into(), folder: folder.into() });
    }
    anyhow::ensure!(!programs.is_empty(), "cargo built no test");
    Ok(programs)
}

#[cfg(test)]
mod tests {
    use super::programs;

    #[test]
    fn every_test_program_that_cargo_built_is_run_and_nothing_else() {
        let artifact = |name: &str, kind: &str, is_test: bool, path: &str| {
            format!(
                r#"{{"reason": "compiler-artifact", "manifest_path": "/r/tool/Cargo.toml", "executable": {path},
                "target": {{"name": "{name}", "kind": ["{kind}"]}}, "profile": {{"test": {is_test}}}}}"#
            )
            .replace('\n', " ")
        };
        let built = [
            artifact("tool", "lib", false, "null"),
            artifact("tool", "lib", true, "\"/t/tool-1\""),
            artifact("store", "test", true, "\"/t/store-1\""),
            artifact("run", "bin", true, "\"/t/run-1\""),
            artifact("run", "bin", false, "\"/t/run\""),
            r#"{"reason": "build-finished", "success": true}"#.to_owned(),
        ];
        let found = programs(&built.join("\n")).unwrap();
        let choices: Vec<_> = found.iter().map(|program| program.choice.as_str()).collect();
        assert_eq!(choices, ["-p tool --lib", "-p tool --test store", "-p tool --bin run"]);
        assert!(found.iter().all(|program| program.folder == std::path::Path::new("/r/tool")));
        assert!(programs(built[4].as_str()).is_err(), "a suite without tests has not passed");
    }
}
