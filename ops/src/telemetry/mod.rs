//! Telemetry: whether it is wanted, what a valid event is, why one was not written, the store that writes them, and
//! events as JSON Lines.
//!
//! An event that is not written is never silent: it has a reason, and the reason is counted. Nothing here
//! knows a database; the driver inserts the row and names the constraint when it cannot.

mod event;
pub mod events;
mod flag;
pub mod store;

pub use event::{Draft, EventRow, Rejection, VALID_OUTPUT_TOKENS_MIN};
pub use flag::Flag;
