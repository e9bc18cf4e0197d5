//! Area `backfill`: what a run costs beyond the calls that it makes, and what many candidates cost in memory.
//!
//! The calls are statements on a connection of their own, whose time is taken off, as is the time in which the books are
//! flushed to disk. Memory is that of our program, planning a long list, going on with a run over it, and taking it back.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ops::backfill::run::{Context, Order, Settings, apply};
use ops::backfill::select::{FileRef, Planned, Request, plan};
use ops::clock::Clock;
use ops::config::Config;
use ops::ids::Ids;
use ops::pace::RealPace;
use ops::target::Target;
use ops::target::calls::{Functions, Lost, Reply};
use ops::target::postgres::{PostgresOptions, PostgresTarget};
use ops::target::sqlite::{SqliteOptions, SqliteTarget};
use ops::url::DbUrl;
use ops::value::Value;
use xshell::cmd;

use super::change::server::Server;
use super::race::{self, Contender};
use super::{Bench, Comparison, Measured, Missing, peers};
use crate::output;

/// An operation may cost so many milliseconds beyond its call and the flushing of the books.
const MILLISECONDS_MAX: f64 = 2.0;
/// Planning or going on with the long list may take so many megabytes.
const MEGABYTES_MAX: f64 = 200.0;
/// Candidates whose operations are timed.
const TIMED: u64 = 500;
/// Candidates of the long list.
const MANY: u64 = 100_000;

const SETTINGS: &str = r#"
[backfills.bench]
table = "candidates"
id = "id"
per_minute = 1000000000
[[backfills.bench.results]]
table = "results"
link = "candidate"
key = ["candidate"]
stamp = { version = "v2" }
[[backfills.bench.steps]]
function = "score"
idempotent = true
"#;

const SCORE: &str = "INSERT INTO results (candidate, version) VALUES ($1, 'v2') \
                     ON CONFLICT (candidate) DO UPDATE SET version = excluded.version";

/// Two tables with every second candidate scored by another version.
fn tables(candidates: u64) -> String {
    let numbers =
        format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {candidates})");
    format!(
        "CREATE TABLE candidates (id text PRIMARY KEY NOT NULL);\n\
         CREATE TABLE results (candidate text PRIMARY KEY NOT NULL, version text);\n\
         {numbers} INSERT INTO candidates SELECT 'candidate-' || i FROM n;\n\
         {numbers} INSERT INTO results SELECT 'candidate-' || i, 'v1' FROM n WHERE i % 2 = 0;\n"
    )
}

/// Calls that are statements, and how long they took.
struct Statements {
    target: Mutex<(Box<dyn Target>, Duration)>,
}

impl Functions for Statements {
    fn call(&self, _: &str, body: &str, _: Duration) -> Reply {
        let began = Instant::now();
        let body: Option<serde_json::Value> = serde_json::from_str(body).ok();
        let id = body.and_then(|body| body["session_id"].as_str().map(str::to_owned)).unwrap_or_default();
        let Ok(mut held) = self.target.lock() else { return Reply::lost(Lost::NotSent) };
        let done = held.0.execute(SCORE, &[Value::Text(id)]);
        held.1 += began.elapsed();
        if done.is_ok() { Reply::status(200) } else { Reply::status(500) }
    }
}

pub(super) fn run(bench: &Bench) -> anyhow::Result<Measured> {
    let sh = &bench.cargo.sh;
    let folder = bench.folder.join("backfill");
    sh.remove_path(&folder)?;
    ops::files::create_dir(&folder)?;
    let (mut results, mut missing) = (Vec::new(), Vec::new());
    let timed = if bench.quick { TIMED / 5 } else { TIMED };
    match peers::sqlite3(sh) {
        Ok(_) => {
            let file = sqlite(bench, &folder, "timed.db", timed)?;
            let open = || -> anyhow::Result<Box<dyn Target>> {
                let DbUrl::Sqlite(url) = DbUrl::parse(&file.display().to_string(), &folder)? else {
                    anyhow::bail!("a path is a SQLite file")
                };
                Ok(Box::new(SqliteTarget::open(&url, &folder, SqliteOptions::default())?))
            };
            results.push(overhead("SQLite", &folder.join("sqlite"), open()?, open()?)?);
            results.extend(memory(bench, &folder)?);
        }
        Err(why) => missing.push(Missing { peer: "the sqlite3 shell, which makes the files", why }),
    }
    match Server::start(bench) {
        Ok(server) => {
            let script = folder.join("tables.sql");
            ops::files::write_atomic(&script, tables(timed).as_bytes())?;
            server.script(&script)?;
            let DbUrl::Postgres(url) = DbUrl::parse(&server.database, &folder)? else {
                anyhow::bail!("the stack has a PostgreSQL server")
            };
            let open = || PostgresTarget::connect(&url, PostgresOptions::default()).map(Box::new);
            results.push(overhead("PostgreSQL", &folder.join("postgres"), open()?, open()?)?);
        }
        Err(why) => missing.push(Missing { peer: "PostgreSQL", why }),
    }
    Ok(Measured { format: 1, area: "backfill", size: timed, pairs: 1, results, missing })
}

fn sqlite(bench: &Bench, folder: &Path, name: &str, candidates: u64) -> anyhow::Result<PathBuf> {
    let file = folder.join(name);
    let script = format!("PRAGMA journal_mode = wal;\n{}", tables(candidates));
    cmd!(bench.cargo.sh, "sqlite3 {file}").stdin(script).quiet().ignore_stdout().run()?;
    Ok(file)
}

/// A run in this process: its time an operation, without the calls and without flushing.
fn overhead(
    name: &str,
    out: &Path,
    mut target: Box<dyn Target>,
    calls: Box<dyn Target>,
) -> anyhow::Result<Comparison> {
    let config = Config::parse(SETTINGS, "bench")?;
    let now = Clock::System.now();
    let planned = plan(
        target.as_mut(),
        &Request {
            name: "bench",
            settings: &config.backfills["bench"],
            origin: FileRef { file: "bench", sha256: &config.digest },
            seed: None,
            functions: Some("http://127.0.0.1:9"),
            out,
            now,
            tool: "bench",
            limit: None,
        },
    )?;
    let Planned::Plan(dir) = planned else { anyhow::bail!("every candidate lacks a result") };
    let functions = Statements { target: Mutex::new((calls, Duration::ZERO)) };
    let mut context = Context {
        target: target.as_mut(),
        functions: &functions,
        pace: &mut RealPace::new(Clock::System),
        ids: &mut Ids::Os,
        stop: &AtomicBool::new(false),
        progress: &mut |_| {},
    };
    let began = Instant::now();
    let mut order = Order { resume: false, is_approved: true, gate: &mut |_, _| Ok(()) };
    let report = apply(&dir, &Settings::default(), &mut order, &mut context)?;
    let all = began.elapsed();
    anyhow::ensure!(report.failed() == 0 && report.not_reached == 0, "{}", report.why);
    let calls = functions.target.lock().map(|held| held.1).unwrap_or_default();
    let each = |span: Duration| span.as_secs_f64() * 1e3 / report.total as f64;
    let ours = each(all.saturating_sub(calls).saturating_sub(report.flushing));
    output::stderr(&format!(
        "{name}: {ours:.2} ms an operation; besides, the call {:.2} ms and flushing the books {:.2} ms\n",
        each(calls),
        each(report.flushing)
    ));
    let name = format!("overhead an operation on {name} against the limit");
    Ok(Comparison::less(name, ours, MILLISECONDS_MAX, "ms", Some(1.0)))
}

/// Our program over the long list: planning it, going on with a run over it, and taking it back.
fn memory(bench: &Bench, folder: &Path) -> anyhow::Result<Vec<Comparison>> {
    let many = if bench.quick { MANY / 10 } else { MANY };
    let file = sqlite(bench, folder, "many.db", many)?.display().to_string();
    let settings = SETTINGS.replace("function = \"score\"", &format!("sql = \"\"\"{SCORE}\"\"\""));
    let config = folder.join("ops.toml");
    ops::files::write_atomic(&config, settings.as_bytes())?;
    let (program, config) = (bench.program.display().to_string(), config.display().to_string());
    let (out, gates) =
        (folder.join("plans").display().to_string(), folder.join("gates.ndjson").display().to_string());
    let sh = &bench.cargo.sh;
    let mut results = Vec::new();
    let mut measure = |what: &str, command: &[&str]| -> anyhow::Result<()> {
        let sample = race::sample(sh, folder, &Contender::new(what, command))?;
        let megabytes = sample.peak_bytes / 1e6;
        output::stderr(&format!("{what}: {:.1} s, {megabytes:.0} MB\n", sample.seconds));
        let name = format!("{what} of {many} candidates, peak memory against the limit");
        results.push(Comparison::less(name, megabytes, MEGABYTES_MAX, "MB", Some(1.0)));
        Ok(())
    };
    let made = ["--config", &config, "--target", &file, "--out", &out, "--gates", &gates];
    measure("planning", &[&[&*program, "backfill", "plan"], &made[..]].concat())?;
    let dir = std::fs::read_dir(&out)?.next().context("a plan was made")??.path().display().to_string();
    let id = dir.rsplit('-').next().context("a plan has an id")?.to_owned();
    let begun = ["--plan", &dir, "--target", &file, "--apply", "--approve", &id, "--gates", &gates, "--json"];
    let first = (many / 10).to_string();
    // A canary ends with 5: what is measured is the program that goes on.
    let canary = [&["backfill", "apply"], &begun[..], &["--canary", &first]].concat();
    cmd!(sh, "{program} {canary...}").quiet().ignore_status().ignore_stdout().run()?;
    measure("going on with a run", &[&[&*program, "backfill", "apply"], &begun[..], &["--resume"]].concat())?;
    measure("taking back a run", &[&[&*program, "backfill", "rollback"], &begun[..]].concat())?;
    Ok(results)
}
