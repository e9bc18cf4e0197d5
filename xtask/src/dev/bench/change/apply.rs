//! Part `apply`: half inserts, half updates, random keys of text.
//!
//! Ours sends a plan with a journal, comparing each row with what the plan saw; the others overwrite. Everybody's
//! rate is rows over the seconds of the writing alone. What comes before (planning, sorting) and after (reading
//! back) does not count, and whoever took the whole payload must leave the same table.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use xshell::cmd;

use super::super::peers;
use super::super::race::{Contender, Race};
use super::{APPLY_ROWS, Change, count, path};

const PYTHON: [&str; 1] = ["psycopg[binary]==3.2.9"];

/// A plan of ours over data, ready to be applied again and again.
pub(super) struct Prepared {
    pub(super) folder: PathBuf,
    plan: PathBuf,
    id: String,
}

impl Prepared {
    /// Forgets that it was applied.
    fn renew(&self, sh: &xshell::Shell) -> anyhow::Result<()> {
        sh.remove_path(self.plan.join("apply"))?;
        Ok(sh.remove_path(self.folder.join("gates.ndjson"))?)
    }
}

/// Where the changes go, and how it is told what came of them.
pub(super) struct Place<'a> {
    pub(super) about: String,
    /// Makes the table what it was.
    pub(super) reset: &'a dyn Fn() -> anyhow::Result<()>,
    /// Tells one table from another.
    pub(super) digest: &'a dyn Fn() -> anyhow::Result<String>,
}

/// How the rows of a table lie in its file.
#[derive(Clone, Copy)]
struct Layout {
    about: &'static str,
    file: &'static str,
    /// What putting the rows in the order of their keys is to gain over Python, which does not.
    times_executemany: Option<f64>,
}

/// Where rows lie in the order of their keys, writing them in that order is several times as fast, whether they were
/// put there in that order or the table keeps it. Where every row lies somewhere else, each is a page of its own for
/// everybody, and no order of keys helps: sorted by hand it is twice as fast as Python, no more.
const LAYOUTS: [Layout; 3] = [
    Layout { about: "", file: "live.ordered", times_executemany: Some(3.0) },
    Layout { about: ", without rowid", file: "live.clustered", times_executemany: Some(3.0) },
    Layout { about: ", rows in random order", file: "live.db", times_executemany: None },
];

/// Marks a contender that changes only a part of the rows: its table cannot be that of the others.
const PART: &str = " (part)";

impl Change<'_> {
    pub(super) fn apply_sqlite(&mut self) -> anyhow::Result<()> {
        let (data, changes) = self.apply_data()?;
        LAYOUTS.into_iter().try_for_each(|layout| self.apply_layout(&data, layout, changes))
    }

    pub(super) fn apply_rows(&self) -> u64 {
        if self.bench.quick { APPLY_ROWS / 10 } else { APPLY_ROWS }
    }

    /// The folder of the rows, and how many changes they ask for.
    fn apply_data(&self) -> anyhow::Result<(PathBuf, u64)> {
        let rows = self.apply_rows();
        let data = self.data(rows, "apply", &["ordered", "clustered", "db", "desired", "copy"])?;
        Ok((data, rows * 4 / 5))
    }

    fn apply_layout(&mut self, data: &Path, layout: Layout, changes: u64) -> anyhow::Result<()> {
        let (work, desired) = (data.join("work.db"), data.join("desired.ndjson"));
        let (file, wanted) = (path(&work).to_owned(), path(&desired).to_owned());
        let sh = &self.bench.cargo.sh;
        let reset = || -> anyhow::Result<()> {
            for end in ["-wal", "-shm"] {
                sh.remove_path(format!("{file}{end}"))?;
            }
            sh.copy_file(data.join(layout.file), &work)?;
            // What was just copied shall not be written to the disk on a contender's time.
            Ok(cmd!(sh, "sync").quiet().run()?)
        };
        reset()?;
        let target = format!("sqlite:{file}");
        let prepared = self.prepare("sqlite", &target, &desired, &[])?;
        let (all, part) = (changes.to_string(), (changes / 4).to_string());
        for (batch, mode) in [("200", "full"), ("1000", "normal")] {
            let normal: &[&str] = if mode == "normal" { &["--sqlite-normal"] } else { &[] };
            let mut contenders = vec![self.applying(&prepared, &target, batch, normal)];
            let way = self.way(&[&format!("sqlite-{mode}"), &file, &wanted, batch, &all]);
            contenders.push(
                Contender { command: way, ..Contender::new("sorted by hand", &[]) }.speed(self.goal(0.6)),
            );
            let (script, kind) = (include_str!("../change_executemany.py"), format!("sqlite-{mode}"));
            let python = [peers::PYTHON, "-I", "-c", script, &kind, &file, &wanted, batch, &part];
            let name = partly("Python's executemany");
            let goal = layout.times_executemany.and_then(|times| self.goal(times));
            contenders.push(Contender::new(name, &python).speed(goal));
            if mode == "full" {
                let few = (changes / 40).to_string();
                let way = self.way(&["sqlite-rows", &file, &wanted, "1", &few]);
                let name = partly("row by row");
                contenders
                    .push(Contender { command: way, ..Contender::new(name, &[]) }.speed(self.goal(4.0)));
            }
            let about =
                format!("sqlite{}: apply {batch} rows a batch, {}", layout.about, mode.to_uppercase());
            let digest = || self.by_hand(&["digest-sqlite", &file]);
            let place = Place { about, reset: &reset, digest: &digest };
            let results = self.applies(&prepared, &place, contenders)?;
            self.results.extend(results);
        }
        Ok(())
    }

    pub(super) fn apply_postgres(&mut self) -> anyhow::Result<()> {
        let (data, changes) = self.apply_data()?;
        let Some(url) = self.server.as_ref().map(|server| server.database.clone()) else { return Ok(()) };
        self.by_hand(&["load", &url, path(&data.join("live.copy"))])?;
        let desired = data.join("desired.ndjson");
        let prepared = self.prepare("postgres", &url, &desired, &[])?;
        let wanted = path(&desired).to_owned();
        let (all, part, few) = (changes.to_string(), (changes / 4).to_string(), (changes / 40).to_string());
        let way = |change: &Self, name: &str, args: [&str; 3]| {
            let [way, batch, rows] = args;
            let command = change.way(&[way, &url, &wanted, batch, rows]);
            Contender { command, ..Contender::new(name, &[]) }
        };
        let mut contenders = vec![self.applying(&prepared, &url, "200", &[])];
        contenders.push(way(self, "VALUES by hand, sorted", ["values", "200", &all]).speed(self.goal(0.6)));
        contenders.push(way(self, "UNNEST by hand, sorted", ["unnest", "200", &all]).speed(self.goal(0.6)));
        let name = partly("row by row");
        contenders.push(way(self, &name, ["rows", "1", &few]).speed(self.goal(4.0)));
        let name = partly("row by row, 200 a transaction");
        contenders.push(way(self, &name, ["rows-in-transactions", "200", &part]));
        match peers::python_with(self.bench, &PYTHON) {
            Ok(python) => {
                let script = include_str!("../change_executemany.py");
                let command = [&python, "-I", "-c", script, "postgres", &url, &wanted, "200", &part];
                contenders.push(Contender::new(partly("psycopg's executemany"), &command));
            }
            Err(why) => self.missing.push(super::Missing { peer: "psycopg", why }),
        }
        let large = [
            self.applying(&prepared, &url, "10000", &[]),
            way(self, "UNNEST by hand, sorted", ["unnest", "10000", &all]).speed(self.goal(0.6)),
            way(self, "COPY by hand, sorted", ["copy", "10000", &all]).speed(self.goal(0.6)),
            way(self, "COPY by hand, 50,000 rows a batch, sorted", ["copy", "50000", &all]),
        ];
        for (batch, contenders) in [("200", contenders), ("10,000", large.into())] {
            let reset = || self.by_hand(&["reset", &url]).map(drop);
            let digest = || self.by_hand(&["digest-postgres", &url]);
            let about = format!("postgres: apply {batch} rows a batch");
            let place = Place { about, reset: &reset, digest: &digest };
            let results = self.applies(&prepared, &place, contenders)?;
            self.results.extend(results);
        }
        self.by_hand(&["drop", &url])?;
        Ok(())
    }

    /// A goal that is for the full size.
    pub(super) fn goal(&self, times: f64) -> Option<f64> {
        (!self.bench.quick).then_some(times)
    }

    /// A plan of ours, with its backup.
    pub(super) fn prepare(
        &self,
        name: &str,
        target: &str,
        desired: &Path,
        env: &[(&'static str, String)],
    ) -> anyhow::Result<Prepared> {
        let folder = self.scratch(&format!("plan-{name}"))?;
        let (program, gates) = (&self.bench.program, folder.join("gates.ndjson"));
        let planned = cmd!(
            self.bench.cargo.sh,
            "{program} backup-plan --target {target} --table items --key id --desired {desired} --out {folder}
                --gates {gates} --json"
        );
        let text = planned.quiet().envs(env.iter().map(|(name, value)| (name, value))).read()?;
        let manifest: Value = serde_json::from_str(&text)?;
        let id = manifest["id"].as_str().context("the plan has no id")?.to_owned();
        let plan =
            folder.join(format!("plan-{}", manifest["short"].as_str().context("the plan has no short id")?));
        Ok(Prepared { folder, plan, id })
    }

    /// Ours.
    pub(super) fn applying(
        &self,
        prepared: &Prepared,
        target: &str,
        batch: &str,
        more: &[&str],
    ) -> Contender {
        let Prepared { folder, plan, id } = prepared;
        let (program, gates) = (path(&self.bench.program), folder.join("gates.ndjson"));
        let mut command =
            vec![program, "upsert", "--target", target, "--plan", path(plan), "--apply", "--approve"];
        command.extend([id, "--gates", path(&gates), "--batch-size", batch, "--json"]);
        command.extend(more);
        Contender::new("ours", &command)
    }

    /// Runs contenders over the same changes.
    pub(super) fn applies(
        &self,
        prepared: &Prepared,
        place: &Place<'_>,
        contenders: Vec<Contender>,
    ) -> anyhow::Result<Vec<super::Comparison>> {
        let mut first = None;
        let bench = self.bench;
        let race = Race {
            about: place.about.clone(),
            contenders,
            before: &|| {
                prepared.renew(&bench.cargo.sh)?;
                (place.reset)()
            },
            look: &mut |name, _| {
                if !name.ends_with(PART) {
                    let left = (place.digest)()?;
                    let expected = first.get_or_insert_with(|| left.clone());
                    anyhow::ensure!(left == *expected, "the table is {left}, not {expected}");
                }
                Ok(())
            },
            rate: Some(rate),
        };
        race.run(&bench.cargo.sh, &bench.folder, bench.pairs)
    }
}

/// The name of a contender that changes only some of the rows.
pub(super) fn partly(name: &str) -> String {
    format!("{name}{PART}")
}

/// Rows a second, from the report of a run of ours or from what a peer says.
fn rate(answer: &str) -> anyhow::Result<f64> {
    let answer: Value = serde_json::from_str(answer)?;
    let seconds = |pointer| {
        let seconds = answer.pointer(pointer).and_then(Value::as_f64).filter(|seconds| *seconds > 0.0);
        seconds.with_context(|| format!("the answer has no {pointer}"))
    };
    if answer.get("ledger").is_none() {
        return Ok(count(&answer, "/rows")? as f64 / seconds("/seconds")?);
    }
    let applied = count(&answer, "/ledger/ended/applied")?;
    anyhow::ensure!(applied == count(&answer, "/ledger/total")?, "ours did not apply everything");
    Ok(applied as f64 / seconds("/seconds/apply")?)
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn a_rate_is_of_the_writing_alone_and_of_all_rows() {
        let is = |answer: &str, expected: f64| (rate(answer).unwrap() - expected).abs() < 1e-9;
        let ours = |applied: u64| {
            let ledger = format!(r#"{{"total": 8, "ended": {{"applied": {applied}}}}}"#);
            format!(r#"{{"ledger": {ledger}, "seconds": {{"apply": 2, "verify": 9}}}}"#)
        };
        assert!(is(&ours(8), 4.0));
        assert!(rate(&ours(7)).is_err());
        assert!(is(r#"{"rows": 9, "seconds": 3}"#, 3.0));
        assert!(rate("{}").is_err());
    }
}
