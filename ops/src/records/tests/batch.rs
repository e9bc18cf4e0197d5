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

#[test]
fn damage_behind_whole_lines_is_told_as_damage_at_the_start() {
    let line = |n: usize| format!("{{\"a\":\"é {n}\",\"b\":\"x\\ty\"}}\n").into_bytes();
    let mut lines: Vec<Vec<u8>> = (0..200).map(line).collect();
    for damaged in [90, 91, 150] {
        lines[damaged].insert(7, 0xff);
    }
    let sample = sample("a.ndjson", &lines.concat());
    for encoding in [Encoding::Strict, Encoding::Replace] {
        let at_once = ReadOptions { encoding, ..ReadOptions::default() };
        let found = filled(&sample, &at_once).unwrap();
        let rejects = found.iter().filter(|entry| entry.is_err()).count();
        assert_eq!((found.len(), rejects), (200, if encoding == Encoding::Strict { 3 } else { 0 }));
        for read_bytes in [16, 100, 1000] {
            assert_eq!(filled(&sample, &ReadOptions { read_bytes, ..at_once.clone() }).unwrap(), found);
        }
    }
}

#[test]
fn damaged_rows_of_csv() {
    assert_eq!(
        outline("a.csv", b"a,b\n1,2\n3\n4,\"5\n6,7\n8,\"9\"\n\"10\nx\",y,z\n11,a\"b\n12,\xff\n13,\"14"),
        [
            "a",
            "! 8+2 line 3, 8: a row of 1 cells, where the header has 2",
            "! 10+5 line 4, 22: text behind the closing quote of a cell",
            "a",
            "a",
            "! 25+11 line 7, 25: a row of 3 cells, where the header has 2",
            "! 36+7 line 9, 40: a quote inside a cell that does not start with one",
            "! 43+5 line 10, 46: not UTF-8",
            "! 48+6 line 11, 51: a quote that is never closed",
        ]
    );
}

#[test]
fn damaged_elements() {
    let text = b"[{\"a\":1},{\"a\":tru},{\"a\":[{\"a\":2},{\"a\":3}},\n{\"a\":\"4},\n {\"a\":5}, 6,{\"a\":\"\xff\"},{\"a\":7} {\"a\":8},{\"a\":9},";
    assert_eq!(
        outline("a.json", text),
        [
            "a",
            "! 9+9 line 1, 14: expected a JSON value",
            "! 19+35 line 1, 40: expected `,` or `]`",
            "a",
            "! 63+1 line 3, 63: a row is an object with named fields, found a number",
            "! 65+9 line 3, 71: not UTF-8",
            "a",
            "! 83+7 line 3, 83: expected `,` or `]` after a row",
            "a",
            "! 99+0 line 3, 99: the file ends inside the array of rows",
        ]
    );
    assert_eq!(
        outline("a.json", b"[{\"a\":1}] x {\"a\":2}")[1],
        "! 10+9 line 1, 10: something follows the end of the array"
    );
    let frame = filled(&sample("a.json", b"{\"a\":1}"), &ReadOptions::default()).unwrap_err();
    assert!(frame.to_string().contains("an object where an array"), "{frame}");
}

#[test]
fn damaged_rows_of_dumps() {
    let dump = "INSERT INTO g (a,b) VALUES (1,2),(3),(now(),'('),(4,'5),\n(6,'7'),(8,9)x;\nINSERT INTO g (a,b) SELECT 1,2;\nINSERT INTO g (a,b) VALUES (10,11);INSERT INTO g (a,b) VALUES (12,'";
    assert_eq!(
        outline("a.sql", dump.as_bytes()),
        [
            "a",
            "! 33+3 line 1, 33: a row of 1 values, where the table has 2 columns",
            "! 37+11 line 1, 38: `now` begins an expression, where only constants are read",
            "! 49+8 line 1, 61: an expression, where only constants are read",
            "a",
            "a",
            "! 73+6 line 3, 93: an INSERT whose rows are not given by VALUES",
            "a",
            "! 167+5 line 4, 167: the file ends inside a row",
        ]
    );
    let copy = "COPY g (a,b) FROM stdin;\n1\t2\n3\n4\t\\N\n5\t6\\\n\\.\nCOPY g (a,b) FROM stdin;\n7\t";
    assert_eq!(
        outline("a.sql", copy.as_bytes()),
        [
            "a",
            "! 29+2 line 3, 29: a row of 1 values, where the table has 2 columns",
            "a",
            "! 36+5 line 5, 39: a backslash without its letter",
            "! 69+2 line 8, 69: the file ends inside the rows of COPY",
        ]
    );
}

#[test]
fn bytes_that_are_no_text_can_be_replaced() {
    let options = ReadOptions { encoding: Encoding::Replace, ..ReadOptions::default() };
    for (name, bytes) in [
        ("a.json", &b"[{\"a\":\"x\xff\xc3\",\"b\":1}]"[..]),
        ("a.ndjson", b"{\"a\":\"x\xff\xc3\",\"b\":1}\n"),
        ("a.csv", b"a,b\n\"x\xff\xc3\",1\n"),
        ("a.sql", b"INSERT INTO g (a,b) VALUES ('x\xff\xc3',1)"),
    ] {
        let sample = sample(name, bytes);
        let found = filled(&sample, &options).unwrap();
        let [Ok(row)] = found.as_slice() else { panic!("{name}: {found:?}") };
        assert!(row.contains("x\u{fffd}\u{fffd}"), "{name}: {row}");
        let mut records = Records::open_with(&sample.path, sample.dir.path(), &options).unwrap();
        let mut batch = Batch::new();
        assert!(records.fill(&mut batch).unwrap());
        assert_eq!(batch.entries().count(), 1);
        assert_eq!(batch.replaced(), 2, "{name}");
        let strict = filled(&sample, &ReadOptions::default()).unwrap();
        assert!(matches!(&strict[0], Err(reject) if reject.reason == "not UTF-8"), "{name}");
    }
}

#[test]
fn one_quote_does_not_swallow_the_file() {
    let rows = 20_000;
    let lines: String = (0..rows).map(|n| format!("{n},text {n}\n")).collect();
    let tuples: String = (0..rows).map(|n| format!(",\n({n},'text {n}')")).collect();
    let objects: String = (0..rows).map(|n| format!(",\n{{\"a\":{n},\"b\":\"text {n}\"}}")).collect();
    for (name, text) in [
        ("a.csv", format!("a,b\n0,0\n1,\"x\n{lines}")),
        ("a.json", format!("[{{\"a\":0,\"b\":0}},{{\"a\":1,\"b\":\"x}}{objects}]")),
        ("a.sql", format!("INSERT INTO g (a,b) VALUES (0,0),(1,'x){tuples};")),
    ] {
        let found = filled(&sample(name, text.as_bytes()), &ReadOptions::default()).unwrap();
        assert_eq!(found.len(), rows + 2, "{name}");
        assert_eq!(found.iter().filter(|entry| entry.is_err()).count(), 1, "{name}");
    }
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
