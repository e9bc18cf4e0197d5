//! A table of a database as the source of a cleanup: its rows as lines of JSON, in the order of their keys.
//!
//! The rows are read once, completely or not at all, and cleaned from the copy, which goes away with the run: cleaning
//! reads twice, and both times it must see the same rows. The order of the keys makes two runs over one table alike.
//! Nothing is written to the database.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use ops::cleanup::Dataset;
use ops::guard::Refusal;
use ops::sort::Sorter;
use ops::target::schema::{Table, TableName};
use ops::target::{Target, TargetError};
use ops::value::{ValueRef, order_key, write_json};
use tempfile::TempDir;

use crate::output::Output;
use crate::settings::Settings;
use crate::task::target::{self, TargetArgs};

/// Memory for sorting rows, in bytes.
const SORT_BYTES: usize = 32 << 20;
/// How a SQLite file begins.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// The rows of a table in a file that goes away when this does.
#[derive(Debug)]
pub(super) struct Copy {
    _folder: TempDir,
    /// One object a line.
    pub(super) file: PathBuf,
}

/// Whether a source is a database: it has a scheme, or is a SQLite file.
pub(super) fn is_database(source: &Path, settings: &Settings) -> bool {
    let text = source.to_string_lossy();
    let scheme = text.split(':').next().filter(|scheme| scheme.len() < text.len());
    let known = ["sqlite", "sqlite3", "postgres", "postgresql", "http", "https"];
    let has_scheme =
        scheme.is_some_and(|scheme| known.contains(&scheme.split('+').next().unwrap_or_default()));
    has_scheme || starts_as_sqlite(&settings.cwd.join(source))
}

fn starts_as_sqlite(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; SQLITE.len()];
    // What cannot be read says so when it is read as a file.
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok_and(|()| head == *SQLITE)
}

/// Copies the rows of a table of the database `source`: the one that was named, or else the dataset's.
pub(super) fn copy(
    source: &Path,
    table: Option<&str>,
    dataset: &Dataset,
    settings: &Settings,
    output: &Output,
) -> anyhow::Result<Copy> {
    let url = source.to_str().context("the URL of the source is not UTF-8")?.to_owned();
    let mut target = TargetArgs { target: Some(url), sqlite_normal: false }.open(settings)?;
    target::identify(target.as_mut(), output)?;
    let name = TableName::parse(table.unwrap_or(&dataset.table)).context("expected name or schema.name")?;
    let table = target.table(&name)?;
    let folder = tempfile::tempdir_in(&settings.scratch).context("failed to create a temporary folder")?;
    let file = folder.path().join(format!("{}.ndjson", table.name.name));
    write(target.as_mut(), &table, &key(&table, dataset), folder.path(), &file)?;
    Ok(Copy { _folder: folder, file })
}

/// The columns that rows are sorted by.
fn key(table: &Table, dataset: &Dataset) -> Vec<usize> {
    let own: Option<Vec<usize>> = dataset.key.iter().map(|name| table.column(name)).collect();
    own.unwrap_or_else(|| table.primary_key.clone())
}

fn write(
    target: &mut dyn Target,
    table: &Table,
    key: &[usize],
    folder: &Path,
    file: &Path,
) -> anyhow::Result<()> {
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|column| serde_json::Value::from(column.name.as_str()).to_string())
        .collect();
    let mut sorter = Sorter::new(folder, SORT_BYTES);
    let mut rows = 0_u64;
    let (mut order, mut line) = (Vec::new(), Vec::new());
    let mut push = |row: &[ValueRef<'_>]| {
        rows += 1;
        order.clear();
        for column in key {
            order_key(&[row[*column].to_value()], &mut order);
        }
        line.clear();
        for (name, value) in names.iter().zip(row) {
            line.push(if line.is_empty() { b'{' } else { b',' });
            line.extend_from_slice(name.as_bytes());
            line.push(b':');
            write_json(*value, &mut line);
        }
        line.extend_from_slice(b"}\n");
        sorter.push(&order, &line).map_err(|error| TargetError::Failed {
            action: "keep a row in a temporary file".to_owned(),
            source: Box::new(error),
        })
    };
    target.scan(table, &mut push)?;
    if rows == 0 {
        let refusal = Refusal::new(
            "there is nothing to clean",
            "a table with rows",
            format!("`{}` is empty", table.name),
        );
        return Err(refusal.next("name the table that is meant with --table").into());
    }
    let written = || -> std::io::Result<()> {
        let mut lines = sorter.finish()?;
        let mut out = BufWriter::new(File::create(file)?);
        while let Some((_, line)) = lines.next()? {
            out.write_all(line)?;
        }
        out.flush()
    };
    written().context("failed to write the rows of the table into a temporary file")
}
