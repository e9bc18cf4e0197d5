//! A plan on disk: proven to be what was written, and its changes from any position.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::layout::Layout;
use super::line::parse_line;
use super::manifest::{FORMAT, Facts, FileSeal, Manifest};
use super::seal::seal_of;
use super::{PlanError, convert, names};
use crate::change::Counts;
use crate::files::FileError;
use crate::guard::Refusal;
use crate::target::{Change, TargetIdentity};

/// One offset is kept for so many lines.
pub(crate) const INDEX_LINES: u64 = 1024;

/// A plan whose seal was checked.
#[derive(Debug, Clone)]
pub struct PlanDir {
    path: PathBuf,
    /// Where runs write: the plan's own folder but for rehearsals.
    runs: PathBuf,
    manifest: Manifest,
    layout: Layout,
    index: Index,
    missing_backup: Vec<String>,
}

impl PlanDir {
    /// Opens a plan and reads all of it: the first file that is not what was sealed refuses it. Other files, such
    /// as those of runs, are not looked at. A file of the backup may be missing; see [`PlanDir::require_applyable`].
    pub fn open(path: &Path) -> Result<Self, PlanError> {
        let manifest = read_manifest(path)?;
        let layout =
            layout(&manifest.plan).map_err(|what| damaged(path, "columns of its own table", what))?;
        let mut index = Index::default();
        for sealed in manifest.plan.files.iter().chain(&manifest.rendered) {
            let is_changes = sealed.path == names::CHANGES;
            let see = |bytes: &[u8]| {
                if is_changes {
                    index.see(bytes);
                }
            };
            verify(path, sealed, see)?.ok_or_else(|| damaged(path, &sealed.path, "no such file"))?;
        }
        let mut missing_backup = Vec::new();
        for sealed in manifest.plan.backup.iter().flat_map(|backup| &backup.files) {
            if verify(path, sealed, |_| ())?.is_none() {
                missing_backup.push(sealed.path.clone());
            }
        }
        let (path, runs) = (path.to_path_buf(), path.to_path_buf());
        let plan = Self { path, runs, manifest, layout, index, missing_backup };
        if plan.index.lines != plan.len() {
            let expected = format!("{} lines in {}", plan.len(), names::CHANGES);
            return Err(damaged(&plan.path, expected, format!("{} lines", plan.index.lines)).into());
        }
        Ok(plan)
    }

    /// A plan that is being written; nothing of it was read back.
    pub(super) fn unsealed(path: &Path, manifest: Manifest, layout: Layout, index: Index) -> Self {
        let (path, runs) = (path.to_path_buf(), path.to_path_buf());
        Self { path, runs, manifest, layout, index, missing_backup: Vec::new() }
    }

    /// Closes the rendered files.
    pub(super) fn seal(&mut self, rendered: Vec<FileSeal>) {
        self.manifest.seal(rendered);
    }

    /// Follows the folder to its name.
    pub(super) fn moved(&mut self, path: PathBuf) {
        self.runs.clone_from(&path);
        self.path = path;
    }

    /// The same plan, whose runs write into another folder, which must exist.
    #[must_use]
    pub fn with_runs_in(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.runs);
        self
    }

    /// Where runs write, and what their lock locks.
    pub fn runs(&self) -> &Path {
        &self.runs
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The full id.
    pub fn id(&self) -> &str {
        &self.manifest.id
    }

    /// The first 12 digits of the id.
    pub fn short(&self) -> &str {
        &self.manifest.short
    }

    /// The whole of `plan.json`.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What the plan is about and what it found.
    pub fn facts(&self) -> &Facts {
        &self.manifest.plan
    }

    /// The table, and how rows of changes lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Which database it was made for.
    pub fn target(&self) -> TargetIdentity {
        TargetIdentity::from(&self.facts().target)
    }

    /// Both sides in counts.
    pub fn counts(&self) -> Counts {
        Counts::from(&self.facts().counts)
    }

    /// How many changes it holds.
    pub fn len(&self) -> u64 {
        self.counts().changes()
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The changes from position `n` on, in order; none when `n` is past the end.
    pub fn changes_from(&self, n: u64) -> Result<Changes<'_>, PlanError> {
        let path = self.path.join(names::CHANGES);
        let failed = |e| FileError::new("read", &path, e);
        let mut file = File::open(&path).map_err(failed)?;
        let block = usize::try_from(n / INDEX_LINES).unwrap_or(usize::MAX);
        let Some(offset) = self.index.offsets.get(block).filter(|_| n < self.len()) else {
            let file = BufReader::with_capacity(0, file);
            return Ok(Changes { plan: self, file, line: Vec::new(), next: self.len() });
        };
        file.seek(SeekFrom::Start(*offset)).map_err(failed)?;
        let file = BufReader::with_capacity(256 * 1024, file);
        let mut changes = Changes { plan: self, file, line: Vec::new(), next: n - n % INDEX_LINES };
        while changes.next < n {
            changes.read_line()?;
            changes.next += 1;
        }
        Ok(changes)
    }

    /// Every change, in order.
    pub fn changes(&self) -> Result<Changes<'_>, PlanError> {
        self.changes_from(0)
    }

    /// Refuses a plan that can only be looked at: made without a backup, with errors, or whose backup is gone.
    pub fn require_applyable(&self) -> Result<(), Refusal> {
        let state = &self.facts().state;
        let what = format!("plan {} cannot be applied", self.short());
        if !state.applyable {
            return Err(Refusal::new(what, "a plan that is applyable", state.reasons.join("; "))
                .next("cargo xtask backup-plan, with a backup"));
        }
        if let Some(missing) = self.missing_backup.first() {
            let expected = format!("its backup in {}", self.path.join(missing).display());
            return Err(Refusal::new(what, expected, "no such file")
                .next("put the backup back in its place, or make the plan again"));
        }
        Ok(())
    }

    /// The folder of a run, such as `apply`. Runs write beside the plan, and the seal does not cover them.
    pub fn run_dir(&self, direction: &str) -> PathBuf {
        self.runs.join(direction)
    }
}

fn damaged(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Refusal {
    let what = format!("the plan in `{}` is not what was written", path.display());
    Refusal::new(what, expected, found)
        .next("make the plan again with cargo xtask backup-plan, and review it")
}

#[derive(Deserialize)]
struct Probe {
    format: u32,
    plan: Option<ProbeFacts>,
}

#[derive(Deserialize)]
struct ProbeFacts {
    tool_version: Option<String>,
}

fn read_manifest(path: &Path) -> Result<Manifest, PlanError> {
    let file = path.join(names::PLAN);
    let bytes = match std::fs::read(&file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let what = format!("`{}` is not a plan", path.display());
            return Err(Refusal::new(what, "a folder with a plan.json", "none there")
                .next("name a folder that backup-plan made: plan-…")
                .into());
        }
        Err(error) => return Err(FileError::new("read", &file, error).into()),
    };
    if let Ok(probe) = serde_json::from_slice::<Probe>(&bytes)
        && probe.format > FORMAT
    {
        let version = probe.plan.and_then(|plan| plan.tool_version).unwrap_or_else(|| "a newer".to_owned());
        return Err(Refusal::new(
            format!("the plan in `{}` is of a newer format", path.display()),
            format!("format {FORMAT} or older"),
            format!("format {}, written by version {version}", probe.format),
        )
        .next("use the version that made it, or make the plan again with this one")
        .into());
    }
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .map_err(|error| damaged(path, "a plan.json as this version writes it", error.to_string()))?;
    check_manifest(path, &manifest, &bytes)?;
    Ok(manifest)
}

fn check_manifest(path: &Path, manifest: &Manifest, bytes: &[u8]) -> Result<(), Refusal> {
    let (id, seal) = (manifest.expected_id(), manifest.expected_seal());
    if manifest.id != id {
        return Err(damaged(path, format!("id {}", manifest.id), format!("contents of id {id}")));
    }
    if manifest.seal != seal {
        return Err(damaged(path, format!("seal {}", manifest.seal), format!("contents of seal {seal}")));
    }
    let are = |files: &[FileSeal], names: &[&str]| {
        files.iter().map(|file| file.path.as_str()).eq(names.iter().copied())
    };
    let is_whole = are(&manifest.plan.files, &[names::CHANGES, names::INSERTS, names::UPDATES])
        && are(&manifest.rendered, &[names::REVIEW, names::ROLLBACK]);
    if !is_whole || manifest.short != id[..12] || manifest.to_bytes() != bytes {
        return Err(damaged(path, "plan.json byte for byte as it was written", "other bytes"));
    }
    Ok(())
}

fn layout(facts: &Facts) -> Result<Layout, String> {
    let table = facts.table.to_table()?;
    let columns = convert::indices(&table, &facts.columns)?;
    let key = convert::indices(&table, &facts.key)?;
    Layout::new(table, columns, key).ok_or_else(|| "a key that is not among its columns".to_owned())
}

/// Compares a file with its seal; `None` when it is missing.
fn verify(dir: &Path, sealed: &FileSeal, seen: impl FnMut(&[u8])) -> Result<Option<()>, PlanError> {
    let is_below = Path::new(&sealed.path).components().all(|c| matches!(c, std::path::Component::Normal(_)));
    if !is_below {
        return Err(damaged(dir, "files inside the folder", format!("`{}`", sealed.path)).into());
    }
    if !dir.join(&sealed.path).exists() {
        return Ok(None);
    }
    let found = seal_of(dir, &sealed.path, seen)?;
    if found != *sealed {
        let show =
            |seal: &FileSeal| format!("{} of {} bytes, SHA-256 {}", seal.path, seal.bytes, seal.sha256);
        return Err(damaged(dir, show(sealed), show(&found)).into());
    }
    Ok(Some(()))
}

/// Where every so many lines begin.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    offsets: Vec<u64>,
    lines: u64,
    bytes: u64,
}

impl Index {
    /// Where the lines of block `n`, each of [`INDEX_LINES`] lines, begin.
    pub(crate) fn offset(&self, n: usize) -> Option<u64> {
        self.offsets.get(n).copied()
    }

    /// How many lines there are.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    pub(crate) fn see(&mut self, bytes: &[u8]) {
        if self.offsets.is_empty() && !bytes.is_empty() {
            self.offsets.push(0);
        }
        for at in memchr::memchr_iter(b'\n', bytes) {
            self.lines += 1;
            if self.lines.is_multiple_of(INDEX_LINES) {
                self.offsets.push(self.bytes + at as u64 + 1);
            }
        }
        self.bytes += bytes.len() as u64;
    }
}

/// The changes of a plan, read as they are asked for.
#[derive(Debug)]
pub struct Changes<'p> {
    plan: &'p PlanDir,
    file: BufReader<File>,
    line: Vec<u8>,
    next: u64,
}

impl Changes<'_> {
    fn read_line(&mut self) -> Result<(), PlanError> {
        self.line.clear();
        let read = self.file.read_until(b'\n', &mut self.line);
        read.map_err(|e| FileError::new("read", &self.plan.path.join(names::CHANGES), e))?;
        if self.line.pop() != Some(b'\n') {
            return Err(self.wrong("the file ends here".to_owned()));
        }
        Ok(())
    }

    fn wrong(&self, what: String) -> PlanError {
        PlanError::Line { file: names::CHANGES, line: self.next + 1, what }
    }
}

impl Iterator for Changes<'_> {
    type Item = Result<Change, PlanError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.plan.len() {
            return None;
        }
        let read = self.read_line();
        let parsed = read.and_then(|()| {
            parse_line(&self.plan.layout, self.next, &self.line).map_err(|what| self.wrong(what))
        });
        // After an error there is nothing that could be trusted.
        self.next = if parsed.is_ok() { self.next + 1 } else { self.plan.len() };
        Some(parsed)
    }
}
