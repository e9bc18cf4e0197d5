//! The scripts of `migrations/`, built into the program so that it can never meet the wrong ones.
//!
//! A new file must be named here; a test lists the folder and fails until it is.

use super::Migration;

macro_rules! migration {
    ($folder:literal, $version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../../migrations/", $folder, "/", $name, ".sql")),
            verify: include_str!(concat!("../../../migrations/", $folder, "/", $name, ".verify.sql")),
        }
    };
}

/// The schema of SQLite databases, oldest first.
pub const SQLITE: &[Migration] = &[
    migration!("sqlite", 1, "0001_core"),
    migration!("sqlite", 2, "0002_token_estimation_events"),
    migration!("sqlite", 3, "0003_drain"),
    migration!("sqlite", 4, "0004_drain_sessions"),
    migration!("sqlite", 5, "0005_prediction_features"),
    migration!("sqlite", 6, "0006_budgets"),
];

/// The schema of PostgreSQL databases that many machines drain, oldest first.
pub const POSTGRES: &[Migration] =
    &[migration!("postgres", 1, "0001_drain"), migration!("postgres", 2, "0002_budgets")];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::migrate::script::{Script, Statement};

    #[test]
    fn every_numbered_file_of_the_folders_is_embedded() {
        for (folder, migrations) in [("sqlite", SQLITE), ("postgres", POSTGRES)] {
            let found: BTreeSet<String> =
                fs::read_dir(format!("{}/../migrations/{folder}", env!("CARGO_MANIFEST_DIR")))
                    .unwrap()
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .filter(|name| name.starts_with(|c: char| c.is_ascii_digit()))
                    .collect();
            let embedded: BTreeSet<String> =
                migrations.iter().flat_map(|m| [m.file(), m.verify_file()]).collect();
            assert_eq!(found, embedded, "{folder}");
        }
    }

    #[test]
    fn versions_count_from_one_and_name_their_files() {
        for (expected, migration) in (1..).zip(SQLITE).chain((1..).zip(POSTGRES)) {
            assert_eq!(migration.version, expected);
            assert!(migration.name.starts_with(&format!("{expected:04}_")), "{}", migration.name);
        }
    }

    #[test]
    fn every_script_can_be_read_and_every_verification_only_selects() {
        for migration in SQLITE {
            assert!(!Script::parse(migration.sql).unwrap().statements().unwrap().is_empty());
            let queries = Script::parse(migration.verify).unwrap().statements().unwrap();
            assert!(!queries.is_empty(), "{} verifies nothing", migration.verify_file());
            for query in queries {
                let Statement::Sql(sql) = query.statement else { panic!("{}", migration.verify_file()) };
                assert!(sql.starts_with("SELECT") || sql.starts_with("WITH"), "{sql}");
            }
        }
    }
}
