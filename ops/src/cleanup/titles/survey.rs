//! A first reading of the table: which words it uses, how its titles and texts end, how texts go on behind their title.
//!
//! Memory is fixed, whatever the size of the table: counts are kept by hash in arrays, so that a rare collision makes an
//! unknown word look known, never the other way round. The result does not depend on the order of rows, and readings
//! of parts can be merged.
//!
//! What titles and texts look like at their ends is counted of every row. Splitting all texts into words costs far more
//! than that, and what it teaches are shares of rows and the words that a table is made of, for which some thousand rows
//! are enough: of a table with more than [`ALL_MAX`] rows, the words of one row in [`ONE_OF`] are read. That is at least
//! 8,000 rows, from which a share is known to one percent. A word too rare for that sample is taken for cut only if it ends
//! no second title of the whole table, and has one or two letters or is the beginning of words that are not so rare. Which
//! rows they are is told by what stands in them, never by their place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use super::super::row::Row;
use super::super::rules::{Rules, content};
use super::super::words::{begins, fold, is_letter, join, open_word, words};
use super::vocabulary::{Slots, Vocabulary};

/// Rows of the largest table of which the words of all rows are read.
const ALL_MAX: u32 = 1 << 16;
/// Of larger tables, the words of one row in so many are.
const ONE_OF: u64 = 8;
/// Slots of the counts of last words of titles, and of words behind titles.
const SLOTS: usize = 1 << 16;
/// Lengths of titles that are told apart.
const LENGTHS: usize = 512;

/// Reads rows, as they were read from the file or repaired.
#[derive(Debug, Clone)]
pub struct Survey {
    learned: Learned,
    /// Words of the rows in the sample.
    sample: Vocabulary,
    /// Words of all others; `None` when the table is known to be too large for that.
    others: Option<Vocabulary>,
    /// How many others all parts of the table have read.
    others_read: Arc<AtomicU32>,
    /// How many they may read.
    all_max: u32,
    /// Share of rows from which a phrase belongs to a template.
    template: f64,
}

/// What a first reading of the table taught. The default knows nothing and finds nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    rows: u32,
    ends: Vec<u8>,
    vocabulary: Vocabulary,
    /// Slots of words, and of phrases, that so many rows have that they belong to a template.
    common: Slots,
    phrases: Slots,
    titles: Vec<TitleFacts>,
    texts: Vec<Ends>,
}

/// About one title column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TitleFacts {
    lengths: Vec<u32>,
    follows: Vec<u32>,
    following: u32,
    /// How many texts go on with the most frequent word.
    most: u32,
    cap: Option<(usize, u32)>,
}

impl TitleFacts {
    /// The length at which titles are cut, and how many have it.
    fn find_cap(&self) -> Option<(usize, u32)> {
        let longest = self.lengths.iter().rposition(|count| *count > 0)?;
        let count = self.lengths[longest];
        let near =
            self.lengths[longest.saturating_sub(10)..longest].iter().copied().max().unwrap_or_default();
        (longest >= CAP_MIN && count >= 5 && count >= near.saturating_mul(3)).then_some((longest, count))
    }
}

/// How texts of a column end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Ends {
    texts: u32,
    closed: u32,
}

#[expect(clippy::cast_possible_truncation, reason = "masked")]
fn slot(hash: u64) -> usize {
    hash as usize & (SLOTS - 1)
}

/// Whether a row is in the sample: by the cells that every reading of the table has, whatever its format.
fn is_sampled(rules: &Rules, row: &Row<'_>) -> bool {
    let cells = row.cells.iter().take(rules.dataset.columns.len());
    let digest = cells
        .map(|cell| content(cell).unwrap_or_default())
        .fold(0, |digest, text| join(digest, if text.is_empty() { 0 } else { xxh3_64(text.as_bytes()) }));
    digest.is_multiple_of(ONE_OF)
}

impl Survey {
    /// Of a table of this dataset.
    pub fn new(rules: &Rules) -> Self {
        Self::with_all_of(rules, ALL_MAX)
    }

    /// The words of all rows are read of tables up to this size.
    fn with_all_of(rules: &Rules, all_max: u32) -> Self {
        let title =
            TitleFacts { lengths: vec![0; LENGTHS], follows: vec![0; SLOTS], ..TitleFacts::default() };
        Self {
            learned: Learned {
                ends: vec![0; SLOTS],
                titles: vec![title; rules.titles.len()],
                texts: vec![Ends::default(); rules.texts.len()],
                ..Learned::default()
            },
            sample: Vocabulary::new(),
            others: Some(Vocabulary::new()),
            others_read: Arc::default(),
            all_max,
            template: rules.dataset.artifacts.template,
        }
    }

    /// Reads a row. Parts of a table are read by clones of one survey that has not read any, and merged.
    pub fn add(&mut self, rules: &Rules, row: &Row<'_>) {
        self.count(rules, row);
        let vocabulary = if is_sampled(rules, row) {
            &mut self.sample
        } else {
            let Some(others) = &mut self.others else { return };
            if self.others_read.fetch_add(1, Ordering::Relaxed) >= self.all_max {
                self.others = None;
                return;
            }
            others
        };
        let texts = rules.debris.iter().filter_map(|column| row.cells.get(*column).and_then(content));
        vocabulary.read(texts);
    }

    /// Counts what is counted of every row.
    fn count(&mut self, rules: &Rules, row: &Row<'_>) {
        let learned = &mut self.learned;
        learned.rows = learned.rows.saturating_add(1);
        for (title, facts) in rules.titles.iter().zip(&mut learned.titles) {
            let Some(text) = row.cells.get(title.column).and_then(content).map(str::trim) else { continue };
            let chars =
                if text.len() < LENGTHS { text.chars().count() } else { text.chars().take(LENGTHS).count() };
            if chars > 0 && chars < LENGTHS {
                facts.lengths[chars] = facts.lengths[chars].saturating_add(1);
            }
            if let Some(last) = open_word(text) {
                let at = slot(last);
                learned.ends[at] = learned.ends[at].saturating_add(1);
            }
            let body = title.text.and_then(|column| row.cells.get(column)).and_then(content);
            if let Some(next) = body.and_then(|body| goes_on(body, text)).and_then(|rest| rest.word) {
                let at = slot(next);
                facts.follows[at] = facts.follows[at].saturating_add(1);
                facts.following = facts.following.saturating_add(1);
            }
        }
        for (column, facts) in rules.texts.iter().zip(&mut learned.texts) {
            let Some(text) = row.cells.get(*column).and_then(content).map(str::trim_end) else { continue };
            facts.texts = facts.texts.saturating_add(u32::from(!text.is_empty()));
            facts.closed = facts.closed.saturating_add(u32::from(ends_a_sentence(text)));
        }
    }

    /// Takes over what another reading of the same dataset found.
    pub fn merge(&mut self, other: &Self) {
        fn add<T: Copy>(to: &mut [T], from: &[T], sum: impl Fn(T, T) -> T) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = sum(*to, *from));
        }
        self.sample.merge(&other.sample);
        self.others = self.others.take().zip(other.others.as_ref()).map(|(mut to, from)| {
            to.merge(from);
            to
        });
        let (to, from) = (&mut self.learned, &other.learned);
        to.rows = to.rows.saturating_add(from.rows);
        add(&mut to.ends, &from.ends, u8::saturating_add);
        for (to, from) in to.titles.iter_mut().zip(&from.titles) {
            add(&mut to.lengths, &from.lengths, u32::saturating_add);
            add(&mut to.follows, &from.follows, u32::saturating_add);
            to.following = to.following.saturating_add(from.following);
        }
        for (to, from) in to.texts.iter_mut().zip(&from.texts) {
            to.texts = to.texts.saturating_add(from.texts);
            to.closed = to.closed.saturating_add(from.closed);
        }
    }

    /// What the rows taught.
    pub fn learned(self) -> Learned {
        let Self { mut learned, sample: mut vocabulary, others, all_max, template, .. } = self;
        // Some threads may not know that the table is large: only the number of all rows decides.
        if let Some(others) = others.filter(|_| learned.rows <= all_max) {
            vocabulary.merge(&others);
        }
        for facts in &mut learned.titles {
            facts.most = facts.follows.iter().copied().max().unwrap_or_default();
            facts.cap = facts.find_cap();
        }
        (learned.common, learned.phrases) = vocabulary.templates(COMMON_SHARE, template);
        vocabulary.forget_counts();
        learned.vocabulary = vocabulary;
        learned
    }
}

impl Learned {
    /// Whether enough rows were read to know the words of the table.
    pub(super) fn knows_words(&self) -> bool {
        self.rows >= ROWS_MIN
    }

    /// Whether the table has this word, other than once at the end of a title.
    pub(super) fn is_word(&self, hash: u64) -> bool {
        self.vocabulary.has_word(hash) || self.ends[slot(hash)] > 1
    }

    /// Whether a longer word of the table begins like this.
    pub(super) fn is_beginning(&self, hash: u64) -> bool {
        self.vocabulary.has_beginning(hash)
    }

    /// The length at which titles of this column are cut, and how many have it.
    pub(super) fn cap(&self, title: usize) -> Option<(usize, u32)> {
        self.titles.get(title)?.cap
    }

    /// Whether most texts of the table begin with their title. Where nothing is known it is assumed.
    pub(super) fn repeats(&self, title: usize) -> bool {
        let all = self.titles.get(title).map_or(0, |facts| facts.following);
        !self.knows_words() || all.saturating_mul(2) >= self.rows
    }

    /// How often texts go on behind their title with a word; how often they do with this one, with the most frequent
    /// one, and at all.
    pub(super) fn follows(&self, title: usize, word: u64) -> (u32, u32, u32) {
        self.titles
            .get(title)
            .map_or((0, 0, 0), |facts| (facts.follows[slot(word)], facts.most, facts.following))
    }

    /// Share of texts of this column that end a sentence, where enough were read.
    pub(super) fn closed(&self, text: usize) -> Option<f64> {
        let ends = self.texts.get(text).filter(|ends| ends.texts >= ROWS_MIN)?;
        Some(f64::from(ends.closed) / f64::from(ends.texts))
    }

    /// How many words, and how many phrases, belong to a template.
    pub(in super::super) fn template(&self) -> (usize, usize) {
        (self.common.count(), self.phrases.count())
    }

    /// Whether a word belongs to a template.
    pub(in super::super) fn is_common_word(&self, hash: u64) -> bool {
        self.common.has(hash)
    }

    /// Whether a phrase does.
    pub(in super::super) fn is_common_phrase(&self, hash: u64) -> bool {
        self.phrases.has(hash)
    }
}

/// Rows from which a table is known.
const ROWS_MIN: u32 = 20;
/// Share of rows that must have a word for it to belong to a template.
const COMMON_SHARE: f64 = 0.5;
/// A cap below this is a coincidence of short titles.
const CAP_MIN: usize = 15;

/// Bytes between a title and the next word.
const BETWEEN_MAX: usize = 6;

/// How a text goes on behind its title.
pub(super) struct Rest<'a> {
    /// What follows the title.
    pub(super) text: &'a str,
    /// The next word, where a blank and at most a few signs are between.
    pub(super) word: Option<u64>,
}

/// The rest of a text that begins with its title.
pub(super) fn goes_on<'a>(text: &'a str, title: &str) -> Option<Rest<'a>> {
    let text = text.trim_start();
    if title.is_empty() || !begins(text, title) {
        return None;
    }
    let mut left = title.chars().flat_map(fold).count();
    let end = text.char_indices().find_map(|(at, c)| {
        let is_end = left == 0;
        left = left.saturating_sub(fold(c).count());
        is_end.then_some(at)
    });
    let rest = &text[end.unwrap_or(text.len())..];
    let next = rest.trim_start_matches(|c| !is_letter(c));
    let between = &rest[..rest.len() - next.len()];
    let mut word = None;
    if between.contains(char::is_whitespace) && between.len() <= BETWEEN_MAX {
        words(next.split_whitespace().next().unwrap_or_default(), |next| word = word.or(Some(next.hash)));
    }
    Some(Rest { text: rest, word })
}

/// Whether a text ends like a sentence, quotes and brackets behind it aside.
pub(super) fn ends_a_sentence(text: &str) -> bool {
    let end = text.trim_end_matches(|c: char| {
        c.is_whitespace() || matches!(c, '"' | '\'' | '\u{201d}' | '\u{2019}' | ')' | ']' | '*' | '_')
    });
    end.ends_with(['.', '!', '?', ':', '\u{3002}', '\u{ff01}', '\u{ff1f}'])
}

#[cfg(test)]
mod tests {
    use super::super::super::words::hash;
    use super::super::super::{Artifacts, Cell, Column, Dataset, Duplicates, Kind, Scoring, Title};
    use super::*;

    const ALL: u32 = 100;

    fn rules() -> Rules {
        let column = |name: &str| Column {
            name: name.to_owned(),
            kind: Kind::Text,
            without: Vec::new(),
            title: (name == "name").then(|| Title { text: Some("text".to_owned()), ..Title::default() }),
            placeholders: Vec::new(),
            fill: None,
        };
        Rules::new(Dataset {
            name: "test".to_owned(),
            table: "test".to_owned(),
            sheet_last: Vec::new(),
            key: vec!["name".to_owned()],
            columns: ["name", "text"].map(column).to_vec(),
            slug: None,
            duplicates: Duplicates::default(),
            score: Scoring::default(),
            artifacts: Artifacts::default(),
        })
        .unwrap_or_else(|problem| panic!("{}", problem.what))
    }

    /// Every row has a word of its own.
    fn row(n: u32) -> Row<'static> {
        let texts = [format!("The name of {n}"), format!("own{n}word stands here, and the same in all.")];
        let cells = texts.map(|text| Cell::Text(text.into())).to_vec();
        Row { ordinal: n.into(), at: 0, line: 0, open: None, cells }
    }

    /// What a table teaches whose rows are dealt out to so many readers.
    fn learned(rules: &Rules, rows: impl Iterator<Item = u32>, parts: usize, all: u32) -> Learned {
        let mut whole = Survey::with_all_of(rules, all);
        let mut readers = vec![whole.clone(); parts];
        // The first one reads far more than the last.
        rows.for_each(|n| readers[(n as usize % 16).min(parts - 1)].add(rules, &row(n)));
        for part in &readers {
            whole.merge(part);
        }
        whole.learned()
    }

    /// How many of the words that one row has are known.
    fn own(learned: &Learned, rows: u32) -> usize {
        (0..rows).filter(|n| learned.is_word(hash(&format!("own{n}word")))).count()
    }

    #[test]
    fn neither_order_nor_parts_matter() {
        let rules = rules();
        for rows in [ALL, ALL + 1, 4 * ALL] {
            let whole = learned(&rules, 0..rows, 1, ALL);
            assert_eq!(whole.rows, rows);
            for parts in 1..5 {
                assert!(learned(&rules, 0..rows, parts, ALL) == whole, "{rows} rows, {parts} parts");
                assert!(learned(&rules, (0..rows).rev(), parts, ALL) == whole, "{rows} rows, {parts} parts");
            }
        }
    }

    #[test]
    fn a_small_table_is_read_as_a_whole_and_a_large_one_by_a_sample() {
        let rules = rules();
        let small = learned(&rules, 0..ALL, 3, ALL);
        assert!(small == learned(&rules, 0..ALL, 1, u32::MAX));
        assert_eq!(own(&small, ALL), ALL as usize);
        let rows = ALL * 8;
        let large = learned(&rules, 0..rows, 3, ALL);
        assert!((60..140).contains(&own(&large, rows)), "{} of {rows}", own(&large, rows));
        // What most rows have is known all the same, and shares are shares of the sample.
        assert!(large.is_word(hash("stands")) && large.is_common_word(hash("stands")));
        assert_eq!(large.template(), small.template());
        assert!(small.template().0 > 0);
        assert_eq!(large.rows, rows);
    }
}
