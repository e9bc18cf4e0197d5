//! What holds a run: a file, a query, a rate of calls, another runner; and what it says meanwhile.

use std::process::Child;
use std::time::{Duration, Instant};

use ops::backfill::run::Settings;

use crate::world::{Seen, World};
use crate::{FAST, watched_log};

/// Waits until a run has its books, and so has the table.
fn has_begun(world: &World, child: &mut Child) {
    let journal = world.only_plan().0.join("apply/journal.ndjson");
    let began = Instant::now();
    while !journal.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it began");
        assert!(began.elapsed() < Duration::from_secs(30), "it does not begin");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_file_and_a_query_hold_the_run_each_alone() {
    let world = World::new(FAST);
    let (_, id) = world.plan(" --limit 4");
    world.conn().execute_batch("CREATE TABLE load (n)").unwrap();
    ops::files::write_atomic(&world.path("hold"), b"").unwrap();
    let mut command = crate::support::command::xtask_std(world.dir.path());
    let line =
        format!("backfill apply --plan {id} --apply --approve {id} --pause-file hold --throttle-max 0");
    command.args(line.split(' ')).args(["--throttle-query", "SELECT count(*) FROM load"]);
    let null = std::process::Stdio::null;
    let mut child = command.envs(World::variables()).stdout(null()).stderr(null()).spawn().unwrap();
    has_begun(&world, &mut child);
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!(world.scorer.calls(), 0, "the file holds it");
    world.conn().execute_batch("INSERT INTO load VALUES (1)").unwrap();
    std::fs::remove_file(world.path("hold")).unwrap();
    // Everything is looked at again after a second.
    std::thread::sleep(Duration::from_millis(1300));
    assert_eq!(world.scorer.calls(), 0, "the query holds it");
    world.conn().execute_batch("DELETE FROM load").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(world.scorer.calls(), 8);
}

#[test]
fn calls_have_a_rate_of_their_own() {
    let world = World::new(FAST);
    let (_, id) = world.plan(" --limit 6");
    let line = format!("backfill apply --plan {id} --apply --approve {id} --max-calls-per-minute 600");
    world.ends(0, &format!("{line} --concurrency 3"));
    let log = world.scorer.log.lock().unwrap();
    let spent = log[11].at.duration_since(log[0].at);
    assert_eq!(log.len(), 12);
    // Eleven gaps of a tenth of a second, half a percent longer each; the way to the server takes some of the first.
    assert!(spent >= Duration::from_millis(1090), "{spent:?}");
}

/// The most calls that were under way at once.
fn most_at_once(log: &[Seen], work: Duration) -> usize {
    let under_way = |at: Instant| log.iter().filter(|seen| seen.at <= at && at < seen.at + work).count();
    log.iter().map(|seen| under_way(seen.at)).max().unwrap_or(0)
}

#[test]
fn as_many_candidates_are_under_way_as_was_asked_for_and_no_more() {
    let work = Duration::from_millis(60);
    for (asked, wanted) in [(1, 1), (3, 3)] {
        let world = World::new(work);
        let (_, id) = world.plan(" --limit 9");
        world.ends(0, &format!("backfill apply --plan {id} --apply --approve {id} --concurrency {asked}"));
        let log = world.scorer.log.lock().unwrap();
        assert_eq!((log.len(), most_at_once(&log, work)), (18, wanted));
        // Of one candidate there is never more than one call.
        for (i, seen) in log.iter().enumerate() {
            let next = log[i + 1..].iter().find(|next| next.session == seen.session);
            assert!(next.is_none_or(|next| next.at >= seen.at + work), "{}", seen.session);
        }
    }
}

#[test]
fn the_state_of_the_throttle_the_rate_and_the_rest_of_the_time_are_told() {
    let mut heard = Vec::new();
    let settings = Settings::default();
    watched_log(&settings, |_| Duration::from_millis(20), &mut |progress| heard.push(progress.clone()));
    assert_eq!((heard.last().unwrap().done, heard.last().unwrap().total), (139, 139));
    assert_eq!((heard[0].per_minute, heard[0].eta), (None, None), "of one candidate no rate can be known");
    let middle = heard.iter().find(|progress| progress.done == 70 && progress.state != "working").unwrap();
    assert_eq!(middle.state, "throttled to 20 a minute");
    let (rate, eta) = (middle.per_minute.unwrap(), middle.eta.unwrap().as_secs_f64());
    assert!((19.5..20.6).contains(&rate), "{rate}");
    assert!((eta - 69.0 * 3.0).abs() < 8.0, "{eta}");
}

#[test]
fn a_second_runner_is_refused_in_the_folder_and_at_the_table() {
    let world = World::new(FAST);
    let (folder, id) = world.plan(" --limit 4");
    ops::files::write_atomic(&world.path("hold"), b"").unwrap();
    let mut child =
        world.starts(&format!("backfill apply --plan {id} --apply --approve {id} --pause-file hold"));
    has_begun(&world, &mut child);
    let second = world.ends(3, &format!("backfill apply --plan {id} --apply --resume"));
    assert!(second.stderr.contains("another runner works on this plan"), "{}", second.stderr);
    // A copy of the folder has a lock of its own: there it is the database that knows.
    let copy = world.path("copy");
    ops::files::create_dir(&copy).unwrap();
    for name in ["plan.json", "candidates.ndjson", "plan.md"] {
        ops::files::write_atomic(&copy.join(name), &std::fs::read(folder.join(name)).unwrap()).unwrap();
    }
    let mut command = crate::support::command::xtask_std(world.dir.path());
    let line = format!("backfill apply --plan copy --apply --approve {id} --gates copy.ndjson");
    // With a seed of its own it has another name, as any two runners have.
    command.args(line.split(' ')).envs(World::variables()).env("OPS_SEED", "2");
    let second = command.output().unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_ne!(second.status.code(), Some(0), "{said}");
    assert!(said.contains("another runner holds the table"), "{said}");
    assert_eq!(world.scorer.calls(), 0);
    std::fs::remove_file(world.path("hold")).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(world.scorer.calls(), 8);
}
