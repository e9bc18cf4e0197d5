//! The hash of a word, the same however its bytes come: eight at a time in ASCII letters of any size, or one by one as they
//! are folded. Knows nothing of texts.

use crate::swar;

const SEED: u64 = 0x51_7c_c1_b7_27_22_0a_95;
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
/// The bit in which small ASCII letters differ from capitals; digits and apostrophes have it too.
const SMALL: u64 = 0x2020_2020_2020_2020;

/// Which bytes are ASCII letters and digits.
pub(super) const IS_PART: [bool; 256] = {
    let mut is_part = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        is_part[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    is_part
};

fn finish(state: u64) -> u64 {
    let mixed = (state ^ (state >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 32)
}

fn step(state: u64, chunk: u64) -> u64 {
    (state ^ chunk).wrapping_mul(STEP).rotate_left(23)
}

/// The hash of a word in small letters, or in ASCII letters of any size: eight bytes at a time.
fn hash_bytes(bytes: &[u8], case: u64) -> u64 {
    let (chunks, rest) = bytes.as_chunks();
    let state = chunks.iter().fold(SEED, |state, chunk| step(state, u64::from_le_bytes(*chunk) | case));
    if rest.is_empty() {
        return finish(state);
    }
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    finish(step(state, u64::from_le_bytes(last) | case))
}

/// The same hash of bytes that come one by one.
struct Hashing {
    state: u64,
    /// Bytes that are no whole chunk yet, the first one being the lowest.
    chunk: u64,
    /// How many bits of it are taken.
    taken: u32,
}

impl Hashing {
    fn new() -> Self {
        Self { state: SEED, chunk: 0, taken: 0 }
    }

    fn byte(&mut self, byte: u8) {
        self.chunk |= u64::from(byte) << self.taken;
        self.taken += 8;
        if self.taken == u64::BITS {
            (self.state, self.chunk, self.taken) = (step(self.state, self.chunk), 0, 0);
        }
    }

    fn char(&mut self, c: char) {
        c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| self.byte(byte));
    }

    fn finish(self) -> u64 {
        // Blanks stand behind the end of a word, here as everywhere.
        let last = self.chunk | SMALL.checked_shl(self.taken).unwrap_or(0);
        finish(if self.taken == 0 { self.state } else { step(self.state, last) })
    }
}

/// The hash of the ASCII word between two offsets, which is not empty; what stands behind it is read along, which saves
/// a copy.
#[inline]
pub(in super::super) fn hash_within(bytes: &[u8], start: usize, end: usize) -> u64 {
    let chunk = |at| swar::word(bytes, at).unwrap_or_else(|| last_bytes(bytes, at));
    let (mut state, mut at, mut left) = (SEED, start, end - start);
    while left > 8 {
        state = step(state, chunk(at) | SMALL);
        (at, left) = (at + 8, left - 8);
    }
    // Blanks stand behind the end of a word, and they are what `SMALL` makes of nothing.
    finish(step(state, chunk(at) & lowest(left) | SMALL))
}

/// The bits of the first bytes of a chunk, of which there are from one to eight.
fn lowest(bytes: usize) -> u64 {
    u64::MAX >> (64 - 8 * bytes)
}

/// The offset behind the ASCII letters and digits that stand from `at` on, and their hash: one look at each byte.
#[inline(always)]
#[expect(clippy::inline_always, reason = "called for every word, where a call costs a fifth of it")]
pub(super) fn plain(bytes: &[u8], mut at: usize) -> (usize, u64) {
    let mut state = SEED;
    loop {
        // What stands behind the end is no letter.
        let word = swar::word(bytes, at).unwrap_or_else(|| last_bytes(bytes, at));
        let marks = swar::not_alphanumeric(word);
        if marks == 0 {
            state = step(state, word | SMALL);
            at += 8;
            continue;
        }
        let length = swar::before(marks);
        if length > 0 {
            // As in `hash_within`.
            state = step(state, word & lowest(length) | SMALL);
        }
        return (at + length, finish(state));
    }
}

/// The last few bytes, from `at` on, as a number; zeros stand behind them.
fn last_bytes(bytes: &[u8], at: usize) -> u64 {
    match bytes.last_chunk() {
        Some(last) if at < bytes.len() => u64::from_le_bytes(*last) >> (8 * (8 - (bytes.len() - at))),
        _ => bytes[at..].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// The first eight bytes in small letters of the ASCII word between two offsets, as a number that sorts like them.
#[inline]
pub(in super::super) fn first_bytes(bytes: &[u8], start: usize, end: usize) -> u64 {
    let chunk = swar::word(bytes, start).unwrap_or_else(|| last_bytes(bytes, start));
    (chunk & lowest((end - start).min(8)) | SMALL).swap_bytes()
}

/// The hash of a word that is folded already.
pub(in super::super) fn hash_folded(word: &[u8]) -> u64 {
    hash_bytes(word, 0)
}

/// The offset behind the ASCII letters and digits that stand from `at` on.
pub(in super::super) fn behind_plain(bytes: &[u8], at: usize) -> usize {
    swar::find(bytes, at, swar::not_alphanumeric, |byte| !IS_PART[usize::from(byte)])
}

/// The hash of words that follow each other.
pub(in super::super) fn join(before: u64, word: u64) -> u64 {
    finish(before.rotate_left(21) ^ word.wrapping_mul(STEP))
}

/// A character as words are compared: lower case, one apostrophe.
pub(in super::super) fn fold(c: char) -> impl Iterator<Item = char> {
    (if c == '\u{2019}' { '\'' } else { c }).to_lowercase()
}

/// The hash of a text that is one word, as [`words`] gives it.
pub(in super::super) fn hash(word: &str) -> u64 {
    if word.is_ascii() {
        return hash_bytes(word.as_bytes(), SMALL);
    }
    let mut hashing = Hashing::new();
    for c in word.chars() {
        match c {
            '\0'..='\x7f' => hashing.char(c.to_ascii_lowercase()),
            // Small letters already, most of those that are not ASCII.
            '\u{df}'..='\u{ff}' => hashing.char(c),
            _ => fold(c).for_each(|c| hashing.char(c)),
        }
    }
    hashing.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// One hash, however the bytes of a word come.
        #[test]
        fn a_word_has_one_hash(word in "[a-zA-Z0-9]{1,20}", before in "[ .é]{0,3}", behind in "[ .'’é]{0,9}") {
            let text = format!("{before}{word}{behind}");
            let (start, end) = (before.len(), before.len() + word.len());
            prop_assert_eq!(plain(text.as_bytes(), start), (end, hash(&word)));
            prop_assert_eq!(hash_within(text.as_bytes(), start, end), hash(&word));
            let first = format!("{:<8.8}", word.to_ascii_lowercase());
            prop_assert_eq!(&first_bytes(text.as_bytes(), start, end).to_be_bytes(), first.as_bytes());
            let mut hashing = Hashing::new();
            word.to_ascii_lowercase().bytes().for_each(|byte| hashing.byte(byte));
            prop_assert_eq!(hashing.finish(), hash(&word));
            let folded: String = word.chars().chain(behind.chars()).flat_map(fold).collect();
            prop_assert_eq!(hash(&format!("{word}{behind}")), hash_folded(folded.as_bytes()));
        }
    }
}
