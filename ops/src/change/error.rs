//! Why a run over a plan did not come to an end of its own.
//!
//! What happens to single rows is no error: that is in the ledger. Errors carry no contents of rows.

use super::gate::GateError;
use super::plan::PlanError;
use crate::files::FileError;
use crate::guard::Refusal;
use crate::target::TargetError;

/// What a runner could not do.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A guard stopped it; nothing was written.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// A file of the run.
    #[error(transparent)]
    File(#[from] FileError),
    /// The target.
    #[error(transparent)]
    Target(TargetError),
    /// A gate is not met; nothing was written. Exit code 6.
    #[error("{0}")]
    NotMet(#[source] Refusal),
    /// The plan.
    #[error(transparent)]
    Plan(PlanError),
}

impl From<TargetError> for RunError {
    fn from(error: TargetError) -> Self {
        match error {
            TargetError::Refused(refusal) => Self::Refused(refusal),
            other => Self::Target(other),
        }
    }
}

impl From<GateError> for RunError {
    fn from(error: GateError) -> Self {
        match error {
            GateError::NotMet(refusal) => Self::NotMet(refusal),
            GateError::Refused(refusal) => Self::Refused(refusal),
            GateError::File(error) => Self::File(error),
        }
    }
}

impl From<PlanError> for RunError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Refused(refusal) => Self::Refused(refusal),
            PlanError::File(error) => Self::File(error),
            other => Self::Plan(other),
        }
    }
}
