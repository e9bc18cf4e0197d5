//! `ci`: every check there is, the same for people and servers.
//!
//! A check that could not run is named as skipped, in its place and at the end; it never counts as passed.

use std::time::Instant;

use anyhow::Context;

use super::{Cargo, suite};
use crate::exit::Code;
use crate::output;
use crate::settings::Settings;

/// Packages that the lock file may hold. A new dependency that breaks this must be worth it: the last five are axum,
/// axum-core, httpdate, matchit and mime, which serve the API; all else that they need was there for reqwest.
const PACKAGES_MAX: usize = 233;

/// Check everything: format, lints, tests, documentation and dependencies
///
/// Stops at the first check that fails. With `OPS_REQUIRE_LIVE=1` the tests fail where a database server cannot
/// be had, instead of skipping what needs it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// How a check ended, if it did not fail.
enum Outcome {
    Passed,
    Skipped(&'static str),
}

struct Step {
    name: &'static str,
    run: fn(&Cargo, &Settings) -> anyhow::Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step { name: "format", run: |cargo, _| pass(cargo, &["fmt", "--all", "--check"]) },
    Step { name: "packages", run: |cargo, _| packages(cargo) },
    Step {
        name: "clippy",
        run: |cargo, _| {
            // The feature is for what only `bench` builds.
            let args = "clippy --workspace --all-targets --features xtask/bench --profile xtask --locked -- -D warnings";
            pass(cargo, &args.split(' ').collect::<Vec<_>>())
        },
    },
    Step { name: "tests, tidy among them", run: |cargo, _| suite::run(cargo).map(|()| Outcome::Passed) },
    Step { name: "documentation", run: |cargo, _| documentation(cargo) },
    Step { name: "cargo-deny: bans, licences, sources", run: |cargo, _| deny(cargo) },
    Step { name: "cargo-deny: advisories", run: |cargo, _| advisories(cargo) },
];

pub(crate) fn run(_: &Args, settings: &Settings) -> anyhow::Result<Code> {
    let cargo = Cargo::new(settings)?;
    let mut summary = String::new();
    for Step { name, run } in STEPS {
        output::stdout(&format!("==> {name}\n"));
        let start = Instant::now();
        let outcome = run(&cargo, settings);
        let seconds = start.elapsed().as_secs_f64();
        let line = match &outcome {
            Ok(Outcome::Passed) => format!("ok       {name} ({seconds:.1} s)\n"),
            Ok(Outcome::Skipped(why)) => format!("SKIPPED  {name}: {why}\n"),
            Err(_) => format!("FAILED   {name} ({seconds:.1} s)\n"),
        };
        output::stdout(&line);
        summary.push_str(&line);
        if let Err(error) = outcome {
            output::stderr(&format!("error: {error:#}\n\n{summary}"));
            return Ok(Code::Failed);
        }
    }
    output::stdout(&format!("\n{summary}"));
    Ok(Code::Done)
}

fn pass(cargo: &Cargo, args: &[&str]) -> anyhow::Result<Outcome> {
    cargo.command(args).run()?;
    Ok(Outcome::Passed)
}

fn packages(cargo: &Cargo) -> anyhow::Result<Outcome> {
    // What is built here; the lock file also lists what other systems would need.
    let args = ["tree", "--workspace", "--edges", "all", "--prefix", "none", "--locked"];
    let tree = cargo.command(&args).read()?;
    let lines = tree.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| line.contains(" v"));
    let packages = lines.collect::<std::collections::BTreeSet<_>>().len();
    anyhow::ensure!(packages > 0, "`cargo tree` listed no package");
    anyhow::ensure!(packages <= PACKAGES_MAX, "{packages} packages are built, at most {PACKAGES_MAX}");
    output::stdout(&format!("{packages} packages of at most {PACKAGES_MAX}\n"));
    Ok(Outcome::Passed)
}

fn documentation(cargo: &Cargo) -> anyhow::Result<Outcome> {
    let args = ["doc", "--workspace", "--no-deps", "--profile", "xtask", "--locked"];
    cargo.command(&args).env("RUSTDOCFLAGS", "-D warnings").run()?;
    Ok(Outcome::Passed)
}

fn deny(cargo: &Cargo) -> anyhow::Result<Outcome> {
    if !cargo.can(&["deny", "--version"]) {
        return Ok(Outcome::Skipped("cargo-deny is not installed"));
    }
    pass(cargo, &["deny", "--locked", "check", "bans", "licenses", "sources"])
}

fn advisories(cargo: &Cargo) -> anyhow::Result<Outcome> {
    if !cargo.can(&["deny", "--version"]) {
        return Ok(Outcome::Skipped("cargo-deny is not installed"));
    }
    // Without the network nothing is known about advisories, which is neither a pass nor a failure.
    if !cargo.can(&["deny", "fetch", "db"]) {
        return Ok(Outcome::Skipped("the advisory database could not be fetched"));
    }
    let args = ["deny", "--locked", "check", "--disable-fetch", "advisories"];
    cargo.command(&args).run().context("a dependency has an advisory")?;
    Ok(Outcome::Passed)
}
