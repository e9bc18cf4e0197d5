//! The banner: an identity as people read it.

use std::collections::BTreeMap;

use super::{FileFacts, Identity, ServerFacts, Telemetry};
use crate::report::Document;
use crate::text::{bytes, plural, thousands};

impl Identity {
    /// The identity as a report.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        document.heading(1, "Database identity").facts(self.facts());
        if !self.notes.is_empty() {
            document.facts(self.notes.iter().map(|note| ("note", note.as_str())));
        }
        document
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![("database", self.url.clone())];
        if let Some(file) = &self.file {
            facts.extend(of_file(file));
        }
        if let Some(server) = &self.server {
            facts.extend(of_server(server));
        }
        facts.push(("fingerprint", self.fingerprint.clone()));
        facts.push(("lineage", self.lineage_text()));
        facts.push((
            "schema",
            format!("{}, {}", self.schema.digest, plural(self.schema.tables.len() as u64, "table")),
        ));
        facts.push(("migrations", self.migrations_text()));
        facts.push(("runs", self.runs.map_or_else(|| "no such table".into(), thousands)));
        facts.push(("phases", self.phases_text()));
        facts.extend(
            self.telemetry.as_ref().map_or_else(|| vec![("events", "no such table".into())], of_telemetry),
        );
        facts.push(("foreign keys", self.foreign_keys_text()));
        facts
    }

    fn lineage_text(&self) -> String {
        match &self.lineage {
            Some(lineage) => format!("{} `{}`, stamped {}", lineage.id, lineage.purpose, lineage.stamped_at),
            None => "none: never stamped".to_owned(),
        }
    }

    fn migrations_text(&self) -> String {
        let migrations = &self.migrations;
        let applied = match (migrations.ledger, migrations.applied.last()) {
            (false, _) => "no ledger".to_owned(),
            (true, None) => "none applied".to_owned(),
            (true, Some(last)) => format!("{} applied, last {last}", migrations.applied.len()),
        };
        if migrations.pending.is_empty() {
            applied
        } else {
            format!("{applied}; {} pending", migrations.pending.len())
        }
    }

    fn phases_text(&self) -> String {
        match &self.phases {
            None => "no such table".to_owned(),
            Some(phases) if phases.total == 0 => "0".to_owned(),
            Some(phases) => format!("{} = {}", thousands(phases.total), sum(&phases.by)),
        }
    }

    fn foreign_keys_text(&self) -> String {
        match &self.foreign_keys {
            None => "not checked".to_owned(),
            Some(keys) if keys.violations == 0 => "no violations".to_owned(),
            Some(keys) => {
                let parts: Vec<String> =
                    keys.by_reference.iter().map(|(key, n)| format!("{n} {key}")).collect();
                format!("{} ({})", plural(keys.violations, "violation"), parts.join(", "))
            }
        }
    }
}

fn of_file(file: &FileFacts) -> Vec<(&'static str, String)> {
    let mut facts = vec![("path", file.path.display().to_string())];
    if let Some(id) = file.id {
        facts.push(("file", format!("device {}, inode {}", id.device, id.inode)));
    }
    let size = format!("{} ({} bytes)", bytes(file.size_bytes), thousands(file.size_bytes));
    facts.push(("size", size));
    facts.push(("modified", file.modified_at.clone().unwrap_or_else(|| "unknown".into())));
    facts.push((
        "header",
        format!(
            "application_id {}, user_version {}, {} journal",
            application(file.application_id),
            file.user_version,
            file.journal
        ),
    ));
    facts
}

/// The number, and the four letters that it spells where it does.
fn application(id: u32) -> String {
    let letters = id.to_be_bytes();
    match std::str::from_utf8(&letters) {
        Ok(word) if letters.iter().all(u8::is_ascii_graphic) => format!("{id:#010x} (`{word}`)"),
        _ => id.to_string(),
    }
}

fn of_server(server: &ServerFacts) -> Vec<(&'static str, String)> {
    let role = if server.replica { ", replica" } else { "" };
    let wire = if server.encrypted { "encrypted" } else { "not encrypted" };
    vec![
        ("server", format!("PostgreSQL {}{role}, connection {wire}", server.version)),
        ("system", server.system_identifier.clone().unwrap_or_else(|| "not readable by this role".into())),
        (
            "size",
            format!(
                "{} (database `{}`, oid {})",
                bytes(server.size_bytes),
                server.database,
                server.database_oid
            ),
        ),
    ]
}

fn of_telemetry(telemetry: &Telemetry) -> Vec<(&'static str, String)> {
    let mut facts = vec![("events", thousands(telemetry.total))];
    let splits = [
        ("  by category", &telemetry.by_category),
        ("  by complexity", &telemetry.by_complexity),
        ("  successful", &telemetry.by_success),
        ("  truncated", &telemetry.by_truncation),
    ];
    for (name, split) in splits {
        if let Some(split) = split.as_ref().filter(|split| !split.is_empty()) {
            facts.push((name, sum(split)));
        }
    }
    facts
}

/// `207 FAILED + 107 QUEUED`, the largest part first.
fn sum(by: &BTreeMap<String, u64>) -> String {
    let mut parts: Vec<(&String, &u64)> = by.iter().collect();
    parts.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), (*name).clone()));
    parts.iter().map(|(name, n)| format!("{} {name}", thousands(**n))).collect::<Vec<_>>().join(" + ")
}
