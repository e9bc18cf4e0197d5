//! Goes through the input's rows in their order, each taken from where it is now, and undoes what was done to it.
//!
//! The cleaned file does not say which row of the input a row was: it is the next one that was neither rejected nor
//! merged nor put in quarantine.

use std::collections::BTreeMap;
use std::path::Path;

use super::changes::{Lines, parse};
use super::{RevertRequest, Reverted, RowFile};
use crate::cleanup::Cell;
use crate::cleanup::pipeline::{CleanupError, Manifest, cells};
use crate::records::{Format, Records};

/// The lists of a set, each at the line that comes next.
struct Sides {
    rejects: Lines,
    quarantine: Lines,
    changes: Lines,
    joint: Lines,
}

/// Undoes what is wanted of every row.
pub(super) fn undo(
    request: &RevertRequest,
    manifest: &Manifest,
    to: &Path,
) -> Result<Reverted, CleanupError> {
    let out = &request.out;
    let changes = out.join("changes.ndjson");
    let mut sides = Sides {
        rejects: Lines::open(&out.join("rejects.ndjson"), 0, None)?,
        quarantine: Lines::open(&out.join("quarantine.ndjson"), 0, None)?,
        changes: Lines::open(&changes, 0, Some(manifest.joint_changes_at))?,
        joint: Lines::open(&changes, manifest.joint_changes_at, None)?,
    };
    let cleaned = out.join(format!("cleaned_{}.json", manifest.dataset));
    let mut cleaned = Records::open(&cleaned, Some(Format::Json), out)?;
    let mut file = RowFile::create(to)?;
    let mut reverted = Reverted::default();
    let mut undoing = Undoing { request, manifest, reverted: &mut reverted, bytes: Vec::new() };
    for ordinal in 0..manifest.ledger.rows_in {
        if sides.rejects.row() == Some(ordinal) {
            sides.rejects.take()?;
            continue;
        }
        undoing.row(ordinal, &mut sides, &mut cleaned, &mut file)?;
    }
    reverted.rows = file.end()?;
    Ok(reverted)
}

struct Undoing<'a> {
    request: &'a RevertRequest,
    manifest: &'a Manifest,
    reverted: &'a mut Reverted,
    bytes: Vec<u8>,
}

impl Undoing<'_> {
    fn row(
        &mut self,
        ordinal: u64,
        sides: &mut Sides,
        cleaned: &mut Records,
        file: &mut RowFile,
    ) -> Result<(), CleanupError> {
        let mut lines = Vec::new();
        for list in [&mut sides.changes, &mut sides.joint] {
            while list.row() == Some(ordinal) {
                lines.push(list.take()?);
            }
        }
        let path = &self.request.out;
        let changes = lines.iter().map(|line| parse(path, line)).collect::<Result<Vec<_>, _>>()?;
        // A row that is not among the cleaned ones stands whole in the line that took it away.
        let is_quarantined = sides.quarantine.row() == Some(ordinal);
        let quarantined = if is_quarantined { Some(sides.quarantine.take()?) } else { None };
        let quarantined = quarantined.as_deref().map(|line| parse(path, line)).transpose()?;
        let gone = quarantined.as_ref().or_else(|| changes.iter().find(|change| change.column.is_none()));
        let mut row: Vec<(String, Cell<'_>)> = if let Some(line) = gone {
            if !self.request.is_wanted(ordinal, &line.rule) {
                return Ok(());
            }
            self.reverted.restored_rows += 1;
            self.count(&line.rule);
            let whole = line.before.map_or("{}", |whole| whole.get());
            let members = cells::members(whole.as_bytes()).ok_or(CleanupError::Changed)?;
            members.into_iter().map(|(name, cell)| (name.into_owned(), cell)).collect()
        } else {
            let record = cleaned.next()?.ok_or(CleanupError::Changed)?;
            let owned = |(name, field): (&str, crate::records::Field<'_>)| {
                let crate::records::Field::Json(text) = field else { return None };
                Some((name.to_owned(), owned(cells::cell(text)?)))
            };
            record.fields().map(owned).collect::<Option<_>>().ok_or(CleanupError::Changed)?
        };
        let is_changed = self.undo_cells(ordinal, &changes, &mut row)?;
        self.reverted.changed_rows += u64::from(is_changed);
        self.bytes.clear();
        cells::write_object(&mut self.bytes, &row);
        file.push(&self.bytes)?;
        Ok(())
    }

    /// Undoes changes of cells, in each column from the first wanted one on; whether there were any.
    fn undo_cells<'l>(
        &mut self,
        ordinal: u64,
        changes: &[super::changes::Line<'l>],
        row: &mut Vec<(String, Cell<'l>)>,
    ) -> Result<bool, CleanupError> {
        let mut first: BTreeMap<&str, &super::changes::Line<'l>> = BTreeMap::new();
        for change in changes {
            let Some(column) = change.column.as_deref() else { continue };
            let is_wanted = self.request.is_wanted(ordinal, &change.rule);
            if is_wanted {
                first.entry(column).or_insert(change);
            }
            if first.contains_key(column) {
                self.reverted.undone_with_others += u64::from(!is_wanted);
                self.count(&change.rule);
            }
        }
        if self.request.is_whole() {
            self.as_in_the_input(row, &first);
        }
        for (column, change) in &first {
            if self.request.is_whole() && self.manifest.made_columns.iter().any(|made| made == column) {
                continue;
            }
            let place = row.iter().position(|(name, _)| name == column);
            match (change.before, place) {
                (None, Some(place)) => {
                    row.remove(place);
                }
                (Some(before), place) => {
                    let cell = cells::cell(before.get()).ok_or(CleanupError::Changed)?;
                    match place {
                        Some(place) => row[place].1 = cell,
                        None => row.push(((*column).to_owned(), cell)),
                    }
                }
                (None, None) => {}
            }
        }
        Ok(!first.is_empty())
    }

    /// Takes out what the input does not have, and spells as texts again what it had as texts.
    fn as_in_the_input(
        &self,
        row: &mut Vec<(String, Cell<'_>)>,
        changed: &BTreeMap<&str, &super::changes::Line<'_>>,
    ) {
        row.retain(|(name, _)| !self.manifest.made_columns.contains(name));
        for (name, cell) in row.iter_mut() {
            if let Cell::Json(json) = cell
                && !changed.contains_key(name.as_str())
                && self.manifest.text_columns.contains(name)
            {
                *cell = Cell::Text(cells::as_text(json).into());
            }
        }
    }

    fn count(&mut self, rule: &str) {
        *self.reverted.undone.entry(rule.to_owned()).or_insert(0) += 1;
    }
}

fn owned(cell: Cell<'_>) -> Cell<'static> {
    match cell {
        Cell::Absent => Cell::Absent,
        Cell::Null => Cell::Null,
        Cell::Text(text) => Cell::Text(text.into_owned().into()),
        Cell::Json(json) => Cell::Json(json.into_owned().into()),
    }
}
