//! The seven events of a selection, with the fields that their readers know.

use serde_json::{Value, json};

use super::select::{Correction, Selected, Source};
use crate::clock::Stamp;
use crate::telemetry::events::{Event, Fields, Snippets};

/// At most so many glyphs are named as selected.
const SELECTED_MAX: usize = 3;

/// What happens while a glyph is selected.
pub(super) enum Selecting<'a> {
    /// Selection begins.
    BestStart { glyphs: usize, signals: usize, input: &'a str },
    /// An answer is to be made.
    ContextualStart { glyph: Option<&'a str>, correction: Option<&'static str> },
    /// The user corrected the last answer.
    ContextualFeedback { kind: &'static str, glyph: Option<&'a str> },
    /// An answer was composed.
    ContextualComposed { glyph: Option<&'a str>, feedback: bool },
    /// Selection ended, with or without a glyph.
    BestDone { selected: &'a [Selected], source: Source },
    /// Everything about one sentence, whichever way it went.
    Summary { input: &'a str, signals: usize, gates: &'a [String], selected: &'a [Selected], source: Source },
    /// A past correction decided.
    ClarificationApplied { correction: &'a Correction, at: Stamp },
}

impl Event for Selecting<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::BestStart { .. } => "select_best_start",
            Self::ContextualStart { .. } => "generate_contextual_start",
            Self::ContextualFeedback { .. } => "generate_contextual_feedback",
            Self::ContextualComposed { .. } => "generate_contextual_composed",
            Self::BestDone { .. } => "select_best_done",
            Self::Summary { .. } => "parse_input_summary",
            Self::ClarificationApplied { .. } => "clarification_applied",
        }
    }

    fn fields(&self, snippets: Snippets) -> Fields {
        match self {
            Self::BestStart { glyphs, signals, input } => vec![
                ("glyphs_count", json!(glyphs)),
                ("signals_count", json!(signals)),
                ("input_snippet", snippets.show(input)),
                ("input_digest", snippets.digest(input)),
            ],
            Self::ContextualStart { glyph, correction } => vec![
                ("glyph", json!(glyph)),
                ("feedback_detected", json!(correction.is_some())),
                ("correction_type", json!(correction)),
            ],
            Self::ContextualFeedback { kind, glyph } => vec![("type", json!(kind)), ("glyph", json!(glyph))],
            Self::ContextualComposed { glyph, feedback } => {
                vec![("glyph", json!(glyph)), ("feedback_detected", json!(feedback))]
            }
            Self::BestDone { selected, source } => vec![
                ("best_glyph", best(selected)),
                ("selected_count", json!(selected.len())),
                (
                    "selected",
                    selected
                        .iter()
                        .take(SELECTED_MAX)
                        .map(|s| json!({"name": s.name, "score": s.score}))
                        .collect(),
                ),
                ("response_source", json!(source.as_str())),
            ],
            Self::Summary { input, signals, gates, selected, source } => vec![
                ("input_snippet", snippets.show(input)),
                ("input_digest", snippets.digest(input)),
                ("signals_count", json!(signals)),
                ("gates", json!(gates)),
                ("glyphs_returned", json!(selected.len())),
                ("best_glyph", best(selected)),
                ("glyphs_selected_count", json!(selected.len().min(SELECTED_MAX))),
                ("response_source", json!(source.as_str())),
            ],
            Self::ClarificationApplied { correction, at } => vec![
                ("record_id", json!(correction.record_id)),
                ("trigger", snippets.show(&correction.trigger)),
                ("suggestion", json!(correction.suggestion)),
                ("confidence", json!(correction.confidence)),
                ("applied_at", json!(at.iso())),
            ],
        }
    }
}

/// The name of the best glyph, or null.
fn best(selected: &[Selected]) -> Value {
    selected.first().map_or(Value::Null, |best| json!(best.name))
}
