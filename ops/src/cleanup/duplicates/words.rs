//! Words of a text, how they are brought into one form, and how much two texts have in common.

use unicode_normalization::char::{decompose_compatible, is_combining_mark};
use xxhash_rust::xxh3::xxh3_128;

use super::super::words::{behind_plain, hash_folded, hash_within, is_letter, join};
use super::keys::mixed;

/// Hashes that are kept of a text: all of a text with up to so many different triples, of a longer one the smallest,
/// which are a fair sample.
pub(super) const SKETCH_MAX: usize = 256;
/// Words of a text that are read: of one with more, only an equal one has the same fingerprint.
const WORDS_MAX: usize = 1 << 16;
/// Words that are compared together.
const TRIPLE: usize = 3;

/// What near duplicates have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sketch {
    /// Of the different words, which have no order.
    pub(super) fingerprint: u128,
    /// How many different triples of words the text has.
    pub(super) size: u32,
    /// Hashes of them in no order; the smallest, where they are more than [`SKETCH_MAX`].
    pub(super) hashes: Vec<u64>,
}

impl Sketch {
    /// Makes a list of its smallest hashes, in order: `most` of them, sixteen at most.
    pub(super) fn least(&self, most: usize, least: &mut Vec<u64>) {
        least.clear();
        if most <= 8 {
            least.extend(smallest::<8>(&self.hashes));
        } else {
            least.extend(smallest::<16>(&self.hashes));
        }
        least.truncate(most.min(self.hashes.len()));
    }

    #[cfg(test)]
    pub(super) fn triples(&self) -> Triples {
        Triples::new(self.size, self.hashes.iter().map(|hash| upper(*hash)))
    }
}

/// The half of a hash that is kept on disk and compared. Of two texts whose hashes are all kept, two different triples
/// have the same half once in 60,000 pairs of texts at most; among the smallest hashes of longer ones once in hundreds,
/// and then it is one of 256 in what is an estimate anyway.
pub(super) fn upper(hash: u64) -> u32 {
    u32::try_from(hash >> 32).expect("half of 64 bits")
}

/// The triples of a text as they are compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Triples {
    /// How many different ones it has.
    size: u32,
    /// Halves of their hashes, sorted.
    hashes: Vec<u32>,
}

impl Triples {
    /// Of these hashes, which come in any order.
    pub(super) fn new(size: u32, hashes: impl Iterator<Item = u32>) -> Self {
        let mut hashes: Vec<u32> = hashes.collect();
        hashes.sort_unstable();
        Self { size, hashes }
    }

    /// Whether some of its hashes are left out.
    fn is_sample(&self) -> bool {
        self.size as usize > self.hashes.len()
    }
}

/// The smallest of some hashes, in order, then the greatest numbers: each hash goes down until it finds its place, and
/// nothing has to be guessed.
fn smallest<const N: usize>(hashes: &[u64]) -> [u64; N] {
    let mut smallest = [u64::MAX; N];
    for hash in hashes {
        let mut hash = *hash;
        for place in &mut smallest {
            (*place, hash) = (hash.min(*place), hash.max(*place));
        }
    }
    smallest
}

/// Hashes that are few enough to be looked up among each other, whatever they are.
const FEW: usize = 64;

/// Leaves each hash once; many of them sorted.
fn dedup(hashes: &mut Vec<u64>) {
    if hashes.len() > FEW {
        hashes.sort_unstable();
        hashes.dedup();
        return;
    }
    let mut known = [0; 2 * FEW];
    let mut left = 0;
    for place in 0..hashes.len() {
        let hash = hashes[place];
        let mut at = usize::from(hash.to_le_bytes()[0]) % (2 * FEW);
        let is_new = loop {
            // Zero is a free place, and hardly ever a hash: it would be left as often as it comes.
            let (is_free, is_known) = (known[at] == 0, known[at] == hash);
            // Both at once: which of them it is cannot be guessed.
            if is_free | is_known {
                break is_free;
            }
            at = (at + 1) % (2 * FEW);
        };
        hashes[left] = hash;
        left += usize::from(is_new);
        known[at] = hash;
    }
    hashes.truncate(left);
}

/// What a word adds to the fingerprint of a text: a square of its hash, so that sums tell which words there are.
fn part(hash: u64) -> u128 {
    u128::from(hash) * u128::from(hash ^ 0x9e37_79b9_7f4a_7c15)
}

/// Makes sketches; its buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Sketcher {
    /// Hashes of the words, in their order.
    words: Vec<u64>,
    /// A word that is not ASCII.
    folded: Vec<u8>,
    /// Digest of what stands behind the last word that is read.
    tail: Option<u128>,
    /// The last one.
    sketch: Sketch,
}

impl Sketcher {
    /// The sketch of some texts, read as one; `None` when they have no word. Of words that were split before, and are
    /// plain, it takes where they start and end and their hashes.
    pub(super) fn sketch<'t, W>(&mut self, texts: impl Iterator<Item = (&'t str, W)>) -> Option<&Sketch>
    where
        W: Iterator<Item = (usize, usize, u64)>,
    {
        self.words.clear();
        self.tail = None;
        texts.for_each(|(text, plain)| self.add(text, plain));
        let hashes = &mut self.sketch.hashes;
        hashes.clear();
        match self.words[..] {
            [] => return None,
            [one] => hashes.push(one),
            [one, two] => hashes.push(join(one, two)),
            _ => {
                let triple = |triple: &[u64; TRIPLE]| join(join(triple[0], triple[1]), triple[2]);
                hashes.extend(self.words.array_windows().map(triple));
            }
        }
        let count = self.words.len();
        dedup(&mut self.words);
        // The three words of a triple that comes again come again.
        if count - self.words.len() >= TRIPLE || hashes.len() > SKETCH_MAX {
            dedup(hashes);
        }
        self.sketch.size = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
        // So many are sorted.
        hashes.truncate(SKETCH_MAX);
        let sum = self.words.iter().fold(0_u128, |sum, hash| sum.wrapping_add(part(*hash)));
        self.sketch.fingerprint = self.tail.map_or(sum, |tail| mixed(sum, tail));
        Some(&self.sketch)
    }

    /// Words of small letters and digits of all scripts, without accents.
    fn add(&mut self, text: &str, plain: impl Iterator<Item = (usize, usize, u64)>) {
        let mut at = 0;
        for (start, end, hash) in plain {
            // Hardly ever does anything but a blank stand between two words.
            if at < start && !self.read(text, at, start) || !self.has_room(text, start) {
                return;
            }
            self.words.push(hash);
            // What stands behind a plain word is part of none.
            at = end + 1;
        }
        self.read(text, at, text.len());
    }

    /// Whether another word is read; if not, what stands from `at` on is taken as it is.
    #[inline]
    fn has_room(&mut self, text: &str, at: usize) -> bool {
        let is_room = self.words.len() < WORDS_MAX;
        if !is_room {
            self.end(&text[at..]);
        }
        is_room
    }

    #[cold]
    fn end(&mut self, rest: &str) {
        let rest = xxh3_128(rest.as_bytes());
        self.tail = Some(self.tail.map_or(rest, |tail| mixed(tail, rest)));
    }

    /// Reads the words between two offsets, which are in no word; false where there are too many.
    fn read(&mut self, text: &str, mut at: usize, to: usize) -> bool {
        let bytes = text.as_bytes();
        while at < to {
            if !self.has_room(text, at) {
                return false;
            }
            let start = at;
            at = behind_plain(bytes, at);
            match bytes.get(at) {
                Some(byte) if !byte.is_ascii() || *byte == b'\'' => at = self.fold(text, start),
                _ => {
                    if at > start {
                        self.words.push(hash_within(bytes, start, at));
                    }
                    at += 1;
                }
            }
        }
        true
    }

    /// Reads on from `start` to the end of a word that is not all plain; gives where that is.
    fn fold(&mut self, text: &str, start: usize) -> usize {
        self.folded.clear();
        let bytes = text.as_bytes();
        let mut at = start;
        loop {
            let plain = at;
            at = behind_plain(bytes, at);
            self.folded.extend(bytes[plain..at].iter().map(u8::to_ascii_lowercase));
            let Some(c) = text[at..].chars().next() else { break };
            at += c.len_utf8();
            match c {
                '\'' => {}
                c if c.is_ascii() => break,
                c => {
                    decompose_compatible(c, |c| self.fold_decomposed(c));
                    if self.folded.is_empty() {
                        break;
                    }
                }
            }
        }
        self.end_folded();
        at
    }

    fn fold_decomposed(&mut self, c: char) {
        match c {
            c if c.is_ascii_alphanumeric() => self.folded.extend(u8::try_from(c.to_ascii_lowercase())),
            '\u{300}'..='\u{36F}' | '\'' | '’' | '\u{AD}' | '\u{200B}'..='\u{200D}' => {}
            // Dashes and signs, told without looking them up.
            '\u{2010}'..='\u{2027}' => self.end_folded(),
            c if is_letter(c) || is_combining_mark(c) => {
                for lower in c.to_lowercase().filter(|c| !is_accent(*c)) {
                    self.folded.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            _ => self.end_folded(),
        }
    }

    fn end_folded(&mut self) {
        if !self.folded.is_empty() {
            self.words.push(hash_folded(&self.folded));
            self.folded.clear();
        }
    }
}

/// Accents and points that people leave out. Vowel signs of Indic scripts and voicing marks of Japanese are no such
/// thing: they make other words.
fn is_accent(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36F}' | '\u{591}'..='\u{5C7}' | '\u{64B}'..='\u{65F}' | '\u{670}' | '\u{1AB0}'..='\u{1AFF}'
            | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE00}'..='\u{FE2F}' | '\u{E0100}'..='\u{E01EF}'
    )
}

/// The share of what two texts have in common.
fn share((common, all): (usize, usize)) -> f64 {
    if all == 0 { 1.0 } else { common as f64 / all as f64 }
}

/// How many triples two texts have in common, and how many they have together: exact when both sketches are complete,
/// otherwise among the smallest hashes of both, which are a fair sample.
fn common(a: &Triples, b: &Triples) -> (usize, usize) {
    let is_sampled = a.is_sample() || b.is_sample();
    let most = if is_sampled { SKETCH_MAX } else { usize::MAX };
    let (mut i, mut j, mut all, mut common) = (0, 0, 0, 0);
    while all < most && (i < a.hashes.len() || j < b.hashes.len()) {
        let order = match (a.hashes.get(i), b.hashes.get(j)) {
            (Some(a), Some(b)) => a.cmp(b),
            (Some(_), None) => std::cmp::Ordering::Less,
            _ => std::cmp::Ordering::Greater,
        };
        i += usize::from(order.is_le());
        j += usize::from(order.is_ge());
        common += usize::from(order.is_eq());
        all += 1;
    }
    (common, all)
}

/// Triples that a word is in.
const OF_A_WORD: u32 = 3;
/// Triples of a text from which one word more, less or other makes no other text: ten words have eight.
const ONE_WORD_FROM: u32 = 8;

/// When two texts are near: they have so many triples in common, or differ in a single word of at least ten.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nearness {
    similarity: f64,
}

impl Nearness {
    pub(super) fn new(similarity: f64) -> Self {
        Self { similarity }
    }

    /// The fewest triples of a text that is near one of `size`.
    pub(super) fn least(self, size: u32) -> f64 {
        (f64::from(size) * self.similarity).min(f64::from(size.saturating_sub(OF_A_WORD)))
    }

    /// Whether two texts can be near, by the sizes and outlines of their sketches.
    pub(super) fn may_be(self, (a_size, a): (u32, Outline), (b_size, b): (u32, Outline)) -> bool {
        // The smallest hashes of a long text do not say what else it has.
        if a_size as usize > SKETCH_MAX || b_size as usize > SKETCH_MAX {
            return true;
        }
        let common = a_size.saturating_sub(a.alone(b)).min(b_size.saturating_sub(b.alone(a)));
        let all = a_size + b_size - common;
        self.is_one_word(a_size, b_size, common) || share((common as usize, all as usize)) >= self.similarity
    }

    /// Whether two texts are near.
    pub(super) fn are(self, a: &Triples, b: &Triples) -> bool {
        let (common, all) = common(a, b);
        let is_whole = !a.is_sample() && !b.is_sample();
        let is_one_word = || self.is_one_word(a.size, b.size, u32::try_from(common).unwrap_or(u32::MAX));
        share((common, all)) >= self.similarity || is_whole && is_one_word()
    }

    fn is_one_word(self, a: u32, b: u32, common: u32) -> bool {
        self.similarity < 1.0 && a.min(b) >= ONE_WORD_FROM && a.max(b) <= common + OF_A_WORD
    }
}

/// Which hashes a sketch has, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outline(pub(super) [u64; 4]);

impl Outline {
    pub(super) fn of(hashes: impl Iterator<Item = u32>) -> Self {
        let mut bits = [0; 4];
        for hash in hashes {
            bits[(hash >> 6 & 3) as usize] |= 1 << (hash & 63);
        }
        Self(bits)
    }

    /// How many bits the other has not: so many hashes at least are not in common.
    fn alone(self, other: Self) -> u32 {
        self.0.iter().zip(other.0).map(|(own, other)| (own & !other).count_ones()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cleanup::words::{Meanings, Splits};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn similarity(a: &Sketch, b: &Sketch) -> f64 {
        share(common(&a.triples(), &b.triples()))
    }

    fn sketch(text: &str) -> Sketch {
        Sketcher::default().sketch([(text, std::iter::empty())].into_iter()).unwrap().clone()
    }

    #[test]
    fn the_fingerprint_sees_only_which_words_there_are() {
        let words = sketch("Ébauche, naïve: the HARBOR!").fingerprint;
        for same in [
            "the harbor ebauche naive",
            "  Harbor the—naive ebauche the",
            "ÉBAUCHE naı\u{308}ve the harbor".replace('ı', "i").as_str(),
        ] {
            assert_eq!(sketch(same).fingerprint, words, "{same}");
        }
        for other in ["the harbors ebauche naive", "harbor ebauche naive", "theharbor ebauche naive"] {
            assert_ne!(sketch(other).fingerprint, words, "{other}");
        }
        for (one, other) in [("कि", "का"), ("が", "か"), ("มา", "มี")] {
            assert_ne!(sketch(one).fingerprint, sketch(other).fingerprint, "{one} {other}");
        }
        assert_eq!(sketch("don't stop").fingerprint, sketch("Don’t stop").fingerprint);
        let nothing = ["", "— …", "\u{1F525}"].map(|text| (text, std::iter::empty()));
        assert_eq!(Sketcher::default().sketch(nothing.into_iter()), None);
    }

    #[test]
    fn a_letter_alone_needs_no_order_of_its_accents() {
        use unicode_normalization::UnicodeNormalization;
        for c in '\0'..=char::MAX {
            let mut decomposed = Vec::new();
            decompose_compatible(c, |c| decomposed.push(c));
            assert!(std::iter::once(c).nfkd().eq(decomposed), "{c:?}");
        }
        assert!(
            ('\u{300}'..='\u{36F}').all(|c| is_combining_mark(c) && is_accent(c) && c.to_lowercase().eq([c]))
        );
    }

    #[test]
    fn similarity_is_the_share_of_common_triples() {
        // Ten words have eight triples; the last word is in one of them.
        let (a, b) = (sketch("a b c d e f g h i j"), sketch("a b c d e f g h i x"));
        assert!((similarity(&a, &b) - 7.0 / 9.0).abs() < 1e-9);
        assert!((similarity(&a, &a) - 1.0).abs() < 1e-9);
        assert!(similarity(&a, &sketch("j i h g f e d c b a")) < 1e-9);
        assert!((similarity(&sketch("one"), &sketch("One")) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn texts_of_any_length_are_told_apart() {
        let long = "a b ".repeat(WORDS_MAX);
        let (one, two) = (sketch(&format!("{long}c")), sketch(&format!("{long}d")));
        assert_ne!(one.fingerprint, two.fingerprint);
        assert_eq!(one, sketch(&format!("{long}c")));
    }

    #[test]
    fn one_word_of_ten_makes_no_other_text() {
        let nearness = Nearness::new(0.8);
        let ten = sketch("a b c d e f g h i j").triples();
        for (other, expected) in [
            ("a b c d x f g h i j", true),
            ("a b c d f g h i j", false),
            ("a b c d e x f g h i j", true),
            ("a b c x e f y h i j", false),
            ("j i h g f e d c b a", false),
        ] {
            assert_eq!(nearness.are(&ten, &sketch(other).triples()), expected, "{other}");
        }
        let (short, other) = (sketch("a b c d e f g").triples(), sketch("a b c x e f g").triples());
        assert!(!nearness.are(&short, &other), "a short text is another");
        assert!(!Nearness::new(1.0).are(&ten, &sketch("a b c d x f g h i j").triples()));
    }

    #[test]
    fn each_triple_counts_once() {
        for (text, size) in
            [("a b c a b c", 3), ("a a a a", 1), ("a a a", 1), ("a b a b a", 2), ("a b c d", 2)]
        {
            let sketch = sketch(text);
            assert_eq!((sketch.size, sketch.hashes.len()), (size, size as usize), "{text}");
        }
        let many = sketch(&"a b c d e f g ".repeat(100));
        assert_eq!((many.size, many.hashes.len()), (7, 7));
    }

    #[test]
    fn long_texts_are_sampled_fairly() {
        let long = |from: u32| (from..from + 5000).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        let (a, b) = (sketch(&long(0)), sketch(&long(500)));
        assert_eq!(a.hashes.len(), SKETCH_MAX);
        let exact = 4500.0 / 5500.0;
        assert!((similarity(&a, &b) - exact).abs() < 0.08, "{}", similarity(&a, &b));
    }
    /// The sketch of texts whose words were split before.
    fn split_sketch(texts: &[&str]) -> Option<Sketch> {
        let meanings = Meanings::new(std::iter::empty(), 1);
        let mut splits = Splits::default();
        splits.clear(texts.len());
        texts.iter().enumerate().for_each(|(column, text)| splits.split(column, text, &meanings));
        let texts = texts.iter().enumerate().map(|(column, text)| (*text, splits.plain(column, text)));
        Sketcher::default().sketch(texts).cloned()
    }

    fn own_sketch(texts: &[&str]) -> Option<Sketch> {
        let texts = texts.iter().map(|text| (*text, std::iter::empty()));
        Sketcher::default().sketch(texts).cloned()
    }

    #[test]
    fn of_too_many_words_the_rest_is_the_same_too() {
        for rest in ["", "é", " , it's x", "c", " c", ", c"] {
            let text = format!("{}{rest}", "a, it's b ".repeat(WORDS_MAX / 3 + 1));
            for cut in 0..12 {
                let texts = [&text[cut..], "a b"];
                assert_eq!(split_sketch(&texts), own_sketch(&texts), "{rest} {cut}");
            }
        }
    }

    proptest! {
        /// Few hashes and many are told apart alike.
        #[test]
        fn each_hash_is_left_once(hashes in prop::collection::vec(1..90_u64, 0..130), spread in 0..60_u32) {
            // All of them may fall on one place.
            let hashes: Vec<u64> = hashes.into_iter().map(|hash| hash.rotate_left(spread)).collect();
            let mut left = hashes.clone();
            dedup(&mut left);
            let expected: BTreeSet<u64> = hashes.iter().copied().collect();
            prop_assert_eq!(left.len(), expected.len());
            prop_assert_eq!(left.into_iter().collect::<BTreeSet<u64>>(), expected);
        }

        #[test]
        fn the_least_are_the_smallest(hashes in prop::collection::vec(any::<u64>(), 0..40), most in 1..17_usize) {
            let mut least = vec![1, 2, 3];
            Sketch { hashes: hashes.clone(), ..Sketch::default() }.least(most, &mut least);
            let mut expected = hashes;
            expected.sort_unstable();
            expected.truncate(most);
            prop_assert_eq!(least, expected);
        }

        #[test]
        fn words_that_were_split_before_are_the_same(
            text in "([a-cA-C0-1]{1,9}|[ .,'’—éßİ\u{AD}\u{301}\u{200B}\u{FFFD}]{1,2}|'s|ﬁ){0,30}",
            more in "[a-c' é]{0,9}",
        ) {
            let texts = [text.as_str(), more.as_str()];
            prop_assert_eq!(split_sketch(&texts), own_sketch(&texts));
        }

        #[test]
        fn an_outline_never_says_too_little(a in "[abcd ]{0,40}", b in "[abcd ]{0,40}", tail in "[a-z ]{0,40}") {
            let both = |text: &str| {
                let texts = [text, tail.as_str()].map(|text| (text, std::iter::empty()));
                Sketcher::default().sketch(texts.into_iter()).cloned().unwrap_or_default()
            };
            let (a, b) = (both(&a), both(&b));
            for percent in [5, 30, 50, 80, 90, 100] {
                let nearness = Nearness::new(f64::from(percent) / 100.0);
                let outline = |sketch: &Sketch| Outline::of(sketch.hashes.iter().map(|hash| upper(*hash)));
                let may_be = nearness.may_be((a.size, outline(&a)), (b.size, outline(&b)));
                prop_assert!(may_be || !nearness.are(&a.triples(), &b.triples()));
            }
        }
    }
}
