//! The report of a seeding: what was made, what it collected, whether the criteria hold.

use serde::Serialize;

use super::top_up::Deficit;
use crate::clock::Stamp;
use crate::identity::Identity;
use crate::phases::Distribution;
use crate::report::{Align, Check, Document, Table};
use crate::tokens::summary::Summary;
use crate::work::drain::DrainReport;

/// Everything a seeding did and measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeedReport {
    /// Version of this JSON document.
    pub format: u32,
    /// When it was written.
    pub generated_at: Stamp,
    /// `fresh` or `top_up`.
    pub mode: &'static str,
    /// The run that was seeded; `None` when a top-up found nothing lacking.
    pub run_id: Option<String>,
    /// Strata and what they lacked, for a top-up.
    pub deficits: Vec<Deficit>,
    /// The phases that were seeded, as counted in the database.
    pub distribution: Distribution,
    /// The drain; `None` with `--seed-only`.
    pub drain: Option<DrainReport>,
    /// The database at the end.
    pub identity: Identity,
    /// The analysis of its events; `None` with `--seed-only`.
    pub analysis: Option<Summary>,
    /// The success criteria; empty with `--seed-only`.
    pub criteria: Vec<Check>,
    /// Whether all of them hold.
    pub met: bool,
}

impl SeedReport {
    /// The whole report, for the artifact.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        document.heading(1, "Telemetry seeding");
        document.facts([
            ("run", self.run_id.clone().unwrap_or_else(|| "none: nothing was lacking".into())),
            ("database", self.identity.url.clone()),
            ("generated", self.generated_at.iso()),
        ]);
        if !self.deficits.is_empty() {
            document.heading(2, "What was lacking").table(deficit_table(&self.deficits));
        }
        document.append(distribution_document(&self.distribution));
        if let Some(drain) = &self.drain {
            document.append(drain.document());
        }
        document.append(self.identity.document());
        if let Some(analysis) = &self.analysis {
            document.append(analysis.document(&self.identity.url));
        }
        if !self.criteria.is_empty() {
            document.append(self.verdict());
        }
        document
    }

    /// The checklist and its verdict.
    pub fn verdict(&self) -> Document {
        let mut document = Document::new();
        document.heading(2, "Success criteria of the seed").checks(self.criteria.clone());
        let failed = self.criteria.iter().filter(|check| !check.met).count();
        document.text(match failed {
            0 => format!("All {} criteria are met.", self.criteria.len()),
            n => format!("{n} of {} criteria are not met.", self.criteria.len()),
        });
        document
    }
}

/// The phases that were seeded, counted in the database.
pub fn distribution_document(distribution: &Distribution) -> Document {
    let mut table =
        Table::new([("category", Align::Left), ("complexity", Align::Left), ("phases", Align::Right)]);
    for (stratum, n) in &distribution.by_stratum {
        let (category, complexity) = stratum.split_once('/').unwrap_or((stratum, ""));
        table.row([category.to_owned(), complexity.to_owned(), n.to_string()]);
    }
    let deliverables: Vec<String> =
        distribution.by_deliverables.iter().map(|(count, n)| format!("{n} × {count}")).collect();
    let mut document = Document::new();
    document.heading(2, "Phases, as counted in the database").table(table);
    document.facts([
        ("phases", distribution.phases.to_string()),
        ("by number of deliverables", deliverables.join(", ")),
    ]);
    document
}

/// Strata with what they have and need.
pub(super) fn deficit_table(deficits: &[Deficit]) -> Table {
    let mut table = Table::new([
        ("category", Align::Left),
        ("complexity", Align::Left),
        ("samples", Align::Right),
        ("lacking", Align::Right),
    ]);
    for deficit in deficits {
        table.row([
            deficit.category.clone(),
            deficit.complexity.as_str().to_owned(),
            deficit.have.to_string(),
            deficit.need.to_string(),
        ]);
    }
    table
}
