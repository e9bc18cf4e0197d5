//! Plans and chains of gates for tests of what comes after an application.

use std::path::Path;

use ops::backfill::plan::{CANDIDATES, FORMAT, Facts, PLAN as PLAN_FILE, Plan as BackfillPlan};
pub(crate) use ops::change::gate::{Decision, Stage};
use ops::change::gate::{Entry, Gates};
use ops::clock::Stamp;
use ops::ids::sha256;

/// Full id of a plan that is nowhere on disk.
pub(crate) const PLAN: &str = "1111aaaa2222bbbb3333cccc4444dddd1111aaaa2222bbbb3333cccc4444dddd";

/// A decision by its word.
pub(crate) fn decision(word: &str) -> Decision {
    serde_json::from_value(word.into()).expect("a decision of the chain")
}

/// Appends records about a plan and the database `app.db` in `dir` to the chain of `dir`, each an hour before the soaks of
/// these tests begin.
pub(crate) fn chain(dir: &Path, plan: &str, records: &[(Stage, Decision)]) {
    chain_at(dir, plan, records, "2026-01-02T02:04:05Z");
}

/// [`chain`] at another time.
pub(crate) fn chain_at(dir: &Path, plan: &str, records: &[(Stage, Decision)], at: &str) {
    let url = ops::url::SqliteUrl::from_path(dir.join("app.db"));
    let source = ops::identity::source_of_sqlite(&url, dir).expect("the database is there");
    let at = Stamp::parse(at).expect("a time");
    for (stage, decision) in records {
        let entry = Entry {
            stage: *stage,
            plan: plan.to_owned(),
            target: source.fingerprint.clone(),
            lineage: None,
            decision: *decision,
            detail: std::collections::BTreeMap::new(),
        };
        Gates::append(&dir.join(".ops/gates.ndjson"), entry, at, "0.1.0").expect("the chain holds");
    }
}

/// A plan on disk.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Its folder below the working directory.
    pub(crate) dir: String,
    /// Its full id.
    pub(crate) id: String,
}

/// Seals a plan with this name and these candidates below `dir`, as `backfill plan` would have made it of a table that has
/// them.
pub(crate) fn plan_dir(dir: &Path, name: &str, candidates: &[&str]) -> Plan {
    let line = |(n, id): (usize, &&str)| format!("{{\"n\":{n},\"batch\":0,\"id\":\"{id}\",\"has\":[]}}\n");
    let list: String = candidates.iter().enumerate().map(line).collect();
    let facts: Facts = serde_json::from_value(serde_json::json!({
        "created_at": "2026-01-02T01:00:00Z", "tool": "0.1.0", "name": name, "sources": [], "environment": null,
        "target": {"driver": "sqlite", "url": "sqlite:///app.db", "fingerprint": "0123456789ab", "lineage": null},
        "functions": null, "table": "assessment_sessions", "id": {"column": "id", "kind": "text"},
        "conditions": [], "order": [], "parameter": "session_id", "results": [], "batches": [], "per_minute": 20,
        "calls_per_minute": null, "timeout_seconds": 60, "tries_max": 3, "errors_max": 10, "reads": [],
        "examined": 0, "current": 0, "candidates": candidates.len(), "expected": [], "promised": [],
        "runtime_seconds": 0, "notes": [],
        "list": {"path": CANDIDATES, "bytes": list.len(), "sha256": sha256(list.as_bytes())},
    }))
    .expect("these are the facts of a plan");
    let id = sha256(&serde_json::to_vec(&(FORMAT, &facts)).expect("facts are JSON"));
    let short = id[..12].to_owned();
    let dir_name = format!("backfill-{short}");
    let plan = BackfillPlan { format: FORMAT, id: id.clone(), short, plan: facts };
    let plan = serde_json::to_string(&plan).expect("a plan is JSON");
    for (file, text) in [(PLAN_FILE, plan), (CANDIDATES, list)] {
        ops::files::write_atomic(&dir.join(&dir_name).join(file), text.as_bytes())
            .expect("the folder can be written to");
    }
    Plan { dir: dir_name, id }
}
