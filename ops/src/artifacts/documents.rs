//! Summaries, gates and health reports for people: whether their numbers add up, and whether the logs say the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::folder::{File, Folder, seconds};
use super::run::{Run, failed};
use super::{Finding, Kind, Notes};
use crate::clock::Stamp;

/// What the documents of a folder cannot say.
pub(super) fn findings(folder: &Folder, run: &Run<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in folder.files.iter().filter(|file| file.is_prose()) {
        let mut notes = Notes::new(&file.path);
        if file.is("backfill_summary", ".md") {
            summary(&mut notes, file, run);
        }
        shares(&mut notes, file);
        denials(&mut notes, file, run);
        found.append(&mut notes.found);
    }
    found.extend(baseline(folder));
    found
}

/// The totals and the window of a summary.
fn summary(notes: &mut Notes<'_>, file: &File, run: &Run<'_>) {
    let number = |words: &[&str]| {
        file.text.lines().find_map(|line| {
            let (name, rest) = labelled(line)?;
            words.iter().any(|word| name == *word).then(|| first_number(rest)).flatten()
        })
    };
    let total = number(&["total sessions", "total", "sessions", "sessions processed", "candidates"]);
    let good = number(&["successful", "successful sessions", "succeeded", "sessions successful", "verified"]);
    let bad = number(&["failed", "failed sessions", "sessions failed"]);
    if let (Some(total), Some(good), Some(bad)) = (total, good, bad)
        && good.checked_add(bad).is_none_or(|sum| sum > total)
    {
        notes.add(Kind::Totals, format!("{total} sessions, {good} successful and {bad} failed"));
    }
    let logged: BTreeSet<&str> =
        run.batches.iter().flat_map(|batch| &batch.operations).map(|operation| operation.session).collect();
    let is_other = |total: &u64| *total != logged.len() as u64 && !run.batches.is_empty() && !run.is_ours();
    if let Some(total) = total.filter(is_other) {
        notes.add(
            Kind::Contradiction,
            format!("{total} sessions, and the logs of the batches have {}", logged.len()),
        );
    }
    let failing = failed(run.batches.iter().flat_map(|batch| &batch.operations));
    if let Some(bad) = bad.filter(|bad| *bad < failing.len() as u64) {
        notes.add(Kind::Contradiction, format!("{bad} failed, and the logs have {} that did", failing.len()));
    }
    let window: Vec<Stamp> =
        file.text.lines().filter(|line| is_window(line)).flat_map(times).take(2).collect();
    if let [start, end] = window[..] {
        let took = seconds(start, end);
        if took < 0.0 {
            notes.add(Kind::Clock, format!("it ends at {end}, before it starts at {start}"));
        } else if let Some(total) = total.filter(|_| !run.is_ours()) {
            run.fits(notes, total, took);
        }
    }
}

/// A line of a summary that says when a run began or ended.
fn is_window(line: &str) -> bool {
    let line = line.to_lowercase();
    ["window", "start", "end", "finish", "completed at", "runtime"].iter().any(|word| line.contains(word))
}

/// `- **Total sessions:** 39 (100.0%)` as `total sessions` and what follows; also a row of a table.
fn labelled(line: &str) -> Option<(String, &str)> {
    let line = line.trim().trim_start_matches(['-', '*', '|', ' ']);
    let (name, rest) = line.split_once([':', '|'])?;
    let name = name.trim_matches(['*', ' ', '`', '_']).to_lowercase();
    Some((name, rest))
}

fn first_number(text: &str) -> Option<u64> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let digits: String = text[start..].chars().take_while(|c| c.is_ascii_digit() || *c == ',').collect();
    digits.replace(',', "").parse().ok()
}

/// All times with a date in a line.
pub(super) fn times(line: &str) -> Vec<Stamp> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.' | '+');
    let words = line.split(|c: char| !is_part(c));
    words
        .filter(|word| word.contains('T'))
        .filter_map(|word| Stamp::parse(word.trim_end_matches(['.', ':'])))
        .collect()
}

/// `11/12 (91.7 %)`: a part of a whole and a percentage in one line that are not the same.
fn shares(notes: &mut Notes<'_>, file: &File) {
    for line in file.text.lines() {
        let (Some((part, whole)), Some(percent)) = (fraction(line), percentage(line)) else { continue };
        let share = part as f64 / whole as f64 * 100.0;
        if part > whole || (share - percent).abs() > 0.06 {
            notes.add(Kind::Totals, format!("{part} of {whole} are {share:.1} %, not {percent} %"));
        }
    }
}

fn fraction(line: &str) -> Option<(u64, u64)> {
    let at = line.find('/')?;
    let before: String = line[..at].chars().rev().take_while(char::is_ascii_digit).collect();
    let part = before.chars().rev().collect::<String>().parse().ok()?;
    let digits: String = line[at + 1..].chars().take_while(char::is_ascii_digit).collect();
    let whole: u64 = digits.parse().ok()?;
    // A third part would be a date.
    let rest = &line[at + 1 + digits.len()..];
    (whole > 0 && !rest.starts_with('/')).then_some((part, whole))
}

fn percentage(line: &str) -> Option<f64> {
    let before = line[..line.find('%')?].trim_end();
    let number: String = before.chars().rev().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    number.chars().rev().collect::<String>().parse().ok()
}

/// `session … has no profile`, where a log says that one was made before.
fn denials(notes: &mut Notes<'_>, file: &File, run: &Run<'_>) {
    let Some(at) = file.text.lines().flat_map(times).max() else { return };
    for line in file.text.lines() {
        let lower = line.to_lowercase();
        let is_denial =
            ["no profile", "without a profile", "missing profile", "profile missing", "lacks a profile"];
        if !is_denial.iter().any(|words| lower.contains(words)) {
            continue;
        }
        let made = run.batches.iter().flat_map(|batch| &batch.operations).find(|operation| {
            operation.success
                && operation.function.contains("prism")
                && operation.at.is_some_and(|made| made < at)
                && line.contains(operation.session)
        });
        if let Some(made) = made {
            let when = made.at.map_or_else(String::new, |at| format!(" at {at}"));
            let what =
                format!("session {} has no profile, and a log says that one was made{when}", made.session);
            notes.add(Kind::Contradiction, what);
        }
    }
}

/// A health check that saw fewer sessions than there were before.
fn baseline(folder: &Folder) -> Vec<Finding> {
    let sessions = |value: &Value| {
        ["total_sessions", "sessions_total", "sessions", "examined"]
            .iter()
            .find_map(|name| value.get(*name).and_then(Value::as_u64))
    };
    let named = |word: &str| {
        let of = move |file: &&File| file.name().contains(word) && file.json.is_some();
        folder.files.iter().find(of).and_then(|file| Some((file, sessions(file.json.as_ref()?)?)))
    };
    let Some((baseline, before)) = named("baseline") else { return Vec::new() };
    let in_json = named("health");
    let in_words = folder.files.iter().filter(|file| file.name().contains("health") && file.is_prose());
    let in_words = in_words.filter_map(|file| {
        let whole = file.text.lines().filter_map(fraction).map(|(_, whole)| whole).max();
        let said = file.text.lines().filter_map(labelled).find(|(name, _)| name.contains("sessions"));
        Some((file, whole.or_else(|| said.and_then(|(_, rest)| first_number(rest)))?))
    });
    let fewer = in_json.into_iter().chain(in_words).filter(|(_, after)| *after < before);
    fewer
        .map(|(file, after)| Finding {
            file: file.path.clone(),
            kind: Kind::Contradiction,
            what: format!("{after} sessions, and {} has {before}", baseline.path),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_words() {
        assert_eq!(labelled("- **Total sessions:** 39 (100.0%)").unwrap().0, "total sessions");
        assert_eq!(labelled("| Failed | 0 |").unwrap().0, "failed");
        assert_eq!(first_number(" 1,239 of 5"), Some(1239));
        assert_eq!(fraction("Conversion: 11/12 (91.7 %)"), Some((11, 12)));
        assert_eq!((fraction("on 12/09/2024"), fraction("a/b"), fraction("3/0")), (None, None, None));
        assert_eq!(
            (percentage("91.7 %"), percentage("100.0%"), percentage("none")),
            (Some(91.7), Some(100.0), None)
        );
        let found = times("from `2025-09-17T18:05:30Z` to 2025-09-17T18:07:45.123Z.");
        assert_eq!(found.len(), 2);
        assert_eq!(times("2025-09-17 and THIS"), []);
    }
}
