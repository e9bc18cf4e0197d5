//! The rows that the detectors are graded on: all of a small input, an even part of a large one.

use super::columns::Columns;
use super::rows::rows;
use super::source::Source;
use super::stage::Stage;
use super::survey::Survey;
use super::{CleanupError, Request, Surroundings};
use crate::cleanup::grade::{self, Grade};
use crate::cleanup::{Cell, Row};
use crate::files::FileError;
use crate::records::Batch;

/// Rows that are graded at most: they are held in memory.
const ROWS_MAX: u64 = 20_000;
/// What the faults are drawn from.
const SEED: u64 = 1;

/// Grades the detectors on the rows of the input, as they were read.
pub(super) fn grade(
    request: &Request<'_>,
    around: &Surroundings<'_>,
    survey: &Survey,
    stage: &Stage,
) -> Result<Grade, CleanupError> {
    let mut source = Source::open_again(request, around)?;
    let every = survey.facts.rows.div_ceil(ROWS_MAX).max(1);
    let mut columns: Columns = survey.layout.columns.clone();
    let (mut batch, mut kept) = (Batch::new(), Vec::new());
    while source.fill(&mut batch)? {
        around.check()?;
        let each = |row: &mut Row<'_>, _: usize| {
            if row.ordinal.is_multiple_of(every) {
                let cells = row.cells[..survey.layout.declared].iter().map(owned).collect();
                kept.push(Row { ordinal: row.ordinal, at: row.at, line: row.line, open: row.open, cells });
            }
        };
        rows(&mut batch, &mut columns, each, |_| {});
    }
    let folder = stage.scratch_folder();
    grade::grade(request.rules, &kept, SEED, &folder)
        .map_err(|error| FileError::new("sort rows in", &folder, error).into())
}

fn owned(cell: &Cell<'_>) -> Cell<'static> {
    match cell {
        Cell::Absent => Cell::Absent,
        Cell::Null => Cell::Null,
        Cell::Text(text) => Cell::Text(text.clone().into_owned().into()),
        Cell::Json(json) => Cell::Json(json.clone().into_owned().into()),
    }
}
