//! What one deliverable is: its path, its kind, and whether it is new.
//!
//! A deliverable is a path or a sentence around one. Nothing here opens a file.

use serde::{Deserialize, Serialize};

/// Words that say what to do with a file.
const VERBS: [&str; 5] = ["create", "modify", "update", "add", "new"];

/// The verbs among them that say that the file does not exist yet.
const NEW: [&str; 3] = ["create", "add", "new"];

/// The size of an existing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileFeatures {
    /// Lines.
    pub lines: u64,
    /// Import statements.
    pub imports: u64,
    /// The deepest indentation, in columns.
    pub max_indent: u64,
}

impl FileFeatures {
    /// The features of a text.
    pub fn of(text: &str) -> Self {
        let mut features = Self { lines: 0, imports: 0, max_indent: 0 };
        for line in text.lines() {
            let body = line.trim_start();
            features.lines += 1;
            features.imports += u64::from(is_import(body));
            let blanks = line[..line.len() - body.len()].chars().map(|c| if c == '\t' { 4 } else { 1 }).sum();
            if !body.is_empty() {
                features.max_indent = features.max_indent.max(blanks);
            }
        }
        features
    }
}

/// Whether a line without its indentation names what else is needed, in the languages that deliverables are in.
fn is_import(line: &str) -> bool {
    ["import ", "from ", "use ", "pub use ", "#include ", "require "]
        .iter()
        .any(|word| line.starts_with(word))
        || line.contains("= require(")
}

/// What kind of text a deliverable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A test.
    Test,
    /// A document.
    Document,
    /// A configuration file or a migration.
    Configuration,
    /// A user interface component.
    Frontend,
    /// SQL.
    Sql,
    /// Any other source file.
    Source,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Test, Self::Document, Self::Configuration, Self::Frontend, Self::Sql, Self::Source];

    /// The word in files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Document => "document",
            Self::Configuration => "configuration",
            Self::Frontend => "frontend",
            Self::Sql => "sql",
            Self::Source => "source",
        }
    }
}

/// One deliverable, read.
#[derive(Debug)]
pub(super) struct Deliverable {
    /// The path in lower case, or what remains of the text without verbs and remarks.
    path: String,
    pub(super) kind: Kind,
    /// The file to be changed; `None` for a file to be written.
    pub(super) existing: Option<FileFeatures>,
    has_extension: bool,
    has_verb: bool,
}

impl Deliverable {
    /// Reads a deliverable of a task of the given canonical category.
    pub(super) fn read(text: &str, file: Option<FileFeatures>, category: &str) -> Self {
        let text = text.to_lowercase();
        let found = path_in(&text);
        let around = found.map_or(text.clone(), |path| text.replacen(path, " ", 1));
        let says = |words: &[&str]| words_of(&around).any(|word| words.contains(&word));
        let path = found.map_or_else(|| bare(&text), str::to_owned);
        Self {
            kind: kind_of(&path, category),
            existing: file.filter(|_| !says(&NEW)),
            has_extension: found.is_some_and(|path| (2..=4).contains(&extension(path).len())),
            has_verb: says(&VERBS),
            path,
        }
    }

    /// Whether it is a document.
    pub(super) fn is_document(&self) -> bool {
        self.kind == Kind::Document
    }

    /// Whether it names a file with an extension of two to four characters.
    pub(super) fn names_a_file(&self) -> bool {
        self.has_extension
    }

    /// Whether it holds one of the verbs.
    pub(super) fn says_what_to_do(&self) -> bool {
        self.has_verb
    }

    /// The last part of the path, in lower case.
    pub(super) fn base_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}

/// The runs of letters and digits of a text.
pub(super) fn words_of(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The path that a deliverable names, as it is spelled: where its file would be.
pub fn path_of(text: &str) -> Option<&str> {
    path_in(text)
}

/// The first path with an extension in a text: a run of letters, digits and `_-./` up to the end of what
/// follows its last dot.
fn path_in(text: &str) -> Option<&str> {
    let in_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    text.split(|c: char| !in_path(c)).find_map(|run| {
        let (stem, _) = run
            .rmatch_indices('.')
            .find(|(dot, _)| *dot > 0 && run[dot + 1..].starts_with(|c: char| c.is_ascii_alphanumeric()))?;
        let rest = &run[stem + 1..];
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        Some(&run[..stem + 1 + end])
    })
}

/// A text without remarks in parentheses and without verbs: the nearest thing to a path in a sentence.
fn bare(text: &str) -> String {
    let mut depth = 0_u32;
    let kept: String = text
        .chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect();
    let words: Vec<&str> = kept.split_whitespace().filter(|word| !VERBS.contains(word)).collect();
    words.join(" ")
}

/// What follows the last dot of the base name.
fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

/// The kind of a lower-case path; the first rule that fits decides.
fn kind_of(path: &str, category: &str) -> Kind {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = extension(path);
    let stem = name.strip_suffix(extension).and_then(|stem| stem.strip_suffix('.')).unwrap_or(name);
    let script = matches!(extension, "ts" | "tsx" | "js" | "jsx");
    let test = path.starts_with("tests/")
        || path.contains("/tests/")
        || name.starts_with("test_")
        || name.ends_with("_test.py")
        || (script && matches!(stem.rsplit_once('.'), Some((_, "spec" | "test"))));
    if test {
        Kind::Test
    } else if path.starts_with("docs/") || extension == "md" {
        Kind::Document
    } else if matches!(extension, "yml" | "yaml" | "json" | "toml" | "txt" | "ini")
        || path.contains("migration")
        || path.contains("alembic/versions")
    {
        Kind::Configuration
    } else if matches!(extension, "tsx" | "jsx" | "vue" | "svelte") || category == "frontend" {
        Kind::Frontend
    } else if extension == "sql" {
        Kind::Sql
    } else {
        Kind::Source
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_path_of_a_sentence() {
        for (text, path) in [
            ("src/a.py", Some("src/a.py")),
            ("create src/pkg/new_module.py (with tests)", Some("src/pkg/new_module.py")),
            ("see `docs/x.md`.", Some("docs/x.md")),
            ("foo.spec.ts.", Some("foo.spec.ts")),
            (".env", None),
            ("add error handling", None),
        ] {
            assert_eq!(path_in(text), path, "{text}");
        }
        assert_eq!(bare("add tests/unit (see (the) plan)"), "tests/unit");
    }

    #[test]
    fn kinds_in_order() {
        for (path, kind) in [
            ("tests/readme.md", Kind::Test),
            ("pkg/tests/conftest.py", Kind::Test),
            ("test_a.py", Kind::Test),
            ("a_test.py", Kind::Test),
            ("ui/button.spec.tsx", Kind::Test),
            ("latest/a.py", Kind::Source),
            ("docs/schema.json", Kind::Document),
            ("changelog.md", Kind::Document),
            ("db/migrations/001.sql", Kind::Configuration),
            ("x.toml", Kind::Configuration),
            ("a.svelte", Kind::Frontend),
            ("schema.sql", Kind::Sql),
            ("a.rs", Kind::Source),
        ] {
            assert_eq!(kind_of(path, "backend"), kind, "{path}");
        }
        assert_eq!(kind_of("a.py", "frontend"), Kind::Frontend);
    }

    #[test]
    fn only_a_whole_word_outside_the_path_makes_a_file_new() {
        let tiny = FileFeatures { lines: 5, imports: 0, max_indent: 0 };
        for (text, exists) in [
            ("src/renewal.py", true),
            ("src/address.py", true),
            ("src/new_module.py", true),
            ("update src/created_at.py", true),
            ("add src/a.py", false),
            ("src/a.py (new)", false),
            ("Create src/a.py", false),
        ] {
            let deliverable = Deliverable::read(text, Some(tiny), "backend");
            assert_eq!(deliverable.existing.is_some(), exists, "{text}");
        }
    }

    #[test]
    fn a_text_has_lines_imports_and_an_indent() {
        let features = |text| {
            let FileFeatures { lines, imports, max_indent } = FileFeatures::of(text);
            [lines, imports, max_indent]
        };
        assert_eq!(features(""), [0, 0, 0]);
        assert_eq!(
            features("import a\nfrom b import c\n\ndef f():\n    if x:\n        return\n            \n"),
            [7, 2, 8]
        );
        assert_eq!(features("use a::b;\n\tconst x = require('y');"), [2, 2, 4]);
    }
}
