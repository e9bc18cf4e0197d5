//! What identifies a PostgreSQL database: the cluster, the database and its schema, from one snapshot.
//!
//! The schema is a list of lines that do not depend on the search path, on object numbers or on the order in
//! which columns were added, so that two databases with the same schema give the same lines. Nothing here may
//! read the rows of a user's table.

use super::{RETURN_TO_SAVEPOINT, Session};
use crate::db::postgres::cause::Cause;
use crate::db::{Cell, DbError, LINEAGE_TABLE};

/// What the server says about itself and the database. User and password are not part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts {
    /// `server_version` as the server prints it, such as `15.4 (Debian 15.4-1)`.
    pub server_version: String,
    /// The name of the database.
    pub database: String,
    /// The database's number in its cluster; a dropped and recreated database has another.
    pub oid: u32,
    /// Size on the server's disk in bytes, all forks and indexes included.
    pub size_bytes: u64,
    /// The cluster's number from `initdb`, which a physical replica shares and a restored dump does not.
    /// `None` when this user may not ask.
    pub system_identifier: Option<u64>,
    /// Whether the server is a replica.
    pub in_recovery: bool,
    /// Whether the server's connection is encrypted; behind a pooler that is the pooler's connection.
    pub encrypted: bool,
    /// One line for each extension, relation, column, type, constraint, index, view definition and trigger
    /// outside the system's schemas, sorted by bytes; functions, grants and sequences' values are not in it.
    /// Without [`LINEAGE_TABLE`]: stamping a database does not change its schema.
    pub schema: Vec<String>,
    /// The tables that no extension brought, `schema.name` with quotes where SQL needs them, sorted. A partitioned table stands for its
    /// partitions; foreign tables are left out, their rows are elsewhere.
    pub tables: Vec<String>,
    /// Constraints that are declared but `NOT VALID`: older rows may break them.
    pub not_valid_constraints: u64,
}

/// Which database on which cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// As [`ServerFacts::oid`].
    pub oid: u32,
    /// As [`ServerFacts::system_identifier`].
    pub system_identifier: Option<u64>,
}

impl Session {
    /// Which database this is.
    pub fn place(&mut self) -> Result<Place, DbError> {
        let read = |session: &mut Self| -> Result<Place, Cause> {
            let oid = number(&session.value(OID)?)?;
            Ok(Place { oid, system_identifier: session.system_identifier()? })
        };
        read(self).map_err(|cause| DbError::new("read the identity of the database", cause))
    }

    /// Reads everything in the session's snapshot.
    pub fn facts(&mut self) -> Result<ServerFacts, DbError> {
        self.try_facts().map_err(|cause| DbError::new("read the identity of the database", cause))
    }

    fn try_facts(&mut self) -> Result<ServerFacts, Cause> {
        // Definitions are printed with the schema of everything that is not on the search path.
        self.attempt(|client, secrets| {
            client.batch_execute("SET LOCAL search_path = pg_catalog").map_err(|e| Cause::driver(&e, secrets))
        })?;
        let facts = self.read_facts();
        // The savepoint undoes the SET as well.
        let restored = self.attempt(|client, secrets| {
            client.batch_execute(RETURN_TO_SAVEPOINT).map_err(|e| Cause::driver(&e, secrets))
        });
        facts.and_then(|facts| restored.map(|()| facts))
    }

    fn read_facts(&mut self) -> Result<ServerFacts, Cause> {
        let schema = SCHEMA.map(complete).join(" UNION ALL ");
        let mut schema = self.texts(&schema)?;
        schema.sort_unstable();
        let mut tables = self.texts(&complete(TABLES))?;
        tables.sort_unstable();
        let not_valid_constraints = number(&self.value(&complete(NOT_VALID))?)?;
        Ok(ServerFacts {
            server_version: self.value("SELECT current_setting('server_version')")?.show(),
            database: self.value("SELECT current_database()::text")?.show(),
            oid: number(&self.value(OID)?)?,
            size_bytes: number(&self.value("SELECT pg_database_size(current_database())")?)?,
            in_recovery: self.value("SELECT pg_is_in_recovery()")? == Cell::Int(1),
            encrypted: self.value(ENCRYPTED)? == Cell::Int(1),
            schema,
            tables,
            not_valid_constraints,
            // Last: its failure goes back to the savepoint, and with it to the user's search path.
            system_identifier: self.system_identifier()?,
        })
    }

    fn system_identifier(&mut self) -> Result<Option<u64>, Cause> {
        // The function gives a signed number for what the server's tools print unsigned.
        match self.value("SELECT system_identifier FROM pg_control_system()") {
            Ok(Cell::Int(n)) => Ok(Some(n.cast_unsigned())),
            Ok(_) => Ok(None),
            Err(cause) if cause.is_not_permitted() => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    fn texts(&mut self, sql: &str) -> Result<Vec<String>, Cause> {
        Ok(self.read(sql)?.iter().filter_map(|row| row.first()).map(Cell::show).collect())
    }

    fn value(&mut self, sql: &str) -> Result<Cell, Cause> {
        let value = self.read(sql)?.into_iter().flatten().next();
        value.ok_or_else(|| Cause::new("the server answered with no row"))
    }
}

fn number<T: TryFrom<u64>>(cell: &Cell) -> Result<T, Cause> {
    let number = cell.count().and_then(|n| T::try_from(n).ok());
    number.ok_or_else(|| Cause::new(format!("the server sent `{}` for a count", cell.show())))
}

const OID: &str = "SELECT oid::bigint FROM pg_database WHERE datname = current_database()";
const ENCRYPTED: &str = "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)";

/// Fills in what the queries share. `{user}` holds for a schema `n` that is not the system's; `{own}` also for
/// a relation `c` in it, and `{own_type}` for a type `t`, that no extension brought. A schema line is about a
/// relation `{described}`.
fn complete(sql: &str) -> String {
    let own = |catalogue: &str, alias: &str| {
        format!(
            "{{user}} AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = '{catalogue}'::regclass \
             AND d.objid = {alias}.oid AND d.deptype = 'e')"
        )
    };
    sql.replace("{described}", &format!("{{own}} AND c.relname <> '{LINEAGE_TABLE}'"))
        .replace("{own}", &own("pg_class", "c"))
        .replace("{own_type}", &own("pg_type", "t"))
        .replace("{user}", "n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'")
        .replace("{name}", "quote_ident(n.nspname) || '.' || quote_ident(c.relname)")
}

const TABLES: &str = "SELECT {name} FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND {own}";

const NOT_VALID: &str = "SELECT count(*) FROM pg_constraint k JOIN pg_namespace n ON n.oid = k.connamespace \
     WHERE NOT k.convalidated AND {user}";

/// Each gives one text column of schema lines.
const SCHEMA: [&str; 9] = [
    "SELECT format('extension %I %s', e.extname, e.extversion) FROM pg_extension e",
    "SELECT format('relation %s kind=%s persistence=%s row_security=%s', {name}, c.relkind, \
         c.relpersistence, c.relrowsecurity) \
         || coalesce(' partition by ' || pg_get_partkeydef(c.oid), '') \
         || coalesce(' partition ' || pg_get_expr(c.relpartbound, c.oid), '') \
         || coalesce((SELECT ' of ' || string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno) \
             FROM pg_inherits i WHERE i.inhrelid = c.oid), '') \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND {described}",
    "SELECT format('column %s.%I %s', {name}, a.attname, format_type(a.atttypid, a.atttypmod)) \
         || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END \
         || CASE WHEN a.attidentity <> '' THEN ' identity=' || a.attidentity::text ELSE '' END \
         || CASE WHEN a.attgenerated <> '' THEN ' generated=' || a.attgenerated::text ELSE '' END \
         || CASE WHEN a.attcollation <> t.typcollation THEN ' collate ' || a.attcollation::regcollation::text \
             ELSE '' END \
         || coalesce(' default ' || pg_get_expr(f.adbin, f.adrelid), '') \
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_type t ON t.oid = a.atttypid \
     LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') AND {described}",
    // Since version 18 NOT NULL is listed as a constraint too; the column's line has it already.
    "SELECT format('constraint %s.%I %s', {name}, k.conname, pg_get_constraintdef(k.oid)) \
     FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE k.contype <> 'n' AND {described}",
    "SELECT format('index %s %s valid=%s', {name}, pg_get_indexdef(i.indexrelid), i.indisvalid) \
     FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE {described}",
    "SELECT format('definition %s %s', {name}, pg_get_viewdef(c.oid)) \
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('v', 'm') AND {described}",
    "SELECT format('trigger %s enabled=%s %s', {name}, g.tgenabled, pg_get_triggerdef(g.oid)) \
     FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     WHERE NOT g.tgisinternal AND {described}",
    "SELECT format('enum %I.%I %s', n.nspname, t.typname, \
         string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)) \
     FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace JOIN pg_enum e ON e.enumtypid = t.oid \
     WHERE {own_type} GROUP BY n.nspname, t.typname",
    "SELECT format('domain %I.%I %s', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod)) \
         || CASE WHEN t.typnotnull THEN ' not null' ELSE '' END \
         || coalesce(' default ' || t.typdefault, '') \
         || coalesce((SELECT ' ' || string_agg(pg_get_constraintdef(k.oid), ' ' ORDER BY k.conname COLLATE \"C\") \
             FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype <> 'n'), '') \
     FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype = 'd' AND {own_type}",
];
