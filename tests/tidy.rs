//! The rules that no compiler checks, held by reading the files of the repository.
//!
//! Rules about one source file are in `tidy/rules.rs`; rules about the repository are here. Each rule is also
//! run on something bad, because a check that cannot fail is worse than none.

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;
#[expect(dead_code, reason = "tidy compares no goldens and runs no program")]
mod support;

use std::collections::BTreeMap;

use source::Source;

/// The text files of the repository by path.
fn repository() -> BTreeMap<String, String> {
    let root = support::root();
    let files = support::files_below(&root).into_iter();
    files.filter_map(|path| std::fs::read_to_string(root.join(&path)).ok().map(|text| (path, text))).collect()
}

/// Whether the name of the file ends so.
fn is_of(path: &str, extension: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, end)| end == extension)
}

fn sources() -> Vec<Source> {
    let folders = ["ops/", "xtask/", "tests/"];
    let is_source = |path: &str| is_of(path, "rs") && folders.iter().any(|folder| path.starts_with(folder));
    let files = repository().into_iter().filter(|(path, _)| is_source(path));
    files.map(|(path, text)| Source::new(&path, &text)).collect()
}

#[track_caller]
fn assert_tidy(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn every_source_file_keeps_the_rules() {
    let sources = sources();
    assert!(sources.iter().any(|source| source.path == "ops/src/lib.rs"), "the sources were not found");
    let mut lengths: Vec<usize> = sources.iter().map(|source| source.text.lines().count()).collect();
    lengths.sort_unstable();
    let (median, p90) = (lengths[lengths.len() / 2], lengths[lengths.len() * 9 / 10]);
    let findings: Vec<String> = sources.iter().flat_map(rules::findings).collect();
    let files = lengths.len();
    assert!(
        findings.is_empty(),
        "\n{}\n\n{files} files, lines: median {median}, 90th percentile {p90}\n",
        findings.join("\n")
    );
}

/// A migration of SQLite without the query that proves it.
fn unverified_migrations(files: &BTreeMap<String, String>) -> Vec<String> {
    let migrations = files.keys().filter(|path| path.starts_with("migrations/sqlite/") && is_of(path, "sql"));
    let steps = migrations.filter(|path| !path.ends_with(".verify.sql") && !path.ends_with("/schema.sql"));
    let missing =
        steps.map(|path| path.replace(".sql", ".verify.sql")).filter(|path| !files.contains_key(path));
    missing.map(|path| format!("{path}: missing; every migration is verified")).collect()
}

/// Places that exist on one machine only.
fn machine_paths(files: &BTreeMap<String, String>) -> Vec<String> {
    let folders = ["work", "root", "home"].map(|name| format!("/{name}/"));
    let mut found = Vec::new();
    for (path, text) in files {
        for (number, line) in text.lines().enumerate() {
            let starts_path =
                |at: usize| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.~}>)*".contains(c));
            for folder in &folders {
                if line.match_indices(folder.as_str()).any(|(at, _)| starts_path(at)) {
                    found.push(format!("{path}:{}: a path of one machine, `{folder}`", number + 1));
                }
            }
        }
    }
    found
}

/// A changelog whose newest heading is neither the version nor what is to be released.
fn stale_changelog(files: &BTreeMap<String, String>) -> Vec<String> {
    let Some(changelog) = files.get("CHANGELOG.md") else { return Vec::new() };
    let version =
        files["Cargo.toml"].lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    let version = version.expect("the workspace has a version");
    let newest = changelog.lines().find_map(|line| line.strip_prefix("## ")).unwrap_or_default();
    let name = newest.trim_start_matches('[').split([']', ' ']).next().unwrap_or_default();
    let is_current = name == version || name == "Unreleased";
    let finding = || format!("CHANGELOG.md: newest heading is `{newest}`, the version is {version}");
    (!is_current).then(finding).into_iter().collect()
}

/// A crate that does not take the lints of the workspace.
fn unlinted_crates(files: &BTreeMap<String, String>) -> Vec<String> {
    let manifests = files.iter().filter(|(path, _)| path.ends_with("/Cargo.toml"));
    let bad =
        manifests.filter(|(_, text)| !text.replace("\r\n", "\n").contains("[lints]\nworkspace = true\n"));
    bad.map(|(path, _)| format!("{path}: lacks `[lints] workspace = true`")).collect()
}

#[test]
fn the_repository_keeps_the_rules() {
    let files = repository();
    let rules = [unverified_migrations, machine_paths, stale_changelog, unlinted_crates];
    assert_tidy(&rules.iter().flat_map(|rule| rule(&files)).collect::<Vec<_>>());
}

/// A repository of a few files, for the rules about repositories.
fn files<const N: usize>(files: [(&str, &str); N]) -> BTreeMap<String, String> {
    files.map(|(path, text)| (path.to_owned(), text.to_owned())).into()
}

#[test]
fn rules_about_the_repository_fire() {
    let lone = files([("migrations/sqlite/0001_a.sql", ""), ("migrations/sqlite/0002_b.sql", "")]);
    let mut verified = lone.clone();
    verified.insert("migrations/sqlite/0001_a.verify.sql".to_owned(), String::new());
    assert_eq!(unverified_migrations(&lone).len(), 2);
    assert_eq!(unverified_migrations(&verified).len(), 1);

    let here = |text: &str| machine_paths(&files([("a.md", text)])).len();
    for name in ["work", "root", "home"] {
        assert_eq!(here(&format!("see /{name}/x and `/{name}/y`")), 1);
        assert_eq!(here(&format!("\n\"/{name}/\"\n (/{name}/y)")), 2);
        assert_eq!(here(&format!("ops/src/{name}/mod.rs and https://host/{name}/ and ~/{name}/x")), 0);
    }

    let changelog = |heading: &str| {
        let text = format!("# Changelog\n\n{heading}\n\n## [0.0.1]\n");
        stale_changelog(&files([("CHANGELOG.md", &text), ("Cargo.toml", "version = \"1.2.0\"\n")])).len()
    };
    assert_eq!(
        ["## Unreleased", "## [Unreleased]", "## [1.2.0] - 2026-01-02", "## 1.2.0"].map(changelog),
        [0; 4]
    );
    assert_eq!(["## 1.1.0", "## [1.2.01]", ""].map(changelog), [1; 3]);

    assert_eq!(unlinted_crates(&files([("a/Cargo.toml", "[lints]\nworkspace = true\n")])).len(), 0);
    assert_eq!(unlinted_crates(&files([("a/Cargo.toml", "[package]\n")])).len(), 1);
}

/// What the rules say about `body` as a file at `path`.
fn said(path: &str, body: &str) -> Vec<String> {
    rules::findings(&Source::new(path, &format!("//! Doc.\n{body}\n")))
}

#[test]
fn rules_about_sources_fire() {
    for (path, bad, what) in [
        ("ops/src/url.rs", "use rusqlite::Connection;", "ops/src/url.rs:2: `rusqlite::Connection`: only"),
        ("ops/src/db/mod.rs", "fn a() { rusqlite::open(); }", "talk to SQLite"),
        ("ops/src/db/sqlite/mod.rs", "use postgres::Client;", "talk to PostgreSQL"),
        ("ops/src/db/sqlite/mod.rs", "use rustls;", "encrypt what they say"),
        ("ops/src/change/mod.rs", "use reqwest::Client;", "talks HTTP"),
        ("ops/src/target/mod.rs", "use crate::change::Counts;", "must not use `change`"),
        (
            "ops/src/target/sqlite/mod.rs",
            "use crate::target::postgres::A;",
            "must not use `target::postgres`",
        ),
        ("ops/src/url.rs", "use {clap::Parser, std::fmt};", "`clap::Parser`"),
        ("ops/src/url.rs", "fn a() -> anyhow::Result<()> {}", "`anyhow::Result`"),
        ("ops/src/url.rs", "use std::{env, fs};", "`std::env`"),
        ("ops/src/url.rs", "fn a() { std::env::args(); }", "`std::env::args`"),
        ("ops/src/url.rs", "fn a() { std::process::exit(1) }", "`std::process::exit`"),
        (
            "ops/src/url.rs",
            "use std::process;\nfn a() { process::exit(1) }",
            "ops/src/url.rs:3: `process::exit`",
        ),
        ("ops/src/url.rs", "use std::io::{self, stdout};", "`std::io::stdout`"),
        ("ops/src/url.rs", "fn a() { io::stderr(); }", "`io::stderr`"),
        ("ops/src/url.rs", "fn a() { println!(); }", "`println!`"),
        ("ops/src/url.rs", "fn a() { eprint!(); }", "`eprint!`"),
        ("xtask/src/task/a.rs", "use reqwest::Client;", "a thin shell"),
        ("xtask/src/task/a.rs", "use xshell::Shell;", "through a shell"),
        ("xtask/src/cli.rs", "fn a() { std::env::var(\"CI\"); }", "only xtask/src/settings.rs"),
        ("xtask/src/dev/ci.rs", "fn a() { std::env::var(\"HOME\"); }", "CARGO and CI only"),
        ("ops/src/url.rs", "use crate::report::Table;", "`url` must not use `report`"),
        ("ops/src/report/table.rs", "use super::super::db::Cell;", "`report` must not use `db`"),
        (
            "ops/src/tokens/mod.rs",
            "fn a() { crate::db::sqlite::open(); }",
            "`tokens` must not use `db::sqlite`",
        ),
        ("ops/src/telemetry.rs", "use crate::{clock, work::Run};", "`telemetry` must not use `work`"),
        ("ops/src/unknown.rs", "", "`unknown` of ops is not in the table"),
        (
            "ops/src/url.rs",
            "#[cfg(test)]\nmod tests {\n    #[ignore]\n    fn a() {}\n}",
            "url.rs:4: `#[ignore`",
        ),
        ("tests/a.rs", "#[should_panic]\nfn a() {}", "`#[should_panic`"),
        ("tests/a.rs", "fn a() { todo!() }", "`todo!`"),
        ("tests/a.rs", concat!("// TO", "DO: later"), "or say why"),
        ("tests/a.rs", concat!("/// FIX", "ME"), "or say why"),
        ("tests/a.rs", "fn a() {} ", "tests/a.rs:2: a tab or a blank"),
        ("tests/a.rs", "\tfn a() {}", "a tab or a blank"),
        ("tests/a.rs", &"\n".repeat(rules::FILE_LINES_MAX), "split the file"),
        ("tests/a.rs", &function(rules::FUNCTION_LINES_MAX + 1), "`long` has 71 lines"),
    ] {
        let said = said(path, bad);
        assert!(said.iter().any(|finding| finding.contains(what)), "{path}: {bad:.80}\n{said:#?}");
    }
    let undocumented = rules::findings(&Source::new("tests/a.rs", "fn a() {}\n"));
    assert_eq!(undocumented, ["tests/a.rs:1: a module starts with `//!` and says why it exists"]);
}

#[test]
fn rules_about_sources_do_not_fire_on_what_is_fine() {
    for (path, fine) in [
        ("ops/src/db/sqlite/open.rs", "use rusqlite::Connection;\nuse super::super::{Cell, Reader};"),
        ("ops/src/db/postgres/mod.rs", "use postgres::Client;\nuse crate::db::Cell;"),
        ("ops/src/db/mod.rs", "pub mod postgres;\nfn a() { postgres::open(); }"),
        ("ops/src/identity/mod.rs", "use crate::db::postgres;\nfn a(postgres: u8) { postgres::open(); }"),
        ("ops/src/url.rs", "fn a() { \"println!(std::env)\"; r#\"rusqlite::x \"quoted\" \"#; }"),
        ("ops/src/url.rs", "// rusqlite::Connection\n/* anyhow::Error /* nested */ clap::Args */"),
        ("ops/src/url.rs", "fn a<'a>(x: &'a str) -> char { if x != \"\" { '\"' } else { '\\'' } }"),
        ("ops/src/url.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::work::Run;\n}"),
        ("ops/src/work/mod.rs", "fn a(child: &mut Child) { child.stdout.take(); child.stderr(x); }"),
        ("ops/src/work/mod.rs", "use crate::{phases, identity, telemetry::Store};"),
        ("xtask/src/settings.rs", "fn a() { std::env::var(\"HOME\"); }"),
        ("xtask/src/dev/ci.rs", "use xshell::Shell;\nfn a() { std::env::var(\"CARGO\"); let var = 1; }"),
        ("tests/a.rs", &function(rules::FUNCTION_LINES_MAX)),
    ] {
        assert_eq!(said(path, fine), [""; 0], "{path}: {fine:.80}");
    }
}

/// A function of so many lines, with braces where they do not count.
fn function(lines: usize) -> String {
    let body = ["    let _ = ('{', \"}}\", [0_u8; 1]); // {"].repeat(lines - 2).join("\n");
    format!("fn long(x: fn(u8) -> u8) {{\n{body}\n}}\n\nfn short() {{}}")
}
