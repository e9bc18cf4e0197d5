//! `rollback.sql`: the way back as a script that needs no program of ours, only psql or the sqlite3 shell.
//!
//! The rows that were written and the rows as they were go into temporary tables. Then one transaction asks whether
//! every row still is exactly what was written, puts the old rows back, and asks whether they are. If either
//! answer is no, nothing has changed. The script is as long as the changes, and is written as they come.
//!
//! Nothing here talks to a database; see `target` for that.

mod literal;
mod postgres;
mod script;
mod sqlite;

pub use literal::{Dialect, identifier, literal};

use self::script::Loader;
use crate::change::plan::{Layout, Op};
use crate::target::{Change, TargetIdentity};
use crate::text::{one_line, thousands};
use crate::value::Row;

impl Dialect {
    /// The dialect in which an operator of this target works: PostgREST stands before PostgreSQL.
    pub fn of(driver: &str) -> Self {
        if driver == "sqlite" { Self::Sqlite } else { Self::Postgres }
    }
}

/// What the head of a script says.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The plan's full id.
    pub plan: &'a str,
    /// When the plan was made.
    pub created_at: &'a str,
    /// The database it is about.
    pub target: &'a TargetIdentity,
    /// What the script takes back, as a sentence.
    pub what: &'a str,
    /// It is for a clone, where other tables are empty: foreign keys are not enforced, where that is for the script to say.
    pub is_for_clone: bool,
}

/// How many changes a script takes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Undone {
    /// Inserted rows that it deletes.
    pub insert: u64,
    /// Updated rows that it restores.
    pub update: u64,
    /// Deleted rows that it inserts again.
    pub delete: u64,
}

impl Undone {
    /// Counts one change that is taken back.
    pub fn count(&mut self, change: &Change) {
        *match Op::of(change) {
            Op::Insert => &mut self.insert,
            Op::Update => &mut self.update,
            Op::Delete => &mut self.delete,
        } += 1;
    }

    fn of(&self, op: Op) -> u64 {
        match op {
            Op::Insert => self.insert,
            Op::Update => self.update,
            Op::Delete => self.delete,
        }
    }
}

/// Writes the script that takes back `changes`, each with the row that was really stored where that is known: a
/// plan does not know it, a run does. `sink` gets the text in pieces. `counts` is what the head of the script
/// promises; what `changes` really held is given back, and is what the script itself insists on.
pub fn rollback<E>(
    about: &About<'_>,
    layout: &Layout,
    counts: Undone,
    changes: impl Iterator<Item = Result<(Change, Option<Row>), E>>,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<Undone, E> {
    let dialect = Dialect::of(&about.target.driver);
    let opening = match dialect {
        Dialect::Sqlite => sqlite::opening(layout, about.is_for_clone),
        Dialect::Postgres => postgres::opening(layout),
    };
    sink(head(about, layout, counts, dialect).as_bytes())?;
    sink(opening.as_bytes())?;
    let mut rows = Loader::new(layout, dialect);
    for change in changes {
        let (change, stored) = change?;
        rows.push(&change, stored.as_ref(), sink)?;
    }
    let loaded = rows.finish(sink)?;
    let closing = match dialect {
        Dialect::Sqlite => sqlite::closing(layout, &loaded),
        Dialect::Postgres => postgres::closing(layout, &loaded),
    };
    sink(closing.as_bytes())?;
    Ok(loaded.rows)
}

fn head(about: &About<'_>, layout: &Layout, counts: Undone, dialect: Dialect) -> String {
    let target = about.target;
    let lineage = target.lineage.as_ref().map_or_else(
        || "without a lineage".to_owned(),
        |lineage| format!("lineage {}, stamped {}", lineage.id, lineage.purpose),
    );
    let run = match dialect {
        Dialect::Sqlite => "sqlite3 DATABASE < rollback.sql, version 3.33 or newer",
        Dialect::Postgres => "psql -X -v ON_ERROR_STOP=1 -f rollback.sql DATABASE",
    };
    let counts = [(counts.insert, "inserted"), (counts.update, "updated"), (counts.delete, "deleted")];
    let counts = counts.map(|(n, word)| format!("{} {word}", thousands(n))).join(", ");
    let facts = [
        ("target", format!("{} ({}, {lineage})", target.url, target.fingerprint)),
        ("table", layout.table.name.to_string()),
        ("planned", about.created_at.to_owned()),
        ("undoes", counts),
        ("run", run.to_owned()),
    ];
    let facts: String =
        facts.iter().map(|(name, fact)| format!("--   {name:<8} {}\n", one_line(fact))).collect();
    format!("-- Rollback of plan {}\n{facts}-- {}\n{PROMISE}", one_line(about.plan), one_line(about.what))
}

const PROMISE: &str = "\
-- It is one transaction. When a single row is not exactly what was written, it says so and changes nothing.
";
