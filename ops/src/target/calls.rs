//! Calling a function that a server keeps beside its tables, and what can come back.
//!
//! A call is sent once. Whether it is worth another one, and whether it did anything, is for the caller to find out: an
//! answer says neither.

use std::time::Duration;

/// Where functions can be called; from several threads at once.
pub trait Functions: Sync {
    /// Calls the function `name` with a JSON `body`, and waits for at most `timeout`.
    fn call(&self, name: &str, body: &str, timeout: Duration) -> Reply;
}

/// What came of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status of an answer.
    pub status: Option<u16>,
    /// Why there is no answer.
    pub lost: Option<Lost>,
    /// How long the server asked to wait.
    pub retry_after: Option<Duration>,
    /// What an answer that is no success says, in one short line, masked.
    pub message: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The call was never sent: no connection.
    NotSent,
    /// It was sent, and no answer came in time.
    TimedOut,
    /// It was sent, and the connection ended before a whole answer.
    CutOff,
}

impl Reply {
    /// An answer without a message.
    pub fn status(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// No answer.
    pub fn lost(lost: Lost) -> Self {
        Self { lost: Some(lost), ..Self::default() }
    }

    /// Whether the server says that it was done.
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }

    /// The answer in a few words.
    pub fn words(&self) -> String {
        let what = match (self.status, self.lost) {
            (Some(status), _) => format!("HTTP {status}"),
            (None, Some(Lost::NotSent)) => "no connection".to_owned(),
            (None, Some(Lost::TimedOut)) => "no answer in time".to_owned(),
            (None, _) => "the connection ended before the answer".to_owned(),
        };
        match &self.message {
            Some(message) => format!("{what}: {message}"),
            None => what,
        }
    }
}
