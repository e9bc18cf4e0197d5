//! Token events from raw log files, in the two forms of line that executors wrote.
//!
//! A line that looks like one of the forms and is not in it is listed, never skipped in silence; every other line of a log is
//! none of our business. The same line in a second copy of a log counts once.

use std::io::{self, BufRead};

use super::analysis::Analysis;
use super::event::TokenEvent;
use super::input::Input;
use super::sample::{Extra, Sample, Samples};

/// The marks of the lines.
const SECOND: &str = "[TokenEstimationV2] ";
const FIRST: &str = "[TokenEstimation] ";
const BUDGET: &str = "[TOKEN_BUDGET] ";
const DRAINING: &str = "Draining: ";

/// Lines longer than this are none of ours.
const LINE_MAX: usize = 1 << 16;

/// What the lines before say about the next event.
#[derive(Debug, Default)]
struct Place {
    run: String,
    phase: String,
    /// Of the last budget line: its phase, and the output tokens that it speaks of.
    budget: Option<(String, u64)>,
}

/// Reads the events of one log into `input`, which counts over all of them.
pub fn read_log(
    mut source: impl BufRead,
    input: &mut Input,
    analysis: &mut Analysis,
    samples: &mut Samples,
) -> Result<(), io::Error> {
    let mut place = Place::default();
    let mut buffer = Vec::new();
    let mut number = 0;
    while source.read_until(b'\n', &mut buffer)? > 0 {
        number += 1;
        if buffer.len() <= LINE_MAX {
            let line = String::from_utf8_lossy(&buffer);
            let line = line.trim_end();
            place.note(line);
            match event(line, number) {
                None => {}
                Some(Err(reason)) => input.reject(number, reason),
                Some(Ok(event)) => take(&event, line, &mut place, input, analysis, samples),
            }
        }
        buffer.clear();
    }
    Ok(())
}

fn take(
    event: &TokenEvent<'_>,
    line: &str,
    place: &mut Place,
    input: &mut Input,
    analysis: &mut Analysis,
    samples: &mut Samples,
) {
    let at = time_of(line);
    // Lines without a time cannot be told from their copies.
    let key = |at| Input::key(&[at, mark_of(line)], [event.predicted, event.actual]);
    if at.is_some_and(|at| input.is_repeated(key(at))) {
        return;
    }
    input.accepted += 1;
    analysis.push(event);
    let (run, phase) = place.of(event.actual);
    samples.push(|| Sample::new(event, &Extra { run: &run, phase: &phase, at, ..Extra::default() }));
}

impl Place {
    fn note(&mut self, line: &str) {
        if let Some(rest) = after(line, BUDGET) {
            let field =
                |name: &str| rest.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
            let output = field("output").and_then(|o| o.split('/').next()?.parse().ok());
            self.budget = field("phase").map(str::to_owned).zip(output);
        } else if let Some((run, phase)) = after(line, DRAINING).and_then(|rest| rest.split_once(" / ")) {
            (self.run, self.phase) = (run.trim().to_owned(), phase.trim().to_owned());
            self.budget = None;
        }
    }

    /// The run and phase of an event: a budget line just before it that speaks of the same output knows better which phase
    /// was worked on than what the drain set out to do.
    fn of(&mut self, actual: u64) -> (String, String) {
        let phase = match self.budget.take() {
            Some((phase, output)) if output == actual => phase,
            _ => self.phase.clone(),
        };
        (self.run.clone(), phase)
    }
}

fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    line.find(mark).map(|at| &line[at + mark.len()..])
}

fn mark_of(line: &str) -> &'static str {
    if line.contains(SECOND) { SECOND } else { FIRST }
}

/// The time at the beginning of a line, without its brackets.
fn time_of(line: &str) -> Option<&str> {
    let text = line.strip_prefix('[')?.split(']').next()?;
    crate::clock::Stamp::parse_db(text).map(|_| text)
}

/// The event of a line; `None` for a line of any other kind.
fn event(line: &str, number: u64) -> Option<Result<TokenEvent<'_>, String>> {
    let id = i64::try_from(number).unwrap_or(i64::MAX);
    if let Some(rest) = after(line, SECOND) {
        return Some(second(rest, id));
    }
    after(line, FIRST)
        .map(|rest| first(rest, id).ok_or_else(|| "not in the form of the first version".to_owned()))
}

fn second(rest: &str, id: i64) -> Result<TokenEvent<'_>, String> {
    if rest.split(' ').any(|word| word.starts_with("actual_total=")) {
        return Err("the output tokens are not known: `actual_total` counts the prompt too".to_owned());
    }
    let mut words = rest.split(' ');
    let mut field = |name: &str| -> Result<&str, String> {
        let word = words.next().unwrap_or_default();
        let value = word.strip_prefix(name).and_then(|word| word.strip_prefix('='));
        value.filter(|value| !value.is_empty()).ok_or_else(|| format!("no `{name}` where it belongs"))
    };
    let whole =
        |name: &str, value: &str| value.parse::<u64>().map_err(|_| format!("`{name}` is not a whole number"));
    let flag = |name: &str, value: &str| match value {
        "True" | "true" => Ok(true),
        "False" | "false" => Ok(false),
        _ => Err(format!("`{name}` is not True or False")),
    };
    let predicted = whole("predicted_output", field("predicted_output")?)?;
    let actual = whole("actual_output", field("actual_output")?)?;
    // Logged with one decimal: too coarse to be compared with what the counts give.
    field("smape")?.strip_suffix('%').ok_or("`smape` is not a percentage")?;
    let selected_budget = field("selected_budget")?.parse().ok();
    let (category, complexity) = (field("category")?, field("complexity")?);
    let deliverable_count = whole("deliverables", field("deliverables")?)?;
    let success = flag("success", field("success")?)?;
    field("stop_reason")?;
    let truncated = Some(flag("truncated", field("truncated")?)?);
    field("model")?;
    Ok(TokenEvent {
        id,
        category,
        complexity,
        deliverable_count,
        predicted,
        actual,
        selected_budget,
        success,
        truncated,
        smape_percent: None,
        waste_ratio: None,
        underestimated: None,
    })
}

/// The first version says neither what the task was nor how it ended: never a success, truncation not recorded.
fn first(rest: &str, id: i64) -> Option<TokenEvent<'_>> {
    let (predicted, rest) = rest.strip_prefix("Predicted: ")?.split_once(" output tokens, Actual: ")?;
    let (actual, error) = rest.split_once(" output tokens, Error: ")?;
    error.strip_suffix('%')?.parse::<f64>().ok()?;
    Some(TokenEvent {
        id,
        category: "",
        complexity: "",
        deliverable_count: 0,
        predicted: predicted.parse().ok()?,
        actual: actual.parse().ok()?,
        selected_budget: None,
        success: false,
        truncated: None,
        smape_percent: None,
        waste_ratio: None,
        underestimated: None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::summary::Summary;
    use super::*;

    const LINE: &str = "[2030-01-02 03:04:05] INFO: [TokenEstimationV2] predicted_output=5200 actual_output=1218 \
        smape=124.1% selected_budget=8192 category=testing complexity=low deliverables=1 success=True \
        stop_reason=end_turn truncated=False model=m";

    fn read(logs: &[&str]) -> (Input, Samples, Summary) {
        let (mut input, mut analysis, mut samples) =
            (Input::default(), Analysis::default(), Samples::default());
        for log in logs {
            read_log(log.as_bytes(), &mut input, &mut analysis, &mut samples).unwrap();
        }
        (input, samples, analysis.finish())
    }

    #[test]
    fn a_line_of_the_second_version() {
        let (input, samples, summary) = read(&[&format!("noise\n{LINE}\r\n\u{fffd} more noise\n")]);
        assert_eq!((input.accepted, input.reject_count, summary.attempts.success), (1, 0, 1));
        let sample = &samples.list[0];
        assert_eq!((sample.predicted, sample.actual, sample.budget), (5200, 1218, Some(8192)));
        assert_eq!(
            (sample.category.as_str(), sample.truncated, sample.at),
            ("tests", Some(false), Some(1_893_553_445))
        );
    }

    #[test]
    fn the_phase_is_that_of_the_budget_line_before() {
        let budget = "x: [TOKEN_BUDGET] phase=other complexity=low input=9 output=1218/16384 total=9 utilization=7% model=m";
        let drain = "[drain_one_phase] Draining: run-1 / target";
        let phase = |lines: &[&str]| {
            let sample = read(&[&lines.join("\n")]).1.list[0].clone();
            (sample.run, sample.phase)
        };
        let pair = |run: &str, phase: &str| (run.to_owned(), phase.to_owned());
        assert_eq!(phase(&[drain, budget, LINE]), pair("run-1", "other"));
        assert_eq!(phase(&[drain, &budget.replace("1218", "7"), LINE]), pair("run-1", "target"));
        assert_eq!(phase(&[LINE]), pair("", ""));
    }

    #[test]
    fn lines_of_the_first_version_are_never_successes() {
        let log: String = [(300, 128, "57.3"), (800, 129, "83.9"), (1500, 129, "91.4"), (2000, 129, "93.5"), (400, 117, "70.8")]
            .map(|(p, a, e)| format!("INFO: [TokenEstimation] Predicted: {p} output tokens, Actual: {a} output tokens, Error: {e}%\n"))
            .concat();
        let (input, _, summary) = read(&[&log]);
        assert_eq!((input.accepted, summary.attempts.attempts, summary.attempts.success), (5, 5, 0));
        assert_eq!(summary.attempts.truncation_unrecorded, 5);
        assert!(!summary.gates_met());
    }

    #[test]
    fn a_copy_of_a_log_adds_nothing() {
        let (input, samples, _) = read(&[LINE, LINE, &LINE.replace("04:05", "04:06")]);
        assert_eq!((input.accepted, input.duplicates, samples.list.len()), (2, 1, 2));
    }

    #[test]
    fn lines_that_only_look_like_one_are_listed() {
        for (from, to, reason) in [
            ("actual_output=1218", "actual_total=3000", "the output tokens are not known"),
            ("deliverables=1 ", "deliverables=one ", "`deliverables` is not a whole number"),
            ("success=True", "success=maybe", "`success` is not True or False"),
            (" truncated=False", "", "no `truncated` where it belongs"),
            ("category=testing", "category=", "no `category` where it belongs"),
            ("smape=124.1%", "smape=124.1", "`smape` is not a percentage"),
        ] {
            let (input, _, summary) = read(&[&LINE.replace(from, to)]);
            assert_eq!((input.reject_count, summary.attempts.attempts), (1, 0), "{to}");
            assert!(input.rejects[0].reason.starts_with(reason), "{:?}", input.rejects);
        }
        let (input, ..) = read(&["[TokenEstimation] Predicted: many"]);
        assert_eq!(input.rejects[0].reason, "not in the form of the first version");
    }
}
