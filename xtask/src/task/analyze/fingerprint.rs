//! `analyze fingerprint`: why two error texts are the same failure, or are not.

use ops::fingerprint::{Evidence, Fingerprint};

use crate::exit::Code;
use crate::output::Output;
use crate::settings::Settings;

/// Explain the fingerprint of an error text: what is kept, what is replaced, and by which rule
///
/// Two failures are one cluster when their fingerprints are equal. With several texts, the report ends with which of
/// them are.
#[derive(Debug, clap::Args)]
pub(super) struct FingerprintArgs {
    /// The error texts, each as one argument
    #[arg(required = true, value_name = "TEXT")]
    texts: Vec<String>,
    /// An id of the failing attempt, such as its run: it varies, whatever it looks like
    #[arg(long = "known", value_name = "ID")]
    known: Vec<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &FingerprintArgs, settings: &Settings) -> anyhow::Result<Code> {
    let output = Output::new(settings, args.json);
    let known: Vec<&str> = args.known.iter().map(String::as_str).collect();
    let of = |raw: &String| Fingerprint::of(&Evidence { raw, known: &known, ..Evidence::default() });
    let found: Vec<Fingerprint> = args.texts.iter().map(of).collect();
    output.json(&found)?;
    for fingerprint in &found {
        output.document(&fingerprint.document());
    }
    if let [first, others @ ..] = &found[..]
        && !others.is_empty()
    {
        let same = others.iter().filter(|other| other.id == first.id).count() + 1;
        output.line(&format!("{same} of {} have the fingerprint of the first", found.len()));
    }
    Ok(Code::Done)
}
