//! The comparison against maps in memory, with next to no memory of its own, and its refusals one by one.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;

use super::*;
use crate::change::snapshot::{self, BackupReader};
use crate::change::testing::{MemoryTarget, table};
use crate::value::{Kind, Value, ValueRef, order_key, same_row};

type Wanted = Vec<Option<Value>>;

/// Desired rows in memory; a place is seven more than three times the ordinal.
struct Memory {
    rows: Vec<Wanted>,
    next: usize,
    /// Fails before this row.
    fails_at: usize,
    /// How far off the place is at which a row is read again.
    moves: u64,
}

impl Memory {
    fn new(rows: Vec<Wanted>) -> Self {
        Self { rows, next: 0, fails_at: usize::MAX, moves: 0 }
    }

    fn row(&self, number: usize) -> DesiredRow<'_> {
        let values = self.rows[number].iter().map(|v| v.as_ref().map(Value::as_ref)).collect();
        let number = number as u64;
        DesiredRow { at: number * 3 + 7, line: number + 1, values }
    }
}

impl Desired for Memory {
    fn next(&mut self) -> Result<Option<DesiredRow<'_>>, SourceError> {
        self.next += 1;
        if self.next > self.fails_at {
            return Err("the source is broken".into());
        }
        Ok((self.next <= self.rows.len()).then(|| self.row(self.next - 1)))
    }

    fn row_at(&mut self, at: u64) -> Result<DesiredRow<'_>, SourceError> {
        assert_eq!(at % 3, 1, "a place of another source");
        let at = at + self.moves;
        Ok(self.row(usize::try_from(at / 3 - 2)?))
    }
}

const TINY: Limits = Limits {
    partitions: Shape { bits: 1, block_bytes: 80 },
    entries_max: 2,
    sort_bytes: 50,
    batch_rows: 2,
    batch_bytes: 60,
    sample_rows: 3,
};

/// `a` may differ by one.
struct Tolerant;

impl Comparators for Tolerant {
    fn same(&self, column: usize, live: ValueRef<'_>, desired: ValueRef<'_>) -> Same {
        match (column, live, desired) {
            (A, ValueRef::Int(a), ValueRef::Int(b)) if a != b && a.abs_diff(b) <= 1 => Same::Suppressed,
            _ => Exact.same(column, live, desired),
        }
    }
}

const ID: usize = 0;
const PART: usize = 1;
const A: usize = 2;
const TEXT: usize = 3;
const NUMBER: usize = 4;

/// `computed` is never compared; the others can be.
fn columns() -> Table {
    let mut table = table(&[
        ("id", Kind::Any),
        ("part", Kind::Text),
        ("a", Kind::Int),
        ("text", Kind::Text),
        ("number", Kind::Number),
        ("computed", Kind::Int),
    ]);
    table.columns[5].origin = Origin::Computed;
    table
}

struct Case {
    live: Vec<Row>,
    desired: Vec<Wanted>,
    key: Vec<usize>,
    allow_delete: bool,
    tolerant: bool,
}

#[derive(Debug, PartialEq)]
struct Outcome {
    counts: Counts,
    only_live: Vec<Row>,
    changes: Vec<(Row, Change)>,
}

fn run(case: &Case, limits: Limits, with_backup: bool) -> Result<Outcome, DiffError> {
    let (dir, table) = (tempfile::tempdir().unwrap(), columns());
    let backup = dir.path().join("backup");
    let stop = AtomicBool::new(false);
    let options = Options {
        table: &table,
        key: &case.key,
        comparators: if case.tolerant { &Tolerant } else { &Exact },
        allow_delete: case.allow_delete,
        backup: with_backup.then_some(&*backup),
        scratch: dir.path(),
        clock: Clock::System,
        stop: &stop,
    };
    let mut target = MemoryTarget::new(case.live.clone());
    let mut comparison =
        compare_within(&mut target, &mut Memory::new(case.desired.clone()), &options, limits)?;
    assert_eq!(comparison.certificate.is_some(), with_backup);
    if with_backup {
        let certificate = snapshot::verify(&backup, &stop).unwrap();
        assert_eq!(Some(&certificate), comparison.certificate.as_ref());
        let mut reader = BackupReader::open(&backup).unwrap();
        let rows: Vec<Row> = reader.rows().map(|row| row.unwrap().1).collect();
        assert_eq!(rows, case.live);
    }
    let changes = comparison.by_ref().collect::<Result<_, _>>()?;
    let (counts, only_live) = (comparison.counts.clone(), std::mem::take(&mut comparison.only_live));
    drop(comparison);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), usize::from(with_backup), "the scratch folder is left as it was: {left:?}");
    Ok(Outcome { counts, only_live, changes })
}

fn key_bytes(row: &[Value], key: &[usize]) -> Vec<u8> {
    let mut bytes = Vec::new();
    order_key(&key.iter().map(|i| row[*i].clone()).collect::<Vec<_>>(), &mut bytes);
    bytes
}

/// The answer by maps in memory; rows without a key and rows of shared keys in counts.
fn model(case: &Case) -> Result<Outcome, [u64; 6]> {
    let mut live: BTreeMap<Vec<u8>, Vec<&Row>> = BTreeMap::new();
    let mut desired: BTreeMap<Vec<u8>, Vec<&Wanted>> = BTreeMap::new();
    let mut unkeyed = [0, 0];
    for row in &case.live {
        if case.key.iter().any(|i| row[*i].is_null()) {
            unkeyed[0] += 1;
        } else {
            live.entry(key_bytes(row, &case.key)).or_default().push(row);
        }
    }
    for row in &case.desired {
        let full: Row = row.iter().map(|v| v.clone().unwrap_or(Value::Null)).collect();
        if case.key.iter().any(|i| full[*i].is_null()) {
            unkeyed[1] += 1;
        } else {
            desired.entry(key_bytes(&full, &case.key)).or_default().push(row);
        }
    }
    let repeats = |groups: Vec<usize>| {
        let repeated: Vec<u64> = groups.into_iter().filter(|n| *n > 1).map(|n| n as u64).collect();
        [repeated.len() as u64, repeated.iter().sum()]
    };
    let [live_keys, live_rows] = repeats(live.values().map(Vec::len).collect());
    let [desired_keys, desired_rows] = repeats(desired.values().map(Vec::len).collect());
    let faults = [live_keys, live_rows, desired_keys, desired_rows, unkeyed[0], unkeyed[1]];
    if faults != [0; 6] {
        return Err(faults);
    }
    let mut counts =
        Counts { live: case.live.len() as u64, desired: case.desired.len() as u64, ..Counts::default() };
    let mut keys: Vec<&Vec<u8>> = live.keys().chain(desired.keys()).collect();
    keys.sort();
    keys.dedup();
    let (mut changes, mut only_live) = (Vec::new(), Vec::new());
    for key in keys {
        let key_of = |row: &[Value]| case.key.iter().map(|i| row[*i].clone()).collect::<Row>();
        match (live.get(key).map(|r| r[0]), desired.get(key).map(|r| r[0])) {
            (Some(before), None) if case.allow_delete => {
                counts.delete += 1;
                changes.push((key_of(before), Change::Delete { before: before[..5].to_vec() }));
            }
            (Some(row), None) => only_live.push(key_of(row)),
            (None, Some(after)) => {
                counts.insert += 1;
                let full: Row = after.iter().map(|v| v.clone().unwrap_or(Value::Null)).collect();
                changes.push((key_of(&full), Change::Insert { after: after[..5].to_vec() }));
            }
            (Some(before), Some(wanted)) => match update(case, before, wanted, &mut counts) {
                Some(change) => changes.push((key_of(before), change)),
                None => counts.unchanged += 1,
            },
            (None, None) => unreachable!(),
        }
    }
    counts.only_live = only_live.len() as u64;
    Ok(Outcome { counts, only_live, changes })
}

fn update(case: &Case, before: &Row, wanted: &Wanted, counts: &mut Counts) -> Option<Change> {
    let mut after = before[..5].to_vec();
    for i in 0..5 {
        let Some(value) = &wanted[i] else { continue };
        if value.as_ref().same(before[i].as_ref()) {
            continue;
        }
        let is_near = case.tolerant
            && i == A
            && matches!((value, &before[i]), (Value::Int(a), Value::Int(b)) if a.abs_diff(*b) <= 1);
        let cells = if is_near { &mut counts.suppressed } else { &mut counts.cells_changed };
        *cells.entry(columns().columns[i].name.clone()).or_default() += 1;
        if !is_near {
            after[i] = value.clone();
        }
    }
    (!same_row(&after, &before[..5])).then(|| {
        counts.update += 1;
        Change::Update { before: before[..5].to_vec(), after }
    })
}

fn value_of(column: usize) -> BoxedStrategy<Value> {
    let texts =
        |texts: &'static [&'static str]| prop::sample::select(texts).prop_map(|t| Value::Text(t.to_owned()));
    match column {
        ID => prop_oneof![
            8 => (0..12_i64).prop_map(Value::Int),
            2 => texts(&["1", "x", "é\n\"", ""]),
            1 => Just(Value::Null),
        ]
        .boxed(),
        PART => prop_oneof![9 => texts(&["p", "q"]), 1 => Just(Value::Null)].boxed(),
        A => prop_oneof![5 => (0..5_i64).prop_map(Value::Int), 1 => Just(Value::Null)].boxed(),
        TEXT => prop_oneof![texts(&["", "same", "other\n\\"]), Just(Value::Null)].boxed(),
        NUMBER => prop::sample::select(vec!["1.5", "1.50", "2", "NaN"])
            .prop_map(|n| Value::Number(n.to_owned()))
            .boxed(),
        _ => (0..3_i64).prop_map(Value::Int).boxed(),
    }
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row: Vec<_> = (0..6).map(value_of).collect();
    prop::collection::vec(row, 0..40)
}

fn cases() -> impl Strategy<Value = Case> {
    let partly = prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.1), 6), 40);
    (rows(), rows(), partly, 0..8_u8, any::<[bool; 3]>()).prop_map(
        |(live, desired, left_out, keys, [allow_delete, tolerant, copies])| {
            let key = if keys & 1 == 0 { vec![ID] } else { vec![PART, ID] };
            // Mostly clean keys on both sides, and sometimes desired rows that are the live ones.
            let clean = |mut rows: Vec<Row>| {
                let mut seen = std::collections::BTreeSet::new();
                if keys > 1 {
                    rows.retain(|row| {
                        !key.iter().any(|i| row[*i].is_null()) && seen.insert(key_bytes(row, &key))
                    });
                }
                rows
            };
            let live = clean(live);
            let desired = if copies { [&desired[..desired.len() / 2], &live].concat() } else { desired };
            let leave_out = |(row, out): (Row, &Vec<bool>)| {
                let given = |i: usize| !out[i] || (keys > 1 && key.contains(&i));
                row.into_iter().enumerate().map(|(i, v)| given(i).then_some(v)).collect()
            };
            let desired = clean(desired).into_iter().zip(left_out.iter().cycle()).map(leave_out).collect();
            Case { live, desired, key, allow_delete, tolerant }
        },
    )
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "key {:?} delete {} tolerant {}", self.key, self.allow_delete, self.tolerant)?;
        self.live.iter().try_for_each(|row| writeln!(f, "live    {row:?}"))?;
        self.desired.iter().try_for_each(|row| writeln!(f, "desired {row:?}"))
    }
}

/// The result against the model; `sample` is how many keys of only-live rows are given.
fn check(case: &Case, found: Result<Outcome, DiffError>, sample: usize) -> Result<(), TestCaseError> {
    match (model(case), found) {
        (Ok(expected), Ok(found)) => {
            prop_assert!(found.counts.balance());
            prop_assert_eq!(&found.counts, &expected.counts);
            prop_assert_eq!(&found.changes, &expected.changes);
            prop_assert_eq!(found.only_live.len(), expected.only_live.len().min(sample));
            let all = expected.only_live;
            prop_assert!(found.only_live.iter().all(|key| all.contains(key)));
            prop_assert!(all.len() > sample || found.only_live == all);
        }
        (Err(expected), Err(DiffError::Keys(faults))) => {
            let found = [
                faults.live_duplicates.keys,
                faults.live_duplicates.rows,
                faults.desired_duplicates.keys,
                faults.desired_duplicates.rows,
                faults.live_unkeyed,
                faults.desired_unkeyed,
            ];
            prop_assert_eq!(found, expected);
        }
        (expected, found) => prop_assert!(false, "expected {expected:?}, found {found:?}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn like_maps_in_memory(case in cases(), with_backup in any::<bool>()) {
        check(&case, run(&case, TINY, with_backup), TINY.sample_rows)?;
        check(&case, run(&case, Limits::USUAL, with_backup), Limits::USUAL.sample_rows)?;
    }

    #[test]
    fn the_order_of_rows_does_not_matter(mut case in cases(), turn in any::<prop::sample::Index>()) {
        let before = run(&case, TINY, true);
        case.live.reverse();
        if !case.desired.is_empty() {
            let turn = turn.index(case.desired.len());
            case.desired.rotate_left(turn);
        }
        if let Ok(before) = before {
            prop_assert_eq!(run(&case, TINY, false).unwrap(), before);
        }
    }
}

fn row(id: i64, text: &str) -> Row {
    vec![
        Value::Int(id),
        Value::Text("p".into()),
        Value::Int(0),
        Value::Text(text.into()),
        Value::Null,
        Value::Int(0),
    ]
}

fn case(live: Vec<Row>, desired: Vec<Row>) -> Case {
    let given = |row: Row| row.into_iter().map(Some).collect();
    let desired = desired.into_iter().map(given).collect();
    Case { live, desired, key: vec![ID], allow_delete: false, tolerant: false }
}

fn many(count: i64, text: &str) -> Vec<Row> {
    (0..count).map(|id| row(id, text)).collect()
}

#[test]
fn empty_one_all_the_same_and_all_changed() {
    let old = "old ".repeat(50);
    for (live, desired, expected) in [
        (vec![], vec![], [0, 0, 0, 0]),
        (vec![], vec![row(1, "a")], [1, 0, 0, 0]),
        (vec![row(1, "a")], vec![], [0, 0, 0, 1]),
        (vec![row(1, "a")], vec![row(1, "a")], [0, 0, 1, 0]),
        (vec![row(1, "a")], vec![row(1, "b")], [0, 1, 0, 0]),
        (many(3000, &old), many(3000, &old), [0, 0, 3000, 0]),
        (many(3000, &old), many(3000, "new"), [0, 3000, 0, 0]),
        (many(3000, &old), many(4000, &old).split_off(2000), [1000, 0, 1000, 2000]),
    ] {
        for limits in [Limits::USUAL, Limits { batch_rows: 100, sort_bytes: 5000, ..TINY }] {
            for with_backup in [false, true] {
                let found = run(&case(live.clone(), desired.clone()), limits, with_backup).unwrap();
                let counts = &found.counts;
                assert_eq!([counts.insert, counts.update, counts.unchanged, counts.only_live], expected);
                assert_eq!(found.changes.len() as u64, counts.changes());
                let keys: Vec<_> = found.changes.iter().map(|(key, _)| key_bytes(key, &[0])).collect();
                assert!(keys.is_sorted());
            }
        }
    }
}

#[test]
fn duplicates_are_listed_with_their_lines_and_never_the_last_one_wins() {
    let mut desired = many(100, "a");
    desired.extend([row(7, "b"), row(7, "c"), row(3, "a")]);
    let mut case = case(many(50, "a"), desired);
    case.desired.push(vec![None; 6]);
    let error = run(&case, TINY, true).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the key does not tell the rows apart: 5 desired rows share 2 keys, 1 desired rows have no key"
    );
    let DiffError::Keys(faults) = error else { panic!("{error}") };
    let listed: Vec<_> =
        faults.desired_duplicates.listed.iter().map(|d| (d.key.clone(), d.rows, d.lines.clone())).collect();
    assert_eq!(
        listed,
        [(vec![Value::Int(3)], 2, vec![4, 103]), (vec![Value::Int(7)], 3, vec![8, 101, 102]),]
    );
    assert_eq!(faults.desired_unkeyed_lines, [104]);
}

#[test]
fn live_rows_of_one_key_are_listed_by_their_key() {
    let mut live = many(10, "a");
    live.extend([row(4, "b"), vec![Value::Null; 6]]);
    for with_backup in [false, true] {
        let error = run(&case(live.clone(), many(10, "a")), TINY, with_backup).unwrap_err();
        let DiffError::Keys(faults) = error else { panic!("{error}") };
        assert_eq!(
            faults.live_duplicates.listed,
            [Duplicate { key: vec![Value::Int(4)], rows: 2, lines: vec![] }]
        );
        assert_eq!((faults.live_unkeyed, &faults.live_unkeyed_keys), (1, &vec![vec![Value::Null]]));
    }
}

#[test]
fn a_column_that_is_no_key_at_all_is_counted_exactly() {
    let rows: Vec<Row> = (0..5000).map(|_| row(1, "a")).collect();
    let error = run(&case(rows.clone(), rows), TINY, false).unwrap_err();
    let DiffError::Keys(faults) = error else { panic!("{error}") };
    assert_eq!((faults.live_duplicates.keys, faults.live_duplicates.rows), (1, 5000));
    assert_eq!(faults.desired_duplicates.listed[0].lines, (1..=8).collect::<Vec<u64>>());
}

fn options<'a>(table: &'a Table, key: &'a [usize], dir: &'a Path, stop: &'a AtomicBool) -> Options<'a> {
    Options {
        table,
        key,
        comparators: &Exact,
        allow_delete: false,
        backup: None,
        scratch: dir,
        clock: Clock::System,
        stop,
    }
}

#[test]
fn the_error_that_comes_first_is_the_one_that_is_given() {
    let (dir, table, stop) = (tempfile::tempdir().unwrap(), columns(), AtomicBool::new(false));
    let options = options(&table, &[ID], dir.path(), &stop);
    let given = |row: Row| row.into_iter().map(Some).collect::<Wanted>();
    let wanted: Vec<Wanted> = many(5000, "a").into_iter().map(given).collect();
    for fails_at in [0, 3, 4000] {
        let mut source = Memory { fails_at, ..Memory::new(wanted.clone()) };
        let error = compare(&mut MemoryTarget::new(many(5000, "a")), &mut source, &options).unwrap_err();
        assert!(matches!(error, DiffError::Desired(_)), "{error}");
    }
    for fails_at in [0, 3, 4000] {
        let mut target = MemoryTarget { fails_at, ..MemoryTarget::new(many(5000, "a")) };
        let error = compare(&mut target, &mut Memory::new(wanted.clone()), &options).unwrap_err();
        assert!(matches!(error, DiffError::Target(_)), "{error}");
    }
    let stop = AtomicBool::new(true);
    let options = Options { stop: &stop, ..options };
    let error = compare(&mut MemoryTarget::new(many(5000, "a")), &mut Memory::new(wanted), &options);
    assert!(matches!(error, Err(DiffError::Stopped)));
}

#[test]
fn a_key_that_is_computed_or_missing_is_refused() {
    let (dir, table, stop) = (tempfile::tempdir().unwrap(), columns(), AtomicBool::new(false));
    for (key, found) in [(&[5_usize][..], "a computed column"), (&[], "no column")] {
        let options = options(&table, key, dir.path(), &stop);
        let error = compare(&mut MemoryTarget::new(vec![]), &mut Memory::new(vec![]), &options).unwrap_err();
        assert!(matches!(&error, DiffError::Refused(r) if r.to_string().contains(found)), "{error}");
    }
}

#[test]
fn without_a_backup_a_row_that_changed_meanwhile_is_judged_by_what_it_is() {
    let (dir, table, stop) = (tempfile::tempdir().unwrap(), columns(), AtomicBool::new(false));
    let options = Options { allow_delete: true, ..options(&table, &[ID], dir.path(), &stop) };
    let given = |row: Row| row.into_iter().map(Some).collect::<Wanted>();
    let wanted = vec![given(row(1, "new")), given(row(2, "new")), given(row(3, "new"))];
    let mut target = MemoryTarget::new(many(6, "old").split_off(1));
    // 1 became what is desired, 2 changed otherwise, 3 and 4 went away.
    target.later = Some(vec![row(1, "new"), row(2, "newer"), row(5, "old")]);
    let comparison = compare(&mut target, &mut Memory::new(wanted), &options).unwrap();
    let counts = comparison.counts.clone();
    assert_eq!([counts.live, counts.unchanged, counts.update, counts.insert, counts.delete], [3, 1, 1, 1, 1]);
    let changes: Vec<_> = comparison.map(|change| change.unwrap().1).collect();
    assert!(
        matches!(&changes[0], Change::Update { before, .. } if before[TEXT] == Value::Text("newer".into()))
    );
}

#[test]
fn desired_rows_that_changed_while_they_were_compared_are_found() {
    let (dir, table, stop) = (tempfile::tempdir().unwrap(), columns(), AtomicBool::new(false));
    let options = options(&table, &[ID], dir.path(), &stop);
    let given = |row: Row| row.into_iter().map(Some).collect::<Wanted>();
    // The row after the first one is read in its place: for an update, then for an insert.
    for live in [vec![row(1, "old")], vec![]] {
        let wanted = [given(row(1, "new")), given(row(2, "new"))];
        let mut source = Memory { moves: 3, ..Memory::new([&wanted[..], &wanted[1..]].concat()) };
        source.rows[2][ID] = Some(Value::Int(3));
        let error = compare(&mut MemoryTarget::new(live), &mut source, &options).unwrap_err();
        assert!(matches!(error, DiffError::OtherKey), "{error}");
    }
}

#[test]
fn a_read_that_misses_rows_is_refused() {
    let (dir, table, stop) = (tempfile::tempdir().unwrap(), columns(), AtomicBool::new(false));
    let backup = dir.path().join("backup");
    let options = Options { backup: Some(&backup), ..options(&table, &[ID], dir.path(), &stop) };
    let mut target = MemoryTarget { more: 1, ..MemoryTarget::new(many(3, "a")) };
    let error = compare(&mut target, &mut Memory::new(vec![]), &options).unwrap_err();
    assert!(matches!(&error, DiffError::Refused(_)), "{error}");
    assert!(BackupReader::open(&backup).is_err(), "what was read has no certificate");
}

#[test]
fn numbers_that_are_equal_are_one_key_and_keep_their_live_spelling() {
    let number = |n: &str| Value::Number(n.to_owned());
    let of = |n: &str, text: &str| {
        let mut row = row(0, text);
        row[NUMBER] = number(n);
        row
    };
    let live = vec![of("10.0", "old"), of("2.50", "old"), of("3", "same")];
    let mut case = case(live, vec![of("2.5", "new"), of("1e1", "new"), of("3.00", "same")]);
    case.key = vec![NUMBER];
    let found = run(&case, TINY, true).unwrap();
    assert_eq!((found.counts.update, found.counts.unchanged), (2, 1));
    let Change::Update { after, .. } = &found.changes[0].1 else { panic!() };
    assert_eq!((&after[NUMBER], &after[TEXT]), (&number("2.50"), &Value::Text("new".into())));
    assert_eq!(found.changes[1].0, [number("10.0")]);
}

#[test]
fn a_backup_is_not_written_over_another_one() {
    let (dir, table, stop) = (tempfile::tempdir().unwrap(), columns(), AtomicBool::new(false));
    let backup = dir.path().join("backup");
    let options = Options { backup: Some(&backup), ..options(&table, &[ID], dir.path(), &stop) };
    let again = || compare(&mut MemoryTarget::new(many(3, "a")), &mut Memory::new(vec![]), &options);
    assert_eq!(again().unwrap().counts.only_live, 3);
    assert!(matches!(again(), Err(DiffError::Backup(BackupError::File(_)))));
}
