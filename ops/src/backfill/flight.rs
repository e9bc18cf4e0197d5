//! One candidate under way: step by step, each written down before it is done and believed only when it was read back.
//!
//! A step is done only while its result is not current, whoever made it so. It is repeated only when reading back showed
//! that nothing was written, and when doing it twice does no harm. What was sent by a process that was killed may still
//! arrive: it is waited for until its time is over before anything is sent again.

use std::time::Duration;

use super::BackfillError;
use super::image::{Images, RowChange, chained, differences, same_rows};
use super::journal::{Ended, Line, OperationResult, Prior};
use super::plan::{Candidate, Effect, Has};
use super::pool::{Job, Pool};
use super::run::Runner;
use super::settings::{Scalar, Step};
use crate::clock::Stamp;
use crate::target::calls::{Lost, Reply};
use crate::target::{Batch, Change, Outcome, TargetError};
use crate::value::{Kind, Row, Value, write_json};

/// How often a call that may still arrive is looked for.
const LOOK: Duration = Duration::from_millis(200);
/// The longest pause before a step is tried again, unless the server asks for more.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A candidate under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) candidate: Candidate,
    /// Its rows before this attempt.
    before: Images,
    /// Its rows when they were last read.
    seen: Images,
    /// What earlier attempts changed.
    earlier: Vec<RowChange>,
    step: usize,
    tries: u32,
    /// Not before this time.
    due: Duration,
    /// Whether its rows must be read before the next step.
    is_stale: bool,
    /// The step that a killed process sent last, and until when that may still arrive.
    settles: Option<(usize, Duration)>,
    /// When the call under way was sent.
    sent: Option<(Stamp, Duration)>,
    /// What came back.
    pub(super) reply: Option<Reply>,
    kept: bool,
    /// Whether anything was sent for it.
    is_sent: bool,
    /// Whether a result was found by reading back after an answer that was none.
    late: bool,
}

/// What became of letting a candidate go on.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is over.
    Ended(Ended),
    /// It stays open, for the next run.
    Abandoned,
    /// It can go on after this time.
    Waits(Duration),
    /// A call is under way.
    Calls,
}

/// How an operation that was not verified ended, and why.
type Stop = (Ended, String);

impl Runner<'_, '_> {
    /// Writes down that a candidate is begun, with its rows.
    pub(super) fn begin(
        &mut self,
        candidate: Candidate,
        images: Images,
        prior: Option<Prior>,
    ) -> Result<Flight, BackfillError> {
        let (now, at) = (self.context.pace.now(), self.context.pace.elapsed());
        let prior = prior.unwrap_or_default();
        let mut settles = None;
        let before = if let (Some(before), Some(sent)) = (prior.before, &prior.called) {
            let since = Stamp::parse_db(sent).map_or(Duration::ZERO, |sent| now.since(sent));
            settles = self.timeout().checked_sub(since).map(|left| (prior.step, at + left));
            before
        } else {
            self.journal.begin(candidate.n, now, &images);
            images.clone()
        };
        self.script.begun(candidate.n, &candidate.id, self.shapes, &before)?;
        Ok(Flight {
            candidate,
            before,
            seen: images,
            earlier: prior.changes,
            step: 0,
            tries: 0,
            due: Duration::ZERO,
            is_stale: false,
            settles,
            sent: None,
            reply: None,
            kept: false,
            is_sent: false,
            late: false,
        })
    }

    fn timeout(&self) -> Duration {
        self.settings.timeout.unwrap_or(Duration::from_secs(self.facts().timeout_seconds))
    }

    /// Lets a candidate go on as far as it can.
    pub(super) fn turn(
        &mut self,
        flight: &mut Flight,
        pool: &mut Pool<'_>,
        stopping: bool,
    ) -> Result<Turn, BackfillError> {
        loop {
            if flight.sent.is_some() {
                let Some(reply) = flight.reply.take() else { return Ok(Turn::Calls) };
                if let Some(stop) = self.landed(flight, &reply)? {
                    return self.finish(flight, Some(stop));
                }
                continue;
            }
            let facts = self.facts();
            let steps = &facts.batches[flight.candidate.batch].steps;
            let Some(step) = steps.get(flight.step) else { return self.finish(flight, None) };
            let table = facts.written_by(step);
            if let Some(span) = self.must_wait(flight)? {
                return Ok(if stopping { self.abandon()? } else { Turn::Waits(span) });
            }
            let has = self.shapes[table].has(&flight.seen[table]);
            match facts.results[table].effect(step, has) {
                Effect::Nothing | Effect::Kept => {
                    flight.kept |= has == Has::Other;
                    (flight.step, flight.tries) = (flight.step + 1, 0);
                }
                Effect::New | Effect::Updated | Effect::Nowhere => match &step.function {
                    Some(function) => {
                        if let Some(span) = self.send(flight, pool, step, function)? {
                            return Ok(if stopping && flight.step == 0 {
                                self.abandon()?
                            } else {
                                Turn::Waits(span)
                            });
                        }
                    }
                    None => {
                        if let Some(stop) = self.statement(flight, step, table)? {
                            return self.finish(flight, Some(stop));
                        }
                    }
                },
            }
        }
    }

    /// How long until the next step may be tried; its rows are as they are now when it may.
    fn must_wait(&mut self, flight: &mut Flight) -> Result<Option<Duration>, BackfillError> {
        let at = self.context.pace.elapsed();
        if let Some((step, until)) = flight.settles {
            flight.seen = self.context.images(self.shapes, &flight.candidate)?;
            let steps = &self.facts().batches[flight.candidate.batch].steps;
            let table = steps.get(step).map_or(0, |step| self.facts().written_by(step));
            let is_there = self.shapes[table].has(&flight.seen[table]) == Has::Current;
            if !is_there && at < until {
                return Ok(Some(LOOK.min(until.saturating_sub(at))));
            }
            flight.settles = None;
        }
        if flight.due > at {
            return Ok(Some(flight.due.saturating_sub(at)));
        }
        if std::mem::take(&mut flight.is_stale) {
            flight.seen = self.context.images(self.shapes, &flight.candidate)?;
        }
        Ok(None)
    }

    fn abandon(&mut self) -> Result<Turn, BackfillError> {
        self.commit()?;
        Ok(Turn::Abandoned)
    }

    /// Writes down that a function is about to be called, and calls it; how long to wait where calls are limited.
    fn send(
        &mut self,
        flight: &mut Flight,
        pool: &mut Pool<'_>,
        step: &Step,
        function: &str,
    ) -> Result<Option<Duration>, BackfillError> {
        let at = self.context.pace.elapsed();
        if let Some(span) = self.calls.as_ref().and_then(|rate| rate.wait(at)) {
            return Ok(Some(span));
        }
        let body = body(&self.facts().parameter, &flight.candidate.id, step);
        self.intend(flight)?;
        // The books may have taken their time: what the server sees is when it is sent.
        let at = self.context.pace.elapsed();
        if let Some(rate) = &mut self.calls {
            rate.went(at);
        }
        if !std::mem::replace(&mut flight.is_sent, true) {
            self.sessions.went(at);
        }
        let (n, function, timeout) = (flight.candidate.n, function.to_owned(), self.timeout());
        pool.start(Job { n, function, body, timeout });
        if let Pool::Inline { done, .. } = pool
            && let Some((_, reply)) = done.pop_front()
        {
            flight.reply = Some(reply);
        }
        Ok(None)
    }

    /// Puts on disk that an operation is about to be done.
    fn intend(&mut self, flight: &mut Flight) -> Result<(), BackfillError> {
        flight.tries += 1;
        let now = self.context.pace.now();
        let (n, step, tries) = (flight.candidate.n, flight.step, flight.tries);
        self.journal.put(&Line::Call { n, step, tries, at: now.db() });
        self.commit()?;
        flight.sent = Some((now, self.context.pace.elapsed()));
        Ok(())
    }

    /// A call is over: reads back, and says what it was. `None` goes on, with the next step or the same one again.
    fn landed(&mut self, flight: &mut Flight, reply: &Reply) -> Result<Option<Stop>, BackfillError> {
        let facts = self.facts();
        let step = &facts.batches[flight.candidate.batch].steps[flight.step];
        let table = facts.written_by(step);
        let (is_current, changed) = self.read_back(flight, table)?;
        let end = match (is_current, changed) {
            (true, _) => Ended::Verified,
            (false, true) => Ended::WrongStamp,
            (false, false) => said(reply),
        };
        let why = match end {
            Ended::Verified if reply.is_success() => String::new(),
            Ended::Verified => format!("found by reading back after {}", reply.words()),
            _ => reply.words(),
        };
        self.note(flight, end, reply.status, &why);
        if end == Ended::Verified {
            flight.late |= !reply.is_success();
            (flight.step, flight.tries) = (flight.step + 1, 0);
            return Ok(None);
        }
        if !changed && flight.tries < facts.tries_max && may_repeat(step, reply) {
            flight.due = self.context.pace.elapsed() + self.backoff(flight.tries, reply.retry_after);
            flight.is_stale = true;
            return Ok(None);
        }
        Ok(Some((end, why)))
    }

    /// Reads the rows again; whether the result is current, and whether its table changed.
    fn read_back(&mut self, flight: &mut Flight, table: usize) -> Result<(bool, bool), BackfillError> {
        let now = self.context.images(self.shapes, &flight.candidate)?;
        let was = std::mem::replace(&mut flight.seen, now);
        let shape = &self.shapes[table];
        let is_current = shape.has(&flight.seen[table]) == Has::Current;
        Ok((is_current, !same_rows(&was[table], &flight.seen[table])))
    }

    fn note(&mut self, flight: &mut Flight, end: Ended, status: Option<u16>, why: &str) {
        let (began, since) = flight.sent.take().expect("an operation was under way");
        let spent = self.context.pace.elapsed().saturating_sub(since);
        self.journal.put(&Line::Result(OperationResult {
            n: flight.candidate.n,
            step: flight.step,
            tries: flight.tries,
            sent: began.db(),
            at: self.context.pace.now().db(),
            ms: u64::try_from(spent.as_millis()).unwrap_or(u64::MAX),
            status,
            end,
            why: why.to_owned(),
        }));
    }

    fn backoff(&mut self, tries: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.settings.pause.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(PAUSE_MAX);
        let random = u64::from_str_radix(&self.context.ids.hex("jitter", 2), 16).unwrap_or(0);
        let jitter = doubled.mul_f64(random as f64 / 65_536.0 / 4.0);
        asked.unwrap_or_default().max(doubled + jitter)
    }

    /// Does a step that is no call.
    fn statement(
        &mut self,
        flight: &mut Flight,
        step: &Step,
        table: usize,
    ) -> Result<Option<Stop>, BackfillError> {
        self.intend(flight)?;
        let done = match &step.sql {
            Some(sql) => {
                self.context.target.execute(sql, std::slice::from_ref(&flight.candidate.id)).map(drop)
            }
            None => self.set(flight, step, table),
        };
        let (refused, why) = match done {
            Ok(()) => (None, String::new()),
            Err(TargetError::Rejected { reason }) => (Some(Ended::Refused), reason),
            Err(error @ (TargetError::Transient { .. } | TargetError::TooSlow { .. })) => {
                (Some(Ended::Failed), error.to_string())
            }
            Err(TargetError::InDoubt { reason }) => (Some(Ended::Lost), reason),
            Err(error) => return Err(error.into()),
        };
        let (is_current, changed) = self.read_back(flight, table)?;
        let end = match (is_current, changed) {
            (true, _) => Ended::Verified,
            (false, true) => Ended::WrongStamp,
            (false, false) => refused.unwrap_or(Ended::NoData),
        };
        let why = if end == Ended::NoData && why.is_empty() { "no row was written".to_owned() } else { why };
        self.note(flight, end, None, &why);
        if end == Ended::Verified {
            (flight.step, flight.tries) = (flight.step + 1, 0);
            return Ok(None);
        }
        Ok(Some((end, why)))
    }

    /// Sets columns of the candidate's rows, which must be what was read.
    fn set(&mut self, flight: &Flight, step: &Step, table: usize) -> Result<(), TargetError> {
        let shape = &self.shapes[table];
        let changes: Vec<Change> = flight.seen[table]
            .iter()
            .map(|before| {
                let mut after: Row = before.clone();
                for (name, scalar) in &step.set {
                    let index = shape.table.column(name);
                    let place = shape.columns.iter().position(|column| Some(*column) == index);
                    if let (Some(index), Some(place)) = (index, place) {
                        after[place] = value_of(shape.table.columns[index].kind, scalar);
                    }
                }
                Change::Update { before: before.clone(), after }
            })
            .collect();
        let now = self.context.pace.now();
        let Some(lease) = &mut self.lease else { return Ok(()) };
        let first = lease.position;
        lease.position += changes.len() as u64;
        let batch = Batch {
            table: &shape.table,
            columns: &shape.columns,
            key: &shape.key,
            run: &lease.run,
            first,
            changes: &changes,
            now,
        };
        let outcomes = self.context.target.apply(&batch)?;
        match outcomes.into_iter().find_map(|outcome| match outcome {
            Outcome::Failed { reason } => Some(reason),
            Outcome::Drifted { .. } => Some("the row changed while it was looked at".to_owned()),
            Outcome::Applied { .. } | Outcome::Already => None,
        }) {
            Some(reason) => Err(TargetError::Rejected { reason }),
            None => Ok(()),
        }
    }

    /// Writes down how a candidate ended, with everything that it changed.
    fn finish(&mut self, flight: &mut Flight, stop: Option<Stop>) -> Result<Turn, BackfillError> {
        let changes = differences(self.shapes, &flight.before, &flight.seen);
        let changes = chained(self.shapes, std::mem::take(&mut flight.earlier), changes);
        let (end, why) = stop.unwrap_or_else(|| match (changes.is_empty(), flight.kept) {
            (false, _) => (Ended::Verified, String::new()),
            (true, true) => (Ended::Kept, String::new()),
            (true, false) => (Ended::Current, String::new()),
        });
        let n = flight.candidate.n;
        self.journal.end(n, self.context.pace.now(), (end, flight.late, &why), &changes);
        self.commit()?;
        self.script.ended(n, self.shapes, &changes)?;
        Ok(Turn::Ended(end))
    }
}

/// The body of a call: the id, and the parameters of the step.
fn body(parameter: &str, id: &Value, step: &Step) -> String {
    let mut json = Vec::new();
    json.push(b'{');
    write_json(Value::Text(parameter.to_owned()).as_ref(), &mut json);
    json.push(b':');
    write_json(id.as_ref(), &mut json);
    for (name, value) in &step.params {
        json.push(b',');
        write_json(Value::Text(name.clone()).as_ref(), &mut json);
        json.push(b':');
        json.extend_from_slice(value.to_string().as_bytes());
    }
    json.push(b'}');
    String::from_utf8(json).expect("JSON is UTF-8")
}

/// What a reply says where nothing was written.
fn said(reply: &Reply) -> Ended {
    match (reply.status, reply.lost) {
        (Some(200..=299), _) => Ended::NoData,
        (Some(400..=499), _) => Ended::Refused,
        (Some(_), _) => Ended::Failed,
        (None, Some(Lost::TimedOut)) => Ended::TimedOut,
        (None, _) => Ended::Lost,
    }
}

/// Whether a call that wrote nothing may be made again.
fn may_repeat(step: &Step, reply: &Reply) -> bool {
    match (reply.status, reply.lost) {
        (None, Some(Lost::NotSent)) | (Some(429), _) => true,
        (None | Some(408 | 425 | 502 | 503 | 504 | 546), _) => step.idempotent,
        (Some(_), _) => false,
    }
}

/// A value of the settings as a column of this kind holds it.
fn value_of(kind: Kind, scalar: &Scalar) -> Value {
    match (kind, scalar) {
        (Kind::Number, Scalar::Int(n)) => Value::Number(n.to_string()),
        (Kind::Number, Scalar::Real(x)) => Value::Number(x.to_string()),
        (Kind::Real, Scalar::Int(n)) => Value::Real(*n as f64),
        (Kind::Json, Scalar::Text(text)) => Value::Json(text.clone()),
        (Kind::Any, Scalar::Bool(b)) => Value::Int(i64::from(*b)),
        (_, scalar) => scalar.as_value().to_value(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_repeated_only_where_that_does_no_harm() {
        let once = Step::default();
        let again = Step { idempotent: true, ..Step::default() };
        for (reply, harmless, any) in [
            (Reply::status(429), true, true),
            (Reply::lost(Lost::NotSent), true, true),
            (Reply::status(503), true, false),
            (Reply::status(546), true, false),
            (Reply::lost(Lost::TimedOut), true, false),
            (Reply::lost(Lost::CutOff), true, false),
            (Reply::status(400), false, false),
            (Reply::status(500), false, false),
            (Reply::status(200), false, false),
        ] {
            assert_eq!((may_repeat(&again, &reply), may_repeat(&once, &reply)), (harmless, any), "{reply:?}");
        }
    }

    #[test]
    fn the_body_is_that_of_the_original() {
        let mut step = Step::default();
        step.params.insert("basis".into(), "functions".into());
        let id = Value::Text("a\"b".into());
        assert_eq!(body("session_id", &id, &step), r#"{"session_id":"a\"b","basis":"functions"}"#);
        assert_eq!(body("id", &Value::Int(7), &Step::default()), r#"{"id":7}"#);
    }
}
