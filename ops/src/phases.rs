//! Runs, phases and attempts as workflows see them: the [`Store`] that a driver implements.
//!
//! A *run* owns *tiers*, a tier owns *phases*; a phase is one unit of work that an executor attempts.
//! A phase is claimed by key with a lease (owner, expiry, fencing token). Only the holder of the lease can
//! finish or release it; everybody else gets [`StoreError::LeaseLost`] and changes nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::clock::Stamp;
use crate::db::DbError;
use crate::fingerprint::Fingerprint;
use crate::telemetry::{EventRow, Rejection};
use crate::text;

/// Names one phase.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PhaseKey {
    /// The run.
    pub run_id: String,
    /// The phase within the run.
    pub phase_id: String,
}

impl fmt::Display for PhaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run_id, self.phase_id)
    }
}

/// What a phase may touch and must deliver; the JSON column `scope`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Directories and files that it may write.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Files that it may read.
    #[serde(default)]
    pub read_only_context: Vec<String>,
    /// Files that it must write, relative to its workspace.
    #[serde(default, deserialize_with = "files")]
    pub deliverables: Vec<String>,
    /// The catalogue entry that it was seeded from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
}

impl Scope {
    /// Reads the column. An empty one and JSON's `null` are no scope at all.
    pub(crate) fn parse(json: &[u8]) -> Result<Option<Self>, String> {
        match json.trim_ascii() {
            [] | b"null" => Ok(None),
            // Without this, an array would be taken for the fields in their order.
            object if object.starts_with(b"{") => {
                serde_json::from_slice(object).map(Some).map_err(|error| error.to_string())
            }
            _ => Err("it is not a JSON object".to_owned()),
        }
    }
}

/// Files in any shape that a backlog has: one, several, by what they are for (`{"code": [...], "tests": [...]}`), or each
/// with what is said of it (`{"path": ..., "description": ...}`).
fn files<'de, D: Deserializer<'de>>(column: D) -> Result<Vec<String>, D::Error> {
    let mut files = Vec::new();
    flatten(&Value::deserialize(column)?, &mut files).map_err(D::Error::custom)?;
    Ok(files)
}

fn flatten(value: &Value, files: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Null => Ok(()),
        Value::String(file) => {
            files.push(file.clone());
            Ok(())
        }
        Value::Array(values) => values.iter().try_for_each(|value| flatten(value, files)),
        Value::Object(fields) => match fields.get("path") {
            Some(path) => flatten(path, files),
            None => fields.values().try_for_each(|value| flatten(value, files)),
        },
        Value::Bool(_) | Value::Number(_) => Err(format!("a deliverable is {value}, which names no file")),
    }
}

/// Which phases a drain may claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Only phases of these runs; all runs when empty.
    pub run_ids: Vec<String>,
    /// No phases of runs whose id begins so.
    pub skip_prefixes: Vec<String>,
    /// Only phases in these states.
    pub states: Vec<PhaseState>,
}

impl Default for Selection {
    fn default() -> Self {
        Self { run_ids: Vec::new(), skip_prefixes: Vec::new(), states: vec![PhaseState::Queued] }
    }
}

impl Selection {
    /// Whether phases of this run are wanted.
    pub fn takes_run(&self, run_id: &str) -> bool {
        (self.run_ids.is_empty() || self.run_ids.iter().any(|id| id == run_id))
            && !self.skip_prefixes.iter().any(|prefix| run_id.starts_with(prefix.as_str()))
    }

    /// Whether phases in this state are wanted.
    pub fn takes_state(&self, state: PhaseState) -> bool {
        self.states.contains(&state)
    }
}

/// A phase that could be claimed, as much of it as choosing needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its row.
    pub phase_pk: i64,
    /// Its run.
    pub run_id: &'a str,
    /// Its state.
    pub state: PhaseState,
    /// Place of its tier in the run; 0 where that is not known.
    pub tier_index: i64,
    /// Its place in the run or tier; 0 where that is not known. Not unique in runs of earlier programs.
    pub phase_index: i64,
    /// Attempts that its row counts.
    pub attempts: u64,
    /// Why its last attempt failed.
    pub last_failure: Option<&'a str>,
}

/// A phase that this process holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Which phase.
    pub key: PhaseKey,
    /// Its row.
    pub phase_pk: i64,
    /// The state that it was claimed from, and that it returns to when the claim is given back.
    pub prior: PhaseState,
    /// Grows with every claim of the phase; a write with an older token is refused.
    pub fencing_token: i64,
    /// Who holds it.
    pub owner: String,
    /// Its name.
    pub name: String,
    /// What to do.
    pub description: String,
    /// Category as stored.
    pub category: String,
    /// Complexity as stored.
    pub complexity: String,
    /// What it may touch and must deliver.
    pub scope: Scope,
    /// Why `scope` could not be read, and is empty; such a phase cannot be attempted in earnest.
    pub scope_error: Option<String>,
    /// Number of this attempt, from 1.
    pub attempt: u64,
    /// Attempts that ended well so far.
    pub successes: u64,
    /// Attempts that did not.
    pub failures: u64,
    /// Attempts of any phase of the same template so far, this one not counted.
    pub template_attempts: u64,
    /// Tokens that its run may still use; `None` where the run is not known.
    pub tokens_left: Option<u64>,
    /// The budget that an earlier attempt raised, in output tokens.
    pub raised_budget: Option<u64>,
    /// How many attempts must end well before the phase is complete.
    pub samples_target: u64,
    /// How many attempts may fail before the phase has failed.
    pub failures_max: u64,
}

impl Claim {
    /// Takes in the column `scope`, or why it cannot be read.
    pub(crate) fn read_scope(&mut self, column: Option<&[u8]>) {
        match column.map_or(Ok(None), Scope::parse) {
            Ok(scope) => self.scope = scope.unwrap_or_default(),
            Err(error) => self.scope_error = Some(format!("the column `scope` is not a scope: {error}")),
        }
    }

    /// What names its lease.
    pub fn lease(&self) -> LeaseKey {
        LeaseKey {
            key: self.key.clone(),
            phase_pk: self.phase_pk,
            owner: self.owner.clone(),
            fencing_token: self.fencing_token,
        }
    }
}

/// Names the lease of a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseKey {
    /// Which phase.
    pub key: PhaseKey,
    /// Its row.
    pub phase_pk: i64,
    /// Who holds it.
    pub owner: String,
    /// The token that the claim was made with.
    pub fencing_token: i64,
}

/// Where a phase stands after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PhaseState {
    /// Waits for its next attempt.
    Queued,
    /// Done.
    Complete,
    /// Given up.
    Failed,
}

impl PhaseState {
    /// As the column spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "QUEUED",
            Self::Complete => "COMPLETE",
            Self::Failed => "FAILED",
        }
    }

    /// Reads what the column spells; `None` for the states of phases that nobody may claim.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Queued, Self::Complete, Self::Failed].into_iter().find(|state| state.as_str() == text)
    }
}

/// The one account of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The drain that made it.
    pub session_id: String,
    /// How it ended: `success`, `failed`, `truncated` or `timed_out`.
    pub outcome: Cow<'static, str>,
    /// Why, as a stable word; `None` for success.
    pub reason: Option<Cow<'static, str>>,
    /// Why, for people.
    pub detail: Option<String>,
    /// Which executor.
    pub outcome_source: Cow<'static, str>,
    /// Whether the deliverables were verified.
    pub verified: bool,
    /// Where the phase stands now.
    pub state: PhaseState,
    /// Tokens that the attempt used, input and output.
    pub tokens_used: u64,
    /// How far it came, as JSON.
    pub milestones: String,
    /// What identifies its failure.
    pub fingerprint: Option<Fingerprint>,
    /// The budget that it raised.
    pub escalation: Option<Escalation>,
    /// When it began.
    #[serde(with = "crate::clock::exact")]
    pub started_at: Stamp,
    /// When it ended.
    #[serde(with = "crate::clock::exact")]
    pub finished_at: Stamp,
}

impl AttemptRecord {
    /// Why the attempt failed, as the phase's row keeps it; `None` for a success.
    pub(crate) fn failure(&self) -> Option<String> {
        self.reason.as_ref().map(|reason| {
            let detail = self.detail.as_deref().unwrap_or_default();
            text::ellipsis(&format!("{}: {detail}", reason.to_uppercase()), 1000)
        })
    }

    /// What its fingerprint was made of, as JSON; the raw text is in the account.
    pub(crate) fn explained(&self) -> Option<String> {
        self.fingerprint.as_ref().map(|found| explained(found).to_string())
    }
}

/// A budget that was raised because an answer did not fit. All numbers but the last are output tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// Whether the answer was cut off; else it came close to its ceiling and was of no use.
    pub was_truncated: bool,
    /// The budget that was chosen.
    pub selected_budget: u64,
    /// The ceiling that was in force.
    pub actual_max_tokens: Option<u64>,
    /// What the answer had.
    pub tokens_used: Option<u64>,
    /// The largest of the three, which the new budget is made from.
    pub base_value: u64,
    /// Which of them that is.
    pub base_source: Cow<'static, str>,
    /// The new budget.
    pub retry_max_tokens: u64,
}

impl Escalation {
    /// How much larger a raised budget is.
    pub const FACTOR: f64 = 1.25;

    /// Why it was raised.
    pub(crate) fn reason(&self) -> &'static str {
        if self.was_truncated { "truncation" } else { "utilization" }
    }

    /// What the answer had in percent of its ceiling.
    pub(crate) fn utilization(&self) -> Option<f64> {
        let ceiling = self.actual_max_tokens.unwrap_or(self.selected_budget);
        self.tokens_used.filter(|_| ceiling > 0).map(|used| used as f64 * 100.0 / ceiling as f64)
    }
}

/// What became of the attempt's event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventWrite {
    /// It is in the database, under this number.
    Written(i64),
    /// It is not, and why.
    NotWritten(Rejection),
}

/// A run to seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Its id.
    pub run_id: String,
    /// What it is for.
    pub goal: String,
    /// Tokens it may use.
    pub token_cap: u64,
    /// Phases it may have.
    pub phases_max: u64,
    /// Minutes it may take.
    pub duration_minutes_max: u64,
    /// Name of its one tier.
    pub tier_name: String,
    /// Its phases, in order.
    pub phases: Vec<NewPhase>,
}

/// A phase to seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPhase {
    /// Its id within the run.
    pub phase_id: String,
    /// Its name.
    pub name: String,
    /// What to do.
    pub description: String,
    /// Category as the catalogue spells it.
    pub category: String,
    /// Complexity as the catalogue spells it.
    pub complexity: String,
    /// What it may touch and must deliver.
    pub scope: Scope,
    /// How many attempts must end well.
    pub samples_target: u64,
}

/// How the phases of a run split, as counted in the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// All phases.
    pub phases: u64,
    /// By category.
    pub by_category: BTreeMap<String, u64>,
    /// By complexity.
    pub by_complexity: BTreeMap<String, u64>,
    /// By `category/complexity`.
    pub by_stratum: BTreeMap<String, u64>,
    /// By number of deliverables.
    pub by_deliverables: BTreeMap<u64, u64>,
    /// By state.
    pub by_state: BTreeMap<String, u64>,
}

/// Usable samples of one stratum: successful, verified, not truncated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StratumCount {
    /// Category as stored.
    pub category: String,
    /// Complexity as stored.
    pub complexity: String,
    /// Number of deliverables.
    pub deliverables: u64,
    /// How many samples.
    pub samples: u64,
}

/// How a backlog stands at one moment, for people who watch it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// How many runs there are.
    pub run_count: u64,
    /// Those that changed last.
    pub runs: Vec<RunOverview>,
    /// All phases by state.
    pub by_state: BTreeMap<String, u64>,
    /// Who holds phases.
    pub sessions: Vec<SessionOverview>,
    /// What became of the events of the last attempts.
    pub telemetry: BTreeMap<String, u64>,
}

/// A run in an [`Overview`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunOverview {
    /// Its id.
    pub run_id: String,
    /// Its own state.
    pub state: String,
    /// Its phases by state.
    pub by_state: BTreeMap<String, u64>,
}

/// A session in an [`Overview`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionOverview {
    /// Who holds the leases.
    pub owner: String,
    /// The session; `None` before its first attempt has ended.
    pub session_id: Option<String>,
    /// Phases that it holds now.
    pub in_work: u64,
    /// How many of the last attempts were its.
    pub attempts: u64,
    /// How many of these yielded an event.
    pub events: u64,
}

impl Overview {
    /// Runs that are listed.
    pub const RUNS_MAX: u64 = 200;
    /// Attempts that count as the last ones.
    pub const ATTEMPTS_MAX: u64 = 1000;

    /// Counts phases of a run that is listed.
    pub(crate) fn add(&mut self, run_id: &str, state: String, count: u64) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.run_id == run_id) {
            run.by_state.insert(state, count);
        }
    }
}

/// Why the tables could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another owner has the phase by now, or it left the state EXECUTING.
    #[error("the lease on {0} was lost; nothing was written")]
    LeaseLost(PhaseKey),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// An attempt of a session that the database has the account of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountedAttempt {
    /// Row of its phase.
    pub phase_pk: i64,
    /// Its phase.
    pub key: PhaseKey,
    /// Which attempt at it.
    pub attempt: u64,
    /// How it ended.
    pub outcome: String,
    /// Why, as a stable word.
    pub reason: Option<String>,
    /// Why, for people.
    pub detail: Option<String>,
    /// `written`, or why its event was not.
    pub telemetry: String,
    /// Why it yielded no event.
    pub zero_yield: Option<String>,
    /// How far it came, as JSON.
    pub milestones: Option<String>,
    /// What identifies its failure: short name, template, whether it can be systemic.
    pub fingerprint: Option<(String, String, bool)>,
    /// Where the phase stands now; `None` for a state that no account leaves.
    pub state: Option<PhaseState>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl AccountedAttempt {
    /// Names its fingerprint by what the database keeps of it: the short name, and what explains it.
    pub(crate) fn explain(&mut self, fingerprint: Option<String>, explained: Option<&str>) {
        let explained: serde_json::Value =
            explained.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let template = explained["template"].as_str().unwrap_or_default().to_owned();
        let is_systemic = explained["is_systemic"].as_bool().unwrap_or_default();
        self.fingerprint = fingerprint.map(|id| (id, template, is_systemic));
    }
}

/// A failure whose fingerprint is of another version of the normaliser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedFailure {
    /// Its account.
    pub attempt_id: i64,
    /// Its phase.
    pub key: PhaseKey,
    /// How the attempt ended.
    pub outcome: String,
    /// The raw text.
    pub detail: Option<String>,
    /// How far it came, as JSON.
    pub milestones: Option<String>,
    /// The fingerprint that it has.
    pub fingerprint: String,
    /// The version of that.
    pub version: u32,
    /// What that was made of, as JSON.
    pub explained: Option<String>,
}

/// What a failure is keyed as now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyedAnew {
    /// Its account.
    pub attempt_id: i64,
    /// The fingerprint that it had.
    pub was: String,
    /// The version of that.
    pub was_version: u32,
    /// The one that it has now.
    pub fingerprint: Fingerprint,
}

impl KeyedAnew {
    /// What the fingerprint is made of, and which one it follows, as JSON.
    pub(crate) fn explained(&self) -> String {
        let mut explained = explained(&self.fingerprint);
        explained["was"] = serde_json::json!({ "fingerprint": self.was, "version": self.was_version });
        explained.to_string()
    }
}

/// What a fingerprint is made of; the raw text is in the account.
fn explained(fingerprint: &Fingerprint) -> serde_json::Value {
    serde_json::json!({
        "key": fingerprint.key,
        "template": fingerprint.template,
        "is_systemic": fingerprint.is_systemic,
        "parameters": fingerprint.parameters,
    })
}

/// The tables of runs, phases, leases, attempts and events.
///
/// `now` is what time it is for a database without a clock of its own. A server's clock is everybody's: there it decides
/// which lease has expired, whatever the machines think.
pub trait Store: Send {
    /// Puts phases whose lease has expired back to the state that they were claimed from, and says which.
    fn recover_stale(&mut self, now: Stamp) -> Result<Vec<PhaseKey>, StoreError>;

    /// Puts back what this owner holds, who is known to be gone, and says which.
    fn recover_from(&mut self, owner: &str, now: Stamp) -> Result<Vec<PhaseKey>, StoreError>;

    /// How many phases are in the wanted states.
    fn waiting(&mut self, selection: &Selection) -> Result<u64, StoreError>;

    /// How many phases are being worked on, by anyone.
    fn executing(&mut self, selection: &Selection) -> Result<u64, StoreError>;

    /// Owners of leases that have not expired.
    fn live_owners(&mut self, now: Stamp) -> Result<Vec<String>, StoreError>;

    /// Hands out every phase that could be claimed, in no particular order, without holding more than one.
    fn candidates(
        &mut self,
        selection: &Selection,
        each: &mut dyn FnMut(Candidate<'_>),
    ) -> Result<(), StoreError>;

    /// Claims this phase if it still is in this state and has had so many attempts; `None` when it is not, because
    /// somebody else was faster.
    fn claim(
        &mut self,
        phase_pk: i64,
        seen: (PhaseState, u64),
        owner: &str,
        now: Stamp,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError>;

    /// Makes a lease that is still held last `span` from now on; it is never shortened.
    fn renew(&mut self, lease: &LeaseKey, now: Stamp, span: Duration) -> Result<(), StoreError>;

    /// Sets tokens aside for the holder of a lease, in place of what it had set aside before; `Some` is what the cap of the
    /// run leaves, and then nothing is set aside. Others that share the run see it at once. They are free again when the
    /// lease ends; of one that is taken away they count as used, because they may have been.
    fn reserve(&mut self, lease: &LeaseKey, tokens: u64) -> Result<Option<u64>, StoreError>;

    /// The attempts of a session that are accounted for, oldest first.
    fn session_attempts(&mut self, session_id: &str) -> Result<Vec<AccountedAttempt>, StoreError>;

    /// Gives a claim back as if it had not been made.
    fn release(&mut self, claim: &Claim, now: Stamp) -> Result<(), StoreError>;

    /// Ends an attempt: its account, its event and the state of the phase in one transaction. An event that
    /// the database rejects is not an error; the reason comes back. `zero_yield` names what the account says of an
    /// attempt without an event.
    fn finish(
        &mut self,
        claim: &Claim,
        record: &AttemptRecord,
        event: Result<&EventRow, Rejection>,
        zero_yield: &dyn Fn(&Rejection) -> &'static str,
    ) -> Result<EventWrite, StoreError>;

    /// Failures whose fingerprint is of another version than this, in the order of their accounts, after this one.
    fn keyed_otherwise(
        &mut self,
        version: u32,
        after: i64,
        limit: u32,
    ) -> Result<Vec<KeyedFailure>, StoreError>;

    /// Gives failures that still have the fingerprint that was seen their new one, all or none.
    fn key_anew(&mut self, failures: &[KeyedAnew]) -> Result<(), StoreError>;

    /// Marks the runs whose phases have all ended.
    fn settle_runs(&mut self, now: Stamp) -> Result<(), StoreError>;

    /// Inserts a run with its tier and phases, or nothing; `false` when the run exists already.
    fn insert_run(&mut self, run: &NewRun, now: Stamp) -> Result<bool, StoreError>;

    /// The ids of all runs, sorted.
    fn run_ids(&mut self) -> Result<Vec<String>, StoreError>;

    /// How the phases split: of one run, or of all.
    fn distribution(&mut self, run_id: Option<&str>) -> Result<Distribution, StoreError>;

    /// How the backlog stands.
    fn overview(&mut self, now: Stamp) -> Result<Overview, StoreError>;

    /// Usable samples by stratum.
    fn sample_counts(&mut self) -> Result<Vec<StratumCount>, StoreError>;
}
