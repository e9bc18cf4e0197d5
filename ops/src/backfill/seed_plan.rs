//! The plan file of the original pipeline (`backfill_apply.plan.json`), and of a health check's mini plan.
//!
//! Read by hand, key by key, so that what is missing, of the wrong type or cannot be true is named by its path. Nothing
//! here reads a database: whether the sessions exist is found out when a plan is made of it. Keys that are not known
//! are left alone; the statements of `rollback_strategy` are kept as text and never run.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Stamp;

/// A whole plan file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedPlan {
    /// What the plan says of itself.
    pub backfill_plan: Head,
    /// Which sessions, and what is done to each.
    pub batches: Vec<SeedBatch>,
    /// What it promises, by table.
    #[serde(default)]
    pub expected_changes: BTreeMap<String, Promise>,
    /// SQL by table, as text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rollback_strategy: BTreeMap<String, String>,
}

/// `backfill_plan`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// Its name for this version of the plan: `v1.0`.
    pub version: String,
    /// When it was made, RFC 3339.
    pub timestamp: String,
    /// `staging`, `production`, …
    pub environment: String,
    /// Version of the scoring engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Version of the forced-choice scores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fc_version: Option<String>,
    /// Sessions a minute, above 0.
    pub throttle_per_minute: u32,
    /// Kept, and without a meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<u64>,
    /// Sessions in all batches together.
    pub total_candidates: u64,
    /// Whole minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_runtime_minutes: Option<u64>,
    /// Where the sessions of a mini plan were found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery_source: Option<String>,
    /// Notes for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub safety_notes: Vec<String>,
}

/// One of `batches`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SeedBatch {
    /// Its name, no two alike.
    pub batch_id: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
    /// The sessions, where they are listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions: Option<Vec<String>>,
    /// How many sessions, where a query selects them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_count: Option<u64>,
    /// What is done to each session, in order.
    pub operations: Vec<Operation>,
}

impl SeedBatch {
    /// How many sessions it is about.
    pub fn count(&self) -> u64 {
        self.sessions.as_ref().map_or(self.session_count.unwrap_or(0), |ids| ids.len() as u64)
    }
}

/// One call of an edge function. `if_missing` among the parameters forbids the call where a row is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Name of the function.
    pub function: String,
    /// What goes into the body beside `session_id`.
    #[serde(default)]
    pub params: Map<String, Value>,
}

/// What is promised of one table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Promise {
    /// Rows that will be new.
    #[serde(default)]
    pub new_rows: u64,
    /// Rows that will be overwritten; nothing is promised without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_rows: Option<u64>,
    /// What the rows will say: `version`, `fc_kind`, `results_version`.
    #[serde(flatten)]
    pub stamp: BTreeMap<String, Value>,
}

/// What is wrong with a plan file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{key}`: {what}")]
pub struct SeedPlanError {
    /// The path of the key, lists by number from 0: `batches[2].session_count`.
    pub key: String,
    /// What is wrong.
    pub what: String,
}

fn wrong<T>(key: impl Into<String>, what: impl Into<String>) -> Result<T, SeedPlanError> {
    Err(SeedPlanError { key: key.into(), what: what.into() })
}

impl SeedPlan {
    /// The plan as the file that [`parse`] reads.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers are JSON") + "\n"
    }
}

/// Reads a plan file and refuses what cannot be true in it, naming the key.
pub fn parse(bytes: &[u8]) -> Result<SeedPlan, SeedPlanError> {
    let root: Value = match serde_json::from_slice(bytes) {
        Ok(root) => root,
        Err(error) => return wrong("line ".to_owned() + &error.line().to_string(), "this is no JSON"),
    };
    let root = At { path: String::new(), value: &root };
    let plan = SeedPlan {
        backfill_plan: head(&root.get("backfill_plan")?)?,
        batches: root.get("batches")?.list()?.iter().map(batch).collect::<Result<_, _>>()?,
        expected_changes: match root.find("expected_changes") {
            Some(changes) => changes
                .members()?
                .iter()
                .map(|(name, at)| Ok((name.clone(), promise(at)?)))
                .collect::<Result<_, _>>()?,
            None => BTreeMap::new(),
        },
        rollback_strategy: match root.find("rollback_strategy") {
            Some(sql) => sql
                .members()?
                .iter()
                .filter(|(_, at)| at.value.is_string())
                .map(|(name, at)| Ok((name.clone(), at.text()?)))
                .collect::<Result<_, SeedPlanError>>()?,
            None => BTreeMap::new(),
        },
    };
    check(&plan)?;
    Ok(plan)
}

fn head(at: &At<'_>) -> Result<Head, SeedPlanError> {
    let optional = |key: &str| at.find(key).map(|found| found.text()).transpose();
    let notes = at.find("safety_notes").map(|notes| notes.list()).transpose()?.unwrap_or_default();
    let throttle = at.get("throttle_per_minute")?;
    let head = Head {
        version: at.get("version")?.text()?,
        timestamp: at.get("timestamp")?.text()?,
        environment: at.get("environment")?.text()?,
        engine_version: optional("engine_version")?,
        fc_version: optional("fc_version")?,
        throttle_per_minute: match u32::try_from(throttle.whole()?) {
            Ok(0) | Err(_) => {
                return wrong(throttle.path, "expected sessions a minute, a whole number above 0");
            }
            Ok(sessions) => sessions,
        },
        batch_size: at.find("batch_size").map(|found| found.whole()).transpose()?,
        total_candidates: at.get("total_candidates")?.whole()?,
        expected_runtime_minutes: at
            .find("expected_runtime_minutes")
            .map(|found| found.whole())
            .transpose()?,
        discovery_source: optional("discovery_source")?,
        safety_notes: notes.iter().map(At::text).collect::<Result<_, _>>()?,
    };
    if Stamp::parse(&head.timestamp).is_none() {
        return wrong(at.of("timestamp"), "expected a time with a zone, as 2025-09-17T08:00:00Z");
    }
    if head.environment.trim().is_empty() {
        return wrong(at.of("environment"), "expected a name, as `staging` or `production`");
    }
    Ok(head)
}

fn batch(at: &At<'_>) -> Result<SeedBatch, SeedPlanError> {
    let (sessions, count) = (at.find("sessions"), at.find("session_count"));
    match (&sessions, &count) {
        (Some(_), Some(count)) => {
            return wrong(&count.path, "a batch has either `sessions` or `session_count`");
        }
        (None, None) => return wrong(at.of("sessions"), "missing, and there is no `session_count` either"),
        _ => {}
    }
    let ids = |list: &At<'_>| list.list()?.iter().map(id).collect::<Result<Vec<_>, _>>();
    let operations = at.get("operations")?;
    let batch = SeedBatch {
        batch_id: at.get("batch_id")?.text()?,
        description: at.find("description").map(|found| found.text()).transpose()?.unwrap_or_default(),
        sessions: sessions.as_ref().map(ids).transpose()?,
        session_count: count.map(|count| count.whole()).transpose()?,
        operations: operations.list()?.iter().map(operation).collect::<Result<_, _>>()?,
    };
    if batch.operations.is_empty() {
        return wrong(operations.path, "nothing is done to the sessions of this batch");
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if batch.batch_id.is_empty() || !batch.batch_id.chars().all(is_plain) {
        return wrong(at.of("batch_id"), "expected letters, digits, `.`, `_` and `-`: it names a file");
    }
    Ok(batch)
}

/// A session's id: a UUID, in lower case as databases print it.
fn id(at: &At<'_>) -> Result<String, SeedPlanError> {
    let text = at.text()?.to_ascii_lowercase();
    let groups: Vec<&str> = text.split('-').collect();
    let is_hex = |group: &&str| group.bytes().all(|b| b.is_ascii_hexdigit());
    let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
    if lengths == [8, 4, 4, 4, 12] && groups.iter().all(is_hex) {
        return Ok(text);
    }
    wrong(&at.path, "expected a UUID")
}

fn operation(at: &At<'_>) -> Result<Operation, SeedPlanError> {
    let name = at.get("function")?;
    let function = name.text()?;
    if !is_function_name(&function) {
        return wrong(name.path, "expected the name of a function: letters, digits, `_` and `-`");
    }
    let params = match at.find("params") {
        None => Map::new(),
        Some(params) => match params.value {
            Value::Object(map) => map.clone(),
            _ => return wrong(params.path, "expected an object"),
        },
    };
    if params.contains_key("session_id") {
        return wrong(at.of("params.session_id"), "the session is that of the batch");
    }
    if params.get("if_missing").is_some_and(|value| !value.is_boolean()) {
        return wrong(at.of("params.if_missing"), "expected true or false");
    }
    Ok(Operation { function, params })
}

/// Whether a name can stand in the address of a function.
pub fn is_function_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn promise(at: &At<'_>) -> Result<Promise, SeedPlanError> {
    let number = |key: &str| at.find(key).map(|found| found.whole()).transpose();
    let stamp = at.members()?.into_iter().filter(|(name, _)| name != "new_rows" && name != "updated_rows");
    Ok(Promise {
        new_rows: number("new_rows")?.unwrap_or(0),
        updated_rows: number("updated_rows")?,
        stamp: stamp.map(|(name, at)| (name, at.value.clone())).collect(),
    })
}

/// What single keys cannot show: ids and counts that contradict each other.
fn check(plan: &SeedPlan) -> Result<(), SeedPlanError> {
    let head = &plan.backfill_plan;
    let mut names: HashMap<&str, usize> = HashMap::new();
    let mut seen: HashMap<&str, String> = HashMap::new();
    for (b, batch) in plan.batches.iter().enumerate() {
        if let Some(first) = names.insert(&batch.batch_id, b) {
            return wrong(format!("batches[{b}].batch_id"), format!("the same as that of batches[{first}]"));
        }
        for (s, id) in batch.sessions.iter().flatten().enumerate() {
            let place = format!("batches[{b}].sessions[{s}]");
            if let Some(first) = seen.insert(id, place.clone()) {
                return wrong(place, format!("the same session as {first}"));
            }
        }
    }
    let sum = plan.batches.iter().try_fold(0_u64, |sum, batch| sum.checked_add(batch.count()));
    let total = head.total_candidates;
    if sum != Some(total) {
        let sum = sum.map_or_else(|| "more than can be counted".to_owned(), |sum| sum.to_string());
        return wrong(
            "backfill_plan.total_candidates",
            format!("it says {total}, and the batches have {sum}"),
        );
    }
    let least = total.saturating_sub(1) / u64::from(head.throttle_per_minute);
    if let Some(minutes) = head.expected_runtime_minutes.filter(|minutes| *minutes < least) {
        let what = format!(
            "{total} sessions at {} a minute take at least {least} minutes, not {minutes}",
            head.throttle_per_minute
        );
        return wrong("backfill_plan.expected_runtime_minutes", what);
    }
    for (table, promise) in &plan.expected_changes {
        let rows = promise.new_rows.saturating_add(promise.updated_rows.unwrap_or(0));
        if rows > total {
            let what = format!("{rows} rows of {total} candidates; each has one row at most");
            return wrong(format!("expected_changes.{table}"), what);
        }
    }
    Ok(())
}

/// A value and where it stands.
struct At<'v> {
    path: String,
    value: &'v Value,
}

impl<'v> At<'v> {
    fn of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A member that is there and not null.
    fn find(&self, key: &str) -> Option<At<'v>> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(At { path: self.of(key), value })
    }

    fn get(&self, key: &str) -> Result<At<'v>, SeedPlanError> {
        if !self.value.is_object() {
            let path = if self.path.is_empty() { "the file" } else { &self.path };
            return wrong(path, "expected an object");
        }
        self.find(key).map_or_else(|| wrong(self.of(key), "missing"), Ok)
    }

    fn members(&self) -> Result<Vec<(String, At<'v>)>, SeedPlanError> {
        let Value::Object(map) = self.value else { return wrong(&self.path, "expected an object") };
        let member = |(key, value): (&String, &'v Value)| (key.clone(), At { path: self.of(key), value });
        Ok(map.iter().map(member).collect())
    }

    fn list(&self) -> Result<Vec<At<'v>>, SeedPlanError> {
        let Value::Array(items) = self.value else { return wrong(&self.path, "expected a list") };
        let item = |(i, value)| At { path: format!("{}[{i}]", self.path), value };
        Ok(items.iter().enumerate().map(item).collect())
    }

    fn text(&self) -> Result<String, SeedPlanError> {
        self.value.as_str().map_or_else(|| wrong(&self.path, "expected a text"), |text| Ok(text.to_owned()))
    }

    fn whole(&self) -> Result<u64, SeedPlanError> {
        self.value.as_u64().map_or_else(|| wrong(&self.path, "expected a whole number, 0 or more"), Ok)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn uuid(n: u32) -> String {
        format!("0a0a0a0a-0000-4000-8000-{n:012x}")
    }

    fn plan() -> Value {
        let operations = json!([
            {"function": "score_fc_session", "params": {"version": "v1.2", "basis": "functions"}},
            {"function": "score_prism", "params": {"engine_version": "v1.2.1"}},
        ]);
        json!({
            "backfill_plan": {
                "version": "v1.0", "timestamp": "2025-09-17T08:00:00Z", "environment": "staging",
                "engine_version": "v1.2.1", "fc_version": "v1.2", "throttle_per_minute": 20, "batch_size": 5,
                "total_candidates": 39, "expected_runtime_minutes": 2
            },
            "batches": [
                {"batch_id": "priority", "description": "first", "sessions": [uuid(1), uuid(2)], "operations": operations},
                {"batch_id": "recent_september", "sessions": (3..8).map(uuid).collect::<Vec<_>>(), "operations": operations},
                {"batch_id": "august_backlog", "session_count": 32, "operations": operations},
            ],
            "expected_changes": {
                "fc_scores": {"new_rows": 39, "version": "v1.2", "fc_kind": "functions"},
                "profiles": {"new_rows": 13, "updated_rows": 0, "results_version": "v1.2.1"}
            },
            "rollback_strategy": {"fc_scores": "DELETE FROM fc_scores", "profiles": "DELETE FROM profiles"}
        })
    }

    #[test]
    fn a_plan_is_read_and_written_back() {
        let plan = parse(plan().to_string().as_bytes()).unwrap();
        assert_eq!(plan.batches.iter().map(SeedBatch::count).collect::<Vec<_>>(), [2, 5, 32]);
        assert_eq!(plan.batches[2].operations.len(), 2);
        assert_eq!(plan.expected_changes["profiles"].updated_rows, Some(0));
        assert_eq!(plan.expected_changes["fc_scores"].stamp["fc_kind"], json!("functions"));
        assert_eq!(parse(plan.to_json().as_bytes()).unwrap(), plan);
    }

    #[test]
    fn what_cannot_be_true_is_refused_by_its_key() {
        let change = |path: &str, value: Value| {
            let mut plan = plan();
            let (parent, key) = path.rsplit_once('/').unwrap();
            let parent = plan.pointer_mut(parent).unwrap();
            match parent {
                Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
                parent if value.is_null() => drop(parent.as_object_mut().unwrap().remove(key)),
                parent => drop(parent.as_object_mut().unwrap().insert(key.to_owned(), value)),
            }
            parse(plan.to_string().as_bytes()).unwrap_err().to_string()
        };
        for (path, value, expected) in [
            (
                "/backfill_plan/throttle_per_minute",
                Value::Null,
                "`backfill_plan.throttle_per_minute`: missing",
            ),
            ("/backfill_plan/throttle_per_minute", json!(0), "above 0"),
            (
                "/backfill_plan/throttle_per_minute",
                json!(-20),
                "`backfill_plan.throttle_per_minute`: expected",
            ),
            ("/backfill_plan/timestamp", json!("yesterday"), "`backfill_plan.timestamp`: expected a time"),
            ("/backfill_plan/total_candidates", json!(40), "it says 40, and the batches have 39"),
            ("/backfill_plan/expected_runtime_minutes", json!(0), "take at least 1 minutes, not 0"),
            ("/batches/1/batch_id", Value::Null, "`batches[1].batch_id`: missing"),
            (
                "/batches/1/batch_id",
                json!("priority"),
                "`batches[1].batch_id`: the same as that of batches[0]",
            ),
            ("/batches/1/batch_id", json!("../x"), "`batches[1].batch_id`: expected letters"),
            ("/batches/2/operations", Value::Null, "`batches[2].operations`: missing"),
            ("/batches/2/operations", json!([]), "`batches[2].operations`: nothing is done"),
            ("/batches/2/sessions", json!([]), "`batches[2].session_count`: a batch has either"),
            ("/batches/2/session_count", Value::Null, "`batches[2].sessions`: missing"),
            ("/batches/0/sessions/1", json!("17"), "`batches[0].sessions[1]`: expected a UUID"),
            (
                "/batches/1/sessions/4",
                json!(uuid(1).to_uppercase()),
                "`batches[1].sessions[4]`: the same session as batches[0].sessions[0]",
            ),
            (
                "/batches/0/operations/0/function",
                json!("a/../b"),
                "`batches[0].operations[0].function`: expected the name",
            ),
            (
                "/batches/0/operations/0/params",
                json!([1]),
                "`batches[0].operations[0].params`: expected an object",
            ),
            (
                "/expected_changes/profiles/new_rows",
                json!(40),
                "`expected_changes.profiles`: 40 rows of 39 candidates",
            ),
        ] {
            let found = change(path, value);
            assert!(found.contains(expected), "{found}\n{expected}");
        }
        assert_eq!(parse(b"{\n\"a\": ").unwrap_err().to_string(), "`line 2`: this is no JSON");
        assert_eq!(parse(b"[]").unwrap_err().to_string(), "`the file`: expected an object");
    }

    #[test]
    fn nothing_to_do_is_a_plan_too() {
        let mut none = plan();
        none["batches"] = json!([]);
        none["backfill_plan"]["total_candidates"] = json!(0);
        none["expected_changes"] = json!({});
        assert_eq!(parse(none.to_string().as_bytes()).unwrap().batches, []);
    }
}
