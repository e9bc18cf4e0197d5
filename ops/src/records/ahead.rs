//! Reads ahead: a thread of its own finds the records and hands them over in packs, so that whoever looks at them
//! does not wait for the next to be found.
//!
//! What is read and in which order, and what is refused with which words, is as without the thread. A file that is
//! one pack has none.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use super::{Batch, InputFacts, Names, ReadError, Record, Records};

/// Packs that may wait.
const WAITING: usize = 4;

/// The records of a file, going forward once and then by their offsets.
#[derive(Debug)]
pub struct Ahead {
    header: Option<Arc<Names>>,
    pack: Batch,
    /// What comes behind the pack.
    then: Result<bool, ReadError>,
    /// The next record of the pack.
    next: usize,
    /// Whether the record that was found last was found by its offset.
    has_jumped: bool,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    /// Before the second pack and after the last.
    Here(Box<Records>),
    There(Thread),
    /// The thread ended in a panic, which went on here.
    Lost,
}

#[derive(Debug)]
struct Thread {
    packs: Receiver<(Batch, Result<bool, ReadError>)>,
    spare: SyncSender<Batch>,
    records: JoinHandle<Box<Records>>,
}

impl Ahead {
    /// Goes on from where `records` are.
    pub fn new(records: Records) -> Self {
        let header = records.shared_header();
        let (pack, reader) = (Batch::new(), Reader::Here(Box::new(records)));
        Self { header, pack, then: Ok(true), next: 0, has_jumped: false, reader }
    }

    /// The names of all columns where the format has a header.
    pub fn header(&self) -> Option<&Names> {
        self.header.as_deref()
    }

    /// Goes to the next record, which [`Ahead::record`] then gives; false after the last. What is damaged is an error.
    pub fn advance(&mut self) -> Result<bool, ReadError> {
        while self.next == self.pack.len() {
            match std::mem::replace(&mut self.then, Ok(false)) {
                Ok(true) => self.turn(),
                end => return end,
            }
        }
        self.next += 1;
        Ok(true)
    }

    /// Goes to the next pack.
    fn turn(&mut self) {
        self.next = 0;
        let is_first = self.pack.is_empty();
        match &mut self.reader {
            Reader::Here(records) if is_first => self.then = records.fill_whole(&mut self.pack),
            Reader::Here(_) => {
                let Reader::Here(records) = std::mem::replace(&mut self.reader, Reader::Lost) else { return };
                self.reader = Reader::There(Thread::start(records));
                self.receive();
            }
            Reader::There(_) => self.receive(),
            Reader::Lost => {}
        }
    }

    fn receive(&mut self) {
        let Reader::There(thread) = &self.reader else { return };
        if let Ok((pack, then)) = thread.packs.recv() {
            let used = std::mem::replace(&mut self.pack, pack);
            // Nobody wants it any more once the last pack is out.
            let _ = thread.spare.try_send(used);
            self.then = then;
        } else {
            self.pack = Batch::new();
        }
        if !matches!(self.then, Ok(true))
            && let Reader::There(thread) = std::mem::replace(&mut self.reader, Reader::Lost)
        {
            let records = thread.records.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            self.reader = Reader::Here(records);
        }
    }

    /// The record that was found last.
    ///
    /// # Panics
    ///
    /// When none was found yet.
    pub fn record(&self) -> Record<'_> {
        match &self.reader {
            Reader::Here(records) if self.has_jumped => records.record(),
            _ => self.pack.record(self.next - 1),
        }
    }

    /// Finds a record again by [`Record::at`], as [`Records::record_at`] does.
    ///
    /// # Panics
    ///
    /// Before the end was reached.
    pub fn record_at(&mut self, at: u64) -> Result<Record<'_>, ReadError> {
        let Reader::Here(records) = &mut self.reader else { panic!("the records are still being read") };
        self.has_jumped = true;
        records.record_at(at)
    }

    /// What to say when the record at `at` is not the one that was there before.
    ///
    /// # Panics
    ///
    /// Before the end was reached.
    pub fn moved(&self, at: u64) -> ReadError {
        let Reader::Here(records) = &self.reader else { panic!("the records are still being read") };
        records.moved(at)
    }

    /// What the file was; `None` before its end was read.
    pub fn facts(&self) -> Option<InputFacts> {
        let Reader::Here(records) = &self.reader else { return None };
        records.facts()
    }
}

impl Thread {
    fn start(mut records: Box<Records>) -> Self {
        let (give, packs) = sync_channel(WAITING);
        let (spare, returned) = sync_channel::<Batch>(WAITING + 2);
        let records = std::thread::spawn(move || {
            loop {
                let mut pack = returned.try_recv().unwrap_or_default();
                let then = records.fill_whole(&mut pack);
                let is_last = !matches!(then, Ok(true));
                if give.send((pack, then)).is_err() || is_last {
                    return records;
                }
            }
        });
        Self { packs, spare, records }
    }
}
