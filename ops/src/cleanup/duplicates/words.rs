//! Words of a text, how they are brought into one form, and how much two texts have in common.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Hashes that are kept of a text: all of a text with up to so many different triples, of a longer one the smallest,
/// which are a fair sample.
pub(super) const SKETCH_MAX: usize = 256;
/// Words that are compared together.
const TRIPLE: usize = 3;
/// Ends a word; no word contains it.
const END: u8 = b'\n';

/// What near duplicates have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sketch {
    /// Of the different words, sorted.
    pub(super) fingerprint: u128,
    /// How many different triples of words the text has.
    pub(super) size: u32,
    /// Hashes of them, the smallest first, at most [`SKETCH_MAX`].
    pub(super) hashes: Vec<u64>,
}

/// Makes sketches; its buffers are reused.
#[derive(Debug, Default)]
pub(super) struct Sketcher {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Hashes of the words.
    words: Vec<u64>,
}

/// What an ASCII character is to words: a part in lower case, or one of these.
const LOWER: [u8; 128] = {
    let mut lower = [BREAK; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            lower[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    lower[b'\'' as usize] = NOTHING;
    lower
};
const BREAK: u8 = 0;
const NOTHING: u8 = 1;

impl Sketcher {
    /// The sketch of some texts, read as one; `None` when they have no word.
    pub(super) fn sketch<'t>(&mut self, texts: impl Iterator<Item = &'t str>) -> Option<Sketch> {
        self.text.clear();
        self.ends.clear();
        self.words.clear();
        for text in texts {
            self.add(text);
            self.end_word();
        }
        if self.ends.is_empty() {
            return None;
        }
        let fingerprint = self.fingerprint();
        let mut hashes: Vec<u64> = match self.ends.len() {
            ..TRIPLE => vec![xxh3_64(&self.text)],
            words => (0..=words - TRIPLE)
                .map(|i| xxh3_64(&self.text[self.start(i)..self.ends[i + TRIPLE - 1]]))
                .collect(),
        };
        hashes.sort_unstable();
        hashes.dedup();
        let size = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
        hashes.truncate(SKETCH_MAX);
        Some(Sketch { fingerprint, size, hashes })
    }

    /// Small letters and digits of all scripts, without accents.
    fn add(&mut self, text: &str) {
        self.text.reserve(text.len() + 1);
        let mut at = 0;
        while let Some(&byte) = text.as_bytes().get(at) {
            match LOWER.get(usize::from(byte)) {
                Some(&BREAK) => self.end_word(),
                Some(&NOTHING) => {}
                Some(&lower) => self.text.push(lower),
                None => {
                    let Some(c) = text[at..].chars().next() else { break };
                    std::iter::once(c).nfkd().for_each(|c| self.add_decomposed(c));
                    at += c.len_utf8();
                    continue;
                }
            }
            at += 1;
        }
    }

    fn add_decomposed(&mut self, c: char) {
        if c.is_alphanumeric() || is_combining_mark(c) {
            for lower in c.to_lowercase().filter(|c| !is_accent(*c)) {
                self.text.extend_from_slice(lower.encode_utf8(&mut [0; 4]).as_bytes());
            }
        } else if !matches!(c, '\'' | '’' | '\u{AD}' | '\u{200B}'..='\u{200D}') {
            self.end_word();
        }
    }

    fn end_word(&mut self) {
        if self.text.last().is_some_and(|last| *last != END) {
            self.text.push(END);
            let start = self.start(self.ends.len());
            self.words.push(xxh3_64(&self.text[start..]));
            self.ends.push(self.text.len());
        }
    }

    fn start(&self, word: usize) -> usize {
        if word == 0 { 0 } else { self.ends[word - 1] }
    }

    fn fingerprint(&mut self) -> u128 {
        self.words.sort_unstable();
        self.words.dedup();
        self.text.push(END);
        let from = self.text.len();
        self.text.extend(self.words.iter().flat_map(|hash| hash.to_le_bytes()));
        let fingerprint = xxh3_128(&self.text[from..]);
        self.text.truncate(from - 1);
        fingerprint
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

/// The share of triples that two texts have in common, 0 to 1: exact when both sketches are complete, otherwise an
/// estimate from the smallest hashes of both.
pub(super) fn similarity(a: &Sketch, b: &Sketch) -> f64 {
    let is_sampled = [a, b].iter().any(|sketch| sketch.size as usize > sketch.hashes.len());
    let most = if is_sampled { SKETCH_MAX } else { usize::MAX };
    let (mut i, mut j, mut all, mut common) = (0, 0, 0_usize, 0_usize);
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
    if all == 0 { 1.0 } else { common as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(text: &str) -> Sketch {
        Sketcher::default().sketch([text].into_iter()).unwrap()
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
        assert_eq!(Sketcher::default().sketch(["", "— …", "\u{1F525}"].into_iter()), None);
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
    fn long_texts_are_sampled_fairly() {
        let long = |from: u32| (from..from + 5000).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        let (a, b) = (sketch(&long(0)), sketch(&long(500)));
        assert_eq!(a.hashes.len(), SKETCH_MAX);
        let exact = 4500.0 / 5500.0;
        assert!((similarity(&a, &b) - exact).abs() < 0.08, "{}", similarity(&a, &b));
    }
}
