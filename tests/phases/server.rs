//! What only a server can do to a worker: end its connection, end a transaction that stands still, refuse what it cannot
//! keep, be migrated by two at once.

use std::sync::Barrier;

use ops::db::postgres::phases::{migrate, pending};
use ops::phases::{PhaseState, StoreError};
use ops::url::{DbUrl, PostgresUrl};

use super::suite::{event, record, why};
use super::world::{World, claim, now, open};
use crate::postgres::cluster;

fn server(url: &str) -> PostgresUrl {
    let DbUrl::Postgres(url) = DbUrl::parse(url, "/".as_ref()).unwrap() else { panic!("{url}") };
    url
}

#[test]
fn a_connection_that_the_server_ends_is_made_anew() {
    let Some(world) = World::postgres() else { return };
    let mut store = world.with(&["p", "q"]);
    let store = store.as_mut();
    let end_all = || {
        world.sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
    };
    let held = claim(store);
    end_all();
    store.finish(&held, &record(PhaseState::Complete), Ok(&event(&held)), &why).unwrap();
    end_all();
    assert_eq!(store.run_ids().unwrap(), ["r"]);
    assert_eq!(world.sql("SELECT count(*), max(attempt) FROM phase_attempts"), "1|1");
    // What was lost meanwhile stays lost.
    let held = claim(store);
    open(&world.url()).recover_from("me", now()).unwrap();
    end_all();
    let late = store.finish(&held, &record(PhaseState::Complete), Ok(&event(&held)), &why);
    assert!(matches!(late, Err(StoreError::LeaseLost(_))), "{late:?}");
}

#[test]
fn a_transaction_that_stands_still_holds_nobody_up() {
    let Some(world) = World::postgres() else { return };
    let mut store = world.with(&["p"]);
    let held = claim(store.as_mut());
    // Another worker, suspended between its first statement and its commit.
    let (url, database) = (world.url(), world.folder());
    std::thread::scope(|scope| {
        let idle = scope.spawn(move || {
            let _ = database;
            let mut client = ::postgres::Client::connect(&url, ::postgres::NoTls).unwrap();
            client
                .batch_execute(
                    "SET idle_in_transaction_session_timeout = 500; BEGIN; UPDATE runs SET tokens_used = 1",
                )
                .unwrap();
            std::thread::sleep(std::time::Duration::from_secs(2));
            client.batch_execute("COMMIT").unwrap_err();
        });
        std::thread::sleep(std::time::Duration::from_millis(200));
        store.finish(&held, &record(PhaseState::Complete), Ok(&event(&held)), &why).unwrap();
        idle.join().unwrap();
    });
    assert_eq!(world.sql("SELECT tokens_used FROM runs"), "100");
    // And that is how every connection of a store is set.
    world.sql("CREATE TABLE seen (setting text)");
    world.sql(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO seen VALUES (current_setting('idle_in_transaction_session_timeout')); RETURN NEW; END $$;
         CREATE TRIGGER note BEFORE UPDATE ON phase_leases FOR EACH ROW EXECUTE FUNCTION note();
         UPDATE phases SET state = 'QUEUED'",
    );
    let held = claim(store.as_mut());
    store.release(&held, now()).unwrap();
    assert_eq!(world.sql("SELECT DISTINCT setting FROM seen"), "5s");
}

#[test]
fn a_trigger_and_a_constraint_that_refuse_an_event_are_named() {
    let Some(world) = World::postgres() else { return };
    let mut store = world.with(&["p"]);
    for (sql, code) in [
        (
            "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'not today'; END $$;
             CREATE TRIGGER t BEFORE INSERT ON token_estimation_v2_events FOR EACH ROW EXECUTE FUNCTION no()",
            "rejected:trigger:not today",
        ),
        (
            "DROP TRIGGER t ON token_estimation_v2_events;
             ALTER TABLE token_estimation_v2_events ADD CONSTRAINT no_m CHECK (model <> 'm')",
            "rejected:check:no_m",
        ),
        (
            "ALTER TABLE token_estimation_v2_events DROP CONSTRAINT no_m, ALTER attempt TYPE smallint",
            "written",
        ),
        ("ALTER TABLE token_estimation_v2_events RENAME model TO machine", "database_error"),
    ] {
        world.sql(sql);
        let held = claim(store.as_mut());
        store.finish(&held, &record(PhaseState::Queued), Ok(&event(&held)), &why).unwrap();
        let last = "SELECT telemetry FROM phase_attempts ORDER BY attempt DESC LIMIT 1";
        assert_eq!(world.sql(last), code);
        assert_eq!(world.sql("SELECT state FROM phases"), "QUEUED");
    }
}

#[test]
fn of_two_migrators_one_migrates_and_a_changed_migration_is_refused() {
    let Some(cluster) = cluster() else { return };
    let url = server(&cluster.url(&cluster.database()));
    assert_eq!(pending(&url).unwrap(), ["0001_drain", "0002_budgets"]);
    let both = Barrier::new(2);
    let applied = std::thread::scope(|scope| {
        let migrator = || {
            both.wait();
            migrate(&url, now(), "0").unwrap().applied.len()
        };
        let (one, two) = (scope.spawn(migrator), scope.spawn(migrator));
        [one.join().unwrap(), two.join().unwrap()]
    });
    assert_eq!(applied.iter().sum::<usize>(), 2, "{applied:?}");
    assert!(pending(&url).unwrap().is_empty());
    let database = url.expose().rsplit('/').next().unwrap().to_owned();
    cluster.sql(&database, "UPDATE ops_migrations SET checksum = 'x'");
    assert!(migrate(&url, now(), "0").unwrap_err().to_string().contains("`0001_drain`"));
}
