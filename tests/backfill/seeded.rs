//! The plan files of the original pipeline: read, held against the database, and applied as they promise.

use serde_json::{Value, json};

use crate::support::golden::assert_golden;
use crate::world::{World, uuid};
use crate::{FAST, json as parse};

/// The plan of the original: two batches of named sessions, and one of 32 that are only counted.
fn seed() -> Value {
    let fc = json!({"function": "score_fc_session", "params": {"version": "v1.2", "basis": "functions"}});
    let prism = |if_missing: bool| {
        let mut params = json!({"engine_version": "v1.2.1"});
        if if_missing {
            params["if_missing"] = json!(true);
        }
        json!({"function": "score_prism", "params": params})
    };
    let ids = |from: usize, to: usize| (from..to).map(uuid).collect::<Vec<_>>();
    json!({
        "backfill_plan": {"version": "v1.0", "timestamp": "2025-09-17T08:00:00Z", "environment": "staging",
            "engine_version": "v1.2.1", "fc_version": "v1.2", "throttle_per_minute": 6000, "batch_size": 5,
            "total_candidates": 39, "expected_runtime_minutes": 2},
        "batches": [
            {"batch_id": "priority", "description": "first", "sessions": ids(26, 28), "operations": [fc, prism(false)]},
            {"batch_id": "recent_september", "sessions": ids(28, 33), "operations": [fc, prism(false)]},
            {"batch_id": "august_backlog", "session_count": 32, "operations": [fc, prism(true)]},
        ],
        "expected_changes": {
            "fc_scores": {"new_rows": 39, "version": "v1.2", "fc_kind": "functions"},
            "profiles": {"new_rows": 13, "updated_rows": 0, "results_version": "v1.2.1"}
        },
        "rollback_strategy": {"fc_scores": "DELETE FROM fc_scores", "profiles": "DELETE FROM profiles"}
    })
}

fn plan(world: &World, seed: &Value, code: i32) -> (String, String) {
    ops::files::write_atomic(&world.path("seed.json"), seed.to_string().as_bytes()).unwrap();
    let line = format!("backfill plan --from seed.json --target live.db --functions {}", world.scorer.url);
    let ran = world.ends(code, &line);
    (ran.stdout, ran.stderr)
}

#[test]
fn the_original_plan_keeps_its_promise_to_overwrite_nothing() {
    let world = World::new(FAST);
    plan(&world, &seed(), 0);
    let (folder, id) = world.only_plan();
    let facts = parse(&std::fs::read_to_string(folder.join("plan.json")).unwrap())["plan"].clone();
    assert_eq!(
        facts["expected"],
        json!([{"table": "fc_scores", "new": 39, "updated": 0}, {"table": "profiles", "new": 13, "updated": 0}])
    );
    let list = std::fs::read_to_string(folder.join("candidates.ndjson")).unwrap();
    let ids: std::collections::BTreeSet<&str> =
        list.lines().map(|line| line.split('"').nth(7).unwrap()).collect();
    assert_eq!((list.lines().count(), ids.len()), (39, 39));
    let old = "SELECT count(*) FROM profiles WHERE type_code = 'ILE' AND results_version IS NOT 'v1.2.1'";
    assert_eq!(world.count(old), 26);
    let report =
        parse(&world.ends(0, &format!("backfill apply --plan {id} --apply --approve {id} --json")).stdout);
    assert_eq!((&report["ended"], &report["unexpected"]), (&json!({"verified": 39}), &json!(0)));
    assert_eq!((&report["tables"][1]["new"], &report["tables"][1]["updated"]), (&json!(13), &json!(0)));
    assert_eq!(world.count(old), 26);
    assert_eq!(world.count("SELECT count(*) FROM fc_scores WHERE version = 'v1.2'"), 40);
    for batch in ["priority", "recent_september", "august_backlog"] {
        let log = parse(
            &std::fs::read_to_string(folder.join(format!("backfill_logs/batch_{batch}.json"))).unwrap(),
        );
        assert_eq!(log["batch_id"], batch);
        assert_eq!(log["sessions_failed"], 0);
    }
    let results =
        parse(&std::fs::read_to_string(folder.join("backfill_logs/execution_results.json")).unwrap());
    assert_eq!((&results["total_sessions"], &results["successful_sessions"]), (&json!(39), &json!(39)));
}

#[test]
fn what_the_database_contradicts_is_refused_by_its_key() {
    let world = World::new(FAST);
    for (path, value, expected) in [
        (
            "/batches/2/operations/1/params",
            json!({}),
            "`expected_changes.profiles.updated_rows`: more rows would change",
        ),
        ("/batches/2/session_count", json!(33), "`backfill_plan.total_candidates`"),
        ("/batches/0/sessions/1", json!(uuid(999)), "`batches[0].sessions[1]`: there is no such session"),
        (
            "/batches/0/operations/0/function",
            json!("delete_all"),
            "`batches[0].operations[0].function`: it is not known",
        ),
        (
            "/backfill_plan/timestamp",
            json!("2027-01-01T00:00:00Z"),
            "`backfill_plan.timestamp`: the plan was made in the future",
        ),
        ("/expected_changes/fc_scores/version", json!("v1.3"), "`expected_changes.fc_scores.version`"),
        (
            "/backfill_plan/engine_version",
            json!("v9"),
            "`backfill_plan.engine_version`: no result has this version",
        ),
        ("/backfill_plan/throttle_per_minute", json!(0), "`backfill_plan.throttle_per_minute`"),
    ] {
        let mut seed = seed();
        *seed.pointer_mut(path).unwrap() = value;
        let (_, stderr) = plan(&world, &seed, 3);
        assert!(stderr.contains(expected), "{stderr}\n{expected}");
    }
    let mut more = seed();
    more["batches"][2]["session_count"] = json!(33);
    more["backfill_plan"]["total_candidates"] = json!(40);
    let (_, stderr) = plan(&world, &more, 3);
    assert!(stderr.contains("`batches[2].session_count`: there are fewer sessions"), "{stderr}");
    assert_eq!(std::fs::read_dir(world.path(".ops/backfills")).map_or(0, Iterator::count), 0);
    assert_eq!(world.scorer.calls(), 0);
}

/// A plan that promises to overwrite nothing, and a database that overwrites all the same.
#[test]
fn rows_that_change_against_the_promise_are_a_failure_however_often_one_asks() {
    let world = World::new(FAST);
    plan(&world, &seed(), 0);
    let (folder, id) = world.only_plan();
    let before = world.dump();
    let trigger = "CREATE TRIGGER meddle AFTER INSERT ON fc_scores BEGIN
        UPDATE profiles SET note = 'meddled with' WHERE session_id = NEW.session_id; END";
    world.conn().execute_batch(trigger).unwrap();
    let line = format!("backfill apply --plan {id} --apply --approve {id} --json");
    for was_done in [false, true] {
        let report = parse(&world.ends(1, &line).stdout);
        assert_eq!((&report["unexpected"], &report["was_done"]), (&json!(26), &json!(was_done)), "{report}");
        assert_eq!(
            (&report["tables"][1]["expected_updated"], &report["tables"][1]["updated"]),
            (&json!(0), &json!(26))
        );
    }
    let summary = std::fs::read_to_string(folder.join("backfill_summary.md")).unwrap();
    assert!(summary.contains("FAIL: 26 sessions changed otherwise than expected."), "{summary}");
    world.ends(6, "pipeline require soak");
    world.conn().execute_batch("DROP TRIGGER meddle").unwrap();
    world.ends(0, &format!("backfill rollback --plan {id} --apply --approve {id}"));
    assert_eq!(world.dump(), before);
}

/// A named session that has everything by the time of the run is left alone, without a call.
#[test]
fn a_session_that_is_current_is_not_called() {
    let world = World::new(FAST);
    plan(&world, &seed(), 0);
    let (_, id) = world.only_plan();
    for n in 26..30 {
        crate::world::score(&world.database(), "score_fc_session", &uuid(n), true);
        crate::world::score(&world.database(), "score_prism", &uuid(n), true);
    }
    let report =
        parse(&world.ends(0, &format!("backfill apply --plan {id} --apply --approve {id} --json")).stdout);
    assert_eq!(report["ended"], json!({"current": 4, "verified": 35}));
    let log = world.scorer.log.lock().unwrap();
    assert!(!log.iter().any(|seen| (26..30).any(|n| seen.session == uuid(n))));
}

/// What the file says of the environment is held against what the database was stamped as, before anything is called.
#[test]
fn a_plan_for_staging_is_refused_by_a_production_database() {
    let world = World::new(FAST);
    let stamped = world.ends(0, "db-identity --db live.db --stamp production --json");
    let lineage = parse(&stamped.stdout)["lineage"]["id"].as_str().unwrap().to_owned();
    let (_, stderr) = plan(&world, &seed(), 3);
    assert!(stderr.contains("`backfill_plan.environment`: the plan is for another database"), "{stderr}");
    assert!(stderr.contains("staging") && stderr.contains("stamped `production`"), "{stderr}");
    assert_eq!(std::fs::read_dir(world.path(".ops/backfills")).map_or(0, Iterator::count), 0);
    let mut production = seed();
    production["backfill_plan"]["environment"] = json!("production");
    plan(&world, &production, 0);
    let (folder, id) = world.only_plan();
    // Production is named by its lineage, too.
    let line = format!("backfill apply --plan {id} --apply --approve {id}");
    let ran = world.ends(3, &line);
    assert!(ran.stderr.contains("must be named by its lineage"), "{}", ran.stderr);
    world.ends(3, &format!("{line} --lineage 0123456789ab"));
    assert_eq!((world.scorer.calls(), folder.join("apply").exists()), (0, false));
    world.ends(0, &format!("{line} --lineage {lineage}"));
}

#[test]
fn the_review_of_the_original_plan_is_what_was_accepted() {
    let world = World::new(FAST);
    plan(&world, &seed(), 0);
    let (folder, _) = world.only_plan();
    let review = std::fs::read_to_string(folder.join("plan.md")).unwrap();
    assert_golden("backfill/seeded/expected/plan.md", &world.placed(&review));
}
