//! What a backfill refuses, and that nothing was done then: records that do not hold, another database, no key, a way back that
//! fails in its middle.

use std::sync::atomic::AtomicBool;

use ops::backfill::plan::BackfillDir;
use ops::backfill::rollback::rollback;
use ops::backfill::run::Context;
use ops::change::apply::End;
use ops::clock::Clock;
use ops::ids::Ids;
use ops::pace::RealPace;
use ops::target::sqlite::{SqliteOptions, SqliteTarget};
use ops::url::DbUrl;

use crate::support::command::xtask_std;
use crate::world::{World, uuid};
use crate::{FAST, Nobody, json};

/// Makes a plan beside others; its short id.
fn plan(world: &World, more: &str) -> String {
    let line = format!("backfill plan --target live.db --functions {} --json{more}", world.scorer.url);
    json(&world.ends(0, &line).stdout)["short"].as_str().unwrap().to_owned()
}

#[test]
fn records_that_do_not_hold_let_nothing_through_and_the_reason_is_said() {
    let world = World::new(FAST);
    let first = plan(&world, " --limit 2");
    world.ends(0, &format!("backfill apply --plan {first} --apply --approve {first}"));
    let second = plan(&world, "");
    let calls = world.scorer.calls();
    let before = world.dump();
    // The approval of another plan is none.
    let ran = world.ends(6, &format!("backfill apply --plan {second} --apply"));
    assert!(ran.stderr.contains(&format!("the last one is of plan {first}")), "{}", ran.stderr);

    let path = world.path(".ops/gates.ndjson");
    let sound = std::fs::read_to_string(&path).unwrap();
    let (full, approval) = {
        let folder = world.path(".ops/backfills");
        let of = |short: &str| {
            let text = std::fs::read_to_string(folder.join(format!("backfill-{short}/plan.json"))).unwrap();
            json(&text)["id"].as_str().unwrap().to_owned()
        };
        let approval = sound.lines().find(|line| line.contains("\"approve\"")).unwrap().to_owned();
        ((of(&first), of(&second)), approval)
    };
    let lines = || sound.lines().map(str::to_owned).collect::<Vec<_>>();
    let forged = approval.replace(&full.0, &full.1);
    assert_ne!(forged, approval);
    let edited = lines().iter().map(|line| line.replace(&approval, &forged)).collect();
    let mut replayed = lines();
    replayed.push(approval.clone());
    let mut foreign = lines();
    foreign.push(forged);
    let mut swapped = lines();
    swapped.swap(1, 2);
    let mut shorter = lines();
    shorter.remove(1);
    for (records, why) in [
        (edited, "line 2: edited"),
        (replayed, "replayed"),
        (foreign, "line 6: "),
        (swapped, "line 2: missing"),
        (shorter, "line 2: missing"),
    ] {
        let text: String = records.iter().map(|line| format!("{line}\n")).collect();
        ops::files::write_atomic(&path, text.as_bytes()).unwrap();
        for line in [
            format!("backfill apply --plan {second} --apply"),
            format!("backfill apply --plan {second} --apply --approve {second}"),
            format!("backfill rollback --plan {first} --apply --approve {first}"),
        ] {
            let ran = world.ends(3, &line);
            assert!(ran.stderr.contains("cannot be relied on") && ran.stderr.contains(why), "{}", ran.stderr);
        }
    }
    assert_eq!((world.scorer.calls(), world.dump()), (calls, before));
    ops::files::write_atomic(&path, sound.as_bytes()).unwrap();
    world.ends(0, &format!("backfill apply --plan {second} --apply --approve {second}"));
}

#[test]
fn without_a_key_nothing_is_begun() {
    let world = World::new(FAST);
    let (folder, id) = world.plan("");
    let mut command = xtask_std(world.dir.path());
    let line = format!("backfill apply --plan {id} --apply --approve {id}");
    let output = command.args(line.split(' ')).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_ne!(output.status.code(), Some(0));
    assert!(said.contains("there is no API key"), "{said}");
    assert!(!folder.join("apply").exists() && !folder.join("backfill_logs").exists());
    assert_eq!(world.scorer.calls(), 0);
}

/// The database breaks the transaction off at one of the rows.
#[test]
fn a_way_back_that_fails_in_its_middle_changes_nothing() {
    let world = World::new(FAST);
    let (folder, id) = world.plan("");
    let before = world.dump();
    world.ends(0, &format!("backfill apply --plan {id} --apply --approve {id}"));
    let applied = world.dump();
    let trigger = format!(
        "CREATE TRIGGER break_off BEFORE UPDATE ON profiles WHEN OLD.session_id = '{}'
         BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
        uuid(20)
    );
    world.conn().execute_batch(&trigger).unwrap();
    let back = format!("backfill rollback --plan {id} --apply --approve {id}");
    let ran = world.ends(1, &back);
    assert_eq!(world.dump(), applied, "{}", ran.stderr);
    assert!(!folder.join("rollback").join("begun").exists(), "nothing was taken back");
    world.conn().execute_batch("DROP TRIGGER break_off").unwrap();
    world.ends(0, &back);
    assert_eq!(world.dump(), before);
}

#[test]
fn a_way_back_that_is_interrupted_in_one_transaction_changes_nothing() {
    let world = World::new(FAST);
    let (folder, id) = world.plan("");
    world.ends(0, &format!("backfill apply --plan {id} --apply --approve {id}"));
    let applied = world.dump();
    let DbUrl::Sqlite(url) = DbUrl::parse("live.db", world.dir.path()).unwrap() else {
        panic!("a path is SQLite")
    };
    let mut target = SqliteTarget::open(&url, world.dir.path(), SqliteOptions::default()).unwrap();
    let mut context = Context {
        target: &mut target,
        functions: &Nobody,
        pace: &mut RealPace::new(Clock::System),
        ids: &mut Ids::seeded(1),
        stop: &AtomicBool::new(true),
        progress: &mut |_| {},
    };
    let dir = BackfillDir::open(&folder).unwrap();
    let report = rollback(&dir, None, Some(&mut |_, _| Ok(())), &mut context).unwrap();
    assert_eq!((report.end, report.verified, report.tables[1].restored), (End::Interrupted, 0, 0));
    assert_eq!(world.dump(), applied);
    assert!(!folder.join("rollback/report.json").exists() && !folder.join("rollback/begun").exists());
    world.ends(0, &format!("backfill rollback --plan {id} --apply --approve {id}"));
}

/// A trigger bends a row while it is restored: that is found out by reading it again.
#[test]
fn a_row_that_does_not_read_back_as_before_is_a_failure() {
    let world = World::new(FAST);
    let (_, id) = world.plan("");
    world.ends(0, &format!("backfill apply --plan {id} --apply --approve {id}"));
    let trigger = format!(
        "CREATE TRIGGER bend AFTER UPDATE ON profiles WHEN NEW.session_id = '{}' AND NEW.recomputed_at IS NULL
         BEGIN UPDATE profiles SET recomputed_at = 'bent' WHERE session_id = NEW.session_id; END",
        uuid(7)
    );
    world.conn().execute_batch(&trigger).unwrap();
    let back = world.ends(1, &format!("backfill rollback --plan {id} --apply --approve {id}"));
    assert!(back.stdout.contains("1 row differ") && back.stdout.contains("FAIL"), "{}", back.stdout);
    let gates = std::fs::read_to_string(world.path(".ops/gates.ndjson")).unwrap();
    let last = gates.lines().last().unwrap();
    assert!(last.contains("\"rollback\"") && last.contains("\"decision\":\"fail\""), "{last}");
}

#[test]
fn what_cannot_be_read_makes_no_plan() {
    for spoil in [
        "DROP TABLE fc_scores",
        "ALTER TABLE assessment_sessions RENAME TO sessions",
        "ALTER TABLE profiles RENAME COLUMN results_version TO version",
        "ALTER TABLE assessment_sessions RENAME COLUMN completed_questions TO answers",
    ] {
        let world = World::new(FAST);
        world.conn().execute_batch(spoil).unwrap();
        let ran = world.run(&format!("backfill plan --target live.db --functions {}", world.scorer.url));
        assert!(ran.code != 0 && !ran.stderr.is_empty(), "{spoil}: {}", ran.stdout);
        assert_eq!(std::fs::read_dir(world.path(".ops/backfills")).map_or(0, Iterator::count), 0, "{spoil}");
        assert_eq!(world.scorer.calls(), 0);
    }
}
