//! What a plan looks like to a person, and what a run came to: a report, and the artifacts of the original pipeline.
//!
//! Everything is made from the list and the books, so that a summary cannot say more than was read back. Shares of
//! nothing are `n/a`; minutes are rounded half up.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::BackfillError;
use super::artifacts;
use super::image::{Counts, Shape, count};
use super::journal::{self, Ended, Line};
use super::plan::{BackfillDir, Effect, Facts, Has, Places, Plan};
use super::run::{Context, LOGS, journal_path};
use crate::change::apply::End;
use crate::clock::Stamp;
use crate::report::{Align, Document, Table};
use crate::text::{one_line, plural, thousands};

/// Errors that a report lists.
const ERRORS: usize = 20;

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Version of this JSON document.
    pub format: u32,
    /// Full id of the plan.
    pub plan: String,
    /// The section of `ops.toml`.
    pub name: String,
    /// Id of the run.
    pub run: String,
    /// `staging`, `production`, …, where the plan says so.
    pub environment: Option<String>,
    /// The database, without secrets.
    pub target: String,
    /// When the run began.
    pub started_at: String,
    /// When it ended, or stopped for now.
    pub ended_at: String,
    /// The time between both, pauses of a stopped run included.
    pub runtime_minutes: f64,
    /// How it ended.
    pub end: End,
    /// Why.
    pub why: String,
    /// Candidates of the plan.
    pub total: u64,
    /// How many ended in which way; together with `not_reached` they are all.
    pub ended: BTreeMap<&'static str, u64>,
    /// Not begun, or still open.
    pub not_reached: u64,
    /// How many results were found by reading back although the answer was lost or said otherwise.
    pub found_by_reading_back: u64,
    /// What was expected of the tables, and what really changed.
    pub tables: Vec<Changed>,
    /// Verified candidates whose rows changed otherwise than expected.
    pub unexpected: u64,
    /// The batches.
    pub batches: Vec<BatchCount>,
    /// The first candidates that failed.
    pub errors: Vec<Failure>,
    /// The script that takes it back, below the folder of the plan.
    pub rollback: String,
    /// Whether this run found everything done already.
    pub was_done: bool,
    /// How long the books of this process took to be on disk.
    #[serde(skip)]
    pub flushing: Duration,
}

/// What changed in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Its name.
    pub table: String,
    /// New rows that the plan expected.
    pub expected_new: u64,
    /// Overwritten rows that the plan expected.
    pub expected_updated: u64,
    /// New rows.
    pub new: u64,
    /// Overwritten rows.
    pub updated: u64,
    /// Rows that a step removed.
    pub removed: u64,
}

/// How a batch went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BatchCount {
    /// Its name.
    pub batch_id: String,
    /// Its candidates.
    pub total: u64,
    /// Those that have their results.
    pub successful: u64,
    /// Those that failed.
    pub failed: u64,
}

/// A candidate that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// Its id.
    pub id: String,
    /// How.
    pub end: Ended,
    /// Why.
    pub why: String,
}

impl Report {
    /// The report of a run that stops now, with its artifacts.
    pub(super) fn write(
        dir: &BackfillDir,
        shapes: &[Shape],
        end: End,
        why: &str,
        context: &mut Context<'_>,
    ) -> Result<Self, BackfillError> {
        let mut report = Self::gather(dir, shapes, &context.pace.now().db())?;
        (report.end, report.why) = (end, why.to_owned());
        report.hold_against_plan();
        artifacts::write(dir, &report)?;
        Ok(report)
    }

    /// The report of a run that had ended before.
    pub(super) fn finished(dir: &BackfillDir, shapes: &[Shape]) -> Result<Self, BackfillError> {
        let mut closed = String::new();
        journal::each_line(&journal_path(dir), &mut |line| {
            if let Line::Closed { at } = line {
                closed = at;
            }
        })?;
        let mut report = Self::gather(dir, shapes, &closed)?;
        report.was_done = true;
        "already applied: there is nothing to do".clone_into(&mut report.why);
        report.hold_against_plan();
        Ok(report)
    }

    /// What is done is not well done where other rows changed than the plan said.
    fn hold_against_plan(&mut self) {
        if self.end == End::Done && self.unexpected > 0 {
            self.end = End::Failed;
            self.why = format!("{} changed otherwise than expected", plural(self.unexpected, "candidate"));
        }
    }

    /// What the books say, whoever reads them; for `status`.
    pub fn of(
        dir: &BackfillDir,
        target: &mut dyn crate::target::Target,
        now: Stamp,
    ) -> Result<Option<Self>, BackfillError> {
        let shapes = super::run::shapes(target, dir.facts())?;
        let past = journal::read(&journal_path(dir), &shapes, dir.facts().candidates)?;
        let Some(past) = past else { return Ok(None) };
        if past.is_closed {
            return Self::finished(dir, &shapes).map(Some);
        }
        let mut report = Self::gather(dir, &shapes, &now.db())?;
        report.end = End::Partly;
        report.why = match (past.canary, past.is_approved) {
            (Some(_), false) => "the canary waits for approval".to_owned(),
            _ => format!("{} open or failed", plural(past.open.len() as u64, "candidate")),
        };
        Ok(Some(report))
    }

    fn gather(dir: &BackfillDir, shapes: &[Shape], ended_at: &str) -> Result<Self, BackfillError> {
        let facts = dir.facts();
        let path = journal_path(dir);
        let header = journal::read(&path, shapes, facts.candidates)?.map(|past| past.header);
        let header = header
            .ok_or_else(|| crate::guard::Refusal::new("there are no books", "those of a run", "none"))?;
        let list = Listed::read(dir)?;
        let mut batches: Vec<BatchCount> = facts
            .batches
            .iter()
            .map(|batch| BatchCount {
                batch_id: batch.batch_id.clone(),
                total: batch.count,
                ..BatchCount::default()
            })
            .collect();
        let (mut ended, mut errors) = (BTreeMap::new(), Vec::new());
        let (mut actual, mut late, mut unexpected) = (Counts::new(), 0, 0);
        journal::each_end(&path, shapes, facts.candidates, &mut |record| {
            *ended.entry(record.end.as_str()).or_insert(0) += 1;
            late += u64::from(record.late && record.end == Ended::Verified);
            let batch = &mut batches[list.batch(record.n)];
            *(if record.end.is_good() { &mut batch.successful } else { &mut batch.failed }) += 1;
            let mut own = Counts::new();
            count(&record.changes, &mut own);
            count(&record.changes, &mut actual);
            unexpected += u64::from(record.end.is_good() && list.is_more(record.n, &own));
            if !record.end.is_good() && errors.len() < ERRORS {
                errors.push(Failure { id: list.id(record.n)?, end: record.end, why: record.why });
            }
            Ok(())
        })?;
        let reached: u64 = ended.values().sum();
        let tables = facts.expected.iter().enumerate().map(|(i, expected)| {
            let (new, updated, removed) = actual.get(&i).copied().unwrap_or_default();
            let (expected_new, expected_updated) = (expected.new, expected.updated);
            Changed { table: expected.table.clone(), expected_new, expected_updated, new, updated, removed }
        });
        let span =
            Stamp::parse_db(ended_at).zip(Stamp::parse_db(&header.at)).map(|(end, start)| end.since(start));
        Ok(Self {
            format: 1,
            plan: dir.plan().id.clone(),
            name: facts.name.clone(),
            run: header.run,
            environment: facts.environment.clone(),
            target: format!("{} ({})", facts.target.url, facts.target.fingerprint),
            started_at: header.at,
            ended_at: ended_at.to_owned(),
            runtime_minutes: span.map_or(0.0, |span| span.as_secs_f64() / 60.0),
            end: End::Done,
            why: String::new(),
            total: facts.candidates,
            ended,
            not_reached: facts.candidates.saturating_sub(reached),
            found_by_reading_back: late,
            tables: tables.collect(),
            unexpected,
            batches,
            errors,
            rollback: format!("{LOGS}/{}", header.script),
            was_done: false,
            flushing: Duration::ZERO,
        })
    }

    /// Candidates that have their results.
    pub fn successful(&self) -> u64 {
        Ended::ALL.iter().filter(|end| end.is_good()).filter_map(|end| self.ended.get(end.as_str())).sum()
    }

    /// Candidates that failed.
    pub fn failed(&self) -> u64 {
        Ended::ALL.iter().filter(|end| !end.is_good()).filter_map(|end| self.ended.get(end.as_str())).sum()
    }

    /// `39 (100.0%)`, of all candidates.
    pub(super) fn share(&self, of: u64) -> String {
        share_of(of, self.total)
    }

    /// Minutes with one decimal, half up.
    pub(super) fn minutes(&self) -> String {
        one_decimal(self.runtime_minutes)
    }

    /// What a person reads.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        document.heading(1, format!("Backfill {}", one_line(&self.name)));
        let equation: Vec<String> = self
            .ended
            .iter()
            .map(|(word, n)| format!("{} {word}", thousands(*n)))
            .chain((self.not_reached > 0).then(|| format!("{} not_reached", thousands(self.not_reached))))
            .collect();
        let equation = if equation.is_empty() { "0".to_owned() } else { equation.join(" + ") };
        document.facts([
            ("plan", self.plan.get(..12).unwrap_or(&self.plan).to_owned()),
            ("run", self.run.clone()),
            ("end", one_line(&self.why)),
            ("successful", self.share(self.successful())),
            ("failed", self.share(self.failed())),
            ("candidates", format!("{} = {equation}", thousands(self.total))),
            ("found by reading back", thousands(self.found_by_reading_back)),
            ("runtime", format!("{} minutes", self.minutes())),
            ("rollback", self.rollback.clone()),
        ]);
        document.heading(2, "Rows, expected and changed").table(self.changes());
        if self.unexpected > 0 {
            let who = plural(self.unexpected, "candidate");
            document.text(format!("{who} changed more rows, or other ones, than the plan expects: FAIL."));
        }
        if self.errors.is_empty() {
            return document;
        }
        document.heading(2, "Errors");
        let errors =
            self.errors.iter().map(|e| format!("{}: {}: {}", e.id, e.end.as_str(), one_line(&e.why)));
        document.list(errors);
        let more = self.failed().saturating_sub(self.errors.len() as u64);
        if more > 0 {
            document.text(format!("{} more are in {LOGS}.", thousands(more)));
        }
        document
    }

    pub(super) fn changes(&self) -> Table {
        let names = ["table", "new expected", "new", "updated expected", "updated", "removed"];
        let mut table =
            Table::new(names.map(|name| (name, if name == "table" { Align::Left } else { Align::Right })));
        for changed in &self.tables {
            let numbers = [
                changed.expected_new,
                changed.new,
                changed.expected_updated,
                changed.updated,
                changed.removed,
            ];
            table.row(std::iter::once(changed.table.clone()).chain(numbers.map(thousands)));
        }
        table
    }
}

fn share_of(of: u64, total: u64) -> String {
    if total == 0 {
        return format!("{of} (n/a)");
    }
    format!("{of} ({:.1}%)", of as f64 / total as f64 * 100.0)
}

/// Half up, and not to the even digit.
fn one_decimal(minutes: f64) -> String {
    format!("{:.1}", (minutes * 10.0 + 0.5 + 1e-9).floor() / 10.0)
}

/// What the list says of each candidate, held in sixteen bytes; ids are read when they are asked for.
pub(super) struct Listed {
    batches: Vec<u32>,
    /// Two bits a table: 1 new, 2 updated.
    effects: Vec<u32>,
    /// Where the line of each ends.
    ends: Vec<u64>,
    places: Places,
}

impl Listed {
    pub(super) fn read(dir: &BackfillDir) -> Result<Self, BackfillError> {
        let (batches, effects, ends) = (Vec::new(), Vec::new(), Vec::new());
        let mut all = Self { batches, effects, ends, places: dir.places()? };
        let facts = dir.facts();
        let mut list = dir.candidates()?;
        while let Some(candidate) = list.take_next()? {
            let bits = facts.effects(candidate.batch, &candidate.has).fold(0, |bits, (table, effect)| {
                bits | match effect {
                    Effect::New => 1 << (2 * table),
                    Effect::Updated => 2 << (2 * table),
                    Effect::Nothing | Effect::Kept | Effect::Nowhere => 0,
                }
            });
            all.batches.push(u32::try_from(candidate.batch).unwrap_or(0));
            all.effects.push(bits);
            all.ends.push(list.end());
        }
        Ok(all)
    }

    pub(super) fn batch(&self, n: u64) -> usize {
        usize::try_from(n).ok().and_then(|n| self.batches.get(n)).map_or(0, |batch| *batch as usize)
    }

    /// The id as people read it.
    pub(super) fn id(&self, n: u64) -> Result<String, BackfillError> {
        let place = usize::try_from(n).unwrap_or(usize::MAX);
        let Some(end) = self.ends.get(place) else { return Ok(String::new()) };
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        Ok(self.places.read(start, *end)?.name())
    }

    /// Whether a candidate changed more rows than the plan expects, or in another way.
    fn is_more(&self, n: u64, counts: &Counts) -> bool {
        let bits = usize::try_from(n).ok().and_then(|n| self.effects.get(n)).copied().unwrap_or(0);
        counts.iter().any(|(table, (new, updated, gone))| {
            let expected = bits >> (2 * table) & 0b11;
            *gone > 0 || *new > u64::from(expected & 1) || *updated > u64::from(expected >> 1)
        })
    }
}

/// The plan for a person who decides.
pub(super) fn review(plan: &Plan) -> Document {
    let facts = &plan.plan;
    let mut document = Document::new();
    document.heading(1, format!("Backfill plan {}", plan.short));
    let lineage = facts.target.lineage.as_ref();
    document.facts([
        ("backfill", one_line(&facts.name)),
        ("made", format!("{} from {}", facts.created_at, sources(facts))),
        ("environment", one_line(facts.environment.as_deref().unwrap_or("not stated"))),
        ("target", format!("{} ({})", one_line(&facts.target.url), facts.target.fingerprint)),
        ("lineage", lineage.map_or("none; not stamped".to_owned(), |l| format!("{} `{}`", l.id, l.purpose))),
        ("functions", facts.functions.clone().unwrap_or_else(|| "none are called".to_owned())),
        ("candidates", thousands(facts.candidates)),
        ("rate", rate(facts)),
        ("runtime", format!("{} at least", span(facts.runtime_seconds))),
    ]);
    candidates(facts, &mut document);
    document.heading(2, "Steps");
    for batch in &facts.batches {
        let about = if batch.description.is_empty() {
            String::new()
        } else {
            format!(": {}", one_line(&batch.description))
        };
        document.text(format!("{}, {}{about}", batch.batch_id, plural(batch.count, "candidate")));
        document.list(batch.steps.iter().map(|step| {
            let writes = &facts.results[facts.written_by(step)].result.table;
            let only = if step.if_missing { ", only where there is no row" } else { "" };
            format!("{} writes {writes}{only}", one_line(&step.name()))
        }));
    }
    document.heading(2, "Rows that will change").table(expected(facts));
    if !facts.notes.is_empty() {
        document.heading(2, "Notes").list(facts.notes.iter().map(|note| one_line(note)));
    }
    document.heading(2, "Proof of reading").table(reads(facts));
    document
}

fn sources(facts: &Facts) -> String {
    let name =
        |source: &super::plan::Source| format!("{} ({})", one_line(&source.file), &source.sha256[..12]);
    facts.sources.iter().map(name).collect::<Vec<_>>().join(" and ")
}

fn rate(facts: &Facts) -> String {
    let calls = facts.calls_per_minute.map(|calls| format!(", {calls} calls a minute")).unwrap_or_default();
    format!(
        "{} a minute{calls}; a call has {} s, and {} tries",
        facts.per_minute, facts.timeout_seconds, facts.tries_max
    )
}

/// `1 h 2 min`, `1 min 54 s`.
fn span(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

fn candidates(facts: &Facts, document: &mut Document) {
    document.heading(2, "Candidates");
    let conditions =
        if facts.conditions.is_empty() { "all rows".to_owned() } else { facts.conditions.join(" and ") };
    let order: Vec<&str> = facts.order.iter().map(String::as_str).chain([facts.id.column.as_str()]).collect();
    let stamps: Vec<String> = facts
        .results
        .iter()
        .map(|touched| {
            let stamp: Vec<String> =
                touched.result.stamp.iter().map(|(column, value)| format!("{column} {value}")).collect();
            format!("{} with {}", touched.result.table, stamp.join(", "))
        })
        .collect();
    document.facts([
        ("of", facts.table.clone()),
        ("where", one_line(&conditions)),
        ("lack one of", one_line(&stamps.join("; "))),
        ("in order of", order.join(", ")),
        ("examined", thousands(facts.examined)),
        ("current already", thousands(facts.current)),
    ]);
}

fn expected(facts: &Facts) -> Table {
    let mut table = Table::new([
        ("table", Align::Left),
        ("new", Align::Right),
        ("updated", Align::Right),
        ("promised", Align::Left),
    ]);
    for expected in &facts.expected {
        let promised = facts.promised.iter().find(|promised| promised.table == expected.table);
        let promised = promised.map_or("–".to_owned(), |promised| {
            let updated = promised.updated.map_or("any".to_owned(), thousands);
            format!("{} new, {updated} updated", thousands(promised.new))
        });
        table.row([expected.table.clone(), thousands(expected.new), thousands(expected.updated), promised]);
    }
    table
}

fn reads(facts: &Facts) -> Table {
    let mut table = Table::new([
        ("table", Align::Left),
        ("rows", Align::Right),
        ("counted before", Align::Right),
        ("counted after", Align::Right),
        ("snapshot", Align::Left),
    ]);
    for read in &facts.reads {
        let proof = &read.proof;
        let numbers = [proof.rows, proof.count_before, proof.count_after].map(thousands);
        let snapshot = if proof.snapshot { "yes" } else { "no" }.to_owned();
        table.row(std::iter::once(read.table.clone()).chain(numbers).chain([snapshot]));
    }
    table
}

/// What a plan would do now: how many candidates would be done, and which rows would change.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preview {
    /// Full id of the plan.
    pub plan: String,
    /// Candidates that were looked at.
    pub looked_at: u64,
    /// Candidates of the plan.
    pub total: u64,
    /// Candidates that would be left alone.
    pub idle: u64,
    /// Rows that would change, by table.
    pub tables: Vec<Changed>,
    /// The shortest time that the rate allows, in seconds.
    pub runtime_seconds: u64,
}

/// Candidates that a preview looks at.
const PREVIEWED: u64 = 1000;

/// Reads the rows of the candidates, and says what would be done. Sends nothing but reads.
pub fn preview(dir: &BackfillDir, context: &mut Context<'_>) -> Result<Preview, BackfillError> {
    let facts = dir.facts();
    let identity = context.target.identity()?;
    super::run::require_target(facts, &identity)?;
    let shapes = super::run::shapes(context.target, facts)?;
    let mut now = Facts { expected: Vec::new(), ..facts.clone() };
    now.expected =
        facts.expected.iter().map(|e| super::plan::Expected { new: 0, updated: 0, ..e.clone() }).collect();
    let (mut list, mut looked_at, mut idle) = (dir.candidates()?, 0, 0);
    while let Some(candidate) = list.take_next()?.filter(|_| looked_at < PREVIEWED) {
        looked_at += 1;
        let images = context.images(&shapes, &candidate)?;
        let has: Vec<Has> = shapes.iter().zip(&images).map(|(shape, rows)| shape.has(rows)).collect();
        let is_idle = |(_, effect)| matches!(effect, Effect::Nothing | Effect::Kept);
        idle += u64::from(facts.effects(candidate.batch, &has).all(is_idle));
        now.expect(candidate.batch, &has);
    }
    let tables = facts.expected.iter().zip(&now.expected).map(|(plan, now)| Changed {
        table: plan.table.clone(),
        expected_new: plan.new,
        expected_updated: plan.updated,
        new: now.new,
        updated: now.updated,
        removed: 0,
    });
    let left = facts.candidates - idle;
    Ok(Preview {
        plan: dir.plan().id.clone(),
        looked_at,
        total: facts.candidates,
        idle,
        tables: tables.collect(),
        runtime_seconds: super::plan::runtime_seconds(left, facts.per_minute),
    })
}

impl Preview {
    /// What a person reads.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        document.heading(1, format!("What backfill {} would do", self.plan.get(..12).unwrap_or(&self.plan)));
        document.facts([
            ("candidates", thousands(self.total)),
            ("looked at now", thousands(self.looked_at)),
            ("of these left alone", thousands(self.idle)),
            ("runtime", format!("{} at least", span(self.runtime_seconds))),
        ]);
        let mut table = Table::new([
            ("table", Align::Left),
            ("new", Align::Right),
            ("updated", Align::Right),
            ("planned", Align::Left),
        ]);
        for changed in &self.tables {
            let planned = format!("{} new, {} updated", changed.expected_new, changed.expected_updated);
            table.row([changed.table.clone(), thousands(changed.new), thousands(changed.updated), planned]);
        }
        document.table(table);
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_rounded_half_up_and_shares_of_nothing_are_none() {
        let shown = [0.0, 0.049, 0.05, 2.24, 2.25, 2.35, 135.0 / 60.0].map(one_decimal);
        assert_eq!(shown, ["0.0", "0.0", "0.1", "2.2", "2.3", "2.4", "2.3"]);
        assert_eq!(
            [share_of(39, 39), share_of(0, 39), share_of(1, 3)],
            ["39 (100.0%)", "0 (0.0%)", "1 (33.3%)"]
        );
        assert_eq!(share_of(0, 0), "0 (n/a)");
    }

    #[test]
    fn spans_are_for_people() {
        assert_eq!(
            [span(0), span(114), span(3_720), span(301_500)],
            ["0 s", "1 min 54 s", "1 h 2 min", "83 h 45 min"]
        );
    }
}
