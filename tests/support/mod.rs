//! What the test files of this folder share. Nothing here tests anything by itself.
//!
//! A test file takes it with `mod support;`. Whatever it leaves unused is dead code in that binary only, so
//! such a file says `#[expect(dead_code, reason = "…")]` there.

pub(crate) mod cases;
pub(crate) mod command;
pub(crate) mod gated;
pub(crate) mod golden;
pub(crate) mod kill;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a package has a parent").to_path_buf()
}

/// Every file below `dir`, as paths relative to it with `/`, sorted. A missing folder has no files.
pub(crate) fn files_below(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if is_not_ours(&path) {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else {
                let below = path.strip_prefix(dir).expect("the walk started there");
                let parts = below.iter().map(|part| part.to_string_lossy());
                found.push(parts.collect::<Vec<_>>().join("/"));
            }
        }
    }
    found.sort();
    found
}

/// What is not part of the repository. (`.git` is a file in a worktree.)
fn is_not_ours(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    [".git", ".ops", "target", "node_modules", "__pycache__"].iter().any(|other| name == *other)
}
