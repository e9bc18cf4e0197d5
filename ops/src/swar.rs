//! Looks at eight bytes at a time, in one register. Nothing here knows what the bytes mean.
//!
//! A mark is the highest bit of a byte that was looked for. All marks of a word are exact.

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// Marks the bytes of a word that are this one.
pub(crate) fn equal(word: u64, byte: u8) -> u64 {
    let other = word ^ (ONES * u64::from(byte));
    !((other & !HIGH).wrapping_add(!HIGH) | other) & HIGH
}

/// Marks the bytes from `first` to `last`, which are ASCII both.
pub(crate) fn between(word: u64, first: u8, last: u8) -> u64 {
    let low = word & !HIGH;
    let from = low.wrapping_add(ONES * u64::from(0x80 - first));
    let behind = low.wrapping_add(ONES * u64::from(0x7f - last));
    from & !behind & !word & HIGH
}

/// Marks the bytes that are not ASCII.
pub(crate) fn wide(word: u64) -> u64 {
    word & HIGH
}

/// Marks the bytes that are neither ASCII letters nor digits.
pub(crate) fn not_alphanumeric(word: u64) -> u64 {
    // The bit in which small letters differ from capitals.
    let small = word | (ONES << 5);
    !(between(small, b'a', b'z') | between(word, b'0', b'9')) & HIGH
}

/// Eight bytes from an offset on, if there are so many.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk()?;
    Some(u64::from_le_bytes(*chunk))
}

/// Marks all bytes.
pub(crate) fn all_marks() -> u64 {
    HIGH
}

/// How many bytes are marked.
pub(crate) fn count(marks: u64) -> usize {
    ((marks >> 7).wrapping_mul(ONES) >> 56) as usize
}

/// How many bytes stand before the first mark; eight when there is none.
pub(crate) fn before(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// The offset from `at` on of the first byte that is found: by its mark, or one of the last few by itself. The length of
/// `bytes` if there is none.
pub(crate) fn find(
    bytes: &[u8],
    mut at: usize,
    marks: impl Fn(u64) -> u64,
    is_found: impl Fn(u8) -> bool,
) -> usize {
    while let Some(word) = word(bytes, at) {
        let clean = before(marks(word));
        at += clean;
        if clean < 8 {
            return at;
        }
    }
    while bytes.get(at).is_some_and(|byte| !is_found(*byte)) {
        at += 1;
    }
    at
}

/// [`find`] for what is rare: many bytes at once are passed over. `is_found` must be without branches, so that the
/// compiler can do that.
pub(crate) fn find_far(
    bytes: &[u8],
    mut at: usize,
    marks: impl Fn(u64) -> u64,
    is_found: impl Fn(u8) -> bool,
) -> usize {
    const BLOCK: usize = 32;
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<BLOCK>) {
        if block.iter().fold(false, |any, byte| any | is_found(*byte)) {
            break;
        }
        at += BLOCK;
    }
    find(bytes, at, marks, is_found)
}

/// The offset from `at` on of the first byte that stands in a JSON string only behind a backslash, or ends it. The length
/// of `bytes` if there is none.
#[expect(clippy::needless_bitwise_bool, reason = "without branches the compiler takes many bytes at once")]
pub(crate) fn find_json(bytes: &[u8], at: usize) -> usize {
    // The first mark is exact, and no other counts.
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let marks = |word| below(word, 0x20) | equal(word, b'"') | equal(word, b'\\');
    find_far(bytes, at, marks, |byte| (byte < 0x20) | (byte == b'"') | (byte == b'\\'))
}

/// The classes of every byte, as bits in a table.
pub(crate) const fn classes_of(class: &[(u8, u8, u8)]) -> [u8; 256] {
    let mut table = [0; 256];
    let mut range = 0;
    while range < class.len() {
        let (first, last, bits) = class[range];
        let mut byte = first as usize;
        while byte <= last as usize {
            table[byte] |= bits;
            byte += 1;
        }
        range += 1;
    }
    table
}

/// The classes of all bytes together: `class` says what `table` says, without branches. There is no early exit, so that
/// the compiler takes many bytes at once; a few are looked up.
pub(crate) fn classes(bytes: &[u8], table: &[u8; 256], class: impl Fn(u8) -> u8) -> u8 {
    const BLOCK: usize = 16;
    let Some(last) = bytes.last_chunk::<BLOCK>() else {
        return bytes.iter().fold(0, |all, byte| all | table[usize::from(*byte)]);
    };
    let mut seen = [0; BLOCK];
    let look = |seen: &mut [u8; BLOCK], block: &[u8; BLOCK]| {
        for (seen, byte) in seen.iter_mut().zip(block) {
            *seen |= class(*byte);
        }
    };
    let (blocks, rest) = bytes.as_chunks();
    for block in blocks {
        look(&mut seen, block);
    }
    if !rest.is_empty() {
        // Some of these were looked at already, which changes nothing.
        look(&mut seen, last);
    }
    let mut all = u128::from_le_bytes(seen);
    for half in [64, 32, 16, 8] {
        all |= all >> half;
    }
    all.to_le_bytes()[0]
}

/// The characters of a text that are not ASCII, from an offset on, with their offsets.
pub(crate) fn beyond_ascii(text: &str, mut at: usize) -> impl Iterator<Item = (usize, char)> {
    std::iter::from_fn(move || {
        at = find(text.as_bytes(), at, wide, |byte| !byte.is_ascii());
        let found = (at, text[at..].chars().next()?);
        at += found.1.len_utf8();
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn marks_are_exact(bytes in proptest::array::uniform8(any::<u8>()), byte in any::<u8>(), a in 0..128_u8, b in 0..128_u8) {
            let word = u64::from_le_bytes(bytes);
            let (first, last) = (a.min(b), a.max(b));
            let expect = |is: &dyn Fn(u8) -> bool| u64::from_le_bytes(bytes.map(|b| u8::from(is(b)) << 7));
            prop_assert_eq!(equal(word, byte), expect(&|b| b == byte));
            prop_assert_eq!(equal(word, bytes[3]), expect(&|b| b == bytes[3]));
            prop_assert_eq!(between(word, first, last), expect(&|b| (first..=last).contains(&b)));
            prop_assert_eq!(count(wide(word)), bytes.iter().filter(|b| !b.is_ascii()).count());
            prop_assert_eq!(wide(word), expect(&|b| !b.is_ascii()));
            prop_assert_eq!(not_alphanumeric(word), expect(&|b| !b.is_ascii_alphanumeric()));
        }

        #[test]
        fn the_first_one_is_found(bytes in proptest::collection::vec(any::<u8>(), 0..40), from in 0..9_usize) {
            let from = from.min(bytes.len());
            let found = find(&bytes, from, |word| equal(word, 7) | wide(word), |byte| byte == 7 || byte >= 128);
            let expected = bytes[from..].iter().position(|byte| *byte == 7 || *byte >= 128);
            prop_assert_eq!(found, expected.map_or(bytes.len(), |at| from + at));
        }

        #[test]
        fn what_is_rare_is_found(text in "[a-zé]{0,80}[\"\\\\\u{1f}\u{20}\u{7f}é]{0,3}[a-z]{0,80}", from in 0..70_usize) {
            let (bytes, from) = (text.as_bytes(), from.min(text.len()));
            let expected = bytes[from..].iter().position(|byte| *byte < b' ' || matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(find_json(bytes, from), expected.map_or(bytes.len(), |at| from + at));
        }

        #[test]
        fn classes_are_those_of_all_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..70)) {
            const TABLE: [u8; 256] = classes_of(&[(b'a', b'z', 1), (b'x', b'~', 2), (0x80, 0xff, 4)]);
            let class = |byte: u8| {
                u8::from(byte.is_ascii_lowercase()) | u8::from((b'x'..=b'~').contains(&byte)) << 1 | u8::from(byte >= 0x80) << 2
            };
            prop_assert!((0..=u8::MAX).all(|byte| TABLE[usize::from(byte)] == class(byte)));
            for to in 0..=bytes.len() {
                let expected = bytes[..to].iter().fold(0, |all, byte| all | class(*byte));
                prop_assert_eq!(classes(&bytes[..to], &TABLE, class), expected);
            }
        }

        #[test]
        fn characters_beyond_ascii(text in any::<String>()) {
            let expected: Vec<(usize, char)> = text.char_indices().filter(|(_, c)| !c.is_ascii()).collect();
            prop_assert_eq!(beyond_ascii(&text, 0).collect::<Vec<_>>(), expected);
        }
    }
}
