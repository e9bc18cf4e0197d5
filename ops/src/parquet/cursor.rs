//! The rows of a row group: some columns side by side, so many rows at a time as their pages have in common.

use std::io::{Read, Seek};

use super::encoding::{Hybrid, deltas, split};
use super::footer::{Chunk, Layout};
use super::page::{self, Content, PageError, Unpacker};
use super::{Column, Fault, Kind, ParquetError};

/// At most so many rows at a time: a few columns of them fit in the nearest caches.
const BATCH: usize = 1024;

/// One value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    /// None.
    Null,
    /// A truth value.
    Flag(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that only a type without sign holds.
    Huge(u64),
    /// A floating-point number.
    Real(f64),
    /// A point in time: units since 1970, and how many of them a second has.
    Time(i64, i64),
    /// A text.
    Text(&'a str),
    /// Bytes that are no text.
    Bytes,
}

/// The rows of a row group.
#[derive(Debug)]
pub struct Rows<'l, S> {
    source: S,
    cursors: Vec<Cursor<'l>>,
    unpacker: Unpacker,
    left: u64,
}

impl<'l, S: Read + Seek> Rows<'l, S> {
    /// The rows of row group `group` (from 0), of these columns of the layout.
    pub fn open(
        layout: &'l Layout,
        group: usize,
        columns: &[usize],
        source: S,
    ) -> Result<Self, ParquetError> {
        let group = &layout.groups[group];
        let cursors = columns.iter().map(|at| {
            let column = &layout.columns[*at];
            if let Kind::Other(what) = column.kind {
                return Err(ParquetError::Column { column: column.name.clone(), what: Fault::Kind(what) });
            }
            Ok(Cursor::new(column, group.chunks[*at]))
        });
        let cursors = cursors.collect::<Result<_, _>>()?;
        Ok(Self { source, cursors, unpacker: Unpacker::default(), left: group.rows })
    }

    /// Goes on to the next rows; how many they are, and 0 at the end.
    pub fn advance(&mut self) -> Result<usize, ParquetError> {
        let mut rows = usize::try_from(self.left).map_or(BATCH, |left| left.min(BATCH));
        for cursor in &mut self.cursors {
            if rows > 0 {
                cursor.load(&mut self.source, &mut self.unpacker).map_err(|e| e.of(&cursor.column.name))?;
                rows = rows.min(cursor.left);
            } else if cursor.left > 0 {
                return Err(PageError::from(Fault::Rows).of(&cursor.column.name));
            }
        }
        for cursor in &mut self.cursors {
            cursor.take(rows).map_err(|fault| PageError::from(fault).of(&cursor.column.name))?;
        }
        self.left -= rows as u64;
        Ok(rows)
    }

    /// The value of a column, by its place among those asked for, in a row of the present ones.
    pub fn cell(&self, column: usize, row: usize) -> Cell<'_> {
        self.cursors[column].cell(row)
    }
}

/// The values that pages refer to by number.
#[derive(Debug)]
enum Dictionary {
    None,
    Ints(Vec<i64>),
    Reals(Vec<f64>),
    /// None is no text.
    Texts(Vec<Option<Box<str>>>),
}

/// How the values of the page at hand are written, and where the next one is.
#[derive(Debug)]
enum Data {
    Plain { at: usize },
    Bits { bit: usize },
    Numbers(Hybrid),
    Flags(Hybrid),
    Ints { all: Vec<i64>, next: usize },
    Texts { lengths: Vec<i64>, next: usize, at: usize },
    Split { from: usize, next: usize },
}

/// One column of a row group.
#[derive(Debug)]
struct Cursor<'l> {
    column: &'l Column,
    chunk: Chunk,
    /// Where the next page begins.
    at: u64,
    page: Vec<u8>,
    /// Where the values of the page end.
    end: usize,
    /// Rows of the page that are not taken.
    left: usize,
    levels: Option<Hybrid>,
    data: Data,
    dictionary: Dictionary,
    /// Which of the present rows have a value; empty when all have.
    present: Vec<bool>,
    ints: Vec<i64>,
    reals: Vec<f64>,
    /// Numbers of texts in the dictionary.
    numbers: Vec<u32>,
    /// Texts in the page: where they begin, and their lengths.
    spans: Vec<(usize, usize)>,
}

impl<'l> Cursor<'l> {
    fn new(column: &'l Column, chunk: Chunk) -> Self {
        Self {
            column,
            chunk,
            at: chunk.from,
            page: Vec::new(),
            end: 0,
            left: 0,
            levels: None,
            data: Data::Plain { at: 0 },
            dictionary: Dictionary::None,
            present: Vec::new(),
            ints: Vec::new(),
            reals: Vec::new(),
            numbers: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// Sees to it that rows are left of the page at hand.
    fn load(&mut self, source: &mut (impl Read + Seek), unpacker: &mut Unpacker) -> Result<(), PageError> {
        while self.left == 0 {
            if self.at >= self.chunk.to {
                return Err(Fault::Rows.into());
            }
            let (content, length, next) = page::read(source, &self.chunk, self.at, unpacker, &mut self.page)?;
            (self.at, self.end) = (next, length);
            match content {
                Content::Other => {}
                Content::Dictionary { values, encoding: 0 | 2 } => self.read_dictionary(values)?,
                Content::Dictionary { encoding, .. } => return Err(unsupported(encoding).into()),
                Content::Data { values, encoding, levels } => {
                    let mut at = 0;
                    self.levels = None;
                    if self.column.optional {
                        if levels != 3 {
                            return Err(unsupported(levels).into());
                        }
                        let to = 4 + self.length_at(0)?;
                        self.levels = Some(Hybrid::new(4, self.inside(to)?, 1)?);
                        at = to;
                    }
                    self.begin(values, encoding, at)?;
                }
                Content::Data2 { values, encoding, levels, repetition, .. } => {
                    let from = usize::try_from(repetition).map_err(|_| Fault::Damaged)?;
                    let at = usize::try_from(levels).ok().and_then(|levels| from.checked_add(levels));
                    let at = self.inside(at.ok_or(Fault::Damaged)?)?;
                    self.levels = if self.column.optional { Some(Hybrid::new(from, at, 1)?) } else { None };
                    self.begin(values, encoding, at)?;
                }
            }
        }
        Ok(())
    }

    fn inside(&self, at: usize) -> Result<usize, Fault> {
        if at <= self.end { Ok(at) } else { Err(Fault::Damaged) }
    }

    /// The length written at a place of the page.
    fn length_at(&self, at: usize) -> Result<usize, Fault> {
        let bytes = self.page.get(at..at + 4).filter(|_| at + 4 <= self.end).ok_or(Fault::Damaged)?;
        let length = u32::from_le_bytes(bytes.try_into().map_err(|_| Fault::Damaged)?);
        usize::try_from(length).map_err(|_| Fault::Damaged)
    }

    fn read_dictionary(&mut self, values: u64) -> Result<(), Fault> {
        let count = usize::try_from(values).map_err(|_| Fault::Damaged)?;
        self.clear();
        self.plain(0, count)?;
        self.dictionary = match self.column.kind {
            Kind::Int { .. } | Kind::Time { .. } => Dictionary::Ints(std::mem::take(&mut self.ints)),
            Kind::Real { .. } => Dictionary::Reals(std::mem::take(&mut self.reals)),
            Kind::Text => {
                let text = |(at, length): &(usize, usize)| {
                    std::str::from_utf8(&self.page[*at..*at + *length]).ok().map(Box::from)
                };
                Dictionary::Texts(self.spans.iter().map(text).collect())
            }
            Kind::Flag | Kind::Other(_) => return Err(Fault::Damaged),
        };
        Ok(())
    }

    /// Prepares the values from `at` to the end of the page.
    fn begin(&mut self, values: u64, encoding: i64, at: usize) -> Result<(), Fault> {
        self.left = usize::try_from(values).map_err(|_| Fault::Damaged)?;
        let is_number = !matches!(self.column.kind, Kind::Flag | Kind::Text | Kind::Other(_));
        let is_whole = is_number && !matches!(self.column.kind, Kind::Real { .. });
        self.data = match encoding {
            0 if self.column.kind == Kind::Flag => Data::Bits { bit: at * 8 },
            0 => Data::Plain { at },
            2 | 8 => {
                // A page without values may have nothing here.
                let width = if at < self.end { self.page[at] } else { 0 };
                Data::Numbers(Hybrid::new((at + 1).min(self.end), self.end, width.into())?)
            }
            3 if self.column.kind == Kind::Flag => {
                let to = at + 4 + if at == self.end { 0 } else { self.length_at(at)? };
                Data::Flags(Hybrid::new((at + 4).min(self.end), to.min(self.end), 1)?)
            }
            5 if is_whole => Data::Ints { all: self.deltas(at)?.0, next: 0 },
            6 if self.column.kind == Kind::Text => {
                let (lengths, at) = self.deltas(at)?;
                Data::Texts { lengths, next: 0, at }
            }
            9 if is_number => Data::Split { from: at, next: 0 },
            other => return Err(unsupported(other)),
        };
        Ok(())
    }

    fn deltas(&self, at: usize) -> Result<(Vec<i64>, usize), Fault> {
        if at == self.end {
            return Ok((Vec::new(), at));
        }
        let (mut all, at) = deltas(&self.page, at, self.end)?;
        if let Kind::Int { bytes: 4, unsigned } = self.column.kind {
            for value in &mut all {
                *value = narrow(*value, unsigned);
            }
        }
        Ok((all, at))
    }

    fn clear(&mut self) {
        self.ints.clear();
        self.reals.clear();
        self.numbers.clear();
        self.spans.clear();
    }

    /// Takes the next rows of the page at hand; there are so many.
    fn take(&mut self, rows: usize) -> Result<(), Fault> {
        self.left -= rows;
        self.clear();
        self.present.clear();
        let mut count = rows;
        if let Some(levels) = &mut self.levels {
            if let Some(level) = levels.same(&self.page, rows)? {
                if level == 0 {
                    self.present.resize(rows, false);
                    count = 0;
                }
            } else {
                levels.read(&self.page, rows, &mut self.numbers)?;
                self.present.extend(self.numbers.drain(..).map(|level| level == 1));
                count = self.present.iter().filter(|present| **present).count();
            }
        }
        self.values(count)?;
        if count < rows {
            spread(&mut self.ints, &self.present);
            spread(&mut self.reals, &self.present);
            spread(&mut self.numbers, &self.present);
            spread(&mut self.spans, &self.present);
        }
        Ok(())
    }

    /// Reads the next `count` values.
    fn values(&mut self, count: usize) -> Result<(), Fault> {
        match &mut self.data {
            Data::Plain { at } => {
                let at = *at;
                let at = self.plain(at, count)?;
                self.data = Data::Plain { at };
            }
            Data::Bits { bit } => {
                let from = *bit;
                *bit += count;
                if bit.div_ceil(8) > self.end {
                    return Err(Fault::Damaged);
                }
                let is_set = |bit: usize| (self.page[bit / 8] >> (bit % 8)) & 1;
                self.ints.extend((from..from + count).map(|bit| i64::from(is_set(bit))));
            }
            Data::Numbers(numbers) => {
                numbers.read(&self.page, count, &mut self.numbers)?;
                self.look_up()?;
            }
            Data::Flags(flags) => {
                flags.read(&self.page, count, &mut self.numbers)?;
                self.ints.extend(self.numbers.drain(..).map(i64::from));
            }
            Data::Ints { all, next } => {
                self.ints.extend_from_slice(all.get(*next..*next + count).ok_or(Fault::Damaged)?);
                *next += count;
            }
            Data::Texts { lengths, next, at } => {
                for length in lengths.get(*next..*next + count).ok_or(Fault::Damaged)? {
                    let length = usize::try_from(*length).map_err(|_| Fault::Damaged)?;
                    if length > self.end - *at {
                        return Err(Fault::Damaged);
                    }
                    self.spans.push((*at, length));
                    *at += length;
                }
                *next += count;
            }
            Data::Split { from, next } => {
                let (from, first) = (*from, *next);
                *next += count;
                self.split(from, first, count)?;
            }
        }
        Ok(())
    }

    /// Numbers of the dictionary become its values; those of texts stay numbers.
    fn look_up(&mut self) -> Result<(), Fault> {
        let length = match &self.dictionary {
            Dictionary::None => 0,
            Dictionary::Ints(all) => all.len(),
            Dictionary::Reals(all) => all.len(),
            Dictionary::Texts(all) => all.len(),
        };
        if self.numbers.iter().any(|number| *number as usize >= length) {
            return Err(Fault::Damaged);
        }
        match &self.dictionary {
            Dictionary::None | Dictionary::Texts(_) => {}
            Dictionary::Ints(all) => self.ints.extend(self.numbers.drain(..).map(|n| all[n as usize])),
            Dictionary::Reals(all) => self.reals.extend(self.numbers.drain(..).map(|n| all[n as usize])),
        }
        Ok(())
    }

    /// Reads `count` plain values at a place of the page; where they end.
    fn plain(&mut self, at: usize, count: usize) -> Result<usize, Fault> {
        let bytes = |width: usize| {
            let to = count.checked_mul(width).and_then(|length| at.checked_add(length));
            let to = to.filter(|to| *to <= self.end).ok_or(Fault::Damaged)?;
            Ok((&self.page[at..to], to))
        };
        Ok(match self.column.kind {
            Kind::Int { bytes: 4, unsigned } => {
                let (bytes, to) = bytes(4)?;
                let number = |b: &[u8]| i32::from_le_bytes(b.try_into().unwrap_or_default());
                let wide = |n: i32| if unsigned { i64::from(n.cast_unsigned()) } else { i64::from(n) };
                self.ints.extend(bytes.chunks_exact(4).map(|b| wide(number(b))));
                to
            }
            Kind::Int { .. } | Kind::Time { .. } => {
                let (bytes, to) = bytes(8)?;
                let number = |b: &[u8]| i64::from_le_bytes(b.try_into().unwrap_or_default());
                self.ints.extend(bytes.chunks_exact(8).map(number));
                to
            }
            Kind::Real { bytes: 4 } => {
                let (bytes, to) = bytes(4)?;
                let number = |b: &[u8]| f32::from_le_bytes(b.try_into().unwrap_or_default());
                self.reals.extend(bytes.chunks_exact(4).map(|b| f64::from(number(b))));
                to
            }
            Kind::Real { .. } => {
                let (bytes, to) = bytes(8)?;
                let number = |b: &[u8]| f64::from_le_bytes(b.try_into().unwrap_or_default());
                self.reals.extend(bytes.chunks_exact(8).map(number));
                to
            }
            Kind::Text => {
                let mut at = at;
                for _ in 0..count {
                    let length = self.length_at(at)?;
                    at += 4;
                    if length > self.end - at {
                        return Err(Fault::Damaged);
                    }
                    self.spans.push((at, length));
                    at += length;
                }
                at
            }
            Kind::Flag | Kind::Other(_) => return Err(Fault::Damaged),
        })
    }

    fn split(&mut self, from: usize, first: usize, count: usize) -> Result<(), Fault> {
        let bytes = &self.page[from..self.end];
        for index in first..first + count {
            match self.column.kind {
                Kind::Int { bytes: 4, unsigned } => {
                    let number = split::<4>(bytes, index).map(i32::from_le_bytes);
                    self.ints.push(narrow(i64::from(number.ok_or(Fault::Damaged)?), unsigned));
                }
                Kind::Int { .. } | Kind::Time { .. } => {
                    self.ints.push(split::<8>(bytes, index).map(i64::from_le_bytes).ok_or(Fault::Damaged)?);
                }
                Kind::Real { bytes: 4 } => {
                    let number = split::<4>(bytes, index).map(f32::from_le_bytes);
                    self.reals.push(f64::from(number.ok_or(Fault::Damaged)?));
                }
                Kind::Real { .. } => {
                    self.reals.push(split::<8>(bytes, index).map(f64::from_le_bytes).ok_or(Fault::Damaged)?);
                }
                Kind::Flag | Kind::Text | Kind::Other(_) => return Err(Fault::Damaged),
            }
        }
        Ok(())
    }

    fn cell(&self, row: usize) -> Cell<'_> {
        if self.present.get(row) == Some(&false) {
            return Cell::Null;
        }
        match self.column.kind {
            Kind::Flag => Cell::Flag(self.ints[row] != 0),
            Kind::Int { bytes: 8, unsigned: true } if self.ints[row] < 0 => {
                Cell::Huge(self.ints[row].cast_unsigned())
            }
            Kind::Int { .. } => Cell::Int(self.ints[row]),
            Kind::Real { .. } => Cell::Real(self.reals[row]),
            Kind::Time { per_second } => Cell::Time(self.ints[row], per_second),
            Kind::Text => self.text(row).map_or(Cell::Bytes, Cell::Text),
            Kind::Other(_) => Cell::Null,
        }
    }

    /// The text of a row that has a value; none when its bytes are no text.
    fn text(&self, row: usize) -> Option<&str> {
        if let (Some(number), Dictionary::Texts(all)) = (self.numbers.get(row), &self.dictionary) {
            return all[*number as usize].as_deref();
        }
        let (at, length) = self.spans[row];
        std::str::from_utf8(&self.page[at..at + length]).ok()
    }
}

/// The low 32 bits.
fn narrow(value: i64, unsigned: bool) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "additions of 32 bits wrap at 32 bits")]
    let low = value as i32;
    if unsigned { low.cast_unsigned().into() } else { low.into() }
}

/// Moves values to the rows that have one.
fn spread<T: Copy + Default>(values: &mut Vec<T>, present: &[bool]) {
    let Some(mut from) = Some(values.len()).filter(|count| *count > 0) else { return };
    values.resize(present.len(), T::default());
    for row in (0..present.len()).rev() {
        if present[row] {
            from -= 1;
            values[row] = values[from];
        }
    }
}

fn unsupported(encoding: i64) -> Fault {
    Fault::Encoding(match encoding {
        0 => "PLAIN",
        2 => "PLAIN_DICTIONARY",
        3 => "RLE",
        4 => "BIT_PACKED",
        5 => "DELTA_BINARY_PACKED",
        6 => "DELTA_LENGTH_BYTE_ARRAY",
        7 => "DELTA_BYTE_ARRAY",
        8 => "RLE_DICTIONARY",
        9 => "BYTE_STREAM_SPLIT",
        _ => "of an unknown number",
    })
}
