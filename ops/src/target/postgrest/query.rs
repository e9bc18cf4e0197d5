//! The parts of a request's address: names, values, filters and pages, quoted and escaped for good.
//!
//! Pure text. Every name is quoted, because a column may be called `order` or `a.b`, and every value inside a
//! list is, because it may hold a comma.

use std::fmt::Write as _;

use super::wire;
use crate::target::schema::{Column, Table};
use crate::value::{Row, Value};

/// Bytes of an address that a gateway surely takes. Hosted projects cut below what PostgREST itself takes.
const ADDRESS_MAX: usize = 4000;

/// Keys in one address: no more than the lowest limit of rows that servers have in practice.
const KEYS_MAX: usize = 100;

/// Appends `text` so that it means itself inside a query. Commas, parentheses and colons may stay, they mean
/// something to PostgREST only, and there the quotes count.
pub(super) fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z'
            | b'a'..=b'z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b','
            | b'('
            | b')'
            | b':' => {
                out.push(char::from(byte));
            }
            _ => write!(out, "%{byte:02X}").expect("writing to memory"),
        }
    }
}

/// `text` in double quotes, with what needs it behind a backslash.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// `/table`, to which a query can be added.
pub(super) fn path(table: &Table) -> String {
    path_of(&table.name.name)
}

/// `/name`.
pub(super) fn path_of(name: &str) -> String {
    let mut path = "/".to_owned();
    escape(name, &mut path);
    path
}

/// `"a","b"::text`: the columns in a form that loses nothing.
pub(super) fn select(table: &Table, columns: &[usize]) -> String {
    let one = |i: &usize| {
        let column: &Column = &table.columns[*i];
        let cast = if wire::is_exact(column) { "" } else { "::text" };
        format!("{}{cast}", quoted(&column.name))
    };
    parameter("select", &columns.iter().map(one).collect::<Vec<_>>().join(","))
}

/// `columns="a","b"`.
pub(super) fn columns(table: &Table, columns: &[usize]) -> String {
    let names: Vec<String> = columns.iter().map(|i| quoted(&table.columns[*i].name)).collect();
    parameter("columns", &names.join(","))
}

/// `order="a".asc,"b".asc`.
pub(super) fn order(table: &Table, key: &[usize]) -> String {
    let names: Vec<String> = key.iter().map(|i| format!("{}.asc", quoted(&table.columns[*i].name))).collect();
    parameter("order", &names.join(","))
}

/// `&name=value`, escaped.
pub(super) fn parameter(name: &str, value: &str) -> String {
    let mut text = "&".to_owned();
    escape(name, &mut text);
    text.push('=');
    escape(value, &mut text);
    text
}

/// The rows whose key is exactly this one: what every PATCH and DELETE must have.
pub(super) fn is_key(table: &Table, key: &[usize], row: &[&Value]) -> String {
    let one = |(i, value): (&usize, &&Value)| {
        parameter(&quoted(&table.columns[*i].name), &format!("eq.{}", wire::text(value)))
    };
    key.iter().zip(row).map(one).collect()
}

/// The rows behind `last` in the order of the key.
pub(super) fn after(table: &Table, key: &[usize], last: &[Value]) -> String {
    let name = |i: usize| quoted(&table.columns[key[i]].name);
    if let [value] = last {
        return parameter(&name(0), &format!("gt.{}", wire::text(value)));
    }
    let mut any = Vec::new();
    for (i, value) in last.iter().enumerate() {
        let same = last[..i].iter().enumerate();
        let mut all: Vec<String> =
            same.map(|(j, value)| format!("{}.eq.{}", name(j), quoted(&wire::text(value)))).collect();
        all.push(format!("{}.gt.{}", name(i), quoted(&wire::text(value))));
        any.push(if i == 0 { all.remove(0) } else { format!("and({})", all.join(",")) });
    }
    // The first part says nothing new; with it the database can start inside the index.
    let start = parameter(&name(0), &format!("gte.{}", wire::text(&last[0])));
    start + &parameter("or", &format!("({})", any.join(",")))
}

/// The rows with any of `keys`, as few filters as there can be in addresses that are short enough, each with the
/// keys that it is for.
pub(super) fn any_of<'k>(table: &Table, key: &[usize], keys: &'k [&'k Row]) -> Vec<(String, &'k [&'k Row])> {
    let name = |i: usize| quoted(&table.columns[key[i]].name);
    let one = |row: &Row| {
        if let [value] = &row[..] {
            return quoted(&wire::text(value));
        }
        let parts = row.iter().enumerate();
        let parts: Vec<String> =
            parts.map(|(i, value)| format!("{}.eq.{}", name(i), quoted(&wire::text(value)))).collect();
        format!("and({})", parts.join(","))
    };
    let mut chunks: Vec<(String, &[&Row])> = Vec::new();
    let mut start = 0;
    for (at, row) in keys.iter().enumerate() {
        let mut item = String::new();
        escape(&one(row), &mut item);
        let fits = |list: &str| list.len() + item.len() < ADDRESS_MAX && at - start < KEYS_MAX;
        if let Some((list, of)) = chunks.last_mut().filter(|(list, _)| fits(list)) {
            list.push(',');
            list.push_str(&item);
            *of = &keys[start..=at];
        } else {
            start = at;
            chunks.push((item, &keys[at..=at]));
        }
    }
    let mut filter = "&".to_owned();
    match key {
        [_] => {
            escape(&name(0), &mut filter);
            filter.push_str("=in.(");
        }
        _ => filter.push_str("or=("),
    }
    let one_or_many = |(list, keys): (String, &'k [&'k Row])| match keys {
        // `in.("")` is a list without members to PostgREST.
        [one] => (is_key(table, key, &one.iter().collect::<Vec<_>>()), keys),
        _ => (format!("{filter}{list})"), keys),
    };
    chunks.into_iter().map(one_or_many).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::schema::{Origin, TableName};
    use crate::value::Kind;

    fn table() -> Table {
        let column = |name: &str, kind, type_name: &str| Column {
            name: name.into(),
            type_name: type_name.into(),
            kind,
            nullable: false,
            default: None,
            origin: Origin::Written,
        };
        Table {
            name: TableName { schema: None, name: "Odd t".into() },
            columns: vec![
                column("a,b", Kind::Text, "text"),
                column("order", Kind::Int, "bigint"),
                column("q\"\\", Kind::TimestampTz, "timestamp with time zone"),
            ],
            primary_key: vec![0, 1],
            unique: vec![],
            notes: vec![],
        }
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    #[test]
    fn names_and_values_mean_themselves() {
        let table = table();
        assert_eq!(path(&table), "/Odd%20t");
        assert_eq!(select(&table, &[0, 1, 2]), "&select=%22a,b%22,%22order%22,%22q%5C%22%5C%5C%22::text");
        assert_eq!(columns(&table, &[1]), "&columns=%22order%22");
        assert_eq!(order(&table, &[0, 1]), "&order=%22a,b%22.asc,%22order%22.asc");
        let key = [&text("x+é&\"(,"), &Value::Int(-7)];
        assert_eq!(is_key(&table, &[0, 1], &key), "&%22a,b%22=eq.x%2B%C3%A9%26%22(,&%22order%22=eq.-7");
        assert_eq!(after(&table, &[1], &[Value::Int(5)]), "&%22order%22=gt.5");
        assert_eq!(
            after(&table, &[0, 1], &[text("a\"b"), Value::Int(5)]),
            "&%22a,b%22=gte.a%22b&or=(%22a,b%22.gt.%22a%5C%22b%22,\
             and(%22a,b%22.eq.%22a%5C%22b%22,%22order%22.gt.%225%22))"
        );
    }

    #[test]
    fn lists_of_keys_are_cut_before_they_are_too_long() {
        let table = table();
        let rows: Vec<Row> = (0..200).map(|i| vec![text(&format!("{i:060}"))]).collect();
        let keys: Vec<&Row> = rows.iter().collect();
        let chunks = any_of(&table, &[0], &keys);
        assert_eq!(chunks.iter().flat_map(|(_, keys)| keys.iter().copied()).collect::<Vec<_>>(), keys);
        assert!(chunks.len() > 1 && chunks.iter().all(|(filter, _)| filter.len() < ADDRESS_MAX + 100));
        assert!(chunks[0].0.starts_with("&%22a,b%22=in.(%22000") && chunks[0].0.ends_with("%22)"));
        let (a, b) = (vec![text("a"), Value::Int(1)], vec![text("b"), Value::Int(2)]);
        let expected = "&or=(and(%22a,b%22.eq.%22a%22,%22order%22.eq.%221%22),\
                        and(%22a,b%22.eq.%22b%22,%22order%22.eq.%222%22))";
        assert_eq!(any_of(&table, &[0, 1], &[&a, &b])[0].0, expected);
        let empty = vec![text("")];
        assert_eq!(any_of(&table, &[0], &[&empty])[0].0, "&%22a,b%22=eq.");
        let (long, short) = (vec![text(&"x".repeat(5000))], vec![text("y")]);
        assert_eq!(any_of(&table, &[0], &[&long, &short]).len(), 2);
        let many = vec![&short; 250];
        let counts: Vec<usize> = any_of(&table, &[0], &many).iter().map(|(_, keys)| keys.len()).collect();
        assert_eq!(counts, [100, 100, 50]);
        assert_eq!(any_of(&table, &[0], &[]), []);
    }
}
