//! Many processes on one database, killed and suspended at random: no phase is lost and none is accounted for twice.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::is_long;
use crate::support::command::xtask_std;
use crate::support::kill::Moments;
use crate::world::{GOOD, World};

fn start(world: &World, seed: u32) -> Child {
    xtask_std(world.path())
        .args(["drain", "--db", "x.db", "--executor", "command", "--json", "--workers", "2", "--lease", "1"])
        .args(["--", "sh", "-c", GOOD])
        .env("TELEMETRY_DB_ENABLED", "1")
        // Leases run out by the clock of the machine.
        .env_remove("OPS_NOW")
        .env("OPS_SEED", seed.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    std::process::Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
}

#[test]
fn no_phase_is_lost_or_accounted_for_twice_when_drains_are_killed_and_suspended() {
    let (phases, patience) = if is_long() { (10_000, 1800) } else { (600, 120) };
    let world = World::new(10);
    world.sql(&format!(
        "CREATE TEMP TABLE t AS SELECT * FROM phases WHERE phase_id = 'p1';
         DELETE FROM phases;
         CREATE TEMP TABLE n AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {phases})
             SELECT i FROM n;
         UPDATE t SET id = NULL;
         CREATE TEMP TABLE all_phases AS SELECT t.*, n.i AS i FROM t, n;
         UPDATE all_phases SET phase_id = 'p' || i, phase_index = i;
         ALTER TABLE all_phases DROP COLUMN i;
         INSERT INTO phases SELECT * FROM all_phases"
    ));
    let mut moments = Moments(7);
    let mut seed = 0;
    let mut next_seed = || {
        seed += 1;
        seed
    };
    let mut drains: Vec<Child> = (0..4).map(|_| start(&world, next_seed())).collect();
    let began = Instant::now();
    let mut rounds = 0;
    let left = "SELECT count(*) FROM phases WHERE state <> 'COMPLETE'";
    while world.one::<i64>(left) > 0 {
        assert!(began.elapsed() < Duration::from_secs(patience), "{} left", world.one::<i64>(left));
        std::thread::sleep(Duration::from_millis(300) + moments.next(500));
        let at = usize::try_from(moments.next(4).as_millis()).unwrap();
        let other = (at + 1) % 4;
        signal(&drains[other], "STOP");
        drains[at].kill().unwrap();
        // Longer than its leases last.
        std::thread::sleep(Duration::from_millis(1300));
        signal(&drains[other], "CONT");
        rounds += 1;
        for drain in &mut drains {
            if drain.try_wait().unwrap().is_some() {
                *drain = start(&world, next_seed());
            }
        }
    }
    for mut drain in drains {
        drain.wait().unwrap();
    }
    assert!(rounds > 0, "all was done before any drain was killed or suspended");
    let accounts =
        "SELECT count(*), count(DISTINCT phase_id), count(DISTINCT event_id), sum(outcome = 'success'),
                    max(attempt) FROM phase_attempts";
    assert_eq!(world.rows(accounts), format!("{phases} | {phases} | {phases} | {phases} | 1"));
    assert_eq!(world.rows("SELECT DISTINCT state, builder_attempts FROM phases"), "COMPLETE | 1");
    assert_eq!(world.one::<i64>("SELECT count(*) FROM phase_leases WHERE owner IS NOT NULL"), 0);
    let fenced = "SELECT count(*) FROM phase_attempts a JOIN phases p USING (run_id, phase_id)
                  JOIN phase_leases l ON l.phase_pk = p.id WHERE a.fencing_token > l.fencing_token";
    assert_eq!(world.one::<i64>(fenced), 0);
}
