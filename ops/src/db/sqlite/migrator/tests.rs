//! The runner against real files: fresh ones, old forms, locked ones, edited scripts, scripts that fail.

use std::fs;

use rusqlite::types::Value;
use tempfile::TempDir;

use super::*;

/// The shape that earlier programs left: a CHECK with 'critical' and without 'maintenance', a key to
/// phase ids alone, columns missing, views, rows of unknown runs, and things this project knows nothing of.
const OLD_FORM: &str = "
    PRAGMA foreign_keys = OFF;
    CREATE TABLE runs (
        id VARCHAR NOT NULL, state VARCHAR(33) NOT NULL, created_at DATETIME NOT NULL,
        updated_at DATETIME NOT NULL, started_at DATETIME, completed_at DATETIME,
        safety_profile VARCHAR NOT NULL, run_scope VARCHAR NOT NULL, token_cap INTEGER NOT NULL,
        max_phases INTEGER NOT NULL, max_duration_minutes INTEGER NOT NULL, max_minor_issues_total INTEGER,
        tokens_used INTEGER NOT NULL, ci_runs_used INTEGER NOT NULL, minor_issues_count INTEGER NOT NULL,
        major_issues_count INTEGER NOT NULL, promotion_eligible_to_main VARCHAR NOT NULL, PRIMARY KEY (id));
    CREATE TABLE phases (
        id INTEGER NOT NULL, phase_id VARCHAR NOT NULL, run_id VARCHAR NOT NULL, tier_id INTEGER NOT NULL,
        phase_index INTEGER NOT NULL, name VARCHAR NOT NULL, description TEXT, state VARCHAR(10) NOT NULL,
        task_category VARCHAR, complexity VARCHAR, builder_mode VARCHAR, tokens_used INTEGER NOT NULL,
        created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL, colour TEXT, PRIMARY KEY (id));
    CREATE INDEX ix_phases_colour ON phases (colour);
    CREATE TABLE token_estimation_v2_events (
        event_id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, phase_id TEXT NOT NULL,
        timestamp TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, category TEXT NOT NULL,
        complexity TEXT NOT NULL CHECK (complexity IN ('low', 'medium', 'high', 'critical')),
        deliverable_count INTEGER NOT NULL, deliverables_json TEXT NOT NULL,
        predicted_output_tokens INTEGER NOT NULL, actual_output_tokens INTEGER NOT NULL,
        selected_budget INTEGER NOT NULL, success BOOLEAN NOT NULL, truncated BOOLEAN NOT NULL DEFAULT 0,
        stop_reason TEXT, model TEXT NOT NULL, smape_percent REAL, waste_ratio REAL, underestimated BOOLEAN,
        created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
        mood TEXT NOT NULL DEFAULT 'it''s fine', weight,
        FOREIGN KEY (run_id) REFERENCES runs (id), FOREIGN KEY (phase_id) REFERENCES phases (phase_id));
    CREATE INDEX ix_events_mood ON token_estimation_v2_events (mood) WHERE mood <> '';
    CREATE TABLE note (key TEXT PRIMARY KEY, body BLOB) WITHOUT ROWID;
    CREATE TRIGGER tr_events AFTER INSERT ON token_estimation_v2_events
        BEGIN INSERT INTO note VALUES ('event ' || new.event_id, NULL); END;
    CREATE VIEW v_token_estimation_validation AS
        SELECT category, AVG(smape_percent) AS median_smape FROM token_estimation_v2_events GROUP BY 1;
    CREATE VIEW v_moods AS SELECT DISTINCT mood FROM token_estimation_v2_events;
    INSERT INTO runs VALUES ('r1', 'RUN_CREATED', '2025-12-01', '2025-12-01', NULL, NULL, 'normal',
        'multi_tier', 5000000, 25, 120, NULL, 0, 0, 0, 0, 'false');
    INSERT INTO phases VALUES
        (1, 'p1', 'r1', 1, 0, 'One', NULL, 'FAILED', 'docs', 'LOW', NULL, 7, '2025-12-01', '2025-12-01', 'red'),
        (2, 'p2', 'r1', 1, 1, 'Two', 'x', 'QUEUED', NULL, NULL, NULL, 0, '2025-12-01', '2025-12-01', NULL);
    INSERT INTO token_estimation_v2_events VALUES
        (1, 'r1', 'p1', '2025-12-02', 'docs', 'low', 1, '[\"a.md\"]', 4000, 3200, 8192, 1, 0, 'end_turn', 'm',
            18.18, 1.25, 0, '2025-12-02', 'calm', 1),
        (2, 'unknown', 'p9', '2025-12-02', 'tests', 'medium', 0, '[]', 4000, 8192, 8192, 0, 1, NULL, 'm',
            NULL, NULL, 1, '2025-12-02', 'tense', 2.5),
        (3, 'r1', 'p2', '2025-12-03', 'docs', 'high', 2, '[]', 100, 100, 100, 1, 'yes', NULL, 'm',
            'none', 1.0, NULL, '2025-12-03', 'odd', x'00ff'),
        (9, 'r1', 'p2', '2025-12-03', 'docs', 'high', 2, '[]', 1, 1, 1, 1, 0, NULL, 'm', 0, 1, 0, '', '', NULL);
    DELETE FROM token_estimation_v2_events WHERE event_id = 9;
";

struct World {
    dir: TempDir,
    path: PathBuf,
}

impl World {
    /// A database with this content, or none yet.
    fn new(setup: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("work.db");
        create(&path).unwrap();
        let world = Self { dir, path };
        world.conn().execute_batch(setup).unwrap();
        world
    }

    fn conn(&self) -> Connection {
        Connection::open_with_flags(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap()
    }

    fn options(&self) -> MigrateOptions<'static> {
        MigrateOptions {
            backup_dir: self.dir.path().join("backups"),
            clock: Clock::Fixed(Stamp::parse("2026-01-02T03:04:05Z").unwrap()),
            busy_timeout: Duration::ZERO,
            tool_version: "0.1.0",
        }
    }

    fn migrate(&self) -> Result<Outcome, MigrateError> {
        self.migrate_to(embedded::SQLITE)
    }

    fn migrate_to(&self, available: &[Migration]) -> Result<Outcome, MigrateError> {
        migrate_with(available, &self.path, &self.options(), &mut |_| ())
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }
}

/// Everything in a database: schema objects and the rows of every table, `sqlite_sequence` included.
fn dump(conn: &Connection) -> Vec<String> {
    let mut lines = vec![schema(conn).unwrap()];
    let mut tables = tables::names(conn).unwrap();
    if tables::exists(conn, "table", "sqlite_sequence").unwrap() {
        tables.push("sqlite_sequence".to_owned());
    }
    for table in tables {
        lines.extend(rows(conn, &format!("SELECT * FROM {}", tables::quote(&table))));
    }
    lines
}

fn rows(conn: &Connection, sql: &str) -> Vec<String> {
    let mut statement = conn.prepare(sql).unwrap();
    let width = statement.column_count();
    let read = |row: &rusqlite::Row<'_>| {
        let cells: Result<Vec<Value>, _> = (0..width).map(|i| row.get(i)).collect();
        Ok(format!("{:?}", cells?))
    };
    statement.query_map([], read).unwrap().collect::<Result<_, _>>().unwrap()
}

fn refusal(result: Result<Outcome, MigrateError>) -> String {
    match result.unwrap_err() {
        MigrateError::Refused(refusal) => refusal.to_string(),
        other => panic!("{other:?}"),
    }
}

fn backups(world: &World) -> usize {
    fs::read_dir(world.dir.path().join("backups")).map_or(0, Iterator::count)
}

/// The embedded series with one more migration.
fn and(sql: &'static str, verify: &'static str) -> Vec<Migration> {
    let mut all = embedded::SQLITE.to_vec();
    let version = all.last().unwrap().version + 1;
    all.push(Migration { version, name: "0004_more", sql, verify });
    all
}

#[test]
fn a_fresh_database_ends_as_the_checked_in_schema() {
    let world = World::new("");
    let mut steps = Vec::new();
    let outcome = migrate(&world.path, &world.options(), &mut |step| steps.push(step)).unwrap();
    assert_eq!(outcome.applied.len(), embedded::SQLITE.len());
    assert_eq!((outcome.already, outcome.backup, backups(&world)), (0, None, 0));
    assert_eq!(steps.len(), 2 * embedded::SQLITE.len());
    assert_eq!(steps[0], Step::Applying { version: 1, name: "0001_core" });
    assert_eq!(steps[1], Step::Applied { version: 1, name: "0001_core", rows: 0 });

    let expected = include_str!("../../../../../migrations/sqlite/schema.sql");
    let found = schema(&world.conn()).unwrap();
    assert!(
        found == expected,
        "`migrations/sqlite/schema.sql` is not the schema; review this and put it there:\n{found}"
    );
    let header = rows(&world.conn(), "SELECT * FROM pragma_application_id, pragma_user_version");
    assert_eq!(header, [format!("[Integer({APPLICATION_ID}), Integer({})]", embedded::SQLITE.len())]);
    assert_eq!(rows(&world.conn(), "PRAGMA integrity_check"), ["[Text(\"ok\")]"]);
}

#[test]
fn the_second_run_changes_not_one_byte() {
    let world = World::new(OLD_FORM);
    world.migrate().unwrap();
    let (before, copies) = (world.bytes(), backups(&world));
    let outcome = world.migrate().unwrap();
    assert_eq!(outcome.applied, []);
    assert_eq!((outcome.already, outcome.backup), (embedded::SQLITE.len() as u64, None));
    assert_eq!(outcome.foreign_keys_before, outcome.foreign_keys_after);
    assert_eq!((world.bytes(), backups(&world)), (before, copies));
}

#[test]
fn each_script_may_be_applied_twice() {
    for setup in ["", OLD_FORM] {
        let dumps = [1, 2].map(|times| {
            let conn = Connection::open_in_memory().unwrap();
            conn.execute_batch(setup).unwrap();
            conn.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON").unwrap();
            let before = Snapshot::take(&conn).unwrap();
            // Once after itself and once more when all later ones are there.
            for _ in 0..times {
                for migration in embedded::SQLITE {
                    for _ in 0..times {
                        execute::run(&conn, &migration.file(), migration.sql).unwrap();
                        execute::verify(&conn, &migration.verify_file(), migration.verify).unwrap();
                    }
                }
            }
            before.compare(&conn).unwrap();
            dump(&conn)
        });
        assert_eq!(dumps[0], dumps[1]);
    }
}

#[test]
fn an_old_form_is_adopted_whole() {
    let world = World::new(OLD_FORM);
    let old = rows(&world.conn(), "SELECT * FROM token_estimation_v2_events");
    let outcome = world.migrate().unwrap();
    assert_eq!(outcome.applied.len(), embedded::SQLITE.len());
    assert_eq!(outcome.foreign_keys_before.unchecked, ["token_estimation_v2_events"]);
    // The row of the unknown run breaks both new keys; it is counted and stays.
    assert_eq!(outcome.foreign_keys_after, ForeignKeys { violations: 2, unchecked: Vec::new() });

    let conn = world.conn();
    let columns = "event_id, run_id, phase_id, timestamp, category, complexity, deliverable_count,
        deliverables_json, predicted_output_tokens, actual_output_tokens, selected_budget, success, truncated,
        stop_reason, model, smape_percent, waste_ratio, underestimated, created_at, mood, weight";
    assert_eq!(rows(&conn, &format!("SELECT {columns} FROM token_estimation_v2_events")), old);
    let invented = "SELECT count(actual_max_tokens), count(attempt) FROM token_estimation_v2_events";
    assert_eq!(rows(&conn, invented), ["[Integer(0), Integer(0)]"]);
    assert_eq!(rows(&conn, "SELECT colour FROM phases ORDER BY id"), ["[Text(\"red\")]", "[Null]"]);
    assert_eq!(
        rows(&conn, "SELECT issue_state, samples_target FROM phases")[0],
        "[Text(\"no_issues\"), Integer(1)]"
    );
    assert_eq!(rows(&conn, "SELECT * FROM v_moods").len(), 3);
    for (kind, name) in [
        ("index", "ix_events_mood"),
        ("index", "ix_phases_colour"),
        ("trigger", "tr_events"),
        ("table", "note"),
    ] {
        assert!(tables::exists(&conn, kind, name).unwrap(), "{kind} {name}");
    }
}

#[test]
fn an_adopted_table_goes_on_as_the_final_one() {
    let world = World::new(OLD_FORM);
    world.migrate().unwrap();
    let conn = world.conn();
    let insert = |complexity: &str| {
        let sql = "INSERT INTO token_estimation_v2_events (run_id, phase_id, category, complexity,
            deliverable_count, deliverables_json, predicted_output_tokens, actual_output_tokens,
            selected_budget, success, model) VALUES ('r1', 'p1', 'docs', ?1, 1, '[]', 1, 1, 1, 1, 'm')";
        conn.execute(sql, [complexity])
    };
    assert!(
        insert("critical").unwrap_err().to_string().contains("token_estimation_v2_events_complexity_known")
    );
    insert("maintenance").unwrap();
    let newest = "SELECT event_id, mood FROM token_estimation_v2_events ORDER BY 1 DESC LIMIT 1";
    assert_eq!(rows(&conn, newest), ["[Integer(10), Text(\"it's fine\")]"]);
    assert_eq!(rows(&conn, "SELECT * FROM note WHERE key = 'event 10'").len(), 1);
    conn.execute_batch("DELETE FROM token_estimation_v2_events WHERE event_id = 3; DELETE FROM phases")
        .unwrap();
    let left = rows(&conn, "SELECT event_id FROM token_estimation_v2_events");
    assert_eq!(left, ["[Integer(2)]"], "events go with their phase, others stay");
}

#[test]
fn a_database_that_cannot_be_completed_is_refused_with_what_it_lacks() {
    let world = World::new("CREATE TABLE tiers (id INTEGER PRIMARY KEY, tier_id, run_id, state)");
    let before = world.bytes();
    let MigrateError::NotAsIntended { file, problems } = world.migrate().unwrap_err() else { panic!() };
    assert_eq!(file, "0001_core.verify.sql");
    let lacks = ["tier_index", "name", "tokens_used", "created_at", "updated_at"];
    assert_eq!(problems, lacks.map(|column| format!("column tiers.{column} is missing")));
    assert_eq!(world.bytes(), before);
}

#[test]
fn two_phases_of_one_name_stop_the_migration() {
    let world = World::new(OLD_FORM);
    world.conn().execute_batch("PRAGMA foreign_keys = OFF; UPDATE phases SET phase_id = 'p1'").unwrap();
    let before = world.bytes();
    let text = world.migrate().unwrap_err().to_string();
    assert!(text.contains("`CREATE UNIQUE INDEX IF NOT EXISTS uq_phases_run_id_phase_id"), "{text}");
    assert_eq!(world.bytes(), before);
}

#[test]
fn a_row_that_no_label_fits_stops_the_migration() {
    let world = World::new(OLD_FORM);
    let label = "UPDATE token_estimation_v2_events SET complexity = 'critical' WHERE event_id = 3";
    world.conn().execute_batch(label).unwrap();
    let MigrateError::Statement { file, statement, source, .. } = world.migrate().unwrap_err() else {
        panic!()
    };
    assert_eq!(file, "0002_token_estimation_events.sql");
    assert!(statement.starts_with("INSERT INTO token_estimation_v2_events__new BY NAME"), "{statement}");
    assert!(source.to_string().contains("token_estimation_v2_events_complexity_known"), "{source}");
}

#[test]
fn the_copy_is_the_database_as_it_was() {
    let world = World::new(OLD_FORM);
    let before = dump(&world.conn());
    let outcome = world.migrate().unwrap();
    let copy = outcome.backup.unwrap();
    assert_eq!(copy.file_name().unwrap(), "work-20260102-030405-v0.db");
    let conn = Connection::open_with_flags(&copy, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    assert_eq!(dump(&conn), before);
    assert_eq!(outcome.backup_rows["phases"], 2);
    assert_eq!(outcome.backup_rows["token_estimation_v2_events"], 3);
}

#[test]
fn without_a_copy_nothing_changes() {
    let world = World::new(OLD_FORM);
    let before = world.bytes();
    fs::File::create(world.dir.path().join("backups")).unwrap();
    assert!(matches!(world.migrate().unwrap_err(), MigrateError::Backup { .. }));
    assert_eq!(world.bytes(), before);
}

#[test]
fn a_failure_leaves_the_migration_undone_and_the_earlier_ones_done() {
    let lossy = "CREATE TABLE extra (x);\nDELETE FROM phases WHERE id = 2;";
    let broken = "CREATE TABLE extra (x);\n-- why\nINSERT INTO extra\nVALUES (1, 2);";
    let cases = [
        (and(broken, ""), "failed to run `0004_more.sql` line 3: `INSERT INTO extra VALUES (1, 2)`"),
        (and(lossy, ""), "the migration was undone, because it loses content"),
        (
            and("SELECT 1;", "SELECT 'a is wrong';\nSELECT 'b is';"),
            "`0004_more.verify.sql` found: a is wrong; b is",
        ),
        (and("COMMIT;", ""), "failed to read migration `0004_more.sql`"),
    ];
    for (series, expected) in cases {
        let world = World::new(OLD_FORM);
        world.migrate().unwrap();
        let before = world.bytes();
        assert_eq!(world.migrate_to(&series).unwrap_err().to_string(), expected);
        assert_eq!(world.bytes(), before);
        assert_eq!(world.migrate().unwrap().already, embedded::SQLITE.len() as u64);
    }
}

#[test]
fn an_edited_migration_is_refused_with_the_line() {
    let world = World::new("");
    world.migrate().unwrap();
    let before = world.bytes();
    let mut edited = embedded::SQLITE.to_vec();
    let sql = edited[2].sql.replace("    owner TEXT,\n", "    owner VARCHAR,\n");
    let line = 1 + sql.lines().position(|line| line == "    owner VARCHAR,").unwrap();
    edited[2].sql = Box::leak(sql.into_boxed_str());
    let text = refusal(world.migrate_to(&edited));
    assert!(text.starts_with("migration `0003_drain.sql` was edited"), "{text}");
    assert!(text.contains("expected: `owner TEXT,` (checksum"), "{text}");
    assert!(text.contains(&format!("found:    `owner VARCHAR,` in line {line} now")), "{text}");
    assert_eq!(world.bytes(), before);
}

#[test]
fn a_newer_database_another_application_and_no_database_are_refused() {
    let world = World::new("");
    world.migrate_to(&and("CREATE TABLE later (x);", "")).unwrap();
    assert!(refusal(world.migrate()).contains("made by a newer version"));

    let world = World::new("PRAGMA application_id = 252006673; CREATE TABLE blob (x)");
    assert!(refusal(world.migrate()).contains("belongs to another application"));
    assert_eq!(tables::names(&world.conn()).unwrap(), ["blob"]);

    let nowhere = world.dir.path().join("nowhere.db");
    assert!(refusal(migrate(&nowhere, &world.options(), &mut |_| ())).contains("there is no database"));
    assert!(!nowhere.exists());
}

#[test]
fn a_second_migrator_waits_its_turn_and_is_refused() {
    for mode in ["delete", "wal"] {
        let world = World::new(OLD_FORM);
        let first = world.conn();
        first.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(())).unwrap();
        first.execute_batch("BEGIN IMMEDIATE").unwrap();
        let text = refusal(world.migrate());
        assert!(text.starts_with(&format!("`{}` is in use", world.path.display())), "{text}");
        first.execute_batch("ROLLBACK").unwrap();
        assert_eq!(world.migrate().unwrap().applied.len(), embedded::SQLITE.len());
        let kept: String = first.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(kept, mode);
    }
}

#[test]
fn the_ledger_says_when_and_by_what() {
    let world = World::new("");
    world.migrate().unwrap();
    let ledger = read_ledger(&world.conn()).unwrap();
    assert_eq!(ledger.len(), embedded::SQLITE.len());
    assert_eq!(ledger[0].applied_at, "2026-01-02 03:04:05.000000");
    assert_eq!(ledger[0].tool_version, "0.1.0");
}

#[test]
fn creating_never_touches_an_existing_file() {
    let world = World::new(OLD_FORM);
    let before = world.bytes();
    assert!(matches!(create(&world.path).unwrap_err(), MigrateError::File(_)));
    assert_eq!(world.bytes(), before);
}

#[test]
fn dropping_an_index_on_purpose_is_possible() {
    let world = World::new(OLD_FORM);
    world.migrate_to(&and("DROP INDEX ix_events_mood;", "")).unwrap();
    assert!(!tables::exists(&world.conn(), "index", "ix_events_mood").unwrap());
}
