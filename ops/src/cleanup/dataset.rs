//! What the columns of a table mean for cleanup: the form of a `[datasets.NAME]` section of `ops.toml`.
//!
//! Everything that is special about a table stands here as data. A rule that needs to know a table by name is a defect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A kind of rows that can be cleaned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its name in reports, files and `--dataset`; the key of the section.
    #[serde(skip)]
    pub name: String,
    /// The table that cleaned rows go to.
    pub table: String,
    /// Columns that name a row in reports.
    pub key: Vec<String>,
    /// All declared columns, in the order of the cleaned files.
    pub columns: Vec<Column>,
    /// Columns that stand last in the sheet for upserts.
    #[serde(default)]
    pub sheet_last: Vec<String>,
    /// The column that is made from another one as an address.
    #[serde(default)]
    pub slug: Option<Slug>,
    /// Which rows are the same.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// How much evidence a row has.
    #[serde(default)]
    pub score: Scoring,
    /// What debris of exports and tools looks like.
    #[serde(default)]
    pub artifacts: Artifacts,
}

impl Dataset {
    /// Which place a column has in a row.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Its name in the input and in the output.
    pub name: String,
    /// What its values are.
    #[serde(default)]
    pub kind: Kind,
    /// Repair rules that are not to touch it, by id; `all` leaves it exactly as it is.
    #[serde(default)]
    pub without: Vec<String>,
    /// Set for a title, which is flagged when it is missing, too short or cut off.
    #[serde(default)]
    pub title: Option<Title>,
    /// Values that say nothing, compared without case and blanks around; `N*` matches what starts with N, `#` any
    /// digit. What is the beginning of one, as a cut leaves it, says nothing either.
    #[serde(default)]
    pub placeholders: Vec<String>,
    /// How a missing value is found in other columns.
    #[serde(default)]
    pub fill: Option<Fill>,
}

/// What makes a column a title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Title {
    /// The column with the text that it is the title of: suggestions, and evidence that it was cut off, come from there.
    pub text: Option<String>,
    /// Fewer characters are no title.
    pub min_chars: usize,
    /// Words of a suggestion.
    pub suggest_words: usize,
    /// Words that no title ends with. Empty: the English ones.
    pub inner_words: Vec<String>,
}

impl Default for Title {
    fn default() -> Self {
        Self { text: None, min_chars: 4, suggest_words: 6, inner_words: Vec::new() }
    }
}

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Text that people wrote: all repair rules hold.
    #[default]
    Text,
    /// An id, a code, an address: text that is never repaired, only flagged.
    Id,
    /// A list of words: a JSON array, or text with separators.
    List,
    /// A whole number, clamped to the range; what is no number becomes the default.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
        /// For NULL and for what is no number.
        default: Option<i64>,
    },
    /// True for the text `true` in any case and for JSON `true`; otherwise false.
    Boolean,
    /// A point in time; checked, never made up.
    Timestamp,
}

/// Where a missing value comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Fill {
    /// The first group with a word of these columns.
    FirstOf {
        /// Columns that are searched.
        from: Vec<String>,
        /// Values and the words that stand for them, in order of precedence.
        values: Vec<Words>,
    },
    /// The words of these columns that say most, behind the words that the column has already.
    Keywords {
        /// Columns that are counted.
        from: Vec<String>,
        /// Most words of a row.
        max: usize,
        /// Fewest characters of a word.
        min_chars: usize,
        /// Shorter words that count all the same.
        short: Vec<String>,
        /// Words that never count.
        stop: Vec<String>,
        /// Words that say nothing about this row: never taken, and no evidence where somebody wrote them.
        generic: Vec<String>,
    },
    /// This value.
    Constant(String),
}

/// A value and the words that stand for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// What the column gets.
    pub value: String,
    /// Whole words or phrases, in any case.
    pub words: Vec<String>,
}

/// A column that is an address made of another column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slug {
    /// The column it is made of.
    pub from: String,
    /// The column it goes to; put behind `from` where it is not declared.
    pub to: String,
    /// Most characters.
    #[serde(default = "slug_chars_max")]
    pub max_chars: usize,
    /// What happens to a row whose slug another row has.
    #[serde(default)]
    pub clash: Clash,
}

fn slug_chars_max() -> usize {
    120
}

/// What happens to different rows with one slug.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clash {
    /// They are duplicates: see [`Policy`].
    Merge,
    /// The later ones get `_2`, `_3` behind it.
    Suffix,
    /// The later ones go to the quarantine file.
    #[default]
    Quarantine,
}

/// Which rows are the same, and what becomes of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Duplicates {
    /// Rows that differ in one of these are never duplicates.
    pub within: Vec<String>,
    /// Columns whose texts are compared for near duplicates; empty: none are looked for.
    pub near: Vec<String>,
    /// Share of common word triples from which two texts are near duplicates, 0 to 1. Below 1, texts of ten words and
    /// more that differ in a single one are near as well.
    pub similarity: f64,
    /// Causes for which rows are merged; the others are only proposed.
    pub merge: Vec<Cause>,
    /// Which row of a cluster stays.
    pub survivor: Survivor,
    /// How the others fill it.
    pub policy: Policy,
}

impl Default for Duplicates {
    fn default() -> Self {
        Self {
            within: Vec::new(),
            near: Vec::new(),
            similarity: 0.8,
            merge: Vec::new(),
            survivor: Survivor::First,
            policy: Policy::FillGaps,
        }
    }
}

/// Why rows are taken for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Everything but the key is equal.
    Exact,
    /// The slugs are equal.
    Slug,
    /// The texts have the same words, or nearly all word triples in common.
    Near,
}

/// Which row of a cluster stays; the earlier of two that are equal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Survivor {
    /// The first in the input.
    First,
    /// The one with the longest text in this column.
    Longest(String),
    /// The one with the highest score.
    Best,
}

/// How the rows that go fill the one that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Its missing values are taken from the others in their order; nothing it has is replaced.
    FillGaps,
    /// It stays as it is.
    Keep,
}

/// How much evidence a row has: a weighted sum of parts, each from 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scoring {
    /// A row with less is a fragment.
    pub threshold: f64,
    /// The parts; their weights add up to 1.
    pub parts: Vec<Part>,
    /// What columns of a fragment get where they are empty.
    pub fragment: BTreeMap<String, String>,
}

impl Default for Scoring {
    fn default() -> Self {
        Self { threshold: 0.5, parts: Vec::new(), fragment: BTreeMap::new() }
    }
}

/// One part of a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "measure", rename_all = "snake_case", deny_unknown_fields)]
pub enum Part {
    /// Length of a title up to the first mark of a cut (`...`): 0 without one, `damaged` below the characters that
    /// make a title, otherwise its characters over `full_chars`, at most 1.
    Title {
        /// Name in reports.
        name: String,
        /// Share of the score.
        weight: f64,
        /// Which column; it must be a title.
        column: String,
        /// From here the part is full.
        full_chars: usize,
        /// The part of a title that is too short to be one.
        damaged: f64,
    },
    /// Length of a text in steps: the value of the last step that its trimmed length reaches, 0 before the first.
    Steps {
        /// Name in reports.
        name: String,
        /// Share of the score.
        weight: f64,
        /// Which column.
        column: String,
        /// Ascending.
        steps: Vec<Step>,
    },
    /// How many different words a list has or would be filled with, over `full`, at most 1. Generic words count nothing;
    /// more than `generic_max` of them in the list are flagged.
    Count {
        /// Name in reports.
        name: String,
        /// Share of the score.
        weight: f64,
        /// Which column.
        column: String,
        /// From here the part is full.
        full: usize,
        /// More generic words than this are flagged.
        generic_max: usize,
    },
    /// Share of columns that have a value which is not blank and no placeholder, or whose value the words of the row
    /// give.
    Present {
        /// Name in reports.
        name: String,
        /// Share of the score.
        weight: f64,
        /// Which columns.
        columns: Vec<String>,
    },
}

/// A step of [`Part::Steps`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// From this many characters.
    pub chars: usize,
    /// The part is this.
    pub value: f64,
}

impl Part {
    /// Its name in reports.
    pub fn name(&self) -> &str {
        let (Self::Title { name, .. }
        | Self::Steps { name, .. }
        | Self::Count { name, .. }
        | Self::Present { name, .. }) = self;
        name
    }

    /// Its share of the score.
    pub fn weight(&self) -> f64 {
        let (Self::Title { weight, .. }
        | Self::Steps { weight, .. }
        | Self::Count { weight, .. }
        | Self::Present { weight, .. }) = self;
        *weight
    }
}

/// What debris of exports and tools looks like. All of it is flagged, nothing is removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Artifacts {
    /// Rules that do not hold, by id.
    pub without: Vec<String>,
    /// Columns that are read besides the titles. Empty: all of kind text.
    pub columns: Vec<String>,
    /// Longer titles are flagged.
    pub title_chars_max: usize,
    /// Longer texts are flagged.
    pub text_chars_max: usize,
    /// Texts with more line breaks are flagged.
    pub lines_max: usize,
    /// Texts with this share of characters that are neither letters, digits nor plain punctuation are flagged.
    pub symbols: f64,
    /// Words and phrases that exports leave; whole words, in any case.
    pub markers: Vec<String>,
    /// Share of rows from which a phrase belongs to a template.
    pub template: f64,
}

impl Default for Artifacts {
    fn default() -> Self {
        let markers = ["archive", "export", "gutenberg", "json", "markdown"];
        Self {
            without: Vec::new(),
            columns: Vec::new(),
            title_chars_max: 60,
            text_chars_max: 1000,
            lines_max: 6,
            symbols: 0.2,
            markers: markers.map(str::to_owned).to_vec(),
            template: 0.2,
        }
    }
}
