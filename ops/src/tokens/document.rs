//! A summary as people read it.
//!
//! Every number comes from the summary; nothing is computed here but shares of its counts.

use super::summary::{Gate, Summary, Verdict};
use crate::report::{Align, Check, Document, Table, number, percentage};
use crate::stats::percent;
use crate::text::{ellipsis, one_line, plural, thousands};

/// Longer category names are cut in tables; the artifact holds them whole.
const CATEGORY_WIDTH: usize = 40;

impl Summary {
    /// The report about `source`, the masked name of where the events come from.
    pub fn document(&self, source: &str) -> Document {
        let mut document = Document::new();
        document.heading(1, "Token telemetry").facts(self.overview(source));
        document.heading(2, "Gates over all attempts").checks(self.checks());
        let scope = if self.options.success_only { "successful attempts" } else { "attempts" };
        document.heading(2, format!("Cost of {scope} that were not truncated")).facts(self.cost_facts());
        document.text(
            "Median and P90 interpolate linearly between the two nearest ranks (type 7). \
             SMAPE is 200·|p − a|/(p + a), waste is p/a, of predicted p and actual a output tokens.",
        );
        if !self.strata.is_empty() {
            document.heading(2, "Strata").table(self.strata_table());
        }
        if self.lower_bounds.rows > 0 {
            document.heading(2, "Truncated attempts").text(
                "Cut at a ceiling, these outputs are lower bounds: the prediction was short by at least \
                 the factor shown. They are in no mean and no percentile above.",
            );
            document.table(self.bounds_table());
        }
        if self.mismatches.rows > 0 {
            document.heading(2, "Stored metrics that differ").text(format!(
                "{} (in smape_percent {}, waste_ratio {}, underestimated {}); the first differences:",
                plural(self.mismatches.rows, "row"),
                thousands(self.mismatches.smape_percent),
                thousands(self.mismatches.waste_ratio),
                thousands(self.mismatches.underestimated),
            ));
            document.table(self.mismatch_table());
        }
        if self.unreadable.rows > 0 {
            let mut table = Table::new([("id", Align::Right), ("column", Align::Left)]);
            for row in &self.unreadable.first {
                table.row([row.id.to_string(), row.column.clone()]);
            }
            document.heading(2, "Unreadable rows").table(table);
        }
        document
    }

    fn overview(&self, source: &str) -> Vec<(&'static str, String)> {
        let t = &self.attempts;
        let share = |part: u64| format!("{} ({})", thousands(part), percentage(percent(part, t.attempts)));
        vec![
            ("source", one_line(source)),
            ("attempts", thousands(t.attempts)),
            ("success", share(t.success)),
            ("truncated", share(t.truncated)),
            ("truncation not recorded", thousands(t.truncation_unrecorded)),
            ("underestimated", share(t.underestimated)),
            ("cut at or below the prediction", thousands(t.censored)),
            ("unreadable rows", thousands(self.unreadable.rows)),
            ("rows with a wrong stored metric", thousands(self.mismatches.rows)),
            ("complexity unknown, taken as medium", thousands(self.hazards.unknown_complexity)),
            ("without deliverables", thousands(self.hazards.zero_deliverables)),
            ("above the selected budget", thousands(self.hazards.actual_over_budget)),
        ]
    }

    fn checks(&self) -> Vec<Check> {
        let claim = |gate: &Gate| format!("{} at most {} %", gate.name, gate.limit_percent);
        let measured = |gate: &Gate| {
            let share = format!(
                "{} ({} of {}); among successes alone it would read {}",
                percentage(gate.percent),
                thousands(gate.count),
                thousands(gate.of),
                percentage(gate.percent_of_successes)
            );
            match gate.verdict {
                Verdict::Insufficient => format!("INSUFFICIENT, {share}"),
                Verdict::Met | Verdict::NotMet => share,
            }
        };
        let check = |gate: &Gate| Check {
            claim: claim(gate),
            met: gate.verdict == Verdict::Met,
            measured: measured(gate),
        };
        let mut checks: Vec<Check> = self.gates.iter().map(check).collect();
        checks.push(Check {
            claim: "every row could be read".to_owned(),
            met: self.unreadable.rows == 0,
            measured: format!("{} unreadable", thousands(self.unreadable.rows)),
        });
        checks
    }

    fn cost_facts(&self) -> Vec<(&'static str, String)> {
        let c = &self.cost;
        vec![
            ("attempts", thousands(c.rows)),
            ("predicted tokens, mean", number(c.predicted_mean, 2)),
            ("actual tokens, mean", number(c.actual_mean, 2)),
            ("SMAPE % mean", number(c.smape_percent_mean, 2)),
            ("SMAPE % median", number(c.smape_percent_median, 2)),
            ("waste mean", number(c.waste_ratio_mean, 4)),
            ("waste median", number(c.waste_ratio_median, 4)),
            ("waste P90", number(c.waste_ratio_p90, 4)),
            ("waste max", number(c.waste_ratio_max, 4)),
        ]
    }

    fn strata_table(&self) -> Table {
        let mut table = Table::new([
            ("category", Align::Left),
            ("complexity", Align::Left),
            ("deliverables", Align::Left),
            ("n", Align::Right),
            ("success", Align::Right),
            ("truncated", Align::Right),
            ("under", Align::Right),
            ("measured", Align::Right),
            ("SMAPE mean", Align::Right),
            ("SMAPE median", Align::Right),
            ("waste median", Align::Right),
            ("waste P90", Align::Right),
        ]);
        for s in &self.strata {
            table.row([
                shown(&s.category),
                s.complexity.as_str().to_owned(),
                s.deliverables.as_str().to_owned(),
                thousands(s.attempts.attempts),
                thousands(s.attempts.success),
                thousands(s.attempts.truncated),
                thousands(s.attempts.underestimated),
                thousands(s.cost.rows),
                number(s.cost.smape_percent_mean, 2),
                number(s.cost.smape_percent_median, 2),
                number(s.cost.waste_ratio_median, 4),
                number(s.cost.waste_ratio_p90, 4),
            ]);
        }
        table
    }

    fn bounds_table(&self) -> Table {
        let mut table = Table::new([
            ("category", Align::Left),
            ("complexity", Align::Left),
            ("deliverables", Align::Left),
            ("n", Align::Right),
            ("short by at least, median", Align::Right),
            ("max", Align::Right),
        ]);
        for s in self.strata.iter().filter(|s| s.lower_bounds.rows > 0) {
            table.row([
                shown(&s.category),
                s.complexity.as_str().to_owned(),
                s.deliverables.as_str().to_owned(),
                thousands(s.lower_bounds.rows),
                number(s.lower_bounds.ratio_median, 3),
                number(s.lower_bounds.ratio_max, 3),
            ]);
        }
        table
    }

    fn mismatch_table(&self) -> Table {
        let mut table = Table::new([
            ("id", Align::Right),
            ("column", Align::Left),
            ("stored", Align::Right),
            ("recomputed", Align::Right),
        ]);
        for m in &self.mismatches.first {
            table.row([
                m.id.to_string(),
                m.column.to_owned(),
                number(Some(m.stored), 6),
                number(m.recomputed, 6),
            ]);
        }
        table
    }
}

/// A category of unknown origin on one short line.
fn shown(category: &str) -> String {
    ellipsis(&one_line(category), CATEGORY_WIDTH)
}
