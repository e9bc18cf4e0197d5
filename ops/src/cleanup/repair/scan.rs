//! One look at every byte: which rules could have anything to do with a text.
//!
//! Nearly all cells need no rule, and most of what is not ASCII cannot be touched by any. What this says must never be
//! less than what the rules do; it may be more.

use super::codec::may_begin;
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
    let mut at = next_odd(bytes, 0);
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii() {
            needs.add(if byte == b' ' { Needs::WHITE_SPACE } else { ruled(byte) });
            at = next_odd(bytes, at + 1);
            continue;
        }
        let mut previous = None;
        while let Some(c) = text[at..].chars().next().filter(|c| !c.is_ascii()) {
            wide(c, &mut needs);
            if previous.is_some_and(|previous| may_begin(previous, c)) {
                needs.add(Needs::MOJIBAKE);
            }
            previous = Some(c);
            at += c.len_utf8();
        }
        if bytes.get(at) == Some(&b' ') && matches!(previous, Some('Â' | 'Ã')) {
            needs.add(Needs::MOJIBAKE);
        }
        at = next_odd(bytes, at);
    }
    needs
}

/// Bytes that are looked at at once.
const BLOCK: usize = 32;

/// The offset from `at` on of the next byte that a rule may have to do with; a blank counts if another one follows it.
#[expect(clippy::needless_bitwise_bool, reason = "without branches the compiler takes many bytes at once")]
fn next_odd(bytes: &[u8], mut at: usize) -> usize {
    // Without an early exit from a block, the compiler compares all of its bytes at once.
    let is_odd = |byte: &u8| (*byte < 0x20) | (*byte >= 0x7f) | (*byte == b'&');
    let any_odd = |block: &[u8]| block.iter().fold(false, |any, byte| any | is_odd(byte));
    let any_twice = |block: &[u8], next: &[u8]| {
        block.iter().zip(next).fold(false, |any, (a, b)| any | ((*a == b' ') & (*b == b' ')))
    };
    while let (Some(block), Some(next)) = (bytes.get(at..at + BLOCK), bytes.get(at + 1..=at + BLOCK)) {
        if any_odd(block) || any_twice(block, next) {
            break;
        }
        at += BLOCK;
    }
    while let (Some(word), Some(behind)) = (swar::word(bytes, at), bytes.get(at + 8)) {
        let blanks = swar::equal(word, b' ');
        let next = blanks >> 8 | u64::from(*behind == b' ') << 63;
        let clean =
            swar::before(swar::not_between(word, b' ', b'~') | (blanks & next) | swar::equal(word, b'&'));
        at += clean;
        if clean < 8 {
            return at;
        }
    }
    let is_twice = |at: usize| bytes[at] == b' ' && bytes.get(at + 1) == Some(&b' ');
    while at < bytes.len() && !is_odd(&bytes[at]) && !is_twice(at) {
        at += 1;
    }
    at
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
    match c {
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
