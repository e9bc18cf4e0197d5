//! What client and server say to each other, as JSON.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::db::Lineage;
use crate::phases::{AttemptRecord, Candidate, Claim, LeaseKey, PhaseKey, PhaseState, Selection};
use crate::telemetry::{EventRow, Rejection};

/// The header in which a caller names the lineage that it works on.
pub(in crate::work) const LINEAGE: &str = "x-ops-lineage";
/// What a server calls itself.
pub(super) const SERVICE: &str = "ops";

/// Which database a server has opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// `ops`, or it is another service.
    pub service: String,
    /// Version of the API.
    pub format: u32,
    /// As [`crate::identity::Source::url`].
    pub url: String,
    /// As [`crate::identity::Source::fingerprint`].
    pub fingerprint: String,
    /// Where the database comes from.
    pub lineage: Lineage,
}

/// Who is known to be gone; nobody for those whose leases have expired.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Recover {
    pub(super) owner: Option<String>,
}

/// A phase to claim, as it was seen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) phase_pk: i64,
    pub(super) state: PhaseState,
    pub(super) attempts: u64,
    pub(super) owner: String,
    pub(super) lease_ms: u64,
}

/// A lease to renew.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Heartbeat {
    pub(super) lease: LeaseKey,
    pub(super) span_ms: u64,
}

/// Tokens to set aside.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reserve {
    pub(super) lease: LeaseKey,
    pub(super) tokens: u64,
}

/// The end of an attempt.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Completed {
    pub(super) claim: Claim,
    pub(super) record: AttemptRecord,
    pub(super) event: Result<EventRow, Rejection>,
    /// Why there is no event, by the attempt; what the database has against one is its own reason.
    pub(super) zero_yield: String,
}

/// Which session.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OfSession {
    pub(super) session_id: String,
}

/// Which run; all of them without one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct OfRun {
    pub(super) run_id: Option<String>,
}

/// Which phases.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Which {
    pub(super) selection: Selection,
}

/// Nothing to say.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Nothing {}

/// A line of the list of phases. Without an end the list was cut off.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<'a> {
    #[serde(borrow)]
    Phase(Listed<'a>),
    End(u64),
    Failed(String),
}

/// A phase that could be claimed.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listed<'a> {
    pk: i64,
    #[serde(borrow)]
    run: Cow<'a, str>,
    state: PhaseState,
    tier: i64,
    index: i64,
    attempts: u64,
    #[serde(borrow)]
    failure: Option<Cow<'a, str>>,
}

impl<'a> Listed<'a> {
    pub(super) fn of(candidate: &Candidate<'a>) -> Self {
        Self {
            pk: candidate.phase_pk,
            run: Cow::Borrowed(candidate.run_id),
            state: candidate.state,
            tier: candidate.tier_index,
            index: candidate.phase_index,
            attempts: candidate.attempts,
            failure: candidate.last_failure.map(Cow::Borrowed),
        }
    }

    pub(super) fn candidate(&self) -> Candidate<'_> {
        Candidate {
            phase_pk: self.pk,
            run_id: &self.run,
            state: self.state,
            tier_index: self.tier,
            phase_index: self.index,
            attempts: self.attempts,
            last_failure: self.failure.as_deref(),
        }
    }
}

/// Why a call was not answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Problem {
    pub(super) error: String,
    /// The lease on this phase was lost; nothing was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<PhaseKey>,
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
