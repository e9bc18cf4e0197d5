//! The words of rows: which there are, how longer ones begin, and which belong to a template because so many rows have
//! them.
//!
//! Knows texts only, not what they are for. All is kept by hash in arrays of one size, and readings of parts can be merged.

use super::super::words::{Word, beginnings, join, words};

/// Bits of the set of words; a power of two, as below.
const WORDS: usize = 1 << 20;
/// Words that one reading remembers to have put into the sets.
const KNOWN: usize = 1 << 13;
/// Slots of the counts of words and of phrases.
const SLOTS: usize = 1 << 16;
/// 64-bit words of the set of beginnings.
const BEGINNINGS: usize = 1 << 18;
/// Words of a text that are read: enough to know its table, and no single row rules.
const WORDS_READ: usize = 256;
/// Rows from which a template can be told from chance.
const TEMPLATE_ROWS_MIN: u32 = 50;
/// Characters of a word that says something by being common.
pub(in super::super) const COMMON_CHARS: usize = 5;

/// What the words of rows are; the default has none and cannot read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Vocabulary {
    /// Rows that were read.
    rows: u32,
    words: Vec<u64>,
    beginnings: Vec<u64>,
    /// Words that are rows' own, by their slots.
    common: Vec<Count>,
    /// The same of two words that follow each other.
    phrases: Vec<Count>,
    /// Hashes of words that are in the sets already, in pairs: the two that came last to their place.
    known: Vec<u64>,
    /// Words of the row at the ends of its texts, where they may have been cut.
    open: Vec<u64>,
}

/// How many rows have something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    rows: u32,
    /// The last row that was counted.
    last: u32,
}

impl Count {
    /// Counts a row, once.
    fn add(&mut self, row: u32) {
        self.rows += u32::from(self.last != row);
        self.last = row;
    }
}

#[expect(clippy::cast_possible_truncation, reason = "masked")]
fn slot(hash: u64, slots: usize) -> usize {
    hash as usize & (slots - 1)
}

/// The bits of a word in the set of words.
fn places(hash: u64) -> [usize; 2] {
    [slot(hash, WORDS / 2), WORDS / 2 + slot(hash >> 24, WORDS / 2)]
}

fn put(bits: &mut [u64], bit: usize) {
    bits[bit / 64] |= 1 << (bit % 64);
}

fn has(bits: &[u64], bit: usize) -> bool {
    bits.get(bit / 64).is_some_and(|word| word & (1 << (bit % 64)) != 0)
}

impl Vocabulary {
    /// Nothing was read yet.
    pub(super) fn new() -> Self {
        Self {
            rows: 0,
            words: vec![0; WORDS / 64],
            beginnings: vec![0; BEGINNINGS],
            common: vec![Count::default(); SLOTS],
            phrases: vec![Count::default(); SLOTS],
            known: vec![0; KNOWN],
            open: Vec::new(),
        }
    }

    /// Reads the texts of a row.
    pub(super) fn read<'t>(&mut self, texts: impl Iterator<Item = &'t str>) {
        self.rows = self.rows.saturating_add(1);
        self.open.clear();
        texts.for_each(|text| self.read_text(text));
    }

    fn read_text(&mut self, text: &str) {
        let (mut before, mut count) = (None, 0);
        words(text, |word| {
            count += 1;
            if count > WORDS_READ {
                return;
            }
            if word.closed {
                // What is in the sets stays there; most words of a row are.
                let (pairs, _) = self.known.as_chunks::<2>();
                let [last, before] = pairs[slot(word.hash >> 32, KNOWN / 2)];
                if last != word.hash {
                    self.meet(word, before);
                }
            } else {
                self.open.push(word.hash);
            }
            if word.chars >= COMMON_CHARS {
                self.common[slot(word.hash, SLOTS)].add(self.rows);
            }
            if let Some(before) = before.replace(word.hash) {
                self.phrases[slot(join(before, word.hash), SLOTS)].add(self.rows);
            }
        });
    }

    /// Sees to it that a word is in the sets. One that ends a text of its row is not known by that row.
    fn meet(&mut self, word: Word<'_>, second_last: u64) {
        if second_last != word.hash {
            if self.open.contains(&word.hash) {
                return;
            }
            self.learn(word);
        }
        let (pairs, _) = self.known.as_chunks_mut::<2>();
        let [last, before] = &mut pairs[slot(word.hash >> 32, KNOWN / 2)];
        (*last, *before) = (word.hash, *last);
    }

    /// Puts a word and its beginnings into their sets.
    fn learn(&mut self, word: Word<'_>) {
        for bit in places(word.hash) {
            put(&mut self.words, bit);
        }
        beginnings(word.text, 3, |hash| {
            if hash != word.hash {
                put(&mut self.beginnings, slot(hash, BEGINNINGS * 64));
            }
        });
    }

    /// Takes over what another reading found.
    pub(super) fn merge(&mut self, other: &Self) {
        self.rows = self.rows.saturating_add(other.rows);
        self.words.iter_mut().zip(&other.words).for_each(|(to, from)| *to |= from);
        self.beginnings.iter_mut().zip(&other.beginnings).for_each(|(to, from)| *to |= from);
        let counts = self.common.iter_mut().chain(&mut self.phrases);
        for (to, from) in counts.zip(other.common.iter().chain(&other.phrases)) {
            to.rows = to.rows.saturating_add(from.rows);
        }
    }

    /// The words, and the phrases, that these shares of all rows have.
    pub(super) fn templates(&self, words: f64, phrases: f64) -> (Slots, Slots) {
        if self.rows < TEMPLATE_ROWS_MIN {
            return Default::default();
        }
        let rows = f64::from(self.rows);
        (Slots::new(&self.common, words * rows), Slots::new(&self.phrases, phrases * rows))
    }

    /// Nothing more will be read, merged or counted.
    pub(super) fn forget_counts(&mut self) {
        (self.common, self.phrases, self.known, self.open) = Default::default();
    }

    /// Whether this is a whole word.
    pub(super) fn has_word(&self, hash: u64) -> bool {
        places(hash).iter().all(|bit| has(&self.words, *bit))
    }

    /// Whether a longer word begins like this.
    pub(super) fn has_beginning(&self, hash: u64) -> bool {
        has(&self.beginnings, slot(hash, BEGINNINGS * 64))
    }
}

/// Some of the slots that hashes have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Slots {
    bits: Vec<u64>,
    count: usize,
}

impl Slots {
    fn new(counts: &[Count], least: f64) -> Self {
        let mut slots = Self { bits: vec![0; SLOTS / 64], count: 0 };
        for (at, _) in counts.iter().enumerate().filter(|(_, count)| f64::from(count.rows) >= least) {
            put(&mut slots.bits, at);
            slots.count += 1;
        }
        slots
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn has(&self, hash: u64) -> bool {
        has(&self.bits, slot(hash, SLOTS))
    }
}
