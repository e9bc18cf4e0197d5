//! What was done to a row and what was noticed: the one list that everything else is a view of.

use std::borrow::Cow;
use std::fmt;

/// A named rule. Its version changes whenever it would decide differently for any text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rule {
    /// Lower case with underscores, as reports and settings spell it: `mojibake`, `truncated_name`.
    pub id: &'static str,
    /// From 1.
    pub version: u32,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.version)
    }
}

/// One change of one cell, with what it takes to undo it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which rule did it.
    pub rule: Rule,
    /// The cell before, as JSON.
    pub before: Cow<'static, str>,
    /// The cell after, as JSON.
    pub after: Cow<'static, str>,
    /// Why this was not a guess, in a few words: `mac-roman, 20 of 20 lines decode`.
    pub evidence: Cow<'static, str>,
}

/// Something a person should see; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule noticed it.
    pub rule: Rule,
    /// What was noticed, in a few words.
    pub detail: String,
    /// What the cell might have been, as text, where there is a candidate.
    pub candidate: Option<String>,
}

/// One line of the list: a cell, and what happened to it or was noticed about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// A change of the cell in this column, by its place in the row.
    Edit(usize, Edit),
    /// A remark about the cell in this column, or about the row as a whole.
    Finding(Option<usize>, Finding),
}
