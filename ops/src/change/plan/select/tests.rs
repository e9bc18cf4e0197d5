//! Parts of plans, and what makes no part.

use super::*;
use crate::change::plan::tests::{plan, some_changes, with_backup};

fn now() -> Stamp {
    Stamp::parse("2026-01-02T04:00:00Z").unwrap()
}

fn keys(keys: &[&str]) -> Selection {
    Selection { keys: Some(KeySet::new(keys)), ..Selection::default() }
}

fn ops(plan: &PlanDir) -> Vec<Op> {
    plan.changes().unwrap().map(|change| Op::of(&change.unwrap())).collect()
}

fn refused(plan: &PlanDir, selection: Selection) -> String {
    let dir = tempfile::tempdir().unwrap();
    match select(plan, selection, dir.path(), now(), "0.1.0") {
        Err(PlanError::Refused(refusal)) => {
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
            refusal.to_string()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_part_is_a_plan_of_its_own_with_the_same_backup() {
    let dir = tempfile::tempdir().unwrap();
    let whole = with_backup(dir.path());
    let part = select(&whole, keys(&["a,2", "[\"a\",1]"]), dir.path(), now(), "0.1.0").unwrap();
    let part = PlanDir::open(part.path()).unwrap();
    part.require_applyable().unwrap();
    assert_ne!(part.id(), whole.id());
    assert_eq!(ops(&part), [Op::Insert, Op::Update]);
    let facts = part.facts();
    assert_eq!(facts.kind, super::super::PlanKind::Upsert, "what deletes was left out");
    assert_eq!(facts.backup, whole.facts().backup);
    let derived = facts.derived_from.as_ref().unwrap();
    assert_eq!((derived.id.as_str(), derived.left_out_delete), (whole.id(), 1));
    assert!(!facts.state.complete);
    let review = part.review().unwrap().markdown();
    assert!(review.contains("A part of plan") && review.contains("it holds 2 of the 3 changes"), "{review}");
    assert!(review.contains("live 2 = 1 updated + 0 unchanged + 0 only live + 1 left out"), "{review}");

    let smaller = Selection { ops: vec![Op::Insert], ..Selection::default() };
    let part = select(&part, smaller, dir.path(), now(), "0.1.0").unwrap();
    let derived = part.facts().derived_from.as_ref().unwrap();
    assert_eq!([derived.left_out_insert, derived.left_out_update, derived.left_out_delete], [0, 1, 1]);
    assert_eq!(ops(&part), [Op::Insert]);
}

#[test]
fn by_kind_and_by_columns() {
    let dir = tempfile::tempdir().unwrap();
    let whole = plan(dir.path(), &some_changes());
    let by = |ops: &[Op], columns: &[&str]| Selection {
        ops: ops.to_vec(),
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        keys: None,
    };
    let selected = |selection| ops(&select(&whole, selection, dir.path(), now(), "0.1.0").unwrap());
    assert_eq!(selected(by(&[Op::Delete, Op::Update], &[])), [Op::Update, Op::Delete]);
    assert_eq!(selected(by(&[], &["name \"quoted\"", "price"])), [Op::Update]);
    assert!(refused(&whole, by(&[], &["price"])).contains("at least one change"));
    assert!(refused(&whole, by(&[], &["nothing"])).contains("`nothing`"));
}

#[test]
fn keys_that_the_plan_does_not_have_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let whole = plan(dir.path(), &some_changes());
    let text = refused(&whole, keys(&["a,1", "a,77", "nobody"]));
    assert!(text.contains("2 keys that it does not have: `a,77`, `nobody`"), "{text}");
    let met_but_not_taken = Selection { ops: vec![Op::Delete], ..keys(&["a,1", "a,3"]) };
    assert!(refused(&whole, met_but_not_taken).contains("`a,1`"));
}

#[test]
fn a_part_needs_the_backup_of_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let whole = with_backup(dir.path());
    fs::remove_file(whole.path().join("backup/rows.ndjson.zst")).unwrap();
    assert!(refused(&whole, keys(&["a,2"])).contains("has lost its backup"));
}

#[test]
fn a_row_is_shown_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut changes = some_changes();
    let long = "a long line of text\n".repeat(10);
    if let Change::Update { after, .. } = &mut changes[1] {
        after[2] = crate::value::Value::Text(long.clone());
    }
    let whole = plan(dir.path(), &changes);
    let shown = whole.diff("a,2").unwrap().markdown();
    assert!(shown.contains("## update [\"a\",2]") && shown.contains("- position: 1"), "{shown}");
    assert!(shown.contains(&long) && shown.contains("| `part`"), "{shown}");
    assert!(whole.diff("[\"a\",3]").unwrap().markdown().contains("## delete"));
    let text = whole.diff("a,99").unwrap_err().to_string();
    assert!(text.contains("does not change this row") && text.contains("changes.ndjson"), "{text}");
}
