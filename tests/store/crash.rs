//! Processes that die, and many that live on one file.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ops::telemetry::store::{Job, Store, StoreOptions};
use ops::url::{DbUrl, SqliteUrl};
use rusqlite::Connection;

use super::kit::{Dice, Note, PATIENCE, World, assert_balanced, assert_unbroken, count, rows};

/// How often a process is killed at a random moment.
const KILLS: u32 = 100;
/// Processes and their threads on one file, and for how long; `OPS_STORE_LONG=1` makes it a minute.
const PROCESSES: i64 = 4;
const THREADS: i64 = 16;
const TOGETHER: Duration = Duration::from_secs(3);
/// How long each of a thousand jobs takes, here and in a long check.
const SLOW: Duration = Duration::from_millis(4);
const SLOW_LONG: Duration = Duration::from_millis(20);

/// What a child is to be, and the folder it works in.
const ROLE: &str = "OPS_STORE_ROLE";
const FOLDER: &str = "OPS_STORE_FOLDER";

/// Not a test of its own: what a child process does.
#[test]
fn child() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    match role.split_once(' ') {
        Some(("write", writer)) => write_until_killed(&folder, writer.parse().unwrap()),
        Some(("together", first)) => write_together(&folder, first.parse().unwrap()),
        Some(("leave", how)) => leave(&folder, how),
        Some(("fill", _)) => super::faults::fill_the_disk(&folder),
        other => panic!("{other:?}"),
    }
}

fn start(role: &str, folder: &Path) -> Child {
    start_through(Command::new(std::env::current_exe().unwrap()), role, folder)
}

pub(super) fn start_through(mut command: Command, role: &str, folder: &Path) -> Child {
    command.args(["--exact", "store::crash::child", "--nocapture", "--test-threads=1"]);
    command.env(ROLE, role).env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(super) fn open(folder: &Path, options: StoreOptions) -> Store {
    Store::open(&DbUrl::Sqlite(SqliteUrl::from_path(folder.join("x.db"))), options).unwrap()
}

/// Two threads write without end; what a flush acknowledged is said on stdout.
fn write_until_killed(folder: &Path, writer: i64) {
    let options = StoreOptions { spill_after: Duration::from_millis(20), ..StoreOptions::default() };
    let store = open(folder, options);
    let made = [AtomicI64::new(0), AtomicI64::new(0)];
    thread::scope(|scope| {
        for (part, made) in made.iter().enumerate() {
            let store = &store;
            scope.spawn(move || {
                let writer = writer * 2 + i64::try_from(part).unwrap();
                for n in 0.. {
                    store.record(&Note { writer, n }).unwrap();
                    made.store(n + 1, Ordering::Release);
                    if n % 64 == 0 {
                        thread::sleep(Duration::from_micros(200));
                    }
                }
            });
        }
        loop {
            let before = [0, 1].map(|part: usize| made[part].load(Ordering::Acquire));
            if store.flush(PATIENCE).is_acknowledged() {
                println!("acknowledged {} {}", before[0], before[1]);
            }
            thread::sleep(Duration::from_millis(1));
        }
    });
}

/// The last line of acknowledgement that a child said before it was killed.
fn acknowledged(child: Child) -> [i64; 2] {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // Half a line was not said.
    let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let numbers = |line: &str| -> Option<[i64; 2]> {
        // The harness has begun the first line.
        let (one, two) = line.split_once("acknowledged ")?.1.split_once(' ')?;
        Some([one.parse().ok()?, two.parse().ok()?])
    };
    whole.lines().rev().find_map(numbers).unwrap_or_default()
}

#[test]
fn what_was_acknowledged_survives_being_killed_at_any_moment() {
    let mut dice = Dice(11);
    let (mut with_events, mut from_spills) = (0, 0);
    let mut world = World::sqlite();
    let warm_up = warm_up();
    for kill in 0..KILLS {
        // Ten children after each other on one file, then a new one: a file that is long and one that is not there yet.
        if kill % 10 == 0 {
            world = World::sqlite();
        }
        let writer = i64::from(kill % 10);
        let locker = (dice.below(2) == 0).then(|| world.path());
        let mut child = start(&format!("write {writer}"), world.dir.path());
        let moment = Duration::from_millis(dice.below(150 + 2 * warm_up));
        let lock_at = Duration::from_millis(dice.below(60 + warm_up));
        thread::sleep(lock_at.min(moment));
        let lock = locker.and_then(|path| lock(&path));
        thread::sleep(moment.saturating_sub(lock_at));
        child.kill().unwrap();
        let acknowledged = acknowledged(child);
        drop(lock);
        let store = world.store();
        let report = store.flush(PATIENCE);
        assert_eq!(report.failed, 0, "{report:?}");
        from_spills += store.ledger().recovered.written;
        assert!(world.spills().is_empty(), "kill {kill}: {:?} {:?}", world.spills(), store.stats());
        if acknowledged == [0, 0] {
            continue;
        }
        with_events += 1;
        assert_unbroken(&store);
        for (part, acknowledged) in (0..).zip(acknowledged) {
            let found =
                rows(&store, &format!("SELECT count(*) FROM notes WHERE writer = {}", writer * 2 + part));
            assert!(found.parse::<i64>().unwrap() >= acknowledged, "kill {kill}: {found} of {acknowledged}");
        }
    }
    assert!(with_events > KILLS / 3, "only {with_events} children got to write");
    assert!(from_spills > 0, "no child left a spill file");
}

/// Milliseconds until a child has written something, which on a busy machine is longer than what it is then given.
fn warm_up() -> u64 {
    let world = World::sqlite();
    let began = Instant::now();
    let mut child = start("write 0", world.dir.path());
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let said = stdout.lines().map_while(Result::ok).any(|line| line.contains("acknowledged"));
    let took = began.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(said, "a child ended by itself");
    u64::try_from(took.as_millis()).unwrap().min(2_000)
}

/// Takes the write lock of the database, when it is there already.
fn lock(path: &Path) -> Option<Connection> {
    let conn = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
    conn.busy_timeout(Duration::from_millis(500)).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").ok().map(|()| conn)
}

pub(super) fn is_long() -> bool {
    std::env::var("OPS_STORE_LONG").is_ok_and(|value| value == "1")
}

/// Threads of one of several processes, as fast as the store takes it. Says how much was acknowledged.
fn write_together(folder: &Path, first: i64) {
    let store = open(folder, StoreOptions { queue_bytes: 1 << 20, ..StoreOptions::default() });
    let together = if is_long() { Duration::from_mins(1) } else { TOGETHER };
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, stop) = (&store, &stop);
            scope.spawn(move || {
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    store.record(&Note { writer: first + thread, n }).unwrap();
                }
            });
        }
        thread::sleep(together);
        stop.store(true, Ordering::Relaxed);
    });
    let report = store.flush(PATIENCE);
    assert!(report.is_acknowledged(), "{report:?}");
    let ledger = store.shutdown();
    assert_balanced(&ledger);
    println!("acknowledged {} {}", ledger.submitted, ledger.spilled);
}

#[test]
fn processes_and_threads_on_one_file_lose_nothing() {
    let world = World::sqlite();
    let children: Vec<Child> =
        (0..PROCESSES).map(|i| start(&format!("together {}", i * THREADS), world.dir.path())).collect();
    let mut total = 0;
    for child in children {
        let [submitted, _] = acknowledged(child);
        assert!(submitted > 0, "a process wrote nothing");
        total += submitted;
    }
    let store = world.store();
    // Processes that fight for one lock leave millions of jobs in spill files.
    let recovered = (0..20).map(|_| store.flush(PATIENCE)).find(|report| !report.recovering);
    assert_eq!(recovered.map(|report| report.failed), Some(0), "{:?}", store.stats());
    let spilled = store.ledger().recovered.written;
    assert_eq!(count(&store, "notes"), u64::try_from(total).unwrap());
    assert_unbroken(&store);
    let (writers, speed) = (PROCESSES * THREADS, total / if is_long() { 60 } else { 3 });
    println!(
        "{writers} threads of {PROCESSES} processes: {total} rows acknowledged and there, {spilled} of them through spill \
         files, {speed} a second"
    );
}

/// A job that keeps SQLite busy for so many steps.
pub(super) fn slow(n: i64, steps: i64) -> Job {
    let mut job = Job::new();
    job.add_statement(
        "INSERT INTO notes (writer, n) SELECT 1, $1 WHERE (WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 \
         FROM c WHERE i < $2) SELECT max(i) FROM c) > 0",
        &[n.into(), steps.into()],
    );
    job
}

/// How many steps take this long here.
fn steps_of(time: Duration) -> i64 {
    const STEPS: i64 = 200_000;
    let conn = Connection::open_in_memory().unwrap();
    let sql =
        "WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < ?1) SELECT max(i) FROM c";
    let began = Instant::now();
    conn.query_row(sql, [STEPS], |_| Ok(())).unwrap();
    let share = time.as_secs_f64() / began.elapsed().as_secs_f64();
    format!("{:.0}", share * 200_000.0).parse().unwrap()
}

/// Leaves at once: by the end of `main`, as most programs do.
fn leave(folder: &Path, how: &str) {
    let jobs: i64 = how.parse().unwrap();
    let steps = steps_of(if is_long() { SLOW_LONG } else { SLOW });
    let (sender, told) = mpsc::channel();
    let options = StoreOptions {
        close_timeout: Duration::from_millis(1500),
        on_close: Some(Box::new(move |stats| sender.send(stats.clone()).unwrap())),
        ..StoreOptions::default()
    };
    let store = open(folder, options);
    store.submit(Job::new().ensure_table(&super::kit::NOTES)).unwrap();
    for n in 0..jobs {
        store.submit(&slow(n, steps)).unwrap();
    }
    let began = Instant::now();
    drop(store);
    let stats = told.recv().unwrap();
    assert!(began.elapsed() < Duration::from_secs(4), "closing has a bound");
    assert_balanced(&stats.ledger);
    assert_eq!((stats.ledger.pending, stats.ledger.dropped.total()), (0, 0), "{stats:?}");
    println!("acknowledged {} {}", stats.ledger.written, stats.ledger.spilled);
}

#[test]
fn a_thousand_slow_jobs_and_a_normal_end_lose_nothing() {
    let world = World::sqlite();
    let [written, spilled] = acknowledged(start("leave 1000", world.dir.path()));
    assert_eq!(written + spilled, 1001, "written {written}, spilled {spilled}");
    assert!(spilled > 0, "the jobs were not slow: {written}");
    assert_eq!(world.spills().len(), 1);
    let store = world.open(StoreOptions { close_timeout: PATIENCE, ..world.options() });
    assert_eq!(store.flush(PATIENCE).failed, 0);
    assert_eq!(store.ledger().recovered.written, u64::try_from(spilled).unwrap());
    assert_eq!(count(&store, "notes"), 1000);
    assert_unbroken(&store);
}

/// The child's output, for those that are expected to say why.
pub(super) fn lines(child: &mut Child) -> Vec<String> {
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).lines().map_while(Result::ok).collect()
}
