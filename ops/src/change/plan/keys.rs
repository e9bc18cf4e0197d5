//! Keys as people read and type them.

use std::collections::BTreeMap;

use super::sheet::plain;
use crate::value::{Value, write_json};

/// A key as people read it: its values as they are, with commas between them.
pub fn key_text(key: &[Value]) -> String {
    let mut out = Vec::new();
    for (i, value) in key.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        plain(value.as_ref(), &mut out);
    }
    String::from_utf8(out).expect("values are written as UTF-8")
}

/// A key as the artifacts have it: a JSON array, in which every two keys differ.
pub fn key_json(key: &[Value]) -> String {
    let mut out = Vec::new();
    for (i, value) in key.iter().enumerate() {
        out.push(if i == 0 { b'[' } else { b',' });
        write_json(value.as_ref(), &mut out);
    }
    out.push(b']');
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Keys that a person named, and which of them were met.
///
/// A key is typed as it is shown (`42`, or `a,b` for a key of two columns) or, where that would be ambiguous, as a
/// JSON array (`["a,b"]`, `["a","b"]`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    met: BTreeMap<String, bool>,
}

impl KeySet {
    /// The keys as typed, blanks around them left out.
    pub fn new<T: AsRef<str>>(typed: impl IntoIterator<Item = T>) -> Self {
        let keys = typed.into_iter().map(|key| (key.as_ref().trim().to_owned(), false));
        Self { met: keys.filter(|(key, _)| !key.is_empty()).collect() }
    }

    /// Whether nothing was named.
    pub fn is_empty(&self) -> bool {
        self.met.is_empty()
    }

    /// How many keys were named.
    pub fn len(&self) -> usize {
        self.met.len()
    }

    /// Whether the key was named, in either way. Notes that it was met.
    pub fn takes(&mut self, key: &[Value]) -> bool {
        let mut is_named = false;
        for text in [key_text(key), key_json(key)] {
            if let Some(met) = self.met.get_mut(&text) {
                *met = true;
                is_named = true;
            }
        }
        is_named
    }

    /// The named keys that were never met, in order.
    pub fn unmet(&self) -> impl Iterator<Item = &str> {
        self.met.iter().filter(|(_, met)| !**met).map(|(key, _)| key.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn a_key_is_named_as_it_is_shown_or_as_json() {
        let mut set = KeySet::new(["42", " a,b ", "[\"x\",1]", "", "nobody"]);
        assert_eq!(set.len(), 4);
        assert!(set.takes(&[Value::Int(42)]));
        assert!(set.takes(&[text("42")]));
        assert!(set.takes(&[text("a"), text("b")]));
        assert!(set.takes(&[text("x"), Value::Int(1)]));
        assert!(!set.takes(&[text("a"), text("c")]));
        assert_eq!(set.unmet().collect::<Vec<_>>(), ["nobody"]);
    }

    #[test]
    fn json_tells_apart_what_looks_alike() {
        let mut set = KeySet::new(["[\"42\"]"]);
        assert!(!set.takes(&[Value::Int(42)]));
        assert!(set.takes(&[text("42")]));
        assert_eq!(key_json(&[Value::Int(42), text("é\n")]), "[42,\"é\\n\"]");
        assert_eq!(key_text(&[Value::Bytes(vec![1]), Value::Bool(true)]), "\\x01,true");
    }
}
