//! The bounded queue between producers and the writer, and the books, under one lock.
//!
//! Producers append bytes to a segment under a lock that is held for a copy of a few hundred bytes; the writer takes the
//! whole segment and leaves an empty one. So nothing is allocated for a job, a waiting producer is woken once for
//! thousands of jobs, and the counts are exact at every moment.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::group::Outcome;
use super::job::{Event, Job, ROW, table_index};
use super::ledger::{Dropped, FlushReport, Ledger, Recovered, Stats};
use super::options::Full;
use super::table::Table;
use super::value::{RowWriter, length};
use super::{Refused, StoreOptions};

/// Jobs that wait, each with its length in four bytes before it.
#[derive(Debug, Default)]
pub(super) struct Segment {
    pub(super) bytes: Vec<u8>,
    pub(super) jobs: u64,
}

impl Segment {
    /// Makes room for so many bytes more, and never for more than `most`: a vector that grows by itself would take up
    /// to twice that.
    fn reserve(&mut self, more: usize, most: usize) {
        let (length, capacity) = (self.bytes.len(), self.bytes.capacity());
        let needed = length + more;
        if needed > capacity {
            self.bytes.reserve_exact((2 * capacity).min(most).max(needed) - length);
        }
    }
}

/// The queue and the books.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The writer waits here.
    work: Condvar,
    /// Producers wait here while the queue is full.
    room: Condvar,
    /// Flushes and shutdowns wait here.
    progress: Condvar,
    /// Half of the bytes of the queue: one half is filled while the other is written.
    half: usize,
    full: Full,
    /// As many waiting jobs are reason enough not to wait for more.
    group: u64,
    linger: Duration,
}

#[derive(Debug, Default)]
struct State {
    filling: Segment,
    tables: Vec<&'static Table>,
    books: Books,
    /// The writer sleeps until somebody wakes it.
    is_idle: bool,
    /// Until then the writer looks by itself whether something has come: whoever wakes it pays for that.
    looks_until: Option<Instant>,
    /// Somebody waits for what is in the queue.
    is_urgent: bool,
    blocked: u64,
    closing: Option<Instant>,
    is_gone: bool,
    /// What earlier stores left is being looked for.
    is_recovering: bool,
}

/// Counts; those of the ledger that are not here follow from them.
#[derive(Debug, Default)]
pub(super) struct Books {
    accepted: u64,
    pub(super) written: u64,
    pub(super) spilled: u64,
    pub(super) dropped: Dropped,
    pub(super) recovered: Recovered,
    pub(super) retries: u64,
    pub(super) groups: u64,
    pub(super) last_error: Option<String>,
    pub(super) is_spilling: bool,
}

impl Books {
    fn settled(&self) -> u64 {
        self.written + self.spilled + self.failed()
    }

    fn failed(&self) -> u64 {
        self.dropped.sql_error + self.dropped.ddl_error + self.dropped.spill_lost
    }

    fn ledger(&self) -> Ledger {
        Ledger {
            submitted: self.accepted + self.dropped.queue_full + self.dropped.closed,
            written: self.written,
            spilled: self.spilled,
            pending: self.accepted - self.settled(),
            dropped: self.dropped,
            recovered: self.recovered,
        }
    }
}

/// What the writer is to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Write these.
    Batch(Segment),
    /// The time that it wanted to be woken at has come.
    Tick,
    /// Nothing will come any more.
    Closed,
}

thread_local! {
    /// Where a thread puts a row together before it takes the lock.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// For so long after a batch the writer looks for more by itself, each time it has lingered.
const LOOKS_FOR: Duration = Duration::from_millis(100);

/// The length of a job, its tag, its table and the length of its values: what comes before the values of a row.
const ROW_HEAD: usize = 4 + 1 + 2 + 4;
/// Where in a row its table is named.
const ROW_TABLE: usize = 5;

impl Queue {
    pub(super) fn new(options: &StoreOptions) -> Self {
        let state = State { is_recovering: true, ..State::default() };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            room: Condvar::new(),
            progress: Condvar::new(),
            half: options.queue_bytes / 2,
            full: options.full,
            group: u64::from(options.group_jobs),
            linger: options.linger,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one row.
    pub(super) fn push_event<E: Event>(&self, event: &E) -> Result<(), Refused> {
        let mut bytes = SCRATCH.take();
        bytes.clear();
        bytes.extend_from_slice(&[0; ROW_HEAD]);
        event.values(&mut RowWriter::new(&mut bytes));
        let (all, values) = (length(bytes.len() - 4), length(bytes.len() - ROW_HEAD));
        bytes[..4].copy_from_slice(&all);
        bytes[4] = ROW;
        bytes[ROW_HEAD - 4..ROW_HEAD].copy_from_slice(&values);
        let pushed = self.room_for(bytes.len()).map(|mut state| {
            let at = state.filling.bytes.len() + ROW_TABLE;
            state.filling.reserve(bytes.len(), self.half);
            state.filling.bytes.extend_from_slice(&bytes);
            let index = state.index_of(E::TABLE);
            state.filling.bytes[at..at + 2].copy_from_slice(&index);
            self.accept(state);
        });
        SCRATCH.set(bytes);
        pushed
    }

    /// Adds a job.
    pub(super) fn push_job(&self, job: &Job) -> Result<(), Refused> {
        let mut state = self.room_for(job.bytes.len() + 4)?;
        state.filling.reserve(job.bytes.len() + 4, self.half);
        state.append(job);
        self.accept(state);
        Ok(())
    }

    /// Waits for room, as the policy has it, and refuses what cannot be taken; both are counted.
    fn room_for(&self, bytes: usize) -> Result<MutexGuard<'_, State>, Refused> {
        let mut state = self.lock();
        loop {
            if state.closing.is_some() || state.is_gone {
                state.books.dropped.closed += 1;
                return Err(Refused::Closed);
            }
            // One job may be as large as the half, so that a queue of any size takes most jobs.
            if state.filling.bytes.len() + bytes <= self.half {
                return Ok(state);
            }
            if bytes > self.half {
                state.books.dropped.queue_full += 1;
                return Err(Refused::TooLarge { bytes, room: self.half });
            }
            if self.full == Full::DropNewest {
                state.books.dropped.queue_full += 1;
                return Err(Refused::QueueFull);
            }
            state.blocked += 1;
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.blocked -= 1;
        }
    }

    fn accept(&self, mut state: MutexGuard<'_, State>) {
        state.books.accepted += 1;
        state.filling.jobs += 1;
        let wake = state.is_idle || state.filling.jobs == self.group;
        state.is_idle = false;
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Counts a job that is not queued but written at once.
    pub(super) fn accept_inline(&self, job: &Job) -> Result<Segment, Refused> {
        let mut state = self.lock();
        if state.closing.is_some() {
            state.books.dropped.closed += 1;
            return Err(Refused::Closed);
        }
        state.append(job);
        state.books.accepted += 1;
        Ok(Segment { jobs: 1, ..std::mem::take(&mut state.filling) })
    }

    /// Takes what waits, and leaves `spare` to be filled. Waits a little for more to come, unless there is enough or
    /// somebody waits for it; with nothing to write it waits until `tick`, or until something comes.
    pub(super) fn next(&self, spare: Segment, tick: Option<Instant>) -> (Next, Option<Segment>) {
        let mut state = self.lock();
        let mut lingers_until = None;
        loop {
            let is_pressing = state.is_urgent || state.closing.is_some() || state.filling.jobs >= self.group;
            let now = Instant::now();
            if state.filling.jobs > 0 {
                let until = *lingers_until.get_or_insert(now + self.linger);
                if is_pressing || now >= until {
                    state.is_urgent = false;
                    let batch = std::mem::replace(&mut state.filling, spare);
                    state.looks_until = Some(now + LOOKS_FOR);
                    if state.blocked > 0 {
                        self.room.notify_all();
                    }
                    return (Next::Batch(batch), None);
                }
                state = self.sleep(state, Some(until - now));
                continue;
            }
            if state.closing.is_some() {
                return (Next::Closed, Some(spare));
            }
            if tick.is_some_and(|tick| now >= tick) {
                return (Next::Tick, Some(spare));
            }
            let rest = tick.map(|tick| tick - now);
            if state.looks_until.is_some_and(|until| now < until) && !self.linger.is_zero() {
                // What comes meanwhile has waited by then.
                lingers_until = Some(now + self.linger);
                state = self.sleep(state, Some(rest.map_or(self.linger, |rest| rest.min(self.linger))));
                continue;
            }
            state.is_idle = true;
            state = self.sleep(state, rest);
            state.is_idle = false;
            lingers_until = None;
        }
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, State>, span: Option<Duration>) -> MutexGuard<'a, State> {
        match span {
            None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(span) => self.work.wait_timeout(state, span).unwrap_or_else(PoisonError::into_inner).0,
        }
    }

    /// Lets the writer sleep before it tries again; being told to close ends it early.
    pub(super) fn pause(&self, span: Duration) {
        let state = self.lock();
        if state.closing.is_none() {
            drop(self.sleep(state, Some(span)));
        } else {
            drop(state);
            std::thread::sleep(span.min(Duration::from_millis(20)));
        }
    }

    /// Changes the books, and wakes who waits for that.
    pub(super) fn settle(&self, change: impl FnOnce(&mut Books)) {
        change(&mut self.lock().books);
        self.progress.notify_all();
    }

    /// The tables that jobs name by their place in this list, those after the first `known`.
    pub(super) fn tables_after(&self, known: usize) -> Vec<&'static Table> {
        self.lock().tables.get(known..).unwrap_or_default().to_vec()
    }

    /// How full the half is that is being filled, from 0 to 1.
    pub(super) fn fill(&self) -> f64 {
        self.lock().filling.bytes.len() as f64 / self.half.max(1) as f64
    }

    /// When the writer has to be done, once it was told to close.
    pub(super) fn closes_at(&self) -> Option<Instant> {
        self.lock().closing
    }

    /// Takes no more jobs; the writer has until `deadline`. `false` when that was said before.
    pub(super) fn close(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        let is_first = state.closing.is_none();
        state.closing.get_or_insert(deadline);
        drop(state);
        self.work.notify_all();
        self.room.notify_all();
        is_first
    }

    /// The writer has ended, in whatever way.
    pub(super) fn leave(&self) {
        let mut state = self.lock();
        state.is_gone = true;
        state.is_recovering = false;
        drop(state);
        self.room.notify_all();
        self.progress.notify_all();
    }

    pub(super) fn recovered(&self) {
        self.lock().is_recovering = false;
        self.progress.notify_all();
    }

    /// Waits until what is in the queue now has been settled, until the writer has gone, or until `timeout`.
    pub(super) fn flush(&self, timeout: Duration) -> FlushReport {
        let deadline = Instant::now() + timeout;
        let mut state = self.lock();
        let target = state.books.accepted;
        loop {
            let pending = target.saturating_sub(state.books.settled());
            let now = Instant::now();
            if (pending == 0 && !state.is_recovering) || state.is_gone || now >= deadline {
                return FlushReport {
                    written: state.books.written,
                    failed: state.books.failed(),
                    spilled: state.books.spilled,
                    pending,
                    recovering: state.is_recovering,
                    last_error: state.books.last_error.clone(),
                };
            }
            state.is_urgent = true;
            self.work.notify_one();
            let waited = self.progress.wait_timeout(state, deadline - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until the writer has ended, at most until `deadline`.
    pub(super) fn wait_until_gone(&self, deadline: Instant) -> bool {
        let mut state = self.lock();
        while !state.is_gone {
            let now = Instant::now();
            if now >= deadline {
                return false;
            }
            let waited = self.progress.wait_timeout(state, deadline - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    pub(super) fn ledger(&self) -> Ledger {
        self.lock().books.ledger()
    }

    pub(super) fn stats(&self) -> Stats {
        let state = self.lock();
        let ledger = state.books.ledger();
        Stats {
            depth: ledger.pending,
            ledger,
            queue_bytes: state.filling.bytes.len(),
            retries: state.books.retries,
            groups: state.books.groups,
            last_error: state.books.last_error.clone(),
            is_spilling: state.books.is_spilling,
            is_writer_alive: !state.is_gone,
        }
    }
}

impl State {
    /// A constant may be at several addresses, so a table that is not known by its address may be known by its name.
    fn index_of(&mut self, table: &'static Table) -> [u8; 2] {
        let is_same = |other: &&Table| (other.name, other.version) == (table.name, table.version);
        let by_address = self.tables.iter().position(|other| std::ptr::eq(*other, table));
        let known = by_address.or_else(|| self.tables.iter().position(is_same));
        table_index(known.unwrap_or_else(|| {
            self.tables.push(table);
            self.tables.len() - 1
        }))
    }

    /// Appends a job, its tables named as the queue names them.
    fn append(&mut self, job: &Job) {
        let indexes: Vec<[u8; 2]> = job.tables.iter().map(|&table| self.index_of(table)).collect();
        let bytes = &mut self.filling.bytes;
        bytes.extend_from_slice(&length(job.bytes.len()));
        let start = bytes.len();
        bytes.extend_from_slice(&job.bytes);
        for name in &job.names {
            let place = &mut bytes[start + name..start + name + 2];
            let index = usize::from(u16::from_le_bytes([place[0], place[1]]));
            place.copy_from_slice(&indexes[index]);
        }
    }
}

impl Books {
    /// Books a part of a spill file. What this store spilled is counted as spilled until then.
    pub(super) fn replayed(&mut self, outcome: &Outcome, is_own: bool, damaged: u64, is_torn: bool) {
        if outcome.last_error.is_some() {
            self.last_error.clone_from(&outcome.last_error);
        }
        if is_own {
            self.spilled -= (outcome.written + outcome.failed() + damaged).min(self.spilled);
            self.written += outcome.written;
            self.dropped.sql_error += outcome.sql_errors;
            self.dropped.ddl_error += outcome.ddl_errors;
            self.dropped.spill_lost += damaged;
        } else {
            self.recovered.written += outcome.written;
            self.recovered.failed += outcome.failed();
            self.recovered.damaged += damaged;
            self.recovered.torn_tails += u64::from(is_torn);
        }
    }
}
