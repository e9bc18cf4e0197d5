//! Locks, full disks, files that are replaced, damaged spill files.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ops::telemetry::store::{Full, Job, Refused, Store, StoreOptions};
use rusqlite::Connection;

use super::crash::{is_long, lines, open, slow, start_through};
use super::kit::{Note, PATIENCE, World, assert_balanced, assert_unbroken, count, rows};

/// How long a foreign process holds the write lock; `OPS_STORE_LONG=1` makes it a minute.
const LOCKED: Duration = Duration::from_secs(4);

fn lock(world: &World) -> Connection {
    let conn = Connection::open(world.path()).unwrap();
    conn.busy_timeout(PATIENCE).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    conn
}

#[test]
fn a_foreign_lock_costs_callers_nothing_and_loses_nothing() {
    let locked = if is_long() { Duration::from_mins(1) } else { LOCKED };
    let world = World::sqlite();
    let store = world.open(StoreOptions { queue_bytes: 4 << 20, ..world.options() });
    store.record(&Note { writer: 1, n: 0 }).unwrap();
    store.flush(PATIENCE);
    let lock = lock(&world);
    let began = Instant::now();
    let (mut n, mut waits) = (1, Vec::new());
    while began.elapsed() < locked {
        // 20,000 a second, which is more than the queue would hold.
        for _ in 0..20 {
            let before = Instant::now();
            store.record(&Note { writer: 1, n }).unwrap();
            waits.push(before.elapsed());
            n += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    let stats = store.stats();
    assert!(stats.ledger.spilled > 0 && stats.is_spilling && stats.retries > 0, "{stats:?}");
    assert!(store.flush(PATIENCE).is_acknowledged(), "the spill file acknowledges");
    drop(lock);
    waits.sort();
    let (p50, p99, longest) = (waits[waits.len() / 2], waits[waits.len() * 99 / 100], waits[waits.len() - 1]);
    println!(
        "{n} events while the database was locked for {locked:?}: p50 {p50:?}, p99 {p99:?}, longest {longest:?}"
    );
    assert!(p99 < Duration::from_millis(1), "{p99:?}");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    let began = Instant::now();
    while store.ledger().spilled > 0 {
        assert!(began.elapsed() < PATIENCE, "{:?}", store.stats());
        thread::sleep(Duration::from_millis(5));
    }
    store.record(&Note { writer: 1, n }).unwrap();
    let ledger = store.shutdown();
    assert!(ledger.is_all_written(), "{}", ledger.equation());
    assert_unbroken(&store);
    assert!(world.spills().is_empty());
}

#[test]
fn a_store_can_be_opened_while_a_file_that_is_not_yet_wal_is_locked() {
    let world = World::sqlite();
    Connection::open(world.path()).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
    let lock = lock(&world);
    let store = world.open(StoreOptions { tables: vec![&super::kit::NOTES], ..world.options() });
    store.record(&Note { writer: 1, n: 0 }).unwrap();
    thread::sleep(Duration::from_millis(300));
    drop(lock);
    let report = store.flush(PATIENCE);
    assert_eq!((report.written, report.failed), (1, 0), "{report:?}");
    assert_eq!(rows(&store, "PRAGMA journal_mode"), "wal");
}

#[test]
fn a_file_that_is_replaced_is_noticed() {
    let world = World::sqlite();
    let store = world.store();
    let note = |n| {
        store.record(&Note { writer: 1, n }).unwrap();
        store.flush(PATIENCE);
    };
    note(0);
    fs::rename(world.path(), world.dir.path().join("old.db")).unwrap();
    note(1);
    assert_eq!(rows(&store, "SELECT n FROM notes"), "1", "{:?}", store.stats());
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(world.dir.path().join(format!("x.db{suffix}"))).unwrap();
    }
    note(2);
    assert_eq!(rows(&store, "SELECT n FROM notes"), "2", "{:?}", store.stats());
}

#[test]
fn a_full_queue_waits_or_drops_and_counts() {
    let world = World::sqlite();
    let options = || StoreOptions { queue_bytes: 64 << 10, spill_after: PATIENCE, ..world.options() };
    let store = world.open(StoreOptions { full: Full::DropNewest, ..options() });
    store.submit(Job::new().ensure_table(&super::kit::NOTES)).unwrap();
    store.flush(PATIENCE);
    store.submit(&slow(1_000_000, 40_000)).unwrap();
    let mut dropped = 0;
    for n in 0..5_000 {
        match store.record(&Note { writer: 2, n }) {
            Ok(()) => {}
            Err(Refused::QueueFull) => dropped += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(dropped > 0 && store.stats().queue_bytes <= 32 << 10, "{:?}", store.stats());
    let large = Job::statement("SELECT 1", &["x".repeat(40 << 10).as_str().into()]);
    assert!(matches!(store.submit(&large), Err(Refused::TooLarge { .. })));
    let ledger = store.shutdown();
    assert_balanced(&ledger);
    assert_eq!((ledger.dropped.queue_full, ledger.written), (dropped + 1, 5_002 - dropped));
    let store = world.open(options());
    for n in 0..5_000 {
        store.record(&Note { writer: 3, n }).unwrap();
    }
    assert!(store.shutdown().is_all_written(), "who waits loses nothing");
}

#[test]
fn closing_frees_who_waits_for_room() {
    let world = World::sqlite();
    let store = world.open(StoreOptions {
        queue_bytes: 4 << 10,
        spill_after: PATIENCE,
        close_timeout: Duration::from_millis(100),
        ..world.options()
    });
    store.record(&Note { writer: 1, n: 0 }).unwrap();
    store.flush(PATIENCE);
    let _lock = lock(&world);
    thread::scope(|scope| {
        let waits = scope.spawn(|| (1..1_000).find_map(|n| store.record(&Note { writer: 1, n }).err()));
        thread::sleep(Duration::from_millis(100));
        let ledger = store.shutdown();
        assert_eq!(waits.join().unwrap(), Some(Refused::Closed));
        assert_balanced(&ledger);
        assert_eq!((ledger.pending, ledger.dropped.spill_lost), (0, 0), "{}", ledger.equation());
        assert!(ledger.spilled > 0);
    });
}

#[test]
fn a_flush_never_takes_longer_than_it_may() {
    let world = World::sqlite();
    let store =
        world.open(StoreOptions { spill_after: PATIENCE, close_timeout: Duration::ZERO, ..world.options() });
    store.record(&Note { writer: 1, n: 0 }).unwrap();
    store.flush(PATIENCE);
    let lock = lock(&world);
    store.record(&Note { writer: 1, n: 1 }).unwrap();
    let flush = || {
        let began = Instant::now();
        let report = store.flush(Duration::from_millis(150));
        assert!((100..2_000).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
        assert_eq!((report.pending, report.is_acknowledged()), (1, false));
        report.last_error
    };
    // On a busy machine the writer may not have tried yet when the first flush is over.
    let error = (0..100).find_map(|_| flush()).expect("a reason");
    assert!(error.contains("locked"), "{error}");
    drop(lock);
    assert!(store.flush(PATIENCE).is_acknowledged());
}

/// Without a folder for a spill file, what is left when closing is over is lost, and said to be.
#[test]
fn what_is_lost_is_counted_and_told_once() {
    let world = World::sqlite();
    let (sender, told) = mpsc::channel();
    let store = world.open(StoreOptions {
        spill_dir: Some(world.dir.path().join("missing")),
        close_timeout: Duration::from_millis(100),
        on_close: Some(Box::new(move |stats| sender.send(stats.clone()).unwrap())),
        ..StoreOptions::default()
    });
    store.record(&Note { writer: 1, n: 0 }).unwrap();
    store.flush(PATIENCE);
    let _lock = lock(&world);
    for n in 1..=10 {
        store.record(&Note { writer: 1, n }).unwrap();
    }
    drop(store);
    let stats = told.recv().unwrap();
    assert_eq!((stats.ledger.written, stats.ledger.dropped.spill_lost, stats.ledger.pending), (1, 10, 0));
    assert_balanced(&stats.ledger);
    assert!(stats.last_error.unwrap().contains("spill file"));
    assert!(told.recv().is_err(), "told once");
}

/// A store that spilled `jobs` jobs and is gone.
fn spilled(world: &World, jobs: i64) -> std::path::PathBuf {
    let options =
        StoreOptions { close_timeout: Duration::ZERO, linger: Duration::from_mins(1), ..world.options() };
    let store = world.open(options);
    for n in 0..jobs {
        store.record(&Note { writer: 1, n }).unwrap();
    }
    assert_eq!(store.shutdown().spilled, u64::try_from(jobs).unwrap());
    world.spills().remove(0)
}

/// What is too much for the spill file is spilled as far as there is room; only the rest is lost.
#[test]
fn a_spill_file_takes_what_fits() {
    let world = World::sqlite();
    let store = world.open(StoreOptions {
        close_timeout: Duration::ZERO,
        linger: Duration::from_mins(1),
        group_jobs: 100_000,
        spill_bytes_max: 64 << 10,
        ..world.options()
    });
    for n in 0..5_000 {
        store.record(&Note { writer: 1, n }).unwrap();
    }
    let ledger = store.shutdown();
    assert!(ledger.spilled > 300, "{}", ledger.equation());
    assert_eq!(ledger.spilled + ledger.dropped.spill_lost, 5_000, "{}", ledger.equation());
    let next = world.store();
    assert!(next.flush(PATIENCE).is_acknowledged(), "{:?}", next.stats());
    assert_eq!(count(&next, "notes"), ledger.spilled);
}

#[test]
fn a_torn_tail_is_cut_and_counted() {
    let whole = World::sqlite();
    let bytes = fs::read(spilled(&whole, 20)).unwrap();
    for cut in [1, 5, 11, 12, 30, 70, 100] {
        let world = World::sqlite();
        let path = world.dir.path().join("x.db-telemetry-0011223344556677.0.spill");
        fs::write(&path, &bytes[..bytes.len() - cut]).unwrap();
        let store = world.store();
        store.flush(PATIENCE);
        let recovered = store.ledger().recovered;
        assert_eq!(recovered.torn_tails, 1, "{cut}: {recovered:?}");
        assert_eq!(count(&store, "notes"), recovered.written);
        assert!((18..20).contains(&recovered.written), "{cut}: {recovered:?}");
        assert_unbroken(&store);
        assert!(!path.exists());
    }
}

#[test]
fn a_damaged_record_is_left_out_and_counted() {
    let world = World::sqlite();
    let path = spilled(&world, 20);
    let mut bytes = fs::read(&path).unwrap();
    let text = b"some length";
    let at = bytes.windows(text.len()).rposition(|window| window == text).unwrap();
    bytes[at] ^= 0x20;
    fs::write(&path, &bytes).unwrap();
    let store = world.store();
    store.flush(PATIENCE);
    let recovered = store.ledger().recovered;
    assert_eq!((recovered.written, recovered.damaged, recovered.torn_tails), (19, 1, 0), "{recovered:?}");
}

/// A process that dies between the commit and the removal of the file leaves a file that the database has already.
#[test]
fn a_file_that_is_in_the_database_already_is_not_written_again() {
    let world = World::sqlite();
    let path = spilled(&world, 20);
    let bytes = fs::read(&path).unwrap();
    let store = world.store();
    store.flush(PATIENCE);
    assert_eq!(store.ledger().recovered.written, 20);
    store.shutdown();
    fs::write(&path, &bytes).unwrap();
    let again = world.store();
    again.flush(PATIENCE);
    assert_eq!(again.ledger().recovered.written, 0, "{:?}", again.stats());
    assert_eq!(count(&again, "notes"), 20);
    assert!(!path.exists());
}

/// What the child of [`a_disk_that_is_full_loses_nothing_in_silence`] does. It may write files of a few hundred
/// kilobytes only, the database as the spill file.
pub(super) fn fill_the_disk(folder: &Path) {
    let store = open(
        folder,
        StoreOptions {
            spill_after: Duration::from_millis(10),
            full: Full::DropNewest,
            queue_bytes: 1 << 20,
            close_timeout: Duration::from_millis(300),
            ..StoreOptions::default()
        },
    );
    for n in 0..60_000 {
        let _ = store.record(&Note { writer: 1, n });
        if n % 500 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let began = Instant::now();
    let ledger = store.shutdown();
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_balanced(&ledger);
    let dropped = ledger.dropped;
    assert_eq!(dropped.sql_error + dropped.ddl_error + ledger.pending, 0, "{}", ledger.equation());
    println!("ledger {} {} {}", ledger.written, ledger.spilled, dropped.total());
}

#[test]
fn a_disk_that_is_full_loses_nothing_in_silence() {
    let world = World::sqlite();
    let mut shell = Command::new("sh");
    let this = std::env::current_exe().unwrap();
    // 512 KiB a file; a process that is told so by a signal would die of it.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 1024; exec \"$0\" \"$@\""]).arg(this);
    let mut child = start_through(shell, "fill 1", world.dir.path());
    let said = lines(&mut child);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{said:?} {}", String::from_utf8_lossy(&output.stderr));
    let numbers = said.iter().find_map(|line| line.split_once("ledger ")).unwrap().1;
    let numbers: Vec<u64> = numbers.split(' ').map(|n| n.parse().unwrap()).collect();
    let (written, spilled) = (numbers[0], numbers[1]);
    assert!(spilled > 0 && numbers[2] > 0, "the disk was not full: {numbers:?}");
    let store: Store = world.store();
    assert_eq!(store.flush(PATIENCE).failed, 0);
    assert_eq!(count(&store, "notes"), written + spilled, "{numbers:?} {:?}", store.stats());
}

#[test]
fn a_database_in_memory_is_written_at_once() {
    let store = Store::in_memory(StoreOptions::default()).unwrap();
    store.record(&Note { writer: 1, n: 0 }).unwrap();
    store.record(&Note { writer: 1, n: 1 }).unwrap();
    assert_eq!(rows(&store, "SELECT id, n FROM notes ORDER BY id"), "1|0 2|1");
    assert!(matches!(store.record(&Note { writer: 1, n: 1 }), Err(Refused::Failed(_))));
    assert_eq!(store.shutdown().equation(), "3 = 2 written + 1 dropped: sql_error");
}

#[test]
fn one_store_for_each_database() {
    let (world, other) = (World::sqlite(), World::sqlite());
    let shared = |world: &World| Store::shared(&world.url, StoreOptions::default()).unwrap();
    let (one, two) = (shared(&world), shared(&world));
    one.record(&Note { writer: 1, n: 0 }).unwrap();
    two.flush(PATIENCE);
    assert_eq!(two.ledger().written, 1, "the same store");
    assert_eq!(shared(&other).ledger().submitted, 0, "another database, another store");
    let link = other.dir.path().join("link.db");
    std::os::unix::fs::symlink(world.path(), &link).unwrap();
    let through = ops::url::DbUrl::Sqlite(ops::url::SqliteUrl::from_path(link));
    assert_eq!(
        Store::shared(&through, StoreOptions::default()).unwrap().ledger().written,
        1,
        "through a link too"
    );
    one.shutdown();
    assert!(shared(&world).record(&Note { writer: 1, n: 1 }).is_ok(), "a closed one is not given out");
}

#[test]
fn what_is_no_database_is_an_error_of_opening() {
    let world = World::sqlite();
    fs::write(world.path(), "this is a text, and a long one, which is no database".repeat(100)).unwrap();
    let error = Store::open(&world.url, StoreOptions::default()).map(|_| ()).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("not a database"));
    let url = ops::url::DbUrl::parse("https://abcdefghijklmnopqrst.supabase.co", Path::new("/")).unwrap();
    assert!(Store::open(&url, StoreOptions::default()).is_err());
}
