//! Plan directories, byte for byte: one for SQLite that deletes, one for PostgreSQL that only upserts.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may panic as tests do")]

#[expect(dead_code, reason = "this test runs no program")]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use ops::change::Counts;
use ops::change::gate::{Decision, Entry, Gates, Stage, Typed, approve, audit};
use ops::change::plan::{BackupFacts, FileSeal, Findings, InputFacts, Manifest, PlanDir, PlanDraft, Subject};
use ops::clock::Stamp;
use ops::db::Lineage;
use ops::files::write_atomic;
use ops::report::Style;
use ops::target::schema::{Column, Origin, Table, TableName};
use ops::target::{Capabilities, Change, TargetIdentity};
use ops::value::{Kind, Value};
use support::golden::assert_golden;

const CREATED: &str = "2026-01-02T03:04:05Z";

fn column(name: &str, type_name: &str, kind: Kind) -> Column {
    Column {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        kind,
        nullable: name != "slug",
        default: None,
        origin: Origin::Written,
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A backup that is not one: plans know the files of a backup by their digests only.
fn backup(dir: &Path, rows: u64) -> BackupFacts {
    let mut files = Vec::new();
    for (name, content) in [("rows.ndjson.zst", "rows\n"), ("certificate.json", "{}\n")] {
        write_atomic(&dir.join(name), content.as_bytes()).unwrap();
        files.push(FileSeal {
            path: format!("backup/{name}"),
            bytes: content.len() as u64,
            sha256: ops::ids::sha256(content.as_bytes()),
        });
    }
    BackupFacts {
        rows,
        distinct_keys: rows,
        count_before: rows,
        count_after: rows,
        pages: 3,
        snapshot: true,
        digest: "00112233445566778899aabbccddeeff".to_owned(),
        started_at: "2026-01-02T03:03:00Z".to_owned(),
        finished_at: "2026-01-02T03:03:59Z".to_owned(),
        files,
    }
}

fn findings(counts: Counts, rows: BackupFacts) -> Findings {
    Findings {
        created_at: Stamp::parse(CREATED).unwrap(),
        tool_version: "0.1.0".to_owned(),
        desired: InputFacts {
            file: "glyphs.cleaned.json".to_owned(),
            format: "json".to_owned(),
            bytes: 48_213,
            sha256: ops::ids::sha256(b"desired"),
            rows: counts.desired,
        },
        comparators: [("score".to_owned(), "numeric within 0.01".to_owned())].into(),
        ignored_columns: vec!["fragment_flag".to_owned()],
        columns_not_given: vec!["edited_by".to_owned()],
        counts,
        only_live: vec!["left-alone".to_owned(), "left|alone `too`".to_owned()],
        backup: Some(rows),
        incomplete: vec![],
        errors: vec![],
        derived_from: None,
    }
}

fn counts(changes: &[Change], cells: &[(&str, u64)], unchanged: u64, only_live: u64) -> Counts {
    let mut counts = Counts { unchanged, only_live, ..Counts::default() };
    for change in changes {
        match change {
            Change::Insert { .. } => counts.insert += 1,
            Change::Update { .. } => counts.update += 1,
            Change::Delete { .. } => counts.delete += 1,
        }
    }
    counts.desired = counts.insert + counts.update + unchanged;
    counts.live = counts.update + counts.delete + unchanged + only_live;
    counts.cells_changed = cells.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    counts.suppressed = BTreeMap::from([("score".to_owned(), 17)]);
    counts
}

fn make(out: &Path, subject: Subject, changes: &[Change], cells: &[(&str, u64)]) -> PlanDir {
    let counts = counts(changes, cells, 1200, 2);
    let draft = PlanDraft::create(out).unwrap();
    let rows = backup(&draft.backup_dir(), counts.live);
    let mut writer = draft.begin(subject).unwrap();
    for change in changes {
        writer.push(change).unwrap();
    }
    writer.finish(findings(counts, rows)).unwrap()
}

/// Compares every file of a plan, and what is shown of it, with the goldens of a case.
fn assert_plan(case: &str, plan: &PlanDir) {
    let read = PlanDir::open(plan.path()).unwrap();
    assert_eq!(read.manifest(), plan.manifest());
    for file in ["plan.json", "plan.md", "changes.ndjson", "inserts.csv", "updates.csv", "rollback.sql"] {
        let content = std::fs::read_to_string(read.path().join(file)).unwrap();
        assert_golden(&format!("plan/{case}/expected/{file}"), &content);
    }
    let shown = read.review().unwrap();
    assert_eq!(shown.markdown(), std::fs::read_to_string(read.path().join("plan.md")).unwrap());
    let shown = shown.terminal(Style { colour: false });
    assert_golden(&format!("plan/{case}/expected/show.txt"), &shown);
}

#[test]
fn a_plan_for_sqlite_that_deletes() {
    let subject = Subject {
        target: TargetIdentity {
            driver: "sqlite".into(),
            url: "sqlite:///data/glyphs.db".into(),
            fingerprint: "0a1b2c3d4e5f".into(),
            lineage: None,
        },
        capabilities: Capabilities {
            snapshot: true,
            books_in_target: true,
            atomic_batches: true,
            atomic_rollback: true,
            batch_rows_max: 10_000,
            limits: vec![],
        },
        table: Table {
            name: TableName { schema: None, name: "glyphs".into() },
            columns: ["slug", "name", "weight", "raw"].map(|name| column(name, "", Kind::Any)).into(),
            primary_key: vec![0],
            unique: vec![],
            notes: vec!["trigger `touch` runs after every update".into()],
        },
        key: vec![0],
        columns: vec![0, 1, 2, 3],
    };
    let row = |slug: &str, name: Value, weight: Value, raw: Value| vec![text(slug), name, weight, raw];
    let changes = [
        Change::Delete {
            before: row("aged", text("it's \"old\""), Value::Int(i64::MIN), Value::Bytes(vec![0, 255])),
        },
        Change::Update {
            before: row("blue", text("Blue of the early evening"), Value::Real(0.1), Value::Null),
            after: row("blue", text("Blue"), Value::Real(12.5), Value::Null),
        },
        Change::Update {
            before: row("cold", text("line one\r\nline two"), Value::Int(3), text("x")),
            after: row("cold", text("line one\nline two"), Value::Null, text("")),
        },
        Change::Insert {
            after: vec![Some(text("deep")), Some(text("Tiefe, größer")), Some(Value::Real(1e300)), None],
        },
    ];
    let dir = tempfile::tempdir().unwrap();
    let plan = make(dir.path(), subject, &changes, &[("name", 2), ("weight", 2), ("raw", 1)]);
    assert_plan("sqlite", &plan);
    plan.require_applyable().unwrap();
    let diff = plan.diff("cold").unwrap();
    assert_golden("plan/sqlite/expected/diff.txt", &diff.terminal(Style { colour: false }));
    assert_gates(&dir.path().join("gates.ndjson"), plan.manifest());
}

/// What the gates of a plan look like, in the file and shown.
fn assert_gates(path: &Path, manifest: &Manifest) {
    let now = |at: &str| Stamp::parse(&format!("2026-01-02T{at}Z")).unwrap();
    let typed = Typed { id: manifest.short.clone(), kind: manifest.plan.kind, lineage: None };
    for (at, entry) in [
        ("03:04:05", Entry::about(manifest, Stage::Plan, Decision::Pass).with("changes", 4)),
        ("03:10:00", approve(manifest, &typed).unwrap()),
        ("03:10:01", Entry::about(manifest, Stage::Apply, Decision::Begun)),
        ("03:10:02", Entry::about(manifest, Stage::Apply, Decision::Pass).with("seconds", 0.25)),
    ] {
        Gates::append(path, entry, now(at), "0.1.0").unwrap();
    }
    assert_golden("plan/sqlite/expected/gates.ndjson", &std::fs::read_to_string(path).unwrap());
    let mut shown = Gates::load(path).unwrap().document(None);
    shown.append(audit(path).unwrap().document());
    assert_golden("plan/sqlite/expected/gates.txt", &shown.terminal(Style { colour: false }));
}

fn postgres() -> Subject {
    let mut columns = vec![
        column("id", "uuid", Kind::Uuid),
        column("slug", "text", Kind::Text),
        column("name", "character varying(80)", Kind::Text),
        column("score", "numeric(10,4)", Kind::Number),
        column("tags", "text[]", Kind::Other),
        column("extra", "jsonb", Kind::Json),
        column("seen_at", "timestamp with time zone", Kind::TimestampTz),
        column("place", "bigint", Kind::Int),
        column("edited_by", "text", Kind::Text),
        column("length", "integer", Kind::Int),
    ];
    columns[0].default = Some("gen_random_uuid()".into());
    columns[7].origin = Origin::AlwaysNumbered;
    columns[9].origin = Origin::Computed;
    Subject {
        target: TargetIdentity {
            driver: "postgres".into(),
            url: "postgres://***@db.example.org/glyphs".into(),
            fingerprint: "ffeeddccbbaa".into(),
            lineage: Some(Lineage {
                id: "0123456789abcdef".into(),
                purpose: "production".into(),
                stamped_at: "2025-12-01T00:00:00Z".into(),
            }),
        },
        capabilities: Capabilities {
            snapshot: true,
            books_in_target: true,
            atomic_batches: true,
            atomic_rollback: true,
            batch_rows_max: 5000,
            limits: vec!["rows that a trigger changes are reported, not compared".into()],
        },
        table: Table {
            name: TableName { schema: Some("public".into()), name: "glyphs".into() },
            columns,
            primary_key: vec![0],
            unique: vec![vec![1]],
            notes: vec![],
        },
        key: vec![1],
        columns: (0..9).collect(),
    }
}

#[test]
fn a_plan_for_postgres() {
    let long = "a text that goes on and on, ".repeat(5);
    let row = |n: u8, slug: &str, name: &str, score: &str, extra: &str| {
        vec![
            text(&format!("00000000-0000-4000-8000-0000000000{n:02}")),
            text(slug),
            text(name),
            Value::Number(score.into()),
            text("{a,\"b c\"}"),
            Value::Json(extra.into()),
            text("2026-01-01 00:00:00.123456+00"),
            Value::Int(i64::from(n)),
            Value::Null,
        ]
    };
    let update = |n, slug: &str, before: (&str, &str, &str), after: (&str, &str, &str)| Change::Update {
        before: row(n, slug, before.0, before.1, before.2),
        after: row(n, slug, after.0, after.1, after.2),
    };
    let object = "{\"a\": 1, \"b\": {\"c\": \"\\n\"}}";
    let mut changes = vec![
        update(
            1,
            "amber",
            (&format!("{long}old."), "1.5000", object),
            (&format!("{long}new."), "1.5000", object),
        ),
        update(2, "basil", ("Basil", "2.0000", object), ("Basil", "2.5000", "{\"a\": 1}")),
        update(3, "cedar", ("`Cedar` | <b>", "0.1000", object), ("Cedar", "10.0000", object)),
    ];
    for n in 4..11_u8 {
        let mut after: Vec<Option<Value>> =
            row(n, &format!("new-{n:02}"), "It's new", "0.0000", "{}").into_iter().map(Some).collect();
        after[7] = None;
        after[0] = None;
        after[8] = None;
        changes.push(Change::Insert { after });
    }
    let dir = tempfile::tempdir().unwrap();
    let plan = make(dir.path(), postgres(), &changes, &[("extra", 1), ("name", 2), ("score", 2)]);
    assert_plan("postgres", &plan);
}
