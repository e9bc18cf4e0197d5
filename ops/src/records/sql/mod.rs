//! Rows of SQL dumps: what `INSERT … VALUES` and `COPY … FROM stdin` hold, of one table.
//!
//! Everything else in a dump is passed over, token by token, so that an apostrophe in a comment or a semicolon in a
//! function is no surprise. No statement is understood further than its columns and rows, and nothing is computed.

mod constant;
mod copy;
mod head;
mod lex;
mod sheet;
mod value;

use std::collections::HashMap;

pub(super) use self::value::Values;

use self::head::{Columns, Head, Name, Shape};
use self::lex::{Dialect, Rules, blanks, line_end};
use self::sheet::Sheet;
use super::error::Fault;
use super::scan::Stop;
use super::{Cells, Form, Span, Step};

/// Names of tables and columns that are remembered, in all.
const NAMES_MAX: usize = 1_000_000;
/// Tables that are listed when it is not clear which one is meant.
const LISTED_MAX: usize = 50;

/// Where in the file the parser is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between statements.
    Statement,
    /// In a statement that is passed over. Those that create something may hold statements.
    Rest { is_create: bool, depth: u32 },
    /// Behind VALUES, or behind a row.
    Rows { is_first: bool },
    /// At the start of a line of COPY, or of a row if it is a sheet.
    Copy(Option<Sheet>),
    /// Behind the SET of an INSERT.
    Set,
    /// Between `DELIMITER ;;` and `DELIMITER ;`.
    Foreign,
}

/// How rows from some place on are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Context {
    /// Index into [`Sql::columns`].
    columns: usize,
    rules: Rules,
    shape: Shape,
}

/// Parses a dump.
#[derive(Debug)]
pub(super) struct Sql {
    chosen: Option<String>,
    /// The table that is read.
    table: Option<Name>,
    /// Others that have rows.
    others: Vec<String>,
    /// Whether one of the others could be meant as well.
    is_ambiguous: bool,
    created: HashMap<Name, Columns>,
    /// How many names `created` holds.
    remembered: usize,
    columns: Vec<Columns>,
    place: Place,
    /// Whether the rows here are of the table that is read.
    is_wanted: bool,
    context: Context,
    /// Index of the columns of the row that was found last.
    found: usize,
    /// Contexts with the offsets in the file from which they hold.
    contexts: Vec<(u64, Context)>,
    has_rows: bool,
    /// Whether rows were met whose columns are not known.
    is_nameless: bool,
}

/// Why a dump has no rows to give.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No table was chosen, and these have rows.
    Several(Vec<String>),
    /// The table that was chosen is not among these.
    Missing(String, Vec<String>),
}

impl Sql {
    /// A parser of the rows of `table`, or of the only table with rows.
    pub(super) fn new(table: Option<&str>) -> Self {
        Self {
            chosen: table.map(str::to_owned),
            table: None,
            others: Vec::new(),
            is_ambiguous: false,
            created: HashMap::new(),
            remembered: 0,
            columns: Vec::new(),
            place: Place::Statement,
            is_wanted: false,
            context: Context { columns: 0, rules: Rules::STANDARD, shape: Shape::Tuples },
            found: 0,
            contexts: Vec::new(),
            has_rows: false,
            is_nameless: false,
        }
    }

    /// The next row; `origin` is the offset of `bytes` in the file.
    pub(super) fn step(
        &mut self,
        bytes: &[u8],
        is_end: bool,
        origin: u64,
        cells: &mut Cells,
    ) -> Result<Step, Fault> {
        let mut at = 0;
        loop {
            let found = match self.place {
                Place::Statement => self.statement(bytes, &mut at, origin),
                Place::Rest { is_create, depth } => self.rest(bytes, &mut at, is_create, depth),
                Place::Rows { is_first } => match self.row(bytes, &mut at, is_first, cells) {
                    Ok(Some((from, to))) => return Ok(Step::Record { from, to, end: to }),
                    other => other.map(|_| ()),
                },
                Place::Copy(sheet) => match self.line(bytes, &mut at, sheet, cells) {
                    Ok(Some((from, to, end))) => return Ok(Step::Record { from, to, end }),
                    other => other.map(|_| ()),
                },
                Place::Set => match self.assignments(bytes, &mut at, cells) {
                    Ok(Some((from, to))) => return Ok(Step::Record { from, to, end: to }),
                    other => other.map(|_| ()),
                },
                Place::Foreign => self.foreign(bytes, &mut at),
            };
            match found {
                Ok(()) => {}
                Err(Stop::Fault(fault)) => return Err(Fault { from: at, ..fault }),
                Err(Stop::End) if !is_end => return Ok(Step::More { consumed: at }),
                Err(Stop::End) => return self.end(bytes, at).map(|()| Step::End),
            }
        }
    }

    /// Whether a file may end here, `at` being what could not be read to its end.
    fn end(&self, bytes: &[u8], at: usize) -> Result<(), Fault> {
        let inside = match (self.place, &bytes[at..]) {
            (Place::Copy(_), _) => "the file ends inside the rows of COPY",
            (Place::Set, _) | (Place::Rows { .. }, [b'(' | b',', ..]) => "the file ends inside a row",
            (_, [] | [b'-', b'-', ..] | [b'#' | b'\\', ..]) => return Ok(()),
            (Place::Statement, rest) if is_rows_start(rest) => "the file ends inside a statement",
            (_, [b'\'' | b'"' | b'`' | b'$' | b'/', ..]) => "the file ends inside a text or a comment",
            _ => return Ok(()),
        };
        Err(Fault { from: at, ..Fault::new(at, inside) })
    }

    /// Goes behind the beginning of a statement.
    fn statement(&mut self, bytes: &[u8], at: &mut usize, origin: u64) -> Result<(), Stop> {
        let mut rules = self.context.rules;
        let blank = blanks(bytes, at, &mut rules);
        self.context.rules = rules;
        blank?;
        let first = bytes[*at];
        if first == b'\\' {
            *at = line_end(bytes, *at)?;
            return Ok(());
        }
        if !lex::is_word_start(first) {
            self.place = Place::Rest { is_create: false, depth: 0 };
            return Ok(());
        }
        let end = lex::word(bytes, *at)?;
        match bytes[*at..end].to_ascii_lowercase().as_slice() {
            b"insert" | b"replace" => {
                let head = head::insert(bytes, end, &mut rules)?;
                self.context.rules = rules;
                *at = head.end;
                self.enter(head, origin)
            }
            b"copy" => {
                self.place = Place::Rest { is_create: false, depth: 0 };
                let head = head::copy(bytes, end, &mut rules);
                if matches!(head, Err(Stop::End)) {
                    self.place = Place::Statement;
                }
                if let Some(head) = head? {
                    *at = head.end;
                    return self.enter(head, origin);
                }
                Ok(())
            }
            b"create" => {
                let created = head::create(bytes, end, &mut rules)?;
                self.context.rules = rules;
                self.place = Place::Rest { is_create: created.is_none(), depth: 0 };
                *at = end;
                if let Some((table, columns, end)) = created {
                    *at = end;
                    self.remember(table, columns);
                }
                Ok(())
            }
            b"delimiter" => {
                *at = line_end(bytes, *at)?;
                self.place = Place::Foreign;
                Ok(())
            }
            b"go" => {
                *at = end;
                Ok(())
            }
            word => {
                if word == b"set" {
                    self.set(bytes, end)?;
                } else if word == b"pragma" && rules.dialect == Dialect::Standard {
                    self.context.rules.dialect = Dialect::Sqlite;
                }
                self.place = Place::Rest { is_create: false, depth: 0 };
                *at = end;
                Ok(())
            }
        }
    }

    /// Obeys `SET standard_conforming_strings = off`.
    fn set(&mut self, bytes: &[u8], at: usize) -> Result<(), Stop> {
        let end = memchr::memchr(b';', &bytes[at..]).ok_or(Stop::End)?;
        let text = bytes[at..at + end.min(200)].to_ascii_lowercase();
        if memchr::memmem::find(&text, b"standard_conforming_strings").is_some()
            && !self.context.rules.is_mysql()
        {
            self.context.rules.backslash = memchr::memmem::find(&text, b"off").is_some();
        }
        Ok(())
    }

    fn remember(&mut self, table: Name, columns: Columns) {
        self.remembered += 1 + columns.names.len();
        if self.remembered <= NAMES_MAX {
            self.created.insert(table, columns);
        }
    }

    /// Begins the rows of a statement.
    fn enter(&mut self, head: Head, origin: u64) -> Result<(), Stop> {
        self.place = match head.shape {
            Shape::Tuples => Place::Rows { is_first: true },
            Shape::Lines => Place::Copy(None),
            Shape::Sheet(sheet) => Place::Copy(Some(sheet)),
            Shape::Set => Place::Set,
        };
        self.is_wanted = self.is_wanted(&head.table);
        if !self.is_wanted {
            return Ok(());
        }
        self.has_rows |= matches!(self.place, Place::Copy(_));
        let columns = match head.columns {
            Some(names) => Columns { is_computed: vec![false; names.len()], names },
            None => match self.created.get(&head.table) {
                Some(columns) if !columns.names.is_empty() => columns.clone(),
                _ => {
                    self.is_nameless = true;
                    let what = format!(
                        "rows of `{}` without names of columns, and no CREATE TABLE before them says what they are",
                        head.table.full
                    );
                    return lex::fault(head.end, what);
                }
            },
        };
        if self.columns.last() != Some(&columns) {
            self.columns.push(columns);
        }
        self.context = Context { columns: self.columns.len() - 1, shape: head.shape, ..self.context };
        if self.contexts.last().is_none_or(|(_, last)| *last != self.context) {
            self.contexts.push((origin + head.end as u64, self.context));
        }
        Ok(())
    }

    /// Whether rows of this table are the ones to read.
    fn is_wanted(&mut self, table: &Name) -> bool {
        let is_meant = match &self.chosen {
            Some(chosen) => {
                chosen.eq_ignore_ascii_case(&table.full) || chosen.eq_ignore_ascii_case(&table.last)
            }
            // SQLite's own tables stand in its dumps without being asked for.
            None => !table.last.starts_with("sqlite_"),
        };
        match &self.table {
            None if is_meant => self.table = Some(table.clone()),
            Some(known) if known == table => {}
            _ => {
                self.is_ambiguous |= is_meant;
                if self.others.len() < LISTED_MAX && !self.others.contains(&table.full) {
                    self.others.push(table.full.clone());
                }
                return false;
            }
        }
        is_meant
    }

    /// Passes over the rest of a statement.
    fn rest(&mut self, bytes: &[u8], at: &mut usize, is_create: bool, mut depth: u32) -> Result<(), Stop> {
        loop {
            self.place = Place::Rest { is_create, depth };
            blanks(bytes, at, &mut self.context.rules)?;
            let end = lex::token(bytes, *at, self.context.rules)?;
            let token = &bytes[*at..end];
            *at = end;
            if token == b";" && depth == 0 {
                self.place = Place::Statement;
                return Ok(());
            }
            if is_create {
                // The body of a trigger or function holds statements that are not of this file's rows.
                let is = |word: &[u8]| token.eq_ignore_ascii_case(word);
                if is(b"begin") || (depth > 0 && is(b"case")) {
                    depth += 1;
                } else if is(b"end") {
                    depth = depth.saturating_sub(1);
                }
            }
        }
    }

    fn foreign(&mut self, bytes: &[u8], at: &mut usize) -> Result<(), Stop> {
        loop {
            let end = line_end(bytes, *at)?;
            let line = bytes[*at..end].trim_ascii();
            *at = end + 1;
            if line.to_ascii_lowercase().starts_with(b"delimiter") && line.ends_with(b" ;") {
                self.place = Place::Statement;
                return Ok(());
            }
        }
    }

    /// The next row of VALUES; `None` where another place begins, or the row is not wanted.
    fn row(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        is_first: bool,
        cells: &mut Cells,
    ) -> Result<Option<(usize, usize)>, Stop> {
        let mut rules = self.context.rules;
        blanks(bytes, at, &mut rules)?;
        let mut from = behind_row_word(bytes, *at, &mut rules)?;
        match bytes[from] {
            b'(' if is_first => {}
            b',' if !is_first => {
                from += 1;
                blanks(bytes, &mut from, &mut rules)?;
                from = behind_row_word(bytes, from, &mut rules)?;
                if bytes[from] != b'(' {
                    return lex::fault(*at, "a comma without a row behind it");
                }
            }
            b';' if !is_first => {
                (self.place, *at) = (Place::Statement, from + 1);
                return Ok(None);
            }
            b if !is_first && lex::is_word_start(b) => {
                let is_insert =
                    value::is_word(bytes, from, b"insert")? || value::is_word(bytes, from, b"go")?;
                self.place =
                    if is_insert { Place::Statement } else { Place::Rest { is_create: false, depth: 0 } };
                return Ok(None);
            }
            _ if is_first => return lex::fault(from, "expected `(` before a row"),
            _ => return lex::fault(from, "expected `,` or `;` behind a row"),
        }
        if !self.is_wanted {
            *at = lex::parentheses(bytes, from, rules)?;
            self.place = Place::Rows { is_first: false };
            return Ok(None);
        }
        let to = tuple(bytes, from, &mut rules, &mut cells.sql)?;
        self.check_width(from, cells)?;
        self.place = Place::Rows { is_first: false };
        self.has_rows = true;
        Ok(Some((from, to)))
    }

    /// The row that assignments make; `None` where it is not wanted.
    fn assignments(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        cells: &mut Cells,
    ) -> Result<Option<(usize, usize)>, Stop> {
        let rest = Place::Rest { is_create: false, depth: 0 };
        if !self.is_wanted {
            self.place = rest;
            return Ok(None);
        }
        let mut rules = self.context.rules;
        let to = assigned(bytes, *at, &mut rules, &mut cells.sql)?;
        self.check_width(*at, cells)?;
        (self.place, self.has_rows) = (rest, true);
        Ok(Some((*at, to)))
    }

    /// The next row of COPY; `None` behind the last, or where the row is not wanted.
    fn line(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        sheet: Option<Sheet>,
        cells: &mut Cells,
    ) -> Result<Option<(usize, usize, usize)>, Stop> {
        let from = *at;
        if sheet::is_end(bytes, from)? {
            *at = line_end(bytes, from)? + 1;
            self.place = Place::Statement;
            return Ok(None);
        }
        let (to, end) = match sheet {
            Some(sheet) => sheet.row(bytes, from, &mut cells.sql)?,
            None => copy::line(bytes, from)?,
        };
        if !self.is_wanted {
            *at = end;
            return Ok(None);
        }
        if sheet.is_none() {
            copy::cells(bytes, from, to, &mut cells.sql).map_err(Stop::Fault)?;
        }
        self.check_width(from, cells)?;
        Ok(Some((from, to, end)))
    }

    /// The row at the start of `bytes`, which is at `origin` in the file.
    pub(super) fn record(&mut self, bytes: &[u8], origin: u64, cells: &mut Cells) -> Result<Step, Fault> {
        let index = self.contexts.partition_point(|(at, _)| *at <= origin);
        let Some((_, context)) = index.checked_sub(1).and_then(|index| self.contexts.get(index)) else {
            return Err(Fault::new(0, "no row is here"));
        };
        let mut rules = context.rules;
        let there = std::mem::replace(&mut self.context, *context);
        let found = match context.shape {
            Shape::Lines => copy::line(bytes, 0).and_then(|(to, _)| {
                copy::cells(bytes, 0, to, &mut cells.sql).map_err(Stop::Fault).map(|()| to)
            }),
            Shape::Sheet(sheet) => sheet.row(bytes, 0, &mut cells.sql).map(|(to, _)| to),
            Shape::Set => assigned(bytes, 0, &mut rules, &mut cells.sql),
            Shape::Tuples if bytes.first().is_some_and(|b| *b != b'(') => lex::fault(0, "no row is here"),
            Shape::Tuples => lex::byte(bytes, 0).and_then(|_| tuple(bytes, 0, &mut rules, &mut cells.sql)),
        };
        let found = found.and_then(|to| self.check_width(0, cells).map(|()| to));
        self.context = there;
        match found {
            Ok(to) => Ok(Step::Record { from: 0, to, end: to }),
            Err(Stop::End) => Ok(Step::More { consumed: 0 }),
            Err(Stop::Fault(fault)) => Err(fault),
        }
    }

    /// Takes the values that were found, if there are as many as columns.
    fn check_width(&mut self, at: usize, cells: &mut Cells) -> Result<(), Stop> {
        let (columns, found) = (&self.columns[self.context.columns], cells.sql.spans.len());
        let expected = columns.names.len();
        if found != expected && found != columns.is_computed.iter().filter(|is| !**is).count() {
            let what = format!("a row of {found} values, where the table has {expected} columns");
            return lex::fault(at, what);
        }
        self.found = self.context.columns;
        std::mem::swap(&mut cells.spans, &mut cells.sql.spans);
        Ok(())
    }

    /// The names of the values that were found, of which those that are left to their defaults are taken out.
    pub(super) fn names(&self, spans: &mut Vec<Span>) -> Vec<String> {
        let columns = &self.columns[self.found];
        let is_whole = spans.len() == columns.names.len();
        let given = columns.names.iter().zip(&columns.is_computed);
        let given = given.filter(|(_, is_computed)| is_whole || !**is_computed).map(|(name, _)| name);
        let is_there = |span: &Span| span.form != Form::Absent;
        let names = given
            .zip(spans.iter())
            .filter(|(_, span)| is_there(span))
            .map(|(name, _)| name.clone())
            .collect();
        spans.retain(is_there);
        names
    }

    /// Which names the values have: the same for two rows whose values have the same names.
    pub(super) fn names_key(&self, spans: &[Span]) -> Option<(usize, usize)> {
        let is_plain = spans.iter().all(|span| span.form != Form::Absent);
        is_plain.then_some((self.found, spans.len()))
    }

    /// Whether reading can go on behind a fault.
    pub(super) fn can_resume(&self) -> bool {
        !self.is_nameless
    }

    /// The offset behind the row or word at `from`, if its parentheses and quotes say where that is. Whether the bytes
    /// are in memory must make no difference: what is not certain yet is none, and changes nothing.
    pub(super) fn behind(&mut self, bytes: &[u8], from: usize, is_end: bool) -> Option<usize> {
        let (place, end) = match (self.place, bytes.get(from)?) {
            (Place::Copy(_), _) => return line_end(bytes, from).ok().map(|end| end + 1),
            (Place::Rows { .. }, b'(') => {
                let end = lex::parentheses(bytes, from, self.context.rules).ok()?;
                let is_row = self.is_followed(bytes, end, is_end);
                is_row.then_some((Place::Rows { is_first: false }, end))?
            }
            (Place::Statement, first) if lex::is_word_start(*first) => {
                (Place::Rest { is_create: false, depth: 0 }, lex::word(bytes, from).ok()?)
            }
            _ => return None,
        };
        self.place = place;
        Some(end)
    }

    /// Where a whole row stands between commas, or a line begins a statement with rows, no further than `limit`.
    pub(super) fn resume(
        &mut self,
        bytes: &[u8],
        from: usize,
        limit: usize,
        cells: &mut Cells,
    ) -> Option<usize> {
        if matches!(self.place, Place::Copy(_)) {
            return self.behind(bytes, from, true);
        }
        let is_row = matches!(self.place, Place::Rows { .. });
        for at in memchr::memchr2_iter(b'(', b'\n', bytes.get(from + 1..limit)?).map(|at| from + 1 + at) {
            let is_end = limit == bytes.len();
            let is_there = bytes[at] == b'(' && is_row && is_behind_row(&bytes[from..at]);
            if is_there && self.is_row(bytes, at, is_end, cells) {
                self.place = Place::Rows { is_first: true };
                return Some(at);
            }
            let is_statement = |word: &&[u8]| value::is_word(bytes, at + 1, word) == Ok(true);
            if bytes[at] == b'\n' && [&b"insert"[..], b"copy", b"replace"].iter().any(is_statement) {
                self.place = Place::Statement;
                return Some(at + 1);
            }
        }
        None
    }

    /// Whether a whole row of this table stands at `at`; of a table that is not read, whether anything like one does.
    fn is_row(&mut self, bytes: &[u8], at: usize, is_end: bool, cells: &mut Cells) -> bool {
        let mut rules = self.context.rules;
        if !self.is_wanted {
            let end = lex::parentheses(bytes, at, rules);
            return end.is_ok_and(|end| self.is_followed(bytes, end, is_end));
        }
        let end = tuple(bytes, at, &mut rules, &mut cells.sql);
        end.is_ok_and(|end| self.is_followed(bytes, end, is_end)) && self.check_width(at, cells).is_ok()
    }

    /// Accepts that the file is over.
    pub(super) fn finish(&mut self) {
        self.place = Place::Statement;
    }

    /// Whether something stands behind a row that can stand there; at the end of the file nothing need.
    fn is_followed(&self, bytes: &[u8], mut at: usize, is_end: bool) -> bool {
        let mut rules = self.context.rules;
        if blanks(bytes, &mut at, &mut rules).is_err() {
            return is_end && at == bytes.len();
        }
        match bytes[at] {
            b',' => {
                at += 1;
                let next = blanks(bytes, &mut at, &mut rules);
                next.and_then(|()| behind_row_word(bytes, at, &mut rules)).is_ok_and(|at| bytes[at] == b'(')
            }
            b';' => true,
            _ => [&b"on"[..], b"returning", b"insert", b"as", b"go"]
                .iter()
                .any(|word| value::is_word(bytes, at, word) == Ok(true)),
        }
    }

    /// Whether a file that ends here without a row says that it has none.
    pub(super) fn is_framed(&self) -> bool {
        self.has_rows
    }

    /// Why the rows of the whole file, which was read to its end, are not the ones of one table.
    pub(super) fn refused(&self) -> Option<Refused> {
        let others =
            || self.table.iter().map(|table| table.full.clone()).chain(self.others.clone()).collect();
        match (&self.chosen, &self.table) {
            _ if self.is_ambiguous => Some(Refused::Several(others())),
            (Some(chosen), None) => Some(Refused::Missing(chosen.clone(), others())),
            _ => None,
        }
    }
}

/// Whether a statement that starts so may have rows.
fn is_rows_start(bytes: &[u8]) -> bool {
    let starts: [&[u8]; 4] = [b"insert", b"replace", b"copy", b"create"];
    starts.iter().any(|start| bytes.get(..start.len()).is_some_and(|word| word.eq_ignore_ascii_case(start)))
}

/// Behind the word before a row of MySQL's `VALUES ROW(1, 2), ROW(3, 4)`, if it is there.
fn behind_row_word(bytes: &[u8], at: usize, rules: &mut Rules) -> Result<usize, Stop> {
    if !matches!(lex::byte(bytes, at)?, b'r' | b'R') || !value::is_word(bytes, at, b"row")? {
        return Ok(at);
    }
    let mut next = at + b"row".len();
    blanks(bytes, &mut next, rules)?;
    Ok(if bytes[next] == b'(' { next } else { at })
}

/// Whether these bytes end with a row and a comma, and perhaps the word before a row.
fn is_behind_row(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_end();
    let word = bytes.len().checked_sub(b"row".len()).filter(|at| bytes[*at..].eq_ignore_ascii_case(b"row"));
    let before = bytes[..word.unwrap_or(bytes.len())].trim_ascii_end().strip_suffix(b",");
    before.is_some_and(|before| before.trim_ascii_end().ends_with(b")"))
}

/// The values between the parenthesis at `from` and its end; gives the offset behind that.
fn tuple(bytes: &[u8], from: usize, rules: &mut Rules, values: &mut Values) -> Result<usize, Stop> {
    values.clear();
    let mut at = from + 1;
    blanks(bytes, &mut at, rules)?;
    if bytes[at] == b')' {
        return Ok(at + 1);
    }
    loop {
        at = values.value(bytes, from, at, rules)?;
        match bytes[at] {
            b')' => return Ok(at + 1),
            b',' => at += 1,
            _ => return lex::fault(at, "an expression, where only constants are read"),
        }
        blanks(bytes, &mut at, rules)?;
    }
}

/// The values of the assignments that begin at `from`; gives the offset of what follows them.
fn assigned(bytes: &[u8], from: usize, rules: &mut Rules, values: &mut Values) -> Result<usize, Stop> {
    values.clear();
    let mut at = from;
    loop {
        while lex::byte(bytes, at)? != b'=' {
            at = lex::token(bytes, at, *rules)?;
            blanks(bytes, &mut at, rules)?;
        }
        at += 1;
        blanks(bytes, &mut at, rules)?;
        at = values.value(bytes, from, at, rules)?;
        if bytes[at] != b',' {
            return Ok(at);
        }
        at += 1;
        blanks(bytes, &mut at, rules)?;
    }
}
