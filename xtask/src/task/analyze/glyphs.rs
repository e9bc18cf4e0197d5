//! `analyze glyphs`: which glyph of a cleaned set answers a sentence, and the events of selecting it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use ops::clock::{Clock, Stamp};
use ops::glyphs::{self, GlyphSet, Probe};
use ops::telemetry::Flag;
use ops::telemetry::events::{EVENTS, Events, Lines, Snippets, Stats, Stored, VARIABLE};
use ops::telemetry::store::{Full, Store, StoreOptions};
use ops::url::DbUrl;
use serde::Serialize;

use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;

/// Ask a set of glyphs for an answer, to compare retrieval before and after a cleanup
///
/// Prints the signals found, the best glyph and the composed line. With SAORI_TELEMETRY=1 the selection emits its
/// events as JSON Lines to stderr, to the file of --events, or into the telemetry store of --store. What was typed is
/// left out of them unless --snippets asks for it, and then masked. With TELEMETRY_DEBUG=1 an event that cannot be
/// written is an error (exit 1) instead of a count.
#[derive(Debug, clap::Args)]
pub(super) struct GlyphsArgs {
    /// The sentence
    #[arg(long, value_name = "TEXT")]
    probe: String,
    /// The glyphs: a JSON array, such as a cleanup writes
    #[arg(long, value_name = "FILE", default_value = "cleaned_glyphs.json")]
    glyphs: PathBuf,
    /// Past corrections that may decide: a JSON array of record_id, trigger, suggestion and confidence
    #[arg(long, value_name = "FILE")]
    corrections: Option<PathBuf>,
    /// Append events to this file instead of stderr
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Write events into the telemetry store in this database instead of stderr
    #[arg(long, value_name = "URL", conflicts_with = "events")]
    store: Option<String>,
    /// Show the beginning of what was typed in events, masked
    #[arg(long)]
    snippets: bool,
    /// The time of events, RFC 3339, for results that can be compared
    #[arg(long, value_name = "TIME", value_parser = |text: &str| Stamp::parse(text).ok_or("not an RFC 3339 time"))]
    now: Option<Stamp>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// The JSON document.
#[derive(Debug, Serialize)]
struct Report<'a> {
    format: u32,
    probe: &'a Probe,
    events: Stats,
    telemetry: String,
}

pub(super) fn run(args: &GlyphsArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let read = |file: &Path| ops::files::read_text(&settings.cwd.join(file));
    let about = |file: &Path| format!("`{}` cannot be used", file.display());
    let set = GlyphSet::parse(&read(&args.glyphs)?).with_context(|| about(&args.glyphs))?;
    let corrections = match &args.corrections {
        Some(file) => glyphs::corrections(&read(file)?).with_context(|| about(file))?,
        None => Vec::new(),
    };
    let clock = args.now.map_or(settings.clock, Clock::Fixed);
    let flag = Flag::parse(settings.events_flag.as_deref());
    let options = settings.store_options()?;
    let is_debug = options.debug;
    // What nothing is written to is not made.
    let store = match args.store.as_deref().filter(|_| flag.is_on()) {
        Some(url) => Some(open_store(url, options, settings)?),
        None => None,
    };
    let events = events(args, settings, clock, store.clone())?;
    events.set_enabled(flag.is_on());
    let probe = glyphs::probe(&set, &args.probe, &corrections, clock, &events);
    let stats = events.stats();
    if let Some(error) = stats.last_error.as_ref().filter(|_| is_debug) {
        anyhow::bail!("{} of {} events could not be written: {error}", stats.dropped, stats.emitted);
    }
    let mut telemetry = match &stats.last_error {
        Some(error) => format!("{} of {} dropped: {error}", stats.dropped, stats.emitted),
        None if flag.is_on() => format!("on: {} written", stats.written),
        None => flag.explain_as(VARIABLE),
    };
    if let Some(store) = store {
        let ledger = store.shutdown();
        telemetry.push_str(&format!("; store: {}", ledger.equation()));
        if let Some(error) = store.stats().last_error.filter(|_| !ledger.is_all_written()) {
            telemetry.push_str(&format!(" ({error})"));
        }
    }
    output.document(&probe.document(&telemetry));
    output.json(&Report { format: 1, probe: &probe, events: stats, telemetry })?;
    Ok(Code::Done)
}

/// A store that never holds up the selection: when its queue is full, events are dropped and counted.
fn open_store(url: &str, options: StoreOptions, settings: &Settings) -> anyhow::Result<Store> {
    let url =
        DbUrl::parse(url, &settings.cwd).context("--store does not name a database that can be opened")?;
    let options = StoreOptions { full: Full::DropNewest, tables: vec![&EVENTS], ..options };
    Store::open(&url, options).with_context(|| format!("failed to write events to {url}"))
}

fn events(
    args: &GlyphsArgs,
    settings: &Settings,
    clock: Clock,
    store: Option<Store>,
) -> anyhow::Result<Events> {
    let run_id = settings.ids().hex("run", 8);
    let snippets = if args.snippets { Snippets::Masked } else { Snippets::Hidden };
    if let Some(store) = store {
        return Ok(Events::new(run_id, clock, snippets, Stored::new(store)));
    }
    // A file that nothing is written to is not made.
    let is_on = Flag::parse(settings.events_flag.as_deref()).is_on();
    Ok(match args.events.as_ref().filter(|_| is_on) {
        Some(file) => Events::new(run_id, clock, snippets, Lines::append(&settings.cwd.join(file))?),
        None => Events::new(run_id, clock, snippets, Lines::new(std::io::stderr())),
    })
}
