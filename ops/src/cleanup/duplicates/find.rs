//! Collects keys, sorts them, and links the rows whose keys are equal or whose texts are near.
//!
//! Most keys belong to one row only. So a short mark of each key comes first, and only the keys whose marks meet are
//! sorted and compared. Keys with different marks have nothing to do with each other: two threads take half of them
//! each, and what they find does not depend on which of them is faster.
//!
//! Near texts are found in blocks: texts that share one of their smallest triple hashes, which texts that are near
//! nearly always do. A block holds texts in the order of their content, and in a big one each is compared with the few
//! next to it only, so that a sentence that a million rows share does not make a million million comparisons.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread;

use super::super::{Cause, Dataset};
use super::clusters::{CAUSES, Clusters, Forest, LINK_BYTES, Links, Member};
use super::keys::{RowKeys, within};
use super::marks::{Half, Mark, Marks};
use super::stored::{KeysReader, Stored};
use super::words::{Nearness, Outline, Triples};
use crate::long::{LongFile, Passer};
use crate::sort::{Buckets, Sorted, SortedBuckets, Sorter};

/// Texts of a block that are compared each with each.
const BLOCK_MAX: u64 = 128;
/// Texts that each text of a bigger block is compared with.
const NEIGHBOURS: usize = 16;
/// Share of near texts that may have no block in common.
const MISSED: f64 = 0.001;

/// Pairs of near texts that were not compared, because too many texts share a phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Skipped {
    /// Blocks that were too big.
    pub blocks: u64,
    /// Rows of the biggest.
    pub biggest: u64,
    /// Pairs in all of them that were not compared there.
    pub pairs: u64,
}

/// Collects the keys of rows.
#[derive(Debug)]
pub struct Finder {
    dir: PathBuf,
    memory_bytes: usize,
    merged: Vec<Cause>,
    similarity: f64,
    /// The keys of each row, one behind the other.
    keys: Option<BufWriter<LongFile>>,
    keys_at: u64,
    marks: Marks,
    rows: u64,
}

/// The keys of some rows as they are on disk, with a mark of each key: made by many threads, added by one.
#[derive(Debug, Default)]
pub struct Keyed {
    bytes: Vec<u8>,
    /// Places count from the first of these rows.
    marks: Vec<Mark>,
    /// Behind the last row.
    rows: u64,
}

impl Keyed {
    /// Appends the keys of the row at this place of the input, and those of its hashes that are looked up.
    pub(super) fn push(&mut self, ordinal: u64, keys: &RowKeys<'_>, least: &[u64]) {
        self.rows = self.rows.max(ordinal + 1);
        let at = self.bytes.len() as u64;
        let words = keys.near.map(|near| within(keys.within, near.fingerprint));
        for (cause, key) in CAUSES.into_iter().zip([keys.exact, keys.slug, words]) {
            self.marks.extend(key.map(|key| Mark::new(group(cause, key), at, cause as u8)));
        }
        self.marks.extend(least.iter().map(|hash| Mark::new(block(keys.within, *hash), at, BLOCK)));
        keys.write(ordinal, &mut self.bytes);
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
        self.rows = 0;
    }
}

/// Limits between which a declared similarity counts.
pub(super) fn similarity_of(dataset: &Dataset) -> f64 {
    dataset.duplicates.similarity.clamp(0.05, 1.0)
}

impl Finder {
    /// Finds duplicates as the dataset declares, with about `memory_bytes` of memory for sorting; what does not fit is
    /// in files without names in `dir`.
    pub fn new(dataset: &Dataset, dir: &Path, memory_bytes: usize) -> Self {
        Self {
            dir: dir.to_owned(),
            memory_bytes,
            merged: dataset.duplicates.merge.clone(),
            similarity: similarity_of(dataset),
            keys: None,
            keys_at: 0,
            marks: Marks::new(dir, memory_bytes / 4),
            rows: 0,
        }
    }

    /// Adds rows; their places may come in any order, and some may be missing.
    pub fn add(&mut self, keyed: &Keyed) -> io::Result<()> {
        self.rows = self.rows.max(keyed.rows);
        self.marks.add(&keyed.marks, self.keys_at)?;
        let file = match &mut self.keys {
            Some(file) => file,
            none => {
                let file = LongFile::new(tempfile::tempfile_in(&self.dir)?);
                none.insert(BufWriter::with_capacity(256 << 10, file))
            }
        };
        file.write_all(&keyed.bytes)?;
        self.keys_at += keyed.bytes.len() as u64;
        Ok(())
    }

    /// The clusters that the rows make. Two threads look for them, each among half of all keys.
    pub fn finish(self) -> io::Result<Clusters> {
        let Self { dir, memory_bytes, merged, rows, .. } = self;
        let mut links = Vec::new();
        let mut skipped = Skipped::default();
        let keys = self.keys.map(BufWriter::into_inner).transpose()?.map(LongFile::into_file);
        if let Some(file) = &keys {
            let search = Search { file, dir: &dir, memory_bytes: memory_bytes / 2 };
            let [one, other] = Passer::all(file);
            let [lower, upper] = self.marks.halves()?;
            let mut met =
                both([(lower, one), (upper, other)].map(|(half, passer)| move || search.met(half, passer)))?;
            let mut near = Forest::new(rows)?;
            for (links, _) in &mut met {
                links.each(&[Cause::Near], |_, a, b| {
                    near.join(a.ordinal, b.ordinal);
                    Ok(())
                })?;
            }
            let nearness = Nearness::new(self.similarity);
            let mut forests = [near.clone(), near].into_iter();
            let compared = both(met.map(|(links, blocks)| {
                let near = forests.next().expect("one for each");
                move || {
                    let reader = KeysReader::new(file)?;
                    let skipped = Skipped::default();
                    Blocks { reader, nearness, links, near, skipped }.link(blocks)
                }
            }))?;
            for (of_half, skipped_of_half) in compared {
                links.push(of_half);
                skipped.add(skipped_of_half);
            }
        }
        thread::scope(|scope| {
            // To free the pages of a big file takes a while.
            scope.spawn(|| drop(keys));
            Clusters::of(&mut links, &merged, rows, skipped, &dir, memory_bytes)
        })
    }
}

impl Skipped {
    fn add(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.biggest = self.biggest.max(other.biggest);
        self.pairs += other.pairs;
    }
}

/// Does two things at the same time.
fn both<T: Send>([one, other]: [impl FnOnce() -> io::Result<T> + Send; 2]) -> io::Result<[T; 2]> {
    thread::scope(|scope| {
        let other = scope.spawn(other);
        let one = one();
        let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok([one?, other?])
    })
}

/// The kind of marks of blocks; those of groups are of the kind of their cause.
const BLOCK: u8 = 3;

/// A mark for a key that is equal in rows which are the same for a cause: half of a digest is enough.
fn group(cause: Cause, key: u128) -> u64 {
    let [low, high] = [key, key >> 64].map(|half| u64::try_from(half & u128::from(u64::MAX)));
    low.unwrap_or_default() ^ high.unwrap_or_default() ^ (cause as u64) << 32
}

/// A mark for a block, which is known by nothing else.
fn block(within: Option<u128>, hash: u64) -> u64 {
    group(Cause::Near, within.unwrap_or_default()) ^ hash.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Means to look for rows that have a key in common.
#[derive(Clone, Copy)]
struct Search<'f> {
    file: &'f File,
    dir: &'f Path,
    memory_bytes: usize,
}

impl Search<'_> {
    /// Reads the keys whose marks met: links rows whose keys are equal, and sorts the texts that are in blocks.
    fn met(self, half: Half, passer: Passer<'_>) -> io::Result<(Links, InBlocks)> {
        let mut met = half.met(self.dir, self.memory_bytes / 2)?;
        let mut reader = KeysReader::forward(self.file, passer)?;
        let mut groups = Sorter::new(self.dir, self.memory_bytes / 4);
        let mut blocks = Buckets::new(self.dir, BUCKETS, self.memory_bytes / 2);
        let mut text = InBlock { at: None, record: [0; TEXT_BYTES] };
        while let Some(mark) = met.next()? {
            let keys = reader.get(mark.at())?;
            match CAUSES.get(usize::from(mark.kind())) {
                None => text.push(&mut blocks, mark, &keys)?,
                Some(cause) => {
                    if let Some(key) = keys.key(*cause) {
                        groups.push(&group_key(*cause, key), &member(&keys))?;
                    }
                }
            }
        }
        let mut links = Links::new(self.dir)?;
        link_groups(groups.finish()?, &mut links)?;
        Ok((links, blocks.sorted(self.memory_bytes / 2)?))
    }
}

/// A row as links know it.
fn member(keys: &Stored<'_>) -> [u8; LINK_BYTES] {
    Member { ordinal: keys.ordinal(), rank: keys.rank(), row: keys.row() }.bytes()
}

/// Texts that are in blocks, block by block.
type InBlocks = SortedBuckets<TEXT_BYTES>;

/// Buckets of blocks, by the first bits by which a block is known.
const BUCKETS: usize = 1 << BUCKET_BITS;
/// How many bits.
const BUCKET_BITS: u32 = 8;

/// A text as it is sorted, the same in each of its blocks.
struct InBlock {
    at: Option<u64>,
    /// The block, the size, a digest of the content, the place of the row, that of its keys, and the outline.
    record: [u8; TEXT_BYTES],
}

impl InBlock {
    fn push(&mut self, blocks: &mut Buckets<TEXT_BYTES>, mark: Mark, keys: &Stored<'_>) -> io::Result<()> {
        if self.at.replace(mark.at()) != Some(mark.at()) {
            let (size, content) = (u64::from(keys.size()), keys.content());
            let order = [0, size << 32 | content >> 32, content << 32 | u64::from(keys.ordinal())];
            let words = order.into_iter().chain([mark.at()]).chain(keys.outline().0);
            for (place, word) in self.record.as_chunks_mut().0.iter_mut().zip(words) {
                *place = word.to_be_bytes();
            }
        }
        self.record[..BLOCK_BYTES].copy_from_slice(&mark.bits().to_be_bytes());
        // The first bit of all is the same: this is one half.
        let bucket = mark.bits() << 1 >> (u64::BITS - BUCKET_BITS);
        blocks.push(bucket as usize, self.record)
    }
}

/// How many of its smallest hashes a text needs, so that hardly any pair that is near has none in common.
pub(super) fn blocks_per_row(similarity: f64) -> usize {
    let mut missed = 1.0;
    (1..=16)
        .find(|_| {
            missed *= 1.0 - similarity;
            missed <= MISSED
        })
        .unwrap_or(16)
}

fn group_key(cause: Cause, key: u128) -> [u8; 17] {
    let mut bytes = [0; 17];
    bytes[0] = cause as u8;
    bytes[1..].copy_from_slice(&key.to_be_bytes());
    bytes
}

/// Links rows with equal keys, each to the first.
fn link_groups(mut groups: Sorted, links: &mut Links) -> io::Result<()> {
    let mut current: Vec<u8> = Vec::new();
    let mut first = Vec::new();
    while let Some((key, member)) = groups.next()? {
        if key != current {
            key.clone_into(&mut current);
            member.clone_into(&mut first);
            continue;
        }
        links.add(CAUSES[usize::from(key[0]).min(2)], &first, member)?;
    }
    Ok(())
}

/// Compares the texts of blocks.
struct Blocks<'f> {
    reader: KeysReader<'f>,
    nearness: Nearness,
    links: Links,
    /// Rows that are linked already need no comparison.
    near: Forest,
    skipped: Skipped,
}

/// A text of the current block.
struct Text {
    /// How many different triples of words it has; a block is sorted by it.
    size: u32,
    ordinal: u32,
    at: u64,
    outline: Outline,
    /// Read when a second text of the block makes it necessary.
    whole: Option<Whole>,
}

/// All that is known of a text.
struct Whole {
    member: [u8; LINK_BYTES],
    triples: Triples,
}

/// Bytes of what a block is known by.
const BLOCK_BYTES: usize = 8;
/// Bytes of a text of a block as it is sorted.
const TEXT_BYTES: usize = BLOCK_BYTES + 4 + 8 + 4 + 8 + 4 * 8;

impl Blocks<'_> {
    fn link(mut self, mut texts: InBlocks) -> io::Result<(Links, Skipped)> {
        let mut current = None;
        let mut before: VecDeque<Text> = VecDeque::new();
        let (mut size, mut compared) = (0_u64, 0_u64);
        while let Some(record) = texts.next()? {
            let (block, text) = Text::read(record);
            if current.replace(block) != Some(block) {
                self.end(size, compared);
                (size, compared) = (0, 0);
                before.clear();
            }
            compared += self.compare(text, &mut before, size)?;
            size += 1;
        }
        self.end(size, compared);
        Ok((self.links, self.skipped))
    }

    /// Compares a text with those before it, and says with how many.
    fn compare(&mut self, mut text: Text, before: &mut VecDeque<Text>, size: u64) -> io::Result<u64> {
        let most = if size < BLOCK_MAX { before.len() } else { NEIGHBOURS };
        // A smaller set cannot have more in common than all of it; those further back are smaller still.
        let least = self.nearness.least(text.size);
        let is_possible = |other: &&mut Text| f64::from(other.size) >= least;
        for other in before.iter_mut().rev().take(most).take_while(is_possible) {
            // Nearly all texts that merely share a phrase end here.
            let may_be = self.nearness.may_be((text.size, text.outline), (other.size, other.outline));
            if !may_be || self.near.are_joined(text.ordinal, other.ordinal) {
                continue;
            }
            let (own, others) = (self.whole(&mut text)?, self.whole(other)?);
            if self.nearness.are(&own.triples, &others.triples) {
                self.near.join(text.ordinal, other.ordinal);
                self.links.add(Cause::Near, &others.member, &own.member)?;
            }
            (text.whole, other.whole) = (Some(own), Some(others));
        }
        let compared = most.min(before.len()) as u64;
        before.push_back(text);
        if before.len() as u64 > BLOCK_MAX {
            before.pop_front();
        }
        Ok(compared)
    }

    fn end(&mut self, size: u64, compared: u64) {
        let missing = size * size.saturating_sub(1) / 2 - compared;
        if missing > 0 {
            self.skipped.blocks += 1;
            self.skipped.biggest = self.skipped.biggest.max(size);
            self.skipped.pairs += missing;
        }
    }

    /// Takes all that is known of a text, reading it first where that was not done.
    fn whole(&mut self, text: &mut Text) -> io::Result<Whole> {
        if let Some(whole) = text.whole.take() {
            return Ok(whole);
        }
        let keys = self.reader.get(text.at)?;
        Ok(Whole { member: member(&keys), triples: keys.triples() })
    }
}

impl Text {
    /// The block, and the text in it.
    fn read(record: [u8; TEXT_BYTES]) -> (u64, Self) {
        // The size begins the second word and the place of the row ends the third: half a word each.
        let (words, halves) = (record.as_chunks().0, record.as_chunks().0);
        let word = |place: usize| u64::from_be_bytes(words[place]);
        let half = |place: usize| u32::from_be_bytes(halves[place]);
        let outline = Outline([word(4), word(5), word(6), word(7)]);
        (word(0), Self { size: half(2), ordinal: half(5), at: word(3), outline, whole: None })
    }
}
