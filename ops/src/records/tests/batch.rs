//! Batches hold what the reader gives one by one, and damage costs no more than itself.

use proptest::prelude::*;

use super::{Sample, hard_rows, sample};
use crate::records::{Batch, Encoding, Entry, Field, ReadError, ReadOptions, Records, Reject};

/// One record in a form that can be compared.
fn shown(at: u64, line: u64, fields: &[(&str, Field<'_>)]) -> String {
    format!("{at} {line} {fields:?}")
}

/// Records as they are shown, and rejects.
type Found = Vec<Result<String, Reject>>;

fn filled(sample: &Sample, options: &ReadOptions) -> Result<Found, ReadError> {
    let mut records = Records::open_with(&sample.path, sample.dir.path(), options)?;
    let mut batch = Batch::new();
    let mut found = Vec::new();
    while records.fill(&mut batch)? {
        for entry in batch.entries() {
            match entry {
                Entry::Record { ordinal, record } => {
                    assert_eq!(ordinal, found.len() as u64);
                    found.push(Ok(shown(record.at, record.line, &record.fields().collect::<Vec<_>>())));
                }
                Entry::Reject(reject) => {
                    assert_eq!(reject.ordinal, found.len() as u64);
                    found.push(Err(reject.clone()));
                }
            }
        }
    }
    assert!(!records.fill(&mut batch)?);
    assert_eq!(records.facts().unwrap().rows, found.len() as u64);
    Ok(found)
}

fn one_by_one(sample: &Sample) -> Found {
    let mut records = sample.open().unwrap();
    let mut found = Vec::new();
    while let Some(record) = records.next().unwrap() {
        found.push(Ok(shown(record.at, record.line, &record.fields().collect::<Vec<_>>())));
    }
    found
}

/// First fields and reasons.
fn outline(name: &str, bytes: &[u8]) -> Vec<String> {
    let found = filled(&sample(name, bytes), &ReadOptions::default()).unwrap();
    let outline = found.into_iter().map(|entry| match entry {
        Ok(record) => record.split_once("(\"").unwrap().1.split('"').next().unwrap().replace('\\', ""),
        Err(Reject { at, length, line, wrong_at, reason, .. }) => {
            format!("! {at}+{length} line {line}, {wrong_at}: {reason}")
        }
    });
    outline.collect()
}

#[test]
fn damaged_lines() {
    assert_eq!(
        outline(
            "a.ndjson",
            b"{\"a\":1}\n{\"a\":tru}\n\n{\"a\":2\n{\"a\":\"\xff\"}\n{\"a\":3}{}\n[4]\n{\"a\":5}"
        ),
        [
            "a",
            "! 8+10 line 2, 13: expected a JSON value",
            "! 19+7 line 4, 25: the line ends inside a row: in this format each row is one line",
            "! 26+10 line 5, 32: not UTF-8",
            "! 36+10 line 6, 43: something follows the row on its line",
            "! 46+4 line 7, 46: a row is an object with named fields, found an array",
            "a"
        ]
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_batch_holds_what_the_reader_gives(table in hard_rows()) {
        for (name, bytes) in super::spelled(&table) {
            let sample = sample(name, &bytes);
            let all = filled(&sample, &ReadOptions::default()).unwrap();
            prop_assert_eq!(&all, &one_by_one(&sample), "{}", name);
            let options = ReadOptions { encoding: Encoding::Replace, ..ReadOptions::default() };
            prop_assert_eq!(all, filled(&sample, &options).unwrap());
        }
    }
}
