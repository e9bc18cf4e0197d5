//! When two values of a column that are not the same are taken for no change, because a person said so.
//!
//! A rule can only make the comparison more lenient, and every difference that it hides is counted. A value that a
//! rule does not understand is compared exactly.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;

use super::coerce::{JsonMembers, JsonNumbers, Moment, array_elements, canonical_json, json_elements};
use super::decimal::Digits;
use super::diff::{Comparators, Same};
use crate::target::schema::{Column, Origin, Table};
use crate::value::{Kind, ValueRef};

/// The rules as they are written, with what each takes for the same.
pub const RULES: [(&str, &str); 11] = [
    ("exact", "nothing else: the default"),
    ("numeric:abs=0.001", "numbers at most this far apart"),
    ("numeric:rel=1e-9", "numbers at most this far apart, as a part of the larger"),
    ("time:ms", "times less than a millisecond apart"),
    ("time:s", "times less than a second apart"),
    ("json", "JSON values, whatever the order of names, the blanks and the spelling of numbers"),
    ("set", "arrays of the same elements in any order"),
    ("text:trim", "texts but for blanks at both ends"),
    ("text:fold", "texts in upper or lower case"),
    ("text:nfc", "texts in any Unicode normal form"),
    ("ignore", "everything: the column is never part of an update"),
];

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Not of the form `column=rule`.
    #[error("`{spec}` is not of the form column=rule; the rules are {}", names())]
    NoRule {
        /// What was given.
        spec: String,
    },
    /// The table has no such column.
    #[error("the table has no column `{0}`; it has {1}")]
    UnknownColumn(String, String),
    /// There is no such rule.
    #[error("column `{column}`: there is no rule `{rule}`; the rules are {}", names())]
    UnknownRule {
        /// The column.
        column: String,
        /// What was asked for.
        rule: String,
    },
    /// The rule makes no sense for the column.
    #[error("column `{column}`: the rule `{rule}` is not for {type_name}")]
    DoesNotFit {
        /// The column.
        column: String,
        /// What was asked for.
        rule: String,
        /// Its type.
        type_name: String,
    },
    /// Two rules for one column.
    #[error("column `{0}` has two rules")]
    Twice(String),
    /// The column is part of the key, or computed: no rule is ever asked.
    #[error("column `{column}` {why}")]
    NeverAsked {
        /// The column.
        column: String,
        /// What it is.
        why: &'static str,
    },
}

fn names() -> String {
    RULES.map(|(name, _)| name).join(", ")
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Exact,
    Absolute(Digits),
    Relative(Digits),
    /// Less than this many microseconds apart.
    Time(i64),
    Json,
    Set,
    Trim,
    Fold,
    Nfc,
    Ignore,
}

/// A rule for each column of a table.
#[derive(Debug, Clone)]
pub struct Rules {
    rules: Vec<Rule>,
}

impl Rules {
    /// Reads rules such as `price=numeric:abs=0.001`; columns without one are compared exactly. `key` are the columns
    /// that rows are found by.
    pub fn parse(specs: &[String], table: &Table, key: &[usize]) -> Result<Self, RuleError> {
        let mut rules = vec![None; table.columns.len()];
        for spec in specs {
            let (name, text) =
                spec.split_once('=').ok_or_else(|| RuleError::NoRule { spec: spec.clone() })?;
            let index = table.column(name).ok_or_else(|| {
                let columns: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
                RuleError::UnknownColumn(name.to_owned(), columns.join(", "))
            })?;
            let column = &table.columns[index];
            let never = |why| RuleError::NeverAsked { column: name.to_owned(), why };
            if key.contains(&index) {
                return Err(never("is part of the key, which is always compared exactly"));
            }
            if column.origin == Origin::Computed {
                return Err(never("is computed by the database and never compared"));
            }
            let rule = Rule::parse(text)
                .ok_or_else(|| RuleError::UnknownRule { column: name.to_owned(), rule: text.to_owned() })?;
            if !rule.fits(column) {
                let (column, type_name) = (name.to_owned(), column.type_name.clone());
                return Err(RuleError::DoesNotFit { column, rule: text.to_owned(), type_name });
            }
            if rules[index].replace(rule).is_some() {
                return Err(RuleError::Twice(name.to_owned()));
            }
        }
        Ok(Self { rules: rules.into_iter().map(|rule| rule.unwrap_or(Rule::Exact)).collect() })
    }
}

impl Comparators for Rules {
    fn same(&self, column: usize, live: ValueRef<'_>, desired: ValueRef<'_>) -> Same {
        match &self.rules[column] {
            _ if live.same(desired) => Same::Equal,
            rule if rule.is_alike(live, desired) => Same::Suppressed,
            _ => Same::Different,
        }
    }
}

impl Rule {
    fn parse(text: &str) -> Option<Self> {
        let tolerance = |text| Digits::parse(text).filter(|d| d.check().is_ok() && !d.is_negative());
        Some(match text.split_once('=') {
            Some(("numeric:abs", text)) => Self::Absolute(tolerance(text)?),
            Some(("numeric:rel", text)) => Self::Relative(tolerance(text)?),
            Some(_) => return None,
            None => match text {
                "exact" => Self::Exact,
                "time:ms" => Self::Time(1_000),
                "time:s" => Self::Time(1_000_000),
                "json" => Self::Json,
                "set" => Self::Set,
                "text:trim" => Self::Trim,
                "text:fold" => Self::Fold,
                "text:nfc" => Self::Nfc,
                "ignore" => Self::Ignore,
                _ => return None,
            },
        })
    }

    fn fits(&self, column: &Column) -> bool {
        let kind = column.kind;
        match self {
            Self::Exact | Self::Ignore => true,
            Self::Absolute(_) | Self::Relative(_) => {
                matches!(kind, Kind::Any | Kind::Int | Kind::Number | Kind::Real)
            }
            Self::Time(_) => matches!(kind, Kind::Any | Kind::TimestampTz | Kind::Timestamp),
            Self::Json => matches!(kind, Kind::Any | Kind::Json | Kind::Text),
            Self::Set => {
                matches!(kind, Kind::Any | Kind::Json | Kind::Text) || column.type_name.ends_with("[]")
            }
            Self::Trim | Self::Fold | Self::Nfc => matches!(kind, Kind::Any | Kind::Text),
        }
    }

    /// Whether two values that are not the same are taken for the same.
    fn is_alike(&self, a: ValueRef<'_>, b: ValueRef<'_>) -> bool {
        match self {
            Self::Exact => false,
            Self::Ignore => true,
            Self::Absolute(limit) => {
                both(digits, a, b).is_some_and(|(a, b)| a.distance(&b).compare(limit).is_le())
            }
            Self::Relative(part) => both(digits, a, b).is_some_and(|(a, b)| {
                let larger = if a.distance(&zero()).compare(&b.distance(&zero())).is_ge() { &a } else { &b };
                a.distance(&b).compare(&larger.product(part)).is_le()
            }),
            Self::Time(limit) => {
                both(micros, a, b).is_some_and(|(a, b)| a.abs_diff(b) < limit.unsigned_abs())
            }
            Self::Json => both(canonical, a, b).is_some_and(|(a, b)| a == b),
            Self::Set => both(sorted, a, b).is_some_and(|(a, b)| a == b),
            Self::Trim => both(text, a, b).is_some_and(|(a, b)| a.trim() == b.trim()),
            Self::Fold => both(text, a, b).is_some_and(|(a, b)| {
                let folded = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<String>();
                folded(a) == folded(b)
            }),
            Self::Nfc => both(text, a, b).is_some_and(|(a, b)| a.nfc().eq(b.nfc())),
        }
    }
}

fn both<'a, T>(of: impl Fn(ValueRef<'a>) -> Option<T>, a: ValueRef<'a>, b: ValueRef<'a>) -> Option<(T, T)> {
    of(a).zip(of(b))
}

fn zero() -> Digits {
    Digits::parse("0").expect("a number")
}

/// A number by its digits; a float by the fewest that are it.
fn digits(value: ValueRef<'_>) -> Option<Digits> {
    let text: Cow<'_, str> = match value {
        ValueRef::Int(n) => n.to_string().into(),
        ValueRef::Real(x) => format!("{x:e}").into(),
        ValueRef::Number(text) => text.into(),
        ValueRef::Text(text) => text.trim_ascii().into(),
        _ => return None,
    };
    Digits::parse(&text).filter(|digits| digits.check().is_ok())
}

fn text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(text) => Some(text),
        _ => None,
    }
}

fn micros(value: ValueRef<'_>) -> Option<i64> {
    Moment::parse(text(value)?)?.micros()
}

fn json(value: ValueRef<'_>) -> Option<&str> {
    let (ValueRef::Text(text) | ValueRef::Json(text)) = value else { return None };
    serde_json::from_str::<serde::de::IgnoredAny>(text).ok().map(|_| text.trim_ascii())
}

/// The one spelling that equal JSON values share.
fn canonical(value: ValueRef<'_>) -> Option<String> {
    one_spelling(json(value)?)
}

fn one_spelling(json: &str) -> Option<String> {
    let mut out = String::new();
    canonical_json(json, JsonNumbers::ByValue, &mut JsonMembers::default(), &mut out).ok().map(|()| out)
}

/// The elements of an array in order of their spelling; each as often as it is there.
fn sorted(value: ValueRef<'_>) -> Option<Vec<String>> {
    let mut elements: Vec<String> = match (json(value), value) {
        (Some(json), _) if json.starts_with('[') => {
            let mut elements = Vec::new();
            json_elements(json, |element| one_spelling(element).map(|text| elements.push(text)).ok_or(()))
                .ok()?;
            elements
        }
        (_, ValueRef::Text(literal)) => array_elements(literal)?.into_iter().map(str::to_owned).collect(),
        _ => return None,
    };
    elements.sort_unstable();
    Some(elements)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::schema::TableName;

    fn table() -> Table {
        let column = |(name, type_name, kind): &(&str, &str, Kind)| Column {
            name: (*name).to_owned(),
            type_name: (*type_name).to_owned(),
            kind: *kind,
            nullable: true,
            default: None,
            origin: if *name == "total" { Origin::Computed } else { Origin::Written },
        };
        let columns = [
            ("id", "bigint", Kind::Int),
            ("price", "numeric(10,2)", Kind::Number),
            ("score", "double precision", Kind::Real),
            ("name", "text", Kind::Text),
            ("at", "timestamp with time zone", Kind::TimestampTz),
            ("doc", "jsonb", Kind::Json),
            ("tags", "text[]", Kind::Other),
            ("any", "", Kind::Any),
            ("total", "numeric", Kind::Number),
            ("on", "date", Kind::Date),
        ];
        Table {
            name: TableName::parse("t").unwrap(),
            columns: columns.iter().map(column).collect(),
            primary_key: vec![0],
            unique: vec![],
            notes: vec![],
        }
    }

    fn rules(spec: &str) -> Result<Rules, RuleError> {
        Rules::parse(&[spec.to_owned()], &table(), &[0])
    }

    fn check(spec: &str, cases: &[(ValueRef<'_>, ValueRef<'_>, Same)]) {
        let rules = rules(spec).unwrap();
        let column = table().column(spec.split_once('=').unwrap().0).unwrap();
        for (a, b, expected) in cases {
            assert_eq!(rules.same(column, *a, *b), *expected, "{spec}: {a:?} {b:?}");
            assert_eq!(rules.same(column, *b, *a), *expected, "{spec}: {b:?} {a:?}");
        }
    }

    use Same::{Different, Equal, Suppressed};
    use ValueRef::{Int, Json, Null, Number, Real, Text};

    #[test]
    fn without_a_rule_every_difference_counts() {
        let rules = Rules::parse(&[], &table(), &[0]).unwrap();
        assert_eq!(rules.same(1, Number("1.50"), Number("1.5")), Equal);
        assert_eq!(rules.same(3, Text("a"), Text("a ")), Different);
        assert_eq!(rules.same(3, Null, Text("")), Different);
    }

    #[test]
    fn numbers_are_compared_by_their_digits() {
        check(
            "price=numeric:abs=0.001",
            &[
                (Number("1.50"), Number("1.5"), Equal),
                (Number("1.000"), Number("1.001"), Suppressed),
                (Number("0.1"), Number("0.101"), Suppressed),
                (Number("1.000"), Number("1.0010000000000000000000001"), Different),
                (Number("-0.0005"), Number("0.0005"), Suppressed),
                (Number("12345678901234567890.123"), Number("12345678901234567890.124"), Suppressed),
                (Number("12345678901234567890.123"), Number("12345678901234567890.125"), Different),
                (Number("NaN"), Number("NaN"), Equal),
                (Number("NaN"), Number("1"), Different),
                (Number("Infinity"), Number("1"), Different),
                (Null, Number("0"), Different),
            ],
        );
        check(
            "score=numeric:rel=1e-9",
            &[
                (Real(1.0), Real(1.000_000_001), Suppressed),
                (Real(1.0), Real(1.000_000_01), Different),
                (Real(1e300), Real(1.000_000_000_5e300), Suppressed),
                (Real(0.0), Real(-0.0), Suppressed),
                (Real(0.0), Real(1e-300), Different),
                (Real(f64::NAN), Real(1.0), Different),
            ],
        );
        check(
            "any=numeric:abs=0",
            &[
                (Int(1), Real(1.0), Suppressed),
                (Text(" 1.0 "), Int(1), Suppressed),
                (Text("one"), Int(1), Different),
                (Text("1e2000000000"), Int(1), Different),
            ],
        );
    }

    #[test]
    fn times_less_than_a_unit_apart() {
        check(
            "at=time:ms",
            &[
                (Text("2026-01-02 03:04:05.123456+00"), Text("2026-01-02 03:04:05.123+00"), Suppressed),
                (Text("2026-01-02 03:04:05.1239+00"), Text("2026-01-02 03:04:05.124+00"), Suppressed),
                (Text("2026-01-02 03:04:05.123+00"), Text("2026-01-02 03:04:05.124+00"), Different),
                (Text("infinity"), Text("2026-01-02 03:04:05+00"), Different),
            ],
        );
        check(
            "any=time:s",
            &[
                (Text("2026-01-02T03:04:05.999Z"), Text("2026-01-02 03:04:05"), Suppressed),
                (Text("2026-01-02T04:04:05+01:00"), Text("2026-01-02 03:04:05Z"), Suppressed),
                (Text("2026-01-02T03:04:06Z"), Text("2026-01-02 03:04:05Z"), Different),
                (Int(1), Int(2), Different),
            ],
        );
    }

    #[test]
    fn json_by_value_and_arrays_in_any_order() {
        check(
            "doc=json",
            &[
                (Json(r#"{"a": 1.50, "b": [1, 2]}"#), Json(r#"{"b":[1,2],"a":1.5}"#), Suppressed),
                (Json(r#"{"a": [1, 2]}"#), Json(r#"{"a": [2, 1]}"#), Different),
                (Json(r#"{"a": 1}"#), Json(r#"{"a": "1"}"#), Different),
                (Json(r#""\u00e9""#), Json("\"é\""), Suppressed),
                (Json(r#""\ud800""#), Json(r#"" ""#), Different),
                (Json("null"), Null, Different),
            ],
        );
        check(
            "any=json",
            &[(Text("[1, 2]"), Text("[1,2]"), Suppressed), (Text("[1,"), Text("[1, "), Different)],
        );
        check(
            "doc=set",
            &[
                (Json(r#"[1, {"a": 1, "b": 2}]"#), Json(r#"[{"b":2,"a":1}, 1.0]"#), Suppressed),
                (Json("[1, 1, 2]"), Json("[1, 2, 2]"), Different),
                (Json("{}"), Json("[]"), Different),
            ],
        );
        check(
            "tags=set",
            &[
                (Text("{a,\"b c\",NULL}"), Text("{NULL,a,\"b c\"}"), Suppressed),
                (Text("{a,\"x,\\\"y\"}"), Text("{\"x,\\\"y\",a}"), Suppressed),
                (Text("{a,b}"), Text("{a,a,b}"), Different),
                (Text("{}"), Text("{a}"), Different),
                (Text("{{a},{b}}"), Text("{{b},{a}}"), Different),
            ],
        );
    }

    #[test]
    fn texts() {
        check("name=text:trim", &[(Text(" a\n"), Text("a"), Suppressed), (Text("A"), Text("a"), Different)]);
        check(
            "name=text:fold",
            &[(Text("ÉCOLE"), Text("école"), Suppressed), (Text("a "), Text("a"), Different)],
        );
        check(
            "name=text:nfc",
            &[(Text("e\u{301}"), Text("é"), Suppressed), (Text("e"), Text("é"), Different)],
        );
        check("name=ignore", &[(Text("a"), Null, Suppressed), (Text("a"), Text("a"), Equal)]);
        check("name=exact", &[(Text("a"), Text("A"), Different)]);
    }

    #[test]
    fn every_rule_that_is_listed_can_be_used() {
        for (name, _) in RULES {
            assert!(rules(&format!("any={name}")).is_ok(), "{name}");
        }
    }

    #[test]
    fn rules_that_make_no_sense_are_refused() {
        for (spec, expected) in [
            ("name", "not of the form column=rule; the rules are exact, numeric:abs=0.001"),
            ("nam=exact", "the table has no column `nam`; it has id, price"),
            ("name=text:upper", "there is no rule `text:upper`; the rules are exact"),
            ("price=numeric:abs=", "there is no rule `numeric:abs=`"),
            ("price=numeric:abs=-1", "there is no rule"),
            ("price=numeric", "there is no rule"),
            ("price=text:trim", "the rule `text:trim` is not for numeric(10,2)"),
            ("name=numeric:abs=1", "is not for text"),
            ("on=time:s", "is not for date"),
            ("at=json", "is not for timestamp with time zone"),
            ("id=ignore", "is part of the key"),
            ("total=ignore", "is computed"),
        ] {
            let error = rules(spec).unwrap_err().to_string();
            assert!(error.contains(expected), "{spec}: {error}");
        }
        let twice = ["name=ignore".to_owned(), "name=exact".to_owned()];
        assert_eq!(Rules::parse(&twice, &table(), &[0]).unwrap_err(), RuleError::Twice("name".into()));
    }
}
