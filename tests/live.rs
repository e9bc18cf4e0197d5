//! The PostgreSQL reader against a real server: what it reads, what it refuses and what its errors say.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

mod support {
    #[expect(dead_code, reason = "each test binary uses a part of the support")]
    pub(crate) mod postgres;
}

use std::error::Error;
use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use ops::db::postgres::{ConnectOptions, Session};
use ops::db::{Cell, DbError, Lineage, Reader, WriteLineage};
use ops::url::{DbUrl, PostgresUrl};
use support::postgres::{Cluster, SCRAM_PASSWORD, SCRAM_USER, TLS_USER, cluster};

fn url(text: &str) -> PostgresUrl {
    match DbUrl::parse(text, Path::new("/")).unwrap() {
        DbUrl::Postgres(url) => url,
        other => panic!("{text} is {other}"),
    }
}

fn options() -> ConnectOptions {
    ConnectOptions {
        connect_timeout: Duration::from_secs(20),
        statement_timeout: Duration::from_secs(20),
        application_name: "ops-live-test".to_owned(),
    }
}

fn connect(text: &str) -> Result<Session, DbError> {
    Session::connect(&url(text), &options())
}

/// Everything that a user could get to see of an error.
fn chain(error: &DbError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        write!(text, " {cause} {cause:?}").unwrap();
        source = cause.source();
    }
    text
}

fn connect_error(text: &str) -> String {
    chain(&connect(text).unwrap_err())
}

fn one(session: &mut Session, sql: &str) -> Cell {
    session.rows(sql).unwrap().remove(0).remove(0)
}

/// A database with a table `t` of one row, and its URL.
fn with_table(cluster: &Cluster) -> (String, String) {
    let database = cluster.database();
    cluster
        .sql(&database, "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO t VALUES (1, 'a')");
    let url = cluster.url(&database);
    (database, url)
}

#[test]
fn connects_with_a_password_and_under_its_own_name() {
    let Some(cluster) = cluster() else { return };
    let user = format!("{SCRAM_USER}:{SCRAM_PASSWORD}");
    let mut session = connect(&cluster.url_as(&user, "postgres")).unwrap();
    assert_eq!(one(&mut session, "SELECT current_user::text"), Cell::Text(SCRAM_USER.into()));
    assert_eq!(one(&mut session, "SHOW application_name"), Cell::Text("ops-live-test".into()));
    assert_eq!(one(&mut session, "SHOW statement_timeout"), Cell::Text("20s".into()));
}

#[test]
fn a_wrong_password_is_not_shown_nor_is_the_user() {
    let Some(cluster) = cluster() else { return };
    let text = connect_error(&cluster.url_as(&format!("{SCRAM_USER}:hunter2-secret"), "postgres"));
    assert!(text.contains("28P01") && text.contains("check the user and the password"), "{text}");
    assert!(!text.contains("hunter2") && !text.contains(SCRAM_USER), "{text}");
    // No password at all is found out by the driver, before the server can refuse.
    let text = connect_error(&cluster.url_as(SCRAM_USER, "postgres"));
    assert!(text.contains("password missing") && !text.contains(SCRAM_USER), "{text}");
    let text = connect_error(&cluster.url_as("nobody_here:hunter2-secret", "postgres"));
    assert!(text.contains("28000") && !text.contains("nobody_here") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_wrong_database_and_a_closed_port_say_what_to_check() {
    let Some(cluster) = cluster() else { return };
    let text = connect_error(&cluster.url("no_such_database"));
    assert!(text.contains("3D000") && text.contains("check the name of the database"), "{text}");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = connect_error(&format!("postgres://u:hunter2@127.0.0.1:{port}/d"));
    assert!(text.contains("check the host and the port") && !text.contains("hunter2"), "{text}");
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let quick = ConnectOptions { connect_timeout: Duration::from_millis(200), ..options() };
    let started = Instant::now();
    let error =
        Session::connect(&url(&format!("postgres://u:hunter2@127.0.0.1:{port}/d")), &quick).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10));
    let text = chain(&error);
    assert!(text.contains("timed out after 0.2 s") && !text.contains("hunter2"), "{text}");
}

#[test]
fn an_unknown_parameter_is_refused_before_connecting() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let port = silent.local_addr().unwrap().port();
    let text = connect_error(&format!("postgres://127.0.0.1:{port}/d?sslcrl=x"));
    assert!(text.contains("`sslcrl`"), "{text}");
    assert_eq!(silent.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn nothing_can_be_written_through_a_session() {
    let Some(cluster) = cluster() else { return };
    let (database, url) = with_table(cluster);
    cluster.sql(&database, "CREATE SEQUENCE numbers");
    // The URL's own options come first and lose.
    let mut session = connect(&format!("{url}?options=-c%20default_transaction_read_only%3Doff")).unwrap();
    for sql in [
        "INSERT INTO t VALUES (2, 'b')",
        "INSERT INTO t VALUES (2, 'b') RETURNING id",
        "SELECT nextval('numbers')",
        "WITH d AS (DELETE FROM t RETURNING id) SELECT * FROM d",
        "SELECT 1; INSERT INTO t VALUES (2, 'b')",
        "COMMIT; INSERT INTO t VALUES (2, 'b')",
        "COMMIT",
        "SET TRANSACTION READ WRITE",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "CREATE TABLE u AS SELECT 1",
        "EXPLAIN ANALYZE DELETE FROM t",
    ] {
        let error = session.rows(sql).expect_err(sql);
        assert!(error.source().is_some(), "{sql}");
        assert_eq!(one(&mut session, "SHOW transaction_read_only"), Cell::Text("on".into()), "{sql}");
    }
    let text = chain(&session.rows("INSERT INTO t VALUES (2, 'b') RETURNING id").unwrap_err());
    assert!(text.contains("25006"), "{text}");
    assert_eq!(one(&mut session, "SHOW default_transaction_read_only"), Cell::Text("on".into()));
    drop(session);
    assert_eq!(cluster.sql(&database, "SELECT count(*), to_regclass('u') IS NULL FROM t"), "1|t");
}

#[test]
fn all_reads_see_the_moment_of_connecting() {
    let Some(cluster) = cluster() else { return };
    let (database, url) = with_table(cluster);
    let mut session = connect(&url).unwrap();
    cluster.sql(&database, "INSERT INTO t VALUES (2, 'b')");
    assert_eq!(one(&mut session, "SELECT count(*) FROM t"), Cell::Int(1));
    session.rows("SELECT no_such_column FROM t").unwrap_err();
    cluster.sql(&database, "INSERT INTO t VALUES (3, 'c')");
    assert_eq!(
        one(&mut session, "SELECT count(*) FROM t"),
        Cell::Int(1),
        "a failed query keeps the snapshot"
    );
    assert_eq!(one(&mut connect(&url).unwrap(), "SELECT count(*) FROM t"), Cell::Int(3));
}

#[test]
fn columns_are_those_of_the_table_in_the_search_path() {
    let Some(cluster) = cluster() else { return };
    let (database, url) = with_table(cluster);
    cluster.sql(
        &database,
        "ALTER TABLE t ADD gone INTEGER, ADD \"Odd name\" INTEGER; ALTER TABLE t DROP gone;
         CREATE SCHEMA s; CREATE TABLE s.hidden (a INTEGER); CREATE TABLE \"T\" (upper INTEGER)",
    );
    let mut session = connect(&url).unwrap();
    assert_eq!(session.columns("t").unwrap(), ["id", "name", "Odd name"]);
    assert_eq!(session.columns("T").unwrap(), ["upper"]);
    for absent in ["hidden", "t_pkey", "no such", "x'; DROP TABLE t --", ""] {
        assert_eq!(session.columns(absent).unwrap(), Vec::<String>::new(), "{absent}");
    }
}

#[test]
fn every_type_has_its_cell() {
    let Some(cluster) = cluster() else { return };
    let database = cluster.database();
    cluster.sql(
        &database,
        &format!(
            "CREATE TYPE mood AS ENUM ('fine'); CREATE DOMAIN positive AS INTEGER CHECK (VALUE > 0);
             ALTER DATABASE {database} SET timezone = 'Asia/Tokyo'"
        ),
    );
    let mut session = connect(&cluster.url(&database)).unwrap();
    let text = |t: &str| Cell::Text(t.to_owned());
    for (sql, expected) in [
        ("NULL::int", Cell::Null),
        ("NULL", Cell::Null),
        ("(-32768)::int2", Cell::Int(-32768)),
        ("2147483647::int4", Cell::Int(2_147_483_647)),
        ("(-9223372036854775808)::int8", Cell::Int(i64::MIN)),
        ("true", Cell::Int(1)),
        ("false", Cell::Int(0)),
        ("7::positive", Cell::Int(7)),
        ("0.1::float4", Cell::Real(0.1)),
        ("0.1::float8 + 0.2", Cell::Real(0.1 + 0.2)),
        ("'-Infinity'::float8", Cell::Real(f64::NEG_INFINITY)),
        ("0.100000000000000000000000000001::numeric", text("0.100000000000000000000000000001")),
        ("'x'::char(3)", text("x  ")),
        ("'ü |\n'::text", text("ü |\n")),
        ("''::varchar", text("")),
        ("'fine'::mood", text("fine")),
        ("'\\x00ff'::bytea", text("\\x00ff")),
        ("'{\"a\": [1, null]}'::jsonb", text("{\"a\": [1, null]}")),
        ("ARRAY[1, NULL, 3]", text("{1,NULL,3}")),
        ("'2026-01-02'::date", text("2026-01-02")),
        ("'2026-01-02 03:04:05.6+01'::timestamptz", text("2026-01-02 02:04:05.6+00")),
        ("interval '1 day 2 hours'", text("P1DT2H")),
        ("'00000000-0000-0000-0000-00000000000a'::uuid", text("00000000-0000-0000-0000-00000000000a")),
        ("ROW(1, 'a')", text("(1,a)")),
    ] {
        assert_eq!(one(&mut session, &format!("SELECT {sql}")), expected, "{sql}");
    }
    assert!(matches!(one(&mut session, "SELECT 'NaN'::float8"), Cell::Real(x) if x.is_nan()));
    assert_eq!(session.rows("SELECT 1, 'a' WHERE false").unwrap(), Vec::<Vec<Cell>>::new());
    assert_eq!(
        session.rows("SELECT g, g > 1 FROM generate_series(1, 2) g").unwrap(),
        [[Cell::Int(1), Cell::Int(0)], [Cell::Int(2), Cell::Int(1)]]
    );
}

#[test]
fn sslmode_means_what_libpq_means() {
    let Some(cluster) = cluster() else { return };
    let plain = cluster.url_as(TLS_USER, "postgres");
    // The certificate is for 127.0.0.1: the same server, called by another name.
    let named = format!("{}?hostaddr=127.0.0.1", plain.replace("127.0.0.1", "localhost"));
    let ca = cluster.certificate("ca.crt");
    let other = cluster.certificate("other.crt");
    let (ca, other) = (ca.display(), other.display());
    for good in [
        plain.clone(),
        format!("{plain}?sslmode=require"),
        format!("{plain}?sslmode=verify-full&sslrootcert={ca}"),
        format!("{named}&sslmode=verify-ca&sslrootcert={ca}"),
        format!("{named}&sslmode=require&sslrootcert={ca}"),
    ] {
        let mut session = connect(&good).unwrap_or_else(|e| panic!("{good}: {}", chain(&e)));
        assert!(session.facts().unwrap().encrypted, "{good}");
    }
    for (bad, why) in [
        (format!("{plain}?sslmode=verify-full&sslrootcert={other}"), "invalid peer certificate"),
        (format!("{plain}?sslmode=verify-ca&sslrootcert={other}"), "invalid peer certificate"),
        (format!("{plain}?sslmode=require&sslrootcert={other}"), "invalid peer certificate"),
        (format!("{plain}?sslmode=verify-full"), "certificate"),
        (format!("{named}&sslmode=verify-full&sslrootcert={ca}"), "not valid for name"),
        (format!("{plain}?sslmode=disable"), "28000"),
    ] {
        let text = connect_error(&bad);
        assert!(text.contains(why) && text.contains("`ssl"), "{bad}: {text}");
        assert!(!text.contains(TLS_USER), "{text}");
    }
    let mut session = connect(&format!("{}?sslmode=disable", cluster.url("postgres"))).unwrap();
    assert!(!session.facts().unwrap().encrypted);
}

/// SCRAM over TLS binds the password's proof to the server's certificate.
#[test]
fn a_password_is_bound_to_the_certificate() {
    let Some(cluster) = cluster() else { return };
    let user = format!("{SCRAM_USER}:{SCRAM_PASSWORD}");
    let url = cluster.url_as(&user, "postgres");
    connect(&format!("{url}?sslmode=require&channel_binding=require")).unwrap();
    let text = connect_error(&format!("{url}?sslmode=disable&channel_binding=require"));
    assert!(text.contains("channel binding"), "{text}");
}

#[test]
fn a_statement_that_takes_too_long_ends_and_the_session_goes_on() {
    let Some(cluster) = cluster() else { return };
    let short = ConnectOptions { statement_timeout: Duration::from_millis(100), ..options() };
    let mut session = Session::connect(&url(&cluster.url("postgres")), &short).unwrap();
    let started = Instant::now();
    let text = chain(&session.rows("SELECT 1 FROM pg_sleep(60)").unwrap_err());
    assert!(text.contains("57014") && started.elapsed() < Duration::from_secs(20), "{text}");
    assert_eq!(one(&mut session, "SELECT 1"), Cell::Int(1));
}

/// One schema, written in an order that depends on `swap`.
fn schema(swap: bool) -> String {
    let mut parts = [
        "CREATE TYPE mood AS ENUM ('sad', 'fine'); CREATE DOMAIN positive AS INTEGER CHECK (VALUE > 0)",
        "CREATE TABLE item (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY)",
        "CREATE TABLE log (at DATE, n INTEGER) PARTITION BY RANGE (at);
         CREATE TABLE log_2026 PARTITION OF log FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    ];
    let mut columns =
        ["ALTER TABLE item ADD m mood DEFAULT 'fine'", "ALTER TABLE item ADD price NUMERIC(8,2) NOT NULL"];
    if swap {
        parts.reverse();
        columns.reverse();
    }
    let rest = "ALTER TABLE item ADD CHECK (price > 0) NOT VALID; CREATE INDEX item_m ON item (m);
        CREATE SCHEMA \"Odd\"; CREATE TABLE \"Odd\".\"T\" (x positive, y TEXT COLLATE \"C\", item BIGINT REFERENCES item);
        CREATE VIEW cheap AS SELECT id FROM item WHERE price < 10;
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER g BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION f()";
    format!("{}; {}; {rest}", parts.join("; "), columns.join("; "))
}

#[test]
fn facts_describe_the_server_and_the_schema() {
    let Some(cluster) = cluster() else { return };
    let databases = [false, true].map(|swap| {
        let database = cluster.database();
        cluster.sql(&database, &schema(swap));
        database
    });
    let mut session = connect(&cluster.url(&databases[0])).unwrap();
    let facts = session.facts().unwrap();
    assert_eq!(facts.database, databases[0]);
    let oid = cluster.sql(&databases[0], "SELECT oid FROM pg_database WHERE datname = current_database()");
    assert_eq!(facts.oid.to_string(), oid);
    assert_eq!(facts.server_version, cluster.sql("postgres", "SHOW server_version"));
    let cluster_id = cluster.sql("postgres", "SELECT system_identifier FROM pg_control_system()");
    assert_eq!(facts.system_identifier.unwrap().to_string(), cluster_id);
    assert!(facts.size_bytes > 1_000_000 && !facts.in_recovery);
    assert_eq!(facts.tables, ["\"Odd\".\"T\"", "public.item", "public.log"]);
    assert_eq!(facts.not_valid_constraints, 1);
    for line in [
        "column public.item.price numeric(8,2) not null",
        "column public.item.m public.mood default 'fine'::public.mood",
        "column public.item.id bigint not null identity=a",
        "column \"Odd\".\"T\".x public.positive",
        "column \"Odd\".\"T\".y text collate \"C\"",
        "trigger public.item enabled=O CREATE TRIGGER g BEFORE INSERT ON public.item FOR EACH ROW EXECUTE FUNCTION public.f()",
        "constraint public.item.item_price_check CHECK ((price > (0)::numeric)) NOT VALID",
        "constraint \"Odd\".\"T\".\"T_item_fkey\" FOREIGN KEY (item) REFERENCES public.item(id)",
        "index public.item CREATE INDEX item_m ON public.item USING btree (m) valid=t",
        "enum public.mood 'sad', 'fine'",
        "domain public.positive integer CHECK ((VALUE > 0))",
        "relation public.log_2026 kind=r persistence=p row_security=f partition FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') of public.log",
    ] {
        assert!(facts.schema.iter().any(|l| l == line), "{line} not in\n{}", facts.schema.join("\n"));
    }
    assert!(facts.schema.is_sorted());
    assert_eq!(one(&mut session, "SHOW search_path"), Cell::Text("\"$user\", public".into()));

    let twin = connect(&cluster.url(&databases[1])).unwrap().facts().unwrap();
    assert_eq!(twin.schema, facts.schema);
    let stamped =
        Session::write_lineage(&url(&cluster.url(&databases[1])), &options(), &lineage("l"), "v").unwrap();
    assert_eq!(stamped, WriteLineage::Written);
    assert_eq!(connect(&cluster.url(&databases[1])).unwrap().facts().unwrap().schema, facts.schema);
    cluster.sql(&databases[1], "ALTER TABLE item ALTER price DROP NOT NULL");
    assert_ne!(connect(&cluster.url(&databases[1])).unwrap().facts().unwrap().schema, facts.schema);
}

#[test]
fn facts_do_without_what_is_not_permitted() {
    let Some(cluster) = cluster() else { return };
    let (database, _) = with_table(cluster);
    cluster.sql(&database, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC");
    let mut session = connect(&cluster.url_as(TLS_USER, &database)).unwrap();
    let facts = session.facts().unwrap();
    assert_eq!((facts.system_identifier, facts.tables), (None, vec!["public.t".to_owned()]));
    let text = chain(&session.rows("SELECT * FROM t").unwrap_err());
    assert!(text.contains("42501") && text.contains("granted"), "{text}");
}

fn lineage(id: &str) -> Lineage {
    Lineage { id: id.to_owned(), purpose: "test".to_owned(), stamped_at: "2026-01-02".to_owned() }
}

#[test]
fn of_many_stampers_exactly_one_writes() {
    const STAMPERS: usize = 8;
    let Some(cluster) = cluster() else { return };
    let database = cluster.database();
    // A database that is read-only by default can still be stamped.
    cluster.sql(&database, &format!("ALTER DATABASE {database} SET default_transaction_read_only = on"));
    let url = url(&cluster.url(&database));
    let barrier = Barrier::new(STAMPERS);
    let outcomes: Vec<WriteLineage> = thread::scope(|scope| {
        let stampers: Vec<_> = (0..STAMPERS)
            .map(|i| {
                let (url, barrier) = (&url, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    let lineage = lineage(&format!("lineage-{i}"));
                    Session::write_lineage(url, &options(), &lineage, "1.0").unwrap()
                })
            })
            .collect();
        stampers.into_iter().map(|stamper| stamper.join().unwrap()).collect()
    });
    let winner = outcomes.iter().position(|o| *o == WriteLineage::Written).unwrap();
    let expected = WriteLineage::AlreadyStamped(lineage(&format!("lineage-{winner}")));
    assert_eq!(outcomes.iter().filter(|o| **o == expected).count(), STAMPERS - 1, "{outcomes:?}");
    let row = cluster.sql(&database, "SELECT * FROM ops_lineage");
    assert_eq!(row, format!("1|lineage-{winner}|test|2026-01-02|1.0"));
}

#[test]
fn a_stamp_that_is_not_permitted_leaves_nothing() {
    let Some(cluster) = cluster() else { return };
    let (database, _) = with_table(cluster);
    let url = url(&cluster.url_as(TLS_USER, &database));
    let text = chain(&Session::write_lineage(&url, &options(), &lineage("l"), "v").unwrap_err());
    assert!(text.contains("42501") && !text.contains(TLS_USER), "{text}");
    assert_eq!(cluster.sql(&database, "SELECT to_regclass('ops_lineage') IS NULL"), "t");
}

#[test]
fn the_cluster_listens_on_the_loopback_interface_only() {
    let Some(cluster) = cluster() else { return };
    assert_eq!(cluster.sql("postgres", "SHOW listen_addresses"), "127.0.0.1");
    assert_eq!(cluster.sql("postgres", "SHOW port"), cluster.port().to_string());
}
