//! A file of what was inserted changes nothing: what a driver reads back is what was foreseen.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use ops::change::coerce::Dialect;
use ops::change::compare::Rules;
use ops::change::desired::{DesiredFile, DesiredOptions};
use ops::change::diff::{Options, compare};
use ops::clock::Clock;
use ops::records::{Format, Records};
use ops::target::Target;
use ops::target::schema::TableName;

/// Rows of cells as CSV with every cell in quotes.
pub(crate) fn csv(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let mut csv = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    csv.write_record(header).unwrap();
    for row in rows {
        csv.write_record(row).unwrap();
    }
    csv.into_inner().unwrap()
}

/// The same rows as NDJSON, where every cell is a JSON string.
pub(crate) fn ndjson(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let object = |row: Vec<String>| {
        let members = header.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.into()));
        format!("{}\n", serde_json::Value::Object(members.collect()))
    };
    rows.map(object).collect::<String>().into_bytes()
}

/// Compares a table with a file; every row must be unchanged.
pub(crate) fn assert_unchanged(
    target: &mut dyn Target,
    name: &str,
    format: Format,
    bytes: &[u8],
    rows: usize,
) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows");
    ops::files::write_atomic(&path, bytes).unwrap();
    let table = target.table(&TableName::parse(name).unwrap()).unwrap();
    let dialect = Dialect::of_driver(&target.identity().unwrap().driver).unwrap();
    let records = Records::open(&path, Some(format), dir.path()).unwrap();
    let key = table.primary_key.clone();
    let mut desired = DesiredFile::new(records, &table, &key, dialect, DesiredOptions::default()).unwrap();
    let rules = Rules::parse(&[], &table, &key).unwrap();
    let stop = AtomicBool::new(false);
    let options = Options {
        table: &table,
        key: &key,
        comparators: &rules,
        allow_delete: true,
        backup: None,
        scratch: Path::new(dir.path()),
        clock: Clock::System,
        stop: &stop,
    };
    let mut comparison = compare(target, &mut desired, &options).unwrap();
    let counts = comparison.counts.clone();
    let changes: Vec<_> = comparison.by_ref().take(3).map(Result::unwrap).collect();
    assert_eq!(counts.unchanged, rows as u64, "{name} {format:?}: {counts:?} {changes:#?}");
    assert_eq!(counts.changes(), 0, "{name} {format:?}: {changes:#?}");
    assert_eq!(desired.given(), vec![true; table.columns.len()]);
}
