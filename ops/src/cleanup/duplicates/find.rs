//! Collects keys, sorts them, and links the rows whose keys are equal or whose texts are near.
//!
//! Near texts are found in blocks: texts that share one of their smallest triple hashes, which texts that are near
//! nearly always do. A block holds texts in the order of their content, and in a big one each is compared with the few
//! next to it only, so that a sentence that a million rows share does not make a million million comparisons.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::super::{Cause, Dataset};
use super::clusters::{Clusters, Forest, LINK_BYTES, Links, Member};
use super::keys::{RowKeys, mixed};
use super::words::{Sketch, similarity};
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
    blocks_per_row: usize,
    groups: Sorter,
    blocks: Sorter,
    sketches: Option<BufWriter<File>>,
    sketch_at: u64,
    rows: u64,
}

impl Finder {
    /// Finds duplicates as the dataset declares, with about `memory_bytes` of memory for sorting; what does not fit is
    /// in files without names in `dir`.
    pub fn new(dataset: &Dataset, dir: &Path, memory_bytes: usize) -> Self {
        let similarity = dataset.duplicates.similarity.clamp(0.05, 1.0);
        Self {
            dir: dir.to_owned(),
            memory_bytes,
            merged: dataset.duplicates.merge.clone(),
            similarity,
            blocks_per_row: blocks_per_row(similarity),
            groups: Sorter::new(dir, memory_bytes / 2),
            blocks: Sorter::new(dir, memory_bytes / 2),
            sketches: None,
            sketch_at: 0,
            rows: 0,
        }
    }

    /// Adds the row at this place of the input; places may come in any order, and some may be missing.
    pub fn add(&mut self, ordinal: u64, keys: &RowKeys) -> io::Result<()> {
        self.rows = self.rows.max(ordinal + 1);
        let member = Member { ordinal, rank: keys.rank, row: keys.row }.bytes();
        let near = keys.near.as_ref().map(|near| mixed(keys.within, near.fingerprint));
        for (cause, key) in [(Cause::Exact, keys.exact), (Cause::Slug, keys.slug), (Cause::Near, near)] {
            if let Some(key) = key {
                self.groups.push(&group_key(cause, key), &member)?;
            }
        }
        if let Some(near) = &keys.near {
            self.add_near(keys.within, near, &member)?;
        }
        Ok(())
    }

    fn add_near(&mut self, within: u128, near: &Sketch, member: &[u8]) -> io::Result<()> {
        if self.sketches.is_none() {
            self.sketches = Some(BufWriter::new(tempfile::tempfile_in(&self.dir)?));
        }
        let Some(sketches) = &mut self.sketches else { return Ok(()) };
        let mut payload = member.to_vec();
        payload.extend_from_slice(&self.sketch_at.to_be_bytes());
        let mut bytes = Vec::with_capacity(8 * near.hashes.len());
        for hash in &near.hashes {
            bytes.extend_from_slice(&hash.to_le_bytes());
        }
        let content = xxhash_rust::xxh3::xxh3_64(&bytes);
        for hash in near.hashes.iter().take(self.blocks_per_row) {
            let mut key = mixed(within, u128::from(*hash)).to_be_bytes().to_vec();
            key.extend_from_slice(&near.size.to_be_bytes());
            key.extend_from_slice(&near.fingerprint.to_be_bytes());
            key.extend_from_slice(&content.to_be_bytes());
            self.blocks.push(&key, &payload)?;
        }
        let count = u32::try_from(near.hashes.len()).map_err(io::Error::other)?;
        sketches.write_all(&near.size.to_le_bytes())?;
        sketches.write_all(&count.to_le_bytes())?;
        sketches.write_all(&bytes)?;
        self.sketch_at += 8 + 8 * u64::from(count);
        Ok(())
    }

    /// The clusters that the rows make.
    pub fn finish(self) -> io::Result<Clusters> {
        let mut links = Links::new(&self.dir)?;
        let mut near = Forest::new(self.rows)?;
        link_groups(self.groups.finish()?, &mut links, &mut near)?;
        let mut skipped = Skipped::default();
        if let Some(sketches) = self.sketches {
            let file = sketches.into_inner()?;
            let mut blocks = Blocks {
                file,
                similarity: self.similarity,
                links: &mut links,
                near: &mut near,
                skipped: &mut skipped,
            };
            blocks.link(self.blocks.finish()?)?;
        }
        drop(near);
        Clusters::of(&mut links, &self.merged, self.rows, skipped, &self.dir, self.memory_bytes)
    }
}

/// How many of its smallest hashes a text needs, so that hardly any pair that is near has none in common.
fn blocks_per_row(similarity: f64) -> usize {
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
        let cause = [Cause::Exact, Cause::Slug, Cause::Near][usize::from(key[0]).min(2)];
        if cause == Cause::Near {
            near.join(Member::read(&first).ordinal, Member::read(member).ordinal);
        }
        links.add(cause, &first, member)?;
    }
    Ok(())
}

/// Compares the texts of blocks.
struct Blocks<'a> {
    file: File,
    similarity: f64,
    links: &'a mut Links,
    /// Rows that are linked already need no comparison.
    near: &'a mut Forest,
    skipped: &'a mut Skipped,
}

/// A text of the current block.
struct Text {
    member: [u8; LINK_BYTES],
    ordinal: u64,
    at: u64,
    /// Read when a second text of the block makes it necessary.
    sketch: Option<Sketch>,
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
            let text = Text::read(payload);
            compared += self.compare(text, &mut before, size)?;
            size += 1;
        }
        self.end(size, compared);
        Ok(())
    }

    /// Compares a text with those before it, and says with how many.
    fn compare(&mut self, mut text: Text, before: &mut VecDeque<Text>, size: u64) -> io::Result<u64> {
        let most = if size < BLOCK_MAX { before.len() } else { NEIGHBOURS };
        let mut compared = 0;
        for other in before.iter_mut().rev().take(most) {
            compared += 1;
            if self.near.are_joined(text.ordinal, other.ordinal) {
                continue;
            }
            let (own, others) = (self.sketch(&mut text)?, self.sketch(other)?);
            // The smaller set cannot have more in common than all of it.
            let is_possible = f64::from(others.size) >= f64::from(own.size) * self.similarity;
            if is_possible && similarity(&own, &others) >= self.similarity {
                self.near.join(text.ordinal, other.ordinal);
                self.links.add(Cause::Near, &other.member, &text.member)?;
            }
            (text.sketch, other.sketch) = (Some(own), Some(others));
        }
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

    /// Takes the sketch of a text, reading it first where that was not done.
    fn sketch(&mut self, text: &mut Text) -> io::Result<Sketch> {
        if let Some(sketch) = text.sketch.take() {
            return Ok(sketch);
        }
        self.file.seek(SeekFrom::Start(text.at))?;
        let mut head = [0; 8];
        self.file.read_exact(&mut head)?;
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let mut bytes = vec![0; word(4) as usize * 8];
        self.file.read_exact(&mut bytes)?;
        let (hashes, _) = bytes.as_chunks();
        let hashes = hashes.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        Ok(Sketch { fingerprint: 0, size: word(0), hashes })
    }
}

impl Text {
    fn read(payload: &[u8]) -> Self {
        let mut member = [0; LINK_BYTES];
        member.copy_from_slice(&payload[..LINK_BYTES]);
        let mut at = [0; 8];
        at.copy_from_slice(&payload[LINK_BYTES..]);
        Self { member, ordinal: Member::read(&member).ordinal, at: u64::from_be_bytes(at), sketch: None }
    }
}
