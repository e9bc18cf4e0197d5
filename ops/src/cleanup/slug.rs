//! Makes an address of a name: small ASCII letters and digits with `_` between them.
//!
//! Letters of every script are transliterated, so that no name that has letters or digits is without an address. Signs
//! and pictures separate words and are not spelled out. A name without letters has no slug, which is nothing that two
//! names could have in common.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::words::is_letter;

/// The slug of `text` of at most `chars_max` characters, or `None` when it has no letter and no digit.
pub fn slug(text: &str, chars_max: usize) -> Option<String> {
    let mut slug = Vec::with_capacity(text.len().min(chars_max));
    if text.is_ascii() {
        text.bytes().for_each(|byte| add(byte, &mut slug));
    } else {
        text.nfc().for_each(|c| add_any(c, &mut slug));
    }
    slug.truncate(chars_max);
    while slug.pop_if(|last| *last == b'_').is_some() {}
    (!slug.is_empty()).then(|| String::from_utf8(slug).expect("a slug is ASCII"))
}

/// What an ASCII character is in a slug; what is no letter and no digit ends a word.
const SIGNS: [u8; 128] = {
    let mut signs = [b'_'; 128];
    let mut byte = 0_u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            signs[byte as usize] = byte.to_ascii_lowercase();
        }
        byte += 1;
    }
    signs
};

/// Adds an ASCII character.
fn add(byte: u8, slug: &mut Vec<u8>) {
    let sign = SIGNS[usize::from(byte)];
    if sign != b'_' || slug.last().is_some_and(|last| *last != b'_') {
        slug.push(sign);
    }
}

fn add_any(c: char, slug: &mut Vec<u8>) {
    if let (true, Ok(byte)) = (c.is_ascii(), u8::try_from(c)) {
        add(byte, slug);
    } else if is_letter(c) {
        deunicode::deunicode_char(c).unwrap_or("_").bytes().for_each(|byte| add(byte, slug));
    } else if !is_combining_mark(c) && !is_joiner(c) {
        add(b'_', slug);
    }
}

/// Characters without width, which are inside of words.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_become_addresses() {
        for (name, expected) in [
            ("Half-lit Harbor", "half_lit_harbor"),
            ("v1.0 (beta)", "v1_0_beta"),
            ("  Spaced   Out  ", "spaced_out"),
            ("snake_case_name", "snake_case_name"),
            ("Aurēlia", "aurelia"),
            ("Aure\u{304}lia", "aurelia"),
            ("What's", "what_s"),
            ("Straße nach Łódź", "strasse_nach_lodz"),
            ("Αθήνα", "athena"),
            ("Москва", "moskva"),
            ("北京", "bei_jing"),
            ("東京 2020", "dong_jing_2020"),
            ("\u{1F525} fire \u{1F525}", "fire"),
            ("co\u{AD}operate", "cooperate"),
        ] {
            assert_eq!(slug(name, 120).as_deref(), Some(expected), "{name}");
        }
        assert_eq!(slug(&"x".repeat(130), 120), Some("x".repeat(120)));
        assert_eq!(slug("ab cd", 3).as_deref(), Some("ab"));
    }

    #[test]
    fn a_name_without_letters_has_none() {
        for name in ["", "   ", "---", "\u{1F525}", "?!", "…"] {
            assert_eq!(slug(name, 120), None, "{name}");
        }
        assert_eq!(slug("name", 0), None);
    }

    proptest! {
        #[test]
        fn a_slug_is_its_own_slug(name in any::<String>(), chars_max in 0..20_usize) {
            if let Some(first) = slug(&name, chars_max) {
                prop_assert!(first.len() <= chars_max);
                prop_assert!(first.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
                prop_assert!(!first.starts_with('_') && !first.ends_with('_') && !first.contains("__"));
                prop_assert_eq!(slug(&first, chars_max), Some(first));
            }
        }
    }
}
