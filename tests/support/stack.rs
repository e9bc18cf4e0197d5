//! A private stack for tests: PostgreSQL, PostgREST, edge functions and a gateway that can be told to misbehave.
//!
//! `tests/stack/launch.mjs` does the work, as it does for `cargo xtask stack`. Tests must not use a stack that was
//! there before them. Where something is missing, a test says that it is skipped; with `OPS_REQUIRE_LIVE=1` it fails
//! instead. A file that takes this module takes `http` beside it.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::http::{self, Reply};

/// Waits for the end of its input, which is the end of the tests however they end, and takes the stack down.
const WATCH: &str = r#"cat; exec node "$1" down --state "$2""#;

/// A running stack. What it holds is gone when it is dropped, or when the test ends otherwise.
#[derive(Debug)]
pub(crate) struct Stack {
    facts: Value,
    dir: PathBuf,
    watcher: Child,
}

/// The stack of this test binary, as hosted projects are set up: 1,000 rows a request, every transaction commits.
/// `None`, with a line on stderr, when this machine cannot run one.
pub(crate) fn stack() -> Option<&'static Stack> {
    static STACK: OnceLock<Result<Stack, String>> = OnceLock::new();
    match STACK.get_or_init(|| Stack::start(&[])) {
        Ok(stack) => Some(stack),
        Err(missing) => {
            skip(missing);
            None
        }
    }
}

/// A stack for one test alone, with options of [`Stack::start`]; `None` as for [`stack`].
pub(crate) fn own(options: &[&str]) -> Option<Stack> {
    Stack::start(options).map_err(|missing| skip(&missing)).ok()
}

/// Says that a test is skipped, or fails where nothing may be.
fn skip(missing: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    assert!(environment("OPS_REQUIRE_LIVE") != "1", "{test} needs the stack: {missing}");
    // The test harness keeps what a passing test prints to itself, unless it goes past its capture.
    let _ = writeln!(io::stderr(), "skipped: {test} needs the stack: {missing}");
}

impl Stack {
    /// Starts a stack of its own, with options of the launcher: `--max-rows 100`, `--tx-end MODE`, `--fsync`.
    ///
    /// # Errors
    /// What is missing on this machine. What is there and fails is a panic.
    pub(crate) fn start(options: &[&str]) -> Result<Self, String> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("ops-stack-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        if !can_run("node") {
            return Err("node is missing; install it with: apt-get install nodejs npm".to_owned());
        }
        let watcher = command("sh")
            .args(["-c", WATCH, "watch"])
            .args([&launcher(), &dir])
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh runs");
        let mut stack = Self { facts: Value::Null, dir, watcher };
        let output = stack.launch("up", options);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => {}
            Some(3) => return Err(said.trim().to_owned()),
            _ => panic!("{said}"),
        }
        let text = std::fs::read_to_string(stack.dir.join("stack.json")).expect("`up` wrote its facts");
        stack.facts = serde_json::from_str(&text).expect("the facts are JSON");
        Ok(stack)
    }

    /// Runs the launcher on this stack.
    pub(crate) fn launch(&self, verb: &str, options: &[&str]) -> Output {
        let mut node = command("node");
        node.arg(launcher()).arg(verb).arg("--state").arg(&self.dir).args(options);
        node.stdin(Stdio::null()).output().expect("node runs")
    }

    /// What `stack.json` says under `name`.
    pub(crate) fn fact(&self, name: &str) -> &str {
        self.facts[name].as_str().unwrap_or_else(|| panic!("the stack says nothing of `{name}`"))
    }

    /// The URL of the gateway: `SUPABASE_URL`.
    pub(crate) fn url(&self) -> &str {
        self.fact("url")
    }

    /// A key: `service_role`, `anon`, `expired` (JWTs), `secret` or `publishable` (opaque).
    pub(crate) fn key(&self, name: &str) -> &str {
        self.facts["keys"][name].as_str().unwrap_or_else(|| panic!("there is no key `{name}`"))
    }

    /// The folder that holds everything.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Runs SQL in a session of its own, as superuser; returns its rows, columns separated by `|`.
    pub(crate) fn sql(&self, sql: &str) -> String {
        let flags = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", self.fact("database_url")];
        let output = command("psql").args(flags).args(["-c", sql]).output().expect("psql runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("psql prints text").trim_end().to_owned()
    }

    /// Runs a file of SQL with psql, as superuser.
    pub(crate) fn install(&self, file: &Path) {
        let flags = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", self.fact("database_url"), "-f"];
        let output = command("psql").args(flags).arg(file).output().expect("psql runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Waits until PostgREST knows every table as it is now. (It learns of changes by itself, only later.)
    pub(crate) fn reload(&self) {
        // PostgREST looks for tables before it looks for functions: a look that somebody else asked for may have begun
        // before a table was made, and still find the first function. The one that finds the second began behind that.
        self.reload_once();
        self.reload_once();
    }

    fn reload_once(&self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mark = format!("seen_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let make =
            format!("CREATE FUNCTION ops_stack.{mark}() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'");
        self.sql(&format!("{make}; NOTIFY pgrst, 'reload schema'"));
        let is_seen = || {
            let profile = [("Accept-Profile", "ops_stack")];
            let path = format!("/rpc/{mark}");
            let reply = http::send(self.fact("postgrest_url"), "GET", &path, &profile, None);
            reply.expect("PostgREST answers").status == 200
        };
        let start = Instant::now();
        while !is_seen() {
            assert!(start.elapsed() < Duration::from_secs(30), "PostgREST does not reload its schema");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// One request through the gateway with a key of [`Stack::key`], as a client sends it.
    pub(crate) fn ask(&self, method: &str, path: &str, key: &str, body: Option<&str>) -> io::Result<Reply> {
        http::send(self.url(), method, path, &[("apikey", self.key(key))], body)
    }

    /// Tells the gateway to misbehave as these rules say (see `tests/stack/faults.mjs`), until what is returned is
    /// dropped. Rules match by path: let them name a table that no other test uses.
    pub(crate) fn misbehave(&self, rules: &Value) -> Faults<'_> {
        Faults { stack: self, ids: self.admin("POST", "/faults", Some(&rules.to_string())) }
    }

    /// Every request so far whose path and query contain `text`, in the order in which they ended.
    pub(crate) fn requests(&self, text: &str) -> Vec<Value> {
        self.admin("GET", &format!("/requests/{text}"), None).as_array().expect("a list").clone()
    }

    fn admin(&self, method: &str, path: &str, body: Option<&str>) -> Value {
        let reply = http::send(self.fact("admin_url"), method, path, &[], body).expect("the gateway answers");
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    /// Every row of a table as the official client reads it with the secret key: a canonical JSON object a line.
    /// `key` gives the order; `columns` is what its `select` takes.
    pub(crate) fn read_by_supabase_js(&self, table: &str, key: &str, columns: &str) -> String {
        let folder = launcher().with_file_name("");
        let flags = ["--no-remote", "--cached-only", "--no-lock", "--node-modules-dir=manual"];
        let mut deno = command(folder.join("node_modules/@deno/linux-x64-glibc/deno"));
        deno.arg("run").args(flags).args(["--allow-net=127.0.0.1", "--allow-env"]);
        deno.arg(folder.join("read.ts")).args([table, key, columns]);
        deno.env("DENO_DIR", self.dir.join("deno")).env("DENO_NO_UPDATE_CHECK", "1").current_dir(&self.dir);
        deno.env("SUPABASE_URL", self.url()).env("SUPABASE_SERVICE_ROLE_KEY", self.key("secret"));
        let output = deno.output().expect("deno runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("the rows are text")
    }
}

/// Rules that the gateway follows.
#[derive(Debug)]
pub(crate) struct Faults<'a> {
    stack: &'a Stack,
    ids: Value,
}

impl Faults<'_> {
    /// How often each rule has fired, in the order in which they were given.
    pub(crate) fn fired(&self) -> Vec<u64> {
        let rules = self.stack.admin("GET", "/faults", None);
        let ours = |rule: &&Value| self.ids.as_array().is_some_and(|ids| ids.contains(&rule["id"]));
        let rules = rules.as_array().expect("a list").iter().filter(ours);
        rules.map(|rule| rule["fired"].as_u64().expect("a count")).collect()
    }
}

impl Drop for Faults<'_> {
    fn drop(&mut self) {
        let ids = self.ids.to_string();
        let path = format!("/faults/{}", ids.trim_matches(['[', ']']));
        let _ = http::send(self.stack.fact("admin_url"), "DELETE", &path, &[], None);
    }
}

impl Drop for Stack {
    /// A stack in a `static` is never dropped; the end of the process closes the pipe all the same.
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

/// The program that starts and stops stacks.
pub(crate) fn launcher() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a package has a parent");
    root.join("tests/stack/launch.mjs")
}

fn can_run(program: &str) -> bool {
    let mut version = command(program);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

#[expect(clippy::disallowed_methods, reason = "a test starts the servers that it talks to")]
fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

#[expect(clippy::disallowed_methods, reason = "tests have no settings but the environment")]
fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
