//! `analyze estimate`: what a task is predicted to write, term by term.

use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use ops::db::sqlite::{self, PhaseTask};
use ops::guard::Refusal;
use ops::tokens::canonical::Complexity;
use ops::tokens::estimator::{EstimateInput, Explanation, Features, FileFeatures, path_of};

use super::super::database::only_sqlite;
use super::settings_of;
use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;

/// Larger files are not read; they count as long ones.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Explain a prediction and its ceiling, term by term
///
/// Of a phase of a database, or of a task described by its deliverables. The coefficients are those of ops.toml.
#[derive(Debug, clap::Args)]
pub(super) struct EstimateArgs {
    /// A phase of the database
    #[arg(value_name = "PHASE", conflicts_with_all = ["deliverables", "category", "complexity", "scope_paths"])]
    phase: Option<String>,
    /// The database: a path or sqlite:///path
    #[arg(long, value_name = "URL", requires = "phase")]
    db: Option<String>,
    /// The run of the phase, where several runs have one of this name
    #[arg(long, value_name = "ID", requires = "phase")]
    run_id: Option<String>,
    /// What is to be written: a path or a sentence around one; repeat for more
    #[arg(long = "deliverable", value_name = "TEXT")]
    deliverables: Vec<String>,
    /// The category, in any spelling
    #[arg(long, value_name = "WORD", default_value = "implementation")]
    category: String,
    /// The complexity, in any spelling
    #[arg(long, value_name = "WORD", default_value = "medium", value_parser = |word: &str| Complexity::parse(word).ok_or("not a complexity: low, medium, high or maintenance"))]
    complexity: Complexity,
    /// How many paths the task is given as context
    #[arg(long, value_name = "N", default_value_t = 0)]
    scope_paths: usize,
    /// Look here whether the deliverables exist, and how large they are
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// The settings [default: ops.toml, or the shipped ones]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EstimateArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let config = settings_of(args.config.as_deref(), settings)?;
    let task = match &args.phase {
        Some(phase) => Some(find(args, phase, settings)?),
        None => None,
    };
    let (subject, deliverables, category, complexity, scope_paths) = match &task {
        Some(task) => {
            let scope = task
                .scope
                .as_ref()
                .map_err(|why| anyhow::anyhow!("the scope of {} cannot be read: {why}", task.key))?;
            let complexity = Complexity::or_medium(&task.complexity).0;
            (task.key.to_string(), &scope.deliverables, &task.category, complexity, scope.paths.len())
        }
        None => (
            args.deliverables.join(", "),
            &args.deliverables,
            &args.category,
            args.complexity,
            args.scope_paths,
        ),
    };
    let files = match &args.workspace {
        Some(folder) => files(&settings.cwd.join(folder), deliverables)?,
        None => Vec::new(),
    };
    let features = Features::of(&EstimateInput {
        deliverables,
        files: &files,
        category,
        complexity,
        scope_path_count: scope_paths,
    });
    let explanation = Explanation::new(&config.estimator.coefficients, features);
    output.document(&explanation.document(&subject, &config.origin));
    output.json(&explanation)?;
    Ok(Code::Done)
}

/// The one phase of this name.
fn find(args: &EstimateArgs, phase: &str, settings: &Settings) -> anyhow::Result<PhaseTask> {
    let url = only_sqlite(settings.database(args.db.as_deref())?)?;
    let mut tasks = sqlite::find_phases(url.path(), &settings.scratch, phase, args.run_id.as_deref())?;
    match tasks.len() {
        1 => Ok(tasks.swap_remove(0)),
        0 => {
            Err(Refusal::new("there is no such phase", "a phase of the database", format!("`{phase}`"))
                .into())
        }
        _ => {
            let runs: Vec<&str> = tasks.iter().take(5).map(|t| t.key.run_id.as_str()).collect();
            let found = format!("{} runs have one: {}", tasks.len(), runs.join(", "));
            let refusal =
                Refusal::new(format!("which phase `{phase}` is meant is not known"), "one phase", found);
            Err(refusal.next("--run-id ID names its run").into())
        }
    }
}

/// The files behind the deliverables that exist in a folder. A path that leads out of it is no file of it.
fn files(folder: &Path, deliverables: &[String]) -> anyhow::Result<Vec<Option<FileFeatures>>> {
    let of = |text: &String| -> anyhow::Result<Option<FileFeatures>> {
        let Some(path) = path_of(text).map(Path::new) else { return Ok(None) };
        if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            return Ok(None);
        }
        let path = folder.join(path);
        let Ok(about) = path.metadata() else { return Ok(None) };
        if !about.is_file() {
            return Ok(None);
        }
        if about.len() > FILE_BYTES_MAX {
            return Ok(Some(FileFeatures { lines: u64::MAX, imports: 0, max_indent: 0 }));
        }
        let bytes = std::fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        Ok(Some(FileFeatures::of(&String::from_utf8_lossy(&bytes))))
    };
    deliverables.iter().map(of).collect()
}
