//! The toolkit's tables in SQLite.
//!
//! Every change is one immediate transaction. A claim and everything that ends it compare owner and fencing
//! token inside that transaction, so a worker that lost its lease changes nothing.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior};

use super::telemetry::STATEMENTS;
use super::{SqliteTelemetry, account, tables};
use crate::clock::Stamp;
use crate::db::DbError;
use crate::phases::{
    AccountedAttempt, AttemptRecord, Candidate, Claim, Distribution, EventWrite, KeyedAnew, KeyedFailure,
    LeaseKey, NewRun, Overview, PhaseKey, PhaseState, Scope, Selection, Store, StoreError, StratumCount,
};
use crate::telemetry::store::{self as telemetry, Job, Refused, StoreOptions};
use crate::telemetry::{EventRow, Rejection};

/// An open database whose migrations are all applied.
#[derive(Debug)]
pub struct SqliteStore {
    conn: Arc<Mutex<Connection>>,
    /// Writes the accounts of attempts, with their events, through the same connection.
    telemetry: telemetry::Store,
}

/// Pages of a write-ahead log before it is folded in: folding flushes twice, so it should be rare.
pub(super) const CHECKPOINT_PAGES: u32 = 16_000;
/// How long a lock of another process is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);

/// A phase in the state that was seen, with the attempts that were seen.
const CLAIM: &str = "
SELECT p.id, p.run_id, p.phase_id, p.name, coalesce(p.description, ''), coalesce(p.task_category, ''),
       coalesce(p.complexity, ''), CAST(p.scope AS BLOB), max(CAST(p.samples_target AS INTEGER), 1),
       max(CAST(coalesce(p.max_builder_attempts, 3) AS INTEGER), 1),
       (SELECT max(CAST(r.token_cap AS INTEGER) - CAST(r.tokens_used AS INTEGER), 0) FROM runs r WHERE r.id = p.run_id),
       (SELECT max(e.retry_max_tokens) FROM token_budget_escalation_events e
        WHERE e.run_id = p.run_id AND e.phase_id = p.phase_id)
FROM phases p
WHERE p.id = ?1 AND p.state = ?2 AND max(CAST(p.builder_attempts AS INTEGER), 0) = ?3";

/// The states and runs are asked one by one, so that the index over them is used.
const CANDIDATES: &str = "
SELECT p.id, p.run_id, coalesce(CAST(t.tier_index AS INTEGER), 0), coalesce(CAST(p.phase_index AS INTEGER), 0),
       max(CAST(p.builder_attempts AS INTEGER), 0), CAST(p.last_failure_reason AS TEXT)
FROM phases p LEFT JOIN tiers t ON t.id = p.tier_id
WHERE p.state = ?1 AND (?2 IS NULL OR p.run_id = ?2)";

const LEASE: &str = "
INSERT INTO phase_leases (phase_pk, owner, fencing_token, claimed_at, expires_at, prior_state)
VALUES (?1, ?2, 1, ?3, ?4, ?5)
ON CONFLICT (phase_pk) DO UPDATE SET owner = excluded.owner, fencing_token = fencing_token + 1,
    claimed_at = excluded.claimed_at, expires_at = excluded.expires_at, prior_state = excluded.prior_state,
    tokens_reserved = 0
RETURNING fencing_token";

/// What the cap of a run leaves beside what others that work on it have set aside.
const LEFT: &str = "
SELECT max(CAST(r.token_cap AS INTEGER) - CAST(r.tokens_used AS INTEGER) - coalesce((
    SELECT sum(l.tokens_reserved) FROM phases p JOIN phase_leases l ON l.phase_pk = p.id
    WHERE p.run_id = r.id AND p.state = 'EXECUTING' AND l.owner IS NOT NULL AND p.id <> ?2), 0), 0)
FROM runs r WHERE r.id = ?1 AND r.token_cap IS NOT NULL";

impl SqliteStore {
    /// Opens an existing database for work.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        let open = || -> Result<Connection, rusqlite::Error> {
            let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            conn.busy_timeout(LOCK_TIMEOUT)?;
            conn.set_prepared_statement_cache_capacity(STATEMENTS);
            // Without the table of events SQLite would refuse every statement on a table that refers to it,
            // and an attempt would be lost with its event.
            let keys = tables::exists(&conn, "table", "token_estimation_v2_events")?;
            conn.pragma_update(None, "foreign_keys", keys)?;
            if conn.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))? == "wal" {
                // A claim that a power cut undoes has claimed nothing.
                conn.pragma_update(None, "synchronous", "normal")?;
                conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            }
            Ok(conn)
        };
        let failed = || format!("open `{}`", path.display());
        let deadline = Instant::now() + LOCK_TIMEOUT;
        let conn = loop {
            match open() {
                // The log of a killed writer is being recovered, for which no timeout waits.
                Err(error) if is_passing(&error) && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                opened => break opened.map_err(|e| DbError::new(failed(), e))?,
            }
        };
        // An attempt takes minutes and is accounted for once: there is nothing to queue, and the answer is needed.
        let options = StoreOptions { debug: true, lock_timeout: LOCK_TIMEOUT, ..StoreOptions::default() };
        let conn = Arc::new(Mutex::new(conn));
        let driver = Arc::new(SqliteTelemetry::guest(path, &conn));
        let telemetry =
            telemetry::Store::with_driver(driver, options).map_err(|e| DbError::new(failed(), e))?;
        Ok(Self { conn, telemetry })
    }

    fn conn(&self) -> MutexGuard<'_, Connection> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the telemetry store write an account; what the database has against it, if anything.
    fn account(&self, claim: &Claim, job: &Job) -> Result<Option<String>, StoreError> {
        match self.telemetry.submit(job) {
            Ok(()) => Ok(None),
            Err(Refused::Failed(why)) if why == account::LEASE_LOST => {
                Err(StoreError::LeaseLost(claim.key.clone()))
            }
            Err(Refused::Failed(why)) => Ok(Some(why)),
            Err(other) => Err(DbError::new("account for an attempt", other).into()),
        }
    }

    /// The event of an attempt that is accounted for.
    fn written(&self, claim: &Claim) -> Result<EventWrite, StoreError> {
        self.read("find the event of an attempt", |conn| {
            let sql =
                "SELECT event_id FROM phase_attempts WHERE run_id = ?1 AND phase_id = ?2 AND attempt = ?3";
            let key = &claim.key;
            let attempt = i64::try_from(claim.attempt).unwrap_or(i64::MAX);
            conn.prepare_cached(sql)?.query_row((&key.run_id, &key.phase_id, attempt), |row| row.get(0))
        })
        .map(EventWrite::Written)
    }

    /// What the database has against an event.
    fn rejection(&self, why: &str) -> Result<Rejection, StoreError> {
        let is_there = self.read("look for the table of events", |conn| {
            tables::exists(conn, "table", "token_estimation_v2_events")
        })?;
        Ok(if is_there { account::rejection(why) } else { Rejection::TableMissing(why.to_owned()) })
    }

    /// Runs `work` in one immediate transaction; `what` names it in an error.
    fn write<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        let mut conn = self.conn();
        let run = || -> Result<T, Failure> {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&tx)?;
            tx.commit()?;
            Ok(value)
        };
        run().map_err(|failure| failure.into_error(what))
    }

    fn read<T>(
        &self,
        what: &str,
        work: impl FnOnce(&Connection) -> Result<T, rusqlite::Error>,
    ) -> Result<T, StoreError> {
        work(&self.conn()).map_err(|error| DbError::new(what, error).into())
    }
}

/// Whether trying again may help.
fn is_passing(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::FileLockingProtocolFailed | ErrorCode::DatabaseBusy))
}

/// What can go wrong inside a transaction.
enum Failure {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Failure {
    fn into_error(self, what: &str) -> StoreError {
        match self {
            Self::Sqlite(error) => DbError::new(what, error).into(),
            Self::Store(error) => error,
        }
    }
}

impl Store for SqliteStore {
    fn recover_stale(&mut self, now: Stamp) -> Result<Vec<PhaseKey>, StoreError> {
        // Asked first without a lock: most of the time there is none.
        let stale = "EXISTS (SELECT 1 FROM phase_leases WHERE owner IS NOT NULL AND expires_at < ?1)";
        let any = self.read("look for expired leases", |conn| {
            conn.prepare_cached(&format!("SELECT {stale}"))?
                .query_row([now.db()], |row| row.get::<_, bool>(0))
        })?;
        if !any {
            return Ok(Vec::new());
        }
        self.write("recover expired leases", |tx| recover(tx, "l.expires_at < ?1", &now.db(), now))
    }

    fn recover_from(&mut self, owner: &str, now: Stamp) -> Result<Vec<PhaseKey>, StoreError> {
        self.write("give back what a worker held that is gone", |tx| recover(tx, "l.owner = ?1", owner, now))
    }

    fn waiting(&mut self, selection: &Selection) -> Result<u64, StoreError> {
        let mut count = 0;
        for state in &selection.states {
            count +=
                self.read("count waiting phases", |conn| count_in_state(conn, state.as_str(), selection))?;
        }
        Ok(count)
    }

    fn executing(&mut self, selection: &Selection) -> Result<u64, StoreError> {
        self.read("count phases in work", |conn| count_in_state(conn, "EXECUTING", selection))
    }

    fn live_owners(&mut self, now: Stamp) -> Result<Vec<String>, StoreError> {
        self.read("list who holds leases", |conn| {
            let sql = "SELECT DISTINCT owner FROM phase_leases WHERE owner IS NOT NULL AND expires_at >= ?1 ORDER BY 1";
            conn.prepare(sql)?.query_map([now.db()], |row| row.get(0))?.collect()
        })
    }

    fn candidates(
        &mut self,
        selection: &Selection,
        each: &mut dyn FnMut(Candidate<'_>),
    ) -> Result<(), StoreError> {
        let runs: Vec<Option<&str>> = match &selection.run_ids[..] {
            [] => vec![None],
            ids => ids.iter().map(|id| Some(id.as_str())).collect(),
        };
        self.read("read what could be claimed", |conn| {
            let mut statement = conn.prepare_cached(CANDIDATES)?;
            for state in &selection.states {
                for run in &runs {
                    let mut rows = statement.query((state.as_str(), run))?;
                    while let Some(row) = rows.next()? {
                        let run_id = row.get_ref(1)?.as_str()?;
                        if selection.takes_run(run_id) {
                            each(Candidate {
                                phase_pk: row.get(0)?,
                                run_id,
                                state: *state,
                                tier_index: row.get(2)?,
                                phase_index: row.get(3)?,
                                attempts: row.get(4)?,
                                last_failure: row.get_ref(5)?.as_str_or_null()?,
                            });
                        }
                    }
                }
            }
            Ok(())
        })
    }

    fn claim(
        &mut self,
        phase_pk: i64,
        (prior, attempts): (PhaseState, u64),
        owner: &str,
        now: Stamp,
        lease: Duration,
    ) -> Result<Option<Claim>, StoreError> {
        self.write("claim a phase", |tx| {
            let seen = (phase_pk, prior.as_str(), attempts);
            let found = tx.prepare_cached(CLAIM)?.query_row(seen, |row| candidate(row, prior));
            let Some((mut claim, scope)) = found.optional()? else { return Ok(None) };
            claim.read_scope(scope.as_deref());
            count_attempts(tx, &mut claim)?;
            owner.clone_into(&mut claim.owner);
            let values = (claim.phase_pk, owner, now.db(), now.plus(lease).db(), prior.as_str());
            claim.fencing_token = tx.prepare_cached(LEASE)?.query_row(values, |row| row.get(0))?;
            tx.prepare_cached(
                "UPDATE phases SET state = 'EXECUTING', updated_at = ?2 WHERE id = ?1 AND state = ?3",
            )?
            .execute((claim.phase_pk, now.db(), prior.as_str()))?;
            tx.prepare_cached(
                "UPDATE runs SET state = 'PHASE_EXECUTION', started_at = coalesce(started_at, ?2), updated_at = ?2
                 WHERE id = ?1 AND state IN ('RUN_CREATED', 'QUEUED', 'PHASE_QUEUEING')",
            )?
            .execute((&claim.key.run_id, now.db()))?;
            Ok(Some(claim))
        })
    }

    fn renew(&mut self, lease: &LeaseKey, now: Stamp, span: Duration) -> Result<(), StoreError> {
        self.write("renew a lease", |tx| {
            let renewed = tx
                .prepare_cached(
                    "UPDATE phase_leases SET expires_at = max(expires_at, ?4)
                     WHERE phase_pk = ?1 AND owner = ?2 AND fencing_token = ?3",
                )?
                .execute((lease.phase_pk, &lease.owner, lease.fencing_token, now.plus(span).db()))?;
            if renewed == 1 { Ok(()) } else { Err(StoreError::LeaseLost(lease.key.clone()).into()) }
        })
    }

    fn reserve(&mut self, lease: &LeaseKey, tokens: u64) -> Result<Option<u64>, StoreError> {
        self.write("set tokens aside", |tx| {
            let run = (&lease.key.run_id, lease.phase_pk);
            let left: Option<u64> = tx.prepare_cached(LEFT)?.query_row(run, |row| row.get(0)).optional()?;
            let short = left.filter(|left| tokens > *left);
            let reserved = if short.is_some() { 0 } else { tokens };
            let sql = "UPDATE phase_leases SET tokens_reserved = ?4
                 WHERE phase_pk = ?1 AND owner = ?2 AND fencing_token = ?3";
            let values = (lease.phase_pk, &lease.owner, lease.fencing_token, reserved);
            match tx.prepare_cached(sql)?.execute(values)? {
                1 => Ok(short),
                _ => Err(StoreError::LeaseLost(lease.key.clone()).into()),
            }
        })
    }

    fn session_attempts(&mut self, session_id: &str) -> Result<Vec<AccountedAttempt>, StoreError> {
        self.read("list the attempts of a session", |conn| {
            conn.prepare(ATTEMPTS)?.query_map([session_id], accounted)?.collect()
        })
    }

    fn release(&mut self, claim: &Claim, now: Stamp) -> Result<(), StoreError> {
        self.write("give a phase back", |tx| {
            require_lease(tx, claim)?;
            Ok(free(tx, claim.phase_pk, now)?)
        })
    }

    fn finish(
        &mut self,
        claim: &Claim,
        record: &AttemptRecord,
        event: Result<&EventRow, Rejection>,
        zero_yield: &dyn Fn(&Rejection) -> &'static str,
    ) -> Result<EventWrite, StoreError> {
        let rejection = match event {
            Err(rejection) => rejection,
            Ok(row) => match self.account(claim, &account::job(claim, record, Ok(row), None))? {
                None => return self.written(claim),
                Some(why) => self.rejection(&why)?,
            },
        };
        let why_none = Some(zero_yield(&rejection));
        // The event is at fault, or the rest is, which then says so.
        match self.account(claim, &account::job(claim, record, Err(&rejection), why_none))? {
            None => Ok(EventWrite::NotWritten(rejection)),
            Some(why) => Err(DbError::new("account for an attempt", why).into()),
        }
    }

    fn keyed_otherwise(
        &mut self,
        version: u32,
        after: i64,
        limit: u32,
    ) -> Result<Vec<KeyedFailure>, StoreError> {
        self.read("read fingerprints of another version", |conn| {
            conn.prepare_cached(KEYED_OTHERWISE)?.query_map((version, after, limit), keyed)?.collect()
        })
    }

    fn key_anew(&mut self, failures: &[KeyedAnew]) -> Result<(), StoreError> {
        self.write("key failures anew", |tx| {
            let sql = "UPDATE phase_attempts SET fingerprint = ?2, fingerprint_version = ?3, fingerprint_detail = ?4
                 WHERE attempt_id = ?1 AND fingerprint = ?5";
            for anew in failures {
                let found = &anew.fingerprint;
                tx.prepare_cached(sql)?.execute((
                    anew.attempt_id,
                    &found.id,
                    found.version,
                    anew.explained(),
                    &anew.was,
                ))?;
            }
            Ok(())
        })
    }

    fn settle_runs(&mut self, now: Stamp) -> Result<(), StoreError> {
        self.write("mark finished runs", |tx| {
            // Only runs that this toolkit has drained: the states of others are not ours to change.
            tx.execute(
                "UPDATE runs SET updated_at = ?1, completed_at = ?1, state = CASE
                     WHEN EXISTS (SELECT 1 FROM phases p WHERE p.run_id = runs.id AND p.state = 'FAILED')
                     THEN 'DONE_FAILED_REQUIRES_HUMAN_REVIEW' ELSE 'DONE_SUCCESS' END
                 WHERE state = 'PHASE_EXECUTION'
                   AND EXISTS (SELECT 1 FROM phase_attempts a WHERE a.run_id = runs.id)
                   AND NOT EXISTS (SELECT 1 FROM phases p WHERE p.run_id = runs.id
                                   AND p.state NOT IN ('COMPLETE', 'FAILED', 'SKIPPED'))",
                [now.db()],
            )?;
            Ok(())
        })
    }

    fn insert_run(&mut self, run: &NewRun, now: Stamp) -> Result<bool, StoreError> {
        self.write("insert the run", |tx| {
            let exists: bool =
                tx.query_row("SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?1)", [&run.run_id], |row| {
                    row.get(0)
                })?;
            if !exists {
                super::seed::insert(tx, run, &now.db())?;
            }
            Ok(!exists)
        })
    }

    fn run_ids(&mut self) -> Result<Vec<String>, StoreError> {
        self.read("list the runs", |conn| {
            conn.prepare("SELECT id FROM runs ORDER BY id")?.query_map([], |row| row.get(0))?.collect()
        })
    }

    fn distribution(&mut self, run_id: Option<&str>) -> Result<Distribution, StoreError> {
        self.read("count the phases", |conn| super::seed::distribution(conn, run_id))
    }

    fn overview(&mut self, now: Stamp) -> Result<Overview, StoreError> {
        self.read("count the backlog", |conn| super::overview::read(conn, now))
    }

    fn sample_counts(&mut self) -> Result<Vec<StratumCount>, StoreError> {
        self.read("count the samples", super::seed::sample_counts)
    }
}

fn candidate(row: &Row<'_>, prior: PhaseState) -> Result<(Claim, Option<Vec<u8>>), rusqlite::Error> {
    let claim = Claim {
        phase_pk: row.get(0)?,
        key: PhaseKey { run_id: row.get(1)?, phase_id: row.get(2)? },
        prior,
        fencing_token: 0,
        owner: String::new(),
        name: row.get(3)?,
        description: row.get(4)?,
        category: row.get(5)?,
        complexity: row.get(6)?,
        scope: Scope::default(),
        scope_error: None,
        attempt: 0,
        successes: 0,
        failures: 0,
        template_attempts: 0,
        tokens_left: row.get(10)?,
        raised_budget: row.get(11)?,
        samples_target: row.get(8)?,
        failures_max: row.get(9)?,
    };
    Ok((claim, row.get(7)?))
}

fn count_in_state(conn: &Connection, state: &str, selection: &Selection) -> Result<u64, rusqlite::Error> {
    let mut statement =
        conn.prepare_cached("SELECT run_id, count(*) FROM phases WHERE state = ?1 GROUP BY run_id")?;
    let mut rows = statement.query([state])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        if selection.takes_run(row.get_ref(0)?.as_str()?) {
            count += row.get::<_, u64>(1)?;
        }
    }
    Ok(count)
}

fn count_attempts(tx: &Transaction<'_>, claim: &mut Claim) -> Result<(), rusqlite::Error> {
    let key = &claim.key;
    let counts = "SELECT coalesce(max(attempt), 0), coalesce(sum(outcome = 'success'), 0),
                         coalesce(sum(outcome <> 'success'), 0)
                  FROM phase_attempts WHERE run_id = ?1 AND phase_id = ?2";
    (claim.attempt, claim.successes, claim.failures) =
        tx.prepare_cached(counts)?.query_row((&key.run_id, &key.phase_id), |row| {
            Ok((row.get::<_, u64>(0)? + 1, row.get(1)?, row.get(2)?))
        })?;
    claim.template_attempts = match &claim.scope.template {
        None => claim.attempt - 1,
        Some(template) => tx
            .prepare_cached(
                "SELECT count(*) FROM phase_attempts a JOIN phases p ON p.run_id = a.run_id AND p.phase_id = a.phase_id
                 WHERE CASE WHEN json_valid(p.scope) THEN json_extract(p.scope, '$.template') END = ?1",
            )?
            .query_row([template], |row| row.get(0))?,
    };
    Ok(())
}

/// Refuses unless the claim still holds its phase.
fn require_lease(tx: &Transaction<'_>, claim: &Claim) -> Result<(), Failure> {
    let held: bool = tx
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM phases p JOIN phase_leases l ON l.phase_pk = p.id
             WHERE p.id = ?1 AND p.state = 'EXECUTING' AND l.owner = ?2 AND l.fencing_token = ?3)",
        )?
        .query_row((claim.phase_pk, &claim.owner, claim.fencing_token), |row| row.get(0))?;
    if held { Ok(()) } else { Err(StoreError::LeaseLost(claim.key.clone()).into()) }
}

/// Puts back the phases of the leases that `which` names, in terms of `?1`.
fn recover(tx: &Transaction<'_>, which: &str, value: &str, now: Stamp) -> Result<Vec<PhaseKey>, Failure> {
    let sql = format!(
        "SELECT p.id, p.run_id, p.phase_id, l.tokens_reserved FROM phases p JOIN phase_leases l ON l.phase_pk = p.id
         WHERE p.state = 'EXECUTING' AND l.owner IS NOT NULL AND {which} ORDER BY p.id"
    );
    let mut find = tx.prepare(&sql)?;
    let found = find.query_map([value], |row| {
        let key = PhaseKey { run_id: row.get(1)?, phase_id: row.get(2)? };
        Ok((row.get::<_, i64>(0)?, key, row.get::<_, i64>(3)?))
    })?;
    let found = found.collect::<Result<Vec<_>, _>>()?;
    for (pk, key, reserved) in &found {
        free(tx, *pk, now)?;
        if *reserved > 0 {
            // A call was under way, and may have cost all of it.
            tx.execute(
                "UPDATE runs SET tokens_used = tokens_used + ?2 WHERE id = ?1",
                (&key.run_id, reserved),
            )?;
        }
    }
    Ok(found.into_iter().map(|(_, key, _)| key).collect())
}

/// Puts a phase back as if it had not been claimed; its fencing token stays spent.
fn free(tx: &Transaction<'_>, phase_pk: i64, now: Stamp) -> Result<(), rusqlite::Error> {
    tx.execute(
        "UPDATE phases SET updated_at = ?2, state = coalesce(
             (SELECT l.prior_state FROM phase_leases l WHERE l.phase_pk = phases.id), 'QUEUED')
         WHERE id = ?1",
        (phase_pk, now.db()),
    )?;
    tx.execute("UPDATE phase_leases SET owner = NULL WHERE phase_pk = ?1", [phase_pk])?;
    Ok(())
}

const KEYED_OTHERWISE: &str = "
SELECT attempt_id, run_id, phase_id, outcome, detail, milestones, fingerprint, coalesce(fingerprint_version, 0),
       fingerprint_detail
FROM phase_attempts
WHERE fingerprint IS NOT NULL AND coalesce(fingerprint_version, 0) <> ?1 AND attempt_id > ?2
ORDER BY attempt_id LIMIT ?3";

fn keyed(row: &Row<'_>) -> Result<KeyedFailure, rusqlite::Error> {
    Ok(KeyedFailure {
        attempt_id: row.get(0)?,
        key: PhaseKey { run_id: row.get(1)?, phase_id: row.get(2)? },
        outcome: row.get(3)?,
        detail: row.get(4)?,
        milestones: row.get(5)?,
        fingerprint: row.get(6)?,
        version: row.get(7)?,
        explained: row.get(8)?,
    })
}

const ATTEMPTS: &str = "
SELECT p.id, a.run_id, a.phase_id, a.attempt, a.outcome, a.reason, a.detail, a.telemetry, a.zero_yield, a.milestones,
       a.fingerprint, CASE WHEN json_valid(a.fingerprint_detail) THEN a.fingerprint_detail END, p.state,
       a.started_at, a.finished_at
FROM phase_attempts a JOIN phases p ON p.run_id = a.run_id AND p.phase_id = a.phase_id
WHERE a.session_id = ?1 ORDER BY a.attempt_id";

fn accounted(row: &Row<'_>) -> Result<AccountedAttempt, rusqlite::Error> {
    let state: String = row.get(12)?;
    let stamp = |index| row.get::<_, String>(index).map(|text| Stamp::parse_db(&text));
    let took = stamp(13)?.zip(stamp(14)?).map_or(0, |(began, ended)| ended.since(began).as_millis());
    let mut attempt = AccountedAttempt {
        phase_pk: row.get(0)?,
        key: PhaseKey { run_id: row.get(1)?, phase_id: row.get(2)? },
        attempt: row.get(3)?,
        outcome: row.get(4)?,
        reason: row.get(5)?,
        detail: row.get(6)?,
        telemetry: row.get(7)?,
        zero_yield: row.get(8)?,
        milestones: row.get(9)?,
        fingerprint: None,
        state: PhaseState::parse(&state),
        took_ms: u64::try_from(took).unwrap_or(u64::MAX),
    };
    attempt.explain(row.get(10)?, row.get::<_, Option<String>>(11)?.as_deref());
    Ok(attempt)
}

#[cfg(test)]
mod tests;
