//! Keys of rows as they are on disk.

use std::fs::File;
use std::io;

use xxhash_rust::xxh3::xxh3_64;

use super::super::Cause;
use super::keys::{RowKeys, mixed};
use super::words::{Outline, SKETCH_MAX, Sketch};
use crate::os;

/// Bytes of keys on disk without the hashes of the sketch.
const HEAD: usize = 8 + 8 + 5 * 16 + 1 + 4 + 2;
/// Where the digests start in the head.
const DIGESTS: usize = 8 + 8;
/// Behind the digests: which keys there are, the size of the sketch, and how many hashes follow.
const GIVEN: usize = DIGESTS + 5 * 16;

impl RowKeys<'_> {
    /// Appends them as they are on disk.
    pub(super) fn write(&self, ordinal: u64, out: &mut Vec<u8>) {
        let given = u8::from(self.exact.is_some())
            | u8::from(self.slug.is_some()) << 1
            | u8::from(self.near.is_some()) << 2;
        let (fingerprint, size, hashes) =
            self.near.map_or((0, 0, &[][..]), |near| (near.fingerprint, near.size, near.hashes.as_slice()));
        let count = u16::try_from(hashes.len()).expect("a sketch is small");
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(&ordinal.to_le_bytes());
        head[8..16].copy_from_slice(&self.rank.to_le_bytes());
        let (exact, slug) = (self.exact.unwrap_or_default(), self.slug.unwrap_or_default());
        let (digests, _) = head[DIGESTS..].as_chunks_mut();
        for (place, digest) in digests.iter_mut().zip([self.row, exact, slug, self.within, fingerprint]) {
            *place = digest.to_le_bytes();
        }
        head[GIVEN] = given;
        head[GIVEN + 1..GIVEN + 5].copy_from_slice(&size.to_le_bytes());
        head[GIVEN + 5..].copy_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&head);
        let at = out.len();
        out.resize(at + 8 * hashes.len(), 0);
        let (places, _) = out[at..].as_chunks_mut();
        for (place, hash) in places.iter_mut().zip(hashes) {
            *place = hash.to_le_bytes();
        }
    }
}

/// The keys of a row as they were written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stored<'a> {
    head: &'a [u8; HEAD],
    hashes: &'a [[u8; 8]],
}

impl<'a> Stored<'a> {
    /// How many bytes follow the head of these keys.
    fn behind(head: &[u8; HEAD]) -> usize {
        8 * usize::from(u16::from_le_bytes([head[GIVEN + 5], head[GIVEN + 6]]))
    }

    /// Keys in their bytes, and nothing else.
    fn of(bytes: &'a [u8]) -> Self {
        let (head, hashes) = bytes.split_first_chunk().expect("keys have a head");
        Self { head, hashes: hashes.as_chunks().0 }
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.head[at..at + 8].try_into().expect("eight bytes"))
    }

    fn digest(&self, place: usize) -> u128 {
        let at = DIGESTS + 16 * place;
        u128::from_le_bytes(self.head[at..at + 16].try_into().expect("sixteen bytes"))
    }

    fn is_given(&self, bit: u8) -> bool {
        self.head[GIVEN] & 1 << bit != 0
    }

    /// The place of the row in the input.
    pub(super) fn ordinal(&self) -> u64 {
        self.word(0)
    }

    pub(super) fn rank(&self) -> u64 {
        self.word(8)
    }

    pub(super) fn row(&self) -> u128 {
        self.digest(0)
    }

    pub(super) fn within(&self) -> u128 {
        self.digest(3)
    }

    /// The key that rows have in common which are the same for this cause.
    pub(super) fn key(&self, cause: Cause) -> Option<u128> {
        match cause {
            Cause::Exact => self.is_given(0).then(|| self.digest(1)),
            Cause::Slug => self.is_given(1).then(|| self.digest(2)),
            Cause::Near => self.is_given(2).then(|| mixed(self.within(), self.fingerprint())),
        }
    }

    pub(super) fn fingerprint(&self) -> u128 {
        self.digest(4)
    }

    /// How many different triples of words the texts have.
    pub(super) fn size(&self) -> u32 {
        u32::from_le_bytes(self.head[GIVEN + 1..GIVEN + 5].try_into().expect("four bytes"))
    }

    /// One of the hashes of the sketch, the smallest first.
    pub(super) fn hash(&self, place: usize) -> Option<u64> {
        self.hashes.get(place).map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// A digest of all hashes of the sketch.
    pub(super) fn content(&self) -> u64 {
        xxh3_64(self.hashes.as_flattened())
    }

    pub(super) fn outline(&self) -> Outline {
        Outline::of(self.hashes.iter().map(|bytes| u64::from_le_bytes(*bytes)))
    }

    pub(super) fn sketch(&self) -> Sketch {
        let hashes = self.hashes.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        Sketch { fingerprint: self.fingerprint(), size: self.size(), hashes }
    }
}

/// Bytes of keys that are read at once where the next row is near.
const PIECE: usize = 64 << 10;
/// Bytes between two rows that are near.
const STEP: u64 = 4 << 10;
/// The most that the keys of a row can be.
const ROW: usize = HEAD + 8 * SKETCH_MAX;

/// Reads the keys of rows: long pieces while it goes forward in short steps, single rows elsewhere.
#[derive(Debug)]
pub(super) struct KeysReader {
    file: File,
    length: u64,
    /// What is in memory, and where it starts.
    held: Vec<u8>,
    start: u64,
}

impl KeysReader {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length, held: Vec::new(), start: 0 })
    }

    /// The keys that start at `at`.
    pub(super) fn get(&mut self, at: u64) -> io::Result<Stored<'_>> {
        let head = self.bytes(at, HEAD)?;
        let length = HEAD + Stored::behind(head.first_chunk().expect("a whole head"));
        Ok(Stored::of(self.bytes(at, length)?))
    }

    fn bytes(&mut self, at: u64, length: usize) -> io::Result<&[u8]> {
        let end = self.start + self.held.len() as u64;
        if at < self.start || at + length as u64 > end {
            let is_near = at >= self.start && at <= end + STEP;
            let left = usize::try_from(self.length.saturating_sub(at)).unwrap_or(usize::MAX);
            let piece = if is_near { PIECE } else { ROW };
            self.held.resize(piece.min(left).max(length), 0);
            os::read_exact_at(&self.file, &mut self.held, at)?;
            self.start = at;
        }
        let from = usize::try_from(at - self.start).expect("a place in memory");
        Ok(&self.held[from..from + length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn keys_are_read_in_any_steps() {
        let mut bytes = Vec::new();
        let mut places = Vec::new();
        for ordinal in 0..2000_u64 {
            // Some have no sketch, some as many hashes as there can be.
            let count = if ordinal % 9 == 0 { SKETCH_MAX as u64 } else { ordinal % 9 - 1 };
            let hashes = (0..count).map(|place| ordinal << 32 | place).collect();
            let sketch = Sketch { fingerprint: u128::from(ordinal) << 70, size: 3, hashes };
            let near = Some(&sketch).filter(|sketch| !sketch.hashes.is_empty());
            let keys =
                RowKeys { row: 1, exact: None, slug: Some(2), near, within: u128::MAX, rank: ordinal * 2 };
            places.push((bytes.len() as u64, sketch.hashes.clone()));
            keys.write(ordinal, &mut bytes);
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let mut reader = KeysReader::new(file).unwrap();
        let steps = [1, 2, 40, 1999].map(|step| (0..2000).step_by(step).collect::<Vec<usize>>());
        let back = (0..2000).rev().step_by(7).collect();
        for at in steps.into_iter().chain([back]).flatten() {
            let (place, hashes) = &places[at];
            let keys = reader.get(*place).unwrap();
            assert_eq!((keys.ordinal(), keys.rank(), keys.row()), (at as u64, at as u64 * 2, 1));
            assert_eq!((keys.key(Cause::Exact), keys.key(Cause::Slug)), (None, Some(2)));
            assert_eq!(keys.key(Cause::Near).is_some(), !hashes.is_empty());
            assert_eq!(keys.sketch().hashes, *hashes);
            assert_eq!((keys.hash(0), keys.within()), (hashes.first().copied(), u128::MAX));
        }
        assert!(reader.get(bytes.len() as u64).is_err(), "nothing is behind the last");
    }
}
