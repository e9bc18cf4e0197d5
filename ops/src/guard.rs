//! Refusals: what a guard says when it stops a task before anything has happened.
//!
//! A refusal is not a failure. It always carries what was expected, what was found and, where there is
//! one, the command to run next; the command line turns it into exit code 3.

use std::fmt;

/// A guard stopped the task. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    what: String,
    expected: String,
    found: String,
    next: Vec<String>,
}

impl Refusal {
    /// A refusal to do `what` (a short sentence fragment) because `found` is not `expected`.
    pub fn new(what: impl Into<String>, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { what: what.into(), expected: expected.into(), found: found.into(), next: Vec::new() }
    }

    /// Adds a command or a step that leads on.
    #[must_use]
    pub fn next(mut self, step: impl Into<String>) -> Self {
        self.next.push(step.into());
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        write!(f, "  expected: {}\n  found:    {}", self.expected, self.found)?;
        for step in &self.next {
            write!(f, "\n  next:     {step}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_both_sides_and_the_next_step() {
        let refusal = Refusal::new("wrong database", "purpose `seed`", "purpose `legacy`").next("look again");
        assert_eq!(
            refusal.to_string(),
            "wrong database\n  expected: purpose `seed`\n  found:    purpose `legacy`\n  next:     look again"
        );
    }
}
