//! Times that artifacts name: none can be later than the file that names it, or earlier than what it is about.

use std::time::Duration;

use super::documents::times;
use super::folder::{File, Folder};
use super::run::Run;
use super::{Finding, Kind, Known, Notes};
use crate::clock::Stamp;

/// Clocks of file systems and of people part by so much.
const SLACK: Duration = Duration::from_secs(2);

/// Times that cannot be.
pub(super) fn findings(folder: &Folder, run: &Run<'_>, known: &Known) -> Vec<Finding> {
    let planned = run.planned();
    let plan = run.plan.map(|(file, _)| file.path.as_str());
    let mut found = Vec::new();
    for file in folder.files.iter().filter(|file| tells_of_the_run(file) || Some(file.path.as_str()) == plan)
    {
        let mut notes = Notes::new(&file.path);
        let named: Vec<Stamp> = file.text.lines().flat_map(times).collect();
        if let Some(last) = named.iter().max() {
            too_late(&mut notes, *last, file, known);
        }
        let first = named.iter().min().filter(|_| Some(file.path.as_str()) != plan);
        if let (Some(first), Some(planned)) = (first, planned)
            && *first < planned
        {
            notes.add(Kind::Clock, format!("it names {first}; the plan was made at {planned}"));
        }
        if let (Some(first), Some(since)) = (first, known.since)
            && *first < since
        {
            notes.add(Kind::Clock, format!("it names {first}, and what made it is of {since}"));
        }
        found.append(&mut notes.found);
    }
    found
}

fn too_late(notes: &mut Notes<'_>, last: Stamp, file: &File, known: &Known) {
    let ends = [
        (file.written, "the file was last written at"),
        (known.by, "it was there at"),
        (known.now, "now it is"),
    ];
    for (end, what) in ends.into_iter().filter_map(|(end, what)| Some((end?, what))) {
        if last > end.plus(SLACK) {
            notes.add(Kind::Clock, format!("it names {last}, and {what} {end}"));
            return;
        }
    }
}

/// Reports and logs of a run, whose times are those of the run. Statements and plans have times of other things.
fn tells_of_the_run(file: &File) -> bool {
    let name = file.name();
    let is_log = name.starts_with("batch_") || name.starts_with("execution_results");
    let words = ["summary", "observability", "soak", "gate", "health"];
    is_log || (file.is_prose() && words.iter().any(|word| name.contains(word)))
}
