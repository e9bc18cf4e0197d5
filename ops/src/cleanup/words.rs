//! Words of a text, one pass and no allocation: what the fills, the score and the search for cut titles all count.
//!
//! A word is a run of letters and digits with apostrophes inside; a possessive `'s` is no part of it. A word at the
//! very end of a text is *open*: nothing shows that it was not cut. That is the difference on which the law rests that
//! cutting a row never raises its score. Nothing here knows what a word means.

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
}

const SEED: u64 = 0x51_7c_c1_b7_27_22_0a_95;
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// ASCII letters and digits as words are compared; 0 for every other byte.
const FOLDED: [u8; 256] = {
    let mut folded = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            folded[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    folded
};

fn step(state: u64, byte: u8) -> u64 {
    (state ^ u64::from(byte)).wrapping_mul(STEP).rotate_left(23)
}

fn finish(state: u64) -> u64 {
    let mixed = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 32)
}

/// The hash of words that follow each other.
pub(super) fn join(before: u64, word: u64) -> u64 {
    finish(before.rotate_left(21) ^ word.wrapping_mul(STEP))
}

/// A character as words are compared: lower case, one apostrophe.
pub(super) fn fold(c: char) -> impl Iterator<Item = char> {
    (if c == '\u{2019}' { '\'' } else { c }).to_lowercase()
}

fn step_char(mut state: u64, c: char) -> u64 {
    for folded in fold(c) {
        for byte in folded.encode_utf8(&mut [0; 4]).bytes() {
            state = step(state, byte);
        }
    }
    state
}

/// The hash of a text that is one word, as [`words`] gives it.
pub(super) fn hash(word: &str) -> u64 {
    finish(word.chars().fold(SEED, step_char))
}

/// The hashes of the beginnings of a word, from `from` characters, the whole word last.
pub(super) fn beginnings(word: &str, from: usize, mut each: impl FnMut(u64)) {
    let mut state = SEED;
    for (i, c) in word.chars().enumerate() {
        let folded = if c.is_ascii() { FOLDED[c as usize] } else { 0 };
        state = if folded == 0 { step_char(state, c) } else { step(state, folded) };
        if i + 1 >= from {
            each(finish(state));
        }
    }
}

/// Whether `whole` begins with `part`, as words are compared.
pub(super) fn begins(whole: &str, part: &str) -> bool {
    let mut whole = whole.chars().flat_map(fold);
    part.chars().flat_map(fold).all(|c| whole.next() == Some(c))
}

fn first(text: &str) -> Option<char> {
    text.chars().next()
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '\u{300}'..='\u{36f}')
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2019}')
}

/// Calls `each` with every word of `text`, from left to right.
pub(super) fn words<'a>(text: &'a str, mut each: impl FnMut(Word<'a>)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at].is_ascii() {
            if FOLDED[usize::from(bytes[at])] == 0 {
                at += 1;
                continue;
            }
        } else if let Some(c) = first(&text[at..]).filter(|c| !c.is_alphanumeric()) {
            at += c.len_utf8();
            continue;
        }
        let (word, end) = word(text, at);
        each(word);
        at = end;
    }
}

/// The word that starts at `start`, and where the text goes on.
fn word(text: &str, start: usize) -> (Word<'_>, usize) {
    let bytes = text.as_bytes();
    let (mut at, mut state, mut chars) = (start, SEED, 0);
    let mut apostrophe = None;
    while at < bytes.len() {
        let byte = bytes[at];
        let folded = FOLDED[usize::from(byte)];
        if folded != 0 {
            state = step(state, folded);
            at += 1;
        } else {
            let Some(c) = first(&text[at..]) else { break };
            let is_inner = is_apostrophe(c) && first(&text[at + c.len_utf8()..]).is_some_and(is_part);
            if is_inner {
                apostrophe = Some((at, state, chars, at + c.len_utf8()));
            } else if byte.is_ascii() || !is_part(c) {
                break;
            }
            state = step_char(state, c);
            at += c.len_utf8();
        }
        chars += 1;
    }
    let rest = &text[at..];
    // Replacement characters at the end are what a cut inside a character leaves.
    let is_cut = rest.trim_start_matches(char::REPLACEMENT_CHARACTER).is_empty();
    let closed = !is_cut && !matches!(rest, "'" | "\u{2019}");
    let possessive = apostrophe.filter(|(.., tail)| matches!(&text[*tail..at], "s" | "S"));
    let (end, state, chars) =
        possessive.map_or((at, state, chars), |(end, state, chars, _)| (end, state, chars));
    (Word { start, text: &text[start..end], hash: finish(state), chars, closed }, at)
}

/// A word without its text.
#[derive(Debug, Clone, Copy)]
struct Spot {
    start: u32,
    end: u32,
    chars: u32,
    closed: bool,
    hash: u64,
}

/// The words of the texts of a row: each text is split once, however many rules read it. Reused from row to row.
#[derive(Debug, Clone, Default)]
pub(super) struct Splits {
    columns: Vec<Vec<Spot>>,
}

impl Splits {
    /// Forgets the row before; texts of `columns` columns can be split.
    pub(super) fn clear(&mut self, columns: usize) {
        self.columns.iter_mut().for_each(Vec::clear);
        if self.columns.len() < columns {
            self.columns.resize(columns, Vec::new());
        }
    }

    /// Splits the text of a column, which `clear` made room for.
    pub(super) fn split(&mut self, column: usize, text: &str) {
        let spots = &mut self.columns[column];
        spots.clear();
        let offset = |n: usize| u32::try_from(n).expect("a record is smaller than 4 GiB");
        words(text, |Word { start, text, hash, chars, closed }| {
            let (start, end) = (offset(start), offset(start + text.len()));
            spots.push(Spot { start, end, chars: offset(chars), closed, hash });
        });
    }

    /// The words of the text of a column, which is `text`.
    pub(super) fn words<'t>(
        &self,
        column: usize,
        text: &'t str,
    ) -> impl ExactSizeIterator<Item = Word<'t>> + DoubleEndedIterator {
        self.columns[column].iter().map(move |spot| Word {
            start: spot.start as usize,
            text: &text[spot.start as usize..spot.end as usize],
            hash: spot.hash,
            chars: spot.chars as usize,
            closed: spot.closed,
        })
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
        });
    }

    /// Counts a word that is known by its hash only.
    pub(super) fn add_hash(&mut self, hash: u64) {
        self.count(Entry { hash, source: 0, start: 0, end: 0, chars: 0, count: 1 });
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
