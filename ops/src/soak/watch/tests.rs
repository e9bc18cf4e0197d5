//! Six hours of looking, in no time.

use super::super::evidence::{Log, Rule};
use super::super::judge::{Verdict, judge};
use super::super::settings::{Settings, Span};
use super::*;
use crate::db::DbError;
use crate::pace::VirtualPace;

const STARTED: &str = "2026-01-02T03:00:00Z";

/// A database in which every minute one more unit is there.
struct World {
    pace: VirtualPace,
    /// Seconds in which it cannot be reached.
    down: std::ops::Range<u64>,
    asked: Vec<String>,
}

struct Answers<'a> {
    minutes: i64,
    asked: &'a mut Vec<String>,
}

impl Reader for Answers<'_> {
    fn columns(&mut self, _: &str) -> Result<Vec<String>, DbError> {
        Ok(Vec::new())
    }

    fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Cell>>, DbError> {
        self.asked.push(sql.to_owned());
        Ok(match sql.split_whitespace().next() {
            Some("all") => vec![vec![Cell::Int(self.minutes), Cell::Int(self.minutes)]],
            Some("bad") => vec![vec![Cell::Int(self.minutes), Cell::Int(self.minutes - 1)]],
            Some("null") => vec![vec![Cell::Null, Cell::Int(0)]],
            Some("two") => vec![vec![], vec![]],
            Some("one") => vec![vec![Cell::Int(1)]],
            Some("keys") => (0..30).map(|key| vec![Cell::Int(key)]).collect(),
            _ => return Err(DbError::new("run it", "no such table: profiles")),
        })
    }
}

impl Source for World {
    fn open(&mut self) -> Result<Box<dyn Reader + '_>, String> {
        let elapsed = self.pace.elapsed().as_secs();
        if self.down.contains(&elapsed) {
            return Err("connection refused".to_owned());
        }
        let minutes = i64::try_from(elapsed / 60).unwrap();
        Ok(Box::new(Answers { minutes, asked: &mut self.asked }))
    }
}

fn metric(sql: &str) -> MetricSettings {
    MetricSettings {
        name: "profiles".to_owned(),
        what: "profiles".to_owned(),
        rule: Rule::Never { hidden_max: 0.05 },
        counting: super::super::evidence::Counting::SinceStart,
        quiet_max: Some(Span(1800)),
        sql: sql.to_owned(),
        bad: Some("keys".to_owned()),
    }
}

fn settings(sql: &str) -> Settings {
    Settings {
        window: Span(6 * 3600),
        every: Span(300),
        gap_max: None,
        blind_max: 0.1,
        error_rate: 0.05,
        metrics: vec![metric(sql)],
    }
}

fn world(down: std::ops::Range<u64>) -> World {
    World { pace: VirtualPace::new(Stamp::parse(STARTED).unwrap()), down, asked: Vec::new() }
}

fn begun(sql: &str) -> Log {
    Log::begin(settings(sql).terms("staging", "sqlite:///app.db".to_owned(), None, STARTED.to_owned())).0
}

fn watched(world: &mut World, log: &mut Log, sql: &str, most: usize) -> Ended {
    let mut pace = world.pace.clone();
    let stop = AtomicBool::new(false);
    let keep = |log: &Log, _: &str| -> Result<bool, ()> { Ok(log.looks.len() < most) };
    watch(log, &[metric(sql)], world, &mut pace, "p1", &stop, keep).unwrap()
}

#[test]
fn a_window_is_watched_to_its_end() {
    let (mut world, mut log) = (world(0..0), begun("all"));
    assert_eq!(watched(&mut world, &mut log, "all", usize::MAX), Ended::WindowOver);
    let judgement = judge(&log);
    assert_eq!((log.looks.len(), judgement.verdict), (73, Verdict::Go));
    assert_eq!((judgement.coverage.looks_expected, judgement.coverage.gap_longest_s), (73, 300));
    world.pace.advance(Duration::from_hours(1));
    assert_eq!(watched(&mut world, &mut log, "all", usize::MAX), Ended::WindowOver);
    assert_eq!(log.looks.len(), 73);
}

#[test]
fn an_outage_is_written_down_and_not_made_up_for() {
    let (mut world, mut log) = (world(3000..3900), begun("all"));
    assert_eq!(watched(&mut world, &mut log, "all", usize::MAX), Ended::WindowOver);
    let judgement = judge(&log);
    assert_eq!((judgement.metrics[0].failed, judgement.verdict), (3, Verdict::Go));
    assert_eq!(judgement.metrics[0].error.as_deref(), Some("connection refused"));
}

#[test]
fn another_process_goes_on_where_the_first_one_ended() {
    let (mut world, mut log) = (world(0..0), begun("all"));
    assert_eq!(watched(&mut world, &mut log, "all", 10), Ended::Enough);
    world.pace.advance(Duration::from_secs(700));
    assert_eq!(watched(&mut world, &mut log, "all", 12), Ended::Enough);
    assert_eq!(log.looks[10].at, "2026-01-02T03:56:40Z");
    assert_eq!(log.looks[11].at, "2026-01-02T04:00:00Z");
    assert_eq!(judge(&log).coverage.gap_longest_s, 700);
}

#[test]
fn a_stop_is_heard_while_waiting() {
    let (mut world, mut log) = (world(0..0), begun("all"));
    let (mut pace, stop) = (world.pace.clone(), AtomicBool::new(false));
    let keep = |_: &Log, _: &str| -> Result<bool, ()> {
        stop.store(true, Ordering::Relaxed);
        Ok(true)
    };
    let ended = watch(&mut log, &[metric("all")], &mut world, &mut pace, "p1", &stop, keep);
    assert_eq!((ended, log.looks.len()), (Ok(Ended::Stopped), 1));
}

#[test]
fn an_answer_that_is_not_two_counts_is_a_failed_reading() {
    for (sql, reason) in [
        ("null", "expected two whole numbers, found null and 0"),
        ("two", "expected one row of units and good ones, found 2 rows"),
        ("one", "expected two numbers, units and good ones, found 1 columns"),
        ("none", "no such table: profiles"),
    ] {
        let mut asked = Vec::new();
        let found = read(&metric(sql), &mut Answers { minutes: 5, asked: &mut asked }, STARTED, None);
        assert_eq!(found, Err(reason.to_owned()));
    }
}

#[test]
fn bad_units_are_named_only_where_there_are_some() {
    let mut asked = Vec::new();
    let mut read = |sql| read(&metric(sql), &mut Answers { minutes: 5, asked: &mut asked }, STARTED, None);
    let Ok(Reading::Counted { bad, .. }) = read("bad") else { panic!("it can be read") };
    assert_eq!((bad.len(), bad[1].as_str()), (BAD_KEPT, "1"));
    assert_eq!(read("all"), Ok(Reading::Counted { units: 5, good: 5, bad: Vec::new() }));
    assert_eq!(asked, ["bad", "keys", "all"]);
}

#[test]
fn names_are_put_into_a_statement_as_quoted_text() {
    assert_eq!(fill("x > {started} AND r <> {run}", "t", Some("o'k")), "x > 't' AND r <> 'o''k'");
    assert_eq!(fill("r IS NOT {run}", "t", None), "r IS NOT NULL");
}
