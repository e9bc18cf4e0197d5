//! The compact protocol of Thrift, as far as the metadata of Parquet needs it.

/// Types of fields and of elements of lists.
const I32: u8 = 5;
const I64: u8 = 6;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// An unsigned number, seven bits a byte.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// A struct under construction; its fields must be written in the order of their numbers.
#[derive(Debug, Default)]
pub(super) struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    fn field(&mut self, id: u8, kind: u8) -> &mut Vec<u8> {
        debug_assert!(id > self.last && id - self.last < 16, "fields are written in order");
        self.bytes.push(((id - self.last) << 4) | kind);
        self.last = id;
        &mut self.bytes
    }

    /// A number that is never negative; such a number is doubled by the protocol.
    pub(super) fn i32(mut self, id: u8, value: u64) -> Self {
        varint(value << 1, self.field(id, I32));
        self
    }

    pub(super) fn i64(mut self, id: u8, value: u64) -> Self {
        varint(value << 1, self.field(id, I64));
        self
    }

    pub(super) fn text(mut self, id: u8, text: &str) -> Self {
        binary(text, self.field(id, BINARY));
        self
    }

    pub(super) fn nested(mut self, id: u8, value: Self) -> Self {
        let bytes = value.finish();
        self.field(id, STRUCT).extend_from_slice(&bytes);
        self
    }

    pub(super) fn structs(mut self, id: u8, items: Vec<Self>) -> Self {
        let out = self.field(id, LIST);
        list(items.len(), STRUCT, out);
        for item in items {
            out.extend_from_slice(&item.finish());
        }
        self
    }

    pub(super) fn numbers(mut self, id: u8, items: &[u64]) -> Self {
        let out = self.field(id, LIST);
        list(items.len(), I32, out);
        for item in items {
            varint(item << 1, out);
        }
        self
    }

    pub(super) fn texts(mut self, id: u8, items: &[&str]) -> Self {
        let out = self.field(id, LIST);
        list(items.len(), BINARY, out);
        for item in items {
            binary(item, out);
        }
        self
    }

    /// The bytes of the struct with its end.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn binary(text: &str, out: &mut Vec<u8>) {
    varint(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// The head of a list: short lists have their length in the first byte.
fn list(length: usize, kind: u8, out: &mut Vec<u8>) {
    if let Ok(short @ 0..=14) = u8::try_from(length) {
        out.push((short << 4) | kind);
    } else {
        out.push(0xf0 | kind);
        varint(length as u64, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_protocol() {
        let mut out = Vec::new();
        varint(300, &mut out);
        assert_eq!(out, [0xac, 0x02]);
        let inner = Struct::default().i32(1, 1);
        let bytes = Struct::default().i32(1, 2).text(4, "ab").nested(5, inner).numbers(6, &[0, 3]).finish();
        assert_eq!(bytes, [0x15, 4, 0x38, 2, b'a', b'b', 0x1c, 0x15, 2, 0, 0x19, 0x25, 0, 6, 0]);
        let long = Struct::default().texts(1, &["a"; 15]).finish();
        assert_eq!(&long[..4], [0x19, 0xf8, 15, 1]);
    }
}
