//! Plans and chains of gates for tests of what comes after an application.

use std::path::Path;

pub(crate) use ops::change::gate::{Decision, Stage};
use ops::change::gate::{Entry, Gates};
use ops::clock::Stamp;
use ops::ids::sha256;

/// Full id of the plan that [`plan_dir`] makes.
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

/// The plan [`PLAN`] with these candidates, by its name below `dir`.
pub(crate) fn plan_dir(dir: &Path, candidates: &[&str]) -> String {
    plan_dir_of(dir, PLAN, candidates)
}

/// A plan with this id and these candidates, by its name below `dir`.
pub(crate) fn plan_dir_of(dir: &Path, id: &str, candidates: &[&str]) -> String {
    let line = |(n, id): (usize, &&str)| format!("{{\"n\":{n},\"batch\":0,\"id\":\"{id}\",\"has\":[]}}\n");
    let list: String = candidates.iter().enumerate().map(line).collect();
    let plan = serde_json::json!({
        "format": 1, "id": id, "short": &id[..12],
        "plan": {"list": {"path": "candidates.ndjson", "sha256": sha256(list.as_bytes())}},
    });
    let name = format!("plan-{}", &id[..12]);
    for (file, text) in [("plan.json", plan.to_string()), ("candidates.ndjson", list)] {
        ops::files::write_atomic(&dir.join(&name).join(file), text.as_bytes())
            .expect("the folder can be written to");
    }
    name
}
