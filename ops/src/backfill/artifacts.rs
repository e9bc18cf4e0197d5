//! The artifacts of the original pipeline, with its names and keys: a summary, a log for each batch, and the results.
//!
//! Made from the books when a run stops, so that a run that was killed has them after it was resumed. Nothing in them is
//! believed by anything; what counts is in the books and in the gates.

use serde_json::json;

use super::BackfillError;
use super::journal::{self, Ended, Line};
use super::plan::{BackfillDir, Facts};
use super::report::{Listed, Report};
use super::run::{LOGS, journal_path};
use crate::files::{self, AtomicFile};
use crate::report::Document;
use crate::text::{one_line, plural, thousands};

/// The summary, in the folder of the plan.
pub const SUMMARY: &str = "backfill_summary.md";
/// The results, in the folder of the logs.
pub const RESULTS: &str = "execution_results.json";

/// Writes all of them.
pub(super) fn write(dir: &BackfillDir, report: &Report) -> Result<(), BackfillError> {
    let logs = dir.path().join(LOGS);
    files::create_dir(&logs)?;
    let list = Listed::read(dir)?;
    let mut files: Vec<BatchFile> = Vec::new();
    for batch in &report.batches {
        let path = logs.join(format!("batch_{}.json", batch.batch_id));
        let file = AtomicFile::create(&path)?;
        files.push(BatchFile { file, is_empty: true, errors: Vec::new(), started: None, ended: None });
    }
    for (file, (batch, counts)) in files.iter_mut().zip(dir.facts().batches.iter().zip(&report.batches)) {
        file.head(&report.run, &batch.description, counts)?;
    }
    let mut failed = Ok(());
    journal::each_line(&journal_path(dir), &mut |line| {
        if failed.is_ok() {
            failed = note(&mut files, &list, dir.facts(), line);
        }
    })?;
    failed?;
    let mut summaries = Vec::new();
    for (file, batch) in files.into_iter().zip(&report.batches) {
        summaries.push(json!({
            "batch_id": batch.batch_id,
            "started_at": file.started,
            "sessions_processed": batch.successful + batch.failed,
            "sessions_successful": batch.successful,
            "sessions_failed": batch.failed,
            "errors": file.errors,
            "completed_at": file.ended,
        }));
        file.finish()?;
    }
    let results = json!({
        "run": report.run,
        "plan": report.plan,
        "plan_version": dir.facts().name,
        "environment": report.environment,
        "execution_start": report.started_at,
        "total_sessions": report.total,
        "successful_sessions": report.successful(),
        "failed_sessions": report.failed(),
        "not_reached_sessions": report.not_reached,
        "batch_results": summaries,
        "errors": report.errors,
        "execution_end": report.ended_at,
        "runtime_minutes": report.runtime_minutes,
        "report": report,
    });
    let results = serde_json::to_string_pretty(&results).expect("texts and numbers are JSON") + "\n";
    files::write_atomic(&logs.join(RESULTS), results.as_bytes())?;
    files::write_atomic(&dir.path().join(SUMMARY), summary(report).markdown().as_bytes())?;
    Ok(())
}

/// Errors that the log of a batch lists; the operations have all of them.
const ERRORS: usize = 1000;

/// The log of one batch, written as the books are read.
struct BatchFile {
    file: AtomicFile,
    is_empty: bool,
    errors: Vec<serde_json::Value>,
    started: Option<String>,
    ended: Option<String>,
}

impl BatchFile {
    fn head(
        &mut self,
        run: &str,
        description: &str,
        counts: &super::report::BatchCount,
    ) -> Result<(), BackfillError> {
        let head = json!({
            "batch_id": counts.batch_id,
            "run": run,
            "description": description,
            "sessions_processed": counts.successful + counts.failed,
            "sessions_successful": counts.successful,
            "sessions_failed": counts.failed,
        });
        let mut text = head.to_string();
        text.pop();
        text.push_str(",\n\"operations_log\":[");
        Ok(self.file.write(text.as_bytes())?)
    }

    fn operation(&mut self, operation: &serde_json::Value) -> Result<(), BackfillError> {
        let comma = if std::mem::take(&mut self.is_empty) { "\n" } else { ",\n" };
        Ok(self.file.write(format!("{comma}{operation}").as_bytes())?)
    }

    fn finish(mut self) -> Result<(), BackfillError> {
        let tail = json!({"errors": self.errors, "started_at": self.started, "completed_at": self.ended})
            .to_string();
        self.file.write(format!("\n],{}\n", &tail[1..]).as_bytes())?;
        Ok(self.file.commit()?)
    }
}

fn note(files: &mut [BatchFile], list: &Listed, facts: &Facts, line: Line<'_>) -> Result<(), BackfillError> {
    match line {
        Line::Begin { n, at, .. } => {
            files[list.batch(n)].started.get_or_insert(at);
        }
        Line::End { n, at, end, why, .. } => {
            let file = &mut files[list.batch(n)];
            if !end.is_good() && file.errors.len() < ERRORS {
                file.errors.push(json!({"session_id": list.id(n)?, "end": end, "message": why}));
            }
            file.ended = Some(at);
        }
        Line::Result(result) => {
            let batch = list.batch(result.n);
            let step = facts.batches[batch].steps.get(result.step);
            let is_done = result.end == Ended::Verified;
            let error = (!is_done)
                .then(|| json!({"message": result.why, "status": result.status, "code": result.end}));
            files[batch].operation(&json!({
                "session_id": list.id(result.n)?,
                "function": step.map(super::settings::Step::name),
                "params": step.map(|step| &step.params),
                "attempt": result.tries,
                "started_at": result.sent,
                "completed_at": result.at,
                "success": is_done,
                "response": {"status": result.status, "ms": result.ms, "verified": is_done, "note": result.why},
                "error": error,
            }))?;
        }
        _ => {}
    }
    Ok(())
}

/// `backfill_summary.md`.
fn summary(report: &Report) -> Document {
    let mut document = Document::new();
    document.heading(1, "Backfill summary");
    document.facts([
        ("Run", report.run.clone()),
        ("Plan", report.plan.get(..12).unwrap_or(&report.plan).to_owned()),
        ("Environment", one_line(report.environment.as_deref().unwrap_or("not stated"))),
        ("Target", one_line(&report.target)),
        ("Window", format!("{} to {} UTC", report.started_at, report.ended_at)),
        ("Runtime", format!("{} minutes (one decimal, half up)", report.minutes())),
        ("Total sessions", thousands(report.total)),
        ("Successful", report.share(report.successful())),
        ("Failed", report.share(report.failed())),
        ("Not reached", report.share(report.not_reached)),
    ]);
    document.text(format!("State: {}.", one_line(&report.why)));
    document.heading(2, "Batches");
    document.list(report.batches.iter().map(|batch| {
        format!(
            "{}: {} of {} successful, {} failed",
            batch.batch_id, batch.successful, batch.total, batch.failed
        )
    }));
    document.heading(2, "Expected and actual changes").table(report.changes());
    let verdict = match report.unexpected {
        0 => "Every changed row is one that the plan expects.".to_owned(),
        n => format!("FAIL: {} changed otherwise than expected.", plural(n, "session")),
    };
    document.text(verdict);
    document.heading(2, "Errors");
    if report.errors.is_empty() {
        document.text("None.");
    } else {
        let shown = report.errors.iter().take(5);
        document.list(shown.map(|e| format!("{}: {}: {}", e.id, e.end.as_str(), one_line(&e.why))));
        let more = report.failed().saturating_sub(5);
        if more > 0 {
            document.text(format!("{} more in {LOGS}.", thousands(more)));
        }
    }
    document.heading(2, "Verification");
    document.text(format!(
        "Every successful session was read back with the stamp that was expected; {} only by reading back, its answer \
         having been lost or said otherwise.",
        thousands(report.found_by_reading_back)
    ));
    let short = report.plan.get(..12).unwrap_or(&report.plan);
    document.heading(2, "Next");
    document.list([
        format!("look at this summary and at `{}`", report.rollback),
        format!("cargo xtask pipeline status --plan {short} says what comes next; nothing begins by itself"),
        format!("cargo xtask backfill rollback --plan {short} rehearses the way back, which takes only what the run wrote"),
    ]);
    document
}
