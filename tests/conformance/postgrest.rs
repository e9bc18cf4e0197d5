//! PostgREST behind a gateway, with and without the functions of `migrations/postgres`; a plain session of
//! PostgreSQL is the other client.

use std::path::Path;

use ops::clock::Stamp;
use ops::target::Target;
use ops::target::postgrest::{ApiKey, Postgrest, PostgrestOptions};
use ops::url::DbUrl;
use postgres::{Client, NoTls, SimpleQueryMessage};
use secrecy::SecretString;

use super::world::{Dialect, Type, World};
use crate::stack::Stack;

/// A stack of its own.
pub(crate) struct PostgrestWorld {
    stack: Stack,
    client: Client,
    has_functions: bool,
}

/// Everything in the exposed schema but the functions and their books, which are only emptied.
const CLEAR: &str = r"
DO $$
DECLARE
    what text;
BEGIN
    FOR what IN
        SELECT format('DROP %s IF EXISTS %I.%I CASCADE', CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, nspname, relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE nspname = 'public' AND relkind IN ('r', 'p', 'v') AND relname NOT LIKE 'ops\_change\_%'
    LOOP EXECUTE what; END LOOP;
    FOR what IN
        SELECT format('DROP FUNCTION IF EXISTS %s CASCADE', p.oid::regprocedure) FROM pg_proc p
        WHERE pronamespace = 'public'::regnamespace AND proname NOT LIKE 'ops\_change\_%'
    LOOP EXECUTE what; END LOOP;
    FOR what IN
        SELECT format('DROP TYPE IF EXISTS %s CASCADE', t.oid::regtype) FROM pg_type t
        WHERE typnamespace = 'public'::regnamespace AND typelem = 0
            AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind <> 'c')
        UNION ALL
        SELECT format('DROP COLLATION %I', collname) FROM pg_collation WHERE collnamespace = 'public'::regnamespace
    LOOP EXECUTE what; END LOOP;
    IF to_regclass('ops_change_runs') IS NOT NULL THEN
        TRUNCATE ops_change_runs, ops_change_batches;
    END IF;
END $$";

impl PostgrestWorld {
    pub(crate) fn new(stack: Stack, has_functions: bool) -> Self {
        if has_functions {
            let file =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations/postgres/change_functions.sql");
            stack.install(&file);
            stack.reload();
        }
        let client = Client::connect(stack.fact("database_url"), NoTls).unwrap();
        Self { stack, client, has_functions }
    }
}

impl World for PostgrestWorld {
    fn driver(&self) -> &'static str {
        if self.has_functions { "postgrest with functions" } else { "postgrest without functions" }
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn fresh(&mut self) {
        self.client.batch_execute(CLEAR).unwrap();
    }

    fn sql(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        let mut rows = Vec::new();
        let mut is_over = false;
        for message in self.client.simple_query(sql).unwrap() {
            match message {
                SimpleQueryMessage::Row(row) => {
                    if std::mem::take(&mut is_over) {
                        rows.clear();
                    }
                    rows.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
                }
                SimpleQueryMessage::CommandComplete(_) => is_over = true,
                _ => {}
            }
        }
        rows
    }

    fn ddl(&mut self, sql: &str) {
        self.sql(sql);
        self.stack.reload();
    }

    fn open(&mut self) -> Box<dyn Target> {
        let DbUrl::PostgRest(url) = DbUrl::parse(self.stack.url(), Path::new("/")).unwrap() else {
            panic!("{}", self.stack.url())
        };
        let now = Stamp::parse("2026-01-02T03:04:05Z").unwrap();
        let name = if self.has_functions { "secret" } else { "service_role" };
        let key = ApiKey::check(&SecretString::from(self.stack.key(name)), &url, now).unwrap();
        Box::new(Postgrest::open(&url, &key, &PostgrestOptions::default()).unwrap())
    }

    fn shows_catalogue(&self) -> bool {
        self.has_functions
    }

    fn can_write(&self, ty: Type, text: &str) -> bool {
        self.has_functions || !(matches!(ty, Type::Json | Type::Jsonb) && text == "null")
    }

    /// Requests that could write, and the rows.
    fn trace(&mut self) -> String {
        let is_write =
            |request: &serde_json::Value| request["method"] != "GET" && request["method"] != "HEAD";
        let writes = self.stack.requests("").iter().filter(|request| is_write(request)).count();
        format!("{writes} {:?}", self.sql("SELECT xmin, t FROM t"))
    }
}
