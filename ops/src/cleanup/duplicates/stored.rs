//! Keys of rows as they are on disk: no digest that a row has not, and of each hash of its sketch the half that is
//! compared. Nobody else knows how they lie there.

use std::fs::File;
use std::io;

use super::super::Cause;
use super::keys::{RowKeys, within};
use super::words::{Outline, SKETCH_MAX, Triples, upper};
use crate::long::Passer;
use crate::os;

/// What every row has: which digests follow, the size of the sketch, the place of the row, its rank, and its digest.
const HEAD: usize = 1 + 2 + 4 + 4 + DIGEST;
const SIZE: usize = 1;
const ORDINAL: usize = 3;
const RANK: usize = 7;
const ROW: usize = 11;
/// Bytes of a digest.
const DIGEST: usize = 16;
/// Bytes of a hash.
const HASH: usize = 4;

/// Digests that a row may have, in the order in which they follow the head; the hashes follow them.
#[derive(Debug, Clone, Copy)]
enum Digest {
    Exact,
    Slug,
    Within,
    Words,
}

const DIGESTS: usize = 4;
/// The most that the keys of a row can be.
const MOST: usize = HEAD + DIGESTS * DIGEST + HASH * SKETCH_MAX;

impl RowKeys<'_> {
    /// Appends them as they are on disk. Rows behind the first four billion are refused when all are there.
    pub(super) fn write(&self, ordinal: u64, out: &mut Vec<u8>) {
        let (size, hashes) = self.near.map_or((0, &[][..]), |near| (near.size, near.hashes.as_slice()));
        let mut head = [0; HEAD + DIGESTS * DIGEST];
        head[SIZE..ORDINAL].copy_from_slice(&u16::try_from(size).unwrap_or(u16::MAX).to_le_bytes());
        head[ORDINAL..RANK].copy_from_slice(&u32::try_from(ordinal).unwrap_or(u32::MAX).to_le_bytes());
        head[RANK..ROW].copy_from_slice(&self.rank.to_le_bytes());
        head[ROW..HEAD].copy_from_slice(&self.row.to_le_bytes());
        let mut length = HEAD;
        let words = self.near.map(|near| near.fingerprint);
        for (bit, digest) in [self.exact, self.slug, self.within, words].into_iter().enumerate() {
            if let Some(digest) = digest {
                head[0] |= 1 << bit;
                head[length..length + DIGEST].copy_from_slice(&digest.to_le_bytes());
                length += DIGEST;
            }
        }
        out.extend_from_slice(&head[..length]);
        let at = out.len();
        out.resize(at + HASH * hashes.len(), 0);
        for (place, hash) in out[at..].as_chunks_mut().0.iter_mut().zip(hashes) {
            *place = upper(*hash).to_le_bytes();
        }
    }
}

/// The keys of a row as they were written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored<'a> {
    head: &'a [u8; HEAD],
    /// Digests, then hashes.
    rest: &'a [u8],
}

impl<'a> Stored<'a> {
    /// Keys at the start of some bytes, of which there may be more or fewer than they have.
    fn of(bytes: &'a [u8]) -> Self {
        let (head, rest) = bytes.split_first_chunk().expect("keys have a head");
        Self { head, rest }
    }

    /// How many bytes these keys have.
    fn length(&self) -> usize {
        HEAD + self.digests_length() + HASH * (self.size() as usize).min(SKETCH_MAX)
    }

    fn digests_length(&self) -> usize {
        DIGEST * self.head[0].count_ones() as usize
    }

    fn word(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.head[at..at + 4].try_into().expect("four bytes"))
    }

    fn digest(&self, digest: Digest) -> Option<u128> {
        let bit = 1 << digest as u8;
        let at = DIGEST * (self.head[0] & (bit - 1)).count_ones() as usize;
        let bytes = self.rest.get(at..at + DIGEST).filter(|_| self.head[0] & bit != 0)?;
        Some(u128::from_le_bytes(bytes.try_into().expect("sixteen bytes")))
    }

    /// The place of the row in the input.
    pub(super) fn ordinal(&self) -> u32 {
        self.word(ORDINAL)
    }

    pub(super) fn rank(&self) -> u32 {
        self.word(RANK)
    }

    pub(super) fn row(&self) -> u128 {
        u128::from_le_bytes(self.head[ROW..].try_into().expect("sixteen bytes"))
    }

    /// The key that rows have in common which are the same for this cause.
    pub(super) fn key(&self, cause: Cause) -> Option<u128> {
        match cause {
            Cause::Exact => self.digest(Digest::Exact),
            Cause::Slug => self.digest(Digest::Slug),
            Cause::Near => self.digest(Digest::Words).map(|words| within(self.digest(Digest::Within), words)),
        }
    }

    /// How many different triples of words the texts have.
    pub(super) fn size(&self) -> u32 {
        u32::from(u16::from_le_bytes([self.head[SIZE], self.head[SIZE + 1]]))
    }

    fn hashes(&self) -> impl Iterator<Item = u32> + 'a {
        self.rest[self.digests_length()..].as_chunks().0.iter().map(|hash| u32::from_le_bytes(*hash))
    }

    /// A digest of all hashes of the sketch, which have no order.
    pub(super) fn content(&self) -> u64 {
        self.hashes().map(u64::from).fold(0, |sum, hash| sum.wrapping_add(hash * (hash ^ 0x9e37_79b9)))
    }

    pub(super) fn outline(&self) -> Outline {
        Outline::of(self.hashes())
    }

    pub(super) fn triples(&self) -> Triples {
        Triples::new(self.size(), self.hashes())
    }
}

/// Bytes of keys that are read at once where the next row is near.
const PIECE: usize = 64 << 10;
/// Bytes between two rows that are near.
const STEP: u64 = 4 << 10;

/// Reads the keys of rows: long pieces while it goes forward in short steps, single rows elsewhere.
#[derive(Debug)]
pub(super) struct KeysReader<'f> {
    file: &'f File,
    length: u64,
    /// If it goes forward only.
    passer: Option<Passer<'f>>,
    /// What is in memory, and where it starts.
    held: Vec<u8>,
    start: u64,
}

impl<'f> KeysReader<'f> {
    pub(super) fn new(file: &'f File) -> io::Result<Self> {
        Ok(Self { file, length: file.metadata()?.len(), passer: None, held: Vec::new(), start: 0 })
    }

    /// For somebody who goes forward only, one of several.
    pub(super) fn forward(file: &'f File, passer: Passer<'f>) -> io::Result<Self> {
        Ok(Self { passer: Some(passer), ..Self::new(file)? })
    }

    /// The keys that start at `at`.
    pub(super) fn get(&mut self, at: u64) -> io::Result<Stored<'_>> {
        let length = Stored::of(self.bytes(at, HEAD)?).length();
        Ok(Stored::of(self.bytes(at, length)?))
    }

    fn bytes(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let end = self.start + self.held.len() as u64;
        if at < self.start || at + length as u64 > end {
            let is_near = at >= self.start && at <= end + STEP;
            let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
            let piece = if is_near { PIECE } else { MOST };
            self.held.resize(piece.min(left).max(length), 0);
            os::read_exact_at(self.file, &mut self.held, at)?;
            self.start = at;
            if let Some(passer) = &self.passer {
                passer.pass(at);
            }
        }
        let from = usize::try_from(at - self.start).expect("a place in memory");
        Ok(&self.held[from..from + length])
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::Sketch;
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn sketch(size: u32, seed: u64) -> Option<Sketch> {
        let hash = |place: u64| (seed ^ place).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let hashes = (0..u64::from(size).min(SKETCH_MAX as u64)).map(hash).collect();
        (size > 0).then(|| Sketch { fingerprint: u128::from(seed) << 70, size, hashes })
    }

    fn reader_of(bytes: &[u8], file: &mut File) -> u64 {
        file.write_all(bytes).unwrap();
        bytes.len() as u64
    }

    #[test]
    fn keys_are_read_in_any_steps() {
        let mut bytes = Vec::new();
        let mut places = Vec::new();
        for ordinal in 0..2000 {
            // Some have no sketch, some as many hashes as there can be.
            let size = if ordinal % 9 == 0 { 70_000 } else { ordinal % 9 - 1 };
            let near = sketch(size, ordinal.into());
            let keys = RowKeys {
                row: 1,
                exact: None,
                slug: Some(2),
                near: near.as_ref(),
                within: Some(u128::MAX),
                rank: ordinal * 2,
            };
            places.push((bytes.len() as u64, near.clone()));
            keys.write(ordinal.into(), &mut bytes);
        }
        let mut file = tempfile::tempfile().unwrap();
        let end = reader_of(&bytes, &mut file);
        let mut reader = KeysReader::new(&file).unwrap();
        let steps = [1, 2, 40, 1999].map(|step| (0..2000).step_by(step).collect::<Vec<u32>>());
        let back = (0..2000).rev().step_by(7).collect();
        for at in steps.into_iter().chain([back]).flatten() {
            let (place, near) = &places[at as usize];
            let keys = reader.get(*place).unwrap();
            assert_eq!((keys.ordinal(), keys.rank(), keys.row()), (at, at * 2, 1));
            assert_eq!((keys.key(Cause::Exact), keys.key(Cause::Slug)), (None, Some(2)));
            let words = near.as_ref().map(|near| within(Some(u128::MAX), near.fingerprint));
            assert_eq!(keys.key(Cause::Near), words);
            let size = near.as_ref().map_or(0, |near| near.size);
            assert_eq!(keys.size(), size.min(u32::from(u16::MAX)));
            assert_eq!(keys.hashes().count(), (size as usize).min(SKETCH_MAX));
        }
        assert!(reader.get(end).is_err(), "nothing is behind the last");
    }

    proptest! {
        /// What is written is read back, whichever digests a row has.
        #[test]
        fn keys_are_what_was_written(
            (row, exact, slug, within_of) in any::<(u128, Option<u128>, Option<u128>, Option<u128>)>(),
            (ordinal, rank, size, seed) in (any::<u32>(), any::<u32>(), 0..300_u32, any::<u64>()),
            before in 0..100_usize,
        ) {
            let near = sketch(size, seed);
            let keys = RowKeys { row, exact, slug, near: near.as_ref(), within: within_of, rank };
            let mut bytes = vec![7; before];
            keys.write(u64::from(ordinal), &mut bytes);
            let length = bytes.len() - before;
            keys.write(0, &mut bytes);
            let mut file = tempfile::tempfile().unwrap();
            reader_of(&bytes, &mut file);
            let mut reader = KeysReader::new(&file).unwrap();
            let read = reader.get(before as u64).unwrap();
            prop_assert_eq!((read.ordinal(), read.rank(), read.row()), (ordinal, rank, row));
            prop_assert_eq!((read.key(Cause::Exact), read.key(Cause::Slug)), (exact, slug));
            let words = near.as_ref().map(|near| within(within_of, near.fingerprint));
            prop_assert_eq!((read.key(Cause::Near), read.size()), (words, size));
            let expected = near.as_ref().map(Sketch::triples).unwrap_or_default();
            prop_assert_eq!(read.triples(), expected);
            prop_assert_eq!(read.length(), length);
            prop_assert_eq!(reader.get((before + length) as u64).unwrap().ordinal(), 0);
        }

        /// A row that was read is the same in whatever order its hashes were.
        #[test]
        fn hashes_have_no_order(size in 1..300_u32, seed in any::<u64>(), turn in 0..300_usize) {
            let near = sketch(size, seed).unwrap();
            let mut other = near.clone();
            let turn = turn % other.hashes.len();
            other.hashes.rotate_left(turn);
            let [one, other] = [near, other].map(|near| {
                let keys = RowKeys { row: 0, exact: None, slug: None, near: Some(&near), within: None, rank: 0 };
                let mut bytes = Vec::new();
                keys.write(0, &mut bytes);
                let read = Stored::of(&bytes);
                (read.content(), read.outline(), read.triples())
            });
            prop_assert_eq!(one, other);
        }
    }
}
