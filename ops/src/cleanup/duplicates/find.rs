//! Collects keys, sorts them, and links the rows whose keys are equal or whose texts are near.
//!
//! Most keys belong to one row only. So a short mark of each key comes first, and only the keys whose marks meet are
//! sorted and compared.
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
use super::clusters::{Clusters, Forest, LINK_BYTES, Links, Member};
use super::keys::{RowKeys, mixed};
use super::marks::{Mark, Marks};
use super::stored::{KeysReader, Stored};
use super::words::{Nearness, Outline, Sketch};
use crate::sort::{Sorted, Sorter};

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
    keys: Option<BufWriter<File>>,
    keys_at: u64,
    marks: Marks,
    rows: u64,
}

/// The keys of some rows as they are on disk, with a mark of each key: made by many threads, added by one.
#[derive(Debug, Default)]
pub struct Keyed {
    bytes: Vec<u8>,
    /// Places count from the first of these rows.
    marks: Vec<(u64, Mark)>,
    /// Behind the last row.
    rows: u64,
}

impl Keyed {
    /// Appends the keys of the row at this place of the input, which so many of its hashes are looked up for.
    pub(super) fn push(&mut self, ordinal: u64, keys: &RowKeys<'_>, blocks: usize) {
        self.rows = self.rows.max(ordinal + 1);
        let at = self.bytes.len() as u64;
        for (cause, key) in groups(keys) {
            self.marks.push((short(group(cause, key)), Mark::new(at, cause as u8)));
        }
        if let Some(near) = keys.near {
            for (block, hash) in (BLOCKS..).zip(near.hashes.iter().take(blocks)) {
                self.marks.push((short(mixed_short(keys.within, *hash)), Mark::new(at, block)));
            }
        }
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
            marks: Marks::new(dir, memory_bytes / 2),
            rows: 0,
        }
    }

    /// Adds rows; their places may come in any order, and some may be missing.
    pub fn add(&mut self, keyed: &Keyed) -> io::Result<()> {
        self.rows = self.rows.max(keyed.rows);
        self.marks.add(&keyed.marks, self.keys_at)?;
        let file = match &mut self.keys {
            Some(file) => file,
            none => none.insert(BufWriter::with_capacity(256 << 10, tempfile::tempfile_in(&self.dir)?)),
        };
        file.write_all(&keyed.bytes)?;
        self.keys_at += keyed.bytes.len() as u64;
        Ok(())
    }

    /// The clusters that the rows make.
    pub fn finish(self) -> io::Result<Clusters> {
        let mut links = Links::new(&self.dir)?;
        let mut near = Forest::new(self.rows)?;
        let mut skipped = Skipped::default();
        let (mut groups, mut blocks) =
            (Sorter::new(&self.dir, self.memory_bytes / 2), Sorter::new(&self.dir, self.memory_bytes / 2));
        let mut reader = None;
        if let Some(keys) = self.keys {
            let reader = reader.insert(KeysReader::new(keys.into_inner()?)?);
            read_met(self.marks.met()?, reader, &mut groups, &mut blocks)?;
            link_groups(groups.finish()?, &mut links, &mut near)?;
            let mut blocks_of = Blocks {
                reader,
                nearness: Nearness::new(self.similarity),
                links: &mut links,
                near: &mut near,
                skipped: &mut skipped,
            };
            blocks_of.link(blocks.finish()?)?;
        }
        drop(near);
        thread::scope(|scope| {
            // To free the pages of a big file takes a while.
            scope.spawn(|| drop(reader));
            Clusters::of(&mut links, &self.merged, self.rows, skipped, &self.dir, self.memory_bytes)
        })
    }
}

/// The first of the marks of blocks; those of groups are their causes.
const BLOCKS: u8 = 3;
const CAUSES: [Cause; 3] = [Cause::Exact, Cause::Slug, Cause::Near];

/// Keys that are equal in rows that are the same.
fn groups(keys: &RowKeys<'_>) -> impl Iterator<Item = (Cause, u128)> {
    let near = keys.near.map(|near| mixed(keys.within, near.fingerprint));
    [(Cause::Exact, keys.exact), (Cause::Slug, keys.slug), (Cause::Near, near)]
        .into_iter()
        .filter_map(|(cause, key)| Some((cause, key?)))
}

/// Half of a digest is enough for a mark.
#[expect(clippy::cast_possible_truncation, reason = "that is what it is for")]
fn short(key: u128) -> u64 {
    (key >> 64) as u64 ^ key as u64
}

/// A mark for a key of a cause.
fn group(cause: Cause, key: u128) -> u128 {
    key ^ (cause as u128) << 32
}

/// A mark for a block.
#[expect(clippy::cast_possible_truncation, reason = "half of it is enough for a mark")]
fn mixed_short(within: u128, hash: u64) -> u128 {
    u128::from((within as u64 ^ hash).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// Reads the keys whose marks met, and gives them to be sorted.
fn read_met(
    mut met: Sorted,
    reader: &mut KeysReader,
    groups_out: &mut Sorter,
    blocks: &mut Sorter,
) -> io::Result<()> {
    let mut scratch = Scratch::default();
    while let Some((mark, _)) = met.next()? {
        let mark = Mark::read(mark);
        let keys = reader.get(mark.at())?;
        if let Some(block) = mark.key().checked_sub(BLOCKS) {
            if let Some(hash) = keys.hash(usize::from(block)) {
                let block = mixed(keys.within(), u128::from(hash));
                scratch.push_block(blocks, block, &keys, mark.at())?;
            }
        } else if let Some((cause, key)) = CAUSES
            .into_iter()
            .find(|cause| *cause as u8 == mark.key())
            .and_then(|cause| Some((cause, keys.key(cause)?)))
        {
            groups_out.push(&group_key(cause, key), &member(&keys))?;
        }
    }
    Ok(())
}

/// A row as links know it.
fn member(keys: &Stored<'_>) -> [u8; LINK_BYTES] {
    Member { ordinal: keys.ordinal(), rank: keys.rank(), row: keys.row() }.bytes()
}

/// Buffers for what is sorted.
#[derive(Default)]
struct Scratch {
    key: Vec<u8>,
    payload: Vec<u8>,
}

impl Scratch {
    fn push_block(&mut self, blocks: &mut Sorter, block: u128, near: &Stored<'_>, at: u64) -> io::Result<()> {
        let Self { key, payload } = self;
        key.clear();
        key.extend_from_slice(&block.to_be_bytes());
        key.extend_from_slice(&near.size().to_be_bytes());
        key.extend_from_slice(&near.fingerprint().to_be_bytes());
        key.extend_from_slice(&near.content().to_be_bytes());
        payload.clear();
        for word in [near.ordinal(), at].into_iter().chain(near.outline().0) {
            payload.extend_from_slice(&word.to_be_bytes());
        }
        blocks.push(key, payload)
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
fn link_groups(mut groups: Sorted, links: &mut Links, near: &mut Forest) -> io::Result<()> {
    let mut current: Vec<u8> = Vec::new();
    let mut first = Vec::new();
    while let Some((key, member)) = groups.next()? {
        if key != current {
            key.clone_into(&mut current);
            member.clone_into(&mut first);
            continue;
        }
        let cause = CAUSES[usize::from(key[0]).min(2)];
        if cause == Cause::Near {
            near.join(Member::read(&first).ordinal, Member::read(member).ordinal);
        }
        links.add(cause, &first, member)?;
    }
    Ok(())
}

/// Compares the texts of blocks.
struct Blocks<'a> {
    reader: &'a mut KeysReader,
    nearness: Nearness,
    links: &'a mut Links,
    /// Rows that are linked already need no comparison.
    near: &'a mut Forest,
    skipped: &'a mut Skipped,
}

/// A text of the current block.
struct Text {
    /// How many different triples of words it has; a block is sorted by it.
    size: u32,
    ordinal: u64,
    at: u64,
    outline: Outline,
    /// Read when a second text of the block makes it necessary.
    whole: Option<Whole>,
}

/// All that is known of a text.
struct Whole {
    member: [u8; LINK_BYTES],
    sketch: Sketch,
}

const BLOCK_KEY_BYTES: usize = 16;

impl Blocks<'_> {
    fn link(&mut self, mut sorted: Sorted) -> io::Result<()> {
        let mut current: Vec<u8> = Vec::new();
        let mut before: VecDeque<Text> = VecDeque::new();
        let (mut size, mut compared) = (0_u64, 0_u64);
        while let Some((key, payload)) = sorted.next()? {
            let block = &key[..BLOCK_KEY_BYTES];
            if block != current {
                self.end(size, compared);
                (size, compared) = (0, 0);
                block.clone_into(&mut current);
                before.clear();
            }
            let text = Text::read(key, payload);
            compared += self.compare(text, &mut before, size)?;
            size += 1;
        }
        self.end(size, compared);
        Ok(())
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
            if self.nearness.are(&own.sketch, &others.sketch) {
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
        Ok(Whole { member: member(&keys), sketch: keys.sketch() })
    }
}

impl Text {
    fn read(key: &[u8], payload: &[u8]) -> Self {
        let size = key[BLOCK_KEY_BYTES..].first_chunk().expect("the size is in the key");
        let (words, _) = payload.as_chunks();
        let word = |place: usize| u64::from_be_bytes(words[place]);
        Self {
            size: u32::from_be_bytes(*size),
            ordinal: word(0),
            at: word(1),
            outline: Outline([word(2), word(3), word(4), word(5)]),
            whole: None,
        }
    }
}
