//! Cells of a cleaned row as they are kept between cleaning and writing: once, for both spellings that they get.
//!
//! A cell is a number, length and form, seven bits a byte, and its bytes. What was seen of a text when it was kept is in
//! its form, so that nobody has to look for signs again. Names of columns are not kept: the layout knows them.

use std::borrow::Cow;

use super::layout::Layout;
use crate::cleanup::{Cell, Row};
use crate::value::{Signs, signs};

/// Bits of a cell's number that say its form.
const FORM_BITS: u32 = 3;

/// A cell of a kept row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept<'a> {
    Absent,
    Null,
    /// A JSON value that is no text, as the row had it.
    Json(&'a [u8]),
    Text(&'a [u8], Signs),
}

/// Appends the cells of a row: the declared ones, then those that are carried along.
pub(super) fn keep(out: &mut Vec<u8>, layout: &Layout, row: &Row<'_>) {
    for place in layout.kept() {
        match &row.cells[place] {
            Cell::Absent if place < layout.declared => push(out, &Cell::Null),
            cell => push(out, cell),
        }
    }
}

fn push(out: &mut Vec<u8>, cell: &Cell<'_>) {
    let (bytes, form) = match cell {
        Cell::Absent => (&b""[..], 0),
        Cell::Null => (&b""[..], 1),
        Cell::Json(json) => (json.as_bytes(), 2),
        Cell::Text(text) => (text.as_bytes(), form(signs(text))),
    };
    let mut number = bytes.len() << FORM_BITS | form;
    while number > 0x7f {
        out.push(0x80 | (number & 0x7f).to_le_bytes()[0]);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
    out.extend_from_slice(bytes);
}

fn form(signs: Signs) -> usize {
    match signs {
        Signs::None => 3,
        Signs::Comma => 4,
        Signs::Escaped => 5,
    }
}

/// The cells of a kept row, in the order in which they were appended.
#[derive(Debug, Clone)]
pub(super) struct Cells<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Cells<'a> {
    type Item = Kept<'a>;

    fn next(&mut self) -> Option<Kept<'a>> {
        let (mut number, mut shift) = (0_usize, 0);
        loop {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if *byte < 0x80 {
                break;
            }
        }
        let (bytes, rest) = self.0.split_at(number >> FORM_BITS);
        self.0 = rest;
        Some(match number & ((1 << FORM_BITS) - 1) {
            0 => Kept::Absent,
            1 => Kept::Null,
            2 => Kept::Json(bytes),
            3 => Kept::Text(bytes, Signs::None),
            4 => Kept::Text(bytes, Signs::Comma),
            _ => Kept::Text(bytes, Signs::Escaped),
        })
    }
}

impl<'a> Kept<'a> {
    /// As the cell that it was.
    pub(super) fn cell(self) -> Cell<'a> {
        let text = |bytes| Cow::Borrowed(str::from_utf8(bytes).expect("a text was kept"));
        match self {
            Self::Absent => Cell::Absent,
            Self::Null => Cell::Null,
            Self::Json(json) => Cell::Json(text(json)),
            Self::Text(bytes, _) => Cell::Text(text(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell() -> impl Strategy<Value = Cell<'static>> {
        // Around the lengths at which the number before a text takes another byte.
        let text = prop_oneof![r#"[a-z,"\\\n\r\u{e9}]{0,20}"#, "[a-z]{1020,1030}", "[,a]{120,130}"];
        prop_oneof![
            Just(Cell::Absent),
            Just(Cell::Null),
            text.prop_map(|text| Cell::Text(Cow::Owned(text))),
            prop_oneof![Just("1.50"), Just("[ \"a\" ]"), Just("true"), Just("{}")]
                .prop_map(|json| Cell::Json(Cow::Borrowed(json))),
        ]
    }

    proptest! {
        #[test]
        fn cells_are_read_as_they_were_kept(cells in proptest::collection::vec(cell(), 0..9)) {
            let mut bytes = Vec::new();
            for cell in &cells {
                push(&mut bytes, cell);
            }
            let kept: Vec<Kept<'_>> = Cells(&bytes).collect();
            prop_assert_eq!(&kept.iter().map(|kept| kept.cell()).collect::<Vec<_>>(), &cells);
            for (kept, cell) in kept.into_iter().zip(&cells) {
                if let (Kept::Text(_, seen), Cell::Text(text)) = (kept, cell) {
                    prop_assert_eq!(seen, signs(text));
                }
            }
        }
    }
}
