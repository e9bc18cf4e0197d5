//! A folder with inputs, and what commands make of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support;
use crate::support::command::xtask;

/// What a command came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A folder with inputs, where cleanups are run.
pub(crate) struct World {
    pub(crate) dir: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn ends(&self, code: i32, line: &str) -> Ran {
        self.ends_with(code, &[], line)
    }

    /// Runs a command with these environment variables.
    pub(crate) fn ends_with(&self, code: i32, variables: &[(&str, &str)], line: &str) -> Ran {
        let mut command = xtask(self.dir.path());
        let output = command.args(line.split(' ')).envs(variables.iter().copied()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let ran = Ran {
            code: output.status.code().unwrap(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert_eq!(ran.code, code, "{line}\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    pub(crate) fn json(&self, name: &str) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path(name)).unwrap()).unwrap()
    }

    /// Every file of a folder.
    pub(crate) fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        let entries =
            fs::read_dir(self.path(folder)).unwrap().map(Result::unwrap).filter(|e| e.path().is_file());
        entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
    }

    /// The shipped settings with something else in them.
    pub(crate) fn settings(&self, name: &str, changes: &[(&str, &str)]) {
        let mut text = fs::read_to_string(support::root().join("ops.toml")).unwrap();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        self.file(name, text.as_bytes());
    }

    /// The objects of a file with one a line.
    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// One member of every row of a cleaned file, in order.
    pub(crate) fn members(&self, name: &str, member: &str) -> Vec<Value> {
        self.json(name).as_array().unwrap().iter().map(|row| row[member].clone()).collect()
    }
}

/// Rows that need most rules: damaged text, debris, twins, a clash, a placeholder, values of the wrong kind.
pub(crate) const ROWS: &str = r#"{"id":"a1","name":"Quiet harbor at dawn","description":"  It\u00e2\u20ac\u2122s a  caf\u00c3\u00a9 by the harbor, where boats wait for the slow morning light to come in.","depth":"7","symbolic_pairing":"x-y","emotional_tone":"Gate 3","created_from_chat":"TRUE"}
{"id":"a2","name":"Salt lantern of the...","description":"A lantern of salt, and the grief that it lights on the way home through the narrow, wet streets.","depth":2,"symbolic_pairing":" ","emotional_tone":null,"created_from_chat":false}
{"id":"a3","name":"fog","description":"thin","depth":null,"note":"kept as it is"}
{"id":"a4","name":"Quiet  Harbor at Dawn","description":"Another row with the address of the first, in other words.","depth":3}
{"id":"a5","name":"S\u0307tone \"quoted\", and a comma","description":"Lines\nof text; it's (unbalanced","triggers":["tide","stone"],"depth":4}
"#;

/// What another program printed, which must end well; `None`, said on stderr, where this machine does not have it. With
/// `OPS_REQUIRE_LIVE=1` that fails.
pub(crate) fn other(command: &mut Command) -> Option<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let is_required = std::env::var("OPS_REQUIRE_LIVE").is_ok_and(|value| value == "1");
            assert!(!is_required, "{program} is needed");
            // Past the capture of the test harness.
            let _ = writeln!(io::stderr(), "skipped: a test needs {program}");
            return None;
        }
        Err(error) => panic!("{program}: {error}"),
    };
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}
