//! Time as a runner feels it: what time it is, how long it has worked, and waiting.
//!
//! A parameter like the clock, so that a test can let hours of pauses and retries pass in no time. Nothing else in
//! the library may sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::clock::{Clock, Stamp};

/// Where a runner's time comes from.
pub trait Pace: std::fmt::Debug {
    /// The time of day: for books and reports.
    fn now(&self) -> Stamp;

    /// Time since some fixed moment; never goes back, whatever happens to the time of day.
    fn elapsed(&self) -> Duration;

    /// Waits.
    fn sleep(&mut self, span: Duration);
}

/// Time as it passes.
#[derive(Debug)]
pub struct RealPace {
    clock: Clock,
    began: Instant,
}

impl RealPace {
    /// Real waits, with the time of day from `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { clock, began: Instant::now() }
    }
}

impl Pace for RealPace {
    fn now(&self) -> Stamp {
        self.clock.now()
    }

    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep(&mut self, span: Duration) {
        std::thread::sleep(span);
    }
}

/// Time that passes only by waiting: for tests and rehearsals. Clones share one time.
#[derive(Debug, Clone)]
pub struct VirtualPace {
    start: Stamp,
    nanos: Arc<AtomicU64>,
}

impl VirtualPace {
    /// Time that stands at `start`.
    pub fn new(start: Stamp) -> Self {
        Self { start, nanos: Arc::new(AtomicU64::new(0)) }
    }

    /// Lets time pass, as a slow statement does.
    pub fn advance(&self, span: Duration) {
        self.nanos.fetch_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Pace for VirtualPace {
    fn now(&self) -> Stamp {
        self.start.plus(self.elapsed())
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    fn sleep(&mut self, span: Duration) {
        self.advance(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_time_passes_by_waiting_alone() {
        let start = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
        let mut pace = VirtualPace::new(start);
        let shared = pace.clone();
        assert_eq!(pace.now(), start);
        pace.sleep(Duration::from_mins(1));
        shared.advance(Duration::from_millis(1500));
        assert_eq!(pace.elapsed(), Duration::from_millis(61_500));
        assert_eq!(shared.now().since(start), Duration::from_millis(61_500));
    }

    #[test]
    fn real_time_does_not_stand_still() {
        let mut pace = RealPace::new(Clock::System);
        let before = pace.elapsed();
        pace.sleep(Duration::from_millis(2));
        assert!(pace.elapsed().saturating_sub(before) >= Duration::from_millis(2));
    }
}
