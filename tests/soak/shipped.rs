//! The soak that is shipped, over a release of six hours in a SQLite file and a function that a small server plays.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ops::clock::Stamp;

use super::assert_golden;
use super::support::command::xtask;
use super::support::gated::{PLAN, Plan, Stage, chain, chain_at, decision, plan_dir};

/// When a soak begins in these tests.
const STARTED: &str = "2026-01-02T03:04:05Z";
const PUBLIC_KEY: &str = "sb_publishable_abcdefghijklmnopqrstuv_01234567";

fn at(seconds: u64) -> String {
    Stamp::parse(STARTED).unwrap().plus(Duration::from_secs(seconds)).iso()
}

fn id(n: u64) -> String {
    format!("0a0a0a0a-0000-4000-8000-{n:012x}")
}

fn token(n: u64) -> String {
    format!("{n:016x}")
}

/// A session a minute from 10 seconds on, of which every `without`th has no profile. Sessions 1000 and 1001 are older ones
/// that a backfill gave a profile meanwhile.
fn world(without: u64) -> (tempfile::TempDir, rusqlite::Connection) {
    let dir = tempfile::tempdir().unwrap();
    let database = rusqlite::Connection::open(dir.path().join("app.db")).unwrap();
    database
        .execute_batch(
            "CREATE TABLE assessment_sessions (id TEXT PRIMARY KEY, status TEXT, share_token TEXT, completed_at TEXT);
             CREATE TABLE profiles (session_id TEXT PRIMARY KEY, results_version TEXT, created_at TEXT);
             CREATE TABLE fc_scores (session_id TEXT, version TEXT, fc_kind TEXT, created_at TEXT,
                                     PRIMARY KEY (session_id, version, fc_kind))",
        )
        .unwrap();
    let session = |n: u64, completed: &str| {
        let sql = "INSERT INTO assessment_sessions VALUES (?1, 'completed', ?2, ?3)";
        database.execute(sql, (id(n), token(n), completed)).unwrap();
    };
    let results = |n: u64, created: &str| {
        database.execute("INSERT INTO profiles VALUES (?1, 'v1.2.1', ?2)", (id(n), created)).unwrap();
        let sql = "INSERT INTO fc_scores VALUES (?1, 'v1.2', 'functions', ?2)";
        database.execute(sql, (id(n), created)).unwrap();
    };
    for n in 0..340 {
        session(n, &at(10 + n * 60));
        if n % without != without - 1 {
            results(n, &at(15 + n * 60));
        }
    }
    for n in [1000, 1001] {
        session(n, "2025-12-24T08:00:00Z");
        results(n, &at(30));
    }
    (dir, database)
}

/// What the function says to a request; `None` is a gateway that does not let anybody in.
type Says = fn(session: &str, token: Option<&str>) -> Option<&'static str>;

/// Data for the right token and a row of nulls for any other.
#[expect(clippy::unnecessary_wraps, reason = "one of several things that the function may say")]
fn strict(session: &str, token: Option<&str>) -> Option<&'static str> {
    let n = session.rsplit_once('-').and_then(|(_, n)| u64::from_str_radix(n, 16).ok()).unwrap_or(u64::MAX);
    let is_right = token.is_some_and(|given| given == self::token(n));
    Some(if is_right { "[{\"profile\":\"p\"}]" } else { "[{\"profile\":null}]" })
}

/// Plays the function until the test is over; the address, and the requests that came.
fn serve(says: Says) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, seen) =
        (format!("http://{}", listener.local_addr().unwrap()), Arc::new(Mutex::new(Vec::new())));
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), [0; 4096]);
            let length = stream.read(&mut request).unwrap();
            let line =
                String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned();
            let path = line.split(' ').nth(1).unwrap_or_default();
            let query: BTreeMap<&str, &str> = path
                .split_once('?')
                .map(|(_, query)| query.split('&').filter_map(|pair| pair.split_once('=')).collect())
                .unwrap_or_default();
            let session = query.get("p_session_id").copied().unwrap_or_default();
            let (status, body) = match says(session, query.get("p_share_token").copied()) {
                Some(body) => ("200 OK", body),
                None => ("401 Unauthorized", ""),
            };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + body).as_bytes());
            noted.lock().unwrap().push(line);
        }
    });
    (url, seen)
}

/// Lets soaks in `dir` last half an hour: enough for what never comes to GO.
fn shorter(dir: &Path) {
    let settings = ops::config::SHIPPED.replace("window = \"6h\"", "window = \"30m\"");
    ops::files::write_atomic(&dir.join("ops.toml"), settings.as_bytes()).unwrap();
}

/// `soak run` of the shipped soak: exit code, stdout, stderr.
fn soak(dir: &Path, url: &str, more: &[&str]) -> (i32, String, String) {
    let mut command = xtask(dir);
    command.args(["soak", "run", "--soak", "staging", "--db", "app.db"]).args(more);
    let output = command.env("SUPABASE_URL", url).env("SUPABASE_ANON_KEY", PUBLIC_KEY).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A chain in which this plan was applied.
fn applied(dir: &Path, plan: &str) {
    let pass = decision("pass");
    chain(
        dir,
        plan,
        &[
            (Stage::Plan, pass),
            (Stage::Approve, pass),
            (Stage::Apply, decision("begun")),
            (Stage::Apply, pass),
        ],
    );
}

#[test]
fn a_good_release_is_go_and_the_gate_says_so() {
    let (dir, _database) = world(17);
    let (url, seen) = serve(strict);
    let plan = plan_dir(dir.path(), "prism", &[&id(1000), &id(1001)]);
    applied(dir.path(), &plan.id);
    let args = ["--plan", plan.dir.as_str()];
    let (code, stdout, stderr) = soak(dir.path(), &url, &args);
    assert_eq!(code, 0, "{stdout}{stderr}");
    let out = dir.path().join(".ops/soaks").join(format!("staging-{}", &plan.id[..12]));
    let read = |name: &str| std::fs::read_to_string(out.join(name)).unwrap();
    let place = dir.path().canonicalize().unwrap().display().to_string();
    assert_golden("soak/shipped/expected/stdout.txt", &stdout.replace(&place, "<dir>"));
    assert_golden(
        "soak/shipped/expected/staging_observability.md",
        &read("staging_observability.md").replace(&place, "<dir>"),
    );
    assert_golden("soak/shipped/expected/staging_observability.json", &read("staging_observability.json"));
    let html = read("staging_observability.html").replace(&place, "<dir>");
    assert_golden("soak/shipped/expected/staging_observability.html", &html);
    assert!(
        html.matches("<svg").count() == 4 && html.contains("NO-GO with the band below"),
        "a chart a metric"
    );
    // Only GET, and no token anywhere in what was written.
    let seen = seen.lock().unwrap().clone();
    assert!(
        seen.len() > 1000
            && seen.iter().all(|line| line.starts_with("GET /rest/v1/rpc/get_profile_by_session?"))
    );
    assert!(!read("evidence.ndjson").contains(&token(7)) && !html.contains(&token(7)));
    let gates = std::fs::read_to_string(dir.path().join(".ops/gates.ndjson")).unwrap();
    assert!(
        gates.lines().last().unwrap().contains("\"stage\":\"soak\"") && gates.contains("\"verdict\":\"GO\""),
        "{gates}"
    );
    // Judging again adds no record.
    assert_eq!(soak(dir.path(), &url, &args).0, 0);
    assert_eq!(std::fs::read_to_string(dir.path().join(".ops/gates.ndjson")).unwrap(), gates);
    let audit = xtask(dir.path()).args(["gates", "audit", ".ops"]).output().unwrap();
    assert_eq!(audit.status.code(), Some(0), "{}", String::from_utf8_lossy(&audit.stdout));
}

#[test]
fn a_low_conversion_is_no_go_whatever_the_backfill_added() {
    let (dir, database) = world(3);
    let (url, _) = serve(strict);
    // Enough backfilled profiles of old sessions to look like a conversion of more than 100 %.
    for n in 2000..2500 {
        database.execute("INSERT INTO profiles VALUES (?1, 'v1.2.1', ?2)", (id(n), at(40))).unwrap();
    }
    let (code, stdout, stderr) = soak(dir.path(), &url, &[]);
    assert_eq!(code, 6, "{stdout}{stderr}");
    assert!(stdout.contains("conversion: NO-GO"), "{stdout}");
}

#[test]
fn backfilled_rows_of_the_run_are_left_out_where_they_would_count() {
    let (dir, database) = world(17);
    let (url, _) = serve(strict);
    // The run stamped an old session as completed in the window; it has no profile.
    let sql = "INSERT INTO assessment_sessions VALUES (?1, 'completed', NULL, ?2)";
    for n in 1002..1200 {
        database.execute(sql, (id(n), at(50))).unwrap();
    }
    let candidates: Vec<String> = (1000..1200).map(id).collect();
    let candidates: Vec<&str> = candidates.iter().map(String::as_str).collect();
    let plan = plan_dir(dir.path(), "prism", &candidates);
    applied(dir.path(), &plan.id);
    assert_eq!(soak(dir.path(), &url, &["--plan", &plan.dir]).0, 0);
    let (code, stdout, _) = soak(dir.path(), &url, &[]);
    assert_eq!((code, stdout.contains("conversion: NO-GO")), (6, true), "{stdout}");
}

#[test]
fn one_wrong_row_is_no_go() {
    for (sql, metric) in [
        ("UPDATE profiles SET results_version = 'v1.2.0' WHERE session_id = ?1", "version_overrides: NO-GO"),
        ("UPDATE profiles SET results_version = NULL WHERE session_id = ?1", "version_overrides: NO-GO"),
        ("UPDATE fc_scores SET fc_kind = 'types' WHERE session_id = ?1", "fc_kind: NO-GO"),
    ] {
        let (dir, database) = world(17);
        let (url, _) = serve(strict);
        assert_eq!(database.execute(sql, [id(5)]).unwrap(), 1);
        let (code, stdout, stderr) = soak(dir.path(), &url, &[]);
        assert_eq!(code, 6, "{stdout}{stderr}");
        assert!(stdout.contains(metric) && stdout.contains(&id(5)), "{stdout}");
    }
}

#[test]
fn tokens_that_open_too_much_or_too_little_are_no_go_and_no_answer_is_never_go() {
    let open: Says = |_, _| Some("[{\"profile\":\"p\"}]");
    let shut: Says = |_, _| Some("[{\"profile\":null}]");
    let down: Says = |_, _| None;
    for (says, verdict, why) in [
        (open, "tokenised_access: NO-GO", "a wrong token gives data"),
        (shut, "tokenised_access: NO-GO", "its token gives no data"),
        (down, "tokenised_access: INVALID", "readings failed"),
    ] {
        let (dir, _database) = world(17);
        shorter(dir.path());
        let (url, _) = serve(says);
        let (code, stdout, stderr) = soak(dir.path(), &url, &[]);
        assert_eq!(code, 6, "{stdout}{stderr}");
        assert!(stdout.contains(verdict) && stdout.contains(why), "{stdout}");
        assert!(!stdout.contains("Soak staging: GO"), "{stdout}");
    }
}

#[test]
fn data_that_is_missing_stuck_or_lying_is_never_go() {
    type Spoil = fn(&rusqlite::Connection);
    let spoils: [(Spoil, &str); 5] = [
        (|db| db.execute_batch("DELETE FROM assessment_sessions").unwrap(), "INSUFFICIENT"),
        (|db| db.execute_batch("DROP TABLE fc_scores").unwrap(), "INVALID"),
        (
            |db| db.execute_batch("ALTER TABLE profiles RENAME COLUMN results_version TO version").unwrap(),
            "INVALID",
        ),
        // Times that nothing can be compared with.
        (
            |db| {
                db.execute_batch(
                    "UPDATE profiles SET created_at = NULL; UPDATE fc_scores SET created_at = NULL",
                )
                .unwrap();
            },
            "INSUFFICIENT",
        ),
        // The same session twice, in a table that has no key.
        (
            |db| {
                db.execute_batch(
                    "CREATE TABLE p AS SELECT * FROM profiles; DROP TABLE profiles; ALTER TABLE p RENAME TO profiles;
                     INSERT INTO profiles SELECT * FROM profiles",
                )
                .unwrap();
            },
            "INVALID",
        ),
    ];
    for (number, (spoil, verdict)) in spoils.into_iter().enumerate() {
        let (dir, database) = world(17);
        shorter(dir.path());
        let (url, _) = serve(strict);
        spoil(&database);
        let (code, stdout, stderr) = soak(dir.path(), &url, &[]);
        assert_eq!(code, 6, "{stdout}{stderr}");
        assert!(stdout.contains(&format!("Soak staging: {verdict}")), "spoil {number}: {stdout}");
    }
}

#[test]
fn a_soak_of_a_plan_needs_its_application_and_no_other() {
    let (dir, _database) = world(17);
    let (url, _) = serve(strict);
    let plan = plan_dir(dir.path(), "prism", &[&id(1000)]);
    let refused = |why: &str| {
        let (code, stdout, stderr) = soak(dir.path(), &url, &["--plan", &plan.dir]);
        assert_eq!(code, 6, "{stdout}{stderr}");
        assert!(stderr.contains("gate not met") && stderr.contains(why), "{why}\n{stderr}");
        assert!(!dir.path().join(".ops/soaks").exists(), "nothing was begun");
    };
    refused("found:    none");
    applied(dir.path(), PLAN);
    refused(&format!("the last one is of plan {}", &PLAN[..12]));
    let (pass, begun) = (decision("pass"), decision("begun"));
    chain(dir.path(), &plan.id, &[(Stage::Plan, pass), (Stage::Approve, pass), (Stage::Apply, begun)]);
    refused("begun");
    chain(dir.path(), &plan.id, &[(Stage::Apply, decision("fail"))]);
    refused("fail");
    chain(dir.path(), &plan.id, &[(Stage::Apply, pass), (Stage::Rollback, pass)]);
    refused("took it back");
    // A list that was edited is none that was frozen.
    let list = dir.path().join(&plan.dir).join("candidates.ndjson");
    let text = std::fs::read_to_string(&list).unwrap().replace("4000", "4001");
    ops::files::write_atomic(&list, text.as_bytes()).unwrap();
    let (code, _, stderr) = soak(dir.path(), &url, &["--plan", &plan.dir]);
    assert_eq!(code, 3, "{stderr}");
}

fn args(plan: &Plan) -> [&str; 4] {
    ["--out", "soak", "--plan", &plan.dir]
}

#[test]
fn evidence_for_one_plan_is_none_for_another_and_none_from_before_its_application() {
    let (dir, _database) = world(17);
    shorter(dir.path());
    let (url, _) = serve(strict);
    let (first, second) = (plan_dir(dir.path(), "a", &[&id(1000)]), plan_dir(dir.path(), "b", &[&id(1000)]));
    applied(dir.path(), &first.id);
    applied(dir.path(), &second.id);
    let (_, _, stderr) = soak(dir.path(), &url, &args(&first));
    let evidence = std::fs::read_to_string(dir.path().join("soak/evidence.ndjson")).unwrap();
    assert!(evidence.lines().count() > 2, "{stderr}");
    let (code, _, stderr) = soak(dir.path(), &url, &args(&second));
    assert!(code == 3 && stderr.contains("the log is about another run or plan"), "{stderr}");
    // The same plan is applied again, an hour after that soak began.
    let again = [(Stage::Apply, decision("begun")), (Stage::Apply, decision("pass"))];
    chain_at(dir.path(), &first.id, &again, "2026-01-02T04:04:05Z");
    let output = xtask(dir.path())
        .args(["soak", "run", "--soak", "staging", "--db", "app.db"])
        .args(args(&first))
        .envs([
            ("SUPABASE_URL", url.as_str()),
            ("SUPABASE_ANON_KEY", PUBLIC_KEY),
            ("OPS_NOW", "2026-01-02T05:00:00Z"),
        ])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("the soak began before the plan was applied"), "{stderr}");
    assert_eq!(std::fs::read_to_string(dir.path().join("soak/evidence.ndjson")).unwrap(), evidence);
}

#[test]
fn without_somebody_of_the_public_no_token_is_tried() {
    let (dir, _database) = world(17);
    let run = |more: &[(&str, &str)]| {
        let mut command = xtask(dir.path());
        command.args(["soak", "run", "--soak", "staging", "--db", "app.db"]).envs(more.iter().copied());
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let url = ("SUPABASE_URL", "http://127.0.0.1:9");
    let secret = ("SUPABASE_ANON_KEY", "sb_secret_abcdefghijklmnopqrstuv_01234567");
    for (more, why) in [
        (&[][..], "its URL in SUPABASE_URL"),
        (&[url][..], "a key that browsers have, in SUPABASE_ANON_KEY"),
        (&[url, secret][..], "the API key sees everything"),
    ] {
        let (code, stderr) = run(more);
        assert_eq!(code, 3, "{stderr}");
        assert!(stderr.contains(why) && !stderr.contains("abcdefgh"), "{stderr}");
    }
}
