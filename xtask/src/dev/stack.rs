//! `stack`: a Supabase project in small on this machine, for the live tests and for whoever wants to try
//! something.
//!
//! `tests/stack/launch.mjs` does the work, so that tests can do the same without this program. Here is only what
//! people see of it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use anyhow::Context;
use ops::guard::Refusal;
use ops::report::Document;
use ops::text::plural;
use serde_json::Value;
use xshell::{Shell, cmd};

use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;
use crate::signal;

/// Run PostgreSQL, PostgREST, edge functions and a gateway on this machine
///
/// Everything listens on the loopback interface only, on free ports, and lives in one folder, which `down` removes.
/// The servers are real but for the gateway: it imitates what a hosted project has before them (keys, routes),
/// writes down every request, and misbehaves when told to.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// The folder of the stack
    #[arg(long, value_name = "DIR", default_value = ".ops/stack", global = true)]
    state: PathBuf,
    /// Print one JSON document
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Up(UpArgs),
    /// Say what runs; exit 1 unless all of it does
    Status,
    /// Stop all that runs and remove the folder; also what a killed `up` left behind
    Down,
}

/// Start the stack, or say that it is up
///
/// Keys are made anew each time. They are written into the folder, for you alone to read, and not printed.
#[derive(Debug, clap::Args)]
struct UpArgs {
    /// Rows that PostgREST returns at most; a request for more gets these and no error
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    max_rows: u64,
    /// How PostgREST ends a transaction: as hosted projects do, or as the request asks
    #[arg(long, value_name = "MODE", default_value = "commit")]
    #[arg(value_parser = ["commit", "commit-allow-override", "rollback", "rollback-allow-override"])]
    tx_end: String,
    /// Let PostgreSQL wait for the disk, as a real one does: for measurements
    #[arg(long)]
    fsync: bool,
    /// Print the keys too
    #[arg(long)]
    show_keys: bool,
}

pub(crate) fn run(args: &Args, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let state = settings.cwd.join(&args.state);
    match &args.verb {
        Verb::Up(up_args) => up(up_args, &state, settings, &output),
        Verb::Status => show(&launch(settings, &state, "status", &[])?, &output, servers),
        Verb::Down => show(&launch(settings, &state, "down", &[])?, &output, removed),
    }
}

fn up(args: &UpArgs, state: &Path, settings: &Settings, output: &Output) -> anyhow::Result<Code> {
    let stop = signal::stop_flag()?;
    let max_rows = args.max_rows.to_string();
    let mut options = vec!["--max-rows", &max_rows, "--tx-end", &args.tx_end];
    options.extend(args.fsync.then_some("--fsync"));
    let mut ran = launch(settings, state, "up", &options)?;
    if stop.load(Ordering::Relaxed) {
        launch(settings, state, "down", &[])?;
        return Ok(Code::Interrupted);
    }
    if let (Some(facts), true) = (&mut ran.facts, args.show_keys) {
        let text = ops::files::read_text(&state.join("stack.json"))?;
        facts["keys"] =
            serde_json::from_str::<Value>(&text).context("`stack.json` is not JSON")?["keys"].take();
    }
    show(&ran, output, how_to_use)
}

/// What the launcher said, and how it ended.
#[derive(Debug)]
struct Ran {
    code: Code,
    /// `None` where it only complained, which has been seen.
    facts: Option<Value>,
}

fn launch(settings: &Settings, state: &Path, verb: &str, options: &[&str]) -> anyhow::Result<Ran> {
    let sh = Shell::new().context("failed to find the working directory")?;
    let launcher = settings.root.join("tests/stack/launch.mjs");
    let mut node: Command = cmd!(sh, "node {launcher} {verb} --state {state} {options...}").into();
    let ran = node.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            let refusal = Refusal::new("the stack cannot be run", "node on the search path", "none");
            return refusal.next("apt-get install nodejs npm").into();
        }
        anyhow::Error::from(error).context("failed to run node")
    })?;
    let code = match ran.status.code() {
        Some(0) => Code::Done,
        Some(3) => Code::Refused,
        Some(130) => Code::Interrupted,
        _ => Code::Failed,
    };
    let facts = (!ran.stdout.is_empty()).then(|| serde_json::from_slice(&ran.stdout));
    Ok(Ran { code, facts: facts.transpose().context("the launcher did not print JSON")? })
}

fn show(ran: &Ran, output: &Output, document: fn(&Value) -> Document) -> anyhow::Result<Code> {
    if let Some(facts) = &ran.facts {
        output.json(facts)?;
        output.document(&document(facts));
    }
    Ok(ran.code)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn how_to_use(facts: &Value) -> Document {
    let state = text(&facts["state"]);
    let mut document = Document::new();
    let title = if facts["already"] == true { "The stack was up" } else { "The stack is up" };
    document.heading(1, title).facts([
        ("API", text(&facts["url"])),
        ("PostgREST, without the gateway", text(&facts["postgrest_url"])),
        ("PostgreSQL", text(&facts["database_url"])),
        ("faults and requests", text(&facts["admin_url"])),
        ("rows at most, end of transaction", format!("{}, {}", facts["max_rows"], text(&facts["tx_end"]))),
        ("folder", state.clone()),
    ]);
    if let Some(keys) = facts["keys"].as_object() {
        document.heading(2, "Keys").facts(keys.iter().map(|(name, key)| (name.clone(), text(key))));
    }
    document.heading(2, "Use").facts([
        ("URL and keys as variables", format!(". {state}/env")),
        ("read", r#"curl -H "apikey: $SUPABASE_SERVICE_ROLE_KEY" "$SUPABASE_URL/rest/v1/""#.to_owned()),
        ("SQL", format!("psql {}", text(&facts["database_url"]))),
        ("stop", format!("cargo xtask stack down --state {state}")),
    ]);
    document
}

fn servers(facts: &Value) -> Document {
    let state = |runs: &Value| if runs == true { "runs" } else { "does not run" };
    let mut document = Document::new();
    let servers = facts["servers"].as_object().into_iter().flatten();
    document.facts(servers.map(|(name, runs)| (name.clone(), state(runs))));
    document
}

fn removed(facts: &Value) -> Document {
    let (state, ended) = (text(&facts["state"]), facts["ended"].as_u64().unwrap_or_default());
    let mut document = Document::new();
    document.text(if facts["was"] == true {
        format!("{} stopped, `{state}` removed.", plural(ended, "server"))
    } else {
        format!("There is no stack in `{state}`.")
    });
    document
}
