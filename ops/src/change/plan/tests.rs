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
pub(super) fn subject() -> Subject {
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
pub(super) fn findings(layout: &Layout, changes: &[Change]) -> Findings {
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
pub(super) fn plan(out: &Path, changes: &[Change]) -> PlanDir {
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
pub(super) fn changes() -> impl Strategy<Value = Vec<Change>> {
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
