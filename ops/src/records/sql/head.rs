//! What stands before rows: `INSERT INTO … VALUES`, `COPY … FROM stdin`, and the columns of `CREATE TABLE`.

use super::super::Form;
use super::super::scan::Stop;
use super::lex::{self, Rules, blanks, byte, fault};
use super::sheet::{self, Sheet};
use super::value::{Values, is_word};

/// A table as a statement names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Name {
    /// With its schema, if that is given: `public.glyphs`.
    pub(super) full: String,
    /// Alone.
    pub(super) last: String,
}

/// The columns of a table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) names: Vec<String>,
    /// Whether each is computed by the database, so that some dumps leave it out.
    pub(super) is_computed: Vec<bool>,
}

/// How the rows of a statement stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// In parentheses, behind VALUES.
    Tuples,
    /// One a line, behind COPY.
    Lines,
    /// As a sheet, behind COPY.
    Sheet(Sheet),
    /// One, as assignments behind SET.
    Set,
}

/// The beginning of a statement with rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) table: Name,
    /// The list of columns, if there is one.
    pub(super) columns: Option<Vec<String>>,
    /// What follows.
    pub(super) shape: Shape,
    /// The offset behind it: the first row or its blanks.
    pub(super) end: usize,
}

/// Reads names and words one after the other.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
    rules: &'a mut Rules,
}

impl Reader<'_> {
    /// The next byte that is no blank.
    pub(super) fn peek(&mut self) -> Result<u8, Stop> {
        blanks(self.bytes, &mut self.at, self.rules)?;
        Ok(self.bytes[self.at])
    }

    pub(super) fn is(&mut self, wanted: u8) -> Result<bool, Stop> {
        let is_there = self.peek()? == wanted;
        self.at += usize::from(is_there);
        Ok(is_there)
    }

    /// Goes behind this word if it is next.
    pub(super) fn word(&mut self, wanted: &[u8]) -> Result<bool, Stop> {
        let is_there = self.peek()?.eq_ignore_ascii_case(&wanted[0]) && is_word(self.bytes, self.at, wanted)?;
        if is_there {
            self.at += wanted.len();
        }
        Ok(is_there)
    }

    pub(super) fn expect(&mut self, wanted: &[u8], what: &str) -> Result<(), Stop> {
        if self.word(wanted)? { Ok(()) } else { fault(self.at, what) }
    }

    pub(super) fn expect_byte(&mut self, wanted: u8, what: &str) -> Result<(), Stop> {
        if self.is(wanted)? { Ok(()) } else { fault(self.at, what) }
    }

    /// A text; `what` is said of anything else.
    pub(super) fn text(&mut self, what: &str) -> Result<Vec<u8>, Stop> {
        if !matches!(self.peek()?, b'\'' | b'E' | b'e') {
            return fault(self.at, what);
        }
        let mut values = Values::default();
        let (from, to, form) = values.constant(self.bytes, &mut self.at, self.rules)?;
        Ok(match form {
            Form::Quoted => self.bytes[from..to].to_vec(),
            Form::MadeText => values.made[from..to].to_vec(),
            _ => return fault(self.at, what),
        })
    }

    /// A name, with or without quotes.
    fn name(&mut self) -> Result<String, Stop> {
        let start = self.at;
        let text = |from: usize, to: usize| match std::str::from_utf8(&self.bytes[from..to]) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => fault(start, "a name that is not UTF-8"),
        };
        match byte(self.bytes, self.at)? {
            quote @ (b'"' | b'`') => {
                if quote == b'`' && !self.rules.is_mysql() {
                    *self.rules = Rules::MYSQL;
                }
                let (to, is_plain) = lex::text(self.bytes, start, false)?;
                self.at = to + 1;
                let name = text(start + 1, to)?;
                let twice = char::from(quote).to_string().repeat(2);
                Ok(if is_plain { name } else { name.replace(&twice, &twice[..1]) })
            }
            b'[' => {
                let to = start + memchr::memchr(b']', &self.bytes[start..]).ok_or(Stop::End)?;
                self.at = to + 1;
                text(start + 1, to)
            }
            b if lex::is_word_start(b) => {
                self.at = lex::word(self.bytes, start)?;
                text(start, self.at)
            }
            _ => fault(start, "expected a name"),
        }
    }

    fn table(&mut self) -> Result<Name, Stop> {
        self.peek()?;
        let mut last = self.name()?;
        let mut full = last.clone();
        while self.is(b'.')? {
            self.peek()?;
            last = self.name()?;
            full = format!("{full}.{last}");
        }
        Ok(Name { full, last })
    }

    /// A list of names behind a parenthesis that was passed.
    fn names(&mut self) -> Result<Vec<String>, Stop> {
        let mut names = Vec::new();
        if self.is(b')')? {
            return Ok(names);
        }
        loop {
            self.peek()?;
            names.push(self.name()?);
            if self.is(b')')? {
                return Ok(names);
            }
            if !self.is(b',')? {
                return fault(self.at, "expected `,` or `)` in a list of columns");
            }
        }
    }

    /// The names that values are assigned to, as in `a = 1, b = 'x'`.
    fn assigned(&mut self) -> Result<Vec<String>, Stop> {
        let mut names = Vec::new();
        loop {
            names.push(self.table()?.last);
            if !self.is(b'=')? {
                return fault(self.at, "expected `=` behind the name of a column");
            }
            let mut depth = 0_usize;
            loop {
                let next = self.peek()?;
                let is_end = matches!(next, b',' | b';') || is_word(self.bytes, self.at, b"on")?;
                if depth == 0 && is_end {
                    break;
                }
                match next {
                    b'(' => depth += 1,
                    b')' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                self.at = lex::token(self.bytes, self.at, *self.rules)?;
            }
            if !self.is(b',')? {
                return Ok(names);
            }
        }
    }

    /// Passes over tokens until one of these bytes stands outside of parentheses.
    fn until(&mut self, stops: &[u8], mut seen: impl FnMut(&[u8], usize)) -> Result<u8, Stop> {
        let mut depth = 0_usize;
        loop {
            let next = self.peek()?;
            if depth == 0 && stops.contains(&next) {
                return Ok(next);
            }
            let end = lex::token(self.bytes, self.at, *self.rules)?;
            seen(&self.bytes[self.at..end], depth);
            match next {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at = end;
        }
    }
}

const NOT_CONSTANT: &str = "an INSERT whose rows are not given by VALUES";

/// Reads `INSERT … INTO table (columns) VALUES`, `at` being behind INSERT or REPLACE.
pub(super) fn insert(bytes: &[u8], at: usize, rules: &mut Rules) -> Result<Head, Stop> {
    let mut reader = Reader { bytes, at, rules };
    // INSERT INTO, INSERT OR REPLACE INTO, INSERT LOW_PRIORITY IGNORE INTO, INSERT t.
    for _ in 0..4 {
        if reader.word(b"into")? {
            break;
        }
        let known: [&[u8]; 9] = [
            b"or",
            b"replace",
            b"ignore",
            b"abort",
            b"fail",
            b"rollback",
            b"low_priority",
            b"delayed",
            b"high_priority",
        ];
        let mut is_known = false;
        for word in known {
            is_known = is_known || reader.word(word)?;
        }
        if !is_known {
            break;
        }
    }
    let table = reader.table()?;
    if reader.word(b"as")? {
        reader.table()?;
    }
    if reader.word(b"set")? {
        reader.peek()?;
        let (end, columns) = (reader.at, Some(reader.assigned()?));
        return Ok(Head { table, columns, shape: Shape::Set, end });
    }
    let columns = if reader.is(b'(')? { Some(reader.names()?) } else { None };
    if reader.word(b"overriding")? {
        reader.peek()?;
        reader.name()?;
        reader.expect(b"value", NOT_CONSTANT)?;
    }
    if !reader.word(b"values")? && !reader.word(b"value")? {
        return fault(reader.at, NOT_CONSTANT);
    }
    if reader.peek()? != b'(' && !is_word(bytes, reader.at, b"row")? {
        return fault(reader.at, "expected `(` behind VALUES");
    }
    Ok(Head { table, columns, shape: Shape::Tuples, end: reader.at })
}

/// Reads `COPY table (columns) FROM stdin;` with its line end, and a line of names behind it, `at` being behind COPY.
/// `None` is another COPY.
pub(super) fn copy(bytes: &[u8], at: usize, rules: &mut Rules) -> Result<Option<Head>, Stop> {
    let mut reader = Reader { bytes, at, rules };
    if reader.peek()? == b'(' {
        return Ok(None);
    }
    let table = reader.table()?;
    let columns = if reader.is(b'(')? { Some(reader.names()?) } else { None };
    if !reader.word(b"from")? || !reader.word(b"stdin")? {
        return Ok(None);
    }
    let options = sheet::options(&mut reader)?;
    let mut end = lex::line_end(bytes, reader.at)? + 1;
    let Some((sheet, has_header)) = options else {
        return Ok(Some(Head { table, columns, shape: Shape::Lines, end }));
    };
    if has_header && !sheet::is_end(bytes, end)? {
        (_, end) = sheet.row(bytes, end, &mut Values::default())?;
    }
    Ok(Some(Head { table, columns, shape: Shape::Sheet(sheet), end }))
}

/// Reads `CREATE TABLE table (columns…)`, `at` being behind CREATE; `None` is something else that is created.
pub(super) fn create(
    bytes: &[u8],
    at: usize,
    rules: &mut Rules,
) -> Result<Option<(Name, Columns, usize)>, Stop> {
    let mut reader = Reader { bytes, at, rules };
    let before: [&[u8]; 6] = [b"temp", b"temporary", b"unlogged", b"global", b"local", b"foreign"];
    for word in before {
        reader.word(word)?;
    }
    if !reader.word(b"table")? {
        return Ok(None);
    }
    if reader.word(b"if")? {
        reader.word(b"not")?;
        reader.word(b"exists")?;
    }
    let table = reader.table()?;
    let mut columns = Columns::default();
    if !reader.is(b'(')? {
        return Ok(Some((table, columns, reader.at)));
    }
    loop {
        if reader.peek()? == b')' {
            return Ok(Some((table, columns, reader.at + 1)));
        }
        column(&mut reader, &mut columns)?;
        if !reader.is(b',')? && reader.peek()? != b')' {
            return fault(reader.at, "expected `,` or `)` in a list of columns");
        }
    }
}

/// Reads one line of a table: a column, or a constraint, which is passed over.
fn column(reader: &mut Reader<'_>, columns: &mut Columns) -> Result<(), Stop> {
    let is_bare = lex::is_word_start(reader.peek()?);
    let name = reader.name()?;
    let is_one_of = |words: &[&str]| is_bare && words.iter().any(|word| name.eq_ignore_ascii_case(word));
    let is_constraint = is_one_of(&["constraint", "primary", "unique", "foreign", "check", "like"])
        || (reader.rules.is_mysql() && is_one_of(&["key", "index", "fulltext", "spatial", "period"]))
        || (is_one_of(&["exclude"])
            && (reader.peek()? == b'(' || is_word(reader.bytes, reader.at, b"using")?));
    let mut previous_is_as = false;
    let mut is_computed = false;
    reader.until(b",)", |token, depth| {
        is_computed |= depth == 0 && previous_is_as && token == b"(";
        previous_is_as = token.eq_ignore_ascii_case(b"as");
    })?;
    if !is_constraint {
        columns.names.push(name);
        columns.is_computed.push(is_computed);
    }
    Ok(())
}
