//! What one look asks for: each metric by a statement, by rows that are compared here, or by trying tokens.
//!
//! Whatever cannot be asked, read or understood is a failed reading with its reason. No reading is made up from a part
//! of an answer.

use std::collections::BTreeSet;
use std::time::Duration;

use super::evidence::{Reading, Soak};
use super::settings::{Found, MetricSettings};
use super::tokens::{self, Public};
use super::watch::Source;
use crate::clock::Stamp;
use crate::db::Cell;
use crate::probe::{Answers, Line, Question, Rows};

/// Keys of bad units that one reading keeps.
pub(super) const BAD_KEPT: usize = 20;

/// What is asked at every look.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// The metrics, in the order of the soak.
    pub metrics: &'a [MetricSettings],
    /// Keys of units that the run touched.
    pub left_out: &'a BTreeSet<String>,
    /// Who tries tokens; needed where a metric has some.
    pub public: Option<&'a dyn Public>,
}

impl std::fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking").field("metrics", &self.metrics.len()).finish_non_exhaustive()
    }
}

impl Asking<'_> {
    /// One reading of every metric.
    pub(super) fn readings(&self, source: &mut dyn Source, soak: &Soak, now: Stamp) -> Vec<Reading> {
        match source.open() {
            Err(error) => self.metrics.iter().map(|_| Reading::Failed(error.clone())).collect(),
            Ok(mut answers) => {
                let one =
                    |metric| self.read(metric, answers.as_mut(), soak, now).unwrap_or_else(Reading::Failed);
                self.metrics.iter().map(one).collect()
            }
        }
    }

    fn read(
        &self,
        metric: &MetricSettings,
        answers: &mut dyn Answers,
        soak: &Soak,
        now: Stamp,
    ) -> Result<Reading, String> {
        let until = until(now, metric);
        let names = [("started", soak.started.as_str()), ("until", until.as_str())];
        if let Some(sql) = &metric.sql {
            return by_statement(sql, metric.bad.as_deref(), answers, &names, soak.run.as_deref());
        }
        if let Some(units) = &metric.units {
            return self.by_rows(metric, units, answers, &names);
        }
        let tokens = metric.tokens.as_ref().ok_or("the metric says nothing of what to ask")?;
        let public = self.public.ok_or("nobody of the public can try tokens")?;
        tokens::read(tokens, answers, public, &names, &now.iso())
    }

    fn by_rows(
        &self,
        metric: &MetricSettings,
        units: &Rows,
        answers: &mut dyn Answers,
        names: &[(&str, &str)],
    ) -> Result<Reading, String> {
        let columns: Vec<&str> = metric.good.keys().map(String::as_str).collect();
        let mut lines = answers.rows(&Question::all(units, &columns, names))?;
        if metric.without_run {
            lines.retain(|line| !line[0].as_ref().is_some_and(|key| self.left_out.contains(key)));
        }
        let width = units.key.len();
        let has_found = metric.found_in.as_ref().map(|found| {
            let keys: Vec<String> = lines.iter().filter_map(|line| line[0].clone()).collect();
            found_in(found, &keys, answers, names)
        });
        let has_found = has_found.transpose()?;
        let is_good = |line: &&Line| {
            let has_values =
                metric.good.values().zip(&line[width..]).all(|(value, cell)| cell.as_ref() == Some(value));
            let is_found = |found: &BTreeSet<String>| line[0].as_ref().is_some_and(|key| found.contains(key));
            has_values && has_found.as_ref().is_none_or(is_found)
        };
        let bad: Vec<&Line> = lines.iter().filter(|line| !is_good(line)).collect();
        let key = |line: &&Line| line[..width].iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        let (units, good) = (lines.len() as u64, (lines.len() - bad.len()) as u64);
        Ok(Reading::Counted { units, good, bad: bad.iter().take(BAD_KEPT).map(key).collect() })
    }
}

/// Which of these keys have a row there.
pub(super) fn found_in(
    found: &Found,
    keys: &[String],
    answers: &mut dyn Answers,
    names: &[(&str, &str)],
) -> Result<BTreeSet<String>, String> {
    let by = [found.by.as_str()];
    let within = Some((found.by.as_str(), keys));
    let rows = answers.rows(&Question { within, ..Question::all(&found.rows, &by, names) })?;
    // Behind the columns of the key.
    let place = found.rows.key.len();
    Ok(rows.into_iter().filter_map(|mut line| line.swap_remove(place)).collect())
}

/// Up to when units are counted.
fn until(now: Stamp, metric: &MetricSettings) -> String {
    let settle = Duration::from_secs(metric.settle.map_or(0, |span| span.0));
    let seconds = i64::try_from(settle.as_secs()).unwrap_or(i64::MAX);
    Stamp::from_unix(now.unix().saturating_sub(seconds)).unwrap_or(now).iso()
}

fn by_statement(
    sql: &str,
    bad: Option<&str>,
    answers: &mut dyn Answers,
    names: &[(&str, &str)],
    run: Option<&str>,
) -> Result<Reading, String> {
    let rows = answers.sql(&fill(sql, names, run))?;
    let [row] = rows.as_slice() else {
        return Err(format!("expected one row of units and good ones, found {} rows", rows.len()));
    };
    let (units, good) = match row.as_slice() {
        [units, good] => (units.count(), good.count()),
        cells => {
            return Err(format!("expected two numbers, units and good ones, found {} columns", cells.len()));
        }
    };
    let (Some(units), Some(good)) = (units, good) else {
        let shown: Vec<String> = row.iter().map(Cell::show).collect();
        return Err(format!("expected two whole numbers, found {}", shown.join(" and ")));
    };
    let bad = match bad {
        Some(sql) if good < units => answers
            .sql(&fill(sql, names, run))?
            .iter()
            .take(BAD_KEPT)
            .map(|row| row.iter().map(Cell::show).collect::<Vec<_>>().join(" "))
            .collect(),
        _ => Vec::new(),
    };
    Ok(Reading::Counted { units, good, bad })
}

/// Puts times and the run into a statement, as quoted text.
fn fill(sql: &str, names: &[(&str, &str)], run: Option<&str>) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let run = run.map_or("NULL".to_owned(), quoted);
    let sql = sql.replace("{run}", &run);
    names.iter().fold(sql, |sql, (name, text)| sql.replace(&format!("{{{name}}}"), &quoted(text)))
}

#[cfg(test)]
mod tests;
