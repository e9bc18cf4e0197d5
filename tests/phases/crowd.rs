//! Many processes on one database, some of which are killed and some suspended for longer than their leases last.
//!
//! A process of the crowd is this test binary again, which drains until nothing waits. What it executes it writes down,
//! so that afterwards every claim and every execution can be accounted for.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ops::clock::Clock;
use ops::db::sqlite::WriteAhead;
use ops::random::Random;
use ops::telemetry::Flag;
use ops::tokens::estimator::Coefficients;
use ops::work::drain::{
    Attempted, Execution, Executor, History, Journal, Limits, Order, Policy, Report, Settings, Status,
    Surroundings, TriagePolicy, Worker, drain,
};
use rustix::process::{Pid, Signal, kill_process};

use super::world::{World, all, new_run, now, open};

const LEASE: Duration = Duration::from_millis(1500);

/// How large a crowd is and what happens to it.
struct Size {
    processes: usize,
    workers: usize,
    phases: usize,
    /// An execution takes up to this long.
    pace_ms: u64,
    kills: usize,
    stops: usize,
}

fn is_long() -> bool {
    std::env::var("OPS_DRAIN_LONG").is_ok_and(|value| value == "1")
}

fn micros() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

/// Takes a moment, and writes down when it began and when it was over.
struct Noting {
    log: Arc<File>,
    random: Random,
    pace_ms: u64,
}

impl Executor for Noting {
    fn source(&self) -> &'static str {
        "command"
    }

    fn execute(&mut self, order: Order<'_>, stop: &AtomicBool) -> Attempted {
        let (pk, token) = (order.claim.phase_pk, order.claim.fencing_token);
        let note = |what: &str| {
            let line = format!("{what} {pk} {token} {}\n", micros());
            (&*self.log).write_all(line.as_bytes()).unwrap();
        };
        note("begin");
        std::thread::sleep(Duration::from_millis(self.random.below(self.pace_ms.max(1))));
        if stop.load(Ordering::Relaxed) {
            note("cancelled");
            return Execution::Interrupted.into();
        }
        note("end");
        let report = Report {
            status: Status::Success,
            output_tokens: Some(100),
            input_tokens: None,
            earlier_tokens: None,
            max_tokens: None,
            stop_reason: None,
            model: None,
            truncated: None,
            error: None,
        };
        Execution::Reported { report, missing: Vec::new() }.into()
    }
}

/// Does nothing unless it was started as one of a crowd.
#[test]
fn a_process_of_a_crowd() {
    let Ok(order) = std::env::var("OPS_CROWD") else { return };
    let mut parts = order.split('\n');
    let mut next = || parts.next().unwrap();
    let (url, folder, name) = (next(), Path::new(next()), next());
    let (workers, pace_ms): (usize, u64) = (next().parse().unwrap(), next().parse().unwrap());
    let log = OpenOptions::new().append(true).create_new(true).open(folder.join(format!("{name}.log")));
    let log = Arc::new(log.unwrap());
    let policy = Policy {
        settings: Settings { selection: all(), limits: Limits::default(), triage: TriagePolicy::off() },
        lease: LEASE,
        telemetry: Flag::On,
        telemetry_debug: false,
        session_id: name.to_owned(),
        owner: name.to_owned(),
        database: "d".to_owned(),
        stop_file: None,
        coefficients: Coefficients::default(),
    };
    let mut control = open(url);
    let worker = |number: usize| Worker {
        store: open(url),
        executor: Box::new(Noting {
            log: Arc::clone(&log),
            random: Random::seeded(number as u64 ^ micros()),
            pace_ms,
        }),
    };
    let workers = (0..workers).map(worker).collect();
    let journal = Journal::create(&folder.join(name)).unwrap();
    let mut progress = |_: u64, _: u64, _: &str| {};
    let surroundings =
        Surroundings { clock: Clock::System, stop: &AtomicBool::new(false), progress: &mut progress };
    let report =
        drain(control.as_mut(), workers, &policy, Some(journal), &History::default(), surroundings).unwrap();
    assert!(report.balances(), "{report:?}");
    let lost = report.attempts.count("lease_lost");
    fs::write(folder.join(format!("{name}.lost")), lost.to_string()).unwrap();
}

/// A process at work, or one that is gone.
struct Member {
    name: String,
    child: Child,
    resume_at: Option<Instant>,
}

impl Member {
    fn signal(&self, signal: Signal) {
        // It may have ended just now.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }
}

/// What was done to the crowd: when each process was not itself, from and to in microseconds.
#[derive(Default)]
struct Deeds {
    kills: usize,
    stops: usize,
    started: usize,
    away: HashMap<String, Vec<(u64, u64)>>,
}

struct Crowd<'a> {
    world: &'a World,
    size: &'a Size,
    members: Vec<Member>,
    deeds: Deeds,
    random: Random,
}

static CROWDS: AtomicU64 = AtomicU64::new(0);

impl Crowd<'_> {
    fn start(&mut self) {
        self.deeds.started += 1;
        let name = format!("process-{:04}", self.deeds.started);
        let order = format!(
            "{}\n{}\n{name}\n{}\n{}",
            self.world.url(),
            self.world.folder().display(),
            self.size.workers,
            self.size.pace_ms
        );
        let errors = File::create(self.world.folder().join(format!("{name}.err"))).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crowd::a_process_of_a_crowd", "--nocapture", "--test-threads=1"])
            .env("OPS_CROWD", order)
            .stdin(Stdio::null())
            .stdout(Stdio::from(errors.try_clone().unwrap()))
            .stderr(Stdio::from(errors))
            .spawn()
            .unwrap();
        self.members.push(Member { name, child, resume_at: None });
    }

    /// Lets those go on who were suspended for long enough, and replaces who has ended while something waits.
    fn look(&mut self) {
        let now = Instant::now();
        for member in &mut self.members {
            if member.resume_at.is_some_and(|at| now >= at) {
                member.resume_at = None;
                if let Some((_, to)) = self.deeds.away.get_mut(&member.name).and_then(|away| away.last_mut())
                {
                    *to = micros();
                }
                member.signal(Signal::CONT);
            }
        }
        self.members.retain_mut(|member| member.child.try_wait().unwrap().is_none());
        let waits = || self.world.sql("SELECT count(*) FROM phases WHERE state <> 'COMPLETE'") != "0";
        let missing = self.size.processes.saturating_sub(self.members.len());
        if missing > 0 && waits() {
            (0..missing).for_each(|_| self.start());
        }
    }

    /// Does something to one of them.
    fn disturb(&mut self) {
        let free: Vec<usize> =
            (0..self.members.len()).filter(|i| self.members[*i].resume_at.is_none()).collect();
        if free.is_empty() {
            return;
        }
        let index = free[usize::try_from(self.random.below(free.len() as u64)).unwrap()];
        let left = (self.size.kills - self.deeds.kills, self.size.stops - self.deeds.stops);
        let is_kill = match left {
            (0, 0) => return,
            (_, 0) => true,
            (0, _) => false,
            (kills, stops) => self.random.below((kills + stops) as u64) < kills as u64,
        };
        let member = &mut self.members[index];
        let away = self.deeds.away.entry(member.name.clone()).or_default();
        away.push((micros(), u64::MAX));
        if is_kill {
            member.signal(Signal::KILL);
            member.child.wait().unwrap();
            self.members.swap_remove(index);
            self.deeds.kills += 1;
        } else {
            member.signal(Signal::STOP);
            member.resume_at = Some(Instant::now() + LEASE * 2);
            self.deeds.stops += 1;
        }
    }
}

impl Drop for Crowd<'_> {
    /// A suspended process would outlive a test that fails.
    fn drop(&mut self) {
        for member in &mut self.members {
            let _ = member.child.kill();
            let _ = member.child.wait();
        }
    }
}

/// Drains with a crowd to the end, and says what became of it.
fn drained(world: &World, size: &Size) -> Deeds {
    let names: Vec<String> = (0..size.phases / 10).map(|i| format!("p{i:05}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut store = world.open();
    for run in 0..10 {
        assert!(store.insert_run(&new_run(&format!("run-{run}"), &names), now()).unwrap());
    }
    world.sql("UPDATE phases SET samples_target = 1, scope = NULL");
    let seed = CROWDS.fetch_add(1, Ordering::Relaxed) + 11;
    let mut crowd =
        Crowd { world, size, members: Vec::new(), deeds: Deeds::default(), random: Random::seeded(seed) };
    let began = Instant::now();
    (0..size.processes).for_each(|_| crowd.start());
    // Time to get to work, and then something to one of them again and again.
    let mut next = Instant::now() + Duration::from_millis(800);
    while !crowd.members.is_empty() {
        assert!(began.elapsed() < Duration::from_mins(20), "the crowd does not come to an end");
        std::thread::sleep(Duration::from_millis(25));
        crowd.look();
        if Instant::now() >= next {
            crowd.disturb();
            next = Instant::now() + Duration::from_millis(100 + crowd.random.below(300));
        }
    }
    std::mem::take(&mut crowd.deeds)
}

/// An execution: by whom, with which token, from when to when; without an end its process was killed.
#[derive(Debug)]
struct Done {
    process: String,
    token: i64,
    begin: u64,
    end: Option<u64>,
}

fn executions(folder: &Path) -> BTreeMap<i64, Vec<Done>> {
    let mut found: BTreeMap<i64, Vec<Done>> = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|end| end != "log") {
            continue;
        }
        let process = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [what, pk, token, at] = words[..] else { panic!("{line}") };
            let (pk, token, at): (i64, i64, u64) =
                (pk.parse().unwrap(), token.parse().unwrap(), at.parse().unwrap());
            let of_phase = found.entry(pk).or_default();
            if what == "begin" {
                of_phase.push(Done { process: process.clone(), token, begin: at, end: None });
            } else {
                let ended = of_phase.iter_mut().find(|e| e.token == token && e.process == process);
                ended.unwrap().end = Some(at);
            }
        }
    }
    found
}

/// No phase lost, none done twice, none executed by two at a time, but by one that was not itself: that one can be
/// suspended anywhere, and the database then refuses what it says.
fn assert_accounted(world: &World, size: &Size, deeds: &Deeds) -> String {
    let phases = size.phases;
    assert_eq!(
        world.sql("SELECT count(*) FROM phases WHERE state = 'COMPLETE' AND builder_attempts = 1"),
        phases.to_string()
    );
    assert_eq!(
        world.sql(
            "SELECT count(*), count(DISTINCT a.run_id || '/' || a.phase_id), count(DISTINCT a.event_id), max(a.attempt)
             FROM phase_attempts a JOIN phases p ON p.run_id = a.run_id AND p.phase_id = a.phase_id
             JOIN phase_leases l ON l.phase_pk = p.id
             WHERE a.outcome = 'success' AND a.fencing_token = l.fencing_token AND l.owner IS NULL"
        ),
        format!("{phases}|{phases}|{phases}|1")
    );
    assert_eq!(world.sql("SELECT count(*) FROM phase_attempts"), phases.to_string());
    let claims: usize = world.sql("SELECT sum(fencing_token) FROM phase_leases").parse().unwrap();
    let executions = executions(&world.folder());
    assert_eq!(executions.len(), phases, "every phase was executed");
    let lease = u64::try_from(LEASE.as_micros()).unwrap();
    let was_away = |process: &str, from: u64, to: u64| {
        let away = deeds.away.get(process).map(Vec::as_slice).unwrap_or_default();
        away.iter().any(|(since, until)| *since <= to && until.saturating_add(lease) >= from)
    };
    let (mut repeated, mut beside_absent) = (0, 0);
    for (pk, mut of_phase) in executions {
        of_phase.sort_by_key(|execution| execution.token);
        for pair in of_phase.windows(2) {
            let [one, two] = pair else { unreachable!() };
            repeated += 1;
            assert!(one.token < two.token, "{pk}: {pair:?}");
            let is_over = one.end.is_some_and(|end| end <= two.begin);
            if !is_over {
                let away = was_away(&one.process, one.begin, two.begin);
                assert!(away, "phase {pk} was executed by two at a time: {pair:?}");
                beside_absent += 1;
            }
        }
    }
    let lost: u64 = fs::read_dir(world.folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "lost"))
        .map(|path| fs::read_to_string(path).unwrap().parse::<u64>().unwrap())
        .sum();
    let said = format!(
        "{phases} phases, {} processes started, {} killed, {} suspended: {claims} claims, {repeated} repeated executions \
         ({beside_absent} after one that was killed or suspended), {lost} late accounts refused, each phase done once",
        deeds.started, deeds.kills, deeds.stops
    );
    assert_eq!((deeds.kills, deeds.stops), (size.kills, size.stops), "the crowd ended too soon: {said}");
    assert!(claims > phases, "nobody was killed with a claim: {said}");
    said
}

#[test]
fn a_crowd_on_a_file_loses_nothing_and_does_nothing_twice() {
    let size = if is_long() {
        Size { processes: 4, workers: 2, phases: 10_000, pace_ms: 40, kills: 60, stops: 30 }
    } else {
        Size { processes: 4, workers: 2, phases: 400, pace_ms: 120, kills: 5, stops: 3 }
    };
    let world = World::sqlite();
    let log = WriteAhead::begin(world.url().as_ref());
    let deeds = drained(&world, &size);
    log.end();
    println!("{}", assert_accounted(&world, &size, &deeds));
}

#[test]
fn a_crowd_on_a_server_loses_nothing_and_does_nothing_twice() {
    let Some(world) = World::postgres() else { return };
    let size = if is_long() {
        Size { processes: 8, workers: 8, phases: 10_000, pace_ms: 300, kills: 60, stops: 30 }
    } else {
        Size { processes: 4, workers: 4, phases: 600, pace_ms: 150, kills: 5, stops: 3 }
    };
    let deeds = drained(&world, &size);
    println!("{}", assert_accounted(&world, &size, &deeds));
}
