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
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
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
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    bytes: &'a [u8],
}

impl<'a> Row<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The values in order.
    pub fn values(self) -> Values<'a> {
        Values { bytes: self.bytes }
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
        let (tag, rest) = self.bytes.split_first()?;
        let (value, rest) = match tag {
            0 => (Value::Null, rest),
            1 => rest.split_first_chunk().map(|(n, rest)| (Value::Int(i64::from_le_bytes(*n)), rest))?,
            2 => rest.split_first_chunk().map(|(x, rest)| (Value::Real(f64::from_le_bytes(*x)), rest))?,
            3 | 4 => (Value::Bool(*tag == 4), rest),
            5 => {
                let (content, rest) = take_content(rest)?;
                (Value::Text(std::str::from_utf8(content).ok()?), rest)
            }
            6 => {
                let (content, rest) = take_content(rest)?;
                (Value::Bytes(content), rest)
            }
            _ => return None,
        };
        self.bytes = rest;
        Some(value)
    }
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

    proptest! {
        #[test]
        fn what_is_put_comes_out(values in proptest::collection::vec(any_value(), 0..20)) {
            let mut bytes = Vec::new();
            let mut writer = RowWriter::new(&mut bytes);
            for value in &values {
                writer.put(value.value());
            }
            let read: Vec<_> = Row::new(&bytes).values().collect();
            prop_assert_eq!(read, values.iter().map(Owned::value).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Row::new(&bytes).values().count();
        }
    }
}
