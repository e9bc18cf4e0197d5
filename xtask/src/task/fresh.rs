//! Making a seed database so that it appears at its path only when it is complete.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use ops::db::Lineage;
use ops::db::sqlite::{self, MigrateOptions, SqliteStore};
use ops::files::{self, FileError};
use ops::guard::Refusal;
use ops::phases::NewRun;

use super::db_identity::VERSION;
use super::seed_telemetry;
use crate::settings::Settings;

/// What was made.
#[derive(Debug)]
pub(super) struct Made {
    /// How many migrations were applied.
    pub(super) migrations: u64,
    /// How it was stamped.
    pub(super) lineage: Lineage,
    /// Where the file that was there before is now.
    pub(super) moved_aside: Option<PathBuf>,
}

/// Makes the database at `path`. An existing file is refused, or moved aside with `replace`.
pub(super) fn make(path: &Path, run: &NewRun, replace: bool, settings: &Settings) -> anyhow::Result<Made> {
    if !replace {
        require_free(path)?;
    }
    let parent = path.parent().context("the path has no directory")?;
    files::create_dir(parent)?;
    let mut ids = settings.ids();
    let name = path.file_name().context("the path has no file name")?.to_string_lossy();
    let partial = parent.join(format!(".{name}.{}.partial", ids.hex("partial", 4)));
    let built = build(&partial, run, ids.hex("lineage", 8), settings).and_then(|(migrations, lineage)| {
        let moved_aside = if replace { move_aside(path, settings)? } else { None };
        publish(&partial, path)?;
        Ok(Made { migrations, lineage, moved_aside })
    });
    if built.is_err() {
        for suffix in SUFFIXES {
            let _ = fs::remove_file(beside(&partial, suffix));
        }
    }
    built
}

/// A database file and what SQLite may keep beside it.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

fn require_free(path: &Path) -> Result<(), Refusal> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let found = format!("`{}`", path.display());
    Err(Refusal::new(
        "there is something at this path already; it is never deleted",
        "a path that is free",
        found,
    )
    .next("--fresh moves the file aside and starts anew")
    .next("--top-up seeds only what is lacking"))
}

fn build(
    partial: &Path,
    run: &NewRun,
    lineage_id: String,
    settings: &Settings,
) -> anyhow::Result<(u64, Lineage)> {
    sqlite::create(partial)?;
    let options = MigrateOptions {
        backup_dir: settings.scratch.clone(),
        clock: settings.clock,
        busy_timeout: Duration::from_secs(5),
        tool_version: VERSION,
    };
    let outcome = sqlite::migrate(partial, &options, &mut |_| {})?;
    let lineage =
        Lineage { id: lineage_id, purpose: "seed".to_owned(), stamped_at: settings.clock.now().iso() };
    sqlite::write_lineage(partial, &lineage, VERSION)?;
    let mut store = SqliteStore::open(partial)?;
    seed_telemetry::insert(&mut store, run, settings.clock)?;
    Ok((outcome.applied.len() as u64, lineage))
}

/// Renames an existing file to `<name>.<time>.aside`, once nothing is kept beside it any more.
fn move_aside(path: &Path, settings: &Settings) -> anyhow::Result<Option<PathBuf>> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(None) };
    if metadata.is_dir() {
        let found = format!("`{}` is a directory", path.display());
        return Err(Refusal::new("only a file can be moved aside", "a database file", found).into());
    }
    if !sqlite::settle(path) {
        let found =
            format!("another process uses `{}`, or its journal could not be folded in", path.display());
        return Err(
            Refusal::new("a database in use cannot be moved aside", "a file nobody uses", found).into()
        );
    }
    let stamp = settings.clock.now().compact();
    let free = |n: u32| {
        let suffix = if n == 1 { format!(".{stamp}.aside") } else { format!(".{stamp}-{n}.aside") };
        beside(path, &suffix)
    };
    let aside =
        (1..=u32::MAX).map(free).find(|p| fs::symlink_metadata(p).is_err()).expect("there is a free number");
    files::rename(path, &aside)?;
    Ok(Some(aside))
}

/// Gives the finished file its name; never takes the place of another.
fn publish(partial: &Path, path: &Path) -> anyhow::Result<()> {
    match fs::hard_link(partial, path) {
        Ok(()) => {
            fs::remove_file(partial).map_err(|e| FileError::new("remove", partial, e))?;
            files::sync_parent(path)?;
            Ok(())
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(require_free(path)?),
        // A file system without hard links: the check and the rename are two steps there.
        Err(_) => {
            require_free(path)?;
            Ok(files::rename(partial, path)?)
        }
    }
}
