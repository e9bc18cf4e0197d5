//! The exit codes, one constant and one reason each.
//!
//! Scripts and CI rely on these; a number never changes its meaning.

use std::process::ExitCode;

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// 0: done, or nothing to do.
    Done,
    /// 1: failed.
    Failed,
    /// 2: the command line was wrong (also used by the argument parser itself).
    Usage,
    /// 3: a guard refused before anything was done.
    Refused,
    /// 4: changes are pending, under `--check`.
    Pending,
    /// 5: partly done, journal kept, can be resumed.
    Partly,
    /// 6: a gate is not met.
    GateNotMet,
    /// 130: interrupted.
    Interrupted,
}

impl Code {
    /// The number that the shell sees.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Pending => 4,
            Self::Partly => 5,
            Self::GateNotMet => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code.number())
    }
}

/// Text for the end of `--help`.
pub(crate) const HELP: &str = "\
Exit codes:
  0    done, or nothing to do
  1    failed
  2    the command line was wrong
  3    refused by a guard, nothing was done
  4    changes are pending (under --check)
  5    partly done, can be resumed
  6    a gate is not met
  130  interrupted";
