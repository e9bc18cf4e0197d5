//! Laws of the whole run, on generated rows: books balance, order decides nothing, cleaning twice is cleaning once, and
//! the way back leads to the input.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use ops::cleanup::pipeline::{CleanupError, Outcome, Request, Surroundings, run};
use ops::cleanup::revert::{RevertRequest, revert};
use ops::cleanup::{Dataset, Rules};
use ops::clock::Stamp;
use ops::config::Config;

static NEVER: AtomicBool = AtomicBool::new(false);

fn dataset(name: &str) -> Dataset {
    Config::shipped().unwrap().datasets[name].clone()
}

/// Cleans a file with so many threads.
fn clean(source: &Path, dataset: &Dataset, out: &Path, threads: usize) -> Result<Outcome, CleanupError> {
    let scratch = tempfile::tempdir().unwrap();
    let mut around = Surroundings {
        scratch: scratch.path(),
        now: Stamp::parse("2026-01-02T03:04:05Z").unwrap(),
        stop: &NEVER,
        tool_version: "test",
        threads,
        progress: &mut |_, _| {},
    };
    let rules = Rules::new(dataset.clone()).unwrap();
    let reading = ops::records::ReadOptions::default();
    run(&Request { source, reading: &reading, rules: &rules, out, sample: 20, grade: false }, &mut around)
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn read(path: &Path) -> Vec<Value> {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Every file of a folder but the reports, which name the input.
fn files(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| (name.clone(), fs::read(out.join(&name)).unwrap())).collect()
}

/// Texts with what goes wrong in exports.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[A-Za-z]{1,9}",
        1 => Just("caf\u{e9}".to_owned()),
        1 => Just("it\u{e2}\u{20ac}\u{2122}s".to_owned()),
        1 => Just("S\u{307}tone".to_owned()),
        1 => Just("a\u{0}b\u{200b}c".to_owned()),
        1 => Just("&amp; <b>".to_owned()),
        1 => Just("say \"hi\", then\r\ngo".to_owned()),
        1 => Just("\u{1b}[31mred\u{1b}[0m".to_owned()),
        1 => Just("...".to_owned()),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.join("  "))
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => text().prop_map(Value::String),
        1 => Just(Value::Null),
        1 => Just(json!("")),
        1 => Just(json!(3)),
        1 => Just(json!("True")),
        1 => Just(json!(["grief", "tide", "\u{e9}"])),
        1 => Just(json!({"a": [1, 2.5]})),
    ]
}

fn row() -> impl Strategy<Value = Map<String, Value>> {
    let columns = [
        "name",
        "description",
        "triggers",
        "depth",
        "created_from_chat",
        "emotional_tone",
        "symbolic_pairing",
        "extra",
    ];
    let cell = proptest::option::weighted(0.8, value());
    (proptest::collection::vec(cell, columns.len()), 0_u32..12).prop_map(move |(cells, name)| {
        let mut row: Map<String, Value> =
            columns.iter().zip(cells).filter_map(|(name, cell)| Some(((*name).to_owned(), cell?))).collect();
        // Few names, so that rows clash.
        if name < 8 {
            row.insert("name".to_owned(), json!(format!("The harbor of light {name}")));
        }
        row
    })
}

fn rows() -> impl Strategy<Value = Vec<Value>> {
    proptest::collection::vec(row(), 1..40).prop_map(|rows| {
        let numbered = rows.into_iter().enumerate().map(|(n, mut row)| {
            row.insert("id".to_owned(), json!(format!("id-{n}")));
            Value::Object(row)
        });
        numbered.collect()
    })
}

/// Cells that are the same whatever order the members have.
fn by_id(rows: Vec<Value>) -> BTreeMap<String, Value> {
    rows.into_iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row)).collect()
}

fn with_suffix(dir: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    ops::files::write_atomic(&path, text.as_bytes()).unwrap();
    path
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn books_balance_and_the_way_back_leads_to_the_input(rows in rows()) {
        let dir = tempfile::tempdir().unwrap();
        let source = with_suffix(dir.path(), "rows.ndjson", &lines(&rows));
        let out = dir.path().join("out");
        let outcome = clean(&source, &dataset("glyphs"), &out, 2).unwrap();
        let books = outcome.summary.ledger;
        prop_assert!(books.balance(), "{books:?}");
        prop_assert_eq!(books.rows_in, rows.len() as u64);
        prop_assert_eq!(read(&out.join("cleaned_glyphs.json")).len() as u64, books.rows_out);
        let reverted = revert(&RevertRequest { out: out.clone(), ..RevertRequest::default() }).unwrap();
        prop_assert!(reverted.is_input);
        prop_assert_eq!(read(&out.join("reverted_glyphs.json")), rows);
    }

    #[test]
    fn threads_and_order_decide_nothing(rows in rows(), seed in any::<u64>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut dataset = dataset("glyphs");
        // Which of two rows comes first may decide which stays, and nothing else.
        dataset.slug = None;
        dataset.duplicates.merge.clear();
        let source = with_suffix(dir.path(), "rows.ndjson", &lines(&rows));
        clean(&source, &dataset, &dir.path().join("two"), 2).unwrap();
        clean(&source, &dataset, &dir.path().join("three"), 3).unwrap();
        prop_assert!(files(&dir.path().join("two")) == files(&dir.path().join("three")));
        let mut shuffled = rows.clone();
        let count = shuffled.len() as u64;
        for n in (1..count).rev() {
            let other = (seed.wrapping_mul(n + 7) >> 7) % (n + 1);
            shuffled.swap(usize::try_from(n).unwrap(), usize::try_from(other).unwrap());
        }
        let source = with_suffix(dir.path(), "rows.ndjson", &lines(&shuffled));
        clean(&source, &dataset, &dir.path().join("shuffled"), 2).unwrap();
        let result = |name: &str| by_id(read(&dir.path().join(name).join("cleaned_glyphs.json")));
        prop_assert_eq!(result("two"), result("shuffled"));
    }

    #[test]
    fn cleaning_twice_is_cleaning_once(rows in rows()) {
        let dir = tempfile::tempdir().unwrap();
        let source = with_suffix(dir.path(), "rows.ndjson", &lines(&rows));
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        // Rows that leave the table take their addresses and words with them.
        let mut dataset = dataset("glyphs");
        dataset.slug = None;
        dataset.duplicates.merge.clear();
        clean(&source, &dataset, &first, 2).unwrap();
        clean(&first.join("cleaned_glyphs.json"), &dataset, &second, 2).unwrap();
        let (first, second) = (read(&first.join("cleaned_glyphs.json")), read(&second.join("cleaned_glyphs.json")));
        prop_assert_eq!(first.len(), second.len());
        for (mut first, mut second) in first.into_iter().zip(second) {
            // Repaired text may be other evidence than the damaged one was, and a fragment gets marks.
            if first["fragment_flag"] == second["fragment_flag"] {
                first["integrity_score"].take();
                second["integrity_score"].take();
                prop_assert_eq!(first, second);
            }
        }
    }
}

#[test]
fn the_same_rows_in_any_format_give_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let rows: Vec<Value> = (0..50)
        .map(|n| {
            json!({
                "id": format!("id-{n}"),
                "name": format!("Harbor \u{e9} of \"light\", {}", n / 2),
                "description": if n % 7 == 0 { Value::Null } else { json!(format!("It's\n a  quiet caf\u{e9} {n}; (x)")) },
                "depth": n % 9,
                "extra": format!("kept {n}"),
            })
        })
        .collect();
    let names = ["id", "name", "description", "depth", "extra"];
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let csv = |delimiter: &str| {
        let cell = |value: &Value| match value {
            Value::Null => String::new(),
            value => format!("\"{}\"", text(value).replace('"', "\"\"")),
        };
        let line = |row: &Value| names.map(|name| cell(&row[name])).join(delimiter);
        let rows: Vec<String> = rows.iter().map(line).collect();
        format!("{}\r\n{}\r\n", names.join(delimiter), rows.join("\r\n"))
    };
    let sources = [
        ("a.ndjson", lines(&rows)),
        ("a.json", serde_json::to_string_pretty(&rows).unwrap()),
        ("a.csv", csv(",")),
        ("a.tsv", csv("\t")),
    ];
    let mut first: Option<BTreeMap<String, Vec<u8>>> = None;
    for (name, text) in sources {
        let source = with_suffix(dir.path(), name, &text);
        let out = dir.path().join(format!("out-{name}"));
        let outcome = clean(&source, &dataset("glyphs"), &out, 2).unwrap();
        assert_eq!(outcome.summary.carried_columns, ["extra"], "{name}");
        let mut files = files(&out);
        // These name the input, or say how it spelled what was changed.
        files.retain(|file, _| {
            !["cleanup", "duplicates", "changes"].iter().any(|start| file.starts_with(start))
        });
        match &first {
            None => first = Some(files),
            Some(first) => {
                for (file, bytes) in &files {
                    let (ours, theirs) =
                        (String::from_utf8_lossy(&first[file]), String::from_utf8_lossy(bytes));
                    assert_eq!(ours, theirs, "{file} of {name}");
                }
            }
        }
    }
}

#[test]
fn a_failed_run_leaves_the_previous_files() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let good = with_suffix(dir.path(), "good.ndjson", "{\"id\":\"1\",\"name\":\"Harbor of light\"}\n");
    clean(&good, &dataset("glyphs"), &out, 2).unwrap();
    let before = files(&out);
    let other = with_suffix(dir.path(), "other.ndjson", "{\"x\":1}\n");
    assert!(matches!(clean(&other, &dataset("glyphs"), &out, 2), Err(CleanupError::Refused(_))));
    let broken = with_suffix(dir.path(), "broken.json", "{\"id\":\"1\"}");
    assert!(clean(&broken, &dataset("glyphs"), &out, 2).is_err());
    assert!(files(&out) == before);
}

#[test]
fn a_set_that_was_touched_is_not_undone() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let source = with_suffix(dir.path(), "a.ndjson", "{\"id\":\"1\",\"name\":\"Harbor of light\"}\n");
    clean(&source, &dataset("glyphs"), &out, 2).unwrap();
    let request = RevertRequest { out: out.clone(), ..RevertRequest::default() };
    revert(&request).unwrap();
    let path = out.join("changes.ndjson");
    let text = fs::read_to_string(&path).unwrap() + "{}\n";
    ops::files::write_atomic(&path, text.as_bytes()).unwrap();
    assert!(matches!(revert(&request), Err(CleanupError::Refused(_))));
    let nothing = RevertRequest { out: dir.path().join("nowhere"), ..RevertRequest::default() };
    assert!(matches!(revert(&nothing), Err(CleanupError::Refused(_))));
}
