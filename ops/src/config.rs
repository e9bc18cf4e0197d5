//! `ops.toml`: what this repository's data mean. A repository without one gets the one that is shipped.
//!
//! A setting that is unknown, of the wrong type, or that does not fit the others is an error with file, line and key,
//! before anything is read. Nothing here reads the environment; the caller says where the file is.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use crate::backfill;
use crate::cleanup::{Dataset, Problem, Rules};
use crate::files::{FileError, read_text};
use crate::ids::sha256;
use crate::soak;
use crate::tokens::estimator;

/// The settings that are used where a repository has none.
pub const SHIPPED: &str = include_str!("../../ops.toml");

/// The name of the file.
pub const FILE: &str = "ops.toml";

/// The settings of a repository.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where they were read, for reports: a path, or `shipped ops.toml`.
    pub origin: String,
    /// SHA-256 of the file, in hex.
    pub digest: String,
    /// Rows that can be cleaned, by name.
    pub datasets: BTreeMap<String, Dataset>,
    /// Backfills, by name.
    pub backfills: BTreeMap<String, backfill::settings::Settings>,
    /// Soaks, by name.
    pub soaks: BTreeMap<String, soak::settings::Settings>,
    /// The token estimator; the shipped one where the file says nothing of it.
    pub estimator: estimator::Settings,
}

/// Settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is no TOML, or a key is unknown or of the wrong type.
    #[error("{origin}:{line}: {what}")]
    Form {
        /// Which file.
        origin: String,
        /// From 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A setting does not fit the others.
    #[error("{origin}:{line}: `{key}`: {what}")]
    Setting {
        /// Which file.
        origin: String,
        /// From 1.
        line: usize,
        /// Its path, lists by number from 0: `datasets.glyphs.score.parts.2.weight`.
        key: String,
        /// What is wrong.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    datasets: BTreeMap<String, Dataset>,
    #[serde(default)]
    backfills: BTreeMap<String, backfill::settings::Settings>,
    #[serde(default)]
    soaks: BTreeMap<String, soak::settings::Settings>,
    #[serde(default)]
    estimator: estimator::Settings,
}

impl Config {
    /// The settings of the file at `path`.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read_text(path)?, &path.display().to_string())
    }

    /// The settings of the repository at `root`: its `ops.toml`, or else the shipped one.
    pub fn of(root: &Path) -> Result<Self, ConfigError> {
        let path = root.join(FILE);
        if path.exists() { Self::read(&path) } else { Self::shipped() }
    }

    /// The shipped settings.
    pub fn shipped() -> Result<Self, ConfigError> {
        Self::parse(SHIPPED, "shipped ops.toml")
    }

    /// The settings in `text`, which came from `origin`.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let form = |error: &toml::de::Error| ConfigError::Form {
            origin: origin.to_owned(),
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            what: error.message().replace('\n', ", "),
        };
        let mut file: File = toml::from_str(text).map_err(|error| form(&error))?;
        let tree = DeTable::parse(text).map_err(|error| form(&error))?;
        let setting = |key: String, what: String| {
            let at = deepest(tree.get_ref(), &key).unwrap_or_default();
            ConfigError::Setting { origin: origin.to_owned(), line: line_of(text, at), key, what }
        };
        for (name, dataset) in &mut file.datasets {
            name.clone_into(&mut dataset.name);
            if let Err(Problem { key, what }) = Rules::new(dataset.clone()) {
                return Err(setting(format!("datasets.{name}.{key}"), what));
            }
        }
        for (name, backfill) in &file.backfills {
            let wrong = |(key, what): (String, String)| setting(format!("backfills.{name}.{key}"), what);
            backfill.check().map_err(wrong)?;
        }
        for (name, soak) in &file.soaks {
            soak.check().map_err(|what| setting(format!("soaks.{name}"), what))?;
        }
        file.estimator.check().map_err(|(key, what)| setting(format!("estimator.{key}"), what))?;
        let (origin, digest) = (origin.to_owned(), sha256(text.as_bytes()));
        let File { datasets, backfills, soaks, estimator } = file;
        Ok(Self { origin, digest, datasets, backfills, soaks, estimator })
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

/// Where the deepest part of a path that the file has begins.
fn deepest(tree: &DeTable<'_>, path: &str) -> Option<usize> {
    let mut names = path.split('.');
    let (key, value) = tree.get_key_value(names.next()?)?;
    let (mut at, mut value) = (key.span().start, value);
    for name in names {
        match value.get_ref() {
            DeValue::Table(table) => {
                let Some((key, inner)) = table.get_key_value(name) else { break };
                at = key.span().start;
                value = inner;
            }
            DeValue::Array(items) => {
                let Some(inner) = name.parse().ok().and_then(|i: usize| items.get(i)) else { break };
                at = inner.span().start;
                value = inner;
            }
            _ => break,
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "
[datasets.notes]
table = \"notes\"
key = [\"id\"]

[[datasets.notes.columns]]
name = \"id\"
kind = \"id\"

[[datasets.notes.columns]]
name = \"title\"
title = {}

[datasets.notes.score]
threshold = 0.4

[[datasets.notes.score.parts]]
measure = \"title\"
name = \"title\"
weight = 1.0
column = \"title\"
full_chars = 40
damaged = 0.05
";

    fn error(from: &str, to: &str) -> String {
        assert!(SMALL.contains(from));
        Config::parse(&SMALL.replacen(from, to, 1), "ops.toml").unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_settings_hold_together() {
        let config = Config::shipped().unwrap();
        assert_eq!(config.datasets.keys().collect::<Vec<_>>(), ["contacts", "glyphs"]);
        assert_eq!(config.datasets["glyphs"].name, "glyphs");
        assert_eq!(config.digest, sha256(SHIPPED.as_bytes()));
    }

    #[test]
    fn small_settings_are_enough() {
        let config = Config::parse(SMALL, "ops.toml").unwrap();
        assert_eq!(config.datasets["notes"].columns.len(), 2);
        assert!(Config::parse("", "ops.toml").unwrap().datasets.is_empty());
    }

    #[test]
    fn an_error_says_line_and_key() {
        for (from, to, expected) in [
            (
                "weight = 1.0",
                "weight = 0.9",
                "ops.toml:17: `datasets.notes.score.parts`: the weights add up to 0.9, not to 1",
            ),
            (
                "column = \"title\"",
                "column = \"titel\"",
                "ops.toml:21: `datasets.notes.score.parts.0.column`: no column is called `titel`",
            ),
            (
                "damaged = 0.05",
                "damaged = 0.2",
                "`datasets.notes.score.parts.0.damaged`: must be between 0 and 0.1",
            ),
            (
                "key = [\"id\"]",
                "key = [\"ids\"]",
                "ops.toml:4: `datasets.notes.key`: no column is called `ids`",
            ),
            ("threshold = 0.4", "treshold = 0.4", "ops.toml:15: unknown field `treshold`"),
            ("table = \"notes\"", "table = 3", "ops.toml:3: invalid type: integer `3`"),
            ("table = \"notes\"", "table = ", "ops.toml:3: "),
        ] {
            let found = error(from, to);
            assert!(found.contains(expected), "{found}\n{expected}");
        }
        let found = Config::parse("[backfils]\n", "ops.toml").unwrap_err().to_string();
        assert!(found.starts_with("ops.toml:1: unknown field `backfils`"), "{found}");
    }

    #[test]
    fn a_soak_that_cannot_be_is_refused_with_its_line() {
        let soak = "
[soaks.staging]
window = \"6h\"
every = \"5m\"

[[soaks.staging.metrics]]
name = \"overrides\"
what = \"profiles\"
rule = { never = { hidden_max = 0.05 } }
sql = \"SELECT 1, 1\"
";
        assert_eq!(Config::parse(soak, "ops.toml").unwrap().soaks["staging"].window.0, 21_600);
        for (from, to, expected) in [
            (
                "\"5m\"",
                "\"7h\"",
                "ops.toml:2: `soaks.staging`: `every` must be more than 0 and at most the window",
            ),
            ("\"5m\"", "\"5\"", "ops.toml:4: `5` is no span"),
            ("0.05", "5", "ops.toml:2: `soaks.staging`: metric `overrides`: rates and margins"),
            ("SELECT 1, 1", " ", "metric `overrides` has no statement"),
        ] {
            let found = Config::parse(&soak.replacen(from, to, 1), "ops.toml").unwrap_err().to_string();
            assert!(found.contains(expected), "{found}\n{expected}");
        }
    }

    #[test]
    fn the_shipped_coefficients_are_those_of_a_file_without_any() {
        let shipped = Config::shipped().unwrap().estimator;
        assert_eq!(shipped, estimator::Settings::default());
        assert_eq!(Config::parse("", "ops.toml").unwrap().estimator, shipped);
        let changed = SHIPPED.replace("low = 634", "low = 99999999");
        let found = Config::parse(&changed, "ops.toml").unwrap_err().to_string();
        assert!(
            found.contains("`estimator.coefficients.overhead.implementation.low`: 99999999 is more"),
            "{found}"
        );
        let alias = SHIPPED.replace("\ntests = { low = 915", "\ntesting = { low = 915");
        assert_eq!(Config::parse(&alias, "ops.toml").unwrap().estimator, shipped);
    }

    #[test]
    fn a_repository_without_a_file_gets_the_shipped_one() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Config::of(folder.path()).unwrap().origin, "shipped ops.toml");
        crate::files::write_atomic(&folder.path().join(FILE), SMALL.as_bytes()).unwrap();
        assert!(Config::of(folder.path()).unwrap().datasets.contains_key("notes"));
    }
}
