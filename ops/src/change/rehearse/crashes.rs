//! Killing a run at its writes, one process after the other, and asking whether it ended as if nobody had.
//!
//! To stay linear there is one clone, and each process does a little more of the work before it dies: first one dies before
//! the write, the next right after it, and so on to the end; then the same with answers that are lost. Each time
//! there and back again.

use super::expect::{self, Seen};
use super::report::Crashes;
use super::steps::Rehearsing;
use super::{APPLY, Death, Errand, RehearseError};
use crate::text::thousands;

/// At which writes processes are killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashAt {
    /// None.
    None,
    /// Every one.
    All,
    /// So many, spread over all of them, the first and the last among them.
    Sample(u64),
}

/// What became of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It died.
    Died,
    /// It came to its end, which was good.
    Ended,
}

impl CrashAt {
    /// The writes to die at, of `writes` in all, in order.
    fn points(self, writes: u64) -> Vec<u64> {
        match self {
            Self::None => Vec::new(),
            Self::Sample(1) => vec![0],
            Self::Sample(some) if some < writes => {
                (0..some).map(|n| n * (writes - 1) / (some - 1).max(1)).collect()
            }
            Self::Sample(_) | Self::All => (0..writes).collect(),
        }
    }
}

/// The ways to die on a round there and back.
const ROUNDS: [&[Death]; 2] = [&[Death::Before, Death::After], &[Death::AnswerLost]];

impl Rehearsing<'_, '_, '_> {
    /// Goes there and back with processes that die, and compares.
    pub(super) fn crashes(&mut self, before: Seen) -> Result<(), RehearseError> {
        let rows = self.ways.settings.batch.rows.get() as u64;
        // Every batch, and the end of the run.
        let writes = self.plan.len().div_ceil(rows) + 1;
        let points = self.ways.crash_at.points(writes);
        let total = points.len() as u64 * 2 * (ROUNDS[0].len() + ROUNDS[1].len()) as u64;
        self.report.crashes =
            Some(Crashes { writes, points: points.len() as u64, killed: 0, recovered: 0, processes: 0 });
        for deaths in ROUNDS {
            self.again()?;
            for is_rollback in [false, true] {
                let killed = self.round(is_rollback, deaths, &points, total)?;
                let seen = self.look()?;
                let is_same = if is_rollback {
                    seen == before
                } else {
                    let applied = self.work.join(APPLY);
                    expect::desired(self.plan, before.planned, &applied, self.plan.len())?.digest
                        == seen.planned
                };
                if is_same && let Some(crashes) = &mut self.report.crashes {
                    crashes.recovered += killed;
                }
            }
        }
        let Some(crashes) = self.report.crashes.clone() else { return Ok(()) };
        let measured = format!(
            "{} crash points, {} recovered to the same digest",
            thousands(crashes.killed),
            thousands(crashes.recovered)
        );
        let is_met = crashes.killed == total && crashes.recovered == crashes.killed;
        self.check("killed at its writes, it ends as if nobody had", is_met, measured);
        Ok(())
    }

    /// One run to its end; how often it was killed.
    fn round(
        &mut self,
        is_rollback: bool,
        deaths: &[Death],
        points: &[u64],
        total: u64,
    ) -> Result<u64, RehearseError> {
        let mut killed = 0;
        // Writes that went through.
        let mut done = 0;
        for point in points {
            for death in deaths {
                let errand = Errand { is_rollback, death: Some((point - done, *death)) };
                let has_died = self.process(&errand)? == Fate::Died;
                done = if *death == Death::Before { *point } else { point + 1 };
                killed += u64::from(has_died);
                if let Some(crashes) = &mut self.report.crashes {
                    crashes.killed += u64::from(has_died);
                    (self.tools.progress)("crashing", crashes.killed, total);
                }
            }
        }
        match self.process(&Errand { is_rollback, death: None })? {
            Fate::Ended => Ok(killed),
            Fate::Died => Err(RehearseError::Process("died that was not to".to_owned())),
        }
    }

    fn process(&mut self, errand: &Errand) -> Result<Fate, RehearseError> {
        self.live()?;
        let fate = (self.ways.process)(errand);
        // Who asks the rehearsal to stop asks its processes, too.
        self.live()?;
        if let Some(crashes) = &mut self.report.crashes {
            crashes.processes += 1;
        }
        fate.map_err(RehearseError::Process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_from_the_first_to_the_last_write() {
        assert_eq!(CrashAt::All.points(4), [0, 1, 2, 3]);
        assert_eq!(CrashAt::Sample(9).points(4), [0, 1, 2, 3]);
        assert_eq!(CrashAt::Sample(3).points(101), [0, 50, 100]);
        assert_eq!(CrashAt::Sample(2).points(10), [0, 9]);
        assert_eq!(CrashAt::Sample(1).points(10), [0]);
        assert_eq!(CrashAt::None.points(4), [0_u64; 0]);
    }
}
