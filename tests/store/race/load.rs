//! What the contenders of `cargo xtask bench store` share: the events, the pace, and how long callers waited.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

/// Everything but the numbers is the same in each event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) producer: usize,
    pub(crate) n: i64,
}

const PHASES: [&str; 4] = ["phase-build-0001", "phase-docs-0002", "phase-tests-0003", "phase-fix-0004"];
pub(crate) const RUN: &str = "telemetry-run-2026-01-02";
pub(crate) const AT: &str = "2026-01-02 03:04:05.000000";

impl Sample {
    pub(crate) fn phase(self) -> &'static str {
        PHASES[self.producer % 4]
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    pub(crate) fn smape(self) -> f64 {
        (self.n % 200) as f64 / 2.0
    }

    /// The event as JSON, with a line feed.
    pub(crate) fn line(self) -> String {
        let n = self.n;
        format!(
            "{{\"run_id\":\"{RUN}\",\"phase_id\":\"{}\",\"at\":\"{AT}\",\"category\":\"implementation\",\
             \"complexity\":\"medium\",\"deliverables\":{},\"predicted\":{n},\"actual\":{},\"budget\":8192,\
             \"success\":{},\"truncated\":{},\"stop_reason\":\"end_turn\",\"model\":\"builder-1\",\"smape\":{},\
             \"waste\":1.5,\"attempt\":1}}\n",
            self.phase(),
            n % 9,
            n / 2,
            n % 7 != 0,
            n % 31 == 0,
            self.smape()
        )
    }
}

/// How long calls took: sixteen classes for each power of two of nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Waits(Vec<u64>);

impl Waits {
    pub(crate) fn new() -> Self {
        Self(vec![0; 64 * 16])
    }

    fn add(&mut self, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap().max(16);
        let power = nanos.ilog2();
        self.0[(power * 16) as usize + ((nanos >> (power - 4)) & 15) as usize] += 1;
    }

    fn merge(mut self, other: &Self) -> Self {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a += b);
        self
    }

    /// The upper end of the class of this share, in microseconds.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small"
    )]
    fn at(&self, share: f64) -> f64 {
        let total: u64 = self.0.iter().sum();
        let mut left = (total as f64 * share).ceil() as u64;
        for (class, count) in self.0.iter().enumerate() {
            if left <= *count {
                let (power, part) = (class as u32 / 16, class as u64 % 16);
                return ((17 + part) << power.saturating_sub(4)) as f64 / 1000.0;
            }
            left -= count;
        }
        0.0
    }
}

/// What to write: so many events by so many threads, at so many a second altogether (0: as fast as they can).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) producers: usize,
    pub(crate) pace: u64,
    pub(crate) events: i64,
}

impl Load {
    /// Calls what `make` gives to each producer for every event, in the producers' threads.
    #[expect(clippy::cast_precision_loss, reason = "small")]
    pub(crate) fn run<W: FnMut(Sample)>(self, make: impl Fn() -> W + Sync) -> Waits {
        let part = |producer: usize| {
            let mut write = make();
            let mut waits = Waits::new();
            let each = self.events / i64::try_from(self.producers).unwrap();
            let began = Instant::now();
            let mut before = Instant::now();
            for n in 0..each {
                if self.pace > 0 {
                    let due = n as f64 * self.producers as f64 / self.pace as f64;
                    let early = due - began.elapsed().as_secs_f64();
                    if early > 0.0 {
                        thread::sleep(Duration::from_secs_f64(early));
                    }
                    before = Instant::now();
                }
                write(Sample { producer, n });
                let after = Instant::now();
                waits.add(after - before);
                before = after;
            }
            waits
        };
        let part = &part;
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.producers).map(|i| scope.spawn(move || part(i))).collect();
            threads.into_iter().map(|t| t.join().unwrap()).fold(Waits::new(), |all, one| all.merge(&one))
        })
    }
}

/// What a contender was told: the way, the load, and a folder to write in.
pub(crate) fn told() -> (String, Load, PathBuf) {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("way, producers, pace, events, folder");
    let way = next();
    let load = Load {
        producers: next().parse().unwrap(),
        pace: next().parse().unwrap(),
        events: next().parse().unwrap(),
    };
    (way, load, PathBuf::from(next()))
}

/// What a contender says when it is done, after so many seconds.
pub(crate) fn tell(load: Load, seconds: f64, waits: &Waits) {
    println!(
        "{{\"events\": {}, \"seconds\": {seconds}, \"p50\": {}, \"p99\": {}, \"p999\": {}, \"peak_mb\": {}}}",
        load.events,
        waits.at(0.5),
        waits.at(0.99),
        waits.at(0.999),
        peak_megabytes(),
    );
}

/// What the operating system counted at most; 0 where it does not say so.
fn peak_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().unwrap_or(0.0);
    kilobytes * 1024.0 / 1e6
}
