//! Which executor attempts the phases: arguments shared by `drain` and `seed-telemetry`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use ops::guard::Refusal;
use ops::identity::Lineage;
use ops::work::drain::{
    Api, CommandExecutor, Executor, HttpExecutor, HttpOptions, ModelExecutor, ModelOptions, Recorded,
};
use ops::work::serve::{ApiOptions, health};
use secrecy::SecretString;

use crate::settings::Settings;

/// The executors by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Replay outcomes that were recorded before; works offline, for seed databases only
    Recorded,
    /// Run a program: the phase as JSON on its stdin, the result as JSON on its stdout
    Command,
    /// Post the phase as JSON to a service at --executor-url, which answers with its report and what it delivers
    Http,
    /// Ask a model through the Messages API; the key is in ANTHROPIC_API_KEY
    Messages,
    /// Ask a model through the Chat Completions API, also of a local server; the key is in OPENAI_API_KEY
    Chat,
}

/// The first pause before a service that is too busy is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// How phases are attempted.
#[derive(Debug, clap::Args)]
pub(crate) struct ExecutorArgs {
    /// Directory of recorded outcomes [default: those of this repository]
    #[arg(long, value_name = "DIR")]
    outcomes: Option<PathBuf>,
    /// How long one attempt of a program may take, in seconds; then its whole process group is ended
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// How long a phase stays ours when this process says nothing any more, in seconds; it is renewed while the process
    /// lives [default: the timeout and a minute]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    lease: Option<u64>,
    /// Which model is asked, for the executors `messages` and `chat`
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Where the model is asked: a scheme, a host and a port [default: the service of the API]
    #[arg(long, value_name = "ORIGIN")]
    model_url: Option<String>,
    /// Where the service of the executor `http` is: a scheme, a host and a port. It must say at /health that it works for
    /// the database of this drain, and is sent phases at /v1/attempt; a token is taken from OPS_EXECUTOR_TOKEN
    #[arg(long, value_name = "ORIGIN")]
    executor_url: Option<String>,
    /// The program and its arguments: what attempts a phase, for the executor `command`; what checks the workspace and
    /// ends with 0 when all is well, for `http`, `messages` and `chat`. It runs in a new directory for each attempt, so
    /// relative paths in its arguments are paths there
    #[arg(last = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

impl ExecutorArgs {
    /// So many executors. Attempts that write keep their files under `directory`.
    pub(crate) fn executors(
        &self,
        kind: Kind,
        directory: &Path,
        settings: &Settings,
        lineage: Option<&Lineage>,
        count: u16,
    ) -> anyhow::Result<Vec<Box<dyn Executor>>> {
        (0..count).map(|_| self.executor(kind, directory, settings, lineage)).collect()
    }

    fn executor(
        &self,
        kind: Kind,
        directory: &Path,
        settings: &Settings,
        lineage: Option<&Lineage>,
    ) -> anyhow::Result<Box<dyn Executor>> {
        let is_model = matches!(kind, Kind::Messages | Kind::Chat);
        if !is_model && (self.model.is_some() || self.model_url.is_some()) {
            bail!("a model is asked by `--executor messages` and `--executor chat` only");
        }
        if kind != Kind::Http && self.executor_url.is_some() {
            bail!("--executor-url is for `--executor http` only");
        }
        match kind {
            Kind::Http => self.asks_service(directory, settings, lineage),
            Kind::Messages => self.asks_model(Api::Messages, directory, settings),
            Kind::Chat => self.asks_model(Api::Chat, directory, settings),
            Kind::Recorded if !self.program.is_empty() => {
                bail!("a program is run by `--executor command` only")
            }
            Kind::Recorded => {
                let own = settings.root.join("fixtures/seed-telemetry/outcomes");
                let place = self.outcomes.as_ref().map_or(own, |dir| settings.cwd.join(dir));
                if !place.is_dir() {
                    bail!("there is no directory of recorded outcomes at `{}`", place.display());
                }
                Ok(Box::new(Recorded::new(&place)))
            }
            Kind::Command if self.program.is_empty() => {
                bail!("`--executor command` needs a program: … --executor command -- PROGRAM [ARGS]")
            }
            Kind::Command => Ok(Box::new(CommandExecutor {
                program: self.program_from(settings),
                timeout: Duration::from_secs(self.timeout),
                directory: directory.to_path_buf(),
            })),
        }
    }

    fn asks_service(
        &self,
        directory: &Path,
        settings: &Settings,
        lineage: Option<&Lineage>,
    ) -> anyhow::Result<Box<dyn Executor>> {
        let Some(origin) = self.executor_url.clone() else {
            bail!("--executor-url is needed: where the service is")
        };
        require_safe(&origin)?;
        let token = settings.executor_token().cloned();
        let lineage = require_same_lineage(&origin, token.as_ref(), lineage)?;
        let options = HttpOptions {
            origin,
            token,
            lineage,
            timeout: Duration::from_secs(self.timeout),
            directory: directory.to_path_buf(),
            check: self.program_from(settings),
        };
        let executor = HttpExecutor::new(options)
            .map_err(|why| anyhow::anyhow!("no connection can be prepared: {why}"))?;
        Ok(Box::new(executor))
    }

    fn asks_model(
        &self,
        api: Api,
        directory: &Path,
        settings: &Settings,
    ) -> anyhow::Result<Box<dyn Executor>> {
        let Some(model) = self.model.clone() else { bail!("--model is needed: which model is asked") };
        let (variable, service) = match api {
            Api::Messages => ("ANTHROPIC_API_KEY", "https://api.anthropic.com"),
            Api::Chat => ("OPENAI_API_KEY", "https://api.openai.com"),
        };
        let origin = self.model_url.clone().unwrap_or_else(|| service.to_owned());
        let key = settings.model_key(variable).cloned();
        if key.is_none() && self.model_url.is_none() {
            return Err(Refusal::new("the service asks for a key", variable, "no such variable").into());
        }
        require_safe(&origin)?;
        let options = ModelOptions {
            api,
            origin,
            key,
            model,
            timeout: Duration::from_secs(self.timeout),
            pause: PAUSE,
            directory: directory.to_path_buf(),
            context: settings.cwd.clone(),
            check: self.program_from(settings),
        };
        let executor = ModelExecutor::new(options)
            .map_err(|why| anyhow::anyhow!("no connection can be prepared: {why}"))?;
        Ok(Box::new(executor))
    }

    /// The program and its arguments. It will run in another directory, so a path to it is made absolute;
    /// a bare name is looked up in PATH.
    fn program_from(&self, settings: &Settings) -> Vec<String> {
        let mut program = self.program.clone();
        if let Some(name) = program.first_mut()
            && Path::new(name.as_str()).components().count() > 1
            && let Some(path) = settings.cwd.join(name.as_str()).to_str()
        {
            path.clone_into(name);
        }
        program
    }

    /// How long a lease lasts without being renewed; longer than any attempt unless it was said.
    pub(crate) fn lease(&self) -> Duration {
        Duration::from_secs(self.lease.unwrap_or(self.timeout.saturating_add(60)))
    }
}

/// Refuses a service that works for another database than the one that is drained; its lineage.
fn require_same_lineage(
    origin: &str,
    token: Option<&SecretString>,
    own: Option<&Lineage>,
) -> anyhow::Result<String> {
    let Some(own) = own else {
        let expected = "a database with a lineage";
        let refusal = Refusal::new("a service is told which database it works for", expected, "one without");
        return Err(refusal.next("cargo xtask db-identity --db … --stamp PURPOSE").into());
    };
    let options = ApiOptions { origin: origin.to_owned(), token: token.cloned(), patience: Duration::ZERO };
    let its = health(&options)?.lineage;
    if its.id == own.id {
        return Ok(its.id);
    }
    let show = |lineage: &Lineage| format!("lineage {} `{}`", lineage.id, lineage.purpose);
    Err(Refusal::new("the service works for another database", show(own), show(&its)).into())
}

/// A scheme, a host and a port, and nothing else.
pub(crate) fn origin(text: &str) -> Result<String, Refusal> {
    let origin = text.trim_end_matches('/');
    let place = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    if place.is_some_and(is_place) {
        return Ok(origin.to_owned());
    }
    // What is no origin may hold a password.
    let found = origin.rsplit_once('@').map_or(origin, |(_, host)| host);
    Err(Refusal::new("this is not where a server is", "http://HOST:PORT or https://HOST[:PORT]", found))
}

fn is_place(place: &str) -> bool {
    !place.is_empty() && place.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c))
}

/// Refuses to send phases and keys in the clear, or to what only looks like an origin.
fn require_safe(origin: &str) -> Result<(), Refusal> {
    let is_here = |place: &str| {
        let host =
            if place.ends_with(']') { place } else { place.rsplit_once(':').map_or(place, |(h, _)| h) };
        ["127.0.0.1", "localhost", "[::1]"].contains(&host)
    };
    let is_safe = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(place), _) => is_place(place),
        (None, Some(place)) => is_place(place) && is_here(place),
        (None, None) => false,
    };
    if is_safe {
        return Ok(());
    }
    let expected = "https://HOST[:PORT], or http:// with a server on this machine";
    // What is no origin may hold a password.
    let found = origin.rsplit_once('@').map_or(origin, |(_, host)| host);
    Err(Refusal::new("phases and keys are sent to an origin, and not in the clear", expected, found))
}

/// Recorded outcomes are not this database's own: only a seed database may take them.
pub(crate) fn require_purpose(kind: Kind, lineage: Option<&Lineage>) -> Result<(), Refusal> {
    let purpose = lineage.map(|lineage| lineage.purpose.as_str());
    if kind != Kind::Recorded || purpose == Some("seed") {
        return Ok(());
    }
    let found =
        purpose.map_or_else(|| "a database that was never stamped".to_owned(), |p| format!("purpose `{p}`"));
    Err(Refusal::new("recorded outcomes may only be replayed into a seed database", "purpose `seed`", found)
        .next("--executor command -- PROGRAM attempts the phases in earnest"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_to_an_origin_and_only_here_in_the_clear() {
        for good in
            ["https://api.example.com", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:80"]
        {
            assert!(require_safe(good).is_ok(), "{good}");
        }
        for bad in [
            "http://example.com",
            "http://127.0.0.1:80@example.com",
            "https://user:secret@example.com",
            "https://",
            "http://127.0.0.1.example.com",
            "example.com",
            "https://a/b",
        ] {
            let refusal = require_safe(bad).unwrap_err();
            assert!(!format!("{refusal:?}").contains("secret"), "{bad}");
        }
    }
}
