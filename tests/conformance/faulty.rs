//! A driver between whose calls something goes wrong: the network, or the process.

use std::panic::resume_unwind;

use ops::clock::Stamp;
use ops::target::schema::{Table, TableName};
use ops::target::{
    Batch, Capabilities, Outcome, RecordedBatch, RunId, RunState, ScanProof, Target, TargetError,
    TargetIdentity,
};
use ops::value::{Row, ValueRef};

/// What goes wrong with a call that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is refused for now, and the server asks for no wait at all.
    Unavailable,
    /// It is cancelled because it takes too long.
    TooSlow,
    /// The request is lost on the way.
    RequestLost,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// The process dies before it.
    KilledBefore,
    /// The process dies when it is done.
    KilledAfter,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::Unavailable,
        Self::TooSlow,
        Self::RequestLost,
        Self::AnswerLost,
        Self::KilledBefore,
        Self::KilledAfter,
    ];
}

/// What a killed process unwinds with.
pub(crate) struct Killed;

/// A driver, and the call that goes wrong. Calls that can write are counted from 0 on.
pub(crate) struct Faulty {
    inner: Box<dyn Target>,
    fault: Option<(usize, Fault)>,
    /// Calls so far.
    pub(crate) calls: usize,
}

impl Faulty {
    pub(crate) fn new(inner: Box<dyn Target>, fault: Option<(usize, Fault)>) -> Self {
        Self { inner, fault, calls: 0 }
    }

    fn call<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Target) -> Result<T, TargetError>,
    ) -> Result<T, TargetError> {
        let number = self.calls;
        self.calls += 1;
        let fault = self.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        let lost = || TargetError::InDoubt { reason: "the connection broke".to_owned() };
        match fault {
            Some(Fault::Unavailable) => {
                let retry_after = Some(std::time::Duration::ZERO);
                return Err(TargetError::Transient { reason: "503".to_owned(), retry_after });
            }
            Some(Fault::TooSlow) => return Err(TargetError::TooSlow { reason: "57014".to_owned() }),
            Some(Fault::RequestLost) => return Err(lost()),
            Some(Fault::KilledBefore) => resume_unwind(Box::new(Killed)),
            Some(Fault::AnswerLost | Fault::KilledAfter) | None => {}
        }
        let done = work(&mut *self.inner)?;
        match fault {
            Some(Fault::AnswerLost) => Err(lost()),
            Some(Fault::KilledAfter) => resume_unwind(Box::new(Killed)),
            _ => Ok(done),
        }
    }
}

impl Target for Faulty {
    fn identity(&mut self) -> Result<TargetIdentity, TargetError> {
        self.inner.identity()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn table(&mut self, name: &TableName) -> Result<Table, TargetError> {
        self.inner.table(name)
    }

    fn scan(
        &mut self,
        table: &Table,
        row: &mut dyn FnMut(&[ValueRef<'_>]) -> Result<(), TargetError>,
    ) -> Result<ScanProof, TargetError> {
        self.inner.scan(table, row)
    }

    fn read(&mut self, table: &Table, key: &[usize], keys: &[Row]) -> Result<Vec<Option<Row>>, TargetError> {
        self.inner.read(table, key, keys)
    }

    fn begin(
        &mut self,
        table: &Table,
        run: &RunId,
        owner: &str,
        now: Stamp,
        expires: Stamp,
    ) -> Result<RunState, TargetError> {
        self.call(|target| target.begin(table, run, owner, now, expires))
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Vec<Outcome>, TargetError> {
        self.call(|target| target.apply(batch))
    }

    fn recorded(&mut self, run: &RunId, from: u64) -> Result<Vec<RecordedBatch>, TargetError> {
        self.inner.recorded(run, from)
    }

    fn renew(&mut self, run: &RunId, owner: &str, expires: Stamp) -> Result<(), TargetError> {
        self.call(|target| target.renew(run, owner, expires))
    }

    fn close(&mut self, run: &RunId, owner: &str, is_done: bool) -> Result<(), TargetError> {
        self.call(|target| target.close(run, owner, is_done))
    }

    fn measure(&mut self, sql: &str) -> Result<f64, TargetError> {
        self.inner.measure(sql)
    }
}
