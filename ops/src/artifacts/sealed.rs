//! Whether a record of a chain holds the digest of an artifact.
//!
//! A report that no record knows may be sound; nothing shows it. Evidence of a soak seals itself and is not asked for.

use super::folder::{File, Folder};
use super::{Finding, Kind, Known};

/// Reports that a stage is judged by and that no record knows.
pub(super) fn findings(folder: &Folder, known: &Known) -> Vec<Finding> {
    let is_unknown = |file: &&File| !known.digests.contains(&file.sha256);
    let unsealed = folder.files.iter().filter(|file| decides(file)).filter(is_unknown);
    unsealed
        .map(|file| Finding {
            file: file.path.clone(),
            kind: Kind::Unsealed,
            what: "no record of the gates holds its digest".to_owned(),
        })
        .collect()
}

/// What a gate would be decided by.
fn decides(file: &File) -> bool {
    let name = file.name();
    let words = ["execution_results", "observability.json", "health_check.json", "evidence.ndjson"];
    words.iter().any(|word| name.contains(word))
        || name.ends_with("observability.md")
        || name.ends_with("health_check.md")
        || (name.contains("gate") && file.is_prose())
}
