//! Random identifiers as a parameter: from the operating system in earnest, from a seed in golden tests.
//!
//! A seeded source keeps one stream per kind of id, so that asking for one more id of one kind does not
//! change the ids of every other kind in a golden file.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// A source of identifiers.
#[derive(Debug)]
pub enum Ids {
    /// Random bytes of the operating system.
    Os,
    /// Derived from a seed; counts what each kind has taken.
    Seeded {
        /// What makes one source differ from another.
        seed: u64,
        /// How many ids each kind has handed out.
        taken: BTreeMap<&'static str, u64>,
    },
}

impl Ids {
    /// A source that gives the same ids again for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self::Seeded { seed, taken: BTreeMap::new() }
    }

    /// A new lower-case hexadecimal id of `bytes` bytes (at most 32) for the purpose `kind`.
    pub fn hex(&mut self, kind: &'static str, bytes: usize) -> String {
        let mut buffer = [0_u8; 32];
        let bytes = bytes.min(buffer.len());
        match self {
            Self::Os => getrandom::fill(&mut buffer).expect("the operating system has random bytes"),
            Self::Seeded { seed, taken } => {
                let count = taken.entry(kind).or_insert(0);
                *count += 1;
                buffer = Sha256::digest(format!("{seed}/{kind}/{count}")).into();
            }
        }
        hex(&buffer[..bytes])
    }
}

/// Lower-case hexadecimal digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The bytes of a hexadecimal text in either case; `None` for anything else.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
    if text.len() % 2 == 1 {
        return None;
    }
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// SHA-256 of `bytes` in hexadecimal, as `sha256sum` prints it.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeded_streams_do_not_disturb_each_other() {
        let mut one = Ids::seeded(7);
        let first = one.hex("lineage", 8);
        let mut two = Ids::seeded(7);
        let _ = two.hex("owner", 8);
        assert_eq!(first, two.hex("lineage", 8));
        assert_ne!(one.hex("lineage", 8), first);
        assert_eq!(first.len(), 16);
    }

    #[test]
    fn system_ids_differ() {
        assert_ne!(Ids::Os.hex("x", 16), Ids::Os.hex("x", 16));
    }

    #[test]
    fn hexadecimal_both_ways() {
        assert_eq!(unhex("00fFa9"), Some(vec![0, 255, 169]));
        assert_eq!(hex(&[0, 255, 169]), "00ffa9");
        for bad in ["0", "0g", "é"] {
            assert_eq!(unhex(bad), None, "{bad}");
        }
    }

    #[test]
    fn digests_are_those_of_sha256sum() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
