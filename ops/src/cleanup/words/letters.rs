//! Which characters are letters or digits. The standard library searches for scripts that are not Latin, in thousands of
//! steps for some: that is done once for each page of 256 characters, and looked up from then on. No characters are left
//! out, and none are added.

use std::sync::OnceLock;

/// Pages whose characters are remembered: all that anybody writes.
const PAGES: usize = 0x200;

/// The characters of a page, as bits.
type Page = [u64; 4];

/// Whether this is a letter or a digit, as [`char::is_alphanumeric`] says.
pub(super) fn is_alphanumeric(c: char) -> bool {
    static KNOWN: [OnceLock<Page>; PAGES] = [const { OnceLock::new() }; PAGES];
    let code = c as usize;
    let Some(page) = KNOWN.get(code >> 8) else { return search(c) };
    let bits = page.get_or_init(|| page_of(c as u32 & !0xff));
    bits[code >> 6 & 3] >> (code & 63) & 1 != 0
}

/// The page that starts with this character.
fn page_of(first: u32) -> Page {
    let is_set = |code: u32| char::from_u32(code).is_some_and(search);
    let word = |from: u32| (0..64).fold(0, |bits, bit| bits | u64::from(is_set(from + bit)) << bit);
    [first, first + 64, first + 128, first + 192].map(word)
}

fn search(c: char) -> bool {
    #[cfg(test)]
    tests::SEARCHES.set(tests::SEARCHES.get() + 1);
    c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    thread_local! {
        /// Characters that this thread searched for.
        pub(super) static SEARCHES: Cell<usize> = const { Cell::new(0) };
    }

    #[test]
    fn every_character_is_what_it_was() {
        for c in char::MIN..=char::MAX {
            assert_eq!(is_alphanumeric(c), c.is_alphanumeric(), "{c:?}");
        }
    }

    #[test]
    fn a_script_is_searched_for_once() {
        for letter in ['é', 'ж', 'ა', 'क', '中', '한', '\u{1d49c}'] {
            let text = letter.to_string().repeat(10_000);
            let before = SEARCHES.get();
            assert!(text.chars().all(is_alphanumeric));
            let searches = SEARCHES.get() - before;
            assert!(searches <= 256, "{letter}: {searches} searches");
        }
    }
}
