//! What a person can say about how a run goes: sizes, patience, and what ends it early.
//!
//! Values only; what follows from them is decided where they are used.

use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use crate::change::throttle::Limits;

/// How a run goes. [`Settings::default`] is what a person gets who asks for nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How many rows go at once.
    pub batch: BatchRows,
    /// What a row does to the run that is not what the plan saw.
    pub on_drift: OnDrift,
    /// How many rows the database may refuse.
    pub budget: Budget,
    /// Apply the first rows on their own, read them back, and stop.
    pub canary: Option<NonZeroU64>,
    /// How patient the run is with a target that is not available.
    pub retry: Retry,
    /// After this much time the run stops where it is; it can be resumed.
    pub deadline: Duration,
    /// How long the target keeps other runners away without hearing from this one.
    pub lease: Duration,
    /// What slows it down.
    pub limits: Limits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch: BatchRows { rows: const { NonZeroUsize::new(200).unwrap() }, time: None },
            on_drift: OnDrift::Stop,
            budget: Budget::default(),
            canary: None,
            retry: Retry::default(),
            deadline: Duration::from_hours(24),
            lease: Duration::from_mins(2),
            limits: Limits::default(),
        }
    }
}

/// How many rows go at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchRows {
    /// The size to start with, and to stay at without `time`.
    pub rows: NonZeroUsize,
    /// Grow and shrink so that a batch takes about this long.
    pub time: Option<Duration>,
}

/// What to do about a row that is not what the plan saw. It is left alone in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDrift {
    /// End the run after its batch.
    Stop,
    /// Go on, and list it.
    Skip,
}

/// How many rows the database may refuse before the run ends. None by default.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Budget {
    /// At most this many rows.
    pub rows_max: u64,
    /// And at most this share of all planned rows, from 0 to 1.
    pub share_max: Option<f64>,
}

impl Budget {
    /// The rows that may fail of `total` planned ones.
    pub fn rows(self, total: u64) -> u64 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
        let by_share = self.share_max.map(|share| (share.clamp(0.0, 1.0) * total as f64) as u64);
        by_share.map_or(self.rows_max, |by_share| by_share.min(self.rows_max))
    }
}

/// How patient a run is with a target that is not available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often the same request is made in all.
    pub tries_max: u32,
    /// The first wait; each further one is twice as long.
    pub first: Duration,
    /// No wait of our own is longer.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries_max: 8, first: Duration::from_millis(500), longest: Duration::from_secs(30) }
    }
}

impl Retry {
    /// How long to wait after `tries` failures (at least one). `asked` is what the target wants, which can make the
    /// wait longer and never shorter; `random` spreads runners that failed together over the second half of it.
    pub fn wait(&self, tries: u32, asked: Option<Duration>, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(1 << (tries.clamp(1, 31) - 1));
        let full = doubled.min(self.longest);
        let spread = full.mul_f64(0.5 + random as f64 / u64::MAX as f64 / 2.0);
        spread.max(asked.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_never_zero() {
        let retry = Retry::default();
        let ms = |tries, asked, random| retry.wait(tries, asked, random).as_millis();
        assert_eq!(ms(1, None, u64::MAX), 500);
        assert_eq!(ms(1, Some(Duration::ZERO), 0), 250, "a server that says 0 is not hammered");
        assert_eq!(ms(4, None, u64::MAX), 4000);
        assert_eq!(ms(31, None, u64::MAX), 30_000);
        assert_eq!(ms(1, Some(Duration::from_secs(90)), 0), 90_000);
    }

    #[test]
    fn the_smaller_budget_holds() {
        assert_eq!(Budget::default().rows(1000), 0);
        assert_eq!(Budget { rows_max: 50, share_max: Some(0.01) }.rows(1000), 10);
        assert_eq!(Budget { rows_max: 5, share_max: Some(0.01) }.rows(1000), 5);
    }
}
