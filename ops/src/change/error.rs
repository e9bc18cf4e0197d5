//! Why a run over a plan did not come to an end of its own.
//!
//! What happens to single rows is no error: that is in the ledger. Errors carry no contents of rows.

use crate::files::FileError;
use crate::guard::Refusal;
use crate::target::TargetError;

/// What a runner could not do.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A guard stopped it; nothing was written.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A file of the plan or of the run.
    #[error(transparent)]
    File(#[from] FileError),
    /// The target.
    #[error(transparent)]
    Target(TargetError),
    /// A change that cannot be read from the plan.
    #[error("failed to read change {position} of the plan")]
    Change {
        /// Its position.
        position: u64,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<TargetError> for RunError {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Refused(refusal) => Self::Refused(refusal),
            other => Self::Target(other),
        }
    }
}
