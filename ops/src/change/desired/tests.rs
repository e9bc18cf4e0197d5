//! Files against a table: what is given, what is left out, what is refused and how it is listed.

use std::io::Write;

use super::*;
use crate::records::Format;
use crate::target::schema::{Column, TableName};
use crate::value::{Kind, Value};

fn table() -> Table {
    let column = |(name, type_name, kind, nullable, origin): &(&str, &str, Kind, bool, Origin)| Column {
        name: (*name).to_owned(),
        type_name: (*type_name).to_owned(),
        kind: *kind,
        nullable: *nullable,
        default: None,
        origin: *origin,
    };
    Table {
        name: TableName::parse("public.t").unwrap(),
        columns: [
            ("id", "bigint", Kind::Int, false, Origin::Numbered),
            ("name", "text", Kind::Text, false, Origin::Written),
            ("price", "numeric(6,2)", Kind::Number, true, Origin::Written),
            ("total", "numeric", Kind::Number, true, Origin::Computed),
            ("note", "text", Kind::Text, true, Origin::Written),
        ]
        .iter()
        .map(column)
        .collect(),
        primary_key: vec![0],
        unique: vec![],
        notes: vec![],
    }
}

struct Opened {
    file: DesiredFile,
    _dir: tempfile::TempDir,
}

fn open(format: Format, text: &str, options: DesiredOptions) -> Result<Opened, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows");
    std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    let records = Records::open(&path, Some(format), dir.path()).map_err(|e| e.to_string())?;
    DesiredFile::new(records, &table(), &[0], Dialect::Postgres, options)
        .map(|file| Opened { file, _dir: dir })
        .map_err(|e| e.to_string())
}

fn ignoring(names: &[&str]) -> DesiredOptions {
    DesiredOptions { ignore: names.iter().map(|n| (*n).to_owned()).collect(), ..DesiredOptions::default() }
}

/// All rows as `line: values`; `-` is not given.
fn all(format: Format, text: &str, options: DesiredOptions) -> Result<Vec<String>, String> {
    let mut opened = open(format, text, options)?;
    let mut rows = Vec::new();
    while let Some(row) = opened.file.next().map_err(|e| e.to_string())? {
        let value = |value: &Option<ValueRef<'_>>| match value.map(ValueRef::to_value) {
            None => "-".to_owned(),
            Some(Value::Null) => "NULL".to_owned(),
            Some(Value::Int(n)) => n.to_string(),
            Some(Value::Number(text) | Value::Text(text)) => text,
            other => panic!("{other:?}"),
        };
        rows.push(format!("{}: {}", row.line, row.values.iter().map(value).collect::<Vec<_>>().join("|")));
    }
    Ok(rows)
}

fn refusal(format: Format, text: &str, options: DesiredOptions) -> String {
    all(format, text, options).unwrap_err()
}

#[test]
fn rows_hold_what_would_be_stored_and_nothing_that_was_not_given() {
    let csv = "name,id,price\na,1,2.5\nb, 2 ,\n,3,\"0.005\"\n";
    let error = refusal(Format::Csv, csv, DesiredOptions::default());
    assert_eq!(
        error,
        "the file does not fit the table\n  1 field that the table cannot store\n    line 4, `name`: ``, expected a \
         value: the column is NOT NULL"
    );
    let csv = csv.replace("\n,3", "\n\"\",3");
    assert_eq!(
        all(Format::Csv, &csv, DesiredOptions::default()).unwrap(),
        ["2: 1|a|2.50|-|-", "3: 2|b|NULL|-|-", "4: 3||0.01|-|-"]
    );
    let json = r#"[{"id":1,"name":"a\nb","note":null},{"note":"","id":"2"},{"id":null,"name":"c"}]"#;
    assert_eq!(
        all(Format::Json, json, DesiredOptions::default()).unwrap(),
        ["1: 1|a\nb|-|-|NULL", "1: 2|-|-|-|", "1: NULL|c|-|-|-"]
    );
}

#[test]
fn another_word_can_be_null() {
    let options = DesiredOptions { null: "\\N".to_owned(), ..DesiredOptions::default() };
    let csv = "id,name,note\n1,,\\N\n2,\"\\N\",\n";
    assert_eq!(all(Format::Csv, csv, options).unwrap(), ["2: 1||-|-|NULL", "3: 2|\\N|-|-|"]);
}

#[test]
fn columns_that_the_table_cannot_take_are_all_named() {
    let header = "nid,id,total,x\n1,1,1,1\n";
    assert_eq!(
        refusal(Format::Csv, header, DesiredOptions::default()),
        "the file does not fit the table\n  the table has no such column: `nid` (line 1), `x` (line 1)\n  computed by \
         the database, cannot be given: `total` (line 1)"
    );
    assert!(
        open(Format::Csv, header, DesiredOptions::default()).is_err(),
        "a header is refused before its rows"
    );
    let lines = "{\"id\":1}\n{\"id\":2,\"b\":1}\n{\"a\":1,\"id\":3,\"b\":1}\n{\"id\":4,\"total\":1}\n";
    assert_eq!(
        refusal(Format::Ndjson, lines, DesiredOptions::default()),
        "the file does not fit the table\n  the table has no such column: `a` (line 3), `b` (line 2)\n  computed by the \
         database, cannot be given: `total` (line 4)"
    );
    let rows = all(Format::Ndjson, lines, ignoring(&["a", "b", "total"])).unwrap();
    assert_eq!(rows.len(), 4);
    assert_eq!(all(Format::Csv, header, ignoring(&["nid", "total", "x"])).unwrap(), ["2: 1|-|-|-|-"]);
    // A column of the table can be passed over too.
    assert_eq!(all(Format::Csv, "id,name\n1,a\n", ignoring(&["name"])).unwrap(), ["2: 1|-|-|-|-"]);
}

#[test]
fn passing_over_a_column_that_is_not_there_is_refused() {
    let expected = "the file does not fit the table\n  to be passed over, but not in the file: `extra`";
    assert_eq!(refusal(Format::Csv, "id\n", ignoring(&["extra"])), expected);
    assert_eq!(refusal(Format::Ndjson, "{\"id\":1}\n", ignoring(&["extra"])), expected);
    assert_eq!(all(Format::Json, "[]", ignoring(&["extra"])).unwrap(), [""; 0]);
}

#[test]
fn every_row_has_its_key() {
    let expected = "the file does not fit the table\n  a column of the key that the file does not have: `id`";
    assert_eq!(refusal(Format::Csv, "name\na\n", DesiredOptions::default()), expected);
    assert_eq!(refusal(Format::Csv, "id,name\n1,a\n", ignoring(&["id"])), expected);
    assert_eq!(
        refusal(
            Format::Ndjson,
            "{\"name\":\"a\"}\n{\"id\":1}\n{\"note\":\"b\"}\n",
            DesiredOptions::default()
        ),
        "the file does not fit the table\n  2 fields that the table cannot store\n    line 1, `id`: not given, expected the \
         key in every row\n    line 3, `id`: not given, expected the key in every row"
    );
}

#[test]
fn all_bad_fields_are_counted_and_the_first_listed() {
    let lines: String = (1..=30)
        .map(|n| format!("{{\"id\":\"x{n}\",\"name\":{{\"a\":1}},\"price\":\"{}\"}}\n", "1\\t".repeat(30)))
        .collect();
    let options = DesiredOptions { listed: 3, ..DesiredOptions::default() };
    let mut opened = open(Format::Ndjson, &lines, options).unwrap();
    let error = opened.file.next().map(|row| row.is_some()).unwrap_err();
    let Some(DesiredError::Misfit(misfit)) = error.downcast_ref::<DesiredError>() else { panic!("{error}") };
    assert_eq!((misfit.field_count, misfit.fields.len()), (90, 3));
    assert_eq!(
        error.to_string(),
        "the file does not fit the table\n  90 fields that the table cannot store\n    line 1, `id`: `\"x1\"`, expected an \
         integer from -9223372036854775808 to 9223372036854775807\n    line 1, `name`: `{\"a\":1}`, expected a text\n    line \
         1, `price`: `\"1\\t1\\t1\\t1\\t1\\t1\\t1\\t1\\t1\\t1\\t1\\t1\\t...`, expected a number that fits numeric(6,2)\n    and 87 \
         more"
    );
    // Good rows before and after are given, and the error comes where the rows end.
    let lines =
        "{\"id\":1,\"name\":\"a\"}\n{\"id\":2,\"name\":3.5,\"price\":\"x\"}\n{\"id\":3,\"name\":\"c\"}\n";
    let mut opened = open(Format::Ndjson, lines, DesiredOptions::default()).unwrap();
    let mut given = Vec::new();
    let error = loop {
        match opened.file.next() {
            Ok(row) => given.push(row.unwrap().line),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(given, [1, 3]);
    assert!(error.contains("line 2, `price`: `\"x\"`, expected a number that fits numeric(6,2)"), "{error}");
}

#[test]
fn rows_are_found_again_and_facts_are_known_at_the_end() {
    let text = "{\"id\":1,\"name\":\"a\"}\n{\"name\":\"b\\u00e9\",\"id\":2}\n";
    let mut opened = open(Format::Ndjson, text, DesiredOptions::default()).unwrap();
    let file = &mut opened.file;
    let mut places = Vec::new();
    while let Some(row) = file.next().unwrap() {
        places.push(row.at);
    }
    assert_eq!(file.facts().unwrap().rows, 2);
    assert_eq!(file.given(), [true, true, false, false, false]);
    let row = file.row_at(places[1]).unwrap();
    assert_eq!((row.at, row.line), (places[1], 2));
    assert_eq!(row.values[..2], [Some(ValueRef::Int(2)), Some(ValueRef::Text("bé"))]);
    assert_eq!(file.row_at(places[0]).unwrap().values[1], Some(ValueRef::Text("a")));
    assert!(file.row_at(places[1] + 1).unwrap_err().to_string().contains("was changed while it was in use"));
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let error = refusal(Format::Ndjson, "{\"id\":1,\"name\":\"a\"}\n{\"id\":", DesiredOptions::default());
    assert!(error.contains("line 2, byte 26: the file ends inside a row"), "{error}");
}
