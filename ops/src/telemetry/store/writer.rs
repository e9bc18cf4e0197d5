//! The writer: takes what waits, writes it in groups, and keeps it safe when the database is not available.
//!
//! It must never lose a job without counting it, and never hold up the producers for the sake of a locked database:
//! after a while jobs go to the spill file, and from there into the database, in the order they came.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::StoreOptions;
use super::group::{self, Ensured, Jobs, Mark, Outcome, Shape, Terms};
use super::health::Beat;
use super::queue::{Next, Queue, Segment};
use super::sink::{Driver, Sink, SinkError};
use super::spill::Spill;
use crate::clock::{Clock, Stamp};
use crate::files::FileError;

/// How long the database may be away before a queue that fills up is a reason to spill.
const PRESSING_AFTER: Duration = Duration::from_millis(250);
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long jobs from spill files are written before the queue gets a turn.
const REPLAY_SLICE: Duration = Duration::from_millis(100);
/// At most this many bytes are read from, or flushed to, a spill file at once.
const SPILL_PIECE: usize = 2 << 20;
/// A spill file that does not take so few bytes takes nothing.
const SPILL_PIECE_MIN: usize = 4 << 10;

/// Spilled jobs on their way into the database, with the tables that the file defines.
#[derive(Debug)]
struct Replay {
    spill: Spill,
    shapes: Vec<Shape>,
    /// Whether this store has made it; else it was left by another one.
    is_own: bool,
    /// Whether it is known how far the database has it.
    is_placed: bool,
}

/// What writes.
pub(super) struct Writer {
    driver: Arc<dyn Driver>,
    queue: Arc<Queue>,
    options: Settings,
    sink: Option<Box<dyn Sink>>,
    ensured: Ensured,
    shapes: Vec<Shape>,
    /// What is to be replayed, the oldest first. An own one is the last, and takes what comes while it is there.
    replays: Vec<Replay>,
    spills_made: u32,
    groups_made: u64,
    doubt: Option<Outcome>,
    /// Since when the database has not been available.
    trouble: Option<Instant>,
    pause: Duration,
    next_try: Option<Instant>,
    last_batch: u64,
    /// When the writer says next how it is doing; never before it has written something.
    next_beat: Option<Instant>,
    has_beaten: bool,
    started: Stamp,
}

/// The part of the options that the writer needs.
#[derive(Debug)]
struct Settings {
    group_jobs: u64,
    spill_after: Duration,
    spill_dir: Option<std::path::PathBuf>,
    spill_prefix: String,
    spill_bytes_max: u64,
    lock_timeout: Duration,
    heartbeat: Duration,
    clock: Clock,
    id: String,
}

impl Writer {
    /// A writer with a first connection, if there is one.
    pub(super) fn new(
        driver: Arc<dyn Driver>,
        queue: Arc<Queue>,
        options: &StoreOptions,
        sink: Option<Box<dyn Sink>>,
    ) -> Self {
        let (place, spill_prefix) = driver.spill_place();
        let options = Settings {
            group_jobs: u64::from(options.group_jobs.max(1)),
            spill_after: options.spill_after,
            spill_dir: options.spill_dir.clone().or(place),
            spill_prefix,
            spill_bytes_max: options.spill_bytes_max,
            lock_timeout: options.lock_timeout,
            heartbeat: options.heartbeat,
            clock: options.clock,
            id: options.id.clone(),
        };
        let started = options.clock.now();
        Self {
            driver,
            queue,
            options,
            sink,
            ensured: Ensured::default(),
            shapes: Vec::new(),
            replays: Vec::new(),
            spills_made: 0,
            groups_made: 0,
            doubt: None,
            trouble: None,
            pause: Duration::ZERO,
            next_try: None,
            last_batch: 0,
            next_beat: None,
            has_beaten: false,
            started,
        }
    }

    /// The life of the writer's thread.
    pub(super) fn run(mut self) {
        let _leave = Leave(Arc::clone(&self.queue));
        self.adopt();
        self.catch_up();
        let mut spare = Segment::default();
        loop {
            let tick = [self.next_try, self.next_beat].into_iter().flatten().min();
            let (next, unused) = self.queue.next(spare, tick);
            spare = unused.unwrap_or_default();
            match next {
                Next::Batch(mut batch) => {
                    self.batch(&batch.bytes);
                    batch.bytes.clear();
                    spare = Segment { bytes: batch.bytes, jobs: 0 };
                }
                Next::Tick => {}
                Next::Closed => break,
            }
            self.catch_up();
            if self.next_beat.is_some_and(|at| Instant::now() >= at) {
                self.beat(false);
            }
        }
        while self.next_try.is_some() && !self.is_late() {
            self.next_try = Some(Instant::now());
            self.catch_up();
            if self.trouble.is_some() {
                self.queue.pause(self.pause);
            }
        }
        if self.next_beat.is_some() {
            self.beat(true);
        }
    }

    /// Says in the database how it is doing, unless that would have to wait.
    fn beat(&mut self, is_last: bool) {
        self.next_beat = Some(Instant::now() + self.options.heartbeat);
        let Some(sink) = self.sink.as_mut().filter(|_| self.trouble.is_none() && self.doubt.is_none()) else {
            return;
        };
        let (now, stats) = (self.options.clock.now(), self.queue.stats());
        let beat = Beat { id: &self.options.id, started: self.started, now, is_last, stats: &stats };
        if sink.is_current() {
            let told = beat.tell(sink.as_mut(), self.driver.dialect(), !self.has_beaten);
            self.has_beaten = told.is_ok();
        }
    }

    /// Looks for what earlier stores left.
    pub(super) fn adopt(&mut self) {
        let Some(dir) = &self.options.spill_dir else { return self.queue.recovered() };
        let orphans = Spill::orphans(dir, &self.options.spill_prefix);
        let replay = |spill| Replay { spill, shapes: Vec::new(), is_own: false, is_placed: false };
        self.replays = orphans.into_iter().map(replay).collect();
        if self.replays.is_empty() {
            self.queue.recovered();
        } else {
            self.next_try = Some(Instant::now());
        }
    }

    fn is_late(&self) -> bool {
        self.queue.closes_at().is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn owns_spill(&self) -> bool {
        self.replays.last().is_some_and(|replay| replay.is_own)
    }

    /// Writes or spills all jobs of a batch; only when neither can be done until closing is over they are lost.
    fn batch(&mut self, bytes: &[u8]) {
        self.learn_tables();
        self.last_batch = bytes.len() as u64;
        let mut jobs = Jobs { bytes };
        let mut jobs_max = self.options.group_jobs;
        while !jobs.is_empty() {
            let is_late = self.is_late();
            if self.owns_spill() || is_late {
                match self.spill(&mut jobs) {
                    Ok(()) => return,
                    Err(error) => self.fail(&SinkError::Unavailable { text: error, is_lost: false }),
                }
                if is_late {
                    let lost = jobs.count();
                    self.queue.settle(|books| books.dropped.spill_lost += lost);
                    return;
                }
                self.queue.pause(self.pause);
                self.catch_up();
                continue;
            }
            match self.write(jobs, jobs_max) {
                Ok(outcome) => {
                    jobs.bytes = &jobs.bytes[outcome.bytes..];
                    jobs_max = self.options.group_jobs;
                    self.settle(&outcome);
                }
                Err(SinkError::Rejected(text)) => self.reject(&mut jobs, &mut jobs_max, text),
                Err(error) => self.wait_or_spill(&error, &mut jobs),
            }
        }
    }

    /// The group was refused as a whole, when it was committed: its jobs are tried alone, and one alone has failed.
    fn reject(&self, jobs: &mut Jobs<'_>, jobs_max: &mut u64, text: String) {
        if std::mem::replace(jobs_max, 1) > 1 {
            return;
        }
        jobs.take_job();
        self.queue.settle(|books| {
            books.dropped.sql_error += 1;
            books.last_error = Some(text);
        });
    }

    fn wait_or_spill(&mut self, error: &SinkError, jobs: &mut Jobs<'_>) {
        self.fail(error);
        let away = self.trouble.map_or(Duration::ZERO, |since| since.elapsed());
        let is_pressing = away >= PRESSING_AFTER && self.queue.fill() >= 0.5;
        if away >= self.options.spill_after || is_pressing {
            match self.spill(jobs) {
                Ok(()) => return,
                Err(text) => self.fail(&SinkError::Unavailable { text, is_lost: false }),
            }
        }
        self.queue.pause(self.pause);
    }

    /// Notes that the database is not available, and waits longer before the next try, not in step with others.
    fn fail(&mut self, error: &SinkError) {
        self.trouble.get_or_insert_with(Instant::now);
        let jitter = xxhash_rust::xxh3::xxh3_64(&self.options.id.as_bytes()[..8.min(self.options.id.len())])
            .wrapping_add(self.pause.subsec_nanos().into())
            % 10;
        self.pause = (self.pause * 2 + Duration::from_millis(2 + jitter)).min(PAUSE_MAX);
        self.queue.settle(|books| {
            books.retries += 1;
            books.last_error = Some(error.to_string());
        });
    }

    fn settle(&mut self, outcome: &Outcome) {
        self.next_beat.get_or_insert_with(Instant::now);
        self.trouble = None;
        self.pause = Duration::ZERO;
        self.queue.settle(|books| {
            books.written += outcome.written;
            books.dropped.sql_error += outcome.sql_errors;
            books.dropped.ddl_error += outcome.ddl_errors;
            books.groups += 1;
            if outcome.last_error.is_some() {
                books.last_error.clone_from(&outcome.last_error);
            }
        });
    }

    fn learn_tables(&mut self) {
        let dialect = self.driver.dialect();
        let new = self.queue.tables_after(self.shapes.len());
        self.shapes.extend(new.into_iter().map(|table| Shape::of(table, dialect)));
    }

    /// Connects when there is no connection, or when another database is in its place.
    fn connect(&mut self) -> Result<(), SinkError> {
        if self.sink.as_mut().is_some_and(|sink| !sink.is_current()) {
            self.disconnect();
        }
        if self.sink.is_none() {
            self.sink = Some(self.driver.connect()?);
        }
        Ok(())
    }

    fn disconnect(&mut self) {
        self.sink = None;
        self.ensured = Ensured::default();
    }

    /// Writes a group of the queue.
    fn write(&mut self, jobs: Jobs<'_>, jobs_max: u64) -> Result<Outcome, SinkError> {
        self.connect()?;
        let sink = self.sink.as_mut().expect("it is connected");
        let is_certain = sink.has_certain_commits();
        if let Some(outcome) = self.doubt.take_if(|_| !is_certain) {
            match group::mark(sink.as_mut(), &self.options.id) {
                Ok(position) if position >= self.groups_made => return Ok(outcome),
                Ok(_) => {}
                Err(error) => {
                    self.doubt = Some(outcome);
                    return Err(self.lose(error));
                }
            }
        }
        self.groups_made += 1;
        let mark = Mark { id: &self.options.id, position: self.groups_made };
        let terms = Terms {
            jobs_max,
            is_durable: false,
            mark: (!is_certain).then_some(mark),
            is_whole: false,
            dialect: self.driver.dialect(),
        };
        let (ensured, doubt) = (&mut self.ensured, &mut self.doubt);
        let written = group::write(sink.as_mut(), jobs, &self.shapes, ensured, terms, doubt);
        written.map_err(|error| self.lose(error))
    }

    /// Drops the connection when an error says that it is lost.
    fn lose(&mut self, error: SinkError) -> SinkError {
        if matches!(error, SinkError::Unavailable { is_lost: true, .. }) {
            self.disconnect();
        } else {
            self.doubt = None;
        }
        error
    }

    /// Moves jobs to the spill file; those that it took are taken off `jobs`.
    fn spill(&mut self, jobs: &mut Jobs<'_>) -> Result<(), String> {
        if !self.owns_spill() {
            let dir = self.options.spill_dir.as_deref().ok_or("there is no folder for a spill file")?;
            let id = format!("{}.{}", self.options.id, self.spills_made);
            let spill = Spill::create(dir, &self.options.spill_prefix, &id)
                .map_err(|error| FileError::new("make a spill file in", dir, error).to_string())?;
            self.spills_made += 1;
            self.replays.push(Replay { spill, shapes: Vec::new(), is_own: true, is_placed: true });
            self.next_try.get_or_insert(Instant::now() + self.pause);
        }
        let own = self.replays.last_mut().expect("it was made");
        let mut most = SPILL_PIECE;
        while !jobs.is_empty() {
            let mut after = *jobs;
            let mut count = 0_u64;
            while jobs.bytes.len() - after.bytes.len() < most && after.take_job().is_some() {
                count += 1;
            }
            let piece = &jobs.bytes[..jobs.bytes.len() - after.bytes.len()];
            let appended = own.spill.append(piece, &self.shapes, self.options.spill_bytes_max);
            if let Err(error) = appended {
                if most <= SPILL_PIECE_MIN {
                    return Err(format!("failed to write the spill file: {error}"));
                }
                // A disk that has no room for all of it may have room for a part.
                most /= 8;
                continue;
            }
            *jobs = after;
            self.queue.settle(|books| {
                books.spilled += count;
                books.is_spilling = true;
            });
        }
        Ok(())
    }

    /// Writes spilled jobs into the database, when it is time to try.
    pub(super) fn catch_up(&mut self) {
        if self.next_try.is_none_or(|at| Instant::now() < at) {
            return;
        }
        match self.replay_slice() {
            Ok(()) => self.next_try = (!self.replays.is_empty()).then(Instant::now),
            Err(error) => {
                self.fail(&error);
                self.next_try = Some(Instant::now() + self.pause);
                // Whoever waits for what was left gets an answer: it is not there yet.
                self.queue.recovered();
            }
        }
    }

    /// Replays until all is done, or until the queue needs its turn. Then at least twice as much was replayed as the
    /// queue held last, so that the files become shorter.
    fn replay_slice(&mut self) -> Result<(), SinkError> {
        let began = Instant::now();
        let mut replayed = 0;
        while let Some(first) = self.replays.first() {
            if first.spill.is_done() && first.is_placed {
                let done = self.replays.remove(0);
                let is_own = done.is_own;
                // A file that stays is found to be done by the next store.
                let _ = done.spill.remove();
                self.queue.settle(|books| books.is_spilling &= !is_own);
                continue;
            }
            let has_turn = began.elapsed() < REPLAY_SLICE || self.queue.fill() < 0.5;
            if self.is_late() || !(has_turn || replayed < 2 * self.last_batch) {
                return Ok(());
            }
            replayed += self.replay_piece(self.options.group_jobs)?;
        }
        self.queue.recovered();
        Ok(())
    }

    /// Replays the next jobs of the oldest file; how many bytes of it.
    fn replay_piece(&mut self, jobs_max: u64) -> Result<u64, SinkError> {
        self.connect()?;
        let (sink, first) = (self.sink.as_mut().expect("it is connected"), &mut self.replays[0]);
        if !first.is_placed {
            match group::mark(sink.as_mut(), &first.spill.id) {
                Ok(position) => first.spill.replayed = position,
                Err(error) => return Err(self.lose(error)),
            }
            first.is_placed = true;
            return Ok(0);
        }
        let read = first.spill.read(jobs_max, SPILL_PIECE, &mut first.shapes);
        let chunk = read.map_err(|error| SinkError::Unavailable {
            text: format!("failed to read the spill file: {error}"),
            is_lost: false,
        })?;
        let mark = Mark { id: &first.spill.id, position: chunk.end };
        let terms = Terms {
            jobs_max: chunk.jobs,
            // The file is removed after its last job is in the database, so that has to be on disk.
            is_durable: chunk.end >= first.spill.replayed + first.spill.waiting(),
            mark: Some(mark),
            is_whole: true,
            dialect: self.driver.dialect(),
        };
        let (ensured, jobs) = (&mut Ensured::default(), Jobs { bytes: &chunk.bytes });
        let written = group::write(sink.as_mut(), jobs, &first.shapes, ensured, terms, &mut None);
        let outcome = match written {
            Err(SinkError::Rejected(_)) if jobs_max > 1 => return self.replay_piece(1),
            Err(SinkError::Rejected(text)) => {
                Outcome { sql_errors: chunk.jobs, last_error: Some(text), ..Outcome::default() }
            }
            Err(error) => return Err(self.lose(error)),
            Ok(outcome) => outcome,
        };
        let bytes = chunk.end - first.spill.replayed;
        first.spill.replayed = chunk.end;
        let is_own = first.is_own;
        self.trouble = None;
        self.pause = Duration::ZERO;
        self.queue.settle(|books| books.replayed(&outcome, is_own, chunk.damaged, chunk.is_torn));
        Ok(bytes)
    }

    /// Writes one job at once, in the thread of the caller.
    pub(super) fn write_inline(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.learn_tables();
        let mut jobs = Jobs { bytes };
        let mut jobs_max = 1;
        let deadline = Instant::now() + self.options.lock_timeout;
        loop {
            let text = match self.write(jobs, jobs_max) {
                Ok(outcome) => {
                    self.settle(&outcome);
                    return if outcome.failed() == 0 {
                        Ok(())
                    } else {
                        Err(outcome.last_error.unwrap_or_default())
                    };
                }
                Err(SinkError::Rejected(text)) => text,
                Err(error) if Instant::now() < deadline => {
                    self.fail(&error);
                    std::thread::sleep(self.pause.min(Duration::from_millis(50)));
                    continue;
                }
                Err(error) => error.to_string(),
            };
            self.reject(&mut jobs, &mut jobs_max, text.clone());
            return Err(text);
        }
    }

    /// The connection, to read what only it can see.
    pub(super) fn sink(&mut self) -> Option<&mut dyn Sink> {
        Some(self.sink.as_mut()?.as_mut())
    }
}

/// Tells the queue that nobody writes any more, also when the writer panics.
struct Leave(Arc<Queue>);

impl Drop for Leave {
    fn drop(&mut self) {
        self.0.leave();
    }
}
