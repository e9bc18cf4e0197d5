//! Telemetry events of token estimation: whether they are wanted, what a valid one is, why one was not written.
//!
//! An event that is not written is never silent: it has a reason, and the reason is counted. Nothing here
//! knows a database; the driver inserts the row and names the constraint when it cannot.

mod event;
mod flag;

pub use event::{Draft, EventRow, Rejection, VALID_OUTPUT_TOKENS_MIN};
pub use flag::Flag;
