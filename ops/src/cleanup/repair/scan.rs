//! One look at every byte: which rules could have anything to do with a text.
//!
//! Nearly all cells need no rule, and most of what is not ASCII cannot be touched by any. What this says must never be
//! less than what the rules do; it may be more.

use super::codec::{Codecs, Roles};
use crate::swar;

/// Rules that may have something to do with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Needs(u16);

impl Needs {
    pub(super) const ENTITIES: Self = Self(1);
    pub(super) const MOJIBAKE: Self = Self(1 << 1);
    pub(super) const TERMINAL: Self = Self(1 << 2);
    pub(super) const CONTROL: Self = Self(1 << 3);
    pub(super) const NFC: Self = Self(1 << 4);
    pub(super) const INVISIBLE: Self = Self(1 << 5);
    pub(super) const BIDI: Self = Self(1 << 6);
    pub(super) const WHITE_SPACE: Self = Self(1 << 7);
    /// U+FFFD: something is lost.
    pub(super) const REPLACED: Self = Self(1 << 8);

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// What `text` may need.
pub(super) fn needs(text: &str) -> Needs {
    let bytes = text.as_bytes();
    let mut needs = Needs::default();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return needs };
    if first.is_ascii_whitespace() || last.is_ascii_whitespace() {
        needs.add(Needs::WHITE_SPACE);
    }
    // Nothing odd stands between the blocks, nor before `at`.
    let mut at = if is_odd(*first) { see(text, 0, &mut needs) } else { 1 };
    let mut short = [b'a'; BLOCK + 1];
    while at < bytes.len() {
        // The last block of a longer text reaches back over what was seen.
        let from = at.min(bytes.len().saturating_sub(BLOCK)).max(1);
        let block = bytes.get(from - 1..=from + BLOCK - 1).and_then(|block| block.first_chunk());
        let block = block.unwrap_or_else(|| {
            short[..bytes.len()].copy_from_slice(bytes);
            &short
        });
        let end = from + BLOCK;
        for (word, mut odd) in odd_bytes(block).into_iter().enumerate() {
            while odd != 0 {
                let place = from + word * 8 + swar::before(odd);
                if place >= at {
                    at = see(text, place, &mut needs);
                }
                odd &= odd - 1;
            }
        }
        at = at.max(end);
    }
    needs
}

/// Bytes that are looked at at once.
const BLOCK: usize = 32;

fn is_odd(byte: u8) -> bool {
    !(b' '..0x7f).contains(&byte) || byte == b'&'
}

/// Which bytes behind the first one a rule may have to do with, eight to a word; a blank if another one stands before it.
#[expect(clippy::needless_bitwise_bool, reason = "without branches the compiler takes many bytes at once")]
fn odd_bytes(block: &[u8; BLOCK + 1]) -> [u64; BLOCK / 8] {
    let mut odd = [0_u8; BLOCK];
    for (odd, pair) in odd.iter_mut().zip(block.windows(2)) {
        let (before, byte) = (pair[0], pair[1]);
        let is_odd = !(b' '..0x7f).contains(&byte) | (byte == b'&');
        *odd = u8::from(is_odd | ((before == b' ') & (byte == b' ')));
    }
    let (words, _) = odd.as_chunks();
    std::array::from_fn(|word| u64::from_le_bytes(words[word]))
}

/// Notes what the odd byte at `at` may need, with all that is not ASCII from there on; gives where that ends.
fn see(text: &str, at: usize, needs: &mut Needs) -> usize {
    let bytes = text.as_bytes();
    if bytes[at].is_ascii() {
        needs.add(if bytes[at] == b' ' { Needs::WHITE_SPACE } else { ruled(bytes[at]) });
        return at + 1;
    }
    // A Latin letter or a sign of a sentence by itself needs nothing, and is most of what is not ASCII.
    match bytes[at..] {
        [0xC3, letter, next, ..] if next.is_ascii() => {
            if next == b' ' && matches!(letter, 0x82 | 0x83) {
                needs.add(Needs::MOJIBAKE);
            }
            return at + 2;
        }
        [0xE2, 0x80, 0x90..=0xA7, next, ..] if next.is_ascii() => return at + 3,
        _ => {}
    }
    let (mut last, mut roles, mut at) = (' ', Roles::default(), at);
    for c in text[at..].chars().take_while(|c| !c.is_ascii()) {
        wide(c, needs);
        let next = Roles::of(c);
        if !roles.may_begin(next).is_empty() {
            needs.add(Needs::MOJIBAKE);
        }
        (last, roles) = (c, next);
        at += c.len_utf8();
    }
    if bytes.get(at) == Some(&b' ') && matches!(last, 'Â' | 'Ã') {
        needs.add(Needs::MOJIBAKE);
    }
    at
}

/// Whether `text` can have [`Needs::MOJIBAKE`]: cheaper to tell than what else it needs, and only in what is damaged do
/// characters beyond ASCII often touch.
#[expect(clippy::needless_bitwise_bool, reason = "without branches the compiler takes many bytes at once")]
pub(super) fn may_be_damaged(text: &str) -> bool {
    let bytes = text.as_bytes();
    let touch = |(before, byte): (&u8, &u8)| {
        (*before >= 0x80) & (*byte >= 0xC0) | (*before == 0xC3) & (*byte & 0xFE == 0x82)
    };
    let pairs = bytes.iter().zip(bytes.get(1..).unwrap_or_default());
    !text.is_ascii() && pairs.fold(false, |any, pair| any | touch(pair))
}

/// The encodings that may have damaged `text`: a reading as any other finds nothing.
pub(super) fn codecs(text: &str) -> Codecs {
    let (mut codecs, mut end, mut last) = (Codecs::default(), 0, Roles::default());
    for (at, c) in swar::beyond_ascii(text, 0) {
        let roles = Roles::of(c);
        if end == at {
            codecs.add(last.may_begin(roles));
        }
        (end, last) = (at + c.len_utf8(), roles);
        if matches!(c, 'Â' | 'Ã') && text.as_bytes().get(end) == Some(&b' ') {
            codecs = Codecs::ALL;
        }
    }
    codecs
}

fn ruled(byte: u8) -> Needs {
    match byte {
        b'&' => Needs::ENTITIES,
        0x1B => Needs(Needs::TERMINAL.0 | Needs::CONTROL.0),
        b'\t' | b'\n' | b'\r' => Needs::default(),
        _ => Needs::CONTROL,
    }
}

/// What a character beyond ASCII may need.
fn wide(c: char, needs: &mut Needs) {
    #[cfg(test)]
    tests::LOOKS.set(tests::LOOKS.get() + 1);
    match c {
        '\u{A1}'..='\u{AC}' | '\u{AE}'..='\u{2FF}' => {}
        '\u{9B}' => needs.add(Needs(Needs::TERMINAL.0 | Needs::CONTROL.0)),
        '\u{80}'..='\u{9F}' => needs.add(Needs::CONTROL),
        '\u{A0}'
        | '\u{2000}'..='\u{200A}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{202F}'
        | '\u{205F}'
        | '\u{3000}' => {
            needs.add(Needs::WHITE_SPACE);
            if matches!(c, '\u{2000}' | '\u{2001}') {
                needs.add(Needs::NFC);
            }
        }
        '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{61C}' => {
            needs.add(Needs::BIDI);
        }
        '\u{FFFD}' => needs.add(Needs::REPLACED),
        c if super::marks::is_invisible(c) => needs.add(Needs::INVISIBLE),
        c if is_normal(c) => {}
        _ => needs.add(Needs::NFC),
    }
}

/// Characters that normalisation leaves alone, whatever stands beside them; others are looked at more closely.
#[rustfmt::skip]
const NORMAL: &[(char, char)] = &[
    ('\u{A1}', '\u{2FF}'), ('\u{388}', '\u{482}'), ('\u{5D0}', '\u{5EA}'), ('\u{620}', '\u{64A}'),
    ('\u{E01}', '\u{E37}'), ('\u{1EA0}', '\u{1EF9}'), ('\u{2010}', '\u{2064}'), ('\u{20A0}', '\u{20BF}'),
    ('\u{2190}', '\u{2328}'), ('\u{232B}', '\u{2ADB}'), ('\u{2ADD}', '\u{2BFF}'), ('\u{3001}', '\u{3029}'),
    ('\u{3041}', '\u{3096}'), ('\u{309B}', '\u{30FF}'), ('\u{3400}', '\u{9FFF}'), ('\u{AC00}', '\u{D7A3}'),
    ('\u{FF01}', '\u{FFEF}'), ('\u{1F000}', '\u{1FAFF}'),
];

fn is_normal(c: char) -> bool {
    NORMAL.iter().any(|(first, last)| (*first..=*last).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    thread_local! {
        /// Characters beyond ASCII that this thread looked at one by one.
        pub(super) static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    /// The same, character by character.
    fn slowly(text: &str) -> Needs {
        let mut needs = Needs::default();
        let is_blank = |c: char| c.is_ascii_whitespace();
        if text.starts_with(is_blank) || text.ends_with(is_blank) || text.contains("  ") {
            needs.add(Needs::WHITE_SPACE);
        }
        for c in text.chars() {
            match u8::try_from(c) {
                Ok(byte) if byte.is_ascii() => {
                    if byte < b' ' || byte == b'&' || byte == 0x7f {
                        needs.add(ruled(byte));
                    }
                }
                _ => wide(c, &mut needs),
            }
        }
        if !codecs(text).is_empty() {
            needs.add(Needs::MOJIBAKE);
        }
        needs
    }

    #[test]
    fn what_needs_nothing_is_normal_and_visible() {
        for c in ('\u{A1}'..='\u{AC}').chain('\u{AE}'..='\u{2FF}').chain('\u{2010}'..='\u{2027}') {
            assert!(is_normal(c) && !super::super::marks::is_invisible(c), "{c:?}");
            let mut needs = Needs::default();
            wide(c, &mut needs);
            assert!(needs.is_empty(), "{c:?}");
        }
    }

    #[test]
    fn no_character_is_looked_at_twice() {
        for part in ["é", "Ã©", "é a", "é  é", "â€™ ", "中\u{301}", "\u{a0}", "\u{9b}é&"] {
            let text = part.repeat(20_000);
            let before = LOOKS.get();
            needs(&text);
            let looks = LOOKS.get() - before;
            let wide = text.chars().filter(|c| !c.is_ascii()).count();
            assert!(looks <= wide, "{part:?}: {looks} looks at {wide} characters");
        }
    }

    proptest! {
        #[test]
        fn blocks_see_what_a_slow_look_sees(text in "[a-z]{0,40}[a é’—ÂÃ€™&\u{0}\u{1b}\u{7f}\u{9b}\u{a0}\u{ad}\u{301}\u{2028}\u{fffd}中ω\n]{0,4}[a-z ]{0,40}[ aé—Ã\u{85}🎯]{0,5}") {
            prop_assert_eq!(needs(&text), slowly(&text), "{:?}", text);
            prop_assert!(may_be_damaged(&text) || !needs(&text).has(Needs::MOJIBAKE), "{:?}", text);
        }
    }
}
