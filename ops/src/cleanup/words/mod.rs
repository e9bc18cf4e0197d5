//! Words of a text, one pass and no allocation: what the fills, the score and the search for cut titles all count.
//!
//! A word is a run of letters and digits with apostrophes inside; a possessive `'s` is no part of it. A word at the
//! very end of a text is *open*: nothing shows that it was not cut. That is the difference on which the law rests that
//! cutting a row never raises its score. Nothing here knows what a word means.

mod hash;
mod letters;
mod splits;
mod tally;

use self::hash::{IS_PART, plain};
pub(super) use self::hash::{behind_plain, first_bytes, fold, hash, hash_folded, hash_within, join};
pub(super) use self::splits::{Meaning, Meanings, Splits};
pub(super) use self::tally::{Entry, Table, Tally};

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
    /// Whether its hash may be one that decides about a keyword.
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
        let mut found = None;
        if IS_PART[usize::from(bytes[at])] {
            let (end, hash) = plain(bytes, at);
            // Nearly all words are plain, and end at something that is part of no word.
            if bytes.get(end).is_none_or(|byte| byte.is_ascii() && *byte != b'\'') {
                let (text, closed) = (&text[at..end], end < bytes.len());
                let word =
                    Word { start: at, text, hash, chars: end - at, closed, is_known: true, is_plain: true };
                found = Some((word, end + 1));
            }
        } else if bytes[at].is_ascii() {
            at += 1;
            continue;
        } else if let Some(c) = first(&text[at..]).filter(|c| !is_letter(*c)) {
            at += c.len_utf8();
            continue;
        }
        let (word, end) = found.unwrap_or_else(|| word(text, at));
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
