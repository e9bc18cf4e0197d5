//! Refusing the wrong database, with both sides shown.

use super::{Identity, Lineage, PURPOSES};
use crate::guard::Refusal;

/// What a user says a database must be: a lineage id or a purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expectation {
    /// Stamped with this purpose.
    Purpose(String),
    /// Stamped with this lineage id.
    Lineage(String),
}

impl Expectation {
    /// One of [`PURPOSES`], or else a lineage id (16 hexadecimal digits).
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        if PURPOSES.contains(&text.as_str()) {
            return Ok(Self::Purpose(text));
        }
        if text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(Self::Lineage(text));
        }
        Err(format!("neither a purpose ({}) nor a lineage id of 16 hexadecimal digits", PURPOSES.join(", ")))
    }

    fn show(&self) -> String {
        match self {
            Self::Purpose(purpose) => format!("a database stamped `{purpose}`"),
            Self::Lineage(id) => format!("the database of lineage {id}"),
        }
    }
}

/// Refuses a database that is not what was expected.
pub fn expect(identity: &Identity, expectation: &Expectation) -> Result<(), Refusal> {
    expect_lineage(identity.lineage.as_ref(), &identity.url, expectation)
}

/// Refuses when this lineage of the database at `url` is not what was expected.
pub fn expect_lineage(
    lineage: Option<&Lineage>,
    url: &str,
    expectation: &Expectation,
) -> Result<(), Refusal> {
    let matches = lineage.is_some_and(|lineage| match expectation {
        Expectation::Purpose(purpose) => lineage.purpose == *purpose,
        Expectation::Lineage(id) => lineage.id == *id,
    });
    if matches {
        return Ok(());
    }
    let found = match lineage {
        Some(lineage) => format!("{url} of lineage {}, stamped `{}`", lineage.id, lineage.purpose),
        None => format!("{url} without a lineage"),
    };
    let refusal = Refusal::new("this is not the expected database", expectation.show(), found);
    Err(match lineage {
        Some(_) => refusal.next("name the right database with --db, or correct --expect"),
        None => refusal.next("cargo xtask db-identity --db … --stamp PURPOSE, once you are sure what it is"),
    })
}

/// Refuses a database without runs and phases: most often it is the wrong file.
pub fn require_contents(identity: &Identity, allow_empty: bool) -> Result<(), Refusal> {
    if allow_empty || !identity.is_empty() {
        return Ok(());
    }
    let found = format!("{} has no runs and no phases", identity.url);
    Err(Refusal::new("the database is empty", "a database with runs or phases", found)
        .next("check the path: an empty database is most often the wrong one")
        .next("--allow-empty if it is meant to be empty")
        .next("cargo xtask seed-telemetry makes a new one with a run in it"))
}
