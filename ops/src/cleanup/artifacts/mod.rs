//! Debris of exports and tools in a row: flagged, never removed.

/// The rules, by id.
pub const IDS: [&str; 1] = ["template"];
