//! Identity of a PostgreSQL database, in one snapshot that cannot write.

use super::{Identity, Migrations, Schema, ServerFacts, Source, contents};
use crate::db::postgres::{ConnectOptions, Place, Session};
use crate::db::{DbError, Lineage};
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
    let place = Place { oid: facts.oid, system_identifier: facts.system_identifier };
    identity.fingerprint = fingerprint(identity.lineage.as_ref(), &identity.url, place);
    identity.server = Some(server);
    Ok(identity)
}

/// Names the database that `url` names, without looking at more of it than that takes.
pub fn source_of_postgres(url: &PostgresUrl, options: &ConnectOptions) -> Result<Source, DbError> {
    let mut session = Session::connect(url, options)?;
    let lineage = contents::lineage(&mut session)?;
    let url = DbUrl::Postgres(url.clone()).to_string();
    let fingerprint = fingerprint(lineage.as_ref(), &url, session.place()?);
    Ok(Source { url, fingerprint, lineage })
}

fn fingerprint(lineage: Option<&Lineage>, url: &str, place: Place) -> String {
    let lineage = lineage.map_or("-", |lineage| lineage.id.as_str());
    // The URL only where the role may not ask the server.
    let cluster = place.system_identifier.map_or_else(|| url.to_owned(), |n| n.to_string());
    ids::sha256(format!("postgres\n{lineage}\n{cluster}:{}", place.oid).as_bytes())[..12].to_owned()
}
