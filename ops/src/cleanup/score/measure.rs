//! Characters of a text as evidence: a run of blanks is one, what nobody sees is none.

use super::super::rules::is_invisible;
use crate::swar;

/// Characters that a reader sees, blanks around the text aside; counting ends at `most`.
pub(super) fn chars(text: &str, most: usize) -> usize {
    count(text, most)
}

/// Characters of a title up to the first mark of a cut. The first dot of a mark may end a sentence, so it counts: the
/// title that is cut behind it would count it too.
pub(super) fn title_chars(title: &str, most: usize) -> usize {
    let title = title.trim_end();
    let bytes = title.as_bytes();
    // An ellipsis is three bytes, of which the first is that of other signs too.
    let end = memchr::memchr2_iter(b'.', 0xe2, bytes).find_map(|at| match bytes[at..] {
        [0xe2, 0x80, 0xa6, ..] => Some(at),
        [b'.', b'.', b'.', ..] | [b'.', b'.'] => Some(at + 1),
        _ => None,
    });
    count(&title[..end.unwrap_or(title.len())], most)
}

/// Whether so many characters of a text are visible ASCII, which are the cheapest to count.
fn has_visible(text: &str, most: usize) -> bool {
    const BLOCK: usize = 128;
    let mut visible = 0;
    text.len() >= most
        && text.as_bytes().chunks(BLOCK).any(|block| {
            let count = |count: u8, byte: &u8| count.wrapping_add(u8::from(byte.is_ascii_graphic()));
            visible += usize::from(block.iter().fold(0, count));
            visible >= most
        })
}

fn count(text: &str, most: usize) -> usize {
    if has_visible(text, most) {
        return most;
    }
    let (mut count, mut blank, mut at) = (0, false, 0);
    while let Some(&byte) = text.as_bytes().get(at) {
        // Eight bytes at once, while all of them count.
        if count > 0
            && count + 16 < most
            && let Some(word) = swar::word(text.as_bytes(), at)
            && swar::between(word, b' ', b'~') == swar::all_marks()
        {
            let blanks = swar::equal(word, b' ');
            let seen = swar::all_marks() & !blanks;
            let behind_blanks = seen & (blanks << 8 | u64::from(blank) << 7);
            count += swar::count(seen) + swar::count(behind_blanks);
            blank = blanks >> 63 != 0;
            at += 8;
            continue;
        }
        // Nearly all characters are visible ASCII.
        let is_seen = if byte.is_ascii_graphic() {
            at += 1;
            true
        } else {
            let Some(c) = text[at..].chars().next() else { break };
            at += c.len_utf8();
            blank = if c.is_whitespace() { count > 0 } else { blank };
            !c.is_whitespace() && !is_invisible(c)
        };
        if is_seen {
            count += 1 + usize::from(blank);
            blank = false;
            if count >= most {
                break;
            }
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_seen() {
        assert_eq!(chars("  a  b\u{200b}\u{fffd}\t\n c ", 99), 5);
        assert_eq!(chars("abc", 2), 2);
        assert_eq!(chars(" \u{feff} ", 9), 0);
    }

    #[test]
    fn many_characters_are_counted_like_few() {
        let texts = ["Harbor  of light,\tand  a tide ", "a", "   ", " b\u{e9}  c\u{200b} d", "        x"];
        for (one, other) in texts.iter().flat_map(|one| texts.iter().map(move |other| (one, other))) {
            let text = [*one, other, one, other, one].concat();
            let is_seen = |c: &char| c.is_whitespace() || !is_invisible(*c);
            let shown: String = text.chars().filter(is_seen).collect();
            let squeezed = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            let expected = squeezed.chars().count();
            assert_eq!(chars(&text, usize::MAX), expected, "{text:?}");
            for most in 1..expected + 40 {
                let counted = chars(&text, most);
                let is_right = if most <= expected { counted >= most } else { counted == expected };
                assert!(is_right, "{text:?}: {counted} of {most}");
            }
        }
    }

    #[test]
    fn a_mark_ends_a_title() {
        for (title, expected) in [
            ("Harbor of light.", 16),
            ("Harbor of lig...", 14),
            ("Harbor of lig\u{2026}", 13),
            ("Harbor of lig.. ", 14),
            ("Harbor... of light", 7),
            ("v1..2 of it", 11),
            ("...", 1),
        ] {
            assert_eq!(title_chars(title, 99), expected, "{title}");
        }
    }
}
