//! Chains that hold, chains that were tampered with, and plans that are not let through.

use std::path::Path;
use std::time::Duration;

use super::FindingKind::{Edited, Missing, NotPassed, OtherPlan, OtherTarget, Replayed, Torn, Unapproved};
use super::*;
use crate::change::plan::{LineageFacts, PlanKind};
use crate::clock::Stamp;

fn manifest(production: bool) -> Manifest {
    let dir = tempfile::tempdir().unwrap();
    let plan = crate::change::plan::tests::with_backup(dir.path());
    let mut manifest = plan.manifest().clone();
    if production {
        let lineage = LineageFacts {
            id: "0123456789abcdef".into(),
            purpose: "production".into(),
            stamped_at: "2026-01-01T00:00:00Z".into(),
        };
        manifest.plan.target.lineage = Some(lineage);
    }
    manifest
}

pub(super) fn now(seconds: u64) -> Stamp {
    Stamp::parse("2026-01-02T03:04:05Z").unwrap().plus(Duration::from_secs(seconds))
}

fn typed(manifest: &Manifest) -> Typed {
    let lineage = manifest.plan.target.lineage.as_ref().map(|lineage| lineage.id.clone());
    Typed { id: manifest.short.clone(), kind: manifest.plan.kind, lineage }
}

fn append(path: &Path, entry: Entry, seconds: u64) -> Record {
    Gates::append(path, entry, now(seconds), "0.1.0").unwrap()
}

/// A file with a plan, its approval, its application, and a soak.
fn whole(path: &Path, manifest: &Manifest) {
    append(path, Entry::about(manifest, Stage::Plan, Decision::Pass).with("changes", 3), 0);
    append(path, approve(manifest, &typed(manifest)).unwrap(), 10);
    append(path, Entry::about(manifest, Stage::Apply, Decision::Begun), 20);
    append(path, Entry::about(manifest, Stage::Apply, Decision::Pass).with("seconds", 1.5), 30);
    append(path, Entry::about(manifest, Stage::Soak, Decision::Insufficient).with("looks", 0), 40);
}

fn kinds(path: &Path) -> Vec<(u64, FindingKind)> {
    audit(path).unwrap().findings.iter().map(|finding| (finding.line, finding.kind)).collect()
}

#[test]
fn a_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/gates.ndjson");
    assert!(Gates::load(&path).unwrap().records().is_empty());
    let manifest = manifest(false);
    whole(&path, &manifest);
    let gates = Gates::load(&path).unwrap();
    assert_eq!(gates.records().len(), 5);
    assert_eq!(gates.records()[3].detail["seconds"], Detail::Number(1.5));
    assert_eq!(gates.records()[1].short(), manifest.short);
    gates.require_approval(&manifest).unwrap();
    let seen = audit(&path).unwrap();
    assert!(seen.is_clean(), "{seen:?}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(seen.head, Some(crate::ids::sha256(text.lines().last().unwrap().as_bytes())));
    assert!(seen.document().markdown().contains("The chain holds"));
    assert!(gates.document(Some(&manifest.short)).markdown().contains("| insufficient |"));
    assert!(gates.document(Some("ffff")).markdown().contains("No records."));
}

#[test]
fn many_programs_append_to_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gates.ndjson");
    let manifest = manifest(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    append(&path, Entry::about(&manifest, Stage::Health, Decision::Pass), 0);
                }
            });
        }
    });
    assert_eq!(Gates::load(&path).unwrap().records().len(), 20);
}

#[test]
fn any_edit_of_any_line_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gates.ndjson");
    whole(&path, &manifest(false));
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        for mask in [1, 0x20, 0x80] {
            let mut edited = bytes.clone();
            edited[at] ^= mask;
            assert!(!chain::Chain::read(&edited).findings.is_empty(), "byte {at}");
        }
    }
}

/// The file with its lines rearranged.
fn rearranged(path: &Path, change: impl Fn(&mut Vec<String>)) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    crate::files::write_atomic(path, text.as_bytes()).unwrap();
}

#[test]
fn what_was_done_to_a_chain_is_told_apart() {
    let manifest = manifest(false);
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other.ndjson");
    append(&other, Entry::about(&manifest, Stage::Plan, Decision::Fail), 0);
    append(&other, approve(&manifest, &typed(&manifest)).unwrap(), 10);
    let foreign = std::fs::read_to_string(&other).unwrap().lines().nth(1).unwrap().to_owned();
    let seen = |change: &dyn Fn(&mut Vec<String>)| {
        let path = dir.path().join("gates.ndjson");
        let _ = std::fs::remove_file(&path);
        whole(&path, &manifest);
        rearranged(&path, change);
        assert!(matches!(Gates::load(&path), Err(GateError::Refused(_))));
        let appended =
            Gates::append(&path, Entry::about(&manifest, Stage::Plan, Decision::Pass), now(99), "0.1.0");
        assert!(matches!(appended, Err(GateError::Refused(_))), "nothing is built on a broken chain");
        kinds(&path)
    };
    assert_eq!(seen(&|lines| lines[2] = lines[2].replace("begun", "pass")), [(3, Edited)]);
    assert_eq!(seen(&|lines| lines[2].push(' ')), [(3, Edited)]);
    assert_eq!(seen(&|lines| _ = lines.remove(3)), [(4, Missing), (4, NotPassed)]);
    assert_eq!(seen(&|lines| lines.insert(3, lines[2].clone())), [(4, Replayed)]);
    // A record of another file, in the place of its own number: neither it nor the next one follows.
    assert_eq!(seen(&|lines| lines[1].clone_from(&foreign)), [(2, Replayed), (3, Replayed)]);
    assert_eq!(seen(&|lines| lines[4] = "{}".into()), [(5, Edited)]);
}

#[test]
fn an_edit_with_a_new_digest_breaks_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gates.ndjson");
    whole(&path, &manifest(false));
    rearranged(&path, |lines| {
        let mut record: Record = serde_json::from_str(&lines[0]).unwrap();
        record.detail.insert("changes".into(), 2.into());
        record.digest = record.expected_digest();
        lines[0] = serde_json::to_string(&record).unwrap();
    });
    assert_eq!(kinds(&path), [(2, Replayed)]);
}

#[test]
fn a_torn_line_is_refused_with_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gates.ndjson");
    let manifest = manifest(false);
    whole(&path, &manifest);
    let whole = std::fs::read(&path).unwrap();
    let torn = [&whole[..], b"{\"seq\":6,\"at\":\"20"].concat();
    crate::files::write_atomic(&path, &torn).unwrap();
    assert_eq!(kinds(&path), [(6, Torn)]);
    let entry = || Entry::about(&manifest, Stage::Soak, Decision::Pass);
    let error = Gates::append(&path, entry(), now(50), "0.1.0").unwrap_err().to_string();
    assert!(error.contains(&format!("truncate -s {} ", whole.len())), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), torn, "nothing is dropped silently");
    crate::files::write_atomic(&path, &whole).unwrap();
    append(&path, entry(), 50);
    assert!(audit(&path).unwrap().is_clean());
}

#[test]
fn a_clock_that_went_back_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gates.ndjson");
    let manifest = manifest(false);
    append(&path, Entry::about(&manifest, Stage::Plan, Decision::Pass), 10);
    let entry = Entry::about(&manifest, Stage::Plan, Decision::Pass);
    let error = Gates::append(&path, entry, now(9), "0.1.0").unwrap_err().to_string();
    assert!(error.contains("the clock is behind"), "{error}");
}

#[test]
fn stages_without_the_one_before_them_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gates.ndjson");
    let manifest = manifest(false);
    let mut other = manifest.clone();
    other.id = format!("ffff{}", &manifest.id[4..]);
    other.short = other.id[..12].to_owned();
    append(&path, approve(&manifest, &typed(&manifest)).unwrap(), 0);
    append(&path, Entry::about(&other, Stage::Apply, Decision::Begun), 1);
    append(&path, Entry::about(&manifest, Stage::Rollback, Decision::Pass), 2);
    append(&path, Entry::about(&manifest, Stage::Approve, Decision::Fail), 3);
    append(&path, Entry::about(&manifest, Stage::Canary, Decision::Pass), 4);
    let mut elsewhere = Entry::about(&manifest, Stage::Soak, Decision::Pass);
    elsewhere.target = "another".into();
    append(&path, elsewhere, 5);
    assert_eq!(kinds(&path), [(2, Unapproved), (3, OtherPlan), (5, Unapproved), (6, OtherTarget)]);
    let document = audit(&path).unwrap().document().markdown();
    assert!(document.contains("apply of plan ffff") && document.contains("4 findings."), "{document}");
    let missing = audit(&dir.path().join("none")).unwrap_err().to_string();
    assert!(missing.contains("no gates to audit"), "{missing}");
}

#[test]
fn only_what_was_named_is_approved() {
    let staging = manifest(false);
    let production = manifest(true);
    let refused = |manifest: &Manifest, change: &dyn Fn(&mut Typed)| {
        let mut typed = typed(manifest);
        change(&mut typed);
        approve(manifest, &typed).unwrap_err().to_string()
    };
    approve(&production, &typed(&production)).unwrap();
    let full = Typed { id: staging.id.to_uppercase(), ..typed(&staging) };
    approve(&staging, &full).unwrap();
    for id in ["", "ffffffffffff", &staging.short[..8]] {
        assert!(refused(&staging, &|typed| typed.id = id.to_owned()).contains("another plan was approved"));
    }
    let text = refused(&staging, &|typed| typed.kind = PlanKind::Upsert);
    assert!(text.contains(&format!("expected: --approve-delete {}", staging.short)), "{text}");
    let text = refused(&production, &|typed| typed.lineage = None);
    assert!(text.contains("named by its lineage") && text.contains("--lineage 0123456789abcdef"), "{text}");
    assert!(refused(&production, &|typed| typed.lineage = Some("ff".into())).contains("--lineage ff"));
    assert!(refused(&staging, &|typed| typed.lineage = Some("ff".into())).contains("this target has none"));
}

#[test]
fn an_approval_is_for_one_plan_one_kind_one_target() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gates.ndjson");
    let plan = manifest(true);
    let not_met = |manifest: &Manifest| match Gates::load(&path).unwrap().require_approval(manifest) {
        Err(GateError::NotMet(refusal)) => refusal.to_string(),
        other => panic!("{other:?}"),
    };
    assert!(not_met(&plan).contains("found:    none"));
    append(&path, approve(&plan, &typed(&plan)).unwrap(), 0);
    Gates::load(&path).unwrap().require_approval(&plan).unwrap();
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = plan.clone();
        change(&mut manifest);
        not_met(&manifest)
    };
    assert!(with(&|m| m.id = "f".repeat(64)).contains(&format!("the last one is of plan {}", plan.short)));
    assert!(with(&|m| m.seal = "f".repeat(64)).contains("expected: an approval for seal ffff"));
    assert!(with(&|m| m.plan.kind = PlanKind::Upsert).contains("for kind upsert"));
    assert!(with(&|m| m.plan.target.fingerprint = "other".into()).contains("for target other"));
    assert!(with(&|m| m.plan.target.lineage = None).contains("for lineage none"));
    append(&path, Entry::about(&plan, Stage::Approve, Decision::Fail), 1);
    assert!(not_met(&plan).contains("record 2: fail"));
}

#[test]
fn a_rehearsal_can_be_demanded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gates.ndjson");
    let plan = manifest(false);
    let not_met =
        || Gates::load(&path).unwrap().require_pass(Stage::Rehearse, &plan).unwrap_err().to_string();
    assert!(not_met().contains("cargo xtask rehearse --plan"));
    let entry = |decision, seal: &str| Entry::about(&plan, Stage::Rehearse, decision).with("seal", seal);
    append(&path, Entry::about(&plan, Stage::Rehearse, Decision::Pass), 0);
    assert!(not_met().contains("of another seal"), "one that does not say what it rehearsed");
    append(&path, entry(Decision::Pass, &"f".repeat(64)), 1);
    assert!(not_met().contains("record 2 is of another seal"), "the same changes with another script");
    append(&path, entry(Decision::Pass, &plan.seal), 2);
    Gates::load(&path).unwrap().require_pass(Stage::Rehearse, &plan).unwrap();
    append(&path, entry(Decision::Insufficient, &plan.seal), 3);
    assert!(not_met().contains("record 4: insufficient"), "the last one counts");
}
