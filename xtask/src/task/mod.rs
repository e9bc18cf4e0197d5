//! One file per task: arguments, and a `run` that parses, calls `ops` and prints. No logic lives here.

pub(crate) mod db_identity;
