//! Debris of exports and tools in a row: flagged, never removed.
//!
//! One set of rules, each with an id and each of which can be switched off. Markers are whole words: an exported joy
//! is none. What a table looks like when every row is flagged is said by [`Tally`], not decided here.

mod text;

pub(super) use text::WORDS;

use std::collections::BTreeMap;

use super::dataset::{Dataset, Part};
use super::list;
use super::note::{Finding, Note, Rule};
use super::row::Row;
use super::rules::{FillKind, PartRule, Recent, Role, Rules, Scratch, content};
use super::titles::{COMMON_CHARS, Learned};
use super::words::{Splits, Word, hash};

macro_rules! rules {
    ($($name:ident $id:literal,)*) => {
        $(pub(super) const $name: Rule = Rule { id: $id, version: 1 };)*
        /// The rules, by id.
        pub const IDS: &[&str] = &[$($id),*];
    };
}

rules! {
    ARCHIVE_EMOJI "archive_emoji",
    BRACKET_IN_TITLE "bracket_in_title",
    CODE_FENCE "code_fence",
    DEPRECATED "deprecated",
    EMPHASIS_RUN "emphasis_run",
    EXPORT_MARKER "export_marker",
    FILE_REFERENCE "file_reference",
    GENERIC_WORDS "generic_words",
    HEADING "heading",
    HTML "html",
    LONG_TEXT "long_text",
    LONG_TITLE "long_title",
    MANY_LINES "many_lines",
    MODULE_HEADING "module_heading",
    NUMBERED_TITLE "numbered_title",
    SYMBOLS "symbols",
    TAB_IN_TITLE "tab_in_title",
    TEMPLATE "template",
    TITLE_LABEL "title_label",
    URL "url",
}

/// Flags what looks like debris. For a repaired row or one as it was read.
pub fn check(rules: &Rules, learned: &Learned, row: &Row<'_>, notes: &mut Vec<Note>, scratch: &mut Scratch) {
    let mut splits = std::mem::take(&mut scratch.splits);
    rules.split(row, &mut splits);
    check_split(rules, learned, row, &splits, notes, scratch);
    scratch.splits = splits;
}

/// Flags a row whose texts are split already.
pub(super) fn check_split(
    rules: &Rules,
    learned: &Learned,
    row: &Row<'_>,
    splits: &Splits,
    notes: &mut Vec<Note>,
    scratch: &mut Scratch,
) {
    let settings = &rules.dataset.artifacts;
    let mut flag = |column: usize, rule: Rule, detail: String| {
        if !settings.without.iter().any(|id| id == rule.id) {
            notes.push(Note::Finding(Some(column), Finding { rule, detail, candidate: None }));
        }
    };
    for column in &rules.debris {
        let Some(text) = row.cells.get(*column).and_then(content) else { continue };
        let is_title = rules.titles.iter().any(|title| title.column == *column);
        text::check(rules, text, (*column, splits), is_title, |rule, detail| flag(*column, rule, detail));
        let words = splits.words(*column, text);
        if !is_title && let Some(detail) = template(learned, words) {
            flag(*column, TEMPLATE, detail);
        }
    }
    generic(rules, row, scratch, &mut flag);
}

/// Common words, or phrases, that a row of a template has.
const COMMON_WORDS: usize = 3;
const COMMON_PHRASES: usize = 4;
/// Words of a text that are read.
const WORDS_READ: usize = 256;

fn template<'t>(learned: &Learned, words: impl Iterator<Item = Word<'t>>) -> Option<String> {
    let (common_words, common_phrases) = learned.template();
    if common_words < COMMON_WORDS && common_phrases == 0 {
        return None;
    }
    let mut common: Vec<u64> = Vec::new();
    let mut phrases = 0;
    let mut recent = Recent::default();
    for word in words.take(WORDS_READ) {
        if word.chars >= COMMON_CHARS && learned.is_common_word(word.hash) && !common.contains(&word.hash) {
            common.push(word.hash);
        }
        recent.phrases(word.hash, 2, |hash| {
            phrases += usize::from(hash != word.hash && learned.is_common_phrase(hash));
        });
    }
    (common.len() >= COMMON_WORDS || phrases >= COMMON_PHRASES)
        .then(|| format!("{} words that most rows have, {phrases} phrases that many have", common.len()))
}

/// Lists with too many words that say nothing.
fn generic(rules: &Rules, row: &Row<'_>, scratch: &mut Scratch, flag: &mut impl FnMut(usize, Rule, String)) {
    for (part, settings) in rules.parts.iter().zip(&rules.dataset.score.parts) {
        let (PartRule::Count { column, fill: Some(fill), .. }, Part::Count { generic_max, .. }) =
            (part, settings)
        else {
            continue;
        };
        let FillKind::Keywords(_) = &rules.fills[*fill].kind else { continue };
        let Some(text) = row.cells.get(*column).and_then(content) else { continue };
        let mut count = 0;
        list::items(text, &mut scratch.list, |item| {
            let is_generic =
                |(number, role): &(u32, Role)| *number as usize == *fill && *role == Role::Generic;
            count += usize::from(rules.lexicon.uses(hash(item.text)).iter().any(is_generic));
        });
        if count > *generic_max {
            flag(*column, GENERIC_WORDS, format!("{count} words that say nothing"));
        }
    }
}

/// How many rows of a table are flagged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows that were checked.
    pub rows: u64,
    /// Rows with at least one flag.
    pub flagged: u64,
    /// Rows by rule.
    pub by_rule: BTreeMap<&'static str, u64>,
}

impl Tally {
    /// Counts the artifact flags of a row.
    pub fn add(&mut self, notes: &[Note]) {
        self.rows += 1;
        let mut ids: Vec<&'static str> = notes
            .iter()
            .filter_map(|note| match note {
                Note::Finding(_, finding) => Some(finding.rule.id).filter(|id| IDS.contains(id)),
                Note::Edit(..) => None,
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        self.flagged += u64::from(!ids.is_empty());
        for id in ids {
            *self.by_rule.entry(id).or_default() += 1;
        }
    }

    /// Rows without a flag. Zero means zero: that everything is flagged is no reason to take it all.
    pub fn clean(&self) -> u64 {
        self.rows - self.flagged
    }

    /// What to say when nothing is left.
    pub fn warning(&self, dataset: &Dataset) -> Option<String> {
        (self.rows > 0 && self.clean() == 0).then(|| {
            let most = self.by_rule.iter().max_by_key(|(_, rows)| **rows).map_or("", |(id, _)| *id);
            format!(
                "all {} rows of {} are flagged as debris, most by `{most}`: none is left without a flag",
                self.rows, dataset.name
            )
        })
    }
}
