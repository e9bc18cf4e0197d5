//! From an input to a set of files: reads twice, cleans every row, finds those that are the same, writes all or nothing.
//!
//! Memory does not grow with the input except by the bytes a row that [`run`] states. The same input gives the same
//! bytes whatever the number of threads. No database is touched, nothing is asked of the machine: time is an argument.

pub(crate) mod cells;
mod clean;
mod columns;
mod fates;
mod finish;
mod graded;
mod layout;
mod lines;
mod packed;
mod render;
mod report;
mod resolve;
mod review;
mod rows;
mod sorted;
mod source;
mod spool;
mod stage;
mod steps;
mod summary;
mod survey;
mod tally;
mod threads;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Dataset, Kind, Rules};
use crate::clock::Stamp;
use crate::files::FileError;
use crate::guard::Refusal;
use crate::ids::sha256;
use crate::records::{ReadError, ReadOptions};
use crate::report::Document;

use fates::Fate;
use finish::{FileNames, Written};
use resolve::{Resolution, Resolver};
use review::Review;
use spool::Spool;
use stage::Stage;
use steps::Steps;
use survey::Survey;
use tally::Tally;

pub use stage::Artifact;
pub use summary::{Books, Duplicated, Input, Manifest, Scores, Sensitivity, Summary};
pub use tally::RuleCount;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The file.
    pub source: &'a Path,
    /// How it is read.
    pub reading: &'a ReadOptions,
    /// What its rows are.
    pub rules: &'a Rules,
    /// The folder of the files that are written.
    pub out: &'a Path,
    /// Rows shown in the report.
    pub sample: usize,
    /// Whether the detectors are graded on faults planted into copies of the rows.
    pub grade: bool,
}

impl<'a> Request<'a> {
    fn dataset(&self) -> &'a Dataset {
        self.rules.dataset()
    }
}

/// What surrounds a run.
pub struct Surroundings<'a> {
    /// An existing folder for what does not fit into memory.
    pub scratch: &'a Path,
    /// The time for reports; rows never get it.
    pub now: Stamp,
    /// Ends the work soon after it becomes true.
    pub stop: &'a AtomicBool,
    /// Version of the toolkit, for the reports.
    pub tool_version: &'a str,
    /// Threads that clean.
    pub threads: usize,
    /// Hears how far the work is: what is done, and with how many records.
    pub progress: &'a mut dyn FnMut(&'static str, u64),
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Surroundings<'_> {
    fn check(&self) -> Result<(), CleanupError> {
        if self.stop.load(Ordering::Relaxed) { Err(CleanupError::Interrupted) } else { Ok(()) }
    }

    fn progress(&mut self, what: &'static str, records: u64) {
        (self.progress)(what, records);
    }
}

/// Why there is no new set of files; the previous one is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// A guard stopped.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The input cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The input is not the same any more.
    #[error("the input was changed while it was read")]
    Changed,
    /// Rows vanished or came twice, which is a defect of the toolkit.
    #[error("the books do not balance: {0:?}")]
    Unbalanced(Books),
    /// It was asked to stop.
    #[error("interrupted")]
    Interrupted,
}

/// What a run leaves besides its files.
#[derive(Debug)]
pub struct Outcome {
    /// What it did, in numbers.
    pub summary: Summary,
    /// Columns that cleaned rows have and neither the input nor the dataset does.
    pub made_columns: Vec<String>,
    /// Every file with its seal.
    pub artifacts: Vec<Artifact>,
}

impl Outcome {
    /// What a person sees at the end of the run.
    pub fn document(&self) -> Document {
        report::terminal(self)
    }
}

/// Cleans an input.
pub fn run(request: &Request<'_>, around: &mut Surroundings<'_>) -> Result<Outcome, CleanupError> {
    let stage = Stage::begin(request.out)?;
    let survey = survey::survey(request, around)?;
    let graded = request.grade.then(|| graded::grade(request, around, &survey, &stage)).transpose()?;
    let mut lists = clean::Lists {
        changes: stage.file("changes.ndjson")?,
        findings: stage.file("findings.ndjson")?,
        rejects: stage.file("rejects.ndjson")?,
        quarantine: stage.file("quarantine.ndjson")?,
    };
    let scratch = stage.scratch_folder();
    let pass = clean::clean(request, around, &survey, Spool::new(&stage)?, &scratch, &mut lists)?;
    let spooled = pass.spool.finish()?;
    let mut steps = Steps::new(request.rules, &survey.learned, &survey.decisions);
    let Resolution { fates, joint, quarantine, duplicated, clusters } = {
        let members = spooled.only(&stage, |ordinal| pass.clusters.has(ordinal))?;
        let (dataset, layout) = (request.dataset(), &survey.layout);
        Resolver::new(&stage, dataset, layout, &members, &mut steps, pass.slugs)?.resolve(
            pass.clusters,
            &survey.facts.sha256,
            around,
        )?
    };
    let joint_changes_at = lists.changes.bytes();
    joint.write(&mut lists.changes)?;
    quarantine.write(&mut lists.quarantine)?;
    let names = FileNames {
        json: format!("cleaned_{}.json", request.dataset().name),
        csv: format!("cleaned_{}_upsert.csv", request.dataset().name),
    };
    let review = Review::new(request.dataset());
    let written = finish::write(&stage, &spooled, &fates, &survey.layout, &review, &names, request.sample)?;
    let books = Books {
        rows_in: survey.facts.rows,
        rows_out: written.rows,
        merged: fates.count(|fate| *fate == Fate::Merged),
        quarantined: fates.count(|fate| *fate == Fate::Quarantined),
        rejected: pass.rejected,
    };
    if !books.balance() {
        return Err(CleanupError::Unbalanced(books));
    }
    let mut artifacts = written.artifacts.clone();
    for list in [lists.changes, lists.findings, lists.rejects, lists.quarantine] {
        artifacts.push(list.seal()?);
    }
    artifacts.push(clusters.seal()?);
    let mut summary = summarize(request, around, &survey, &pass.tally, &written, books);
    summary.duplicates = duplicated;
    summary.replaced_bytes = pass.replaced;
    summary.grade = graded;
    artifacts.extend(write_reports(&stage, &summary, &written)?);
    let manifest = manifest(request, &survey, &summary, joint_changes_at, &artifacts);
    let json = serde_json::to_string_pretty(&manifest).expect("the manifest is JSON") + "\n";
    artifacts.push(stage.write(MANIFEST, json.as_bytes())?);
    around.check()?;
    stage.commit()?;
    let made_columns = survey.made_columns();
    Ok(Outcome { summary, made_columns, artifacts })
}

/// Name of the manifest.
const MANIFEST: &str = "cleanup.json";

fn write_reports(stage: &Stage, summary: &Summary, written: &Written) -> Result<Vec<Artifact>, FileError> {
    let json = serde_json::to_string_pretty(summary).expect("a summary is JSON") + "\n";
    let document = report::file(summary, &written.sample);
    Ok(vec![
        stage.write("cleanup_report.md", document.markdown().as_bytes())?,
        stage.write("cleanup_report.json", json.as_bytes())?,
        stage.write("cleanup_report.html", document.html().as_bytes())?,
    ])
}

fn summarize(
    request: &Request<'_>,
    around: &Surroundings<'_>,
    survey: &Survey,
    tally: &Tally,
    written: &Written,
    ledger: Books,
) -> Summary {
    let (layout, facts) = (&survey.layout, &survey.facts);
    let name = |place: usize| layout.names()[place].clone();
    Summary {
        format: 1,
        tool_version: around.tool_version.to_owned(),
        generated_at: around.now.iso(),
        dataset: request.dataset().name.clone(),
        input: Input {
            file: request
                .source
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
            format: facts.format,
            compression: facts.compression,
            bytes: facts.bytes,
            sha256: facts.sha256.clone(),
        },
        ledger,
        changed_rows: tally.edited_rows,
        flagged_rows: tally.flagged_rows,
        changes: tally.edits(layout),
        findings: tally.findings(layout),
        score: Scores::new(request.dataset().score.threshold, written.fragments, &written.scores),
        duplicates: Vec::new(),
        replaced_bytes: 0,
        grade: None,
        absent_columns: (0..layout.declared).filter(|place| survey.is_absent(*place)).map(name).collect(),
        carried_columns: layout.carried().map(name).collect(),
    }
}

fn manifest(
    request: &Request<'_>,
    survey: &Survey,
    summary: &Summary,
    joint_changes_at: u64,
    artifacts: &[Artifact],
) -> Manifest {
    let layout = &survey.layout;
    let settings = serde_json::to_vec(request.dataset()).expect("a dataset is JSON");
    let is_text = |place: &usize| {
        let kind = &request.dataset().columns[*place].kind;
        matches!(kind, Kind::Integer { .. } | Kind::Boolean | Kind::List) && survey.is_text(*place)
    };
    Manifest {
        format: 1,
        tool_version: summary.tool_version.clone(),
        generated_at: summary.generated_at.clone(),
        dataset: summary.dataset.clone(),
        dataset_sha256: sha256(&settings),
        input: summary.input.clone(),
        ledger: summary.ledger,
        made_columns: summary.absent_columns.iter().cloned().chain(survey.made_columns()).collect(),
        text_columns: (0..layout.declared)
            .filter(is_text)
            .map(|place| layout.names()[place].clone())
            .collect(),
        joint_changes_at,
        artifacts: artifacts.to_vec(),
    }
}
