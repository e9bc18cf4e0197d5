//! How far an attempt came, as it was recorded while it went on; never read out of log text.
//!
//! The drain records what it sees itself. What happens inside an executor, the executor records: a program appends a
//! word a line to the file that its input names. An attempt that recorded nothing is one of which little is known,
//! which is another thing than one that did nothing.

use serde::{Deserialize, Serialize};

/// A program that writes more than so many lines is not recording milestones.
const RECORDED_MAX: usize = 64;

/// A point that an attempt can reach inside its executor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Milestone {
    /// What the attempt needs is there.
    PreflightOk,
    /// It is not.
    PreflightFailed,
    /// The code of the executor or of the phase cannot be loaded.
    ImportFailed,
    /// The phase asks for something that it may not touch, or for nothing.
    ScopeFailed,
    /// The executor works on another database.
    DatabaseMismatch,
    /// The service that the executor needs does not answer.
    ApiUnreachable,
    /// It answers that it does not know the run or phase.
    ApiNotFound,
    /// A model was asked.
    ModelCallStarted,
    /// It answered.
    ModelCallEnded,
    /// Its budget had cut the answer off, and it is asked again with a larger one.
    BudgetEscalated,
}

impl Milestone {
    const ALL: [(&'static str, Self); 10] = [
        ("preflight_ok", Self::PreflightOk),
        ("preflight_failed", Self::PreflightFailed),
        ("import_failed", Self::ImportFailed),
        ("scope_failed", Self::ScopeFailed),
        ("database_mismatch", Self::DatabaseMismatch),
        ("api_unreachable", Self::ApiUnreachable),
        ("api_not_found", Self::ApiNotFound),
        ("model_call_started", Self::ModelCallStarted),
        ("model_call_ended", Self::ModelCallEnded),
        ("budget_escalated", Self::BudgetEscalated),
    ];

    /// The word that programs write.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, milestone)| *milestone == self).map_or("", |(word, _)| word)
    }

    /// Reads a word that a program wrote.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == word).map(|(_, milestone)| *milestone)
    }
}

/// What an executor recorded of an attempt, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Milestones {
    /// The points that were reached.
    pub reached: Vec<Milestone>,
    /// Lines that are no milestone.
    pub not_understood: u64,
}

impl Milestones {
    /// Reads what a program appended: a milestone a line, the word first. A line that is cut off counts for nothing.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        for line in whole.lines().filter(|line| !line.trim().is_empty()) {
            match line.split_whitespace().next().and_then(Milestone::parse) {
                Some(milestone) if found.reached.len() < RECORDED_MAX => found.reached.push(milestone),
                _ => found.not_understood += 1,
            }
        }
        found
    }

    /// Whether anything is known of what happened inside.
    pub fn is_recorded(&self) -> bool {
        !self.reached.is_empty()
    }

    /// Whether this point was reached.
    pub fn has(&self, milestone: Milestone) -> bool {
        self.reached.contains(&milestone)
    }

    /// The last point that was reached; `claimed` when none was recorded.
    pub fn stage(&self) -> &'static str {
        self.reached.last().map_or("claimed", |milestone| milestone.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_milestone_when_it_is_whole_and_known() {
        let found = Milestones::parse("preflight_ok\nmodel_call_started claude\n\nwell\nmodel_call_en");
        assert_eq!(found.reached, [Milestone::PreflightOk, Milestone::ModelCallStarted]);
        assert_eq!((found.not_understood, found.stage()), (1, "model_call_started"));
        assert_eq!(Milestones::parse("preflight_ok").stage(), "claimed");
        assert_eq!(Milestones::parse(&"preflight_ok\n".repeat(100)).not_understood, 36);
        for (word, milestone) in Milestone::ALL {
            assert_eq!((Milestone::parse(word), milestone.as_str()), (Some(milestone), word));
        }
    }
}
