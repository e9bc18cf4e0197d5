//! From the text of an answer to files in the workspace: only those that were asked for, whole.

use std::path::{Component, Path};

use crate::files::{self, FileError};

/// Writes the files of an answer that are `wanted`; names those that are not.
pub(super) fn write(text: &str, wanted: &[String], workspace: &Path) -> Result<Vec<String>, FileError> {
    place(blocks(text), wanted, workspace)
}

/// Writes those of these files that are `wanted`; names those that are not.
pub(in crate::work::drain) fn place<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
    wanted: &[String],
    workspace: &Path,
) -> Result<Vec<String>, FileError> {
    let mut foreign = Vec::new();
    for (path, content) in files {
        let Some(wanted) = wanted.iter().find(|wanted| is_same(wanted, path)) else {
            foreign.push(path.to_owned());
            continue;
        };
        let file = workspace.join(wanted);
        if let Some(folder) = file.parent() {
            files::create_dir(folder)?;
        }
        files::write_atomic(&file, content.as_bytes())?;
    }
    Ok(foreign)
}

/// Whether an answer has every file that is `wanted`, whole.
pub(super) fn is_whole(text: &str, wanted: &[String]) -> bool {
    let found = blocks(text);
    wanted.iter().all(|wanted| found.iter().any(|(path, _)| is_same(wanted, path)))
}

/// The blocks of an answer: path and content. One that is not closed was cut off and is none.
fn blocks(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut open: Option<(&str, usize)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        match open {
            None => {
                let path = bare.strip_prefix("<file path=\"").and_then(|rest| rest.strip_suffix("\">"));
                open = path.map(|path| (path, at + line.len()));
            }
            Some((path, from)) if bare == "</file>" => {
                found.push((path, &text[from..at]));
                open = None;
            }
            Some(_) => {}
        }
        at += line.len();
    }
    found
}

/// Whether two relative paths name one file.
fn is_same(a: &str, b: &str) -> bool {
    let parts = |path| Path::new(path).components().filter(|part| *part != Component::CurDir);
    parts(a).eq(parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_written_and_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let text = "Here:\n<file path=\"./a/b.md\">\n# B\n\n</file>\nand\n<file path=\"c.md\">\nx\n</file>\n\
            <file path=\"../up.md\">\ny\n</file>\n<file path=\"d.md\">\ncut";
        let wanted = ["a/b.md".to_owned(), "d.md".to_owned()];
        assert_eq!(write(text, &wanted, dir.path()).unwrap(), ["c.md", "../up.md"]);
        assert_eq!(files::read_text(&dir.path().join("a/b.md")).unwrap(), "# B\n\n");
        assert!(!dir.path().join("c.md").exists() && !dir.path().join("d.md").exists());
        assert!(!dir.path().join("../up.md").exists());
    }
}
