//! What a run leaves for people and programs: byte for byte what a person accepted.

use crate::FAST;
use crate::support::golden::assert_golden;
use crate::world::{Fault, World};

/// Four sessions, two of them with old profiles, one of which fails; and the way back.
#[test]
fn what_a_run_leaves_behind_is_what_was_accepted() {
    let world = World::new(FAST);
    world.scorer.misbehave(|function, session, _| {
        if function == "score_prism" && session == 2 { Fault::Status(500) } else { Fault::None }
    });
    let golden = |name: &str, text: &str| {
        assert_golden(&format!("backfill/run/expected/{name}"), &world.placed(text));
    };
    let url = &world.scorer.url;
    let planned = world.ends(0, &format!("backfill plan --target live.db --functions {url} --limit 4"));
    let (folder, id) = world.only_plan();
    let file = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    golden("plan.txt", &planned.stdout);
    golden("plan.md", &file("plan.md"));
    golden("dry-run.txt", &world.ends(0, &format!("backfill apply --plan {id}")).stdout);
    let applied = world.ends(5, &format!("backfill apply --plan {id} --apply --approve {id}"));
    golden("apply.txt", &applied.stdout);
    // One session failed, so the gate says so, and what comes next is closed.
    let gates = std::fs::read_to_string(world.path(".ops/gates.ndjson")).unwrap();
    let last = gates.lines().last().unwrap();
    assert!(last.contains("\"stage\":\"apply\"") && last.contains("\"decision\":\"fail\""), "{last}");
    world.ends(6, "pipeline require soak");
    golden("backfill_summary.md", &file("backfill_summary.md"));
    golden("batch_prism.json", &file("backfill_logs/batch_prism.json"));
    golden("execution_results.json", &file("backfill_logs/execution_results.json"));
    golden("rollback_2026-01-02.sql", &file("backfill_logs/rollback_2026-01-02.sql"));
    golden("status.txt", &world.ends(0, &format!("backfill status --plan {id}")).stdout);
    golden("rehearsal.txt", &world.ends(0, &format!("backfill rollback --plan {id}")).stdout);
    let sql = "UPDATE profiles SET note = 'by a user' WHERE type_code = 'LII' AND submitted_at LIKE '2026%'";
    assert!(world.conn().execute(sql, []).unwrap() > 0);
    let back = world.ends(5, &format!("backfill rollback --plan {id} --apply --approve {id}"));
    golden("rollback.txt", &back.stdout);
    golden("rollback.md", &file("rollback/report.md"));
}
