//! The file itself: appending under a lock, and what a chain must satisfy.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;

use super::audit::{Finding, FindingKind};
use super::{Entry, GateError, Gates, Record};
use crate::clock::Stamp;
use crate::files::{self, FileError};
use crate::guard::Refusal;
use crate::ids::sha256;

/// What the first record names as the line before it.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

impl Record {
    /// The digest that this record should have.
    pub(super) fn expected_digest(&self) -> String {
        let open = Self { digest: String::new(), ..self.clone() };
        sha256(&serde_json::to_vec(&open).expect("words and numbers are JSON"))
    }

    fn line(&self) -> String {
        serde_json::to_string(self).expect("words and numbers are JSON")
    }
}

/// What a file holds, whether or not it holds together.
pub(super) struct Chain {
    /// The records that could be read, each with its line number.
    pub(super) records: Vec<(u64, Record)>,
    /// What is wrong with the chain, in the order of the lines.
    pub(super) findings: Vec<Finding>,
    /// SHA-256 of the last whole line.
    pub(super) head: Option<String>,
    /// Bytes up to the end of the last whole line, when something follows it.
    torn_at: Option<usize>,
}

impl Chain {
    /// Reads the text of a file.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut chain = Self { records: Vec::new(), findings: Vec::new(), head: None, torn_at: None };
        let end = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
        let (lines, torn) = bytes.split_at(end);
        let mut number = 0;
        // A line that was edited does not say anything about whether the next one follows it.
        let mut is_sound = true;
        for line in lines.split_inclusive(|b| *b == b'\n') {
            number += 1;
            let line = &line[..line.len() - 1];
            is_sound = chain.line(number, line, is_sound);
            chain.head = Some(sha256(line));
        }
        if !torn.is_empty() {
            chain.torn_at = Some(end);
            let what = format!("{} bytes without a line feed follow byte {end}", torn.len());
            chain.find(number + 1, FindingKind::Torn, what);
        }
        chain
    }

    fn find(&mut self, line: u64, kind: FindingKind, what: impl Into<String>) {
        self.findings.push(Finding { line, kind, what: what.into() });
    }

    /// Checks a line against the one before it; whether the line is what was written.
    fn line(&mut self, number: u64, line: &[u8], is_sound: bool) -> bool {
        let Ok(record) = serde_json::from_slice::<Record>(line) else {
            self.find(number, FindingKind::Edited, "the line is no record of this version");
            return false;
        };
        let is_own = record.digest == record.expected_digest() && record.line().as_bytes() == line;
        if !is_own {
            let expected = record.expected_digest();
            let what = format!("the record has digest {} and contents of digest {expected}", record.digest);
            self.find(number, FindingKind::Edited, what);
        }
        let last = self.records.last().map(|(_, last)| (last.seq, last.at.clone()));
        let next = last.as_ref().map_or(1, |(seq, _)| seq + 1);
        if record.seq > next {
            let what = format!("record {} where {next} belongs", record.seq);
            self.find(number, FindingKind::Missing, what);
        } else if record.seq < next {
            let what = format!("record {} again, where {next} belongs", record.seq);
            self.find(number, FindingKind::Replayed, what);
        } else if is_sound && is_own && record.prev != self.head.as_deref().unwrap_or(NOTHING) {
            let what = format!(
                "the line before it had digest {}: this record is of another chain, or that line was replaced",
                record.prev
            );
            self.find(number, FindingKind::Replayed, what);
        }
        if let Some((_, at)) = last.filter(|(_, at)| record.at < *at) {
            self.find(number, FindingKind::OutOfOrder, format!("{} after {at}", record.at));
        }
        self.records.push((number, record));
        is_own
    }
}

fn refused(path: &Path, finding: &Finding, torn_at: Option<usize>) -> Refusal {
    let what = format!("the gates in `{}` cannot be relied on", path.display());
    let found = format!("line {}: {}: {}", finding.line, finding.kind.as_str(), finding.what);
    let refusal = Refusal::new(what, "a chain of records without a break", found);
    if let (FindingKind::Torn, Some(end)) = (finding.kind, torn_at) {
        return refusal
            .next(
                "look at the end of the file: a record was being written when its program was killed, and nobody has \
                 relied on it",
            )
            .next(format!("truncate -s {end} {}", path.display()));
    }
    refusal.next(format!("cargo xtask gates audit --gates {}", path.display()))
}

impl Gates {
    /// Reads the records of a file; a missing file has none. A chain with a break is refused.
    pub fn load(path: &Path) -> Result<Self, GateError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(FileError::new("read", path, error).into()),
        };
        Ok(Self::parse(path, &bytes)?)
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Refusal> {
        let chain = Chain::read(bytes);
        match chain.findings.first() {
            Some(finding) => Err(refused(path, finding, chain.torn_at)),
            None => Ok(Self {
                path: path.to_path_buf(),
                records: chain.records.into_iter().map(|(_, record)| record).collect(),
            }),
        }
    }

    /// Appends a record and flushes it to disk. Another program that appends waits; a chain with a break, and a
    /// clock that is behind the last record, are refused.
    pub fn append(path: &Path, entry: Entry, now: Stamp, tool: &str) -> Result<Record, GateError> {
        if let Some(parent) = path.parent() {
            files::create_dir(parent)?;
        }
        let is_new = !path.exists();
        let failed = |action| move |error| FileError::new(action, path, error);
        let mut file: File =
            OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed("open"))?;
        // Given back when the file is closed, however this function ends.
        file.lock().map_err(failed("lock"))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed("read"))?;
        let gates = Self::parse(path, &bytes)?;
        let record = gates.next(entry, now, tool, &bytes)?;
        file.write_all(format!("{}\n", record.line()).as_bytes()).map_err(failed("write"))?;
        file.sync_all().map_err(failed("flush"))?;
        if is_new {
            files::sync_parent(path)?;
        }
        Ok(record)
    }

    fn next(&self, entry: Entry, now: Stamp, tool: &str, bytes: &[u8]) -> Result<Record, Refusal> {
        let last = self.records.last();
        if let Some(last) = last.filter(|last| now.iso() < last.at) {
            let what = "the clock is behind the last record of the gates";
            return Err(Refusal::new(what, format!("{} or later", last.at), now.iso())
                .next("set the clock right; records out of order prove nothing"));
        }
        let line =
            bytes.strip_suffix(b"\n").map(|lines| lines.rsplit(|b| *b == b'\n').next().unwrap_or(lines));
        let mut record = Record {
            seq: last.map_or(1, |last| last.seq + 1),
            at: now.iso(),
            prev: line.map_or_else(|| NOTHING.to_owned(), sha256),
            stage: entry.stage,
            plan: entry.plan,
            target: entry.target,
            lineage: entry.lineage,
            decision: entry.decision,
            detail: entry.detail,
            tool: tool.to_owned(),
            digest: String::new(),
        };
        record.digest = record.expected_digest();
        Ok(record)
    }
}
