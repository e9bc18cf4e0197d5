//! What tasks share that watch a database after a backfill: its plan, the database, and their word in the chain of gates.

use std::collections::BTreeSet;
use std::path::Path;

use ops::change::gate::{Decision, Entry, Gates, Stage, Subject};
use ops::ids::sha256;
use ops::probe::{Patience, Probe};
use ops::soak::{Log, Verdict};
use ops::url::DbUrl;

use super::backfill;
use crate::settings::Settings;

/// A plan and the keys of its frozen list.
#[derive(Debug)]
pub(super) struct Planned {
    /// Its full id.
    pub(super) id: String,
    /// The first 12 digits.
    pub(super) short: String,
    /// Every candidate.
    pub(super) candidates: BTreeSet<String>,
}

/// Reads a sealed plan, by its folder or its id, and its list.
pub(super) fn plan(plan: &Path, settings: &Settings) -> anyhow::Result<Planned> {
    let dir = backfill::open(plan, settings)?;
    let (mut list, mut candidates) = (dir.candidates()?, BTreeSet::new());
    while let Some(candidate) = list.take_next()? {
        candidates.insert(candidate.name());
    }
    Ok(Planned { id: dir.plan().id.clone(), short: dir.plan().short.clone(), candidates })
}

/// Opens a database to look at it.
pub(super) fn open(url: &DbUrl, name: &str, settings: &Settings) -> anyhow::Result<Probe> {
    let key = match url {
        DbUrl::PostgRest(url) => Some(settings.api_key(url)?),
        DbUrl::Sqlite(_) | DbUrl::Postgres(_) => None,
    };
    Ok(Probe::open(url, key.as_ref(), Patience::new(name, settings.scratch.clone()))?)
}

/// Puts the verdict into the chain, once for the same evidence.
pub(super) fn record_soak(
    gates: &Path,
    subject: &Subject<'_>,
    out: &Path,
    (log, verdict): (&Log, Verdict),
    settings: &Settings,
) -> anyhow::Result<()> {
    let decision = match verdict {
        Verdict::Go => Decision::Pass,
        Verdict::NoGo => Decision::Fail,
        Verdict::Insufficient => Decision::Insufficient,
        Verdict::Invalid => Decision::Invalid,
    };
    let file = |ending: &str| format!("{}_observability.{ending}", log.soak.name);
    let entry = entry(subject, Stage::Soak, decision)
        .with("soak", log.soak.name.as_str())
        .with("verdict", verdict.to_string())
        .with("looks", log.looks.len() as u64)
        .with("evidence_sha256", digest(&out.join("evidence.ndjson"))?)
        .with("json_sha256", digest(&out.join(file("json")))?)
        .with("md_sha256", digest(&out.join(file("md")))?);
    record(gates, entry, "evidence_sha256", settings)
}

/// A record about a plan and the database that was looked at.
pub(super) fn entry(subject: &Subject<'_>, stage: Stage, decision: Decision) -> Entry {
    Entry {
        stage,
        plan: subject.plan.to_owned(),
        target: subject.target.to_owned(),
        lineage: subject.lineage.map(str::to_owned),
        decision,
        detail: std::collections::BTreeMap::new(),
    }
}

/// Appends a record, unless the last one of its stage rests on the same file.
pub(super) fn record(gates: &Path, entry: Entry, file: &str, settings: &Settings) -> anyhow::Result<()> {
    let loaded = Gates::load(gates)?;
    let last = loaded.last(entry.stage, &entry.plan);
    if last.is_some_and(|last| last.detail.get(file) == entry.detail.get(file)) {
        return Ok(());
    }
    Ok(super::gates::append(gates, entry, settings)?)
}

/// The digest of a file that was just written.
pub(super) fn digest(path: &Path) -> anyhow::Result<String> {
    Ok(sha256(ops::files::read_text(path)?.as_bytes()))
}
