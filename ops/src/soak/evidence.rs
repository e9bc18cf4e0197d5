//! What was asked, and what every look found: a log that is only ever added to.
//!
//! One JSON object a line. The first names the soak, every further one is a look. Each line carries a digest over itself
//! and the line before, so that an edit, a lost line or one put in between is found. A line that a crash cut off
//! is not evidence; it is cut off and counted.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Stamp;
use crate::ids::sha256;

/// Format of the log.
const SCHEMA: u32 = 1;
/// Hexadecimal digits of a digest of a line.
const DIGEST_CHARS: usize = 16;

/// What is watched, for how long, and when it counts as good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Soak {
    /// Format of the log.
    pub schema: u32,
    /// Name of the soak in its settings.
    pub name: String,
    /// What is watched: identity of the target, without secrets.
    pub target: String,
    /// The run whose rows are left out, where there is one.
    pub run: Option<String>,
    /// The plan whose run is watched, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanFacts>,
    /// When it began, RFC 3339.
    pub started: String,
    /// How long it is to last, in seconds.
    pub window_s: u64,
    /// From look to look, in seconds.
    pub every_s: u64,
    /// Longest time without a look, in seconds; a longer one makes the soak invalid.
    pub gap_max_s: u64,
    /// Largest share of failed readings of a metric, 0 to 1.
    pub blind_max: f64,
    /// Chance of calling a good release bad, over all metrics and looks together, 0 to 1.
    pub error_rate: f64,
    /// What is counted.
    pub metrics: Vec<Metric>,
}

/// The plan whose run is watched: what it touched is known from its frozen list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanFacts {
    /// Its full id.
    pub id: String,
    /// How many candidates it has.
    pub candidates: u64,
    /// SHA-256 over their keys, sorted, a line each.
    pub candidates_sha256: String,
}

impl PlanFacts {
    /// The facts of a plan with these candidates.
    pub fn new(id: &str, candidates: &BTreeSet<String>) -> Self {
        let lines: String = candidates.iter().map(|key| format!("{key}\n")).collect();
        let (id, candidates_sha256) = (id.to_owned(), sha256(lines.as_bytes()));
        Self { id, candidates: candidates.len() as u64, candidates_sha256 }
    }
}

impl Soak {
    /// Terms of six hours with a look every five minutes, to be adapted.
    pub fn new(name: &str, metrics: Vec<Metric>) -> Self {
        Self {
            schema: SCHEMA,
            name: name.to_owned(),
            target: String::new(),
            run: None,
            plan: None,
            started: String::new(),
            window_s: 6 * 3600,
            every_s: 300,
            gap_max_s: 900,
            blind_max: 0.1,
            error_rate: 0.05,
            metrics,
        }
    }

    /// What is wrong with the terms, as the name of a setting and a reason.
    pub fn check(&self) -> Result<(), String> {
        let is_share = |share: f64| share > 0.0 && share < 1.0;
        let fail = |what: String| Err(what);
        if self.schema != SCHEMA {
            return fail(format!("`schema` is {}, expected {SCHEMA}", self.schema));
        }
        if Stamp::parse(&self.started).is_none() {
            return fail("`started` is no time".to_owned());
        }
        if self.every_s == 0 || self.window_s < self.every_s {
            return fail("`every` must be more than 0 and at most the window".to_owned());
        }
        if self.gap_max_s < self.every_s {
            return fail("`gap_max` must be at least `every`".to_owned());
        }
        if !is_share(self.error_rate) || !(0.0..1.0).contains(&self.blind_max) {
            return fail("`error_rate` and `blind_max` are shares between 0 and 1".to_owned());
        }
        if self.metrics.is_empty() {
            return fail("no metric: nothing would be watched".to_owned());
        }
        for (index, metric) in self.metrics.iter().enumerate() {
            if self.metrics[..index].iter().any(|other| other.name == metric.name) {
                return fail(format!("metric `{}` is there twice", metric.name));
            }
            let is_sound = match metric.rule {
                Rule::Never { hidden_max } => is_share(hidden_max),
                Rule::AtLeast { rate, margin } => is_share(rate) && margin > 0.0 && margin < rate,
            };
            if !is_sound {
                return fail(format!(
                    "metric `{}`: rates and margins are shares between 0 and 1",
                    metric.name
                ));
            }
        }
        Ok(())
    }

    /// Whole looks that fit between the start and `elapsed`, the one at the start counted.
    pub fn looks_expected(&self, elapsed: Duration) -> u64 {
        elapsed.as_secs().min(self.window_s) / self.every_s + 1
    }

    /// The error rate of one metric: a metric that is wrong only by chance can only be one with a rate.
    pub fn error_rate_each(&self) -> f64 {
        let rates = self.metrics.iter().filter(|metric| matches!(metric.rule, Rule::AtLeast { .. })).count();
        self.error_rate / (rates.max(1)) as f64
    }
}

/// Something that is counted at every look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What is counted, in a few words: `completed sessions with a profile`.
    pub what: String,
    /// When it is good.
    pub rule: Rule,
    /// What a reading counts.
    #[serde(default)]
    pub counting: Counting,
    /// Longest time without a new unit, in seconds, from which the source may be stuck.
    pub quiet_max_s: Option<u64>,
    /// How long a unit is left alone before it is counted, in seconds; then a bad one may still become good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle_s: Option<u64>,
}

impl Metric {
    /// A metric that counts since the start and may be quiet.
    pub fn new(name: &str, what: &str, rule: Rule) -> Self {
        let (name, what) = (name.to_owned(), what.to_owned());
        Self { name, what, rule, counting: Counting::SinceStart, quiet_max_s: None, settle_s: None }
    }
}

/// What a reading counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Counting {
    /// Everything since the start of the soak.
    #[default]
    SinceStart,
    /// What this look tried.
    ThisLook,
}

/// When a metric is good.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rule {
    /// No unit may be bad: one is enough for NO-GO. GO needs so many good ones that a rate of bad ones above
    /// `hidden_max` would have shown.
    Never {
        /// 0 to 1.
        hidden_max: f64,
    },
    /// The rate of good units is at least `rate`. NO-GO when the evidence excludes that; GO when it excludes that the
    /// rate is below `rate - margin`.
    AtLeast {
        /// 0 to 1.
        rate: f64,
        /// 0 to `rate`.
        margin: f64,
    },
}

/// One look at everything.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look {
    /// When, RFC 3339.
    pub at: String,
    /// The process that looked; a restart is another one.
    pub process: String,
    /// Milliseconds since that process began, from a clock that nobody sets.
    pub up_ms: u64,
    /// A reading for every metric, in the order of the soak.
    pub readings: Vec<Reading>,
}

/// What one metric said at one look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// Counts.
    Counted {
        /// Units that were there to be good or bad.
        units: u64,
        /// Those that were good.
        good: u64,
        /// Some of the bad ones, by key.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        bad: Vec<String>,
    },
    /// It could not be read: the reason, without secrets.
    Failed(String),
}

/// A line of the log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Body {
    Soak(Soak),
    Look(Look),
}

#[derive(Debug, Serialize, Deserialize)]
struct Line {
    digest: String,
    #[serde(flatten)]
    body: Body,
}

/// The log of a soak, as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// The terms.
    pub soak: Soak,
    /// All looks, in their order.
    pub looks: Vec<Look>,
    /// Bytes of the sound lines; what follows is a torn line.
    pub sound_bytes: usize,
    /// Bytes of a line that was cut off.
    pub torn_bytes: usize,
    digest: String,
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LogError {
    /// Nothing is in it.
    #[error("the log has no line")]
    Empty,
    /// A line is not what it should be.
    #[error("line {line}: {what}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

impl Log {
    /// A log that begins now, and its first line.
    pub fn begin(soak: Soak) -> (Self, String) {
        let (digest, line) = line("", &Body::Soak(soak.clone()));
        (Self { soak, looks: Vec::new(), sound_bytes: line.len(), torn_bytes: 0, digest }, line)
    }

    /// Adds a look; the line to append to the file.
    pub fn add(&mut self, look: Look) -> String {
        let (digest, line) = line(&self.digest, &Body::Look(look.clone()));
        self.looks.push(look);
        self.sound_bytes += line.len();
        self.digest = digest;
        line
    }

    /// Reads a log. A last line without a line feed is torn and not read.
    pub fn read(text: &str) -> Result<Self, LogError> {
        let end = text.rfind('\n').map_or(0, |at| at + 1);
        let mut log: Option<Self> = None;
        for (index, line) in text[..end].lines().enumerate() {
            let fail = |what: String| LogError::Line { line: index + 1, what };
            let Line { digest, body } =
                serde_json::from_str(line).map_err(|error| fail(format!("not a line of a soak: {error}")))?;
            let before = log.as_ref().map_or("", |log| log.digest.as_str());
            if digest != digest_of(before, &body) {
                return Err(fail("was changed, or does not follow the line before".to_owned()));
            }
            match (body, &mut log) {
                (Body::Soak(soak), None) => {
                    soak.check().map_err(fail)?;
                    log = Some(Self { soak, looks: Vec::new(), sound_bytes: 0, torn_bytes: 0, digest });
                }
                (Body::Look(look), Some(log)) => {
                    if Stamp::parse(&look.at).is_none() {
                        return Err(fail("`at` is no time".to_owned()));
                    }
                    if look.readings.len() != log.soak.metrics.len() {
                        let (found, expected) = (look.readings.len(), log.soak.metrics.len());
                        return Err(fail(format!("{found} readings for {expected} metrics")));
                    }
                    log.looks.push(look);
                    log.digest = digest;
                }
                (Body::Soak(_), Some(_)) => return Err(fail("a second soak begins".to_owned())),
                (Body::Look(_), None) => return Err(fail("a look before the soak began".to_owned())),
            }
        }
        let mut log = log.ok_or(LogError::Empty)?;
        (log.sound_bytes, log.torn_bytes) = (end, text.len() - end);
        Ok(log)
    }
}

fn digest_of(before: &str, body: &Body) -> String {
    let body = serde_json::to_string(body).expect("words and numbers are JSON");
    let mut digest = sha256(format!("{before}\n{body}").as_bytes());
    digest.truncate(DIGEST_CHARS);
    digest
}

fn line(before: &str, body: &Body) -> (String, String) {
    #[derive(Serialize)]
    struct Shown<'a> {
        digest: &'a str,
        #[serde(flatten)]
        body: &'a Body,
    }
    let digest = digest_of(before, body);
    let mut line =
        serde_json::to_string(&Shown { digest: &digest, body }).expect("words and numbers are JSON");
    line.push('\n');
    (digest, line)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A soak of six hours with a look every five minutes.
    pub(in crate::soak) fn soak(metrics: Vec<Metric>) -> Soak {
        Soak {
            target: "postgres://db.internal/app".to_owned(),
            started: "2026-01-02T03:00:00Z".to_owned(),
            ..Soak::new("staging", metrics)
        }
    }

    pub(in crate::soak) fn metric(name: &str, rule: Rule) -> Metric {
        Metric::new(name, &format!("units of {name}"), rule)
    }

    pub(in crate::soak) fn look(seconds: u64, readings: Vec<Reading>) -> Look {
        let at = Stamp::parse("2026-01-02T03:00:00Z").unwrap().plus(Duration::from_secs(seconds));
        Look { at: at.iso(), process: "p1".to_owned(), up_ms: seconds * 1000, readings }
    }

    pub(in crate::soak) fn counted(units: u64, good: u64) -> Reading {
        Reading::Counted { units, good, bad: Vec::new() }
    }

    fn written() -> (Log, String) {
        let rate = metric("conversion", Rule::AtLeast { rate: 0.85, margin: 0.05 });
        let (mut log, mut text) = Log::begin(soak(vec![rate]));
        text.push_str(&log.add(look(0, vec![counted(4, 4)])));
        text.push_str(&log.add(look(300, vec![Reading::Failed("connection refused".to_owned())])));
        (log, text)
    }

    #[test]
    fn a_log_is_read_as_it_was_written() {
        let (log, text) = written();
        assert_eq!(Log::read(&text), Ok(log.clone()));
        let torn = format!("{text}{{\"digest\":\"0");
        let read = Log::read(&torn).unwrap();
        assert_eq!((read.looks.len(), read.torn_bytes, read.sound_bytes), (2, 12, text.len()));
        assert_eq!(Log::read(""), Err(LogError::Empty));
        assert_eq!(Log::read("{\"digest\""), Err(LogError::Empty));
    }

    #[test]
    fn every_edit_is_found() {
        let (_, text) = written();
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let at = |text: String| match Log::read(&text) {
            Err(LogError::Line { line, .. }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(at(text.replacen("\"units\":4", "\"units\":9", 1)), 2);
        assert_eq!(at(text.replacen("0.85", "0.55", 1)), 1);
        assert_eq!(at([lines[0], lines[2]].concat()), 2);
        assert_eq!(at([lines[0], lines[1], lines[1]].concat()), 3);
        assert_eq!(at([lines[0], lines[0]].concat()), 2);
        assert_eq!(at(lines[1].to_owned()), 1);
        assert_eq!(at("[]\n".to_owned()), 1);
    }

    #[test]
    fn impossible_terms_are_refused() {
        let sound = || soak(vec![metric("m", Rule::Never { hidden_max: 0.1 })]);
        assert_eq!(sound().check(), Ok(()));
        let spoils: [fn(&mut Soak); 9] = [
            |soak| soak.schema = 2,
            |soak| soak.started = "yesterday".to_owned(),
            |soak| soak.every_s = 0,
            |soak| soak.every_s = soak.window_s + 1,
            |soak| soak.gap_max_s = soak.every_s - 1,
            |soak| soak.error_rate = 0.0,
            |soak| soak.metrics.clear(),
            |soak| soak.metrics.push(soak.metrics[0].clone()),
            |soak| soak.metrics[0].rule = Rule::AtLeast { rate: 0.85, margin: 0.9 },
        ];
        for spoil in spoils {
            let mut soak = sound();
            spoil(&mut soak);
            assert!(soak.check().is_err(), "{soak:?}");
        }
    }
}
