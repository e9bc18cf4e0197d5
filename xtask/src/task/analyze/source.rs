//! Where token events come from: a database, exported files, or raw logs; one way to name them for every task.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context;
use ops::db::sqlite;
use ops::identity::{self, Expectation};
use ops::report::{Align, Check, Document, Table};
use ops::text::{plural, thousands};
use ops::tokens::analysis::{Analysis, Options};
use ops::tokens::input::Input;
use ops::tokens::sample::Samples;
use ops::tokens::{columns, logs, ndjson};

use super::super::database::only_sqlite;
use crate::settings::Settings;

/// Which events.
#[derive(Debug, clap::Args)]
pub(super) struct SourceArgs {
    /// The database: a path or sqlite:///path
    #[arg(long, value_name = "URL")]
    pub(super) db: Option<String>,
    /// Refuse (exit 3) unless the database has this lineage id or this purpose
    #[arg(long, value_name = "LINEAGE|PURPOSE", value_parser = Expectation::parse)]
    pub(super) expect: Option<Expectation>,
    /// Read exported events instead of a database: NDJSON, or Parquet when its name ends in .parquet; repeat for more
    /// files, an event in two of them counts once
    #[arg(long, value_name = "FILE", conflicts_with_all = ["db", "expect"])]
    pub(super) from: Vec<PathBuf>,
    /// Read raw logs instead of a database; a folder means every *.log in it and below
    #[arg(long, value_name = "PATH", conflicts_with_all = ["db", "expect"])]
    pub(super) log: Vec<PathBuf>,
}

/// Events that were read.
#[derive(Debug)]
pub(super) struct Read {
    /// What they are called in reports.
    pub(super) source: String,
    /// What became of the lines of files.
    pub(super) input: Option<Input>,
    /// All of them.
    pub(super) analysis: Analysis,
    /// With everything that is recorded of them, up to a number.
    pub(super) samples: Samples,
}

impl SourceArgs {
    /// Reads the events.
    pub(super) fn read(&self, options: Options, settings: &Settings) -> anyhow::Result<Read> {
        if self.from.is_empty() && self.log.is_empty() {
            return self.read_database(options, settings);
        }
        let (mut input, mut analysis, mut samples) =
            (Input::default(), Analysis::new(options), Samples::default());
        let mut logs = Vec::new();
        for path in &self.log {
            find_logs(&settings.cwd.join(path), path, &mut logs)
                .with_context(|| format!("failed to look for logs in `{}`", path.display()))?;
        }
        let several = self.from.len() + logs.len() > 1;
        for (path, is_log) in self.from.iter().map(|p| (p, false)).chain(logs.iter().map(|p| (p, true))) {
            let name = path.display().to_string();
            input.file = several.then(|| name.clone());
            let place = settings.cwd.join(path);
            let open = || File::open(&place);
            let what = || format!("failed to read `{name}`");
            if !is_log && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet")) {
                columns::read_parquet(open, several, &mut input, &mut analysis, &mut samples)
                    .with_context(what)?;
                continue;
            }
            let file = open().with_context(|| format!("failed to open `{name}`"))?;
            let file = BufReader::with_capacity(1 << 16, file);
            let read = if is_log { logs::read_log } else { ndjson::read_ndjson };
            read(file, &mut input, &mut analysis, &mut samples).with_context(what)?;
        }
        let names: Vec<String> = self.from.iter().chain(&self.log).map(|p| p.display().to_string()).collect();
        Ok(Read { source: names.join(", "), input: Some(input), analysis, samples })
    }

    /// The source names the database by URL and lineage.
    fn read_database(&self, options: Options, settings: &Settings) -> anyhow::Result<Read> {
        let url = only_sqlite(settings.database(self.db.as_deref())?)?;
        let source = identity::source_of_sqlite(&url, &settings.scratch)?;
        if let Some(expectation) = &self.expect {
            identity::expect_lineage(source.lineage.as_ref(), &source.url, expectation)?;
        }
        let analysis = sqlite::analyse_events(url.path(), &settings.scratch, || Analysis::new(options))?;
        let samples = if analysis.is_beyond_samples() {
            Samples { left_out: analysis.attempts(), ..Samples::default() }
        } else {
            sqlite::read_samples(url.path(), &settings.scratch)?
        };
        Ok(Read { source: source.to_string(), input: None, analysis, samples })
    }
}

/// The logs at a path, in the order of their names; `shown` is how the user wrote it. Links to folders are not followed.
fn find_logs(path: &Path, shown: &Path, logs: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        logs.push(shown.to_path_buf());
        return Ok(());
    }
    let mut entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, shown, kind) = (entry.path(), shown.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() {
            find_logs(&path, &shown, logs)?;
        } else if kind.is_file() && path.extension().is_some_and(|e| e == "log") {
            logs.push(shown);
        }
    }
    Ok(())
}

/// What was read from files, and every line that could not be.
pub(super) fn input_document(input: &Input) -> Document {
    let mut document = Document::new();
    let mut duplicates = format!("{} skipped", input.duplicates);
    if input.unchecked > 0 {
        duplicates += &format!(", not looked for among {} of a table", plural(input.unchecked, "row"));
    }
    document
        .heading(2, "Input")
        .facts([("accepted", plural(input.accepted, "event")), ("duplicates", duplicates)]);
    document.checks(vec![Check {
        claim: "every line is an event".to_owned(),
        met: input.reject_count == 0,
        measured: format!("{} rejected", thousands(input.reject_count)),
    }]);
    let with_files = input.rejects.iter().any(|r| r.file.is_some());
    let columns = [("file", Align::Left), ("line", Align::Right), ("why", Align::Left)];
    let mut table = Table::new(columns.into_iter().skip(usize::from(!with_files)));
    for reject in &input.rejects {
        let cells = [reject.file.clone().unwrap_or_default(), reject.line.to_string(), reject.reason.clone()];
        table.row(cells.into_iter().skip(usize::from(!with_files)));
    }
    if !table.is_empty() {
        document.table(table);
    }
    document
}
