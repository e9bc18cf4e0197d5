//! One sentence through the selector: its events, and the result as a report.

use serde::Serialize;

use super::events::Selecting;
use super::select::{self, Correction, Selected, Signal, Source};
use super::set::{Glyph, GlyphSet};
use crate::clock::Clock;
use crate::report::{Align, Document, Table, number};
use crate::telemetry::events::Events;
use crate::text::{ellipsis, one_line, thousands};

/// At most so many glyphs are listed.
const LISTED_MAX: usize = 5;

/// What came of a sentence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Probe {
    /// How many glyphs were looked at.
    pub glyphs: u64,
    /// How many rows had no name.
    pub unnamed: u64,
    /// The words that glyphs know.
    pub signals: Vec<Signal>,
    /// The layers of the glyphs that matched.
    pub gates: Vec<String>,
    /// The best glyph; null when none matched.
    pub best: Option<Selected>,
    /// How many glyphs matched.
    pub matched: u64,
    /// The best of them.
    pub selected: Vec<Selected>,
    /// Where the answer comes from.
    pub response_source: Source,
    /// The kind of correction that the sentence is.
    pub correction_type: Option<&'static str>,
    /// The past correction that decided.
    pub clarification: Option<String>,
    /// The answer.
    pub line: String,
}

/// Selects a glyph for `input`, composes an answer, and emits what happens.
pub fn probe(
    set: &GlyphSet,
    input: &str,
    corrections: &[Correction],
    clock: Clock,
    events: &Events,
) -> Probe {
    let mut probe = Probe {
        glyphs: set.glyphs.len() as u64,
        unnamed: set.unnamed,
        signals: Vec::new(),
        gates: Vec::new(),
        best: None,
        matched: 0,
        selected: Vec::new(),
        response_source: Source::Empty,
        correction_type: None,
        clarification: None,
        line: "Nothing was said yet.".to_owned(),
    };
    if select::is_greeting(input) {
        (probe.response_source, probe.line) =
            (Source::Greeting, "Hello. What is present for you?".to_owned());
    }
    if probe.response_source == Source::Greeting || input.trim().is_empty() {
        events.emit(&Selecting::Summary {
            input,
            signals: 0,
            gates: &[],
            selected: &[],
            source: probe.response_source,
        });
        return probe;
    }
    let (signals, mut selected) = select::rank(set, input);
    events.emit(&Selecting::BestStart { glyphs: set.glyphs.len(), signals: signals.len(), input });
    let correction =
        select::correction(input, corrections).filter(|c| promote(set, &mut selected, &c.suggestion));
    probe.correction_type = select::feedback(input);
    compose(&mut probe, set, &selected, correction.is_some(), events);
    events.emit(&Selecting::BestDone { selected: &selected, source: probe.response_source });
    probe.gates = gates(set, &selected);
    events.emit(&Selecting::Summary {
        input,
        signals: signals.len(),
        gates: &probe.gates,
        selected: &selected,
        source: probe.response_source,
    });
    if let Some(correction) = correction {
        events.emit(&Selecting::ClarificationApplied { correction, at: clock.now() });
        probe.clarification = Some(correction.record_id.clone());
    }
    probe.signals = signals;
    probe.best = selected.first().cloned();
    probe.matched = selected.len() as u64;
    selected.truncate(LISTED_MAX);
    probe.selected = selected;
    probe
}

/// Puts the glyph of this name first; `false` when there is none.
fn promote(set: &GlyphSet, selected: &mut Vec<Selected>, name: &str) -> bool {
    let name = name.trim().to_lowercase();
    let Some(index) = set.glyphs.iter().position(|glyph| glyph.name.to_lowercase() == name) else {
        return false;
    };
    let glyph = &set.glyphs[index];
    let at = selected.iter().position(|s| s.index == index);
    let new = Selected { id: glyph.id.clone(), name: glyph.name.clone(), score: 0.0, index };
    let meant = at.map_or(new, |at| selected.remove(at));
    selected.insert(0, meant);
    true
}

/// Makes the answer out of the best glyph, and emits how.
fn compose(probe: &mut Probe, set: &GlyphSet, selected: &[Selected], is_clarified: bool, events: &Events) {
    let Some(best) = selected.first() else {
        "I do not have a glyph for that yet; say more about it.".clone_into(&mut probe.line);
        probe.response_source = Source::Fallback;
        return;
    };
    let glyph = Some(best.name.as_str());
    events.emit(&Selecting::ContextualStart { glyph, correction: probe.correction_type });
    if let Some(kind) = probe.correction_type {
        events.emit(&Selecting::ContextualFeedback { kind, glyph });
    }
    probe.line = answer(&set.glyphs[best.index], probe.correction_type);
    probe.response_source = match (is_clarified, probe.correction_type) {
        (true, _) => Source::Clarification,
        (false, Some(_)) => Source::Feedback,
        (false, None) => Source::Glyph,
    };
    events.emit(&Selecting::ContextualComposed { glyph, feedback: probe.correction_type.is_some() });
}

/// The glyph's name and the first sentence of what it describes.
fn answer(glyph: &Glyph, correction: Option<&str>) -> String {
    let description = one_line(&glyph.description);
    let sentence = description.split_inclusive(['.', '!', '?']).next().unwrap_or_default().trim().to_owned();
    let before = match correction {
        Some("attribution_boundary") => "Then it may be another's to carry. ",
        Some("inherited_pattern") => "Some of this came before you. ",
        Some(_) => "Let me listen again. ",
        None => "",
    };
    let name = one_line(&glyph.name);
    if sentence.is_empty() { format!("{before}{name}.") } else { format!("{before}{name}: {sentence}") }
}

/// The layers of the glyphs, each once, in order.
fn gates(set: &GlyphSet, selected: &[Selected]) -> Vec<String> {
    let layers =
        selected.iter().map(|s| one_line(&set.glyphs[s.index].layer)).filter(|layer| !layer.is_empty());
    let layers: std::collections::BTreeSet<String> = layers.collect();
    layers.into_iter().collect()
}

impl Probe {
    /// The result for people.
    pub fn document(&self) -> Document {
        let mut document = Document::new();
        let best = self.best.as_ref();
        document.heading(1, "Glyph probe").facts([
            ("glyphs", thousands(self.glyphs)),
            ("rows without a name", thousands(self.unnamed)),
            ("matched", thousands(self.matched)),
            ("gates", if self.gates.is_empty() { "–".to_owned() } else { self.gates.join(", ") }),
            ("best glyph", best.map_or_else(|| "none".to_owned(), |best| one_line(&best.name))),
            ("score", number(best.map(|best| best.score), 4)),
            ("answer from", self.response_source.as_str().to_owned()),
            ("correction", self.correction_type.unwrap_or("–").to_owned()),
            ("answer", self.line.clone()),
        ]);
        if !self.signals.is_empty() {
            let mut table = Table::new([("signal", Align::Left), ("glyphs", Align::Right)]);
            for signal in &self.signals {
                table.row([signal.word.clone(), thousands(signal.glyphs)]);
            }
            document.heading(2, "Signals").table(table);
        }
        if !self.selected.is_empty() {
            let mut table =
                Table::new([("glyph", Align::Left), ("id", Align::Left), ("score", Align::Right)]);
            for s in &self.selected {
                table.row([ellipsis(&one_line(&s.name), 60), one_line(&s.id), number(Some(s.score), 4)]);
            }
            document.heading(2, "Selected").table(table);
        }
        document
    }
}
