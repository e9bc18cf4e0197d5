//! Events as JSON Lines: what happened, when, in which run, in which order.
//!
//! Off unless asked for, and switched per handle: another handle, and whatever else writes to the same place, is not
//! touched. What users typed is left out unless asked for, and then masked before it is cut. An event that could not be
//! written never stops the caller; it is counted.

mod sink;
mod stored;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

pub use self::sink::{Lines, Record, Sink};
pub use self::stored::{EVENTS, Stored};
use crate::clock::{Clock, Stamp};
use crate::ids;
use crate::redact;

/// Version of the shape of the lines.
pub const SCHEMA: u32 = 1;
/// At most so many code points of what a user typed are shown.
pub const SNIPPET_CHARS: usize = 160;
/// The variable that switches events on.
pub const VARIABLE: &str = "SAORI_TELEMETRY";

/// Names and values, in the order in which they are written.
pub type Fields = Vec<(&'static str, Value)>;

/// Something that happened.
pub trait Event {
    /// What it is called, in snake case.
    fn name(&self) -> &'static str;

    /// What is known of it. Text that a user typed goes through `snippets`.
    fn fields(&self, snippets: Snippets) -> Fields;
}

/// Whether events show what users typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snippets {
    /// Neither the text nor its digest.
    Hidden,
    /// The beginning of the text, masked, and a digest of the whole.
    Masked,
}

impl Snippets {
    /// The beginning of a text, masked first and cut then; null when hidden.
    pub fn show(self, text: &str) -> Value {
        match self {
            Self::Hidden => Value::Null,
            Self::Masked => Value::from(redact::snippet(text, SNIPPET_CHARS)),
        }
    }

    /// 16 hexadecimal digits that are the same for the same text; null when hidden.
    pub fn digest(self, text: &str) -> Value {
        match self {
            Self::Hidden => Value::Null,
            Self::Masked => Value::from(&ids::sha256(text.as_bytes())[..16]),
        }
    }
}

/// What became of the events of a handle: `emitted = written + dropped`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// How many events happened while the handle was switched on.
    pub emitted: u64,
    /// How many of them the sink took.
    pub written: u64,
    /// How many it did not take.
    pub dropped: u64,
    /// What the sink said last when it did not.
    pub last_error: Option<String>,
}

/// A handle. Clones are the same handle: one switch, one sequence, one sink.
#[derive(Clone)]
pub struct Events {
    inner: Arc<Inner>,
}

struct Inner {
    enabled: AtomicBool,
    run_id: String,
    clock: Clock,
    snippets: Snippets,
    state: Mutex<State>,
}

struct State {
    stats: Stats,
    sink: Box<dyn Sink>,
}

impl Events {
    /// A handle of the run `run_id` that writes to `sink`; switched off.
    pub fn new(
        run_id: impl Into<String>,
        clock: Clock,
        snippets: Snippets,
        sink: impl Sink + 'static,
    ) -> Self {
        let state = Mutex::new(State { stats: Stats::default(), sink: Box::new(sink) });
        let inner = Inner { enabled: AtomicBool::new(false), run_id: run_id.into(), clock, snippets, state };
        Self { inner: Arc::new(inner) }
    }

    /// Switches this handle and its clones on or off.
    pub fn set_enabled(&self, enabled: bool) {
        self.inner.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Whether events are written.
    pub fn is_enabled(&self) -> bool {
        self.inner.enabled.load(Ordering::Relaxed)
    }

    /// Writes an event, if the handle is switched on.
    pub fn emit(&self, event: &dyn Event) {
        if !self.is_enabled() {
            return;
        }
        let fields = event.fields(self.inner.snippets);
        // The time is taken under the lock, so that it never runs against the sequence.
        let mut state = self.state();
        state.stats.emitted += 1;
        let (at, sequence) = (self.inner.clock.now(), state.stats.emitted);
        let line = line(at, sequence, &self.inner.run_id, event.name(), fields);
        let record = Record { at, sequence, run_id: &self.inner.run_id, event: event.name(), line: &line };
        match state.sink.write(&record) {
            Ok(()) => state.stats.written += 1,
            Err(error) => {
                state.stats.dropped += 1;
                state.stats.last_error = Some(error.to_string());
            }
        }
    }

    /// What became of the events so far.
    pub fn stats(&self) -> Stats {
        self.state().stats.clone()
    }

    /// A sink that panicked has lost its event, not the handle.
    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { run_id, snippets, .. } = &*self.inner;
        f.debug_struct("Events")
            .field("run_id", run_id)
            .field("enabled", &self.is_enabled())
            .field("snippets", snippets)
            .finish_non_exhaustive()
    }
}

/// The line of an event, without its line feed. JSON escapes control characters, so it is one line.
fn line(at: Stamp, sequence: u64, run_id: &str, name: &str, fields: Fields) -> String {
    let time = at.db().replacen(' ', "T", 1) + "Z";
    let head = [
        ("time", Value::from(time)),
        ("sequence", Value::from(sequence)),
        ("run_id", Value::from(run_id)),
        ("schema", Value::from(SCHEMA)),
        ("event", Value::from(name)),
    ];
    let pairs = head.into_iter().chain(fields);
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{}:{value}", Value::from(name))).collect();
    format!("{{{}}}", pairs.join(","))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use super::*;

    struct Said<'a>(&'a str);

    impl Event for Said<'_> {
        fn name(&self) -> &'static str {
            "said"
        }

        fn fields(&self, snippets: Snippets) -> Fields {
            vec![("input_snippet", snippets.show(self.0)), ("input_digest", snippets.digest(self.0))]
        }
    }

    /// Shared memory that fails after so many bytes.
    #[derive(Clone, Default)]
    struct Memory {
        bytes: Arc<Mutex<Vec<u8>>>,
        full: bool,
    }

    impl io::Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.full {
                return Err(io::Error::other("no space"));
            }
            self.bytes.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        fn text(&self) -> String {
            String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
        }
    }

    fn handle(snippets: Snippets, memory: &Memory) -> Events {
        let now = Clock::Fixed(Stamp::parse("2026-01-02T03:04:05.678901Z").unwrap());
        Events::new("run-1", now, snippets, Lines::new(memory.clone()))
    }

    #[test]
    fn off_until_switched_on_and_off_again() {
        let (memory, other) = (Memory::default(), Memory::default());
        let (events, untouched) = (handle(Snippets::Hidden, &memory), handle(Snippets::Hidden, &other));
        untouched.set_enabled(true);
        events.emit(&Said("a"));
        assert_eq!((memory.text().as_str(), events.stats()), ("", Stats::default()));
        events.set_enabled(true);
        events.clone().emit(&Said("a"));
        events.set_enabled(false);
        events.emit(&Said("a"));
        assert_eq!(
            memory.text(),
            "{\"time\":\"2026-01-02T03:04:05.678901Z\",\"sequence\":1,\"run_id\":\"run-1\",\"schema\":1,\
             \"event\":\"said\",\"input_snippet\":null,\"input_digest\":null}\n"
        );
        // The other handle has its own switch and its own sequence.
        untouched.emit(&Said("b"));
        assert!(other.text().contains("\"sequence\":1,"));
    }

    #[test]
    fn what_was_typed_is_masked_before_it_is_cut() {
        let memory = Memory::default();
        let events = handle(Snippets::Masked, &memory);
        events.set_enabled(true);
        events.emit(&Said(&format!("{}bob@example.org\n\"quoted\"", "a ".repeat(75))));
        let line: Value = serde_json::from_str(memory.text().trim_end()).unwrap();
        assert_eq!(line["input_snippet"], "a ".repeat(75));
        assert_eq!(line["input_digest"].as_str().map(str::len), Some(16));
        assert_eq!(memory.text().lines().count(), 1);
    }

    #[test]
    fn what_cannot_be_written_is_counted() {
        let memory = Memory { full: true, ..Memory::default() };
        let events = handle(Snippets::Hidden, &memory);
        events.set_enabled(true);
        events.emit(&Said("a"));
        events.emit(&Said("b"));
        let stats = events.stats();
        assert_eq!((stats.emitted, stats.written, stats.dropped), (2, 0, 2));
        assert_eq!(stats.last_error.as_deref(), Some("no space"));
    }

    #[test]
    fn a_file_is_continued() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/events.ndjson");
        for run in ["one", "two"] {
            let events = Events::new(run, Clock::System, Snippets::Hidden, Lines::append(&path).unwrap());
            events.set_enabled(true);
            events.emit(&Said("a"));
        }
        let text = crate::files::read_text(&path).unwrap();
        let runs: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((&runs[0]["run_id"], &runs[1]["run_id"]), (&Value::from("one"), &Value::from("two")));
    }
}
