//! The command line from outside: help, usage errors and exit codes, all of them compared with goldens.
//!
//! Few and hermetic. What a task does is tested where it is done; a new task is found here through `--help`.

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::collections::BTreeSet;

use support::command::{redact, xtask};
use support::golden::{Mode, assert_golden, check};

/// Output of `xtask <args>` in an empty folder: exit code, stdout, stderr.
fn run(args: &[&str]) -> (i32, String, String) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().to_string_lossy();
    let output = xtask(dir.path()).args(args).output().expect("the program starts");
    let text = |bytes: Vec<u8>| redact(&String::from_utf8_lossy(&bytes), &[(&path, "<dir>")]);
    let code = output.status.code().expect("the program was not killed");
    (code, text(output.stdout), text(output.stderr))
}

/// The names under `Commands:` of a help text.
fn commands(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?;
        name.split_whitespace().next()
    });
    names.filter(|name| *name != "help").collect()
}

/// Every task and subtask as arguments, with its help text.
fn tasks() -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(task) = open.pop() {
        let mut args: Vec<&str> = task.iter().map(String::as_str).collect();
        args.push("--help");
        let (code, help, stderr) = run(&args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{args:?}");
        for name in commands(&help) {
            open.push([task.as_slice(), &[name.to_owned()]].concat());
        }
        found.push((task, help));
    }
    found
}

#[test]
fn help_of_every_task() {
    let tasks = tasks();
    assert!(tasks.iter().any(|(task, _)| *task == ["db-identity"]), "no task was found in --help");
    for (task, help) in &tasks {
        let name = if task.is_empty() { "cargo-xtask".to_owned() } else { task.join("/") };
        assert_golden(&format!("help/{name}/expected/help.txt"), help);
    }
}

#[test]
fn every_task_refuses_a_flag_it_does_not_know() {
    for (task, _) in tasks() {
        let mut args: Vec<&str> = task.iter().map(String::as_str).collect();
        args.push("--no-such-flag");
        let (code, stdout, stderr) = run(&args);
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}");
        assert!(stderr.contains("--no-such-flag"), "{args:?}: {stderr}");
    }
}

#[test]
fn no_task_shows_the_help_as_an_error() {
    let (_, help, _) = run(&["--help"]);
    let (code, stdout, stderr) = run(&[]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert_eq!(commands(&stderr), commands(&help));
}

#[test]
fn usage_errors() {
    for (case, args) in
        [("unknown-task", ["db-identify"].as_slice()), ("unknown-flag", &["db-identity", "--database", "x"])]
    {
        let (code, stdout, stderr) = run(args);
        assert_eq!((code, stdout.as_str()), (2, ""), "{case}");
        assert_golden(&format!("usage/{case}/expected/stderr.txt"), &stderr);
    }
}

#[test]
fn no_database_is_a_refusal() {
    let (code, stdout, stderr) = run(&["db-identity"]);
    assert_eq!((code, stdout.as_str()), (3, ""));
    assert_golden("exit/no-database/expected/stderr.txt", &stderr);
}

#[test]
fn a_setting_that_cannot_be_read_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let run = xtask(dir.path()).env("OPS_NOW", "yesterday").arg("db-identity").assert().code(1);
    run.stderr(predicates::str::contains("OPS_NOW is not an RFC 3339 time: `yesterday`"));
}

#[test]
fn every_golden_is_listed_and_every_listed_golden_exists() {
    let listed: BTreeSet<&str> = support::cases::CASES.iter().copied().collect();
    assert!(support::cases::CASES.is_sorted(), "tests/support/cases.rs is out of order");
    assert_eq!(listed.len(), support::cases::CASES.len(), "tests/support/cases.rs lists a path twice");
    let files = support::files_below(&support::root().join("fixtures"));
    let goldens: BTreeSet<&str> =
        files.iter().map(String::as_str).filter(|path| path.contains("/expected/")).collect();
    let orphans: Vec<_> = goldens.difference(&listed).collect();
    assert!(orphans.is_empty(), "no test compares these; delete them or list them: {orphans:#?}");
    let missing: Vec<_> = listed.difference(&goldens).collect();
    let is_being_written = Mode::read() == Mode::Update;
    assert!(is_being_written || missing.is_empty(), "listed, but not under fixtures/: {missing:#?}");
}

#[test]
fn a_golden_that_differs_is_shown_with_the_command_that_accepts_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = "case/expected/a.txt";
    let check = |text, mode| check(dir.path(), path, text, mode);
    let report = check("one\n", Mode::Compare).unwrap_err();
    assert!(report.contains("--- fixtures/case/expected/a.txt\n+++ actual\n"), "{report}");
    assert!(report.contains("+one\n"), "{report}");
    let test = "a_golden_that_differs_is_shown_with_the_command_that_accepts_it";
    let command = format!("UPDATE_GOLDEN=1 cargo test --profile xtask -p xtask --test cli -- {test}");
    assert!(report.contains(&command), "{report}");

    assert!(check("one\n", Mode::Refuse).unwrap_err().contains("refused while CI is set"));
    assert!(!dir.path().join(path).exists());
    check("one\n", Mode::Update).unwrap();
    check("one\r\n", Mode::Compare).unwrap();
    assert!(check("two\n", Mode::Compare).unwrap_err().contains("-one\n+two\n"));
    assert!(check("one\n", Mode::Refuse).is_err());
}

#[test]
fn an_update_is_refused_under_ci() {
    for off in [None, Some(""), Some("0"), Some("false")] {
        assert_eq!(Mode::of(Some("1"), off), Mode::Update);
        assert_eq!(Mode::of(off, Some("true")), Mode::Compare);
    }
    for on in ["1", "true", "yes"] {
        assert_eq!(Mode::of(Some("1"), Some(on)), Mode::Refuse);
    }
}

/// Output that the README shows is output that a golden has, so that it cannot rot.
#[test]
fn what_the_readme_shows_is_what_the_program_prints() {
    let read = |path: &str| std::fs::read_to_string(support::root().join(path)).expect("the file is there");
    let goldens: String = support::cases::CASES
        .iter()
        .filter(|path| std::path::Path::new(path).extension().is_some_and(|ending| ending == "txt"))
        .map(|path| read(&format!("fixtures/{path}")))
        .collect();
    let known: BTreeSet<&str> = goldens.lines().collect();
    let readme = read("README.md");
    let blocks = readme.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let shown: Vec<&str> = blocks.flat_map(str::lines).filter(|line| !line.starts_with("$ ")).collect();
    assert!(shown.len() > 10, "the README shows no output");
    let stale: Vec<&str> = shown.into_iter().filter(|line| !known.contains(line)).collect();
    assert!(stale.is_empty(), "no golden has these lines of the README:\n{}", stale.join("\n"));
}
