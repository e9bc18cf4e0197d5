//! The `recorded` executor: replays outcomes that were recorded before, so that seeding works offline.
//!
//! A recording is evidence of its own attempt only: attempt n of a template gets recording n, none is used
//! twice, and a template that has run out of recordings fails its attempt. Every event carries the source
//! `recorded`, so that a calibration can leave it out.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::executor::{Attempted, Execution, Executor, Order, Report};
use crate::files;

/// The recordings of one template, as a file `<template>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recordings {
    /// Version of this file format: 1.
    pub format: u32,
    /// Whose attempts these are; equals the file's stem.
    pub template: String,
    /// In the order in which they happened.
    pub attempts: Vec<Recording>,
}

/// One recorded attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// What the executor of that time reported.
    pub report: Report,
    /// The files that it wrote, with their sizes in bytes.
    pub delivered: Vec<Delivered>,
}

/// A file that a recorded attempt wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delivered {
    /// Relative to the workspace.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// Replays the recordings in a directory.
#[derive(Debug)]
pub struct Recorded {
    directory: PathBuf,
}

impl Recorded {
    /// Recordings are read from `directory` when they are needed.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf() }
    }

    fn recording(&self, template: &str, number: u64) -> Result<Recording, String> {
        // A template names a file; what could lead out of the directory is no template.
        if template.is_empty()
            || !template.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        {
            return Err(format!("`{template}` is not the name of a template"));
        }
        let path = self.directory.join(format!("{template}.json"));
        if !path.is_file() {
            return Err(format!("there are no recordings for `{template}`"));
        }
        let text = files::read_text(&path).map_err(|error| error.to_string())?;
        let file: Recordings = serde_json::from_str(&text)
            .map_err(|error| format!("`{}` is not valid: {error}", path.display()))?;
        if file.format != 1 || file.template != template {
            return Err(format!("`{}` is not a format 1 file of `{template}`", path.display()));
        }
        let recorded = file.attempts.len();
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let missing =
            || format!("`{template}` has {recorded} recordings, there is none for attempt {}", number + 1);
        file.attempts.into_iter().nth(index).ok_or_else(missing)
    }
}

impl Executor for Recorded {
    fn source(&self) -> &'static str {
        "recorded"
    }

    fn is_repeatable(&self) -> bool {
        true
    }

    fn execute(&mut self, order: Order<'_>, stop: &AtomicBool) -> Attempted {
        if stop.load(Ordering::Relaxed) {
            return Execution::Interrupted.into();
        }
        let claim = order.claim;
        let template = claim.scope.template.as_deref().unwrap_or(&claim.key.phase_id);
        let execution = match self.recording(template, claim.template_attempts) {
            Err(detail) => Execution::Broken { reason: "no_recording", detail },
            Ok(recording) => {
                let delivered =
                    |path: &String| recording.delivered.iter().any(|d| d.path == *path && d.bytes > 0);
                let missing =
                    claim.scope.deliverables.iter().filter(|path| !delivered(path)).cloned().collect();
                Execution::Reported { report: recording.report, missing }
            }
        };
        execution.into()
    }
}
