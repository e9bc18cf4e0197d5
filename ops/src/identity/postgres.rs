//! Identity of a PostgreSQL database, in one snapshot that cannot write.

use super::{Identity, Migrations, Schema, ServerFacts, contents};
use crate::db::DbError;
use crate::db::postgres::{ConnectOptions, Session};
use crate::ids;
use crate::url::{DbUrl, PostgresUrl};

/// Reads the identity of the database that `url` names.
pub fn of_postgres(url: &PostgresUrl, options: &ConnectOptions) -> Result<Identity, DbError> {
    let mut session = Session::connect(url, options)?;
    let facts = session.facts()?;
    let mut notes = Vec::new();
    // The server holds foreign keys itself, unless they were declared without looking at older rows.
    if facts.not_valid_constraints > 0 {
        notes.push(format!(
            "{} constraints are NOT VALID: older rows may break them",
            facts.not_valid_constraints
        ));
    }
    let mut identity = Identity {
        format: 1,
        url: DbUrl::Postgres(url.clone()).to_string(),
        fingerprint: String::new(),
        file: None,
        server: None,
        lineage: None,
        migrations: Migrations::default(),
        schema: Schema::default(),
        runs: None,
        phases: None,
        telemetry: None,
        foreign_keys: None,
        notes,
    };
    contents::fill(&mut identity, &mut session, None, (facts.schema, facts.tables))?;
    let server = ServerFacts {
        version: facts.server_version,
        database: facts.database,
        database_oid: u64::from(facts.oid),
        system_identifier: facts.system_identifier.map(|n| n.to_string()),
        size_bytes: facts.size_bytes,
        replica: facts.in_recovery,
        encrypted: facts.encrypted,
    };
    let lineage = identity.lineage.as_ref().map_or("-", |lineage| lineage.id.as_str());
    let place =
        format!("{}:{}", server.system_identifier.as_deref().unwrap_or(&identity.url), server.database_oid);
    ids::sha256(format!("postgres\n{lineage}\n{place}").as_bytes())[..12]
        .clone_into(&mut identity.fingerprint);
    identity.server = Some(server);
    Ok(identity)
}
