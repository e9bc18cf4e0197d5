//! Runs that are killed at positions of their books: gone on with, or taken back as they are.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::command::xtask_std;
use crate::support::kill::Moments;
use crate::world::World;
use crate::{FAST, long};

/// Lines of the books so far.
fn lines(journal: &Path) -> u64 {
    let bytes = std::fs::read(journal).unwrap_or_default();
    bytes.split(|byte| *byte == b'\n').skip(1).count() as u64
}

/// A number below `most` that looks random.
fn below(most: u64, moments: &mut Moments) -> u64 {
    u64::try_from(moments.next(most).as_millis()).unwrap()
}

/// Starts a run and kills it when its books have some more lines, until it ends by itself; how often it was killed.
fn killed_until_done(world: &World, (folder, id): (&Path, &str), moments: &mut Moments) -> u32 {
    let (mut kills, mut begun) = (0, false);
    let journal = folder.join("apply/journal.ndjson");
    loop {
        let resume = if begun { " --resume" } else { "" };
        let line = format!(
            "backfill apply --plan {id} --apply --approve {id} --timeout 0.3 --concurrency 2{resume}"
        );
        let mut command = xtask_std(world.dir.path());
        // The real time: how long ago a call was sent decides how long it is waited for.
        command.args(line.split(' ')).envs(World::variables()).env("OPS_NOW", "");
        let (null, piped) = (std::process::Stdio::null(), std::process::Stdio::piped());
        let mut child = command.stdout(null).stderr(piped).spawn().unwrap();
        let wanted = lines(&journal) + below(40, moments);
        let start = Instant::now();
        while lines(&journal) < wanted
            && start.elapsed() < Duration::from_secs(3)
            && child.try_wait().unwrap().is_none()
        {
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(moments.next(4));
        let _ = child.kill();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        match output.status.code() {
            Some(0) => return kills,
            None => kills += 1,
            Some(3) if said.contains("nothing to resume") => begun = false,
            Some(3) if said.contains("was begun before") => begun = true,
            code => panic!("{line}: {code:?}: {said}"),
        }
    }
}

#[test]
fn killed_at_any_moment_it_ends_as_if_it_had_not_been() {
    let wanted = if long() { 50 } else { 12 };
    let undisturbed = World::new(FAST);
    let (_, id) = undisturbed.plan("");
    undisturbed.ends(0, &format!("backfill apply --plan {id} --apply --approve {id}"));
    let expected = undisturbed.dump();
    let (mut kills, mut moments) = (0, Moments(7));
    while kills < wanted {
        let world = World::new(Duration::from_millis(3));
        let (folder, id) = world.plan("");
        let before = world.dump();
        kills += killed_until_done(&world, (&folder, &id), &mut moments);
        assert_eq!(world.dump(), expected, "after {kills} kills");
        let twice: Vec<_> = world.scorer.writes().into_iter().filter(|(_, writes)| *writes != 1).collect();
        assert_eq!(twice, [], "after {kills} kills");
        // With gates of its own: the run was on the clock of the machine.
        world.ends(0, &format!("backfill rollback --plan {id} --apply --approve {id} --gates back.ndjson"));
        assert_eq!(world.dump(), before, "taken back, after {kills} kills");
    }
    eprintln!("{kills} kills");
}

/// Killed once and not resumed: the run is taken back all the same, by the task, and on a copy by the script alone.
#[test]
fn a_killed_run_is_taken_back_as_it_is() {
    let rounds = if long() { 50 } else { 5 };
    let mut moments = Moments(11);
    for round in 0..rounds {
        let world = World::new(Duration::from_millis(3));
        let (folder, id) = world.plan("");
        let before = world.dump();
        // An undisturbed run has six lines a candidate, 235 in all.
        let (journal, wanted) = (folder.join("apply/journal.ndjson"), 1 + below(190, &mut moments));
        let mut child = world.starts(&format!("backfill apply --plan {id} --apply --approve {id}"));
        while lines(&journal) < wanted {
            assert!(child.try_wait().unwrap().is_none(), "round {round}: it ended before it was killed");
            std::thread::sleep(Duration::from_micros(200));
        }
        std::thread::sleep(moments.next(3));
        child.kill().unwrap();
        assert_eq!(child.wait().unwrap().code(), None, "round {round}: it ended before it was killed");
        // What was under way on the server comes to its end.
        std::thread::sleep(Duration::from_millis(50));
        let applied = world.dump();
        assert!(applied != before || wanted < 12, "round {round}: nothing was done by line {wanted}");

        let copy = world.path("copy.db");
        world.conn().execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        let copy = rusqlite::Connection::open(copy).unwrap();
        let script = std::fs::read_to_string(folder.join("backfill_logs/rollback_2026-01-02.sql")).unwrap();
        let (statements, _) = script.split_once("COMMIT;").unwrap();
        copy.execute_batch(&format!("{statements}COMMIT;")).unwrap();
        assert_eq!(World::dump_of(&copy), before, "round {round}: by the script");

        world.ends(0, &format!("backfill rollback --plan {id} --apply --approve {id} --timeout 0.1"));
        assert_eq!(world.dump(), before, "round {round}");
    }
    eprintln!("{rounds} runs were killed and taken back");
}
