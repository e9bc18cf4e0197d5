//! The plan, the logs of batches and the results of a run: whether they are all there and say one thing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::folder::{File, Folder, count, list, seconds, text, time};
use super::{Finding, Kind, Notes};
use crate::clock::Stamp;

/// Sessions a minute where no plan says it.
const THROTTLE: u64 = 20;

/// What the files say of a run.
pub(super) struct Run<'f> {
    folder: &'f Folder,
    pub(super) plan: Option<(&'f File, &'f Value)>,
    pub(super) results: Vec<(&'f File, &'f Value)>,
    pub(super) batches: Vec<Batch<'f>>,
}

/// The log of one batch.
pub(super) struct Batch<'f> {
    file: &'f File,
    json: &'f Value,
    id: &'f str,
    /// Operations in the order of the log.
    pub(super) operations: Vec<Operation<'f>>,
}

/// One logged operation.
pub(super) struct Operation<'f> {
    pub(super) session: &'f str,
    pub(super) function: &'f str,
    pub(super) at: Option<Stamp>,
    pub(super) success: bool,
    response: &'f Value,
}

impl<'f> Run<'f> {
    pub(super) fn of(folder: &'f Folder) -> Self {
        let results = folder.named("execution_results", ".json");
        let results = results.filter_map(|file| Some((file, file.json.as_ref()?))).collect();
        let batches = folder.named("batch_", ".json").filter_map(Batch::of).collect();
        Self { folder, plan: folder.plan(), results, batches }
    }

    /// Whether the logs are those of this toolkit: sessions that were found done have no operation there, and operations
    /// say when they ended.
    pub(super) fn is_ours(&self) -> bool {
        self.results.iter().any(|(_, results)| text(results, "run").is_some())
    }

    /// When the plan was made.
    pub(super) fn planned(&self) -> Option<Stamp> {
        time(self.plan?.1.get("backfill_plan")?, "timestamp")
    }

    /// Sessions a minute at most.
    fn throttle(&self) -> u64 {
        let head = self.plan.and_then(|(_, plan)| plan.get("backfill_plan"));
        head.and_then(|head| count(head, "throttle_per_minute")).filter(|rate| *rate > 0).unwrap_or(THROTTLE)
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut found = self.missing();
        for batch in &self.batches {
            found.extend(batch.findings(self.plan.map(|(_, plan)| plan)));
        }
        for (file, results) in &self.results {
            found.extend(self.of_results(file, results));
        }
        found.extend(self.rate());
        found.extend(self.promises());
        found
    }

    /// What a run writes and what is not there.
    fn missing(&self) -> Vec<Finding> {
        let summary = self.folder.files.iter().find(|file| file.is("backfill_summary", ".md"));
        let Some(said) =
            self.batches.first().map(|batch| batch.file).or(self.results.first().map(|r| r.0)).or(summary)
        else {
            return Vec::new();
        };
        let mut notes = Notes::new(&said.path);
        if self.results.is_empty() {
            notes.add(Kind::Missing, "a run ends with execution_results.json, and there is none");
        }
        if self.folder.named("rollback", ".sql").next().is_none() {
            notes.add(Kind::Missing, "a run leaves a rollback file, and there is none");
        }
        let planned = self.plan.map(|(_, plan)| list(plan, "batches")).unwrap_or_default();
        let told = self.results.iter().flat_map(|(_, results)| list(results, "batch_results"));
        let named: BTreeSet<&str> =
            planned.iter().chain(told).filter_map(|batch| text(batch, "batch_id")).collect();
        for id in named.into_iter().filter(|id| !self.batches.iter().any(|batch| batch.id == *id)) {
            notes.add(Kind::Missing, format!("there is no log of batch `{id}`"));
        }
        notes.found
    }

    /// The results against themselves, the logs and the plan.
    fn of_results(&self, file: &File, results: &Value) -> Vec<Finding> {
        let mut notes = Notes::new(&file.path);
        let number = |name: &str| count(results, name);
        let (total, good, bad) =
            (number("total_sessions"), number("successful_sessions"), number("failed_sessions"));
        // Those that a run did not get to are neither.
        let reached = total.map(|total| total.saturating_sub(number("not_reached_sessions").unwrap_or(0)));
        adds_up(&mut notes, "total_sessions", reached, good, bad);
        let of_batches =
            |name: &str| self.batches.iter().filter_map(|batch| count(batch.json, name)).sum::<u64>();
        for (what, said, logged) in [
            ("total_sessions", reached, of_batches("sessions_processed")),
            ("successful_sessions", good, of_batches("sessions_successful")),
            ("failed_sessions", bad, of_batches("sessions_failed")),
        ] {
            if let Some(said) = said.filter(|said| *said != logged) {
                notes.add(
                    Kind::Totals,
                    format!("{what} is {said}, and the logs of the batches have {logged}"),
                );
            }
        }
        let planned = self.plan.and_then(|(_, plan)| count(plan.get("backfill_plan")?, "total_candidates"));
        if let (Some(planned), Some(total)) = (planned, total)
            && total > planned
        {
            notes.add(Kind::Totals, format!("{total} sessions of {planned} that were planned"));
        }
        let ends = (time(results, "execution_start"), time(results, "execution_end"));
        if let (Some(start), Some(end)) = ends {
            let took = seconds(start, end);
            if took < 0.0 {
                notes.add(Kind::Clock, format!("it ends at {end}, before it starts at {start}"));
            }
            let minutes = results.get("runtime_minutes").and_then(Value::as_f64);
            // One decimal, rounded either way.
            if let Some(minutes) = minutes.filter(|minutes| (minutes - took / 60.0).abs() > 0.06) {
                notes.add(
                    Kind::Clock,
                    format!("{minutes} minutes from {start} to {end}, which are {:.2}", took / 60.0),
                );
            }
            // A run that was halted and resumed took longer, never less.
            if let Some(reached) = reached.filter(|_| !self.is_ours()) {
                self.fits(&mut notes, reached, took);
            }
        }
        notes.found
    }

    /// Whether so many sessions fit into so many seconds.
    pub(super) fn fits(&self, notes: &mut Notes<'_>, sessions: u64, took_s: f64) {
        let throttle = self.throttle();
        // The first one waits for nobody.
        let least = sessions.saturating_sub(1) as f64 * 60.0 / throttle as f64;
        if took_s >= 0.0 && took_s + 1.0 < least {
            let what = format!(
                "{sessions} sessions in {took_s:.0} s: at {throttle} a minute they take {least:.0} s"
            );
            notes.add(Kind::Rate, what);
        }
        let Some((call_s, each)) = self.calls() else { return };
        let needed = sessions as f64 * each * call_s;
        if took_s >= 0.0 && took_s + 1.0 < needed * 0.9 {
            let what = format!(
                "{sessions} sessions in {took_s:.0} s: by the logs a call takes {call_s:.1} s, and {:.0} calls one after \
                 the other {needed:.0} s",
                sessions as f64 * each
            );
            notes.add(Kind::Rate, what);
        }
    }

    /// By the logs: how long a call takes, in seconds, and how many a session has. Only where calls never overlap.
    fn calls(&self) -> Option<(f64, f64)> {
        let (mut spans, mut operations, mut sessions) = (Vec::new(), 0_u32, BTreeSet::new());
        for batch in &self.batches {
            for pair in batch.operations.windows(2).filter(|pair| pair[0].session == pair[1].session) {
                let span = seconds(pair[0].at?, pair[1].at?);
                if span < 0.0 {
                    return None;
                }
                spans.push(span);
            }
            // A session that comes again after another one has begun was done beside it.
            let mut order: Vec<&str> = batch.operations.iter().map(|operation| operation.session).collect();
            order.dedup();
            if order.iter().any(|session| !sessions.insert(*session)) {
                return None;
            }
            operations += u32::try_from(batch.operations.len()).ok()?;
        }
        let call_s = crate::stats::median(&mut spans.clone())?;
        (!sessions.is_empty()).then(|| (call_s, f64::from(operations) / sessions.len() as f64))
    }

    /// More sessions begun within a minute than the throttle lets through.
    fn rate(&self) -> Vec<Finding> {
        let mut begun: BTreeMap<&str, (Stamp, &str)> = BTreeMap::new();
        for batch in &self.batches {
            for operation in &batch.operations {
                let Some(at) = operation.at else { continue };
                let first = begun.entry(operation.session).or_insert((at, batch.file.path.as_str()));
                first.0 = first.0.min(at);
            }
        }
        let mut times: Vec<(Stamp, &str)> = begun.into_values().collect();
        times.sort();
        let throttle = self.throttle();
        let width = usize::try_from(throttle).unwrap_or(usize::MAX - 1);
        let burst = times.windows(width + 1).find(|window| seconds(window[0].0, window[width].0) < 60.0);
        burst.map_or_else(Vec::new, |window| {
            let mut notes = Notes::new(window[width].1);
            let took = seconds(window[0].0, window[width].0);
            let what =
                format!("{} sessions begun within {took:.0} s; {throttle} a minute are allowed", width + 1);
            notes.add(Kind::Rate, what);
            notes.found
        })
    }

    /// What the responses say against what the plan promised.
    fn promises(&self) -> Vec<Finding> {
        let Some((_, plan)) = self.plan else { return Vec::new() };
        let promised =
            plan.get("expected_changes").and_then(|all| count(all.get("profiles")?, "updated_rows"));
        let is_update = |operation: &&Operation<'_>| {
            operation.response.get("profile_updated").and_then(Value::as_bool) == Some(true)
        };
        let mut found = Vec::new();
        let updated: Vec<(&Batch<'_>, u64)> = self
            .batches
            .iter()
            .map(|batch| (batch, batch.operations.iter().filter(is_update).count() as u64))
            .filter(|(_, count)| *count > 0)
            .collect();
        let all: u64 = updated.iter().map(|(_, count)| count).sum();
        if let (Some(promised), Some((first, _))) = (promised, updated.first())
            && all > promised
        {
            let mut notes = Notes::new(&first.file.path);
            let what = format!("the logs say that {all} profiles were updated; the plan promised {promised}");
            notes.add(Kind::Contradiction, what);
            found.append(&mut notes.found);
        }
        found
    }
}

fn adds_up(notes: &mut Notes<'_>, name: &str, total: Option<u64>, good: Option<u64>, bad: Option<u64>) {
    if let (Some(total), Some(good), Some(bad)) = (total, good, bad)
        && good.checked_add(bad) != Some(total)
    {
        notes.add(
            Kind::Totals,
            format!("{name} is {total}, and {good} successful and {bad} failed ones are not"),
        );
    }
}

/// Sessions of which a call failed that was not made again with success.
pub(super) fn failed<'f>(operations: impl Iterator<Item = &'f Operation<'f>>) -> BTreeSet<&'f str> {
    let last: BTreeMap<_, _> = operations.map(|one| ((one.session, one.function), one.success)).collect();
    last.into_iter().filter(|(_, success)| !success).map(|((session, _), _)| session).collect()
}

impl<'f> Batch<'f> {
    fn of(file: &'f File) -> Option<Self> {
        let json = file.json.as_ref()?;
        let id = text(json, "batch_id")?;
        let operation = |log: &'f Value| {
            Some(Operation {
                session: text(log, "session_id")?,
                function: text(log, "function").unwrap_or_default(),
                at: time(log, "started_at"),
                success: log.get("success").and_then(Value::as_bool).unwrap_or(false),
                response: log.get("response").unwrap_or(&Value::Null),
            })
        };
        Some(Self {
            file,
            json,
            id,
            operations: list(json, "operations_log").iter().filter_map(operation).collect(),
        })
    }

    fn findings(&self, plan: Option<&Value>) -> Vec<Finding> {
        let mut notes = Notes::new(&self.file.path);
        let number = |name: &str| count(self.json, name);
        let processed = number("sessions_processed");
        let (good, bad) = (number("sessions_successful"), number("sessions_failed"));
        adds_up(&mut notes, "sessions_processed", processed, good, bad);
        let sessions: BTreeSet<&str> = self.operations.iter().map(|operation| operation.session).collect();
        let failed = failed(self.operations.iter());
        let is_ours = text(self.json, "run").is_some();
        let is_other = |processed: &u64| {
            let logged = sessions.len() as u64;
            if is_ours { *processed < logged } else { *processed != logged }
        };
        if let Some(processed) = processed.filter(is_other) {
            notes.add(Kind::Totals, format!("{processed} sessions processed, {} in its log", sessions.len()));
        }
        if let Some(bad) = bad.filter(|bad| *bad < failed.len() as u64) {
            notes.add(
                Kind::Totals,
                format!("{bad} sessions failed, and {} have failed operations", failed.len()),
            );
        }
        self.times(&mut notes);
        let planned = plan.map(|plan| list(plan, "batches")).unwrap_or_default();
        let Some(planned) = planned.iter().find(|batch| text(batch, "batch_id") == Some(self.id)) else {
            if plan.is_some() {
                notes.add(Kind::Contradiction, format!("the plan has no batch `{}`", self.id));
            }
            return notes.found;
        };
        let ids: BTreeSet<&str> = list(planned, "sessions").iter().filter_map(Value::as_str).collect();
        let count = count(planned, "session_count").unwrap_or(ids.len() as u64);
        if let Some(processed) = processed.filter(|processed| *processed != count && !is_ours) {
            notes.add(Kind::Totals, format!("{processed} sessions processed of {count} that were planned"));
        }
        let strange = sessions.iter().filter(|session| !ids.is_empty() && !ids.contains(*session)).count();
        if strange > 0 {
            notes
                .add(Kind::Contradiction, format!("{strange} sessions in its log are not those of the plan"));
        }
        notes.found
    }

    fn times(&self, notes: &mut Notes<'_>) {
        let (start, end) = (time(self.json, "started_at"), time(self.json, "completed_at"));
        if let (Some(start), Some(end)) = (start, end)
            && end < start
        {
            notes.add(Kind::Clock, format!("it ends at {end}, before it starts at {start}"));
            return;
        }
        // A step that is no call has no time of its own in the logs of this toolkit.
        let is_ours = text(self.json, "run").is_some();
        let is_outside = |at: Stamp| start.is_some_and(|start| at < start) || end.is_some_and(|end| at > end);
        let outside = |operation: &&Operation<'_>| operation.at.map_or(!is_ours, is_outside);
        let outside = self.operations.iter().filter(outside).count();
        if outside > 0 {
            notes.add(
                Kind::Clock,
                format!("{outside} operations did not begin between its start and its end"),
            );
        }
    }
}
