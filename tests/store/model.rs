//! A model against the store: random steps, after each of which the books must add up, and at the end every event must
//! be where the books say.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ops::telemetry::store::{Full, Ledger, Refused, Store, StoreOptions};
use rusqlite::Connection;

use super::kit::{Dice, Note, PATIENCE, World, assert_balanced, assert_unbroken, count, rows};

const ROUNDS: u64 = 40;
const STEPS: u64 = 60;

/// What must be true of a database that several stores wrote one after the other.
#[derive(Debug, Default)]
struct Model {
    /// Events that must be there in the end.
    good: u64,
    /// Events that must be refused by the database, once.
    bad: u64,
    refused: u64,
    failed: u64,
    submitted: u64,
}

impl Model {
    /// Books of a store that was closed; what it spilled, later ones write.
    fn close(&mut self, ledger: &Ledger) {
        assert_balanced(ledger);
        assert_eq!(ledger.submitted, self.submitted, "every call is counted");
        assert_eq!(
            ledger.pending + ledger.dropped.spill_lost + ledger.dropped.ddl_error,
            0,
            "{}",
            ledger.equation()
        );
        assert_eq!(ledger.dropped.queue_full + ledger.dropped.closed, self.refused);
        self.failed += ledger.dropped.sql_error + ledger.recovered.failed;
        (self.submitted, self.refused) = (0, 0);
    }
}

#[test]
fn any_order_of_steps_keeps_the_books_and_the_events() {
    let mut spilled = 0;
    for round in 0..ROUNDS {
        let mut dice = Dice(round * 7919 + 1);
        let world = World::sqlite();
        let mut model = Model::default();
        let mut lock: Option<Connection> = None;
        let mut store = open(&world, &mut dice);
        for _ in 0..STEPS {
            match dice.below(12) {
                0..=5 => submit(&store, &mut dice, &mut model),
                6 => {
                    let report = store.flush(Duration::from_millis(dice.below(40)));
                    assert!(
                        report.written + report.failed + report.spilled + report.pending <= model.submitted,
                        "{report:?}"
                    );
                }
                7 => lock = lock.is_none().then(|| hold(&world)).flatten(),
                8 => lock = None,
                9 => {
                    let ledger = store.shutdown();
                    spilled += ledger.spilled;
                    model.close(&ledger);
                    store = open(&world, &mut dice);
                }
                10 => std::thread::sleep(Duration::from_millis(dice.below(30))),
                _ => assert_balanced(&store.ledger()),
            }
        }
        drop(lock);
        model.close(&store.shutdown());
        finish(&world, &mut model, round);
    }
    assert!(spilled > 0, "nothing was ever spilled");
}

fn open(world: &World, dice: &mut Dice) -> Store {
    world.open(StoreOptions {
        queue_bytes: 1 << (12 + dice.below(9)),
        full: if dice.below(2) == 0 { Full::Block } else { Full::DropNewest },
        group_jobs: u32::try_from(1 + dice.below(50)).unwrap(),
        linger: Duration::from_millis(dice.below(5)),
        spill_after: Duration::from_millis(dice.below(60)),
        close_timeout: Duration::from_millis(dice.below(60)),
        ..world.options()
    })
}

/// A few events; some break a constraint. Numbers are used up only by events that were taken.
fn submit(store: &Store, dice: &mut Dice, model: &mut Model) {
    for _ in 0..dice.below(80) {
        let is_bad = dice.below(20) == 0;
        let n = if is_bad { -1 } else { i64::try_from(model.good).unwrap() };
        model.submitted += 1;
        match store.record(&Note { writer: 1, n }) {
            Ok(()) if is_bad => model.bad += 1,
            Ok(()) => model.good += 1,
            Err(Refused::QueueFull) => model.refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
}

/// The write lock of the file, as a foreign process would hold it.
fn hold(world: &World) -> Option<Connection> {
    let conn = Connection::open(world.path()).unwrap();
    conn.busy_timeout(Duration::from_secs(1)).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").ok().map(|()| conn)
}

fn finish(world: &World, model: &mut Model, round: u64) {
    let store = world.store();
    assert!(store.flush(PATIENCE).pending == 0);
    model.close(&store.shutdown());
    assert!(world.spills().is_empty(), "round {round}: {:?}", store.stats());
    let made = rows(&store, "SELECT count(*) FROM sqlite_schema WHERE name = 'notes'");
    let found = if made == "1" { count(&store, "notes") } else { 0 };
    assert_eq!((found, model.failed), (model.good, model.bad), "round {round}: {model:?}");
    if found > 0 {
        assert_unbroken(&store);
    }
}

const CROWD: i64 = 16;
const EACH: i64 = 2_000;

/// Of them, how many each hands over only when the store has been closed.
const LATE: i64 = 20;

/// Threads hand over good jobs, bad ones and more than there is room for, and flush; the store is closed in the middle of
/// it. Somebody reads the books all the time. That a bad job gets in and that some come too late is left to no scheduler.
#[test]
fn the_books_add_up_at_every_moment_in_a_crowd() {
    let world = World::sqlite();
    let small = StoreOptions { queue_bytes: 32 << 10, full: Full::DropNewest, ..world.options() };
    let store = world.open(small);
    let (is_closed, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let all = u64::try_from(CROWD * EACH).unwrap() + 1;
    store.record(&Note { writer: 0, n: -1 }).unwrap();
    let part = |writer: i64| {
        for n in 0..EACH {
            while n >= EACH - LATE && !is_closed.load(Ordering::Acquire) {
                thread::yield_now();
            }
            let n = if n % 50 == 49 { -1 } else { n };
            let _ = store.record(&Note { writer, n });
            if n % 300 == 0 {
                store.flush(Duration::from_millis(20));
            }
        }
    };
    let looks = thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let (mut looks, mut before) = (0_u64, Ledger::default());
            while !is_over.load(Ordering::Acquire) {
                let ledger = store.ledger();
                assert_balanced(&ledger);
                assert!(ledger.submitted >= before.submitted && ledger.written >= before.written);
                (looks, before) = (looks + 1, ledger);
            }
            looks
        });
        let part = &part;
        let crowd: Vec<_> = (0..CROWD).map(|writer| scope.spawn(move || part(writer))).collect();
        while store.ledger().submitted < all * 3 / 4 {
            thread::yield_now();
        }
        store.shutdown();
        is_closed.store(true, Ordering::Release);
        let ended: Vec<_> = crowd.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Release);
        assert!(ended.iter().all(Result::is_ok));
        watcher.join().unwrap()
    });
    let ledger = store.ledger();
    assert_balanced(&ledger);
    assert_eq!((ledger.submitted, ledger.pending), (all, 0), "{}", ledger.equation());
    let dropped = ledger.dropped;
    assert!(dropped.closed >= u64::try_from(CROWD * LATE).unwrap(), "{}", ledger.equation());
    assert!(looks > 100 && dropped.sql_error > 0, "{looks} {}", ledger.equation());
    let next = world.store();
    assert!(next.flush(PATIENCE).pending == 0);
    assert_eq!(count(&next, "notes"), ledger.written + next.ledger().recovered.written);
}
