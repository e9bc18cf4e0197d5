//! How a report is printed: for a terminal, as Markdown, as JSON; and as an HTML file beside it.

use std::path::PathBuf;

use ops::report::Document;
use serde::Serialize;

use crate::output::{self, Output};
use crate::settings::Settings;

/// The forms.
#[derive(Debug, clap::Args)]
pub(super) struct Rendered {
    /// Print Markdown
    #[arg(long, conflicts_with = "json")]
    pub(super) markdown: bool,
    /// Print one JSON document
    #[arg(long)]
    pub(super) json: bool,
    /// Write the report with its charts as one HTML file that needs nothing else
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
}

impl Rendered {
    /// Prints a report in the form that was asked for, and writes its HTML.
    pub(super) fn print(
        &self,
        document: &Document,
        report: &impl Serialize,
        settings: &Settings,
    ) -> anyhow::Result<()> {
        self.print_only(document, report, settings)?;
        self.write_html(document, settings)
    }

    /// Prints a report in the form that was asked for.
    pub(super) fn print_only(
        &self,
        document: &Document,
        report: &impl Serialize,
        settings: &Settings,
    ) -> anyhow::Result<()> {
        let output = Output::new(settings, self.json);
        output.json(report)?;
        if self.markdown {
            output::stdout(&document.markdown());
        } else {
            output.document(document);
        }
        Ok(())
    }

    /// Writes the HTML where one was asked for.
    pub(super) fn write_html(&self, document: &Document, settings: &Settings) -> anyhow::Result<()> {
        let Some(file) = &self.html else { return Ok(()) };
        ops::files::write_atomic(&settings.cwd.join(file), document.html().as_bytes())?;
        Ok(())
    }
}
