//! How many a minute: an even pace without bursts, which holds for every window and not only for whole minutes.
//!
//! Nothing is made up for: work that took long leaves no debt, so no window ever has more than the rate. The gap is half a
//! percent longer than the rate asks for, because a server sees requests with the jitter of the way to it.

use std::time::Duration;

use crate::change::pace::Pace;

/// One limit, and from when on the next may go. Times are those of [`Pace::elapsed`].
#[derive(Debug, Clone)]
pub(super) struct Rate {
    per_minute: u32,
    next_at: Duration,
}

impl Rate {
    /// So many a minute, above 0.
    pub(super) fn new(per_minute: u32) -> Self {
        Self { per_minute, next_at: Duration::ZERO }
    }

    /// From one to the next.
    pub(super) fn gap(&self) -> Duration {
        Duration::from_mins(1) * 201 / 200 / self.per_minute.max(1)
    }

    /// How long to wait at `at`; `None` where it may go.
    pub(super) fn wait(&self, at: Duration) -> Option<Duration> {
        self.next_at.checked_sub(at).filter(|wait| !wait.is_zero())
    }

    /// One goes at `at`.
    pub(super) fn went(&mut self, at: Duration) {
        self.next_at = at + self.gap();
    }

    /// The last one went `ago` before now, by an earlier process.
    pub(super) fn went_before(&mut self, pace: &dyn Pace, ago: Duration) {
        self.next_at = pace.elapsed() + self.gap().saturating_sub(ago);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Stamp;
    use crate::pace::VirtualPace;

    /// Starts of `count`, each of which takes `work`.
    fn starts(count: usize, per_minute: u32, work: impl Fn(usize) -> Duration) -> Vec<Duration> {
        let mut pace = VirtualPace::new(Stamp::parse("2026-01-02T03:04:05Z").unwrap());
        let mut rate = Rate::new(per_minute);
        let mut starts = Vec::new();
        for i in 0..count {
            if let Some(wait) = rate.wait(pace.elapsed()) {
                pace.sleep(wait);
            }
            assert_eq!(rate.wait(pace.elapsed()), None);
            rate.went(pace.elapsed());
            starts.push(pace.elapsed());
            pace.sleep(work(i));
        }
        starts
    }

    /// The most and the fewest starts in any 60 seconds that lie within the whole.
    fn windows(starts: &[Duration]) -> (usize, usize) {
        let minute = Duration::from_mins(1);
        let in_window =
            |from: Duration| starts.iter().filter(|at| **at >= from && **at <= from + minute).count();
        let last = *starts.last().unwrap();
        let tick = Duration::from_nanos(1);
        let froms = starts.iter().flat_map(|at| [*at, *at + tick]).filter(|from| *from + minute <= last);
        let counts: Vec<usize> = froms.map(in_window).collect();
        (*counts.iter().max().unwrap(), *counts.iter().min().unwrap())
    }

    #[test]
    fn every_window_has_twenty_at_most_and_nineteen_when_work_is_fast() {
        let fast = starts(600, 20, |_| Duration::from_millis(5));
        assert_eq!(windows(&fast), (20, 19));
        // Slow for a while, then fast: no burst afterwards.
        let mixed =
            starts(600, 20, |i| Duration::from_millis(if (100..200).contains(&i) { 9000 } else { 0 }));
        assert_eq!(windows(&mixed).0, 20);
        let slow = starts(200, 20, |_| Duration::from_secs(4));
        assert_eq!(windows(&slow).0, 16);
    }

    #[test]
    fn thirty_nine_take_the_time_that_they_should() {
        let last = *starts(39, 20, |_| Duration::ZERO).last().unwrap();
        assert!(last >= Duration::from_secs(114) && last < Duration::from_secs(115), "{last:?}");
    }

    #[test]
    fn an_earlier_process_counts() {
        let pace = VirtualPace::new(Stamp::parse("2026-01-02T03:04:05Z").unwrap());
        let mut rate = Rate::new(20);
        rate.went_before(&pace, Duration::from_secs(1));
        assert_eq!(rate.wait(pace.elapsed()), Some(Duration::from_millis(2015)));
        rate.went_before(&pace, Duration::from_secs(9));
        assert_eq!(rate.wait(pace.elapsed()), None);
    }
}
