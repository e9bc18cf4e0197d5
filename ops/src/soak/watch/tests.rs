//! Six hours of looking, in no time.

use super::super::evidence::Log;
use super::super::judge::{Verdict, judge};
use super::super::settings::{MetricSettings, Settings, Span};
use super::*;
use crate::db::Cell;
use crate::pace::VirtualPace;
use crate::probe::{Line, Question};

const STARTED: &str = "2026-01-02T03:00:00Z";

/// A database in which every minute one more unit is there.
struct World {
    pace: VirtualPace,
    /// Seconds in which it cannot be reached.
    down: std::ops::Range<u64>,
}

struct Minutes(i64);

impl Answers for Minutes {
    fn sql(&mut self, _: &str) -> Result<Vec<Vec<Cell>>, String> {
        Ok(vec![vec![Cell::Int(self.0), Cell::Int(self.0)]])
    }

    fn rows(&mut self, question: &Question<'_>) -> Result<Vec<Line>, String> {
        Err(format!("no such table: {}", question.rows.table))
    }
}

impl Source for World {
    fn open(&mut self) -> Result<Box<dyn Answers + '_>, String> {
        let elapsed = self.pace.elapsed().as_secs();
        if self.down.contains(&elapsed) {
            return Err("connection refused".to_owned());
        }
        Ok(Box::new(Minutes(i64::try_from(elapsed / 60).unwrap())))
    }
}

fn metric() -> MetricSettings {
    let text =
        "name = 'profiles'\nwhat = 'profiles'\nrule = { never = { hidden_max = 0.05 } }\nsql = 'SELECT 1, 1'";
    MetricSettings { quiet_max: Some(Span(1800)), ..toml::from_str(text).unwrap() }
}

fn settings() -> Settings {
    Settings {
        window: Span(6 * 3600),
        every: Span(300),
        gap_max: None,
        blind_max: 0.1,
        error_rate: 0.05,
        metrics: vec![metric()],
    }
}

fn world(down: std::ops::Range<u64>) -> World {
    World { pace: VirtualPace::new(Stamp::parse(STARTED).unwrap()), down }
}

fn begun() -> Log {
    Log::begin(settings().terms("staging", "sqlite:///app.db".to_owned(), None, STARTED.to_owned())).0
}

fn asking(metrics: &[MetricSettings]) -> Asking<'_> {
    static NONE: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
    Asking { metrics, left_out: &NONE, public: None }
}

fn watched(world: &mut World, log: &mut Log, most: usize) -> Ended {
    let mut pace = world.pace.clone();
    let stop = AtomicBool::new(false);
    let keep = |log: &Log, _: &str| -> Result<bool, ()> { Ok(log.looks.len() < most) };
    let metrics = [metric()];
    watch(log, &asking(&metrics), world, &mut pace, "p1", &stop, keep).unwrap()
}

#[test]
fn a_window_is_watched_to_its_end() {
    let (mut world, mut log) = (world(0..0), begun());
    assert_eq!(watched(&mut world, &mut log, usize::MAX), Ended::WindowOver);
    let judgement = judge(&log);
    assert_eq!((log.looks.len(), judgement.verdict), (73, Verdict::Go));
    assert_eq!((judgement.coverage.looks_expected, judgement.coverage.gap_longest_s), (73, 300));
    world.pace.advance(Duration::from_hours(1));
    assert_eq!(watched(&mut world, &mut log, usize::MAX), Ended::WindowOver);
    assert_eq!(log.looks.len(), 73);
}

#[test]
fn an_outage_is_written_down_and_not_made_up_for() {
    let (mut world, mut log) = (world(3000..3900), begun());
    assert_eq!(watched(&mut world, &mut log, usize::MAX), Ended::WindowOver);
    let judgement = judge(&log);
    assert_eq!((judgement.metrics[0].failed, judgement.verdict), (3, Verdict::Go));
    assert_eq!(judgement.metrics[0].error.as_deref(), Some("connection refused"));
}

#[test]
fn another_process_goes_on_where_the_first_one_ended() {
    let (mut world, mut log) = (world(0..0), begun());
    assert_eq!(watched(&mut world, &mut log, 10), Ended::Enough);
    world.pace.advance(Duration::from_secs(700));
    assert_eq!(watched(&mut world, &mut log, 12), Ended::Enough);
    assert_eq!(log.looks[10].at, "2026-01-02T03:56:40Z");
    assert_eq!(log.looks[11].at, "2026-01-02T04:00:00Z");
    assert_eq!(judge(&log).coverage.gap_longest_s, 700);
}

#[test]
fn a_stop_is_heard_while_waiting() {
    let (mut world, mut log) = (world(0..0), begun());
    let (mut pace, stop) = (world.pace.clone(), AtomicBool::new(false));
    let keep = |_: &Log, _: &str| -> Result<bool, ()> {
        stop.store(true, Ordering::Relaxed);
        Ok(true)
    };
    let metrics = [metric()];
    let ended = watch(&mut log, &asking(&metrics), &mut world, &mut pace, "p1", &stop, keep);
    assert_eq!((ended, log.looks.len()), (Ok(Ended::Stopped), 1));
}
