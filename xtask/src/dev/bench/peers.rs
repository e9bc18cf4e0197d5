//! Where peers come from: the system, or PyPI into a virtual environment under the target folder.
//!
//! Versions are pinned. A peer that cannot be had is a reason in words, never a silent gap.

use std::path::PathBuf;

use anyhow::Context;
use xshell::{Shell, cmd};

use super::Bench;
use crate::dev::Cargo;
use crate::output;

/// The interpreter that measures.
pub(super) const PYTHON: &str = "python3";

/// Where cargo puts what it builds.
pub(super) fn target_folder(cargo: &Cargo) -> anyhow::Result<PathBuf> {
    let text = cargo.command(&["metadata", "--format-version", "1", "--no-deps", "--locked"]).read()?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    metadata["target_directory"].as_str().map(PathBuf::from).context("cargo names no target folder")
}

/// The `sqlite3` shell of the system.
pub(super) fn sqlite3(sh: &Shell) -> Result<&'static str, String> {
    let is_there = cmd!(sh, "sqlite3 --version").quiet().ignore_stdout().ignore_stderr().run().is_ok();
    if is_there { Ok("sqlite3") } else { Err("not installed (Debian: apt-get install sqlite3)".to_owned()) }
}

/// A Python that has exactly these packages, installed if need be.
pub(super) fn python_with(bench: &Bench, packages: &[&str]) -> Result<String, String> {
    python_in(bench, "venv", packages)
}

/// The same in an environment of its own, for a second version of a package.
pub(super) fn python_in(bench: &Bench, environment: &str, packages: &[&str]) -> Result<String, String> {
    let sh = &bench.cargo.sh;
    let (venv, name) = (bench.folder.join(environment), packages.join(" and "));
    let python = venv.join("bin/python");
    let is_installed = || {
        let script = "import sys, importlib.metadata as m\n\
                      sys.exit(any(m.version(n) != v for n, v in (p.split('==') for p in sys.argv[1:])))";
        cmd!(sh, "{python} -I -c {script} {packages...}").quiet().ignore_stderr().run().is_ok()
    };
    if !is_installed() {
        output::stderr(&format!("installing {name} from PyPI\n"));
        let install = || -> Result<(), xshell::Error> {
            cmd!(sh, "{PYTHON} -m venv {venv}").quiet().ignore_stdout().run()?;
            cmd!(sh, "{python} -m pip install --quiet --only-binary :all: {packages...}").quiet().run()
        };
        install().map_err(|error| format!("{name} could not be installed from PyPI: {error}"))?;
    }
    Ok(python.display().to_string())
}
