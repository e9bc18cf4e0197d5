//! A health check as a document for people.

use super::{Found, Health, Lacking, Verdict};
use crate::report::{Align, Document, Table, percentage};
use crate::stats::percent;
use crate::text::{one_line, plural, thousands};

/// Rows that are named.
const SHOWN: usize = 5;

impl Health {
    /// The report; `plan` is the file of the small plan, where one was written, and why not where none could be.
    pub fn document(&self, plan: Result<&str, &str>) -> Document {
        let mut document = Document::new();
        document.heading(1, format!("Health of {}: {}", self.name, self.verdict));
        document.facts([
            ("at", self.at.clone()),
            ("database", self.target.as_ref().map_or("not known".to_owned(), |target| target.url.clone())),
            (
                "lineage",
                self.target.as_ref().and_then(|target| target.lineage.as_ref()).map_or_else(
                    || "none; not stamped".to_owned(),
                    |lineage| format!("{} `{}`", lineage.id, lineage.purpose),
                ),
            ),
        ]);
        match &self.found {
            None => {
                let why = self.error.as_deref().unwrap_or("no reason was given");
                document.text(format!("It could not be found out: {}.", one_line(why)));
                document.text("Nothing is said about the database. A check that fails is not a healthy one.");
            }
            Some(found) => found.show(&mut document),
        }
        document.heading(2, "Next");
        match (self.verdict, plan) {
            (Verdict::Healthy, _) => document.text("Nothing."),
            (Verdict::Insufficient, _) => {
                document.text("No row was there to examine: look whether this is the right database.")
            }
            (Verdict::Unknown, _) => document.text("Check again when the reason is gone. No plan was made."),
            (Verdict::NeedsBackfill, Ok(file)) => document
                .text("Look at the plan, then let `backfill plan` decide anew what lacks a result:")
                .code(format!("cargo xtask backfill plan --name {} --from {file}", self.name)),
            (Verdict::NeedsBackfill, Err(why)) => document
                .text(format!("No plan file was written: {why}. Plan by the description itself:"))
                .code(format!("cargo xtask backfill plan --name {}", self.name)),
        };
        document
    }
}

impl Found {
    fn show(&self, document: &mut Document) {
        let lacking = self.lacking.len() as u64;
        document.facts([
            ("rows", format!("{} of {}", thousands(self.rows), self.table)),
            ("examined", format!("{}: {}", thousands(self.examined), all_of(&self.conditions))),
            (
                "lack a current result",
                format!("{} ({})", thousands(lacking), percentage(percent(lacking, self.examined))),
            ),
        ]);
        document.heading(2, "Results");
        let mut table = Table::new([
            ("table", Align::Left),
            ("a current one says", Align::Left),
            ("current", Align::Right),
            ("lacking", Align::Right),
            ("rows read", Align::Right),
        ]);
        for result in &self.results {
            table.row([
                result.table.clone(),
                result.current_is.clone(),
                thousands(result.current),
                thousands(result.lacks()),
                thousands(result.proof.rows),
            ]);
        }
        document.table(table);
        let kinds = self.results.iter().flat_map(|result| {
            let of = result.lacking.iter();
            of.map(|(kind, count)| format!("{}: {} {}", result.table, thousands(*count), one_line(kind)))
        });
        let orphans = self.results.iter().filter(|result| result.without_link > 0).map(|result| {
            format!(
                "{}: {} of no row (its link is NULL)",
                result.table,
                plural(result.without_link, "result")
            )
        });
        let all: Vec<String> = kinds.chain(orphans).collect();
        if !all.is_empty() {
            document.list(all);
        }
        if !self.lacking.is_empty() {
            document.heading(2, "Rows");
            document.list(self.lacking.iter().take(SHOWN).map(|row| self.row(row)));
            if self.lacking.len() > SHOWN {
                document.text(format!("{} in all; the JSON has every one.", thousands(lacking)));
            }
        }
    }

    fn row(&self, row: &Lacking) -> String {
        let lacks = row.lacks.iter().zip(&self.results);
        let lacks = lacks.filter_map(|(lack, result)| Some(format!("{} {}", result.table, lack.as_ref()?)));
        format!("{}: {}", row.id, one_line(&lacks.collect::<Vec<_>>().join("; ")))
    }
}

fn all_of(conditions: &[String]) -> String {
    if conditions.is_empty() { "every row".to_owned() } else { conditions.join(" and ") }
}
