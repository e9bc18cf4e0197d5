//! What the end of a Parquet file says: its columns, their types, and where their parts lie.

use std::io::{Read, Seek, SeekFrom};

use super::thrift::{Broken, Reader};
use super::{Codec, Column, Kind, ParquetError};

/// What a file begins and ends with.
const MAGIC: &[u8; 4] = b"PAR1";
/// What it ends with when its metadata is encrypted.
const ENCRYPTED: &[u8; 4] = b"PARE";
/// A footer beyond this is none.
const FOOTER_MAX: u64 = 256 << 20;

/// What a file holds.
#[derive(Debug)]
pub struct Layout {
    /// How many rows.
    pub rows: u64,
    /// Its columns that are not nested.
    pub columns: Vec<Column>,
    /// Its row groups.
    pub(super) groups: Vec<Group>,
}

/// A row group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) rows: u64,
    /// By column of the layout.
    pub(super) chunks: Vec<Chunk>,
}

/// The part of a column that lies in a row group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    pub(super) codec: Codec,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Layout {
    /// Reads the end of a file.
    pub fn read(source: &mut (impl Read + Seek)) -> Result<Self, ParquetError> {
        let length = source.seek(SeekFrom::End(0))?;
        if length < 12 {
            return Err(ParquetError::NotParquet);
        }
        let mut tail = [0; 8];
        source.seek(SeekFrom::Start(length - 8))?;
        source.read_exact(&mut tail)?;
        let (size, magic) = tail.split_at(4);
        if magic == ENCRYPTED {
            return Err(ParquetError::Encrypted);
        }
        if magic != MAGIC {
            return Err(not_whole(source)?);
        }
        let size = u64::from(u32::from_le_bytes(size.try_into().map_err(|_| ParquetError::NotParquet)?));
        let from = (length - 8).checked_sub(size).filter(|from| *from >= 4 && size <= FOOTER_MAX);
        let from = from.ok_or(ParquetError::Footer)?;
        source.seek(SeekFrom::Start(from))?;
        let mut footer = Vec::new();
        source.take(size).read_to_end(&mut footer)?;
        let metadata = Metadata::read(&footer).map_err(|_| ParquetError::Footer)?;
        metadata.layout(from)
    }

    /// The rows of a row group.
    pub fn group_rows(&self) -> impl Iterator<Item = u64> + '_ {
        self.groups.iter().map(|group| group.rows)
    }

    /// The column of this name.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// Whether what does not end as a Parquet file begins as one.
fn not_whole(source: &mut (impl Read + Seek)) -> Result<ParquetError, ParquetError> {
    let mut head = [0; 4];
    source.seek(SeekFrom::Start(0))?;
    source.read_exact(&mut head)?;
    Ok(if head == *MAGIC { ParquetError::Cut } else { ParquetError::NotParquet })
}

/// The metadata as it is written.
#[derive(Debug, Default)]
struct Metadata {
    rows: u64,
    schema: Vec<Element>,
    groups: Vec<RawGroup>,
}

#[derive(Debug, Default)]
struct Element {
    name: String,
    physical: Option<i64>,
    repetition: i64,
    children: u64,
    converted: Option<i64>,
    /// An integer without sign.
    unsigned: bool,
    /// What a second has of the unit of a point in time.
    per_second: Option<i64>,
    /// Not the number that is stored.
    scaled: bool,
}

#[derive(Debug, Default)]
struct RawGroup {
    rows: u64,
    chunks: Vec<RawChunk>,
}

#[derive(Debug, Default)]
struct RawChunk {
    elsewhere: bool,
    codec: i64,
    size: u64,
    data: u64,
    dictionary: Option<u64>,
}

impl Metadata {
    fn read(footer: &[u8]) -> Result<Self, Broken> {
        let mut metadata = Self::default();
        Reader::new(footer).fields(|id, kind, reader| match id {
            2 => reader.list(kind, |_, reader| {
                metadata.schema.push(Element::read(reader)?);
                Ok(())
            }),
            3 => reader.count(kind).map(|rows| metadata.rows = rows),
            4 => reader.list(kind, |_, reader| {
                metadata.groups.push(RawGroup::read(reader)?);
                Ok(())
            }),
            _ => reader.skip(kind),
        })?;
        Ok(metadata)
    }

    /// The columns that are not nested, and their chunks; `end` is where the data ends.
    fn layout(self, end: u64) -> Result<Layout, ParquetError> {
        let (columns, leaves) = columns(&self.schema).ok_or(ParquetError::Footer)?;
        let mut groups = Vec::new();
        for (number, group) in self.groups.into_iter().enumerate() {
            if group.chunks.len() != leaves {
                return Err(ParquetError::Footer);
            }
            let chunk = |(at, column): &(usize, Column)| {
                group.chunks[*at].checked(end).map_err(|what| ParquetError::Chunk {
                    column: column.name.clone(),
                    group: number as u64 + 1,
                    what,
                })
            };
            let chunks = columns.iter().map(chunk).collect::<Result<_, _>>()?;
            groups.push(Group { rows: group.rows, chunks });
        }
        let rows = groups.iter().try_fold(0_u64, |sum, group| sum.checked_add(group.rows));
        if rows != Some(self.rows) {
            return Err(ParquetError::Footer);
        }
        Ok(Layout {
            rows: self.rows,
            columns: columns.into_iter().map(|(_, column)| column).collect(),
            groups,
        })
    }
}

/// The columns right below the root that are values, each with its place among all leaves; and how many leaves there are.
fn columns(schema: &[Element]) -> Option<(Vec<(usize, Column)>, usize)> {
    let (root, elements) = schema.split_first()?;
    let (mut columns, mut leaves) = (Vec::new(), 0);
    // How many elements are still to come at each depth below the root.
    let mut open = vec![root.children];
    for element in elements {
        while open.last() == Some(&0) {
            open.pop();
        }
        *open.last_mut()? -= 1;
        if element.children > 0 {
            open.push(element.children);
            continue;
        }
        if open.len() == 1 {
            let kind = if element.repetition > 1 { Kind::Other("a list") } else { element.kind() };
            columns.push((
                leaves,
                Column { name: element.name.clone(), kind, optional: element.repetition == 1 },
            ));
        }
        leaves += 1;
    }
    open.iter().all(|left| *left == 0).then_some((columns, leaves))
}

impl Element {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Broken> {
        let mut element = Self::default();
        reader.fields(|id, kind, reader| match id {
            1 => reader.int(kind).map(|n| element.physical = Some(n)),
            3 => reader.int(kind).map(|n| element.repetition = n),
            4 => reader.text(kind).map(|name| name.clone_into(&mut element.name)),
            5 => reader.count(kind).map(|n| element.children = n),
            6 => reader.int(kind).map(|n| element.converted = Some(n)),
            10 => element.read_logical(kind, reader),
            _ => reader.skip(kind),
        })?;
        match element.converted {
            Some(5 | 7 | 8) => element.scaled = true,
            Some(9) => element.per_second = Some(1_000),
            Some(10) => element.per_second = Some(1_000_000),
            Some(11..=14) => element.unsigned = true,
            _ => {}
        }
        Ok(element)
    }

    /// The newer way to say what a number means: a union, of which some say what changes its value.
    fn read_logical(&mut self, kind: u8, reader: &mut Reader<'_>) -> Result<(), Broken> {
        reader.nested(kind, |id, kind, reader| match id {
            // Decimal, time of day, half float.
            5 | 7 | 15 => {
                self.scaled = true;
                reader.skip(kind)
            }
            8 => reader.nested(kind, |id, kind, reader| match id {
                2 => reader.nested(kind, |unit, kind, reader| {
                    self.per_second = [None, Some(1_000), Some(1_000_000), Some(1_000_000_000)]
                        .get(usize::try_from(unit).unwrap_or(0))
                        .copied()
                        .flatten();
                    reader.skip(kind)
                }),
                _ => reader.skip(kind),
            }),
            10 => reader.nested(kind, |id, kind, reader| match id {
                2 => Reader::flag(kind).map(|signed| self.unsigned = !signed),
                _ => reader.skip(kind),
            }),
            _ => reader.skip(kind),
        })
    }

    fn kind(&self) -> Kind {
        if self.scaled {
            return Kind::Other("a decimal or a time of day");
        }
        match (self.physical, self.per_second) {
            (Some(0), _) => Kind::Flag,
            (Some(2), Some(per_second)) => Kind::Time { per_second },
            (Some(1), _) => Kind::Int { bytes: 4, unsigned: self.unsigned },
            (Some(2), _) => Kind::Int { bytes: 8, unsigned: self.unsigned },
            (Some(4), _) => Kind::Real { bytes: 4 },
            (Some(5), _) => Kind::Real { bytes: 8 },
            (Some(6), _) => Kind::Text,
            (Some(3), _) => Kind::Other("an INT96"),
            _ => Kind::Other("an array of fixed length"),
        }
    }
}

impl RawGroup {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Broken> {
        let mut group = Self::default();
        reader.fields(|id, kind, reader| match id {
            1 => reader.list(kind, |_, reader| {
                group.chunks.push(RawChunk::read(reader)?);
                Ok(())
            }),
            3 => reader.count(kind).map(|rows| group.rows = rows),
            _ => reader.skip(kind),
        })?;
        Ok(group)
    }
}

impl RawChunk {
    fn read(reader: &mut Reader<'_>) -> Result<Self, Broken> {
        let mut chunk = Self { codec: -1, ..Self::default() };
        reader.fields(|id, kind, reader| match id {
            1 => {
                chunk.elsewhere = true;
                reader.skip(kind)
            }
            3 => reader.nested(kind, |id, kind, reader| match id {
                4 => reader.int(kind).map(|n| chunk.codec = n),
                7 => reader.count(kind).map(|n| chunk.size = n),
                9 => reader.count(kind).map(|n| chunk.data = n),
                11 => reader.count(kind).map(|n| chunk.dictionary = Some(n)),
                _ => reader.skip(kind),
            }),
            _ => reader.skip(kind),
        })?;
        Ok(chunk)
    }

    /// Where it lies, if that is before `end`.
    fn checked(&self, end: u64) -> Result<Chunk, &'static str> {
        if self.elsewhere {
            return Err("lies in another file");
        }
        // Some writers say 0 where there is no dictionary.
        let from = self.dictionary.filter(|at| *at >= 4 && *at < self.data).unwrap_or(self.data);
        let to = from.checked_add(self.size).filter(|to| from >= 4 && *to <= end);
        let to = to.ok_or("lies outside of the data")?;
        Ok(Chunk { codec: Codec::of(self.codec), from, to })
    }
}
