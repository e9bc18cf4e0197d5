//! Against the SQLite that the driver is built with: what is bound must come back as it was foreseen.

use ops::change::coerce::Dialect;
use ops::records::{Field, Format};
use ops::target::schema::{Column, Origin};
use ops::target::sqlite::{SqliteOptions, SqliteTarget};
use ops::url::DbUrl;
use ops::value::{Kind, Value};
use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::types::Value as Stored;

use super::unchanged::{assert_unchanged, csv, ndjson};
use super::{column, escaped, foresee, foresee_in, is_json_number};

const DECLARED: [&str; 14] = [
    "INTEGER",
    "BIGINT",
    "TEXT",
    "VARCHAR(20)",
    "CLOB",
    "BLOB",
    "",
    "REAL",
    "DOUBLE PRECISION",
    "FLOAT",
    "NUMERIC",
    "DECIMAL(10,2)",
    "BOOLEAN",
    "DATETIME",
];

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "0",
    "1",
    "-1",
    "+1",
    "007",
    "-0",
    "1.0",
    "1.5",
    "1.50",
    "-2.000",
    ".5",
    "5.",
    "1e3",
    "1E-3",
    "1.5e+2",
    "1e",
    "1e+",
    "e5",
    ".",
    "-",
    "+",
    "1.2.3",
    "0x10",
    "1_000",
    "1,5",
    "1 2",
    " 12 ",
    "\t12\n",
    "\u{b}12\u{c}",
    "\u{a0}12",
    "12\u{a0}",
    "NaN",
    "Infinity",
    "inf",
    "-inf",
    "true",
    "null",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775807.0",
    "-9223372036854775808.0",
    "9.2233720368547e18",
    "1e18",
    "1e19",
    "4611686018427387904.0",
    "0.1",
    "3.14159",
    "123456.789",
    "2026-01-02",
    "2026-01-02T03:04:05Z",
    "é",
    "1e-400",
    "0.0",
    "-0.0",
    "0e5",
    "9007199254740993",
    "9007199254740993.0",
    "4503599627370497.5",
    "--1",
    "1-",
    "1e5.5",
];

/// Where SQLite loses digits or makes an infinity of them; in a TEXT or BLOB column they are texts.
const REFUSED: &[&str] =
    &["9223372036854775808", "-9223372036854775809", "99999999999999999999", "1e400", "-1e400"];

struct Database(Connection);

impl Database {
    fn new() -> Self {
        let connection = Connection::open_in_memory().unwrap();
        for (n, declared) in DECLARED.iter().enumerate() {
            connection.execute_batch(&format!("CREATE TABLE t{n} (c {declared})")).unwrap();
        }
        Self(connection)
    }

    /// What a column of this declaration makes of a bound value.
    fn stored(&self, declared: &str, value: impl rusqlite::ToSql) -> Stored {
        let table = DECLARED.iter().position(|d| *d == declared).unwrap();
        self.0
            .query_row(&format!("INSERT INTO t{table} VALUES (?1) RETURNING c"), [value], |row| row.get(0))
            .unwrap()
    }

    /// What it makes of a literal.
    fn literal(&self, declared: &str, sql: &str) -> Stored {
        let table = DECLARED.iter().position(|d| *d == declared).unwrap();
        self.0
            .query_row(&format!("INSERT INTO t{table} VALUES ({sql}) RETURNING c"), [], |row| row.get(0))
            .unwrap()
    }
}

fn bound(value: &Value) -> Stored {
    match value {
        Value::Null => Stored::Null,
        Value::Int(n) => Stored::Integer(*n),
        Value::Real(x) => Stored::Real(*x),
        Value::Text(text) => Stored::Text(text.clone()),
        Value::Bytes(bytes) => Stored::Blob(bytes.clone()),
        other => panic!("{other:?} is no value of SQLite"),
    }
}

fn is_same(a: &Stored, b: &Stored) -> bool {
    match (a, b) {
        (Stored::Real(a), Stored::Real(b)) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}

fn foresee_value(declared: &str, field: Field<'_>) -> Result<Value, String> {
    foresee(Dialect::Sqlite, declared, Kind::Any, field)
}

/// A value that is bound stays what it is, and is foreseen as itself.
fn stays(database: &Database, declared: &str, value: &Value) {
    let stored = database.stored(declared, bound(value));
    assert!(is_same(&stored, &bound(value)), "{declared}: {value:?} became {stored:?}");
}

fn check_text(database: &Database, declared: &str, text: &str) {
    let expected = database.stored(declared, text);
    for field in
        [Field::Cell(text), Field::Json(&serde_json::to_string(text).unwrap()), Field::Json(&escaped(text))]
    {
        let value = foresee_value(declared, field).unwrap();
        assert!(
            is_same(&bound(&value), &expected),
            "{declared} {text:?}: stored {expected:?}, foreseen {value:?}"
        );
        stays(database, declared, &value);
    }
}

#[test]
fn texts_are_stored_as_foreseen() {
    let database = Database::new();
    for declared in DECLARED {
        for text in TEXTS {
            check_text(&database, declared, text);
        }
        // SQLite takes this for the number 12 where it takes texts for numbers.
        let is_number = !matches!(database.stored(declared, "12\0"), Stored::Text(_));
        assert_eq!(foresee_value(declared, Field::Cell("12\0")).is_err(), is_number, "{declared}");
        for text in REFUSED {
            let is_number = !matches!(database.stored(declared, *text), Stored::Text(_));
            let foreseen = foresee_value(declared, Field::Cell(text));
            match (is_number, declared) {
                // A float column says itself that it rounds.
                (true, "REAL" | "DOUBLE PRECISION" | "FLOAT") if !text.contains('e') => {
                    assert!(is_same(&bound(&foreseen.unwrap()), &database.stored(declared, *text)), "{text}");
                }
                (true, _) => assert!(foreseen.is_err(), "{declared} {text}: {foreseen:?}"),
                (false, _) => assert_eq!(foreseen, Ok(Value::Text((*text).to_owned()))),
            }
        }
    }
}

#[test]
fn json_values_are_stored_as_foreseen() {
    let database = Database::new();
    for declared in DECLARED {
        for number in TEXTS.iter().filter(|text| is_json_number(text)) {
            let value = foresee_value(declared, Field::Json(number)).unwrap();
            stays(&database, declared, &value);
            if let Value::Text(text) = &value {
                // A number keeps its spelling in a TEXT column.
                assert_eq!(text, number);
            } else {
                let stored = database.literal(declared, number);
                assert!(
                    is_same(&bound(&value), &stored),
                    "{declared} {number}: stored {stored:?}, foreseen {value:?}"
                );
            }
        }
        for (json, sql) in [("true", "TRUE"), ("false", "FALSE"), ("null", "NULL")] {
            let value = foresee_value(declared, Field::Json(json)).unwrap();
            assert!(
                is_same(&bound(&value), &database.literal(declared, sql)),
                "{declared} {json}: {value:?}"
            );
        }
        for (json, expected) in [
            (r#"{ "b" : 1.50, "a": [ 1, "x y" ] }"#, Value::Text(r#"{"b":1.50,"a":[1,"x y"]}"#.into())),
            ("[ ]", Value::Text("[]".into())),
            (r#"{"$bytes":"00ff"}"#, Value::Bytes(vec![0, 255])),
            (r#"{"$ref":"x"}"#, Value::Text(r#"{"$ref":"x"}"#.into())),
            (r#"{"$real":"NaN"}"#, Value::Text(r#"{"$real":"NaN"}"#.into())),
            (r#"{"$real":"-Infinity"}"#, Value::Real(f64::NEG_INFINITY)),
        ] {
            if expected == Value::Real(f64::NEG_INFINITY)
                && ["TEXT", "VARCHAR(20)", "CLOB"].contains(&declared)
            {
                continue;
            }
            assert_eq!(
                foresee_value(declared, Field::Json(json)).as_ref(),
                Ok(&expected),
                "{declared} {json}"
            );
            stays(&database, declared, &expected);
        }
        let lone = foresee_value(declared, Field::Json(r#""\ud800""#));
        assert!(lone.is_err(), "{declared}: {lone:?}");
    }
}

#[test]
fn a_file_of_what_was_inserted_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("all.db");
    let names: Vec<String> = (0..DECLARED.len()).map(|n| format!("c{n}")).collect();
    let columns: Vec<String> = names.iter().zip(DECLARED).map(|(n, d)| format!("{n} {d}")).collect();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(&format!("CREATE TABLE t (id INTEGER PRIMARY KEY, {})", columns.join(", ")))
        .unwrap();
    let places: Vec<&str> = names.iter().map(|_| "?2").collect();
    let insert = format!("INSERT INTO t VALUES (?1, {})", places.join(", "));
    for (id, text) in TEXTS.iter().enumerate() {
        connection.execute(&insert, (i64::try_from(id).unwrap(), text)).unwrap();
    }
    drop(connection);
    let header: Vec<&str> = std::iter::once("id").chain(names.iter().map(String::as_str)).collect();
    let rows = || {
        TEXTS.iter().enumerate().map(|(id, text)| {
            std::iter::once(id.to_string()).chain(names.iter().map(|_| (*text).to_owned())).collect()
        })
    };
    let Ok(DbUrl::Sqlite(url)) = DbUrl::parse(path.to_str().unwrap(), dir.path()) else { panic!("a path") };
    let mut target = SqliteTarget::open(&url, dir.path(), SqliteOptions::default()).unwrap();
    assert_unchanged(&mut target, "t", Format::Csv, &csv(&header, rows()), TEXTS.len());
    assert_unchanged(&mut target, "t", Format::Ndjson, &ndjson(&header, rows()), TEXTS.len());
}

#[test]
fn strict_columns_and_rowids_take_one_kind_only() {
    let connection = Connection::open_in_memory().unwrap();
    let strict = [
        ("INT", Kind::Int),
        ("INTEGER", Kind::Int),
        ("REAL", Kind::Real),
        ("TEXT", Kind::Text),
        ("BLOB", Kind::Bytes),
        ("ANY", Kind::Any),
    ];
    for (declared, kind) in strict {
        connection.execute_batch(&format!("CREATE TABLE s_{declared} (c {declared}) STRICT")).unwrap();
        compare_strict(&connection, &format!("s_{declared}"), &column(declared, kind));
    }
    connection.execute_batch("CREATE TABLE rowid_alias (c INTEGER PRIMARY KEY)").unwrap();
    let alias = Column { origin: Origin::Numbered, ..column("INTEGER", Kind::Any) };
    compare_strict(&connection, "rowid_alias", &alias);
}

/// What SQLite refuses is refused before, and what it takes is foreseen.
fn compare_strict(connection: &Connection, table: &str, column: &Column) {
    let stored = |value: &dyn rusqlite::ToSql| -> Option<Stored> {
        connection.execute(&format!("DELETE FROM {table}"), []).unwrap();
        let sql = format!("INSERT INTO {table} VALUES (?1) RETURNING c");
        connection.query_row(&sql, [value], |row| row.get(0)).ok()
    };
    for text in TEXTS {
        let foreseen = foresee_in(Dialect::Sqlite, column, Field::Cell(text));
        match (stored(text), &foreseen) {
            (Some(stored), Ok(value)) if is_same(&stored, &bound(value)) => {}
            (None, Err(_)) => {}
            (stored, _) => panic!("{table} {text:?}: stored {stored:?}, foreseen {foreseen:?}"),
        }
        if !is_json_number(text) {
            continue;
        }
        if let Ok(value) = foresee_in(Dialect::Sqlite, column, Field::Json(text)) {
            assert!(is_same(&stored(&bound(&value)).unwrap(), &bound(&value)), "{table} {text}");
        }
    }
    for (json, bound) in [("true", Stored::Integer(1)), ("{\"$bytes\":\"00\"}", Stored::Blob(vec![0]))] {
        let foreseen = foresee_in(Dialect::Sqlite, column, Field::Json(json));
        let stored = stored(&bound);
        assert_eq!(
            foreseen.is_ok(),
            stored.is_some(),
            "{table} {json}: stored {stored:?}, foreseen {foreseen:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_foreseen(
        text in prop_oneof![
            any::<String>().prop_map(|text| text.replace('\0', "")),
            "[ \t]?[-+]?[0-9]{0,14}(\\.[0-9]{0,4})?([eE][-+]?[0-9]{0,2})?[ \n]?",
            any::<i64>().prop_map(|n| n.to_string()),
        ],
    ) {
        let database = Database::new();
        for declared in DECLARED {
            check_text(&database, declared, &text);
        }
    }

    #[test]
    fn any_number_stays_what_it_is(x in any::<f64>(), n in any::<i64>()) {
        let database = Database::new();
        for declared in DECLARED {
            for json in [format!("{x:?}"), n.to_string()] {
                let value = foresee_value(declared, Field::Json(&json)).unwrap();
                stays(&database, declared, &value);
            }
        }
    }
}
