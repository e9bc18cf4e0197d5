//! Every format with the same rows, every refusal with its place, and rows found again.

use std::io::Write;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

mod ahead;
mod batch;
mod hostile;
mod sql;

/// A folder with one file in it.
struct Sample {
    dir: tempfile::TempDir,
    path: PathBuf,
}

fn sample(name: &str, bytes: &[u8]) -> Sample {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    Sample { dir, path }
}

impl Sample {
    fn open(&self) -> Result<Records, ReadError> {
        Records::open(&self.path, None, self.dir.path())
    }
}

/// A record as `line: name=field …`, with the spelling of each field.
fn shown(record: Record<'_>) -> String {
    let fields = record.fields().map(|(name, field)| match field {
        Field::Json(text) | Field::Cell(text) => format!("{name}={text}"),
        Field::Quoted(text) => format!("{name}='{text}'"),
    });
    format!("{}: {}", record.line, fields.collect::<Vec<_>>().join(" "))
}

/// All records, or what is wrong with the file. Reading ahead must say the same.
fn read(name: &str, bytes: &[u8]) -> Result<Vec<String>, String> {
    let sample = sample(name, bytes);
    let folder = format!("{}/", sample.dir.path().display());
    let all = || {
        let mut records = sample.open()?;
        let mut rows = Vec::new();
        while let Some(record) = records.next()? {
            rows.push(shown(record));
        }
        Ok(rows)
    };
    let read = all().map_err(|error: ReadError| error.to_string().replace(&folder, ""));
    let ahead = ahead::all(&sample).map_err(|error| error.to_string().replace(&folder, ""));
    assert_eq!(ahead, read);
    read
}

fn rows(name: &str, text: &str) -> Vec<String> {
    read(name, text.as_bytes()).unwrap()
}

fn refusal(name: &str, text: impl AsRef<[u8]>) -> String {
    read(name, text.as_ref()).unwrap_err()
}

#[test]
fn the_same_rows_in_every_format() {
    let array = "[\n  {\"id\": 1, \"t\": \"x\"},\n  {\"id\": 2, \"t\": null}\n]\n";
    assert_eq!(rows("a.json", array), ["2: id=1 t=\"x\"", "3: id=2 t=null"]);
    let lines = "{\"id\":1,\"t\":\"x\"}\n\n {\"id\":2,\"t\":null} \r\n";
    assert_eq!(rows("a.ndjson", lines), ["1: id=1 t=\"x\"", "3: id=2 t=null"]);
    assert_eq!(rows("a.jsonl", lines.trim_end()), rows("a.ndjson", lines));
    assert_eq!(rows("a.csv", "id,t\n1,x\r\n\n2,\n"), ["2: id=1 t=x", "4: id=2 t="]);
    assert_eq!(rows("A.TSV", "id\tt\n1\tx,y\n2\t"), ["2: id=1 t=x,y", "3: id=2 t="]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_name() {
    for (name, text) in [
        ("a.json", "[{\"id\":1}]"),
        ("a.ndjson", "{\"id\":1}\n"),
        ("a.csv", "id\n1\n"),
        ("b.csv", "\"id\"\n1\n"),
    ] {
        let with = rows(name, &format!("\u{feff}{text}"));
        assert_eq!(with, rows(name, text), "{name}");
        assert!(with[0].ends_with(": id=1"), "{with:?}");
    }
}

#[test]
fn objects_keep_their_own_names_and_spelling() {
    let text =
        "[{},{\"a\":1.50e+3,\"b\":{\"c\" : [1, 2]}},{\"b\":\"\\u00e9\\n\"},{},{\"\\u0061\":-0,\"b\":true}]";
    assert_eq!(
        rows("a.json", text),
        ["1: ", "1: a=1.50e+3 b={\"c\" : [1, 2]}", "1: b=\"\\u00e9\\n\"", "1: ", "1: a=-0 b=true"]
    );
    assert_eq!(rows("a.json", " [ ] "), [""; 0]);
}

#[test]
fn names_with_one_id_are_the_same() {
    let sample = sample("a.ndjson", b"{\"a\":1}\n{\"b\":1}\n{\"a\":2}\n{\"a\":2,\"b\":1}\n{\"a\":2}\n");
    let mut records = sample.open().unwrap();
    let mut seen = Vec::new();
    while let Some(record) = records.next().unwrap() {
        seen.push((record.names().id(), record.names().iter().collect::<String>()));
    }
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[0], seen[4]);
    assert_ne!(seen[0].0, seen[1].0);
    assert_eq!(seen[3].1, "ab");
}

#[test]
fn more_sets_of_names_than_are_remembered() {
    let lines: String = (0..2500).map(|n| format!("{{\"a{n}\":1}}\n{{\"b\":2}}\n")).collect();
    let found = rows("a.ndjson", &lines);
    assert_eq!(found.len(), 5000);
    assert_eq!(found[4998..], ["4999: a2499=1", "5000: b=2"]);
}

#[test]
fn cells_of_a_table() {
    let text = "a,\"b \"\"x\"\"\",c\n\"1,2\",\"line\nbreak\",\"\"\n , x ,\"say \"\"hi\"\"\"\n";
    assert_eq!(
        rows("a.csv", text),
        ["2: a='1,2' b \"x\"='line\nbreak' c=''", "4: a=  b \"x\"= x  c='say \"hi\"'"]
    );
    assert_eq!(rows("a.csv", "a,b\n"), [""; 0]);
    assert_eq!(rows("a.csv", "a,b"), [""; 0]);
    assert_eq!(rows("a.csv", "a\n1\n\n2\n"), ["2: a=1", "3: a=", "4: a=2"]);
    assert_eq!(rows("a.csv", "a,b\r\n\"1\",\"2\"\r\n\r\n"), ["2: a='1' b='2'"]);
}

#[test]
fn nothing_is_not_no_rows() {
    for name in ["a.json", "a.ndjson", "a.csv", "a.tsv"] {
        for text in ["", "\u{feff}", "\n\n"] {
            let text = refusal(name, text);
            assert!(text.starts_with(&format!("`{name}` is empty: ")), "{text}");
        }
    }
    assert!(refusal("a.ndjson", " \n \n").contains("is empty"));
}

#[test]
fn wrong_json_is_refused_with_its_place() {
    for (text, expected) in [
        ("{\"rows\":[{\"id\":1}]}", "line 1, byte 0: an object where an array of rows was expected"),
        ("\n{\"id\":1}\n{\"id\":2}\n", "line 2, byte 1: an object where an array"),
        ("17", "line 1, byte 0: expected `[`"),
        ("[1,2]", "byte 1: a row is an object with named fields, found a number"),
        ("[{\"a\":1},\n[2]]", "line 2, byte 10: a row is an object with named fields, found an array"),
        ("[null]", "found null"),
        ("[{\"a\":1},]", "byte 8: a comma before the end"),
        ("[{\"a\":1} {\"a\":2}]", "byte 9: expected `,` or `]` after a row"),
        ("[,{\"a\":1}]", "byte 1: a row is an object"),
        ("[{\"a\":1}", "the file ends inside the array of rows"),
        ("[{\"a\":1},", "the file ends inside the array of rows"),
        ("[", "the file ends inside the array of rows"),
        ("[{\"a\":1},\n{\"a\":", "line 2, byte 15: the file ends inside a row"),
        ("[{\"a\":\"x", "the file ends inside a row"),
        ("[{\"a\":1}]]", "byte 9: something follows the end of the array"),
        ("[{\"a\":1}]\n[{\"a\":2}]", "line 2, byte 10: something follows"),
        ("[{\"a\":1,\"b\":2,\"a\":3}]", "byte 1: the name `a` is there twice"),
        ("[{\"a\":1,\"\\u0061\":3}]", "the name `a` is there twice"),
        ("[{\"a\":1,\"\\ud800\":3}]", "the name of a field is not text"),
        ("[\n\n{\"a\":NaN}]", "line 3, byte 8: NaN and Infinity are not JSON"),
    ] {
        let error = refusal("a.json", text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn wrong_lines_are_refused_with_their_place() {
    for (text, expected) in [
        ("[{\"id\":1}]", "line 1, byte 0: a row is an object with named fields, found an array"),
        ("{\"a\":1}\n{\n\"a\":2}\n", "line 2, byte 9: the line ends inside a row"),
        ("{\"a\":1}\n{\"a\":\"x", "line 2, byte 15: the file ends inside a row"),
        ("{\"a\":1}{\"a\":2}\n", "byte 7: something follows the row on its line"),
        ("{\"a\":1},\n", "something follows the row"),
        ("\n\n{\"a\":1,\"a\":1}\n", "line 3, byte 2: the name `a` is there twice"),
        ("{\"a\":1}\nnull\n", "line 2, byte 8: a row is an object"),
        ("id,name\n", "found something else"),
    ] {
        let error = refusal("a.ndjson", text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn wrong_tables_are_refused_with_their_place() {
    for (text, expected) in [
        ("a,b\n1,2\n3\n", "line 3, byte 8: a row of 1 cells, where the header has 2"),
        ("a,b\n1,2,3\n", "line 2, byte 4: a row of 3 cells, where the header has 2"),
        ("a,b\n\"x\ny\",2\n1,2,\n", "line 4, byte 12: a row of 3 cells"),
        ("a,a\n", "line 1, byte 0: the name `a` is there twice"),
        ("a,,c\n", "column 2 of the header has no name"),
        ("a,b\n1,x\"y\n", "line 2, byte 7: a quote inside a cell"),
        ("a,b\n1,\"x\"y\n", "line 2, byte 9: text behind the closing quote"),
        ("a,b\n1,\"x\n\n", "line 2, byte 6: a quote that is never closed"),
        ("a,b\n1,x\ry\n", "line 2, byte 7: a carriage return"),
        ("a,b\n1,\"x", "a quote that is never closed"),
    ] {
        let error = refusal("a.csv", text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_with_their_offset() {
    for (name, text, expected) in [
        ("a.json", &b"[{\"a\":1},\n{\"a\":\"x\xff\"}]"[..], "line 2, byte 17 is not UTF-8"),
        ("a.ndjson", b"{\"a\":1}\n{\"a\xc3\":1}\n", "line 2, byte 11"),
        ("a.csv", b"a,b\n1,2\n3,\xe9\n", "line 3, byte 10"),
        ("a.csv", b"a,b\n1,caf\xc3", "line 2, byte 9"),
        ("a.json", b"\xff\xfe[\0{\0", "byte 0 is not UTF-8; the file looks like UTF-16"),
        ("a.csv", b"\xfe\xff\0a\0,\0b", "looks like UTF-16"),
    ] {
        let error = refusal(name, text).replace(": byte", ", byte");
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[test]
fn a_name_that_says_nothing() {
    for name in ["rows", "rows.txt", "rows.gz", "json"] {
        assert!(refusal(name, "[]").contains("does not say what it holds"), "{name}");
    }
    let sample = sample("rows.txt", b"[{\"a\":1}]");
    let mut records = Records::open(&sample.path, Some(Format::Json), sample.dir.path()).unwrap();
    assert!(records.next().unwrap().is_some());
    for name in Format::NAMES {
        let format = Format::parse(name).unwrap();
        assert_eq!(Format::of_name(Path::new(&format!("x/y.{name}.zst"))), Some(format));
        assert_eq!(serde_json::to_value(format).unwrap(), name);
    }
    let missing = Records::open(&sample.dir.path().join("none.json"), None, sample.dir.path()).unwrap_err();
    assert!(missing.to_string().starts_with("failed to read `"), "{missing}");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn compressed_files_are_known_by_their_bytes() {
    let plain = "id,t\n1,x\n2,y\n".as_bytes();
    let (head, tail) = plain.split_at(7);
    let files = [
        (plain.to_vec(), None),
        (gzip(plain), Some(Compression::Gzip)),
        ([gzip(head), gzip(tail)].concat(), Some(Compression::Gzip)),
        (zst(plain), Some(Compression::Zstd)),
        ([zst(head), zst(tail)].concat(), Some(Compression::Zstd)),
    ];
    for (bytes, compression) in files {
        let sample = sample("a.csv.gz", &bytes);
        let mut records = sample.open().unwrap();
        assert_eq!(records.facts(), None);
        let mut found = Vec::new();
        while let Some(record) = records.next().unwrap() {
            found.push((record.at, record.line, format!("{:?}", record.field(1))));
        }
        assert_eq!(found, [(5, 2, "Cell(\"x\")".into()), (9, 3, "Cell(\"y\")".into())], "{compression:?}");
        assert_eq!(format!("{:?}", records.record_at(9).unwrap().field(0)), "Cell(\"2\")");
        let facts = InputFacts {
            sha256: crate::ids::sha256(&bytes),
            bytes: bytes.len() as u64,
            rows: 2,
            format: Format::Csv,
            compression,
        };
        assert_eq!(records.facts(), Some(facts));
        // Nothing is left where the copy was.
        assert_eq!(std::fs::read_dir(sample.dir.path()).unwrap().count(), 1);
    }
}

#[test]
fn damaged_archives_are_refused() {
    let plain = "id,t\n1,x\n".repeat(1000);
    for whole in [gzip(plain.as_bytes()), zst(plain.as_bytes())] {
        let cut = &whole[..whole.len() - 5];
        let garbage = [&whole[..], b"garbage"].concat();
        let mut flipped = whole.clone();
        let middle = whole.len() / 2;
        flipped[middle] ^= 0xff;
        for bytes in [cut, &garbage, &flipped] {
            let text = refusal("a.csv.gz", bytes);
            assert!(text.contains("it is damaged or cut off"), "{text}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_pipe_is_read_like_a_file() {
    let dir = tempfile::tempdir().unwrap();
    for bytes in [b"a,b\n1,2\n".to_vec(), gzip(b"a,b\n1,2\n")] {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&bytes).unwrap();
        drop(writer);
        let path = PathBuf::from(format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader)));
        let mut records = Records::open(&path, Some(Format::Csv), dir.path()).unwrap();
        let at = records.next().unwrap().unwrap().at;
        assert!(records.next().unwrap().is_none());
        assert_eq!(records.record_at(at).unwrap().field(1), Field::Cell("2"));
        assert_eq!(records.facts().unwrap().sha256, crate::ids::sha256(&bytes));
    }
}

#[test]
fn a_record_without_an_end_is_too_large() {
    let mut text = b"a,b\n1,2\n3,\"".to_vec();
    text.resize(66 << 20, b'x');
    let error = refusal("a.csv", &text);
    assert_eq!(error, "`a.csv`, line 3: a record of more than 64.0 MiB; is its end missing?");
    let large = format!("[{{\"a\":1}},{{\"a\":\"{}\"}},{{\"a\":2}}]", "x".repeat(3 << 20));
    assert_eq!(rows("a.json", &large).len(), 3);
}

#[test]
fn records_are_found_again_in_any_order() {
    let objects: Vec<String> =
        (0..3000).map(|n| format!("{{\"id\":{n},\"t\":\"{}\"}}", "é\\n".repeat(n % 40))).collect();
    let table: String = (0..3000).map(|n| format!("{n},\"{}\n\"\n", "x\"\"".repeat(n % 40))).collect();
    let tuples: Vec<String> = (0..3000).map(|n| format!("({n},'{}')", "é''\n".repeat(n % 40))).collect();
    for (name, text) in [
        ("a.json", format!("\u{feff}[ {} ]", objects.join(" ,\n"))),
        ("a.ndjson", objects.join("\n\n")),
        ("a.csv", format!("id,t\n{table}")),
        ("a.sql", format!("INSERT INTO g (id,t) VALUES\n{};", tuples.join("\n,"))),
        ("b.sql", format!("COPY g (id,t) FROM stdin;\n{}\\.\n", "1\t\\N\n2\tx\\ty\n\\\\\t\n".repeat(1000))),
    ] {
        let sample = sample(name, text.as_bytes());
        let mut records = sample.open().unwrap();
        let mut seen = Vec::new();
        while let Some(record) = records.next().unwrap() {
            seen.push((record.at, record.line, format!("{:?}", record.fields().collect::<Vec<_>>())));
        }
        assert_eq!(seen.len(), 3000);
        for step in [1, 7, 2999] {
            for index in (0..3000).map(|n| n * step % 3000) {
                let (at, line, fields) = &seen[index];
                let record = records.record_at(*at).unwrap();
                assert_eq!((record.at, record.line), (*at, *line), "{name} {index}");
                assert_eq!(&format!("{:?}", record.fields().collect::<Vec<_>>()), fields);
            }
        }
        if name != "a.csv" && name != "b.sql" {
            let error = records.record_at(seen[3].0 + 1).unwrap_err().to_string();
            assert!(error.contains("was changed while it was in use"), "{error}");
        }
        assert!(records.record_at(1 << 40).is_err());
    }
}

/// Rows of texts that are hard on every format.
fn hard_rows() -> impl Strategy<Value = Vec<Vec<String>>> {
    let cell = prop_oneof![any::<String>(), "[a\"',\t\r\n\\\\{}é]{0,12}", Just(String::new()), "x{0,900}"];
    proptest::collection::vec(proptest::collection::vec(cell, 3), 1..40)
}

/// Rows in every format, as others write them.
fn spelled(table: &[Vec<String>]) -> Vec<(&'static str, Vec<u8>)> {
    let header = ["a", "b,\"", "c"];
    let object = |row: &Vec<String>| {
        let members = header.iter().zip(row).map(|(k, v)| ((*k).to_owned(), v.as_str().into()));
        serde_json::Value::from(members.collect::<serde_json::Map<_, _>>())
    };
    let objects: Vec<serde_json::Value> = table.iter().map(object).collect();
    let mut csv = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    csv.write_record(header).unwrap();
    for row in table {
        csv.write_record(row).unwrap();
    }
    let quoted = |cell: &String| format!("'{}'", cell.replace('\'', "''"));
    let tuple = |row: &Vec<String>| format!("({})", row.iter().map(quoted).collect::<Vec<_>>().join(", "));
    let tuples: Vec<String> = table.iter().map(tuple).collect();
    vec![
        ("a.json", serde_json::to_vec_pretty(&objects).unwrap()),
        ("a.ndjson", objects.iter().map(|o| format!("{o}\n")).collect::<String>().into_bytes()),
        ("a.csv", csv.into_inner().unwrap()),
        ("a.sql", format!("INSERT INTO g (a, \"b,\"\"\", c) VALUES {};", tuples.join(",\n")).into_bytes()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_others_write_is_read_back(table in hard_rows()) {
        for (name, bytes) in spelled(&table) {
            let sample = sample(name, &bytes);
            let mut records = sample.open().unwrap();
            let mut found = Vec::new();
            while let Some(record) = records.next().unwrap() {
                let mut row: Vec<(String, String)> = record.fields().map(|(name, field)| (name.to_owned(), match field {
                    Field::Json(text) => serde_json::from_str(text).unwrap(),
                    Field::Cell(text) | Field::Quoted(text) => text.to_owned(),
                })).collect();
                row.sort();
                found.push(row.into_iter().map(|(_, value)| value).collect::<Vec<_>>());
            }
            prop_assert_eq!(&found, &table, "{}", name);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), text in "[\\[\\]{}\",:a1\n\r ]{0,40}") {
        for name in ["a.json", "a.ndjson", "a.csv", "a.sql"] {
            let _ = read(name, &bytes);
            let _ = read(name, text.as_bytes());
        }
    }
}
