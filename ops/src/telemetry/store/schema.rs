//! Making and checking tables: one version number for each, kept in the database; columns are only added.
//!
//! A table of that name may have been made by another program. It is used as long as rows go into it; when none can, that
//! is said when the store is opened, and not by every job.

use super::sink::{Sink, SinkError};
use super::table::{Dialect, Table};
use super::value::{Row, RowWriter};

const VERSIONS: &str =
    "CREATE TABLE IF NOT EXISTS ops_telemetry_tables (name TEXT PRIMARY KEY, version BIGINT NOT NULL)";
const GET_VERSION: &str = "SELECT version FROM ops_telemetry_tables WHERE name = $1";
const SET_VERSION: &str = "INSERT INTO ops_telemetry_tables (name, version) VALUES ($1, $2) ON CONFLICT (name) DO \
                           UPDATE SET version = excluded.version";

/// Makes a table within the open transaction, or adds the columns that it lacks. A table that a newer program has
/// changed is refused: what its columns mean may be different. So is one that no row can go into.
pub(super) fn ensure(sink: &mut dyn Sink, table: &Table, dialect: Dialect) -> Result<(), SinkError> {
    sink.ensure_sql(VERSIONS)?;
    let known = sink.number(GET_VERSION, table.name)?;
    let version = i64::from(table.version);
    if let Some(newer) = known.filter(|known| *known > version) {
        let text = format!("the table `{}` has version {newer}, this program knows {version}", table.name);
        return Err(SinkError::Rejected(text));
    }
    sink.ensure_sql(&table.create(dialect))?;
    let present = sink.columns(table.name)?;
    for sql in table.add_columns(&present, dialect).into_iter().chain(table.create_indexes()) {
        sink.ensure_sql(&sql)?;
    }
    require_fit(sink, table)?;
    if known != Some(version) {
        let mut bytes = Vec::new();
        RowWriter::new(&mut bytes).put(table.name).put(version);
        sink.rows(SET_VERSION, &mut std::iter::once(Row::new(&bytes)))?;
    }
    Ok(())
}

/// Refuses a table that wants what no row of ours has, or that lacks the key by which rows are counted together.
fn require_fit(sink: &mut dyn Sink, table: &Table) -> Result<(), SinkError> {
    let refuse = |why: &str| {
        SinkError::Rejected(format!(
            "the table `{}` is another program's and takes no rows of this one: {why}; rename it, or name another \
             database",
            table.name
        ))
    };
    let is_ours = |name: &String| table.written().any(|column| column.name.eq_ignore_ascii_case(name));
    let mut demanded = sink.demanded(table.name)?;
    demanded.retain(|name| !is_ours(name));
    if !demanded.is_empty() {
        return Err(refuse(&format!("it demands `{}`", demanded.join("`, `"))));
    }
    sink.ensure_sql(&table.insert_nothing()).map_err(|error| match error {
        SinkError::Rejected(text) => refuse(&text),
        other @ SinkError::Unavailable { .. } => other,
    })
}

/// Refuses statements that would end the transaction of the group, or change the connection for all that follow.
pub(super) fn require_harmless(sql: &str) -> Result<(), SinkError> {
    const WORDS: [&str; 15] = [
        "abort",
        "attach",
        "begin",
        "commit",
        "detach",
        "discard",
        "end",
        "pragma",
        "prepare",
        "release",
        "rollback",
        "savepoint",
        "set",
        "start",
        "vacuum",
    ];
    let first = first_word(sql);
    match WORDS.iter().find(|word| first.eq_ignore_ascii_case(word)) {
        Some(word) => Err(SinkError::Rejected(format!("`{word}` has no place in a job"))),
        None => Ok(()),
    }
}

/// The first word after blanks and comments.
fn first_word(mut sql: &str) -> &str {
    loop {
        sql = sql.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        sql = if let Some(comment) = sql.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = sql.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, rest)| rest)
        } else {
            let end = sql.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(sql.len());
            return &sql[..end];
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_cannot_end_the_transaction_of_others() {
        for sql in ["COMMIT", " -- x\n/* y */ ; rollback to a", "Pragma synchronous = off", "END;", "VACUUM"]
        {
            assert!(require_harmless(sql).is_err(), "{sql}");
        }
        for sql in [
            "INSERT INTO settings VALUES (1)",
            "update ending set x = 1",
            "",
            "/* open",
            "CREATE TABLE t (a)",
        ] {
            assert!(require_harmless(sql).is_ok(), "{sql}");
        }
    }
}
