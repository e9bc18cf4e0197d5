//! A study as people read it.

use super::{Bound, Group, Step, Study};
use crate::report::{Align, Document, Table, number, percentage};
use crate::stats::cluster::Interval;
use crate::text::{ellipsis, one_line, plural, thousands};

/// Longer category names are cut in tables; the artifact holds them whole.
const CATEGORY_WIDTH: usize = 40;

impl Study {
    /// The report.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        let all = &self.all;
        document.heading(2, "What single attempts say").facts([
            ("phases", thousands(all.phases)),
            (
                "phases with several attempts",
                format!(
                    "{}, at most {} each",
                    thousands(self.repeated_phases),
                    thousands(self.most_attempts)
                ),
            ),
            ("truncation flags that disagree", thousands(self.flags_disagree)),
            (
                "SMAPE % median, 95 % interval",
                with(all.measures.smape_percent_median, all.smape_percent_median_interval, 2),
            ),
            (
                "waste median, 95 % interval",
                with(all.measures.waste_ratio_median, all.waste_ratio_median_interval, 4),
            ),
            (
                "underestimated, 95 % interval",
                shares(all.measures.underestimated_percent, all.underestimated_interval),
            ),
            ("truncated, 95 % interval", shares(all.measures.truncated_percent, all.truncated_interval)),
            ("prediction was enough", percentage(all.measures.covered_percent)),
            ("selected budget was enough", percentage(all.measures.budget_covered_percent)),
            (
                "pinball loss",
                format!("{} tokens at {}", number(all.measures.pinball, 1), share(self.quantile)),
            ),
        ]);
        document.text(format!(
            "Attempts at one phase count as one task in intervals (seed {}). Outputs that were cut are bounds (Kaplan-Meier): a \
             quantile beyond the ceilings has no number, where looking at successes alone would give one that is too small.",
            self.seed
        ));
        if self.left_out > 0 {
            document
                .text(format!("{} beyond the first are not part of this.", plural(self.left_out, "attempt")));
        }
        document.table(self.quantile_table());
        document.heading(2, format!("Upper bounds that hold for {} of outputs", share(self.coverage)));
        document.text(format!(
            "Where {} and more phases are alike, ranks give a bound; a smaller stratum borrows from its category and complexity, \
             then its category, then all. Beyond the ceilings a bound rests on a log-normal fit that the data do not contradict.",
            thousands(self.phases_min())
        ));
        document.table(self.upper_table());
        document
    }

    fn phases_min(&self) -> u64 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small positive number"
        )]
        let phases = (self.coverage / (1.0 - self.coverage) - 1e-9).ceil() as u64;
        phases
    }

    fn quantile_table(&self) -> Table {
        let mut table = Table::new([
            ("stratum", Align::Left),
            ("attempts", Align::Right),
            ("phases", Align::Right),
            ("SMAPE median, 95 %", Align::Right),
            ("underestimated, 95 %", Align::Right),
            ("truncated, 95 %", Align::Right),
            ("actual/predicted P50", Align::Right),
            ("P80", Align::Right),
            ("P90", Align::Right),
            ("P90 of successes", Align::Right),
        ]);
        for g in self.strata.iter().chain([&self.all]) {
            table.row([
                name(g),
                thousands(g.attempts),
                thousands(g.phases),
                with(g.measures.smape_percent_median, g.smape_percent_median_interval, 1),
                shares(g.measures.underestimated_percent, g.underestimated_interval),
                shares(g.measures.truncated_percent, g.truncated_interval),
                number(g.ratio_quantiles[0], 3),
                number(g.ratio_quantiles[1], 3),
                number(g.ratio_quantiles[2], 3),
                number(g.ratio_p90_of_successes, 3),
            ]);
        }
        table
    }

    fn upper_table(&self) -> Table {
        let mut table = Table::new([
            ("stratum", Align::Left),
            ("phases", Align::Right),
            ("tokens", Align::Right),
            ("× prediction", Align::Right),
            ("basis", Align::Left),
            ("from", Align::Left),
            ("more phases needed", Align::Right),
        ]);
        for g in &self.strata {
            let basis = match &g.upper.bound {
                Bound::Ranks { .. } => "ranks".to_owned(),
                Bound::LogNormal { .. } => "log-normal, beyond the ceilings".to_owned(),
                Bound::NotIdentifiable { reason, .. } => format!("not identifiable: {reason}"),
            };
            let from = match g.upper.pooled {
                Step::Own => Step::Own.as_str().to_owned(),
                step => format!("{} ({})", step.as_str(), plural(g.upper.phases, "phase")),
            };
            table.row([
                name(g),
                thousands(g.phases),
                g.upper.tokens.map_or_else(|| "–".to_owned(), thousands),
                number(g.upper.bound.factor(), 3),
                basis,
                from,
                thousands(g.upper.need),
            ]);
        }
        table
    }
}

/// A stratum in one cell.
pub(super) fn name(group: &Group) -> String {
    match (&group.category, group.complexity, group.deliverables) {
        (Some(category), Some(complexity), Some(deliverables)) => format!(
            "{}, {}, {}",
            ellipsis(&one_line(category), CATEGORY_WIDTH),
            complexity.as_str(),
            deliverables.as_str()
        ),
        _ => "all".to_owned(),
    }
}

/// A share of 1 in percent, without decimals that say nothing.
fn share(share: f64) -> String {
    format!("{} %", (share * 1000.0).round() / 10.0)
}

fn with(value: Option<f64>, interval: Option<Interval>, decimals: usize) -> String {
    match interval {
        Some(Interval { low, high }) => {
            format!("{} [{low:.decimals$}, {high:.decimals$}]", number(value, decimals))
        }
        None => number(value, decimals),
    }
}

fn shares(percent: Option<f64>, interval: Option<Interval>) -> String {
    match interval {
        Some(Interval { low, high }) => {
            format!("{} [{:.1}, {:.1}]", percentage(percent), low * 100.0, high * 100.0)
        }
        None => percentage(percent),
    }
}
