//! Values and changes as bytes, for the time that they spend in a spill file. Nothing of this outlives a run.

use std::io;

use crate::target::Change;
use crate::value::{Row, Value, ValueRef};

/// Appends a value, every digit of it.
pub(super) fn put(value: ValueRef<'_>, out: &mut Vec<u8>) {
    let mut sized = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    };
    match value {
        ValueRef::Null => out.push(b'0'),
        ValueRef::Bool(b) => out.push(if b { b'T' } else { b'F' }),
        ValueRef::Int(n) => {
            out.push(b'i');
            out.extend_from_slice(&n.to_le_bytes());
        }
        ValueRef::Real(x) => {
            out.push(b'r');
            out.extend_from_slice(&x.to_bits().to_le_bytes());
        }
        ValueRef::Number(text) => sized(b'n', text.as_bytes()),
        ValueRef::Text(text) => sized(b't', text.as_bytes()),
        ValueRef::Bytes(bytes) => sized(b'x', bytes),
        ValueRef::Json(text) => sized(b'j', text.as_bytes()),
    }
}

/// Appends a value or that there is none.
pub(super) fn put_option(value: Option<ValueRef<'_>>, out: &mut Vec<u8>) {
    match value {
        Some(value) => put(value, out),
        None => out.push(b'-'),
    }
}

/// What kind of change follows, before its values: all of an insert's `after`, all of a deletion's `before`, or all
/// of an update's `before` and then its `after`, of which what stays the same is left out.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tag {
    Insert = 1,
    Update,
    Delete,
}

/// Reads back a change over `columns` columns.
pub(super) fn change(mut bytes: &[u8], columns: usize) -> io::Result<Change> {
    let bytes = &mut bytes;
    let tag = take(bytes, 1)?[0];
    let mut values = || (0..columns).map(|_| option(bytes)).collect::<io::Result<Vec<_>>>();
    let whole = |values: Vec<Option<Value>>| values.into_iter().collect::<Option<Row>>().ok_or_else(torn);
    let change = match tag {
        tag if tag == Tag::Insert as u8 => Change::Insert { after: values()? },
        tag if tag == Tag::Delete as u8 => Change::Delete { before: whole(values()?)? },
        tag if tag == Tag::Update as u8 => {
            let before = whole(values()?)?;
            let after = values()?.into_iter().zip(&before);
            let after = after.map(|(after, before)| after.unwrap_or_else(|| before.clone())).collect();
            Change::Update { before, after }
        }
        _ => return Err(torn()),
    };
    if bytes.is_empty() { Ok(change) } else { Err(torn()) }
}

fn torn() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> io::Result<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count).ok_or_else(torn)?;
    *bytes = rest;
    Ok(taken)
}

fn word(bytes: &mut &[u8]) -> io::Result<u64> {
    Ok(u64::from_le_bytes(take(bytes, 8)?.try_into().expect("8 bytes")))
}

fn option(bytes: &mut &[u8]) -> io::Result<Option<Value>> {
    let tag = take(bytes, 1)?[0];
    Ok(Some(match tag {
        b'-' => return Ok(None),
        b'0' => Value::Null,
        b'T' => Value::Bool(true),
        b'F' => Value::Bool(false),
        b'i' => Value::Int(word(bytes)?.cast_signed()),
        b'r' => Value::Real(f64::from_bits(word(bytes)?)),
        b'x' => Value::Bytes(sized(bytes)?),
        b'n' => Value::Number(text(bytes)?),
        b't' => Value::Text(text(bytes)?),
        b'j' => Value::Json(text(bytes)?),
        _ => return Err(torn()),
    }))
}

fn sized(bytes: &mut &[u8]) -> io::Result<Vec<u8>> {
    let length = usize::try_from(word(bytes)?).map_err(|_| torn())?;
    Ok(take(bytes, length)?.to_vec())
}

fn text(bytes: &mut &[u8]) -> io::Result<String> {
    String::from_utf8(sized(bytes)?).map_err(|_| torn())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_come_back_as_they_were() {
        let row = vec![
            Value::Null,
            Value::Bool(true),
            Value::Bool(false),
            Value::Int(-1),
            Value::Real(-0.0),
            Value::Number("1.50".into()),
            Value::Text("é".into()),
            Value::Bytes(vec![0, 255]),
            Value::Json("{}".into()),
        ];
        let bytes = |tag: Tag, values: &[&[Option<Value>]]| {
            let mut out = vec![tag as u8];
            values
                .iter()
                .copied()
                .flatten()
                .for_each(|v| put_option(v.as_ref().map(Value::as_ref), &mut out));
            out
        };
        let given: Vec<Option<Value>> = row.iter().cloned().map(Some).collect();
        let mut partly = given.clone();
        partly[3] = None;
        let mut changed = vec![None; row.len()];
        changed[6] = Some(Value::Text("e".into()));
        let mut after = row.clone();
        after[6] = Value::Text("e".into());

        for (bytes, expected) in [
            (bytes(Tag::Insert, &[&partly]), Change::Insert { after: partly.clone() }),
            (bytes(Tag::Delete, &[&given]), Change::Delete { before: row.clone() }),
            (bytes(Tag::Update, &[&given, &changed]), Change::Update { before: row.clone(), after }),
        ] {
            assert_eq!(change(&bytes, row.len()).unwrap(), expected);
            assert!(change(&bytes[..bytes.len() - 1], row.len()).is_err());
            assert!(change(&bytes, row.len() - 1).is_err());
        }
        assert!(change(&bytes(Tag::Delete, &[&partly]), row.len()).is_err());
        assert!(change(&[9], 0).is_err());
    }
}
