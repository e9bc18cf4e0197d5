//! What a database lacks: rows that should have a current result and have none, by the same description as a backfill.
//!
//! Every table is read completely or nothing is said: the verdict is then UNKNOWN, never healthy. NULL in a stamp is not
//! a current result; it is seen and counted apart. Nothing is written; what could be done about it is a small plan
//! for `backfill plan`, which decides anew.

mod mini;
mod report;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::Serialize;

pub use mini::{Mini, SOURCE, mini_plan};

use crate::backfill::settings::{ResultTable, Settings};
use crate::clock::Stamp;
use crate::guard::Refusal;
use crate::target::schema::{Table, TableName};
use crate::target::{ScanProof, Target, TargetError, TargetIdentity};
use crate::value::{Digest128, ValueRef, digest_row};

/// What can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum Verdict {
    /// Every row has every result, and it is current.
    Healthy,
    /// Some lack one.
    NeedsBackfill,
    /// Nothing was there to look at.
    Insufficient,
    /// It could not be found out.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Healthy => "HEALTHY",
            Self::NeedsBackfill => "NEEDS-BACKFILL",
            Self::Insufficient => "INSUFFICIENT",
            Self::Unknown => "UNKNOWN",
        })
    }
}

/// What a row has of one result.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// No row at all.
    Missing,
    /// A row whose stamp has NULL.
    Null,
    /// A row of another version: what its stamp says.
    Other(String),
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("missing"),
            Self::Null => f.write_str("without a version (NULL)"),
            Self::Other(stamp) => write!(f, "of another version: {stamp}"),
        }
    }
}

/// One table of results.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultHealth {
    /// Its name.
    pub table: String,
    /// What a current result says.
    pub current_is: String,
    /// Rows that have a current one.
    pub current: u64,
    /// Rows that lack one, by what they have instead.
    pub lacking: BTreeMap<String, u64>,
    /// Results that belong to no row: their link is NULL.
    pub without_link: u64,
    /// That the table was read completely.
    pub proof: ScanProof,
}

impl ResultHealth {
    /// All that lack one.
    pub fn lacks(&self) -> u64 {
        self.lacking.values().sum()
    }
}

/// A row that lacks something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// What names it.
    pub id: String,
    /// What it lacks, a table each; `None` where it has a current result.
    pub lacks: Vec<Option<Lack>>,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// The table of the rows.
    pub table: String,
    /// What a row satisfies that is looked at.
    pub conditions: Vec<String>,
    /// Rows of the table.
    pub rows: u64,
    /// Rows that satisfy the conditions.
    pub examined: u64,
    /// That the table was read completely.
    pub proof: ScanProof,
    /// Every table of results.
    pub results: Vec<ResultHealth>,
    /// Rows that lack at least one result.
    pub lacking: Vec<Lacking>,
}

/// A health check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Health {
    /// Version of this JSON document.
    pub format: u32,
    /// The section of `ops.toml`.
    pub name: String,
    /// When it was made.
    pub at: String,
    /// The database, where it could be told.
    pub target: Option<TargetIdentity>,
    /// What can be said.
    pub verdict: Verdict,
    /// What was found; nothing where it could not be found out.
    pub found: Option<Found>,
    /// Why it could not be found out, without secrets.
    pub error: Option<String>,
}

impl Health {
    /// What was found in a database.
    pub fn of(name: &str, target: TargetIdentity, found: Found, now: Stamp) -> Self {
        let verdict = match (found.lacking.len(), found.examined) {
            (0, 0) => Verdict::Insufficient,
            (0, _) => Verdict::Healthy,
            _ => Verdict::NeedsBackfill,
        };
        Self { verdict, found: Some(found), ..Self::unknown(name, Some(target), None, now) }
    }

    /// That it could not be found out.
    pub fn unknown(name: &str, target: Option<TargetIdentity>, error: Option<String>, now: Stamp) -> Self {
        let (name, at) = (name.to_owned(), now.iso());
        Self { format: 1, name, at, target, verdict: Verdict::Unknown, found: None, error }
    }
}

/// Reads every table and says what lacks a current result. Sends nothing but reads.
pub fn check(target: &mut dyn Target, settings: &Settings) -> Result<Found, TargetError> {
    let table = table_of(target, &settings.table)?;
    let id = column(&table, &settings.id)?;
    if !table.is_key(&[id]) {
        let found = format!("column `{}`", settings.id);
        return Err(Refusal::new("rows are named by a key", "a primary or unique key", found).into());
    }
    if let Some(name) = settings.conditions.iter().find_map(|condition| condition.missing(&table)) {
        column(&table, name)?;
    }
    let mut read = Vec::new();
    for result in &settings.results {
        read.push(Read::of(target, result)?);
    }
    let (mut examined, mut lacking) = (0, Vec::new());
    let mut counts: Vec<BTreeMap<String, u64>> = vec![BTreeMap::new(); read.len()];
    let mut scratch = Vec::new();
    let proof = target.scan(&table, &mut |row| {
        if !settings.conditions.iter().all(|condition| condition.holds(&table, row)) {
            return Ok(());
        }
        examined += 1;
        let key = digest_row(std::iter::once(row[id]), &mut scratch);
        let lacks: Vec<Option<Lack>> = read.iter().map(|read| read.lack(key)).collect();
        if lacks.iter().any(Option::is_some) {
            for (lack, counts) in lacks.iter().zip(&mut counts) {
                if let Some(lack) = lack {
                    *counts.entry(lack.to_string()).or_insert(0) += 1;
                }
            }
            lacking.push(Lacking { id: shown(row[id]), lacks });
        }
        Ok(())
    })?;
    lacking.sort_by(|a, b| a.id.cmp(&b.id));
    let results =
        read.into_iter().zip(counts).map(|(read, lacking)| read.health(examined, lacking)).collect();
    let conditions = settings.conditions.iter().map(ToString::to_string).collect();
    Ok(Found {
        table: table.name.to_string(),
        conditions,
        rows: proof.rows,
        examined,
        proof,
        results,
        lacking,
    })
}

fn table_of(target: &mut dyn Target, name: &str) -> Result<Table, TargetError> {
    let parsed = TableName::parse(name);
    target.table(&parsed.ok_or_else(|| Refusal::new("no table has this name", "name or schema.name", name))?)
}

fn column(table: &Table, name: &str) -> Result<usize, Refusal> {
    table.column(name).ok_or_else(|| {
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        Refusal::new(
            format!("{} has no column `{name}`", table.name),
            columns.join(", "),
            format!("`{name}`"),
        )
    })
}

/// A value as people read it.
fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Text(text) | ValueRef::Number(text) | ValueRef::Json(text) => text.to_owned(),
        other => {
            let mut json = Vec::new();
            crate::value::write_json(other, &mut json);
            String::from_utf8_lossy(&json).trim_matches('"').to_owned()
        }
    }
}

/// A table of results as it was read: the best that each row has, by the digest of its key.
struct Read<'s> {
    result: &'s ResultTable,
    table: String,
    best: HashMap<Digest128, Best>,
    /// What stamps of other versions say, each once.
    stamps: Vec<String>,
    without_link: u64,
    proof: ScanProof,
}

/// Better ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Best {
    Null,
    Other(usize),
    Current,
}

impl<'s> Read<'s> {
    fn of(target: &mut dyn Target, result: &'s ResultTable) -> Result<Self, TargetError> {
        let table = table_of(target, &result.table)?;
        let link = column(&table, &result.link)?;
        let stamp: Vec<_> = result
            .stamp
            .iter()
            .map(|(name, value)| Ok((column(&table, name)?, value)))
            .collect::<Result<_, Refusal>>()?;
        let (mut best, mut stamps, mut without_link) = (HashMap::new(), Vec::new(), 0);
        let (mut scratch, mut known) = (Vec::new(), HashMap::new());
        let proof = target.scan(&table, &mut |row| {
            if row[link] == ValueRef::Null {
                without_link += 1;
                return Ok(());
            }
            let has = if stamp.iter().all(|(i, value)| value.matches(row[*i])) {
                Best::Current
            } else if stamp.iter().any(|(i, _)| row[*i] == ValueRef::Null) {
                Best::Null
            } else {
                let says: Vec<String> = stamp.iter().map(|(i, _)| shown(row[*i])).collect();
                let next = stamps.len();
                Best::Other(*known.entry(says.join(", ")).or_insert_with_key(|says| {
                    stamps.push(says.clone());
                    next
                }))
            };
            let seen = best.entry(digest_row(std::iter::once(row[link]), &mut scratch)).or_insert(has);
            *seen = (*seen).max(has);
            Ok(())
        })?;
        Ok(Self { result, table: table.name.to_string(), best, stamps, without_link, proof })
    }

    fn lack(&self, key: Digest128) -> Option<Lack> {
        match self.best.get(&key) {
            Some(Best::Current) => None,
            Some(Best::Other(stamp)) => Some(Lack::Other(self.stamps[*stamp].clone())),
            Some(Best::Null) => Some(Lack::Null),
            None => Some(Lack::Missing),
        }
    }

    fn health(self, examined: u64, lacking: BTreeMap<String, u64>) -> ResultHealth {
        let current = examined - lacking.values().sum::<u64>();
        let says = self.result.stamp.iter().map(|(name, value)| format!("{name} = {value}"));
        let current_is = says.collect::<Vec<_>>().join(", ");
        let (table, without_link, proof) = (self.table, self.without_link, self.proof);
        ResultHealth { table, current_is, current, lacking, without_link, proof }
    }
}
