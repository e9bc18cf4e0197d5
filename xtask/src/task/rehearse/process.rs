//! The processes of a rehearsal that are killed: this program, started again with an errand.

use std::process::{Command, Stdio};

use ops::change::apply::End;
use ops::change::rehearse::{self, Errand, Fate, Tools};

use super::{Args, place};
use crate::exit::Code;
use crate::settings::Settings;
use crate::signal::stop_flag;

/// Starts one and waits for its end.
pub(super) fn start(args: &Args, errand: &Errand, settings: &Settings) -> Result<Fate, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find its program: {error}"))?;
    #[expect(clippy::disallowed_methods, reason = "a process that is to die must be one of its own")]
    let mut command = Command::new(program);
    command.current_dir(&settings.cwd).args(["rehearse", "--errand", &errand.to_string()]);
    command.arg("--plan").arg(&args.plan.plan).args(["--batch-size", &args.batch_size.to_string()]);
    for (name, value) in [("--target", &args.target), ("--scratch", &args.scratch)] {
        command.args(value.iter().flat_map(|value| [name, value]));
    }
    command.args(args.in_target.then_some("--in-target"));
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let output = output.map_err(|error| format!("could not be started: {error}"))?;
    let code = output.status.code();
    let is_ours = |code: &i32| (0..=130).contains(code);
    match code.filter(is_ours) {
        Some(0) => Ok(Fate::Ended),
        Some(code) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("ended with code {code} on `{errand}`: {}", ops::text::one_line(said.trim())))
        }
        None => Ok(Fate::Died),
    }
}

/// Is one.
pub(super) fn run(args: &Args, errand: Errand, settings: &Settings) -> anyhow::Result<Code> {
    let plan = args.plan.open(settings)?;
    let scratch = place::find(args, &plan, settings)?.scratch(&plan, settings)?;
    let mut ids = settings.ids();
    let tools =
        Tools { clock: settings.clock, ids: &mut ids, stop: stop_flag()?, progress: &mut |_, _, _| () };
    let die = &mut || std::process::abort();
    let report = rehearse::errand(&plan, scratch.as_ref(), errand, &args.run_settings(), tools, die)?;
    if report.end == End::Done {
        return Ok(Code::Done);
    }
    anyhow::bail!("{}", report.why)
}
