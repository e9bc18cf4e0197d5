//! What a table is made of, in SQL that makes another one like it.
//!
//! Taken from the catalogue of the original, expressions in the words of the server, with every name qualified. Where
//! only the API of the original is known, from what the plan knows of the table.

use ::postgres::Transaction;

use super::catalog::{quote, quoted};
use super::fault::Fault;
use crate::target::schema::{Origin, Table};

/// A table to be made.
#[derive(Debug, Default)]
pub(super) struct Blueprint {
    pub(super) columns: Vec<Column>,
    /// Constraints by name, and indexes, that hold for the rows of the table alone.
    pub(super) rules: Vec<Rule>,
    /// What is not made, in sentences.
    pub(super) lacks: Vec<String>,
}

/// A column to be made.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its type as the server prints it.
    pub(super) type_name: String,
    /// The type below all domains.
    pub(super) base: String,
    /// Qualified and quoted, where it is not that of the type.
    pub(super) collation: Option<String>,
    pub(super) not_null: bool,
    /// The default, or the expression of a computed column.
    pub(super) expression: Option<String>,
    pub(super) origin: Origin,
    /// The last number that its sequence gave; `None` where that is not known, 0 when it never gave one.
    pub(super) last: Option<i64>,
}

/// A constraint or an index.
#[derive(Debug)]
pub(super) struct Rule {
    /// For people.
    pub(super) name: String,
    /// What comes before and after the table's name.
    pub(super) sql: (String, String),
}

const COLUMNS: &str = "\
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), format_type(b.base, CASE WHEN b.base = a.atttypid THEN a.atttypmod ELSE -1 END), \
    CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation \
        THEN quote_ident(n.nspname) || '.' || quote_ident(c.collname) END, \
    a.attnotnull, pg_get_expr(f.adbin, f.adrelid), a.attgenerated::text, a.attidentity::text, s.oid \
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid \
LEFT JOIN pg_collation c ON c.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = c.collnamespace \
LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum \
LEFT JOIN LATERAL (SELECT q.oid FROM pg_depend d JOIN pg_class q ON q.oid = d.refobjid AND q.relkind = 'S' \
    WHERE d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass \
    UNION ALL SELECT q.oid FROM pg_depend d JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S' \
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum \
        AND d.classid = 'pg_class'::regclass AND d.deptype = 'i' LIMIT 1) s ON true \
CROSS JOIN LATERAL (WITH RECURSIVE chain AS (SELECT a.atttypid AS oid, 1 AS depth \
    UNION ALL SELECT d.typbasetype, c.depth + 1 FROM chain c JOIN pg_type d ON d.oid = c.oid AND d.typtype = 'd') \
    SELECT oid AS base FROM chain ORDER BY depth DESC LIMIT 1) b \
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

const CONSTRAINTS: &str = "\
SELECT conname::text, contype::text, pg_get_constraintdef(oid) FROM pg_constraint \
WHERE conrelid = $1 AND contype IN ('p', 'u', 'c', 'x', 'f') ORDER BY contype <> 'p', conname";

/// The prefix is what comes before the table in the text of the definition.
const INDEXES: &str = "\
SELECT c.relname::text, pg_get_indexdef(i.indexrelid), \
    'CREATE ' || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX ' || quote_ident(c.relname) || ' ON ', \
    quote_ident(n.nspname) || '.' || quote_ident(t.relname) \
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid \
JOIN pg_namespace n ON n.oid = t.relnamespace \
WHERE i.indrelid = $1 AND i.indisvalid \
    AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.conrelid = $1) ORDER BY c.relname";

const LACKS: &str = "\
SELECT 'trigger ' || quote_ident(tgname) FROM pg_trigger WHERE tgrelid = $1 AND NOT tgisinternal \
UNION ALL SELECT 'foreign key ' || quote_ident(conname) || ' of ' || conrelid::regclass FROM pg_constraint WHERE confrelid = $1 AND conrelid <> $1 AND contype = 'f' \
UNION ALL SELECT 'rule ' || quote_ident(rulename) FROM pg_rewrite WHERE ev_class = $1 \
UNION ALL SELECT 'row-level security' FROM pg_class WHERE oid = $1 AND relrowsecurity \
UNION ALL SELECT 'partitions' FROM pg_class WHERE oid = $1 AND relkind = 'p' ORDER BY 1";

impl Blueprint {
    /// That of a table of the database that `tx` looks at.
    pub(super) fn of_catalogue(tx: &mut Transaction<'_>, table: &Table) -> Result<Self, Fault> {
        tx.batch_execute("SET LOCAL search_path = pg_catalog, pg_temp")?;
        let oid: u32 = tx.query_one("SELECT $1::text::regclass::oid", &[&quoted(&table.name)])?.get(0);
        let mut made = Self::default();
        for row in tx.query(COLUMNS, &[&oid])? {
            let sequence: Option<u32> = row.get(8);
            let (generated, identity): (String, String) = (row.get(6), row.get(7));
            made.columns.push(Column {
                name: row.get(0),
                type_name: row.get(1),
                base: row.get(2),
                collation: row.get(3),
                not_null: row.get(4),
                expression: row.get(5),
                origin: match (generated.as_str(), identity.as_str()) {
                    ("", "a") => Origin::AlwaysNumbered,
                    ("", "d") => Origin::Numbered,
                    ("", _) => Origin::Written,
                    _ => Origin::Computed,
                },
                last: match sequence {
                    Some(sequence) => last(tx, sequence)?,
                    None => None,
                },
            });
        }
        for row in tx.query(CONSTRAINTS, &[&oid])? {
            let (name, kind, definition): (String, String, String) = (row.get(0), row.get(1), row.get(2));
            if kind == "f" {
                made.lacks.push(format!("foreign key {name}"));
            } else {
                made.rules.push(Rule::constraint(&name, &definition));
            }
        }
        for row in tx.query(INDEXES, &[&oid])? {
            let (name, definition, prefix, table): (String, String, String, String) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let rest =
                definition.strip_prefix(&prefix).map(|rest| rest.strip_prefix("ONLY ").unwrap_or(rest));
            match rest.and_then(|rest| rest.strip_prefix(&table)) {
                Some(rest) => made.rules.push(Rule { name, sql: (prefix, rest.to_owned()) }),
                None => made.lacks.push(format!("index {name}")),
            }
        }
        made.lacks.extend(tx.query(LACKS, &[&oid])?.iter().map(|row| row.get::<_, String>(0)));
        Ok(made)
    }

    /// What a plan knows of a table behind an API.
    pub(super) fn of_plan(table: &Table) -> Self {
        let mut made = Self::default();
        let is_key =
            |i: usize| table.primary_key.contains(&i) || table.unique.iter().any(|key| key.contains(&i));
        for (i, column) in table.columns.iter().enumerate() {
            let has_sequence = column.default.as_ref().is_some_and(|text| text.contains("nextval("));
            made.columns.push(Column {
                name: column.name.clone(),
                type_name: column.type_name.clone(),
                base: "text".to_owned(),
                collation: None,
                // It may have a default that the API does not show. A plan does not give it NULL, whatever this says.
                not_null: !column.nullable && (column.default.is_some() || is_key(i)),
                expression: column.default.clone(),
                origin: match column.origin {
                    // A serial column has a default like any other.
                    Origin::Numbered if has_sequence => Origin::Written,
                    origin => origin,
                },
                last: None,
            });
        }
        let names = |key: &Vec<usize>| {
            key.iter().map(|i| quote(&table.columns[*i].name)).collect::<Vec<_>>().join(", ")
        };
        if !table.primary_key.is_empty() {
            made.rules
                .push(Rule::constraint("ops_key", &format!("PRIMARY KEY ({})", names(&table.primary_key))));
        }
        for (n, key) in table.unique.iter().enumerate() {
            made.rules
                .push(Rule::constraint(&format!("ops_unique_{n}"), &format!("UNIQUE ({})", names(key))));
        }
        made.lacks.extend(table.notes.clone());
        made.lacks.push("what an API does not show: checks, other indexes, policies, collations".to_owned());
        made
    }
}

/// The last number of a sequence, as far as this role may know it.
fn last(tx: &mut Transaction<'_>, sequence: u32) -> Result<Option<i64>, Fault> {
    let sql = "SELECT CASE WHEN has_sequence_privilege($1::oid, 'SELECT,USAGE') \
        THEN coalesce(pg_sequence_last_value($1::oid), 0) END";
    Ok(tx.query_one(sql, &[&sequence])?.get(0))
}

impl Rule {
    fn constraint(name: &str, definition: &str) -> Self {
        let sql = ("ALTER TABLE ".to_owned(), format!(" ADD CONSTRAINT {} {definition}", quote(name)));
        Self { name: name.to_owned(), sql }
    }
}

/// An expression in which every `nextval` of a named sequence is one of `own` instead; `None` when another is left, for
/// it would move a sequence that is not the clone's.
pub(super) fn own_sequence(expression: &str, own: &str) -> Option<String> {
    const CALL: &str = "nextval('";
    const END: &str = "'::regclass)";
    let (mut made, mut rest) = (String::new(), expression);
    while let Some((before, after)) = rest.split_once(CALL) {
        // A name that holds a quote has it doubled, and so never ends like this.
        let (_, after) = after.split_once(END)?;
        made.push_str(before);
        made.push_str(own);
        rest = after;
    }
    made.push_str(rest);
    (!rest.contains("nextval")).then_some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_takes_numbers_from_the_clones_own_sequence() {
        let own = |text| own_sequence(text, "OWN");
        assert_eq!(own("nextval('public.t_id_seq'::regclass)").unwrap(), "OWN");
        assert_eq!(own("('A'::text || nextval('\"o''dd\".s'::regclass))").unwrap(), "('A'::text || OWN)");
        assert_eq!(own("now()").unwrap(), "now()");
        assert_eq!(own("nextval(which())"), None, "nobody knows which that is");
        assert_eq!(own("nextval('a'::regclass) + nextval(b())"), None);
    }
}
