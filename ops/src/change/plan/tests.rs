//! Plans written and read back, and edited behind the back of the tool.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::change::Counts;
use crate::clock::Stamp;
use crate::target::schema::{Column, Origin, Table, TableName};
use crate::target::{Capabilities, Change, TargetIdentity};
use crate::value::{Kind, Row, Value, order_key};

const KINDS: [(&str, Kind); 8] = [
    ("id", Kind::Int),
    ("part", Kind::Text),
    ("name \"quoted\"", Kind::Text),
    ("price", Kind::Number),
    ("weight", Kind::Real),
    ("raw", Kind::Bytes),
    ("tags", Kind::Json),
    ("is_on", Kind::Bool),
];

/// A table with a composite key and a column of every kind that is spelled in its own way.
pub(crate) fn subject() -> Subject {
    let column = |(name, kind): &(&str, Kind)| Column {
        name: (*name).to_owned(),
        type_name: format!("{kind:?}").to_lowercase(),
        kind: *kind,
        nullable: true,
        default: None,
        origin: Origin::Written,
    };
    Subject {
        target: TargetIdentity {
            driver: "sqlite".into(),
            url: "sqlite:///data/t.db".into(),
            fingerprint: "0123456789ab".into(),
            lineage: None,
        },
        capabilities: Capabilities {
            snapshot: true,
            books_in_target: true,
            atomic_batches: true,
            atomic_rollback: true,
            batch_rows_max: 1000,
            limits: vec![],
        },
        table: Table {
            name: TableName { schema: None, name: "t".into() },
            columns: KINDS.iter().map(column).collect(),
            primary_key: vec![0, 1],
            unique: vec![],
            notes: vec![],
        },
        key: vec![1, 0],
        columns: (0..KINDS.len()).collect(),
    }
}

/// Findings that fit to `changes`.
pub(crate) fn findings(layout: &Layout, changes: &[Change]) -> Findings {
    let of = |op| changes.iter().filter(|change| Op::of(change) == op).count() as u64;
    let (insert, update, delete) = (of(Op::Insert), of(Op::Update), of(Op::Delete));
    let mut cells_changed = BTreeMap::new();
    for change in changes {
        if let Change::Update { before, after } = change {
            for at in layout::changed(before, after) {
                *cells_changed.entry(layout.column(at).name.clone()).or_insert(0) += 1;
            }
        }
    }
    Findings {
        created_at: Stamp::parse("2026-01-02T03:04:05Z").unwrap(),
        tool_version: "0.1.0".into(),
        desired: InputFacts {
            file: "desired.json".into(),
            format: "json".into(),
            bytes: 1,
            sha256: "00".into(),
            rows: insert + update,
        },
        comparators: BTreeMap::new(),
        ignored_columns: vec![],
        columns_not_given: vec![],
        counts: Counts {
            desired: insert + update,
            live: update + delete,
            insert,
            update,
            delete,
            cells_changed,
            ..Counts::default()
        },
        only_live: vec![],
        backup: None,
        incomplete: vec![],
        errors: vec![],
        derived_from: None,
    }
}

/// A plan of these changes in `out`.
pub(crate) fn plan(out: &Path, changes: &[Change]) -> PlanDir {
    let mut writer = PlanDraft::create(out).unwrap().begin(subject()).unwrap();
    let subject = subject();
    let layout = Layout::new(subject.table, subject.columns, subject.key).unwrap();
    for change in changes {
        writer.push(change).unwrap();
    }
    writer.finish(findings(&layout, changes)).unwrap()
}

fn value(kind: Kind) -> BoxedStrategy<Value> {
    let text = || prop_oneof![".{0,6}", "[a\"\\\\\n\r\t,é\u{0}]{0,6}"];
    let some = match kind {
        Kind::Int => any::<i64>().prop_map(Value::Int).boxed(),
        Kind::Number => "-?[0-9]{1,20}(\\.[0-9]{1,5})?|NaN|Infinity".prop_map(Value::Number).boxed(),
        Kind::Real => any::<u64>()
            .prop_map(|bits| Value::Real(f64::from_bits(bits)))
            .prop_filter("one NaN is like another", |x| !matches!(x, Value::Real(x) if x.is_nan()))
            .boxed(),
        Kind::Bytes => any::<Vec<u8>>().prop_map(Value::Bytes).boxed(),
        Kind::Json => prop_oneof![text(), "\\{\"a\": ?[0-9]\\}"].prop_map(Value::Json).boxed(),
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        _ => text().prop_map(Value::Text).boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 4 => some].boxed()
}

fn row() -> impl Strategy<Value = Row> {
    KINDS.iter().map(|(_, kind)| value(*kind)).collect::<Vec<_>>()
}

/// Changes in the order of their keys.
pub(crate) fn changes() -> impl Strategy<Value = Vec<Change>> {
    let one = (any::<i8>(), "[ab]", row(), row(), any::<u8>(), 0..3_u8);
    let change = one.prop_map(|(id, part, mut before, mut after, given, op)| {
        for row in [&mut before, &mut after] {
            row[0] = Value::Int(i64::from(id));
            row[1] = Value::Text(part.clone());
        }
        let key = vec![before[1].clone(), before[0].clone()];
        let change = match op {
            0 => {
                let is_given = |(at, value)| (at < 2 || given >> at & 1 == 1).then_some(value);
                Change::Insert { after: after.into_iter().enumerate().map(is_given).collect() }
            }
            1 => Change::Delete { before },
            _ => {
                if crate::value::same_row(&before, &after) {
                    after[2] = Value::Text("another".into());
                    before[2] = Value::Null;
                }
                Change::Update { before, after }
            }
        };
        let mut order = Vec::new();
        order_key(&key, &mut order);
        (order, change)
    });
    prop::collection::vec(change, 0..20)
        .prop_map(|changes| changes.into_iter().collect::<BTreeMap<_, _>>().into_values().collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(changes in changes()) {
        let dir = tempfile::tempdir().unwrap();
        let written = plan(dir.path(), &changes);
        let read = PlanDir::open(written.path()).unwrap();
        prop_assert_eq!(read.manifest(), written.manifest());
        prop_assert_eq!(read.layout(), written.layout());
        let back: Vec<Change> = read.changes().unwrap().map(Result::unwrap).collect();
        prop_assert_eq!(&back, &changes);
        for n in 0..=changes.len() {
            let rest: Vec<Change> = read.changes_from(n as u64).unwrap().map(Result::unwrap).collect();
            prop_assert_eq!(&rest[..], &changes[n..]);
        }
    }
}

/// A few changes of every kind.
pub(crate) fn some_changes() -> Vec<Change> {
    let row = |id: i64, name: &str| -> Row {
        let mut row = vec![Value::Null; KINDS.len()];
        row[0] = Value::Int(id);
        row[1] = Value::Text("a".into());
        row[2] = Value::Text(name.into());
        row
    };
    vec![
        Change::Insert { after: row(1, "one").into_iter().map(Some).collect() },
        Change::Update { before: row(2, "two"), after: row(2, "zwei") },
        Change::Delete { before: row(3, "three") },
    ]
}

/// A plan of [`some_changes`] with a backup of one file.
pub(crate) fn with_backup(out: &Path) -> PlanDir {
    try_with_backup(out).unwrap()
}

fn try_with_backup(out: &Path) -> Result<PlanDir, PlanError> {
    let changes = some_changes();
    let draft = PlanDraft::create(out).unwrap();
    let name = "rows.ndjson.zst";
    crate::files::write_atomic(&draft.backup_dir().join(name), b"not really rows").unwrap();
    let mut writer = draft.begin(subject()).unwrap();
    for change in &changes {
        writer.push(change).unwrap();
    }
    let subject = subject();
    let layout = Layout::new(subject.table, subject.columns, subject.key).unwrap();
    let mut findings = findings(&layout, &changes);
    findings.backup = Some(BackupFacts {
        rows: 2,
        distinct_keys: 2,
        count_before: 2,
        count_after: 2,
        pages: 1,
        snapshot: true,
        digest: "00".into(),
        started_at: "2026-01-02T03:04:05Z".into(),
        finished_at: "2026-01-02T03:04:05Z".into(),
        files: vec![FileSeal {
            path: format!("backup/{name}"),
            bytes: 15,
            sha256: crate::ids::sha256(b"not really rows"),
        }],
    });
    writer.finish(findings)
}

fn refusal(result: Result<PlanDir, PlanError>) -> String {
    match result {
        Err(PlanError::Refused(refusal)) => refusal.to_string(),
        other => panic!("{other:?}"),
    }
}

const SEALED: [&str; 7] = [
    names::PLAN,
    names::CHANGES,
    names::INSERTS,
    names::UPDATES,
    names::REVIEW,
    names::ROLLBACK,
    "backup/rows.ndjson.zst",
];

#[derive(Debug, Clone, Copy)]
enum Edit {
    Flip(u8),
    Remove,
    Repeat,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn an_edit_of_any_byte_is_found(
        file in prop::sample::select(&SEALED[..]),
        place in any::<prop::sample::Index>(),
        edit in prop_oneof![(1..=255_u8).prop_map(Edit::Flip), Just(Edit::Remove), Just(Edit::Repeat)],
    ) {
        static PLAN: std::sync::OnceLock<(tempfile::TempDir, std::path::PathBuf)> = std::sync::OnceLock::new();
        let (_, path) = PLAN.get_or_init(|| {
            let dir = tempfile::tempdir().unwrap();
            let path = with_backup(dir.path()).path().to_owned();
            (dir, path)
        });
        PlanDir::open(path).unwrap();
        let whole = std::fs::read(path.join(file)).unwrap();
        let mut edited = whole.clone();
        let at = place.index(whole.len());
        match edit {
            Edit::Flip(mask) => edited[at] ^= mask,
            Edit::Remove => _ = edited.remove(at),
            Edit::Repeat => edited.insert(at, whole[at]),
        }
        crate::files::write_atomic(&path.join(file), &edited).unwrap();
        let opened = PlanDir::open(path);
        crate::files::write_atomic(&path.join(file), &whole).unwrap();
        let text = refusal(opened);
        prop_assert!(text.contains("not what was written") || text.contains("newer format"), "{}", text);
        if file != names::PLAN {
            prop_assert!(text.contains(file), "{}", text);
            prop_assert!(text.contains(&crate::ids::sha256(&whole)) && text.contains(&crate::ids::sha256(&edited)));
        }
    }
}

#[test]
fn changes_are_read_from_anywhere_in_a_long_plan() {
    let dir = tempfile::tempdir().unwrap();
    let change = |id: i64| {
        let mut row = vec![Value::Null; KINDS.len()];
        row[0] = Value::Int(id);
        row[1] = Value::Text("a".into());
        Change::Delete { before: row }
    };
    let changes: Vec<Change> = (0..3000).map(change).collect();
    let written = plan(dir.path(), &changes);
    let read = PlanDir::open(written.path()).unwrap();
    for plan in [&written, &read] {
        for n in [0, 1, 1023, 1024, 1025, 2047, 2048, 2999] {
            let mut from = plan.changes_from(n).unwrap();
            assert_eq!(&from.next().unwrap().unwrap(), &changes[usize::try_from(n).unwrap()]);
            assert_eq!(from.count() as u64, 2999 - n);
        }
        for n in [3000, 3001, u64::MAX] {
            assert_eq!(plan.changes_from(n).unwrap().count(), 0);
        }
    }
}

#[test]
fn a_line_that_breaks_later_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let plan = plan(dir.path(), &some_changes());
    let path = plan.path().join(names::CHANGES);
    let text = std::fs::read_to_string(&path).unwrap();
    crate::files::write_atomic(&path, text.replace("\"n\":1", "\"n\":5").as_bytes()).unwrap();
    let mut changes = plan.changes().unwrap();
    assert!(changes.next().unwrap().is_ok());
    let error = changes.next().unwrap().unwrap_err().to_string();
    assert_eq!(error, "`changes.ndjson` line 2: position 5 where 1 belongs");
    assert!(changes.next().is_none(), "after an error nothing is trusted");
    crate::files::write_atomic(&path, &text.as_bytes()[..text.len() - 1]).unwrap();
    let error = plan.changes_from(2).unwrap().next().unwrap().unwrap_err().to_string();
    assert_eq!(error, "`changes.ndjson` line 3: the file ends here");
}

#[test]
fn what_lies_beside_a_plan_is_nobodys_business() {
    let dir = tempfile::tempdir().unwrap();
    let plan = with_backup(dir.path());
    for other in ["apply/journal.ndjson", "notes.txt", "backup/extra"] {
        crate::files::write_atomic(&plan.path().join(other), b"x").unwrap();
    }
    let plan = PlanDir::open(plan.path()).unwrap();
    plan.require_applyable().unwrap();
    assert_eq!(plan.run_dir("apply"), plan.path().join("apply"));
    assert_eq!(plan.facts().kind, PlanKind::Delete);
}

#[test]
fn a_plan_without_its_backup_is_for_looking_only() {
    let dir = tempfile::tempdir().unwrap();
    let plan = with_backup(dir.path());
    std::fs::remove_file(plan.path().join("backup/rows.ndjson.zst")).unwrap();
    let plan = PlanDir::open(plan.path()).unwrap();
    let text = plan.require_applyable().unwrap_err().to_string();
    assert!(text.contains("backup/rows.ndjson.zst") && text.contains("no such file"), "{text}");

    let plan = super::tests::plan(dir.path(), &some_changes());
    assert!(!plan.facts().state.applyable);
    let text = plan.require_applyable().unwrap_err().to_string();
    assert!(text.contains("without a backup"), "{text}");
}

#[test]
fn a_missing_file_is_named() {
    for file in [names::CHANGES, names::REVIEW] {
        let dir = tempfile::tempdir().unwrap();
        let plan = with_backup(dir.path());
        std::fs::remove_file(plan.path().join(file)).unwrap();
        let text = refusal(PlanDir::open(plan.path()));
        assert!(text.contains(file) && text.contains("no such file"), "{text}");
    }
    let dir = tempfile::tempdir().unwrap();
    assert!(refusal(PlanDir::open(dir.path())).contains("is not a plan"));
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let plan = with_backup(dir.path());
    let newer = b"{\"format\": 2, \"plan\": {\"tool_version\": \"9.1.0\"}, \"else\": []}";
    crate::files::write_atomic(&plan.path().join(names::PLAN), newer).unwrap();
    let text = refusal(PlanDir::open(plan.path()));
    assert!(text.contains("newer format") && text.contains("format 2, written by version 9.1.0"), "{text}");
}

#[test]
fn a_plan_is_never_written_over_another() {
    let dir = tempfile::tempdir().unwrap();
    let plan = with_backup(dir.path());
    crate::files::write_atomic(&plan.path().join("apply/journal.ndjson"), b"x").unwrap();
    assert!(refusal(try_with_backup(dir.path())).contains("is there already"));
    assert!(plan.path().join("apply/journal.ndjson").exists());
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, [plan.path()], "the draft is gone");
}

#[test]
fn what_is_no_plan_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let changes = some_changes();
    let refused = |changes: &[Change]| {
        let mut writer = PlanDraft::create(dir.path()).unwrap().begin(subject()).unwrap();
        let pushed = changes.iter().try_for_each(|change| writer.push(change));
        pushed.unwrap_err().to_string()
    };
    let backwards = [changes[1].clone(), changes[0].clone()];
    assert!(refused(&backwards).contains("not in order"));
    assert!(refused(&[changes[0].clone(), changes[0].clone()]).contains("one stands twice"));
    let Change::Update { before, after } = changes[1].clone() else { panic!() };
    assert!(
        refused(&[Change::Update { before: before.clone(), after: before.clone() }])
            .contains("changes nothing")
    );
    let mut moved = after.clone();
    moved[0] = Value::Int(9);
    assert!(refused(&[Change::Update { before: before.clone(), after: moved }]).contains("changes its key"));
    assert!(refused(&[Change::Delete { before: before[..3].to_vec() }]).contains("number of columns"));
    let mut after: Vec<Option<Value>> = after.into_iter().map(Some).collect();
    after[0] = None;
    assert!(refused(&[Change::Insert { after }]).contains("no value"));

    let mut writer = PlanDraft::create(dir.path()).unwrap().begin(subject()).unwrap();
    writer.push(&changes[0]).unwrap();
    let layout = Layout::new(subject().table, subject().columns, subject().key).unwrap();
    let counted = findings(&layout, &changes);
    assert!(
        matches!(writer.finish(counted), Err(PlanError::Invalid(_))),
        "one was written and three counted"
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
}

#[test]
fn the_parser_takes_only_what_the_writer_writes() {
    let subject = subject();
    let layout = Layout::new(subject.table, subject.columns, subject.key).unwrap();
    let mut line = Vec::new();
    line::write_line(&layout, 7, &some_changes()[1], &mut line);
    let line = String::from_utf8(line).unwrap();
    let parse = |text: &str| line::parse_line(&layout, 7, text.trim_end().as_bytes());
    assert_eq!(parse(&line), Ok(some_changes()[1].clone()));
    for (from, to, expected) in [
        ("\"n\":7", "\"n\":8", "position 8 where 7 belongs"),
        ("\"n\":7", "\"n\":\"secret\"", "another type"),
        ("\"n\":7,", "", "`n` is missing"),
        ("\"n\":7", "\"n\":7,\"n\":7", "twice"),
        ("\"n\":7", "\"n\":7,\"m\":7", "unknown word"),
        ("update", "upsert", "unknown word"),
        ("update", "insert", "has other rows"),
        ("\"part\":\"a\"", "\"prat\":\"a\"", "unknown"),
        ("\"id\":2,\"part\":\"a\"", "\"part\":\"a\",\"id\":2", "out of order"),
        ("\"part\":\"a\",", "", "column `part` is missing"),
        ("\"price\":null", "\"price\":[1", "not one JSON object"),
        ("\"id\":2,", "\"id\":2.5,", "column `id` holds no value of its kind"),
        ("[\"a\",2]", "[\"a\",3]", "the key is not that of the row"),
        ("[\"a\",2]", "[\"a\"]", "another number of columns"),
    ] {
        let edited = line.replacen(from, to, 1);
        assert_ne!(edited, line, "{from}");
        let error = parse(&edited).unwrap_err();
        assert!(error.contains(expected), "{to}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(parse(&format!("{} x", line.trim_end())).is_err());
}
