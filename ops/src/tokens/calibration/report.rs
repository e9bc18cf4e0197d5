//! A calibration as people read it.

use super::{Bound, Calibration, Stratum};
use crate::report::chart::{Axis, Chart};
use crate::report::{Align, Document, Table, number};
use crate::text::{one_line, plural, thousands};

impl Calibration {
    /// The report about `source`.
    pub fn document(&self, source: &str) -> Document {
        let mut document = Document::new();
        document.heading(1, "Calibration").facts(self.overview(source));
        if self.accepted.is_trial() {
            document
                .text("A trial: it rests on outcomes that are no evidence, and its patch cannot be applied.");
        }
        if !self.left_out.is_empty() {
            let mut table = Table::new([("attempts", Align::Right), ("left out because", Align::Left)]);
            for (why, n) in &self.left_out {
                table.row([thousands(*n), (*why).to_owned()]);
            }
            document.heading(2, "No evidence").table(table);
        }
        document.heading(2, "Coefficients").table(self.coefficient_table());
        document.text(
            "Fitted together to the quantile, cut outputs as what they may have become, held to the present values. An overhead \
             moves with enough phases of its stratum; a marginal with enough phases that differ in it from others of theirs.",
        );
        if self.coefficients.iter().any(|m| m.path.starts_with("marginals.") && m.from != m.to) {
            let seen: Vec<String> = self.strata.iter().map(name).collect();
            document.text(format!(
                "A marginal is shared: it also changes the predictions of tasks that are not among the evidence here ({}).",
                seen.join("; ")
            ));
        }
        document.heading(2, "Upper budgets").table(self.strata_table());
        self.judgement(&mut document);
        document
    }

    fn overview(&self, source: &str) -> Vec<(&'static str, String)> {
        let rules = &self.rules;
        let runs = |runs: &[String]| {
            let names: Vec<String> = runs.iter().take(5).map(|run| one_line(run)).collect();
            let more = runs.len().saturating_sub(5);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}: {}{more}", runs.len(), names.join(", "))
        };
        vec![
            ("source", one_line(source)),
            ("present coefficients", self.coefficient_digest.clone()),
            ("evidence", format!("{} ({})", plural(self.evidence, "attempt"), &self.evidence_digest[..12])),
            ("fitted runs", runs(&self.fitted_runs)),
            ("judging runs", runs(&self.judging_runs)),
            ("quantile", number(Some(rules.quantile), 3)),
            ("step", format!("damped by {}, at most {} of a value", rules.damping, rules.step_max)),
            (
                "phases needed",
                format!("{} in all, {} of a stratum", rules.phases_min, rules.stratum_phases_min),
            ),
        ]
    }

    fn coefficient_table(&self) -> Table {
        let mut table = Table::new([
            ("coefficient", Align::Left),
            ("present", Align::Right),
            ("fitted", Align::Right),
            ("multiplier, 95 %", Align::Right),
            ("proposed", Align::Right),
            ("phases", Align::Right),
            ("telling", Align::Right),
            ("", Align::Left),
        ]);
        for m in &self.coefficients {
            let interval = m
                .multiplier_interval
                .map_or_else(|| "–".to_owned(), |i| format!("[{:.2}, {:.2}]", i.low, i.high));
            let what = match m.need {
                0 if m.from == m.to => "stays".to_owned(),
                0 => String::new(),
                need => format!("not identifiable: needs {} more", plural(need, "telling phase")),
            };
            table.row([
                one_line(&m.path),
                thousands(m.from),
                number(m.fitted, 0),
                interval,
                thousands(m.to),
                thousands(m.phases),
                thousands(m.telling),
                what,
            ]);
        }
        table
    }

    fn strata_table(&self) -> Table {
        let mut table = Table::new([
            ("stratum", Align::Left),
            ("phases", Align::Right),
            ("cut", Align::Right),
            ("upper budget", Align::Right),
            ("basis", Align::Left),
        ]);
        for s in &self.strata {
            table.row([
                name(s),
                thousands(s.phases),
                thousands(s.cut),
                s.upper_tokens.map_or_else(|| "–".to_owned(), thousands),
                basis(s),
            ]);
        }
        table
    }

    fn judgement(&self, document: &mut Document) {
        let Some(verdict) = &self.verdict else {
            document.heading(2, "No proposal").text(
                "No coefficient can move: each lacks phases that tell it from the others, or stays where it is. The list of \
                 what is lacking is the input of a top-up.",
            );
            return;
        };
        document.heading(2, "Judged by runs that were not fitted").table(verdict.paired.table());
        document.checks(verdict.claims.clone());
        let rows = verdict.coverage.iter().flat_map(|(name, n, old, new)| {
            let percent = |part: u64| 100.0 * part as f64 / (*n).max(1) as f64;
            [(format!("{name}: before"), percent(*old)), (format!("{name}: after"), percent(*new))]
        });
        let chart = Chart::bars("Predictions that were enough", Axis::linear("% of judging attempts"), rows);
        let wanted = 100.0 * self.rules.quantile;
        document.chart(chart.mark(wanted, format!("aimed at: {wanted} %")));
        if !verdict.is_met() {
            document.text("No proposal: a claim does not hold.");
        }
    }
}

fn name(stratum: &Stratum) -> String {
    format!("{}, {}", one_line(&stratum.category), stratum.complexity.as_str())
}

fn basis(stratum: &Stratum) -> String {
    match &stratum.upper {
        Bound::Ranks { .. } => "ranks".to_owned(),
        Bound::LogNormal { .. } => "log-normal, beyond the ceilings".to_owned(),
        Bound::NotIdentifiable { reason, need } => {
            format!("not identifiable ({reason}): needs {} more", plural(*need, "phase"))
        }
    }
}
