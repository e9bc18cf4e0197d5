//! Which glyph answers a sentence: words shared with its triggers, tone, name and description, rare words more.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::set::GlyphSet;

/// Words that say nothing about a feeling, with their endings taken off.
const STOP_WORDS: [&str; 52] = [
    "i", "im", "ive", "a", "an", "the", "and", "or", "but", "so", "to", "of", "in", "on", "at", "for",
    "with", "by", "from", "is", "am", "are", "was", "be", "been", "it", "its", "this", "that", "my", "me",
    "mine", "you", "your", "we", "feel", "just", "really", "very", "not", "no", "dont", "have", "has", "do",
    "like", "all", "what", "when", "how", "too", "thi",
];
/// Sentences that want no glyph.
const GREETINGS: [&str; 10] = [
    "hi",
    "hello",
    "hey",
    "hi there",
    "hello there",
    "hey there",
    "good morning",
    "good afternoon",
    "good evening",
    "greetings",
];
/// Phrases that correct the last answer, and what they say about it.
const FEEDBACK: [(&str, &[&str]); 3] = [
    (
        "attribution_boundary",
        &["not mine", "isn't mine", "isnt mine", "belongs to someone else", "not my feeling"],
    ),
    ("inherited_pattern", &["inherited", "my mother", "my father", "in my family", "generations"]),
    (
        "misalignment",
        &["not what i mean", "that's not it", "you misunderstood", "doesn't fit", "not quite right"],
    ),
];

/// How much a shared word counts by where the glyph has it.
const TRIGGER: f64 = 3.0;
const TONE: f64 = 2.0;
const NAME: f64 = 2.0;
const DESCRIPTION: f64 = 1.0;

/// A word of the sentence that glyphs know.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signal {
    /// The word without its ending.
    pub word: String,
    /// How many glyphs have it.
    pub glyphs: u64,
}

/// A glyph with its score, the best first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Selected {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How well it answers, with four decimals.
    pub score: f64,
    /// Its place in the set.
    #[serde(skip)]
    pub(super) index: usize,
}

/// What an earlier answer should have been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Correction {
    /// Its id.
    pub record_id: String,
    /// Words of a user that it is about.
    pub trigger: String,
    /// The name of the glyph that was meant.
    pub suggestion: String,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
}

/// Where an answer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// There was nothing to answer.
    Empty,
    /// A greeting was answered with one.
    Greeting,
    /// The best glyph.
    Glyph,
    /// The best glyph, after the user corrected something.
    Feedback,
    /// A glyph that a past correction names.
    Clarification,
    /// No glyph matched.
    Fallback,
}

impl Source {
    /// Its name in artifacts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Greeting => "greeting",
            Self::Glyph => "glyph",
            Self::Feedback => "feedback",
            Self::Clarification => "clarification",
            Self::Fallback => "fallback",
        }
    }
}

/// Words in small letters without their endings, in order.
pub(super) fn stems(text: &str) -> Vec<String> {
    let plain: String =
        text.nfkc().filter(|c| !matches!(c, '\'' | '’')).flat_map(char::to_lowercase).collect();
    let words = plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(stem).filter(|stem| !STOP_WORDS.contains(&stem.as_str())).collect()
}

/// A word without the endings that change its form and not its meaning.
fn stem(word: &str) -> String {
    for ending in ["ness", "ing", "ed", "ly", "es", "s"] {
        if let Some(rest) = word.strip_suffix(ending)
            && rest.chars().count() >= 4
        {
            return rest.to_owned();
        }
    }
    word.to_owned()
}

/// Whether the sentence is a greeting and nothing else.
pub(super) fn is_greeting(input: &str) -> bool {
    let plain: String = input.to_lowercase().chars().filter(|c| c.is_alphanumeric() || *c == ' ').collect();
    GREETINGS.contains(&plain.trim())
}

/// What kind of correction the sentence is.
pub(super) fn feedback(input: &str) -> Option<&'static str> {
    let input = input.to_lowercase().replace('’', "'");
    FEEDBACK
        .iter()
        .find(|(_, phrases)| phrases.iter().any(|phrase| input.contains(phrase)))
        .map(|(kind, _)| *kind)
}

/// The correction that the sentence calls for: the surest, then the first by id.
pub(super) fn correction<'a>(input: &str, corrections: &'a [Correction]) -> Option<&'a Correction> {
    let input = input.to_lowercase();
    let is_meant =
        |c: &&Correction| !c.trigger.trim().is_empty() && input.contains(&c.trigger.trim().to_lowercase());
    let order = |a: &&Correction, b: &&Correction| {
        b.confidence.total_cmp(&a.confidence).then_with(|| a.record_id.cmp(&b.record_id))
    };
    corrections.iter().filter(is_meant).min_by(order)
}

/// The words of the sentence that glyphs know, and the glyphs that know any of them, the best first.
pub(super) fn rank(set: &GlyphSet, input: &str) -> (Vec<Signal>, Vec<Selected>) {
    let wanted: BTreeSet<String> = stems(input).into_iter().collect();
    let known: Vec<BTreeMap<String, f64>> = set
        .glyphs
        .iter()
        .map(|glyph| {
            let mut words: BTreeMap<String, f64> = BTreeMap::new();
            let triggers = glyph.triggers.join(" ");
            let fields = [
                (&triggers, TRIGGER),
                (&glyph.tone, TONE),
                (&glyph.name, NAME),
                (&glyph.description, DESCRIPTION),
            ];
            for (text, weight) in fields {
                for stem in stems(text).into_iter().filter(|stem| wanted.contains(stem)) {
                    let best = words.entry(stem).or_default();
                    *best = best.max(weight);
                }
            }
            words
        })
        .collect();
    let having = |word: &String| known.iter().filter(|words| words.contains_key(word)).count();
    let counts: BTreeMap<&String, usize> = wanted.iter().map(|word| (word, having(word))).collect();
    let rarity = |word: &String| (1.0 + set.glyphs.len() as f64 / counts[word].max(1) as f64).ln();
    let score = |words: &BTreeMap<String, f64>| -> f64 {
        words.iter().map(|(word, weight)| weight * rarity(word)).sum()
    };
    let mut found: Vec<Selected> = known
        .iter()
        .enumerate()
        .filter(|(_, words)| !words.is_empty())
        .map(|(index, words)| {
            let glyph = &set.glyphs[index];
            let score = (score(words) * 1e4).round() / 1e4;
            Selected { id: glyph.id.clone(), name: glyph.name.clone(), score, index }
        })
        .collect();
    found.sort_by(|a, b| order(set, a, b));
    let signals = counts.into_iter().filter(|(_, count)| *count > 0);
    (signals.map(|(word, count)| Signal { word: word.clone(), glyphs: count as u64 }).collect(), found)
}

/// The better score, then the sounder row, then the name, then the order of the file.
fn order(set: &GlyphSet, a: &Selected, b: &Selected) -> Ordering {
    let integrity = |s: &Selected| set.glyphs[s.index].integrity;
    b.score
        .total_cmp(&a.score)
        .then_with(|| integrity(b).total_cmp(&integrity(a)))
        .then_with(|| a.name.cmp(&b.name))
        .then_with(|| a.index.cmp(&b.index))
}
