//! Makes clusters of linked rows, and hands them out in the order of their first rows.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use super::super::Cause;
use super::find::Skipped;
use crate::sort::{Sorted, Sorter};

/// Rows that are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Made of the contents of its rows, whatever their order: 16 hexadecimal digits.
    pub id: String,
    /// Why, the strongest first.
    pub causes: Vec<Cause>,
    /// Whether these rows are to be merged; otherwise a person should look at them.
    pub merged: bool,
    /// Places of the rows in the input, ascending; two at least.
    pub members: Vec<u64>,
    /// The one of them that stays, or is proposed to.
    pub survivor: u64,
}

/// A row as links know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) ordinal: u32,
    pub(super) rank: u32,
    pub(super) row: u128,
}

/// Bytes of a member.
pub(super) const LINK_BYTES: usize = 4 + 4 + 16;

impl Member {
    pub(super) fn bytes(self) -> [u8; LINK_BYTES] {
        let mut bytes = [0; LINK_BYTES];
        bytes[..4].copy_from_slice(&self.ordinal.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.rank.to_be_bytes());
        bytes[8..].copy_from_slice(&self.row.to_be_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let row = bytes[8..LINK_BYTES].try_into().expect("sixteen bytes");
        Self { ordinal: word(0), rank: word(4), row: u128::from_be_bytes(row) }
    }
}

/// Causes, the strongest first, which is their order as numbers too.
pub(super) const CAUSES: [Cause; 3] = [Cause::Exact, Cause::Slug, Cause::Near];

/// Pairs of rows that are the same, by cause, on disk.
#[derive(Debug)]
pub(super) struct Links {
    files: Vec<BufWriter<File>>,
}

impl Links {
    pub(super) fn new(dir: &Path) -> io::Result<Self> {
        let file = |_| Ok(BufWriter::new(tempfile::tempfile_in(dir)?));
        Ok(Self { files: CAUSES.iter().map(file).collect::<io::Result<_>>()? })
    }

    pub(super) fn add(&mut self, cause: Cause, a: &[u8], b: &[u8]) -> io::Result<()> {
        let file = &mut self.files[cause as usize];
        file.write_all(a)?;
        file.write_all(b)
    }

    pub(super) fn each(
        &mut self,
        causes: &[Cause],
        mut see: impl FnMut(Cause, Member, Member) -> io::Result<()>,
    ) -> io::Result<()> {
        for cause in causes {
            let file = &mut self.files[*cause as usize];
            file.flush()?;
            let file = file.get_mut();
            let length = file.stream_position()?;
            file.rewind()?;
            let mut pairs = BufReader::with_capacity(64 << 10, &mut *file);
            let mut pair = [0; 2 * LINK_BYTES];
            for _ in 0..length / pair.len() as u64 {
                pairs.read_exact(&mut pair)?;
                see(*cause, Member::read(&pair), Member::read(&pair[LINK_BYTES..]))?;
            }
            file.seek(io::SeekFrom::Start(length))?;
        }
        Ok(())
    }
}

/// Which rows are connected: a tree for each set, with its first row as the root. While few are, only those are
/// remembered; of many, four bytes for each row.
#[derive(Debug, Clone)]
pub(super) struct Forest {
    few: HashMap<u32, u32>,
    many: Vec<u32>,
    rows: u32,
}

/// What a row among few costs more than one among many.
const FEW_COST: usize = 6;

impl Forest {
    pub(super) fn new(rows: u64) -> io::Result<Self> {
        let rows = u32::try_from(rows).map_err(|_| io::Error::other("more than four billion rows"))?;
        Ok(Self { few: HashMap::new(), many: Vec::new(), rows })
    }

    fn parent(&self, row: u32) -> u32 {
        if self.many.is_empty() {
            self.few.get(&row).copied().unwrap_or(row)
        } else {
            self.many[row as usize]
        }
    }

    fn set_parent(&mut self, row: u32, parent: u32) {
        if self.many.is_empty() && (self.few.len() + 1) * FEW_COST > self.rows as usize {
            self.many = (0..self.rows).collect();
            for (row, parent) in std::mem::take(&mut self.few) {
                self.many[row as usize] = parent;
            }
        }
        match self.many.get_mut(row as usize) {
            Some(place) => *place = parent,
            None => drop(self.few.insert(row, parent)),
        }
    }

    fn root(&mut self, ordinal: u32) -> u32 {
        let mut at = ordinal;
        loop {
            let parent = self.parent(at);
            if parent == at {
                return at;
            }
            let above = self.parent(parent);
            if above != parent {
                self.set_parent(at, above);
            }
            at = above;
        }
    }

    pub(super) fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.set_parent(a.max(b), a.min(b));
        }
    }

    pub(super) fn are_joined(&mut self, a: u32, b: u32) -> bool {
        self.root(a) == self.root(b)
    }
}

fn each(
    links: &mut [Links],
    causes: &[Cause],
    mut see: impl FnMut(Cause, Member, Member) -> io::Result<()>,
) -> io::Result<()> {
    links.iter_mut().try_for_each(|links| links.each(causes, &mut see))
}

/// Bytes of the first row of a set.
const ROOT_BYTES: usize = 4;

/// Clusters, in the order of their first rows.
#[derive(Debug)]
pub struct Clusters {
    sorted: Sorted,
    skipped: Skipped,
    /// A bit for each row.
    members: Vec<u64>,
}

impl Clusters {
    pub(super) fn of(
        links: &mut [Links],
        merged: &[Cause],
        rows: u64,
        skipped: Skipped,
        dir: &Path,
        memory_bytes: usize,
    ) -> io::Result<Self> {
        let mut out = Sorter::new(dir, memory_bytes);
        let mut in_one = vec![0; usize::try_from(rows.div_ceil(64)).map_err(io::Error::other)?];
        let mut known = Forest::new(rows)?;
        let to_merge: Vec<Cause> = CAUSES.into_iter().filter(|cause| merged.contains(cause)).collect();
        let proposed = CAUSES.into_iter().filter(|cause| !merged.contains(cause));
        let levels = [(true, to_merge)].into_iter().chain(proposed.map(|cause| (false, vec![cause])));
        for (place, (is_merged, causes)) in levels.enumerate() {
            let mut forest = Forest::new(rows)?;
            each(links, &causes, |_, a, b| {
                forest.join(a.ordinal, b.ordinal);
                Ok(())
            })?;
            let mut members = Sorter::new(dir, memory_bytes);
            each(links, &causes, |cause, a, b| {
                for member in [a, b] {
                    let mut key = [0; ROOT_BYTES + LINK_BYTES];
                    key[..ROOT_BYTES].copy_from_slice(&forest.root(member.ordinal).to_be_bytes());
                    key[ROOT_BYTES..].copy_from_slice(&member.bytes());
                    members.push(&key, &[1 << cause as u8])?;
                }
                Ok(())
            })?;
            drop(forest);
            gather(members.finish()?, &mut known, is_merged, &mut |cluster: &Growing| {
                cluster.members.iter().for_each(|row| in_one[*row as usize / 64] |= 1 << (row % 64));
                out.push(&cluster.key(place), &cluster.payload(is_merged))
            })?;
            each(links, &causes, |_, a, b| {
                known.join(a.ordinal, b.ordinal);
                Ok(())
            })?;
        }
        Ok(Self { sorted: out.finish()?, skipped, members: in_one })
    }

    /// What was not compared.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Whether the row at this place of the input is in a cluster.
    pub fn has(&self, ordinal: u64) -> bool {
        let word = usize::try_from(ordinal / 64).ok().and_then(|at| self.members.get(at));
        word.is_some_and(|word| word >> (ordinal % 64) & 1 == 1)
    }

    /// The next cluster.
    #[expect(clippy::should_implement_trait, reason = "it can fail")]
    pub fn next(&mut self) -> io::Result<Option<Cluster>> {
        Ok(self.sorted.next()?.map(|(_, payload)| Growing::read(payload)))
    }
}

/// Makes clusters of members that are sorted by set and place.
fn gather(
    mut sorted: Sorted,
    known: &mut Forest,
    is_merged: bool,
    out: &mut dyn FnMut(&Growing) -> io::Result<()>,
) -> io::Result<()> {
    let mut current: Option<(Vec<u8>, Growing)> = None;
    while let Some((key, causes)) = sorted.next()? {
        let (root, member) = key.split_at(ROOT_BYTES);
        let member = Member::read(member);
        match &mut current {
            Some((of, cluster)) if of == root => cluster.add(member, causes[0]),
            _ => {
                if let Some((_, done)) = current.replace((root.to_owned(), Growing::new(member, causes[0]))) {
                    emit(&done, known, is_merged, out)?;
                }
            }
        }
    }
    if let Some((_, done)) = current {
        emit(&done, known, is_merged, out)?;
    }
    Ok(())
}

/// Hands a cluster on, unless it only proposes what stronger causes say already.
fn emit(
    cluster: &Growing,
    known: &mut Forest,
    is_merged: bool,
    out: &mut dyn FnMut(&Growing) -> io::Result<()>,
) -> io::Result<()> {
    let first = cluster.members[0];
    let is_known = cluster.members.iter().all(|member| known.are_joined(first, *member));
    if is_known && !is_merged { Ok(()) } else { out(cluster) }
}

/// A cluster while its members are read.
struct Growing {
    members: Vec<u32>,
    causes: u8,
    best: Member,
    /// Sum of the digests of the rows, which has no order.
    rows: u128,
}

impl Growing {
    fn new(member: Member, causes: u8) -> Self {
        Self { members: vec![member.ordinal], causes, best: member, rows: member.row }
    }

    fn add(&mut self, member: Member, causes: u8) {
        self.causes |= causes;
        if self.members.last() == Some(&member.ordinal) {
            return;
        }
        self.members.push(member.ordinal);
        self.rows = self.rows.wrapping_add(member.row);
        if member.rank > self.best.rank {
            self.best = member;
        }
    }

    fn key(&self, level: usize) -> [u8; 9] {
        let mut key = [u8::try_from(level).unwrap_or(u8::MAX); 9];
        key[..8].copy_from_slice(&u64::from(self.members[0]).to_be_bytes());
        key
    }

    fn payload(&self, is_merged: bool) -> Vec<u8> {
        let mut payload = vec![self.causes, u8::from(is_merged)];
        let id = xxhash_rust::xxh3::xxh3_64(&self.rows.to_le_bytes());
        let members = self.members.iter().map(|member| u64::from(*member));
        for word in [id, self.best.ordinal.into()].into_iter().chain(members) {
            payload.extend_from_slice(&word.to_be_bytes());
        }
        payload
    }

    fn read(payload: &[u8]) -> Cluster {
        let (words, _) = payload[2..].as_chunks();
        let mut words = words.iter().map(|word| u64::from_be_bytes(*word));
        Cluster {
            id: format!("{:016x}", words.next().unwrap_or_default()),
            causes: CAUSES.into_iter().filter(|cause| payload[0] & 1 << *cause as u8 != 0).collect(),
            merged: payload[1] != 0,
            survivor: words.next().unwrap_or_default(),
            members: words.collect(),
        }
    }
}
