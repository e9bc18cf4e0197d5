//! `plan.md` and what `plan show` prints: one document, made from the facts and one pass over the changes.

use super::elide::{show, show_pair};
use super::keys::key_text;
use super::layout::{Layout, Op, changed};
use super::manifest::{CountFacts, Derived, Facts, Manifest};
use super::risk::Rule;
use super::survey::{Noted, RISKY_ROWS, SAMPLE_ROWS, Survey};
use super::{PlanDir, PlanError, commands};
use crate::report::{Align, Document, Table};
use crate::target::Change;
use crate::text::{bytes, one_line, plural, thousands};

/// Characters of a value in a table.
const VALUE_CHARS: usize = 48;
/// Changed cells of one row in a table of samples.
const CELLS: usize = 6;

impl PlanDir {
    /// The review: what `plan.md` says, from the plan itself.
    pub fn review(&self) -> Result<Document, PlanError> {
        let mut survey = Survey::new(self.layout());
        for (n, change) in (0..).zip(self.changes()?) {
            survey.see(n, &change?);
        }
        Ok(document(self.manifest(), self.layout(), &survey))
    }
}

/// The whole review.
pub(super) fn document(manifest: &Manifest, layout: &Layout, survey: &Survey) -> Document {
    let facts = &manifest.plan;
    let mut document = Document::new();
    document.heading(1, format!("Plan {}: {} {}", manifest.short, verb(facts), layout.table.name));
    head(&mut document, manifest, layout);
    counts(&mut document, facts);
    risky(&mut document, layout, survey);
    samples(&mut document, layout, survey, &facts.counts);
    left_alone(&mut document, facts);
    columns(&mut document, facts);
    notes(&mut document, facts);
    how(&mut document, manifest);
    document
}

fn verb(facts: &Facts) -> &'static str {
    match facts.counts.delete {
        0 => "upsert into",
        _ => "upsert into and DELETE from",
    }
}

fn head(document: &mut Document, manifest: &Manifest, layout: &Layout) {
    let facts = &manifest.plan;
    let target = &facts.target;
    let lineage = target.lineage.as_ref().map_or_else(
        || "none: this database was never stamped".to_owned(),
        |lineage| format!("{}, stamped `{}` {}", lineage.id, lineage.purpose, lineage.stamped_at),
    );
    let input = &facts.desired;
    let backup = facts.backup.as_ref().map_or_else(
        || "none".to_owned(),
        |backup| {
            format!(
                "{}, {} different keys, counted {} before and {} after, {}; digest {}",
                plural(backup.rows, "row"),
                thousands(backup.distinct_keys),
                thousands(backup.count_before),
                thousands(backup.count_after),
                if backup.snapshot { "one snapshot" } else { "not one snapshot" },
                backup.digest
            )
        },
    );
    document.facts([
        ("target", one_line(&target.url)),
        ("driver", target.driver.clone()),
        ("fingerprint", target.fingerprint.clone()),
        ("lineage", lineage),
        ("table", one_line(&layout.table.name.to_string())),
        ("key", one_line(&facts.key.join(", "))),
        (
            "desired rows",
            format!(
                "{} in {} ({}, {}, SHA-256 {})",
                thousands(input.rows),
                one_line(&input.file),
                input.format,
                bytes(input.bytes),
                input.sha256
            ),
        ),
        ("backup", backup),
        ("made", format!("{} by version {}", facts.created_at, facts.tool_version)),
        ("id", manifest.id.clone()),
    ]);
    if let Some(derived) = &facts.derived_from {
        let selection = one_line(&derived.selection.join("; "));
        document.text(format!("A part of plan {}: {selection}.", derived.id));
    }
    if !facts.state.applyable {
        document.text("This plan cannot be applied.");
    }
    document.list(facts.state.reasons.iter().map(|reason| one_line(reason)));
}

fn counts(document: &mut Document, facts: &Facts) {
    let counts = &facts.counts;
    let mut table = Table::new([("rows", Align::Left), ("count", Align::Right)]);
    for (name, count) in [
        ("to insert", counts.insert),
        ("to update", counts.update),
        ("to delete", counts.delete),
        ("unchanged", counts.unchanged),
        ("only live, left alone", counts.only_live),
    ] {
        table.row([name.to_owned(), thousands(count)]);
    }
    document.heading(2, "Changes").table(table).list(ledger(counts, facts.derived_from.as_ref()));
    if counts.cells_changed.is_empty() {
        return;
    }
    let mut cells = Table::new([("column", Align::Code), ("cells changed", Align::Right)]);
    for (column, count) in &counts.cells_changed {
        cells.row([one_line(column), thousands(*count)]);
    }
    document.heading(2, "Cells changed by updates").table(cells);
}

/// Both sides as sums. A plan is not written unless they add up.
pub(super) fn ledger(counts: &CountFacts, derived: Option<&Derived>) -> [String; 2] {
    let sum = |name: &str, total: u64, parts: &[(u64, &str)]| {
        let parts: Vec<String> = parts
            .iter()
            .filter(|(n, word)| *n > 0 || !["deleted", "left out"].contains(word))
            .map(|(n, word)| format!("{} {word}", thousands(*n)))
            .collect();
        format!("{name} {} = {}", thousands(total), parts.join(" + "))
    };
    let (out_insert, out_update, out_delete) =
        derived.map_or((0, 0, 0), |d| (d.left_out_insert, d.left_out_update, d.left_out_delete));
    [
        sum(
            "desired",
            counts.desired,
            &[
                (counts.insert, "inserted"),
                (counts.update, "updated"),
                (counts.unchanged, "unchanged"),
                (out_insert + out_update, "left out"),
            ],
        ),
        sum(
            "live",
            counts.live,
            &[
                (counts.update, "updated"),
                (counts.unchanged, "unchanged"),
                (counts.delete, "deleted"),
                (counts.only_live, "only live"),
                (out_update + out_delete, "left out"),
            ],
        ),
    ]
}

fn risky(document: &mut Document, layout: &Layout, survey: &Survey) {
    document.heading(2, "Rows to look at first");
    if survey.risky.is_empty() {
        document.text("No rule found any.");
        return;
    }
    let mut rules = Table::new([("rule", Align::Code), ("rows", Align::Right), ("finds", Align::Left)]);
    for (rule, rows) in &survey.facts.by_rule {
        rules.row([rule.clone(), thousands(*rows), Rule::finds(rule).to_owned()]);
    }
    document.table(rules);
    if survey.facts.rows > RISKY_ROWS as u64 {
        let all = thousands(survey.facts.rows);
        document.text(format!("The first {RISKY_ROWS} of {all} rows, the riskiest first:"));
    }
    let mut table = Table::new(CELL.into_iter().chain([("rules", Align::Left)]));
    for noted in &survey.risky {
        risky_row(&mut table, layout, noted);
    }
    document.table(table);
}

const CELL: [(&str, Align); 5] = [
    ("position", Align::Right),
    ("key", Align::Code),
    ("column", Align::Code),
    ("before", Align::Code),
    ("after", Align::Code),
];

/// One line a cell that a rule found; rules about the whole row stand with the first of them.
fn risky_row(table: &mut Table, layout: &Layout, noted: &Noted) {
    let rules_at = |at: Option<usize>| {
        noted.risks.iter().filter(move |risk| risk.at == at).map(|risk| risk.rule.id()).collect::<Vec<_>>()
    };
    let mut places: Vec<Option<usize>> = noted.risks.iter().map(|risk| risk.at).collect();
    places.sort_unstable();
    places.dedup();
    for (line, at) in places.iter().enumerate() {
        let rules = rules_at(*at).join(", ");
        let (column, before, after) = at.map_or_else(Default::default, |at| cell(layout, &noted.change, at));
        let (position, key) = lead(layout, noted, line == 0);
        table.row([position, key, column, before, after, rules]);
    }
}

/// Position and key, where a row begins.
fn lead(layout: &Layout, noted: &Noted, is_first: bool) -> (String, String) {
    if !is_first {
        return Default::default();
    }
    let key = crate::text::ellipsis(&one_line(&key_text(&layout.key_of(&noted.change))), VALUE_CHARS);
    (noted.n.to_string(), key)
}

fn cell(layout: &Layout, change: &Change, at: usize) -> (String, String, String) {
    let name = one_line(&layout.column(at).name);
    match change {
        Change::Update { before, after } => {
            let (before, after) = show_pair(&before[at], &after[at], VALUE_CHARS);
            (name, before, after)
        }
        Change::Delete { before } => (name, show(&before[at], VALUE_CHARS), String::new()),
        Change::Insert { after } => {
            (name, String::new(), after[at].as_ref().map_or_else(String::new, |v| show(v, VALUE_CHARS)))
        }
    }
}

fn samples(document: &mut Document, layout: &Layout, survey: &Survey, counts: &CountFacts) {
    for op in Op::ALL {
        let noted = &survey.samples[op as usize];
        let all = op.count(counts);
        if noted.is_empty() {
            continue;
        }
        let words = match op {
            Op::Insert => "Rows to insert",
            Op::Update => "Rows to update",
            Op::Delete => "Rows to delete",
        };
        document.heading(2, words);
        if all > SAMPLE_ROWS as u64 {
            document.text(format!("The first {SAMPLE_ROWS} of {}:", thousands(all)));
        }
        let mut table = Table::new(CELL);
        for noted in noted {
            sample_row(&mut table, layout, noted);
        }
        document.table(table);
    }
}

fn sample_row(table: &mut Table, layout: &Layout, noted: &Noted) {
    let places: Vec<usize> = match &noted.change {
        Change::Update { before, after } => changed(before, after).collect(),
        Change::Insert { after } => (0..after.len()).filter(|at| after[*at].is_some()).collect(),
        Change::Delete { before } => (0..before.len()).filter(|at| !before[*at].is_null()).collect(),
    };
    let places: Vec<usize> = places.into_iter().filter(|at| !layout.key_at().contains(at)).collect();
    for (line, at) in places.iter().take(CELLS).enumerate() {
        let (column, before, after) = cell(layout, &noted.change, *at);
        let (position, key) = lead(layout, noted, line == 0);
        table.row([position, key, column, before, after]);
    }
    if places.len() > CELLS {
        table.row(["", "", &format!("{} more", places.len() - CELLS)]);
    }
    if places.is_empty() {
        let (position, key) = lead(layout, noted, true);
        table.row([position, key]);
    }
}

fn left_alone(document: &mut Document, facts: &Facts) {
    document.heading(2, "Only live, left alone");
    let count = facts.counts.only_live;
    if count == 0 {
        document.text("Every live row is among the desired ones, or is deleted by this plan.");
        return;
    }
    document.text(format!("{} not among the desired rows; this plan does not touch them.", rows_are(count)));
    let mut table = Table::new([("key", Align::Code)]);
    for key in &facts.only_live_sample {
        table.row([crate::text::ellipsis(&one_line(key), VALUE_CHARS)]);
    }
    if !table.is_empty() {
        if (facts.only_live_sample.len() as u64) < count {
            document.text("Some of them:");
        }
        document.table(table);
    }
}

fn rows_are(count: u64) -> String {
    if count == 1 { "1 row is".to_owned() } else { format!("{} rows are", thousands(count)) }
}

fn columns(document: &mut Document, facts: &Facts) {
    let suppressed = &facts.counts.suppressed;
    if !facts.comparators.is_empty() || !suppressed.is_empty() {
        document.heading(2, "Differences that do not count");
        let mut table = Table::new([
            ("column", Align::Code),
            ("compared by", Align::Left),
            ("differences taken for none", Align::Right),
        ]);
        let names: std::collections::BTreeSet<&String> =
            facts.comparators.keys().chain(suppressed.keys()).collect();
        for name in names {
            let rule = facts.comparators.get(name).map_or("exactly", String::as_str);
            let count = suppressed.get(name).copied().unwrap_or(0);
            table.row([one_line(name), one_line(rule), thousands(count)]);
        }
        document.table(table);
    }
    for (heading, names) in [
        ("Columns of the input that are not used", &facts.ignored_columns),
        ("Columns of the table that the input does not have", &facts.columns_not_given),
    ] {
        if !names.is_empty() {
            document.heading(2, heading).list(names.iter().map(|name| one_line(name)));
        }
    }
}

fn notes(document: &mut Document, facts: &Facts) {
    for (heading, sentences) in
        [("About the table", &facts.table.notes), ("What this target cannot do", &facts.capabilities.limits)]
    {
        if !sentences.is_empty() {
            document.heading(2, heading).list(sentences.iter().map(|sentence| one_line(sentence)));
        }
    }
}

fn how(document: &mut Document, manifest: &Manifest) {
    let commands = commands::Commands::of(manifest);
    document.heading(2, "How to go on");
    if !manifest.plan.state.applyable {
        document.text("It is for looking only.").code(commands.show.join("\n"));
        return;
    }
    document.text("Look closer:").code(commands.show.join("\n"));
    document.text("See what would be sent, then apply it:").code(commands.apply.join("\n"));
    document.text("Take it back, row by row or by the script of the run:").code(commands.rollback.join("\n"));
}
