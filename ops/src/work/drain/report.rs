//! What a session did, for people and for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use super::hub::Outcome;
use super::journal::Cut;
use super::tally::{Failure, RunAccount};
use super::{Policy, Settings};
use crate::clock::Stamp;
use crate::ledger::Ledger;
use crate::phases::{PhaseKey, PhaseState};
use crate::report::{Align, Document, Table, number};
use crate::stats::{self, binomial};
use crate::text::{self, plural, thousands};

/// At most this many runs and skips are listed; all are counted.
const LISTED_MAX: usize = 100;
/// Fingerprints that are listed, the most frequent first.
const FINGERPRINTS_MAX: usize = 20;
/// The chance that the bound of a hold-out is too low.
const ERROR_RATE: f64 = 0.05;

/// The account of one session. All ledgers must balance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrainReport {
    /// Version of this JSON document.
    pub format: u32,
    /// Name of the session in the database.
    pub session_id: String,
    /// Which database.
    pub database: String,
    /// Which executor.
    pub executor: &'static str,
    /// What the session was allowed to do.
    pub settings: Settings,
    /// Why telemetry is on or off.
    pub telemetry: String,
    /// When this process began.
    pub started_at: Stamp,
    /// When it ended.
    pub finished_at: Stamp,
    /// How long the session has worked, over all its processes, in milliseconds.
    pub worked_ms: u64,
    /// How often the session was taken up again.
    pub resumed: u64,
    /// What was not whole at the end of the journal, and was cut off.
    pub cut: Option<Cut>,
    /// Phases whose lease had expired, or whose worker was known to be gone, and that were put back first.
    pub recovered: Vec<PhaseKey>,
    /// Attempts by outcome.
    pub attempts: Ledger,
    /// One event an attempt: `written`, or the reason why not.
    pub events: Ledger,
    /// Attempts without an event by reason.
    pub zero_yield: Ledger,
    /// Attempts by whether a model was asked.
    pub asked_model: Ledger,
    /// Tokens of all attempts, input and output, where they were counted.
    pub tokens: u64,
    /// Events a minute of attempts.
    pub yields: Yields,
    /// Phases that became COMPLETE.
    pub phases_completed: u64,
    /// Phases that became or stayed FAILED.
    pub phases_failed: u64,
    /// Phases in the wanted states.
    pub left_waiting: u64,
    /// Phases that others work on, or whose worker is gone and whose lease has not yet expired.
    pub left_executing: u64,
    /// Why it ended before nothing waited: `interrupted`, `stop_requested` or a limit.
    pub stopped: Option<&'static str>,
    /// Phases that were not attempted, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Phases that were attempted and would have been again, by reason.
    pub cut_short: BTreeMap<&'static str, u64>,
    /// The runs with phases that were not attempted, the first 100 by id.
    pub skipped_runs: Vec<SkippedRun>,
    /// What the phases say that were attempted though their run was stopped.
    pub hold_out: HoldOut,
    /// How often a success opened again what was stopped.
    pub reopened: u64,
    /// How often a run was stopped because its fingerprint came too often.
    pub repeat_hits: u64,
    /// Different fingerprints.
    pub unique_fingerprints: u64,
    /// The most frequent ones.
    pub fingerprints: Vec<ClusterAccount>,
    /// Runs that were attempted.
    pub run_count: u64,
    /// What they came to, the first 100 by id.
    pub runs: BTreeMap<String, RunAccount>,
    /// Attempts that were no success, the first 100.
    pub failures: Vec<Failure>,
    /// Doubtful data, the first 100.
    pub warnings: Vec<String>,
    /// All warnings, listed or not.
    pub warning_count: u64,
    /// What the next session could do otherwise.
    pub advice: Vec<String>,
}

/// How much attempts yielded.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Yields {
    /// Events over the time of all attempts.
    pub overall: Option<f64>,
    /// Median over the attempts that left an event.
    pub median: Option<f64>,
    /// 90th percentile of these.
    pub p90: Option<f64>,
    /// The most.
    pub max: Option<f64>,
}

/// A run with phases that were not attempted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedRun {
    /// The run.
    pub run_id: String,
    /// Why it was stopped.
    pub reason: &'static str,
    /// How many of its phases were not attempted.
    pub phases: u64,
}

/// The test of what was skipped.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct HoldOut {
    /// Phases that triage skipped.
    pub skipped: u64,
    /// Attempts in stopped runs.
    pub attempted: u64,
    /// Those worth something.
    pub yielded: u64,
    /// At most this share of the skipped phases would have yielded, in percent, with 95 % confidence; `None` without a
    /// hold-out.
    pub at_most_percent: Option<f64>,
}

impl HoldOut {
    /// What `attempted` phases, chosen at random among those that a stop concerns, say of the `skipped` others.
    pub fn new(skipped: u64, attempted: u64, yielded: u64) -> Self {
        let bound = (attempted > 0).then(|| binomial::upper(yielded, attempted, ERROR_RATE) * 100.0);
        Self { skipped, attempted, yielded, at_most_percent: bound }
    }

    /// As a sentence.
    pub fn sentence(&self) -> String {
        let skipped = thousands(self.skipped);
        match self.at_most_percent {
            None => format!(
                "skipped {skipped}; none was held out, so nothing bounds what they would have yielded"
            ),
            Some(percent) => format!(
                "skipped {skipped}; of {} held out {} yielded: at most {percent:.0} % would have (95 %)",
                thousands(self.attempted),
                thousands(self.yielded)
            ),
        }
    }
}

/// A cluster of failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterAccount {
    /// Its fingerprint.
    pub fingerprint: String,
    /// What the failures have in common.
    pub template: String,
    /// How many attempts ended so.
    pub failures: u64,
    /// In how many runs, since it was last open.
    pub runs: u64,
    /// Whether it was stopped as systemic.
    pub is_stopped: bool,
}

impl DrainReport {
    pub(super) fn new(policy: &Policy, executor: &'static str, now: Stamp) -> Self {
        Self {
            format: 2,
            session_id: policy.session_id.clone(),
            database: policy.database.clone(),
            executor,
            settings: policy.settings.clone(),
            telemetry: policy.telemetry.explain(),
            started_at: now,
            finished_at: now,
            worked_ms: 0,
            resumed: 0,
            cut: None,
            recovered: Vec::new(),
            attempts: Ledger::default(),
            events: Ledger::default(),
            zero_yield: Ledger::default(),
            asked_model: Ledger::default(),
            tokens: 0,
            yields: Yields::default(),
            phases_completed: 0,
            phases_failed: 0,
            left_waiting: 0,
            left_executing: 0,
            stopped: None,
            skipped: BTreeMap::new(),
            cut_short: BTreeMap::new(),
            skipped_runs: Vec::new(),
            hold_out: HoldOut::default(),
            reopened: 0,
            repeat_hits: 0,
            unique_fingerprints: 0,
            fingerprints: Vec::new(),
            run_count: 0,
            runs: BTreeMap::new(),
            failures: Vec::new(),
            warnings: Vec::new(),
            warning_count: 0,
            advice: Vec::new(),
        }
    }

    /// Takes in what the session came to.
    pub(super) fn close(&mut self, outcome: Outcome) {
        let Outcome { session, stopped } = outcome;
        self.stopped = stopped;
        self.worked_ms = session.worked_ms;
        self.skipped = session.skips();
        self.cut_short = session.cut_short();
        let skipped = session.queue.runs.iter().filter(|run| run.skipped() > 0).map(|run| SkippedRun {
            run_id: run.id.clone(),
            reason: run.stopped.unwrap_or("stopped"),
            phases: run.skipped(),
        });
        self.skipped_runs = skipped.collect();
        self.skipped_runs.sort_by(|a, b| a.run_id.cmp(&b.run_id));
        self.skipped_runs.truncate(LISTED_MAX);
        let by_triage = ["systemic", "presumed_systemic", "price"];
        let skipped = by_triage.iter().filter_map(|reason| self.skipped.get(reason)).sum();
        let (attempted, yielded) = session.tally.held_out;
        self.hold_out = HoldOut::new(skipped, attempted, yielded);
        self.unique_fingerprints = session.triage.clusters.len() as u64;
        let clusters = session.triage.clusters.into_iter().map(|(fingerprint, cluster)| ClusterAccount {
            fingerprint,
            template: cluster.template,
            failures: cluster.failures,
            runs: cluster.runs.len() as u64,
            is_stopped: cluster.is_stopped,
        });
        self.fingerprints = clusters.collect();
        self.fingerprints.sort_by_key(|cluster| std::cmp::Reverse(cluster.failures));
        self.fingerprints.truncate(FINGERPRINTS_MAX);
        let mut tally = session.tally;
        let events = tally.events.count("written");
        let [median, p90, max] = [0.5, 0.9, 1.0].map(|p| stats::percentile(&mut tally.yields, p));
        let minutes = tally.took_ms as f64 / 60_000.0;
        self.yields = Yields { overall: (minutes > 0.0).then(|| events as f64 / minutes), median, p90, max };
        self.attempts = tally.attempts;
        self.events = tally.events;
        self.zero_yield = tally.zero_yield;
        self.asked_model = tally.asked_model;
        self.tokens = tally.tokens;
        self.phases_completed = tally.phases_completed;
        self.phases_failed = tally.phases_failed;
        self.reopened = tally.reopened;
        self.repeat_hits = tally.repeat_hits;
        self.run_count = tally.runs.len() as u64;
        self.runs = tally.runs.into_iter().take(LISTED_MAX).collect();
        self.failures = tally.failures;
        self.warnings = tally.warnings;
        self.warning_count = tally.warning_count;
        self.advise();
    }

    /// Whether every attempt has one outcome and one account of its event, and each without one has a reason.
    pub fn balances(&self) -> bool {
        let unwritten = self.events.total - self.events.count("written") - self.events.count("lease_lost");
        [&self.attempts, &self.events, &self.zero_yield].iter().all(|ledger| ledger.balances())
            && self.attempts.total == self.events.total
            && self.zero_yield.total == unwritten
    }

    fn advise(&mut self) {
        let total = self.attempts.total;
        if total < 5 {
            return;
        }
        let share = |count: u64| count as f64 / total as f64;
        if share(self.attempts.count("timed_out")) > 0.3 {
            self.advice.push("more than 30 % ran out of time: a longer --timeout may pay".to_owned());
        }
        if share(self.zero_yield.count("count_unknown")) > 0.3 {
            self.advice.push(
                "more than 30 % say nothing of tokens: have the program record milestones and output_tokens"
                    .to_owned(),
            );
        }
        let stopped = self.skipped_runs.len() as u64;
        if stopped > 0 && stopped * 2 > self.run_count {
            self.advice
                .push("more than half of the runs were stopped: look at the fingerprints first".to_owned());
        }
    }

    /// The account as a report.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        document.heading(2, "Drain");
        document.facts(self.facts());
        if self.zero_yield.total > 0 {
            document.text("Attempts without an event, by reason:");
            document.table(self.zero_yield_table());
        }
        if !self.skipped_runs.is_empty() {
            document.text("Runs with phases that were not attempted:");
            document.table(self.skipped_table());
        }
        if !self.fingerprints.is_empty() {
            document.text("What failures have in common:");
            document.table(self.fingerprint_table());
        }
        if self.run_count > 1 {
            document.table(self.run_table());
        }
        if !self.failures.is_empty() {
            let unsuccessful = self.attempts.total - self.attempts.count("success");
            document.text(format!("{} without success:", plural(unsuccessful, "attempt")));
            document.table(self.failure_table());
        }
        for warning in &self.warnings {
            document.text(format!("warning: {warning}"));
        }
        for advice in &self.advice {
            document.text(format!("advice: {advice}"));
        }
        document
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![
            ("session", format!("{}, executor {}", self.session_id, self.executor)),
            ("attempts", self.attempts.equation()),
            ("events", self.events.equation()),
            (
                "phases",
                format!(
                    "{} completed, {} failed, {} still waiting",
                    thousands(self.phases_completed),
                    thousands(self.phases_failed),
                    thousands(self.left_waiting)
                ),
            ),
            ("telemetry", self.telemetry.clone()),
        ];
        if let Some(overall) = self.yields.overall {
            let [median, p90, max] =
                [self.yields.median, self.yields.p90, self.yields.max].map(|v| number(v, 2));
            facts.push((
                "yield",
                format!("{overall:.2} events a minute; median {median}, p90 {p90}, most {max}"),
            ));
        }
        if self.attempts.total > 0 && self.asked_model.count("unknown") < self.asked_model.total {
            facts.push(("asked a model", self.asked_model.equation()));
        }
        if self.resumed > 0 {
            let worked = self.worked_ms / 1000;
            facts.push(("resumed", format!("{}, {worked} s worked in all", plural(self.resumed, "time"))));
        }
        if let Some(cut) = &self.cut {
            let from = format!("{} cut off the journal from line {}", text::bytes(cut.bytes), cut.line);
            facts.push(("journal", from));
        }
        if self.left_executing > 0 {
            facts.push((
                "executing",
                format!("{} under a lease of another drain", plural(self.left_executing, "phase")),
            ));
        }
        if !self.recovered.is_empty() {
            facts.push((
                "recovered",
                format!("{} with an expired lease", plural(self.recovered.len() as u64, "phase")),
            ));
        }
        if self.hold_out.skipped > 0 || self.hold_out.attempted > 0 {
            facts.push(("triage", self.hold_out.sentence()));
        }
        if self.attempts.total == 0 && self.stopped.is_none() {
            let states: Vec<&str> =
                self.settings.selection.states.iter().map(|state| state.as_str()).collect();
            facts.push(("nothing to do", format!("no phase is {}", states.join(" or "))));
        }
        if let Some(stopped) = self.stopped {
            facts.push(("stopped", stopped.replace('_', " ")));
        }
        facts
    }

    fn zero_yield_table(&self) -> Table {
        let mut table = Table::new([("reason", Align::Left), ("attempts", Align::Right)]);
        let mut reasons: Vec<_> = self.zero_yield.ended.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        for (reason, count) in reasons {
            table.row([reason.replace('_', " "), thousands(*count)]);
        }
        table
    }

    fn skipped_table(&self) -> Table {
        let mut table = Table::new([("run", Align::Left), ("why", Align::Left), ("phases", Align::Right)]);
        for run in &self.skipped_runs {
            table.row([run.run_id.clone(), run.reason.replace('_', " "), thousands(run.phases)]);
        }
        table
    }

    fn fingerprint_table(&self) -> Table {
        let mut table = Table::new([
            ("fingerprint", Align::Left),
            ("failures", Align::Right),
            ("runs", Align::Right),
            ("stopped", Align::Left),
            ("template", Align::Left),
        ]);
        for cluster in &self.fingerprints {
            table.row([
                cluster.fingerprint.clone(),
                thousands(cluster.failures),
                thousands(cluster.runs),
                if cluster.is_stopped { "yes" } else { "no" }.to_owned(),
                text::ellipsis(&cluster.template, 100),
            ]);
        }
        table
    }

    fn run_table(&self) -> Table {
        let columns = ["attempts", "successes", "timeouts", "events"].map(|name| (name, Align::Right));
        let mut table = Table::new([("run", Align::Left)].into_iter().chain(columns));
        for (run, account) in &self.runs {
            let counts =
                [account.attempts, account.successes, account.timeouts, account.events].map(thousands);
            table.row([run.clone()].into_iter().chain(counts));
        }
        table
    }

    fn failure_table(&self) -> Table {
        let mut table = Table::new([
            ("phase", Align::Left),
            ("attempt", Align::Right),
            ("outcome", Align::Left),
            ("why", Align::Left),
            ("phase is now", Align::Left),
        ]);
        for failure in &self.failures {
            table.row([
                failure.phase.phase_id.clone(),
                failure.attempt.to_string(),
                failure.outcome.replace('_', " "),
                format!("{}: {}", failure.reason.replace('_', " "), failure.detail),
                PhaseState::as_str(failure.state).to_owned(),
            ]);
        }
        table
    }
}
