//! The compact protocol of Thrift, read: fields by their numbers, and past what nobody asks for.
//!
//! Whatever the bytes say, nothing is read beyond them, nothing is nested deeper than [`DEPTH_MAX`], and nothing is set
//! aside for a length before its elements are there.

/// Types of fields and of elements of lists.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// Structs in structs beyond this are no metadata.
const DEPTH_MAX: u32 = 16;

/// Why bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// They end too early: with more of them the same may be right.
    Short,
    /// They are wrong.
    Wrong,
}

/// Bytes on their way to be read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        let byte = *self.bytes.get(self.at).ok_or(Broken::Short)?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Broken> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let end = end.ok_or(Broken::Wrong)?;
        let taken = self.bytes.get(self.at..end).ok_or(Broken::Short)?;
        self.at = end;
        Ok(taken)
    }

    /// An unsigned number, seven bits a byte.
    pub(super) fn varint(&mut self) -> Result<u64, Broken> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Broken::Wrong)
    }

    /// A number of either sign: its sign is its last bit.
    pub(super) fn zigzag(&mut self) -> Result<i64, Broken> {
        let coded = self.varint()?;
        let half = i64::try_from(coded >> 1).map_err(|_| Broken::Wrong)?;
        Ok(if coded & 1 == 0 { half } else { !half })
    }

    /// Every field of a struct: `each` gets its number and type, and must read or skip it.
    pub(super) fn fields(
        &mut self,
        mut each: impl FnMut(i64, u8, &mut Self) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            let (step, kind) = (head >> 4, head % 16);
            if kind == 0 {
                return Ok(());
            }
            id = match step {
                0 => self.zigzag()?,
                step => id.checked_add(i64::from(step)).ok_or(Broken::Wrong)?,
            };
            each(id, kind, self)?;
        }
    }

    /// Every element of a list: `each` gets its type, and must read or skip it.
    pub(super) fn list(
        &mut self,
        kind: u8,
        mut each: impl FnMut(u8, &mut Self) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        if kind != LIST && kind != SET {
            return Err(Broken::Wrong);
        }
        let head = self.byte()?;
        let length = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        for _ in 0..length {
            // Every element takes a byte at least, so a length that lies ends with the bytes.
            each(head & 15, self)?;
        }
        Ok(())
    }

    /// A struct as a field.
    pub(super) fn nested(
        &mut self,
        kind: u8,
        each: impl FnMut(i64, u8, &mut Self) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        if kind == STRUCT { self.fields(each) } else { Err(Broken::Wrong) }
    }

    /// A whole number as a field.
    pub(super) fn int(&mut self, kind: u8) -> Result<i64, Broken> {
        match kind {
            BYTE => Ok(i64::from(self.byte()?.cast_signed())),
            I16 | I32 | I64 => self.zigzag(),
            _ => Err(Broken::Wrong),
        }
    }

    /// A count as a field.
    pub(super) fn count(&mut self, kind: u8) -> Result<u64, Broken> {
        u64::try_from(self.int(kind)?).map_err(|_| Broken::Wrong)
    }

    /// A truth value as a field: its type says it.
    pub(super) fn flag(kind: u8) -> Result<bool, Broken> {
        match kind {
            TRUE => Ok(true),
            FALSE => Ok(false),
            _ => Err(Broken::Wrong),
        }
    }

    /// A text as a field.
    pub(super) fn text(&mut self, kind: u8) -> Result<&'a str, Broken> {
        if kind != BINARY {
            return Err(Broken::Wrong);
        }
        let length = self.varint()?;
        std::str::from_utf8(self.take(length)?).map_err(|_| Broken::Wrong)
    }

    /// Past a field that nobody asks for.
    pub(super) fn skip(&mut self, kind: u8) -> Result<(), Broken> {
        self.skip_at(kind, 0)
    }

    fn skip_at(&mut self, kind: u8, depth: u32) -> Result<(), Broken> {
        if depth > DEPTH_MAX {
            return Err(Broken::Wrong);
        }
        match kind {
            TRUE | FALSE => Ok(()),
            BYTE | I16 | I32 | I64 => self.int(kind).map(drop),
            DOUBLE => self.take(8).map(drop),
            UUID => self.take(16).map(drop),
            BINARY => {
                let length = self.varint()?;
                self.take(length).map(drop)
            }
            LIST | SET => self.list(kind, |kind, reader| reader.skip_element(kind, depth + 1)),
            MAP => {
                let length = self.varint()?;
                let kinds = if length > 0 { self.byte()? } else { 0 };
                for _ in 0..length {
                    self.skip_element(kinds >> 4, depth + 1)?;
                    self.skip_element(kinds & 15, depth + 1)?;
                }
                Ok(())
            }
            STRUCT => self.fields(|_, kind, reader| reader.skip_at(kind, depth + 1)),
            _ => Err(Broken::Wrong),
        }
    }

    /// Outside a struct a truth value takes a byte.
    fn skip_element(&mut self, kind: u8, depth: u32) -> Result<(), Broken> {
        if kind == TRUE || kind == FALSE { self.byte().map(drop) } else { self.skip_at(kind, depth) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_either_sign() {
        let read = |bytes: &[u8]| Reader::new(bytes).zigzag();
        assert_eq!([read(&[0]), read(&[1]), read(&[2]), read(&[0xd8, 4])], [Ok(0), Ok(-1), Ok(1), Ok(300)]);
        let least = [[0xff; 9].as_slice(), &[1]].concat();
        assert_eq!(read(&least), Ok(i64::MIN));
        assert_eq!(read(&[0x80]), Err(Broken::Short));
        assert_eq!(read(&[0xff; 11]), Err(Broken::Wrong));
    }

    #[test]
    fn fields_that_nobody_asks_for_are_skipped() {
        // 1: i32 5; 2: list of bools; 3: map of i32 to text; 4: struct { 1: true }; 20: text "x".
        let bytes =
            [0x15, 10, 0x19, 0x21, 1, 2, 0x1b, 1, 0x58, 2, 1, b'k', 0x1c, 0x11, 0, 0x08, 40, 1, b'x', 0];
        let mut seen = Vec::new();
        let mut reader = Reader::new(&bytes);
        let read = reader.fields(|id, kind, reader| {
            seen.push(id);
            if id == 20 {
                assert_eq!(reader.text(kind), Ok("x"));
                return Ok(());
            }
            reader.skip(kind)
        });
        assert_eq!((read, seen, reader.position()), (Ok(()), vec![1, 2, 3, 4, 20], bytes.len()));
        for end in 0..bytes.len() {
            let read = Reader::new(&bytes[..end]).fields(|_, kind, reader| reader.skip(kind));
            assert_eq!(read, Err(Broken::Short), "{end}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_no_metadata() {
        let deep = [0x1c; 100];
        assert_eq!(Reader::new(&deep).skip(STRUCT), Err(Broken::Wrong));
        let lists = [0x19; 100];
        assert_eq!(Reader::new(&lists).skip(LIST), Err(Broken::Wrong));
    }
}
