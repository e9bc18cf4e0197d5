//! How much of the soak was really watched.

use serde::Serialize;

use super::evidence::{Log, Look};
use crate::clock::Stamp;

/// Milliseconds by which two clocks may part between two looks, besides one part in a hundred.
const CLOCK_SLACK_MS: i64 = 2_000;

/// What was watched of what was to be watched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coverage {
    /// Seconds from the start to the last look.
    pub elapsed_s: u64,
    /// Looks that there should be by then.
    pub looks_expected: u64,
    /// Looks that were made.
    pub looks_made: u64,
    /// Longest time without a look, in seconds, the time before the first one counted.
    pub gap_longest_s: u64,
    /// Times that watching began again.
    pub restarts: u64,
    /// Places where the wall clock was set.
    pub jumps: Vec<Jump>,
}

/// Between two looks of one process the wall clock did not go as the other one did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Jump {
    /// The look after it, from 1.
    pub look: usize,
    /// Seconds that the wall clock was set forward; negative: back.
    pub seconds: f64,
}

fn stamp(text: &str) -> Stamp {
    Stamp::parse(text).expect("checked when the log was read")
}

/// Seconds from `earlier` to `later`, negative when the order is wrong.
fn seconds(earlier: &str, later: &str) -> i64 {
    stamp(later).unix() - stamp(earlier).unix()
}

impl Coverage {
    /// What the looks of a log cover.
    pub fn of(log: &Log) -> Self {
        let mut coverage = Self {
            elapsed_s: 0,
            looks_expected: 0,
            looks_made: log.looks.len() as u64,
            gap_longest_s: 0,
            restarts: 0,
            jumps: Vec::new(),
        };
        let mut before: Option<&Look> = None;
        for (index, look) in log.looks.iter().enumerate() {
            let since = before.map_or(log.soak.started.as_str(), |before| before.at.as_str());
            let gap = seconds(since, &look.at);
            coverage.gap_longest_s = coverage.gap_longest_s.max(u64::try_from(gap).unwrap_or(0));
            let jump = match before {
                Some(before) if before.process == look.process => clock_jump(before, look, gap),
                // Nothing but the wall clock goes on over a restart; it can only be seen to go back.
                before => {
                    coverage.restarts += u64::from(before.is_some());
                    (gap < 0).then_some(gap * 1000)
                }
            };
            if let Some(ms) = jump {
                coverage.jumps.push(Jump { look: index + 1, seconds: ms as f64 / 1000.0 });
            }
            before = Some(look);
        }
        if let Some(last) = before {
            let elapsed = seconds(&log.soak.started, &last.at);
            coverage.elapsed_s = u64::try_from(elapsed).unwrap_or(0);
            coverage.looks_expected =
                log.soak.looks_expected(std::time::Duration::from_secs(coverage.elapsed_s));
        }
        coverage
    }
}

/// How many milliseconds the wall clock was set between two looks of one process, if it was.
fn clock_jump(before: &Look, look: &Look, gap_s: i64) -> Option<i64> {
    let up_ms = i64::try_from(look.up_ms).ok()? - i64::try_from(before.up_ms).ok()?;
    let apart = gap_s * 1000 - up_ms;
    // Stamps in the log have whole seconds.
    let slack = CLOCK_SLACK_MS + up_ms.abs() / 100;
    (apart.abs() > slack || up_ms < 0).then_some(apart)
}

#[cfg(test)]
mod tests {
    use super::super::evidence::tests::{counted, look, metric, soak};
    use super::super::evidence::{Look, Rule};
    use super::*;

    fn log(looks: Vec<Look>) -> Log {
        let (mut log, _) = Log::begin(soak(vec![metric("m", Rule::Never { hidden_max: 0.1 })]));
        for look in looks {
            log.add(look);
        }
        log
    }

    fn at(seconds: u64) -> Look {
        look(seconds, vec![counted(0, 0)])
    }

    #[test]
    fn looks_and_gaps_are_counted() {
        let coverage = Coverage::of(&log(vec![at(10), at(300), at(1500)]));
        assert_eq!((coverage.looks_made, coverage.looks_expected), (3, 6));
        assert_eq!((coverage.elapsed_s, coverage.gap_longest_s), (1500, 1200));
        assert_eq!((coverage.restarts, coverage.jumps), (0, Vec::new()));
        let none = Coverage::of(&log(Vec::new()));
        assert_eq!((none.looks_made, none.looks_expected, none.elapsed_s), (0, 0, 0));
    }

    #[test]
    fn a_clock_that_was_set_is_found() {
        let mut forward = at(3900);
        forward.up_ms = 300_000;
        let mut back = at(10);
        back.up_ms = 600_000;
        let coverage = Coverage::of(&log(vec![at(0), forward, back]));
        assert_eq!(coverage.jumps, [Jump { look: 2, seconds: 3600.0 }, Jump { look: 3, seconds: -4190.0 }]);
    }

    #[test]
    fn a_restart_is_no_jump_unless_time_goes_back() {
        let again = |seconds| Look { process: "p2".to_owned(), up_ms: 5, ..at(seconds) };
        assert_eq!(Coverage::of(&log(vec![at(0), at(300), again(600)])).restarts, 1);
        let back = Coverage::of(&log(vec![at(600), again(300)]));
        assert_eq!(back.jumps, [Jump { look: 2, seconds: -300.0 }]);
    }
}
