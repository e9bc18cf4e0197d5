//! The plan of a backfill as a sealed folder: `plan.json`, the frozen list `candidates.ndjson`, and `plan.md`.
//!
//! What is approved is the id, the SHA-256 of the facts, and the facts hold the digest of the list. Nothing in the
//! folder is changed by a run; runs write beside it. Reading a plan proves that it is what was written.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::settings::{ResultTable, Step};
use crate::change::plan::{FileSeal, SealedWriter, seal_of};
use crate::files::{self, FileError};
use crate::guard::Refusal;
use crate::ids::sha256;
use crate::target::{ScanProof, TargetIdentity};
use crate::text::one_line;
use crate::value::{Kind, Value, parse_json, write_json};

/// Version of the folder that this build writes and reads.
pub const FORMAT: u32 = 1;

/// The sealed facts.
pub const PLAN: &str = "plan.json";
/// The frozen list.
pub const CANDIDATES: &str = "candidates.ndjson";
/// What a person reviews.
pub const REVIEW: &str = "plan.md";

/// The whole of `plan.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// SHA-256 over the facts: what is approved.
    pub id: String,
    /// The first 12 digits of `id`: what people type.
    pub short: String,
    /// The facts.
    pub plan: Facts,
}

/// What a plan says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// When it was made.
    pub created_at: String,
    /// Version of the toolkit.
    pub tool: String,
    /// The section of `ops.toml`.
    pub name: String,
    /// Which files it was made from.
    pub sources: Vec<Source>,
    /// `staging`, `production`, …, where the plan says so.
    pub environment: Option<String>,
    /// The database.
    pub target: TargetIdentity,
    /// Where functions are called, without secrets.
    pub functions: Option<String>,
    /// The table of the candidates.
    pub table: String,
    /// Its column that names them, and how its values are handled.
    pub id: IdColumn,
    /// What a candidate satisfies, in words.
    pub conditions: Vec<String>,
    /// The columns of the order; the id comes last.
    pub order: Vec<String>,
    /// Name of the id in the body of a call.
    pub parameter: String,
    /// The tables that may be touched.
    pub results: Vec<Touched>,
    /// Who gets which steps.
    pub batches: Vec<Batch>,
    /// Candidates a minute at most.
    pub per_minute: u32,
    /// Calls a minute at most.
    pub calls_per_minute: Option<u32>,
    /// Longest wait for one call.
    pub timeout_seconds: u64,
    /// Calls of one step, repetitions included.
    pub tries_max: u32,
    /// Failed candidates at which a run halts.
    pub errors_max: u64,
    /// Proof that the tables were read completely.
    pub reads: Vec<Read>,
    /// Rows that satisfy the conditions.
    pub examined: u64,
    /// How many of them have every result already.
    pub current: u64,
    /// How many candidates the list has, each once.
    pub candidates: u64,
    /// What will change, by table.
    pub expected: Vec<Expected>,
    /// What the plan file promised, by table.
    pub promised: Vec<Promised>,
    /// The shortest time that the rate allows, in seconds.
    pub runtime_seconds: u64,
    /// What a person should know.
    pub notes: Vec<String>,
    /// The list.
    pub list: FileSeal,
}

/// A file that a plan was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub file: String,
    /// Its digest.
    pub sha256: String,
}

/// The column that names candidates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdColumn {
    /// Its name.
    pub column: String,
    /// How its values are handled.
    pub kind: Kind,
}

/// A table that may be touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// As settings describe it.
    #[serde(flatten)]
    pub result: ResultTable,
    /// The key by which the target finds its rows: that of the settings, or the primary key.
    pub row_key: Vec<String>,
    /// Digest of its columns and keys.
    pub schema: String,
}

/// Candidates that get the same steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// Its name.
    pub batch_id: String,
    /// What it is for.
    pub description: String,
    /// How many candidates.
    pub count: u64,
    /// What is done to each, in order.
    pub steps: Vec<Step>,
}

/// A table that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Its name.
    pub table: String,
    /// That it was read completely.
    pub proof: ScanProof,
}

/// What will change in a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// Its name.
    pub table: String,
    /// Rows that will be new.
    pub new: u64,
    /// Rows that will be overwritten.
    pub updated: u64,
}

/// What a plan file promised of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promised {
    /// Its name.
    pub table: String,
    /// Rows that would be new.
    pub new: u64,
    /// Rows that would be overwritten, where it says so.
    pub updated: Option<u64>,
}

/// What a candidate has of one result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Has {
    /// No row.
    Missing,
    /// Rows, none of which is current.
    Other,
    /// A current row.
    Current,
}

/// What a step would do to a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing: the result is current.
    Nothing,
    /// Nothing: there is a row, and the step is for those without.
    Kept,
    /// Nothing, because there is no row whose columns it could set, unless another step makes one.
    Nowhere,
    /// A new row.
    New,
    /// A row that is there is overwritten.
    Updated,
}

impl Touched {
    /// What a step that writes this table would do.
    pub fn effect(&self, step: &Step, has: Has) -> Effect {
        let tells_versions_apart =
            self.result.key.iter().any(|column| self.result.stamp.contains_key(column));
        match has {
            Has::Current => Effect::Nothing,
            Has::Other if step.if_missing => Effect::Kept,
            Has::Other if tells_versions_apart && step.set.is_empty() => Effect::New,
            Has::Other => Effect::Updated,
            Has::Missing if step.set.is_empty() => Effect::New,
            Has::Missing => Effect::Nowhere,
        }
    }
}

impl Facts {
    /// Which of the tables a step writes.
    pub fn written_by(&self, step: &Step) -> usize {
        let named = |writes: &String| self.results.iter().position(|touched| touched.result.table == *writes);
        step.writes.as_ref().and_then(named).unwrap_or(0)
    }

    /// What the steps of `batch` would do to a candidate, in order, each with its table.
    pub fn effects<'f>(&'f self, batch: usize, has: &'f [Has]) -> impl Iterator<Item = (usize, Effect)> + 'f {
        self.batches[batch].steps.iter().map(|step| {
            let table = self.written_by(step);
            (table, self.results[table].effect(step, has[table]))
        })
    }

    /// Adds what a candidate will change to what is expected: a table that two steps write in one way changes once.
    pub(super) fn expect(&mut self, batch: usize, has: &[Has]) {
        let effects: std::collections::BTreeSet<_> = self.effects(batch, has).collect();
        for (table, effect) in effects {
            match effect {
                Effect::New => self.expected[table].new += 1,
                Effect::Updated => self.expected[table].updated += 1,
                Effect::Nothing | Effect::Kept | Effect::Nowhere => {}
            }
        }
    }

    /// Whether a person must name the database by its lineage.
    pub fn is_production(&self) -> bool {
        self.target.lineage.as_ref().is_some_and(|lineage| lineage.purpose == "production")
    }
}

/// The shortest time that a rate allows for so many candidates, in whole seconds.
pub(super) fn runtime_seconds(candidates: u64, per_minute: u32) -> u64 {
    candidates.saturating_sub(1).saturating_mul(60).div_ceil(u64::from(per_minute).max(1))
}

/// One candidate of the list.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its place in the list, from 0.
    pub n: u64,
    /// Which of the batches.
    pub batch: usize,
    /// What names it.
    pub id: Value,
    /// What it had when the plan was made, by table.
    pub has: Vec<Has>,
}

#[derive(Serialize, Deserialize)]
struct Line<'l> {
    n: u64,
    batch: usize,
    #[serde(borrow)]
    id: &'l RawValue,
    has: Vec<Has>,
}

impl Candidate {
    pub(super) fn line(&self) -> Vec<u8> {
        let mut id = Vec::new();
        write_json(self.id.as_ref(), &mut id);
        let id = String::from_utf8(id).expect("JSON is UTF-8");
        let mut line =
            format!("{{\"n\":{},\"batch\":{},\"id\":{id},\"has\":", self.n, self.batch).into_bytes();
        serde_json::to_writer(&mut line, &self.has).expect("words are JSON");
        line.extend_from_slice(b"}\n");
        line
    }

    fn parse(line: &str, kind: Kind) -> Option<Self> {
        let Line { n, batch, id, has } = serde_json::from_str(line).ok()?;
        Some(Self { n, batch, id: parse_json(id.get(), kind).ok()?, has })
    }

    /// Its id as people read it.
    pub fn name(&self) -> String {
        name_of(&self.id)
    }
}

/// A value as people read it.
pub(super) fn name_of(value: &Value) -> String {
    match value {
        Value::Text(text) | Value::Number(text) | Value::Json(text) => one_line(text),
        other => {
            let mut json = Vec::new();
            write_json(other.as_ref(), &mut json);
            String::from_utf8(json).expect("JSON is UTF-8")
        }
    }
}

/// A plan whose seal was checked.
#[derive(Debug, Clone)]
pub struct BackfillDir {
    path: PathBuf,
    plan: Plan,
}

impl BackfillDir {
    /// Opens a plan and reads all of it; anything that is not what was sealed is refused.
    pub fn open(path: &Path) -> Result<Self, super::BackfillError> {
        let text = files::read_text(&path.join(PLAN))?;
        let edited = |what: &str, found: String| {
            Refusal::new(format!("the plan in `{}` is not what was made", path.display()), what, found)
                .next("make the plan again; an approval is of one plan")
        };
        let plan: Plan = serde_json::from_str(&text)
            .map_err(|e| edited("a plan of a backfill", format!("{PLAN} line {}", e.line())))?;
        let id = id_of(&plan.plan);
        if plan.format != FORMAT || plan.id != id || plan.short != id[..12] {
            return Err(edited("facts of the id that it bears", format!("plan {}", &id[..12])).into());
        }
        let sealed = seal_of(path, CANDIDATES, |_| ())?;
        if sealed != plan.plan.list {
            return Err(
                edited("the list that was frozen", format!("{CANDIDATES} with other contents")).into()
            );
        }
        Ok(Self { path: path.to_path_buf(), plan })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `plan.json`.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the plan says.
    pub fn facts(&self) -> &Facts {
        &self.plan.plan
    }

    /// What a person reads before approving.
    pub fn review(&self) -> crate::report::Document {
        super::report::review(&self.plan)
    }

    /// The list, from its beginning.
    pub fn candidates(&self) -> Result<Candidates, FileError> {
        let path = self.path.join(CANDIDATES);
        let file = File::open(&path).map_err(|e| FileError::new("open", &path, e))?;
        let reader = BufReader::with_capacity(1 << 16, file);
        Ok(Candidates { path, reader, line: String::new(), kind: self.facts().id.kind, end: 0 })
    }

    /// Candidates by where they are in the list, in any order.
    pub(super) fn places(&self) -> Result<Places, FileError> {
        let path = self.path.join(CANDIDATES);
        let file = File::open(&path).map_err(|e| FileError::new("open", &path, e))?;
        Ok(Places { path, file, kind: self.facts().id.kind })
    }
}

fn id_of(facts: &Facts) -> String {
    sha256(&serde_json::to_vec(&(FORMAT, facts)).expect("texts and numbers are JSON"))
}

/// The list, one candidate at a time.
#[derive(Debug)]
pub struct Candidates {
    path: PathBuf,
    reader: BufReader<File>,
    line: String,
    kind: Kind,
    /// Where the last line ended.
    end: u64,
}

fn strange() -> Refusal {
    Refusal::new("the list of candidates cannot be read", "candidates", "another line")
}

/// The list, by place.
#[derive(Debug)]
pub(super) struct Places {
    path: PathBuf,
    file: File,
    kind: Kind,
}

impl Places {
    /// The candidate whose line goes `from` one byte `to` another.
    pub(super) fn read(&self, from: u64, to: u64) -> Result<Candidate, super::BackfillError> {
        let mut line = vec![0; usize::try_from(to - from).unwrap_or(0)];
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(from)).and_then(|_| file.read_exact(&mut line));
        read.map_err(|e| FileError::new("read", &self.path, e))?;
        let line = std::str::from_utf8(&line).ok();
        Ok(line.and_then(|line| Candidate::parse(line, self.kind)).ok_or_else(strange)?)
    }
}

impl Candidates {
    /// Where the last candidate that was taken ends, in bytes.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The next candidate.
    pub fn take_next(&mut self) -> Result<Option<Candidate>, super::BackfillError> {
        self.line.clear();
        let failed = |e| FileError::new("read", &self.path, e);
        if self.reader.read_line(&mut self.line).map_err(failed)? == 0 {
            return Ok(None);
        }
        self.end += self.line.len() as u64;
        Ok(Some(Candidate::parse(&self.line, self.kind).ok_or_else(strange)?))
    }
}

/// A list that is being written, in a folder without its name.
pub(super) struct Draft {
    dir: tempfile::TempDir,
    out: PathBuf,
    list: SealedWriter,
}

impl Draft {
    /// Begins a plan below `out`.
    pub(super) fn create(out: &Path) -> Result<Self, FileError> {
        files::create_dir(out)?;
        let dir = tempfile::Builder::new().prefix("backfill-").suffix(".partial").tempdir_in(out);
        let dir = dir.map_err(|e| FileError::new("create a folder in", out, e))?;
        let list = SealedWriter::create(dir.path(), CANDIDATES)?;
        Ok(Self { dir, out: out.to_path_buf(), list })
    }

    /// Where sorting may put files.
    pub(super) fn scratch(&self) -> &Path {
        self.dir.path()
    }

    pub(super) fn push(&mut self, candidate: &Candidate) -> Result<(), FileError> {
        self.list.write(&candidate.line())
    }

    /// Seals the facts with the list, and gives the folder its name.
    pub(super) fn finish(self, mut facts: Facts) -> Result<BackfillDir, FileError> {
        facts.list = self.list.finish()?;
        let id = id_of(&facts);
        let plan = Plan { format: FORMAT, short: id[..12].to_owned(), id, plan: facts };
        let json = serde_json::to_string_pretty(&plan).expect("texts and numbers are JSON") + "\n";
        files::write_atomic(&self.dir.path().join(PLAN), json.as_bytes())?;
        let review = super::report::review(&plan).markdown();
        files::write_atomic(&self.dir.path().join(REVIEW), review.as_bytes())?;
        let path = self.out.join(format!("backfill-{}", plan.short));
        let from = self.dir.keep();
        files::rename(&from, &path)?;
        Ok(BackfillDir { path, plan })
    }
}
