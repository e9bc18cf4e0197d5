//! A summary as metrics: counts by stratum and the state of the gates.

use super::summary::{Summary, Verdict};
use crate::export::prometheus::{Family, Kind};

impl Summary {
    /// The metrics of what was analysed. Counts are of all attempts that the source holds.
    pub fn metrics(&self) -> Vec<Family> {
        let counter = |name, help| Family::new(name, Kind::Counter, help);
        let mut attempts = counter("ops_token_attempts_total", "Attempts recorded.");
        let mut success =
            counter("ops_token_attempts_successful_total", "Attempts whose output could be used.");
        let mut truncated = counter("ops_token_attempts_truncated_total", "Attempts cut at the ceiling.");
        let mut under = counter("ops_token_attempts_underestimated_total", "Attempts longer than predicted.");
        for stratum in &self.strata {
            let labels = [
                ("category", stratum.category.as_str()),
                ("complexity", stratum.complexity.as_str()),
                ("deliverables", stratum.deliverables.as_str()),
            ];
            let tally = &stratum.attempts;
            attempts.sample(labels, tally.attempts as f64);
            success.sample(labels, tally.success as f64);
            truncated.sample(labels, tally.truncated as f64);
            under.sample(labels, tally.underestimated as f64);
        }
        let mut unreadable = counter("ops_token_rows_unreadable_total", "Rows that could not be read.");
        unreadable.sample([], self.unreadable.rows as f64);
        let mut share =
            Family::new("ops_token_gate_ratio", Kind::Gauge, "Measured share of a gate; NaN without data.");
        let mut met = Family::new("ops_token_gate_met", Kind::Gauge, "Whether a gate is met: 1 or 0.");
        for gate in &self.gates {
            share.sample([("gate", gate.name)], gate.percent.map_or(f64::NAN, |percent| percent / 100.0));
            met.sample([("gate", gate.name)], if gate.verdict == Verdict::Met { 1.0 } else { 0.0 });
        }
        vec![attempts, success, truncated, under, unreadable, share, met]
    }
}
