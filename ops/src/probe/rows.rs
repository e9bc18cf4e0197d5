//! Which rows are asked for, and the question as SQL.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::condition::{Condition, Names, column, literal, quoted};
use crate::target::schema::TableName;

/// The text of each column that was asked for, as the database prints it; `None` is NULL.
pub type Line = Vec<Option<String>>;

/// Rows of one table, as a section of `ops.toml` describes them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// `name` or `schema.name`.
    pub table: String,
    /// Columns that tell the rows apart, none of them NULL.
    pub key: Vec<String>,
    /// What must hold for a row, all of it.
    #[serde(default, rename = "where")]
    pub conditions: Vec<Condition>,
}

impl Rows {
    /// What is wrong with the description, if anything.
    pub fn check(&self) -> Result<(), String> {
        if self.name().is_none() {
            return Err(format!("`{}` is no name of a table", self.table));
        }
        let names: BTreeSet<&String> = self.key.iter().collect();
        if self.key.is_empty() || names.len() != self.key.len() || names.iter().any(|name| name.is_empty()) {
            return Err(format!("`{}` needs a key: columns that tell its rows apart", self.table));
        }
        Ok(())
    }

    /// The table.
    pub(super) fn name(&self) -> Option<TableName> {
        TableName::parse(&self.table)
    }
}

/// A question about rows; the answer has the columns of the key and then the others.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Which rows.
    pub rows: &'a Rows,
    /// Which columns besides the key.
    pub columns: &'a [&'a str],
    /// Only rows with one of these values in a column.
    pub within: Option<(&'a str, &'a [String])>,
    /// What stands for names in the conditions.
    pub names: Names<'a>,
}

impl<'a> Question<'a> {
    /// All rows.
    pub fn all(rows: &'a Rows, columns: &'a [&'a str], names: Names<'a>) -> Self {
        Self { rows, columns, within: None, names }
    }

    /// The columns of the answer.
    pub(super) fn selected(&self) -> Vec<&'a str> {
        self.rows.key.iter().map(String::as_str).chain(self.columns.iter().copied()).collect()
    }

    /// In SQL that SQLite and PostgreSQL share.
    pub(super) fn sql(&self) -> String {
        let columns: Vec<String> = self.selected().into_iter().map(column).collect();
        let table = match self.rows.table.split_once('.') {
            Some((schema, name)) => format!("{}.{}", quoted(schema), quoted(name)),
            None => quoted(&self.rows.table),
        };
        let mut all: Vec<String> = self.rows.conditions.iter().map(|one| one.sql(self.names)).collect();
        if let Some((name, values)) = self.within {
            let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
            all.push(format!("{} IN ({})", column(name), values.join(", ")));
        }
        let wheres = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
        format!("SELECT {} FROM {table} AS t{wheres}", columns.join(", "))
    }

    /// As PostgREST takes it: columns and filters.
    pub(super) fn filters(&self) -> Vec<(String, String)> {
        let mut filters: Vec<(String, String)> =
            self.rows.conditions.iter().map(|one| one.filter(self.names)).collect();
        if let Some((column, values)) = self.within {
            let escaped =
                |value: &String| format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
            let filter = match values {
                [one] => format!("eq.{one}"),
                many => format!("in.({})", many.iter().map(escaped).collect::<Vec<_>>().join(",")),
            };
            filters.push((column.to_owned(), filter));
        }
        filters
    }

    /// Refuses an answer in which a row has no key, or another one's.
    pub(super) fn require_keys(&self, lines: &[Line]) -> Result<(), String> {
        let (width, mut seen) = (self.rows.key.len(), BTreeSet::new());
        for line in lines {
            let key = &line[..width];
            if key.iter().any(Option::is_none) {
                return Err(format!("a row of {} has no {}", self.rows.table, self.rows.key.join(", ")));
            }
            if !seen.insert(key) {
                let what =
                    format!("two rows of {} have the same {}", self.rows.table, self.rows.key.join(", "));
                return Err(format!("{what}: it is no key, and rows cannot be counted by it"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        Rows {
            table: "app.fc_scores".to_owned(),
            key: vec!["session_id".to_owned(), "version".to_owned()],
            conditions: vec!["created_at >= {started}".parse().unwrap()],
        }
    }

    #[test]
    fn a_question_is_asked_in_both_languages() {
        let (rows, values) = (rows(), ["a'b".to_owned(), "c\"d".to_owned()]);
        let question = Question {
            within: Some(("session_id", &values)),
            ..Question::all(&rows, &["fc_kind"], &[("started", "t")])
        };
        assert_eq!(
            question.sql(),
            "SELECT t.\"session_id\", t.\"version\", t.\"fc_kind\" FROM \"app\".\"fc_scores\" AS t \
             WHERE t.\"created_at\" >= 't' AND t.\"session_id\" IN ('a''b', 'c\"d')"
        );
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            question.filters(),
            [pair("created_at", "gte.t"), pair("session_id", "in.(\"a'b\",\"c\\\"d\")")]
        );
        let one = Question { within: Some(("session_id", &values[..1])), ..question };
        assert_eq!(one.filters()[1], pair("session_id", "eq.a'b"));
    }

    #[test]
    fn rows_without_a_key_are_no_answer() {
        let (rows, text) = (rows(), |text: &str| Some(text.to_owned()));
        let question = Question::all(&rows, &["fc_kind"], &[]);
        let line = |a: Option<String>| vec![a, text("v1"), None];
        assert_eq!(question.require_keys(&[line(text("a")), line(text("b"))]), Ok(()));
        assert!(question.require_keys(&[line(None)]).unwrap_err().contains("has no session_id, version"));
        let twice = question.require_keys(&[line(text("a")), line(text("a"))]).unwrap_err();
        assert!(twice.contains("the same session_id, version"), "{twice}");
    }

    #[test]
    fn a_description_must_name_a_table_and_a_key() {
        assert_eq!(rows().check(), Ok(()));
        assert!(Rows { table: "a.b.c".to_owned(), ..rows() }.check().is_err());
        assert!(Rows { key: Vec::new(), ..rows() }.check().is_err());
        assert!(Rows { key: vec!["a".to_owned(), "a".to_owned()], ..rows() }.check().is_err());
    }
}
