//! From a file and a live table to a plan: reads both, compares, and writes down what would have to change.
//!
//! Reads only. Everything that decides about the plan is in the [`Request`], so that the same request, made again
//! after the plan was applied, says what is still to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::Counts;
use super::coerce::Dialect;
use super::compare::{RuleError, Rules};
use super::desired::{DesiredError, DesiredFile, DesiredOptions};
use super::diff::{self, Comparison, DiffError};
use super::plan::{
    BackupFacts, FileSeal, Findings, InputFacts, PlanDir, PlanDraft, PlanError, Subject, key_text, names,
};
use super::snapshot::{CERTIFICATE_FILE, Certificate, INDEX_FILE, ROWS_FILE};
use crate::clock::Clock;
use crate::files::FileError;
use crate::guard::Refusal;
use crate::ids::sha256;
use crate::records::{Compression, Format, ReadError, ReadOptions, Records};
use crate::target::schema::{Table, TableName};
use crate::target::{Target, TargetError, TargetIdentity};

/// What is asked of the planner.
#[derive(Debug, Clone)]
pub struct Request {
    /// The table.
    pub table: TableName,
    /// The columns that tell its rows apart.
    pub key: Vec<String>,
    /// The file with the rows as they shall be.
    pub desired: PathBuf,
    /// Its format, where its name does not say.
    pub format: Option<Format>,
    /// The bare CSV cell that is NULL.
    pub null: String,
    /// Columns of the file that are passed over.
    pub ignore_columns: BTreeSet<String>,
    /// Rules such as `price=numeric:abs=0.001`.
    pub compare: Vec<String>,
    /// Whether rows that only the table has are to be deleted.
    pub allow_delete: bool,
    /// Whether the table must be empty; without this it must not be.
    pub expect_empty: bool,
}

/// What surrounds a planning.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// An existing folder for what does not fit into memory.
    pub scratch: &'a Path,
    /// The time.
    pub clock: Clock,
    /// Ends the work soon after it becomes true.
    pub stop: &'a AtomicBool,
    /// Version of the toolkit, for the plan.
    pub tool_version: &'a str,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanningError {
    /// A guard stopped.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The target could not be read.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The file could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The file does not fit the table.
    #[error(transparent)]
    Desired(#[from] DesiredError),
    /// A rule of comparison cannot be used.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// The two sides could not be compared.
    #[error(transparent)]
    Diff(#[from] DiffError),
    /// The plan could not be written.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A file of the backup could not be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// A comparison with what it rests on.
struct Compared {
    table: Table,
    key: Vec<usize>,
    desired: DesiredFile,
    comparison: Comparison,
}

/// Compares, and writes a plan into the folder `out`; with `backup`, on a complete verified copy of the table.
pub fn plan(
    target: &mut dyn Target,
    identity: TargetIdentity,
    request: &Request,
    out: &Path,
    backup: bool,
    around: &Surroundings<'_>,
) -> Result<PlanDir, PlanningError> {
    let draft = PlanDraft::create(out)?;
    let dir = draft.backup_dir();
    let compared = compare(target, request, backup.then_some(dir.as_path()), around)?;
    let Compared { table, key, desired, mut comparison } = compared;
    if request.expect_empty != (comparison.counts.live == 0) {
        return Err(unexpected(request, comparison.counts.live).into());
    }
    let subject = Subject {
        target: identity,
        capabilities: target.capabilities(),
        columns: table.writable(),
        table,
        key,
    };
    let given = desired.given();
    let columns_not_given = subject
        .columns
        .iter()
        .filter(|i| !given[**i])
        .map(|i| subject.table.columns[*i].name.clone())
        .collect();
    let mut writer = draft.begin(subject)?;
    for change in comparison.by_ref() {
        writer.push(&change?.1)?;
    }
    let backup =
        comparison.certificate.take().map(|certificate| backup_facts(&dir, &certificate)).transpose()?;
    let findings = Findings {
        created_at: around.clock.now(),
        tool_version: around.tool_version.to_owned(),
        desired: input_facts(&request.desired, &desired),
        comparators: comparators(&request.compare),
        ignored_columns: request.ignore_columns.iter().cloned().collect(),
        columns_not_given,
        counts: comparison.counts.clone(),
        only_live: comparison.only_live.iter().map(|key| key_text(key)).collect(),
        backup,
        incomplete: Vec::new(),
        errors: Vec::new(),
        derived_from: None,
    };
    Ok(writer.finish(findings)?)
}

/// Compares again and counts what a new plan would hold. Writes nothing.
pub fn remaining(
    target: &mut dyn Target,
    request: &Request,
    around: &Surroundings<'_>,
) -> Result<Counts, PlanningError> {
    Ok(compare(target, request, None, around)?.comparison.counts)
}

fn compare(
    target: &mut dyn Target,
    request: &Request,
    backup: Option<&Path>,
    around: &Surroundings<'_>,
) -> Result<Compared, PlanningError> {
    let table = target.table(&request.table)?;
    let key = key(&request.key, &table)?;
    let rules = Rules::parse(&request.compare, &table, &key)?;
    let driver = target.identity()?.driver;
    let dialect = Dialect::of_driver(&driver).expect("every driver has a dialect");
    // A dump may hold several tables; the one that is planned is meant, in whatever schema it was.
    let (format, table_name) = (request.format, Some(request.table.name.clone()));
    let reading = ReadOptions { format, table: table_name, ..ReadOptions::default() };
    let records = Records::open_with(&request.desired, around.scratch, &reading)?;
    let options = DesiredOptions {
        null: request.null.clone(),
        ignore: request.ignore_columns.clone(),
        ..DesiredOptions::default()
    };
    let mut desired = DesiredFile::new(records, &table, &key, dialect, options)?;
    let options = diff::Options {
        table: &table,
        key: &key,
        comparators: &rules,
        allow_delete: request.allow_delete,
        backup,
        scratch: around.scratch,
        clock: around.clock,
        stop: around.stop,
    };
    let comparison = diff::compare(target, &mut desired, &options)?;
    Ok(Compared { table, key, desired, comparison })
}

/// The key as indices: exactly the columns of the primary key or of a unique key that no row escapes.
fn key(names: &[String], table: &Table) -> Result<Vec<usize>, Refusal> {
    let found: Vec<usize> = names.iter().filter_map(|name| table.column(name)).collect();
    if found.len() == names.len() && table.is_key(&found) {
        return Ok(found);
    }
    let list =
        |key: &Vec<usize>| key.iter().map(|i| table.columns[*i].name.as_str()).collect::<Vec<_>>().join(",");
    let keys: Vec<String> = std::iter::once(&table.primary_key)
        .chain(&table.unique)
        .filter(|key| table.is_key(key))
        .map(list)
        .collect();
    let refusal = Refusal::new(
        format!("these columns do not tell the rows of `{}` apart", table.name),
        "the primary key, or a unique key whose columns are never NULL",
        names.join(","),
    );
    Err(match keys.as_slice() {
        [] => {
            refusal.next("the table has no such key; add one, for nothing else can tell which row to change")
        }
        keys => keys.iter().fold(refusal, |refusal, key| refusal.next(format!("--key {key}"))),
    })
}

fn unexpected(request: &Request, live: u64) -> Refusal {
    if live == 0 {
        return Refusal::new(
            format!("`{}` is empty, so everything would be inserted", request.table),
            "a table with rows",
            "0 rows: perhaps not the database, the schema or the key that was meant",
        )
        .next("add --expect-empty when it is meant to be empty");
    }
    Refusal::new(
        format!("`{}` is not empty", request.table),
        "an empty table, as --expect-empty says",
        format!("{live} rows"),
    )
    .next("leave --expect-empty out")
}

/// The rules by column, as they were given.
fn comparators(specs: &[String]) -> BTreeMap<String, String> {
    let pair = |spec: &String| spec.split_once('=').map(|(name, rule)| (name.to_owned(), rule.to_owned()));
    specs.iter().filter_map(pair).collect()
}

fn input_facts(path: &Path, desired: &DesiredFile) -> InputFacts {
    let facts = desired.facts().expect("the file was read to its end");
    let format = match facts.format {
        Format::Json => "json",
        Format::Ndjson => "ndjson",
        Format::Csv => "csv",
        Format::Tsv => "tsv",
        Format::Sql => "sql",
    };
    let compression = match facts.compression {
        None => "",
        Some(Compression::Gzip) => "+gzip",
        Some(Compression::Zstd) => "+zstd",
    };
    InputFacts {
        file: path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        format: format!("{format}{compression}"),
        bytes: facts.bytes,
        sha256: facts.sha256,
        rows: facts.rows,
    }
}

fn backup_facts(dir: &Path, certificate: &Certificate) -> Result<BackupFacts, FileError> {
    let seal = |name: &str, sha256: String, bytes: u64| FileSeal {
        path: format!("{}/{name}", names::BACKUP),
        bytes,
        sha256,
    };
    let whole = |name: &str| {
        let path = dir.join(name);
        let bytes = std::fs::read(&path).map_err(|e| FileError::new("read", &path, e))?;
        Ok::<FileSeal, FileError>(seal(name, sha256(&bytes), bytes.len() as u64))
    };
    Ok(BackupFacts {
        rows: certificate.rows,
        distinct_keys: certificate.distinct_keys,
        count_before: certificate.scan.count_before,
        count_after: certificate.scan.count_after,
        pages: certificate.scan.pages,
        snapshot: certificate.scan.snapshot,
        digest: certificate.rows_digest.clone(),
        started_at: certificate.started_at.clone(),
        finished_at: certificate.finished_at.clone(),
        files: vec![
            seal(ROWS_FILE, certificate.file_sha256.clone(), certificate.file_bytes),
            whole(INDEX_FILE)?,
            whole(CERTIFICATE_FILE)?,
        ],
    })
}
