//! Where text goes: results to stdout, progress and errors to stderr; the only module that prints.
//!
//! A reader that goes away (a closed pipe) is not an error: the rest of the output is dropped.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ops::report::{Document, Style};
use serde::Serialize;

use crate::settings::Settings;

/// The two streams and how they may look.
#[derive(Debug)]
pub(crate) struct Output {
    style: Style,
    json: bool,
    live: bool,
}

impl Output {
    /// For people, or with `json` for programs: then stdout carries one JSON document and nothing else.
    pub(crate) fn new(settings: &Settings, json: bool) -> Self {
        let colour = io::stdout().is_terminal() && !settings.no_colour;
        Self { style: Style { colour }, json, live: io::stderr().is_terminal() }
    }

    /// Prints a report for people; nothing under `--json`.
    pub(crate) fn document(&self, document: &Document) {
        if !self.json {
            stdout(&document.terminal(self.style));
        }
    }

    /// Prints a line for people; nothing under `--json`.
    pub(crate) fn line(&self, text: &str) {
        if !self.json {
            stdout(&format!("{text}\n"));
        }
    }

    /// Prints the result for programs; nothing otherwise.
    pub(crate) fn json(&self, value: &impl Serialize) -> anyhow::Result<()> {
        if self.json {
            stdout(&pretty(value)?);
        }
        Ok(())
    }

    /// Progress over `total` steps on stderr: a bar on a terminal, else a line every few seconds.
    pub(crate) fn progress(&self, total: u64, noun: &'static str) -> Progress {
        let bar = if self.live {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let template = "  {bar:30} {pos}/{len} {prefix}  {per_sec}  ETA {eta}  {msg}";
            bar.set_style(ProgressStyle::with_template(template).expect("the template is constant"));
            bar.set_prefix(noun);
            Some(bar)
        } else {
            None
        };
        Progress { bar, noun, last: std::time::Instant::now() }
    }
}

/// A value as the JSON that artifacts and `--json` use: indented, keys in the order of the type.
pub(crate) fn pretty(value: &impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Running progress; cleared when dropped.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    noun: &'static str,
    last: std::time::Instant,
}

impl Progress {
    /// Shows how far the work is and what it is at.
    pub(crate) fn at(&mut self, done: u64, total: u64, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(message.to_owned());
        } else if self.last.elapsed() >= std::time::Duration::from_secs(3) {
            self.last = std::time::Instant::now();
            stderr(&format!("{done}/{total} {}  {message}\n", self.noun));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Stdout as a stream of bytes, for what is too long to be held. A closed pipe is not an error.
#[derive(Debug)]
pub(crate) struct Stream(io::BufWriter<io::Stdout>);

impl Stream {
    /// A buffered stdout.
    pub(crate) fn new() -> Self {
        Self(io::BufWriter::with_capacity(1 << 16, io::stdout()))
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        unless_closed(self.0.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        unless_closed(self.0.flush(), ())
    }
}

/// What was written, or what would have been if the reader had not gone away.
fn unless_closed<T>(written: io::Result<T>, all: T) -> io::Result<T> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(all),
        other => other,
    }
}

/// Writes to stdout; a closed pipe is not an error.
pub(crate) fn stdout(text: &str) {
    let mut stream = io::stdout().lock();
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

/// Writes to stderr; a closed pipe is not an error.
pub(crate) fn stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
