//! The words of the texts of a row, split once for all rules that read them.

use super::tally::{Table, Tally};
use super::{Word, join, words};

/// What a word or phrase can mean to a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Meaning {
    /// It gives a value to a column.
    Value = 1,
    /// It decides whether it can be a keyword.
    Keyword = 2,
    /// It marks debris.
    Marker = 4,
}

/// Words and phrases that mean something to a rule: one look at a bit tells nearly all that mean nothing.
#[derive(Debug, Clone)]
pub(in super::super) struct Meanings {
    /// Of the words that mean something, and of those that phrases end with.
    bits: Box<[u64; BITS / 64]>,
    /// What each word and phrase means, as bits.
    all: Table,
    /// The words that phrases of several end with.
    ends: Table,
    /// Words of the longest phrase.
    longest: usize,
}

/// Bits of [`Meanings`]; a power of two.
const BITS: usize = 1 << 15;

impl Meanings {
    /// Of these hashes, and of the last words of those that are phrases; none has more than `longest` words.
    pub(in super::super) fn new(
        known: impl Iterator<Item = (u64, Option<u64>, Meaning)>,
        longest: usize,
    ) -> Self {
        let (mut all, mut ends): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
        let mut bits = Box::new([0; BITS / 64]);
        for (hash, end, meaning) in known {
            let before =
                all.iter().filter(|(other, _)| *other == hash).fold(0, |before, (_, bits)| before | bits);
            all.push((hash, before | meaning as u32));
            ends.extend(end.map(|end| (end, 0)));
            let (at, bit) = Self::place(end.unwrap_or(hash));
            bits[at] |= bit;
        }
        Self { bits, all: Table::new(&all), ends: Table::new(&ends), longest }
    }

    fn place(hash: u64) -> (usize, u64) {
        let bit = (hash >> 40) as usize % BITS;
        (bit / 64, 1 << (bit % 64))
    }

    /// Whether a word, or a phrase that ends with it, may mean something.
    fn may_have(&self, word: u64) -> bool {
        let (at, bit) = Self::place(word);
        self.bits[at] & bit != 0
    }

    /// What a word, and the phrases that end with it, mean, as bits; `before` and `last` stand before it.
    fn of(&self, before: Option<u64>, last: Option<u64>, word: u64) -> u32 {
        let longest = if self.ends.get(word).is_some() { self.longest } else { 1 };
        let mut means = 0;
        phrases(before, last, word, longest, |hash| means |= self.all.get(hash).unwrap_or_default());
        means
    }
}

/// A word without its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    pub(super) hash: u64,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) chars: u32,
    closed: bool,
    is_known: bool,
    is_plain: bool,
}

/// Calls `each` with the hash of a word and of the phrases that end with it.
#[inline]
fn phrases(before: Option<u64>, last: Option<u64>, word: u64, longest: usize, mut each: impl FnMut(u64)) {
    each(word);
    if let Some(last) = last.filter(|_| longest > 1) {
        each(join(last, word));
        if let Some(before) = before.filter(|_| longest > 2) {
            each(join(join(before, last), word));
        }
    }
}

/// The words of the texts of a row: each text is split once, however many rules read it. Reused from row to row.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Splits {
    columns: Vec<Column>,
}

/// The words of one text.
#[derive(Debug, Clone, Default)]
struct Column {
    /// Where the text is in memory, and its length.
    place: (usize, usize),
    spots: Vec<Spot>,
    /// The numbers of those that may mean something by themselves or at the end of a phrase, with what that is as bits.
    known: Vec<(u32, u32)>,
}

impl Splits {
    /// Forgets the row before; texts of `columns` columns can be split.
    pub(in super::super) fn clear(&mut self, columns: usize) {
        for column in &mut self.columns {
            column.spots.clear();
            column.known.clear();
        }
        if self.columns.len() < columns {
            self.columns.resize(columns, Column::default());
        }
    }

    /// Splits the text of a column, which `clear` made room for.
    pub(in super::super) fn split(&mut self, column: usize, text: &str, meanings: &Meanings) {
        let Column { place: of, spots, known } = &mut self.columns[column];
        *of = place(text);
        spots.clear();
        known.clear();
        let (mut last, mut before) = (None, None);
        words(text, |word| {
            let mut is_known = false;
            if meanings.may_have(word.hash) {
                let means = meanings.of(before, last, word.hash);
                is_known = means & Meaning::Keyword as u32 != 0;
                known.push((offset(spots.len()), means));
            }
            (before, last) = (last, Some(word.hash));
            spots.push(Spot::new(Word { is_known, ..word }));
        });
    }

    /// Calls `each` with the hash of a word, by its number, and of the phrases that end with it.
    pub(in super::super) fn phrases(
        &self,
        column: usize,
        number: usize,
        longest: usize,
        each: impl FnMut(u64),
    ) {
        let spots = &self.columns[column].spots;
        let back = |n: usize| number.checked_sub(n).map(|at| spots[at].hash);
        phrases(back(2), back(1), spots[number].hash, longest, each);
    }

    /// The words of the text of a column, which is `text`.
    pub(in super::super) fn words<'t>(
        &self,
        column: usize,
        text: &'t str,
    ) -> impl ExactSizeIterator<Item = Word<'t>> + DoubleEndedIterator {
        self.columns[column].spots.iter().map(move |spot| spot.word(text))
    }

    /// Counts the words of a column that `is_counted` by their hash, their length, and whether the hash may be one that
    /// decides about a keyword.
    pub(in super::super) fn count(
        &self,
        column: usize,
        tally: &mut Tally,
        is_counted: impl Fn(u64, usize, bool) -> bool,
    ) {
        let source = offset(column);
        for spot in &self.columns[column].spots {
            if is_counted(spot.hash, spot.chars as usize, spot.is_known) {
                tally.add_spot(spot, source);
            }
        }
    }

    /// The words of a text between whose letters and digits and the next nothing but ASCII stands: where they start and end,
    /// and their hashes. None unless it was this very text that was split.
    pub(in super::super) fn plain<'a>(
        &'a self,
        column: usize,
        text: &'a str,
    ) -> impl Iterator<Item = (usize, usize, u64)> + 'a {
        let of = self.columns.get(column).filter(|column| column.place == place(text));
        let is_apart = |start: usize| match start.checked_sub(1).map(|before| text.as_bytes()[before]) {
            Some(before) => before.is_ascii() && before != b'\'',
            None => true,
        };
        let spots = of.map_or(&[][..], |column| &column.spots).iter().filter(|spot| spot.is_plain);
        spots
            .map(|spot| (spot.start as usize, spot.end as usize, spot.hash))
            .filter(move |(start, ..)| is_apart(*start))
    }

    /// Those of them that mean this, by themselves or at the end of a phrase, with their numbers.
    pub(in super::super) fn known<'t>(
        &self,
        column: usize,
        text: &'t str,
        meaning: Meaning,
    ) -> impl Iterator<Item = (usize, Word<'t>)> {
        let Column { spots, known, .. } = &self.columns[column];
        let known = known.iter().filter(move |(_, means)| means & meaning as u32 != 0);
        known.map(move |(number, _)| (*number as usize, spots[*number as usize].word(text)))
    }
}

/// Where a text is in memory, and its length.
fn place(text: &str) -> (usize, usize) {
    (text.as_ptr().addr(), text.len())
}

pub(super) fn offset(n: usize) -> u32 {
    u32::try_from(n).expect("a record is smaller than 4 GiB")
}

impl Spot {
    #[inline]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is not above another number fits where that does"
    )]
    pub(super) fn new(word: Word<'_>) -> Self {
        let Word { start, text, hash, chars, closed, is_known, is_plain } = word;
        // The end is the highest of the three.
        let end = offset(start + text.len());
        Self { hash, start: start as u32, end, chars: chars as u32, closed, is_known, is_plain }
    }

    #[inline]
    fn word(self, text: &str) -> Word<'_> {
        Word {
            start: self.start as usize,
            text: &text[self.start as usize..self.end as usize],
            hash: self.hash,
            chars: self.chars as usize,
            closed: self.closed,
            is_known: self.is_known,
            is_plain: self.is_plain,
        }
    }
}
