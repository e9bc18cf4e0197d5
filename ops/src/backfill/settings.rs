//! What a `[backfills.NAME]` section of `ops.toml` says: which rows lack a result, what makes one, and how to tell.
//!
//! Nothing here reads rows or knows a database; [`super::predicate`] decides over values, [`super::select`] reads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::predicate::Condition;
use super::seed_plan::is_function_name;
use crate::target::schema::TableName;

/// A backfill as it is described.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The table of the candidates.
    pub table: String,
    /// The column that names a candidate: a key of its table.
    pub id: String,
    /// What a row must satisfy to be looked at; every row without it.
    #[serde(default, rename = "where")]
    pub conditions: Vec<Condition>,
    /// Columns that give the order, before the id.
    #[serde(default)]
    pub order: Vec<String>,
    /// The tables that hold results: everything that the steps may touch.
    pub results: Vec<ResultTable>,
    /// What is done to each candidate, in order.
    pub steps: Vec<Step>,
    /// Name of the candidate's id in the body of a call.
    #[serde(default = "session_id")]
    pub parameter: String,
    /// Candidates a minute at most.
    #[serde(default = "twenty")]
    pub per_minute: u32,
    /// Calls a minute at most.
    pub calls_per_minute: Option<u32>,
    /// Longest wait for one call, in seconds.
    #[serde(default = "sixty")]
    pub timeout_seconds: u64,
    /// Calls of one step, repetitions included.
    #[serde(default = "three")]
    pub tries_max: u32,
    /// Failed candidates at which the run halts.
    #[serde(default = "ten")]
    pub errors_max: u64,
}

fn session_id() -> String {
    "session_id".to_owned()
}

fn twenty() -> u32 {
    20
}

fn sixty() -> u64 {
    60
}

fn three() -> u32 {
    3
}

fn ten() -> u64 {
    10
}

/// A table that holds results.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultTable {
    /// Its name.
    pub table: String,
    /// The column that holds the candidate's id.
    pub link: String,
    /// A key of the table, by which its rows are told apart and restored.
    pub key: Vec<String>,
    /// What a current result says. A row without it, NULL included, is not current.
    pub stamp: BTreeMap<String, Scalar>,
}

/// A value as it is written in settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Real(f64),
    /// A text.
    Text(String),
}

impl Eq for Scalar {}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(b) => write!(f, "{b}"),
            Self::Int(n) => write!(f, "{n}"),
            Self::Real(x) => write!(f, "{x}"),
            Self::Text(text) => write!(f, "'{text}'"),
        }
    }
}

/// One thing that is done to a candidate: exactly one of `function`, `set` and `sql`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The edge function to call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// What goes into the body of the call beside the id.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub params: serde_json::Map<String, serde_json::Value>,
    /// Columns to set in the candidate's rows of `writes`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Scalar>,
    /// One statement; `$1` is the candidate's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// The table of results that it writes; the only one without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<String>,
    /// Do it only where the candidate has no row at all: a result of another version stays.
    #[serde(default)]
    pub if_missing: bool,
    /// Whether doing it twice does no harm.
    #[serde(default)]
    pub idempotent: bool,
}

impl Step {
    /// What it is called in logs.
    pub fn name(&self) -> String {
        match (&self.function, &self.sql) {
            (Some(function), _) => function.clone(),
            (None, Some(_)) => "sql".to_owned(),
            (None, None) => format!("set {}", self.set.keys().cloned().collect::<Vec<_>>().join(", ")),
        }
    }
}

impl Settings {
    /// What is wrong, as the path of a key below the section and a sentence.
    pub fn check(&self) -> Result<(), (String, String)> {
        let wrong = |key: &str, what: &str| Err((key.to_owned(), what.to_owned()));
        for (key, number) in [
            ("per_minute", u64::from(self.per_minute)),
            ("calls_per_minute", self.calls_per_minute.map_or(1, u64::from)),
            ("timeout_seconds", self.timeout_seconds),
            ("tries_max", u64::from(self.tries_max)),
            ("errors_max", self.errors_max),
        ] {
            if number == 0 {
                return wrong(key, "must be above 0");
            }
        }
        if TableName::parse(&self.table).is_none() {
            return wrong("table", "expected a table, with its schema or without");
        }
        if self.results.is_empty() {
            return wrong("results", "at least one table holds the results");
        }
        for condition in &self.conditions {
            condition.check().map_err(|what| ("where".to_owned(), what))?;
        }
        for (i, result) in self.results.iter().enumerate() {
            result.check().map_err(|what| (format!("results.{i}"), what))?;
            if self.results[..i].iter().any(|other| other.table == result.table) {
                return wrong(&format!("results.{i}.table"), "named twice");
            }
        }
        if self.steps.is_empty() {
            return wrong("steps", "nothing is done");
        }
        for (i, step) in self.steps.iter().enumerate() {
            self.step(step).map_err(|what| (format!("steps.{i}"), what))?;
        }
        Ok(())
    }

    fn step(&self, step: &Step) -> Result<(), String> {
        let kinds = [step.function.is_some(), !step.set.is_empty(), step.sql.is_some()];
        if kinds.iter().filter(|is_given| **is_given).count() != 1 {
            return Err("expected one of `function`, `set` and `sql`".to_owned());
        }
        if !step.params.is_empty() && step.function.is_none() {
            return Err("`params` are those of a function".to_owned());
        }
        if step.params.contains_key(&self.parameter) {
            return Err(format!("`params.{}` is the candidate's id and cannot be given", self.parameter));
        }
        if step.function.as_deref().is_some_and(|name| !is_function_name(name)) {
            return Err("a function's name has letters, digits, `_` and `-`".to_owned());
        }
        match &step.writes {
            None if self.results.len() > 1 => Err("`writes` must say which table of results".to_owned()),
            Some(table) if !self.results.iter().any(|result| result.table == *table) => {
                Err(format!("`{table}` is none of the tables of results"))
            }
            _ => Ok(()),
        }
    }
}

impl ResultTable {
    fn check(&self) -> Result<(), String> {
        if TableName::parse(&self.table).is_none() {
            return Err("`table`: expected a table, with its schema or without".to_owned());
        }
        if self.key.is_empty() {
            return Err("`key`: without a key no row can be restored".to_owned());
        }
        if self.stamp.is_empty() {
            return Err("`stamp`: nothing tells a current result from another".to_owned());
        }
        Ok(())
    }
}
