//! From an error text to its template: one pass from left to right, at each place the first rule that fits.
//!
//! Normalising a template again changes nothing; a property test holds that. The rules look at the text behind the
//! place they stand at and at what the template has so far, never further ahead than they replace.

use serde::{Deserialize, Serialize};

use super::quoted;
use super::rules::{self, Found, Rule};
use super::scan::{self, Here};

/// Longer texts are cut: an error text is not a log.
const CHARS_MAX: usize = 8 * 1024;
/// A template that still changes after so many passes is taken as it is.
const PASSES_MAX: usize = 6;

/// A text without what varies.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Normalised {
    /// Lower case, blanks collapsed, tokens such as `<num>` for what was replaced.
    pub template: String,
    /// What was replaced, in order.
    pub parameters: Vec<Parameter>,
}

/// One replacement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// The rule that replaced it.
    pub rule: Rule,
    /// The text that was there.
    pub raw: String,
    /// What stands for it.
    pub token: String,
}

/// Replaces what varies in `text`; `known` are ids that vary whatever they look like.
pub fn normalise(text: &str, known: &[&str]) -> Normalised {
    let clean = scan::clean(text, CHARS_MAX);
    let mut normalised = pass(&clean, known, 0);
    for _ in 1..PASSES_MAX {
        let again = pass(&normalised.template, &[], 0);
        if again.template == normalised.template {
            break;
        }
        normalised.template = again.template;
        normalised.parameters.extend(again.parameters);
    }
    normalised
}

/// One pass; `depth` bounds quotes within quotes.
pub(super) fn pass(text: &str, known: &[&str], depth: u8) -> Normalised {
    let mut out = Normalised::default();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let here = Here::new(text, at, &out.template);
        if first.is_whitespace() || first.is_control() {
            if !out.template.is_empty() && !out.template.ends_with(' ') && !is_layout(&here) {
                out.template.push(' ');
            }
            at += first.len_utf8();
            continue;
        }
        let found = rules::placeholder(&here)
            .or_else(|| known_id(&here, known))
            .or_else(|| quoted::quoted(&here, known, depth))
            .or_else(|| rules::find(&here));
        let Some(found) = found else {
            out.template.extend(first.to_lowercase());
            at += first.len_utf8();
            continue;
        };
        debug_assert!(found.len > 0, "a rule takes what it replaces");
        out.template.push_str(&found.token);
        if let Some(rule) = found.rule {
            let raw = text[at..at + found.len].to_owned();
            out.parameters.push(Parameter { rule, raw, token: found.token });
        }
        at += found.len;
    }
    out.template.truncate(out.template.trim_end().len());
    out
}

/// Whether a blank only lays out JSON: behind `:`, `,` or an opening bracket and before a quote or another bracket.
fn is_layout(here: &Here<'_>) -> bool {
    here.out.ends_with([':', ',', '{', '[']) && here.rest.trim_start().starts_with(['"', '{', '['])
}

/// An id of this attempt where it stands alone.
fn known_id(here: &Here<'_>, known: &[&str]) -> Option<Found> {
    let fits = |id: &&&str| {
        !id.is_empty()
            && here.rest.starts_with(**id)
            && here.starts_word()
            && here.rest[id.len()..].chars().next().is_none_or(|c| !scan::is_word(c))
    };
    let id = known.iter().filter(fits).max_by_key(|id| id.len())?;
    Some(Found::new(id.len(), Rule::KnownId, "<id>"))
}
