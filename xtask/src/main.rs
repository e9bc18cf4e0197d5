//! `cargo xtask`: one command, one file per task.
//!
//! This file parses, dispatches and turns the end of a task into an exit code; it does no work of its own.

#![expect(clippy::doc_markdown, reason = "doc comments of arguments are help texts, printed as they are")]

mod cli;
mod dev;
mod exit;
mod output;
mod settings;
mod signal;
mod task;
mod telemetry;

use std::process::ExitCode;

use ops::change::error::RunError;
use ops::change::gate::GateError;
use ops::guard::Refusal;

use crate::exit::Code;

fn main() -> ExitCode {
    let (cli, name) = match cli::Cli::read() {
        Ok(read) => read,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { Code::Usage.into() } else { Code::Done.into() };
        }
    };
    let code = match settings::Settings::read() {
        Ok(settings) => {
            let task = || cli.run(&settings).unwrap_or_else(|error| report(&error));
            telemetry::recorded(&settings, &name, task)
        }
        Err(error) => report(&error),
    };
    code.into()
}

/// Prints why a task stopped: a refusal with both sides, an error with its causes.
fn report(error: &anyhow::Error) -> Code {
    let refusal = error.chain().find_map(|cause| cause.downcast_ref::<Refusal>());
    if let Some(refusal) = refusal {
        let is_gate = |cause: &(dyn std::error::Error + 'static)| {
            matches!(cause.downcast_ref(), Some(GateError::NotMet(_)))
                || matches!(cause.downcast_ref(), Some(RunError::NotMet(_)))
        };
        let (what, code) = if error.chain().any(is_gate) {
            ("gate not met", Code::GateNotMet)
        } else {
            ("refused", Code::Refused)
        };
        output::stderr(&format!("{what}: {refusal}\n"));
        return code;
    }
    let mut said = error.to_string();
    output::stderr(&format!("error: {said}\n"));
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some drivers repeat their own text one level down.
        if !cause.contains(&said) {
            output::stderr(&format!("  because: {cause}\n"));
        }
        said = cause;
    }
    Code::Failed
}
