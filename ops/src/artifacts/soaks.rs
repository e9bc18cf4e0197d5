//! Reports of soaks: whether so much time can have passed, and whether the evidence gives the same report.

use serde_json::Value;

use super::folder::{File, Folder, seconds};
use super::{Finding, Kind, Notes};
use crate::clock::Stamp;
use crate::soak::{Log, judge};

/// What the soaks of a folder cannot say.
pub(super) fn findings(folder: &Folder) -> Vec<Finding> {
    let mut found = Vec::new();
    let evidence: Vec<(&File, Result<Log, _>)> = folder
        .files
        .iter()
        .filter(|file| file.name() == "evidence.ndjson")
        .map(|file| (file, Log::read(&file.text)))
        .collect();
    for (file, log) in &evidence {
        match log {
            Err(error) => found.push(Finding {
                file: file.path.clone(),
                kind: Kind::Edited,
                what: format!("the evidence cannot be relied on: {error}"),
            }),
            Ok(log) => found.extend(against(folder, file, log)),
        }
    }
    let is_report = |file: &&File| file.name().contains("observability") || file.name().starts_with("soak");
    for file in folder.files.iter().filter(is_report) {
        let mut notes = Notes::new(&file.path);
        if !evidence.iter().any(|(log, _)| folder_of(log) == folder_of(file)) {
            notes.add(
                Kind::Missing,
                "a report without the looks that it was made from: there is no evidence.ndjson",
            );
        }
        for value in documents(file) {
            window(&mut notes, &value);
            conversion(&mut notes, &value);
        }
        found.append(&mut notes.found);
    }
    found
}

fn folder_of(file: &File) -> &str {
    file.path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// The reports beside the evidence are those that it gives.
fn against(folder: &Folder, file: &File, log: &Log) -> Vec<Finding> {
    let judgement = judge(log);
    let json = serde_json::to_string_pretty(&judgement).map(|text| text + "\n").unwrap_or_default();
    let markdown = judgement.document(log).markdown();
    let mut found = Vec::new();
    for (ending, expected) in [("md", markdown), ("json", json)] {
        let name = format!("{}_observability.{ending}", log.soak.name);
        let reports = folder
            .files
            .iter()
            .filter(|report| report.name() == name && folder_of(report) == folder_of(file));
        let edited = reports.filter(|report| report.text != expected);
        found.extend(edited.map(|report| Finding {
            file: report.path.clone(),
            kind: Kind::Edited,
            what: format!("it is not what {} gives, which is {}", file.path, judgement.verdict),
        }));
    }
    found
}

/// The JSON document of a report, or those inside its Markdown.
fn documents(file: &File) -> Vec<Value> {
    if let Some(json) = &file.json {
        return vec![json.clone()];
    }
    let fences = file.text.split("```").skip(1).step_by(2);
    let bodies = fences.filter_map(|fence| fence.split_once('\n')).map(|(_, body)| body);
    bodies.filter_map(|body| serde_json::from_str(body).ok()).collect()
}

/// Every pair of times of one object, and the time that it says it lasted.
fn window(notes: &mut Notes<'_>, value: &Value) {
    const ENDS: [(&str, &str); 6] = [
        ("started_at", "completed_at"),
        ("started_at", "ended_at"),
        ("started_at", "finished_at"),
        ("start", "end"),
        ("window_start", "window_end"),
        ("execution_start", "execution_end"),
    ];
    let Value::Object(members) = value else { return };
    let time = |name: &str| members.get(name).and_then(Value::as_str).and_then(Stamp::parse);
    let hours =
        ["window_hours", "hours", "duration_hours"].iter().find_map(|name| members.get(*name)?.as_f64());
    for (first, last) in ENDS {
        let (Some(start), Some(end)) = (time(first), time(last)) else { continue };
        let took = seconds(start, end);
        if took < 0.0 {
            notes.add(Kind::Clock, format!("`{last}` {end} is before `{first}` {start}"));
        } else if let Some(hours) = hours.filter(|hours| took + 1.0 < hours * 3600.0) {
            notes.add(Kind::Clock, format!("{hours} hours from {start} to {end}, which are {took:.3} s"));
        }
    }
    let elapsed = ["elapsed_ms", "execution_time_ms", "duration_ms", "runtime_ms"];
    let elapsed = elapsed.iter().find_map(|name| members.get(*name)?.as_f64());
    if let (Some(ms), Some(hours)) = (elapsed, hours)
        && ms + 1000.0 < hours * 3_600_000.0
    {
        notes.add(Kind::Clock, format!("a window of {hours} hours was watched in {ms} ms"));
    }
    members.values().for_each(|member| window(notes, member));
}

/// Profiles of completed sessions, and the percentage that is said of them.
fn conversion(notes: &mut Notes<'_>, value: &Value) {
    let Value::Object(members) = value else { return };
    let number = |names: &[&str]| names.iter().find_map(|name| members.get(*name)?.as_f64());
    let profiles = number(&["profiles_created", "profiles", "profile_count"]);
    let completed = number(&["sessions_completed", "completed_sessions", "completed"]);
    let rate = number(&["conversion_rate", "conversion", "conversion_percent"]);
    if let (Some(profiles), Some(completed), Some(rate)) = (profiles, completed, rate)
        && completed > 0.0
    {
        // As a share or as a percentage.
        let said = if rate <= 1.0 { rate * 100.0 } else { rate };
        let found = profiles / completed * 100.0;
        if (said - found).abs() > 0.06 {
            let what = format!(
                "{profiles} profiles of {completed} completed sessions are {found:.1} %, not {said:.1} %"
            );
            notes.add(Kind::Totals, what);
        }
    }
    members.values().for_each(|member| conversion(notes, member));
}
