//! The command line: every task by name, each with its arguments in its own file.

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::dev;
use crate::exit::{self, Code};
use crate::settings::Settings;
use crate::task;

/// Data operations for this repository: identify, seed, drain and analyse its databases.
///
/// Start with `cargo xtask seed-telemetry`: it makes a database under .ops/ and needs nothing else.
///
/// Name a database with --db (a path, sqlite:///path or postgres://…), DATABASE_URL_FILE or DATABASE_URL.
/// No existing database is ever opened by default, and each task first prints which one it works on.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = exit::HELP, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    DbIdentity(task::db_identity::Args),
    SeedTelemetry(task::seed_telemetry::Args),
    Drain(Box<task::drain::Args>),
    Serve(task::serve::Args),
    Analyze(task::analyze::Args),
    Migrate(task::migrate::Args),
    Cleanup(task::cleanup::Args),
    BackupPlan(task::backup_plan::Args),
    Plan(task::plan::Args),
    Rehearse(task::rehearse::Args),
    Upsert(task::upsert::Args),
    Rollback(task::rollback::Args),
    Backfill(task::backfill::Args),
    Gates(task::gates::Args),
    Soak(task::soak::Args),
    Health(task::health::Args),
    Pipeline(task::pipeline::Args),
    // For those who work on this repository; last, because no one else needs them.
    Ci(dev::ci::Args),
    Bench(dev::bench::Args),
    Stack(dev::stack::Args),
}

impl Cli {
    /// Reads the command line; also the names of the task and of what it is made of, such as `analyze publishers`.
    pub(crate) fn read() -> Result<(Self, String), clap::Error> {
        let matches = Self::command().try_get_matches()?;
        let mut names = Vec::new();
        let mut at = &matches;
        while let Some((name, inner)) = at.subcommand() {
            names.push(name);
            at = inner;
        }
        let cli = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut Self::command()))?;
        Ok((cli, names.join(" ")))
    }

    /// Runs the task that was asked for.
    pub(crate) fn run(self, settings: &Settings) -> anyhow::Result<Code> {
        match self.task {
            Task::DbIdentity(args) => task::db_identity::run(&args, settings),
            Task::SeedTelemetry(args) => task::seed_telemetry::run(&args, settings),
            Task::Drain(args) => task::drain::run(&args, settings),
            Task::Serve(args) => task::serve::run(&args, settings),
            Task::Analyze(args) => task::analyze::run(&args, settings),
            Task::Cleanup(args) => task::cleanup::run(&args, settings),
            Task::BackupPlan(args) => task::backup_plan::run(&args, settings),
            Task::Plan(args) => task::plan::run(&args, settings),
            Task::Rehearse(args) => task::rehearse::run(&args, settings),
            Task::Upsert(args) => task::upsert::run(&args, settings),
            Task::Rollback(args) => task::rollback::run(&args, settings),
            Task::Backfill(args) => task::backfill::run(&args, settings),
            Task::Gates(args) => task::gates::run(&args, settings),
            Task::Soak(args) => task::soak::run(&args, settings),
            Task::Health(args) => task::health::run(&args, settings),
            Task::Pipeline(args) => task::pipeline::run(&args, settings),
            Task::Migrate(args) => task::migrate::run(&args, settings),
            Task::Ci(args) => dev::ci::run(&args, settings),
            Task::Bench(args) => dev::bench::run(&args, settings),
            Task::Stack(args) => dev::stack::run(&args, settings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
