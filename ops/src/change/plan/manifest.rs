//! `plan.json`: what a plan says of itself, as types of their own.
//!
//! A plan outlives the program that made it, so nothing here is shared with the types that the engine works
//! with: those may change, this may only gain a new [`FORMAT`]. Columns are named, never numbered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::sha256;
use crate::value::Kind;

use crate::target::schema::Origin;

/// Version of the plan directory that this build writes and the newest that it reads.
pub const FORMAT: u32 = 1;

/// The whole of `plan.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`] of the build that wrote it.
    pub format: u32,
    /// SHA-256 over the canonical JSON of `format` and `plan`: what is approved.
    pub id: String,
    /// The first 12 digits of `id`: what people type.
    pub short: String,
    /// SHA-256 over `id` and `rendered`. The files that name the id cannot be a part of it.
    pub seal: String,
    /// The facts.
    pub plan: Facts,
    /// `plan.md` and `rollback.sql`.
    pub rendered: Vec<FileSeal>,
}

impl Manifest {
    /// Closes the facts under an id; the rendered files come with [`Manifest::seal`].
    pub(super) fn identify(plan: Facts) -> Self {
        let id = Self::id_of(FORMAT, &plan);
        let short = id[..12].to_owned();
        Self { format: FORMAT, id, short, seal: String::new(), plan, rendered: Vec::new() }
    }

    /// Closes the rendered files under a second digest.
    pub(super) fn seal(&mut self, rendered: Vec<FileSeal>) {
        self.rendered = rendered;
        self.seal = self.expected_seal();
    }

    /// What `id` must be.
    pub(super) fn expected_id(&self) -> String {
        Self::id_of(self.format, &self.plan)
    }

    /// What `seal` must be.
    pub(super) fn expected_seal(&self) -> String {
        let sealed = (&self.id, &self.rendered);
        sha256(&serde_json::to_vec(&sealed).expect("names and digests are JSON"))
    }

    fn id_of(format: u32, plan: &Facts) -> String {
        sha256(&serde_json::to_vec(&(format, plan)).expect("facts are JSON"))
    }

    /// The bytes of the file; a file with other bytes was edited.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("facts are JSON");
        bytes.push(b'\n');
        bytes
    }
}

/// What the plan is about and what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// Version of the toolkit that made it.
    pub tool_version: String,
    /// When, RFC 3339 in UTC.
    pub created_at: String,
    /// Whether it deletes.
    pub kind: PlanKind,
    /// The plan that this one was selected from.
    pub derived_from: Option<Derived>,
    /// Which database.
    pub target: TargetFacts,
    /// What its driver promises.
    pub capabilities: CapabilityFacts,
    /// Which table, and how it looked.
    pub table: TableFacts,
    /// The columns by which rows are found.
    pub key: Vec<String>,
    /// The columns that change rows hold, in the table's order.
    pub columns: Vec<String>,
    /// The rows that were asked for.
    pub desired: InputFacts,
    /// How a column is compared, where that is not exactly.
    pub comparators: BTreeMap<String, String>,
    /// Columns of the input that the table does not have or that were left out on request.
    pub ignored_columns: Vec<String>,
    /// Columns of the table that no row of the input has; they stay as they are.
    pub columns_not_given: Vec<String>,
    /// Both sides in counts.
    pub counts: CountFacts,
    /// Keys of some rows that are only live, as people read them.
    pub only_live_sample: Vec<String>,
    /// Whether it can be applied, and what it reaches.
    pub state: State,
    /// How many rows deserve a look, by rule.
    pub risks: RiskFacts,
    /// The complete read that it rests on; `None` with `--no-backup`.
    pub backup: Option<BackupFacts>,
    /// The files with the changes, each by its digest.
    pub files: Vec<FileSeal>,
}

/// What a plan may do to rows that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanKind {
    /// Inserts and updates only.
    Upsert,
    /// Also deletes; needs an approval of its own.
    Delete,
}

impl PlanKind {
    /// The word in artifacts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upsert => "upsert",
            Self::Delete => "delete",
        }
    }

    /// The option with which a person approves such a plan.
    pub fn approval_option(self) -> &'static str {
        match self {
            Self::Upsert => "--approve",
            Self::Delete => "--approve-delete",
        }
    }
}

/// Where a selected plan comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Derived {
    /// Full id of the larger plan.
    pub id: String,
    /// By what its changes were chosen, in words.
    pub selection: Vec<String>,
    /// Insertions that were left out.
    pub left_out_insert: u64,
    /// Updates that were left out.
    pub left_out_update: u64,
    /// Deletions that were left out.
    pub left_out_delete: u64,
}

/// See [`crate::target::TargetIdentity`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetFacts {
    /// `sqlite`, `postgres` or `postgrest`.
    pub driver: String,
    /// The URL without secrets.
    pub url: String,
    /// 12 digits of what stays the same.
    pub fingerprint: String,
    /// Where the database comes from.
    pub lineage: Option<LineageFacts>,
}

/// See [`crate::db::Lineage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineageFacts {
    /// 16 hexadecimal digits.
    pub id: String,
    /// `seed`, `legacy`, `staging` or `production`.
    pub purpose: String,
    /// When it was stamped.
    pub stamped_at: String,
}

/// See [`crate::target::Capabilities`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapabilityFacts {
    /// A scan sees one moment.
    pub snapshot: bool,
    /// Rows and books change together.
    pub books_in_target: bool,
    /// A batch is one transaction.
    pub atomic_batches: bool,
    /// A whole rollback is one transaction.
    pub atomic_rollback: bool,
    /// Largest batch, in rows.
    pub batch_rows_max: u64,
    /// What it cannot do, in sentences.
    pub limits: Vec<String>,
}

/// See [`crate::target::schema::Table`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableFacts {
    /// Where the database has schemas.
    pub schema: Option<String>,
    /// The table's name.
    pub name: String,
    /// Digest of the schema, as [`crate::target::schema::Table::digest`] gives it.
    pub digest: String,
    /// All columns in order.
    pub columns: Vec<ColumnFacts>,
    /// The primary key.
    pub primary_key: Vec<String>,
    /// Other unique keys.
    pub unique: Vec<Vec<String>>,
    /// What a reader should know.
    pub notes: Vec<String>,
}

/// See [`crate::target::schema::Column`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnFacts {
    /// Its name.
    pub name: String,
    /// Its type as the database prints it.
    pub type_name: String,
    /// How its values are handled.
    pub kind: Kind,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// The default expression.
    pub default: Option<String>,
    /// Who gives it its value.
    pub origin: Origin,
}

/// The file with the desired rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputFacts {
    /// Its name without a folder: where it lay on one machine is nobody else's business.
    pub file: String,
    /// `json`, `ndjson`, `csv` or `tsv`, with the compression if there was one.
    pub format: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
    /// Rows in it.
    pub rows: u64,
}

/// See [`crate::change::Counts`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountFacts {
    /// Rows in the input.
    pub desired: u64,
    /// Rows in the table.
    pub live: u64,
    /// Insertions in this plan.
    pub insert: u64,
    /// Updates in this plan.
    pub update: u64,
    /// Deletions in this plan.
    pub delete: u64,
    /// Equal on both sides.
    pub unchanged: u64,
    /// Only live and left alone.
    pub only_live: u64,
    /// Cells that the updates of this plan change, by column.
    pub cells_changed: BTreeMap<String, u64>,
    /// Differences that a comparator took for none, by column.
    pub suppressed: BTreeMap<String, u64>,
}

/// Whether a plan can be applied, and what that reaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// It may be applied, once approved.
    pub applyable: bool,
    /// Applying all of it makes the table hold every desired row.
    pub complete: bool,
    /// Planning met errors; it is for looking only.
    pub errored: bool,
    /// Why one of these is not as one would wish.
    pub reasons: Vec<String>,
}

/// Rows that deserve a look.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskFacts {
    /// Rows that at least one rule found.
    pub rows: u64,
    /// Rows by rule; a row counts under every rule that found it.
    pub by_rule: BTreeMap<String, u64>,
}

/// The certificate of the complete read, and the files that hold what was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupFacts {
    /// Rows that were read and are in the backup.
    pub rows: u64,
    /// Different keys among them.
    pub distinct_keys: u64,
    /// What the target counted before reading.
    pub count_before: u64,
    /// What the target counted after reading.
    pub count_after: u64,
    /// Requests or statements that it took.
    pub pages: u64,
    /// Whether all of it is one snapshot.
    pub snapshot: bool,
    /// Digest over all rows.
    pub digest: String,
    /// When reading began, RFC 3339 in UTC.
    pub started_at: String,
    /// When it ended.
    pub finished_at: String,
    /// The files below `backup/`.
    pub files: Vec<FileSeal>,
}

/// A file of the plan by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSeal {
    /// Its path in the plan directory, with `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its digest.
    pub sha256: String,
}
