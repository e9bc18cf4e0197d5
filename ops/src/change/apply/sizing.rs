//! How many rows the next batch has.
//!
//! Without a time to aim at, the size is the one that was asked for; with one it follows the measured time of a row.
//! A target that gives up halves it either way; then it grows back, but for a good while not to where it was.

use std::time::Duration;

use super::settings::BatchRows;

/// Weight of the newest measurement.
const NEWEST: f64 = 0.3;
/// A batch is at most this much larger than the one before.
const GROWTH: f64 = 1.2;
/// How far below a size that was too slow the next ones stay.
const BELOW: f64 = 0.8;
/// A time alone makes batches at most so many times smaller than asked. What a small batch takes is the way to the
/// target and back, which does not become shorter with it: aiming below that would end at a row a batch.
const SMALLER: usize = 10;
/// After so many batches a size that was too slow is tried again: giving up takes the target seconds every time.
const FORGET_AFTER: u32 = 50;

/// The size of batches over a run.
#[derive(Debug)]
pub(crate) struct Sizing {
    /// The largest that may be reached.
    most: usize,
    /// The smallest that is taken for the sake of time.
    least: usize,
    /// Seconds that a batch should take.
    aim: Option<f64>,
    size: usize,
    seconds_a_row: Option<f64>,
    /// What was too slow, and how many batches ago.
    slow: Option<(usize, u32)>,
}

impl Sizing {
    /// `rows_max` is what the target can take at once.
    pub(crate) fn new(batch: BatchRows, rows_max: usize) -> Self {
        let rows_max = rows_max.max(1);
        let asked = batch.rows.get().min(rows_max);
        let aim = batch.time.map(|time| time.as_secs_f64());
        let most = if aim.is_some() { rows_max } else { asked };
        let least = (asked / SMALLER).max(1);
        Self { most, least, aim, size: asked, seconds_a_row: None, slow: None }
    }

    /// Rows of the next batch.
    pub(crate) fn rows(&self) -> usize {
        self.size
    }

    /// A batch went through. Small remainders say nothing about the size.
    pub(crate) fn took(&mut self, rows: usize, span: Duration) {
        if rows * 2 < self.size {
            return;
        }
        let grown = times(self.size, GROWTH).max(self.size + 1);
        let ideal = self.aim.map(|aim| {
            let newest = (span.as_secs_f64() / rows as f64).max(1e-9);
            let smoothed = self.seconds_a_row.map_or(newest, |old| NEWEST.mul_add(newest - old, old));
            self.seconds_a_row = Some(smoothed);
            times(1, aim / smoothed).max(self.least)
        });
        self.slow = self.slow.map(|(size, ago)| (size, ago + 1)).filter(|(_, ago)| *ago < FORGET_AFTER);
        let safe = self.slow.map_or(usize::MAX, |(size, _)| times(size, BELOW));
        self.size = ideal.unwrap_or(self.most).min(grown).min(safe).clamp(1, self.most);
    }

    /// The target gave up on this many rows.
    pub(crate) fn too_slow(&mut self, rows: usize) {
        self.size = self.size.min(rows / 2).max(1);
        self.slow = Some((rows, 0));
        self.seconds_a_row = None;
    }
}

/// A part or a multiple of a size, rounded down.
fn times(size: usize, factor: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both are above zero")]
    let size = (size as f64 * factor) as usize;
    size
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn sizing(rows: usize, time: Option<f64>, rows_max: usize) -> Sizing {
        let rows = NonZeroUsize::new(rows).unwrap();
        Sizing::new(BatchRows { rows, time: time.map(Duration::from_secs_f64) }, rows_max)
    }

    #[test]
    fn stays_as_asked_without_a_time() {
        let mut fixed = sizing(200, None, 50_000);
        for _ in 0..9 {
            fixed.took(fixed.rows(), Duration::from_millis(1));
        }
        assert_eq!(fixed.rows(), 200);
        assert_eq!(sizing(200, None, 100).rows(), 100, "the target takes no more");
    }

    #[test]
    fn is_halved_and_grows_back_to_below_what_was_too_slow() {
        let mut fixed = sizing(200, None, 50_000);
        fixed.too_slow(200);
        fixed.too_slow(100);
        assert_eq!(fixed.rows(), 50);
        let mut sizes = Vec::new();
        for _ in 0..FORGET_AFTER + 5 {
            fixed.took(fixed.rows(), Duration::from_secs(1));
            sizes.push(fixed.rows());
        }
        assert_eq!(sizes[..4], [60, 72, 80, 80]);
        assert_eq!(sizes[sizes.len() - 7..], [80, 96, 115, 138, 165, 198, 200], "and then it is tried again");
        for _ in 0..20 {
            fixed.too_slow(fixed.rows());
        }
        assert_eq!(fixed.rows(), 1);
        fixed.took(1, Duration::from_secs(1));
        assert_eq!(fixed.rows(), 1);
    }

    #[test]
    fn aims_at_a_time() {
        // 1 ms a row and 500 ms a batch are 500 rows.
        let mut adaptive = sizing(200, Some(0.5), 50_000);
        for _ in 0..20 {
            let rows = adaptive.rows();
            adaptive.took(rows, Duration::from_millis(rows as u64));
        }
        assert!((499..=500).contains(&adaptive.rows()), "{}", adaptive.rows());
        // It becomes ten times slower.
        for _ in 0..20 {
            let rows = adaptive.rows();
            adaptive.took(rows, Duration::from_millis(10 * rows as u64));
        }
        assert!((49..=51).contains(&adaptive.rows()), "{}", adaptive.rows());
        adaptive.took(10, Duration::from_secs(100));
        assert!((49..=51).contains(&adaptive.rows()), "a remainder does not count");
    }

    #[test]
    fn never_leaves_what_the_target_takes() {
        let mut adaptive = sizing(200, Some(0.5), 300);
        for _ in 0..20 {
            adaptive.took(adaptive.rows(), Duration::ZERO);
        }
        assert_eq!(adaptive.rows(), 300);
        for _ in 0..20 {
            adaptive.took(adaptive.rows(), Duration::from_hours(1));
        }
        assert_eq!(adaptive.rows(), 20, "time alone goes only so far");
        adaptive.too_slow(20);
        adaptive.too_slow(10);
        assert_eq!(adaptive.rows(), 5, "a target that gives up goes further");
    }

    #[test]
    fn a_long_way_to_the_target_does_not_end_in_single_rows() {
        // 100 ms there and back and 0.1 ms a row: 50 ms cannot be had.
        let mut adaptive = sizing(200, Some(0.05), 10_000);
        for _ in 0..50 {
            let rows = adaptive.rows();
            adaptive.took(rows, Duration::from_micros(100_000 + 100 * rows as u64));
        }
        assert_eq!(adaptive.rows(), 20);
    }
}
