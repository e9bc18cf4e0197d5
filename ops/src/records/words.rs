//! Looks for bytes eight at a time.
//!
//! A mark is the highest bit of a byte that was found. The lowest mark of a word is exact; borrows can make false
//! ones above it only.

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// The offset of the first byte that `marks` finds, or of the last few bytes, which no whole word covers.
pub(super) fn find(bytes: &[u8], mut at: usize, marks: impl Fn(u64) -> u64) -> usize {
    while let Some(chunk) = bytes.get(at..at + 8) {
        let found = marks(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at
}

/// Marks the bytes of a word that are one of these.
pub(super) fn any_of<const N: usize>(word: u64, wanted: [u8; N]) -> u64 {
    wanted.iter().fold(0, |marks, byte| {
        let zero = word ^ (ONES * u64::from(*byte));
        marks | (zero.wrapping_sub(ONES) & !zero & HIGH)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_missed(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'a')], 0..60), from in 0_usize..9) {
            let from = from.min(bytes.len());
            let is_wanted = |b: &u8| matches!(b, b'"' | b'\n' | 0xff);
            let found = find(&bytes, from, |word| any_of(word, [b'"', b'\n', 0xff]));
            let expected = bytes[from..].iter().position(is_wanted).map_or(bytes.len(), |at| from + at);
            prop_assert!(found == expected || (found < expected && bytes.len() - found < 8));
        }
    }
}
