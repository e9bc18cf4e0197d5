//! Writing a plan: into a folder that nobody takes for a plan, which gets its name when all of it is on disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::dir::{Index, PlanDir};
use super::layout::{Layout, Op, changed};
use super::line::write_line;
use super::manifest::{
    BackupFacts, CountFacts, Derived, Facts, FileSeal, InputFacts, Manifest, PlanKind, State,
};
use super::seal::SealedWriter;
use super::survey::Survey;
use super::{PlanError, convert, names, review, sheet};
use crate::change::Counts;
use crate::change::sql::{self, About, Undone};
use crate::clock::Stamp;
use crate::files::{self, FileError};
use crate::guard::Refusal;
use crate::target::schema::Table;
use crate::target::{Capabilities, Change, TargetIdentity};
use crate::value::order_key;

/// A plan that has no changes yet. Dropping it removes what was written.
#[derive(Debug)]
pub struct PlanDraft {
    dir: TempDir,
    out: PathBuf,
}

/// What a plan is about.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Which database.
    pub target: TargetIdentity,
    /// What its driver promises.
    pub capabilities: Capabilities,
    /// The table as read before the snapshot.
    pub table: Table,
    /// The columns by which rows are found, as indices.
    pub key: Vec<usize>,
    /// The columns that rows of changes hold, as indices.
    pub columns: Vec<usize>,
}

/// What planning found, besides the changes.
#[derive(Debug, Clone)]
pub struct Findings {
    /// The time to write into the plan.
    pub created_at: Stamp,
    /// Version of the toolkit.
    pub tool_version: String,
    /// The rows that were asked for.
    pub desired: InputFacts,
    /// How a column is compared, where that is not exactly.
    pub comparators: BTreeMap<String, String>,
    /// Columns of the input that were not taken.
    pub ignored_columns: Vec<String>,
    /// Columns of the table that the input does not have.
    pub columns_not_given: Vec<String>,
    /// Both sides in counts. For a derived plan those of the larger plan; what was chosen is counted here.
    pub counts: Counts,
    /// Keys of some rows that are only live, as [`super::key_text`] shows them.
    pub only_live: Vec<String>,
    /// The complete read and its files below [`PlanDraft::backup_dir`]; `None` with `--no-backup`.
    pub backup: Option<BackupFacts>,
    /// Why applying will not make the table hold every desired row.
    pub incomplete: Vec<String>,
    /// What went wrong while planning; with any of these the plan is for looking only.
    pub errors: Vec<String>,
    /// The larger plan, for a plan that was selected from one.
    pub derived_from: Option<Derived>,
}

impl PlanDraft {
    /// A draft in the folder `out`, which is made when missing. The plan holds a copy of the table, so only its owner
    /// can enter it.
    pub fn create(out: &Path) -> Result<Self, PlanError> {
        files::create_dir(out)?;
        let dir = tempfile::Builder::new().prefix("plan-").suffix(".partial").tempdir_in(out);
        let dir = dir.map_err(|e| FileError::new("create a folder in", out, e))?;
        Ok(Self { dir, out: out.to_path_buf() })
    }

    /// Where the backup is written, before any change; not made yet.
    pub fn backup_dir(&self) -> PathBuf {
        self.dir.path().join(names::BACKUP)
    }

    /// Where a file with this path in the plan is written.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Goes on to the changes.
    pub fn begin(self, subject: Subject) -> Result<PlanWriter, PlanError> {
        let Subject { target, capabilities, table, key, columns } = subject;
        let layout = Layout::new(table, columns, key)
            .ok_or_else(|| PlanError::Invalid("a column of the key is not among those of the rows".into()))?;
        let create = |name| SealedWriter::create(self.dir.path(), name);
        let mut writer = PlanWriter {
            changes: create(names::CHANGES)?,
            inserts: create(names::INSERTS)?,
            updates: create(names::UPDATES)?,
            draft: self,
            target,
            capabilities,
            survey: Survey::new(&layout),
            layout,
            index: Index::default(),
            tally: CountFacts::default(),
            last_key: Vec::new(),
            buffer: Vec::new(),
        };
        writer.headers()?;
        Ok(writer)
    }
}

/// Takes the changes of a plan in the order of their keys.
#[derive(Debug)]
pub struct PlanWriter {
    draft: PlanDraft,
    target: TargetIdentity,
    capabilities: Capabilities,
    layout: Layout,
    changes: SealedWriter,
    inserts: SealedWriter,
    updates: SealedWriter,
    index: Index,
    survey: Survey,
    tally: CountFacts,
    last_key: Vec<u8>,
    buffer: Vec<u8>,
}

impl PlanWriter {
    fn headers(&mut self) -> Result<(), FileError> {
        sheet::insert_header(&self.layout, &mut self.buffer);
        self.inserts.write(&self.buffer)?;
        self.buffer.clear();
        sheet::update_header(&self.layout, &mut self.buffer);
        self.updates.write(&self.buffer)
    }

    /// Adds the next change. A row that is not whole, or a key that does not follow the one before, is a defect of
    /// the caller.
    pub fn push(&mut self, change: &Change) -> Result<(), PlanError> {
        self.check(change)?;
        let n = self.tally.insert + self.tally.update + self.tally.delete;
        self.buffer.clear();
        write_line(&self.layout, n, change, &mut self.buffer);
        self.changes.write(&self.buffer)?;
        self.index.see(&self.buffer);
        self.survey.see(n, change);
        self.buffer.clear();
        match change {
            Change::Insert { .. } => {
                self.tally.insert += 1;
                sheet::insert_line(change, &mut self.buffer);
                self.inserts.write(&self.buffer)?;
            }
            Change::Update { before, after } => {
                self.tally.update += 1;
                for at in changed(before, after) {
                    let name = &self.layout.column(at).name;
                    match self.tally.cells_changed.get_mut(name) {
                        Some(cells) => *cells += 1,
                        None => _ = self.tally.cells_changed.insert(name.clone(), 1),
                    }
                }
                sheet::update_line(&self.layout, change, &mut self.buffer);
                self.updates.write(&self.buffer)?;
            }
            Change::Delete { .. } => self.tally.delete += 1,
        }
        Ok(())
    }

    fn check(&mut self, change: &Change) -> Result<(), PlanError> {
        let width = self.layout.width();
        let is_whole = match change {
            Change::Insert { after } => after.len() == width,
            Change::Update { before, after } => before.len() == width && after.len() == width,
            Change::Delete { before } => before.len() == width,
        };
        let invalid = |what: &str| Err(PlanError::Invalid(what.to_owned()));
        if !is_whole {
            return invalid("a row has another number of columns");
        }
        if let Change::Update { before, after } = change {
            let mut places = changed(before, after).peekable();
            if places.peek().is_none() {
                return invalid("an update changes nothing");
            }
            if places.any(|at| self.layout.key_at().contains(&at)) {
                return invalid("an update changes its key");
            }
        }
        let key = self.layout.key_of(change);
        if key.iter().any(crate::value::Value::is_null) {
            return invalid("a key has no value");
        }
        self.buffer.clear();
        order_key(&key, &mut self.buffer);
        if self.buffer <= self.last_key {
            return invalid("the keys are not in order, or one stands twice");
        }
        std::mem::swap(&mut self.buffer, &mut self.last_key);
        Ok(())
    }

    /// Closes the plan under its id and gives the folder its name. A folder of that name is never replaced.
    pub fn finish(self, findings: Findings) -> Result<PlanDir, PlanError> {
        let counts = counts(self.tally, &findings)?;
        let state = state(&findings);
        let kind = if counts.delete > 0 { PlanKind::Delete } else { PlanKind::Upsert };
        let files = vec![self.changes.finish()?, self.inserts.finish()?, self.updates.finish()?];
        let manifest = Manifest::identify(Facts {
            tool_version: findings.tool_version,
            created_at: findings.created_at.iso(),
            kind,
            derived_from: findings.derived_from,
            target: (&self.target).into(),
            capabilities: (&self.capabilities).into(),
            table: (&self.layout.table).into(),
            key: convert::names(&self.layout.table, &self.layout.key),
            columns: convert::names(&self.layout.table, &self.layout.columns),
            desired: findings.desired,
            comparators: findings.comparators,
            ignored_columns: findings.ignored_columns,
            columns_not_given: findings.columns_not_given,
            counts,
            only_live_sample: findings.only_live,
            state,
            risks: self.survey.facts.clone(),
            backup: findings.backup,
            files,
        });
        let plan = PlanDir::unsealed(self.draft.dir.path(), manifest, self.layout, self.index);
        publish(plan, &self.survey, self.draft)
    }
}

/// What was written, held against what the planner counted: both sides must add up.
fn counts(written: CountFacts, findings: &Findings) -> Result<CountFacts, PlanError> {
    let counted = CountFacts::from(&findings.counts);
    let mut counts = counted.clone();
    counts.insert = written.insert;
    counts.update = written.update;
    counts.delete = written.delete;
    counts.cells_changed = written.cells_changed;
    let (insert, update, delete) = findings
        .derived_from
        .as_ref()
        .map_or((0, 0, 0), |d| (d.left_out_insert, d.left_out_update, d.left_out_delete));
    let is_balanced = counts.desired == counts.insert + counts.update + counts.unchanged + insert + update
        && counts.live
            == counts.update + counts.unchanged + counts.delete + counts.only_live + update + delete;
    if !is_balanced || (findings.derived_from.is_none() && counts != counted) {
        return Err(PlanError::Invalid(format!("{counted:?} was counted and {counts:?} written")));
    }
    Ok(counts)
}

fn state(findings: &Findings) -> State {
    let mut reasons = findings.errors.clone();
    if findings.backup.is_none() {
        reasons.push("it was made without a backup, so there would be no way back".to_owned());
    }
    reasons.extend(findings.incomplete.iter().cloned());
    State {
        applyable: findings.errors.is_empty() && findings.backup.is_some(),
        complete: findings.errors.is_empty() && findings.incomplete.is_empty(),
        errored: !findings.errors.is_empty(),
        reasons,
    }
}

/// Writes the rendered files and `plan.json`, flushes everything, and renames the folder.
fn publish(mut plan: PlanDir, survey: &Survey, draft: PlanDraft) -> Result<PlanDir, PlanError> {
    let dir = draft.dir.path();
    let to = draft.out.join(format!("plan-{}", plan.short()));
    if to.exists() {
        let what = format!("a plan with the id {} is there already", plan.short());
        return Err(Refusal::new(what, "a folder that does not exist", to.display().to_string())
            .next("use it, or move it away")
            .into());
    }
    let review = review::document(plan.manifest(), plan.layout(), survey).markdown();
    let review = write(dir, names::REVIEW, review.as_bytes())?;
    let rollback = write_rollback(&plan, dir)?;
    plan.seal(vec![review, rollback]);
    write(dir, names::PLAN, &plan.manifest().to_bytes())?;
    for sealed in plan.facts().backup.iter().flat_map(|backup| &backup.files) {
        let path = dir.join(&sealed.path);
        let synced = File::open(&path).and_then(|file| file.sync_all());
        synced.map_err(|e| FileError::new("flush", &path, e))?;
        files::sync_parent(&path)?;
    }
    files::sync_parent(&dir.join(names::PLAN))?;
    files::rename(dir, &to)?;
    let _ = draft.dir.keep();
    plan.moved(to);
    Ok(plan)
}

fn write(dir: &Path, name: &'static str, bytes: &[u8]) -> Result<FileSeal, FileError> {
    let mut file = SealedWriter::create(dir, name)?;
    file.write(bytes)?;
    file.finish()
}

/// What stored rows look like is not known before a run; a run writes a script of its own.
fn write_rollback(plan: &PlanDir, dir: &Path) -> Result<FileSeal, PlanError> {
    let counts = &plan.facts().counts;
    let counts = Undone { insert: counts.insert, update: counts.update, delete: counts.delete };
    let target = plan.target();
    let about = About {
        plan: plan.id(),
        created_at: &plan.facts().created_at,
        target: &target,
        what: "It takes back the whole plan. After a run, apply/rollback.sql knows what was really stored.",
        is_for_clone: false,
    };
    let mut file = SealedWriter::create(dir, names::ROLLBACK)?;
    let changes = plan.changes()?.map(|change| change.map(|change| (change, None)));
    sql::rollback(&about, plan.layout(), counts, changes, &mut |piece| Ok(file.write(piece)?))?;
    Ok(file.finish()?)
}

impl Op {
    /// How many changes of this kind a plan holds.
    pub fn count(self, counts: &CountFacts) -> u64 {
        match self {
            Self::Insert => counts.insert,
            Self::Update => counts.update,
            Self::Delete => counts.delete,
        }
    }
}
