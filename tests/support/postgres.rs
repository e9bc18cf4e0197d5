//! A private PostgreSQL cluster for tests: made by `initdb` in a temporary folder, reachable only over the
//! loopback interface, stopped and removed with the process that asked for it.
//!
//! Tests must not use a server that was there before them. Where the programs are missing, a test says that
//! it is skipped; with `OPS_REQUIRE_LIVE=1` it fails instead.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Logs in over TCP with [`SCRAM_PASSWORD`]; everybody else is trusted.
pub(crate) const SCRAM_USER: &str = "scram_user";
/// The password of [`SCRAM_USER`].
pub(crate) const SCRAM_PASSWORD: &str = "correct-horse-7531";
/// Is let in over TCP only when the connection is encrypted.
pub(crate) const TLS_USER: &str = "tls_user";

const HBA: &str = "\
local   all scram_user              scram-sha-256
local   all all                     trust
host    all scram_user 127.0.0.1/32 scram-sha-256
hostssl all tls_user   127.0.0.1/32 trust
host    all tls_user   127.0.0.1/32 reject
host    all all        127.0.0.1/32 trust
";

const OPENSSL: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = ops test
[ca]
basicConstraints = critical, CA:TRUE
subjectKeyIdentifier = hash
[server]
basicConstraints = CA:FALSE
subjectAltName = IP:127.0.0.1
";

/// Makes two authorities, and a certificate for 127.0.0.1 by the first.
const CERTIFICATES: &str = "set -e
new='openssl req -config openssl.cnf -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1'
$new -x509 -extensions ca -days 2 -keyout ca.key -out ca.crt
$new -x509 -extensions ca -days 2 -keyout other.key -out other.crt
$new -keyout server.key -out server.csr
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
    -extfile openssl.cnf -extensions server -out server.crt
chmod 600 server.key";

/// Waits for the end of its input, which is the end of the tests however they end, and cleans up.
const WATCH: &str = r#"cat; "$1/pg_ctl" -D "$2/data" -m immediate stop; rm -rf "$2""#;

/// The running cluster.
pub(crate) struct Cluster {
    bin: PathBuf,
    home: PathBuf,
    port: u16,
    watcher: Child,
}

/// The cluster of this test binary; `None`, with a line on stderr, when this machine cannot run one.
pub(crate) fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Result<Cluster, &str>> = OnceLock::new();
    match CLUSTER.get_or_init(Cluster::start) {
        Ok(cluster) => Some(cluster),
        Err(missing) => {
            let thread = std::thread::current();
            let test = thread.name().unwrap_or("a test");
            assert!(environment("OPS_REQUIRE_LIVE") != "1", "{test} needs {missing}");
            // The test harness keeps what a passing test prints to itself, unless it goes past its capture.
            let _ = writeln!(std::io::stderr(), "skipped: {test} needs {missing}");
            None
        }
    }
}

impl Cluster {
    /// `Err` names the missing program; what is there and fails is a panic.
    fn start() -> Result<Self, &'static str> {
        const SERVER: [&str; 4] = ["initdb", "pg_ctl", "postgres", "psql"];
        let bin = server_folders()
            .into_iter()
            .find(|dir| SERVER.iter().all(|program| dir.join(program).is_file()))
            .ok_or("initdb, pg_ctl, postgres and psql")?;
        let is_on_path = |program| path_folders().iter().any(|dir| dir.join(program).is_file());
        if is_root() && !is_on_path("runuser") {
            return Err("runuser, to run as another user than root");
        }
        let home = is_on_path("openssl").then(home).ok_or("openssl")?;
        let watcher = as_owner("sh")
            .args(["-c", WATCH, "watch"])
            .args([&bin, &home])
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut cluster = Self { bin, home, port: 0, watcher };
        cluster.make();
        Ok(cluster)
    }

    fn make(&mut self) {
        let (data, certs) = (self.home.join("data"), self.home.join("certs"));
        self.run(
            "initdb",
            &["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "-D", "data"],
        );
        self.shell(&format!("cat > data/pg_hba.conf <<'END'\n{HBA}END"));
        self.shell(&format!("mkdir certs && cat > certs/openssl.cnf <<'END'\n{OPENSSL}END"));
        self.shell(&format!("cd certs\n{CERTIFICATES}"));
        let settings = format!(
            "-c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off -c max_connections=150 \
             -c password_encryption=scram-sha-256 -c ssl=on -c ssl_cert_file={certs}/server.crt \
             -c ssl_key_file={certs}/server.key",
            home = self.home.display(),
            certs = certs.display(),
        );
        // Between choosing a port and using it another program may take it.
        let started = (0..5).any(|_| {
            self.port = free_port();
            let options = format!("{settings} -c port={}", self.port);
            let mut start = self.program("pg_ctl");
            start.args(["-w", "-t", "60", "-l", "log", "-o", &options, "-D"]).arg(&data).arg("start");
            start.output().unwrap().status.success()
        });
        assert!(started, "{}", fs::read_to_string(self.home.join("log")).unwrap_or_default());
        self.sql("postgres", &format!("CREATE ROLE {SCRAM_USER} LOGIN PASSWORD '{SCRAM_PASSWORD}'"));
        self.sql("postgres", &format!("CREATE ROLE {TLS_USER} LOGIN"));
    }

    /// A new, empty database of this cluster; its name.
    pub(crate) fn database(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        name
    }

    /// The URL of a database for the superuser.
    pub(crate) fn url(&self, database: &str) -> String {
        self.url_as("postgres", database)
    }

    /// The URL of a database for `user`, which may be `name:password`.
    pub(crate) fn url_as(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A PEM file: `ca.crt` signed the server's certificate for 127.0.0.1, `other.crt` did not.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.home.join("certs").join(name)
    }

    /// Runs SQL in a session of its own, as superuser; returns its rows, columns separated by `|`.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let port = self.port.to_string();
        let flags = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres"];
        self.run("psql", &[&flags[..], &["-p", &port, "-d", database, "-c", sql]].concat())
    }

    /// Runs a script with psql as superuser, with variables as `name=value`; its errors.
    pub(crate) fn script(&self, database: &str, file: &Path, variables: &[&str]) -> Result<(), String> {
        let mut psql = command(self.bin.join("psql"));
        psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres", "-d", database]);
        psql.args(["-p", &self.port.to_string()]);
        psql.args(variables.iter().flat_map(|variable| ["-v", variable])).arg("-f").arg(file);
        let output = psql.stdin(Stdio::null()).output().unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = as_owner(self.bin.join(name));
        command.current_dir(&self.home);
        command
    }

    fn run(&self, program: &str, args: &[&str]) -> String {
        succeed(self.program(program).args(args))
    }

    fn shell(&self, script: &str) {
        succeed(as_owner("sh").current_dir(&self.home).args(["-c", script]));
    }
}

impl Drop for Cluster {
    /// A cluster in a `static` is never dropped; the end of the process closes the pipe all the same.
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

/// A folder that the server's user owns and everybody can enter. The watcher removes it.
fn home() -> PathBuf {
    let dir = tempfile::Builder::new().prefix("ops-pg-").tempdir().unwrap().keep();
    fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
    if is_root() {
        succeed(command("chown").arg("postgres").arg(&dir));
    }
    dir
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn path_folders() -> Vec<PathBuf> {
    std::env::split_paths(&environment("PATH")).collect()
}

/// The search path, and where Debian keeps the programs that it does not put there, newest first.
fn server_folders() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut debian: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    debian.sort();
    path_folders().into_iter().chain(debian.into_iter().rev()).collect()
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// The server refuses to run as root.
fn as_owner(program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return command(program);
    }
    let mut command = command("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn succeed(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "a test starts the server that it talks to")]
fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

#[expect(clippy::disallowed_methods, reason = "tests have no settings but the environment")]
fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
