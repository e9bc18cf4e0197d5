//! `analyze glyphs`: which glyph of a cleaned set answers a sentence, and the events of selecting it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use ops::clock::{Clock, Stamp};
use ops::glyphs::{self, GlyphSet, Probe};
use ops::telemetry::Flag;
use ops::telemetry::events::{Events, Lines, Snippets, Stats, VARIABLE};
use serde::Serialize;

use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;

/// Ask a set of glyphs for an answer, to compare retrieval before and after a cleanup
///
/// Prints the signals found, the best glyph and the composed line. With SAORI_TELEMETRY=1 the selection emits its
/// events as JSON Lines to stderr, or to the file of --events. What was typed is left out of them unless --snippets asks
/// for it, and then masked.
#[derive(Debug, clap::Args)]
pub(super) struct GlyphsArgs {
    /// The sentence
    #[arg(long, value_name = "TEXT")]
    probe: String,
    /// The glyphs: a JSON array, such as cleaned_glyphs.json
    #[arg(long, value_name = "FILE")]
    glyphs: PathBuf,
    /// Past corrections that may decide: a JSON array of record_id, trigger, suggestion and confidence
    #[arg(long, value_name = "FILE")]
    corrections: Option<PathBuf>,
    /// Append events to this file instead of stderr
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
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
    let events = events(args, settings, clock)?;
    let flag = Flag::parse(settings.events_flag.as_deref());
    events.set_enabled(flag.is_on());
    let probe = glyphs::probe(&set, &args.probe, &corrections, clock, &events);
    let stats = events.stats();
    let telemetry = match &stats.last_error {
        Some(error) => format!("{} of {} dropped: {error}", stats.dropped, stats.emitted),
        None if flag.is_on() => format!("on: {} written", stats.written),
        None => flag.explain_as(VARIABLE),
    };
    output.document(&probe.document(&telemetry));
    output.json(&Report { format: 1, probe: &probe, events: stats, telemetry })?;
    Ok(Code::Done)
}

fn events(args: &GlyphsArgs, settings: &Settings, clock: Clock) -> anyhow::Result<Events> {
    let run_id = settings.ids().hex("run", 8);
    let snippets = if args.snippets { Snippets::Masked } else { Snippets::Hidden };
    // A file that nothing is written to is not made.
    let is_on = Flag::parse(settings.events_flag.as_deref()).is_on();
    Ok(match args.events.as_ref().filter(|_| is_on) {
        Some(file) => Events::new(run_id, clock, snippets, Lines::append(&settings.cwd.join(file))?),
        None => Events::new(run_id, clock, snippets, Lines::new(std::io::stderr())),
    })
}
