//! Reads a migration script: its canonical form, its checksum and its statements.
//!
//! The canonical form is what is checksummed *and* what is executed, so comments and blank lines may be
//! edited for ever and a database never differs from its checksum. Two spellings that SQLite lacks are
//! understood (see [`Statement`]). Nothing here knows which tables exist.

use crate::ids;

/// A script in canonical form: LF, no byte order mark, no comments, no blank lines, no trailing blanks.
/// Text inside quotes is kept to the byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    lines: Vec<Line>,
}

/// A line of the canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where the line stands in the file, from 1.
    pub number: u64,
    /// The line without comments.
    pub text: String,
}

/// A statement and where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The statement's first line in the file, from 1.
    pub line: u64,
    /// What is to be done.
    pub statement: Statement,
}

/// What a runner has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Plain SQL.
    Sql(String),
    /// `ALTER TABLE t ADD COLUMN IF NOT EXISTS c …`, as PostgreSQL spells it.
    AddColumnIfMissing {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The statement to run when the column is missing.
        sql_without_if_not_exists: String,
    },
    /// `INSERT INTO t BY NAME SELECT * FROM u`, as DuckDB spells it, with one addition: columns of `u`
    /// that `t` lacks are added to it first, so that the copy is complete whatever `u` holds.
    CopyByName {
        /// The table that is filled.
        into: String,
        /// The table that is read.
        from: String,
    },
}

/// Why a script cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptError {
    /// A quote or a comment has no end.
    #[error("line {line}: {what} is never closed")]
    Unterminated {
        /// What was opened.
        what: &'static str,
        /// Where, from 1.
        line: u64,
    },
    /// A statement that a migration must not contain.
    #[error("line {line}: `{statement}` is not allowed in a migration: {why}")]
    NotAllowed {
        /// Its first words.
        statement: &'static str,
        /// Where, from 1.
        line: u64,
        /// The reason.
        why: &'static str,
    },
}

/// The statements that would break what the runner promises, by their first words.
const NOT_ALLOWED: &[(&str, &str)] = &[
    ("CREATE TRIGGER", "the statements in its body are not told apart"),
    ("CREATE TEMP TRIGGER", "the statements in its body are not told apart"),
    ("CREATE TEMPORARY TRIGGER", "the statements in its body are not told apart"),
    ("BEGIN", "each migration already is one transaction"),
    ("COMMIT", "each migration already is one transaction"),
    ("END", "each migration already is one transaction"),
    ("ROLLBACK", "each migration already is one transaction"),
    ("SAVEPOINT", "each migration already is one transaction"),
    ("RELEASE", "each migration already is one transaction"),
    ("PRAGMA", "the runner sets the connection"),
    ("ATTACH", "a migration changes one file"),
    ("DETACH", "a migration changes one file"),
    ("VACUUM", "it cannot run in a transaction"),
];

impl Script {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut lines = Vec::new();
        let mut within = Within::Code;
        for (number, raw) in (1..).zip(text.split('\n')) {
            let raw = raw.trim_end_matches('\r');
            let began_quoted = matches!(within, Within::Quote { .. });
            let mut text = String::new();
            within = strip(raw, number, within, &mut text);
            let ends_quoted = matches!(within, Within::Quote { .. });
            if !ends_quoted {
                text.truncate(text.trim_end().len());
            }
            if began_quoted || ends_quoted || !text.trim().is_empty() {
                lines.push(Line { number, text });
            }
        }
        match within {
            Within::Code => Ok(Self { lines }),
            Within::Comment { line } => Err(ScriptError::Unterminated { what: "a comment", line }),
            Within::Quote { line, .. } => Err(ScriptError::Unterminated { what: "a quote", line }),
        }
    }

    /// The lines of the canonical form.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The canonical form; each line ends in LF.
    pub fn canonical(&self) -> String {
        self.lines.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// SHA-256 of the canonical form, in hexadecimal.
    pub fn checksum(&self) -> String {
        ids::sha256(self.canonical().as_bytes())
    }

    /// The statements in order, without their semicolons.
    pub fn statements(&self) -> Result<Vec<Located>, ScriptError> {
        let mut statements = Vec::new();
        let mut text = String::new();
        let mut first = 0;
        let mut closing = None;
        for line in &self.lines {
            for c in line.text.chars().chain(['\n']) {
                if closing.is_none() && c == ';' {
                    statements.extend(classify(&text, first)?);
                    text.clear();
                    continue;
                }
                if text.trim().is_empty() {
                    first = line.number;
                }
                text.push(c);
                closing = match closing {
                    Some(end) => (c != end).then_some(end),
                    None => closing_quote(c),
                };
            }
        }
        statements.extend(classify(&text, first)?);
        Ok(statements)
    }
}

/// What a reader of characters is inside of.
#[derive(Debug, Clone, Copy)]
enum Within {
    Code,
    Comment { line: u64 },
    Quote { closing: char, line: u64 },
}

/// Appends what is not comment in `raw`; returns what the next line begins in.
fn strip(raw: &str, line: u64, mut within: Within, text: &mut String) -> Within {
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match within {
            Within::Quote { closing, .. } => {
                text.push(c);
                if c == closing {
                    within = Within::Code;
                }
            }
            Within::Comment { .. } => {
                if c == '*' && chars.next_if_eq(&'/').is_some() {
                    within = Within::Code;
                    while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
                }
            }
            Within::Code if c == '-' && chars.peek() == Some(&'-') => break,
            Within::Code if c == '/' && chars.next_if_eq(&'*').is_some() => {
                // One blank stands for the comment, so that the words beside it stay two.
                if !text.is_empty() && !text.ends_with([' ', '\t']) {
                    text.push(' ');
                }
                within = Within::Comment { line };
            }
            Within::Code => {
                text.push(c);
                if let Some(closing) = closing_quote(c) {
                    within = Within::Quote { closing, line };
                }
            }
        }
    }
    within
}

/// The character that ends a quote which `c` begins. A doubled one inside ends it and begins the next.
fn closing_quote(c: char) -> Option<char> {
    match c {
        '\'' | '"' | '`' => Some(c),
        '[' => Some(']'),
        _ => None,
    }
}

fn classify(text: &str, line: u64) -> Result<Option<Located>, ScriptError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    for &(statement, why) in NOT_ALLOWED {
        if begins_with(text, statement) {
            return Err(ScriptError::NotAllowed { statement, line, why });
        }
    }
    let words: Vec<&str> = text.split_whitespace().take(10).collect();
    let is = |at: usize, keywords: &str| {
        keywords.split(' ').zip(at..).all(|(k, i)| words.get(i).is_some_and(|w| w.eq_ignore_ascii_case(k)))
    };
    let statement = if is(0, "ALTER TABLE") && is(3, "ADD COLUMN IF NOT EXISTS") && words.len() > 8 {
        let (table, column) = (words[2], words[8]);
        let definition = after_words(text, 8);
        Statement::AddColumnIfMissing {
            table: unquoted(table),
            column: unquoted(column),
            sql_without_if_not_exists: format!("ALTER TABLE {table} ADD COLUMN {definition}"),
        }
    } else if is(0, "INSERT INTO") && is(3, "BY NAME SELECT * FROM") && words.len() == 9 {
        Statement::CopyByName { into: unquoted(words[2]), from: unquoted(words[8]) }
    } else {
        Statement::Sql(text.to_owned())
    };
    Ok(Some(Located { line, statement }))
}

/// The index or trigger that a statement drops on purpose.
pub fn dropped(sql: &str) -> Option<String> {
    if !begins_with(sql, "DROP INDEX") && !begins_with(sql, "DROP TRIGGER") {
        return None;
    }
    let at = if begins_with(after_words(sql, 2), "IF EXISTS") { 4 } else { 2 };
    after_words(sql, at).split_whitespace().next().map(unquoted)
}

fn begins_with(text: &str, keywords: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    keywords.split(' ').all(|keyword| words.next().is_some_and(|word| word.eq_ignore_ascii_case(keyword)))
}

fn after_words(text: &str, count: usize) -> &str {
    (0..count).fold(text.trim_start(), |rest, _| {
        rest.find(char::is_whitespace).map_or("", |end| rest[end..].trim_start())
    })
}

fn unquoted(name: &str) -> String {
    name.trim_matches(['"', '`', '[', ']']).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(text: &str) -> String {
        Script::parse(text).unwrap().canonical()
    }

    fn plain(text: &str) -> Vec<(u64, String)> {
        let located = Script::parse(text).unwrap().statements().unwrap();
        located
            .into_iter()
            .map(|located| match located.statement {
                Statement::Sql(sql) => (located.line, sql),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn comments_blanks_and_line_ends_do_not_count() {
        let bare = "CREATE TABLE t (\n  a TEXT\n);\n";
        let dressed =
            "\u{feff}-- why\r\n\r\nCREATE /* a */ TABLE t ( -- open\r\n  a TEXT  \r\n/* and\r\n so */\r\n);";
        assert_eq!(canonical(dressed), bare);
        assert_eq!(Script::parse(dressed).unwrap().checksum(), Script::parse(bare).unwrap().checksum());
        assert_ne!(Script::parse("a b").unwrap().checksum(), Script::parse("ab").unwrap().checksum());
        assert_eq!(canonical("a/**/b"), "a b\n");
    }

    #[test]
    fn quoted_text_is_kept_to_the_byte() {
        for text in
            ["'-- no  \n\n  /* comment */;  '\n", "\"a;\"\"--b\"\n", "`a;--`\n", "[a;--]\n", "'it''s;'\n"]
        {
            assert_eq!(canonical(text), text);
            assert_eq!(plain(text), [(1, text.trim_end().to_owned())]);
        }
    }

    #[test]
    fn statements_know_their_first_line_in_the_file() {
        let text = "-- head\n\nSELECT 1; SELECT\n  ';' ;\n\n-- next\n;;\nSELECT 3";
        let expected = [(3, "SELECT 1"), (3, "SELECT\n  ';'"), (8, "SELECT 3")];
        assert_eq!(plain(text), expected.map(|(line, sql)| (line, sql.to_owned())));
        let numbers: Vec<u64> = Script::parse(text).unwrap().lines().iter().map(|l| l.number).collect();
        assert_eq!(numbers, [3, 4, 7, 8]);
    }

    #[test]
    fn the_two_borrowed_spellings_are_recognised() {
        let text = "alter table \"t\" add column if not exists c TEXT\n DEFAULT 'x';
            INSERT INTO t__new BY NAME\nSELECT * FROM t;
            ALTER TABLE t ADD COLUMN d TEXT";
        let statements = Script::parse(text).unwrap().statements().unwrap();
        assert_eq!(
            statements[0].statement,
            Statement::AddColumnIfMissing {
                table: "t".to_owned(),
                column: "c".to_owned(),
                sql_without_if_not_exists: "ALTER TABLE \"t\" ADD COLUMN c TEXT\n DEFAULT 'x'".to_owned(),
            }
        );
        assert_eq!(
            statements[1].statement,
            Statement::CopyByName { into: "t__new".to_owned(), from: "t".to_owned() }
        );
        assert!(matches!(statements[2].statement, Statement::Sql(_)));
    }

    #[test]
    fn triggers_and_transactions_are_refused_with_their_line() {
        let trigger = "SELECT 1;\ncreate\ttrigger x AFTER INSERT ON t BEGIN SELECT 1; END;";
        let error = Script::parse(trigger).unwrap().statements().unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: `CREATE TRIGGER` is not allowed in a migration: the statements in its body are not told apart"
        );
        for text in ["COMMIT", "begin immediate", "PRAGMA foreign_keys=ON", "VACUUM;"] {
            let error = Script::parse(text).unwrap().statements().unwrap_err();
            assert!(matches!(error, ScriptError::NotAllowed { line: 1, .. }), "{text}: {error}");
        }
        assert_eq!(plain("SELECT committed FROM t").len(), 1);
    }

    #[test]
    fn what_is_never_closed_is_named_by_where_it_opens() {
        let error = Script::parse("SELECT 1;\nSELECT 'a\n\n").unwrap_err();
        assert_eq!(error, ScriptError::Unterminated { what: "a quote", line: 2 });
        let error = Script::parse("/* a").unwrap_err();
        assert_eq!(error, ScriptError::Unterminated { what: "a comment", line: 1 });
    }

    #[test]
    fn dropping_on_purpose_is_seen() {
        assert_eq!(dropped("DROP INDEX IF EXISTS \"ix_a\""), Some("ix_a".to_owned()));
        assert_eq!(dropped("drop trigger tr"), Some("tr".to_owned()));
        assert_eq!(dropped("DROP TABLE t"), None);
    }

    proptest! {
        #[test]
        fn canonical_form_is_a_fixed_point(text in "[a;'\" \\-/*\\[\\]\n\r]{0,60}") {
            if let Ok(script) = Script::parse(&text) {
                prop_assert_eq!(canonical(&script.canonical()), script.canonical());
            }
        }
    }
}
