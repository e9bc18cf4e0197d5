//! What is still to be applied, from the scripts of this build and the ledger of a database.
//!
//! Refuses whatever would make the two histories differ; it never decides to skip or to repeat.

use super::script::{Script, ScriptError};
use super::{Applied, Migration};
use crate::guard::Refusal;

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The database and this build do not share a history.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// A script of this build cannot be read.
    #[error("failed to read migration `{file}`")]
    Script {
        /// The script's file.
        file: String,
        /// What is wrong with it.
        #[source]
        source: ScriptError,
    },
}

/// The migrations that `applied` (in any order) lacks, oldest first.
///
/// Refused are: an applied migration whose script has changed, with the first line that differs; one that
/// this build does not know; a gap in either series.
pub fn plan<'a>(available: &'a [Migration], applied: &[Applied]) -> Result<Vec<&'a Migration>, PlanError> {
    let mut applied: Vec<&Applied> = applied.iter().collect();
    applied.sort_by_key(|entry| entry.version);
    without_gaps("the series of this build", available.iter().map(|m| m.version))?;
    let known = available.last().map_or(0, |m| m.version);
    if let Some(newer) = applied.iter().find(|entry| entry.version > known) {
        return Err(Refusal::new(
            "the database was made by a newer version of this tool",
            format!("migrations up to {known}"),
            format!(
                "migration {} `{}`, applied {} by version {}",
                newer.version, newer.name, newer.applied_at, newer.tool_version
            ),
        )
        .next("use a build that knows this migration")
        .into());
    }
    without_gaps("the ledger of the database", applied.iter().map(|entry| entry.version))?;
    for (migration, entry) in available.iter().zip(&applied) {
        unchanged(migration, entry)?;
    }
    Ok(available.iter().skip(applied.len()).collect())
}

fn without_gaps(whose: &str, versions: impl Iterator<Item = u32>) -> Result<(), Refusal> {
    for (expected, found) in (1..).zip(versions) {
        if expected != found {
            return Err(Refusal::new(
                format!("{whose} has a gap"),
                format!("migration {expected}"),
                format!("migration {found}"),
            ));
        }
    }
    Ok(())
}

fn unchanged(migration: &Migration, entry: &Applied) -> Result<(), PlanError> {
    let script = Script::parse(migration.sql)
        .map_err(|source| PlanError::Script { file: migration.file(), source })?;
    let checksum = script.checksum();
    if checksum == entry.checksum {
        return Ok(());
    }
    let difference = first_difference(&entry.canonical_sql, &script);
    Err(Refusal::new(
        format!("migration `{}` was edited after it had been applied", migration.file()),
        format!("{} (checksum {}, applied {})", difference.applied, entry.checksum, entry.applied_at),
        format!("{} in line {} now (checksum {checksum})", difference.now, difference.line),
    )
    .next("restore the file, and put the change into a new migration")
    .into())
}

/// Where two versions of a script part.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    /// Line in the file as it is now, from 1.
    line: u64,
    /// The line as it was applied, or that there was none.
    applied: String,
    /// The line as it is now, or that there is none.
    now: String,
}

fn first_difference(applied: &str, now: &Script) -> Difference {
    let mut old = applied.lines();
    let mut last = 1;
    for line in now.lines() {
        last = line.number;
        let before = old.next();
        if before != Some(line.text.as_str()) {
            return Difference { line: line.number, applied: shown(before), now: shown(Some(&line.text)) };
        }
    }
    Difference { line: last, applied: shown(old.next()), now: shown(None) }
}

fn shown(line: Option<&str>) -> String {
    line.map_or_else(|| "the end of the script".to_owned(), |text| format!("`{}`", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Migration = Migration { version: 1, name: "0001_a", sql: "CREATE TABLE a (x);", verify: "" };
    const TWO: Migration =
        Migration { version: 2, name: "0002_b", sql: "-- b\nCREATE TABLE b (\n  x\n);\n", verify: "" };

    fn applied(migration: &Migration) -> Applied {
        let script = Script::parse(migration.sql).unwrap();
        Applied {
            version: migration.version,
            name: migration.name.to_owned(),
            checksum: script.checksum(),
            canonical_sql: script.canonical(),
            applied_at: "2026-01-02 03:04:05.000000".to_owned(),
            tool_version: "0.1.0".to_owned(),
        }
    }

    fn refusal(available: &[Migration], ledger: &[Applied]) -> String {
        match plan(available, ledger).unwrap_err() {
            PlanError::Refused(refusal) => refusal.to_string(),
            PlanError::Script { source, .. } => panic!("{source}"),
        }
    }

    #[test]
    fn pending_is_what_the_ledger_lacks() {
        let all = [ONE, TWO];
        assert_eq!(plan(&all, &[]).unwrap(), [&ONE, &TWO]);
        assert_eq!(plan(&all, &[applied(&ONE)]).unwrap(), [&TWO]);
        assert_eq!(plan(&all, &[applied(&TWO), applied(&ONE)]).unwrap(), Vec::<&Migration>::new());
    }

    #[test]
    fn comments_may_change_and_code_may_not() {
        let commented = Migration { sql: "CREATE TABLE b (\n\n  x -- why\n);", ..TWO };
        assert!(plan(&[ONE, commented], &[applied(&ONE), applied(&TWO)]).unwrap().is_empty());

        let edited = Migration { sql: "-- b\n-- more\nCREATE TABLE b (\n  y\n);\n", ..TWO };
        let text = refusal(&[ONE, edited], &[applied(&ONE), applied(&TWO)]);
        assert!(text.starts_with("migration `0002_b.sql` was edited after it had been applied\n"), "{text}");
        assert!(text.contains("expected: `x` (checksum "), "{text}");
        assert!(text.contains("found:    `y` in line 4 now (checksum "), "{text}");
    }

    #[test]
    fn a_longer_or_shorter_script_differs_at_its_end() {
        let script = Script::parse("a;\n\nb;\n").unwrap();
        assert_eq!(
            first_difference("a;\n", &script),
            Difference { line: 3, applied: "the end of the script".to_owned(), now: "`b;`".to_owned() }
        );
        assert_eq!(
            first_difference("a;\nb;\nc;\n", &script),
            Difference { line: 3, applied: "`c;`".to_owned(), now: "the end of the script".to_owned() }
        );
    }

    #[test]
    fn newer_databases_and_gaps_are_refused() {
        let text = refusal(&[ONE], &[applied(&ONE), applied(&TWO)]);
        assert!(text.starts_with("the database was made by a newer version"), "{text}");
        assert!(refusal(&[ONE, TWO], &[applied(&TWO)]).starts_with("the ledger of the database has a gap"));
        assert!(refusal(&[TWO], &[]).starts_with("the series of this build has a gap"));
    }
}
