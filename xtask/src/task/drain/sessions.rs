//! `drain status` and `drain stop`, and where sessions keep their files.

use std::path::{Path, PathBuf};

use ops::files;
use ops::guard::Refusal;
use ops::report::{Align, Document, Table};
use ops::text::plural;
use ops::work::drain::journal::Event;
use ops::work::drain::{History, Journal, Settings as Allowed};
use serde::Serialize;

use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;

/// Stands for the latest session that is not done.
pub(super) const LATEST: &str = "latest";

/// What can be done with sessions.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Status(StatusArgs),
    Stop(StopArgs),
    Rekey(super::rekey::RekeyArgs),
}

/// List the sessions: what they have done and whether they work, were stopped or were killed
#[derive(Debug, clap::Args)]
pub(super) struct StatusArgs {
    /// Where sessions keep their files
    #[arg(long, value_name = "DIR", default_value = ".ops")]
    out: PathBuf,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Ask a session to stop: running attempts end and are accounted for, no other begins
#[derive(Debug, clap::Args)]
pub(super) struct StopArgs {
    /// The session [default: all that work]
    #[arg(value_name = "SESSION")]
    session: Option<String>,
    /// Where sessions keep their files
    #[arg(long, value_name = "DIR", default_value = ".ops")]
    out: PathBuf,
}

pub(super) fn run(command: &Command, settings: &Settings) -> anyhow::Result<Code> {
    match command {
        Command::Status(args) => status(args, settings),
        Command::Stop(args) => stop(args, settings),
        Command::Rekey(args) => super::rekey::run(args, settings),
    }
}

/// A folder that no other session has, and the name of the session there: the wanted one, or one with a number.
pub(super) fn fresh(out: &Path, wanted: &str) -> anyhow::Result<(String, PathBuf)> {
    files::create_dir(&out.join("drain"))?;
    for number in 1_u32.. {
        let id = if number == 1 { wanted.to_owned() } else { format!("{wanted}-{number}") };
        let place = folder(out, &id);
        match std::fs::create_dir(&place) {
            Ok(()) => return Ok((id, place)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error.into()),
        }
    }
    unreachable!("there is a free number")
}

/// The folder of a session.
pub(super) fn folder(out: &Path, session_id: &str) -> PathBuf {
    out.join("drain").join(session_id)
}

/// The file whose appearance asks a session to stop.
pub(super) fn stop_file(folder: &Path) -> PathBuf {
    folder.join("stop")
}

/// A request to stop is for the process that it found.
pub(super) fn withdraw_stop(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// A session that is taken up again.
pub(super) struct Found {
    pub(super) session_id: String,
    pub(super) folder: PathBuf,
    pub(super) journal: Journal,
    pub(super) history: History,
    /// What it was last allowed to do.
    pub(super) allowed: Allowed,
}

/// Takes up a session of this database.
pub(super) fn resume(out: &Path, session: &str, database: &str) -> anyhow::Result<Found> {
    let known = list(out)?;
    let named = |found: &&Session| found.id == session;
    let unfinished = |found: &&Session| found.state != State::Drained && found.database == database;
    let found = match session {
        LATEST => known.iter().rev().find(unfinished),
        _ => known.iter().find(named),
    };
    let Some(found) = found else {
        let found = format!("{} in `{}`", plural(known.len() as u64, "session"), out.join("drain").display());
        let expected = match session {
            LATEST => format!("a session of {database} that is not done"),
            id => format!("the session `{id}`"),
        };
        return Err(Refusal::new("there is nothing to resume", expected, found).into());
    };
    if found.database != database {
        return Err(Refusal::new("the session is one of another database", &found.database, database).into());
    }
    if found.state == State::Working {
        return Err(Refusal::new("a process works on the session", "one that has ended", &found.id)
            .next(format!("cargo xtask drain stop {}", found.id))
            .into());
    }
    let folder = folder(out, &found.id);
    let (journal, history) = Journal::resume(&folder)?;
    let allowed = allowed(&history).unwrap_or_default();
    Ok(Found { session_id: found.id.clone(), folder, journal, history, allowed })
}

/// What a session was last allowed to do.
fn allowed(history: &History) -> Option<Allowed> {
    history.lines.iter().rev().find_map(|line| match &line.event {
        Event::Opened { settings, .. } | Event::Resumed { settings, .. } => Some((**settings).clone()),
        _ => None,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Working,
    Drained,
    Stopped,
    Killed,
}

/// A session as its journal tells.
#[derive(Debug, Serialize)]
struct Session {
    id: String,
    state: State,
    /// Why it was stopped.
    reason: Option<String>,
    database: String,
    executor: String,
    started_at: String,
    last_at: String,
    worked_ms: u64,
    attempts: u64,
    successes: u64,
    events: u64,
    /// Claims without an account.
    in_work: u64,
    /// Bytes at the end of the journal that are no whole line.
    torn_bytes: u64,
}

/// All sessions, oldest first. What is no session is left out.
fn list(out: &Path) -> anyhow::Result<Vec<Session>> {
    let place = out.join("drain");
    let mut sessions = Vec::new();
    let entries = match std::fs::read_dir(&place) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(sessions),
        entries => entries?,
    };
    for entry in entries {
        let folder = entry?.path();
        if let Ok(history) = Journal::read(&folder)
            && let Some(session) = session(&folder, &history)
        {
            sessions.push(session);
        }
    }
    sessions.sort_by(|a, b| (&a.started_at, &a.id).cmp(&(&b.started_at, &b.id)));
    Ok(sessions)
}

fn session(folder: &Path, history: &History) -> Option<Session> {
    let (first, last) = (history.lines.first()?, history.lines.last()?);
    let Event::Opened { session_id, database, executor, .. } = &first.event else { return None };
    let mut found = Session {
        id: session_id.clone(),
        state: State::Killed,
        reason: None,
        database: database.clone(),
        executor: executor.clone(),
        started_at: first.at.clone(),
        last_at: last.at.clone(),
        worked_ms: last.worked_ms,
        attempts: 0,
        successes: 0,
        events: 0,
        in_work: 0,
        torn_bytes: history.cut.as_ref().map_or(0, |cut| cut.bytes),
    };
    for line in &history.lines {
        match &line.event {
            Event::Claimed(_) => found.in_work += 1,
            Event::Ended(ended) => {
                found.in_work = found.in_work.saturating_sub(1);
                found.attempts += 1;
                found.successes += u64::from(ended.outcome == "success");
                found.events += u64::from(ended.telemetry == "written");
            }
            Event::Released { .. } | Event::Lost { .. } => found.in_work = found.in_work.saturating_sub(1),
            Event::Opened { .. } | Event::Resumed { .. } | Event::Stopped { .. } => {}
        }
    }
    if Journal::is_live(folder) {
        found.state = State::Working;
    } else if let Event::Stopped { reason } = &last.event {
        found.state = if reason == "drained" { State::Drained } else { State::Stopped };
        found.reason = Some(reason.clone());
    }
    Some(found)
}

fn status(args: &StatusArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let sessions = list(&settings.cwd.join(&args.out))?;
    output.json(&sessions)?;
    let mut document = Document::new();
    document.heading(2, "Drain sessions");
    if sessions.is_empty() {
        document.text("There is none.");
    }
    let mut table = Table::new([
        ("session", Align::Left),
        ("state", Align::Left),
        ("attempts", Align::Right),
        ("successes", Align::Right),
        ("events", Align::Right),
        ("in work", Align::Right),
        ("worked", Align::Right),
    ]);
    for session in &sessions {
        let state = match (session.state, &session.reason) {
            (State::Working, _) => "working".to_owned(),
            (State::Drained, _) => "drained".to_owned(),
            (State::Killed, _) => "killed".to_owned(),
            (State::Stopped, reason) => reason.as_deref().unwrap_or("stopped").replace('_', " "),
        };
        table.row([
            session.id.clone(),
            state,
            session.attempts.to_string(),
            session.successes.to_string(),
            session.events.to_string(),
            session.in_work.to_string(),
            format!("{} s", session.worked_ms / 1000),
        ]);
    }
    if !table.is_empty() {
        document.table(table);
    }
    output.document(&document);
    Ok(Code::Done)
}

fn stop(args: &StopArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, false);
    let out = settings.cwd.join(&args.out);
    let sessions = list(&out)?;
    let wanted = |session: &&Session| {
        session.state == State::Working && args.session.as_ref().is_none_or(|id| *id == session.id)
    };
    let mut asked = 0;
    for session in sessions.iter().filter(wanted) {
        files::write_atomic(&stop_file(&folder(&out, &session.id)), b"")?;
        output.line(&format!("{} is asked to stop; it ends with its running attempts", session.id));
        asked += 1;
    }
    if asked > 0 {
        return Ok(Code::Done);
    }
    let expected =
        args.session.as_ref().map_or("a session that works".to_owned(), |id| format!("`{id}` at work"));
    let found = format!("none of {}", plural(sessions.len() as u64, "session"));
    Err(Refusal::new("there is nothing to stop", expected, found).into())
}
