//! `soak run`: opens the target at every look, keeps the evidence, and writes the report anew after each.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use ops::clock::Clock;
use ops::config::Config;
use ops::db::Reader;
use ops::db::postgres::{ConnectOptions, Session};
use ops::db::sqlite::Snapshot;
use ops::files::write_atomic;
use ops::guard::Refusal;
use ops::identity::{self, Source as Identified};
use ops::pace::{Pace, RealPace, VirtualPace};
use ops::soak::settings::Settings as SoakSettings;
use ops::soak::{self, Ended, Evidence, Log, Source, Verdict};
use ops::url::DbUrl;

use super::database::shown;
use crate::exit::Code;
use crate::output::{Output, pretty};
use crate::settings::Settings;
use crate::signal::stop_flag;

/// Watch a database for the whole window, and judge after every look
///
/// Reads only, in a session that cannot write. The evidence is on the disk before the next look; a watch that was
/// stopped or killed goes on with the same command and does not begin again. A NO-GO ends it at once. Exit 0 on
/// GO, 6 on everything else, 130 when it was stopped before the window was over.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Which section `[soaks.NAME]` of ops.toml
    #[arg(long, value_name = "NAME")]
    soak: String,
    /// The database: a path, sqlite:///path or postgres://…
    #[arg(long, value_name = "URL")]
    db: Option<String>,
    /// The run whose rows the statements leave out, as `{run}`
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// The settings; without it, ops.toml here, or the shipped ones
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the evidence and the reports go; without it, .ops/soaks/NAME
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the judgement as one JSON document
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RunArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let described = described(args, settings)?;
    let url = settings.database(args.db.as_deref())?;
    let mut target = Target { expected: identify(&url, settings)?, url, settings };
    output.line(&format!("watching {}", target.expected));
    let out = settings.cwd.join(args.out.clone().unwrap_or_else(|| Path::new(".ops/soaks").join(&args.soak)));
    let terms = described.terms(
        &args.soak,
        target.expected.to_string(),
        args.run.clone(),
        settings.clock.now().iso(),
    );
    let (mut evidence, mut log) = Evidence::open(&out.join("evidence.ndjson"), terms)?;
    // Where the time is given, it passes by waiting alone: otherwise no look would ever be due.
    let mut pace: Box<dyn Pace> = match settings.clock {
        Clock::System => Box::new(RealPace::new(settings.clock)),
        Clock::Fixed(start) => Box::new(VirtualPace::new(start)),
    };
    let process = settings.ids().hex("soak-process", 4);
    let mut progress =
        output.progress(log.soak.looks_expected(Duration::from_secs(log.soak.window_s)), "looks");
    let keep = |log: &Log, line: &str| -> anyhow::Result<bool> {
        evidence.append(line)?;
        let judgement = soak::judge(log);
        write_reports(&out, log, &judgement)?;
        let expected = log.soak.looks_expected(Duration::from_secs(log.soak.window_s));
        progress.at(log.looks.len() as u64, expected, &judgement.verdict.to_string());
        Ok(judgement.verdict != Verdict::NoGo)
    };
    let metrics = &described.metrics;
    let ended = if soak::judge(&log).verdict == Verdict::NoGo {
        Ended::Enough
    } else {
        soak::watch(&mut log, metrics, &mut target, pace.as_mut(), &process, stop_flag()?, keep)?
    };
    drop(progress);
    let judgement = soak::judge(&log);
    write_reports(&out, &log, &judgement)?;
    output.json(&judgement)?;
    output.document(&judgement.document(&log));
    output.line(&format!("evidence and reports: {}", shown(&out, settings)));
    Ok(match (ended, judgement.verdict) {
        (Ended::Stopped, _) => Code::Interrupted,
        (_, Verdict::Go) => Code::Done,
        (_, Verdict::NoGo | Verdict::Insufficient | Verdict::Invalid) => Code::GateNotMet,
    })
}

/// The settings of the soak that was named.
fn described(args: &RunArgs, settings: &Settings) -> anyhow::Result<SoakSettings> {
    let config = match &args.config {
        Some(file) => Config::read(&settings.cwd.join(file))?,
        None => Config::of(&settings.cwd)?,
    };
    config.soaks.get(&args.soak).cloned().ok_or_else(|| {
        let known: Vec<&str> = config.soaks.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "a section [soaks.NAME]".to_owned() } else { known.join(", ") };
        let what = format!("there is no soak `{}` in {}", args.soak, config.origin);
        Refusal::new(what, known, format!("`{}`", args.soak)).into()
    })
}

/// The report for people and for programs, each whole or not at all.
fn write_reports(out: &Path, log: &Log, judgement: &soak::Judgement) -> anyhow::Result<()> {
    let document = judgement.document(log);
    let file = |ending: &str| out.join(format!("{}_observability.{ending}", log.soak.name));
    write_atomic(&file("md"), document.markdown().as_bytes())?;
    write_atomic(&file("html"), document.html().as_bytes())?;
    write_atomic(&file("json"), pretty(judgement)?.as_bytes())?;
    Ok(())
}

/// A database that must stay the one that the soak began with.
struct Target<'a> {
    url: DbUrl,
    expected: Identified,
    settings: &'a Settings,
}

impl Source for Target<'_> {
    fn open(&mut self) -> Result<Box<dyn Reader + '_>, String> {
        // The cause says more than the wrapping; all of it is one line of the evidence.
        let (found, reader) = open(&self.url, self.settings).map_err(|error| format!("{error:#}"))?;
        if found.fingerprint != self.expected.fingerprint {
            return Err(format!("another database is there: {found}"));
        }
        Ok(reader)
    }
}

fn identify(url: &DbUrl, settings: &Settings) -> anyhow::Result<Identified> {
    open(url, settings).map(|(found, _)| found)
}

/// A snapshot of the database, and which one it is.
fn open(url: &DbUrl, settings: &Settings) -> anyhow::Result<(Identified, Box<dyn Reader>)> {
    match url {
        DbUrl::Sqlite(url) => {
            let mut snapshot = Snapshot::open(url.path(), &settings.scratch)?;
            Ok((identity::source_of_reader(url, &mut snapshot)?, Box::new(snapshot)))
        }
        DbUrl::Postgres(postgres) => {
            let options = ConnectOptions {
                connect_timeout: Duration::from_secs(10),
                statement_timeout: Duration::from_mins(1),
                application_name: "cargo xtask soak".to_owned(),
            };
            let found = identity::source_of_postgres(postgres, &options)?;
            let session =
                Session::connect(postgres, &options).with_context(|| format!("no look at {url}"))?;
            Ok((found, Box::new(session)))
        }
        DbUrl::PostgRest(_) => {
            let what = "metrics are SQL statements, which a REST API does not take";
            Err(Refusal::new(what, "a SQLite file or PostgreSQL", url.to_string())
                .next("name the database behind it with a postgres: URL")
                .into())
        }
    }
}
