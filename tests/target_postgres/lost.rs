//! Connections that end, answers that are lost, locks and limits of time: what is told, and what was done.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::Duration;

use ops::target::{Outcome, Target, TargetError};

use crate::server::{Cluster, cluster};
use crate::{
    PostgresOptions, PostgresTarget, apply, begin, connect, hasty, insert, name, run, update, url, with_table,
};

const APPLIED: Outcome = Outcome::Applied { stored: None };

/// What the way between driver and server does to the next message with a commit.
const PASS: u8 = 0;
const LOSE_REQUEST: u8 = 1;
const LOSE_ANSWER: u8 = 2;

/// A port that leads to the cluster until it is told to fail.
fn way(cluster: &Cluster) -> (u16, Arc<AtomicU8>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (server, mood) = (cluster.port(), Arc::new(AtomicU8::new(PASS)));
    let told = Arc::clone(&mood);
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", server)).unwrap());
            let (up, down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let told = Arc::clone(&told);
            thread::spawn(move || upwards(up, server, &told));
            thread::spawn(move || drop(std::io::copy(&mut &down, &mut &client)));
        }
    });
    (port, mood)
}

fn upwards(mut client: TcpStream, mut server: TcpStream, told: &AtomicU8) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        let is_commit = buffer[..read].windows(8).any(|part| part == b"; COMMIT");
        match told.load(Ordering::SeqCst) {
            LOSE_REQUEST if is_commit => break,
            LOSE_ANSWER if is_commit => {
                client.shutdown(Shutdown::Both).unwrap();
                server.write_all(&buffer[..read]).unwrap();
                // The server is not to notice before it has committed.
                thread::sleep(Duration::from_millis(500));
                break;
            }
            _ => server.write_all(&buffer[..read]).unwrap(),
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

#[test]
fn a_lost_commit_is_in_doubt_until_the_books_are_asked() {
    let Some(cluster) = cluster() else { return };
    for (mood, is_done) in [(LOSE_REQUEST, false), (LOSE_ANSWER, true)] {
        let (database, _) = with_table(cluster);
        let (port, told) = way(cluster);
        let mut target = connect(&format!("postgres://postgres@127.0.0.1:{port}/{database}?sslmode=disable"));
        let table = target.table(&name("t")).unwrap();
        begin(&mut target, &table);
        assert_eq!(apply(&mut target, &table, 0, &[insert(3, "c")]).unwrap(), [APPLIED]);
        told.store(mood, Ordering::SeqCst);
        let changes = [insert(4, "d"), update(1, "a", "A")];
        let error = apply(&mut target, &table, 1, &changes).unwrap_err();
        assert!(matches!(error, TargetError::InDoubt { .. }), "{error:?}");
        told.store(PASS, Ordering::SeqCst);

        thread::sleep(Duration::from_secs(u64::from(is_done)));
        let recorded = target.recorded(&run(), 1).unwrap();
        assert_eq!(recorded.len(), usize::from(is_done));
        let again = apply(&mut target, &table, 1, &changes);
        if is_done {
            assert_eq!(recorded[0].outcomes, [APPLIED, APPLIED]);
            assert!(matches!(again, Err(TargetError::Refused(_))), "{again:?}");
        } else {
            assert_eq!(again.unwrap(), [APPLIED, APPLIED]);
        }
        let rows = cluster.sql(&database, "SELECT id, v FROM t ORDER BY id");
        assert_eq!(rows, "1|A\n2|b\n3|c\n4|d");
    }
}

#[test]
fn a_connection_that_was_ended_is_made_again() {
    let Some(cluster) = cluster() else { return };
    let (database, text) = with_table(cluster);
    let mut target = connect(&text);
    let table = target.table(&name("t")).unwrap();
    begin(&mut target, &table);
    let end_all = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name = 'ops'";
    assert_eq!(cluster.sql(&database, end_all), "2");
    assert_eq!(target.scan(&table, &mut |_| Ok(())).unwrap().rows, 2);
    let changes = [insert(3, "c")];
    let outcomes = apply(&mut target, &table, 0, &changes).or_else(|error| {
        assert!(matches!(error, TargetError::Transient { .. }), "{error:?}");
        apply(&mut target, &table, 0, &changes)
    });
    assert_eq!(outcomes.unwrap(), [APPLIED]);
}

#[test]
fn a_server_that_is_not_there_may_come_back() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = url(&format!("postgres://ann:s3cret@127.0.0.1:{port}/d"));
    let error = PostgresTarget::connect(&url, PostgresOptions::default()).unwrap_err();
    assert!(matches!(error, TargetError::Transient { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
}

#[test]
fn a_login_that_is_refused_stays_so_and_says_nothing_of_the_password() {
    let Some(cluster) = cluster() else { return };
    let url = url(&cluster.url_as("scram_user:wrong-8642", "postgres"));
    let error = PostgresTarget::connect(&url, PostgresOptions::default()).unwrap_err();
    assert!(matches!(error, TargetError::Failed { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("8642"), "{error:?}");
}

#[test]
fn a_lock_that_others_keep_is_waited_for_only_so_long() {
    let Some(cluster) = cluster() else { return };
    let (database, text) = with_table(cluster);
    let mut target = hasty(&text, 60_000, 200);
    let table = target.table(&name("t")).unwrap();
    begin(&mut target, &table);
    let mut other = postgres::Client::connect(&text, postgres::NoTls).unwrap();
    other.batch_execute("BEGIN; UPDATE t SET v = 'theirs' WHERE id = 2").unwrap();
    let changes = [update(1, "a", "A"), update(2, "b", "B")];
    let error = apply(&mut target, &table, 0, &changes).unwrap_err();
    assert!(matches!(error, TargetError::Transient { .. }), "{error:?}");
    assert_eq!(cluster.sql(&database, "SELECT v FROM t WHERE id = 1"), "a", "nothing was changed");
    other.batch_execute("ROLLBACK").unwrap();
    assert_eq!(apply(&mut target, &table, 0, &changes).unwrap(), [APPLIED, APPLIED]);
}

#[test]
fn a_batch_that_takes_too_long_is_undone() {
    let Some(cluster) = cluster() else { return };
    let (database, text) = with_table(cluster);
    cluster.sql(
        &database,
        "CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS
             'BEGIN PERFORM pg_sleep(CASE WHEN NEW.v = ''slow'' THEN 20 ELSE 0 END); RETURN NEW; END';
         CREATE TRIGGER nap BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION nap()",
    );
    let mut target = hasty(&text, 700, 500);
    let table = target.table(&name("t")).unwrap();
    begin(&mut target, &table);
    let error = apply(&mut target, &table, 0, &[insert(3, "c"), insert(4, "slow")]).unwrap_err();
    assert!(matches!(error, TargetError::TooSlow { .. }), "{error:?}");
    assert_eq!(apply(&mut target, &table, 0, &[insert(3, "c")]).unwrap(), [APPLIED]);
    assert_eq!(cluster.sql(&database, "SELECT count(*) FROM t"), "3");
    // A scan may take as long as it takes.
    cluster.sql(
        &database,
        "CREATE FUNCTION slow() RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT pg_sleep(0.4) IS NOT NULL';
         CREATE TABLE u (id integer PRIMARY KEY, v boolean GENERATED ALWAYS AS (true) STORED);
         INSERT INTO u SELECT generate_series(1, 3)",
    );
    let table = target.table(&name("u")).unwrap();
    let mut rows = 0;
    let scanned = target.scan(&table, &mut |_| {
        thread::sleep(Duration::from_millis(400));
        rows += 1;
        Ok(())
    });
    assert_eq!((scanned.unwrap().rows, rows), (3, 3));
}

/// What a trigger says can hold anything, also what a person must not read in a log.
#[test]
fn what_a_trigger_says_of_a_row_is_not_passed_on() {
    let Some(cluster) = cluster() else { return };
    let (database, text) = with_table(cluster);
    cluster.sql(
        &database,
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
             $$BEGIN RAISE EXCEPTION 'bad row: %', NEW USING DETAIL = NEW.v, HINT = NEW.v; END$$;
         CREATE TRIGGER tell BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tell()",
    );
    let mut target = connect(&text);
    let table = target.table(&name("t")).unwrap();
    begin(&mut target, &table);
    let outcomes = apply(&mut target, &table, 0, &[insert(3, "confidential"), update(1, "a", "A")]).unwrap();
    assert_eq!(outcomes, [Outcome::Failed { reason: "SQLSTATE P0001".to_owned() }, APPLIED]);
    let books = cluster.sql(&database, "SELECT outcomes FROM ops_change_batches");
    assert!(!books.contains("confidential"), "{books}");
}

#[test]
fn a_role_without_rights_is_told_so() {
    let Some(cluster) = cluster() else { return };
    let (database, _) = with_table(cluster);
    cluster.sql(
        &database,
        "CREATE ROLE looker LOGIN; GRANT SELECT ON t TO looker; REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    );
    let mut target = connect(&cluster.url_as("looker", &database));
    let table = target.table(&name("t")).unwrap();
    let expires = crate::now().plus(Duration::from_mins(1));
    let error = target.begin(&table, &run(), "owner", crate::now(), expires).unwrap_err();
    assert!(matches!(error, TargetError::Failed { .. }), "{error:?}");
    assert!(format!("{error:?}").contains("permission denied for schema public"), "{error:?}");
    cluster.sql(&database, "GRANT CREATE ON SCHEMA public TO looker");
    begin(&mut target, &table);
    let error = apply(&mut target, &table, 0, &[insert(3, "c")]).unwrap_err();
    assert!(format!("{error:?}").contains("permission denied for table t"), "{error:?}");
    // Others cannot read what the books say of rows.
    cluster.sql(&database, "CREATE ROLE nosy LOGIN");
    let mut nosy = postgres::Client::connect(&cluster.url_as("nosy", &database), postgres::NoTls).unwrap();
    for table in ["ops_change_runs", "ops_change_batches"] {
        assert!(nosy.simple_query(&format!("TABLE {table}")).is_err(), "{table}");
    }
}
