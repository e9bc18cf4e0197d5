//! Calls under way: in the thread of the run when there is one at a time, else each in a thread of its own.
//!
//! A thread calls and hands back the reply, nothing else: it knows no candidates, no rows and no books.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Scope;
use std::time::Duration;

use crate::target::calls::{Functions, Reply};

/// One call.
#[derive(Debug)]
pub(super) struct Job {
    /// Whose it is.
    pub(super) n: u64,
    pub(super) function: String,
    pub(super) body: String,
    pub(super) timeout: Duration,
}

/// Where calls are made.
pub(super) enum Pool<'f> {
    /// At once, by whoever asks.
    Inline { functions: &'f dyn Functions, done: VecDeque<(u64, Reply)> },
    /// By threads.
    Threads { jobs: Sender<Job>, replies: Receiver<(u64, Reply)>, under_way: usize },
}

impl<'f> Pool<'f> {
    /// For so many calls at once.
    pub(super) fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        functions: &'f dyn Functions,
        concurrency: usize,
    ) -> Self
    where
        'f: 'scope,
    {
        if concurrency <= 1 {
            return Self::Inline { functions, done: VecDeque::new() };
        }
        let (jobs, queue) = channel::<Job>();
        let (answer, replies) = channel();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..concurrency {
            let (queue, answer) = (Arc::clone(&queue), answer.clone());
            scope.spawn(move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(Job { n, function, body, timeout }) = job else { return };
                    if answer.send((n, functions.call(&function, &body, timeout))).is_err() {
                        return;
                    }
                }
            });
        }
        Self::Threads { jobs, replies, under_way: 0 }
    }

    /// Makes a call.
    pub(super) fn start(&mut self, job: Job) {
        match self {
            Self::Inline { functions, done } => {
                done.push_back((job.n, functions.call(&job.function, &job.body, job.timeout)));
            }
            Self::Threads { jobs, under_way, .. } => {
                *under_way += 1;
                jobs.send(job).expect("the threads live as long as the pool");
            }
        }
    }

    /// Whether replies are to come.
    pub(super) fn is_busy(&self) -> bool {
        match self {
            Self::Inline { done, .. } => !done.is_empty(),
            Self::Threads { under_way, .. } => *under_way > 0,
        }
    }

    /// The next reply, waited for at most `span`.
    pub(super) fn reply(&mut self, span: Duration) -> Option<(u64, Reply)> {
        match self {
            Self::Inline { done, .. } => done.pop_front(),
            Self::Threads { replies, under_way, .. } => match replies.recv_timeout(span) {
                Ok(reply) => {
                    *under_way -= 1;
                    Some(reply)
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
            },
        }
    }
}
