//! Backups written, read from anywhere, and damaged in every way.

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::change::testing::table;
use crate::value::{Kind, Row, Value, digest_row};

fn stamp() -> Stamp {
    Stamp::parse("2026-01-02T03:04:05Z").unwrap()
}

fn columns() -> Table {
    table(&[("id", Kind::Any), ("text", Kind::Text), ("n", Kind::Number)])
}

fn facts(rows: u64) -> Facts<'static> {
    let scan = ScanProof { rows, count_before: rows, count_after: rows, pages: 1, snapshot: true };
    Facts { key: &[0], distinct_keys: rows, scan, finished_at: stamp() }
}

fn written(dir: &Path, rows: &[Row]) -> (WrittenBackup, Vec<u64>) {
    let mut writer = BackupWriter::create(dir, &columns(), stamp()).unwrap();
    let mut places = Vec::new();
    for row in rows {
        let values: Vec<ValueRef<'_>> = row.iter().map(Value::as_ref).collect();
        let digest = digest_row(values.iter().copied(), &mut Vec::new());
        places.push(writer.push(&values, digest).unwrap());
    }
    (writer.finish().unwrap(), places)
}

fn backup(rows: &[Row]) -> (TempDir, Certificate, Vec<u64>) {
    let dir = tempfile::tempdir().unwrap();
    let (written, places) = written(dir.path(), rows);
    written.verify(&|| false).unwrap();
    let certificate = written.certify(facts(rows.len() as u64)).unwrap();
    (dir, certificate, places)
}

fn some_rows(count: i64) -> Vec<Row> {
    let row = |i: i64| {
        vec![
            Value::Int(i),
            Value::Text(format!("{i}\n\"é\\").repeat(usize::try_from(i % 7).unwrap())),
            if i % 5 == 0 { Value::Null } else { Value::Number(format!("{i}.50")) },
        ]
    };
    (0..count).map(row).collect()
}

fn error_of(dir: &Path) -> String {
    verify(dir, &AtomicBool::new(false)).unwrap_err().to_string()
}

#[test]
fn an_empty_table_has_a_backup() {
    let (dir, certificate, _) = backup(&[]);
    assert_eq!(verify(dir.path(), &AtomicBool::new(false)).unwrap(), certificate);
    let mut reader = BackupReader::open(dir.path()).unwrap();
    assert!(reader.rows().next().is_none());
    assert!(reader.row(0).unwrap_err().to_string().contains("no row at 0"));
}

#[test]
fn random_access_equals_iteration() {
    let rows = some_rows(60_000);
    let (dir, certificate, places) = backup(&rows);
    let mut reader = BackupReader::open(dir.path()).unwrap();
    assert!(certificate.index(dir.path()).unwrap().len() > 4);
    let mut seen = 0;
    for (i, entry) in reader.rows().enumerate() {
        assert_eq!(entry.unwrap(), (places[i], rows[i].clone()));
        seen += 1;
    }
    assert_eq!(seen, rows.len());
    for i in (0..rows.len()).map(|i| i * 7919 % rows.len()).take(300) {
        assert_eq!(reader.row(places[i]).unwrap(), rows[i]);
    }
}

#[test]
fn the_digest_of_the_rows_is_that_of_the_live_table_in_any_order() {
    let rows = some_rows(100);
    let (_dir, certificate, _) = backup(&rows);
    let mut live = TableDigest::default();
    for row in rows.iter().rev() {
        live.add_row(&row.iter().map(Value::as_ref).collect::<Vec<_>>(), &mut Vec::new());
    }
    assert_eq!(certificate.rows_digest, live.to_string());
    assert_eq!(certificate.rows, 100);
}

#[test]
fn what_was_not_written_as_it_was_read_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (mut written, _) = written(dir.path(), &some_rows(10));
    written.digest.add(1);
    let error = written.verify(&|| false).unwrap_err();
    assert!(error.to_string().contains("digest of the rows"), "{error}");
}

#[test]
fn rows_without_a_certificate_are_no_backup() {
    let dir = tempfile::tempdir().unwrap();
    written(dir.path(), &some_rows(10));
    assert!(error_of(dir.path()).contains(CERTIFICATE_FILE));
    let again = BackupWriter::create(dir.path(), &columns(), stamp());
    assert!(again.is_err(), "rows that are there are not overwritten");
}

#[test]
fn a_file_that_ends_early_or_goes_on_is_damage() {
    let (dir, _, _) = backup(&some_rows(10));
    let path = dir.path().join(ROWS_FILE);
    let bytes = std::fs::read(&path).unwrap();
    for other in [&bytes[..bytes.len() - 1], &[&bytes[..], b"\0"].concat()] {
        files::write_atomic(&path, other).unwrap();
        assert!(error_of(dir.path()).contains("bytes, not those of its index"));
    }
}

#[test]
fn verification_can_be_stopped() {
    let (dir, _, _) = backup(&some_rows(10));
    assert!(matches!(verify(dir.path(), &AtomicBool::new(true)), Err(BackupError::Stopped)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_flipped_byte_is_found(place in any::<prop::sample::Index>(), bit in 0..8_u32, file in 0..3_usize) {
        let (dir, _, _) = backup(&some_rows(50));
        let path = dir.path().join([ROWS_FILE, INDEX_FILE, CERTIFICATE_FILE][file]);
        let mut bytes = std::fs::read(&path).unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        files::write_atomic(&path, &bytes).unwrap();
        let found = verify(dir.path(), &AtomicBool::new(false));
        prop_assert!(matches!(found, Err(BackupError::Damaged(_))), "{found:?}");
    }

    #[test]
    fn every_value_comes_back(texts in prop::collection::vec((any::<i64>(), any::<String>()), 0..20)) {
        let rows: Vec<Row> = texts.iter()
            .map(|(n, text)| vec![Value::Int(*n), Value::Text(text.clone()), Value::Number(text.clone())])
            .collect();
        let (dir, _, _) = backup(&rows);
        let mut reader = BackupReader::open(dir.path()).unwrap();
        let back: Vec<Row> = reader.rows().map(|row| row.unwrap().1).collect();
        prop_assert_eq!(back, rows);
    }
}
