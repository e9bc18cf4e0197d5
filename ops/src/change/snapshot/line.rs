//! One row as one line of JSON: `{"id":1,"name":"a"}`, columns in the order of the table.
//!
//! Lines are read back by the same list of columns, so what stands before a value is compared as bytes and nothing
//! is looked up by name. A line that is not exactly of these columns is damage, not a row.

use memchr::memchr2;

use crate::target::schema::Table;
use crate::value::{Kind, Row, Value, ValueRef, parse_json, write_json};

/// The columns of a line, with everything that stands before their values.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    columns: Vec<LineColumn>,
}

#[derive(Debug, Clone)]
struct LineColumn {
    index: usize,
    kind: Kind,
    /// `{"id":` for the first one, `,"name":` for the others.
    prefix: Vec<u8>,
}

/// A value of a line: borrowed where the line spells it as it is, owned where it had to be decoded.
#[derive(Debug)]
pub(crate) enum Cell<'a> {
    Borrowed(ValueRef<'a>),
    Decoded(Value),
}

impl Cell<'_> {
    pub(crate) fn get(&self) -> ValueRef<'_> {
        match self {
            Self::Borrowed(value) => *value,
            Self::Decoded(value) => value.as_ref(),
        }
    }
}

impl Lines {
    /// Lines of some columns of a table, as indices.
    pub(crate) fn new(table: &Table, columns: &[usize]) -> Self {
        let mut all = Vec::with_capacity(columns.len());
        for (position, &index) in columns.iter().enumerate() {
            let column = &table.columns[index];
            let mut prefix = vec![if position == 0 { b'{' } else { b',' }];
            write_json(ValueRef::Text(&column.name), &mut prefix);
            prefix.push(b':');
            all.push(LineColumn { index, kind: column.kind, prefix });
        }
        Self { columns: all }
    }

    /// Lines of all columns.
    pub(crate) fn whole(table: &Table) -> Self {
        Self::new(table, &(0..table.columns.len()).collect::<Vec<_>>())
    }

    /// Appends the line of a row that holds all columns of the table, with its line feed.
    pub(crate) fn write(&self, row: &[ValueRef<'_>], out: &mut Vec<u8>) {
        for column in &self.columns {
            out.extend_from_slice(&column.prefix);
            write_json(row[column.index], out);
        }
        out.extend_from_slice(if self.columns.is_empty() { b"{}\n" } else { b"}\n" });
    }

    /// Replaces `cells` by the values of a line without its line feed; `None` when the line is not one of these.
    pub(crate) fn cells<'a>(&self, line: &'a str, cells: &mut Vec<Cell<'a>>) -> Option<()> {
        cells.clear();
        let mut at = usize::from(self.columns.is_empty());
        for column in &self.columns {
            if !line.as_bytes()[at..].starts_with(&column.prefix) {
                return None;
            }
            let from = at + column.prefix.len();
            let Span { length, is_escaped } = span(&line.as_bytes()[from..])?;
            at = from + length;
            cells.push(cell(&line[from..at], is_escaped, column.kind)?);
        }
        (&line[at..] == "}").then_some(())
    }

    /// The values of a line without its line feed; `None` when the line is not one of these.
    pub(crate) fn row(&self, line: &str) -> Option<Row> {
        let mut cells = Vec::with_capacity(self.columns.len());
        self.cells(line, &mut cells)?;
        let owned = |cell| match cell {
            Cell::Borrowed(value) => value.to_value(),
            Cell::Decoded(value) => value,
        };
        Some(cells.into_iter().map(owned).collect())
    }
}

/// The JSON value at the start of a text.
struct Span {
    length: usize,
    /// A string with a backslash in it.
    is_escaped: bool,
}

/// The value at the start of `rest`; `None` when it has no end.
fn span(rest: &[u8]) -> Option<Span> {
    let length = match rest.first()? {
        b'"' => return string(rest),
        b'{' | b'[' => container_len(rest)?,
        _ => memchr2(b',', b'}', rest)?,
    };
    Some(Span { length, is_escaped: false })
}

fn string(rest: &[u8]) -> Option<Span> {
    let (mut length, mut is_escaped) = (1, false);
    loop {
        length += memchr2(b'"', b'\\', rest.get(length..)?)?;
        if rest[length] == b'"' {
            return Some(Span { length: length + 1, is_escaped });
        }
        (length, is_escaped) = (length + 2, true);
    }
}

fn container_len(rest: &[u8]) -> Option<usize> {
    let (mut depth, mut at) = (0_u32, 0);
    loop {
        match rest.get(at)? {
            b'"' => at += string(&rest[at..])?.length,
            b'{' | b'[' => (depth, at) = (depth + 1, at + 1),
            b'}' | b']' => (depth, at) = (depth - 1, at + 1),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

fn cell(raw: &str, is_escaped: bool, kind: Kind) -> Option<Cell<'_>> {
    let borrowed = match raw.as_bytes().first()? {
        b'n' if raw == "null" => ValueRef::Null,
        b'"' if !is_escaped => ValueRef::Text(&raw[1..raw.len() - 1]),
        b'[' => ValueRef::Json(raw),
        b'{' if !raw.starts_with("{\"$") => ValueRef::Json(raw),
        b'-' | b'0'..=b'9' if kind == Kind::Number => ValueRef::Number(raw),
        _ => return parse_json(raw, kind).ok().map(Cell::Decoded),
    };
    Some(Cell::Borrowed(borrowed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::testing::table;

    #[test]
    fn lines_come_back_as_they_were() {
        let table = table(&[
            ("id", Kind::Text),
            ("a \"b\"", Kind::Number),
            ("json", Kind::Json),
            ("any", Kind::Any),
            ("flag", Kind::Bool),
        ]);
        let lines = Lines::whole(&table);
        let rows = [
            vec![
                Value::Text("x,}\"\\\n".into()),
                Value::Number("1.50".into()),
                Value::Json(r#"{"a":"}\"","b":[1,{"c":2}]}"#.into()),
                Value::Int(-5),
                Value::Bool(true),
            ],
            vec![
                Value::Text(String::new()),
                Value::Number("NaN".into()),
                Value::Json("[]".into()),
                Value::Bytes(vec![1]),
                Value::Null,
            ],
            vec![Value::Null, Value::Null, Value::Json("7".into()), Value::Real(-0.0), Value::Bool(false)],
        ];
        let mut out = Vec::new();
        for row in &rows {
            lines.write(&row.iter().map(Value::as_ref).collect::<Vec<_>>(), &mut out);
        }
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(r#"{"id":"x,}\"\\\n","a \"b\"":1.50,"json":{"a""#), "{text}");
        let back: Vec<Row> = text.lines().map(|line| lines.row(line).unwrap()).collect();
        assert_eq!(back, rows);
    }

    #[test]
    fn a_line_of_other_columns_is_no_row() {
        let lines = Lines::whole(&table(&[("id", Kind::Int), ("n", Kind::Text)]));
        assert!(lines.row(r#"{"id":1,"n":"a"}"#).is_some());
        for bad in [
            "",
            "{}",
            r#"{"id":1}"#,
            r#"{"id":1,"n":"a"}x"#,
            r#"{"id":1,"n":"a"#,
            r#"{"id":1,"m":"a"}"#,
            r#"{"id":x,"n":"a"}"#,
            r#"{"id":1.5,"n":"a"}"#,
            r#"{"id":1,"n":[[}"#,
            r#"{"id":,"n":"a"}"#,
        ] {
            assert!(lines.row(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn some_columns_only() {
        let lines = Lines::new(&table(&[("id", Kind::Int), ("n", Kind::Text)]), &[1]);
        let mut out = Vec::new();
        lines.write(&[ValueRef::Int(1), ValueRef::Text("a")], &mut out);
        assert_eq!(out, b"{\"n\":\"a\"}\n");
    }
}
