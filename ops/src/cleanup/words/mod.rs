//! Words of a text, one pass and no allocation: what the fills, the score and the search for cut titles all count.
//!
//! A word is a run of letters and digits with apostrophes inside; a possessive `'s` is no part of it. A word at the
//! very end of a text is *open*: nothing shows that it was not cut. That is the difference on which the law rests that
//! cutting a row never raises its score. Nothing here knows what a word means.

mod hash;
mod letters;

use self::hash::{IS_PART, SMALL};
pub(super) use self::hash::{behind_plain, fold, hash, hash_folded, hash_within, join, plain};

/// A word where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Word<'a> {
    /// Where it starts in its text, in bytes.
    pub(super) start: usize,
    /// As written, without a possessive.
    pub(super) text: &'a str,
    /// Of the folded word: equal for equal words.
    pub(super) hash: u64,
    /// Characters of `text`.
    pub(super) chars: usize,
    /// Something that is no part of a word follows.
    pub(super) closed: bool,
    /// Whether it, or a phrase that ends with it, may mean something to a rule.
    pub(super) is_known: bool,
    /// ASCII letters and digits without an apostrophe, and something of ASCII behind them.
    pub(super) is_plain: bool,
}

/// Characters of the longest beginning of a word; what is longer is no word that somebody cut.
const BEGINNING_MAX: usize = 64;

/// The hashes of the beginnings of a word, from `from` to 64 characters, the longest last.
pub(super) fn beginnings(word: &str, from: usize, mut each: impl FnMut(u64)) {
    if word.is_ascii() {
        let most = word.len().min(BEGINNING_MAX);
        (from..=most).for_each(|length| each(hash(&word[..length])));
        return;
    }
    let mut folded = String::new();
    for (i, c) in word.chars().take(BEGINNING_MAX).enumerate() {
        folded.extend(fold(c));
        if i + 1 >= from {
            each(hash_folded(folded.as_bytes()));
        }
    }
}

/// Whether `whole` begins with `part`, as words are compared.
pub(super) fn begins(whole: &str, part: &str) -> bool {
    if let (Some(a), Some(b)) = (whole.bytes().next(), part.bytes().next())
        && (a | b).is_ascii()
        && !a.eq_ignore_ascii_case(&b)
    {
        return false;
    }
    let mut whole = whole.chars().flat_map(fold);
    part.chars().flat_map(fold).all(|c| whole.next() == Some(c))
}

fn first(text: &str) -> Option<char> {
    text.chars().next()
}

/// Letters and digits; Latin letters and the signs of sentences are told without looking them up.
pub(super) fn is_letter(c: char) -> bool {
    match c {
        '\u{c0}'..='\u{24f}' => !matches!(c, '\u{d7}' | '\u{f7}'),
        '\u{2000}'..='\u{206f}' => false,
        _ => letters::is_alphanumeric(c),
    }
}

fn is_part(c: char) -> bool {
    is_letter(c) || matches!(c, '\u{300}'..='\u{36f}')
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}')
}

/// Words of a text that are read: of more, the first ones say what there is to say, and memory has an end.
const WORDS_MAX: usize = 1 << 16;

/// Calls `each` with every word of `text`, from left to right.
pub(super) fn words<'a>(text: &'a str, mut each: impl FnMut(Word<'a>)) {
    let bytes = text.as_bytes();
    let (mut at, mut count) = (0, 0);
    while at < bytes.len() && count < WORDS_MAX {
        if IS_PART[usize::from(bytes[at])] {
            let (end, hash) = plain(bytes, at);
            // Nearly all words are plain, and end at something that is part of no word.
            if bytes.get(end).is_none_or(|byte| byte.is_ascii() && *byte != b'\'') {
                let (text, closed) = (&text[at..end], end < bytes.len());
                each(Word { start: at, text, hash, chars: end - at, closed, is_known: true, is_plain: true });
                at = end + 1;
                count += 1;
                continue;
            }
        } else if bytes[at].is_ascii() {
            at += 1;
            continue;
        } else if let Some(c) = first(&text[at..]).filter(|c| !is_letter(*c)) {
            at += c.len_utf8();
            continue;
        }
        let (word, end) = word(text, at);
        each(word);
        at = end;
        count += 1;
    }
}

/// The hash of the word that a text ends with, if nothing shows that it was not cut.
pub(super) fn open_word(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let start = bytes.iter().rposition(|byte| !IS_PART[usize::from(*byte)]).map_or(0, |at| at + 1);
    let is_plain = start == 0 || bytes[start - 1].is_ascii() && bytes[start - 1] != b'\'';
    if is_plain && text.len() <= WORDS_MAX {
        return (start < bytes.len()).then(|| plain(bytes, start).1);
    }
    let mut open = None;
    words(text, |word| open = (!word.closed).then_some(word.hash));
    open
}

/// The word that starts at `start`, and where the text goes on.
fn word(text: &str, start: usize) -> (Word<'_>, usize) {
    let bytes = text.as_bytes();
    let (mut at, mut chars) = (start, 0);
    let (mut apostrophe, mut is_ascii) = (None, true);
    loop {
        let end = behind_plain(bytes, at);
        chars += end - at;
        at = end;
        let Some(&byte) = bytes.get(at).filter(|byte| !byte.is_ascii() || **byte == b'\'') else { break };
        let Some(c) = first(&text[at..]) else { break };
        let is_inner = is_apostrophe(c) && first(&text[at + c.len_utf8()..]).is_some_and(is_part);
        if is_inner {
            apostrophe = Some((at, chars, at + c.len_utf8()));
        } else if byte.is_ascii() || !is_part(c) {
            break;
        }
        is_ascii &= byte.is_ascii();
        at += c.len_utf8();
        chars += 1;
    }
    let rest = &text[at..];
    // Replacement characters at the end are what a cut inside a character leaves.
    let is_cut = bytes.get(at).is_none_or(|byte| !byte.is_ascii())
        && rest.trim_start_matches(char::REPLACEMENT_CHARACTER).is_empty();
    let closed = !is_cut && !matches!(rest, "'" | "\u{2019}");
    let possessive = apostrophe.filter(|(.., tail)| matches!(&text[*tail..at], "s" | "S"));
    let (end, chars) = possessive.map_or((at, chars), |(end, chars, _)| (end, chars));
    let word = &text[start..end];
    let hash = if is_ascii { hash_within(bytes, start, end) } else { hash(word) };
    (Word { start, text: word, hash, chars, closed, is_known: true, is_plain: false }, at)
}

/// Words and phrases that mean something to a rule, as bits: one look tells nearly all that mean nothing.
#[derive(Debug, Clone)]
pub(super) struct Meanings {
    bits: Vec<u64>,
    /// The words that phrases of several end with.
    ends: Vec<u64>,
    /// Words of the longest phrase.
    longest: usize,
}

/// Bits of [`Meanings`]; a power of two.
const MEANINGS: u64 = 1 << 15;

impl Meanings {
    /// Of these hashes, and of the last words of those that are phrases; none has more than `longest` words.
    pub(super) fn new(known: impl Iterator<Item = (u64, Option<u64>)>, longest: usize) -> Self {
        let empty = || vec![0; (MEANINGS / 64) as usize];
        let mut meanings = Self { bits: empty(), ends: empty(), longest };
        for (hash, end) in known {
            let (at, bit) = Self::place(hash);
            meanings.bits[at] |= bit;
            if let Some((at, bit)) = end.map(Self::place) {
                meanings.ends[at] |= bit;
            }
        }
        meanings
    }

    fn place(hash: u64) -> (usize, u64) {
        let bit = (hash >> 40) & (MEANINGS - 1);
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    fn has(&self, hash: u64) -> bool {
        let (at, bit) = Self::place(hash);
        self.bits[at] & bit != 0
    }

    /// Whether a word, or a phrase that ends with it, may mean something; `before` and `last` stand before it.
    fn know(&self, before: Option<u64>, last: Option<u64>, word: u64) -> bool {
        let (at, bit) = Self::place(word);
        let mut is_known = self.bits[at] & bit != 0;
        if !is_known && self.ends[at] & bit != 0 {
            phrases(before, last, word, self.longest, |hash| is_known |= self.has(hash));
        }
        is_known
    }
}

/// A word without its text.
#[derive(Debug, Clone, Copy)]
struct Spot {
    start: u32,
    end: u32,
    chars: u32,
    closed: bool,
    is_known: bool,
    is_plain: bool,
    hash: u64,
}

/// Calls `each` with the hash of a word and of the phrases that end with it.
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
pub(super) struct Splits {
    columns: Vec<Column>,
}

/// The words of one text.
#[derive(Debug, Clone, Default)]
struct Column {
    /// Where the text is in memory, and its length.
    place: (usize, usize),
    spots: Vec<Spot>,
    /// The numbers of those that may mean something.
    known: Vec<u32>,
}

impl Splits {
    /// Forgets the row before; texts of `columns` columns can be split.
    pub(super) fn clear(&mut self, columns: usize) {
        for column in &mut self.columns {
            column.spots.clear();
            column.known.clear();
        }
        if self.columns.len() < columns {
            self.columns.resize(columns, Column::default());
        }
    }

    /// Splits the text of a column, which `clear` made room for.
    pub(super) fn split(&mut self, column: usize, text: &str, meanings: &Meanings) {
        let Column { place: of, spots, known } = &mut self.columns[column];
        *of = place(text);
        spots.clear();
        known.clear();
        let offset = |n: usize| u32::try_from(n).expect("a record is smaller than 4 GiB");
        let (mut last, mut before) = (None, None);
        words(text, |Word { start, text, hash, chars, closed, is_plain, .. }| {
            let is_known = meanings.know(before, last, hash);
            if is_known {
                known.push(offset(spots.len()));
            }
            (before, last) = (last, Some(hash));
            let (start, end) = (offset(start), offset(start + text.len()));
            spots.push(Spot { start, end, chars: offset(chars), closed, is_known, is_plain, hash });
        });
    }

    /// Calls `each` with the hash of a word, by its number, and of the phrases that end with it.
    pub(super) fn phrases(&self, column: usize, number: usize, longest: usize, each: impl FnMut(u64)) {
        let spots = &self.columns[column].spots;
        let back = |n: usize| number.checked_sub(n).map(|at| spots[at].hash);
        phrases(back(2), back(1), spots[number].hash, longest, each);
    }

    /// The words of the text of a column, which is `text`.
    pub(super) fn words<'t>(
        &self,
        column: usize,
        text: &'t str,
    ) -> impl ExactSizeIterator<Item = Word<'t>> + DoubleEndedIterator {
        self.columns[column].spots.iter().map(move |spot| spot.word(text))
    }

    /// The words of a text between whose letters and digits and the next nothing but ASCII stands: where they start and end,
    /// and their hashes. None unless it was this very text that was split.
    pub(super) fn plain<'a>(
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

    /// Those of them that may mean something to a rule, by itself or at the end of a phrase, with their numbers.
    pub(super) fn known<'t>(&self, column: usize, text: &'t str) -> impl Iterator<Item = (usize, Word<'t>)> {
        let Column { spots, known, .. } = &self.columns[column];
        known.iter().map(move |number| (*number as usize, spots[*number as usize].word(text)))
    }
}

/// Where a text is in memory, and its length.
fn place(text: &str) -> (usize, usize) {
    (text.as_ptr().addr(), text.len())
}

impl Spot {
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

/// A small map from hashes to numbers.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    slots: Vec<(u64, u32)>,
}

impl Table {
    /// Of these; the last of equal keys wins.
    pub(super) fn new(entries: &[(u64, u32)]) -> Self {
        let size = (entries.len() * 4).next_power_of_two().max(16);
        let mut table = Self { slots: vec![(0, u32::MAX); size] };
        for &(key, value) in entries {
            let at = table.slot(key);
            table.slots[at] = (key, value);
        }
        table
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked")]
    fn slot(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = key as usize & mask;
        while self.slots[at].1 != u32::MAX && self.slots[at].0 != key {
            at = (at + 1) & mask;
        }
        at
    }

    pub(super) fn get(&self, key: u64) -> Option<u32> {
        let (_, value) = self.slots[self.slot(key)];
        (value != u32::MAX).then_some(value)
    }
}

/// Words with how often they came, reused from row to row.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    slots: Vec<u32>,
    entries: Vec<Entry>,
}

/// A word of a [`Tally`]: where it first stood, and how often it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    hash: u64,
    /// Which text.
    pub(super) source: usize,
    /// First byte in it.
    pub(super) start: usize,
    /// Byte behind it.
    pub(super) end: usize,
    pub(super) chars: usize,
    pub(super) count: usize,
    /// Its first eight bytes in small letters, as a number that sorts like them; 0 if not all of it is ASCII.
    pub(super) first: u64,
}

impl Entry {
    /// A word with as many characters as bytes is ASCII.
    pub(super) fn is_ascii(&self) -> bool {
        self.chars == self.end - self.start
    }
}

/// The first bytes of an ASCII word in small letters, the first one being the highest.
fn first_bytes(word: &[u8]) -> u64 {
    let mut first = [b' '; 8];
    let length = word.len().min(first.len());
    first[..length].copy_from_slice(&word[..length]);
    u64::from_be_bytes(first) | SMALL
}

const TALLY_SLOTS: usize = 256;

impl Tally {
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.slots.truncate(TALLY_SLOTS);
        self.slots.fill(0);
        self.slots.resize(TALLY_SLOTS, 0);
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Counts a word that stands in text number `source`.
    pub(super) fn add(&mut self, word: Word<'_>, source: usize) {
        self.count(Entry {
            hash: word.hash,
            source,
            start: word.start,
            end: word.start + word.text.len(),
            chars: word.chars,
            count: 1,
            first: if word.chars == word.text.len() { first_bytes(word.text.as_bytes()) } else { 0 },
        });
    }

    /// Counts a word that is known by its hash only.
    pub(super) fn add_hash(&mut self, hash: u64) {
        self.count(Entry { hash, source: 0, start: 0, end: 0, chars: 0, count: 1, first: 0 });
    }

    #[expect(clippy::cast_possible_truncation, reason = "masked; a text of 2^32 words is no cell")]
    fn count(&mut self, entry: Entry) {
        if self.entries.len() * 2 >= self.slots.len() {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = entry.hash as usize & mask;
        loop {
            match self.slots[at] {
                0 => break,
                taken if self.entries[taken as usize - 1].hash == entry.hash => {
                    self.entries[taken as usize - 1].count += 1;
                    return;
                }
                _ => at = (at + 1) & mask,
            }
        }
        self.entries.push(entry);
        self.slots[at] = self.entries.len() as u32;
    }

    #[expect(clippy::cast_possible_truncation, reason = "as in `count`")]
    fn grow(&mut self) {
        let size = (self.slots.len() * 2).max(TALLY_SLOTS);
        self.slots.clear();
        self.slots.resize(size, 0);
        for (i, entry) in self.entries.iter().enumerate() {
            let mut at = entry.hash as usize & (size - 1);
            while self.slots[at] != 0 {
                at = (at + 1) & (size - 1);
            }
            self.slots[at] = i as u32 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(text: &str) -> Vec<(String, bool)> {
        let mut found = Vec::new();
        words(text, |word| {
            assert_eq!(word.hash, hash(word.text), "{text}");
            assert_eq!(word.chars, word.text.chars().count());
            found.push((word.text.to_owned(), word.closed));
        });
        found
    }

    #[test]
    fn contractions_are_whole_and_possessives_are_not_part_of_a_word() {
        let text = "It doesn\u{2019}t, the harbor's `rock'n'roll' What\u{2019}s";
        let words: Vec<String> = all(text).into_iter().map(|(word, _)| word).collect();
        assert_eq!(words, ["It", "doesn\u{2019}t", "the", "harbor", "rock'n'roll", "What"]);
        assert_eq!(hash("DOESN'T"), hash("doesn\u{2019}t"));
    }

    #[test]
    fn a_word_at_the_end_is_open() {
        for open in
            ["a shield", "a shield'", "a shield\u{2019}", "a shield\u{fffd}", "a shiel\u{fffd}d e\u{301}"]
        {
            assert!(!all(open).last().unwrap().1, "{open}");
        }
        for closed in ["a shield ", "a shield.", "a shield' ", "a shield''"] {
            assert!(all(closed).last().unwrap().1, "{closed}");
        }
    }

    #[test]
    fn letters_are_what_unicode_says() {
        for c in (char::MIN..=char::MAX).filter(|c| !matches!(c, '\u{2000}'..='\u{206f}')) {
            assert_eq!(is_letter(c), c.is_alphanumeric(), "{c:?}");
        }
        for c in '\u{df}'..='\u{ff}' {
            assert!(fold(c).eq([c]), "{c:?}");
        }
    }

    #[test]
    fn a_table_finds_what_it_was_given() {
        let entries: Vec<(u64, u32)> = (0..100).map(|i| (hash(&format!("w{i}")), i)).collect();
        let table = Table::new(&entries);
        assert!(entries.iter().all(|(key, value)| table.get(*key) == Some(*value)));
        assert_eq!(table.get(hash("other")), None);
        assert_eq!(Table::new(&[]).get(0), None);
    }

    #[test]
    fn a_tally_counts_beyond_its_first_size() {
        let mut tally = Tally::default();
        for _ in 0..2 {
            tally.clear();
            for i in 0..2000 {
                tally.add_hash(hash(&format!("w{}", i % 1000)));
            }
            assert_eq!(tally.len(), 1000);
            assert!(tally.entries().iter().all(|entry| entry.count == 2));
        }
    }

    proptest! {
        #[test]
        fn an_open_word_is_the_last_one(text in r"[ab '’.é\u{301}\u{fffd}ßs]{0,12}") {
            let mut open = Vec::new();
            words(&text, |word| if !word.closed { open.push(word.hash) });
            prop_assert!(open.len() <= 1);
            prop_assert_eq!(open_word(&text), open.first().copied());
        }

        /// What the score rests on: the closed words of a beginning are closed words of the whole, and its open word is
        /// the beginning of one of them.
        #[test]
        fn a_cut_closes_no_word(text in r"[abc '’.é\u{301}\u{fffd}ßİs]{0,24}") {
            let whole = all(&text);
            for (cut, _) in text.char_indices() {
                let part = all(&text[..cut]);
                for (i, (word, closed)) in part.iter().enumerate() {
                    if *closed {
                        prop_assert_eq!(&whole[i], &(word.clone(), true));
                    } else {
                        prop_assert!(begins(&whole[i].0, word), "{} {}", whole[i].0, word);
                    }
                }
            }
        }
    }
}
