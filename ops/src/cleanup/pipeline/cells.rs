//! Rows of the cleaned JSON file as cells again, and cells as such rows.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{render, rows};
use crate::cleanup::Cell;

/// The members of an object in its order.
pub(crate) type Members<'a> = Vec<(Cow<'a, str>, Cell<'a>)>;

/// Reads an element of the array; `None` for anything that is no object.
pub(crate) fn members(json: &[u8]) -> Option<Members<'_>> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let members = deserializer.deserialize_map(Object).ok()?;
    deserializer.end().ok()?;
    Some(members)
}

/// Reads one JSON value as a cell.
pub(crate) fn cell(json: &str) -> Option<Cell<'_>> {
    rows::json(json).ok()
}

/// Appends a row as an element of the array.
pub(crate) fn write_object(out: &mut Vec<u8>, row: &[(String, Cell<'_>)]) {
    out.extend_from_slice(b"  {");
    for (index, (name, cell)) in row.iter().enumerate() {
        out.extend_from_slice(if index > 0 { b",\n" } else { b"\n" });
        render::member(out, name);
        render::json_cell(out, cell);
    }
    out.extend_from_slice(b"\n  }");
}

/// How a text column of the input spells a number, a boolean or a list.
pub(crate) fn as_text(json: &str) -> String {
    let mut out = Vec::new();
    render::spaced(&mut out, json);
    String::from_utf8(out).expect("JSON is text")
}

struct Object;

impl<'de> Visitor<'de> for Object {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(32);
        while let Some(name) = map.next_key::<Name<'de>>()? {
            let value: &'de RawValue = map.next_value()?;
            let cell = cell(value.get())
                .ok_or_else(|| serde::de::Error::custom("a text with half of a surrogate pair"))?;
            members.push((name.0, cell));
        }
        Ok(members)
    }
}

/// A name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_spelling() {
        let json = "{\"b\": \"x\\ny\", \"a\\u0062\": 1.50, \"n\": null, \"l\": [\n 1 ]}";
        let found = members(json.as_bytes()).unwrap();
        let text = |text: &'static str| Cell::Text(Cow::Borrowed(text));
        let json = |text: &'static str| Cell::Json(Cow::Borrowed(text));
        let expected = [("b", text("x\ny")), ("ab", json("1.50")), ("n", Cell::Null), ("l", json("[\n 1 ]"))];
        assert_eq!(found, expected.map(|(name, cell)| (Cow::Borrowed(name), cell)));
        assert_eq!(members(b"[]"), None);
        assert_eq!(members(b"{} x"), None);
    }
}
