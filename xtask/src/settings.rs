//! The only reader of the environment: variables become settings once, before any task runs.
//!
//! A task takes what it needs from here and passes it on as an argument.

use std::path::{Path, PathBuf};

use anyhow::Context;
use ops::clock::{Clock, Stamp};
use ops::guard::Refusal;
use ops::ids::Ids;
use ops::target::postgrest::ApiKey;
use ops::telemetry::Flag;
use ops::telemetry::store::StoreOptions;
use ops::url::{DbUrl, PostgrestUrl};
use secrecy::{ExposeSecret, SecretString};

/// What the environment says.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The working directory; relative paths are taken against it.
    pub(crate) cwd: PathBuf,
    /// The root of the repository that this program was built in.
    pub(crate) root: PathBuf,
    /// Where private copies may be made; the system removes what a crash leaves there.
    pub(crate) scratch: PathBuf,
    /// `TELEMETRY_DB_ENABLED` as it was set.
    pub(crate) telemetry_flag: Option<String>,
    /// `SAORI_TELEMETRY` as it was set.
    pub(crate) events_flag: Option<String>,
    /// `TELEMETRY_DEBUG` as it was set.
    telemetry_debug: Option<String>,
    /// `TELEMETRY_DATABASE_URL` as it was set.
    telemetry_url: Option<String>,
    /// `NO_COLOR` is set and not empty.
    pub(crate) no_colour: bool,
    /// The time: the machine's, or `OPS_NOW` for golden tests.
    pub(crate) clock: Clock,
    seed: Option<u64>,
    database_url: Option<String>,
    database_url_file: Option<String>,
    scratch_database_url: Option<String>,
    supabase_url: Option<String>,
    /// The keys that are set, by the names of their variables.
    supabase_keys: Vec<(&'static str, SecretString)>,
    /// The key that browsers have.
    public_key: Option<SecretString>,
    /// Opens the services that models are asked at, by the name of their variable.
    model_keys: Vec<(&'static str, SecretString)>,
    /// What `serve` asks everybody for, and drains tell it.
    api_token: Option<SecretString>,
    /// Opens the service that attempts phases.
    executor_token: Option<SecretString>,
}

/// Where the key of a REST API comes from, and nowhere else: arguments are seen by every process of the machine.
const KEY_VARIABLES: [&str; 2] = ["SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_KEY"];

impl Settings {
    /// Reads the environment.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
    pub(crate) fn read() -> anyhow::Result<Self> {
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let clock = match var("OPS_NOW") {
            None => Clock::System,
            Some(text) => Clock::Fixed(
                Stamp::parse(&text).with_context(|| format!("OPS_NOW is not an RFC 3339 time: `{text}`"))?,
            ),
        };
        let seed =
            var("OPS_SEED").map(|text| text.parse().context("OPS_SEED is not a number")).transpose()?;
        Ok(Self {
            cwd: std::env::current_dir().context("failed to find the working directory")?,
            root: Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask has a parent").to_path_buf(),
            scratch: std::env::temp_dir(),
            telemetry_flag: std::env::var("TELEMETRY_DB_ENABLED").ok(),
            events_flag: std::env::var(ops::telemetry::events::VARIABLE).ok(),
            telemetry_debug: var("TELEMETRY_DEBUG"),
            telemetry_url: var("TELEMETRY_DATABASE_URL"),
            no_colour: var("NO_COLOR").is_some(),
            clock,
            seed,
            database_url: var("DATABASE_URL"),
            database_url_file: var("DATABASE_URL_FILE"),
            scratch_database_url: var("SCRATCH_DATABASE_URL"),
            supabase_url: var("SUPABASE_URL"),
            supabase_keys: KEY_VARIABLES
                .into_iter()
                .filter_map(|name| Some((name, SecretString::from(var(name)?))))
                .collect(),
            public_key: var("SUPABASE_ANON_KEY").map(SecretString::from),
            model_keys: ["ANTHROPIC_API_KEY", "OPENAI_API_KEY"]
                .into_iter()
                .filter_map(|name| Some((name, SecretString::from(var(name)?))))
                .collect(),
            api_token: var("OPS_API_TOKEN").map(SecretString::from),
            executor_token: var("OPS_EXECUTOR_TOKEN").map(SecretString::from),
        })
    }

    /// What the service that attempts phases asks for.
    pub(crate) fn executor_token(&self) -> Option<&SecretString> {
        self.executor_token.as_ref()
    }

    /// The token of the API that `serve` offers.
    pub(crate) fn api_token(&self) -> Option<&SecretString> {
        self.api_token.as_ref()
    }

    /// The key of a service that models are asked at, from the variable of this name.
    pub(crate) fn model_key(&self, variable: &str) -> Option<&SecretString> {
        self.model_keys.iter().find(|(name, _)| *name == variable).map(|(_, key)| key)
    }

    /// A new source of ids.
    pub(crate) fn ids(&self) -> Ids {
        self.seed.map_or(Ids::Os, Ids::seeded)
    }

    /// How telemetry stores behave: with `TELEMETRY_DEBUG=1` each job is written at once and its error is the caller's.
    pub(crate) fn store_options(&self) -> anyhow::Result<StoreOptions> {
        let flag = Flag::parse(self.telemetry_debug.as_deref());
        if let Flag::NotUnderstood(_) = &flag {
            anyhow::bail!("{}", flag.explain_as("TELEMETRY_DEBUG"));
        }
        Ok(StoreOptions { debug: flag.is_on(), clock: self.clock, ..StoreOptions::default() })
    }

    /// The store that tasks say in what they do, where there is one: what `TELEMETRY_DATABASE_URL` names.
    pub(crate) fn telemetry_url(&self) -> anyhow::Result<Option<DbUrl>> {
        let text = self.telemetry_url.as_deref();
        text.map(|text| self.parse(text, "TELEMETRY_DATABASE_URL")).transpose()
    }

    /// Decides what is chosen at random: `OPS_SEED`, or another number each time.
    pub(crate) fn choice_seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| u64::from_str_radix(&self.ids().hex("choice", 8), 16).unwrap_or_default())
    }

    /// The database that was named: `--db`, else `DATABASE_URL_FILE`, else `DATABASE_URL`; never a default.
    pub(crate) fn database(&self, flag: Option<&str>) -> anyhow::Result<DbUrl> {
        self.named_database(flag)?.ok_or_else(|| {
            Refusal::new(
                "no database was named",
                "--db URL, DATABASE_URL_FILE or DATABASE_URL",
                "none of them; an existing database is never opened by default",
            )
            .next("cargo xtask db-identity --db path/to/file.db")
            .into()
        })
    }

    /// The database that was named, if one was.
    pub(crate) fn named_database(&self, flag: Option<&str>) -> anyhow::Result<Option<DbUrl>> {
        if let Some(text) = flag {
            return self.parse(text, "--db").map(Some);
        }
        let from_file = self.database_url_file.as_deref().map(|file| self.url_in(file)).transpose()?;
        let from_variable =
            self.database_url.as_deref().map(|text| self.parse(text, "DATABASE_URL")).transpose()?;
        if let (Some(file), Some(variable)) = (&from_file, &from_variable)
            && file.to_string() != variable.to_string()
        {
            let refusal = Refusal::new(
                "DATABASE_URL_FILE and DATABASE_URL name different databases",
                format!("one database; the file names {file}"),
                format!("the variable names {variable}"),
            );
            return Err(refusal.next("unset one of them, or name the database with --db").into());
        }
        Ok(from_file.or(from_variable))
    }

    /// The target that was named: `--target`, else the only one that `SUPABASE_URL`, `DATABASE_URL_FILE` and
    /// `DATABASE_URL` name; never a default.
    pub(crate) fn target(&self, flag: Option<&str>) -> anyhow::Result<DbUrl> {
        let from_variable =
            self.supabase_url.as_deref().map(|text| self.parse(text, "SUPABASE_URL")).transpose()?;
        let Some(text) = flag else {
            let expected = "--target URL, or one of SUPABASE_URL, DATABASE_URL_FILE and DATABASE_URL";
            let database = self.named_database(None)?;
            return match (from_variable, database) {
                (Some(api), Some(database)) => {
                    let found = format!("SUPABASE_URL names {api}, and DATABASE_URL names {database}");
                    let refusal = Refusal::new("two targets were named", expected, found);
                    Err(refusal.next("name the one that is meant with --target").into())
                }
                (Some(url), None) | (None, Some(url)) => Ok(url),
                (None, None) => Err(Refusal::new("no target was named", expected, "none of them")
                    .next("name a path, sqlite:///path, postgres://host/name or https://<ref>.supabase.co")
                    .into()),
            };
        };
        let url = self.parse(text, "--target")?;
        if let (DbUrl::PostgRest(flag), Some(DbUrl::PostgRest(variable))) = (&url, &from_variable)
            && flag != variable
        {
            let refusal = Refusal::new(
                "--target and SUPABASE_URL name different projects, and the key belongs to one of them",
                format!("one project; --target names {flag}"),
                format!("SUPABASE_URL names {variable}"),
            );
            return Err(refusal.next("unset SUPABASE_URL, or leave --target out").into());
        }
        Ok(url)
    }

    /// The database that is only read: `--db`, else what `DATABASE_URL_FILE`, `DATABASE_URL` or `SUPABASE_URL` names; never
    /// a default.
    pub(crate) fn watched(&self, flag: Option<&str>) -> anyhow::Result<DbUrl> {
        match (self.named_database(flag)?, &self.supabase_url) {
            (Some(url), _) => Ok(url),
            (None, Some(text)) => self.parse(text, "SUPABASE_URL"),
            (None, None) => self.database(None),
        }
    }

    /// The API that the public has, and a key of theirs: of the database that is watched, where that is one, else of
    /// `SUPABASE_URL`.
    pub(crate) fn public(&self, watched: &DbUrl) -> anyhow::Result<(PostgrestUrl, ApiKey)> {
        let what = "tokens are tried through the API that the public has";
        let url = match (watched, &self.supabase_url) {
            (DbUrl::PostgRest(url), _) => url.clone(),
            (_, Some(text)) => match self.parse(text, "SUPABASE_URL")? {
                DbUrl::PostgRest(url) => url,
                other => {
                    return Err(Refusal::new(what, "its https URL in SUPABASE_URL", other.to_string()).into());
                }
            },
            (_, None) => {
                return Err(Refusal::new(what, "its URL in SUPABASE_URL", "nothing").into());
            }
        };
        let Some(key) = &self.public_key else {
            let refusal = Refusal::new(what, "a key that browsers have, in SUPABASE_ANON_KEY", "none");
            return Err(refusal.next("copy the publishable key from the project's settings").into());
        };
        let key = ApiKey::check_public(key, &url, self.clock.now())?;
        Ok((url, key))
    }

    /// The project that `SUPABASE_URL` names, if it is set.
    pub(crate) fn named_project(&self) -> anyhow::Result<Option<String>> {
        let url = self.supabase_url.as_deref().map(|text| self.parse(text, "SUPABASE_URL")).transpose()?;
        Ok(url.map(|url| url.to_string()))
    }

    /// The database in which clones may be made: `--scratch`, else `SCRATCH_DATABASE_URL`; never a default.
    pub(crate) fn scratch_database(&self, flag: Option<&str>) -> anyhow::Result<Option<DbUrl>> {
        let variable = self.scratch_database_url.as_deref();
        let named = flag.map(|text| (text, "--scratch"));
        let named = named.or(variable.map(|text| (text, "SCRATCH_DATABASE_URL")));
        named.map(|(text, source)| self.parse(text, source)).transpose()
    }

    /// The key of a REST API, checked for its kind before anything is sent.
    pub(crate) fn api_key(&self, url: &PostgrestUrl) -> anyhow::Result<ApiKey> {
        let expected = "one secret key, in SUPABASE_SERVICE_ROLE_KEY or SUPABASE_KEY";
        match self.supabase_keys.as_slice() {
            [] => {
                let refusal = Refusal::new("there is no API key", expected, "neither variable is set");
                Err(refusal.next("copy the secret key from the project's settings into one of them").into())
            }
            [(a, first), (b, second)] if first.expose_secret().trim() != second.expose_secret().trim() => {
                let found = format!("{a} and {b} with different keys");
                let refusal = Refusal::new("it is not clear which API key to use", expected, found);
                Err(refusal.next(format!("unset {b}")).into())
            }
            [(_, key), ..] => Ok(ApiKey::check(key, url, self.clock.now())?),
        }
    }

    fn url_in(&self, file: &str) -> anyhow::Result<DbUrl> {
        let path = ops::url::absolute(Path::new(file), &self.cwd);
        let text = ops::files::read_text(&path).context("DATABASE_URL_FILE cannot be used")?;
        self.parse(&text, "the file of DATABASE_URL_FILE")
    }

    fn parse(&self, text: &str, source: &str) -> anyhow::Result<DbUrl> {
        DbUrl::parse(text, &self.cwd)
            .with_context(|| format!("{source} does not name a database that can be opened"))
    }
}
