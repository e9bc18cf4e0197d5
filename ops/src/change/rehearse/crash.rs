//! Ends a process at exactly one of its writes: before it, after it, or after it with the answer lost on the way.
//!
//! A write is a batch, or the end of the run in the books. What happens in between is the same whatever the driver, so
//! this stands before any of them.

use std::fmt;
use std::str::FromStr;

use crate::clock::Stamp;
use crate::target::schema::{Table, TableName};
use crate::target::{
    Batch, Capabilities, Outcome, RecordedBatch, RunId, RunState, ScanProof, Target, TargetError,
    TargetIdentity,
};
use crate::value::{Row, ValueRef};

/// How a process ends that is not to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Death {
    /// Right before a write.
    Before,
    /// Right after it, before anybody hears of it.
    After,
    /// It hears that the answer was lost, though the write was done, finds out, goes on, and ends before its next write.
    AnswerLost,
}

/// One process of a rehearsal: what it runs, and when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errand {
    /// Takes the plan back instead of applying it.
    pub is_rollback: bool,
    /// Writes that go through, and how the process dies at the next one; `None` lets it come to its end.
    pub death: Option<(u64, Death)>,
}

impl fmt::Display for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.is_rollback { "rollback" } else { "apply" };
        match self.death {
            None => write!(f, "{direction}"),
            Some((writes, death)) => {
                let death = match death {
                    Death::Before => "before",
                    Death::After => "after",
                    Death::AnswerLost => "lost",
                };
                write!(f, "{direction},{writes},{death}")
            }
        }
    }
}

impl FromStr for Errand {
    type Err = String;

    /// The form that [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected apply or rollback, and perhaps `,WRITES,before|after|lost`".to_owned();
        let mut parts = text.split(',');
        let is_rollback = match parts.next() {
            Some("apply") => false,
            Some("rollback") => true,
            _ => return Err(wrong()),
        };
        let death = match (parts.next(), parts.next()) {
            (None, None) => None,
            (Some(writes), Some(death)) => {
                let death = match death {
                    "before" => Death::Before,
                    "after" => Death::After,
                    "lost" => Death::AnswerLost,
                    _ => return Err(wrong()),
                };
                Some((writes.parse().map_err(|_| wrong())?, death))
            }
            _ => return Err(wrong()),
        };
        if parts.next().is_some() { Err(wrong()) } else { Ok(Self { is_rollback, death }) }
    }
}

/// A target at one of whose writes the process ends.
pub struct Deadly<'a> {
    inner: &'a mut dyn Target,
    death: Option<(u64, Death)>,
    /// Writes so far.
    writes: u64,
    /// Ends the process; what it does when it comes back is nobody's business.
    die: &'a mut (dyn FnMut() + Send),
}

impl fmt::Debug for Deadly<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadly").field("death", &self.death).finish_non_exhaustive()
    }
}

impl<'a> Deadly<'a> {
    /// `die` must end the process, and let no destructor run.
    pub fn new(
        inner: &'a mut dyn Target,
        death: Option<(u64, Death)>,
        die: &'a mut (dyn FnMut() + Send),
    ) -> Self {
        Self { inner, death, writes: 0, die }
    }

    fn write<T>(
        &mut self,
        write: impl FnOnce(&mut dyn Target) -> Result<T, TargetError>,
    ) -> Result<T, TargetError> {
        let number = self.writes;
        self.writes += 1;
        let Some((writes, death)) = self.death else { return write(self.inner) };
        if death == Death::Before && number == writes || death == Death::AnswerLost && number > writes {
            (self.die)();
        }
        let done = write(self.inner)?;
        if number == writes && death == Death::After {
            (self.die)();
        }
        if number == writes && death == Death::AnswerLost {
            return Err(TargetError::InDoubt { reason: "the answer was lost on purpose".to_owned() });
        }
        Ok(done)
    }
}

impl Target for Deadly<'_> {
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
        self.inner.begin(table, run, owner, now, expires)
    }

    fn apply(&mut self, batch: &Batch<'_>) -> Result<Vec<Outcome>, TargetError> {
        self.write(|target| target.apply(batch))
    }

    fn recorded(&mut self, run: &RunId, from: u64) -> Result<Vec<RecordedBatch>, TargetError> {
        self.inner.recorded(run, from)
    }

    fn renew(&mut self, run: &RunId, owner: &str, expires: Stamp) -> Result<(), TargetError> {
        self.inner.renew(run, owner, expires)
    }

    fn close(&mut self, run: &RunId, owner: &str, is_done: bool) -> Result<(), TargetError> {
        if is_done {
            self.write(|target| target.close(run, owner, is_done))
        } else {
            self.inner.close(run, owner, is_done)
        }
    }

    fn measure(&mut self, sql: &str) -> Result<f64, TargetError> {
        self.inner.measure(sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errand_reads_as_it_is_written() {
        for text in ["apply", "rollback", "apply,0,before", "apply,17,after", "rollback,3,lost"] {
            assert_eq!(text.parse::<Errand>().unwrap().to_string(), text);
        }
        for text in ["", "appl", "apply,", "apply,1", "apply,x,after", "apply,1,late", "apply,1,after,2"] {
            assert!(text.parse::<Errand>().is_err(), "{text}");
        }
    }
}
