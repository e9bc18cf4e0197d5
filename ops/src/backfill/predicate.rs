//! Conditions over the columns of one row, as settings write them.
//!
//! Decided here and not by the database, so that one predicate means the same everywhere. NULL satisfies nothing but
//! `is_null`. Texts that both are times are compared as times, numbers as decimals, everything else byte by byte.

use std::cmp::Ordering;

use serde::Deserialize;

use super::settings::Scalar;
use crate::clock::Stamp;
use crate::target::schema::Table;
use crate::value::ValueRef;

/// One condition: `any` of others, or a column and exactly one test.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    column: Option<String>,
    is: Option<Scalar>,
    is_not: Option<Scalar>,
    at_least: Option<Scalar>,
    above: Option<Scalar>,
    below: Option<Scalar>,
    at_least_column: Option<String>,
    is_null: Option<bool>,
    any: Option<Vec<Self>>,
}

impl Condition {
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let scalars = [&self.is, &self.is_not, &self.at_least, &self.above, &self.below];
        let tests = scalars.iter().filter(|scalar| scalar.is_some()).count()
            + usize::from(self.at_least_column.is_some())
            + usize::from(self.is_null.is_some());
        match (&self.column, &self.any) {
            (None, Some(any)) if tests == 0 && !any.is_empty() => any.iter().try_for_each(Self::check),
            (Some(_), None) if tests == 1 => Ok(()),
            _ => Err("a condition is a column with one test, or `any` of other conditions".to_owned()),
        }
    }

    /// The first column that the table does not have.
    pub fn missing<'a>(&'a self, table: &Table) -> Option<&'a str> {
        let mut own = self.column.iter().chain(&self.at_least_column).map(String::as_str);
        let own = own.find(|name| table.column(name).is_none());
        own.or_else(|| self.any.iter().flatten().find_map(|condition| condition.missing(table)))
    }

    /// Whether a row satisfies it; all columns in the order of the table.
    pub fn holds(&self, table: &Table, row: &[ValueRef<'_>]) -> bool {
        if let Some(any) = &self.any {
            return any.iter().any(|condition| condition.holds(table, row));
        }
        let value = |name: &Option<String>| {
            name.as_ref().and_then(|name| table.column(name)).map_or(ValueRef::Null, |i| row[i])
        };
        let found = value(&self.column);
        if let Some(is_null) = self.is_null {
            return (found == ValueRef::Null) == is_null;
        }
        if let Some(other) = &self.at_least_column {
            return compare(found, value(&Some(other.clone()))).is_some_and(Ordering::is_ge);
        }
        let test = |scalar: &Option<Scalar>, is_met: fn(Ordering) -> bool| {
            let order = scalar.as_ref().map(|scalar| order(found, scalar));
            order.is_none_or(|order| order.is_some_and(is_met))
        };
        test(&self.is, Ordering::is_eq)
            && test(&self.is_not, Ordering::is_ne)
            && test(&self.at_least, Ordering::is_ge)
            && test(&self.above, Ordering::is_gt)
            && test(&self.below, Ordering::is_lt)
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(any) = &self.any {
            let any: Vec<String> = any.iter().map(ToString::to_string).collect();
            return write!(f, "({})", any.join(" or "));
        }
        let column = self.column.as_deref().unwrap_or_default();
        let scalars = [
            ("=", &self.is),
            ("<>", &self.is_not),
            (">=", &self.at_least),
            (">", &self.above),
            ("<", &self.below),
        ];
        for (sign, scalar) in scalars {
            if let Some(scalar) = scalar {
                return write!(f, "{column} {sign} {scalar}");
            }
        }
        match (&self.at_least_column, self.is_null) {
            (Some(other), _) => write!(f, "{column} >= {other}"),
            (None, Some(false)) => write!(f, "{column} is not null"),
            (None, _) => write!(f, "{column} is null"),
        }
    }
}

/// How a value stands to one of the settings; `None` where they cannot be compared.
fn order(value: ValueRef<'_>, scalar: &Scalar) -> Option<Ordering> {
    compare(value, scalar.as_value())
}

impl Scalar {
    /// The value that it stands for.
    pub fn as_value(&self) -> ValueRef<'_> {
        match self {
            Self::Bool(b) => ValueRef::Bool(*b),
            Self::Int(n) => ValueRef::Int(*n),
            Self::Real(x) => ValueRef::Real(*x),
            Self::Text(text) => ValueRef::Text(text),
        }
    }

    /// Whether a column holds exactly this. SQLite has numbers for booleans.
    pub fn matches(&self, value: ValueRef<'_>) -> bool {
        let scalar = self.as_value();
        match (value, scalar) {
            (ValueRef::Text(a) | ValueRef::Json(a), ValueRef::Text(b)) => a == b,
            _ => compare(value, scalar) == Some(Ordering::Equal),
        }
    }
}

fn compare(a: ValueRef<'_>, b: ValueRef<'_>) -> Option<Ordering> {
    let number = |value: ValueRef<'_>| match value {
        ValueRef::Int(n) => Some(n as f64),
        ValueRef::Real(x) => Some(x),
        ValueRef::Number(text) => text.parse().ok(),
        ValueRef::Bool(b) => Some(f64::from(u8::from(b))),
        _ => None,
    };
    match (a, b) {
        (ValueRef::Int(a), ValueRef::Int(b)) => Some(a.cmp(&b)),
        (ValueRef::Text(a), ValueRef::Text(b)) => Some(match (time(a), time(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.cmp(b),
        }),
        _ => number(a)?.partial_cmp(&number(b)?),
    }
}

/// A day, or a time as databases print it.
fn time(text: &str) -> Option<Stamp> {
    let is_dated = text.len() >= 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    if !is_dated {
        return None;
    }
    match text.len() {
        10 => Stamp::parse(&format!("{text}T00:00:00Z")),
        _ => Stamp::parse_db(text).or_else(|| Stamp::parse(&format!("{}:00", text.replacen(' ', "T", 1)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::schema::{Column, Origin, TableName};
    use crate::value::Kind;

    fn table() -> Table {
        let column = |name: &str| Column {
            name: name.into(),
            type_name: String::new(),
            kind: Kind::Any,
            nullable: true,
            default: None,
            origin: Origin::Written,
        };
        Table {
            name: TableName::parse("sessions").unwrap(),
            columns: ["status", "done", "total", "at"].map(column).to_vec(),
            primary_key: vec![],
            unique: vec![],
            notes: vec![],
        }
    }

    fn holds(condition: &str, row: [ValueRef<'_>; 4]) -> bool {
        #[derive(Deserialize)]
        struct One {
            c: Condition,
        }
        let One { c } = toml::from_str(&format!("c = {condition}")).unwrap();
        c.check().unwrap();
        assert_eq!(c.missing(&table()), None);
        c.holds(&table(), &row)
    }

    #[test]
    fn null_satisfies_nothing_but_is_null() {
        let none = [ValueRef::Null; 4];
        for condition in [
            r#"{ column = "status", is = "x" }"#,
            r#"{ column = "status", is_not = "x" }"#,
            r#"{ column = "done", at_least = 0 }"#,
            r#"{ column = "done", at_least_column = "total" }"#,
            r#"{ column = "status", is_null = false }"#,
        ] {
            assert!(!holds(condition, none), "{condition}");
        }
        assert!(holds(r#"{ column = "status", is_null = true }"#, none));
    }

    #[test]
    fn values_are_compared_for_what_they_are() {
        let row =
            |at| [ValueRef::Text("in_progress"), ValueRef::Int(10), ValueRef::Int(10), ValueRef::Text(at)];
        let late = "2025-08-01 00:00:00+00";
        let since = r#"{ column = "at", at_least = "2025-08-01" }"#;
        assert!(holds(since, row(late)));
        assert!(holds(since, row("2025-08-01T02:00:00+02:00")));
        assert!(!holds(since, row("2025-07-31 23:59:59.9")));
        let either = r#"{ any = [{ column = "status", is = "completed" }, { column = "done", at_least_column = "total" }] }"#;
        assert!(holds(either, row(late)));
        assert!(!holds(r#"{ column = "done", above = 10 }"#, row(late)));
        assert!(holds(r#"{ column = "done", below = 10.5 }"#, row(late)));
        assert!(!holds(r#"{ column = "status", is = "completed" }"#, row(late)));
    }

    #[test]
    fn a_condition_without_one_test_is_refused() {
        let bad = [Condition::default(), Condition { column: Some("a".into()), ..Condition::default() }];
        assert!(bad.iter().all(|condition| condition.check().is_err()));
        let ghost = Condition { column: Some("ghost".into()), is_null: Some(true), ..Condition::default() };
        assert_eq!(ghost.missing(&table()), Some("ghost"));
    }
}
