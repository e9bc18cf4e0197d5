//! `backfill` from outside: a plan, its run and the way back, judged by SQL and by what the server saw.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[path = "backfill/guarded.rs"]
mod guarded;
#[path = "backfill/killed.rs"]
mod killed;
#[path = "backfill/pacing.rs"]
mod pacing;
#[path = "backfill/papers.rs"]
mod papers;
#[path = "backfill/seeded.rs"]
mod seeded;
#[path = "backfill/steps.rs"]
mod steps;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;
#[path = "backfill/world.rs"]
mod world;

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use ops::backfill::run::{Context, Order, Progress, Settings, apply};
use ops::backfill::select::{FileRef, Planned, Request, plan};
use ops::change::apply::End;
use ops::clock::Stamp;
use ops::config::Config;
use ops::ids::Ids;
use ops::pace::{Pace, VirtualPace};
use ops::target::calls::{Functions, Lost, Reply};
use ops::target::sqlite::{SqliteOptions, SqliteTarget};
use ops::url::DbUrl;
use world::{Fault, Profile, World, score, session, uuid};

const FAST: Duration = Duration::ZERO;

/// How much bigger than in a usual run of the tests.
fn long() -> bool {
    std::env::var("OPS_BACKFILL_LONG").is_ok()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Does something while four sessions of live users arrive and are scored.
fn while_users_arrive<T>(world: &World, work: impl FnOnce() -> T) -> T {
    let database = world.database();
    let live = std::thread::spawn(move || {
        let conn = rusqlite::Connection::open(&database).unwrap();
        conn.busy_timeout(Duration::from_secs(10)).unwrap();
        for n in 200..204 {
            std::thread::sleep(Duration::from_millis(60));
            session(&conn, n, Profile::None, false);
            score(&database, "score_fc_session", &uuid(n), true);
            score(&database, "score_prism", &uuid(n), true);
        }
    });
    let done = work();
    live.join().unwrap();
    done
}

#[test]
fn a_run_is_taken_back_to_the_bit_and_nobody_else_is_touched() {
    let world = World::new(FAST);
    let (folder, id) = world.plan("");
    let facts = json(&std::fs::read_to_string(folder.join("plan.json")).unwrap());
    assert_eq!(facts["plan"]["candidates"], 39);
    assert_eq!(
        facts["plan"]["expected"][0],
        serde_json::json!({"table": "fc_scores", "new": 39, "updated": 0})
    );
    assert_eq!(
        facts["plan"]["expected"][1],
        serde_json::json!({"table": "profiles", "new": 13, "updated": 26})
    );
    let before = world.dump();

    let dry = world.ends(0, &format!("backfill apply --plan {id}"));
    assert!(dry.stdout.contains("Nothing was sent but reads"), "{}", dry.stdout);
    assert_eq!((world.dump(), world.scorer.calls()), (before.clone(), 0));
    world.ends(6, &format!("backfill apply --plan {id} --apply"));
    world.ends(3, &format!("backfill apply --plan {id} --apply --approve 000000000000"));
    assert_eq!(world.dump(), before);

    let ran = while_users_arrive(&world, || {
        world.ends(0, &format!("backfill apply --plan {id} --apply --approve {id}"))
    });
    assert!(ran.stdout.contains("39 = 39 verified"), "{}", ran.stdout);
    let conn = world.conn();
    for n in 204..209 {
        session(&conn, n, Profile::Current, true);
    }
    drop(conn);
    let current = "SELECT count(*) FROM profiles WHERE results_version = 'v1.2.1'";
    assert_eq!(world.count(current), 39 + 1 + 9);
    let applied = world.dump();

    let again = world.ends(0, &format!("backfill apply --plan {id} --apply"));
    assert!(again.stdout.contains("Already applied: nothing was done."), "{}", again.stdout);
    assert_eq!((world.dump(), world.scorer.calls()), (applied.clone(), 78));

    let rehearsal = world.ends(0, &format!("backfill rollback --plan {id}"));
    assert!(rehearsal.stdout.contains("Nothing was written."), "{}", rehearsal.stdout);
    assert_eq!(world.dump(), applied);
    let back = world.ends(0, &format!("backfill rollback --plan {id} --apply --approve {id} --json"));
    let back = json(&back.stdout);
    assert_eq!(
        (&back["verified"], &back["different"], &back["kept"]),
        (&78.into(), &0.into(), &serde_json::json!([]))
    );

    let others = |row: &&String| (200..209).any(|n| row.contains(&uuid(n)));
    let after = world.dump();
    let ours: Vec<&String> = after.iter().filter(|row| !others(row)).collect();
    assert_eq!(ours, before.iter().collect::<Vec<_>>());
    let theirs = |rows: &[String]| rows.iter().filter(others).cloned().collect::<Vec<_>>();
    assert_eq!(theirs(&after), theirs(&applied));
    assert_eq!(theirs(&after).len(), 27);
    let twice =
        json(&world.ends(0, &format!("backfill rollback --plan {id} --apply --approve {id} --json")).stdout);
    assert_eq!(world.dump(), after);
    assert_eq!(twice["tables"][1]["already"], 39);
    world.ends(3, &format!("backfill apply --plan {id} --apply"));
    world.ends(0, "gates audit");
}

/// The script alone does what the task does.
#[test]
fn the_script_takes_a_run_back_without_the_program() {
    let world = World::new(FAST);
    let (folder, id) = world.plan("");
    let before = world.dump();
    world.ends(0, &format!("backfill apply --plan {id} --apply --approve {id}"));
    world.conn().execute("UPDATE profiles SET note = 'by a user' WHERE session_id = ?1", [uuid(7)]).unwrap();
    let script = std::fs::read_to_string(folder.join("backfill_logs/rollback_2026-01-02.sql")).unwrap();
    world.conn().execute_batch(&script.replace("SELECT count", "--")).unwrap();
    let after = world.dump();
    let user = |row: &&String| row.starts_with("profiles|") && row.contains(&uuid(7));
    assert_eq!(
        after.iter().filter(|row| !user(row)).collect::<Vec<_>>(),
        before.iter().filter(|row| !user(row)).collect::<Vec<_>>()
    );
    assert!(after.iter().find(user).unwrap().contains("'by a user'"));
}

#[test]
fn a_row_that_changed_since_is_kept_and_listed() {
    let world = World::new(FAST);
    let (_, id) = world.plan("");
    world.ends(0, &format!("backfill apply --plan {id} --apply --approve {id}"));
    world.conn().execute("UPDATE profiles SET note = 'by a user' WHERE session_id = ?1", [uuid(30)]).unwrap();
    world.conn().execute("DELETE FROM fc_scores WHERE session_id = ?1", [uuid(31)]).unwrap();
    let back =
        json(&world.ends(5, &format!("backfill rollback --plan {id} --apply --approve {id} --json")).stdout);
    assert_eq!(back["kept"].as_array().unwrap().len(), 1);
    assert_eq!(back["kept"][0]["id"], uuid(30));
    assert_eq!(world.count("SELECT count(*) FROM profiles WHERE note = 'by a user'"), 1);
    assert_eq!(world.count("SELECT count(*) FROM fc_scores WHERE version = 'v1.2'"), 1);
}

/// Runs with a fault, and gives back the report and the exit code.
fn faulty(
    policy: impl Fn(&str, usize, usize) -> Fault + Send + Sync + 'static,
    more: &str,
) -> (World, i32, serde_json::Value) {
    let world = World::new(FAST);
    let (_, id) = world.plan("");
    world.scorer.misbehave(policy);
    let line = format!("backfill apply --plan {id} --apply --approve {id} --json --retry-pause 0.01 {more}");
    let ran = world.run(&line);
    let report = json(&ran.stdout);
    // The summary and the database agree, whatever happened.
    let verified = report["ended"]["verified"].as_i64().unwrap_or(0);
    let done = "SELECT count(*) FROM profiles p JOIN fc_scores f USING (session_id)
        WHERE p.results_version = 'v1.2.1' AND f.version = 'v1.2' AND f.fc_kind = 'functions'";
    assert_eq!(world.count(done) - 1, verified, "{report}");
    let (folder, _) = world.only_plan();
    let summary = std::fs::read_to_string(folder.join("backfill_summary.md")).unwrap();
    assert!(summary.contains(&format!("{verified} (")), "{summary}");
    (world, ran.code, report)
}

#[test]
fn each_fault_is_counted_for_what_it_is() {
    let all = |word: &str| serde_json::json!({ word: 39 });
    for (name, fault, code, ended) in [
        ("every call fails", Fault::Status(500), 5, all("failed")),
        ("refused", Fault::Status(400), 5, all("refused")),
        ("out of resources", Fault::Status(546), 5, all("failed")),
        ("says done, writes nothing", Fault::NoData, 5, all("no_data")),
        ("another version", Fault::Stamp, 5, all("wrong_stamp")),
        ("504 after the commit", Fault::After(504), 0, all("verified")),
        ("no answer after the commit", Fault::Cut, 0, all("verified")),
    ] {
        let (world, found, report) = faulty(move |_, _, _| fault, "--timeout 5 --max-errors 100");
        assert_eq!((found, &report["ended"]), (code, &ended), "{name}: {report}");
        let late = if code == 0 { 39 } else { 0 };
        assert_eq!(report["found_by_reading_back"], late, "{name}");
        // A session ends at its first failed operation: the second function is not called.
        let twice = world.scorer.log.lock().unwrap().iter().any(|seen| seen.function == "score_prism");
        assert_eq!(twice, code == 0, "{name}");
        assert!(world.scorer.writes().values().all(|writes| *writes == 1), "{name}");
    }
}

#[test]
fn every_third_failing_is_a_third_failed_and_they_can_be_tried_again() {
    let third = |function: &str, session: usize, _: usize| {
        if function == "score_prism" && session % 3 == 2 { Fault::Status(500) } else { Fault::None }
    };
    let (world, code, report) = faulty(third, "--timeout 5 --max-errors 100");
    assert_eq!((code, &report["ended"]), (5, &serde_json::json!({"verified": 26, "failed": 13})));
    let error = &report["errors"][0];
    assert_eq!(error["why"], "HTTP 500: the engine is out of order");
    let (folder, id) = world.only_plan();
    let log = json(&std::fs::read_to_string(folder.join("backfill_logs/batch_prism.json")).unwrap());
    assert_eq!((log["operations_log"].as_array().unwrap().len(), &log["sessions_failed"]), (78, &13.into()));
    let failed = log["operations_log"].as_array().unwrap().iter().find(|op| op["success"] == false).unwrap();
    assert_eq!(failed["error"]["status"], 500);
    assert_eq!(failed["error"]["message"], "HTTP 500: the engine is out of order");
    world.scorer.misbehave(|_, _, _| Fault::None);
    let report = json(&world.ends(0, &format!("backfill apply --plan {id} --apply --resume --json")).stdout);
    assert_eq!(report["ended"], serde_json::json!({"verified": 39}));
    assert!(world.scorer.writes().values().all(|writes| *writes == 1));
}

#[test]
fn what_passes_is_tried_again_and_what_hangs_is_given_up() {
    let once = |_: &str, session: usize, before: usize| {
        if before == 0 && session < 4 {
            [429, 503, 504, 546].map(Fault::Status)[session]
        } else {
            Fault::None
        }
    };
    let (_, code, report) = faulty(once, "--timeout 5");
    assert_eq!((code, &report["ended"]), (0, &serde_json::json!({"verified": 39})));
    let hang = |_: &str, session: usize, _: usize| if session == 2 { Fault::Hang } else { Fault::None };
    let (_, code, report) = faulty(hang, "--timeout 0.2");
    assert_eq!((code, &report["ended"]), (5, &serde_json::json!({"verified": 38, "timed_out": 1})));
}

#[test]
fn too_many_errors_halt_the_run() {
    let (world, code, report) = faulty(|_, _, _| Fault::Status(500), "--timeout 5");
    assert_eq!((code, &report["ended"]), (5, &serde_json::json!({"failed": 10})));
    assert_eq!((&report["not_reached"], world.scorer.calls()), (&29.into(), 10));
    assert!(report["why"].as_str().unwrap().contains("halts at 10"), "{report}");
}

#[test]
fn a_canary_waits_for_somebody_who_looked() {
    let world = World::new(FAST);
    let (_, id) = world.plan("");
    let line = format!("backfill apply --plan {id} --apply --approve {id} --canary 3 --json");
    let report = json(&world.ends(5, &line).stdout);
    assert_eq!((&report["ended"], &report["not_reached"]), (&serde_json::json!({"verified": 3}), &36.into()));
    world.ends(6, &format!("backfill apply --plan {id} --apply --resume"));
    assert_eq!(world.scorer.calls(), 6);
    world.ends(0, &format!("backfill apply --plan {id} --apply --resume --approve {id}"));
    assert_eq!(world.scorer.calls(), 78);
}

#[test]
fn nothing_to_do_is_said_and_no_plan_is_made() {
    let world = World::new(FAST);
    for n in 0..39 {
        score(&world.database(), "score_fc_session", &uuid(n), true);
        score(&world.database(), "score_prism", &uuid(n), true);
    }
    let ran = world.ends(0, &format!("backfill plan --target live.db --functions {}", world.scorer.url));
    assert!(ran.stdout.contains("Nothing to do: of 40 rows none lacks a result."), "{}", ran.stdout);
    assert_eq!(std::fs::read_dir(world.path(".ops/backfills")).unwrap().count(), 0);
}

#[test]
fn an_edited_plan_and_another_database_are_refused() {
    let world = World::new(FAST);
    let (folder, id) = world.plan("");
    std::fs::copy(world.database(), world.path("copy.db")).unwrap();
    world.ends(3, &format!("backfill apply --plan {id} --target copy.db --apply --approve {id}"));
    let list = folder.join("candidates.ndjson");
    let text = std::fs::read_to_string(&list).unwrap();
    ops::files::write_atomic(&list, text.replacen("missing", "current", 1).as_bytes()).unwrap();
    let ran = world.ends(3, &format!("backfill apply --plan {id} --apply --approve {id}"));
    assert!(ran.stderr.contains("is not what was made"), "{}", ran.stderr);
    assert_eq!(world.scorer.calls(), 0);
}

#[test]
fn an_interrupt_ends_it_cleanly_with_everything_on_disk() {
    let world = World::new(FAST);
    world.settings(1200);
    let (folder, id) = world.plan("");
    let line = format!("backfill apply --plan {id} --apply --approve {id} --json");
    let mut command = support::command::xtask_std(world.dir.path());
    command.args(line.split(' ')).envs(World::variables());
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    while world.scorer.calls() < 9 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was interrupted");
        std::thread::sleep(Duration::from_millis(2));
    }
    let interrupt = ["-INT", &child.id().to_string()];
    assert!(std::process::Command::new("kill").args(interrupt).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let report = json(&String::from_utf8(output.stdout).unwrap());
    let verified = report["ended"]["verified"].as_i64().unwrap();
    assert_eq!(world.count("SELECT count(*) FROM fc_scores WHERE version = 'v1.2'") - 1, verified);
    assert_eq!(report["not_reached"], 39 - verified);
    for file in
        ["backfill_summary.md", "backfill_logs/batch_prism.json", "backfill_logs/execution_results.json"]
    {
        assert!(folder.join(file).exists(), "{file}");
    }
    let status = world.ends(0, &format!("backfill status --plan {id}"));
    assert!(status.stdout.contains("not_reached"), "{}", status.stdout);
    world.ends(0, &format!("backfill apply --plan {id} --apply --resume"));
    assert!(world.scorer.writes().values().all(|writes| *writes == 1));
}

/// Functions that are not there.
struct Nobody;

impl Functions for Nobody {
    fn call(&self, _: &str, _: &str, _: Duration) -> Reply {
        Reply::lost(Lost::NotSent)
    }
}

/// Functions in this process, on a clock of their own.
struct Virtual<'w> {
    world: &'w World,
    pace: VirtualPace,
    work: fn(usize) -> Duration,
    /// When each call came, and for whom.
    log: Mutex<Vec<(Duration, String)>>,
}

impl Functions for Virtual<'_> {
    fn call(&self, name: &str, body: &str, _: Duration) -> Reply {
        let session = json(body)["session_id"].as_str().unwrap().to_owned();
        let mut log = self.log.lock().unwrap();
        self.pace.advance((self.work)(log.len()));
        score(&self.world.database(), name, &session, true);
        log.push((self.pace.elapsed(), session));
        Reply::status(200)
    }
}

/// When each session was first called, and when each call was.
type RequestLog = (Vec<Duration>, Vec<Duration>);

/// Runs the backfill of 139 sessions in virtual time.
fn request_log(settings: &Settings, work: fn(usize) -> Duration) -> RequestLog {
    watched_log(settings, work, &mut |_| {})
}

/// The same, with somebody who watches how it goes.
fn watched_log(
    settings: &Settings,
    work: fn(usize) -> Duration,
    progress: &mut dyn FnMut(&Progress),
) -> RequestLog {
    let world = World::new(FAST);
    world.settings(20);
    for n in 300..400 {
        session(&world.conn(), n, Profile::None, false);
    }
    let DbUrl::Sqlite(url) = DbUrl::parse("live.db", world.dir.path()).unwrap() else {
        panic!("a path is SQLite")
    };
    let mut target = SqliteTarget::open(&url, world.dir.path(), SqliteOptions::default()).unwrap();
    let now = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
    let config = Config::read(&world.path("ops.toml")).unwrap();
    let made = plan(
        &mut target,
        &Request {
            name: "prism",
            settings: &config.backfills["prism"],
            origin: FileRef { file: "ops.toml", sha256: &config.digest },
            seed: None,
            functions: Some("http://127.0.0.1:9"),
            out: &world.path("plans"),
            now,
            tool: "test",
            limit: None,
        },
    );
    let Planned::Plan(dir) = made.unwrap() else { panic!("there is something to do") };
    let mut pace = VirtualPace::new(now);
    let functions = Virtual { world: &world, pace: pace.clone(), work, log: Mutex::default() };
    let mut context = Context {
        target: &mut target,
        functions: &functions,
        pace: &mut pace,
        ids: &mut Ids::seeded(1),
        stop: &AtomicBool::new(false),
        progress,
    };
    let mut order = Order { resume: false, is_approved: true, gate: &mut |_, _| Ok(()) };
    let report = apply(&dir, settings, &mut order, &mut context).unwrap();
    assert_eq!((report.end, report.ended["verified"]), (End::Done, 139));
    let log = functions.log.into_inner().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let sessions =
        log.iter().filter(|(_, session)| seen.insert(session.clone())).map(|(at, _)| *at).collect();
    (sessions, log.into_iter().map(|(at, _)| at).collect())
}

/// The most and the fewest in any window of 60 seconds, its ends included, that lies within the log.
fn windows(log: &[Duration]) -> (usize, usize) {
    let (minute, tick) = (Duration::from_mins(1), Duration::from_nanos(1));
    let last = *log.last().unwrap();
    let starts = log.iter().flat_map(|at| [*at, *at + tick]).filter(|from| *from + minute <= last);
    let counts: Vec<usize> =
        starts.map(|from| log.iter().filter(|at| **at >= from && **at <= from + minute).count()).collect();
    (counts.iter().copied().max().unwrap(), counts.iter().copied().min().unwrap())
}

#[test]
fn no_window_of_a_minute_has_more_than_twenty_sessions_and_none_less_than_nineteen_when_work_is_fast() {
    let (sessions, _) = request_log(&Settings::default(), |_| Duration::from_millis(20));
    assert_eq!(windows(&sessions), (20, 19));
    // Work of changing length leaves no debt that a burst would pay.
    let (sessions, _) =
        request_log(&Settings::default(), |call| Duration::from_millis(if call < 60 { 7000 } else { 5 }));
    assert!(windows(&sessions).0 <= 20);
    let settings = Settings { calls_per_minute: Some(10), ..Settings::default() };
    let (_, calls) = request_log(&settings, |_| Duration::from_millis(20));
    assert_eq!(windows(&calls), (10, 9));
}

#[test]
fn the_server_sees_the_rate_that_was_asked_for() {
    let world = World::new(FAST);
    let rate = if long() { 20 } else { 1200 };
    world.settings(rate);
    let (_, id) = world.plan("");
    world.ends(0, &format!("backfill apply --plan {id} --apply --approve {id} --concurrency 3"));
    let log = world.scorer.log.lock().unwrap();
    let first = log[0].at;
    let mut seen = std::collections::BTreeSet::new();
    let sessions: Vec<Duration> =
        log.iter().filter(|s| seen.insert(s.session.clone())).map(|s| s.at.duration_since(first)).collect();
    assert_eq!(sessions.len(), 39);
    let least = Duration::from_mins(1) / rate * 38;
    assert!(*sessions.last().unwrap() >= least.mul_f64(0.99), "{:?}", sessions.last());
    if long() {
        let (most, fewest) = windows(&sessions);
        eprintln!(
            "39 sessions in {:?}: at most {most}, at least {fewest} in a minute",
            sessions.last().unwrap()
        );
        assert!(most <= 20 && fewest >= 19, "{most} {fewest}");
    }
}
