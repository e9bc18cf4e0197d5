//! Steps that are no calls: columns that are set, and statements.

use serde_json::{Value, json};

use crate::world::{World, uuid};
use crate::{FAST, json as parse};

/// Settings of one backfill of the completed sessions, with these results and steps.
fn settings(results: &str, steps: &str) -> String {
    format!(
        "[backfills.own]\ntable = \"assessment_sessions\"\nid = \"id\"\nper_minute = 60000\nerrors_max = 100\n\
         order = [\"created_at\"]\nwhere = [{{ column = \"status\", is = \"completed\" }}]\n{results}\n{steps}"
    )
}

const PROFILES: &str = "[[backfills.own.results]]\ntable = \"profiles\"\nlink = \"session_id\"\nkey = [\"session_id\"]\n\
                        stamp = { type_code = \"EII\" }";
const SCORES: &str = "[[backfills.own.results]]\ntable = \"fc_scores\"\nlink = \"session_id\"\n\
                      key = [\"session_id\", \"version\", \"fc_kind\"]\n\
                      stamp = { version = \"v1.2\", fc_kind = \"functions\" }";

fn plan(world: &World) -> (Value, String) {
    world.ends(0, "backfill plan --target live.db");
    let (folder, id) = world.only_plan();
    (parse(&std::fs::read_to_string(folder.join("plan.json")).unwrap())["plan"].clone(), id)
}

fn apply(world: &World, id: &str, code: i32) -> Value {
    parse(&world.ends(code, &format!("backfill apply --plan {id} --apply --approve {id} --json")).stdout)
}

#[test]
fn columns_are_set_where_there_is_a_row_and_taken_back() {
    let world = World::new(FAST);
    world.describe(&settings(
        PROFILES,
        "[[backfills.own.steps]]\nset = { type_code = \"EII\", confidence = 0.5, note = \"set\" }",
    ));
    let (facts, id) = plan(&world);
    // 26 old profiles and a current one; thirteen sessions have none.
    assert_eq!(facts["functions"], Value::Null);
    assert_eq!((&facts["candidates"], &facts["expected"][0]["updated"]), (&json!(40), &json!(27)));
    assert_eq!(facts["expected"][0]["new"], 0, "a row that is not there cannot be set");
    let before = world.dump();
    let report = apply(&world, &id, 5);
    assert_eq!(report["ended"], json!({"verified": 27, "no_data": 13}));
    assert_eq!(report["errors"][0]["why"], "no row was written");
    assert_eq!((&report["tables"][0]["updated"], &report["tables"][0]["new"]), (&json!(27), &json!(0)));
    let set = "SELECT count(*) FROM profiles WHERE type_code = 'EII' AND confidence = 0.5 AND note = 'set'";
    assert_eq!(world.count(set), 27);
    world.conn().execute("UPDATE profiles SET note = 'a user' WHERE session_id = ?1", [uuid(4)]).unwrap();
    let back = world.ends(5, &format!("backfill rollback --plan {id} --apply --approve {id} --json"));
    let back = parse(&back.stdout);
    assert_eq!((&back["kept_rows"], &back["verified"]), (&json!(1), &json!(26)));
    let users = |row: &&String| row.contains(&uuid(4)) && row.starts_with("profiles");
    let after = world.dump();
    let rest = |rows: &[String]| rows.iter().filter(|row| !users(row)).cloned().collect::<Vec<_>>();
    assert_eq!(rest(&after), rest(&before));
    assert!(after.iter().find(users).unwrap().contains("'a user'"));
}

#[test]
fn a_statement_that_is_refused_or_writes_nothing_is_counted_for_that() {
    let world = World::new(FAST);
    world.describe(&settings(
        SCORES,
        "[[backfills.own.steps]]\nsql = \"INSERT INTO fc_scores SELECT $1, 'v1.2', CASE WHEN $1 LIKE '%2' THEN NULL ELSE \
         'functions' END, '{}', NULL WHERE $1 NOT LIKE '%f'\"",
    ));
    let (facts, id) = plan(&world);
    assert_eq!((&facts["candidates"], &facts["expected"][0]["new"]), (&json!(39), &json!(39)));
    let before = world.dump();
    let report = apply(&world, &id, 5);
    assert_eq!(report["ended"], json!({"verified": 34, "refused": 3, "no_data": 2}), "{report}");
    let refused = report["errors"].as_array().unwrap().iter().find(|e| e["end"] == "refused").unwrap();
    assert!(refused["why"].as_str().unwrap().contains("NOT NULL"), "{refused}");
    assert_eq!(world.count("SELECT count(*) FROM fc_scores WHERE version = 'v1.2'"), 34 + 1);
    // The statement is another one's in the meantime: what failed can be tried again, what is there is not touched.
    world
        .conn()
        .execute("INSERT INTO fc_scores VALUES (?1, 'v1.2', 'functions', 'x', NULL)", [uuid(2)])
        .unwrap();
    let line = format!("backfill apply --plan {id} --apply --resume --json");
    let report = parse(&world.ends(5, &line).stdout);
    assert_eq!(
        report["ended"],
        json!({"verified": 34, "current": 1, "refused": 2, "no_data": 2}),
        "{report}"
    );
    let back = format!("backfill rollback --plan {id} --apply --approve {id} --json");
    assert_eq!(parse(&world.ends(0, &back).stdout)["verified"], 34);
    let after = world.dump();
    let rest: Vec<&String> = after.iter().filter(|row| !row.contains("|'x'|")).collect();
    assert_eq!(rest, before.iter().collect::<Vec<_>>());
    assert_eq!(after.len(), before.len() + 1, "somebody else's row stays");
}

#[test]
fn a_call_and_columns_follow_each_other_and_what_the_first_did_is_taken_back_too() {
    let world = World::new(FAST);
    let call = "[[backfills.own.steps]]\nfunction = \"score_fc_session\"\nparams = { version = \"v1.2\" }\n\
                writes = \"fc_scores\"\nidempotent = true";
    let set = "[[backfills.own.steps]]\nset = { type_code = \"EII\" }\nwrites = \"profiles\"";
    world.describe(&settings(&format!("{SCORES}\n{PROFILES}"), &format!("{call}\n{set}")));
    let (before, url) = (world.dump(), &world.scorer.url);
    world.ends(0, &format!("backfill plan --target live.db --functions {url} --limit 3"));
    let (_, id) = world.only_plan();
    // The second of the three has no profile.
    let report = apply(&world, &id, 5);
    assert_eq!(report["ended"], json!({"verified": 2, "no_data": 1}), "{report}");
    assert_eq!((&report["tables"][0]["new"], &report["tables"][1]["updated"]), (&json!(3), &json!(2)));
    let back = format!("backfill rollback --plan {id} --apply --approve {id} --json");
    assert_eq!(parse(&world.ends(0, &back).stdout)["verified"], 5);
    assert_eq!(world.dump(), before);
}

#[test]
fn what_cannot_be_set_or_run_is_refused_when_the_plan_is_made() {
    let world = World::new(FAST);
    for (set, expected) in [
        ("ghost = \"x\"", "profiles has no column `ghost`"),
        ("session_id = \"x\"", "`set` cannot change `session_id` of profiles"),
    ] {
        world.describe(&settings(PROFILES, &format!("[[backfills.own.steps]]\nset = {{ {set} }}")));
        let ran = world.ends(3, "backfill plan --target live.db");
        assert!(ran.stderr.contains(expected), "{}", ran.stderr);
    }
    world.conn().execute_batch("ALTER TABLE profiles ADD twice TEXT AS (note || note)").unwrap();
    world.describe(&settings(PROFILES, "[[backfills.own.steps]]\nset = { twice = \"x\" }"));
    let ran = world.ends(3, "backfill plan --target live.db");
    assert!(ran.stderr.contains("a computed one"), "{}", ran.stderr);
    world
        .describe(&settings(PROFILES, "[[backfills.own.steps]]\nset = { note = \"x\" }\nsql = \"SELECT 1\""));
    let ran = world.run("backfill plan --target live.db");
    assert!(
        ran.code != 0 && ran.stderr.contains("expected one of `function`, `set` and `sql`"),
        "{}",
        ran.stderr
    );
    assert_eq!(std::fs::read_dir(world.path(".ops/backfills")).map_or(0, Iterator::count), 0);
}

/// More rows than are taken back at once, all of which somebody else changed since but for some.
#[test]
fn every_kept_row_is_in_a_file_and_the_first_thousand_in_the_report() {
    let world = World::new(FAST);
    let many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2100)
        INSERT INTO assessment_sessions SELECT 'many-' || i, 'completed', '2025-09-01', 1, 1, NULL FROM n";
    world.conn().execute(many, []).unwrap();
    world.describe(&settings(
        SCORES,
        "[[backfills.own.steps]]\nsql = \"INSERT INTO fc_scores VALUES ($1, 'v1.2', 'functions', '{}', NULL)\"",
    ).replace("per_minute = 60000", "per_minute = 60000000"));
    let ((_, id), folder) = (plan(&world), world.only_plan().0);
    let before = world.dump();
    assert_eq!(apply(&world, &id, 0)["ended"], json!({"verified": 2139}));
    world
        .conn()
        .execute("UPDATE fc_scores SET scores = 'theirs' WHERE session_id LIKE 'many-%'", [])
        .unwrap();
    let applied = world.dump();
    let rehearsal = parse(&world.ends(0, &format!("backfill rollback --plan {id} --json")).stdout);
    let back = format!("backfill rollback --plan {id} --apply --approve {id} --json");
    let back = parse(&world.ends(5, &back).stdout);
    for (report, place) in [(&rehearsal, "rehearsal"), (&back, "rollback")] {
        assert_eq!((&report["kept_rows"], report["kept"].as_array().unwrap().len()), (&json!(2100), 1000));
        assert_eq!(report["kept_file"], json!(format!("{place}/kept.ndjson")));
        let kept = std::fs::read_to_string(folder.join(place).join("kept.ndjson")).unwrap();
        assert_eq!((kept.lines().count(), kept.lines().last().unwrap().contains("many-999")), (2100, true));
        assert_eq!(report["tables"][0]["deleted"], 39, "{place}");
    }
    assert_eq!(back["verified"], 39);
    let theirs =
        |rows: &[String]| rows.iter().filter(|row| row.contains("theirs")).cloned().collect::<Vec<_>>();
    assert_eq!(theirs(&world.dump()), theirs(&applied));
    let ours: Vec<String> = world.dump().into_iter().filter(|row| !row.contains("theirs")).collect();
    assert_eq!(ours, before);
}
