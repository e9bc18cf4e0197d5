//! A dataset made ready to be applied to millions of rows: names are places, words are hashes.
//!
//! Made once; immutable, so that threads share it. Nothing here decides anything about a row.

use super::artifacts;
use super::check::{self, Problem};
use super::dataset::{Column, Dataset, Fill, Kind, Part};
use super::fields::Ranked;
use super::list;
use super::row::{Cell, Row};
use super::words::{self, Meaning, Meanings, Splits, Table, Tally};

/// A dataset whose settings hold together, ready to be applied.
#[derive(Debug, Clone)]
pub struct Rules {
    pub(super) dataset: Dataset,
    pub(super) placeholders: Vec<Placeholders>,
    pub(super) fills: Vec<FillRule>,
    pub(super) scans: Vec<Scan>,
    pub(super) lexicon: Lexicon,
    pub(super) parts: Vec<PartRule>,
    pub(super) titles: Vec<TitleRule>,
    /// Texts whose length is scored.
    pub(super) texts: Vec<usize>,
    /// Columns that are searched for debris, titles first.
    pub(super) debris: Vec<usize>,
    /// Columns whose words any rule reads.
    pub(super) read: Vec<usize>,
    /// The words and phrases of the fills and the markers.
    meanings: Meanings,
    pub(super) markers: Table,
    /// Longest marker, in words.
    pub(super) marker_words: usize,
    /// Where the slug comes from and goes to.
    pub(super) slug: Option<(usize, usize)>,
}

/// What a thread needs to apply [`Rules`]: buffers that are used for row after row.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    pub(super) splits: Splits,
    pub(super) tally: Tally,
    pub(super) list: list::Buffer,
    pub(super) groups: Vec<Option<u32>>,
    pub(super) open: Vec<String>,
    pub(super) best: Vec<Ranked>,
}

/// A fill of a column.
#[derive(Debug, Clone)]
pub(super) struct FillRule {
    pub(super) column: usize,
    pub(super) kind: FillKind,
}

#[derive(Debug, Clone)]
pub(super) enum FillKind {
    FirstOf { values: Vec<String> },
    Keywords(Keywords),
    Constant(String),
}

#[derive(Debug, Clone)]
pub(super) struct Keywords {
    pub(super) max: usize,
    pub(super) min_chars: usize,
    /// Stop words and generic ones: an open word that one of them begins with may be a piece of it.
    pub(super) mute: Vec<String>,
}

/// A column whose words are read, and the fills that want them, as bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    pub(super) column: usize,
    pub(super) fills: u32,
}

/// What a word means to a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It gives the value of this number.
    Group(u32),
    /// It never counts.
    Mute,
    /// It says nothing, and is never taken.
    Generic,
    /// It counts although it is short.
    Short,
}

/// The words of all fills.
#[derive(Debug, Clone, Default)]
pub(super) struct Lexicon {
    table: Table,
    uses: Vec<Vec<(u32, Role)>>,
    /// Words of the longest phrase.
    pub(super) phrase: usize,
}

impl Lexicon {
    fn new(entries: Vec<(u64, u32, Role)>, phrase: usize) -> Self {
        let mut keys: Vec<(u64, u32)> = Vec::new();
        let mut uses: Vec<Vec<(u32, Role)>> = Vec::new();
        for (hash, fill, role) in entries {
            let known = keys.iter().find(|(key, _)| *key == hash).map(|(_, at)| *at as usize);
            let at = known.unwrap_or_else(|| {
                keys.push((hash, u32::try_from(uses.len()).unwrap_or(u32::MAX)));
                uses.push(Vec::new());
                uses.len() - 1
            });
            uses[at].push((fill, role));
        }
        Self { table: Table::new(&keys), uses, phrase }
    }

    /// What the word or phrase with this hash means.
    pub(super) fn uses(&self, hash: u64) -> &[(u32, Role)] {
        self.table.get(hash).map_or(&[], |at| &self.uses[at as usize])
    }
}

/// The last words of a text, for phrases.
#[derive(Debug, Default)]
pub(super) struct Recent([Option<u64>; 2]);

impl Recent {
    /// Calls `each` with the hash of the word and of the phrases that end with it.
    pub(super) fn phrases(&mut self, word: u64, longest: usize, mut each: impl FnMut(u64)) {
        each(word);
        if longest < 2 {
            return;
        }
        let [last, before] = self.0;
        if let Some(last) = last {
            each(words::join(last, word));
            if let Some(before) = before.filter(|_| longest > 2) {
                each(words::join(words::join(before, last), word));
            }
        }
        self.0 = [Some(word), last];
    }
}

/// The hash of a phrase of at most three words, and how many they are.
pub(super) fn phrase(text: &str) -> (u64, usize) {
    let mut hash = None;
    let mut count = 0;
    words::words(text, |word| {
        count += 1;
        hash = Some(hash.map_or(word.hash, |before| words::join(before, word.hash)));
    });
    (hash.unwrap_or_default(), count)
}

/// The hash of a phrase, and that of its last word if it has several.
fn ended(text: &str) -> (u64, Option<u64>) {
    let (hash, count) = phrase(text);
    let mut last = None;
    words::words(text, |word| last = Some(word.hash));
    (hash, last.filter(|_| count > 1))
}

/// Values of a column that say nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Placeholders(Vec<(Vec<char>, bool)>);

impl Placeholders {
    fn new(column: &Column) -> Self {
        let pattern = |text: &String| {
            let open = text.ends_with('*');
            (text.trim_end_matches('*').trim().chars().flat_map(words::fold).collect(), open)
        };
        Self(column.placeholders.iter().map(pattern).collect())
    }

    /// Whether a text, blanks around it removed, is a placeholder or the beginning of one.
    pub(super) fn hold(&self, text: &str) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let text = text.trim_end_matches(char::REPLACEMENT_CHARACTER).trim();
        let first =
            text.bytes().next().filter(u8::is_ascii).map(|byte| char::from(byte.to_ascii_lowercase()));
        self.0.iter().any(|(pattern, open)| {
            // Nearly all texts differ from a pattern in their first character.
            let is_other = |first: char| pattern.first().is_some_and(|c| *c != first && *c != '#');
            if first.is_some_and(is_other) {
                return false;
            }
            if text.is_ascii() {
                is_held(pattern, *open, text.bytes().map(|byte| char::from(byte.to_ascii_lowercase())))
            } else {
                is_held(pattern, *open, text.chars().flat_map(words::fold))
            }
        })
    }
}

/// Whether folded characters are a placeholder, or the beginning of one.
fn is_held(pattern: &[char], open: bool, chars: impl Iterator<Item = char>) -> bool {
    let mut pattern = pattern.iter();
    for c in chars {
        match pattern.next() {
            Some('#') if c.is_ascii_digit() => {}
            Some(expected) if *expected == c => {}
            Some(_) => return false,
            None => return open,
        }
    }
    true
}

/// A part of the score with its columns as places.
#[derive(Debug, Clone)]
pub(super) enum PartRule {
    Title { column: usize, min_chars: usize, full_chars: usize, damaged: f64 },
    Steps { column: usize, steps: Vec<(usize, f64)> },
    Count { column: usize, full: usize, fill: Option<usize> },
    Present { columns: Vec<(usize, Option<usize>)> },
}

/// A title and the text it belongs to.
#[derive(Debug, Clone)]
pub(super) struct TitleRule {
    pub(super) column: usize,
    pub(super) text: Option<usize>,
    pub(super) min_chars: usize,
    pub(super) suggest_words: usize,
    pub(super) inner: Table,
}

impl Rules {
    /// Of a dataset; the first problem where its settings do not hold together. A slug column that is not declared
    /// is put behind the one it is made of.
    pub fn new(mut dataset: Dataset) -> Result<Self, Problem> {
        if let Some(problem) = check::problems(&dataset).into_iter().next() {
            return Err(problem);
        }
        declare_slug(&mut dataset);
        let place = |name: &String| dataset.column(name);
        let mut words = Vec::new();
        let mut phrase_max = 1;
        let (mut fills, mut scans): (Vec<FillRule>, Vec<Scan>) = (Vec::new(), Vec::new());
        for (column, fill) in
            dataset.columns.iter().enumerate().filter_map(|(i, c)| c.fill.as_ref().map(|fill| (i, fill)))
        {
            let number = fills.len();
            for from in sources(fill).iter().filter_map(place) {
                let bit = 1 << number;
                match scans.iter_mut().find(|scan| scan.column == from) {
                    Some(scan) => scan.fills |= bit,
                    None => scans.push(Scan { column: from, fills: bit }),
                }
            }
            fills.push(FillRule { column, kind: fill_rule(fill, number, &mut words, &mut phrase_max) });
        }
        let parts = dataset.score.parts.iter().filter_map(|part| part_rule(part, &dataset, &fills)).collect();
        let slug = dataset.slug.as_ref().and_then(|slug| Some((place(&slug.from)?, place(&slug.to)?)));
        let (titles, texts, debris) = (title_rules(&dataset), scored_texts(&dataset), debris(&dataset));
        let mut read: Vec<usize> = scans.iter().map(|scan| scan.column).collect();
        read.extend(titles.iter().map(|title| title.column).chain(texts.iter().chain(&debris).copied()));
        read.sort_unstable();
        read.dedup();
        let markers: Vec<(u64, usize)> = dataset.artifacts.markers.iter().map(|text| phrase(text)).collect();
        let marker_words = markers.iter().map(|(_, words)| *words).max().unwrap_or_default();
        let fill_words = dataset.columns.iter().filter_map(|column| column.fill.as_ref()).flat_map(|fill| {
            let meaning = fill_meaning(fill);
            fill_words(fill).into_iter().map(move |word| (word.as_str(), meaning))
        });
        let debris_words = dataset.artifacts.markers.iter().map(String::as_str).chain(artifacts::WORDS);
        let known = fill_words.chain(debris_words.map(|word| (word, Meaning::Marker)));
        let known = known.map(|(text, meaning)| {
            let (hash, end) = ended(text);
            (hash, end, meaning)
        });
        Ok(Self {
            placeholders: dataset.columns.iter().map(Placeholders::new).collect(),
            meanings: Meanings::new(known, marker_words.max(phrase_max)),
            lexicon: Lexicon::new(words, phrase_max),
            titles,
            texts,
            debris,
            read,
            marker_words,
            markers: Table::new(&numbered(markers.iter().map(|(hash, _)| *hash))),
            fills,
            scans,
            parts,
            slug,
            dataset,
        })
    }

    /// What these were made of.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Splits the texts of a row into words, once for all rules that read them.
    pub(super) fn split(&self, row: &Row<'_>, splits: &mut Splits) {
        splits.clear(self.dataset.columns.len());
        for column in &self.read {
            if let Some(text) = row.cells.get(*column).and_then(content) {
                splits.split(*column, text, &self.meanings);
            }
        }
    }

    /// Splits a text that was repaired, if any rule reads it.
    pub(super) fn split_again(&self, column: usize, text: &str, splits: &mut Splits) {
        if self.read.contains(&column) {
            splits.split(column, text, &self.meanings);
        }
    }

    /// Whether a cell says nothing: absent, NULL, blank or a placeholder.
    pub(super) fn is_missing(&self, column: usize, cell: &Cell<'_>) -> bool {
        content(cell).is_none_or(|text| is_blank(text) || self.placeholders[column].hold(text))
    }
}

fn declare_slug(dataset: &mut Dataset) {
    let Some(slug) = dataset.slug.clone().filter(|slug| dataset.column(&slug.to).is_none()) else { return };
    let behind = dataset.column(&slug.from).map_or(0, |from| from + 1);
    let column = Column {
        name: slug.to,
        kind: Kind::Id,
        without: Vec::new(),
        title: None,
        placeholders: Vec::new(),
        fill: None,
    };
    dataset.columns.insert(behind, column);
}

/// The text of a cell, as JSON spells it where it is no text.
pub(super) fn content<'a>(cell: &'a Cell<'_>) -> Option<&'a str> {
    match cell {
        Cell::Absent | Cell::Null => None,
        Cell::Text(text) | Cell::Json(text) => Some(text),
    }
}

/// Whether a reader sees nothing.
pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_invisible(c))
}

/// Characters that nobody sees, and the replacement character, which is what is left of one.
pub(super) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffd}')
}

/// The columns that a fill reads.
pub(super) fn sources(fill: &Fill) -> &[String] {
    match fill {
        Fill::FirstOf { from, .. } | Fill::Keywords { from, .. } => from,
        Fill::Constant(_) => &[],
    }
}

/// What the words of a fill mean.
fn fill_meaning(fill: &Fill) -> Meaning {
    match fill {
        Fill::FirstOf { .. } | Fill::Constant(_) => Meaning::Value,
        Fill::Keywords { .. } => Meaning::Keyword,
    }
}

/// The words and phrases that a fill looks for.
fn fill_words(fill: &Fill) -> Vec<&String> {
    match fill {
        Fill::Constant(_) => Vec::new(),
        Fill::FirstOf { values, .. } => values.iter().flat_map(|value| &value.words).collect(),
        Fill::Keywords { short, stop, generic, .. } => short.iter().chain(stop).chain(generic).collect(),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "fills and values are counted by hand")]
fn fill_rule(
    fill: &Fill,
    number: usize,
    entries: &mut Vec<(u64, u32, Role)>,
    longest: &mut usize,
) -> FillKind {
    let mut add = |text: &String, role| {
        let (hash, words) = phrase(text);
        *longest = (*longest).max(words);
        entries.push((hash, number as u32, role));
    };
    match fill {
        Fill::Constant(value) => FillKind::Constant(value.clone()),
        Fill::FirstOf { values, .. } => {
            for (group, value) in values.iter().enumerate() {
                value.words.iter().for_each(|word| add(word, Role::Group(group as u32)));
            }
            FillKind::FirstOf { values: values.iter().map(|value| value.value.clone()).collect() }
        }
        Fill::Keywords { max, min_chars, short, stop, generic, .. } => {
            for word in short {
                add(word, Role::Short);
            }
            for word in stop {
                add(word, Role::Mute);
            }
            for word in generic {
                add(word, Role::Generic);
            }
            let mute = stop.iter().chain(generic).cloned().collect();
            FillKind::Keywords(Keywords { max: *max, min_chars: *min_chars, mute })
        }
    }
}

fn part_rule(part: &Part, dataset: &Dataset, fills: &[FillRule]) -> Option<PartRule> {
    let fill_of = |column: usize| fills.iter().position(|fill| fill.column == column);
    Some(match part {
        Part::Title { column, full_chars, damaged, .. } => {
            let column = dataset.column(column)?;
            let min_chars = dataset.columns[column].title.as_ref()?.min_chars;
            PartRule::Title { column, min_chars, full_chars: *full_chars, damaged: *damaged }
        }
        Part::Steps { column, steps, .. } => PartRule::Steps {
            column: dataset.column(column)?,
            steps: steps.iter().map(|step| (step.chars, step.value)).collect(),
        },
        Part::Count { column, full, .. } => {
            let column = dataset.column(column)?;
            let is_keywords = |at: &usize| matches!(fills[*at].kind, FillKind::Keywords(_));
            PartRule::Count { column, full: *full, fill: fill_of(column).filter(is_keywords) }
        }
        Part::Present { columns, .. } => {
            let is_first_of = |at: &usize| matches!(fills[*at].kind, FillKind::FirstOf { .. });
            let place = |name: &String| {
                let column = dataset.column(name)?;
                Some((column, fill_of(column).filter(is_first_of)))
            };
            PartRule::Present { columns: columns.iter().filter_map(place).collect() }
        }
    })
}

/// Hashes with their numbers.
#[expect(clippy::cast_possible_truncation, reason = "counted by hand")]
fn numbered(hashes: impl Iterator<Item = u64>) -> Vec<(u64, u32)> {
    hashes.enumerate().map(|(i, hash)| (hash, i as u32)).collect()
}

fn scored_texts(dataset: &Dataset) -> Vec<usize> {
    let steps = dataset.score.parts.iter().filter_map(|part| match part {
        Part::Steps { column, .. } => dataset.column(column),
        Part::Title { .. } | Part::Count { .. } | Part::Present { .. } => None,
    });
    steps.collect()
}

/// Titles, then the declared columns, or all of kind text.
fn debris(dataset: &Dataset) -> Vec<usize> {
    let declared = &dataset.artifacts.columns;
    let is_read = |column: &Column| {
        column.title.is_some()
            || declared.contains(&column.name)
            || (declared.is_empty() && column.kind == Kind::Text)
    };
    let mut columns: Vec<usize> =
        (0..dataset.columns.len()).filter(|i| is_read(&dataset.columns[*i])).collect();
    columns.sort_by_key(|i| dataset.columns[*i].title.is_none());
    columns
}

/// Words that no English title ends with.
const INNER_WORDS: [&str; 33] = [
    "a", "an", "the", "of", "and", "or", "nor", "but", "with", "from", "into", "onto", "than", "their",
    "our", "my", "your", "its", "his", "whose", "every", "between", "among", "toward", "towards", "upon",
    "until", "because", "while", "where", "which", "very", "across",
];

fn title_rules(dataset: &Dataset) -> Vec<TitleRule> {
    let titles =
        dataset.columns.iter().enumerate().filter_map(|(i, c)| c.title.as_ref().map(|title| (i, title)));
    titles
        .map(|(column, title)| {
            let own = title.inner_words.iter().map(|word| words::hash(word));
            let inner = if title.inner_words.is_empty() {
                numbered(INNER_WORDS.iter().map(|word| words::hash(word)))
            } else {
                numbered(own)
            };
            TitleRule {
                column,
                text: title.text.as_ref().and_then(|name| dataset.column(name)),
                min_chars: title.min_chars,
                suggest_words: title.suggest_words,
                inner: Table::new(&inner),
            }
        })
        .collect()
}
