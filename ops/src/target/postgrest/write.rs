//! Applying a batch without functions in the database: inserts in bulk, updates and deletes one request a row.
//!
//! No request can change a row that is not as the batch says. Updates and deletes carry the row's version beside its
//! key, inserts leave alone what is there; so each can also be sent twice when its answer is lost. A batch is not one
//! transaction: when it fails half-way, the rows that were made are remembered, and applying it again reports them
//! as applied.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use reqwest::Method;

use super::fault::{Class, Fault};
use super::http::{Answer, Http, Request};
use super::rows::{Found, View, is_version};
use super::{query, wire};
use crate::guard::Refusal;
use crate::target::{Batch, Change, Outcome, RunId, TargetError};
use crate::value::{Digest128, Row, Value, digest_key, same_row};

/// What wants a written row back, in the words of reading.
const RETURN: &str = "return=representation,timezone=UTC";
const RETURN_NEW: &str = "return=representation,resolution=ignore-duplicates,timezone=UTC";

/// How often a row is looked at that others write at the same time.
const LOOKS_MAX: usize = 3;

/// Requests at a time. PostgREST has ten connections to its database by default, and others want some.
const REQUESTS_MAX: usize = 4;

/// What is known to have been applied of a batch that failed half-way.
#[derive(Debug, Default)]
pub(super) struct Made {
    run: Option<RunId>,
    /// By position in the plan.
    outcomes: BTreeMap<u64, Outcome>,
}

/// Applies a batch; one outcome a change.
pub(super) fn apply(http: &Http, batch: &Batch<'_>, made: &mut Made) -> Result<Vec<Outcome>, TargetError> {
    let is_primary = batch.key.len() == batch.table.primary_key.len()
        && batch.key.iter().all(|i| batch.table.primary_key.contains(i));
    if !is_primary || batch.key.is_empty() {
        let names: Vec<_> = batch.key.iter().map(|i| format!("`{}`", batch.table.columns[*i].name)).collect();
        return Err(Refusal::new(
            "without the functions of migrations/postgres rows can be found by their primary key only",
            "the primary key",
            names.join(", "),
        )
        .next("install migrations/postgres/change_functions.sql")
        .into());
    }
    if made.run.as_ref() != Some(batch.run) {
        *made = Made { run: Some(batch.run.clone()), outcomes: BTreeMap::new() };
    }
    let mut writer = Writer {
        view: View { http, table: batch.table, columns: batch.columns },
        batch,
        versions: BTreeMap::new(),
        is_partitioned: false,
        outcomes: (batch.first..).zip(batch.changes).map(|(at, _)| made.outcomes.remove(&at)).collect(),
    };
    let result = writer.all();
    if let Err(error) = result {
        let outcomes = (batch.first..).zip(writer.outcomes);
        let applied = outcomes.filter_map(|(at, outcome)| Some((at, outcome?)));
        made.outcomes.extend(applied.filter(|(_, outcome)| matches!(outcome, Outcome::Applied { .. })));
        return Err(error);
    }
    Ok(writer.outcomes.into_iter().map(|outcome| outcome.expect("every change has an outcome")).collect())
}

/// An update or a delete that is to be made.
struct Single {
    /// Its place in the batch.
    at: usize,
    key: Row,
    /// The row as it was looked up.
    found: Option<Found>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Writer<'a> {
    view: View<'a>,
    batch: &'a Batch<'a>,
    outcomes: Vec<Option<Outcome>>,
    /// The versions that this batch made, by their places in it.
    versions: BTreeMap<usize, String>,
    /// Whether inserted rows come back without versions: a partitioned table has none to give at that moment.
    is_partitioned: bool,
}

/// What became of one row, and the version that was made.
type Done = (Outcome, Option<String>);

impl Writer<'_> {
    fn all(&mut self) -> Result<(), TargetError> {
        self.passes()?;
        self.look_back()
    }

    /// What was stored is what came back, unless a trigger changed the row once more before the end of its transaction:
    /// then it is another row of the same version. A row of another version was written by somebody else.
    fn look_back(&mut self) -> Result<(), TargetError> {
        let places: Vec<usize> = self.versions.keys().copied().collect();
        let key = |at: &usize| match &self.batch.changes[*at] {
            Change::Update { before, .. } | Change::Delete { before } => self.key_of(before.iter()),
            Change::Insert { after } => {
                self.key_of(after.iter().map(|value| value.as_ref().unwrap_or(&Value::Null)))
            }
        };
        let keys: Vec<Row> = places.iter().map(key).collect();
        let found = self.view.find(self.batch.key, &keys)?;
        for (at, found) in places.into_iter().zip(found) {
            let Some(found) = found.filter(|found| self.versions[&at] == found.version) else { continue };
            self.outcomes[at] = Some(match &self.batch.changes[at] {
                Change::Insert { after } => made(found.row, after),
                Change::Update { after, .. } => applied(found.row, after),
                Change::Delete { .. } => continue,
            });
        }
        Ok(())
    }

    fn passes(&mut self) -> Result<(), TargetError> {
        self.pass()?;
        // What another row of the batch had to give up first may be free by now.
        loop {
            let refused = |outcome: &&mut Option<Outcome>| matches!(outcome, Some(Outcome::Failed { reason }) if reason.starts_with(NOT_UNIQUE));
            let before = self.outcomes.iter_mut().filter(refused).map(|outcome| *outcome = None).count();
            if before == 0 {
                return Ok(());
            }
            self.pass()?;
            if self.outcomes.iter_mut().filter(refused).count() == before {
                return Ok(());
            }
        }
    }

    /// Everything that has no outcome yet.
    fn pass(&mut self) -> Result<(), TargetError> {
        // Rows that leave the same columns to their defaults go together: with unequal rows in one request the API
        // would fill in what a row does not have.
        let mut groups: BTreeMap<Vec<bool>, Vec<usize>> = BTreeMap::new();
        let mut others = Vec::new();
        for (at, change) in self.batch.changes.iter().enumerate() {
            match change {
                _ if self.outcomes[at].is_some() => {}
                Change::Insert { after } => {
                    groups.entry(after.iter().map(Option::is_some).collect()).or_default().push(at);
                }
                Change::Update { before, .. } | Change::Delete { before } => {
                    others.push((at, self.key_of(before.iter())));
                }
            }
        }
        // Deletes and updates first: they may free what an insert wants to have.
        let keys: Vec<Row> = others.iter().map(|(_, key)| key.clone()).collect();
        let found = self.view.find(self.batch.key, &keys)?;
        let work =
            others.into_iter().zip(found).map(|((at, key), found)| Single { at, key, found }).collect();
        let (done, result) = self.each(work);
        for (at, (outcome, version)) in done {
            self.outcomes[at] = Some(outcome);
            self.versions.extend(version.map(|version| (at, version)));
        }
        result?;
        for (given, group) in groups {
            self.insert(&given, &group)?;
        }
        Ok(())
    }

    fn key_of<'v>(&self, row: impl Iterator<Item = &'v Value>) -> Row {
        let row: Vec<&Value> = row.collect();
        self.batch.key.iter().map(|k| row[self.view.position(*k)].clone()).collect()
    }

    /// Updates and deletes, a few at a time: most of a request is waiting for its answer. What was done until one failed.
    fn each(&self, work: Vec<Single>) -> (Vec<(usize, Done)>, Result<(), TargetError>) {
        let workers = work.len().min(REQUESTS_MAX);
        let queue = Mutex::new(work.into_iter());
        let failed: Mutex<Option<TargetError>> = Mutex::new(None);
        let next = || {
            let is_over = lock(&failed).is_some();
            if is_over { None } else { lock(&queue).next() }
        };
        let worker = || {
            let mut done = Vec::new();
            while let Some(Single { at, key, found }) = next() {
                match self.one(&self.batch.changes[at], &key, found) {
                    Ok(outcome) => done.push((at, outcome)),
                    Err(error) => {
                        lock(&failed).get_or_insert(error);
                    }
                }
            }
            done
        };
        let done = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
            let done = workers.into_iter().map(|worker| worker.join().expect("a worker does not panic"));
            done.flatten().collect()
        });
        let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        (done, failed.map_or(Ok(()), Err))
    }

    fn action(&self) -> String {
        format!("write rows of {}", self.batch.table.name)
    }

    /// An update or a delete of a row that was found as `found`. A row that others write meanwhile, to what the batch says
    /// it is, is looked at again a few times.
    fn one(&self, change: &Change, key: &Row, found: Option<Found>) -> Result<Done, TargetError> {
        let (before, after) = match change {
            Change::Update { before, after } => (before, Some(after)),
            Change::Delete { before } => (before, None),
            Change::Insert { .. } => unreachable!("inserts go in bulk"),
        };
        let (mut found, mut was_lost) = (found, false);
        for _ in 0..LOOKS_MAX {
            let row = match judge(found, before, after) {
                Ok(row) => row,
                // The answer to our own first attempt was lost.
                Err(Outcome::Already) if was_lost => return Ok((Outcome::Applied { stored: None }, None)),
                Err(outcome) => return Ok((outcome, None)),
            };
            let Some(request) = self.request_of(&row, key, after) else {
                return Ok((failed(NOT_SAYABLE), None));
            };
            match self.view.http.write_again(&request) {
                Ok(answer) => {
                    was_lost |= answer.was_repeated;
                    if let Some(done) = self.written(&answer, after)? {
                        return Ok(done);
                    }
                }
                Err(Fault { class: Class::Rejected, reason, .. }) => return Ok((failed(reason), None)),
                Err(fault) => return Err(fault.during(&self.action())),
            }
            found = self.view.find(self.batch.key, std::slice::from_ref(key))?.remove(0);
            if found.as_ref().is_some_and(|found| found.version == row.version) {
                return Ok((failed(VETO), None));
            }
        }
        let outcome = match judge(found, before, after) {
            Err(Outcome::Already) if was_lost => Outcome::Applied { stored: None },
            Err(outcome) => outcome,
            Ok(found) => Outcome::Drifted { found: Some(found.row) },
        };
        Ok((outcome, None))
    }

    /// What a PATCH or DELETE of one row did; `None` when it met no row.
    fn written(&self, answer: &Answer, after: Option<&Row>) -> Result<Option<Done>, TargetError> {
        let mut rows = self.view.found(&answer.body, true).map_err(|fault| fault.during(&self.action()))?;
        match (rows.pop(), after) {
            (None, _) => Ok(None),
            (Some(_), _) if !rows.is_empty() => {
                let found = format!("{} rows have the key of one", rows.len() + 1);
                Err(TargetError::failed(self.action(), found))
            }
            (Some(_), None) => Ok(Some((Outcome::Applied { stored: None }, None))),
            (Some(found), Some(after)) => Ok(Some((applied(found.row, after), Some(found.version)))),
        }
    }

    /// The PATCH with what changes, or the DELETE, of one version of one row. `None` when a value cannot be said.
    fn request_of(&self, found: &Found, key: &Row, after: Option<&Row>) -> Option<Request<'_>> {
        let filter = query::is_key(self.batch.table, self.batch.key, &key.iter().collect::<Vec<_>>());
        let mut request = Request {
            method: Method::DELETE,
            query: filter + &is_version(&found.version) + &self.view.select(),
            prefer: RETURN,
            ..self.view.request()
        };
        if let Some(after) = after {
            let is_changed = |i: &usize| !found.row[*i].as_ref().same(after[*i].as_ref());
            let changed: Vec<usize> = (0..after.len()).filter(is_changed).collect();
            let is_key = |i: &usize| self.batch.key.contains(&self.batch.columns[*i]);
            assert!(!changed.iter().any(is_key), "an update never changes the key");
            request.method = Method::PATCH;
            request.body = self.object(&changed, |i| &after[i])?;
        }
        Some(request)
    }

    /// Inserts that give the same columns. A group that the database refuses is halved until single rows are left.
    fn insert(&mut self, given: &[bool], group: &[usize]) -> Result<(), TargetError> {
        let places: Vec<usize> = (0..given.len()).filter(|i| given[*i]).collect();
        let mut body = b"[".to_vec();
        let mut sent = Vec::new();
        for &at in group {
            let Change::Insert { after } = &self.batch.changes[at] else { continue };
            let Some(object) = self.object(&places, |i| after[i].as_ref().expect("it is given")) else {
                self.outcomes[at] = Some(failed(NOT_SAYABLE));
                continue;
            };
            if !sent.is_empty() {
                body.push(b',');
            }
            body.extend_from_slice(&object);
            sent.push(at);
        }
        body.push(b']');
        let columns: Vec<usize> = places.iter().map(|i| self.batch.columns[*i]).collect();
        if !self.batch.key.iter().all(|k| columns.contains(k)) {
            for at in sent {
                self.outcomes[at] =
                    Some(failed("without its key a row cannot be inserted safely through this API"));
            }
            return Ok(());
        }
        if sent.is_empty() {
            return Ok(());
        }
        let table = self.batch.table;
        let select =
            if self.is_partitioned { query::select(table, self.batch.columns) } else { self.view.select() };
        let request = Request {
            method: Method::POST,
            query: query::columns(table, &columns) + &select,
            prefer: RETURN_NEW,
            body,
            ..self.view.request()
        };
        match self.view.http.write_again(&request) {
            Ok(answer) => self.inserted(&sent, &answer),
            Err(fault) if fault.code == "0A000" && !self.is_partitioned => {
                self.is_partitioned = true;
                self.insert(given, &sent)
            }
            Err(Fault { class: Class::Rejected | Class::TooSlow, .. }) if sent.len() > 1 => {
                let (left, right) = sent.split_at(sent.len() / 2);
                self.insert(given, left)?;
                self.insert(given, right)
            }
            Err(Fault { class: Class::Rejected, reason, .. }) => {
                self.outcomes[sent[0]] = Some(failed(reason));
                Ok(())
            }
            Err(fault) => Err(fault.during(&self.action())),
        }
    }

    /// Matches the rows that came back with those that were sent; the others were there before.
    fn inserted(&mut self, sent: &[usize], answer: &Answer) -> Result<(), TargetError> {
        let rows = self.view.found(&answer.body, !self.is_partitioned);
        let rows = rows.map_err(|fault| fault.during(&self.action()))?;
        let mut stored: HashMap<Digest128, Found> =
            rows.into_iter().map(|found| (digest_key(&self.key_of(found.row.iter())), found)).collect();
        let mut left = Vec::new();
        for &at in sent {
            let Change::Insert { after } = &self.batch.changes[at] else { continue };
            let key = self.key_of(after.iter().map(|value| value.as_ref().unwrap_or(&Value::Null)));
            match stored.remove(&digest_key(&key)) {
                Some(Found { row, version }) => {
                    self.outcomes[at] = Some(made(row, after));
                    self.versions.insert(at, version);
                }
                None => left.push((at, key)),
            }
        }
        // What came back and has no key that was sent is one of those that are left, by the hand of a trigger.
        let is_moved = !stored.is_empty();
        let keys: Vec<Row> = left.iter().map(|(_, key)| key.clone()).collect();
        let found = self.view.find(self.batch.key, &keys)?;
        for ((at, _), found) in left.into_iter().zip(found) {
            let Change::Insert { after } = &self.batch.changes[at] else { continue };
            self.outcomes[at] = Some(match found.map(|found| found.row) {
                None if is_moved => failed("a trigger gave the row another key"),
                None => failed(VETO),
                Some(row) if !is_given(&row, after) => Outcome::Drifted { found: Some(row) },
                Some(row) if answer.was_repeated => made(row, after),
                Some(_) => Outcome::Already,
            });
        }
        Ok(())
    }

    /// A JSON object of some columns. `None` when a value cannot be said.
    fn object<'v>(&self, places: &[usize], value: impl Fn(usize) -> &'v Value) -> Option<Vec<u8>> {
        let mut out = b"{".to_vec();
        for (n, &i) in places.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            wire::write_text(&Value::Text(self.view.column(i).name.clone()), &mut out);
            out.push(b':');
            wire::write_member(value(i), &mut out)?;
        }
        out.push(b'}');
        Some(out)
    }
}

/// How the refusal of a key that is taken begins.
const NOT_UNIQUE: &str = "SQLSTATE 23505";

/// Why nothing was done that nobody refused.
const VETO: &str = "a trigger did not let it happen";

fn failed(reason: impl Into<String>) -> Outcome {
    Outcome::Failed { reason: reason.into() }
}

/// Why a value was not sent.
const NOT_SAYABLE: &str = "a JSON null or a text that is no JSON cannot be written through this API";

/// The row that can be changed, or what to say of it instead.
fn judge(found: Option<Found>, before: &Row, after: Option<&Row>) -> Result<Found, Outcome> {
    match (found, after) {
        (None, None) => Err(Outcome::Already),
        (None, Some(_)) => Err(Outcome::Drifted { found: None }),
        (Some(found), Some(after)) if same_row(&found.row, after) => Err(Outcome::Already),
        (Some(found), _) if same_row(&found.row, before) => Ok(found),
        (Some(found), _) => Err(Outcome::Drifted { found: Some(found.row) }),
    }
}

fn applied(row: Row, after: &Row) -> Outcome {
    Outcome::Applied { stored: if same_row(&row, after) { None } else { Some(row) } }
}

/// Whether the row has every value that the insert gives.
fn is_given(row: &Row, after: &[Option<Value>]) -> bool {
    row.iter()
        .zip(after)
        .all(|(row, given)| given.as_ref().is_none_or(|given| row.as_ref().same(given.as_ref())))
}

fn made(row: Row, after: &[Option<Value>]) -> Outcome {
    let is_as_sent = after.iter().all(Option::is_some) && is_given(&row, after);
    Outcome::Applied { stored: if is_as_sent { None } else { Some(row) } }
}
