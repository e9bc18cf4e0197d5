//! One store for everything that writes telemetry: a bounded queue, one writer, group commits, books that add up.
//!
//! [`Store::record`] and [`Store::submit`] copy a job into the queue and return; a thread writes it. A job is
//! *acknowledged* when a [`Store::flush`] that was called after it says so: then it is committed, or it is in the spill
//! file and that was flushed to disk. An acknowledged job survives the end of the process in any way (with
//! [`Durability::Power`] a power cut too) and is in the database once, at the latest when the next store is opened.
//! What was not acknowledged may be lost with the process: a program that leaves through `process::exit` or by a signal
//! runs no destructors and must flush before. No job is lost without being counted while the process lives.
//!
//! Nothing here knows a concrete database: see [`Driver`]. Telemetry must not stop the caller: errors are counted, and
//! returned only where the caller can do something about them.

mod group;
mod health;
mod job;
mod ledger;
mod options;
mod queue;
mod schema;
mod sink;
mod spill;
mod table;
mod value;
mod writer;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use self::health::WRITERS;
pub use self::job::{Event, Job};
pub use self::ledger::{Dropped, FlushReport, Ledger, Recovered, Stats};
pub use self::options::{Durability, Full, OnClose, StoreOptions};
pub(crate) use self::sink::widen;
pub use self::sink::{Driver, Sink, SinkError};
pub(crate) use self::spill::spill_files;
pub use self::table::{Column, Dialect, Kind, Table};
pub use self::value::{Changes, Row, RowWriter, Value, Values};

use self::queue::Queue;
use self::writer::Writer;
use crate::db::{DbError, Reader};

/// What closing may take beyond its timeout, for the spill file.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// A store of one database. Clones are the same store; when the last one is dropped it is closed.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    queue: Arc<Queue>,
    driver: Arc<dyn Driver>,
    /// Writes at once, in a store without a queue.
    inline: Option<Mutex<Writer>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    close_timeout: Duration,
    on_close: Mutex<Option<OnClose>>,
}

/// Why a job was not taken. It is counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The store was closed, or its writer has died.
    #[error("the telemetry store is closed")]
    Closed,
    /// The queue is full and the policy is not to wait.
    #[error("the queue of the telemetry store is full")]
    QueueFull,
    /// The job would not even fit into an empty queue.
    #[error("the job has {bytes} bytes, the queue takes {room}")]
    TooLarge {
        /// Size of the job.
        bytes: usize,
        /// What fits.
        room: usize,
    },
    /// The database refused it; only a store that writes at once can say so.
    #[error("the database refused the job: {0}")]
    Failed(String),
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("failed to open the telemetry store")]
pub struct OpenError(#[source] SinkError);

impl OpenError {
    pub(crate) fn new(error: SinkError) -> Self {
        Self(error)
    }
}

impl Store {
    /// Opens a store of the database behind `driver`. A database that is locked is no reason to fail: jobs wait.
    pub fn with_driver(driver: Arc<dyn Driver>, mut options: StoreOptions) -> Result<Self, OpenError> {
        let mut sink = match driver.connect() {
            Ok(sink) => Some(sink),
            Err(SinkError::Unavailable { is_lost: false, .. }) => None,
            Err(error) => return Err(OpenError(error)),
        };
        if let Some(sink) = &mut sink {
            match make_tables(sink.as_mut(), &options.tables, driver.dialect()) {
                Ok(()) | Err(SinkError::Unavailable { is_lost: false, .. }) => {}
                Err(error) => return Err(OpenError(error)),
            }
        }
        let is_private = sink.as_mut().is_some_and(|sink| sink.as_reader().is_some());
        let queue = Arc::new(Queue::new(&options));
        let mut writer = Writer::new(Arc::clone(&driver), Arc::clone(&queue), &options, sink);
        let (inline, thread) = if options.debug || is_private {
            writer.adopt();
            writer.catch_up();
            queue.recovered();
            (Some(Mutex::new(writer)), None)
        } else {
            let builder = std::thread::Builder::new().name("telemetry writer".to_owned());
            let started = builder.spawn(move || writer.run());
            let thread = started.map_err(|error| OpenError(SinkError::Rejected(error.to_string())))?;
            (None, Some(thread))
        };
        let inner = Inner {
            queue,
            driver,
            inline,
            thread: Mutex::new(thread),
            close_timeout: options.close_timeout,
            on_close: Mutex::new(options.on_close.take()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Hands over one event: the fast way. Returns once it is in the queue.
    pub fn record<E: Event>(&self, event: &E) -> Result<(), Refused> {
        match &self.inner.inline {
            None => self.inner.queue.push_event(event),
            Some(writer) => {
                let mut job = Job::new();
                job.add(event);
                self.inner.write_inline(writer, &job)
            }
        }
    }

    /// Hands over a job. Returns once it is in the queue.
    pub fn submit(&self, job: &Job) -> Result<(), Refused> {
        match &self.inner.inline {
            None => self.inner.queue.push_job(job),
            Some(writer) => self.inner.write_inline(writer, job),
        }
    }

    /// Waits until everything that was submitted before is written, refused or spilled, at most `timeout`.
    pub fn flush(&self, timeout: Duration) -> FlushReport {
        self.inner.queue.flush(timeout)
    }

    /// Closes: takes no more jobs, writes what waits, spills what the timeout leaves. May be called again.
    pub fn shutdown(&self) -> Ledger {
        self.inner.close();
        self.inner.queue.ledger()
    }

    /// The books as they are now; they always add up.
    pub fn ledger(&self) -> Ledger {
        self.inner.queue.ledger()
    }

    /// How the store is doing.
    pub fn stats(&self) -> Stats {
        self.inner.queue.stats()
    }

    /// Reads the database through a connection that cannot write. Jobs that were not flushed may not be there yet.
    pub fn read<T>(&self, work: impl FnOnce(&mut dyn Reader) -> Result<T, DbError>) -> Result<T, DbError> {
        if let Some(writer) = &self.inner.inline {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(reader) = writer.sink().and_then(Sink::as_reader) {
                return work(reader);
            }
        }
        work(self.inner.driver.reader()?.as_mut())
    }

    pub(crate) fn downgrade(&self) -> std::sync::Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    /// The store, when somebody still holds it and it is not closed.
    pub(crate) fn upgrade(weak: &std::sync::Weak<Inner>) -> Option<Self> {
        let inner = weak.upgrade()?;
        inner.queue.closes_at().is_none().then_some(Self { inner })
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Inner {
    fn write_inline(&self, writer: &Mutex<Writer>, job: &Job) -> Result<(), Refused> {
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = self.queue.accept_inline(job)?;
        writer.write_inline(&batch.bytes).map_err(Refused::Failed)
    }

    fn close(&self) {
        let deadline = Instant::now() + self.close_timeout;
        self.queue.close(deadline);
        if self.inline.is_some() {
            self.queue.leave();
        }
        let has_ended = self.queue.wait_until_gone(deadline + CLOSE_GRACE);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|_| has_ended) {
            // A writer that panicked has left its jobs pending, which the books show.
            let _ = thread.join();
        }
        let on_close = self.on_close.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(on_close) = on_close {
            on_close(&self.queue.stats());
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Makes and checks the tables that must be right from the start.
fn make_tables(sink: &mut dyn Sink, tables: &[&'static Table], dialect: Dialect) -> Result<(), SinkError> {
    if tables.is_empty() {
        return Ok(());
    }
    sink.begin(false)?;
    let made = tables.iter().try_for_each(|table| schema::ensure(sink, table, dialect));
    let made = made.and_then(|()| sink.commit());
    if made.is_err() {
        sink.rollback();
    }
    made
}
