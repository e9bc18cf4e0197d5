//! A folder with a database of waiting phases, a way to drain it with a shell script, and questions to it.
//!
//! Nothing here asserts what a drain should do; that is for the tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::types::FromSql;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::command::{xtask, xtask_std};

/// Delivers what every phase of [`World::new`] asks for and says so.
pub(crate) const GOOD: &str = "echo text > out.txt; echo '{\"status\": \"success\", \"output_tokens\": 1832, \
    \"input_tokens\": 1204, \"max_tokens\": 8192, \"stop_reason\": \"end_turn\", \"model\": \"builder-1\"}'";

/// Sets `run` and `phase` from the JSON on stdin.
pub(crate) const WHO: &str = "cat > input.json
    run=$(sed -n 's/^ *\"run_id\": \"\\(.*\\)\",$/\\1/p' input.json)
    phase=$(sed -n 's/^ *\"phase_id\": \"\\(.*\\)\",$/\\1/p' input.json)
    ";

/// How long anything may take that is not a matter of time.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct World {
    dir: TempDir,
}

/// How a drain ended.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) code: i32,
    pub(crate) report: Value,
    pub(crate) stderr: String,
}

impl World {
    /// Run `r` with phases `p1` to `pN`, each of which must deliver `out.txt` once and may fail three times.
    pub(crate) fn new(phases: usize) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        let seed = ["seed-telemetry", "--db", "x.db", "--run-id", "r", "--seed-only"];
        let seeded = xtask(world.path()).args(seed).output().unwrap();
        assert!(seeded.status.success(), "{}", String::from_utf8_lossy(&seeded.stderr));
        world.sql(
            "UPDATE phases SET samples_target = 1, scope = '{\"deliverables\": [\"out.txt\"]}',
                phase_id = 'p' || (phase_index + 1)",
        );
        for more in 11..=phases {
            world.sql(&format!(
                "CREATE TEMP TABLE copy AS SELECT * FROM phases WHERE phase_id = 'p1';
                 UPDATE copy SET id = NULL, phase_id = 'p{more}', phase_index = {more} - 1;
                 INSERT INTO phases SELECT * FROM copy"
            ));
        }
        world.sql(&format!("DELETE FROM phases WHERE phase_index >= {phases}"));
        world
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The folder as a word of a shell script.
    pub(crate) fn root(&self) -> String {
        format!("'{}'", self.path().display())
    }

    /// Where attempts of a phase keep their files.
    pub(crate) fn attempts(&self, phase: &str) -> PathBuf {
        self.path().join(".ops/attempts/r").join(phase)
    }

    pub(crate) fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.path().join(path);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub(crate) fn touch(&self, name: &str) {
        fs::write(self.path().join(name), "").unwrap();
    }

    pub(crate) fn sql(&self, sql: &str) {
        let conn = self.connection();
        conn.execute_batch(&format!("PRAGMA foreign_keys = OFF; {sql}")).unwrap();
    }

    /// The first column of the first row.
    pub(crate) fn one<T: FromSql>(&self, sql: &str) -> T {
        self.connection().query_row(sql, [], |row| row.get(0)).unwrap_or_else(|e| panic!("{sql}: {e}"))
    }

    /// The rows of a query, one a line, their columns joined by ` | `.
    pub(crate) fn rows(&self, sql: &str) -> String {
        let conn = self.connection();
        let mut statement = conn.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let mut lines = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let cell = |i| match row.get::<_, rusqlite::types::Value>(i).unwrap() {
                rusqlite::types::Value::Null => "null".to_owned(),
                rusqlite::types::Value::Integer(n) => n.to_string(),
                rusqlite::types::Value::Real(x) => x.to_string(),
                rusqlite::types::Value::Text(text) => text,
                rusqlite::types::Value::Blob(_) => "blob".to_owned(),
            };
            lines.push((0..columns).map(cell).collect::<Vec<_>>().join(" | "));
        }
        lines.join("\n")
    }

    fn connection(&self) -> Connection {
        let conn = Connection::open(self.path().join("x.db")).unwrap();
        conn.busy_timeout(PATIENCE).unwrap();
        conn
    }

    /// Drains with `script` to its end.
    pub(crate) fn drain(&self, flags: &[&str], script: &str) -> Drained {
        self.start(flags, script, &[]).end()
    }

    /// Starts to drain with `script`.
    pub(crate) fn start(&self, flags: &[&str], script: &str, variables: &[(&str, &str)]) -> Running {
        self.start_program(flags, &["sh", "-c", script], variables)
    }

    pub(crate) fn start_program(
        &self,
        flags: &[&str],
        program: &[&str],
        variables: &[(&str, &str)],
    ) -> Running {
        let child = xtask_std(self.path())
            .args(["drain", "--db", "x.db", "--executor", "command", "--json"])
            .args(flags)
            .arg("--")
            .args(program)
            .env("TELEMETRY_DB_ENABLED", "1")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running { child }
    }

    /// Waits until a file below the folder exists and is not empty, and reads it.
    pub(crate) fn wait_for(&self, path: impl AsRef<Path>) -> String {
        let path = self.path().join(path);
        eventually(&format!("{} is written", path.display()), || {
            fs::metadata(&path).is_ok_and(|found| found.len() > 0)
        });
        self.read(path)
    }
}

/// A drain that runs.
pub(crate) struct Running {
    child: Child,
}

impl Running {
    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        assert!(shell(&format!("kill -{name} {}", self.child.id())), "the drain has ended already");
    }

    /// Waits for the end. A drain that was killed has no exit code: -1.
    pub(crate) fn end(self) -> Drained {
        let output = self.child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        Drained { code: output.status.code().unwrap_or(-1), report, stderr }
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        // Another process does not wake this one.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until none of the processes listed in `pids` is left; one that nobody has waited for is gone.
#[track_caller]
pub(crate) fn assert_gone(pids: &str) {
    assert!(!pids.trim().is_empty(), "no process was listed");
    for pid in pids.split_whitespace() {
        let is_zombie = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('Z'))
        };
        eventually(&format!("process {pid} is gone"), || !shell(&format!("kill -0 {pid}")) || is_zombie());
    }
}

/// Whether a shell command succeeds.
fn shell(command: &str) -> bool {
    Command::new("sh").args(["-c", command]).stderr(Stdio::null()).status().unwrap().success()
}
