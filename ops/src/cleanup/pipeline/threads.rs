//! Work on several threads whose results come in the order of the jobs, so that no artifact depends on their number.
//!
//! Job number n goes to worker n modulo their number, and results are asked for in the same order: nothing is sorted,
//! nothing is shared, and at most [`AHEAD`] jobs a worker are under way. Nothing here knows rows.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Jobs that a worker may have: one at work, one waiting.
const AHEAD: usize = 2;

/// One thread's share of the work, with what it needs again for each job.
pub(super) trait Worker: Send {
    /// What it is given.
    type Job: Send;
    /// What it makes of it.
    type Done: Send;
    /// Does one job.
    fn work(&mut self, job: Self::Job) -> Self::Done;
}

/// Where jobs come from and results go, on the thread that calls.
pub(super) trait Flow<J, D> {
    /// Why it stops early.
    type Error;
    /// The next job; `None` after the last.
    fn next(&mut self) -> Result<Option<J>, Self::Error>;
    /// The result of the earliest job whose result was not taken yet.
    fn take(&mut self, done: D) -> Result<(), Self::Error>;
}

/// The two ends of a worker's work.
struct Line<J, D> {
    jobs: SyncSender<J>,
    done: Receiver<D>,
}

/// Gives every job of `flow` to the workers, and takes their results in order.
pub(super) fn run<W, F>(workers: &mut [W], flow: &mut F) -> Result<(), F::Error>
where
    W: Worker,
    F: Flow<W::Job, W::Done>,
{
    thread::scope(|scope| {
        let mut lines = Vec::with_capacity(workers.len());
        for worker in workers.iter_mut() {
            let (jobs, todo) = sync_channel::<W::Job>(AHEAD);
            let (out, done) = sync_channel(AHEAD);
            scope.spawn(move || {
                for job in todo {
                    // Nobody waits for the result any more: the flow has failed.
                    if out.send(worker.work(job)).is_err() {
                        break;
                    }
                }
            });
            lines.push(Line { jobs, done });
        }
        drive(&lines, flow)
    })
}

fn drive<J, D, F: Flow<J, D>>(lines: &[Line<J, D>], flow: &mut F) -> Result<(), F::Error> {
    let (mut sent, mut taken) = (0_usize, 0_usize);
    let mut is_over = false;
    loop {
        if !is_over && sent - taken < lines.len() * AHEAD {
            match flow.next()? {
                Some(job) => {
                    lines[sent % lines.len()].jobs.send(job).expect("a worker waits for jobs until the end");
                    sent += 1;
                }
                None => is_over = true,
            }
        } else if taken < sent {
            let done = lines[taken % lines.len()].done.recv().expect("a worker answers every job");
            taken += 1;
            flow.take(done)?;
        } else {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Square(u64);

    impl Worker for Square {
        type Job = u64;
        type Done = u64;
        fn work(&mut self, job: u64) -> u64 {
            self.0 += 1;
            // The later ones are faster, which must not show.
            thread::sleep(std::time::Duration::from_micros(200 / (job + 1)));
            job * job
        }
    }

    struct Count {
        next: u64,
        last: u64,
        taken: Vec<u64>,
        fails_at: Option<u64>,
    }

    impl Flow<u64, u64> for Count {
        type Error = String;
        fn next(&mut self) -> Result<Option<u64>, String> {
            self.next += 1;
            Ok((self.next <= self.last).then_some(self.next - 1))
        }
        fn take(&mut self, done: u64) -> Result<(), String> {
            if Some(done) == self.fails_at {
                return Err("full".to_owned());
            }
            self.taken.push(done);
            Ok(())
        }
    }

    #[test]
    fn results_come_in_order_from_any_number_of_workers() {
        for workers in 1..5 {
            let mut workers: Vec<Square> = (0..workers).map(|_| Square(0)).collect();
            let mut flow = Count { next: 0, last: 50, taken: Vec::new(), fails_at: None };
            run(&mut workers, &mut flow).unwrap();
            assert_eq!(flow.taken, (0..50).map(|n| n * n).collect::<Vec<_>>());
            assert_eq!(
                workers.iter().map(|w| w.0).sum::<u64>(),
                50,
                "every worker's state is there afterwards"
            );
        }
    }

    #[test]
    fn a_failure_ends_the_workers() {
        let mut workers = [Square(0), Square(0)];
        let mut flow = Count { next: 0, last: 1000, taken: Vec::new(), fails_at: Some(9) };
        assert_eq!(run(&mut workers, &mut flow), Err("full".to_owned()));
        assert_eq!(flow.taken, [0, 1, 4]);
    }
}
