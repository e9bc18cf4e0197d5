//! PostgreSQL: a database of a private cluster, written by a plain session beside the driver.

use std::path::Path;

use ops::target::Target;
use ops::target::postgres::{PostgresOptions, PostgresTarget};
use ops::url::{DbUrl, PostgresUrl};
use postgres::{Client, NoTls, SimpleQueryMessage};

use super::world::{Dialect, World};
use crate::support::postgres::Cluster;

/// A database whose schema `public` is made anew for each case.
pub(crate) struct PostgresWorld {
    url: String,
    client: Client,
}

impl PostgresWorld {
    pub(crate) fn new(cluster: &Cluster) -> Self {
        let url = cluster.url(&cluster.database());
        let client = Client::connect(&url, NoTls).unwrap();
        Self { url, client }
    }
}

/// The URL as the driver takes it.
pub(crate) fn parsed(url: &str) -> PostgresUrl {
    match DbUrl::parse(url, Path::new("/")).unwrap() {
        DbUrl::Postgres(url) => url,
        other => panic!("{other} is not PostgreSQL"),
    }
}

/// Runs statements; the rows of the last one.
pub(crate) fn rows(client: &mut Client, sql: &str) -> Vec<Vec<Option<String>>> {
    let mut last = Vec::new();
    let mut now = Vec::new();
    for message in client.simple_query(sql).unwrap() {
        match message {
            SimpleQueryMessage::Row(row) => {
                now.push((0..row.len()).map(|i| row.get(i).map(str::to_owned)).collect());
            }
            SimpleQueryMessage::CommandComplete(_) => last = std::mem::take(&mut now),
            _ => {}
        }
    }
    last
}

impl World for PostgresWorld {
    fn driver(&self) -> &'static str {
        "postgres"
    }

    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn fresh(&mut self) {
        self.sql(
            "SET client_min_messages = warning; SET timezone = 'UTC';
             SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';
             DROP SCHEMA public CASCADE; CREATE SCHEMA public",
        );
    }

    fn sql(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        rows(&mut self.client, sql)
    }

    fn open(&mut self) -> Box<dyn Target> {
        Box::new(PostgresTarget::connect(&parsed(&self.url), PostgresOptions::default()).unwrap())
    }

    /// Every relation, and every row with the transactions that made it and that locked it.
    fn trace(&mut self) -> String {
        let relations = "SELECT c.relname, c.relkind, c.relfilenode FROM pg_class c
            WHERE c.relnamespace = 'public'::regnamespace ORDER BY 1";
        let mut trace = format!("{:?}", self.sql(relations));
        let tables = "SELECT c.oid::regclass FROM pg_class c
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' ORDER BY 1";
        for table in self.sql(tables) {
            let table = table[0].clone().unwrap();
            trace.push_str(&format!(
                "{:?}",
                self.sql(&format!("SELECT ctid, xmin, xmax, t FROM {table} t ORDER BY 1"))
            ));
        }
        trace
    }
}
