//! A file as the rows that a table shall hold.
//!
//! Every field is coerced to what its column would store. A file that does not fit is read to its end all the
//! same, so that everything wrong with it is counted and the first part of it listed; only then is it refused.
//! Nothing here compares.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::change::coerce::{Coerced, Coercion, Dialect, Scratch};
use crate::change::diff::{Desired, DesiredRow, SourceError};
use crate::records::{Ahead, Field, InputFacts, Names, ReadError, Record, Records};
use crate::target::schema::{Origin, Table};
use crate::text::{ellipsis, one_line, plural};
use crate::value::ValueRef;

/// Characters that are shown of a field that does not fit.
const SHOWN: usize = 40;

/// How a file is read.
#[derive(Debug, Clone)]
pub struct DesiredOptions {
    /// The bare cell of CSV and TSV that is NULL; a cell in quotes never is. JSON has its own null.
    pub null: String,
    /// Columns of the file that are passed over. Each must be in it.
    pub ignore: BTreeSet<String>,
    /// How many fields that do not fit are listed; all are counted.
    pub listed: usize,
}

impl Default for DesiredOptions {
    fn default() -> Self {
        Self { null: String::new(), ignore: BTreeSet::new(), listed: 20 }
    }
}

/// Why a file is not a table's desired rows.
#[derive(Debug, thiserror::Error)]
pub enum DesiredError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It was read, and does not fit the table.
    #[error("{0}")]
    Misfit(Box<Misfit>),
}

/// Everything that keeps a file from being a table's desired rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misfit {
    /// Columns that the table does not have, with the line where each came first.
    pub unknown: BTreeMap<String, u64>,
    /// Columns that the database computes, with the line where each came first.
    pub computed: BTreeMap<String, u64>,
    /// Columns that were to be passed over and are not in the file.
    pub ignored_in_vain: BTreeSet<String>,
    /// Columns of the key that the header does not have.
    pub missing_key: Vec<String>,
    /// The first fields that their columns cannot store.
    pub fields: Vec<BadField>,
    /// How many there are.
    pub field_count: u64,
}

/// A field that its column cannot store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadField {
    /// The line of its row, from 1.
    pub line: u64,
    /// Its column.
    pub column: String,
    /// What it is, shortened; nothing where it is missing.
    pub found: Option<String>,
    /// What was expected instead.
    pub expected: String,
}

impl Misfit {
    /// Whether there is nothing wrong.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file does not fit the table")?;
        let names = |columns: &BTreeMap<String, u64>| {
            columns
                .iter()
                .map(|(name, line)| format!("`{name}` (line {line})"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        if !self.unknown.is_empty() {
            write!(f, "\n  the table has no such column: {}", names(&self.unknown))?;
        }
        if !self.computed.is_empty() {
            write!(f, "\n  computed by the database, cannot be given: {}", names(&self.computed))?;
        }
        for name in &self.ignored_in_vain {
            write!(f, "\n  to be passed over, but not in the file: `{name}`")?;
        }
        for name in &self.missing_key {
            write!(f, "\n  a column of the key that the file does not have: `{name}`")?;
        }
        if self.field_count > 0 {
            write!(f, "\n  {} that the table cannot store", plural(self.field_count, "field"))?;
        }
        for BadField { line, column, found, expected } in &self.fields {
            let found = found.as_ref().map_or_else(|| "not given".to_owned(), |found| format!("`{found}`"));
            write!(f, "\n    line {line}, `{column}`: {found}, expected {expected}")?;
        }
        let more = self.field_count - self.fields.len() as u64;
        if more > 0 {
            write!(f, "\n    and {} more", crate::text::thousands(more))?;
        }
        Ok(())
    }
}

/// The desired rows of a table, from a file.
#[derive(Debug)]
pub struct DesiredFile {
    records: Ahead,
    columns: Vec<ColumnRule>,
    options: DesiredOptions,
    mapping: Mapping,
    /// Columns of the file that were passed over.
    ignored: BTreeSet<String>,
    misfit: Misfit,
    /// The row that was found last.
    row: Cells,
}

#[derive(Debug)]
struct ColumnRule {
    name: String,
    coercion: Coercion,
    is_key: bool,
    is_nullable: bool,
    is_computed: bool,
    /// Whether any row gave it.
    is_given: bool,
}

/// The columns of the names that the record found last has; most files have one set of names.
#[derive(Debug, Default)]
struct Mapping {
    names: Option<u64>,
    columns: Vec<Option<usize>>,
}

#[derive(Debug, Default)]
struct Cells {
    /// For each column the place of its field, and what became of it.
    cells: Vec<Option<(usize, Coerced)>>,
    scratch: Scratch,
}

impl DesiredFile {
    /// The rows of a file for a table. `key` are the columns that rows are found by, as indices into the table.
    /// What can be told from a header is refused here, everything else at the end of the rows.
    pub fn new(
        records: Records,
        table: &Table,
        key: &[usize],
        dialect: Dialect,
        options: DesiredOptions,
    ) -> Result<Self, DesiredError> {
        let rule = |(index, column): (usize, &crate::target::schema::Column)| ColumnRule {
            name: column.name.clone(),
            coercion: Coercion::new(dialect, column),
            is_key: key.contains(&index),
            is_nullable: column.nullable,
            is_computed: column.origin == Origin::Computed,
            is_given: false,
        };
        let columns: Vec<ColumnRule> = table.columns.iter().enumerate().map(rule).collect();
        let mut file = Self {
            records: Ahead::new(records),
            columns,
            options,
            mapping: Mapping::default(),
            ignored: BTreeSet::new(),
            misfit: Misfit::default(),
            row: Cells::default(),
        };
        if let Some(header) = file.records.header().cloned() {
            file.map(&header, 1);
            let is_missing = |column: &&ColumnRule| column.is_key && !column.is_given;
            file.misfit.missing_key =
                file.columns.iter().filter(is_missing).map(|column| column.name.clone()).collect();
            file.refuse_misfit()?;
        }
        Ok(file)
    }

    /// Whether each column of the table is given by some row; complete after the last row.
    pub fn given(&self) -> Vec<bool> {
        self.columns.iter().map(|column| column.is_given).collect()
    }

    /// What the file was; `None` before its end was read.
    pub fn facts(&self) -> Option<InputFacts> {
        self.records.facts()
    }

    /// Finds the columns of these names.
    fn map(&mut self, names: &Names, line: u64) {
        self.mapping.names = Some(names.id());
        self.mapping.columns.clear();
        for name in names.iter() {
            let column = self.columns.iter().position(|column| column.name == name);
            let usable = column.filter(|index| !self.columns[*index].is_computed);
            if self.options.ignore.contains(name) {
                self.ignored.insert(name.to_owned());
                self.mapping.columns.push(None);
                continue;
            }
            if let Some(index) = usable {
                self.columns[index].is_given = true;
            } else {
                let list =
                    if column.is_some() { &mut self.misfit.computed } else { &mut self.misfit.unknown };
                list.entry(name.to_owned()).or_insert(line);
            }
            self.mapping.columns.push(usable);
        }
    }

    /// Refuses a file that does not fit, all its columns being known.
    fn refuse_misfit(&mut self) -> Result<(), DesiredError> {
        self.misfit.ignored_in_vain = self.options.ignore.difference(&self.ignored).cloned().collect();
        if self.misfit.is_empty() { Ok(()) } else { Err(DesiredError::Misfit(Box::new(self.misfit.clone()))) }
    }

    /// Goes to the next row that fits; false after the last, an error if any did not.
    fn advance(&mut self) -> Result<bool, DesiredError> {
        while self.records.advance()? {
            self.map_record();
            let record = self.records.record();
            let null = self.options.null.as_str();
            let mut is_fit = true;
            self.row.coerce(record, &self.mapping.columns, &self.columns, null, |column, field, expected| {
                is_fit = false;
                self.misfit.field_count += 1;
                if self.misfit.fields.len() < self.options.listed {
                    let (line, column) = (record.line, column.name.clone());
                    self.misfit.fields.push(BadField { line, column, found: field.map(shown), expected });
                }
            });
            if is_fit {
                return Ok(true);
            }
        }
        // Without rows and without a header nothing is known of the columns.
        if self.mapping.names.is_some() {
            self.refuse_misfit()?;
        }
        Ok(false)
    }

    /// Knows the columns of the record that was found last.
    fn map_record(&mut self) {
        let record = self.records.record();
        if self.mapping.names != Some(record.names().id()) {
            let (names, line) = (record.names().clone(), record.line);
            self.map(&names, line);
        }
    }

    fn row(&self) -> DesiredRow<'_> {
        let record = self.records.record();
        DesiredRow { at: record.at, line: record.line, values: self.row.values(record) }
    }
}

impl Cells {
    /// Coerces the fields of a record; `wrong` is told of every one that its column cannot store.
    fn coerce<'a>(
        &mut self,
        record: Record<'a>,
        mapping: &[Option<usize>],
        columns: &[ColumnRule],
        null: &str,
        mut wrong: impl FnMut(&ColumnRule, Option<Field<'a>>, String),
    ) {
        self.scratch.clear();
        self.cells.clear();
        self.cells.resize(columns.len(), None);
        for (place, index) in mapping.iter().enumerate() {
            let Some(index) = *index else { continue };
            let (column, field) = (&columns[index], record.field(place));
            let coerced = match field {
                Field::Cell(cell) if cell == null => Ok(Coerced::Null),
                field => column.coercion.coerce(field, &mut self.scratch),
            };
            match coerced {
                // NULL in a key is not one field's fault; the comparison lists such rows.
                Ok(Coerced::Null) if !column.is_nullable && !column.is_key => {
                    wrong(column, Some(field), "a value: the column is NOT NULL".to_owned());
                }
                Ok(coerced) => self.cells[index] = Some((place, coerced)),
                Err(error) => wrong(column, Some(field), error.expected),
            }
        }
        for (index, column) in columns.iter().enumerate() {
            if column.is_key && !mapping.contains(&Some(index)) {
                wrong(column, None, "the key in every row".to_owned());
            }
        }
    }

    fn values<'a>(&'a self, record: Record<'a>) -> Vec<Option<ValueRef<'a>>> {
        let value = |(place, coerced): &(usize, Coerced)| coerced.value(record.field(*place), &self.scratch);
        self.cells.iter().map(|cell| cell.as_ref().map(value)).collect()
    }
}

/// A field for people: on one line, and not all of it.
fn shown(field: Field<'_>) -> String {
    let (Field::Json(text) | Field::Cell(text) | Field::Quoted(text)) = field;
    let start: String = text.chars().take(4 * SHOWN).collect();
    ellipsis(&one_line(&start), SHOWN)
}

impl Desired for DesiredFile {
    fn next(&mut self) -> Result<Option<DesiredRow<'_>>, SourceError> {
        Ok(if self.advance()? { Some(self.row()) } else { None })
    }

    fn row_at(&mut self, at: u64) -> Result<DesiredRow<'_>, SourceError> {
        self.records.record_at(at)?;
        self.map_record();
        let mut is_fit = true;
        let (record, mapping) = (self.records.record(), &self.mapping.columns);
        self.row.coerce(record, mapping, &self.columns, &self.options.null, |_, _, _| is_fit = false);
        if is_fit { Ok(self.row()) } else { Err(self.records.moved(at).into()) }
    }
}

#[cfg(test)]
mod tests;
