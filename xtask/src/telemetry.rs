//! The pipeline's own telemetry: each task as a row of `jobs`, each record of the gates as a row of `pipeline_stages`.
//!
//! Off unless `TELEMETRY_DATABASE_URL` names a store and `TELEMETRY_DB_ENABLED` is on. A store that cannot be written to
//! never stops a task and is never silent: what is missing is said on stderr. With `TELEMETRY_DEBUG=1` it ends in failure.

use anyhow::Context;
use ops::change::gate;
use ops::clock::Stamp;
use ops::ids::Ids;
use ops::telemetry::Flag;
use ops::telemetry::producers::job_run::JOBS;
use ops::telemetry::producers::stage::STAGES;
use ops::telemetry::producers::{Exit, JobRun, Stage};
use ops::telemetry::store::{Store, StoreOptions};

use crate::exit::Code;
use crate::output;
use crate::settings::Settings;

/// Runs a task and records that it ran, how it ended and how long it took.
pub(crate) fn recorded(settings: &Settings, name: &str, task: impl FnOnce() -> Code) -> Code {
    let is_debug = settings.store_options().is_ok_and(|options| options.debug);
    let store = match open(settings) {
        Ok(Some(store)) => store,
        Ok(None) => {
            // A store was named, so somebody expects rows in it.
            if settings.telemetry_url().is_ok_and(|url| url.is_some()) {
                output::stderr(&format!("telemetry: {}\n", flag(settings).explain()));
            }
            return task();
        }
        Err(error) => {
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            output::stderr(&format!("telemetry: {}\n", causes.join(": ")));
            return if is_debug { Code::Failed } else { task() };
        }
    };
    // Not of the seed that makes outputs comparable: two runs are two rows.
    let id = Ids::Os.hex("job", 8);
    let began = JobRun::begin(&id, name, settings.clock.now());
    // What is refused is in the books, which are read at the end.
    let _ = store.record(&began);
    let code = task();
    let (exit, errors) = match code {
        Code::Done | Code::Pending => (Exit::Success, 0),
        Code::Interrupted => (Exit::Cancelled, 0),
        Code::Failed | Code::Usage | Code::Refused | Code::Partly | Code::GateNotMet => (Exit::Failed, 1),
    };
    let finished = Some((settings.clock.now(), exit));
    let _ = store.record(&JobRun { finished, exit_code: Some(code.number()), errors, ..began });
    let ledger = store.shutdown();
    if ledger.is_all_written() {
        return code;
    }
    let why = store.stats().last_error.unwrap_or_default();
    output::stderr(&format!("telemetry: {}: {why}\n", ledger.equation()));
    if is_debug { Code::Failed } else { code }
}

/// Says a record of the gates, when somebody listens.
pub(crate) fn stage(settings: &Settings, record: &gate::Record) {
    // Why there is no store was said when the task began.
    let Ok(Some(store)) = open(settings) else { return };
    let at = Stamp::parse(&record.at).map_or_else(|| record.at.clone(), Stamp::db);
    let detail = serde_json::to_string(&record.detail).unwrap_or_default();
    let _ = store.record(&Stage {
        digest: &record.digest,
        at: &at,
        sequence: record.seq,
        stage: record.stage.as_str(),
        decision: record.decision.as_str(),
        plan: &record.plan,
        target: &record.target,
        lineage: record.lineage.as_deref(),
        detail: &detail,
        tool: &record.tool,
    });
}

fn flag(settings: &Settings) -> Flag {
    Flag::parse(settings.telemetry_flag.as_deref())
}

/// The store of this process, if one was named and telemetry is on.
fn open(settings: &Settings) -> anyhow::Result<Option<Store>> {
    let Some(url) = settings.telemetry_url()?.filter(|_| flag(settings).is_on()) else { return Ok(None) };
    let options = StoreOptions { tables: vec![&JOBS, &STAGES], ..settings.store_options()? };
    Store::shared(&url, options).map(Some).with_context(|| format!("failed to write telemetry to {url}"))
}
