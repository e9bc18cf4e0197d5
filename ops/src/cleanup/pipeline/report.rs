//! What people read about a run: a page for the files, a short one for the terminal. Nothing is counted here.

use super::Outcome;
use super::cells;
use super::review::short;
use super::summary::{Books, Scores, Summary};
use super::tally::RuleCount;
use crate::cleanup::Cell;
use crate::report::chart::{Axis, Bin};
use crate::report::{Align, Chart, Check, Document, Table, number};
use crate::text::{bytes, plural, thousands};

/// The page `cleanup_report`, with the rows of the sample as elements of the array.
pub(super) fn file(summary: &Summary, sample: &[Vec<u8>]) -> Document {
    let mut document = Document::new();
    document.heading(1, format!("{} Cleanup Report", title(&summary.dataset)));
    document.facts(facts(summary));
    books(&mut document, &summary.ledger);
    tables(&mut document, summary);
    scores(&mut document, &summary.score);
    if let Some(grade) = &summary.grade {
        document.append(grade.document());
    }
    if !sample.is_empty() {
        document.heading(2, "Sample rows");
        for json in sample {
            document.table(sample_row(json));
        }
    }
    document
}

/// What stands at the end of a run.
pub(super) fn terminal(outcome: &Outcome) -> Document {
    let summary = &outcome.summary;
    let mut document = Document::new();
    document.heading(1, format!("{} cleanup", title(&summary.dataset)));
    document.facts(facts(summary));
    tables(&mut document, summary);
    let score = &summary.score;
    let value = |value: Option<f64>| number(value, 4);
    document.heading(2, "Evidence").facts([
        ("lowest, median, mean", [score.lowest, score.median, score.mean].map(value).join(", ")),
        ("fragments", format!("{} below {}", thousands(score.fragments), score.threshold)),
    ]);
    if let Some(grade) = &summary.grade {
        document.append(grade.document());
    }
    books(&mut document, &summary.ledger);
    document
}

fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn facts(summary: &Summary) -> Vec<(&'static str, String)> {
    let input = &summary.input;
    let format = format!("{:?}", input.format).to_lowercase();
    let mut facts = vec![
        ("Generated", format!("{}, by version {}", summary.generated_at, summary.tool_version)),
        (
            "Input",
            format!(
                "{}: {} of {}, {}",
                input.file,
                plural(summary.ledger.rows_in, "record"),
                format,
                bytes(input.bytes)
            ),
        ),
        ("Input sha256", input.sha256.clone()),
        ("Total cleaned rows", thousands(summary.ledger.rows_out)),
        ("Total fragment candidates", thousands(summary.score.fragments)),
        ("Rows changed", thousands(summary.changed_rows)),
        ("Rows with a remark", thousands(summary.flagged_rows)),
    ];
    if summary.replaced_bytes > 0 {
        facts
            .push(("Bytes that were no text", format!("{} replaced", plural(summary.replaced_bytes, "run"))));
    }
    if !summary.absent_columns.is_empty() {
        facts.push(("Columns missing", summary.absent_columns.join(", ")));
    }
    if !summary.carried_columns.is_empty() {
        facts.push(("Columns carried along", summary.carried_columns.join(", ")));
    }
    facts
}

fn books(document: &mut Document, books: &Books) {
    let Books { rows_in, rows_out, merged, quarantined, rejected } = books;
    let measured = format!(
        "{} in = {} out + {} merged + {} quarantined + {} rejected",
        thousands(*rows_in),
        thousands(*rows_out),
        thousands(*merged),
        thousands(*quarantined),
        thousands(*rejected)
    );
    document.heading(2, "Ledger").checks(vec![Check {
        claim: "every row is somewhere".to_owned(),
        met: books.balance(),
        measured,
    }]);
}

fn tables(document: &mut Document, summary: &Summary) {
    for (heading, verb, counts) in
        [("Changes", "changed", &summary.changes), ("Remarks", "noticed", &summary.findings)]
    {
        if !counts.is_empty() {
            document.heading(2, heading).table(rule_table(counts, verb));
        }
    }
    if !summary.duplicates.is_empty() {
        let names = ["cause", "clusters", "rows", "merged", "quarantined"];
        let align = |index: usize| if index == 0 { Align::Left } else { Align::Right };
        let mut table = Table::new(names.into_iter().enumerate().map(|(index, name)| (name, align(index))));
        for found in &summary.duplicates {
            let counts = [found.clusters, found.rows, found.merged, found.quarantined];
            let cause = format!("{:?}", found.cause).to_lowercase();
            table.row(std::iter::once(cause).chain(counts.map(thousands)));
        }
        document.heading(2, "Duplicates").table(table);
    }
}

fn rule_table(counts: &[RuleCount], verb: &str) -> Table {
    let mut table = Table::new([("rule", Align::Left), ("column", Align::Left), (verb, Align::Right)]);
    for RuleCount { rule, column, count } in counts {
        table.row([rule.clone(), column.clone().unwrap_or_default(), thousands(*count)]);
    }
    table
}

fn scores(document: &mut Document, scores: &Scores) {
    document.heading(2, "Evidence").facts([
        ("Lowest", number(scores.lowest, 4)),
        ("Median", number(scores.median, 4)),
        ("Mean", number(scores.mean, 4)),
        ("Threshold", scores.threshold.to_string()),
    ]);
    let bins = scores.histogram.iter().enumerate().map(|(index, count)| Bin {
        from: index as f64 / 20.0,
        to: (index + 1) as f64 / 20.0,
        count: *count,
    });
    let chart = Chart::histogram("Rows by integrity score", Axis::linear("score"), bins);
    document.chart(chart.mark(scores.threshold, "threshold"));
    let mut table = Table::new([("threshold", Align::Right), ("fragments", Align::Right)]);
    for near in &scores.sensitivity {
        table.row([near.threshold.to_string(), thousands(near.fragments)]);
    }
    document.text("What nearby thresholds would do:").table(table);
}

/// A row as a table of two columns, long texts shortened.
fn sample_row(json: &[u8]) -> Table {
    let mut table = Table::new([("column", Align::Left), ("value", Align::Code)]);
    for (name, cell) in cells::members(json).unwrap_or_default() {
        let value = match &cell {
            Cell::Absent | Cell::Null => continue,
            Cell::Text(text) => short(text),
            Cell::Json(json) => {
                let mut out = Vec::new();
                super::render::spaced(&mut out, json);
                short(&String::from_utf8_lossy(&out))
            }
        };
        table.row([name.into_owned(), value]);
    }
    table
}
