//! A first reading of the table: which words it uses, how its titles and texts end, how texts go on behind their title.
//!
//! Memory is fixed, whatever the size of the table: counts are kept by hash in arrays, so that a rare collision makes an
//! unknown word look known, never the other way round. The result does not depend on the order of rows, and readings
//! of parts can be merged.

use super::super::row::Row;
use super::super::rules::{Rules, content};
use super::super::words::{Seen, Word, beginnings, begins, fold, join, words};

/// Bits of the set of words; a power of two, as below.
const WORDS: usize = 1 << 20;
/// Words that one reading remembers to have put into the sets.
const KNOWN: usize = 1 << 13;
/// Slots of the counts of last words of titles, of phrases, and of words behind titles.
const SLOTS: usize = 1 << 16;
/// 64-bit words of the set of beginnings.
const BEGINNINGS: usize = 1 << 18;
/// Lengths of titles that are told apart.
const LENGTHS: usize = 512;
/// Words of a text that are read: enough to know its table, and no single row rules.
const WORDS_READ: usize = 256;

/// Reads rows, as they were read from the file or repaired.
#[derive(Debug, Clone)]
pub struct Survey {
    learned: Learned,
    /// Words that are rows' own, by their slots: how many rows have one.
    common: Vec<u32>,
    /// The same of two words that follow each other.
    phrases: Vec<u32>,
    /// Share of rows from which a phrase belongs to a template.
    template: f64,
    seen: Seen,
    /// Hashes of words that are in the sets already, in pairs: the two that came last to their place.
    known: Vec<u64>,
}

/// What a first reading of the table taught. The default knows nothing and finds nothing.
#[derive(Debug, Clone, Default)]
pub struct Learned {
    rows: u32,
    words: Vec<u64>,
    beginnings: Vec<u64>,
    ends: Vec<u8>,
    /// Slots of words, and of phrases, that so many rows have that they belong to a template.
    common: Slots,
    phrases: Slots,
    titles: Vec<TitleFacts>,
    texts: Vec<Ends>,
}

/// Some of the slots that hashes have.
#[derive(Debug, Clone, Default)]
struct Slots {
    bits: Vec<u64>,
    count: usize,
}

impl Slots {
    fn new(counts: &[u32], is_in: impl Fn(u32) -> bool) -> Self {
        let mut slots = Self { bits: vec![0; SLOTS / 64], count: 0 };
        for (at, _) in counts.iter().enumerate().filter(|(_, count)| is_in(**count)) {
            slots.bits[at / 64] |= 1 << (at % 64);
            slots.count += 1;
        }
        slots
    }

    fn has(&self, hash: u64) -> bool {
        let bit = slot(hash, SLOTS);
        self.bits.get(bit / 64).is_some_and(|bits| bits & (1 << (bit % 64)) != 0)
    }
}

/// About one title column.
#[derive(Debug, Clone, Default)]
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
#[derive(Debug, Clone, Copy, Default)]
struct Ends {
    texts: u32,
    closed: u32,
}

#[expect(clippy::cast_possible_truncation, reason = "masked")]
fn slot(hash: u64, slots: usize) -> usize {
    hash as usize & (slots - 1)
}

/// The bits of a word in the set of words.
fn places(hash: u64) -> [usize; 2] {
    [slot(hash, WORDS / 2), WORDS / 2 + slot(hash >> 24, WORDS / 2)]
}

impl Survey {
    /// Of a table of this dataset.
    pub fn new(rules: &Rules) -> Self {
        let title =
            TitleFacts { lengths: vec![0; LENGTHS], follows: vec![0; SLOTS], ..TitleFacts::default() };
        Self {
            learned: Learned {
                rows: 0,
                words: vec![0; WORDS / 64],
                beginnings: vec![0; BEGINNINGS],
                ends: vec![0; SLOTS],
                common: Slots::default(),
                phrases: Slots::default(),
                titles: vec![title; rules.titles.len()],
                texts: vec![Ends::default(); rules.texts.len()],
            },
            common: vec![0; SLOTS],
            phrases: vec![0; SLOTS],
            template: rules.dataset.artifacts.template,
            seen: Seen::default(),
            known: vec![0; KNOWN],
        }
    }

    /// Reads a row.
    pub fn add(&mut self, rules: &Rules, row: &Row<'_>) {
        let Self { learned, seen, .. } = self;
        learned.rows = learned.rows.saturating_add(1);
        for (title, facts) in rules.titles.iter().zip(&mut learned.titles) {
            let Some(text) = row.cells.get(title.column).and_then(content).map(str::trim) else { continue };
            let chars =
                if text.len() < LENGTHS { text.chars().count() } else { text.chars().take(LENGTHS).count() };
            if chars > 0 && chars < LENGTHS {
                facts.lengths[chars] = facts.lengths[chars].saturating_add(1);
            }
            words(text, |word| {
                if !word.closed {
                    let at = slot(word.hash, SLOTS);
                    learned.ends[at] = learned.ends[at].saturating_add(1);
                }
            });
            let body = title.text.and_then(|column| row.cells.get(column)).and_then(content);
            if let Some(next) = body.and_then(|body| goes_on(body, text)).and_then(|rest| rest.word) {
                let at = slot(next, SLOTS);
                facts.follows[at] = facts.follows[at].saturating_add(1);
                facts.following = facts.following.saturating_add(1);
            }
        }
        for (column, facts) in rules.texts.iter().zip(&mut learned.texts) {
            let Some(text) = row.cells.get(*column).and_then(content).map(str::trim_end) else { continue };
            facts.texts = facts.texts.saturating_add(u32::from(!text.is_empty()));
            facts.closed = facts.closed.saturating_add(u32::from(ends_a_sentence(text)));
        }
        seen.clear();
        for column in &rules.debris {
            let text = row.cells.get(*column).and_then(content).unwrap_or_default();
            self.read(text);
        }
    }

    /// Takes over what another reading of the same dataset found.
    pub fn merge(&mut self, other: &Self) {
        fn add<T: Copy>(to: &mut [T], from: &[T], sum: impl Fn(T, T) -> T) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = sum(*to, *from));
        }
        add(&mut self.common, &other.common, u32::saturating_add);
        add(&mut self.phrases, &other.phrases, u32::saturating_add);
        let (to, from) = (&mut self.learned, &other.learned);
        to.rows = to.rows.saturating_add(from.rows);
        add(&mut to.words, &from.words, |a, b| a | b);
        add(&mut to.beginnings, &from.beginnings, |a, b| a | b);
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
    pub fn learned(mut self) -> Learned {
        for facts in &mut self.learned.titles {
            facts.most = facts.follows.iter().copied().max().unwrap_or_default();
            facts.cap = facts.find_cap();
        }
        let rows = f64::from(self.learned.rows);
        let is_enough = |share: f64| move |count: u32| f64::from(count) >= share * rows;
        if self.learned.rows >= TEMPLATE_ROWS_MIN {
            self.learned.common = Slots::new(&self.common, is_enough(COMMON_SHARE));
            self.learned.phrases = Slots::new(&self.phrases, is_enough(self.template));
        }
        self.learned
    }

    fn read(&mut self, text: &str) {
        let Self { learned, common, phrases, seen, known, .. } = self;
        let (mut before, mut count) = (None, 0);
        words(text, |word| {
            count += 1;
            if count > WORDS_READ {
                return;
            }
            let is_first = seen.is_new(word.hash);
            if is_first && word.closed {
                // What is in the sets stays there; most words of a row are.
                let (pairs, _) = known.as_chunks_mut::<2>();
                let [last, before] = &mut pairs[slot(word.hash >> 32, KNOWN / 2)];
                if *last != word.hash {
                    if *before != word.hash {
                        learned.learn(word);
                    }
                    (*last, *before) = (word.hash, *last);
                }
            }
            if is_first && word.chars >= COMMON_CHARS {
                let at = slot(word.hash, SLOTS);
                common[at] = common[at].saturating_add(1);
            }
            if let Some(before) = before.replace(word.hash) {
                let phrase = join(before, word.hash);
                if seen.is_new(phrase) {
                    let at = slot(phrase, SLOTS);
                    phrases[at] = phrases[at].saturating_add(1);
                }
            }
        });
    }
}

impl Learned {
    /// Puts a word and its beginnings into their sets.
    fn learn(&mut self, word: Word<'_>) {
        for bit in places(word.hash) {
            self.words[bit / 64] |= 1 << (bit % 64);
        }
        beginnings(word.text, 3, |hash| {
            if hash != word.hash {
                let bit = slot(hash, BEGINNINGS * 64);
                self.beginnings[bit / 64] |= 1 << (bit % 64);
            }
        });
    }

    /// Whether enough rows were read to know the words of the table.
    pub(super) fn knows_words(&self) -> bool {
        self.rows >= ROWS_MIN
    }

    /// Whether the table has this word, other than once at the end of a title.
    pub(super) fn is_word(&self, hash: u64) -> bool {
        places(hash).iter().all(|bit| self.words[bit / 64] & (1 << (bit % 64)) != 0)
            || self.ends[slot(hash, SLOTS)] > 1
    }

    /// Whether a longer word of the table begins like this.
    pub(super) fn is_beginning(&self, hash: u64) -> bool {
        let bit = slot(hash, BEGINNINGS * 64);
        self.beginnings[bit / 64] & (1 << (bit % 64)) != 0
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
            .map_or((0, 0, 0), |facts| (facts.follows[slot(word, SLOTS)], facts.most, facts.following))
    }

    /// Share of texts of this column that end a sentence, where enough were read.
    pub(super) fn closed(&self, text: usize) -> Option<f64> {
        let ends = self.texts.get(text).filter(|ends| ends.texts >= ROWS_MIN)?;
        Some(f64::from(ends.closed) / f64::from(ends.texts))
    }

    /// How many words, and how many phrases, belong to a template.
    pub(in super::super) fn template(&self) -> (usize, usize) {
        (self.common.count, self.phrases.count)
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
/// Rows from which a template can be told from chance.
const TEMPLATE_ROWS_MIN: u32 = 50;
/// Share of rows that must have a word for it to belong to a template.
const COMMON_SHARE: f64 = 0.5;
/// Characters of a word that says something by being common.
pub(in super::super) const COMMON_CHARS: usize = 5;
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
    let next = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
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
