//! The first pass: which columns there are, how their values are spelled, and how the text was damaged.
//!
//! Changes nothing. What it decides holds for every row, so that the order of the rows decides nothing.

use super::columns::{Columns, EXTRAS_MAX};
use super::layout::{FLAG, Layout, SCORE};
use super::rows::rows;
use super::source::Source;
use super::threads::{self, Flow, Worker};
use super::{CleanupError, Request, Surroundings};
use crate::cleanup::repair::{Decisions, Vote};
use crate::cleanup::titles::{self, Learned};
use crate::cleanup::{Cell, Dataset, Kind, Row, Rules};
use crate::guard::Refusal;
use crate::records::{Batch, Identity, InputFacts};

/// What is known of an input before its rows are cleaned.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) layout: Layout,
    pub(super) decisions: Decisions,
    pub(super) learned: Learned,
    /// How the cells of each column are spelled.
    pub(super) spelled: Vec<Spelled>,
    pub(super) facts: InputFacts,
    /// By which the input is known when it is read again.
    pub(super) identity: Identity,
    /// Records that are rows.
    pub(super) rows: u64,
}

/// How the cells of a column are spelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Spelled {
    /// Cells that are there, NULL or not.
    pub(super) present: u64,
    /// Texts.
    pub(super) text: u64,
    /// Numbers, booleans and containers of JSON.
    pub(super) json: u64,
}

impl Survey {
    /// Whether no record has this column.
    pub(super) fn is_absent(&self, place: usize) -> bool {
        self.spelled.get(place).is_none_or(|spelled| spelled.present == 0)
    }

    /// Columns of the cleaned files that neither the dataset nor the input has.
    pub(super) fn made_columns(&self) -> Vec<String> {
        let is_made = |name: &&str| self.layout.place(name).is_none();
        [SCORE, FLAG].into_iter().filter(is_made).map(str::to_owned).collect()
    }

    /// Whether most values of this column are texts.
    pub(super) fn is_text(&self, place: usize) -> bool {
        self.spelled.get(place).is_some_and(|spelled| spelled.text > spelled.json)
    }
}

/// One thread's part of the survey.
struct Observer<'a> {
    rules: &'a Rules,
    titles: titles::Survey,
    /// The columns that are voted on.
    is_text: Vec<bool>,
    vote: Vote,
    spelled: Vec<Spelled>,
    columns: Columns,
    rejected: u64,
}

impl<'a> Observer<'a> {
    fn new(rules: &'a Rules, titles: titles::Survey) -> Self {
        let dataset = rules.dataset();
        let is_text = dataset
            .columns
            .iter()
            .map(|column| {
                matches!(column.kind, Kind::Text) && !column.without.iter().any(|rule| rule == "all")
            })
            .collect();
        let names: Vec<String> = dataset.columns.iter().map(|column| column.name.clone()).collect();
        Self {
            rules,
            titles,
            is_text,
            vote: Vote::default(),
            spelled: Vec::new(),
            columns: Columns::new(&names),
            rejected: 0,
        }
    }
}

impl Worker for Observer<'_> {
    type Job = Batch;
    type Done = Batch;

    fn work(&mut self, mut batch: Batch) -> Batch {
        let Self { rules, titles, is_text, vote, spelled, columns, rejected } = self;
        let each = |row: &mut Row<'_>, width: usize| {
            spelled.resize(width, Spelled::default());
            for (place, cell) in row.cells.iter().enumerate() {
                let seen = &mut spelled[place];
                match cell {
                    Cell::Absent => continue,
                    Cell::Null => {}
                    Cell::Text(text) => {
                        seen.text += 1;
                        if is_text.get(place).is_some_and(|is_text| *is_text) {
                            vote.observe(place, text);
                        }
                    }
                    Cell::Json(_) => seen.json += 1,
                }
                seen.present += 1;
            }
            titles.add(rules, row);
        };
        // What is wrong with them is told by the pass that cleans.
        rows(&mut batch, columns, each, |_| *rejected += 1);
        batch
    }
}

struct Reading<'a, 'b> {
    source: Source,
    spare: Vec<Batch>,
    around: &'a mut Surroundings<'b>,
}

impl Flow<Batch, Batch> for Reading<'_, '_> {
    type Error = CleanupError;

    fn next(&mut self) -> Result<Option<Batch>, CleanupError> {
        self.around.check()?;
        let mut batch = self.spare.pop().unwrap_or_default();
        let is_any = self.source.fill(&mut batch)?;
        self.around.progress("read", self.source.records());
        Ok(is_any.then_some(batch))
    }

    fn take(&mut self, batch: Batch) -> Result<(), CleanupError> {
        self.spare.push(batch);
        Ok(())
    }
}

/// Reads everything once.
pub(super) fn survey(request: &Request<'_>, around: &mut Surroundings<'_>) -> Result<Survey, CleanupError> {
    let dataset = request.dataset();
    let source = Source::open(request, around)?;
    let mut learned = titles::Survey::new(request.rules);
    let mut observers: Vec<Observer<'_>> =
        (0..around.threads.max(1)).map(|_| Observer::new(request.rules, learned.clone())).collect();
    let mut reading = Reading { source, spare: Vec::new(), around };
    threads::run(&mut observers, &mut reading)?;
    let ended = reading.source.facts().zip(reading.source.identity());
    let (facts, identity) = ended.expect("the input was read to its end");
    let threads: Vec<&Columns> = observers.iter().map(|observer| &observer.columns).collect();
    let (columns, places) = Columns::join(&threads);
    let layout = Layout::new(dataset, columns);
    check_width(&layout)?;
    let mut spelled = vec![Spelled::default(); layout.names().len()];
    let mut vote = Vote::default();
    for (observer, places) in observers.iter().zip(places) {
        for (part, place) in observer.spelled.iter().zip(places) {
            spelled[place].present += part.present;
            spelled[place].text += part.text;
            spelled[place].json += part.json;
        }
        vote.absorb(&observer.vote);
        learned.merge(&observer.titles);
    }
    let rows = facts.rows - observers.iter().map(|observer| observer.rejected).sum::<u64>();
    let (decisions, learned) = (vote.decide(dataset), learned.learned());
    let survey = Survey { layout, decisions, learned, spelled, facts, identity, rows };
    check_columns(dataset, &survey)?;
    Ok(survey)
}

/// Refuses an input that is no table.
fn check_width(layout: &Layout) -> Result<(), CleanupError> {
    if layout.names().len() - layout.declared <= EXTRAS_MAX {
        return Ok(());
    }
    Err(Refusal::new(
        "the records have too many different columns for one table",
        format!("at most {EXTRAS_MAX} columns besides those of the dataset"),
        "more",
    )
    .next("take what is not a column (values as names of fields, for instance) out of the records first")
    .into())
}

/// Refuses an input that has nothing to do with the dataset.
fn check_columns(dataset: &Dataset, survey: &Survey) -> Result<(), CleanupError> {
    let layout = &survey.layout;
    if survey.rows == 0 || (0..layout.declared).any(|place| !survey.is_absent(place)) {
        return Ok(());
    }
    let list = |names: &[String]| names.iter().take(20).cloned().collect::<Vec<_>>().join(", ");
    let found = list(&layout.names()[layout.declared..]);
    Err(Refusal::new(
        format!("the input has no column of the dataset `{}`", dataset.name),
        list(&layout.names()[..layout.declared]),
        if found.is_empty() { "no columns at all".to_owned() } else { found },
    )
    .next("choose the right --dataset, or declare one in ops.toml")
    .into())
}
