//! The scripts of `migrations/`, built into the program so that it can never meet the wrong ones.
//!
//! A new file must be named here; a test lists the folder and fails until it is.

use super::Migration;

macro_rules! migration {
    ($version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../../migrations/sqlite/", $name, ".sql")),
            verify: include_str!(concat!("../../../migrations/sqlite/", $name, ".verify.sql")),
        }
    };
}

/// The schema of SQLite databases, oldest first.
pub const SQLITE: &[Migration] = &[
    migration!(1, "0001_core"),
    migration!(2, "0002_token_estimation_events"),
    migration!(3, "0003_drain"),
    migration!(4, "0004_drain_sessions"),
    migration!(5, "0005_prediction_features"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::migrate::script::{Script, Statement};

    #[test]
    fn every_file_of_the_folder_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/sqlite");
        let found: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "schema.sql")
            .collect();
        let embedded: BTreeSet<String> = SQLITE.iter().flat_map(|m| [m.file(), m.verify_file()]).collect();
        assert_eq!(found, embedded);
    }

    #[test]
    fn versions_count_from_one_and_name_their_files() {
        for (expected, migration) in (1..).zip(SQLITE) {
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
