//! What a dataset declares about rows that are the same, and what the command line says about the rest.

use std::fs;

use serde_json::{Value, json};

use crate::world::World;

/// Three rows of one address, the second with the longest text, and two that are equal but for their keys.
fn twins() -> String {
    let row = |id: &str, name: &str, text: &str, pairing: Option<&str>| {
        format!("{}\n", json!({"id": id, "name": name, "description": text, "symbolic_pairing": pairing}))
    };
    [
        row("a", "Quiet harbor", "Boats wait for the morning.", Some("x-y")),
        row("b", "Quiet  Harbor", "Boats wait for the slow morning light to come in over the water.", None),
        row("c", "QUIET HARBOR", "Boats wait.", None),
        row("d", "Salt lantern", "A lantern of salt on the way home.", None),
        row("e", "Salt lantern", "A lantern of salt on the way home.", None),
    ]
    .concat()
}

#[test]
fn of_rows_with_one_address_the_longest_stays() {
    let world = World::new();
    world.file("rows.ndjson", twins().as_bytes());
    let ran = world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out");
    assert!(ran.stdout.contains("5 in = 2 out + 1 merged + 2 quarantined"), "{}", ran.stdout);
    assert_eq!(world.members("out/cleaned_glyphs.json", "id"), ["b", "d"]);
    let kept: Vec<Value> =
        world.lines("out/quarantine.ndjson").iter().map(|line| line["cleaned"]["id"].clone()).collect();
    assert_eq!(kept, ["a", "c"]);
    world.ends(0, "cleanup revert --out out");
    assert_eq!(world.members("out/reverted_glyphs.json", "id"), ["a", "b", "c", "d", "e"]);
}

#[test]
fn a_clash_may_give_addresses_of_their_own() {
    let world = World::new();
    world.file("rows.ndjson", twins().as_bytes());
    world.settings("ops.toml", &[("clash = \"quarantine\"", "clash = \"suffix\"")]);
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out");
    assert_eq!(
        world.members("out/cleaned_glyphs.json", "slug"),
        ["quiet_harbor_2", "quiet_harbor", "quiet_harbor_3", "salt_lantern"]
    );
    let changes = world.lines("out/changes.ndjson");
    let own = changes.iter().filter(|line| line["rule"] == "slug_clash@1").count();
    assert_eq!(own, 2, "each is a change that can be undone");
    world.ends(0, "cleanup revert --out out");
    assert_eq!(world.members("out/reverted_glyphs.json", "id").len(), 5);
}

#[test]
fn a_clash_may_merge() {
    let world = World::new();
    world.file("rows.ndjson", twins().as_bytes());
    world.settings("ops.toml", &[("clash = \"quarantine\"", "clash = \"merge\"")]);
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out");
    let rows = world.json("out/cleaned_glyphs.json");
    assert_eq!(world.members("out/cleaned_glyphs.json", "id"), ["b", "d"]);
    assert_eq!(rows[0]["symbolic_pairing"], "x-y", "a gap is filled by a row that goes");
    let merged = world.lines("out/changes.ndjson");
    let from = merged.iter().find(|line| line["rule"] == "merge@1" && line["column"] == "symbolic_pairing");
    assert!(from.unwrap()["evidence"].as_str().unwrap().contains("from row 0"), "{from:?}");
    world.ends(0, "cleanup revert --out out");
    assert_eq!(world.members("out/reverted_glyphs.json", "symbolic_pairing")[1], Value::Null);
}

#[test]
fn near_rows_are_merged_only_where_that_is_declared() {
    let text = "Boats wait for the slow morning light to come in over the cold grey water of the harbor";
    let row = |id: &str, text: String| json!({"id": id, "name": format!("Harbor {id}"), "description": text});
    let rows = [row("a", format!("{text}.")), row("b", format!("{text} today."))];
    let world = World::new();
    world.file("rows.ndjson", rows.map(|row| format!("{row}\n")).concat().as_bytes());
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out");
    assert_eq!(world.members("out/cleaned_glyphs.json", "id"), ["a", "b"]);
    let cluster = &world.json("out/duplicates.json")["clusters"][0];
    assert_eq!((&cluster["outcome"], &cluster["causes"]), (&json!("proposed"), &json!(["near"])));
    world.settings("ops.toml", &[("merge = [\"exact\"]", "merge = [\"exact\", \"near\"]")]);
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out");
    assert_eq!(world.members("out/cleaned_glyphs.json", "id"), ["b"], "the longest stays");
}

#[test]
fn a_grade_is_part_of_the_report_when_it_is_asked_for() {
    let world = World::new();
    let fixture = crate::support::root().join("fixtures/cleanup/glyphs/glyphs_rows.ndjson");
    fs::copy(fixture, world.path("rows.ndjson")).unwrap();
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out --grade");
    let report = fs::read_to_string(world.path("out/cleanup_report.md")).unwrap();
    for part in ["## Grade", "`title_cuts`", "`near_copy`", "decided otherwise"] {
        assert!(report.contains(part), "{part}");
    }
    let summary = world.json("out/cleanup_report.json");
    let cuts = &summary["grade"]["title_cuts"]["recall"];
    let share = cuts["found"].as_f64().unwrap() / cuts["all"].as_f64().unwrap();
    assert!(share > 0.95, "{cuts}");
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out");
    assert!(world.json("out/cleanup_report.json")["grade"].is_null());
}

#[test]
fn bytes_that_are_no_text_are_rejected_or_replaced() {
    let world = World::new();
    world.file(
        "rows.ndjson",
        b"{\"id\":\"1\",\"name\":\"Harbor of \xff light\"}\n{\"id\":\"2\",\"name\":\"Whole\"}\n",
    );
    world.ends(5, "cleanup --source rows.ndjson --dataset glyphs --out out");
    assert_eq!(world.lines("out/rejects.ndjson")[0]["reason"], "not UTF-8");
    world.ends(0, "cleanup --source rows.ndjson --dataset glyphs --out out --encoding-errors replace");
    assert_eq!(world.members("out/cleaned_glyphs.json", "name"), ["Harbor of \u{fffd} light", "Whole"]);
    assert_eq!(world.json("out/cleanup_report.json")["replaced_bytes"], 1);
    let rules: Vec<Value> =
        world.lines("out/findings.ndjson").iter().map(|line| line["rule"].clone()).collect();
    assert!(rules.contains(&json!("mojibake_lossy@1")), "{rules:?}");
}
