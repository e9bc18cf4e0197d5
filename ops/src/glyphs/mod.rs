//! A small selector over a set of glyphs: which one answers a sentence, and why.
//!
//! It exists to see retrieval before and after a cleanup, and to emit the events that such a selector emits. It is
//! deterministic: the same set and the same sentence give the same answer. Nothing here knows a database.

mod events;
mod probe;
mod select;
mod set;

pub use probe::{Probe, probe};
pub use select::{Correction, Selected, Signal, Source};
pub use set::{Glyph, GlyphError, GlyphSet, corrections};
