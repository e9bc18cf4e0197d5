//! Against a private PostgreSQL, under the session settings that the drivers pin.

use std::cell::RefCell;
use std::collections::HashMap;

use ops::change::coerce::Dialect;
use ops::records::Field;
use ops::value::{Kind, Value};
use postgres::{Client, NoTls, SimpleQueryMessage};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};

use super::corpus::Verdict::{Looser, Same, Stricter};
use super::corpus::{
    ARRAYS, BOOLS, BYTES, CLOCKS, Cases, DAYS, DOCUMENTS, FLOATS, INTS, NUMBERS, OFFSETS, TEXTS, TIMES,
    UUIDS, Verdict,
};
use super::support::postgres::cluster;
use super::{escaped, foresee, is_json_number};

struct Database {
    client: Client,
    tables: HashMap<String, String>,
}

impl Database {
    fn new() -> Option<Self> {
        let cluster = cluster()?;
        let mut client = Client::connect(&cluster.url(&cluster.database()), NoTls).unwrap();
        client
            .batch_execute(
                "SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET IntervalStyle = iso_8601; \
                 SET extra_float_digits = 1; SET bytea_output = hex",
            )
            .unwrap();
        Some(Self { client, tables: HashMap::new() })
    }

    /// What an INSERT of this text stores, as text; `None` where it is refused.
    fn stored(&mut self, type_name: &str, text: &str) -> Option<String> {
        let next = format!("stored_{}", self.tables.len());
        if !self.tables.contains_key(type_name) {
            self.client.batch_execute(&format!("CREATE TABLE {next} (c {type_name})")).unwrap();
        }
        let table = self.tables.entry(type_name.to_owned()).or_insert(next);
        let sql = format!("INSERT INTO {table} VALUES ({}) RETURNING c::text", literal(text)?);
        match self.client.simple_query(&sql) {
            Ok(rows) => texts(&rows).pop(),
            Err(error) => {
                assert!(error.as_db_error().is_some(), "{text}: {error:?}");
                None
            }
        }
    }

    /// The texts of many values of a type, all of them valid.
    fn cast(&mut self, type_name: &str, values: &[String]) -> Vec<String> {
        let rows: Vec<String> =
            values.iter().enumerate().map(|(n, v)| format!("({n}, {})", literal(v).unwrap())).collect();
        let sql =
            format!("SELECT (v::{type_name})::text FROM (VALUES {}) t(n, v) ORDER BY n", rows.join(", "));
        texts(&self.client.simple_query(&sql).unwrap())
    }
}

fn literal(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| format!("'{}'", text.replace('\'', "''")))
}

fn texts(rows: &[SimpleQueryMessage]) -> Vec<String> {
    let text = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    };
    rows.iter().filter_map(text).collect()
}

fn foresee_text(type_name: &str, kind: Kind, field: Field<'_>) -> Result<Value, String> {
    foresee(Dialect::Postgres, type_name, kind, field)
}

/// Whether a value is what PostgreSQL prints. Floats are compared as what the text reads as.
fn is_text(value: &Value, text: &str) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(b) => text == if *b { "true" } else { "false" },
        Value::Int(n) => text == n.to_string(),
        Value::Real(x) => {
            text.parse::<f64>().is_ok_and(|y| x.to_bits() == y.to_bits() || (x.is_nan() && y.is_nan()))
        }
        Value::Number(given) | Value::Text(given) | Value::Json(given) => text == given,
        Value::Bytes(bytes) => text == format!("\\x{}", ops::ids::hex(bytes)),
    }
}

fn check(database: &mut Database, type_name: &str, kind: Kind, verdict: Verdict, text: &str) {
    let stored = database.stored(type_name, text);
    let foreseen = foresee_text(type_name, kind, Field::Cell(text));
    let what = format!("{type_name} {text:?}: stored {stored:?}, foreseen {foreseen:?}");
    match (verdict, &stored, &foreseen) {
        (Same, Some(stored), Ok(value)) => assert!(is_text(value, stored), "{what}"),
        (Same, None, Err(_)) | (Stricter, Some(_), Err(_)) => return,
        (Looser, None, Ok(value)) => {
            let Value::Int(n) = value else { panic!("{what}") };
            assert!(is_text(value, &database.stored(type_name, &n.to_string()).unwrap()), "{what}");
            return;
        }
        _ => panic!("{what}"),
    }
    // As a JSON text, with escapes or not, and as a JSON number it is the same.
    let value = foreseen.unwrap();
    let same = |other: Result<Value, String>| match other {
        Ok(other) => {
            other.as_ref().same(value.as_ref())
                || value == Value::Real(f64::NAN)
                || matches!(value, Value::Real(x) if x.is_nan())
        }
        Err(_) => false,
    };
    for json in [serde_json::to_string(text).unwrap(), escaped(text)] {
        let other = foresee_text(type_name, kind, Field::Json(&json));
        assert!(same(other.clone()), "{what}; as {json}: {other:?}");
    }
    if is_json_number(text) && !matches!(kind, Kind::Date | Kind::Timestamp | Kind::TimestampTz | Kind::Bool)
    {
        let other = foresee_text(type_name, kind, Field::Json(text));
        assert!(same(other.clone()), "{what}; as a number: {other:?}");
    }
    // What was stored is foreseen as it is.
    let stored = stored.unwrap();
    let again = foresee_text(type_name, kind, Field::Cell(&stored));
    assert!(same(again.clone()), "{what}; again: {again:?}");
    assert_eq!(database.stored(type_name, &stored).as_ref(), Some(&stored), "{what}");
}

/// Every type with its kind and its spellings.
pub(crate) fn scalar_cases() -> Vec<(&'static str, Kind, Cases)> {
    let of = |kind, names: &[&'static str], cases| {
        names.iter().map(|name| (*name, kind, cases)).collect::<Vec<_>>()
    };
    [
        of(Kind::Bool, &["boolean"], BOOLS),
        of(Kind::Int, &["smallint", "integer", "bigint"], INTS),
        of(
            Kind::Number,
            &[
                "numeric",
                "numeric(10,2)",
                "numeric(5,0)",
                "numeric(5,-2)",
                "numeric(3,5)",
                "numeric(1000,500)",
            ],
            NUMBERS,
        ),
        of(Kind::Real, &["real", "double precision"], FLOATS),
        of(
            Kind::Text,
            &["text", "character varying", "character varying(5)", "character(5)", "character(1)"],
            TEXTS,
        ),
        of(Kind::Bytes, &["bytea"], BYTES),
        of(Kind::Uuid, &["uuid"], UUIDS),
        of(
            Kind::TimestampTz,
            &["timestamp with time zone", "timestamp(3) with time zone", "timestamp(0) with time zone"],
            TIMES,
        ),
        of(
            Kind::Timestamp,
            &[
                "timestamp without time zone",
                "timestamp(2) without time zone",
                "timestamp(6) without time zone",
            ],
            TIMES,
        ),
        of(Kind::Date, &["date"], DAYS),
        of(Kind::Other, &["time without time zone", "time(2) without time zone"], CLOCKS),
    ]
    .concat()
}

#[test]
fn scalars_are_stored_as_foreseen() {
    let Some(mut database) = Database::new() else { return };
    let mut count = 0;
    for (type_name, kind, cases) in scalar_cases() {
        for (verdict, texts) in cases {
            for text in *texts {
                check(&mut database, type_name, kind, *verdict, text);
                count += 1;
            }
        }
    }
    for text in OFFSETS {
        check(&mut database, "timestamp with time zone", Kind::TimestampTz, Same, text);
        check(&mut database, "timestamp(1) with time zone", Kind::TimestampTz, Same, text);
        check(&mut database, "timestamp without time zone", Kind::Timestamp, Stricter, text);
        count += 3;
    }
    assert!(count > 1100, "{count} cases");
}

#[test]
fn json_is_stored_as_foreseen() {
    let Some(mut database) = Database::new() else { return };
    for (type_name, json) in ["json", "jsonb"].iter().flat_map(|t| DOCUMENTS.iter().map(move |v| (*t, *v))) {
        let stored = database.stored(type_name, json);
        for field in [Field::Json(json), Field::Cell(json)] {
            if matches!(field, Field::Json("null")) {
                continue;
            }
            let foreseen = foresee_text(type_name, Kind::Json, field);
            match (&stored, &foreseen) {
                (Some(stored), Ok(Value::Json(text))) => assert_eq!(stored, text, "{type_name} {field:?}"),
                (None, Err(_)) => {}
                _ => panic!("{type_name} {field:?}: stored {stored:?}, foreseen {foreseen:?}"),
            }
        }
        let tagged = format!("{{\"$json\":{}}}", serde_json::to_string(json).unwrap());
        let foreseen = foresee_text(type_name, Kind::Json, Field::Json(&tagged));
        assert_eq!(foreseen, Ok(Value::Json(json.to_owned())));
    }
    for cell in ["", "{", "[1,]", "{a:1}", "'x'", "1 2", "NaN", "01", "abc"] {
        assert_eq!(database.stored("jsonb", cell), None, "{cell}");
        assert!(foresee_text("jsonb", Kind::Json, Field::Cell(cell)).is_err(), "{cell}");
    }
    assert_eq!(database.stored("json", " {\"a\": 1} ").unwrap(), " {\"a\": 1} ");
    assert_eq!(
        foresee_text("json", Kind::Json, Field::Cell(" {\"a\": 1} ")),
        Ok(Value::Json(" {\"a\": 1} ".into()))
    );
}

#[test]
fn arrays_are_stored_as_foreseen() {
    let Some(mut database) = Database::new() else { return };
    for (type_name, literal, json, is_taken) in ARRAYS {
        let stored = (!literal.is_empty()).then(|| database.stored(type_name, literal));
        if let Some(stored) = &stored {
            assert_eq!(stored.is_some(), *is_taken, "{type_name} {literal}: {stored:?}");
        }
        for (text, field) in [(literal, Field::Cell(literal)), (json, Field::Json(json))] {
            if text.is_empty() {
                continue;
            }
            let foreseen = foresee_text(type_name, Kind::Other, field);
            match foreseen {
                Ok(Value::Text(foreseen)) if *is_taken => {
                    let stored = stored.clone().unwrap_or_else(|| database.stored(type_name, &foreseen));
                    assert_eq!(stored.as_deref(), Some(foreseen.as_str()), "{type_name} {text}");
                    let again = foresee_text(type_name, Kind::Other, Field::Cell(&foreseen));
                    assert_eq!(again, Ok(Value::Text(foreseen)), "{type_name} {text}");
                }
                Err(_) if !is_taken => {}
                other => panic!("{type_name} {text}: {other:?}, stored {stored:?}"),
            }
        }
    }
}

#[test]
fn types_without_one_spelling_keep_theirs() {
    let Some(mut database) = Database::new() else { return };
    database.client.batch_execute("CREATE TYPE mood AS ENUM ('sad', 'ok')").unwrap();
    for (type_name, text) in [
        ("mood", "ok"),
        ("interval", "P1Y2M3DT4H5M6S"),
        ("inet", "192.168.0.1/24"),
        ("int4range", "[1,5)"),
        ("tsvector", "'a' 'b'"),
        ("point", "(1,2)"),
        ("time with time zone", "03:04:05+00"),
        ("bit varying", "0101"),
    ] {
        assert_eq!(database.stored(type_name, text).as_deref(), Some(text), "{type_name}");
        for json in [serde_json::to_string(text).unwrap(), escaped(text)] {
            assert_eq!(
                foresee_text(type_name, Kind::Other, Field::Json(&json)),
                Ok(Value::Text(text.into()))
            );
        }
    }
    assert!(foresee_text("mood", Kind::Other, Field::Json("[\"ok\"]")).is_err());
    assert!(foresee_text("text", Kind::Text, Field::Json("{\"a\":1}")).is_err());
    assert_eq!(foresee_text("text", Kind::Text, Field::Json("1.50")), Ok(Value::Text("1.50".into())));
    assert_eq!(foresee_text("text", Kind::Text, Field::Json("true")), Ok(Value::Text("true".into())));
    assert_eq!(foresee_text("integer", Kind::Int, Field::Json("null")), Ok(Value::Null));
    assert!(foresee_text("integer", Kind::Int, Field::Json("true")).is_err());
}

/// Runs `check` with many values of a type at once, some of them near each other.
fn many<T: std::fmt::Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    check: impl Fn(&mut Database, T) -> Result<(), TestCaseError>,
) {
    let Some(database) = Database::new() else { return };
    let database = RefCell::new(database);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&strategy, |value| check(&mut database.borrow_mut(), value)).unwrap();
}

/// Each text as a cell, against what the type's input makes of it.
fn compare(
    database: &mut Database,
    type_name: &str,
    kind: Kind,
    texts: &[String],
) -> Result<(), TestCaseError> {
    for (text, stored) in texts.iter().zip(database.cast(type_name, texts)) {
        let foreseen = foresee_text(type_name, kind, Field::Cell(text));
        let is_same = foreseen.as_ref().is_ok_and(|value| is_text(value, &stored));
        prop_assert!(is_same, "{} {:?}: stored {:?}, foreseen {:?}", type_name, text, stored, foreseen);
    }
    Ok(())
}

#[test]
fn any_float_is_foreseen() {
    let double = prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-60_i32..60, any::<u8>()).prop_map(|(e, d)| f64::from(d) * 10_f64.powi(e)),
        (-1074_i32..1023, -2_i64..3).prop_map(|(e, d)| {
            f64::from_bits((2_f64.powi(e).to_bits().cast_signed() + d).cast_unsigned() & !(1 << 63))
        }),
    ];
    let single = prop_oneof![
        any::<u32>().prop_map(f32::from_bits),
        (-149_i32..127, -2_i32..3).prop_map(|(e, d)| {
            f32::from_bits((2_f32.powi(e).to_bits().cast_signed() + d).cast_unsigned() & !(1 << 31))
        }),
    ];
    let text =
        |text: String| if text == "inf" || text == "-inf" { text.replace("inf", "Infinity") } else { text };
    let values = proptest::collection::vec((double, single), 500);
    many(20, values, |database, values| {
        let doubles: Vec<String> = values.iter().map(|(x, _)| text(format!("{x:e}"))).collect();
        let singles: Vec<String> = values.iter().map(|(_, x)| text(format!("{x:e}"))).collect();
        compare(database, "double precision", Kind::Real, &doubles)?;
        compare(database, "real", Kind::Real, &singles)?;
        // Their texts are seen in arrays.
        for (type_name, texts) in [("double precision[]", doubles), ("real[]", singles)] {
            compare(database, type_name, Kind::Other, &[format!("{{{}}}", texts.join(","))])?;
        }
        Ok(())
    });
}

#[test]
fn any_number_is_foreseen() {
    let number = "[-+]?(0{0,2}[0-9]{1,7}(\\.[0-9]{0,8})?|\\.[0-9]{1,6})([eE][-+]?[0-4])?";
    many(30, proptest::collection::vec(number, 200), |database, texts| {
        compare(database, "numeric", Kind::Number, &texts)?;
        compare(database, "numeric(20,3)", Kind::Number, &texts)?;
        compare(database, "numeric(20,-1)", Kind::Number, &texts)
    });
}

#[test]
fn any_time_is_foreseen() {
    let day = "[-](0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])";
    let year = prop_oneof![
        "([0-9][0-9]{2}[1-9]|[1-9][0-9]{4})".prop_map(|year| (year, "")),
        "[0-3][0-9]{2}[1-9]".prop_map(|year| (year, " BC")),
    ];
    let clock = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,9})?)?";
    let zone = "( ?(Z|UTC|[-+](0[0-9]|1[0-5])(:?[0-5][0-9])?))?";
    let time = (year, day, "[ Tt]", clock, zone).prop_map(|((year, era), day, blank, clock, zone)| {
        let day = format!("{year}{day}");
        (
            format!("{day}{blank}{clock}{zone}{era}"),
            format!("{day}{blank}{clock}{era}"),
            format!("{day}{era}"),
        )
    });
    many(30, proptest::collection::vec(time, 200), |database, values| {
        let zoned: Vec<String> = values.iter().map(|v| v.0.clone()).collect();
        let plain: Vec<String> = values.iter().map(|v| v.1.clone()).collect();
        let days: Vec<String> = values.iter().map(|v| v.2.clone()).collect();
        for (name, kind, texts) in [
            ("timestamp with time zone", Kind::TimestampTz, &zoned),
            ("timestamp(3) with time zone", Kind::TimestampTz, &zoned),
            ("timestamp without time zone", Kind::Timestamp, &plain),
            ("timestamp(1) without time zone", Kind::Timestamp, &plain),
            ("date", Kind::Date, &days),
        ] {
            compare(database, name, kind, texts)?;
        }
        Ok(())
    });
}

#[test]
fn any_json_and_any_text_is_foreseen() {
    let text =
        || prop_oneof![any::<String>(), "[a-c{}\",\\\\ \n\tNULnulé]{0,6}"].prop_map(|t| t.replace('\0', ""));
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,9})?([eE][-+]?[0-9]{1,2})?",
        text().prop_map(|t| serde_json::to_string(&t).unwrap()),
        text().prop_map(|t| escaped(&t)),
    ];
    let json = leaf.prop_recursive(4, 40, 6, move |inner| {
        let name =
            prop_oneof!["[a-c]{0,2}".prop_map(|n| format!("\"{n}\"")), text().prop_map(|t| escaped(&t))];
        let blank = "[ \n\t]{0,2}";
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 0..5), blank)
                .prop_map(|(items, blank)| format!("[{blank}{}{blank}]", items.join(&format!("{blank},")))),
            (proptest::collection::vec((name, inner), 0..5), blank).prop_map(|(members, blank)| {
                let members: Vec<String> =
                    members.iter().map(|(n, v)| format!("{n}{blank}:{blank}{v}")).collect();
                format!("{{{blank}{}{blank}}}", members.join(&format!(",{blank}")))
            }),
        ]
    });
    let values = (proptest::collection::vec(json, 60), proptest::collection::vec(text(), 60));
    many(40, values, |database, (documents, texts)| {
        for type_name in ["json", "jsonb"] {
            for (json, stored) in documents.iter().zip(database.cast(type_name, &documents)) {
                for field in [Field::Json(json), Field::Cell(json)] {
                    if matches!(field, Field::Json("null")) {
                        continue;
                    }
                    let foreseen = foresee_text(type_name, Kind::Json, field);
                    prop_assert_eq!(foreseen, Ok(Value::Json(stored.clone())), "{} {:?}", type_name, field);
                }
            }
        }
        // Texts as elements of an array, where they are quoted.
        let json = serde_json::to_string(&texts).unwrap();
        let Ok(Value::Text(literal)) = foresee_text("text[]", Kind::Other, Field::Json(&json)) else {
            return Err(TestCaseError::fail(json));
        };
        prop_assert_eq!(database.cast("text[]", std::slice::from_ref(&literal)), [literal.as_str()]);
        let table = "SELECT e FROM unnest($1::text::text[]) WITH ORDINALITY t(e, n) ORDER BY n";
        let rows = database.client.query(table, &[&literal]).unwrap();
        let elements: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        prop_assert_eq!(&elements, &texts);
        compare(database, "text[]", Kind::Other, &[literal])
    });
}
