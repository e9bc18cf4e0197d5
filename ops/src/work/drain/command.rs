//! The `command` executor: any program, the phase as JSON on its stdin, the result as JSON on its stdout.
//!
//! The program runs in a process group of its own, in a fresh workspace, with its streams in files: what it
//! wrote before a timeout is kept, a full pipe cannot stall it, and no grandchild outlives its attempt unless
//! it left the group on purpose.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::executor::{Attempted, Execution, Executor, Order, Report};
use super::milestones::Milestones;
use crate::files::{self, FileError};
use crate::os::{self, Signal};
use crate::phases::Claim;
use crate::text;

/// How long a program may take to end after it was asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(2);
/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(10);
/// The file in which a program records how far it came, beside its workspace.
const MILESTONES: &str = "milestones.txt";
/// A result longer than this is not read.
const RESULT_BYTES_MAX: u64 = 1024 * 1024;

/// Runs a program for every attempt.
#[derive(Debug)]
pub struct CommandExecutor {
    /// The program and its arguments. It runs in the workspace of its attempt: a relative path is one there.
    pub program: Vec<String>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// Where attempts keep their workspace and streams: `<directory>/<run>/<phase>/<attempt>/`.
    pub directory: PathBuf,
}

/// What the program reads on its stdin. Field names are stable.
#[derive(Debug, Serialize)]
struct Input<'a> {
    format: u32,
    run_id: &'a str,
    phase_id: &'a str,
    attempt: u64,
    name: &'a str,
    description: &'a str,
    category: &'a str,
    complexity: &'a str,
    deliverables: &'a [String],
    read_only_context: &'a [String],
    workspace: &'a Path,
    milestones: &'a Path,
    predicted_output_tokens: u64,
    selected_budget: u64,
}

enum Ended {
    Exited(ExitStatus),
    TimedOut,
    Stopped,
}

impl Executor for CommandExecutor {
    fn source(&self) -> &'static str {
        "command"
    }

    fn execute(&mut self, order: Order<'_>, stop: &AtomicBool) -> Attempted {
        self.attempt(order, stop).unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Execution::Broken { reason: "executor_error", detail: format!("{error}: {cause}") }.into()
        })
    }
}

impl CommandExecutor {
    fn attempt(&self, order: Order<'_>, stop: &AtomicBool) -> Result<Attempted, FileError> {
        let claim = order.claim;
        if let Some(path) = claim.scope.deliverables.iter().find(|path| leads_out(path)) {
            let detail = format!("deliverable `{path}` leads out of the workspace");
            return Ok(Execution::Broken { reason: "scope_invalid", detail }.into());
        }
        let place = fresh_place(&self.directory, claim)?;
        let workspace = place.join("workspace");
        files::create_dir(&workspace)?;
        let input = Input {
            format: 1,
            run_id: &claim.key.run_id,
            phase_id: &claim.key.phase_id,
            attempt: claim.attempt,
            name: &claim.name,
            description: &claim.description,
            category: &claim.category,
            complexity: &claim.complexity,
            deliverables: &claim.scope.deliverables,
            read_only_context: &claim.scope.read_only_context,
            workspace: &workspace,
            milestones: &place.join(MILESTONES),
            predicted_output_tokens: order.estimate.output_tokens,
            selected_budget: order.estimate.selected_budget,
        };
        let json = serde_json::to_vec_pretty(&input).expect("the input is plain data");
        files::write_atomic(&place.join("phase.json"), &json)?;
        let mut child = match spawn(&self.program, &place, &workspace, ["stdout.txt", "stderr.txt"]) {
            Ok(child) => child,
            Err(detail) => return Ok(Execution::Broken { reason: "program_not_started", detail }.into()),
        };
        let ended = wait(&mut child, self.timeout, stop)?;
        let exit = match &ended {
            Ended::Exited(status) => status.code(),
            Ended::TimedOut | Ended::Stopped => None,
        };
        let execution = match ended {
            Ended::Stopped => Execution::Interrupted,
            Ended::TimedOut => Execution::TimedOut {
                detail: format!(
                    "no end after {} s; partial output in `{}`",
                    self.timeout.as_secs(),
                    place.display()
                ),
            },
            Ended::Exited(status) if status.success() => {
                read_result(&place, &workspace, &claim.scope.deliverables)?
            }
            Ended::Exited(status) => Execution::Broken {
                reason: "exit_status",
                detail: failure(status, &place.join("stderr.txt")),
            },
        };
        Ok(Attempted { milestones: recorded(&place), exit, ..execution.into() })
    }
}

/// A directory that no earlier attempt has used: a second drain may repeat an interrupted attempt.
pub(super) fn fresh_place(directory: &Path, claim: &Claim) -> Result<PathBuf, FileError> {
    let base = directory.join(file_name(&claim.key.run_id)).join(file_name(&claim.key.phase_id));
    files::create_dir(&base)?;
    for suffix in 1_u32.. {
        let name = match suffix {
            1 => claim.attempt.to_string(),
            n => format!("{}-{n}", claim.attempt),
        };
        let place = base.join(name);
        match fs::create_dir(&place) {
            Ok(()) => return fs::canonicalize(&place).map_err(|e| FileError::new("resolve", &place, e)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(FileError::new("create directory", &place, error)),
        }
    }
    unreachable!("there is a free number")
}

/// Starts a program in the workspace, in a group of its own, with the phase on its stdin and its streams in these files.
fn spawn(
    program: &[String],
    place: &Path,
    workspace: &Path,
    [stdout, stderr]: [&str; 2],
) -> Result<Child, String> {
    let open = |name: &str| File::create(place.join(name)).map(Stdio::from);
    let streams = || -> std::io::Result<(Stdio, Stdio, Stdio)> {
        let stdin = match File::open(place.join("phase.json")) {
            Ok(file) => file.into(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Stdio::null(),
            Err(error) => return Err(error),
        };
        Ok((stdin, open(stdout)?, open(stderr)?))
    };
    let (stdin, stdout, stderr) = streams().map_err(|error| error.to_string())?;
    let (program, arguments) = program.split_first().ok_or("no program was given")?;
    #[expect(clippy::disallowed_methods, reason = "starting the user's program is what this executor is for")]
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace).stdin(stdin).stdout(stdout).stderr(stderr);
    os::own_group(&mut command);
    command.spawn().map_err(|error| format!("failed to start `{program}`: {error}"))
}

/// Runs a program in the workspace that says with its exit status whether what is there is right; `Some` is why it is not.
/// The error is how the attempt ends when the program does not say. Its whole group ends with it.
pub(super) fn checked(
    program: &[String],
    place: &Path,
    workspace: &Path,
    timeout: Duration,
    stop: &AtomicBool,
) -> Result<Result<Option<String>, Box<Execution>>, FileError> {
    let streams = ["check.stdout.txt", "check.stderr.txt"];
    let failed = |why: String| Ok(Ok(Some(format!("the check failed: {why}"))));
    let mut child = match spawn(program, place, workspace, streams) {
        Ok(child) => child,
        Err(why) => return failed(why),
    };
    let detail = "the check did not end in time".to_owned();
    match wait(&mut child, timeout, stop)? {
        Ended::Exited(status) if status.success() => Ok(Ok(None)),
        Ended::Exited(status) => failed(failure(status, &place.join(streams[1]))),
        Ended::TimedOut => Ok(Err(Box::new(Execution::TimedOut { detail }))),
        Ended::Stopped => Ok(Err(Box::new(Execution::Interrupted))),
    }
}

/// Waits for the program; ends its whole group on timeout or stop, and what it leaves behind at its end.
fn wait(child: &mut Child, timeout: Duration, stop: &AtomicBool) -> Result<Ended, FileError> {
    let began = Instant::now();
    let mut deadline = None;
    let mut verdict = None;
    loop {
        let status = child.try_wait().map_err(|e| FileError::new("wait for", Path::new("the program"), e))?;
        if let Some(status) = status {
            os::signal_group(child, Signal::Kill);
            return Ok(verdict.unwrap_or(Ended::Exited(status)));
        }
        match deadline {
            None if stop.load(Ordering::Relaxed) => verdict = Some(Ended::Stopped),
            None if began.elapsed() >= timeout => verdict = Some(Ended::TimedOut),
            Some(limit) if Instant::now() >= limit => os::signal_group(child, Signal::Kill),
            None | Some(_) => {}
        }
        if verdict.is_some() && deadline.is_none() {
            os::signal_group(child, Signal::Terminate);
            deadline = Some(Instant::now() + GRACE);
        }
        std::thread::sleep(POLL);
    }
}

fn read_result(place: &Path, workspace: &Path, deliverables: &[String]) -> Result<Execution, FileError> {
    let path = place.join("stdout.txt");
    let mut bytes = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(RESULT_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|e| FileError::new("read", &path, e))?;
    if bytes.len() as u64 > RESULT_BYTES_MAX {
        let detail = format!("`{}` is longer than {}", path.display(), text::bytes(RESULT_BYTES_MAX));
        return Ok(Execution::Broken { reason: "result_invalid", detail });
    }
    Ok(match parse(&bytes) {
        Err(error) => Execution::Broken {
            reason: "result_invalid",
            detail: format!("stdout is not one JSON result ({error}); see `{}`", path.display()),
        },
        Ok(report) => {
            let missing =
                deliverables.iter().filter(|path| !is_written(&workspace.join(path))).cloned().collect();
            Execution::Reported { report, missing }
        }
    })
}

fn parse(result: &[u8]) -> Result<Report, String> {
    // Without this, an array would be taken for the fields in their order.
    if !result.trim_ascii_start().starts_with(b"{") {
        return Err(if result.is_empty() { "nothing was printed" } else { "not a JSON object" }.to_owned());
    }
    serde_json::from_slice(result).map_err(|error| error.to_string())
}

/// Whether there is a file that is not empty at `path` itself: a path that leads through a link names a file
/// elsewhere. The workspace was empty before, so a file in it was written by this attempt.
pub(super) fn is_written(path: &Path) -> bool {
    fs::canonicalize(path).is_ok_and(|real| real == path)
        && fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0)
}

fn failure(status: ExitStatus, stderr: &Path) -> String {
    let how = match (status.code(), os::ended_by(status)) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => "ended without a status".to_owned(),
    };
    let stderr = tail(stderr, 2000).unwrap_or_default();
    match String::from_utf8_lossy(&stderr).lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!("{how}: {}", text::ellipsis(&text::one_line(line), 300)),
        None => how,
    }
}

/// What the program recorded, as far as it is text; nothing when it recorded nothing.
fn recorded(place: &Path) -> Milestones {
    let mut bytes = Vec::new();
    let read = File::open(place.join(MILESTONES))
        .and_then(|file| file.take(RESULT_BYTES_MAX).read_to_end(&mut bytes));
    read.map_or_else(|_| Milestones::default(), |_| Milestones::parse(&String::from_utf8_lossy(&bytes)))
}

/// The last `limit` bytes of a file, however long it is.
fn tail(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a relative path would name something outside its base.
pub(super) fn leads_out(path: &str) -> bool {
    path.is_empty()
        || Path::new(path).components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
}

/// An id as the name of a directory.
fn file_name(id: &str) -> String {
    let name: String = id
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .collect();
    if name.trim_matches('.').is_empty() { "_".to_owned() } else { name }
}
