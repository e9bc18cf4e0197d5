//! Fingerprints of failures: texts that tell of the same failure get the same one, others do not.
//!
//! A normaliser replaces what varies (paths, times, ids, numbers, quoted values) and keeps what identifies (classes of
//! exceptions, names of files, codes, words). It has a version; what it replaced and by which rule is kept beside the raw
//! text, so that a fingerprint can be explained and keyed anew. Pure: no database, no file.

mod first;
mod normalise;
mod quoted;
mod rekey;
mod rules;
mod scan;
mod words;

use serde::{Deserialize, Serialize};

pub use first::normalise as normalise_first;
pub use normalise::{Normalised, Parameter, normalise};
pub use rekey::{Mapping, Rekeyed, rekey};
pub use rules::Rule;

use crate::ids;
use crate::report::{Align, Document, Table};
use crate::text;

/// The version of the normaliser of this build.
pub const VERSION: u32 = 2;

/// What an attempt left behind that its fingerprint is made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evidence<'a> {
    /// How it ended: the state of the phase as the account spells it.
    pub state: &'a str,
    /// Exit status of its program.
    pub exit: Option<i32>,
    /// How far it had come; decides for an attempt that ran out of time.
    pub stage: Option<&'a str>,
    /// Whether it ran out of time: what it said then is no evidence.
    pub timed_out: bool,
    /// The error text, as it was.
    pub raw: &'a str,
    /// Ids that are known to be of this attempt, such as its run and its phase: they vary, whatever they look like.
    pub known: &'a [&'a str],
}

/// What identifies a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The version of the normaliser.
    pub version: u32,
    /// Twelve hex digits over version and key.
    pub id: String,
    /// State, exit status, stage and template.
    pub key: String,
    /// The error text, as it was.
    pub raw: String,
    /// The error text without what varies.
    pub template: String,
    /// What was replaced, in order.
    pub parameters: Vec<Parameter>,
    /// Whether the same fingerprint in several runs means that they have one cause. Not so for a timeout, nor without
    /// any text.
    pub is_systemic: bool,
}

impl Fingerprint {
    /// The fingerprint of a failure.
    pub fn of(evidence: &Evidence<'_>) -> Self {
        let Normalised { template, parameters } = normalise(evidence.raw, evidence.known);
        let code = |exit: i32| format!("rc{exit}");
        let mut key = evidence.state.to_owned();
        let parts = if evidence.timed_out {
            [Some("timeout".to_owned()), evidence.stage.map(str::to_owned), None]
        } else {
            [evidence.exit.map(code), evidence.stage.map(str::to_owned), Some(template.clone())]
        };
        for part in parts.into_iter().flatten().filter(|part| !part.is_empty()) {
            key.push('|');
            key.push_str(&part);
        }
        Self {
            version: VERSION,
            id: id(VERSION, &key),
            key,
            raw: evidence.raw.to_owned(),
            is_systemic: !evidence.timed_out && !template.is_empty(),
            template,
            parameters,
        }
    }

    /// Which rule replaced what.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        document.heading(2, "Fingerprint");
        document.facts([
            ("fingerprint", format!("{} (normaliser {})", self.id, self.version)),
            ("template", self.template.clone()),
            ("replaced", text::plural(self.parameters.len() as u64, "part")),
        ]);
        if !self.parameters.is_empty() {
            let mut table =
                Table::new([("rule", Align::Left), ("text", Align::Left), ("stands for it", Align::Left)]);
            for parameter in &self.parameters {
                table.row([
                    parameter.rule.as_str().to_owned(),
                    text::ellipsis(&text::one_line(&parameter.raw), 80),
                    parameter.token.clone(),
                ]);
            }
            document.table(table);
        }
        document
    }
}

/// The short name of a key under a version of the normaliser.
pub fn id(version: u32, key: &str) -> String {
    let mut digest = ids::sha256(format!("{version}\n{key}").as_bytes());
    digest.truncate(12);
    digest
}

#[cfg(test)]
mod tests;
