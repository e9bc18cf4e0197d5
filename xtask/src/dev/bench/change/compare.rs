//! Part `compare`: which rows are new, changed, the same, and only live.

use std::fs::File;
use std::io;
use std::path::Path;

use serde_json::Value;

use super::super::peers;
use super::super::race::{self, Contender, Race};
use super::super::{Bench, Comparison, Missing};
use super::{Change, count, path};

/// Live and desired rows of the full size.
const ROWS: u64 = 1_000_000;

/// The scanners are extensions that DuckDB itself would download from its own server.
const PYTHON: [&str; 4] = [
    "duckdb==1.5.5",
    "duckdb-extension-sqlite-scanner==1.5.5",
    "duckdb-extension-postgres-scanner==1.5.5",
    "psycopg[binary]==3.2.9",
];

/// Where the live rows are.
struct Side<'a> {
    name: &'static str,
    /// As our program and as the peers name it.
    target: String,
    source: &'a str,
    /// How long we may take as long as DuckDB, plainly and with a backup; how much faster than a dictionary we want to be.
    duckdb: [f64; 2],
    dict: f64,
}

pub(super) fn rows(bench: &Bench) -> u64 {
    if bench.quick { ROWS / 10 } else { ROWS }
}

impl Change<'_> {
    pub(super) fn compare(&mut self, more: Option<u64>) -> anyhow::Result<()> {
        let rows = rows(self.bench);
        let data = self.data(rows, "plan", &["db", "desired", "copy"])?;
        let live = data.join("live.db");
        let (desired, live) = (data.join("desired.ndjson"), path(&live).to_owned());
        let target = format!("sqlite:{live}");
        let sqlite =
            Side { name: "sqlite", target, source: &live, duckdb: [1.0 / 1.3, 1.0 / 2.5], dict: 6.0 };
        self.side(&sqlite, &desired, rows)?;
        self.growth(rows, more.unwrap_or(rows * 5))?;
        let Some(url) = self.server.as_ref().map(|server| server.database.clone()) else { return Ok(()) };
        self.by_hand(&["load", &url, path(&data.join("live.copy"))])?;
        let target = url.clone();
        let postgres =
            Side { name: "postgres", target, source: &url, duckdb: [1.0 / 1.6, 1.0 / 2.5], dict: 4.0 };
        self.side(&postgres, &desired, rows)?;
        self.by_hand(&["drop", &url])?;
        Ok(())
    }

    /// Ours against the peers, without a backup and with one.
    fn side(&mut self, side: &Side<'_>, desired: &Path, rows: u64) -> anyhow::Result<()> {
        let (kind, source, file) = (side.name, side.source, path(desired));
        let python = peers::python_with(self.bench, &PYTHON);
        let goal = |times: f64| (!self.bench.quick).then_some(times);
        let mut peers = Vec::new();
        for (n, about) in ["compare", "compare and back up"].into_iter().enumerate() {
            let mut contenders = vec![self.planning(&side.target, desired, n > 0)?];
            match &python {
                Ok(python) => {
                    let duckdb =
                        [python, "-I", "-c", include_str!("../change_duckdb.py"), kind, source, file];
                    let duckdb = Contender::new("DuckDB 1.5.5", &duckdb).speed(goal(side.duckdb[n]));
                    contenders.push(if n == 0 { duckdb.memory(goal(8.0)) } else { duckdb });
                }
                Err(why) => peers.push(Missing { peer: "DuckDB 1.5.5 with its scanners", why: why.clone() }),
            }
            if let (0, Ok(python)) = (n, &python) {
                let dict = [python, "-I", "-c", include_str!("../change_dict.py"), kind, source, file];
                let dict = Contender::new("a Python dict", &dict).speed(goal(side.dict));
                contenders.push(Contender { rounds: SLOW_ROUNDS, ..dict });
            }
            self.race_of(format!("{kind}: {about}"), contenders, &[Path::new(source), desired], rows)?;
        }
        self.missing.append(&mut peers);
        Ok(())
    }

    fn race_of(
        &mut self,
        about: String,
        contenders: Vec<Contender>,
        files: &[&Path],
        rows: u64,
    ) -> anyhow::Result<()> {
        let bench = self.bench;
        let race = Race {
            about,
            contenders,
            before: &|| {
                bench.cargo.sh.remove_path(bench.folder.join("plans"))?;
                files.iter().try_for_each(|file| warm(file))
            },
            look: &mut |_, answer| agree(answer, rows),
            rate: None,
        };
        self.results.extend(race.run(&bench.cargo.sh, &bench.folder, bench.pairs)?);
        Ok(())
    }

    /// Our planning of these rows.
    fn planning(&self, target: &str, desired: &Path, has_backup: bool) -> anyhow::Result<Contender> {
        let plans = self.scratch("plans")?;
        let gates = plans.join("gates.ndjson");
        let program = path(&self.bench.program);
        let mut command = vec![program, "backup-plan", "--target", target, "--table", "items", "--key", "id"];
        command.extend([
            "--desired",
            path(desired),
            "--out",
            path(&plans),
            "--gates",
            path(&gates),
            "--json",
        ]);
        command.extend((!has_backup).then_some("--no-backup"));
        Ok(Contender::new("ours", &command))
    }

    /// Our peak memory with many rows against that with few.
    fn growth(&mut self, few: u64, many: u64) -> anyhow::Result<()> {
        let mut peaks = Vec::new();
        for rows in [few, many] {
            let outputs: &[&str] = if rows == few { &["db", "desired", "copy"] } else { &["db", "desired"] };
            let data = self.data(rows, "plan", outputs)?;
            let target = format!("sqlite:{}", path(&data.join("live.db")));
            let ours = self.planning(&target, &data.join("desired.ndjson"), true)?;
            let ours = Contender { name: format!("ours with {rows} rows"), ..ours };
            let (peak, answer) = race::once(&self.bench.cargo.sh, &self.bench.folder, &ours)?;
            agree(&answer, rows)?;
            peaks.push(peak / 1e6);
            if rows != few {
                self.bench.cargo.sh.remove_path(data)?;
            }
        }
        let name = format!("sqlite: compare and back up, peak memory with {many} rows against {few}");
        let goal = (!self.bench.quick && many <= few * 5).then_some(0.5);
        self.results.push(Comparison::less(name, peaks[1], peaks[0], "MB", goal));
        Ok(())
    }
}

/// Rounds of a contender that is many times slower.
const SLOW_ROUNDS: u64 = 3;

/// Reads what is a file, so that it is in memory.
fn warm(file: &Path) -> anyhow::Result<()> {
    if file.is_file() {
        io::copy(&mut File::open(file)?, &mut io::sink())?;
    }
    Ok(())
}

/// Whether an answer counts what the data has by its making. Ours is the manifest of the plan.
fn agree(answer: &str, rows: u64) -> anyhow::Result<()> {
    let answer: Value = serde_json::from_str(answer)?;
    let counts = answer.pointer("/plan/counts").unwrap_or(&answer);
    let percent = rows / 100;
    let expected = [percent, percent, rows - 2 * percent, percent];
    for (name, expected) in ["insert", "update", "unchanged", "only_live"].into_iter().zip(expected) {
        let found = count(counts, &format!("/{name}"))?;
        anyhow::ensure!(found == expected, "{name}: {found}, not {expected}");
    }
    Ok(())
}
