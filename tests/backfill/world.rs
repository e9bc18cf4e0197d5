//! A database with sessions, and a server whose functions score them as the original's do, or misbehave on demand.
//!
//! The functions write into the same SQLite file as the program under test, from this process. The request log is what the
//! server saw, whatever the program says.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tempfile::TempDir;

use crate::support::command::{redact, xtask_std};

/// What a function does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Answers with this status and writes nothing.
    Status(u16),
    /// Writes, then answers with this status.
    After(u16),
    /// Answers 200 and writes nothing.
    NoData,
    /// Writes a result of another version.
    Stamp,
    /// Never answers; writes nothing.
    Hang,
    /// Writes, then closes the connection without an answer.
    Cut,
}

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) function: String,
    pub(crate) session: String,
    pub(crate) at: Instant,
    /// Whether it wrote a row.
    pub(crate) wrote: bool,
}

type Policy = Arc<dyn Fn(&str, usize, usize) -> Fault + Send + Sync>;

/// The server.
pub(crate) struct Scorer {
    pub(crate) url: String,
    pub(crate) log: Arc<Mutex<Vec<Seen>>>,
    policy: Arc<Mutex<Policy>>,
}

impl Scorer {
    /// Serves functions that write into `database`; each takes `work`.
    pub(crate) fn start(database: &Path, work: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let healthy: Policy = Arc::new(|_, _, _| Fault::None);
        let policy = Arc::new(Mutex::new(healthy));
        let (database, seen, asked) = (database.to_path_buf(), Arc::clone(&log), Arc::clone(&policy));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (database, seen, asked) = (database.clone(), Arc::clone(&seen), Arc::clone(&asked));
                std::thread::spawn(move || serve(stream, &database, work, &seen, &asked));
            }
        });
        Self { url, log, policy }
    }

    /// What it does wrong from now on: by function, number of the session (in the order of its first call), and how often
    /// that function was called for that session before.
    pub(crate) fn misbehave(&self, policy: impl Fn(&str, usize, usize) -> Fault + Send + Sync + 'static) {
        *self.policy.lock().unwrap() = Arc::new(policy);
    }

    /// How often each function wrote for each session.
    pub(crate) fn writes(&self) -> std::collections::BTreeMap<(String, String), u32> {
        let mut writes = std::collections::BTreeMap::new();
        for seen in self.log.lock().unwrap().iter().filter(|seen| seen.wrote) {
            *writes.entry((seen.function.clone(), seen.session.clone())).or_insert(0) += 1;
        }
        writes
    }

    pub(crate) fn calls(&self) -> usize {
        self.log.lock().unwrap().len()
    }
}

fn serve(
    mut stream: TcpStream,
    database: &Path,
    work: Duration,
    log: &Mutex<Vec<Seen>>,
    policy: &Mutex<Policy>,
) {
    while let Some((function, body)) = request(&mut stream) {
        let at = Instant::now();
        let session = body["session_id"].as_str().unwrap_or_default().to_owned();
        let fault = {
            let mut log = log.lock().unwrap();
            let before = log.iter().filter(|s| s.function == function && s.session == session).count();
            let mut sessions: Vec<&str> = Vec::new();
            for seen in log.iter() {
                if !sessions.contains(&seen.session.as_str()) {
                    sessions.push(&seen.session);
                }
            }
            let number = sessions.iter().position(|s| *s == session).unwrap_or(sessions.len());
            let fault = policy.lock().unwrap()(&function, number, before);
            let wrote = matches!(fault, Fault::None | Fault::After(_) | Fault::Stamp | Fault::Cut);
            let function = function.clone();
            log.push(Seen { function, session: session.clone(), at, wrote });
            fault
        };
        std::thread::sleep(work);
        match fault {
            Fault::None => {
                score(database, &function, &session, true);
                answer(&mut stream, 200, r#"{"ok":true}"#);
            }
            Fault::Stamp => {
                score(database, &function, &session, false);
                answer(&mut stream, 200, r#"{"ok":true}"#);
            }
            Fault::NoData => answer(&mut stream, 200, r#"{"blocks_answered":0}"#),
            Fault::Status(status) => answer(&mut stream, status, r#"{"error":"the engine is out of order"}"#),
            Fault::After(status) => {
                score(database, &function, &session, true);
                answer(&mut stream, status, "gone");
            }
            Fault::Hang => std::thread::sleep(Duration::from_secs(20)),
            Fault::Cut => {
                score(database, &function, &session, true);
                return;
            }
        }
    }
}

fn answer(stream: &mut TcpStream, status: u16, body: &str) {
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(head.as_bytes());
}

/// The next request of a connection.
fn request(stream: &mut TcpStream) -> Option<(String, serde_json::Value)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let length =
        head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok())?;
    let mut body = vec![0_u8; length];
    stream.read_exact(&mut body).ok()?;
    let function = head.split(' ').nth(1)?.strip_prefix("/functions/v1/")?.to_owned();
    Some((function, serde_json::from_slice(&body).ok()?))
}

/// What the original's two functions do to the tables.
pub(crate) fn score(database: &Path, function: &str, session: &str, is_current: bool) {
    let conn = Connection::open(database).unwrap();
    conn.busy_timeout(Duration::from_secs(10)).unwrap();
    match function {
        "score_fc_session" => {
            let version = if is_current { "v1.2" } else { "v9" };
            conn.execute(
                "INSERT INTO fc_scores (session_id, version, fc_kind, scores, created_at)
                 VALUES (?1, ?2, 'functions', '{\"Ti\": 61.25}', '2026-01-02 03:04:06')
                 ON CONFLICT (session_id, version, fc_kind) DO UPDATE SET scores = excluded.scores",
                [session, version],
            )
            .unwrap();
        }
        "score_prism" => {
            let version = if is_current { "v1.2.1" } else { "v9" };
            conn.execute(
                "INSERT INTO profiles (session_id, results_version, type_code, note, created_at, submitted_at)
                 VALUES (?1, ?2, 'LII', 'new', '2026-01-02 03:04:07', '2026-01-02 03:04:07')
                 ON CONFLICT (session_id) DO UPDATE SET results_version = excluded.results_version,
                 type_code = excluded.type_code, note = excluded.note, created_at = submitted_at,
                 recomputed_at = '2026-01-02 03:04:08'",
                [session, version],
            )
            .unwrap();
        }
        other => panic!("{other}"),
    }
}

/// A folder with a database, settings and a server.
pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) scorer: Scorer,
}

/// What a command came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

const SCHEMA: &str = "PRAGMA journal_mode = wal;
    CREATE TABLE assessment_sessions (id TEXT PRIMARY KEY NOT NULL, status TEXT, created_at TEXT,
        completed_questions INTEGER, total_questions INTEGER, share_token TEXT);
    CREATE TABLE profiles (session_id TEXT NOT NULL UNIQUE, results_version TEXT, type_code TEXT, note TEXT,
        confidence REAL, created_at TEXT, submitted_at TEXT, recomputed_at TEXT);
    CREATE TABLE fc_scores (session_id TEXT NOT NULL, version TEXT NOT NULL, fc_kind TEXT NOT NULL, scores TEXT,
        created_at TEXT, UNIQUE (session_id, version, fc_kind));";

/// A session's id.
pub(crate) fn uuid(n: usize) -> String {
    format!("0a0a0a0a-0000-4000-8000-{n:012x}")
}

/// What profile a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    None,
    /// Its version is NULL.
    Unstamped,
    Old,
    Current,
}

/// Adds a session, with an old profile, a current one or none, as a live user leaves it.
pub(crate) fn session(conn: &Connection, n: usize, profile: Profile, has_fc: bool) {
    let id = uuid(n);
    let day = 1 + n % 28;
    conn.execute(
        "INSERT INTO assessment_sessions VALUES (?1, 'completed', ?2, 248, 248, ?3)",
        (&id, format!("2025-08-{day:02} 10:00:00"), format!("token-{n}")),
    )
    .unwrap();
    let version = match profile {
        Profile::None | Profile::Unstamped => None,
        Profile::Old => Some("v1.2.0"),
        Profile::Current => Some("v1.2.1"),
    };
    if profile != Profile::None {
        // Values that a careless restore would bend.
        let note =
            ["plain", "it's \"quoted\"\n\ttwo lines", "naïve – ‘ok’ 猫", "", "--; DROP TABLE x;"][n % 5];
        conn.execute(
            "INSERT INTO profiles VALUES (?1, ?2, 'ILE', ?3, ?4, '2025-09-01 08:00:00', '2025-08-31 07:00:00', NULL)",
            (&id, version, note, 0.1 + n as f64 / 3.0),
        )
        .unwrap();
    }
    if has_fc {
        conn.execute("INSERT INTO fc_scores VALUES (?1, 'v1.2', 'functions', '{}', '2025-09-01')", [&id])
            .unwrap();
    }
}

impl World {
    /// 39 sessions that lack a result, 26 of them with an old profile; besides them one that is current, one that is in
    /// progress, and an old forced-choice score.
    pub(crate) fn new(work: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("live.db");
        let conn = Connection::open(&database).unwrap();
        conn.execute_batch(SCHEMA).unwrap();
        for n in 0..39 {
            let profile = match n {
                3 => Profile::Unstamped,
                0..26 => Profile::Old,
                _ => Profile::None,
            };
            session(&conn, n, profile, false);
        }
        conn.execute("INSERT INTO fc_scores VALUES (?1, 'v1.1', 'types', '{}', NULL)", [uuid(5)]).unwrap();
        session(&conn, 100, Profile::Current, true);
        conn.execute(
            "INSERT INTO assessment_sessions VALUES ('open', 'in_progress', NULL, 3, 248, NULL)",
            [],
        )
        .unwrap();
        let scorer = Scorer::start(&database, work);
        let world = Self { dir, scorer };
        world.settings(6000);
        world
    }

    /// Writes `ops.toml`: the shipped backfill at another rate.
    pub(crate) fn settings(&self, per_minute: u32) {
        let shipped = ops::config::SHIPPED;
        let from = shipped.find("[backfills.prism]").unwrap();
        let end = shipped[from..].find("\n# ----").map_or(shipped.len(), |end| from + end);
        let text = shipped[from..end].replace("per_minute = 20", &format!("per_minute = {per_minute}"));
        ops::files::write_atomic(&self.path("ops.toml"), text.as_bytes()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path("live.db")
    }

    pub(crate) fn conn(&self) -> Connection {
        let conn = Connection::open(self.database()).unwrap();
        conn.busy_timeout(Duration::from_secs(10)).unwrap();
        conn
    }

    /// The key that the functions ask for, in the environment.
    pub(crate) fn variables() -> [(&'static str, &'static str); 1] {
        [("SUPABASE_SERVICE_ROLE_KEY", "sb_secret_aaaaaaaaaaaaaaaaaaaaaa_bbbbbbbb")]
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        let mut command = xtask_std(self.dir.path());
        let output = command.args(line.split(' ')).envs(Self::variables()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Runs a command that must end with `code`.
    pub(crate) fn ends(&self, code: i32, line: &str) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, code, "{line}\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Makes a plan; its folder and short id.
    pub(crate) fn plan(&self, more: &str) -> (PathBuf, String) {
        let line = format!("backfill plan --target live.db --functions {}{more}", self.scorer.url);
        self.ends(0, &line);
        self.only_plan()
    }

    pub(crate) fn only_plan(&self) -> (PathBuf, String) {
        let mut names: Vec<String> = std::fs::read_dir(self.path(".ops/backfills"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let name = names.remove(0);
        (self.path(".ops/backfills").join(&name), name.strip_prefix("backfill-").unwrap().to_owned())
    }

    /// Every row of the three tables, as SQLite prints them, without the books of the program.
    pub(crate) fn dump(&self) -> Vec<String> {
        Self::dump_of(&self.conn())
    }

    /// The same of another file.
    pub(crate) fn dump_of(conn: &Connection) -> Vec<String> {
        let mut rows = Vec::new();
        for (table, columns) in [
            (
                "assessment_sessions",
                "id, status, created_at, completed_questions, total_questions, share_token",
            ),
            (
                "profiles",
                "session_id, results_version, type_code, note, confidence, created_at, submitted_at, recomputed_at",
            ),
            ("fc_scores", "session_id, version, fc_kind, scores, created_at"),
        ] {
            let quoted: Vec<String> = columns.split(", ").map(|c| format!("quote({c})")).collect();
            let sql = format!("SELECT '{table}|' || {} FROM {table} ORDER BY 1", quoted.join(" || '|' || "));
            let mut statement = conn.prepare(&sql).unwrap();
            let found = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
            rows.extend(found.map(Result::unwrap));
        }
        rows
    }

    /// A text about the only plan, without what no seed can fix.
    pub(crate) fn placed(&self, text: &str) -> String {
        let (folder, short) = self.only_plan();
        let plan = std::fs::read_to_string(folder.join("plan.json")).unwrap();
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let place = std::fs::canonicalize(self.dir.path()).unwrap();
        let pairs = [
            (word(&plan["id"]), "<plan>"),
            (short, "<short>"),
            (word(&plan["plan"]["target"]["fingerprint"]), "<fingerprint>"),
            (self.scorer.url.clone(), "<functions>"),
            (place.display().to_string(), "<dir>"),
            (self.dir.path().display().to_string(), "<dir>"),
        ];
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(a, b)| (a.as_str(), *b)).collect();
        // How long a call took is another thing each time.
        let mut parts = redact(text, &pairs).split("\"ms\":").map(str::to_owned).collect::<Vec<_>>();
        for part in parts.iter_mut().skip(1) {
            let digits = part.trim_start_matches(|c: char| c == ' ' || c.is_ascii_digit());
            *part = format!(" <ms>{digits}");
        }
        parts.join("\"ms\":")
    }

    /// Starts a command that is not waited for; its output is lost.
    pub(crate) fn starts(&self, line: &str) -> std::process::Child {
        let mut command = xtask_std(self.dir.path());
        let null = std::process::Stdio::null;
        command.args(line.split(' ')).envs(Self::variables()).stdout(null()).stderr(null());
        command.spawn().unwrap()
    }

    /// Writes `ops.toml`.
    pub(crate) fn describe(&self, settings: &str) {
        ops::files::write_atomic(&self.path("ops.toml"), settings.as_bytes()).unwrap();
    }

    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.conn().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}
