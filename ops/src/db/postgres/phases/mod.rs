//! The toolkit's tables in PostgreSQL, for workers on many machines.
//!
//! Every change is one transaction. A claim locks its phase and passes over what another holds; everything that ends a
//! claim locks phase and lease, in that order, and compares owner and fencing token, so a worker that lost its lease
//! changes nothing. The server's clock decides what has expired. A worker that is suspended inside a transaction loses
//! its connection, and with it its locks.

mod finish;
mod link;
mod migrator;
mod overview;
mod seed;

use std::time::Duration;

use ::postgres::types::ToSql;

use self::link::{Failure, Link, Patient};
pub use self::migrator::{PostgresMigrateError, PostgresMigrated, migrate, pending};
use crate::clock::Stamp;
use crate::db::DbError;
use crate::phases::{
    AccountedAttempt, AttemptRecord, Candidate, Claim, Distribution, EventWrite, KeyedAnew, KeyedFailure,
    LeaseKey, NewRun, Overview, PhaseKey, PhaseState, Scope, Selection, Store, StoreError, StratumCount,
};
use crate::telemetry::{EventRow, Rejection};
use crate::url::PostgresUrl;

/// An open database whose migrations are all applied.
#[derive(Debug)]
pub struct PostgresStore {
    patient: Patient,
}

impl PostgresStore {
    /// Connects to an existing database for work.
    pub fn open(url: &PostgresUrl) -> Result<Self, DbError> {
        let mut patient = Patient::new(url.clone());
        patient.connect().map_err(|cause| DbError::new("connect to PostgreSQL", cause))?;
        Ok(Self { patient })
    }
}

/// A phase in the state that was seen, with the attempts that were seen; one that another locks is another's.
const CLAIM: &str = "
SELECT p.id::bigint, p.run_id, p.phase_id, p.name, coalesce(p.description, ''), coalesce(p.task_category, ''),
       coalesce(p.complexity, ''), p.scope::text, greatest(p.samples_target, 1)::bigint,
       greatest(coalesce(p.max_builder_attempts, 3), 1)::bigint,
       (SELECT greatest(r.token_cap - r.tokens_used, 0)::bigint FROM runs r WHERE r.id = p.run_id),
       (SELECT max(e.retry_max_tokens) FROM token_budget_escalation_events e
        WHERE e.run_id = p.run_id AND e.phase_id = p.phase_id)
FROM phases p
WHERE p.id = $1::bigint AND p.state = $2::text AND greatest(p.builder_attempts, 0) = $3::bigint
FOR UPDATE SKIP LOCKED";

const LEASE: &str = "
INSERT INTO phase_leases (phase_pk, owner, fencing_token, claimed_at, expires_at, prior_state)
VALUES ($1::bigint, $2::text, 1, clock_timestamp(), clock_timestamp() + make_interval(secs => $3::float8), $4::text)
ON CONFLICT (phase_pk) DO UPDATE SET owner = excluded.owner, fencing_token = phase_leases.fencing_token + 1,
    claimed_at = excluded.claimed_at, expires_at = excluded.expires_at, prior_state = excluded.prior_state,
    tokens_reserved = 0
RETURNING fencing_token::bigint";

/// What others that work on a run have set aside.
const RESERVED: &str = "
SELECT coalesce(sum(l.tokens_reserved), 0)::bigint FROM phases p JOIN phase_leases l ON l.phase_pk = p.id
WHERE p.run_id = $1::text AND p.state = 'EXECUTING' AND l.owner IS NOT NULL AND p.id <> $2::bigint";

const CANDIDATES: &str = "
SELECT p.id::bigint, p.run_id, p.state, coalesce(t.tier_index, 0)::bigint, coalesce(p.phase_index, 0)::bigint,
       greatest(p.builder_attempts, 0)::bigint, p.last_failure_reason
FROM phases p LEFT JOIN tiers t ON t.id = p.tier_id
WHERE p.state = ANY ($1::text[]) AND (cardinality($2::text[]) = 0 OR p.run_id = ANY ($2::text[]))";

const ATTEMPTS: &str = "
SELECT p.id::bigint, a.run_id, a.phase_id, a.attempt::bigint, a.outcome, a.reason, a.detail, a.telemetry, a.zero_yield,
       a.milestones, a.fingerprint, a.fingerprint_detail, p.state,
       greatest(extract(epoch FROM a.finished_at - a.started_at) * 1000, 0)::bigint
FROM phase_attempts a JOIN phases p ON p.run_id = a.run_id AND p.phase_id = a.phase_id
WHERE a.session_id = $1::text ORDER BY a.attempt_id";

const KEYED_OTHERWISE: &str = "
SELECT attempt_id::bigint, run_id, phase_id, outcome, detail, milestones, fingerprint,
       coalesce(fingerprint_version, 0)::bigint, fingerprint_detail
FROM phase_attempts
WHERE fingerprint IS NOT NULL AND coalesce(fingerprint_version, 0) <> $1::bigint AND attempt_id > $2::bigint
ORDER BY attempt_id LIMIT $3::bigint";

const COUNTS: &str = "
SELECT coalesce(max(attempt), 0)::bigint, count(*) FILTER (WHERE outcome = 'success'),
       count(*) FILTER (WHERE outcome <> 'success')
FROM phase_attempts WHERE run_id = $1::text AND phase_id = $2::text";

/// Only runs that this toolkit has drained; one that another worker is changing is left to that worker.
const SETTLE: &str = "
UPDATE runs SET updated_at = now(), completed_at = now(), state = CASE
    WHEN EXISTS (SELECT FROM phases p WHERE p.run_id = runs.id AND p.state = 'FAILED')
    THEN 'DONE_FAILED_REQUIRES_HUMAN_REVIEW' ELSE 'DONE_SUCCESS' END
WHERE id IN (
    SELECT r.id FROM runs r
    WHERE r.state = 'PHASE_EXECUTION'
      AND EXISTS (SELECT FROM phase_attempts a WHERE a.run_id = r.id)
      AND NOT EXISTS (SELECT FROM phases p WHERE p.run_id = r.id AND p.state NOT IN ('COMPLETE', 'FAILED', 'SKIPPED'))
    ORDER BY r.id FOR UPDATE SKIP LOCKED)";

impl Store for PostgresStore {
    fn recover_stale(&mut self, _: Stamp) -> Result<Vec<PhaseKey>, StoreError> {
        // Asked first without a lock: most of the time there is none.
        let any = self.patient.read("look for expired leases", |link| {
            let sql = "SELECT EXISTS (SELECT FROM phase_leases WHERE owner IS NOT NULL AND expires_at < clock_timestamp())";
            Ok(link.one(sql, &[])?.get::<_, bool>(0))
        })?;
        if !any {
            return Ok(Vec::new());
        }
        self.patient.write("recover expired leases", |link, _| {
            let sql = "SELECT p.id::bigint, p.run_id, p.phase_id, l.tokens_reserved
                 FROM phases p JOIN phase_leases l ON l.phase_pk = p.id
                 WHERE p.state = 'EXECUTING' AND l.owner IS NOT NULL AND l.expires_at < clock_timestamp()
                 ORDER BY p.id FOR UPDATE SKIP LOCKED";
            let found = link.all(sql, &[])?;
            give_back(link, &found)
        })
    }

    fn recover_from(&mut self, owner: &str, _: Stamp) -> Result<Vec<PhaseKey>, StoreError> {
        self.patient.write("give back what a worker held that is gone", |link, _| {
            let sql = "SELECT p.id::bigint, p.run_id, p.phase_id, l.tokens_reserved
                 FROM phases p JOIN phase_leases l ON l.phase_pk = p.id
                 WHERE p.state = 'EXECUTING' AND l.owner = $1::text ORDER BY p.id FOR UPDATE";
            let found = link.all(sql, &[&owner])?;
            give_back(link, &found)
        })
    }

    fn waiting(&mut self, selection: &Selection) -> Result<u64, StoreError> {
        let states: Vec<&str> = selection.states.iter().map(|state| state.as_str()).collect();
        self.patient.read("count waiting phases", |link| count(link, &states, selection))
    }

    fn executing(&mut self, selection: &Selection) -> Result<u64, StoreError> {
        self.patient.read("count phases in work", |link| count(link, &["EXECUTING"], selection))
    }

    fn live_owners(&mut self, _: Stamp) -> Result<Vec<String>, StoreError> {
        self.patient.read("list who holds leases", |link| {
            let sql = "SELECT DISTINCT owner FROM phase_leases
                 WHERE owner IS NOT NULL AND expires_at >= clock_timestamp() ORDER BY 1";
            Ok(link.all(sql, &[])?.iter().map(|row| row.get(0)).collect())
        })
    }

    fn candidates(
        &mut self,
        selection: &Selection,
        each: &mut dyn FnMut(Candidate<'_>),
    ) -> Result<(), StoreError> {
        let states: Vec<&str> = selection.states.iter().map(|state| state.as_str()).collect();
        // Not tried again: what was handed out already would be handed out twice.
        self.patient.once("read what could be claimed", |link| {
            link.each(CANDIDATES, &[&states, &selection.run_ids], |row| {
                let run_id: &str = row.get(1);
                if let Some(state) = PhaseState::parse(row.get(2))
                    && selection.takes_run(run_id)
                {
                    each(Candidate {
                        phase_pk: row.get(0),
                        run_id,
                        state,
                        tier_index: row.get(3),
                        phase_index: row.get(4),
                        attempts: whole(row.get(5)),
                        last_failure: row.get(6),
                    });
                }
            })
        })
    }

    fn claim(
        &mut self,
        phase_pk: i64,
        (prior, attempts): (PhaseState, u64),
        owner: &str,
        _: Stamp,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        self.patient.write("claim a phase", |link, _| {
            let attempts = i64::try_from(attempts).unwrap_or(i64::MAX);
            let Some(row) = link.maybe(CLAIM, &[&phase_pk, &prior.as_str(), &attempts])? else { return Ok(None) };
            let mut claim = candidate(&row, prior);
            claim.read_scope(row.get::<_, Option<&str>>(7).map(str::as_bytes));
            count_attempts(link, &mut claim)?;
            owner.clone_into(&mut claim.owner);
            let values: [&(dyn ToSql + Sync); 4] =
                [&phase_pk, &owner, &lease.as_secs_f64(), &prior.as_str()];
            claim.fencing_token = link.one(LEASE, &values)?.get(0);
            let sql = "UPDATE phases SET state = 'EXECUTING', updated_at = now() WHERE id = $1::bigint";
            link.execute(sql, &[&phase_pk])?;
            let sql = "UPDATE runs SET state = 'PHASE_EXECUTION', started_at = coalesce(started_at, now()), updated_at = now()
                 WHERE id = $1::text AND state IN ('RUN_CREATED', 'QUEUED', 'PHASE_QUEUEING')";
            link.execute(sql, &[&claim.key.run_id])?;
            Ok(Some(claim))
        })
    }

    fn renew(&mut self, lease: &LeaseKey, _: Stamp, span: Duration) -> Result<(), StoreError> {
        self.patient.write("renew a lease", |link, _| {
            let sql = "UPDATE phase_leases
                 SET expires_at = greatest(expires_at, clock_timestamp() + make_interval(secs => $4::float8))
                 WHERE phase_pk = $1::bigint AND owner = $2::text AND fencing_token = $3::bigint";
            let renewed = link
                .execute(sql, &[&lease.phase_pk, &lease.owner, &lease.fencing_token, &span.as_secs_f64()])?;
            if renewed == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease.key.clone()).into()) }
        })
    }

    fn reserve(&mut self, lease: &LeaseKey, tokens: u64) -> Result<Option<u64>, StoreError> {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        self.patient.write("set tokens aside", |link, _| {
            finish::require_held(link, lease)?;
            // Whoever shares the run waits here for what the others set aside.
            let sql = "SELECT (token_cap - tokens_used)::bigint FROM runs WHERE id = $1::text FOR UPDATE";
            let cap = link.maybe(sql, &[&lease.key.run_id])?.and_then(|row| row.get::<_, Option<i64>>(0));
            let others: i64 = link.one(RESERVED, &[&lease.key.run_id, &lease.phase_pk])?.get(0);
            let left = cap.map(|cap| cap.saturating_sub(others));
            let short = left.filter(|left| tokens > *left);
            let reserved = if short.is_some() { 0 } else { tokens };
            let sql = "UPDATE phase_leases SET tokens_reserved = $2::bigint WHERE phase_pk = $1::bigint";
            link.execute(sql, &[&lease.phase_pk, &reserved])?;
            Ok(short.map(whole))
        })
    }

    fn session_attempts(&mut self, session_id: &str) -> Result<Vec<AccountedAttempt>, StoreError> {
        self.patient.read("list the attempts of a session", |link| {
            Ok(link.all(ATTEMPTS, &[&session_id])?.iter().map(accounted).collect())
        })
    }

    fn release(&mut self, claim: &Claim, _: Stamp) -> Result<(), StoreError> {
        self.patient.write("give a phase back", |link, _| {
            finish::require_lease(link, claim)?;
            free(link, &[claim.phase_pk])
        })
    }

    fn finish(
        &mut self,
        claim: &Claim,
        record: &AttemptRecord,
        event: Result<&EventRow, Rejection>,
        zero_yield: &dyn Fn(&Rejection) -> &'static str,
    ) -> Result<EventWrite, StoreError> {
        self.patient.write("account for an attempt", |link, is_again| {
            // The commit whose answer was lost may have happened.
            if is_again && let Some(written) = finish::accounted(link, claim)? {
                return Ok(written);
            }
            finish::finish(link, claim, record, event.as_ref().map(|row| *row), zero_yield)
        })
    }

    fn keyed_otherwise(
        &mut self,
        version: u32,
        after: i64,
        limit: u32,
    ) -> Result<Vec<KeyedFailure>, StoreError> {
        self.patient.read("read fingerprints of another version", |link| {
            let rows = link.all(KEYED_OTHERWISE, &[&i64::from(version), &after, &i64::from(limit)])?;
            Ok(rows.iter().map(keyed).collect())
        })
    }

    fn key_anew(&mut self, failures: &[KeyedAnew]) -> Result<(), StoreError> {
        self.patient.write("key failures anew", |link, _| {
            let sql = "UPDATE phase_attempts
                 SET fingerprint = $2::text, fingerprint_version = $3::bigint, fingerprint_detail = $4::text
                 WHERE attempt_id = $1::bigint AND fingerprint = $5::text";
            for anew in failures {
                let found = &anew.fingerprint;
                let version = i64::from(found.version);
                link.execute(sql, &[&anew.attempt_id, &found.id, &version, &anew.explained(), &anew.was])?;
            }
            Ok(())
        })
    }

    fn settle_runs(&mut self, _: Stamp) -> Result<(), StoreError> {
        self.patient.write("mark finished runs", |link, _| link.execute(SETTLE, &[]).map(drop))
    }

    fn insert_run(&mut self, run: &NewRun, now: Stamp) -> Result<bool, StoreError> {
        self.patient.write("insert the run", |link, _| seed::insert(link, run, &now.db()))
    }

    fn run_ids(&mut self) -> Result<Vec<String>, StoreError> {
        self.patient.read("list the runs", |link| {
            let rows = link.all("SELECT id FROM runs ORDER BY id COLLATE \"C\"", &[])?;
            Ok(rows.iter().map(|row| row.get(0)).collect())
        })
    }

    fn distribution(&mut self, run_id: Option<&str>) -> Result<Distribution, StoreError> {
        self.patient.read("count the phases", |link| seed::distribution(link, run_id))
    }

    fn overview(&mut self, _: Stamp) -> Result<Overview, StoreError> {
        self.patient.read("count the backlog", overview::read)
    }

    fn sample_counts(&mut self) -> Result<Vec<StratumCount>, StoreError> {
        self.patient.read("count the samples", seed::sample_counts)
    }
}

/// A count of the server, which has no type without a sign.
fn whole(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

fn candidate(row: &::postgres::Row, prior: PhaseState) -> Claim {
    Claim {
        phase_pk: row.get(0),
        key: PhaseKey { run_id: row.get(1), phase_id: row.get(2) },
        prior,
        fencing_token: 0,
        owner: String::new(),
        name: row.get(3),
        description: row.get(4),
        category: row.get(5),
        complexity: row.get(6),
        scope: Scope::default(),
        scope_error: None,
        attempt: 0,
        successes: 0,
        failures: 0,
        template_attempts: 0,
        tokens_left: row.get::<_, Option<i64>>(10).map(whole),
        raised_budget: row.get::<_, Option<i64>>(11).map(whole),
        samples_target: whole(row.get(8)),
        failures_max: whole(row.get(9)),
    }
}

fn accounted(row: &::postgres::Row) -> AccountedAttempt {
    let mut attempt = AccountedAttempt {
        phase_pk: row.get(0),
        key: PhaseKey { run_id: row.get(1), phase_id: row.get(2) },
        attempt: whole(row.get(3)),
        outcome: row.get(4),
        reason: row.get(5),
        detail: row.get(6),
        telemetry: row.get(7),
        zero_yield: row.get(8),
        milestones: row.get(9),
        fingerprint: None,
        state: PhaseState::parse(row.get(12)),
        took_ms: whole(row.get(13)),
    };
    attempt.explain(row.get(10), row.get(11));
    attempt
}

fn keyed(row: &::postgres::Row) -> KeyedFailure {
    KeyedFailure {
        attempt_id: row.get(0),
        key: PhaseKey { run_id: row.get(1), phase_id: row.get(2) },
        outcome: row.get(3),
        detail: row.get(4),
        milestones: row.get(5),
        fingerprint: row.get(6),
        version: u32::try_from(row.get::<_, i64>(7)).unwrap_or(0),
        explained: row.get(8),
    }
}

fn count(link: &mut Link, states: &[&str], selection: &Selection) -> Result<u64, Failure> {
    let sql = "SELECT run_id, count(*) FROM phases WHERE state = ANY ($1::text[]) GROUP BY run_id";
    let rows = link.all(sql, &[&states])?;
    Ok(rows.iter().filter(|row| selection.takes_run(row.get(0))).map(|row| whole(row.get(1))).sum())
}

fn count_attempts(link: &mut Link, claim: &mut Claim) -> Result<(), Failure> {
    let row = link.one(COUNTS, &[&claim.key.run_id, &claim.key.phase_id])?;
    claim.attempt = whole(row.get(0)) + 1;
    (claim.successes, claim.failures) = (whole(row.get(1)), whole(row.get(2)));
    claim.template_attempts = match &claim.scope.template {
        None => claim.attempt - 1,
        Some(template) => {
            let sql = "SELECT count(*) FROM phase_attempts a
                 JOIN phases p ON p.run_id = a.run_id AND p.phase_id = a.phase_id
                 WHERE p.scope ->> 'template' = $1::text";
            whole(link.one(sql, &[template])?.get(0))
        }
    };
    Ok(())
}

/// Frees these phases and names them.
fn give_back(link: &mut Link, found: &[::postgres::Row]) -> Result<Vec<PhaseKey>, Failure> {
    let rows: Vec<i64> = found.iter().map(|row| row.get(0)).collect();
    free(link, &rows)?;
    for row in found {
        let reserved: i64 = row.get(3);
        if reserved > 0 {
            // A call was under way, and may have cost all of it.
            let sql = "UPDATE runs SET tokens_used = tokens_used + $2::bigint WHERE id = $1::text";
            link.execute(sql, &[&row.get::<_, String>(1), &reserved])?;
        }
    }
    Ok(found.iter().map(|row| PhaseKey { run_id: row.get(1), phase_id: row.get(2) }).collect())
}

/// Puts phases back as if they had not been claimed; their fencing tokens stay spent.
fn free(link: &mut Link, rows: &[i64]) -> Result<(), Failure> {
    let sql = "UPDATE phases SET updated_at = now(), state = coalesce(
             (SELECT l.prior_state FROM phase_leases l WHERE l.phase_pk = phases.id), 'QUEUED')
         WHERE id = ANY ($1::bigint[])";
    link.execute(sql, &[&rows])?;
    link.execute("UPDATE phase_leases SET owner = NULL WHERE phase_pk = ANY ($1::bigint[])", &[&rows])?;
    Ok(())
}
