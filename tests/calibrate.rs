//! Estimates, replay, comparison and calibration from outside: explained, refused, proposed, applied and taken back.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may")]

#[expect(dead_code, reason = "each test binary uses a part of the support")]
mod support;

use std::fs;
use std::path::Path;

use ops::random::Random;
use ops::tokens::canonical::Complexity;
use ops::tokens::estimator::{Coefficients, EstimateInput, Features};
use serde_json::{Value, json};
use support::command::xtask;
use support::golden::assert_golden;

/// Runs `analyze`; exit code, stdout and stderr.
fn analyze(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = xtask(dir).arg("analyze").args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Verified attempts of four runs, as an export would have them; `ratio` is actual over predicted, in thousandths.
fn events(ratio: u64, change: impl Fn(&mut Value)) -> String {
    let coefficients = Coefficients::default();
    let mut random = Random::seeded(3);
    let mut lines = String::new();
    for i in 0_u32..160 {
        let (category, count) =
            [("backend", 1), ("refactoring", 1), ("backend", 3), ("tests", 1)][(i % 4) as usize];
        let deliverables: Vec<String> = (0..count).map(|n| format!("src/f{n}.py")).collect();
        let features = Features::of(&EstimateInput {
            deliverables: &deliverables,
            files: &[],
            category,
            complexity: Complexity::Low,
            scope_path_count: 0,
        });
        let estimate = features.estimate(&coefficients);
        let actual = estimate.output_tokens * ratio * (800 + random.below(401)) / 1_000_000;
        let mut event = json!({
            "event_id": i + 1, "run_id": format!("run-{}", i / 40), "phase_id": format!("phase-{i}"),
            "timestamp": format!("2030-01-0{} 00:00:{:02}", 1 + i / 40, i % 40), "category": category, "complexity": "low",
            "deliverable_count": count, "predicted_output_tokens": estimate.output_tokens,
            "actual_output_tokens": actual, "selected_budget": estimate.selected_budget, "success": true,
            "truncated": false, "outcome_source": "command", "verified": true, "estimator_version": "1",
            "coefficient_digest": coefficients.digest(), "features_json": features.json(),
        });
        change(&mut event);
        lines += &format!("{event}\n");
    }
    lines
}

const CALIBRATE: [&str; 5] = ["calibrate", "--from", "events.ndjson", "--out", "proposal"];

#[test]
fn an_estimate_is_explained_term_by_term() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("src/plain.py"), "import os\n\ndef f():\n    return 1\n").unwrap();
    let deliverables = [
        "--deliverable",
        "update src/plain.py",
        "--deliverable",
        "Create tests/test_plain.py",
        "--deliverable",
        "src/new_module.py",
    ];
    let rest = ["--category", "IMPLEMENT_FEATURE", "--complexity", "low_level", "--workspace", "."];
    let args = [&["estimate"], &deliverables[..], &rest].concat();
    let (code, stdout, stderr) = analyze(dir.path(), &args);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_golden("analyze/estimate/expected/stdout.txt", &stdout);
    let (_, json, _) = analyze(dir.path(), &[&args[..], &["--json"]].concat());
    assert_golden("analyze/estimate/expected/estimate.json", &json);
    let (code, stdout, _) = analyze(
        dir.path(),
        &["estimate", "--deliverable", "docs/API_REFERENCE.md", "--category", "docs", "--complexity", "low"],
    );
    assert!(
        code == 0 && stdout.contains("⌊4,550 × 1.3⌋ = 5,915") && stdout.contains("selected budget  13,013"),
        "{stdout}"
    );
    let (code, stdout, _) = analyze(dir.path(), &["estimate", "--complexity", "high"]);
    assert!(code == 0 && stdout.contains("16,384, without a safety factor"), "{stdout}");
    assert_eq!(analyze(dir.path(), &["estimate", "--complexity", "odd"]).0, 2);
}

#[test]
fn a_phase_of_a_database_is_estimated_and_its_events_carry_what_that_rests_on() {
    let dir = tempfile::tempdir().unwrap();
    let seeded = xtask(dir.path()).args(["seed-telemetry", "--db", "seed.db"]).output().unwrap();
    assert_eq!(seeded.status.code(), Some(0));
    let conn = rusqlite::Connection::open(dir.path().join("seed.db")).unwrap();
    let (phase, predicted, digest, features): (String, u64, String, String) = conn
        .query_row(
            "SELECT phase_id, predicted_output_tokens, coefficient_digest, features_json FROM token_estimation_v2_events",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .unwrap();
    assert_eq!(digest, Coefficients::default().digest());
    assert_eq!(Features::parse(&features).unwrap().output_tokens(&Coefficients::default()), predicted);
    let (code, stdout, stderr) = analyze(dir.path(), &["estimate", &phase, "--db", "seed.db", "--json"]);
    let found: Value = serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stderr}"));
    assert_eq!((code, found["predicted_output_tokens"].as_u64()), (0, Some(predicted)));
    let (code, _, stderr) = analyze(dir.path(), &["estimate", "no-such", "--db", "seed.db"]);
    assert!(code == 3 && stderr.contains("there is no such phase"), "{stderr}");
    // What was recorded and replayed is no evidence.
    let (code, _, stderr) = analyze(dir.path(), &["calibrate", "--db", "seed.db"]);
    assert!(code == 3 && stderr.contains("21 recorded outcomes, replayed"), "{stderr}");
    // Its attempts were verified, and none of them is left out for another reason; but they are at ten phases only.
    let (code, _, stderr) = analyze(dir.path(), &["calibrate", "--db", "seed.db", "--accept-recorded"]);
    assert!(code == 3 && stderr.contains("found:    10 phases\n"), "{stderr}");
}

#[test]
fn a_proposal_is_applied_by_its_id_and_taken_back_to_the_byte() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("events.ndjson"), events(300, |_| {})).unwrap();
    fs::write(dir.path().join("ops.toml"), ops::config::SHIPPED).unwrap();
    let (code, stdout, stderr) = analyze(dir.path(), &CALIBRATE);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert_golden("analyze/calibrate/expected/stdout.txt", &stdout);
    let place = dir.path().join("proposal");
    for name in [
        "report.md",
        "report.html",
        "report.json",
        "needs.json",
        "patch.json",
        "inverse.json",
        "ops.toml.patch",
    ] {
        assert!(place.join(name).is_file(), "{name}");
    }
    let patch: Value = serde_json::from_slice(&fs::read(place.join("patch.json")).unwrap()).unwrap();
    let id = patch["id"].as_str().unwrap();
    let apply = |file: &str, id: &str| analyze(dir.path(), &["calibrate", "--apply", file, "--approve", id]);
    let (code, _, stderr) = apply("proposal/patch.json", "000000000000");
    assert!(code == 3 && stderr.contains("the approval is of another patch"), "{stderr}");
    let changed = ops::config::SHIPPED.replace("[estimator]", "# a word\n[estimator]");
    fs::write(dir.path().join("ops.toml"), &changed).unwrap();
    let (code, _, stderr) = apply("proposal/patch.json", id);
    assert!(code == 3 && stderr.contains("is not the file that the patch was made for"), "{stderr}");
    fs::write(dir.path().join("ops.toml"), ops::config::SHIPPED).unwrap();
    let (code, stdout, stderr) = apply("proposal/patch.json", id);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert_ne!(fs::read_to_string(dir.path().join("ops.toml")).unwrap(), ops::config::SHIPPED);
    // The same evidence is not used twice: it was predicted with what no longer holds.
    let (code, _, stderr) = analyze(dir.path(), &CALIBRATE[..3]);
    assert!(code == 3 && stderr.contains("predicted with other coefficients"), "{stderr}");
    let inverse: Value = serde_json::from_slice(&fs::read(place.join("inverse.json")).unwrap()).unwrap();
    assert_eq!(apply("proposal/inverse.json", inverse["id"].as_str().unwrap()).0, 0);
    assert_eq!(fs::read_to_string(dir.path().join("ops.toml")).unwrap(), ops::config::SHIPPED);
    // A patch that was edited is not the one that was approved.
    let edited = fs::read_to_string(place.join("patch.json")).unwrap().replacen("\"to\": ", "\"to\": 1", 1);
    fs::write(place.join("edited.json"), edited).unwrap();
    let (code, _, stderr) = apply("proposal/edited.json", id);
    assert!(code == 3 && stderr.contains("the patch was changed after it was made"), "{stderr}");
}

#[test]
fn an_approval_stands_in_the_chain_and_is_good_for_one_change() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("events.ndjson"), events(300, |_| {})).unwrap();
    fs::write(at("ops.toml"), ops::config::SHIPPED).unwrap();
    assert_eq!(analyze(dir.path(), &CALIBRATE).0, 0);
    let id = |file: &str| {
        let patch: Value = serde_json::from_slice(&fs::read(at(file)).unwrap()).unwrap();
        patch["id"].as_str().unwrap().to_owned()
    };
    let (forth, back) = (id("proposal/patch.json"), id("proposal/inverse.json"));
    let apply = |file: &str, id: &str, more: &[&str]| {
        analyze(dir.path(), &[&["calibrate", "--apply", file, "--approve", id], more].concat())
    };
    let (patch, inverse) = ("proposal/patch.json", "proposal/inverse.json");
    // What no calibration of this chain proposed gets nowhere, and there is nothing to take back yet.
    let (code, _, stderr) = apply(patch, &forth, &["--gates", "other.ndjson"]);
    assert!(code == 6 && stderr.contains("no calibration in this chain proposed this patch"), "{stderr}");
    let (code, _, stderr) = apply(inverse, &back, &[]);
    assert!(code == 6 && stderr.contains("there is nothing to take back"), "{stderr}");
    // A chain in which a record was edited, or an old one repeated, lets nothing through.
    let chain = fs::read_to_string(at(".ops/gates.ndjson")).unwrap();
    for (broken, says) in [(chain.replace("pass", "fail"), "edited"), (chain.repeat(2), "replayed")] {
        fs::write(at(".ops/gates.ndjson"), broken).unwrap();
        let (code, _, stderr) = apply(patch, &forth, &[]);
        assert!(code == 3 && stderr.contains(says), "{stderr}");
    }
    assert_eq!(fs::read_to_string(at("ops.toml")).unwrap(), ops::config::SHIPPED);
    fs::write(at(".ops/gates.ndjson"), chain).unwrap();
    assert_eq!(apply(patch, &forth, &[]).0, 0);
    assert_eq!(apply(inverse, &back, &[]).0, 0);
    // The file is what it was made for once more; but the approval was used, and so was taking it back.
    assert_eq!(fs::read_to_string(at("ops.toml")).unwrap(), ops::config::SHIPPED);
    let (code, _, stderr) = apply(patch, &forth, &[]);
    assert!(code == 3 && stderr.contains("this patch was applied before"), "{stderr}");
    let (code, _, stderr) = apply(inverse, &back, &[]);
    assert!(code == 3 && stderr.contains("this patch was taken back before"), "{stderr}");
    let text = fs::read_to_string(at(".ops/gates.ndjson")).unwrap();
    let words: Vec<(String, String)> = text
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            assert_eq!(
                (&record["detail"]["kind"], &record["target"]),
                (&json!("calibration"), &json!("ops.toml"))
            );
            assert!(record["plan"].as_str().unwrap().starts_with(&forth), "{record}");
            let word = |name: &str| record[name].as_str().unwrap().to_owned();
            (word("stage"), word("decision"))
        })
        .collect();
    let words: Vec<(&str, &str)> =
        words.iter().map(|(stage, decision)| (&stage[..], &decision[..])).collect();
    assert_eq!(
        words,
        [
            ("plan", "pass"),
            ("approve", "pass"),
            ("apply", "begun"),
            ("apply", "pass"),
            ("rollback", "begun"),
            ("rollback", "pass"),
        ]
    );
    let audit = xtask(dir.path()).args(["gates", "audit"]).output().unwrap();
    assert_eq!(audit.status.code(), Some(0), "{}", String::from_utf8_lossy(&audit.stdout));
}

#[test]
fn a_change_that_was_cut_short_is_ended() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("events.ndjson"), events(300, |_| {})).unwrap();
    fs::write(at("ops.toml"), ops::config::SHIPPED).unwrap();
    assert_eq!(analyze(dir.path(), &CALIBRATE).0, 0);
    let patch: Value = serde_json::from_slice(&fs::read(at("proposal/patch.json")).unwrap()).unwrap();
    let args = ["calibrate", "--apply", "proposal/patch.json", "--approve", patch["id"].as_str().unwrap()];
    assert_eq!(analyze(dir.path(), &args).0, 0);
    // As if the program had been killed after it wrote the file, and before it wrote that it had.
    let chain = fs::read_to_string(at(".ops/gates.ndjson")).unwrap();
    let lines: Vec<&str> = chain.lines().collect();
    fs::write(at(".ops/gates.ndjson"), lines[..lines.len() - 1].join("\n") + "\n").unwrap();
    let changed = fs::read_to_string(at("ops.toml")).unwrap();
    let (code, _, stderr) = analyze(dir.path(), &args);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(fs::read_to_string(at("ops.toml")).unwrap(), changed);
    let (code, _, stderr) = analyze(dir.path(), &args);
    assert!(code == 3 && stderr.contains("this patch was applied before"), "{stderr}");
}

#[test]
fn the_models_of_documents_are_fitted_too() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("ops.toml"), ops::config::SHIPPED).unwrap();
    let names = ["BUILD_HISTORY.md", "docs/notes.md", "docs/plan.md"];
    let text = events(300, |event| {
        let i = event["event_id"].as_u64().unwrap() - 1;
        let deliverables: Vec<String> =
            names[..usize::try_from(1 + i % 3).unwrap()].iter().map(|n| (*n).into()).collect();
        let features = Features::of(&EstimateInput {
            deliverables: &deliverables,
            files: &[],
            category: "docs",
            complexity: Complexity::Low,
            scope_path_count: usize::try_from(i / 3 % 2 * 4).unwrap(),
        });
        let estimate = features.estimate(&Coefficients::default());
        event["category"] = json!("doc_sot_update");
        event["deliverable_count"] = json!(deliverables.len());
        event["predicted_output_tokens"] = json!(estimate.output_tokens);
        event["actual_output_tokens"] = json!(estimate.output_tokens * (25 + i % 11) / 100);
        event["selected_budget"] = json!(estimate.selected_budget);
        event["features_json"] = json!(features.json());
    });
    fs::write(dir.path().join("events.ndjson"), text).unwrap();
    let (code, stdout, stderr) = analyze(dir.path(), &[&CALIBRATE[..], &["--json"]].concat());
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let moved: Vec<(&str, bool)> = report["calibration"]["coefficients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["path"].as_str().unwrap(), m["to"].as_u64() < m["from"].as_u64()))
        .collect();
    let expected = ["documents.update_context.0", "documents.update_context.1", "documents.update_document"]
        .map(|p| (p, true));
    assert_eq!(moved, expected);
    let id = report["patch"]["id"].as_str().unwrap();
    let (code, _, stderr) =
        analyze(dir.path(), &["calibrate", "--apply", "proposal/patch.json", "--approve", id]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    let after = fs::read_to_string(dir.path().join("ops.toml")).unwrap();
    assert!(
        after.contains(", 1500]\nupdate_document = ") && !after.contains("update_context = [3000"),
        "{after}"
    );
}

#[test]
fn what_cannot_be_applied_or_proposed_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let write = |text: &str| fs::write(dir.path().join("events.ndjson"), text).unwrap();
    write(&events(300, |event| event["verified"] = Value::Null));
    let (code, _, stderr) = analyze(dir.path(), &CALIBRATE);
    assert!(code == 3 && stderr.contains("160 not verified"), "{stderr}");
    let trial = [&CALIBRATE[..], &["--accept-unverified"]].concat();
    let (code, stdout, _) = analyze(dir.path(), &trial);
    assert!(code == 0 && stdout.contains("A trial") && !stdout.contains("--approve"), "{stdout}");
    let patch: Value =
        serde_json::from_slice(&fs::read(dir.path().join("proposal/patch.json")).unwrap()).unwrap();
    let (code, _, stderr) = analyze(
        dir.path(),
        &["calibrate", "--apply", "proposal/patch.json", "--approve", patch["id"].as_str().unwrap()],
    );
    assert!(code == 3 && stderr.contains("a trial cannot be applied"), "{stderr}");
    // Predictions that already are right leave nothing to propose.
    write(&events(850, |_| {}));
    let (code, stdout, stderr) = analyze(dir.path(), &[&CALIBRATE[..3], &["--out", "none"]].concat());
    assert!(code == 6 && stderr.contains("no proposal"), "{stdout}{stderr}");
    assert!(!dir.path().join("none/patch.json").exists() && dir.path().join("none/needs.json").exists());
    // Needs are the input of a top-up.
    assert_eq!(
        xtask(dir.path()).args(["seed-telemetry", "--db", "seed.db"]).output().unwrap().status.code(),
        Some(0)
    );
    fs::write(
        dir.path().join("needs.json"),
        r#"{"format": 1, "strata": [{"category": "testing", "complexity": "low", "have": 2, "need": 3},
            {"category": "backend", "complexity": "low", "have": 0, "need": 9}]}"#,
    )
    .unwrap();
    let topped = ["seed-telemetry", "--db", "seed.db", "--top-up", "--needs", "needs.json", "--seed-only"];
    let output = xtask(dir.path()).args(topped).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.code() == Some(0) && stdout.contains("no phase of backend, low; 9 lacking stay so"),
        "{stdout}"
    );
}

#[test]
fn events_are_replayed_with_other_coefficients() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("events.ndjson"),
        events(300, |event| {
            let id = event["event_id"].as_u64().unwrap();
            if id.is_multiple_of(8) {
                (event["truncated"], event["success"]) = (json!(true), json!(false));
            }
            if id.is_multiple_of(10) {
                event["features_json"] = Value::Null;
            }
        }),
    )
    .unwrap();
    let other = ops::config::SHIPPED.replace("source = { new = 2000", "source = { new = 1000");
    fs::write(dir.path().join("other.toml"), other).unwrap();
    let replay = ["replay", "--from", "events.ndjson", "--coefficients", "other.toml"];
    let (code, stdout, stderr) = analyze(dir.path(), &replay);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_golden("analyze/replay/expected/stdout.txt", &stdout);
    // With the coefficients of the time nothing differs.
    let (_, stdout, _) = analyze(dir.path(), &["replay", "--from", "events.ndjson", "--json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let all = &report["replay"]["all"];
    assert_eq!((&all["old"], report["replay"]["without_features"].as_u64()), (&all["new"], Some(16)));
}

#[test]
fn two_runs_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("events.ndjson"),
        events(500, |event| {
            if event["run_id"] == "run-1" {
                event["actual_output_tokens"] = event["predicted_output_tokens"].clone();
            }
        }),
    )
    .unwrap();
    let (code, stdout, stderr) =
        analyze(dir.path(), &["compare", "run-0", "run-1", "--from", "events.ndjson"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_golden("analyze/compare/expected/stdout.txt", &stdout);
    // Versions of the formulas and sets of coefficients are told apart in the same way.
    let digest = Coefficients::default().digest();
    fs::write(
        dir.path().join("two.ndjson"),
        events(500, |event| {
            if event["event_id"].as_u64().unwrap().is_multiple_of(2) {
                (event["estimator_version"], event["coefficient_digest"]) =
                    (json!("2"), json!("0123456789ab"));
            }
        }),
    )
    .unwrap();
    for (by, first, second) in [("version", "1", "2"), ("coefficients", digest.as_str(), "0123456789ab")] {
        let args = ["compare", first, second, "--by", by, "--from", "two.ndjson", "--json"];
        let (code, stdout, stderr) = analyze(dir.path(), &args);
        assert_eq!((code, stderr.as_str()), (0, ""), "{by}");
        let report: Value = serde_json::from_str(&stdout).unwrap();
        let attempts = |at: usize| report["comparison"]["sides"][at]["attempts"].as_u64();
        assert_eq!((attempts(0), attempts(1)), (Some(80), Some(80)), "{by}");
    }
    let (code, _, stderr) = analyze(dir.path(), &["compare", "run-0", "run-9", "--from", "events.ndjson"]);
    assert!(code == 3 && stderr.contains("run-0, run-1, run-2, run-3"), "{stderr}");
}
