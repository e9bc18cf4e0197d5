//! Values of a row on their way through the queue: written into bytes by the producer, borrowed from them by the sink.
//!
//! Nothing allocates per cell. The same bytes go into a spill file, so the form is part of an artifact: a tag, then
//! eight little-endian bytes for numbers, or a length of four bytes and the content.

use crate::redact::redact;

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// SQL NULL.
    Null,
    /// An integer.
    Int(i64),
    /// A floating-point number. SQLite stores a NaN as NULL.
    Real(f64),
    /// True or false; 1 or 0 in SQLite.
    Bool(bool),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl From<i64> for Value<'_> {
    fn from(n: i64) -> Self {
        Self::Int(n)
    }
}

impl From<u64> for Value<'_> {
    /// Databases have no unsigned integers; a count beyond 2^63 is nobody's count.
    fn from(n: u64) -> Self {
        Self::Int(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value<'_> {
    fn from(x: f64) -> Self {
        Self::Real(x)
    }
}

impl From<bool> for Value<'_> {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// Where a producer writes the values of a row, in the order of the table's columns.
#[derive(Debug)]
pub struct RowWriter<'a> {
    bytes: &'a mut Vec<u8>,
}

impl<'a> RowWriter<'a> {
    pub(crate) fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Adds the next value.
    pub fn put<'v>(&mut self, value: impl Into<Value<'v>>) -> &mut Self {
        match value.into() {
            Value::Null => self.bytes.push(0),
            Value::Int(n) => self.number(1, n.to_le_bytes()),
            Value::Real(x) => self.number(2, x.to_le_bytes()),
            Value::Bool(b) => self.bytes.push(if b { 4 } else { 3 }),
            Value::Text(text) => self.content(5, text.as_bytes()),
            Value::Bytes(bytes) => self.content(6, bytes),
        }
        self
    }

    /// Adds text that a person or a foreign system wrote: addresses, numbers, keys and tokens in it are masked.
    pub fn put_masked<'v>(&mut self, text: impl Into<Option<&'v str>>) -> &mut Self {
        match text.into() {
            Some(text) => self.put(&*redact(text)),
            None => self.put(Value::Null),
        }
    }

    fn number(&mut self, tag: u8, bytes: [u8; 8]) {
        let mut all = [tag; 9];
        all[1..].copy_from_slice(&bytes);
        self.bytes.extend_from_slice(&all);
    }

    fn content(&mut self, tag: u8, content: &[u8]) {
        let mut head = [tag; 5];
        head[1..].copy_from_slice(&length(content.len()));
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(content);
    }
}

/// A length in four bytes. What is longer does not fit into any queue; `Job` and the queue refuse it by size.
pub(super) fn length(n: usize) -> [u8; 4] {
    u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes()
}

/// The values of a row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Row<'a> {
    bytes: &'a [u8],
}

impl<'a> Row<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The values in order.
    pub fn values(self) -> Values<'a> {
        Values { bytes: self.bytes }
    }

    /// The values in order, `None` for each that is the same as the one of `before` in its place: who still holds that
    /// one need not take it again, and most values of telemetry are those of the row before.
    pub fn changes(self, before: Self) -> Changes<'a> {
        Changes { bytes: self.bytes, before: before.bytes }
    }
}

/// Iterates over the values of a row.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Values<'a> {
    type Item = Value<'a>;

    /// Ends early at bytes that are no value; only a spill file that passed its checksum could hold such, and the
    /// database then misses a parameter.
    fn next(&mut self) -> Option<Value<'a>> {
        let (value, rest) = self.bytes.split_at_checked(value_length(self.bytes)?)?;
        self.bytes = rest;
        read_value(value)
    }
}

/// Iterates over the values of a row that differ from those of another one.
#[derive(Debug, Clone)]
pub struct Changes<'a> {
    bytes: &'a [u8],
    before: &'a [u8],
}

impl<'a> Iterator for Changes<'a> {
    type Item = Option<Value<'a>>;

    /// Ends early where [`Values`] does.
    #[inline]
    fn next(&mut self) -> Option<Option<Value<'a>>> {
        let length = value_length(self.bytes)?;
        let (value, rest) = self.bytes.split_at_checked(length)?;
        // Its length is part of a value, so bytes that are the same are the same value.
        let is_same = match length {
            1 => self.before.first() == value.first(),
            9 => self.before.first_chunk::<9>() == value.first_chunk(),
            _ => self.before.get(..length) == Some(value),
        };
        let passed = if is_same { length } else { value_length(self.before).unwrap_or(0) };
        self.before = self.before.get(passed..).unwrap_or_default();
        self.bytes = rest;
        if is_same { Some(None) } else { read_value(value).map(Some) }
    }
}

/// How many bytes the first value takes.
#[inline]
fn value_length(bytes: &[u8]) -> Option<usize> {
    Some(match bytes.first()? {
        0 | 3 | 4 => 1,
        1 | 2 => 9,
        5 | 6 => 5 + usize::try_from(u32::from_le_bytes(*bytes[1..].first_chunk()?)).ok()?,
        _ => return None,
    })
}

fn read_value(bytes: &[u8]) -> Option<Value<'_>> {
    let (tag, content) = bytes.split_first()?;
    Some(match tag {
        0 => Value::Null,
        1 => Value::Int(i64::from_le_bytes(*content.first_chunk()?)),
        2 => Value::Real(f64::from_le_bytes(*content.first_chunk()?)),
        3 | 4 => Value::Bool(*tag == 4),
        5 => Value::Text(std::str::from_utf8(content.get(4..)?).ok()?),
        6 => Value::Bytes(content.get(4..)?),
        _ => return None,
    })
}

/// Content with its length before it, and what follows.
pub(super) fn take_content(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Owned {
        Null,
        Int(i64),
        Real(f64),
        Bool(bool),
        Text(String),
        Bytes(Vec<u8>),
    }

    impl Owned {
        fn value(&self) -> Value<'_> {
            match self {
                Self::Null => Value::Null,
                Self::Int(n) => Value::Int(*n),
                Self::Real(x) => Value::Real(*x),
                Self::Bool(b) => Value::Bool(*b),
                Self::Text(text) => Value::Text(text),
                Self::Bytes(bytes) => Value::Bytes(bytes),
            }
        }
    }

    fn any_value() -> impl Strategy<Value = Owned> {
        prop_oneof![
            Just(Owned::Null),
            any::<i64>().prop_map(Owned::Int),
            any::<f64>().prop_filter("a NaN equals nothing", |x| !x.is_nan()).prop_map(Owned::Real),
            any::<bool>().prop_map(Owned::Bool),
            any::<String>().prop_map(Owned::Text),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(Owned::Bytes),
        ]
    }

    fn row(values: &[Owned]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = RowWriter::new(&mut bytes);
        for value in values {
            writer.put(value.value());
        }
        bytes
    }

    proptest! {
        /// Whoever keeps the values of the row before and takes what has changed holds the row.
        #[test]
        fn changes_over_the_row_before_make_the_row(
            pairs in proptest::collection::vec((any_value(), any_value(), any::<bool>()), 0..20),
            cut in 0_usize..20,
        ) {
            let before: Vec<Owned> = pairs.iter().map(|(a, ..)| a.clone()).collect();
            let mut after: Vec<Owned> =
                pairs.into_iter().map(|(a, b, is_same)| if is_same { a } else { b }).collect();
            after.truncate(cut);
            let (before_bytes, after_bytes) = (row(&before), row(&after));
            let changes: Vec<_> = Row::new(&after_bytes).changes(Row::new(&before_bytes)).collect();
            let held = |i: usize| changes[i].unwrap_or_else(|| before[i].value());
            let found: Vec<_> = (0..changes.len()).map(held).collect();
            prop_assert_eq!(found, after.iter().map(Owned::value).collect::<Vec<_>>());
        }

        #[test]
        fn what_is_put_comes_out(values in proptest::collection::vec(any_value(), 0..20)) {
            let bytes = row(&values);
            let read: Vec<_> = Row::new(&bytes).values().collect();
            prop_assert_eq!(read, values.iter().map(Owned::value).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Row::new(&bytes).values().count();
            let _ = Row::new(&bytes).changes(Row::new(&bytes[bytes.len() / 2..])).count();
        }
    }
}
