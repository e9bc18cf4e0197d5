//! The files of a folder, told apart by their names and by what is in them.

use std::path::Path;

use serde_json::Value;

use super::{Finding, Kind};
use crate::clock::Stamp;
use crate::files::FileError;
use crate::ids::sha256;

/// Larger files are no artifacts of a run; they are listed as unreadable.
const BYTES_MAX: u64 = 64 << 20;

/// A file that was read.
pub(super) struct File {
    /// Its path below the folder, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// What it holds, where it is one JSON document.
    pub(super) json: Option<Value>,
    pub(super) sha256: String,
    /// When it was last written, where the file system says so.
    pub(super) written: Option<Stamp>,
}

impl File {
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether it is Markdown.
    pub(super) fn is_prose(&self) -> bool {
        self.is("", ".md")
    }

    /// Whether its name begins and ends like this.
    pub(super) fn is(&self, start: &str, end: &str) -> bool {
        self.name().starts_with(start) && self.name().ends_with(end)
    }
}

/// All files below a folder.
pub(super) struct Folder {
    pub(super) files: Vec<File>,
    pub(super) unreadable: Vec<Finding>,
}

impl Folder {
    pub(super) fn read(dir: &Path) -> Result<Self, FileError> {
        let (mut files, mut unreadable, mut open) = (Vec::new(), Vec::new(), vec![dir.to_path_buf()]);
        while let Some(folder) = open.pop() {
            let failed = |error| FileError::new("list", &folder, error);
            for entry in std::fs::read_dir(&folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let metadata =
                    std::fs::symlink_metadata(&path).map_err(|e| FileError::new("look at", &path, e))?;
                if metadata.is_dir() {
                    open.push(path);
                    continue;
                }
                let parts = path.strip_prefix(dir).unwrap_or(&path).iter().map(|part| part.to_string_lossy());
                let shown = parts.collect::<Vec<_>>().join("/");
                if !is_artifact(&shown) {
                    continue;
                }
                match read(&path, &metadata, &shown) {
                    Ok(file) => files.push(file),
                    Err(what) => unreadable.push(Finding { file: shown, kind: Kind::Unreadable, what }),
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files, unreadable })
    }

    pub(super) fn named(&self, start: &str, end: &str) -> impl Iterator<Item = &File> {
        self.files.iter().filter(move |file| file.is(start, end))
    }

    /// The plan file of the original pipeline.
    pub(super) fn plan(&self) -> Option<(&File, &Value)> {
        let plans = self.files.iter().filter(|file| !file.is("prod_mini", ".json"));
        plans
            .filter_map(|file| Some((file, file.json.as_ref()?)))
            .find(|(_, json)| json.get("backfill_plan").is_some())
    }
}

fn is_artifact(path: &str) -> bool {
    [".json", ".ndjson", ".md", ".sql"].iter().any(|ending| path.ends_with(ending))
}

fn read(path: &Path, metadata: &std::fs::Metadata, shown: &str) -> Result<File, String> {
    if !metadata.is_file() {
        return Err("not a file".to_owned());
    }
    if metadata.len() > BYTES_MAX {
        return Err(format!("{} bytes are more than a report has", metadata.len()));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    let sha256 = sha256(&bytes);
    let text = String::from_utf8(bytes).map_err(|_| "not a text".to_owned())?;
    let json = if shown.rsplit('.').next() == Some("json") {
        Some(serde_json::from_str(&text).map_err(|error| format!("no JSON: {error}"))?)
    } else {
        None
    };
    let written = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let written = written.and_then(|since| Stamp::from_unix(i64::try_from(since.as_secs()).ok()?));
    Ok(File { path: shown.to_owned(), text, json, sha256, written })
}

/// A member that is a whole number.
pub(super) fn count(value: &Value, name: &str) -> Option<u64> {
    value.get(name)?.as_u64()
}

/// A member that is a text.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str()
}

/// A member that is a time.
pub(super) fn time(value: &Value, name: &str) -> Option<Stamp> {
    Stamp::parse(text(value, name)?)
}

/// A member that is a list.
pub(super) fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Seconds from one time to another, negative when they are in the other order.
pub(super) fn seconds(from: Stamp, to: Stamp) -> f64 {
    if to >= from { to.since(from).as_secs_f64() } else { -from.since(to).as_secs_f64() }
}
