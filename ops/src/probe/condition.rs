//! `created_at >= {started}`: one condition on one column, as SQL and as a PostgREST filter.
//!
//! Only comparisons that mean the same in all three. `<>` is not among them: it does not see NULL, which is how a
//! row without a version passed for one with the right one.

use std::fmt;

use serde::Deserialize;

/// What stands for `{name}` in a value, such as the start of a soak.
pub type Names<'a> = &'a [(&'a str, &'a str)];

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Condition {
    column: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    IsNull,
    IsNotNull,
    /// An operator and the text of a value.
    Is(Operator, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Operator {
    sql: &'static str,
    rest: &'static str,
}

/// Longer ones first, because they begin with the shorter ones.
const OPERATORS: [Operator; 5] = [
    Operator { sql: ">=", rest: "gte" },
    Operator { sql: "<=", rest: "lte" },
    Operator { sql: ">", rest: "gt" },
    Operator { sql: "<", rest: "lt" },
    Operator { sql: "=", rest: "eq" },
];

impl Condition {
    /// In SQL that SQLite and PostgreSQL share.
    pub(super) fn sql(&self, names: Names<'_>) -> String {
        let column = column(&self.column);
        match &self.test {
            Test::IsNull => format!("{column} IS NULL"),
            Test::IsNotNull => format!("{column} IS NOT NULL"),
            Test::Is(operator, value) => {
                format!("{column} {} {}", operator.sql, literal(&fill(value, names)))
            }
        }
    }

    /// As a column and what PostgREST calls a filter.
    pub(super) fn filter(&self, names: Names<'_>) -> (String, String) {
        let filter = match &self.test {
            Test::IsNull => "is.null".to_owned(),
            Test::IsNotNull => "not.is.null".to_owned(),
            Test::Is(operator, value) => format!("{}.{}", operator.rest, fill(value, names)),
        };
        (self.column.clone(), filter)
    }
}

/// A column of the table `t` in SQL. Without the `t` SQLite takes a name in quotes that it does not know for a text, and a
/// condition on it for one about that text.
pub(super) fn column(name: &str) -> String {
    format!("t.{}", quoted(name))
}

/// A name in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn fill(value: &str, names: Names<'_>) -> String {
    names.iter().fold(value.to_owned(), |value, (name, text)| value.replace(&format!("{{{name}}}"), text))
}

impl std::str::FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no condition: expected a column, one of = < <= > >= and a value, or `is null`, or `is not null`"
            )
        };
        let text = text.trim();
        for (ending, test) in [(" is null", Test::IsNull), (" is not null", Test::IsNotNull)] {
            if let Some(column) = text.strip_suffix(ending) {
                return column_of(column).map(|column| Self { column, test }).ok_or_else(wrong);
            }
        }
        if text.contains("<>") || text.contains("!=") {
            return Err(format!(
                "`{text}`: a row whose value is NULL would not be seen; read the column instead"
            ));
        }
        let at = text.find(['=', '<', '>']).ok_or_else(wrong)?;
        let (column, rest) = text.split_at(at);
        let operator =
            OPERATORS.into_iter().find(|operator| rest.starts_with(operator.sql)).ok_or_else(wrong)?;
        let value = rest[operator.sql.len()..].trim();
        let value = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')).unwrap_or(value);
        let column = column_of(column).ok_or_else(wrong)?;
        Ok(Self { column, test: Test::Is(operator, value.to_owned()) })
    }
}

fn column_of(text: &str) -> Option<String> {
    let name = text.trim();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name.then(|| name.to_owned())
}

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.test {
            Test::IsNull => write!(f, "{} is null", self.column),
            Test::IsNotNull => write!(f, "{} is not null", self.column),
            Test::Is(operator, value) => write!(f, "{} {} {value}", self.column, operator.sql),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_means_the_same_everywhere() {
        let names: Names<'_> = &[("started", "2026-01-02T03:00:00Z")];
        for (text, sql, filter) in [
            (
                "created_at >= {started}",
                "t.\"created_at\" >= '2026-01-02T03:00:00Z'",
                "gte.2026-01-02T03:00:00Z",
            ),
            ("status=completed", "t.\"status\" = 'completed'", "eq.completed"),
            ("n > '0'", "t.\"n\" > '0'", "gt.0"),
            ("n <= 5", "t.\"n\" <= '5'", "lte.5"),
            ("n<5", "t.\"n\" < '5'", "lt.5"),
            ("name = it's = so", "t.\"name\" = 'it''s = so'", "eq.it's = so"),
            ("token is not null", "t.\"token\" IS NOT NULL", "not.is.null"),
            ("token is null", "t.\"token\" IS NULL", "is.null"),
        ] {
            let condition: Condition = text.parse().unwrap();
            assert_eq!((condition.sql(names).as_str(), condition.filter(names).1.as_str()), (sql, filter));
            assert_eq!(condition.to_string().parse(), Ok(condition));
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in ["", "= 5", "a", "a b = 5", "a; DROP TABLE t = 5", "is null", "\"a\" = 5"] {
            assert!(text.parse::<Condition>().unwrap_err().contains("is no condition"), "{text}");
        }
        for text in ["version <> v1.2.1", "version != v1.2.1"] {
            assert!(text.parse::<Condition>().unwrap_err().contains("NULL would not be seen"), "{text}");
        }
    }
}
