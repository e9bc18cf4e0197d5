//! The executors `messages` and `chat`: a phase becomes a prompt, an answer becomes files, and the phase's check decides.
//!
//! A model is asked only when the tokens that the answer may take are still in the cap of the run. What may have cost
//! something is never sent twice: only an answer that says that nothing was begun is a reason to try again. An answer
//! that was cut off by its budget is asked for once more with a larger one, and that is recorded.

pub(super) mod answer;
mod call;
mod heard;
mod prompt;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use serde_json::json;

use self::call::{Caller, Ended};
use self::heard::Heard;
use super::command;
use super::escalation;
use super::executor::{Attempted, Execution, Executor, NotReserved, Order, Report, Status};
use super::milestones::{Milestone, Milestones};
use crate::files::{self, FileError};
use crate::phases::Escalation;

/// How a service is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `POST /v1/messages`, as Anthropic has it.
    Messages,
    /// `POST /v1/chat/completions`, as `OpenAI` has it, and most local servers.
    Chat,
}

/// Which model, where, and how patiently.
#[derive(Debug, Clone)]
pub struct ModelOptions {
    /// How the service is spoken to.
    pub api: Api,
    /// Where it is: an origin such as `https://api.anthropic.com`, without the path of the API.
    pub origin: String,
    /// Opens it; a local server may need none.
    pub key: Option<SecretString>,
    /// Which model is asked for.
    pub model: String,
    /// How long an attempt may take, repetitions and pauses included.
    pub timeout: Duration,
    /// The first pause before a request is sent again; each further one is twice as long.
    pub pause: Duration,
    /// Where attempts keep their files: `<directory>/<run>/<phase>/<attempt>/`.
    pub directory: PathBuf,
    /// Where the files are that a phase may read.
    pub context: PathBuf,
    /// The program that checks what was delivered, in the workspace; empty for none.
    pub check: Vec<String>,
}

/// Asks a model for what a phase must deliver.
#[derive(Debug)]
pub struct ModelExecutor {
    options: ModelOptions,
    caller: Caller,
}

impl ModelExecutor {
    /// Prepares; sends nothing. The error says why no connection can be made.
    pub fn new(options: ModelOptions) -> Result<Self, String> {
        let caller = Caller::new(&options)?;
        Ok(Self { options, caller })
    }
}

impl Executor for ModelExecutor {
    fn source(&self) -> &'static str {
        match self.options.api {
            Api::Messages => "messages",
            Api::Chat => "chat",
        }
    }

    fn execute(&mut self, order: Order<'_>, stop: &AtomicBool) -> Attempted {
        let mut course = Course::default();
        let execution = self.attempt(order, stop, &mut course).unwrap_or_else(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            Execution::Broken { reason: "executor_error", detail: format!("{error}: {cause}") }
        });
        let Course { milestones, escalation, tokens_at_risk } = course;
        Attempted { execution, milestones, exit: None, escalation, tokens_at_risk }
    }
}

/// What is noted of an attempt on its way.
#[derive(Default)]
struct Course {
    milestones: Milestones,
    escalation: Option<Escalation>,
    tokens_at_risk: u64,
}

impl Course {
    fn reached(&mut self, milestone: Milestone) {
        self.milestones.reached.push(milestone);
    }
}

impl ModelExecutor {
    fn attempt(
        &self,
        order: Order<'_>,
        stop: &AtomicBool,
        course: &mut Course,
    ) -> Result<Execution, FileError> {
        let began = Instant::now();
        let claim = order.claim;
        let paths = [&claim.scope.deliverables, &claim.scope.read_only_context];
        if let Some(path) = paths.into_iter().flatten().find(|path| command::leads_out(path)) {
            course.reached(Milestone::ScopeFailed);
            let detail = format!("`{path}` leads out of the workspace");
            return Ok(Execution::Broken { reason: "scope_invalid", detail });
        }
        let place = command::fresh_place(&self.options.directory, claim)?;
        let workspace = place.join("workspace");
        files::create_dir(&workspace)?;
        let prompt = prompt::of(claim, &self.options.context);
        files::write_atomic(&place.join("prompt.md"), prompt.as_bytes())?;
        course.reached(Milestone::PreflightOk);
        let deadline = began + self.options.timeout;
        let mut calls = Calls { place: &place, lines: String::new(), earlier: 0, last: 0 };
        let mut budget = order.estimate.selected_budget.clamp(1, escalation::CEILING);
        let heard = loop {
            let heard = match self.ask(order, &prompt, budget, calls.spent(), deadline, stop, course) {
                Ok(heard) => heard,
                Err(execution) => {
                    course.tokens_at_risk += calls.spent();
                    return Ok(*execution);
                }
            };
            calls.note(&heard, budget)?;
            // Once for a phase: an earlier attempt may have raised it.
            let may_raise = claim.raised_budget.is_none() && course.escalation.is_none();
            let is_useful = answer::is_whole(&heard.text, &claim.scope.deliverables);
            let raised = escalation::raised(budget, &self.report(&heard, budget), is_useful);
            let Some(raised) = raised.filter(|_| may_raise) else { break heard };
            course.reached(Milestone::BudgetEscalated);
            budget = raised.retry_max_tokens;
            course.escalation = Some(raised);
        };
        self.deliver(order, &workspace, &place, &heard, budget, &calls, deadline, stop)
    }

    /// Asks once, within the cap of the run, of which this attempt has `spent` some before.
    #[expect(clippy::too_many_arguments, reason = "what a call is made of")]
    fn ask(
        &self,
        order: Order<'_>,
        prompt: &str,
        budget: u64,
        spent: u64,
        deadline: Instant,
        stop: &AtomicBool,
        course: &mut Course,
    ) -> Result<Heard, Box<Execution>> {
        let need = budget + prompt::tokens(prompt);
        let broken = |reason, detail| Err(Box::new(Execution::Broken { reason, detail }));
        match order.purse.reserve(spent + need) {
            Ok(()) => {}
            Err(NotReserved::Short(left)) => {
                let left = left.saturating_sub(spent);
                let detail = format!("the call may take {need} tokens, the cap of the run leaves {left}");
                return broken("token_cap", detail);
            }
            Err(NotReserved::Failed(why)) => return broken("executor_error", why),
        }
        course.reached(Milestone::ModelCallStarted);
        let ended = self.caller.ask(prompt, budget, deadline, stop);
        if matches!(ended, Ended::Lost { .. } | Ended::TimedOut) {
            // What was refused or never sent has cost nothing; what was lost on the way may have cost all of it.
            course.tokens_at_risk = need;
        }
        match ended {
            Ended::Heard(heard) => {
                course.reached(Milestone::ModelCallEnded);
                Ok(heard)
            }
            Ended::Unreachable(why) => {
                course.reached(Milestone::ApiUnreachable);
                broken("api_unreachable", why)
            }
            Ended::NotFound(why) => {
                course.reached(Milestone::ApiNotFound);
                broken("api_not_found", why)
            }
            Ended::Refused { status, why } => {
                broken("model_call_refused", format!("the service answered {status}: {why}"))
            }
            Ended::Lost { reason, why } => broken(reason, why),
            Ended::TimedOut => {
                let seconds = self.options.timeout.as_secs_f64();
                let detail = format!("no answer after {seconds} s");
                Err(Box::new(Execution::TimedOut { detail }))
            }
            Ended::Stopped => Err(Box::new(Execution::Interrupted)),
        }
    }

    /// What an answer says of itself.
    fn report(&self, heard: &Heard, budget: u64) -> Report {
        Report {
            status: Status::Success,
            earlier_tokens: None,
            output_tokens: heard.output_tokens,
            input_tokens: heard.input_tokens,
            max_tokens: Some(budget),
            stop_reason: heard.stop_reason.clone(),
            model: Some(heard.model.clone().unwrap_or_else(|| self.options.model.clone())),
            truncated: None,
            error: None,
        }
    }

    /// Writes what the answer delivers, has it checked, and reports.
    #[expect(clippy::too_many_arguments, reason = "what an attempt has come to")]
    fn deliver(
        &self,
        order: Order<'_>,
        workspace: &Path,
        place: &Path,
        heard: &Heard,
        budget: u64,
        calls: &Calls<'_>,
        deadline: Instant,
        stop: &AtomicBool,
    ) -> Result<Execution, FileError> {
        files::write_atomic(&place.join("answer.md"), heard.text.as_bytes())?;
        let wanted = &order.claim.scope.deliverables;
        let foreign = answer::write(&heard.text, wanted, workspace)?;
        let missing: Vec<String> =
            wanted.iter().filter(|path| !command::is_written(&workspace.join(path))).cloned().collect();
        let mut error = match (&heard.refusal, foreign.first()) {
            (Some(why), _) => Some(format!("the model refused: {why}")),
            (None, Some(path)) => Some(format!("the answer has a file that was not asked for: `{path}`")),
            (None, None) => None,
        };
        if error.is_none() && missing.is_empty() && !heard.is_truncated() && !self.options.check.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            match command::checked(&self.options.check, place, workspace, left, stop)? {
                Ok(said) => error = said,
                Err(execution) => return Ok(*execution),
            }
        }
        if stop.load(Ordering::Relaxed) && error.is_some() {
            return Ok(Execution::Interrupted);
        }
        let report = Report {
            status: if error.is_none() { Status::Success } else { Status::Failed },
            earlier_tokens: (calls.earlier > 0).then_some(calls.earlier),
            error,
            ..self.report(heard, budget)
        };
        Ok(Execution::Reported { report, missing })
    }
}

/// The calls of an attempt, one line each in `calls.ndjson`.
struct Calls<'a> {
    place: &'a Path,
    lines: String,
    /// Tokens of all calls but the last.
    earlier: u64,
    /// Tokens of the last call.
    last: u64,
}

impl Calls<'_> {
    /// Tokens of all calls so far.
    fn spent(&self) -> u64 {
        self.earlier + self.last
    }

    fn note(&mut self, heard: &Heard, budget: u64) -> Result<(), FileError> {
        self.earlier += self.last;
        self.last = [heard.input_tokens, heard.output_tokens].into_iter().flatten().sum();
        let line = json!({
            "max_tokens": budget, "input_tokens": heard.input_tokens, "output_tokens": heard.output_tokens,
            "stop_reason": heard.stop_reason, "model": heard.model,
        });
        self.lines.push_str(&format!("{line}\n"));
        files::write_atomic(&self.place.join("calls.ndjson"), self.lines.as_bytes())
    }
}

#[cfg(test)]
mod tests;
