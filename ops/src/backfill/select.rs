//! Making a plan: which candidates there are, in which order, and what doing the steps will change.
//!
//! Every table is read completely, or there is no plan. Results are read first and kept as one small entry a candidate
//! that has any; then the candidates are read, sorted on disk, and written in order. Nothing is sent but reads.

use std::collections::HashMap;
use std::path::Path;

use super::BackfillError;
use super::plan::{
    BackfillDir, Batch, Candidate, Draft, Effect, Expected, Facts, Has, IdColumn, Read, Source, Touched,
    runtime_seconds,
};
use super::seed::{Explicit, batch_of, explicit, keep_promises, require_environment};
use super::seed_plan::SeedPlan;
use super::settings::{ResultTable, Settings, Step};
use crate::change::plan::FileSeal;
use crate::clock::Stamp;
use crate::files::FileError;
use crate::guard::Refusal;
use crate::sort::Sorter;
use crate::target::schema::{Table, TableName};
use crate::target::{Capabilities, ScanProof, Target, TargetError, TargetIdentity};
use crate::value::{Digest128, Kind, ValueRef, digest_row, order_key, parse_json, write_json};

/// What a plan is made for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The name of the section of `ops.toml`.
    pub name: &'a str,
    /// The section.
    pub settings: &'a Settings,
    /// The file of the section.
    pub origin: FileRef<'a>,
    /// A plan file that says which sessions, with its name and digest.
    pub seed: Option<(&'a SeedPlan, FileRef<'a>)>,
    /// Where functions are called, without secrets.
    pub functions: Option<&'a str>,
    /// Below which folder the plan goes.
    pub out: &'a Path,
    /// The time.
    pub now: Stamp,
    /// Version of the toolkit.
    pub tool: &'a str,
    /// How many candidates at most, the first in order.
    pub limit: Option<u64>,
}

/// A file by its name and digest.
#[derive(Debug, Clone, Copy)]
pub struct FileRef<'a> {
    /// Its name.
    pub file: &'a str,
    /// Its digest.
    pub sha256: &'a str,
}

impl FileRef<'_> {
    fn own(self) -> Source {
        Source { file: self.file.to_owned(), sha256: self.sha256.to_owned() }
    }
}

/// What planning came to.
#[derive(Debug)]
pub enum Planned {
    /// A plan.
    Plan(Box<BackfillDir>),
    /// Nothing lacks a result; no plan was written.
    Nothing {
        /// Rows that satisfy the conditions.
        examined: u64,
    },
}

/// Most bytes that sorting holds in memory.
const SORT_BYTES: usize = 16 << 20;

/// Reads the tables and writes a plan.
pub fn plan(target: &mut dyn Target, request: &Request<'_>) -> Result<Planned, BackfillError> {
    let settings = request.settings;
    let table = table_of(target, &settings.table)?;
    let tables = settings.results.iter().map(|result| table_of(target, &result.table));
    let tables: Vec<Table> = tables.collect::<Result<_, _>>()?;
    let mut facts = facts(target, request, &table, &tables)?;
    let mut steps = facts.batches.iter().flat_map(|batch| &batch.steps);
    steps.try_for_each(|step| can_be_done(&facts, step, &tables))?;
    let mut found = HashMap::new();
    for (i, (result, table)) in settings.results.iter().zip(&tables).enumerate() {
        let proof = results(target, table, result, i, &mut found)?;
        facts.reads.push(Read { table: table.name.to_string(), proof });
    }
    let explicit = request.seed.map(|(seed, _)| explicit(seed, facts.id.kind)).transpose()?;
    let mut draft = Draft::create(request.out)?;
    let mut choice = Choice {
        facts: &mut facts,
        settings,
        table: &table,
        found,
        explicit: explicit.unwrap_or_default(),
        sorter: Sorter::new(draft.scratch(), SORT_BYTES),
        picked: HashMap::new(),
        scratch: Vec::new(),
    };
    let proof = choice.read(target)?;
    let Choice { sorter, picked, explicit, .. } = choice;
    facts.reads.push(Read { table: table.name.to_string(), proof });
    write(&mut draft, &mut facts, sorter, picked, &explicit, request.limit)?;
    if facts.candidates == 0 {
        return Ok(Planned::Nothing { examined: facts.examined });
    }
    if let Some((seed, _)) = request.seed {
        keep_promises(&mut facts, seed)?;
    }
    facts.runtime_seconds = runtime_seconds(facts.candidates, facts.per_minute);
    Ok(Planned::Plan(Box::new(draft.finish(facts)?)))
}

fn table_of(target: &mut dyn Target, name: &str) -> Result<Table, BackfillError> {
    let parsed = TableName::parse(name);
    let parsed = parsed.ok_or_else(|| Refusal::new("no table has this name", "name or schema.name", name))?;
    Ok(target.table(&parsed)?)
}

fn column(table: &Table, name: &str) -> Result<usize, Refusal> {
    table.column(name).ok_or_else(|| {
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        Refusal::new(
            format!("{} has no column `{name}`", table.name),
            columns.join(", "),
            format!("`{name}`"),
        )
    })
}

/// The column of the ids, where it is a key and every column that is asked about is there.
fn known_columns(table: &Table, settings: &Settings) -> Result<usize, Refusal> {
    let id = column(table, &settings.id)?;
    if !table.is_key(&[id]) {
        let found = format!("column `{}`", settings.id);
        return Err(Refusal::new("candidates are named by a key", "a primary or unique key", found));
    }
    let asked = settings.conditions.iter().find_map(|condition| condition.missing(table));
    for name in settings.order.iter().map(String::as_str).chain(asked) {
        column(table, name)?;
    }
    Ok(id)
}

/// What can be said before a row is read.
fn facts(
    target: &mut dyn Target,
    request: &Request<'_>,
    table: &Table,
    tables: &[Table],
) -> Result<Facts, BackfillError> {
    let settings = request.settings;
    let kind = table.columns[known_columns(table, settings)?].kind;
    let results = settings.results.iter().zip(tables).map(|(result, table)| touched(result, table, kind));
    let results: Vec<Touched> = results.collect::<Result<_, _>>()?;
    let identity = target.identity()?;
    let (mut batches, mut notes, mut sources) = (Vec::new(), Vec::new(), vec![request.origin.own()]);
    if let Some((seed, source)) = request.seed {
        sources.push(source.own());
        require_environment(seed, &identity, request.now, &mut notes)?;
        for (b, batch) in seed.batches.iter().enumerate() {
            batches.push(batch_of(settings, b, batch)?);
        }
    } else {
        let (batch_id, steps) = (request.name.to_owned(), settings.steps.clone());
        batches.push(Batch { batch_id, description: String::new(), count: 0, steps });
    }
    notes.extend(warnings(&identity, &target.capabilities()));
    let calls = batches.iter().flat_map(|batch| &batch.steps).any(|step| step.function.is_some());
    if calls && request.functions.is_none() {
        let refusal = Refusal::new("it is not known where functions are called", "--functions URL", "none");
        return Err(refusal.next("name the project's base URL, or set SUPABASE_URL").into());
    }
    Ok(Facts {
        created_at: request.now.iso(),
        tool: request.tool.to_owned(),
        name: request.name.to_owned(),
        sources,
        environment: request.seed.map(|(seed, _)| seed.backfill_plan.environment.clone()),
        target: identity,
        functions: request.functions.filter(|_| calls).map(str::to_owned),
        table: table.name.to_string(),
        id: IdColumn { column: settings.id.clone(), kind },
        conditions: settings.conditions.iter().map(ToString::to_string).collect(),
        order: settings.order.clone(),
        parameter: settings.parameter.clone(),
        expected: results
            .iter()
            .map(|t| Expected { table: t.result.table.clone(), ..Expected::default() })
            .collect(),
        results,
        batches,
        per_minute: request
            .seed
            .map_or(settings.per_minute, |(seed, _)| seed.backfill_plan.throttle_per_minute),
        calls_per_minute: settings.calls_per_minute,
        timeout_seconds: settings.timeout_seconds,
        tries_max: settings.tries_max,
        errors_max: settings.errors_max,
        reads: Vec::new(),
        examined: 0,
        current: 0,
        candidates: 0,
        promised: Vec::new(),
        runtime_seconds: 0,
        notes,
        list: FileSeal { path: String::new(), bytes: 0, sha256: String::new() },
    })
}

/// What a person should know of a database, whatever the plan is.
fn warnings(identity: &TargetIdentity, capabilities: &Capabilities) -> impl Iterator<Item = String> {
    let unstamped = identity
        .lineage
        .is_none()
        .then_some("the database was never stamped: that it is the right one rests on its fingerprint");
    let unlocked = (!capabilities.books_in_target).then_some(
        "this target has no lock of its own: only the folder of the plan keeps a second runner away, and not one on \
         another machine",
    );
    unstamped.into_iter().chain(unlocked).map(str::to_owned)
}

/// Refuses a step that this target or this table has no way for.
fn can_be_done(facts: &Facts, step: &Step, tables: &[Table]) -> Result<(), Refusal> {
    if step.sql.is_some() && facts.target.driver == "postgrest" {
        let refusal =
            Refusal::new("a REST API runs no statements", "steps of functions and columns", "a step `sql`");
        return Err(
            refusal.next("name the database itself as --target, or put the statement into a function")
        );
    }
    let place = facts.written_by(step);
    let (table, touched) = (&tables[place], &facts.results[place]);
    for name in step.set.keys() {
        let index = column(table, name)?;
        let what = format!("`set` cannot change `{name}` of {}", table.name);
        if touched.row_key.contains(name) || touched.result.link == *name {
            return Err(Refusal::new(
                what,
                "columns beside the key and the link",
                "one that tells rows apart",
            ));
        }
        if !table.writable().contains(&index) {
            return Err(Refusal::new(what, "a column that can be written", "a computed one"));
        }
    }
    Ok(())
}

/// A table of results as plans know it.
fn touched(result: &ResultTable, table: &Table, id: Kind) -> Result<Touched, Refusal> {
    let link = column(table, &result.link)?;
    for name in result.stamp.keys() {
        column(table, name)?;
    }
    let kind = table.columns[link].kind;
    if kind != id && kind != Kind::Any && id != Kind::Any {
        let what = format!("`{}` of {} cannot hold a candidate's id", result.link, table.name);
        return Err(Refusal::new(what, format!("{id:?}"), format!("{kind:?}")));
    }
    let key: Vec<usize> = result.key.iter().map(|name| column(table, name)).collect::<Result<_, _>>()?;
    let key = if table.is_key(&key) { key } else { table.primary_key.clone() };
    if key.is_empty() {
        let what = format!("rows of {} cannot be restored", table.name);
        return Err(Refusal::new(what, "a primary key, or the key of the settings", "neither"));
    }
    let row_key = key.iter().map(|i| table.columns[*i].name.clone()).collect();
    Ok(Touched { result: result.clone(), row_key, schema: table.digest() })
}

/// What each candidate has of the results, two bits a table: a row, and a current one.
type FoundResults = HashMap<Digest128, u32>;

/// Reads a table of results.
fn results(
    target: &mut dyn Target,
    table: &Table,
    result: &ResultTable,
    place: usize,
    found: &mut FoundResults,
) -> Result<ScanProof, BackfillError> {
    let link = column(table, &result.link)?;
    let stamp: Vec<_> = result.stamp.iter().map(|(name, value)| (table.column(name), value)).collect();
    let mut scratch = Vec::new();
    let proof = target.scan(table, &mut |row| {
        if row[link] != ValueRef::Null {
            let is_current = stamp.iter().all(|(i, value)| i.is_some_and(|i| value.matches(row[i])));
            let bits = if is_current { 0b11 } else { 0b01 };
            let key = digest_row(std::iter::once(row[link]), &mut scratch);
            *found.entry(key).or_insert(0) |= bits << (2 * place);
        }
        Ok(())
    })?;
    Ok(proof)
}

/// The reading of the candidates.
struct Choice<'a> {
    facts: &'a mut Facts,
    settings: &'a Settings,
    table: &'a Table,
    found: FoundResults,
    explicit: Explicit,
    sorter: Sorter,
    /// Sessions that a plan file names, once they were read: in the order of the file.
    picked: HashMap<usize, Candidate>,
    scratch: Vec<u8>,
}

impl Choice<'_> {
    fn read(&mut self, target: &mut dyn Target) -> Result<ScanProof, BackfillError> {
        let id = column(self.table, &self.settings.id)?;
        let order: Vec<usize> =
            self.settings.order.iter().map(|name| column(self.table, name)).collect::<Result<_, _>>()?;
        let table = self.table;
        Ok(target.scan(table, &mut |row| {
            self.see(row, id, &order).map_err(|e| TargetError::failed("keep the candidates on disk", e))
        })?)
    }

    fn see(&mut self, row: &[ValueRef<'_>], id: usize, order: &[usize]) -> std::io::Result<()> {
        let key = digest_row(std::iter::once(row[id]), &mut self.scratch);
        let bits = self.found.get(&key).copied().unwrap_or(0);
        let has: Vec<Has> = (0..self.facts.results.len()).map(|i| has(bits >> (2 * i))).collect();
        if let Some((place, batch)) = self.explicit.places.get(&key).copied() {
            let id = row[id].to_value();
            self.picked.insert(place, Candidate { n: 0, batch, id, has });
            return Ok(());
        }
        if !self.settings.conditions.iter().all(|condition| condition.holds(self.table, row)) {
            return Ok(());
        }
        self.facts.examined += 1;
        let Some(batch) = self.open_batch() else { return Ok(()) };
        let is_idle = |(_, effect)| matches!(effect, Effect::Nothing | Effect::Kept);
        if self.facts.effects(batch, &has).all(is_idle) {
            self.facts.current += 1;
            return Ok(());
        }
        let (mut sort, mut payload) = (Vec::new(), Vec::new());
        let values: Vec<_> = order.iter().chain([&id]).map(|i| row[*i].to_value()).collect();
        order_key(&values, &mut sort);
        payload.extend(has.iter().map(|has| *has as u8));
        write_json(row[id], &mut payload);
        self.sorter.push(&sort, &payload)
    }

    /// The first batch that takes candidates by count, or the only one.
    fn open_batch(&self) -> Option<usize> {
        if self.explicit.is_seed { self.explicit.counted.first().map(|(batch, _)| *batch) } else { Some(0) }
    }
}

fn has(bits: u32) -> Has {
    match bits & 0b11 {
        0 => Has::Missing,
        0b01 => Has::Other,
        _ => Has::Current,
    }
}

/// Writes the list: the sessions that a file names in its order, then those that were found, in theirs.
fn write(
    draft: &mut Draft,
    facts: &mut Facts,
    sorter: Sorter,
    mut picked: HashMap<usize, Candidate>,
    explicit: &Explicit,
    limit: Option<u64>,
) -> Result<(), BackfillError> {
    let mut push = |facts: &mut Facts, candidate: Candidate| -> Result<(), FileError> {
        facts.batches[candidate.batch].count += 1;
        facts.expect(candidate.batch, &candidate.has);
        facts.candidates += 1;
        draft.push(&candidate)
    };
    for (place, key) in explicit.keys.iter().enumerate() {
        let missing = || {
            Refusal::new(
                format!("`{key}`: there is no such session"),
                format!("a row of {}", facts.table),
                "none",
            )
            .next("look whether this is the right database, or leave the session out")
        };
        let candidate = picked.remove(&place).ok_or_else(missing)?;
        push(facts, Candidate { n: place as u64, ..candidate })?;
    }
    let not_sorted =
        |e| FileError::new("sort the candidates of", std::path::Path::new(super::plan::CANDIDATES), e);
    let mut found = sorter.finish().map_err(not_sorted)?;
    let mut counted = explicit.counted.iter().copied();
    let mut open = if explicit.is_seed { counted.next() } else { Some((0, limit.unwrap_or(u64::MAX))) };
    while let Some((batch, wanted)) = open {
        let mut taken = 0;
        while taken < wanted {
            let Some((_, payload)) = found.next().map_err(not_sorted)? else { break };
            let (bits, id) = payload.split_at(facts.results.len());
            let has = bits
                .iter()
                .map(|byte| [Has::Missing, Has::Other, Has::Current][usize::from(*byte)])
                .collect();
            let id = std::str::from_utf8(id).ok().and_then(|id| parse_json(id, facts.id.kind).ok());
            let id = id.ok_or_else(|| Refusal::new("an id cannot be read back", "an id", "another value"))?;
            push(facts, Candidate { n: facts.candidates, batch, id, has })?;
            taken += 1;
        }
        if explicit.is_seed && taken < wanted {
            let what =
                format!("`batches[{batch}].session_count`: there are fewer sessions that lack a result");
            return Err(Refusal::new(what, wanted.to_string(), taken.to_string())
                .next("cargo xtask health says how many there are")
                .into());
        }
        open = counted.next();
    }
    Ok(())
}
